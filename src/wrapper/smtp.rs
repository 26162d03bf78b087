//! `-bs`: SMTP on standard input. The real sendmail runs as a child. The session is relayed between it and the client, and the
//! messages in the session are signed on the way.
//!
//! * The group is dropped before the first byte is read; see [`super::signer`] for how messages are signed.
//! * The client sees what it would see without this program: the replies, the exit code, the signal that ends the child. A
//!   signal that ends this process closes the standard input of the child. That ends the child, and no incomplete message is
//!   sent.
//! * The child gets DATA at once, because only the child knows the reply. Then it gets nothing until the message has been read,
//!   because the signature precedes the text. So the whole message must arrive within the time that the child waits for a line
//!   (`smtpd_timeout`, 300 s).
//! * A message that must not be sent unsigned (`on_error`) must not reach the child, but after DATA there is no command to cancel it.
//!   So the session of this child ends there, as if the client had left. Another child is started and gets the name in EHLO, and
//!   the client reads 451 as the reply to its message.
//! * On a TCP socket (inetd) the mail is from another host, so the session passes through: see [`is_inbound`].

mod relay;

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd as _;

use super::handoff::{Call, HandoffError};
use super::privilege::Held;
use super::signals;
use super::signer::Signer;
use super::start::{Started, leave_unread, start};
use crate::argv::{LoneDot, Submission};
use crate::config::{BEYOND, Host};
use crate::message::Reader;
use crate::message::session::{DataEnd, DotStuffing, NotFollowed};
use crate::report::{self, Code, Outcome, Severity};
use crate::submission::configuration::Etc;
use crate::submission::error::NotSigned;
use crate::submission::intake::{Intake, IntakeError, Source as _};
use crate::submission::signing::Signed;
use crate::submission::{Run, Way};
use relay::{Data, Next, Relay};

/// Whether standard input is a TCP socket, so that the client may be on another host.
pub(super) fn is_inbound() -> bool {
    let stdin = io::stdin();
    // Sockets of other families have no such address.
    stdin.as_fd().try_clone_to_owned().is_ok_and(|fd| TcpStream::from(fd).local_addr().is_ok())
}

/// The replies that the client reads instead of one from the real sendmail.
const REFUSED: &str = "451 4.7.0 Error: not signed, so not accepted\r\n";
const NOT_HANDED_OVER: &str =
    "421 4.3.0 Error: cannot hand over the message, closing connection\r\n";
const HUNG_UP: &str = "421 4.7.0 Error: not signed, so not accepted, closing connection\r\n";

/// Relays the session to its end.
pub(super) fn run(held: Held, etc: &Etc, call: &Call) -> Result<Code, Code> {
    let Started { host, real, mut signer, dropped } =
        start(held, etc, call, &Submission::default())?;
    let mut relay = match Relay::start(&real, call, dropped) {
        Ok(relay) => relay,
        Err((error, dropped)) => {
            drop(signer);
            let reason = format!("cannot relay the SMTP session: {}", report::chain(&error));
            return Err(leave_unread(call, Ok(&real), host.signing.on_error, &reason, dropped));
        }
    };
    signals::hold_pipe();
    let mut is_reported = false;
    loop {
        let next = relay.next(is_reported);
        let submission = Submission {
            lone_dot: LoneDot::IsText,
            envelope_sender: relay.session.envelope_sender().map(<[u8]>::to_vec),
            ..Submission::default()
        };
        let mut run = Run::new(etc, &host, &submission, Way::Smtp);
        match next {
            Next::Message => {
                pass(&mut run, &mut relay, &mut signer, &host)
                    .map_err(|error| report::fatal(&error))?;
                is_reported = relay.session.not_followed().is_some();
            }
            Next::NotFollowed => {
                is_reported = true;
                let reason = relay.session.not_followed().map(|why| why.to_string());
                run.log(Severity::Info, Outcome::Unsigned, reason.as_deref());
            }
            Next::Over => return Ok(relay.finish()),
        }
    }
}

/// Reads one message and passes it to the real sendmail, signed if possible.
fn pass(
    run: &mut Run<'_>,
    relay: &mut Relay<'_>,
    signer: &mut Signer,
    host: &Host,
) -> Result<(), HandoffError> {
    let announced = relay.session.size_limit();
    let limit = announced.into_iter().chain(host.message_size_limit).min();
    let most = announced.map_or(u64::MAX, |limit| limit.saturating_add(BEYOND));
    let mut intake = Intake::new(Data(relay), Reader::of_data(), most.min(host.most_kept()));
    let signed = run.sign(&mut intake, signer, limit);
    let is_complete = intake.source().0.end == DataEnd::Found;
    let given = match signed {
        Ok(signed) if is_complete => {
            write_signed(&signed, &mut intake).inspect(|()| run.log_signed())
        }
        // The client has left, or the end is ambiguous: the message is not signed.
        Ok(_) => {
            write_original(run, &mut intake, Severity::Info, &NotFollowed::AmbiguousEnd.to_string())
        }
        Err(NotSigned::Intake(IntakeError::Read(errno))) => Err(errno.into()),
        Err(error) => {
            let (severity, reason) = (error.severity(), report::chain(&error));
            if run.refuses(&error) {
                return refuse(run, &mut intake, &reason);
            }
            write_original(run, &mut intake, severity, &reason)
        }
    };
    if let Err(error) = given {
        report_failure(run, intake.source().0, &error);
    }
    Ok(())
}

/// The real sendmail did not read the message to its end.
fn report_failure(run: &Run<'_>, relay: &mut Relay<'_>, error: &io::Error) {
    let (reason, reply) = if error.kind() == io::ErrorKind::BrokenPipe {
        // If the real sendmail sent a reply, the client gets that one.
        ("the real sendmail ended inside the message".to_owned(), "")
    } else {
        (format!("cannot hand it over: {}", report::plain(error)), NOT_HANDED_OVER)
    };
    run.log(Severity::Error, Outcome::Refused, Some(&reason));
    relay.hang_up(reply);
}

fn write_signed(signed: &Signed, intake: &mut Intake<Data<'_, '_>>) -> io::Result<()> {
    let mut writer = DotStuffing::default();
    let mut lines = Vec::new();
    signed.write(intake, |data, text| {
        lines.clear();
        writer.feed(text, &mut lines);
        data.0.put(&lines)
    })?;
    intake.source().0.end_data(Some(b".\r\n"))
}

/// Passes on the original bytes. A message that the client did not complete is not logged.
fn write_original(
    run: &Run<'_>,
    intake: &mut Intake<Data<'_, '_>>,
    severity: Severity,
    reason: &str,
) -> io::Result<()> {
    intake.replay(|data, bytes| data.0.put(bytes), Data::read)?;
    let relay = &mut intake.source().0;
    let end = relay.end;
    relay.end_data(None)?;
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
    // The client expects a reply only after the end of the message.
    let read = intake.replay(|_, _| Ok(()), Data::read);
    let relay = &mut intake.source().0;
    if let Err(error) = read {
        report_failure(run, relay, &error);
        return Ok(());
    }
    let end = relay.end;
    if end != DataEnd::NotYet {
        run.log(Severity::Error, Outcome::Refused, Some(reason));
    }
    match end {
        DataEnd::Found => return relay.refuse(REFUSED),
        // Only the child knows whether commands or text follow.
        DataEnd::Ambiguous => relay.hang_up(HUNG_UP),
        DataEnd::NotYet => relay.hang_up(""),
    }
    Ok(())
}
