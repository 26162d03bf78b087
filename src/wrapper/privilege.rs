//! The group that may read the keys. It is held as a saved id, is the effective id only while a key is opened, and is dropped for
//! good by every process that reads a message. Each change is verified by reading the ids back.
//!
//! A process that holds the group, or held it, is not dumpable: its user cannot get a core dump or use ptrace(2),
//! `pidfd_getfd(2)` or `/proc/PID/mem`. The kernel may make a process dumpable again whenever its effective ids change, depending
//! on `fs.suid_dumpable`. So the flag is cleared and read back after every change. [`Undumpable`] is the proof of that, and every
//! type that holds the group has one.

use std::error;
use std::fmt;

use nix::errno::Errno;
use nix::sys::prctl::{get_dumpable, set_dumpable};
use nix::unistd::{Gid, getresgid, getresuid, setresgid, setresuid};

/// A process that may hold the group as its saved id, and has the permissions of the real user.
#[derive(Debug)]
pub(crate) struct Held {
    real: Gid,
    /// `None` without a set-gid bit, or if the kernel ignored it.
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

/// The kernel did not make the change. The process must not continue as if it had.
#[derive(Debug)]
pub(crate) enum PrivilegeError {
    /// A call failed.
    Refused(Errno),
    /// The ids are not as they were set.
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
    /// Saves the group, so that this process has only the permissions of the real user. Call this first.
    pub(crate) fn acquire() -> Result<Self, PrivilegeError> {
        let user = getresuid()?;
        if user.real != user.effective || user.real != user.saved {
            // A set-uid bit is not needed and has no effect.
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

    /// Whether the process holds the group.
    pub(crate) fn is_privileged(&self) -> bool {
        self.saved.is_some()
    }

    /// Calls `act` with the group as the effective id. The group is only saved again afterwards, even if `act` panics.
    pub(crate) fn with<T>(&self, act: impl FnOnce() -> T) -> Result<T, PrivilegeError> {
        let Some(saved) = &self.saved else { return Ok(act()) };
        let guard = Effective { real: self.real, saved: saved.group };
        let _safe = set(self.real, saved.group, saved.group)?;
        let result = act();
        guard.save()?;
        Ok(result)
    }

    /// Drops the group for good.
    pub(crate) fn give_up(self) -> Result<Dropped, PrivilegeError> {
        let Some(saved) = self.saved else { return Ok(Dropped(())) };
        let _safe = set(self.real, self.real, self.real)?;
        let is_root = getresuid()?.effective.is_root();
        // Check that the group cannot be set again. Only root may set any group.
        let again = saved.group;
        if !is_root && again != self.real && setresgid(self.real, again, again).is_ok() {
            return Err(PrivilegeError::Remains);
        }
        Ok(Dropped(()))
    }
}

/// A guard: the group is the effective id while it exists.
struct Effective {
    real: Gid,
    saved: Gid,
}

impl Effective {
    fn save(self) -> Result<Undumpable, PrivilegeError> {
        let (real, saved) = (self.real, self.saved);
        std::mem::forget(self);
        set(real, real, saved)
    }
}

impl Drop for Effective {
    fn drop(&mut self) {
        // Only reached after a panic or a failed change. If the ids cannot be restored, the group is dropped for good.
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
