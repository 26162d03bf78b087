//! Finds the real sendmail, makes a message its standard input, and execs it.

use std::error;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::{dup2_stdin, execv, pipe2};

use super::privilege::Dropped;
use crate::submission::spool::{Sealed, create, write_all};

/// How this program was called. The real sendmail is called in the same way.
#[derive(Debug, Default)]
pub struct Call {
    /// The arguments, including the program name. There may be none at all.
    pub argv: Vec<OsString>,
    /// The environment, including entries without `=`.
    pub environment: Vec<CString>,
}

/// The real sendmail: an executable file that is not this program.
#[derive(Debug)]
pub(crate) struct Real(PathBuf);

/// Why the message was not passed on.
#[derive(Debug)]
pub(crate) enum HandoffError {
    /// It is not at the configured path, or in none of the usual places. The administrator causes this error.
    Missing { path: PathBuf, source: io::Error },
    /// It is not an executable file. The administrator causes this error.
    NotAProgram { path: PathBuf },
    /// It is this program, perhaps through links. The administrator causes this error.
    Ourselves { path: PathBuf },
    /// The kernel cannot run it.
    Exec { path: PathBuf, source: Errno },
    /// There is no room to store the message. The system causes this error.
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

/// Where to look for the real sendmail if the configuration cannot be read: RHEL, its merged /usr/sbin, a diversion.
pub(crate) const USUAL: [&str; 3] =
    ["/usr/sbin/sendmail.postfix", "/usr/bin/sendmail.postfix", "/usr/sbin/sendmail.real"];

impl Real {
    /// The program at `path`. An error if it is this program, which would be a loop.
    pub(crate) fn at(path: &Path) -> Result<Self, HandoffError> {
        let path = path.to_owned();
        let missing = |source| HandoffError::Missing { path: path.clone(), source };
        let found = std::fs::metadata(&path).map_err(missing)?;
        if is_ourselves(&found) {
            return Err(HandoffError::Ourselves { path });
        }
        if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
            return Err(HandoffError::NotAProgram { path });
        }
        Ok(Self(path))
    }

    /// The configured program, or the first one in the usual places. The error is for the first place.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self, HandoffError> {
        if let Some(path) = named {
            return Self::at(path);
        }
        let [first, others @ ..] = USUAL.map(Path::new);
        Self::at(first)
            .or_else(|error| others.into_iter().find_map(|path| Self::at(path).ok()).ok_or(error))
    }

    /// The error if exec fails.
    pub(super) fn failed(&self, source: Errno) -> HandoffError {
        HandoffError::Exec { path: self.0.clone(), source }
    }
}

/// Whether a file is this program, through any links. Without proc(5) a loop cannot be detected.
fn is_ourselves(found: &Metadata) -> bool {
    std::fs::metadata("/proc/self/exe")
        .is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()))
}

/// Execs the real sendmail with `message` as its standard input and the arguments of this program. Returns only on failure. With
/// `dash_i` a `-i` is added, because a rebuilt message may have a line containing a single dot.
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

/// Execs the real sendmail with standard input and arguments unchanged.
pub(crate) fn exec_untouched(real: &Real, call: &Call, _: Dropped) -> HandoffError {
    run(real, call, false)
}

fn run(real: &Real, call: &Call, dash_i: bool) -> HandoffError {
    // Not `std::process::Command`, which clears the signal mask.
    let ended = c_strings(real, call, dash_i).and_then(|(path, args)| execv(&path, &args));
    match ended {
        Err(errno) => real.failed(errno),
        Ok(never) => match never {},
    }
}

/// The path and the arguments as exec(3) expects them.
pub(super) fn c_strings(
    real: &Real,
    call: &Call,
    dash_i: bool,
) -> Result<(CString, Vec<CString>), Errno> {
    let text = |bytes: &OsStr| CString::new(bytes.as_bytes()).map_err(|_| Errno::EINVAL);
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

/// Makes the message standard input.
fn set_up(message: Sealed) -> io::Result<()> {
    match message {
        Sealed::File(file) => Ok(dup2_stdin(&file)?),
        Sealed::Memory(memory) => fill_pipe(&memory).or_else(|_| {
            // The user has too much data in other pipes (pipe-user-pages-soft).
            let mut file = create()?;
            write_all(&mut file, &memory, Signal::SIGXFSZ)?;
            file.rewind()?;
            Ok(dup2_stdin(&file)?)
        }),
    }
}

/// Puts the whole message into a pipe, so that no process has to stay and write.
fn fill_pipe(message: &[u8]) -> io::Result<()> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    if message.len() > DEFAULT_PIPE {
        let size = i32::try_from(message.len()).map_err(|_| Errno::EINVAL)?;
        fcntl(&write, FcntlArg::F_SETPIPE_SZ(size))?;
    }
    // Only the write end is non-blocking; the real sendmail must block when it reads.
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    File::from(write).write_all(message)?;
    Ok(dup2_stdin(&read)?)
}

/// The capacity of a new pipe (pipe(7)).
const DEFAULT_PIPE: usize = 64 << 10;
