use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::filter::{self, DIRECT, FILTERED};
use crate::support::{Received, Sandbox, project, signing_domains};

/// Where the messages are, in the sandbox.
const FOLDER: &str = "/tmp/survive";

/// Settings that break signatures which are made without knowing what Postfix does.
const SETTINGS: [&str; 9] = [
    "",
    "sendmail_fix_line_endings=strict",
    "sendmail_fix_line_endings=never",
    "append_dot_mydomain=yes",
    "smtp_line_length_limit=990",
    "undisclosed_recipients_header=To:undisclosed-recipients:;",
    "always_add_missing_headers=yes",
    "enable_long_queue_ids=yes",
    "smtp_discard_ehlo_keywords=8bitmime,smtputf8",
];

/// Of these, what makes another text of what was submitted.
const OF_THE_TEXT: [&str; 4] = [SETTINGS[1], SETTINGS[2], SETTINGS[3], SETTINGS[5]];

/// What says something else than without the wrapper, which Postfix or a reader would not understand; see the `why.txt` of each.
const CORRECTED: [(&str, &str); 15] = [
    ("030-address-two-words", "addresses"),
    ("038-address-trailing-words", "addresses"),
    ("051-from-colon-in-name", "addresses"),
    ("087-php-contact-form", "addresses"),
    ("103-nul-in-header", "header"),
    ("113-comma-in-display-name", "addresses"),
    ("137-header-text-of-other-letters", "addresses"),
    ("150-name-comma-beside-encoded-word", "addresses"),
    ("151-name-specials-in-encoded-word", "addresses"),
    ("151-name-specials-in-encoded-word", "header"),
    ("157-encoded-words-too-long", "header"),
    ("158-domain-in-u-labels", "addresses"),
    ("158-domain-in-u-labels", "header"),
    ("166-name-unbalanced", "addresses"),
    ("166-name-unbalanced", "header"),
];

/// The inputs of `tests/data/mail` that are signed, with how they are submitted.
fn inputs() -> Vec<(String, String, Vec<u8>)> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(project("tests/data/mail")).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(expected) = fs::read_to_string(folder.join("expected")) else { continue };
        // Cases of settings, and of what is not ours to change, promise less.
        let promises_less = [
            "with-the-setting-off",
            "signed-by-somebody",
            "signed-where-asked",
            "header-resent",
            "header-resent-without-date",
            // Bounced, because SMTPUTF8 is missing.
            "eight-bit-in-message-id",
        ];
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if !expected.contains("(signed: ") || promises_less.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let argv = fs::read_to_string(folder.join("argv")).unwrap();
        let options: Vec<&str> = argv
            .split_whitespace()
            .filter(|word| !word.contains("y.test") && *word != "-t")
            .collect();
        let input = fs::read(folder.join("input")).unwrap();
        cases.push((name, options.join(" "), input));
    }
    cases.sort();
    cases
}

/// A message to submit: its recipients, whom no other message has, the options, and the text.
type Mail<'a> = (Vec<String>, &'a str, &'a [u8]);

/// Submits each message by a program, and returns what arrives for each recipient, in the same order.
fn submitted(sandbox: &Sandbox, program: &str, all: &[Mail<'_>]) -> Vec<Received> {
    submitted_by(sandbox, all, |list| {
        let script =
            format!("while read -r file words; do {program} $words <{FOLDER}/$file || exit; done");
        sandbox.sh("www-data", &script, list)
    })
}

/// The same by anything that submits the messages of a list one after another. On each line are the name of the message's file, its
/// options and its recipients. To enter the sandbox for each of them takes longer than to submit it.
fn submitted_by(
    sandbox: &Sandbox,
    all: &[Mail<'_>],
    submit: impl Fn(&[u8]) -> Output + Sync,
) -> Vec<Received> {
    fs::create_dir_all(sandbox.path(FOLDER)).unwrap();
    for (recipients, _, input) in all {
        fs::write(sandbox.path(&format!("{FOLDER}/{}", recipients[0])), input).unwrap();
    }
    std::thread::scope(|scope| {
        for some in all.chunks(all.len().div_ceil(4).max(1)) {
            let lines = some.iter().map(|(recipients, options, _)| {
                format!("{} {options} {}\n", recipients[0], recipients.join(" "))
            });
            let list: String = lines.collect();
            let submit = &submit;
            scope.spawn(move || {
                let output = submit(list.as_bytes());
                let is_accepted = output.status.success() && output.stderr.is_empty();
                assert!(is_accepted, "{output:?}\n{list}");
            });
        }
    });
    let recipients = all.iter().flat_map(|(recipients, ..)| recipients);
    recipients.map(|recipient| sandbox.received(recipient)).collect()
}

/// What a reader sees of each; see `tests/it/sandbox/content.py`.
fn content(sandbox: &Sandbox, messages: &[Received]) -> Vec<Value> {
    let messages: Vec<&Received> = messages.iter().collect();
    sandbox.lines_about("/opt/sandbox/content.py", &messages)
}

/// By SMTP to a port.
fn by_smtp(sandbox: &Sandbox, port: u16, all: &[Mail<'_>]) -> Vec<Received> {
    submitted_by(sandbox, all, |list| {
        filter::submit_all(sandbox, port, "bounce@sample.com", "BODY=8BITMIME", FOLDER, list)
    })
}

/// What they say without the wrapper, where no hop has to break a line.
fn plain(sandbox: &Sandbox, inputs: &[(String, String, Vec<u8>)]) -> Vec<Value> {
    sandbox.root("postconf -e smtp_line_length_limit=0 && postfix reload 2>/dev/null");
    let all = inputs.iter();
    let all = all.map(|(_, options, input)| (vec![sandbox.recipient()], &**options, &**input));
    let plain = submitted(sandbox, "sendmail.postfix", &all.collect::<Vec<_>>());
    sandbox.root("postconf -X smtp_line_length_limit && postfix reload 2>/dev/null");
    content(sandbox, &plain)
}

/// With the Postfix of a release of Debian, and some of the settings.
fn no_setting_and_no_hop_breaks_a_signature(
    suite: &str,
    settings: impl Iterator<Item = &'static str>,
) {
    let sandbox = Sandbox::of_suite("survive", suite);
    sandbox.key("sample.com", "s1");
    sandbox.root("echo 'subdomains = true' >>/etc/sendmail-dkim/domains/sample.com.toml");
    let inputs = inputs();
    assert!(inputs.len() > 35, "{}", inputs.len());
    let plain = plain(&sandbox, &inputs);
    let mut changed = Vec::new();
    for setting in settings {
        if !setting.is_empty() {
            sandbox.root(&format!("postconf -e '{setting}' && postfix reload 2>/dev/null"));
        }
        // The one setting that the wrapper has to know.
        let dots = setting.starts_with("append_dot");
        let config = "sendmail = \"/usr/sbin/sendmail.postfix\"\norigin = \"origin.example\"\n";
        let dot_domain = if dots { "append_dot_domain = \"example.test\"\n" } else { "" };
        sandbox.write("/etc/sendmail-dkim/config.toml", &format!("{config}{dot_domain}"));
        let all = inputs.iter().map(|(_, options, input)| {
            let recipients = vec![sandbox.recipient(), sandbox.recipient_7bit()];
            (recipients, options.as_str(), input.as_slice())
        });
        let received = submitted(&sandbox, "sendmail", &all.collect::<Vec<_>>());
        let failures = sandbox.failures(&received);
        assert!(failures.is_empty(), "{setting}\n{}", failures.join("\n"));
        let is_compared = !OF_THE_TEXT.contains(&setting);
        let ours = if is_compared { content(&sandbox, &received) } else { Vec::new() };
        for ((ours, theirs), (case, ..)) in ours.chunks(2).zip(&plain).zip(&inputs) {
            for part in ["header", "addresses", "parts"] {
                let is_other = ours.iter().any(|one| one[part] != theirs[part]);
                if is_other && !CORRECTED.contains(&(case.as_str(), part)) {
                    changed.push(format!("{setting} {case} {part}: {ours:?}\nwithout: {theirs}"));
                }
            }
        }
        if !setting.is_empty() {
            let name = setting.split('=').next().unwrap();
            sandbox.root(&format!("postconf -X {name}"));
        }
    }
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

#[test]
#[ignore = "needs root"]
fn no_setting_of_postfix_and_no_hop_breaks_a_signature() {
    no_setting_and_no_hop_breaks_a_signature("bookworm", SETTINGS.into_iter().step_by(2));
}

#[test]
#[ignore = "needs root"]
fn no_other_setting_does() {
    let others = SETTINGS.into_iter().skip(1).step_by(2);
    no_setting_and_no_hop_breaks_a_signature("bookworm", others);
}

#[test]
#[ignore = "needs root"]
fn no_setting_of_postfix_3_5_does() {
    no_setting_and_no_hop_breaks_a_signature("bullseye", SETTINGS.into_iter().step_by(4));
}

#[test]
#[ignore = "needs root"]
fn no_setting_of_postfix_3_10_does() {
    no_setting_and_no_hop_breaks_a_signature("trixie", SETTINGS.into_iter().step_by(4));
}

/// By SMTP no program adds a From field, so the author is unknown.
fn has_from(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input).replace("\r\n", "\n").to_lowercase();
    let header = text.split("\n\n").next().unwrap_or_default().to_owned();
    format!("\n{header}").replace([' ', '\t'], "").contains("\nfrom:")
}

/// What is submitted by SMTP: the inputs whose author is known, and whose addresses Postfix does not tear apart before the filter
/// has the message.
fn inputs_by_smtp() -> Vec<(String, String, Vec<u8>)> {
    let mut inputs = inputs();
    let all = inputs.len();
    let is_torn = |case: &str| CORRECTED.contains(&(case, "addresses"));
    inputs.retain(|(case, _, input)| has_from(input) && !is_torn(case));
    assert!(inputs.len() + 40 > all, "{} of {all}", inputs.len());
    inputs
}

/// A host with the content filter.
fn host_by_smtp(suite: &str) -> Sandbox {
    let sandbox = Sandbox::of_suite("survive", suite);
    sandbox.key("sample.com", "s1");
    sandbox.key("origin.example", "s1");
    filter::add(&sandbox);
    sandbox.root(
        "echo 'subdomains = true' >>/etc/sendmail-dkim/domains/sample.com.toml
        echo 'smtp = true' >>/etc/sendmail-dkim/config.toml
        cp /etc/sendmail-dkim/config.toml /opt/config.toml",
    );
    sandbox
}

/// Each input, with a new recipient of each kind.
fn addressed<'a>(
    sandbox: &Sandbox,
    inputs: &'a [(String, String, Vec<u8>)],
    recipients: &[fn(&Sandbox) -> String],
) -> Vec<Mail<'a>> {
    let addressed = inputs.iter().map(|(_, _, input)| {
        let recipients = recipients.iter().map(|one| one(sandbox)).collect();
        (recipients, "", input.as_slice())
    });
    addressed.collect()
}

/// The same mail by SMTP, through the content filter.
fn no_setting_and_no_hop_breaks_a_signature_of_mail_by_smtp(
    suite: &str,
    settings: impl Iterator<Item = &'static str>,
) {
    let (sandbox, inputs) = (host_by_smtp(suite), inputs_by_smtp());
    // What Postfix alone makes of them, where no hop has to break a line.
    sandbox.root("postconf -e smtp_line_length_limit=0 && postfix reload 2>/dev/null");
    let plain = by_smtp(&sandbox, DIRECT, &addressed(&sandbox, &inputs, &[Sandbox::recipient]));
    let plain = content(&sandbox, &plain);
    sandbox.root("postconf -X smtp_line_length_limit && postfix reload 2>/dev/null");
    for setting in settings {
        let name = setting.split('=').next().unwrap();
        if !setting.is_empty() {
            sandbox.root(&format!("postconf -e '{setting}' && postfix reload 2>/dev/null"));
        }
        let dots = setting.starts_with("append_dot");
        let dot_domain = if dots { "append_dot_domain = \"example.test\"" } else { "" };
        sandbox.root(&format!(
            "cd /etc/sendmail-dkim; cp /opt/config.toml .; echo '{dot_domain}' >>config.toml"
        ));
        let both: [fn(&Sandbox) -> String; 2] = [Sandbox::recipient, Sandbox::recipient_7bit];
        let received = by_smtp(&sandbox, FILTERED, &addressed(&sandbox, &inputs, &both));
        let cases = inputs.iter().flat_map(|(case, ..)| [case, case]);
        let unsigned = cases.zip(&received).filter(|(_, one)| signing_domains(one).is_empty());
        assert_eq!(unsigned.map(|(case, _)| case).collect::<Vec<_>>(), [""; 0], "{setting}");
        assert_eq!(sandbox.failures(&received), [""; 0], "{setting}");
        if !OF_THE_TEXT.contains(&setting) {
            let ours = content(&sandbox, &received);
            for ((ours, theirs), (case, ..)) in ours.chunks(2).zip(&plain).zip(&inputs) {
                for part in ["header", "addresses", "parts"] {
                    let is_other = ours.iter().any(|one| one[part] != theirs[part]);
                    let is_corrected = CORRECTED.contains(&(case.as_str(), part));
                    assert!(
                        !is_other || is_corrected,
                        "{setting} {case}: {ours:?}\nwithout: {theirs}"
                    );
                }
            }
        }
        sandbox.root(&format!("[ -z '{name}' ] || postconf -X '{name}'"));
    }
}

#[test]
#[ignore = "needs root"]
fn no_setting_of_postfix_and_no_hop_breaks_a_signature_of_mail_by_smtp() {
    let some = SETTINGS.into_iter().step_by(2);
    no_setting_and_no_hop_breaks_a_signature_of_mail_by_smtp("bookworm", some);
}

#[test]
#[ignore = "needs root"]
fn no_setting_of_postfix_3_5_and_3_10_breaks_one_by_smtp() {
    for suite in ["bullseye", "trixie"] {
        let some = SETTINGS.into_iter().step_by(5);
        no_setting_and_no_hop_breaks_a_signature_of_mail_by_smtp(suite, some);
    }
}
