//! Programs that submit mail by SMTP, as in production: to port 25 from this host and from neighbors, and to port 587 by TLS with a login.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::setup::NEIGHBORS;
use super::{host_on, untraced};
use crate::support::{Received, Sandbox, feed, project, signing_domains, stderr, stdout};

/// What lends the clients.
const BASE: &str = "tests/it/sandbox/layer.sh smtp";

/// Any client in the table may have mail of it signed, and the domain of `ALICES` that alice sends after she has authenticated.
const DOMAIN: &str = "clients.test";
const ALICES: &str = "alices.test";

/// A program that submits mail From `$FROM` to `$TO`, `$CC` and `$BCC`.
struct Client {
    name: &'static str,
    /// By `$PORT` of `$SERVER`.
    plain: &'static str,
    /// The same by TLS as `$WHO`.
    login: &'static str,
    /// What else it can.
    can: &'static [Ability],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ability {
    /// A recipient beyond ASCII.
    Utf8,
    /// The envelope sender `$SENDER`, which may be empty.
    Sender,
    /// An attachment of `$SIZE` bytes.
    Large,
}

use Ability::{Large, Sender, Utf8};

/// A client whose program finds out by itself whether there is a login.
const fn of(name: &'static str, script: &'static str, can: &'static [Ability]) -> Client {
    Client { name, plain: script, login: script, can }
}

const CLIENTS: [Client; 9] = [
    of("Python's smtplib", "python3 /opt/clients/mail.py", &[Utf8, Sender, Large]),
    Client {
        name: "swaks",
        plain: "sed /^Bcc:/d | swaks --server $SERVER --port $PORT --from $FROM --to $TO${CC:+,$CC,$BCC} --data - --pipeline",
        login: "sed /^Bcc:/d | swaks --server $SERVER --port $PORT -tls -a PLAIN -au $WHO -ap secret --from $FROM \
            --to $TO${CC:+,$CC,$BCC} --data -",
        can: &[],
    },
    Client {
        name: "msmtp",
        plain: "msmtp --host=$SERVER --port=$PORT --from=$FROM -t",
        login: "msmtp --host=$SERVER --port=$PORT --tls=on --tls-certcheck=off --auth=plain --user=$WHO \
            --passwordeval='echo secret' --from=$FROM -t",
        can: &[Utf8],
    },
    Client {
        name: "s-nail",
        plain: "s-nail -:/ -Sv15-compat -Smta=smtp://$SERVER:$PORT -Ssmtp-auth=none -Sfrom=$FROM -s Grüße ${CC:+-c $CC -b $BCC} $TO",
        login: "s-nail -:/ -Sv15-compat -Smta=submission://$WHO:secret@$SERVER:$PORT -Ssmtp-auth=plain -Ssmtp-use-starttls \
            -Stls-verify=ignore -Sfrom=$FROM -s Grüße ${CC:+-c $CC -b $BCC} $TO",
        can: &[],
    },
    of("PHPMailer", "php /opt/clients/phpmailer.php", &[Large]),
    of("Symfony Mailer", "php /opt/clients/symfony.php", &[Large]),
    of("nodemailer", "node /opt/clients/mail.js", &[Utf8, Sender, Large]),
    of("JavaMail", "java -cp /opt/clients:$JAVA Mail", &[Utf8, Sender, Large]),
    Client {
        name: "git send-email",
        plain: "sh /opt/clients/git-send-email.sh",
        login: "sh /opt/clients/git-send-email.sh --smtp-encryption=tls --smtp-user=$WHO --smtp-pass=secret",
        can: &[],
    },
];

const JAVA: &str = "/usr/share/java/javax.mail.jar:/usr/share/java/javax.activation.jar";

/// A port of each network namespace, whose connections go to port 25 and are kept.
const RECORDED: &str = "2599";

/// The host, with neighbors, on which all clients are.
fn sandbox() -> &'static Sandbox {
    static HOST: OnceLock<Sandbox> = OnceLock::new();
    HOST.get_or_init(|| {
        let sandbox = host_on(BASE);
        let folder = project("tests/it/filter/clients");
        let mut copy = Command::new("cp");
        stdout(&copy.arg("-r").arg(folder).arg(sandbox.path("/opt/clients")).output().unwrap());
        sandbox.root(&format!(
            "chmod -R a+rX /opt/clients; ecj -proc:none -11 -cp {JAVA} -d /opt/clients /opt/clients/Mail.java 2>&1"
        ));
        for domain in [DOMAIN, ALICES] {
            sandbox.key(domain, "s1");
        }
        sandbox.root(NEIGHBORS);
        sandbox.root(&format!(
            "dovecot >/dev/null 2>&1 </dev/null
            echo 'logins = [\"alice\"]' >>/etc/sendmail-dkim/domains/{ALICES}.toml
            postconf -e smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth smtpd_tls_cert_file=/etc/postfix/tls.crt \
                smtpd_tls_key_file=/etc/postfix/tls.key message_size_limit=50000000
            postconf -M 'submission/inet=submission inet n - n - - smtpd -o smtpd_tls_security_level=encrypt \
                -o smtpd_sasl_auth_enable=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject'
            postconf -X dkim_destination_recipient_limit; postconf -MX dkim/unix
            dkimctl setup --smtp --yes; sleep 1
            python3 /opt/clients/record.py {RECORDED} 127.0.0.1 /out/recorded </dev/null >/dev/null 2>&1
            ip -n far link set lo up
            ip netns exec far python3 /opt/clients/record.py {RECORDED} 203.0.113.1 /out/recorded.far </dev/null >/dev/null 2>&1"
        ));
        sandbox
    })
}

/// Where a client runs and what it gets: a network namespace, `NAME=VALUE` for its environment.
fn run(sandbox: &Sandbox, namespace: &str, script: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = sandbox.command("root", "env");
    if !namespace.is_empty() {
        command.args(["ip", "netns", "exec", namespace]);
    }
    command.args(["setpriv", "--reuid=alice", "--regid=alice", "--clear-groups", "env"]);
    command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
    command.arg(format!("JAVA={JAVA}")).args(["timeout", "120", "sh", "-c", script]);
    let of =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let field = |name: &str| {
        let value = of(&name.to_uppercase());
        value.map_or(String::new(), |value| format!("{name}: {value}\n"))
    };
    let header = ["From", "To", "Cc", "Bcc"].map(field).concat();
    let text = format!(
        "Date: Sun, 29 Nov 2026 12:00:00 +0000\nMessage-ID: <1@client.test>\n{header}Subject: Gr\u{fc}\u{df}e\n\n\
         Gr\u{fc}\u{df}e\nFrom here on\n.\n..\n"
    );
    feed(&mut command, text.as_bytes())
}

/// The same for what must be accepted.
fn sent(sandbox: &Sandbox, namespace: &str, script: &str, variables: &[(&str, &str)]) {
    let output = run(sandbox, namespace, script, variables);
    assert!(output.status.success(), "{script} {variables:?}: {output:?}");
}

/// The same on this host: to a port of it, with the login of a user or, if that is empty, without one.
fn sent_here(
    sandbox: &Sandbox,
    script: &str,
    (port, who): (&str, &str),
    from: &str,
    recipients: &[(&str, &str)],
) {
    let session = [("SERVER", "127.0.0.1"), ("PORT", port), ("WHO", who), ("FROM", from)];
    sent(sandbox, "", script, &[&session, recipients].concat());
}

#[test]
#[ignore = "needs root"]
fn mail_of_every_client_is_signed_by_port_25_and_by_port_587_with_a_login() {
    let sandbox = sandbox();
    let from = format!("a@{DOMAIN}");
    for client in &CLIENTS {
        let name = client.name;
        for (script, port, who) in [(client.plain, "25", ""), (client.login, "587", "alice")] {
            let [to, cc, bcc] =
                [sandbox.recipient(), sandbox.recipient(), sandbox.recipient_7bit()];
            let recipients = [("TO", to.as_str()), ("CC", &cc), ("BCC", &bcc)];
            sent_here(sandbox, script, (port, who), &from, &recipients);
            for recipient in [&to, &cc, &bcc] {
                let arrived = sandbox.received(recipient);
                assert_eq!(signing_domains(&arrived), [DOMAIN], "{name}: {script}");
                sandbox.assert_signed(&arrived, DOMAIN, "s1");
                assert_eq!(arrived.mail_from, from, "{name}");
                let of_bcc = arrived.recipients.contains(&bcc);
                let all = if of_bcc { vec![&bcc] } else { vec![&to, &cc] };
                // Postfix sorts them by their text, so that 100 comes before 99.
                let found: BTreeSet<&String> = arrived.recipients.iter().collect();
                assert_eq!(arrived.recipients.len(), all.len(), "{name}");
                assert_eq!(found, all.into_iter().collect(), "{name}");
                let (header, _) = arrived.split();
                // Postfix names the only recipient of a message in its own Received field.
                let said = header.replace(&format!("for <{bcc}>"), "");
                assert!(of_bcc || !said.contains(&bcc), "{name}: {header}");
                assert!(!said.to_lowercase().contains("\r\nbcc:"), "{name}: {header}");
            }
        }
        // The domain that is alice's alone.
        let from = format!("a@{ALICES}");
        for (script, port, who, signed) in [
            (client.login, "587", "alice", true),
            (client.login, "587", "bob", false),
            (client.plain, "25", "", false),
        ] {
            let (mark, to) = (sandbox.mark(), sandbox.recipient());
            sent_here(sandbox, script, (port, who), &from, &[("TO", &to)]);
            let arrived = sandbox.received(&to);
            let domains = signing_domains(&arrived);
            assert_eq!(domains.len(), usize::from(signed), "{name}: {who}: {script}");
            let line = sandbox.logged(mark, &format!("author=<{from}>"));
            let login = format!(" login=<{who}>");
            assert_eq!(line.contains(&login), !who.is_empty(), "{line}");
            assert!(signed || line.contains("the SMTP client may not sign"), "{line}");
        }
    }
}

/// What the last client sent by the port that keeps it, as the text of a message.
fn recorded(sandbox: &Sandbox, file: &str) -> Vec<u8> {
    let said = fs::read(sandbox.path(file)).unwrap();
    let find = |text: &[u8], needle: &[u8]| text.windows(needle.len()).position(|it| it == needle);
    let begin = find(&said.to_ascii_uppercase(), b"\r\nDATA\r\n").expect("DATA") + 8;
    let length = find(&said[begin..], b"\r\n.\r\n").expect("the end of mail data") + 2;
    let mut text = b"\r\n".to_vec();
    text.extend_from_slice(&said[begin..begin + length]);
    let mut plain = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        if !(*byte == b'.' && text[..at].ends_with(b"\r\n")) {
            plain.push(*byte);
        }
    }
    plain.split_off(2)
}

#[test]
#[ignore = "needs root"]
fn mail_of_a_client_without_a_right_is_byte_for_byte_what_the_client_sent() {
    let sandbox = sandbox();
    for client in &CLIENTS {
        for (namespace, file, from) in [
            // In the table, and the domain asks for a login.
            ("", "/out/recorded", format!("b@{ALICES}")),
            // Of a domain that is signed for other clients.
            ("far", "/out/recorded.far", format!("b@{DOMAIN}")),
        ] {
            let to = sandbox.recipient();
            let variables =
                [("SERVER", "127.0.0.1"), ("PORT", RECORDED), ("FROM", &from), ("TO", &to)];
            sent(sandbox, namespace, client.plain, &variables);
            let arrived = sandbox.received(&to);
            let (ours, theirs) = (untraced(&arrived), recorded(sandbox, file));
            let shown = String::from_utf8_lossy(&ours).into_owned();
            assert!(
                ours == theirs,
                "{}: {shown}\n{}",
                client.name,
                String::from_utf8_lossy(&theirs)
            );
            assert!(signing_domains(&arrived).is_empty(), "{}", client.name);
        }
    }
}

#[test]
#[ignore = "needs root"]
fn clients_on_other_hosts_are_signed_by_their_address_or_by_their_login() {
    let sandbox = sandbox();
    let from = format!("c@{DOMAIN}");
    for client in &CLIENTS {
        for (namespace, server, port, who, outcome) in [
            ("near", "192.0.2.1", "25", "", "signed"),
            ("near", "192.0.2.1", "587", "bob", "signed"),
            ("far", "203.0.113.1", "25", "", "unsigned"),
            ("far", "203.0.113.1", "587", "bob", "signed"),
        ] {
            let to = sandbox.recipient();
            let script = if who.is_empty() { client.plain } else { client.login };
            let variables =
                [("SERVER", server), ("PORT", port), ("WHO", who), ("FROM", &from), ("TO", &to)];
            sent(sandbox, namespace, script, &variables);
            let arrived = sandbox.received(&to);
            match outcome {
                "signed" => sandbox.assert_signed(&arrived, DOMAIN, "s1"),
                _ => assert!(signing_domains(&arrived).is_empty(), "{} {namespace}", client.name),
            }
        }
        // Who has no login gets nowhere by port 587.
        let variables = [
            ("SERVER", "203.0.113.1"),
            ("PORT", "587"),
            ("WHO", "mallory"),
            ("FROM", &from),
            ("TO", "x@sink.test"),
        ];
        let output = run(sandbox, "far", client.login, &variables);
        assert!(!output.status.success(), "{}: {}", client.name, stderr(&output));
    }
}

#[test]
#[ignore = "needs root"]
fn clients_submit_to_addresses_beyond_ascii_by_no_sender_and_30_megabytes() {
    let sandbox = sandbox();
    let from = format!("d@{DOMAIN}");
    let mut count = 0;
    for client in &CLIENTS {
        for &ability in client.can {
            for (script, port, who) in [(client.plain, "25", ""), (client.login, "587", "alice")] {
                let plain = sandbox.recipient();
                let to = if ability == Utf8 { format!("gr\u{fc}n.{plain}") } else { plain };
                let mut variables = vec![
                    ("SERVER", "127.0.0.1"),
                    ("PORT", port),
                    ("WHO", who),
                    ("FROM", &from),
                    ("TO", &to),
                ];
                match ability {
                    Utf8 => {}
                    Sender => variables.push(("SENDER", "")),
                    Large => variables.push(("SIZE", "22000000")),
                }
                sent(sandbox, "", script, &variables);
                // The sink has the name of the folder in percent encoding.
                let arrived = sandbox.received(&to.replace('\u{fc}', "%C3%BC"));
                sandbox.assert_signed(&arrived, DOMAIN, "s1");
                let (sender, size) = match ability {
                    Sender => ("", 0),
                    Utf8 => (from.as_str(), 0),
                    Large => (from.as_str(), 29_000_000),
                };
                assert_eq!(arrived.mail_from, sender, "{}", client.name);
                assert_eq!(arrived.recipients, [to], "{}", client.name);
                assert!(arrived.bytes.len() > size, "{}: {}", client.name, arrived.bytes.len());
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
#[ignore = "needs root"]
fn pipelined_messages_of_one_session_are_each_signed() {
    let sandbox = sandbox();
    let all: Vec<String> =
        (0..5).flat_map(|_| [sandbox.recipient(), sandbox.recipient_7bit()]).collect();
    let from = format!("e@{DOMAIN}");
    let script = format!("python3 /opt/clients/pipelined.py 25 {from} {}", all.join(" "));
    sent(sandbox, "", &script, &[("FROM", &from), ("TO", "x@y.test")]);
    let arrived: Vec<Received> = all.iter().map(|recipient| sandbox.received(recipient)).collect();
    assert_eq!(sandbox.failures(&arrived), [""; 0]);
    assert!(arrived.iter().all(|one| signing_domains(one) == [DOMAIN] && one.mail_from == from));
}
