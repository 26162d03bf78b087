//! What was found out about the record of one key.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::admin::checks::finding::{Finding, Severity};
use crate::admin::output::{Text, Tone};
use crate::dkim::Selector;

/// The result for one key and its exit code, from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub(crate) enum Outcome {
    /// The record is correct.
    #[default]
    Ok = 0,
    /// There is a record, but signatures do not verify with it (`EX_DATAERR`).
    Wrong = 65,
    /// There is no record, or the lookup failed (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// The key or the domain file cannot be read (`EX_OSERR`).
    Unreadable = 71,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::Unavailable => "unavailable",
            Self::Unreadable => "unreadable",
        })
    }
}

/// The findings about one key.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Tested {
    /// The name of the record, or the path of a domain file that cannot be used.
    pub(crate) name: String,
    pub(super) domain: Option<String>,
    pub(super) selector: Option<String>,
    /// The server that was queried, if each server of the zone was.
    pub(super) server: Option<String>,
    pub(crate) outcome: Outcome,
    /// What `on_missing_record = "skip"` needs: see [`Skip`].
    #[serde(skip)]
    pub(crate) skip: Option<Skip>,
    /// `secure` if the resolver says that DNSSEC protects the answer.
    pub(super) dnssec: Option<&'static str>,
    /// The published records, with their strings joined.
    pub(super) records: Vec<String>,
    #[serde(skip)]
    pub(crate) findings: Vec<Finding>,
}

/// A key that must not sign after its record has been missing for some time, because its domain file says so.
#[derive(Clone, Debug)]
pub(crate) struct Skip {
    pub(crate) file: PathBuf,
    pub(crate) selector: Selector,
    /// After which time, in seconds.
    pub(crate) after: u64,
}

impl Tested {
    pub(super) fn new(name: String, outcome: Outcome, findings: Vec<Finding>) -> Self {
        Self { name, outcome, findings, ..Self::default() }
    }

    #[cfg(test)]
    pub(crate) fn absent(name: String) -> Self {
        let findings = vec![Finding::error("no-record", "there is no record", "")];
        Self::new(name, Outcome::Unavailable, findings)
    }

    #[cfg(test)]
    pub(crate) fn with_skip(self, file: PathBuf, selector: Selector, after: u64) -> Self {
        Self { skip: Some(Skip { file, selector, after }), ..self }
    }

    #[cfg(test)]
    pub(crate) fn unanswered(name: String) -> Self {
        Self::new(name, Outcome::Unavailable, vec![Finding::error(LOOKUP, "no answer", "")])
    }

    /// Whether the lookup failed, so that nothing is known of the record.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.findings.iter().any(|finding| finding.code == LOOKUP)
    }

    /// All findings in one line.
    pub(crate) fn why(&self) -> String {
        let texts: Vec<&str> = self.findings.iter().map(|found| found.evidence.as_str()).collect();
        texts.join("; ")
    }

    /// The findings in the form that all subcommands report.
    pub(crate) fn reports(&self) -> impl Iterator<Item = Finding> {
        let remedy = match (&self.domain, self.outcome) {
            (Some(domain), Outcome::Wrong | Outcome::Unavailable) => {
                format!("dkimctl record {domain} prints what to publish")
            }
            _ => String::new(),
        };
        let at = self.server.as_ref().map(|server| format!("at {server}: ")).unwrap_or_default();
        self.findings.iter().map(move |found| {
            let remedy = if found.code == LOOKUP { String::new() } else { remedy.clone() };
            let evidence = format!("{at}{}", found.evidence);
            Finding::new(found.severity, found.code, evidence, remedy).about(&self.name)
        })
    }

    /// Whether the record is missing in DNS, or is another one.
    pub(crate) fn is_wrong_or_absent(&self) -> bool {
        !self.is_unanswered() && matches!(self.outcome, Outcome::Wrong | Outcome::Unavailable)
    }

    /// Whether it is a domain file that cannot be read, so that its records were not looked up.
    pub(crate) fn is_unread(&self) -> bool {
        self.outcome == Outcome::Unreadable && self.domain.is_none()
    }

    pub(crate) fn unreadable(name: String, why: String) -> Self {
        Self::new(name, Outcome::Unreadable, vec![Finding::error("unreadable", why, "")])
    }
}

/// One line for each key, followed by a line for each finding. A failed lookup takes a single line, because there may be
/// thousands.
pub(crate) fn text(tested: &[Tested]) -> Text {
    let mut text = Text::default();
    for one in tested {
        let at = one.server.as_ref().map(|server| format!(" at {server}")).unwrap_or_default();
        let dnssec = one.dnssec.map(|dnssec| format!(" (DNSSEC: {dnssec})")).unwrap_or_default();
        let tone = if one.outcome == Outcome::Ok { Tone::Good } else { Tone::Bad };
        text.push(format!("{}{at}: ", one.name));
        text.push(Text::toned(tone, &one.outcome.to_string()));
        text.push(dnssec);
        if let [Finding { code: LOOKUP, evidence, .. }] = one.findings.as_slice() {
            text.push(format!(": {evidence}\n"));
            continue;
        }
        text.push("\n");
        for finding in &one.findings {
            let word = match finding.severity {
                Severity::Info => "note",
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            text.push("  ");
            text.push(Text::toned(finding.severity.tone(), word));
            text.push(format!(": {}\n", finding.evidence));
        }
    }
    text
}

/// The name of the finding for a failed lookup.
pub(super) const LOOKUP: &str = "dns";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_is_to_publish_the_record_unless_nothing_is_known_of_it() {
        let wrong = Finding::error("cut", "p= is cut off", "");
        let lookup = Finding::error(LOOKUP, "no answer", "");
        let publish = "dkimctl record x.test prints what to publish";
        for (outcome, finding, remedy) in [
            (Outcome::Wrong, &wrong, publish),
            (Outcome::Unavailable, &wrong, publish),
            (Outcome::Unavailable, &lookup, ""),
            (Outcome::Ok, &wrong, ""),
            (Outcome::Unreadable, &wrong, ""),
        ] {
            let tested = Tested {
                domain: Some("x.test".to_owned()),
                server: Some("ns.x.test".to_owned()),
                ..Tested::new("s._domainkey.x.test".to_owned(), outcome, vec![finding.clone()])
            };
            let reports: Vec<Finding> = tested.reports().collect();
            assert_eq!(reports[0].remedy, remedy, "{outcome} {finding:?}");
            assert_eq!(reports[0].subject.as_deref(), Some("s._domainkey.x.test"));
            assert_eq!(reports[0].evidence, format!("at ns.x.test: {}", finding.evidence));
        }
    }
}
