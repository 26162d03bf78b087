//! The tokens of an address field (RFC 5322 §3.2, with Postfix's operators `|`, `%` and `!`).

use super::Unstable;
use crate::message::limits::MOST_TOKENS;
use crate::message::syntax::{comment, domain_literal, has_odd_blank, is_fws, quoted_string};

/// A token and where it stands in the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) from: usize,
    pub(super) to: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Atom,
    /// `"…"`, quotes included.
    Quoted,
    /// `[…]`
    Literal,
    /// `(…)`, which may hold others.
    Comment,
    Special(u8),
}

const SPECIALS: &[u8] = b"()<>@,;:\\\".[]|%!";

/// All tokens of `value`, in order.
pub(super) fn scan(value: &[u8]) -> Result<Vec<Token>, Unstable> {
    if has_odd_blank(value) {
        return Err(Unstable::OddBlank);
    }
    let mut tokens = Vec::new();
    let mut from = 0;
    while let Some(octet) = value.get(from) {
        let rest = value.get(from..).unwrap_or_default();
        let (kind, length) = match octet {
            b' ' | b'\t' | b'\n' | b'\r' => {
                from = from.saturating_add(1);
                continue;
            }
            b'"' => (Kind::Quoted, quoted_string(rest).ok_or(Unstable::Unbalanced)?),
            b'[' => (Kind::Literal, domain_literal(rest).ok_or(Unstable::Unbalanced)?),
            b'(' => (Kind::Comment, comment(rest).ok_or(Unstable::Unbalanced)?),
            // A backslash outside quotes is no syntax of RFC 5322.
            b'\\' => return Err(Unstable::Unusual),
            special if SPECIALS.contains(special) => (Kind::Special(*special), 1),
            _ => (Kind::Atom, rest.iter().take_while(|octet| is_atom(**octet)).count()),
        };
        let to = from.saturating_add(length.max(1));
        tokens.push(Token { kind, from, to });
        if tokens.len() > MOST_TOKENS {
            return Err(Unstable::TooMany);
        }
        from = to;
    }
    Ok(tokens)
}

/// The places of the comments among the tokens.
pub(super) fn comments(tokens: &[Token]) -> impl Iterator<Item = (usize, usize)> {
    let comments = tokens.iter().filter(|token| token.kind == Kind::Comment);
    comments.map(|token| (token.from, token.to))
}

fn is_atom(octet: u8) -> bool {
    !SPECIALS.contains(&octet) && !is_fws(octet)
}
