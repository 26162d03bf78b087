//! The words of a header text: which of them have to be encoded, and which are encoded-words already
//! (RFC 2047 §2).

use std::borrow::Cow;

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
    /// To become an encoded-word: it is not ASCII, or touches an encoded-word in a word that is not.
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

/// The encoded-words in a word that is not ASCII, and what is between them.
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

/// An encoded-word in a longer word: where it begins and ends.
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

/// An encoded-word of encoding Q in which raw bytes are encoded where they are (RFC 2047 §4.2).
fn with_escapes(text: &[u8]) -> Option<Vec<u8>> {
    let is_quoted = text.windows(3).any(|part| part.eq_ignore_ascii_case(b"?Q?"));
    if !is_encoded(text) || !is_quoted {
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
