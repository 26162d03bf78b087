//! Where key records come from: the DNS, a folder of keys, or a file.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::admin::dns::{Answer, Dns, Found, Txt};
use crate::admin::input;
use crate::dkim::{Domain, Lookup, Record, Selector, SigningKey};

/// Where key records come from.
#[derive(Debug)]
pub(in crate::admin) enum Source {
    /// The DNS.
    Dns(Dns),
    /// A folder of keys and records.
    Keys(PathBuf),
    /// One for all.
    Record(Vec<u8>),
}

/// The records of one message, each looked up once.
pub(super) struct Records<'a> {
    source: &'a Source,
    known: HashMap<(Domain, Selector), Lookup>,
}

impl<'a> Records<'a> {
    pub(super) fn of(source: &'a Source) -> Self {
        Self { source, known: HashMap::new() }
    }

    pub(super) fn find(&mut self, domain: &Domain, selector: &Selector) -> Lookup {
        let key = (domain.clone(), selector.clone());
        self.known.entry(key).or_insert_with(|| self.source.find(domain, selector)).clone()
    }
}

impl Source {
    fn find(&self, domain: &Domain, selector: &Selector) -> Lookup {
        match self {
            Self::Record(text) => Lookup::Found(text.clone()),
            Self::Keys(folder) => in_folder(&folder.join(domain.as_str()), selector),
            Self::Dns(dns) => published(dns.txt(&format!("{selector}._domainkey.{domain}"))),
        }
    }
}

/// Of several records, which there should not be, the first that is one of a key (§3.6.2.2).
fn published(answer: Answer) -> Lookup {
    match answer.found {
        Found::Records(records) => {
            let texts: Vec<Vec<u8>> = records.iter().map(Txt::joined).collect();
            let first = texts.iter().find(|text| Record::parse(text).is_ok()).or(texts.first());
            first.map_or(Lookup::NotFound, |text| Lookup::Found(text.clone()))
        }
        Found::NoRecords | Found::NoName => Lookup::NotFound,
        Found::Unknown(trouble) => Lookup::Failed(trouble.to_string()),
    }
}

fn in_folder(folder: &Path, selector: &Selector) -> Lookup {
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        Lookup::Failed(format!("{}: {error}", path.display()))
    };
    let public = folder.join(format!("{selector}.txt"));
    match input::read(&public, input::CONFIGURATION) {
        Ok(text) => return Lookup::Found(record_text(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return failed(&public, &error),
    }
    let private = folder.join(format!("{selector}.private"));
    let pem = match input::key(&private) {
        Ok(pem) => pem,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Lookup::NotFound,
        Err(error) => return failed(&private, &error),
    };
    let text = SigningKey::from_pem(pem, 1024).and_then(|key| Record::new(key.public()).text());
    text.map_or_else(|error| failed(&private, &error), |text| Lookup::Found(text.into_bytes()))
}

/// The record in a file: the strings of a zone entry joined (RFC 1035 §5.1), or all of the text.
pub(in crate::admin) fn record_text(text: &[u8]) -> Vec<u8> {
    let text = text.trim_ascii();
    // Quotes in it, as those of n="...", are its own.
    if text.starts_with(b"v=") {
        return text.to_vec();
    }
    let mut record = Vec::new();
    let (mut inside, mut escaped, mut comment) = (false, false, false);
    for octet in text {
        match octet {
            _ if comment => comment = *octet != b'\n',
            _ if escaped => {
                escaped = false;
                record.push(*octet);
            }
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b';' if !inside && !record.is_empty() => break,
            // It may hold quotes of its own.
            b';' if !inside => comment = true,
            octet if inside => record.push(*octet),
            _ => {}
        }
    }
    if record.is_empty() { text.to_vec() } else { record }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strings_of_a_zone_entry_are_joined() {
        let entry = b"s._domainkey.x.\tIN\tTXT\t( \"v=DKIM1; n=\\\"a; b\\\"; \"\n\t  \"p=AB\"\n\t  \"CD\" )  ; \"c\"\n";
        assert_eq!(record_text(entry), b"v=DKIM1; n=\"a; b\"; p=ABCD");
    }

    #[test]
    fn a_bare_record_is_taken_as_it_is() {
        assert_eq!(record_text(b" v=DKIM1; p=AB\n"), b"v=DKIM1; p=AB");
        assert_eq!(record_text(b"k=rsa; p=AB\n"), b"k=rsa; p=AB");
        let note = b"v=DKIM1; n=\"a note\"; p=AB";
        assert_eq!(record_text(note), note);
    }

    #[test]
    fn quotes_in_a_comment_are_no_strings() {
        let entry = b"; the \"first\"\n;\ns._domainkey IN TXT \"v=DKIM1; \" \"p=AB\" ; \"last\"\n";
        assert_eq!(record_text(entry), b"v=DKIM1; p=AB");
    }
}
