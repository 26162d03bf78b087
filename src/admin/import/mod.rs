//! `dkimctl import`: a whole OpenDKIM set-up → domain files and keys. Overwrites nothing.

mod data_set;
mod domain_files;
mod headers;
mod keys;
mod mapping;
mod opendkim;
mod opendkim_conf;
mod senders;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::checks::obstacles::{Missing, missing};
use super::cli::{Args, DRY_RUN, JSON, Subcommand};
use super::input;
use super::output::Failure;
use super::store::domains;
use super::store::{NewFile, Readers, Store};
use crate::config::{Host, Signing};
use crate::wrapper::handoff::USUAL;
use domain_files::Tree;
use keys::OldKey;
use mapping::Outcome;
use opendkim::Old;
pub use opendkim_conf::Files;
use opendkim_conf::Settings;

pub(super) const COMMAND: Subcommand = Subcommand {
    name: "import",
    usage: "[OPENDKIM.CONF]",
    options: &[DRY_RUN, JSON],
    about: "\
Create domain files and keys from an OpenDKIM configuration.

Reads OPENDKIM.CONF (default: /etc/opendkim.conf) and reports each setting as
imported, not needed or not supported. Compares both configurations sender by
sender and reports the differences. Nothing is ever overwritten: if a file
exists with different content, nothing is written.

Exits with 0 if everything that OpenDKIM signs is signed here, 1 if a setting is
not supported or a step is left to do, 73 if a file is in the way.
",
    run,
};

/// Where OpenDKIM looks.
const CONF: &str = "/etc/opendkim.conf";

/// All that is said in the end.
#[derive(Debug, Serialize)]
struct Report {
    taken: Vec<String>,
    not_needed: Vec<String>,
    not_to_be_had: Vec<String>,
    warnings: Vec<String>,
    files: Vec<Planned>,
    written: bool,
    /// The steps before all that OpenDKIM signs is signed here.
    missing: Vec<Missing>,
}

/// One file of the new tree.
#[derive(Debug, Serialize)]
struct Planned {
    path: PathBuf,
    /// What it says; for a key, what it is.
    text: String,
    /// It is there already, and says the same.
    is_there: bool,
    #[serde(skip)]
    is_key: bool,
    #[serde(skip)]
    octets: zeroize::Zeroizing<Vec<u8>>,
}

fn run(args: &Args) -> Result<ExitCode, Failure> {
    let is_dry = args.has("--dry-run");
    if !is_dry {
        Store::refuse_others(&args.etc)?;
    }
    let path = args.file().unwrap_or(Path::new(CONF)).display().to_string();
    let disk = Disk;
    let settings = Settings::read(&path, &disk).map_err(|why| {
        Failure::no_input(format_args!("cannot read {path:?}: {why}; name the opendkim.conf"))
    })?;
    let old = Old::of(&settings, &disk)
        .map_err(|why| Failure::data(format_args!("{path}: nothing to import: {why}")))?;
    let host = domains::host(&args.etc)?;
    let signing = host.as_ref().map_or_else(Signing::default, |host| host.signing.clone());
    let outcome = Outcome::of(&settings, &signing, &disk);
    let found = senders::found(&old, &disk);
    let mut tree = domain_files::build(&old, &found, &outcome.lines, &signing);
    tree.compare_beside(files_beside(&tree, &args.etc), &old, &found, &signing);

    let mut report = Report::new(outcome, host.as_ref(), &args.etc)?;
    report.warnings.extend(tree.warnings.iter().cloned());
    report.not_to_be_had.extend(tree.differences.iter().cloned());
    report.plan_keys(&tree, &settings, &args.etc);
    report.plan_domains(&tree, &args.etc);
    report.refuse_conflicts()?;
    report.look_for_losses();
    if !is_dry {
        report.write(&args.etc)?;
        report.missing.extend(missing(&args.etc, |stem| tree.files.contains_key(stem)));
    }
    args.print(&report, &report.text(is_dry))?;
    Ok(if report.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The domain files that are there and are none of the new ones, by their names without `.toml`.
fn files_beside(tree: &Tree, etc: &Path) -> BTreeMap<String, String> {
    let paths = domains::paths(etc).unwrap_or_default().into_iter();
    let named = paths.filter_map(|path| {
        let name = path.file_stem()?.to_str()?.to_owned();
        Some((name, input::text(&path, input::CONFIGURATION).ok()?))
    });
    named.filter(|(name, _)| !tree.files.contains_key(name)).collect()
}

/// The domain files that a set-up becomes, by their names without `.toml`. Pure, whatever `files` are.
///
/// # Errors
/// Why there is nothing to import.
pub fn domain_files(
    conf: &str,
    host: &Signing,
    files: &dyn Files,
) -> Result<BTreeMap<String, String>, String> {
    let settings = Settings::read(conf, files)?;
    let old = Old::of(&settings, files)?;
    let lines = Outcome::of(&settings, host, files).lines;
    Ok(domain_files::build(&old, &senders::found(&old, files), &lines, host).files)
}

/// The files of this host.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        let octets =
            input::read(Path::new(path), input::FOREIGN).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&octets).into_owned())
    }

    fn names(&self, folder: &str) -> Vec<String> {
        input::names(Path::new(folder)).unwrap_or_default()
    }
}

impl Report {
    /// The three lists, and `config.toml` where there is none.
    fn new(outcome: Outcome, host: Option<&Host>, etc: &Path) -> Result<Self, Failure> {
        let mut report = Self {
            taken: outcome.taken,
            not_needed: outcome.not_needed,
            not_to_be_had: outcome.not_to_be_had,
            warnings: Vec::new(),
            files: Vec::new(),
            written: false,
            missing: Vec::new(),
        };
        let wanted = outcome.log_success;
        if let Some(host) = host {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != host.log_success) {
                report.not_to_be_had.push(format!(
                    "log_success = {wanted}: {} is there already; write that line into it",
                    etc.join("config.toml").display()
                ));
            }
            return Ok(report);
        }
        let sendmail = USUAL.iter().find(|path| Path::new(path).exists());
        let Some(sendmail) = sendmail else {
            return Err(Failure::data(format_args!(
                "no real sendmail in {}; write {} first (sendmail = \"/where/it/is\")",
                USUAL.join(", "),
                etc.join("config.toml").display()
            )));
        };
        let mut text = format!("{}sendmail = {sendmail:?}\n", domain_files::HEAD);
        if let Some(wanted) = wanted {
            text.push_str(&format!("log_success = {wanted}\n"));
        }
        report.plan(etc.join("config.toml"), text);
        Ok(report)
    }

    fn plan(&mut self, path: PathBuf, text: String) {
        let octets = zeroize::Zeroizing::new(text.clone().into_bytes());
        self.files.push(Planned { path, text, is_there: false, is_key: false, octets });
    }

    fn plan_keys(&mut self, tree: &Tree, settings: &Settings, etc: &Path) {
        for ((folder, selector), source) in &tree.keys {
            let what = format!("d={folder} s={selector}");
            let key = match OldKey::read(source, settings.value("BaseDirectory")) {
                Ok(key) => key,
                Err(why) => {
                    self.not_to_be_had.push(format!("{what}: key {why}; nothing is signed by it"));
                    continue;
                }
            };
            if let Some(bits) = key.rsa_bits.filter(|bits| *bits < 2048) {
                self.warnings.push(format!(
                    "{what}: the key has {bits} bits; it is used, and 2048 is what receivers ask \
                     for: make a new one with dkimctl genkey"
                ));
            }
            let folder_path = etc.join("keys").join(folder);
            match key.record(folder, selector) {
                Ok(record) => self.plan(folder_path.join(format!("{selector}.txt")), record),
                Err(why) => self.warnings.push(format!("{what}: no record: {why}")),
            }
            self.files.push(Planned {
                path: folder_path.join(format!("{selector}.private")),
                text: format!("{}, for root and group sendmail-dkim\n", key.description),
                is_there: false,
                is_key: true,
                octets: key.pem,
            });
        }
    }

    fn plan_domains(&mut self, tree: &Tree, etc: &Path) {
        for (name, text) in &tree.files {
            self.plan(etc.join("domains").join(format!("{name}.toml")), text.clone());
        }
    }

    /// What is there stays. The same content is no conflict: import can be called again.
    fn refuse_conflicts(&mut self) -> Result<(), Failure> {
        let mut conflicts = Vec::new();
        for file in &mut self.files {
            match input::read(&file.path, input::CONFIGURATION).map(zeroize::Zeroizing::new) {
                Ok(octets) if *octets == *file.octets => file.is_there = true,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Ok(_) | Err(_) => conflicts.push(file.path.display().to_string()),
            }
        }
        if conflicts.is_empty() {
            return Ok(());
        }
        Err(Failure::exists(format_args!(
            "nothing was written: there already, with another content: {}",
            conflicts.join(", ")
        )))
    }

    /// What OpenDKIM does and the new files do not.
    fn look_for_losses(&mut self) {
        if !self.files.iter().any(|file| file.is_key) {
            self.missing.push(Missing::new(
                "correct what is named above in OpenDKIM's tables, and import again",
                "no key was imported: nothing is signed by what was",
            ));
        }
        if !self.not_to_be_had.is_empty() {
            self.missing.push(Missing::new(
                "go through what can't be had: correct it in OpenDKIM's set-up and import again, write it \
                 into the domain files, or do without it",
                format!("{} above can't be had", self.not_to_be_had.len()),
            ));
        }
    }

    fn write(&mut self, etc: &Path) -> Result<(), Failure> {
        let store = Store::create(etc)?;
        store.folder(&etc.join("domains"), Readers::All)?;
        store.folder(&etc.join("keys"), Readers::Group)?;
        let new: Vec<&Planned> = self.files.iter().filter(|file| !file.is_there).collect();
        let folders: BTreeSet<&Path> =
            new.iter().filter(|file| file.is_key).filter_map(|file| file.path.parent()).collect();
        for folder in folders {
            store.folder(folder, Readers::Group)?;
        }
        let new: Vec<NewFile<'_>> = new
            .iter()
            .map(|file| NewFile {
                path: &file.path,
                text: &file.octets,
                readers: if file.is_key { Readers::Group } else { Readers::All },
            })
            .collect();
        store.files(&new)?;
        self.written = true;
        Ok(())
    }

    fn text(&self, is_dry: bool) -> String {
        let mut text = String::new();
        for (title, list) in [
            ("Taken", &self.taken),
            ("Not needed here", &self.not_needed),
            ("Can't be had", &self.not_to_be_had),
            ("To look at", &self.warnings),
        ] {
            if !list.is_empty() {
                text.push_str(&format!("{title}:\n"));
                list.iter().for_each(|item| text.push_str(&format!("  {item}\n")));
                text.push('\n');
            }
        }
        if is_dry {
            self.files.iter().for_each(|file| text.push_str(&file.diff()));
        } else {
            text.push_str("Files:\n");
            for file in &self.files {
                let state = if file.is_there { " (was there already)" } else { "" };
                text.push_str(&format!("  {}{state}\n", file.path.display()));
            }
        }
        text + &self.next(is_dry)
    }

    /// What is left to do. OpenDKIM may go only where all that it signs is signed here.
    fn next(&self, is_dry: bool) -> String {
        let mut steps = self.missing.clone();
        let is_new = |file: &Planned| file.path.ends_with("config.toml") && !file.is_there;
        if self.written && self.files.iter().any(is_new) {
            steps.push(Missing::new(
                "dkimctl setup",
                "config.toml is new; the rest is Postfix's to say",
            ));
        }
        if !self.missing.is_empty() {
            let list = Missing::list(&steps);
            return format!(
                "\nNot all that OpenDKIM signs is signed here: leave it as it is. What is left to do:\n\n{list}"
            );
        }
        if is_dry {
            return String::new();
        }
        steps.push(Missing::new(
            "dkimctl testkey",
            "the records stay as they are; import does not ask whether the DNS has them",
        ));
        steps.push(Missing::new(
            "take OpenDKIM out of non_smtpd_milters in main.cf",
            "all that it signs of the mail submitted on this host is signed here; both would sign it twice",
        ));
        format!(
            "\nAll that OpenDKIM signs is signed here. What is left to do:\n\n{}",
            Missing::list(&steps)
        )
    }
}

impl Planned {
    fn diff(&self) -> String {
        let path = self.path.display();
        if self.is_there {
            return format!("{path}: no change\n");
        }
        if self.is_key {
            return format!("--- /dev/null\n+++ {path}\n{}", self.text);
        }
        let lines: String = self.text.lines().map(|line| format!("+{line}\n")).collect();
        let count = self.text.lines().count();
        format!("--- /dev/null\n+++ {path}\n@@ -0,0 +1,{count} @@\n{lines}")
    }
}
