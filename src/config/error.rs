//! What is wrong with a configuration.

use std::fmt;

/// What is wrong with a configuration text; the administrator causes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Counted from 1; `None` where something is missing.
    pub line: Option<usize>,
    /// What is wrong, naming the key.
    pub what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// What is wrong at the byte `place` of a text.
    pub(crate) fn at(text: &str, place: usize, what: impl Into<String>) -> Self {
        let before = text.bytes().take(place);
        let line = before.filter(|byte| *byte == b'\n').count().saturating_add(1);
        Self { line: Some(line), what: what.into() }
    }

    /// What the parser of TOML says about a text.
    pub(crate) fn of(text: &str, error: &toml::de::Error) -> Self {
        match error.span() {
            Some(span) => Self::at(text, span.start, error.message()),
            None => Self { line: None, what: error.message().to_owned() },
        }
    }
}
