//! Queries every server of a zone for the record of a key. For an alias, these are the servers of the zone that it leads to.

use std::thread;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};
use serde_json::json;

use super::dns::{Dns, Found};
use crate::dkim::{PublicKey, Record, RecordError};

/// The answer of one server.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) server: String,
    pub(super) has: Has,
}

impl Serialize for Sight {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (has, text) = self.has.said();
        json!({"server": self.server, "has": has, "text": text}).serialize(to)
    }
}

/// The record of a key, as one server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Has {
    /// The key.
    Key,
    /// An empty p=.
    Revoked,
    /// No record.
    Nothing,
    /// Something that no verifier could use for this key.
    Other(String),
    /// The server did not answer.
    Unknown(String),
}

impl Has {
    /// A name for scripts, and a text for people.
    fn said(&self) -> (&'static str, String) {
        match self {
            Self::Key => ("key", "has the key".to_owned()),
            Self::Revoked => ("revoked", "has the record of a revoked key".to_owned()),
            Self::Nothing => ("nothing", "has no record".to_owned()),
            Self::Other(what) => ("other", format!("has something else: {what}")),
            Self::Unknown(why) => ("unknown", format!("does not answer: {why}")),
        }
    }

    /// A text for people.
    pub(super) fn text(&self) -> String {
        self.said().1
    }
}

/// The answers of all servers of the zone for a name. Never empty.
pub(super) fn look(dns: &Dns, name: &str, key: Option<&PublicKey>) -> Vec<Sight> {
    let answers = match dns.everywhere(name) {
        Ok(answers) => answers,
        Err(error) => {
            let has = Has::Unknown(error.to_string());
            return vec![Sight { server: "the DNS".to_owned(), has }];
        }
    };
    let answers = answers.into_iter();
    answers.map(|(server, answer)| Sight { server, has: has(answer.found, key) }).collect()
}

fn has(found: Found, key: Option<&PublicKey>) -> Has {
    let records = match found {
        Found::NoRecords | Found::NoName => return Has::Nothing,
        Found::Unknown(error) => return Has::Unknown(error.to_string()),
        Found::Records(records) => records,
    };
    // With several records, a verifier may use any of them (§3.6.2.2).
    let [record] = records.as_slice() else {
        return Has::Other(format!("{} TXT records", records.len()));
    };
    match Record::parse(record) {
        Ok(record) if Some(record.key()) == key => Has::Key,
        Ok(_) => Has::Other("another key".to_owned()),
        Err(RecordError::Revoked) => Has::Revoked,
        Err(error) => Has::Other(crate::report::chain(&error)),
    }
}

/// Queries repeatedly until all servers have `has`, or until the time is over.
pub(super) fn await_all(
    dns: &Dns,
    look: impl Fn() -> Vec<Sight>,
    has: &Has,
    patience: Duration,
) -> Vec<Sight> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(200);
    loop {
        let sights = look();
        let is_over = begun.elapsed().saturating_add(pause) > patience;
        if all(&sights, has) || is_over {
            return sights;
        }
        thread::sleep(pause);
        dns.extend(pause);
        pause = pause.saturating_mul(2).min(Duration::from_secs(5));
    }
}

/// Whether all servers have `has`.
pub(super) fn all(sights: &[Sight], has: &Has) -> bool {
    !sights.is_empty() && sights.iter().all(|sight| sight.has == *has)
}

/// The servers without `has`, and what each of them has, for people.
pub(super) fn others(sights: &[Sight], has: &Has) -> String {
    let others = sights.iter().filter(|sight| sight.has != *has);
    let texts = others.map(|sight| format!("{} {}", sight.server, sight.has.text()));
    texts.collect::<Vec<_>>().join("; ")
}

/// Whether a server answers with another record. A server that does not answer does not count.
pub(super) fn some_lack(sights: &[Sight]) -> bool {
    sights.iter().any(|sight| !matches!(sight.has, Has::Key | Has::Unknown(_)))
}

/// Whether a server does not answer.
pub(super) fn some_unknown(sights: &[Sight]) -> bool {
    sights.iter().any(|sight| matches!(sight.has, Has::Unknown(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::dns::LookupError;

    fn key(pem: &str) -> PublicKey {
        PublicKey::of_private_pem(pem).unwrap()
    }

    #[test]
    fn a_server_has_the_key_if_a_verifier_would_use_it() {
        let own = key(include_str!("../../tests/vectors/rfc6376-c.private"));
        let another = key(include_str!("../../tests/vectors/rfc8463-a-brisbane.private"));
        let text = |key: &PublicKey| Record::new(key.clone()).text().unwrap().into_bytes();
        let records = |records: &[Vec<u8>]| Found::Records(records.to_vec());
        let nothing = b"v=spf1 -all".to_vec();
        for (found, expected) in [
            (records(&[text(&own)]), "key"),
            (records(&[text(&another)]), "other"),
            (records(&[text(&own), text(&own)]), "other"),
            (records(&[text(&own), nothing.clone()]), "other"),
            (records(&[nothing]), "other"),
            (records(&[b"v=DKIM1; p=".to_vec()]), "revoked"),
            (Found::NoRecords, "nothing"),
            (Found::NoName, "nothing"),
            (Found::Unknown(LookupError::Late), "unknown"),
        ] {
            assert_eq!(has(found.clone(), Some(&own)).said().0, expected, "{found:?}");
        }
        assert_eq!(has(records(&[text(&own)]), None).said().0, "other");
    }

    #[test]
    fn the_servers_are_queried_until_all_have_it_or_the_time_is_over() {
        let dns = Dns::asked_for(Some("127.0.0.1:9")).unwrap();
        let looks = |patience: Duration| {
            let count = std::cell::Cell::new(0);
            let look = || {
                count.set(count.get() + 1);
                let has = if count.get() < 2 { Has::Nothing } else { Has::Key };
                vec![Sight { server: "ns".to_owned(), has }]
            };
            let sights = await_all(&dns, look, &Has::Key, patience);
            (count.get(), all(&sights, &Has::Key))
        };
        assert_eq!(looks(Duration::ZERO), (1, false));
        assert_eq!(looks(Duration::from_secs(60)), (2, true));
    }

    #[test]
    fn a_server_that_does_not_answer_proves_nothing() {
        let sights = |all: &[Has]| -> Vec<Sight> {
            all.iter().map(|has| Sight { server: "ns".to_owned(), has: has.clone() }).collect()
        };
        let silent = || Has::Unknown("no answer".to_owned());
        for (found, has_all, lacks, is_unknown) in [
            (sights(&[]), false, false, false),
            (sights(&[Has::Key, Has::Key]), true, false, false),
            (sights(&[Has::Key, silent()]), false, false, true),
            (sights(&[Has::Key, Has::Nothing]), false, true, false),
            (sights(&[Has::Revoked, silent()]), false, true, true),
        ] {
            let judged = (all(&found, &Has::Key), some_lack(&found), some_unknown(&found));
            assert_eq!(judged, (has_all, lacks, is_unknown), "{found:?}");
        }
    }
}
