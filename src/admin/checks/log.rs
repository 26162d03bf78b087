//! Reads recent problems from the mail log: lines that Postfix broke on the way out, and keys that the wrapper could not open in
//! some service.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::finding::{Finding, Severity};
use crate::admin::input;
use crate::admin::log_line::{self, Said};
use crate::admin::postconf::Postfix;

/// Where syslog daemons write facility mail: Enterprise Linux, Debian.
pub(crate) const FILES: [&str; 2] = ["/var/log/maillog", "/var/log/mail.log"];

/// How many bytes at the end of a log are read.
const TAIL: u64 = 4 << 20;

/// The text to search for, its meaning, and what to do.
const SIGNS: [(&str, &str, &str); 2] = [
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
];

/// The domains that no key can be published for.
const LOCAL: [&str; 2] = ["localhost", "localhost.localdomain"];

/// The last line of each kind. The cause may be fixed by now, so the severity is only info.
pub(crate) fn findings(postfix: Option<&Postfix>) -> Vec<Finding> {
    files(postfix)
        .flat_map(|file| signs(file, &tail(Path::new(file)).unwrap_or_default()))
        .collect()
}

/// The logs that are read: those of syslog daemons, and that of postlogd(8), once if they are the same.
fn files(postfix: Option<&Postfix>) -> impl Iterator<Item = &str> {
    let own = postfix.map_or("", |postfix| postfix.view().value("maillog_file"));
    let is_another = own.starts_with('/') && !FILES.contains(&own);
    FILES.into_iter().chain(is_another.then_some(own))
}

/// The last line of a signed message. An error if no log can be read, or none has such a line.
pub(crate) fn last_signed() -> Result<String, String> {
    let mut is_read = false;
    for file in FILES {
        let Ok(text) = tail(Path::new(file)) else { continue };
        is_read = true;
        let is_signed = |line: &&str| {
            let said = log_line::parse(line);
            matches!(said, Some((_, Said::Message(entry))) if entry.result == "signed")
        };
        if let Some(line) = text.lines().rev().find(is_signed) {
            return Ok(line.trim().to_owned());
        }
    }
    if is_read {
        return Err("no signed message in the log".to_owned());
    }
    Err(format!(
        "not known: cannot read {}; see dkimctl log, which reads the journal",
        FILES.join(" or ")
    ))
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
    let last = |is_meant: &dyn Fn(&str) -> bool| text.lines().rev().find(|line| is_meant(line));
    let finding = |line: &str, meaning: &str, remedy: &str| {
        let evidence = format!("{file}: {}: {meaning}", line.trim());
        Finding::new(Severity::Info, "log", evidence, remedy).about(file)
    };
    let of_text = SIGNS.iter().filter_map(|(sign, meaning, remedy)| {
        Some(finding(last(&|line| line.contains(sign))?, meaning, remedy))
    });
    let is_local = |line: &str| match log_line::parse(line) {
        Some((_, Said::Message(entry))) => LOCAL.contains(&entry.about()),
        _ => false,
    };
    let of_author = last(&is_local).map(|line| {
        finding(
            line,
            "a program sends mail From localhost, a domain that no key can be published for",
            "set a From in that program; for bare addresses set `origin` in config.toml",
        )
    });
    of_text.chain(of_author).collect()
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
        for domain in ["localhost", "localhost.localdomain"] {
            let ours = format!(
                "Nov  1 08:00:00 h sendmail-dkim[1]: uid=0 author=<root@{domain}> result=unsigned\n"
            );
            assert!(signs("/log", &ours)[0].evidence.contains("From localhost"), "{domain}");
        }
        let closed = "Nov 1 h sendmail-dkim[1]: uid=33 result=unsigned reason=\"cannot open key: the set-gid bit was ignored or is not there\"\n";
        assert!(signs("/log", closed)[0].remedy.starts_with("check the unit or the mount"));
    }

    #[test]
    fn each_log_is_read_once() {
        let files = |own: &str| {
            let postfix = Postfix::of(&format!("maillog_file = {own}\n"), "", "");
            files(Some(&postfix)).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(files("/var/log/postfix.log"), [FILES[0], FILES[1], "/var/log/postfix.log"]);
        for own in ["", FILES[0], FILES[1]] {
            assert_eq!(files(own), FILES, "{own}");
        }
    }

    #[test]
    fn of_a_large_log_the_end_is_read() {
        let folder = crate::admin::temporary::Temporary::new("checks-log").unwrap();
        let path = folder.path.join("log");
        let rest = "x\n".repeat(usize::try_from(TAIL / 2).unwrap());
        std::fs::write(&path, format!("first\n{rest}last\n")).unwrap();
        let text = tail(&path).unwrap();
        assert!(text.len() as u64 == TAIL && text.ends_with("\nlast\n"), "{}", text.len());
    }
}
