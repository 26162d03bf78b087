//! Content-Transfer-Encodings (RFC 2045 §6), written as the text comes. Lines end in LF.

use std::mem;

use base64::prelude::*;

/// Longest line of an encoded body, its end not counted (RFC 2045 §6.7, §6.8).
const LINE: usize = 76;

/// An encoding in progress.
#[derive(Clone, Debug)]
pub(super) enum Encoder {
    /// As it is.
    Identity,
    /// Quoted-printable.
    Quoted(Quoted),
    /// Base64, line ends as CRLF (RFC 2045 §6.8).
    Base64(Base64),
    /// Base64 that was there, in lines of their proper length.
    Rewrap(Rewrap),
}

impl Encoder {
    /// Takes octets of the body.
    pub(super) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Identity => out.extend_from_slice(octets),
            Self::Quoted(quoted) => quoted.feed(octets, out),
            Self::Base64(base64) => base64.feed(octets, out),
            Self::Rewrap(rewrap) => rewrap.feed(octets, out),
        }
    }

    /// The end of the body. `delimited`: its last line end belongs to the boundary that follows.
    pub(super) fn finish(&mut self, delimited: bool, out: &mut Vec<u8>) {
        match mem::replace(self, Self::Identity) {
            Self::Identity => {}
            Self::Quoted(mut quoted) => quoted.finish(out),
            Self::Base64(base64) => base64.finish(delimited, out),
            Self::Rewrap(rewrap) => rewrap.finish(out),
        }
    }
}

/// Quoted-printable, with soft line breaks.
#[derive(Clone, Debug, Default)]
pub(super) struct Quoted {
    /// The text is quoted-printable already: its `=` stay.
    keeps_equals: bool,
    /// What is held until it is known whether it ends a line: at most a few octets.
    line: Vec<u8>,
    column: usize,
}

impl Quoted {
    /// For text that is not encoded yet.
    #[must_use]
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// For text that is encoded, with octets or lines that should not be there.
    #[must_use]
    pub(super) fn mending() -> Self {
        Self { keeps_equals: true, ..Self::default() }
    }

    fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for octet in octets {
            if *octet == b'\n' {
                self.end_line(out);
                continue;
            }
            self.line.push(*octet);
            // Long enough to know how it begins, and that the first octet ends no line.
            if self.line.len() > HELD {
                let first = self.line.remove(0);
                let ahead = mem::take(&mut self.line);
                self.put(first, &ahead, out);
                self.line = ahead;
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() || self.column > 0 {
            self.end_line(out);
        }
    }

    /// Writes what is held, and the line end.
    fn end_line(&mut self, out: &mut Vec<u8>) {
        let mut held = mem::take(&mut self.line);
        let is_dot = self.column == 0 && held == b".";
        let last = held.pop();
        let ends_in_blank = matches!(last, Some(b' ' | b'\t'));
        held.extend(last.filter(|_| !ends_in_blank && !is_dot));
        let mut ahead = held.as_slice();
        while let Some((octet, behind)) = ahead.split_first() {
            self.put(*octet, behind, out);
            ahead = behind;
        }
        if let Some(octet) = last.filter(|_| ends_in_blank || is_dot) {
            self.put_text(&hex(octet), out);
        }
        out.push(b'\n');
        self.column = 0;
    }

    fn put(&mut self, octet: u8, ahead: &[u8], out: &mut Vec<u8>) {
        // Delivery to an mbox would put a `>` before it.
        let is_from = self.column == 0 && octet == b'F' && ahead.starts_with(b"rom ");
        // Postfix may see a boundary in it.
        let is_dash = self.column == 0 && octet == b'-' && ahead.starts_with(b"-");
        match octet {
            b'=' if self.keeps_equals => self.put_equals(out),
            b'=' => self.put_text(&hex(octet), out),
            b' '..=b'~' | b'\t' if !is_from && !is_dash => self.put_text(&[octet], out),
            _ => self.put_text(&hex(octet), out),
        }
    }

    /// `=XX` of the text must not be cut.
    fn put_equals(&mut self, out: &mut Vec<u8>) {
        if self.column.saturating_add(4) > LINE {
            self.break_line(out);
        }
        self.put_text(b"=", out);
    }

    fn put_text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        // A soft line break needs a column of its own.
        if self.column.saturating_add(text.len()) >= LINE {
            self.break_line(out);
        }
        out.extend_from_slice(text);
        self.column = self.column.saturating_add(text.len());
    }

    fn break_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"=\n");
        self.column = 0;
    }
}

/// `From ` without its first letter, so that the first is put when it is known.
const HELD: usize = 4;

fn hex(octet: u8) -> [u8; 3] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |index: u8| DIGITS.get(usize::from(index)).copied().unwrap_or(b'0');
    [b'=', digit(octet >> 4), digit(octet & 0x0f)]
}

/// Base64 in lines of 76.
#[derive(Clone, Debug, Default)]
pub(super) struct Base64 {
    /// Octets of a line that is not complete.
    pending: Vec<u8>,
    /// A line end that may belong to the boundary.
    held_end: bool,
}

/// Octets in a line of base64.
const ROW: usize = LINE / 4 * 3;

impl Base64 {
    fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            if mem::take(&mut self.held_end) {
                self.pending.extend_from_slice(b"\r\n");
            }
            let text = line.strip_suffix(b"\n");
            self.held_end = text.is_some();
            self.pending.extend_from_slice(text.unwrap_or(line));
            self.write_rows(out);
        }
    }

    fn write_rows(&mut self, out: &mut Vec<u8>) {
        while self.pending.len() > ROW {
            let rest = self.pending.split_off(ROW);
            write_row(&mem::replace(&mut self.pending, rest), out);
        }
    }

    fn finish(mut self, delimited: bool, out: &mut Vec<u8>) {
        if self.held_end && !delimited {
            self.pending.extend_from_slice(b"\r\n");
        }
        self.write_rows(out);
        if !self.pending.is_empty() {
            write_row(&self.pending, out);
        } else if delimited {
            out.push(b'\n');
        }
    }
}

fn write_row(octets: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(BASE64_STANDARD.encode(octets).as_bytes());
    out.push(b'\n');
}

/// Base64 text in lines of 76; what is no base64 is no content (RFC 2045 §6.8).
#[derive(Clone, Debug, Default)]
pub(super) struct Rewrap {
    column: usize,
}

impl Rewrap {
    fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for octet in octets {
            if !(octet.is_ascii_alphanumeric() || b"+/=".contains(octet)) {
                continue;
            }
            if self.column == LINE {
                out.push(b'\n');
                self.column = 0;
            }
            out.push(*octet);
            self.column = self.column.saturating_add(1);
        }
    }

    fn finish(self, out: &mut Vec<u8>) {
        out.push(b'\n');
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
        assert!(whole.lines().all(|line| line.len() <= LINE), "{whole}");
        whole
    }

    fn quoted(text: &[u8]) -> String {
        encoded(&Encoder::Quoted(Quoted::new()), text, true)
    }

    #[test]
    fn what_is_not_ascii_is_quoted() {
        assert_eq!(quoted("gr\u{fc}n = a\t\0b\n".as_bytes()), "gr=C3=BCn =3D a\t=00b\n");
    }

    #[test]
    fn blanks_at_a_line_end_are_quoted() {
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
    fn mending_keeps_what_is_encoded() {
        let mend = Encoder::Quoted(Quoted::mending());
        let text = format!("a=3D=\n{}\u{fc}\n", "x=20".repeat(50));
        let got = encoded(&mend, text.as_bytes(), true);
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
    fn base64_is_wrapped_anew() {
        let rewrap = Encoder::Rewrap(Rewrap::default());
        let text = encoded(
            &rewrap,
            format!("{}\n{}=\n", "A".repeat(100), "B".repeat(10)).as_bytes(),
            true,
        );
        assert_eq!(text, format!("{}\n{}{}=\n", "A".repeat(76), "A".repeat(24), "B".repeat(10)));
    }
}
