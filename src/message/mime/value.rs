//! The values of MIME fields (RFC 2045 §5.1): a type or an encoding, and parameters behind it.

use crate::message::syntax::{self, comment};

/// What Postfix's parser makes of a value (`header_token`): comments and blanks are nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Token(Vec<u8>),
    Quoted(Vec<u8>),
    /// A special or a control character.
    Other(u8),
}

/// Specials of RFC 822, which Postfix goes by in Content-Transfer-Encoding, and those of RFC 2045.
const SPECIALS: &[u8] = b"()<>@,;:\\\".[]";
const TSPECIALS: &[u8] = b"()<>@,;:\\\"/[]?=";

impl Piece {
    /// The first piece and what stands behind it.
    fn first<'a>(value: &'a [u8], specials: &[u8]) -> Option<(Self, &'a [u8])> {
        let mut rest = value;
        loop {
            let (first, after) = rest.split_first()?;
            match first {
                b' ' | b'\t' | b'\n' | b'\r' => rest = after,
                b'(' => rest = rest.get(comment(rest)?..)?,
                b'"' => {
                    let (content, after) = syntax::value(rest);
                    return Some((Self::Quoted(content), after));
                }
                other if other.is_ascii_control() || specials.contains(other) => {
                    return Some((Self::Other(*other), after));
                }
                _ => {
                    let ends = |octet: &u8| {
                        *octet == b' ' || octet.is_ascii_control() || specials.contains(octet)
                    };
                    let end = rest.iter().position(ends).unwrap_or(rest.len());
                    let (token, after) = rest.split_at_checked(end)?;
                    return Some((Self::Token(token.to_vec()), after));
                }
            }
        }
    }

    /// The text, whatever it is; Postfix asks for no more of a boundary.
    pub(super) fn text(self) -> Vec<u8> {
        match self {
            Self::Token(text) | Self::Quoted(text) => text,
            Self::Other(octet) => vec![octet],
        }
    }

    pub(super) fn is_token(&self, wanted: &str) -> bool {
        matches!(self, Self::Token(text) if text.eq_ignore_ascii_case(wanted.as_bytes()))
    }
}

/// An encoding as Postfix reads it: the first piece.
pub(super) fn encoding(value: &[u8]) -> Option<Piece> {
    Some(Piece::first(value, SPECIALS)?.0)
}

/// A Content-Type as Postfix reads it: of all that stands between semicolons, the first three pieces.
pub(super) fn stretches(value: &[u8]) -> impl Iterator<Item = Vec<Piece>> {
    let mut left = Some(value);
    std::iter::from_fn(move || {
        let mut rest = left.take()?;
        let mut stretch = Vec::new();
        while let Some((piece, after)) = Piece::first(rest, TSPECIALS) {
            rest = after;
            if piece == Piece::Other(b';') {
                left = Some(rest);
                break;
            }
            if stretch.len() < 3 {
                stretch.push(piece);
            }
        }
        Some(stretch)
    })
}
