//! The domain files of the tree, and the keys that they name.

use std::path::{Path, PathBuf};

use crate::admin::input;
use crate::admin::output::Failure;
use crate::admin::store::domains;
use crate::config::DomainFile;
use crate::dkim::{Domain, Identity, PublicKey, Selector, SigningKey};
use crate::report::chain;

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

/// A domain file; or which, and why it cannot be used.
pub(super) type Found = Result<DomainKeys, (PathBuf, String)>;

/// All domain files of a tree in the order of their names, or those of one domain. `default.toml` has no
/// d= of its own unless it says so, and is left out then.
///
/// # Errors
///
/// When the folder or `config.toml` cannot be read.
pub(super) fn domain_files(etc: &Path, only: Option<&Domain>) -> Result<Vec<Found>, Failure> {
    let paths = domains::paths(etc)?;
    let host = domains::inherited(etc)?;
    let found = paths.iter().filter_map(|path| {
        let domain = domains::named_after(path);
        let named = only.is_none() || domain.as_ref() == only;
        let text = input::text(path, input::CONFIGURATION).map_err(|error| error.to_string());
        let parse =
            |text: String| domains::parse(path, &text, &host).map_err(|why| why.to_string());
        let file = match text.and_then(parse) {
            Ok(file) => file,
            Err(why) => return named.then(|| Err((path.clone(), why))),
        };
        let domain = file.domain.clone().or(domain);
        let named = named || domain.as_ref() == only;
        domain.filter(|_| named).map(|domain| Ok(domain_keys(etc, domain, &file)))
    });
    Ok(found.collect())
}

fn domain_keys(etc: &Path, domain: Domain, file: &DomainFile) -> DomainKeys {
    let mut keys: Vec<(Selector, Result<PublicKey, String>)> = Vec::new();
    let folder = etc.join("keys").join(domain.as_str());
    for selector in file.all_selectors() {
        if keys.iter().all(|(known, _)| known != selector) {
            let path = folder.join(format!("{selector}.private"));
            keys.push((selector.clone(), public_half(&path)));
        }
    }
    let identity = file.identity.as_ref().map(Identity::domain);
    DomainKeys {
        identity_below: identity.is_some_and(|identity| *identity != domain),
        subdomains: file.subdomains,
        domain,
        keys,
    }
}

fn public_half(path: &Path) -> Result<PublicKey, String> {
    let pem =
        input::key(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let key = SigningKey::from_pem(&*pem, 1024);
    key.map(|key| key.public()).map_err(|error| format!("{}: {}", path.display(), chain(&error)))
}
