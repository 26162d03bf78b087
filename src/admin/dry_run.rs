//! Finds out what the wrapper would do with a message, with the same code. Nothing is sent.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::geteuid;
use serde::Serialize;

use super::store::rights::{Step, Tree};
use crate::argv::Mode;
use crate::config::{Host, OnError};
use crate::dkim::{Algorithm, Domain, HashInput, Selector};
use crate::message::Reader;
use crate::message::author::Author;
use crate::policy::{Candidate, Plan};
use crate::report;
use crate::submission::configuration::{Etc, if_present};
use crate::submission::error::NotSigned;
use crate::submission::intake::{Intake, Source};
use crate::submission::signing::{self, Made};
use crate::submission::submitter::User;
use crate::submission::{Run, Way};
use crate::wrapper::keyring::Keyring;
use crate::wrapper::privilege::Held;

/// What the wrapper would do, and why.
pub(super) struct Explained {
    /// The first address of From.
    pub(super) from: Option<String>,
    /// The domain files that may apply, in the order in which the wrapper looks for them.
    pub(super) lookup: Vec<Looked>,
    /// How the message would be signed, if at all.
    pub(super) plan: Option<Plan>,
    /// The keys that would sign.
    pub(super) keys: Vec<Key>,
    pub(super) end: End,
}

/// A key that would sign.
pub(super) struct Key {
    /// d=
    pub(super) domain: Domain,
    /// The folder below `keys/`.
    pub(super) folder: String,
    pub(super) selector: Selector,
}

/// The path of a domain file.
#[derive(Debug, Serialize)]
pub(super) struct Looked {
    pub(super) path: PathBuf,
    /// What was found at this path.
    pub(super) found: Place,
}

/// What is found at the place of a domain file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Place {
    /// The file is used.
    Used,
    Missing,
    /// Of a parent domain, without `subdomains = true`.
    NotForSubdomains,
    /// Of the domain itself, with `subdomains = "only"`.
    OnlySubdomains,
    /// The wrapper stops at a file that it cannot use.
    Unusable,
}

impl Place {
    /// In words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Missing => "not there",
            Self::NotForSubdomains => "there, without subdomains = true",
            Self::OnlySubdomains => "there, with subdomains = \"only\"",
            Self::Unusable => "there, and not usable",
        }
    }
}

/// What would happen to the message.
pub(super) enum End {
    /// It is sent signed.
    Signed { message: Vec<u8>, made: Made, remark: Option<String> },
    /// It is sent unchanged.
    Unsigned(String),
    /// An error: it is sent unchanged or rejected, depending on `on_error`.
    Failed(String, OnError),
    /// The message is not read.
    NotRead(&'static str),
}

/// A message in memory.
struct Memory<'a>(&'a [u8]);

impl Source for Memory<'_> {
    fn read(&mut self, piece: &mut [u8]) -> Result<usize, Errno> {
        io::Read::read(&mut self.0, piece).map_err(|_| Errno::EIO)
    }
}

/// The keys that the wrapper can use.
struct Keys<'a>(Keyring<'a>);

impl signing::Keys for Keys<'_> {
    fn sign(
        &mut self,
        _: &Domain,
        (folder, bits): signing::Place<'_>,
        selector: &Selector,
        input: &HashInput,
    ) -> Result<(Algorithm, Vec<u8>), String> {
        let signed = self.0.sign_with(folder, selector, bits, input)?;
        // Root can open any key, so check that the wrapper's group can. The tree of an ordinary user has no such group.
        let tree = self.0.etc.keys();
        let closed = |step: &Step| step.is_closed;
        let steps = Tree::new(&tree).path(&tree.join(folder), selector);
        match steps.into_iter().find(closed).filter(|_| geteuid().is_root()) {
            Some(step) => Err(format!("the wrapper's group cannot read the key: {}", step.shown())),
            None => Ok(signed),
        }
    }
}

/// What the wrapper would do with a message of this user, with the arguments `argv` and the configuration in `etc`.
pub(super) fn explain(etc: &Path, argv: &[OsString], user: User, message: &[u8]) -> Explained {
    let ended =
        |end| Explained { from: None, lookup: Vec::new(), plan: None, keys: Vec::new(), end };
    let submission = match Mode::parse(argv) {
        Mode::Submit(submission) => submission,
        Mode::Smtp => return ended(End::NotRead("SMTP on standard input, signed inside")),
        Mode::PassThrough => return ended(End::NotRead("no message, or options that are refused")),
    };
    let etc = Etc::at(etc.to_owned());
    let host = match etc.host() {
        Ok(host) => host,
        Err(broken) => return ended(End::Failed(report::chain(&broken.error), broken.on_error)),
    };
    let held = match Held::acquire() {
        Ok(held) => held,
        Err(error) => return ended(End::Failed(report::chain(&error), OnError::Send)),
    };
    let mut run = Run::new(&etc, &host, &submission, Way::Alone);
    run.user = user;
    let mut intake = Intake::new(Memory(message), Reader::new(run.lone_dot()), host.most_kept());
    let mut keys = Keys(Keyring { etc: &etc, held: &held });
    let end = match run.sign(&mut intake, &mut keys, host.message_size_limit) {
        Ok(signed) => {
            let mut message = Vec::new();
            let written = signed.write(&mut intake, |_, bytes| {
                message.extend_from_slice(bytes);
                Ok(())
            });
            match written {
                Ok(()) => End::Signed { message, remark: signed.remark(), made: signed.made },
                Err(error) => End::Failed(report::chain(&error), run.on_error()),
            }
        }
        Err(NotSigned::Skipped(reason)) => End::Unsigned(reason.to_string()),
        Err(error) => End::Failed(report::chain(&error), run.on_error()),
    };
    let author = run.author.as_ref();
    Explained {
        from: author.map(Author::address),
        lookup: author.map(|author| lookup(&etc, &host, author.domain())).unwrap_or_default(),
        keys: run.plan.as_ref().map(|plan| keys_of(&etc, &host, plan)).unwrap_or_default(),
        plan: run.plan,
        end,
    }
}

/// The keys of a plan, including those of `also_sign_as`.
fn keys_of(etc: &Etc, host: &Host, plan: &Plan) -> Vec<Key> {
    let keys = |domain: &Domain, folder: &str, selectors: &[Selector]| {
        let key = |selector: &Selector| Key {
            domain: domain.clone(),
            folder: folder.to_owned(),
            selector: selector.clone(),
        };
        selectors.iter().map(key).collect::<Vec<_>>()
    };
    let mut all = keys(plan.recipe.domain(), &plan.folder, &plan.selectors);
    for domain in &plan.also_sign_as {
        if let Ok(policy) = etc.also(domain, host) {
            all.extend(keys(domain, policy.folder(), &policy.file.selectors));
        }
    }
    all
}

/// The paths of domain files for a domain, up to the one that the wrapper uses or fails at.
fn lookup(etc: &Etc, host: &Host, domain: &Domain) -> Vec<Looked> {
    let mut places = Vec::new();
    for candidate in Candidate::all(domain) {
        let path = etc.domains().join(candidate.file());
        let is_parent = candidate.is_parent;
        let found = match if_present(etc.domain_file(&candidate, host)) {
            Ok(None) => Place::Missing,
            Ok(Some(file)) if candidate.fits(&file) => {
                etc.judged(candidate, file).map_or(Place::Unusable, |_| Place::Used)
            }
            Ok(Some(_)) if is_parent => Place::NotForSubdomains,
            Ok(Some(_)) => Place::OnlySubdomains,
            Err(_) => Place::Unusable,
        };
        places.push(Looked { path, found });
        if matches!(found, Place::Used | Place::Unusable) {
            break;
        }
    }
    places
}

/// The user with this login name.
pub(super) fn user_named(name: &str) -> Option<User> {
    Some(nix::unistd::User::from_name(name).ok().flatten()?.into())
}

/// A minimal message.
pub(super) fn sample(from: &str) -> Vec<u8> {
    format!("From: {from}\nTo: user@example.net\nSubject: dkimctl\n\nTest Mail.\n").into_bytes()
}
