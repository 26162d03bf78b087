//! What `dkimctl` prints, and how it fails.

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::dkim::KeyError;

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
            // Not a regular file, or too large a one: see `input`.
            io::ErrorKind::InvalidInput,
            io::ErrorKind::FileTooLarge,
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

    /// A file can't be changed or removed.
    pub(super) fn changing(path: &Path, error: &io::Error) -> Self {
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
        let code = if is_denied { NO_PERMISSION } else { IO };
        Self::new(code, format_args!("cannot change {path:?}: {error}"))
    }

    /// Whether the command line is wrong.
    pub(super) fn is_usage(&self) -> bool {
        self.code == USAGE
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

/// A key that was just made can't be written: a bug.
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

/// One line on stderr.
pub(super) fn warn(what: impl fmt::Display) {
    let line = printable(&what.to_string()).replace('\n', "\\n");
    // Nobody is left to tell if that fails.
    drop(io::stderr().lock().write_all(format!("dkimctl: {line}\n").as_bytes()));
}

/// Text on stdout, for people. A reader that has seen enough (`| head`) is no failure.
pub(super) fn say(text: &str) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(printable(text).as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(IO, format_args!("cannot write to stdout: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A value as JSON, for a script. What a terminal would not show is escaped as JSON has it: to the script it is the same.
pub(super) fn say_json(value: &(impl Serialize + ?Sized)) -> Result<ExitCode, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::software)?;
    say(&format!("{}\n", printable_json(&text)))
}

/// A message, or a part of one, for people: bytes of no UTF-8 text are shown as `\xFF`.
pub(super) fn say_message(message: &[u8]) -> Result<ExitCode, Failure> {
    let mut text = String::with_capacity(message.len());
    for chunk in message.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    say(&text)
}

/// Text as a terminal may get it: line ends, tabs and all that can be seen stay as they are; control characters, what
/// turns the direction of text round, and what has no width are escaped as in Rust. So a message, a record or the name of
/// a file shows what it is, and gives the terminal no orders.
fn printable(text: &str) -> String {
    let is_kept = |char| matches!(char, '\n' | '\t' | '"' | '\'' | '\\' | IDEOGRAPHIC_SPACE);
    let mut shown = String::with_capacity(text.len());
    for run in text.split_inclusive(is_kept) {
        let kept = run.chars().next_back().filter(|char| is_kept(*char));
        let run = kept.and_then(|char| run.strip_suffix(char)).unwrap_or(run);
        shown.extend(run.escape_debug());
        shown.extend(kept);
    }
    shown
}

/// The same for JSON, whose strings escape what is below U+0020 anyhow.
fn printable_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        let is_plain = char == '\n' || matches!(char, ' '..='~');
        if is_plain
            || !char.is_ascii() && printable(char.encode_utf8(&mut [0; 4])).starts_with(char)
        {
            shown.push(char);
        } else {
            let units = &mut [0; 2];
            for unit in char.encode_utf16(units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    shown
}

/// The space of Japanese text.
const IDEOGRAPHIC_SPACE: char = '\u{3000}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_seen_is_shown_as_it_is() {
        for text in [
            "a \"b\" 'c' \\ ~\n\tgr\u{fc}n \u{65e5}\u{672c}\u{8a9e}\u{3000}\u{ff3b}x\u{ff3d}\n",
            // Combining marks, and an emoji.
            "e\u{301} \u{1f600}",
        ] {
            assert_eq!(printable(text), text);
            assert_eq!(serde_json::from_str::<String>(&json(text)).unwrap(), text);
        }
    }

    #[test]
    fn no_order_to_a_terminal_passes() {
        for (text, shown) in [
            ("\u{1b}[31mred\u{7}\u{8}\u{0}\r\n", "\\u{1b}[31mred\\u{7}\\u{8}\\0\\r\n"),
            ("\u{7f}\u{9b}1A\u{85}\u{b}", "\\u{7f}\\u{9b}1A\\u{85}\\u{b}"),
            // Bidirectional overrides and isolates, no width, tags, separators of lines.
            ("a\u{202e}b\u{2066}c\u{200b}\u{feff}", "a\\u{202e}b\\u{2066}c\\u{200b}\\u{feff}"),
            ("\u{61c}\u{2028}\u{e0041}", "\\u{61c}\\u{2028}\\u{e0041}"),
        ] {
            assert_eq!(printable(text), shown);
            let json = json(text);
            assert!(json.chars().all(|char| matches!(char, ' '..='~')), "{json}");
            // To a script it is what it was.
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    fn json(text: &str) -> String {
        printable_json(&serde_json::to_string(text).unwrap())
    }
}
