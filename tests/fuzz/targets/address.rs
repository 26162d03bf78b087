//! What was fixed has nothing left to fix, and holds the same addresses, each of them complete.
#![no_main]

use sendmail_dkim::dkim::Domain;
use sendmail_dkim::message::address::{Phrases, addresses, fixed};
use sendmail_dkim_fuzz::completion;

type Texts = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The addresses. `None` where they are not certain.
fn texts(value: &[u8]) -> Option<Texts> {
    let list = addresses(value).ok()?;
    list.iter().map(|address| Some(address.ok()?.text(value))).collect()
}

fn unquoted(local: &[u8]) -> &[u8] {
    let inner = local.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    // An empty one stays, or it would be no address at all.
    inner.filter(|inner| !inner.is_empty()).unwrap_or(local)
}

/// What an address becomes on a host that completes it.
fn completed((local, domain): &(Vec<u8>, Option<Vec<u8>>)) -> (Vec<u8>, Vec<u8>) {
    let (local, mut domain) = match domain {
        Some(domain) => (local.clone(), domain.clone()),
        None if local.is_empty() => return (Vec::new(), Vec::new()),
        None if local.starts_with(b"\"") => (local.clone(), b"origin.example".to_vec()),
        None => match local.iter().position(|byte| *byte == b'!') {
            Some(at) => (local[at + 1..].to_vec(), local[..at].to_vec()),
            None => match local.iter().rposition(|byte| *byte == b'%') {
                Some(at) => (local[..at].to_vec(), local[at + 1..].to_vec()),
                None => (local.clone(), b"origin.example".to_vec()),
            },
        },
    };
    // A domain that is not ASCII gets A-labels, where the local part is.
    if local.is_ascii()
        && !domain.is_ascii()
        && let Ok(text) = std::str::from_utf8(&domain)
        && let Ok(labels) = Domain::parse(text.strip_suffix('.').unwrap_or(text))
    {
        domain = labels.as_str().as_bytes().to_vec();
    }
    if !domain.starts_with(b"[") {
        if domain.ends_with(b".") {
            domain.pop();
        }
        if !domain.contains(&b'.') {
            domain.extend(b".dot.example");
        }
    }
    (local, domain)
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let host = completion();
    for phrases in [Phrases::Keep, Phrases::Quote] {
        let (sent, is_fixed) = match fixed(input, &host, phrases) {
            Ok(None) => (input.to_vec(), false),
            Ok(Some(text)) => (text, true),
            Err(_) => continue,
        };
        let found = texts(&sent).expect("addresses that are certain");
        for (local, domain) in &found {
            assert!(domain.is_some() || local.is_empty(), "no domain: {}", sent.escape_ascii());
            // Without quotes it is a dot-atom (RFC 5322 §3.4.1).
            let mut atoms = local.split(|byte| *byte == b'.');
            let is_quoted = local.starts_with(b"\"") || domain.is_none();
            assert!(is_quoted || atoms.all(|atom| !atom.is_empty()), "{}", sent.escape_ascii());
        }
        if is_fixed {
            assert_ne!(sent, input);
            for look in [Phrases::Keep, phrases] {
                let again = fixed(&sent, &host, look);
                assert_eq!(again, Ok(None), "{}", sent.escape_ascii());
            }
        }
        // In quotes a comma or a colon is no longer between two addresses.
        if phrases == Phrases::Keep {
            let before = texts(input).expect("certain before");
            assert_eq!(before.len(), found.len(), "{}", sent.escape_ascii());
            for (one, (local, domain)) in before.iter().zip(found) {
                let shown = |part: &[u8]| part.escape_ascii().to_string();
                let (wanted_local, wanted_domain) = completed(one);
                assert_eq!(shown(unquoted(&wanted_local)), shown(unquoted(&local)));
                assert_eq!(shown(&wanted_domain), shown(&domain.unwrap_or_default()));
            }
        }
    }
});
