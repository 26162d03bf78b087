//! A record is the same when its text is read again: that of a record that was read, of one that was made, and of the
//! strings of a zone file.
#![no_main]

use sendmail_dkim::dkim::record::Owner;
use sendmail_dkim::dkim::{Domain, PublicKey, Record, Selector, SigningKey, Terms};

fn check(record: &Record) {
    let text = record.text().expect("a text");
    assert_eq!(Record::parse(text.as_bytes()).as_ref(), Ok(record), "{text}");
}

/// The text in quotes, as a name server reads it.
fn strings(entry: &str) -> String {
    let mut text = String::new();
    let mut chars = entry.chars();
    let mut is_inside = false;
    while let Some(char) = chars.next() {
        match char {
            '"' => is_inside = !is_inside,
            ';' if !is_inside => break,
            '\\' if is_inside => text.extend(chars.next()),
            char if is_inside => text.push(char),
            _ => {}
        }
    }
    assert!(!is_inside);
    text
}

/// The key of RFC 8463, appendix A, or the one of RFC 6376, appendix C.
fn key(is_rsa: bool) -> PublicKey {
    let pem = if is_rsa {
        include_str!("../../vectors/rfc6376-c.private")
    } else {
        include_str!("../../vectors/rfc8463-a-brisbane.private")
    };
    SigningKey::from_pem(pem, 1024).expect("a key").public()
}

/// A record with what the input says.
fn made(input: &[u8]) -> Option<Record> {
    let (flags, text) = input.split_first()?;
    let (note, hashes) = std::str::from_utf8(text).ok()?.split_once('\n')?;
    let mut terms = Terms::default();
    (terms.testing, terms.strict, terms.email) = (flags & 1 > 0, flags & 2 > 0, flags & 4 > 0);
    let terms = terms.with_note(note).ok()?;
    let terms = if flags & 8 > 0 { terms.with_hashes(hashes).ok()? } else { terms };
    Some(Record::new(key(flags & 16 > 0)).with_terms(terms))
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Ok(record) = Record::parse(input) {
        check(&record);
    }
    if let Some(record) = made(input) {
        check(&record);
        let selector = Selector::parse("sel1").expect("a selector");
        let domain = Domain::parse("sample.com").expect("a domain");
        let entry = record.zone_entry(&selector, &domain, Owner::Absolute).expect("an entry");
        assert!(entry.starts_with("sel1._domainkey.sample.com.\tIN\tTXT\t("));
        assert_eq!(strings(&entry), record.text().expect("a text"));
    }
});
