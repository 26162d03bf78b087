//! Checks the setup of the wrapper as Postfix's content filter. See docs/smtp.md.

use std::path::Path;

use nix::unistd::{Group, User};

use super::configuration::Configuration;
use super::finding::{Finding, Severity};
use super::units;
use crate::admin::filter::{self, ADDRESSES, Clients, SOME, TRANSPORT, words};
use crate::admin::input;
use crate::admin::postconf::{Postfix, Service, View};
use crate::admin::store::rights::GROUP;

/// The name of these findings.
const CHECK: &str = "smtp";

const SETUP: &str = "dkimctl setup --smtp --yes";

fn error(evidence: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::error(CHECK, evidence, remedy)
}

fn warning(evidence: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::warning(CHECK, evidence, remedy)
}

/// All findings about mail submitted by SMTP.
pub(crate) fn findings(
    postfix: &Postfix,
    configuration: &Configuration,
    etc: &Path,
) -> Vec<Finding> {
    let host = configuration.host.as_ref();
    let user = host.and_then(|host| host.filter_user.as_deref());
    let filters = postfix.services.iter().filter(|service| is_filter(service));
    let filters: Vec<&Service> = filters.collect();
    let mut findings: Vec<Finding> = missing(postfix, etc).into_iter().collect();
    if filters.is_empty() {
        let is_on = configuration.files.iter().any(|config| config.file.signing.smtp)
            || host.is_some_and(|host| host.signing.smtp);
        if is_on && findings.is_empty() {
            let evidence = "smtp = true, but no line of master.cf runs the wrapper as a content filter: mail by SMTP is not signed";
            findings.push(warning(evidence, SETUP));
        }
        return findings;
    }
    findings.extend(user.map_or_else(|| Some(nameless(&filters)), of_user));
    for service in &filters {
        findings.extend(of_line(service, user, configuration));
        findings.extend(loops(postfix, transport(service)));
    }
    findings.extend(size_limit(postfix, configuration));
    findings.extend(submit_users(postfix, user.unwrap_or(filter::USER)));
    let smtpds = postfix.services.iter().filter(|service| service.command == "smtpd");
    findings.extend(smtpds.flat_map(|service| of_smtpd(postfix, service, etc)));
    findings.extend(table(&etc.join(ADDRESSES)));
    findings.extend(units::of_postfix());
    findings
}

/// Whether a line of master.cf runs the wrapper.
fn is_filter(service: &Service) -> bool {
    let is_wrapper = |word: &&str| {
        word.strip_prefix("argv=").is_some_and(|path| path.ends_with("/sendmail.dkim"))
    };
    service.command == "pipe" && service.words().iter().any(is_wrapper)
}

fn transport(service: &Service) -> &str {
    service.name.split('/').next().unwrap_or_default()
}

/// Reports a service that passes mail to a transport that does not exist.
fn missing(postfix: &Postfix, etc: &Path) -> Option<Finding> {
    if postfix.services.iter().any(|service| transport(service) == TRANSPORT) {
        return None;
    }
    let (mark, tables) = (format!("{TRANSPORT}:"), etc.display().to_string());
    let found = postfix.services.iter().find_map(|service| {
        let view = postfix.of_service(service);
        let hands_over = view.value("content_filter").starts_with(&mark);
        let name = if hands_over { "content_filter" } else { SOME };
        (hands_over || view.value(SOME).contains(&tables)).then(|| view.evidence(name))
    });
    let evidence =
        format!("{}, but master.cf has no transport {TRANSPORT}: mail stays in the queue", found?);
    Some(error(evidence, format!("{SETUP}, or --smtp=off")))
}

fn nameless(filters: &[&Service]) -> Finding {
    let names = filters.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ");
    let evidence = format!(
        "master.cf: {names} runs the wrapper, but config.toml has no filter_user: its mail is not signed"
    );
    error(evidence, SETUP)
}

/// Checks that the user exists and cannot read the keys.
fn of_user(name: &str) -> Option<Finding> {
    let Some(user) = User::from_name(name).ok().flatten() else {
        let remedy = format!(
            "useradd --system --no-create-home --gid nogroup --shell /usr/sbin/nologin {name}"
        );
        return Some(error(
            format!("filter_user = {name:?}, but there is no such user: mail stays in the queue"),
            remedy,
        ));
    };
    let group = Group::from_name(GROUP).ok().flatten()?;
    let reads_keys = user.gid == group.gid || group.mem.contains(&user.name);
    reads_keys.then(|| {
        let remedy = format!("usermod --gid nogroup --groups '' {name}");
        error(format!("the user {name} of the content filter is in the group {GROUP}, which can read the keys"), remedy)
    })
}

/// Checks the line in master.cf.
fn of_line(service: &Service, user: Option<&str>, configuration: &Configuration) -> Vec<Finding> {
    let (words, name) = (service.words(), &service.name);
    let has = |word: &str| words.contains(&word);
    let value =
        |key: &str| words.iter().find_map(|word| word.strip_prefix(key)).unwrap_or_default();
    let mut findings = Vec::new();
    let mut find = |is_bad: bool, what: String| {
        if is_bad {
            findings.push(error(
                format!("master.cf: {name}: {what}"),
                format!("{SETUP} (a line named dkim), or correct it by hand"),
            ));
        }
    };
    find(
        words.get(4) == Some(&"y"),
        "runs in a chroot without the wrapper: mail stays in the queue".to_owned(),
    );
    let own = value("user=").split(':').next().unwrap_or_default();
    find(
        user.is_some_and(|user| user != own),
        format!(
            "runs as {own:?}, but filter_user is {:?}: its mail is not signed",
            user.unwrap_or_default()
        ),
    );
    for (word, meaning) in [
        ("-G", "its mail is treated as mail of a local user"),
        ("-i", "a line containing a single dot ends a message"),
        ("--", "a recipient that begins with - is read as an option"),
        ("null_sender=", "the null sender becomes MAILER-DAEMON"),
    ] {
        find(!has(word), format!("lacks {word}: {meaning}"));
    }
    find(!value("flags=").contains('q'), "lacks flags=q: quoted addresses are changed".to_owned());
    let files = || configuration.files.iter().map(|config| &config.file);
    for (word, is_used) in [
        ("DkimLogin=${sasl_username}", files().any(|file| file.logins.is_some())),
        ("DkimClient=${client_address}", files().any(|file| file.clients.is_some())),
    ] {
        find(
            is_used && !has(word),
            format!("lacks -O {word}, which logins and clients in domain files require"),
        );
    }
    findings
}

/// Reports settings that send the filter's own mail to the filter again.
fn loops(postfix: &Postfix, transport: &str) -> Option<Finding> {
    let views = postfix.views(&["pickup"]);
    let mark = format!("{transport}:");
    if let Some(view) = views.iter().find(|view| view.value("content_filter").starts_with(&mark)) {
        let evidence = view.meaning("content_filter", "mail loops through the filter");
        let remedy = "postconf -X content_filter, or postconf -P pickup/unix/content_filter=; set it only for services of smtpd";
        return Some(error(evidence, remedy));
    }
    let names = ["header_checks", "mime_header_checks", "nested_header_checks", "body_checks"];
    let view = postfix.view();
    let name = names.into_iter().find(|name| {
        let paths = words(view.value(name)).filter_map(|table| table.split_once(':'));
        paths
            .filter_map(|(_, path)| input::text(path.as_ref(), input::FOREIGN).ok())
            .any(|text| has_filter(&text, &mark))
    })?;
    let meaning =
        "a FILTER action in this table also sends mail from sendmail(1) to the filter: mail loops";
    Some(error(view.meaning(name, meaning), "remove the action, and use dkimctl setup --smtp"))
}

/// Whether a table has a FILTER action with this transport.
fn has_filter(text: &str, mark: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut pairs = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    pairs.any(|words| words.windows(2).any(|pair| matches!(pair, [action, next] if action.eq_ignore_ascii_case("FILTER") && next.starts_with(mark))))
}

/// Mail that is only too large because it is signed bounces, unless the wrapper knows the limit.
fn size_limit(postfix: &Postfix, configuration: &Configuration) -> Option<Finding> {
    let name = "message_size_limit";
    let (view, host) = (postfix.view(), configuration.host.as_ref()?);
    let limit: u64 = view.value(name).parse().ok().filter(|limit| *limit > 0)?;
    host.message_size_limit.is_none().then(|| {
        let evidence = format!(
            "{}, and config.toml has no {name}: mail by SMTP that only its signature makes too large bounces",
            view.evidence(name)
        );
        warning(evidence, format!("{name} = {limit} in config.toml"))
    })
}

/// Checks that sendmail(1) accepts mail of the filter's user.
fn submit_users(postfix: &Postfix, user: &str) -> Option<Finding> {
    let view = postfix.view();
    let name = "authorized_submit_users";
    for word in words(view.value(name)) {
        match word.strip_prefix('!') {
            Some(other) if other == user => break,
            // The content of a table is not known.
            None if word == user || word.contains(':') || word.starts_with('/') => return None,
            _ => {}
        }
    }
    let meaning = format!("sendmail(1) accepts no mail of {user}: mail bounces");
    let evidence = view.meaning(name, meaning);
    (!view.value(name).is_empty()).then(|| error(evidence, format!("add {user} to this setting")))
}

/// Checks a service that accepts mail by SMTP.
fn of_smtpd(postfix: &Postfix, service: &Service, etc: &Path) -> Vec<Finding> {
    let view = postfix.of_service(service);
    let name = &service.name;
    let mut findings = Vec::new();
    let hands_over_all = view.value("content_filter").starts_with("dkim:");
    let tables = etc.display().to_string();
    let some = view.value(SOME);
    let hands_over_some = some.contains(&tables);
    let is_public = filter::accepts_strangers(&view);
    if hands_over_all && is_public {
        let meaning = format!(
            "{name} accepts mail of any client, and all of it goes to the filter: mail of other hosts gets signed"
        );
        let remedy = format!("postconf -PX {name}/content_filter; {SETUP}");
        findings.push(error(view.meaning("content_filter", meaning), remedy));
    }
    if !hands_over_all && !hands_over_some {
        return findings;
    }
    findings.extend(milters(name, &view));
    if words(view.value("receive_override_options")).any(|word| word == "no_address_mappings")
        && is_public
    {
        let meaning =
            format!("mail of {name} that does not go to the filter keeps its aliases unresolved");
        let evidence = view.meaning("receive_override_options", meaning);
        findings.push(warning(evidence, "remove no_address_mappings from this setting"));
    }
    if hands_over_some && !view.value("smtpd_proxy_filter").is_empty() {
        let meaning = format!("FILTER actions of {name} have no effect");
        let remedy = "sign after the proxy, in the service that it passes mail to";
        findings.push(warning(view.meaning("smtpd_proxy_filter", meaning), remedy));
    }
    if hands_over_some && let Some(other) = overriding(some, &tables) {
        let meaning = format!("a FILTER action of {other} overrides the one for the wrapper");
        let remedy = "put the tables of the wrapper last, or remove this action";
        findings.push(warning(view.meaning(SOME, meaning), remedy));
    }
    findings
}

/// A table after those of the wrapper that has a FILTER action or cannot be read.
fn overriding<'a>(list: &'a str, tables: &str) -> Option<&'a str> {
    let words: Vec<&str> = words(list).collect();
    let last = words.iter().rposition(|word| word.contains(tables))?;
    let mut later =
        words.into_iter().skip(last.saturating_add(1)).filter(|word| word.contains(':'));
    later.find(|table| {
        let path = table.split_once(':').map_or("", |(_, path)| path);
        input::text(path.as_ref(), input::FOREIGN).map_or(true, |text| has_filter(&text, ""))
    })
}

fn milters(name: &str, view: &View<'_>) -> Option<Finding> {
    let value = view.value("smtpd_milters");
    (!value.is_empty()).then(|| {
        let meaning = format!(
            "if one of these milters signs, it signs mail of {name}, and the wrapper does not"
        );
        let remedy = "remove the milter that signs, or let it only verify (OpenDKIM: Mode v)";
        Finding::new(Severity::Info, CHECK, view.meaning("smtpd_milters", meaning), remedy)
    })
}

/// Checks that the table of clients does not name the whole Internet.
fn table(path: &Path) -> Option<Finding> {
    let text = input::text(path, input::FOREIGN).ok()?;
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let mut keys =
        rows.filter(|line| has_filter(line, "")).filter_map(|line| line.split_whitespace().next());
    let wide = keys.find(|key| !Clients::of([*key]).left_out.is_empty())?;
    let evidence = format!(
        "{}: {wide} is too large for a network of your own clients: mail of other hosts gets signed",
        path.display()
    );
    Some(error(evidence, "list only the networks of your own clients"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::admin::checks::finding::Severity;
    use crate::admin::store::domains::DomainConfig;
    use crate::admin::temporary::Temporary;
    use crate::config::{Host, Signing};

    fn configuration(host: &str, file: &str) -> Configuration {
        let text = format!("selectors = [\"s\"]\n{file}");
        let config = DomainConfig::parse("x.test.toml".as_ref(), text, &Signing::default());
        let host = Host::parse(&format!("sendmail = \"/x\"\n{host}")).unwrap();
        Configuration { host: Some(host), files: vec![config.unwrap()], is_stopped: false }
    }

    #[test]
    fn each_part_of_the_line_in_master_cf_is_checked() {
        let wrong = |line: &str, file: &str| -> Vec<String> {
            let postfix = Postfix::of("", line, "");
            let configuration = configuration("", file);
            let found = of_line(&postfix.services[0], Some(filter::USER), &configuration);
            found.into_iter().map(|finding| finding.evidence).collect()
        };
        let line = filter::line(filter::USER);
        let file = "logins = [\"a\"]\nclients = [\"192.0.2.0/24\"]\n";
        assert!(wrong(&line, file).is_empty());
        for (part, instead, says) in [
            ("- n n -", "- n y -", "runs in a chroot"),
            ("user=sendmail-dkim", "user=alice:mail", "runs as \"alice\""),
            ("flags=Rq", "flags=R", "lacks flags=q"),
            ("null_sender= ", "", "lacks null_sender="),
            ("-G ", "", "lacks -G"),
            ("-i ", "", "lacks -i"),
            ("-- ", "", "lacks --:"),
            ("-O DkimLogin=${sasl_username} ", "", "lacks -O DkimLogin="),
            ("-O DkimClient=${client_address} ", "", "lacks -O DkimClient="),
        ] {
            let line = line.replace(part, instead);
            let found = wrong(&line, file);
            assert!(matches!(&*found, [one] if one.contains(says)), "{part}: {found:?}");
            // Only a domain file with `logins` or `clients` requires these two.
            assert_eq!(wrong(&line, "").is_empty(), part.starts_with("-O "), "{part}");
        }
    }

    #[test]
    fn sendmail_has_to_accept_mail_of_the_filters_user() {
        for (list, is_accepted) in [
            ("", true),
            ("root, sendmail-dkim", true),
            ("!www-data, static:all", true),
            ("/etc/postfix/users", true),
            ("root", false),
            ("!www-data", false),
            ("!sendmail-dkim, static:all", false),
        ] {
            let postfix = Postfix::of(&format!("authorized_submit_users = {list}\n"), "", "");
            let found = submit_users(&postfix, filter::USER);
            assert_eq!(found.is_none(), is_accepted, "{list}: {found:?}");
        }
    }

    #[test]
    fn mail_of_the_filter_must_not_go_to_the_filter() {
        let folder = Temporary::new("checks-loops").unwrap();
        let table = folder.path.join("checks");
        let is_loop = |main: &str, settings: &str| {
            let postfix = Postfix::of(main, "pickup unix n - n 60 1 pickup\n", settings);
            loops(&postfix, "dkim").is_some()
        };
        let all = "content_filter = dkim:dummy\n";
        assert!(is_loop(all, "") && is_loop("", "pickup/unix/content_filter = dkim:\n"));
        assert!(!is_loop(all, "pickup/unix/content_filter =\n"));
        assert!(!is_loop("content_filter = dkim2:dummy\n", ""));
        for (text, expected) in [
            ("# /x/ FILTER dkim:dummy\n/^X-Y:/ filter dkim:dummy\n", true),
            ("# /x/ FILTER dkim:dummy\n/x/ FILTER scan:x\n/x/ REJECT dkim:\n", false),
        ] {
            fs::write(&table, text).unwrap();
            for name in
                ["header_checks", "mime_header_checks", "nested_header_checks", "body_checks"]
            {
                let main = format!("{name} = regexp:/nowhere, regexp:{}\n", table.display());
                assert_eq!(is_loop(&main, ""), expected, "{name}: {text}");
            }
        }
    }

    #[test]
    fn a_transport_that_does_not_exist_keeps_mail_in_the_queue() {
        let smtpd = "smtp inet n - n - - smtpd\n";
        let dkim = format!("{smtpd}{}\n", filter::line(filter::USER));
        for (services, settings, is_missing) in [
            (smtpd, "content_filter = dkim:dummy", true),
            (
                smtpd,
                "smtpd_end_of_data_restrictions = check_client_access cidr:/e/clients.cidr",
                true,
            ),
            (smtpd, "content_filter = scan:x", false),
            (&*dkim, "content_filter = dkim:dummy", false),
        ] {
            let postfix = Postfix::of("", services, &format!("smtp/inet/{settings}\n"));
            let found = missing(&postfix, "/e".as_ref());
            assert_eq!(found.is_some(), is_missing, "{settings}");
            assert!(found.is_none_or(|found| found.is_error()));
        }
    }

    /// What is found about smtpd(8) with these settings. PUBLIC accepts mail of any client, PRIVATE does not.
    fn of_service(settings: &[&str], etc: &Path) -> Vec<Severity> {
        let text: String = settings.iter().map(|one| format!("smtp/inet/{one}\n")).collect();
        let text = text.replace("ETC", &etc.display().to_string());
        let postfix =
            Postfix::of("mynetworks = 127.0.0.0/8\n", "smtp inet n - n - - smtpd\n", &text);
        let found = of_smtpd(&postfix, &postfix.services[0], etc);
        found.into_iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn a_service_hands_over_the_mail_of_its_own_clients() {
        let folder = Temporary::new("checks-smtpd").unwrap();
        for (name, text) in [("filters", "0.0.0.0/0 FILTER scan:x\n"), ("rejects", "x REJECT\n")] {
            fs::write(folder.path.join(name), text).unwrap();
        }
        // The tables of the wrapper are in the same directory as these, so they get another name.
        let etc = folder.path.join("etc");
        let of = |settings: &[&str]| of_service(settings, &etc);
        let private = "smtpd_relay_restrictions = permit_mynetworks, reject";
        let all = "content_filter = dkim:dummy";
        let some = |others: &str| {
            format!("{SOME} = check_client_access cidr:ETC/clients.cidr {others}")
                .replace("TABLES", &folder.path.display().to_string())
        };
        assert_eq!(of(&[all]), [Severity::Error]);
        assert_eq!(of(&[all, private]), []);
        // Only FILTER actions have no effect with a proxy.
        assert_eq!(of(&[all, private, "smtpd_proxy_filter = 127.0.0.1:9"]), []);
        assert_eq!(of(&[&some("")]), []);
        let milter = "smtpd_milters = inet:localhost:8891";
        assert_eq!(of(&[milter, "content_filter = scan:x"]), []);
        assert_eq!(of(&[milter, &some("")]), [Severity::Info]);
        let aliases = "receive_override_options = no_address_mappings";
        assert_eq!(of(&[aliases, &some("")]), [Severity::Warning]);
        assert_eq!(of(&[aliases, &some(""), private]), []);
        assert_eq!(of(&["smtpd_proxy_filter = 127.0.0.1:9", &some("")]), [Severity::Warning]);
        // The last FILTER action applies.
        for (others, expected) in [
            ("check_client_access cidr:TABLES/filters", &[Severity::Warning][..]),
            ("check_client_access cidr:TABLES/unreadable", &[Severity::Warning]),
            ("check_client_access cidr:TABLES/rejects", &[]),
            (
                "check_client_access cidr:TABLES/filters check_client_access cidr:ETC/clients.cidr",
                &[],
            ),
        ] {
            assert_eq!(of(&[&some(others)]), expected, "{others}");
        }
    }

    #[test]
    fn mail_by_smtp_is_not_signed_without_a_filter_wherever_smtp_is_set() {
        let without =
            |main: &str, settings: &str, configuration: &Configuration| -> Vec<Severity> {
                let postfix = Postfix::of(main, "smtp inet n - n - - smtpd\n", settings);
                let found = findings(&postfix, configuration, "/e".as_ref());
                found.into_iter().map(|finding| finding.severity).collect()
            };
        let on = "smtp = true";
        assert_eq!(without("", "", &configuration("", "")), []);
        assert_eq!(without("", "", &configuration(on, "")), [Severity::Warning]);
        assert_eq!(without("", "", &configuration("", on)), [Severity::Warning]);
        // Mail that stays in the queue is the only finding then.
        let all = "smtp/inet/content_filter = dkim:dummy\n";
        assert_eq!(without("", all, &configuration(on, on)), [Severity::Error]);
    }

    #[test]
    fn a_network_is_too_large_if_its_mail_goes_to_the_filter() {
        let folder = Temporary::new("checks-clients").unwrap();
        let path = folder.path.join(ADDRESSES);
        for (row, is_wrong) in [
            ("192.0.2.0/24 FILTER dkim:dummy", false),
            ("0.0.0.0/0 DUNNO", false),
            ("#0.0.0.0/0 FILTER dkim:dummy", false),
            ("0.0.0.0/0 FILTER dkim:dummy", true),
            ("::/0 filter dkim:dummy", true),
        ] {
            fs::write(&path, format!("127.0.0.1 FILTER dkim:dummy\n{row}\n")).unwrap();
            assert_eq!(table(&path).is_some_and(|found| found.is_error()), is_wrong, "{row}");
        }
        assert_eq!(table(&folder.path.join("none")), None);
    }

    #[test]
    fn the_wrapper_has_to_know_the_size_limit_of_postfix() {
        for (main, host, is_found) in [
            ("message_size_limit = 10240000\n", "", true),
            ("message_size_limit = 10240000\n", "message_size_limit = 10240000", false),
            ("message_size_limit = 0\n", "", false),
        ] {
            let found = size_limit(&Postfix::of(main, "", ""), &configuration(host, ""));
            assert_eq!(found.is_some(), is_found, "{main}{host}");
        }
    }
}
