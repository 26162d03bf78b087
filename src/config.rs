//! The configuration: parses TOML text. Pure; the caller reads the files.
//!
//! `config.toml` has the settings of the host. A file in `domains/` has the settings of one signing domain, and may override the
//! signing settings of the host. Unknown keys are errors.

#![forbid(unsafe_code)]

mod error;
mod keys;
mod log;
mod publish;
mod rules;
mod signing;

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeTable;

pub use error::ConfigError;
pub use log::LogDestination;
pub use publish::Publish;
pub use rules::{Pattern, Rule, fits};
pub use signing::{OnError, OnMissingRecord, Signing, is_recipient_field};

use crate::argv::LoneDot;
use crate::dkim::{Domain, Identity, Selector};
use crate::message::address::Completion;
use crate::network::Network;
use keys::{Keys, meaning};
pub use keys::{Subdomains, shared_folder};

/// The content of `config.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The absolute path of the real sendmail.
    pub sendmail: PathBuf,
    /// How to complete a bare address.
    pub completion: Completion,
    /// Postfix's parameter of this name: the field that is added to a message without To and Cc; it may be empty. `None` if it is
    /// not known.
    pub undisclosed_recipients_header: Option<String>,
    /// Postfix's parameter of this name: the real sendmail rejects larger messages. In bytes.
    pub message_size_limit: Option<u64>,
    /// How the real sendmail treats a line containing a single dot without `-i`.
    pub lone_dot: LoneDot,
    /// Whether a signed message is logged.
    pub log_success: bool,
    /// Where the log goes.
    pub log_destination: LogDestination,
    /// How `dkimctl` publishes records.
    pub publish: Option<Publish>,
    /// The login name under which Postfix runs the wrapper as its content filter.
    pub filter_user: Option<String>,
    /// How to sign, unless a domain file overrides it.
    pub signing: Signing,
}

/// The content of a domain file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainFile {
    /// Each selector makes a signature. If the list is empty, only mail From the addresses in `rules` is signed.
    pub selectors: Vec<Selector>,
    /// d=, if it is not the name of the file.
    pub domain: Option<Domain>,
    /// The directory below `keys/`, if the domain shares its keys with others.
    pub keys: Option<String>,
    /// Whether mail From the domain, from its subdomains, or from both is signed.
    pub subdomains: Subdomains,
    /// i=, within d=.
    pub identity: Option<Identity>,
    /// The users who may sign. If both `users` and `groups` are `None`, every user may.
    pub users: Option<Vec<String>>,
    /// The groups whose members may sign.
    pub groups: Option<Vec<String>>,
    /// The login names of the SMTP clients whose mail is signed. `None` means any client.
    pub logins: Option<Vec<String>>,
    /// The networks of the SMTP clients whose mail is signed. `None` means any address.
    pub clients: Option<Vec<Network>>,
    /// Selectors for some addresses. The first rule that matches applies.
    pub rules: Vec<Rule>,
    /// How to sign.
    pub signing: Signing,
}

/// The name of the file for all other domains, without `.toml`, and of the directory of its keys.
pub(crate) const DEFAULT: &str = "default";

/// The largest message that is signed if no `message_size_limit` is set, in bytes.
const LARGEST: u64 = 128 << 20;

/// How many bytes a message may have that Postfix does not count: mbox `From ` lines and CRs.
pub(crate) const BEYOND: u64 = 1 << 20;

impl Host {
    /// Reads the text of `config.toml`.
    ///
    /// # Errors
    /// Names the line and the key.
    ///
    /// ```
    /// use sendmail_dkim::config::Host;
    /// assert!(Host::parse("sendmail = \"/usr/sbin/sendmail.postfix\"").is_ok());
    /// let error = Host::parse("sendmail = \"/x\"\norigni = \"web.example\"").unwrap_err();
    /// assert!(error.to_string().starts_with("line 2: unknown key `origni`"));
    /// ```
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let keys = Keys::parse(text)?;
        keys.refuse_domain_keys()?;
        let values = &keys.values;
        let sendmail = keys.absolute("sendmail", &values.sendmail)?;
        let sendmail = sendmail.ok_or_else(|| missing("sendmail"))?;
        let domain = |key, value| keys.parsed(key, value, Domain::parse);
        let completion = Completion {
            origin: domain("origin", &values.origin)?,
            dot_domain: domain("append_dot_domain", &values.append_dot_domain)?,
        };
        let lone_dot = [("ends", LoneDot::Ends), ("text", LoneDot::IsText)];
        // As in Postfix, 0 means no limit.
        let limit = values.message_size_limit.as_ref().map(Spanned::get_ref);
        let signing = keys.signing(&Signing::default())?;
        Ok(Self {
            sendmail,
            completion,
            undisclosed_recipients_header: keys.undisclosed_recipients_header()?,
            lone_dot: keys.chosen("lone_dot", &values.lone_dot, &lone_dot)?.unwrap_or_default(),
            message_size_limit: limit.copied().filter(|limit| *limit > 0),
            log_success: values.log_success.as_ref().is_none_or(|value| *value.get_ref()),
            log_destination: keys
                .chosen("log_destination", &values.log_destination, &LogDestination::WORDS)?
                .unwrap_or_default(),
            publish: keys.publish()?,
            filter_user: keys.filter_user()?,
            signing,
        })
    }

    /// How many bytes of a message are stored before it is passed on unsigned. This is a little more than the real sendmail
    /// accepts.
    #[must_use]
    pub fn most_kept(&self) -> u64 {
        self.message_size_limit.unwrap_or(LARGEST).saturating_add(BEYOND)
    }

    /// The settings that are needed even if [`Self::parse`] fails: where to send the mail, and whether it may be sent unsigned.
    #[must_use]
    pub fn salvage(text: &str) -> (Option<PathBuf>, OnError) {
        let (table, _) = DeTable::parse_recoverable(text);
        let text_of = |key: &str| table.get_ref().get(key)?.get_ref().as_str();
        let sendmail = text_of("sendmail").map(PathBuf::from).filter(|path| path.is_absolute());
        let on_error = text_of("on_error").and_then(|text| meaning(text, &OnError::WORDS).ok());
        (sendmail, on_error.unwrap_or_default())
    }
}

impl DomainFile {
    /// All selectors of the file, then those of its rules. A selector may occur twice.
    pub fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        self.selectors.iter().chain(self.rules.iter().flat_map(|rule| &rule.selectors))
    }

    /// The name of the directory below `keys/`: that in `keys`, else d=, else `default`. The file is named after `name`, which is
    /// `None` for `default.toml`.
    #[must_use]
    pub fn folder<'a>(&'a self, name: Option<&'a Domain>) -> &'a str {
        let own = || self.domain.as_ref().or(name).map_or(DEFAULT, Domain::as_str);
        self.keys.as_deref().unwrap_or_else(own)
    }

    /// Reads the text of a domain file named after `name`; `None` for `default.toml`.
    ///
    /// # Errors
    /// Names the line and the key.
    pub fn parse(text: &str, name: Option<&Domain>, host: &Signing) -> Result<Self, ConfigError> {
        let keys = Keys::parse(text)?;
        keys.refuse_host_keys()?;
        let values = &keys.values;
        let domain = keys.parsed("domain", &values.domain, Domain::parse)?;
        let signing = keys.signing(host)?;
        let d = domain.as_ref().or(name);
        let rules = keys.rules()?.iter().map(|rule| Rule::of(rule, &keys, d));
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        // If there are rules, selectors are optional.
        let selectors = match keys.selectors_of(&values.selector, &values.selectors)? {
            None if rules.is_empty() => return Err(missing("selectors")),
            selectors => selectors.unwrap_or_default(),
        };
        Ok(Self {
            selectors,
            identity: keys.identity_of(&values.identity, d)?,
            domain,
            keys: keys.parsed("keys", &values.keys, shared_folder)?,
            subdomains: keys.subdomains(name)?,
            users: keys.logins("users", &values.users)?,
            groups: keys.logins("groups", &values.groups)?,
            logins: keys.logins("logins", &values.logins)?,
            clients: keys.clients()?,
            rules,
            signing,
        })
    }
}

fn missing(key: &str) -> ConfigError {
    ConfigError { line: None, what: format!("key `{key}` is missing") }
}

#[cfg(test)]
#[expect(clippy::unwrap_in_result, reason = "a test sets this up")]
mod tests {
    use std::collections::BTreeMap;

    use super::signing::{ONE_OF_EACH, OTHERS};
    use super::*;

    const MINIMAL: &str = "sendmail = \"/usr/sbin/sendmail.postfix\"\n";

    fn host(more: &str) -> Result<Host, String> {
        Host::parse(&format!("{MINIMAL}{more}")).map_err(|error| error.to_string())
    }

    fn domain(text: &str) -> Result<DomainFile, String> {
        let name = Domain::parse("sample.com").unwrap();
        DomainFile::parse(text, Some(&name), &Signing::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn sendmail_is_the_only_key_that_must_be_there() {
        assert_eq!(host("").unwrap().signing, Signing::default());
        assert_eq!(Host::parse("").unwrap_err().to_string(), "key `sendmail` is missing");
    }

    #[test]
    fn the_example_shows_the_defaults() {
        let example = include_str!("../packaging/etc/config.toml");
        let lines = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once(" = "));
        let shown: BTreeMap<&str, &str> = lines.collect();
        for key in [
            "lone_dot",
            "log_success",
            "log_destination",
            "on_error",
            "on_missing_record",
            "missing_record_after",
            "canonicalization",
            "minimum_key_bits",
            "seven_bit",
            "strict_selectors",
            "sign_forwarded",
            "smtp",
        ] {
            assert_eq!(host(&format!("{key} = {}\n", shown[key])), host(""), "{key}");
        }
    }

    #[test]
    fn the_real_sendmail_is_an_absolute_path() {
        let error = Host::parse("sendmail = \"sendmail\"").unwrap_err().to_string();
        assert_eq!(error, "line 1: sendmail: \"sendmail\" is not an absolute path");
    }

    #[test]
    fn the_server_for_dynamic_updates_is_a_name_or_an_address_and_a_port() {
        for text in ["ns1.sample.com", "192.0.2.1 5353", "fe80::1%eth0"] {
            let file = format!("publish = \"nsupdate\"\nnsupdate_server = \"{text}\"");
            let expected = Publish::Nsupdate { key: None, server: Some(text.to_owned()) };
            assert_eq!(host(&file).unwrap().publish, Some(expected));
        }
        for text in ["", "  ", "a;b"] {
            let file = format!("publish = \"nsupdate\"\nnsupdate_server = \"{text}\"");
            assert!(host(&file).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_program_that_publishes_records_has_arguments_or_none() {
        for (list, words) in [
            ("[\"/usr/bin/publish\"]", vec!["/usr/bin/publish"]),
            ("[\"/usr/bin/publish\", \"--zone\", \"\"]", vec!["/usr/bin/publish", "--zone", ""]),
        ] {
            let expected = Publish::Command(words.into_iter().map(str::to_owned).collect());
            assert_eq!(host(&format!("publish = {list}")).unwrap().publish, Some(expected));
        }
    }

    #[test]
    fn the_field_for_undisclosed_recipients_is_to_or_cc_on_a_line_of_990_bytes_or_nothing() {
        let found = |field: &str| {
            let line = format!("undisclosed_recipients_header = \"{field}\"");
            host(&line).map(|found| found.undisclosed_recipients_header)
        };
        let longest = format!("To: {}", "x".repeat(986));
        for field in ["", "To: undisclosed-recipients:;", "cc: x", &longest] {
            assert_eq!(found(field), Ok(Some(field.to_owned())));
        }
        assert!(found(&format!("{longest}x")).is_err());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = host("\nfoo = 1\n").unwrap_err();
        assert!(error.starts_with("line 3: unknown key `foo`"), "{error}");
    }

    #[test]
    fn a_key_of_the_other_kind_of_file_is_said_to_be_one() {
        assert_eq!(
            host("selectors = [\"a\"]").unwrap_err(),
            "line 2: key `selectors` belongs in a file of domains/"
        );
        assert_eq!(
            domain("selectors = [\"a\"]\nsendmail = \"/x\"").unwrap_err(),
            "line 2: key `sendmail` belongs in config.toml"
        );
    }

    #[test]
    fn bad_values_are_named_with_their_line_and_key() {
        for (line, wanted) in [
            ("origin = \"a b\"", "line 2: origin: "),
            (
                "on_error = \"drop\"",
                "line 2: on_error: expected \"send\" or \"refuse\", found \"drop\"",
            ),
            ("canonicalization = \"loose\"", "line 2: canonicalization: "),
            (
                "minimum_key_bits = 512",
                "line 2: minimum_key_bits: expected 1024 to 4096, found 512",
            ),
            ("expire = \"soon\"", "line 2: expire: "),
            ("headers = [\"Subject\"]", "line 2: headers: "),
            ("headers = [\"+Bcc\"]", "line 2: headers: "),
            ("oversign = [\"From\", \"Sender\"]", "line 2: oversign: "),
            (
                "also_sign_as = [\"localhost\"]",
                "line 2: also_sign_as: no key can be published for \"localhost\"",
            ),
            ("lone_dot = \"no\"", "line 2: lone_dot: expected \"ends\" or \"text\", found \"no\""),
            ("log_success = 1", "line 2: "),
            ("publish = \"knotc\"", "line 2: publish: \"knotc\" is not \"nsupdate\"; "),
            ("publish = [\"x\"]", "line 2: publish: the list must begin with the absolute path"),
            ("publish = []", "line 2: publish: the list must begin with the absolute path"),
            ("publish = [\"/bin/true\", \"a\\u0000\"]", "line 2: publish: "),
            ("publish = 1", "line 2: "),
            ("nsupdate_key = \"x\"", "line 2: nsupdate_key: \"x\" is not an absolute path"),
            (
                "nsupdate_server = \"a\\nb\"",
                "line 2: nsupdate_server: expected a host name or an address, optionally with a port, found \"a\\nb\"",
            ),
            (
                "log_destination = \"file\"",
                "line 2: log_destination: expected \"syslog\", \"stderr\" or \"none\", found \"file\"",
            ),
            (
                "undisclosed_recipients_header = \"Bcc: x\"",
                "line 2: undisclosed_recipients_header: ",
            ),
            ("undisclosed_recipients_header = \"To\"", "line 2: undisclosed_recipients_header: "),
            ("undisclosed_recipients_header = \"To: a\\nX: b\"", "line 2: undisclosed_recip"),
            ("seven_bit = ", "line 2: "),
        ] {
            let error = host(line).unwrap_err();
            assert!(error.starts_with(wanted), "{line}: {error}");
        }
    }

    #[test]
    fn a_size_limit_of_0_means_no_limit() {
        assert_eq!(
            host("message_size_limit = 10240000").unwrap().message_size_limit,
            Some(10_240_000)
        );
        assert_eq!(host("message_size_limit = 0").unwrap().message_size_limit, None);
        assert!(host("message_size_limit = -1").is_err());
    }

    #[test]
    fn lists_of_names_replace_or_change_the_default() {
        let signing = host("headers = [\"From\", \"Subject\"]").unwrap().signing;
        assert_eq!(signing.headers.len(), 2);
        assert_eq!(signing.oversign.len(), 2);
        let signing = host("headers = [\"+Sender\", \"-Reply-To\"]").unwrap().signing;
        assert_eq!(signing.headers.len(), ONE_OF_EACH.len() + OTHERS.len());
        assert!(signing.headers.iter().any(|name| name.is("sender")));
        assert!(!signing.oversign.iter().any(|name| name.is("Reply-To")));
    }

    #[test]
    fn a_lifetime_has_a_unit_or_is_in_seconds() {
        for (text, seconds) in [
            ("\"14d\"", 1_209_600),
            ("\"36h\"", 129_600),
            ("\"5m\"", 300),
            ("\"5s\"", 5),
            ("3600", 3_600),
        ] {
            let signing = host(&format!("expire = {text}")).unwrap().signing;
            assert_eq!(signing.expire, Some(seconds));
        }
        for text in ["0", "\"0d\"", "\"5\"", "\"5w\"", "\"99999999999999999d\""] {
            assert!(host(&format!("expire = {text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_domain_file_needs_a_selector() {
        assert_eq!(domain("").unwrap_err(), "key `selectors` is missing");
        assert_eq!(domain("selectors = []").unwrap_err(), "line 1: selectors: the list is empty");
        assert_eq!(domain("selector = \"a\"").unwrap().selectors.len(), 1);
        let error = domain("selectors = [\"a\", \"../b\"]").unwrap_err();
        assert!(error.starts_with("line 1: selectors: "), "{error}");
    }

    #[test]
    fn no_list_has_more_entries_than_the_manual_allows() {
        let list = |count: usize, entry: &dyn Fn(usize) -> String| {
            let entries: Vec<String> = (0..count).map(entry).collect();
            format!("[{}]", entries.join(", "))
        };
        let plain = |number: usize| format!("\"x{number}\"");
        let field = |number: usize| format!("\"+X-{number}\"");
        let address = |number: usize| format!("\"192.0.{}.{}\"", number / 256, number % 256);
        let provider = |number: usize| format!("\"x{number}.example\"");
        for (key, most, entry) in [
            ("selectors", 10, &plain as &dyn Fn(usize) -> String),
            ("headers", 100, &field),
            ("users", 1_000, &plain),
            ("groups", 1_000, &plain),
            ("logins", 1_000, &plain),
            ("clients", 1_000, &address),
            ("also_sign_as", 10, &provider),
        ] {
            let text = |count| match key {
                "selectors" => format!("\n{key} = {}", list(count, entry)),
                _ => format!("selector = \"a\"\n{key} = {}", list(count, entry)),
            };
            assert!(domain(&text(most)).is_ok(), "{key}");
            let more = most + 1;
            let wanted = format!("line 2: {key}: {more} entries, more than {most}");
            assert_eq!(domain(&text(more)).unwrap_err(), wanted);
        }
        let rule = "[[sign]]\nfrom = \"a@b.example\"\nselector = \"s\"\n";
        assert!(domain(&rule.repeat(1_000)).is_ok());
        let error = domain(&rule.repeat(1_001)).unwrap_err();
        assert!(error.ends_with("sign: 1001 entries, more than 1000"), "{error}");
        let rule = format!("[[sign]]\nfrom = \"a@b.example\"\nselectors = {}\n", list(11, &plain));
        assert_eq!(domain(&rule).unwrap_err(), "line 3: selectors: 11 entries, more than 10");
    }

    #[test]
    fn a_key_of_many_dots_is_an_error_like_any_other() {
        for depth in [10, 1_000, 100_000] {
            assert!(domain(&format!("{}a = 1", "a.".repeat(depth))).is_err());
            assert!(domain(&format!("users = {}", "[".repeat(depth))).is_err());
            assert!(domain(&format!("[{}a]", "a.".repeat(depth))).is_err());
        }
    }

    #[test]
    fn a_domain_file_overrides_the_signing_of_the_host() {
        let file = domain("selectors = [\"a\"]\non_error = \"refuse\"\n").unwrap();
        assert_eq!(file.signing.on_error, OnError::Refuse);
        assert_eq!(file.signing.headers, Signing::default().headers);
    }

    #[test]
    fn each_key_for_signing_is_inherited_from_the_host_or_set_in_the_domain_file() {
        let name = Domain::parse("sample.com").unwrap();
        let file = |more: &str, host: &Signing| {
            let text = format!("selector = \"a\"\n{more}\n");
            DomainFile::parse(&text, Some(&name), host).unwrap().signing
        };
        for line in [
            "on_error = \"refuse\"",
            "on_missing_record = \"skip\"",
            "missing_record_after = \"3d\"",
            "canonicalization = \"simple/relaxed\"",
            "minimum_key_bits = 2048",
            "headers = [\"From\", \"Subject\"]",
            "oversign = [\"-Subject\"]",
            "expire = \"14d\"",
            "seven_bit = false",
            "also_sign_as = [\"provider.example\"]",
            "strict_selectors = true",
            "sign_forwarded = true",
            "smtp = true",
        ] {
            let of_host = host(line).unwrap().signing;
            assert_ne!(of_host, Signing::default(), "{line}");
            assert_eq!(file("", &of_host), of_host, "{line}");
            assert_eq!(file(line, &Signing::default()), of_host, "{line}");
        }
    }

    #[test]
    fn each_key_has_the_value_that_is_written() {
        let text = "origin = \"web.example\"\nappend_dot_domain = \"dot.example\"\nlone_dot = \"text\"\n\
            log_success = false\nminimum_key_bits = 2048\non_error = \"send\"\n";
        let found = host(text).unwrap();
        let domain_of = |text| Domain::parse(text).ok();
        assert_eq!(found.completion.origin, domain_of("web.example"));
        assert_eq!(found.completion.dot_domain, domain_of("dot.example"));
        assert_eq!((found.lone_dot, found.log_success), (LoneDot::IsText, false));
        assert_eq!(found.signing.minimum_key_bits, 2048);
        assert_eq!(found.signing.on_error, OnError::Send);
        let found = host("lone_dot = \"ends\"\nlog_success = true\n").unwrap();
        assert_eq!((found.lone_dot, found.log_success), (LoneDot::Ends, true));
        let text = "selectors = [\"a\", \"b\"]\ndomain = \"b.example\"\nidentity = \"x@news.b.example\"\n\
            subdomains = true\nusers = [\"u\"]\ngroups = [\"g\"]\n[[sign]]\nfrom = \"a@c.example\"\n\
            selectors = [\"c\"]\n";
        let found = domain(text).unwrap();
        assert_eq!(found.domain, domain_of("b.example"));
        assert_eq!(found.identity, Identity::parse("x@news.b.example").ok());
        assert_eq!(found.subdomains, Subdomains::Yes);
        assert_eq!(domain("selector = \"a\"").unwrap().subdomains, Subdomains::No);
        assert_eq!(found.users, Some(vec!["u".to_owned()]));
        assert_eq!(found.groups, Some(vec!["g".to_owned()]));
        let names: Vec<&str> = found.all_selectors().map(Selector::as_str).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn mail_by_smtp_is_signed_where_the_host_or_the_domain_says_so() {
        let found = host("filter_user = \"sendmail-dkim\"\nsmtp = true\n").unwrap();
        assert_eq!(found.filter_user.as_deref(), Some("sendmail-dkim"));
        assert!(found.signing.smtp && !host("").unwrap().signing.smtp);
        let text = "selector = \"a\"\nsmtp = false\nlogins = [\"alice\"]\nclients = [\"192.0.2.0/24\", \"[::1]\"]\n";
        let name = Domain::parse("sample.com").unwrap();
        let file = DomainFile::parse(text, Some(&name), &found.signing).unwrap();
        assert!(!file.signing.smtp);
        assert_eq!(file.logins, Some(vec!["alice".to_owned()]));
        let networks: Vec<String> = file.clients.unwrap().iter().map(Network::to_string).collect();
        assert_eq!(networks, ["192.0.2.0/24", "::1"]);
    }

    #[test]
    fn a_malformed_network_and_an_unsuitable_filter_user_are_errors() {
        let error = domain("selector = \"a\"\nclients = [\"192.0.2.1/24\"]").unwrap_err();
        assert!(error.starts_with("line 2: clients: "), "{error}");
        for (line, wanted) in [
            ("filter_user = \"root\"", "line 2: filter_user: "),
            ("filter_user = \"\"", "line 2: filter_user: "),
            ("logins = []", "line 2: key `logins` belongs in a file of domains/"),
            ("clients = []", "line 2: key `clients` belongs in a file of domains/"),
        ] {
            assert!(host(line).unwrap_err().starts_with(wanted), "{line}");
        }
        let error = domain("selector = \"a\"\nfilter_user = \"x\"").unwrap_err();
        assert_eq!(error, "line 2: key `filter_user` belongs in config.toml");
    }

    #[test]
    fn slightly_more_is_stored_than_the_real_sendmail_accepts() {
        assert_eq!(host("").unwrap().most_kept(), (128 << 20) + (1 << 20));
        assert_eq!(host("message_size_limit = 1000").unwrap().most_kept(), 1000 + (1 << 20));
    }

    #[test]
    fn the_identity_is_within_the_domain() {
        assert!(domain("selector = \"a\"\nidentity = \"@news.sample.com\"").is_ok());
        let error = domain("selector = \"a\"\nidentity = \"@other.com\"").unwrap_err();
        assert!(error.starts_with("line 2: identity: "), "{error}");
        let rule = "selector = \"a\"\n[[sign]]\nfrom = \"x@sample.com\"\nselector = \"b\"\n";
        let of_rule = |identity: &str| domain(&format!("{rule}identity = \"{identity}\"\n"));
        let found = of_rule("@news.sample.com").unwrap();
        assert_eq!(found.rules[0].identity, Identity::parse("@news.sample.com").ok());
        assert!(of_rule("@other.com").unwrap_err().starts_with("line 5: identity: "));
    }

    #[test]
    fn a_rule_has_an_address_and_selectors_of_its_own() {
        let text = "selector = \"a\"\n[[sign]]\nfrom = \"News@Sample.com\"\nselector = \"news\"\n";
        let rule = domain(text).unwrap().rules.remove(0);
        let fits = |local| rule.from.fits(local, &Domain::parse("sample.com").unwrap());
        assert!(fits("News") && fits("news") && !fits("other"));
        assert!(domain("selector = \"a\"\n[[sign]]\nfrom = \"news\"\nselector = \"n\"").is_err());
        assert!(domain("selector = \"a\"\n[[sign]]\nfrom = \"a@b.example\"\n").is_err());
    }

    #[test]
    fn subdomains_is_a_flag_or_only() {
        let found = |value| domain(&format!("selector = \"a\"\nsubdomains = {value}"));
        for (value, wanted) in
            [("false", Subdomains::No), ("true", Subdomains::Yes), ("\"only\"", Subdomains::Only)]
        {
            assert_eq!(found(value).unwrap().subdomains, wanted);
        }
        let error = found("\"yes\"").unwrap_err();
        assert_eq!(error, "line 2: subdomains: expected true, false or \"only\", found \"yes\"");
        let error = found("1").unwrap_err();
        assert_eq!(error, "line 2: subdomains: expected true, false or \"only\"");
        let text = "selector = \"a\"\nsubdomains = \"only\"";
        let error = DomainFile::parse(text, None, &Signing::default()).unwrap_err().to_string();
        assert!(error.starts_with("line 2: subdomains: default.toml is named"), "{error}");
    }

    #[test]
    fn the_directory_of_shared_keys_is_the_one_of_no_domain() {
        let found = |value: &str| domain(&format!("selector = \"a\"\nkeys = \"{value}\""));
        for name in ["shared", "a", "0", "a-b_c", &"x".repeat(63)] {
            assert_eq!(found(name).unwrap().keys.as_deref(), Some(name));
        }
        let long = "x".repeat(64);
        for name in ["", ".", "..", "a.example", "a/b", "../x", "A", "-a", "_a", "\u{fc}", &long] {
            let error = found(name).unwrap_err();
            assert!(error.starts_with("line 2: keys: ") && error.contains("no dot"), "{error}");
        }
    }

    #[test]
    fn rules_may_be_all_that_a_domain_file_has() {
        let file = domain("[[sign]]\nfrom = \"news@sample.com\"\nselector = \"news\"\n").unwrap();
        assert_eq!((file.selectors.len(), file.rules.len()), (0, 1));
    }

    #[test]
    fn of_a_broken_text_the_way_on_can_be_salvaged() {
        let broken = format!("{MINIMAL}on_error = \"refuse\"\nfoo = 1\nbar = [\n");
        assert_eq!(
            Host::salvage(&broken),
            (Some("/usr/sbin/sendmail.postfix".into()), OnError::Refuse)
        );
        assert_eq!(Host::salvage("\0\u{fffd}= ="), (None, OnError::Send));
    }
}
