//! The findings of checks.

use std::path::PathBuf;

use serde::Serialize;

use crate::admin::store::Readers;

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

/// One problem.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// The name of the check: a setting of Postfix, or a name that dkimctl(8) defines.
    pub(crate) check: &'static str,
    pub(crate) severity: Severity,
    /// Where the problem is, and its consequence.
    pub(crate) evidence: String,
    /// What to do.
    pub(crate) remedy: String,
    /// How `doctor --fix` does it, if it can.
    #[serde(skip)]
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

impl Finding {
    pub(crate) fn new(
        severity: Severity,
        check: &'static str,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { check, severity, evidence: evidence.into(), remedy: remedy.into(), fix: None }
    }

    pub(crate) fn fixed_by(self, fix: Option<Fix>) -> Self {
        Self { fix, ..self }
    }

    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    pub(crate) fn error(
        check: &'static str,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, check, evidence, remedy)
    }

    pub(crate) fn warning(
        check: &'static str,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, check, evidence, remedy)
    }
}
