//! Addresses in header fields, parsed as Postfix does (tok822(3), `rewrite_tree`), and changed so that Postfix has nothing to
//! rewrite. Postfix rewrites the whole field as soon as one address in it changes.
//!
//! Only the parts of a field that Postfix would rewrite are changed; the rest stays as typed. A field whose rewriting cannot be
//! predicted is unstable and must not be signed.

mod list;
mod token;

use super::syntax::quoted;
use crate::dkim::Domain;
use list::joined;
pub use list::{Address, Addresses, addresses};
pub use token::Unstable;
pub(super) use token::{Kind, Token, tokens};

/// Fields in which Postfix completes addresses (`header_opts`), except for Resent-*, which are never signed.
pub(super) const ADDRESS_FIELDS: [&str; 12] = [
    "From",
    "Sender",
    "Reply-To",
    "Errors-To",
    "Return-Path",
    "Return-Receipt-To",
    "Disposition-Notification-To",
    "Mail-Followup-To",
    "To",
    "Cc",
    "Bcc",
    "Apparently-To",
];

/// Whether this is the name of a Resent field (RFC 5322 §3.6.6).
pub(super) fn is_resent(name: &[u8]) -> bool {
    name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"Resent-"))
}

/// How the host completes an address (Postfix: `myorigin`, `append_dot_mydomain`, `mydomain`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Appended to an address without a domain.
    pub origin: Option<Domain>,
    /// Appended to a domain without a dot, if `append_dot_mydomain` is on.
    pub dot_domain: Option<Domain>,
}

/// Whether an unquoted comma or dot may be part of the display name before the only `<address>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phrases {
    /// `Company, Inc. <info@e.com>` is meant as one mailbox (From, Sender, Reply-To).
    Quote,
    /// A word before a comma is a recipient.
    Keep,
}

/// Fixes the body of an address field so that Postfix has nothing to rewrite. `None` if nothing has to change.
///
/// # Errors
/// What Postfix would do cannot be predicted. The author of the field causes this error.
///
/// ```
/// use sendmail_dkim::message::address::{Completion, Phrases, fixed};
/// let host = Completion { origin: sendmail_dkim::dkim::Domain::parse("web.example").ok(), dot_domain: None };
/// let body = fixed(b" root (Cron Daemon)\n", &host, Phrases::Quote);
/// assert_eq!(body, Ok(Some(b" root@web.example (Cron Daemon)\n".to_vec())));
/// ```
pub fn fixed(
    body: &[u8],
    completion: &Completion,
    phrases: Phrases,
) -> Result<Option<Vec<u8>>, Unstable> {
    let quoted = if phrases == Phrases::Quote { quote_phrase(body) } else { None };
    let text = quoted.as_deref().unwrap_or(body);
    let edits = edits(text, completion)?;
    if edits.is_empty() {
        return Ok(quoted);
    }
    let text = apply(text, &edits);
    // Proves that the text is stable: there is nothing more to fix.
    if self::edits(&text, completion)?.is_empty() { Ok(Some(text)) } else { Err(Unstable::Unusual) }
}

/// A replacement for the bytes `from..to` of a text.
struct Edit {
    from: usize,
    to: usize,
    text: Vec<u8>,
}

/// The edits for all addresses, in the order of the text.
fn edits(body: &[u8], completion: &Completion) -> Result<Vec<Edit>, Unstable> {
    let mut edits = Vec::new();
    let addresses = addresses(body)?;
    for address in addresses.iter() {
        address?.fix(body, completion, &mut edits)?;
    }
    // If only quotes separate two addresses, an appended domain would join the next address.
    if !edits.is_empty() && addresses.abut() {
        return Err(Unstable::Unusual);
    }
    Ok(edits)
}

fn apply(body: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len().saturating_add(64));
    let mut done = 0;
    for edit in edits {
        text.extend_from_slice(body.get(done..edit.from).unwrap_or_default());
        text.extend_from_slice(&edit.text);
        done = edit.to;
    }
    text.extend_from_slice(body.get(done..).unwrap_or_default());
    text
}

/// Quotes the display name of a single `<address>` at the end of a body, if the name has a comma, a colon or a dot. Because of a
/// comma or colon Postfix would see more than one address. For a dot RFC 5322 §3.2.5 requires quotes; Postfix accepts it without,
/// and Sendmail adds the quotes itself.
fn quote_phrase(body: &[u8]) -> Option<Vec<u8>> {
    let tokens = tokens(body).ok()?;
    let last = tokens.iter().rfind(|token| token.kind != Kind::Comment)?;
    let open = tokens.iter().position(|token| token.is(b"<"))?;
    let brackets = tokens.iter().filter(|token| token.is(b"<>"));
    let phrase = tokens.get(..open)?;
    let has = |specials: &[u8]| phrase.iter().any(|token| token.is(specials));
    let has_comment = phrase.iter().any(|token| token.kind == Kind::Comment);
    let needs_quotes = has(b",:;") || has(b".") && !has_comment;
    if !last.is(b">") || brackets.count() != 2 || has(b"@") || !needs_quotes {
        return None;
    }
    let (from, to) = (phrase.first()?.from, phrase.last()?.to);
    let words = body.get(from..to)?;
    // Readers do not decode an encoded-word inside quotes (RFC 2047 §5).
    if words.windows(2).any(|pair| pair == b"=?") {
        return None;
    }
    let text = quoted(words.iter().copied().filter(|byte| !matches!(byte, b'"' | b'\n')));
    Some(apply(body, &[Edit { from, to, text }]))
}

/// Whether Postfix would quote this local part. A dot needs quotes at either end or next to another dot.
pub(crate) fn must_quote(local: &[u8]) -> bool {
    local.is_empty()
        || local.starts_with(b".")
        || local.ends_with(b".")
        || local.windows(2).any(|pair| pair == b"..")
        || local
            .iter()
            .any(|byte| *byte <= b' ' || *byte == 127 || b"()<>@,;:\\\"[]".contains(byte))
}

impl Address<'_> {
    /// Appends the edits after which Postfix would not change this address.
    fn fix(
        &self,
        body: &[u8],
        completion: &Completion,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Unstable> {
        if self.local.is_empty() && self.domain.is_none() && self.route.is_none() {
            return Ok(()); // `<>`
        }
        let (Some(first), Some(last)) = (self.local.first(), self.local.last()) else {
            return Err(Unstable::Unusual);
        };
        let (from, to) = (first.from, last.to);
        let local = body.get(from..to).ok_or(Unstable::Unusual)?;
        let fixed = self.fixed_local(local)?;
        if let Some((from, to)) = self.route {
            edits.push(Edit { from, to, text: Vec::new() });
        }
        let Some(domain) = self.domain else {
            let text = match swapped(local).filter(|_| first.kind != Kind::Quoted) {
                Some(turned) => turned?,
                None => {
                    let origin = completion.origin.as_ref().ok_or(Unstable::NoOrigin)?;
                    [fixed.as_deref().unwrap_or(local), b"@", origin.as_str().as_bytes()].concat()
                }
            };
            edits.push(Edit { from, to, text });
            return Ok(());
        };
        edits.extend(fixed.map(|text| Edit { from, to, text }));
        // Postfix rewrites such a field.
        if domain.iter().any(|token| token.text(body).iter().any(u8::is_ascii_control)) {
            return Err(Unstable::Unusual);
        }
        if let (Some(edit), true) = (in_a_labels(domain, body, completion), local.is_ascii()) {
            edits.push(edit);
            return Ok(());
        }
        fix_domain(domain, completion, edits)
    }

    /// The local part, quoted if necessary and otherwise without quotes. `None` if it stays as it is.
    fn fixed_local(&self, local: &[u8]) -> Result<Option<Vec<u8>>, Unstable> {
        if let [Token { kind: Kind::Quoted, .. }] = self.local {
            let inner = local.get(1..local.len().saturating_sub(1)).ok_or(Unstable::Unusual)?;
            if inner.iter().any(|byte| matches!(byte, b'\\' | b'\n')) {
                return Err(Unstable::Unusual);
            }
            return Ok(Some(inner.to_vec()).filter(|inner| !must_quote(inner)));
        }
        let mut pairs = self.local.iter().zip(self.local.iter().skip(1));
        let is_joined = pairs.all(|(left, right)| left.to == right.from);
        let is_plain = |token: &Token| token.kind == Kind::Atom || token.is(b".%!|");
        if !is_joined || !self.local.iter().all(is_plain) {
            return Err(Unstable::Unusual);
        }
        Ok(Some([b"\"", local, b"\""].concat()).filter(|_| must_quote(local)))
    }
}

/// `host!user` → `user@host` (`swap_bangpath`), else `user%host` → `user@host` (`allow_percent_hack`). Whether the new local part
/// needs quotes is checked when the result is parsed again.
fn swapped(local: &[u8]) -> Option<Result<Vec<u8>, Unstable>> {
    let bang = local.iter().position(|byte| *byte == b'!');
    let at = bang.or_else(|| local.iter().rposition(|byte| *byte == b'%'))?;
    let (left, right) = local.split_at(at);
    let right = right.get(1..).unwrap_or_default();
    let (user, host) = if bang.is_some() { (right, left) } else { (left, right) };
    let is_whole = !user.is_empty() && !host.is_empty();
    Some(if is_whole { Ok([user, b"@", host].concat()) } else { Err(Unstable::Unusual) })
}

/// Converts a domain in U-labels to A-labels (RFC 5890 §2.3.2.1), so that no hop needs SMTPUTF8 for it.
fn in_a_labels(domain: &[Token], body: &[u8], completion: &Completion) -> Option<Edit> {
    let (first, last) = domain.first().zip(domain.last())?;
    let labels = joined(domain, body);
    let labels = std::str::from_utf8(&labels).ok().filter(|labels| !labels.is_ascii())?;
    let parsed = Domain::parse(labels.strip_suffix('.').unwrap_or(labels)).ok()?;
    let mut text = parsed.as_str().to_owned();
    if let Some(domain) = completion.dot_domain.as_ref().filter(|_| !text.contains('.')) {
        text = format!("{text}.{}", domain.as_str());
    }
    Some(Edit { from: first.from, to: last.to, text: text.into_bytes() })
}

/// Appends `.mydomain` to a single label, and removes a trailing dot.
fn fix_domain(
    domain: &[Token],
    completion: &Completion,
    edits: &mut Vec<Edit>,
) -> Result<(), Unstable> {
    if let [Token { kind: Kind::Literal, .. }] = domain {
        return Ok(());
    }
    let (labels, dot) = match domain.split_last() {
        Some((last, labels)) if last.is(b".") => (labels, Some(last)),
        _ => (domain, None),
    };
    let alternate = labels.iter().enumerate().all(|(index, token)| {
        token.kind == if index % 2 == 0 { Kind::Atom } else { Kind::Special(b'.') }
    });
    let Some(last) = labels.last().filter(|last| alternate && last.kind == Kind::Atom) else {
        return Err(Unstable::Unusual);
    };
    match (&completion.dot_domain, dot) {
        // Postfix counts the trailing dot as a dot until it is removed.
        (Some(_), Some(_)) if labels.len() == 1 => return Err(Unstable::Unusual),
        (Some(domain), _) if labels.len() == 1 => {
            let text = format!(".{}", domain.as_str()).into_bytes();
            edits.push(Edit { from: last.to, to: last.to, text });
        }
        (_, Some(dot)) => edits.push(Edit { from: dot.from, to: dot.to, text: Vec::new() }),
        (_, None) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::limits::MOST_TOKENS;

    fn host() -> Completion {
        Completion { origin: Some(Domain::parse("myorigin.example").unwrap()), dot_domain: None }
    }

    fn fixed_by(completion: &Completion, value: &str, phrases: Phrases) -> String {
        match fixed(value.as_bytes(), completion, phrases) {
            Ok(None) => value.into(),
            Ok(Some(text)) => String::from_utf8(text).unwrap(),
            Err(why) => format!("{why:?}"),
        }
    }

    fn fixed_here(value: &str) -> String {
        fixed_by(&host(), value, Phrases::Quote)
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
            "\u{fc}@b\u{fc}cher.example",
            "o'brien@e.com",
            "a@e.com, b@e.com",
            "",
            "<>",
            "undisclosed-recipients:;",
            "Friends: a@e.com, B <b@e.com>;",
            "a@e.com;b@e.com",
            "a@e.com b@e.com",
            "a@e.com (x) b@e.com",
            "a@e.com\"b c\"@e.com",
            "root@localhost",
            "a@e.com,\n\tb@e.com\n",
        ] {
            assert_eq!(fixed_here(value), value);
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
            assert_eq!(fixed_here(value), wanted);
        }
    }

    #[test]
    fn without_an_origin_a_bare_address_is_unstable() {
        let no_origin = Completion::default();
        assert_eq!(fixed_by(&no_origin, "root", Phrases::Quote), "NoOrigin");
        assert_eq!(fixed_by(&no_origin, "root@e.com", Phrases::Quote), "root@e.com");
    }

    #[test]
    fn a_display_name_with_a_comma_or_colon_is_quoted() {
        for (value, wanted) in [
            ("Company, Inc. <info@e.com>", "\"Company, Inc.\" <info@e.com>"),
            ("Foo: Bar <f@e.com>", "\"Foo: Bar\" <f@e.com>"),
            (" A, \"B\" C\n <f@e.com> (x)\n", " \"A, B C\"\n <f@e.com> (x)\n"),
            ("Company, Inc. <info>", "\"Company, Inc.\" <info@myorigin.example>"),
        ] {
            assert_eq!(fixed_here(value), wanted);
        }
    }

    #[test]
    fn a_display_name_with_a_dot_is_quoted() {
        for (value, wanted) in [
            ("Sample.com <info@e.com>", "\"Sample.com\" <info@e.com>"),
            ("\"Joe\" Q. Public <j@e.com>", "\"Joe Q. Public\" <j@e.com>"),
            ("\"Sample.com\" <info@e.com>", "\"Sample.com\" <info@e.com>"),
            // These would lose their meaning inside quotes.
            ("Dr. =?utf-8?q?=C3=9C?= <u@e.com>", "Dr. =?utf-8?q?=C3=9C?= <u@e.com>"),
            ("J. Doe (x) <j@e.com>", "J. Doe (x) <j@e.com>"),
        ] {
            assert_eq!(fixed_here(value), wanted);
        }
        let value = "Johnny B. Goode <jb@e.com>";
        assert_eq!(fixed_by(&host(), value, Phrases::Keep), value);
    }

    #[test]
    fn a_word_before_a_comma_is_a_recipient_in_a_destination_field() {
        let value = "root, Joe <joe@e.com>";
        let wanted = "root@myorigin.example, Joe <joe@e.com>";
        assert_eq!(fixed_by(&host(), value, Phrases::Keep), wanted);
        assert_eq!(fixed_here("a@e.com, Joe <joe@e.com>"), "a@e.com, Joe <joe@e.com>");
    }

    #[test]
    fn a_word_before_a_comma_is_an_address_where_a_field_has_two_mailboxes() {
        for (value, wanted) in [
            ("a, B <b@e.com>, C <c@e.com>", "a@myorigin.example, B <b@e.com>, C <c@e.com>"),
            ("a, B <b@e.com>, c@e.com", "a@myorigin.example, B <b@e.com>, c@e.com"),
        ] {
            assert_eq!(fixed_here(value), wanted);
        }
    }

    #[test]
    fn quotes_are_there_where_needed_and_nowhere_else() {
        for (value, wanted) in [
            ("\"john.doe\"@e.com", "john.doe@e.com"),
            ("john..doe@e.com", "\"john..doe\"@e.com"),
            ("john.@e.com", "\"john.\"@e.com"),
            (".john@e.com", "\".john\"@e.com"),
        ] {
            assert_eq!(fixed_here(value), wanted);
        }
    }

    #[test]
    fn routes_and_trailing_dots_go() {
        assert_eq!(fixed_here("user@e.com."), "user@e.com");
        assert_eq!(fixed_here("<@r.example:u@e.com>"), "<u@e.com>");
        assert_eq!(fixed_here("X <@a.example,@b.example: u@e.com>"), "X <u@e.com>");
    }

    #[test]
    fn a_value_may_have_ten_thousand_tokens() {
        let whole = |tokens: usize| format!("a@b.c{}", ",".repeat(tokens - 5));
        assert_eq!(fixed_here(&whole(MOST_TOKENS)), whole(MOST_TOKENS));
        assert_eq!(fixed_here(&whole(MOST_TOKENS + 1)), "TooMany");
    }

    #[test]
    fn rfc5890_a_domain_in_u_labels_is_written_in_a_labels() {
        for (value, wanted) in [
            ("u@b\u{fc}cher.example", "u@xn--bcher-kva.example"),
            ("B\u{fc}cher <u@B\u{dc}CHER.example.>", "B\u{fc}cher <u@xn--bcher-kva.example>"),
            ("a@e.com, u @ b\u{fc}cher . example", "a@e.com, u @ xn--bcher-kva.example"),
            ("\"john doe\"@\u{4f8b}\u{3048}.jp", "\"john doe\"@xn--r8jz45g.jp"),
            ("u@b\u{fc}cher", "u@xn--bcher-kva"),
        ] {
            assert_eq!(fixed_here(value), wanted);
        }
        let dot_domain = Some(Domain::parse("my.example").unwrap());
        let with_dot = Completion { dot_domain, ..host() };
        for (value, wanted) in [
            ("u@b\u{fc}cher", "u@xn--bcher-kva.my.example"),
            ("u@b\u{fc}cher.example", "u@xn--bcher-kva.example"),
        ] {
            assert_eq!(fixed_by(&with_dot, value, Phrases::Quote), wanted);
        }
        // A local part that is not ASCII needs SMTPUTF8 anyway; a text that is not UTF-8 is not a domain.
        assert_eq!(
            fixed("\u{fc}@b\u{fc}cher.example".as_bytes(), &host(), Phrases::Keep),
            Ok(None)
        );
        assert_eq!(fixed(b"u@b\xfccher.example", &host(), Phrases::Keep), Ok(None));
    }

    #[test]
    fn bang_paths_and_percents_are_turned_around() {
        assert_eq!(fixed_here("user%x.example"), "user@x.example");
        assert_eq!(fixed_here("X <host!user>"), "X <user@host>");
        assert_eq!(fixed_here("a!b!c, d%e%f"), "b!c@a, d%e@f");
        assert_eq!(fixed_here("a!b%c"), "b%c@a");
        assert_eq!(fixed_here("a!b@c.example"), "a!b@c.example");
    }

    #[test]
    fn a_domain_without_a_dot_gets_mydomain_where_that_is_on() {
        let completion =
            Completion { dot_domain: Some(Domain::parse("example.org").unwrap()), ..host() };
        for (value, wanted) in [
            ("root@web01", "root@web01.example.org"),
            ("u@[192.0.2.1]", "u@[192.0.2.1]"),
            ("u@e.com.", "u@e.com"),
            ("u@web01.", "Unusual"),
        ] {
            assert_eq!(fixed_by(&completion, value, Phrases::Quote), wanted);
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
            "a.(c)b@e.com",
            "a .b@e.com",
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
            "\"a b\"\"c d\"@e.com",
            "a@e.com\"b\"@e.com",
            "u@e..com",
            "u@e\u{13}.com",
            "=?utf-8?Q?M=C3=BCller?=, Hans: <h@e.com> x",
        ] {
            assert!(
                fixed(value.as_bytes(), &host(), Phrases::Quote).is_err(),
                "{value}: {}",
                fixed_here(value)
            );
        }
    }

    #[test]
    fn more_addresses_than_postfix_looks_at_are_unstable() {
        let many = "user@example.com,".repeat(2_000);
        assert_eq!(fixed_here(&many), "TooMany");
    }
}
