//! What is said of a key.

use serde::Serialize;

use super::mistake::{Mistake, Severity};

/// What became of one key, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum Outcome {
    /// The record is right.
    Ok,
    /// It is there and signatures do not verify with it.
    Wrong,
    /// It is not there, or it is not known whether it is.
    Unavailable,
    /// The key or the domain file cannot be read.
    Unreadable,
}

impl Outcome {
    /// 0, `EX_DATAERR`, `EX_UNAVAILABLE`, `EX_OSERR`.
    pub(in crate::admin) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Wrong => 65,
            Self::Unavailable => 69,
            Self::Unreadable => 71,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::Unavailable => "unavailable",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What was found of one key.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct Tested {
    /// Where the record belongs; the path of a domain file that cannot be used.
    pub(in crate::admin) name: String,
    pub(super) domain: Option<String>,
    pub(super) selector: Option<String>,
    /// The server that was asked, if each of the zone was.
    pub(super) server: Option<String>,
    pub(in crate::admin) outcome: Outcome,
    pub(super) dnssec: Option<&'static str>,
    /// As published, each record's strings joined.
    pub(super) records: Vec<String>,
    pub(in crate::admin) findings: Vec<Finding>,
}

/// One thing to be said of it.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct Finding {
    severity: &'static str,
    /// Its name for scripts.
    what: &'static str,
    pub(in crate::admin) message: String,
}

impl Tested {
    pub(super) fn unreadable(name: String, why: String) -> Self {
        Self {
            name,
            domain: None,
            selector: None,
            server: None,
            outcome: Outcome::Unreadable,
            dnssec: None,
            records: Vec::new(),
            findings: vec![Finding::error("unreadable", why)],
        }
    }
}

impl Finding {
    pub(super) fn of(mistake: &Mistake) -> Self {
        let severity = mistake.severity().name();
        Self { severity, what: mistake.name(), message: mistake.to_string() }
    }

    pub(super) fn error(what: &'static str, message: String) -> Self {
        Self { severity: Severity::Error.name(), what, message }
    }
}

/// A line for each key, and one below it for each thing that is to be said of it.
pub(in crate::admin) fn text(tested: &[Tested]) -> String {
    let mut text = String::new();
    for one in tested {
        let at = one.server.as_ref().map(|server| format!(" at {server}")).unwrap_or_default();
        let dnssec = one.dnssec.map(|dnssec| format!(" (DNSSEC: {dnssec})")).unwrap_or_default();
        text.push_str(&format!("{}{at}: {}{dnssec}\n", one.name, one.outcome.word()));
        for finding in &one.findings {
            text.push_str(&format!("  {}: {}\n", finding.severity, finding.message));
        }
    }
    text
}
