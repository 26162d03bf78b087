//! `dkimctl try`: signs a message without installing anything. Uses the wrapper with a temporary key and folder, and in place of
//! the real sendmail a stand-in that keeps what it gets.

use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::json;

use super::checks::finding::Finding;
use super::cli::{Args, Opt};
use super::input;
use super::output::{Failure, Text, Tone, marked, message_text};
use super::signatures::{Source, line};
use super::store::keys::{NewKey, RSA_BITS};
use super::temporary::Temporary;
use crate::argv::LoneDot;
use crate::dkim::record::Owner;
use crate::dkim::{Algorithm, Header, Record, Selector, Terms};
use crate::message::Reader;
use crate::message::address::Completion;
use crate::message::author::Author;
use crate::message::complete::{Submitter, complete_from};
use crate::message::reader::Step;
use crate::submission::configuration::VARIABLE;

pub(super) const OPTIONS: &[Opt] =
    &[Opt("--wrapper FILE", "wrapper to run (default: sendmail-dkim next to dkimctl)")];

pub(super) const HELP: &str = "\
usage: dkimctl try [OPTION...] [MESSAGE]

Sign a message with a temporary key and print the result.

Runs the wrapper on MESSAGE, or on a sample, with a temporary key for its From
domain. A stand-in for the real sendmail captures the signed message, whose
signature is then verified. Added lines are marked with `+`. Changes nothing on
the host; root is not required. If there is no sendmail-dkim next to dkimctl,
runs /usr/sbin/sendmail.dkim.

Exits with 0 if the signature verifies, 1 if not.
";

const SAMPLE: &[u8] = b"From: Webmaster <webmaster@sample.com>\n\
    To: User <test@example.net>\n\
    Subject: test mail\n\
    \n\
    Test Mail.\n";

/// Stores the message in its own folder.
const CAPTURE: &str = "#!/bin/sh\ncat >\"${0%/*}/captured\"\n";

const SELECTOR: &str = "dkimselector";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let wrapper = args.path("--wrapper").map_or_else(default_wrapper, Path::to_owned);
    let message = match args.file() {
        Some(path) => input::message(Some(path))?,
        None => SAMPLE.to_vec(),
    };
    let mut header = header(&message)?;
    // Complete the header as the wrapper will.
    complete_from(&mut header, &Submitter::default(), &Completion::default());
    let author = Author::of(&header).map_err(Failure::data)?;
    let selector = Selector::parse(SELECTOR).map_err(Failure::software)?;

    let stage = Stage(Temporary::new("dkimctl-try")?);
    let record = stage.set_up(&author, &selector)?;
    stage.submit(&wrapper, &author, &message)?;
    let captured = input::message(Some(&stage.0.path.join("captured")))?;
    let verdicts =
        Source::Keys(stage.0.path.join("keys")).verify(&captured).map_err(Failure::data)?.verdicts;

    let submitted = message_text(&message).replace("\r\n", "\n");
    let signed = message_text(&captured);
    let mut text = Text::from(format!(
        "{}\nThe record of the temporary key, which no longer exists; do not publish it:\n\n{}\n",
        marked(&submitted, &signed),
        record.zone_entry(&selector, author.domain(), Owner::Absolute)?
    ));
    let own = verdicts.iter().find(|verdict| verdict.domain.as_ref() == Some(author.domain()));
    let why = match own {
        Some(verdict) if verdict.result.is_ok() => None,
        other => Some(other.map_or_else(|| "no signature was added".to_owned(), line)),
    };
    let (word, rest) = match &why {
        None => {
            (Text::toned(Tone::Good, "verified"), format!("d={} s={selector}", author.domain()))
        }
        Some(why) => (Text::toned(Tone::Bad, "NOT verified"), why.clone()),
    };
    text.push(word);
    text.push(format!(": {rest}\n"));
    let result = json!({
        "verified": why.is_none(),
        "domain": author.domain().as_str(),
        "selector": selector.as_str(),
        "message": signed,
        "record": record.text()?,
    });
    let is_verified = why.is_none();
    let findings: Vec<Finding> =
        why.into_iter().map(|why| Finding::error("not-verified", why, "")).collect();
    args.report(&result, &findings, text)?;
    Ok(if is_verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The header of a message as sendmail(1) reads it.
fn header(message: &[u8]) -> Result<Header, Failure> {
    let mut reader = Reader::new(LoneDot::IsText);
    let mut body = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let (taken, step) = reader.feed(rest, &mut body);
        if step == Step::HeaderTooLarge {
            return Err(Failure::data("the header of the message is too large"));
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    reader.finish(&mut body);
    Header::parse(reader.header()).map_err(Failure::data)
}

fn default_wrapper() -> PathBuf {
    let neighbor = env::current_exe().ok().map(|own| own.with_file_name("sendmail-dkim"));
    neighbor
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("/usr/sbin/sendmail.dkim"))
}

/// The configuration, the key and the stand-in.
struct Stage(Temporary);

impl Stage {
    fn write(&self, name: &str, text: &[u8], mode: u32) -> Result<PathBuf, Failure> {
        let path = self.0.path.join(name);
        let failed = |error: io::Error| Failure::creating(&path, &error);
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        fs::write(&path, text).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(failed)?;
        Ok(path)
    }

    /// A configuration for one domain, and the record of its key.
    fn set_up(&self, author: &Author, selector: &Selector) -> Result<Record, Failure> {
        let domain = author.domain();
        let capture = self.write("capture", CAPTURE.as_bytes(), 0o700)?;
        let capture = capture.display().to_string();
        let config = format!("sendmail = {capture:?}\norigin = \"{domain}\"\n");
        self.write("config.toml", config.as_bytes(), 0o600)?;
        let file = format!("selectors = [\"{selector}\"]\n");
        self.write(&format!("domains/{domain}.toml"), file.as_bytes(), 0o600)?;
        let key = NewKey::generate(Algorithm::RsaSha256, RSA_BITS, Terms::default())?;
        let pem = key.key.to_pkcs8_pem()?;
        self.write(&format!("keys/{domain}/{selector}.private"), pem.as_bytes(), 0o600)?;
        Ok(key.record)
    }

    /// The wrapper, or a copy without its set-gid bit. A privileged wrapper would ignore the temporary configuration and send the
    /// message with that of the host.
    fn without_privilege(&self, wrapper: &Path) -> io::Result<PathBuf> {
        // Otherwise a bare name would be checked in this folder but run from PATH.
        let wrapper = wrapper.canonicalize()?;
        if wrapper.metadata()?.permissions().mode() & 0o6000 == 0 {
            return Ok(wrapper);
        }
        let copy = self.0.path.join("sendmail-dkim");
        fs::write(&copy, input::read(&wrapper, input::PROGRAM)?)?;
        fs::set_permissions(&copy, Permissions::from_mode(0o700))?;
        Ok(copy)
    }

    fn submit(&self, wrapper: &Path, author: &Author, message: &[u8]) -> Result<(), Failure> {
        let failed = |error| Failure::reading(wrapper, &error);
        let mut child = Command::new(self.without_privilege(wrapper).map_err(failed)?)
            .args(["-i", "-f", &author.address(), "--", "test@example.net"])
            .env(VARIABLE, &self.0.path)
            .stdin(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        // A wrapper that ends early has reported the reason, and its exit code shows the failure.
        if let Some(mut input) = child.stdin.take()
            && let Err(error) = input.write_all(message)
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(failed(error));
        }
        let status = child.wait().map_err(failed)?;
        if !status.success() {
            return Err(Failure::software(format_args!("{} failed: {status}", wrapper.display())));
        }
        Ok(())
    }
}
