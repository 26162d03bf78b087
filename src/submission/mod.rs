//! One message, from its bytes to its signed form. It is called by the wrapper, and by `dkimctl` to show what the wrapper would
//! do.
//!
//! This module has no privilege and starts no process. What differs between its callers is passed in as two traits: `Source`
//! reads the bytes, and `Keys` signs.

#![forbid(unsafe_code)]

pub(crate) mod configuration;
pub(crate) mod error;
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod intake;
pub(crate) mod signing;
pub(crate) mod spool;
pub(crate) mod submitter;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::argv::{LoneDot, Submission};
use crate::config::{Host, OnError};
use crate::dkim::{Domain, Header, Timestamp};
use crate::message::author::{Author, NoAuthor};
use crate::message::complete;
use crate::message::date::DateTime;
use crate::policy::{Client, Decision, Plan, Reason, is_loop};
use crate::report::{self, Entry, Outcome, Severity};
use configuration::Etc;
use error::{NotSigned, guarded};
use intake::{Intake, Source};
use signing::{Also, Job, Keys, Made, Signed};
use submitter::User;

/// How a message is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// On standard input.
    Alone,
    /// In an SMTP session: only the envelope sender is known.
    Smtp,
}

/// One submission, from its arguments to its log line.
pub(crate) struct Run<'a> {
    etc: &'a Etc,
    host: &'a Host,
    submission: &'a Submission,
    way: Way,
    /// The submitter.
    pub(crate) user: User,
    now: DateTime,
    unique: String,
    begun: Instant,
    /// How many bytes were submitted; set when they are read.
    size: Option<u64>,
    message_id: Option<String>,
    /// The SMTP client, if Postfix passes the message to its content filter.
    pub(crate) client: Option<Client>,
    /// The author; set when it is known.
    pub(crate) author: Option<Author>,
    /// How to sign; set when it is decided.
    pub(crate) plan: Option<Plan>,
    /// The signatures, and a remark for the log; set when they are made.
    pub(crate) signed: Option<(Made, Option<String>)>,
}

impl<'a> Run<'a> {
    /// Starts a submission.
    pub(crate) fn new(etc: &'a Etc, host: &'a Host, submission: &'a Submission, way: Way) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the only place that reads the clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let date = DateTime { seconds: now.as_secs(), offset: 0 };
        let unique = format!("{}.{:09}.{}", date.compact(), now.subsec_nanos(), std::process::id());
        let user = User::real();
        let client = user.client(host, submission);
        Self {
            etc,
            host,
            submission,
            way,
            user,
            now: date,
            unique,
            begun: Instant::now(),
            size: None,
            message_id: None,
            client,
            author: None,
            plan: None,
            signed: None,
        }
    }

    /// How the real sendmail treats a line containing a single dot.
    pub(crate) fn lone_dot(&self) -> LoneDot {
        self.host.lone_dot.max(self.submission.lone_dot)
    }

    /// What to do if the message cannot be signed.
    pub(crate) fn on_error(&self) -> OnError {
        self.plan.as_ref().map_or(self.host.signing.on_error, |plan| plan.on_error)
    }

    /// Whether a message that is not signed for this reason must not be sent.
    pub(crate) fn refuses(&self, error: &NotSigned) -> bool {
        !matches!(error, NotSigned::Skipped(_)) && self.on_error() == OnError::Refuse
    }

    /// Reads a message and signs it. The real sendmail accepts no message larger than `limit`.
    pub(crate) fn sign(
        &mut self,
        intake: &mut Intake<impl Source>,
        keys: &mut impl Keys,
        limit: Option<u64>,
    ) -> Result<Signed, NotSigned> {
        let signed = guarded(|| {
            let mut header = self.parse(intake)?;
            self.message_id = message_id(&header);
            let (author, plan) = self.decide(&header)?;
            let plan = self.complete(&mut header, &author, plan)?;
            self.message_id = message_id(&header);
            let now = Timestamp(self.now.seconds);
            let also = self.also(&plan);
            let plan = self.plan.insert(plan);
            let signed =
                Job { header, author: &author, plan, also: &also, now }.sign(intake, keys)?;
            if limit.is_some_and(|limit| signed.exceeds(limit, intake)) {
                return Err(NotSigned::TooLarge);
            }
            self.signed = Some((signed.made.clone(), signed.remark()));
            Ok(signed)
        });
        self.size = intake.is_read().then(|| intake.kept());
        signed
    }

    /// Reads the header and completes its From field.
    fn parse(&self, intake: &mut Intake<impl Source>) -> Result<Header, NotSigned> {
        let section = intake.read_header()?.ok_or(Reason::HeaderTooLarge)?;
        let mut header = complete::fields(section).ok_or(Reason::BadHeader)?;
        let client = self.client.as_ref();
        if client.is_some_and(|client| is_loop(&header, self.user.uid(), client)) {
            return Err(NotSigned::Loop);
        }
        // Only this case needs the passwd entry of the submitter.
        let submitter = match self.way {
            _ if header.count("From") > 0 => complete::Submitter::default(),
            // The author is unknown: with -G Postfix adds no From, and the real user is the user of the filter.
            _ if client.is_some() => complete::Submitter::default(),
            Way::Alone => self.user.submitter(self.submission),
            Way::Smtp => complete::Submitter {
                envelope_sender: self.submission.envelope_sender.clone(),
                ..complete::Submitter::default()
            },
        };
        complete::complete_from(&mut header, &submitter, &self.host.completion);
        Ok(header)
    }

    /// Determines the author, and decides how to sign.
    fn decide(&mut self, header: &Header) -> Result<(Domain, Plan), NotSigned> {
        let author = &*self.author.insert(Author::of(header).map_err(Reason::NoAuthor)?);
        let is_local = author.domain().is_local();
        let none = if is_local { Reason::LocalName } else { Reason::NotConfigured };
        let policy = self.etc.policy(author.domain(), self.host).map_err(NotSigned::because)?;
        let policy = policy.ok_or(none)?;
        let caller = self.user.caller(&policy.file, self.client.clone());
        let decision = policy.decide(author, header, self.submission.gateway, &caller);
        match decision.map_err(NotSigned::because)? {
            Decision::Sign(plan) => Ok((author.domain().clone(), *plan)),
            Decision::Skip(reason) => Err(reason.into()),
        }
    }

    /// Reads the files of the domains in `also_sign_as`.
    fn also(&self, plan: &Plan) -> Vec<Also> {
        let also = |domain: &Domain| {
            let policy = self.etc.also(domain, self.host);
            Also { domain: domain.clone(), policy: policy.map_err(|error| report::chain(&error)) }
        };
        plan.also_sign_as.iter().map(also).collect()
    }

    /// Completes the header. Fields that could change afterwards are not signed.
    fn complete(
        &self,
        header: &mut Header,
        author: &Domain,
        mut plan: Plan,
    ) -> Result<Plan, NotSigned> {
        let completion = &self.host.completion;
        let recipients = self.host.undisclosed_recipients_header.as_deref();
        plan.recipe = plan.recipe.without(&complete::complete_recipients(header, recipients));
        let unstable = complete::complete(header, completion, self.now, &self.unique, author);
        if let Some((_, why)) = unstable.iter().find(|(name, _)| name.is("From")) {
            return Err(Reason::NoAuthor(NoAuthor::Unclear(*why)).into());
        }
        let names: Vec<_> = unstable.into_iter().map(|(name, _)| name).collect();
        plan.recipe = plan.recipe.without(&names);
        Ok(plan)
    }

    /// Logs a signed message, if `log_success` is set or a key could not sign.
    pub(crate) fn log_signed(&self) {
        let Some((made, remark)) = &self.signed else { return };
        let has_failed = !made.failed.is_empty();
        if has_failed || self.host.log_success {
            let severity = if has_failed { Severity::Error } else { Severity::Info };
            self.log(severity, Outcome::Signed, remark.as_deref());
        }
    }

    /// Logs the message.
    pub(crate) fn log(&self, severity: Severity, outcome: Outcome, reason: Option<&str>) {
        let plan = self.plan.as_ref();
        let made =
            self.signed.as_ref().filter(|_| outcome == Outcome::Signed).map(|(made, _)| made);
        let planned = plan.map_or([].as_slice(), |plan| &plan.selectors);
        let author = self.author.as_ref().map(Author::address);
        let entry = Entry {
            uid: self.user.uid(),
            client: self.client.as_ref(),
            envelope: self.submission.envelope_sender.as_deref(),
            message_id: self.message_id.as_deref(),
            size: self.size,
            time: Some(self.begun.elapsed()),
            author: author.as_deref(),
            domain: plan.map(|plan| plan.recipe.domain()),
            selectors: made.map_or(planned, |made| &made.selectors),
            also: made.map_or(&[], |made| &made.also),
            outcome,
            reason,
        };
        report::log(severity, &entry);
    }
}

/// The first Message-ID.
fn message_id(header: &Header) -> Option<String> {
    let field = header.named("Message-ID").next()?;
    Some(String::from_utf8_lossy(field.value()).into_owned())
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::dkim::{Algorithm, HashInput, Selector};
    use crate::message::Reader;
    use signing::Place;

    impl Source for &[u8] {
        fn read(&mut self, piece: &mut [u8]) -> Result<usize, Errno> {
            std::io::Read::read(self, piece).map_err(|_| Errno::EIO)
        }
    }

    struct NoKeys;

    impl Keys for NoKeys {
        fn sign(
            &mut self,
            _: &Domain,
            _: Place<'_>,
            _: &Selector,
            _: &HashInput,
        ) -> Result<(Algorithm, Vec<u8>), String> {
            Err("no key".to_owned())
        }
    }

    #[test]
    fn a_message_by_smtp_without_from_does_not_get_the_user_of_the_filter_as_its_author() {
        let etc = Etc::at("/nowhere".into());
        let host = Host::parse("sendmail = \"/x\"\norigin = \"sample.com\"").unwrap();
        let submission =
            Submission { envelope_sender: Some(b"a@sample.com".to_vec()), ..Submission::default() };
        for (client, author) in [(None, Some("a@sample.com")), (Some(Client::default()), None)] {
            let mut run = Run::new(&etc, &host, &submission, Way::Alone);
            run.client = client;
            let text = b"Received: from x by y\nSubject: x\n\nx\n".as_slice();
            let mut intake = Intake::new(text, Reader::new(LoneDot::IsText), 1_000);
            assert!(run.sign(&mut intake, &mut NoKeys, None).is_err());
            assert_eq!(run.author.as_ref().map(Author::address).as_deref(), author);
        }
    }
}
