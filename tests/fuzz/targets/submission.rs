//! What the real sendmail reads is what was hashed: a message that is signed verifies for another implementation, with any bytes,
//! its size and the pieces it comes in; one that is not is what was submitted.
#![no_main]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use sendmail_dkim::dkim::{Record, SigningKey};
use sendmail_dkim::submission::fuzzing::{Submitted, submitted};
use sendmail_dkim_fuzz::message;
use viadkim::VerificationStatus;

#[path = "../peer.rs"]
mod peer;

/// Configurations that sign mail of every domain.
static FOLDERS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let root = std::env::temp_dir().join(format!("sendmail-dkim-fuzz.{}", std::process::id()));
    let all = ["relaxed/relaxed", "simple/simple", "relaxed/simple"].into_iter().enumerate();
    let made = all.map(|(number, canonicalization)| {
        let folder = root.join(number.to_string());
        fs::create_dir_all(folder.join("domains")).expect("a folder");
        let host = format!(
            "sendmail = \"/bin/true\"\norigin = \"origin.example\"\n\
             canonicalization = \"{canonicalization}\"\n"
        );
        fs::write(folder.join("config.toml"), host).expect("a file");
        fs::write(folder.join("domains/default.toml"), "selectors = [\"s\"]\n").expect("a file");
        folder
    });
    made.collect()
});

/// The key of RFC 8463, appendix A.
static KEY: LazyLock<(SigningKey, Vec<u8>)> = LazyLock::new(|| {
    let pem = include_str!("../../vectors/rfc8463-a-brisbane.private");
    let key = SigningKey::from_pem(pem, 1024).expect("a key");
    let record = Record::new(key.public()).text().expect("a record");
    (key, record.into_bytes())
});

/// More than is kept in memory.
const LARGE: usize = 1_100_000;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((choice, text)) = input.split_first() else { return };
    let mut text = text.to_vec();
    // A large one, of the end of the message many times.
    if choice & 0xf0 == 0xf0 && !text.is_empty() {
        let begin = text.windows(2).position(|pair| pair == b"\n\n").map_or(0, |at| at + 1);
        let unit = text[begin.min(text.len() - 1)..].to_vec();
        while text.len() < LARGE {
            text.extend_from_slice(&unit);
        }
    }
    let options: &[&str] = if choice & 1 > 0 {
        &["sendmail", "-i", "x@y.example"]
    } else {
        &["sendmail", "x@y.example"]
    };
    let argv: Vec<OsString> = options.iter().map(OsString::from).collect();
    let mut rest = text.as_slice();
    // Large ones come as fast as they can, or in odd pieces.
    let mut lengths = input.iter().cycle().map(|byte| match text.len() {
        LARGE.. => usize::from(*byte) * 997 + 1,
        _ => usize::from(*byte) % 37 + 1,
    });
    let read = |piece: &mut [u8]| {
        let length = lengths.next().unwrap_or(1).min(piece.len()).min(rest.len());
        let (taken, after) = rest.split_at(length);
        piece[..length].copy_from_slice(taken);
        rest = after;
        length
    };
    let folder = &FOLDERS[usize::from(choice >> 1) % FOLDERS.len()];
    let (sealed, written) = match submitted(folder, &argv, read, &KEY.0).expect("a submission") {
        Submitted::Signed { sealed, written } => (sealed, written),
        Submitted::Unsigned(original) => {
            // A line containing a single dot ends it.
            assert!(text.starts_with(&original));
            return assert!(choice & 1 == 0 || original == text);
        }
    };
    assert!(sealed == written, "{} bytes, and {} in a session", sealed.len(), written.len());
    let (header, body) = message(&sealed).expect("a message");
    let Some(fields) = peer::fields(&header) else { return };
    let verdicts = peer::verify(&fields, body, |_| KEY.1.clone());
    // Others may have been there before, each as it may be.
    let verdict = verdicts.first().expect("a signature");
    let shown = String::from_utf8_lossy(&sealed[..sealed.len().min(4000)]);
    // viadkim takes no domain whose last label is a number.
    let signer = shown.split(';').find_map(|tag| tag.trim_start().strip_prefix("d="));
    let label = signer.and_then(|domain| domain.rsplit('.').next()).unwrap_or_default();
    if !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()) {
        return;
    }
    assert_eq!(*verdict, VerificationStatus::Success, "{shown}");
});
