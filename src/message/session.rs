//! Follows an SMTP session (RFC 5321) to find the messages in it: which bytes of the client are commands, which are mail data,
//! and which command a reply belongs to. All bytes are passed on unchanged, except for the messages, which the caller replaces,
//! and for CHUNKING in the reply to EHLO. Unknown commands and replies are also passed on; at worst the rest of the session is
//! not followed ([`NotFollowed`]). The result does not depend on how the input is split.
//!
//! * **DATA** may be refused: a message follows only if the server answers 354. So no byte after DATA is read or passed on
//!   before DATA was answered, whether the client pipelines or not.
//! * **BDAT** is a second way to send a message, which no program uses unless it is offered. CHUNKING, and BINARYMIME, which
//!   needs it, are removed from the reply to EHLO, as `smtpd_discard_ehlo_keywords` would do.
//! * **SIZE** is not changed. The limit is that of the server. The signed message is a little larger; if it would exceed the
//!   limit, the caller sends the message unsigned ([`Session::size_limit`]). `SIZE=` of MAIL is an estimate (RFC 1870 §5) that
//!   Postfix only compares with its limit and the free space.

mod data;

use std::collections::VecDeque;
use std::fmt;

use super::limits::LINE_PIECE;
use super::syntax::quoted_string;
pub use data::{DataEnd, DotStuffing};
use data::{LineEnd, MailData};

/// Why the rest of a session is passed on but not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFollowed {
    /// The client sends a message with BDAT, although the server did not offer it.
    Bdat,
    /// The client and the server have started TLS (RFC 3207).
    StartTls,
    /// The mail data has a line containing a single dot that only some servers take for its end. If the message were signed up to
    /// there, text might become commands, or commands text.
    AmbiguousEnd,
    /// The server answers 354 to a command that is not DATA.
    UnexpectedText,
    /// The server does not answer DATA.
    NoReply,
}

impl fmt::Display for NotFollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bdat => "sent with BDAT",
            Self::StartTls => "sent after STARTTLS",
            Self::AmbiguousEnd => "a line containing a single dot that not every server takes for the end of mail data",
            Self::UnexpectedText => "sent after an unknown command that was answered with 354",
            Self::NoReply => "DATA was not answered",
        })
    }
}

/// A session between a client and a server.
#[derive(Debug)]
pub struct Session {
    state: State,
    /// The commands that the server has not answered yet, oldest first.
    awaited: VecDeque<Awaited>,
    /// The beginning of the current command line, as much as is needed.
    command: Vec<u8>,
    /// The reply line so far.
    reply: Vec<u8>,
    /// A line of the reply to EHLO that is held back because it may be the last one.
    hello_line: Option<Vec<u8>>,
    /// The last EHLO or HELO that was accepted.
    hello: Option<Vec<u8>>,
    envelope_sender: Option<Vec<u8>>,
    size_limit: Option<u64>,
}

#[derive(Debug)]
enum State {
    Commands,
    /// DATA was passed on, but not answered yet.
    Waiting(LineEnd),
    Data(MailData),
    NotFollowed(NotFollowed),
}

#[derive(Debug)]
enum Awaited {
    /// The greeting, or the reply to any other command.
    Other,
    Hello(Vec<u8>),
    Mail(Vec<u8>),
    Data,
    StartTls,
    /// A reply of a replacement server, which must not reach the client.
    Unasked,
}

/// A longer line, which no server sends (RFC 5321 §4.5.3.1.5), is read in pieces, to limit the memory.
const LONGEST_REPLY: usize = 64 << 10;

impl Default for Session {
    fn default() -> Self {
        Self {
            state: State::Commands,
            awaited: VecDeque::from([Awaited::Other]),
            command: Vec::new(),
            reply: Vec::new(),
            hello_line: None,
            hello: None,
            envelope_sender: None,
            size_limit: None,
        }
    }
}

impl Session {
    /// Whether a message comes next, to be read by [`Self::data`].
    #[must_use]
    pub fn is_in_data(&self) -> bool {
        matches!(self.state, State::Data(_))
    }

    /// Whether nothing more may be passed on before DATA is answered.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(_))
    }

    /// Stops waiting for the reply to DATA: the server may be waiting for the bytes that are held back.
    pub fn give_up(&mut self) {
        self.state = State::NotFollowed(NotFollowed::NoReply);
    }

    /// Why the session is not followed any more, if it is not.
    #[must_use]
    pub fn not_followed(&self) -> Option<NotFollowed> {
        if let State::NotFollowed(why) = self.state { Some(why) } else { None }
    }

    /// The address in the last MAIL that was accepted; empty for the null sender.
    #[must_use]
    pub fn envelope_sender(&self) -> Option<&[u8]> {
        self.envelope_sender.as_deref()
    }

    /// The largest message that the server accepts (RFC 1870), in bytes.
    #[must_use]
    pub fn size_limit(&self) -> Option<u64> {
        self.size_limit
    }

    /// Reads bytes of the client and appends those for the server to `out`. Returns how many were read: no byte while DATA is not
    /// answered, and no byte of a message.
    pub fn client(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut taken: usize = 0;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match self.state {
                State::Waiting(_) | State::Data(_) => break,
                State::Commands => self.command_piece(piece),
                State::NotFollowed(_) => {}
            }
            out.extend_from_slice(piece);
            taken = taken.saturating_add(piece.len());
        }
        taken
    }

    fn command_piece(&mut self, piece: &[u8]) {
        let room = LINE_PIECE.saturating_sub(self.command.len());
        self.command.extend_from_slice(piece.get(..room).unwrap_or(piece));
        if !piece.ends_with(b"\n") {
            return;
        }
        let line = std::mem::take(&mut self.command);
        let text = line.trim_ascii();
        // Postfix ends a word at any byte of isspace(3).
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'\x0b' | b':');
        let verb = text.split(ends).next();
        let awaited = match verb.unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"EHLO" | b"HELO" => Awaited::Hello(text.to_vec()),
            b"MAIL" => Awaited::Mail(path(text)),
            b"STARTTLS" => Awaited::StartTls,
            b"DATA" => {
                let line_end = if piece.ends_with(b"\r\n") || line.ends_with(b"\r\n") {
                    LineEnd::CrLf
                } else {
                    LineEnd::Lf
                };
                self.state = State::Waiting(line_end);
                Awaited::Data
            }
            b"BDAT" => {
                self.state = State::NotFollowed(NotFollowed::Bdat);
                return;
            }
            _ => Awaited::Other,
        };
        self.awaited.push_back(awaited);
    }

    /// Reads bytes of a message. Bytes that are certain to be part of it are appended to `message` unchanged.
    pub fn data(&mut self, bytes: &[u8], message: &mut Vec<u8>) -> (usize, DataEnd) {
        let State::Data(content) = &mut self.state else { return (0, DataEnd::NotYet) };
        content.feed(bytes, message)
    }

    /// The bytes of the line that ended the message, or of an incomplete last line that may have been one.
    #[must_use]
    pub fn data_end(&self) -> &[u8] {
        if let State::Data(data) = &self.state { data.held() } else { b"" }
    }

    /// The message was passed on completely; commands follow.
    pub fn end_data(&mut self, end: DataEnd) {
        self.state = match end {
            DataEnd::Found | DataEnd::NotYet => State::Commands,
            DataEnd::Ambiguous => State::NotFollowed(NotFollowed::AmbiguousEnd),
        };
        self.awaited.push_back(Awaited::Other);
    }

    /// Replaces a server that was abandoned inside DATA by a new one. The commands that the new server needs first are appended
    /// to `out`; its replies to them are not passed to the client.
    pub fn begin_again(&mut self, out: &mut Vec<u8>) {
        self.state = State::Commands;
        self.reply.clear();
        self.hello_line = None;
        self.awaited = VecDeque::from([Awaited::Unasked]);
        if let Some(hello) = &self.hello {
            out.extend_from_slice(hello);
            out.extend_from_slice(b"\r\n");
            self.awaited.push_back(Awaited::Unasked);
        }
    }

    /// Reads bytes of the server and appends those for the client to `out`.
    pub fn server(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.not_followed().is_some() {
                self.server_ended(out);
                out.extend_from_slice(piece);
                continue;
            }
            self.reply.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.reply.len() > LONGEST_REPLY {
                let line = std::mem::take(&mut self.reply);
                self.reply_line(line, out);
            }
        }
    }

    /// The server closed the connection: bytes that were held back go to the client.
    pub fn server_ended(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.hello_line.take().unwrap_or_default());
        out.append(&mut self.reply);
    }

    fn reply_line(&mut self, line: Vec<u8>, out: &mut Vec<u8>) {
        let Some((code, is_last)) = code(&line) else {
            out.extend_from_slice(&line);
            return;
        };
        match self.awaited.front() {
            Some(Awaited::Unasked) => {}
            Some(Awaited::Hello(_)) if code == 250 => self.hello_reply_line(line, is_last, out),
            _ => out.extend_from_slice(&line),
        }
        // A reply below 200 is informational and does not answer a command (VERB of Sendmail).
        if is_last && code >= 200 {
            self.answered(code);
        }
    }

    /// Holds one line back: the last line has another form, and CHUNKING may be on it.
    fn hello_reply_line(&mut self, line: Vec<u8>, is_last: bool, out: &mut Vec<u8>) {
        let is_first = self.hello_line.is_none();
        let mut words = line.get(4..).unwrap_or_default().trim_ascii().split(|byte| *byte == b' ');
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        let goes = !is_first && matches!(keyword.as_slice(), b"CHUNKING" | b"BINARYMIME");
        if !is_first && keyword == b"SIZE" {
            // 0 means no limit (RFC 1870 §4).
            self.size_limit = words.next().and_then(number).filter(|limit| *limit > 0);
        }
        if !goes {
            out.append(&mut self.hello_line.replace(line).unwrap_or_default());
        }
        if !is_last {
            return;
        }
        if let Some(mut last) = self.hello_line.take() {
            if let Some(sign) = last.get_mut(3)
                && *sign == b'-'
            {
                *sign = b' ';
            }
            out.append(&mut last);
        }
    }

    /// Handles a complete reply.
    fn answered(&mut self, code: u64) {
        let is_good = (200..300).contains(&code);
        match self.awaited.pop_front() {
            Some(Awaited::Data) => {
                let next = if let State::Waiting(line_end) = self.state
                    && code == 354
                {
                    State::Data(MailData::new(line_end))
                } else {
                    State::Commands
                };
                self.state = next;
            }
            Some(Awaited::StartTls) if code == 220 => {
                self.state = State::NotFollowed(NotFollowed::StartTls);
            }
            Some(Awaited::Hello(hello)) if is_good => {
                self.hello = Some(hello);
                self.envelope_sender = None;
            }
            Some(Awaited::Mail(path)) if is_good => self.envelope_sender = Some(path),
            _ if code == 354 => self.state = State::NotFollowed(NotFollowed::UnexpectedText),
            _ => {}
        }
    }
}

/// The code of a reply line, and whether this is the last line of the reply.
fn code(line: &[u8]) -> Option<(u64, bool)> {
    Some((number(line.get(..3)?)?, line.get(3) != Some(&b'-')))
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

/// `MAIL FROM:<a@b> SIZE=1` → `a@b`.
fn path(command: &[u8]) -> Vec<u8> {
    let after = command.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default();
    let after = after.trim_ascii_start();
    let Some(inside) = after.strip_prefix(b"<") else {
        // Postfix also accepts an address without brackets.
        let end = after.iter().position(u8::is_ascii_whitespace).unwrap_or(after.len());
        return after.get(..end).unwrap_or_default().to_vec();
    };
    let mut end = 0_usize;
    while let Some(rest @ [first, ..]) = inside.get(end..).filter(|rest| !rest.starts_with(b">")) {
        end = end.saturating_add(match (first, rest.get(1)) {
            (b'"', _) => quoted_string(rest).unwrap_or(rest.len()),
            // Postfix respects a backslash outside quotes, too.
            (b'\\', Some(b'"' | b'\\')) => 2,
            _ => 1,
        });
    }
    inside.get(..end).unwrap_or(inside).to_vec()
}

#[cfg(test)]
mod tests;
