//! What happens to the text of a record on its way into a form or a zone file. Pure.

use std::fmt;

/// A mistake in the text, behind which what was meant can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typo {
    /// A character that has no place in a record.
    Character(char),
    /// `\;` or `\"`.
    Backslash(&'static str),
    /// Quotes that are part of the record.
    Quotes,
    /// A tag without its name; the name by its value.
    LostName { value: String, name: Option<&'static str> },
    /// No `;` before this tag.
    NoSeparator { before: &'static str },
}

impl Typo {
    /// See [`super::Mistake::name`].
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Character(_) => "character",
            Self::Backslash(_) => "backslash",
            Self::Quotes => "quotes",
            Self::LostName { .. } => "lost-name",
            Self::NoSeparator { .. } => "no-separator",
        }
    }
}

impl fmt::Display for Typo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(char) => write!(
                f,
                "the character U+{:04X} in the record, as a copy from a web page may have it",
                u32::from(*char)
            ),
            Self::Backslash(escaped) => write!(
                f,
                "{escaped} in the record; the backslash belongs into a zone file, not into a form"
            ),
            Self::Quotes => {
                write!(f, "quotes in the record; they belong into a zone file, not into a form")
            }
            Self::LostName { value, name: Some(name) } => {
                write!(f, "\"={value}\" without the name of its tag; it should be {name}={value}")
            }
            Self::LostName { value, name: None } => {
                write!(f, "\"={value}\" without the name of its tag")
            }
            Self::NoSeparator { before } => write!(f, "no \";\" before {before}="),
        }
    }
}
