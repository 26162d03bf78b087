//! Edits the text of config.toml for `setup`. Values of the administrator stay.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use toml_edit::{DocumentMut, Item, Value};

use super::host::{self, Host};
use crate::admin::input;
use crate::admin::output::Failure;
use crate::admin::store::replace::replace;
use crate::config;

/// The config.toml for a host without one, with its comments.
const EXAMPLE: &str = include_str!("../../../packaging/etc/config.toml");

/// A key, and how it was changed.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    key: &'static str,
    /// The current value.
    #[serde(serialize_with = "as_json")]
    value: Option<Value>,
    /// The previous value, if it differs.
    #[serde(serialize_with = "as_json", skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    /// Whether it was set.
    pub(super) set: bool,
}

fn as_json<S: Serializer>(value: &Option<Value>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(Value::Array(words)) => to.collect_seq(words.iter().filter_map(Value::as_str)),
        Some(Value::Integer(number)) => number.value().serialize(to),
        _ => value.as_ref().and_then(Value::as_str).serialize(to),
    }
}

impl Outcome {
    /// Lines of TOML that can be copied into the file.
    pub(super) fn toml(&self) -> String {
        let Self { key, value, before, .. } = self;
        match (value, before) {
            (Some(value), None) => format!("{key} = {value}\n"),
            (Some(value), Some(before)) => format!("{key} = {value} # was {before}\n"),
            (None, Some(before)) => format!("# {key} was removed; it was {before}\n"),
            (None, None) => String::new(),
        }
    }
}

/// The text of config.toml while it is edited.
pub(super) struct Editing {
    pub(super) path: PathBuf,
    /// The text on the disk. `None` if there is no file yet.
    pub(super) before: Option<String>,
    pub(super) text: String,
    document: DocumentMut,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) notes: Vec<String>,
}

impl Editing {
    /// Reads config.toml. Without one, begins with the example.
    pub(super) fn open(etc: &Path) -> Result<Self, Failure> {
        let path = etc.join("config.toml");
        let before = input::optional(&path, input::CONFIGURATION)?;
        let text = before.clone().unwrap_or_else(|| EXAMPLE.to_owned());
        let document = parse(&path, &text)?;
        Ok(Self { path, before, text, document, outcomes: Vec::new(), notes: Vec::new() })
    }

    /// An error if the wrapper would reject the text.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let parsed = config::Host::parse(&self.text).map(drop);
        parsed.map_err(|error| Failure::data(format_args!("{}: {error}", self.path.display())))
    }

    /// A value of the file, without the spaces and the comment around it.
    pub(super) fn get(&self, key: &str) -> Option<Value> {
        Some(self.document.get(key)?.as_value()?.clone().decorated("", ""))
    }

    pub(super) fn settle_sendmail(&mut self, host: &Host) {
        let is_real =
            |value: &Value| value.as_str().is_some_and(|path| host::is_real(path.as_ref()));
        let real = self.get("sendmail").filter(is_real);
        let found = host.sendmail.as_ref().and_then(|path| path.to_str()).map(Value::from);
        // One that can be run is not second-guessed.
        self.settle_one("sendmail", real.or(found), true);
    }

    pub(super) fn settle_postfix(&mut self, host: &Host, replace: bool) {
        for key in
            ["origin", "append_dot_domain", "message_size_limit", "undisclosed_recipients_header"]
        {
            self.settle_one(key, host.postfix.get(key).cloned(), replace);
        }
    }

    pub(super) fn settle_one(&mut self, key: &'static str, wanted: Option<Value>, replace: bool) {
        let current = self.get(key);
        // A number is no text: in quotes it stops all signing.
        let meant = |value: &Value| {
            let words = value.as_array().map(ToString::to_string);
            (value.as_integer(), value.as_str().map(str::to_owned), words)
        };
        let differs = current.as_ref().map(meant) != wanted.as_ref().map(meant);
        let set = differs && (current.is_none() || replace || self.before.is_none());
        if set {
            self.set(key, wanted);
        } else if let Some(current) = current.as_ref().filter(|_| differs) {
            let host = wanted.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
            self.notes.push(format!(
                "{key} = {current} was left as it is; the host says {host} (--replace takes that)"
            ));
        }
        let value = self.get(key);
        self.outcomes.push(Outcome { key, before: current.filter(|_| set), value, set });
    }

    /// Sets a key: in its place, or where a line has it commented out, or behind the others.
    pub(super) fn set(&mut self, key: &str, to: Option<Value>) {
        let current = self.document.get_mut(key).and_then(Item::as_value_mut);
        match (to, current) {
            (None, _) => drop(self.document.remove(key)),
            (Some(to), Some(current)) => replace(current, to),
            (Some(to), None) => match self.in_place_of_comment(key, &to) {
                Some(document) => self.document = document,
                None => drop(self.document.insert(key, Item::Value(to))),
            },
        }
        self.text = self.document.to_string();
    }

    /// The text with the key in the line that has it commented out.
    fn in_place_of_comment(&self, key: &str, to: &Value) -> Option<DocumentMut> {
        let commented = format!("#{key} =");
        let lines = || self.text.split_inclusive('\n');
        let place = lines().position(|line| line.starts_with(&commented))?;
        let line = format!("{key} = {to}\n");
        let with = |(at, old)| if at == place { line.as_str() } else { old };
        lines().enumerate().map(with).collect::<String>().parse().ok()
    }
}

fn parse(path: &Path, text: &str) -> Result<DocumentMut, Failure> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        let line = error.span().and_then(|span| text.get(..span.start));
        let line = line.map_or(1, |before| before.matches('\n').count().saturating_add(1));
        Failure::data(format_args!("{}: line {line}: {}", path.display(), error.message()))
    })
}
