//! `dkimctl rotate`: a new key takes the place of an old one, as fast as the DNS lets it.

mod look;
mod name;
mod step;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use lexopt::Arg;
use lexopt::ValueExt as _;

use super::Args;
use super::dns::Dns;
use super::input;
use super::output::{Failure, say, say_json};
use super::store::Store;
use super::store::keys::{self, KeyPaths};
use super::store::rotation::{Rotation, Stage, State};
use super::store::signers::{Signer, signers};
use super::store::time::{self, UtcTime};
use crate::dkim::{Domain, Selector};
use name::Template;
use step::{Report, Step};

pub(super) const HELP: &str = "\
usage: dkimctl rotate DOMAIN... | --all [OPTION...]
       dkimctl rotate status [DOMAIN...]

Replaces the keys of domains, one stage after the other, each as soon as the DNS
lets it. Call it as often as you like, or let sendmail-dkim-rotate.timer do so:

  pending   a new key is made, and its record shown to be published; the old key
            signs until every server of the zone has that record
  retiring  the new key signs; the record of the old one stays published for mail
            that is on its way; if the new record vanishes, the old key signs again
  revoked   the old key is wiped; its record is shown with an empty p=, and may be
            deleted later

  --all                every domain that has keys on this host
  --selector TEMPLATE  name of the new key, with {host}, {type}, {yyyy}, {yyyymm}
                       and {yyyymmdd} filled in (default: {host}-{yyyymm}); a key
                       that has this name already is not replaced
  --older AGE          replace only keys that were made so long ago, as 180d
  --keep TIME          how long an old record stays (default: 7d)
  --server ADDR[:PORT] find the servers of the zone by this one, and not by those
                       of /etc/resolv.conf
  --dry-run            change nothing, and show what would be done
  --json               show it as JSON

How far it is stands in keys/DOMAIN/rotation.toml; `rotate status` shows it.
Exits with 0 if nothing is wrong, though it may wait; with 69 if a server of a
zone did not answer, or the key that signs is not published; with 75 if another
rotate is at work.
";

/// What holds for all domains of one call.
struct Run {
    etc: PathBuf,
    store: Store,
    dns: Dns,
    now: UtcTime,
    host: String,
    template: Template,
    older: u64,
    keep: u64,
    is_dry: bool,
}

struct Options {
    domains: Vec<Domain>,
    all: bool,
    json: bool,
}

pub(super) fn run(mut args: Args) -> Result<ExitCode, Failure> {
    let mut ahead = args.parser.clone();
    if matches!(ahead.next(), Ok(Some(Arg::Value(word))) if word == "status") {
        return super::status::run(Args { etc: args.etc, parser: ahead });
    }
    let (run, options) = Run::parse(&mut args)?;
    let folders = if options.all {
        keys::folders(&run.etc)?
    } else {
        let folder = |domain| keys::folder(&run.etc, domain);
        options.domains.iter().map(folder).collect::<Result<_, _>>()?
    };
    let (mut reports, mut failures, mut idle) = (Vec::new(), Vec::new(), String::new());
    for (domain, folder) in &folders {
        match run.domain(domain, folder) {
            Ok(more) => {
                if more.is_empty() {
                    idle.push_str(&format!("{domain}: nothing to do\n"));
                }
                reports.extend(more);
            }
            Err(failure) => failures.push(failure),
        }
    }
    if options.json {
        say_json(&reports)?;
    } else {
        say(&reports.iter().map(|report| run.text(report)).chain([idle]).collect::<String>())?;
    }
    let quiet = ExitCode::SUCCESS;
    let code = failures.iter().fold(quiet, |_, failure| failure.report());
    if failures.is_empty() && reports.iter().any(|report| report.trouble) {
        return Ok(Failure::UNAVAILABLE.into());
    }
    Ok(code)
}

impl Run {
    fn parse(args: &mut Args) -> Result<(Self, Options), Failure> {
        let mut options = Options { domains: Vec::new(), all: false, json: false };
        let (mut template, mut server) = (Template::default(), None);
        let (mut older, mut keep, mut is_dry) = (0, KEEP, false);
        let parser = &mut args.parser;
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("all") => options.all = true,
                Arg::Long("json") => options.json = true,
                Arg::Long("dry-run") => is_dry = true,
                Arg::Long("server") => server = Some(parser.value()?.string()?),
                Arg::Long("older") => older = length("--older", &parser.value()?.string()?)?,
                Arg::Long("keep") => keep = length("--keep", &parser.value()?.string()?)?,
                Arg::Short('s') | Arg::Long("selector") => {
                    let parsed = Template::parse(&parser.value()?.string()?);
                    template = parsed.map_err(Failure::usage)?;
                }
                Arg::Value(value) => {
                    let name = value.string()?;
                    let domain = Domain::parse(&name);
                    options.domains.push(domain.map_err(|error| {
                        Failure::usage(format_args!("domain {name:?}: {error}"))
                    })?);
                }
                Arg::Short(_) | Arg::Long(_) => return Err(arg.unexpected().into()),
            }
        }
        if options.all != options.domains.is_empty() {
            return Err(Failure::usage("say either DOMAIN... or --all"));
        }
        let host = input::text(Path::new("/proc/sys/kernel/hostname"), input::CONFIGURATION)
            .unwrap_or_default();
        let run = Self {
            etc: args.etc.clone(),
            store: Store::open(&args.etc)?,
            dns: Dns::asked_for(server.as_deref())?,
            now: UtcTime::now(),
            host: name::host_label(&host),
            template,
            older,
            keep,
            is_dry,
        };
        Ok((run, options))
    }

    /// Begins what is to be begun, and goes on with all that has begun.
    fn domain(&self, domain: &Domain, folder: &Path) -> Result<Vec<Report>, Failure> {
        if folder.file_name().is_some_and(|name| name != domain.as_str()) {
            return Err(Failure::usage(format_args!(
                "{domain} is signed by default.toml, whose keys are those of no one domain"
            )));
        }
        let busy = || Failure::busy(format_args!("another rotate is at work on {domain}"));
        let _lock = self.store.lock(folder)?.ok_or_else(busy)?;
        // What another user may have written says nothing.
        self.store.replaceable(&State::path(folder))?;
        let mut state = State::read(folder)?;
        // Noted before there is a key, so that a key is never there without a note.
        if self.begin(domain, folder, &mut state)? && !self.is_dry {
            state.write(&self.store)?;
        }
        let mut reports = Vec::new();
        // From the last one on: one that is over is taken out.
        for at in (0..state.rotations.len()).rev() {
            let Some(rotation) = state.rotations.get(at) else { continue };
            let report = Report::new(domain, rotation);
            reports.push(Step { run: self, domain, folder, report }.go(&mut state, at)?);
        }
        reports.reverse();
        Ok(reports)
    }

    /// Notes a rotation for each selector that signs and is old enough. The key is made later.
    fn begin(&self, domain: &Domain, folder: &Path, state: &mut State) -> Result<bool, Failure> {
        let signers = signers(&self.etc, domain)?;
        // Those that can't be changed later are refused now, before there is a new key.
        signers.iter().try_for_each(|signer| self.store.replaceable(&signer.path))?;
        let active: BTreeSet<&Selector> = signers.iter().flat_map(Signer::selectors).collect();
        let before = state.rotations.len();
        for old in active {
            if state.of(old).is_some() || !self.is_old(folder, old)? {
                continue;
            }
            let key = keys::public_key(&KeyPaths::within(folder, old).private)?;
            let names = self.template.names(&self.host, self.now, key.algorithm());
            let names = names.map_err(Failure::usage)?;
            if names.contains(old) {
                continue;
            }
            // No name is used for a second key (its old record may be remembered somewhere).
            let is_used = |name: &Selector| {
                let paths = KeyPaths::within(folder, name);
                let known = |one: &Rotation| one.old == *name || one.new == *name;
                paths.private.exists() || paths.record.exists() || state.rotations.iter().any(known)
            };
            let Some(new) = names.into_iter().find(|name| !is_used(name)) else {
                return Err(Failure::exists(format_args!(
                    "{domain}: all selectors of that name were used; name another with --selector"
                )));
            };
            let stage = Stage::Pending;
            state.rotations.push(Rotation { old: old.clone(), new, stage, since: self.now });
        }
        Ok(state.rotations.len() != before)
    }

    fn is_old(&self, folder: &Path, selector: &Selector) -> Result<bool, Failure> {
        let path = KeyPaths::within(folder, selector).private;
        let made = fs::metadata(&path).and_then(|found| found.modified());
        let made = made.map_err(|error| Failure::reading(&path, &error))?;
        let made = made.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(UtcTime(made).after(self.older) <= self.now)
    }

    fn text(&self, report: &Report) -> String {
        let Report { domain, old, new, stage, since, .. } = report;
        let mut text = format!("{domain}: {old} -> {new}: {stage} since {since}\n");
        let would = if self.is_dry { "would be done: " } else { "" };
        for done in &report.done {
            text.push_str(&format!("  {would}{done}\n"));
        }
        for sight in &report.servers {
            text.push_str(&format!("  {} {}\n", sight.server, sight.has.text()));
        }
        text.push_str(&format!("  next: {}\n", report.next));
        if let Some(publish) = &report.publish {
            text.push_str(&format!(
                "\n    name   {}\n    type   TXT\n    value  {}\n\n",
                publish.name, publish.value
            ));
        }
        text
    }
}

fn length(option: &str, text: &str) -> Result<u64, Failure> {
    time::parse_length(text).ok_or_else(|| {
        Failure::usage(format_args!("{option} {text:?}: want a number with s, m, h, d or w, as 7d"))
    })
}

/// Seconds that an old record stays: longer than mail is in queues (`maximal_queue_lifetime`: 5 days).
const KEEP: u64 = 7 * 86_400;
