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

use super::checks::obstacles::{Missing, is_installed, missing};
use super::cli::{Args, DRY_RUN, JSON, Opt, SERVER};
use super::dns::Dns;
use super::input;
use super::output::Failure;
use super::store::{Store, domains};
use crate::config::Signing;
use domain_files::{Imported, Source};
use headers::Fields;
use keys::ImportedKey;
use mapping::Mapping;
use opendkim::OpenDkim;
pub use opendkim_conf::Files;
use opendkim_conf::Settings;
use report::Report;

pub(super) const OPTIONS: &[Opt] = &[DRY_RUN, SERVER, JSON];

pub(super) const HELP: &str = "\
usage: dkimctl import [OPTION...] [OPENDKIM.CONF]

Create domain files and keys from an OpenDKIM configuration.

Reads OPENDKIM.CONF (default: /etc/opendkim.conf) and reports each setting as
imported, not needed or not supported. Compares both configurations sender by
sender and reports the differences. Nothing is ever overwritten: if a file
exists with different content, nothing is written. Then asks DNS for the records
of the keys, and prints the steps that are left.

Exits with 0 if everything that OpenDKIM signs is signed here and DNS has the
records; 65 if something is not imported; 69 if a record is missing or wrong, or
DNS does not answer; 73 if a file is in the way; 78 if another step is left.
";

/// Where OpenDKIM looks.
const CONF: &str = "/etc/opendkim.conf";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let is_dry = args.has("--dry-run");
    if !is_dry {
        Store::refuse_others(&args.etc)?;
    }
    let dns = Dns::asked_for(args.text("--server")?);
    if let Err(failure) = &dns
        && failure.is_usage()
    {
        return Err(Failure::usage(failure.what()));
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
    let fields = Fields::of(&settings, &disk);
    let broken = &[];
    let source = Source {
        opendkim: &opendkim,
        with_key: &with_key,
        host: &signing,
        fields: &fields,
        broken,
    };
    let base = settings.value("BaseDirectory");
    let (broken, errors) = broken_keys(&source.import(&mapping.lines), base);
    let source = Source { broken: &broken, ..source };
    let mut imported = source.import(&mapping.lines);
    imported.differences.splice(0..0, errors);
    imported.compare_beside(source, &files_beside(&imported, &args.etc));

    let mut report = Report::new(mapping, host.as_ref(), &args.etc)?;
    report.add(&imported, base, &args.etc);
    report.refuse_conflicts()?;
    report.look_for_losses();
    if !is_dry {
        report.write(&args.etc)?;
        let steps = missing(&args.etc, |stem| imported.files.contains_key(stem));
        report.require(Failure::CONFIG, steps);
        // Elsewhere nothing is signed, whatever the DNS has.
        if is_installed(&args.etc) {
            match dns {
                Ok(dns) => report.ask_dns(&args.etc, &dns)?,
                Err(why) => {
                    let step = Missing::new("dkimctl testkey", why.what());
                    report.require(Failure::UNAVAILABLE, [step]);
                }
            }
        }
    }
    args.print(&report, &report.text(is_dry))?;
    Ok(ExitCode::from(report.code))
}

/// The keys that can't be used, and why. A domain file that named one would make its mail go out unsigned.
fn broken_keys(imported: &Imported, base: Option<&str>) -> (Vec<String>, Vec<String>) {
    let error = |((folder, selector), source): (&(String, String), &String)| {
        let why = ImportedKey::read(source, base).err()?;
        let text = format!("d={folder} s={selector}: key {why}; nothing is signed with it");
        Some((source.clone(), text))
    };
    imported.keys.iter().filter_map(error).unzip()
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
    let (with_key, fields) = (&with_key, &Fields::of(&settings, files));
    let source = Source { opendkim: &opendkim, with_key, host, fields, broken: &[] };
    Ok(source.import(&lines).files)
}

/// The byte order mark that editors put before UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The files of this host.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        let bytes =
            input::read(Path::new(path), input::FOREIGN).map_err(|error| error.to_string())?;
        let text = bytes.strip_prefix(BOM).unwrap_or(&bytes);
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn names(&self, folder: &str) -> Vec<String> {
        input::names(Path::new(folder)).unwrap_or_default()
    }
}
