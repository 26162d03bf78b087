//! What the header of a part, or of the message, says of its body, as Postfix reads it.

use super::value::{Piece, encoding, stretches};
use crate::message::limits::{LINE_PIECE, MOST_OPEN};
use crate::message::syntax::{cleaned, parameter, split_field, split_fields};

/// What a part says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Info {
    /// The type and subtype, in lower case; no more than the beginning of a long one.
    pub kind: String,
    /// Whether there is a Content-Type field.
    pub is_typed: bool,
    /// `boundary` of a multipart; several, where Content-Type is there several times. No more than can be open.
    pub boundaries: Vec<Boundary>,
    /// Content-Transfer-Encoding, in lower case, the beginning of it; empty where there is none.
    pub encoding: String,
    /// A Content-Transfer-Encoding is 8bit or binary. Postfix believes one that another one follows, too
    /// (`detect_8bit_encoding_header`).
    pub says_eight_bit: bool,
    /// It has a signature: DKIM, ARC, or `DomainKeys`.
    pub is_signed: bool,
    /// A multipart that does not say where its parts are, or says so to Postfix in another way than to
    /// a reader.
    pub is_odd: bool,
    /// Of such a one Postfix sees parts.
    pub is_torn: bool,
}

/// Where a multipart is divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// What it says.
    pub text: Vec<u8>,
    /// What Postfix sees of it: less, where an unquoted one has a special in it (`----=_Part`).
    pub seen: Vec<u8>,
}

impl Info {
    /// Reads a header section.
    #[must_use]
    pub fn of(section: &[u8], default: &str) -> Self {
        let mut info = Self {
            kind: default.to_owned(),
            is_typed: false,
            boundaries: Vec::new(),
            encoding: String::new(),
            says_eight_bit: false,
            is_signed: false,
            is_odd: false,
            is_torn: false,
        };
        for field in split_fields(section) {
            let (name, value) = split_field(field);
            if name.eq_ignore_ascii_case(b"Content-Type") {
                // As Postfix has it, the last one counts, and every boundary does.
                info.is_typed = true;
                info.set_type(&cleaned(value));
            } else if name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
                let piece = encoding(&cleaned(value));
                info.says_eight_bit |= piece
                    .as_ref()
                    .is_some_and(|piece| piece.is_token("8bit") || piece.is_token("binary"));
                info.encoding = lower(&[&piece.map(Piece::text).unwrap_or_default()]);
            } else if [&b"DKIM-Signature"[..], b"ARC-Seal", b"DomainKey-Signature"]
                .iter()
                .any(|signature| name.eq_ignore_ascii_case(signature))
            {
                info.is_signed = true;
            }
        }
        info
    }

    fn set_type(&mut self, value: &[u8]) {
        let mut stretches = stretches(value);
        let is_message = self.is_message();
        self.kind = match stretches.next().unwrap_or_default().as_slice() {
            [
                Piece::Token(kind),
                Piece::Other(b'/'),
                Piece::Token(subtype) | Piece::Quoted(subtype),
            ] => lower(&[kind, b"/", subtype]),
            [Piece::Token(kind), ..] => lower(&[kind, b"/"]),
            _ => String::new(),
        };
        // In a digest Postfix takes what is of a type of its own for the message that it would else be.
        self.is_odd = is_message && self.is_leaf() && !self.kind.starts_with("text/");
        if !self.is_multipart() {
            return;
        }
        let is_boundary = |pieces: Vec<Piece>| match <[Piece; 3]>::try_from(pieces) {
            Ok([name, Piece::Other(b'='), text]) if name.is_token("boundary") => Some(text.text()),
            _ => None,
        };
        let mut seen = stretches.filter_map(is_boundary);
        let first = seen.next();
        let has_seen = first.is_some();
        let first = first.unwrap_or_default();
        let is_one = !first.is_empty() && seen.all(|other| other == first);
        let is_named = self.kind.len() > "multipart/".len();
        match parameter(value, b"boundary") {
            Some(text) if is_named && is_one && text.starts_with(&first) => {
                if self.boundaries.len() < MOST_OPEN {
                    // What is longer begins no line that is looked at.
                    let beginning = |mut text: Vec<u8>| {
                        text.truncate(LINE_PIECE);
                        text.shrink_to_fit();
                        text
                    };
                    self.boundaries
                        .push(Boundary { text: beginning(text), seen: beginning(first) });
                }
            }
            _ => {
                self.is_odd = true;
                self.is_torn |= has_seen;
            }
        }
    }

    /// What is kept of a part.
    #[must_use]
    pub(in crate::message) fn without_boundaries(&self) -> Self {
        Self {
            kind: self.kind.clone(),
            boundaries: Vec::new(),
            encoding: self.encoding.clone(),
            ..*self
        }
    }

    /// Whether it is made of parts.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.kind.starts_with("multipart/")
    }

    /// Whether it holds a message with a header of its own.
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.kind == "message/rfc822" || self.kind == "message/global"
    }

    /// Whether its octets are protected by a signature or encryption of its own.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        let sealed = ["multipart/signed", "multipart/encrypted"].contains(&self.kind.as_str());
        sealed
            || self.kind.starts_with("application/pkcs7-")
            || self.kind.starts_with("application/x-pkcs7-")
    }

    /// Whether it has a leaf's body: text that may be encoded.
    #[must_use]
    pub fn is_leaf(&self) -> bool {
        !self.is_multipart() && !self.kind.starts_with("message/")
    }
}

/// The beginning of a text in lower case: a name that means something here is shorter than that.
fn lower(text: &[&[u8]]) -> String {
    let octets = text.iter().copied().flatten().take(LONGEST_NAME);
    octets.map(|octet| char::from(octet.to_ascii_lowercase())).collect()
}

const LONGEST_NAME: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_labels_are_read_as_postfix_reads_them() {
        for (label, is_eight_bit) in [
            ("8bit.", true),
            ("8BIT x", true),
            ("(c) binary(d)", true),
            ("8bit\u{b}", true),
            ("\"8bit\"", false),
            ("8bit/x", false),
            ("", false),
        ] {
            let section = format!("Content-Transfer-Encoding: {label}\n");
            assert_eq!(
                Info::of(section.as_bytes(), "text/plain").says_eight_bit,
                is_eight_bit,
                "{label}"
            );
        }
        for (value, kind, is_odd) in [
            ("Multipart/Mixed; boundary=b", "multipart/mixed", false),
            ("multipart/x; y=z boundary=c; boundary = \"b\" z", "multipart/x", false),
            ("multipart mixed; boundary=b", "multipart/", true),
            ("multipart/mixed; boundary=b; boundary=c", "multipart/mixed", true),
            ("multipart/mixed; boundary=b; boundary=\"b\"", "multipart/mixed", false),
            ("multipart/mixed; boundary==b", "multipart/mixed", false),
            ("multipart/mixed", "multipart/mixed", true),
            ("\"multipart\"/mixed; boundary=b", "", false),
            ("text/plain (x); charset=y", "text/plain", false),
        ] {
            let info = Info::of(format!("Content-Type: {value}\n").as_bytes(), "text/plain");
            assert_eq!((info.kind.as_str(), info.is_odd), (kind, is_odd), "{value}");
        }
    }
}
