//! The domain files on the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::admin::input;
use crate::admin::output::Failure;
use crate::config::{ConfigError, DomainFile, Host, Signing};
use crate::dkim::Domain;

/// The paths of all domain files of a tree, in the order of their names.
///
/// # Errors
/// The folder can't be read.
pub(crate) fn paths(etc: &Path) -> Result<Vec<PathBuf>, Failure> {
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
    Ok(paths)
}

/// The domain that a file is named after; `None`: `default.toml`, or no name of a domain.
pub(crate) fn named_after(path: &Path) -> Option<Domain> {
    let name = path.file_stem().and_then(|name| name.to_str())?;
    Domain::parse(name).ok().filter(|_| name != "default")
}

/// Reads `config.toml`; `None` where there is none yet.
///
/// # Errors
/// It can't be read or used: then the wrapper signs nothing, and no domain file means what it says.
pub(crate) fn host(etc: &Path) -> Result<Option<Host>, Failure> {
    let path = etc.join("config.toml");
    let text = match input::text(&path, input::CONFIGURATION) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::reading(&path, &error)),
    };
    let host = Host::parse(&text);
    host.map(Some).map_err(|error| Failure::data(format_args!("{}: {error}", path.display())))
}

/// What domain files inherit from `config.toml`, or from the built-in defaults where there is none yet.
///
/// # Errors
/// As those of [`host`].
pub(crate) fn inherited(etc: &Path) -> Result<Signing, Failure> {
    Ok(host(etc)?.map(|host| host.signing).unwrap_or_default())
}

/// Reads the text of the domain file at `path` as the wrapper does. Nothing else in `dkimctl` may: a
/// domain file is valid or not only together with the `config.toml` that it changes.
///
/// # Errors
/// Names the line and the key.
pub(crate) fn parse(path: &Path, text: &str, host: &Signing) -> Result<DomainFile, ConfigError> {
    DomainFile::parse(text, named_after(path).as_ref(), host)
}
