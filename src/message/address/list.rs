//! Finds the addresses in a field. Postfix reads from right to left. `<…>` holds an address, and everything to the left of it up
//! to one of `, ; : >` is a phrase. `name: … ;` is a group. Elsewhere, words joined by operators are one address, and adjacent
//! words are several addresses.

use super::token::{Kind, Token, Unstable, tokens};

/// The addresses of one field, and the tokens of the field.
#[derive(Debug)]
pub struct Addresses {
    tokens: Vec<Token>,
    /// The addresses as ranges of `tokens`, from the last to the first.
    found: Ranges,
    /// The display names and group names as ranges of `tokens`, including comments.
    phrases: Ranges,
}

/// One address, without its phrase.
#[derive(Debug)]
pub struct Address<'a> {
    pub(super) local: &'a [Token],
    /// The tokens after the `@`, if there is one.
    pub(super) domain: Option<&'a [Token]>,
    /// Where a source route `@a,@b:` begins and ends, including the FWS after it.
    pub(super) route: Option<(usize, usize)>,
}

/// Finds the addresses in the value of a field.
///
/// # Errors
/// Postfix may see other addresses. The author of the field causes this error.
pub fn addresses(value: &[u8]) -> Result<Addresses, Unstable> {
    let tokens = tokens(value)?;
    let (found, phrases) = find(&tokens)?;
    Ok(Addresses { tokens, found, phrases })
}

impl Addresses {
    /// The addresses in the order of the text.
    ///
    /// # Errors
    /// The address has a form that Postfix may split.
    pub fn iter(&self) -> impl Iterator<Item = Result<Address<'_>, Unstable>> {
        self.found
            .iter()
            .rev()
            .map(|(from, to)| Address::new(self.tokens.get(*from..*to).unwrap_or_default()))
    }

    /// Whether two addresses are adjacent without a separator, as in `"a"b@e.com`.
    pub(super) fn abut(&self) -> bool {
        self.found.windows(2).any(|pair| match pair {
            [(right, _), (_, left)] => {
                let left = left.checked_sub(1).and_then(|last| self.tokens.get(last));
                let right = self.tokens.get(*right);
                left.zip(right).is_some_and(|(left, right)| left.to == right.from)
            }
            _ => false,
        })
    }

    pub(in crate::message) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Where display names and group names begin and end, without comments around and inside them.
    pub(in crate::message) fn phrases(&self) -> impl Iterator<Item = (usize, usize)> {
        self.phrases.iter().flat_map(|(from, to)| {
            let tokens = self.tokens.get(*from..*to).unwrap_or_default();
            tokens
                .split(|token| token.kind == Kind::Comment)
                .filter_map(|words| Some((words.first()?.from, words.last()?.to)))
        })
    }
}

impl<'a> Address<'a> {
    fn new(tokens: &'a [Token]) -> Result<Self, Unstable> {
        // Postfix moves a comment inside an address when it rewrites the address.
        if tokens.iter().any(|token| token.kind == Kind::Comment) {
            return Err(Unstable::Unusual);
        }
        let mut tokens = tokens;
        let mut route = None;
        if let Some(first) = tokens.first().filter(|first| first.is(b"@")) {
            let colon = tokens.iter().position(|token| token.is(b":"));
            let (_, after) = colon
                .and_then(|colon| tokens.split_at_checked(colon.saturating_add(1)))
                .ok_or(Unstable::Unusual)?;
            route = Some((first.from, after.first().ok_or(Unstable::Unusual)?.from));
            tokens = after;
        }
        let mut parts = tokens.split(|token| token.is(b"@"));
        let local = parts.next().unwrap_or_default();
        let domain = parts.next();
        if parts.next().is_some() {
            return Err(Unstable::Unusual);
        }
        Ok(Self { local, domain, route })
    }

    /// The local part and the domain as typed, without FWS. There is no domain if there is no `@`.
    #[must_use]
    pub fn text(&self, value: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        (joined(self.local, value), self.domain.map(|domain| joined(domain, value)))
    }
}

/// The bytes of tokens, without FWS between them.
pub(super) fn joined(tokens: &[Token], value: &[u8]) -> Vec<u8> {
    tokens.iter().map(|token| token.text(value)).collect::<Vec<_>>().concat()
}

/// Ranges of tokens, last one first.
type Ranges = Vec<(usize, usize)>;

/// Finds the addresses and the phrases, from the last token to the first.
fn find(tokens: &[Token]) -> Result<(Ranges, Ranges), Unstable> {
    let (mut found, mut phrases) = (Vec::new(), Vec::new());
    let mut in_group = false;
    let mut left = tokens;
    while let Some((last, before)) = left.split_last() {
        left = match last.kind {
            Kind::Comment | Kind::Special(b',') => before,
            Kind::Special(b';') => {
                in_group = true;
                before
            }
            Kind::Special(b':') if in_group => {
                in_group = false;
                before_phrase(before, &mut phrases)
            }
            Kind::Special(b'>') => {
                let open = before.iter().rposition(|token| token.is(b"<>"));
                let open = open.ok_or(Unstable::Unbalanced)?;
                let (before, inside) = before.split_at(open);
                if inside.first().is_some_and(|bracket| bracket.kind == last.kind) {
                    return Err(Unstable::Unbalanced);
                }
                found.push((open.saturating_add(1), open.saturating_add(inside.len())));
                before_phrase(before, &mut phrases)
            }
            Kind::Special(b':') => return Err(Unstable::Unusual),
            Kind::Special(b'<' | b'(' | b')' | b'[' | b']' | b'"') => {
                return Err(Unstable::Unbalanced);
            }
            Kind::Atom | Kind::Quoted | Kind::Literal | Kind::Special(_) => {
                let before = before_bare(left)?;
                found.push((before.len(), left.len()));
                before
            }
        };
    }
    Ok((found, phrases))
}

/// Adds the phrase (RFC 5322 §3.2.5) at the end of `left`, a display name or group name. Returns the tokens before it.
fn before_phrase<'a>(left: &'a [Token], phrases: &mut Ranges) -> &'a [Token] {
    let end = left.iter().rposition(|token| token.is(b",;:>"));
    let from = end.map_or(0, |at| at.saturating_add(1));
    phrases.push((from, left.len()));
    left.split_at(from).0
}

/// The tokens before the address at the end: its words are joined by operators. Two words without an operator are two addresses.
fn before_bare(tokens: &[Token]) -> Result<&[Token], Unstable> {
    let mut after_word = false;
    let mut left = tokens;
    while let Some((last, before)) = left.split_last() {
        match last.kind {
            Kind::Atom | Kind::Quoted | Kind::Literal if after_word => break,
            Kind::Atom | Kind::Quoted | Kind::Literal => after_word = true,
            Kind::Special(_) if last.joins() => after_word = false,
            Kind::Comment => {
                // An operator to the left of comments also joins.
                let next = before.iter().rfind(|token| token.kind != Kind::Comment);
                if !after_word || next.is_some_and(Token::joins) {
                    return Err(Unstable::Unusual);
                }
                break;
            }
            Kind::Special(_) => break,
        }
        left = before;
    }
    Ok(left)
}
