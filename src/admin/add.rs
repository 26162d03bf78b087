//! `dkimctl add`: all that a domain needs to be signed, in one step: a key, its record and the domain file.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use super::checks::finding::{Finding, numbered};
use super::checks::obstacles::missing;
use super::cli::{Args, DOMAIN, Opt};
use super::keygen::{BITS, GROUPS, Kind, Made, Signers, TYPE, USERS, Wanted, so_far};
use super::output::{Failure, Progress, say};
use super::parallel;
use super::store::domains;
use super::store::keys::{KeyFolder, selector};
use super::store::time::UtcTime;
use super::template::{self, Template};
use crate::dkim::{Domain, Selector, Terms};

pub(super) const OPTIONS: &[Opt] = &[
    DOMAIN,
    Opt("-s, --selector SELECTOR", "name of the key (default: {host}-{yyyymm})"),
    TYPE,
    BITS,
    USERS,
    GROUPS,
];

pub(super) const HELP: &str = "\
usage: dkimctl add [OPTION...] DOMAIN...

Let mail From a domain be signed: create its key and its domain file.

Creates a key, its record and the domain file of each DOMAIN, prints the records
to publish, and then the steps that are left before mail is signed on this host.
If a domain has a domain file already, only makes another key, which signs once
`dkimctl use` names it. `-` reads domains from stdin. Every user of the host may
sign for a domain, unless --users or --groups limits that.

Nothing is ever overwritten. Exits with 73 if a domain has keys, but no domain
file.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let domains: BTreeSet<Domain> = args.domains()?.into_iter().collect();
    if domains.is_empty() {
        return Err(Failure::usage("expected DOMAIN..."));
    }
    let (kind, signers) = (Kind::of(args)?, Signers::of(args)?);
    let named = args.value("--selector", selector)?;
    let wanted = domains.iter().map(|domain| {
        let selector = match &named {
            Some(selector) => selector.clone(),
            None => choose(&args.etc, domain, kind)?,
        };
        Ok(Wanted {
            domain: domain.clone(),
            selector,
            kind,
            terms: Terms::default(),
            signers: signers.clone(),
            is_full: false,
            directory: None,
        })
    });
    let wanted = wanted.collect::<Result<Vec<Wanted>, Failure>>()?;
    let make = |wanted: &Wanted| wanted.clone().make(&args.etc);
    let (mut all, mut failed, mut failures) = (Vec::new(), None, Vec::new());
    let progress = Progress::of("keys made");
    parallel::in_order(&wanted, parallel::cores(), progress, make, |made| {
        match made {
            Ok(made) => {
                if !args.is_json() && !args.is_quiet() {
                    say(&format!("{}{}\n", made.text()?, made.who(&args.etc)))?;
                }
                all.push(made);
            }
            Err(failure) => {
                failed = Some(failure.report());
                failures.push(Finding::from(&failure));
            }
        }
        Ok::<(), Failure>(())
    })?;
    show(args, &all, failures)?;
    Ok(failed.unwrap_or(ExitCode::SUCCESS))
}

/// A selector that no key of the domain has or had.
fn choose(etc: &Path, domain: &Domain, kind: Kind) -> Result<Selector, Failure> {
    let folder = KeyFolder::new(etc, domain.clone());
    let known = folder.selectors()?;
    let file = domains::file(etc, domain);
    if let Some(first) = known.first()
        && file.symlink_metadata().is_err()
    {
        return Err(Failure::exists(format_args!(
            "{domain} has keys already: dkimctl use {domain} {first} lets that one sign; -s SELECTOR makes another"
        )));
    }
    let names = Template::default().names(&template::host(), UtcTime::now(), kind.algorithm);
    let unused = names.map_err(Failure::software)?.into_iter().find(|name| !known.contains(name));
    unused.ok_or_else(|| {
        Failure::exists(format_args!("{domain}: all usual selectors were used; name one with -s"))
    })
}

/// The steps that are left, those of all domains together.
fn show(args: &Args, all: &[Made], failures: Vec<Finding>) -> Result<(), Failure> {
    if all.is_empty() && !args.is_json() {
        return Ok(());
    }
    let domains: BTreeSet<&str> = all.iter().map(|made| made.wanted.domain.as_str()).collect();
    let own = all.iter().flat_map(|made| made.own_steps(&args.etc));
    let steps = [missing(&args.etc, |stem| domains.contains(stem)), own.collect()].concat();
    if args.is_json() {
        let made = all.iter().map(|made| made.json(&steps));
        let made = made.collect::<Result<Vec<_>, Failure>>()?;
        return args.report(&made, &[failures, steps].concat(), "").map(drop);
    }
    if args.is_quiet() {
        return Ok(());
    }
    let publish: Vec<Finding> = match all {
        [one] => vec![one.publish_step()],
        many => vec![Finding::warning(
            "publish",
            "without its record no receiver can verify a signature",
            format!("publish the {} records, and ask for them: dkimctl testkey", many.len()),
        )],
    };
    let names: Vec<&str> = domains.into_iter().collect();
    let names = match names.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("these {} domains", many.len()),
    };
    let list = numbered(publish.iter().chain(&steps));
    say(&format!("{}\n\n{list}", so_far(&names, steps.is_empty()))).map(drop)
}
