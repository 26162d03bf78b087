//! The message on standard input, or inside a session: read once, kept as it came, and given to the
//! reader on the way.

use std::error;
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use nix::errno::Errno;

use super::spool::{Sealed, Spool};
use crate::argv::LoneDot;
use crate::message::body;
use crate::message::reader::{Reader, Step};
use crate::wrapper::stdin::Stdin;

/// Octets asked for at a time: what a pipe holds.
const PIECE: usize = 64 << 10;

/// Octets asked for at first: most messages are small, and each page of room costs a fault.
const FIRST: usize = 4 << 10;

/// Where the octets of a message come from.
pub(crate) trait Source {
    /// Waits for octets and gives some of them. None: the message is over.
    fn read(&mut self, piece: &mut [u8]) -> Result<usize, Errno>;
}

/// One message, as far as it was read.
#[derive(Debug)]
pub(crate) struct Intake<S> {
    source: S,
    spool: Spool,
    /// Bytes that the spool takes.
    most: u64,
    kept: u64,
    piece: Vec<u8>,
    /// The octets of `piece` that the spool has not got.
    unkept: (usize, usize),
    /// The octets of `piece` that the reader has not got.
    unread: (usize, usize),
    reader: Reader,
    body: Vec<u8>,
    /// The body was changed on the way.
    settled: bool,
    ended: bool,
    /// The reader has given up, or is not to be trusted any more.
    raw: bool,
}

/// The message can't be had, or not be kept; the system causes it.
#[derive(Debug)]
pub(crate) enum IntakeError {
    /// Standard input can't be read to its end: the message is not complete.
    Read(Errno),
    /// There is no room for it.
    Keep(io::Error),
    /// It is larger than any that the real sendmail accepts, so no more of it is kept.
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

impl error::Error for IntakeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(match self {
            Self::Read(errno) => errno,
            Self::Keep(error) => error,
            Self::TooLarge => return None,
        })
    }
}

/// How the header ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderRead {
    Complete,
    TooLarge,
}

impl Intake<Stdin> {
    /// The message on standard input.
    pub(crate) fn of_stdin(lone_dot: LoneDot) -> Self {
        Self::new(Stdin::here(), Reader::new(lone_dot))
    }

    /// The message as it was submitted, for the original argv.
    pub(crate) fn seal_original(&mut self) -> Result<Sealed, IntakeError> {
        // What can't be read (a folder as standard input) the real one complains of.
        if self.is_untouched() {
            return Ok(Sealed::untouched());
        }
        if self.source.go_back() {
            return Ok(Sealed::untouched());
        }
        if self.unkept != (0, 0) {
            return Err(IntakeError::Keep(io::ErrorKind::StorageFull.into()));
        }
        self.read_rest()?;
        let spool = std::mem::replace(&mut self.spool, Spool::new());
        spool.seal().map_err(|(spool, error)| {
            self.spool = spool;
            IntakeError::Keep(error)
        })
    }

    /// The same for a child that reads the other end of `pipe`, as long as it does: it may have an answer before
    /// the caller has given all.
    pub(crate) fn replay_to(&mut self, pipe: &File) -> io::Result<()> {
        let write = |_: &mut Stdin, octets: &[u8]| (&*pipe).write_all(octets);
        self.replay_while(write, |stdin| stdin.wait_beside(pipe.as_fd()))
    }
}

impl<S: Source> Intake<S> {
    pub(crate) fn new(source: S, reader: Reader) -> Self {
        Self {
            source,
            spool: Spool::new(),
            most: u64::MAX,
            kept: 0,
            piece: vec![0; FIRST],
            unkept: (0, 0),
            unread: (0, 0),
            reader,
            body: Vec::new(),
            settled: false,
            ended: false,
            raw: false,
        }
    }

    /// Keeps no more than so many bytes of the message; the rest can be had by [`Self::replay`] alone.
    pub(crate) fn keep_at_most(&mut self, most: u64) {
        self.most = self.most.min(most);
    }

    /// Reads up to the end of the header.
    pub(crate) fn read_header(&mut self) -> Result<HeaderRead, IntakeError> {
        loop {
            match self.feed() {
                Step::HeaderEnds | Step::MessageEnds => return Ok(HeaderRead::Complete),
                Step::HeaderTooLarge => {
                    self.raw = true;
                    return Ok(HeaderRead::TooLarge);
                }
                Step::More if !self.fill()? => {
                    self.finish();
                    return Ok(HeaderRead::Complete);
                }
                Step::More => {}
            }
        }
    }

    /// The header section as the reader gives it.
    pub(crate) fn header(&self) -> &[u8] {
        self.reader.header()
    }

    /// Reads the rest; what will be sent of it goes to `take`, in pieces.
    pub(crate) fn read_body(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), IntakeError> {
        loop {
            self.settled |= body::settle(&mut self.body);
            take(&self.body);
            self.body.clear();
            if self.ended {
                return Ok(());
            }
            take(self.pass());
            if self.feed() == Step::More && self.body.is_empty() && !self.fill()? {
                self.finish();
            }
        }
    }

    /// What of the unread octets is body as it stands there.
    fn pass(&mut self) -> &[u8] {
        let (from, to) = self.unread;
        let passed = self.reader.pass(self.piece.get(from..to).unwrap_or_default());
        self.unread.0 = from.saturating_add(passed);
        self.piece.get(from..self.unread.0).unwrap_or_default()
    }

    /// Gives the unread octets to the reader.
    fn feed(&mut self) -> Step {
        let (from, to) = self.unread;
        let octets = self.piece.get(from..to).unwrap_or_default();
        let (taken, step) = self.reader.feed(octets, &mut self.body);
        self.unread.0 = from.saturating_add(taken);
        self.ended |= step == Step::MessageEnds;
        step
    }

    fn finish(&mut self) {
        self.reader.finish(&mut self.body);
        self.ended = true;
    }

    /// Reads the next piece and keeps it. False at the end of the input.
    fn fill(&mut self) -> Result<bool, IntakeError> {
        if self.unread.1 == self.piece.len() {
            self.piece.resize(PIECE, 0);
        }
        let length = self.source.read(&mut self.piece).map_err(IntakeError::Read)?;
        self.unread = (0, length);
        self.unkept = (0, length);
        let kept = self.kept.saturating_add(length as u64);
        if kept > self.most {
            return Err(IntakeError::TooLarge);
        }
        self.kept = kept;
        self.spool
            .append(self.piece.get(..length).unwrap_or_default())
            .map_err(IntakeError::Keep)?;
        self.unkept = (0, 0);
        Ok(length > 0)
    }

    /// Whether nothing has been taken from standard input.
    pub(crate) fn is_untouched(&self) -> bool {
        matches!(&self.spool, Spool::Memory(memory) if memory.is_empty()) && self.unkept == (0, 0)
    }

    /// Reads on to the end of the message, so that a caller at a terminal can end it by a dot.
    fn read_rest(&mut self) -> Result<(), IntakeError> {
        if !self.raw {
            return self.read_body(|_| {});
        }
        while !self.ended && self.fill()? {}
        self.ended = true;
        Ok(())
    }

    /// Where the octets come from.
    pub(crate) fn source(&mut self) -> &mut S {
        &mut self.source
    }

    /// How many octets were read and kept.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    /// The reader failed: from here on all there is to the end of the input is the message.
    pub(crate) fn distrust_reader(&mut self) {
        self.raw = true;
    }

    /// The message with `head` in place of its header section.
    pub(crate) fn seal_signed(&mut self, head: &[u8]) -> Result<Sealed, IntakeError> {
        let place = self.reader.body_in_input().filter(|_| !self.settled);
        if let Some((from, to)) = place
            && self.spool.has_room(head, from)
        {
            let spool = std::mem::replace(&mut self.spool, Spool::new());
            return spool.seal_with(head, from, to).map_err(|(spool, error)| {
                self.spool = spool;
                IntakeError::Keep(error)
            });
        }
        let mut rebuilt = Spool::new();
        let append =
            rebuilt.append(head).and_then(|()| self.body_again(|text| rebuilt.append(text)));
        append.and_then(|()| rebuilt.seal().map_err(|(_, error)| error)).map_err(IntakeError::Keep)
    }

    /// Reads the body of the kept octets once more; what [`Self::read_body`] gave goes to `take`.
    pub(crate) fn body_again(&self, take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        again(&self.spool, self.reader.again(), take)
    }

    /// The same for what needs the source, too.
    pub(crate) fn body_with(
        &mut self,
        mut take: impl FnMut(&mut S, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self { source, spool, reader, .. } = self;
        again(spool, reader.again(), |text| take(source, text))
    }

    /// Gives the original octets to `write`: those that were read, then the rest, as it comes.
    pub(crate) fn replay(
        &mut self,
        write: impl FnMut(&mut S, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.replay_while(write, |_| Ok(()))
    }

    /// The same; `wait` is called before each reading.
    fn replay_while(
        &mut self,
        mut write: impl FnMut(&mut S, &[u8]) -> io::Result<()>,
        mut wait: impl FnMut(&S) -> Result<(), Errno>,
    ) -> io::Result<()> {
        let source = &mut self.source;
        self.spool.read(0, |octets| write(source, octets))?;
        let (from, to) = std::mem::take(&mut self.unkept);
        write(source, self.piece.get(from..to).unwrap_or_default())?;
        while !self.ended {
            wait(source)?;
            let length = source.read(&mut self.piece)?;
            if length == 0 {
                break;
            }
            write(source, self.piece.get(..length).unwrap_or_default())?;
        }
        Ok(())
    }
}

fn again(
    spool: &Spool,
    mut reader: Reader,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut text = Vec::new();
    let mut ended = false;
    spool.read(0, |mut octets| {
        while !octets.is_empty() && !ended {
            let (as_it_is, rest) = octets.split_at_checked(reader.pass(octets)).unwrap_or_default();
            take(as_it_is)?;
            octets = rest;
            let (taken, step) = reader.feed(octets, &mut text);
            octets = octets.get(taken..).unwrap_or_default();
            ended = step == Step::MessageEnds;
            body::settle(&mut text);
            take(&text)?;
            text.clear();
        }
        Ok(())
    })?;
    reader.finish(&mut text);
    body::settle(&mut text);
    take(&text)
}
