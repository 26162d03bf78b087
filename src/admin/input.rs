//! Reads regular files up to a limit. So a FIFO or a device instead of a file cannot block a command, and an endless file cannot
//! fill the memory.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use super::output::Failure;
use crate::submission::configuration::{LARGEST as LARGEST_CONFIGURATION, is_absent};
use crate::wrapper::keyring::LARGEST as LARGEST_KEY;

/// The largest `config.toml`, domain file, record or rotation state, in bytes. The wrapper reads no larger one.
pub(super) const CONFIGURATION: u64 = LARGEST_CONFIGURATION;
/// The largest file of another program, such as a table of `OpenDKIM` or a unit, and of what is known about all domains.
pub(super) const FOREIGN: u64 = 64 << 20;
/// The largest program, in bytes.
pub(super) const PROGRAM: u64 = 512 << 20;
/// The largest message, in bytes.
pub(super) const MESSAGE: u64 = 256 << 20;

/// Opens a regular file.
pub(super) fn open(path: &Path) -> io::Result<File> {
    // O_NONBLOCK: opening a FIFO would block until there is a writer.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Reads a file of at most `largest` bytes.
pub(super) fn read(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    // Room for the whole file: a Vec that grows leaves copies behind, which may contain a key.
    let length = file.metadata()?.len().min(largest);
    let room = usize::try_from(length).unwrap_or_default().saturating_add(32);
    read_into(Vec::with_capacity(room), file, largest)
}

/// Reads a key file; its bytes are wiped when they are dropped.
pub(super) fn key(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    read(path, LARGEST_KEY as u64).map(Zeroizing::new)
}

/// Like [`read`], for text.
pub(super) fn text(path: &Path, largest: u64) -> io::Result<String> {
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text");
    String::from_utf8(read(path, largest)?).map_err(not_text)
}

/// Reads a text file below the configuration directory. `None` if it does not exist.
pub(super) fn optional(path: &Path, largest: u64) -> Result<Option<String>, Failure> {
    match text(path, largest) {
        Err(error) if is_absent(&error) => Ok(None),
        read => read.map(Some).map_err(|error| Failure::reading(path, &error)),
    }
}

/// The same as [`read`] for a file of the command line; `-` is standard input. A file that the shell has opened, as for
/// `<(command)`, may be a pipe and is read like standard input.
pub(super) fn argument(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        return stdin(largest);
    }
    if path.starts_with("/dev/fd") || path == Path::new("/dev/stdin") {
        return read_into(Vec::new(), File::open(path)?, largest);
    }
    read(path, largest)
}

/// Reads a message from a file or, without one, from standard input.
pub(super) fn message(path: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let path = path.unwrap_or(Path::new("-"));
    argument(path, MESSAGE).map_err(|error| Failure::reading(path, &error))
}

/// Like [`names`] for a directory below the configuration directory. One that does not exist has none.
pub(super) fn optional_names(folder: &Path) -> Result<Vec<String>, Failure> {
    match names(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| Failure::reading(folder, &error)),
    }
}

/// The names in a directory, sorted; bytes that are not UTF-8 are replaced.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let entries = fs::read_dir(folder)?.map(name);
    let mut names = entries.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Reads standard input, of at most `largest` bytes.
pub(super) fn stdin(largest: u64) -> io::Result<Vec<u8>> {
    read_into(Vec::new(), io::stdin().lock(), largest)
}

fn read_into(mut bytes: Vec<u8>, source: impl Read, largest: u64) -> io::Result<Vec<u8>> {
    let length = source.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if length as u64 > largest {
        let what = format!("larger than {largest} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::temporary::Temporary;

    #[test]
    fn what_is_larger_than_the_limit_is_not_read() {
        let read = |length: usize| read_into(Vec::new(), &*vec![b'x'; length], 1000);
        assert_eq!(read(1000).unwrap().len(), 1000);
        assert_eq!(read(1001).unwrap_err().to_string(), "larger than 1000 bytes");
        let endless = read_into(Vec::new(), io::repeat(0), 1000);
        assert_eq!(endless.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn the_manual_page_names_the_limits() {
        let (key, configuration) = (LARGEST_KEY >> 10, CONFIGURATION >> 10);
        let (foreign, message) = (FOREIGN >> 20, MESSAGE >> 20);
        for text in [
            format!(
                "{key} KiB for a key, {configuration} KiB for a configuration file or a record"
            ),
            format!(
                "{foreign} MiB for a table of OpenDKIM or the records of a host, {message} MiB"
            ),
        ] {
            crate::assert_documented("packaging/man/dkimctl.8", &text);
        }
        let text = format!("A file may have up to {configuration} KiB.");
        crate::assert_documented("packaging/man/sendmail-dkim.toml.5", &text);
    }

    #[test]
    fn only_a_file_that_does_not_exist_is_absent() {
        let folder = Temporary::new("input").unwrap();
        let path = folder.path.join("config.toml");
        assert!(matches!(optional(&path, 10), Ok(None)));
        assert_eq!(optional_names(&path).unwrap(), [""; 0]);
        for (bytes, is_read) in [(&b"a = 1"[..], true), (b"a = 1 # large", false), (b"\xff", false)]
        {
            fs::write(&path, bytes).unwrap();
            assert_eq!(optional(&path, 10).is_ok_and(|text| text.is_some()), is_read, "{bytes:?}");
            assert_eq!(optional(&path, 10).is_err(), !is_read, "{bytes:?}");
        }
        assert!(optional_names(&path).is_err());
        assert!(optional(&folder.path, 10).is_err());
    }

    #[test]
    fn a_device_or_a_folder_is_not_a_file() {
        for path in ["/dev/zero", "/dev/null", "/"] {
            let error = read(Path::new(path), 10).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file", "{path}");
        }
    }
}
