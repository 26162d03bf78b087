//! Stores the bytes of a message: in memory if they are few, else in an unlinked file. The file has room before the first byte,
//! so that a header can be written before the body without moving the body.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::mem;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The most bytes that are kept in memory and passed on in a pipe. An ordinary user may have a pipe of this size.
const SMALL: usize = 1 << 20;

/// Room before the first byte in a file, in bytes.
const GAP: usize = 64 << 10;

/// How many bytes are read at a time, so that they stay in the processor's cache.
const READ: usize = 64 << 10;

/// Bytes in the order in which they were appended.
#[derive(Debug)]
pub(crate) enum Spool {
    /// At most [`SMALL`].
    Memory(Vec<u8>),
    /// Any number of bytes, from offset [`GAP`] on.
    File(File),
}

/// A message for the real sendmail; nothing more can be appended.
#[derive(Debug)]
pub(crate) enum Sealed {
    /// The whole message.
    Memory(Vec<u8>),
    /// The message begins at the current offset of the file.
    File(File),
}

impl Spool {
    pub(crate) fn new() -> Self {
        Self::Memory(Vec::new())
    }

    /// Appends the bytes. After an error none of them is there.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory(memory) if memory.len().saturating_add(bytes.len()) <= SMALL => {
                memory.extend_from_slice(bytes);
                Ok(())
            }
            Self::Memory(memory) => {
                let mut file = create()?;
                // Preallocates the room, so that writing the header later cannot fail with ENOSPC.
                write_all(&mut file, &[0; GAP], Signal::SIGXFSZ)?;
                write_all(&mut file, memory, Signal::SIGXFSZ)?;
                write_all(&mut file, bytes, Signal::SIGXFSZ)?;
                *self = Self::File(file);
                Ok(())
            }
            Self::File(file) => {
                let end = file.stream_position()?;
                write_all(file, bytes, Signal::SIGXFSZ).inspect_err(|_| {
                    // Some of the bytes may have been written.
                    drop(file.set_len(end));
                    drop(file.seek(SeekFrom::Start(end)));
                })
            }
        }
    }

    /// Passes all bytes to `each`, in pieces.
    pub(crate) fn read(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Memory(memory) => memory.chunks(READ).try_for_each(each),
            Self::File(file) => {
                let mut piece = vec![0; READ];
                let mut at = GAP as u64;
                loop {
                    let read = match file.read_at(&mut piece, at) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        read => read?,
                    };
                    if read == 0 {
                        return Ok(());
                    }
                    each(piece.get(..read).unwrap_or_default())?;
                    at = at.saturating_add(read as u64);
                }
            }
        }
    }

    /// How many bytes were appended.
    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Memory(memory) => Ok(memory.len() as u64),
            Self::File(file) => Ok(file.metadata()?.len().saturating_sub(GAP as u64)),
        }
    }

    /// Ends writing; the content is the appended bytes. After an error the spool is unchanged.
    pub(crate) fn seal(&mut self) -> io::Result<Sealed> {
        if let Self::File(file) = self {
            file.seek(SeekFrom::Start(GAP as u64))?;
        }
        Ok(self.sealed())
    }

    /// Ends writing; the content is `head`, the bytes `from..to`, and an LF if the last byte is not one. In a file the bytes
    /// after `from` are not moved. After an error the spool is unchanged.
    pub(crate) fn seal_with(&mut self, head: &[u8], from: u64, to: u64) -> io::Result<Sealed> {
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
                *memory = whole;
            }
            Self::File(file) => put_head(file, head, from, to)?,
        }
        Ok(self.sealed())
    }

    /// The content. The spool is empty afterwards.
    fn sealed(&mut self) -> Sealed {
        match mem::replace(self, Self::new()) {
            Self::Memory(memory) => Sealed::Memory(memory),
            Self::File(file) => Sealed::File(file),
        }
    }

    /// Whether `head` fits before the byte at `from` without moving other bytes.
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
        // The file system needs no new block for these bytes.
        file.write_all_at(&before, begin)?;
        file.set_len(end)?;
        return Err(error);
    }
    file.seek(SeekFrom::Start(begin))?;
    Ok(())
}

/// Creates an unnamed file that only this user can open. SELinux allows mail programs to write to both directories; the first one
/// is on a disk.
pub(crate) fn create() -> io::Result<File> {
    create_in(Path::new("/var/tmp")).or_else(|_| create_in(Path::new("/tmp")))
}

fn create_in(folder: &Path) -> io::Result<File> {
    let open = |flags: OFlag, path: &Path, new: bool| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(new).mode(0o600).custom_flags(flags.bits());
        options.open(path)
    };
    match open(OFlag::O_TMPFILE, folder, false) {
        Ok(file) => return Ok(file),
        // Some file systems do not support O_TMPFILE (NFS, old overlays).
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

/// Writes all bytes. A failure is returned as an error; the signal `raised` does not end this process. It is SIGXFSZ
/// (setrlimit(2), `RLIMIT_FSIZE`), or SIGPIPE if the file is a pipe.
pub(crate) fn write_all(file: &mut File, bytes: &[u8], raised: Signal) -> io::Result<()> {
    let set = SigSet::from(raised);
    let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let result = file.write_all(bytes);
    if result.is_err() {
        // The signal is pending. It must be consumed before it is unblocked, here or after exec.
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let _: Result<_, Errno> = signals.read_signal();
    }
    before.thread_set_mask()?;
    result
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn content(sealed: Sealed) -> Vec<u8> {
        match sealed {
            Sealed::Memory(memory) => memory,
            Sealed::File(mut file) => {
                let mut text = Vec::new();
                file.read_to_end(&mut text).unwrap();
                text
            }
        }
    }

    fn filled(bytes: &[u8]) -> Spool {
        let mut spool = Spool::new();
        for piece in bytes.chunks(100_000) {
            spool.append(piece).unwrap();
        }
        spool
    }

    /// Contents that fit in memory, and contents that do not.
    fn sizes() -> [Vec<u8>; 2] {
        [1_000, SMALL + 1_000].map(|size| (0..=250).cycle().take(size).collect())
    }

    #[test]
    fn what_was_put_in_comes_out() {
        for bytes in sizes() {
            let mut spool = filled(&bytes);
            let mut read = Vec::new();
            spool
                .read(|piece| {
                    read.extend_from_slice(piece);
                    Ok(())
                })
                .unwrap();
            assert_eq!(read, bytes);
            assert_eq!(content(spool.seal().unwrap()), bytes);
        }
    }

    #[test]
    fn a_head_replaces_the_bytes_before_the_body() {
        for bytes in sizes() {
            for length in [0, 5, 20, 60_000] {
                let head = vec![b'h'; length];
                let sealed = filled(&bytes).seal_with(&head, 10, bytes.len() as u64).unwrap();
                let wanted = [&head, &bytes[10..], b"\n"].concat();
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
