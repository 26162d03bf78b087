//! Converts an OpenDKIM configuration to domain files, and finds the keys that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::data_set::fits;
use super::headers::Fields;
use super::opendkim::{By, Fate, OpenDkim, Signature, key_columns};
use super::senders::{NO_USER, Scope, any_domain, below, domains, instance, scopes};
use crate::admin::store::domains::DomainConfig;
use crate::admin::store::keys::selector;
use crate::config::{ConfigError, DEFAULT, Signing, Subdomains};
use crate::dkim::{Domain, Identity, Selector};

/// An OpenDKIM configuration, and what else its signatures depend on.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The name of the program.
    pub(super) name: &'static str,
    pub(super) opendkim: &'a OpenDkim,
    /// The domains with their own key file, sorted.
    pub(super) with_key: &'a [Domain],
    /// What domain files inherit.
    pub(super) host: &'a Signing,
    /// The fields that OpenDKIM signs.
    pub(super) fields: &'a Fields,
    /// Keys that cannot be used; no domain file may name them.
    pub(super) broken: &'a [String],
}

/// The domain files and keys to write, and the remarks on them.
#[derive(Clone, Debug, Default)]
pub(super) struct Imported {
    /// Texts by the names of domain files, without `.toml`.
    pub(super) files: BTreeMap<String, String>,
    /// OpenDKIM's key by directory and selector: a path, or the key itself.
    pub(super) keys: BTreeMap<(String, String), String>,
    /// Where the domain files differ from OpenDKIM.
    pub(super) differences: Vec<String>,
    /// What the administrator should check.
    pub(super) warnings: Vec<String>,
}

/// The content of a domain file.
#[derive(Clone, Debug, Default)]
struct Draft {
    own: Vec<Signature>,
    subdomains: Subdomains,
    /// By local parts, in which `*` stands for any text. The first one that matches applies.
    rules: Vec<(String, Vec<Signature>)>,
    /// Whether no user may sign: without this file, another one would apply to the domain.
    is_exempt: bool,
}

/// The first line of each file.
pub(super) const HEAD: &str = "# Written by dkimctl import.\n";

impl Source<'_> {
    /// Makes the domain files and compares them with OpenDKIM. `lines` are the settings for each file.
    pub(super) fn import(self, lines: &str) -> Imported {
        let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
        if let Some(any) = any_domain() {
            let own = self.signatures(NO_USER, &any);
            if !own.is_empty() {
                drafts.insert(DEFAULT.to_owned(), Draft { own, ..Draft::default() });
            }
        }
        let domains = domains(self.opendkim, self.with_key);
        let locals = locals(self.opendkim);
        for domain in &domains {
            let locals = locals.get(domain).map_or(&[][..], Vec::as_slice);
            if let Some(draft) = self.draft(domain, locals, &drafts) {
                drafts.insert(domain.as_str().to_owned(), draft);
            }
        }
        let mut imported = Imported::default();
        for (name, draft) in &drafts {
            imported.add(name, draft, lines, self.broken);
        }
        imported.drop_refused(self);
        imported.warn(self);
        imported.compare(self, &domains);
        imported
    }

    /// Parses the text of a domain file as the wrapper does.
    pub(super) fn parse(self, name: &str, text: &str) -> Result<DomainConfig, ConfigError> {
        DomainConfig::parse(Path::new(&format!("{name}.toml")), text.to_owned(), self.host)
    }

    /// The signatures for the mail of one sender, each once. A domain's own keys apply if there are any.
    pub(super) fn signatures(self, local: &str, domain: &Domain) -> Vec<Signature> {
        let Fate::Signed(all) = self.opendkim.fate(local, domain.as_str()) else {
            return Vec::new();
        };
        let mut once: Vec<Signature> = Vec::new();
        for signature in all {
            let has_key = !signature.has_own_key || self.with_key.binary_search(domain).is_ok();
            if has_key && !once.contains(&signature) {
                once.push(signature);
            }
        }
        once
    }

    /// The file for a domain, unless other files have the same effect. `locals` are those of its addresses in the configuration.
    fn draft(
        self,
        domain: &Domain,
        locals: &[String],
        drafts: &BTreeMap<String, Draft>,
    ) -> Option<Draft> {
        let own = self.signatures(NO_USER, domain);
        let below = below(domain)?;
        let mut of_below = self.signatures(NO_USER, &below);
        let rules = self.rules(domain, locals, &own);
        let others = inherited(drafts, domain);
        if own.is_empty() && rules.is_empty() && !others.is_empty() {
            return Some(Draft { own: others, is_exempt: true, ..Draft::default() });
        }
        let is_same = of_below == inherited(drafts, &below);
        if own.is_empty() && rules.is_empty() {
            // A file has one d=, and one i=.
            let is_one = |one: &Signature| !one.follows_sender;
            if of_below.is_empty() || is_same || !of_below.iter().all(is_one) {
                return None;
            }
            let names_sender = |text: &String| text.contains(below.as_str());
            for signature in &mut of_below {
                signature.identity.take_if(|identity| names_sender(identity));
            }
            return Some(Draft { own: of_below, subdomains: Subdomains::Only, ..Draft::default() });
        }
        if own == others && is_same && rules.is_empty() {
            return None;
        }
        let is_for_both = !own.is_empty() && own == of_below;
        let subdomains = if is_for_both { Subdomains::Yes } else { Subdomains::No };
        Some(Draft { own, subdomains, rules, is_exempt: false })
    }

    /// The rules for addresses at a domain: single addresses, then patterns in the order of the rows.
    fn rules(
        self,
        domain: &Domain,
        locals: &[String],
        own: &[Signature],
    ) -> Vec<(String, Vec<Signature>)> {
        let of = |local: &String| (local.clone(), self.signatures(&instance(local), domain));
        let (patterns, single): (Vec<_>, Vec<_>) =
            locals.iter().partition(|local| local.contains('*'));
        let mut patterns: Vec<_> = patterns.into_iter().map(of).collect();
        // A pattern with the usual keys is an exception from those after it.
        while patterns.pop_if(|(_, all)| all.is_empty() || all == own).is_some() {}
        patterns.retain(|(_, all)| !all.is_empty());
        let mut rules: Vec<_> = single.into_iter().map(of).collect();
        rules.retain(|(local, all)| {
            let pattern = patterns.iter().find(|(pattern, _)| fits(pattern, local));
            !all.is_empty() && pattern.map_or(own, |(_, all)| all) != all
        });
        rules.extend(patterns);
        rules
    }
}

/// The local parts of a configuration by their domains, each once.
fn locals(opendkim: &OpenDkim) -> BTreeMap<Domain, Vec<String>> {
    let mut locals: BTreeMap<Domain, Vec<String>> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for (_, scope) in scopes(opendkim) {
        if let Scope::Address(local, domain) = scope
            && known.insert((local.clone(), domain.clone()))
        {
            locals.entry(domain).or_default().push(local);
        }
    }
    locals
}

/// The signatures that the previous files make for a domain without its own file.
fn inherited(drafts: &BTreeMap<String, Draft>, domain: &Domain) -> Vec<Signature> {
    let parents = std::iter::successors(domain.parent(), Domain::parent);
    let mut parents = parents.filter_map(|parent| drafts.get(parent.as_str()));
    let parent = parents.find(|draft| draft.subdomains != Subdomains::No);
    let Some(draft) = parent.or_else(|| drafts.get(DEFAULT)) else { return Vec::new() };
    let mut own = draft.own.clone();
    for signature in own.iter_mut().filter(|one| one.follows_sender && parent.is_none()) {
        domain.as_str().clone_into(&mut signature.domain);
    }
    own
}

/// d= and s=, if they are valid names and the key can be used. An invalid name could place the key and the file in another
/// directory.
fn names(signature: &Signature, broken: &[String]) -> Option<(Domain, Selector)> {
    let selector = selector(&signature.selector).ok()?;
    let is_usable = !broken.contains(&signature.key);
    Domain::parse(&signature.domain).ok().filter(|_| is_usable).map(|domain| (domain, selector))
}

/// A text as a TOML string.
fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

impl Imported {
    /// Drops the files that the wrapper would refuse, such as those with too many rules, and the keys that no other file names.
    fn drop_refused(&mut self, source: Source<'_>) {
        let mut folders = BTreeSet::new();
        let differences = &mut self.differences;
        self.files.retain(|name, text| {
            let read = source.parse(name, text);
            match &read {
                Ok(config) => drop(folders.insert(config.folder().to_owned())),
                Err(error) => differences.push(format!(
                    "{name}: not imported, because the wrapper would refuse its domain file: {error}; change its rows, \
                     for example to patterns such as `news*@{name}`, then import again"
                )),
            }
            read.is_ok()
        });
        self.keys.retain(|(folder, _), _| folders.contains(folder));
    }

    fn add(&mut self, name: &str, draft: &Draft, lines: &str, broken: &[String]) {
        let mut all = draft.own.iter().chain(draft.rules.iter().flat_map(|rule| &rule.1));
        // No file can sign for a malformed d=; `compare` reports it.
        let Some((first, (domain, selector))) =
            all.find_map(|one| Some((one, names(one, broken)?)))
        else {
            return;
        };
        if draft.is_exempt {
            let other = format!("domain = \"{domain}\"\n");
            let other = if domain.as_str() == name { "" } else { &other };
            let text = format!("{HEAD}selectors = [\"{selector}\"]\n{other}users = [] # exempt\n");
            self.files.insert(name.to_owned(), text);
            return;
        }
        let follows = name == DEFAULT && first.follows_sender;
        let folder = if follows { DEFAULT } else { domain.as_str() };
        let mut text = HEAD.to_owned();
        let own = self.selectors(folder, &draft.own, &domain, broken);
        if !own.is_empty() {
            text.push_str(&format!("selectors = {own:?}\n"));
        }
        if folder != name {
            text.push_str(&format!("domain = \"{folder}\"\n"));
        }
        text.push_str(match draft.subdomains {
            Subdomains::No => "",
            Subdomains::Yes => "subdomains = true\n",
            Subdomains::Only => "subdomains = \"only\"\n",
        });
        // i= with d= and without a local part is the default (§3.5).
        let usual = format!("@{domain}");
        // A row may name keys of several domains. For keys with another d=, i= must be within that domain.
        let ours = |all: &[Signature]| {
            let is_ours = |one: &&Signature| Domain::parse(&one.domain).is_ok_and(|d| d == domain);
            all.iter().find(is_ours).map(|one| one.identity.clone())
        };
        let is_usable = |text: &String| {
            let identity = Identity::parse(text);
            !follows && identity.is_ok_and(|identity| identity.domain().is_within(&domain))
        };
        let identity =
            |all: &[Signature]| Some(ours(all)?.unwrap_or_else(|| usual.clone())).filter(is_usable);
        let of_file = ours(&draft.own).flatten().filter(is_usable);
        if let Some(identity) = &of_file {
            text.push_str(&format!("identity = {}\n", quoted(identity)));
        }
        text.push_str(lines);
        let mut signs = !own.is_empty();
        for (local, signatures) in draft.rules.iter().filter(|(local, _)| !local.is_empty()) {
            let selectors = self.selectors(folder, signatures, &domain, broken);
            if !selectors.is_empty() {
                let from = quoted(&format!("{local}@{name}"));
                text.push_str(&format!("\n[[sign]]\nfrom = {from}\nselectors = {selectors:?}\n"));
                let own = identity(signatures);
                if let Some(own) = own.filter(|own| own != of_file.as_ref().unwrap_or(&usual)) {
                    text.push_str(&format!("identity = {}\n", quoted(&own)));
                }
                signs = true;
            }
        }
        if signs {
            self.files.insert(name.to_owned(), text);
        }
    }

    /// The selectors of the signatures for a domain; records their keys.
    fn selectors(
        &mut self,
        folder: &str,
        all: &[Signature],
        domain: &Domain,
        broken: &[String],
    ) -> Vec<String> {
        let mut selectors: Vec<String> = Vec::new();
        let usable = all.iter().filter_map(|one| Some((one, names(one, broken)?)));
        for (signature, (_, selector)) in usable.filter(|(_, (other, _))| other == domain) {
            let (selector, key) = (selector.as_str().to_owned(), &signature.key);
            let place = (folder.to_owned(), selector.clone());
            let known = self.keys.entry(place).or_insert_with(|| key.clone());
            if known != key {
                self.differences.push(format!(
                    "two keys for d={folder} s={selector}: {known} was imported, {key} was not; \
                     only one of them can be the published one"
                ));
            }
            if !selectors.contains(&selector) {
                selectors.push(selector);
            }
        }
        selectors
    }

    /// Warns about rows whose effect is not what it seems.
    fn warn(&mut self, source: Source<'_>) {
        let Source { name, opendkim, .. } = source;
        let named = match &opendkim.by {
            By::One { selector, .. } => vec![("Selector", selector.as_str())],
            By::List { .. } => Vec::new(),
            By::Tables { keys, .. } => {
                let columns = keys.rows.iter().filter_map(|row| Some((row, key_columns(row)?.1)));
                columns.map(|(row, selector)| (row.place.as_str(), selector)).collect()
            }
        };
        for (place, text) in named {
            if let Err(why) = selector(text) {
                self.differences.push(format!(
                    "{place}: selector {text:?}: {why}; correct it, then import again"
                ));
            }
        }
        for (row, scope) in scopes(opendkim) {
            let place = format!("{}: {}", row.place, row.key);
            match scope {
                Scope::NoSender(why) => {
                    self.warnings.push(format!("{place}: this row signs nothing: {why}"));
                }
                Scope::Expression => self.differences.push(format!(
                    "{place}: {name} takes this for a regular expression; write a row for each \
                     domain that it should match, then import again"
                )),
                Scope::Any => self.warnings.push(format!(
                    "{place}: this row matches mail From every domain, including domains of others; \
                     it became domains/default.toml: remove this file if that was not intended"
                )),
                Scope::Address(..) | Scope::Domain(_) | Scope::Below(_) | Scope::Other(..) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::opendkim_conf::tests::paper;
    use super::super::opendkim_conf::{Files, Settings};
    use super::super::senders::{NO_LABELS, with_key_file};
    use super::*;
    use crate::config::DomainFile;

    const KEYS: &str = "one sample.com:s1:/k/one\ntwo sample.com:s2:/k/two\n\
        any %:s3:/k/%.key:rsa-sha256\nfixed %:s4:/k/s4\nhogehoge.jp hogehoge.jp:s5:/k/five\n";

    fn imported(conf: &str, signing: &str) -> Imported {
        let conf = format!("KeyTable /keys\nSigningTable {conf}\n");
        let files = paper(&[
            ("/c", &conf),
            ("/keys", KEYS),
            ("/s", signing),
            ("/k/own.test.key", ""),
            ("/k/Upper.test.key", ""),
            ("/k/two.own.test.key", ""),
        ]);
        let opendkim = set_up(&files);
        let with_key = with_key_file(&opendkim, &files);
        source(&opendkim, &with_key, &[]).import("")
    }

    /// An OpenDKIM with a table of patterns, and more settings.
    fn with_rows(rows: &str, more: &str) -> OpenDkim {
        let conf = format!("KeyTable /keys\nSigningTable refile:/s\n{more}");
        let files = paper(&[("/c", &conf), ("/keys", KEYS), ("/s", rows)]);
        set_up(&files)
    }

    /// The set-up whose opendkim.conf is `/c`.
    fn set_up(files: &dyn Files) -> OpenDkim {
        OpenDkim::new(&Settings::read("/c", files).unwrap(), files).unwrap()
    }

    fn source<'a>(
        opendkim: &'a OpenDkim,
        with_key: &'a [Domain],
        broken: &'a [String],
    ) -> Source<'a> {
        let host = Box::leak(Box::new(Signing::default()));
        let fields = Box::leak(Box::new(Fields::default()));
        Source { name: "OpenDKIM", opendkim, with_key, host, fields, broken }
    }

    /// The files without their first line, and what differs.
    fn files(tree: &Imported) -> Vec<(&str, &str)> {
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
        let rows = "news@sample.com two\nnews@sample.com one\n*@sample.com one\n";
        let tree = imported("refile:/s", rows);
        assert_eq!(files(&tree), [("sample.com", &*format!("selectors = [\"s1\"]\n{rule}"))]);
        let tree = imported("refile:/s", "*@sample.com one\nnews@sample.com two\n");
        assert_eq!(files(&tree), [("sample.com", "selectors = [\"s1\"]\n")]);
        assert!(tree.differences.is_empty(), "{tree:?}");
        let tree = imported("refile:/s", "news@sample.com two\n");
        assert_eq!(files(&tree), [("sample.com", rule)]);
        assert!(tree.differences.is_empty(), "{tree:?}");
    }

    #[test]
    fn a_file_that_the_wrapper_would_refuse_is_not_written() {
        for (count, differences) in [(1_000, 0), (1_001, 1_002)] {
            let rows = (0..count).map(|number| format!("u{number}@sample.com one\n"));
            let tree = imported("refile:/s", &rows.collect::<String>());
            assert_eq!(tree.differences.len(), differences, "{tree:?}");
            assert_eq!(tree.files.contains_key("sample.com"), differences == 0);
            assert_eq!(tree.keys.is_empty(), differences > 0);
        }
    }

    #[test]
    fn what_is_below_a_domain_is_signed_where_it_was() {
        let both = "selectors = [\"s1\"]\nsubdomains = true\n";
        let only = "selectors = [\"s1\"]\nsubdomains = \"only\"\n";
        for (rows, text) in [
            ("*@sample.com one\n*@*.sample.com one\n", both),
            ("*@*.sample.com one\n", only),
            ("*.sample.com one\n", only),
        ] {
            let tree = imported("refile:/s", rows);
            assert_eq!(files(&tree), [("sample.com", text)]);
            assert!(tree.differences.is_empty(), "{tree:?}");
        }
        let tree = imported("/s", ".sample.com one\n");
        assert_eq!((files(&tree), tree.differences.len()), (vec![("sample.com", only)], 0));
        // The file of a domain below that is exempt, or has a key of its own.
        let rows = "*@x.sample.com two\n*@*.sample.com one\n";
        let tree = imported("refile:/s\nExemptDomains y.sample.com", rows);
        let own = "selectors = [\"s2\"]\ndomain = \"sample.com\"\n";
        let exempt = "selectors = [\"s1\"]\nusers = [] # exempt\n";
        let exempt = exempt.replace("users", "domain = \"sample.com\"\nusers");
        assert_eq!(
            files(&tree),
            [("sample.com", only), ("x.sample.com", own), ("y.sample.com", exempt.as_str())]
        );
        assert!(tree.differences.is_empty(), "{tree:?}");
        // No file can describe these: two keys, a d= or i= of each sender, a row for some of the domains, or for both and an address.
        for rows in [
            "*@sample.com one\n*@*.sample.com two\n",
            "*@*.sample.com fixed\n",
            "*@*.sample.com one:@%\n",
            "*@dkim*.sample.com two\n*@*.sample.com one\n",
            "*@*9q.sample.com two\n*@*.sample.com one\n",
            "news@sample.com two\n*@*.sample.com one\n",
        ] {
            let tree = imported("refile:/s", rows);
            assert!(!tree.differences.is_empty(), "{rows} {tree:?}");
            assert!(!format!("{:?}", tree.files).contains(NO_LABELS[0]), "{tree:?}");
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
        // The signer is that of each sender.
        let tree = imported("refile:/s", "* fixed:@%\n");
        let text = tree.files["default"].strip_prefix(HEAD).unwrap();
        assert_eq!(text, "selectors = [\"s4\"]\n");
        assert!(tree.differences.is_empty(), "{tree:?}");
    }

    #[test]
    fn mail_that_opendkim_defers_differs_if_a_row_names_its_domain() {
        for (row, differences, warnings) in
            [("*@sample.com nokey\n", 1, 0), ("*@*.sample.com nokey\n", 0, 1)]
        {
            let tree = imported("refile:/s", row);
            let count = |texts: &[String]| {
                texts.iter().filter(|text| text.contains("OpenDKIM defers it")).count()
            };
            let found = (count(&tree.differences), count(&tree.warnings));
            assert_eq!(found, (differences, warnings), "{row} {tree:?}");
        }
    }

    #[test]
    fn a_row_or_a_selector_that_cannot_be_imported_is_reported() {
        let tree = imported("refile:/s", "*@(x|y).test one\n");
        assert!(tree.differences[0].contains("a regular expression"), "{tree:?}");
        let conf = "Domain x.test\nKeyFile /k\nSelector s._domainkey.x.test\n";
        let files = paper(&[("/c", conf)]);
        let opendkim = set_up(&files);
        let tree = source(&opendkim, &[], &[]).import("");
        assert!(tree.differences[0].contains("the selector is \"s\""), "{tree:?}");
    }

    #[test]
    fn a_path_with_a_percent_sign_is_for_the_domains_that_have_a_key() {
        let tree = imported("refile:/s", "* any\n");
        let names: Vec<_> = files(&tree).iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["own.test", "two.own.test"]);
        assert!(tree.differences.is_empty(), "{tree:?}");
    }

    #[test]
    fn an_existing_file_differs_where_opendkim_signs() {
        let opendkim = with_rows("*@sample.com one\n*@*.sample.com one\n", "");
        let source = source(&opendkim, &[], &[]);
        let mut tree = source.import("");
        let existing = ["x.sample.com", "z.test"];
        let text = "selectors = [\"own\"]\n".to_owned();
        let existing = existing.map(|name| (name.to_owned(), text.clone())).into_iter().collect();
        tree.compare_existing(source, &existing);
        let expected = "mail From x.sample.com: OpenDKIM signs by d=sample.com s=s1, \
            here signs by d=x.sample.com s=own, because of an existing domain file";
        assert_eq!(tree.differences, [expected]);
        // No other file takes the place of one that cannot be read.
        let mut tree = source.import("");
        let broken = [("x.sample.com".to_owned(), "selectors = 1\n".to_owned())];
        tree.compare_existing(source, &broken.into_iter().collect());
        assert!(tree.differences[0].contains("here does not sign it"), "{tree:?}");
    }

    #[test]
    fn patterns_of_local_parts_become_rules_in_the_order_of_the_rows() {
        let rule = |local: &str, selector: &str| {
            format!("\n[[sign]]\nfrom = \"{local}@sample.com\"\nselectors = [\"{selector}\"]\n")
        };
        let of = |rows: &str| {
            let tree = imported("refile:/s", rows);
            assert!(tree.differences.is_empty(), "{rows} {tree:?}");
            tree.files
                .get("sample.com")
                .map_or("", |text| text.strip_prefix(HEAD).unwrap())
                .to_owned()
        };
        let own = "selectors = [\"s1\"]\n";
        let text = of("*-News@sample.com two\n*@sample.com one\n");
        assert_eq!(text, format!("{own}{}", rule("*-news", "s2")));
        let text = of("news*@sample.com two\n");
        assert_eq!(text, rule("news*", "s2"));
        // With the same key, or after the row for all, a pattern changes nothing.
        assert_eq!(of("*-news@sample.com one\n*@sample.com one\n"), own);
        assert_eq!(of("*@sample.com one\n*-news@sample.com two\n"), own);
        // An exception from a pattern that follows.
        let text = of("news-vip@sample.com one\nnews*@sample.com two\n*@sample.com one\n");
        assert_eq!(text, format!("{own}{}{}", rule("news-vip", "s1"), rule("news*", "s2")));
        let text = of("news-*@sample.com one\nn*@sample.com two\n*@sample.com one\n");
        assert_eq!(text, format!("{own}{}{}", rule("news-*", "s1"), rule("n*", "s2")));
        // An address after a pattern that matches it is no exception.
        let text = of("n*@sample.com two\nnews@sample.com one\n*@sample.com one\n");
        assert_eq!(text, format!("{own}{}", rule("n*", "s2")));
        // Even if the pattern also matches names that the comparison makes up.
        let text = of("*d*@sample.com two\n*@sample.com one\n");
        assert_eq!(text, format!("{own}{}", rule("*d*", "s2")));
    }

    #[test]
    fn mail_that_several_patterns_match_is_compared() {
        let multiple = "refile:/s\nMultipleSignatures yes";
        let rows = "news*@sample.com two\n*@sample.com one\n";
        let tree = imported(multiple, rows);
        let rule = "\n[[sign]]\nfrom = \"news*@sample.com\"\nselectors = [\"s2\", \"s1\"]\n";
        assert_eq!(files(&tree), [("sample.com", &*format!("selectors = [\"s1\"]\n{rule}"))]);
        assert!(tree.differences.is_empty(), "{tree:?}");
        // Mail that both match gets both signatures from OpenDKIM.
        let rows = "news*@sample.com two\nx*@sample.com two\n*-x@sample.com one\n";
        let tree = imported(multiple, rows);
        assert_eq!(tree.differences.len(), 2, "{tree:?}");
        let first =
            "mail that the rows news*@sample.com and *-x@sample.com match: OpenDKIM signs by";
        assert!(tree.differences[0].starts_with(first), "{tree:?}");
    }

    #[test]
    fn wildcards_in_a_table_without_patterns_are_reported() {
        let tree = imported("file:/s", "*@sample.com one\nhogehoge.jp hogehoge.jp\n");
        assert_eq!(files(&tree), [("hogehoge.jp", "selectors = [\"s5\"]\n")]);
        assert!(tree.warnings[0].contains("/s:1: *@sample.com: this row signs nothing"));
    }

    #[test]
    fn several_signatures_of_one_domain_become_several_selectors() {
        let multiple = "refile:/s\nMultipleSignatures yes";
        let tree = imported(multiple, "*@sample.com one\n*@sample.com two\nx@sample.com two\n");
        assert_eq!(files(&tree), [("sample.com", "selectors = [\"s1\", \"s2\"]\n")]);
        // The row for x applies again, with a key that has already signed.
        let tree = imported(multiple, "*@sample.com one\n*@sample.com hogehoge.jp\n");
        assert_eq!(tree.differences.len(), 1, "{tree:?}");
    }

    #[test]
    fn of_two_keys_with_one_name_the_first_is_imported_and_both_are_reported() {
        let files = paper(&[
            ("/c", "KeyTable /keys\nSigningTable csl:a.x.test=one,x.test=two\n"),
            ("/keys", "one x.test:s:/k/one\ntwo x.test:s:/k/two\n"),
        ]);
        let opendkim = set_up(&files);
        let tree = source(&opendkim, &[], &[]).import("");
        let wanted = "two keys for d=x.test s=s: /k/one was imported, /k/two was not; \
            only one of them can be the published one";
        assert_eq!(tree.differences, [wanted]);
        let names: Vec<_> = tree.files.keys().map(String::as_str).collect();
        assert_eq!((names, tree.keys.len()), (vec!["a.x.test", "x.test"], 1));
    }

    #[test]
    fn upper_case_in_a_table_and_the_key_of_a_parent_domain_make_no_difference() {
        let files = paper(&[
            ("/c", "KeyTable /keys\nSigningTable csl:A.x.test=one\n"),
            ("/keys", "one X.test:S1:/k/one\n"),
        ]);
        let opendkim = set_up(&files);
        let tree = source(&opendkim, &[], &[]).import("");
        let text = "selectors = [\"s1\"]\ndomain = \"x.test\"\n";
        assert_eq!(self::files(&tree), [("a.x.test", text)]);
        assert!(tree.differences.is_empty() && tree.warnings.is_empty(), "{tree:?}");
    }

    #[test]
    fn an_exempt_domain_gets_a_file_that_allows_no_user() {
        let tree = imported("refile:/s\nExemptDomains x.test", "*@sample.com one\n* fixed\n");
        let exempt = files(&tree).into_iter().find(|(name, _)| *name == "x.test");
        assert_eq!(exempt.unwrap().1, "selectors = [\"s4\"]\nusers = [] # exempt\n");
        assert!(tree.differences.is_empty(), "{tree:?}");
        // The parent domain comes first, also if its name is later in the alphabet.
        let tree = imported("refile:/s\nExemptDomains a.sample.com", "*@*.sample.com one\n");
        assert!(tree.files["a.sample.com"].ends_with("users = [] # exempt\n"), "{tree:?}");
        assert!(tree.differences.is_empty(), "{tree:?}");
    }

    #[test]
    fn a_malformed_domain_becomes_neither_file_nor_folder() {
        for keys in ["x ../../x:s1:/k/one\n", "x a/b:s1:/k\n", "x sample.com:s/1:/k\n"] {
            let files = paper(&[("/c", "KeyTable /keys\nSigningTable csl:*=x\n"), ("/keys", keys)]);
            let opendkim = set_up(&files);
            let tree = source(&opendkim, &[], &[]).import("");
            assert!(tree.files.is_empty() && tree.keys.is_empty(), "{tree:?}");
            assert!(!tree.differences.is_empty(), "{tree:?}");
        }
    }

    #[test]
    fn an_address_of_any_characters_becomes_a_rule_that_can_be_read() {
        let tree = imported("csl:\u{1}\"\\@sample.com=one", "");
        let domain = Domain::parse("sample.com").ok();
        let text = &tree.files["sample.com"];
        let file = DomainFile::parse(text, domain.as_ref(), &Signing::default()).unwrap();
        assert!(file.rules[0].from.fits("\u{1}\"\\", &domain.unwrap()));
        // No user sends without a local part.
        let tree = imported("csl:@sample.com=one", "");
        assert!(tree.files.is_empty() && tree.differences.len() == 1, "{tree:?}");
    }

    #[test]
    fn the_signer_of_a_row_for_an_address_becomes_the_identity_of_its_rule() {
        let rows = "news@sample.com two:news@sample.com\nx@sample.com two\n*@sample.com one:@%\n";
        let tree = imported("refile:/s", rows);
        let text = "selectors = [\"s1\"]\nidentity = \"@sample.com\"\n\n\
            [[sign]]\nfrom = \"news@sample.com\"\nselectors = [\"s2\"]\nidentity = \"news@sample.com\"\n\n\
            [[sign]]\nfrom = \"x@sample.com\"\nselectors = [\"s2\"]\n";
        assert_eq!(files(&tree), [("sample.com", text)]);
        assert!(tree.differences.is_empty(), "{tree:?}");
        let tree = imported("refile:/s", "news@sample.com two:news@sample.com\n*@sample.com one\n");
        assert!(tree.files["sample.com"].ends_with("identity = \"news@sample.com\"\n"));
        assert!(tree.differences.is_empty(), "{tree:?}");
        // Of two signatures with different i=, only one remains.
        let multiple = "refile:/s\nMultipleSignatures yes";
        let tree = imported(multiple, "*@sample.com one:@%\n*@sample.com two:x@sample.com\n");
        assert_eq!(tree.differences.len(), 1, "{tree:?}");
        // A selector is named once.
        let tree = imported(multiple, "*@sample.com one:@%\n*@sample.com one:x@sample.com\n");
        assert!(tree.files["sample.com"].contains("selectors = [\"s1\"]\n"), "{tree:?}");
    }

    #[test]
    fn a_key_that_can_not_be_used_is_named_by_no_file() {
        let (conf, rows) = (
            "KeyTable /keys\nSigningTable /s\nMultipleSignatures yes\n",
            "sample.com one\nb.sample.com two\n",
        );
        let files = paper(&[("/c", conf), ("/keys", KEYS), ("/s", rows)]);
        let opendkim = set_up(&files);
        let tree = source(&opendkim, &[], &["/k/one".to_owned()]).import("");
        let text = "selectors = [\"s2\"]\ndomain = \"sample.com\"\n";
        assert_eq!((self::files(&tree), tree.keys.len()), (vec![("b.sample.com", text)], 1));
        assert_eq!(tree.differences.len(), 1, "{tree:?}");
    }

    #[test]
    fn fields_that_opendkim_names_more_often_in_h_are_reported_once() {
        let files = paper(&[
            ("/c", "KeyTable /keys\nSigningTable csl:sample.com=one,hogehoge.jp=two\n"),
            ("/keys", KEYS),
        ]);
        let opendkim = set_up(&files);
        let names = |names: &[&str]| -> Vec<_> {
            names.iter().flat_map(|name| crate::dkim::FieldName::parse(name)).collect()
        };
        let fields =
            Fields { signed: names(&["From", "Subject", "X-A"]), oversigned: names(&["From"]) };
        let tree = Source { fields: &fields, ..source(&opendkim, &[], &[]) }.import("");
        let wanted = "in mail with one X-A field, OpenDKIM names X-A 1 times in h=, here 0 times";
        assert_eq!(tree.differences, [wanted]);
        let tree = Source { fields: &fields, ..source(&opendkim, &[], &[]) }
            .import("headers = [\"+X-A\"]\n");
        assert!(tree.differences.is_empty(), "{tree:?}");
        let fields = Fields { signed: names(&["From", "X-A"]), oversigned: names(&["X-A"]) };
        let tree = Source { fields: &fields, ..source(&opendkim, &[], &[]) }
            .import("headers = [\"+X-A\"]\n");
        let wanted = [
            "in mail with one X-A field, OpenDKIM names X-A 2 times in h=, here 1 times",
            "in mail without X-A field, OpenDKIM names X-A 1 times in h=, here 0 times",
        ];
        assert_eq!(tree.differences, wanted);
    }

    #[test]
    fn the_name_of_a_record_is_not_a_selector() {
        let keys = "x x.test:s._domainkey:/k\ny y.test:s2:/k\n";
        let files =
            paper(&[("/c", "KeyTable /keys\nSigningTable csl:x.test=x\n"), ("/keys", keys)]);
        let opendkim = set_up(&files);
        let tree = source(&opendkim, &[], &[]).import("");
        assert!(tree.files.is_empty() && tree.keys.is_empty(), "{tree:?}");
        assert!(
            tree.differences[0].starts_with("/keys:1: selector \"s._domainkey\": "),
            "{tree:?}"
        );
        assert!(tree.differences[0].contains("the selector is \"s\""), "{tree:?}");
    }

    #[test]
    fn the_signer_of_another_domains_key_is_not_an_identity() {
        let rows = "*@x.test one:@news.sample.com\n*@x.test fixed\n";
        let opendkim = with_rows(rows, "MultipleSignatures yes\n");
        // The key of the row with the signer cannot be read.
        let tree = source(&opendkim, &[], &["/k/one".to_owned()]).import("");
        let text = &tree.files["x.test"];
        let parsed =
            DomainFile::parse(text, Domain::parse("x.test").ok().as_ref(), &Signing::default());
        assert_eq!(parsed.unwrap().identity, None, "{text}");
    }

    #[test]
    fn a_signer_becomes_the_identity() {
        let tree = imported("refile:/s", "*@sample.com one:@%\n");
        let text = "selectors = [\"s1\"]\nidentity = \"@sample.com\"\n";
        assert_eq!(files(&tree), [("sample.com", text)]);
        assert!(tree.differences.is_empty(), "{tree:?}");
    }
}
