//! Checks the permissions on the path of a key: the wrapper's group, and no other user, must be able to read it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

use super::keys::KeyFiles;
use crate::dkim::Selector;
use crate::rights::{Rights, Rule};

/// The group that the wrapper runs as.
pub(crate) const GROUP: &str = "sendmail-dkim";

/// A component of a key's path. Its texts are made only when they are shown: names of users and groups are slow to look up.
pub(crate) struct Step {
    pub(crate) path: PathBuf,
    /// Whether the wrapper cannot open it.
    pub(crate) is_closed: bool,
    /// Whether its owner is one of those allowed. If another user created it, the administrator must check it first.
    pub(crate) is_owned: bool,
    /// What is wrong with it, if anything.
    pub(crate) wrong: Option<Wrong>,
    /// What is expected, and its mode.
    expected: (&'static str, u32),
    rights: Rights,
}

/// What is wrong with a component of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A directory is expected and it is a file, or the other way round; or it is a link.
    Kind,
    Permissions,
}

/// What all steps below a directory of keys are compared with.
pub(crate) struct Tree<'a> {
    /// The directory of all keys.
    pub(crate) keys: &'a Path,
    /// Its permissions, if it exists.
    rights: Option<Rights>,
    rule: Rule,
    group: Option<u32>,
}

impl<'a> Tree<'a> {
    /// Looks at the directory of all keys.
    pub(crate) fn new(keys: &'a Path) -> Self {
        let found = fs::metadata(keys).ok();
        let top = keys.parent().and_then(|top| fs::metadata(top).ok());
        let owner = top.as_ref().or(found.as_ref()).map_or(0, MetadataExt::uid);
        Self {
            keys,
            rights: found.as_ref().map(Rights::from),
            rule: Rule::of_owner(owner),
            group: Group::from_name(GROUP).ok().flatten().map(|group| group.gid.as_raw()),
        }
    }

    /// Checks a directory of keys. `None` if it does not exist.
    pub(crate) fn folder(&self, path: &Path) -> Option<Step> {
        self.step(path, true)
    }

    /// Checks a key file. `None` if it does not exist.
    pub(crate) fn key(&self, path: &Path) -> Option<Step> {
        self.step(path, false)
    }

    /// Checks each component of the path of a selector's key.
    pub(crate) fn path(&self, within: &Path, selector: &Selector) -> Vec<Step> {
        let file = KeyFiles::within(within, selector).private;
        let folders = [self.keys, within].map(|path| self.folder(path));
        folders.into_iter().chain([self.key(&file)]).flatten().collect()
    }

    fn step(&self, path: &Path, is_folder: bool) -> Option<Step> {
        // Do not follow links; the wrapper does not either.
        let found = fs::symlink_metadata(path).ok()?;
        let rights = Rights::from(&found);
        let judged = if is_folder {
            self.rule.judge(rights)
        } else {
            self.rule.judge_key(rights, self.rights?)
        };
        let is_group = Some(rights.group) == self.group;
        let needed = if is_folder { 0o010 } else { 0o040 };
        let is_kind = if is_folder { found.is_dir() } else { found.is_file() };
        // A member of the group has the permissions of the group, not those of other users.
        let for_group = if is_group { needed } else { needed >> 3 };
        Some(Step {
            path: path.to_owned(),
            is_closed: rights.mode & for_group == 0,
            is_owned: self.rule.judge(Rights { mode: 0, ..rights }).is_ok() && is_kind,
            expected: if is_folder { ("a directory", 0o750) } else { ("a file", 0o640) },
            wrong: match is_group && rights.mode & needed != 0 && judged.is_ok() {
                _ if !is_kind => Some(Wrong::Kind),
                false => Some(Wrong::Permissions),
                true => None,
            },
            rights,
        })
    }
}

impl Step {
    /// `0640 root:sendmail-dkim PATH`
    pub(crate) fn shown(&self) -> String {
        let Rights { owner, group, mode } = self.rights;
        format!("{mode:04o} {} {}", owners(owner, group), self.path.display())
    }

    /// Its permissions and the expected ones, if they differ.
    pub(crate) fn fault(&self) -> Option<String> {
        let (what, mode) = self.expected;
        self.wrong.map(|_| format!("{}; expected {what}, {mode:04o} root:{GROUP}", self.shown()))
    }

    /// The commands that fix the permissions.
    pub(crate) fn remedy(&self) -> String {
        let (shown, (what, mode)) = (self.path.display(), self.expected);
        if self.wrong == Some(Wrong::Kind) {
            return format!("move {shown} away, and put {what} in its place");
        }
        format!("chown root:{GROUP} {shown}; chmod {mode:04o} {shown}")
    }
}

/// `root:sendmail-dkim`, with numbers if there are no names.
fn owners(uid: u32, gid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name);
    let or = |name: Option<String>, number: u32| name.unwrap_or_else(|| number.to_string());
    format!("{}:{}", or(user, uid), or(group, gid))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown, symlink};

    use super::*;
    use crate::admin::temporary::Temporary;

    /// What is wrong with a directory or file of each of these modes, and whether the group cannot open it.
    fn judged(tree: &Tree<'_>, path: &Path, modes: &[u32]) -> Vec<(Option<Wrong>, bool)> {
        let judge = |mode: &u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
            let step = if path.is_dir() { tree.folder(path) } else { tree.key(path) };
            step.map(|step| (step.wrong, step.is_closed)).unwrap()
        };
        modes.iter().map(judge).collect()
    }

    #[test]
    fn the_group_and_no_other_user_must_be_able_to_open_a_key() {
        let temporary = Temporary::new("store-rights").unwrap();
        let keys = temporary.path.join("keys");
        fs::DirBuilder::new().mode(0o750).create(&keys).unwrap();
        let key = keys.join("s1.private");
        fs::write(&key, "x").unwrap();
        let own = fs::metadata(&key).unwrap().gid();
        let wrong = |is_closed| (Some(Wrong::Permissions), is_closed);
        let tree = Tree { group: Some(own), ..Tree::new(&keys) };
        let found = judged(&tree, &key, &[0o640, 0o600, 0o604, 0o644, 0o660]);
        assert_eq!(found, [(None, false), wrong(true), wrong(true), wrong(false), wrong(false)]);
        let found = judged(&tree, &keys, &[0o750, 0o710, 0o740, 0o701, 0o770]);
        assert_eq!(found, [(None, false), (None, false), wrong(true), wrong(true), wrong(false)]);
        // Of another group, the permissions of other users apply.
        let tree = Tree { group: Some(own.wrapping_add(1)), ..tree };
        let found = judged(&tree, &key, &[0o640, 0o644]);
        assert_eq!(found, [wrong(true), wrong(false)]);
        assert_eq!(judged(&tree, &keys, &[0o750, 0o751]), [wrong(true), wrong(false)]);
    }

    #[test]
    fn a_key_that_another_user_has_made_is_not_owned() {
        let temporary = Temporary::new("store-owned").unwrap();
        let key = temporary.path.join("s1.private");
        fs::write(&key, "x").unwrap();
        let own = fs::metadata(&key).unwrap().uid();
        assert!(Tree::new(&temporary.path).key(&key).unwrap().is_owned);
        // For root, each file of root counts as its own; only root may give a file away.
        let _given = chown(&key, Some(own.wrapping_add(7)), None);
        let tree = Tree { rule: Rule::of_owner(own.wrapping_add(1)), ..Tree::new(&temporary.path) };
        assert!(!tree.key(&key).unwrap().is_owned);
    }

    #[test]
    fn a_link_or_a_directory_is_no_key_and_the_remedy_says_so() {
        let temporary = Temporary::new("store-kinds").unwrap();
        let keys = temporary.path.as_path();
        let tree = Tree::new(keys);
        let [file, link, gone] = ["file", "link", "gone"].map(|name| keys.join(name));
        fs::write(&file, "x").unwrap();
        symlink(&file, &link).unwrap();
        for step in [tree.key(keys), tree.key(&link), tree.folder(&file), tree.folder(&link)] {
            let step = step.unwrap();
            assert!(step.wrong == Some(Wrong::Kind) && !step.is_owned, "{}", step.shown());
            assert!(step.remedy().starts_with("move "), "{}", step.remedy());
        }
        assert!(tree.key(&gone).is_none() && tree.folder(&gone).is_none());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let remedy = tree.key(&file).unwrap().remedy();
        let shown = file.display();
        assert_eq!(remedy, format!("chown root:{GROUP} {shown}; chmod 0640 {shown}"));
        let remedy = Tree { group: None, ..tree }.folder(keys).unwrap().remedy();
        assert!(remedy.contains("; chmod 0750 "), "{remedy}");
    }
}
