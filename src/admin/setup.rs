//! `dkimctl setup`: fills in config.toml from the host. Values of the administrator stay.

mod editing;
mod host;
mod publish;
mod smtp;
mod written;

use std::process::ExitCode;

use serde_json::json;

use super::cli::{Args, DRY_RUN, Opt};
use super::output::Failure;
use super::store::{Readers, Store};
use editing::Editing;
use host::Host;
use written::finish;

pub(super) const OPTIONS: &[Opt] = &[
    DRY_RUN,
    Opt("--replace", "replace values that differ from what the host reports"),
    Opt("--sendmail FILE", "set only the real sendmail, if config.toml has none"),
    Opt("--directories", "only create the directories and set the group of keys"),
    Opt("--smtp[=off]", "show how Postfix hands mail submitted by SMTP to the wrapper"),
    Opt("--publish WAY", "publish by nsupdate, by a program, or not (off)"),
    Opt("--tsig-key FILE", "TSIG key for nsupdate"),
    Opt("--server SERVER", "server that nsupdate sends the updates to"),
    Opt("--yes", "with --smtp, apply the changes that are shown"),
];

pub(super) const HELP: &str = "\
usage: dkimctl setup [OPTION...] [--sendmail FILE | --directories | --smtp]

Fill in config.toml from the host.

Finds the real sendmail, and asks Postfix what it appends to bare addresses
(myorigin, mydomain), its size limit (message_size_limit) and what it adds to
mail without To and Cc (undisclosed_recipients_header). Comments and all other
keys are kept. A value that differs is kept and reported; a real sendmail
that does not exist, or is the wrapper itself, is replaced.

With --smtp, prints the changes of main.cf, master.cf and config.toml by which
mail that clients submit by SMTP is signed, see docs/smtp.md: a service on port
587 or 465 where every client has to authenticate hands over all its mail, other
ones that of the clients in clients.cidr, which is made of mynetworks if there
is no such file, and of clients that authenticate. With --yes applies them, and
runs `postfix check`; what that finds undoes the changes. --smtp=off takes the
settings out again.

With --publish, writes only publish, nsupdate_key and nsupdate_server into
config.toml: `nsupdate`, the absolute path of a program and its arguments in one
word, or `off`. See docs/publish.md.

Exits with 0 if config.toml fits the host now, 66 if there is no real sendmail.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let excludes = |option: &str, others: &[&str]| {
        let other = others.iter().find(|other| args.has(other));
        other.map_or(Ok(()), |other| {
            Err(Failure::usage(format_args!("{option} and {other} exclude each other")))
        })
    };
    if let Some(value) = args.text("--smtp")? {
        let others =
            ["--sendmail", "--directories", "--publish", "--replace", "--tsig-key", "--server"];
        excludes("--smtp", &others)?;
        return smtp::run(args, value != "off");
    }
    if let Some(way) = args.text("--publish")? {
        excludes("--publish", &["--sendmail", "--directories", "--replace", "--yes"])?;
        return publish::run(args, way);
    }
    if args.has("--tsig-key") || args.has("--server") {
        return Err(Failure::usage("--tsig-key and --server are for --publish nsupdate"));
    }
    if args.has("--yes") {
        return Err(Failure::usage("--yes is for --smtp"));
    }
    if args.has("--directories") {
        excludes("--directories", &["--sendmail", "--dry-run", "--replace"])?;
        return directories(args);
    }
    let sendmail = args.path("--sendmail");
    if sendmail.is_some() {
        excludes("--sendmail", &["--replace"])?;
    }
    let host = match sendmail {
        None => Host::ask(),
        Some(path) if host::is_real(path) => {
            Host { sendmail: Some(path.to_owned()), ..Host::default() }
        }
        Some(path) => {
            let what = format_args!("{path:?} is not a sendmail program other than the wrapper");
            return Err(Failure::missing(what));
        }
    };
    if !args.has("--dry-run") {
        Store::refuse_others(&args.etc)?;
    }
    let mut file = Editing::open(&args.etc)?;
    file.settle_sendmail(&host);
    if sendmail.is_none() {
        file.settle_postfix(&host, args.has("--replace"));
    }
    file.notes.splice(0..0, host.notes);
    finish(args, &file)
}

/// The directories of the tree, and the group that reads keys.
fn directories(args: &Args) -> Result<ExitCode, Failure> {
    let etc = args.etc.as_path();
    let store = Store::create(etc)?;
    store.folder(&etc.join("domains"), Readers::All)?;
    store.folder(&etc.join("keys"), Readers::Group)?;
    store.give_keys()?;
    args.report(&json!({"directories": [etc.join("domains"), etc.join("keys")]}), &[], "")
}
