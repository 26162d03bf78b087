//! Prepares for a message before any byte of it is read. If that fails, the real sendmail reads standard input itself, or the
//! message is rejected.

use super::handoff::{Call, HandoffError, Real, exec_untouched};
use super::privilege::{Dropped, Held};
use super::signer::Signer;
use crate::argv::Submission;
use crate::config::{Host, OnError};
use crate::report::{self, Code, Entry, Outcome, Severity};
use crate::submission::configuration::Etc;
use crate::submission::submitter::User;

/// Everything that is needed for a message.
pub(super) struct Started {
    pub(super) host: Host,
    pub(super) real: Real,
    pub(super) signer: Signer,
    pub(super) dropped: Dropped,
}

/// Reads `config.toml`, finds the real sendmail and starts the process that signs. The error is the exit code.
pub(super) fn start(
    held: Held,
    etc: &Etc,
    call: &Call,
    submission: &Submission,
) -> Result<Started, Code> {
    let host = match etc.host() {
        Ok(host) => host,
        Err(broken) => {
            let dropped = held.give_up().map_err(|error| report::fatal(&error))?;
            let real = Real::find(broken.sendmail.as_deref());
            let reason = report::chain(&broken.error);
            return Err(leave_unread(call, real.as_ref(), broken.on_error, &reason, dropped));
        }
    };
    report::log_to(host.log_destination);
    // Without the real sendmail nothing can be done.
    let real = Real::at(&host.sendmail).map_err(|error| report::fatal(&error))?;
    let (signer, dropped) =
        Signer::start(held, etc, &host, submission).map_err(|error| report::fatal(&error))?;
    match signer {
        Ok(signer) => Ok(Started { host, real, signer, dropped }),
        Err(error) => {
            let reason = format!("cannot start the process that signs: {}", report::plain(&error));
            Err(leave_unread(call, Ok(&real), host.signing.on_error, &reason, dropped))
        }
    }
}

/// Nothing was read yet, so the real sendmail reads standard input, unless `on_error` forbids unsigned mail.
pub(super) fn leave_unread(
    call: &Call,
    real: Result<&Real, &HandoffError>,
    on_error: OnError,
    reason: &str,
    dropped: Dropped,
) -> Code {
    let log = |outcome| {
        let (uid, reason) = (User::real().uid(), Some(reason));
        let entry = Entry { uid, outcome, reason, ..Entry::default() };
        report::log(Severity::Error, &entry);
    };
    match real {
        _ if on_error == OnError::Refuse => {
            log(Outcome::Refused);
            refuse(reason)
        }
        Ok(real) => {
            log(Outcome::Unsigned);
            report::fatal(&exec_untouched(real, call, dropped))
        }
        Err(error) => report::fatal(error),
    }
}

/// Tells the caller that a message is not accepted, on standard error and with the exit code.
pub(super) fn refuse(reason: &str) -> Code {
    report::complain(&format!("fatal: not signed, so not accepted: {reason}"))
}
