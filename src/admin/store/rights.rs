//! Checks the permissions on the path of a key: the wrapper's group, and no other user, must be able to read it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

use super::keys::KeyFiles;
use crate::dkim::Selector;
use crate::rights::{Rights, Rule};

/// The group that the wrapper runs as.
pub(crate) const GROUP: &str = "sendmail-dkim";

/// A component of a key's path, and what is wrong with it.
pub(crate) struct Step {
    /// `0640 root:sendmail-dkim PATH`
    pub(crate) shown: String,
    /// Whether the wrapper cannot open it.
    pub(crate) is_closed: bool,
    /// The expected permissions, if they differ.
    pub(crate) wanted: Option<String>,
    /// The commands that fix the permissions.
    pub(crate) remedy: String,
    /// Whether its owner is one of those allowed. If another user created it, the administrator must check it first.
    pub(crate) is_owned: bool,
    pub(crate) path: PathBuf,
}

/// Checks a directory of keys. `None` if it does not exist. `keys` is the directory of all keys.
pub(crate) fn folder(path: &Path, keys: &Path) -> Option<Step> {
    step(path, keys, true)
}

/// Checks a key file. `None` if it does not exist. `keys` is the directory of all keys.
pub(crate) fn key(path: &Path, keys: &Path) -> Option<Step> {
    step(path, keys, false)
}

/// Checks each component of the path of a selector's key, below the directory of all keys.
pub(crate) fn path(keys: &Path, within: &Path, selector: &Selector) -> Vec<Step> {
    let file = KeyFiles::within(within, selector).private;
    let folders = [keys, within].map(|path| folder(path, keys));
    folders.into_iter().chain([key(&file, keys)]).flatten().collect()
}

fn step(path: &Path, keys: &Path, is_folder: bool) -> Option<Step> {
    // Do not follow links; the wrapper does not either.
    let found = fs::symlink_metadata(path).ok()?;
    let keys_found = fs::metadata(keys).ok()?;
    let top = keys.parent().and_then(|top| fs::metadata(top).ok());
    let rule = Rule::of_owner(top.as_ref().unwrap_or(&keys_found).uid());
    let rights = Rights::from(&found);
    let judged = if is_folder {
        rule.judge(rights)
    } else {
        rule.judge_key(rights, Rights::from(&keys_found))
    };
    let group = Group::from_name(GROUP).ok().flatten().map(|group| group.gid.as_raw());
    let is_group = Some(rights.group) == group;
    let (mode, needed) = if is_folder { (0o750, 0o010) } else { (0o640, 0o040) };
    let is_kind = if is_folder { found.is_dir() } else { found.is_file() };
    let is_right = is_kind && is_group && rights.mode & needed != 0 && judged.is_ok();
    // A member of the group has the permissions of the group, not those of other users.
    let for_group = if is_group { needed } else { needed >> 3 };
    let owned = rule.judge(Rights { mode: 0, ..rights }).is_ok() && is_kind;
    let (shown, path) = (path.display(), path.to_owned());
    let what = if is_folder { "a directory" } else { "a file" };
    Some(Step {
        shown: format!("{:04o} {} {shown}", rights.mode, owners(rights.owner, rights.group)),
        is_closed: rights.mode & for_group == 0,
        wanted: (!is_right).then(|| format!("{what}, {mode:04o} root:{GROUP}")),
        remedy: format!("chown root:{GROUP} {shown}; chmod {mode:04o} {shown}"),
        is_owned: owned,
        path: path.clone(),
    })
}

/// `root:sendmail-dkim`, with numbers if there are no names.
fn owners(uid: u32, gid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name);
    let or = |name: Option<String>, number: u32| name.unwrap_or_else(|| number.to_string());
    format!("{}:{}", or(user, uid), or(group, gid))
}
