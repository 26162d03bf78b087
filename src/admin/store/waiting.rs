//! `domains/DOMAIN.waiting`: the domain file of a new domain, until DNS has the record of its key. The wrapper does not read it, so
//! it signs nothing. The command that publishes the record continues from here after a failure.

use std::path::{Path, PathBuf};

use super::domains::{self, DomainConfig};
use super::folder::Readers;
use super::write::{NewFile, Store};
use crate::admin::input;
use crate::admin::output::Failure;
use crate::dkim::Domain;

/// The path of that file.
pub(crate) fn path(etc: &Path, domain: &Domain) -> PathBuf {
    domains::file(etc, domain).with_extension("waiting")
}

/// The future domain file of a domain. `None` if the domain does not wait.
///
/// # Errors
/// The file cannot be read or used.
pub(crate) fn read(etc: &Path, domain: &Domain) -> Result<Option<DomainConfig>, Failure> {
    let file = domains::file(etc, domain);
    if file.symlink_metadata().is_ok() {
        return Ok(None);
    }
    let path = path(etc, domain);
    let Some(text) = input::optional(&path)? else { return Ok(None) };
    let parsed = DomainConfig::parse(&file, text, &domains::inherited(etc)?);
    parsed.map(Some).map_err(|error| Failure::data(format_args!("{}: {error}", path.display())))
}

/// Makes the waiting file the domain file, so that the domain is signed.
///
/// # Errors
/// Another user could have written the file; the domain has a domain file already.
pub(crate) fn activate(store: &Store, etc: &Path, config: &DomainConfig) -> Result<(), Failure> {
    let Some(domain) = &config.name else { return Ok(()) };
    let waiting = path(etc, domain);
    store.replaceable(&waiting)?;
    let (path, text) = (config.path.as_path(), config.text.as_bytes());
    store.files(&[NewFile { path, text, readers: Readers::All }])?;
    store.remove(&waiting)
}
