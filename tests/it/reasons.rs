//! Each reason that the log may give is brought about, and `on_error` is obeyed with each.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use crate::support::{Sandbox, project, stderr};

mod session;
pub(crate) mod texts;

const DOMAIN: &str = "reasons.test";

/// Something that is wrong with the host, and what the log says of it.
struct Wrong {
    reason: &'static str,
    /// Run by root in /etc/sendmail-dkim.
    done: &'static str,
    /// What the wrapper runs under.
    under: &'static str,
    /// Whether the domain file is still read, so that its `on_error` is the one that holds.
    is_after_domain_file: bool,
}

impl Wrong {
    const fn domain_file(done: &'static str, reason: &'static str) -> Self {
        Self { reason, done, under: "", is_after_domain_file: false }
    }

    const fn key(done: &'static str, reason: &'static str) -> Self {
        Self { reason, done, under: "", is_after_domain_file: true }
    }
}

/// The key, in the shell texts.
const KEY: &str = "keys/reasons.test/s1.private";

/// Errors of the host: sent unsigned, or refused.
const WRONG: &[Wrong] = &[
    Wrong::domain_file("echo 'foo = 1' >>FILE", "FILE: line 2: unknown key `foo`"),
    Wrong::domain_file(
        "echo 'minimum_key_bits = \"x\"' >>FILE",
        "FILE: line 2: minimum_key_bits: expected a whole number, found string",
    ),
    Wrong::domain_file(
        "echo 'users = 1' >>FILE",
        "FILE: line 2: users: expected a list, found integer `1`",
    ),
    Wrong::domain_file(
        "chmod 666 FILE",
        "FILE must be writable by its owner only (found uid 0, mode 0666)",
    ),
    Wrong::domain_file(
        "chown www-data FILE",
        "FILE must be owned by root or by the owner of the configuration directory (found uid 33, mode 0644)",
    ),
    Wrong::domain_file(
        "echo 'on_missing_record = \"skip\"' >>FILE; echo s1 >domains/reasons.test.gone; chmod 666 domains/reasons.test.gone",
        "domains/reasons.test.gone must be writable by its owner only (found uid 0, mode 0666)",
    ),
    Wrong::domain_file("rm FILE; mkdir FILE", "FILE is not a regular file"),
    Wrong::domain_file("rm FILE; mkfifo -m 644 FILE", "FILE is not a regular file"),
    Wrong::domain_file("chmod 600 FILE", "cannot read /etc/sendmail-dkim/FILE: "),
    Wrong::domain_file("yes '# more' | head -c 1100000 >>FILE", "is larger than 65536 bytes"),
    Wrong::key("rm KEY", "cannot open key /etc/sendmail-dkim/KEY: "),
    Wrong::key("chgrp root KEY", "cannot open key /etc/sendmail-dkim/KEY: "),
    Wrong::key("mv KEY x; ln -s /etc/sendmail-dkim/x KEY", "KEY, links are not followed"),
    Wrong::key("rm KEY; mkdir -m 755 KEY", "KEY is not a regular file"),
    Wrong::key(
        "chown www-data KEY",
        "KEY must be owned by root or by the owner of the configuration",
    ),
    Wrong::key(
        "chmod 644 KEY",
        "KEY must not be readable by every user (found mode 0644, expected 0640",
    ),
    Wrong::key("chmod 660 KEY", "KEY must be writable by its owner only (found uid 0, mode 0660)"),
    Wrong {
        reason: "KEY must have the group of the keys directory, gid ",
        done: "groupadd -f extra; usermod -aG extra www-data; chgrp extra KEY",
        under: "strace -f -o /dev/null -e trace=none",
        is_after_domain_file: true,
    },
    Wrong::key("yes x | head -c 20000 >>KEY", "KEY is larger than 16384 bytes"),
    Wrong::key("echo x >KEY", "KEY: no private key in PEM format"),
    Wrong::key("sed -i 5,9d KEY", "KEY: the key is damaged"),
    Wrong::key(
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_pubexp:18446744073709551557 >KEY",
        "KEY: the public exponent of the key has more than 33 bits",
    ),
    Wrong::key(
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 >KEY",
        "KEY: an EC key, which DKIM does not support; create a new key: dkimctl genkey",
    ),
    Wrong::key(
        "openssl dsaparam -genkey -noout 1024 >KEY 2>/dev/null",
        "KEY: a DSA key, which DKIM does not support; create a new key: dkimctl genkey",
    ),
    Wrong::key(
        "openssl genpkey -algorithm X25519 >KEY",
        "KEY: neither an RSA nor an Ed25519 key; create a new key: dkimctl genkey",
    ),
    Wrong::key(
        "openssl genrsa -primes 3 2048 >KEY 2>/dev/null; openssl rsa -traditional -in KEY -out x; cat x >KEY",
        "KEY: an RSA key of more than two primes is not supported; create a new key: dkimctl genkey",
    ),
    Wrong::key(
        "openssl pkcs8 -topk8 -in KEY -passout pass:x -out x; cat x >KEY",
        "KEY: the key is encrypted; store it without a pass phrase: openssl pkey -in OLD -out NEW",
    ),
    Wrong::key(
        "openssl pkey -in KEY -pubout -out x; cat x >KEY",
        "KEY: this is a public key; use the file with the private key",
    ),
    Wrong::key(
        "openssl req -x509 -key KEY -subj /CN=x -out x; cat x >KEY",
        "KEY: this is a certificate; use the file with the private key",
    ),
    Wrong::key(
        "openssl req -x509 -key KEY -subj /CN=x -out x; openssl pkcs12 -export -inkey KEY -in x -passout pass: -out y; cat y >KEY",
        "KEY: a PKCS#12 archive; extract the key: openssl pkcs12 -in OLD -nocerts -nodes -out NEW",
    ),
    Wrong::key(
        "sed -i 's/PRIVATE/OPENSSH PRIVATE/' KEY",
        "KEY: a key in OpenSSH format; if it is RSA, convert a copy: ssh-keygen -p -N '' -m PKCS8 -f COPY; else create a new key: dkimctl genkey",
    ),
    Wrong::key(
        "openssl pkey -in KEY -outform DER -out x; cat x >KEY",
        "KEY: the key is DER without PEM; convert it: openssl pkey -inform DER -in OLD -out NEW",
    ),
    Wrong::key(
        "sed -i /-----/d KEY",
        "KEY: the key has no BEGIN and END lines; add them: base64 -di OLD | openssl pkey -inform DER -out NEW",
    ),
    Wrong::key(
        "tr -d '\\n' <KEY >x; cat x >KEY",
        "KEY: BEGIN and END are not on lines of their own; break the text into lines: perl -pe 's,-----[A-Z ]+-----,$/$&$/,g' OLD >NEW",
    ),
    Wrong::key(
        "sed 's/$/\\\\n/' KEY | tr -d '\\n' >x; cat x >KEY",
        "KEY: the PEM text has backslashes instead of line ends; break it into lines: perl -pe 's,[^ -Z^-~]+[rn],$/,g; s,-----[A-Z ]+-----,$/$&$/,g' OLD >NEW",
    ),
    Wrong::key(
        "iconv -f UTF-8 -t UTF-16 KEY >x; cat x >KEY",
        "KEY: the text is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 OLD >NEW",
    ),
    Wrong::key(
        "sed -i '$d' KEY",
        "KEY: the key is cut off: its END line is missing; copy it again",
    ),
    Wrong::key(": >KEY", "KEY: the file is empty"),
    Wrong::key(
        "echo 'PuTTY-User-Key-File-3: ssh-rsa' >KEY",
        "KEY: a key in PuTTY format; if it is RSA, convert it: puttygen OLD -O private-openssh -o NEW; else create a new key: dkimctl genkey",
    ),
    Wrong::key("openssl genrsa 768 >KEY 2>/dev/null", "KEY: the key has 768 bits, fewer than 1024"),
    Wrong::key(
        "openssl genrsa 4224 >KEY 2>/dev/null",
        "KEY: the key has 4224 bits, more than 4096",
    ),
    Wrong::key("echo 'minimum_key_bits = 4096' >>FILE", "the key has 2048 bits, fewer than 4096"),
    Wrong::key(
        "echo 'message_size_limit = 700' >>config.toml",
        "signed, it would be larger than message_size_limit",
    ),
    Wrong {
        reason: "cannot read /etc/sendmail-dkim/KEY: ",
        done: ":",
        under: "strace -f -o /dev/null -P /etc/sendmail-dkim/KEY -e inject=read:error=EIO",
        is_after_domain_file: true,
    },
    Wrong {
        reason: "cannot ask the process that signs: ",
        done: ":",
        under: "strace -o /dev/null -e inject=write:error=EIO:when=1",
        is_after_domain_file: true,
    },
    Wrong {
        reason: "cannot change the group id: ",
        done: TWO,
        under: "strace -f -o /dev/null -e inject=setresgid:error=EPERM:when=3",
        is_after_domain_file: true,
    },
    Wrong {
        reason: "the privileged group id is still there",
        done: TWO,
        under: "strace -f -o /dev/null -e inject=setresgid:retval=0:when=4",
        is_after_domain_file: true,
    },
    Wrong {
        reason: "cannot make the process undumpable",
        done: TWO,
        under: "strace -f -o /dev/null -e inject=prctl:retval=1:when=6",
        is_after_domain_file: true,
    },
];

/// Of two keys the second is the one that a call fails for: the process that reads the message makes fewer such calls.
const TWO: &str = "cp -a KEY keys/reasons.test/s2.private; sed -i 's/\"s1\"/\"s1\", \"s2\"/' FILE; \
    echo strict_selectors = true >>FILE";

/// As WRONG has it, with the names filled in.
fn filled(text: &str) -> String {
    text.replace("FILE", &format!("domains/{DOMAIN}.toml")).replace("KEY", KEY)
}

/// Runs one submission as www-data, whose set-gid bit holds although root may have it traced.
fn submit(sandbox: &Sandbox, under: &str, arguments: &str, input: &str) -> Output {
    let become_user = "setpriv --reuid=www-data --regid=www-data --clear-groups";
    let under = filled(under);
    let script = if under.is_empty() {
        format!("exec timeout -s KILL 60 {become_user} sendmail {arguments}")
    } else {
        format!("exec timeout -s KILL 60 {under} -u www-data /usr/sbin/sendmail.dkim {arguments}")
    };
    sandbox.sh("root", &script, input.as_bytes())
}

fn text(domain: &str) -> String {
    // With all that Postfix would add.
    let date = "Date: Tue, 14 Nov 2023 22:13:20 +0000\nMessage-ID: <1@y.test>";
    format!("From: a@{domain}\nTo: x@y.test\n{date}\nSubject: x\n\nx\n")
}

/// A sandbox of a module's own, with a key, and what restores it.
fn set_up() -> Sandbox {
    let sandbox = Sandbox::own("reasons");
    sandbox.key(DOMAIN, "s1");
    sandbox.root("cp -a /etc/sendmail-dkim /opt/kept");
    sandbox
}

const RESTORE: &str =
    "find /etc/sendmail-dkim -mindepth 1 -delete; cp -a /opt/kept/. /etc/sendmail-dkim";

#[test]
#[ignore = "needs root"]
fn an_error_of_the_host_sends_mail_as_submitted_and_is_logged() {
    let sandbox = set_up();
    for wrong in WRONG {
        sandbox.root(&format!("cd /etc/sendmail-dkim; {}", filled(wrong.done)));
        let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
        let output = submit(&sandbox, wrong.under, &format!("-i {recipient}"), &text(DOMAIN));
        let reason = filled(wrong.reason);
        assert!(output.status.success() && output.stderr.is_empty(), "{reason}: {output:?}");
        let line = sandbox.logged(mark, &format!("author=<a@{DOMAIN}>"));
        assert!(line.contains(" result=unsigned reason=\"") && line.contains(&reason), "{line}");
        let received = sandbox.received(&recipient);
        assert!(sandbox.verify(&received).all("none"), "{reason}");
        assert!(
            received.bytes.ends_with(text(DOMAIN).replace('\n', "\r\n").as_bytes()),
            "{reason}"
        );
        sandbox.root(RESTORE);
    }
}

#[test]
#[ignore = "needs root"]
fn an_error_of_the_host_rejects_mail_if_on_error_is_refuse() {
    let sandbox = set_up();
    for wrong in WRONG {
        let reason = filled(wrong.reason);
        for place in ["config.toml", "FILE"] {
            if place == "FILE" && !wrong.is_after_domain_file {
                continue;
            }
            let done = format!("echo 'on_error = \"refuse\"' >>{place}; {}", wrong.done);
            sandbox.root(&format!("cd /etc/sendmail-dkim; {}", filled(&done)));
            let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
            let output = submit(&sandbox, wrong.under, &format!("-i {recipient}"), &text(DOMAIN));
            assert_eq!(output.status.code(), Some(75), "{reason} {place}: {output:?}");
            let said = stderr(&output);
            let begin = "sendmail.dkim: fatal: not signed, so not accepted: ";
            assert!(said.starts_with(begin) && said.contains(&reason), "{reason} {place}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            let line = sandbox.logged(mark, &format!("author=<a@{DOMAIN}>"));
            assert!(line.contains(" result=refused reason=\"") && line.contains(&reason), "{line}");
            assert_eq!(sandbox.count(&recipient), 0, "{reason} {place}");
            if wrong.under.is_empty() {
                let envelope = format!("MAIL FROM:<a@b.test>\r\nRCPT TO:<{recipient}>\r\n");
                let input = format!(
                    "EHLO x\r\n{envelope}DATA\r\n{}.\r\nQUIT\r\n",
                    text(DOMAIN).replace('\n', "\r\n")
                );
                let mark = sandbox.mark();
                let output = submit(&sandbox, "", "-bs", &input);
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let refused = "\n451 4.7.0 Error: not signed, so not accepted\r\n221 ";
                assert!(said.contains(refused), "{reason} {place}: {said}");
                let line = sandbox.logged(mark, &format!("author=<a@{DOMAIN}>"));
                assert!(line.contains(" result=refused ") && line.contains(&reason), "{line}");
                assert_eq!(sandbox.count(&recipient), 0, "{reason} {place}");
            }
            sandbox.root(RESTORE);
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_message_that_cannot_be_stored_obeys_on_error() {
    let sandbox = set_up();
    let large = format!("{}{}", text(DOMAIN), "0123456789\n".repeat(200_000));
    // Postfix could not write either: one that reads, and shows what it got on a pipe.
    sandbox.write("/opt/show", "#!/bin/sh\nexec cat\n");
    sandbox.root("chmod 755 /opt/show");
    for (place, code) in [("", 0), ("config.toml", 75), ("FILE", 75)] {
        sandbox.root(&filled(&format!(
            "cd /etc/sendmail-dkim; sed -i 's|^sendmail = .*|sendmail = \"/opt/show\"|' config.toml
             [ -z '{place}' ] || echo 'on_error = \"refuse\"' >>'{place}'"
        )));
        let mark = sandbox.mark();
        let output =
            sandbox.sh("www-data", "ulimit -f 0; exec sendmail -i x@y.test", large.as_bytes());
        assert_eq!(output.status.code(), Some(code), "{place}: {}", stderr(&output));
        let line = sandbox.logged(mark, &format!("author=<a@{DOMAIN}>"));
        let result = if code == 0 { "unsigned" } else { "refused" };
        assert!(
            line.contains(&format!("result={result} reason=\"no room for the message: ")),
            "{line}"
        );
        let wanted = if code == 0 { large.as_bytes() } else { b"" };
        assert!(output.stdout == wanted, "{place}: {} bytes", output.stdout.len());
        sandbox.root(RESTORE);
    }
}

/// Starts a command whose standard input is a socket that gives a part of a message and then fails.
const BROKEN_STDIN: &str = "import os, socket, sys
ours, theirs = socket.socketpair()
ours.send(sys.argv[1].encode())
theirs.send(b'never read')
ours.close()
os.dup2(theirs.fileno(), 0)
os.execvp(sys.argv[2], sys.argv[2:])";

#[test]
#[ignore = "needs root"]
fn half_of_a_message_is_never_sent() {
    let sandbox = set_up();
    sandbox.write("/opt/broken.py", BROKEN_STDIN);
    for on_error in ["send", "refuse"] {
        sandbox.root(&format!("echo 'on_error = \"{on_error}\"' >>/etc/sendmail-dkim/config.toml"));
        for (half, line_of) in [
            (format!("From: a@{DOMAIN}\nSub"), "uid=33 "),
            (text(DOMAIN), "author=<a@reasons.test>"),
            (text("unknown.test"), "author=<a@unknown.test>"),
        ] {
            let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
            let script = format!("exec python3 /opt/broken.py '{half}' sendmail -i {recipient}");
            let output = sandbox.sh("www-data", &script, b"");
            assert_eq!(output.status.code(), Some(75), "{half}: {output:?}");
            let said = stderr(&output);
            assert!(said.contains("cannot read the message from standard input: "), "{said}");
            let line = sandbox.logged(mark, "cannot read the message from standard input");
            assert!(line.contains(line_of) || half.contains("unknown"), "{line}");
            assert_eq!(sandbox.count(&recipient), 0, "{half}");
        }
        sandbox.root(RESTORE);
    }
}

/// What is wrong with a line of the domain file, or of config.toml where it says so, and what is said of it.
const LINES: &[(&str, &str, &str)] = &[
    ("FILE", "headers = [\"To\"]", "headers: From must be signed"),
    ("FILE", "headers = [\"-From\"]", "headers: From must be signed"),
    ("FILE", "headers = [\"+Bcc\"]", "Bcc does not survive delivery, so it cannot be signed"),
    ("FILE", "headers = [\"From\", \"-To\"]", "either all names or none must begin with + or -"),
    ("FILE", "headers = [\"a b\"]", "a field name is printable ASCII without spaces and colons"),
    ("FILE", "oversign = [\"X-Y\"]", "oversign: X-Y is oversigned, but not listed in headers"),
    (
        "FILE",
        "identity = \"a@other.test\"",
        "identity: \\\"a@other.test\\\" is not within reasons.test",
    ),
    ("FILE", "identity = \"x\"", "identity: it has no @"),
    (
        "FILE",
        "expire = \"soon\"",
        "expire: expected seconds, or a number with s, m, h or d, such as \\\"14d\\\"",
    ),
    ("FILE", "minimum_key_bits = 512", "minimum_key_bits: expected 1024 to 4096, found 512"),
    (
        "config.toml",
        "undisclosed_recipients_header = \"To\"",
        "expected an empty text or a To or Cc field on one line of ASCII, found \\\"To\\\"",
    ),
    (
        "FILE",
        "also_sign_as = [\"localhost\"]",
        "also_sign_as: no key can be published for \\\"localhost\\\"",
    ),
    (
        "FILE",
        "also_sign_as = [\"a.test\", \"a.test\"]",
        "also_sign_as: \\\"a.test\\\" is listed twice",
    ),
    ("FILE", "canonicalization = \"x\"", "canonicalization: expected simple or relaxed"),
    (
        "FILE",
        "on_missing_record = \"drop\"",
        "on_missing_record: expected \\\"sign\\\" or \\\"skip\\\", found \\\"drop\\\"",
    ),
    (
        "FILE",
        "on_error = \"drop\"",
        "on_error: expected \\\"send\\\" or \\\"refuse\\\", found \\\"drop\\\"",
    ),
    ("FILE", "selector = \"s1\"", "selectors: use either `selector` or `selectors`, not both"),
    ("FILE", "origin = \"x.test\"", "key `origin` belongs in config.toml"),
    (
        "FILE",
        "[[sign]]\nfrom = \"x\"\nselector = \"s1\"",
        "from: expected an address (local@domain or *@domain), found \\\"x\\\"",
    ),
    (
        "FILE",
        "[[sign]]\nfrom = \"a@*.test\"\nselector = \"s1\"",
        "from: \\\"a@*.test\\\": a * is allowed before the @ only",
    ),
    ("FILE", "subdomains = 1", "subdomains: expected true, false or \\\"only\\\""),
    (
        "FILE",
        "subdomains = \"yes\"",
        "subdomains: expected true, false or \\\"only\\\", found \\\"yes\\\"",
    ),
    (
        "FILE",
        "keys = \"a.test\"",
        "keys: \\\"a.test\\\": expected the name of a directory below keys/: lower-case letters, digits, - and _, no dot",
    ),
    (
        "FILE",
        "expire = []",
        "expire: expected seconds, or a number with s, m, h or d, such as \\\"14d\\\"",
    ),
    ("FILE", "[[sign]]\nfrom = \"a@reasons.test\"", "sign: key `selector` is missing"),
    ("FILE", "domain = \"\"", "domain: it is empty"),
    ("FILE", "domain = \"a..b\"", "domain: it has an empty label (one dot too many)"),
    ("FILE", "domain = \"a b\"", "domain: ' ' is not allowed in it"),
    ("FILE", "domain = \"-a.b\"", "domain: a label begins or ends with a hyphen"),
    ("FILE", "domain = \"xn--\u{fc}.b\"", "domain: it is not a valid internationalized name"),
    ("FILE", "domain = \"LABEL.b\"", "domain: it has a label of more than 63 bytes"),
    ("FILE", "domain = \"LABELS\"", "bytes, more than 253"),
    ("=FILE", "selectors = [\"s1\", \"s1\"]", "selectors: \\\"s1\\\" is listed twice"),
    ("=FILE", "selectors = []", "selectors: the list is empty"),
    ("FILE", "users = [MANY]", "users: 2000 entries, more than 1000"),
    (
        "FILE",
        "clients = [\"localhost\"]",
        "clients: \\\"localhost\\\" is not an IP address or a network such as 192.0.2.0/24",
    ),
    (
        "FILE",
        "clients = [\"10.1.0.0/8\"]",
        "clients: \\\"10.1.0.0/8\\\" has bits after its prefix; write 10.0.0.0/8",
    ),
    ("config.toml", "filter_user = \"\"", "filter_user: the name is empty"),
    (
        "config.toml",
        "filter_user = \"root\"",
        "filter_user: must not be root; use the user of the filter's line in master.cf",
    ),
    ("config.toml", "selector = \"s1\"", "key `selector` belongs in a file of domains/"),
    (
        "config.toml",
        "lone_dot = \"x\"",
        "lone_dot: expected \\\"ends\\\" or \\\"text\\\", found \\\"x\\\"",
    ),
    (
        "config.toml",
        "log_destination = \"x\"",
        "log_destination: expected \\\"syslog\\\", \\\"stderr\\\" or \\\"none\\\", found \\\"x\\\"",
    ),
    (
        "config.toml",
        "publish = 1",
        "publish: expected \\\"nsupdate\\\" or a list: a program and its arguments",
    ),
    (
        "config.toml",
        "publish = \"x\"",
        "publish: \\\"x\\\" is not \\\"nsupdate\\\"; write a command as a list, as in [\\\"/path/to/program\\\", \\\"argument\\\"]",
    ),
    (
        "config.toml",
        "publish = [\"x\"]",
        "publish: the list must begin with the absolute path of a program",
    ),
    (
        "config.toml",
        "nsupdate_server = \"[x]\"",
        "nsupdate_server: expected a host name or an address, optionally with a port, found \\\"[x]\\\"",
    ),
    (
        "=config.toml",
        "sendmail = \"sendmail\"",
        "sendmail: \\\"sendmail\\\" is not an absolute path",
    ),
    ("=config.toml", "origin = \"x.test\"", "key `sendmail` is missing"),
    (
        "=default.toml",
        "selector = \"s1\"\nidentity = \"a@b.c\"",
        "requires key `domain` in default.toml",
    ),
];

#[test]
#[ignore = "needs root"]
fn what_is_wrong_in_a_file_is_named_with_its_line_and_mail_goes_on() {
    let sandbox = set_up();
    for (file, lines, reason) in LINES {
        let is_whole = file.starts_with('=');
        let place = match file.trim_start_matches('=') {
            "default.toml" => "domains/default.toml".to_owned(),
            other => filled(other),
        };
        let path = format!("/etc/sendmail-dkim/{place}");
        let lines = lines
            .replace("MANY", &"\"x\", ".repeat(2_000))
            .replace("LABELS", &["x".repeat(60).as_str(); 5].join("."))
            .replace("LABEL", &"x".repeat(64));
        let before = fs::read_to_string(sandbox.path(&path)).unwrap_or_default();
        let begin = if is_whole { String::new() } else { before };
        let line = begin.lines().count() + 1;
        sandbox.write(&path, &format!("{begin}{lines}\n"));
        let from = if place.ends_with("default.toml") { "elsewhere.test" } else { DOMAIN };
        let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
        let output = submit(&sandbox, "", &format!("-i {recipient}"), &text(from));
        assert!(output.status.success() && output.stderr.is_empty(), "{reason}: {output:?}");
        // The stand-in for the daemon doubles a backslash.
        let logged = sandbox.logged(mark, "uid=33 ").replace("\\\\", "\\");
        let at = logged.split_once(&format!("{path}: ")).map_or("", |(_, at)| at);
        assert!(at.contains(reason), "{reason}: {logged}");
        assert!(at.starts_with("line ") || reason.contains("is missing"), "{line} {logged}");
        assert!(sandbox.verify(&sandbox.received(&recipient)).all("none"), "{reason}");
        sandbox.root(RESTORE);
    }
}

/// A message that is not signed although nothing is wrong: the arguments, a line for the domain file, the message.
const SKIPPED: &[(&str, &str, &str, &str)] = &[
    ("From is at localhost or a bare host name", "", "", "From: root@localhost\n\nx\n"),
    ("From is at localhost or a bare host name", "", "", "From: root@web1\n\nx\n"),
    ("no domain file", "", "", "From: a@nowhere.test\n\nx\n"),
    ("no From field", "", "", "Resent-To: x@y.test\n\nx\n"),
    ("more than one From field", "", "", "From: a@reasons.test\nFrom: b@reasons.test\n\nx\n"),
    ("no address in From", "", "", "From: undisclosed:;\n\nx\n"),
    ("no domain in From that could have a key", "", "", "From: a@[192.0.2.1]\n\nx\n"),
    ("more than one domain in From", "", "", "From: a@reasons.test, b@other.test\n\nx\n"),
    ("From: an unmatched quote or an unbalanced bracket", "", "", "From: \"a@reasons.test\n\nx\n"),
    (
        "From: an address of a form that Postfix may rewrite",
        "",
        "",
        "From: a\\@b@reasons.test\n\nx\n",
    ),
    (
        "From: a display name that may be taken for an address",
        "",
        "",
        "From: =?utf-8?Q?A, b@other.test?= <a@reasons.test>\n\nx\n",
    ),
    ("From: too long to be sent unchanged", "", "", "From: LONG <a@reasons.test>\n\nx\n"),
    ("From: a vertical tab or a form feed", "", "", "From: a\u{b}b <a@reasons.test>\n\nx\n"),
    ("From: too many addresses", "", "", "From: MANYa@reasons.test\n\nx\n"),
    ("the header has a line that is no field", "", "", "From: a@reasons.test\n\rSubject: x\n\nx\n"),
    ("has a Received field", "", "", "Received: from x\nFrom: a@reasons.test\n\nx\n"),
    ("has a Resent field", "", "", "Resent-From: x@y.test\nFrom: a@reasons.test\n\nx\n"),
    ("given with -G", "-G", "", "From: a@reasons.test\n\nx\n"),
    (
        "already signed for the domain",
        "",
        "",
        "DKIM-Signature: v=1; a=rsa-sha256; d=reasons.test; s=x; h=from; bh=x; b=x\nFrom: a@reasons.test\n\nx\n",
    ),
    (
        "no selector for the address in the domain file",
        "",
        "[[sign]]\nfrom = \"b@reasons.test\"\nselector = \"s1\"",
        "From: a@reasons.test\n\nx\n",
    ),
    (
        "the user may not sign for the domain",
        "",
        "users = [\"alice\"]",
        "From: a@reasons.test\n\nx\n",
    ),
    (
        "the record of the key is gone from DNS",
        "",
        "on_missing_record = \"skip\"",
        "From: a@reasons.test\n\nx\n",
    ),
    ("the header is too large", "", "", "From: a@reasons.test\nX: LARGE\n\nx\n"),
];

/// The same for the user of the content filter.
const SKIPPED_BY_SMTP: &[(&str, &str, &str, &str)] = &[
    (
        "submitted by SMTP, and smtp = true is not set",
        "-G",
        "",
        "Received: from x\nFrom: a@reasons.test\n\nx\n",
    ),
    (
        "the SMTP client may not sign for the domain",
        "-G -O DkimLogin=bob",
        "smtp = true\nlogins = [\"alice\"]",
        "Received: from x\nFrom: a@reasons.test\n\nx\n",
    ),
];

#[test]
#[ignore = "needs root"]
fn a_message_that_is_not_to_be_signed_is_logged_with_the_reason() {
    let sandbox = set_up();
    all_are_skipped(&sandbox, SKIPPED.to_vec());
    let filter = "echo 'filter_user = \"www-data\"' >>/etc/sendmail-dkim/config.toml";
    sandbox.root(filter);
    all_are_skipped(&sandbox, SKIPPED_BY_SMTP.to_vec());
    sandbox.root(filter);
    let message = "Received: by host (Postfix, from userid 33)\nFrom: a@reasons.test\n\nx\n";
    let mark = sandbox.mark();
    let output = submit(&sandbox, "", "-i -G x@sink.test", message);
    let reason = "the message came back to the content filter: set content_filter to nothing in main.cf and for the service pickup in master.cf";
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert_eq!(stderr(&output), format!("sendmail.dkim: fatal: {reason}\n"));
    let logged = sandbox.logged(mark, "uid=33 ");
    assert!(logged.ends_with(&format!("result=refused reason=\"{reason}\"")), "{logged}");
}

fn all_are_skipped(sandbox: &Sandbox, mut rows: Vec<(&str, &str, &str, &str)>) {
    // Refused, so that it is seen that these are no errors.
    sandbox.root("echo 'on_error = \"refuse\"' >>/etc/sendmail-dkim/config.toml");
    // Read only by the row that sets on_missing_record.
    sandbox.write(&format!("/etc/sendmail-dkim/domains/{DOMAIN}.gone"), "# written by watch\ns1\n");
    rows.push(("", "", "", "From: a@reasons.test\n\nx\n"));
    for (reason, argument, line, message) in rows {
        let path = format!("/etc/sendmail-dkim/domains/{DOMAIN}.toml");
        let selectors = if line.starts_with("[[sign]]") { "" } else { "selectors = [\"s1\"]\n" };
        sandbox.write(&path, &format!("{selectors}{line}\n"));
        let message = message
            .replace("MANY", &"b@reasons.test, ".repeat(12_000))
            .replace("LONG", &"x".repeat(1_000))
            .replace("LARGE", &"x".repeat(2_000_000));
        let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
        let output = submit(sandbox, "", &format!("-i {argument} {recipient}"), &message);
        assert!(output.status.success() && output.stderr.is_empty(), "{reason}: {output:?}");
        let logged = sandbox.logged(mark, "uid=33 ");
        let end = if reason.is_empty() {
            "result=signed".to_owned()
        } else {
            format!("result=unsigned reason=\"{reason}\"")
        };
        assert!(logged.ends_with(&end), "{reason}: {logged}");
        let result = if reason.is_empty() { "pass" } else { "none" };
        let received = sandbox.received(&recipient);
        if !message.starts_with("DKIM") {
            assert!(sandbox.verify(&received).all(result), "{reason}");
        }
    }
    sandbox.root("sed -i '/^origin/d' /etc/sendmail-dkim/config.toml");
    let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
    submit(sandbox, "", &format!("-i {recipient}"), "From: root\n\nx\n");
    let reason = "no domain in From that could have a key";
    assert!(sandbox.logged(mark, "uid=33 ").ends_with(&format!("reason=\"{reason}\"")));
    sandbox.root("cp /opt/kept/config.toml /etc/sendmail-dkim");
}

#[test]
#[ignore = "needs root"]
fn a_signed_message_that_a_hop_may_have_to_change_is_logged_as_such() {
    let sandbox = set_up();
    let (long, signature) =
        ("x".repeat(1_500), "--b\nContent-Type: application/pgp-signature\n\nx\n");
    let may = "a signed or encrypted part may be altered in transit";
    let will = "a line of more than 998 bytes will be broken in transit, and the signature with it";
    for (kind, body, reason) in [
        ("multipart/signed; boundary=b", format!("--b\n\ngr\u{fc}n\n{signature}--b--\n"), may),
        // Postfix breaks what another program has signed, so that is encoded.
        ("multipart/signed; boundary=b", format!("--b\n\n{long}\n{signature}--b--\n"), ""),
        ("multipart/encrypted; boundary=b", format!("--b\n\n{long}\n--b--\n"), ""),
        ("application/pkcs7-mime", format!("{long}\n"), ""),
        ("text/plain", format!("-----BEGIN PGP SIGNED MESSAGE-----\n\n{long}\n"), ""),
        (
            "text/plain\nDKIM-Signature: v=1; a=rsa-sha256; d=other.test; s=x; h=from; bh=eA==; b=eA==",
            format!("{long}\n"),
            "",
        ),
        // Here nothing can be encoded.
        ("multipart/mixed; boundary=b", format!("{long}\n--b\n\nx\n--b--\n"), will),
        ("multipart/mixed; boundary=b", format!("--b{}\n\nx\n--b--\n", " ".repeat(5_000)), will),
        ("multipart/mixed; boundary=b", format!("--b\nX: {long}\n\nx\n--b--\n"), will),
        ("multipart/signed", format!("{long}\n"), will),
        (
            "text/plain\nDKIM-Signature: v=1; a=rsa-sha256; d=other.test; s=x; h=from; bh=eA==; b=eA==; l=5",
            format!("{long}\n"),
            will,
        ),
        ("text/plain\nContent-Transfer-Encoding: x-uuencode", format!("{long}\n"), will),
    ] {
        let message =
            format!("From: a@{DOMAIN}\nMIME-Version: 1.0\nContent-Type: {kind}\n\n{body}");
        let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
        submit(&sandbox, "", &format!("-i {recipient}"), &message);
        let line = sandbox.logged(mark, "uid=33 ");
        let reason = if reason.is_empty() { "" } else { &format!(" reason=\"{reason}\"") };
        assert!(line.ends_with(&format!("result=signed{reason}")), "{kind}: {line}");
        let received = sandbox.received(&recipient);
        if kind.contains("other.test") {
            // Of two signatures that one fails in any case.
            let result = if reason.is_empty() { "pass" } else { "fail" };
            let verdicts = sandbox.verify(&received);
            for verifier in ["dkimpy", "maildkim", "opendkim"] {
                assert!(verdicts.of(verifier, "s1").starts_with(result), "{kind}: {verdicts}");
            }
        } else if reason.contains("will") {
            assert!(sandbox.verify(&received).all("fail"), "{kind}");
        } else {
            sandbox.assert_signed(&received, DOMAIN, "s1");
        }
    }
}
