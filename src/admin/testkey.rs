//! `dkimctl testkey`: what the DNS has for every selector, against the key on disk.

use std::process::ExitCode;

use super::cli::{Args, DOMAIN, JSON, Opt, SERVER};
use super::dns::Dns;
use super::output::{Failure, say, say_json};
use super::published::{note, test_all, text};
use super::store::Store;
use super::store::seen::Seen;

pub(super) const OPTIONS: &[Opt] = &[
    DOMAIN,
    SERVER,
    Opt("--authoritative", "query each server of the zone directly, bypassing caches"),
    JSON,
];

pub(super) const HELP: &str = "\
usage: dkimctl testkey [OPTION...] [DOMAIN]

Compare the published key records with the keys on this host.

Queries DNS for the record of every selector in the domain files, or in those of
DOMAIN, compares it with the key, and reports every mistake.

Exits with the worst result: 0 if all records are correct, with or without
warnings; 65 if a record is wrong; 69 if a record is missing or DNS does not
answer; 71 if a key or a domain file cannot be read.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let domains = args.domains()?;
    let only = domains.first();
    let dns = Dns::asked_for(args.text("--server")?)?;
    let mut seen = Seen::default();
    let (mut all, mut worst, is_json) = (Vec::new(), None, args.has("--json"));
    test_all(&args.etc, dns, only, args.has("--authoritative"), |tested| {
        note(&mut seen, &tested);
        worst = worst.max(tested.iter().map(|tested| tested.outcome).max());
        if is_json {
            all.extend(tested);
            return Ok(());
        }
        say(&text(&tested)).map(drop)
    })?;
    let Some(worst) = worst else {
        let what = match only {
            Some(domain) => Failure::no_domain_file(domain),
            None => Failure::empty(),
        };
        return Err(what);
    };
    // What a caller who may not write has found is shown, and no more.
    drop(Store::open(&args.etc).and_then(|store| seen.write(&store, &args.etc)));
    if is_json {
        say_json(&all)?;
    }
    Ok(ExitCode::from(worst as u8))
}
