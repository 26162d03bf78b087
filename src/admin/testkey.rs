//! `dkimctl testkey`: what the DNS has for every selector, against the key on disk.

use std::process::ExitCode;

use super::cli::{Args, JSON, Opt, SERVER};
use super::dns::Dns;
use super::output::Failure;
use super::published::{test_all, text};

pub(super) const OPTIONS: &[Opt] = &[
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
    let tested = test_all(&args.etc, &dns, only, args.has("--authoritative"))?;
    if tested.is_empty() {
        let what = match only {
            Some(domain) => format!("no domain file for {domain}"),
            None => "no domain files".to_owned(),
        };
        let folder = args.etc.join("domains");
        return Err(Failure::missing(format_args!("{what} in {}", folder.display())));
    }
    args.print(&tested, &text(&tested))?;
    let worst = tested.iter().map(|tested| tested.outcome).max();
    Ok(ExitCode::from(worst.map_or(0, |worst| worst as u8)))
}
