//! The report of an import: what was imported and what was not, the files, and the remaining steps.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::domain_files::{HEAD, Imported};
use super::keys::ImportedKey;
use super::mapping::Mapping;
use super::opendkim_conf::without_secrets;
use crate::admin::checks::finding::{Finding, Severity, numbered, remarks};
use crate::admin::dns::Dns;
use crate::admin::filter::{ADDRESSES, Clients, NAMES};
use crate::admin::input;
use crate::admin::output::{Failure, diff};
use crate::admin::published::{self, Outcome};
use crate::admin::store::domains;
use crate::admin::store::{NewFile, Readers, Store};
use crate::config::Host;
use crate::wrapper::handoff::USUAL;

#[derive(Debug)]
pub(super) struct Report {
    /// The program that has signed so far.
    name: &'static str,
    settings: Mapping,
    files: Vec<Planned>,
    written: bool,
    /// The steps before sendmail.dkim signs everything that OpenDKIM signs.
    missing: Vec<Finding>,
    /// The exit code for the steps so far.
    pub(super) code: u8,
}

/// One file to write.
#[derive(Debug, Serialize)]
struct Planned {
    path: PathBuf,
    /// The content, or the description of a key.
    text: String,
    /// The file exists already, with the same content.
    #[serde(rename = "exists")]
    is_there: bool,
    #[serde(skip)]
    key: Option<Zeroizing<Vec<u8>>>,
}

impl Report {
    /// The settings, and `config.toml` if there is none.
    pub(super) fn new(
        name: &'static str,
        mut settings: Mapping,
        host: Option<&Host>,
        etc: &Path,
    ) -> Result<Self, Failure> {
        let clients = settings.clients.take();
        let log_success = settings.log_success;
        let (files, missing) = (Vec::new(), Vec::new());
        let mut report = Self { name, settings, files, written: false, missing, code: 0 };
        if let Some(clients) = clients {
            report.clients(&clients, host, etc);
        }
        let path = etc.join("config.toml");
        let line = log_success.map(|wanted| format!("log_success = {wanted}"));
        if let Some(host) = host {
            if let Some(line) = line.filter(|_| log_success != Some(host.log_success)) {
                let path = path.display();
                let text = format!("{line}: {path} exists already; add this line to it");
                report.settings.not_supported.push(text);
            }
            return Ok(report);
        }
        let sendmail = USUAL.iter().find(|path| Path::new(path).exists()).ok_or_else(|| {
            Failure::data(format_args!(
                "no real sendmail in {}; create {} first (sendmail = \"/path/to/sendmail\")",
                USUAL.join(", "),
                path.display()
            ))
        })?;
        let line = line.map(|line| format!("{line}\n")).unwrap_or_default();
        report.plan(path, format!("{HEAD}sendmail = {sendmail:?}\n{line}"), None);
        Ok(report)
    }

    /// Adds the tables of clients, and the step that makes Postfix use them.
    fn clients(&mut self, clients: &Clients, host: Option<&Host>, etc: &Path) {
        self.plan(etc.join(ADDRESSES), clients.addresses(), None);
        if !clients.names.is_empty() {
            self.plan(etc.join(NAMES), clients.name_table(), None);
        }
        if host.is_none_or(|host| host.filter_user.is_none()) {
            let step = Finding::warning(
                "smtp-clients",
                "it signs mail that the hosts in clients.cidr submit by SMTP",
                "dkimctl setup --smtp, if the milter that signs is in smtpd_milters",
            );
            self.require(Failure::CONFIG, [step]);
        }
    }

    /// Adds the domain files and keys; relative paths of keys begin at `base`.
    pub(super) fn add(&mut self, imported: &Imported, base: Option<&str>, etc: &Path) {
        // A row may be in the text of a remark, and a key in a row.
        let shown = |texts: &[String]| -> Vec<String> {
            texts.iter().map(|text| without_secrets(text)).collect()
        };
        self.settings.warnings.extend(shown(&imported.warnings));
        self.settings.not_supported.extend(shown(&imported.differences));
        for ((folder, selector), source) in &imported.keys {
            let what = format!("d={folder} s={selector}");
            let key = match ImportedKey::read(source, base) {
                Ok(key) => key,
                Err(why) => {
                    let text = format!("{what}: key {why}; nothing is signed with it");
                    self.settings.not_supported.push(text);
                    continue;
                }
            };
            if let Some(bits) = key.rsa_bits.filter(|bits| *bits < 2048) {
                self.settings.warnings.push(format!(
                    "{what}: the key has {bits} bits; it is used, but receivers expect 2048: \
                     create a new one with dkimctl genkey"
                ));
            }
            let folder_path = etc.join("keys").join(folder);
            match key.record(folder, selector) {
                Ok(record) => self.plan(folder_path.join(format!("{selector}.txt")), record, None),
                Err(why) => self.settings.warnings.push(format!("{what}: no record: {why}")),
            }
            let text = format!("{}, for root and group sendmail-dkim\n", key.description);
            self.plan(folder_path.join(format!("{selector}.private")), text, Some(key.pem));
        }
        for (name, text) in &imported.files {
            self.plan(domains::file(etc, name), text.clone(), None);
        }
    }

    fn plan(&mut self, path: PathBuf, text: String, key: Option<Zeroizing<Vec<u8>>>) {
        self.files.push(Planned { path, text, is_there: false, key });
    }

    /// An existing file is kept. The same content is not a conflict, so that import can be repeated.
    pub(super) fn refuse_conflicts(&mut self) -> Result<(), Failure> {
        let mut conflicts = Vec::new();
        for file in &mut self.files {
            match input::read(&file.path, input::CONFIGURATION).map(Zeroizing::new) {
                Ok(bytes) if *bytes == file.bytes() => file.is_there = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(_) | Err(_) => conflicts.push(file.path.display().to_string()),
            }
        }
        if conflicts.is_empty() {
            return Ok(());
        }
        Err(Failure::exists(format_args!(
            "nothing was written: these files exist with different content: {}",
            conflicts.join(", ")
        )))
    }

    /// Adds steps. The first ones determine the exit code.
    pub(super) fn require(&mut self, code: u8, steps: impl IntoIterator<Item = Finding>) {
        self.missing.extend(steps);
        if self.code == 0 && !self.missing.is_empty() {
            self.code = code;
        }
    }

    /// Adds a step for differences from the other program.
    pub(super) fn look_for_losses(&mut self) {
        let (name, lost) = (self.name, self.settings.not_supported.len());
        let mut steps = Vec::new();
        if self.files.iter().all(|file| file.key.is_none()) {
            steps.push(Finding::error(
                "no-key",
                "no key was imported, so nothing is signed",
                format!(
                    "correct the errors above in the configuration of {name}, then import again"
                ),
            ));
        }
        if lost > 0 {
            steps.push(Finding::warning(
                "differences",
                format!("{lost} above not supported"),
                format!(
                    "check the settings that are not supported: correct them in the configuration of {name} and import again, \
                     set them in the domain files, or do without them"
                ),
            ));
        }
        self.require(Failure::DATA, steps);
    }

    /// Queries DNS for the records of the new keys.
    ///
    /// # Errors
    /// The configuration directory cannot be read.
    pub(super) fn ask_dns(&mut self, etc: &Path, dns: &Dns) -> Result<(), Failure> {
        let keys = etc.join("keys");
        let mut steps = Vec::new();
        let files: BTreeSet<&Path> = self.files.iter().map(|file| file.path.as_path()).collect();
        for one in published::tested(etc, dns)?.iter().filter(|one| one.outcome != Outcome::Ok) {
            let (selector, domain) = one.name.split_once("._domainkey.").unwrap_or_default();
            let path = keys.join(domain).join(format!("{selector}.private"));
            if files.contains(path.as_path()) {
                let step = Finding::warning(
                    "record",
                    format!("{}: {}", one.name, one.why()),
                    format!(
                        "correct the record (dkimctl record {domain}), then check it: dkimctl testkey {domain}"
                    ),
                );
                steps.push(step.about(&one.name));
            }
        }
        let default = keys.join("default");
        if files.iter().any(|path| path.starts_with(&default)) {
            steps.push(Finding::warning(
                "default-records",
                "default.toml signs with the domain of each message, so there is no list of records",
                "check the record of each domain that default.toml signs: run dkimctl verify on a message of each",
            ));
        }
        self.require(Failure::UNAVAILABLE, steps);
        Ok(())
    }

    pub(super) fn write(&mut self, etc: &Path) -> Result<(), Failure> {
        let store = Store::create(etc)?;
        store.folder(&etc.join("domains"), Readers::All)?;
        store.folder(&etc.join("keys"), Readers::Group)?;
        let new: Vec<&Planned> = self.files.iter().filter(|file| !file.is_there).collect();
        let keys = new.iter().filter(|file| file.key.is_some());
        for folder in keys.filter_map(|file| file.path.parent()).collect::<BTreeSet<_>>() {
            store.folder(folder, Readers::Group)?;
        }
        let new = new.into_iter().map(|file| NewFile {
            path: &file.path,
            text: file.bytes(),
            readers: if file.key.is_some() { Readers::Group } else { Readers::All },
        });
        store.files(&new.collect::<Vec<_>>())?;
        self.written = true;
        Ok(())
    }

    pub(super) fn json(&self) -> Value {
        json!({"program": self.name, "files": self.files, "written": self.written})
    }

    /// What became of each setting, and the steps that are left.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let serious = |code, texts| {
            let finding = |finding| Finding { severity: Severity::Warning, ..finding };
            remarks(code, texts).into_iter().map(finding).collect()
        };
        [
            self.missing.clone(),
            serious("not-supported", &self.settings.not_supported),
            serious("to-check", &self.settings.warnings),
            remarks("imported", &self.settings.imported),
            remarks("not-needed", &self.settings.not_needed),
        ]
        .concat()
    }

    pub(super) fn text(&self, is_dry: bool) -> String {
        let mut text = String::new();
        for (title, list) in [
            ("Imported", &self.settings.imported),
            ("Not needed", &self.settings.not_needed),
            ("Not supported", &self.settings.not_supported),
            ("To check", &self.settings.warnings),
        ] {
            if !list.is_empty() {
                text.push_str(&format!("{title}:\n  {}\n\n", list.join("\n  ")));
            }
        }
        if is_dry {
            text.extend(self.files.iter().map(Planned::diff));
        } else {
            text.push_str("Files:\n");
            for file in &self.files {
                let state = if file.is_there { " (existed already)" } else { "" };
                text.push_str(&format!("  {}{state}\n", file.path.display()));
            }
        }
        text + &self.next(is_dry)
    }

    /// The remaining steps. OpenDKIM may only be removed if everything that it signs is signed here.
    fn next(&self, is_dry: bool) -> String {
        let mut steps = self.missing.clone();
        let is_new = |file: &Planned| file.path.ends_with("config.toml") && !file.is_there;
        if self.written && self.files.iter().any(is_new) {
            let why = "config.toml is new; Postfix's settings complete it";
            steps.push(Finding::warning("setup", why, "dkimctl setup"));
        }
        let name = self.name;
        if !self.missing.is_empty() {
            let list = numbered(&steps);
            return format!(
                "\nNot all mail that {name} signs is signed here: keep it running. Remaining steps:\n\n{list}"
            );
        }
        if is_dry {
            return String::new();
        }
        let farewell = match name {
            "rspamd" => {
                "set sign_local = false in /etc/rspamd/local.d/dkim_signing.conf, and reload rspamd"
                    .to_owned()
            }
            name => format!("remove {name} from non_smtpd_milters in main.cf"),
        };
        steps.push(Finding::warning(
            "farewell",
            "all mail submitted on this host that it signs is signed here, and DNS has the records; \
             otherwise the mail would be signed twice",
            farewell,
        ));
        let list = numbered(&steps);
        format!("\nAll mail that {name} signs is signed here. Remaining steps:\n\n{list}")
    }
}

impl Planned {
    fn bytes(&self) -> &[u8] {
        self.key.as_ref().map_or(self.text.as_bytes(), |key| key.as_slice())
    }

    fn diff(&self) -> String {
        let path = self.path.display();
        if self.is_there {
            return format!("{path}: no change\n");
        }
        if self.key.is_some() {
            return format!("--- /dev/null\n+++ {path}\n{}", self.text);
        }
        diff(("/dev/null", ""), (&path.to_string(), &self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::temporary::Temporary;

    fn report(name: &'static str) -> Report {
        let (settings, files, missing) = (Mapping::default(), Vec::new(), Vec::new());
        Report { name, settings, files, written: true, missing, code: 0 }
    }

    #[test]
    fn the_program_that_signed_is_switched_off_in_its_own_way() {
        let rspamd = report("rspamd").next(false);
        assert!(rspamd.contains("sign_local = false in /etc/rspamd/local.d"), "{rspamd}");
        assert!(!rspamd.contains("non_smtpd_milters"), "{rspamd}");
        for name in ["OpenDKIM", "PhoenixDKIM"] {
            let text = report(name).next(false);
            assert!(text.contains(&format!("remove {name} from non_smtpd_milters")), "{text}");
        }
        assert_eq!(report("rspamd").next(true), "");
    }

    #[test]
    fn a_new_config_toml_is_completed_before_that() {
        for (is_there, written, is_step) in
            [(false, true, true), (true, true, false), (false, false, false)]
        {
            let mut report = report("OpenDKIM");
            report.plan("/x/config.toml".into(), String::new(), None);
            report.files[0].is_there = is_there;
            report.written = written;
            let text = report.next(false);
            let setup = text.find("dkimctl setup");
            assert_eq!(setup.is_some(), is_step, "{text}");
            assert!(setup < text.find("non_smtpd_milters"), "{text}");
        }
    }

    #[test]
    fn what_is_not_supported_or_to_be_checked_is_a_warning() {
        let mut report = report("OpenDKIM");
        report.settings.not_supported.push("x".to_owned());
        report.settings.warnings.push("x".to_owned());
        report.settings.imported.push("x".to_owned());
        let severities: Vec<_> = report.findings().iter().map(|one| one.severity).collect();
        assert_eq!(severities, [Severity::Warning, Severity::Warning, Severity::Info]);
    }

    #[test]
    fn only_the_records_of_imported_keys_are_steps() {
        let etc = Temporary::new("report").unwrap();
        let keys = etc.path.join("keys/x.test");
        std::fs::create_dir_all(&keys).unwrap();
        std::fs::create_dir(etc.path.join("domains")).unwrap();
        let key = include_str!("../../../tests/vectors/rfc6376-c.private");
        std::fs::write(keys.join("s.private"), key).unwrap();
        std::fs::write(etc.path.join("domains/x.test.toml"), "selectors = [\"s\"]\n").unwrap();
        let dns = Dns::asked_for(Some("127.0.0.1:9")).unwrap();
        let mut report = report("OpenDKIM");
        report.ask_dns(&etc.path, &dns).unwrap();
        assert_eq!((report.code, report.missing.len()), (0, 0));
        report.plan(keys.join("s.private"), String::new(), None);
        report.ask_dns(&etc.path, &dns).unwrap();
        assert_eq!((report.code, report.missing.len()), (Failure::UNAVAILABLE, 1));
    }

    #[test]
    fn the_first_step_that_is_left_sets_the_exit_code() {
        let mut report = report("OpenDKIM");
        report.require(Failure::DATA, []);
        assert_eq!(report.code, 0);
        let step = || Finding::warning("x", "x", "x");
        report.require(Failure::CONFIG, [step()]);
        report.require(Failure::UNAVAILABLE, [step()]);
        assert_eq!((report.code, report.missing.len()), (Failure::CONFIG, 2));
        assert!(report.next(false).contains("keep it running"));
    }
}
