//! `dkimctl explain`: shows what the wrapper would do with a message, and why.

use std::path::PathBuf;
use std::process::ExitCode;

use nix::unistd::geteuid;
use serde::Serialize;

use super::checks::finding::Finding;
use super::checks::keys::wrong_rights;
use super::cli::{Args, Opt};
use super::dry_run::{self, End, Explained, Looked, explain, sample, user_named};
use super::input;
use super::output::{Failure, Text, Tone, diff};
use super::remedies::{Kind, kind_of};
use super::store::keys::KeyFiles;
use super::store::rights::{Step, Tree};
use crate::config::OnError;
use crate::dkim::header::split_fields;
use crate::dkim::{Claims, Field};
use crate::report::plain;
use crate::submission::submitter::User;

pub(super) const OPTIONS: &[Opt] = &[
    Opt("--from ADDR", "use a short message From this address instead of a file"),
    Opt("--user USER", "act as if this user submits the message (default: the caller)"),
];

pub(super) const HELP: &str = "\
usage: dkimctl explain [OPTION...] [FILE | --from ADDR] [-- ARGUMENT...]

Explain what the wrapper would do with a message, and why.

Passes a message, from FILE or stdin, through the code of the wrapper and prints
where the wrapper looks for the domain file, which keys it uses and who can read
them, what it changes and what it signs. Sends nothing.

Arguments after `--` are the arguments of sendmail (default: -t -i).

Exits with 0 if the message would be signed, 1 if not.
";

/// The report.
#[derive(Debug, Default, Serialize)]
struct Explanation {
    from: Option<String>,
    user: String,
    lookup: Vec<Looked>,
    domain: Option<String>,
    selectors: Vec<String>,
    /// The domains that sign in addition.
    also_sign_as: Vec<String>,
    keys: Vec<Key>,
    /// h= of the first signature.
    signed_fields: Vec<String>,
    decision: Decision,
    reason: Option<Reason>,
    /// The changes to the message before it is signed, as a diff without the signatures.
    changes: String,
    signatures: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Key {
    path: PathBuf,
    /// The mode and owner of each component of its path.
    steps: Vec<String>,
    /// The problems that were found.
    #[serde(skip)]
    wrong: Vec<Finding>,
}

/// What the wrapper would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Decision {
    Sign,
    #[default]
    SendUnsigned,
    Refuse,
    PassThrough,
}

impl Decision {
    /// In words, and how good that is.
    fn text(self) -> (&'static str, Tone) {
        match self {
            Self::Sign => ("sign", Tone::Good),
            Self::SendUnsigned => ("send as it was submitted", Tone::Caution),
            Self::Refuse => ("refuse (exit code 75)", Tone::Bad),
            Self::PassThrough => ("leave it to the real sendmail", Tone::Caution),
        }
    }
}

/// A reason of the log, with the name of its kind.
#[derive(Debug, Serialize)]
struct Reason {
    code: &'static str,
    text: String,
    #[serde(skip)]
    remedy: &'static str,
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        let Kind { code, remedy, .. } = kind_of(&text);
        Self { code, text, remedy }
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let message = match (args.text("--from")?, args.file()) {
        (Some(_), Some(_)) => return Err(Failure::usage("FILE and --from exclude each other")),
        (Some(from), None) => sample(from),
        (None, path) => input::message(path)?,
    };
    let name = args.text("--user")?;
    let user = match name {
        Some(name) => user_named(name)
            .ok_or_else(|| Failure::no_user(format_args!("there is no user {name:?}")))?,
        None => User::real(),
    };
    let uid = format!("uid {}", user.uid());
    let shown = match name {
        Some(name) => format!("{name} ({uid})"),
        None => uid,
    };
    let mut argv = vec!["sendmail".into()];
    argv.extend_from_slice(&args.rest);
    if args.rest.is_empty() {
        argv.extend(["-t".into(), "-i".into()]);
    }
    let explained = explain(&args.etc, &argv, user, &message);
    let explanation = Explanation::of(explained, shown, args, &message);
    args.report(&explanation, &explanation.findings(), explanation.text())?;
    let is_signed = !explanation.signatures.is_empty();
    Ok(if is_signed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Explanation {
    fn of(explained: Explained, user: String, args: &Args, message: &[u8]) -> Self {
        let plan = explained.plan.as_ref();
        let selectors = plan.into_iter().flat_map(|plan| &plan.selectors);
        let also = plan.into_iter().flat_map(|plan| &plan.also_sign_as);
        let keys = args.etc.join("keys");
        let tree = Tree::new(&keys);
        let key = |key: &dry_run::Key| {
            let folder = keys.join(&key.folder);
            let path = KeyFiles::within(&folder, &key.selector).private;
            Key::of(path, &tree.path(&folder, &key.selector))
        };
        let mut this = Self {
            from: explained.from,
            user,
            lookup: explained.lookup,
            domain: plan.map(|plan| plan.recipe.domain().to_string()),
            selectors: selectors.map(ToString::to_string).collect(),
            also_sign_as: also.map(ToString::to_string).collect(),
            keys: explained.keys.iter().map(key).collect(),
            ..Self::default()
        };
        match explained.end {
            End::Signed { message: signed, made, remark } => {
                this.decision = Decision::Sign;
                this.reason = remark.map(Reason::from);
                let count = made.selectors.len().saturating_add(made.also.len());
                this.take(message, &signed, count);
            }
            End::Unsigned(reason) => this.reason = Some(reason.into()),
            End::Failed(mut reason, on_error) => {
                if plan.is_some() && !geteuid().is_root() {
                    reason.push_str(" (run as root to check keys)");
                }
                this.reason = Some(reason.into());
                if on_error == OnError::Refuse {
                    this.decision = Decision::Refuse;
                }
            }
            End::NotRead(reason) => {
                this.decision = Decision::PassThrough;
                let text = reason.to_owned();
                this.reason = Some(Reason { code: "not-read", text, remedy: "" });
            }
        }
        this
    }

    /// What is wrong with keys, and why the message is not signed.
    fn findings(&self) -> Vec<Finding> {
        let why = self.reason.as_ref().map(|Reason { code, text, remedy }| {
            let finding = Finding::warning(code, text.clone(), *remedy);
            Finding { subject: self.from.clone(), ..finding }
        });
        self.keys.iter().flat_map(|key| &key.wrong).cloned().chain(why).collect()
    }

    /// Stores the signatures, the fields that they sign, and the changes to the message.
    fn take(&mut self, message: &[u8], signed: &[u8], count: usize) {
        let before = String::from_utf8_lossy(message).replace("\r\n", "\n");
        let after = String::from_utf8_lossy(signed).into_owned();
        // The first fields are the new signatures, one for each selector.
        let fields = split_fields(signed).take(count);
        self.signatures = fields.map(|field| String::from_utf8_lossy(field).into_owned()).collect();
        let rest = after.strip_prefix(&self.signatures.concat()).unwrap_or_default();
        let first = self.signatures.first().and_then(|text| Field::parse(text.as_bytes()).ok());
        let names = first.and_then(|field| Claims::parse(&field).ok()).map(|claims| claims.signed);
        let names = names.unwrap_or_default();
        self.signed_fields = names.iter().map(|name| name.as_str().to_owned()).collect();
        self.changes = diff(("submitted", &before), ("sent", rest));
    }

    fn text(&self) -> Text {
        let mut text = Text::default();
        let mut line = |name: &str, tone: Option<Tone>, value: &str| {
            text.push(Text::toned(tone, &format!("{:11}", format!("{name}:"))));
            text.push(format!(" {value}\n"));
        };
        self.from.iter().for_each(|from| line("From", None, from));
        line("user", None, &self.user);
        for place in &self.lookup {
            line("looked at", None, &format!("{}: {}", place.path.display(), place.found.text()));
        }
        if let Some(domain) = &self.domain {
            line("signer", None, &format!("d={domain} s={}", self.selectors.join(",")));
        }
        for domain in &self.also_sign_as {
            line("also", None, &format!("d={domain}"));
        }
        for key in &self.keys {
            key.steps.iter().for_each(|step| line("key", None, step));
            for Finding { evidence, remedy, .. } in &key.wrong {
                let remedy = if remedy.is_empty() { String::new() } else { format!(": {remedy}") };
                line("WRONG", Some(Tone::Bad), &format!("{evidence}{remedy}"));
            }
        }
        if !self.signed_fields.is_empty() {
            line("signed", None, &self.signed_fields.join(" "));
        }
        let (decision, tone) = self.decision.text();
        line("decision", Some(tone), decision);
        if let Some(reason) = &self.reason {
            line("reason", None, &reason.text);
        }
        if !self.changes.is_empty() {
            text.push(format!("\nchanged before it is signed:\n{}", self.changes));
        }
        if !self.signatures.is_empty() {
            text.push(format!("\n{}", self.signatures.concat()));
        }
        text
    }
}

impl Key {
    fn of(path: PathBuf, steps: &[Step]) -> Self {
        // Only doctor fixes what is wrong.
        let found = steps.iter().filter_map(wrong_rights);
        let mut wrong: Vec<Finding> = found.map(|finding| finding.fixed_by(None)).collect();
        if let Err(error) = path.symlink_metadata() {
            let evidence = format!("{}: {}", path.display(), plain(&error));
            wrong.push(Finding::error("key", evidence, "").about(&path.display()));
        }
        Self { path, steps: steps.iter().map(Step::shown).collect(), wrong }
    }
}
