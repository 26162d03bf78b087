//! What `dkimctl` prints, and how it fails.

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

/// Why a subcommand could not do its work: an exit code of sysexits.h, and what to say.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    what: String,
}

/// `EX_USAGE`: the command line is wrong.
const USAGE: u8 = 64;
/// `EX_DATAERR`: the message, the record or the key is.
const DATA: u8 = 65;
/// `EX_NOINPUT`: a file to be read is not there, or not for the caller.
const NO_INPUT: u8 = 66;
/// `EX_NOUSER`: there is no user of that name.
const NO_USER: u8 = 67;
/// `EX_SOFTWARE`: our bug.
const SOFTWARE: u8 = 70;
/// `EX_OSERR`: the system lacks what it should have.
const SYSTEM: u8 = 71;
/// `EX_CANTCREAT`: a file is there already, or can't be made.
const CANNOT_CREATE: u8 = 73;
/// `EX_IOERR`: reading or writing failed.
const IO: u8 = 74;
/// `EX_TEMPFAIL`: call it again later.
const TRY_LATER: u8 = 75;
/// `EX_NOPERM`: somebody else has to call it.
const NO_PERMISSION: u8 = 77;

impl Failure {
    fn new(code: u8, what: impl fmt::Display) -> Self {
        Self { code, what: what.to_string() }
    }

    pub(super) fn usage(what: impl fmt::Display) -> Self {
        Self::new(USAGE, what)
    }

    pub(super) fn data(what: impl fmt::Display) -> Self {
        Self::new(DATA, what)
    }

    pub(super) fn software(what: impl fmt::Display) -> Self {
        Self::new(SOFTWARE, what)
    }

    pub(super) fn system(what: impl fmt::Display) -> Self {
        Self::new(SYSTEM, what)
    }

    /// `EX_UNAVAILABLE`: a server that should answer does not.
    pub(super) const UNAVAILABLE: u8 = 69;

    /// Somebody else is at it.
    pub(super) fn busy(what: impl fmt::Display) -> Self {
        Self::new(TRY_LATER, what)
    }

    /// What is needed is not there.
    pub(super) fn missing(what: impl fmt::Display) -> Self {
        Self::new(NO_INPUT, what)
    }

    pub(super) fn exists(what: impl fmt::Display) -> Self {
        Self::new(CANNOT_CREATE, what)
    }

    pub(super) fn no_user(what: impl fmt::Display) -> Self {
        Self::new(NO_USER, what)
    }

    pub(super) fn permission(what: impl fmt::Display) -> Self {
        Self::new(NO_PERMISSION, what)
    }

    pub(super) fn no_input(what: impl fmt::Display) -> Self {
        Self::new(NO_INPUT, what)
    }

    /// A file can't be read.
    pub(super) fn reading(path: &Path, error: &io::Error) -> Self {
        let unreadable = [
            io::ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::IsADirectory,
            io::ErrorKind::NotADirectory,
        ];
        let code = if unreadable.contains(&error.kind()) { NO_INPUT } else { IO };
        Self::new(code, format_args!("cannot read {path:?}: {error}"))
    }

    /// A file or folder can't be made.
    pub(super) fn creating(path: &Path, error: &io::Error) -> Self {
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
        let code = if is_denied { NO_PERMISSION } else { CANNOT_CREATE };
        Self::new(code, format_args!("cannot create {path:?}: {error}"))
    }

    /// Says it, and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        warn(&self.what);
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error)
    }
}

/// One line on stderr.
pub(super) fn warn(what: impl fmt::Display) {
    // Nobody is left to tell if that fails.
    drop(io::stderr().lock().write_all(format!("dkimctl: {what}\n").as_bytes()));
}

/// Text on stdout. A reader that has seen enough (`| head`) is no failure.
pub(super) fn say(text: &str) -> Result<ExitCode, Failure> {
    say_octets(text.as_bytes())
}

/// A value as JSON, for a script.
pub(super) fn say_json(value: &(impl Serialize + ?Sized)) -> Result<ExitCode, Failure> {
    let mut text = serde_json::to_string_pretty(value).map_err(Failure::software)?;
    text.push('\n');
    say(&text)
}

/// Text of any charset on stdout.
pub(super) fn say_octets(text: &[u8]) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(IO, format_args!("cannot write to stdout: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
