//! The tokens of an address field (RFC 5322 §3.2, with Postfix's operators `|`, `%` and `!`).

use std::fmt;

use crate::message::limits::MOST_TOKENS;
use crate::message::syntax::{comment, domain_literal, has_odd_blank, is_fws, quoted_string};

/// Why the fate of an address is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstable {
    /// A quoted string, comment or domain literal without an end, or an unbalanced bracket.
    Unbalanced,
    /// More addresses than Postfix looks at (`header_address_token_limit`).
    TooMany,
    /// A form that Postfix takes apart: comments inside, `%`, `!`, words side by side with dots.
    Unusual,
    /// No domain, and no `origin` is configured.
    NoOrigin,
    /// A vertical tab or a form feed, which verifiers take differently.
    OddBlank,
    /// Programs differ on what is a display name and what an address: an address inside an encoded-word, or a word
    /// between commas after one.
    Name,
    /// A line that is too long and can't be folded, or a field that is too long.
    Long,
}

impl fmt::Display for Unstable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unbalanced => "an unmatched quote or an unbalanced bracket",
            Self::TooMany => "too many addresses",
            Self::Unusual => "an address of a form that Postfix may rewrite",
            Self::NoOrigin => "an address without a domain, and no origin in config.toml",
            Self::OddBlank => "a vertical tab or a form feed",
            Self::Name => "a display name that may be taken for an address",
            Self::Long => "too long to be sent unchanged",
        })
    }
}

/// A token and its place in the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::message) struct Token {
    pub(in crate::message) kind: Kind,
    pub(in crate::message) from: usize,
    pub(in crate::message) to: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::message) enum Kind {
    Atom,
    /// `"…"`, quotes included.
    Quoted,
    /// `[…]`
    Literal,
    /// `(…)`, which may hold others.
    Comment,
    Special(u8),
}

impl Token {
    /// Whether it is an operator that joins words to one address.
    pub(super) fn joins(&self) -> bool {
        matches!(self.kind, Kind::Special(b'@' | b'.' | b'%' | b'!' | b'|'))
    }
}

const SPECIALS: &[u8] = b"()<>@,;:\\\".[]|%!";

/// All tokens of `value`, in order.
pub(in crate::message) fn tokens(value: &[u8]) -> Result<Vec<Token>, Unstable> {
    if has_odd_blank(value) {
        return Err(Unstable::OddBlank);
    }
    let mut tokens = Vec::new();
    let mut from = 0;
    while let Some(byte) = value.get(from) {
        let rest = value.get(from..).unwrap_or_default();
        let (kind, length) = match byte {
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
            _ => (Kind::Atom, rest.iter().take_while(|byte| is_atom(**byte)).count()),
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

fn is_atom(byte: u8) -> bool {
    !SPECIALS.contains(&byte) && !is_fws(byte)
}
