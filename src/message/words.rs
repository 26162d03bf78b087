//! Header text that is not ASCII → encoded-words (RFC 2047) and extended parameters (RFC 2231), so that
//! no hop needs SMTPUTF8. Addresses are left alone: an address in UTF-8 has no other form.

mod word;

use std::collections::BTreeMap;

use base64::prelude::*;

use super::address::{ADDRESS_FIELDS, Kind, Token, addresses, is_resent, tokens};
use super::fold::{Writer, folded};
use super::limits::LONGEST_CHARSET;
use super::syntax::{
    is_one_of, parameter, split_at_semicolons, unescaped, value, without_comments,
};
use word::{Word, split_words};

/// Fields of a syntax that has no place for encoded words but in comments.
const STRUCTURED: [&str; 16] = [
    "Authentication-Results",
    "Autocrypt",
    "Content-ID",
    "Content-Location",
    "Content-Transfer-Encoding",
    "Date",
    "In-Reply-To",
    "List-Archive",
    "List-Help",
    "List-Owner",
    "List-Post",
    "List-Subscribe",
    "List-Unsubscribe",
    "Message-ID",
    "MIME-Version",
    "References",
];

/// Fields that have no place for them at all (RFC 2047 §5, RFC 6376 §3.5).
const WITHOUT_WORDS: [&str; 2] = ["DKIM-Signature", "Received"];

/// The field without 8-bit bytes where that can be done, and its lines short. `declared` is the charset that the
/// message says its text is in.
#[must_use]
pub fn field(name: &[u8], body: &[u8], declared: Option<&str>) -> Vec<u8> {
    ascii_field(name, body, declared).unwrap_or_else(|| folded(&[name, b":", body].concat()))
}

/// `None` where the field has no 8-bit bytes, or some that have no place for another form.
fn ascii_field(name: &[u8], body: &[u8], declared: Option<&str>) -> Option<Vec<u8>> {
    if body.is_ascii() || is_one_of(name, &WITHOUT_WORDS) {
        return None;
    }
    let writer = Writer::new(&[name, b":"].concat());
    let mut text = Text { writer, charset: charset(body, declared) };
    if is_one_of(name, &["Content-Type", "Content-Disposition"]) {
        text.parameters(body)?;
    } else if is_one_of(name, &ADDRESS_FIELDS) || is_resent(name) {
        let list = addresses(body).ok()?;
        text.structured(body, list.tokens(), &list.phrases().collect())?;
    } else if is_one_of(name, &STRUCTURED) {
        text.structured(body, &tokens(body).ok()?, &BTreeMap::new())?;
    } else {
        text.unstructured(&split_words(body));
    }
    Some(text.writer.finish()).filter(|field| field.is_ascii())
}

/// UTF-8 where it is that; else what the message declares; else that it is not known (RFC 1428).
pub(super) fn charset<'a>(text: &[u8], declared: Option<&'a str>) -> &'a str {
    if std::str::from_utf8(text).is_ok() {
        return "utf-8";
    }
    declared.unwrap_or("unknown-8bit")
}

/// Charsets of text that may be raw in a header: what is ASCII in them is ASCII. Those of two bytes a
/// character, with their aliases, are cut between characters; iso-2022 and utf-16 are none of these.
const SINGLE_BYTE: [&str; 5] = ["iso-8859-", "windows-125", "koi8-", "cp125", "tis-620"];
const DOUBLE_BYTE: [&str; 8] =
    ["gb2312", "gbk", "big5", "euc-kr", "ks_c_5601", "shift_jis", "sjis", "euc-jp"];

/// The charset of a Content-Type value, where it is one of a raw header text.
#[must_use]
pub fn declared_charset(content_type: &[u8]) -> Option<String> {
    let charset = String::from_utf8(parameter(content_type, b"charset")?).ok()?;
    let charset = charset.to_ascii_lowercase();
    let is_known = SINGLE_BYTE.iter().chain(&DOUBLE_BYTE).any(|known| charset.starts_with(known));
    // What begins like one may go on with anything; it would be in every encoded-word.
    let is_name = charset.len() <= LONGEST_CHARSET
        && charset.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    (is_known && is_name).then_some(charset)
}

/// Bytes of the character at the start of a text.
fn character(text: &[u8], charset: &str) -> usize {
    let first = text.first().copied().unwrap_or_default();
    if charset == "utf-8" {
        let more = text.iter().skip(1).take_while(|byte| **byte & 0xc0 == 0x80).count();
        return more.saturating_add(1);
    }
    if !DOUBLE_BYTE.iter().any(|known| charset.starts_with(known)) || first < 0x80 {
        return 1;
    }
    // Half-width katakana of Shift_JIS are one byte, the third plane of EUC-JP has three.
    match (charset, first) {
        ("shift_jis" | "sjis", 0xa1..=0xdf) => 1,
        ("euc-jp", 0x8f) => 3,
        _ => 2,
    }
}

/// How much of a text goes into `most` bytes without cutting a character; at least one character.
fn characters_in(text: &[u8], most: usize, charset: &str) -> usize {
    let mut cut = 0_usize;
    while let Some(ahead) = text.get(cut..).filter(|ahead| !ahead.is_empty()) {
        let next = cut.saturating_add(character(ahead, charset)).min(text.len());
        if next > most && cut > 0 {
            break;
        }
        cut = next;
    }
    cut
}

/// Writes a text in one charset.
pub(super) struct Text<'a> {
    pub(super) writer: Writer,
    pub(super) charset: &'a str,
}

impl Text<'_> {
    /// Writes text as encoded-words, with `open` before the first and `close` after the last of them.
    pub(super) fn encoded_words(&mut self, open: &str, text: &[u8], close: &str) {
        let charset = self.charset;
        let (mut open, mut rest) = (open, text);
        while !rest.is_empty() {
            let around = format!("{open}=?{charset}?B??={close}").len();
            let most = (self.writer.room().saturating_sub(around) / 4).saturating_mul(3);
            let (piece, after) = rest.split_at(characters_in(rest, most, charset));
            let piece = BASE64_STANDARD.encode(piece);
            let close = if after.is_empty() { close } else { "" };
            self.writer.encoded_word(format!("{open}=?{charset}?B?{piece}?={close}").as_bytes());
            (open, rest) = ("", after);
            if !rest.is_empty() {
                self.writer.text(b" ");
            }
        }
    }

    /// Runs of words that are not ASCII become encoded-words; all else stays. WSP between two encoded-words
    /// is no text (RFC 2047 §6.2), so where it is next to one that was there it goes inside.
    fn unstructured(&mut self, words: &[Word<'_>]) {
        let mut rest = words;
        let mut is_after_encoded = false;
        while let Some(word) = rest.first() {
            // What touches an encoded-word is no text to a reader without WSP between the two.
            let is_glued = word.wsp.is_empty() && rest.len() < words.len();
            self.writer.text(if is_glued { b" " } else { word.wsp });
            let length = rest.iter().take_while(|word| word.is_raw()).count();
            let (run, after) = rest.split_at(length.max(1));
            rest = after;
            if length == 0 {
                self.writer.text(&word.text);
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
            self.encoded_words("", &text, "");
            is_after_encoded = false;
        }
    }

    /// Phrases and comments that are not ASCII become encoded-words; all other tokens stay. `phrases`: where each
    /// begins and ends.
    fn structured(
        &mut self,
        body: &[u8],
        tokens: &[Token],
        phrases: &BTreeMap<usize, usize>,
    ) -> Option<()> {
        let mut done = 0;
        for token in tokens {
            if token.from < done {
                continue;
            }
            self.writer.text(body.get(done..token.from)?);
            let text = body.get(token.from..token.to)?;
            let phrase = phrases.get(&token.from).and_then(|to| body.get(token.from..*to));
            done = token.to;
            if let Some(phrase) = phrase.filter(|phrase| !phrase.is_ascii()) {
                self.phrase(phrase)?;
                done = token.from.saturating_add(phrase.len());
            } else if matches!(token.kind, Kind::Quoted | Kind::Literal) && text.is_ascii() {
                self.writer.whole(text);
            } else if text.is_ascii() {
                self.writer.text(text);
            } else if token.kind == Kind::Comment {
                let content = text.get(1..text.len().saturating_sub(1))?;
                self.encoded_words("(", &unescaped(content, b"\r\n"), ")");
            } else {
                return None;
            }
        }
        self.writer.text(body.get(done..)?);
        Some(())
    }

    /// A display name or the name of a group, without comments.
    fn phrase(&mut self, phrase: &[u8]) -> Option<()> {
        if !phrase.windows(2).any(|pair| pair == b"=?") {
            self.encoded_words("", &unescaped(phrase, b"\"\r\n"), "");
            return Some(());
        }
        // Encoded-words next to raw bytes: which of them a reader decodes is not certain.
        let words = split_words(phrase);
        if words.iter().any(Word::is_raw) {
            return None;
        }
        self.unstructured(&words);
        Some(())
    }

    /// `name="value"` → `name*=charset''value` (RFC 2231 §4) for each parameter that is not ASCII.
    fn parameters(&mut self, body: &[u8]) -> Option<()> {
        for (index, segment) in split_at_semicolons(body).into_iter().enumerate() {
            if index > 0 {
                self.writer.text(b";");
            }
            if segment.is_ascii() {
                self.writer.text(segment);
                continue;
            }
            let equals = segment.iter().position(|byte| *byte == b'=')?;
            let (name, rest) = segment.split_at(equals);
            // The type itself, or a parameter that is extended already.
            if index == 0 || name.contains(&b'*') || !name.is_ascii() {
                return None;
            }
            let (text, _) = value(without_comments(rest.get(1..)?).trim_ascii_start());
            let name = name.trim_ascii_end();
            self.writer.text(name.get(..name.len().saturating_sub(name.trim_ascii().len()))?);
            self.extended(name.trim_ascii(), &text);
            if segment.ends_with(b"\n") {
                self.writer.text(b"\n");
            }
        }
        Some(())
    }

    /// One parameter, in pieces where it is long (RFC 2231 §3, §4.1).
    fn extended(&mut self, name: &[u8], text: &[u8]) {
        let mut pieces = vec![format!("{}''", self.charset)];
        for byte in text {
            let encoded = if byte.is_ascii_alphanumeric() || b".-_".contains(byte) {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02X}")
            };
            match pieces.last_mut() {
                Some(piece) if piece.len() < PIECE => piece.push_str(&encoded),
                _ => pieces.push(encoded),
            }
        }
        let is_one = pieces.len() == 1;
        for (number, piece) in pieces.iter().enumerate() {
            let number = if is_one { String::new() } else { format!("*{number}") };
            self.writer.text(if number.is_empty() || number == "*0" { b"" } else { b";\n " });
            self.writer.text(&[name, number.as_bytes(), b"*=", piece.as_bytes()].concat());
        }
    }
}

/// Bytes in a piece of an extended parameter, about.
const PIECE: usize = 55;

#[cfg(test)]
mod tests {
    use super::*;

    fn ascii_value(name: &[u8], value: &[u8], declared: Option<&str>) -> Option<Vec<u8>> {
        let field = ascii_field(name, value, declared)?;
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
    fn words_of_other_letters_are_encoded_and_the_rest_stays() {
        let got = ascii("Subject", " Gr\u{fc}\u{df}e  aus M\u{fc}nchen, am See\n").unwrap();
        assert_eq!(got, " =?utf-8?B?R3LDvMOfZQ==?=  aus =?utf-8?B?TcO8bmNoZW4s?= am See\n");
    }

    #[test]
    fn words_side_by_side_are_encoded_with_the_blanks_between() {
        let got = ascii("Subject", " \u{fc}\n \u{fc} x\n").unwrap();
        assert_eq!(got, " =?utf-8?B?w7wgw7w=?= x\n");
    }

    #[test]
    fn a_blank_beside_an_encoded_word_goes_inside() {
        let got = ascii("Subject", " =?utf-8?Q?a?= \u{fc} =?utf-8?Q?b?=\n").unwrap();
        assert_eq!(got, " =?utf-8?Q?a?= =?utf-8?B?IMO8IA==?= =?utf-8?Q?b?=\n");
    }

    #[test]
    fn raw_octets_that_touch_an_encoded_word_are_encoded_beside_it() {
        for (value, wanted) in [
            (" \u{fc}=?utf-8?Q?a?=\n", " =?utf-8?B?w7w=?= =?utf-8?Q?a?=\n"),
            (" x =?utf-8?Q?a?=b\u{fc} y\n", " x =?utf-8?Q?a?= =?utf-8?B?YsO8?= y\n"),
            (" =?utf-8?X?a?=\u{fc}\n", " =?utf-8?B?PT91dGYtOD9YP2E/PcO8?=\n"),
            ("\u{fc}=?a?b?c?=", "=?utf-8?B?w7w=?= =?a?b?c?="),
        ] {
            assert_eq!(ascii("Subject", value).unwrap(), wanted, "{value}");
        }
    }

    #[test]
    fn raw_octets_in_an_encoded_word_are_encoded_where_they_are() {
        let value = ascii_value(b"Subject", b" =?iso-8859-1?Q?gr\xfcn?= x\n", None).unwrap();
        assert_eq!(value, b" =?iso-8859-1?Q?gr=FCn?= x\n");
        let value =
            ascii_value(b"To", b" H =?iso-8859-1?Q?M\xfcller?= <m@x.test>\n", None).unwrap();
        assert_eq!(value, b" H =?iso-8859-1?Q?M=FCller?= <m@x.test>\n");
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
        assert_eq!(value(None), b" =?unknown-8bit?B?Z3L8bg==?=\n");
        assert_eq!(value(Some("iso-8859-1")), b" =?iso-8859-1?B?Z3L8bg==?=\n");
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
    fn text_of_two_octets_a_character_is_cut_between_characters() {
        // HIRAGANA LETTER A, whose second byte in Shift_JIS is that of no lead, and half-width katakana.
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
            (" M\u{fc}ller <m@x.test>\n", Some(" =?utf-8?B?TcO8bGxlcg==?= <m@x.test>\n")),
            (" \"M\u{fc}ller, H\" <m@x.test>", Some(" =?utf-8?B?TcO8bGxlciwgSA==?= <m@x.test>")),
            (" m@x.test (M\u{fc}ller)", Some(" m@x.test (=?utf-8?B?TcO8bGxlcg==?=)")),
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
        ] {
            assert_eq!(ascii("Content-Disposition", value).as_deref(), Some(wanted));
        }
        let long =
            ascii("Content-Type", &format!(" x/y; name=\"{}\"\n", "\u{fc}".repeat(30))).unwrap();
        assert!(
            long.starts_with(" x/y; name*0*=utf-8''%C3%BC") && long.contains(";\n name*3*="),
            "{long}"
        );
        assert_eq!(long.matches("%C3%BC").count() + long.matches("%C3;").count(), 30, "{long}");
        assert!(long.lines().all(|line| line.len() < 80) && long.ends_with('\n'), "{long}");
        assert_eq!(ascii("Content-Type", " t\u{eb}xt/plain; x=y\n"), None);
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

    /// The bytes of each encoded-word, and what is between them; folding and the WSP between two are no text.
    fn decoded(field: &str) -> Vec<u8> {
        let (mut text, mut rest) = (Vec::new(), field.replace('\n', ""));
        while let Some((before, after)) = rest.split_once("=?utf-8?B?") {
            let is_between = before.trim().is_empty() && !text.is_empty();
            text.extend(before.bytes().filter(|_| !is_between));
            let (word, after) = after.split_once("?=").unwrap();
            text.extend(BASE64_STANDARD.decode(word).unwrap());
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
                let words = field.split("=?utf-8?B?").skip(1);
                assert!(words.map(|word| word.find("?=").unwrap() + 12).all(|length| length <= 75));
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
            // Before the encoded-word rather than inside of it, and never right after the colon.
            ("Subject", format!(" {sixty}Gr\u{fc}\u{df}e\n"), format!(" {}\n =?utf-8?B?R3LDvMOfZQ==?=\n", sixty.trim())),
            ("Subject", format!(" {}\n", "\u{fc}".repeat(30)),
                format!(" {}\n {}\n", word(19), word(11)),
            ),
            // After a comma rather than inside of a mailbox.
            ("To", " \u{fc} <a@example.com>, Christopher Robin <christopher@example.com>\n".to_owned(), " =?utf-8?B?w7w=?= <a@example.com>,\n Christopher Robin <christopher@example.com>\n".to_owned()),
            // Never inside of a quoted-string.
            ("To", " \u{fc} <a@example.com>, x <\"a b c d e f g h i j k l m n o\"@example.com>\n".to_owned(), " =?utf-8?B?w7w=?= <a@example.com>,\n x <\"a b c d e f g h i j k l m n o\"@example.com>\n".to_owned()),
        ] {
            let field = field(name.as_bytes(), body.as_bytes(), None);
            assert_eq!(String::from_utf8(field).unwrap(), format!("{name}:{wanted}"));
        }
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
        assert_eq!(
            got,
            format!(" a@x.test (=?utf-8?B?{}?=)", BASE64_STANDARD.encode("a\\b) \u{fc}"))
        );
    }
}
