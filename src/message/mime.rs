//! Where the parts of a MIME message begin and end (RFC 2045, 2046), as Postfix's `mime_state` sees it:
//! it is Postfix that must find nothing left to change.
//!
//! The walk is given lines in pieces of any size, and keeps no more than one piece of a line and one
//! part header.

mod info;
mod value;

use std::mem;

use memchr::{memchr, memmem, memrchr};

use super::limits::{LINE_PIECE, MOST_OPEN};
use super::syntax::field_name;
pub use info::{Boundary, Info};

/// A part header larger than this is not looked at. Postfix cuts a single field at 100 kB (`header_size_limit`).
const LARGEST_HEADER: usize = 128 << 10;

/// What a walk tells of a body.
pub trait Visit {
    /// A part or an enclosed message begins: its header section, complete lines, with the empty line
    /// that ends it where there is one. Numbers go up from 1; the message itself is 0.
    fn header(&mut self, number: usize, parent: usize, info: &Info, section: &[u8]);
    /// Whole lines of a leaf's body, of which none begins with `--`, or a piece of one line; of no part:
    /// preamble and epilogue.
    fn text(&mut self, part: Option<usize>, piece: &[u8]);
    /// A piece of a line that separates parts.
    fn boundary(&mut self, piece: &[u8]);
    /// The line that begins with the next piece of text is none that separates parts, but one to Postfix.
    fn like_boundary(&mut self, _part: Option<usize>) {}
    /// A part header is larger than those that are looked at; the rest of it comes as text.
    fn too_large(&mut self) {}
}

/// Where the walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Header {
        parent: usize,
    },
    Body(usize),
    /// Before the first part of a multipart, and behind its last one.
    Between,
}

/// A multipart that has begun.
#[derive(Clone, Debug)]
struct Open {
    number: usize,
    boundary: Boundary,
    /// The type of a part that names none.
    default: &'static str,
    /// It has ended, but not to Postfix, which has not seen all of the line that ends it, or has taken that for
    /// one of a multipart inside of it.
    is_over: bool,
}

/// A walk through the body of one message.
#[derive(Clone, Debug)]
pub struct Walk {
    stack: Vec<Open>,
    place: Place,
    default: &'static str,
    section: Vec<u8>,
    parts: usize,
    line: Vec<u8>,
    /// The first piece of the line was given out.
    inside_line: bool,
    /// The line is a boundary, so what is left of it is too.
    on_boundary: bool,
    /// The line before was the last of a multipart, and begins another part to Postfix.
    behind_false_start: bool,
}

const TEXT: &str = "text/plain";

/// Whether the text behind `--` is the end of a multipart with this boundary.
fn is_end(text: &[u8], boundary: &[u8]) -> bool {
    text.strip_prefix(boundary).is_some_and(|behind| behind.starts_with(b"--"))
}

impl Walk {
    /// At the first octet of a body whose header says this.
    #[must_use]
    pub fn new(info: &Info) -> Self {
        let mut walk = Self {
            stack: Vec::new(),
            place: Place::Body(0),
            default: TEXT,
            section: Vec::new(),
            parts: 0,
            line: Vec::new(),
            inside_line: false,
            on_boundary: false,
            behind_false_start: false,
        };
        walk.enter(0, info, true);
        walk
    }

    /// How many parts were found so far.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// Takes octets of the body.
    pub fn feed(&mut self, octets: &[u8], visit: &mut impl Visit) {
        let mut rest = octets;
        while !rest.is_empty() {
            let (lines, behind) =
                rest.split_at_checked(self.lines_of_text(rest)).unwrap_or_default();
            if !lines.is_empty() {
                visit.text(self.part(), lines);
            }
            rest = self.feed_line(behind, visit);
        }
    }

    /// How long the lines are that can only be text, each of them of one piece.
    fn lines_of_text(&self, octets: &[u8]) -> usize {
        let mut length: usize = 0;
        let is_header = matches!(self.place, Place::Header { .. });
        if is_header || self.inside_line || self.behind_false_start || !self.line.is_empty() {
            return length;
        }
        loop {
            let rest = octets.get(length..).unwrap_or_default();
            let piece = rest.get(..LINE_PIECE).unwrap_or(rest);
            let Some(last) = memrchr(b'\n', piece).filter(|_| !piece.starts_with(b"--")) else {
                return length;
            };
            let lines = piece.get(..=last).unwrap_or_default();
            let dashes = memmem::find(lines, b"\n--");
            length = length.saturating_add(dashes.unwrap_or(last)).saturating_add(1);
        }
    }

    /// Takes one line, or a piece of it. Gives the octets behind.
    fn feed_line<'a>(&mut self, octets: &'a [u8], visit: &mut impl Visit) -> &'a [u8] {
        let room = LINE_PIECE.saturating_sub(self.line.len()).min(octets.len());
        let end = memchr(b'\n', octets.get(..room).unwrap_or_default());
        let taken = end.map_or(room, |at| at.saturating_add(1));
        let (piece, behind) = octets.split_at_checked(taken).unwrap_or_default();
        let is_whole = end.is_some() || self.line.len().saturating_add(taken) >= LINE_PIECE;
        if is_whole && self.line.is_empty() {
            self.give(piece, visit);
            return behind;
        }
        self.line.extend_from_slice(piece);
        if is_whole {
            self.give_line(visit);
        }
        behind
    }

    /// The end of the body. The last line is complete: the reader sees to that.
    pub fn finish(&mut self, visit: &mut impl Visit) {
        if !self.line.is_empty() {
            self.give_line(visit);
        }
        if let Place::Header { parent } = self.place {
            self.end_header(parent, false, visit);
        }
    }

    /// Gives out the piece that was collected.
    fn give_line(&mut self, visit: &mut impl Visit) {
        let piece = mem::take(&mut self.line);
        self.give(&piece, visit);
        self.line = piece;
        self.line.clear();
    }

    fn give(&mut self, piece: &[u8], visit: &mut impl Visit) {
        let begins = !mem::replace(&mut self.inside_line, !piece.ends_with(b"\n"));
        self.on_boundary &= !begins;
        if let Place::Header { parent } = self.place
            && !self.on_boundary
            && self.header_piece(piece, begins, parent, visit)
        {
            return;
        }
        if begins {
            let is_behind = mem::take(&mut self.behind_false_start);
            self.on_boundary = self.find_boundary(piece, visit);
            if is_behind && !self.on_boundary && piece != b"\n" {
                visit.like_boundary(self.part());
            }
        }
        if self.on_boundary {
            visit.boundary(piece);
        } else {
            visit.text(self.part(), piece);
        }
    }

    /// The part whose body this is.
    fn part(&self) -> Option<usize> {
        if let Place::Body(part) = self.place { Some(part) } else { None }
    }

    /// A line of a body that begins with `--` and a boundary, whatever follows, is one to Postfix.
    fn find_boundary(&mut self, piece: &[u8], visit: &mut impl Visit) -> bool {
        let Some(text) = piece.strip_prefix(b"--") else { return false };
        let first = text.first();
        // To Postfix it is that of the innermost multipart whose boundary it begins with, as far as that is seen.
        let is_seen = |open: &Open| {
            open.boundary.seen.first() == first && text.starts_with(&open.boundary.seen)
        };
        let Some(innermost) = self.stack.iter().rposition(is_seen) else { return false };
        let is_at = |open: &Open| !open.is_over && text.starts_with(&open.boundary.text);
        let Some(own) = self.stack.iter().rposition(is_at) else {
            visit.like_boundary(self.part());
            return false;
        };
        self.stack.truncate(innermost.saturating_add(1));
        let open = self.stack.get_mut(own..).unwrap_or_default();
        let Some((own, inner)) = open.split_first_mut() else { return false };
        let seen = inner.last().unwrap_or(own);
        let (ends_to_postfix, seen_default) = (is_end(text, &seen.boundary.seen), seen.default);
        inner.iter_mut().for_each(|inner| inner.is_over = true);
        if is_end(text, &own.boundary.text) {
            own.is_over = true;
            self.behind_false_start = !ends_to_postfix;
            self.place = Place::Between;
        } else {
            if ends_to_postfix || seen_default != own.default {
                visit.like_boundary(None);
            }
            self.default = own.default;
            self.place = Place::Header { parent: own.number };
        }
        if ends_to_postfix {
            self.stack.pop();
        }
        true
    }

    /// Whether the piece is one of the header section. A line that is none ends the section, and is the first one
    /// of the body: it may be the boundary that the header has named.
    fn header_piece(
        &mut self,
        piece: &[u8],
        begins: bool,
        parent: usize,
        visit: &mut impl Visit,
    ) -> bool {
        let is_empty = piece == b"\n" && begins;
        let continues = matches!(piece.first(), Some(b' ' | b'\t')) && !self.section.is_empty();
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
        self.end_header(parent, is_empty, visit);
        is_empty
    }

    /// `is_divided`: by an empty line; without one Postfix takes what follows for no message.
    fn end_header(&mut self, parent: usize, is_divided: bool, visit: &mut impl Visit) {
        let section = mem::take(&mut self.section);
        self.parts = self.parts.saturating_add(1);
        let info = Info::of(&section, self.default);
        visit.header(self.parts, parent, &info, &section);
        self.enter(self.parts, &info, is_divided);
    }

    fn enter(&mut self, number: usize, info: &Info, is_divided: bool) {
        self.place = Place::Body(number);
        self.default = TEXT;
        let default = if info.kind == "multipart/digest" { "message/rfc822" } else { TEXT };
        let room = MOST_OPEN.saturating_sub(self.stack.len());
        for boundary in info.boundaries.iter().take(room) {
            let boundary = boundary.clone();
            self.stack.push(Open { number, boundary, default, is_over: false });
        }
        if info.is_multipart() && !info.is_odd {
            self.place = Place::Between;
        } else if info.is_message() && is_divided {
            self.place = Place::Header { parent: number };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Told(String);

    impl Visit for Told {
        fn header(&mut self, number: usize, parent: usize, info: &Info, section: &[u8]) {
            let length = section.len();
            self.0.push_str(&format!("[{number} in {parent}: {} {length}]", info.kind));
        }

        fn text(&mut self, part: Option<usize>, piece: &[u8]) {
            let part = part.map_or("-".to_owned(), |part| part.to_string());
            for line in piece.split_inclusive(|octet| *octet == b'\n') {
                self.0.push_str(&format!("{part}:{}", String::from_utf8_lossy(line)));
            }
        }

        fn boundary(&mut self, piece: &[u8]) {
            self.0.push_str(&format!("b:{}", String::from_utf8_lossy(piece)));
        }

        fn like_boundary(&mut self, _: Option<usize>) {
            self.0.push('l');
        }
    }

    fn walk(header: &str, body: &str) -> String {
        let info = Info::of(header.as_bytes(), TEXT);
        let told = |size: usize| {
            let (mut walk, mut told) = (Walk::new(&info), Told::default());
            body.as_bytes().chunks(size).for_each(|piece| walk.feed(piece, &mut told));
            walk.finish(&mut told);
            told.0
        };
        let whole = told(body.len().max(1));
        for size in 1..body.len() {
            assert_eq!(told(size), whole, "pieces of {size}");
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
        let wanted = Boundary { text: b"--=_b".to_vec(), seen: b"--".to_vec() };
        assert_eq!(info.boundaries, [wanted]);
        assert_eq!(
            walk(header, "----=_b\n\n---- x\nA : b\n----=_b--\n"),
            "b:----=_b\n[1 in 0: text/plain 1]l1:---- x\n1:A : b\nb:----=_b--\n"
        );
        // The last one is not the last to it.
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
        for (outer, inner, body, wanted) in [
            // The end of the outer one, and a part of the inner one to Postfix.
            ("-", "--=_x", "x\n-----\nA : b\n", "2:x\nb:-----\nl-:A : b\n"),
            ("-", "--=_x", "-----\n\n--y\n---z\n", "b:-----\n-:\n-:--y\nl-:---z\n"),
            // A part of the outer one, and the end of the inner one to Postfix.
            ("----", "--=_x", "x\n------\nA : b\n", "2:x\nlb:------\n[3 in 0: text/plain 6]"),
            // Both end, and to Postfix the inner one alone.
            ("-", "-=_x", "x\n-----\ny\n---\nA : b\n", "2:x\nb:-----\n-:y\nl-:---\n-:A : b\n"),
        ] {
            let header = format!("Content-Type: multipart/mixed; boundary=\"{outer}\"\n");
            let part = format!("Content-Type: multipart/x; boundary={inner}\n\n");
            let length = part.len();
            assert_eq!(
                walk(&header, &format!("--{outer}\n{part}--{inner}\n\n{body}")),
                format!(
                    "b:--{outer}\n[1 in 0: multipart/x {length}]b:--{inner}\n\
                     [2 in 1: text/plain 1]{wanted}"
                )
            );
        }
        // A message each, and text to Postfix.
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
        let told = walk(header, "--b\nA: b\n--b\nC: d\n");
        assert_eq!(told, "b:--b\n[1 in 0: text/plain 5]b:--b\n[2 in 0: text/plain 5]");
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
            "b:--b\n[1 in 0: text/plain 13]b:--b: x\n[2 in 0: text/plain 1]2:y\nb:--b--: z\n"
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
            all.feed(part.as_bytes(), &mut Told::default());
            assert!(all.stack.len() <= MOST_OPEN);
            let (mut walk, mut told) = (Walk::new(&info), Told::default());
            walk.feed(part.as_bytes(), &mut told);
            assert_eq!(walk.stack.len(), MOST_OPEN, "{number}");
            assert_eq!(told.0.starts_with("b:"), number < MOST_OPEN, "{number}");
        }
    }

    #[test]
    fn a_message_inside_is_one_however_many_boundaries_are_open() {
        let field = |number: usize| format!("Content-Type: multipart/x; boundary={number:04}\n");
        let header: String = (0..200).map(field).collect();
        let info = Info::of(header.as_bytes(), TEXT);
        let (mut walk, mut told) = (Walk::new(&info), Told::default());
        walk.feed(b"--0100\nContent-Type: message/rfc822\n\nA: b\n\nx\n", &mut told);
        assert_eq!(told.0, "b:--0100\n[1 in 0: message/rfc822 30][2 in 1: text/plain 6]2:x\n");
    }

    #[test]
    fn a_part_header_without_end_is_not_kept() {
        #[derive(Default)]
        struct Large(bool);
        impl Visit for Large {
            fn header(&mut self, _: usize, _: usize, _: &Info, section: &[u8]) {
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
    }
}
