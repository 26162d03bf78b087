//! What the rows of a `SigningTable` mean, and which senders tell one set-up from another.

use super::data_set::{Kind, LIVE, Row, Table};
use super::opendkim::{By, Old};
use super::opendkim_conf::Files;
use crate::dkim::Domain;

/// Whose mail a row is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Address(String, Domain),
    Domain(Domain),
    /// Every domain below.
    Below(Domain),
    Any,
    /// Something that no domain file can say, with a sender that it is for.
    Other(String, Domain),
    /// OpenDKIM takes what is in it for a regular expression.
    Expression,
    /// Nobody's, and why.
    Nobody(&'static str),
}

/// A local part and a label that no set-up names.
pub(super) const NOBODY: &str = "dkimctl-import";

/// A domain that no set-up names.
pub(super) fn any_domain() -> Option<Domain> {
    Domain::parse("dkimctl-import.invalid").ok()
}

/// A domain below another that no set-up names.
pub(super) fn below(domain: &Domain) -> Option<Domain> {
    Domain::parse(&format!("{NOBODY}.{domain}")).ok()
}

impl Scope {
    pub(super) fn of(kind: Kind, row: &Row) -> Self {
        let key = row.key.to_ascii_lowercase();
        if !key.is_ascii() {
            return Self::Nobody("OpenDKIM compares ASCII addresses only");
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
        const LITERAL: &str = "a `*` in a table that is not refile: stands for itself";
        const UNUSABLE: &str = "it is no address and no domain";
        let domain = |text: &str| Domain::parse(text).ok();
        if let Some((local, "*")) = key.rsplit_once('@').filter(|(local, _)| !local.contains('*')) {
            return any_domain().map_or(Self::Any, |any| Self::Other(local.to_owned(), any));
        }
        if key.contains('*') {
            return Self::Nobody(LITERAL);
        }
        let scope = match key.rsplit_once('@') {
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
        scope.unwrap_or(Self::Nobody(UNUSABLE))
    }

    fn of_pattern(key: &str) -> Self {
        const UNUSABLE: &str = "it fits no address; a row for a domain is *@DOMAIN";
        let plain = |text: &str| !text.contains('*');
        let domain = |text: &str| Domain::parse(text).ok().filter(|_| plain(text));
        if key.contains(LIVE) {
            return Self::Expression;
        }
        let scope = match key.rsplit_once('@') {
            Some(("*", suffix)) => match suffix.strip_prefix("*.") {
                Some(parent) if plain(parent) => domain(parent).map(Self::Below),
                _ if plain(suffix) => domain(suffix).map(Self::Domain),
                _ => Self::instance(key),
            },
            Some((local, suffix)) if plain(local) && plain(suffix) => {
                domain(suffix).map(|domain| Self::Address(local.to_owned(), domain))
            }
            Some(_) => Self::instance(key),
            None => match key.strip_prefix("*.") {
                Some(parent) if plain(parent) => domain(parent).map(Self::Below),
                _ if plain(key) => None,
                _ => Self::instance(key),
            },
        };
        scope.unwrap_or(Self::Nobody(UNUSABLE))
    }

    /// A sender that an odd pattern is for.
    fn instance(key: &str) -> Option<Self> {
        let address = if key.contains('@') {
            key.to_owned()
        } else {
            key.replacen('*', &format!("{NOBODY}@{NOBODY}"), 1)
        };
        let (local, domain) = address.rsplit_once('@')?;
        let domain = match domain.strip_suffix('*') {
            Some(domain) => format!("{domain}{NOBODY}.invalid"),
            None => domain.to_owned(),
        };
        let domain = Domain::parse(&domain.replace('*', NOBODY)).ok()?;
        Some(Self::Other(local.replace('*', NOBODY), domain))
    }
}

/// A sender whose mail is looked at in both set-ups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) local: String,
    pub(super) domain: Domain,
    /// How to speak of it.
    pub(super) name: String,
}

impl Sender {
    pub(super) fn of(local: &str, domain: &Domain, name: String) -> Self {
        Self { local: local.to_owned(), domain: domain.clone(), name }
    }

    pub(super) fn at(domain: &Domain) -> Self {
        Self::of(NOBODY, domain, format!("mail From {domain}"))
    }

    /// Whether the set-up names the domain.
    pub(super) fn is_named(&self) -> bool {
        !self.domain.as_str().contains(NOBODY)
    }

    pub(super) fn below(domain: &Domain) -> Option<Self> {
        let below = below(domain)?;
        Some(Self::of(NOBODY, &below, format!("mail From domains below {domain}")))
    }

    pub(super) fn any() -> Option<Self> {
        Some(Self::of(NOBODY, &any_domain()?, "mail From any other domain".to_owned()))
    }
}

/// The rows of a set-up that say whose mail is signed, with what each is for.
pub(super) fn scopes(old: &Old) -> Vec<(&Row, Scope)> {
    let of = |table: &'_ Table, row| Scope::of(table.kind, row);
    match &old.by {
        By::Tables { signing, .. } => {
            signing.rows.iter().map(|row| (row, of(signing, row))).collect()
        }
        By::One { domains, .. } => domains.rows.iter().map(|row| (row, of(domains, row))).collect(),
    }
}

/// The domains that a set-up names, those with many labels last; `found` are those of key files.
pub(super) fn domains(old: &Old, found: &[Domain]) -> Vec<Domain> {
    let mut all: Vec<Domain> = found.to_vec();
    for (row, scope) in scopes(old) {
        match scope {
            Scope::Address(_, domain) | Scope::Domain(domain) | Scope::Below(domain) => {
                all.push(domain);
            }
            Scope::Other(..) => {
                // What an odd row is for may be the domain in it, too.
                let suffix = row.key.rsplit('@').next().unwrap_or_default();
                all.extend(Domain::parse(suffix.trim_start_matches(['*', '.'])).ok());
            }
            Scope::Any | Scope::Expression | Scope::Nobody(_) => {}
        }
    }
    if let By::Tables { keys, signing, .. } = &old.by
        && signing.rows.iter().any(|row| row.value.starts_with('%'))
    {
        // A row of KeyTable is found by the name of the sender's domain.
        all.extend(keys.rows.iter().filter_map(|row| Domain::parse(&row.key).ok()));
    }
    let exempt = old.exempt.iter().flat_map(|table| &table.rows);
    all.extend(exempt.filter_map(|row| Domain::parse(&row.key).ok()));
    let is_real = |domain: &Domain| {
        let text = domain.as_str();
        !text.contains("._domainkey.") && !text.ends_with("invalid") && !text.contains(NOBODY)
    };
    all.retain(|domain| is_real(domain) && domain.as_str().contains('.'));
    all.sort_by_cached_key(|domain| {
        (domain.as_str().matches('.').count(), domain.as_str().to_owned())
    });
    all.dedup();
    all
}

/// The domains for which there is a key file by a row whose path has `%` for the sender's domain.
pub(super) fn found(old: &Old, files: &dyn Files) -> Vec<Domain> {
    let By::Tables { keys, .. } = &old.by else { return Vec::new() };
    let mut all = Vec::new();
    for row in &keys.rows {
        let mut columns = row.value.splitn(3, ':');
        let (Some("%"), Some(_), Some(path)) = (columns.next(), columns.next(), columns.next())
        else {
            continue;
        };
        let Some((before, after)) = path.split_once('%').filter(|_| path.starts_with('/')) else {
            continue;
        };
        let Some((folder, begin)) = before.rsplit_once('/') else { continue };
        let end = after.split('/').next().unwrap_or_default();
        for name in files.names(folder) {
            let inside = name.strip_prefix(begin).and_then(|name| name.strip_suffix(end));
            let domain = inside.and_then(|name| Domain::parse(name).ok());
            all.extend(
                domain.filter(|domain| files.read(&path.replace('%', domain.as_str())).is_ok()),
            );
        }
    }
    all
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
        assert_eq!(of("*-news@sample.com"), Scope::Other(format!("{NOBODY}-news"), sample()));
        let beside = Domain::parse(&format!("{NOBODY}sample.com")).unwrap();
        assert_eq!(of("*sample.com"), Scope::Other(NOBODY.into(), beside));
    }

    #[test]
    fn rows_that_fit_nobody_are_told_apart() {
        for (kind, key) in [
            (Kind::Pattern, "sample.com"),
            (Kind::Exact, "*@sample.com"),
            (Kind::Exact, "*.sample.com"),
            (Kind::Exact, "a b"),
        ] {
            assert!(matches!(scope(kind, key), Scope::Nobody(_)), "{key}");
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
