//! The configuration tree as `dkimctl` writes it: each file as a whole or not at all, with the rights it
//! needs whatever the umask, and none in the place of another that was not meant.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, geteuid};

use super::output::{Failure, warn};
use super::rights::GROUP;
use crate::dkim::Domain;

/// Who may read a file or look into a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Everybody.
    All,
    /// The wrapper's group; in a tree of an ordinary user's own, the owner alone.
    Group,
    /// The owner.
    Owner,
}

/// A file to be made.
pub(super) struct NewFile<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a [u8],
    pub(super) readers: Readers,
}

/// Makes the files of the tree.
pub(super) struct Tree {
    /// The group that reads keys; `None` for a tree of an ordinary user's own.
    group: Option<Gid>,
}

impl Tree {
    pub(super) fn new() -> Self {
        let group = Group::from_name(GROUP).ok().flatten().map(|group| group.gid);
        Self { group: group.filter(|_| geteuid().is_root()) }
    }

    /// Makes a folder where there is none; one that is there keeps its rights.
    pub(super) fn folder(&self, path: &Path, readers: Readers) -> Result<(), Failure> {
        let failed = |error| Failure::creating(path, &error);
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                return Ok(());
            }
            made => made.map_err(failed)?,
        }
        self.give(&File::open(path).map_err(failed)?, readers, 0o111).map_err(failed)
    }

    /// Makes the folder of a domain's keys.
    pub(super) fn keys_folder(&self, etc: &Path, domain: &Domain) -> Result<(), Failure> {
        if geteuid().is_root() && self.group.is_none() {
            warn(format_args!(
                "there is no group {GROUP}; the wrapper will not be able to read the key"
            ));
        }
        let keys = etc.join("keys");
        self.folder(etc, Readers::All)?;
        self.folder(&keys, Readers::Group)?;
        self.folder(&keys.join(domain.as_str()), Readers::Group)
    }

    /// Makes files, all of them or none. No file that is there is overwritten.
    pub(super) fn files(&self, files: &[NewFile<'_>]) -> Result<(), Failure> {
        // All is on the disk before the first one has its name: a disk that fills up leaves nothing.
        let drafts =
            files.iter().map(|file| self.draft(file)).collect::<Result<Vec<Draft>, Failure>>()?;
        for (index, (file, draft)) in files.iter().zip(&drafts).enumerate() {
            if let Err(error) = fs::hard_link(&draft.0, file.path) {
                for placed in files.iter().take(index) {
                    drop(fs::remove_file(placed.path));
                }
                return Err(Failure::creating(file.path, &error));
            }
        }
        Ok(())
    }

    /// Puts a file in the place of what is there, if anything is; a reader sees one of both.
    pub(super) fn replace(&self, file: &NewFile<'_>) -> Result<(), Failure> {
        let draft = self.draft(file)?;
        fs::rename(&draft.0, file.path).map_err(|error| Failure::creating(file.path, &error))
    }

    fn draft(&self, file: &NewFile<'_>) -> Result<Draft, Failure> {
        let mut name = file.path.as_os_str().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let path = PathBuf::from(name);
        let failed = |error| Failure::creating(file.path, &error);
        let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut draft = open.map_err(failed)?;
        let written = Draft(path);
        let mut write = || {
            self.give(&draft, file.readers, 0)?;
            draft.write_all(file.text)?;
            draft.sync_all()
        };
        write().map_err(failed)?;
        Ok(written)
    }

    /// Owner's group and mode, in the order in which nobody sees more than in the end.
    fn give(&self, file: &File, readers: Readers, search: u32) -> io::Result<()> {
        let mode = match (readers, self.group) {
            (Readers::All, _) => 0o644 | search,
            (Readers::Group, Some(group)) => {
                fchown(file, None, Some(group.as_raw()))?;
                0o640 | search & 0o110
            }
            (Readers::Group, None) | (Readers::Owner, _) => 0o600 | search & 0o100,
        };
        file.set_permissions(Permissions::from_mode(mode))
    }
}

/// A file under a name of its own, which it loses in the end.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}
