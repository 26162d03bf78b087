//! Opens key files with the privileged group. Each component of the path is opened by itself without following links, so that no
//! file outside the tree is reached. The permissions are checked on the opened file, not on the path.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use zeroize::Zeroizing;

use super::privilege::Held;
use crate::dkim::{Algorithm, HashInput, Selector, SigningKey};
use crate::report::{chain, plain};
use crate::rights::{Rights, Rule};
use crate::submission::configuration::{Etc, Fault, FileError};

/// The keys of a configuration directory, and the privilege to open them.
#[derive(Debug)]
pub(crate) struct Keyring<'a> {
    pub(crate) etc: &'a Etc,
    pub(crate) held: &'a Held,
}

/// The size of the largest key file, in bytes. RSA 4096 in PEM has 3.3 kB.
pub(crate) const LARGEST: usize = 16 << 10;

impl Keyring<'_> {
    /// Signs with the key `KEYS/FOLDER/SELECTOR.private`. The key is in memory only for this. The error is a reason for the log.
    pub(crate) fn sign_with(
        &self,
        folder: &str,
        selector: &Selector,
        minimum_bits: u32,
        input: &HashInput,
    ) -> Result<(Algorithm, Vec<u8>), String> {
        let name = format!("{}.private", selector.as_str());
        let path = self.etc.keys().join(folder).join(&name);
        let rule = self.etc.rule().map_err(|error| chain(&error))?;
        let opened = self.held.with(|| open_key(&self.etc.keys(), folder, &name));
        let opened = opened.map_err(|error| chain(&error))?;
        let opened = opened.map_err(|errno| self.not_opened(&path, errno))?;
        let pem = opened.read(rule, &path).map_err(|error| chain(&error))?;
        let key = SigningKey::from_pem(&pem, minimum_bits)
            .map_err(|error| chain(&Fault::Key(error).of(&path)))?;
        let signature = input.sign(&key).map_err(|error| chain(&error))?;
        Ok((key.algorithm(), signature))
    }

    /// Why a key cannot be opened. The administrator causes this error, or a user who runs the wrapper without its set-gid bit.
    fn not_opened(&self, path: &Path, errno: Errno) -> String {
        let more = match (errno, self.held.is_privileged()) {
            (Errno::ELOOP, _) => ", links are not followed",
            // Opening a link to a directory with O_NOFOLLOW fails with ENOTDIR, too.
            (Errno::ENOTDIR, _) => {
                ", its directory is a link or not a directory, and links are not followed"
            }
            // NoNewPrivileges of systemd, a nosuid mount, a debugger, or chmod(1).
            (Errno::EACCES, false) => ", the set-gid bit was ignored or is not there",
            _ => "",
        };
        format!("cannot open key {}{more}: {}", path.display(), plain(&errno))
    }
}

/// A key file and the directories above it, all open.
struct Opened {
    keys: File,
    folder: File,
    key: File,
}

/// Opens `KEYS/FOLDER/NAME`. Call this with the privileged group, if there is one.
fn open_key(keys: &Path, folder: &str, name: &str) -> Result<Opened, Errno> {
    let into = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let keys = open(keys, into, Mode::empty())?;
    // O_PATH without O_DIRECTORY would open a link itself.
    let folder = openat(&keys, folder, into | OFlag::O_NOFOLLOW, Mode::empty())?;
    // O_NONBLOCK: a FIFO instead of a key must not delay mail.
    let flags = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let key = openat(&folder, name, flags, Mode::empty())?;
    Ok(Opened { keys: File::from(keys), folder: File::from(folder), key: File::from(key) })
}

impl Opened {
    /// Checks the permissions of the opened files, and reads the key file to its end.
    fn read(self, rule: Rule, path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
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
        // Room for the whole file and for the read(2) that returns 0: a Vec that grows leaves copies behind.
        let room = length.saturating_add(32);
        let mut pem = Zeroizing::new(Vec::with_capacity(room));
        (&self.key).take(room as u64).read_to_end(&mut pem).map_err(unreadable)?;
        Ok(pem)
    }
}
