//! Whether any key is published under a name: `dkimctl watch` asks every server before it says that a record is gone.

use super::compare::is_key_record;
use crate::admin::dns::{Dns, Found};
use crate::dkim::{Record, RecordError};

/// Whether any key is published under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// A server of the zone has a key, be it the right one or not.
    There,
    /// Every server of the zone has answered, and none has a key.
    Gone,
    /// At least one server has not answered, and no other one has a key.
    Unknown,
}

/// Asks every server of the zone whether it has a key under the name. A server that does not answer, or a resolver that does not
/// name the servers, never counts as a missing record.
pub(crate) fn presence(dns: &Dns, name: &str) -> Presence {
    let Ok(answers) = dns.everywhere(name) else { return Presence::Unknown };
    of(answers.into_iter().map(|(_, answer)| answer.found))
}

/// What the answers of all servers of the zone say together.
fn of(answers: impl IntoIterator<Item = Found>) -> Presence {
    let is_key = |text: &Vec<u8>| {
        let is_revoked = matches!(Record::parse(text), Err(RecordError::Revoked));
        !is_revoked && is_key_record(&String::from_utf8_lossy(text))
    };
    let mut presence = Presence::Gone;
    for answer in answers {
        match answer {
            Found::Records(records) if records.iter().any(is_key) => return Presence::There,
            Found::Records(_) | Found::NoRecords | Found::NoName => {}
            Found::Unknown(_) => presence = Presence::Unknown,
        }
    }
    presence
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::dns::LookupError;

    #[test]
    fn without_the_names_of_the_servers_it_is_not_known_whether_a_key_is_there() {
        let dns = Dns::asked_for(Some("127.0.0.1:9")).unwrap();
        assert_eq!(presence(&dns, "s._domainkey.x.test"), Presence::Unknown);
    }

    #[test]
    fn a_key_is_gone_only_if_every_server_has_answered_that_it_has_none() {
        let records = |text: &str| Found::Records(vec![b"other".to_vec(), text.into()]);
        let silent = Found::Unknown(LookupError::Late);
        let [any_key, revoked] = ["v=DKIM1; p=AAAA", "v=DKIM1; p="].map(records);
        let another = records("v=spf1 -all");
        for (answers, wanted) in [
            ([&Found::NoName, &Found::NoRecords], Presence::Gone),
            ([&revoked, &another], Presence::Gone),
            ([&Found::NoName, &silent], Presence::Unknown),
            ([&silent, &Found::NoName], Presence::Unknown),
            ([&silent, &any_key], Presence::There),
            ([&Found::NoName, &any_key], Presence::There),
            ([&any_key, &Found::NoName], Presence::There),
            ([&any_key, &silent], Presence::There),
        ] {
            assert_eq!(of(answers.map(Clone::clone)), wanted, "{answers:?}");
        }
    }
}
