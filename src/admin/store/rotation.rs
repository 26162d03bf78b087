//! `keys/DOMAIN/rotation.toml`: the state of the rotations of a domain.

use std::path::{Path, PathBuf};

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use toml::Spanned;
use toml::value::Datetime;

use super::folder::Readers;
use super::time::UtcTime;
use super::write::Store;
use crate::admin::input;
use crate::admin::output::Failure;
use crate::config::ConfigError;
use crate::dkim::Selector;

/// The rotation of one selector to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    pub(crate) old: Selector,
    pub(crate) new: Selector,
    pub(crate) stage: Stage,
    /// When it reached the current stage.
    pub(crate) since: UtcTime,
}

impl Rotation {
    /// Whether a selector is the old or the new one.
    pub(crate) fn is_of(&self, selector: &Selector) -> bool {
        self.old == *selector || self.new == *selector
    }
}

/// The current stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// `old` signs; the record of `new` has to be published.
    Pending,
    /// Every server has the record of `new`; `old` signs until then, because caches may have another record of that name.
    Settling {
        /// The end of that.
        until: UtcTime,
    },
    /// `new` signs. The record of `old` stays published for mail that is still in transit.
    Retiring {
        /// The time at which it may be removed.
        until: UtcTime,
    },
    /// The key `old` was removed; its record has to be revoked.
    Revoked,
}

/// The form in `--json`.
impl Serialize for Rotation {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("old", self.old.as_str())?;
        map.serialize_entry("new", self.new.as_str())?;
        map.serialize_entry("stage", self.stage.name())?;
        map.serialize_entry("since", &self.since.to_string())?;
        if let Some(until) = self.stage.until() {
            map.serialize_entry("until", &until.to_string())?;
        }
        map.end()
    }
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Settling { .. } => "settling",
            Self::Retiring { .. } => "retiring",
            Self::Revoked => "revoked",
        }
    }

    /// When it ends at the earliest.
    pub(crate) fn until(self) -> Option<UtcTime> {
        match self {
            Self::Settling { until } | Self::Retiring { until } => Some(until),
            Self::Pending | Self::Revoked => None,
        }
    }
}

/// All rotations of a domain.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    /// The selectors that take turns; empty if each new key has a new name.
    pub(crate) selectors: Vec<Selector>,
    pub(crate) rotations: Vec<Rotation>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    selectors: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    rotation: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    old: String,
    new: String,
    stage: String,
    since: Datetime,
    until: Option<Datetime>,
}

const HEAD: &str = "\
# The state of `dkimctl rotate`; see dkimctl(8). Dates are in UTC, and may be changed.
# pending:  old signs, and the record of new is to be published.
# settling: every server has the record of new; old signs until then, while caches forget what had the name before.
# retiring: new signs, and the record of old stays published until then.
# revoked:  the key old is gone; its record is to have an empty p=, and may be deleted later.
";

impl State {
    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join("rotation.toml")
    }

    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = Self::path(folder);
        let text = input::optional(&path, input::CONFIGURATION)?.unwrap_or_default();
        let (selectors, rotations) = Self::parse(&text)
            .map_err(|error| Failure::data(format_args!("{}: {error}", path.display())))?;
        Ok(Self { path, selectors, rotations })
    }

    /// Parses the text of a file.
    pub(crate) fn parse(text: &str) -> Result<(Vec<Selector>, Vec<Rotation>), ConfigError> {
        let file: File = toml::from_str(text).map_err(|error| ConfigError::of(text, &error))?;
        let parse = |entry: &Spanned<Entry>| {
            let parsed = entry.as_ref().parse();
            parsed.map_err(|what| ConfigError::at(text, entry.span().start, what))
        };
        let selectors = file.selectors.map_or(Ok(Vec::new()), |list| {
            let at = |what| ConfigError::at(text, list.span().start, format!("selectors: {what}"));
            let names: Vec<&str> = list.as_ref().iter().map(String::as_str).collect();
            turn(&names).map_err(at)
        })?;
        let rotations = file.rotation.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        Ok((selectors, rotations))
    }

    pub(crate) fn write(&self, store: &Store) -> Result<(), Failure> {
        let text = Self::text(&self.selectors, &self.rotations);
        store.replace(&self.path, &text, Readers::Group)
    }

    /// The text of a file with these rotations.
    pub(crate) fn text(selectors: &[Selector], rotations: &[Rotation]) -> String {
        let mut text = HEAD.to_owned();
        if !selectors.is_empty() {
            let names: Vec<&str> = selectors.iter().map(Selector::as_str).collect();
            text.push_str(&format!(
                "\n# New keys take these names in turn.\nselectors = {names:?}\n"
            ));
        }
        for Rotation { old, new, stage, since } in rotations {
            text.push_str(&format!(
                "\n[[rotation]]\nold = \"{old}\"\nnew = \"{new}\"\nstage = \"{}\"\nsince = {since}\n",
                stage.name()
            ));
            if let Some(until) = stage.until() {
                text.push_str(&format!("until = {until}\n"));
            }
        }
        text
    }

    /// The rotation that a selector is part of, while one of its two keys is in use.
    pub(crate) fn of(&self, selector: &Selector) -> Option<&Rotation> {
        let runs = |one: &&Rotation| one.stage != Stage::Revoked;
        self.rotations.iter().filter(runs).find(|one| one.is_of(selector))
    }
}

/// Selectors that take turns: at least two, none of them twice.
pub(crate) fn turn(names: &[&str]) -> Result<Vec<Selector>, String> {
    let mut selectors = Vec::new();
    for name in names {
        let selector =
            Selector::parse(name.trim()).map_err(|error| format!("{name:?}: {error}"))?;
        if selectors.contains(&selector) {
            return Err(format!("{name:?} is listed twice"));
        }
        selectors.push(selector);
    }
    if selectors.len() < 2 {
        return Err("expected two selectors or more, as in s1,s2".to_owned());
    }
    Ok(selectors)
}

impl Entry {
    fn parse(&self) -> Result<Rotation, String> {
        let selector = |key: &str, text: &str| {
            Selector::parse(text).map_err(|error| format!("{key} = {text:?}: {error}"))
        };
        let moment = |key: &str, date: &Datetime| {
            UtcTime::parse(date).ok_or_else(|| format!("{key} = {date}: expected a date"))
        };
        let stage = match (self.stage.as_str(), &self.until) {
            ("pending", _) => Stage::Pending,
            ("retiring", Some(until)) => Stage::Retiring { until: moment("until", until)? },
            ("settling", Some(until)) => Stage::Settling { until: moment("until", until)? },
            ("settling" | "retiring", None) => {
                return Err("a rotation at this stage requires key `until`".to_owned());
            }
            ("revoked", _) => Stage::Revoked,
            (other, _) => return Err(format!("stage = {other:?} is unknown")),
        };
        Ok(Rotation {
            old: selector("old", &self.old)?,
            new: selector("new", &self.new)?,
            stage,
            since: moment("since", &self.since)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(old: &str, new: &str, stage: Stage) -> Rotation {
        let selector = |text| Selector::parse(text).unwrap();
        Rotation { old: selector(old), new: selector(new), stage, since: UtcTime(1_764_086_883) }
    }

    #[test]
    fn what_is_written_is_read_and_can_be_read_by_eye() {
        let until = UtcTime(1_764_691_683);
        let rotations = [
            rotation("a", "b", Stage::Revoked),
            rotation("b", "c", Stage::Retiring { until }),
            rotation("e", "f", Stage::Pending),
            rotation("g", "h", Stage::Settling { until }),
        ];
        let turns = ["a", "f"].map(|text| Selector::parse(text).unwrap());
        let text = State::text(&turns, &rotations);
        assert!(text.contains("\nold = \"b\"\nnew = \"c\"\nstage = \"retiring\"\nsince = 2025-11-25T16:08:03Z\nuntil = 2025-12-02T16:08:03Z\n"), "{text}");
        assert_eq!(State::parse(&text).unwrap(), (turns.to_vec(), rotations.to_vec()));
    }

    #[test]
    fn an_error_names_its_line() {
        let entry =
            "[[rotation]]\nold = \"a\"\nnew = \"b\"\nstage = \"pending\"\nsince = 2025-11-25\n";
        let error = |text: &str| State::parse(text).unwrap_err().to_string();
        for (from, to, what) in [
            ("since", "since = 2025-11-26\nsince", "line 11: "),
            ("\"b\"", "b", "line 8: "),
            ("\"b\"", "\"-b\"", "line 6: new = "),
            ("pending", "retiring", "line 6: a rotation at this stage requires key `until`"),
            ("pending", "x", "line 6: stage = \"x\" is unknown"),
            ("2025-11-25", "12:00:00", "line 6: since = 12:00:00: expected a date"),
            ("2025-11-25", "1969-12-31", "line 6: since = 1969-12-31: expected a date"),
            ("2025-11-25", "9999-12-31T23:59:59-00:01", "line 6: since = 9999-"),
        ] {
            let error = error(&format!("{entry}{}", entry.replace(from, to)));
            assert!(error.starts_with(what), "{error}");
        }
    }

    #[test]
    fn a_selector_rotates_once_at_a_time() {
        let state = State {
            path: PathBuf::new(),
            selectors: Vec::new(),
            rotations: vec![rotation("a", "b", Stage::Revoked), rotation("b", "c", Stage::Pending)],
        };
        let found = |name| state.of(&Selector::parse(name).unwrap()).map(|one| one.new.to_string());
        assert_eq!(found("b").as_deref(), Some("c"));
        assert_eq!(found("c").as_deref(), Some("c"));
        assert_eq!((found("a"), found("d")), (None, None));
    }
}
