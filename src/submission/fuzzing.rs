//! The whole submission of a message, only for the fuzz target `submission`. See `tests/fuzz`.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use nix::errno::Errno;

use super::configuration::Etc;
use super::intake::{Intake, Source};
use super::signing::{Keys, Place};
use super::spool::Sealed;
use super::{Run, Way};
use crate::argv::Mode;
use crate::dkim::{Algorithm, Domain, HashInput, Selector, SigningKey};
use crate::message::Reader;
use crate::report;

/// A source whose pieces the fuzz target chooses.
struct Pieces<F>(F);

impl<F: FnMut(&mut [u8]) -> usize> Source for Pieces<F> {
    fn read(&mut self, piece: &mut [u8]) -> Result<usize, Errno> {
        Ok((self.0)(piece))
    }
}

/// The same key for all domains.
struct OneKey<'a>(&'a SigningKey);

impl Keys for OneKey<'_> {
    fn sign(
        &mut self,
        _: &Domain,
        _: Place<'_>,
        _: &Selector,
        input: &HashInput,
    ) -> Result<(Algorithm, Vec<u8>), String> {
        let signature = input.sign(self.0).map_err(|error| report::chain(&error))?;
        Ok((self.0.algorithm(), signature))
    }
}

/// The result of a submission.
#[derive(Debug)]
pub enum Submitted {
    /// It is signed.
    Signed {
        /// What the real sendmail reads from standard input.
        sealed: Vec<u8>,
        /// What it reads in an SMTP session.
        written: Vec<u8>,
    },
    /// It is not signed. Holds what the real sendmail reads.
    Unsigned(Vec<u8>),
}

/// Submits the bytes of `read` with `argv` and the configuration in `etc`. `None` if they are not a submission, or cannot be
/// stored.
pub fn submitted(
    etc: &Path,
    argv: &[OsString],
    read: impl FnMut(&mut [u8]) -> usize,
    key: &SigningKey,
) -> Option<Submitted> {
    let Mode::Submit(submission) = Mode::parse(argv) else { return None };
    let etc = Etc::at(etc.to_owned());
    let host = etc.host().ok()?;
    let mut run = Run::new(&etc, &host, &submission, Way::Alone);
    let mut intake = Intake::new(Pieces(read), Reader::new(run.lone_dot()), host.most_kept());
    let Ok(signed) = run.sign(&mut intake, &mut OneKey(key), host.message_size_limit) else {
        return Some(Submitted::Unsigned(content(intake.seal_original().ok()?)?));
    };
    let mut written = Vec::new();
    let put = |_: &mut _, bytes: &[u8]| {
        written.extend_from_slice(bytes);
        Ok(())
    };
    signed.write(&mut intake, put).ok()?;
    Some(Submitted::Signed { sealed: content(signed.seal(&mut intake).ok()?)?, written })
}

fn content(sealed: Sealed) -> Option<Vec<u8>> {
    match sealed {
        Sealed::Memory(bytes) => Some(bytes),
        Sealed::File(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).ok().map(|_| bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Whether a message with a body of this many bytes is signed.
    fn is_signed(etc: &Path, body: usize) -> bool {
        let pem = include_str!("../../tests/vectors/rfc8463-a-brisbane.private");
        let key = SigningKey::from_pem(pem, 1024).unwrap();
        let text = format!("From: a@sample.com\n\n{}\n", "x".repeat(body));
        let mut rest = text.as_bytes();
        let read = |piece: &mut [u8]| std::io::Read::read(&mut rest, piece).unwrap();
        let argv = ["sendmail", "-i", "b@y.example"].map(OsString::from);
        match submitted(etc, &argv, read, &key).unwrap() {
            Submitted::Signed { sealed, written } => sealed == written && sealed.len() > text.len(),
            Submitted::Unsigned(original) => {
                assert_eq!(original, text.as_bytes());
                false
            }
        }
    }

    #[test]
    fn what_signing_adds_counts_for_the_size_limit() {
        let etc = std::env::temp_dir().join(format!("sendmail-dkim-limit.{}", std::process::id()));
        fs::create_dir_all(etc.join("domains")).unwrap();
        let host = "sendmail = \"/bin/true\"\nmessage_size_limit = 4000\n";
        fs::write(etc.join("config.toml"), host).unwrap();
        fs::write(etc.join("domains/default.toml"), "selector = \"s\"\n").unwrap();
        // Postfix's own fields may have 2,048 bytes; the signature and the header have about 600.
        let signed = [500, 1_000, 1_800, 3_000].map(|body| is_signed(&etc, body));
        fs::remove_dir_all(etc).unwrap();
        assert_eq!(signed, [true, true, false, false]);
    }

    /// The cases of `tests/data/mail`, without starting a process. `tests/it/golden.rs` submits them to the wrapper and verifies the
    /// signatures.
    #[test]
    fn every_case_gives_what_is_expected() {
        let pem = include_str!("../../tests/vectors/rfc8463-a-brisbane.private");
        let key = SigningKey::from_pem(pem, 1024).unwrap();
        let etc = std::env::temp_dir().join(format!("sendmail-dkim-cases.{}", std::process::id()));
        fs::create_dir_all(etc.join("domains")).unwrap();
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mail");
        let folders = fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path());
        let (mut count, mut failed) = (0, Vec::new());
        for folder in folders.filter(|folder| folder.join("input").exists()) {
            let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
            let host = format!("sendmail = \"/x\"\norigin = \"web.example\"\n{}\n", text("config"));
            fs::write(etc.join("config.toml"), host).unwrap();
            let domain = format!("selectors = [\"s1\"]\n{}", text("domain"));
            fs::write(etc.join("domains/sample.com.toml"), domain).unwrap();
            let argv = text("argv");
            let argv: Vec<_> = ["sendmail"]
                .into_iter()
                .chain(argv.split_whitespace())
                .map(OsString::from)
                .collect();
            let input = fs::read(folder.join("input")).unwrap();
            let expected = fs::read(folder.join("expected")).unwrap();
            for size in [1, 7, 100_000] {
                let mut rest = input.as_slice();
                let read = |piece: &mut [u8]| {
                    let size = size.min(piece.len());
                    std::io::Read::read(&mut rest, piece.split_at_mut(size).0).unwrap()
                };
                let submitted = submitted(&etc, &argv, read, &key).unwrap();
                if !is_as_expected(&submitted, &input, &expected) {
                    failed.push(format!("{} in pieces of {size}: {submitted:?}", folder.display()));
                }
                count += 1;
            }
        }
        fs::remove_dir_all(etc).unwrap();
        assert!(failed.is_empty() && count >= 360, "{count}\n{}", failed.join("\n"));
    }

    /// Whether `expected` describes this. It has the arguments, the names of the signed fields, and the message, in which a Date or
    /// Message-ID that was added is replaced by `(added)`.
    fn is_as_expected(submitted: &Submitted, input: &[u8], expected: &[u8]) -> bool {
        let after = |text: &[u8], mark: &[u8]| -> Vec<u8> {
            let at = text.windows(mark.len()).position(|part| part == mark).unwrap();
            text.iter().skip(at).skip(mark.len()).copied().collect()
        };
        let expected = after(expected, b"\n\n");
        let sealed = match submitted {
            Submitted::Unsigned(original) => {
                return original == input && expected == b"(as submitted)\n";
            }
            Submitted::Signed { sealed, written } if sealed == written => sealed,
            Submitted::Signed { .. } => return false,
        };
        let end = sealed.windows(2).position(|pair| pair[0] == b'\n' && pair[1] != b'\t').unwrap();
        let (signature, text) = sealed.split_at(end);
        let text = after(text, b"\n");
        let (signed, listed) = (names(signature, b";h=", b';'), names(&expected, b"h=", b')'));
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let expected = after(&expected, b"\n");
        let wanted: Vec<_> = expected.split_inclusive(|byte| *byte == b'\n').collect();
        let fits = |(line, wanted): (&[u8], &[u8])| match wanted {
            b"Message-ID: (added)\n" => line.starts_with(b"Message-ID: <20"),
            b"Date: (added)\n" => line.starts_with(b"Date: "),
            _ => line == wanted,
        };
        signed == listed && lines.clone().count() == wanted.len() && lines.zip(wanted).all(fits)
    }

    /// The names of the fields that are signed: from `begin` to `end`.
    fn names(text: &[u8], begin: &[u8], end: u8) -> Vec<u8> {
        let text: Vec<u8> =
            text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let at = text.windows(begin.len()).position(|part| part == begin).unwrap();
        text.into_iter().skip(at).skip(begin.len()).take_while(|byte| *byte != end).collect()
    }
}
