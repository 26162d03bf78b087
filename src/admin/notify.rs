//! Sends mail from `dkimctl` to the administrator with the active sendmail of this host.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::cli::Opt;
use super::input;
use super::output::Failure;
use crate::report::plain;

pub(super) const MAIL: Opt = Opt("--mail ADDRESS", "mail what is new to this address");

const SENDMAIL: &str = "/usr/sbin/sendmail";

/// The first label of the name of this host, or the whole name if it has no dot.
pub(super) fn host_name() -> String {
    let name = input::text(Path::new("/proc/sys/kernel/hostname"), input::CONFIGURATION);
    name.unwrap_or_default().trim().to_owned()
}

/// Checks an address for use on a command line and in a header field. Aliases of this host have no domain.
///
/// # Errors
/// It is not safe in one of them.
pub(super) fn address(text: &str) -> Result<String, &'static str> {
    let is_plain =
        |char: char| char.is_ascii_alphanumeric() || "@.!#$%&'*+/=?^_`{|}~-".contains(char);
    let is_usable = !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain);
    is_usable.then(|| text.to_owned()).ok_or("expected an address without a display name")
}

/// Mails a text of ASCII or UTF-8.
///
/// # Errors
/// There is no sendmail, or it does not accept the message.
pub(super) fn mail(address: &str, subject: &str, text: &str) -> Result<(), Failure> {
    let failed = |why: String| Failure::system(format_args!("cannot mail to {address}: {why}"));
    let message = format!(
        "To: {address}\nSubject: {subject}\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{text}"
    );
    let child = Command::new(SENDMAIL)
        .args(["-i", "--", address])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| failed(format!("{SENDMAIL}: {}", plain(&error))))?;
    // A sendmail that does not read the message reports the reason.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(message.as_bytes()));
    let output = child.wait_with_output().map_err(|error| failed(plain(&error)))?;
    if output.status.success() && written.is_some_and(|written| written.is_ok()) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(failed(format!("{SENDMAIL} failed: {} {said}", output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_word_and_no_option() {
        for text in ["root", "a.b+c@x.example"] {
            assert_eq!(address(text).as_deref(), Ok(text));
        }
        for text in ["", "-t", "a b", "a\nBcc: x@y", "<a@b>", "a,b"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
