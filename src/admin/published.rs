//! What the DNS has for the keys of the tree, against the keys themselves.

mod compare;
mod keys;
mod mistake;
mod repair;
mod tested;
mod typo;

use std::path::Path;

use super::dns::{Answer, Dns, Found, Txt};
use super::output::Failure;
use crate::dkim::{Domain, PublicKey, Selector};
use compare::{Expected, examine, is_key_record};
use keys::DomainKeys;
use mistake::{Mistake, Severity};
pub(super) use repair::mend;
use tested::Finding;
pub(super) use tested::{Outcome, Tested, text};

/// Tests every key of the tree, or those of one domain.
///
/// # Errors
///
/// When the folder of the domain files cannot be read.
pub(super) fn test_all(
    etc: &Path,
    dns: &Dns,
    only: Option<&Domain>,
    authoritative: bool,
) -> Result<Vec<Tested>, Failure> {
    let mut all = Vec::new();
    for found in keys::domain_files(etc, only)? {
        match found {
            Ok(domain) => all.extend(test_domain(&domain, dns, authoritative)),
            Err((path, why)) => all.push(Tested::unreadable(path.display().to_string(), why)),
        }
    }
    Ok(all)
}

fn test_domain(domain: &DomainKeys, dns: &Dns, authoritative: bool) -> Vec<Tested> {
    let readable = domain.keys.iter();
    let others: Vec<(String, PublicKey)> = readable
        .filter_map(|(selector, key)| Some((selector.to_string(), key.as_ref().ok()?.clone())))
        .collect();
    let mut all = Vec::new();
    for (selector, key) in &domain.keys {
        let name = selector.record_name(&domain.domain);
        let test = Test { domain, selector, name, dns };
        match key {
            Ok(key) => {
                let expected = Expected {
                    key,
                    others: &others,
                    identity_below: domain.identity_below,
                    subdomains: domain.subdomains,
                };
                all.extend(test.run(&expected, authoritative));
            }
            Err(why) => all.push(Tested {
                domain: Some(domain.domain.to_string()),
                selector: Some(selector.to_string()),
                ..Tested::unreadable(test.name, why.clone())
            }),
        }
    }
    all
}

/// One key and where to look for its record.
struct Test<'a> {
    domain: &'a DomainKeys,
    selector: &'a Selector,
    name: String,
    dns: &'a Dns,
}

impl Test<'_> {
    fn run(&self, expected: &Expected<'_>, authoritative: bool) -> Vec<Tested> {
        if !authoritative {
            return vec![self.judge(&self.dns.txt(&self.name), expected, None)];
        }
        match self.dns.authorities(&self.name) {
            Ok(servers) => servers
                .iter()
                .map(|server| {
                    let answer = self.dns.txt_at(server, &self.name);
                    self.judge(&answer, expected, Some(&server.server))
                })
                .collect(),
            Err(trouble) => vec![self.judge(&Answer::unknown(trouble), expected, None)],
        }
    }

    fn judge(&self, answer: &Answer, expected: &Expected<'_>, server: Option<&str>) -> Tested {
        let mut findings = Vec::new();
        if !answer.aliases.is_empty() {
            findings.push(Finding::of(&Mistake::Alias(answer.aliases.clone())));
        }
        let mut texts = Vec::new();
        let outcome = match &answer.found {
            Found::Records(records) => {
                texts.extend(records.iter().map(Txt::joined));
                let mistakes = examine(&texts, expected);
                findings.extend(mistakes.iter().map(Finding::of));
                let wrong = mistakes.iter().any(|one| one.severity() == Severity::Error);
                if wrong { Outcome::Wrong } else { Outcome::Ok }
            }
            Found::NoRecords | Found::NoName => {
                findings.push(self.absent(answer));
                Outcome::Unavailable
            }
            Found::Unknown(trouble) => {
                findings.push(Finding::error("dns", trouble.to_string()));
                Outcome::Unavailable
            }
        };
        let is_known = !matches!(answer.found, Found::Unknown(_));
        let dnssec = if answer.authenticated { "secure" } else { "unsigned" };
        Tested {
            name: self.name.clone(),
            domain: Some(self.domain.domain.to_string()),
            selector: Some(self.selector.to_string()),
            server: server.map(str::to_owned),
            outcome,
            // Only a resolver says that.
            dnssec: (is_known && server.is_none()).then_some(dnssec),
            records: texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect(),
            findings,
        }
    }

    /// Why there is no record, as far as that can be seen.
    fn absent(&self, answer: &Answer) -> Finding {
        if let Some(alias) = answer.aliases.last() {
            let message = format!("the name is an alias of {alias}, and there is no record");
            return Finding::error("no-record", message);
        }
        // What a form or a zone file makes of a whole name without a dot at its end.
        let zones = std::iter::successors(Some(self.domain.domain.clone()), Domain::parent);
        for name in zones.map(|zone| format!("{}.{zone}", self.name)) {
            if let Found::Records(records) = self.dns.txt(&name).found
                && records.iter().any(|one| is_key_record(&String::from_utf8_lossy(&one.joined())))
            {
                return Finding::of(&Mistake::Elsewhere(name));
            }
        }
        let message = match answer.found {
            Found::NoRecords => "the name is there, but has no TXT record",
            Found::NoName | Found::Records(_) | Found::Unknown(_) => "there is no record",
        };
        Finding::error("no-record", message.to_owned())
    }
}
