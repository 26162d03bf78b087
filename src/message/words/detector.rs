//! Detects the charset of a text that declares none: UTF-8, or a guess if the guess is rarely wrong.

use std::borrow::Cow;
use std::{mem, str};

use super::charset::{ESC, Family, declared_charset, raw_charset};
use super::word::encoded_words;
use crate::message::syntax::{split_field, split_fields};

/// The charset of header text that is not UTF-8: the one in Content-Type, else the one in the encoded-words, else a guess.
#[must_use]
pub(crate) fn hint(section: &[u8]) -> Option<String> {
    if section.is_ascii() {
        return None;
    }
    let fields = || split_fields(section).map(split_field);
    let mut types = fields().filter(|(name, _)| name.eq_ignore_ascii_case(b"Content-Type"));
    if let Some(declared) = types.next().and_then(|(_, value)| declared_charset(value)) {
        return Some(declared);
    }
    let mut detector = Detector::with_hint(named_charset(section).as_deref());
    for (_, value) in fields().filter(|(_, value)| str::from_utf8(value).is_err()) {
        detector.feed(value);
        detector.feed(b"\n");
    }
    detector.finish().map(str::to_owned)
}

/// The first charset other than UTF-8 that an encoded-word of a header section names.
#[must_use]
pub(crate) fn named_charset(section: &[u8]) -> Option<String> {
    memchr::memmem::find(section, b"=?")?;
    let words = split_fields(section).flat_map(|field| encoded_words(split_field(field).1));
    words.filter_map(|word| raw_charset(word.charset)).next()
}

/// Detects the charset of a text in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detector {
    /// The beginning of an incomplete UTF-8 character.
    begun: Vec<u8>,
    is_not_utf8: bool,
    /// Whether there was text that is UTF-8 and not ASCII.
    has_utf8: bool,
    has_escapes: bool,
    /// The beginning of the last word, as long as the whole text is UTF-8.
    tail: Vec<u8>,
    latin: Latin,
    euc_jp: Kana,
    shift_jis: Kana,
    hint: Option<Hint>,
}

/// The charset of other text by the same program.
#[derive(Clone, Debug)]
struct Hint {
    charset: String,
    family: Family,
    /// The beginning of a character.
    begun: Vec<u8>,
    is_other: bool,
}

impl Hint {
    fn feed(&mut self, bytes: &[u8]) {
        if self.is_other || self.begun.is_empty() && bytes.is_ascii() {
            return;
        }
        let text = completed(&mem::take(&mut self.begun), bytes);
        match self.family.read(&text) {
            Some(rest) => self.begun = rest.to_vec(),
            None => self.is_other = true,
        }
    }
}

/// The bytes after the beginning of a character.
fn completed<'a>(begun: &[u8], bytes: &'a [u8]) -> Cow<'a, [u8]> {
    if begun.is_empty() { bytes.into() } else { [begun, bytes].concat().into() }
}

impl Detector {
    /// A detector that prefers the given charset if the text is valid in it.
    pub(crate) fn with_hint(charset: Option<&str>) -> Self {
        let hint = charset.zip(charset.and_then(Family::of)).map(|(charset, family)| Hint {
            charset: charset.to_owned(),
            family,
            begun: Vec::new(),
            is_other: false,
        });
        Self { hint, ..Self::default() }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if let Some(hint) = &mut self.hint {
            hint.feed(bytes);
        }
        if self.is_not_utf8 {
            return self.feed_raw(bytes);
        }
        let text = completed(&mem::take(&mut self.begun), bytes);
        let error = str::from_utf8(&text).err();
        let valid = error.map_or(text.len(), |error| error.valid_up_to());
        let (text, rest) = text.split_at(valid);
        self.has_utf8 |= !text.is_ascii();
        self.keep_tail(text);
        if error.is_none_or(|error| error.error_len().is_none()) {
            self.begun = rest.to_vec();
            return;
        }
        self.is_not_utf8 = true;
        let tail = mem::take(&mut self.tail);
        self.feed_raw(&tail);
        self.feed_raw(rest);
    }

    fn keep_tail(&mut self, text: &[u8]) {
        let is_escape = |three: &[u8]| matches!(three, b"\x1b$B" | b"\x1b$@");
        let across = self.tail.len().saturating_sub(2);
        self.tail.extend(text.iter().take(LONGEST_LATIN));
        let mut across = self.tail.get(across..).unwrap_or_default().windows(3);
        self.has_escapes |= across.any(is_escape)
            || memchr::memchr(ESC, text).is_some() && text.windows(3).any(is_escape);
        let more = text.len().saturating_sub(LONGEST_LATIN).min(LONGEST_LATIN);
        self.tail.extend(text.iter().skip(text.len().saturating_sub(more)));
        let extra = self.tail.len().saturating_sub(LONGEST_LATIN);
        self.tail.drain(..extra);
    }

    fn feed_raw(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.latin.feed(*byte);
            self.euc_jp.feed(*byte, Family::EucJp);
            self.shift_jis.feed(*byte, Family::ShiftJis);
        }
    }

    /// The charset. `None` if it is not certain enough: a mail reader that knows the region of the mail guesses better.
    pub(crate) fn finish(&self) -> Option<&str> {
        if !self.is_not_utf8 && self.begun.is_empty() {
            return Some(match (self.has_utf8, self.has_escapes) {
                (true, _) => "utf-8",
                (false, true) => "iso-2022-jp",
                (false, false) => "us-ascii",
            });
        }
        let mut latin = self.latin.clone();
        latin.end_word();
        if let Some(hint) = &self.hint
            && !hint.is_other
            && hint.begun.is_empty()
        {
            let is_possible = match hint.family {
                Family::Single => !self.has_utf8 && latin.is_mostly_ascii(),
                Family::Other => !self.has_utf8 && !latin.is_sure(),
                // Characters of two bytes may look like UTF-8.
                Family::Gb | Family::Big5 | Family::EucKr | Family::ShiftJis | Family::EucJp => {
                    !latin.is_sure()
                }
                Family::Utf8 | Family::Escapes => false,
            };
            if is_possible {
                return Some(&hint.charset);
            }
        }
        // A text that mixes two charsets has none.
        if self.has_utf8 {
            return None;
        }
        if latin.is_sure() {
            return Some("windows-1252");
        }
        if self.euc_jp.is_sure() {
            return Some("euc-jp");
        }
        self.shift_jis.is_sure().then_some("shift_jis")
    }
}

/// Detects Western European words: single non-ASCII letters among ASCII letters.
#[derive(Clone, Debug, Default)]
struct Latin {
    word: Vec<u8>,
    /// Letters of ASCII, and bytes beyond it.
    letters: u64,
    others: u64,
    is_other: bool,
    has_evidence: bool,
}

/// The longest word that is examined.
const LONGEST_LATIN: usize = 60;

impl Latin {
    fn feed(&mut self, byte: u8) {
        self.letters = self.letters.saturating_add(u64::from(byte.is_ascii_alphabetic()));
        self.others = self.others.saturating_add(u64::from(!byte.is_ascii()));
        // Dashes, quotes and spaces, in ASCII and windows-1252.
        let is_between = byte.is_ascii() && !byte.is_ascii_alphabetic()
            || matches!(byte, 0x84 | 0x85 | 0x8b | 0x91..=0x97 | 0x9b | 0xa0 | 0xab | 0xbb);
        if is_between {
            self.end_word();
        } else if self.word.len() < LONGEST_LATIN {
            self.word.push(byte);
        }
    }

    fn end_word(&mut self) {
        let word = mem::take(&mut self.word);
        if word.is_ascii() {
            return;
        }
        match is_latin(&word) {
            Some(is_evidence) => self.has_evidence |= is_evidence,
            None => self.is_other = true,
        }
    }

    fn is_sure(&self) -> bool {
        self.has_evidence && !self.is_other
    }

    /// Whether the text may be in the Latin alphabet at all.
    fn is_mostly_ascii(&self) -> bool {
        self.others <= self.letters
    }
}

/// Whether a word shows that the text is windows-1252. `None` if it shows that the text is not.
fn is_latin(word: &[u8]) -> Option<bool> {
    let begins = |byte: &u8| matches!(byte, 0x80 | 0xa1 | 0xa3 | 0xa7 | 0xa9 | 0xbf);
    let ends =
        |byte: &u8| matches!(byte, 0x80 | 0x99 | 0xa3 | 0xa9 | 0xaa | 0xae | 0xb0 | 0xb2 | 0xba);
    let from = word.iter().take_while(|byte| begins(byte)).count();
    let word = word.get(from..)?;
    let signs = word.iter().rev().take_while(|byte| ends(byte)).count();
    let word = word.get(..word.len().saturating_sub(signs))?;
    let mut is_evidence = false;
    let mut runs = word.chunk_by(|left, right| left.is_ascii() == right.is_ascii()).peekable();
    let mut before = None;
    while let Some(run) = runs.next() {
        if run.is_ascii() {
            before = run.last().copied();
            continue;
        }
        let after = runs.peek().and_then(|after| after.first()).copied();
        let is_word = match run {
            // The same letter twice may begin or end a word; two different letters must be in the middle.
            [one, other] if one == other => before.or(after).is_some(),
            [_, _] => before.is_some() && after.is_some(),
            [_] => true,
            _ => false,
        };
        let follows_lower = before.is_some_and(|before| before.is_ascii_lowercase());
        let is_letter = |byte: &u8| match byte {
            // In Czech and Polish charsets these bytes are other letters in such places.
            0x8c | 0x9c => after.is_some_and(|after| b"uUiI".contains(&after)),
            0xec => after.is_none(),
            // Turkish letters, and characters that are not letters.
            0xd0 | 0xd7 | 0xdd | 0xde | 0xf0 | 0xf7 | 0xfd | 0xfe => false,
            0xc0..0xdf => !follows_lower,
            _ => matches!(byte, 0x8a | 0x8e | 0x9a | 0x9e | 0x9f | 0xdf..),
        };
        if !is_word || !run.iter().all(is_letter) {
            return None;
        }
        is_evidence |= before.or(after).is_some();
    }
    Some(is_evidence)
}

/// Detects Japanese text in a two-byte charset: many of its characters are kana.
#[derive(Clone, Debug, Default)]
struct Kana {
    lead: Option<u8>,
    is_other: bool,
    kana: u64,
    others: u64,
}

impl Kana {
    fn feed(&mut self, byte: u8, family: Family) {
        let Some(lead) = self.lead.take() else {
            match (family, byte) {
                (_, ..=0x7f) => {}
                (Family::ShiftJis, 0xa1..=0xdf) => self.others = self.others.saturating_add(1),
                (Family::ShiftJis, 0x81..=0x9f | 0xe0..=0xfc)
                | (Family::EucJp, 0x8e | 0xa1..=0xfe) => self.lead = Some(byte),
                _ => self.is_other = true,
            }
            return;
        };
        self.is_other |= !family.fits(&[lead, byte]);
        // Punctuation and similar characters are ignored.
        let (is_kana, is_sign) = if family == Family::ShiftJis {
            (matches!((lead, byte), (0x82, 0x9f..=0xf1) | (0x83, 0x40..=0x96)), lead == 0x81)
        } else {
            (matches!((lead, byte), (0xa4, 0xa1..=0xf3) | (0xa5, 0xa1..=0xf6)), lead == 0xa1)
        };
        if is_kana {
            self.kana = self.kana.saturating_add(1);
        } else if !is_sign {
            self.others = self.others.saturating_add(1);
        }
    }

    fn is_sure(&self) -> bool {
        !self.is_other
            && self.lead.is_none()
            && self.kana >= 2
            && self.kana.saturating_mul(2) >= self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(text: &[u8]) -> Option<String> {
        with_hint(text, None)
    }

    /// The charset of a text by a program that has used another one, or this one.
    fn with_hint(text: &[u8], charset: Option<&str>) -> Option<String> {
        let all = |size: usize| {
            let mut detector = Detector::with_hint(charset);
            text.chunks(size).for_each(|piece| detector.feed(piece));
            detector.finish().map(str::to_owned)
        };
        let whole = all(text.len().max(1));
        for size in 1..text.len() {
            assert_eq!(all(size), whole, "pieces of {size}: {}", text.escape_ascii());
        }
        whole
    }

    #[test]
    fn western_european_words_are_windows_1252() {
        for text in [
            &b"gr\xfcn"[..],
            b"Gr\xfc\xdfe aus M\xfcnchen, am See",
            b"caf\xe9 cr\xe9\xe9 \xe0 Paris, l\x92\xe9t\xe9 \x96 \xabna\xefve\xbb",
            b"\xbfQu\xe9 pasa, se\xf1or? A\xd1O 2\xba",
            b"a\xe7\xe3o, informa\xe7\xf5es",
            b"c\x9cur, 5 \x80, lun\xec",
            b"\xd8l og sm\xf8rrebr\xf8d p\xe5 \xc5land",
            b"\xc9tat",
        ] {
            assert_eq!(detected(text).as_deref(), Some("windows-1252"), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn of_a_word_sixty_bytes_are_examined() {
        for (letters, charset) in [(59, None), (60, Some("windows-1252"))] {
            let text = [b"gr\xfcn ".as_slice(), &b"a".repeat(letters), b"\xfe"].concat();
            assert_eq!(detected(&text).as_deref(), charset, "{letters}");
        }
    }

    #[test]
    fn japanese_is_known_by_its_kana() {
        for (text, charset) in [
            (&b"\xa4\xb3\xa4\xf3\xa4\xcb\xa4\xc1\xa4\xcf"[..], "euc-jp"),
            (b"Re: \xa5\xc6\xa5\xb9\xa5\xc8\xa4\xce\xb7\xef", "euc-jp"),
            (b"\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd\x81B", "shift_jis"),
            (b"\x83e\x83X\x83g\x82\xcc\x8c\x8f", "shift_jis"),
            // Half-width katakana.
            (b"\x82\xa0\x82\xa2 \xb6\xc5", "shift_jis"),
            // Signs are not counted as other characters.
            (b"\x82\xa0\x82\xa2\x81A\x81B\x81A\x81B\x81A", "shift_jis"),
            (b"\xa4\xa2\xa4\xa4\xa1\xa2\xa1\xa3\xa1\xa2\xa1\xa3\xa1\xa2", "euc-jp"),
            (b"\x1b$B$3$s\x1b(B", "iso-2022-jp"),
        ] {
            assert_eq!(detected(text).as_deref(), Some(charset), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn nothing_is_said_where_a_guess_would_often_be_wrong() {
        for text in [
            // Cyrillic in KOI8-R and windows-1251, Greek, Hebrew.
            &b"\xf0\xd2\xc9\xd7\xc5\xd4"[..],
            b"\xcf\xf0\xe8\xe2\xe5\xf2, \xe8 \xff",
            b"\xea\xe1\xeb\xe7\xec\xdd\xf1\xe1",
            b"\xf9\xec\xe5\xed",
            // Two Cyrillic letters next to a Latin one.
            b"\xf2\xe5x",
            // Chinese in GBK and Big5, Korean, Japanese without kana.
            b"\xc4\xe3\xba\xc3",
            b"\xa7A\xa6n",
            b"\xbe\xc8\xb3\xe7",
            b"\x93\xfa\x96{",
            b"\xc6\xfc\xcb\xdc\xb8\xec",
            b"Hi \xc4\xe3",
            // Polish, Czech, Turkish.
            b"Wa\xb3\xeasa z \xa3odzi",
            b"P\xf8\xedli\xb9 \xbelu\xbbou\xe8k\xfd",
            b"\x9cwiat",
            b"D\xeckuji",
            b"\xddstanbul'da ya\xfe\xfdyor",
            // UTF-8 and something else.
            b"gr\xc3\xbcn gr\xfcn",
            b"\xff",
            b"\xe9",
        ] {
            assert_eq!(detected(text), None, "{}", text.escape_ascii());
        }
        // 0xa4 and `A` are not a character of EUC-JP.
        assert_eq!(detected(b"\xa4\xb3\xa4\xf3\xa4\xcb\xa4\xc1\xa4A\xa4\xcf"), None);
        assert_eq!(detected(b"x").as_deref(), Some("us-ascii"));
        // An escape sequence that sets a color is not ISO-2022-JP.
        assert_eq!(detected(b"\x1b[1mx\x1b[0m").as_deref(), Some("us-ascii"));
        assert_eq!(detected("gr\u{fc}n".as_bytes()).as_deref(), Some("utf-8"));
    }

    #[test]
    fn what_an_encoded_word_names_is_taken_where_the_text_can_be_in_it() {
        let mixed = b"gr\xc3\xbcn gr\xfcn".as_slice();
        for (text, said, charset) in [
            (&b"\xf0\xd2\xc9\xd7\xc5\xd4"[..], "koi8-r", Some("koi8-r")),
            (b"\xcf\xf0\xe8\xe2\xe5\xf2, \xe8 \xff", "windows-1251", Some("windows-1251")),
            (b"\xc4\xe3\xba\xc3", "gb2312", Some("gb2312")),
            // Two characters of GBK that look like UTF-8.
            (b"\xc1\xaa\xcd\xa8 \xc4\xe3\xba\xc3", "gbk", Some("gbk")),
            (b"\xa7A\xa6n", "big5", Some("big5")),
            (b"\xbe\xc8\xb3\xe7", "euc-kr", Some("euc-kr")),
            (b"\x93\xfa\x96{", "shift_jis", Some("shift_jis")),
            (b"\xc6\xfc\xcb\xdc\xb8\xec", "euc-jp", Some("euc-jp")),
            (b"Wa\xb3\xeasa z \xa3odzi", "iso-8859-2", Some("iso-8859-2")),
            (b"gr\xfcn", "windows-1250", Some("windows-1250")),
            (b"\xdeing og \xfej\xf3\xf0", "iso-8859-1", Some("iso-8859-1")),
            // Another alphabet, half a character, two charsets, ISO-2022-JP with 8-bit text.
            (b"gr\xfcn und blau", "koi8-r", Some("windows-1252")),
            (b"gr\xfcn und blau", "gbk", Some("windows-1252")),
            (b"\xf0\xd2\xc9\xd7\xc5\xd4", "iso-8859-1", None),
            (b"\xc4\xe3\xba", "gb2312", None),
            (b"\xa4\xb3\xa4\xf3\xa4\xcb\xa4\xc1\xa4\xcf", "shift_jis", Some("shift_jis")),
            (mixed, "iso-8859-1", None),
            (mixed, "koi8-r", None),
            ("gr\u{fc}n".as_bytes(), "iso-8859-1", Some("utf-8")),
            (b"x", "koi8-r", Some("us-ascii")),
        ] {
            assert_eq!(
                with_hint(text, Some(said)).as_deref(),
                charset,
                "{} {said}",
                text.escape_ascii()
            );
        }
    }

    #[test]
    fn the_header_says_what_its_raw_text_is_in() {
        for (section, charset) in [
            (
                &b"Subject: \xfc\nContent-Type: text/plain; charset=\"ISO-8859-2\"\n"[..],
                Some("iso-8859-2"),
            ),
            (b"Subject: \xf0\nFrom: =?koi8-r?B?8A==?= <a@b>\n", Some("koi8-r")),
            (b"Subject: gr\xfcn\nContent-Type: text/plain; charset=utf-8\n", Some("windows-1252")),
            (b"Subject: gr\xfcn\nFrom: \xf0\xd2\xc9\xd7\xc5\xd4\n", None),
            (b"Subject: gr\xfcn\nTo: gr\xc3\xbcn\n", Some("windows-1252")),
            (b"Subject: x\n", None),
        ] {
            assert_eq!(hint(section).as_deref(), charset, "{}", section.escape_ascii());
        }
    }
}
