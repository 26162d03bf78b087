//! Addresses in header fields, found and judged as Postfix does it (tok822(3), `rewrite_tree`), so that
//! nothing is left that it would rewrite: it writes a field anew as soon as one address in it changes.
//!
//! What is not a fixed point of Postfix's rewriting is mended in the text, the rest left as typed; what
//! can't be mended with certainty is said to be unstable, and must not be signed.

mod list;
mod token;

use crate::dkim::Domain;
pub use list::{Address, Addresses, addresses};
use token::{Kind, Token};

/// How the host completes an address (Postfix: `myorigin`, `append_dot_mydomain`, `mydomain`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Goes behind an address without a domain.
    pub origin: Option<Domain>,
    /// Goes behind a domain without a dot, where `append_dot_mydomain` is on.
    pub dot_domain: Option<Domain>,
}

/// Whether an unquoted comma or dot may be part of the display name before the only `<address>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phrases {
    /// `Company, Inc. <info@e.com>` is meant as one mailbox (From, Sender, Reply-To).
    Mend,
    /// A word before a comma is a recipient.
    Keep,
}

/// What Postfix makes of the addresses of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing: the value goes out as it is.
    AsIs,
    /// Nothing, once the value is this one.
    Mended(Vec<u8>),
    /// Something that is not foreseen here.
    Unstable(Unstable),
}

/// Why the fate of an address is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstable {
    /// A quoted string, comment or domain literal has no end, or a bracket no partner.
    Unbalanced,
    /// More addresses than Postfix looks at (`header_address_token_limit`).
    TooMany,
    /// A form that Postfix takes apart: comments inside, `%`, `!`, words side by side with dots.
    Unusual,
    /// No domain, and no `origin` is configured.
    NoOrigin,
    /// A vertical tab or a form feed, which verifiers take differently.
    OddBlank,
}

impl std::fmt::Display for Unstable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unbalanced => "a quote or bracket has no partner",
            Self::TooMany => "too many addresses",
            Self::Unusual => "an address of a form that Postfix rewrites",
            Self::NoOrigin => "an address without a domain, and no origin in config.toml",
            Self::OddBlank => "a vertical tab or a form feed",
        })
    }
}

/// Mends the value of an address field (what stands behind the colon) so that Postfix will not.
///
/// ```
/// use sendmail_dkim::message::address::{Completion, Phrases, Settled, settle};
/// let host = Completion { origin: sendmail_dkim::dkim::Domain::parse("web.example").ok(), dot_domain: None };
/// let settled = settle(b" root (Cron Daemon)\n", &host, Phrases::Mend);
/// assert_eq!(settled, Settled::Mended(b" root@web.example (Cron Daemon)\n".to_vec()));
/// ```
#[must_use]
pub fn settle(value: &[u8], completion: &Completion, phrases: Phrases) -> Settled {
    let mended = match phrases {
        Phrases::Mend => quote_phrase(value),
        Phrases::Keep => None,
    };
    let text = mended.as_deref().unwrap_or(value);
    let edits = match edits(text, completion) {
        Ok(edits) => edits,
        Err(why) => return Settled::Unstable(why),
    };
    if edits.is_empty() {
        return mended.map_or(Settled::AsIs, Settled::Mended);
    }
    let text = apply(text, &edits);
    // The proof that the mended text is a fixed point: nothing more is found to mend.
    match self::edits(&text, completion) {
        Ok(none) if none.is_empty() => Settled::Mended(text),
        Ok(_) => Settled::Unstable(Unstable::Unusual),
        Err(why) => Settled::Unstable(why),
    }
}

/// Octets `from..to` of a value to be replaced.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) text: Vec<u8>,
}

fn edits(value: &[u8], completion: &Completion) -> Result<Vec<Edit>, Unstable> {
    let mut edits = Vec::new();
    let addresses = addresses(value)?;
    for address in addresses.iter() {
        address?.settle(value, completion, &mut edits)?;
    }
    // Quotes may be all that keeps the two apart, and what goes behind the one would join the other.
    if !edits.is_empty() && addresses.abut() {
        return Err(Unstable::Unusual);
    }
    Ok(edits)
}

/// The places of the comments of any structured value, parentheses included.
pub(super) fn comments(value: &[u8]) -> Result<Vec<(usize, usize)>, Unstable> {
    Ok(token::comments(&token::scan(value)?).collect())
}

/// The value with all edits made, in whatever order they come; no two overlap.
pub(super) fn apply(value: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| edit.from);
    let mut text = Vec::with_capacity(value.len().saturating_add(64));
    let mut done = 0;
    for edit in edits {
        text.extend_from_slice(value.get(done..edit.from).unwrap_or_default());
        text.extend_from_slice(&edit.text);
        done = edit.to;
    }
    text.extend_from_slice(value.get(done..).unwrap_or_default());
    text
}

/// Quotes the display name of the one `<address>` at the end of a value, where it holds a comma or a
/// colon that would make Postfix see more than one address, or a dot: RFC 5322 §3.2.5 wants it quoted,
/// Postfix takes it either way, and Sendmail puts the quotes there itself.
fn quote_phrase(value: &[u8]) -> Option<Vec<u8>> {
    let tokens = token::scan(value).ok()?;
    let last = tokens.iter().rposition(|token| token.kind != Kind::Comment)?;
    let open = tokens.iter().position(|token| token.kind == Kind::Special(b'<'))?;
    let brackets = tokens.iter().filter(|token| matches!(token.kind, Kind::Special(b'<' | b'>')));
    let phrase = tokens.get(..open)?;
    let separates = |token: &Token| matches!(token.kind, Kind::Special(b',' | b':' | b';'));
    let is_dotted = phrase.iter().any(|token| token.kind == Kind::Special(b'.'))
        && phrase.iter().all(|token| token.kind != Kind::Comment);
    let is_list = phrase.iter().any(|token| token.kind == Kind::Special(b'@'));
    if tokens.get(last)?.kind != Kind::Special(b'>')
        || brackets.count() != 2
        || is_list
        || !(phrase.iter().any(separates) || is_dotted)
    {
        return None;
    }
    let (from, to) = (phrase.first()?.from, phrase.last()?.to);
    let words = value.get(from..to)?;
    // An encoded word inside quotes would no longer be one (RFC 2047 §5).
    if words.windows(2).any(|pair| pair == b"=?") {
        return None;
    }
    let mut quoted = vec![b'"'];
    for octet in words {
        match octet {
            b'"' | b'\n' => {}
            b'\\' => quoted.extend_from_slice(b"\\\\"),
            _ => quoted.push(*octet),
        }
    }
    quoted.push(b'"');
    Some(apply(value, &[Edit { from, to, text: quoted }]))
}

/// Octets that make Postfix quote a local part; a dot does so at an end or beside another.
fn must_quote(local: &[u8]) -> bool {
    local.is_empty()
        || local.starts_with(b".")
        || local.ends_with(b".")
        || local.windows(2).any(|pair| pair == b"..")
        || local
            .iter()
            .any(|octet| *octet <= b' ' || *octet == 127 || b"()<>@,;:\\\"[]".contains(octet))
}

impl Address<'_> {
    /// The edits that make a fixed point of this address.
    fn settle(
        &self,
        value: &[u8],
        completion: &Completion,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Unstable> {
        let is_nothing = self.local.is_empty() && self.domain.is_empty();
        if is_nothing && !self.has_at && self.route.is_none() {
            return Ok(()); // `<>`
        }
        if let Some((from, to)) = self.route {
            edits.push(Edit { from, to, text: Vec::new() });
        }
        self.settle_local(value, edits)?;
        let Some(end) = self.local.last().map(|token| token.to) else {
            return Err(Unstable::Unusual);
        };
        if !self.has_at {
            if self.local.iter().any(|token| matches!(token.kind, Kind::Special(b'!' | b'%'))) {
                return self.turn_around(value, edits);
            }
            let origin = completion.origin.as_ref().ok_or(Unstable::NoOrigin)?;
            let text = format!("@{}", origin.as_str()).into_bytes();
            edits.push(Edit { from: end, to: end, text });
            return Ok(());
        }
        self.settle_domain(completion, edits)
    }

    /// `host!user` → `user@host` (`swap_bangpath`), else `user%host` → `user@host`
    /// (`allow_percent_hack`). What comes of it is looked at once more.
    fn turn_around(&self, value: &[u8], edits: &mut Vec<Edit>) -> Result<(), Unstable> {
        let (Some(first), Some(last)) = (self.local.first(), self.local.last()) else {
            return Err(Unstable::Unusual);
        };
        let (from, to) = (first.from, last.to);
        let typed = value.get(from..to).ok_or(Unstable::Unusual)?;
        let split = |at: Option<usize>| {
            let (left, right) = typed.split_at_checked(at?)?;
            Some((left, right.get(1..)?))
        };
        let bang = split(typed.iter().position(|octet| *octet == b'!'));
        let percent = split(typed.iter().rposition(|octet| *octet == b'%'));
        let ((Some((host, user)), _) | (None, Some((user, host)))) = (bang, percent) else {
            return Err(Unstable::Unusual);
        };
        if user.is_empty() || host.is_empty() {
            return Err(Unstable::Unusual);
        }
        // A local part that has to be quoted is the next look's matter, and too much for it.
        while edits.last().is_some_and(|edit| edit.from >= from && edit.to <= to) {
            edits.pop();
        }
        edits.push(Edit { from, to, text: [user, b"@", host].concat() });
        Ok(())
    }

    fn settle_local(&self, value: &[u8], edits: &mut Vec<Edit>) -> Result<(), Unstable> {
        let (Some(first), Some(last)) = (self.local.first(), self.local.last()) else {
            return Err(Unstable::Unusual);
        };
        let (from, to) = (first.from, last.to);
        let text = value.get(from..to).ok_or(Unstable::Unusual)?;
        if let ([_], Kind::Quoted) = (self.local, first.kind) {
            let inner = text.get(1..text.len().saturating_sub(1)).ok_or(Unstable::Unusual)?;
            if inner.iter().any(|octet| matches!(octet, b'\\' | b'\n')) {
                return Err(Unstable::Unusual);
            }
            if !must_quote(inner) {
                edits.push(Edit { from, to, text: inner.to_vec() });
            }
            return Ok(());
        }
        let adjacent = self.local.windows(2).all(|pair| match pair {
            [left, right] => left.to == right.from,
            _ => true,
        });
        let plain = self.local.iter().all(|token| {
            matches!(token.kind, Kind::Atom | Kind::Special(b'.' | b'%' | b'!' | b'|'))
        });
        if !adjacent || !plain {
            return Err(Unstable::Unusual);
        }
        if must_quote(text) {
            let quoted = [b"\"", text, b"\""].concat();
            edits.push(Edit { from, to, text: quoted });
        }
        Ok(())
    }

    fn settle_domain(
        &self,
        completion: &Completion,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Unstable> {
        if let [only] = self.domain
            && only.kind == Kind::Literal
        {
            return Ok(());
        }
        let (labels, dot) = match self.domain.split_last() {
            Some((last, labels)) if last.kind == Kind::Special(b'.') => (labels, Some(last)),
            _ => (self.domain, None),
        };
        let alternate = labels.iter().enumerate().all(|(index, token)| {
            token.kind == if index % 2 == 0 { Kind::Atom } else { Kind::Special(b'.') }
        });
        let Some(last) = labels.last().filter(|last| alternate && last.kind == Kind::Atom) else {
            return Err(Unstable::Unusual);
        };
        if let Some(dot) = dot {
            edits.push(Edit { from: dot.from, to: dot.to, text: Vec::new() });
        }
        if labels.len() == 1
            && let Some(domain) = &completion.dot_domain
        {
            let text = format!(".{}", domain.as_str()).into_bytes();
            edits.push(Edit { from: last.to, to: last.to, text });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Completion {
        Completion { origin: Some(Domain::parse("myorigin.example").unwrap()), dot_domain: None }
    }

    fn settled_by(completion: &Completion, value: &str, phrases: Phrases) -> String {
        match settle(value.as_bytes(), completion, phrases) {
            Settled::AsIs => value.into(),
            Settled::Mended(text) => String::from_utf8(text).unwrap(),
            Settled::Unstable(why) => format!("{why:?}"),
        }
    }

    fn settled(value: &str) -> String {
        settled_by(&host(), value, Phrases::Mend)
    }

    #[test]
    fn what_postfix_leaves_alone_is_left_alone() {
        for value in [
            "user@example.com",
            "<u@e.com>",
            "Name <u@e.com>",
            "\"User, Name\" <u@e.com>",
            "u@e.com (Name)",
            "  u@e.com  ",
            "info@e.com <info@e.com>",
            "Foo [Bar] <f@e.com>",
            "\"john doe\"@e.com",
            "user @ e.com",
            "user%x@e.com",
            "u@[192.0.2.1]",
            "u@b\u{fc}cher.example",
            "o'brien@e.com",
            "a@e.com, b@e.com",
            "",
            "<>",
            "undisclosed-recipients:;",
            "Friends: a@e.com, B <b@e.com>;",
            "a@e.com;b@e.com",
            "a@e.com b@e.com",
            "a@e.com\"b c\"@e.com",
            "root@localhost",
            "a@e.com,\n\tb@e.com\n",
        ] {
            assert_eq!(settled(value), value);
        }
    }

    #[test]
    fn a_bare_address_gets_the_origin() {
        for (value, wanted) in [
            ("root", "root@myorigin.example"),
            ("root (Cron Daemon)", "root@myorigin.example (Cron Daemon)"),
            ("\"(Cron Daemon)\" <root>", "\"(Cron Daemon)\" <root@myorigin.example>"),
            ("a, b@e.com", "a@myorigin.example, b@e.com"),
            ("Team: a, b;", "Team: a@myorigin.example, b@myorigin.example;"),
            ("\"john doe\"", "\"john doe\"@myorigin.example"),
            ("John Doe", "John@myorigin.example Doe@myorigin.example"),
        ] {
            assert_eq!(settled(value), wanted);
        }
    }

    #[test]
    fn without_an_origin_a_bare_address_is_unstable() {
        let nobody = Completion::default();
        assert_eq!(settled_by(&nobody, "root", Phrases::Mend), "NoOrigin");
        assert_eq!(settled_by(&nobody, "root@e.com", Phrases::Mend), "root@e.com");
    }

    #[test]
    fn a_display_name_with_a_comma_or_colon_is_quoted() {
        for (value, wanted) in [
            ("Company, Inc. <info@e.com>", "\"Company, Inc.\" <info@e.com>"),
            ("Foo: Bar <f@e.com>", "\"Foo: Bar\" <f@e.com>"),
            (" A, \"B\" C\n <f@e.com> (x)\n", " \"A, B C\"\n <f@e.com> (x)\n"),
            ("Company, Inc. <info>", "\"Company, Inc.\" <info@myorigin.example>"),
        ] {
            assert_eq!(settled(value), wanted);
        }
    }

    #[test]
    fn a_display_name_with_a_dot_is_quoted() {
        for (value, wanted) in [
            ("Sample.com <info@e.com>", "\"Sample.com\" <info@e.com>"),
            ("\"Joe\" Q. Public <j@e.com>", "\"Joe Q. Public\" <j@e.com>"),
            ("\"Sample.com\" <info@e.com>", "\"Sample.com\" <info@e.com>"),
            // Inside quotes these would be another thing.
            ("Dr. =?utf-8?q?=C3=9C?= <u@e.com>", "Dr. =?utf-8?q?=C3=9C?= <u@e.com>"),
            ("J. Doe (x) <j@e.com>", "J. Doe (x) <j@e.com>"),
        ] {
            assert_eq!(settled(value), wanted);
        }
        let value = "Johnny B. Goode <jb@e.com>";
        assert_eq!(settled_by(&host(), value, Phrases::Keep), value);
    }

    #[test]
    fn a_word_before_a_comma_is_a_recipient_in_a_destination_field() {
        let value = "root, Joe <joe@e.com>";
        let wanted = "root@myorigin.example, Joe <joe@e.com>";
        assert_eq!(settled_by(&host(), value, Phrases::Keep), wanted);
        assert_eq!(settled("a@e.com, Joe <joe@e.com>"), "a@e.com, Joe <joe@e.com>");
    }

    #[test]
    fn quotes_are_there_where_needed_and_nowhere_else() {
        for (value, wanted) in [
            ("\"john.doe\"@e.com", "john.doe@e.com"),
            ("john..doe@e.com", "\"john..doe\"@e.com"),
            ("john.@e.com", "\"john.\"@e.com"),
            (".john@e.com", "\".john\"@e.com"),
        ] {
            assert_eq!(settled(value), wanted);
        }
    }

    #[test]
    fn routes_and_trailing_dots_go() {
        assert_eq!(settled("user@e.com."), "user@e.com");
        assert_eq!(settled("<@r.example:u@e.com>"), "<u@e.com>");
        assert_eq!(settled("X <@a.example,@b.example: u@e.com>"), "X <u@e.com>");
    }

    #[test]
    fn bang_paths_and_percents_are_turned_around() {
        assert_eq!(settled("user%x.example"), "user@x.example");
        assert_eq!(settled("X <host!user>"), "X <user@host>");
        assert_eq!(settled("a!b!c, d%e%f"), "b!c@a, d%e@f");
        assert_eq!(settled("a!b%c"), "b%c@a");
        assert_eq!(settled("a!b@c.example"), "a!b@c.example");
    }

    #[test]
    fn a_domain_without_a_dot_gets_mydomain_where_that_is_on() {
        let completion =
            Completion { dot_domain: Some(Domain::parse("example.org").unwrap()), ..host() };
        for (value, wanted) in
            [("root@web01", "root@web01.example.org"), ("u@[192.0.2.1]", "u@[192.0.2.1]")]
        {
            assert_eq!(settled_by(&completion, value, Phrases::Mend), wanted);
        }
    }

    #[test]
    fn what_is_not_foreseen_is_unstable() {
        for value in [
            "%x",
            "a!",
            "\"open",
            "(open",
            "a@b@c",
            "u@(c)e.com",
            "<a@e.com",
            "a@e.com>",
            "a\\@b@e.com",
            "u@",
            "@e.com",
            "<@>",
            "x <@a.example:@>",
            "x <@a.example:>",
            "\"a\\\"b\"@e.com",
            "\"a\".b@e.com",
            "\"a\"b@e.com",
            "\"a\"b!c",
            "a@e.com\"b\"@e.com",
            "u@e..com",
            "=?utf-8?Q?M=C3=BCller?=, Hans: <h@e.com> x",
        ] {
            assert!(
                matches!(settle(value.as_bytes(), &host(), Phrases::Mend), Settled::Unstable(_)),
                "{value}: {}",
                settled(value)
            );
        }
    }

    #[test]
    fn more_addresses_than_postfix_looks_at_are_unstable() {
        let many = "user@example.com,".repeat(2_000);
        assert_eq!(settled(&many), "TooMany");
    }
}
