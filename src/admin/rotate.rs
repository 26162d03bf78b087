//! `dkimctl rotate`: replaces keys stage by stage, as fast as DNS allows.

mod count;
mod report;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use super::checks::finding::Finding;
use super::cli::{Args, DOMAIN, DRY_RUN, Opt};
use super::dns::Dns;
use super::notify::{MAIL, address};
use super::output::{Failure, Note, Progress, say};
use super::parallel;
use super::publishing::{Publishing, WAITED_BY_ROTATE, length};
use super::store::domains::{DomainConfig, Index};
use super::store::keys::{KeyFiles, KeyFolder};
use super::store::rotation::{self, Rotation, Stage, State};
use super::store::time::UtcTime;
use super::store::{Store, waiting};
use super::template::{self, Template};
use crate::dkim::{Domain, Selector};
use count::{Count, Turn};
use report::Report;
use step::{Run, Step};

pub(super) const OPTIONS: &[Opt] = &[
    DOMAIN,
    Opt("--all", "rotate every domain that has keys on this host"),
    Opt("-s, --selector TEMPLATE", "name of the new key (default: {host}-{yyyymm})"),
    Opt("--selectors LIST", "names that new keys take in turn, as in s1,s2"),
    Opt("--older AGE", "replace only keys that are older, as in 180d"),
    Opt("--keep TIME", "how long an old record stays published (default: 7d)"),
    Opt("--wait TIME", "longest wait for DNS (default: 10s)"),
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

A domain that waits for the record of its first key (dkimctl add) is signed once
DNS has it. Keys that domains share (`keys` in a domain file) are not replaced.

With --selectors, new keys take these names in turn: for a zone that has fixed
aliases (CNAME) for them, and the records elsewhere. Such a key signs a day
after its record is published, or after --keep if that is shorter: caches may
have the record that had its name before. --selector ends that.

TEMPLATE may contain {host}, {type}, {yyyy}, {yyyymm} and {yyyymmdd}; a key that
already has the resulting name is not replaced. Progress is recorded in
keys/DOMAIN/rotation.toml; `rotate status` shows it.

A domain that fails never stops the others. Even if there is nothing to do,
one query checks that DNS answers; if it does not, the exit code is 69.

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
    // Remove duplicates: the second rotation of a domain would find the first one running.
    folders.sort_by(|one, other| one.domain.cmp(&other.domain));
    folders.dedup_by(|one, other| one.domain == other.domain);
    run.publishing.begin(folders.len());
    let (mut all, mut count) = (Vec::new(), Count::default());
    let (mut now, mut findings) = (BTreeMap::new(), Vec::new());
    let (is_json, is_quiet) = (args.is_json(), args.is_quiet());
    let turn = |folder: &KeyFolder| (folder.domain.clone(), run.domain(folder));
    let each = |(domain, turn): (Domain, Result<Turn, Failure>)| {
        count.add(&turn);
        match turn {
            Err(failure) => {
                failure.report();
                findings.push(Finding::from(&failure).about(&domain));
                let text = format!("{domain}: {}\n", failure.what());
                now.insert(domain.to_string(), (format!("exit code {}", failure.code), text));
            }
            Ok(turn) => {
                let reported = turn.reports.iter().filter(|report| report.publish.is_some());
                let (marks, text): (String, String) =
                    reported.map(|report| (report.mark(), report.text(run.is_dry))).unzip();
                if !marks.is_empty() {
                    now.insert(domain.to_string(), (marks, text));
                }
                findings.extend(turn.reports.iter().filter_map(Report::finding));
                if is_json {
                    all.extend(turn.reports);
                } else {
                    say(turn.text(&domain, is_quiet, run.is_dry))?;
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
    let answer = if folders.len() == count.idle { run.answers() } else { Ok(()) };
    if is_json {
        findings.extend(answer.as_ref().err().map(Finding::from));
        args.report(&all, &findings, "")?;
    } else if folders.len() != 1 && !is_quiet {
        let empty = || format!("{}\n", waiting::no_domains(&run.etc));
        say(if folders.is_empty() { empty() } else { count.text() })?;
    }
    if let Some(recipient) = recipient.filter(|_| !run.is_dry) {
        run.mail_news(&recipient, &folders, &now)?;
    }
    answer.map(|()| count.exit_code())
}

impl Run {
    fn new(args: &Args) -> Result<Self, Failure> {
        let store = Store::open(&args.etc)?;
        let dns = Dns::asked_for(args.text("--server")?)?;
        let mut publishing = Publishing::of(args, dns, WAITED_BY_ROTATE)?;
        publishing.publisher.take_if(|_| args.has("--dry-run"));
        Ok(Self {
            etc: args.etc.clone(),
            store,
            publishing,
            index: Index::read(&args.etc)?,
            seen: Mutex::default(),
            now: UtcTime::now(),
            host: template::host(),
            template: args.value("--selector", Template::parse)?.unwrap_or_default(),
            selectors: match (args.has("--selector"), args.has("--selectors")) {
                (true, true) => {
                    return Err(Failure::usage("--selector and --selectors exclude each other"));
                }
                (true, false) => Some(Vec::new()),
                (false, _) => args.value("--selectors", |list| {
                    rotation::turn(&list.split(',').collect::<Vec<_>>())
                })?,
            },
            older: args.value("--older", length)?.unwrap_or_default(),
            keep: args.value("--keep", length)?.unwrap_or(KEEP),
            is_dry: args.has("--dry-run"),
        })
    }

    /// Starts new rotations, and continues those that are in progress.
    fn domain(&self, folder: &KeyFolder) -> Result<Turn, Failure> {
        if let Some(turn) = self.first(folder)? {
            return Ok(turn);
        }
        let domain = &folder.domain;
        if folder.name() != domain.as_str() {
            return Err(Failure::usage(format_args!(
                "the keys of {domain} are in {}, where other domains sign with them, too: make another key there \
                 with dkimctl add {domain}, publish its record for each of these domains, then let it sign with dkimctl \
                 use",
                folder.path.display()
            )));
        }
        let busy = format_args!("another rotate is running for {domain}");
        let _lock = self.store.lock(&folder.path, busy)?;
        // Do not trust a file that another user may have written.
        self.store.replaceable(&State::path(&folder.path))?;
        let mut state = State::read(&folder.path)?;
        let turns = self.selectors.as_ref().filter(|turns| **turns != state.selectors);
        if let Some(turns) = turns.cloned() {
            state.selectors = turns;
            if !self.is_dry {
                state.write(&self.store)?;
            }
        }
        // The rotation is recorded before its key is created, so that no key exists without a record of its rotation.
        if self.begin(folder, &mut state)? && !self.is_dry {
            state.write(&self.store)?;
        }
        let mut reports = Vec::new();
        // From the last to the first, because finished rotations are removed.
        for at in (0..state.rotations.len()).rev() {
            let Some(rotation) = state.rotations.get(at).cloned() else { continue };
            let report = Report {
                domain: domain.to_string(),
                rotation,
                done: Vec::new(),
                servers: Vec::new(),
                publish: None,
                next: Note::new("none", ""),
                unanswered: false,
            };
            let is_in_turn = state.selectors.contains(&report.rotation.new);
            let step = Step { run: self, folder, report, is_in_turn };
            reports.push(step.go(&mut state, at)?);
        }
        reports.reverse();
        Ok(Turn { begins: None, reports })
    }

    /// Queries DNS once if nothing was due. Otherwise a dead DNS server would go unnoticed until a key is due.
    fn answers(&self) -> Result<(), Failure> {
        let dead = |error| {
            Failure::unavailable(format_args!("nothing was due, and DNS does not answer: {error}"))
        };
        self.publishing.dns.answers().map_err(dead)
    }

    /// Continues with a domain that waits for the record of its first key.
    fn first(&self, folder: &KeyFolder) -> Result<Option<Turn>, Failure> {
        let domain = &folder.domain;
        let Some(config) = waiting::read(&self.etc, domain)? else { return Ok(None) };
        let Some(selector) = config.selectors().into_iter().next().cloned() else {
            return Ok(None);
        };
        let said = |begins| Ok(Some(Turn { begins: Some(begins), reports: Vec::new() }));
        if self.is_dry {
            return said(format!("{domain}: would look for the record of {selector}\n"));
        }
        let published = self.publishing.key(&self.etc, folder, &selector)?;
        if !published.begins {
            return Err(Failure::unavailable(format_args!(
                "{domain} is not signed yet: {}: {}",
                selector.record_name(domain),
                published.why_not()
            )));
        }
        let name = selector.record_name(domain);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.note(&name, true, self.now);
        said(
            format!(
                "{domain}: {selector} signs from now on\n  {}",
                published.text(&name).replace('\n', "\n  ").trim_end()
            ) + "\n",
        )
    }

    /// Records a rotation for each selector that signs and is old enough. The key is created later.
    fn begin(&self, folder: &KeyFolder, state: &mut State) -> Result<bool, Failure> {
        let configs = self.index.again(&folder.domain)?;
        // Check now that the files can be changed later, before there is a new key.
        configs.iter().try_for_each(|config| self.store.replaceable(&config.path))?;
        // A domain may share keys in another directory by now.
        let here = configs.iter().filter(|config| config.folder() == folder.name());
        let active: BTreeSet<&Selector> = here.flat_map(DomainConfig::selectors).collect();
        let before = state.rotations.clone();
        for &old in &active {
            let files = folder.key(old);
            if state.of(old).is_some() || !self.is_old(&files)? {
                continue;
            }
            let key = files.public().map_err(|error| error.at(&files.private))?;
            let names = self.template.names(&self.host, self.now, key.algorithm());
            let names = names.map_err(Failure::usage)?;
            if state.selectors.is_empty() && names.contains(old) {
                continue;
            }
            let new = if state.selectors.is_empty() {
                // A name is never used for a second key, because the old record may still be in a cache.
                names.into_iter().find(|name| {
                    let files = folder.key(name);
                    let is_known = state.rotations.iter().any(|one| one.is_of(name));
                    !(files.private.exists() || files.record.exists() || is_known)
                })
            } else {
                next_in_turn(folder, state, &active, old)
            };
            let Some(new) = new else {
                let what = match state.selectors.is_empty() {
                    true => "all selectors of that name were used; name another with --selector",
                    false => "none of the selectors that take turns is free",
                };
                return Err(Failure::exists(format_args!("{}: {what}", folder.domain)));
            };
            // The earlier key of this name was wiped.
            state.rotations.retain(|one| one.stage != Stage::Revoked || one.old != new);
            let stage = Stage::Pending;
            state.rotations.push(Rotation { old: old.clone(), new, stage, since: self.now });
        }
        // A rotation may have taken the place of another one.
        Ok(state.rotations != before)
    }

    fn is_old(&self, files: &KeyFiles) -> Result<bool, Failure> {
        let made = files.made().map_err(|error| Failure::reading(&files.private, &error))?;
        Ok(made.after(self.older) <= self.now)
    }
}

/// The next free selector after `old` in the list of those that take turns. A selector is free if no key of that name signs, is part
/// of a rotation or still has to be wiped.
fn next_in_turn(
    folder: &KeyFolder,
    state: &State,
    active: &BTreeSet<&Selector>,
    old: &Selector,
) -> Option<Selector> {
    let is_free = |name: &&Selector| {
        let was_replaced = state.rotations.iter().any(|one| one.old == **name);
        let waits_for_wipe = was_replaced && folder.key(name).private.exists();
        !active.contains(name) && state.of(name).is_none() && !waits_for_wipe
    };
    let at = state.selectors.iter().position(|name| name == old);
    let after = at.map_or(0, |at| at.saturating_add(1));
    let turns = state.selectors.iter().cycle().skip(after);
    turns.take(state.selectors.len()).find(is_free).cloned()
}

/// How many seconds an old record stays: longer than mail stays in queues (`maximal_queue_lifetime`, 5 days).
const KEEP: u64 = 7 * 86_400;
