//! `dkimctl watch`: whether the records of the keys that sign are still published.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::checks::finding::Finding;
use super::cli::{Args, Opt, SERVER};
use super::dns::Dns;
use super::input;
use super::notify::{MAIL, address, host_name, mail};
use super::output::Failure;
use super::published::{self, Outcome, Tested};
use super::store::seen::Seen;
use super::store::time::UtcTime;
use super::store::{NewFile, Readers, Store};
use crate::report::{self, Severity};

pub(super) const OPTIONS: &[Opt] = &[SERVER, MAIL];

pub(super) const HELP: &str = "\
usage: dkimctl watch [OPTION...]

Report records of signing keys that are no longer published, once each.

Queries DNS as testkey does. A problem is printed, logged and, with --mail,
mailed when it begins and when it ends, not at every run: watch.json in the
configuration directory has the problems of the last run. Run it daily, or
enable sendmail-dkim-watch.timer.

Exits as testkey does: 0 if all records are correct; 65 if one is wrong; 69 if
one is missing or DNS does not answer; 71 if a key cannot be read.
";

/// What was wrong at the last run, by the name of the record.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    problems: BTreeMap<String, Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Problem {
    /// What `testkey` finds.
    what: String,
    since: String,
}

/// What differs from the last run.
#[derive(Debug, Serialize)]
struct News<'a> {
    begun: BTreeMap<&'a str, &'a Problem>,
    ended: BTreeMap<&'a str, &'a Problem>,
    /// Those of the last run that are still there.
    lasting: BTreeMap<&'a str, &'a Problem>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let recipient = args.value("--mail", address)?;
    let store = Store::open(&args.etc)?;
    let path = args.etc.join("watch.json");
    let before = State::read(&path)?;
    let dns = Dns::asked_for(args.text("--server")?)?;
    let tested = published::tested(&args.etc, dns)?;
    let mut seen = Seen::default();
    published::note(&mut seen, &tested);
    seen.write(&store, &args.etc)?;
    let now = State::of(&tested, &before, UtcTime::now());
    let news = News::of(&before, &now);
    for (name, problem) in &news.begun {
        report::log(Severity::Warning, &format!("watch: {name}: {}", problem.what));
    }
    for name in news.ended.keys() {
        report::log(Severity::Info, &format!("watch: {name}: ok"));
    }
    let mailed = match recipient.filter(|_| !news.is_empty()) {
        Some(recipient) => mail(&recipient, &news.subject(), &news.text()),
        None => Ok(()),
    };
    let mut findings: Vec<_> = tested.iter().flat_map(Tested::reports).collect();
    findings.extend(mailed.as_ref().err().map(Finding::from));
    args.report(&news, &findings, &news.text())?;
    // The state comes last: what could not be mailed is news at the next run, too.
    mailed?;
    if before.problems != now.problems {
        let text = serde_json::to_string_pretty(&now).map_err(Failure::software)?;
        store.replace(&NewFile { path: &path, text: text.as_bytes(), readers: Readers::All })?;
    }
    let worst = tested.iter().map(|tested| tested.outcome).max();
    Ok(ExitCode::from(worst.map_or(0, |worst| worst as u8)))
}

impl State {
    fn read(path: &Path) -> Result<Self, Failure> {
        let Some(text) = input::optional(path)? else { return Ok(Self::default()) };
        serde_json::from_str(&text).map_err(|error| {
            Failure::data(format_args!("{}: {error}; remove the file", path.display()))
        })
    }

    /// The problems that were found; each keeps the time at which it began.
    fn of(tested: &[Tested], before: &Self, now: UtcTime) -> Self {
        let mut problems = BTreeMap::new();
        for one in tested.iter().filter(|one| one.outcome != Outcome::Ok) {
            let found: Vec<&str> =
                one.findings.iter().map(|found| found.message.as_str()).collect();
            let known = before.problems.get(&one.name).map(|problem| problem.since.clone());
            let since = known.unwrap_or_else(|| now.to_string());
            problems.insert(one.name.clone(), Problem { what: found.join("; "), since });
        }
        Self { problems }
    }
}

impl<'a> News<'a> {
    fn of(before: &'a State, now: &'a State) -> Self {
        let pick = |of: &'a State, other: &State, is_there| {
            let problems = of.problems.iter().map(|(name, problem)| (name.as_str(), problem));
            problems.filter(|(name, _)| other.problems.contains_key(*name) == is_there).collect()
        };
        Self {
            begun: pick(now, before, false),
            ended: pick(before, now, false),
            lasting: pick(now, before, true),
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
            for (name, Problem { what, since }) in problems {
                text.push_str(&format!("  {name}: {what} (since {since})\n"));
            }
        }
        if text.is_empty() {
            return "All records are as they should be.\n".to_owned();
        }
        text.push_str("\ndkimctl testkey shows each record, and what to change.\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(problems: &[(&str, &str)]) -> State {
        let problem = |(name, since): &(&str, &str)| {
            ((*name).to_owned(), Problem { what: "x".to_owned(), since: (*since).to_owned() })
        };
        State { problems: problems.iter().map(problem).collect() }
    }

    #[test]
    fn a_problem_is_news_when_it_begins_and_when_it_ends() {
        let (before, now) = (state(&[("a", "1"), ("b", "2")]), state(&[("b", "2"), ("c", "3")]));
        let news = News::of(&before, &now);
        let names = |of: &BTreeMap<&str, &Problem>| of.keys().copied().collect::<String>();
        assert_eq!(
            (names(&news.begun), names(&news.ended), names(&news.lasting)),
            ("c".into(), "a".into(), "b".into())
        );
        assert!(!news.is_empty() && News::of(&now, &now).is_empty());
        assert_eq!(
            News::of(&state(&[]), &state(&[])).text(),
            "All records are as they should be.\n"
        );
    }
}
