//! Finds the configuration directory and reads its files, with the permissions of the real user.

use std::cell::OnceCell;
use std::error::Error;
use std::fmt;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::config::{ConfigError, DomainFile, Host, OnError, OnMissingRecord};
use crate::dkim::{Domain, KeyError};
use crate::policy::{Candidate, Policy, gone_selectors};
use crate::rights::{Breach, Rights, Rule};

/// The configuration directory of an installed wrapper.
pub(crate) const FOLDER: &str = "/etc/sendmail-dkim";

/// The environment variable that names another directory. Ignored if the process has a privilege that it could abuse.
pub(crate) const VARIABLE: &str = "SENDMAIL_DKIM_ETC";

/// The size of the largest configuration file, in bytes.
pub(crate) const LARGEST: u64 = 64 << 10;

/// The configuration directory of this run.
#[derive(Debug)]
pub(crate) struct Etc {
    folder: PathBuf,
    /// Who may write to it; set when the first file is read.
    rule: OnceCell<Rule>,
}

/// A file or directory of the configuration cannot be used. The administrator causes this error.
#[derive(Debug)]
pub(crate) struct FileError {
    pub(crate) path: PathBuf,
    pub(crate) fault: Fault,
}

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It cannot be opened or read.
    Unreadable(io::Error),
    /// It is a directory, a FIFO or a device.
    NotAFile,
    /// A user other than the administrator can write it, or can read the key.
    Untrusted(Breach),
    /// It is larger than this many bytes.
    TooLarge(u64),
    /// Its content is not valid.
    Wrong(ConfigError),
    /// It has no usable key.
    Key(KeyError),
    /// It is the file of a domain in `also_sign_as`, but has no keys of that domain.
    NotItsOwn,
}

impl Fault {
    /// The error for a path.
    pub(crate) fn of(self, path: &Path) -> FileError {
        FileError { path: path.to_owned(), fault: self }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            Fault::Unreadable(_) => write!(f, "cannot read {path}"),
            Fault::NotAFile => write!(f, "{path} is not a regular file"),
            Fault::Untrusted(breach) => write!(f, "{path} {breach}"),
            Fault::TooLarge(largest) => write!(f, "{path} is larger than {largest} bytes"),
            Fault::Wrong(_) => write!(f, "{path}"),
            Fault::Key(_) => write!(f, "key {path}"),
            Fault::NotItsOwn => write!(f, "{path} names another domain, or no selectors"),
        }
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            Fault::Unreadable(error) => Some(error),
            Fault::Wrong(error) => Some(error),
            Fault::Key(error) => Some(error),
            Fault::NotAFile | Fault::Untrusted(_) | Fault::TooLarge(_) | Fault::NotItsOwn => None,
        }
    }
}

/// `config.toml` cannot be used. Holds the settings that could be read anyway.
#[derive(Debug)]
pub(crate) struct BrokenHost {
    pub(crate) error: FileError,
    pub(crate) sendmail: Option<PathBuf>,
    pub(crate) on_error: OnError,
}

impl Etc {
    /// The directory of an installed wrapper, or the one named in the environment if the process has no privilege.
    pub(crate) fn find(is_privileged: bool) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "read only if there is no privilege to abuse"
        )]
        let named = if is_privileged { None } else { std::env::var_os(VARIABLE) };
        let named = named.map(PathBuf::from).filter(|path| path.is_absolute());
        Self::at(named.unwrap_or_else(|| PathBuf::from(FOLDER)))
    }

    /// The directory that the administrator named.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder, rule: OnceCell::new() }
    }

    /// The directory of the domain files.
    pub(crate) fn domains(&self) -> PathBuf {
        self.folder.join("domains")
    }

    /// The directory of the keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// Reads `config.toml`.
    pub(crate) fn host(&self) -> Result<Host, BrokenHost> {
        let path = self.folder.join("config.toml");
        let broken = |error| BrokenHost { error, sendmail: None, on_error: OnError::default() };
        let text = self.read(&path).map_err(broken)?;
        Host::parse(&text).map_err(|error| {
            let (sendmail, on_error) = Host::salvage(&text);
            BrokenHost { error: Fault::Wrong(error).of(&path), sendmail, on_error }
        })
    }

    /// Reads the domain file for an author domain. There is one open(2) for each place where it may be, no matter how many
    /// domains there are.
    pub(crate) fn policy(&self, author: &Domain, host: &Host) -> Result<Option<Policy>, FileError> {
        for candidate in Candidate::all(author) {
            if let Some(file) = if_present(self.domain_file(&candidate, host))?
                && candidate.fits(&file)
            {
                return self.judged(candidate, file).map(Some);
            }
        }
        Ok(None)
    }

    /// Reads the file of a domain in `also_sign_as`. Only the file with the name of the domain is used.
    pub(crate) fn also(&self, domain: &Domain, host: &Host) -> Result<Policy, FileError> {
        let candidate = Candidate { domain: Some(domain.clone()), is_parent: false };
        let file = self.domain_file(&candidate, host)?;
        if file.domain.as_ref().is_some_and(|other| other != domain) || file.selectors.is_empty() {
            return Err(Fault::NotItsOwn.of(&self.domains().join(candidate.file())));
        }
        let mut policy = self.judged(candidate, file)?;
        policy.file.selectors = policy.present(&policy.file.selectors);
        Ok(policy)
    }

    /// Reads the file at one of these places.
    pub(crate) fn domain_file(
        &self,
        candidate: &Candidate,
        host: &Host,
    ) -> Result<DomainFile, FileError> {
        let path = self.domains().join(candidate.file());
        let text = self.read(&path)?;
        DomainFile::parse(&text, candidate.domain.as_ref(), &host.signing)
            .map_err(|error| Fault::Wrong(error).of(&path))
    }

    /// Rejects a domain file if its directory is writable by another user.
    pub(crate) fn judged(
        &self,
        candidate: Candidate,
        file: DomainFile,
    ) -> Result<Policy, FileError> {
        let domains = self.domains();
        judge(self.rule()?, &domains, &metadata(&domains)?)?;
        let gone = match file.signing.on_missing_record {
            OnMissingRecord::Sign => Vec::new(),
            OnMissingRecord::Skip => {
                // `dkimctl watch` writes the file, and its permissions are checked like those of a domain file, because a user who
                // can write it could stop the signing of a domain.
                let text = if_present(self.read(&domains.join(candidate.gone())))?;
                gone_selectors(&text.unwrap_or_default())
            }
        };
        Ok(Policy { candidate, file, gone })
    }

    fn read(&self, path: &Path) -> Result<String, FileError> {
        let unreadable = |error| Fault::Unreadable(error).of(path);
        // O_NONBLOCK: a FIFO instead of a file must not delay mail.
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(path)
            .map_err(unreadable)?;
        // Check the opened file; the path may name another file by now.
        let found = file.metadata().map_err(unreadable)?;
        if !found.is_file() {
            return Err(Fault::NotAFile.of(path));
        }
        judge(self.rule()?, path, &found)?;
        // Room for the whole file, and for the read(2) that returns 0.
        let room = usize::try_from(found.len().min(LARGEST)).unwrap_or_default().saturating_add(32);
        let mut text = String::with_capacity(room);
        let read = file.take(LARGEST.saturating_add(1)).read_to_string(&mut text);
        if read.map_err(unreadable)? as u64 > LARGEST {
            return Err(Fault::TooLarge(LARGEST).of(path));
        }
        Ok(text)
    }

    /// The rule for this directory, which must also comply with it.
    pub(crate) fn rule(&self) -> Result<Rule, FileError> {
        if let Some(rule) = self.rule.get() {
            return Ok(*rule);
        }
        let found = metadata(&self.folder)?;
        let rule = Rule::of_owner(found.uid());
        judge(rule, &self.folder, &found)?;
        Ok(*self.rule.get_or_init(|| rule))
    }
}

/// What was read from a file. `None` if there is no such file.
pub(crate) fn if_present<T>(read: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match read {
        Err(FileError { fault: Fault::Unreadable(error), .. }) if is_absent(&error) => Ok(None),
        read => read.map(Some),
    }
}

/// Whether there is no such file. The name of the file for a domain of 253 bytes is longer than file names can be.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename)
}

fn judge(rule: Rule, path: &Path, found: &Metadata) -> Result<(), FileError> {
    rule.judge(Rights::from(found)).map_err(|breach| Fault::Untrusted(breach).of(path))
}

fn metadata(path: &Path) -> Result<Metadata, FileError> {
    std::fs::metadata(path).map_err(|error| Fault::Unreadable(error).of(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_that_is_too_long_for_the_name_of_a_file_has_none() {
        let folder = std::env::temp_dir().join(format!("sendmail-dkim.{}", std::process::id()));
        std::fs::create_dir_all(folder.join("domains")).unwrap();
        let host = Host::parse("sendmail = \"/x\"").unwrap();
        let label = "a".repeat(63);
        let name = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        let found = Etc::at(folder.clone()).policy(&Domain::parse(&name).unwrap(), &host);
        std::fs::remove_dir_all(folder).unwrap();
        assert!(matches!(found, Ok(None)), "{found:?}");
    }
}
