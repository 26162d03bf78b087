//! What stands between DATA and its end: where it ends, and how it is written (RFC 5321 §4.5.2).

/// How the lines of the client end, as its DATA command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// As RFC 5321 wants it.
    CrLf,
    /// A script that was written for a lenient server.
    Lf,
}

/// Whether the end of mail data was found (RFC 5321 §4.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataEnd {
    /// There is more to come.
    NotYet,
    /// A line containing a single dot.
    Found,
    /// A line containing a single dot that ends the mail data for some servers, and is text for others.
    Ambiguous,
}

/// A dot and more CRs are in more than one piece of a line to Postfix (`line_length_limit`), and so text.
const MOST_HELD: usize = 2048;

/// Finds the end of a message.
#[derive(Debug)]
pub(super) struct MailData {
    line_end: LineEnd,
    /// The last line ended in CR LF, so that a dot may begin the end.
    after_crlf: bool,
    at_line_start: bool,
    last_is_cr: bool,
    /// A dot that begins a line, and the CRs after it: perhaps the end. No more than [`MOST_HELD`].
    held: Vec<u8>,
}

impl MailData {
    pub(super) fn new(line_end: LineEnd) -> Self {
        Self {
            line_end,
            after_crlf: line_end == LineEnd::CrLf,
            at_line_start: true,
            last_is_cr: false,
            held: Vec::new(),
        }
    }

    /// The octets of the line that ended it, or of one that had begun to.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Takes octets up to the end; appends what is surely part of the message to `message`.
    pub(super) fn feed(&mut self, octets: &[u8], message: &mut Vec<u8>) -> (usize, DataEnd) {
        let mut rest = octets;
        while let Some((first, others)) = rest.split_first() {
            if !self.held.is_empty() {
                match first {
                    b'\r' if self.held.len() < MOST_HELD => self.held.push(b'\r'),
                    // Text to Postfix; others may wait for the end of the line.
                    b'\r' => return (octets.len().saturating_sub(rest.len()), DataEnd::Ambiguous),
                    b'\n' => {
                        self.held.push(b'\n');
                        return (octets.len().saturating_sub(others.len()), self.verdict());
                    }
                    _ => {
                        message.append(&mut self.held);
                        continue;
                    }
                }
                rest = others;
            } else if self.at_line_start && *first == b'.' {
                self.held.push(b'.');
                self.at_line_start = false;
                rest = others;
            } else {
                rest = self.text(rest, message);
            }
        }
        (octets.len(), DataEnd::NotYet)
    }

    /// Postfix takes a dot with any CRs before the LF for the end, after any LF. Others want CR LF on both
    /// sides. A client that speaks as RFC 5321 wants it may carry the text of somebody who hopes that two
    /// servers differ.
    fn verdict(&self) -> DataEnd {
        let is_strict = self.after_crlf && self.held == b".\r\n";
        if is_strict || self.line_end == LineEnd::Lf { DataEnd::Found } else { DataEnd::Ambiguous }
    }

    /// Copies up to the first dot that begins a line.
    fn text<'a>(&mut self, octets: &'a [u8], message: &mut Vec<u8>) -> &'a [u8] {
        let mut length = octets.len();
        for (index, pair) in octets.windows(2).enumerate() {
            if pair == b"\n." {
                length = index.saturating_add(1);
                break;
            }
        }
        let (text, rest) = octets.split_at_checked(length).unwrap_or((octets, &[]));
        self.at_line_start = text.ends_with(b"\n");
        self.after_crlf = text.ends_with(b"\r\n") || (text == b"\n" && self.last_is_cr);
        self.last_is_cr = text.ends_with(b"\r");
        message.extend_from_slice(text);
        rest
    }
}

/// Writes lines that end in LF as what stands after DATA: CR LF, and one dot more where a line begins
/// with one.
#[derive(Debug)]
pub struct DotStuffing {
    at_line_start: bool,
}

impl Default for DotStuffing {
    fn default() -> Self {
        Self { at_line_start: true }
    }
}

impl DotStuffing {
    /// Appends `text`, any piece of the lines, to `out`.
    pub fn feed(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for line in text.split_inclusive(|octet| *octet == b'\n') {
            if self.at_line_start && line.starts_with(b".") {
                out.push(b'.');
            }
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    out.extend_from_slice(line);
                    out.extend_from_slice(b"\r\n");
                }
                None => out.extend_from_slice(line),
            }
            self.at_line_start = line.ends_with(b"\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message, what was held in the end, what was left, and how it ended; the same for every cut.
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
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
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
    fn a_dot_with_company_is_text() {
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
            let (held, rest) = ("\r".repeat(MOST_HELD - 1), "\r".repeat(3_000));
            let mut content = MailData::new(line_end);
            let mut message = Vec::new();
            let input = format!("x\r\n.{held}{rest}");
            let (taken, end) = content.feed(input.as_bytes(), &mut message);
            assert_eq!((taken, end), (3 + MOST_HELD, DataEnd::Ambiguous));
            assert_eq!((message.as_slice(), content.held().len()), (&b"x\r\n"[..], MOST_HELD));
            // One less is text, once something follows it.
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
    fn lines_are_written_with_cr_lf_and_stuffed() {
        let text = b".a\n..\nx.\n\n.";
        for size in 1..text.len() {
            let mut stuffing = DotStuffing::default();
            let mut out = Vec::new();
            for piece in text.chunks(size) {
                stuffing.feed(piece, &mut out);
            }
            assert_eq!(out, b"..a\r\n...\r\nx.\r\n\r\n..");
        }
    }
}
