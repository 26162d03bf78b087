//! The tokens of an address field (RFC 5322 §3.2, with Postfix's operators `|`, `%` and `!`).

use std::fmt;

use crate::message::limits::MOST_TOKENS;
use crate::message::syntax::{comment, domain_literal, has_odd_whitespace, is_fws, quoted_string};

/// Why it is not certain what Postfix does with an address field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstable {
    /// An unterminated quoted string, comment or domain literal, or an unbalanced bracket.
    Unbalanced,
    /// More addresses than Postfix examines (`header_address_token_limit`).
    TooMany,
    /// A form that Postfix may rewrite: comments inside, `%`, `!`, adjacent words with dots.
    Unusual,
    /// An address without a domain, and no `origin` is configured.
    NoOrigin,
    /// A vertical tab or a form feed, which verifiers treat differently.
    OddBlank,
    /// A display name that some programs take for an address: it has an address inside an encoded-word, or a word between commas
    /// after one.
    Name,
    /// A line that is too long and cannot be folded, or a field that is too long.
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
    /// `(…)`, which may be nested.
    Comment,
    Special(u8),
}

impl Token {
    /// Whether the token is one of these specials.
    pub(in crate::message) fn is(&self, specials: &[u8]) -> bool {
        matches!(self.kind, Kind::Special(special) if specials.contains(&special))
    }

    /// Whether the token is an operator that joins words to one address.
    pub(super) fn joins(&self) -> bool {
        self.is(b"@.%!|")
    }

    /// The bytes of the token in the value that it was found in.
    pub(in crate::message) fn text<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        value.get(self.from..self.to).unwrap_or_default()
    }
}

const SPECIALS: &[u8] = b"()<>@,;:\\\".[]|%!";

/// All tokens of `value`, in order.
pub(in crate::message) fn tokens(value: &[u8]) -> Result<Vec<Token>, Unstable> {
    if has_odd_whitespace(value) {
        return Err(Unstable::OddBlank);
    }
    let ends_atom = |byte: &u8| SPECIALS.contains(byte) || is_fws(*byte);
    let mut tokens = Vec::new();
    let mut from = 0;
    while let Some(byte) = value.get(from) {
        let rest = value.get(from..).unwrap_or_default();
        let (kind, length) = match byte {
            fws if is_fws(*fws) => {
                from = from.saturating_add(1);
                continue;
            }
            b'"' => (Kind::Quoted, quoted_string(rest).ok_or(Unstable::Unbalanced)?),
            b'[' => (Kind::Literal, domain_literal(rest).ok_or(Unstable::Unbalanced)?),
            b'(' => (Kind::Comment, comment(rest).ok_or(Unstable::Unbalanced)?),
            // RFC 5322 does not allow a backslash outside quotes.
            b'\\' => return Err(Unstable::Unusual),
            special if SPECIALS.contains(special) => (Kind::Special(*special), 1),
            _ => (Kind::Atom, rest.iter().position(ends_atom).unwrap_or(rest.len())),
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
