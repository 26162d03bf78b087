//! Folders as descriptors. No path is resolved twice. Each folder is opened from its parent, links that another user could have
//! made are not followed, and all checks are made on the opened file.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Gid, Group, Uid, UnlinkatFlags, User, geteuid, unlinkat};

use super::rights::GROUP;
use crate::admin::output::Failure;
use crate::rights::{Breach, Rights, Rule};

/// Who may read a file or search a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Every user.
    All,
    /// The wrapper's group. In the tree of an ordinary user, only the owner.
    Group,
    /// The owner.
    Owner,
}

/// An open folder that no other user may write to.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// The group that reads keys. `None` for the tree of an ordinary user.
    pub(super) group: Option<Gid>,
}

/// How many links on the way to the tree are followed, the same as in the kernel.
const MOST_LINKS: usize = 40;

impl Folder {
    /// Opens a directory by its path. If it `is_shared`, other users may create files in it, but cannot rename or remove files of
    /// others, as in /tmp.
    pub(super) fn open(path: &Path, is_shared: bool) -> Result<Self, Failure> {
        let folder = Self::find(path)?;
        folder.refuse_others(is_shared).map(|()| folder)
    }

    fn find(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::reading(path, &error);
        let root = || open("/", ANY, Mode::empty()).map(File::from).map_err(|no| failed(no.into()));
        let whole = std::path::absolute(path).map_err(failed)?;
        let mut rest: VecDeque<OsString> = names(&whole).collect();
        let mut above = root()?;
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            match openat(&above, name.as_os_str(), ANY, Mode::empty()) {
                Ok(next) => above = File::from(next),
                Err(Errno::ENOTDIR) if links < MOST_LINKS => {
                    links = links.saturating_add(1);
                    let target = target(&above, &name, path)?;
                    if target.is_absolute() {
                        above = root()?;
                    }
                    names(&target).rev().for_each(|name| rest.push_front(name));
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
        let group = Group::from_name(GROUP).ok().flatten().map(|group| group.gid);
        let group = group.filter(|_| geteuid().is_root());
        Self { file: above, path: whole, group }.within(OsStr::new("."), path.to_owned())
    }

    /// Sets the permissions of a file or directory below this folder. Its owner must be right. The permissions of the directories
    /// on the way may be wrong, so no link is followed and only opened files are changed.
    pub(super) fn repair(path: &Path, below: &Path, readers: Readers) -> Result<(), Failure> {
        let mut folder = Self::find(path)?;
        let mut names: Vec<OsString> = names(below).collect();
        let Some(last) = names.pop() else { return folder.give(readers) };
        for name in names {
            folder = folder.within(&name, folder.path.join(&name))?;
        }
        match folder.look(&last)? {
            Some(found) if found.is_dir() => {
                folder.within(&last, folder.path.join(&last))?.give(readers)
            }
            Some(found) if found.is_file() && found.nlink() == 1 => {
                let path = folder.path.join(&last);
                let failed = |error| Failure::changing(&path, &error);
                let file = openat(
                    &folder.file,
                    last.as_os_str(),
                    OFlag::O_RDONLY | QUIETLY,
                    Mode::empty(),
                );
                let file = File::from(file.map_err(|error| failed(error.into()))?);
                folder.give_file(&file, readers, 0).map_err(failed)
            }
            _ => Err(folder.of_another_kind(&last, below, "regular file of one name")),
        }
    }

    /// Gives the folder itself to its readers.
    pub(super) fn give(&self, readers: Readers) -> Result<(), Failure> {
        let given = self.give_file(&self.file, readers, 0o111);
        given.map_err(|error| Failure::changing(&self.path, &error))
    }

    /// Sets the group and mode, in an order that never gives a user more access than in the end.
    pub(super) fn give_file(&self, file: &File, readers: Readers, search: u32) -> io::Result<()> {
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

    fn refuse_others(&self, may_be_sticky: bool) -> Result<(), Failure> {
        let found = self.file.metadata().map_err(|error| Failure::reading(&self.path, &error))?;
        let mut rights = Rights::from(&found);
        if may_be_sticky && rights.mode & Mode::S_ISVTX.bits() != 0 {
            rights.mode &= !0o022;
        }
        refuse(rights, &self.path)
    }

    /// The same directory, opened again.
    pub(super) fn again(&self) -> Result<Self, Failure> {
        let file = self.file.try_clone().map_err(|error| Failure::reading(&self.path, &error))?;
        Ok(Self { file, path: self.path.clone(), ..*self })
    }

    /// Opens a folder in this folder.
    pub(super) fn enter(&self, name: &OsStr) -> Result<Self, Failure> {
        let folder = self.within(name, self.path.join(name))?;
        folder.refuse_others(false).map(|()| folder)
    }

    fn within(&self, name: &OsStr, path: PathBuf) -> Result<Self, Failure> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&self.file, name, flags, Mode::empty()) {
            Ok(folder) => Ok(Self { file: File::from(folder), path, group: self.group }),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                Err(self.of_another_kind(name, &path, "directory"))
            }
            Err(error) => Err(Failure::reading(&path, &error.into())),
        }
    }

    /// Opens a folder in this folder, and creates it if it does not exist. An existing folder keeps its permissions.
    pub(super) fn make(&self, name: &OsStr, readers: Readers) -> Result<Self, Failure> {
        let path = self.path.join(name);
        let failed = |error| Failure::creating(&path, &error);
        match mkdirat(&self.file, name, Mode::S_IRWXU) {
            Ok(()) => {}
            Err(Errno::EEXIST) => return self.enter(name),
            Err(error) => return Err(failed(error.into())),
        }
        let made = self.enter(name).and_then(|folder| {
            let given = self.give_file(&folder.file, readers, 0o111);
            let done = given.and_then(|()| self.sync());
            done.map(|()| folder).map_err(failed)
        });
        if made.is_err() {
            let _gone = unlinkat(&self.file, name, UnlinkatFlags::RemoveDir);
        }
        made
    }

    /// Opens a regular file without other names. `None` for anything else; no key is read from such a file.
    pub(super) fn sole_file(&self, name: &OsStr, access: OFlag) -> Result<Option<File>, Failure> {
        let path = self.path.join(name);
        let failed = |error| Failure::changing(&path, &error);
        let file = match openat(&self.file, name, access | QUIETLY, Mode::empty()) {
            Ok(file) => File::from(file),
            // A link or a FIFO.
            Err(Errno::ELOOP | Errno::ENXIO) => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() || found.nlink() != 1 {
            return Ok(None);
        }
        refuse(Rights::from(&found), &path).map(|()| Some(file))
    }

    /// The status of a name in this folder. `None` if it does not exist.
    pub(super) fn look(&self, name: &OsStr) -> Result<Option<Metadata>, Failure> {
        match metadata(&self.file, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => {
                found.map(Some).map_err(|error| Failure::reading(&self.path.join(name), &error))
            }
        }
    }

    /// The names in the folder. Their types are checked when they are opened.
    pub(super) fn names(&self) -> Result<Vec<OsString>, Failure> {
        let failed = |error| Failure::reading(&self.path, &error);
        let entries = std::fs::read_dir(&self.path).map_err(failed)?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        names.collect::<io::Result<_>>().map_err(failed)
    }

    /// Removes a name from the folder.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir)?;
        self.sync()
    }

    /// The error for a name in the folder that is not a `kind`.
    pub(super) fn of_another_kind(&self, name: &OsStr, path: &Path, kind: &str) -> Failure {
        if metadata(&self.file, name).is_ok_and(|found| found.is_symlink()) {
            return Failure::exists(format_args!(
                "{path:?} is a symbolic link, and dkimctl does not write through links; replace the link \
                 with the {kind} that it leads to"
            ));
        }
        Failure::exists(format_args!("{path:?} is not a {kind}; move it elsewhere"))
    }

    /// Writes the names in the folder to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self.file.sync_all() {
            // Some file systems do not support this for folders.
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => Ok(()),
            synced => synced,
        }
    }
}

/// Flags for a folder that must be searchable, but not readable.
const ANY: OFlag =
    OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Flags for a file: links are not followed, and opening does not block.
pub(super) const QUIETLY: OFlag =
    OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// The components of a path, including `..`.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect::<Vec<_>>().into_iter()
}

/// The target of a link on the way to the tree. A link that another user could have made or changed is an error.
fn target(above: &File, name: &OsStr, path: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: io::Error| Failure::reading(path, &error);
    let folder = above.metadata().map_err(failed)?;
    let link = metadata(above, name).map_err(failed)?;
    if !link.is_symlink() {
        return Err(failed(Errno::ENOTDIR.into()));
    }
    let rule = Rule::of_owner(geteuid().as_raw());
    // The mode of a link has no meaning.
    let link = Rights { mode: 0, ..Rights::from(&link) };
    if [link, Rights::from(&folder)].into_iter().any(|found| rule.judge(found).is_err()) {
        return Err(Failure::permission(format_args!(
            "{path:?}: {name:?} in it is a symbolic link that another user could have made; use the \
             directory that it leads to"
        )));
    }
    readlinkat(above, name).map(PathBuf::from).map_err(|error| failed(error.into()))
}

/// The status of a name in a folder. It is not opened for reading, and no link is followed.
fn metadata(folder: &File, name: &OsStr) -> io::Result<Metadata> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    File::from(openat(folder, name, flags, Mode::empty())?).metadata()
}

/// An error if another user owns a folder or file, or may write to it.
pub(super) fn refuse(found: Rights, path: &Path) -> Result<(), Failure> {
    let writer = geteuid();
    let Err(breach) = Rule::of_owner(writer.as_raw()).judge(found) else { return Ok(()) };
    let (me, word) = (user(writer), shell_word(path));
    let remedy = match breach {
        Breach::Owner(_) => format!("chown {me} {word}; chmod go-w {word}"),
        Breach::Writable(_) | Breach::Readable(_) | Breach::Group { .. } => {
            format!("chmod go-w {word}")
        }
    };
    Err(Failure::permission(format_args!(
        "refusing to write to {path:?}: it must be owned by {me}, and no other user may write to it (found \
         owner {}, mode {:04o}); check its content, then run: {remedy}",
        user(Uid::from_raw(found.owner)),
        found.mode
    )))
}

/// The name of a user, or the number if there is no name.
fn user(uid: Uid) -> String {
    let known = User::from_uid(uid).ok().flatten();
    known.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

/// A path as a word of a shell command.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|char| char.is_ascii_alphanumeric() || "/._-+@".contains(char)) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, DirBuilder};
    use std::os::unix::fs::{DirBuilderExt as _, symlink};

    use super::*;
    use crate::admin::temporary::Temporary;

    #[test]
    fn a_link_of_the_writer_leads_to_the_tree_and_a_loop_of_links_ends() {
        let temporary = Temporary::new("folder-links").unwrap();
        let at = |name: &str| temporary.path.join(name);
        DirBuilder::new().recursive(true).mode(0o755).create(at("real/a/b/c")).unwrap();
        symlink("real/a/../a/b", at("relative")).unwrap();
        symlink(at("real/a/b"), at("absolute")).unwrap();
        symlink("relative", at("chain")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let expected = fs::metadata(at("real/a/b/c")).unwrap().ino();
        for name in ["real/a/b/c", "relative/c", "absolute/c", "chain/c", "real/a/../a/b/./c"] {
            let folder = Folder::open(&at(name), false).unwrap();
            assert_eq!(folder.file.metadata().unwrap().ino(), expected, "{name}");
        }
        let failure = Folder::open(&at("loop/c"), false).unwrap_err();
        assert!(failure.what().ends_with("not a directory"), "{failure}");
    }

    #[test]
    fn a_link_that_others_could_have_put_there_is_not_followed() {
        let temporary = Temporary::new("folder-moved").unwrap();
        DirBuilder::new().mode(0o755).create(temporary.path.join("real")).unwrap();
        let link = temporary.path.join("link");
        symlink("real", &link).unwrap();
        for (mode, is_open) in [(0o755, true), (0o777, false), (0o1777, false)] {
            fs::set_permissions(&temporary.path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(Folder::open(&link, false).is_ok(), is_open, "{mode:o}");
        }
    }

    #[test]
    fn the_permissions_of_a_file_with_another_name_stay() {
        let temporary = Temporary::new("folder-repair").unwrap();
        let key = temporary.path.join("keys/a.private");
        DirBuilder::new().mode(0o755).create(temporary.path.join("keys")).unwrap();
        fs::write(&key, "x").unwrap();
        for (has_other, is_repaired) in [(true, false), (false, true)] {
            fs::set_permissions(&key, Permissions::from_mode(0o666)).unwrap();
            let other = temporary.path.join("other");
            if has_other {
                fs::hard_link(&key, &other).unwrap();
            } else {
                fs::remove_file(&other).unwrap();
            }
            let below = Path::new("keys/a.private");
            let done = Folder::repair(&temporary.path, below, Readers::Owner);
            assert_eq!(done.is_ok(), is_repaired, "{done:?}");
            let mode = if is_repaired { 0o600 } else { 0o666 };
            assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused_unless_it_is_shared_like_tmp() {
        let temporary = Temporary::new("folder-shared").unwrap();
        for (mode, is_shared, is_open) in [
            (0o755, false, true),
            (0o700, true, true),
            (0o775, false, false),
            (0o757, true, false),
            (0o1777, false, false),
            (0o1777, true, true),
        ] {
            fs::set_permissions(&temporary.path, Permissions::from_mode(mode)).unwrap();
            let opened = Folder::open(&temporary.path, is_shared);
            assert_eq!(opened.is_ok(), is_open, "{mode:o} {is_shared}");
        }
    }
}
