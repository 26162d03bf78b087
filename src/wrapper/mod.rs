//! The wrapper: a pipeline of a few stages, of which one is privileged.
//!
//! What goes wrong before standard input was read is a failure of the call (exit code 75); what goes
//! wrong afterwards sends the message as it was submitted, or refuses it where the administrator asked
//! for that. Nothing is ever sent that was not read to its end.

mod etc;
mod handoff;
mod intake;
mod keyring;
mod privilege;
mod signals;
mod spool;
mod submitter;
mod trouble;

use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use etc::{FOLDER, VARIABLE};

use crate::argv::{LoneDot, Mode, Submission};
use crate::config::{Host, OnError};
use crate::dkim::{self, BodyHash, BodyHasher, Header, Timestamp};
use crate::message::address::Unstable;
use crate::message::author::{Author, NoAuthor};
use crate::message::complete;
use crate::message::date::DateTime;
use crate::message::seven_bit::{Changes, Rewrite, Survey};
use crate::policy::{Decision, Plan, Reason};
use crate::report::{self, Entry, Outcome, Severity};
use etc::{BrokenHost, Etc};
use handoff::{Real, exec, exec_untouched, feed};
use intake::{HeaderRead, Intake, IntakeError};
use keyring::{KeyFile, open_key};
use privilege::{Dropped, Held};
use spool::{Sealed, Spool};
use submitter::User;
use trouble::{Trouble, guarded};

/// The program. Returns only where the message could not be handed over, or standard input had to be
/// fed to a child.
#[must_use]
pub fn main() -> ExitCode {
    let held = match Held::take() {
        Ok(held) => held,
        Err(error) => return report::fatal(&error),
    };
    trouble::keep_quiet();
    intake::reopen_closed_stdin();
    let argv: Vec<OsString> = std::env::args_os().collect();
    let etc = Etc::find(&held);
    match Mode::parse(&argv) {
        Mode::Submit(submission) => submit(held, &etc, &argv, &submission),
        Mode::PassThrough | Mode::Smtp => pass_through(held, &etc, &argv),
    }
}

/// No message is read: the caller talks to the real program.
fn pass_through(held: Held, etc: &Etc, argv: &[OsString]) -> ExitCode {
    let dropped = match held.give_up() {
        Ok(dropped) => dropped,
        Err(error) => return report::fatal(&error),
    };
    let real = match etc.host() {
        Ok(host) => Real::at(&host.sendmail),
        Err(broken) => broken.real(),
    };
    match real {
        Ok(real) => report::fatal(&exec_untouched(&real, argv, dropped)),
        Err(error) => report::fatal(&error),
    }
}

impl BrokenHost {
    fn real(&self) -> Result<Real, handoff::HandoffError> {
        self.sendmail.as_deref().map_or_else(Real::usual, Real::at)
    }
}

/// All that is known of one submission, from its argv to the log line.
struct Run<'a> {
    argv: &'a [OsString],
    submission: &'a Submission,
    user: User,
    now: DateTime,
    unique: String,
    /// Who the message is from, once that is known.
    author: Option<Author>,
    /// How it is to be signed, once that is decided.
    plan: Option<Rc<Plan>>,
}

/// What was found to be done with the message.
enum Choice {
    Sign(Box<Job>),
    Skip(Reason),
}

/// A message to be signed: its completed header and the opened keys.
struct Job {
    header: Header,
    plan: Rc<Plan>,
    keys: Vec<KeyFile>,
}

fn submit(held: Held, etc: &Etc, argv: &[OsString], submission: &Submission) -> ExitCode {
    let mut run = Run::new(argv, submission);
    let host = match etc.host() {
        Ok(host) => host,
        Err(broken) => return run.without_host(held, &broken),
    };
    // Before the message is read: without the real one there is nothing to do.
    let real = match Real::at(&host.sendmail) {
        Ok(real) => real,
        Err(error) => return report::fatal(&error),
    };
    let mut intake = Intake::new(submission.lone_dot);
    let choice = guarded(|| run.choose(&mut intake, etc, &host, &held));
    let dropped = match held.give_up() {
        Ok(dropped) => dropped,
        Err(error) => return report::fatal(&error),
    };
    match choice {
        Ok(Choice::Sign(mut job)) => {
            run.sign(&real, &mut intake, &mut job, host.log_success, dropped)
        }
        Ok(Choice::Skip(reason)) => {
            run.log(Severity::Info, Outcome::Unsigned, Some(&reason.to_string()));
            run.send_as_submitted(&real, &mut intake, dropped)
        }
        Err((trouble, on_error)) => run.fail(&real, &mut intake, &trouble, on_error, dropped),
    }
}

/// A trouble, and what the administrator wants done about it.
type Failed = (Trouble, OnError);

impl<'a> Run<'a> {
    fn new(argv: &'a [OsString], submission: &'a Submission) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one look at the clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let date = DateTime { seconds: now.as_secs(), offset: 0 };
        let unique = format!("{}.{:09}.{}", date.compact(), now.subsec_nanos(), std::process::id());
        Self { argv, submission, user: User::real(), now: date, unique, author: None, plan: None }
    }

    /// The header → what to do. Keys are opened here, and only here the group is taken up.
    fn choose(
        &mut self,
        intake: &mut Intake,
        etc: &Etc,
        host: &Host,
        held: &Held,
    ) -> Result<Choice, Failed> {
        let failed = |trouble: Trouble| (trouble, host.signing.on_error);
        if intake.read_header().map_err(|error| failed(error.into()))? == HeaderRead::TooLarge {
            return Ok(Choice::Skip(Reason::HeaderTooLarge));
        }
        let Some(mut header) = complete::fields(intake.header()) else {
            return Ok(Choice::Skip(Reason::BadHeader));
        };
        let completion = &host.completion;
        // The passwd entry is looked up only where a From has to be made of it.
        let submitter = if header.count("From") == 0 {
            self.user.submitter(self.submission)
        } else {
            complete::Submitter::default()
        };
        complete::complete_from(&mut header, &submitter, completion);
        let author = match Author::of(&header) {
            Ok(author) => self.author.insert(author),
            Err(why) => return Ok(Choice::Skip(Reason::NoAuthor(why))),
        };
        let policy = etc.policy(author.domain(), host).map_err(|error| failed(error.into()))?;
        let Some(policy) = policy else { return Ok(Choice::Skip(Reason::NotConfigured)) };
        let caller = self.user.caller(&policy.file);
        let gateway = self.submission.gateway;
        let decision = policy.decide(author, &header, gateway, &caller);
        let mut plan = match decision.map_err(|error| failed(error.into()))? {
            Decision::Sign(plan) => plan,
            Decision::Skip(reason) => return Ok(Choice::Skip(reason)),
        };
        let domain = author.domain();
        let unstable = complete::complete(&mut header, completion, self.now, &self.unique, domain);
        if unstable.iter().any(|name| name.is("From")) {
            return Ok(Choice::Skip(Reason::NoAuthor(NoAuthor::Unclear(Unstable::Unusual))));
        }
        plan.recipe = plan.recipe.without(&unstable);
        let plan = Rc::<Plan>::from(plan);
        self.plan = Some(Rc::clone(&plan));
        let tree = etc.keys();
        let keys = held.with(|| {
            let open = |selector| open_key(&tree, &plan.folder, selector, held.is_privileged());
            plan.selectors.iter().map(open).collect::<Result<Vec<_>, _>>()
        });
        let failed = |trouble: Trouble| (trouble, plan.on_error);
        let keys =
            keys.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))?;
        Ok(Choice::Sign(Box::new(Job { header, plan, keys })))
    }

    /// The body → the signed message → the real sendmail.
    fn sign(
        &self,
        real: &Real,
        intake: &mut Intake,
        job: &mut Job,
        log_success: bool,
        dropped: Dropped,
    ) -> ExitCode {
        let on_error = job.plan.on_error;
        let signed = guarded(|| job.sign(intake, self.now).map_err(|trouble| (trouble, on_error)));
        let signed = match signed {
            Ok(signed) => signed,
            Err((trouble, on_error)) => {
                return self.fail(real, intake, &trouble, on_error, dropped);
            }
        };
        // With the setting off the administrator knows.
        let leaves_risk = signed.leaves_risk && job.plan.seven_bit;
        let risk = leaves_risk.then_some("a part that is not ours to change may be changed");
        let sealed = match signed.seal(intake) {
            Ok(sealed) => sealed,
            Err(error) => return self.fail(real, intake, &error.into(), on_error, dropped),
        };
        if log_success {
            self.log(Severity::Info, Outcome::Signed, risk);
        }
        let dash_i = self.submission.lone_dot == LoneDot::Ends;
        report::fatal(&exec(real, self.argv, dash_i, sealed, dropped))
    }

    /// Signing did not work: send as submitted, or refuse.
    fn fail(
        &self,
        real: &Real,
        intake: &mut Intake,
        trouble: &Trouble,
        on_error: OnError,
        dropped: Dropped,
    ) -> ExitCode {
        let reason = report::chain(trouble);
        if matches!(trouble, Trouble::Intake(IntakeError::Read(_))) && !intake.is_untouched() {
            self.log(Severity::Error, Outcome::Refused, Some(&reason));
            return report::complain(&format!("fatal: {reason}"));
        }
        match on_error {
            OnError::Send => {
                self.log(Severity::Error, Outcome::Unsigned, Some(&reason));
                if matches!(trouble, Trouble::Bug(_)) {
                    intake.distrust_reader();
                }
                self.send_as_submitted(real, intake, dropped)
            }
            OnError::Refuse => self.refuse(&reason),
        }
    }

    fn refuse(&self, reason: &str) -> ExitCode {
        self.log(Severity::Error, Outcome::Refused, Some(reason));
        report::complain(&format!("fatal: not signed, so not accepted: {reason}"))
    }

    /// The original octets and the original argv.
    fn send_as_submitted(&self, real: &Real, intake: &mut Intake, dropped: Dropped) -> ExitCode {
        match intake.seal_original() {
            Ok(sealed) => report::fatal(&exec(real, self.argv, false, sealed, dropped)),
            Err(error @ IntakeError::Read(_)) => report::fatal(&error),
            Err(IntakeError::Keep(_)) => feed(real, self.argv, intake, &dropped)
                .unwrap_or_else(|error| report::fatal(&error)),
        }
    }

    /// `config.toml` is broken: the message is not even read, the real program does that.
    fn without_host(&self, held: Held, broken: &BrokenHost) -> ExitCode {
        let dropped = match held.give_up() {
            Ok(dropped) => dropped,
            Err(error) => return report::fatal(&error),
        };
        let reason = report::chain(&broken.error);
        if broken.on_error == OnError::Refuse {
            return self.refuse(&reason);
        }
        match broken.real() {
            Ok(real) => {
                self.log(Severity::Error, Outcome::Unsigned, Some(&reason));
                report::fatal(&exec_untouched(&real, self.argv, dropped))
            }
            Err(error) => report::fatal(&error),
        }
    }

    fn log(&self, severity: Severity, outcome: Outcome, reason: Option<&str>) {
        let plan = self.plan.as_deref();
        let from = self.author.as_ref().map(Author::address);
        let entry = Entry {
            uid: self.user.uid(),
            from: from.as_deref(),
            domain: plan.map(|plan| plan.recipe.domain()),
            selectors: plan.map_or(&[], |plan| &plan.selectors),
            outcome,
            reason,
        };
        report::log(severity, &entry);
    }
}

/// What stands before the body, and the body where it is another than was submitted.
struct Signed {
    head: Vec<u8>,
    body: Option<Spool>,
    leaves_risk: bool,
}

impl Signed {
    fn seal(self, intake: &mut Intake) -> Result<Sealed, IntakeError> {
        let Some(body) = self.body else { return intake.seal_signed(&self.head) };
        let length = body.len().map_err(IntakeError::Keep)?;
        body.seal_with(&self.head, 0, length).map_err(|(_, error)| IntakeError::Keep(error))
    }
}

impl Job {
    /// Reads the body, makes it what nothing will change, and signs.
    fn sign(&mut self, intake: &mut Intake, now: DateTime) -> Result<Signed, Trouble> {
        let canon = self.plan.recipe.canonicalization().body;
        let mut hasher = BodyHasher::new(canon);
        let mut survey = Survey::new(&self.header.octets(), !self.plan.seven_bit);
        intake.read_body(|text| {
            hasher.update(text);
            survey.feed(text);
        })?;
        let changes = survey.finish();
        if let Some((encoding, charset)) = changes.of_header() {
            complete::label(&mut self.header, encoding, charset);
        }
        let (hash, body) = if changes.keep_body() {
            (hasher.finish(), None)
        } else {
            let (hash, body) = rewrite(intake, &changes, BodyHasher::new(canon))?;
            (hash, Some(body))
        };
        let head = self.head(&hash, now)?;
        Ok(Signed { head, body, leaves_risk: changes.leaves_risk })
    }

    /// The signatures, the header, and the line between it and the body.
    fn head(&self, hash: &BodyHash, now: DateTime) -> Result<Vec<u8>, Trouble> {
        let plan = &self.plan;
        let now = Timestamp(now.seconds);
        let mut head = Vec::new();
        for (file, selector) in self.keys.iter().zip(&plan.selectors) {
            let key = file.read(plan.minimum_key_bits)?;
            let signature = dkim::sign(&self.header, hash, &plan.recipe, selector, &key, now)?;
            head.extend_from_slice(signature.octets());
        }
        self.header.write_to(&mut head);
        head.push(b'\n');
        Ok(head)
    }
}

/// The body once more, encoded where it must be; what is hashed is what is kept.
fn rewrite(
    intake: &Intake,
    changes: &Changes,
    mut hasher: BodyHasher,
) -> Result<(BodyHash, Spool), IntakeError> {
    let mut rewrite = Rewrite::new(changes);
    let mut body = Spool::new();
    let mut text = Vec::new();
    let again = intake.body_again(|octets| {
        rewrite.feed(octets, &mut text);
        hasher.update(&text);
        body.append(&text)?;
        text.clear();
        Ok(())
    });
    again.map_err(IntakeError::Keep)?;
    rewrite.finish(&mut text);
    hasher.update(&text);
    body.append(&text).map_err(IntakeError::Keep)?;
    Ok((hasher.finish(), body))
}
