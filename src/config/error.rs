//! Errors in the configuration.

use std::fmt;

/// An error in a configuration text. The administrator causes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The line, counted from 1. `None` if a key is missing.
    pub line: Option<usize>,
    /// The error, which names the key.
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
    /// An error at the byte `place` of a text.
    pub(crate) fn at(text: &str, place: usize, what: impl Into<String>) -> Self {
        let before = text.bytes().take(place);
        let line = before.filter(|byte| *byte == b'\n').count().saturating_add(1);
        Self { line: Some(line), what: what.into() }
    }

    /// The error that the TOML parser reports.
    pub(crate) fn of(text: &str, error: &toml::de::Error) -> Self {
        let what = |key: Option<&str>| in_words(error.message(), key);
        match error.span() {
            Some(span) => Self::at(text, span.start, what(key_at(text, span.start))),
            None => Self { line: None, what: what(None) },
        }
    }
}

/// The key on the line of a place.
fn key_at(text: &str, place: usize) -> Option<&str> {
    let line = text.get(..place)?.rsplit('\n').next()?;
    let key = line.split_once('=')?.0.trim();
    (!key.is_empty() && !key.starts_with('#')).then_some(key)
}

/// Rewrites a message of serde in the terms of TOML.
fn in_words(message: &str, key: Option<&str>) -> String {
    let quoted = |rest: &str| rest.split('`').nth(1).unwrap_or_default().to_owned();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return format!("unknown key `{}`", quoted(rest));
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("key `{}` is missing", quoted(rest));
    }
    let wrong = ["invalid type: ", "invalid value: "];
    let wrong = wrong.iter().find_map(|begin| message.strip_prefix(begin));
    let key = key.map(|key| format!("{key}: ")).unwrap_or_default();
    let Some((found, expected)) = wrong.and_then(|rest| rest.rsplit_once(", expected ")) else {
        // Of a value that may be of several kinds the code says what is expected; the parser of TOML names no key.
        let key = if message.starts_with("expected ") { key } else { String::new() };
        return format!("{key}{message}");
    };
    let expected = match expected {
        "a sequence" => "a list",
        "i64" | "u64" | "u32" => "a whole number",
        name if name == "a map" || name.starts_with("struct ") => "a table",
        other => other,
    };
    let found = match found {
        "map" => "a table",
        "sequence" => "a list",
        other => other,
    };
    format!("{key}expected {expected}, found {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_serde_are_rewritten() {
        for (message, key, said) in [
            ("unknown field `origni`, expected one of `a`, `b`", None, "unknown key `origni`"),
            ("missing field `selectors`", None, "key `selectors` is missing"),
            (
                "invalid type: integer `1`, expected a boolean",
                Some("log_success"),
                "log_success: expected a boolean, found integer `1`",
            ),
            ("invalid type: map, expected a sequence", None, "expected a list, found a table"),
            ("invalid type: sequence, expected a map", None, "expected a table, found a list"),
            (
                "invalid type: integer `1`, expected struct Rule",
                Some("sign"),
                "sign: expected a table, found integer `1`",
            ),
            (
                "invalid value: integer `-1`, expected u64",
                Some("x"),
                "x: expected a whole number, found integer `-1`",
            ),
        ] {
            assert_eq!(in_words(message, key), said);
        }
        assert_eq!(key_at("a = 1\nb = \"x\"\n", 10), Some("b"));
        assert_eq!(key_at("a = 1\n", 0), None);
        for text in ["= 1", "# a = 1"] {
            assert_eq!(key_at(text, text.len()), None, "{text}");
        }
    }
}
