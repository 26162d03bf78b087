//! The real sendmail as a child, and how its end becomes ours.

use std::fs::File;
use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, pipe2};

use crate::report::Code;
use crate::wrapper::handoff::{Call, HandoffError, Real, spawn, wait};
use crate::wrapper::privilege::Dropped;
use crate::wrapper::signals;

/// The real sendmail. Its ends of these pipes are gone when it is.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    pub(super) input: Option<File>,
    pub(super) output: Option<File>,
}

impl Child {
    pub(super) fn start(real: &Real, call: &Call, dropped: &Dropped) -> Result<Self, HandoffError> {
        let no_room = |errno: Errno| HandoffError::NoRoom(errno.into());
        let (stdin, input) = pipe2(OFlag::O_CLOEXEC).map_err(no_room)?;
        let (output, stdout) = pipe2(OFlag::O_CLOEXEC).map_err(no_room)?;
        for end in [&input, &output] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(no_room)?;
        }
        let pid = spawn(real, call, &stdin, Some(stdout.as_fd()), dropped)?;
        Ok(Self { pid, input: Some(File::from(input)), output: Some(File::from(output)) })
    }

    /// Lets the child find the end of its input, and waits for its own. Where a signal ends it, that ends us.
    pub(super) fn leave(&mut self) -> Code {
        match self.wait() {
            Some(WaitStatus::Exited(_, code)) => u8::try_from(code).map_or(Code(1), Code),
            Some(WaitStatus::Signaled(_, signal, _)) => end_by(signal),
            // Who ignores SIGCHLD has asked not to be told.
            _ => Code(0),
        }
    }

    /// The same, whatever the end.
    pub(super) fn wait(&mut self) -> Option<WaitStatus> {
        self.input = None;
        self.output = None;
        wait(self.pid)
    }
}

/// As a shell says it, where the signal is ignored.
fn end_by(signal: Signal) -> Code {
    signals::let_go(signal);
    let _: Result<(), Errno> = raise(signal);
    Code(u8::try_from(signal as i32).unwrap_or_default().saturating_add(128))
}
