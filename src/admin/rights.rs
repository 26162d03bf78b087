//! Who can read a key: every step of its path, for the wrapper's group and nobody else.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};

/// The group that the wrapper runs as.
pub(super) const GROUP: &str = "sendmail-dkim";

/// A step of a key's path, and what is wrong with it.
pub(super) struct Step {
    /// `640 root:sendmail-dkim PATH`
    pub(super) shown: String,
    /// The wrapper does not get past it.
    pub(super) is_closed: bool,
    /// What is wanted instead.
    pub(super) wanted: Option<String>,
    /// The commands that mend it.
    pub(super) remedy: String,
}

/// Looks at a folder of keys. `None`: it is not there.
pub(super) fn folder(path: &Path) -> Option<Step> {
    step(path, true, 0o750, 0)
}

/// Looks at a key file. `None`: it is not there. `tree` is the folder of all keys.
pub(super) fn key(path: &Path, tree: &Path) -> Option<Step> {
    let owner = fs::metadata(tree).map_or(0, |found| found.uid());
    step(path, false, 0o640, owner)
}

fn step(path: &Path, is_folder: bool, mode: u32, owner: u32) -> Option<Step> {
    // Links are not followed, by the wrapper neither.
    let found = fs::symlink_metadata(path).ok()?;
    let now = found.mode() & 0o7777;
    let group = Group::from_name(GROUP).ok().flatten().map(|group| group.gid.as_raw());
    // The group gets in, or reads; of others nobody does, and nobody but the owner writes.
    let needed = if is_folder { 0o010 } else { 0o040 };
    let is_right = if is_folder { found.is_dir() } else { found.is_file() }
        && Some(found.gid()) == group
        && now & needed != 0
        && now & if is_folder { 0o027 } else { 0o026 } == 0
        && [0, owner].contains(&found.uid());
    // Who is of the group has its rights, and not those of others.
    let for_group = if Some(found.gid()) == group { needed } else { needed >> 3 };
    let path = path.display();
    let what = if is_folder { "a folder" } else { "a file" };
    Some(Step {
        shown: format!("{now:03o} {} {path}", owners(found.uid(), found.gid())),
        is_closed: now & for_group == 0,
        wanted: (!is_right).then(|| format!("{what}, {mode:03o} root:{GROUP}")),
        remedy: format!("chown root:{GROUP} {path}; chmod {mode:03o} {path}"),
    })
}

/// `root:sendmail-dkim`, by number where there is no name.
fn owners(uid: u32, gid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name);
    let or = |name: Option<String>, number: u32| name.unwrap_or_else(|| number.to_string());
    format!("{}:{}", or(user, uid), or(group, gid))
}
