//! The files that the wrapper opens: something else in their place, and names that would lead elsewhere.

use super::{DOMAIN, EVIL, message, observed_apart, sandbox, user};
use crate::support::{Attacks, Observed, assert_no_secret};

/// Sends mail where something was done to the folder of the configuration, and looks at the reason why it is not signed.
fn try_all(attacks: Attacks, rows: &[(&str, &str, &str)]) {
    let sandbox = sandbox();
    let user = user();
    for (what, changes, wanted) in rows {
        let changes = changes
            .replace("KEY", &format!("keys/{DOMAIN}/s1.private"))
            .replace("FOLDER", &format!("keys/{DOMAIN}"))
            .replace("FILE", &format!("domains/{DOMAIN}.toml"))
            .replace("SECRET;", &format!("{SECRET};"))
            .replace("EVIL;", &format!("{OWN_FILE};"))
            .replace("USER", &user.name);
        let from = format!("a@{DOMAIN}");
        let script = "exec timeout 60 sendmail RCPT";
        let observed = observed_apart(sandbox, &user, &changes, script, &message(&from));
        assert!(observed.arrived.is_some(), "{what}: {observed:?}");
        let text = format!("{observed:?}");
        assert!(
            !text.contains("TOP SECRET") && !text.contains("TOP_SECRET") && !text.contains("root:"),
            "{what}: {text}"
        );
        if *wanted == "signed" {
            assert_eq!(observed.signed_by().as_deref(), Some(DOMAIN), "{what}: {observed:?}");
        } else {
            assert_eq!(observed.signed_by(), None, "{what}: {observed:?}");
            assert!(observed.reason().contains(wanted), "{what}: {observed:?}");
        }
        attacks.row(what, &observed.outcome());
    }
}

/// Something that the group may read and no user must see.
const SECRET: &str = "echo 'TOP SECRET' >secret; chgrp sendmail-dkim secret; chmod 640 secret";

/// A domain file of the user's own.
const OWN_FILE: &str = "printf 'selectors = [\"s1\"]\\ndomain = \"forbidden.test\"\\n' >/tmp/evil/own.toml; \
    chown USER /tmp/evil/own.toml";

const NOT_A_FILE: &str = "is not a regular file";

/// What stands there, how it comes there, and the reason in the log.
const KEYS: [(&str, &str, &str); 30] = [
    (
        "key: a link to a secret of the group",
        "SECRET; ln -sf /etc/sendmail-dkim/secret KEY",
        "links are not followed",
    ),
    (
        "key: a link to the key of another",
        "SECRET; ln -sf ../forbidden.test/s1.private KEY",
        "links are not followed",
    ),
    ("key: a link to /etc/shadow", "SECRET; ln -sf /etc/shadow KEY", "links are not followed"),
    ("key: a link to itself", "SECRET; ln -sf s1.private KEY", "links are not followed"),
    ("key: a link to /dev/stdin", "SECRET; ln -sf /dev/stdin KEY", "links are not followed"),
    ("key: another name of the secret", "SECRET; ln -f secret KEY", "no private key in PEM format"),
    (
        "key: a FIFO without a writer",
        "rm KEY; mkfifo -m 640 KEY; chgrp sendmail-dkim KEY",
        NOT_A_FILE,
    ),
    (
        "key: a FIFO that feeds a key",
        "mv KEY k; mkfifo -m 640 KEY; chgrp sendmail-dkim KEY; (timeout 5 sh -c 'cat k >KEY' <&- >/dev/null 2>&1 &)",
        NOT_A_FILE,
    ),
    ("key: a folder", "rm KEY; mkdir -m 755 KEY", NOT_A_FILE),
    (
        "key: a socket",
        "rm KEY; python3 -c 'import socket; socket.socket(1).bind(\"KEY\")'; chgrp sendmail-dkim KEY; chmod 640 KEY",
        "cannot open key",
    ),
    ("key: /dev/zero", "rm KEY; mknod -m 640 KEY c 1 5; chgrp sendmail-dkim KEY", NOT_A_FILE),
    ("key: 4 GB of nothing", "truncate -s 0 KEY; truncate -s 4G KEY", "is larger than 16384 bytes"),
    ("key: 1 MB of text", "yes 'TOP_SECRET' | head -c 1000000 >KEY", "is larger than 16384 bytes"),
    ("key: empty", "truncate -s 0 KEY", "the file is empty"),
    ("key: cut off", "truncate -s 1000 KEY", "the key is cut off"),
    (
        "key: a public key",
        "openssl pkey -in KEY -pubout -out x; cat x >KEY",
        "this is a public key",
    ),
    ("key: gone", "rm KEY", "no such file or directory"),
    ("key: of the user", "chown USER KEY", "must be owned by root"),
    ("key: all may read it", "chmod 644 KEY", "found mode 0644, expected 0640"),
    ("key: the group may write it", "chmod 660 KEY", "by its owner only (found uid 0, mode 0660)"),
    (
        "its folder: a link to that of another",
        "mv FOLDER x; ln -s forbidden.test FOLDER",
        "cannot open key",
    ),
    ("its folder: a link to itself as it was", "mv FOLDER x; ln -s ../x FOLDER", "cannot open key"),
    ("its folder: a file", "mv FOLDER x; touch FOLDER", "cannot open key"),
    ("its folder: of mode 000", "chmod 000 FOLDER", "permission denied"),
    ("all keys: of mode 000", "chmod 000 keys", "permission denied"),
    (
        "its folder: the group may write it",
        "chmod 770 FOLDER",
        "privilege.test must be writable by",
    ),
    ("its folder: all may write it", "chmod 1777 FOLDER", "privilege.test must be writable by"),
    ("its folder: of the user", "chown USER FOLDER", "privilege.test must be owned by root"),
    ("all keys: the group may write it", "chmod 770 keys", "/keys must be writable by its owner"),
    ("all keys: of the user", "chown USER keys", "/keys must be owned by root"),
];

#[test]
#[ignore = "needs root"]
fn a_file_that_replaces_a_key_is_not_read() {
    try_all(Attacks::of(a_file_that_replaces_a_key_is_not_read), &KEYS);
}

const DOMAIN_FILES: [(&str, &str, &str); 28] = [
    (
        "domain file: a link to one of the user's",
        "EVIL; ln -sf /tmp/evil/own.toml FILE",
        "must be owned by root",
    ),
    ("domain file: of the user", "chown USER FILE", "must be owned by root"),
    ("domain file: all may write it", "chmod 666 FILE", "must be writable by its owner only"),
    (
        "domain file: a link to that of another",
        "ln -sf forbidden.test.toml FILE",
        "the user may not sign",
    ),
    ("domain file: a link to /etc/shadow", "ln -sf /etc/shadow FILE", "permission denied"),
    ("domain file: a link to /etc/passwd", "ln -sf /etc/passwd FILE", "domains/"),
    ("domain file: a link to nothing", "ln -sf /nowhere FILE", "no domain file"),
    ("domain file: a link to itself", "rm FILE; ln -s $(basename FILE) FILE", "domains/"),
    ("domain file: a link to /dev/zero", "ln -sf /dev/zero FILE", NOT_A_FILE),
    ("domain file: a link to the end of a pipe", "ln -sf /dev/stdin FILE", "domains/"),
    ("domain file: a FIFO", "rm FILE; mkfifo FILE", NOT_A_FILE),
    ("domain file: a folder", "rm FILE; mkdir FILE", NOT_A_FILE),
    (
        "domain file: a socket",
        "rm FILE; python3 -c 'import socket; socket.socket(1).bind(\"FILE\")'",
        "cannot read",
    ),
    ("domain file: 4 GB of nothing", "truncate -s 4G FILE", "is larger than"),
    ("domain file: 2 MB of text", "yes '# TOP_SECRET' | head -c 2000000 >FILE", "is larger than"),
    (
        "domain file: 1 MB of brackets",
        "(printf 'x = '; head -c 1000000 /dev/zero | tr '\\0' '[') >FILE",
        "domains/",
    ),
    ("domain file: NUL", "printf 'selectors = [\"s1\"]\\0' >FILE", "line 1"),
    ("domain file: no UTF-8", "printf 'selectors = [\"\\377\"]' >FILE", "domains/"),
    (
        "domain file: a selector that walks",
        "printf 'selectors = [\"../forbidden.test/s1\"]' >FILE",
        "line 1",
    ),
    (
        "domain file: a domain that walks",
        "printf 'selectors = [\"s1\"]\\ndomain = \"../forbidden.test\"' >FILE",
        "line 2",
    ),
    ("domain file: of mode 000", "chmod 000 FILE", "permission denied"),
    (
        "all domain files: a link to a folder of the user's",
        "rm -r domains; ln -s /tmp/evil domains",
        "no domain file",
    ),
    ("all domain files: of mode 000", "chmod 000 domains", "permission denied"),
    ("domain file: the group may write it", "chmod 664 FILE", "must be writable by its owner only"),
    (
        "domain file: a group of users may write it",
        "chgrp users FILE; chmod 664 FILE",
        "must be writable by its owner only",
    ),
    ("all domain files: the group may write it", "chmod 775 domains", "/domains must be writable"),
    ("all domain files: all may write it", "chmod 1777 domains", "/domains must be writable by"),
    ("all domain files: of the user", "chown USER domains", "/domains must be owned by root"),
];

#[test]
#[ignore = "needs root"]
fn a_file_that_replaces_a_domain_file_is_not_obeyed() {
    try_all(Attacks::of(a_file_that_replaces_a_domain_file_is_not_obeyed), &DOMAIN_FILES);
}

#[test]
#[ignore = "needs root"]
fn a_file_that_replaces_the_configuration_is_not_obeyed() {
    let attacks = Attacks::of(a_file_that_replaces_the_configuration_is_not_obeyed);
    let evil =
        "printf 'sendmail = \"/tmp/evil/grab\"\\n' >/tmp/evil/c.toml; chown USER /tmp/evil/c.toml";
    try_all(
        attacks,
        &[
            (
                "config.toml: a link to one of the user's",
                &format!("{evil}; ln -sf /tmp/evil/c.toml config.toml"),
                "must be owned by root",
            ),
            ("config.toml: of the user", "chown USER config.toml", "must be owned by root"),
            (
                "config.toml: the group may write it",
                "chmod 664 config.toml",
                "config.toml must be writable by its owner only",
            ),
            ("the folder: the group may write it", "chmod 775 .", "must be writable by its owner"),
            ("the folder: all may write it", "chmod 1777 .", "must be writable by its owner only"),
            (
                "config.toml: all may write it",
                "chmod 666 config.toml",
                "must be writable by its owner only",
            ),
            ("config.toml: a link to root's", "mv config.toml x; ln -s x config.toml", "signed"),
            ("config.toml: a link to nothing", "ln -sf /nowhere config.toml", "cannot read"),
            (
                "config.toml: a link to /etc/shadow",
                "ln -sf /etc/shadow config.toml",
                "permission denied",
            ),
            ("config.toml: a link to /dev/zero", "ln -sf /dev/zero config.toml", NOT_A_FILE),
            ("config.toml: a FIFO", "rm config.toml; mkfifo config.toml", NOT_A_FILE),
            ("config.toml: a folder", "rm config.toml; mkdir config.toml", NOT_A_FILE),
            ("config.toml: 4 GB of nothing", "truncate -s 4G config.toml", "is larger than"),
            ("config.toml: empty", "truncate -s 0 config.toml", "config.toml"),
            ("config.toml: no UTF-8", "printf '\\377' >config.toml", "config.toml"),
            ("config.toml: gone", "rm config.toml", "cannot read"),
            ("config.toml: of mode 000", "chmod 000 config.toml", "permission denied"),
        ],
    );
}

/// Domains of From that would lead to another file, were they taken as they are.
const WALKING: [&str; 34] = [
    "../../../etc/passwd",
    "..",
    ".",
    "/",
    "/etc",
    "x/../privilege.test",
    "./privilege.test",
    "privilege.test/",
    "privilege.test/../forbidden.test",
    "..%2f..%2fetc%2fpasswd",
    "..\\..\\etc",
    "privilege.test\\0.toml",
    "privilege.test\u{0}.toml",
    "privilege.test\u{0}/../forbidden.test",
    "privilege.test.toml",
    "default",
    "DEFAULT",
    "default.",
    "default.toml",
    "config",
    "*",
    "?rivilege.test",
    "[p]rivilege.test",
    "$(id).test",
    "`id`.test",
    "~root",
    "-f",
    "priv\u{456}lege.test",
    "xn--../../etc",
    "xn--a",
    "privilege.test\u{202e}",
    "\u{2025}/etc",
    "_privilege.test",
    "privilege.test:s1",
];

#[test]
#[ignore = "needs root"]
fn a_domain_in_from_walks_no_paths() {
    let sandbox = sandbox();
    let attacks = Attacks::of(a_domain_in_from_walks_no_paths);
    let user = user();
    let long = format!("{}.test", "a.".repeat(150));
    let label = format!("{}.test", "a".repeat(64));
    let all = WALKING.iter().copied().chain([long.as_str(), label.as_str()]);
    for (number, domain) in all.enumerate() {
        let recipient = sandbox.recipient();
        let mark = sandbox.mark();
        // Root may trace, and the bit holds.
        let trace = format!("{EVIL}/walk.{number}");
        let script = format!(
            "exec strace -f -u {} -e trace=open,openat,openat2,stat,access,readlink -o {trace} \
             /usr/sbin/sendmail.dkim {recipient}",
            user.name
        );
        let message = format!("From: <a@{domain}>\n\nx\n");
        let output = sandbox.sh("root", &script, message.as_bytes());
        assert!(output.stderr.is_empty(), "{output:?}");
        let needle = format!("uid={} ", user.uid);
        let observed = Observed::after(sandbox, &needle, mark, &recipient, output);
        assert_eq!(observed.signed_by(), None, "{domain}: {observed:?}");
        // What is looked for is a file of `domains`, and no key.
        let trace = sandbox.root(&format!("cat {trace}"));
        assert_no_secret(sandbox, trace.as_bytes());
        let ours = trace.lines().filter(|line| line.contains("sendmail-dkim/"));
        let mut files = Vec::new();
        for name in ours.filter_map(|line| line.split('"').nth(1)) {
            let file = name.strip_prefix("/etc/sendmail-dkim/").unwrap();
            let file = file.strip_prefix("domains/").unwrap_or(file);
            assert!(!file.contains("..") && !file.contains('/'), "{domain}: {name}");
            files.push(file.to_owned());
        }
        files.retain(|file| file != "config.toml");
        let shown: String = domain.escape_debug().take(60).collect();
        let outcome = format!("{}; looked for: {}", observed.outcome(), files.join(" "));
        attacks.row(&format!("From: <a@{shown}>"), outcome.trim_end_matches("; looked for: "));
    }
    // And what is the same domain by the rules of IDNA, or once Postfix has taken the NUL away, is that domain.
    for domain in [
        "PRIVILEGE.Test",
        "privilege.test.",
        "privilege.test\u{0}",
        "\u{ff50}rivilege.test",
        "privilege\u{3002}test",
    ] {
        let from = format!("<a@{domain}>");
        let observed = Observed::of(sandbox, &user, "exec sendmail RCPT", &message(&from));
        assert_eq!(observed.signed_by().as_deref(), Some(DOMAIN), "{domain}: {observed:?}");
        attacks.row(&format!("From: <a@{}>", domain.escape_debug()), &observed.outcome());
    }
}
