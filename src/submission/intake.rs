//! Reads one message once from its source, stores it unchanged, and passes it to the reader at the same time.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Range;

use nix::errno::Errno;

use super::spool::{Sealed, Spool};
use crate::message::body;
use crate::message::reader::{Reader, Step};

/// How many bytes are read at a time: the capacity of a pipe.
pub(crate) const PIECE: usize = 64 << 10;

/// How many bytes are read at first: most messages are small, and each page of memory costs a page fault.
const FIRST: usize = 4 << 10;

/// Where the bytes of a message come from.
pub(crate) trait Source {
    /// Waits for bytes and reads some. Returns how many, 0 at the end of the message.
    fn read(&mut self, piece: &mut [u8]) -> Result<usize, Errno>;
}

/// One message and how far it was read.
#[derive(Debug)]
pub(crate) struct Intake<S> {
    source: S,
    spool: Spool,
    /// How many bytes are stored, and the most that are.
    kept: u64,
    most: u64,
    piece: Vec<u8>,
    /// The bytes of `piece` that the reader has not read yet.
    unread: Range<usize>,
    state: State,
    reader: Reader,
    body: Vec<u8>,
    /// Whether [`body::replace_stray_crs`] changed the body.
    is_settled: bool,
}

/// How far the message was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The reader reads each piece and finds the end of the message.
    Reading,
    /// The reader has stopped or failed: the rest of the input belongs to the message.
    Raw,
    /// The last piece could not be stored: only `piece` has it, as `unread`.
    Full,
    /// The message was read to its end.
    Ended,
}

/// The message cannot be read or stored. The system causes this error.
#[derive(Debug)]
pub(crate) enum IntakeError {
    /// Standard input cannot be read to its end, so the message is incomplete.
    Read(Errno),
    /// There is no memory or disk space for it.
    Keep(io::Error),
    /// It is larger than the real sendmail accepts, so the rest of it is not stored.
    TooLarge,
}

impl fmt::Display for IntakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read(_) => "cannot read the message from standard input",
            Self::Keep(_) => "no room for the message",
            Self::TooLarge => "the message is larger than message_size_limit",
        })
    }
}

impl Error for IntakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(errno) => Some(errno),
            Self::Keep(error) => Some(error),
            Self::TooLarge => None,
        }
    }
}

impl<S: Source> Intake<S> {
    /// At most `most` bytes of the message are stored.
    pub(crate) fn new(source: S, reader: Reader, most: u64) -> Self {
        Self {
            source,
            spool: Spool::new(),
            kept: 0,
            most,
            piece: vec![0; FIRST],
            unread: 0..0,
            state: State::Reading,
            reader,
            body: Vec::new(),
            is_settled: false,
        }
    }

    /// Where the bytes come from.
    pub(crate) fn source(&mut self) -> &mut S {
        &mut self.source
    }

    /// How many bytes were read and stored.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    /// Whether the message was read to its end.
    pub(crate) fn is_read(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether no byte was read from the source.
    pub(crate) fn is_untouched(&self) -> bool {
        self.kept == 0 && self.state != State::Full
    }

    /// Reads up to the end of the header and returns the header section. `None` if it is too large.
    pub(crate) fn read_header(&mut self) -> Result<Option<&[u8]>, IntakeError> {
        loop {
            match self.feed_reader() {
                Step::HeaderEnds | Step::MessageEnds => break,
                Step::HeaderTooLarge => {
                    self.state = State::Raw;
                    return Ok(None);
                }
                Step::More => {
                    if !self.fill()? {
                        self.finish();
                        break;
                    }
                }
            }
        }
        Ok(Some(self.reader.header()))
    }

    /// Reads the rest of the message. `each` is called with the pieces of the body as it will be sent.
    pub(crate) fn read_body(&mut self, mut each: impl FnMut(&[u8])) -> Result<(), IntakeError> {
        loop {
            self.is_settled |= body::replace_stray_crs(&mut self.body);
            each(&self.body);
            self.body.clear();
            if self.state == State::Ended {
                return Ok(());
            }
            // Bytes that are sent unchanged are not copied.
            let passed = self.reader.pass(part(&self.piece, &self.unread));
            let from = self.unread.start;
            self.unread.start = from.saturating_add(passed);
            each(part(&self.piece, &(from..self.unread.start)));
            if self.feed_reader() == Step::More && self.body.is_empty() && !self.fill()? {
                self.finish();
            }
        }
    }

    /// Passes the unread bytes to the reader.
    fn feed_reader(&mut self) -> Step {
        let bytes = part(&self.piece, &self.unread);
        let (length, step) = self.reader.feed(bytes, &mut self.body);
        self.unread.start = self.unread.start.saturating_add(length);
        if step == Step::MessageEnds {
            self.state = State::Ended;
        }
        step
    }

    fn finish(&mut self) {
        self.reader.finish(&mut self.body);
        self.state = State::Ended;
    }

    /// Reads and stores the next piece. Returns false at the end of the input.
    fn fill(&mut self) -> Result<bool, IntakeError> {
        if self.unread.end == self.piece.len() {
            self.piece.resize(PIECE, 0);
        }
        let length = self.source.read(&mut self.piece).map_err(IntakeError::Read)?;
        self.unread = 0..length;
        let kept = self.kept.saturating_add(length as u64);
        let appended = if kept > self.most {
            Err(IntakeError::TooLarge)
        } else {
            let bytes = part(&self.piece, &self.unread);
            self.spool.append(bytes).map_err(IntakeError::Keep)
        };
        appended.inspect_err(|_| self.state = State::Full)?;
        self.kept = kept;
        Ok(length > 0)
    }

    /// The reader failed: the rest of the input belongs to the message.
    pub(crate) fn distrust_reader(&mut self) {
        if self.state == State::Reading {
            self.state = State::Raw;
        }
    }

    /// The message as it was submitted.
    pub(crate) fn seal_original(&mut self) -> Result<Sealed, IntakeError> {
        match self.state {
            State::Full => return Err(IntakeError::Keep(io::ErrorKind::StorageFull.into())),
            // Use the reader, so that a user at a terminal can end the message with a line containing a single dot.
            State::Reading => self.read_body(|_| {})?,
            State::Raw => while self.fill()? {},
            State::Ended => {}
        }
        self.state = State::Ended;
        self.spool.seal().map_err(IntakeError::Keep)
    }

    /// The message with `head` instead of its header section.
    pub(crate) fn seal_signed(&mut self, head: &[u8]) -> Result<Sealed, IntakeError> {
        let place = self.reader.body_in_input().filter(|_| !self.is_settled);
        if let Some((from, to)) = place
            && self.spool.has_room(head, from)
        {
            return self.spool.seal_with(head, from, to).map_err(IntakeError::Keep);
        }
        let mut rebuilt = Spool::new();
        rebuilt
            .append(head)
            .and_then(|()| self.reread_body(|_, text| rebuilt.append(text)))
            .and_then(|()| rebuilt.seal())
            .map_err(IntakeError::Keep)
    }

    /// Reads the body of the stored bytes again, with the same pieces as [`Self::read_body`].
    pub(crate) fn reread_body(
        &mut self,
        mut each: impl FnMut(&mut S, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let source = &mut self.source;
        let mut reader = self.reader.again();
        let mut text = Vec::new();
        let mut has_ended = false;
        self.spool.read(|mut bytes| {
            while !bytes.is_empty() && !has_ended {
                let (passed, rest) = bytes.split_at_checked(reader.pass(bytes)).unwrap_or_default();
                each(source, passed)?;
                let (length, step) = reader.feed(rest, &mut text);
                bytes = rest.get(length..).unwrap_or_default();
                has_ended = step == Step::MessageEnds;
                body::replace_stray_crs(&mut text);
                each(source, &text)?;
                text.clear();
            }
            Ok(())
        })?;
        reader.finish(&mut text);
        body::replace_stray_crs(&mut text);
        each(source, &text)
    }

    /// Passes the original bytes to `write`: first those that were read, then the rest, which `read` reads.
    pub(crate) fn replay(
        &mut self,
        mut write: impl FnMut(&mut S, &[u8]) -> io::Result<()>,
        mut read: impl FnMut(&mut S, &mut [u8]) -> Result<usize, Errno>,
    ) -> io::Result<()> {
        let source = &mut self.source;
        self.spool.read(|bytes| write(source, bytes))?;
        if self.state == State::Full {
            write(source, part(&self.piece, &self.unread))?;
        }
        while self.state != State::Ended {
            let length = read(source, &mut self.piece)?;
            if length == 0 {
                break;
            }
            write(source, part(&self.piece, &(0..length)))?;
        }
        Ok(())
    }
}

/// A part of a piece.
fn part<'a>(piece: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    piece.get(range.clone()).unwrap_or_default()
}
