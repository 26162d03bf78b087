//! An SMTP session between the client and the real sendmail, which runs as a child. Neither side is waited for while something
//! can be done for the other.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use crate::message::session::{DataEnd, Session};
use crate::report::Code;
use crate::submission::intake::{PIECE, Source};
use crate::wrapper::child::Child;
use crate::wrapper::handoff::{Call, HandoffError, Real};
use crate::wrapper::privilege::Dropped;

/// What can be written to any pipe or socket that is said to be ready, without having to wait (`PIPE_BUF`).
/// Ours is the blocking kind: it belongs to the caller, too, who would find it changed.
const SURELY: usize = 4096;

/// How long the child may take to answer DATA when the client says more before. Milliseconds; it has never
/// been seen to matter, as a server answers each line.
const PATIENCE: i32 = 300_000;

/// The session and its two sides.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    real: &'a Real,
    call: &'a Call,
    dropped: Dropped,
    pub(super) session: Session,
    child: Child,
    /// What the client said, as far as nothing was done with it.
    from_client: Vec<u8>,
    to_client: Vec<u8>,
    to_child: Vec<u8>,
    client_left: bool,
    /// Octets of a message that were found, and not given out.
    content: Vec<u8>,
    end: DataEnd,
    piece: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Message,
    /// The rest of the session is not looked at.
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

impl Side {
    fn wait(self, fd: BorrowedFd<'_>) -> (Self, PollFd<'_>) {
        let flags = match self {
            Self::FromClient | Self::FromChild => PollFlags::POLLIN,
            Self::ToClient | Self::ToChild => PollFlags::POLLOUT,
        };
        (self, PollFd::new(fd, flags))
    }
}

impl<'a> Relay<'a> {
    /// Nothing has been read where it fails: another way may be taken.
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

    /// Passes on what is no message. `is_reported`: that was said already.
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
            if self.turn(true).is_err() {
                return Next::Over;
            }
        }
    }

    /// Waits until something can be done, and does it.
    fn turn(&mut self, hears_client: bool) -> Result<(), Errno> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let mut sides = Vec::with_capacity(4);
        let takes_more = self.child.input.is_some() && self.from_client.is_empty();
        if hears_client && !self.client_left && takes_more {
            sides.push(Side::FromClient.wait(stdin.as_fd()));
        }
        if !self.to_client.is_empty() {
            sides.push(Side::ToClient.wait(stdout.as_fd()));
        }
        if let Some(input) = self.child.input.as_ref().filter(|_| !self.to_child.is_empty()) {
            sides.push(Side::ToChild.wait(input.as_fd()));
        }
        // A client that does not listen is let wait, as it would be by the real one.
        if let Some(output) = self.child.output.as_ref().filter(|_| self.to_client.len() < PIECE) {
            sides.push(Side::FromChild.wait(output.as_fd()));
        }
        if sides.is_empty() {
            return Err(Errno::EPIPE);
        }
        let (sides, mut fds): (Vec<_>, Vec<_>) = sides.into_iter().unzip();
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

    fn serve(&mut self, side: Side) {
        let again = |errno: &Errno| matches!(errno, Errno::EAGAIN | Errno::EINTR);
        match side {
            Side::FromClient => match read(io::stdin().as_fd(), &mut self.piece) {
                Err(errno) if again(&errno) => {}
                Ok(0) | Err(_) => self.client_left = true,
                Ok(length) => {
                    self.from_client
                        .extend_from_slice(self.piece.get(..length).unwrap_or_default());
                }
            },
            Side::FromChild => {
                let Some(output) = &self.child.output else { return };
                match read(output, &mut self.piece) {
                    Err(errno) if again(&errno) => {}
                    Ok(0) | Err(_) => {
                        self.child.output = None;
                        self.session.server_ended(&mut self.to_client);
                    }
                    Ok(length) => {
                        let octets = self.piece.get(..length).unwrap_or_default();
                        self.session.server(octets, &mut self.to_client);
                    }
                }
            }
            Side::ToClient => {
                let octets = self.to_client.get(..SURELY).unwrap_or(&self.to_client);
                match write(io::stdout().as_fd(), octets) {
                    Err(errno) if again(&errno) => {}
                    // The real one is to find out as it would by itself: when it says something.
                    Err(_) => {
                        self.to_client.clear();
                        self.child.output = None;
                    }
                    Ok(length) => drop(self.to_client.drain(..length)),
                }
            }
            Side::ToChild => {
                let Some(input) = &self.child.input else { return };
                match write(input, &self.to_child) {
                    Err(errno) if again(&errno) => {}
                    Err(_) => {
                        self.to_child.clear();
                        self.child.input = None;
                    }
                    Ok(length) => drop(self.to_child.drain(..length)),
                }
            }
        }
    }

    /// Gives octets to the real sendmail.
    pub(super) fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.to_child.extend_from_slice(octets);
        while !self.to_child.is_empty() {
            self.turn(false)?;
        }
        if self.child.input.is_none() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// How the message ended that was read.
    pub(super) fn end(&self) -> DataEnd {
        self.end
    }

    /// The message was given in the form in which it came; now how it ended. Where the client has left in
    /// the middle, the real one gets as much, and sees that it is not all.
    pub(super) fn end_original(&mut self) -> io::Result<()> {
        let line = self.session.data_end().to_vec();
        self.put(&line)?;
        self.ended();
        Ok(())
    }

    /// The message was given in a form of our own.
    pub(super) fn end_signed(&mut self) -> io::Result<()> {
        self.put(b".\r\n")?;
        self.ended();
        Ok(())
    }

    fn ended(&mut self) {
        let end = std::mem::replace(&mut self.end, DataEnd::NotYet);
        self.session.end_data(end);
    }

    /// Answers the message by itself, and goes on with another child: the one that waits for the message can
    /// be told in no other way that it does not get it.
    pub(super) fn refuse(&mut self, reply: &str) -> Result<(), HandoffError> {
        self.child.wait();
        self.child = Child::of_session(self.real, self.call, &self.dropped)?;
        self.end = DataEnd::NotYet;
        self.to_client.extend_from_slice(reply.as_bytes());
        self.session.begin_again(&mut self.to_child);
        Ok(())
    }

    /// Ends the session inside a message, of which the child must not take what it has for all.
    pub(super) fn hang_up(&mut self, reply: &str) {
        self.child.input = None;
        self.to_child.clear();
        self.to_client.extend_from_slice(reply.as_bytes());
        self.session = Session::default();
        self.from_client.clear();
        self.client_left = true;
    }

    /// Waits for the child; its end is ours.
    pub(super) fn finish(self) -> Code {
        self.child.end()
    }
}

/// The message that comes next, as it comes.
#[derive(Debug)]
pub(super) struct Data<'r, 'a>(pub(super) &'r mut Relay<'a>);

impl Source for Data<'_, '_> {
    fn read(&mut self, piece: &mut [u8]) -> Result<usize, Errno> {
        let relay = &mut *self.0;
        loop {
            if !relay.content.is_empty() {
                let length = relay.content.len().min(piece.len());
                for (place, octet) in piece.iter_mut().zip(relay.content.drain(..length)) {
                    *place = octet;
                }
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
                relay.turn(true)?;
            }
        }
    }
}
