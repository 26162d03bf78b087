//! The wrapper: a pipeline of a few stages, of which one is privileged.
//!
//! What goes wrong before standard input was read is a failure of the call (exit code 75); what goes
//! wrong afterwards sends the message as it was submitted, or refuses it where the administrator asked
//! for that. Nothing is ever sent that was not read to its end.

pub(crate) mod handoff;
pub(crate) mod keyring;
pub(crate) mod privilege;
pub mod protocol;
pub(crate) mod signals;
mod signer;
mod smtp;
pub(crate) mod stdin;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use handoff::Call;

use crate::argv::{Mode, Submission};
use crate::config::{Host, OnError};
use crate::report::{self, Code, Outcome, Severity};
use crate::submission::etc::{BrokenHost, Etc};
use crate::submission::intake::{Intake, IntakeError};
use crate::submission::signing::{Choice, Run, Signed, Way};
use crate::submission::trouble::{self, Trouble, guarded};
use handoff::{Real, exec, exec_untouched, feed};
use privilege::{Dropped, Held};
use signer::Signer;
use stdin::Stdin;

/// The program. Returns only where the message could not be handed over, or standard input had to be
/// fed to a child.
pub fn main(call: &Call) -> Code {
    // Whatever a panic leaves undone, the caller is told that the message was not accepted.
    catch_unwind(AssertUnwindSafe(|| run(call)))
        .unwrap_or_else(|_| report::fatal(&trouble::panicked()))
}

fn run(call: &Call) -> Code {
    let held = match Held::take() {
        Ok(held) => held,
        Err(error) => return report::fatal(&error),
    };
    trouble::keep_quiet();
    stdin::reopen_closed();
    let etc = Etc::find(held.is_privileged());
    match Mode::parse(&call.argv) {
        Mode::Submit(submission) => submit(held, &etc, call, &submission),
        Mode::Smtp if !smtp::is_inbound() => smtp::converse(held, &etc, call),
        Mode::PassThrough | Mode::Smtp => pass_through(held, &etc, call),
    }
}

/// No message is read: the caller talks to the real program.
fn pass_through(held: Held, etc: &Etc, call: &Call) -> Code {
    let dropped = match held.give_up() {
        Ok(dropped) => dropped,
        Err(error) => return report::fatal(&error),
    };
    let real = match etc.host() {
        Ok(host) => Real::at(&host.sendmail),
        Err(broken) => broken.real(),
    };
    match real {
        Ok(real) => report::fatal(&exec_untouched(&real, call, dropped)),
        Err(error) => report::fatal(&error),
    }
}

impl BrokenHost {
    fn real(&self) -> Result<Real, handoff::HandoffError> {
        self.sendmail.as_deref().map_or_else(Real::usual, Real::at)
    }
}

fn submit(held: Held, etc: &Etc, call: &Call, submission: &Submission) -> Code {
    let mut run = Run::new(call, submission, Way::Alone);
    let Begun { host, real, mut signer, dropped } = match run.begin(held, etc) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let mut intake = Intake::of_stdin(run.lone_dot(&host));
    let choice = guarded(host.signing.on_error, || run.choose(&mut intake, etc, &host));
    let signed = match choice {
        Ok(Choice::Sign(mut job)) => {
            let (on_error, limit) = (job.on_error(), host.message_size_limit);
            let sign = || run.sign(&mut job, &mut intake, &mut signer, limit);
            guarded(on_error, sign).map(|signed| Ok((signed, on_error)))
        }
        Ok(Choice::Skip(reason)) => Ok(Err(reason)),
        Err(failed) => Err(failed),
    };
    drop(signer);
    match signed {
        Ok(Ok((signed, on_error))) => {
            run.hand_over(&real, &mut intake, signed, (&host, on_error), dropped)
        }
        Ok(Err(reason)) => {
            run.log(Severity::Info, Outcome::Unsigned, Some(&reason.to_string()));
            run.send_as_submitted(&real, &mut intake, dropped)
        }
        Err((trouble, on_error)) => run.fail(&real, &mut intake, &trouble, on_error, dropped),
    }
}

/// What is there before a message is read.
struct Begun {
    host: Host,
    real: Real,
    signer: Signer,
    dropped: Dropped,
}

impl Run<'_> {
    /// Reads `config.toml`, finds the real sendmail, and starts the process that signs. Where that does not work nothing has
    /// been read, and this returns only where the real sendmail can't be run either.
    fn begin(&self, held: Held, etc: &Etc) -> Result<Begun, Code> {
        let host = match etc.host() {
            Ok(host) => host,
            Err(broken) => return Err(self.without_host(held, &broken)),
        };
        // Without the real sendmail there is nothing to do.
        let real = Real::at(&host.sendmail).map_err(|error| report::fatal(&error))?;
        let started = Signer::start(held, etc, &host).map_err(|error| report::fatal(&error))?;
        match started {
            (Ok(signer), dropped) => Ok(Begun { host, real, signer, dropped }),
            (Err(error), dropped) => {
                let reason = format!("cannot start the process that signs: {error}");
                Err(self.go_without(&host, &real, &reason, dropped))
            }
        }
    }

    /// The signed message → the real sendmail.
    fn hand_over(
        &self,
        real: &Real,
        intake: &mut Intake<Stdin>,
        signed: Signed,
        (host, on_error): (&Host, OnError),
        dropped: Dropped,
    ) -> Code {
        let risk = signed.risk();
        let sealed = match signed.seal(intake) {
            Ok(sealed) => sealed,
            Err(error) => return self.fail(real, intake, &error.into(), on_error, dropped),
        };
        if host.log_success {
            self.log(Severity::Info, Outcome::Signed, risk);
        }
        let dash_i = !self.submission.dash_i;
        report::fatal(&exec(real, self.call, dash_i, sealed, dropped))
    }

    /// Signing did not work: send as submitted, or refuse.
    fn fail(
        &self,
        real: &Real,
        intake: &mut Intake<Stdin>,
        trouble: &Trouble,
        on_error: OnError,
        dropped: Dropped,
    ) -> Code {
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

    fn refuse(&self, reason: &str) -> Code {
        self.log(Severity::Error, Outcome::Refused, Some(reason));
        report::complain(&format!("fatal: not signed, so not accepted: {reason}"))
    }

    /// The original octets and the original argv.
    fn send_as_submitted(&self, real: &Real, intake: &mut Intake<Stdin>, dropped: Dropped) -> Code {
        match intake.seal_original() {
            Ok(sealed) => report::fatal(&exec(real, self.call, false, sealed, dropped)),
            Err(error @ IntakeError::Read(_)) => report::fatal(&error),
            Err(IntakeError::Keep(_) | IntakeError::TooLarge) => {
                feed(real, self.call, intake, &dropped)
                    .unwrap_or_else(|error| report::fatal(&error))
            }
        }
    }

    /// `config.toml` is broken: the message is not even read, the real program does that.
    fn without_host(&self, held: Held, broken: &BrokenHost) -> Code {
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
                report::fatal(&exec_untouched(&real, self.call, dropped))
            }
            Err(error) => report::fatal(&error),
        }
    }

    /// Nothing has been read: the real sendmail takes standard input as it is, or the administrator wants no unsigned mail.
    fn go_without(&self, host: &Host, real: &Real, reason: &str, dropped: Dropped) -> Code {
        if host.signing.on_error == OnError::Refuse {
            return self.refuse(reason);
        }
        self.log(Severity::Error, Outcome::Unsigned, Some(reason));
        report::fatal(&exec_untouched(real, self.call, dropped))
    }
}
