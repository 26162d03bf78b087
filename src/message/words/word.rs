//! The words of a header text: which of them have to be encoded, and which are encoded words already.

/// Blanks and a word, as they stand in a text.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) blanks: &'a [u8],
    pub(super) text: &'a [u8],
    /// It is a piece of a word in which encoded words and raw octets touch.
    is_piece: bool,
}

/// An encoded word in a longer word: where it begins and ends.
fn encoded_inside(text: &[u8]) -> Option<(usize, usize)> {
    let from = text.windows(2).position(|pair| pair == b"=?")?;
    let mut marks = text.iter().enumerate().skip(from.saturating_add(2));
    let encoding = marks.by_ref().find(|(_, octet)| **octet == b'?')?.0;
    let begins = marks.by_ref().find(|(_, octet)| **octet == b'?')?.0;
    let is_known =
        matches!(text.get(encoding.saturating_add(1)..begins)?, b"b" | b"B" | b"q" | b"Q");
    let ends = marks.find(|(_, octet)| **octet == b'?')?.0.saturating_add(2);
    let whole = text.get(from..ends)?;
    (is_known && whole.is_ascii() && whole.ends_with(b"?=")).then_some((from, ends))
}

pub(super) fn split_words(value: &[u8]) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let blanks = rest.iter().take_while(|octet| octet.is_ascii_whitespace()).count();
        let (blanks, after) = rest.split_at_checked(blanks).unwrap_or_default();
        let length = after.iter().take_while(|octet| !octet.is_ascii_whitespace()).count();
        let (text, after) = after.split_at_checked(length).unwrap_or_default();
        let word = Word { blanks, text, is_piece: false };
        if text.is_ascii() || word.mended().is_some() {
            words.push(word);
        } else {
            words.extend(word.pieces());
        }
        rest = after;
    }
    words
}

impl<'a> Word<'a> {
    /// The encoded words in it and what is between; itself, where there are none.
    fn pieces(self) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut blanks = self.blanks;
        let mut rest = self.text;
        let mut push = |text: &'a [u8]| {
            if !text.is_empty() {
                pieces.push(Self { blanks: std::mem::take(&mut blanks), text, is_piece: true });
            }
        };
        while let Some((from, to)) = encoded_inside(rest) {
            push(rest.get(..from).unwrap_or_default());
            push(rest.get(from..to).unwrap_or_default());
            rest = rest.get(to..).unwrap_or_default();
        }
        push(rest);
        if let [only] = pieces.as_mut_slice() {
            only.is_piece = false;
        }
        pieces
    }

    /// Whether it is to become an encoded word.
    pub(super) fn is_raw(&self) -> bool {
        !self.text.is_ascii() && self.mended().is_none() || self.is_piece && !self.is_encoded()
    }

    /// Writes the blanks before it; between the pieces of one word, one that is no text to a reader.
    pub(super) fn write_blanks(&self, out: &mut Vec<u8>) {
        let is_glued = self.blanks.is_empty() && self.is_piece && !out.is_empty();
        out.extend_from_slice(if is_glued { b" " } else { self.blanks });
    }

    pub(super) fn is_encoded(&self) -> bool {
        self.text.starts_with(b"=?") && self.text.ends_with(b"?=")
    }

    /// An encoded word with raw octets in it: they are encoded where they are.
    pub(super) fn mended(&self) -> Option<Vec<u8>> {
        let is_quoted = self.text.windows(3).any(|part| part.eq_ignore_ascii_case(b"?Q?"));
        if !self.is_encoded() || !is_quoted {
            return None;
        }
        let mut word = Vec::with_capacity(self.text.len());
        for octet in self.text {
            if octet.is_ascii() {
                word.push(*octet);
            } else {
                word.extend_from_slice(format!("={octet:02X}").as_bytes());
            }
        }
        Some(word)
    }

    /// The blanks without the line ends of folding.
    pub(super) fn unfolded(&self) -> impl Iterator<Item = u8> {
        self.blanks.iter().copied().filter(|octet| !matches!(octet, b'\n' | b'\r'))
    }
}
