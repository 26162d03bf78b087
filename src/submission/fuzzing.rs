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
        std::fs::create_dir_all(etc.join("domains")).unwrap();
        let host = "sendmail = \"/bin/true\"\nmessage_size_limit = 4000\n";
        std::fs::write(etc.join("config.toml"), host).unwrap();
        std::fs::write(etc.join("domains/default.toml"), "selector = \"s\"\n").unwrap();
        // Postfix's own fields may have 2,048 bytes; the signature and the header have about 600.
        let signed = [500, 1_000, 1_800, 3_000].map(|body| is_signed(&etc, body));
        std::fs::remove_dir_all(etc).unwrap();
        assert_eq!(signed, [true, true, false, false]);
    }
}
