//! What the wrapper would do with a message, by the same code, for `dkimctl` to show. Nothing is sent.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde::Serialize;

use crate::argv::Mode;
use crate::config::{Host, OnError};
use crate::dkim::{Algorithm, Domain, HashInput, Selector};
use crate::message::Reader;
use crate::message::author::Author;
use crate::policy::{Candidate, Plan};
use crate::report;
use crate::submission::configuration::Etc;
use crate::submission::error::NotSigned;
use crate::submission::intake::{Intake, Source};
use crate::submission::signing::Keys;
use crate::submission::submitter::User;
use crate::submission::{Run, Way};
use crate::wrapper::keyring::Keyring;
use crate::wrapper::privilege::Held;

/// What would be done, and on what grounds.
pub(super) struct Explained {
    /// The first address of From.
    pub(super) from: Option<String>,
    /// Places of domain files in the order in which they are looked at.
    pub(super) lookup: Vec<Looked>,
    /// How it is to be signed, if it is.
    pub(super) plan: Option<Plan>,
    pub(super) end: End,
}

/// A place of a domain file.
#[derive(Debug, Serialize)]
pub(super) struct Looked {
    pub(super) path: PathBuf,
    /// What was found there.
    pub(super) found: &'static str,
}

/// What becomes of the message.
pub(super) enum End {
    /// Signed: all of it, with the signatures, and what the log would say of a risk.
    Signed { message: Vec<u8>, risk: Option<&'static str> },
    /// Sent as it was submitted.
    Unsigned(String),
    /// The same, or refused, because something is broken.
    Failed(String, OnError),
    /// The message is not even read.
    NotRead(&'static str),
}

/// A message in memory.
struct Memory<'a>(&'a [u8]);

impl Source for Memory<'_> {
    fn read(&mut self, piece: &mut [u8]) -> Result<usize, Errno> {
        io::Read::read(&mut self.0, piece).map_err(|_| Errno::EIO)
    }
}

impl Keys for Keyring<'_> {
    fn sign(
        &mut self,
        _: &Domain,
        plan: &Plan,
        selector: &Selector,
        input: &HashInput,
    ) -> Result<(Algorithm, Vec<u8>), String> {
        let signed = self.sign_with(&plan.folder, selector, plan.minimum_key_bits, input);
        signed.map_err(|error| report::chain(&error))
    }
}

/// What the wrapper would do with a message of that user, called with `argv`, by the configuration in `etc`.
pub(super) fn explain(etc: &Path, argv: &[OsString], user: User, message: &[u8]) -> Explained {
    let ended = |end| Explained { from: None, lookup: Vec::new(), plan: None, end };
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
    let mut keys = Keyring { etc: &etc, held: &held };
    let end = match run.sign(&mut intake, &mut keys, host.message_size_limit) {
        Ok(signed) => {
            let mut message = Vec::new();
            let written = signed.write(&mut intake, |_, bytes| {
                message.extend_from_slice(bytes);
                Ok(())
            });
            match written {
                Ok(()) => End::Signed { message, risk: signed.risk() },
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
        plan: run.plan,
        end,
    }
}

/// The places of the file for a domain, up to the one that is used.
fn lookup(etc: &Etc, host: &Host, domain: &Domain) -> Vec<Looked> {
    let used = etc.policy(domain, host).ok().flatten().map(|policy| policy.candidate);
    let mut places = Vec::new();
    for candidate in Candidate::all(domain) {
        let path = etc.domains().join(candidate.file());
        let is_used = used.as_ref() == Some(&candidate);
        let found = match path.try_exists() {
            _ if is_used => "used",
            Ok(false) => "not there",
            // The wrapper stops at a file that it can't use.
            Ok(true) if candidate.is_parent => "there, without subdomains = true",
            Ok(true) | Err(_) => "there, and not usable",
        };
        places.push(Looked { path, found });
        if is_used {
            break;
        }
    }
    places
}

/// The user of a login name.
pub(super) fn user_named(name: &str) -> Option<User> {
    Some(nix::unistd::User::from_name(name).ok().flatten()?.into())
}

/// As short as a message can be that programs submit.
pub(super) fn sample(from: &str) -> Vec<u8> {
    format!("From: {from}\nTo: somebody@example.net\nSubject: dkimctl\n\nTest Mail.\n").into_bytes()
}
