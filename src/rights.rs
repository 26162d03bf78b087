//! Who may own, write and read the files below `/etc/sendmail-dkim`: one rule for the wrapper and `dkimctl`.
//!
//! * Files and directories belong to root or to the owner of the tree, which is the owner of its topmost directory.
//! * Only their owner may write them.
//! * A key may also be read by its group, where that is the group of the directory that holds all keys, and by no other user.

#![forbid(unsafe_code)]

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// The rule for a tree with this owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The owner of the tree.
    owner: u32,
}

/// The owner, group and mode of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) owner: u32,
    pub(crate) group: u32,
    /// The 12 permission bits.
    pub(crate) mode: u32,
}

/// How a file or directory breaks the rule. The administrator causes this error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// It is owned by another user.
    Owner(Rights),
    /// Users other than its owner may write to it.
    Writable(Rights),
    /// Every user may read the key.
    Readable(Rights),
    /// The group that may read the key is not the group of the keys directory.
    Group { found: Rights, expected: u32 },
}

impl From<&Metadata> for Rights {
    fn from(found: &Metadata) -> Self {
        Self { owner: found.uid(), group: found.gid(), mode: found.mode() & 0o7777 }
    }
}

impl Rule {
    /// The rule for a tree with this owner.
    pub(crate) fn of_owner(owner: u32) -> Self {
        Self { owner }
    }

    /// Checks a directory, or a file that every user may read.
    ///
    /// # Errors
    ///
    /// How it breaks the rule.
    pub(crate) fn judge(self, found: Rights) -> Result<(), Breach> {
        if found.owner != 0 && found.owner != self.owner {
            return Err(Breach::Owner(found));
        }
        if found.mode & 0o022 != 0 {
            return Err(Breach::Writable(found));
        }
        Ok(())
    }

    /// Checks a key file. `keys` are the permissions of the directory with all keys.
    ///
    /// # Errors
    ///
    /// How it breaks the rule.
    pub(crate) fn judge_key(self, found: Rights, keys: Rights) -> Result<(), Breach> {
        self.judge(found)?;
        if found.mode & 0o004 != 0 {
            return Err(Breach::Readable(found));
        }
        if found.mode & 0o040 != 0 && found.group != keys.group {
            return Err(Breach::Group { found, expected: keys.group });
        }
        Ok(())
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(found) => write!(
                f,
                "must be owned by root or by the owner of the configuration directory \
                 (found uid {}, mode {:04o})",
                found.owner, found.mode
            ),
            Self::Writable(found) => write!(
                f,
                "must be writable by its owner only (found uid {}, mode {:04o})",
                found.owner, found.mode
            ),
            Self::Readable(found) => write!(
                f,
                "must not be readable by every user (found mode {:04o}, expected 0640 or stricter)",
                found.mode
            ),
            Self::Group { found, expected } => write!(
                f,
                "must have the group of the keys directory, gid {expected} (found gid {}, mode {:04o})",
                found.group, found.mode
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: Rights = Rights { owner: 0, group: 900, mode: 0o750 };

    fn rule() -> Rule {
        Rule::of_owner(1000)
    }

    #[test]
    fn root_and_the_owner_of_the_tree_may_own_and_write() {
        for owner in [0, 1000] {
            for mode in [0o644, 0o600, 0o755, 0o400] {
                assert_eq!(rule().judge(Rights { owner, group: 7, mode }), Ok(()));
            }
        }
        let other = Rights { owner: 33, group: 7, mode: 0o644 };
        assert_eq!(rule().judge(other), Err(Breach::Owner(other)));
    }

    #[test]
    fn neither_group_nor_others_may_write() {
        for mode in [0o664, 0o646, 0o620, 0o602, 0o775, 0o1777] {
            let found = Rights { owner: 0, group: 0, mode };
            assert_eq!(rule().judge(found), Err(Breach::Writable(found)), "{mode:o}");
            assert_eq!(rule().judge_key(found, KEYS), Err(Breach::Writable(found)), "{mode:o}");
        }
    }

    #[test]
    fn a_key_is_read_by_its_owner_and_by_the_group_of_the_keys() {
        let key = |group, mode| rule().judge_key(Rights { owner: 0, group, mode }, KEYS);
        assert_eq!(key(900, 0o640), Ok(()));
        assert_eq!(key(900, 0o440), Ok(()));
        assert_eq!(key(100, 0o600), Ok(()));
        let readable = Rights { owner: 0, group: 900, mode: 0o644 };
        assert_eq!(key(900, 0o644), Err(Breach::Readable(readable)));
        let found = Rights { owner: 0, group: 100, mode: 0o640 };
        assert_eq!(key(100, 0o640), Err(Breach::Group { found, expected: 900 }));
    }
}
