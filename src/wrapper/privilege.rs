//! The group that may read the keys: held as a saved id, taken up for the opening of a key, given up
//! for good before the body of the message is looked at. Set, then looked: never believed. Before a dialogue
//! it goes to another process, see `smtp::keeper`.

use std::error;
use std::fmt;

use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::unistd::{Gid, getresgid, getresuid, setresgid, setresuid};

/// The group is at most saved; everything is done with the rights of the real user.
#[derive(Debug)]
pub(crate) struct Held {
    real: Gid,
    /// The group of the set-gid bit; `None` where there is none, or it was ignored.
    saved: Option<Gid>,
}

/// Looked, and gone.
#[derive(Debug)]
pub(crate) struct Dropped(());

/// The kernel did not do as asked. Nothing must go on as if it had.
#[derive(Debug)]
pub(crate) enum PrivilegeError {
    /// A call failed.
    Refused(Errno),
    /// The ids are not what they were set to.
    Remains,
}

impl fmt::Display for PrivilegeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(_) => "cannot change the group id",
            Self::Remains => "the privileged group id is still there",
        })
    }
}

impl error::Error for PrivilegeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Refused(errno) => Some(errno),
            Self::Remains => None,
        }
    }
}

impl From<Errno> for PrivilegeError {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

impl Held {
    /// To be called before anything else: the rights are the real user's from here on.
    pub(crate) fn take() -> Result<Self, PrivilegeError> {
        let user = getresuid()?;
        if user.real != user.effective || user.real != user.saved {
            // Nobody asks for set-uid; whoever set that bit gains nothing by it.
            setresuid(user.real, user.real, user.real)?;
        }
        let group = getresgid()?;
        let privileged = group.effective;
        if group.real == privileged && group.saved == privileged {
            return Ok(Self { real: group.real, saved: None });
        }
        // No ptrace(2), no core, no /proc/PID/mem for the user whose process this is, whatever
        // fs.suid_dumpable says.
        set_dumpable(false)?;
        set(group.real, group.real, privileged)?;
        Ok(Self { real: group.real, saved: Some(privileged) })
    }

    /// Whether there is a group to take up.
    pub(crate) fn is_privileged(&self) -> bool {
        self.saved.is_some()
    }

    /// Does one thing as the group.
    pub(crate) fn with<T>(&self, act: impl FnOnce() -> T) -> Result<T, PrivilegeError> {
        let Some(saved) = self.saved else { return Ok(act()) };
        set(self.real, saved, saved)?;
        let result = act();
        set(self.real, self.real, saved)?;
        Ok(result)
    }

    /// Gives the group up for good.
    pub(crate) fn give_up(self) -> Result<Dropped, PrivilegeError> {
        let Some(saved) = self.saved else { return Ok(Dropped(())) };
        set(self.real, self.real, self.real)?;
        let is_root = getresuid()?.effective.is_root();
        // Root may take any group; anybody else must be refused.
        if !is_root && saved != self.real && setresgid(self.real, saved, saved).is_ok() {
            return Err(PrivilegeError::Remains);
        }
        Ok(Dropped(()))
    }
}

fn set(real: Gid, effective: Gid, saved: Gid) -> Result<(), PrivilegeError> {
    setresgid(real, effective, saved)?;
    let now = getresgid()?;
    if (now.real, now.effective, now.saved) != (real, effective, saved) {
        return Err(PrivilegeError::Remains);
    }
    Ok(())
}
