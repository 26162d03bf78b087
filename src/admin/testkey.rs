//! `dkimctl testkey`: compares the published record of each selector with the key on disk.

use std::process::ExitCode;

use super::cli::{Args, DOMAIN, Opt, SELECTOR_ONLY, SERVER};
use super::dns::Dns;
use super::output::{Failure, say};
use super::published::{Chosen, Outcome, Tested, note, test_all, text};
use super::store::keys::selector;
use super::store::seen::Seen;
use super::store::{Store, waiting};

pub(super) const OPTIONS: &[Opt] = &[
    DOMAIN,
    SELECTOR_ONLY,
    SERVER,
    Opt("--authoritative", "query each server of the zone, bypassing caches"),
];

pub(super) const HELP: &str = "\
usage: dkimctl testkey [OPTION...] [DOMAIN...]

Compare the published key records with the keys on this host.

Queries DNS for the record of every selector in the domain files, or in those of
DOMAIN..., compares it with the key, and reports every mistake.

Exits with the worst result: 0 if all records are correct, with or without
warnings; 65 if a record is wrong; 69 if a record is missing or DNS does not
answer; 71 if a key or a domain file cannot be read.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let chosen = Chosen {
        domains: args.domains()?,
        selector: args.value("--selector", selector)?,
        is_authoritative: args.has("--authoritative"),
    };
    let dns = Dns::asked_for(args.text("--server")?)?;
    let mut seen = Seen::default();
    let (mut all, mut worst, is_json) = (Vec::new(), None, args.is_json());
    test_all(&args.etc, &dns, &chosen, |tested| {
        note(&mut seen, &tested);
        worst = worst.max(tested.iter().map(|tested| tested.outcome).max());
        if is_json {
            all.extend(tested);
            return Ok(());
        }
        let shown = tested.into_iter().filter(|one| !args.is_quiet() || one.outcome != Outcome::Ok);
        say(text(&shown.collect::<Vec<_>>())).map(drop)
    })?;
    let Some(worst) = worst else {
        return Err(match &chosen.selector {
            Some(selector) => {
                Failure::missing(format_args!("no domain file names {selector}")).about(selector)
            }
            None => waiting::no_domains(&args.etc),
        });
    };
    // Ignore the error of a caller without write permission.
    drop(Store::open(&args.etc).and_then(|store| seen.write(&store, &args.etc)));
    if is_json {
        let findings: Vec<_> = all.iter().flat_map(Tested::reports).collect();
        args.report(&all, &findings, "")?;
    }
    Ok(ExitCode::from(worst as u8))
}
