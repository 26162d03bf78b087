//! Decides what to do with one message from the configuration, the message and its submitter. Pure.

#![forbid(unsafe_code)]

use std::fmt;
use std::net::IpAddr;

use crate::argv::ClientArguments;
use crate::config::{DEFAULT, DomainFile, OnError, Rule, Subdomains};
use crate::dkim::tag::TagList;
use crate::dkim::{Domain, Header, Recipe, RecipeError, Selector};
use crate::message::author::{Author, NoAuthor};
use crate::message::complete::has_resent;
use crate::message::received::is_of_web_program;
use crate::network::client_address;

/// A file in `domains/` that may apply to an author domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The domain that the file is named after. `None` for `default.toml`.
    pub domain: Option<Domain>,
    /// The file applies only if it says `subdomains = true` or `"only"`.
    pub is_parent: bool,
}

impl Candidate {
    /// All files that may apply to an author domain, the closest first.
    ///
    /// ```
    /// use sendmail_dkim::{dkim::Domain, policy::Candidate};
    /// let all = Candidate::all(&Domain::parse("a.sample.com").unwrap());
    /// let files: Vec<_> = all.iter().map(Candidate::file).collect();
    /// assert_eq!(files, ["a.sample.com.toml", "sample.com.toml", "default.toml"]);
    /// ```
    #[must_use]
    pub fn all(author: &Domain) -> Vec<Self> {
        let exact = Self { domain: Some(author.clone()), is_parent: false };
        let parents = std::iter::successors(author.parent(), Domain::parent)
            .map(|parent| Self { domain: Some(parent), is_parent: true });
        let any = Self { domain: None, is_parent: false };
        // For mail From `x@default`, `default.toml` is not the file of its own domain.
        let own =
            std::iter::once(exact).chain(parents).filter(|candidate| candidate.name() != DEFAULT);
        own.chain(std::iter::once(any)).collect()
    }

    fn name(&self) -> &str {
        self.domain.as_ref().map_or(DEFAULT, Domain::as_str)
    }

    /// The name of the file in `domains/`.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.toml", self.name())
    }

    /// The name of the file in the same folder that `dkimctl watch` writes: the selectors whose records are gone.
    #[must_use]
    pub fn gone(&self) -> String {
        format!("{}.{GONE}", self.name())
    }

    /// Whether the file that was found here applies.
    #[must_use]
    pub fn fits(&self, file: &DomainFile) -> bool {
        match file.subdomains {
            Subdomains::No => !self.is_parent,
            Subdomains::Yes => true,
            Subdomains::Only => self.is_parent,
        }
    }
}

/// The extension of a file of selectors whose records are gone.
pub(crate) const GONE: &str = "gone";

/// The selectors in such a file: the first word of each line. Other lines, such as comments, have none.
#[must_use]
pub fn gone_selectors(text: &str) -> Vec<Selector> {
    let selector = |line: &str| Selector::parse(line.split_whitespace().next()?).ok();
    text.lines().filter_map(selector).collect()
}

/// The submitter: the real user, regardless of arguments, environment and message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The real user id.
    pub uid: u32,
    /// Its login name, if it has one.
    pub login: Option<String>,
    /// The names of the real group and of the supplementary groups.
    pub groups: Vec<String>,
    /// The SMTP client that sent the message to Postfix, if the real user is the one that Postfix runs its content filter as.
    pub client: Option<Client>,
}

/// An SMTP client, as Postfix reports it to its content filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Its login name. `None` if it did not authenticate, or if the command line of the filter does not pass the name.
    pub login: Option<String>,
    /// Its address. `None` if the command line of the filter does not pass it, or if it is empty.
    pub address: Option<IpAddr>,
    /// Whether the address on the command line of the filter is empty: the message did not arrive by SMTP.
    pub is_local: bool,
}

impl From<&ClientArguments> for Client {
    fn from(arguments: &ClientArguments) -> Self {
        // Names in domain files are always UTF-8.
        let login = arguments.login.as_ref().and_then(|login| login.to_str());
        let address = arguments.address.as_ref();
        Self {
            login: login.filter(|login| !login.is_empty()).map(str::to_owned),
            address: address.and_then(|address| client_address(address.to_str()?)),
            is_local: address.is_some_and(|address| address.is_empty()),
        }
    }
}

/// Whether to sign, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Sign according to this plan.
    Sign(Box<Plan>),
    /// Send as submitted.
    Skip(Reason),
}

/// Everything that is needed to sign one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What to sign, and for which domain.
    pub recipe: Recipe,
    /// One signature is made for each selector.
    pub selectors: Vec<Selector>,
    /// The folder below `keys/` with the keys.
    pub folder: String,
    /// The smallest RSA key that may sign, in bits.
    pub minimum_key_bits: u32,
    /// Domains that sign in addition. Their own domain files name their keys.
    pub also_sign_as: Vec<Domain>,
    /// Whether the message stays unsigned if any key fails.
    pub strict_selectors: bool,
    /// What to do when signing fails.
    pub on_error: OnError,
    /// Whether the body is encoded as 7-bit first.
    pub seven_bit: bool,
}

/// Why a message is sent as submitted. None of these is an error in the setup of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// From does not name a single domain.
    NoAuthor(NoAuthor),
    /// No file in `domains/` applies to the domain.
    NotConfigured,
    /// No key can be published for the domain, because it is only valid on this host.
    LocalName,
    /// It has a Received field of a mail system: it was written on another host, or comes back from a content filter.
    Forwarded,
    /// It has a Resent field (RFC 5322 §3.6.6): the sender is not its author.
    Resent,
    /// It was submitted with `-G`, as mail of another user.
    Gateway,
    /// It already has a signature of the same domain.
    AlreadySigned,
    /// The domain file has no selector for the address.
    NoRule,
    /// The DNS has no record of the keys for the address, and `on_missing_record` says that they do not sign then.
    RecordGone,
    /// `users` and `groups` do not name the caller.
    NotAllowed,
    /// It was submitted by SMTP, but `smtp` is not set.
    NotBySmtp,
    /// `logins` or `clients` do not name the SMTP client.
    ClientNotAllowed,
    /// The header is too large to be examined.
    HeaderTooLarge,
    /// The header has a line that is not part of a field.
    BadHeader,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAuthor(why) => return why.fmt(f),
            Self::NotConfigured => "no domain file",
            Self::LocalName => "From is at localhost or a bare host name",
            Self::Forwarded => "has a Received field",
            Self::Resent => "has a Resent field",
            Self::Gateway => "given with -G",
            Self::AlreadySigned => "already signed for the domain",
            Self::NoRule => "no selector for the address in the domain file",
            Self::RecordGone => "the record of the key is gone from DNS",
            Self::NotAllowed => "the user may not sign for the domain",
            Self::NotBySmtp => "submitted by SMTP, and smtp = true is not set",
            Self::ClientNotAllowed => "the SMTP client may not sign for the domain",
            Self::HeaderTooLarge => "the header is too large",
            Self::BadHeader => "the header has a line that is no field",
        })
    }
}

/// The configuration that applies to the author domain of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where the file was found.
    pub candidate: Candidate,
    /// The content of the file, including inherited settings of the host.
    pub file: DomainFile,
    /// Keys that do not sign, because their records are gone.
    pub gone: Vec<Selector>,
}

impl Policy {
    /// The selectors of a list whose keys sign.
    pub(crate) fn present(&self, selectors: &[Selector]) -> Vec<Selector> {
        selectors.iter().filter(|selector| !self.gone.contains(selector)).cloned().collect()
    }

    /// Decides what to do with one message. `gateway`: it was submitted with `-G`.
    ///
    /// # Errors
    /// The names in `headers` and `oversign` contradict each other. The administrator causes this error.
    pub fn decide(
        &self,
        author: &Author,
        header: &Header,
        gateway: bool,
        caller: &Caller,
    ) -> Result<Decision, RecipeError> {
        let domain = self.signing_domain(author.domain());
        if domain.is_local() && self.candidate.domain.is_none() && self.file.domain.is_none() {
            return Ok(Decision::Skip(Reason::LocalName));
        }
        if let Some(reason) = self.obstacle(&domain, header, gateway, caller) {
            return Ok(Decision::Skip(reason));
        }
        let only = author.only();
        let fits = |rule: &&Rule| only.is_some_and(|(local, domain)| rule.from.fits(local, domain));
        let rule = self.file.rules.iter().find(fits);
        let selectors = rule.map_or(&self.file.selectors, |rule| &rule.selectors);
        if selectors.is_empty() {
            return Ok(Decision::Skip(Reason::NoRule));
        }
        let selectors = self.present(selectors);
        if selectors.is_empty() {
            return Ok(Decision::Skip(Reason::RecordGone));
        }
        let signing = &self.file.signing;
        let is_other = |other: &&Domain| **other != domain && !is_signed_for(header, other);
        let also_sign_as = signing.also_sign_as.iter().filter(is_other).cloned().collect();
        let recipe = Recipe::new(domain, signing.headers.clone(), signing.oversign.clone())?
            .with_canonicalization(signing.canonicalization)
            .with_lifetime(signing.expire);
        let of_rule = rule.and_then(|rule| rule.identity.as_ref());
        let recipe = match of_rule.or(self.file.identity.as_ref()) {
            Some(identity) => recipe.with_identity(identity.clone())?,
            None => recipe,
        };
        Ok(Decision::Sign(Box::new(Plan {
            recipe,
            selectors,
            folder: self.folder().to_owned(),
            minimum_key_bits: signing.minimum_key_bits,
            also_sign_as,
            strict_selectors: signing.strict_selectors,
            on_error: signing.on_error,
            seven_bit: signing.seven_bit,
        })))
    }

    /// d=: `domain` in the file, else the name of the file, or the author domain for `default.toml`.
    #[must_use]
    pub fn signing_domain(&self, author: &Domain) -> Domain {
        let own = self.file.domain.as_ref().or(self.candidate.domain.as_ref());
        own.unwrap_or(author).clone()
    }

    /// The directory below `keys/`.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.file.folder(self.candidate.domain.as_ref())
    }

    fn obstacle(
        &self,
        domain: &Domain,
        header: &Header,
        gateway: bool,
        caller: &Caller,
    ) -> Option<Reason> {
        if is_signed_for(header, domain) {
            return Some(Reason::AlreadySigned);
        }
        let sign_forwarded = self.file.signing.sign_forwarded;
        // Postfix accepted the message from a client whose mail the administrator has chosen to sign.
        let is_submission = caller.client.is_some() && self.file.signing.smtp;
        if gateway && !sign_forwarded && !is_submission {
            let by_smtp = caller.client.is_some();
            return Some(if by_smtp { Reason::NotBySmtp } else { Reason::Gateway });
        }
        let mut received = header.named("Received");
        let has_passed = received.any(|field| !is_of_web_program(field.value()));
        if has_passed && !sign_forwarded && !is_submission {
            return Some(Reason::Forwarded);
        }
        // A mail reader that resends a message may drop its Received fields.
        if has_resent(header) && !sign_forwarded {
            return Some(Reason::Resent);
        }
        (!self.allows(caller)).then_some(match is_submission {
            true => Reason::ClientNotAllowed,
            false => Reason::NotAllowed,
        })
    }

    /// Whether the caller may sign. For mail that arrived by SMTP, `logins` and `clients` decide, else `users` and `groups`.
    #[must_use]
    pub fn allows(&self, caller: &Caller) -> bool {
        let signing = &self.file.signing;
        match &caller.client {
            Some(client) if signing.smtp => return self.allows_client(client),
            Some(_) if !signing.sign_forwarded => return false,
            _ => {}
        }
        let (users, groups) = (&self.file.users, &self.file.groups);
        if users.is_none() && groups.is_none() {
            return true;
        }
        let login = caller.login.as_ref();
        let named = |names: &Option<Vec<String>>, name: &String| {
            names.as_ref().is_some_and(|names| names.contains(name))
        };
        login.is_some_and(|login| named(users, login))
            || caller.groups.iter().any(|group| named(groups, group))
    }

    /// Whether `logins` and `clients` allow an SMTP client. One that is not set allows all.
    fn allows_client(&self, client: &Client) -> bool {
        let has_login =
            self.file.logins.as_ref().is_none_or(|logins| {
                client.login.as_ref().is_some_and(|login| logins.contains(login))
            });
        let has_address = self.file.clients.as_ref().is_none_or(|networks| {
            let has = |address| networks.iter().any(|network| network.contains(address));
            client.address.is_some_and(has)
        });
        has_login && has_address
    }
}

/// Whether a message that the content filter reads has already passed through it. This is a loop: Postfix also filters the mail
/// that sendmail(1) submits.
#[must_use]
pub fn is_loop(header: &Header, filter: u32, client: &Client) -> bool {
    // Postfix adds the topmost field. For mail from sendmail(1) the field names the user.
    let newest = header.named("Received").next().map(|field| field.value().trim_ascii());
    let is_local = newest.is_some_and(|value| value.starts_with(b"by "));
    let user = format!("from userid {filter})");
    let names_user = |value: &[u8]| value.windows(user.len()).any(|part| part == user.as_bytes());
    // If header_checks removes this field, only the missing address of a client shows the loop.
    if is_local { newest.is_some_and(names_user) } else { client.is_local }
}

/// Whether the message has a signature with d= `domain`, even an invalid one: another program has already signed the final text.
fn is_signed_for(header: &Header, domain: &Domain) -> bool {
    header.named("DKIM-Signature").any(|field| {
        let d =
            TagList::parse(field.value()).ok().and_then(|tags| tags.get("d").map(Domain::parse));
        d.is_some_and(|d| d.is_ok_and(|d| d == *domain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argv::Mode;
    use crate::config::Signing;
    use crate::dkim::Identity;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn a_file_of_gone_selectors_has_one_on_each_line() {
        let text = "# written by dkimctl watch\n#\ns1 not published (2026-11-01).\n\n  s2\n";
        let expected = ["s1", "s2"].map(|name| Selector::parse(name).unwrap());
        assert_eq!(gone_selectors(text), expected);
    }

    fn policy(name: Option<&str>, text: &str) -> Policy {
        let name = name.map(domain);
        let file = DomainFile::parse(text, name.as_ref(), &Signing::default()).unwrap();
        Policy { candidate: Candidate { domain: name, is_parent: false }, file, gone: Vec::new() }
    }

    fn www_data() -> Caller {
        Caller {
            uid: 33,
            login: Some("www-data".into()),
            groups: vec!["www-data".into()],
            client: None,
        }
    }

    fn decide(policy: &Policy, header: &str) -> Decision {
        let header = Header::parse(header.as_bytes()).unwrap();
        let author = Author::of(&header).unwrap();
        policy.decide(&author, &header, false, &www_data()).unwrap()
    }

    fn plan(policy: &Policy, header: &str) -> Plan {
        match decide(policy, header) {
            Decision::Sign(plan) => *plan,
            Decision::Skip(reason) => panic!("{reason}"),
        }
    }

    fn reason(policy: &Policy, header: &str) -> Reason {
        match decide(policy, header) {
            Decision::Skip(reason) => reason,
            Decision::Sign(_) => panic!("signed"),
        }
    }

    const FROM: &str = "From: a@sample.com\n";
    const SELECTOR: &str = "selectors = [\"s1\"]\n";

    #[test]
    fn the_nearest_file_is_looked_for_first() {
        let files = |author| {
            Candidate::all(&domain(author)).iter().map(Candidate::file).collect::<Vec<_>>()
        };
        assert_eq!(
            files("a.b.sample.com"),
            ["a.b.sample.com.toml", "b.sample.com.toml", "sample.com.toml", "default.toml"]
        );
        assert_eq!(files("localhost"), ["localhost.toml", "default.toml"]);
        assert_eq!(files("default"), ["default.toml"]);
    }

    #[test]
    fn the_selectors_whose_records_are_gone_are_in_a_file_next_to_each_domain_file() {
        let all = Candidate::all(&domain("a.sample.com"));
        let gone: Vec<String> = all.iter().map(Candidate::gone).collect();
        assert_eq!(gone, ["a.sample.com.gone", "sample.com.gone", "default.gone"]);
    }

    #[test]
    fn a_parent_counts_only_with_subdomains() {
        let [_, parent, _] = Candidate::all(&domain("a.sample.com")).try_into().unwrap();
        let name = domain("sample.com");
        let file = |text: &str| DomainFile::parse(text, Some(&name), &Signing::default()).unwrap();
        assert!(!parent.fits(&file(SELECTOR)));
        assert!(parent.fits(&file(&format!("{SELECTOR}subdomains = true\n"))));
    }

    #[test]
    fn a_file_may_be_for_the_domains_below_alone() {
        let [exact, parent, _] = Candidate::all(&domain("a.sample.com")).try_into().unwrap();
        let text = format!("{SELECTOR}subdomains = \"only\"\n");
        let name = domain("sample.com");
        let file = DomainFile::parse(&text, Some(&name), &Signing::default()).unwrap();
        assert_eq!([exact, parent].map(|candidate| candidate.fits(&file)), [false, true]);
    }

    #[test]
    fn the_first_rule_that_fits_applies() {
        let text = "selectors = [\"s\"]\n\
            [[sign]]\nfrom = \"news+vip@sample.com\"\nselector = \"vip\"\n\
            [[sign]]\nfrom = \"news+*@sample.com\"\nselector = \"news\"\n\
            [[sign]]\nfrom = \"*@news.sample.com\"\nselector = \"below\"\n\
            [[sign]]\nfrom = \"news+late@sample.com\"\nselector = \"never\"\n";
        for (from, selector) in [
            ("news+vip@sample.com", "vip"),
            ("NEWS+VIP@sample.com", "vip"),
            ("news+eu@sample.com", "news"),
            ("news+late@sample.com", "news"),
            ("news@sample.com", "s"),
            ("x@news.sample.com", "below"),
            ("news+eu@sample.com, x@sample.com", "s"),
        ] {
            let plan = plan(&policy(Some("sample.com"), text), &format!("From: {from}\n"));
            assert_eq!(plan.selectors[0].as_str(), selector, "{from}");
        }
    }

    #[test]
    fn keys_that_domains_share_are_in_a_directory_of_their_own() {
        let text = format!("{SELECTOR}keys = \"shared\"\n");
        let plan = plan(&policy(Some("sample.com"), &text), FROM);
        assert_eq!((plan.folder.as_str(), plan.recipe.domain().as_str()), ("shared", "sample.com"));
    }

    #[test]
    fn the_signing_domain_is_the_files_name_or_what_it_says() {
        for (name, text, wanted, folder) in [
            (Some("sample.com"), "", "sample.com", "sample.com"),
            (Some("sample.com"), "domain = \"example.org\"\n", "example.org", "example.org"),
            (None, "", "sample.com", "default"),
            (None, "domain = \"example.org\"\n", "example.org", "example.org"),
        ] {
            let plan = plan(&policy(name, &format!("{SELECTOR}{text}")), FROM);
            assert_eq!(plan.recipe.domain().as_str(), wanted);
            assert_eq!(plan.folder, folder);
        }
    }

    #[test]
    fn a_rule_for_an_address_has_its_own_selectors() {
        let text = format!("{SELECTOR}[[sign]]\nfrom = \"news@sample.com\"\nselector = \"n\"\n");
        let policy = policy(Some("sample.com"), &text);
        let selector = |header| plan(&policy, header).selectors[0].as_str().to_owned();
        assert_eq!(selector("From: N <News@sample.com>\n"), "n");
        assert_eq!(selector(FROM), "s1");
    }

    #[test]
    fn the_identity_of_a_rule_precedes_that_of_the_file() {
        let text = format!(
            "{SELECTOR}identity = \"@news.sample.com\"\n\
             [[sign]]\nfrom = \"a@sample.com\"\nselector = \"a\"\nidentity = \"a@sample.com\"\n\
             [[sign]]\nfrom = \"b@sample.com\"\nselector = \"b\"\n"
        );
        let policy = policy(Some("sample.com"), &text);
        for (from, identity) in [
            ("a@sample.com", "a@sample.com"),
            ("b@sample.com", "@news.sample.com"),
            ("c@sample.com", "@news.sample.com"),
        ] {
            let plan = plan(&policy, &format!("From: {from}\n"));
            assert_eq!(plan.recipe.identity(), Identity::parse(identity).ok().as_ref(), "{from}");
        }
    }

    #[test]
    fn without_selectors_only_the_addresses_of_rules_are_signed() {
        let text = "[[sign]]\nfrom = \"news@sample.com\"\nselector = \"n\"\n";
        let policy = policy(Some("sample.com"), text);
        assert_eq!(plan(&policy, "From: news@sample.com\n").selectors[0].as_str(), "n");
        assert_eq!(reason(&policy, FROM), Reason::NoRule);
    }

    #[test]
    fn mail_of_others_is_not_signed_unless_asked() {
        let strict = policy(Some("sample.com"), SELECTOR);
        let received = format!("Received: from x\n{FROM}");
        assert_eq!(reason(&strict, &received), Reason::Forwarded);
        let resent = format!("resent-from: x@y.example\n{FROM}");
        assert_eq!(reason(&strict, &resent), Reason::Resent);
        let header = Header::parse(FROM.as_bytes()).unwrap();
        let author = Author::of(&header).unwrap();
        let gateway = strict.decide(&author, &header, true, &www_data()).unwrap();
        assert_eq!(gateway, Decision::Skip(Reason::Gateway));
        let open = policy(Some("sample.com"), &format!("{SELECTOR}sign_forwarded = true\n"));
        plan(&open, &received);
        plan(&open, &resent);
    }

    /// The reason for a message that the content filter reads, with the text of a domain file.
    fn filtered(text: &str, login: Option<&str>, address: Option<&str>) -> Option<Reason> {
        let policy = policy(Some("sample.com"), &format!("{SELECTOR}{text}\n"));
        let header = format!("Received: from x\n{FROM}");
        let header = Header::parse(header.as_bytes()).unwrap();
        let address = address.map(|address| address.parse().unwrap());
        let client = Client { login: login.map(str::to_owned), address, is_local: false };
        let caller = Caller { uid: 997, client: Some(client), ..Caller::default() };
        let author = Author::of(&header).unwrap();
        let allowed = policy.allows(&caller);
        match policy.decide(&author, &header, true, &caller).unwrap() {
            Decision::Sign(_) => {
                assert!(allowed);
                None
            }
            Decision::Skip(reason) => {
                // The process that signs only knows the caller.
                assert!(!allowed, "{text}");
                Some(reason)
            }
        }
    }

    #[test]
    fn mail_by_smtp_is_signed_where_the_domain_file_says_so() {
        assert_eq!(filtered("smtp = true", None, None), None);
        assert_eq!(filtered("", None, None), Some(Reason::NotBySmtp));
        // `users` and `groups` do not apply to it.
        assert_eq!(filtered("smtp = true\nusers = []", None, None), None);
        assert_eq!(filtered("sign_forwarded = true", None, None), None);
        assert_eq!(
            filtered("sign_forwarded = true\nusers = [\"a\"]", None, None),
            Some(Reason::NotAllowed)
        );
    }

    #[test]
    fn logins_and_clients_limit_who_may_have_mail_by_smtp_signed() {
        let not = Some(Reason::ClientNotAllowed);
        let logins = "smtp = true\nlogins = [\"alice\", \"\"]";
        assert_eq!(filtered(logins, Some("alice"), None), None);
        for login in [None, Some("bob"), Some("Alice"), Some("alice "), Some("alice@sample.com")] {
            assert_eq!(filtered(logins, login, None), not, "{login:?}");
        }
        let clients = "smtp = true\nclients = [\"192.0.2.0/24\", \"::1\"]";
        assert_eq!(filtered(clients, None, Some("192.0.2.9")), None);
        assert_eq!(filtered(clients, None, Some("::1")), None);
        assert_eq!(filtered(clients, Some("alice"), Some("192.0.3.9")), not);
        assert_eq!(filtered(clients, None, None), not);
        let both = "smtp = true\nlogins = [\"alice\"]\nclients = [\"192.0.2.0/24\"]";
        assert_eq!(filtered(both, Some("alice"), Some("192.0.2.9")), None);
        assert_eq!(filtered(both, Some("alice"), Some("::1")), not);
        assert_eq!(filtered(both, None, Some("192.0.2.9")), not);
        assert_eq!(filtered("smtp = true\nlogins = []", Some("alice"), None), not);
    }

    #[test]
    fn a_client_is_what_the_arguments_of_the_filter_say() {
        let client = |login: Option<&str>, address: Option<&str>| {
            let line = ["s", "-O", "DkimLogin=", "-O", "DkimClient=", "-G", "a@b"];
            let mut argv: Vec<_> = line.map(std::ffi::OsString::from).into();
            for (at, value) in [(4, address), (2, login)] {
                match value {
                    Some(value) => argv[at].push(value),
                    None => drop(argv.drain(at - 1..=at)),
                }
            }
            let Mode::Submit(submission) = Mode::parse(&argv) else { panic!("{argv:?}") };
            Client::from(&submission.client)
        };
        assert_eq!(client(None, None), Client::default());
        let known = client(Some("alice"), Some("::ffff:192.0.2.1"));
        assert_eq!(known.login.as_deref(), Some("alice"));
        assert_eq!(known.address, "192.0.2.1".parse().ok());
        assert!(!known.is_local);
        let local = client(Some(""), Some(""));
        assert_eq!(local, Client { is_local: true, ..Client::default() });
        assert_eq!(client(None, Some("unknown")), Client::default());
    }

    #[test]
    fn a_message_that_comes_back_to_the_filter_is_a_loop() {
        let looped = |header: &str, is_local: bool| {
            let header = Header::parse(format!("{header}{FROM}").as_bytes()).unwrap();
            is_loop(&header, 997, &Client { is_local, ..Client::default() })
        };
        let by_smtp = "Received: from x (x [192.0.2.1])\n\tby host (Postfix) id 1\n";
        let ours = "Received: by host (Postfix, from userid 997)\n\tid 1; today\n";
        let other = "Received: by host (Postfix, from userid 33)\n\tid 1; today\n";
        let bounce = "Received: by host (Postfix)\n\tid 1; today\n";
        assert!(looped(&format!("{ours}{by_smtp}"), false));
        assert!(looped(&format!("Return-Path: <a@b>\n{ours}{by_smtp}"), true));
        assert!(!looped(by_smtp, false) && !looped(other, true) && !looped(bounce, true));
        // Another host with the same user id.
        assert!(!looped(&format!("{by_smtp}{ours}"), false));
        // On a host whose header_checks removes Received fields.
        assert!(looped("", true) && looped(by_smtp, true) && !looped("", false));
        // A client that claims this name.
        let forged = "Received: from x (by host (Postfix, from userid 997)\n\tby host id 1\n";
        assert!(!looped(forged, false));
    }

    #[test]
    fn default_toml_signs_for_no_name_of_this_host_alone() {
        let default = policy(None, SELECTOR);
        for name in
            ["localhost", "web1", "localhost.localdomain", "web1.localdomain", "x.localhost"]
        {
            assert_eq!(
                reason(&default, &format!("From: root@{name}\n")),
                Reason::LocalName,
                "{name}"
            );
        }
        plan(&default, "From: root@localhost.example\n");
        // With a key of another domain, or with a file of its own, the administrator asked for it.
        plan(&policy(None, &format!("{SELECTOR}domain = \"sample.com\"\n")), "From: root@web1\n");
        plan(&policy(Some("web1"), SELECTOR), "From: root@web1\n");
    }

    #[test]
    fn webmail_is_a_submission_unless_it_came_by_a_mail_system() {
        let policy = policy(Some("sample.com"), SELECTOR);
        let web = "Received: from x by www.sample.com with HTTP; date\n";
        let smtp = "Received: from www.sample.com by mx.sample.com with ESMTP id 1; date\n";
        plan(&policy, &format!("{web}{FROM}"));
        plan(&policy, &format!("{web}{FROM}{web}"));
        for header in [format!("{smtp}{web}{FROM}"), format!("{web}{FROM}{smtp}")] {
            assert_eq!(reason(&policy, &header), Reason::Forwarded);
        }
    }

    #[test]
    fn a_signature_of_the_same_domain_is_enough() {
        let policy = policy(Some("sample.com"), SELECTOR);
        let signed = |d: &str| format!("{FROM}DKIM-Signature: v=1; d={d}; b=x\n");
        assert_eq!(reason(&policy, &signed("Sample.com")), Reason::AlreadySigned);
        plan(&policy, &signed("other.example"));
        plan(&policy, &format!("{FROM}DKIM-Signature: garbage\n"));
    }

    #[test]
    fn a_domain_that_signs_in_addition_does_not_sign_twice() {
        let text = "also_sign_as = [\"sample.com\", \"signed.example\", \"provider.example\"]\n";
        let policy = policy(Some("sample.com"), &format!("{SELECTOR}{text}"));
        let header = format!("{FROM}DKIM-Signature: v=1; d=signed.example; b=x\n");
        assert_eq!(plan(&policy, &header).also_sign_as, [domain("provider.example")]);
    }

    #[test]
    fn each_reason_has_its_own_text() {
        let no_author = Reason::NoAuthor(NoAuthor::NoFrom);
        assert_eq!(no_author.to_string(), NoAuthor::NoFrom.to_string());
        let mut all: Vec<String> = [
            no_author,
            Reason::NotConfigured,
            Reason::LocalName,
            Reason::Forwarded,
            Reason::Resent,
            Reason::Gateway,
            Reason::AlreadySigned,
            Reason::NoRule,
            Reason::NotAllowed,
            Reason::NotBySmtp,
            Reason::ClientNotAllowed,
            Reason::HeaderTooLarge,
            Reason::BadHeader,
        ]
        .iter()
        .map(ToString::to_string)
        .collect();
        all.sort();
        assert!(all.iter().all(|text| text.len() > 5), "{all:?}");
        all.dedup();
        assert_eq!(all.len(), 13, "{all:?}");
    }

    #[test]
    fn only_the_named_users_and_groups_sign() {
        let policy = |text: &str| policy(Some("sample.com"), &format!("{SELECTOR}{text}\n"));
        plan(&policy("users = [\"www-data\"]"), FROM);
        plan(&policy("users = [\"root\"]\ngroups = [\"www-data\"]"), FROM);
        assert_eq!(reason(&policy("users = [\"root\"]"), FROM), Reason::NotAllowed);
        assert_eq!(reason(&policy("groups = []"), FROM), Reason::NotAllowed);
    }
}
