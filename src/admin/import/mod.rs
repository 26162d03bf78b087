//! `dkimctl import`: an OpenDKIM configuration → domain files and keys. Overwrites nothing.

mod compare;
mod data_set;
mod domain_files;
mod headers;
mod keys;
mod mapping;
mod opendkim;
mod opendkim_conf;
mod report;
mod senders;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use super::checks::obstacles::missing;
use super::cli::{Args, DRY_RUN, JSON, Opt};
use super::input;
use super::output::Failure;
use super::store::{Store, domains};
use crate::config::Signing;
use domain_files::{Imported, Source};
use mapping::Mapping;
use opendkim::OpenDkim;
pub use opendkim_conf::Files;
use opendkim_conf::Settings;
use report::Report;

pub(super) const OPTIONS: &[Opt] = &[DRY_RUN, JSON];

pub(super) const HELP: &str = "\
usage: dkimctl import [OPTION...] [OPENDKIM.CONF]

Create domain files and keys from an OpenDKIM configuration.

Reads OPENDKIM.CONF (default: /etc/opendkim.conf) and reports each setting as
imported, not needed or not supported. Compares both configurations sender by
sender and reports the differences. Nothing is ever overwritten: if a file
exists with different content, nothing is written.

Exits with 0 if everything that OpenDKIM signs is signed here, 1 if a setting is
not supported or a step is left to do, 73 if a file is in the way.
";

/// Where OpenDKIM looks.
const CONF: &str = "/etc/opendkim.conf";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let is_dry = args.has("--dry-run");
    if !is_dry {
        Store::refuse_others(&args.etc)?;
    }
    let path = args.file().unwrap_or(Path::new(CONF)).display().to_string();
    let disk = Disk;
    let settings = Settings::read(&path, &disk).map_err(|why| {
        Failure::missing(format_args!("cannot read {path:?}: {why}; name the opendkim.conf"))
    })?;
    let opendkim = OpenDkim::new(&settings, &disk)
        .map_err(|why| Failure::data(format_args!("{path}: nothing to import: {why}")))?;
    let host = domains::host(&args.etc)?;
    let signing = host.as_ref().map_or_else(Signing::default, |host| host.signing.clone());
    let mapping = Mapping::of(&settings, &signing, &disk);
    let with_key = senders::with_key_file(&opendkim, &disk);
    let source = Source { opendkim: &opendkim, with_key: &with_key, host: &signing };
    let mut imported = source.import(&mapping.lines);
    imported.compare_beside(source, &files_beside(&imported, &args.etc));

    let mut report = Report::new(mapping, host.as_ref(), &args.etc)?;
    report.add(&imported, settings.value("BaseDirectory"), &args.etc);
    report.refuse_conflicts()?;
    report.look_for_losses();
    if !is_dry {
        report.write(&args.etc)?;
        report.missing.extend(missing(&args.etc, |stem| imported.files.contains_key(stem)));
    }
    args.print(&report, &report.text(is_dry))?;
    Ok(if report.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The domain files that exist and are not among the new ones, by their names without `.toml`.
fn files_beside(imported: &Imported, etc: &Path) -> BTreeMap<String, String> {
    let paths = domains::paths(etc).unwrap_or_default().into_iter();
    let named = paths.filter_map(|path| {
        let name = path.file_stem()?.to_str()?.to_owned();
        Some((name, input::text(&path, input::CONFIGURATION).ok()?))
    });
    named.filter(|(name, _)| !imported.files.contains_key(name)).collect()
}

/// The domain files that a configuration becomes, by their names without `.toml`. Pure, whatever `files` are.
///
/// # Errors
/// Why there is nothing to import.
pub fn domain_files(
    conf: &str,
    host: &Signing,
    files: &dyn Files,
) -> Result<BTreeMap<String, String>, String> {
    let settings = Settings::read(conf, files)?;
    let opendkim = OpenDkim::new(&settings, files)?;
    let lines = Mapping::of(&settings, host, files).lines;
    let with_key = senders::with_key_file(&opendkim, files);
    Ok(Source { opendkim: &opendkim, with_key: &with_key, host }.import(&lines).files)
}

/// The files of this host.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        let bytes =
            input::read(Path::new(path), input::FOREIGN).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn names(&self, folder: &str) -> Vec<String> {
        input::names(Path::new(folder)).unwrap_or_default()
    }
}
