//! `dkimctl import`: converts a configuration of OpenDKIM, `PhoenixDKIM` or rspamd to domain files and keys. Overwrites nothing.

mod clients;
mod compare;
mod data_set;
mod domain_files;
mod export;
mod headers;
mod keys;
mod mapping;
mod opendkim;
mod opendkim_conf;
mod report;
mod rspamd;
mod senders;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::checks::finding::Finding;
use super::checks::obstacles::{is_installed, missing};
use super::cli::{Args, DRY_RUN, Opt, SERVER};
use super::dns::Dns;
use super::input;
use super::output::Failure;
use super::store::{Store, domains};
use crate::config::Signing;
use crate::dkim::Domain;
use crate::report::plain;
use data_set::database;
use domain_files::{Imported, Source};
use export::Export;
use headers::Fields;
use keys::ImportedKey;
use mapping::Mapping;
use opendkim::OpenDkim;
pub use opendkim_conf::Files;
use opendkim_conf::Settings;
use report::Report;
use rspamd::Rspamd;

pub(super) const OPTIONS: &[Opt] = &[
    Opt("--table FILE", "read exported tables instead of those in databases"),
    Opt("--rspamd", "read rspamadm configdump --json dkim_signing"),
    DRY_RUN,
    SERVER,
];

pub(super) const HELP: &str = "\
usage: dkimctl import [OPTION...] [FILE]

Create domain files and keys from OpenDKIM, PhoenixDKIM or rspamd.

Reads FILE, by default /etc/opendkim.conf or /etc/phoenixdkim/phoenixdkim.conf,
with --rspamd stdin, and reports each setting as imported, not needed or not
supported. Compares both configurations sender by sender and reports the
differences. Nothing is ever overwritten: if a file exists with different
content, nothing is written. Then asks DNS for the records of the keys, and
prints the steps that are left.

Exits with 0 if all that the other program signs is signed here and DNS has the
records; 65 if something is not imported; 69 if a record is missing or wrong, or
DNS does not answer; 73 if a file is in the way; 78 if another step is left.
";

/// The default configuration files of OpenDKIM and `PhoenixDKIM`.
const CONF: [&str; 2] = ["/etc/opendkim.conf", "/etc/phoenixdkim/phoenixdkim.conf"];

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let is_dry = args.has("--dry-run");
    if !is_dry {
        Store::refuse_others(&args.etc)?;
    }
    let dns = match Dns::asked_for(args.text("--server")?) {
        Err(failure) if failure.is_usage() => return Err(failure),
        dns => dns,
    };
    let host = domains::host(&args.etc)?;
    let signing = host.as_ref().map_or_else(Signing::default, |host| host.signing.clone());
    let of_program = if args.has("--rspamd") { Peer::of_rspamd } else { Peer::of_opendkim };
    let peer = of_program(args, &signing)?;
    let base = peer.base.as_deref();
    let (mut broken, mut errors) = (Vec::new(), Vec::new());
    // The key that takes the place of an unusable one may be unusable, too.
    let mut imported = loop {
        let imported = peer.source(&signing, &broken).import(&peer.mapping.lines);
        let (more, why) = broken_keys(&imported, base);
        if more.is_empty() {
            break imported;
        }
        broken.extend(more);
        errors.extend(why);
    };
    imported.differences.splice(0..0, errors);
    let source = peer.source(&signing, &broken);
    imported.compare_existing(source, &existing_files(&imported, &args.etc));

    let mut report = Report::new(peer.name, peer.mapping, host.as_ref(), &args.etc)?;
    report.add(&imported, base, &args.etc);
    report.refuse_conflicts()?;
    report.look_for_losses();
    if !is_dry {
        report.write(&args.etc)?;
        let steps = missing(&args.etc, |stem| imported.files.contains_key(stem));
        report.require(Failure::CONFIG, steps);
        // In any other folder nothing is signed, even if DNS has the records.
        if is_installed(&args.etc) {
            match dns {
                Ok(dns) => report.ask_dns(&args.etc, &dns)?,
                Err(why) => {
                    let step = Finding::warning("testkey", why.what(), "dkimctl testkey");
                    report.require(Failure::UNAVAILABLE, [step]);
                }
            }
        }
    }
    args.report(&report.json(), &report.findings(), report.text(is_dry))?;
    Ok(ExitCode::from(report.code))
}

/// The program that has signed so far, and its configuration.
struct Peer {
    name: &'static str,
    opendkim: OpenDkim,
    mapping: Mapping,
    fields: Fields,
    /// The domains with their own key file, found through a `%` in a path of the `KeyTable`.
    with_key: Vec<Domain>,
    /// The base of relative paths of keys.
    base: Option<String>,
}

impl Peer {
    fn of_opendkim(args: &Args, host: &Signing) -> Result<Self, Failure> {
        let found = CONF.iter().map(Path::new).find(|path| path.exists());
        let path = args.file().or(found).unwrap_or(Path::new(CONF[0]));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = if name.starts_with("phoenix") { "PhoenixDKIM" } else { "OpenDKIM" };
        let path = path.display().to_string();
        let mut settings = Settings::read(&path, &Disk).map_err(|why| {
            Failure::missing(format_args!("cannot read {path:?}: {why}; name the opendkim.conf"))
        })?;
        if let Some(file) = args.path("--table") {
            let text = foreign_text(file).map_err(|error| Failure::reading(file, &error))?;
            settings.export =
                Export::parse(&text, &file.display().to_string()).map_err(Failure::data)?;
            if !settings.all.iter().any(|setting| database(&setting.value).is_some()) {
                return Err(Failure::usage(format_args!(
                    "--table: no setting in {path} names a database; its tables are read directly"
                )));
            }
        }
        let peer = Self::of_settings(&settings, host, &Disk)
            .map_err(|why| Failure::data(format_args!("{path}: nothing to import: {why}")))?;
        Ok(Self { name, ..peer })
    }

    fn of_settings(settings: &Settings, host: &Signing, files: &dyn Files) -> Result<Self, String> {
        let opendkim = OpenDkim::new(settings, files)?;
        Ok(Self {
            name: "OpenDKIM",
            mapping: Mapping::of(settings, host, files),
            fields: Fields::of(settings, files),
            with_key: senders::with_key_file(&opendkim, files),
            base: settings.value("BaseDirectory").map(str::to_owned),
            opendkim,
        })
    }

    fn of_rspamd(args: &Args, host: &Signing) -> Result<Self, Failure> {
        if args.has("--table") {
            return Err(Failure::usage("--rspamd and --table exclude each other"));
        }
        let (name, text) = match args.file() {
            Some(file) => (file.display().to_string(), input::argument(file, input::FOREIGN)),
            None => ("standard input".to_owned(), input::stdin(input::FOREIGN)),
        };
        let text = text.map_err(|error| Failure::reading(Path::new(&name), &error))?;
        let failed = |why| Failure::data(format_args!("{name}: nothing to import: {why}"));
        let rspamd = Rspamd::parse(&text).map_err(failed)?;
        let (opendkim, mapping) = rspamd.import(host, &Disk).map_err(failed)?;
        let (fields, with_key) = (rspamd.fields(), senders::with_key_file(&opendkim, &Disk));
        Ok(Self { name: "rspamd", opendkim, mapping, fields, with_key, base: None })
    }

    fn source<'a>(&'a self, host: &'a Signing, broken: &'a [String]) -> Source<'a> {
        let Self { name, opendkim, fields, with_key, .. } = self;
        Source { name, opendkim, with_key, host, fields, broken }
    }
}

/// The keys that cannot be used, with the reason. If a domain file named one, its mail would be sent unsigned.
fn broken_keys(imported: &Imported, base: Option<&str>) -> (Vec<String>, Vec<String>) {
    let error = |((folder, selector), source): (&(String, String), &String)| {
        let why = ImportedKey::read(source, base).err()?;
        let text = format!("d={folder} s={selector}: key {why}; nothing is signed with it");
        Some((source.clone(), text))
    };
    imported.keys.iter().filter_map(error).unzip()
}

/// The existing domain files that are not among the new ones, by their names without `.toml`.
fn existing_files(imported: &Imported, etc: &Path) -> BTreeMap<String, String> {
    let paths = domains::paths(etc).unwrap_or_default().into_iter();
    let named = paths.filter_map(|path| {
        let name = path.file_stem()?.to_str()?.to_owned();
        Some((name, input::text(&path, input::CONFIGURATION).ok()?))
    });
    named.filter(|(name, _)| !imported.files.contains_key(name)).collect()
}

/// Converts a configuration to domain files, by their names without `.toml`. Pure, except for what `files` reads.
///
/// # Errors
/// Why there is nothing to import.
pub fn domain_files(
    conf: &str,
    host: &Signing,
    files: &dyn Files,
) -> Result<BTreeMap<String, String>, String> {
    let settings = Settings::read(conf, files)?;
    let peer = Peer::of_settings(&settings, host, files)?;
    Ok(peer.source(host, &[]).import(&peer.mapping.lines).files)
}

/// The text of a file that another program or an administrator wrote, without the byte order mark that editors put before UTF-8.
fn foreign_text(path: &Path) -> io::Result<String> {
    let bytes = input::argument(path, input::FOREIGN)?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// The files of this host.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        foreign_text(Path::new(path)).map_err(|error| plain(&error))
    }

    fn names(&self, folder: &str) -> Vec<String> {
        input::names(Path::new(folder)).unwrap_or_default()
    }
}
