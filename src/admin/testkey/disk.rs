//! The domain files of the tree, and the keys that they name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::admin::output::Failure;
use crate::config::{DomainFile, Host, Signing};
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
/// When the folder cannot be read.
pub(super) fn domain_files(etc: &Path, only: Option<&Domain>) -> Result<Vec<Found>, Failure> {
    let folder = etc.join("domains");
    let failed = |error: io::Error| Failure::reading(&folder, &error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    let host = signing(etc);
    let found = paths.iter().filter_map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_default = name == "default";
        let domain = Domain::parse(&name).ok().filter(|_| !is_default);
        let named = only.is_none() || domain.as_ref() == only;
        let file = match read(path, domain.as_ref(), &host) {
            Ok(file) => file,
            Err(why) => return named.then(|| Err((path.clone(), why))),
        };
        let domain = file.domain.clone().or(domain);
        let named = named || domain.as_ref() == only;
        domain.filter(|_| named).map(|domain| Ok(domain_keys(etc, domain, &file)))
    });
    Ok(found.collect())
}

/// The settings of the host, where they can be had: what a domain file inherits is no matter here.
fn signing(etc: &Path) -> Signing {
    let text = fs::read_to_string(etc.join("config.toml")).unwrap_or_default();
    Host::parse(&text).map(|host| host.signing).unwrap_or_default()
}

fn read(path: &Path, domain: Option<&Domain>, host: &Signing) -> Result<DomainFile, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    DomainFile::parse(&text, domain, host).map_err(|error| error.to_string())
}

fn domain_keys(etc: &Path, domain: Domain, file: &DomainFile) -> DomainKeys {
    let mut selectors: Vec<&Selector> = file.selectors.iter().collect();
    selectors.extend(file.rules.iter().flat_map(|rule| &rule.selectors));
    let mut keys: Vec<(Selector, Result<PublicKey, String>)> = Vec::new();
    let folder = etc.join("keys").join(domain.as_str());
    for selector in selectors {
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
    let pem = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let pem = Zeroizing::new(pem);
    let key = SigningKey::from_pem(&*pem, 1024);
    key.map(|key| key.public()).map_err(|error| format!("{}: {}", path.display(), chain(&error)))
}
