//! `[[sign]]` tables.

use super::error::ConfigError;
use super::keys::{Keys, RuleKeys};
use crate::dkim::{Domain, Identity, Selector};

/// `[[sign]]`: selectors for mail From one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The local part of `from`.
    pub local: String,
    /// The domain of `from`.
    pub domain: Domain,
    /// At least one.
    pub selectors: Vec<Selector>,
    /// i=, instead of that of the file.
    pub identity: Option<Identity>,
}

impl Rule {
    /// Parses a rule of a file that signs with d= `d`. `None` means the domain of each author.
    pub(super) fn of(
        table: &RuleKeys,
        keys: &Keys<'_>,
        d: Option<&Domain>,
    ) -> Result<Self, ConfigError> {
        let error = |what: String| keys.error("from", &table.from.span(), what);
        let text: &str = table.from.as_ref();
        let (local, domain) = text
            .rsplit_once('@')
            .filter(|(local, _)| !local.is_empty())
            .ok_or_else(|| error(format!("expected an address (local@domain), found {text:?}")))?;
        let domain = Domain::parse(domain).map_err(|why| error(why.to_string()))?;
        let selectors = keys.selectors_of(&table.selector, &table.selectors)?;
        let missing = || keys.error("sign", &table.from.span(), "key `selector` is missing");
        let identity = keys.identity_of(&table.identity, d)?;
        let selectors = selectors.ok_or_else(missing)?;
        Ok(Self { local: local.to_owned(), domain, selectors, identity })
    }
}
