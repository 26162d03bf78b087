//! What the header of a message or part says about its body, as Postfix reads it.

use super::value::{SPECIALS, Token, stretches};
use crate::dkim::tag::TagList;
use crate::message::limits::{LINE_PIECE, MOST_OPEN};
use crate::message::syntax::{cleaned, parameter, split_field, split_fields};

/// The MIME properties of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Info {
    /// The type and subtype, in lower case. A long one is cut.
    pub kind: String,
    /// Whether there is a Content-Type field.
    pub is_typed: bool,
    /// Whether there is one Content-Type field, which names no charset and may be given one.
    pub takes_charset: bool,
    /// The `boundary` of a multipart, or several if there are several Content-Type fields. Limited to the number that may be
    /// open.
    pub boundaries: Vec<Boundary>,
    /// The Content-Transfer-Encoding in lower case, cut if it is long. Empty if there is none.
    pub encoding: String,
    /// Whether a Content-Transfer-Encoding is 8bit or binary. Postfix uses it even if another one follows
    /// (`detect_8bit_encoding_header`).
    pub says_eight_bit: bool,
    /// Whether there is a signature: DKIM, ARC or `DomainKeys`.
    pub is_signed: bool,
    /// Whether one of the signatures covers only the beginning of the body (`l=`, RFC 6376 §3.5).
    pub is_signed_in_part: bool,
    /// Whether the parts are not certain: a multipart has no boundary, Postfix sees another boundary than mail readers do, or
    /// Postfix reads the part as a message and mail readers do not.
    pub is_odd: bool,
    /// Whether the parts are not certain, and Postfix sees some.
    pub is_torn: bool,
}

/// The boundary of a multipart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// The text as mail readers see it.
    pub text: Vec<u8>,
    /// The text as Postfix sees it. It is shorter if the boundary is not quoted and has a special (`----=_Part`).
    pub seen: Vec<u8>,
}

/// Why the bytes of a part must not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// A signature in its header, over all that is in it.
    Whole,
    /// A signature after its first part, over that part (RFC 1847 §2.1).
    FirstPart,
    /// The decoded content of each leaf is encrypted or signed, in any Content-Transfer-Encoding.
    Content,
    /// It is not certain what is protected.
    Unknown,
}

impl Info {
    /// Reads a header section.
    #[must_use]
    pub fn of(section: &[u8], default: &str) -> Self {
        let mut info = Self { kind: default.to_owned(), ..Self::default() };
        for field in split_fields(section) {
            let (name, value) = split_field(field);
            match name.to_ascii_lowercase().as_slice() {
                // Postfix uses the last type, but every boundary.
                b"content-type" => info.set_type(&cleaned(value)),
                b"content-transfer-encoding" => info.set_encoding(&cleaned(value)),
                b"dkim-signature" | b"arc-seal" | b"domainkey-signature" => {
                    info.is_signed = true;
                    info.is_signed_in_part |=
                        TagList::parse(value).is_ok_and(|tags| tags.get("l").is_some());
                }
                _ => {}
            }
        }
        info
    }

    fn set_encoding(&mut self, value: &[u8]) {
        let token = Token::first(value, SPECIALS).map(|(token, _)| token);
        self.says_eight_bit |=
            token.as_ref().is_some_and(|token| token.is_atom("8bit") || token.is_atom("binary"));
        self.encoding = lower(&[&token.map(Token::text).unwrap_or_default()]);
    }

    fn set_type(&mut self, value: &[u8]) {
        let mut stretches = stretches(value);
        let is_message = self.is_message();
        // A comment could be after any parameter.
        self.takes_charset =
            !self.is_typed && !value.contains(&b'(') && parameter(value, b"charset").is_none();
        self.is_typed = true;
        self.kind = match stretches.next().unwrap_or_default().as_slice() {
            [
                Token::Atom(kind),
                Token::Special(b'/'),
                Token::Atom(subtype) | Token::Quoted(subtype),
            ] => lower(&[kind, b"/", subtype]),
            [Token::Atom(kind), ..] => lower(&[kind, b"/"]),
            _ => String::new(),
        };
        // In a digest, Postfix reads a part as a message even if it names another type, except for text.
        self.is_odd = is_message && self.is_leaf() && !self.kind.starts_with("text/");
        if !self.is_multipart() {
            return;
        }
        let boundary = |tokens: Vec<Token>| match <[Token; 3]>::try_from(tokens) {
            Ok([name, Token::Special(b'='), text]) if name.is_atom("boundary") => Some(text.text()),
            _ => None,
        };
        let mut seen = stretches.filter_map(boundary);
        let first = seen.next();
        let has_subtype = self.kind.len() > "multipart/".len();
        let text = parameter(value, b"boundary").filter(|text| {
            let begins = |first: &Vec<u8>| !first.is_empty() && text.starts_with(first);
            has_subtype
                && first.as_ref().is_some_and(begins)
                && seen.all(|other| first.as_ref() == Some(&other))
        });
        let Some((text, seen)) = text.zip(first.as_ref()) else {
            self.is_odd = true;
            self.is_torn |= first.is_some();
            return;
        };
        // Only the first piece of a line is examined.
        let [text, seen] =
            [&text, seen].map(|text| text.get(..LINE_PIECE).unwrap_or(text).to_vec());
        if self.boundaries.len() < MOST_OPEN {
            self.boundaries.push(Boundary { text, seen });
        }
    }

    /// Whether the type is multipart.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.kind.starts_with("multipart/")
    }

    /// Whether the type is that of an enclosed message.
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.kind == "message/rfc822" || self.kind == "message/global"
    }

    /// Why the bytes of the part must not be changed: it is signed or encrypted, or its parts are not certain.
    #[must_use]
    pub fn seal(&self) -> Option<Seal> {
        let kind = self.kind.as_str();
        if self.is_odd || self.is_signed_in_part {
            Some(Seal::Unknown)
        } else if kind == "multipart/signed" {
            Some(Seal::FirstPart)
        } else if self.is_signed {
            Some(Seal::Whole)
        } else if kind == "multipart/encrypted"
            || kind.starts_with("application/pkcs7-")
            || kind.starts_with("application/x-pkcs7-")
        {
            Some(Seal::Content)
        } else {
            None
        }
    }

    /// Whether the part has a body of its own, which may be encoded.
    #[must_use]
    pub fn is_leaf(&self) -> bool {
        !self.is_multipart() && !self.kind.starts_with("message/")
    }
}

/// The beginning of a text, in lower case. All names that matter are shorter.
fn lower(text: &[&[u8]]) -> String {
    let bytes = text.iter().copied().flatten().take(LONGEST_NAME);
    bytes.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
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
            ("multipart/mixed; boundary=\"\"", "multipart/mixed", true),
            ("multipart/mixed", "multipart/mixed", true),
            ("\"multipart\"/mixed; boundary=b", "", false),
            ("text/plain (x); charset=y", "text/plain", false),
        ] {
            let info = Info::of(format!("Content-Type: {value}\n").as_bytes(), "text/plain");
            assert_eq!((info.kind.as_str(), info.is_odd), (kind, is_odd), "{value}");
            // If an odd type names a boundary, Postfix sees parts.
            assert_eq!(info.is_torn, is_odd && value.contains('='), "{value}");
        }
    }

    #[test]
    fn in_a_digest_postfix_reads_a_part_as_a_message_unless_it_is_text() {
        for (kind, is_odd) in
            [("application/pdf", true), ("text/html", false), ("message/rfc822", false)]
        {
            let section = format!("Content-Type: {kind}\n");
            assert_eq!(Info::of(section.as_bytes(), "message/rfc822").is_odd, is_odd, "{kind}");
            assert!(!Info::of(section.as_bytes(), "text/plain").is_odd, "{kind}");
        }
    }
}
