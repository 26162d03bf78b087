//! The output and the errors of `dkimctl`.

mod text;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use crate::dkim::{Domain, KeyError};
use crate::report::plain;
pub(super) use text::{Text, Tone, printable_json};

/// Why a subcommand failed: an exit code of sysexits.h, and a message.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u8,
    what: String,
    /// The file, domain or name that it is about, if that can be named.
    pub(super) subject: Option<String>,
    /// What to do, if there is one thing.
    pub(super) remedy: String,
}

/// Constructors of failures: each exit code of sysexits.h, its name for scripts, and when it is used.
macro_rules! failures {
    ($($(#[doc = $when:literal])+ $name:ident = $code:literal $word:literal,)+) => {
        impl Failure {
            $($(#[doc = $when])+
            pub(super) fn $name(what: impl fmt::Display) -> Self {
                Self::new($code, what)
            })+
        }

        /// The names of the exit codes that a failure can be made with.
        const NAMES: &[(u8, &str)] = &[$(($code, $word),)+];
    };
}

failures! {
    /// `EX_USAGE`: the command line is wrong.
    usage = 64 "usage",
    /// `EX_DATAERR`: the message, the record or the key is wrong.
    data = 65 "data",
    /// `EX_NOINPUT`: a file or what it should hold does not exist.
    missing = 66 "no-input",
    /// `EX_NOUSER`: there is no user of that name.
    no_user = 67 "no-user",
    /// `EX_UNAVAILABLE`: DNS, or what changes it, does not do what it should.
    unavailable = 69 "unavailable",
    /// `EX_SOFTWARE`: a bug.
    software = 70 "software",
    /// `EX_OSERR`: the system lacks something that is required.
    system = 71 "system",
    /// `EX_CANTCREAT`: a file exists already.
    exists = 73 "cannot-create",
    /// `EX_TEMPFAIL`: another process is running; try again later.
    busy = 75 "busy",
    /// `EX_NOPERM`: the caller may not read or change it.
    permission = 77 "permission",
    /// `EX_CONFIG`: a setting is missing.
    configuration = 78 "configuration",
}

const USAGE: u8 = 64;
const NO_INPUT: u8 = 66;
/// `EX_CANTCREAT`: a file cannot be created.
const CANNOT_CREATE: u8 = 73;
/// `EX_IOERR`: reading or writing failed.
const IO: u8 = 74;
const NO_PERMISSION: u8 = 77;

impl Failure {
    /// `EX_DATAERR`, of a report.
    pub(super) const DATA: u8 = 65;
    /// `EX_UNAVAILABLE`: a server does not answer.
    pub(super) const UNAVAILABLE: u8 = 69;
    /// `EX_CONFIG`: a step is left to do on the host.
    pub(super) const CONFIG: u8 = 78;

    fn new(code: u8, what: impl fmt::Display) -> Self {
        Self { code, what: what.to_string(), subject: None, remedy: String::new() }
    }

    /// Names what it is about.
    pub(super) fn about(self, subject: impl fmt::Display) -> Self {
        Self { subject: Some(subject.to_string()), ..self }
    }

    /// Says what to do.
    pub(super) fn fixed_by(self, remedy: impl fmt::Display) -> Self {
        let remedy = remedy.to_string();
        Self { what: format!("{}: {remedy}", self.what), remedy, ..self }
    }

    /// The failure if a file cannot be read.
    pub(super) fn reading(path: &Path, error: &io::Error) -> Self {
        let unreadable = [
            io::ErrorKind::NotFound,
            io::ErrorKind::IsADirectory,
            io::ErrorKind::NotADirectory,
            // Not a regular file, or too large: see `input`.
            io::ErrorKind::InvalidInput,
            io::ErrorKind::FileTooLarge,
        ];
        let code = if unreadable.contains(&error.kind()) {
            NO_INPUT
        } else if error.kind() == io::ErrorKind::InvalidData {
            // Not UTF-8.
            Self::DATA
        } else {
            IO
        };
        Self::of_file(code, "read", path, error)
    }

    /// The failure if a file or folder cannot be created, or a file replaced.
    pub(super) fn creating(path: &Path, error: &io::Error) -> Self {
        Self::of_file(CANNOT_CREATE, "write", path, error)
    }

    /// The failure if a file cannot be changed or removed.
    pub(super) fn changing(path: &Path, error: &io::Error) -> Self {
        Self::of_file(IO, "change", path, error)
    }

    fn of_file(code: u8, verb: &str, path: &Path, error: &io::Error) -> Self {
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
        let code = if is_denied { NO_PERMISSION } else { code };
        let what = format_args!("cannot {verb} {path:?}: {}", plain(error));
        Self::new(code, what).about(path.display())
    }

    /// The failure if a domain has no domain file.
    pub(super) fn no_domain_file(domain: &Domain) -> Self {
        let failure = Self::missing(format_args!("no domain file of {domain}")).about(domain);
        failure.fixed_by(format_args!("dkimctl add {domain}"))
    }

    /// Whether the command line is wrong.
    pub(super) fn is_usage(&self) -> bool {
        self.code == USAGE
    }

    /// What to print.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// A name for scripts, one for each exit code.
    pub(super) fn name(&self) -> &'static str {
        let known = NAMES.iter().find(|(code, _)| *code == self.code);
        known.map_or("io", |(_, name)| name)
    }

    /// Prints it, and returns the exit code.
    pub(super) fn report(&self) -> ExitCode {
        line(Some(Tone::Bad), &self.what);
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// A new key cannot be encoded. This is a bug.
impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::software(error)
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error)
    }
}

/// A warning on stderr.
pub(super) fn warn(what: impl fmt::Display) {
    line(Some(Tone::Caution), what);
}

/// A line on stderr that is no warning.
pub(super) fn remark(what: impl fmt::Display) {
    line(None, what);
}

fn line(tone: Option<Tone>, what: impl fmt::Display) {
    let mut text = Text::toned(tone, "dkimctl:");
    text.push(format!(" {}\n", what.to_string().replace('\n', "\\n")));
    let mut stderr = io::stderr().lock();
    let shown = text.shown(has_colors(&stderr));
    // If this fails, there is no other place to report it.
    drop(stderr.write_all(shown.as_bytes()));
}

/// Text on stdout, for people. A reader that stops early (`| head`) is not an error.
pub(super) fn say(text: impl Into<Text>) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    let shown = text.into().shown(has_colors(&stdout));
    match stdout.write_all(shown.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(IO, format_args!("cannot write to stdout: {}", plain(&error))))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Whether text has colors: on a terminal that understands them, unless `NO_COLOR` is set (<https://no-color.org>).
fn has_colors(to: &impl IsTerminal) -> bool {
    is_screen(to) && variable("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether it is a terminal that understands escape sequences.
fn is_screen(to: &impl IsTerminal) -> bool {
    to.is_terminal() && variable("TERM").is_some_and(|kind| kind != "dumb")
}

#[expect(clippy::disallowed_methods, reason = "no set-gid program; the administrator's own choice")]
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// Something that was done or comes next: a name for scripts that never changes, and the text for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Note {
    pub(super) code: &'static str,
    pub(super) text: String,
}

impl Note {
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The progress of a long command: a line on stderr, if that is a screen, after the first second.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    /// When the line is written next. `None` means never.
    due: Option<Instant>,
    is_shown: bool,
    /// How many items one part has, and how many items there are.
    parts: Option<(usize, usize)>,
}

impl Progress {
    /// The shortest time between two updates of the line.
    pub(super) const INTERVAL: Duration = Duration::from_millis(200);

    /// A progress without a line.
    pub(super) fn none() -> Self {
        Self { what: "", due: None, is_shown: false, parts: None }
    }

    /// A progress with a line that names what is counted, such as `records`.
    pub(super) fn of(what: &'static str) -> Self {
        let after = Duration::from_secs(1);
        let due = Instant::now().checked_add(after).filter(|_| is_screen(&io::stderr()));
        Self { what, due, is_shown: false, parts: None }
    }

    /// For work whose items are counted by parts.
    pub(super) fn in_parts(self, size: usize, items: usize) -> Self {
        Self { parts: Some((size, items)), ..self }
    }

    /// Writes the line, if it is time.
    pub(super) fn show(&mut self, done: usize, of: usize) {
        let now = Instant::now();
        if self.due.is_some_and(|due| due <= now) {
            self.due = now.checked_add(Self::INTERVAL);
            self.is_shown = true;
            let (done, of) = match self.parts {
                Some((size, items)) => (done.saturating_mul(size).min(items), items),
                None => (done, of),
            };
            self.write(&format!("\r\u{1b}[K{}: {done} of {of}", self.what));
        }
    }

    /// Removes the line, because other text follows.
    pub(super) fn hide(&mut self) {
        if self.is_shown {
            self.is_shown = false;
            self.write("\r\u{1b}[K");
        }
    }

    fn write(&self, text: &str) {
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// Formats rows in columns: aligned on a terminal, else separated by tabs for other programs.
pub(super) fn table(rows: &[Vec<Text>]) -> Text {
    text::columns(rows, io::stdout().is_terminal())
}

/// A unified diff of two texts with their names. Empty if they are the same.
pub(super) fn diff(
    (before_name, before): (&str, &str),
    (after_name, after): (&str, &str),
) -> String {
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff().header(before_name, after_name).to_string()
}

/// A whole text, in which lines that are not in an earlier text are marked by `+`.
pub(super) fn marked(before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    let after = diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Delete);
    after.map(|change| format!("{} {change}", change.tag())).collect()
}

/// A message as text: bytes that are not UTF-8 are shown as `\xFF`.
pub(super) fn message_text(message: &[u8]) -> String {
    let mut text = String::with_capacity(message.len());
    for chunk in message.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_has_the_exit_code_of_its_reason() {
        use io::ErrorKind::{
            FileTooLarge, InvalidData, InvalidInput, IsADirectory, NotADirectory, NotFound, Other,
            PermissionDenied,
        };
        let path = Path::new("/x");
        for (kinds, expected) in [
            (
                &[NotFound, IsADirectory, NotADirectory, InvalidInput, FileTooLarge][..],
                [66, 73, 74],
            ),
            (&[InvalidData], [65, 73, 74]),
            (&[PermissionDenied], [77, 77, 77]),
            (&[Other], [74, 73, 74]),
        ] {
            for error in kinds.iter().map(|kind| io::Error::from(*kind)) {
                let made = [Failure::reading, Failure::creating, Failure::changing];
                assert_eq!(made.map(|make| make(path, &error).code), expected, "{error:?}");
            }
        }
    }
}
