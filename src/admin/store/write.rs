//! Writes the configuration tree. No other code of `dkimctl` does. Each file is written completely or not at all, has the right
//! permissions under any umask, and never replaces another file by accident.
//!
//! Root may write to folders that other users can also write to. So each folder is opened from its parent, links are not
//! followed, and a folder or file that another user owns or may write to is rejected. The checks and the changes apply to the
//! same opened files, so nothing outside the tree is touched, even if another user replaces files at the same time.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, geteuid, linkat, unlinkat};

use super::domains::DomainConfig;
use super::folder::{Folder, QUIETLY, Readers, refuse};
use super::rights::GROUP;
use super::waiting;
use crate::admin::output::{Failure, warn};
use crate::rights::Rights;

/// A file to create below the folder of the store.
pub(crate) struct NewFile<'a> {
    pub(crate) path: &'a Path,
    pub(crate) text: &'a [u8],
    pub(crate) readers: Readers,
}

/// A tree, open for writing.
#[derive(Debug)]
pub(crate) struct Store {
    top: Folder,
}

impl Store {
    /// Opens an existing tree.
    ///
    /// # Errors
    /// It does not exist, or another user owns it or may write to it.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self { top: Folder::open(path, false)? })
    }

    /// An error if another user can write to the tree. Call this before trusting its content. A missing tree is not an error.
    pub(crate) fn refuse_others(path: &Path) -> Result<(), Failure> {
        if path.symlink_metadata().is_err() { Ok(()) } else { Self::open(path).map(drop) }
    }

    /// Sets the permissions of a file or directory of a tree, if its owner is right.
    ///
    /// # Errors
    /// It is not in the tree, or was replaced by another file.
    pub(crate) fn repair(etc: &Path, path: &Path, readers: Readers) -> Result<(), Failure> {
        let outside = |_| Failure::software(format_args!("{path:?} is not below {etc:?}"));
        let below = path.strip_prefix(etc).map_err(outside)?;
        Folder::repair(etc, below, readers)
    }

    /// Opens a folder outside the tree.
    ///
    /// # Errors
    /// The same as for a tree, but other users may write to it if they cannot rename or remove files of others.
    pub(crate) fn open_shared(path: &Path) -> Result<Self, Failure> {
        Ok(Self { top: Folder::open(path, true)? })
    }

    /// Opens a tree, and creates its folder if it does not exist.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        if path.symlink_metadata().is_ok() {
            return Self::open(path);
        }
        let name = path.file_name().unwrap_or(OsStr::new("."));
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let above = Folder::open(above.unwrap_or(Path::new(".")), true)?;
        let top = above.make(name, Readers::All)?;
        Ok(Self { top: Folder { path: path.to_owned(), ..top } })
    }

    /// Creates a folder if it does not exist. An existing folder keeps its permissions.
    pub(crate) fn folder(&self, path: &Path, readers: Readers) -> Result<(), Failure> {
        let (above, name) = self.place(path)?;
        above.make(&name, readers).map(drop)
    }

    /// Creates a folder of keys: that of a domain, or one that domains share.
    pub(crate) fn keys_folder(&self, name: &str) -> Result<(), Failure> {
        if geteuid().is_root() && self.top.group.is_none() {
            warn(format_args!(
                "there is no group {GROUP}; the wrapper will not be able to read the key"
            ));
        }
        let keys = self.top.path.join("keys");
        self.folder(&keys, Readers::Group)?;
        self.folder(&keys.join(name), Readers::Group)
    }

    /// Gives the keys to the group that reads them, if the folder of all keys has another group: because a package has just
    /// created it, or because it remained after a purge.
    pub(crate) fn give_keys(&self) -> Result<(), Failure> {
        let keys = self.top.enter(OsStr::new("keys"))?;
        let failed = |error| Failure::changing(&keys.path, &error);
        let found = keys.file.metadata().map_err(failed)?;
        if keys.group.is_none_or(|group| group.as_raw() == found.gid()) {
            return Ok(());
        }
        for domain in keys.names()? {
            if keys.look(&domain)?.is_some_and(|found| found.is_dir()) {
                Self::give_files(&keys.enter(&domain)?)?;
            }
        }
        // Changed last, so that an interrupted run is repeated.
        keys.give(Readers::Group)
    }

    fn give_files(folder: &Folder) -> Result<(), Failure> {
        for name in folder.names()? {
            let path = folder.path.join(&name);
            let readers = match path.extension().and_then(OsStr::to_str) {
                Some("private") => Readers::Group,
                Some("txt") => Readers::All,
                Some(_) | None => continue,
            };
            if let Some(file) = folder.sole_file(&name, OFlag::O_RDONLY)? {
                let given = folder.give_file(&file, readers, 0);
                given.map_err(|error| Failure::changing(&path, &error))?;
            }
        }
        folder.give(Readers::Group)
    }

    /// Creates either all of the files or none. No existing file is overwritten.
    pub(crate) fn files(&self, files: &[NewFile<'_>]) -> Result<(), Failure> {
        // All content is on the disk before the first file gets its name, so that a full disk leaves no file behind.
        let drafts =
            files.iter().map(|file| self.draft(file)).collect::<Result<Vec<Draft>, Failure>>()?;
        for (index, draft) in drafts.iter().enumerate() {
            let linked = draft.link();
            let placed = index.saturating_add(usize::from(linked.is_ok()));
            if let Err(error) = linked.and_then(|()| draft.folder.sync()) {
                drafts.iter().take(placed).for_each(|draft| drop(draft.folder.remove(&draft.name)));
                return Err(Failure::creating(&draft.folder.path.join(&draft.name), &error));
            }
        }
        Ok(())
    }

    /// Creates or replaces a file. A reader sees either the old or the new one.
    pub(crate) fn replace(&self, path: &Path, text: &str, readers: Readers) -> Result<(), Failure> {
        self.replaceable(path)?;
        let draft = self.draft(&NewFile { path, text: text.as_bytes(), readers })?;
        draft.rename().map_err(|error| Failure::creating(path, &error))
    }

    /// An error if [`Self::replace`] would not replace the file: a link, a folder or a file of another user.
    pub(crate) fn replaceable(&self, path: &Path) -> Result<(), Failure> {
        let (folder, name) = self.place(path)?;
        match folder.look(&name)? {
            Some(found) if !found.is_file() => {
                Err(folder.of_another_kind(&name, path, "regular file"))
            }
            Some(found) => refuse(Rights::from(&found), path),
            None => Ok(()),
        }
    }

    /// Makes a waiting file the domain file, so that the domain is signed. An error if another user could have written the file, or
    /// the domain has a domain file already.
    pub(crate) fn activate(&self, etc: &Path, config: &DomainConfig) -> Result<(), Failure> {
        let Some(domain) = &config.name else { return Ok(()) };
        let waiting = waiting::path(etc, domain);
        self.replaceable(&waiting)?;
        let (path, text) = (config.path.as_path(), config.text.as_bytes());
        self.files(&[NewFile { path, text, readers: Readers::All }])?;
        self.remove(&waiting)
    }

    /// Removes a file from the tree, if it exists.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), Failure> {
        let (folder, name) = self.place(path)?;
        match folder.remove(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| Failure::changing(path, &error)),
        }
    }

    /// Overwrites a key before it is removed, so that a file system that writes in place keeps nothing of it. Only a regular file
    /// without other names is overwritten: a file behind a link or with another name may be used elsewhere.
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

    /// Locks a folder against changes by other runs. An error, which `busy` describes, if another run holds the lock.
    pub(crate) fn lock(&self, path: &Path, busy: impl Display) -> Result<Flock<File>, Failure> {
        let (above, name) = self.place(path)?;
        let locked = Flock::lock(above.enter(&name)?.file, FlockArg::LockExclusiveNonblock);
        locked.map_err(|_| Failure::busy(busy))
    }

    /// The same, but waits until no other run holds the lock.
    pub(crate) fn wait_for_lock(&self, path: &Path) -> Result<Flock<File>, Failure> {
        let (above, name) = self.place(path)?;
        let locked = Flock::lock(above.enter(&name)?.file, FlockArg::LockExclusive);
        locked.map_err(|(_, error)| Failure::changing(path, &error.into()))
    }

    /// The folder of a file, opened component by component, and the name of the file.
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
        // A killed process with the same number may have left a draft.
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
            written.folder.give_file(&open, file.readers, 0)?;
            open.write_all(file.text)?;
            open.sync_all()
        };
        write().map_err(failed)?;
        Ok(written)
    }
}

/// A file under a temporary name.
struct Draft {
    folder: Folder,
    draft: OsString,
    /// Its final name.
    name: OsString,
}

impl Draft {
    /// Gives it its final name. An error if another file has this name.
    fn link(&self) -> io::Result<()> {
        let folder = &self.folder.file;
        let (draft, name) = (self.draft.as_os_str(), self.name.as_os_str());
        Ok(linkat(folder, draft, folder, name, AtFlags::empty())?)
    }

    /// Gives it its final name, and replaces another file of this name.
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

#[cfg(test)]
mod tests {
    use std::fs::{self, DirBuilder, Permissions};
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

    use super::*;
    use crate::admin::temporary::Temporary;
    use crate::dkim::Domain;

    fn store(name: &str) -> (Temporary, Store) {
        let temporary = Temporary::new(name).unwrap();
        let store = Store::open(&temporary.path).unwrap();
        (temporary, store)
    }

    fn names(temporary: &Temporary) -> Vec<OsString> {
        let entries = fs::read_dir(&temporary.path).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn of_several_new_files_all_are_created_or_none_and_a_file_that_exists_stays() {
        let (temporary, store) = store("store-files");
        let paths = ["a.txt", "a.private", "a.toml"].map(|name| temporary.path.join(name));
        let files =
            paths.each_ref().map(|path| NewFile { path, text: b"new", readers: Readers::Owner });
        for exists in &paths {
            fs::write(exists, "old").unwrap();
            assert!(store.files(&files).is_err());
            assert_eq!(names(&temporary), [exists.file_name().unwrap()]);
            assert_eq!(fs::read(exists).unwrap(), b"old");
            fs::remove_file(exists).unwrap();
        }
        store.files(&files).unwrap();
        assert_eq!(names(&temporary), ["a.private", "a.toml", "a.txt"]);
    }

    #[test]
    fn a_waiting_file_that_others_may_write_to_is_not_made_the_domain_file() {
        let (temporary, store) = store("store-activate");
        let (etc, domain) = (&temporary.path, Domain::parse("x.test").unwrap());
        DirBuilder::new().mode(0o755).create(etc.join("domains")).unwrap();
        let waiting = waiting::path(etc, &domain);
        fs::write(&waiting, "selectors = [\"a\"]\n").unwrap();
        for (mode, is_right) in [(0o666, false), (0o664, false), (0o644, true)] {
            fs::set_permissions(&waiting, Permissions::from_mode(mode)).unwrap();
            let config = waiting::read(etc, &domain).unwrap().unwrap();
            assert_eq!(store.activate(etc, &config).is_ok(), is_right, "{mode:o}");
            assert_eq!([config.path.exists(), !waiting.exists()], [is_right; 2], "{mode:o}");
        }
    }

    #[test]
    fn a_waiting_file_replaces_no_domain_file() {
        let (temporary, store) = store("store-waiting");
        let (etc, domain) = (&temporary.path, Domain::parse("x.test").unwrap());
        DirBuilder::new().mode(0o755).create(etc.join("domains")).unwrap();
        let waiting = waiting::path(etc, &domain);
        store.replace(&waiting, "selectors = [\"a\"]\n", Readers::All).unwrap();
        let config = waiting::read(etc, &domain).unwrap().unwrap();
        // Another process has made it meanwhile.
        fs::write(&config.path, "selectors = [\"b\"]\n").unwrap();
        assert!(store.activate(etc, &config).is_err());
        assert_eq!(fs::read(&config.path).unwrap(), b"selectors = [\"b\"]\n");
        assert!(waiting.exists());
    }

    #[test]
    fn the_folder_of_all_keys_gets_its_group_after_all_that_is_in_it() {
        let (temporary, mut store) = store("store-give");
        let folder = temporary.path.join("keys/x.test");
        DirBuilder::new().mode(0o700).recursive(true).create(&folder).unwrap();
        let key = folder.join("a.private");
        fs::write(&key, "x").unwrap();
        let keys = || fs::metadata(temporary.path.join("keys")).unwrap();
        let (own, other) = (keys().gid(), keys().gid().wrapping_add(1));
        store.top.group = Some(other.into());
        // What another user could have written stops it, and the next call does not take it for done.
        fs::set_permissions(&key, Permissions::from_mode(0o666)).unwrap();
        assert!(store.give_keys().is_err());
        assert_eq!((keys().gid(), keys().mode() & 0o777), (own, 0o700));
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        // Only root may give a file to any group.
        let is_given = if geteuid().is_root() { other } else { own };
        assert_eq!(store.give_keys().is_ok(), geteuid().is_root());
        let found = [keys().gid(), fs::metadata(&key).unwrap().gid()];
        assert_eq!(found, [is_given; 2]);
    }

    #[test]
    fn nothing_outside_the_folder_of_the_store_is_written() {
        let (temporary, store) = store("store-outside");
        let inner = temporary.path.join("inner");
        DirBuilder::new().mode(0o755).create(&inner).unwrap();
        let store_of_inner = Store::open(&inner).unwrap();
        for path in [temporary.path.join("x"), inner.join("../x"), inner.clone()] {
            assert!(store_of_inner.replace(&path, "x", Readers::All).is_err(), "{path:?}");
        }
        assert_eq!(names(&temporary), ["inner"]);
        store.replace(&inner.join("x"), "x", Readers::All).unwrap();
        assert!(inner.join("x").exists());
    }
}
