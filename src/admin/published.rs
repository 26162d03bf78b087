//! Compares the published records with the keys of the tree.

mod compare;
mod mistake;
mod repair;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::checks::finding::{Finding as Report, Severity as ReportSeverity};
use super::dns::{Answer, Authority, Dns, Found};
use super::output::{Failure, Progress};
use super::parallel;
use super::store::domains::{self, DomainConfig};
use super::store::keys::KeyFiles;
use super::store::seen::Seen;
use super::store::time::UtcTime;
use crate::config::{OnMissingRecord, Subdomains};
use crate::dkim::{Domain, Identity, PublicKey, Record, RecordError, Selector};
use compare::{Expected, examine, is_key_record};
use mistake::{Mistake, Severity};
pub(super) use repair::repair;

/// The result for one key and its exit code, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub(super) enum Outcome {
    /// The record is correct.
    Ok = 0,
    /// There is a record, but signatures do not verify with it (`EX_DATAERR`).
    Wrong = 65,
    /// There is no record, or the lookup failed (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// The key or the domain file cannot be read (`EX_OSERR`).
    Unreadable = 71,
}

/// The findings about one key.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tested {
    /// The name of the record, or the path of a domain file that cannot be used.
    pub(super) name: String,
    domain: Option<String>,
    selector: Option<String>,
    /// The server that was queried, if each server of the zone was.
    server: Option<String>,
    pub(super) outcome: Outcome,
    /// What `on_missing_record = "skip"` needs: see [`Skip`].
    #[serde(skip)]
    pub(super) skip: Option<Skip>,
    /// `secure` if the resolver says that DNSSEC protects the answer.
    dnssec: Option<&'static str>,
    /// The published records, with their strings joined.
    records: Vec<String>,
    #[serde(skip)]
    pub(super) findings: Vec<Finding>,
}

/// A key whose domain file says that it does not sign once its record is gone for long.
#[derive(Clone, Debug)]
pub(super) struct Skip {
    pub(super) file: PathBuf,
    pub(super) selector: Selector,
    /// How long. Seconds.
    pub(super) after: u64,
}

/// Whether any key is published under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// A server of the zone has a key, be it the right one or not.
    There,
    /// Every server of the zone has answered, and none has a key.
    Gone,
    /// At least one has not answered.
    Unknown,
}

/// Asks every server of the zone whether it has a key under the name. A server that does not answer, or a resolver that does not
/// name the servers, never makes a record gone.
pub(super) fn presence(dns: &Dns, name: &str) -> Presence {
    let Ok(answers) = dns.everywhere(name) else { return Presence::Unknown };
    let is_key = |text: &Vec<u8>| {
        let is_revoked = matches!(Record::parse(text), Err(RecordError::Revoked));
        !is_revoked && is_key_record(&String::from_utf8_lossy(text))
    };
    let has_key = |(_, answer): &(Authority, Answer)| match &answer.found {
        Found::Records(records) => Some(records.iter().any(is_key)),
        Found::NoRecords | Found::NoName => Some(false),
        Found::Unknown(_) => None,
    };
    let found: Vec<Option<bool>> = answers.iter().map(has_key).collect();
    if found.contains(&Some(true)) {
        Presence::There
    } else if found.contains(&None) {
        Presence::Unknown
    } else {
        Presence::Gone
    }
}

impl Tested {
    fn new(name: String, outcome: Outcome, findings: Vec<Finding>) -> Self {
        Self {
            name,
            domain: None,
            selector: None,
            server: None,
            outcome,
            skip: None,
            dnssec: None,
            records: Vec::new(),
            findings,
        }
    }

    #[cfg(test)]
    pub(super) fn absent(name: String) -> Self {
        let findings = vec![Finding::error("no-record", "there is no record".to_owned())];
        Self::new(name, Outcome::Unavailable, findings)
    }

    /// Whether the lookup failed, so that nothing is known of the record.
    pub(super) fn is_unanswered(&self) -> bool {
        self.findings.iter().any(|finding| finding.what == LOOKUP)
    }

    /// The findings in the form that all subcommands report.
    pub(super) fn reports(&self) -> impl Iterator<Item = Report> {
        let remedy = match (&self.domain, self.outcome) {
            (Some(domain), Outcome::Wrong | Outcome::Unavailable) => {
                format!("dkimctl record {domain} prints what to publish")
            }
            _ => String::new(),
        };
        let at = self.server.as_ref().map(|server| format!("at {server}: ")).unwrap_or_default();
        self.findings.iter().map(move |Finding { severity, what, message }| {
            let remedy = if *what == LOOKUP { String::new() } else { remedy.clone() };
            let severity = match severity {
                Severity::Note => ReportSeverity::Info,
                Severity::Warning => ReportSeverity::Warning,
                Severity::Error => ReportSeverity::Error,
            };
            Report::new(severity, what, format!("{at}{message}"), remedy).about(&self.name)
        })
    }

    /// Whether the record is missing in DNS, or is another one.
    pub(super) fn is_wrong_or_absent(&self) -> bool {
        !self.is_unanswered() && matches!(self.outcome, Outcome::Wrong | Outcome::Unavailable)
    }

    fn unreadable(name: String, why: String) -> Self {
        Self::new(name, Outcome::Unreadable, vec![Finding::error("unreadable", why)])
    }
}

/// One finding about a key.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    severity: Severity,
    /// A name for scripts.
    what: &'static str,
    pub(super) message: String,
}

impl Finding {
    fn of(mistake: &Mistake) -> Self {
        let (severity, what) = mistake.kind();
        Self { severity, what, message: mistake.to_string() }
    }

    fn error(what: &'static str, message: String) -> Self {
        Self { severity: Severity::Error, what, message }
    }
}

/// One line for each key, followed by a line for each finding. A failed lookup takes a single line, because there may be
/// thousands.
pub(super) fn text(tested: &[Tested]) -> String {
    let mut text = String::new();
    let word = |value: &dyn fmt::Debug| format!("{value:?}").to_lowercase();
    for one in tested {
        let at = one.server.as_ref().map(|server| format!(" at {server}")).unwrap_or_default();
        let dnssec = one.dnssec.map(|dnssec| format!(" (DNSSEC: {dnssec})")).unwrap_or_default();
        text.push_str(&format!("{}{at}: {}{dnssec}", one.name, word(&one.outcome)));
        if let [Finding { what: LOOKUP, message, .. }] = one.findings.as_slice() {
            text.push_str(&format!(": {message}\n"));
            continue;
        }
        text.push('\n');
        for finding in &one.findings {
            text.push_str(&format!("  {}: {}\n", word(&finding.severity), finding.message));
        }
    }
    text
}

/// The name of the finding for a failed lookup.
const LOOKUP: &str = "dns";

/// The keys that are tested, and where.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Without any, those of all domains.
    pub(super) domains: Vec<Domain>,
    /// Without one, all of a domain.
    pub(super) selector: Option<Selector>,
    /// Each server of the zone is asked.
    pub(super) is_authoritative: bool,
}

/// Tests the chosen keys of the tree. `default.toml` is left out unless it sets d=. `each` gets the findings of one domain file after the other, as soon as they are known.
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
    let mut missing: BTreeSet<&Domain> = chosen.domains.iter().collect();
    let files = domains::all(etc)?.filter(|(path, read)| {
        let domain = read.as_ref().ok().and_then(DomainConfig::domain);
        let names = [domains::named_after(path), domain.cloned()];
        let is_named = |named: &Domain| names.iter().flatten().any(|name| name == named);
        missing.retain(|named| !is_named(named));
        chosen.domains.is_empty() || chosen.domains.iter().any(is_named)
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
        if all_right || of_one.iter().any(Tested::is_wrong_or_absent) {
            seen.note(
                &of_one.first().map(|one| one.name.clone()).unwrap_or_default(),
                all_right,
                UtcTime::now(),
            );
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
    let of_key = |(selector, key): &Key<'_>| {
        let name = selector.record_name(domain);
        Test { domain, config, keys: &keys, selector, name, dns }.run(key, chosen.is_authoritative)
    };
    let is_chosen = |selector: &Selector| chosen.selector.as_ref().is_none_or(|it| it == selector);
    keys.iter().filter(|(selector, _)| is_chosen(selector)).flat_map(of_key).collect()
}

/// One key and where to look for its record.
struct Test<'a> {
    domain: &'a Domain,
    config: &'a DomainConfig,
    /// All keys of the domain file.
    keys: &'a [Key<'a>],
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
                answers.map(|(at, answer)| self.judge(answer, key, Some(&at.server))).collect()
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
            findings.push(Finding::of(&Mistake::Alias(answer.aliases.clone())));
        }
        let mut texts: &[Vec<u8>] = &[];
        let outcome = match &answer.found {
            Found::Records(records) => {
                texts = records;
                let others = self.keys.iter().filter_map(|(selector, key)| {
                    Some((selector.to_string(), key.as_ref().ok()?.clone()))
                });
                let identity = self.config.file.identity.as_ref().map(Identity::domain);
                let expected = Expected {
                    key,
                    others: &others.collect::<Vec<_>>(),
                    identity_below: identity.is_some_and(|identity| identity != self.domain),
                    subdomains: self.config.file.subdomains != Subdomains::No,
                };
                let mistakes = examine(records, &expected);
                findings.extend(mistakes.iter().map(Finding::of));
                let is_wrong = mistakes.iter().any(|one| one.severity() == Severity::Error);
                if is_wrong { Outcome::Wrong } else { Outcome::Ok }
            }
            Found::NoRecords | Found::NoName => {
                findings.push(self.absent(answer));
                Outcome::Unavailable
            }
            Found::Unknown(error) => {
                findings.push(Finding::error(LOOKUP, error.to_string()));
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
            return Finding::error("no-record", message);
        }
        let has_key = |name: &String| {
            let is_key = |record: &Vec<u8>| is_key_record(&String::from_utf8_lossy(record));
            matches!(self.dns.txt(name).found, Found::Records(records) if records.iter().any(is_key))
        };
        // A web form or a zone file appends the zone to a full name without a trailing dot.
        let zones = std::iter::successors(Some(self.domain.clone()), Domain::parent);
        let mut doubled = zones.map(|zone| format!("{}.{zone}", self.name));
        if let Some(name) = doubled.find(has_key) {
            return Finding::of(&Mistake::Elsewhere(name));
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
            return Finding::of(&Mistake::Misnamed { found, name: self.name.clone() });
        }
        let message = match answer.found {
            Found::NoRecords => "the name exists, but has no TXT record",
            Found::NoName | Found::Records(_) | Found::Unknown(_) => "there is no record",
        };
        Finding::error("no-record", message.to_owned())
    }
}
