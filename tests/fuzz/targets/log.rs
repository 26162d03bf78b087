//! For any message, author and configuration file: the entry in the log is one line of a bounded length, without control
//! characters, and its parts can be separated.
#![no_main]

use sendmail_dkim::config::{DomainFile, Host, Signing};
use sendmail_dkim::dkim::{Domain, Header, Selector};
use sendmail_dkim::message::author::Author;
use sendmail_dkim::report::{Entry, Outcome, chain};

/// Bytes of an entry, which syslog daemons take in one piece. 320 characters of each of three addresses and 1,000 of a reason, of up to
/// ten bytes each once they are escaped, and the names of the signatures.
const MOST: usize = 24_000;

fn check(entry: &Entry<'_>) {
    let line = entry.to_string();
    assert!(line.len() <= MOST, "{} bytes", line.len());
    assert!(!line.contains(|char: char| char.is_control() || char == '\u{2028}'), "{line:?}");
    // A reason is the last part, and in quotes. Before it nothing holds a space that is not the end of a part.
    let (before, reason) = match line.split_once(" reason=\"") {
        Some((before, reason)) => (before, reason.strip_suffix('"')),
        None => (line.as_str(), None),
    };
    assert_eq!(reason.is_some(), entry.reason.is_some(), "{line}");
    if let Some(reason) = reason {
        // No quote inside that is not escaped.
        let mut chars = reason.chars();
        while let Some(char) = chars.next() {
            assert!(char != '"', "{line}");
            if char == '\\' {
                assert!(chars.next().is_some(), "{line}");
            }
        }
    }
    let mut parts = before.split(' ');
    assert_eq!(parts.next(), Some(format!("uid={}", entry.uid).as_str()), "{line}");
    for (name, is_there) in [
        ("envelope=<", entry.envelope.is_some()),
        ("message-id=<", entry.message_id.is_some()),
        ("author=<", entry.author.is_some()),
        ("d=", entry.domain.is_some()),
        ("s=", !entry.selectors.is_empty()),
        ("result=", true),
    ] {
        if is_there {
            assert!(parts.next().is_some_and(|part| part.starts_with(name)), "{line}");
        }
    }
    assert_eq!(parts.next(), None, "{line}");
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input).into_owned();
    let (first, rest) = text.split_once('\n').unwrap_or((&text, &text));
    let address = Header::parse(format!("From: {first}\n").as_bytes())
        .ok()
        .and_then(|header| Some(Author::of(&header).ok()?.address()));
    let domain = Domain::parse(first).ok();
    let selectors: Vec<Selector> =
        rest.split(' ').take(10).filter_map(|text| Selector::parse(text).ok()).collect();
    let wrong = Host::parse(rest).err().map(|error| chain(&error));
    let other = DomainFile::parse(rest, None, &Signing::default()).err().map(|error| chain(&error));
    let reasons = [None, Some(rest), wrong.as_deref(), other.as_deref()];
    let (envelope, message_id) = (rest.as_bytes().get(..rest.len() / 2), Some(rest));
    for (author, reason) in [address.as_deref(), Some(first), None].into_iter().zip(reasons) {
        for outcome in [Outcome::Signed, Outcome::Unsigned, Outcome::Refused] {
            for reason in [reason, other.as_deref()] {
                let (domain, selectors) = (domain.as_ref(), selectors.as_slice());
                check(&Entry {
                    uid: 33,
                    envelope: envelope.filter(|_| reason.is_none()),
                    message_id: message_id.filter(|_| reason.is_some()),
                    author,
                    domain,
                    selectors,
                    outcome,
                    reason,
                    ..Entry::default()
                });
            }
        }
    }
});
