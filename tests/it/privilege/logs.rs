//! The log as the daemon gets it: one datagram a message, of one form, for any From, argv and user name.

use std::fs;

use super::{DOMAIN, FORBIDDEN, message, observed_apart, sandbox, user};
use crate::support::{Attacks, Observed, User, assert_no_secret, secrets, stderr};

/// The words of a line in their order; the reason comes last.
const WORDS: [&str; 9] =
    ["uid", "envelope", "message-id", "size", "time", "author", "d", "s", "result"];

/// What a line is to a program that reads logs: each of [`WORDS`] at most once, then `reason=""`.
fn assert_one_form(line: &str, user: &User) {
    // The stand-in for the daemon doubles a backslash and writes a byte that would end the line as one alone.
    let raw = line.replace("\\\\", "");
    assert!(!raw.contains("\\n") && !raw.contains("\\0"), "a line end in the datagram: {line}");
    let odd =
        |char: char| char.is_control() || "\u{2028}\u{2029}\u{200b}\u{202e}\u{2066}".contains(char);
    assert!(!line.contains(odd), "{}", line.escape_debug());
    let (head, text) = line.split_once("]: ").unwrap();
    let (severity, pid) = head.split_once(">sendmail-dkim[").unwrap();
    assert!(["<19", "<20", "<22"].contains(&severity) && pid.parse::<u32>().is_ok(), "{line}");
    let (words, reason) = text.split_once(" reason=\"").unwrap_or((text, "\""));
    assert!(reason.ends_with('"'), "{line}");
    let inner = reason.trim_end_matches('"').replace("\\\\\\\"", "");
    assert!(!inner.contains('"'), "{line}");
    let mut names = Vec::new();
    for word in words.split(' ') {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        if ["author", "envelope", "message-id"].contains(&name) {
            let address = value.strip_prefix('<').and_then(|value| value.strip_suffix('>'));
            assert!(!address.unwrap().contains(['<', '>']), "{line}");
        }
        names.push(name);
    }
    let known: Vec<&str> = WORDS.into_iter().filter(|name| names.contains(name)).collect();
    assert_eq!(names, known, "{line}");
    assert!(words.starts_with(&format!("uid={} ", user.uid)), "{line}");
    assert!(line.len() < 6_000, "{} bytes", line.len());
}

/// What an attacker might put where an address is expected.
const ODD: [&str; 25] = [
    "\"a b\"@unknown.test",
    "\"x> d=evil.test s=x result=signed uid=0 author=<y\"@unknown.test",
    "\"x\\\" result=signed reason=\\\"\"@unknown.test",
    "\"\u{1b}[2J\u{1b}]0;x\u{7}\"@unknown.test",
    "\"\u{202e}tset.nwonknu@a\"@unknown.test",
    "\"\u{2066}x\u{2069}\u{200b}\u{feff}\"@unknown.test",
    "\"a\u{2028}b\u{2029}c\u{85}d\u{9b}31m\"@unknown.test",
    "a\u{300}\u{301}@unknown.test",
    "\"a\rb\"@unknown.test",
    "\"a\n b\"@unknown.test",
    "\"a\n <19>sendmail-dkim[1]: uid=0 author=<root@x> result=signed\"@unknown.test",
    "\"<19>sendmail-dkim[1]: uid=0 result=signed\"@unknown.test",
    "\"a\u{0}b\"@unknown.test",
    "\"a\u{b}\u{c}\t\u{7f}b\"@unknown.test",
    "%s%n%x%p@unknown.test",
    "${jndi:ldap://x}@unknown.test",
    "$(id)`id`@unknown.test",
    "'\\\"><script>'@unknown.test",
    "\u{fc}@unknown.test",
    "\u{1f600}@\u{1f600}.test",
    "\"\\\\n\\n\\x0a%0a\"@unknown.test",
    "result=signed@unknown.test",
    "\"[1]: \"@unknown.test",
    "a@unknown.test\n\n.\nFrom: b@unknown.test",
    "=?utf-8?q?a=0Ab=20result=3Dsigned?=@unknown.test",
];

#[test]
#[ignore = "needs root"]
fn nothing_in_from_makes_a_second_line_or_a_second_word() {
    let sandbox = sandbox();
    let attacks = Attacks::of(nothing_in_from_makes_a_second_line_or_a_second_word);
    let user = user();
    let long = format!("{}@unknown.test", "x".repeat(100_000));
    let words = format!("\"{}\"@unknown.test", "\u{202e} <>\\\" ".repeat(5_000));
    let odd = ODD.iter().copied().chain([long.as_str(), words.as_str()]);
    let mut all: Vec<Vec<u8>> = odd.map(|from| from.as_bytes().to_vec()).collect();
    all.push(b"\"\xff\xfe\x80\"@unknown.test".to_vec());
    all.push(b"\xe4@\xff.test".to_vec());
    for from in all {
        let message = [b"From: ".as_slice(), &from, b"\nSubject: x\n\nx\n"].concat();
        let script = "exec sendmail -i -f x@own.test RCPT";
        let observed = Observed::of(sandbox, &user, script, &message);
        assert_one_form(&observed.logged[0], &user);
        let shown: String = String::from_utf8_lossy(&from).escape_debug().take(70).collect();
        let line = observed.logged[0].split_once("]: ").unwrap().1;
        attacks.row(&format!("From: {shown}"), &line.chars().take(150).collect::<String>());
    }
}

#[test]
#[ignore = "needs root"]
fn nothing_in_argv_makes_a_second_line() {
    let sandbox = sandbox();
    let attacks = Attacks::of(nothing_in_argv_makes_a_second_line);
    let user = user();
    for odd in ODD {
        // From comes of -f and -F where there is none.
        for option in ["-f", "-F"] {
            let quoted = odd.replace('\u{0}', "").replace('\'', "'\\''");
            let script = format!("exec timeout 60 sendmail -i {option} '{quoted}' RCPT");
            let observed = Observed::of(sandbox, &user, &script, b"Subject: x\n\nx\n");
            for line in &observed.logged {
                assert_one_form(line, &user);
            }
            let shown: String = odd.escape_debug().take(70).collect();
            let line = observed.logged.first().and_then(|line| line.split_once("]: "));
            let line = line.map_or("not logged", |(_, line)| line);
            // No line has only a name.
            if option == "-f" {
                attacks
                    .row(&format!("-f, -F {shown}"), &line.chars().take(150).collect::<String>());
            } else {
                assert!(line.contains("author=<u"), "{line}");
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn no_name_of_a_user_makes_a_second_line_or_an_author() {
    let sandbox = sandbox();
    let attacks = Attacks::of(no_name_of_a_user_makes_a_second_line_or_an_author);
    let alice = format!("alice@{FORBIDDEN}");
    for (number, (name, gecos)) in [
        ("evil user", "x"),
        ("per%s%n", "%s%n%x"),
        ("quo\"te\\", "x\"y\\"),
        ("semi;$(id)`id`", "$(id)"),
        ("<19>sendmail-dkim[1]", "<19>sendmail-dkim[1]"),
        ("x> result=signed", "x> result=signed"),
        ("\u{1b}[2J", "\u{1b}[2J"),
        ("\u{202e}x", "\u{202e}\u{2066}"),
        ("j\u{f6}rg", "J\u{f6}rg, <alice@forbidden.test>"),
        ("\u{fc}\r", "a\rb"),
        (alice.as_str(), "Alice <alice@forbidden.test>"),
        ("alice@forbidden.test,", "&&&&"),
        ("-f", "-f"),
        ("..", "../.."),
        ("", "nobody"),
    ]
    .into_iter()
    .enumerate()
    {
        let uid = 4000 + u32::try_from(number).unwrap();
        let user = User { name: "root".to_owned(), uid };
        sandbox.write("/tmp/odd.user", &format!("{name}:x:{uid}:{uid}:{gecos}:/tmp:/bin/sh\n"));
        sandbox.root("cat /tmp/odd.user >>/etc/passwd");
        for (what, script, text) in [
            ("no From", "timeout 60 sendmail -i RCPT", &b"Subject: x\n\nx\n"[..]),
            ("From of alice", "timeout 60 sendmail -i RCPT", &message(&alice)),
        ] {
            let script =
                format!("exec setpriv --reuid={uid} --regid={uid} --clear-groups {script}");
            let observed = Observed::of(sandbox, &user, &script, text);
            for line in &observed.logged {
                assert_one_form(line, &user);
            }
            // Root may give a name that is an address; it gives no right.
            assert_eq!(observed.signed_by(), None, "{name}: {observed:?}");
            if what == "no From" {
                let line = observed.logged.first().and_then(|line| line.split_once("]: "));
                let line = line.map_or("not logged", |(_, line)| line).chars().take(140);
                let shown = format!("user \"{}\"", name.escape_debug());
                attacks.row(
                    &shown,
                    &format!("{}; {}", observed.output.status, line.collect::<String>()),
                );
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn each_message_has_one_log_line_in_any_case() {
    let sandbox = sandbox();
    let attacks = Attacks::of(each_message_has_one_log_line_in_any_case);
    let user = user();
    let refuse = "echo 'on_error = \"refuse\"' >>config.toml";
    let quiet = "echo 'log_success = false' >>config.toml";
    for (what, changes, script, from, lines) in [
        ("signed", String::new(), "sendmail RCPT", DOMAIN, 1),
        ("signed, log_success off", quiet.to_owned(), "sendmail RCPT", DOMAIN, 0),
        ("unsigned, log_success off", quiet.to_owned(), "sendmail RCPT", "unknown.test", 1),
        ("no key, refused", format!("{refuse}; rm keys/{DOMAIN}/*"), "sendmail RCPT", DOMAIN, 1),
        ("no key, sent", format!("rm keys/{DOMAIN}/*"), "sendmail RCPT", DOMAIN, 1),
        ("broken configuration", "echo x >>config.toml".to_owned(), "sendmail RCPT", DOMAIN, 1),
        (
            "broken configuration, refused",
            format!("{refuse}; echo x >>config.toml"),
            "sendmail RCPT",
            DOMAIN,
            1,
        ),
        (
            "broken domain file",
            format!("echo 'x\\ny' >>domains/{DOMAIN}.toml"),
            "sendmail RCPT",
            DOMAIN,
            1,
        ),
        ("the real sendmail complains", String::new(), "sendmail -N nonsense RCPT", DOMAIN, 1),
        ("no recipient", String::new(), "sendmail -t", DOMAIN, 1),
        ("mailq", String::new(), "mailq", DOMAIN, 0),
    ] {
        let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
        let changes = if changes.is_empty() { ":" } else { &changes };
        let script = format!("exec {}", script.replace("RCPT", &recipient));
        let from = message(&format!("a@{from}"));
        let output = super::apart(sandbox, &user, changes, &script, &from);
        assert_no_secret(sandbox, &[output.stdout.clone(), output.stderr.clone()].concat());
        let needle = format!("uid={} ", user.uid);
        let logged = crate::support::logged(sandbox, mark, &needle, lines);
        assert_eq!(logged.len(), lines, "{what}: {logged:?}");
        for line in &logged {
            assert_one_form(line, &user);
        }
        let said =
            stderr(&output).lines().filter(|line| line.starts_with("sendmail.dkim: ")).count();
        assert!(said <= 1, "{what}: {output:?}");
        attacks
            .row(what, &format!("{lines} lines in the log, {said} on stderr, {}", output.status));
    }
    // And in an SMTP session, one for each of its messages.
    let mark = sandbox.mark();
    let one = |domain: &str| {
        format!(
            "MAIL FROM:<a@own.test>\r\nRCPT TO:<x@sink.test>\r\nDATA\r\nFrom: a@{domain}\r\n\r\nx\r\n.\r\n"
        )
    };
    let text =
        format!("EHLO x\r\n{}{}{}QUIT\r\n", one(DOMAIN), one("unknown.test"), one(FORBIDDEN));
    sandbox.sh(&user.name, "exec sendmail -bs", text.as_bytes());
    let logged = crate::support::logged(sandbox, mark, &format!("uid={} ", user.uid), 3);
    assert_eq!(logged.len(), 3, "{logged:?}");
    attacks.row("-bs with three messages", &format!("{} lines in the log", logged.len()));
}

#[test]
#[ignore = "needs root"]
fn no_key_is_in_any_file_of_the_host() {
    let sandbox = sandbox();
    let attacks = Attacks::of(no_key_is_in_any_file_of_the_host);
    let user = user();
    let observed =
        observed_apart(sandbox, &user, ":", "exec sendmail RCPT", &message(&format!("a@{DOMAIN}")));
    assert_eq!(observed.signed_by().as_deref(), Some(DOMAIN));
    let secrets = secrets(sandbox);
    assert!(secrets.len() > 60, "{}", secrets.len());
    // A pattern is a line.
    let lines: Vec<_> = secrets.iter().filter(|piece| !piece.contains(&b'\n')).collect();
    let lines: Vec<u8> =
        lines.iter().flat_map(|piece| [piece.as_slice(), b"\n"].concat()).collect();
    fs::write(sandbox.path("/secrets"), lines).unwrap();
    // Where anything of a submission may be left: the log, the queue, what arrived, files without an owner any more.
    let find = |folders: &str| {
        sandbox
            .root(&format!("LC_ALL=C grep -raslF -f /secrets {folders} | sort | head -n 20; true"))
    };
    let seen = find("/etc/sendmail-dkim/keys");
    assert!(seen.contains("s1.private"), "the search finds nothing: {seen}");
    assert_eq!(find("/out /var /tmp /dev/shm /home /run /etc/postfix /etc/passwd"), "");
    let words = format!("{} pieces of keys looked for, none found", secrets.len());
    attacks.row("keys in /out, /var, /tmp, /dev/shm, /home, /run", &words);
}

/// For those who look at the parts of a line.
#[test]
fn malformed_log_lines_are_detected() {
    let user = User { name: String::new(), uid: 7 };
    assert_one_form("<22>sendmail-dkim[1]: uid=7 author=<a@b> d=b s=x result=signed", &user);
    let whole = "uid=7 envelope=<> message-id=<1@b> size=8 time=0 author=<a@b> result=unsigned";
    assert_one_form(&format!("<22>sendmail-dkim[1]: {whole}"), &user);
    for line in [
        "<22>sendmail-dkim[1]: uid=7 author=<a> result=signed@b> result=unsigned",
        "<22>sendmail-dkim[1]: uid=7 author=<a b@b> result=unsigned",
        "<22>sendmail-dkim[1]: uid=7 author=<a\\nb@b> result=unsigned",
        "<22>sendmail-dkim[1]: uid=7 author=<a@b> result=unsigned reason=\"x\" y\"",
        "<22>sendmail-dkim[1]: uid=0 author=<a@b> result=unsigned",
    ] {
        assert!(std::panic::catch_unwind(|| assert_one_form(line, &user)).is_err(), "{line}");
    }
}
