//! What is done with one message, whichever way it came: who it is from, whether and how it is signed,
//! the signing, and the line in the log.

use std::io;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memchr_iter;

use super::etc::Etc;
use super::intake::{HeaderRead, Intake, IntakeError, Source};
use super::spool::{Sealed, Spool};
use super::submitter::User;
use super::trouble::Trouble;
use crate::argv::{LoneDot, Submission};
use crate::config::{Host, OnError};
use crate::dkim::{BodyHash, BodyHasher, Canon, Domain, Draft, Header, Timestamp};
use crate::message::address::Unstable;
use crate::message::author::{Author, NoAuthor};
use crate::message::complete;
use crate::message::date::DateTime;
use crate::message::seven_bit::{Changes, Rewrite, Survey};
use crate::policy::{Decision, Plan, Reason};
use crate::report::{self, Entry, Outcome, Severity};
use crate::wrapper::handoff::Call;
use crate::wrapper::keyring::Keys;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As standard input.
    Alone,
    /// Inside a session: whoever gives it has no name there, only the envelope sender.
    Smtp,
}

/// All that is known of one submission, from its argv to the log line.
pub(crate) struct Run<'a> {
    pub(crate) call: &'a Call,
    pub(crate) submission: &'a Submission,
    way: Way,
    pub(crate) user: User,
    now: DateTime,
    unique: String,
    /// Who the message is from, once that is known.
    pub(crate) author: Option<Author>,
    /// How it is to be signed, once that is decided.
    pub(crate) plan: Option<Rc<Plan>>,
}

/// What was found to be done with the message.
pub(crate) enum Choice {
    Sign(Box<Job>),
    Skip(Reason),
}

/// A message to be signed: its completed header, and how it is signed.
pub(crate) struct Job {
    header: Header,
    author: Domain,
    plan: Rc<Plan>,
}

/// A trouble, and what the administrator wants done about it.
pub(crate) type Failed = (Trouble, OnError);

impl<'a> Run<'a> {
    pub(crate) fn new(call: &'a Call, submission: &'a Submission, way: Way) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one look at the clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let date = DateTime { seconds: now.as_secs(), offset: 0 };
        let unique = format!("{}.{:09}.{}", date.compact(), now.subsec_nanos(), std::process::id());
        Self {
            call,
            submission,
            way,
            user: User::real(),
            now: date,
            unique,
            author: None,
            plan: None,
        }
    }

    /// What a line of one dot is to the real sendmail.
    pub(crate) fn lone_dot(&self, host: &Host) -> LoneDot {
        host.lone_dot.max(self.submission.lone_dot)
    }

    /// The header → what to do.
    pub(crate) fn choose(
        &mut self,
        intake: &mut Intake<impl Source>,
        etc: &Etc,
        host: &Host,
    ) -> Result<Choice, Failed> {
        let failed = |trouble: Trouble| (trouble, host.signing.on_error);
        intake.keep_at_most(host.most_kept());
        if intake.read_header().map_err(|error| failed(error.into()))? == HeaderRead::TooLarge {
            return Ok(Choice::Skip(Reason::HeaderTooLarge));
        }
        let Some(mut header) = complete::fields(intake.header()) else {
            return Ok(Choice::Skip(Reason::BadHeader));
        };
        let completion = &host.completion;
        let submitter = if header.count("From") == 0 {
            self.submitter()
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
        let author = author.domain().clone();
        let unstable = complete::complete(&mut header, completion, self.now, &self.unique, &author);
        if unstable.iter().any(|name| name.is("From")) {
            return Ok(Choice::Skip(Reason::NoAuthor(NoAuthor::Unclear(Unstable::Unusual))));
        }
        plan.recipe = plan.recipe.without(&unstable);
        let plan = Rc::<Plan>::from(plan);
        self.plan = Some(Rc::clone(&plan));
        Ok(Choice::Sign(Box::new(Job { header, author, plan })))
    }

    /// What a missing From is made of. Only then the passwd entry is looked up.
    fn submitter(&self) -> complete::Submitter {
        match self.way {
            Way::Alone => self.user.submitter(self.submission),
            Way::Smtp => complete::Submitter {
                envelope_sender: self.submission.envelope_sender.clone(),
                ..complete::Submitter::default()
            },
        }
    }

    /// The body → the signed message. The real sendmail takes no message larger than `limit`.
    pub(crate) fn sign(
        &self,
        job: &mut Job,
        intake: &mut Intake<impl Source>,
        keys: &mut impl Keys,
        limit: Option<u64>,
    ) -> Result<Signed, Failed> {
        let on_error = job.plan.on_error;
        let signed = job.sign(intake, keys, self.now).map_err(|trouble| (trouble, on_error))?;
        if limit.is_some_and(|limit| signed.exceeds(limit, intake)) {
            return Err((Trouble::TooLarge, on_error));
        }
        Ok(signed)
    }

    pub(crate) fn log(&self, severity: Severity, outcome: Outcome, reason: Option<&str>) {
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

/// Room for the envelope and for what the real sendmail puts in front. Octets.
const AROUND: u64 = 2048;

/// What stands before the body, and the body where it is another than was submitted.
pub(crate) struct Signed {
    head: Vec<u8>,
    body: Option<Spool>,
    /// That of the body.
    length: Length,
    leaves_risk: bool,
}

/// Octets of text, and two more for each line.
#[derive(Clone, Copy, Default)]
struct Length(u64);

impl Length {
    fn add(&mut self, text: &[u8]) {
        let lines = memchr_iter(b'\n', text).count() as u64;
        let length = self.0.saturating_add(text.len() as u64);
        self.0 = length.saturating_add(lines).saturating_add(lines);
    }
}

impl Signed {
    /// Whether signing is what makes the message larger than that, as Postfix counts: its queue file has up
    /// to two octets more for each line, the envelope, and Received (seen with Postfix 3.7).
    fn exceeds(&self, limit: u64, intake: &Intake<impl Source>) -> bool {
        let came_as = intake.kept();
        let mut length = self.length;
        length.add(&self.head);
        came_as <= limit && length.0.saturating_add(AROUND) > limit
    }

    /// What the log says of a signature that may not last.
    pub(crate) fn risk(&self) -> Option<&'static str> {
        self.leaves_risk.then_some("a part that is not ours to change may be changed")
    }

    pub(crate) fn seal(self, intake: &mut Intake<impl Source>) -> Result<Sealed, IntakeError> {
        let Some(body) = self.body else { return intake.seal_signed(&self.head) };
        let length = body.len().map_err(IntakeError::Keep)?;
        body.seal_with(&self.head, 0, length).map_err(|(_, error)| IntakeError::Keep(error))
    }

    /// Gives all of it to `put`, in lines that end in LF.
    pub(crate) fn write<S: Source>(
        &self,
        intake: &mut Intake<S>,
        mut put: impl FnMut(&mut S, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        put(intake.source(), &self.head)?;
        match &self.body {
            Some(body) => body.read(0, |text| put(intake.source(), text)),
            None => intake.body_with(put),
        }
    }
}

impl Job {
    /// What to do when it can't be signed.
    pub(crate) fn on_error(&self) -> OnError {
        self.plan.on_error
    }

    /// Reads the body, makes it what nothing will change, and signs.
    fn sign(
        &mut self,
        intake: &mut Intake<impl Source>,
        keys: &mut impl Keys,
        now: DateTime,
    ) -> Result<Signed, Trouble> {
        let canon = self.plan.recipe.canonicalization().body;
        let mut measure = Some(Measure::new(canon));
        let mut survey = Survey::new(&self.header.octets(), !self.plan.seven_bit);
        intake.read_body(|text| {
            survey.feed(text);
            // What will be encoded is not what will be signed.
            measure = measure.take().filter(|_| !survey.expects_change());
            if let Some(measure) = &mut measure {
                measure.add(text);
            }
        })?;
        let changes = survey.finish();
        if let Some((encoding, charset)) = changes.of_header() {
            complete::label(&mut self.header, encoding, charset);
        }
        let (Measure { hasher, length }, body) = match measure {
            _ if !changes.keep_body() => {
                let (measure, body) = rewrite(intake, &changes, Measure::new(canon))?;
                (measure, Some(body))
            }
            Some(measure) => (measure, None),
            None => (measured(intake, Measure::new(canon))?, None),
        };
        let head = self.head(&hasher.finish(), keys, now)?;
        // With the setting off the administrator knows.
        let leaves_risk = changes.leaves_risk && self.plan.seven_bit;
        Ok(Signed { head, body, length, leaves_risk })
    }

    /// The signatures, the header, and the line between it and the body.
    fn head(
        &self,
        hash: &BodyHash,
        keys: &mut impl Keys,
        now: DateTime,
    ) -> Result<Vec<u8>, Trouble> {
        let plan = &self.plan;
        let now = Timestamp(now.seconds);
        let mut head = Vec::new();
        for selector in &plan.selectors {
            let draft = Draft::new(&self.header, hash, &plan.recipe, selector, now)?;
            let (algorithm, signature) = keys.sign(&self.author, plan, selector, draft.hashes())?;
            head.extend_from_slice(draft.finish(algorithm, &signature).octets());
        }
        self.header.write_to(&mut head);
        head.push(b'\n');
        Ok(head)
    }
}

/// The hash and the length of a body.
struct Measure {
    hasher: BodyHasher,
    length: Length,
}

impl Measure {
    fn new(canon: Canon) -> Self {
        Self { hasher: BodyHasher::new(canon), length: Length::default() }
    }

    fn add(&mut self, text: &[u8]) {
        self.hasher.update(text);
        self.length.add(text);
    }
}

/// The body once more, as it is.
fn measured(intake: &Intake<impl Source>, mut measure: Measure) -> Result<Measure, IntakeError> {
    let again = intake.body_again(|text| {
        measure.add(text);
        Ok(())
    });
    again.map_err(IntakeError::Keep).map(|()| measure)
}

/// The body once more, encoded where it must be; what is hashed is what is kept.
fn rewrite(
    intake: &Intake<impl Source>,
    changes: &Changes,
    mut measure: Measure,
) -> Result<(Measure, Spool), IntakeError> {
    let mut rewrite = Rewrite::new(changes);
    let mut body = Spool::new();
    let mut text = Vec::new();
    let again = intake.body_again(|octets| {
        rewrite.feed(octets, &mut text);
        measure.add(&text);
        body.append(&text)?;
        text.clear();
        Ok(())
    });
    again.map_err(IntakeError::Keep)?;
    rewrite.finish(&mut text);
    measure.add(&text);
    body.append(&text).map_err(IntakeError::Keep)?;
    Ok((measure, body))
}
