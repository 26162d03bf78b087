//! The wrapper: a pipeline of a few stages, of which one is privileged.
//!
//! If an error occurs before standard input is read, the call fails (exit code 75). After a later error the message is sent as
//! submitted, or rejected if `on_error` says so. A message that could not be read to its end is never sent.

mod child;
pub(crate) mod handoff;
pub(crate) mod keyring;
pub(crate) mod privilege;
pub mod protocol;
mod signals;
mod signer;
mod smtp;
mod start;
mod stdin;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use handoff::Call;

use crate::argv::{Mode, Submission};
use crate::message::Reader;
use crate::report::{self, Code, Outcome};
use crate::submission::configuration::Etc;
use crate::submission::error::{self, NotSigned};
use crate::submission::intake::{Intake, IntakeError};
use crate::submission::{Run, Way};
use handoff::{Real, exec, exec_untouched};
use privilege::{Dropped, Held};
use start::{Started, refuse, start};
use stdin::Stdin;

/// The program. Returns only if the message could not be passed on, or if the real sendmail ran as a child.
pub fn main(call: &Call) -> Code {
    // After a panic, tell the caller that the message was not accepted.
    catch_unwind(AssertUnwindSafe(|| run(call)))
        .unwrap_or_else(|_| report::fatal(&error::panicked()))
}

fn run(call: &Call) -> Code {
    let held = match Held::acquire() {
        Ok(held) => held,
        Err(error) => return report::fatal(&error),
    };
    error::silence_panics();
    stdin::reopen_closed();
    let etc = Etc::find(held.is_privileged());
    let ended = match Mode::parse(&call.argv) {
        Mode::Submit(submission) => submit(held, &etc, call, &submission),
        Mode::Smtp if !smtp::is_inbound() => smtp::run(held, &etc, call),
        Mode::PassThrough | Mode::Smtp => pass_through(held, &etc, call),
    };
    ended.unwrap_or_else(|code| code)
}

/// Execs the real sendmail without reading a message.
fn pass_through(held: Held, etc: &Etc, call: &Call) -> Result<Code, Code> {
    let dropped = held.give_up().map_err(|error| report::fatal(&error))?;
    let sendmail = etc.host().map_or_else(|broken| broken.sendmail, |host| Some(host.sendmail));
    let real = Real::find(sendmail.as_deref()).map_err(|error| report::fatal(&error))?;
    Err(report::fatal(&exec_untouched(&real, call, dropped)))
}

/// Signs the message on standard input, and execs the real sendmail with the signed message as standard input.
fn submit(held: Held, etc: &Etc, call: &Call, submission: &Submission) -> Result<Code, Code> {
    let Started { host, real, mut signer, dropped } = start(held, etc, call, submission)?;
    let mut run = Run::new(etc, &host, submission, Way::Alone);
    let reader = Reader::new(run.lone_dot());
    let mut intake = Intake::new(Stdin::here(), reader, host.most_kept());
    let signed = run.sign(&mut intake, &mut signer, host.message_size_limit);
    drop(signer);
    // The real sendmail does not need the arguments that only the wrapper reads.
    let stripped = run.client.is_some().then(|| Call {
        argv: submission.client.removed_from(&call.argv),
        environment: call.environment.clone(),
    });
    let call = stripped.as_ref().unwrap_or(call);
    match signed.and_then(|signed| Ok(signed.seal(&mut intake)?)) {
        Ok(message) => {
            run.log_signed();
            let dash_i = !submission.dash_i;
            Err(report::fatal(&exec(&real, call, dash_i, message, dropped)))
        }
        Err(error) => {
            let reason = report::chain(&error);
            let log = |outcome| run.log(error.severity(), outcome, Some(&reason));
            let is_unread = matches!(error, NotSigned::Intake(IntakeError::Read(_)));
            // A mail loop: if the message were sent, it would come back until Postfix bounces it. In the queue it waits for the
            // administrator.
            if is_unread && !intake.is_untouched() || matches!(error, NotSigned::Loop) {
                log(Outcome::Refused);
                return Err(report::complain(&format!("fatal: {reason}")));
            }
            if run.refuses(&error) {
                log(Outcome::Refused);
                return Err(refuse(&reason));
            }
            if matches!(error, NotSigned::Bug(_)) {
                intake.distrust_reader();
            }
            log(Outcome::Unsigned);
            send_as_submitted(&real, call, &mut intake, dropped)
        }
    }
}

/// Sends the original bytes with the original arguments.
fn send_as_submitted(
    real: &Real,
    call: &Call,
    intake: &mut Intake<Stdin>,
    dropped: Dropped,
) -> Result<Code, Code> {
    // The real sendmail reports input that cannot be read, such as a directory.
    if intake.is_untouched() || intake.source().rewind() {
        return Err(report::fatal(&exec_untouched(real, call, dropped)));
    }
    match intake.seal_original() {
        Ok(message) => Err(report::fatal(&exec(real, call, false, message, dropped))),
        Err(error @ IntakeError::Read(_)) => Err(report::fatal(&error)),
        Err(IntakeError::Keep(_) | IntakeError::TooLarge) => {
            child::feed(real, call, intake, &dropped).map_err(|error| report::fatal(&error))
        }
    }
}
