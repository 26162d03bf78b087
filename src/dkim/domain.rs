//! The names in a signature: domain (d=), selector (s=) and identity (i=).

use std::borrow::Cow;
use std::{error, fmt};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// A signing domain (SDID, §2.5): lower-case A-labels, 1 to 253 bytes, no empty label, no trailing
/// dot.
///
/// A domain is also safe as a file name: it consists of letters, digits, `-`, `_` and single dots, and neither begins nor ends
/// with a dot or a hyphen.
///
/// ```
/// use sendmail_dkim::dkim::Domain;
///
/// assert_eq!(Domain::parse("Bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
/// assert!(Domain::parse("../sample.com").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Box<str>);

impl Domain {
    /// Parses a domain in A-labels or U-labels (RFC 5890 §2.3.2.1) of any case.
    ///
    /// # Errors
    ///
    /// The text breaks a rule of the type.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        a_labels(text).map(Self)
    }

    /// The domain in lower-case A-labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is only valid on one host: it has no dot, or is below `localhost` or `localdomain`. No key can be
    /// published for it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let last = self.as_str().rsplit('.').next().unwrap_or_default();
        !self.as_str().contains('.') || ["localhost", "localdomain"].contains(&last)
    }

    /// The parent domain. `None` if that has a single label or none.
    pub fn parent(&self) -> Option<Self> {
        let (_, parent) = self.0.split_once('.')?;
        parent.contains('.').then(|| Self(parent.into()))
    }

    /// Whether this domain is `other` or a subdomain of it.
    pub fn is_within(&self, other: &Self) -> bool {
        match self.0.strip_suffix(&*other.0) {
            Some(labels) => labels.is_empty() || labels.ends_with('.'),
            None => false,
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one key of a domain (§3.1): one or more labels, as in a [`Domain`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(Box<str>);

impl Selector {
    /// The name of its key record (§3.6.2.1).
    pub fn record_name(&self, domain: &Domain) -> String {
        format!("{self}._domainkey.{domain}")
    }

    /// Parses a selector of any case.
    ///
    /// # Errors
    ///
    /// The text breaks a rule of the type.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        a_labels(text).map(Self)
    }

    /// The selector in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The user or agent on whose behalf the message is signed (AUID, §2.6): `local@domain` or
/// `@domain`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    local: Box<str>,
    domain: Domain,
}

impl Identity {
    /// Parses an identity. The local part keeps its case.
    ///
    /// # Errors
    ///
    /// There is no `@`, the local part has a control character, or the domain is not valid.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let (local, domain) = text.rsplit_once('@').ok_or(DomainError::NoAt)?;
        if let Some(control) = local.chars().find(|char| char.is_control()) {
            return Err(DomainError::Character(control));
        }
        Ok(Self { local: local.into(), domain: Domain::parse(domain)? })
    }

    /// The text before the last `@`; may be empty.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain: d= itself or a subdomain of it (§3.5 i=).
    pub fn domain(&self) -> &Domain {
        &self.domain
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// Why a text is not a domain, selector or identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainError {
    /// The text is empty, or longer than DNS allows.
    Length(usize),
    /// Two dots in a row, or a dot at either end.
    EmptyLabel,
    /// A label of more than 63 bytes (RFC 1035 §2.3.4).
    LongLabel,
    /// Something other than a letter, a digit, `-` or `_`.
    Character(char),
    /// A label that begins or ends with a hyphen.
    Hyphen,
    /// A text with non-ASCII characters that UTS 46 cannot convert to A-labels.
    Unmappable,
    /// An identity without `@`.
    NoAt,
}

impl fmt::Display for DomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(0) => write!(f, "it is empty"),
            Self::Length(bytes) => write!(f, "it has {bytes} bytes, more than {MAXIMUM}"),
            Self::EmptyLabel => write!(f, "it has an empty label (one dot too many)"),
            Self::LongLabel => write!(f, "it has a label of more than {MAXIMUM_LABEL} bytes"),
            Self::Character(char) => write!(f, "{char:?} is not allowed in it"),
            Self::Hyphen => write!(f, "a label begins or ends with a hyphen"),
            Self::Unmappable => write!(f, "it is not a valid internationalized name"),
            Self::NoAt => write!(f, "it has no @"),
        }
    }
}

impl error::Error for DomainError {}

/// Turns a name into lower-case A-labels.
fn a_labels(text: &str) -> Result<Box<str>, DomainError> {
    // Checked before UTS 46 processing, whose cost grows faster than its input.
    if text.len() > MAXIMUM.saturating_mul(4) {
        return Err(DomainError::Length(text.len()));
    }
    let name = if text.is_ascii() {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Uts46::new()
            .to_ascii(text.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore)
            .map_err(|_| DomainError::Unmappable)?
    };
    if name.is_empty() || name.len() > MAXIMUM {
        return Err(DomainError::Length(name.len()));
    }
    for label in name.split('.') {
        label_rules(label)?;
    }
    Ok(name.into())
}

fn label_rules(label: &str) -> Result<(), DomainError> {
    let foreign = |char: &char| !matches!(char, 'a'..='z' | '0'..='9' | '-' | '_');
    if let Some(char) = label.chars().find(foreign) {
        return Err(DomainError::Character(char));
    }
    match label.len() {
        0 => Err(DomainError::EmptyLabel),
        _ if label.starts_with('-') || label.ends_with('-') => Err(DomainError::Hyphen),
        1..=MAXIMUM_LABEL => Ok(()),
        _ => Err(DomainError::LongLabel),
    }
}

/// Bytes of a name in text form (RFC 1035 §2.3.4, without the root).
const MAXIMUM: usize = 253;
const MAXIMUM_LABEL: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn rfc6376_3_6_2_1_the_record_is_below_the_domain() {
        let (selector, domain) =
            (Selector::parse("a.b").unwrap(), Domain::parse("x.test").unwrap());
        assert_eq!(selector.record_name(&domain), "a.b._domainkey.x.test");
    }

    #[test]
    fn a_domain_is_kept_in_lower_case_a_labels() {
        assert_eq!(domain("Sample.COM").as_str(), "sample.com");
        assert_eq!(domain("bücher.example").as_str(), "xn--bcher-kva.example");
        assert_eq!(domain("_x.a-b.example").as_str(), "_x.a-b.example");
    }

    #[test]
    fn a_domain_cannot_be_used_for_path_traversal() {
        for text in ["..", ".", "a/b", "a\\b", "../a", "a\0b", "a b", " a", "a\n", "~a", "a..b"] {
            assert!(Domain::parse(text).is_err(), "{text:?}");
            assert!(Selector::parse(text).is_err(), "{text:?}");
        }
        // UTS 46 maps these to a slash and to dots.
        for text in ["a\u{ff0f}b.example", "\u{2025}", "a\u{3002}\u{3002}b"] {
            assert!(Domain::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn no_label_is_empty_too_long_or_bordered_by_a_hyphen() {
        assert_eq!(Domain::parse(""), Err(DomainError::Length(0)));
        assert_eq!(Domain::parse("a."), Err(DomainError::EmptyLabel));
        assert_eq!(Domain::parse("-a.example"), Err(DomainError::Hyphen));
        assert_eq!(Domain::parse(&"a".repeat(64)), Err(DomainError::LongLabel));
        assert!(Domain::parse(&"a".repeat(63)).is_ok());
    }

    #[test]
    fn a_domain_has_at_most_253_bytes() {
        let long = format!("{}.{}", "a.".repeat(94), "b".repeat(63));
        assert_eq!(long.len(), 252);
        assert!(Domain::parse(&format!("{long}c.d")).is_err());
        assert!(
            Domain::parse(&"a.".repeat(126).trim_end_matches('.').replace("a.a", "aa")).is_ok()
        );
        assert_eq!(Domain::parse(&format!("{}b", "a.".repeat(127))), Err(DomainError::Length(255)));
    }

    #[test]
    fn a_text_of_more_than_1012_bytes_is_not_mapped() {
        // UTS 46 drops soft hyphens.
        let text = |hyphens: usize| format!("ab{}.example", "\u{ad}".repeat(hyphens));
        assert_eq!(text(501).len(), 1012);
        assert_eq!(domain(&text(501)).as_str(), "ab.example");
        assert_eq!(Domain::parse(&text(502)), Err(DomainError::Length(1014)));
    }

    #[test]
    fn a_domain_of_two_labels_has_no_parent() {
        assert_eq!(domain("a.b.sample.com").parent(), Some(domain("b.sample.com")));
        assert_eq!(domain("sample.com").parent(), None);
        assert_eq!(domain("localhost").parent(), None);
    }

    #[test]
    fn a_domain_is_within_itself_and_its_parents_only() {
        assert!(domain("sample.com").is_within(&domain("sample.com")));
        assert!(domain("a.b.sample.com").is_within(&domain("sample.com")));
        assert!(!domain("badsample.com").is_within(&domain("sample.com")));
        assert!(!domain("sample.com").is_within(&domain("a.sample.com")));
    }

    #[test]
    fn an_identity_may_lack_its_local_part_but_not_its_domain() {
        assert_eq!(Identity::parse("@sample.com").unwrap().local(), "");
        assert_eq!(Identity::parse("a@b@sample.com").unwrap().local(), "a@b");
        assert_eq!(Identity::parse("sample.com"), Err(DomainError::NoAt));
        assert!(Identity::parse("a\n@sample.com").is_err());
        assert!(Identity::parse("a@").is_err());
    }
}
