//! `dkimctl testkey`: what the DNS has for every selector, against the key on disk.

mod disk;
mod examine;
pub(super) mod mend;
mod mistake;
mod tested;
mod typo;

use std::path::Path;
use std::process::ExitCode;

use lexopt::{Arg, ValueExt as _};

use super::Args;
use super::dns::{Answer, Dns, Found, Txt};
use super::output::{Failure, say, say_json};
use crate::dkim::{Domain, PublicKey, Selector};
use disk::DomainKeys;
use examine::{Expected, examine, is_key_record};
use mistake::{Mistake, Severity};
use tested::{Finding, text};
pub(super) use tested::{Outcome, Tested};

pub(super) const HELP: &str = "\
usage: dkimctl testkey [--server ADDR[:PORT]] [--authoritative] [--json] [DOMAIN]

Asks the DNS for the record of every selector that the domain files name, or
of those of DOMAIN, and compares it with the key on disk. All are checked,
whatever is wrong with the first; what is wrong is named.

  --server ADDR[:PORT]  ask this DNS server, not those of /etc/resolv.conf
  --authoritative       ask each server of the zone itself, so that what a
                        resolver remembers does not count
  --json                the same for a script

Exits with the worst that was found: 0 if all records are right, warnings or
not; 65 if one is wrong; 69 if one is not there or the DNS does not answer;
71 if a key or a domain file cannot be read.
";

/// What the command line asks for.
struct Request {
    dns: Dns,
    only: Option<Domain>,
    authoritative: bool,
    json: bool,
}

pub(super) fn run(mut args: Args) -> Result<ExitCode, Failure> {
    let request = Request::parse(&mut args)?;
    let only = request.only.as_ref();
    let tested = test_all(&args.etc, &request.dns, only, request.authoritative)?;
    if tested.is_empty() {
        let what = match only {
            Some(domain) => format!("no domain file for {domain}"),
            None => "no domain files".to_owned(),
        };
        let folder = args.etc.join("domains");
        return Err(Failure::missing(format_args!("{what} in {}", folder.display())));
    }
    if request.json {
        say_json(&tested)?;
    } else {
        say(&text(&tested))?;
    }
    let worst = tested.iter().map(|tested| tested.outcome).max();
    Ok(ExitCode::from(worst.map_or(0, Outcome::code)))
}

impl Request {
    fn parse(args: &mut Args) -> Result<Self, Failure> {
        let (mut server, mut only) = (None, None);
        let (mut authoritative, mut json) = (false, false);
        while let Some(arg) = args.parser.next()? {
            match arg {
                Arg::Long("server") => server = Some(args.parser.value()?.string()?),
                Arg::Long("authoritative") => authoritative = true,
                Arg::Long("json") => json = true,
                Arg::Value(value) if only.is_none() => {
                    let text = value.string()?;
                    let domain = Domain::parse(&text);
                    only = Some(domain.map_err(|error| {
                        Failure::usage(format_args!("domain {text:?}: {error}"))
                    })?);
                }
                Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => {
                    return Err(arg.unexpected().into());
                }
            }
        }
        Ok(Self { dns: Dns::asked_for(server.as_deref())?, only, authoritative, json })
    }
}

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
    for found in disk::domain_files(etc, only)? {
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
        let name = format!("{selector}._domainkey.{}", domain.domain);
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
