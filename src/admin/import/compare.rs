//! Compares OpenDKIM's configuration with the domain files, sender by sender, and reports the differences.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::domain_files::{Imported, Source};
use super::headers::Fields;
use super::opendkim::{Fate, Signature};
use super::senders::{Scope, Sender, scopes};
use crate::admin::store::domains::DomainConfig;
use crate::config::DEFAULT;
use crate::dkim::{Domain, FieldName, Header, Selector};
use crate::message::author::Author;
use crate::policy::{Caller, Candidate, Decision, Policy};

/// Texts of domain files by their names, without `.toml`.
type Files = BTreeMap<String, String>;

impl Imported {
    /// Compares both for all senders for which they could differ.
    pub(super) fn compare(&mut self, source: Source<'_>, domains: &[Domain]) {
        let mut senders: Vec<Sender> = Sender::any().into_iter().collect();
        for domain in domains {
            senders.push(Sender::at(domain));
            senders.extend(Sender::below(domain));
        }
        for (row, scope) in scopes(source.opendkim) {
            if let Scope::Address(local, domain) = scope {
                let name = format!("mail From {local}@{domain}");
                senders.push(Sender { local, domain, name });
            } else if let Scope::Other(local, domain) = scope {
                let name = format!("mail that the row {} ({}) matches", row.key, row.place);
                senders.push(Sender { local, domain, name });
            }
        }
        for sender in &senders {
            let before = self.before(source, sender);
            let now = self.now(source, sender, &Files::new());
            if before != now {
                let (before, now) = (describe(&before), describe(&now));
                let text = format!("{}: {} {before}, here {now}", sender.name, source.name);
                push_once(&mut self.differences, text);
            } else if !before.is_empty() {
                for text in self.fields_lost(source, sender) {
                    push_once(&mut self.differences, text);
                }
            }
        }
    }

    /// The fields that OpenDKIM names in h= more often than the wrapper, in a message that has each field once, and in a message
    /// that only has From.
    fn fields_lost(&self, source: Source<'_>, sender: &Sender) -> Vec<String> {
        let Fields { signed, oversigned } = source.fields;
        let from = format!("From: <{}@{}>\n", sender.local, sender.domain);
        let others = signed.iter().chain(oversigned).filter(|name| !name.is("From"));
        let others: BTreeSet<String> =
            others.map(|name| format!("{}: x\n", name.as_str())).collect();
        let all = others.iter().fold(from.clone(), |all, field| all + field);
        let mut lost = Vec::new();
        for text in [all, from] {
            let Some(Decision::Sign(plan)) = self.decide(source, sender, &Files::new()) else {
                continue;
            };
            let Ok(header) = Header::parse(text.as_bytes()) else { continue };
            let named = plan.recipe.names(&header);
            for name in others.iter().filter_map(|field| field.split(':').next()).chain(["From"]) {
                let is_in = |list: &[FieldName]| usize::from(list.iter().any(|one| one.is(name)));
                let before =
                    header.count(name).min(is_in(signed)).saturating_add(is_in(oversigned));
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

    /// Compares them for domains with files that were there before: those files apply to their mail, not a new file of a parent
    /// or `default.toml`. Mail that OpenDKIM does not sign does not count.
    pub(super) fn compare_existing(&mut self, source: Source<'_>, existing: &Files) {
        let named = existing.keys().filter(|name| *name != DEFAULT);
        for domain in named.filter_map(|name| Domain::parse(name).ok()) {
            for sender in [Sender::at(&domain)].into_iter().chain(Sender::below(&domain)) {
                let before = self.before(source, &sender);
                let now = self.now(source, &sender, existing);
                if before != now && !before.is_empty() {
                    self.differences.push(format!(
                        "{}: {} {}, here {}, because of an existing domain file",
                        sender.name,
                        source.name,
                        describe(&before),
                        describe(&now)
                    ));
                }
            }
        }
    }

    /// The signatures that OpenDKIM makes.
    fn before(&mut self, source: Source<'_>, sender: &Sender) -> Vec<String> {
        if let Fate::Held(why) = source.opendkim.fate(&sender.local, sender.domain.as_str()) {
            // A row for a named domain was meant to sign. A row with a star may have no key for some domains.
            let list = if sender.is_named() { &mut self.differences } else { &mut self.warnings };
            push_once(list, format!("{}: {} defers it: {why}", sender.name, source.name));
        }
        let signatures = source.signatures(&sender.local, &sender.domain);
        if let Some(other) = signatures.iter().find(|one| !is_aligned(one, &sender.domain)) {
            let text = format!(
                "{}: d={} is neither its domain nor a parent domain: such a signature does \
                 not count for DMARC",
                sender.name, other.domain
            );
            push_once(&mut self.warnings, text);
        }
        let text = |one: &Signature| {
            let (domain, selector) = (one.domain.to_ascii_lowercase(), &one.selector);
            signature(&domain, &selector.to_ascii_lowercase(), one.identity.as_deref())
        };
        signatures.iter().map(text).collect()
    }

    /// The signatures that the wrapper makes, found with its own code.
    fn now(&self, source: Source<'_>, sender: &Sender, existing: &Files) -> Vec<String> {
        let Some(Decision::Sign(plan)) = self.decide(source, sender, existing) else {
            return Vec::new();
        };
        let identity = plan.recipe.identity().map(ToString::to_string);
        let domain = plan.recipe.domain().as_str();
        let selectors = plan.selectors.iter().map(Selector::as_str);
        selectors.map(|selector| signature(domain, selector, identity.as_deref())).collect()
    }

    fn decide(&self, source: Source<'_>, sender: &Sender, existing: &Files) -> Option<Decision> {
        let from = format!("From: <{}@{}>\n", sender.local, sender.domain);
        let header = Header::parse(from.as_bytes()).ok()?;
        let author = Author::of(&header).ok()?;
        for candidate in Candidate::all(author.domain()) {
            let name = candidate.file();
            let stem = name.strip_suffix(".toml").unwrap_or(&name);
            let Some(text) = self.files.get(stem).or_else(|| existing.get(stem)) else { continue };
            let read = DomainConfig::parse(Path::new(&name), text.clone(), source.host);
            let file = read.ok()?.file;
            if candidate.fits(&file) {
                let policy = Policy { candidate, file, gone: Vec::new() };
                return policy.decide(&author, &header, false, &Caller::default()).ok();
            }
        }
        None
    }
}

fn push_once(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) {
        list.push(text);
    }
}

fn signature(domain: &str, selector: &str, identity: Option<&str>) -> String {
    // The default of i= is the domain of d= (§3.5).
    let identity = identity.filter(|text| text.strip_prefix('@') != Some(domain));
    let identity = identity.map(|identity| format!(" i={identity}")).unwrap_or_default();
    format!("d={domain} s={selector}{identity}")
}

fn describe(signatures: &[String]) -> String {
    match signatures {
        [] => "does not sign it".to_owned(),
        all => format!("signs by {}", all.join(", ")),
    }
}

/// Whether receivers accept the signature as one of the author (RFC 7489 §3.1.1, relaxed alignment).
fn is_aligned(signature: &Signature, sender: &Domain) -> bool {
    Domain::parse(&signature.domain).is_ok_and(|domain| sender.is_within(&domain))
}
