//! Verifies the signatures of a message with records from DNS, a folder of keys or a file.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::dns::{Answer, Dns, Found};
use super::input;
use super::output::Progress;
use super::parallel;
use super::store::keys::KeyFiles;
use super::store::time::UtcTime;
use crate::dkim::verify::signers;
use crate::dkim::{
    Domain, Header, Lookup, NotAHeader, Record, Selector, Timestamp, Verdict, verify,
};
use crate::report;

/// Where key records come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The DNS.
    Dns(Dns),
    /// A folder of keys and records.
    Keys(PathBuf),
    /// The same record for all signatures.
    Record(Vec<u8>),
}

/// A message and the verdicts on its signatures.
#[derive(Debug)]
pub(super) struct Verified<'a> {
    pub(super) header: Header,
    pub(super) body: &'a [u8],
    pub(super) now: Timestamp,
    /// From the top of the header downwards.
    pub(super) verdicts: Vec<Verdict>,
    /// Each record is looked up once.
    records: HashMap<(Domain, Selector), Lookup>,
}

impl<'a> Verified<'a> {
    /// Verifies all signatures of a message against the records that `find` has.
    ///
    /// # Errors
    ///
    /// A line of the header belongs to no field.
    pub(super) fn new(
        message: &'a [u8],
        find: impl Fn(&[(Domain, Selector)]) -> Vec<Lookup>,
    ) -> Result<Self, NotAHeader> {
        let (header, body) = split(message)?;
        let signers: HashSet<_> = signers(&header).collect();
        let signers: Vec<_> = signers.into_iter().collect();
        let found = find(&signers);
        let records: HashMap<_, _> = signers.into_iter().zip(found).collect();
        let now = Timestamp(UtcTime::now().0);
        let verdicts = verify(&header, body, now, &mut |domain, selector| {
            let key = (domain.clone(), selector.clone());
            records.get(&key).cloned().unwrap_or(Lookup::NotFound)
        });
        Ok(Self { header, body, now, verdicts, records })
    }

    /// The text of the record of a signature, where there is one.
    pub(super) fn record(&self, verdict: &Verdict) -> Option<&[u8]> {
        let key = (verdict.domain.clone()?, verdict.selector.clone()?);
        match self.records.get(&key)? {
            Lookup::Found(text) => Some(text),
            Lookup::NotFound | Lookup::Failed(_) => None,
        }
    }
}

/// `d=sample.com s=s1 pass`, or the reason for the failure.
pub(super) fn line(verdict: &Verdict) -> String {
    let mut line = String::new();
    if let (Some(domain), Some(selector)) = (&verdict.domain, &verdict.selector) {
        line = format!("d={domain} s={selector} ");
    }
    match &verdict.result {
        Ok(()) => line.push_str("pass"),
        Err(fault) => line.push_str(&format!("fail: {}", report::chain(fault))),
    }
    line
}

impl Source {
    /// Verifies all signatures of a message.
    ///
    /// # Errors
    ///
    /// A line of the header belongs to no field.
    pub(super) fn verify<'a>(&self, message: &'a [u8]) -> Result<Verified<'a>, NotAHeader> {
        let find = |(domain, selector): &(Domain, Selector)| self.find(domain, selector);
        Verified::new(message, |signers| {
            parallel::all(signers, parallel::WAITING, Progress::of("records looked up"), find)
        })
    }

    fn find(&self, domain: &Domain, selector: &Selector) -> Lookup {
        match self {
            Self::Record(text) => Lookup::Found(text.clone()),
            Self::Keys(folder) => in_folder(&folder.join(domain.as_str()), selector),
            Self::Dns(dns) => published(dns.txt(&selector.record_name(domain))),
        }
    }
}

/// If there are several records, which is an error, the first key record is used (§3.6.2.2).
pub(super) fn published(answer: Answer) -> Lookup {
    match answer.found {
        Found::Records(records) => {
            let first = records.iter().find(|text| Record::parse(text).is_ok()).or(records.first());
            first.map_or(Lookup::NotFound, |text| Lookup::Found(text.clone()))
        }
        Found::NoRecords | Found::NoName => Lookup::NotFound,
        Found::Unknown(error) => Lookup::Failed(error.to_string()),
    }
}

fn in_folder(folder: &Path, selector: &Selector) -> Lookup {
    let files = KeyFiles::within(folder, selector);
    match input::read(&files.record, input::CONFIGURATION) {
        Ok(text) => Lookup::Found(Record::text_in(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => of_key(&files),
        Err(error) => {
            Lookup::Failed(format!("{}: {}", files.record.display(), report::plain(&error)))
        }
    }
}

/// The record that a key file should have.
pub(super) fn of_key(files: &KeyFiles) -> Lookup {
    let failed = |error: &dyn std::fmt::Display| {
        Lookup::Failed(format!("{}: {error}", files.private.display()))
    };
    match files.public() {
        Ok(key) => Record::new(key)
            .text()
            .map_or_else(|error| failed(&error), |text| Lookup::Found(text.into_bytes())),
        Err(error) if error.is_missing() => Lookup::NotFound,
        Err(error) => failed(&error),
    }
}

/// Header and body of a message; its lines end in CRLF or LF. The mbox `From ` line before a message is skipped.
///
/// # Errors
///
/// A line of the header belongs to no field.
pub(super) fn split(message: &[u8]) -> Result<(Header, &[u8]), NotAHeader> {
    let message = match message.strip_prefix(b"From ") {
        Some(rest) => rest.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default(),
        None => message,
    };
    let lines = message.split_inclusive(|byte| *byte == b'\n');
    let header = lines.take_while(|line| !matches!(*line, b"\n" | b"\r\n"));
    let length = header.map(<[u8]>::len).sum();
    let (header, body) = message.split_at_checked(length).unwrap_or_default();
    let body = body.strip_prefix(b"\r\n").or_else(|| body.strip_prefix(b"\n")).unwrap_or(body);
    Ok((Header::parse(header)?, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::dns::LookupError;
    use crate::admin::temporary::Temporary;
    use crate::dkim::PublicKey;

    const KEY: &str = include_str!("../../tests/vectors/rfc6376-c.private");

    fn own_key() -> PublicKey {
        PublicKey::of_private_pem(KEY).unwrap()
    }

    fn parts(message: &[u8]) -> (Vec<u8>, &[u8]) {
        let (header, body) = split(message).unwrap();
        (header.bytes(), body)
    }

    #[test]
    fn the_header_ends_at_the_first_empty_line() {
        assert_eq!(parts(b"A: b\n\nc\n\nd"), (b"A: b\n".to_vec(), b"c\n\nd".as_slice()));
        assert_eq!(parts(b"A: b\r\n\r\nc\r\n"), (b"A: b\r\n".to_vec(), b"c\r\n".as_slice()));
        assert_eq!(parts(b"A: b\r\n c\r\n"), (b"A: b\r\n c\r\n".to_vec(), b"".as_slice()));
        assert_eq!(parts(b"\nA: b\n"), (vec![], b"A: b\n".as_slice()));
    }

    #[test]
    fn rfc6376_3_4_a_cr_that_ends_no_line_is_text() {
        let message = b"A: b\r\r\n\r\nc\r\r\n\r\r\nd\r\n";
        assert_eq!(parts(message), (b"A: b\r\r\n".to_vec(), b"c\r\r\n\r\r\nd\r\n".as_slice()));
    }

    #[test]
    fn lone_dots_and_lines_that_look_like_an_envelope_are_text() {
        assert_eq!(parts(b"A: b\n\n.\nFrom c\n"), (b"A: b\n".to_vec(), b".\nFrom c\n".as_slice()));
    }

    #[test]
    fn the_from_line_of_an_mbox_is_not_part_of_the_message() {
        assert_eq!(parts(b"From a Mon Jan  1\nA: b\n\nc"), (b"A: b\n".to_vec(), b"c".as_slice()));
    }

    #[test]
    fn of_several_records_the_first_key_record_counts() {
        let lookup =
            |found: Found| published(Answer { aliases: Vec::new(), authenticated: false, found });
        let key = Record::new(own_key()).text().unwrap().into_bytes();
        let other = b"v=spf1 -all".to_vec();
        let found = |text: &Vec<u8>| Lookup::Found(text.clone());
        for (records, expected) in [
            (vec![other.clone(), key.clone()], found(&key)),
            (vec![key.clone(), other.clone()], found(&key)),
            (vec![other.clone()], found(&other)),
        ] {
            assert_eq!(lookup(Found::Records(records)), expected);
        }
        assert_eq!(lookup(Found::NoName), Lookup::NotFound);
        assert_eq!(lookup(Found::NoRecords), Lookup::NotFound);
        let failed = lookup(Found::Unknown(LookupError::Late));
        assert!(matches!(failed, Lookup::Failed(_)), "{failed:?}");
    }

    #[test]
    fn the_record_file_of_a_key_precedes_the_key() {
        let folder = Temporary::new("signatures").unwrap();
        let selector = Selector::parse("s1").unwrap();
        let found = || in_folder(&folder.path, &selector);
        assert_eq!(found(), Lookup::NotFound);
        std::fs::write(folder.path.join("s1.private"), "no key\n").unwrap();
        assert!(matches!(found(), Lookup::Failed(_)));
        std::fs::write(folder.path.join("s1.private"), KEY).unwrap();
        let text = Record::new(own_key()).text().unwrap();
        assert_eq!(found(), Lookup::Found(text.into_bytes()));
        let revoked = "s1._domainkey IN TXT ( \"v=DKIM1; \" \"p=\" )\n";
        std::fs::write(folder.path.join("s1.txt"), revoked).unwrap();
        assert_eq!(found(), Lookup::Found(b"v=DKIM1; p=".to_vec()));
        // What is there and cannot be read is not an absent record.
        std::fs::remove_file(folder.path.join("s1.txt")).unwrap();
        std::fs::create_dir(folder.path.join("s1.txt")).unwrap();
        assert!(matches!(found(), Lookup::Failed(_)));
    }

    #[test]
    fn a_line_that_is_not_a_field_is_an_error() {
        assert!(split(b"A: b\nc\n\nd").is_err());
    }
}
