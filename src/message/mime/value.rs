//! The values of MIME fields (RFC 2045 §5.1) as Postfix's parser reads them (`header_token`).

use std::iter;

use crate::message::syntax::{comment, is_fws, value};

/// A token as Postfix reads it. Comments and whitespace are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Atom(Vec<u8>),
    Quoted(Vec<u8>),
    /// A special or a control character.
    Special(u8),
}

/// The specials of RFC 822. Postfix uses them for Content-Transfer-Encoding.
pub(super) const SPECIALS: &[u8] = b"()<>@,;:\\\".[]";

/// The tspecials of RFC 2045. Postfix uses them for Content-Type.
const TSPECIALS: &[u8] = b"()<>@,;:\\\"/[]?=";

impl Token {
    /// The first token, and the text after it.
    pub(super) fn first<'a>(mut text: &'a [u8], specials: &[u8]) -> Option<(Self, &'a [u8])> {
        let ends = |byte: &u8| *byte == b' ' || byte.is_ascii_control() || specials.contains(byte);
        loop {
            let (first, after) = text.split_first()?;
            match first {
                byte if is_fws(*byte) => text = after,
                b'(' => text = text.get(comment(text)?..)?,
                b'"' => {
                    let (content, after) = value(text);
                    return Some((Self::Quoted(content), after));
                }
                byte if ends(byte) => return Some((Self::Special(*byte), after)),
                _ => {
                    let (atom, after) =
                        text.split_at(text.iter().position(ends).unwrap_or(text.len()));
                    return Some((Self::Atom(atom.to_vec()), after));
                }
            }
        }
    }

    /// The text of any kind of token: Postfix treats all kinds the same in a boundary.
    pub(super) fn text(self) -> Vec<u8> {
        match self {
            Self::Atom(text) | Self::Quoted(text) => text,
            Self::Special(byte) => vec![byte],
        }
    }

    pub(super) fn is_atom(&self, atom: &str) -> bool {
        matches!(self, Self::Atom(text) if text.eq_ignore_ascii_case(atom.as_bytes()))
    }
}

/// Splits a Content-Type at its semicolons; returns the first three tokens of each piece.
pub(super) fn stretches(value: &[u8]) -> impl Iterator<Item = Vec<Token>> {
    let mut left = Some(value);
    iter::from_fn(move || {
        let mut rest = left.take()?;
        let mut stretch = Vec::new();
        while let Some((token, after)) = Token::first(rest, TSPECIALS) {
            rest = after;
            if token == Token::Special(b';') {
                left = Some(rest);
                break;
            }
            if stretch.len() < 3 {
                stretch.push(token);
            }
        }
        Some(stretch)
    })
}
