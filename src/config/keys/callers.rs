//! The keys that say whose mail is signed.

use super::{Keys, List, MOST_LOGINS};
use crate::config::ConfigError;
use crate::network::Network;

impl Keys<'_> {
    pub(in crate::config) fn filter_user(&self) -> Result<Option<String>, ConfigError> {
        self.parsed("filter_user", &self.values.filter_user, |text| match text {
            "" => Err("the name is empty"),
            // Other programs also run as root, and would be taken for the filter.
            "root" => Err("must not be root; use the user of the filter's line in master.cf"),
            name => Ok(name.to_owned()),
        })
    }

    /// The names in `users`, `groups` or `logins`.
    pub(in crate::config) fn logins(
        &self,
        key: &str,
        list: &List,
    ) -> Result<Option<Vec<String>>, ConfigError> {
        self.most(key, list, MOST_LOGINS)?;
        Ok(list.as_ref().map(|names| names.as_ref().clone()))
    }

    pub(in crate::config) fn clients(&self) -> Result<Option<Vec<Network>>, ConfigError> {
        let list = &self.values.clients;
        self.most("clients", list, MOST_LOGINS)?;
        let Some(list) = list else { return Ok(None) };
        let networks = list.as_ref().iter().map(|text| Network::parse(text));
        let networks = networks.collect::<Result<_, _>>();
        networks.map(Some).map_err(|why| self.error("clients", &list.span(), why))
    }
}
