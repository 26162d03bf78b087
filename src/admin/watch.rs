//! `dkimctl watch`: reports records of signing keys that are no longer published.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::checks::finding::Finding;
use super::cli::{Args, Opt, SERVER};
use super::dns::Dns;
use super::input;
use super::notify::{MAIL, address, host_name, mail};
use super::output::{Failure, Progress};
use super::parallel;
use super::published::{self, Outcome, Presence, Tested};
use super::store::gone::{self, Gone};
use super::store::seen::Seen;
use super::store::time::UtcTime;
use super::store::{Readers, Store, waiting};
use crate::report::{self, Severity};

pub(super) const OPTIONS: &[Opt] = &[SERVER, MAIL];

pub(super) const HELP: &str = "\
usage: dkimctl watch [OPTION...]

Report records of signing keys that are no longer published, once each.

Queries DNS as testkey does. A problem is printed, logged and, with --mail,
mailed when it begins and when it ends, not at every run: watch.json in the
configuration directory has the problems of the last run. Run it daily, or
enable sendmail-dkim-watch.timer.

With on_missing_record = \"skip\" in config.toml or a domain file, a key stops
signing when every server of the zone has answered, at two runs at least, that
it has no such record, for as long as missing_record_after says. A server that
does not answer never counts. The key signs again at the first run that finds
the record. DOMAIN.gone next to the domain file names such keys.

Exits as testkey does: 0 if all records are correct; 65 if one is wrong; 69 if
one is missing or DNS does not answer; 71 if a key cannot be read; 75 if another
watch is running.
";

/// The problems of the last run, by the names of the records.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    problems: Problems,
    /// The problems in the last message, if messages are mailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mailed: Option<Problems>,
}

type Problems = BTreeMap<String, Problem>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Problem {
    /// The finding of `testkey`.
    what: String,
    since: String,
    #[serde(default)]
    kind: Kind,
    /// For how long all servers have been known to lack the record. Seconds.
    #[serde(default)]
    gone: u64,
    /// When they were last known to lack it; `None` if the last run could not find out.
    #[serde(default)]
    gone_at: Option<u64>,
}

/// How bad a problem is. Another kind is news, unless DNS only stops answering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// DNS does not answer.
    Unanswered,
    /// The record is missing or wrong, or the key cannot be read.
    #[default]
    Broken,
    /// The same, and the key does not sign.
    Unsigned,
}

/// The longest time between two runs that counts. If the host was off, or its clock was wrong, the time between proves nothing.
/// Seconds.
const LONGEST_STEP: u64 = 2 * 86_400;

/// The differences from the last run.
#[derive(Debug, Serialize)]
struct News<'a> {
    begun: BTreeMap<&'a str, &'a Problem>,
    ended: BTreeMap<&'a str, &'a Problem>,
    /// Problems of the last run that still exist.
    lasting: BTreeMap<&'a str, &'a Problem>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let recipient = args.value("--mail", address)?;
    let store = Store::open(&args.etc)?;
    let domains = args.etc.join("domains");
    store.folder(&domains, Readers::All)?;
    let _lock = store.lock(&domains, "another watch is running")?;
    let path = args.etc.join("watch.json");
    let before = State::read(&path)?;
    let dns = Dns::asked_for(args.text("--server")?)?;
    let tested = published::tested(&args.etc, &dns)?;
    let mut seen = Seen::default();
    published::note(&mut seen, &tested);
    seen.write(&store, &args.etc)?;
    let presences = presences(&dns, &tested);
    let mut problems = found(&tested, &presences, &before.problems, UtcTime::now());
    let skipped = skipped(&tested, &presences, &problems);
    for tested in &tested {
        let is_skipped = tested.skip.as_ref().is_some_and(|skip| {
            skipped.get(&skip.file).is_some_and(|selectors| selectors.contains(&skip.selector))
        });
        if let (Some(problem), true) = (problems.get_mut(&tested.name), is_skipped) {
            problem.kind = Kind::Unsigned;
            problem.what = format!("{}{UNSIGNED}", problem.what.trim_end_matches(UNSIGNED));
        }
    }
    gone::write_all(&store, &args.etc, &skipped)?;

    let news = News::of(&before.problems, &problems);
    for (name, problem) in &news.begun {
        report::log(Severity::Warning, &format!("watch: {name}: {}", problem.what));
    }
    for name in news.ended.keys() {
        report::log(Severity::Info, &format!("watch: {name}: ok"));
    }
    let mailed = before.mailed.as_ref().unwrap_or(&before.problems);
    let write = |mailed: &Problems| {
        let now = State { problems: problems.clone(), mailed: Some(mailed.clone()) };
        let text = serde_json::to_string_pretty(&now).map_err(Failure::software)?;
        store.replace(&path, &text, Readers::All)
    };
    write(mailed)?;
    // News that an earlier run could not mail, or was not asked to mail, is mailed now.
    let unmailed = News::of(mailed, &problems);
    let is_mailed = match recipient.filter(|_| !unmailed.is_empty()) {
        Some(recipient) => mail(&recipient, &unmailed.subject(), &unmailed.text()).map(|()| true),
        None => Ok(false),
    };
    let mut findings: Vec<_> = tested.iter().flat_map(Tested::reports).collect();
    findings.extend(is_mailed.as_ref().err().map(Finding::from));
    let empty = || format!("{}\n", waiting::no_domains(&args.etc));
    args.report(&news, &findings, if tested.is_empty() { empty() } else { news.text() })?;
    if is_mailed? {
        write(&problems)?;
    }
    let worst = tested.iter().map(|tested| tested.outcome).max();
    Ok(ExitCode::from(worst.map_or(0, |worst| worst as u8)))
}

/// What is added to the problem of a key that does not sign.
const UNSIGNED: &str = "; the key does not sign until a server has its record again";

/// For each record that is not correct, if its domain file requires it: what all servers of the zone have.
fn presences(dns: &Dns, tested: &[Tested]) -> BTreeMap<String, Presence> {
    let is_asked = |one: &&Tested| one.skip.is_some() && one.outcome != Outcome::Ok;
    let names: BTreeSet<&str> =
        tested.iter().filter(is_asked).map(|one| one.name.as_str()).collect();
    let unanswered: BTreeSet<&str> =
        tested.iter().filter(|one| one.is_unanswered()).map(|one| one.name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    // Each name takes several queries.
    dns.for_names(names.len().saturating_mul(8));
    let ask = |name: &&str| match unanswered.contains(name) {
        true => Presence::Unknown,
        false => published::presence(dns, name),
    };
    let progress = Progress::of("zones asked");
    let found = parallel::all(&names, parallel::WAITING, progress, ask);
    names.iter().map(|name| (*name).to_owned()).zip(found).collect()
}

/// The problems that were found; each keeps the time at which it began.
fn found(
    tested: &[Tested],
    presences: &BTreeMap<String, Presence>,
    before: &Problems,
    now: UtcTime,
) -> Problems {
    let mut problems = BTreeMap::new();
    for one in tested.iter().filter(|one| one.outcome != Outcome::Ok) {
        let known = before.get(&one.name);
        let mut problem = Problem {
            what: one.why(),
            since: known.map_or_else(|| now.to_string(), |problem| problem.since.clone()),
            kind: if one.is_unanswered() { Kind::Unanswered } else { Kind::Broken },
            gone: 0,
            gone_at: None,
        };
        // Without an answer, the earlier finding stays.
        if let (Some(known), Kind::Unanswered) = (known, problem.kind) {
            problem.what = known.what.trim_end_matches(UNSIGNED).to_owned();
            problem.kind = if known.kind == Kind::Unsigned { Kind::Broken } else { known.kind };
        }
        let so_far = known.map_or(0, |known| known.gone);
        match presences.get(&one.name) {
            Some(Presence::Gone) => {
                let last = known.and_then(|known| known.gone_at).unwrap_or(now.0);
                let step = now.0.saturating_sub(last).min(LONGEST_STEP);
                problem.gone = so_far.saturating_add(step);
                problem.gone_at = Some(now.0);
            }
            Some(Presence::Unknown) => problem.gone = so_far,
            Some(Presence::There) | None => {}
        }
        problems.insert(one.name.clone(), problem);
    }
    if tested.iter().any(Tested::is_unread) {
        // The records of that domain file were not looked up, so that what was wrong with them has not ended.
        let names: BTreeSet<&String> = tested.iter().map(|one| &one.name).collect();
        let unknown = before.iter().filter(|(name, _)| !names.contains(name));
        problems.extend(unknown.map(|(name, problem)| (name.clone(), problem.clone())));
    }
    problems
}

/// Decides which keys do not sign. Without an answer, the earlier decision stays.
fn skipped(tested: &[Tested], presences: &BTreeMap<String, Presence>, problems: &Problems) -> Gone {
    let mut skipped = Gone::new();
    for one in tested.iter().filter(|one| one.outcome != Outcome::Ok) {
        if one.is_unread() {
            let file = PathBuf::from(&one.name);
            skipped.insert(file.clone(), gone::read(&file));
        }
        let Some(skip) = &one.skip else { continue };
        let problem = problems.get(&one.name);
        // The first run that finds no record does not show for how long it has been missing.
        let is_due = problem.is_some_and(|problem| problem.gone >= skip.after.max(1));
        let is_skipped = match presences.get(&one.name) {
            Some(Presence::Gone) => is_due || gone::read(&skip.file).contains(&skip.selector),
            Some(Presence::Unknown) => gone::read(&skip.file).contains(&skip.selector),
            Some(Presence::There) | None => false,
        };
        if is_skipped {
            skipped.entry(skip.file.clone()).or_default().insert(skip.selector.clone());
        }
    }
    skipped
}

impl State {
    fn read(path: &Path) -> Result<Self, Failure> {
        let Some(text) = input::optional(path, input::FOREIGN)? else { return Ok(Self::default()) };
        serde_json::from_str(&text).map_err(|error| {
            let (shown, line) = (path.display(), error.line());
            let what = format_args!("{shown}: line {line}: not what watch writes; remove the file");
            Failure::data(what).about(shown)
        })
    }
}

impl<'a> News<'a> {
    fn of(before: &'a Problems, now: &'a Problems) -> Self {
        let is_known = |name: &str, problem: &Problem| {
            before.get(name).is_some_and(|known| known.kind == problem.kind)
        };
        let pick = |of: &'a Problems, is_picked: &dyn Fn(&str, &Problem) -> bool| {
            let problems = of.iter().map(|(name, problem)| (name.as_str(), problem));
            problems.filter(|(name, problem)| is_picked(name, problem)).collect()
        };
        Self {
            begun: pick(now, &|name, problem| !is_known(name, problem)),
            ended: pick(before, &|name, _| !now.contains_key(name)),
            lasting: pick(now, &is_known),
        }
    }

    fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.ended.is_empty()
    }

    fn subject(&self) -> String {
        let host = host_name();
        match self.begun.len() {
            0 => format!("DKIM records on {host}: problems have ended"),
            count => format!("DKIM records on {host}: new problems: {count}"),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (heading, problems) in
            [("New problems", &self.begun), ("Ended", &self.ended), ("Still there", &self.lasting)]
        {
            if problems.is_empty() {
                continue;
            }
            text.push_str(&format!("{heading}:\n"));
            for (name, Problem { what, since, .. }) in problems {
                text.push_str(&format!("  {name}: {what} (since {since})\n"));
            }
        }
        if text.is_empty() {
            return "All records are correct.\n".to_owned();
        }
        text.push_str("\nRun dkimctl testkey to see each record and what to change.\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::temporary::Temporary;
    use crate::dkim::Selector;

    fn problems(problems: &[(&str, Kind)]) -> Problems {
        let problem = |(name, kind): &(&str, Kind)| {
            let (what, since) = ("x".to_owned(), "2026-11-29T00:00:00Z".to_owned());
            ((*name).to_owned(), Problem { what, since, kind: *kind, gone: 0, gone_at: None })
        };
        problems.iter().map(problem).collect()
    }

    #[test]
    fn a_problem_is_news_when_it_begins_gets_worse_and_ends() {
        use Kind::{Broken, Unanswered, Unsigned};
        let before = problems(&[("a", Broken), ("b", Broken), ("d", Broken), ("e", Unanswered)]);
        let now = problems(&[("b", Broken), ("c", Broken), ("d", Unsigned), ("e", Broken)]);
        let news = News::of(&before, &now);
        let names = |of: &BTreeMap<&str, &Problem>| of.keys().copied().collect::<String>();
        assert_eq!(
            (names(&news.begun), names(&news.ended), names(&news.lasting)),
            ("cde".into(), "a".into(), "b".into())
        );
        assert!(!news.is_empty() && News::of(&now, &now).is_empty());
        let none = problems(&[]);
        assert_eq!(News::of(&none, &none).text(), "All records are correct.\n");
    }

    /// A record that is absent or unanswered at these times, by what all servers say: how long it is known to be gone after each.
    fn gone(runs: &[(u64, Presence)]) -> Vec<u64> {
        let name = "s._domainkey.x.test".to_owned();
        let mut before = Problems::new();
        let mut known = Vec::new();
        for (now, presence) in runs {
            let tested = [Tested::absent(name.clone())];
            let presences = BTreeMap::from([(name.clone(), *presence)]);
            before = found(&tested, &presences, &before, UtcTime(*now));
            known.extend(before.get(&name).map(|problem| problem.gone));
        }
        known
    }

    #[test]
    fn problems_of_all_domains_of_a_large_host_are_known_at_the_next_run() {
        let path = std::env::temp_dir().join(format!("watch-{}.json", std::process::id()));
        let names: Vec<String> = (0..10_000).map(|number| format!("s.d.{number}.test")).collect();
        let all: Vec<_> = names.iter().map(|name| (name.as_str(), Kind::Unanswered)).collect();
        let state = State { problems: problems(&all), mailed: Some(problems(&all)) };
        std::fs::write(&path, serde_json::to_string_pretty(&state).unwrap()).unwrap();
        let read = State::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((read.problems, read.mailed), (state.problems, state.mailed));
    }

    #[test]
    fn a_domain_file_that_cannot_be_read_ends_no_problem() {
        let tested = [Tested::unreadable("/x.toml".to_owned(), "broken".to_owned())];
        let before = problems(&[("a", Kind::Unsigned)]);
        let now = found(&tested, &BTreeMap::new(), &before, UtcTime(5));
        assert_eq!(now.keys().collect::<Vec<_>>(), ["/x.toml", "a"]);
        assert_eq!(now.get("a"), before.get("a"));
    }

    #[test]
    fn a_dns_server_that_stops_answering_is_no_news_of_a_known_problem() {
        use Kind::{Broken, Unanswered, Unsigned};
        let tested = [Tested::unanswered("a".to_owned())];
        for (kind, then) in [(Broken, Broken), (Unsigned, Broken), (Unanswered, Unanswered)] {
            let before = problems(&[("a", kind)]);
            let now = found(&tested, &BTreeMap::new(), &before, UtcTime(5));
            // What it was and when it began stays known.
            assert_eq!(now, problems(&[("a", then)]), "{kind:?}");
        }
        let now = found(&tested, &BTreeMap::new(), &Problems::new(), UtcTime(5));
        assert_eq!(now.get("a").map(|problem| problem.kind), Some(Unanswered));
    }

    #[test]
    fn a_key_that_does_not_sign_signs_again_only_when_a_server_has_its_record() {
        use Presence::{Gone, There, Unknown};
        let folder = Temporary::new("watch-skipped").unwrap();
        let (file, name) = (folder.path.join("x.test.toml"), "s._domainkey.x.test".to_owned());
        let selector = Selector::parse("s").unwrap();
        // How long the record may be missing, whether the key signed, what the servers have, and for how long they have had nothing;
        // watch.json may be lost.
        for (after, signs, presence, gone, then) in [
            (60, true, Gone, 59, true),
            (60, true, Gone, 60, false),
            (60, false, Gone, 0, false),
            (60, false, Unknown, 0, false),
            (60, true, Unknown, 60, true),
            (60, false, There, 60, true),
            // The first run does not show for how long it has been missing.
            (0, true, Gone, 0, true),
            (0, true, Gone, 1, false),
        ] {
            let tested =
                [Tested::absent(name.clone()).with_skip(file.clone(), selector.clone(), after)];
            std::fs::write(file.with_extension("gone"), if signs { "" } else { "s\n" }).unwrap();
            let mut problems = problems(&[(&name, Kind::Broken)]);
            problems.values_mut().for_each(|problem| problem.gone = gone);
            let presences = BTreeMap::from([(name.clone(), presence)]);
            let skipped = skipped(&tested, &presences, &problems);
            assert_eq!(!skipped.contains_key(&file), then, "{signs} {presence:?} {gone}");
        }
    }

    #[test]
    fn only_the_time_between_two_runs_that_found_it_gone_counts() {
        use Presence::{Gone, There, Unknown};
        const DAY: u64 = 86_400;
        assert_eq!(gone(&[(5, Gone), (5 + DAY, Gone), (5 + 2 * DAY, Gone)]), [0, DAY, 2 * DAY]);
        // A server that does not answer adds nothing, and takes nothing away.
        let runs =
            [(5, Gone), (9, Gone), (5 + DAY, Unknown), (5 + 2 * DAY, Gone), (6 + 2 * DAY, Gone)];
        assert_eq!(gone(&runs), [0, 4, 4, 4, 5]);
        assert_eq!(gone(&[(5, Gone), (9, Gone), (12, There), (20, Gone)]), [0, 4, 0, 0]);
        // A clock that jumps counts for two days at most, and never backwards.
        assert_eq!(gone(&[(5, Gone), (1_700_000_000, Gone)]), [0, 2 * DAY]);
        assert_eq!(gone(&[(1_700_000_000, Gone), (5, Gone), (9, Gone)]), [0, 0, 4]);
    }
}
