//! Encoders for Content-Transfer-Encodings (RFC 2045 §6) that read the text in pieces. Lines end in LF.

use std::mem;

use base64::prelude::*;
use memchr::memchr;

use crate::message::limits::ENCODED_LINE;

/// An encoding in progress.
#[derive(Clone, Debug)]
pub(super) enum Encoder {
    /// The text unchanged.
    Identity,
    /// Quoted-printable.
    Quoted(Quoted),
    /// Base64; line ends are encoded as CRLF (RFC 2045 §6.8).
    Base64(Base64),
    /// Existing base64, wrapped to the proper line length. Bytes that are not base64 are dropped (RFC 2045 §6.8).
    Rewrap(Rows),
}

impl Encoder {
    /// Encodes bytes of the body.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let is_other = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"+/=".contains(byte);
        match self {
            Self::Identity => out.extend_from_slice(bytes),
            Self::Quoted(quoted) => quoted.feed(bytes, out),
            Self::Base64(base64) => base64.feed(bytes, out),
            Self::Rewrap(rows) => bytes.split(is_other).for_each(|text| rows.put(text, out)),
        }
    }

    /// Ends the body. `delimited`: the last line end belongs to the boundary that follows.
    pub(super) fn finish(&mut self, delimited: bool, out: &mut Vec<u8>) {
        match mem::replace(self, Self::Identity) {
            Self::Identity => {}
            Self::Quoted(mut quoted) => quoted.finish(out),
            Self::Base64(base64) => base64.finish(delimited, out),
            Self::Rewrap(_) => out.push(b'\n'),
        }
    }
}

/// Quoted-printable, with soft line breaks.
#[derive(Clone, Debug, Default)]
pub(super) struct Quoted {
    /// Whether the text is already quoted-printable, so that each `=` stays.
    keeps_equals: bool,
    /// A few bytes that are held until it is known whether they end a line.
    line: Vec<u8>,
    column: usize,
}

impl Quoted {
    /// For text that is already encoded but has invalid bytes or lines.
    pub(super) fn fixing() -> Self {
        Self { keeps_equals: true, ..Self::default() }
    }

    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            if self.line.is_empty() {
                self.end_line(line, out);
            } else {
                self.line.extend_from_slice(line);
                self.end_held(out);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        self.line.extend_from_slice(rest);
        let known = self.line.len().saturating_sub(HELD);
        if known > 0 {
            let mut line = mem::take(&mut self.line);
            self.put(&line, known, out);
            line.drain(..known);
            self.line = line;
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() || self.column > 0 {
            self.end_held(out);
        }
    }

    fn end_held(&mut self, out: &mut Vec<u8>) {
        let line = mem::take(&mut self.line);
        self.end_line(&line, out);
    }

    /// Writes the rest of a line and the line end.
    fn end_line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let is_dot = self.column == 0 && line == b".";
        match line {
            [text @ .., last] if is_dot || matches!(last, b' ' | b'\t') => {
                self.put(line, text.len(), out);
                self.put_text(hex(*last), out);
            }
            _ => self.put(line, line.len(), out),
        }
        out.push(b'\n');
        self.column = 0;
    }

    /// Writes the first `length` bytes. The others are only used to look ahead.
    fn put(&mut self, bytes: &[u8], length: usize, out: &mut Vec<u8>) {
        // Delivery to an mbox would put a `>` before `From `, and Postfix may take `--` for a boundary.
        let is_protected = bytes.starts_with(b"From ") || bytes.starts_with(b"--");
        let mut rest = bytes.get(..length).unwrap_or_default();
        if let Some((first, after)) = rest.split_first()
            && is_protected
            && self.column == 0
        {
            self.put_text(hex(*first), out);
            rest = after;
        }
        while !rest.is_empty() {
            let (text, after) = rest.split_at(plain_length(rest));
            self.put_plain(text, out);
            rest = after;
            // Non-ASCII letters have two or more bytes.
            while let Some((byte, after)) = rest.split_first().filter(|(byte, _)| !is_plain(**byte))
            {
                match byte {
                    b'=' if self.keeps_equals => {
                        // An existing `=XX` must not be split.
                        self.make_room(3, out);
                        self.put_text(*b"=", out);
                    }
                    b'\t' => self.put_text(*b"\t", out),
                    byte => self.put_text(hex(*byte), out),
                }
                rest = after;
            }
        }
    }

    /// Writes text that may be split anywhere.
    fn put_plain(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut rest = text;
        while !rest.is_empty() {
            // Text that must not begin a line must not follow a soft line break either.
            if self.make_room(1, out)
                && let Some((byte @ (b'F' | b'-' | b'.'), after)) = rest.split_first()
            {
                self.put_text(hex(*byte), out);
                rest = after;
                continue;
            }
            let room = ENCODED_LINE.saturating_sub(1).saturating_sub(self.column).min(rest.len());
            let (text, after) = rest.split_at(room);
            out.extend_from_slice(text);
            self.column = self.column.saturating_add(room);
            rest = after;
        }
    }

    /// Writes text that must not be split.
    fn put_text<const N: usize>(&mut self, text: [u8; N], out: &mut Vec<u8>) {
        self.make_room(N, out);
        out.extend_from_slice(&text);
        self.column = self.column.saturating_add(N);
    }

    /// Adds a soft line break if `length` bytes and a soft line break do not fit on the line. Returns whether it did.
    fn make_room(&mut self, length: usize, out: &mut Vec<u8>) -> bool {
        let is_full = self.column.saturating_add(length) >= ENCODED_LINE;
        if is_full {
            out.extend_from_slice(b"=\n");
            self.column = 0;
        }
        is_full
    }
}

/// The bytes of `From ` after its first letter: they are needed before the letter can be written.
const HELD: usize = 4;

/// Whether quoted-printable leaves a byte unchanged in the middle of a line.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'<' | b'>'..=b'~')
}

/// How many bytes precede the first one that is a control character, `=` or above 126.
fn plain_length(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let plain = plain_of_eight(*word);
        if plain < word.len() {
            return index.saturating_mul(word.len()).saturating_add(plain);
        }
    }
    // The last few bytes, together with some of the bytes before them.
    let last = bytes.last_chunk().map(|last| (last.len(), plain_of_eight(*last)));
    last.map_or_else(
        || bytes.iter().take_while(|byte| is_plain(**byte)).count(),
        |(length, plain)| bytes.len().saturating_sub(length).saturating_add(plain),
    )
}

fn plain_of_eight(bytes: [u8; 8]) -> usize {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_le_bytes([0x80; 8]);
    // Sets the highest bit of each byte that is below the limit. A borrow only affects bytes above the first such byte.
    let below = |bytes: u64, limit: u64| bytes.wrapping_sub(EACH.wrapping_mul(limit)) & !bytes;
    let bytes = u64::from_le_bytes(bytes);
    let equal = |byte: u8| below(bytes ^ EACH.wrapping_mul(u64::from(byte)), 1);
    let odd = (bytes | below(bytes, 0x20) | equal(b'=') | equal(0x7f)) & HIGHEST;
    odd.trailing_zeros() as usize / 8
}

fn hex(byte: u8) -> [u8; 3] {
    NUMBERS.get(usize::from(byte)).copied().unwrap_or_default()
}

/// `=XX` for each byte.
#[expect(
    clippy::indexing_slicing,
    reason = "computed at compile time, where a panic is a compile error"
)]
const NUMBERS: [[u8; 3]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut numbers = [[b'='; 3]; 256];
    let mut byte = 0;
    while byte < numbers.len() {
        numbers[byte] = [b'=', DIGITS[byte >> 4], DIGITS[byte & 0x0f]];
        byte += 1;
    }
    numbers
};

/// Base64 of text whose lines end in CRLF.
#[derive(Clone, Debug, Default)]
pub(super) struct Base64 {
    /// Bytes that are not encoded yet; fewer than three between two pieces.
    pending: Vec<u8>,
    /// A line end that may belong to the boundary.
    held_end: bool,
    rows: Rows,
}

impl Base64 {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if mem::take(&mut self.held_end) {
                self.pending.extend_from_slice(b"\r\n");
            }
            let end = memchr(b'\n', rest);
            self.held_end = end.is_some();
            let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
            self.pending.extend_from_slice(text);
            rest = after.get(1..).unwrap_or_default();
        }
        let remainder = self.pending.len() % 3;
        self.encode(remainder, out);
    }

    fn finish(mut self, delimited: bool, out: &mut Vec<u8>) {
        if self.held_end && !delimited {
            self.pending.extend_from_slice(b"\r\n");
        }
        self.encode(0, out);
        out.push(b'\n');
    }

    /// Encodes the pending bytes except for the last `remainder`.
    fn encode(&mut self, remainder: usize, out: &mut Vec<u8>) {
        let known = self.pending.len().saturating_sub(remainder);
        // Encode many rows in one call.
        let mut text = [0; 4 << 10];
        for bytes in self.pending.get(..known).unwrap_or_default().chunks(3 << 10) {
            // The buffer is large enough.
            let length = BASE64_STANDARD.encode_slice(bytes, &mut text).unwrap_or_default();
            self.rows.put(text.get(..length).unwrap_or_default(), out);
        }
        self.pending.drain(..known);
    }
}

/// Writes base64 text in lines of the proper length.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    column: usize,
}

impl Rows {
    fn put(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut rest = text;
        while !rest.is_empty() {
            if self.column == ENCODED_LINE {
                out.push(b'\n');
                self.column = 0;
            }
            let room = ENCODED_LINE.saturating_sub(self.column).min(rest.len());
            let (row, after) = rest.split_at(room);
            out.extend_from_slice(row);
            self.column = self.column.saturating_add(room);
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoder: &Encoder, text: &[u8], delimited: bool) -> String {
        let all = |size: usize| {
            let (mut encoder, mut out) = (encoder.clone(), Vec::new());
            text.chunks(size).for_each(|piece| encoder.feed(piece, &mut out));
            encoder.finish(delimited, &mut out);
            String::from_utf8(out).unwrap()
        };
        let whole = all(text.len().max(1));
        for size in 1..text.len() {
            assert_eq!(all(size), whole, "pieces of {size}");
        }
        assert!(whole.lines().all(|line| line.len() <= ENCODED_LINE), "{whole}");
        whole
    }

    fn quoted(text: &[u8]) -> String {
        encoded(&Encoder::Quoted(Quoted::default()), text, true)
    }

    #[test]
    fn what_is_not_ascii_is_quoted() {
        assert_eq!(quoted("gr\u{fc}n = a\t\0b\n".as_bytes()), "gr=C3=BCn =3D a\t=00b\n");
    }

    #[test]
    fn each_byte_is_plain_or_not_at_any_place() {
        for byte in 0..=u8::MAX {
            let is_plain = (32..=126).contains(&byte) && byte != b'=';
            for before in 0..20 {
                for after in [0, 1, 7, 8, 20] {
                    let text = [&b"x".repeat(before), &[byte][..], &b"y".repeat(after)].concat();
                    let length = if is_plain { text.len() } else { before };
                    assert_eq!(plain_length(&text), length, "{byte} at {before}");
                }
            }
        }
    }

    #[test]
    fn spaces_at_a_line_end_are_quoted() {
        assert_eq!(quoted(b"a \nb\t\n \n\n"), "a=20\nb=09\n=20\n\n");
    }

    #[test]
    fn long_lines_are_broken_softly() {
        let text = quoted("\u{fc}".repeat(100).as_bytes());
        assert_eq!(text.replace("=\n", "").trim_end(), "=C3=BC".repeat(100));
        let text = quoted(&[b'x'; 200]);
        assert_eq!(text.replace("=\n", "").trim_end(), "x".repeat(200));
    }

    #[test]
    fn what_begins_like_a_boundary_is_protected() {
        assert_eq!(quoted(b"--\n---\n--x y\n-x\n-- \n"), "=2D-\n=2D--\n=2D-x y\n-x\n=2D-=20\n");
    }

    #[test]
    fn from_and_a_lone_dot_at_the_start_of_a_line_are_protected() {
        assert_eq!(quoted(b"From x\n.\n..\nFrom\n From x\n"), "=46rom x\n=2E\n..\nFrom\n From x\n");
    }

    #[test]
    fn what_may_not_begin_a_line_begins_none_after_a_soft_line_break() {
        for (odd, expected) in [("--b", "=2D-b"), ("From x", "=46rom x"), (".", "=2E")] {
            let text = "x".repeat(ENCODED_LINE - 1);
            assert_eq!(
                quoted(format!("{text}{odd}\n").as_bytes()),
                format!("{text}=\n{expected}\n")
            );
        }
    }

    #[test]
    fn fixing_keeps_what_is_encoded() {
        let fixing = Encoder::Quoted(Quoted::fixing());
        let text = format!("a=3D=\n{}\u{fc}\n", "x=20".repeat(50));
        let got = encoded(&fixing, text.as_bytes(), true);
        assert_eq!(got.replace("=\n", ""), format!("a=3D{}=C3=BC\n", "x=20".repeat(50)));
        assert!(!got.contains("=2=\n") && !got.contains("==\n"), "{got}");
    }

    #[test]
    fn base64_has_crlf_for_line_ends_and_leaves_the_last_to_the_boundary() {
        let base64 = Encoder::Base64(Base64::default());
        let decoded = |text: &[u8], delimited| {
            let text = encoded(&base64, text, delimited);
            BASE64_STANDARD.decode(text.replace('\n', "")).unwrap()
        };
        assert_eq!(decoded(b"a\nb\n", true), b"a\r\nb");
        assert_eq!(decoded(b"a\nb\n", false), b"a\r\nb\r\n");
        let long = [b'x'; 300];
        assert_eq!(decoded(&[&long[..], b"\n"].concat(), true), long);
        assert_eq!(encoded(&base64, b"\n", true), "\n");
    }

    #[test]
    fn base64_of_many_rows_is_that_of_the_whole() {
        let text: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').cycle().take(9_000).collect();
        let (mut encoder, mut base64) = (Encoder::Base64(Base64::default()), Vec::new());
        encoder.feed(&text, &mut base64);
        encoder.finish(true, &mut base64);
        let base64 = String::from_utf8(base64).unwrap();
        assert_eq!(base64.replace('\n', ""), BASE64_STANDARD.encode(&text));
        assert!(base64.lines().rev().skip(1).all(|line| line.len() == ENCODED_LINE));
    }

    #[test]
    fn base64_is_rewrapped() {
        let rewrap = Encoder::Rewrap(Rows::default());
        let text = encoded(
            &rewrap,
            format!("{}\n{}=\n", "A".repeat(100), "B".repeat(10)).as_bytes(),
            true,
        );
        assert_eq!(text, format!("{}\n{}{}=\n", "A".repeat(76), "A".repeat(24), "B".repeat(10)));
    }
}
