//! `dkimctl rotate`: a new key takes the place of an old one, as fast as the DNS lets it.

mod look;
mod step;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use super::checks::finding::Finding;
use super::cli::{Args, DOMAIN, DRY_RUN, Opt};
use super::dns::Dns;
use super::notify::{MAIL, address, host_name, mail};
use super::output::{Failure, Note, Progress, say};
use super::parallel;
use super::publisher::Publisher;
use super::store::Store;
use super::store::domains::{DomainConfig, Index};
use super::store::keys::{KeyFiles, KeyFolder};
use super::store::rotation::{Rotation, Stage, State};
use super::store::time::{self, UtcTime};
use super::template::{self, Template};
use crate::dkim::{Domain, Selector};
use step::{Report, Run, Step};

pub(super) const OPTIONS: &[Opt] = &[
    DOMAIN,
    Opt("--all", "rotate every domain that has keys on this host"),
    Opt("-s, --selector TEMPLATE", "name of the new key (default: {host}-{yyyymm})"),
    Opt("--older AGE", "replace only keys that are older, as in 180d"),
    Opt("--keep TIME", "how long an old record stays published (default: 7d)"),
    Opt("--server ADDR[:PORT]", "find the servers of the zone through this DNS server"),
    MAIL,
    DRY_RUN,
];

pub(super) const HELP: &str = "\
usage: dkimctl rotate [OPTION...] DOMAIN... | --all | status [DOMAIN...]

Replace keys stage by stage, as fast as DNS allows.

Each run advances as far as DNS allows. Run it as often as you like, or enable
sendmail-dkim-rotate.timer:
  pending   A new key exists. Publish its record; the old key signs until every
            server of the zone has the record.
  retiring  The new key signs. The record of the old key must stay published for
            mail in transit. If the new record vanishes from a server, the old
            key signs again.
  revoked   The old key is wiped. Publish its record with an empty p=, or delete
            the record.

TEMPLATE may contain {host}, {type}, {yyyy}, {yyyymm} and {yyyymmdd}; a key that
already has the resulting name is not replaced. Progress is recorded in
keys/DOMAIN/rotation.toml; `rotate status` shows it.

Exits with 0 if nothing is wrong, even if it waits for a record; 69 if a server
of a zone does not answer or the key that signs is not published; 75 if another
rotate is running.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let domains = args.domains()?;
    if args.has("--all") != domains.is_empty() {
        return Err(Failure::usage("expected either DOMAIN... or --all"));
    }
    let recipient = args.value("--mail", address)?;
    let run = Run::new(args)?;
    let mut folders = KeyFolder::chosen(&args.etc, &domains)?;
    // Named twice, its second turn would find the first at work.
    folders.sort_by(|one, other| one.domain.cmp(&other.domain));
    folders.dedup_by(|one, other| one.domain == other.domain);
    // A key that is made and published meanwhile takes longer than a lookup.
    run.dns.for_names(folders.len().saturating_mul(20));
    let (mut all, mut failed, mut trouble) = (Vec::new(), None, false);
    let mut findings = Vec::new();
    let mut news = String::new();
    let is_json = args.is_json();
    let turn = |folder: &KeyFolder| (folder.domain.clone(), run.domain(folder));
    let each = |(domain, turn): (Domain, Result<Vec<Report>, Failure>)| {
        match turn {
            Err(failure) => {
                failed = Some(failure.report());
                findings.push(Finding::from(&failure).about(&domain));
            }
            Ok(reports) => {
                // A record is mailed when there is one to publish, not at every run until it is published.
                let is_news =
                    |report: &&Report| report.publish.is_some() && !report.done.is_empty();
                news.extend(reports.iter().filter(is_news).map(|report| run.text(report)));
                trouble |= reports.iter().any(|report| report.trouble);
                findings.extend(reports.iter().filter_map(Report::finding));
                if is_json {
                    all.extend(reports);
                } else if reports.is_empty() && !args.is_quiet() {
                    say(&format!("{domain}: nothing to do\n"))?;
                } else {
                    let is_shown =
                        |report: &&Report| !args.is_quiet() || report.finding().is_some();
                    let shown = reports.iter().filter(is_shown);
                    say(&shown.map(|report| run.text(report)).collect::<String>())?;
                }
            }
        }
        Ok::<(), Failure>(())
    };
    let progress = Progress::of("domains rotated");
    parallel::in_order(&folders, parallel::WAITING, progress, turn, each)?;
    if !run.is_dry {
        let mut seen = run.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *seen).write(&run.store, &run.etc)?;
    }
    if let Some(recipient) = recipient.filter(|_| !news.is_empty() && !run.is_dry) {
        let subject = format!("DKIM records to publish for {}", host_name());
        mail(&recipient, &subject, &news)?;
    }
    if is_json {
        args.report(&all, &findings, "")?;
    }
    let unavailable = trouble.then(|| Failure::UNAVAILABLE.into());
    Ok(failed.or(unavailable).unwrap_or(ExitCode::SUCCESS))
}

impl Run {
    fn new(args: &Args) -> Result<Self, Failure> {
        Ok(Self {
            etc: args.etc.clone(),
            store: Store::open(&args.etc)?,
            dns: Dns::asked_for(args.text("--server")?)?,
            publisher: Publisher::of(&args.etc)?,
            index: Index::read(&args.etc)?,
            seen: Mutex::default(),
            now: UtcTime::now(),
            host: template::host(),
            template: args.value("--selector", Template::parse)?.unwrap_or_default(),
            older: args.value("--older", length)?.unwrap_or_default(),
            keep: args.value("--keep", length)?.unwrap_or(KEEP),
            is_dry: args.has("--dry-run"),
        })
    }

    /// Begins what is to be begun, and goes on with all that has begun.
    fn domain(&self, folder: &KeyFolder) -> Result<Vec<Report>, Failure> {
        let domain = &folder.domain;
        if folder.name() != domain.as_str() {
            return Err(Failure::usage(format_args!(
                "the keys of {domain} are in {}, where other domains sign with them, too: make another key there, \
                 publish its record for each of these domains, then let it sign with dkimctl use",
                folder.path.display()
            )));
        }
        let busy = || Failure::busy(format_args!("another rotate is at work on {domain}"));
        let _lock = self.store.lock(&folder.path)?.ok_or_else(busy)?;
        // What another user may have written says nothing.
        self.store.replaceable(&State::path(&folder.path))?;
        let mut state = State::read(&folder.path)?;
        // Noted before there is a key, so that a key is never there without a note.
        if self.begin(folder, &mut state)? && !self.is_dry {
            state.write(&self.store)?;
        }
        let mut reports = Vec::new();
        // From the last one on: one that is over is taken out.
        for at in (0..state.rotations.len()).rev() {
            let Some(rotation) = state.rotations.get(at).cloned() else { continue };
            let report = Report {
                domain: domain.to_string(),
                rotation,
                done: Vec::new(),
                servers: Vec::new(),
                publish: None,
                next: Note::new("none", ""),
                trouble: false,
            };
            reports.push(Step { run: self, folder, report }.go(&mut state, at)?);
        }
        reports.reverse();
        Ok(reports)
    }

    /// Notes a rotation for each selector that signs and is old enough. The key is made later.
    fn begin(&self, folder: &KeyFolder, state: &mut State) -> Result<bool, Failure> {
        let configs = self.index.again(&folder.domain)?;
        // Those that can't be changed later are refused now, before there is a new key.
        configs.iter().try_for_each(|config| self.store.replaceable(&config.path))?;
        let active: BTreeSet<&Selector> =
            configs.iter().flat_map(DomainConfig::selectors).collect();
        let before = state.rotations.len();
        for old in active {
            let files = folder.key(old);
            if state.of(old).is_some() || !self.is_old(&files)? {
                continue;
            }
            let key = files.public().map_err(|error| error.at(&files.private))?;
            let names = self.template.names(&self.host, self.now, key.algorithm());
            let names = names.map_err(Failure::usage)?;
            if names.contains(old) {
                continue;
            }
            // No name is used for a second key (its old record may be remembered somewhere).
            let is_used = |name: &Selector| {
                let files = folder.key(name);
                let known = |one: &Rotation| one.old == *name || one.new == *name;
                files.private.exists() || files.record.exists() || state.rotations.iter().any(known)
            };
            let Some(new) = names.into_iter().find(|name| !is_used(name)) else {
                return Err(Failure::exists(format_args!(
                    "{}: all selectors of that name were used; name another with --selector",
                    folder.domain
                )));
            };
            let stage = Stage::Pending;
            state.rotations.push(Rotation { old: old.clone(), new, stage, since: self.now });
        }
        Ok(state.rotations.len() != before)
    }

    fn is_old(&self, files: &KeyFiles) -> Result<bool, Failure> {
        let made = files.made().map_err(|error| Failure::reading(&files.private, &error))?;
        Ok(made.after(self.older) <= self.now)
    }

    fn text(&self, report: &Report) -> String {
        let Rotation { old, new, stage, since } = &report.rotation;
        let (domain, stage) = (&report.domain, stage.name());
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

fn length(text: &str) -> Result<u64, &'static str> {
    time::parse_length(text).ok_or("expected a number and its unit, s, m, h, d or w, as in 180d")
}

/// Seconds that an old record stays: longer than mail is in queues (`maximal_queue_lifetime`: 5 days).
const KEEP: u64 = 7 * 86_400;
