//! `domains/DOMAIN.waiting`: the domain file of a new domain, until DNS has the record of its key. The wrapper does not read it, so
//! it signs nothing. The command that publishes the record continues from here after a failure.

use std::path::{Path, PathBuf};

use super::domains::{self, DomainConfig};
use crate::admin::input;
use crate::admin::output::Failure;
use crate::dkim::Domain;

/// The path of that file.
pub(crate) fn path(etc: &Path, domain: &Domain) -> PathBuf {
    domains::file(etc, domain).with_extension("waiting")
}

/// The domains that wait, in the order of their names.
pub(crate) fn domains(etc: &Path) -> Vec<Domain> {
    let names = input::names(&etc.join("domains")).unwrap_or_default();
    let stems = names.iter().filter_map(|name| name.strip_suffix(".waiting"));
    stems.filter_map(|stem| Domain::parse(stem).ok()).collect()
}

/// The failure if no domain has a domain file.
pub(crate) fn no_domains(etc: &Path) -> Failure {
    match domains(etc).first() {
        None => Failure::missing("no domains yet").fixed_by("dkimctl add DOMAIN"),
        Some(first) => {
            let what = format_args!("no domain signs yet: {first} waits for its record");
            Failure::missing(what).fixed_by(format_args!("dkimctl add {first}"))
        }
    }
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
    let Some(text) = input::optional(&path, input::CONFIGURATION)? else { return Ok(None) };
    let parsed = DomainConfig::parse(&file, text, &domains::inherited(etc)?);
    parsed.map(Some).map_err(|error| Failure::data(format_args!("{}: {error}", path.display())))
}
