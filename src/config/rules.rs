//! `[[sign]]` tables.

use super::error::ConfigError;
use super::keys::{Keys, RuleKeys};
use crate::dkim::{Domain, Identity, Selector};
use crate::message::address::must_quote;
use crate::message::syntax::{quoted, unescaped};

/// `[[sign]]`: selectors for mail From some addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The addresses.
    pub from: Pattern,
    /// At least one.
    pub selectors: Vec<Selector>,
    /// i=, instead of that of the file.
    pub identity: Option<Identity>,
}

/// The addresses that a rule is for. In the local part, `*` stands for any text or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// In lower case, without quotes.
    local: String,
    domain: Domain,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('@').filter(|(local, _)| !local.is_empty());
        let (local, domain) = parts.ok_or_else(|| {
            format!("expected an address (local@domain or *@domain), found {text:?}")
        })?;
        if domain.contains('*') {
            return Err(format!("{text:?}: a * is allowed before the @ only"));
        }
        let domain = Domain::parse(domain).map_err(|why| why.to_string())?;
        Ok(Self { local: meant(local), domain })
    }

    /// Whether an address matches, with its local part as typed. Case is ignored, also in the local part: a user who may send as
    /// `News@` may send as `news@`. Quotes are ignored, too.
    #[must_use]
    pub fn fits(&self, local: &str, domain: &Domain) -> bool {
        self.domain == *domain && fits(&self.local, &meant(local))
    }

    /// An address that matches.
    #[must_use]
    pub fn example(&self) -> String {
        let mut local = self.local.replace('*', "x");
        if must_quote(local.as_bytes()) {
            local = String::from_utf8_lossy(&quoted(local.bytes())).into_owned();
        }
        format!("{local}@{}", self.domain)
    }
}

/// Whether a pattern matches a whole text; `*` stands for any bytes or none.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place where a piece occurs leaves the most for those after it.
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let Some((_, after)) = left.split_once(piece) else { return false };
        left = after;
    }
    left.ends_with(last)
}

/// The local part that is meant: with quotes or without, it is the same one (RFC 5321 §4.1.2).
fn meant(local: &str) -> String {
    String::from_utf8_lossy(&unescaped(local.as_bytes(), b"\"")).to_ascii_lowercase()
}

impl Rule {
    /// Parses a rule of a file that signs with d= `d`. `None` means the domain of each author.
    pub(super) fn of(
        table: &RuleKeys,
        keys: &Keys<'_>,
        d: Option<&Domain>,
    ) -> Result<Self, ConfigError> {
        let from = Pattern::parse(table.from.as_ref())
            .map_err(|what| keys.error("from", &table.from.span(), what))?;
        let selectors = keys.selectors_of(&table.selector, &table.selectors)?;
        let missing = || keys.error("sign", &table.from.span(), "key `selector` is missing");
        let identity = keys.identity_of(&table.identity, d)?;
        let selectors = selectors.ok_or_else(missing)?;
        Ok(Self { from, selectors, identity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_in_the_local_part() {
        for (pattern, fitting, others) in [
            ("news", &["news", "NEWS", "News"][..], &["new", "news1", "xnews", ""][..]),
            ("NEWS", &["news", "NEWS"], &["n"]),
            ("*", &["a", "", "a+b", "a*b", "@"], &[]),
            ("news+*", &["news+", "news+eu", "NEWS+a+b"], &["news", "xnews+a"]),
            ("*-bounces", &["list-bounces", "-bounces"], &["bounces", "list-bounces-x"]),
            ("a*b", &["ab", "aab", "abb", "axb"], &["a", "b", "ba", "axbc"]),
            // The two pieces never share a character.
            ("ab*ba", &["abba", "abxba"], &["aba"]),
            ("a*b*c", &["abc", "aXbYc", "abbcc"], &["acb", "ac", "bc"]),
            ("*a*a*", &["aa", "xaxax"], &["a", "xax"]),
            ("**", &["", "x"], &[]),
            ("a**b", &["ab", "axb"], &["a"]),
            ("\u{fc}*", &["\u{fc}x"], &["ux"]),
        ] {
            let domain = Domain::parse("sample.com").unwrap();
            let found = Pattern::parse(&format!("{pattern}@Sample.COM")).unwrap();
            assert!(fitting.iter().all(|local| found.fits(local, &domain)), "{pattern}");
            assert!(!others.iter().any(|local| found.fits(local, &domain)), "{pattern}");
            let other = Domain::parse("news.sample.com").unwrap();
            assert!(!fitting.iter().any(|local| found.fits(local, &other)), "{pattern}");
            let example = found.example();
            assert!(found.fits(example.rsplit_once('@').unwrap().0, &domain), "{pattern}");
        }
    }

    #[test]
    fn rfc5321_4_1_2_quotes_are_not_part_of_the_local_part() {
        for (pattern, local, is_fit) in [
            ("news", "\"news\"", true),
            ("\"News\"", "news", true),
            ("\"john doe\"", "\"John Doe\"", true),
            ("john doe", "\"john doe\"", true),
            ("\"a\\\"b\"", "\"a\\\"b\"", true),
            ("\"a\\b\"", "\"ab\"", true),
            ("\"a@b\"", "\"a@b\"", true),
            ("news+*", "\"news+eu\"", true),
            ("news", "\"news \"", false),
            ("\"john doe\"", "johndoe", false),
        ] {
            let domain = Domain::parse("sample.com").unwrap();
            let found = Pattern::parse(&format!("{pattern}@sample.com")).unwrap();
            assert_eq!(found.fits(local, &domain), is_fit, "{pattern} {local}");
            let example = found.example();
            assert!(found.fits(example.rsplit_once('@').unwrap().0, &domain), "{example}");
        }
        let john = Pattern::parse("john doe@B\u{fc}cher.example").unwrap();
        assert_eq!(john.example(), "\"john doe\"@xn--bcher-kva.example");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["news", "@sample.com", "a@", "a@*", "a@*.sample.com", "*", "a@-x.example"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
