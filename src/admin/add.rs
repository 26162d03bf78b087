//! `dkimctl add`: creates everything that a domain needs to be signed: a key, its record and the domain file.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::checks::finding::Finding;
use super::cli::{Args, DOMAIN, Opt};
use super::keygen::{BITS, GROUPS, KEYS, Kind, Made, Signers, TYPE, USERS, Wanted, note, show};
use super::output::{Failure, Progress};
use super::parallel;
use super::publishing::{NO_PUBLISH, Publishing, WAIT};
use super::store::domains;
use super::store::keys::{KeyFolder, selector};
use super::store::time::UtcTime;
use super::store::waiting;
use super::template::{self, Template};
use crate::config::shared_folder;
use crate::dkim::{Domain, Selector, Terms};

pub(super) const OPTIONS: &[Opt] = &[
    DOMAIN,
    Opt("-s, --selector SELECTOR", "name of the key (default: {host}-{yyyymm})"),
    TYPE,
    BITS,
    KEYS,
    USERS,
    GROUPS,
    NO_PUBLISH,
    WAIT,
];

pub(super) const HELP: &str = "\
usage: dkimctl add [OPTION...] DOMAIN...

Let mail From a domain be signed: create its key and its domain file.

Creates a key, its record and the domain file of each DOMAIN, prints the records
to publish, and then the steps that are left before mail is signed on this host.
If a domain has a domain file already, only makes another key, which signs once
`dkimctl use` names it. `-` reads domains from stdin. Every user of the host may
sign for a domain, unless --users or --groups limits that.

With --keys, the domains share the key SELECTOR in the directory keys/NAME,
which is created if it does not exist: one key signs for all of them, each with
its own d= and a record of its own.

With publish in config.toml, publishes the records and waits until every server
of each zone has them. A new domain is signed from then on, not before. After a
failure, the same call continues from there; so does the timer of `dkimctl
rotate`.

Nothing is ever overwritten. Exits with 69 if a record could not be published,
or DNS does not have it in time; with 73 if a domain has keys, but no domain
file, or its domain file says that another domain signs.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let domains: BTreeSet<Domain> = args.domains()?.into_iter().collect();
    if domains.is_empty() {
        return Err(Failure::usage("expected DOMAIN..."));
    }
    if let Some(local) = domains.iter().find(|domain| domain.is_local()) {
        let what =
            format_args!("only this host knows {local}, so receivers cannot find its record");
        return Err(Failure::usage(what).about(local));
    }
    let domains: Vec<Domain> = domains.into_iter().collect();
    let publishing = Publishing::of_new(args, &domains)?;
    let wanted = wanted(args, &domains, publishing.is_some())?;
    let make = |wanted: &Wanted| wanted.clone().make(&args.etc);
    let (mut made, mut failed, mut failures) = (Vec::new(), None, Vec::new());
    let progress = Progress::of("keys created");
    // The first domain creates a key that the others share.
    let threads = if args.has("--keys") { 1 } else { parallel::cores() };
    parallel::in_order(&wanted, threads, progress, make, |one| {
        match one {
            Ok(one) => made.push(one),
            Err(failure) => {
                failed = Some(failure.report());
                failures.push(Finding::from(&failure));
            }
        }
        Ok::<(), Failure>(())
    })?;
    if let Some(publishing) = &publishing {
        publishing.begin(made.len());
        let publish = |made: &Made| made.publish(&args.etc, publishing);
        let progress = Progress::of("records published");
        let published = parallel::all(&made, parallel::WAITING, progress, publish);
        for (made, published) in made.iter_mut().zip(published) {
            made.published = Some(published);
        }
    }
    note(&args.etc, &made);
    let code = match made.is_empty() && !args.is_json() {
        true => ExitCode::SUCCESS,
        false => show(args, &made, failures, |made| json!(made))?,
    };
    Ok(failed.unwrap_or(code))
}

/// The keys to create, as the options say.
fn wanted(args: &Args, domains: &[Domain], waits: bool) -> Result<Vec<Wanted>, Failure> {
    let (kind, signers) = (Kind::of(args)?, Signers::of(args)?);
    let named = args.value("--selector", selector)?;
    let shared = args.value("--keys", shared_folder)?;
    let wanted = domains.iter().map(|domain| {
        let selector = match &named {
            Some(selector) => selector.clone(),
            None => choose(&args.etc, domain, kind, shared.as_deref())?,
        };
        Ok(Wanted {
            domain: domain.clone(),
            selector,
            kind,
            terms: Terms::default(),
            signers: signers.clone(),
            is_full: false,
            directory: None,
            shared: shared.clone(),
            waits,
        })
    });
    wanted.collect()
}

/// Chooses the selector of the only key that domains share, or one that no key of the domain has or had.
fn choose(
    etc: &Path,
    domain: &Domain,
    kind: Kind,
    shared: Option<&str>,
) -> Result<Selector, Failure> {
    if let Some(config) = waiting::read(etc, domain)?
        && let Some(selector) = config.selectors().into_iter().next()
    {
        return Ok(selector.clone());
    }
    let config = domains::own(etc, domain).ok().flatten();
    let mut folder = KeyFolder::new(etc, domain.clone());
    if let Some(name) = shared.or(config.as_ref().and_then(|config| config.file.keys.as_deref())) {
        folder.path.set_file_name(name);
    }
    let known = folder.selectors()?;
    let has_key = |one: &&Selector| folder.key(one).private.symlink_metadata().is_ok();
    if let Some(name) = shared {
        let keys: Vec<&Selector> = known.iter().filter(has_key).collect();
        match keys.as_slice() {
            [] => {}
            [only] => return Ok((*only).clone()),
            several => {
                let names: Vec<&str> = several.iter().map(|one| one.as_str()).collect();
                let what = format_args!("keys/{name} has several keys");
                let choice = format_args!("choose one of {} with -s", names.join(", "));
                return Err(Failure::usage(what).fixed_by(choice));
            }
        }
    }
    let file = domains::file(etc, domain);
    if shared.is_none()
        && let Some(first) = known.first()
        && file.symlink_metadata().is_err()
    {
        return Err(Failure::exists(format_args!(
            "{domain} has keys already; run dkimctl use {domain} {first} to sign with that key, or create another with -s SELECTOR"
        )));
    }
    let names = Template::default().names(&template::host(), UtcTime::now(), kind.algorithm);
    let unused = names.map_err(Failure::software)?.into_iter().find(|name| !known.contains(name));
    unused.ok_or_else(|| {
        Failure::exists(format_args!(
            "{domain}: all default selectors are used; choose one with -s"
        ))
    })
}
