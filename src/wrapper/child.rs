//! The real sendmail as a child process: for an SMTP session, or if there is no room to store a message.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};

use super::handoff::{Call, HandoffError, Real, c_strings};
use super::privilege::Dropped;
use super::signals;
use super::stdin::Stdin;
use crate::report::Code;
use crate::submission::intake::{Intake, Source as _};

/// The real sendmail, and the ends of the pipes to it.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    /// A pipe to its standard input. Closed when the child has closed its own end.
    pub(super) input: Option<File>,
    /// A pipe from its standard output, unless that is the caller's. Closed when the child has closed its own end.
    pub(super) output: Option<File>,
}

impl Child {
    /// Starts the real sendmail for an SMTP session. Both pipes are non-blocking.
    pub(super) fn of_session(
        real: &Real,
        call: &Call,
        dropped: &Dropped,
    ) -> Result<Self, HandoffError> {
        let child = Self::start(real, call, true, dropped)?;
        for end in [&child.input, &child.output].into_iter().flatten() {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(no_room)?;
        }
        Ok(child)
    }

    /// Starts the real sendmail like [`super::handoff::exec_untouched`], but its standard input is a pipe, and with `has_output`
    /// also its standard output.
    fn start(
        real: &Real,
        call: &Call,
        has_output: bool,
        _: &Dropped,
    ) -> Result<Self, HandoffError> {
        let (stdin, input) = pipe2(OFlag::O_CLOEXEC).map_err(no_room)?;
        let output = has_output.then(|| pipe2(OFlag::O_CLOEXEC)).transpose().map_err(no_room)?;
        let (output, stdout) = output.unzip();
        let spawned = || {
            let (path, args) = c_strings(real, call, false)?;
            let mut files = PosixSpawnFileActions::init()?;
            files.add_dup2(stdin.as_raw_fd(), 0)?;
            if let Some(stdout) = &stdout {
                files.add_dup2(stdout.as_raw_fd(), 1)?;
            }
            let mut attributes = PosixSpawnAttr::init()?;
            attributes.set_sigmask(&signals::callers_mask())?;
            attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
            posix_spawn(path.as_c_str(), &files, &attributes, &args, &call.environment)
        };
        let pid = spawned().map_err(|errno| real.failed(errno))?;
        Ok(Self { pid, input: Some(File::from(input)), output: output.map(File::from) })
    }

    /// Closes the pipes and waits until the real sendmail has ended.
    pub(super) fn wait(&mut self) -> Option<WaitStatus> {
        self.input = None;
        self.output = None;
        wait(self.pid)
    }

    /// Closes the pipes, waits for the child and returns its exit code. If a signal ended the child, the same signal ends this
    /// program.
    pub(super) fn end(mut self) -> Code {
        match self.wait() {
            Some(WaitStatus::Exited(_, code)) => u8::try_from(code).map_or(Code(1), Code),
            Some(WaitStatus::Signaled(_, signal, _)) => {
                signals::unblock(signal);
                let _: Result<(), Errno> = raise(signal);
                // The signal is ignored, so return the exit code that a shell would.
                Code(u8::try_from(signal as i32).unwrap_or_default().saturating_add(128))
            }
            // A caller that ignores SIGCHLD does not expect an exit code.
            _ => Code(0),
        }
    }
}

fn no_room(errno: Errno) -> HandoffError {
    HandoffError::NoRoom(errno.into())
}

/// The last resort if no file can be written: starts the real sendmail as a child and passes it the original bytes, first those
/// that were read, then the rest. Returns the exit code of the child.
pub(super) fn feed(
    real: &Real,
    call: &Call,
    intake: &mut Intake<Stdin>,
    dropped: &Dropped,
) -> Result<Code, HandoffError> {
    signals::hold_pipe();
    let mut child = Child::start(real, call, false, dropped)?;
    if let Some(input) = &child.input {
        let fed = intake.replay(
            |_, bytes| (&*input).write_all(bytes),
            // The child may end before the caller has sent everything.
            |stdin, piece| {
                stdin.wait_while_open(input.as_fd())?;
                stdin.read(piece)
            },
        );
        // The child may have read all that it needs, up to a lone dot. After any other error the message is incomplete and must
        // not be sent.
        if fed.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
            // There is no other way to stop the child.
            let _: Result<(), Errno> = kill(child.pid, Signal::SIGKILL);
        }
    }
    let code = match child.wait() {
        Some(WaitStatus::Exited(_, code)) => u8::try_from(code).ok(),
        _ => None,
    };
    Ok(code.map_or(Code::TEMP_FAIL, Code))
}

/// Waits for a child. `None` if the caller ignores SIGCHLD, because then the kernel does not report how the child ended.
pub(super) fn wait(child: Pid) -> Option<WaitStatus> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            status => return status.ok(),
        }
    }
}
