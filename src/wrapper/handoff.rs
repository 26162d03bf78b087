//! Becoming the real sendmail: finding it, giving it the message as standard input, and exec.

use std::error;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stdin, execv, pipe2};

use super::privilege::Dropped;
use super::signals;
use super::stdin::Stdin;
use crate::report::{Code, Exit};
use crate::submission::intake::Intake;
use crate::submission::spool::{Sealed, SealedIn, create, write_all};

/// How this program was called, and so how the real sendmail is.
#[derive(Debug, Default)]
pub struct Call {
    /// The arguments, the name of the program included; they may be none at all.
    pub argv: Vec<OsString>,
    /// The environment, entries without `=` included.
    pub environment: Vec<CString>,
}

/// The real sendmail: an executable file that is not this program.
#[derive(Debug)]
pub(crate) struct Real(PathBuf);

/// There is no going on; nothing was handed over.
#[derive(Debug)]
pub(crate) enum HandoffError {
    /// The administrator named it, or nobody did and it is in none of the usual places.
    Missing { path: PathBuf, source: io::Error },
    /// It is no executable file; the administrator.
    NotAProgram { path: PathBuf },
    /// It is this program, perhaps through links; the administrator.
    Ourselves { path: PathBuf },
    /// The kernel refuses to run it.
    Exec { path: PathBuf, source: Errno },
    /// The message can be kept nowhere; the system.
    NoRoom(io::Error),
}

impl fmt::Display for HandoffError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path, .. } => write!(f, "no real sendmail at {path:?}"),
            Self::NotAProgram { path } => {
                write!(f, "the real sendmail {path:?} is not an executable file")
            }
            Self::Ourselves { path } => write!(
                f,
                "the real sendmail {path:?} is this program itself; set `sendmail` in config.toml"
            ),
            Self::Exec { path, .. } => write!(f, "cannot run {path:?}"),
            Self::NoRoom(_) => f.write_str("no room for the message"),
        }
    }
}

impl error::Error for HandoffError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Missing { source, .. } | Self::NoRoom(source) => Some(source),
            Self::Exec { source, .. } => Some(source),
            Self::NotAProgram { .. } | Self::Ourselves { .. } => None,
        }
    }
}

/// Where the real one is when the configuration can't say: RHEL, its merged /usr/sbin, a diversion.
pub(crate) const USUAL: [&str; 3] =
    ["/usr/sbin/sendmail.postfix", "/usr/bin/sendmail.postfix", "/usr/sbin/sendmail.real"];

impl Real {
    /// The program at `path`, once it is sure that running it is no loop.
    pub(crate) fn at(path: &Path) -> Result<Self, HandoffError> {
        let path = path.to_owned();
        let found = match std::fs::metadata(&path) {
            Ok(found) => found,
            Err(source) => return Err(HandoffError::Missing { path, source }),
        };
        if is_ourselves(&found) {
            return Err(HandoffError::Ourselves { path });
        }
        if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
            return Err(HandoffError::NotAProgram { path });
        }
        Ok(Self(path))
    }

    /// The first of the usual places that holds a program; the error is that of the first place.
    pub(crate) fn usual() -> Result<Self, HandoffError> {
        let [first, others @ ..] = USUAL;
        Self::at(Path::new(first)).or_else(|error| {
            others.iter().find_map(|path| Self::at(Path::new(path)).ok()).ok_or(error)
        })
    }
}

/// The same file, whatever links lead to it. Without proc(5) a loop can't be told.
fn is_ourselves(found: &Metadata) -> bool {
    std::fs::metadata("/proc/self/exe")
        .is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()))
}

/// Becomes the real sendmail with `message` as its standard input. Returns only if that fails.
/// It is called as this program was; `-i` goes in where the message was rebuilt, and may hold
/// a line of one dot, and no `-i` is there.
pub(crate) fn exec(
    real: &Real,
    call: &Call,
    dash_i: bool,
    message: Sealed,
    _: Dropped,
) -> HandoffError {
    match set_up(message) {
        Ok(()) => run(real, call, dash_i),
        Err(error) => HandoffError::NoRoom(error),
    }
}

/// Becomes the real sendmail, standard input and argv untouched.
pub(crate) fn exec_untouched(real: &Real, call: &Call, dropped: Dropped) -> HandoffError {
    exec(real, call, false, Sealed::untouched(), dropped)
}

fn run(real: &Real, call: &Call, dash_i: bool) -> HandoffError {
    let failed = |source| HandoffError::Exec { path: real.0.clone(), source };
    let (path, args) = match c_strings(real, call, dash_i) {
        Ok(strings) => strings,
        Err(errno) => return failed(errno),
    };
    // Not std's Command: that one empties the signal mask.
    match execv(&path, &args) {
        Err(errno) => failed(errno),
        Ok(never) => match never {},
    }
}

/// The path and the arguments as exec(3) wants them.
fn c_strings(real: &Real, call: &Call, dash_i: bool) -> Result<(CString, Vec<CString>), Errno> {
    let text = |octets: &OsStr| CString::new(octets.as_bytes()).map_err(|_| Errno::EINVAL);
    let mut args = Vec::with_capacity(call.argv.len().saturating_add(1));
    for arg in &call.argv {
        args.push(text(arg)?);
        if args.len() == 1 && dash_i {
            args.push(c"-i".to_owned());
        }
    }
    if args.is_empty() {
        args.push(c"sendmail".to_owned());
    }
    Ok((text(real.0.as_os_str())?, args))
}

/// Starts the real sendmail as a child that finds all as it would after [`exec_untouched`], but for its
/// standard input, and its standard output where another is given.
pub(crate) fn spawn(
    real: &Real,
    call: &Call,
    input: &impl AsFd,
    output: Option<BorrowedFd<'_>>,
    _: &Dropped,
) -> Result<Pid, HandoffError> {
    let started = || {
        let (path, args) = c_strings(real, call, false)?;
        let mut files = PosixSpawnFileActions::init()?;
        files.add_dup2(input.as_fd().as_raw_fd(), 0)?;
        if let Some(output) = output {
            files.add_dup2(output.as_raw_fd(), 1)?;
        }
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_sigmask(&signals::callers_mask())?;
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
        posix_spawn(path.as_c_str(), &files, &attributes, &args, &call.environment)
    };
    started().map_err(|source| HandoffError::Exec { path: real.0.clone(), source })
}

/// Makes the message standard input.
fn set_up(message: Sealed) -> io::Result<()> {
    match message.0 {
        SealedIn::Untouched => Ok(()),
        SealedIn::File(file) => Ok(dup2_stdin(&file)?),
        SealedIn::Memory(memory) => match fill_pipe(&memory) {
            Ok(()) => Ok(()),
            // The user's pipes are full of other things (pipe-user-pages-soft).
            Err(_) => {
                let mut file = create()?;
                write_all(&mut file, &memory)?;
                file.rewind()?;
                Ok(dup2_stdin(&file)?)
            }
        },
    }
}

/// A pipe that holds the whole message: nobody has to stay behind and write.
fn fill_pipe(message: &[u8]) -> io::Result<()> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    if message.len() > DEFAULT_PIPE {
        let size = i32::try_from(message.len()).map_err(|_| Errno::EINVAL)?;
        fcntl(&write, FcntlArg::F_SETPIPE_SZ(size))?;
    }
    // The write end only: the real sendmail waits for what it reads.
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    File::from(write).write_all(message)?;
    Ok(dup2_stdin(&read)?)
}

/// Capacity of a new pipe (pipe(7)).
const DEFAULT_PIPE: usize = 64 << 10;

/// The last resort, where no file can be written: the real sendmail as a child that is fed the original bytes, those that
/// were read and then the rest. Its exit code becomes ours.
pub(crate) fn feed(
    real: &Real,
    call: &Call,
    intake: &mut Intake<Stdin>,
    dropped: &Dropped,
) -> Result<Code, HandoffError> {
    let (stdin, input) =
        pipe2(OFlag::O_CLOEXEC).map_err(|errno| HandoffError::NoRoom(errno.into()))?;
    signals::hold_pipe();
    let child = spawn(real, call, &stdin, None, dropped)?;
    drop(stdin);
    let input = File::from(input);
    let fed = intake.replay_to(&input);
    // It may have read all it needs (a lone dot); any other error leaves the message incomplete, and it must not be sent.
    if fed.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        // There is nobody to tell where that does not work.
        let _: Result<(), Errno> = kill(child, Signal::SIGKILL);
    }
    drop(input);
    let code = match wait(child) {
        Some(WaitStatus::Exited(_, code)) => u8::try_from(code).ok(),
        _ => None,
    };
    Ok(code.map_or(Exit::TempFail.into(), Code))
}

/// Waits for a child. `None` where the caller ignores SIGCHLD: then the kernel does not say how the child ended.
pub(crate) fn wait(child: Pid) -> Option<WaitStatus> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            status => return status.ok(),
        }
    }
}
