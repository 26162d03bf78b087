//! What a check finds.

use std::path::PathBuf;

use serde::Serialize;

use crate::admin::store::Readers;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Good to know.
    Info,
    /// Some mail may go out unsigned, or with a signature that does not last.
    Warning,
    /// Mail goes out so, or is lost.
    Error,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// What was looked at: a setting of Postfix by its name, or a word of our own.
    pub(crate) check: &'static str,
    pub(crate) severity: Severity,
    /// Where, and what that means.
    pub(crate) evidence: String,
    /// What to do.
    pub(crate) remedy: String,
    /// The same for `doctor --fix`, where a program can do it.
    #[serde(skip)]
    pub(crate) fix: Option<Fix>,
}

/// What `doctor --fix` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fix {
    /// Group and mode of a file or a directory below the configuration directory, whose owner is right.
    Rights(PathBuf, Readers),
    /// The command that the remedy is.
    Command,
    /// A command that changes what Postfix does: only with `--yes`.
    Postfix(String),
    /// sendmail.dkim becomes the active sendmail.
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
