use std::process::Output;

use serde_json::Value;

use crate::support::{Sandbox, reported, result};

const DOCTOR: &str = "dkimctl doctor --offline --json";

/// What doctor finds: the checks with their severities.
fn found(sandbox: &Sandbox) -> Vec<(String, String)> {
    findings(&sandbox.sh("root", DOCTOR, b""))
}

fn findings(output: &Output) -> Vec<(String, String)> {
    let (_, findings) = reported(&output.stdout);
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings: Vec<(String, String)> = findings
        .iter()
        .map(|finding| {
            assert!(!text(finding, "evidence").is_empty() && !text(finding, "remedy").is_empty());
            (text(finding, "code"), text(finding, "severity"))
        })
        .collect();
    let code = findings.iter().map(|(_, severity)| match severity.as_str() {
        "error" => 2,
        "warning" => 1,
        _ => 0,
    });
    assert_eq!(output.status.code(), Some(code.max().unwrap_or(0)), "{findings:?}");
    findings
}

/// A host on which nothing is wrong.
fn clean(test: &str) -> Sandbox {
    let sandbox = Sandbox::own(test);
    sandbox.key("origin.example", "s1");
    sandbox.key("sample.com", "s1");
    sandbox
}

/// Asserts that one change of the host is found, as that and nothing else.
fn assert_found(sandbox: &Sandbox, spoil: &str, repair: &str, check: &str, severity: &str) {
    sandbox.root(spoil);
    let findings = found(sandbox);
    assert_eq!(findings, [(check.to_owned(), severity.to_owned())], "{spoil}");
    sandbox.root(repair);
}

#[test]
#[ignore = "needs root"]
fn on_a_clean_host_there_is_nothing() {
    let sandbox = clean("doctor");
    assert_eq!(found(&sandbox), []);
    // The records are published, and there is a DNS server.
    assert_eq!(sandbox.root("dkimctl doctor"), "nothing found\n");
    // Without postconf(1) its checks are missing, and that is said.
    let (spoil, repair) = ("mv /usr/sbin/postconf /tmp", "mv /tmp/postconf /usr/sbin");
    assert_found(&sandbox, spoil, repair, "postconf", "warning");
}

#[test]
#[ignore = "needs root"]
fn a_record_that_is_not_that_of_the_key_is_found() {
    let sandbox = clean("doctor");
    let code = |output: &Output| output.status.code();
    sandbox.root("echo 's1._domainkey IN TXT \"v=DKIM1; p=\"' >/tmp/revoked.txt");
    for record in ["", "/tmp/revoked.txt"] {
        sandbox.publish("sample.com", record);
        let output = sandbox.sh("root", "dkimctl doctor", b"");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(code(&output), Some(2), "{said}");
        assert!(said.starts_with("ERROR: testkey\n  s1._domainkey.sample.com"), "{said}");
        assert_eq!(said.matches("remedy: ").count(), 1, "{said}");
    }
    // The most severe finding comes first, though the check of Postfix is earlier.
    sandbox.root("postconf -e header_from_format=obsolete");
    let output = sandbox.sh("root", "dkimctl doctor", b"");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("ERROR: testkey\n"), "{said}");
    assert!(said.contains("\n\ninfo: header_from_format\n"), "{said}");
    sandbox.root("postconf -X header_from_format");
    // Without a query, no difference is reported.
    assert_eq!(found(&sandbox), []);
}

#[test]
#[ignore = "needs root"]
fn lines_that_postfix_broke_are_found_in_the_log() {
    let sandbox = clean("doctor");
    let recipient = sandbox.recipient();
    let message = format!("From: a@unknown-domain.test\n\n{}\n", "x".repeat(2000));
    // Nothing signs for that domain, so the line stays as it is.
    sandbox.sh("alice", &format!("sendmail -i {recipient}"), message.as_bytes());
    sandbox.received(&recipient);
    assert_eq!(found(&sandbox), [("log".to_owned(), "info".to_owned())]);
}

#[test]
#[ignore = "needs root"]
fn the_trial_repeats_no_other_finding() {
    let sandbox = clean("doctor");
    // The wrapper follows no link, even to a valid file.
    let key = "/etc/sendmail-dkim/keys/sample.com";
    let spoil = format!("mv {key} /tmp/away; ln -s /tmp/away {key}");
    let repair = format!("rm {key}; mv /tmp/away {key}");
    assert_found(&sandbox, &spoil, &repair, "key_rights", "error");
    // Who may sign, does so in the trial.
    let file = "/etc/sendmail-dkim/domains/sample.com.toml";
    sandbox.root(&format!("echo 'users = [\"alice\"]' >>{file}"));
    assert_eq!(found(&sandbox), []);
}

/// Settings of Postfix, each with a bad value, the text of /etc/postfix/checks, and the severity.
const SETTINGS: [(&str, &str, &str, &str); 37] = [
    ("smtp_generic_maps", "inline:{a=b}", "", "error"),
    ("lmtp_generic_maps", "inline:{a=b}", "", "error"),
    ("canonical_maps", "inline:{a=b}", "", "error"),
    ("sender_canonical_maps", "inline:{a=b}", "", "error"),
    ("recipient_canonical_maps", "inline:{a=b}", "", "error"),
    ("masquerade_domains", "example.test", "", "error"),
    ("body_checks", "inline:{a=WARN}", "", "error"),
    ("smtp_body_checks", "inline:{a=WARN}", "", "error"),
    ("lmtp_body_checks", "inline:{a=WARN}", "", "error"),
    ("message_strip_characters", "\\0", "", "error"),
    ("header_checks", "regexp:/etc/postfix/checks", "/^X-.*:/ IGNORE", "warning"),
    ("mime_header_checks", "regexp:/etc/postfix/checks", "/^X-.*:/ replace X: y", "warning"),
    ("nested_header_checks", "regexp:/etc/postfix/checks", "/^X-.*:/ STRIP", "warning"),
    ("smtp_header_checks", "inline:{a=WARN}", "", "warning"),
    ("smtp_mime_header_checks", "inline:{a=WARN}", "", "warning"),
    ("smtp_nested_header_checks", "inline:{a=WARN}", "", "warning"),
    ("lmtp_header_checks", "inline:{a=WARN}", "", "warning"),
    ("lmtp_mime_header_checks", "inline:{a=WARN}", "", "warning"),
    ("lmtp_nested_header_checks", "inline:{a=WARN}", "", "warning"),
    ("non_smtpd_milters", "inet:127.0.0.1:8891", "", "warning"),
    ("content_filter", "smtp:[127.0.0.1]:10025", "", "warning"),
    ("always_add_missing_headers", "yes", "", "warning"),
    ("remote_header_rewrite_domain", "domain.invalid", "", "warning"),
    ("smtp_line_length_limit", "500", "", "warning"),
    ("lmtp_line_length_limit", "500", "", "warning"),
    ("smtp_discard_ehlo_keywords", "silent-discard, 8bitmime", "", "warning"),
    ("lmtp_discard_lhlo_keywords", "8BITMIME", "", "warning"),
    ("relayhost", "[email-smtp.eu-west-1.amazonaws.com]:587", "", "warning"),
    (
        "message_drop_headers",
        "bcc, content-length, resent-bcc, return-path, reply-to",
        "",
        "warning",
    ),
    ("myorigin", "elsewhere.example", "", "warning"),
    ("append_dot_mydomain", "yes", "", "warning"),
    ("compatibility_level", "0", "", "warning"),
    ("sendmail_fix_line_endings", "strict", "", "info"),
    ("cleanup_replace_stray_cr_lf", "no", "", "info"),
    ("undisclosed_recipients_header", "To: undisclosed-recipients:;", "", "info"),
    ("header_from_format", "obsolete", "", "info"),
    ("mail_version", "3.5.7", "", "warning"),
];

#[test]
#[ignore = "needs root"]
fn each_bad_setting_of_postfix_is_found_as_that_alone() {
    let sandbox = clean("doctor");
    // Each has a configuration of Postfix of its own, so that they do not wait for one another.
    let one = |(name, value, table, severity): (&str, &str, &str, &str)| {
        let own = format!("/tmp/postfix.{name}");
        sandbox.root(&format!("cp -a /etc/postfix {own}"));
        sandbox.write(&format!("{own}/checks"), &format!("# IGNORE\n{table}\n"));
        let doctor =
            format!("mount --bind {own} /etc/postfix; postconf -e '{name} = {value}'; {DOCTOR}");
        let mut command = sandbox.command("root", "unshare");
        let output = command.args(["--mount", "sh", "-c", &doctor]).output().unwrap();
        assert_eq!(findings(&output), [(name.to_owned(), severity.to_owned())], "{name}");
    };
    std::thread::scope(|scope| {
        for some in SETTINGS.chunks(SETTINGS.len().div_ceil(4)) {
            scope.spawn(move || some.iter().copied().for_each(one));
        }
    });
}

#[test]
#[ignore = "needs root"]
fn what_a_single_service_of_postfix_is_set_to_counts() {
    let sandbox = clean("doctor");
    for (place, value, check) in [
        ("relay/unix/smtp_generic_maps", "inline:{a=b}", "smtp_generic_maps"),
        ("cleanup/unix/body_checks", "inline:{a=WARN}", "body_checks"),
        ("pickup/unix/content_filter", "smtp:[127.0.0.1]:10025", "content_filter"),
        ("cleanup/unix/message_drop_headers", "subject", "message_drop_headers"),
    ] {
        let spoil = format!("postconf -P '{place} = {value}'");
        let repair = format!("postconf -PX {place}");
        let is_error = ["smtp_generic_maps", "body_checks"].contains(&check);
        let severity = if is_error { "error" } else { "warning" };
        assert_found(&sandbox, &spoil, &repair, check, severity);
    }
    // The services that need not bear it do not count: no mail of programs comes by smtpd.
    sandbox.root("postconf -P smtp/inet/content_filter=smtp:x");
    assert_eq!(found(&sandbox), []);
    // A table that changes nothing is no finding.
    sandbox.write("/etc/postfix/checks", "/^Subject: x/ WARN\n");
    sandbox.root("postconf -e header_checks=regexp:/etc/postfix/checks");
    assert_eq!(found(&sandbox), []);
    // Nor is a limit in config.toml where Postfix has none.
    sandbox.root(
        "postconf -e message_size_limit=0
         echo message_size_limit = 10000000 >>/etc/sendmail-dkim/config.toml",
    );
    assert_eq!(found(&sandbox), []);
}

/// The unit of the wrapper starts the real sendmail, too.
fn its_own_unit_is_enough(sandbox: &Sandbox) {
    sandbox.root(
        "cd /etc/systemd/system; touch sendmail.dkim.service
         mv multi-user.target.wants/postfix.service /tmp
         ln -s ../sendmail.dkim.service multi-user.target.wants/",
    );
    assert_eq!(found(sandbox), []);
}

#[test]
#[ignore = "needs root"]
fn the_wrapper_is_the_hosts_sendmail_and_has_its_rights() {
    let sandbox = clean("doctor");
    let wrapper = "/usr/sbin/sendmail.dkim";
    let repaired = format!("chgrp sendmail-dkim {wrapper}; chmod 2755 {wrapper}");
    for (spoil, repair, check, severity) in [
        (
            "ln -sf /usr/sbin/sendmail.postfix /etc/alternatives/mta",
            "ln -sf /usr/sbin/sendmail.dkim /etc/alternatives/mta",
            "mta",
            "error",
        ),
        (
            "ln -sf /usr/sbin/sendmail.postfix /etc/alternatives/mta-sendmail",
            "ln -sf /usr/sbin/sendmail.dkim /etc/alternatives/mta-sendmail",
            "mta",
            "error",
        ),
        ("chmod 755 /usr/sbin/sendmail.dkim", &*repaired, "set_gid", "error"),
        ("chgrp mail /usr/sbin/sendmail.dkim", &*repaired, "wrapper_group", "error"),
        ("chmod 2775 /usr/sbin/sendmail.dkim", &*repaired, "wrapper_owner", "error"),
        (
            "chown alice /usr/sbin/sendmail.dkim; chmod 2755 /usr/sbin/sendmail.dkim",
            "chown root /usr/sbin/sendmail.dkim; chmod 2755 /usr/sbin/sendmail.dkim",
            "wrapper_owner",
            "error",
        ),
        (
            "mount --bind /usr/sbin /usr/sbin && mount -o remount,bind,nosuid /usr/sbin",
            "umount /usr/sbin",
            "nosuid",
            "error",
        ),
        (
            "chmod 644 /usr/sbin/sendmail.postfix",
            "chmod 755 /usr/sbin/sendmail.postfix",
            "real_sendmail",
            "error",
        ),
        (
            "postconf -e sendmail_path=/usr/sbin/sendmail",
            "postconf -e sendmail_path=/usr/sbin/sendmail.postfix",
            "sendmail_path",
            "warning",
        ),
        (
            "mkdir -p /etc/systemd/system; cd /etc/systemd/system; \
             mv multi-user.target.wants/postfix.service /tmp/ 2>/dev/null; touch postfix.service",
            "cd /etc/systemd/system; rm postfix.service; mkdir -p multi-user.target.wants/; \
             ln -s /lib/systemd/system/postfix.service multi-user.target.wants/",
            "postfix_enabled",
            "error",
        ),
    ] {
        assert_found(&sandbox, spoil, repair, check, severity);
    }
    assert_eq!(found(&sandbox), []);
    its_own_unit_is_enough(&sandbox);
}

#[test]
#[ignore = "needs root"]
fn configuration_keys_units_and_php_are_looked_at() {
    let sandbox = clean("doctor");
    let key = "/etc/sendmail-dkim/keys/sample.com/s1.private";
    let file = "/etc/sendmail-dkim/domains/sample.com.toml";
    let drop_in = "/etc/systemd/system/php8.2-fpm.service.d";
    let unit = |line: &str| {
        format!("mkdir -p {drop_in}; printf '[Service]\\n{line}\\n' >{drop_in}/hard.conf")
    };
    let no_unit = format!("rm -r {drop_in}");
    let php = |value: &str| {
        format!("mkdir -p /etc/php; echo 'sendmail_path = {value}' >/etc/php/doctor.ini")
    };
    let no_php = "rm /etc/php/doctor.ini".to_owned();
    let cases = [
        (format!("chmod 644 {key}"), format!("chmod 640 {key}"), "key_rights", "error"),
        (
            format!("chgrp root {key}"),
            format!("chgrp sendmail-dkim {key}; chmod 640 {key}"),
            "key_rights",
            "error",
        ),
        (
            "chmod 770 /etc/sendmail-dkim/keys".into(),
            "chmod 750 /etc/sendmail-dkim/keys".into(),
            "key_rights",
            "error",
        ),
        (format!("mv {key} {key}.away"), format!("mv {key}.away {key}"), "key", "error"),
        (
            format!("cp -p {key} {key}.away; echo nothing >{key}"),
            format!("mv {key}.away {key}"),
            "key",
            "error",
        ),
        (
            "dkimctl genkey -d small.test -s s1 -b 1024".into(),
            "rm -r /etc/sendmail-dkim/*/small.test*".into(),
            "key_size",
            "warning",
        ),
        (
            format!("cp -p {file} /tmp/file; echo selectrs = 1 >>{file}"),
            format!("mv /tmp/file {file}"),
            "configuration",
            "error",
        ),
        (
            "echo message_size_limit = 10000000 >>/etc/sendmail-dkim/config.toml".into(),
            "sed -i /message_size_limit/d /etc/sendmail-dkim/config.toml".into(),
            "message_size_limit",
            "warning",
        ),
        (format!("chmod 640 {file}"), format!("chmod 644 {file}"), "configuration", "error"),
        (format!("chmod 664 {file}"), format!("chmod 644 {file}"), "configuration", "error"),
        (
            "chmod 775 /etc/sendmail-dkim/domains".into(),
            "chmod 755 /etc/sendmail-dkim/domains".into(),
            "configuration",
            "error",
        ),
        (
            format!("chgrp users {key}"),
            format!("chgrp sendmail-dkim {key}; chmod 640 {key}"),
            "key_rights",
            "error",
        ),
        (
            format!("cp -p {file} /tmp/file; echo 'users = [\"alcie\"]' >>{file}"),
            format!("mv /tmp/file {file}"),
            "users",
            "warning",
        ),
        (
            format!("cp -p {file} /tmp/file; echo 'groups = [\"mial\"]' >>{file}"),
            format!("mv /tmp/file {file}"),
            "users",
            "warning",
        ),
        (unit("NoNewPrivileges=yes"), no_unit.clone(), "unit", "error"),
        (unit("PrivateUsers=yes"), no_unit.clone(), "unit", "error"),
        // A unit in /etc replaces the one of the package.
        (
            "printf '[Service]\\nNoNewPrivileges=yes\\n' >/etc/systemd/system/cron.service; touch /lib/systemd/system/cron.service".into(),
            "rm /etc/systemd/system/cron.service /lib/systemd/system/cron.service".into(),
            "unit",
            "error",
        ),
        (unit("ProtectSystem=strict"), no_unit, "unit", "error"),
        (php("/usr/bin/msmtp -t"), no_php.clone(), "php_sendmail_path", "warning"),
        (php("/usr/sbin/sendmail -t"), no_php, "php_sendmail_path", "info"),
        (
            "mv /etc/sendmail-dkim/*/origin.example* /tmp/".into(),
            "cd /tmp; mv origin.example.toml /etc/sendmail-dkim/domains/; mv origin.example /etc/sendmail-dkim/keys/".into(),
            "myorigin",
            "info",
        ),
    ];
    for (spoil, repair, check, severity) in &cases {
        assert_found(&sandbox, spoil, repair, check, severity);
    }
    assert_eq!(found(&sandbox), []);
}

#[test]
#[ignore = "needs root"]
fn doctor_requires_root() {
    let sandbox = Sandbox::for_test("doctor");
    let output = sandbox.sh("alice", "dkimctl doctor", b"");
    assert_eq!(output.status.code(), Some(77), "{output:?}");
}

/// Damage that a program can undo without a doubt.
const FIXABLE: [(&str, &str); 8] = [
    ("chmod 644 KEY", "key_rights"),
    ("chgrp root KEY", "key_rights"),
    ("chmod 775 /etc/sendmail-dkim/keys/sample.com", "key_rights"),
    ("chmod 770 /etc/sendmail-dkim/keys", "key_rights"),
    ("chmod 664 FILE", "configuration"),
    ("chmod 777 /etc/sendmail-dkim/domains", "configuration"),
    // As postfix set-permissions does it.
    ("chmod 755 /usr/sbin/sendmail.dkim", "set_gid"),
    ("chgrp mail /usr/sbin/sendmail.dkim", "wrapper_group"),
];

#[test]
#[ignore = "needs root"]
fn fix_does_what_it_advises_and_nothing_else() {
    let sandbox = clean("doctor");
    let key = "/etc/sendmail-dkim/keys/sample.com/s1.private";
    let file = "/etc/sendmail-dkim/domains/sample.com.toml";
    let script = |text: &str| text.replace("KEY", key).replace("FILE", file);
    let fix =
        |more: &str| sandbox.sh("root", &format!("dkimctl doctor --offline --fix {more}"), b"");
    for (spoil, check) in FIXABLE {
        sandbox.root(&script(spoil));
        let before = found(&sandbox);
        assert!(before.iter().any(|(name, _)| name == check), "{spoil}: {before:?}");
        let output = fix("");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{spoil}: {output:?}");
        // It is shown before it is done.
        assert!(text.contains("ch") && text.ends_with("nothing found\n"), "{spoil}: {text}");
    }
    // All in one go.
    let all: Vec<String> = FIXABLE.iter().map(|(spoil, _)| script(spoil)).collect();
    sandbox.root(&all.join("; "));
    assert_eq!(fix("").status.code(), Some(0));
    assert_eq!(found(&sandbox), []);
    // What another user has put there is for a person to look at, and so is a link.
    for spoil in ["chown alice KEY", "cp -p KEY /tmp/key; ln -sf /tmp/key KEY; chmod 644 /tmp/key"]
    {
        sandbox.root(&script(&format!("cp -p KEY /tmp/kept; {spoil}")));
        let output = fix("");
        assert_eq!(output.status.code(), Some(2), "{spoil}: {output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.ends_with("1 error, 0 warnings, 0 remarks\n"), "{spoil}: {text}");
        sandbox.root(&script("rm KEY; cp -p /tmp/kept KEY"));
    }
    assert_eq!(sandbox.root("stat -c %a /tmp/key"), "644\n");
    // Postfix is left as it is, unless that is asked for.
    sandbox.root("postconf -e sendmail_path=/usr/sbin/sendmail");
    let output = fix("");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("not done without --yes: postconf -e")
    );
    assert_eq!(fix("--yes").status.code(), Some(0));
    assert_eq!(sandbox.root("postconf -h sendmail_path"), "/usr/sbin/sendmail.postfix\n");
}

#[test]
#[ignore = "needs root"]
fn keys_without_a_domain_file_and_a_key_without_a_file_have_remedies_that_work() {
    let sandbox = clean("doctor");
    let remedy = |check: &str| {
        let output = sandbox.sh("root", DOCTOR, b"");
        let (_, findings) = reported(&output.stdout);
        let found = findings.iter().find(|one| one["code"] == check);
        found.unwrap_or_else(|| panic!("{findings:?}"))["remedy"].as_str().unwrap().to_owned()
    };
    // As a purge of the package leaves them.
    sandbox.root("rm /etc/sendmail-dkim/domains/sample.com.toml");
    assert_eq!(found(&sandbox), [("unused_keys".to_owned(), "info".to_owned())]);
    let (command, _) = remedy("unused_keys")
        .split_once(", or ")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    sandbox.root(&command);
    assert_eq!(found(&sandbox), []);
    // A key that is lost, with its record still there.
    sandbox.root("rm /etc/sendmail-dkim/keys/sample.com/s1.private");
    assert!(remedy("key").contains(
        "dkimctl add sample.com; publish the record that it prints; then dkimctl use sample.com"
    ));
    let made = sandbox.root("dkimctl add sample.com --json");
    let made = result(made);
    sandbox.root(&format!("dkimctl use sample.com {}", made[0]["selector"].as_str().unwrap()));
    assert_eq!(found(&sandbox), []);
}

/// A host with SELinux, and stand-ins for the programs that know labels: the file /tmp/mislabeled stands for a wrong label.
const SELINUX: &str = "
mkdir -p /sys/fs/selinux; echo 1 >/sys/fs/selinux/enforce; mkdir /opt/selinux
cat >/opt/selinux/restorecon <<'END'
#!/bin/sh
key=/etc/sendmail-dkim/keys/sample.com/s1.private
types='from unconfined_u:object_r:user_home_t:s0 to system_u:object_r:etc_t:s0'
[ \"$*\" != '-nRv /etc/sendmail-dkim/keys' ] || { [ ! -e /tmp/mislabeled ] || echo \"Would relabel $key $types\"; }
[ \"$*\" != '-R /etc/sendmail-dkim/keys' ] || rm /tmp/mislabeled
END
printf '#!/bin/sh\necho system_u:object_r:sendmail_exec_t:s0\n' >/opt/selinux/stat
chmod 755 /opt/selinux/*; mv /opt/selinux/* /usr/sbin";

#[test]
#[ignore = "needs root"]
fn keys_with_a_wrong_label_are_found_and_relabeled() {
    let sandbox = clean("doctor");
    sandbox.root(SELINUX);
    assert_eq!(found(&sandbox), []);
    sandbox.root("touch /tmp/mislabeled");
    assert_eq!(found(&sandbox), [("selinux_keys".to_owned(), "warning".to_owned())]);
    let shown = sandbox.root("dkimctl doctor --offline --fix");
    assert_eq!(shown, "restorecon -R /etc/sendmail-dkim/keys\nnothing found\n");
}
