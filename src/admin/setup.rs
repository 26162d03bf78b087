//! `dkimctl setup`: config.toml filled from the host. What the administrator wrote stays.

mod host;

use std::path::Path;
use std::process::ExitCode;

use serde::{Serialize, Serializer};
use toml_edit::{DocumentMut, Item, Value};

use super::cli::{Args, DRY_RUN, JSON, Opt};
use super::input;
use super::output::{Failure, diff};
use super::store::{NewFile, Readers, Store};
use crate::config;
use host::Host;

pub(super) const OPTIONS: &[Opt] = &[
    DRY_RUN,
    Opt("--replace", "replace values that differ from what the host reports"),
    JSON,
    Opt("--sendmail FILE", "set only the real sendmail, if config.toml has none"),
    Opt("--directories", "only create the directories and set the group of keys"),
];

pub(super) const HELP: &str = "\
usage: dkimctl setup [OPTION...] [--sendmail FILE | --directories]

Fill in config.toml from the host.

Finds the real sendmail, and asks Postfix what it appends to bare addresses
(myorigin, mydomain), its size limit (message_size_limit) and what it adds to
mail without To and Cc (undisclosed_recipients_header). Comments and all other
keys are kept. A value that differs is kept and reported; a real sendmail
that does not exist, or is the wrapper itself, is replaced.

Exits with 0 if config.toml fits the host now, 66 if there is no real sendmail.
";

/// What a host without config.toml gets, and what stands in it beside the keys.
const EXAMPLE: &str = include_str!("../../packaging/etc/config.toml");

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let sendmail = args.path("--sendmail");
    let mut host = match (sendmail, args.has("--directories")) {
        (None, false) => Host::ask(),
        (Some(path), false) if host::is_real(path) => Host::of(path),
        (Some(path), false) => {
            let what = format_args!("{path:?} is not a sendmail program other than the wrapper");
            return Err(Failure::missing(what));
        }
        (None, true) => return directories(&args.etc),
        (Some(_), true) => {
            return Err(Failure::usage("--sendmail and --directories exclude each other"));
        }
    };
    let is_dry = args.has("--dry-run");
    if !is_dry {
        Store::refuse_others(&args.etc)?;
    }
    let path = args.etc.join("config.toml");
    let before = input::optional(&path)?;
    let mut file = Editing::new(&path, before.as_deref().unwrap_or(EXAMPLE), before.is_none())?;
    file.settle_sendmail(&host);
    if sendmail.is_none() {
        file.settle_postfix(&host, args.has("--replace"));
    }
    if file.get("sendmail").is_none() {
        return Err(Failure::missing("there is no sendmail but the wrapper; install Postfix"));
    }
    config::Host::parse(&file.text)
        .map_err(|error| Failure::data(format_args!("{}: {error}", path.display())))?;
    let before = before.unwrap_or_default();
    if !is_dry && file.text != before {
        let new = NewFile { path: &path, text: file.text.as_bytes(), readers: Readers::All };
        Store::create(&args.etc)?.replace(&new)?;
    }
    host.notes.append(&mut file.notes);
    show(args, &path, &before, &file, &host.notes)
}

/// The directories of the tree, and the group that reads keys.
fn directories(etc: &Path) -> Result<ExitCode, Failure> {
    let store = Store::create(etc)?;
    store.folder(&etc.join("domains"), Readers::All)?;
    store.folder(&etc.join("keys"), Readers::Group)?;
    store.give_keys()?;
    Ok(ExitCode::SUCCESS)
}

/// A key, and what became of it.
#[derive(Debug, Serialize)]
struct Outcome {
    key: &'static str,
    /// What the file says now.
    #[serde(serialize_with = "as_json")]
    value: Option<Value>,
    /// What it said before, where that is something else.
    #[serde(serialize_with = "as_json", skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    /// Whether it was set.
    set: bool,
}

fn as_json<S: Serializer>(value: &Option<Value>, to: S) -> Result<S::Ok, S::Error> {
    let number = value.as_ref().and_then(Value::as_integer);
    let text = value.as_ref().and_then(Value::as_str);
    match number {
        Some(number) => number.serialize(to),
        None => text.serialize(to),
    }
}

impl Outcome {
    /// Lines of TOML that may be copied into the file.
    fn toml(&self) -> String {
        let Self { key, value, before, .. } = self;
        match (value, before) {
            (Some(value), None) => format!("{key} = {value}\n"),
            (Some(value), Some(before)) => format!("{key} = {value} # was {before}\n"),
            (None, Some(before)) => format!("# {key} was removed; it was {before}\n"),
            (None, None) => String::new(),
        }
    }
}

/// The text of config.toml on its way.
struct Editing {
    text: String,
    document: DocumentMut,
    /// Nobody wrote it but us.
    is_new: bool,
    outcomes: Vec<Outcome>,
    notes: Vec<String>,
}

impl Editing {
    fn new(path: &Path, text: &str, is_new: bool) -> Result<Self, Failure> {
        let document = parse(path, text)?;
        let text = text.to_owned();
        Ok(Self { text, document, is_new, outcomes: Vec::new(), notes: Vec::new() })
    }

    /// A value of the file, without the spaces and the comment around it.
    fn get(&self, key: &str) -> Option<Value> {
        Some(self.document.get(key)?.as_value()?.clone().decorated("", ""))
    }

    fn settle_sendmail(&mut self, host: &Host) {
        let is_real =
            |value: &Value| value.as_str().is_some_and(|path| host::is_real(path.as_ref()));
        let real = self.get("sendmail").filter(is_real);
        let found = host.sendmail.as_ref().and_then(|path| path.to_str()).map(Value::from);
        // One that can be run is not second-guessed.
        self.settle_one("sendmail", real.or(found), true);
    }

    fn settle_postfix(&mut self, host: &Host, replace: bool) {
        for (key, domain) in
            [("origin", &host.origin), ("append_dot_domain", &host.append_dot_domain)]
        {
            let domain = domain.as_ref().map(|domain| Value::from(domain.as_str()));
            self.settle_one(key, domain, replace);
        }
        let limit = host.message_size_limit.map(Value::from);
        self.settle_one("message_size_limit", limit, replace);
        let field = host.undisclosed_recipients_header.as_deref().map(Value::from);
        self.settle_one("undisclosed_recipients_header", field, replace);
    }

    fn settle_one(&mut self, key: &'static str, wanted: Option<Value>, replace: bool) {
        let current = self.get(key);
        // A number is no text: in quotes it stops all signing.
        let meant = |value: &Value| (value.as_integer(), value.as_str().map(str::to_owned));
        let differs = current.as_ref().map(meant) != wanted.as_ref().map(meant);
        let set = differs && (current.is_none() || replace || self.is_new);
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
    fn set(&mut self, key: &str, to: Option<Value>) {
        let current = self.document.get_mut(key).and_then(Item::as_value_mut);
        match (to, current) {
            (None, _) => drop(self.document.remove(key)),
            (Some(to), Some(current)) => {
                let comment = current.decor().clone();
                *current = to;
                *current.decor_mut() = comment;
            }
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

fn show(
    args: &Args,
    path: &Path,
    before: &str,
    file: &Editing,
    notes: &[String],
) -> Result<ExitCode, Failure> {
    let is_dry = args.has("--dry-run");
    let mut text = if is_dry {
        let name = path.display().to_string();
        diff((&name, before), (&name, &file.text))
    } else {
        let set = file.outcomes.iter().filter(|outcome| outcome.set);
        let lines: String = set.map(Outcome::toml).collect();
        let done = if lines.is_empty() { " nothing to change" } else { "" };
        // Scripts ask for one part at each run, and mostly nothing is to do.
        if lines.is_empty() && args.has("--sendmail") {
            String::new()
        } else {
            format!("# {}:{done}\n{lines}", path.display())
        }
    };
    for note in notes {
        text.push_str(&format!("note: {note}\n"));
    }
    args.print(&Shown { file: path, dry_run: is_dry, keys: &file.outcomes, notes }, &text)
}

#[derive(Serialize)]
struct Shown<'a> {
    file: &'a Path,
    dry_run: bool,
    keys: &'a [Outcome],
    notes: &'a [String],
}
