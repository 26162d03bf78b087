//! One caller: what `tests/callers/NAME/caller.toml` says of it.

use std::fs;

use serde::Deserialize;

use crate::support::project;

/// What is known of a caller beforehand. `{to}` stands for the recipient and `{hop}` for `sink` or
/// `7bit`, in each text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// The folder's name.
    #[serde(skip)]
    pub(crate) name: String,
    /// As the table calls it.
    pub(crate) caller: String,
    pub(crate) package: String,
    /// The user who runs it in production.
    pub(crate) user: String,
    /// The recipient.
    #[serde(default = "to")]
    pub(crate) to: String,
    /// More recipients, each of whom gets the same.
    #[serde(default)]
    pub(crate) also_to: Vec<String>,
    /// It is not waited for its end.
    #[serde(default)]
    pub(crate) daemon: bool,
    /// It takes a minute of its own, and no time of the machine.
    #[serde(default)]
    pub(crate) slow: bool,
    /// What it may say on stdout, where it says something.
    pub(crate) says: Option<String>,
    /// How many messages each recipient gets.
    #[serde(default = "one")]
    pub(crate) messages: usize,
    /// How many calls of sendmail that takes.
    #[serde(default = "one")]
    pub(crate) calls: usize,
    /// From, decoded.
    pub(crate) from: Option<String>,
    /// The envelope sender.
    pub(crate) envelope: String,
    /// Subject, decoded.
    pub(crate) subject: Option<String>,
    /// The text parts, decoded.
    pub(crate) texts: Option<Vec<String>>,
    /// What is in the text parts, where not all of it is known.
    #[serde(default)]
    pub(crate) contains: Vec<String>,
    /// The other parts, as `NAME SIZE SHA-256`.
    #[serde(default)]
    pub(crate) attachments: Vec<String>,
    /// The signing domain, or nothing.
    pub(crate) signed: Option<String>,
    /// Of what is not signed: the reason that the log gives.
    pub(crate) unsigned: Option<String>,
    /// The file whose bytes must be the end of what is delivered.
    pub(crate) unchanged: Option<String>,
    /// A note for the table.
    #[serde(default)]
    pub(crate) note: String,
}

fn to() -> String {
    "{name}@{hop}.test".to_owned()
}

fn one() -> usize {
    1
}

impl Row {
    /// All of them, by name.
    pub(crate) fn all() -> Vec<Self> {
        let mut rows = Vec::new();
        for entry in fs::read_dir(project("tests/callers")).unwrap() {
            let folder = entry.unwrap().path();
            let Ok(text) = fs::read_to_string(folder.join("caller.toml")) else { continue };
            let row: Self =
                toml::from_str(&text).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            rows.push(Self { name, ..row });
        }
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    }

    /// The row for one of the two hops.
    pub(crate) fn through(&self, hop: &str) -> Self {
        let to = self.to.replace("{name}", &self.name).replace("{hop}", hop);
        let fill = |text: &String| text.replace("{hop}", hop).replace("{to}", &to);
        Self {
            user: fill(&self.user),
            also_to: self.also_to.iter().map(fill).collect(),
            says: self.says.as_ref().map(fill),
            from: self.from.as_ref().map(fill),
            envelope: fill(&self.envelope),
            subject: self.subject.as_ref().map(fill),
            texts: self.texts.as_ref().map(|texts| texts.iter().map(fill).collect()),
            contains: self.contains.iter().map(fill).collect(),
            to: to.clone(),
            ..self.clone()
        }
    }

    pub(crate) fn recipients(&self) -> Vec<&str> {
        std::iter::once(self.to.as_str()).chain(self.also_to.iter().map(String::as_str)).collect()
    }
}
