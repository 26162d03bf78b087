//! The domain files of the tree, and the keys that they name.

use std::path::{Path, PathBuf};

use crate::admin::output::Failure;
use crate::admin::store::FileError;
use crate::admin::store::domains::{self, DomainConfig};
use crate::admin::store::keys::KeyFiles;
use crate::dkim::{Domain, Identity, PublicKey, Selector};

/// What one domain file asks for.
pub(super) struct DomainKeys {
    /// d=
    pub(super) domain: Domain,
    /// Each once; or why the key cannot be read.
    pub(super) keys: Vec<(Selector, Result<PublicKey, String>)>,
    /// i= is of a domain below d=.
    pub(super) identity_below: bool,
    /// Mail From below the domain is signed.
    pub(super) subdomains: bool,
}

impl DomainKeys {
    /// The keys that can be read, by their selectors.
    pub(super) fn readable(&self) -> Vec<(String, PublicKey)> {
        let readable = self.keys.iter();
        readable.filter_map(|(name, key)| Some((name.to_string(), key.clone().ok()?))).collect()
    }
}

/// A domain file; or which, and why it cannot be used.
pub(super) type Found = Result<DomainKeys, (PathBuf, String)>;

/// All domain files of a tree in the order of their names, or those of one domain. `default.toml` has no
/// d= of its own unless it says so, and is left out then.
///
/// # Errors
///
/// When the folder or `config.toml` cannot be read.
pub(super) fn domain_files(etc: &Path, only: Option<&Domain>) -> Result<Vec<Found>, Failure> {
    let found = domains::all(etc)?.filter_map(|(path, read)| {
        let named = only.is_none() || domains::named_after(&path).as_ref() == only;
        match read {
            Ok(config) => {
                let is_asked = named || config.domain() == only;
                is_asked.then(|| domain_keys(etc, &config)).flatten().map(Ok)
            }
            Err(why) => named.then(|| Err((path, why.to_string()))),
        }
    });
    Ok(found.collect())
}

fn domain_keys(etc: &Path, config: &DomainConfig) -> Option<DomainKeys> {
    let domain = config.domain()?.clone();
    let folder = etc.join("keys").join(config.folder());
    let mut keys: Vec<(Selector, Result<PublicKey, String>)> = Vec::new();
    for selector in config.file.all_selectors() {
        if keys.iter().all(|(known, _)| known != selector) {
            keys.push((selector.clone(), public_half(&KeyFiles::within(&folder, selector))));
        }
    }
    let identity = config.file.identity.as_ref().map(Identity::domain);
    Some(DomainKeys {
        identity_below: identity.is_some_and(|identity| *identity != domain),
        subdomains: config.file.subdomains,
        domain,
        keys,
    })
}

fn public_half(files: &KeyFiles) -> Result<PublicKey, String> {
    let path = files.private.display();
    files.public().map_err(|error| match error {
        FileError::Unreadable(error) => format!("cannot read {path}: {error}"),
        FileError::Invalid(_) => format!("{path}: {error}"),
    })
}
