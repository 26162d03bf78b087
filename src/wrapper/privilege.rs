//! The group that may read the keys: held as a saved id, taken up for the opening of a key, and given up for good by every
//! process that reads a message. Each change is verified by reading the ids back.
//!
//! A process that holds the group, or held it, is not dumpable: its user gets no core of it, no ptrace(2), no
//! `pidfd_getfd(2)` and no `/proc/PID/mem`. The kernel makes a process dumpable again, as far as `fs.suid_dumpable` says,
//! whenever its effective ids change. So the flag is switched off and read back after every change; [`Undumpable`] is the
//! proof of that, and nothing here holds the group without one.

use std::error;
use std::fmt;

use nix::errno::Errno;
use nix::sys::prctl::{get_dumpable, set_dumpable};
use nix::unistd::{Gid, getresgid, getresuid, setresgid, setresuid};

/// The group is at most saved; everything is done with the rights of the real user.
#[derive(Debug)]
pub(crate) struct Held {
    real: Gid,
    /// `None` without a set-gid bit, or where the kernel ignored it.
    saved: Option<Saved>,
}

/// The group of the set-gid bit.
#[derive(Debug)]
struct Saved {
    group: Gid,
    _safe: Undumpable,
}

/// Proof that this process was not dumpable after its latest change of ids.
#[derive(Debug)]
struct Undumpable(());

/// Proof that the group was dropped for good.
#[derive(Debug)]
pub(crate) struct Dropped(());

/// The kernel did not do as asked. Nothing must go on as if it had.
#[derive(Debug)]
pub(crate) enum PrivilegeError {
    /// A call failed.
    Refused(Errno),
    /// The ids are not what they were set to.
    Remains,
    /// The process can still be dumped.
    Dumpable,
}

impl fmt::Display for PrivilegeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(_) => "cannot change the group id",
            Self::Remains => "the privileged group id is still there",
            Self::Dumpable => "cannot make the process undumpable",
        })
    }
}

impl error::Error for PrivilegeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Refused(errno) => Some(errno),
            Self::Remains | Self::Dumpable => None,
        }
    }
}

impl From<Errno> for PrivilegeError {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

impl Held {
    /// Lays the group aside. To be called first: from here on this process has the rights of the real user.
    pub(crate) fn acquire() -> Result<Self, PrivilegeError> {
        let user = getresuid()?;
        if user.real != user.effective || user.real != user.saved {
            // A set-uid bit is not needed, and has no effect.
            setresuid(user.real, user.real, user.real)?;
        }
        let group = getresgid()?;
        let real = group.real;
        let privileged = group.effective;
        if real == privileged && group.saved == privileged {
            return Ok(Self { real, saved: None });
        }
        let safe = set(real, real, privileged)?;
        Ok(Self { real, saved: Some(Saved { group: privileged, _safe: safe }) })
    }

    /// Whether there is a group to take up.
    pub(crate) fn is_privileged(&self) -> bool {
        self.saved.is_some()
    }

    /// Does one thing as the group. The group is put away again however `act` ends, by a panic too.
    pub(crate) fn with<T>(&self, act: impl FnOnce() -> T) -> Result<T, PrivilegeError> {
        let Some(saved) = &self.saved else { return Ok(act()) };
        let guard = TakenUp { real: self.real, saved: saved.group };
        let _safe = set(self.real, saved.group, saved.group)?;
        let result = act();
        guard.put_away()?;
        Ok(result)
    }

    /// Gives the group up for good.
    pub(crate) fn give_up(self) -> Result<Dropped, PrivilegeError> {
        let Some(saved) = self.saved else { return Ok(Dropped(())) };
        let _safe = set(self.real, self.real, self.real)?;
        let is_root = getresuid()?.effective.is_root();
        // Root may take any group; every other user must be refused.
        let again = saved.group;
        if !is_root && again != self.real && setresgid(self.real, again, again).is_ok() {
            return Err(PrivilegeError::Remains);
        }
        Ok(Dropped(()))
    }
}

/// The group is taken up for as long as this lives.
struct TakenUp {
    real: Gid,
    saved: Gid,
}

impl TakenUp {
    fn put_away(self) -> Result<Undumpable, PrivilegeError> {
        let (real, saved) = (self.real, self.saved);
        std::mem::forget(self);
        set(real, real, saved)
    }
}

impl Drop for TakenUp {
    fn drop(&mut self) {
        // Only a panic or a failed change ends here. Where the ids can't be had back, the group goes for good.
        if set(self.real, self.real, self.saved).is_err() {
            drop(set(self.real, self.real, self.real));
        }
    }
}

fn set(real: Gid, effective: Gid, saved: Gid) -> Result<Undumpable, PrivilegeError> {
    setresgid(real, effective, saved)?;
    let now = getresgid()?;
    if (now.real, now.effective, now.saved) != (real, effective, saved) {
        return Err(PrivilegeError::Remains);
    }
    set_dumpable(false)?;
    if get_dumpable()? {
        return Err(PrivilegeError::Dumpable);
    }
    Ok(Undumpable(()))
}
