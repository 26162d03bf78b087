//! Inputs that can be made of any size: text before, a unit that is repeated, text behind. Each is one that some
//! loop over the input could take more than its share of time or memory for.

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message on standard input, given without `-i`.
    Message,
    /// The same after DATA.
    Data,
    /// What a client says in an SMTP session.
    Client,
    /// What the server answers to its EHLO.
    Server,
    /// `config.toml`.
    Host,
    /// A domain file.
    Domain,
    /// Arguments, one a line.
    Argv,
    /// A key record.
    Record,
    /// The value of a DKIM-Signature field.
    Signature,
    /// The author address of a line in the log.
    Log,
}

/// Inputs of one form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generator {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The smallest of the three sizes that are compared; the largest is four times that. Bytes of repeated units.
    pub(crate) size: usize,
    before: &'static [u8],
    /// `#` is the number of the unit.
    unit: &'static [u8],
    behind: &'static [u8],
}

impl Generator {
    /// The whole input, with so many bytes of units.
    pub(crate) fn text(&self, size: usize) -> Vec<u8> {
        [self.before, &self.units(size), self.behind].concat()
    }

    /// What comes before the units, some of them, to be repeated, and what comes behind.
    pub(crate) fn pieces(&self) -> [Vec<u8>; 3] {
        [self.before.to_vec(), self.units(PIECE), self.behind.to_vec()]
    }

    fn units(&self, size: usize) -> Vec<u8> {
        let mut units = Vec::new();
        for number in 0.. {
            if units.len() >= size {
                break;
            }
            self.unit(number, &mut units);
        }
        units
    }

    fn unit(&self, number: usize, out: &mut Vec<u8>) {
        for byte in self.unit {
            match byte {
                b'#' => out.extend_from_slice(format!("{number:06}").as_bytes()),
                byte => out.push(*byte),
            }
        }
    }
}

/// Bytes of units that are repeated where there are many.
const PIECE: usize = 256 << 10;

/// Sizes that keep four times as much below each limit: of a field, of a number of tokens; and of all else.
const HEADER: usize = 14 << 10;
const FEW: usize = 2 << 10;
const BODY: usize = 32 << 10;
/// The same for short parts, of which 5,000 are looked at.
const PARTS: usize = 8 << 10;

const fn of(
    kind: Kind,
    size: usize,
    name: &'static str,
    before: &'static [u8],
    unit: &'static [u8],
    behind: &'static [u8],
) -> Generator {
    Generator { name, kind, size, before, unit, behind }
}

/// In the header of a message.
const fn header(
    name: &'static str,
    before: &'static [u8],
    unit: &'static [u8],
    behind: &'static [u8],
) -> Generator {
    of(Kind::Message, HEADER, name, before, unit, behind)
}

/// A value that Postfix stops at the 10,000th token of.
const fn tokens(
    name: &'static str,
    before: &'static [u8],
    unit: &'static [u8],
    behind: &'static [u8],
) -> Generator {
    of(Kind::Message, FEW, name, before, unit, behind)
}

/// In the body of a message.
const fn body(name: &'static str, before: &'static [u8], unit: &'static [u8]) -> Generator {
    of(Kind::Message, BODY, name, before, unit, b"\n")
}

/// Short parts.
const fn parts(name: &'static str, before: &'static [u8], unit: &'static [u8]) -> Generator {
    of(Kind::Message, PARTS, name, before, unit, b"\n")
}

/// All of them.
pub(crate) const ALL: &[Generator] = &[
    // Values of fields.
    header("spaces in a value", b"From: a@sample.com\nSubject: a", b" ", b"b\n\nx\n"),
    header("spaces behind a value", b"From: a@sample.com\nSubject: a", b" ", b"\n\nx\n"),
    header("tabs in a value", b"From: a@sample.com\nSubject: a", b"\t", b"b\n\nx\n"),
    header("spaces in an address", b"To: b@c.example", b" ", b",d@e.example\nFrom: a@sample.com\n\nx\n"),
    header("spaces in From", b"From: a", b" ", b"@sample.com\n\nx\n"),
    header("open parentheses in a name", b"From: ", b"(", b" <a@sample.com>\n\nx\n"),
    header("open parentheses before a closed one", b"From: ", b"(", b"a) =?utf-8?Q?b?= <a@sample.com>\n\nx\n"),
    header("open parentheses and quotes in a name", b"From: ", b"(\"", b" <a@sample.com>\n\nx\n"),
    header("spaces before a colon", b"From: a@sample.com\nX", b" ", b": b\n\nx\n"),
    header("lines of spaces", b"From: a@sample.com\nSubject: a", b"\n ", b"b\n\nx\n"),
    header("long lines of spaces and words", b"From: a@sample.com\nSubject: a", b"        b  ", b"\n\nx\n"),
    header("a long word", b"From: a@sample.com\nSubject: ", b"x", b"\n\nx\n"),
    header("long words", b"From: a@sample.com\nReferences:", b" <0123456789abcdef0123456789abcdef@x.example>", b"\n\nx\n"),
    header("short words", b"From: a@sample.com\nSubject:", b" a", b"\n\nx\n"),
    header("a word beyond ASCII", b"From: a@sample.com\nSubject: ", b"\xc3\xbc", b"\n\nx\n"),
    header("words beyond ASCII", b"From: a@sample.com\nSubject:", b" \xc3\xbc", b"\n\nx\n"),
    header("words in and beyond ASCII", b"From: a@sample.com\nSubject:", b" a \xc3\xbc", b"\n\nx\n"),
    header("a word in no charset", b"From: a@sample.com\nSubject: ", b"\xff", b"\n\nx\n"),
    header("encoded words", b"From: a@sample.com\nSubject: \xc3\xbc", b" =?utf-8?Q?a?=", b"\n\nx\n"),
    header("encoded words with raw bytes", b"From: a@sample.com\nSubject:", b" =?utf-8?Q?\xc3\xbc?=", b"\n\nx\n"),
    header("encoded words that touch raw bytes", b"From: a@sample.com\nSubject: ", b"=?utf-8?Q?a?=\xc3\xbc", b"\n\nx\n"),
    header("beginnings of encoded words", b"From: a@sample.com\nSubject: \xc3\xbc", b"=?", b"\n\nx\n"),
    header("question marks", b"From: a@sample.com\nSubject: \xc3\xbc=", b"?", b"\n\nx\n"),
    header("NULs in a value", b"From: a@sample.com\nSubject: a", b"\0", b"b\n\nx\n"),
    header("CRs in a value", b"From: a@sample.com\nSubject: a", b"\r", b"b\n\nx\n"),
    header("CRs behind a line", b"From: a@sample.com\nSubject: a", b"\r", b"\n\nx\n"),
    header("vertical tabs", b"From: a@sample.com\nSubject: a", b"\x0b", b"\n\nx\n"),
    header("a comment in Date beyond ASCII", b"From: a@sample.com\nDate: x", b"(\xc3\xbc)", b"\n\nx\n"),
    // Fields.
    of(Kind::Message, 32 << 10, "fields", b"From: a@sample.com\n", b"X-#: 0123456789012345678\n", b"\nx\n"),
    of(Kind::Message, 32 << 10, "fields of one name that is signed", b"From: a@sample.com\n", b"To: b@c.example, d@e.example\n", b"\nx\n"),
    of(Kind::Message, 32 << 10, "fields of one name beyond ASCII", b"From: a@sample.com\n", b"Subject: \xc3\xbc 0123456789 0123456\n", b"\nx\n"),
    of(Kind::Message, 32 << 10, "fields with spaces before the colon", b"From: a@sample.com\n", b"X-#    :\n  0123456789012345\n", b"\nx\n"),
    header("From fields", b"", b"From: a@sample.com, b@sample.com\n", b"\nx\n"),
    header("long names of fields", b"From: a@sample.com\n", b"X-0123456789012345678901234567890123456789-#:\n", b"\nx\n"),
    header("lines before the header", b"", b">From a b c\n", b"From: a@sample.com\n\nx\n"),
    header("signatures of others", b"From: a@sample.com\n", b"DKIM-Signature: v=1; d=x#.example; s=s; b=\n", b"\nx\n"),
    of(Kind::Message, 1 << 10, "tags of a signature", b"From: a@sample.com\nDKIM-Signature: d=x.example", b"; x#=y", b"\n\nx\n"),
    header("spaces in a signature", b"From: a@sample.com\nDKIM-Signature: d=x.example; b=", b" ", b"x\n\nx\n"),
    // Addresses.
    tokens("addresses without a domain", b"From: a@sample.com\nTo: a", b",a", b"\n\nx\n"),
    tokens("addresses", b"From: a@sample.com\nTo: a@b.example", b", a@b.example", b"\n\nx\n"),
    tokens("addresses of one author", b"From: a@sample.com", b", a@sample.com", b"\n\nx\n"),
    tokens(
        "addresses of one author beyond ASCII",
        b"From: a@\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc.example",
        b", a@\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc.example",
        b"\n\nx\n",
    ),
    tokens("addresses side by side", b"From: a@sample.com\nTo:", b" a", b"\n\nx\n"),
    tokens("addresses with a bang", b"From: a@sample.com\nTo: a", b",a!b", b"\n\nx\n"),
    tokens("addresses with a percent sign", b"From: a@sample.com\nTo: a", b",a%b", b"\n\nx\n"),
    tokens("addresses with a route", b"From: a@sample.com\nTo: a", b",<@a,@b:c@d.example>", b"\n\nx\n"),
    tokens("addresses with a name", b"From: a@sample.com\nTo: a", b",\"b, c\" <d@e.example>", b"\n\nx\n"),
    tokens("quotes that are not needed", b"From: a@sample.com\nTo: a", b",\"a\"@b.example", b"\n\nx\n"),
    tokens("groups", b"From: a@sample.com\nTo: ", b"g:a,b;", b"\n\nx\n"),
    tokens("commas in a display name", b"From: a", b", b", b" <a@sample.com>\n\nx\n"),
    tokens("dots", b"From: a", b".a", b"@sample.com\n\nx\n"),
    tokens("bangs", b"From: a@sample.com\nTo: a", b"!a", b"\n\nx\n"),
    tokens("angle brackets", b"From: a@sample.com\nTo: ", b"<", b"\n\nx\n"),
    tokens("pairs of angle brackets", b"From: a@sample.com\nTo: ", b"<>", b"\n\nx\n"),
    tokens("literals", b"From: a@sample.com\nTo: a", b"[1]", b"\n\nx\n"),
    tokens("comments", b"From: a@sample.com\nTo: a", b"(c)", b"b\n\nx\n"),
    tokens("comments beyond ASCII", b"From: a@sample.com\nTo: a", b"(\xc3\xbc)", b"b\n\nx\n"),
    header("nested comments", b"From: a@sample.com (", b"(", b"\n\nx\n"),
    header("a comment", b"From: a@sample.com (", b"c \\) ", b")\n\nx\n"),
    header("a quoted string", b"From: \"a", b"\\b ", b"\" <a@sample.com>\n\nx\n"),
    header("a display name beyond ASCII", b"From: a@sample.com\nTo: ", b"\xc3\xbc", b" <b@c.example>\n\nx\n"),
    header("a domain beyond ASCII", b"From: a@", b"\xc3\xbc.", b"example\n\nx\n"),
    header("a long local part", b"From: ", b"a", b"@sample.com\n\nx\n"),
    // MIME fields.
    header("parameters", b"From: a@sample.com\nContent-Type: text/plain", b"; a=b", b"\n\nx\n"),
    header("parameters beyond ASCII", b"From: a@sample.com\nContent-Type: text/plain", b"; a#=\"\xc3\xbc\"", b"\n\nx\n"),
    header("a parameter beyond ASCII", b"From: a@sample.com\nContent-Type: text/plain; name=\"", b"\xc3\xbc", b"\"\n\nx\n"),
    header("semicolons", b"From: a@sample.com\nContent-Type: multipart/mixed", b";", b" boundary=b\n\n--b\n\nx\n--b--\n"),
    header("equals signs", b"From: a@sample.com\nContent-Type: text/plain; a", b"=", b"\n\nx\n"),
    header("comments in a type", b"From: a@sample.com\nContent-Type: multipart/mixed", b"(a)", b"; boundary=b\n\n--b\n\nx\n"),
    header("boundaries in one field", b"From: a@sample.com\nContent-Type: multipart/mixed", b"; boundary=b", b"\n\n--b\n\nx\n"),
    header("boundaries in many fields", b"From: a@sample.com\n", b"Content-Type: multipart/mixed; boundary=\"b#\"\n", b"\n--b000000\n\nx\n"),
    header("a long boundary", b"From: a@sample.com\nContent-Type: multipart/mixed; boundary=", b"b", b"\n\n--b\n\nx\n"),
    header("encodings", b"From: a@sample.com\n", b"Content-Transfer-Encoding: 8bit\n", b"\n\xc3\xbc\n"),
    // Bodies.
    body("lines", b"From: a@sample.com\n\n", b"a line of text\n"),
    body("empty lines", b"From: a@sample.com\n\n", b"\n"),
    body("empty lines and text", b"From: a@sample.com\n\n", b"\n\n\n\n\n\n\n\nx"),
    body("a line without end", b"From: a@sample.com\n\n", b"x"),
    body("spaces", b"From: a@sample.com\n\n", b" "),
    body("spaces at line ends", b"From: a@sample.com\n\n", b"x \t \n"),
    body("spaces between words", b"From: a@sample.com\n\n", b"x  "),
    body("CRs", b"From: a@sample.com\n\n", b"\r"),
    body("CRs before text", b"From: a@sample.com\n\n", b"\r\r\r\rx"),
    body("CRs before line ends", b"From: a@sample.com\n\n", b"\r\r\r\n"),
    body("lines that end in CR LF", b"From: a@sample.com\n\n", b"x\r\n"),
    body("CRs without a header", b"", b"\r"),
    body("dots", b"From: a@sample.com\n\n", b"..\n"),
    body("dots and CRs", b"From: a@sample.com\n\n", b"x\n.\r\rx"),
    body("lines that begin with From", b"From: a@sample.com\n\n", b"From \xc3\xbc\n"),
    body("NULs", b"From: a@sample.com\n\n", b"\0"),
    body("text beyond ASCII", b"From: a@sample.com\n\n", b"\xc3\xbc\xc3\xbc\xc3\xbc x\n"),
    body("text beyond ASCII in one line", b"From: a@sample.com\n\n", b"\xc3\xbc"),
    body("text in no charset", b"From: a@sample.com\n\n", b"\xff\xfe x y z a b c d\n"),
    body("some text beyond ASCII", b"From: a@sample.com\n\n", b"a few words, and one that is gr\xc3\xbcn, or =\n"),
    body("DELs beyond ASCII", b"From: a@sample.com\n\n", b"\x7f\xc3\xbc\n"),
    body("text of a signed message", b"From: a@sample.com\n\n", b"-----BEGIN PGP SIGNED MESSAGE-----\n\xc3\xbc\n"),
    body("base64 in one line", b"From: a@sample.com\nContent-Transfer-Encoding: base64\n\n", b"AAAA"),
    body("spaces in base64", b"From: a@sample.com\nContent-Transfer-Encoding: base64\n\n\xc3\xbc", b" "),
    body("quoted-printable in one line", b"From: a@sample.com\nContent-Transfer-Encoding: quoted-printable\n\n", b"=C3"),
    // Parts.
    parts("parts", b"From: a@sample.com\nContent-Type: multipart/mixed; boundary=b\n\n", b"--b\n\nx\n"),
    parts("parts beyond ASCII", b"From: a@sample.com\nContent-Type: multipart/mixed; boundary=b\n\n", b"--b\n\n\xc3\xbc\n"),
    body("two dashes", b"From: a@sample.com\nContent-Type: multipart/mixed; boundary=b\n\n", b"--\n"),
    body("lines like a boundary", b"From: a@sample.com\nContent-Type: multipart/mixed; boundary=bc\n\n", b"--b\n"),
    body("ends of a multipart", b"From: a@sample.com\nContent-Type: multipart/mixed; boundary=b\n\n", b"--b--\n"),
    parts("parts of a digest", b"From: a@sample.com\nContent-Type: multipart/digest; boundary=b\n\n", b"--b\n\nA: b\n\nx\n"),
    body("messages inside messages", b"From: a@sample.com\nContent-Type: message/rfc822\n\n", b"Content-Type: message/rfc822\n\n"),
    body("multiparts inside multiparts", b"From: a@sample.com\nContent-Type: multipart/x; boundary=b\n\n--b\n", b"Content-Type: multipart/x; boundary=b#\n\n--b#\n"),
    body("one boundary again and again", b"From: a@sample.com\nContent-Type: multipart/x; boundary=b\n\n--b\n", b"Content-Type: multipart/x; boundary=b\n\n--b\n"),
    body("open boundaries and dashes", OPEN, b"--b\n--c\n--bb\n"),
    body("open boundaries that Postfix sees alike", ALIKE, b"--b\nx\n"),
    body("part headers with boundaries", b"From: a@sample.com\nContent-Type: multipart/x; boundary=b\n\n", b"--b\nContent-Type: multipart/x; boundary=b1\nContent-Type: multipart/x; boundary=b2\n\n"),
    body("part headers with long types", b"From: a@sample.com\nContent-Type: multipart/x; boundary=b\n\n", b"--b\nContent-Type: text/0123456789012345678901234567890123456789012345678901234567890123456789\n\n"),
    body("spaces in a part header", b"From: a@sample.com\nContent-Type: multipart/x; boundary=b\n\n--b\nX: a", b" "),
    body("spaces and text in part headers", b"From: a@sample.com\nContent-Type: multipart/x; boundary=b\n\n", b"--b\nX:                                                                              a b\n\n"),
    body("fields of a part", b"From: a@sample.com\nContent-Type: multipart/x; boundary=b\n\n--b\n", b"X-#: y\n"),
    body("fields of a part beyond ASCII", b"From: a@sample.com\nContent-Type: multipart/x; boundary=b\n\n--b\n", b"Subject: \xc3\xbc a \xc3\xbc\n"),
    body("names of files beyond ASCII", b"From: a@sample.com\nContent-Type: multipart/x; boundary=b\n\n", b"--b\nContent-Disposition: attachment; filename=\"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\"\n\nx\n"),
    body("semicolons in a part header", b"From: a@sample.com\nContent-Type: multipart/x; boundary=b\n\n--b\nContent-Type: text/plain", b";"),
    body("boundaries of a part", b"From: a@sample.com\nContent-Type: multipart/x; boundary=b\n\n--b\n", b"Content-Type: multipart/x; boundary=b#\n"),
    // After DATA.
    of(Kind::Data, BODY, "lines after DATA", b"From: a@sample.com\r\n\r\n", b"..x\r\n", b""),
    of(Kind::Data, BODY, "dots after DATA", b"From: a@sample.com\r\n\r\n.", b".", b"\r\n"),
    of(Kind::Data, BODY, "CRs after DATA", b"From: a@sample.com\r\n\r\n.", b"\r", b"x\r\n"),
    of(Kind::Data, HEADER, "mbox `From ` lines after DATA", b"", b"From a b\r\n", b"From: a@sample.com\r\n\r\n"),
    // SMTP sessions.
    of(Kind::Client, BODY, "commands", b"", b"NOOP\r\n", b""),
    of(Kind::Client, BODY, "a command without end", b"", b"x", b"\r\n"),
    of(Kind::Client, BODY, "spaces in a command", b"MAIL FROM:", b" ", b"<a@b.example>\r\n"),
    of(Kind::Client, BODY, "senders", b"", b"MAIL FROM:<\"a\\\"b\"@c.example> SIZE=1\r\n", b""),
    of(Kind::Client, BODY, "messages", b"", b"DATA\r\nx\r\n.\r\n", b""),
    of(Kind::Client, BODY, "dots in a message", b"DATA\r\n", b"..\r\n", b".\r\n"),
    of(Kind::Client, BODY, "a dot and CRs in a message", b"DATA\r\n.", b"\r", b"x\r\n.\r\n"),
    of(Kind::Server, 4 * BODY, "lines of a reply", b"220 x\r\n250-x\r\n", b"250-X#\r\n", b"250 y\r\n"),
    of(Kind::Server, 4 * BODY, "a line of a reply", b"220 x\r\n250-", b"x", b"\r\n250 y\r\n"),
    of(Kind::Server, 4 * BODY, "spaces in a reply", b"220 x\r\n250-SIZE", b" ", b"1\r\n250 y\r\n"),
    // Configuration.
    of(Kind::Domain, BODY / 2, "selectors", b"selectors = [", b"\"s#\",", b"]\n"),
    of(Kind::Domain, BODY / 2, "headers", b"selector = \"s\"\nheaders = [\"+X\"", b",\"+X-#\"", b"]\n"),
    of(Kind::Domain, 2 << 10, "users", b"selector = \"s\"\nusers = [", b"\"u#\",", b"]\n"),
    of(Kind::Domain, BODY / 2, "more users than may be listed", b"selector = \"s\"\nusers = [", b"\"u#\",", b"]\n"),
    of(Kind::Domain, 8 << 10, "tables", b"selector = \"s\"\n", b"[[sign]]\nfrom = \"a#@b.example\"\nselector = \"s\"\n", b""),
    of(Kind::Domain, BODY / 2, "comments in a file", b"selector = \"s\"\n", b"# x\n", b""),
    of(Kind::Domain, BODY / 2, "keys that are not known", b"selector = \"s\"\n", b"x# = 1\n", b""),
    of(Kind::Domain, BODY, "a key of many dots", b"", b"a.", b"a = 1\n"),
    of(Kind::Domain, BODY, "brackets", b"users = ", b"[", b"\n"),
    of(Kind::Domain, BODY / 2, "a long string", b"selector = \"", b"s", b"\"\n"),
    of(Kind::Host, BODY / 2, "lines of a broken file", b"sendmail = \"/x\"\n", b"[[[\n", b""),
    of(Kind::Host, BODY / 2, "quotes in a file", b"sendmail = \"/x\"\nx = ", b"\"", b"\n"),
    // Arguments.
    of(Kind::Argv, BODY, "options", b"sendmail\n", b"-oem\n", b"-t"),
    of(Kind::Argv, BODY, "options in one argument", b"sendmail\n-", b"i", b"\n-t"),
    of(Kind::Argv, BODY, "a long value", b"sendmail\n-f\n", b"a", b"\n-t"),
    of(Kind::Argv, BODY, "options of old", b"sendmail\n", b"-XV\n-q\n", b"-t"),
    of(Kind::Argv, 4 * BODY, "recipients", b"sendmail\n-i\n", b"a#@b.example\n", b"c"),
    // Records and signatures.
    of(Kind::Record, 1 << 10, "tags of a record", b"v=DKIM1; p=AA", b"; x#=y", b""),
    of(Kind::Record, BODY, "a long record", b"v=DKIM1; p=", b"AAAA", b""),
    of(Kind::Record, BODY, "spaces in a record", b"v=DKIM1; p=", b" ", b"AA"),
    of(Kind::Record, BODY, "hashes of a record", b"v=DKIM1; h=sha256", b":x", b"; p=AA"),
    of(Kind::Signature, BODY, "fields in h=", b"v=1; a=rsa-sha256; d=x.example; s=s; bh=AA==; b=AA==; h=From", b":To", b""),
    of(Kind::Signature, BODY, "other fields in h=", b"v=1; a=rsa-sha256; d=x.example; s=s; bh=AA==; b=AA==; h=From", b":X-#", b""),
    of(Kind::Signature, BODY, "spaces in b=", b"v=1; a=rsa-sha256; d=x.example; s=s; bh=AA==; h=From; b=AA==", b" ", b""),
    of(Kind::Signature, BODY, "a long identity", b"v=1; a=rsa-sha256; d=x.example; s=s; bh=AA==; h=From; b=AA==; i=", b"a", b"@x.example"),
    of(Kind::Signature, BODY, "copies in z=", b"v=1; a=rsa-sha256; d=x.example; s=s; bh=AA==; h=From; b=AA==; z=From:x", b"|To:=20x", b""),
    of(Kind::Log, BODY, "a long address in the log", b"", b"a \"", b"@sample.com"),
];

/// As many open boundaries as there may be.
const OPEN: &[u8] =
    &opened::<{ 100 * 46 + 20 }>(b"Content-Type: multipart/x; boundary=\"b00\"    \n");

/// The same, of which Postfix sees the first letter.
const ALIKE: &[u8] =
    &opened::<{ 100 * 46 + 20 }>(b"Content-Type: multipart/x; boundary=b=00     \n");

/// A header of 100 fields like that, numbered.
const fn opened<const SIZE: usize>(field: &[u8; 46]) -> [u8; SIZE] {
    let mut header = [b'\n'; SIZE];
    let from = b"From: a@sample.com\n";
    let mut at = 0;
    while at < from.len() {
        header[at] = from[at];
        at += 1;
    }
    let mut number = 0_u8;
    while number < 100 {
        let mut index = 0;
        while index < field.len() {
            header[at] = match index {
                38 => b'0' + number / 10,
                39 => b'0' + number % 10,
                _ => field[index],
            };
            at += 1;
            index += 1;
        }
        number += 1;
    }
    header
}
