//! Header text that is not ASCII → encoded words (RFC 2047) and extended parameters (RFC 2231), so that
//! no hop needs SMTPUTF8. Addresses are left alone: an address in UTF-8 has no other form.

mod word;

use base64::prelude::*;

use super::address::{Addresses, Edit, addresses, apply, comments};
use super::complete::{ADDRESS_FIELDS, is_resent};
use super::limits::LONGEST_CHARSET;
use super::syntax::parameter;
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

fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

/// The value of a field without 8-bit octets. `None` where it has none, or where that can't be done.
/// `declared` is the charset that the message says its text is in.
#[must_use]
pub fn ascii_value(name: &[u8], value: &[u8], declared: Option<&str>) -> Option<Vec<u8>> {
    if value.is_ascii() {
        return None;
    }
    let charset = charset(value, declared);
    if is_one_of(name, &["Content-Type", "Content-Disposition"]) {
        return parameters(value, charset);
    }
    if is_one_of(name, &ADDRESS_FIELDS) || is_resent(name) {
        return display_names(value, charset);
    }
    if is_one_of(name, &WITHOUT_WORDS) {
        return None;
    }
    if is_one_of(name, &STRUCTURED) {
        return encoded_comments(value, charset);
    }
    Some(unstructured(value, charset))
}

/// UTF-8 where it is that; else what the message declares; else that it is not known (RFC 1428).
pub(super) fn charset<'a>(text: &[u8], declared: Option<&'a str>) -> &'a str {
    if std::str::from_utf8(text).is_ok() {
        return "utf-8";
    }
    declared.unwrap_or("unknown-8bit")
}

/// Charsets of text that may stand raw in a header: what is ASCII in them is ASCII. Those of two octets a
/// character, with their aliases, are cut between characters; iso-2022 and utf-16 are none of these.
const SINGLE_OCTET: [&str; 5] = ["iso-8859-", "windows-125", "koi8-", "cp125", "tis-620"];
const DOUBLE_OCTET: [&str; 8] =
    ["gb2312", "gbk", "big5", "euc-kr", "ks_c_5601", "shift_jis", "sjis", "euc-jp"];

/// The charset of a Content-Type value, where it is one of a raw header text.
#[must_use]
pub fn declared_charset(content_type: &[u8]) -> Option<String> {
    let charset = String::from_utf8(parameter(content_type, b"charset")?).ok()?;
    let charset = charset.to_ascii_lowercase();
    let is_known = SINGLE_OCTET.iter().chain(&DOUBLE_OCTET).any(|known| charset.starts_with(known));
    // What begins like one may go on with anything; it would stand in every encoded word.
    let is_name = charset.len() <= LONGEST_CHARSET
        && charset.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
    (is_known && is_name).then_some(charset)
}

/// Octets of the character at the start of a text.
fn character(text: &[u8], charset: &str) -> usize {
    let first = text.first().copied().unwrap_or_default();
    if charset == "utf-8" {
        let more = text.iter().skip(1).take_while(|octet| **octet & 0xc0 == 0x80).count();
        return more.saturating_add(1);
    }
    if !DOUBLE_OCTET.iter().any(|known| charset.starts_with(known)) || first < 0x80 {
        return 1;
    }
    // Half-width katakana of Shift_JIS are one octet, the third plane of EUC-JP has three.
    match (charset, first) {
        ("shift_jis" | "sjis", 0xa1..=0xdf) => 1,
        ("euc-jp", 0x8f) => 3,
        _ => 2,
    }
}

/// Text → encoded words on lines of their own, which leave room for a field name before the first: a
/// line has 76 octets at most (RFC 2047 §2).
pub(super) fn encoded_words(text: &[u8], charset: &str) -> Vec<u8> {
    let most = (60_usize.saturating_sub(charset.len().saturating_add(7)) / 4).saturating_mul(3);
    let words = pieces(text, most, charset)
        .map(|piece| format!("=?{charset}?B?{}?=", BASE64_STANDARD.encode(piece)));
    words.collect::<Vec<_>>().join("\n ").into_bytes()
}

/// Pieces of at most `most` octets that cut no character.
fn pieces<'a>(text: &'a [u8], most: usize, charset: &str) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut cut = 0_usize;
        while let Some(ahead) = rest.get(cut..).filter(|ahead| !ahead.is_empty()) {
            let next = cut.saturating_add(character(ahead, charset)).min(rest.len());
            if next > most && cut > 0 {
                break;
            }
            cut = next;
        }
        let (piece, after) = rest.split_at_checked(cut)?;
        rest = after;
        Some(piece)
    })
}

/// Runs of words that are not ASCII become encoded words; all else stays. Blanks between two encoded
/// words are no text (RFC 2047 §6.2), so where one stood before or behind already they go inside.
fn unstructured(value: &[u8], charset: &str) -> Vec<u8> {
    let words = split_words(value);
    let mut out = Vec::new();
    let mut index = 0;
    while let Some(word) = words.get(index) {
        if !word.is_raw() {
            word.write_blanks(&mut out);
            out.extend_from_slice(word.mended().as_deref().unwrap_or(word.text));
            index = index.saturating_add(1);
            continue;
        }
        let run = words.get(index..).unwrap_or_default();
        let length = run.iter().take_while(|word| word.is_raw()).count();
        let before = index.checked_sub(1).and_then(|before| words.get(before));
        let behind = run.get(length);
        let mut text = Vec::new();
        if before.is_some_and(Word::is_encoded) {
            text.extend(word.unfolded());
        }
        for (place, word) in run.iter().take(length).enumerate() {
            if place > 0 {
                text.extend(word.unfolded());
            }
            text.extend_from_slice(word.text);
        }
        if let Some(behind) = behind.filter(|behind| behind.is_encoded()) {
            text.extend(behind.unfolded());
        }
        word.write_blanks(&mut out);
        out.extend(encoded_words(&text, charset));
        index = index.saturating_add(length);
    }
    out
}

/// A structured value whose only text beyond ASCII is in comments, as in a Date with the name of the day.
fn encoded_comments(value: &[u8], charset: &str) -> Option<Vec<u8>> {
    let places = comments(value).ok()?.into_iter();
    let out = apply(value, &comment_edits(places, value, charset)?);
    out.is_ascii().then_some(out)
}

/// Display names and comments of an address field.
fn display_names(value: &[u8], charset: &str) -> Option<Vec<u8>> {
    let list = addresses(value).ok()?;
    let out = apply(value, &edits(&list, value, charset)?);
    out.is_ascii().then_some(out)
}

fn edits(list: &Addresses, value: &[u8], charset: &str) -> Option<Vec<Edit>> {
    let mut edits = comment_edits(list.comments(), value, charset)?;
    for (from, to) in list.phrases() {
        let phrase = value.get(from..to)?;
        if phrase.is_ascii() {
            continue;
        }
        // Encoded words beside raw octets: which of them a reader decodes is not certain.
        if phrase.windows(2).any(|pair| pair == b"=?") {
            edits.push(Edit { from, to, text: mended_words(phrase)? });
            continue;
        }
        edits.push(Edit { from, to, text: encoded_words(&unquoted(phrase), charset) });
    }
    Some(edits)
}

/// Each comment that is not ASCII as encoded words.
fn comment_edits(
    places: impl Iterator<Item = (usize, usize)>,
    value: &[u8],
    charset: &str,
) -> Option<Vec<Edit>> {
    let mut edits = Vec::new();
    for (from, to) in places {
        let inner = value.get(from.saturating_add(1)..to.saturating_sub(1))?;
        if !inner.is_ascii() {
            let text = [b"(", encoded_words(&unescaped(inner), charset).as_slice(), b")"].concat();
            edits.push(Edit { from, to, text });
        }
    }
    Some(edits)
}

/// A phrase whose raw octets are all in encoded words.
fn mended_words(phrase: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    for word in split_words(phrase) {
        text.extend_from_slice(word.blanks);
        if word.text.is_ascii() {
            text.extend_from_slice(word.text);
        } else {
            text.extend(word.mended()?);
        }
    }
    Some(text)
}

/// Quoted strings without their quotes, folding taken out.
fn unquoted(phrase: &[u8]) -> Vec<u8> {
    let mut escaped = false;
    let kept = phrase.iter().filter(|octet| match octet {
        _ if escaped => {
            escaped = false;
            true
        }
        b'\\' => {
            escaped = true;
            false
        }
        octet => !matches!(octet, b'"' | b'\n'),
    });
    kept.copied().collect()
}

fn unescaped(comment: &[u8]) -> Vec<u8> {
    comment.iter().copied().filter(|octet| !matches!(octet, b'\\' | b'\n')).collect()
}

/// `name="value"` → `name*=charset''value` (RFC 2231 §4) for each parameter that is not ASCII.
fn parameters(value: &[u8], charset: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (index, segment) in segments(value).into_iter().enumerate() {
        if index > 0 {
            out.push(b';');
        }
        if segment.is_ascii() {
            out.extend_from_slice(segment);
            continue;
        }
        let equals = segment.iter().position(|octet| *octet == b'=')?;
        let (name, rest) = segment.split_at_checked(equals)?;
        // The type itself, or a parameter that is extended already.
        if index == 0 || name.contains(&b'*') || !name.is_ascii() {
            return None;
        }
        let bare = name.trim_ascii();
        let text = parameter(&[b";x=", rest.get(1..)?].concat(), b"x")?;
        let blanks = name.len().saturating_sub(name.trim_ascii_start().len());
        out.extend_from_slice(name.get(..blanks)?);
        extended(bare, &text, charset, &mut out);
        if segment.ends_with(b"\n") {
            out.push(b'\n');
        }
    }
    out.is_ascii().then_some(out)
}

/// One parameter, in pieces where it is long (RFC 2231 §3, §4.1).
fn extended(name: &[u8], text: &[u8], charset: &str, out: &mut Vec<u8>) {
    let mut pieces = vec![format!("{charset}''")];
    for octet in text {
        let encoded = if octet.is_ascii_alphanumeric() || b".-_".contains(octet) {
            char::from(*octet).to_string()
        } else {
            format!("%{octet:02X}")
        };
        match pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push_str(&encoded),
            _ => pieces.push(encoded),
        }
    }
    if let [only] = pieces.as_slice() {
        out.extend_from_slice(&[name, b"*=", only.as_bytes()].concat());
        return;
    }
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(b";\n ");
        }
        out.extend_from_slice(name);
        out.extend_from_slice(format!("*{number}*={piece}").as_bytes());
    }
}

/// Octets in a piece of an extended parameter, about.
const PIECE: usize = 55;

/// What stands between semicolons outside of quoted strings.
fn segments(value: &[u8]) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(|octet| {
            match octet {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => {}
            }
            *octet == b';' && !quoted
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // HIRAGANA LETTER A, whose second octet in Shift_JIS is that of no lead, and half-width katakana.
        let text = [b" ".as_slice(), &b"\x82\xa0\xb1".repeat(30), b"\n"].concat();
        let got =
            String::from_utf8(ascii_value(b"Subject", &text, Some("shift_jis")).unwrap()).unwrap();
        assert!(got.split_whitespace().count() > 2);
        for word in got.split_whitespace() {
            let word = word.strip_prefix("=?shift_jis?B?").unwrap().strip_suffix("?=").unwrap();
            let octets = BASE64_STANDARD.decode(word).unwrap();
            assert!(!octets.starts_with(b"\xa0") && !octets.ends_with(b"\x82"), "{octets:x?}");
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
}
