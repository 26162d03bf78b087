//! Converts header text that is not ASCII to encoded-words (RFC 2047) and extended parameters (RFC 2231), so that no hop needs
//! SMTPUTF8. Addresses are not changed: an address in UTF-8 has no other form.

mod charset;
mod detector;
mod parameters;
mod phrase;
mod word;

use base64::prelude::*;

use super::address::{ADDRESS_FIELDS, Kind, Token, Unstable, addresses, is_resent, tokens};
use super::fold::{Writer, folded};
use super::limits::{LONGEST_LINE, LONGEST_WORD};
use super::syntax::{has_line_beyond, is_one_of, quoted, unescaped};
use charset::Cutter;
pub(crate) use charset::UNKNOWN;
pub(crate) use detector::{Detector, hint, named_charset};
use phrase::{Phrase, misread};
use word::{EncodedWord, Word, has_too_long, split_words};

/// The field without 8-bit bytes if possible, with short lines and short encoded-words. `hint` is the charset of text that is not
/// UTF-8.
#[must_use]
pub fn field(name: &[u8], body: &[u8], hint: Option<&str>) -> Vec<u8> {
    let field = written(name, body, hint);
    match field.get(name.len().saturating_add(1)..) {
        // Text that is ASCII now may be folded in more places.
        Some(ascii) if ascii != body && has_line_beyond(LONGEST_LINE, &field) => {
            written(name, ascii, hint)
        }
        _ => field,
    }
}

fn written(name: &[u8], body: &[u8], hint: Option<&str>) -> Vec<u8> {
    let whole = [name, b":", body].concat();
    let syntax = Syntax::of(name);
    let is_long = syntax != Syntax::Parameters && has_too_long(body);
    let is_new = !body.is_ascii() || is_long;
    if syntax == Syntax::WithoutWords || !is_new && !has_line_beyond(LONGEST_LINE, &whole) {
        return folded(&whole);
    }
    let colon = [name, b":"].concat();
    let writer = if is_new { Writer::new(&colon) } else { Writer::keeping(&colon) };
    let mut text = Text::new(writer, body, hint);
    let field = text.field(syntax, body, is_new).map(|()| text.writer.finish());
    field.filter(|field| field.is_ascii()).unwrap_or_else(|| folded(&whole))
}

/// Rewrites each display name in an address field that Postfix would take for several addresses. `None` if there is no such name.
/// `is_single`: the field often holds a single mailbox with a comma in its name.
///
/// # Errors
/// It is not certain which parts of the field are addresses.
pub(super) fn repaired(
    name: &[u8],
    body: &[u8],
    is_single: bool,
    hint: Option<&str>,
) -> Result<Option<Vec<u8>>, Unstable> {
    let Some((tokens, phrases)) = misread(body, is_single)? else { return Ok(None) };
    let mut text = Text::new(Writer::new(&[name, b":"].concat()), body, hint);
    text.keeps_raw = true;
    text.structured(body, &tokens, phrases, |_| true).ok_or(Unstable::Name)?;
    let field = text.writer.finish();
    // Proves that Postfix reads the rest of the field as it was meant, too.
    let body = field.get(name.len().saturating_add(1)..).unwrap_or_default();
    match misread(body, is_single)? {
        None => Ok(Some(field)),
        Some(_) => Err(Unstable::Name),
    }
}

/// The syntax of a field body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    /// No encoded-words are allowed (RFC 2047 §5, RFC 6376 §3.5).
    WithoutWords,
    /// A value that has parameters.
    Parameters,
    Addresses,
    /// A list of message ids, without separators (RFC 5322 §3.6.4).
    MessageIds,
    /// Encoded-words are allowed in comments only.
    Structured,
    /// A list of words or names, which may be folded after each comma.
    List,
    Text,
}

/// The fields of each syntax. All others are text.
const FIELDS: [(Syntax, &[&str]); 6] = [
    (Syntax::WithoutWords, &["DKIM-Signature", "Received"]),
    (Syntax::Parameters, &["Content-Type", "Content-Disposition"]),
    (Syntax::Addresses, &ADDRESS_FIELDS),
    (Syntax::MessageIds, &["In-Reply-To", "References"]),
    (Syntax::Structured, &STRUCTURED),
    (
        Syntax::List,
        &["Accept-Language", "Content-Language", "Followup-To", "Keywords", "Newsgroups"],
    ),
];

const STRUCTURED: [&str; 14] = [
    "Authentication-Results",
    "Autocrypt",
    "Content-ID",
    "Content-Location",
    "Content-Transfer-Encoding",
    "Date",
    "List-Archive",
    "List-Help",
    "List-Owner",
    "List-Post",
    "List-Subscribe",
    "List-Unsubscribe",
    "Message-ID",
    "MIME-Version",
];

impl Syntax {
    fn of(name: &[u8]) -> Self {
        if is_resent(name) {
            return Self::Addresses;
        }
        let row = FIELDS.iter().find(|(_, names)| is_one_of(name, names));
        row.map_or(Self::Text, |(syntax, _)| *syntax)
    }
}

/// Writes a text in one charset.
pub(super) struct Text<'a> {
    pub(super) writer: Writer,
    charset: &'a str,
    /// Whether the encoded-words are in a phrase or a comment, where more bytes must be encoded (RFC 2047 §5).
    is_structured: bool,
    /// Whether a line may be folded between two message ids.
    has_message_ids: bool,
    /// Whether bytes that cannot be encoded stay as they are.
    keeps_raw: bool,
}

impl<'a> Text<'a> {
    /// A writer for `body` or a part of it.
    pub(super) fn new(writer: Writer, body: &[u8], hint: Option<&'a str>) -> Self {
        let charset = charset::of(body, hint);
        Self { writer, charset, is_structured: true, has_message_ids: false, keeps_raw: false }
    }

    /// Writes the body of a field. `None` if some of its bytes cannot be encoded.
    fn field(&mut self, syntax: Syntax, body: &[u8], is_new: bool) -> Option<()> {
        match syntax {
            Syntax::Parameters => self.parameters(body),
            Syntax::Addresses => match addresses(body) {
                Ok(list) => {
                    let is_rewritten = |phrase: &[u8]| {
                        // A quoted string of that length could not be split.
                        let is_uncut = phrase.len() >= LONGEST_LINE && phrase.contains(&b'"');
                        !phrase.is_ascii() || is_uncut && has_too_long(phrase)
                    };
                    let phrases = list.phrases().collect();
                    self.structured(body, list.tokens(), phrases, is_rewritten)
                }
                Err(_) if body.is_ascii() => self.without_phrases(body),
                Err(_) => None,
            },
            Syntax::MessageIds | Syntax::Structured => {
                self.has_message_ids = syntax == Syntax::MessageIds;
                self.without_phrases(body)
            }
            Syntax::List if !is_new => self.without_phrases(body),
            Syntax::List | Syntax::Text => {
                self.is_structured = false;
                self.unstructured(&split_words(body), "", "");
                Some(())
            }
            Syntax::WithoutWords => None,
        }
    }

    /// Writes text as encoded-words, with `open` before the first one and `close` after the last one. `is_readable`: most of the
    /// text can be read in the source.
    fn encoded_words(&mut self, open: &str, text: &[u8], is_readable: bool, close: &str) {
        let is_quoted = is_readable || self.is_shorter_quoted(text);
        self.encoded(open, self.charset, text, is_quoted, close);
    }

    /// Writes a display name.
    pub(super) fn name(&mut self, name: &[u8]) {
        self.encoded_words("", name, is_mostly_ascii(name), "");
    }

    fn encoded(&mut self, open: &str, charset: &str, text: &[u8], is_quoted: bool, close: &str) {
        let mut cutter = Cutter::new(text, charset);
        let mut open = open;
        let letter = if is_quoted { 'Q' } else { 'B' };
        while !cutter.is_done() {
            let around = format!("{open}=?{charset}?{letter}??={close}").len();
            let room = self.writer.room().min(LONGEST_WORD).saturating_sub(around);
            let is_structured = self.is_structured;
            let length = |piece: &[u8]| {
                if is_quoted { quoted_length(piece, is_structured) } else { base64_length(piece) }
            };
            let piece = cutter.next(room, length);
            let piece = if is_quoted { self.quoted(&piece) } else { BASE64_STANDARD.encode(piece) };
            let close = if cutter.is_done() { close } else { "" };
            let word = format!("{open}=?{charset}?{letter}?{piece}?={close}");
            self.writer.encoded_word(word.as_bytes());
            open = "";
            if !cutter.is_done() {
                self.writer.text(b" ");
            }
        }
    }

    /// The encoding Q (RFC 2047 §4.2).
    fn quoted(&self, text: &[u8]) -> String {
        let mut quoted = String::with_capacity(text.len());
        for byte in text {
            match byte {
                b' ' => quoted.push('_'),
                byte if is_plain(*byte, self.is_structured) => quoted.push(char::from(*byte)),
                byte => quoted.push_str(&format!("={byte:02X}")),
            }
        }
        quoted
    }

    fn is_shorter_quoted(&self, text: &[u8]) -> bool {
        quoted_length(text, self.is_structured) <= base64_length(text)
    }

    /// Converts runs of words that are not ASCII to encoded-words; all other text stays. Readers drop WSP between two
    /// encoded-words (RFC 2047 §6.2), so WSP next to an existing one is moved into the new one. An encoded-word that is too long
    /// is split.
    fn unstructured(&mut self, words: &[Word<'_>], open: &str, close: &str) {
        let mut rest = words;
        let mut open = open;
        let mut is_after_encoded = false;
        let all: Vec<u8> =
            words.iter().flat_map(|word| [word.wsp, &word.text]).flatten().copied().collect();
        let is_readable = is_mostly_ascii(&all);
        while let Some(word) = rest.first() {
            // A reader does not decode an encoded-word that touches other text.
            let is_glued = word.wsp.is_empty() && rest.len() < words.len();
            self.writer.text(if is_glued { b" " } else { word.wsp });
            let length = rest.iter().take_while(|word| word.is_raw()).count();
            let (run, after) = rest.split_at(length.max(1));
            rest = after;
            let close = if rest.is_empty() { close } else { "" };
            if length == 0 {
                if let Some((encoded, bytes)) = EncodedWord::too_long(&word.text) {
                    self.encoded(open, encoded.charset, &bytes, encoded.is_quoted, close);
                } else {
                    let text = [open.as_bytes(), &word.text, close.as_bytes()].concat();
                    self.writer.text(&text);
                }
                open = "";
                is_after_encoded = word.is_encoded();
                continue;
            }
            let next = after.first().filter(|next| next.is_encoded());
            let all = run
                .iter()
                .flat_map(|word| [word.wsp, &word.text])
                .skip(usize::from(!is_after_encoded));
            let all = all.chain(next.map(|next| next.wsp)).flatten().copied();
            let text: Vec<u8> = all.filter(|byte| *byte != b'\n').collect();
            self.encoded_words(open, &text, is_readable, close);
            open = "";
            is_after_encoded = false;
        }
    }

    /// Writes a body that has no phrases, or whose phrases are not certain.
    fn without_phrases(&mut self, body: &[u8]) -> Option<()> {
        self.structured(body, &tokens(body).ok()?, Vec::new(), |_| false)
    }

    /// Converts comments that are not ASCII, and those of the phrases that `is_rewritten` chooses, to encoded-words; all other
    /// tokens stay, but an encoded-word in a phrase or a comment that is too long is split.
    fn structured(
        &mut self,
        body: &[u8],
        tokens: &[Token],
        phrases: Vec<(usize, usize)>,
        is_rewritten: impl Fn(&[u8]) -> bool,
    ) -> Option<()> {
        let mut phrases = phrases;
        phrases.sort_unstable();
        let mut phrases = phrases.into_iter().peekable();
        let (mut done, mut phrase_end, mut is_address) = (0, 0, false);
        let mut after = tokens.iter().skip(1);
        for token in tokens {
            let next = after.next();
            if token.from < done {
                continue;
            }
            self.writer.text(body.get(done..token.from)?);
            done = token.to;
            if let Some((from, to)) = phrases.next_if(|(from, _)| *from == token.from) {
                let phrase = body.get(from..to)?;
                if is_rewritten(phrase) {
                    self.phrase(phrase)?;
                    done = to;
                    continue;
                }
                phrase_end = to;
            }
            self.token(token.kind, token.text(body), token.from < phrase_end)?;
            if token.is(b"<>") {
                is_address = token.is(b"<");
            }
            let is_between_ids = token.is(b">") && next.is_some_and(|next| next.is(b"<"));
            let is_separator = token.is(b",;") || self.has_message_ids && is_between_ids;
            if is_separator && !is_address {
                self.writer.next_item();
            }
        }
        self.writer.text(body.get(done..)?);
        Some(())
    }

    /// Writes a token. What looks like an encoded-word in an address is part of the address.
    fn token(&mut self, kind: Kind, text: &[u8], is_in_phrase: bool) -> Option<()> {
        let content = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
        if !text.is_ascii() && !self.keeps_raw {
            let content = unescaped(content, b"\r\n");
            // Encoded-words are only allowed in comments here.
            let is_comment = kind == Kind::Comment;
            is_comment.then(|| self.encoded_words("(", &content, is_mostly_ascii(&content), ")"))
        } else if kind == Kind::Comment && has_too_long(text) {
            self.unstructured(&split_words(content), "(", ")");
            Some(())
        } else if let Some((word, bytes)) = EncodedWord::too_long(text).filter(|_| is_in_phrase) {
            self.encoded("", word.charset, &bytes, word.is_quoted, "");
            Some(())
        } else if matches!(kind, Kind::Quoted | Kind::Literal) {
            self.writer.whole(text);
            Some(())
        } else {
            self.writer.text(text);
            Some(())
        }
    }

    /// Writes a display name or the name of a group.
    fn phrase(&mut self, phrase: &[u8]) -> Option<()> {
        let said = Phrase::of(phrase, self.charset)?;
        if let Some(text) = said.ascii() {
            self.writer.whole(&quoted(text.iter().copied()));
            return Some(());
        }
        let all: Vec<u8> = said.pieces.iter().flat_map(|(_, text)| text).copied().collect();
        let is_quoted = is_mostly_ascii(&all) || self.is_shorter_quoted(&all);
        for (number, (charset, text)) in said.pieces.iter().enumerate() {
            if number > 0 {
                self.writer.text(b" ");
            }
            // ISO-2022-JP looks like ASCII, but is not.
            let is_quoted = is_quoted && !text.contains(&0x1b);
            self.encoded("", charset, text, is_quoted, "");
        }
        Some(())
    }
}

/// Whether at most a third of the text is not ASCII.
fn is_mostly_ascii(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let others = text.iter().filter(|byte| !byte.is_ascii()).count();
    others.saturating_mul(3) <= text.len()
}

/// Whether the encoding Q writes a byte unchanged. In a phrase it encodes all specials (RFC 2047 §5).
fn is_plain(byte: u8, is_structured: bool) -> bool {
    if is_structured {
        byte.is_ascii_alphanumeric() || b"!*+-/".contains(&byte)
    } else {
        byte.is_ascii_graphic() && !b"=?_".contains(&byte)
    }
}

fn quoted_length(text: &[u8], is_structured: bool) -> usize {
    let length = |byte: &u8| if *byte == b' ' || is_plain(*byte, is_structured) { 1 } else { 3 };
    text.iter().map(length).sum()
}

fn base64_length(text: &[u8]) -> usize {
    text.len().div_ceil(3).saturating_mul(4)
}

#[cfg(test)]
mod tests {
    use super::charset::declared_charset;
    use super::*;

    fn ascii_value(name: &[u8], value: &[u8], declared: Option<&str>) -> Option<Vec<u8>> {
        let field = field(name, value, declared);
        if value.is_ascii() || !field.is_ascii() {
            return None;
        }
        Some(field.strip_prefix(name)?.strip_prefix(b":")?.to_vec())
    }

    fn ascii(name: &str, value: &str) -> Option<String> {
        let value = ascii_value(name.as_bytes(), value.as_bytes(), None)?;
        Some(String::from_utf8(value).unwrap())
    }

    #[test]
    fn ascii_needs_nothing() {
        assert_eq!(ascii("Subject", " x\n"), None);
    }

    #[test]
    fn non_ascii_words_are_encoded_and_the_rest_stays() {
        let got = ascii("Subject", " Gr\u{fc}\u{df}e  aus M\u{fc}nchen, am See\n").unwrap();
        assert_eq!(got, " =?utf-8?Q?Gr=C3=BC=C3=9Fe?=  aus =?utf-8?Q?M=C3=BCnchen,?= am See\n");
    }

    #[test]
    fn adjacent_words_are_encoded_with_the_spaces_between() {
        let got = ascii("Subject", " \u{fc}\n \u{fc} x\n").unwrap();
        assert_eq!(got, " =?utf-8?B?w7wgw7w=?= x\n");
    }

    #[test]
    fn a_space_next_to_an_encoded_word_goes_inside() {
        let got = ascii("Subject", " =?utf-8?Q?a?= \u{fc} =?utf-8?Q?b?=\n").unwrap();
        assert_eq!(got, " =?utf-8?Q?a?= =?utf-8?Q?_=C3=BC_?= =?utf-8?Q?b?=\n");
    }

    #[test]
    fn raw_bytes_that_touch_an_encoded_word_get_their_own() {
        for (value, wanted) in [
            (" \u{fc}=?utf-8?Q?a?=\n", " =?utf-8?Q?=C3=BC?= =?utf-8?Q?a?=\n"),
            (" x =?utf-8?Q?a?=b\u{fc} y\n", " x =?utf-8?Q?a?= =?utf-8?Q?b=C3=BC?= y\n"),
            (" =?utf-8?X?a?=\u{fc}\n", " =?utf-8?Q?=3D=3Futf-8=3FX=3Fa=3F=3D=C3=BC?=\n"),
            ("\u{fc}=?a?b?c?=", "=?utf-8?Q?=C3=BC?= =?a?b?c?="),
        ] {
            assert_eq!(ascii("Subject", value).unwrap(), wanted, "{value}");
        }
    }

    #[test]
    fn raw_bytes_in_an_encoded_word_are_encoded_in_place() {
        let value = ascii_value(b"Subject", b" =?iso-8859-1?Q?gr\xfcn?= x\n", None).unwrap();
        assert_eq!(value, b" =?iso-8859-1?Q?gr=FCn?= x\n");
        let value =
            ascii_value(b"To", b" H =?iso-8859-1?Q?M\xfcller?= <m@x.test>\n", None).unwrap();
        assert_eq!(value, b" =?iso-8859-1?Q?H_M=FCller?= <m@x.test>\n");
    }

    #[test]
    fn encoded_words_that_are_short_or_cannot_be_split_stay_next_to_raw_text() {
        let unknown = format!("=?x-what?Q?{}?=", "a".repeat(80));
        for (value, wanted) in [
            (
                " =?utf-8?q?caf=c3=a9?= \u{fc}\n".to_owned(),
                " =?utf-8?q?caf=c3=a9?= =?utf-8?Q?_=C3=BC?=\n".to_owned(),
            ),
            (format!(" {unknown} \u{fc}\n"), format!(" {unknown}\n =?utf-8?Q?_=C3=BC?=\n")),
        ] {
            assert_eq!(ascii("Subject", &value), Some(wanted));
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let got = ascii("Subject", &format!(" {}\n", "\u{4e9c}".repeat(60))).unwrap();
        assert!(got.lines().all(|line| line.trim().len() <= 75), "{got}");
        assert!(got.split_whitespace().all(|word| {
            let text = word.strip_prefix("=?utf-8?B?").unwrap().strip_suffix("?=").unwrap();
            std::str::from_utf8(&BASE64_STANDARD.decode(text).unwrap()).is_ok()
        }));
    }

    #[test]
    fn what_is_not_utf_8_is_of_the_declared_charset_or_unknown() {
        let value = |declared| ascii_value(b"Subject", b" gr\xfcn\n", declared).unwrap();
        assert_eq!(value(None), b" =?unknown-8bit?Q?gr=FCn?=\n");
        assert_eq!(value(Some("iso-8859-1")), b" =?iso-8859-1?Q?gr=FCn?=\n");
        assert_eq!(
            declared_charset(b"text/plain; charset=ISO-8859-15"),
            Some("iso-8859-15".into())
        );
        assert_eq!(declared_charset(b"text/plain; charset=\"iso-2022-jp\""), None);
        for rest in ["?B?eA==?=", " 1", "gr\u{fc}n", &"1".repeat(41)] {
            let value = format!("text/plain; charset=\"iso-8859-{rest}\"");
            assert_eq!(declared_charset(value.as_bytes()), None, "{rest}");
        }
        assert_eq!(declared_charset(b"text/plain; charset=Shift_JIS"), Some("shift_jis".into()));
    }

    #[test]
    fn two_byte_characters_are_not_split() {
        // HIRAGANA LETTER A, whose second byte in Shift_JIS cannot begin a character, and half-width katakana.
        let text = [b" ".as_slice(), &b"\x82\xa0\xb1".repeat(30), b"\n"].concat();
        let got =
            String::from_utf8(ascii_value(b"Subject", &text, Some("shift_jis")).unwrap()).unwrap();
        assert!(got.split_whitespace().count() > 2);
        for word in got.split_whitespace() {
            let word = word.strip_prefix("=?shift_jis?B?").unwrap().strip_suffix("?=").unwrap();
            let bytes = BASE64_STANDARD.decode(word).unwrap();
            assert!(!bytes.starts_with(b"\xa0") && !bytes.ends_with(b"\x82"), "{bytes:x?}");
        }
    }

    #[test]
    fn display_names_and_comments_are_encoded_and_addresses_never() {
        for (value, wanted) in [
            (" M\u{fc}ller <m@x.test>\n", Some(" =?utf-8?Q?M=C3=BCller?= <m@x.test>\n")),
            (" \"M\u{fc}ller, H\" <m@x.test>", Some(" =?utf-8?Q?M=C3=BCller=2C_H?= <m@x.test>")),
            (" m@x.test (M\u{fc}ller)", Some(" m@x.test (=?utf-8?Q?M=C3=BCller?=)")),
            (
                " a@x.test, \u{fc} <b@x.test>, C <c@x.test>",
                Some(" a@x.test, =?utf-8?B?w7w=?= <b@x.test>, C <c@x.test>"),
            ),
            (" m\u{fc}ller@x.test", None),
            (" X <x@b\u{fc}cher.example>", None),
        ] {
            assert_eq!(ascii("To", value).as_deref(), wanted, "{value}");
        }
    }

    #[test]
    fn parameters_are_extended() {
        for (value, wanted) in [
            (
                " attachment; filename=\"gr\u{fc}n;1.txt\"; size=3\n",
                " attachment; filename*=utf-8''gr%C3%BCn%3B1.txt; size=3\n",
            ),
            (" text/plain;\n name=gr\u{fc}n\n", " text/plain;\n name*=utf-8''gr%C3%BCn\n"),
            // What is not ASCII is no part of the value.
            (" x/y; boundary=\"a b\"\u{fc}\n", " x/y; boundary=\"a b\"\n"),
            (" x/y; name=a (\u{fc}); z=1\n", " x/y; name=\"a\"; z=1\n"),
        ] {
            assert_eq!(ascii("Content-Disposition", value).as_deref(), Some(wanted));
        }
        // A piece ends where it has 55 bytes or more.
        let (eight, nine) = ("%C3%BC".repeat(8), "%C3%BC".repeat(9));
        let long = format!(
            " x/y; name*0*=utf-8''{eight};\n name*1*={nine}%C3;\n name*2*=%BC{nine};\n name*3*={}\n",
            "%C3%BC".repeat(3)
        );
        let body = format!(" x/y; name=\"{}\"\n", "\u{fc}".repeat(30));
        assert_eq!(ascii("Content-Type", &body), Some(long));
        for left in [
            " t\u{eb}xt/plain; x=y\n",
            " t\u{eb}xt=plain; x=y\n",
            " multipart/mixed; boundary=\"gr\u{fc}n\"\n",
            " x/y; name*=utf-8''gr\u{fc}n\n",
            " x/y; n\u{e4}me=gr\u{fc}n\n",
        ] {
            assert_eq!(ascii("Content-Type", left), None);
        }
    }

    #[test]
    fn a_comment_of_a_structured_field_is_encoded() {
        let got =
            ascii("Date", " Sat, 20 Sep 2008 20:04:30 +0300 (\u{5e9}\u{5d1}\u{5ea})\n").unwrap();
        assert_eq!(got, " Sat, 20 Sep 2008 20:04:30 +0300 (=?utf-8?B?16nXkdeq?=)\n");
        assert_eq!(ascii("Date", " \u{5e9} (\u{5e9})\n"), None);
        assert_eq!(ascii("Received", " from x (\u{fc})\n"), None);
    }

    #[test]
    fn fields_without_a_place_for_words_are_left_alone() {
        assert_eq!(ascii("References", " <\u{fc}@x>\n"), None);
    }

    /// The decoded text of a field, without folding and without the WSP between two encoded-words.
    fn decoded(field: &str) -> Vec<u8> {
        let (mut text, mut rest) = (Vec::new(), field.replace('\n', ""));
        while let Some((before, after)) = rest.split_once("=?utf-8?") {
            let is_between = before.trim().is_empty() && !text.is_empty();
            text.extend(before.bytes().filter(|_| !is_between));
            let (letter, after) = after.split_once('?').unwrap();
            let (word, after) = after.split_once("?=").unwrap();
            let word = format!("=?utf-8?{letter}?{word}?=");
            text.extend(EncodedWord::at_start(word.as_bytes()).unwrap().decoded().unwrap());
            rest = after.to_owned();
        }
        text.extend(rest.bytes());
        text
    }

    #[test]
    fn rfc2047_2_no_word_is_longer_than_75_and_no_line_with_one_than_76() {
        let lengths = [0, 1, 5, 29, 47, 60, 61, 62, 63, 64, 66, 67, 68, 76, 80, 200];
        let texts =
            [("Subject", "", ""), ("To", "x@y.example, ", " <a@b.example>, C D <c@d.example>")];
        for (before, raw, after) in lengths.into_iter().flat_map(|before| {
            (1..40)
                .chain([100, 300])
                .flat_map(move |raw| [0, 1, 40, 90].map(|after| (before, raw, after)))
        }) {
            for (name, open, close) in texts {
                let words = |length: usize| "ab ".repeat(length / 3) + &"c".repeat(length % 3);
                let raw = ["\u{fc}", "\u{4e9c}", "\u{1f600}x"][raw % 3].repeat(raw);
                let body = format!(" {open}{} {raw}{close} {}\n", words(before), words(after));
                let field = field(name.as_bytes(), body.as_bytes(), None);
                let field = String::from_utf8(field).unwrap();
                let has_word = |line: &&str| line.contains("=?");
                assert!(field.lines().filter(has_word).all(|line| line.len() <= 76), "{field}");
                let words = word::encoded_words(field.as_bytes());
                assert!(words.map(|word| word.length).all(|length| length <= 75), "{field}");
                let text = String::from_utf8(decoded(&field)).unwrap();
                assert_eq!(
                    text.replace(' ', ""),
                    format!("{name}:{body}").replace([' ', '\n'], "")
                );
                assert!(field.lines().all(|line| !line.trim().is_empty()), "{field}");
            }
        }
    }

    #[test]
    fn a_line_is_folded_where_a_person_would_fold_it() {
        let sixty = "abcde ".repeat(10);
        let word =
            |length| format!("=?utf-8?B?{}?=", BASE64_STANDARD.encode("\u{fc}".repeat(length)));
        for (name, body, wanted) in [
            // Before the encoded-word rather than inside it, and never directly after the colon.
            ("Subject", format!(" {sixty}Gr\u{fc}\u{df}e\n"), format!(" {}\n =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n", sixty.trim())),
            ("Subject", format!(" {}\n", "\u{fc}".repeat(30)),
                format!(" {}\n {}\n", word(19), word(11)),
            ),
            // After a comma rather than inside a mailbox.
            ("To", " \u{fc} <a@example.com>, Christopher Robin <christopher@example.com>\n".to_owned(), " =?utf-8?B?w7w=?= <a@example.com>,\n Christopher Robin <christopher@example.com>\n".to_owned()),
            // Not inside a quoted-string that fits on a line.
            ("To", " \u{fc} <a@example.com>, x <\"a b c d e f g h i j k l m n o\"@example.com>\n".to_owned(), " =?utf-8?B?w7w=?= <a@example.com>,\n x <\"a b c d e f g h i j k l m n o\"@example.com>\n".to_owned()),
            ("To", format!(" \u{fc} <\"{}\"@example.com>\n", sixty.trim()), format!(" =?utf-8?B?w7w=?=\n <\"{}\"@example.com>\n", sixty.trim())),
            // Inside a comment as inside text.
            ("To", format!(" \u{fc} <a@example.com> ({sixty}{sixty}x)\n"), format!(" =?utf-8?B?w7w=?= <a@example.com> ({}abcde\n {}abcde\n abcde abcde x)\n", "abcde ".repeat(5), "abcde ".repeat(11))),
        ] {
            let field = field(name.as_bytes(), body.as_bytes(), None);
            assert_eq!(String::from_utf8(field).unwrap(), format!("{name}:{wanted}"));
        }
    }

    #[test]
    fn a_quoted_string_that_fits_on_the_next_line_stays_whole() {
        for length in [LONGEST_LINE - 1, LONGEST_LINE] {
            let quoted = format!("\"{}{}\"", "x ".repeat(480), "y".repeat(length - 962));
            let body = format!(" a@sample.com, {quoted} <b@sample.com>\n");
            let field = String::from_utf8(field(b"To", body.as_bytes(), None)).unwrap();
            assert!(field.lines().all(|line| line.len() <= LONGEST_LINE), "{field}");
            assert_eq!(field.replace("\n ", " "), format!("To:{body}"));
            assert_eq!(field.contains(&quoted), length < LONGEST_LINE, "{field}");
        }
    }

    #[test]
    fn a_quoted_string_is_folded_inside_where_no_other_place_makes_the_line_short_enough() {
        let quoted = format!("\"{}z\"", "x y ".repeat(245));
        for (name, before, after) in [
            ("Disposition-Notification-To", " ", " <a@example.com>"),
            ("To", " A <", "@example.com>"),
            ("To", " \u{fc} <", "@example.com>"),
            ("Authentication-Results", " mx.test; dkim=fail reason=", ""),
        ] {
            let body = format!("{before}{quoted}{after}\n");
            let field = String::from_utf8(field(name.as_bytes(), body.as_bytes(), None)).unwrap();
            assert!(field.lines().all(|line| line.len() <= LONGEST_LINE), "{field}");
            let unfolded = field.replace("\n ", " ").replace("=?utf-8?B?w7w=?=", "\u{fc}");
            assert_eq!(unfolded, format!("{name}:{body}"));
        }
    }

    #[test]
    fn a_field_whose_lines_are_short_stays() {
        // Even if it has a quoted-string of two lines.
        let (half, words) = ("a@sample.com, ".repeat(40), "x ".repeat(150));
        let body = format!(" {half}\"{words}\n {words}\" <b@sample.com>\n");
        assert_eq!(field(b"To", body.as_bytes(), None), format!("To:{body}").as_bytes());
    }

    #[test]
    fn no_line_of_spaces_is_made_before_an_encoded_word() {
        for spaces in [1, 60, 75, 76, 77, 200, 1_000] {
            let body = format!(" {}{}\u{fc}\n", "x".repeat(1_000), " ".repeat(spaces));
            let field = String::from_utf8(field(b"Subject", body.as_bytes(), None)).unwrap();
            assert!(field.lines().all(|line| !line.trim().is_empty()), "{spaces}: {field}");
        }
    }

    #[test]
    fn a_list_without_spaces_is_folded_between_its_items() {
        for (name, item, separator) in [
            ("To", "user@example.com", ","),
            ("From", "Ann <user@example.com>", ","),
            ("Cc", "\"a,b\" <user@example.com>", ";"),
            ("Resent-To", "user@example.com", ","),
            // Its addresses are not certain.
            ("To", "user@example.com>", ","),
            ("References", "<0123456789@example.com>", ","),
            ("References", "<0123456789@example.com>", ""),
            ("In-Reply-To", "<0,1>", ","),
            ("List-Unsubscribe", "<mailto:a@example.com?subject=a,b;c>", ","),
            ("Keywords", "word", ","),
            ("Newsgroups", "alt.test", ","),
            ("Content-Type", "name=x", ";"),
        ] {
            let list = vec![item; 200].join(separator);
            let body = format!(" {}{list}\n", if separator == ";" { "x/y;" } else { "" });
            let field = String::from_utf8(field(name.as_bytes(), body.as_bytes(), None)).unwrap();
            assert!(field.lines().all(|line| line.len() <= LONGEST_LINE), "{field}");
            assert_eq!(field.replace("\n ", ""), format!("{name}:{body}"), "{field}");
            for line in field.lines().skip(1) {
                assert!(line.trim_start().starts_with(item), "{field}");
            }
        }
        // In text, readers would show the space.
        let body = format!(" {}\n", vec!["a"; 1_000].join(","));
        assert_eq!(field(b"Subject", body.as_bytes(), None), format!("Subject:{body}").as_bytes());
    }

    #[test]
    fn a_list_with_a_raw_word_is_folded_between_its_items() {
        let body = format!(" {}, \u{fc}\n", vec!["word"; 300].join(","));
        let field = String::from_utf8(field(b"Keywords", body.as_bytes(), None)).unwrap();
        assert!(field.lines().all(|line| line.len() <= LONGEST_LINE), "{field}");
        assert!(field.ends_with(",\n =?utf-8?Q?=C3=BC?=\n"), "{field}");
    }

    #[test]
    fn without_a_separator_only_message_ids_are_folded() {
        for (name, item) in [
            ("To", "<user@example.com>"),
            ("List-Archive", "<https://example.com>"),
            ("References", "<0123456789@example.com>(x)"),
        ] {
            let field_as_typed = format!("{name}: {}\n", item.repeat(100));
            let body = field_as_typed.strip_prefix(name).unwrap().strip_prefix(':').unwrap();
            let field = field(name.as_bytes(), body.as_bytes(), None);
            assert_eq!(String::from_utf8(field).unwrap(), field_as_typed);
        }
    }

    #[test]
    fn what_looks_like_a_long_encoded_word_in_an_address_stays() {
        let word = format!("=?utf-8?Q?{}?=", "a".repeat(80));
        for (name, body) in [
            ("From", format!(" {word}@sample.com\n")),
            ("From", format!("{word}@sample.com\n")),
            ("From", format!(" \"{word}\"@sample.com\n")),
            ("Sender", format!(" A <{word}@sample.com>\n")),
            ("To", format!(" a@sample.com, A <a@{word}.example>, b@sample.com\n")),
            ("Cc", format!(" A: <{word}>, {word};\n")),
            ("To", format!(" A <{word}\n")),
            ("Message-ID", format!(" <{word}@sample.com>\n")),
            ("References", format!(" <a@sample.com> <{word}@sample.com>\n")),
            ("List-Unsubscribe", format!(" <mailto:{word}@sample.com>\n")),
            // A quoted-string has no encoded-words either (RFC 2047 §5).
            ("To", format!(" \"{word}\" <a@sample.com>\n")),
        ] {
            let field = String::from_utf8(field(name.as_bytes(), body.as_bytes(), None)).unwrap();
            assert_eq!(field.replace("\n ", " "), format!("{name}:{body}"));
        }
    }

    #[test]
    fn an_encoded_word_that_is_too_long_becomes_several() {
        let base64 = |text: &[u8]| BASE64_STANDARD.encode(text);
        let japanese =
            [b"\x1b$B".as_slice(), &b"$\"".repeat(60), b"\x1b(B and \x1b$B$$\x1b(B"].concat();
        for (charset, text) in [
            ("UTF-8", "\u{4e9c}a\u{fc}".repeat(40).into_bytes()),
            ("iso-8859-1", b"gr\xfcn ".repeat(40)),
            ("windows-1251", b"\xcf\xf0".repeat(40)),
            ("ISO-2022-JP", japanese),
            ("Shift_JIS", b"\x82\xa0\xb1a".repeat(40)),
            ("EUC-JP", b"\xa4\xa2\x8f\xb0\xa1".repeat(40)),
            ("gb2312", b"\xc4\xe3a".repeat(40)),
            ("gb18030", b"\xc4\xe3\x81\x30\x81\x30".repeat(40)),
            ("big5", b"\xa7A".repeat(40)),
            ("euc-kr*ko", b"\xbe\xc8".repeat(40)),
            ("us-ascii", b"abc ".repeat(40)),
        ] {
            let quoted: String = text.iter().map(|byte| format!("={byte:02X}")).collect();
            for word in
                [format!("=?{charset}?B?{}?=", base64(&text)), format!("=?{charset}?q?{quoted}?=")]
            {
                for (name, before, after) in [
                    ("Subject", "Re: ", " x"),
                    ("From", "", " <a@x.test>"),
                    ("To", "b@x.test, A ", "<a@x.test>, C <c@x.test>"),
                    ("From", "a@x.test (", ")"),
                    ("Sender", "a@x.test (b ", " c)"),
                ] {
                    let body = format!(" {before}{word}{after}\n");
                    let once = field(name.as_bytes(), body.as_bytes(), None);
                    let text_of = |field: &[u8]| -> Vec<u8> {
                        word::encoded_words(field)
                            .flat_map(|word| word.decoded().unwrap())
                            .collect()
                    };
                    // An escape sequence to ASCII and back has no effect.
                    let plain =
                        |text: Vec<u8>| String::from_utf8_lossy(&text).replace("\x1b(B\x1b$B", "");
                    assert_eq!(plain(text_of(&once)), plain(text.clone()), "{charset}");
                    let mut words = word::encoded_words(&once);
                    assert!(words.all(|word| word.length <= 75 && word.charset == charset));
                    let lines = String::from_utf8(once.clone()).unwrap();
                    assert!(lines.lines().all(|line| line.len() <= 76), "{lines}");
                    let rest = lines.replace("\n ", " ");
                    let from = rest.find("=?").unwrap();
                    let to = rest.rfind("?=").unwrap() + 2;
                    let [from, to] = [rest.split_at(from).0, rest.split_at(to).1];
                    assert_eq!(from, format!("{name}: {before}"), "{lines}");
                    assert_eq!(to.trim_start(), format!("{after}\n").trim_start(), "{lines}");
                    let again = field(name.as_bytes(), &once[name.len() + 1..], None);
                    assert_eq!(again, once, "{lines}");
                }
            }
        }
        // It is not known where its characters end; or no word would have room for one.
        for charset in ["x-what", &format!("iso-2022-jp{}", "+".repeat(60))] {
            let text = b"\x1b$B$\"$\"\x1b(B".repeat(10);
            let word = format!(" =?{charset}?B?{}?=\n", base64(&text));
            assert_eq!(
                field(b"Subject", word.as_bytes(), None),
                format!("Subject:{word}").as_bytes()
            );
        }
    }

    #[test]
    fn a_name_with_a_word_that_cannot_be_split_is_not_written_again() {
        for charset in ["x-what", &format!("iso-2022-jp{}", "+".repeat(60))] {
            let text = BASE64_STANDARD.encode(b"\x1b$B$\"$\"\x1b(B");
            let word = format!("=?{charset}?B?{text}?=");
            for name in [format!("{word} \u{fc}"), format!("\"{word} \u{fc}\"")] {
                let body = format!(" {name} <a@x.test>\n");
                let left = field(b"To", body.as_bytes(), None);
                assert!(String::from_utf8_lossy(&left).contains(&word), "{name}");
            }
        }
    }

    #[test]
    fn text_that_is_mostly_ascii_can_be_read_in_the_source() {
        for (value, wanted) in [
            (" h\u{e9}llo\n", " =?utf-8?Q?h=C3=A9llo?=\n"),
            (" 50% off \u{2013} only today\n", " 50% off =?utf-8?Q?=E2=80=93?= only today\n"),
            (" \u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}\n", " =?utf-8?B?0J/RgNC40LLQtdGC?=\n"),
            (" \u{65e5}\u{672c}\n", " =?utf-8?B?5pel5pys?=\n"),
        ] {
            assert_eq!(ascii("Subject", value).as_deref(), Some(wanted));
        }
        let from = ascii("From", " H\u{e9}llo, \"x\" & co. <a@x.test>\n");
        assert_eq!(from, None);
        let from = ascii("From", " \"H\u{e9}llo, x & co.\" <a@x.test>\n");
        assert_eq!(from.as_deref(), Some(" =?utf-8?Q?H=C3=A9llo=2C_x_=26_co=2E?= <a@x.test>\n"));
    }

    #[test]
    fn no_line_of_spaces_is_made_after_a_comma() {
        for (before, spaces) in [(1, 70), (30, 2), (30, 60), (75, 2), (76, 1), (110, 2), (110, 900)]
        {
            let body =
                format!(" {},{}\u{fc}{}\n", "x".repeat(before), " ".repeat(spaces), "y".repeat(50));
            let once = field(b"Subject", body.as_bytes(), None);
            let text = String::from_utf8_lossy(&once);
            assert!(text.lines().all(|line| !line.trim().is_empty()), "{before} {spaces}: {text}");
        }
    }

    #[test]
    fn an_escaped_backslash_of_a_comment_stays() {
        let got = ascii("To", " a@x.test (a\\\\b\\) \u{fc})").unwrap();
        assert_eq!(got, " a@x.test (=?utf-8?Q?a=5Cb=29_=C3=BC?=)");
    }
}
