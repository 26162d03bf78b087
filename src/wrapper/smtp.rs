//! `-bs`: SMTP on standard input. The real sendmail runs as a child, the session is passed on between the
//! two, and the messages in it are signed on the way.
//!
//! * The group is given up before the first octet is read; see [`super::signer`] for how messages are signed then.
//! * Whatever the child does is as without us: what it says, its exit code, the signal that ends it. A signal
//!   that ends us closes its standard input, which ends it, and a message that is not complete is not sent.
//! * The child gets DATA at once, for only it knows the answer, and then nothing until the message has
//!   been read: the signature stands before the text. So all of the message must come within the time that
//!   the child waits for a line (`smtpd_timeout`, 300 s).
//! * When a message is not to be sent unsigned (`on_error`), the child must not get it, and there is nothing
//!   inside DATA to tell it so. Its session ends there, as when the client leaves; another child is
//!   started, told the name in EHLO, and the client reads 451 where the answer to the message would be.
//! * On a TCP socket (inetd) it is mail from elsewhere: that passes through, see [`is_inbound`].

mod child;
mod relay;

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd as _;

use super::Begun;
use super::handoff::{Call, HandoffError};
use super::privilege::Held;
use super::signals;
use super::signer::Signer;
use crate::argv::{LoneDot, Submission};
use crate::config::{BEYOND, Host, OnError};
use crate::message::Reader;
use crate::message::session::{DataEnd, DotStuffing, NotFollowed};
use crate::report::{self, Code, Outcome, Severity};
use crate::submission::etc::Etc;
use crate::submission::intake::{Intake, IntakeError};
use crate::submission::signing::{Choice, Failed, Run, Signed, Way};
use crate::submission::trouble::{Trouble, guarded};
use relay::{Data, Next, Relay};

/// Whether standard input is a TCP socket: whoever speaks there is on another host, or was taken for
/// somebody there.
pub(super) fn is_inbound() -> bool {
    let stdin = io::stdin();
    // The address of a socket of another family is refused.
    stdin.as_fd().try_clone_to_owned().is_ok_and(|fd| TcpStream::from(fd).local_addr().is_ok())
}

/// What the client reads in place of an answer of the real sendmail.
const REFUSED: &str = "451 4.7.0 Error: not signed, so not accepted\r\n";
const HUNG_UP: &str = "421 4.7.0 Error: not signed, so not accepted, closing connection\r\n";

/// Carries the session to its end.
pub(super) fn converse(held: Held, etc: &Etc, call: &Call) -> Code {
    let nobody = submission(None);
    let run = Run::new(call, &nobody, Way::Smtp);
    let Begun { host, real, mut signer, dropped } = match run.begin(held, etc) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let mut relay = match Relay::start(&real, call, dropped) {
        Ok(relay) => relay,
        Err((error, dropped)) => {
            drop(signer);
            let reason = format!("cannot stand inside the session: {}", report::chain(&error));
            return run.go_without(&host, &real, &reason, dropped);
        }
    };
    signals::hold_pipe();
    let mut is_reported = false;
    loop {
        match relay.next(is_reported) {
            Next::Message => {
                let submission = submission(relay.session.envelope_sender());
                let mut run = Run::new(call, &submission, Way::Smtp);
                if let Err(error) = pass(&mut run, &mut relay, &mut signer, etc, &host) {
                    return report::fatal(&error);
                }
                is_reported = relay.session.not_followed().is_some();
            }
            Next::NotFollowed => {
                is_reported = true;
                let reason = relay.session.not_followed().map(|why| why.to_string());
                run.log(Severity::Info, Outcome::Unsigned, reason.as_deref());
            }
            Next::Over => break,
        }
    }
    relay.finish()
}

fn submission(envelope_sender: Option<&[u8]>) -> Submission {
    Submission {
        lone_dot: LoneDot::IsText,
        envelope_sender: envelope_sender.map(<[u8]>::to_vec),
        ..Submission::default()
    }
}

/// Reads one message and gives it to the real sendmail, signed where that can be.
fn pass(
    run: &mut Run<'_>,
    relay: &mut Relay<'_>,
    signer: &mut Signer,
    etc: &Etc,
    host: &Host,
) -> Result<(), HandoffError> {
    let mut intake = Intake::new(Data(relay), Reader::of_data());
    let signed = guarded(host.signing.on_error, || sign(run, &mut intake, signer, etc, host));
    let is_complete = intake.source().0.end() == DataEnd::Found;
    let given = match signed {
        Ok(Ok(signed)) if is_complete => give_signed(&signed, &mut intake).inspect(|()| {
            if host.log_success {
                run.log(Severity::Info, Outcome::Signed, signed.risk());
            }
        }),
        // The client has left, or the end is not clear; nothing of it is signed.
        Ok(Ok(_)) => {
            give_original(run, &mut intake, Severity::Info, &NotFollowed::AmbiguousEnd.to_string())
        }
        Ok(Err(reason)) => give_original(run, &mut intake, Severity::Info, &reason),
        Err((Trouble::Intake(IntakeError::Read(errno)), _)) => Err(errno.into()),
        Err((trouble, OnError::Send)) => {
            give_original(run, &mut intake, Severity::Error, &report::chain(&trouble))
        }
        Err((trouble, OnError::Refuse)) => {
            return refuse(run, &mut intake, &report::chain(&trouble));
        }
    };
    if let Err(error) = given {
        broken_off(run, intake.source().0, &error);
    }
    Ok(())
}

/// The message can't be given to its end.
fn broken_off(run: &Run<'_>, relay: &mut Relay<'_>, error: &io::Error) {
    if error.kind() == io::ErrorKind::BrokenPipe {
        // It has told the client itself, or not.
        run.log(
            Severity::Error,
            Outcome::Refused,
            Some("the real sendmail ended inside the message"),
        );
        return relay.hang_up("");
    }
    run.log(Severity::Error, Outcome::Refused, Some(&format!("cannot hand it over: {error}")));
    relay.hang_up("421 4.3.0 Error: cannot hand over the message, closing connection\r\n");
}

/// The signed message, or why it is not to be signed.
fn sign(
    run: &mut Run<'_>,
    intake: &mut Intake<Data<'_, '_>>,
    signer: &mut Signer,
    etc: &Etc,
    host: &Host,
) -> Result<Result<Signed, String>, Failed> {
    let announced = intake.source().0.session.size_limit();
    if let Some(limit) = announced {
        intake.keep_at_most(limit.saturating_add(BEYOND));
    }
    match run.choose(intake, etc, host)? {
        Choice::Sign(mut job) => {
            let limit = announced.into_iter().chain(host.message_size_limit).min();
            let on_error = job.on_error();
            guarded(on_error, || run.sign(&mut job, intake, signer, limit)).map(Ok)
        }
        Choice::Skip(reason) => Ok(Err(reason.to_string())),
    }
}

fn give_signed(signed: &Signed, intake: &mut Intake<Data<'_, '_>>) -> io::Result<()> {
    let mut stuffing = DotStuffing::default();
    let mut lines = Vec::new();
    signed.write(intake, |data, text| {
        lines.clear();
        stuffing.feed(text, &mut lines);
        data.0.put(&lines)
    })?;
    intake.source().0.end_signed()
}

/// The octets as they came. What the client did not finish is no message, and not worth a line in the log.
fn give_original(
    run: &Run<'_>,
    intake: &mut Intake<Data<'_, '_>>,
    severity: Severity,
    reason: &str,
) -> io::Result<()> {
    intake.replay(|data, octets| data.0.put(octets))?;
    let relay = &mut intake.source().0;
    let end = relay.end();
    relay.end_original()?;
    if end != DataEnd::NotYet {
        run.log(severity, Outcome::Unsigned, Some(reason));
    }
    Ok(())
}

fn refuse(
    run: &Run<'_>,
    intake: &mut Intake<Data<'_, '_>>,
    reason: &str,
) -> Result<(), HandoffError> {
    // To the end of it: then the client listens.
    let read = intake.replay(|_, _| Ok(()));
    let relay = &mut intake.source().0;
    if let Err(error) = read {
        broken_off(run, relay, &error);
        return Ok(());
    }
    let end = relay.end();
    if end != DataEnd::NotYet {
        run.log(Severity::Error, Outcome::Refused, Some(reason));
    }
    match end {
        DataEnd::Found => return relay.refuse(REFUSED),
        // Whether commands or text come next is for the child to say, and the child is not asked.
        DataEnd::Ambiguous => relay.hang_up(HUNG_UP),
        DataEnd::NotYet => relay.hang_up(""),
    }
    Ok(())
}
