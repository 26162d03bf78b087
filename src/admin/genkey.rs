//! `dkimctl genkey`: creates a key, the record to publish and the domain file. Overwrites nothing.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::slice;

use serde_json::json;

use super::cli::{Args, Opt};
use super::keygen::{BITS, GROUPS, Kind, Signers, TYPE, USERS, Wanted, note, show};
use super::output::{Failure, remark};
use super::publishing::{NO_PUBLISH, Publishing, WAIT};
use crate::dkim::Terms;

pub(super) const OPTIONS: &[Opt] = &[
    Opt("-d, --domain DOMAIN", "signing domain (d=)"),
    Opt("-s, --selector SELECTOR", "selector, the name of the key (s=)"),
    TYPE,
    BITS,
    Opt("-D, --directory DIR", "write key and record to this directory only"),
    Opt("-a, --append-domain", "write the record name in full to SELECTOR.txt"),
    Opt("-h, --hash-algorithms LIST", "accept only these hash algorithms (h=)"),
    Opt("-n, --note TEXT", "note in the record (n=)"),
    Opt("-r, --restrict", "restrict the key to email (s=email)"),
    Opt("-S, --nosubdomains", "require the domain of d= in i= (t=s)"),
    Opt("--subdomains", "allow subdomains of d= in i=; overrides -S"),
    Opt("-t, --testmode", "mark the domain as testing DKIM (t=y)"),
    USERS,
    GROUPS,
    NO_PUBLISH,
    WAIT,
    Opt("-v, --verbose", "report each step on stderr"),
];

pub(super) const HELP: &str = "\
usage: dkimctl genkey [OPTION...] DOMAIN SELECTOR

Create a key for a domain and print the DNS record to publish.

Creates the key, its DNS record and, if the domain has none, a domain file. Then
prints the record and the steps that are left before mail From the domain is
signed on this host. Many receivers do not support Ed25519: use it only in
addition to an RSA key.

Files, below the configuration directory:
  keys/DOMAIN/SELECTOR.private  key, for root and group sendmail-dkim
  keys/DOMAIN/SELECTOR.txt      record, in the format of opendkim-genkey
  domains/DOMAIN.toml           domain file

With publish in config.toml, publishes the record as `dkimctl add` does.

Nothing is ever overwritten: if the key exists, the exit code is 73. It is 69 if
the record could not be published, or DNS does not have it in time; the same
call continues from there.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let (domain, selector) = args.domain_and_selectors()?;
    let mut selectors = selector.into_iter();
    let selector =
        selectors.next().ok_or_else(|| Failure::usage("no selector: use -s SELECTOR"))?;
    if let Some(other) = selectors.next() {
        return Err(Failure::usage(format_args!("unexpected argument {:?}", other.as_str())));
    }
    let directory = args.path("--directory");
    if let Some(directory) = directory.filter(|path| !path.is_dir()) {
        return Err(Failure::exists(format_args!(
            "{directory:?} is not a directory: create it first"
        )));
    }
    let signers = Signers::of(args)?;
    if directory.is_some() && !signers.is_every_user() {
        let why = "--directory excludes --users and --groups: it writes no domain file";
        return Err(Failure::usage(why));
    }
    let publishing = match directory {
        Some(_) => None,
        None => Publishing::of_new(args, slice::from_ref(&domain))?,
    };
    let wanted = Wanted {
        domain,
        selector,
        terms: terms(args)?,
        signers,
        kind: Kind::of(args)?,
        is_full: args.has("--append-domain"),
        directory: directory.map(Path::to_owned),
        shared: None,
        waits: publishing.is_some(),
    };
    report(args, "generating the private key");
    let mut made = wanted.make(&args.etc)?;
    report(args, format_args!("the private key is in {}", made.files.private.display()));
    report(args, format_args!("the record is in {}", made.files.record.display()));
    if let Some(publishing) = &publishing {
        publishing.begin(1);
        made.published = Some(made.publish(&args.etc, publishing));
        note(&args.etc, slice::from_ref(&made));
    }
    show(args, slice::from_ref(&made), Vec::new(), |mut made| json!(made.pop()))
}

/// Reports a step on stderr with --verbose.
fn report(args: &Args, what: impl Display) {
    if args.has("--verbose") {
        remark(what);
    }
}

/// The tags of the record other than the key.
fn terms(args: &Args) -> Result<Terms, Failure> {
    let hashes = |list: &str| Terms::default().with_hashes(list);
    let terms = args.value("--hash-algorithms", hashes)?.unwrap_or_default();
    let noted = args.value("--note", |note| terms.clone().with_note(note))?;
    let mut terms = noted.unwrap_or(terms);
    terms.email = args.has("--restrict");
    terms.strict = args.has("--nosubdomains") && !args.has("--subdomains");
    terms.testing = args.has("--testmode");
    Ok(terms)
}
