//! Compares the published records with the keys of the tree.

mod compare;
mod mistake;
mod presence;
mod repair;
mod result;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::checks::finding::Finding;
use super::dns::{Answer, Dns, Found};
use super::output::{Failure, Progress};
use super::parallel;
use super::store::domains::{self, DomainConfig};
use super::store::keys::KeyFiles;
use super::store::seen::Seen;
use super::store::time::UtcTime;
use crate::config::{OnMissingRecord, Subdomains};
use crate::dkim::{Domain, Identity, PublicKey, Selector};
use compare::{Expected, examine, is_key_record};
use mistake::Mistake;
pub(super) use presence::{Presence, presence};
pub(super) use repair::repair;
use result::{LOOKUP, Skip};
pub(super) use result::{Outcome, Tested, text};

/// The keys to test, and the servers to query.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Empty for all domains.
    pub(super) domains: Vec<Domain>,
    /// `None` for all selectors of a domain.
    pub(super) selector: Option<Selector>,
    /// Whether each server of the zone is queried.
    pub(super) is_authoritative: bool,
}

/// Tests the chosen keys of the tree. `default.toml` is left out unless it sets d=. `each` gets the findings of one domain file
/// after the other, as soon as they are known.
///
/// # Errors
///
/// The directory of the domain files or `config.toml` cannot be read, a chosen domain has no domain file; or that of `each`.
pub(super) fn test_all(
    etc: &Path,
    dns: &Dns,
    chosen: &Chosen,
    each: impl FnMut(Vec<Tested>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let wanted: BTreeSet<&Domain> = chosen.domains.iter().collect();
    let mut missing = wanted.clone();
    let files = domains::all(etc)?.filter(|(path, read)| {
        let domain = read.as_ref().ok().and_then(DomainConfig::domain);
        let names = [domains::named_after(path), domain.cloned()];
        let of_file = || names.iter().flatten();
        for name in of_file() {
            missing.remove(name);
        }
        wanted.is_empty() || of_file().any(|name| wanted.contains(name))
    });
    let files: Vec<_> = files.collect();
    if let Some(domain) = missing.first() {
        return Err(Failure::no_domain_file(domain));
    }
    dns.for_names(files.len());
    let test = |(path, read): &(PathBuf, domains::Read)| match read {
        Ok(config) => test_domain(etc, config, dns, chosen),
        Err(error) => vec![Tested::unreadable(path.display().to_string(), error.to_string())],
    };
    parallel::in_order(&files, parallel::WAITING, Progress::of("domains tested"), test, each)
}

/// The same as [`test_all`] for all keys, in one list.
///
/// # Errors
///
/// As those of [`test_all`].
pub(super) fn tested(etc: &Path, dns: &Dns) -> Result<Vec<Tested>, Failure> {
    let mut all = Vec::new();
    let add = |some| {
        all.extend(some);
        Ok(())
    };
    test_all(etc, dns, &Chosen::default(), add).map(|()| all)
}

/// Stores which records exist. If each server of a zone was queried, all must have the record. A failed lookup changes nothing.
pub(super) fn note(seen: &mut Seen, tested: &[Tested]) {
    for of_one in tested.chunk_by(|one, other| one.name == other.name) {
        let all_right = of_one.iter().all(|one| one.outcome == Outcome::Ok);
        if let Some(one) = of_one.first()
            && (all_right || of_one.iter().any(Tested::is_wrong_or_absent))
        {
            seen.note(&one.name, all_right, UtcTime::now());
        }
    }
}

/// A selector, and its key or why the key cannot be read.
type Key<'a> = (&'a Selector, Result<PublicKey, String>);

fn test_domain(etc: &Path, config: &DomainConfig, dns: &Dns, chosen: &Chosen) -> Vec<Tested> {
    let Some(domain) = config.domain() else { return Vec::new() };
    let folder = etc.join("keys").join(config.folder());
    let mut keys: Vec<Key<'_>> = Vec::new();
    for selector in config.file.all_selectors() {
        if keys.iter().all(|(known, _)| *known != selector) {
            let files = KeyFiles::within(&folder, selector);
            let key = files.public().map_err(|error| error.at(&files.private).to_string());
            keys.push((selector, key));
        }
    }
    let readable = |(selector, key): &Key<'_>| Some((selector.to_string(), key.clone().ok()?));
    let others: Vec<_> = keys.iter().filter_map(readable).collect();
    let of_key = |(selector, key): &Key<'_>| {
        let name = selector.record_name(domain);
        Test { domain, config, others: &others, selector, name, dns }
            .run(key, chosen.is_authoritative)
    };
    let is_chosen = |selector: &Selector| chosen.selector.as_ref().is_none_or(|it| it == selector);
    keys.iter().filter(|(selector, _)| is_chosen(selector)).flat_map(of_key).collect()
}

/// One key and where to look for its record.
struct Test<'a> {
    domain: &'a Domain,
    config: &'a DomainConfig,
    /// All keys of the domain file, by selector.
    others: &'a [(String, PublicKey)],
    selector: &'a Selector,
    name: String,
    dns: &'a Dns,
}

impl Test<'_> {
    fn run(&self, key: &Result<PublicKey, String>, authoritative: bool) -> Vec<Tested> {
        let key = match key {
            Ok(key) => key,
            Err(why) => {
                let tested = Tested::unreadable(self.name.clone(), why.clone());
                return vec![self.with_names(tested)];
            }
        };
        if !authoritative {
            return vec![self.judge(&self.dns.txt(&self.name), key, None)];
        }
        match self.dns.everywhere(&self.name) {
            Ok(answers) => {
                let answers = answers.iter();
                answers.map(|(server, answer)| self.judge(answer, key, Some(server))).collect()
            }
            Err(error) => vec![self.judge(&Answer::unknown(error), key, None)],
        }
    }

    fn with_names(&self, tested: Tested) -> Tested {
        let signing = &self.config.file.signing;
        let skip = (signing.on_missing_record == OnMissingRecord::Skip).then(|| Skip {
            file: self.config.path.clone(),
            selector: self.selector.clone(),
            after: signing.missing_record_after,
        });
        let domain = Some(self.domain.to_string());
        Tested { domain, selector: Some(self.selector.to_string()), skip, ..tested }
    }

    fn judge(&self, answer: &Answer, key: &PublicKey, server: Option<&str>) -> Tested {
        let mut findings = Vec::new();
        if !answer.aliases.is_empty() {
            findings.push(Finding::from(&Mistake::Alias(answer.aliases.clone())));
        }
        let mut texts: &[Vec<u8>] = &[];
        let outcome = match &answer.found {
            Found::Records(records) => {
                texts = records;
                let identity = self.config.file.identity.as_ref().map(Identity::domain);
                let expected = Expected {
                    key,
                    others: self.others,
                    identity_below: identity.is_some_and(|identity| identity != self.domain),
                    subdomains: self.config.file.subdomains != Subdomains::No,
                };
                findings.extend(examine(records, &expected).iter().map(Finding::from));
                let is_wrong = findings.iter().any(Finding::is_error);
                if is_wrong { Outcome::Wrong } else { Outcome::Ok }
            }
            Found::NoRecords | Found::NoName => {
                findings.push(self.absent(answer));
                Outcome::Unavailable
            }
            Found::Unknown(error) => {
                findings.push(Finding::error(LOOKUP, error.to_string(), ""));
                Outcome::Unavailable
            }
        };
        let is_known = !matches!(answer.found, Found::Unknown(_));
        let dnssec = if answer.authenticated { "secure" } else { "unsigned" };
        self.with_names(Tested {
            server: server.map(str::to_owned),
            // Only a resolver sets AD.
            dnssec: (is_known && server.is_none()).then_some(dnssec),
            records: texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect(),
            ..Tested::new(self.name.clone(), outcome, findings)
        })
    }

    /// Why there is no record, as far as DNS shows it.
    fn absent(&self, answer: &Answer) -> Finding {
        if let Some(alias) = answer.aliases.last() {
            let message = format!("the name is an alias of {alias}, which has no record");
            return Finding::error("no-record", message, "");
        }
        let has_key = |name: &String| {
            let is_key = |record: &Vec<u8>| is_key_record(&String::from_utf8_lossy(record));
            matches!(self.dns.txt(name).found, Found::Records(records) if records.iter().any(is_key))
        };
        // A web form or a zone file appends the zone to a full name without a trailing dot.
        let zones = std::iter::successors(Some(self.domain.clone()), Domain::parent);
        let mut doubled = zones.map(|zone| format!("{}.{zone}", self.name));
        if let Some(name) = doubled.find(has_key) {
            return Finding::from(&Mistake::Elsewhere(name));
        }
        let (selector, domain) = (self.selector, self.domain);
        let mut others = [
            format!("{selector}.{domain}"),
            format!("{selector}._domainkey.www.{domain}"),
            format!("{selector}.domainkey.{domain}"),
            format!("_domainkey.{domain}"),
            domain.to_string(),
        ]
        .into_iter();
        if let Some(found) = others.find(has_key) {
            return Finding::from(&Mistake::Misnamed { found, name: self.name.clone() });
        }
        let message = match answer.found {
            Found::NoRecords => "the name exists, but has no TXT record",
            Found::NoName | Found::Records(_) | Found::Unknown(_) => "there is no record",
        };
        Finding::error("no-record", message, "")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::admin::dns::LookupError;
    use crate::admin::dns::tests::serve_texts;
    use crate::admin::temporary::Temporary;
    use crate::config::Signing;
    use crate::dkim::{Record, SigningKey};

    #[test]
    fn a_record_is_there_if_every_server_has_it_and_a_failed_lookup_changes_nothing() {
        let name = "s._domainkey.x.test".to_owned();
        let of = |outcome, code| {
            let findings = vec![Finding::error(code, "", "")];
            Tested::new(name.clone(), outcome, findings)
        };
        let has = &Tested::new(name.clone(), Outcome::Ok, Vec::new());
        let (lacks, wrong) = (&Tested::absent(name.clone()), &of(Outcome::Wrong, "cut"));
        let unanswered = &of(Outcome::Unavailable, LOOKUP);
        let unreadable = &of(Outcome::Unreadable, "unreadable");
        for (servers, is_there) in [
            ([has, has], Some(true)),
            ([has, lacks], Some(false)),
            ([has, wrong], Some(false)),
            ([unanswered, lacks], Some(false)),
            ([unanswered, unanswered], None),
            ([has, unanswered], None),
            ([unreadable, unreadable], None),
        ] {
            for before in [true, false] {
                let mut seen = Seen::default();
                seen.note(&name, before, UtcTime(1_764_086_883));
                note(&mut seen, &servers.map(Clone::clone));
                assert_eq!(seen.of(&name).is_there, is_there.unwrap_or(before), "{servers:?}");
            }
        }
    }

    /// The result for the key of x.test with more lines in its domain file, and its codes.
    fn judged(more: &str, answer: &Answer, server: Option<&str>) -> (Tested, String) {
        let domain = Domain::parse("x.test").unwrap();
        let file = format!("selectors = [\"s\"]\n{more}");
        let config =
            DomainConfig::parse(Path::new("x.test.toml"), file, &Signing::default()).unwrap();
        let selector = config.file.all_selectors().next().unwrap();
        let (name, dns) = (selector.record_name(&domain), Dns::asked_for(Some("127.0.0.1:9")));
        let (config, dns) = (&config, &dns.unwrap());
        let test = Test { domain: &domain, config, others: &[], selector, name, dns };
        let tested = test.judge(answer, &key(), server);
        let codes: Vec<&str> = tested.findings.iter().map(|found| found.code).collect();
        let codes = codes.join(" ");
        (tested, codes)
    }

    #[test]
    fn a_key_record_under_another_name_is_found() {
        let domain = Domain::parse("a.x.test").unwrap();
        let file = "selectors = [\"s\"]\n".to_owned();
        let path = Path::new("a.x.test.toml");
        let config = &DomainConfig::parse(path, file, &Signing::default()).unwrap();
        let selector = config.file.all_selectors().next().unwrap();
        let own = selector.record_name(&domain);
        for name in [
            &format!("{own}.a.x.test"),
            &format!("{own}.x.test"),
            "s.a.x.test",
            "s._domainkey.www.a.x.test",
            "s.domainkey.a.x.test",
            "_domainkey.a.x.test",
            "a.x.test",
        ] {
            for (text, code) in [("v=DKIM1; p=AAAA", "elsewhere"), ("v=spf1 -all", "no-record")] {
                let dns = &serve_texts(vec![(name.to_owned(), text.to_owned())]);
                let name = own.clone();
                let test = Test { domain: &domain, config, others: &[], selector, name, dns };
                assert_eq!(test.absent(&dns.txt(&own)).code, code, "{text}");
            }
        }
    }

    #[test]
    fn of_an_alias_without_a_record_the_end_is_named() {
        let found = Found::NoName;
        let aliases = vec!["y.test".to_owned()];
        let (tested, codes) = judged("", &Answer { aliases, authenticated: false, found }, None);
        assert_eq!((tested.outcome, codes.as_str()), (Outcome::Unavailable, "alias no-record"));
        assert!(tested.findings[1].evidence.contains("alias of y.test"), "{tested:?}");
    }

    /// A domain with two keys; the records are both of the first one.
    fn two_keys(name: &str) -> (Temporary, Dns) {
        let etc = Temporary::new(name).unwrap();
        let folder = etc.path.join("keys/x.test");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir(etc.path.join("domains")).unwrap();
        let pem = include_str!("../../tests/vectors/rfc6376-c.private");
        fs::write(folder.join("s.private"), pem).unwrap();
        let other = SigningKey::generate(1024, &mut getrandom::SysRng).unwrap();
        fs::write(folder.join("t.private"), other.to_pkcs8_pem().unwrap().as_bytes()).unwrap();
        let file = "domain = \"x.test\"\nselectors = [\"s\", \"t\"]\n\
            [[sign]]\nfrom = \"a@sub.x.test\"\nselectors = [\"t\"]\n";
        fs::write(etc.path.join("domains/sub.x.test.toml"), file).unwrap();
        let record = Record::new(SigningKey::from_pem(pem, 1024).unwrap().public()).text().unwrap();
        let names = ["s", "t"].map(|selector| format!("{selector}._domainkey.x.test"));
        (etc, serve_texts(names.map(|name| (name, record.clone())).into()))
    }

    #[test]
    fn a_domain_is_chosen_by_its_file_or_by_d_and_a_key_by_its_selector() {
        let (etc, dns) = two_keys("published-chosen");
        for (domain, selector, found) in [
            (None, None, "s=ok t=wrong"),
            (Some("x.test"), None, "s=ok t=wrong"),
            (Some("sub.x.test"), None, "s=ok t=wrong"),
            (Some("x.test"), Some("t"), "t=wrong"),
            (None, Some("none"), ""),
        ] {
            let domains = domain.map(|domain| Domain::parse(domain).unwrap()).into_iter().collect();
            let selector = selector.map(|selector| Selector::parse(selector).unwrap());
            let chosen = Chosen { domains, selector, is_authoritative: false };
            let mut all = Vec::new();
            test_all(&etc.path, &dns, &chosen, |some| {
                all.extend(some);
                Ok(())
            })
            .unwrap();
            let text = |one: &Tested| {
                format!("{}={}", one.selector.clone().unwrap_or_default(), one.outcome)
            };
            assert_eq!(all.iter().map(text).collect::<Vec<_>>().join(" "), found, "{chosen:?}");
            // The other key is known, be it chosen or not.
            let wrong = all.iter().filter(|one| one.outcome == Outcome::Wrong);
            assert!(wrong.into_iter().all(|one| one.why().contains("that of selector s")));
        }
        let domains = vec![Domain::parse("y.test").unwrap()];
        let chosen = Chosen { domains, ..Chosen::default() };
        assert!(test_all(&etc.path, &dns, &chosen, |_| Ok(())).is_err());
    }

    fn key() -> PublicKey {
        let pem = include_str!("../../tests/vectors/rfc8463-a-brisbane.private");
        SigningKey::from_pem(pem, 1024).unwrap().public()
    }

    fn answer(record: &str) -> Answer {
        let record = record.replace("KEY", &key().to_base64().unwrap());
        let found = Found::Records(vec![record.into_bytes()]);
        Answer { aliases: Vec::new(), authenticated: true, found }
    }

    #[test]
    fn a_record_is_judged_by_what_the_domain_file_does_with_its_key() {
        for (more, record, outcome, codes) in [
            ("", "v=DKIM1; k=ed25519; p=KEY", Outcome::Ok, ""),
            ("", "v=DKIM1; k=ed25519; t=s; p=KEY", Outcome::Ok, ""),
            ("identity = \"@x.test\"", "k=ed25519; t=s; p=KEY", Outcome::Ok, ""),
            ("identity = \"@a.x.test\"", "k=ed25519; t=s; p=KEY", Outcome::Wrong, "strict"),
            ("identity = \"@a.x.test\"", "k=ed25519; p=KEY", Outcome::Ok, ""),
            ("subdomains = true", "k=ed25519; t=s; p=KEY", Outcome::Ok, "strict-and-subdomains"),
            ("", "k=ed25519; t=y; p=KEY", Outcome::Ok, "testing"),
            ("", "k=ed25519; p=", Outcome::Wrong, "revoked"),
        ] {
            let (tested, found) = judged(more, &answer(record), None);
            assert_eq!((tested.outcome, found.as_str()), (outcome, codes), "{more} {record}");
        }
    }

    #[test]
    fn dnssec_is_reported_of_answers_of_a_resolver_only() {
        let right = answer("k=ed25519; p=KEY");
        assert_eq!(judged("", &right, None).0.dnssec, Some("secure"));
        let unsigned = Answer { authenticated: false, ..right.clone() };
        assert_eq!(judged("", &unsigned, None).0.dnssec, Some("unsigned"));
        assert_eq!(judged("", &right, Some("ns.x.test")).0.dnssec, None);
        let (tested, codes) = judged("", &Answer::unknown(LookupError::Late), None);
        assert_eq!((tested.outcome, codes.as_str()), (Outcome::Unavailable, LOOKUP));
        assert!(tested.dnssec.is_none() && tested.is_unanswered());
    }

    #[test]
    fn only_a_key_that_may_be_skipped_is_marked_for_it() {
        let right = answer("k=ed25519; p=KEY");
        assert!(judged("", &right, None).0.skip.is_none());
        let more = "on_missing_record = \"skip\"\nmissing_record_after = \"2h\"";
        let skip = judged(more, &right, None).0.skip.unwrap();
        assert_eq!((skip.selector.as_str(), skip.after), ("s", 7_200));
        assert_eq!(skip.file, Path::new("x.test.toml"));
    }
}
