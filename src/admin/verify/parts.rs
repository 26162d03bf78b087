//! Encodings of parts undone, as a hop that does not take 8-bit text has applied them (RFC 6152). Pure.

use super::decode::{base64, quoted_printable};
use super::suspect::Suspect;
use crate::dkim::Header;
use crate::message::mime::{Info, Visit, Walk};

/// Fields of a part header before which Content-Transfer-Encoding may have stood.
const PLACES: usize = 5;

/// The bodies that a body may have been before it was encoded, and how.
pub(super) fn decoded(header: &Header, body: &[u8]) -> Vec<(Suspect, Vec<u8>)> {
    let info = Info::of(&header.octets(), "text/plain");
    let said = |encoding: &str, what: &str| {
        Suspect::proven(
            "encoded",
            &format!("8-bit or long text was encoded as {encoding} on the way ({what})"),
        )
    };
    if !info.is_multipart() {
        let before = decode(&info.encoding, body);
        let suspect = said(&info.encoding, "the whole body");
        return before.map(|before| (suspect, before)).into_iter().collect();
    }
    let mut walk = Walk::new(&info);
    let mut pieces = Pieces::default();
    walk.feed(body, &mut pieces);
    walk.finish(&mut pieces);
    let encoded: Vec<usize> = pieces
        .0
        .iter()
        .filter_map(|piece| match piece {
            Piece::Header { number, info, .. } => {
                is_encoded(&info.encoding).then_some((*number, info.is_leaf()))
            }
            Piece::Text { .. } | Piece::Other(_) => None,
        })
        .filter_map(|(number, is_leaf)| is_leaf.then_some(number))
        .collect();
    let mut all = Vec::new();
    // All of them, or one.
    let mut choices = vec![encoded.clone()];
    if encoded.len() > 1 {
        choices.extend(encoded.iter().map(|number| vec![*number]));
    }
    for choice in choices.iter().filter(|choice| !choice.is_empty()) {
        let numbers: Vec<_> = choice.iter().map(ToString::to_string).collect();
        let suspect = said("quoted-printable or base64", &format!("part {}", numbers.join(", ")));
        for place in std::iter::once(None).chain((0..=PLACES).map(Some)) {
            for encoding in ["8bit", "7bit", "8BIT"] {
                all.push((suspect.clone(), pieces.rebuilt(choice, place, encoding)));
            }
        }
    }
    all
}

fn is_encoded(encoding: &str) -> bool {
    matches!(encoding, "quoted-printable" | "base64")
}

fn decode(encoding: &str, text: &[u8]) -> Option<Vec<u8>> {
    match encoding {
        "quoted-printable" => Some(quoted_printable(text)),
        "base64" => base64(text),
        _ => None,
    }
}

/// A body in pieces.
#[derive(Default)]
struct Pieces(Vec<Piece>);

enum Piece {
    Header { number: usize, info: Info, section: Vec<u8> },
    Text { part: usize, octets: Vec<u8> },
    Other(Vec<u8>),
}

impl Visit for Pieces {
    fn header(&mut self, number: usize, _parent: usize, info: &Info, section: &[u8]) {
        self.0.push(Piece::Header { number, info: info.clone(), section: section.to_vec() });
    }

    fn text(&mut self, part: Option<usize>, piece: &[u8]) {
        let Some(part) = part else { return self.0.push(Piece::Other(piece.to_vec())) };
        match self.0.last_mut() {
            Some(Piece::Text { part: last, octets }) if *last == part => {
                octets.extend_from_slice(piece);
            }
            _ => self.0.push(Piece::Text { part, octets: piece.to_vec() }),
        }
    }

    fn boundary(&mut self, piece: &[u8]) {
        self.0.push(Piece::Other(piece.to_vec()));
    }
}

impl Pieces {
    /// The body with some parts decoded, their Content-Transfer-Encoding in another place; `None`: nowhere.
    fn rebuilt(&self, decoded: &[usize], place: Option<usize>, encoding: &str) -> Vec<u8> {
        let mut body = Vec::new();
        let mut current = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Header { number, info, section } => {
                    current.clone_from(&info.encoding);
                    // A multipart is 8bit where one of its parts is, and was made 7bit with it.
                    let is_open = info.is_multipart() && info.encoding == "7bit";
                    if decoded.contains(number) || is_open {
                        body.extend(with_encoding(section, place, encoding));
                    } else {
                        body.extend_from_slice(section);
                    }
                }
                Piece::Text { part, octets } if decoded.contains(part) => {
                    match decode(&current, octets) {
                        // The line end before a boundary belongs to the boundary.
                        Some(text) if text.ends_with(b"\n") => body.extend(text),
                        Some(text) => body.extend(text.iter().chain(b"\r\n")),
                        None => body.extend_from_slice(octets),
                    }
                }
                Piece::Text { octets, .. } | Piece::Other(octets) => body.extend_from_slice(octets),
            }
        }
        body
    }
}

/// A header section with its Content-Transfer-Encoding elsewhere, or nowhere.
fn with_encoding(section: &[u8], place: Option<usize>, encoding: &str) -> Vec<u8> {
    const NAME: &[u8] = b"content-transfer-encoding:";
    let is_encoding =
        |line: &&[u8]| line.get(..NAME.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(NAME));
    let lines = section.split_inclusive(|octet| *octet == b'\n').filter(|line| !is_encoding(line));
    let mut kept: Vec<Vec<u8>> = Vec::new();
    // With its continuations a field is one.
    for line in lines {
        match kept.last_mut() {
            Some(last) if matches!(line.first(), Some(b' ' | b'\t')) => {
                last.extend_from_slice(line);
            }
            _ => kept.push(line.to_vec()),
        }
    }
    if let Some(place) = place {
        let fields = kept.iter().filter(|line| !line.trim_ascii().is_empty()).count();
        let line = format!("Content-Transfer-Encoding: {encoding}\r\n").into_bytes();
        kept.insert(place.min(fields), line);
    }
    kept.concat()
}
