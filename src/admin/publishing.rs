//! Publishes the record of a key as config.toml says, and waits until DNS has it.

use std::path::Path;
use std::time::Duration;

use super::cli::{Args, Opt};
use super::dns::Dns;
use super::format::TxtRecord;
use super::look::{Has, Sight, all, await_all, look, others};
use super::output::Failure;
use super::publisher::{Change, Publisher};
use super::store::Store;
use super::store::keys::KeyFolder;
use super::store::time;
use super::store::{gone, waiting};
use crate::dkim::{Domain, PublicKey, Selector};

pub(super) const WAIT: Opt = Opt("--wait TIME", "longest wait for DNS (default: 60s)");
pub(super) const NO_PUBLISH: Opt = Opt("--no-publish", "only print the record, and sign at once");

/// The default of `--wait`. Seconds.
pub(super) const WAITED: u64 = 60;

/// The default of `--wait` for rotate, whose next run continues. Seconds.
pub(super) const WAITED_BY_ROTATE: u64 = 10;

/// How records are published, and how long to wait for DNS.
pub(super) struct Publishing {
    /// `None` if the administrator publishes records.
    pub(super) publisher: Option<Publisher>,
    pub(super) dns: Dns,
    pub(super) wait: Duration,
}

/// The result of publishing a record.
pub(super) struct Published {
    /// The command that was run, and its result. `None` if DNS had the record already, or no command is configured.
    pub(super) by: Option<(String, Result<(), String>)>,
    /// The answer of each server of the zone.
    pub(super) servers: Vec<Sight>,
    /// Whether the domain waited for this record. It is signed from now on.
    pub(super) begins: bool,
}

/// A length of time on the command line.
pub(super) fn length(text: &str) -> Result<u64, &'static str> {
    time::parse_length(text).ok_or("expected a number and its unit, s, m, h, d or w, as in 180d")
}

impl Publishing {
    /// Reads config.toml and the options. `dns` finds the servers of the zones; `patience` is the default of `--wait`, in
    /// seconds.
    pub(super) fn of(args: &Args, dns: Dns, patience: u64) -> Result<Self, Failure> {
        let wait = Duration::from_secs(args.value("--wait", length)?.unwrap_or(patience));
        Ok(Self { publisher: Publisher::of(&args.etc)?, dns, wait })
    }

    /// The same for domains that may be new. `None` with `--no-publish`, or if this host does not publish records and no domain
    /// waits for one.
    pub(super) fn of_new(args: &Args, domains: &[Domain]) -> Result<Option<Self>, Failure> {
        if args.has("--no-publish") {
            return Ok(None);
        }
        let is_waiting = |domain: &Domain| waiting::path(&args.etc, domain).exists();
        let publishes = match Publisher::of(&args.etc) {
            // No mail is signed then; the error is one of the remaining steps.
            Err(failure) if failure.code == Failure::DATA => false,
            publisher => publisher?.is_some(),
        };
        if !publishes && !domains.iter().any(is_waiting) {
            return Ok(None);
        }
        Self::of(args, Dns::asked_for(None)?, WAITED).map(Some)
    }

    /// Begins the time limit of the lookups, of which each domain takes several. New keys must not count for it: on a slow host
    /// they take longer.
    pub(super) fn begin(&self, domains: usize) {
        self.dns.for_names(domains.saturating_mul(20));
    }

    /// Publishes the record of a key, unless DNS has it. A domain that waits for the record is signed from then on.
    pub(super) fn key(
        &self,
        etc: &Path,
        folder: &KeyFolder,
        selector: &Selector,
    ) -> Result<Published, Failure> {
        let store = Store::open(etc)?;
        let busy = format_args!("another dkimctl is at work on {}", folder.domain);
        let _lock = match folder.is_shared() {
            // Each domain that shares the key publishes a record of its own.
            true => store.wait_for_lock(&folder.path)?,
            false => store.lock(&folder.path, busy)?,
        };
        let files = folder.key(selector);
        let key = files.public().map_err(|error| error.at(&files.private))?;
        let record = TxtRecord::of_key(&folder.domain, selector, files.to_publish()?);
        let mut published = self.change(Change::Set, &record, Some(&key), &Has::Key);
        if published.is_there()
            && let Some(config) = waiting::read(etc, &folder.domain)?
            && config.selectors().contains(selector)
        {
            gone::forget(&store, &config.path, selector)?;
            store.activate(etc, &config)?;
            published.begins = true;
        }
        Ok(published)
    }

    /// Changes a record and waits until every server of the zone `has` the result, unless they have it already.
    pub(super) fn change(
        &self,
        change: Change,
        record: &TxtRecord,
        key: Option<&PublicKey>,
        has: &Has,
    ) -> Published {
        let look = || look(&self.dns, &record.name, key);
        let mut published = Published { by: None, servers: look(), begins: false };
        if !all(&published.servers, has)
            && let Some(publisher) = &self.publisher
        {
            let done = publisher.change(&self.dns, change, record);
            if done.is_ok() {
                published.servers = await_all(&self.dns, look, has, self.wait);
            }
            published.by = Some((publisher.name().to_owned(), done));
        }
        published
    }
}

impl Published {
    /// Whether every server of the zone has the record.
    pub(super) fn is_there(&self) -> bool {
        all(&self.servers, &Has::Key)
    }

    /// Why DNS does not have the record: the error of the command, or the answers of the servers.
    pub(super) fn why_not(&self) -> String {
        if let Some((_, Err(why))) = &self.by {
            return why.clone();
        }
        others(&self.servers, &Has::Key)
    }

    /// A report for people.
    pub(super) fn text(&self, name: &str) -> String {
        let servers = match self.servers.as_slice() {
            [one] => format!("The server of the zone ({}) has", one.server),
            many => format!("All {} servers of the zone have", many.len()),
        };
        match &self.by {
            Some((by, Ok(()))) => {
                format!("{by} has published the record {name}.\n{servers} it.\n")
            }
            Some(_) | None => format!("{servers} the record {name}.\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_wait_are_those_of_the_manual_page() {
        assert!(WAIT.1.ends_with(&format!("(default: {WAITED}s)")));
        let of_rotate =
            crate::admin::rotate::OPTIONS.iter().find(|one| one.0.starts_with("--wait"));
        assert!(
            of_rotate
                .is_some_and(|one| one.1.ends_with(&format!("(default: {WAITED_BY_ROTATE}s)")))
        );
    }
}
