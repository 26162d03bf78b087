//! The domain files on the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::output::Failure;
use crate::config::{Host, Signing};
use crate::dkim::Domain;

/// The paths of all domain files of a tree, in the order of their names.
///
/// # Errors
/// The folder can't be read.
pub(super) fn paths(etc: &Path) -> Result<Vec<PathBuf>, Failure> {
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
pub(super) fn named_after(path: &Path) -> Option<Domain> {
    let name = path.file_stem().and_then(|name| name.to_str())?;
    Domain::parse(name).ok().filter(|_| name != "default")
}

/// What domain files inherit from the host, where that can be had; else what holds without it.
pub(super) fn inherited(etc: &Path) -> Signing {
    let text = fs::read_to_string(etc.join("config.toml")).unwrap_or_default();
    Host::parse(&text).map(|host| host.signing).unwrap_or_default()
}
