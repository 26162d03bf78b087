//! The old set-up → domain files and keys; then both are asked about the same senders, and what they do
//! not agree about is said.

use std::collections::BTreeMap;
use std::path::Path;

use super::opendkim::{Fate, Made, Old};
use super::senders::{Scope, Sender, any_domain, below, domains, scopes};
use crate::admin::store::domains::DomainConfig;
use crate::config::Signing;
use crate::dkim::{Domain, Header, Identity, Selector};
use crate::message::author::Author;
use crate::policy::{Caller, Candidate, Decision, Policy};

/// What is to be written below the configuration folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// Texts by the names of domain files, without `.toml`.
    pub(super) files: BTreeMap<String, String>,
    /// Folder and selector → the old key: a path or the key itself.
    pub(super) keys: BTreeMap<(String, String), String>,
    /// What the new set-up does not do as the old one did.
    pub(super) differences: Vec<String>,
    /// What the administrator should look at.
    pub(super) warnings: Vec<String>,
    /// Texts of domain files that were there before, by their names.
    beside: BTreeMap<String, String>,
}

/// A domain file in the making.
#[derive(Clone, Debug, Default)]
struct Draft {
    own: Vec<Made>,
    subdomains: bool,
    rules: Vec<(String, Vec<Made>)>,
    /// Nobody may sign: another file would do for the domain, and must not.
    is_exempt: bool,
}

/// The name of the file for any other domain.
const DEFAULT: &str = "default";

/// The first line of each file.
pub(super) const HEAD: &str = "# Written by dkimctl import.\n";

/// Builds the tree. `found` are domains that have a key file by a `%` in its path; `lines` are the
/// settings that go into each file.
pub(super) fn build(old: &Old, found: &[Domain], lines: &str, host: &Signing) -> Tree {
    let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
    if let Some(any) = any_domain() {
        let own = made(old, super::senders::NOBODY, &any, found);
        if !own.is_empty() {
            drafts.insert(DEFAULT.to_owned(), Draft { own, ..Draft::default() });
        }
    }
    let domains = domains(old, found);
    for domain in &domains {
        if let Some(draft) = draft(old, domain, found, &drafts) {
            drafts.insert(domain.as_str().to_owned(), draft);
        }
    }
    let mut tree = Tree::default();
    for (name, draft) in &drafts {
        tree.add(name, draft, lines);
    }
    tree.warn(old);
    tree.compare(old, &domains, found, host);
    tree
}

/// The signatures of the mail of one sender, each once. Keys of a domain's own count where there are any.
fn made(old: &Old, local: &str, domain: &Domain, found: &[Domain]) -> Vec<Made> {
    let Fate::Signed(all) = old.fate(local, domain.as_str()) else { return Vec::new() };
    let mut once: Vec<Made> = Vec::new();
    for made in all {
        if (!made.has_own_key || found.contains(domain)) && !once.contains(&made) {
            once.push(made);
        }
    }
    once
}

/// The file of a domain, unless others do for it.
fn draft(
    old: &Old,
    domain: &Domain,
    found: &[Domain],
    drafts: &BTreeMap<String, Draft>,
) -> Option<Draft> {
    let nobody = super::senders::NOBODY;
    let own = made(old, nobody, domain, found);
    let below = below(domain)?;
    let under = made(old, nobody, &below, found);
    let rules: Vec<_> = scopes(old)
        .into_iter()
        .filter_map(|(_, scope)| match scope {
            Scope::Address(local, at) if at == *domain => {
                let made = made(old, &local, domain, found);
                (made != own).then_some((local, made))
            }
            Scope::Address(..)
            | Scope::Domain(_)
            | Scope::Below(_)
            | Scope::Any
            | Scope::Other(..)
            | Scope::Expression
            | Scope::Nobody(_) => None,
        })
        .filter(|(_, made)| !made.is_empty())
        .fold(Vec::new(), |mut rules: Vec<(String, Vec<Made>)>, rule| {
            if !rules.iter().any(|(local, _)| *local == rule.0) {
                rules.push(rule);
            }
            rules
        });
    let others = inherited(drafts, domain);
    if own.is_empty() && rules.is_empty() && !others.is_empty() {
        return Some(Draft { own: others, is_exempt: true, ..Draft::default() });
    }
    let is_same = own == others && under == inherited(drafts, &below);
    if (is_same || own.is_empty()) && rules.is_empty() {
        return None;
    }
    let subdomains = !own.is_empty() && own == under;
    Some(Draft { own, subdomains, rules, is_exempt: false })
}

/// The signatures that the files made so far give to a domain without one.
fn inherited(drafts: &BTreeMap<String, Draft>, domain: &Domain) -> Vec<Made> {
    let parents = std::iter::successors(domain.parent(), Domain::parent);
    let mut parents = parents.filter_map(|parent| drafts.get(parent.as_str()));
    let parent = parents.find(|draft| draft.subdomains);
    let Some(draft) = parent.or_else(|| drafts.get(DEFAULT)) else { return Vec::new() };
    let own = draft.own.iter().cloned().map(|mut made| {
        if made.follows_sender && parent.is_none() {
            domain.as_str().clone_into(&mut made.domain);
        }
        made
    });
    own.collect()
}

/// d= and s=, where they are names that a key can be published under; with anything else in them the key
/// and the file would be in a place of their own.
fn names(made: &Made) -> Option<(Domain, Selector)> {
    Some((Domain::parse(&made.domain).ok()?, Selector::parse(&made.selector).ok()?))
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

impl Tree {
    fn add(&mut self, name: &str, draft: &Draft, lines: &str) {
        let mut all = draft.own.iter().chain(draft.rules.iter().flat_map(|rule| &rule.1));
        // Of another domain a file can't speak, nor of what is no name; `compare` will tell.
        let Some((first, (domain, selector))) = all.find_map(|made| Some((made, names(made)?)))
        else {
            return;
        };
        if draft.is_exempt {
            let text = format!("{HEAD}selectors = [\"{selector}\"]\nusers = [] # exempt\n");
            self.files.insert(name.to_owned(), text);
            return;
        }
        let follows = name == DEFAULT && first.follows_sender;
        let folder = if follows { DEFAULT } else { domain.as_str() };
        let mut text = HEAD.to_owned();
        let own = self.selectors(folder, &draft.own, &domain);
        if own != "[]" {
            text.push_str(&format!("selectors = {own}\n"));
        }
        if folder != name {
            text.push_str(&format!("domain = \"{folder}\"\n"));
        }
        if draft.subdomains {
            text.push_str("subdomains = true\n");
        }
        let identity = first.identity.as_deref().filter(|_| !follows);
        if let Some(identity) = identity.filter(|text| Identity::parse(text).is_ok()) {
            text.push_str(&format!("identity = {}\n", quoted(identity)));
        }
        text.push_str(lines);
        let mut is_empty = own == "[]";
        for (local, made) in draft.rules.iter().filter(|(local, _)| !local.is_empty()) {
            let selectors = self.selectors(folder, made, &domain);
            if selectors != "[]" {
                let from = quoted(&format!("{local}@{name}"));
                text.push_str(&format!("\n[[sign]]\nfrom = {from}\nselectors = {selectors}\n"));
                is_empty = false;
            }
        }
        if is_empty {
            return;
        }
        self.files.insert(name.to_owned(), text);
    }

    /// The selectors of the signatures of a domain as a list, their keys noted.
    fn selectors(&mut self, folder: &str, made: &[Made], domain: &Domain) -> String {
        let mut selectors: Vec<String> = Vec::new();
        let usable = made.iter().filter_map(|made| Some((made, names(made)?)));
        for (made, (_, selector)) in usable.filter(|(_, (other, _))| other == domain) {
            let selector = selector.as_str().to_owned();
            let place = (folder.to_owned(), selector.clone());
            let known = self.keys.entry(place).or_insert_with(|| made.key.clone());
            if *known != made.key {
                self.differences.push(format!(
                    "two keys for d={folder} s={selector}: {known} was taken, {} was not; \
                     only one of them can be the published one",
                    made.key
                ));
            }
            if !selectors.contains(&selector) {
                selectors.push(selector);
            }
        }
        format!("{selectors:?}")
    }

    /// Rows that do other than they look like.
    fn warn(&mut self, old: &Old) {
        for (row, scope) in scopes(old) {
            let place = format!("{}: {}", row.place, row.key);
            match scope {
                Scope::Nobody(why) => {
                    self.warnings.push(format!("{place}: this row signs nothing: {why}"));
                }
                Scope::Expression => self.differences.push(format!(
                    "{place}: OpenDKIM takes this for a regular expression; write a row for each \
                     domain that it is for, and import again"
                )),
                Scope::Any => self.warnings.push(format!(
                    "{place}: this row is for mail From every domain, those of others included; \
                     it became domains/default.toml: remove that if it was not meant"
                )),
                Scope::Address(..) | Scope::Domain(_) | Scope::Below(_) | Scope::Other(..) => {}
            }
        }
    }

    /// Asks both set-ups about all senders that could tell them apart.
    fn compare(&mut self, old: &Old, domains: &[Domain], found: &[Domain], host: &Signing) {
        let mut senders: Vec<Sender> = Sender::any().into_iter().collect();
        for domain in domains {
            senders.push(Sender::at(domain));
            senders.extend(Sender::below(domain));
        }
        for (row, scope) in scopes(old) {
            match scope {
                Scope::Address(local, domain) => {
                    let name = format!("mail From {local}@{domain}");
                    senders.push(Sender::of(&local, &domain, name));
                }
                Scope::Other(local, domain) => {
                    let name = format!("mail that the row {} ({}) is for", row.key, row.place);
                    senders.push(Sender::of(&local, &domain, name));
                }
                Scope::Domain(_)
                | Scope::Below(_)
                | Scope::Any
                | Scope::Expression
                | Scope::Nobody(_) => {}
            }
        }
        for sender in senders {
            let before = self.before(old, &sender, found);
            let now = self.now(&sender, host);
            if before != now {
                let text = format!("{}: OpenDKIM {before}, here {now}", sender.name);
                if !self.differences.contains(&text) {
                    self.differences.push(text);
                }
            }
        }
    }

    /// Asks about domains that have had files of their own before: for their mail those take effect, and not
    /// a new file of a parent or `default.toml`. Mail that OpenDKIM does not sign is no loss.
    pub(super) fn compare_beside(
        &mut self,
        beside: BTreeMap<String, String>,
        old: &Old,
        found: &[Domain],
        host: &Signing,
    ) {
        let named = beside.keys().filter(|name| *name != DEFAULT);
        let domains: Vec<Domain> = named.filter_map(|name| Domain::parse(name).ok()).collect();
        self.beside = beside;
        for domain in &domains {
            for sender in [Sender::at(domain)].into_iter().chain(Sender::below(domain)) {
                let (before, now) = (self.before(old, &sender, found), self.now(&sender, host));
                if before != now && before != describe(std::iter::empty()) {
                    self.differences.push(format!(
                        "{}: OpenDKIM {before}, here {now}, by a domain file that was there before",
                        sender.name
                    ));
                }
            }
        }
    }

    fn before(&mut self, old: &Old, sender: &Sender, found: &[Domain]) -> String {
        if let Fate::Held(why) = old.fate(&sender.local, sender.domain.as_str()) {
            let text = format!("{}: OpenDKIM holds it up: {why}", sender.name);
            // A row for a domain that is named was meant to sign; a star may have no key for others.
            let list = if sender.is_named() { &mut self.differences } else { &mut self.warnings };
            if !list.contains(&text) {
                list.push(text);
            }
        }
        let made = made(old, &sender.local, &sender.domain, found);
        if let Some(made) = made.iter().find(|made| !is_aligned(made, &sender.domain)) {
            let text = format!(
                "{}: d={} is neither its domain nor a parent of that: such a signature does \
                 not count for DMARC",
                sender.name, made.domain
            );
            if !self.warnings.contains(&text) {
                self.warnings.push(text);
            }
        }
        describe(made.iter().map(|made| {
            let identity = made.identity.as_ref().map(|text| format!(" i={text}"));
            let (d, s) = (made.domain.to_ascii_lowercase(), made.selector.to_ascii_lowercase());
            format!("d={d} s={s}{}", identity.unwrap_or_default())
        }))
    }

    /// What the wrapper will do, by its own code.
    fn now(&self, sender: &Sender, host: &Signing) -> String {
        let decision = self.decide(sender, host);
        let Some(Ok(Decision::Sign(plan))) = decision else {
            return describe(std::iter::empty());
        };
        let identity = plan.recipe.identity().map(|identity| format!(" i={identity}"));
        let identity = identity.unwrap_or_default();
        let domain = plan.recipe.domain();
        describe(plan.selectors.iter().map(|selector| format!("d={domain} s={selector}{identity}")))
    }

    fn decide(
        &self,
        sender: &Sender,
        host: &Signing,
    ) -> Option<Result<Decision, crate::dkim::RecipeError>> {
        let from = format!("From: <{}@{}>\n", sender.local, sender.domain);
        let header = Header::parse(from.as_bytes()).ok()?;
        let author = Author::of(&header).ok()?;
        for candidate in Candidate::all(author.domain()) {
            let name = candidate.file();
            let text = name
                .strip_suffix(".toml")
                .and_then(|name| self.files.get(name).or_else(|| self.beside.get(name)));
            let Some(text) = text else { continue };
            let file = DomainConfig::parse(Path::new(&name), text.clone(), host).ok()?.file;
            if candidate.fits(&file) {
                let policy = Policy { candidate, file };
                return Some(policy.decide(&author, &header, false, &Caller::default()));
            }
        }
        None
    }
}

fn describe(signatures: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = signatures.collect();
    if all.is_empty() {
        "does not sign it".to_owned()
    } else {
        format!("signs by {}", all.join(", "))
    }
}

/// What receivers take for a signature of the author.
fn is_aligned(made: &Made, sender: &Domain) -> bool {
    Domain::parse(&made.domain).is_ok_and(|domain| sender.is_within(&domain))
}

#[cfg(test)]
mod tests {
    use super::super::opendkim_conf::Settings;
    use super::super::opendkim_conf::tests::paper;
    use super::super::senders::found;
    use super::*;
    use crate::config::DomainFile;

    const KEYS: &str = "one sample.com:s1:/k/one\ntwo sample.com:s2:/k/two\n\
        any %:s3:/k/%.key\nfixed %:s4:/k/s4\nhogehoge.jp hogehoge.jp:s5:/k/five\n";

    fn imported(conf: &str, signing: &str) -> Tree {
        let conf = format!("KeyTable /keys\nSigningTable {conf}\n");
        let files = paper(&[
            ("/c", &conf),
            ("/keys", KEYS),
            ("/s", signing),
            ("/k/own.test.key", ""),
            ("/k/two.own.test.key", ""),
        ]);
        let old = Old::of(&Settings::read("/c", &files).unwrap(), &files).unwrap();
        build(&old, &found(&old, &files), "", &Signing::default())
    }

    /// The files without their first line, and what differs.
    fn files(tree: &Tree) -> Vec<(&str, &str)> {
        let files = tree.files.iter();
        files.map(|(name, text)| (name.as_str(), text.strip_prefix(HEAD).unwrap())).collect()
    }

    #[test]
    fn the_usual_set_up_becomes_a_file_for_each_domain() {
        let tree = imported("refile:/s", "*@sample.com one\n*@hogehoge.jp hogehoge.jp\n");
        assert_eq!(
            files(&tree),
            [("hogehoge.jp", "selectors = [\"s5\"]\n"), ("sample.com", "selectors = [\"s1\"]\n")]
        );
        assert_eq!(tree.keys.len(), 2);
        assert!(tree.differences.is_empty() && tree.warnings.is_empty(), "{tree:?}");
    }

    #[test]
    fn an_address_before_its_domain_becomes_a_rule_and_behind_it_nothing() {
        let rule = "\n[[sign]]\nfrom = \"news@sample.com\"\nselectors = [\"s2\"]\n";
        let tree = imported("refile:/s", "News@sample.com two\n*@sample.com one\n");
        assert_eq!(files(&tree), [("sample.com", &*format!("selectors = [\"s1\"]\n{rule}"))]);
        let tree = imported("refile:/s", "*@sample.com one\nnews@sample.com two\n");
        assert_eq!(files(&tree), [("sample.com", "selectors = [\"s1\"]\n")]);
        assert!(tree.differences.is_empty(), "{tree:?}");
        let tree = imported("refile:/s", "news@sample.com two\n");
        assert_eq!(files(&tree), [("sample.com", rule)]);
        assert!(tree.differences.is_empty(), "{tree:?}");
    }

    #[test]
    fn what_is_below_a_domain_is_signed_where_it_was() {
        let tree = imported("refile:/s", "*@sample.com one\n*@*.sample.com one\n");
        assert_eq!(files(&tree), [("sample.com", "selectors = [\"s1\"]\nsubdomains = true\n")]);
        assert!(tree.differences.is_empty(), "{tree:?}");
        // Without the domain itself, or by another key, no file can say it.
        for rows in ["*@*.sample.com one\n", "*@sample.com one\n*@*.sample.com two\n"] {
            let tree = imported("refile:/s", rows);
            assert_eq!(tree.differences.len(), 1, "{tree:?}");
            assert!(tree.differences[0].starts_with("mail From domains below sample.com: "));
        }
    }

    #[test]
    fn a_star_becomes_the_default_and_is_warned_of() {
        let tree = imported("refile:/s", "*@sample.com one\n* fixed\n");
        assert_eq!(
            files(&tree),
            [("default", "selectors = [\"s4\"]\n"), ("sample.com", "selectors = [\"s1\"]\n")]
        );
        assert!(tree.keys.contains_key(&("default".to_owned(), "s4".to_owned())));
        assert!(tree.differences.is_empty() && tree.warnings.len() == 1, "{tree:?}");
        let tree = imported("refile:/s", "* one\n");
        assert_eq!(files(&tree), [("default", "selectors = [\"s1\"]\ndomain = \"sample.com\"\n")]);
        assert!(tree.warnings.iter().any(|text| text.contains("DMARC")), "{tree:?}");
    }

    #[test]
    fn a_path_with_a_percent_sign_is_for_the_domains_that_have_a_key() {
        let tree = imported("refile:/s", "* any\n");
        let names: Vec<_> = files(&tree).iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["own.test", "two.own.test"]);
        assert!(tree.differences.is_empty(), "{tree:?}");
    }

    #[test]
    fn a_pattern_on_the_local_part_is_said_to_be_lost() {
        let tree = imported("refile:/s", "*-news@sample.com two\n*@sample.com one\n");
        assert_eq!(files(&tree), [("sample.com", "selectors = [\"s1\"]\n")]);
        assert_eq!(tree.differences.len(), 1, "{tree:?}");
        assert!(tree.differences[0].contains("the row *-news@sample.com"), "{tree:?}");
        // By the same key it makes no difference.
        let tree = imported("refile:/s", "*-news@sample.com one\n*@sample.com one\n");
        assert!(tree.differences.is_empty(), "{tree:?}");
    }

    #[test]
    fn wildcards_in_a_table_that_is_none_of_patterns_are_pointed_out() {
        let tree = imported("file:/s", "*@sample.com one\nhogehoge.jp hogehoge.jp\n");
        assert_eq!(files(&tree), [("hogehoge.jp", "selectors = [\"s5\"]\n")]);
        assert!(tree.warnings[0].contains("/s:1: *@sample.com: this row signs nothing"));
    }

    #[test]
    fn several_signatures_of_one_domain_become_several_selectors() {
        let multiple = "refile:/s\nMultipleSignatures yes";
        let tree = imported(multiple, "*@sample.com one\n*@sample.com two\nx@sample.com two\n");
        assert_eq!(files(&tree), [("sample.com", "selectors = [\"s1\", \"s2\"]\n")]);
        // The row for x fits once more, by a key that has signed already.
        let tree = imported(multiple, "*@sample.com one\n*@sample.com hogehoge.jp\n");
        assert_eq!(tree.differences.len(), 1, "{tree:?}");
    }

    #[test]
    fn an_exempt_domain_gets_a_file_that_nobody_may_sign_by() {
        let tree = imported("refile:/s\nExemptDomains x.test", "*@sample.com one\n* fixed\n");
        let exempt = files(&tree).into_iter().find(|(name, _)| *name == "x.test");
        assert_eq!(exempt.unwrap().1, "selectors = [\"s4\"]\nusers = [] # exempt\n");
        assert!(tree.differences.is_empty(), "{tree:?}");
    }

    #[test]
    fn what_is_no_name_becomes_no_file_and_no_folder() {
        for keys in ["x ../../x:s1:/k/one\n", "x a/b:s1:/k\n", "x sample.com:s/1:/k\n"] {
            let files = paper(&[("/c", "KeyTable /keys\nSigningTable csl:*=x\n"), ("/keys", keys)]);
            let old = Old::of(&Settings::read("/c", &files).unwrap(), &files).unwrap();
            let tree = build(&old, &[], "", &Signing::default());
            assert!(tree.files.is_empty() && tree.keys.is_empty(), "{tree:?}");
            assert_eq!(tree.differences.len(), 1, "{tree:?}");
        }
    }

    #[test]
    fn an_address_of_any_characters_becomes_a_rule_that_can_be_read() {
        let tree = imported("csl:\u{1}\"\\@sample.com=one", "");
        let domain = Domain::parse("sample.com").ok();
        let text = &tree.files["sample.com"];
        let file = DomainFile::parse(text, domain.as_ref(), &Signing::default()).unwrap();
        assert_eq!(file.rules[0].local, "\u{1}\"\\");
        // Nobody sends without a local part.
        let tree = imported("csl:@sample.com=one", "");
        assert!(tree.files.is_empty() && tree.differences.len() == 1, "{tree:?}");
    }

    #[test]
    fn a_signer_becomes_the_identity() {
        let tree = imported("refile:/s", "*@sample.com one:@%\n");
        let text = "selectors = [\"s1\"]\nidentity = \"@sample.com\"\n";
        assert_eq!(files(&tree), [("sample.com", text)]);
        assert!(tree.differences.is_empty(), "{tree:?}");
    }
}
