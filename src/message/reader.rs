//! Splits a message into header and body as Postfix's sendmail(1), smtpd(8), pickup(8) and cleanup(8) do. Leading mbox `From `
//! lines and all CRs before an LF are dropped. A line containing a single dot may end the message. The header ends where Postfix
//! ends it. The result does not depend on how the input is split.

use std::mem;

use memchr::{memchr, memmem, memrchr};

use super::limits::{HEADER_LIMIT, LINE_PIECE, MOST_FIELDS};
use super::syntax::field_name;
use crate::argv::LoneDot;

/// Where the reader stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All bytes were read.
    More,
    /// The header is complete; the remaining bytes are body.
    HeaderEnds,
    /// A line containing a single dot ended the message; the remaining bytes are not part of it.
    MessageEnds,
    /// The header is larger than [`HEADER_LIMIT`], or has more than [`MOST_FIELDS`] fields.
    HeaderTooLarge,
}

/// Reads one message, passed in pieces of any size.
#[derive(Debug, Default)]
pub struct Reader {
    dots: Dots,
    phase: Phase,
    /// The current line, before the body.
    line: Vec<u8>,
    header: Vec<u8>,
    fields: usize,
    /// Bytes of input read so far.
    taken: u64,
    /// Where in the input the body begins.
    body_begins: u64,
    /// Whether the body so far differs from the bytes of the input.
    differs: bool,
    /// Whether the next byte of the body continues a line.
    inside_line: bool,
    /// Whether a dot that began the line is held back; it may be the whole line.
    held_dot: bool,
    /// How many CRs are held back that may belong to a line end; fewer than [`LINE_PIECE`].
    held_crs: usize,
    /// How many bytes of the current piece of the line were read.
    column: usize,
}

/// What a dot at the beginning of a line means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Dots {
    /// It is text.
    #[default]
    Text,
    /// It ends the message if it is alone on the line.
    End,
    /// It is dot-stuffing (RFC 5321 §4.5.2) and is removed.
    Transparent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Before the first line that is not an mbox `From ` line.
    #[default]
    Top,
    Header,
    Body,
    Ended,
}

impl Reader {
    /// A reader at the first byte of a message.
    #[must_use]
    pub fn new(lone_dot: LoneDot) -> Self {
        Self::with(if lone_dot == LoneDot::Ends { Dots::End } else { Dots::Text })
    }

    /// A reader of mail data (RFC 5321 §4.1.1.4). The caller does not pass the line that ends the mail data.
    #[must_use]
    pub fn of_data() -> Self {
        Self::with(Dots::Transparent)
    }

    /// A new reader with the same rules.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::with(self.dots)
    }

    fn with(dots: Dots) -> Self {
        Self { dots, differs: dots == Dots::Transparent, ..Self::default() }
    }

    /// Reads bytes until there are no more or the header or message is complete, and appends the body to `body`. Returns how many
    /// bytes were read.
    pub fn feed(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> (usize, Step) {
        let (taken, step) = match self.phase {
            Phase::Top | Phase::Header => self.feed_header(bytes, body),
            Phase::Body => self.feed_body(bytes, body),
            Phase::Ended => (0, Step::MessageEnds),
        };
        self.taken = self.taken.saturating_add(taken as u64);
        (taken, step)
    }

    /// Reads the first bytes that are body unchanged, up to the first byte that has to be examined. They are not copied, because
    /// the caller has them. Returns how many there are.
    pub fn pass(&mut self, bytes: &[u8]) -> usize {
        let is_dot = !self.inside_line && bytes.starts_with(b".") && self.dots != Dots::Text;
        if self.phase != Phase::Body || self.held_dot || self.held_crs > 0 || is_dot {
            return 0;
        }
        let length = self.text_length(bytes);
        self.advance(bytes.get(..length).unwrap_or_default());
        self.taken = self.taken.saturating_add(length as u64);
        length
    }

    /// Ends the input and completes the last line.
    pub fn finish(&mut self, body: &mut Vec<u8>) {
        if matches!(self.phase, Phase::Top | Phase::Header) {
            let line = mem::take(&mut self.line);
            self.body_begins = self.taken;
            if line == b"." && self.dots != Dots::Text {
                self.differs = true;
            } else if !line.is_empty() && self.header_line(&line, body) {
                self.body_begins = self.taken.saturating_sub(line.len() as u64);
            }
            self.phase = Phase::Body;
        }
        if self.phase == Phase::Body {
            self.finish_body(body);
        }
        self.phase = Phase::Ended;
    }

    /// The header section read so far, in complete lines that end in LF, without the line that ends the header.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Where in the input (from, to) the body is, if it is the same as what was written to `body` except for an LF added at the
    /// end. `None` if the body differs or a dot ended it.
    #[must_use]
    pub fn body_in_input(&self) -> Option<(u64, u64)> {
        (!self.differs).then_some((self.body_begins, self.taken))
    }

    fn feed_header(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> (usize, Step) {
        let mut taken: usize = 0;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let before = self.without_added_dot(&self.line).len();
            let held = self.line.len() as u64;
            let begins = self.taken.saturating_add(taken as u64).saturating_sub(held);
            taken = taken.saturating_add(piece.len());
            self.line.extend_from_slice(piece);
            let text = self.without_added_dot(&self.line);
            let is_too_large = text.len().saturating_add(self.header.len()) > HEADER_LIMIT;
            // The first piece of a long line shows whether it is part of the header.
            let is_body = before <= LINE_PIECE && text.len() > LINE_PIECE && !self.is_header(text);
            if !is_body && (is_too_large || self.fields > MOST_FIELDS) {
                return (taken, Step::HeaderTooLarge);
            }
            let is_complete = piece.ends_with(b"\n");
            if !is_complete && !is_body {
                continue;
            }
            let line = mem::take(&mut self.line);
            let text = without_line_end(&line);
            if is_complete && text == b"." && self.dots == Dots::End {
                self.end_at_dot();
                return (taken, Step::MessageEnds);
            }
            if self.header_line(&line, body) {
                // An empty line is the separator; any other line is the first line of the body.
                let separator = if text.is_empty() { line.len() } else { 0 };
                self.body_begins = begins.saturating_add(separator as u64);
                return (taken, Step::HeaderEnds);
            }
        }
        (taken, Step::More)
    }

    /// Reads a line before the body. Returns whether the header ended with or before this line.
    fn header_line(&mut self, line: &[u8], body: &mut Vec<u8>) -> bool {
        let is_complete = line.ends_with(b"\n");
        let without_added_dot = self.without_added_dot(line);
        let text = without_line_end(without_added_dot);
        let is_first =
            self.phase == Phase::Top && is_complete && without_added_dot.len() <= LINE_PIECE;
        if is_first && is_from_line(text) {
            if self.dots == Dots::Transparent {
                // sendmail(1) drops the line; smtpd(8) turns it into a field.
                self.header.extend_from_slice(&[b"X-Mailbox-Line: ", text, b"\n"].concat());
            }
            return false;
        }
        if self.is_header(text) {
            self.phase = Phase::Header;
            self.fields = self.fields.saturating_add(usize::from(!continues(text)));
            self.header.extend_from_slice(text);
            self.header.push(b'\n');
            return false;
        }
        self.phase = Phase::Body;
        if !(is_complete && text.is_empty()) {
            // Read the line again as body, which has other rules for CRs, dots and the last line.
            self.feed_body(line, body);
        }
        true
    }

    /// Whether a line is a part of the header. pickup(8) puts an empty line before a message that begins with WSP.
    fn is_header(&self, text: &[u8]) -> bool {
        (continues(text) && self.phase == Phase::Header) || field_name(text).is_some()
    }

    /// The line without the dot that dot-stuffing added.
    fn without_added_dot<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.strip_prefix(b".").filter(|_| self.dots == Dots::Transparent).unwrap_or(line)
    }

    fn feed_body(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            let mut length = 1;
            match first {
                b'\n' => {
                    self.differs |= self.held_crs > 0;
                    self.held_crs = 0;
                    if mem::take(&mut self.held_dot) {
                        // `.` CR* LF ends the message and is not part of it.
                        self.end_at_dot();
                        let before = bytes.len().saturating_sub(rest.len());
                        return (before.saturating_add(1), Step::MessageEnds);
                    }
                    out.push(b'\n');
                    self.inside_line = false;
                    self.column = 0;
                }
                b'\r' => {
                    self.held_crs = self.held_crs.saturating_add(1);
                    self.column = self.column.saturating_add(1);
                    if self.column == LINE_PIECE {
                        self.column = 0;
                        self.release(out);
                    }
                }
                b'.' if !self.inside_line && self.held_crs == 0 && self.dots != Dots::Text => {
                    self.held_dot = self.dots == Dots::End;
                    self.inside_line = true;
                    self.column = 1;
                }
                _ => {
                    self.release(out);
                    length = self.text_length(rest);
                    let text = rest.get(..length).unwrap_or_default();
                    out.extend_from_slice(text);
                    self.advance(text);
                }
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        (bytes.len(), Step::More)
    }

    /// How many bytes precede the next CR and, if dots matter, the next dot that begins a line.
    fn text_length(&self, bytes: &[u8]) -> usize {
        if self.dots == Dots::Text {
            return memchr(b'\r', bytes).unwrap_or(bytes.len());
        }
        let mut length: usize = 0;
        loop {
            // Search piece by piece: between dots that are close together, each search for a CR would go far beyond the next dot.
            // Each search covers one byte more than a piece, because the dot may be the first byte of the next piece.
            let rest = bytes.get(length..).unwrap_or_default();
            let piece = rest.get(..=LINE_PIECE).unwrap_or(rest);
            let text = piece.get(..memchr(b'\r', piece).unwrap_or(piece.len())).unwrap_or_default();
            let dot = memmem::find(text, b"\n.").map(|end| end.saturating_add(1));
            if dot.is_some() || text.len() <= LINE_PIECE {
                return length.saturating_add(dot.unwrap_or(text.len()));
            }
            length = length.saturating_add(LINE_PIECE);
        }
    }

    /// Updates the state after text without a CR.
    fn advance(&mut self, text: &[u8]) {
        let begun = match memrchr(b'\n', text) {
            Some(end) => text.len().saturating_sub(end).saturating_sub(1),
            None => self.column.saturating_add(text.len()),
        };
        self.column = begun % LINE_PIECE;
        self.inside_line = text.last().map_or(self.inside_line, |last| *last != b'\n');
    }

    /// The held bytes turned out to be text.
    fn release(&mut self, out: &mut Vec<u8>) {
        if mem::take(&mut self.held_dot) {
            out.push(b'.');
        }
        out.resize(out.len().saturating_add(mem::take(&mut self.held_crs)), b'\r');
        self.inside_line = true;
    }

    fn end_at_dot(&mut self) {
        self.phase = Phase::Ended;
        // The place where its line begins is not known if the line came in pieces.
        self.differs = true;
    }

    fn finish_body(&mut self, out: &mut Vec<u8>) {
        let held_crs = mem::take(&mut self.held_crs);
        // CRs at the end of the input count as the first half of a line end.
        self.differs |= held_crs > 0;
        if mem::take(&mut self.held_dot) {
            if held_crs == 0 {
                return self.end_at_dot();
            }
            out.push(b'.');
        } else if !self.inside_line && held_crs == 0 {
            return;
        }
        out.push(b'\n');
    }
}

/// A line without its LF and without all CRs before it in the same piece (`sendmail_fix_line_endings = always`). CRs at the end
/// of an incomplete line count as the first half of a line end and are also dropped.
fn without_line_end(line: &[u8]) -> &[u8] {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let last_piece = text.len().saturating_sub(text.len() % LINE_PIECE);
    let end = text.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last.saturating_add(1));
    text.get(..end.max(last_piece)).unwrap_or_default()
}

/// `From ` after any number of `>`: the line that an mbox puts before a message.
fn is_from_line(line: &[u8]) -> bool {
    let quoted = line.iter().take_while(|byte| **byte == b'>').count();
    line.get(quoted..).is_some_and(|rest| rest.starts_with(b"From "))
}

/// Whether a line of a header, without its line end, continues the previous field: it begins with WSP or, for Postfix, with a
/// bare CR. Hops treat a CR in different ways, so [`crate::message::complete::fields`] rejects such a header.
fn continues(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header and body of `input`, and whether the body is in the input unchanged. Checks that the size of the pieces does
    /// not matter.
    fn read(lone_dot: LoneDot, input: &[u8]) -> (String, String, bool) {
        let whole = read_in_pieces(lone_dot, input, input.len().max(1));
        for size in 1..input.len() {
            assert_eq!(read_in_pieces(lone_dot, input, size), whole, "pieces of {size}");
        }
        whole
    }

    fn read_in_pieces(lone_dot: LoneDot, input: &[u8], size: usize) -> (String, String, bool) {
        let mut reader = Reader::new(lone_dot);
        let mut body = Vec::new();
        'message: for piece in input.chunks(size) {
            let mut rest = piece;
            while !rest.is_empty() {
                rest = pass(&mut reader, rest, &mut body);
                let (taken, step) = reader.feed(rest, &mut body);
                rest = &rest[taken..];
                if step == Step::MessageEnds {
                    break 'message;
                }
                assert_ne!(step, Step::HeaderTooLarge);
            }
        }
        reader.finish(&mut body);
        let place = reader.body_in_input();
        if let Some((from, to)) = place {
            let place = [from, to].map(|offset| usize::try_from(offset).unwrap());
            let place = &input[place[0]..place[1]];
            assert!(body == place || body.strip_suffix(b"\n") == Some(place), "not verbatim");
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(reader.header()), text(&body), place.is_some())
    }

    /// Returns the bytes that `pass` did not copy.
    fn pass<'a>(reader: &mut Reader, bytes: &'a [u8], body: &mut Vec<u8>) -> &'a [u8] {
        let (text, rest) = bytes.split_at(reader.pass(bytes));
        body.extend_from_slice(text);
        rest
    }

    fn with_dash_i(input: &str) -> (String, String) {
        let (header, body, _) = read(LoneDot::IsText, input.as_bytes());
        (header, body)
    }

    fn without_dash_i(input: &str) -> (String, String) {
        let (header, body, _) = read(LoneDot::Ends, input.as_bytes());
        (header, body)
    }

    fn parts(header: &str, body: &str) -> (String, String) {
        (header.into(), body.into())
    }

    #[test]
    fn an_empty_line_ends_the_header() {
        assert_eq!(with_dash_i("A: b\nC: d\n\ntext\n"), parts("A: b\nC: d\n", "text\n"));
    }

    #[test]
    fn a_lone_dot_in_the_header_ends_the_message_or_is_its_text() {
        assert_eq!(without_dash_i("A: b\n.\nC: d\n"), parts("A: b\n", ""));
        assert_eq!(with_dash_i("A: b\n.\nC: d\n"), parts("A: b\n", ".\nC: d\n"));
    }

    #[test]
    fn the_text_of_the_body_is_not_copied() {
        let (mut reader, mut body) = (Reader::new(LoneDot::Ends), Vec::new());
        assert_eq!(reader.feed(b"A: b\n\n", &mut body), (6, Step::HeaderEnds));
        assert_eq!(reader.pass(b"x\ny\n.\n"), 4);
    }

    #[test]
    fn all_crs_before_an_lf_go() {
        assert_eq!(with_dash_i("A: b\r\r\n c\r\n\r\nx\r\r\ny\n"), parts("A: b\n c\n", "x\ny\n"));
    }

    #[test]
    fn a_bare_cr_is_a_byte_like_any_other() {
        assert_eq!(with_dash_i("A: b\rc\n\nx\ry\r\r z\n"), parts("A: b\rc\n", "x\ry\r\r z\n"));
    }

    #[test]
    fn leading_from_lines_go_quoted_ones_too() {
        assert_eq!(
            with_dash_i("From a@b Mon\n>From c\r\n>>From d\nA: b\n\nFrom here\n"),
            parts("A: b\n", "From here\n")
        );
    }

    #[test]
    fn a_from_line_after_the_top_ends_the_header() {
        assert_eq!(with_dash_i("A: b\nFrom x\nC: d\n"), parts("A: b\n", "From x\nC: d\n"));
    }

    #[test]
    fn a_from_line_without_its_end_is_text() {
        assert_eq!(with_dash_i("From a@b"), parts("", "From a@b\n"));
    }

    #[test]
    fn a_from_line_longer_than_a_piece_is_text() {
        let long = format!("From {}\nA: b\n", "x".repeat(2050));
        assert_eq!(with_dash_i(&long), parts("", &long));
    }

    #[test]
    fn a_lone_dot_ends_the_message_without_dash_i() {
        assert_eq!(without_dash_i("A: b\n\nx\n.\nrest\n"), parts("A: b\n", "x\n"));
        assert_eq!(without_dash_i("A: b\n\nx\n.\r\nrest\n"), parts("A: b\n", "x\n"));
        assert_eq!(without_dash_i("A: b\n\nx\n."), parts("A: b\n", "x\n"));
        assert_eq!(without_dash_i("A: b\n.\nC: d\n"), parts("A: b\n", ""));
        assert_eq!(without_dash_i(".\nC: d\n"), parts("", ""));
        assert_eq!(without_dash_i("A: b\n."), parts("A: b\n", ""));
    }

    #[test]
    fn a_lone_dot_is_text_with_dash_i() {
        assert_eq!(with_dash_i("A: b\n\nx\n.\nrest\n"), parts("A: b\n", "x\n.\nrest\n"));
        assert_eq!(with_dash_i("A: b\n."), parts("A: b\n", ".\n"));
    }

    #[test]
    fn a_dot_with_other_text_is_text() {
        let text = "..\n.x\n x.\n. \n.\rx\n";
        assert_eq!(without_dash_i(&format!("A: b\n\n{text}")), parts("A: b\n", text));
    }

    #[test]
    fn a_header_may_end_without_a_line_end() {
        for lone_dot in [LoneDot::Ends, LoneDot::IsText] {
            assert_eq!(read(lone_dot, b"A: b\nC: d"), ("A: b\nC: d\n".into(), String::new(), true));
        }
        assert_eq!(read(LoneDot::Ends, b"A: b\n."), ("A: b\n".into(), String::new(), false));
    }

    #[test]
    fn a_dot_and_a_cr_are_seen_wherever_they_stand() {
        for before in
            [0, 1, LINE_PIECE - 2, LINE_PIECE - 1, LINE_PIECE, LINE_PIECE + 1, 2 * LINE_PIECE]
        {
            let text = format!("{}\n", "x".repeat(before));
            let (header, body) = ("A: b\n", format!("{text}{text}"));
            for (lone_dot, odd, expected) in [
                (LoneDot::Ends, ".\nrest\n", ""),
                (LoneDot::Ends, "..\n", "..\n"),
                (LoneDot::Ends, "x\r\n.\r\nrest", "x\n"),
                (LoneDot::IsText, ".\n\rx\n", ".\n\rx\n"),
                (LoneDot::IsText, "x\r\n", "x\n"),
            ] {
                let input = format!("{header}\n{body}{odd}");
                let expected = parts(header, &format!("{body}{expected}"));
                for size in [1, 100, LINE_PIECE, input.len()] {
                    let (header, body, _) = read_in_pieces(lone_dot, input.as_bytes(), size);
                    assert!((header, body) == expected, "{before} {odd:?} in pieces of {size}");
                }
            }
        }
    }

    #[test]
    fn a_line_that_is_not_a_field_ends_the_header_and_begins_the_body() {
        for line in
            ["no colon", ": no name", "two words: x", "S\u{fc}bject: x", "a\tb: c", "a\0b: c"]
        {
            let input = format!("A: b\n{line}\nC: d\n");
            assert_eq!(
                with_dash_i(&input),
                parts("A: b\n", &format!("{line}\nC: d\n")),
                "{line:?}"
            );
        }
    }

    #[test]
    fn spaces_before_the_colon_are_allowed() {
        assert_eq!(with_dash_i("A : b\nC\t:d\n\nx\n"), parts("A : b\nC\t:d\n", "x\n"));
    }

    #[test]
    fn a_line_of_spaces_continues_the_field() {
        assert_eq!(with_dash_i("A: b\n \t\nC: d\n\nx\n"), parts("A: b\n \t\nC: d\n", "x\n"));
    }

    #[test]
    fn a_line_that_begins_with_a_bare_cr_continues_the_field() {
        assert_eq!(
            with_dash_i("A: b\n\rC: d\n\r\re\nF: g\n\nx\n"),
            parts("A: b\n\rC: d\n\r\re\nF: g\n", "x\n")
        );
        assert_eq!(with_dash_i("A: b\n\r\r\nx\n"), parts("A: b\n", "x\n"));
    }

    #[test]
    fn a_message_that_begins_with_a_space_is_all_body() {
        assert_eq!(with_dash_i(" A: b\nC: d\n"), parts("", " A: b\nC: d\n"));
    }

    #[test]
    fn an_empty_first_line_separates_nothing_from_the_body() {
        assert_eq!(with_dash_i("\nA: b\n"), parts("", "A: b\n"));
        assert_eq!(with_dash_i("\r\nA: b\n"), parts("", "A: b\n"));
    }

    #[test]
    fn a_missing_last_line_end_is_added() {
        assert_eq!(with_dash_i("A: b\n\nx"), parts("A: b\n", "x\n"));
        assert_eq!(with_dash_i("A: b\n\nx\r"), parts("A: b\n", "x\n"));
        assert_eq!(with_dash_i("A: b"), parts("A: b\n", ""));
        assert_eq!(with_dash_i("A: b\r"), parts("A: b\n", ""));
        assert_eq!(without_dash_i("A: b\n\n.\r"), parts("A: b\n", ".\n"));
    }

    #[test]
    fn nothing_is_an_empty_message() {
        assert_eq!(with_dash_i(""), parts("", ""));
        assert_eq!(with_dash_i("A: b\n\n"), parts("A: b\n", ""));
    }

    #[test]
    fn a_nul_is_a_byte_of_a_value_and_of_the_body() {
        assert_eq!(with_dash_i("A: b\0c\n\nx\0y\n"), parts("A: b\0c\n", "x\0y\n"));
    }

    #[test]
    fn a_body_of_plain_lines_is_a_range_of_the_input() {
        for (input, verbatim) in [
            ("A: b\r\n\r\nx\n.y\nz\n", true),
            ("A: b\n\nx\nz", true),
            ("A: b\nno field\n", true),
            (" all body\n", true),
            ("A: b\n\nx\r\nz\n", false),
            ("A: b\nno field\r\n", false),
            ("A: b\n\nx\r", false),
        ] {
            assert_eq!(read(LoneDot::IsText, input.as_bytes()).2, verbatim, "{input:?}");
        }
        assert!(!read(LoneDot::Ends, b"A: b\n\nx\n.\n").2);
    }

    /// Reads mail data without the line that ends it.
    fn after_data(input: &str) -> (String, String) {
        let read = |size: usize| {
            let mut reader = Reader::of_data();
            let mut body = Vec::new();
            for piece in input.as_bytes().chunks(size) {
                let mut rest = piece;
                while !rest.is_empty() {
                    rest = pass(&mut reader, rest, &mut body);
                    let (taken, _) = reader.feed(rest, &mut body);
                    rest = &rest[taken..];
                }
            }
            reader.finish(&mut body);
            assert_eq!(reader.body_in_input(), None);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(reader.header()), text(&body))
        };
        let whole = read(input.len().max(1));
        for size in 1..input.len() {
            assert_eq!(read(size), whole, "pieces of {size}");
        }
        whole
    }

    #[test]
    fn after_data_the_first_dot_of_each_line_goes() {
        assert_eq!(
            after_data("A: b\r\n.C: d\r\n\r\n..x\r\n.y.\r\n...\r\n z\r\n"),
            parts("A: b\nC: d\n", ".x\ny.\n..\n z\n")
        );
        assert_eq!(after_data("..no field\r\n..x\r\n"), parts("", ".no field\n.x\n"));
        assert_eq!(after_data("A: b\n\n.x\n..y\n\r.z\n"), parts("A: b\n", "x\n.y\n\r.z\n"));
    }

    #[test]
    fn after_data_a_dot_may_hide_an_empty_line() {
        assert_eq!(after_data("A: b\r\n\r\n.\rx\r\n"), parts("A: b\n", "\rx\n"));
        assert_eq!(after_data(""), parts("", ""));
        assert_eq!(after_data("\r\n"), parts("", ""));
    }

    #[test]
    fn after_data_a_from_line_becomes_a_field() {
        assert_eq!(
            after_data("From a b\r\n>From c\r\nA: b\r\n\r\nFrom d\r\n"),
            parts("X-Mailbox-Line: From a b\nX-Mailbox-Line: >From c\nA: b\n", "From d\n")
        );
        assert_eq!(after_data("From a b\r\n x\r\n"), parts("X-Mailbox-Line: From a b\n", " x\n"));
        assert_eq!(after_data("from a b\r\nA: b\r\n"), parts("", "from a b\nA: b\n"));
    }

    #[test]
    fn a_long_first_line_is_body_before_its_end_is_seen() {
        let mut reader = Reader::new(LoneDot::IsText);
        let mut body = Vec::new();
        assert_eq!(reader.feed(&[b'x'; 3000], &mut body), (3000, Step::HeaderEnds));
        assert_eq!(body.len(), 3000);
    }

    #[test]
    fn crs_beyond_the_last_piece_of_a_line_are_text() {
        for before in [0, 1, 2, LINE_PIECE - 1, LINE_PIECE, LINE_PIECE + 1] {
            for crs in [1, 2, LINE_PIECE - 1, LINE_PIECE, LINE_PIECE + 1, 3 * LINE_PIECE] {
                let line = format!("{}{}", "x".repeat(before), "\r".repeat(crs));
                let pieces = line.as_bytes().chunks(LINE_PIECE);
                let last = pieces.last().filter(|last| last.len() < LINE_PIECE).unwrap_or_default();
                let last = last.iter().rev().take_while(|byte| **byte == b'\r').count();
                let (kept, _) = line.split_at(line.len() - last);
                let expected = format!("{kept}\n");
                let input = format!("A: b\n\n{line}\n");
                for size in [1, 100, LINE_PIECE - 1, LINE_PIECE, input.len()] {
                    let (_, body, verbatim) =
                        read_in_pieces(LoneDot::IsText, input.as_bytes(), size);
                    assert!(body == expected, "{before} {crs} in pieces of {size}");
                    assert_eq!(verbatim, last == 0, "{before} {crs} in pieces of {size}");
                }
                // The first line of the body, which also ends the header, and a line of the header.
                for name in ["", "X"] {
                    let input = format!("A: b\n{name}: {line}\n");
                    let (header, body, _) =
                        read_in_pieces(LoneDot::IsText, input.as_bytes(), input.len());
                    let same = format!("A: b\n\n{name}: {line}\n");
                    let (_, expected, _) = read_in_pieces(LoneDot::IsText, same.as_bytes(), 100);
                    assert!(header + &body == format!("A: b\n{expected}"), "{before} {crs}");
                }
            }
        }
    }

    #[test]
    fn a_dot_and_as_many_crs_as_fill_a_piece_end_nothing() {
        let long = format!("A: b\n\n.{}\nx\n", "\r".repeat(LINE_PIECE - 1));
        let (_, body, _) = read_in_pieces(LoneDot::Ends, long.as_bytes(), 100);
        assert!(body.ends_with("\r\nx\n"));
        let short = format!("A: b\n\n.{}\nx\n", "\r".repeat(LINE_PIECE - 2));
        let (_, body, _) = read_in_pieces(LoneDot::Ends, short.as_bytes(), 100);
        assert_eq!(body, "");
    }

    #[test]
    fn crs_without_end_are_not_held() {
        let mut reader = Reader::new(LoneDot::Ends);
        let mut body = Vec::new();
        reader.feed(b"\n", &mut body);
        for _ in 0..100 {
            body.clear();
            assert_eq!(reader.feed(&[b'\r'; 1000], &mut body), (1000, Step::More));
            assert!(reader.held_crs < LINE_PIECE && body.len() <= LINE_PIECE);
        }
    }

    #[test]
    fn a_header_of_short_lines_has_the_same_limits() {
        for (line, count) in [("A: b\n", MOST_FIELDS), ("A: \n xxxxxxxxxxxxxxx\n", 0)] {
            let mut reader = Reader::new(LoneDot::IsText);
            let mut body = Vec::new();
            let count = if count > 0 { count } else { HEADER_LIMIT / line.len() };
            for number in 0..count.min(MOST_FIELDS) {
                assert_eq!(reader.feed(line.as_bytes(), &mut body).1, Step::More, "{number}");
            }
            if count > MOST_FIELDS {
                let rest = line.as_bytes()[4..].repeat(HEADER_LIMIT / 17);
                assert_eq!(reader.feed(&rest, &mut body).1, Step::HeaderTooLarge);
                continue;
            }
            let (_, step) = reader.feed(line.repeat(2).as_bytes(), &mut body);
            assert_eq!(step, Step::HeaderTooLarge);
        }
    }

    #[test]
    fn after_data_a_long_line_is_body_wherever_its_pieces_end() {
        let line = format!(".{}", "x".repeat(HEADER_LIMIT));
        for first in LINE_PIECE - 1..LINE_PIECE + 3 {
            let (first, rest) = line.split_at(first);
            let (mut reader, mut body) = (Reader::of_data(), Vec::new());
            let (taken, mut step) = reader.feed(first.as_bytes(), &mut body);
            if step == Step::More {
                assert_eq!(taken, first.len());
                step = reader.feed(rest.as_bytes(), &mut body).1;
            }
            assert_eq!(step, Step::HeaderEnds, "{}", first.len());
        }
    }

    #[test]
    fn a_header_beyond_the_limit_is_refused() {
        let mut reader = Reader::new(LoneDot::IsText);
        let mut body = Vec::new();
        reader.feed(b"A: ", &mut body);
        let (_, step) = reader.feed(&vec![b'x'; HEADER_LIMIT], &mut body);
        assert_eq!(step, Step::HeaderTooLarge);
        assert!(body.is_empty());
        for (length, expected) in
            [(HEADER_LIMIT, Step::More), (HEADER_LIMIT + 1, Step::HeaderTooLarge)]
        {
            let field = format!("A: {}\n", "x".repeat(length - 4));
            let (_, step) = Reader::new(LoneDot::IsText).feed(field.as_bytes(), &mut body);
            assert_eq!(step, expected, "{length}");
        }
    }
}
