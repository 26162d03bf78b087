//! `dkimctl genkey`: a key, the record to publish and the domain file. Overwrites nothing.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::checks::obstacles::{Missing, missing};
use super::cli::{Args, JSON, Opt, number};
use super::output::{Failure, warn};
use super::store::domains;
use super::store::keys::{KeyFiles, NewKey, RSA_BITS, selector};
use super::store::{NewFile, Readers, Store};
use crate::dkim::record::Owner;
use crate::dkim::{Algorithm, Domain, Selector, Terms};

pub(super) const OPTIONS: &[Opt] = &[
    Opt("-d, --domain DOMAIN", "signing domain (d=)"),
    Opt("-s, --selector SELECTOR", "selector, the name of the key (s=)"),
    Opt("--type rsa|ed25519", "key type (default: rsa)"),
    Opt("-b, --bits BITS", "size of an RSA key, 1024 to 4096 (default: 2048)"),
    Opt("-D, --directory DIR", "write key and record to this directory only"),
    Opt("-a, --append-domain", "write the record name in full to SELECTOR.txt"),
    Opt("-h, --hash-algorithms LIST", "accept only these hash algorithms (h=)"),
    Opt("-n, --note TEXT", "note in the record (n=)"),
    Opt("-r, --restrict", "restrict the key to email (s=email)"),
    Opt("-S, --nosubdomains", "require the domain of d= in i= (t=s)"),
    Opt("--subdomains", "allow subdomains of d= in i=; overrides -S"),
    Opt("-t, --testmode", "mark the domain as testing DKIM (t=y)"),
    Opt("-v, --verbose", "report each step on stderr"),
    JSON,
];

pub(super) const HELP: &str = "\
usage: dkimctl genkey [OPTION...] -d DOMAIN -s SELECTOR

Create a key for a domain and print the DNS record to publish.

Creates the key, its DNS record and, if the domain has none, a domain file. Then
prints the record and the steps that are left before mail From the domain is
signed on this host. Many receivers do not support Ed25519: use it only in
addition to an RSA key.

Files, below the configuration directory:
  keys/DOMAIN/SELECTOR.private  key, for root and group sendmail-dkim
  keys/DOMAIN/SELECTOR.txt      record, in the format of opendkim-genkey
  domains/DOMAIN.toml           domain file

Nothing is ever overwritten: if the key exists, the exit code is 73.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let domain = args.value("--domain", Domain::parse)?;
    let domain = domain.ok_or_else(|| Failure::usage("no domain: use -d DOMAIN"))?;
    let selector = args.value("--selector", selector)?;
    let selector = selector.ok_or_else(|| Failure::usage("no selector: use -s SELECTOR"))?;
    let (algorithm, bits) = kind(args)?;
    let terms = terms(args)?;
    let directory = args.path("--directory");
    if let Some(directory) = directory.filter(|path| !path.is_dir()) {
        return Err(Failure::exists(format_args!(
            "{directory:?} is not a directory: create it first"
        )));
    }
    if bits < RSA_BITS {
        warn(format_args!("a key of {bits} bits is weak; {RSA_BITS} is what receivers ask for"));
    }
    let own = || args.etc.join("keys").join(domain.as_str());
    let files = KeyFiles::within(&directory.map_or_else(own, Path::to_owned), &selector);
    // Before the work; the files are made in a way that can't overwrite anyhow.
    files.refuse_existing()?;
    report(args, "generating the private key");
    let key = NewKey::generate(algorithm, bits, terms)?;
    let made = Made { args, domain, selector, directory, files, key };
    made.write()?;
    report(args, format_args!("the private key is in {}", made.files.private.display()));
    report(args, format_args!("the record is in {}", made.files.record.display()));
    made.show()
}

/// Reports a step on stderr, if that is asked for.
fn report(args: &Args, what: impl Display) {
    if args.has("--verbose") {
        warn(what);
    }
}

/// The type of the key, and the size of an RSA key.
fn kind(args: &Args) -> Result<(Algorithm, u32), Failure> {
    let algorithm = args.text("--type")?.and_then(Algorithm::of_key_type);
    let algorithm = algorithm.unwrap_or(Algorithm::RsaSha256);
    match (algorithm, args.value("--bits", number)?) {
        (_, None) => Ok((algorithm, RSA_BITS)),
        (Algorithm::Ed25519Sha256, Some(_)) => {
            Err(Failure::usage("an Ed25519 key has a fixed size: omit -b"))
        }
        (_, Some(bits)) if (1024..=4096).contains(&bits) => Ok((algorithm, bits)),
        (_, Some(bits)) => Err(Failure::usage(format_args!("{bits} bits: a key has 1024 to 4096"))),
    }
}

/// What the record says beside the key.
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

/// A new key and its place.
struct Made<'a> {
    args: &'a Args,
    domain: Domain,
    selector: Selector,
    /// Outside of the tree.
    directory: Option<&'a Path>,
    files: KeyFiles,
    key: NewKey,
}

impl Made<'_> {
    fn write(&self) -> Result<(), Failure> {
        let (etc, is_own) = (&self.args.etc, self.directory.is_none());
        let is_full = self.args.has("--append-domain");
        let owner = if is_full { Owner::Absolute } else { Owner::Relative };
        let entry = self.key.record.zone_entry(&self.selector, &self.domain, owner)?;
        let pem = self.key.key.to_pkcs8_pem()?;
        let readers = if is_own { Readers::Group } else { Readers::Owner };
        let (private, record, file) = (&self.files.private, &self.files.record, self.domain_file());
        let selectors = format!("selectors = [\"{}\"]\n", self.selector);
        let mut files = vec![
            NewFile { path: record, text: entry.as_bytes(), readers: Readers::All },
            NewFile { path: private, text: pem.as_bytes(), readers },
        ];
        let store = match self.directory {
            Some(directory) => Store::open_shared(directory)?,
            None => Store::create(etc)?,
        };
        if is_own {
            store.keys_folder(&self.domain)?;
        }
        if is_own && file.symlink_metadata().is_err() {
            store.folder(&etc.join("domains"), Readers::All)?;
            // The last: a domain file without its key would make errors of mail.
            files.push(NewFile { path: &file, text: selectors.as_bytes(), readers: Readers::All });
        }
        store.files(&files)
    }

    fn domain_file(&self) -> PathBuf {
        self.args.etc.join("domains").join(format!("{}.toml", self.domain))
    }

    /// What is missing before mail is signed with the key, but for its record.
    fn missing(&self) -> Vec<Missing> {
        if let Some(directory) = self.directory {
            return vec![Missing::new(
                "name the key in a domain file, as genkey does without -D",
                format!("nothing signs with a key in {}", directory.display()),
            )];
        }
        let mut steps = missing(&self.args.etc, |stem| stem == self.domain.as_str());
        // Where the domain files can't be read, a step above says why.
        if let Ok(configs) = domains::signing_for(&self.args.etc, &self.domain)
            && !configs.iter().any(|config| config.selectors().contains(&self.selector))
        {
            let (selector, file) = (&self.selector, self.domain_file());
            let file = file.display();
            steps.push(Missing::new(
                format!("add \"{selector}\" to `selectors` in {file}, once the DNS has the record"),
                format!("{file} was there already and does not name the key"),
            ));
        }
        steps
    }

    fn show(&self) -> Result<ExitCode, Failure> {
        let Self { domain, selector, key: NewKey { key, record }, .. } = self;
        let (name, value) = (selector.record_name(domain), record.text()?);
        let missing = self.missing();
        let entry = record.zone_entry(selector, domain, Owner::Absolute)?;
        let so_far = if missing.is_empty() {
            format!("sendmail.dkim signs mail From {domain} with the key. What is left to do:")
        } else {
            format!("Mail From {domain} is not signed with the key yet. What is left to do:")
        };
        let publish = Missing::new(
            format!("publish the record, and ask for it: dkimctl testkey {domain}"),
            "genkey does not ask the DNS; without the record no receiver can verify the signature",
        );
        let text = format!(
            "Publish this record in the zone of {domain}:\n\n{entry}\n\
             or, where a form asks for it, as type TXT with\n\n  \
             name   {name}\n  value  {value}\n\n\
             The key is in {}.\n{so_far}\n\n{}",
            self.files.private.display(),
            Missing::list(&[&[publish], missing.as_slice()].concat())
        );
        let json = json!({
            "domain": domain.as_str(),
            "selector": selector.as_str(),
            "type": key.algorithm().key_type(),
            "bits": key.bits(),
            "name": name,
            "value": value,
            "private": self.files.private,
            "record": self.files.record,
            "signing": missing.is_empty(),
            "missing": missing,
        });
        self.args.print(&json, &text)
    }
}
