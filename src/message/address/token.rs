//! The tokens of an address field (RFC 5322 §3.2, with Postfix's operators `|`, `%` and `!`).

use super::Unstable;

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

/// Postfix stops after `header_address_token_limit` (10240) tokens; we stay below what it counts.
const MOST: usize = 10_000;

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
            b'"' => (Kind::Quoted, enclosed(rest, None, b'"')?),
            b'[' => (Kind::Literal, enclosed(rest, None, b']')?),
            b'(' => (Kind::Comment, enclosed(rest, Some(b'('), b')')?),
            // A backslash outside quotes is no syntax of RFC 5322.
            b'\\' => return Err(Unstable::Unusual),
            special if SPECIALS.contains(special) => (Kind::Special(*special), 1),
            _ => (Kind::Atom, rest.iter().take_while(|octet| is_atom(**octet)).count()),
        };
        let to = from.saturating_add(length.max(1));
        tokens.push(Token { kind, from, to });
        if tokens.len() > MOST {
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

/// A vertical tab or a form feed: a blank to some verifiers, a character to others (§3.4.2 names neither).
pub(in crate::message) fn has_odd_blank(octets: &[u8]) -> bool {
    octets.iter().any(|octet| matches!(octet, 0x0b | 0x0c))
}

fn is_atom(octet: u8) -> bool {
    !SPECIALS.contains(&octet) && !matches!(octet, b' ' | b'\t' | b'\n' | b'\r')
}

/// Length of what begins at the first octet and ends with its partner; `open` may nest.
fn enclosed(octets: &[u8], open: Option<u8>, close: u8) -> Result<usize, Unstable> {
    let mut depth: usize = 1;
    let mut escaped = false;
    for (index, octet) in octets.iter().enumerate().skip(1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            octet if *octet == close => depth = depth.saturating_sub(1),
            octet if Some(*octet) == open => depth = depth.saturating_add(1),
            _ => {}
        }
        if depth == 0 {
            return Ok(index.saturating_add(1));
        }
    }
    Err(Unstable::Unbalanced)
}
