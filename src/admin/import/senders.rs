//! The senders that the rows of a `SigningTable` match, and those for which two configurations may differ.

use super::data_set::{Kind, LIVE, Row, fits};
use super::opendkim::{By, OpenDkim, key_columns};
use super::opendkim_conf::Files;
use crate::dkim::Domain;

/// The senders that a row matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// In the local part, `*` stands for any text or none.
    Address(String, Domain),
    Domain(Domain),
    /// Every subdomain.
    Below(Domain),
    Any,
    /// Senders that no domain file can describe, with an example.
    Other(String, Domain),
    /// OpenDKIM takes the row for a regular expression.
    Expression,
    /// No sender matches it, and why.
    NoSender(&'static str),
}

/// A local part that no configuration names, and that matches a pattern only by its stars: a pattern with this character is a
/// regular expression.
pub(super) const NO_USER: &str = "^^^";

/// Two labels that no configuration names. Each of them may match a pattern by chance.
pub(super) const NO_LABELS: [&str; 2] = ["dkimctl-import", "9q"];

/// A domain that no configuration names.
pub(super) fn any_domain() -> Option<Domain> {
    Domain::parse("dkimctl-import.invalid").ok()
}

/// A subdomain of such a domain.
pub(super) fn below(domain: &Domain) -> Option<Domain> {
    Domain::parse(&format!("{}.{domain}", NO_LABELS[0])).ok()
}

/// A local part that a pattern matches, and no other one by chance.
pub(super) fn instance(pattern: &str) -> String {
    pattern.replace('*', NO_USER)
}

/// A local part that both patterns match.
pub(super) fn instance_of_both<'a>(one: &'a str, other: &'a str) -> Option<String> {
    let split = |text: &'a str| {
        let (first, rest) = text.split_once('*')?;
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        Some((first, middle.replace('*', ""), last))
    };
    let ((first, middle, last), (begin, also, end)) = (split(one)?, split(other)?);
    let begin = if first.len() < begin.len() { begin } else { first };
    let end = if last.len() < end.len() { end } else { last };
    let text = [begin, &middle, &also, end].concat();
    [one, other].iter().all(|pattern| fits(pattern, &text)).then_some(text)
}

impl Scope {
    pub(super) fn of(kind: Kind, row: &Row) -> Self {
        let key = row.key.to_ascii_lowercase();
        if !key.is_ascii() {
            return Self::NoSender("OpenDKIM compares ASCII addresses only");
        }
        if key == "*" || (kind == Kind::Pattern && key == "*@*") {
            return Self::Any;
        }
        match kind {
            Kind::Exact => Self::of_exact(&key),
            Kind::Pattern => Self::of_pattern(&key),
        }
    }

    fn of_exact(key: &str) -> Self {
        let domain = |text: &str| Domain::parse(text).ok();
        let scope = match key.rsplit_once('@') {
            Some((local, "*")) if !local.contains('*') => {
                any_domain().map(|any| Self::Other(local.to_owned(), any))
            }
            _ if key.contains('*') => {
                return Self::NoSender("a `*` in a table that is not a refile: is not a wildcard");
            }
            Some((local, suffix)) => match suffix.strip_prefix('.') {
                Some(parent) => domain(parent)
                    .and_then(|parent| below(&parent))
                    .map(|below| Self::Other(local.to_owned(), below)),
                None => domain(suffix).map(|domain| Self::Address(local.to_owned(), domain)),
            },
            None => match key.strip_prefix('.') {
                Some(parent) => domain(parent).map(Self::Below),
                None => domain(key).map(Self::Domain),
            },
        };
        scope.unwrap_or(Self::NoSender("it is not an address or a domain"))
    }

    fn of_pattern(key: &str) -> Self {
        let plain = |text: &str| !text.contains('*');
        let domain = |text: &str| Domain::parse(text).ok();
        if key.contains(LIVE) {
            return Self::Expression;
        }
        let (local, suffix) = key.rsplit_once('@').unwrap_or(("*", key));
        let scope = match (local, suffix.strip_prefix("*.")) {
            ("*", Some(parent)) if plain(parent) => domain(parent).map(Self::Below),
            _ if !plain(suffix) => Self::instance(key),
            _ if !key.contains('@') => None,
            ("*", _) => domain(suffix).map(Self::Domain),
            _ => domain(suffix).map(|domain| Self::Address(local.to_owned(), domain)),
        };
        scope.unwrap_or(Self::NoSender("it matches no address; a row for a domain is *@DOMAIN"))
    }

    /// A sender that an unusual pattern matches.
    fn instance(key: &str) -> Option<Self> {
        let address = if key.contains('@') {
            key.to_owned()
        } else {
            key.replacen('*', &format!("{NO_USER}@{}", NO_LABELS[0]), 1)
        };
        let (local, domain) = address.rsplit_once('@')?;
        let domain = match domain.strip_suffix('*') {
            Some(domain) => format!("{domain}{}.invalid", NO_LABELS[0]),
            None => domain.to_owned(),
        };
        let domain = Domain::parse(&domain.replace('*', NO_LABELS[0])).ok()?;
        Some(Self::Other(instance(local), domain))
    }
}

/// A sender for which both configurations are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) local: String,
    pub(super) domain: Domain,
    /// The name for messages.
    pub(super) name: String,
}

impl Sender {
    /// A user of a domain that no row names.
    pub(super) fn at(domain: &Domain) -> Self {
        let name = format!("mail From {domain}");
        Self { local: NO_USER.to_owned(), domain: domain.clone(), name }
    }

    pub(super) fn below(domain: &Domain) -> impl Iterator<Item = Self> {
        let name = format!("mail From domains below {domain}");
        let all = NO_LABELS.map(|label| Domain::parse(&format!("{label}.{domain}")));
        all.into_iter().flatten().map(move |below| Self { name: name.clone(), ..Self::at(&below) })
    }

    pub(super) fn any() -> Option<Self> {
        let name = "mail From any other domain".to_owned();
        Some(Self { name, ..Self::at(&any_domain()?) })
    }
}

/// Whether it is a domain that no configuration names.
pub(super) fn is_made_up(domain: &Domain) -> bool {
    let [long, short] = NO_LABELS;
    let text = domain.as_str();
    text.contains(long) || text.split('.').next() == Some(short)
}

/// The rows of a configuration with the senders that each one matches.
pub(super) fn scopes(opendkim: &OpenDkim) -> Vec<(&Row, Scope)> {
    let table = match &opendkim.by {
        By::Tables { signing, .. } => signing,
        By::One { domains, .. } => domains,
        By::List { .. } => return Vec::new(),
    };
    table.rows.iter().map(|row| (row, Scope::of(table.kind, row))).collect()
}

/// The domains in a configuration, those with the most labels last. `with_key` are the domains of key files.
pub(super) fn domains(opendkim: &OpenDkim, with_key: &[Domain]) -> Vec<Domain> {
    let mut all: Vec<Domain> = with_key.to_vec();
    for (row, scope) in scopes(opendkim) {
        match scope {
            Scope::Address(_, domain) | Scope::Domain(domain) | Scope::Below(domain) => {
                all.push(domain);
            }
            Scope::Other(..) => {
                // An unusual row may also match the domain in it.
                let suffix = row.key.rsplit('@').next().unwrap_or_default();
                all.extend(Domain::parse(suffix.trim_start_matches(['*', '.'])).ok());
            }
            Scope::Any | Scope::Expression | Scope::NoSender(_) => {}
        }
    }
    let mut keys: Vec<&Row> = opendkim.exempt.iter().flat_map(|table| &table.rows).collect();
    if let By::Tables { keys: table, signing, .. } = &opendkim.by
        && signing.rows.iter().any(|row| row.value.starts_with('%'))
    {
        // OpenDKIM finds a row of KeyTable by the sender's domain.
        keys.extend(&table.rows);
    }
    all.extend(keys.iter().filter_map(|row| Domain::parse(&row.key).ok()));
    if let By::List { domains, .. } = &opendkim.by {
        all.extend(domains.keys().filter_map(|name| Domain::parse(name).ok()));
    }
    all.retain(|domain| {
        let text = domain.as_str();
        let is_made_up = text.ends_with("invalid") || is_made_up(domain);
        text.contains('.') && !text.contains("._domainkey.") && !is_made_up
    });
    all.sort_by_cached_key(|domain| (domain.as_str().matches('.').count(), domain.clone()));
    all.dedup();
    all
}

/// The domains with a key file at a path of `KeyTable` that has `%` for the sender's domain, sorted.
pub(super) fn with_key_file(opendkim: &OpenDkim, files: &dyn Files) -> Vec<Domain> {
    let By::Tables { keys, .. } = &opendkim.by else { return Vec::new() };
    let mut all = Vec::new();
    for row in &keys.rows {
        let Some(("%", _, path)) = key_columns(row) else { continue };
        if path.starts_with('/') {
            let parsed = |name: &String| Domain::parse(name).ok().filter(|d| d.as_str() == name);
            all.extend(filled_in(path, "%", files).iter().filter_map(parsed));
        }
    }
    all.sort();
    all
}

/// The texts that can replace a variable in a path so that it is the path of a file.
pub(super) fn filled_in(path: &str, variable: &str, files: &dyn Files) -> Vec<String> {
    let Some((before, after)) = path.split_once(variable) else { return Vec::new() };
    let (folder, begin) = before.rsplit_once('/').unwrap_or(("", before));
    let (end, is_below) = after.split_once('/').map_or((after, false), |(end, _)| (end, true));
    let inside = |name: String| Some(name.strip_prefix(begin)?.strip_suffix(end)?.to_owned());
    let mut found: Vec<String> = files.names(folder).into_iter().filter_map(inside).collect();
    found.retain(|name| {
        let path = path.replace(variable, name);
        let (folder, file) = path.rsplit_once('/').unwrap_or_default();
        !is_below || files.names(folder).iter().any(|name| name == file)
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(kind: Kind, key: &str) -> Scope {
        let row = Row { key: key.to_owned(), value: String::new(), place: String::new() };
        Scope::of(kind, &row)
    }

    fn sample() -> Domain {
        Domain::parse("sample.com").unwrap()
    }

    #[test]
    fn a_refile_row_is_for_an_address_a_domain_what_is_below_or_all() {
        let of = |key| scope(Kind::Pattern, key);
        assert_eq!(of("News@Sample.com"), Scope::Address("news".into(), sample()));
        assert_eq!(of("*@sample.com"), Scope::Domain(sample()));
        assert_eq!(of("*@*.sample.com"), Scope::Below(sample()));
        assert_eq!(of("*.sample.com"), Scope::Below(sample()));
        assert_eq!((of("*"), of("*@*")), (Scope::Any, Scope::Any));
        assert_eq!(of("*@(a|b).test"), Scope::Expression);
        assert_eq!(of("*-News@sample.com"), Scope::Address("*-news".into(), sample()));
        let domain = Domain::parse(&format!("{}sample.com", NO_LABELS[0])).unwrap();
        assert_eq!(of("*sample.com"), Scope::Other(NO_USER.into(), domain));
    }

    #[test]
    fn two_patterns_may_have_addresses_in_common() {
        for (one, other, wanted) in [
            ("news*", "*-x", Some("news-x")),
            ("*a*", "b*c", Some("bac")),
            ("news*", "n*", Some("news")),
            ("a*", "b*", None),
            ("a*", "a", None),
        ] {
            assert_eq!(instance_of_both(one, other).as_deref(), wanted, "{one} {other}");
            assert_eq!(instance_of_both(other, one).is_some(), wanted.is_some());
        }
    }

    #[test]
    fn rows_that_match_no_sender_are_distinguished() {
        for (kind, key) in [
            (Kind::Pattern, "sample.com"),
            (Kind::Exact, "*@sample.com"),
            (Kind::Exact, "*.sample.com"),
            (Kind::Exact, "a b"),
            (Kind::Exact, "*@*"),
            (Kind::Exact, "\u{e4}@sample.com"),
            (Kind::Pattern, "\u{e4}*@sample.com"),
        ] {
            assert!(matches!(scope(kind, key), Scope::NoSender(_)), "{key}");
        }
    }

    #[test]
    fn a_row_of_a_file_has_suffixes_in_place_of_stars() {
        let of = |key| scope(Kind::Exact, key);
        assert_eq!(of("sample.com"), Scope::Domain(sample()));
        assert_eq!(of(".sample.com"), Scope::Below(sample()));
        assert_eq!(of("a@sample.com"), Scope::Address("a".into(), sample()));
        assert_eq!(of("*"), Scope::Any);
        assert!(matches!(of("a@*"), Scope::Other(..)));
        assert!(matches!(of("a@.sample.com"), Scope::Other(..)));
    }
}
