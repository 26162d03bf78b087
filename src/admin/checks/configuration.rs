//! `config.toml` and the domain files, read as the wrapper reads them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};

use super::finding::{Finding, Fix};
use crate::admin::output::Progress;
use crate::admin::parallel;
use crate::admin::store::domains::{self, DomainConfig};
use crate::admin::store::{FileError, Readers};
use crate::config::{ConfigError, DEFAULT, DomainFile, Host, Signing};
use crate::rights::{Rights, Rule};

/// The content of the files that can be used.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    pub(crate) host: Option<Host>,
    pub(crate) files: Vec<DomainConfig>,
    /// Whether domain files have no effect at all.
    pub(crate) is_stopped: bool,
}

impl Configuration {
    /// Reads `config.toml` and the domain files that `asked` selects by their names without `.toml`. Returns a finding for each
    /// error.
    pub(crate) fn read(etc: &Path, asked: impl Fn(&str) -> bool) -> (Self, Vec<Finding>) {
        let path = etc.join("config.toml");
        let rule = Rule::of_owner(fs::metadata(etc).map_or(0, |top| top.uid()));
        let folders = [etc, &etc.join("domains")];
        let wrong = folders.iter().filter_map(|path| judge(path, rule));
        let mut findings: Vec<Finding> = wrong.collect();
        let mut configuration = Self { is_stopped: !findings.is_empty(), ..Self::default() };
        let read = domains::read_host(&path);
        let Some(host) = usable(&path, read, rule, ": no mail is signed", &mut findings) else {
            return (Self { is_stopped: true, ..configuration }, findings);
        };
        let host = configuration.host.insert(host);
        // If the folder is missing, no mail is signed; this is reported below.
        let mut paths = domains::paths(etc).unwrap_or_default();
        let stem =
            |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        paths.retain(|path| asked(&stem(path)));
        let read = |path: &PathBuf| domain_file(path, &stem(path), &host.signing, rule);
        for (file, found) in parallel::all(&paths, parallel::cores(), Progress::none(), read) {
            configuration.files.extend(file);
            findings.extend(found);
        }
        if configuration.files.is_empty() && findings.is_empty() {
            findings.push(Finding::warning(
                "configuration",
                "no domains yet, so no mail is signed",
                "dkimctl add DOMAIN",
            ));
        }
        (configuration, findings)
    }
}

/// Reads a domain file. Returns it if it can be used, and its errors.
fn domain_file(
    path: &Path,
    stem: &str,
    host: &Signing,
    rule: Rule,
) -> (Option<DomainConfig>, Vec<Finding>) {
    let mut findings = Vec::new();
    if stem != DEFAULT && domains::named_after(path).is_none_or(|name| name.as_str() != stem) {
        findings.push(Finding::error(
            "configuration",
            format!("{}: no mail can be From {stem:?}", path.display()),
            "name the file after the domain, in lower case and A-labels",
        ));
        return (None, findings);
    }
    let read = DomainConfig::read(path, host);
    let file = usable(path, read, rule, ": the domain is not signed", &mut findings);
    findings.extend(file.as_ref().and_then(|file| unknown(path, &file.file)));
    (file, findings)
}

/// Reports users and groups that do not exist on this host.
fn unknown(path: &Path, file: &DomainFile) -> Option<Finding> {
    let no_user = |name: &&String| !matches!(User::from_name(name), Ok(Some(_)));
    let no_group = |name: &&String| !matches!(Group::from_name(name), Ok(Some(_)));
    let users = file.users.iter().flatten().filter(no_user);
    let groups = file.groups.iter().flatten().filter(no_group);
    let unknown: Vec<&str> = users.chain(groups).map(String::as_str).collect();
    if unknown.is_empty() {
        return None;
    }
    let evidence = format!("{}: unknown users or groups: {}", path.display(), unknown.join(", "));
    Some(Finding::warning("users", evidence, "fix `users` and `groups` in this file"))
}

/// The content of a file that every user must be able to read, and only its owner may write. `None` if the wrapper would reject
/// it.
fn usable<T>(
    path: &Path,
    read: Result<T, FileError<ConfigError>>,
    rule: Rule,
    consequence: &str,
    findings: &mut Vec<Finding>,
) -> Option<T> {
    let is_there = !matches!(read, Err(FileError::Unreadable(_)));
    let breach = judge(path, rule).filter(|_| is_there);
    let is_taken = breach.is_none();
    findings.extend(breach);
    let wrong = |error: FileError<ConfigError>| {
        let remedy = match error {
            FileError::Invalid(_) => "fix this line; see sendmail-dkim.toml(5)",
            // Of the domain files, only those that exist are read.
            FileError::Unreadable(_) if path.symlink_metadata().is_err() => {
                "dkimctl setup, or write the file; see sendmail-dkim.toml(5)"
            }
            FileError::Unreadable(_) => {
                "put a file that every user can read in its place; see sendmail-dkim.toml(5)"
            }
        };
        let evidence = format!("{}: {error}{consequence}", path.display());
        findings.push(Finding::error("configuration", evidence, remedy));
    };
    read.map_err(wrong).ok().filter(|_| is_taken)
}

/// Checks a directory or file that the wrapper reads with the permissions of the user who submits mail.
fn judge(path: &Path, rule: Rule) -> Option<Finding> {
    let found = fs::metadata(path).ok()?;
    let rights = Rights::from(&found);
    let (readable, mode) = if found.is_dir() { (0o005, "0755") } else { (0o004, "0644") };
    let wrong = match rule.judge(rights) {
        Err(breach) => breach.to_string(),
        Ok(()) if rights.mode & readable != readable => {
            format!("must be readable by every user (found mode {:04o})", rights.mode)
        }
        Ok(()) => return None,
    };
    let shown = path.display();
    let remedy = format!("chown root {shown}; chmod {mode} {shown}");
    let is_owned = rule.judge(Rights { mode: 0, ..rights }).is_ok();
    let fix = is_owned.then(|| Fix::Rights(path.to_owned(), Readers::All));
    Some(Finding::error("configuration", format!("{shown} {wrong}"), remedy).fixed_by(fix))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::admin::temporary::Temporary;

    #[test]
    fn every_user_must_be_able_to_list_and_search_a_directory_and_to_read_a_file() {
        let temporary = Temporary::new("checks-configuration").unwrap();
        let [folder, file] = ["domains", "config.toml"].map(|name| temporary.path.join(name));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "").unwrap();
        let rule = Rule::of_owner(fs::metadata(&file).unwrap().uid());
        for (path, mode, is_right) in [
            (&folder, 0o755, true),
            (&folder, 0o705, true),
            (&folder, 0o754, false),
            (&folder, 0o751, false),
            (&folder, 0o750, false),
            (&file, 0o644, true),
            (&file, 0o604, true),
            (&file, 0o640, false),
            (&file, 0o641, false),
        ] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let found = judge(path, rule);
            assert_eq!(found.is_none(), is_right, "{path:?} {mode:o}: {found:?}");
            // It is owned by the right user, so that doctor can correct it.
            assert!(found.is_none_or(|found| found.fix.is_some()), "{path:?} {mode:o}");
        }
    }
}
