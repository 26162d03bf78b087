//! `dkimctl genkey`: a key, the record to publish and the domain file. Overwrites nothing.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::Arg;
use lexopt::ValueExt as _;
use serde_json::json;

use super::Args;
use super::checks::obstacles::{Missing, missing};
use super::output::{Failure, say, say_json, warn};
use super::store::keys::{KeyPaths, Wanted};
use super::store::signers::{Signer, signers};
use super::store::{NewFile, Readers, Store};
use crate::dkim::record::Owner;
use crate::dkim::{Algorithm, Domain, Record, Selector, SigningKey, Terms};

pub(super) const HELP: &str = "\
usage: dkimctl genkey -d DOMAIN -s SELECTOR [OPTION...]

Makes a key for a domain and a domain file where there is none, and shows the
DNS record to publish; then what is missing before mail From that domain is
signed on this host. Nothing is ever overwritten.

  -d, --domain DOMAIN         the signing domain (d=)
  -s, --selector SELECTOR     the name of the key (s=)
      --type rsa|ed25519      the type of the key (default: rsa; ed25519 only
                              beside an RSA key, as many receivers don't know it)
  -b, --bits BITS             size of an RSA key, 1024 to 4096 (default: 2048)
  -D, --directory DIR         write to this folder instead of the tree, and no
                              domain file: nothing signs with the key yet
  -a, --append-domain         put the domain into the name of the record in
                              SELECTOR.txt; else it is relative to the zone
  -h, --hash-algorithms LIST  limit the key to these (h=), as sha256
  -n, --note TEXT             a note in the record (n=)
  -r, --restrict              the key is for e-mail only (s=email)
  -S, --nosubdomains          i= may not be of a subdomain (t=s)
  -t, --testmode              the domain is only testing DKIM (t=y)
  -v, --verbose               tell on stderr what is done
      --json                  show the result as JSON

Files, below the configuration folder:
  keys/DOMAIN/SELECTOR.private  the key, for root and group sendmail-dkim
  keys/DOMAIN/SELECTOR.txt      the record, as opendkim-genkey writes it
  domains/DOMAIN.toml           the domain file, where there is none yet
";

struct Request {
    domain: Domain,
    selector: Selector,
    key: Wanted,
    terms: Terms,
    owner: Owner,
    directory: Option<PathBuf>,
    verbose: bool,
    json: bool,
}

pub(super) fn run(mut args: Args) -> Result<ExitCode, Failure> {
    let request = Request::parse(&mut args)?;
    if let Wanted::Rsa(bits) = request.key
        && bits < 2048
    {
        warn(format_args!("a key of {bits} bits is weak; 2048 is what receivers ask for"));
    }
    request.make(&args.etc)?.show(&args.etc, &request)
}

/// What there is now.
struct Made {
    key: SigningKey,
    record: Record,
    paths: KeyPaths,
    /// The domain file.
    file: PathBuf,
}

impl Request {
    fn tell(&self, what: impl Display) {
        if self.verbose {
            warn(what);
        }
    }

    fn make(&self, etc: &Path) -> Result<Made, Failure> {
        let (domain, selector) = (&self.domain, &self.selector);
        let paths = match &self.directory {
            Some(directory) => KeyPaths::within(directory, selector),
            None => KeyPaths::of(etc, domain, selector),
        };
        // Before the work; the files are made in a way that can't overwrite anyhow.
        paths.refuse_existing()?;
        self.tell("generating the private key");
        let key = self.key.generate()?;
        let pem = key.to_pkcs8_pem().map_err(Failure::software)?;
        let record = Record::new(key.public()).with_terms(self.terms.clone());
        let entry = record.zone_entry(selector, domain, self.owner).map_err(Failure::software)?;
        let file = etc.join("domains").join(format!("{domain}.toml"));
        let selectors = format!("selectors = [\"{selector}\"]\n");
        let is_first = self.directory.is_none() && file.symlink_metadata().is_err();
        let readers = if self.directory.is_some() { Readers::Owner } else { Readers::Group };
        let mut files = vec![
            NewFile { path: &paths.record, text: entry.as_bytes(), readers: Readers::All },
            NewFile { path: &paths.private, text: pem.as_bytes(), readers },
        ];
        let store = match &self.directory {
            Some(directory) => Store::open_shared(directory)?,
            None => Store::create(etc)?,
        };
        if self.directory.is_none() {
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
        Ok(Made { key, record, paths, file })
    }
}

impl Made {
    /// What is missing before mail is signed with the key, but for its record.
    fn missing(&self, etc: &Path, request: &Request) -> Vec<Missing> {
        let (domain, selector) = (request.domain.as_str(), &request.selector);
        let mut steps = missing(etc, |stem| stem == domain);
        // Where that can't be told, a step above says why.
        if let Ok(signers) = signers(etc, &request.domain)
            && !signers.iter().flat_map(Signer::selectors).any(|one| one == selector)
        {
            let file = self.file.display();
            steps.push(Missing::new(
                format!("add \"{selector}\" to `selectors` in {file}, once the DNS has the record"),
                format!("{file} was there already and does not name the key"),
            ));
        }
        steps
    }

    fn show(&self, etc: &Path, request: &Request) -> Result<ExitCode, Failure> {
        let (domain, selector) = (&request.domain, &request.selector);
        let value = self.record.text().map_err(Failure::software)?;
        let missing = match &request.directory {
            Some(directory) => vec![Missing::new(
                "name the key in a domain file, as genkey does without -D",
                format!("nothing signs with a key in {}", directory.display()),
            )],
            None => self.missing(etc, request),
        };
        if request.json {
            return say_json(&json!({
                "domain": domain.as_str(),
                "selector": selector.as_str(),
                "type": self.key.algorithm().key_type(),
                "bits": self.key.bits(),
                "name": format!("{selector}._domainkey.{domain}"),
                "value": value,
                "private": self.paths.private,
                "record": self.paths.record,
                "signing": missing.is_empty(),
                "missing": missing,
            }));
        }
        let entry = self.record.zone_entry(selector, domain, Owner::Absolute);
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
            "Publish this record in the zone of {domain}:\n\n{}\n\
             or, where a form asks for it, as type TXT with\n\n  \
             name   {selector}._domainkey.{domain}\n  value  {value}\n\n\
             The key is in {}.\n{so_far}\n\n{}",
            entry.map_err(Failure::software)?,
            self.paths.private.display(),
            Missing::list(&steps)
        ))
    }
}

/// What the options say so far.
#[derive(Default)]
struct Options {
    domain: Option<String>,
    selector: Option<String>,
    key_type: Option<String>,
    bits: Option<u32>,
    terms: Terms,
    absolute: bool,
    directory: Option<PathBuf>,
    verbose: bool,
    json: bool,
}

impl Options {
    fn take(args: &mut Args) -> Result<Self, Failure> {
        let mut options = Self::default();
        let parser = &mut args.parser;
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Short('d') | Arg::Long("domain") => {
                    options.domain = Some(parser.value()?.string()?);
                }
                Arg::Short('s') | Arg::Long("selector") => {
                    options.selector = Some(parser.value()?.string()?);
                }
                Arg::Long("type") => options.key_type = Some(parser.value()?.string()?),
                Arg::Short('b') | Arg::Long("bits") => {
                    options.bits = Some(parser.value()?.parse()?);
                }
                Arg::Short('D') | Arg::Long("directory") => {
                    options.directory = Some(parser.value()?.into());
                }
                Arg::Short('a') | Arg::Long("append-domain") => options.absolute = true,
                Arg::Short('h') | Arg::Long("hash-algorithms") => {
                    let list = parser.value()?.string()?;
                    let terms = options.terms.with_hashes(&list);
                    options.terms = terms.map_err(|error| of_value("-h", &list, error))?;
                }
                Arg::Short('n') | Arg::Long("note") => {
                    let note = parser.value()?.string()?;
                    let terms = options.terms.with_note(&note);
                    options.terms = terms.map_err(|error| of_value("-n", &note, error))?;
                }
                Arg::Short('r') | Arg::Long("restrict") => options.terms.email = true,
                Arg::Short('S') | Arg::Long("nosubdomains") => options.terms.strict = true,
                Arg::Long("subdomains") => options.terms.strict = false,
                Arg::Short('t') | Arg::Long("testmode") => options.terms.testing = true,
                Arg::Short('v') | Arg::Long("verbose") => options.verbose = true,
                Arg::Long("json") => options.json = true,
                Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => {
                    return Err(arg.unexpected().into());
                }
            }
        }
        Ok(options)
    }
}

fn of_value(option: &str, value: &str, error: impl Display) -> Failure {
    Failure::usage(format_args!("{option} {value:?}: {error}"))
}

impl Request {
    fn parse(args: &mut Args) -> Result<Self, Failure> {
        let options = Options::take(args)?;
        let domain = options.domain.ok_or_else(|| Failure::usage("no domain; say -d DOMAIN"))?;
        let selector =
            options.selector.ok_or_else(|| Failure::usage("no selector; say -s SELECTOR"))?;
        let algorithm = match &options.key_type {
            None => Algorithm::RsaSha256,
            Some(name) => Algorithm::of_key_type(name)
                .ok_or_else(|| of_value("--type", name, "is neither rsa nor ed25519"))?,
        };
        let key = match (algorithm, options.bits) {
            (algorithm, None) => Wanted::of(algorithm),
            (Algorithm::RsaSha256, Some(bits)) if (1024..=4096).contains(&bits) => {
                Wanted::Rsa(bits)
            }
            (Algorithm::RsaSha256, Some(bits)) => {
                return Err(Failure::usage(format_args!("{bits} bits: a key has 1024 to 4096")));
            }
            (Algorithm::Ed25519Sha256, Some(_)) => {
                return Err(Failure::usage("an Ed25519 key has one size; leave -b out"));
            }
        };
        if let Some(directory) = &options.directory
            && !directory.is_dir()
        {
            return Err(Failure::exists(format_args!("{directory:?} is no folder; make it first")));
        }
        Ok(Self {
            domain: Domain::parse(&domain).map_err(|error| of_value("-d", &domain, error))?,
            selector: Selector::parse(&selector)
                .map_err(|error| of_value("-s", &selector, error))?,
            key,
            terms: options.terms,
            owner: if options.absolute { Owner::Absolute } else { Owner::Relative },
            directory: options.directory,
            verbose: options.verbose,
            json: options.json,
        })
    }
}
