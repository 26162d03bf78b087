//! `dkimctl status`: the keys of all domains, and how far their rotations are.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::cli::{Args, JSON, Opt};
use super::output::Failure;
use super::store::domains::{self, DomainConfig};
use super::store::keys::KeyFolder;
use super::store::rotation::{Stage, State};
use super::store::time::UtcTime;
use crate::dkim::{Record, Selector};

pub(super) const OPTIONS: &[Opt] = &[JSON];

pub(super) const HELP: &str = "\
usage: dkimctl status [OPTION...] [DOMAIN...]

Show the keys and the progress of their rotation.

Shows for each key of all domains, or of DOMAIN..., whether it signs, its type,
its size and the day of its creation. Does not query DNS; testkey does.
";

/// One key.
#[derive(Debug, Serialize)]
struct Key {
    domain: String,
    selector: String,
    /// Whether a domain file names it.
    signing: bool,
    /// The stage of its rotation, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    key_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bits: Option<u32>,
    /// The day, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut found = Vec::new();
    for folder in &KeyFolder::chosen(&args.etc, &args.domains()?)? {
        found.extend(of_domain(&args.etc, folder)?);
    }
    args.print(&found, &table(&found))
}

fn of_domain(etc: &Path, folder: &KeyFolder) -> Result<Vec<Key>, Failure> {
    let configs = domains::signing_for(etc, &folder.domain)?;
    let signing: BTreeSet<&Selector> = configs.iter().flat_map(DomainConfig::selectors).collect();
    let state = State::read(&folder.path)?;
    let mut selectors = folder.selectors()?;
    selectors.extend(signing.iter().copied().cloned());
    let key = |selector: &Selector| {
        let files = folder.key(selector);
        let text = files.to_publish().unwrap_or_default();
        let public = Record::parse(text.as_bytes()).ok().map(|record| record.key().clone());
        let mut key = Key {
            domain: folder.domain.to_string(),
            selector: selector.to_string(),
            signing: signing.contains(selector),
            stage: None,
            since: None,
            until: None,
            replaces: None,
            key_type: public.as_ref().map(|key| key.algorithm().key_type()),
            bits: public.as_ref().map(crate::dkim::PublicKey::bits),
            made: files.made().ok().map(UtcTime::date),
        };
        // A key may have come in by one rotation and go out by another: the latest counts.
        for rotation in &state.rotations {
            let (is_old, is_new) = (rotation.old == *selector, rotation.new == *selector);
            let concerns = match rotation.stage {
                Stage::Pending => is_new,
                Stage::Retiring { .. } | Stage::Revoked => is_old,
            };
            if concerns {
                key.stage = Some(rotation.stage.name());
                key.since = Some(rotation.since.to_string());
            }
            if let (Stage::Retiring { until }, true) = (rotation.stage, is_old) {
                key.until = Some(until.to_string());
            }
            if is_new && rotation.stage != Stage::Revoked {
                key.replaces = Some(rotation.old.to_string());
            }
        }
        key
    };
    Ok(selectors.iter().map(key).collect())
}

fn table(keys: &[Key]) -> String {
    let mut text = String::new();
    for key in keys {
        let mut words = vec![key.domain.clone(), key.selector.clone()];
        words.push(match (key.signing, key.stage) {
            (true, _) => "signs".to_owned(),
            (false, Some(stage)) => stage.to_owned(),
            (false, None) => "unused".to_owned(),
        });
        words.extend(key.key_type.zip(key.bits).map(|(kind, bits)| format!("{kind} {bits}")));
        words.extend(key.made.as_ref().map(|made| format!("made {made}")));
        words.extend(key.replaces.as_ref().map(|old| format!("replaces {old}")));
        words.extend(key.until.as_ref().map(|until| format!("stays published until {until}")));
        text.push_str(&words.join("  "));
        text.push('\n');
    }
    text
}
