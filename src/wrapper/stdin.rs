//! Standard input as the caller left it, and the descriptors that are closed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat, makedev};
use nix::unistd::{Whence, dup2_stderr, dup2_stdin, dup2_stdout, lseek, read};

use crate::submission::intake::Source;

/// Standard input; all of it is the message.
#[derive(Debug)]
pub(crate) struct Stdin {
    /// Its offset when this program was started, if it can go back there.
    start: Option<i64>,
}

impl Stdin {
    pub(crate) fn here() -> Self {
        let stdin = io::stdin();
        let is_file = fstat(stdin.as_fd()).is_ok_and(|found| {
            SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
        });
        Self { start: if is_file { lseek(stdin.as_fd(), 0, Whence::SeekCur).ok() } else { None } }
    }

    /// Goes back to the offset that it had when this program was started: whether that was possible.
    pub(crate) fn go_back(&self) -> bool {
        self.start.is_some_and(|start| lseek(io::stdin().as_fd(), start, Whence::SeekSet).is_ok())
    }

    /// Waits for bytes, or for their end. EPIPE: nothing reads the other end of `pipe` any more.
    pub(crate) fn wait_beside(&self, pipe: BorrowedFd<'_>) -> Result<(), Errno> {
        let stdin = io::stdin();
        let mut wait =
            [PollFd::new(stdin.as_fd(), PollFlags::POLLIN), PollFd::new(pipe, PollFlags::empty())];
        loop {
            match poll(&mut wait, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
                Ok(_) => break,
            }
        }
        let [_, pipe] = wait;
        if pipe.any().unwrap_or(true) { Err(Errno::EPIPE) } else { Ok(()) }
    }
}

impl Source for Stdin {
    /// read(2), which a signal may interrupt and a caller may have made non-blocking.
    fn read(&mut self, piece: &mut [u8]) -> Result<usize, Errno> {
        let stdin = io::stdin();
        loop {
            match read(stdin.as_fd(), piece) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let mut wait = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
                    match poll(&mut wait, PollTimeout::NONE) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(errno) => return Err(errno),
                    }
                }
                result => return result,
            }
        }
    }
}

/// Opens `/dev/null` for each of the three standard descriptors that is closed. To the real sendmail a closed standard input is
/// an empty message, and what it writes to a closed output is lost; no file of this program may get such a descriptor.
///
/// For a set-gid program glibc opens `/dev/full` write-only and `/dev/null` read-only in their place, so that no use of them
/// works: these are replaced.
pub(crate) fn reopen_closed() {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let is_closed = |fd: BorrowedFd<'_>, device, access| match fcntl(fd, FcntlArg::F_GETFL) {
        Err(errno) => errno == Errno::EBADF,
        Ok(flags) => {
            OFlag::from_bits_truncate(flags) & OFlag::O_ACCMODE == access
                && fstat(fd).is_ok_and(|found| found.st_rdev == device)
        }
    };
    let is_closed = [
        is_closed(stdin.as_fd(), FULL, OFlag::O_WRONLY),
        is_closed(stdout.as_fd(), NULL, OFlag::O_RDONLY),
        is_closed(stderr.as_fd(), NULL, OFlag::O_RDONLY),
    ];
    if is_closed == [false; 3] {
        return;
    }
    let null = File::options().read(true).write(true).open("/dev/null");
    // The copy is never one of the three.
    let Ok(null) = null.and_then(|null| null.try_clone()) else { return };
    let replace = [dup2_stdin::<&File>, dup2_stdout, dup2_stderr];
    for (is_closed, replace) in is_closed.into_iter().zip(replace) {
        // If that fails, the real sendmail reports it, as for any descriptor that it can't use.
        let _: Result<(), Errno> = if is_closed { replace(&null) } else { Ok(()) };
    }
}

/// The device numbers of `/dev/full` and `/dev/null`, null(4).
const FULL: u64 = makedev(1, 7);
const NULL: u64 = makedev(1, 3);
