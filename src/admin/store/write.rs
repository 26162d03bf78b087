//! The configuration tree as `dkimctl` writes it: nothing else in the program writes below it. Each file is there as a whole
//! or not at all, with the rights it needs under any umask, and none takes the place of another that was not meant.
//!
//! Root may write where others can, too. So a folder is opened from the one above it, no link is followed, and a folder
//! or a file that another user owns or may write is refused: what is done is done to what was looked at, and nothing
//! outside of the tree is touched, whatever is exchanged meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::{UnlinkatFlags, geteuid, linkat, unlinkat};

use super::folder::{Access, Folder, QUIETLY, Readers, is, of_another_kind, refuse, rights};
use super::rights::GROUP;
use crate::admin::output::{Failure, warn};
use crate::dkim::Domain;

/// A file to be made, below the folder of the store.
pub(crate) struct NewFile<'a> {
    pub(crate) path: &'a Path,
    pub(crate) text: &'a [u8],
    pub(crate) readers: Readers,
}

/// A tree, open for writing.
#[derive(Debug)]
pub(crate) struct Store {
    top: Folder,
    access: Access,
}

impl Store {
    /// Opens a tree that is there.
    ///
    /// # Errors
    /// It is not there; another user owns it, or may write to it.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self { top: Folder::open(path, false)?, access: Access::new() })
    }

    /// Refuses a tree that another user can write to, before anything in it is believed. One that is not there is fine.
    pub(crate) fn refuse_others(path: &Path) -> Result<(), Failure> {
        if path.symlink_metadata().is_err() { Ok(()) } else { Self::open(path).map(drop) }
    }

    /// Gives a file or a directory of a tree the rights it needs, where its owner is right.
    ///
    /// # Errors
    /// It is not of the tree, or something else than it was.
    pub(crate) fn repair(etc: &Path, path: &Path, readers: Readers) -> Result<(), Failure> {
        let outside = |_| Failure::software(format_args!("{path:?} is not below {etc:?}"));
        let below = path.strip_prefix(etc).map_err(outside)?;
        Folder::repair(etc, below, &Access::new(), readers)
    }

    /// Opens a folder that is not of the tree.
    ///
    /// # Errors
    /// As for a tree; but others may write to it where they can rename or remove no file of another user.
    pub(crate) fn open_shared(path: &Path) -> Result<Self, Failure> {
        Ok(Self { top: Folder::open(path, true)?, access: Access::new() })
    }

    /// Opens a tree, and makes its folder where there is none.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        if path.symlink_metadata().is_ok() {
            return Self::open(path);
        }
        let access = Access::new();
        let name = path.file_name().unwrap_or(OsStr::new("."));
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let above = Folder::open(above.unwrap_or(Path::new(".")), true)?;
        let top = above.make(name, &access, Readers::All)?;
        Ok(Self { top: Folder { path: path.to_owned(), ..top }, access })
    }

    /// Makes a folder where there is none; one that is there keeps its rights.
    pub(crate) fn folder(&self, path: &Path, readers: Readers) -> Result<(), Failure> {
        let (above, name) = self.place(path)?;
        above.make(&name, &self.access, readers).map(drop)
    }

    /// Makes the folder of a domain's keys.
    pub(crate) fn keys_folder(&self, domain: &Domain) -> Result<(), Failure> {
        if geteuid().is_root() && self.access.group.is_none() {
            warn(format_args!(
                "there is no group {GROUP}; the wrapper will not be able to read the key"
            ));
        }
        let keys = self.top.path.join("keys");
        self.folder(&keys, Readers::Group)?;
        self.folder(&keys.join(domain.as_str()), Readers::Group)
    }

    /// Gives the keys to the group that reads them, where the folder of all keys is another one's: where a package has
    /// just made it, or where it has outlived a purge.
    pub(crate) fn give_keys(&self) -> Result<(), Failure> {
        let keys = self.top.enter(OsStr::new("keys"))?;
        let failed = |error| Failure::changing(&keys.path, &error);
        let found = keys.file.metadata().map_err(failed)?;
        if self.access.group.is_none_or(|group| group.as_raw() == found.gid()) {
            return Ok(());
        }
        for domain in keys.names()? {
            if keys.look(&domain)?.is_some_and(|found| is(&found, SFlag::S_IFDIR)) {
                self.give_files(&keys.enter(&domain)?)?;
            }
        }
        // The last: until then it is done again.
        self.access.give(&keys.file, Readers::Group, 0o111).map_err(failed)
    }

    fn give_files(&self, folder: &Folder) -> Result<(), Failure> {
        for name in folder.names()? {
            let path = folder.path.join(&name);
            let readers = match path.extension().and_then(OsStr::to_str) {
                Some("private") => Readers::Group,
                Some("txt") => Readers::All,
                Some(_) | None => continue,
            };
            if let Some(file) = folder.sole_file(&name, OFlag::O_RDONLY)? {
                let given = self.access.give(&file, readers, 0);
                given.map_err(|error| Failure::changing(&path, &error))?;
            }
        }
        let given = self.access.give(&folder.file, Readers::Group, 0o111);
        given.map_err(|error| Failure::changing(&folder.path, &error))
    }

    /// Makes files, all of them or none. No file that is there is overwritten.
    pub(crate) fn files(&self, files: &[NewFile<'_>]) -> Result<(), Failure> {
        // All is on the disk before the first one has its name: a disk that fills up leaves nothing.
        let drafts =
            files.iter().map(|file| self.draft(file)).collect::<Result<Vec<Draft>, Failure>>()?;
        for (index, draft) in drafts.iter().enumerate() {
            let linked = draft.link();
            let placed = index.saturating_add(usize::from(linked.is_ok()));
            if let Err(error) = linked.and_then(|()| draft.folder.sync()) {
                drafts.iter().take(placed).for_each(|draft| drop(draft.folder.remove(&draft.name)));
                return Err(Failure::creating(&draft.path(), &error));
            }
        }
        Ok(())
    }

    /// Puts a file in the place of what is there, if anything is; a reader sees one of both.
    pub(crate) fn replace(&self, file: &NewFile<'_>) -> Result<(), Failure> {
        self.replaceable(file.path)?;
        self.draft(file)?.rename().map_err(|error| Failure::creating(file.path, &error))
    }

    /// Refuses what [`Self::replace`] would not replace: a link, a folder, a file of others.
    pub(crate) fn replaceable(&self, path: &Path) -> Result<(), Failure> {
        let (folder, name) = self.place(path)?;
        match folder.look(&name)? {
            Some(found) if !is(&found, SFlag::S_IFREG) => {
                Err(of_another_kind(&folder.file, &name, path, "regular file"))
            }
            Some(found) => refuse(rights(&found), path),
            None => Ok(()),
        }
    }

    /// Takes a file out of the tree, if it is there.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), Failure> {
        let (folder, name) = self.place(path)?;
        match folder.remove(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| Failure::changing(path, &error)),
        }
    }

    /// Overwrites a key before it goes: a file system that writes in place keeps nothing of it. Only a regular file without
    /// a second name is overwritten: what a link leads to, or what has a name elsewhere, is not this tree's alone.
    pub(crate) fn wipe(&self, path: &Path) -> Result<(), Failure> {
        let failed = |error| Failure::changing(path, &error);
        let (folder, name) = self.place(path)?;
        if let Some(mut file) = folder.sole_file(&name, OFlag::O_WRONLY)? {
            let length = file.metadata().map_err(failed)?.len().min(1 << 16);
            let zeros = vec![0; usize::try_from(length).unwrap_or_default()];
            file.write_all(&zeros).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        folder.remove(&name).map_err(failed)
    }

    /// Keeps others from changing a folder meanwhile; `None`: another one does so now.
    pub(crate) fn lock(&self, path: &Path) -> Result<Option<Flock<File>>, Failure> {
        let (above, name) = self.place(path)?;
        Ok(Flock::lock(above.enter(&name)?.file, FlockArg::LockExclusiveNonblock).ok())
    }

    /// The folder of a file, opened step by step, and the name of the file in it.
    fn place(&self, path: &Path) -> Result<(Folder, OsString), Failure> {
        let outside =
            || Failure::software(format_args!("{path:?} is not below {:?}", self.top.path));
        let below = path.strip_prefix(&self.top.path).map_err(|_| outside())?;
        let mut folder = self.top.again()?;
        let mut last = None;
        for component in below.components() {
            let Component::Normal(name) = component else { return Err(outside()) };
            if let Some(above) = last.replace(name) {
                folder = folder.enter(above)?;
            }
        }
        Ok((folder, last.ok_or_else(outside)?.to_owned()))
    }

    fn draft(&self, file: &NewFile<'_>) -> Result<Draft, Failure> {
        let failed = |error| Failure::creating(file.path, &error);
        let (folder, name) = self.place(file.path)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | QUIETLY;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        // One that was killed may have left a draft, and have had the number of this process.
        let own = |number| OsString::from(format!(".dkimctl.{}.{number}.new", std::process::id()));
        let mut taken = 0..100;
        let (open, draft) = loop {
            let draft = own(taken.next().unwrap_or_default());
            match openat(&folder.file, draft.as_os_str(), flags, mode) {
                Err(Errno::EEXIST) if !taken.is_empty() => {}
                open => break (open, draft),
            }
        };
        let mut open = open.map(File::from).map_err(|error| failed(error.into()))?;
        let written = Draft { folder, draft, name };
        let mut write = || {
            self.access.give(&open, file.readers, 0)?;
            open.write_all(file.text)?;
            open.sync_all()
        };
        write().map_err(failed)?;
        Ok(written)
    }
}

/// A file under a name of its own, which it loses in the end.
struct Draft {
    folder: Folder,
    draft: OsString,
    /// The name that it is for.
    name: OsString,
}

impl Draft {
    fn path(&self) -> PathBuf {
        self.folder.path.join(&self.name)
    }

    /// Gives it its name, which no other file has.
    fn link(&self) -> io::Result<()> {
        let folder = &self.folder.file;
        let (draft, name) = (self.draft.as_os_str(), self.name.as_os_str());
        Ok(linkat(folder, draft, folder, name, AtFlags::empty())?)
    }

    /// Gives it its name, whatever file had that.
    fn rename(&self) -> io::Result<()> {
        let folder = &self.folder.file;
        renameat(folder, self.draft.as_os_str(), folder, self.name.as_os_str())?;
        self.folder.sync()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _gone = unlinkat(&self.folder.file, self.draft.as_os_str(), UnlinkatFlags::NoRemoveDir);
    }
}
