//! The output of `dkimctl log`: as text, as JSON, and for Prometheus.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::admin::checks::finding::{Finding, Severity};
use crate::admin::log_line::RESULTS;

/// The most users and failures in the text output.
const MOST_SHOWN: usize = 10;

/// The output for scripts.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Absent for the whole log.
    pub(super) since: Option<String>,
    pub(super) until: String,
    pub(super) signed: u64,
    pub(super) unsigned: u64,
    pub(super) refused: u64,
    pub(super) groups: Vec<Group>,
    pub(super) reasons: Vec<Reason>,
    pub(super) users: Vec<Sender>,
    pub(super) failures: Vec<Fatal>,
}

/// The number of messages of one domain with the same result and kind of reason.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    /// d=, or the domain of the author address; empty if the message has none.
    pub(super) domain: String,
    /// Whether there is a domain file for it.
    pub(super) configured: bool,
    pub(super) result: &'static str,
    /// A code; empty if there is none.
    pub(super) reason: &'static str,
    pub(super) messages: u64,
}

/// A kind of reason.
#[derive(Debug, Serialize)]
pub(super) struct Reason {
    pub(super) code: &'static str,
    /// The first one in the log.
    pub(super) example: String,
    pub(super) remedy: &'static str,
    pub(super) messages: u64,
}

/// Messages of a user that were not signed.
#[derive(Debug, Serialize)]
pub(super) struct Sender {
    pub(super) uid: u32,
    pub(super) name: Option<String>,
    pub(super) messages: u64,
}

/// A failure before there was a message.
#[derive(Debug, Serialize)]
pub(super) struct Fatal {
    pub(super) text: String,
    pub(super) times: u64,
}

impl Group {
    /// The results of a domain are unsigned, signed, refused.
    pub(super) fn sort_key(&self) -> (&str, Reverse<&str>, &str, bool) {
        (&self.domain, Reverse(self.result), self.reason, self.configured)
    }
}

impl Summary {
    /// Each kind of reason, with what to do about it.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let of_reason = |reason: &Reason| {
            Finding::new(Severity::Warning, reason.code, reason.example.clone(), reason.remedy)
        };
        let failed = |fatal: &Fatal| Finding::error("failure", fatal.text.clone(), "");
        self.reasons.iter().map(of_reason).chain(self.failures.iter().map(failed)).collect()
    }

    pub(super) fn text(&self) -> String {
        let mut text = match &self.since {
            Some(since) => format!("From {since} to {}:\n", self.until),
            None => format!("Until {}:\n", self.until),
        };
        let totals =
            [("signed", self.signed), ("unsigned", self.unsigned), ("refused", self.refused)];
        for (result, count) in totals {
            text.push_str(&format!("{count:>9}  {result}\n"));
        }
        if !self.groups.is_empty() {
            text.push_str(&self.domains());
        }
        let reasons = self.reasons.iter().map(|Reason { example, remedy, messages, .. }| {
            format!("{messages:>9}  {example}\n           {remedy}\n")
        });
        let users = self.users.iter().take(MOST_SHOWN).map(|Sender { uid, name, messages }| {
            format!("{messages:>9}  {} (uid {uid})\n", name.as_deref().unwrap_or("unknown"))
        });
        let failures = self.failures.iter().take(MOST_SHOWN);
        let failures = failures.map(|Fatal { text, times }| format!("{times:>9}  {text}\n"));
        for (heading, lines) in [
            ("Why", reasons.collect::<String>()),
            ("Users whose mail was not signed", users.collect()),
            ("Failures, nothing sent", failures.collect()),
        ] {
            if !lines.is_empty() {
                text.push_str(&format!("\n{heading}:\n{lines}"));
            }
        }
        text
    }

    /// A row for each domain, those with the most messages first.
    fn domains(&self) -> String {
        let mut rows: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
        for group in &self.groups {
            let row = rows.entry(&group.domain).or_default();
            let results = RESULTS.into_iter().zip(row);
            for (_, count) in results.filter(|(result, _)| *result == group.result) {
                *count = count.saturating_add(group.messages);
            }
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by_key(|(_, counts)| Reverse(counts.iter().sum::<u64>()));
        let mut text = format!("\n{:>9} {:>9} {:>9}  domain\n", "signed", "unsigned", "refused");
        for (domain, [signed, unsigned, refused]) in rows {
            let domain = if domain.is_empty() { "(none)" } else { domain };
            text.push_str(&format!("{signed:>9} {unsigned:>9} {refused:>9}  {domain}\n"));
        }
        text
    }

    /// The text format of Prometheus. All domains without a domain file share one label, because callers could write any number
    /// of domains.
    pub(super) fn prometheus(&self) -> String {
        let mut counts: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
        for group in &self.groups {
            let domain = if group.configured { group.domain.as_str() } else { "" };
            let count = counts.entry((domain, group.result, group.reason)).or_default();
            *count = count.saturating_add(group.messages);
        }
        let mut text =
            "# HELP sendmail_dkim_messages_total Messages by signing domain, result and reason.\n\
                        # TYPE sendmail_dkim_messages_total counter\n"
                .to_owned();
        for ((domain, result, reason), count) in counts {
            let labels = format!("domain={domain:?},result={result:?},reason={reason:?}");
            text.push_str(&format!("sendmail_dkim_messages_total{{{labels}}} {count}\n"));
        }
        let failures: u64 = self.failures.iter().map(|failure| failure.times).sum();
        text.push_str(
            "# HELP sendmail_dkim_failures_total Calls that failed before there was a message.\n\
             # TYPE sendmail_dkim_failures_total counter\n",
        );
        text.push_str(&format!("sendmail_dkim_failures_total {failures}\n"));
        text
    }
}
