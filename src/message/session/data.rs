//! Mail data: finds its end, and adds dot-stuffing (RFC 5321 §4.5.2).

use memchr::memmem;

use crate::message::limits::LINE_PIECE;

/// How the client ends its lines, as seen in its DATA command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// CR LF, as RFC 5321 requires.
    CrLf,
    /// LF, from a script that was written for a lenient server.
    Lf,
}

/// Whether the end of mail data was found (RFC 5321 §4.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataEnd {
    /// The end was not found yet.
    NotYet,
    /// A line containing a single dot.
    Found,
    /// A line containing a single dot that ends the mail data for some servers but is text for others.
    Ambiguous,
}

/// Finds the end of a message.
#[derive(Debug)]
pub(super) struct MailData {
    line_end: LineEnd,
    /// The last two bytes before the held ones, or before the next byte. A line begins after DATA.
    before: [u8; 2],
    /// A dot that begins a line, and the CRs after it, which may be the end. At most [`LINE_PIECE`] bytes.
    held: Vec<u8>,
}

impl MailData {
    pub(super) fn new(line_end: LineEnd) -> Self {
        let before = if line_end == LineEnd::CrLf { *b"\r\n" } else { *b"\0\n" };
        Self { line_end, before, held: Vec::new() }
    }

    /// The bytes of the line that ended the mail data, or of an incomplete last line that may have been one.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Reads bytes up to the end. Appends those that are certain to be part of the message to `message`.
    pub(super) fn feed(&mut self, bytes: &[u8], message: &mut Vec<u8>) -> (usize, DataEnd) {
        let mut rest = bytes;
        while let Some((first, others)) = rest.split_first() {
            match first {
                b'.' if self.held.is_empty() && self.before.ends_with(b"\n") => {
                    self.held.push(b'.');
                }
                _ if self.held.is_empty() => {
                    rest = self.text(rest, message);
                    continue;
                }
                // Postfix splits a dot with more CRs into several pieces, so they are text. Fewer CRs are held until the line
                // ends.
                b'\r' if self.held.len() == LINE_PIECE => {
                    return (bytes.len().saturating_sub(rest.len()), DataEnd::Ambiguous);
                }
                b'\r' => self.held.push(b'\r'),
                b'\n' => {
                    self.held.push(b'\n');
                    return (bytes.len().saturating_sub(others.len()), self.verdict());
                }
                _ => {
                    message.append(&mut self.held);
                    self.before = [0; 2];
                    continue;
                }
            }
            rest = others;
        }
        (bytes.len(), DataEnd::NotYet)
    }

    /// Postfix takes a dot after any LF for the end, with any number of CRs before its LF. Other servers require CR LF on both
    /// sides. A client that follows RFC 5321 may pass on the text of an attacker who exploits the difference.
    fn verdict(&self) -> DataEnd {
        let is_strict = self.before == *b"\r\n" && self.held == b".\r\n";
        if is_strict || self.line_end == LineEnd::Lf { DataEnd::Found } else { DataEnd::Ambiguous }
    }

    /// Copies the bytes before the first dot that begins a line.
    fn text<'a>(&mut self, bytes: &'a [u8], message: &mut Vec<u8>) -> &'a [u8] {
        let length = memmem::find(bytes, b"\n.").map_or(bytes.len(), |end| end.saturating_add(1));
        let (text, rest) = bytes.split_at(length);
        self.before = match text {
            [.., before, last] => [*before, *last],
            [last] => [self.before[1], *last],
            [] => self.before,
        };
        message.extend_from_slice(text);
        rest
    }
}

/// Writes lines that end in LF as mail data: with CR LF, and with an additional dot before a line that begins with a dot.
#[derive(Debug, Default)]
pub struct DotStuffing {
    /// Whether the next byte continues a line.
    inside_line: bool,
}

impl DotStuffing {
    /// Appends `text`, which may be any piece of the lines, to `out`.
    pub fn feed(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if !self.inside_line && line.starts_with(b".") {
                out.push(b'.');
            }
            self.inside_line = !line.ends_with(b"\n");
            out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            if !self.inside_line {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message, the held bytes, the remaining bytes and the end. Checks that the size of the pieces does not matter.
    fn read(line_end: LineEnd, input: &[u8]) -> (String, String, String, DataEnd) {
        let in_pieces = |size: usize| {
            let mut content = MailData::new(line_end);
            let mut message = Vec::new();
            let mut rest = input;
            let mut end = DataEnd::NotYet;
            while !rest.is_empty() && end == DataEnd::NotYet {
                let (taken, seen) = content.feed(&rest[..size.min(rest.len())], &mut message);
                rest = &rest[taken..];
                end = seen;
            }
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&message), text(content.held()), text(rest), end)
        };
        let whole = in_pieces(input.len().max(1));
        for size in 1..input.len() {
            assert_eq!(in_pieces(size), whole, "pieces of {size}");
        }
        whole
    }

    fn found(
        message: &str,
        held: &str,
        rest: &str,
        end: DataEnd,
    ) -> (String, String, String, DataEnd) {
        (message.into(), held.into(), rest.into(), end)
    }

    #[test]
    fn a_dot_between_line_ends_is_the_end() {
        let read = |input: &str| read(LineEnd::CrLf, input.as_bytes());
        assert_eq!(read("x\r\n.\r\nQUIT\r\n"), found("x\r\n", ".\r\n", "QUIT\r\n", DataEnd::Found));
        assert_eq!(read(".\r\n"), found("", ".\r\n", "", DataEnd::Found));
        assert_eq!(read("x\r\n\r\n.\r\n"), found("x\r\n\r\n", ".\r\n", "", DataEnd::Found));
    }

    #[test]
    fn a_dot_with_other_text_is_text() {
        for text in
            ["..\r\n", ".x\r\n.y\r\n", "x.\r\n .\r\n", ".\rx\r\n", "\r.\r\n", "x\r\n\r.\r\n"]
        {
            let input = format!("{text}.\r\n");
            assert_eq!(
                read(LineEnd::CrLf, input.as_bytes()),
                found(text, ".\r\n", "", DataEnd::Found)
            );
        }
    }

    #[test]
    fn what_servers_see_differently_is_unclear() {
        for (message, held) in
            [("x\n", ".\n"), ("x\n", ".\r\n"), ("x\r\n", ".\n"), ("x\r\n", ".\r\r\n"), ("", ".\n")]
        {
            let input = format!("{message}{held}NOOP\r\n");
            let seen = read(LineEnd::CrLf, input.as_bytes());
            assert_eq!(seen, found(message, held, "NOOP\r\n", DataEnd::Ambiguous), "{input:?}");
        }
    }

    #[test]
    fn a_dot_and_crs_without_end_are_not_held() {
        for line_end in [LineEnd::CrLf, LineEnd::Lf] {
            let (held, rest) = ("\r".repeat(LINE_PIECE - 1), "\r".repeat(3_000));
            let mut content = MailData::new(line_end);
            let mut message = Vec::new();
            let input = format!("x\r\n.{held}{rest}");
            let (taken, end) = content.feed(input.as_bytes(), &mut message);
            assert_eq!((taken, end), (3 + LINE_PIECE, DataEnd::Ambiguous));
            assert_eq!((message.as_slice(), content.held().len()), (&b"x\r\n"[..], LINE_PIECE));
            // One CR fewer is held, and is text if anything follows it.
            let input = format!("x\r\n.{held}x");
            let mut content = MailData::new(line_end);
            message.clear();
            assert_eq!(
                content.feed(input.as_bytes(), &mut message),
                (input.len(), DataEnd::NotYet)
            );
            assert_eq!(message, input.as_bytes());
        }
    }

    #[test]
    fn a_client_that_ends_lines_by_lf_means_it() {
        for (message, held) in [("x\n", ".\n"), ("x\r\n", ".\r\n"), ("", ".\n"), ("x\n", ".\r\r\n")]
        {
            let input = format!("{message}{held}NOOP\n");
            let seen = read(LineEnd::Lf, input.as_bytes());
            assert_eq!(seen, found(message, held, "NOOP\n", DataEnd::Found), "{input:?}");
        }
    }

    #[test]
    fn without_an_end_there_is_more_to_come() {
        assert_eq!(read(LineEnd::CrLf, b"x\r\n.\r"), found("x\r\n", ".\r", "", DataEnd::NotYet));
        assert_eq!(read(LineEnd::CrLf, b"x"), found("x", "", "", DataEnd::NotYet));
    }

    #[test]
    fn lines_are_written_with_cr_lf_and_dot_stuffing() {
        let text = b".a\n..\nx.\n\n.";
        for size in 1..text.len() {
            let mut writer = DotStuffing::default();
            let mut out = Vec::new();
            for piece in text.chunks(size) {
                writer.feed(piece, &mut out);
            }
            assert_eq!(out, b"..a\r\n...\r\nx.\r\n\r\n..");
        }
    }
}
