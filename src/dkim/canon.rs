//! Canonicalization (§3.4): the form of header and body that is hashed.

use std::str::FromStr;
use std::{error, fmt};

use memchr::memchr;

/// One of the two algorithms of §3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Canon {
    /// Tolerates almost no change (§3.4.1, §3.4.3).
    Simple,
    /// Tolerates changes to whitespace and to the case of field names (§3.4.2, §3.4.4).
    Relaxed,
}

impl Canon {
    /// Passes the canonical form of one field to `sink`, piece by piece, *without* the CRLF at its end: the DKIM-Signature field
    /// is hashed without one (§3.7).
    ///
    /// `bytes` is the field, with or without its final line end.
    pub fn field(self, bytes: &[u8], mut sink: impl FnMut(&[u8])) {
        let bytes = without_line_end(bytes);
        match self {
            Self::Simple => simple_field(bytes, sink),
            Self::Relaxed => {
                let mut parts = bytes.splitn(2, |&byte| byte == b':');
                let name = parts.next().unwrap_or_default().trim_ascii_end();
                sink(&name.to_ascii_lowercase());
                sink(b":");
                relaxed_value(parts.next().unwrap_or_default(), sink);
            }
        }
    }
}

impl FromStr for Canon {
    type Err = NotACanonicalization;

    fn from_str(text: &str) -> Result<Self, NotACanonicalization> {
        match text {
            "simple" => Ok(Self::Simple),
            "relaxed" => Ok(Self::Relaxed),
            _ => Err(NotACanonicalization),
        }
    }
}

impl fmt::Display for Canon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simple => "simple",
            Self::Relaxed => "relaxed",
        })
    }
}

/// The algorithms for header and body (c=, §3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Canonicalization {
    /// The algorithm for the header fields.
    pub header: Canon,
    /// The algorithm for the body.
    pub body: Canon,
}

impl FromStr for Canonicalization {
    type Err = NotACanonicalization;

    fn from_str(text: &str) -> Result<Self, NotACanonicalization> {
        // A missing second word means "simple" (§3.5 c=).
        let (header, body) = text.split_once('/').unwrap_or((text, "simple"));
        Ok(Self { header: header.parse()?, body: body.parse()? })
    }
}

impl fmt::Display for Canonicalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.header, self.body)
    }
}

/// The text is not a canonicalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACanonicalization;

impl fmt::Display for NotACanonicalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected simple or relaxed, or two of these separated by a slash")
    }
}

impl error::Error for NotACanonicalization {}

/// Passes the canonical form of a body to a sink. The body is read in pieces of any size.
///
/// Keeps only counts of what it holds back, never the bytes.
#[derive(Clone, Debug)]
pub struct Body {
    pub(super) canon: Canon,
    /// Output buffer: the sink gets large pieces instead of single lines.
    out: Vec<u8>,
    /// Line ends held back because they may be the last ones of the body.
    line_ends: u64,
    /// The last byte was a CR, which may belong to a line end.
    cr: bool,
    /// The last byte was WSP, which may be at the end of a line (relaxed only).
    wsp: bool,
    begun: bool,
}

/// How many bytes a sink gets at a time.
const MANY: usize = 8 << 10;

impl Body {
    /// Starts at the first byte after the empty line.
    pub fn new(canon: Canon) -> Self {
        Self {
            canon,
            out: Vec::with_capacity(MANY),
            line_ends: 0,
            cr: false,
            wsp: false,
            begun: false,
        }
    }

    /// Reads the next piece of the body.
    pub fn update(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) {
        if self.cr && bytes.first().is_some_and(|&byte| byte != b'\n') {
            self.cr = false;
            self.text(b"\r", sink);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (kept, after) = rest.split_at(self.kept_length(rest));
            self.kept(kept, sink);
            rest = self.line(after, sink);
        }
        self.flush(sink);
    }

    /// Ends the body.
    pub fn finish(mut self, sink: &mut impl FnMut(&[u8])) {
        if self.cr {
            self.text(b"\r", sink);
        }
        // The body ends in exactly one line end. A body of line ends only becomes one line end in the simple form (§3.4.3) and
        // empty in the relaxed form (§3.4.4).
        if self.begun || self.canon == Canon::Simple {
            self.put(b"\r\n", sink);
        }
        self.flush(sink);
    }

    /// How many of the first bytes are kept as they are. Their line ends are LFs.
    fn kept_length(&self, bytes: &[u8]) -> usize {
        if self.canon == Canon::Simple {
            return memchr(b'\r', bytes).unwrap_or(bytes.len());
        }
        let mut length: usize = 0;
        while !self.wsp
            && let Some(block) = bytes.get(length..).and_then(<[u8]>::first_chunk)
            && !has_change(block)
        {
            length = length.saturating_add(block.len()).saturating_sub(1);
        }
        length
    }

    fn kept(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) {
        let mut rest = bytes;
        while let Some((line, after)) = split_at_line_end(rest) {
            self.pass_on(line, sink);
            self.line_end();
            rest = after;
        }
        self.pass_on(rest, sink);
    }

    /// Reads one line, or the part of it that is there. Returns the bytes after it.
    fn line<'a>(&mut self, bytes: &'a [u8], sink: &mut impl FnMut(&[u8])) -> &'a [u8] {
        if let Some((line, after)) = split_at_line_end(bytes) {
            self.text(line.strip_suffix(b"\r").unwrap_or(line), sink);
            self.line_end();
            return after;
        }
        let text = bytes.strip_suffix(b"\r");
        self.cr |= text.is_some();
        self.text(text.unwrap_or(bytes), sink);
        &[]
    }

    /// Bytes of one line.
    fn text(&mut self, line: &[u8], sink: &mut impl FnMut(&[u8])) {
        if self.canon == Canon::Simple {
            return self.pass_on(line, sink);
        }
        let mut rest = line;
        while !rest.is_empty() {
            let (has_wsp, words, after) = split_words(rest);
            self.wsp |= has_wsp;
            self.pass_on(words, sink);
            rest = after;
        }
    }

    /// Passes on what was held back, then these bytes unchanged.
    fn pass_on(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) {
        if bytes.is_empty() {
            return;
        }
        for _ in 0..self.line_ends {
            self.put(b"\r\n", sink);
        }
        self.line_ends = 0;
        if self.wsp {
            self.put(b" ", sink);
            self.wsp = false;
        }
        self.put(bytes, sink);
        self.begun = true;
    }

    fn line_end(&mut self) {
        self.cr = false;
        // WSP at the end of a line is dropped (§3.4.4 a).
        self.wsp = false;
        self.line_ends = self.line_ends.saturating_add(1);
    }

    fn put(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) {
        if self.out.len().saturating_add(bytes.len()) > MANY {
            self.flush(sink);
        }
        if bytes.len() > MANY {
            sink(bytes);
        } else {
            self.out.extend_from_slice(bytes);
        }
    }

    fn flush(&mut self, sink: &mut impl FnMut(&[u8])) {
        if !self.out.is_empty() {
            sink(&self.out);
            self.out.clear();
        }
    }
}

/// The bytes before the first LF, and the bytes after it.
fn split_at_line_end(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, after) = bytes.split_at_checked(memchr(b'\n', bytes)?)?;
    Some((line, after.get(1..)?))
}

/// The bytes without the LF or CRLF at the end, if there is one.
pub(super) fn without_line_end(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").map_or(bytes, |line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn simple_field(bytes: &[u8], mut sink: impl FnMut(&[u8])) {
    for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
        let line = without_line_end(piece);
        sink(line);
        if line.len() < piece.len() {
            sink(b"\r\n");
        }
    }
}

/// Unfolds the value, replaces each run of WSP by one space, and drops WSP at both ends (§3.4.2).
fn relaxed_value(value: &[u8], mut sink: impl FnMut(&[u8])) {
    let (mut begun, mut wsp) = (false, false);
    for piece in value.split_inclusive(|&byte| byte == b'\n') {
        let mut rest = without_line_end(piece);
        while !rest.is_empty() {
            let (has_wsp, words, after) = split_words(rest);
            wsp |= has_wsp;
            if !words.is_empty() {
                if wsp && begun {
                    sink(b" ");
                }
                sink(words);
                (begun, wsp) = (true, false);
            }
            rest = after;
        }
    }
}

/// Returns whether the text begins with WSP (§2.8); the bytes after it that the relaxed form keeps as they are, up to the first
/// WSP that is not a single space between two words; and the rest.
fn split_words(text: &[u8]) -> (bool, &[u8], &[u8]) {
    let wsp = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let text = text.get(wsp..).unwrap_or_default();
    let changed = |pair: &[u8]| matches!(pair, [b'\t', _] | [b' ', b' ' | b'\t']);
    let (words, rest) = text.split_at(text.windows(2).position(changed).unwrap_or(match text {
        [words @ .., b' ' | b'\t'] => words.len(),
        _ => text.len(),
    }));
    (wsp > 0, words, rest)
}

/// The bytes that are compared together, and the byte after them.
const BLOCK: usize = 32 + 1;

/// Whether the relaxed form may change anything in this part of a body, except for its last byte. There is no branch, so that the
/// compiler compares many bytes at a time.
fn has_change(bytes: &[u8; BLOCK]) -> bool {
    let next = bytes.iter().skip(1);
    bytes.iter().zip(next).fold(false, |any, (&byte, &next)| {
        any | (byte == b'\t') | (byte == b'\r') | (byte == b' ') & (next <= b' ')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Canon; 2] = [Canon::Simple, Canon::Relaxed];

    fn field(canon: Canon, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        canon.field(bytes, |piece| out.extend_from_slice(piece));
        out
    }

    fn body_of(canon: Canon, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sink = |piece: &[u8]| out.extend_from_slice(piece);
        let mut body = Body::new(canon);
        for piece in pieces {
            body.update(piece, &mut sink);
        }
        body.finish(&mut sink);
        out
    }

    fn simple(bytes: &[u8]) -> Vec<u8> {
        body_of(Canon::Simple, &[bytes])
    }

    fn relaxed(bytes: &[u8]) -> Vec<u8> {
        body_of(Canon::Relaxed, &[bytes])
    }

    #[test]
    fn rfc6376_3_4_5_example_1_relaxed_relaxed() {
        assert_eq!(field(Canon::Relaxed, b"A: X\r\n"), b"a:X");
        assert_eq!(field(Canon::Relaxed, b"B : Y\t\r\n\tZ  \r\n"), b"b:Y Z");
        assert_eq!(relaxed(b" C \r\nD \t E\r\n\r\n\r\n"), b" C\r\nD E\r\n");
    }

    #[test]
    fn rfc6376_3_4_5_example_2_simple_simple() {
        assert_eq!(field(Canon::Simple, b"A: X\r\n"), b"A: X");
        assert_eq!(field(Canon::Simple, b"B : Y\t\r\n\tZ  \r\n"), b"B : Y\t\r\n\tZ  ");
        assert_eq!(simple(b" C \r\nD \t E\r\n\r\n\r\n"), b" C \r\nD \t E\r\n");
    }

    #[test]
    fn an_empty_body_is_one_line_end_in_the_simple_form_and_nothing_in_the_relaxed() {
        assert_eq!(simple(b""), b"\r\n");
        assert_eq!(relaxed(b""), b"");
    }

    #[test]
    fn a_body_of_empty_lines_is_an_empty_body() {
        assert_eq!(simple(b"\n\r\n\n"), b"\r\n");
        assert_eq!(relaxed(b"\n \r\n\t \n \t"), b"");
    }

    #[test]
    fn a_missing_last_line_end_is_added() {
        assert_eq!(simple(b"a\nb"), b"a\r\nb\r\n");
        assert_eq!(relaxed(b"a\nb "), b"a\r\nb\r\n");
        assert_eq!(relaxed(b"a\n "), b"a\r\n");
        assert_eq!(simple(b"a\n "), b"a\r\n \r\n");
    }

    #[test]
    fn empty_lines_before_the_end_stay() {
        assert_eq!(simple(b"\n\na\n\n\nb\n\n"), b"\r\n\r\na\r\n\r\n\r\nb\r\n");
        assert_eq!(relaxed(b"\n \na\n\t\nb\n\n"), b"\r\n\r\na\r\n\r\nb\r\n");
    }

    #[test]
    fn a_bare_cr_is_an_ordinary_byte() {
        assert_eq!(simple(b"a\rb\r\r\nc\r"), b"a\rb\r\r\nc\r\r\n");
        assert_eq!(relaxed(b"a \rb \r \r\n\r"), b"a \rb \r\r\n\r\r\n");
        assert_eq!(field(Canon::Simple, b"A: b\rc\r\n"), b"A: b\rc");
    }

    #[test]
    fn lf_and_crlf_give_the_same() {
        for canon in BOTH {
            let lf: &[u8] = b"a \n\n b\tc\n\n";
            let crlf = String::from_utf8_lossy(lf).replace('\n', "\r\n");
            assert_eq!(body_of(canon, &[lf]), body_of(canon, &[crlf.as_bytes()]));
            let folded = b"Subject:  a \n\t b\n c\n";
            let crlf = String::from_utf8_lossy(folded).replace('\n', "\r\n");
            assert_eq!(field(canon, folded), field(canon, crlf.as_bytes()));
        }
    }

    #[test]
    fn the_size_of_the_pieces_does_not_matter() {
        let body: &[u8] = b"\r\n a  b\t\tc \r\r\n\r\n \t\nd\re \rf\n\n\ng \t\n \n\r\n\r";
        for canon in BOTH {
            let whole = body_of(canon, &[body]);
            for first in 0..=body.len() {
                for second in first..=body.len() {
                    let pieces = [&body[..first], &body[first..second], &body[second..]];
                    assert_eq!(body_of(canon, &pieces), whole, "{canon} {first} {second}");
                }
            }
            let bytes: Vec<&[u8]> = body.chunks(1).collect();
            assert_eq!(body_of(canon, &bytes), whole);
        }
    }

    #[test]
    fn whitespace_on_both_sides_of_the_end_of_a_piece_is_one_space() {
        let words = "some words on a line that is longer than one block of bytes";
        let pieces = ["a ".to_owned(), format!(" {words}\n")];
        let relaxed = body_of(Canon::Relaxed, &pieces.each_ref().map(String::as_bytes));
        assert_eq!(relaxed, format!("a {words}\r\n").into_bytes());
    }

    #[test]
    fn the_sink_gets_many_short_lines_at_a_time() {
        for canon in BOTH {
            let mut calls = 0;
            let mut body = Body::new(canon);
            body.update(&b"x\n".repeat(1_000), &mut |_| calls += 1);
            assert_eq!(calls, 1, "{canon}");
        }
    }

    #[test]
    fn many_bytes_at_a_time_give_the_same_as_each_for_itself() {
        let words =
            b"some words of a text\nwhose lines are neither short nor very long\n".repeat(2);
        // With dashes, no other space makes the block one that is read byte by byte.
        let dashes: Vec<u8> =
            words.iter().map(|byte| if *byte == b' ' { b'-' } else { *byte }).collect();
        for text in [words, dashes] {
            for odd in ["  ", "\t", "\r", " \n", "\r\n", "\n\n ", "\r\r\n", " \r\n", "x"] {
                for at in 0..text.len() {
                    let body = [&text[..at], odd.as_bytes(), &text[at..]].concat();
                    for canon in BOTH {
                        let bytes: Vec<&[u8]> = body.chunks(1).collect();
                        assert_eq!(
                            body_of(canon, &[&body]),
                            body_of(canon, &bytes),
                            "{odd:?} {at}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn countless_line_ends_before_text_stay() {
        for canon in BOTH {
            let body = [vec![b'\n'; 3 * MANY], vec![b'x'; 2 * MANY]].concat();
            let wanted = [b"\r\n".repeat(3 * MANY), vec![b'x'; 2 * MANY], b"\r\n".to_vec()];
            assert!(body_of(canon, &[&body]) == wanted.concat());
        }
    }

    #[test]
    fn a_relaxed_field_is_unfolded_and_has_no_space_at_either_end() {
        let bytes = b"SUBJect \t:\r\n \r\n\t a\t b \r\n  c \t \r\n";
        assert_eq!(field(Canon::Relaxed, bytes), b"subject:a b c");
        assert_eq!(field(Canon::Relaxed, b"X: \t\n"), b"x:");
        assert_eq!(field(Canon::Relaxed, b"X:a:b"), b"x:a:b");
    }

    #[test]
    fn long_lines_keep_their_place() {
        let long = "x".repeat(20_000);
        for text in [format!("a\n{long}\nb\n{long}{long}\nc\n"), format!("{long}\na\n")] {
            for canon in [Canon::Simple, Canon::Relaxed] {
                let mut given = Vec::new();
                let mut sink = |piece: &[u8]| given.extend_from_slice(piece);
                let mut body = Body::new(canon);
                body.update(text.as_bytes(), &mut sink);
                body.finish(&mut sink);
                assert!(given == text.replace('\n', "\r\n").into_bytes(), "{canon}");
            }
        }
    }

    #[test]
    fn a_single_word_of_c_is_the_header_and_the_body_is_simple() {
        let relaxed_simple = Canonicalization { header: Canon::Relaxed, body: Canon::Simple };
        assert_eq!("relaxed".parse(), Ok(relaxed_simple));
        assert_eq!(relaxed_simple.to_string(), "relaxed/simple");
        for text in ["", "nofws", "relaxed/", "/simple", "relaxed/simple/simple", "Simple"] {
            assert_eq!(text.parse::<Canonicalization>(), Err(NotACanonicalization), "{text:?}");
        }
        let expected = "expected simple or relaxed, or two of these separated by a slash";
        assert_eq!(NotACanonicalization.to_string(), expected);
    }
}
