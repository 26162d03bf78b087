//! What the wrapper would do with a message, by the same code, for `dkimctl` to tell. Nothing is sent.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;

use crate::argv::Mode;
use crate::config::OnError;
use crate::message::Reader;
use crate::message::author::Author;
use crate::policy::{Candidate, Plan};
use crate::report;
use crate::submission::etc::Etc;
use crate::submission::intake::{Intake, Source};
use crate::submission::signing::{Choice, Failed, Run, Way};
use crate::submission::submitter::User;
use crate::submission::trouble::guarded;
use crate::wrapper::handoff::Call;
use crate::wrapper::keyring::Keyring;
use crate::wrapper::privilege::Held;

/// What would be done, and on what grounds.
pub(super) struct Explained {
    /// The first address of From.
    pub(super) from: Option<String>,
    /// Places of domain files in the order in which they are looked at.
    pub(super) lookup: Vec<Looked>,
    /// How it is to be signed, if it is.
    pub(super) plan: Option<Rc<Plan>>,
    pub(super) end: End,
}

/// A place of a domain file.
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

/// The octets of a message that is all there.
struct Octets<'a>(&'a [u8]);

impl Source for Octets<'_> {
    fn read(&mut self, piece: &mut [u8]) -> Result<usize, Errno> {
        let length = piece.len().min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        if let Some(piece) = piece.get_mut(..length) {
            piece.copy_from_slice(taken);
        }
        Ok(length)
    }
}

/// Takes a message through the wrapper by `argv`, as that user, with the configuration in `etc`.
pub(super) fn explain(etc: &Path, argv: &[OsString], user: User, message: &[u8]) -> Explained {
    let ended = |end| Explained { from: None, lookup: Vec::new(), plan: None, end };
    let submission = match Mode::parse(argv) {
        Mode::Submit(submission) => submission,
        Mode::Smtp => return ended(End::NotRead("SMTP on standard input, signed inside")),
        Mode::PassThrough => return ended(End::NotRead("no message, or options that are refused")),
    };
    let etc = Etc::at(etc.to_owned());
    let call = Call { argv: argv.to_vec(), ..Call::default() };
    let mut run = Run::new(&call, &submission, Way::Alone);
    run.user = user;
    let end = match take(&mut run, &etc, message) {
        Ok(end) => end,
        Err((trouble, on_error)) => End::Failed(report::chain(&trouble), on_error),
    };
    Explained {
        from: run.author.as_ref().map(Author::address),
        lookup: run.author.as_ref().map(|author| lookup(&etc, author.domain())).unwrap_or_default(),
        plan: run.plan.clone(),
        end,
    }
}

fn take(run: &mut Run<'_>, etc: &Etc, message: &[u8]) -> Result<End, Failed> {
    let host = match etc.host() {
        Ok(host) => host,
        Err(broken) => return Ok(End::Failed(report::chain(&broken.error), broken.on_error)),
    };
    let held = match Held::take() {
        Ok(held) => held,
        Err(error) => return Ok(End::Failed(report::chain(&error), OnError::Send)),
    };
    let mut intake = Intake::new(Octets(message), Reader::new(run.lone_dot(&host)));
    let mut keys = Keyring { etc, held: &held };
    let choice = guarded(host.signing.on_error, || run.choose(&mut intake, etc, &host))?;
    let mut job = match choice {
        Choice::Sign(job) => job,
        Choice::Skip(reason) => return Ok(End::Unsigned(reason.to_string())),
    };
    let limit = host.message_size_limit;
    let signed = guarded(job.on_error(), || run.sign(&mut job, &mut intake, &mut keys, limit))?;
    let mut message = Vec::new();
    let written = signed.write(&mut intake, |_, octets| {
        message.extend_from_slice(octets);
        Ok(())
    });
    match written {
        Ok(()) => Ok(End::Signed { message, risk: signed.risk() }),
        Err(error) => Ok(End::Failed(report::chain(&error), job.on_error())),
    }
}

/// The places of the file for a domain, up to the one that counts.
fn lookup(etc: &Etc, domain: &crate::dkim::Domain) -> Vec<Looked> {
    let used = etc.host().ok().and_then(|host| etc.policy(domain, &host).ok().flatten());
    let used = used.map(|policy| policy.candidate);
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
