//! The configuration folder: which one, and what its files say. Read with the real user's rights.

use std::cell::OnceCell;
use std::error;
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::config::{ConfigError, DomainFile, Host, OnError};
use crate::dkim::Domain;
use crate::policy::{Candidate, Policy};
use crate::rights::{Breach, Rights, Rule};

/// The folder of an installed wrapper.
pub(crate) const FOLDER: &str = "/etc/sendmail-dkim";

/// Names another folder, where no privilege could be abused by it.
pub(crate) const VARIABLE: &str = "SENDMAIL_DKIM_ETC";

/// No configuration file is larger. Bytes.
pub(crate) const LARGEST: u64 = 64 << 10;

/// The configuration folder of this run.
#[derive(Debug)]
pub(crate) struct Etc {
    folder: PathBuf,
    /// Who may write it, once somebody asked.
    rule: OnceCell<Rule>,
}

/// A file of the configuration that can't be used; the administrator causes it.
#[derive(Debug)]
pub(crate) enum EtcError {
    /// It can't be opened or read.
    Unreadable { path: PathBuf, source: io::Error },
    /// It is a folder, a FIFO or a device.
    NotAFile { path: PathBuf },
    /// Another user than the administrator could have written it.
    Untrusted { path: PathBuf, breach: Breach },
    /// It is larger than any configuration.
    TooLarge { path: PathBuf },
    /// It is not what the manual page says.
    Wrong { path: PathBuf, source: ConfigError },
}

impl EtcError {
    fn path(&self) -> &Path {
        match self {
            Self::Unreadable { path, .. }
            | Self::NotAFile { path }
            | Self::Untrusted { path, .. }
            | Self::TooLarge { path }
            | Self::Wrong { path, .. } => path,
        }
    }
}

impl fmt::Display for EtcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path().display();
        match self {
            Self::Unreadable { .. } => write!(f, "cannot read {path}"),
            Self::NotAFile { .. } => write!(f, "{path} is not a regular file"),
            Self::Untrusted { breach, .. } => write!(f, "{path} {breach}"),
            Self::TooLarge { .. } => write!(f, "{path} is larger than {LARGEST} bytes"),
            Self::Wrong { .. } => write!(f, "{path}"),
        }
    }
}

impl error::Error for EtcError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            Self::Wrong { source, .. } => Some(source),
            Self::NotAFile { .. } | Self::Untrusted { .. } | Self::TooLarge { .. } => None,
        }
    }
}

/// `config.toml` can't be used, and what can be known all the same.
#[derive(Debug)]
pub(crate) struct BrokenHost {
    pub(crate) error: EtcError,
    pub(crate) sendmail: Option<PathBuf>,
    pub(crate) on_error: OnError,
}

impl Etc {
    /// The installed folder, or the one that the environment names, if no privilege is held.
    pub(crate) fn find(is_privileged: bool) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "read only where there is no privilege to abuse"
        )]
        let named = if is_privileged { None } else { std::env::var_os(VARIABLE) };
        let named = named.map(PathBuf::from).filter(|path| path.is_absolute());
        Self::at(named.unwrap_or_else(|| PathBuf::from(FOLDER)))
    }

    /// A folder that the administrator names.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder, rule: OnceCell::new() }
    }

    /// The folder of the domain files.
    pub(crate) fn domains(&self) -> PathBuf {
        self.folder.join("domains")
    }

    /// The folder of the keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// `config.toml`.
    pub(crate) fn host(&self) -> Result<Host, BrokenHost> {
        let path = self.folder.join("config.toml");
        let broken = |error| BrokenHost { error, sendmail: None, on_error: OnError::default() };
        let text = self.read(&path).map_err(broken)?;
        Host::parse(&text).map_err(|source| {
            let (sendmail, on_error) = Host::salvage(&text);
            BrokenHost { error: EtcError::Wrong { path, source }, sendmail, on_error }
        })
    }

    /// The file that is for an author domain: one open(2) for each place it may be in, however many
    /// domains there are.
    pub(crate) fn policy(&self, author: &Domain, host: &Host) -> Result<Option<Policy>, EtcError> {
        for candidate in Candidate::all(author) {
            let path = self.domains().join(candidate.file());
            let text = match self.read(&path) {
                Ok(text) => text,
                Err(EtcError::Unreadable { source, .. })
                    if matches!(
                        source.kind(),
                        // A domain of 253 octets makes a name that no file can have.
                        io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let file = DomainFile::parse(&text, candidate.domain.as_ref(), &host.signing)
                .map_err(|source| EtcError::Wrong { path, source })?;
            if candidate.fits(&file) {
                let domains = self.domains();
                judge(self.rule()?, &domains, &metadata(&domains)?)?;
                return Ok(Some(Policy { candidate, file }));
            }
        }
        Ok(None)
    }

    fn read(&self, path: &Path) -> Result<String, EtcError> {
        let unreadable = |source| EtcError::Unreadable { path: path.to_owned(), source };
        // O_NONBLOCK: a FIFO in place of a file must not hold up mail.
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(path)
            .map_err(unreadable)?;
        let length = self.trust(&file, path)?.min(LARGEST);
        // Room for all, and for the read(2) that finds the end.
        let room = usize::try_from(length).unwrap_or_default().saturating_add(32);
        let mut text = String::with_capacity(room);
        let read = file.take(LARGEST.saturating_add(1)).read_to_string(&mut text);
        if read.map_err(unreadable)? as u64 > LARGEST {
            return Err(EtcError::TooLarge { path: path.to_owned() });
        }
        Ok(text)
    }

    /// Looks at what was opened, not at what the path names now: its length in octets.
    fn trust(&self, file: &File, path: &Path) -> Result<u64, EtcError> {
        let unreadable = |source| EtcError::Unreadable { path: path.to_owned(), source };
        let found = file.metadata().map_err(unreadable)?;
        if !found.is_file() {
            return Err(EtcError::NotAFile { path: path.to_owned() });
        }
        judge(self.rule()?, path, &found)?;
        Ok(found.len())
    }

    /// The rule for this tree; the folder itself was judged by it.
    pub(crate) fn rule(&self) -> Result<Rule, EtcError> {
        if let Some(rule) = self.rule.get() {
            return Ok(*rule);
        }
        let found = metadata(&self.folder)?;
        let rule = Rule::of_owner(found.uid());
        judge(rule, &self.folder, &found)?;
        Ok(*self.rule.get_or_init(|| rule))
    }
}

fn judge(rule: Rule, path: &Path, found: &Metadata) -> Result<(), EtcError> {
    let judged = rule.judge(Rights::from(found));
    judged.map_err(|breach| EtcError::Untrusted { path: path.to_owned(), breach })
}

fn metadata(path: &Path) -> Result<Metadata, EtcError> {
    let unreadable = |source| EtcError::Unreadable { path: path.to_owned(), source };
    std::fs::metadata(path).map_err(unreadable)
}
