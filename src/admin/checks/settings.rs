//! Checks settings of Postfix that change a message after it was signed, or that the wrapper has to know.

use super::configuration::Configuration;
use super::finding::{Finding, Severity};
use crate::admin::filter::words;
use crate::admin::input;
use crate::admin::postconf::{Postfix, View};
use crate::config::is_recipient_field;
use crate::dkim::Domain;
use crate::message::limits::LONGEST_LINE;
use crate::policy::Candidate;
use Severity::{Error, Info, Warning};

/// Settings with the same effect: the severity, the names, the condition, and the reason with the remedy.
struct Rule(
    Severity,
    &'static [&'static str],
    fn(&View<'_>, &'static str) -> bool,
    [&'static str; 2],
);

/// The programs of Postfix that read a setting. If there are none, only main.cf applies.
fn readers(name: &str) -> &'static [&'static str] {
    match name {
        "relayhost" | "sendmail_fix_line_endings" => &[],
        "content_filter" => &["pickup"],
        _ if name.starts_with("smtp_") => &["smtp"],
        _ if name.starts_with("lmtp_") => &["lmtp"],
        _ => CLEANUP,
    }
}

const CLEANUP: &[&str] = &["cleanup"];

const MAPS: [&str; 2] = [
    "it rewrites addresses in signed header fields",
    "map only the envelope, or let the sending program write the right From",
];
const CLASSES: [&str; 2] = [
    "it rewrites addresses in signed header fields",
    "remove the header_ classes from the corresponding setting that ends in _classes",
];
const BODY: [&str; 2] = ["it may change the body after it was signed", "remove it"];
const HEADER: [&str; 2] = [
    "a REPLACE, IGNORE, STRIP or PREPEND in it changes the header after it was signed",
    "restrict these actions to unsigned fields, or remove the fields from `headers` and `oversign`",
];
const MILTER: [&str; 2] = [
    "a milter that signs adds a second signature; one that changes mail breaks the first",
    "remove it for local mail: non_smtpd_milters = (empty)",
];
const FILTER: [&str; 2] = [
    "the filter gets the signed message, and may change it before it goes out",
    "add -o content_filter= to the pickup service, or make sure that the filter changes nothing",
];
const ADDED: [&str; 2] = [
    "fields are also added to relayed mail (-G), signed or not",
    "set it to no; the wrapper adds missing fields to local mail",
];
const FOREIGN: [&str; 2] =
    ["addresses of relayed mail (-G) are rewritten, signed or not", "remove it"];
const LINES: [&str; 2] = [
    "lines of up to 990 bytes are broken after they were signed",
    "set it to 998, the default, or to 0",
];
const EIGHT_BIT: [&str; 2] = [
    "mail is sent as to a server without 8BITMIME: bodies are rewritten if seven_bit is false",
    "remove 8bitmime from this setting, and leave seven_bit on",
];
const RELAY: [&str; 2] = [
    "this relay replaces Message-ID and Date, or rewrites From",
    "do not sign these fields: headers = [\"-Message-ID\", \"-Date\"]",
];
const LINE_ENDINGS: [&str; 2] =
    ["it affects only mail that is not signed", "set it to always, the default"];
const STRAY_CR: [&str; 2] = [
    "a stray CR stays in mail that is not signed; signed mail has none",
    "set it to yes, the default since 3.5.24, 3.6.14, 3.7.10, 3.8.5",
];
const CONVERSION: [&str; 2] =
    ["bodies that the wrapper did not change are rewritten", "set it to no, the default"];

const RULES: [Rule; 18] = [
    Rule(Error, &["smtp_generic_maps", "lmtp_generic_maps"], is_set, MAPS),
    Rule(
        Error,
        &[
            "canonical_maps",
            "sender_canonical_maps",
            "recipient_canonical_maps",
            "masquerade_domains",
        ],
        has_header_class,
        CLASSES,
    ),
    Rule(Error, &["body_checks", "smtp_body_checks", "lmtp_body_checks"], is_set, BODY),
    Rule(Error, &["message_strip_characters"], is_set, BODY),
    Rule(Warning, &["header_checks"], may_change, HEADER),
    Rule(Warning, &["mime_header_checks", "nested_header_checks"], changes_more, HEADER),
    Rule(
        Warning,
        &["smtp_header_checks", "smtp_mime_header_checks", "smtp_nested_header_checks"],
        may_change,
        HEADER,
    ),
    Rule(
        Warning,
        &["lmtp_header_checks", "lmtp_mime_header_checks", "lmtp_nested_header_checks"],
        may_change,
        HEADER,
    ),
    Rule(Warning, &["non_smtpd_milters"], is_set, MILTER),
    Rule(Warning, &["content_filter"], is_set, FILTER),
    Rule(Warning, &["always_add_missing_headers"], is_on, ADDED),
    Rule(Warning, &["remote_header_rewrite_domain"], is_set, FOREIGN),
    Rule(Warning, &["smtp_line_length_limit", "lmtp_line_length_limit"], is_short, LINES),
    Rule(
        Warning,
        &["smtp_discard_ehlo_keywords", "lmtp_discard_lhlo_keywords"],
        discards,
        EIGHT_BIT,
    ),
    Rule(Warning, &["relayhost"], rewrites_mail, RELAY),
    Rule(Info, &["sendmail_fix_line_endings"], is_not_always, LINE_ENDINGS),
    Rule(Info, &["cleanup_replace_stray_cr_lf"], |view, name| !is_on(view, name), STRAY_CR),
    Rule(Info, &["force_mime_input_conversion"], is_on, CONVERSION),
];

fn is_set(view: &View<'_>, name: &'static str) -> bool {
    !view.value(name).is_empty()
}

fn is_on(view: &View<'_>, name: &'static str) -> bool {
    view.value(name) == "yes"
}

fn is_not_always(view: &View<'_>, name: &'static str) -> bool {
    view.get(name).is_some_and(|value| value != "always")
}

/// Whether the setting is set and applies to header fields.
fn has_header_class(view: &View<'_>, name: &'static str) -> bool {
    let (base, _) = name.rsplit_once('_').unwrap_or_default();
    is_set(view, name) && view.value(&format!("{base}_classes")).contains("header_")
}

fn is_short(view: &View<'_>, name: &'static str) -> bool {
    view.value(name).parse::<usize>().is_ok_and(|limit| limit > 0 && limit < LONGEST_LINE)
}

fn discards(view: &View<'_>, name: &'static str) -> bool {
    view.value(name).to_ascii_lowercase().contains("8bitmime")
}

/// Whether the setting differs from its default, `$header_checks`, which has a finding of its own.
fn changes_more(view: &View<'_>, name: &'static str) -> bool {
    view.value(name) != view.value("header_checks") && may_change(view, name)
}

/// Whether the setting may change mail. It cannot if all its tables are readable and none has an action that changes mail.
fn may_change(view: &View<'_>, name: &'static str) -> bool {
    words(view.value(name)).any(|table| {
        let text = table.split_once(':').filter(|(kind, _)| ["regexp", "pcre"].contains(kind));
        let text = text.and_then(|(_, path)| input::text(path.as_ref(), input::FOREIGN).ok());
        text.is_none_or(|text| {
            let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            lines.flat_map(str::split_whitespace).any(|word| {
                ["REPLACE", "IGNORE", "STRIP", "PREPEND"]
                    .iter()
                    .any(|action| word.eq_ignore_ascii_case(action))
            })
        })
    })
}

/// Whether the relay is known to rewrite fields.
fn rewrites_mail(view: &View<'_>, name: &'static str) -> bool {
    let host = view.value(name).to_ascii_lowercase();
    ["amazonaws.com", "gmail.com", "google.com", "outlook.com", "office365.com"]
        .iter()
        .any(|relay| host.contains(relay))
}

/// All findings about the settings of Postfix.
pub(crate) fn findings(postfix: &Postfix, configuration: &Configuration) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule.findings(postfix)).collect();
    let view = postfix.view();
    findings.extend(version(&view));
    findings.extend(header_from_format(&view));
    findings.extend(dropped(postfix, configuration));
    findings.extend(origin(&view, configuration));
    findings.extend(dot_domain(&view, configuration));
    findings.extend(size_limit(&view, configuration));
    findings.extend(undisclosed_recipients(postfix, configuration));
    findings
}

impl Rule {
    fn findings(&self, postfix: &Postfix) -> impl Iterator<Item = Finding> {
        let Self(severity, names, is_bad, [why, remedy]) = self;
        names.iter().filter_map(move |name| {
            let readers = readers(name);
            let views =
                if readers.is_empty() { vec![postfix.view()] } else { postfix.views(readers) };
            let mut evidence: Vec<String> = Vec::new();
            for view in views.iter().filter(|view| is_bad(view, name)) {
                let text = view.evidence(name);
                if !evidence.contains(&text) {
                    evidence.push(text);
                }
            }
            let found = format!("{}: {why}", evidence.join("; "));
            (!evidence.is_empty()).then(|| Finding::new(*severity, name, found, *remedy))
        })
    }
}

fn version(view: &View<'_>) -> Option<Finding> {
    let version = view.value("mail_version");
    let patch: u32 = version.strip_prefix("3.5.")?.parse().ok()?;
    (patch <= 7).then(|| {
        let evidence = format!(
            "Postfix {version}: a field with a line above 2048 bytes breaks the header (fixed in 3.5.8)"
        );
        Finding::new(Warning, "mail_version", evidence, "update Postfix")
    })
}

fn header_from_format(view: &View<'_>) -> Option<Finding> {
    let name = "header_from_format";
    let is_other = view.get(name).is_some_and(|format| format != "standard");
    let meaning = "a From field that the wrapper adds has the standard format";
    is_other.then(|| Finding::new(Info, name, view.meaning(name, meaning), "none required"))
}

/// Reports fields that are signed but dropped by Postfix.
fn dropped(postfix: &Postfix, configuration: &Configuration) -> Option<Finding> {
    let view = *postfix.views(CLEANUP).first()?;
    let names = words(view.value("message_drop_headers"));
    let headers = || configuration.files.iter().flat_map(|config| &config.file.signing.headers);
    let signed = |name: &&str| headers().any(|signed| signed.is(name));
    let lost: Vec<&str> = names.filter(signed).collect();
    if lost.is_empty() {
        return None;
    }
    let meaning = format!("{} would be signed and then dropped", lost.join(", "));
    let evidence = view.meaning("message_drop_headers", meaning);
    let remedy = format!("do not sign these fields: headers = [\"-{}\"]", lost.join("\", \"-"));
    Some(Finding::new(Warning, "message_drop_headers", evidence, remedy))
}

fn origin(view: &View<'_>, configuration: &Configuration) -> Option<Finding> {
    let origin = Domain::parse(view.value("myorigin")).ok()?;
    let host = configuration.host.as_ref();
    let known = host.and_then(|host| host.completion.origin.as_ref());
    if origin.is_local() {
        let meaning = "bare addresses (as from cron) get a name that is only valid on this host; no key can be published for it";
        let remedy = "set origin in config.toml and myorigin in Postfix to a domain that is signed, or let the programs call sendmail with -f";
        let evidence = view.meaning("myorigin", meaning);
        let is_lost = known.is_none_or(Domain::is_local);
        return is_lost.then(|| Finding::new(Warning, "local_origin", evidence, remedy));
    }
    if known != Some(&origin) {
        let known = known.map_or("none", Domain::as_str);
        return Some(Finding::new(
            Warning,
            "myorigin",
            format!(
                "{}, but `origin` in config.toml is {known}: bare addresses are not completed \
                     as Postfix would",
                view.evidence("myorigin")
            ),
            format!("origin = \"{origin}\" in config.toml"),
        ));
    }
    let is_for_it = |candidate: &Candidate| {
        let mut files = configuration.files.iter().filter(|it| it.name == candidate.domain);
        files.any(|config| candidate.fits(&config.file))
    };
    if configuration.files.is_empty() || Candidate::all(&origin).iter().any(is_for_it) {
        return None;
    }
    let meaning = "mail From bare addresses (as from cron) gets a domain without a domain file";
    let remedy = format!("dkimctl add {origin}, or set myorigin to a domain that is signed");
    Some(Finding::new(Info, "myorigin", view.meaning("myorigin", meaning), remedy))
}

/// Checks how a domain without a dot is completed, as in root@localhost.
fn dot_domain(view: &View<'_>, configuration: &Configuration) -> Option<Finding> {
    let host = configuration.host.as_ref();
    let known = host.and_then(|host| host.completion.dot_domain.as_ref()).map(Domain::as_str);
    let wanted = (view.value("append_dot_mydomain") == "yes")
        .then(|| view.value("mydomain").to_ascii_lowercase());
    let wanted = wanted.as_deref();
    if known == wanted {
        return None;
    }
    // It is the default at level 0 and before Postfix 3.0.
    let is_old = view.get("compatibility_level").is_some_and(|level| level.starts_with('0'));
    let name = if is_old { "compatibility_level" } else { "append_dot_mydomain" };
    let meaning = format!(
        "Postfix appends {} to a domain without a dot, the wrapper {}",
        wanted.unwrap_or("none"),
        known.unwrap_or("none")
    );
    let remedy = match wanted {
        Some(domain) => format!("append_dot_domain = \"{domain}\" in config.toml"),
        None => "remove append_dot_domain from config.toml".to_owned(),
    };
    Some(Finding::new(Warning, name, view.meaning(name, meaning), remedy))
}

/// Checks that a size limit in config.toml is the one of Postfix.
fn size_limit(view: &View<'_>, configuration: &Configuration) -> Option<Finding> {
    let known = configuration.host.as_ref()?.message_size_limit?;
    let limit: u64 = view.value("message_size_limit").parse().ok()?;
    // 0 means no limit.
    (limit != 0 && limit != known).then(|| {
        let evidence =
            format!("{}, but in config.toml it is {known}", view.evidence("message_size_limit"));
        let remedy = format!("message_size_limit = {limit} in config.toml");
        Finding::new(Warning, "message_size_limit", evidence, remedy)
    })
}

/// Checks the field for hidden recipients. If Postfix adds a To, its absence must not be signed. If the setting is unknown, the
/// wrapper does not sign the absence.
fn undisclosed_recipients(postfix: &Postfix, configuration: &Configuration) -> Option<Finding> {
    let name = "undisclosed_recipients_header";
    let known = configuration.host.as_ref()?.undisclosed_recipients_header.as_deref();
    let views = postfix.views(CLEANUP);
    let view = views.iter().find(|view| view.value(name) != known.unwrap_or_default())?;
    let (value, place) = (view.value(name), view.evidence(name));
    let remedy = if value.is_empty() || is_recipient_field(value) {
        format!("{name} = {value:?} in config.toml")
    } else {
        "in Postfix, set it to a To or Cc field or leave it empty".to_owned()
    };
    let (severity, evidence) = match known {
        None => (
            Info,
            format!(
                "{place}: Postfix adds this field to mail without To and Cc; the field is not signed"
            ),
        ),
        Some(known) => (
            Warning,
            format!(
                "{place}, but in config.toml it is {known:?}: the field that Postfix adds breaks signatures"
            ),
        ),
    };
    Some(Finding::new(severity, name, evidence, remedy))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::admin::postconf::tests::postfix;
    use crate::admin::store::domains::DomainConfig;
    use crate::admin::temporary::Temporary;
    use crate::config::Host;

    const CLEAN: &str = "myorigin = sample.com\nmydomain = sample.com\nappend_dot_mydomain = no\n\
        cleanup_replace_stray_cr_lf = yes\n";

    fn found(more: &str, settings: &str) -> Vec<&'static str> {
        let (main, origin) = (format!("{CLEAN}{more}"), "origin = \"sample.com\"");
        let findings = found_with(&main, settings, origin, &[("sample.com.toml", "")]);
        findings.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_setting_of_one_service_counts_for_that_service() {
        assert!(found("", "").is_empty());
        let of_relay = "relay/unix/smtp_generic_maps = hash:/x\n";
        assert_eq!(found("", of_relay), ["smtp_generic_maps"]);
        // A setting that all services override is not reported.
        let back = "smtp/unix/smtp_generic_maps =\nrelay/unix/smtp_generic_maps =\n";
        assert!(found("smtp_generic_maps = hash:/x\n", back).is_empty());
        assert!(found("", "lmtp/unix/smtp_generic_maps = hash:/x\n").is_empty());
    }

    #[test]
    fn without_master_cf_the_settings_of_main_cf_count() {
        let postfix = Postfix::of(&format!("{CLEAN}smtp_generic_maps = hash:/x\n"), "", "");
        let found: Vec<_> = RULES.iter().flat_map(|rule| rule.findings(&postfix)).collect();
        assert_eq!(found.iter().map(|one| one.code).collect::<Vec<_>>(), ["smtp_generic_maps"]);
    }

    #[test]
    fn a_map_is_bad_only_where_its_classes_name_the_header() {
        let map = "sender_canonical_maps = hash:/x\nsender_canonical_classes = ";
        assert!(found(&format!("{map}envelope_sender\n"), "").is_empty());
        let both = format!("{map}envelope_sender, header_sender\n");
        assert_eq!(found(&both, ""), ["sender_canonical_maps"]);
    }

    #[test]
    fn a_table_counts_for_each_action_that_changes_a_field() {
        let folder = Temporary::new("checks").unwrap();
        let table = folder.path.join("checks");
        for (action, is_reported) in [
            ("REPLACE X: y", true),
            ("IGNORE", true),
            ("strip", true),
            // A field that is signed as absent may be added by it.
            ("PREPEND Reply-To: list@sample.com", true),
            ("WARN", false),
            ("REJECT no", false),
        ] {
            std::fs::write(&table, format!("# IGNORE\n/^X-.*:/ {action}\n")).unwrap();
            let setting = format!("header_checks = regexp:{}\n", table.display());
            assert_eq!(!found(&setting, "").is_empty(), is_reported, "{action}");
        }
    }

    #[test]
    fn a_table_counts_unless_it_is_known_to_change_nothing() {
        let folder = Temporary::new("checks-tables").unwrap();
        let [warns, changes] = ["warns", "changes"].map(|name| folder.path.join(name));
        std::fs::write(&warns, "/^X-.*:/ WARN\n").unwrap();
        std::fs::write(&changes, "/^X-.*:/ IGNORE\n").unwrap();
        let [warns, changes] = [warns, changes].map(|path| path.display().to_string());
        for (tables, is_reported) in [
            (format!("pcre:{warns}"), false),
            (format!("regexp:{warns}, pcre:{warns}"), false),
            (format!("regexp:{warns}, pcre:{changes}"), true),
            (format!("regexp:{warns} hash:{warns}"), true),
            (format!("regexp:{warns}.none"), true),
        ] {
            let setting = format!("header_checks = {tables}\n");
            assert_eq!(!found(&setting, "").is_empty(), is_reported, "{setting}");
        }
    }

    #[test]
    fn a_line_length_limit_counts_if_it_breaks_lines_of_signed_mail() {
        let shortest = LONGEST_LINE.to_string();
        for (limit, is_reported) in [("0", false), ("989", true), (&shortest, false)] {
            for name in ["smtp_line_length_limit", "lmtp_line_length_limit"] {
                let expected = if is_reported { vec![name] } else { vec![] };
                assert_eq!(found(&format!("{name} = {limit}\n"), ""), expected, "{limit}");
            }
        }
    }

    #[test]
    fn relays_that_rewrite_mail_are_known() {
        for (relay, is_reported) in [
            ("[email-smtp.us-east-1.amazonaws.com]:587", true),
            ("[smtp.gmail.com]:587", true),
            ("smtp-relay.google.com", true),
            ("smtp-mail.Outlook.com", true),
            ("smtp.office365.com:587", true),
            ("mail.sample.com", false),
        ] {
            let found = found(&format!("relayhost = {relay}\n"), "");
            assert_eq!(found == ["relayhost"], is_reported, "{relay}: {found:?}");
        }
    }

    /// What is found with these settings of main.cf and of services, these lines of config.toml, and domain files with these names
    /// and lines.
    fn found_with(main: &str, settings: &str, host: &str, files: &[(&str, &str)]) -> Vec<Finding> {
        let host = Host::parse(&format!("sendmail = \"/x\"\n{host}")).unwrap();
        let file = |(name, more): &(&str, &str)| {
            let (path, text) = (PathBuf::from(name), format!("selectors = [\"s\"]\n{more}"));
            DomainConfig::parse(&path, text, &host.signing).unwrap()
        };
        let files = files.iter().map(file).collect();
        let configuration = Configuration { host: Some(host), files, is_stopped: false };
        let main = format!("cleanup_replace_stray_cr_lf = yes\n{main}");
        findings(&postfix(&main, settings), &configuration)
    }

    #[test]
    fn the_origin_has_a_domain_file_that_is_for_it() {
        let main = "myorigin = Web1.sample.com\n";
        let host = "origin = \"web1.sample.com\"";
        let (parent, other) = ("sample.com.toml", ("other.test.toml", ""));
        for (files, is_reported) in [
            (&[][..], false),
            (&[other], true),
            (&[other, ("web1.sample.com.toml", "")], false),
            (&[("web1.sample.com.toml", "subdomains = \"only\"")], true),
            (&[(parent, "subdomains = true"), other], false),
            (&[(parent, "subdomains = \"only\"")], false),
            // A file is not for mail From subdomains unless it says so.
            (&[(parent, "")], true),
            (&[other, ("default.toml", "")], false),
        ] {
            let found = found_with(main, "", host, files);
            let found: Vec<_> = found.iter().map(|one| (one.code, one.severity)).collect();
            let expected = if is_reported { vec![("myorigin", Info)] } else { vec![] };
            assert_eq!(found, expected, "{files:?}");
        }
    }

    #[test]
    fn a_domain_without_a_dot_is_completed_as_by_postfix() {
        let append = |value: &str| {
            format!("append_dot_mydomain = {value}\nmydomain = Sample.COM\nmyorigin = /x\n")
        };
        for (value, host, remedy) in [
            ("yes", "append_dot_domain = \"sample.com\"", ""),
            ("no", "", ""),
            ("yes", "", "append_dot_domain = \"sample.com\" in config.toml"),
            ("yes", "append_dot_domain = \"other.test\"", "append_dot_domain = \"sample.com\" in"),
            ("no", "append_dot_domain = \"sample.com\"", "remove append_dot_domain"),
        ] {
            let found = found_with(&append(value), "", host, &[]);
            assert_eq!(found.len(), usize::from(!remedy.is_empty()), "{value} {host}: {found:?}");
            assert!(found.iter().all(|one| one.remedy.starts_with(remedy)), "{found:?}");
        }
    }

    #[test]
    fn the_field_of_hidden_recipients_breaks_signatures_if_config_toml_has_another_one() {
        let to = "To: undisclosed-recipients:;";
        for (value, host, expected) in [
            (to, "", Some((Info, "undisclosed_recipients_header = \""))),
            (to, "\"\"", Some((Warning, "undisclosed_recipients_header = \""))),
            ("", "\"To: undisclosed-recipients:;\"", Some((Warning, "undisclosed"))),
            ("X-To: x:;", "\"\"", Some((Warning, "in Postfix, set it"))),
            (to, "\"To: undisclosed-recipients:;\"", None),
            ("", "", None),
        ] {
            let key = "undisclosed_recipients_header";
            let host = if host.is_empty() { String::new() } else { format!("{key} = {host}") };
            let found = found_with(&format!("{key} = {value}\nmyorigin = /x\n"), "", &host, &[]);
            let is_expected = match (&*found, expected) {
                ([], None) => true,
                ([one], Some((severity, remedy))) => {
                    one.severity == severity && one.remedy.starts_with(remedy)
                }
                _ => false,
            };
            assert!(is_expected, "{value} {host}: {found:?}");
        }
    }

    #[test]
    fn settings_that_only_later_versions_have_count_where_they_are() {
        let more = "force_mime_input_conversion = yes\n";
        assert_eq!(found(more, ""), ["force_mime_input_conversion"]);
    }

    #[test]
    fn a_name_that_is_only_valid_on_this_host_is_not_an_origin() {
        for name in ["localhost", "localhost.localdomain", "web1"] {
            let host = format!("sendmail = \"/x\"\norigin = \"{name}\"");
            let host = Host::parse(&host).unwrap();
            let configuration = Configuration { host: Some(host), ..Configuration::default() };
            let settings = CLEAN.replace("myorigin = sample.com", &format!("myorigin = {name}"));
            let findings = findings(&postfix(&settings, ""), &configuration);
            let checks: Vec<_> = findings.iter().map(|finding| finding.code).collect();
            assert_eq!(checks, ["local_origin"], "{name}");
        }
        // Postfix does not change an address that the wrapper completed.
        assert!(found("myorigin = localhost\n", "").is_empty());
    }

    #[test]
    fn old_versions_of_postfix_are_reported() {
        assert_eq!(found("mail_version = 3.5.7\n", ""), ["mail_version"]);
        for version in ["3.5.8", "3.5.25", "3.7.11", "2.10.1"] {
            assert!(found(&format!("mail_version = {version}\n"), "").is_empty(), "{version}");
        }
    }
}
