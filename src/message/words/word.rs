//! Splits header text into words: which of them have to be encoded, and which are already encoded-words (RFC 2047 §2).

use std::borrow::Cow;
use std::str;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::*;

use super::charset::can_be_cut;
use crate::message::limits::LONGEST_WORD;
use crate::message::syntax::is_fws;

/// A word, and the whitespace before it.
#[derive(Clone, Debug)]
pub(super) struct Word<'a> {
    pub(super) wsp: &'a [u8],
    pub(super) text: Cow<'a, [u8]>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Encoded,
    /// A word that must be encoded: it is not ASCII, or touches an encoded-word inside a longer word that is not ASCII.
    Raw,
}

impl Word<'_> {
    pub(super) fn is_raw(&self) -> bool {
        self.kind == Kind::Raw
    }

    pub(super) fn is_encoded(&self) -> bool {
        self.kind == Kind::Encoded
    }
}

/// An encoded-word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EncodedWord<'a> {
    /// The charset, with the language if it names one (RFC 2231 §5).
    pub(super) charset: &'a str,
    pub(super) is_quoted: bool,
    /// The encoded text. It may have raw spaces and specials.
    text: &'a [u8],
    /// The length of the whole word.
    pub(super) length: usize,
}

impl<'a> EncodedWord<'a> {
    /// The encoded-word at the beginning of `text`. Its encoded text may have any bytes except a question mark.
    pub(super) fn at_start(text: &'a [u8]) -> Option<Self> {
        let mut parts = text.strip_prefix(b"=?")?.splitn(4, |byte| *byte == b'?');
        let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
        if !parts.next()?.starts_with(b"=") {
            return None;
        }
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+*/".contains(byte);
        let charset = str::from_utf8(charset).ok()?;
        let is_quoted = encoding.eq_ignore_ascii_case(b"Q");
        if !charset.bytes().all(|byte| is_name(&byte))
            || charset.is_empty()
            || !(is_quoted || encoding.eq_ignore_ascii_case(b"B"))
        {
            return None;
        }
        let length = charset.len().saturating_add(text.len()).saturating_add("=??Q??=".len());
        Some(Self { charset, is_quoted, text, length })
    }

    /// The decoded bytes. Folding inside the word is dropped.
    pub(super) fn decoded(&self) -> Option<Vec<u8>> {
        if self.is_quoted {
            let mut bytes = Vec::with_capacity(self.text.len());
            let mut rest = self.text;
            while let Some((first, after)) = rest.split_first() {
                let digits = after.get(..2).filter(|_| *first == b'=');
                let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
                let byte = digits.and_then(|digits| str::from_utf8(digits).ok());
                let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                rest = after.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or_default();
                match (byte, first) {
                    (Some(byte), _) => bytes.push(byte),
                    (None, b'_') => bytes.push(b' '),
                    (None, b'\n') => {}
                    (None, byte) => bytes.push(*byte),
                }
            }
            return Some(bytes);
        }
        let text: Vec<u8> = self.text.iter().copied().filter(|byte| !is_fws(*byte)).collect();
        let lenient = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        GeneralPurpose::new(&STANDARD, lenient).decode(text).ok()
    }

    /// The encoded-word and its decoded bytes, if it is longer than allowed and can be split.
    pub(super) fn too_long(text: &'a [u8]) -> Option<(Self, Vec<u8>)> {
        if text.len() <= LONGEST_WORD || !text.is_ascii() {
            return None;
        }
        let word = Self::at_start(text).filter(|word| word.length == text.len())?;
        let has_wsp = word.text.iter().any(|byte| is_fws(*byte));
        let bytes = word.decoded().filter(|_| !has_wsp)?;
        (!bytes.is_empty() && can_be_cut(&bytes, word.charset)).then_some((word, bytes))
    }
}

/// The encoded-words in a text.
pub(super) fn encoded_words(text: &[u8]) -> impl Iterator<Item = EncodedWord<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let from = rest.windows(2).position(|pair| pair == b"=?")?;
            rest = rest.get(from..)?;
            let word = EncodedWord::at_start(rest);
            rest = rest.get(word.map_or(2, |word| word.length)..)?;
            if word.is_some() {
                return word;
            }
        }
    })
}

/// Whether a text has an encoded-word that is too long.
pub(super) fn has_too_long(text: &[u8]) -> bool {
    let can_be_cut = |word: EncodedWord<'_>| {
        word.decoded().is_some_and(|bytes| can_be_cut(&bytes, word.charset))
    };
    encoded_words(text).any(|word| word.length > LONGEST_WORD && can_be_cut(word))
}

pub(super) fn split_words(text: &[u8]) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let wsp = rest.iter().take_while(|byte| is_fws(**byte)).count();
        let (wsp, after) = rest.split_at(wsp);
        let length = after.iter().take_while(|byte| !is_fws(**byte)).count();
        let (text, after) = after.split_at(length);
        rest = after;
        match with_escapes(text) {
            Some(text) => words.push(Word { wsp, text: text.into(), kind: Kind::Encoded }),
            None if text.is_ascii() => {
                let kind = if is_encoded(text) { Kind::Encoded } else { Kind::Plain };
                words.push(Word { wsp, text: text.into(), kind });
            }
            None => push_pieces(wsp, text, &mut words),
        }
    }
    words
}

/// Adds the encoded-words in a word that is not ASCII, and the text between them.
fn push_pieces<'a>(wsp: &'a [u8], text: &'a [u8], words: &mut Vec<Word<'a>>) {
    let (mut wsp, mut rest) = (wsp, text);
    let mut push = |text: &'a [u8], kind| {
        if !text.is_empty() {
            words.push(Word { wsp: std::mem::take(&mut wsp), text: text.into(), kind });
        }
    };
    while let Some((from, to)) = encoded_inside(rest) {
        push(rest.get(..from).unwrap_or_default(), Kind::Raw);
        push(rest.get(from..to).unwrap_or_default(), Kind::Encoded);
        rest = rest.get(to..).unwrap_or_default();
    }
    push(rest, Kind::Raw);
}

/// Where an encoded-word begins and ends inside a longer word.
fn encoded_inside(text: &[u8]) -> Option<(usize, usize)> {
    let from = text.windows(2).position(|pair| pair == b"=?")?;
    let mut marks = text.iter().enumerate().skip(from.saturating_add(2));
    let mut mark = || Some(marks.find(|(_, byte)| **byte == b'?')?.0);
    let (encoding, begins, ends) = (mark()?, mark()?, mark()?.saturating_add(2));
    let is_known =
        matches!(text.get(encoding.saturating_add(1)..begins)?, b"b" | b"B" | b"q" | b"Q");
    let whole = text.get(from..ends)?;
    (is_known && whole.is_ascii() && whole.ends_with(b"?=")).then_some((from, ends))
}

fn is_encoded(text: &[u8]) -> bool {
    text.starts_with(b"=?") && text.ends_with(b"?=")
}

/// Encodes the raw bytes in an encoded-word of encoding Q, in place (RFC 2047 §4.2).
fn with_escapes(text: &[u8]) -> Option<Vec<u8>> {
    let is_quoted = text.windows(3).any(|part| part.eq_ignore_ascii_case(b"?Q?"));
    if text.is_ascii() || !is_encoded(text) || !is_quoted {
        return None;
    }
    let mut word = Vec::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii() {
            word.push(*byte);
        } else {
            word.extend_from_slice(format!("={byte:02X}").as_bytes());
        }
    }
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_word_has_a_charset_and_one_of_two_encodings() {
        for (text, charset, decoded) in [
            ("=?utf-8?Q?a_=3D?= x", "utf-8", "a ="),
            ("=?us-ascii*en?b?YQ==?=", "us-ascii*en", "a"),
            ("=?x?Q??=", "x", ""),
        ] {
            let word = EncodedWord::at_start(text.as_bytes()).unwrap();
            assert_eq!(
                (word.charset, word.decoded()),
                (charset, Some(decoded.as_bytes().to_vec()))
            );
            assert_eq!(word.length, text.find("?=").unwrap() + 2);
        }
        for text in ["=??Q?a?=", "=?utf-8?X?a?=", "=?utf 8?Q?a?=", "=?utf-8?Q?a?", "=?utf-8?Q?a? ="]
        {
            assert_eq!(EncodedWord::at_start(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn only_a_word_of_more_than_75_bytes_is_too_long() {
        for (charset, letters, is_too_long) in
            [("utf-8", 63, false), ("utf-8", 64, true), ("x-what", 200, false)]
        {
            let text = format!("x =?{charset}?Q?{}?= x", "a".repeat(letters));
            assert_eq!(has_too_long(text.as_bytes()), is_too_long, "{text}");
        }
    }
}
