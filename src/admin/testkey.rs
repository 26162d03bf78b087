//! `dkimctl testkey`: what the DNS has for every selector, against the key on disk.

use std::process::ExitCode;

use lexopt::{Arg, ValueExt as _};

use super::Args;
use super::dns::Dns;
use super::output::{Failure, say, say_json};
use super::published::{Outcome, test_all, text};
use crate::dkim::Domain;

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
