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
    /// The line that is being written: empty at first, then [`ROW`] bytes, of which the first `column` are text.
    row: Vec<u8>,
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
        if !self.line.is_empty() {
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
        let last = line.last().filter(|last| is_dot || matches!(last, b' ' | b'\t'));
        self.put(line, line.len().saturating_sub(usize::from(last.is_some())), out);
        let Some(row) = self.row.first_chunk_mut() else { return };
        if let Some(last) = last {
            let column = put_code(row, self.column, code(&ALL, *last));
            self.column = wrap(row, column, out);
        }
        write(row, self.column, LINE_END, out);
        self.column = 0;
    }

    /// Writes the first `length` bytes. The others are only used to look ahead.
    fn put(&mut self, bytes: &[u8], length: usize, out: &mut Vec<u8>) {
        // Delivery to an mbox would put a `>` before `From `, and Postfix may take `--` for a boundary.
        let is_protected = bytes.starts_with(b"From ") || bytes.starts_with(b"--");
        let mut rest = bytes.get(..length).unwrap_or_default();
        self.row.resize(ROW, 0);
        let Some(row) = self.row.first_chunk_mut() else { return };
        // In a variable of its own, so that it stays in a register.
        let mut column = self.column;
        if let Some((first, after)) = rest.split_first()
            && is_protected
            && column == 0
        {
            column = put_code(row, column, code(&ALL, *first));
            rest = after;
        }
        let codes = if self.keeps_equals { &FIXING } else { &SPECIAL };
        let (words, last) = rest.as_chunks();
        for word in words {
            column = put_word(row, column, *word, codes);
            if column > LONGEST {
                column = wrap(row, column, out);
            }
        }
        for byte in last {
            column = put_code(row, column, code(codes, *byte));
        }
        self.column = wrap(row, column, out);
    }
}

/// The bytes of `From ` after its first letter: they are needed before the letter can be written.
const HELD: usize = 4;

/// The longest line without its soft line break.
const LONGEST: usize = ENCODED_LINE - 1;

/// Room for a line that is full and the code of a word.
const ROW: usize = 128;

/// Writes one byte or its code. Returns the new column.
fn put_code(row: &mut [u8; ROW], column: usize, code: u32) -> usize {
    let bytes = code.to_le_bytes();
    if let Some(room) = row.get_mut(column..).and_then(<[u8]>::first_chunk_mut) {
        *room = bytes;
    }
    let [.., length] = bytes;
    column.wrapping_add(usize::from(length))
}

/// Writes eight bytes or their codes. Returns the new column.
fn put_word(row: &mut [u8; ROW], column: usize, word: [u8; 8], codes: &[u32; 256]) -> usize {
    if is_plain(word) {
        if let Some(room) = row.get_mut(column..).and_then(<[u8]>::first_chunk_mut) {
            *room = word;
        }
        return column.wrapping_add(word.len());
    }
    // No branch depends on the bytes: where letters beyond ASCII are cannot be predicted.
    word.iter().fold(column, |column, byte| put_code(row, column, code(codes, *byte)))
}

/// Ends the line with a soft line break if it is too long, and moves the rest to the next line. Returns the new column.
fn wrap(row: &mut [u8; ROW], column: usize, out: &mut Vec<u8>) -> usize {
    // A code of three bytes must not be split.
    let begins = |at: usize| row.get(at) == Some(&b'=');
    let end = match (begins(LONGEST - 2), begins(LONGEST - 1)) {
        (true, _) => LONGEST - 2,
        (false, true) => LONGEST - 1,
        (false, false) => LONGEST,
    };
    let Some(rest) = row.get(end..).and_then(<[u8]>::first_chunk::<32>).copied() else {
        return column;
    };
    if column <= end {
        return column;
    }
    write(row, end, SOFT_BREAK, out);
    let column = column.wrapping_sub(end);
    let [first, after @ ..] = rest;
    // Text that must not begin a line must not follow a soft line break either.
    if let b'F' | b'-' | b'.' = first {
        let begun = put_code(row, 0, code(&ALL, first));
        if let Some(room) = row.get_mut(begun..).and_then(<[u8]>::first_chunk_mut) {
            *room = after;
        }
        return column.wrapping_add(begun).wrapping_sub(1);
    }
    if let Some(room) = row.first_chunk_mut() {
        *room = rest;
    }
    column
}

/// Appends the row up to a column, and a line end, to `out`.
fn write(row: &mut [u8; ROW], column: usize, end: u32, out: &mut Vec<u8>) {
    let length = out.len().saturating_add(put_code(row, column, end));
    // A copy of constant length needs no call.
    if let Some(text) = row.first_chunk::<80>() {
        out.extend_from_slice(text);
        out.truncate(length);
    }
}

/// Whether quoted-printable leaves eight bytes unchanged in the middle of a line: none is a control character, `=` or above 126.
fn is_plain(word: [u8; 8]) -> bool {
    const fn each(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let word = u64::from_le_bytes(word);
    // Sums of seven bits each, so that none carries over: the highest bit of each shows the result.
    let low = word & each(0x7f);
    let is_below_space = !low.wrapping_add(each(0x80 - 0x20));
    let is_equals_sign = !(low ^ each(b'=')).wrapping_add(each(0x7f));
    let is_delete = low.wrapping_add(each(1));
    (word | is_below_space | is_equals_sign | is_delete) & each(0x80) == 0
}

fn code(codes: &[u32; 256], byte: u8) -> u32 {
    codes.get(usize::from(byte)).copied().unwrap_or_default()
}

/// How bytes are written: the first bytes of each number in little-endian order. Its last byte is how many these are.
static SPECIAL: [u32; 256] = codes(&[(b'\t', b'\t'), (b' ', b'<'), (b'>', b'~')]);
/// The same if the text is already encoded.
static FIXING: [u32; 256] = codes(&[(b'\t', b'\t'), (b' ', b'~')]);
/// `=XX` for each byte.
static ALL: [u32; 256] = codes(&[]);
const SOFT_BREAK: u32 = u32::from_le_bytes([b'=', b'\n', 0, 2]);
const LINE_END: u32 = u32::from_le_bytes([b'\n', 0, 0, 1]);

/// Codes for all bytes except those in the ranges.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "computed at compile time, where a panic is a compile error"
)]
const fn codes(plain: &[(u8, u8)]) -> [u32; 256] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut codes = [0; 256];
    let mut byte = 0;
    loop {
        let index = byte as usize;
        codes[index] = u32::from_le_bytes([b'=', DIGITS[index >> 4], DIGITS[index & 0x0f], 3]);
        let mut range = 0;
        while range < plain.len() {
            if plain[range].0 <= byte && byte <= plain[range].1 {
                codes[index] = u32::from_le_bytes([byte, 0, 0, 1]);
            }
            range += 1;
        }
        if byte == u8::MAX {
            return codes;
        }
        byte += 1;
    }
}

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
    fn what_is_written_does_not_wait_for_the_end_of_a_line() {
        for encoder in [Encoder::Quoted(Quoted::default()), Encoder::Base64(Base64::default())] {
            let (mut encoder, mut out) = (encoder, Vec::new());
            encoder.feed(&[b'x'; 10_000], &mut out);
            assert!(out.len() > 9_900, "{encoder:?}: {}", out.len());
        }
    }

    #[test]
    fn eight_bytes_are_plain_if_each_of_them_is() {
        for (at, byte) in (0..8).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
            let mut word = *b"a Z09~!<";
            word[at] = byte;
            let expected = (b' '..=b'~').contains(&byte) && byte != b'=';
            assert_eq!(is_plain(word), expected, "{byte} at {at}");
        }
    }

    #[test]
    fn what_is_not_ascii_is_quoted() {
        assert_eq!(quoted("gr\u{fc}n = a\t\0b\n".as_bytes()), "gr=C3=BCn =3D a\t=00b\n");
    }

    #[test]
    fn each_byte_is_plain_or_not_at_any_place() {
        for byte in (0..=u8::MAX).filter(|byte| *byte != b'\n') {
            let is_plain = (32..=126).contains(&byte) && byte != b'=' || byte == b'\t';
            let code = if is_plain { vec![byte] } else { format!("={byte:02X}").into_bytes() };
            for before in 0..20 {
                for after in [1, 7, 8, 20] {
                    let around = [b"x".repeat(before), b"y".repeat(after)];
                    let expected = [&around[0], &*code, &around[1], b"\n"].concat();
                    let text = [&around[0], &[byte][..], &around[1]].concat();
                    assert_eq!(quoted(&text).as_bytes(), expected, "{byte} at {before}");
                }
            }
        }
    }

    #[test]
    fn a_code_is_not_split_wherever_the_line_ends() {
        for before in 60..90 {
            for codes in 1..10 {
                for after in 0..10 {
                    let [x, y] =
                        [(before, "x"), (after, "y")].map(|(times, text)| text.repeat(times));
                    let text = quoted(format!("{x}{}{y}\n", "=".repeat(codes)).as_bytes());
                    assert!(text.lines().all(|line| line.len() <= ENCODED_LINE), "{text}");
                    // Only the last line has room for another byte or code.
                    let lines: Vec<_> = text.split("=\n").collect();
                    let full = lines.iter().rev().skip(1);
                    assert!(
                        full.clone().all(|line| line.len() > 72
                            && !line.ends_with("=3")
                            && !line.ends_with('=')),
                        "{text}"
                    );
                    assert_eq!(lines.concat(), format!("{x}{}{y}\n", "=3D".repeat(codes)));
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
