//! Relays an SMTP session between the client and the real sendmail, which runs as a child. It never waits for one side while
//! there is work for the other.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use crate::message::session::{DataEnd, Session};
use crate::report::Code;
use crate::submission::intake::{PIECE, Source};
use crate::wrapper::child::Child;
use crate::wrapper::handoff::{Call, HandoffError, Real};
use crate::wrapper::privilege::Dropped;

/// How many bytes can be written without blocking to any pipe or socket that poll(2) reports as ready (`PIPE_BUF`). Standard
/// output is not made non-blocking, because that would also change it for the caller.
const WRITE: usize = 4096;

/// How long to wait for the reply to DATA if the client has already sent more, in milliseconds. This should never matter, because
/// a server answers each command.
const PATIENCE: i32 = 300_000;

/// The session and its two sides.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    real: &'a Real,
    call: &'a Call,
    dropped: Dropped,
    pub(super) session: Session,
    child: Child,
    /// Bytes of the client that were not processed yet.
    from_client: Vec<u8>,
    to_client: Vec<u8>,
    to_child: Vec<u8>,
    client_left: bool,
    /// Bytes of the message that were not read yet.
    content: Vec<u8>,
    /// How the last message ended.
    pub(super) end: DataEnd,
    piece: Vec<u8>,
}

/// What follows in the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Message,
    /// The rest of the session is relayed unchanged.
    NotFollowed,
    Over,
}

#[derive(Clone, Copy, Debug)]
enum Side {
    FromClient,
    ToClient,
    FromChild,
    ToChild,
}

impl<'a> Relay<'a> {
    /// Starts the real sendmail. After an error nothing was read, so that standard input can still be passed on untouched.
    pub(super) fn start(
        real: &'a Real,
        call: &'a Call,
        dropped: Dropped,
    ) -> Result<Self, (HandoffError, Dropped)> {
        let child = match Child::of_session(real, call, &dropped) {
            Ok(child) => child,
            Err(error) => return Err((error, dropped)),
        };
        Ok(Self {
            real,
            call,
            dropped,
            session: Session::default(),
            child,
            from_client: Vec::new(),
            to_client: Vec::new(),
            to_child: Vec::new(),
            client_left: false,
            content: Vec::new(),
            end: DataEnd::NotYet,
            piece: vec![0; PIECE],
        })
    }

    /// Relays up to the next message. `is_reported`: [`Next::NotFollowed`] was returned before.
    pub(super) fn next(&mut self, is_reported: bool) -> Next {
        loop {
            if self.to_child.is_empty() {
                let taken = self.session.client(&self.from_client, &mut self.to_child);
                self.from_client.drain(..taken);
            }
            if self.session.is_in_data() {
                return Next::Message;
            }
            if self.session.not_followed().is_some() && !is_reported {
                return Next::NotFollowed;
            }
            if self.child.output.is_none() && self.to_client.is_empty() {
                return Next::Over;
            }
            if self.client_left && self.from_client.is_empty() && self.to_child.is_empty() {
                self.child.input = None;
            }
            if self.wait_and_serve(true).is_err() {
                return Next::Over;
            }
        }
    }

    /// Waits until one side is ready, and serves it.
    fn wait_and_serve(&mut self, hears_client: bool) -> Result<(), Errno> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let hears_client = hears_client && !self.client_left && self.from_client.is_empty();
        let Child { input, output, .. } = &self.child;
        let from_client = input.as_ref().filter(|_| hears_client).map(|_| stdin.as_fd());
        let to_client = (!self.to_client.is_empty()).then(|| stdout.as_fd());
        let to_child = input.as_ref().filter(|_| !self.to_child.is_empty()).map(AsFd::as_fd);
        // A client that does not read is not read from either; the real sendmail would do the same.
        let from_child = output.as_ref().filter(|_| self.to_client.len() < PIECE).map(AsFd::as_fd);
        let sides = [
            (Side::FromClient, from_client, PollFlags::POLLIN),
            (Side::ToClient, to_client, PollFlags::POLLOUT),
            (Side::ToChild, to_child, PollFlags::POLLOUT),
            (Side::FromChild, from_child, PollFlags::POLLIN),
        ];
        let open = sides.into_iter().filter_map(|(side, fd, flags)| {
            let fd = PollFd::new(fd?, flags);
            Some((side, fd))
        });
        let (sides, mut fds): (Vec<_>, Vec<_>) = open.unzip();
        if fds.is_empty() {
            return Err(Errno::EPIPE);
        }
        let is_held =
            self.session.is_waiting() && (self.client_left || !self.from_client.is_empty());
        let timeout = if is_held { PATIENCE } else { -1 };
        match poll(&mut fds, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::NONE)) {
            Ok(0) => self.session.give_up(),
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        let is_ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        for (side, is_ready) in sides.into_iter().zip(is_ready) {
            if is_ready {
                self.serve(side);
            }
        }
        Ok(())
    }

    /// Reads from one side, or writes to it.
    fn serve(&mut self, side: Side) {
        let done = match side {
            Side::FromClient => read(io::stdin().as_fd(), &mut self.piece),
            Side::ToClient => {
                let bytes = self.to_client.get(..WRITE).unwrap_or(&self.to_client);
                write(io::stdout().as_fd(), bytes)
            }
            Side::FromChild => {
                let Some(output) = &self.child.output else { return };
                read(output, &mut self.piece)
            }
            Side::ToChild => {
                let Some(input) = &self.child.input else { return };
                write(input, &self.to_child)
            }
        };
        // An error counts as the end of this side.
        let length = match done {
            Err(Errno::EAGAIN | Errno::EINTR) => return,
            done => done.unwrap_or(0),
        };
        let bytes = self.piece.get(..length).unwrap_or_default();
        match (side, length) {
            (Side::FromClient, 0) => self.client_left = true,
            (Side::FromClient, _) => self.from_client.extend_from_slice(bytes),
            // The real sendmail notices it when it writes, as it would without this program.
            (Side::ToClient, 0) => {
                self.to_client.clear();
                self.child.output = None;
            }
            (Side::ToClient, _) => drop(self.to_client.drain(..length)),
            (Side::FromChild, 0) => {
                self.child.output = None;
                self.session.server_ended(&mut self.to_client);
            }
            (Side::FromChild, _) => self.session.server(bytes, &mut self.to_client),
            (Side::ToChild, 0) => {
                self.to_child.clear();
                self.child.input = None;
            }
            (Side::ToChild, _) => drop(self.to_child.drain(..length)),
        }
    }

    /// Sends bytes to the real sendmail.
    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to_child.extend_from_slice(bytes);
        while !self.to_child.is_empty() {
            self.wait_and_serve(false)?;
        }
        if self.child.input.is_none() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// Ends the message for the real sendmail, with the line that the client sent or with another line.
    pub(super) fn end_data(&mut self, line: Option<&[u8]>) -> io::Result<()> {
        // The line is empty if the client has left in the middle: the real sendmail sees that the message is incomplete.
        let sent = self.session.data_end().to_vec();
        self.put(line.unwrap_or(&sent))?;
        let end = std::mem::replace(&mut self.end, DataEnd::NotYet);
        self.session.end_data(end);
        Ok(())
    }

    /// Replies to the message instead of the real sendmail. The child that waits for the message is replaced by a new one,
    /// because there is no way to tell it that the message does not follow.
    pub(super) fn refuse(&mut self, reply: &str) -> Result<(), HandoffError> {
        self.child.wait();
        self.child = Child::of_session(self.real, self.call, &self.dropped)?;
        self.end = DataEnd::NotYet;
        self.to_client.extend_from_slice(reply.as_bytes());
        self.session.begin_again(&mut self.to_child);
        Ok(())
    }

    /// Ends the session inside a message, so that the child does not take its part of the message for a complete one.
    pub(super) fn hang_up(&mut self, reply: &str) {
        self.child.input = None;
        self.to_child.clear();
        self.to_client.extend_from_slice(reply.as_bytes());
        self.session = Session::default();
        self.from_client.clear();
        self.client_left = true;
    }

    /// Waits for the child and returns its exit code.
    pub(super) fn finish(self) -> Code {
        self.child.end()
    }
}

/// The current message of the client.
#[derive(Debug)]
pub(super) struct Data<'r, 'a>(pub(super) &'r mut Relay<'a>);

impl Source for Data<'_, '_> {
    fn read(&mut self, piece: &mut [u8]) -> Result<usize, Errno> {
        let relay = &mut *self.0;
        loop {
            if !relay.content.is_empty() {
                let read = io::Read::read(&mut relay.content.as_slice(), piece);
                let length = read.unwrap_or_default();
                drop(relay.content.drain(..length));
                return Ok(length);
            }
            if relay.end != DataEnd::NotYet {
                return Ok(0);
            }
            if !relay.from_client.is_empty() {
                let (taken, end) = relay.session.data(&relay.from_client, &mut relay.content);
                relay.from_client.drain(..taken);
                relay.end = end;
            } else if relay.client_left {
                return Ok(0);
            } else if relay.child.output.is_none() || relay.child.input.is_none() {
                return Err(Errno::EPIPE);
            } else {
                relay.wait_and_serve(true)?;
            }
        }
    }
}
