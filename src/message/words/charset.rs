//! Charsets, and where the characters of a text in a charset end.

use std::str;

use crate::message::limits::LONGEST_CHARSET;
use crate::message::syntax::parameter;

/// How a charset encodes its characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Utf8,
    /// Each byte is a character of the Latin alphabet.
    Single,
    /// Each byte is a character of another alphabet.
    Other,
    /// GB 2312, GBK, GB 18030.
    Gb,
    Big5,
    EucKr,
    ShiftJis,
    EucJp,
    /// ISO-2022-JP: escape sequences define the meaning of the bytes.
    Escapes,
}

/// How the names begin, in lower case; the first beginning that fits counts. In all of these charsets except the last, ASCII bytes
/// mean ASCII characters.
const FAMILIES: [(Family, &[&str]); 14] = [
    (Family::Utf8, &["utf-8"]),
    (Family::Single, &["us-ascii"]),
    // Cyrillic, Arabic, Greek, Hebrew and Thai, before the shorter beginnings of their names.
    (Family::Other, &["iso-8859-5", "iso-8859-6", "iso-8859-7", "iso-8859-8", "iso-8859-11"]),
    (Family::Other, &["windows-1251", "windows-1253", "windows-1255", "windows-1256"]),
    (Family::Other, &["cp1251", "cp1253", "cp1255", "cp1256", "cp855", "cp862", "cp864", "cp866"]),
    (Family::Other, &["koi8-", "tis-620", "windows-874"]),
    (Family::Single, &["iso-8859-", "iso8859-", "windows-125", "cp125", "cp437", "cp85", "cp86"]),
    (Family::Single, &["macintosh", "viscii"]),
    (Family::Gb, &["gb2312", "gbk", "gb18030", "x-gbk", "cp936"]),
    (Family::Big5, &["big5", "cp950"]),
    (Family::EucKr, &["euc-kr", "ks_c_5601", "cp949"]),
    (Family::ShiftJis, &["shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j", "cp932"]),
    (Family::EucJp, &["euc-jp", "x-euc-jp"]),
    (Family::Escapes, &["iso-2022-jp"]),
];

impl Family {
    pub(super) fn of(charset: &str) -> Option<Self> {
        let begins = |known: &&str| {
            charset.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known))
        };
        let families = FAMILIES.iter().find(|(_, names)| names.iter().any(begins));
        families.map(|(family, _)| *family)
    }

    /// The length of the first character of a text without escape sequences.
    fn character(self, text: &[u8]) -> usize {
        let mut bytes = text.iter().copied();
        let (first, second) = (bytes.next().unwrap_or_default(), bytes.next().unwrap_or_default());
        match (self, first) {
            (_, ..0x80) | (Self::Single | Self::Other | Self::Escapes, _) => 1,
            (Self::Utf8, _) => {
                let more = text.iter().skip(1).take_while(|byte| **byte & 0xc0 == 0x80).count();
                more.saturating_add(1)
            }
            // Half-width katakana of Shift_JIS have one byte, characters of the third plane of EUC-JP have three.
            (Self::ShiftJis, 0xa1..=0xdf) | (_, 0x80 | 0xff) => 1,
            (Self::EucJp, 0x8f) => 3,
            (Self::Gb, _) if second.is_ascii_digit() => 4,
            _ => 2,
        }
    }

    /// Whether a text is valid in this charset.
    pub(super) fn fits(self, text: &[u8]) -> bool {
        self.read(text).is_some_and(<[u8]>::is_empty)
    }

    /// The incomplete character at the end of a text. `None` if the text is not valid in this charset.
    pub(super) fn read(self, text: &[u8]) -> Option<&[u8]> {
        let mut rest = text;
        while !rest.is_empty() {
            let length = self.character(rest);
            let Some((character, after)) = rest.split_at_checked(length) else { return Some(rest) };
            rest = after;
            // The parentheses are for cargo-mutants, which cannot parse a range in a slice without them.
            let is_valid = match (self, character) {
                (Self::Utf8, _) => str::from_utf8(character).is_ok(),
                (_, [(..0x80)])
                | (Self::Single | Self::Other, _)
                | (Self::ShiftJis, [(0xa1..=0xdf)]) => true,
                (_, [_]) => false,
                (Self::EucJp, [_, more @ ..]) => {
                    more.iter().all(|byte| matches!(byte, 0xa1..=0xfe))
                }
                (Self::ShiftJis, [_, last]) => matches!(last, 0x40..=0x7e | 0x80..=0xfc),
                (Self::EucKr, [_, last]) => {
                    last.is_ascii_alphabetic() || matches!(last, 0x81..=0xfe)
                }
                (Self::Big5, [_, last]) => matches!(last, 0x40..=0x7e | 0xa1..=0xfe),
                (Self::Gb, [_, last]) => matches!(last, 0x40..=0x7e | 0x80..=0xfe),
                (Self::Gb, [_, _, third, last]) => *third >= 0x81 && last.is_ascii_digit(),
                _ => false,
            };
            if !is_valid {
                return None;
            }
        }
        Some(rest)
    }
}

/// The charset in a Content-Type value, if raw header text may be in it.
pub(super) fn declared_charset(content_type: &[u8]) -> Option<String> {
    raw_charset(&String::from_utf8(parameter(content_type, b"charset")?).ok()?)
}

/// The name of a charset in lower case, if text in it may be raw in a header. `None` for UTF-8.
pub(super) fn raw_charset(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let is_known = Family::of(&name)
        .is_some_and(|family| !matches!(family, Family::Utf8 | Family::Escapes))
        && name != "us-ascii";
    // Check the whole name, which would be in every encoded-word; only its beginning was compared.
    let is_name = name.len() <= LONGEST_CHARSET
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    (is_known && is_name).then_some(name)
}

/// The charset of a text: UTF-8 if the text is valid UTF-8, else the hint if the text is valid in it, else [`UNKNOWN`] (RFC
/// 1428).
pub(super) fn of<'a>(text: &[u8], hint: Option<&'a str>) -> &'a str {
    if str::from_utf8(text).is_ok() {
        return "utf-8";
    }
    hint.filter(|hint| Family::of(hint).is_some_and(|family| family.fits(text))).unwrap_or(UNKNOWN)
}

/// The name for text in an unknown charset (RFC 1428 §3).
pub(crate) const UNKNOWN: &str = "unknown-8bit";

/// Whether a text can be split between its characters: it is known where they end, and the name of the charset leaves room for
/// one in an encoded-word.
pub(super) fn can_be_cut(text: &[u8], charset: &str) -> bool {
    match Family::of(charset).filter(|_| charset.len() <= LONGEST_CHARSET) {
        None => false,
        Some(Family::Escapes) => {
            let escapes = text.iter().enumerate().filter(|(_, byte)| **byte == ESC);
            let mut rests = escapes.filter_map(|(at, _)| text.get(at..));
            rests.all(|rest| escape(rest).is_some())
                && !text.iter().any(|byte| matches!(byte, 0x0e | 0x0f))
        }
        Some(_) => true,
    }
}

pub(super) const ESC: u8 = 0x1b;

/// The escape sequence of ISO-2022-JP at the beginning of a text: its length, and the length of each character after it.
fn escape(text: &[u8]) -> Option<(usize, usize)> {
    match text {
        [ESC, b'(', b'B' | b'J' | b'I' | b'H', ..] => Some((3, 1)),
        [ESC, b'$', b'@' | b'A' | b'B', ..] => Some((3, 2)),
        [ESC, b'$', b'(', b'C' | b'D' | b'O' | b'P' | b'Q', ..] => Some((4, 2)),
        _ => None,
    }
}

/// Splits a text between its characters. Each piece of ISO-2022-JP begins and ends in ASCII (RFC 1468).
#[derive(Debug)]
pub(super) struct Cutter<'a> {
    rest: &'a [u8],
    family: Family,
    /// The escape sequence that is in effect, empty for ASCII, and the length of each character.
    shift: (&'a [u8], usize),
}

const ASCII: &[u8] = b"\x1b(B";

impl<'a> Cutter<'a> {
    /// A text in an unknown charset is split anywhere.
    pub(super) fn new(text: &'a [u8], charset: &str) -> Self {
        let family = Family::of(charset).unwrap_or(Family::Single);
        Self { rest: text, family, shift: (b"", 1) }
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next characters whose `length` fits in `room`; at least one.
    pub(super) fn next(&mut self, room: usize, length: impl Fn(&[u8]) -> usize) -> Vec<u8> {
        let mut piece = if self.rest.first() == Some(&ESC) { b"" } else { self.shift.0 }.to_vec();
        let mut has_character = false;
        while !self.rest.is_empty() {
            let (taken, shift) = self.unit();
            let (unit, after) = self.rest.split_at(taken.min(self.rest.len()));
            let end: &[u8] = if shift.0.is_empty() { b"" } else { ASCII };
            let before = piece.len();
            piece.extend_from_slice(unit);
            piece.extend_from_slice(end);
            if has_character && length(&piece) > room {
                piece.truncate(before);
                break;
            }
            piece.truncate(before.saturating_add(unit.len()));
            (self.rest, self.shift, has_character) = (after, shift, true);
        }
        if !self.shift.0.is_empty() {
            piece.extend_from_slice(ASCII);
        }
        piece
    }

    /// The length of the next character with the escape sequences before it, and the escape sequence in effect after it.
    fn unit(&self) -> (usize, (&'a [u8], usize)) {
        if self.family != Family::Escapes {
            return (self.family.character(self.rest), (b"", 1));
        }
        let (mut at, mut shift) = (0_usize, self.shift);
        while let Some(rest) = self.rest.get(at..)
            && let Some((length, width)) = escape(rest)
        {
            let sequence = rest.get(..length).unwrap_or_default();
            shift = (if sequence == ASCII { b"" } else { sequence }, width);
            at = at.saturating_add(length);
        }
        (at.saturating_add(shift.1), shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_hint_is_ignored() {
        assert_eq!(of(b"\x82\xa0", Some("shift_jis")), "shift_jis");
        assert_eq!(of(b"\x82 ", Some("shift_jis")), "unknown-8bit");
        assert_eq!(of(b"\xc4\xe3\x81\x30\x81\x30", Some("gb18030")), "gb18030");
        assert_eq!(of(b"gr\xfcn ", Some("euc-jp")), "unknown-8bit");
        assert_eq!(of(b"\xff", Some("euc-jp")), "unknown-8bit");
        // The fourth byte of a character of four bytes is a digit.
        assert_eq!(of(b"\x81\x30\x81A", Some("gb18030")), "unknown-8bit");
    }

    #[test]
    fn text_is_cut_between_its_characters() {
        for (charset, text, whole) in [
            ("utf-8", "\u{4e9c}a".as_bytes(), &[3, 1][..]),
            ("iso-8859-1", b"\xfca", &[1, 1]),
            ("shift_jis", b"\x82\xa0\xb1\x8a\x41a", &[2, 1, 2, 1]),
            ("euc-jp", b"\xa4\xa2\x8e\xb1\x8f\xb0\xa1a", &[2, 2, 3, 1]),
            ("gb18030", b"\xc4\xe3\x81\x30\x81\x30a", &[2, 4, 1]),
            ("big5", b"\xa7Aa", &[2, 1]),
            ("euc-kr", b"\xbe\xc8a", &[2, 1]),
        ] {
            let mut cutter = Cutter::new(text, charset);
            let mut lengths = Vec::new();
            while !cutter.is_done() {
                lengths.push(cutter.next(0, <[u8]>::len).len());
            }
            assert_eq!(lengths, whole, "{charset}");
        }
    }

    #[test]
    fn rfc1468_each_piece_begins_and_ends_in_ascii() {
        let text = b"a\x1b$B$3$s\x1b(Bb\x1b$B$K$A\x1b(J\\\x1b(B";
        assert!(can_be_cut(text, "iso-2022-jp"));
        assert!(!can_be_cut(b"\x1b$)C", "iso-2022-jp"));
        // JIS X 0212 (RFC 2237).
        assert!(can_be_cut(b"\x1b$(D0!\x1b(B", "iso-2022-jp-1"));
        let mut cutter = Cutter::new(text, "ISO-2022-JP");
        let mut pieces = Vec::new();
        while !cutter.is_done() {
            pieces.push(cutter.next(10, <[u8]>::len));
        }
        assert_eq!(
            pieces,
            [
                b"a\x1b$B$3\x1b(B".as_slice(),
                b"\x1b$B$s\x1b(Bb",
                b"\x1b$B$K$A\x1b(B",
                b"\x1b(J\\\x1b(B",
            ]
        );
    }
}
