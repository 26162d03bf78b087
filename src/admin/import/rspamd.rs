//! Converts rspamd's `dkim_signing`, as `rspamadm configdump --json` prints it, to the signatures of each domain. Pure; the
//! caller reads the files of maps.

use std::collections::BTreeMap;

use serde_json::{Deserializer, Map, Value};

use super::data_set::{Kind, Row, Table};
use super::export::columns;
use super::headers::{Fields, change_line};
use super::mapping::{Fate, Mapping, in_table};
use super::opendkim::{By, OpenDkim, Signature};
use super::opendkim_conf::{Files, HIDDEN, Setting, is_secret, without_secrets};
use super::senders::filled_in;
use crate::config::Signing;
use crate::dkim::FieldName;
use crate::dkim::sign::is_unfit;

/// The settings of `dkim_signing`.
#[derive(Clone, Debug, Default)]
pub(super) struct Rspamd(Map<String, Value>);

/// The keys of a map, with their values.
type Pairs = Vec<(String, String)>;

/// The results for the settings; the first lines of the file explain its format.
const TABLE: &str = include_str!("rspamd.txt");

/// What rspamd signs (`sign_headers` of its module dkim): a field with `(o)` is oversigned, one with `(x)` is signed if it
/// occurs.
const FIELDS: &str = "(o)from:(x)sender:(o)reply-to:(o)subject:(x)date:(x)message-id:(o)to:(o)cc:(x)mime-version:\
    (x)content-type:(x)content-transfer-encoding:resent-to:resent-cc:resent-from:resent-sender:resent-message-id:\
    (x)in-reply-to:(x)references:list-id:list-help:list-owner:list-unsubscribe:list-unsubscribe-post:list-subscribe:\
    list-post:(x)openpgp:(x)autocrypt";

impl Rspamd {
    /// Reads the output of `rspamadm configdump --json`, with or without `dkim_signing`.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(text);
        // Messages of rspamadm may precede the object.
        let begin = text.find("\n{").map_or(0, |at| at.saturating_add(1));
        let json = if text.trim_start().starts_with('{') {
            &*text
        } else {
            text.get(begin..).unwrap_or_default()
        };
        let mut settings = Map::new();
        for section in Deserializer::from_str(json).into_iter::<Map<String, Value>>() {
            let mut section = section.map_err(|error| {
                format!(
                    "line {}, column {}: not what rspamadm configdump --json dkim_signing prints",
                    error.line(),
                    error.column()
                )
            })?;
            let fields = section.get("dkim").and_then(|dkim| dkim.get(SIGN_HEADERS)).cloned();
            match section.remove("dkim_signing") {
                Some(Value::Object(own)) => settings.extend(own),
                _ => settings.extend(section),
            }
            settings.extend(fields.map(|fields| (SIGN_HEADERS.to_owned(), fields)));
        }
        if settings.is_empty() {
            return Err("dkim_signing is missing".to_owned());
        }
        Ok(Self(settings))
    }

    /// The signatures for mail that is submitted on this host, and the result for each setting.
    ///
    /// # Errors
    /// Why it signs no such mail.
    pub(super) fn import(
        &self,
        host: &Signing,
        files: &dyn Files,
    ) -> Result<(OpenDkim, Mapping), String> {
        if !self.is_on("enabled", true) {
            return Err("the module is off".to_owned());
        }
        let networks = self.rows("sign_networks", files).map(|rows| Table::new(Kind::Exact, rows));
        let has_local = |table: &Table| {
            table.rows.iter().any(|row| row.key.starts_with("127.") || row.key == "::1")
        };
        if !self.is_on("sign_local", true) && !networks.as_ref().is_ok_and(has_local) {
            return Err(
                "sign_local is off: rspamd signs no mail that programs submit on this host"
                    .to_owned(),
            );
        }
        let by = if self.0.contains_key("signing_table") {
            self.tables(files)?
        } else {
            self.list(files)?
        };
        let mut mapping = Mapping::default();
        for (name, value) in &self.0 {
            let value = masked(name, value);
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let setting = Setting { name: name.clone(), value, file: String::new(), line: 0 };
            let fate = match (name.as_str(), &networks) {
                ("sign_networks", Ok(table)) => mapping.hosts(table),
                ("sign_networks", Err(why)) => Fate::NotSupported(why.clone().into()),
                _ => in_table(TABLE, &name.to_ascii_lowercase(), &setting)
                    .unwrap_or(Fate::NotSupported("unknown setting of dkim_signing".into())),
            };
            mapping.add(&setting.shown(), fate);
        }
        mapping.line("canonicalization", "relaxed/relaxed", &host.canonicalization.to_string());
        let mut headers = host.headers.clone();
        let missing = self.fields().signed.into_iter().filter(|name| !host.headers.contains(name));
        headers.extend(missing);
        mapping.lines.push_str(&change_line("headers", &host.headers, &headers));
        if let By::List { domains, below: true, .. } = &by {
            let lower = domains.keys().filter(|name| name.matches('.').count() > 1);
            mapping.warnings.extend(lower.map(|name| format!(
                "{name}: use_esld is on, so rspamd uses this only for an organizational domain; otherwise remove its file"
            )));
        }
        Ok((OpenDkim { by, exempt: None }, mapping))
    }

    /// The fields that rspamd signs.
    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        for item in self.text(SIGN_HEADERS).unwrap_or(FIELDS).split(':').map(str::trim) {
            let name = item.trim_start_matches("(o)").trim_start_matches("(x)");
            let Some(name) = FieldName::parse(name).ok().filter(|name| !is_unfit(name)) else {
                continue;
            };
            if item.starts_with("(o)") {
                fields.oversigned.push(name.clone());
            }
            fields.signed.push(name);
        }
        fields
    }

    fn is_on(&self, name: &str, usual: bool) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(usual)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A map as the rows of a table.
    fn rows(&self, name: &str, files: &dyn Files) -> Result<Vec<Row>, String> {
        let row = |(key, value)| Row { place: format!("{name}: {key}"), key, value };
        Ok(self.map(name, files)?.into_iter().map(row).collect())
    }

    /// The keys and values of a map: an object, a list of lines, or a file of lines.
    fn map(&self, name: &str, files: &dyn Files) -> Result<Pairs, String> {
        let lines: Vec<&str> = match self.0.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::Object(pairs))
                if !["urls", "url", "external"].iter().any(|key| pairs.contains_key(*key)) =>
            {
                let pair = |(key, value): (&String, &Value)| {
                    Some((key.to_ascii_lowercase(), value.as_str()?.to_owned()))
                };
                return Ok(pairs.iter().filter_map(pair).collect());
            }
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(lines)) => lines.iter().filter_map(Value::as_str).collect(),
            Some(_) => {
                return Err(format!("{name}: cannot read this kind of map; write it to a file"));
            }
        };
        let mut pairs = Vec::new();
        for line in lines {
            // `glob;/path`, `file:///path`, `fallback+file:///path`
            let path = line.rsplit_once(';').map_or(line, |(_, path)| path);
            let path = path.rsplit_once("file://").map_or(path, |(_, path)| path);
            let is_address =
                path.rsplit_once('/').is_some_and(|(_, bits)| bits.parse::<u8>().is_ok());
            if path.contains("://") {
                let path = without_secrets(path);
                return Err(format!("{name}: {path} is not on this host; write the map to a file"));
            } else if path.starts_with('/') && !is_address {
                let text = files.read(path).map_err(|why| format!("{name}: {path}: {why}"))?;
                pairs.extend(text.lines().filter_map(pair));
            } else {
                pairs.extend(pair(line));
            }
        }
        Ok(pairs)
    }

    /// `signing_table` and `key_table`, in which a star is a wildcard.
    fn tables(&self, files: &dyn Files) -> Result<By, String> {
        let mut keys = self.rows("key_table", files)?;
        let mut signing = self.rows("signing_table", files)?;
        // To rspamd, a plus sign is a wildcard, as a question mark is.
        signing.iter_mut().for_each(|row| row.key = row.key.replace('+', "?"));
        let selector = self.text("selector").unwrap_or(USUAL_SELECTOR);
        for row in &mut keys {
            if let Some((domain, key)) =
                row.value.split_once(':').filter(|(_, key)| !key.contains(':'))
            {
                row.value = format!("{domain}:{selector}:{key}");
            }
        }
        let table = |rows| Table::new(Kind::Pattern, rows);
        Ok(By::Tables { keys: table(keys), signing: table(signing), is_multiple: false })
    }

    /// The signatures of each domain that occurs in the settings or in the names of key files.
    fn list(&self, files: &dyn Files) -> Result<By, String> {
        let selectors = self.map("selector_map", files)?.into_iter().collect();
        let paths = self.map("path_map", files)?.into_iter().collect();
        let signatures = |domain: &str| self.signatures(domain, &selectors, &paths);
        let domain = self.text("use_domain_sign_local").or(self.text("use_domain"));
        if let Some(domain) = domain.filter(|domain| domain.contains('.')) {
            let others = signatures(&domain.to_ascii_lowercase());
            return Ok(By::List { domains: BTreeMap::new(), below: false, others });
        }
        let own = self.0.get("domain").and_then(Value::as_object);
        let mut names: Vec<String> = own.into_iter().flat_map(|own| own.keys().cloned()).collect();
        names.extend(selectors.keys().chain(paths.keys()).cloned());
        let path = self.text("path").unwrap_or(USUAL_PATH);
        if self.is_on("try_fallback", true) {
            let selector = self.text("selector").unwrap_or(USUAL_SELECTOR);
            let path = filled(path, "selector", selector).replace("${domain}", "$domain");
            let found = filled_in(&path, "$domain", files).into_iter();
            names.extend(found.filter(|name| name.contains('.')));
        }
        let domains = names.into_iter().map(|name| (name.to_ascii_lowercase(), signatures(&name)));
        let domains: BTreeMap<_, _> = domains.collect();
        if domains.is_empty() {
            return Err(format!("no domain is configured, and there is no key at {path}"));
        }
        Ok(By::List { domains, below: self.is_on("use_esld", true), others: Vec::new() })
    }

    /// The signatures of one domain: selector and path from its own settings, else from the maps, else the defaults.
    fn signatures(
        &self,
        domain: &str,
        selectors: &BTreeMap<String, String>,
        paths: &BTreeMap<String, String>,
    ) -> Vec<Signature> {
        let own = self.0.get("domain").and_then(|domains| domains.get(domain));
        let list = own.and_then(|own| own.get("selectors")).and_then(Value::as_array);
        let is_text = |own: &Value, key| own.get(key).is_some_and(Value::is_string);
        let is_named = |own: &&Value| is_text(own, "selector") || is_text(own, "path");
        let mut all: Vec<&Value> = own.filter(is_named).into_iter().collect();
        all.extend(list.into_iter().flatten());
        if all.is_empty() {
            all.push(&Value::Null);
        }
        let text = |own: &Value, key, map: &BTreeMap<String, String>, usual| {
            let own = own.get(key).and_then(Value::as_str);
            let known = own.or_else(|| map.get(domain).map(String::as_str));
            known.or_else(|| self.text(key)).unwrap_or(usual).to_owned()
        };
        let signature = |own: &Value| {
            let selector = text(own, "selector", selectors, USUAL_SELECTOR);
            let path = text(own, "path", paths, USUAL_PATH);
            Signature {
                domain: domain.to_owned(),
                key: filled(&filled(&path, "domain", domain), "selector", &selector),
                selector,
                ..Signature::default()
            }
        };
        all.into_iter().map(signature).collect()
    }
}

/// A path with one of its variables replaced.
fn filled(path: &str, name: &str, value: &str) -> String {
    path.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
}

/// A value without the passwords in it.
fn masked(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(pairs) => {
            pairs.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect()
        }
        Value::Array(list) => list.iter().map(|value| masked(name, value)).collect(),
        _ if is_secret(name) => HIDDEN.into(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

const SIGN_HEADERS: &str = "sign_headers";
const USUAL_SELECTOR: &str = "dkim";
const USUAL_PATH: &str = "/var/lib/rspamd/dkim/$domain.$selector.key";

/// A line of a map.
fn pair(line: &str) -> Option<(String, String)> {
    let (key, value) = columns(line)?;
    let clean = |text: &str| text.trim_matches('"').to_owned();
    Some((clean(key).to_ascii_lowercase(), clean(value)))
}

#[cfg(test)]
mod tests {
    use super::super::opendkim::Fate;
    use super::super::opendkim_conf::tests::paper;
    use super::*;

    /// Selectors, domains and keys of the signatures of mail From each sender.
    fn signs(json: &str, senders: &[&str]) -> Vec<String> {
        let files = paper(&[
            ("/k/a.test.dkim.key", ""),
            ("/k/b.a.test.dkim.key", ""),
            ("/k/old.dkim.key", ""),
            ("/d/c.test/dkim.key", ""),
            ("/d/e.test/other.key", ""),
            ("/sel", "# map\nx.test\tsel1\nX2.test \"sel2\"\n"),
            ("/signing", "news@t.test n\n*@t.test k\n*@u.test %\n"),
            ("/keys", "k t.test:s:/k/t\nn t.test:/k/n\nu.test u.test:us:/k/%\n"),
        ]);
        let (opendkim, _) =
            Rspamd::parse(json.as_bytes()).unwrap().import(&Signing::default(), &files).unwrap();
        let of = |sender: &&str| {
            let (local, domain) = sender.split_once('@').unwrap();
            let Fate::Signed(all) = opendkim.fate(local, domain) else { return "held".to_owned() };
            let all = all.iter().map(|one| format!("{}/{}={}", one.domain, one.selector, one.key));
            all.collect::<Vec<_>>().join(" ")
        };
        senders.iter().map(of).collect()
    }

    #[test]
    fn a_path_with_variables_is_for_each_domain_that_has_a_key() {
        let json = "{\"path\": \"/k/$domain.$selector.key\", \"use_esld\": false}";
        // `old` is not a domain.
        let signed = signs(json, &["a@a.test", "a@b.a.test", "a@c.a.test", "a@old"]);
        assert_eq!(
            signed,
            ["a.test/dkim=/k/a.test.dkim.key", "b.a.test/dkim=/k/b.a.test.dkim.key", "", ""]
        );
        // Found by its organizational domain.
        let signed =
            signs("{\"path\": \"/k/$domain.$selector.key\"}", &["a@b.a.test", "a@c.a.test"]);
        assert_eq!(signed, ["a.test/dkim=/k/a.test.dkim.key"; 2]);
        let signed = signs("{\"path\": \"/d/${domain}/$selector.key\"}", &["a@c.test", "a@e.test"]);
        assert_eq!(signed, ["c.test/dkim=/d/c.test/dkim.key", ""]);
    }

    #[test]
    fn domains_and_maps_come_before_the_usual_path_and_selector() {
        let json = "{\"path\": \"/k/$domain.$selector.key\", \"selector_map\": \"/sel\", \
            \"path_map\": [\"x2.test /k/two\"], \"domain\": {\
            \"x.test\": {\"selectors\": [{\"selector\": \"one\", \"path\": \"/k/1\"}, {\"path\": \"/k/2\"}]}, \
            \"path.test\": {\"path\": \"/k/own\"}, \
            \"old.test\": {\"selector\": \"s\", \"path\": \"/k/$domain.$selector\"}}}";
        let senders = ["a@x.test", "a@x2.test", "a@old.test", "a@path.test", "a@none.test"];
        let signed = signs(json, &senders);
        assert_eq!(
            signed,
            [
                "x.test/one=/k/1 x.test/sel1=/k/2",
                "x2.test/sel2=/k/two",
                "old.test/s=/k/old.test.s",
                "path.test/dkim=/k/own",
                ""
            ]
        );
    }

    #[test]
    fn without_a_fallback_only_the_domains_in_the_settings_are_signed() {
        let json = "{\"path\": \"/k/$domain.$selector.key\", \"try_fallback\": false, \
            \"domain\": {\"x.test\": {\"selector\": \"s\"}}}";
        assert_eq!(signs(json, &["a@x.test", "a@a.test"]), ["x.test/s=/k/x.test.s.key", ""]);
    }

    #[test]
    fn a_domain_that_signs_for_all_takes_its_own_key() {
        for name in ["use_domain_sign_local", "use_domain"] {
            let json =
                format!("{{\"path\": \"/k/$domain.$selector.key\", \"{name}\": \"A.test\"}}");
            let signed = signs(&json, &["a@a.test", "a@other.test"]);
            assert_eq!(signed, ["a.test/dkim=/k/a.test.dkim.key"; 2], "{name}");
        }
        let json = "{\"path\": \"/k/$domain\", \"use_domain\": \"b.test\", \
            \"use_domain_sign_local\": \"a.test\"}";
        assert_eq!(signs(json, &["a@other.test"]), ["a.test/dkim=/k/a.test"]);
        let json = "{\"path\": \"/k/$domain.$selector.key\", \"use_domain\": \"header\"}";
        assert_eq!(signs(json, &["a@other.test"]), [""]);
    }

    #[test]
    fn what_differs_from_the_host_becomes_a_line_and_what_is_unusual_a_warning() {
        let files = paper(&[("/k/b.a.test.dkim.key", "")]);
        let of = |more: &str, canonicalization: &str| {
            let json = format!("{{\"path\": \"/k/$domain.$selector.key\"{more}}}");
            let canonicalization = canonicalization.parse().unwrap();
            let host = Signing { canonicalization, ..Signing::default() };
            Rspamd::parse(json.as_bytes()).unwrap().import(&host, &files).unwrap().1
        };
        assert!(
            of("", "simple/simple").lines.starts_with("canonicalization = \"relaxed/relaxed\"\n")
        );
        assert!(!of("", "relaxed/relaxed").lines.contains("canonicalization"));
        assert_eq!(of("", "relaxed/relaxed").warnings.len(), 1);
        assert!(of(", \"use_esld\": false", "relaxed/relaxed").warnings.is_empty());
        // Mail of this host is of a network that is signed.
        for network in ["127.0.0.0/8", "::1"] {
            let local = format!(", \"sign_local\": false, \"sign_networks\": [\"{network}\"]");
            assert_eq!(of(&local, "relaxed/relaxed").not_supported, Vec::<String>::new());
        }
    }

    /// All settings of `dkim_signing`.
    const KNOWN: &str = "path selector domain selector_map path_map use_esld signing_table key_table use_domain \
        use_domain_sign_local use_domain_sign_networks use_domain_sign_inbound use_domain_custom sign_local \
        sign_authenticated sign_inbound sign_condition sign_headers try_fallback allow_username_mismatch \
        allow_envfrom_empty allow_hdrfrom_mismatch allow_hdrfrom_mismatch_local \
        allow_hdrfrom_mismatch_sign_networks allow_hdrfrom_multiple allow_headers_fallback check_pubkey \
        allow_pubkey_mismatch symbol enabled skip_spam_sign check_violation use_milter_headers no_cache key_prefix \
        selector_prefix use_redis redis_params servers password use_vault vault_url vault_token vault_domains \
        use_http_headers http_selector_header no_ssl_verify allowed_ids forbidden_ids";

    #[test]
    fn only_these_settings_are_not_supported() {
        let lost = |value: &str| -> Vec<&str> {
            let is_lost = |name: &&str| {
                let (name, value) = ((*name).to_owned(), value.to_owned());
                let setting = Setting { name: name.clone(), value, file: String::new(), line: 0 };
                let fate = in_table(TABLE, &name, &setting);
                fate.is_none_or(|fate| matches!(fate, super::super::mapping::Fate::NotSupported(_)))
            };
            KNOWN.split(' ').filter(is_lost).collect()
        };
        let of_senders = ["use_domain", "use_domain_sign_local"];
        let always = ["use_domain_custom", "sign_condition"];
        let [redis, vault, http] = ["use_redis", "use_vault", "use_http_headers"];
        let ids = ["allowed_ids", "forbidden_ids"];
        let on = [&of_senders[..], &always, &["allow_hdrfrom_multiple", redis, vault, http], &ids];
        assert_eq!(lost("true"), on.concat());
        assert_eq!(lost("false"), [&of_senders[..], &always, &ids].concat());
        assert_eq!(lost("header"), [&always[..], &on[2..].concat()].concat());
    }

    #[test]
    fn tables_are_those_of_opendkim_with_stars() {
        let json = "{\"signing_table\": \"glob;/signing\", \"key_table\": \"file:///keys\", \"selector\": \"usual\"}";
        let signed = signs(json, &["News@t.test", "a@t.test", "a@u.test", "a@v.test"]);
        assert_eq!(signed, ["t.test/usual=/k/n", "t.test/s=/k/t", "u.test/us=/k/u.test", ""]);
        let json = "{\"signing_table\": [\"a+b@t.test k\", \"*@t.test l\"], \"key_table\": [\"l t.test:s:/l\"]}";
        assert_eq!(signs(json, &["a+b@t.test"]), ["t.test/s=/l"]);
    }

    #[test]
    fn each_setting_has_a_fate_and_what_signs_nothing_says_why() {
        let of = |json: &str| {
            Rspamd::parse(json.as_bytes())?
                .import(&Signing::default(), &paper(&[("/k/a.test.dkim.key", "")]))
        };
        let json = "note\n{\n\"path\": \"/k/$domain.$selector.key\", \"symbol\": \"S\", \"use_redis\": true, \
            \"sign_networks\": [\"127.0.0.1\", \"192.0.2.0/24\"], \"vault_token\": \"s3cret\", \
            \"odd\": {\"db\": [{\"password\": \"s3cret\", \"name\": \"n\"}]}}\n";
        let (_, mapping) = of(json).unwrap();
        let lists = [&mapping.imported, &mapping.not_needed, &mapping.not_supported];
        assert_eq!(lists.map(Vec::len), [2, 2, 2], "{mapping:#?}");
        assert!(
            !format!("{mapping:?}").contains("s3cret")
                && mapping.not_supported[0]
                    .contains("{\"db\":[{\"name\":\"n\",\"password\":\"...\"}]}")
                && format!("{mapping:?}").contains("192.0.2.0/24")
        );
        assert_eq!(mapping.lines, "headers = [\"+sender\", \"+openpgp\"]\n");
        for (json, why) in [
            ("{\"sign_local\": false}", "sign_local is off"),
            ("{\"enabled\": false}", "the module is off"),
            ("{\"path\": \"/none/$domain\"}", "no domain is configured"),
            (
                "{\"selector_map\": \"http://u:pw@x.test/map\"}",
                "http://...@x.test/map is not on this host",
            ),
            ("{\"selector_map\": {\"urls\": [\"/m\"]}}", "cannot read this kind of map"),
            ("{\"selector_map\": {\"url\": \"/m\"}}", "cannot read this kind of map"),
            ("{\"selector_map\": {\"external\": true}}", "cannot read this kind of map"),
            ("{}", "dkim_signing is missing"),
            ("Section dkim_signing NOT FOUND", "line 1, column 1: not what rspamadm"),
        ] {
            let error = of(json).unwrap_err();
            assert!(error.contains(why), "{json}: {error}");
        }
        let all = "{\"options\": {}, \"dkim_signing\": {\"path\": \"/k/$domain.$selector.key\"}, \
            \"dkim\": {\"sign_headers\": \"(o)from:(x)subject:X-A:received\"}}";
        let (_, mapping) = of(all).unwrap();
        assert_eq!((mapping.imported.len(), mapping.lines.as_str()), (2, "headers = [\"+X-A\"]\n"));
        let fields = Rspamd::parse(all.as_bytes()).unwrap().fields();
        assert_eq!((fields.signed.len(), fields.oversigned.len()), (3, 1), "{fields:?}");
    }
}
