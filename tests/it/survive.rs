use std::fs;

use crate::support::{Received, Sandbox, project};

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

/// The inputs of `tests/data/mail` that are signed, with how they are submitted.
fn inputs() -> Vec<(String, Vec<u8>)> {
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
            // Bounced, for want of SMTPUTF8.
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
        cases.push((options.join(" "), fs::read(folder.join("input")).unwrap()));
    }
    cases.sort();
    cases
}

fn submit(sandbox: &Sandbox, recipient: &str, options: &str, input: &[u8]) {
    let output = sandbox.sh("www-data", &format!("sendmail {options} {recipient}"), input);
    assert!(output.status.success() && output.stderr.is_empty(), "{options}: {output:?}");
}

#[test]
fn no_setting_of_postfix_and_no_hop_breaks_a_signature() {
    let Some(sandbox) = Sandbox::own("survive") else { return };
    sandbox.key("sample.com", "s1");
    sandbox.root("echo 'subdomains = true' >>/etc/sendmail-dkim/domains/sample.com.toml");
    let inputs = inputs();
    assert!(inputs.len() > 35, "{}", inputs.len());
    for setting in SETTINGS {
        if !setting.is_empty() {
            sandbox.root(&format!("postconf -e '{setting}' && postfix reload 2>/dev/null"));
        }
        // The one setting that the wrapper has to be told of.
        let dots = setting.starts_with("append_dot");
        let config = "sendmail = \"/usr/sbin/sendmail.postfix\"\norigin = \"origin.example\"\n";
        let dot_domain = if dots { "append_dot_domain = \"example.test\"\n" } else { "" };
        sandbox.write("/etc/sendmail-dkim/config.toml", &format!("{config}{dot_domain}"));
        let mut recipients = Vec::new();
        for (options, input) in &inputs {
            for recipient in [sandbox.recipient(), sandbox.recipient_7bit()] {
                submit(&sandbox, &recipient, options, input);
                recipients.push(recipient);
            }
        }
        let received: Vec<Received> = recipients.iter().map(|one| sandbox.received(one)).collect();
        let failures = sandbox.failures(&received);
        assert!(failures.is_empty(), "{setting}\n{}", failures.join("\n"));
        if !setting.is_empty() {
            let name = setting.split('=').next().unwrap();
            sandbox.root(&format!("postconf -X {name}"));
        }
    }
}
