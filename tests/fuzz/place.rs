//! The place that an error of the configuration names.

use sendmail_dkim::config::ConfigError;

/// It is a line of `text`, and the same one when two lines more stand above: of that `moved` is the error.
pub(crate) fn is_right(text: &str, error: &ConfigError, moved: &ConfigError) {
    assert!(!error.what.is_empty());
    let lines = text.matches('\n').count() + 1;
    assert!(error.line.is_none_or(|line| (1..=lines).contains(&line)), "{error}");
    assert_eq!(moved.line, error.line.map(|line| line + 2), "{error}");
    assert_eq!(moved.what, error.what);
}
