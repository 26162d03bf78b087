//! Reads recent problems from the mail log: lines that Postfix broke on the way out, and keys that the wrapper could not open in
//! some service.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::finding::{Finding, Severity};
use crate::admin::input;
use crate::admin::postconf::Postfix;

/// Where syslog daemons write facility mail: Enterprise Linux, Debian.
pub(crate) const FILES: [&str; 2] = ["/var/log/maillog", "/var/log/mail.log"];

/// How many bytes at the end of a log are read.
const TAIL: u64 = 4 << 20;

/// The text to search for, its meaning, and what to do.
const SIGNS: [(&str, &str, &str); 3] = [
    (
        "breaking line > ",
        "Postfix broke a line of a message, which breaks any signature of the message",
        "run dkimctl explain on such a message; seven_bit keeps lines short in mail that is signed here",
    ),
    (
        "the set-gid bit was ignored or is not there",
        "a message was sent unsigned",
        "check the unit or the mount that this user sends from",
    ),
    (
        "@localhost",
        "a program sends mail From localhost, a domain that no key can be published for",
        "set a From in that program; for bare addresses set `origin` in config.toml",
    ),
];

/// The last line of each kind. The cause may be fixed by now, so the severity is only info.
pub(crate) fn findings(postfix: Option<&Postfix>) -> Vec<Finding> {
    let own = postfix.map_or("", |postfix| postfix.view().value("maillog_file"));
    let files = FILES.into_iter().chain([own]).filter(|file| file.starts_with('/'));
    files.flat_map(|file| signs(file, &tail(Path::new(file)).unwrap_or_default())).collect()
}

/// The last line of a signed message. An error if no log could be read.
pub(crate) fn last_signed() -> Result<Option<String>, String> {
    let mut is_read = false;
    for file in FILES {
        let Ok(text) = tail(Path::new(file)) else { continue };
        is_read = true;
        let is_one =
            |line: &&str| line.contains("sendmail-dkim[") && line.contains(" result=signed");
        if let Some(line) = text.lines().rev().find(is_one) {
            return Ok(Some(line.trim().to_owned()));
        }
    }
    if is_read { Ok(None) } else { Err(format!("none of {} can be read", FILES.join(", "))) }
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = input::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn signs(file: &str, text: &str) -> Vec<Finding> {
    let found = SIGNS.iter().filter_map(|(sign, meaning, remedy)| {
        // In lines of other programs, localhost is a host name.
        let is_ours = |line: &&str| !sign.starts_with('@') || line.contains("sendmail-dkim[");
        let line = text.lines().rev().filter(is_ours).find(|line| line.contains(sign))?;
        let evidence = format!("{file}: {}: {meaning}", line.trim());
        Some(Finding::new(Severity::Info, "log", evidence, *remedy))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_kind_is_the_evidence() {
        let text = "Nov 1 h postfix/smtp[1]: A: breaking line > 998 bytes with <CR><LF>SPACE\n\
            Nov 2 h postfix/smtp[2]: B: breaking line > 998 bytes with <CR><LF>SPACE\nNov 3 else\n";
        let found = signs("/log", text);
        assert_eq!(found.len(), 1);
        assert!(found[0].evidence.starts_with("/log: Nov 2 h postfix/smtp[2]: B: "), "{found:?}");
        assert!(signs("/log", "Nov 1 h postfix/qmgr[1]: nothing from=<a@localhost>\n").is_empty());
        let ours = "Nov 1 h sendmail-dkim[1]: uid=0 author=<root@localhost> result=unsigned\n";
        assert!(signs("/log", ours)[0].evidence.contains("From localhost"));
    }
}
