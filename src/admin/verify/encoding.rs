//! Undoes the encodings that a hop applies to parts if the next hop lacks 8BITMIME (RFC 6152). Pure.

use std::collections::BTreeMap;

use super::decode::{base64, quoted_printable};
use super::finding::Finding;
use crate::dkim::Header;
use crate::dkim::header::split_fields;
use crate::message::mime::{Info, Visit, Walk};

/// The places in a part header at which Content-Transfer-Encoding is tried.
const PLACES: usize = 5;

/// With more parts, it is not tried to give each one its field in another place.
const FEW: usize = 3;

/// With more parts, it is not tried to decode only one of them.
const MANY: usize = 20;

/// The bodies that a body may have been before it was encoded, each with the change.
pub(super) fn decoded<'a>(
    header: &Header,
    body: &'a [u8],
) -> Box<dyn Iterator<Item = (Finding, Vec<u8>)> + 'a> {
    let info = Info::of(&header.bytes(), "text/plain");
    if !info.is_multipart() {
        let finding = encoded(&info.encoding, "the whole body");
        return Box::new(decode(&info.encoding, body).map(|before| (finding, before)).into_iter());
    }
    let mut walk = Walk::new(&info);
    let mut pieces = Pieces::default();
    walk.feed(body, &mut pieces);
    walk.finish(&mut pieces);
    let variants = variants(&pieces.encoded());
    Box::new(variants.into_iter().map(move |variant| {
        let numbers: Vec<_> = variant.parts.keys().map(ToString::to_string).collect();
        let parts = format!("part {}", numbers.join(", "));
        (encoded("quoted-printable or base64", &parts), pieces.rebuilt(&variant))
    }))
}

fn encoded(encoding: &str, what: &str) -> Finding {
    let message = format!("8-bit or long text was encoded as {encoding} on the way ({what})");
    Finding::proven("encoded", message)
}

/// Where in the part headers Content-Transfer-Encoding was. `None` if there was none.
type Place = Option<usize>;

/// One way in which a body may have been encoded.
struct Variant {
    /// The encoded parts, and where each one had its field.
    parts: BTreeMap<usize, Place>,
    /// Where inner multiparts had it; they are 8bit if one of their parts is.
    around: Place,
    encoding: &'static str,
}

/// All variants for these parts: all of them were encoded, or a single one.
fn variants(parts: &[usize]) -> Vec<Variant> {
    let mut choices = vec![parts.to_vec()];
    if (2..=MANY).contains(&parts.len()) {
        choices.extend(parts.iter().map(|part| vec![*part]));
    }
    let places = || std::iter::once(None).chain((0..=PLACES).map(Some));
    let mut all = Vec::new();
    for encoding in ["8bit", "7bit", "8BIT"] {
        for choice in choices.iter().filter(|choice| !choice.is_empty()) {
            all.extend(places().map(|place| Variant {
                parts: choice.iter().map(|part| (*part, place)).collect(),
                around: place,
                encoding,
            }));
        }
    }
    if (2..=FEW).contains(&parts.len()) {
        // Each part with its own place.
        let mut each: Vec<Vec<(usize, Place)>> = vec![Vec::new()];
        for part in parts {
            let with = |so_far: &Vec<_>, place| [so_far.as_slice(), &[(*part, place)]].concat();
            each = each.iter().flat_map(|one| places().map(|place| with(one, place))).collect();
        }
        let each = each.into_iter().map(BTreeMap::from_iter);
        all.extend(each.map(|parts| Variant { parts, around: None, encoding: "8bit" }));
    }
    all
}

/// The text before its encoding; `None` if it is not encoded.
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
    Header {
        number: usize,
        info: Info,
        section: Vec<u8>,
    },
    /// `None` for boundaries and text outside of parts.
    Text {
        part: Option<usize>,
        bytes: Vec<u8>,
    },
}

impl Visit for Pieces {
    fn header(&mut self, number: usize, _parent: usize, info: Info, section: &[u8]) {
        self.0.push(Piece::Header { number, info, section: section.to_vec() });
    }

    fn text(&mut self, part: Option<usize>, piece: &[u8]) {
        match self.0.last_mut() {
            Some(Piece::Text { part: last, bytes }) if *last == part => {
                bytes.extend_from_slice(piece);
            }
            _ => self.0.push(Piece::Text { part, bytes: piece.to_vec() }),
        }
    }

    fn boundary(&mut self, piece: &[u8]) {
        self.text(None, piece);
    }
}

impl Pieces {
    /// The numbers of the leaves whose text is encoded.
    fn encoded(&self) -> Vec<usize> {
        let headers = self.0.iter().filter_map(|piece| match piece {
            Piece::Header { number, info, .. } => Some((*number, info)),
            Piece::Text { .. } => None,
        });
        let encoded =
            headers.filter(|(_, info)| info.is_leaf() && decode(&info.encoding, b"").is_some());
        encoded.map(|(number, _)| number).collect()
    }

    /// The body before it was encoded.
    fn rebuilt(&self, variant: &Variant) -> Vec<u8> {
        let mut body = Vec::new();
        let mut encoding = "";
        for piece in &self.0 {
            match piece {
                Piece::Header { number, info, section } => {
                    encoding = &info.encoding;
                    let is_open = info.is_multipart() && info.encoding == "7bit";
                    let around = is_open.then_some(variant.around);
                    match variant.parts.get(number).copied().or(around) {
                        Some(place) => body.extend(with_encoding(section, place, variant.encoding)),
                        None => body.extend_from_slice(section),
                    }
                }
                Piece::Text { part, bytes } => {
                    let is_encoded = part.is_some_and(|part| variant.parts.contains_key(&part));
                    match decode(encoding, bytes).filter(|_| is_encoded) {
                        // The line end before a boundary belongs to the boundary.
                        Some(text) if text.ends_with(b"\n") => body.extend(text),
                        Some(text) => body.extend(text.iter().chain(b"\r\n")),
                        None => body.extend_from_slice(bytes),
                    }
                }
            }
        }
        body
    }
}

/// A header section with its Content-Transfer-Encoding at another place, or without it.
fn with_encoding(section: &[u8], place: Place, encoding: &str) -> Vec<u8> {
    const NAME: &[u8] = b"content-transfer-encoding:";
    let is_encoding =
        |line: &&[u8]| line.get(..NAME.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(NAME));
    let mut kept: Vec<&[u8]> = split_fields(section).filter(|field| !is_encoding(field)).collect();
    let field = format!("Content-Transfer-Encoding: {encoding}\r\n");
    if let Some(place) = place {
        let fields = kept.iter().filter(|field| !field.trim_ascii().is_empty()).count();
        kept.insert(place.min(fields), field.as_bytes());
    }
    kept.concat()
}
