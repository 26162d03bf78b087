//! Standard input as the caller left it, and standard descriptors that the caller closed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat, makedev};
use nix::unistd::{Whence, dup2_stderr, dup2_stdin, dup2_stdout, lseek, read};

use crate::submission::intake::Source;

/// Standard input, which is the message.
#[derive(Debug)]
pub(crate) struct Stdin {
    /// Its offset at the start of this program, if it is seekable.
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

    /// Seeks back to the offset at the start of this program. Returns whether that was possible.
    pub(crate) fn rewind(&self) -> bool {
        self.start.is_some_and(|start| lseek(io::stdin().as_fd(), start, Whence::SeekSet).is_ok())
    }

    /// Waits for bytes or the end of input. Returns EPIPE if no process reads the other end of `pipe` any more.
    pub(crate) fn wait_while_open(&self, pipe: BorrowedFd<'_>) -> Result<(), Errno> {
        let stdin = io::stdin();
        let mut ends =
            [PollFd::new(stdin.as_fd(), PollFlags::POLLIN), PollFd::new(pipe, PollFlags::empty())];
        wait(&mut ends)?;
        let [_, pipe] = ends;
        if pipe.any().unwrap_or(true) { Err(Errno::EPIPE) } else { Ok(()) }
    }
}

impl Source for Stdin {
    /// read(2), also if a signal interrupts it or the caller has made the descriptor non-blocking.
    fn read(&mut self, piece: &mut [u8]) -> Result<usize, Errno> {
        let stdin = io::stdin();
        loop {
            match read(stdin.as_fd(), piece) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    wait(&mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)])?;
                }
                result => return result,
            }
        }
    }
}

/// Waits until one of the descriptors is ready, also if a signal interrupts poll(2).
fn wait(fds: &mut [PollFd<'_>]) -> Result<(), Errno> {
    loop {
        match poll(fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            result => return result.map(|_| ()),
        }
    }
}

/// Opens `/dev/null` for each of the three standard descriptors that is closed, so that no file of this program gets such a
/// descriptor. The real sendmail behaves the same: it takes a closed standard input for an empty message, and ignores errors of a
/// closed output.
///
/// In a set-gid program glibc opens `/dev/full` write-only or `/dev/null` read-only instead, so that no operation on them
/// succeeds. These are replaced.
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
    // The copy never has one of the three numbers.
    let Ok(null) = null.and_then(|null| null.try_clone()) else { return };
    let replace = [dup2_stdin::<&File>, dup2_stdout, dup2_stderr];
    for (is_closed, replace) in is_closed.into_iter().zip(replace) {
        // If that fails, the real sendmail reports the unusable descriptor.
        let _: Result<(), Errno> = if is_closed { replace(&null) } else { Ok(()) };
    }
}

/// The device numbers of `/dev/full` and `/dev/null`, null(4).
const FULL: u64 = makedev(1, 7);
const NULL: u64 = makedev(1, 3);
