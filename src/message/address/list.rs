//! Where the addresses of a field are. Postfix looks from the right to the left: `<…>` holds an
//! address and all to the left of it, up to one of `, ; : >`, is a phrase; `name: … ;` is a group;
//! elsewhere words joined by operators are one address, and words side by side are several.

use super::Unstable;
use super::token::{self, Kind, Token, scan};

/// The addresses of one field, and the tokens they are made of.
#[derive(Debug)]
pub struct Addresses {
    tokens: Vec<Token>,
    /// Ranges of `tokens`, from the last address to the first.
    found: Vec<(usize, usize)>,
    /// Ranges of `tokens` that are display names and names of groups, comments among them.
    phrases: Vec<(usize, usize)>,
}

/// One address, without its phrase.
#[derive(Debug)]
pub struct Address<'a> {
    pub(super) local: &'a [Token],
    pub(super) has_at: bool,
    pub(super) domain: &'a [Token],
    /// The octets of a source route `@a,@b:` with the blanks behind it.
    pub(super) route: Option<(usize, usize)>,
}

/// Finds the addresses in the value of a field.
///
/// # Errors
/// When Postfix may see other addresses than those found here; the writer of the field caused it.
pub fn addresses(value: &[u8]) -> Result<Addresses, Unstable> {
    let tokens = scan(value)?;
    let mut finder =
        Finder { tokens: &tokens, end: tokens.len(), found: Vec::new(), phrases: Vec::new() };
    finder.run()?;
    let Finder { found, phrases, .. } = finder;
    Ok(Addresses { tokens, found, phrases })
}

impl Addresses {
    /// The addresses in the order of the text.
    ///
    /// # Errors
    /// Each one may be of a form that Postfix takes apart.
    pub fn iter(&self) -> impl Iterator<Item = Result<Address<'_>, Unstable>> {
        self.found
            .iter()
            .rev()
            .map(|(from, to)| Address::new(self.tokens.get(*from..*to).unwrap_or_default()))
    }

    /// Whether an address begins right where another one ends, as in `"a"b@e.com`.
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

    /// The octets of all comments.
    pub(in crate::message) fn comments(&self) -> impl Iterator<Item = (usize, usize)> {
        token::comments(&self.tokens)
    }

    /// The octets of display names and names of groups, without the comments around and inside them.
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
        // A comment inside an address moves when Postfix writes the address anew.
        if tokens.iter().any(|token| token.kind == Kind::Comment) {
            return Err(Unstable::Unusual);
        }
        let mut tokens = tokens;
        let mut route = None;
        if let Some(first) = tokens.first().filter(|first| first.kind == Kind::Special(b'@')) {
            let colon = tokens.iter().position(|token| token.kind == Kind::Special(b':'));
            let (_, behind) = colon
                .and_then(|colon| tokens.split_at_checked(colon.saturating_add(1)))
                .ok_or(Unstable::Unusual)?;
            route = Some((first.from, behind.first().ok_or(Unstable::Unusual)?.from));
            tokens = behind;
        }
        let mut parts = tokens.split(|token| token.kind == Kind::Special(b'@'));
        let local = parts.next().unwrap_or_default();
        let domain = parts.next();
        if parts.next().is_some() {
            return Err(Unstable::Unusual);
        }
        Ok(Self { local, has_at: domain.is_some(), domain: domain.unwrap_or_default(), route })
    }

    /// The local part and the domain as typed, blanks left out; no domain where there is no `@`.
    #[must_use]
    pub fn text(&self, value: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let text = |tokens: &[Token]| {
            let octets = tokens.iter().filter_map(|token| value.get(token.from..token.to));
            octets.collect::<Vec<_>>().concat()
        };
        (text(self.local), self.has_at.then(|| text(self.domain)))
    }
}

/// Walks from the last token to the first.
struct Finder<'a> {
    tokens: &'a [Token],
    /// Tokens before this one are to be looked at.
    end: usize,
    found: Vec<(usize, usize)>,
    phrases: Vec<(usize, usize)>,
}

impl Finder<'_> {
    fn run(&mut self) -> Result<(), Unstable> {
        let mut in_group = false;
        while let Some(kind) = self.before() {
            match kind {
                Kind::Comment | Kind::Special(b',') => self.step(),
                Kind::Special(b';') => {
                    in_group = true;
                    self.step();
                }
                Kind::Special(b':') if in_group => {
                    in_group = false;
                    self.step();
                    self.phrase();
                }
                Kind::Special(b'>') => {
                    self.angle()?;
                    self.phrase();
                }
                Kind::Special(b':') => return Err(Unstable::Unusual),
                Kind::Special(b'<' | b'(' | b')' | b'[' | b']' | b'"') => {
                    return Err(Unstable::Unbalanced);
                }
                Kind::Atom | Kind::Quoted | Kind::Literal | Kind::Special(_) => self.bare()?,
            }
        }
        Ok(())
    }

    fn before(&self) -> Option<Kind> {
        let index = self.end.checked_sub(1)?;
        self.tokens.get(index).map(|token| token.kind)
    }

    fn step(&mut self) {
        self.end = self.end.saturating_sub(1);
    }

    /// `<…>`, from its end.
    fn angle(&mut self) -> Result<(), Unstable> {
        self.step();
        let to = self.end;
        loop {
            match self.before() {
                Some(Kind::Special(b'<')) => break,
                None | Some(Kind::Special(b'>')) => return Err(Unstable::Unbalanced),
                Some(_) => self.step(),
            }
        }
        self.found.push((self.end, to));
        self.step();
        Ok(())
    }

    /// The words of a display name or of the name of a group.
    fn phrase(&mut self) {
        let to = self.end;
        while let Some(kind) = self.before() {
            if matches!(kind, Kind::Special(b',' | b';' | b':' | b'>')) {
                break;
            }
            self.step();
        }
        self.phrases.push((self.end, to));
    }

    /// Words joined by operators, from their end. Two words without an operator are two addresses.
    fn bare(&mut self) -> Result<(), Unstable> {
        let to = self.end;
        let mut after_word = false;
        while let Some(kind) = self.before() {
            match kind {
                Kind::Atom | Kind::Quoted | Kind::Literal if after_word => break,
                Kind::Atom | Kind::Quoted | Kind::Literal => after_word = true,
                Kind::Special(b'@' | b'.' | b'%' | b'!' | b'|') => after_word = false,
                Kind::Comment if !after_word || self.joins_over_comment() => {
                    return Err(Unstable::Unusual);
                }
                Kind::Comment | Kind::Special(_) => break,
            }
            self.step();
        }
        self.found.push((self.end, to));
        Ok(())
    }

    /// An operator to the left of the comments before the current word.
    fn joins_over_comment(&self) -> bool {
        let left = self.tokens.get(..self.end).unwrap_or_default();
        let before = left.iter().rev().find(|token| token.kind != Kind::Comment);
        before.is_some_and(|token| {
            matches!(token.kind, Kind::Special(b'@' | b'.' | b'%' | b'!' | b'|'))
        })
    }
}
