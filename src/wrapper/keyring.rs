//! Key files: opened as the group, one component after the other and without following a link, so that nothing outside of
//! the tree is reached. What was opened is judged, not what the path names.

use std::error;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use zeroize::Zeroizing;

use super::privilege::{Held, PrivilegeError};
use crate::dkim::{Algorithm, HashInput, Selector, SignError, SigningKey};
use crate::rights::{Rights, Rule};
use crate::submission::configuration::{Etc, Fault, FileError};

/// The keys of a configuration directory, and the right to open them.
#[derive(Debug)]
pub(crate) struct Keyring<'a> {
    pub(crate) etc: &'a Etc,
    pub(crate) held: &'a Held,
}

/// A key can't be used.
#[derive(Debug)]
pub(crate) enum KeyringError {
    /// The group can't be taken up; the system.
    Privilege(PrivilegeError),
    /// The key can't be opened; the administrator, or a user without the set-gid bit, causes it.
    Open { path: PathBuf, source: Errno, privileged: bool },
    /// The configuration directory or the key can't be used; the administrator.
    File(FileError),
    /// The private-key operation failed; the system.
    Sign(SignError),
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, more) = match self {
            Self::Privilege(error) => return error.fmt(f),
            Self::File(error) => return error.fmt(f),
            Self::Sign(error) => return error.fmt(f),
            Self::Open { path, source: Errno::ELOOP, .. } => (path, ", links are not followed"),
            // What is opened as a directory, and is a link to one, is not a directory.
            Self::Open { path, source: Errno::ENOTDIR, .. } => {
                (path, ", its folder is a link or no directory, and links are not followed")
            }
            // NoNewPrivileges of systemd, a nosuid mount, a debugger, or chmod(1).
            Self::Open { path, source: Errno::EACCES, privileged: false } => {
                (path, ", the set-gid bit was ignored or is not there")
            }
            Self::Open { path, .. } => (path, ""),
        };
        write!(f, "cannot open key {}{more}", path.display())
    }
}

impl error::Error for KeyringError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Privilege(error) => error.source(),
            Self::File(error) => error.source(),
            Self::Sign(error) => error.source(),
            Self::Open { source, .. } => Some(source),
        }
    }
}

impl From<FileError> for KeyringError {
    fn from(error: FileError) -> Self {
        Self::File(error)
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
        input: &HashInput,
    ) -> Result<(Algorithm, Vec<u8>), KeyringError> {
        let name = format!("{}.private", selector.as_str());
        let path = self.etc.keys().join(folder).join(&name);
        let pem = self.read(folder, &name, &path)?;
        let key = SigningKey::from_pem(&pem, minimum_bits)
            .map_err(|error| Fault::Key(error).of(&path))?;
        let signature = input.sign(&key).map_err(KeyringError::Sign)?;
        Ok((key.algorithm(), signature))
    }

    fn read(
        &self,
        folder: &str,
        name: &str,
        path: &Path,
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let rule = self.etc.rule()?;
        let opened = self.held.with(|| open_key(&self.etc.keys(), folder, name));
        let opened = opened.map_err(KeyringError::Privilege)?;
        let privileged = self.held.is_privileged();
        let failed = |source| KeyringError::Open { path: path.to_owned(), source, privileged };
        Ok(opened.map_err(failed)?.read(rule, path)?)
    }
}

/// A key file and the directories on its way.
struct Opened {
    keys: File,
    folder: File,
    key: File,
}

/// Opens `KEYS/FOLDER/NAME`. To be called as the privileged group, if there is one.
fn open_key(keys: &Path, folder: &str, name: &str) -> Result<Opened, Errno> {
    let into = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let keys = open(keys, into, Mode::empty())?;
    // O_PATH alone would open a link itself.
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
    /// Judges what was opened, and reads the key file to its end.
    fn read(&self, rule: Rule, path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let unreadable = |error| Fault::Unreadable(error).of(path);
        let key = self.key.metadata().map_err(unreadable)?;
        if !key.is_file() {
            return Err(Fault::NotAFile.of(path));
        }
        let keys = Rights::from(&self.keys.metadata().map_err(unreadable)?);
        let folder = Rights::from(&self.folder.metadata().map_err(unreadable)?);
        let judged =
            [rule.judge_key(Rights::from(&key), keys), rule.judge(folder), rule.judge(keys)];
        for (place, judged) in path.ancestors().zip(judged) {
            judged.map_err(|breach| Fault::Untrusted(breach).of(place))?;
        }
        let length = usize::try_from(key.len()).unwrap_or(usize::MAX);
        if length > LARGEST {
            return Err(Fault::TooLarge(LARGEST as u64).of(path));
        }
        // Room for all at once, and for the read(2) that finds the end: a Vec that grows leaves copies behind.
        let room = length.saturating_add(32);
        let mut pem = Zeroizing::new(Vec::with_capacity(room));
        (&self.key).take(room as u64).read_to_end(&mut pem).map_err(unreadable)?;
        Ok(pem)
    }
}
