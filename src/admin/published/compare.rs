//! Compares the records of a name with the key that they should hold. Pure.

use super::mistake::Mistake;
use super::repair::{is_base64, repair};
use crate::admin::checks::finding::Severity;
use crate::dkim::key::SMALLEST;
use crate::dkim::tag::{TagList, base64, is_fws, words};
use crate::dkim::{Domain, PublicKey, Record, RecordError, SigningKey};

/// The key that should be published, and how it is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    /// The key on disk.
    pub(crate) key: &'a PublicKey,
    /// The keys of other selectors on disk, by name.
    pub(crate) others: &'a [(String, PublicKey)],
    /// Whether signatures have an i= in a subdomain of d=.
    pub(crate) identity_below: bool,
    /// Whether mail From subdomains of d= is signed.
    pub(crate) subdomains: bool,
}

/// Finds the mistakes in the TXT records of a name. There is at least one record.
pub(crate) fn examine(records: &[Vec<u8>], expected: &Expected<'_>) -> Vec<Mistake> {
    let texts: Vec<String> =
        records.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect();
    match texts.as_slice() {
        [one] => examine_one(one, expected),
        several => {
            if let Some(pieces) = pieces(several, expected) {
                return vec![pieces];
            }
            let keys: Vec<&String> = several.iter().filter(|text| is_key_record(text)).collect();
            let mut found =
                vec![Mistake::SeveralRecords { count: several.len(), keys: keys.len() }];
            // If one record is correct, the others are the only mistake.
            let others = keys.iter().map(|text| examine_one(text, expected));
            let worst = |found: &Vec<Mistake>| found.iter().map(Mistake::severity).max();
            found.extend(others.min_by_key(worst).unwrap_or_default());
            found
        }
    }
}

/// Whether the records, joined in some order, are the expected record.
fn pieces(texts: &[String], expected: &Expected<'_>) -> Option<Mistake> {
    let is_whole = |(first, begin): (usize, &String)| {
        let others = || texts.iter().enumerate().filter(|(index, _)| *index != first);
        let forward: String = others().map(|(_, text)| text.as_str()).collect();
        let backward: String = others().rev().map(|(_, text)| text.as_str()).collect();
        [forward, backward].iter().any(|rest| {
            let (text, _) = repair(&format!("{begin}{rest}"));
            Record::parse(text.as_bytes()).is_ok_and(|record| record.key() == expected.key)
        })
    };
    let mut begins = texts.iter().enumerate().filter(|(_, text)| is_key_record(text));
    begins.any(is_whole).then_some(Mistake::Pieces(texts.len()))
}

/// Other kinds of records: how they begin, what they are, and where they belong.
const OTHERS: [(&str, &str, &str); 6] = [
    ("v=dmarc1", "a DMARC record", "_dmarc below the domain"),
    ("v=spf1", "an SPF record", "the domain itself"),
    ("v=tlsrptv1", "a TLS report record", "_smtp._tls below the domain"),
    ("v=stsv1", "an MTA-STS record", "_mta-sts below the domain"),
    ("v=bimi1", "a BIMI record", "default._bimi below the domain"),
    ("google-site-verification=", "a Google verification record", "the domain itself"),
];

/// Another kind of record.
fn misplaced(text: &str) -> Option<Mistake> {
    let text = trimmed(text).to_ascii_lowercase();
    let found = OTHERS.into_iter().find(|(begin, ..)| text.starts_with(begin));
    found.map(|(_, what, place)| Mistake::Misplaced { what, place })
}

/// A host name, as providers show it for a CNAME record.
fn target(text: &str) -> Option<Mistake> {
    let words: Vec<&str> = trimmed(text).split(is_fws).filter(|word| !word.is_empty()).collect();
    let name = match words.as_slice() {
        [name] => *name,
        [.., kind, name] if kind.eq_ignore_ascii_case("CNAME") => *name,
        _ => return None,
    };
    let is_name = name.contains('.') && Domain::parse(name.trim_end_matches('.')).is_ok();
    is_name.then(|| Mistake::Target(name.to_owned()))
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|char| is_fws(char) || char == '"')
}

/// Whether a record is a key record, or was meant to be.
pub(super) fn is_key_record(text: &str) -> bool {
    if misplaced(text).is_some() || target(text).is_some() {
        return false;
    }
    let has = |name: &str| {
        text.split(';').any(|spec| {
            let found = spec.split_once('=').map_or("", |(found, _)| found);
            trimmed(found).eq_ignore_ascii_case(name)
        })
    };
    let begins = |begin: &str| {
        trimmed(text).get(..begin.len()).is_some_and(|text| text.eq_ignore_ascii_case(begin))
    };
    let has_bare_key = || text.split(';').any(|spec| is_base64(trimmed(spec)));
    begins("v=DKIM") || begins("-----BEGIN ") || has("p") || has("k") || has_bare_key()
}

fn examine_one(text: &str, expected: &Expected<'_>) -> Vec<Mistake> {
    if !is_key_record(text) {
        let other = misplaced(text).or_else(|| target(text));
        return vec![other.unwrap_or_else(|| Mistake::NotAKey(text.chars().take(40).collect()))];
    }
    let (text, typos) = repair(text);
    let mut found: Vec<_> = typos.into_iter().map(Mistake::Typo).collect();
    let tags = match TagList::parse(text.as_bytes()) {
        Ok(tags) => tags,
        Err(error) => {
            // A mistake that was repaired may have caused this error.
            if found.is_empty() {
                found.push(Mistake::Unusable(RecordError::Syntax(error)));
            }
            return found;
        }
    };
    let before = found.len();
    restrictions(&tags, expected, &mut found);
    key(&tags, expected, &mut found);
    // Any other error that the verifier reports.
    if found.iter().skip(before).all(|mistake| mistake.severity() != Severity::Error)
        && let Err(error) = Record::parse(text.as_bytes())
    {
        found.push(Mistake::Unusable(error));
    }
    found
}

/// Mistakes in the restrictions of the record.
fn restrictions(tags: &TagList<'_>, expected: &Expected<'_>, found: &mut Vec<Mistake>) {
    let lists = |value: &str, wanted: &[&str]| words(value).any(|word| wanted.contains(&word));
    if let Some(value) = tags.get("h").filter(|value| !lists(value, &["sha256"])) {
        found.push(Mistake::Hash(value.to_owned()));
    }
    if let Some(value) = tags.get("s").filter(|value| !lists(value, &["*", "email"])) {
        found.push(Mistake::Service(value.to_owned()));
    }
    let flags = tags.get("t").unwrap_or_default();
    if lists(flags, &["y"]) {
        found.push(Mistake::Testing);
    }
    if lists(flags, &["s"]) {
        if expected.identity_below {
            found.push(Mistake::Strict);
        } else if expected.subdomains {
            found.push(Mistake::StrictAndSubdomains);
        }
    }
}

fn key(tags: &TagList<'_>, expected: &Expected<'_>, found: &mut Vec<Mistake>) {
    let is = expected.key.algorithm().key_type();
    let says = tags.get("k").unwrap_or("rsa");
    let Some(p) = tags.get("p") else { return found.push(Mistake::Unusable(RecordError::NoKey)) };
    if p.is_empty() {
        return found.push(Mistake::Revoked);
    }
    if says != is {
        return found.push(Mistake::KeyType { says: says.to_owned(), is });
    }
    let there: String = p.chars().filter(|char| !is_fws(*char)).collect();
    let Ok(wanted) = expected.key.to_base64() else { return };
    let bytes = base64(&there);
    let holds =
        bytes.as_ref().and_then(|bytes| PublicKey::from_bytes(expected.key.algorithm(), bytes));
    let is_private = |bytes: &Vec<u8>| SigningKey::from_der(bytes, SMALLEST).is_ok();
    // Two texts may hold the same key: a bare RSAPublicKey is also accepted.
    if holds.as_ref() != Some(expected.key) {
        found.push(match holds {
            _ if wanted.starts_with(&there) => {
                Mistake::Cut { there: there.len(), of: wanted.len() }
            }
            Some(key) => {
                let owner = expected.others.iter().find(|(_, other)| *other == key);
                Mistake::OtherKey(owner.map(|(selector, _)| selector.clone()))
            }
            None if bytes.as_ref().is_some_and(is_private) => Mistake::PrivateKey,
            None if alike(&there, &wanted) => Mistake::Damaged,
            None if bytes.is_none() => Mistake::Unusable(RecordError::Base64),
            None => Mistake::Unusable(RecordError::Key),
        });
    } else if there.len() < p.len() {
        found.push(Mistake::BlankInKey);
    }
    if is == "rsa" && expected.key.bits() < 2048 {
        found.push(Mistake::Weak(expected.key.bits()));
    }
}

/// Whether two keys have the same beginning, beyond the bytes that all RSA keys of one size share.
fn alike(there: &str, wanted: &str) -> bool {
    there.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count() > 60
}

#[cfg(test)]
mod tests;
