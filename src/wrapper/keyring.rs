//! Key files: opened as the group, one component after the other and without following a link, so that nothing outside of
//! the tree is reached. What was opened is judged, not what the path names.

use std::error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use zeroize::Zeroizing;

use super::privilege::{Held, PrivilegeError};
use crate::dkim::{Algorithm, Domain, Hashes, KeyError, Selector, SignError, SigningKey};
use crate::policy::Plan;
use crate::rights::{Breach, Rights, Rule};
use crate::submission::etc::{Etc, EtcError};

/// The keys of a tree, and the right to open them.
#[derive(Debug)]
pub(crate) struct Keyring<'a> {
    pub(crate) etc: &'a Etc,
    pub(crate) held: &'a Held,
}

/// What signs: the keys themselves, or the process that has them.
pub(crate) trait Keys {
    /// Signs for an author domain with the key of a selector: the algorithm of the key, and the signature of the hash for
    /// that algorithm.
    fn sign(
        &mut self,
        author: &Domain,
        plan: &Plan,
        selector: &Selector,
        hashes: &Hashes,
    ) -> Result<(Algorithm, Vec<u8>), KeyringError>;
}

impl Keys for Keyring<'_> {
    fn sign(
        &mut self,
        _: &Domain,
        plan: &Plan,
        selector: &Selector,
        hashes: &Hashes,
    ) -> Result<(Algorithm, Vec<u8>), KeyringError> {
        self.sign_with(&plan.folder, selector, plan.minimum_key_bits, hashes)
    }
}

/// A key that can't be used.
#[derive(Debug)]
pub(crate) enum KeyringError {
    /// The configuration directory can't be used; the administrator.
    Etc(EtcError),
    /// The group can't be taken up; the system.
    Privilege(PrivilegeError),
    /// It can't be opened; the administrator, or a user without the set-gid bit, causes it.
    Open { path: PathBuf, source: Errno, privileged: bool },
    /// Reading failed; the system.
    Read { path: PathBuf, source: io::Error },
    /// It is a directory, a FIFO or a device; the administrator.
    NotAFile { path: PathBuf },
    /// It is larger than any key; the administrator.
    TooLong { path: PathBuf },
    /// Another user could have written it, or can read it; the administrator.
    Rights { path: PathBuf, breach: Breach },
    /// It holds no usable key; the administrator.
    Key { path: PathBuf, source: KeyError },
    /// The private-key operation failed; the system.
    Sign(SignError),
    /// What the process that signs says, or why it says nothing.
    Signer(String),
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etc(error) => error.fmt(f),
            Self::Privilege(error) => error.fmt(f),
            Self::Sign(error) => error.fmt(f),
            Self::Signer(said) => f.write_str(said),
            Self::Open { path, source: Errno::ELOOP, .. } => {
                write!(f, "cannot open key {}, links are not followed", path.display())
            }
            // NoNewPrivileges of systemd, a nosuid mount, a debugger, or chmod(1).
            Self::Open { path, source: Errno::EACCES, privileged: false } => write!(
                f,
                "cannot open key {}, the set-gid bit was ignored or is not there",
                path.display()
            ),
            Self::Open { path, .. } => write!(f, "cannot open key {}", path.display()),
            Self::Read { path, .. } => write!(f, "cannot read key {}", path.display()),
            Self::NotAFile { path } => write!(f, "key {} is not a regular file", path.display()),
            Self::TooLong { path } => {
                write!(f, "key {} is larger than {LARGEST} bytes", path.display())
            }
            Self::Rights { path, breach } => write!(f, "{} {breach}", path.display()),
            Self::Key { path, .. } => write!(f, "key {}", path.display()),
        }
    }
}

impl error::Error for KeyringError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Etc(error) => error.source(),
            Self::Privilege(error) => error.source(),
            Self::Sign(error) => error.source(),
            Self::Open { source, .. } => Some(source),
            Self::Read { source, .. } => Some(source),
            Self::Key { source, .. } => Some(source),
            Self::NotAFile { .. }
            | Self::TooLong { .. }
            | Self::Rights { .. }
            | Self::Signer(_) => None,
        }
    }
}

/// No key file is larger (RSA 4096 in PEM: 3.3 kB). Bytes.
pub(crate) const LARGEST: usize = 16 << 10;

impl Keyring<'_> {
    /// Signs with the key `KEYS/FOLDER/SELECTOR.private`, which is in memory for that alone.
    pub(crate) fn sign_with(
        &self,
        folder: &str,
        selector: &Selector,
        minimum_bits: u32,
        hashes: &Hashes,
    ) -> Result<(Algorithm, Vec<u8>), KeyringError> {
        let name = format!("{}.private", selector.as_str());
        let path = self.etc.keys().join(folder).join(&name);
        let pem = self.read(folder, &name, &path)?;
        let key = SigningKey::from_pem(&pem, minimum_bits)
            .map_err(|source| KeyringError::Key { path, source })?;
        let algorithm = key.algorithm();
        let signature = hashes.sign(&key).map_err(KeyringError::Sign)?;
        Ok((algorithm, signature))
    }

    fn read(
        &self,
        folder: &str,
        name: &str,
        path: &Path,
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let rule = self.etc.rule().map_err(KeyringError::Etc)?;
        let opened = self.held.with(|| open_key(&self.etc.keys(), folder, name));
        let failed = |source| KeyringError::Open {
            path: path.to_owned(),
            source,
            privileged: self.held.is_privileged(),
        };
        let opened = opened.map_err(KeyringError::Privilege)?.map_err(failed)?;
        let length = opened.judge(rule, path)?;
        read(&opened.key, length, path)
    }
}

/// A key file and the directories on its way.
struct Opened {
    keys: File,
    folder: File,
    key: File,
}

/// Opens `KEYS/FOLDER/NAME`. All that is done as the privileged group, if there is one.
fn open_key(keys: &Path, folder: &str, name: &str) -> Result<Opened, Errno> {
    let into = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let keys = open(keys, into, Mode::empty())?;
    // With O_PATH a link would be opened itself, were it not for O_DIRECTORY.
    let folder = openat(&keys, folder, into | OFlag::O_NOFOLLOW, Mode::empty())?;
    // O_NONBLOCK: a FIFO in place of a key must not hold up mail.
    let flags = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let key = openat(&folder, name, flags, Mode::empty())?;
    Ok(Opened { keys: File::from(keys), folder: File::from(folder), key: File::from(key) })
}

impl Opened {
    /// Judges what was opened: the length of the key file in bytes.
    fn judge(&self, rule: Rule, path: &Path) -> Result<u64, KeyringError> {
        let read = |file: &File| {
            let failed = |source| KeyringError::Read { path: path.to_owned(), source };
            file.metadata().map_err(failed)
        };
        let key = read(&self.key)?;
        if !key.is_file() {
            return Err(KeyringError::NotAFile { path: path.to_owned() });
        }
        let [keys, folder] = [read(&self.keys)?, read(&self.folder)?];
        let keys = Rights::from(&keys);
        let judged = [
            rule.judge_key(Rights::from(&key), keys),
            rule.judge(Rights::from(&folder)),
            rule.judge(keys),
        ];
        for (place, judged) in path.ancestors().zip(judged) {
            let refused = |breach| KeyringError::Rights { path: place.to_owned(), breach };
            judged.map_err(refused)?;
        }
        Ok(key.len())
    }
}

/// Reads a key file to its end.
fn read(file: &File, length: u64, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > LARGEST {
        return Err(KeyringError::TooLong { path: path.to_owned() });
    }
    // Room for all at once, and for the read(2) that finds the end: a Vec that grows leaves copies behind.
    let room = length.saturating_add(32);
    let mut pem = Zeroizing::new(Vec::with_capacity(room));
    let read = file.take(room as u64).read_to_end(&mut pem);
    read.map_err(|source| KeyringError::Read { path: path.to_owned(), source })?;
    Ok(pem)
}
