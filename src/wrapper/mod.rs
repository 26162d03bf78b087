//! The wrapper: a pipeline of a few stages, of which one is privileged.
//!
//! What goes wrong before standard input was read is a failure of the call (exit code 75); what goes
//! wrong afterwards sends the message as it was submitted, or refuses it where the administrator asked
//! for that. Nothing is ever sent that was not read to its end.

mod etc;
#[cfg(feature = "admin")]
pub(crate) mod explain;
mod handoff;
mod intake;
mod keyring;
mod privilege;
mod signals;
mod signing;
mod smtp;
mod spool;
mod stdin;
mod submitter;
mod trouble;

use std::ffi::OsString;
use std::process::ExitCode;

pub use etc::{FOLDER, VARIABLE};
#[cfg(feature = "admin")]
pub(crate) use handoff::USUAL;

use crate::argv::{Mode, Submission};
use crate::config::{Host, OnError};
use crate::report::{self, Outcome, Severity};
use etc::{BrokenHost, Etc};
use handoff::{Real, exec, exec_untouched, feed};
use intake::{Intake, IntakeError};
use keyring::Tree;
use privilege::{Dropped, Held};
use signing::{Choice, Job, Run, Way};
use stdin::Stdin;
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
    stdin::reopen_closed();
    let argv: Vec<OsString> = std::env::args_os().collect();
    let etc = Etc::find(&held);
    match Mode::parse(&argv) {
        Mode::Submit(submission) => submit(held, &etc, &argv, &submission),
        Mode::Smtp if !smtp::is_inbound() => smtp::converse(held, &etc, &argv),
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

fn submit(held: Held, etc: &Etc, argv: &[OsString], submission: &Submission) -> ExitCode {
    let mut run = Run::new(argv, submission, Way::Alone);
    let host = match etc.host() {
        Ok(host) => host,
        Err(broken) => return run.without_host(held, &broken),
    };
    // Before the message is read: without the real one there is nothing to do.
    let real = match Real::at(&host.sendmail) {
        Ok(real) => real,
        Err(error) => return report::fatal(&error),
    };
    let mut intake = Intake::of_stdin(run.lone_dot(&host));
    // Only for the opening of the keys the group is taken up.
    let mut tree = Tree { keys: etc.keys(), held: &held };
    let choice = guarded(|| run.choose(&mut intake, etc, &host, &mut tree));
    let dropped = match held.give_up() {
        Ok(dropped) => dropped,
        Err(error) => return report::fatal(&error),
    };
    match choice {
        Ok(Choice::Sign(mut job)) => {
            run.sign_and_exec(&real, &mut intake, &mut job, &host, dropped)
        }
        Ok(Choice::Skip(reason)) => {
            run.log(Severity::Info, Outcome::Unsigned, Some(&reason.to_string()));
            run.send_as_submitted(&real, &mut intake, dropped)
        }
        Err((trouble, on_error)) => run.fail(&real, &mut intake, &trouble, on_error, dropped),
    }
}

impl Run<'_> {
    /// The body → the signed message → the real sendmail.
    fn sign_and_exec(
        &self,
        real: &Real,
        intake: &mut Intake<Stdin>,
        job: &mut Job,
        host: &Host,
        dropped: Dropped,
    ) -> ExitCode {
        let on_error = job.on_error();
        let signed = match guarded(|| self.sign(job, intake, host.message_size_limit)) {
            Ok(signed) => signed,
            Err((trouble, on_error)) => {
                return self.fail(real, intake, &trouble, on_error, dropped);
            }
        };
        let risk = signed.risk();
        let sealed = match signed.seal(intake) {
            Ok(sealed) => sealed,
            Err(error) => return self.fail(real, intake, &error.into(), on_error, dropped),
        };
        if host.log_success {
            self.log(Severity::Info, Outcome::Signed, risk);
        }
        let dash_i = !self.submission.dash_i;
        report::fatal(&exec(real, self.argv, dash_i, sealed, dropped))
    }

    /// Signing did not work: send as submitted, or refuse.
    fn fail(
        &self,
        real: &Real,
        intake: &mut Intake<Stdin>,
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
    fn send_as_submitted(
        &self,
        real: &Real,
        intake: &mut Intake<Stdin>,
        dropped: Dropped,
    ) -> ExitCode {
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
}
