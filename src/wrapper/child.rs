//! The real sendmail as a child: of an SMTP session, or where a message can be kept nowhere.

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
use crate::report::{Code, Exit};
use crate::submission::intake::{Intake, Source as _};

/// The real sendmail, and the ends of the pipes to it.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    /// To its standard input. Closed once it has closed its own end.
    pub(super) input: Option<File>,
    /// From its standard output, if that is not the caller's. Closed once it has closed its own end.
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

    /// Starts the real sendmail as [`super::handoff::exec_untouched`] would execute it, except that its standard input, and with
    /// `has_output` its standard output, is a pipe.
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

    /// Waits likewise, then returns its exit code. If a signal ended it, the same signal ends this program.
    pub(super) fn end(mut self) -> Code {
        match self.wait() {
            Some(WaitStatus::Exited(_, code)) => u8::try_from(code).map_or(Code(1), Code),
            Some(WaitStatus::Signaled(_, signal, _)) => {
                signals::let_go(signal);
                let _: Result<(), Errno> = raise(signal);
                // The signal is ignored: the exit code is that of a shell.
                Code(u8::try_from(signal as i32).unwrap_or_default().saturating_add(128))
            }
            // A caller that ignores SIGCHLD does not ask for it.
            _ => Code(0),
        }
    }
}

fn no_room(errno: Errno) -> HandoffError {
    HandoffError::NoRoom(errno.into())
}

/// The last resort, where no file can be written: the real sendmail as a child gets the original bytes, those that were read
/// and then the rest. Its exit code becomes that of this program.
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
            // It may answer before the caller has sent all.
            |stdin, piece| {
                stdin.wait_beside(input.as_fd())?;
                stdin.read(piece)
            },
        );
        // It may have read all it needs (a lone dot); any other error leaves the message incomplete, and it must not be sent.
        if fed.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
            // There is no other way to stop it.
            let _: Result<(), Errno> = kill(child.pid, Signal::SIGKILL);
        }
    }
    let code = match child.wait() {
        Some(WaitStatus::Exited(_, code)) => u8::try_from(code).ok(),
        _ => None,
    };
    Ok(code.map_or(Exit::TempFail.into(), Code))
}

/// Waits for a child. `None` where the caller ignores SIGCHLD: then the kernel does not say how the child ended.
pub(super) fn wait(child: Pid) -> Option<WaitStatus> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            status => return status.ok(),
        }
    }
}
