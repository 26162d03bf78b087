//! A body that no hop needs to change: 7-bit, its lines short (RFC 6376 §5.3). A first walk looks at
//! every part, a second one encodes those that need it. What is signed or encrypted by somebody else is
//! left as it is.

mod encode;
mod header;
mod part;

use std::mem;

use memchr::{memchr, memrchr};

use super::limits::{LONGEST_FIELD, LONGEST_LINE};
use super::mime::{Info, Visit, Walk};
use super::syntax::split_fields;
use encode::Encoder;
use header::{mended_header, write_header};
use part::{Fix, Part};

/// A message of more parts than this is left as it is, so that a large one does not take memory for each.
const MOST_PARTS: usize = 5_000;

/// What is done with one part, and what its header then says.
#[derive(Clone, Copy, Debug)]
struct Change {
    fix: Fix,
    /// The charset of a text/plain that names no type.
    charset: Option<&'static str>,
    /// The header is mended too.
    mends_header: bool,
}

impl Change {
    const NONE: Self = Self { fix: Fix::Keep, charset: None, mends_header: false };
}

/// What the second walk does; nothing, for most messages.
#[derive(Clone, Debug)]
pub struct Changes {
    top: Info,
    parts: Vec<Change>,
    /// A part that is left as it is could be changed by a hop.
    pub leaves_risk: bool,
    changes_body: bool,
}

/// The first walk.
#[derive(Clone, Debug)]
pub struct Survey {
    top: Info,
    walk: Walk,
    seen: Seen,
}

#[derive(Clone, Debug)]
struct Seen {
    parts: Vec<Part>,
    /// Octets of the line so far.
    column: usize,
    /// Preamble, epilogue, a boundary or a part header that would have to be encoded and can't be.
    outside_differs: bool,
    /// There are more than [`MOST_PARTS`], or a part header is too large.
    has_too_many: bool,
    /// There was text that may be encoded, and has to be.
    expects_change: bool,
}

impl Survey {
    /// Of a message with this header section. With `off` everything is kept.
    #[must_use]
    pub fn new(section: &[u8], off: bool) -> Self {
        let info = Info::of(section, "text/plain");
        let is_sealed = off || info.is_signed || info.is_odd || info.is_sealed();
        let walk = Walk::new(&info);
        let parts = vec![Part::new(info.without_boundaries(), 0, is_sealed, false)];
        let seen = Seen {
            parts,
            column: 0,
            outside_differs: info.is_torn,
            has_too_many: false,
            expects_change: false,
        };
        Self { top: info, walk, seen }
    }

    /// Takes octets of the body.
    pub fn feed(&mut self, octets: &[u8]) {
        self.walk.feed(octets, &mut self.seen);
    }

    /// Whether the body will not be kept, as far as can be seen now.
    #[must_use]
    pub fn expects_change(&self) -> bool {
        self.seen.expects_change
    }

    /// Decides what is done with each part.
    #[must_use]
    pub fn finish(mut self) -> Changes {
        self.walk.finish(&mut self.seen);
        let mut parts = self.seen.parts;
        if self.seen.has_too_many {
            parts.iter_mut().for_each(|part| part.is_sealed = true);
        }
        let fixes = fixes(&mut parts);
        let risky = |(part, fix): (&Part, &Fix)| *fix == Fix::Keep && part.is_at_risk();
        Changes {
            leaves_risk: self.seen.has_too_many
                || self.seen.outside_differs
                || parts.iter().zip(&fixes).any(risky),
            changes_body: parts.iter().zip(&fixes).enumerate().any(|(number, (part, fix))| {
                (part.header_differs && !part.is_sealed)
                    || (*fix != Fix::Keep && (number > 0 || *fix != Fix::Label))
            }),
            top: self.top,
            parts: parts
                .iter()
                .zip(fixes)
                .map(|(part, fix)| Change {
                    fix,
                    charset: part.charset(fix),
                    mends_header: !part.is_sealed,
                })
                .collect(),
        }
    }
}

/// What is done with each part. Afterwards a part that holds others is 8-bit as long as one of them is.
fn fixes(parts: &mut [Part]) -> Vec<Fix> {
    let mut fixes: Vec<Fix> = parts.iter().map(Part::fix).collect();
    // From the last part to the first, so that those inside come before it.
    for number in (0..parts.len()).rev() {
        let Some(part) = parts.get(number) else { continue };
        let mut stays = part.is_eight_bit && matches!(fixes.get(number), Some(Fix::Keep));
        let may_say_7bit = !part.info.is_leaf() && !part.is_sealed && !stays;
        if may_say_7bit
            && part.info.says_eight_bit
            && let Some(fix) = fixes.get_mut(number)
        {
            *fix = Fix::Label;
        }
        stays |= part.is_sealed && part.info.says_eight_bit;
        let parent = part.parent;
        if stays
            && number > 0
            && let Some(parent) = parts.get_mut(parent)
        {
            parent.is_eight_bit = true;
        }
    }
    fixes
}

/// Whether it is not 7bit (RFC 2045 §2.7): NUL is as bad as an octet above 127.
fn is_eight_bit(octets: &[u8]) -> bool {
    !octets.is_ascii() || memchr(0, octets).is_some()
}

/// Octets that quoted-printable writes as three: DEL only where the line has others of them.
fn special(lines: &[u8]) -> u64 {
    let is_special = |octet: &u8| *octet >= DEL || *octet == 0;
    // So many that their number is an octet, too: then a compiler counts many at a time.
    let count = |octets: &[u8]| {
        u64::from(octets.iter().map(|octet| u8::from(is_special(octet))).fold(0, u8::wrapping_add))
    };
    let count = |octets: &[u8]| octets.chunks(255).map(count).sum::<u64>();
    if memchr(DEL, lines).is_none() {
        return count(lines);
    }
    let lines = lines.split_inclusive(|octet| *octet == b'\n');
    lines.filter(|line| is_eight_bit(line)).map(count).sum()
}

const DEL: u8 = 0x7f;

impl Seen {
    /// Counts octets of lines. True if one of the lines is too long with them.
    fn makes_long_line(&mut self, octets: &[u8]) -> bool {
        let mut rest = octets;
        let mut is_long = false;
        while self.column.saturating_add(rest.len()) > LONGEST_LINE {
            // Lines that end within the room of one are short, however many they are.
            let room = LONGEST_LINE.saturating_add(1).saturating_sub(self.column);
            let end = memrchr(b'\n', rest.get(..room).unwrap_or_default());
            is_long |= end.is_none();
            let Some(end) = end.or_else(|| memchr(b'\n', rest)) else { break };
            rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
            self.column = 0;
        }
        let begun = memrchr(b'\n', rest).and_then(|end| rest.get(end.saturating_add(1)..));
        self.column = match begun {
            Some(begun) => begun.len(),
            None => self.column.saturating_add(rest.len()),
        };
        is_long
    }
}

impl Visit for Seen {
    fn header(&mut self, number: usize, parent: usize, info: &Info, section: &[u8]) {
        self.column = 0;
        if number > MOST_PARTS {
            self.has_too_many = true;
            return;
        }
        let outer = self.parts.get(parent);
        // A message inside that is signed is somebody else's, and so is all that is in it.
        let is_sealed = outer.is_none_or(|outer| outer.is_sealed)
            || info.is_signed
            || info.is_odd
            || info.is_sealed();
        let mended = mended_header(section);
        let wanted = mended.as_deref().unwrap_or(section);
        let header_differs = wanted != section;
        let sent = if is_sealed { section } else { wanted };
        let is_long = |line: &[u8]| line.len() > LONGEST_LINE;
        self.outside_differs |= (is_sealed && header_differs)
            || info.is_torn
            || is_eight_bit(sent)
            || split_fields(sent).any(|field| field.len() > LONGEST_FIELD)
            || sent.split(|octet| *octet == b'\n').any(is_long);
        debug_assert_eq!(number, self.parts.len());
        self.parts.push(Part::new(info.without_boundaries(), parent, is_sealed, header_differs));
    }

    fn text(&mut self, part: Option<usize>, piece: &[u8]) {
        let is_eight_bit = is_eight_bit(piece);
        let is_long = self.makes_long_line(piece);
        let Some(part) = part.and_then(|part| self.parts.get_mut(part)) else {
            self.outside_differs |= is_eight_bit || is_long;
            return;
        };
        self.expects_change |= (is_eight_bit || is_long) && !part.is_sealed && part.info.is_leaf();
        part.is_eight_bit |= is_eight_bit;
        part.has_long_line |= is_long;
        part.octets = part.octets.saturating_add(piece.len() as u64);
        if is_eight_bit {
            part.special = part.special.saturating_add(special(piece));
        }
        if part.is_plain_by_default() {
            part.utf8.feed(piece);
        }
        // PGP in-line: its lines are what was signed.
        part.is_pgp |= piece.starts_with(b"-----BEGIN PGP ");
    }

    fn boundary(&mut self, piece: &[u8]) {
        self.outside_differs |= self.makes_long_line(piece) || is_eight_bit(piece);
    }

    fn like_boundary(&mut self, part: Option<usize>) {
        match part.and_then(|part| self.parts.get_mut(part)) {
            Some(part) => part.has_false_boundary = true,
            None => self.outside_differs = true,
        }
    }

    fn too_large(&mut self) {
        self.has_too_many = true;
    }
}

impl Changes {
    /// Whether the body stays as it is.
    #[must_use]
    pub fn keep_body(&self) -> bool {
        !self.changes_body
    }

    /// What the header of the message must say: Content-Transfer-Encoding, and the charset of a
    /// text/plain that was not said.
    #[must_use]
    pub fn of_header(&self) -> Option<(&'static str, Option<&'static str>)> {
        let change = self.parts.first()?;
        Some((change.fix.encoding()?, change.charset))
    }
}

/// The second walk.
#[derive(Clone, Debug)]
pub struct Rewrite<'a> {
    walk: Walk,
    writer: Writer<'a>,
}

#[derive(Clone, Debug)]
struct Writer<'a> {
    changes: &'a Changes,
    part: usize,
    encoder: Encoder,
    /// That of the caller, while there is one.
    out: Vec<u8>,
}

impl<'a> Rewrite<'a> {
    /// At the first octet of the body that was surveyed.
    #[must_use]
    pub fn new(changes: &'a Changes) -> Self {
        let walk = Walk::new(&changes.top);
        let encoder =
            changes.parts.first().map_or(Encoder::Identity, |change| change.fix.encoder());
        Self { walk, writer: Writer { changes, part: 0, encoder, out: Vec::new() } }
    }

    /// Takes octets of the body, and gives what is to be sent of them.
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        mem::swap(&mut self.writer.out, out);
        self.walk.feed(octets, &mut self.writer);
        mem::swap(&mut self.writer.out, out);
    }

    /// The end of the body.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        mem::swap(&mut self.writer.out, out);
        self.walk.finish(&mut self.writer);
        self.writer.encoder.finish(false, &mut self.writer.out);
        mem::swap(&mut self.writer.out, out);
    }
}

impl Visit for Writer<'_> {
    fn header(&mut self, number: usize, _: usize, _: &Info, section: &[u8]) {
        self.encoder.finish(true, &mut self.out);
        let change = self.changes.parts.get(number).copied().unwrap_or(Change::NONE);
        let mended = if change.mends_header { mended_header(section) } else { None };
        let section = mended.as_deref().unwrap_or(section);
        match change.fix.encoding() {
            Some(encoding) => write_header(section, encoding, change.charset, &mut self.out),
            None => self.out.extend_from_slice(section),
        }
        self.part = number;
        self.encoder = change.fix.encoder();
    }

    fn text(&mut self, part: Option<usize>, piece: &[u8]) {
        if part == Some(self.part) {
            self.encoder.feed(piece, &mut self.out);
        } else {
            self.out.extend_from_slice(piece);
        }
    }

    fn boundary(&mut self, piece: &[u8]) {
        self.encoder.finish(true, &mut self.out);
        self.out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a message: the label for its header, and its body; the same for every size of
    /// piece, and once more the same when it is done again.
    fn settled(
        header: &str,
        body: &[u8],
    ) -> (Option<(&'static str, Option<&'static str>)>, String) {
        let whole = in_pieces(header, body, body.len().max(1));
        for size in (1..body.len()).take(200) {
            assert_eq!(in_pieces(header, body, size), whole, "pieces of {size}");
        }
        let (label, text) = &whole;
        let header = match label {
            Some((encoding, _)) => {
                let rest: String = header
                    .split_inclusive('\n')
                    .filter(|line| !line.starts_with("Content-Transfer-Encoding"))
                    .collect();
                format!("{rest}Content-Transfer-Encoding: {encoding}\n")
            }
            None => header.to_owned(),
        };
        let again = in_pieces(&header, text.as_bytes(), text.len().max(1));
        assert_eq!(again, (None, text.clone()), "not idempotent");
        whole
    }

    fn in_pieces(
        header: &str,
        body: &[u8],
        size: usize,
    ) -> (Option<(&'static str, Option<&'static str>)>, String) {
        let mut survey = Survey::new(header.as_bytes(), false);
        body.chunks(size).for_each(|piece| survey.feed(piece));
        let changes = survey.finish();
        let mut out = Vec::new();
        if changes.keep_body() {
            out.extend_from_slice(body);
        } else {
            let mut rewrite = Rewrite::new(&changes);
            body.chunks(size).for_each(|piece| rewrite.feed(piece, &mut out));
            rewrite.finish(&mut out);
        }
        (changes.of_header(), String::from_utf8_lossy(&out).into_owned())
    }

    const TEXT: &str = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n";
    const MIXED: &str = "Content-Type: multipart/mixed; boundary=b\n";

    #[test]
    fn seven_bit_text_of_short_lines_is_left_alone() {
        for header in ["", "Subject: x\n", "Content-Transfer-Encoding: 7bit\n", MIXED] {
            let text = "From x\n.\n--b\n\nx\n--b--\n";
            assert_eq!(settled(header, text.as_bytes()), (None, text.into()));
        }
    }

    #[test]
    fn lines_of_any_length_are_the_same_whole_and_in_pieces() {
        let lines = [0, 990, 991, 2047, 2048, 5000].map(|length| {
            let text = "word ".repeat(1_000);
            [&text.as_bytes()[..length], b"\n"].concat()
        });
        for end in ["", "\u{fc}\n", "-- \n", "--b\n\n", "-----BEGIN PGP MESSAGE-----\n"] {
            for one in &lines {
                for other in &lines {
                    let body =
                        [b"--b\n\n", &**one, other, end.as_bytes(), one, b"--b--\n"].concat();
                    let whole = in_pieces(MIXED, &body, body.len());
                    for size in [1, 1_000, 2_047, 2_048] {
                        assert!(in_pieces(MIXED, &body, size) == whole, "pieces of {size}");
                    }
                    let is_long = [one, other].iter().any(|line| line.len() > 991);
                    let is_kept = end.contains("PGP") || !(is_long || end.contains('\u{fc}'));
                    assert_eq!(
                        whole.1.as_bytes() == body,
                        is_kept,
                        "{} {}",
                        one.len(),
                        other.len()
                    );
                }
            }
        }
    }

    #[test]
    fn del_counts_only_where_a_line_is_8bit() {
        let encoding = |body: &str| settled("Subject: x\n", body.as_bytes()).0.unwrap().0;
        assert_eq!(encoding("\u{7f}\u{7f}\u{7f}\ntext \u{fc} and\n"), "quoted-printable");
        assert_eq!(encoding("text \u{fc} and\u{7f}\u{7f}\u{7f}\n\n"), "base64");
    }

    #[test]
    fn ascii_that_is_labelled_8bit_is_labelled_anew() {
        assert_eq!(settled(TEXT, b"Hi\n"), (Some(("7bit", None)), "Hi\n".into()));
        let part = "--b\nContent-Transfer-Encoding: binary\nX: y\n\nHi\n--b--\n";
        let wanted = part.replace("binary", "7bit");
        assert_eq!(settled(MIXED, part.as_bytes()), (None, wanted));
    }

    #[test]
    fn a_label_8bit_before_another_one_goes() {
        for (last, text, wanted) in [
            ("7bit", "Hi\n", "7bit"),
            ("quoted-printable", "a=3Db\n", "quoted-printable"),
            ("base64", "QUJD\n", "base64"),
        ] {
            let header = format!(
                "Content-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\
                 Content-Transfer-Encoding: {last}\n"
            );
            assert_eq!(settled(&header, text.as_bytes()), (Some((wanted, None)), text.into()));
            let body = format!("--b\n{header}\n{text}--b--\n");
            let one = header.replacen("Content-Transfer-Encoding: 8bit\n", "", 1);
            assert_eq!(settled(MIXED, body.as_bytes()), (None, body.replace(&header, &one)));
        }
    }

    #[test]
    fn a_message_of_countless_parts_is_left_as_it_is() {
        let part = "--b\nContent-Transfer-Encoding: 8bit\n\n\u{fc}\n";
        let changes = |count: usize| {
            let mut survey = Survey::new(MIXED.as_bytes(), false);
            survey.feed(part.repeat(count).as_bytes());
            survey.finish()
        };
        let most = changes(MOST_PARTS);
        assert!(!most.keep_body() && !most.leaves_risk);
        let more = changes(MOST_PARTS + 1);
        assert!(more.keep_body() && more.of_header().is_none() && more.leaves_risk);
    }

    #[test]
    fn a_part_header_that_postfix_would_cut_is_a_risk() {
        let risk = |words: usize| {
            let body = format!("--b\nX: {}\n\nx\n--b--\n", "word\n ".repeat(words));
            let mut survey = Survey::new(MIXED.as_bytes(), false);
            survey.feed(body.as_bytes());
            survey.finish().leaves_risk
        };
        assert!(!risk(9_000));
        assert!(risk(11_000));
    }

    #[test]
    fn eight_bit_text_becomes_quoted_printable() {
        let (label, body) =
            settled(TEXT, "Gr\u{fc}\u{df}e aus M\u{fc}nchen an alle, die es lesen\n".as_bytes());
        assert_eq!(label, Some(("quoted-printable", None)));
        assert_eq!(body, "Gr=C3=BC=C3=9Fe aus M=C3=BCnchen an alle, die es lesen\n");
    }

    #[test]
    fn text_of_other_letters_becomes_base64() {
        let (label, body) = settled(TEXT, "\u{4e9c}\u{4e9c}\n".as_bytes());
        assert_eq!(label, Some(("base64", None)));
        assert_eq!(body, "5Lqc5LqcDQo=\n");
    }

    #[test]
    fn a_text_that_said_nothing_is_told_what_it_is() {
        let label = |body: &[u8]| settled("Subject: x\n", body).0.unwrap();
        assert_eq!(label("gr\u{fc}n und blau\n".as_bytes()), ("quoted-printable", Some("utf-8")));
        assert_eq!(label(b"gr\xfcn und blau\n"), ("quoted-printable", Some("unknown-8bit")));
        let long = [b"x".repeat(991).as_slice(), b"\n"].concat();
        assert_eq!(label(&long), ("quoted-printable", Some("us-ascii")));
    }

    #[test]
    fn a_line_of_990_octets_is_short() {
        let text = [b"x".repeat(990).as_slice(), b"\n"].concat();
        assert_eq!(settled("", &text).0, None);
    }

    #[test]
    fn parts_are_encoded_each_for_itself() {
        let body = "pre\n--b\n\nascii\n--b\nContent-Type: text/html; charset=utf-8\n\
            Content-Transfer-Encoding: 8bit\n\n<p>gr\u{fc}n und blau</p>\n--b--\npost\n";
        let header = format!("{MIXED}Content-Transfer-Encoding: 8bit\n");
        let (label, got) = settled(&header, body.as_bytes());
        assert_eq!(label, Some(("7bit", None)));
        assert_eq!(got, body.replace("8bit", "quoted-printable").replace('\u{fc}', "=C3=BC"));
    }

    #[test]
    fn a_part_without_a_header_gets_one() {
        let (_, got) = settled(MIXED, "--b\n\ngr\u{fc}n und blau\n--b--\n".as_bytes());
        assert_eq!(
            got,
            "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: \
             quoted-printable\n\ngr=C3=BCn und blau\n--b--\n"
        );
    }

    #[test]
    fn base64_of_long_lines_is_wrapped() {
        let header = "Content-Type: image/png\nContent-Transfer-Encoding: base64\n";
        let body = [b"QUJD".repeat(300).as_slice(), b"\n"].concat();
        let (label, got) = settled(header, &body);
        assert_eq!(label, Some(("base64", None)));
        assert!(got.lines().all(|line| line.len() <= 76));
        assert_eq!(got.replace('\n', "").as_bytes(), b"QUJD".repeat(300));
    }

    #[test]
    fn quoted_printable_with_raw_octets_is_mended() {
        let header = "Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain\n";
        let (_, got) = settled(header, "a=3Db gr\u{fc}n =\nx\n".as_bytes());
        assert_eq!(got, "a=3Db gr=C3=BCn =\nx\n");
    }

    #[test]
    fn blanks_before_the_colon_of_a_part_header_go() {
        let body = "--b\nContent-Type : text/plain\nX\t: a\0b\n\nHi\n--b--\n";
        let (_, got) = settled(MIXED, body.as_bytes());
        assert_eq!(got, "--b\nContent-Type: text/plain\nX: ab\n\nHi\n--b--\n");
    }

    #[test]
    fn file_names_of_other_letters_are_extended() {
        let body =
            "--b\nContent-Disposition: attachment; filename=\"gr\u{fc}n.txt\"\n\nHi\n--b--\n";
        let (_, got) = settled(MIXED, body.as_bytes());
        assert!(got.contains("filename*=utf-8''gr%C3%BCn.txt\n"), "{got}");
    }

    #[test]
    fn what_somebody_else_has_signed_or_encrypted_is_left_alone() {
        let eight = "gr\u{fc}n : \0\n";
        for header in [
            "Content-Type: multipart/signed; boundary=b\n",
            "Content-Type: multipart/encrypted; boundary=b\n",
            "Content-Type: application/pkcs7-mime\n",
            "DKIM-Signature: x\nContent-Type: text/plain\n",
            "ARC-Seal: x\n",
        ] {
            let body = format!("--b\nX : y\n\n{eight}\n--b--\n");
            let mut survey = Survey::new(header.as_bytes(), false);
            survey.feed(body.as_bytes());
            let changes = survey.finish();
            assert!(changes.keep_body() && changes.of_header().is_none(), "{header}");
            assert!(changes.leaves_risk, "{header}");
        }
        for part in [
            "Content-Type: message/rfc822\n\nDKIM-Signature: x\n",
            "\n-----BEGIN PGP SIGNED MESSAGE-----",
        ] {
            let body = format!("--b\n{part}\n{eight}\n--b--\n");
            let mut survey = Survey::new(MIXED.as_bytes(), false);
            survey.feed(body.as_bytes());
            assert!(survey.finish().keep_body(), "{part}");
        }
    }

    #[test]
    fn what_is_not_ours_and_would_change_is_a_risk() {
        let risk = |field: &str| {
            let body = format!("--b\n{field}\n\nx\n--b--\n");
            let header = "Content-Type: multipart/signed; boundary=b\n";
            let mut survey = Survey::new(header.as_bytes(), false);
            survey.feed(body.as_bytes());
            survey.finish().leaves_risk
        };
        for field in ["X: a\0b", "X : ab", "X: gr\u{fc}n", "\0", &format!("X: {:991}", 0)] {
            assert!(risk(field), "{field:?}");
        }
        assert!(!risk("X: ab"));
        let mut survey = Survey::new(MIXED.as_bytes(), false);
        survey.feed(b"--b \0\n\nx\n--b--\n");
        assert!(survey.finish().leaves_risk, "a boundary");
    }

    #[test]
    fn an_enclosed_message_is_encoded_inside() {
        let body = "--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n\
            Subject: x\n\ngr\u{fc}n und blau\n--b--\n";
        let (_, got) = settled(MIXED, body.as_bytes());
        assert_eq!(
            got,
            "--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n\
             Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: \
             quoted-printable\n\ngr=C3=BCn und blau\n--b--\n"
        );
    }

    #[test]
    fn with_the_setting_off_everything_is_left_alone() {
        let mut survey = Survey::new(TEXT.as_bytes(), true);
        survey.feed("gr\u{fc}n\n".as_bytes());
        let changes = survey.finish();
        assert!(changes.keep_body() && changes.of_header().is_none());
    }

    #[test]
    fn a_message_with_a_part_header_that_is_too_large_is_left_as_it_is() {
        let body = |field: &str| format!("--b\n{field}\n\ngr\u{fc}n\n--b\n\ngr\u{fc}n\n--b--\n");
        let long = body(&format!("A: b\n{}C: d", "X: yyyyyyyyyyyyyyyyyyyy\n".repeat(6_000)));
        let mut survey = Survey::new(MIXED.as_bytes(), false);
        survey.feed(long.as_bytes());
        let changes = survey.finish();
        assert!(changes.keep_body() && changes.leaves_risk);
        assert_eq!(changes.of_header(), None);
        let mut survey = Survey::new(MIXED.as_bytes(), false);
        survey.feed(body("A: b").as_bytes());
        assert!(!survey.finish().keep_body());
    }
}
