//! The findings of checks.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::admin::output::{Failure, Tone};
use crate::admin::store::Readers;
use crate::dkim::{Domain, Selector};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Good to know.
    Info,
    /// Some mail may be sent unsigned, or with a signature that breaks.
    Warning,
    /// Mail is sent unsigned or with a broken signature, or is lost.
    Error,
}

impl Severity {
    /// None for a remark.
    pub(crate) fn tone(self) -> Option<Tone> {
        match self {
            Self::Info => None,
            Self::Warning => Some(Tone::Caution),
            Self::Error => Some(Tone::Bad),
        }
    }
}

/// One problem, or a step that is left. Every subcommand reports problems in this form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// A name that never changes: a setting of Postfix, or a name of our own.
    pub(crate) code: &'static str,
    /// What the finding is about: the name of a record, a domain, a path, a unit.
    pub(crate) subject: Option<String>,
    /// Where the problem is, and its consequence.
    pub(crate) evidence: String,
    /// What to do; empty if nothing can be said.
    pub(crate) remedy: String,
    /// How `doctor --fix` does it, if it can.
    pub(crate) fix: Option<Fix>,
}

/// What `doctor --fix` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fix {
    /// Sets the group and mode of a file or directory below the configuration directory. Its owner must be right.
    Rights(PathBuf, Readers),
    /// Runs the command in the remedy.
    Command,
    /// Runs a command that changes Postfix; only with `--yes`.
    Postfix(String),
    /// Makes sendmail.dkim the active sendmail.
    Enable,
}

/// Whether `doctor --fix` does it, or only with `--yes`.
impl Serialize for Fix {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::Rights(..) | Self::Command | Self::Enable => "safe",
            Self::Postfix(_) => "confirm",
        })
    }
}

/// A failure, of the whole command or of a part of it.
impl From<&Failure> for Finding {
    fn from(failure: &Failure) -> Self {
        let finding = Self::error(failure.name(), failure.what(), failure.remedy.as_str());
        Self { subject: failure.subject.clone(), ..finding }
    }
}

impl Finding {
    pub(crate) fn new(
        severity: Severity,
        code: &'static str,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (evidence, remedy) = (evidence.into(), remedy.into());
        Self { severity, code, subject: None, evidence, remedy, fix: None }
    }

    /// The record `name` of a key is not in DNS, which had it last on `day`, if ever.
    pub(crate) fn record(name: &str, domain: &Domain, day: Option<&str>) -> Self {
        let evidence = match day {
            Some(day) => format!("{name} is no longer in DNS; it was last seen on {day}"),
            None => format!("{name} was not found in DNS yet"),
        };
        let remedy =
            format!("publish the record (dkimctl record {domain}), then dkimctl testkey {domain}");
        Self::warning("record", evidence, remedy).about(name)
    }

    /// The record `name` of the first key of a domain is to be published before the domain is signed.
    pub(crate) fn waiting(name: &str, domain: &Domain, selector: &Selector) -> Self {
        let evidence = format!("{name} is not published yet, so {domain} is not signed");
        let remedy = format!(
            "dkimctl add {domain} -s {selector}, which continues; the timer of dkimctl rotate does, too"
        );
        Self::warning("waiting", evidence, remedy).about(name)
    }

    /// Names what it is about.
    pub(crate) fn about(self, subject: &(impl ToString + ?Sized)) -> Self {
        Self { subject: Some(subject.to_string()), ..self }
    }

    pub(crate) fn fixed_by(self, fix: Option<Fix>) -> Self {
        Self { fix, ..self }
    }

    /// Whether it is more than a remark.
    pub(crate) fn is_wrong(&self) -> bool {
        self.severity != Severity::Info
    }

    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    pub(crate) fn error(
        code: &'static str,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, code, evidence, remedy)
    }

    pub(crate) fn warning(
        code: &'static str,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, code, evidence, remedy)
    }
}

/// Remarks of one kind.
pub(crate) fn remarks(code: &'static str, texts: &[String]) -> Vec<Finding> {
    texts.iter().map(|text| Finding::new(Severity::Info, code, text.as_str(), "")).collect()
}

/// Steps, numbered, the evidence of each below it.
pub(crate) fn numbered<'a, I: IntoIterator<Item = &'a Finding>>(steps: I) -> String {
    let lines = steps.into_iter().zip(1..).map(|(Finding { remedy, evidence, .. }, number)| {
        format!("{number:>3}. {remedy}\n     ({evidence})\n")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_a_command_is_an_error_with_its_subject_and_remedy() {
        let failure = Failure::missing("no key").about("x.test").fixed_by("dkimctl add x.test");
        let expected =
            Finding::error("no-input", "no key: dkimctl add x.test", "dkimctl add x.test");
        assert_eq!(Finding::from(&failure), expected.about("x.test"));
        assert_eq!(Finding::from(&Failure::usage("a")), Finding::error("usage", "a", ""));
    }

    #[test]
    fn a_script_knows_which_remedy_changes_postfix() {
        let word = |fix: &Fix| serde_json::to_value(fix).unwrap();
        for fix in [Fix::Rights("/x".into(), Readers::All), Fix::Command, Fix::Enable] {
            assert_eq!(word(&fix), "safe", "{fix:?}");
        }
        assert_eq!(word(&Fix::Postfix("postconf -X a".to_owned())), "confirm");
    }
}
