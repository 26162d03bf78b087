//! The users who may sign for a new domain.

use nix::unistd::{Group, User};

use crate::admin::cli::Args;
use crate::admin::output::Failure;
use crate::admin::store::domains::DomainConfig;

/// Who may sign. If no user or group is named, every user may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signers {
    users: Option<Vec<String>>,
    groups: Option<Vec<String>>,
}

impl Signers {
    /// Reads the options.
    pub(crate) fn of(args: &Args) -> Result<Self, Failure> {
        let names = |list: &str| list.split(',').map(|one| one.trim().to_owned()).collect();
        let (users, groups) = (args.text("--users")?, args.text("--groups")?);
        let signers = Self { users: users.map(names), groups: groups.map(names) };
        let no_user = |name: &&String| !matches!(User::from_name(name), Ok(Some(_)));
        let no_group = |name: &&String| !matches!(Group::from_name(name), Ok(Some(_)));
        if let Some(name) = signers.users.iter().flatten().find(no_user) {
            return Err(Failure::no_user(format_args!("--users: there is no user {name:?}")));
        }
        if let Some(name) = signers.groups.iter().flatten().find(no_group) {
            return Err(Failure::no_user(format_args!("--groups: there is no group {name:?}")));
        }
        Ok(signers)
    }

    /// Reads them from a domain file.
    pub(super) fn named_in(config: &DomainConfig) -> Self {
        Self { users: config.file.users.clone(), groups: config.file.groups.clone() }
    }

    pub(crate) fn is_every_user(&self) -> bool {
        self.users.is_none() && self.groups.is_none()
    }

    /// Lines of a domain file.
    pub(super) fn toml(&self) -> String {
        let line = |key: &str, names: &Option<Vec<String>>| {
            names.as_ref().map_or_else(String::new, |names| format!("{key} = {names:?}\n"))
        };
        format!("{}{}", line("users", &self.users), line("groups", &self.groups))
    }
}
