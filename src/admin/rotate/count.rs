//! Counts the results of a run, and mails those that are new.

use std::collections::BTreeMap;
use std::process::ExitCode;

use super::report::Report;
use super::step::Run;
use crate::admin::input;
use crate::admin::notify::{host_name, mail};
use crate::admin::output::Failure;
use crate::admin::store::Readers;
use crate::admin::store::keys::KeyFolder;
use crate::admin::store::rotation::Stage;
use crate::dkim::Domain;

/// The result for one domain.
pub(super) struct Turn {
    /// The report on a domain that waited for the record of its first key.
    pub(super) begins: Option<String>,
    pub(super) reports: Vec<Report>,
}

impl Turn {
    /// For people. `is_quiet`: only what is wrong. `is_dry`: nothing was done.
    pub(super) fn text(&self, domain: &Domain, is_quiet: bool, is_dry: bool) -> String {
        let begins = self.begins.iter().filter(|_| !is_quiet).cloned();
        let is_shown = |report: &&Report| !is_quiet || report.finding().is_some();
        let reports = self.reports.iter().filter(is_shown).map(|report| report.text(is_dry));
        let text: String = begins.chain(reports).collect();
        if text.is_empty() && !is_quiet { format!("{domain}: nothing to do\n") } else { text }
    }
}

/// The results for all domains.
#[derive(Default)]
pub(super) struct Count {
    all: usize,
    pub(super) idle: usize,
    /// Domains that failed, and the exit code of the last one.
    failed: usize,
    code: u8,
    unanswered: usize,
    waiting: usize,
}

impl Count {
    pub(super) fn add(&mut self, turn: &Result<Turn, Failure>) {
        let one = |count: &mut usize| *count = count.saturating_add(1);
        one(&mut self.all);
        match turn {
            Err(failure) => {
                one(&mut self.failed);
                self.code = failure.code;
            }
            Ok(Turn { begins, reports }) => {
                let is_waiting = |report: &Report| report.rotation.stage == Stage::Pending;
                if begins.is_none() && reports.is_empty() {
                    one(&mut self.idle);
                } else if reports.iter().any(|report| report.unanswered) {
                    one(&mut self.unanswered);
                } else if reports.iter().any(is_waiting) {
                    one(&mut self.waiting);
                }
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let Self { all, idle, failed, unanswered, waiting, .. } = self;
        let others: usize = [idle, failed, unanswered, waiting].into_iter().sum();
        let rest = all.saturating_sub(others);
        format!(
            "{all} domains: {rest} went on, {idle} had nothing to do, {waiting} wait for a record, \
             {unanswered} with an error of DNS or of publishing, {failed} failed\n"
        )
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match (self.failed, self.unanswered) {
            (0, 0) => ExitCode::SUCCESS,
            (0, _) => Failure::UNAVAILABLE.into(),
            (_, _) => self.code.into(),
        }
    }
}

impl Run {
    /// Mails what is new since the last message. A record or an error is mailed once, not at every run.
    pub(super) fn mail_news(
        &self,
        recipient: &str,
        folders: &[KeyFolder],
        now: &BTreeMap<String, (String, String)>,
    ) -> Result<(), Failure> {
        let path = self.etc.join("rotate.json");
        let text = input::optional(&path, input::FOREIGN)?.unwrap_or_default();
        // Without the file everything is new, which does no harm.
        let before: BTreeMap<String, String> = serde_json::from_str(&text).unwrap_or_default();
        let mut mailed = before.clone();
        folders.iter().for_each(|folder| drop(mailed.remove(folder.domain.as_str())));
        let mut news = String::new();
        for (domain, (mark, text)) in now {
            if before.get(domain) != Some(mark) {
                news.push_str(text);
            }
            mailed.insert(domain.clone(), mark.clone());
        }
        if !news.is_empty() {
            let subject = format!("DKIM records to publish for {}", host_name());
            mail(recipient, &subject, &news)?;
        }
        if mailed != before {
            let text = serde_json::to_string(&mailed).map_err(Failure::software)?;
            self.store.replace(&path, &text, Readers::All)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn quiet_output_has_what_is_to_be_done_and_no_more() {
        let domain = Domain::parse("x.test").unwrap();
        let turn = |reports| Turn { begins: None, reports };
        for (turn, text, quiet) in [
            (turn(Vec::new()), "x.test: nothing to do\n", ""),
            (Turn { begins: Some("begins\n".to_owned()), reports: Vec::new() }, "begins\n", ""),
            (turn(vec![report(true, false)]), "x.test: old -> new: pending since", ""),
            (turn(vec![report(false, false)]), "value  v=DKIM1; p=", "value  v=DKIM1; p="),
        ] {
            assert!(turn.text(&domain, false, false).contains(text), "{text}");
            let shown = turn.text(&domain, true, false);
            assert!(shown.contains(quiet) && shown.is_empty() == quiet.is_empty(), "{shown}");
        }
    }

    #[test]
    fn a_failure_gives_the_exit_code_before_a_server_without_answer() {
        let idle = || Ok(Turn { begins: None, reports: Vec::new() });
        let begins = || Ok(Turn { begins: Some("x".to_owned()), reports: Vec::new() });
        let waits = || Ok(Turn { begins: None, reports: vec![report(false, false)] });
        let unanswered = || {
            let reports = vec![report(false, false), report(false, true)];
            Ok(Turn { begins: None, reports })
        };
        let fails = || Err(Failure::exists("x"));
        let one = |turns: Vec<Result<Turn, Failure>>| {
            let mut count = Count::default();
            turns.iter().for_each(|turn| count.add(turn));
            (format!("{:?}", count.exit_code()), count.text())
        };
        for (turns, code, text) in [
            (vec![], 0, "0 domains: 0 went on, 0 had nothing to do, 0 wait"),
            (vec![idle(), begins(), waits(), waits()], 0, "1 went on, 1 had nothing to do, 2 wait"),
            (vec![unanswered(), idle()], 69, "0 wait for a record, 1 with an error of DNS"),
            (
                vec![fails(), unanswered(), fails()],
                73,
                "1 with an error of DNS or of publishing, 2 failed",
            ),
        ] {
            let (found, said) = one(turns);
            assert_eq!(found, format!("{:?}", ExitCode::from(code)), "{said}");
            assert!(said.contains(text), "{said}");
        }
    }
}
