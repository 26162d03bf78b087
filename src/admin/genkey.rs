//! `dkimctl genkey`: a key, the record to publish and the domain file. Overwrites nothing.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::checks::obstacles::{Missing, missing};
use super::cli::{Args, JSON, Opt};
use super::output::{Failure, say, say_json, warn};
use super::store::domains::{self, DomainConfig};
use super::store::keys::{KeyFiles, NewKey, RSA_BITS};
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

struct Request<'a> {
    args: &'a Args,
    domain: Domain,
    selector: Selector,
    algorithm: Algorithm,
    /// Of an RSA key.
    bits: u32,
    terms: Terms,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let request = Request::new(args)?;
    if request.bits < RSA_BITS {
        let bits = request.bits;
        warn(format_args!("a key of {bits} bits is weak; {RSA_BITS} is what receivers ask for"));
    }
    request.make(&args.etc)?.show(&args.etc, &request)
}

/// What there is now.
struct Made {
    key: NewKey,
    paths: KeyFiles,
    /// The domain file.
    file: PathBuf,
}

impl Request<'_> {
    fn tell(&self, what: impl Display) {
        if self.args.has("--verbose") {
            warn(what);
        }
    }

    fn make(&self, etc: &Path) -> Result<Made, Failure> {
        let (domain, selector) = (&self.domain, &self.selector);
        let directory = self.args.path("--directory");
        let is_full = self.args.has("--append-domain");
        let owner = if is_full { Owner::Absolute } else { Owner::Relative };
        let paths = match directory {
            Some(directory) => KeyFiles::within(directory, selector),
            None => KeyFiles::within(&etc.join("keys").join(domain.as_str()), selector),
        };
        // Before the work; the files are made in a way that can't overwrite anyhow.
        paths.refuse_existing()?;
        self.tell("generating the private key");
        let key = NewKey::generate(self.algorithm, self.bits, self.terms.clone())?;
        let pem = key.key.to_pkcs8_pem()?;
        let entry = key.record.zone_entry(selector, domain, owner)?;
        let file = etc.join("domains").join(format!("{domain}.toml"));
        let selectors = format!("selectors = [\"{selector}\"]\n");
        let is_first = directory.is_none() && file.symlink_metadata().is_err();
        let readers = if directory.is_some() { Readers::Owner } else { Readers::Group };
        let mut files = vec![
            NewFile { path: &paths.record, text: entry.as_bytes(), readers: Readers::All },
            NewFile { path: &paths.private, text: pem.as_bytes(), readers },
        ];
        let store = match directory {
            Some(directory) => Store::open_shared(directory)?,
            None => Store::create(etc)?,
        };
        if directory.is_none() {
            store.keys_folder(domain)?;
        }
        if is_first {
            store.folder(&etc.join("domains"), Readers::All)?;
            // The last: a domain file without its key would make errors of mail.
            files.push(NewFile { path: &file, text: selectors.as_bytes(), readers: Readers::All });
        }
        store.files(&files)?;
        self.tell(format_args!("the private key is in {}", paths.private.display()));
        self.tell(format_args!("the record is in {}", paths.record.display()));
        Ok(Made { key, paths, file })
    }
}

impl Made {
    /// What is missing before mail is signed with the key, but for its record.
    fn missing(&self, etc: &Path, request: &Request<'_>) -> Vec<Missing> {
        let (domain, selector) = (request.domain.as_str(), &request.selector);
        let mut steps = missing(etc, |stem| stem == domain);
        // Where that can't be told, a step above says why.
        if let Ok(configs) = domains::signing_for(etc, &request.domain)
            && !configs.iter().flat_map(DomainConfig::selectors).any(|one| one == selector)
        {
            let file = self.file.display();
            steps.push(Missing::new(
                format!("add \"{selector}\" to `selectors` in {file}, once the DNS has the record"),
                format!("{file} was there already and does not name the key"),
            ));
        }
        steps
    }

    fn show(&self, etc: &Path, request: &Request<'_>) -> Result<ExitCode, Failure> {
        let (domain, selector) = (&request.domain, &request.selector);
        let value = self.key.record.text()?;
        let missing = match request.args.path("--directory") {
            Some(directory) => vec![Missing::new(
                "name the key in a domain file, as genkey does without -D",
                format!("nothing signs with a key in {}", directory.display()),
            )],
            None => self.missing(etc, request),
        };
        if request.args.has("--json") {
            return say_json(&json!({
                "domain": domain.as_str(),
                "selector": selector.as_str(),
                "type": self.key.key.algorithm().key_type(),
                "bits": self.key.key.bits(),
                "name": selector.record_name(domain),
                "value": value,
                "private": self.paths.private,
                "record": self.paths.record,
                "signing": missing.is_empty(),
                "missing": missing,
            }));
        }
        let entry = self.key.record.zone_entry(selector, domain, Owner::Absolute)?;
        let so_far = if missing.is_empty() {
            format!("sendmail.dkim signs mail From {domain} with the key. What is left to do:")
        } else {
            format!("Mail From {domain} is not signed with the key yet. What is left to do:")
        };
        let publish = Missing::new(
            format!("publish the record, and ask for it: dkimctl testkey {domain}"),
            "genkey does not ask the DNS; without the record no receiver can verify the signature",
        );
        let steps = [vec![publish], missing].concat();
        say(&format!(
            "Publish this record in the zone of {domain}:\n\n{entry}\n\
             or, where a form asks for it, as type TXT with\n\n  \
             name   {selector}._domainkey.{domain}\n  value  {value}\n\n\
             The key is in {}.\n{so_far}\n\n{}",
            self.paths.private.display(),
            Missing::list(&steps)
        ))
    }
}

impl<'a> Request<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let domain = args.value("--domain", Domain::parse)?;
        let domain = domain.ok_or_else(|| Failure::usage("no domain: use -d DOMAIN"))?;
        let selector = args.value("--selector", Selector::parse)?;
        let selector = selector.ok_or_else(|| Failure::usage("no selector: use -s SELECTOR"))?;
        let algorithm = args.text("--type")?.and_then(Algorithm::of_key_type);
        let algorithm = algorithm.unwrap_or(Algorithm::RsaSha256);
        let bits = match (algorithm, args.value("--bits", str::parse::<u32>)?) {
            (Algorithm::Ed25519Sha256, Some(_)) => {
                return Err(Failure::usage("an Ed25519 key has a fixed size: omit -b"));
            }
            (_, Some(bits)) if (1024..=4096).contains(&bits) => bits,
            (_, Some(bits)) => {
                return Err(Failure::usage(format_args!("{bits} bits: a key has 1024 to 4096")));
            }
            (_, None) => RSA_BITS,
        };
        let hashes = |list: &str| Terms::default().with_hashes(list);
        let terms = args.value("--hash-algorithms", hashes)?.unwrap_or_default();
        let noted = args.value("--note", |note| terms.clone().with_note(note))?;
        let mut terms = noted.unwrap_or(terms);
        terms.email = args.has("--restrict");
        terms.strict = args.has("--nosubdomains") && !args.has("--subdomains");
        terms.testing = args.has("--testmode");
        if let Some(directory) = args.path("--directory")
            && !directory.is_dir()
        {
            return Err(Failure::exists(format_args!(
                "{directory:?} is not a directory: create it first"
            )));
        }
        Ok(Self { args, domain, selector, algorithm, bits, terms })
    }
}
