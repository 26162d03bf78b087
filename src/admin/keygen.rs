//! A new key with its record and, where the domain has none, its domain file: what `genkey` and `add` have in common. Overwrites
//! nothing.

use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};
use serde_json::{Value, json};

use super::checks::finding::Finding;
use super::cli::{Args, Opt, number};
use super::output::{Failure, warn};
use super::store::domains::{self, DomainConfig};
use super::store::keys::{KeyFiles, NewKey, RSA_BITS};
use super::store::{NewFile, Readers, Store};
use crate::dkim::record::Owner;
use crate::dkim::{Algorithm, Domain, Selector, Terms};

pub(super) const TYPE: Opt = Opt("--type rsa|ed25519", "key type (default: rsa)");
pub(super) const BITS: Opt =
    Opt("-b, --bits BITS", "size of an RSA key, 1024 to 4096 (default: 2048)");
pub(super) const USERS: Opt = Opt("--users LIST", "only these users may sign, as a,b");
pub(super) const GROUPS: Opt =
    Opt("--groups LIST", "only members of these groups may sign, as a,b");

/// A key that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) domain: Domain,
    pub(super) selector: Selector,
    pub(super) kind: Kind,
    pub(super) terms: Terms,
    pub(super) signers: Signers,
    /// Whether the record's file has the whole name.
    pub(super) is_full: bool,
    /// Outside of the tree.
    pub(super) directory: Option<PathBuf>,
}

/// Type and size of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) algorithm: Algorithm,
    bits: u32,
}

impl Kind {
    /// That of the options.
    pub(super) fn of(args: &Args) -> Result<Self, Failure> {
        let algorithm = args.text("--type")?.and_then(Algorithm::of_key_type);
        let algorithm = algorithm.unwrap_or(Algorithm::RsaSha256);
        let bits = match (algorithm, args.value("--bits", number)?) {
            (_, None) => RSA_BITS,
            (Algorithm::Ed25519Sha256, Some(_)) => {
                return Err(Failure::usage("an Ed25519 key has a fixed size: omit -b"));
            }
            (_, Some(bits)) if (1024..=4096).contains(&bits) => bits,
            (_, Some(bits)) => {
                return Err(Failure::usage(format_args!("{bits} bits: a key has 1024 to 4096")));
            }
        };
        if bits < RSA_BITS {
            warn(format_args!(
                "a key of {bits} bits is weak; {RSA_BITS} is what receivers ask for"
            ));
        }
        Ok(Self { algorithm, bits })
    }
}

/// Who may sign; all users where nobody is named.
#[derive(Clone, Debug, Default)]
pub(super) struct Signers {
    users: Option<Vec<String>>,
    groups: Option<Vec<String>>,
}

impl Signers {
    /// Those of the options.
    pub(super) fn of(args: &Args) -> Result<Self, Failure> {
        let list = |name: &str| {
            let list = args.text(name)?;
            let names = |list: &str| list.split(',').map(|one| one.trim().to_owned()).collect();
            Ok::<Option<Vec<String>>, Failure>(list.map(names))
        };
        let signers = Self { users: list("--users")?, groups: list("--groups")? };
        let no_user = |name: &&String| !matches!(User::from_name(name), Ok(Some(_)));
        let no_group = |name: &&String| !matches!(Group::from_name(name), Ok(Some(_)));
        if let Some(name) = signers.users.iter().flatten().find(no_user) {
            return Err(Failure::no_user(format_args!("--users: there is no user {name:?}")));
        }
        if let Some(name) = signers.groups.iter().flatten().find(no_group) {
            return Err(Failure::no_user(format_args!("--groups: there is no group {name:?}")));
        }
        Ok(signers)
    }

    fn is_anybody(&self) -> bool {
        self.users.is_none() && self.groups.is_none()
    }

    /// Lines of a domain file.
    fn toml(&self) -> String {
        let line = |key: &str, names: &Option<Vec<String>>| {
            names.as_ref().map_or_else(String::new, |names| format!("{key} = {names:?}\n"))
        };
        format!("{}{}", line("users", &self.users), line("groups", &self.groups))
    }
}

/// A new key and its place.
pub(super) struct Made {
    pub(super) wanted: Wanted,
    pub(super) files: KeyFiles,
    key: NewKey,
}

impl Wanted {
    /// Makes the key and its files.
    pub(super) fn make(self, etc: &Path) -> Result<Made, Failure> {
        let own = || etc.join("keys").join(self.domain.as_str());
        let folder = self.directory.clone().unwrap_or_else(own);
        let files = KeyFiles::within(&folder, &self.selector);
        // Before the work; the files are made in a way that can't overwrite anyhow.
        files.refuse_existing()?;
        let file = domains::file(etc, &self.domain);
        if !self.signers.is_anybody()
            && (self.directory.is_some() || file.symlink_metadata().is_ok())
        {
            let what = "exists already: write `users` and `groups` into it";
            return Err(Failure::exists(format_args!("{} {what}", file.display())));
        }
        let key = NewKey::generate(self.kind.algorithm, self.kind.bits, self.terms.clone())?;
        let made = Made { wanted: self, files, key };
        made.write(etc, &file)?;
        Ok(made)
    }
}

impl Made {
    fn write(&self, etc: &Path, file: &Path) -> Result<(), Failure> {
        let Wanted { domain, selector, signers, directory, .. } = &self.wanted;
        let owner = if self.wanted.is_full { Owner::Absolute } else { Owner::Relative };
        let entry = self.key.record.zone_entry(selector, domain, owner)?;
        let pem = self.key.key.to_pkcs8_pem()?;
        let is_own = directory.is_none();
        let readers = if is_own { Readers::Group } else { Readers::Owner };
        let selectors = format!("selectors = [\"{selector}\"]\n{}", signers.toml());
        let mut files = vec![
            NewFile { path: &self.files.record, text: entry.as_bytes(), readers: Readers::All },
            NewFile { path: &self.files.private, text: pem.as_bytes(), readers },
        ];
        let store = match directory {
            Some(directory) => Store::open_shared(directory)?,
            None => Store::create(etc)?,
        };
        if is_own {
            store.keys_folder(domain)?;
        }
        if is_own && file.symlink_metadata().is_err() {
            store.folder(&etc.join("domains"), Readers::All)?;
            // The last: a domain file without its key would make errors of mail.
            files.push(NewFile { path: file, text: selectors.as_bytes(), readers: Readers::All });
        }
        store.files(&files)
    }

    /// What keeps this key from signing, beside what `missing` says of its domain.
    pub(super) fn own_steps(&self, etc: &Path) -> Vec<Finding> {
        let Wanted { domain, selector, directory, .. } = &self.wanted;
        if let Some(directory) = directory {
            let evidence = format!("nothing signs with a key in {}", directory.display());
            let remedy = "name the key in a domain file, as genkey does without -D";
            return vec![
                Finding::warning("elsewhere", evidence, remedy).about(&directory.display()),
            ];
        }
        // Where the domain files can't be read, another step says why.
        let names = |config: Option<DomainConfig>| {
            config.is_some_and(|config| config.selectors().contains(selector))
        };
        if domains::own(etc, domain).is_ok_and(|config| !names(config)) {
            let file = domains::file(etc, domain);
            let step = Finding::warning(
                "not-named",
                format!("{} was there already and does not name the key", file.display()),
                format!(
                    "dkimctl use {domain} {selector}, once the DNS has the record; it takes the place of the \
                     other selectors, unless they are named too"
                ),
            );
            return vec![step.about(domain)];
        }
        Vec::new()
    }

    /// The step that is left in any case.
    pub(super) fn publish_step(&self) -> Finding {
        Finding::warning(
            "publish",
            "no command but testkey and rotate asks the DNS; without the record no receiver can verify the \
             signature",
            format!("publish the record, and ask for it: dkimctl testkey {}", self.wanted.domain),
        )
    }

    /// The record, as it is published, and where the key is.
    pub(super) fn text(&self) -> Result<String, Failure> {
        let Wanted { domain, selector, .. } = &self.wanted;
        let record = &self.key.record;
        let entry = record.zone_entry(selector, domain, Owner::Absolute)?;
        let (name, value) = (selector.record_name(domain), record.text()?);
        Ok(format!(
            "Publish this record in the zone of {domain}:\n\n{entry}\n\
             or, where a form asks for it, as type TXT with\n\n  \
             name   {name}\n  value  {value}\n\n\
             The key is in {}.\n",
            self.files.private.display()
        ))
    }

    /// Who may sign, where that is everybody; empty where somebody is named.
    pub(super) fn who(&self, etc: &Path) -> String {
        let domain = &self.wanted.domain;
        let is_limited =
            |config: &DomainConfig| config.file.users.is_some() || config.file.groups.is_some();
        match domains::own(etc, domain) {
            Ok(Some(config)) if self.wanted.directory.is_none() && !is_limited(&config) => format!(
                "Every user of this host may sign mail From {domain}; `users` and `groups` in the domain file limit \
                 that.\n"
            ),
            Ok(_) | Err(_) => String::new(),
        }
    }

    pub(super) fn json(&self, missing: &[Finding]) -> Result<Value, Failure> {
        let (Wanted { domain, selector, .. }, NewKey { key, record }) = (&self.wanted, &self.key);
        Ok(json!({
            "domain": domain.as_str(),
            "selector": selector.as_str(),
            "type": key.algorithm().key_type(),
            "bits": key.bits(),
            "name": selector.record_name(domain),
            "value": record.text()?,
            "private": self.files.private,
            "record": self.files.record,
            "signing": missing.is_empty(),
        }))
    }
}

/// What holds of the domains now.
pub(super) fn so_far(domains: &str, is_signed: bool) -> String {
    if is_signed {
        format!("sendmail.dkim signs mail From {domains} with the key. What is left to do:")
    } else {
        format!("Mail From {domains} is not signed with the key yet. What is left to do:")
    }
}
