//! Compares OpenDKIM's configuration with the domain files, sender by sender, and reports the differences.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::data_set::Row;
use super::domain_files::{Imported, Source};
use super::headers::Fields;
use super::opendkim::{By, Fate, OpenDkim, Signature};
use super::senders::{Scope, Sender, instance, instance_of_both, is_made_up, scopes};
use crate::config::{DEFAULT, DomainFile};
use crate::dkim::{Domain, FieldName, Header, Selector};
use crate::message::author::Author;
use crate::policy::{Caller, Candidate, Decision, Policy};

/// Texts of domain files by their names, without `.toml`.
type Files = BTreeMap<String, String>;

/// The files that the wrapper would find, by their names.
type Parsed = BTreeMap<String, Option<DomainFile>>;

impl Imported {
    /// Compares both for all senders for which they could differ.
    pub(super) fn compare(&mut self, source: Source<'_>, domains: &[Domain]) {
        let mut senders: Vec<Sender> = Sender::any().into_iter().collect();
        for domain in domains {
            senders.push(Sender::at(domain));
            senders.extend(Sender::below(domain));
        }
        senders.extend(of_rows(source.opendkim));
        let files = self.parsed(source, &Files::new());
        let (mut names, mut lost) = (BTreeSet::new(), Vec::new());
        for sender in &senders {
            let before = self.before(source, sender);
            let now = now(&files, sender);
            if before != now {
                // Report one sender for each name.
                if names.insert(&sender.name) {
                    self.differences.push(difference(source, sender, &before, &now));
                }
            } else if !before.is_empty() {
                // The texts do not name the sender, so there are few of them.
                for text in fields_lost(&files, source, sender) {
                    if !lost.contains(&text) {
                        lost.push(text);
                    }
                }
            }
        }
        self.differences.append(&mut lost);
        remove_repeated(&mut self.differences);
        remove_repeated(&mut self.warnings);
    }

    /// Compares them for domains with files that were there before: those files apply to their mail, not a new file of a parent
    /// or `default.toml`. Mail that OpenDKIM does not sign does not count.
    pub(super) fn compare_existing(&mut self, source: Source<'_>, existing: &Files) {
        let named = existing.keys().filter(|name| *name != DEFAULT);
        let files = self.parsed(source, existing);
        for domain in named.filter_map(|name| Domain::parse(name).ok()) {
            for sender in [Sender::at(&domain)].into_iter().chain(Sender::below(&domain)) {
                let (before, now) = (self.before(source, &sender), now(&files, &sender));
                if before != now && !before.is_empty() {
                    let text = difference(source, &sender, &before, &now);
                    let text = format!("{text}, because of an existing domain file");
                    self.differences.push(text);
                }
            }
        }
        remove_repeated(&mut self.differences);
        remove_repeated(&mut self.warnings);
    }

    /// The signatures that OpenDKIM makes.
    fn before(&mut self, source: Source<'_>, sender: &Sender) -> Vec<String> {
        if let Fate::Held(why) = source.opendkim.fate(&sender.local, sender.domain.as_str()) {
            // A row for a named domain was meant to sign. A row with a star may have no key for some domains.
            let is_named = !is_made_up(&sender.domain);
            let list = if is_named { &mut self.differences } else { &mut self.warnings };
            list.push(format!("{}: {} defers it: {why}", sender.name, source.name));
        }
        let signatures = source.signatures(&sender.local, &sender.domain);
        if let Some(other) = signatures.iter().find(|one| !is_aligned(one, &sender.domain)) {
            let text = format!(
                "{}: d={} is neither its domain nor a parent domain: such a signature does \
                 not count for DMARC",
                sender.name, other.domain
            );
            self.warnings.push(text);
        }
        let text = |one: &Signature| {
            let (domain, selector) = (one.domain.to_ascii_lowercase(), &one.selector);
            signature(&domain, &selector.to_ascii_lowercase(), one.identity.as_deref())
        };
        signatures.iter().map(text).collect()
    }

    /// The domain files that are new or existed before, by their names. `None` if one cannot be read.
    fn parsed(&self, source: Source<'_>, existing: &Files) -> Parsed {
        let all = existing.iter().chain(&self.files);
        let file = |name, text| source.parse(name, text).ok().map(|read| read.file);
        all.map(|(name, text)| (format!("{name}.toml"), file(name, text))).collect()
    }
}

/// The senders that each row for some addresses matches: with text in place of a star and without, and those of two rows.
fn of_rows(opendkim: &OpenDkim) -> Vec<Sender> {
    let mut senders = Vec::new();
    let mut patterns: BTreeMap<Domain, Vec<(&Row, String)>> = BTreeMap::new();
    for (row, scope) in scopes(opendkim) {
        let matched = format!("mail that the row {} ({}) matches", row.key, row.place);
        match scope {
            Scope::Address(local, domain) if local.contains('*') => {
                for local in [instance(&local), local.replace('*', "")] {
                    senders.push(Sender { local, domain: domain.clone(), name: matched.clone() });
                }
                patterns.entry(domain).or_default().push((row, local));
            }
            Scope::Address(local, domain) => {
                let name = format!("mail From {local}@{domain}");
                senders.push(Sender { local, domain, name });
            }
            Scope::Other(local, domain) => {
                senders.push(Sender { local, domain, name: matched });
            }
            Scope::Domain(_)
            | Scope::Below(_)
            | Scope::Any
            | Scope::Expression
            | Scope::NoSender(_) => {}
        }
    }
    // If only the first matching row signs, it is enough to compare neighbors.
    let is_multiple = matches!(opendkim.by, By::Tables { is_multiple: true, .. });
    let most = if is_multiple { usize::MAX } else { 1 };
    for (domain, rows) in &patterns {
        for (index, (row, one)) in rows.iter().enumerate() {
            for (other, also) in rows.iter().skip(index.saturating_add(1)).take(most) {
                let local = instance_of_both(one, also);
                let name = format!("mail that the rows {} and {} match", row.key, other.key);
                let sender = |local| Sender { local, domain: domain.clone(), name };
                senders.extend(local.map(sender));
            }
        }
    }
    senders
}

/// The fields that OpenDKIM names in h= more often than the wrapper, in a message that has each field once, and in a message
/// that only has From.
fn fields_lost(files: &Parsed, source: Source<'_>, sender: &Sender) -> Vec<String> {
    let Some(Decision::Sign(plan)) = decide(files, sender) else { return Vec::new() };
    let Fields { signed, oversigned } = source.fields;
    let from = format!("From: <{}@{}>\n", sender.local, sender.domain);
    let others = signed.iter().chain(oversigned).filter(|name| !name.is("From"));
    let others: BTreeSet<String> = others.map(|name| format!("{}: x\n", name.as_str())).collect();
    let all = others.iter().fold(from.clone(), |all, field| all + field);
    let mut lost = Vec::new();
    for text in [all, from] {
        let Ok(header) = Header::parse(text.as_bytes()) else { continue };
        let named = plan.recipe.names(&header);
        for name in others.iter().filter_map(|field| field.split(':').next()).chain(["From"]) {
            let is_in = |list: &[FieldName]| usize::from(list.iter().any(|one| one.is(name)));
            let before = header.count(name).min(is_in(signed)).saturating_add(is_in(oversigned));
            let now = named.iter().filter(|one| one.is(name)).count();
            if now < before {
                let mail = if header.count(name) == 0 { "without" } else { "with one" };
                lost.push(format!(
                    "in mail {mail} {name} field, {} names {name} {before} times in h=, here {now} times",
                    source.name
                ));
            }
        }
    }
    lost
}

/// The signatures that the wrapper makes, found with its own code.
fn now(files: &Parsed, sender: &Sender) -> Vec<String> {
    let Some(Decision::Sign(plan)) = decide(files, sender) else { return Vec::new() };
    let identity = plan.recipe.identity().map(ToString::to_string);
    let domain = plan.recipe.domain().as_str();
    let selectors = plan.selectors.iter().map(Selector::as_str);
    selectors.map(|selector| signature(domain, selector, identity.as_deref())).collect()
}

fn decide(files: &Parsed, sender: &Sender) -> Option<Decision> {
    let from = format!("From: <{}@{}>\n", sender.local, sender.domain);
    let header = Header::parse(from.as_bytes()).ok()?;
    let author = Author::of(&header).ok()?;
    for candidate in Candidate::all(author.domain()) {
        let Some(file) = files.get(&candidate.file()) else { continue };
        let file = file.as_ref()?;
        if candidate.fits(file) {
            let policy = Policy { candidate, file: file.clone(), gone: Vec::new() };
            return policy.decide(&author, &header, false, &Caller::default()).ok();
        }
    }
    None
}

/// Keeps the first of equal texts.
fn remove_repeated(list: &mut Vec<String>) {
    let mut known = HashSet::new();
    list.retain(|text| known.insert(text.clone()));
}

fn signature(domain: &str, selector: &str, identity: Option<&str>) -> String {
    // The default of i= is the domain of d= (§3.5).
    let identity = identity.filter(|text| text.strip_prefix('@') != Some(domain));
    let identity = identity.map(|identity| format!(" i={identity}")).unwrap_or_default();
    format!("d={domain} s={selector}{identity}")
}

fn difference(source: Source<'_>, sender: &Sender, before: &[String], now: &[String]) -> String {
    let [before, now] = [before, now].map(|signatures| match signatures {
        [] => "does not sign it".to_owned(),
        all => format!("signs by {}", all.join(", ")),
    });
    format!("{}: {} {before}, here {now}", sender.name, source.name)
}

/// Whether receivers accept the signature as one of the author (RFC 7489 §3.1.1, relaxed alignment).
fn is_aligned(signature: &Signature, sender: &Domain) -> bool {
    Domain::parse(&signature.domain).is_ok_and(|domain| sender.is_within(&domain))
}
