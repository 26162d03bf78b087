//! Exit codes, standard error and the log. The wrapper has no other output.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, sendto, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use crate::config::LogDestination;
use crate::dkim::{Domain, Selector};
use crate::policy::Client;

/// An exit code of the wrapper. An exported `main` cannot return `std::process::ExitCode`.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u8);

impl Code {
    /// `EX_TEMPFAIL` of sysexits.h: not accepted; the caller may try again. Postfix uses this code for its own failures, too.
    pub const TEMP_FAIL: Self = Self(75);
}

/// The severity of a log line (syslog(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `LOG_ERR`
    Error = 3,
    /// `LOG_WARNING`
    Warning = 4,
    /// `LOG_INFO`
    Info = 6,
}

const FACILITY_MAIL: u32 = 2 << 3;
const IDENT: &str = "sendmail-dkim";

/// A longer address is cut in the log (RFC 5321 §4.5.3.1 allows 64 + 1 + 255).
const LONGEST_ADDRESS: usize = 320;

/// A longer reason is cut, in characters: it may quote a large part of a configuration file, and log daemons limit the length of
/// a line.
const LONGEST_REASON: usize = 1_000;

/// What happened to a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Sent with a signature.
    Signed,
    /// Sent as submitted.
    #[default]
    Unsigned,
    /// Not accepted.
    Refused,
}

/// The log line of one message.
#[derive(Clone, Debug, Default)]
pub struct Entry<'a> {
    /// The real user.
    pub uid: u32,
    /// The SMTP client, if the real user is that of Postfix's content filter.
    pub client: Option<&'a Client>,
    /// The envelope sender of the command line or of MAIL FROM. May hold any bytes.
    pub envelope: Option<&'a [u8]>,
    /// The Message-ID, submitted or added by the wrapper. May hold any text. Postfix's cleanup(8) logs it with the queue id.
    pub message_id: Option<&'a str>,
    /// How many bytes were submitted, if they were read to their end.
    pub size: Option<u64>,
    /// How long it took, including the time to read the message.
    pub time: Option<Duration>,
    /// The author address. May hold any text.
    pub author: Option<&'a str>,
    /// d=
    pub domain: Option<&'a Domain>,
    /// s=, of each signature.
    pub selectors: &'a [Selector],
    /// d= and s= of the signatures by other domains than the author domain.
    pub also: &'a [(Domain, Selector)],
    /// What happened to the message.
    pub outcome: Outcome,
    /// Why it was not signed, or a remark.
    pub reason: Option<&'a str>,
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = self.client.and_then(|client| client.login.as_deref());
        let envelope = self.envelope.map(String::from_utf8_lossy);
        write!(f, "uid={}", self.uid)?;
        put(f, "client", self.client.and_then(|client| client.address))?;
        put(f, "login", login.map(bracketed))?;
        put(f, "envelope", envelope.map(|sender| bracketed(within_brackets(&sender))))?;
        put(f, "message-id", self.message_id.map(|id| bracketed(within_brackets(id))))?;
        put(f, "size", self.size)?;
        put(f, "time", self.time.map(|time| time.as_millis()))?;
        put(f, "author", self.author.map(bracketed))?;
        put(f, "d", self.domain)?;
        for (index, selector) in self.selectors.iter().enumerate() {
            f.write_str(if index == 0 { " s=" } else { "," })?;
            f.write_str(selector.as_str())?;
        }
        for (index, (domain, selector)) in self.also.iter().enumerate() {
            f.write_str(if index == 0 { " also=" } else { "," })?;
            write!(f, "{domain}:{selector}")?;
        }
        f.write_str(match self.outcome {
            Outcome::Signed => " result=signed",
            Outcome::Unsigned => " result=unsigned",
            Outcome::Refused => " result=refused",
        })?;
        self.reason.map_or(Ok(()), |reason| {
            let end = reason.char_indices().nth(LONGEST_REASON).map_or(reason.len(), |(at, _)| at);
            write!(f, " reason={:?}", reason.get(..end).unwrap_or(reason))
        })
    }
}

/// Writes a part of the log line, if there is a value for it.
fn put(f: &mut fmt::Formatter<'_>, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {name}={value}"))
}

/// The text between angle brackets, or the whole text if it has none.
fn within_brackets(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

/// Puts an address between angle brackets, and escapes the characters that would end it in the log: a quoted local part may hold
/// spaces and brackets.
fn bracketed(address: &str) -> String {
    let chars = address.chars().take(LONGEST_ADDRESS).map(|char| match char {
        ' ' | '<' | '>' => char.escape_unicode().to_string(),
        _ => char.escape_debug().to_string(),
    });
    format!("<{}>", chars.collect::<String>())
}

/// Sets where the log goes.
pub fn log_to(destination: LogDestination) {
    DESTINATION.store(destination as u8, Ordering::Relaxed);
}

/// Until config.toml is read, the log goes to syslog.
static DESTINATION: AtomicU8 = AtomicU8::new(LogDestination::Syslog as u8);

fn goes_to(destination: LogDestination) -> bool {
    DESTINATION.load(Ordering::Relaxed) == destination as u8
}

/// Writes one line to the log. Errors are ignored and waits are short, so that a missing or stuck log does not hold up mail.
pub fn log(severity: Severity, line: &impl fmt::Display) {
    if goes_to(LogDestination::Syslog) {
        log_to_daemon(severity, line);
    } else if goes_to(LogDestination::Stderr) {
        log_to_stderr(&line.to_string());
    }
}

/// A longer line is cut: 4,096 bytes can be written to a pipe that is ready without blocking (`PIPE_BUF` of pipe(7)).
const LONGEST_LINE: usize = 4_000;

/// Writes one line to standard error, unless its reader is stuck. The signal mask is restored afterwards, because this process
/// may still exec the real sendmail.
fn log_to_stderr(line: &str) {
    let end = line.char_indices().map(|(at, _)| at).find(|at| *at >= LONGEST_LINE);
    let line = format!("{IDENT}: {}\n", line.get(..end.unwrap_or(line.len())).unwrap_or(line));
    let stderr = io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if !poll(&mut ready, PollTimeout::from(PATIENCE_MS)).is_ok_and(|count| count > 0) {
        return;
    }
    let pipe = SigSet::from(Signal::SIGPIPE);
    let Ok(before) = pipe.thread_swap_mask(SigmaskHow::SIG_BLOCK) else { return };
    let written = stderr.lock().write_all(line.as_bytes());
    let is_closed = written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if is_closed && !before.contains(Signal::SIGPIPE) {
        // The signal is pending for this thread, ignored or not.
        let _: Result<Signal, Errno> = pipe.wait();
    }
    let _: Result<(), Errno> = before.thread_set_mask();
}

/// Writes one line to syslog, facility mail. Waits briefly for a busy syslog daemon.
fn log_to_daemon(severity: Severity, line: &impl fmt::Display) {
    let priority = FACILITY_MAIL | severity as u32;
    let text = format!("<{priority}>{IDENT}[{}]: {line}", std::process::id());
    // Not syslog(3), which blocks while the daemon is stopped. The daemon adds the time of day itself.
    let sent = UnixDatagram::unbound().and_then(|socket| {
        let address = UnixAddr::new(DEV_LOG)?;
        match sendto(socket.as_raw_fd(), text.as_bytes(), &address, FLAGS) {
            Err(Errno::EAGAIN) => {
                socket.set_write_timeout(Some(PATIENCE))?;
                socket.send_to(text.as_bytes(), DEV_LOG)
            }
            sent => Ok(sent?),
        }
    });
    if sent.is_err_and(|error| error.raw_os_error() == Some(WRONG_TYPE)) {
        let _: Result<(), Errno> = log_to_stream(&format!("{text}\0"));
    }
}

/// Writes one line, ended by a NUL, to a daemon that listens on a stream. If the daemon is stopped and its backlog is full, the
/// wait is as short as for a busy daemon.
fn log_to_stream(line: &str) -> Result<(), Errno> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let patience = TimeVal::milliseconds(PATIENCE_MS.into());
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(DEV_LOG)?)?;
    send(socket.as_raw_fd(), line.as_bytes(), MsgFlags::MSG_NOSIGNAL)?;
    Ok(())
}

/// Flags so that the call neither blocks nor raises SIGPIPE.
const FLAGS: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);

const DEV_LOG: &str = "/dev/log";

/// The queue of the socket holds ten lines (`net.unix.max_dgram_qlen`). Many submitters at once fill it for some milliseconds.
const PATIENCE: Duration = Duration::from_millis(PATIENCE_MS as u64);
const PATIENCE_MS: u8 = 100;
const WRONG_TYPE: i32 = Errno::EPROTOTYPE as i32;

/// Reports a failure of the wrapper itself: a line on standard error in Postfix's format, a line in the log, and the exit code
/// for "not accepted".
pub fn fatal(error: &dyn Error) -> Code {
    let line = format!("fatal: {}", chain(error));
    if !goes_to(LogDestination::Stderr) {
        log(Severity::Error, &line);
    }
    complain(&line)
}

/// Writes one line to standard error. The exit code is the same if the caller has closed it.
pub fn complain(line: &str) -> Code {
    // SIGPIPE may not be blocked yet. It may stay blocked, because the process only exits after this.
    let _: Result<(), Errno> = SigSet::from(Signal::SIGPIPE).thread_block();
    let line = format!("sendmail.dkim: {line}\n");
    drop(io::stderr().lock().write_all(line.as_bytes()));
    Code::TEMP_FAIL
}

/// An error and its causes, joined by `: `.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&plain(error));
        cause = error.source();
    }
    text
}

/// An error message for people: errors of system calls have neither a number nor the name of an errno.
#[must_use]
pub fn plain(error: &(dyn Error + 'static)) -> String {
    let of_io = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    let errno = error.downcast_ref::<Errno>().copied().or(of_io.map(Errno::from_raw));
    let Some(errno) = errno else { return error.to_string() };
    let mut text = errno.desc().to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_system_has_neither_number_nor_name() {
        let denied = io::Error::from_raw_os_error(Errno::EACCES as i32);
        assert_eq!(plain(&denied), "permission denied");
        assert_eq!(plain(&Errno::ENOENT), "no such file or directory");
        assert_eq!(plain(&io::Error::other("larger than 10 bytes")), "larger than 10 bytes");
    }

    fn entry<'a>() -> Entry<'a> {
        Entry {
            uid: 33,
            author: Some("a@sample.com"),
            reason: Some("no domain file"),
            ..Entry::default()
        }
    }

    #[test]
    fn an_unsigned_message_says_why() {
        let line = entry().to_string();
        assert_eq!(line, "uid=33 author=<a@sample.com> result=unsigned reason=\"no domain file\"");
    }

    #[test]
    fn a_signed_message_names_domain_and_selectors() {
        let domain = Domain::parse("sample.com").unwrap();
        let selectors = ["a", "b"].map(|text| Selector::parse(text).unwrap());
        let line = Entry {
            domain: Some(&domain),
            selectors: &selectors,
            outcome: Outcome::Signed,
            reason: None,
            ..entry()
        };
        assert_eq!(
            line.to_string(),
            "uid=33 author=<a@sample.com> d=sample.com s=a,b result=signed"
        );
    }

    #[test]
    fn a_line_says_what_was_submitted() {
        let line = Entry {
            envelope: Some(b"<bounce@sample.com>"),
            message_id: Some(" <1 2@sample.com>\n"),
            size: Some(812),
            time: Some(Duration::from_micros(4_900)),
            ..entry()
        };
        let expected = "uid=33 envelope=<bounce@sample.com> message-id=<1\\u{20}2@sample.com> size=812 \
                        time=4 author=<a@sample.com> result=unsigned reason=\"no domain file\"";
        assert_eq!(line.to_string(), expected);
        // The null sender.
        for null in ["", "<>"] {
            let line = Entry { envelope: Some(null.as_bytes()), ..entry() }.to_string();
            assert!(line.contains(" envelope=<> "), "{line}");
        }
    }

    #[test]
    fn a_client_by_smtp_is_named() {
        let client = Client {
            login: Some("a> result=signed".into()),
            address: "192.0.2.1".parse().ok(),
            is_local: false,
        };
        let line =
            Entry { client: Some(&client), author: None, reason: None, ..entry() }.to_string();
        assert_eq!(
            line,
            "uid=33 client=192.0.2.1 login=<a\\u{3e}\\u{20}result=signed> result=unsigned"
        );
    }

    #[test]
    fn control_characters_are_escaped_and_long_addresses_cut() {
        let line = Entry { author: Some("a\nb\u{202e}\0@x"), ..entry() }.to_string();
        assert!(line.contains("author=<a\\nb\\u{202e}\\0@x>"), "{line}");
        // Text that looks like the end of the address and like other parts of the line stays inside the address.
        let odd = "\"> result=signed d=x <\"@x";
        let line = Entry { author: Some(odd), ..entry() }.to_string();
        assert!(
            line.starts_with("uid=33 author=<\\\"\\u{3e}\\u{20}result=signed\\u{20}d=x"),
            "{line}"
        );
        assert_eq!(line.split(' ').filter(|word| word.starts_with("result=")).count(), 1);
        let long = "x".repeat(1_000);
        let line = Entry { author: Some(&long), ..entry() }.to_string();
        assert!(line.len() < 400);
    }

    #[test]
    fn the_documents_say_how_long_the_log_may_hold_mail_up() {
        let most = format!("{} ms", PATIENCE.as_millis());
        for (document, text) in [
            ("docs/faq.md", format!("delays a message by {most} at most")),
            ("packaging/man/sendmail-dkim.toml.5", format!("not ready within {most}.")),
        ] {
            crate::assert_documented(document, &text);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        for char in ["x", "ü", "\u{202e}", "\""] {
            let reason = char.repeat(100_000);
            let line = Entry { reason: Some(&reason), ..entry() }.to_string();
            assert!(line.len() < 9_000 && line.ends_with('"'), "{char:?}: {}", line.len());
        }
    }
}
