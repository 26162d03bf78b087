//! What is reported of new keys: the record to publish, its path, and the steps that are left.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::Wanted;
use crate::admin::checks::finding::Finding;
use crate::admin::checks::obstacles::{missing, so_far};
use crate::admin::cli::Args;
use crate::admin::output::Failure;
use crate::admin::publishing::{Published, Publishing};
use crate::admin::store::Store;
use crate::admin::store::domains::{self, DomainConfig};
use crate::admin::store::keys::{KeyFiles, KeyFolder};
use crate::admin::store::seen::Seen;
use crate::admin::store::time::UtcTime;
use crate::dkim::Record;
use crate::dkim::record::Owner;

/// A new key and its place.
pub(crate) struct Made {
    pub(crate) wanted: Wanted,
    pub(crate) files: KeyFiles,
    pub(super) record: Record,
    /// The result of publishing the record, if this host publishes records.
    pub(crate) published: Option<Result<Published, String>>,
}

impl Made {
    /// Publishes the record, and waits until DNS has it.
    pub(crate) fn publish(&self, etc: &Path, by: &Publishing) -> Result<Published, String> {
        let Wanted { domain, selector, shared, .. } = &self.wanted;
        let folder = match shared {
            Some(name) => KeyFolder::named(etc, domain.clone(), name, selector),
            None => KeyFolder::new(etc, domain.clone()),
        };
        by.key(etc, &folder, selector).map_err(|failure| failure.what().to_owned())
    }

    /// Whether DNS has the record, according to its servers.
    fn is_published(&self) -> bool {
        matches!(&self.published, Some(Ok(published)) if published.is_there())
    }

    /// Whether the record was to be published, but is not in DNS.
    fn is_missing(&self) -> bool {
        self.published.is_some() && !self.is_published()
    }

    /// The steps before this key signs, in addition to those that `missing` returns for its domain.
    fn own_steps(&self, etc: &Path) -> Vec<Finding> {
        let Wanted { domain, selector, directory, shared, .. } = &self.wanted;
        if let Some(directory) = directory {
            let evidence = format!("keys in {} are not used for signing", directory.display());
            let remedy = "add the key to a domain file, as genkey does without -D";
            return vec![
                Finding::warning("elsewhere", evidence, remedy).about(&directory.display()),
            ];
        }
        if self.is_missing() {
            // Another step says what to do.
            return Vec::new();
        }
        let names = |config: DomainConfig| {
            config.selectors().contains(selector) && config.file.keys == *shared
        };
        let keys = shared.as_ref().map(|name| format!(" --keys {name}")).unwrap_or_default();
        // If the domain files cannot be read, another step has the reason.
        if domains::own(etc, domain).is_ok_and(|config| !config.is_some_and(names)) {
            let file = domains::file(etc, domain);
            let step = Finding::warning(
                "not-named",
                format!("{} existed already and does not name the key", file.display()),
                format!(
                    "dkimctl use {domain} {selector}{keys}, once DNS has the record; it replaces the \
                     other selectors, unless they are named, too"
                ),
            );
            return vec![step.about(domain)];
        }
        Vec::new()
    }

    /// The step that is left unless DNS has the record.
    fn publish_step(&self) -> Option<Finding> {
        let domain = &self.wanted.domain;
        match &self.published {
            None => Some(Finding::warning(
                "publish",
                "only testkey and rotate query DNS; without the record no receiver can verify the \
                 signature",
                format!("publish the record, then check it: dkimctl testkey {domain}"),
            )),
            Some(Ok(published)) if published.is_there() => None,
            Some(published) => {
                let why = published.as_ref().map_or_else(String::clone, Published::why_not);
                let selector = &self.wanted.selector;
                let step = Finding::error(
                    "not-published",
                    format!("DNS does not have the record yet: {why}"),
                    format!(
                        "dkimctl add {domain} -s {selector}, which goes on where this ended; or publish the record yourself first"
                    ),
                );
                Some(step.about(domain))
            }
        }
    }

    /// The record to publish, and the path of the key.
    fn text(&self) -> Result<String, Failure> {
        let Wanted { domain, selector, .. } = &self.wanted;
        let name = selector.record_name(domain);
        let key = format!("The key is in {}.\n", self.files.private.display());
        if let Some(Ok(published)) = &self.published
            && published.is_there()
        {
            return Ok(format!("{}{key}", published.text(&name)));
        }
        let entry = self.record.zone_entry(selector, domain, Owner::Absolute)?;
        let value = self.record.text()?;
        Ok(format!(
            "Publish this record in the zone of {domain}:\n\n{entry}\n\
             or, in a web form, as type TXT with\n\n  \
             name   {name}\n  value  {value}\n\n{key}"
        ))
    }

    /// A remark if every user may sign; empty if users or groups are named.
    fn who(&self, etc: &Path) -> String {
        let domain = &self.wanted.domain;
        let is_limited =
            |config: &DomainConfig| config.file.users.is_some() || config.file.groups.is_some();
        match domains::own(etc, domain) {
            Ok(Some(config)) if self.wanted.directory.is_none() && !is_limited(&config) => format!(
                "Every user of this host may sign mail From {domain}; set `users` and `groups` in the domain file to \
                 limit this.\n"
            ),
            Ok(_) | Err(_) => String::new(),
        }
    }

    fn json(&self, missing: &[Finding]) -> Result<Value, Failure> {
        let Wanted { domain, selector, .. } = &self.wanted;
        let mut json = json!({
            "domain": domain.as_str(),
            "selector": selector.as_str(),
            "type": self.record.key().algorithm().key_type(),
            "bits": self.record.key().bits(),
            "name": selector.record_name(domain),
            "value": self.record.text()?,
            "private": self.files.private,
            "record": self.files.record,
            "signing": missing.is_empty() && !self.is_missing(),
        });
        if let (Some(published), Some(json)) = (&self.published, json.as_object_mut()) {
            json.insert("published".to_owned(), Value::Bool(self.is_published()));
            if let Ok(published) = published {
                json.insert("servers".to_owned(), json!(published.servers));
            }
        }
        Ok(json)
    }
}

/// Stores which records DNS has, for commands that do not query it. If the caller may not write, nothing is stored.
pub(crate) fn note(etc: &Path, all: &[Made]) {
    let mut seen = Seen::default();
    for made in all.iter().filter(|made| made.is_published()) {
        let name = made.wanted.selector.record_name(&made.wanted.domain);
        seen.note(&name, true, UtcTime::now());
    }
    drop(Store::open(etc).and_then(|store| seen.write(&store, etc)));
}

/// Prints the keys that were made, and the steps that are left. The exit code is `EX_UNAVAILABLE` if a record was to be published,
/// but is not in DNS. `result` makes the result of `--json` from those of the keys.
pub(crate) fn show(
    args: &Args,
    all: &[Made],
    failures: Vec<Finding>,
    result: impl Fn(Vec<Value>) -> Value,
) -> Result<ExitCode, Failure> {
    let named = all.iter().filter(|made| made.wanted.directory.is_none());
    let domains: BTreeSet<&str> = named.map(|made| made.wanted.domain.as_str()).collect();
    let mut steps = match domains.is_empty() {
        true => Vec::new(),
        false => missing(&args.etc, |stem| domains.contains(stem)),
    };
    steps.extend(all.iter().flat_map(|made| made.own_steps(&args.etc)));
    let result = all.iter().map(|made| made.json(&steps)).collect::<Result<_, _>>().map(result)?;
    let mut text = String::new();
    for made in all {
        text.push_str(&format!("{}{}\n", made.text()?, made.who(&args.etc)));
    }
    let mut publish: Vec<Finding> = all.iter().filter_map(Made::publish_step).collect();
    if publish.len() > 1 && all.iter().all(|made| made.published.is_none()) {
        publish = vec![Finding::warning(
            "publish",
            "without the record no receiver can verify a signature",
            format!("publish the {} records, then check them: dkimctl testkey", publish.len()),
        )];
    }
    let is_missing = all.iter().any(Made::is_missing);
    let names: Vec<&str> = all.iter().map(|made| made.wanted.domain.as_str()).collect();
    let names = match names.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("these {} domains", many.len()),
    };
    text.push_str(&so_far(
        &names,
        steps.is_empty() && !is_missing,
        &[publish, steps.clone()].concat(),
    ));
    // The failures are on stderr already.
    let failures = if args.is_json() { failures } else { Vec::new() };
    let failed = all.iter().filter(|made| made.is_missing()).filter_map(Made::publish_step);
    args.report(&result, &[failures, failed.collect(), steps].concat(), text)?;
    Ok(if is_missing { Failure::UNAVAILABLE.into() } else { ExitCode::SUCCESS })
}
