//! `dkimctl status`: shows whether mail is signed on this host, and the state of all keys and rotations.

mod row;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Serialize, Serializer};

use super::checks::configuration::Configuration;
use super::checks::finding::{Finding, numbered};
use super::checks::{install, keys, log, obstacles};
use super::cli::{Args, DOMAIN, Opt, SELECTOR_ONLY};
use super::output::{Failure, Progress, Text, Tone, table};
use super::parallel;
use super::store::domains;
use super::store::keys::{KeyFolder, selector};
use super::store::rights::Tree;
use super::store::seen::Seen;
use super::store::waiting;
use crate::config::DEFAULT;
use crate::dkim::Domain;
use row::{Files, Row, Work};

pub(super) const OPTIONS: &[Opt] = &[DOMAIN, SELECTOR_ONLY];

pub(super) const HELP: &str = "\
usage: dkimctl status [OPTION...] [DOMAIN...]

Show whether mail is signed on this host, and the state of each key.

Shows first whether sendmail.dkim is the active sendmail and can sign, and what
is missing if not. Then shows for each key of all domains, or of DOMAIN..., its
type, its size, the day of its creation, its state, and when testkey or rotate
last saw its record in DNS. Does not query DNS itself. The states are:
  signs     mail is signed with the key
  broken    a domain file names the key, but it cannot be used
  gone      no server has its record, so it does not sign (on_missing_record)
  pending   the key signs once its record is published
  settling  its record is published; it signs at the time that is shown
  retiring  another key signs; the record must stay published for now
  revoked   the key is wiped; its record may be deleted
  unused    no domain file names the key

Exits with 0 if all is well, 1 if something is wrong or missing, 77 if the
caller may not read the keys.
";

/// The report.
#[derive(Debug, Serialize)]
struct Status {
    /// Whether mail From some domain is signed on this host.
    signing: bool,
    /// What programs call; the real sendmail; the last line in the log of a message that was signed.
    host: Option<Host>,
    /// The steps before all mail of these domains is signed.
    #[serde(skip)]
    missing: Vec<Finding>,
    keys: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Host {
    /// An error says why it is not known.
    #[serde(serialize_with = "if_known")]
    active: Result<PathBuf, String>,
    /// `None`: the configuration can't be read.
    real: Option<PathBuf>,
    #[serde(serialize_with = "if_known")]
    last_signed: Result<String, String>,
}

fn if_known<T: Serialize, S: Serializer>(
    found: &Result<T, String>,
    to: S,
) -> Result<S::Ok, S::Error> {
    found.as_ref().ok().serialize(to)
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let status = Status::of(args)?;
    let findings: Vec<Finding> = status.findings().cloned().collect();
    args.report(&status, &findings, status.text(&args.etc))?;
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Status {
    fn of(args: &Args) -> Result<Self, Failure> {
        let etc = args.etc.as_path();
        let domains = args.domains()?;
        let named = args.value("--selector", selector)?;
        let (configuration, mut findings) = Configuration::read(etc, |_| true);
        let mut folders: BTreeMap<(String, String), KeyFolder> = BTreeMap::new();
        for folder in chosen(etc, &domains)? {
            folders.insert((folder.domain.to_string(), folder.name().to_owned()), folder);
        }
        let mut files: Files<'_> = BTreeMap::new();
        for file in &configuration.files {
            let domain = file.domain().map_or(DEFAULT, Domain::as_str);
            files.entry((domain, file.folder())).or_default().push(file);
            // The directory with its keys may be missing.
            if let Some(domain) = file.domain().filter(|_| domains.is_empty()) {
                let folder = || KeyFolder::of_file(etc, domain.clone(), file);
                let place = (domain.to_string(), file.folder().to_owned());
                folders.entry(place).or_insert_with(folder);
            }
        }
        let folders: Vec<KeyFolder> = folders.into_values().collect();
        let keys_folder = etc.join("keys");
        let tree = Tree::new(&keys_folder);
        let work = Work { tree: &tree, etc, files: &files, seen: &Seen::read(etc) };
        let rows = |folder: &KeyFolder| work.rows(folder);
        let rows = parallel::all(&folders, parallel::cores(), Progress::of("domains read"), rows);
        let mut rows = rows.into_iter().collect::<Result<Vec<_>, Failure>>()?.concat();
        if let Some(named) = &named {
            rows.retain(|row| row.selector == named.as_str());
            if rows.is_empty() {
                let what = format_args!("there are no keys named {named}");
                return Err(Failure::missing(what).about(named));
            }
        }

        let is_installed = obstacles::is_installed(etc);
        let of_host = is_installed.then(|| install::obstacles(configuration.host.as_ref()));
        let mut of_host = of_host.unwrap_or_default();
        of_host.extend(keys::all(&tree));
        let is_stopped = configuration.is_stopped || of_host.iter().any(Finding::is_error);
        findings.extend(of_host);
        let mut missing = obstacles::steps(findings);
        if configuration.files.is_empty() {
            // A purge of the package keeps the keys, but not the domain files.
            missing.extend(rows.iter().find_map(Row::unnamed));
        }
        let has_no_file = configuration.files.is_empty() || rows.is_empty();
        if missing.is_empty() && has_no_file && rows.iter().all(|row| row.found.is_empty()) {
            missing.push(Finding::from(&waiting::no_domains(etc)));
        }
        let host = is_installed.then(|| Host {
            active: install::active(),
            real: configuration.host.as_ref().map(|host| host.sendmail.clone()),
            last_signed: log::last_signed(),
        });
        let signing = !is_stopped && rows.iter().any(|row| row.signing);
        Ok(Self { signing, host, missing, keys: rows })
    }

    /// What is missing, and what is wrong with keys.
    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.missing.iter().chain(self.keys.iter().flat_map(|key| &key.found))
    }

    fn text(&self, etc: &Path) -> Text {
        let mut text = match (&self.host, self.signing) {
            (None, _) => Text::from(format!(
                "The host was not checked: an installed sendmail.dkim does not read {}.",
                etc.display()
            )),
            (Some(_), true) => Text::toned(Tone::Good, "Mail is signed on this host."),
            (Some(_), false) => Text::toned(Tone::Bad, "No mail is signed on this host."),
        };
        text.push("\n");
        if let Some(host) = &self.host {
            let shown = |path: &PathBuf| path.display().to_string();
            let active = host.active.as_ref().map_or_else(String::clone, shown);
            let real = host.real.as_ref().map_or_else(|| "not known".to_owned(), shown);
            let last = host.last_signed.as_ref().unwrap_or_else(|why| why);
            text.push(table(&[
                vec!["active sendmail:".into(), active.into()],
                vec!["real sendmail:".into(), real.into()],
                vec!["last signed:".into(), last.into()],
            ]));
        }
        if !self.missing.is_empty() {
            text.push(format!("\nWhat is missing:\n\n{}", numbered(&self.missing)));
        }
        if !self.keys.is_empty() {
            text.push("\n");
            text.push(table(&self.keys.iter().map(Row::columns).collect::<Vec<_>>()));
        }
        let wrong = numbered(self.keys.iter().flat_map(|key| &key.found));
        if !wrong.is_empty() {
            text.push(format!("\nWhat is wrong with keys:\n\n{wrong}"));
        }
        text
    }
}

/// The directories of the keys of some domains, or of all. A missing one is included if a domain file needs it.
fn chosen(etc: &Path, domains: &[Domain]) -> Result<Vec<KeyFolder>, Failure> {
    if domains.is_empty() {
        return KeyFolder::chosen(etc, domains);
    }
    let folder = |domain: &Domain| {
        let file = domains::file(etc, domain);
        KeyFolder::of(etc, domain).or_else(|failure| match file.symlink_metadata() {
            Ok(_) => Ok(KeyFolder::new(etc, domain.clone())),
            Err(_) => Err(failure),
        })
    };
    domains.iter().map(folder).collect()
}
