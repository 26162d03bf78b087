//! The signatures that OpenDKIM adds to the mail of one sender (`dkimf_apply_signtable`, `mlfi_eoh`).

use std::collections::BTreeMap;

use super::data_set::{Kind, Row, Table};
use super::opendkim_conf::{Files, Settings};

/// A configuration of OpenDKIM that signs.
#[derive(Clone, Debug)]
pub(super) struct OpenDkim {
    pub(super) by: By,
    pub(super) exempt: Option<Table>,
}

/// How OpenDKIM finds keys.
#[derive(Clone, Debug)]
pub(super) enum By {
    /// `KeyTable` and `SigningTable`.
    Tables { keys: Table, signing: Table, is_multiple: bool },
    /// Domain, `KeyFile`, Selector.
    One { domains: Table, selector: String, key: String, subdomains: bool },
    /// The signatures for each domain, with `below` also for its subdomains, and for all other domains.
    List { domains: BTreeMap<String, Vec<Signature>>, below: bool, others: Vec<Signature> },
}

/// One signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signature {
    /// d=
    pub(super) domain: String,
    /// s=
    pub(super) selector: String,
    /// The path of the key, or the key itself.
    pub(super) key: String,
    /// i=
    pub(super) identity: Option<String>,
    /// d= is the domain of each sender.
    pub(super) follows_sender: bool,
    /// Whether the sender's domain is part of the path.
    pub(super) has_own_key: bool,
}

/// What OpenDKIM does with the mail of one sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is sent with these signatures, or with none.
    Signed(Vec<Signature>),
    /// It is deferred, because a row names a key that does not exist or is broken.
    Held(String),
}

impl OpenDkim {
    /// Reads the tables in the settings.
    ///
    /// # Errors
    /// Why the configuration signs nothing.
    pub(super) fn new(settings: &Settings, files: &dyn Files) -> Result<Self, String> {
        let mode = settings.value("Mode").unwrap_or("sv");
        if !mode.contains(['s', 'S']) {
            return Err(format!("Mode {mode}: this configuration signs nothing"));
        }
        let read = |name: &str| Table::of(settings, name, files);
        let exempt = read("ExemptDomains")?;
        let by = match (read("KeyTable")?, read("SigningTable")?) {
            (Some(keys), Some(signing)) => {
                By::Tables { keys, signing, is_multiple: settings.is_on("MultipleSignatures") }
            }
            (None, Some(_)) => return Err("SigningTable without KeyTable".to_owned()),
            (Some(_), None) => return Err("KeyTable without SigningTable".to_owned()),
            (None, None) => {
                let wanted =
                    |name: &str| settings.value(name).ok_or(format!("neither KeyTable nor {name}"));
                By::One {
                    selector: wanted("Selector")?.to_owned(),
                    key: match wanted("KeyFile")? {
                        path if path.starts_with('/') => path.to_owned(),
                        // In a table, this would be the key itself.
                        path => format!("./{path}"),
                    },
                    domains: read("Domain")?.ok_or("neither KeyTable nor Domain")?,
                    subdomains: settings.is_on("SubDomains"),
                }
            }
        };
        Ok(Self { by, exempt })
    }

    /// The result for mail From `local`@`domain`.
    pub(super) fn fate(&self, local: &str, domain: &str) -> Fate {
        if self.exempt.as_ref().is_some_and(|table| table.first(domain).is_some()) {
            return Fate::Signed(Vec::new());
        }
        match &self.by {
            By::One { domains, selector, key, subdomains } => {
                let has = |name: &str| domains.first(name).is_some();
                // `*` matches every domain, which then signs for itself.
                let mut found = Some(domain).filter(|domain| has(domain) || has("*"));
                if *subdomains && found.is_none() {
                    found = parents(domain).find(|parent| has(parent));
                }
                let signature = found.map(|found| Signature {
                    domain: found.to_owned(),
                    selector: selector.clone(),
                    key: key.clone(),
                    follows_sender: !has(found),
                    ..Signature::default()
                });
                Fate::Signed(signature.into_iter().collect())
            }
            By::List { domains, below, others } => {
                let names = std::iter::once(domain).chain(parents(domain).filter(|_| *below));
                // The organizational domain is the highest one that has keys.
                let found = names.filter_map(|name| domains.get(name)).last();
                Fate::Signed(found.unwrap_or(others).clone())
            }
            By::Tables { keys, signing, is_multiple } => {
                let mut rows = rows(signing, local, domain);
                if !is_multiple {
                    rows.truncate(1);
                }
                let signatures = rows.iter().map(|row| sign(keys, row, domain));
                signatures.collect::<Result<_, _>>().map_or_else(Fate::Held, Fate::Signed)
            }
        }
    }
}

/// `a.b.c` → `b.c`, `c`.
fn parents(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |name| Some(name.split_once('.')?.1)).skip(1)
}

/// The rows of a `SigningTable` that match a sender, the first match first.
fn rows<'a>(signing: &'a Table, local: &str, domain: &str) -> Vec<&'a Row> {
    let address = format!("{local}@{domain}");
    if !address.is_ascii() {
        return Vec::new();
    }
    if signing.kind == Kind::Pattern {
        return signing.all(&address);
    }
    let mut names = vec![address, domain.to_owned()];
    for parent in parents(domain) {
        names.push(format!("{local}@.{parent}"));
        names.push(format!(".{parent}"));
    }
    names.push(format!("{local}@*"));
    names.push("*".to_owned());
    names.iter().filter_map(|name| signing.first(name)).collect()
}

fn sign(keys: &Table, row: &Row, sender: &str) -> Result<Signature, String> {
    let (name, signer) = row.value.split_once(':').unwrap_or((&row.value, ""));
    let name = if name == "%" { sender } else { name };
    let entry = keys.named(name).ok_or_else(|| {
        format!("{}: {}: no row of KeyTable has the name {name:?}", row.place, row.key)
    })?;
    let (domain, selector, key) = key_columns(entry)
        .ok_or_else(|| format!("{}: {}: expected domain:selector:key", entry.place, entry.key))?;
    let follows_sender = domain == "%";
    let domain = if follows_sender { sender } else { domain };
    // Only in a path, and replaced by the sender's domain only if d= is, too.
    let is_path = key.starts_with('/');
    let has_own_key = is_path && follows_sender && key.contains('%');
    let key = if is_path { key.replace('%', domain) } else { key.to_owned() };
    let signer = signer.replace('%', sender);
    Ok(Signature {
        domain: domain.to_owned(),
        selector: selector.to_owned(),
        key,
        identity: Some(signer).filter(|signer| is_identity(signer, domain)),
        follows_sender,
        has_own_key,
    })
}

/// The columns of a row of `KeyTable`: d=, s= and the key.
pub(super) fn key_columns(row: &Row) -> Option<(&str, &str, &str)> {
    let (domain, rest) = row.value.split_once(':')?;
    let (selector, key) = rest.split_once(':')?;
    // Since 2026 a row may end with the algorithm, which is known from the key.
    let algorithm = |text: &str| text.starts_with("rsa-") || text.starts_with("ed25519");
    let key = key.rsplit_once(':').filter(|(_, last)| algorithm(last)).map_or(key, |(key, _)| key);
    Some((domain, selector, key))
}

/// i= within d=; OpenDKIM drops any other.
fn is_identity(signer: &str, domain: &str) -> bool {
    let Some((_, below)) = signer.rsplit_once('@') else { return false };
    below.eq_ignore_ascii_case(domain)
        || parents(below).any(|parent| parent.eq_ignore_ascii_case(domain))
}

#[cfg(test)]
mod tests {
    use super::super::opendkim_conf::tests::paper;
    use super::*;

    const KEYS: &str = "one sample.com:s1:/k/one\ntwo sample.com:s2:/k/two\n\
        any %:s3:/k/%/s3\nfixed %:s4:/k/s4:rsa-sha256\nnew %:s7:/k/s7:ed25519-sha256\nset sample.com:s6:/k/%/s6\nhogehoge.jp hogehoge.jp:s5:/k/five\n";

    fn opendkim(signing: &str, more: &str) -> OpenDkim {
        let files = paper(&[("/c", ""), ("/k", KEYS), ("/s", signing)]);
        let text = format!("KeyTable /k\n{more}");
        let files = {
            let mut files = files;
            files.0.insert("/c", text);
            files
        };
        OpenDkim::new(&Settings::read("/c", &files).unwrap(), &files).unwrap()
    }

    /// Selectors and domains of a sender's signatures.
    fn signs(opendkim: &OpenDkim, sender: &str) -> String {
        let (local, domain) = sender.split_once('@').unwrap();
        match opendkim.fate(local, domain) {
            Fate::Held(_) => "held".to_owned(),
            Fate::Signed(all) => {
                let all = all.iter().map(|made| format!("{}/{}", made.domain, made.selector));
                all.collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn the_first_row_of_a_refile_counts() {
        let opendkim =
            opendkim("news@sample.com two\n*@sample.com one\n*@*.sample.com two\n", REFILE);
        for (sender, wanted) in [
            ("news@sample.com", "sample.com/s2"),
            ("NEWS@Sample.com", "sample.com/s2"),
            ("a@sample.com", "sample.com/s1"),
            ("a@b.sample.com", "sample.com/s2"),
            ("a@other.test", ""),
        ] {
            assert_eq!(signs(&opendkim, sender), wanted, "{sender}");
        }
    }

    const REFILE: &str = "SigningTable refile:/s\n";
    const FILE: &str = "SigningTable file:/s\n";

    #[test]
    fn a_file_is_asked_for_address_domain_suffixes_and_star() {
        let opendkim = opendkim(
            "*@sample.com two\n.sample.com one\nnews@.sample.com two\nsample.com two\nx@* any\n",
            FILE,
        );
        for (sender, wanted) in [
            ("a@sample.com", "sample.com/s2"),
            ("a@b.c.sample.com", "sample.com/s1"),
            ("news@b.sample.com", "sample.com/s2"),
            ("x@other.test", "other.test/s3"),
            ("y@other.test", ""),
        ] {
            assert_eq!(signs(&opendkim, sender), wanted, "{sender}");
        }
        // The nearest row comes first, in any order.
        let opendkim = self::opendkim("* one\nx@* any\nsample.com two\nx@sample.com fixed\n", FILE);
        for (sender, wanted) in [
            ("x@sample.com", "sample.com/s4"),
            ("x@other.test", "other.test/s3"),
            ("y@other.test", "sample.com/s1"),
        ] {
            assert_eq!(signs(&opendkim, sender), wanted, "{sender}");
        }
    }

    #[test]
    fn an_address_that_is_not_ascii_matches_no_row() {
        for table in [REFILE, FILE] {
            assert_eq!(signs(&opendkim("* one\n", table), "\u{e4}@sample.com"), "", "{table}");
        }
    }

    #[test]
    fn with_multiple_signatures_every_row_counts() {
        let multiple = format!("{REFILE}MultipleSignatures yes\n");
        let opendkim = opendkim("*@sample.com one\n*@sample.com two\n* fixed\n", &multiple);
        assert_eq!(signs(&opendkim, "a@sample.com"), "sample.com/s1 sample.com/s2 sample.com/s4");
        let Fate::Signed(made) = opendkim.fate("a", "x.test") else { panic!() };
        assert_eq!(made[0].key, "/k/s4");
        // With one key missing, the message is deferred.
        let opendkim = self::opendkim("*@sample.com one\n*@sample.com missing\n", &multiple);
        assert_eq!(signs(&opendkim, "a@sample.com"), "held");
        let Fate::Signed(made) = self::opendkim("* new\n", REFILE).fate("a", "x.test") else {
            panic!()
        };
        assert_eq!(made[0].key, "/k/s7");
    }

    #[test]
    fn a_percent_sign_is_the_senders_domain() {
        let opendkim =
            opendkim("*@hogehoge.jp %\n*@missing.test %\n*@sample.com one:%@%\n* any\n", REFILE);
        assert_eq!(signs(&opendkim, "a@hogehoge.jp"), "hogehoge.jp/s5");
        assert_eq!(signs(&opendkim, "a@missing.test"), "held");
        assert_eq!(signs(&opendkim, "a@x.test"), "x.test/s3");
        let Fate::Signed(made) = opendkim.fate("a", "x.test") else { panic!() };
        assert_eq!((made[0].key.as_str(), made[0].has_own_key), ("/k/x.test/s3", true));
        // The key of a domain that signs for all senders is not one of each sender.
        let opendkim = self::opendkim("* set\n", REFILE);
        let Fate::Signed(made) = opendkim.fate("a", "x.test") else { panic!() };
        assert_eq!((made[0].key.as_str(), made[0].has_own_key), ("/k/sample.com/s6", false));
    }

    #[test]
    fn a_signer_outside_the_domain_is_dropped() {
        let upper = opendkim("* one:@SAMPLE.com\n", REFILE);
        let Fate::Signed(made) = upper.fate("a", "sample.com") else { panic!() };
        assert_eq!(made[0].identity.as_deref(), Some("@SAMPLE.com"));
        let opendkim = opendkim("*@sample.com one:@news.sample.com\n* one:@other.test\n", REFILE);
        let Fate::Signed(made) = opendkim.fate("a", "sample.com") else { panic!() };
        assert_eq!(made[0].identity.as_deref(), Some("@news.sample.com"));
        let Fate::Signed(made) = opendkim.fate("a", "x.test") else { panic!() };
        assert_eq!((made[0].domain.as_str(), made[0].identity.as_deref()), ("sample.com", None));
    }

    #[test]
    fn one_key_is_for_the_listed_domains_and_what_is_below() {
        let of = |more: &str| {
            let text = format!("Domain sample.com, hogehoge.jp\nKeyFile /k\nSelector s\n{more}");
            let files = paper(&[("/c", &text)]);
            OpenDkim::new(&Settings::read("/c", &files).unwrap(), &files).unwrap()
        };
        assert_eq!(signs(&of(""), "a@hogehoge.jp"), "hogehoge.jp/s");
        assert_eq!(signs(&of(""), "a@b.sample.com"), "");
        assert_eq!(signs(&of("SubDomains yes"), "a@b.sample.com"), "sample.com/s");
        assert_eq!(signs(&of("Domain *"), "a@b.test"), "b.test/s");
        for (more, sender, follows) in [("", "sample.com", false), ("Domain *", "b.test", true)] {
            let Fate::Signed(made) = of(more).fate("a", sender) else { panic!() };
            assert_eq!(made[0].follows_sender, follows, "{sender}");
        }
        assert_eq!(signs(&of("ExemptDomains sample.com"), "a@sample.com"), "");
    }

    #[test]
    fn a_set_up_that_signs_nothing_says_why() {
        let one = "Domain a.test\nSelector s\nKeyFile /k\n";
        let [keys, signing] = ["KeyTable csl:a=b:c:/d\n", "SigningTable csl:a.test=a\n"]
            .map(|table| format!("{table}{one}"));
        let upper = format!("Mode VS\n{one}");
        let files = paper(&[
            ("/c", "Mode v\n"),
            ("/d", "Domain a.test\n"),
            ("/keys", &keys),
            ("/signing", &signing),
            ("/upper", &upper),
        ]);
        let of = |path| OpenDkim::new(&Settings::read(path, &files).unwrap(), &files).unwrap_err();
        assert_eq!(of("/c"), "Mode v: this configuration signs nothing");
        assert_eq!(of("/d"), "neither KeyTable nor Selector");
        // The key for one domain does not replace the table that is missing.
        assert_eq!(of("/keys"), "KeyTable without SigningTable");
        assert_eq!(of("/signing"), "SigningTable without KeyTable");
        OpenDkim::new(&Settings::read("/upper", &files).unwrap(), &files).unwrap();
    }
}
