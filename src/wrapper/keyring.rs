//! Key files: opened as the group, one component after the other and without following a link, so that
//! nothing outside the tree is reached; looked at and read when the group is gone.

use std::error;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fstat};
use zeroize::Zeroizing;

use super::privilege::Held;
use super::trouble::Trouble;
use crate::dkim::{KeyError, Selector, SigningKey};
use crate::policy::Plan;

/// A key file that was opened.
#[derive(Debug)]
pub(crate) struct KeyFile {
    file: File,
    path: PathBuf,
    /// The owner of the folder of all keys.
    tree_owner: u32,
}

/// What a key is made of. No `Debug`: it may hold the key.
pub(crate) enum Key {
    /// The file, still to be looked at and read.
    File(KeyFile),
    /// Its octets: somebody else has looked.
    Octets { pem: Zeroizing<Vec<u8>>, path: PathBuf },
}

/// Opens the keys of a plan.
pub(crate) trait Keys {
    /// One for each selector.
    fn open(&mut self, plan: &Plan) -> Result<Vec<Key>, Trouble>;
}

/// The folder of all keys, for who holds the group.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    pub(crate) keys: PathBuf,
    pub(crate) held: &'a Held,
}

impl Tree<'_> {
    /// Opens files as the group.
    pub(crate) fn files(
        &self,
        folder: &str,
        selectors: &[Selector],
    ) -> Result<Vec<KeyFile>, Trouble> {
        let open = |selector| open_key(&self.keys, folder, selector, self.held.is_privileged());
        let files = self.held.with(|| selectors.iter().map(open).collect::<Result<Vec<_>, _>>())?;
        Ok(files?)
    }
}

impl Keys for Tree<'_> {
    fn open(&mut self, plan: &Plan) -> Result<Vec<Key>, Trouble> {
        let files = self.files(&plan.folder, &plan.selectors)?;
        Ok(files.into_iter().map(Key::File).collect())
    }
}

/// A key that can't be used.
#[derive(Debug)]
pub(crate) enum KeyringError {
    /// It can't be opened; the administrator, or a user without the set-gid bit, causes it.
    Open { path: PathBuf, source: Errno, privileged: bool },
    /// Reading failed; the system.
    Read { path: PathBuf, source: io::Error },
    /// It is a folder, a FIFO or a device; the administrator.
    NotAFile { path: PathBuf },
    /// It belongs to a user who has no say here; the administrator.
    Owner { path: PathBuf, owner: u32 },
    /// Others may read or write it; the administrator.
    TooOpen { path: PathBuf, mode: u32 },
    /// It holds no usable key; the administrator.
    Key { path: PathBuf, source: KeyError },
    /// What the process that opens keys for a dialogue says.
    Keeper { said: String },
}

impl KeyringError {
    fn path(&self) -> &Path {
        match self {
            Self::Keeper { .. } => Path::new(""),
            Self::Open { path, .. }
            | Self::Read { path, .. }
            | Self::NotAFile { path }
            | Self::Owner { path, .. }
            | Self::TooOpen { path, .. }
            | Self::Key { path, .. } => path,
        }
    }
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path().display();
        match self {
            Self::Open { source: Errno::ELOOP, .. } => {
                write!(f, "cannot open key {path}, links are not followed")
            }
            // NoNewPrivileges of systemd, a nosuid mount, a debugger, or chmod(1).
            Self::Open { source: Errno::EACCES, privileged: false, .. } => {
                write!(f, "cannot open key {path}, the set-gid bit was ignored or is not there")
            }
            Self::Open { .. } => write!(f, "cannot open key {path}"),
            Self::Read { .. } => write!(f, "cannot read key {path}"),
            Self::NotAFile { .. } => write!(f, "key {path} is not a regular file"),
            Self::Owner { owner, .. } => {
                write!(f, "key {path} is of uid {owner}, wanted root's or the tree's owner's")
            }
            Self::TooOpen { mode, .. } => {
                write!(f, "key {path} has mode {mode:03o}, wanted 640 or stricter")
            }
            Self::Key { .. } => write!(f, "key {path}"),
            Self::Keeper { said } => f.write_str(said),
        }
    }
}

impl error::Error for KeyringError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Open { source, .. } => Some(source),
            Self::Read { source, .. } => Some(source),
            Self::Key { source, .. } => Some(source),
            Self::NotAFile { .. }
            | Self::Owner { .. }
            | Self::TooOpen { .. }
            | Self::Keeper { .. } => None,
        }
    }
}

/// No key file is larger (RSA 4096 in PEM: 3.3 kB). Octets.
pub(crate) const LARGEST: usize = 16 << 10;

/// Opens `KEYS/FOLDER/SELECTOR.private`. All that is done as the privileged group, if there is one.
fn open_key(
    keys: &Path,
    folder: &str,
    selector: &Selector,
    privileged: bool,
) -> Result<KeyFile, KeyringError> {
    let name = format!("{}.private", selector.as_str());
    let path = keys.join(folder).join(&name);
    let failed = |source| KeyringError::Open { path: path.clone(), source, privileged };
    let into = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let tree = open(keys, into, Mode::empty()).map_err(failed)?;
    let tree_owner = fstat(&tree).map_err(failed)?.st_uid;
    // With O_PATH a link would be opened itself, were it not for O_DIRECTORY.
    let folder = openat(&tree, folder, into | OFlag::O_NOFOLLOW, Mode::empty()).map_err(failed)?;
    // O_NONBLOCK: a FIFO in place of a key must not hold up mail.
    let key = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let file = openat(&folder, name.as_str(), key, Mode::empty()).map_err(failed)?;
    Ok(KeyFile { file: File::from(file), path, tree_owner })
}

impl Key {
    /// Reads the key. Needs no privilege.
    pub(crate) fn read(&self, minimum_bits: u32) -> Result<SigningKey, KeyringError> {
        let key = |pem: &[u8], path: &Path| {
            SigningKey::from_pem(pem, minimum_bits)
                .map_err(|source| KeyringError::Key { path: path.to_owned(), source })
        };
        match self {
            Self::File(file) => key(&file.octets()?, &file.path),
            Self::Octets { pem, path } => key(pem, path),
        }
    }
}

impl KeyFile {
    /// Looks at the file and reads it. Needs no privilege.
    pub(crate) fn octets(&self) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let path = &self.path;
        let failed = |source| KeyringError::Read { path: path.clone(), source };
        let found = self.file.metadata().map_err(failed)?;
        self.trust(&found)?;
        // Room for all at once, and for the read(2) that finds the end: a Vec that grows leaves copies behind.
        let length = usize::try_from(found.len()).unwrap_or(LARGEST).min(LARGEST);
        let room = length.saturating_add(32);
        let mut pem = Zeroizing::new(Vec::with_capacity(room));
        (&self.file).take(room as u64).read_to_end(&mut pem).map_err(failed)?;
        Ok(pem)
    }

    fn trust(&self, found: &Metadata) -> Result<(), KeyringError> {
        let path = self.path.clone();
        let (owner, mode) = (found.uid(), found.mode() & 0o7777);
        if !found.is_file() {
            return Err(KeyringError::NotAFile { path });
        }
        if owner != 0 && owner != self.tree_owner {
            return Err(KeyringError::Owner { path, owner });
        }
        // Nobody but the owner writes, nobody but the owner and the group reads.
        if mode & 0o026 != 0 {
            return Err(KeyringError::TooOpen { path, mode });
        }
        Ok(())
    }
}
