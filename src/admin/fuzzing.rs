//! What the fuzz targets see of the subcommands, and no other code uses. See `tests/fuzz`.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use hickory_proto::op::Message;

use super::dns::{Answer, LookupError};
use super::signatures::{Verified, published};
use super::store::rotation::State;
use super::{record, verify};
use crate::config::ConfigError;
use crate::dkim::{Domain, Lookup, NotAHeader, Selector, Verdict};

/// `dkimctl` with these arguments.
pub fn dkimctl(args: Vec<OsString>) -> ExitCode {
    super::called("/nonexistent".into(), args)
}

/// The aliases of a name and its key record, by the replies to a question for each.
pub fn answered(name: &str, replies: &[&[u8]]) -> (Vec<String>, Lookup) {
    let mut replies = replies.iter();
    let answer = Answer::of(name, |name| {
        let reply = replies.next().and_then(|reply| Message::from_vec(reply).ok());
        reply.ok_or_else(|| LookupError::NoAddress(name.to_ascii()))
    });
    (answer.aliases.clone(), published(answer))
}

/// The verdicts on a message, and what `dkimctl verify` prints.
///
/// # Errors
/// A line of its header belongs to no field.
pub fn verified(
    message: &[u8],
    find: impl Fn(&Domain, &Selector) -> Lookup,
) -> Result<(Vec<Verdict>, String), NotAHeader> {
    let find = |(domain, selector): &(Domain, Selector)| find(domain, selector);
    let verified = Verified::new(message, |signers| signers.iter().map(find).collect())?;
    let text = verify::report_on(&verified).shown(false);
    Ok((verified.verdicts, text))
}

/// The rotations in a `rotation.toml`, each as its selectors, its stage and the seconds of its dates; and the text that is
/// written for them.
///
/// # Errors
/// As for a configuration file.
#[expect(clippy::type_complexity, reason = "for one caller")]
pub fn rotations(
    text: &str,
) -> Result<(Vec<(String, String, &'static str, u64, Option<u64>)>, String), ConfigError> {
    let (selectors, rotations) = State::parse(text)?;
    let all = rotations.iter().map(|one| {
        let until = one.stage.until().map(|until| until.0);
        (one.old.to_string(), one.new.to_string(), one.stage.name(), one.since.0, until)
    });
    Ok((all.collect(), State::text(&selectors, &rotations)))
}

/// What `dkimctl record --merge` writes of texts, in a format, or as JSON.
///
/// # Errors
/// They hold no records that could be published.
pub fn merged(texts: &[(&OsStr, Vec<u8>)], format: Option<&str>) -> Result<String, String> {
    record::rewritten(texts, format).map_err(|failure| failure.what().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_single_line_even_if_it_quotes_several() {
        let message = b"DKIM-Signature: v=1; a=x\n y; d=x.test; s=s; h=From; bh=AA==; b=AA==\nFrom: a@x.test\n\n";
        let (_, text) = verified(message, |_, _| Lookup::NotFound).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            matches!(lines.as_slice(), [line, "  a=x y"] if line.contains(" fail: ")),
            "{text}"
        );
    }
}
