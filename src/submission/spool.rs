//! Octets on their way: in memory while there are few, in an unlinked file once there are many. The
//! file keeps room in front, so that a header can be put before the body without moving the body.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;

use crate::wrapper::signals;

/// What fits is handed over in a pipe: as large as an ordinary user may make one.
pub(crate) const SMALL: usize = 1 << 20;

/// Room before the octets in a file.
const GAP: usize = 64 << 10;

/// Octets of a file that are read, and where they are encoded written, at a time.
const READ: usize = 256 << 10;

/// Where the file may be. SELinux lets mail programs write to both; the first is on a disk.
const FOLDERS: [&str; 2] = ["/var/tmp", "/tmp"];

/// Octets that were put in, in order.
#[derive(Debug)]
pub(crate) enum Spool {
    /// Fewer than [`SMALL`].
    Memory(Vec<u8>),
    /// Any number, from offset [`GAP`] on.
    File(File),
}

/// Something to be read by the real sendmail from its offset on; nothing more can be written.
#[derive(Debug)]
pub(crate) struct Sealed(pub(crate) SealedIn);

#[derive(Debug)]
pub(crate) enum SealedIn {
    Memory(Vec<u8>),
    File(File),
    /// Standard input is still there, at the offset where it was.
    Untouched,
}

impl Spool {
    pub(crate) fn new() -> Self {
        Self::Memory(Vec::new())
    }

    /// Appends. After an error the octets are not in, and all that were in before still are.
    pub(crate) fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory(memory) if memory.len().saturating_add(octets.len()) <= SMALL => {
                memory.extend_from_slice(octets);
                Ok(())
            }
            Self::Memory(memory) => {
                let mut file = create()?;
                // Blocks for the room in front now: later there must be no want of them.
                write_all(&mut file, &[0; GAP])?;
                write_all(&mut file, memory)?;
                write_all(&mut file, octets)?;
                *self = Self::File(file);
                Ok(())
            }
            Self::File(file) => {
                let end = file.stream_position()?;
                write_all(file, octets).inspect_err(|_| {
                    // Half of the octets may be there: the next reader must not see them.
                    drop(file.set_len(end));
                    drop(file.seek(SeekFrom::Start(end)));
                })
            }
        }
    }

    /// Gives all octets from `offset` on to `take`, in pieces.
    pub(crate) fn read(
        &self,
        offset: u64,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Memory(memory) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                memory.get(offset..).unwrap_or_default().chunks(READ).try_for_each(take)
            }
            Self::File(file) => {
                let mut piece = vec![0; READ];
                let mut at = offset.saturating_add(GAP as u64);
                loop {
                    let read = match file.read_at(&mut piece, at) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        read => read?,
                    };
                    if read == 0 {
                        return Ok(());
                    }
                    take(piece.get(..read).unwrap_or_default())?;
                    at = at.saturating_add(read as u64);
                }
            }
        }
    }

    /// How many octets were put in.
    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Memory(memory) => Ok(memory.len() as u64),
            Self::File(file) => Ok(file.metadata()?.len().saturating_sub(GAP as u64)),
        }
    }

    /// The octets as they were put in.
    pub(crate) fn seal(self) -> Result<Sealed, (Self, io::Error)> {
        match self {
            Self::Memory(memory) => Ok(Sealed(SealedIn::Memory(memory))),
            Self::File(mut file) => match file.seek(SeekFrom::Start(GAP as u64)) {
                Ok(_) => Ok(Sealed(SealedIn::File(file))),
                Err(error) => Err((Self::File(file), error)),
            },
        }
    }

    /// `head` in place of the octets before `from`, and the rest up to `to` (and an LF, where one is
    /// missing there). The octets from `from` on are not moved. After an error all is as before.
    pub(crate) fn seal_with(
        self,
        head: &[u8],
        from: u64,
        to: u64,
    ) -> Result<Sealed, (Self, io::Error)> {
        match self {
            Self::Memory(memory) => {
                let place = usize::try_from(from).ok().zip(usize::try_from(to).ok());
                let body = place.and_then(|(from, to)| memory.get(from..to)).unwrap_or_default();
                let mut whole =
                    Vec::with_capacity(head.len().saturating_add(body.len()).saturating_add(1));
                whole.extend_from_slice(head);
                whole.extend_from_slice(body);
                if whole.last() != Some(&b'\n') {
                    whole.push(b'\n');
                }
                Ok(Sealed(SealedIn::Memory(whole)))
            }
            Self::File(mut file) => match put_head(&mut file, head, from, to) {
                Ok(()) => Ok(Sealed(SealedIn::File(file))),
                Err(error) => Err((Self::File(file), error)),
            },
        }
    }

    /// Whether `head` fits before the octet at `from` without moving anything.
    pub(crate) fn has_room(&self, head: &[u8], from: u64) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::File(_) => head.len() as u64 <= from.saturating_add(GAP as u64),
        }
    }
}

fn put_head(file: &mut File, head: &[u8], from: u64, to: u64) -> io::Result<()> {
    let gap = GAP as u64;
    let (from, to) = (from.saturating_add(gap), to.saturating_add(gap));
    let begin = from.checked_sub(head.len() as u64).ok_or(Errno::ENOSPC)?;
    let mut before = vec![0; head.len()];
    file.read_exact_at(&mut before, begin)?;
    let end = file.stream_position()?;
    let put = || -> io::Result<()> {
        file.write_all_at(head, begin)?;
        let mut last = [b'\n'];
        if to > from {
            file.read_exact_at(&mut last, to.saturating_sub(1))?;
        }
        if last != [b'\n'] {
            file.write_all_at(b"\n", to)?;
        }
        Ok(())
    };
    if let Err(error) = put() {
        // These blocks are there: the octets go back.
        file.write_all_at(&before, begin)?;
        file.set_len(end)?;
        return Err(error);
    }
    file.seek(SeekFrom::Start(begin))?;
    Ok(())
}

/// A file without a name, for this user only.
pub(crate) fn create() -> io::Result<File> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for folder in FOLDERS {
        match create_in(Path::new(folder)) {
            Ok(file) => return Ok(file),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn create_in(folder: &Path) -> io::Result<File> {
    let open = |flags: OFlag, path: &Path, new: bool| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(new).mode(0o600).custom_flags(flags.bits());
        options.open(path)
    };
    match open(OFlag::O_TMPFILE, folder, false) {
        Ok(file) => return Ok(file),
        // File systems without O_TMPFILE (NFS, old overlays).
        Err(error) if is_unsupported(&error) => {}
        Err(error) => return Err(error),
    }
    for attempt in 0..100 {
        let name = format!(".sendmail-dkim.{}.{attempt}", std::process::id());
        let path = folder.join(name);
        match open(OFlag::O_NOFOLLOW, &path, true) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn is_unsupported(error: &io::Error) -> bool {
    const NONE: [Errno; 3] = [Errno::EOPNOTSUPP, Errno::EISDIR, Errno::ENOENT];
    error.raw_os_error().is_some_and(|number| NONE.contains(&Errno::from_raw(number)))
}

/// Writes under `RLIMIT_FSIZE` too: there the kernel sends SIGXFSZ, which would end us and the message.
pub(crate) fn write_all(file: &mut File, octets: &[u8]) -> io::Result<()> {
    signals::without(Signal::SIGXFSZ, || file.write_all(octets))
}

impl Sealed {
    /// Standard input, which nobody has read.
    pub(crate) fn untouched() -> Self {
        Self(SealedIn::Untouched)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn content(sealed: Sealed) -> Vec<u8> {
        match sealed.0 {
            SealedIn::Memory(memory) => memory,
            SealedIn::File(mut file) => {
                let mut text = Vec::new();
                file.read_to_end(&mut text).unwrap();
                text
            }
            SealedIn::Untouched => panic!(),
        }
    }

    fn filled(octets: &[u8]) -> Spool {
        let mut spool = Spool::new();
        for piece in octets.chunks(100_000) {
            spool.append(piece).unwrap();
        }
        spool
    }

    /// One that fits in memory and one that does not.
    fn sizes() -> [Vec<u8>; 2] {
        [1_000, SMALL + 1_000].map(|size| (0..=250).cycle().take(size).collect())
    }

    #[test]
    fn what_was_put_in_comes_out() {
        for octets in sizes() {
            let spool = filled(&octets);
            let mut read = Vec::new();
            spool
                .read(10, |piece| {
                    read.extend_from_slice(piece);
                    Ok(())
                })
                .unwrap();
            assert_eq!(read, &octets[10..]);
            assert_eq!(content(spool.seal().unwrap()), octets);
        }
    }

    #[test]
    fn a_head_takes_the_place_of_what_is_before_the_body() {
        for octets in sizes() {
            for length in [0, 5, 20, 60_000] {
                let head = vec![b'h'; length];
                let sealed = filled(&octets).seal_with(&head, 10, octets.len() as u64).unwrap();
                let wanted = [&head, &octets[10..], b"\n"].concat();
                assert_eq!(content(sealed), wanted, "{length}");
            }
        }
    }

    #[test]
    fn a_line_end_that_is_there_is_not_added() {
        let sealed = filled(b"A: b\n\nx\n").seal_with(b"C: d\n\n", 6, 8).unwrap();
        assert_eq!(content(sealed), b"C: d\n\nx\n");
        let sealed = filled(b"A: b\n\n").seal_with(b"C: d\n\n", 6, 6).unwrap();
        assert_eq!(content(sealed), b"C: d\n\n");
    }

    #[test]
    fn a_head_without_room_is_seen_before() {
        let large = filled(&sizes()[1]);
        assert!(large.has_room(&vec![0; GAP + 10], 10));
        assert!(!large.has_room(&vec![0; GAP + 11], 10));
    }
}
