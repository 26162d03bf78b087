//! Where the parts of a MIME message begin and end (RFC 2045, 2046). Two parsers read the same lines. The first one finds the
//! parts as mail readers see them. The second one is Postfix's (`mime_state`), which must find nothing to change in them. They
//! differ if Postfix sees only the beginning of a boundary, or if more text follows it.
//!
//! The walk accepts lines in pieces of any size, and holds at most one piece of a line and one part header.

mod info;
mod value;

use std::mem;

use memchr::{memchr, memmem, memrchr};

use super::limits::{LINE_PIECE, MOST_OPEN};
use super::syntax::{field_name, is_wsp};
pub use info::{Boundary, Info, Seal};

/// The largest part header that is examined. Postfix cuts a single field at 100 kB (`header_size_limit`).
const LARGEST_HEADER: usize = 128 << 10;

/// What a walk finds in a body.
pub trait Visit {
    /// A part or an enclosed message begins. `section` is its header section in complete lines, with the empty line that ends it,
    /// if there is one. Parts are numbered from 1; the message itself is 0.
    fn header(&mut self, number: usize, parent: usize, info: Info, section: &[u8]);
    /// Whole lines of a leaf's body, none of which begins with `--`, or a piece of one line. `None` is the preamble or epilogue
    /// of a multipart.
    fn text(&mut self, part: Option<usize>, piece: &[u8]);
    /// A piece of a line that separates parts.
    fn boundary(&mut self, piece: &[u8]);
    /// Postfix reads the line that begins with the next piece differently: it sees a boundary or part header in text, or
    /// something else where a part begins.
    fn misread(&mut self, _part: Option<usize>) {}
    /// A part header is too large to be examined; the rest of it is passed as text.
    fn too_large(&mut self) {}
}

/// The position of the walk in the structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In the header of a part.
    Header {
        parent: usize,
        default: &'static str,
    },
    Body(usize),
    /// Before the first part of a multipart, or after its last one.
    #[default]
    Between,
}

/// A multipart that has begun.
#[derive(Clone, Debug)]
struct Open {
    number: usize,
    boundary: Vec<u8>,
    /// The type of a part that names none.
    default: &'static str,
}

/// The multiparts that are open to one of the two parsers, outermost first.
#[derive(Clone, Debug, Default)]
struct Stack(Vec<Open>);

impl Stack {
    /// Opens a multipart. Postfix ignores further boundaries once [`MOST_OPEN`] are open.
    fn open(&mut self, number: usize, boundary: &[u8], default: &'static str) {
        if self.0.len() < MOST_OPEN {
            self.0.push(Open { number, boundary: boundary.to_vec(), default });
        }
    }

    /// The innermost multipart whose boundary is at the beginning of a line, after `--`, and the text after the boundary.
    fn find<'a>(&self, text: &'a [u8], ends: fn(&[u8]) -> bool) -> Option<(usize, &'a [u8])> {
        self.0.iter().enumerate().rev().find_map(|(index, open)| {
            let after = text.strip_prefix(open.boundary.as_slice()).filter(|after| ends(after))?;
            Some((index, after))
        })
    }

    /// Reads a line that may separate two parts of a multipart, or end it. It also ends the multiparts inside that one. Returns the
    /// place after the line.
    fn separate(&mut self, text: &[u8], ends: fn(&[u8]) -> bool) -> Option<Place> {
        let (index, after) = self.find(text, ends)?;
        self.0.truncate(index.saturating_add(1));
        let Open { number: parent, default, .. } = *self.0.last()?;
        if after.starts_with(b"--") {
            self.0.pop();
            return Some(Place::Between);
        }
        Some(Place::Header { parent, default })
    }
}

/// Whether mail readers take a line for a boundary: only `--` and WSP may follow the text of the boundary (RFC 2046 §5.1.1).
fn ends_to_reader(after: &[u8]) -> bool {
    let after = after.strip_prefix(b"--").unwrap_or(after);
    after.iter().all(u8::is_ascii_whitespace)
}

/// Postfix takes the line for a boundary in any case.
fn ends_to_postfix(_: &[u8]) -> bool {
    true
}

/// A walk through the body of one message.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    reader: Stack,
    postfix: Stack,
    place: Place,
    section: Vec<u8>,
    parts: usize,
    /// The beginning of a piece of a line.
    line: Vec<u8>,
    /// Whether the next piece continues a line.
    inside_line: bool,
    /// Whether the line is a boundary. Then its next pieces belong to it.
    on_boundary: bool,
    /// Whether the previous line ended a multipart, but began another part for Postfix.
    after_false_start: bool,
}

const TEXT: &str = "text/plain";

impl Walk {
    /// A walk at the first byte of the body. `info` is from the header of the message.
    #[must_use]
    pub fn new(info: &Info) -> Self {
        let mut walk = Self::default();
        walk.enter(info, true);
        walk
    }

    /// Reads bytes of the body.
    pub fn feed(&mut self, bytes: &[u8], visit: &mut impl Visit) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (lines, after) = rest.split_at(self.lines_of_text(rest));
            if !lines.is_empty() {
                visit.text(self.part(), lines);
            }
            rest = self.feed_line(after, visit);
        }
    }

    /// The length of the lines at the beginning that can only be text. Each of these lines is a single piece.
    fn lines_of_text(&self, bytes: &[u8]) -> usize {
        let mut length: usize = 0;
        let is_header = matches!(self.place, Place::Header { .. });
        if is_header || self.inside_line || self.after_false_start || !self.line.is_empty() {
            return length;
        }
        loop {
            let rest = bytes.get(length..).unwrap_or_default();
            let piece = rest.get(..LINE_PIECE).unwrap_or(rest);
            let Some(last) = memrchr(b'\n', piece).filter(|_| !piece.starts_with(b"--")) else {
                return length;
            };
            let lines = piece.get(..=last).unwrap_or_default();
            let dashes = memmem::find(lines, b"\n--");
            length = length.saturating_add(dashes.unwrap_or(last)).saturating_add(1);
        }
    }

    /// Reads one line or a piece of it. Returns the bytes after it.
    fn feed_line<'a>(&mut self, bytes: &'a [u8], visit: &mut impl Visit) -> &'a [u8] {
        let room = LINE_PIECE.saturating_sub(self.line.len()).min(bytes.len());
        let end = memchr(b'\n', bytes.get(..room).unwrap_or_default());
        let (piece, rest) = bytes.split_at(end.map_or(room, |at| at.saturating_add(1)));
        self.line.extend_from_slice(piece);
        if end.is_some() || self.line.len() >= LINE_PIECE {
            self.pass_line(visit);
        }
        rest
    }

    /// Ends the body. The last line must be complete; the reader guarantees that.
    pub fn finish(&mut self, visit: &mut impl Visit) {
        if !self.line.is_empty() {
            self.pass_line(visit);
        }
        self.end_header(false, visit);
    }

    /// Passes the piece of a line that was read to `visit`.
    fn pass_line(&mut self, visit: &mut impl Visit) {
        let piece = &*mem::take(&mut self.line);
        let begins = !mem::replace(&mut self.inside_line, !piece.ends_with(b"\n"));
        self.on_boundary &= !begins;
        if !self.on_boundary && self.header_piece(piece, begins, visit) {
            return;
        }
        if begins {
            let is_part_to_postfix = mem::take(&mut self.after_false_start) && piece != b"\n";
            self.on_boundary = self.find_boundary(piece, visit);
            if is_part_to_postfix && !self.on_boundary {
                visit.misread(self.part());
            }
        }
        if self.on_boundary {
            visit.boundary(piece);
        } else {
            visit.text(self.part(), piece);
        }
    }

    /// The number of the part whose body is being read.
    fn part(&self) -> Option<usize> {
        if let Place::Body(part) = self.place { Some(part) } else { None }
    }

    /// Whether the line that begins with this piece separates parts.
    fn find_boundary(&mut self, piece: &[u8], visit: &mut impl Visit) -> bool {
        let Some(text) = piece.strip_prefix(b"--") else { return false };
        let Some(own) = self.reader.separate(text, ends_to_reader) else {
            // Text that is misread gets encoded, so Postfix never sees the line: its own multiparts stay open.
            if self.postfix.find(text, ends_to_postfix).is_some() {
                visit.misread(self.part());
            }
            return false;
        };
        let seen = self.postfix.separate(text, ends_to_postfix).unwrap_or(Place::Between);
        match (own, seen) {
            (Place::Header { default, .. }, Place::Header { default: seen, .. })
                if default == seen => {}
            (Place::Header { .. }, _) => visit.misread(None),
            _ => self.after_false_start = seen != Place::Between,
        }
        self.place = own;
        true
    }

    /// Whether the piece belongs to a part header. A line that is not a field ends the header and is the first line of the body.
    /// It may be the boundary that the header has named.
    fn header_piece(&mut self, piece: &[u8], begins: bool, visit: &mut impl Visit) -> bool {
        if !matches!(self.place, Place::Header { .. }) {
            return false;
        }
        let is_empty = piece == b"\n" && begins;
        let continues = piece.first().copied().is_some_and(is_wsp) && !self.section.is_empty();
        let belongs = !begins || continues || field_name(piece).is_some();
        if belongs && self.section.len() < LARGEST_HEADER {
            self.section.extend_from_slice(piece);
            return true;
        }
        if belongs {
            visit.too_large();
        }
        if is_empty {
            self.section.push(b'\n');
        }
        self.end_header(is_empty, visit);
        is_empty
    }

    /// Ends the part header. `is_divided`: an empty line ends it. Without one Postfix does not read the following lines as a
    /// message.
    fn end_header(&mut self, is_divided: bool, visit: &mut impl Visit) {
        let Place::Header { parent, default } = self.place else { return };
        let section = mem::take(&mut self.section);
        self.parts = self.parts.saturating_add(1);
        let info = Info::of(&section, default);
        self.enter(&info, is_divided);
        visit.header(self.parts, parent, info, &section);
    }

    fn enter(&mut self, info: &Info, is_divided: bool) {
        let number = self.parts;
        let default = if info.kind == "multipart/digest" { "message/rfc822" } else { TEXT };
        for boundary in &info.boundaries {
            self.reader.open(number, &boundary.text, default);
            self.postfix.open(number, &boundary.seen, default);
        }
        self.place = if info.is_multipart() && !info.is_odd {
            Place::Between
        } else if info.is_message() && is_divided {
            Place::Header { parent: number, default: TEXT }
        } else {
            Place::Body(number)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Found(String);

    impl Visit for Found {
        fn header(&mut self, number: usize, parent: usize, info: Info, section: &[u8]) {
            let length = section.len();
            self.0.push_str(&format!("[{number} in {parent}: {} {length}]", info.kind));
        }

        fn text(&mut self, part: Option<usize>, piece: &[u8]) {
            let part = part.map_or("-".to_owned(), |part| part.to_string());
            for line in piece.split_inclusive(|byte| *byte == b'\n') {
                self.0.push_str(&format!("{part}:{}", String::from_utf8_lossy(line)));
            }
        }

        fn boundary(&mut self, piece: &[u8]) {
            self.0.push_str(&format!("b:{}", String::from_utf8_lossy(piece)));
        }

        fn misread(&mut self, _: Option<usize>) {
            self.0.push('l');
        }
    }

    fn walk(header: &str, body: &str) -> String {
        let info = Info::of(header.as_bytes(), TEXT);
        let found = |size: usize| {
            let (mut walk, mut found) = (Walk::new(&info), Found::default());
            body.as_bytes().chunks(size).for_each(|piece| walk.feed(piece, &mut found));
            walk.finish(&mut found);
            found.0
        };
        let whole = found(body.len().max(1));
        for size in 1..body.len() {
            assert_eq!(found(size), whole, "pieces of {size}");
        }
        whole
    }

    #[test]
    fn a_plain_body_is_part_0() {
        assert_eq!(walk("Subject: x\n", "a\n--b\n"), "0:a\n0:--b\n");
    }

    #[test]
    fn parts_are_found_between_their_boundaries() {
        let header = "Content-Type: multipart/mixed; charset=x;\n boundary=\"b\"\n";
        assert_eq!(
            walk(header, "pre\n--b\nA: b\n\none\n--b\nno field\n--b--\npost\n"),
            "-:pre\nb:--b\n[1 in 0: text/plain 6]1:one\nb:--b\n[2 in 0: text/plain 0]2:no field\n\
             b:--b--\n-:post\n"
        );
    }

    #[test]
    fn of_an_unquoted_boundary_postfix_sees_what_is_before_a_special() {
        let header = "Content-Type: multipart/mixed; boundary=--=_b\n";
        let info = Info::of(header.as_bytes(), TEXT);
        let expected = Boundary { text: b"--=_b".to_vec(), seen: b"--".to_vec() };
        assert_eq!(info.boundaries, [expected]);
        assert_eq!(
            walk(header, "----=_b\n\n---- x\nA : b\n----=_b--\n"),
            "b:----=_b\n[1 in 0: text/plain 1]l1:---- x\n1:A : b\nb:----=_b--\n"
        );
        // Postfix does not take the last boundary for the last one.
        assert_eq!(
            walk(header, "----=_b\n\nx\n----=_b--\n\n-- y\n----=_b\nz\n"),
            "b:----=_b\n[1 in 0: text/plain 1]1:x\nb:----=_b--\n-:\n-:-- y\nl-:----=_b\n-:z\n"
        );
        assert_eq!(
            walk(header, "----=_b\n\nx\n----=_b--\ny\n"),
            "b:----=_b\n[1 in 0: text/plain 1]1:x\nb:----=_b--\nl-:y\n"
        );
    }

    #[test]
    fn to_a_reader_nothing_but_white_space_follows_a_boundary() {
        let header = "Content-Type: multipart/mixed; boundary=\"b\"\n";
        assert_eq!(
            walk(header, "--b \t\n\none\n--b two\n--b--two\n--b-- \n"),
            "b:--b \t\n[1 in 0: text/plain 1]1:one\nl1:--b two\nl1:--b--two\nb:--b-- \n"
        );
    }

    #[test]
    fn a_message_needs_an_empty_line_before_it() {
        let header = "Content-Type: multipart/mixed; boundary=b\n";
        assert_eq!(
            walk(header, "--b\nContent-Type: message/rfc822\nno field\nA: b\n--b--\n"),
            "b:--b\n[1 in 0: message/rfc822 29]1:no field\n1:A: b\nb:--b--\n"
        );
    }

    #[test]
    fn the_innermost_boundary_counts_first_and_an_outer_one_ends_it() {
        let header = "content-type: Multipart/Mixed; boundary=b\n";
        assert_eq!(
            walk(header, "--b\nContent-Type: multipart/x; boundary=bb\n\n--bb\n\nx\n--b\n\ny\n"),
            "b:--b\n[1 in 0: multipart/x 40]b:--bb\n[2 in 1: text/plain 1]2:x\nb:--b\n\
             [3 in 0: text/plain 1]3:y\n"
        );
    }

    #[test]
    fn an_enclosed_message_has_a_header_of_its_own() {
        let header = "Content-Type: message/rfc822\n";
        assert_eq!(walk(header, "A: b\n\nx\n"), "[1 in 0: text/plain 6]1:x\n");
        let header = "Content-Type: multipart/digest; boundary=b\n";
        assert_eq!(
            walk(header, "--b\n\nA: b\n\nx\n--b--\n"),
            "b:--b\n[1 in 0: message/rfc822 1][2 in 1: text/plain 6]2:x\nb:--b--\n"
        );
    }

    #[test]
    fn to_postfix_a_line_belongs_to_the_innermost_boundary_that_it_sees_in_it() {
        for (outer, inner, body, expected) in [
            // The end of the outer multipart, but for Postfix a part of the inner one.
            ("-", "--=_x", "x\n-----\nA : b\n", "2:x\nb:-----\nl-:A : b\n"),
            ("-", "--=_x", "-----\n\n--y\n---z\n", "b:-----\n-:\n-:--y\nl-:---z\n"),
            // A part of the outer multipart, but for Postfix the end of the inner one.
            ("----", "--=_x", "x\n------\nA : b\n", "2:x\nlb:------\n[3 in 0: text/plain 6]"),
            // Both multiparts end, but for Postfix only the inner one.
            ("-", "-=_x", "x\n-----\ny\n---\nA : b\n", "2:x\nb:-----\n-:y\nl-:---\n-:A : b\n"),
        ] {
            let header = format!("Content-Type: multipart/mixed; boundary=\"{outer}\"\n");
            let part = format!("Content-Type: multipart/x; boundary={inner}\n\n");
            let length = part.len();
            assert_eq!(
                walk(&header, &format!("--{outer}\n{part}--{inner}\n\n{body}")),
                format!(
                    "b:--{outer}\n[1 in 0: multipart/x {length}]b:--{inner}\n\
                     [2 in 1: text/plain 1]{expected}"
                )
            );
        }
        // Each part is a message, but for Postfix text.
        let header = "Content-Type: multipart/digest; boundary=-=_d\n";
        let inner = "---=_d\nContent-Type: multipart/x; boundary=-=_x\n\n---=_x\n\n";
        assert_eq!(
            walk(header, &format!("{inner}x\n---=_d\n\nA : b\n")),
            "b:---=_d\n[1 in 0: multipart/x 42]b:---=_x\n[2 in 1: text/plain 1]2:x\n\
             lb:---=_d\n[3 in 0: message/rfc822 1][4 in 3: text/plain 6]"
        );
    }

    #[test]
    fn a_header_may_end_with_the_part_or_the_body() {
        let header = "Content-Type: multipart/mixed; boundary=b\n";
        let found = walk(header, "--b\nA: b\n--b\nC: d\n");
        assert_eq!(found, "b:--b\n[1 in 0: text/plain 5]b:--b\n[2 in 0: text/plain 5]");
    }

    #[test]
    fn a_header_may_end_with_the_boundary_that_it_names() {
        let header = "Content-Type: multipart/mixed; boundary=b\n";
        let inner = "Content-Type: multipart/x; boundary=c\n";
        assert_eq!(
            walk(header, &format!("--b\n{inner}--c\nA: b\n\nx\n--c--\n--b--\n")),
            "b:--b\n[1 in 0: multipart/x 38]b:--c\n[2 in 1: text/plain 6]2:x\nb:--c--\nb:--b--\n"
        );
        let inner = "Content-Type: multipart/x; boundary=bb\n";
        assert_eq!(
            walk(header, &format!("--b\n{inner}--bb\n\nx\n--bb--\n--b--\n")),
            "b:--b\n[1 in 0: multipart/x 39]b:--bb\n[2 in 1: text/plain 1]2:x\nb:--bb--\nb:--b--\n"
        );
        let inner = "Content-Type: multipart/x; boundary=c\n";
        assert_eq!(
            walk(header, "--b\nA: b\n--b: x\n\n--b: x\n\ny\n--b--: z\n"),
            "b:--b\n[1 in 0: text/plain 13]l1:--b: x\n1:\n1:y\nl1:--b--: z\n"
        );
        assert_eq!(
            walk(header, &format!("--b\n{inner}--c: d\n\n--c\n\nx\n--b--\n")),
            "b:--b\n[1 in 0: multipart/x 46]b:--c\n[2 in 1: text/plain 1]2:x\nb:--b--\n"
        );
    }

    #[test]
    fn no_more_boundaries_are_open_than_postfix_opens() {
        let field = |number: usize| format!("Content-Type: multipart/x; boundary={number:04}\n");
        let header: String = (0..200).map(field).collect();
        let info = Info::of(header.as_bytes(), TEXT);
        assert_eq!(info.boundaries.len(), MOST_OPEN);
        let mut all = Walk::new(&info);
        for number in 0..200 {
            let part = format!("--{number:04}\n{header}\n");
            all.feed(part.as_bytes(), &mut Found::default());
            assert!(all.postfix.0.len() <= MOST_OPEN);
            let (mut walk, mut found) = (Walk::new(&info), Found::default());
            walk.feed(part.as_bytes(), &mut found);
            assert_eq!(walk.reader.0.len(), MOST_OPEN, "{number}");
            assert_eq!(found.0.starts_with("b:"), number < MOST_OPEN, "{number}");
        }
    }

    #[test]
    fn a_message_inside_is_one_however_many_boundaries_are_open() {
        let field = |number: usize| format!("Content-Type: multipart/x; boundary={number:04}\n");
        let header: String = (0..200).map(field).collect();
        let info = Info::of(header.as_bytes(), TEXT);
        let (mut walk, mut found) = (Walk::new(&info), Found::default());
        walk.feed(b"--0100\nContent-Type: message/rfc822\n\nA: b\n\nx\n", &mut found);
        assert_eq!(found.0, "b:--0100\n[1 in 0: message/rfc822 30][2 in 1: text/plain 6]2:x\n");
    }

    #[test]
    fn a_part_header_without_end_is_not_stored() {
        #[derive(Default)]
        struct Large(bool);
        impl Visit for Large {
            fn header(&mut self, _: usize, _: usize, _: Info, section: &[u8]) {
                assert!(section.len() <= LARGEST_HEADER + LINE_PIECE);
            }
            fn text(&mut self, _: Option<usize>, _: &[u8]) {}
            fn boundary(&mut self, _: &[u8]) {}
            fn too_large(&mut self) {
                self.0 = true;
            }
        }
        let info = Info::of(b"Content-Type: multipart/mixed; boundary=b\n", TEXT);
        for line in ["A: b\n", " xxxxxxxxxxxxx", "A: \n xxxxxxxxxxxxxxx\n"] {
            let (mut walk, mut large) = (Walk::new(&info), Large::default());
            walk.feed(b"--b\nA: b", &mut large);
            for _ in 0..LARGEST_HEADER / line.len() + LINE_PIECE {
                walk.feed(line.as_bytes(), &mut large);
                assert!(walk.section.len() <= LARGEST_HEADER + LINE_PIECE);
            }
            assert!(large.0, "{line:?}");
        }
        let field = format!("A: {}\n", "x".repeat(LARGEST_HEADER - 4));
        for (more, is_large) in [("", false), ("B: c\n", true)] {
            let (mut walk, mut large) = (Walk::new(&info), Large::default());
            walk.feed(format!("--b\n{field}{more}\n").as_bytes(), &mut large);
            assert_eq!(large.0, is_large, "{more:?}");
        }
        let limit = format!("a part header of more than {} KiB", LARGEST_HEADER >> 10);
        crate::assert_documented("packaging/man/sendmail.dkim.8", &limit);
    }
}
