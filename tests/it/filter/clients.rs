//! Programs that submit mail by SMTP, as in life: to port 25 from this host, and to port 587 by TLS with a login.

use super::{host_on, message};
use crate::support::{Received, Sandbox, feed, signing_domains};

/// What lends the clients.
const BASE: &str = "tests/it/filter/base.sh";

/// Anyone on this host may have mail of it signed, and the domain of `ALICES` that alice sends after she has authenticated.
const DOMAIN: &str = "clients.test";
const ALICES: &str = "alices.test";

/// A program that submits standard input, or mail of its own, From `$FROM` to `$TO`: by port 25, and by port 587 as `$WHO`.
const CLIENTS: [(&str, &str, &str); 6] = [
    (
        "Python's smtplib",
        "python3 /opt/send.py 25 $FROM '' $TO",
        "LOGIN=$WHO:secret python3 /opt/send.py 587 $FROM '' $TO",
    ),
    (
        "swaks",
        "swaks --server 127.0.0.1 --port 25 --from $FROM --to $TO --header \"From: $FROM\" --body /dev/stdin --pipeline",
        "swaks --server 127.0.0.1 --port 587 -tls -a PLAIN -au $WHO -ap secret --from $FROM --to $TO --header \"From: $FROM\" --body /dev/stdin",
    ),
    (
        "msmtp",
        "msmtp --host=127.0.0.1 --port=25 --from=$FROM -- $TO",
        "msmtp --host=127.0.0.1 --port=587 --tls=on --tls-certcheck=off --auth=plain --user=$WHO --passwordeval='echo secret' --from=$FROM -- $TO",
    ),
    (
        "s-nail",
        "s-nail -:/ -Sv15-compat -Smta=smtp://127.0.0.1:25 -Ssmtp-auth=none -Sfrom=$FROM -s Grüße $TO",
        "s-nail -:/ -Sv15-compat -Smta=submission://$WHO:secret@127.0.0.1:587 -Ssmtp-auth=plain -Ssmtp-use-starttls -Stls-verify=ignore -Sfrom=$FROM -s Grüße $TO",
    ),
    ("PHPMailer", "php /opt/mail.php 25", "php /opt/mail.php 587"),
    ("nodemailer", "node /opt/mail.js 25", "node /opt/mail.js 587"),
];

const PHP: &str = r"<?php
require 'libphp-phpmailer/autoload.php';
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = '127.0.0.1';
$mail->Port = (int) $argv[1];
$mail->SMTPAutoTLS = $mail->SMTPAuth = $mail->Port === 587;
$mail->SMTPOptions = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]];
$mail->Username = getenv('WHO');
$mail->Password = 'secret';
$mail->CharSet = 'utf-8';
$mail->setFrom(getenv('FROM'), 'Jürgen Grün');
$mail->addAddress(getenv('TO'));
$mail->Subject = 'Grüße aus Köln';
$mail->isHTML();
$mail->Body = '<p>Übung macht den Meister.</p>';
$mail->AltBody = 'Übung macht den Meister.';
$mail->send();
";

const NODE: &str = r"
const port = Number(process.argv[2]);
const login = port === 587 ? { requireTLS: true, tls: { rejectUnauthorized: false }, auth: { user: process.env.WHO, pass: 'secret' } } : { ignoreTLS: true };
const transport = require('nodemailer').createTransport({ host: '127.0.0.1', port, ...login });
transport.sendMail({ from: { name: 'Jürgen Grün', address: process.env.FROM }, to: process.env.TO, subject: 'Grüße aus Köln',
  text: 'Übung macht den Meister.\n.\nEnde\n' }).catch((error) => { console.error(error); process.exitCode = 1; });
";

fn sandbox() -> Sandbox {
    let sandbox = host_on(BASE);
    sandbox.write("/opt/send.py", include_str!("send.py"));
    sandbox.write("/opt/mail.php", PHP);
    sandbox.write("/opt/mail.js", NODE);
    for domain in [DOMAIN, ALICES] {
        sandbox.key(domain, "s1");
    }
    sandbox.root(&format!(
        "dovecot >/dev/null 2>&1 </dev/null
        echo 'logins = [\"alice\"]' >>/etc/sendmail-dkim/domains/{ALICES}.toml
        postconf -e smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth smtpd_tls_cert_file=/etc/postfix/tls.crt \
            smtpd_tls_key_file=/etc/postfix/tls.key
        postconf -M 'submission/inet=submission inet n - n - - smtpd -o smtpd_tls_security_level=encrypt \
            -o smtpd_sasl_auth_enable=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject'
        postconf -X dkim_destination_recipient_limit; postconf -MX dkim/unix
        dkimctl setup --smtp --yes; sleep 1"
    ));
    sandbox
}

/// What becomes of mail that a client sends.
fn sent(sandbox: &Sandbox, script: &str, from: &str, who: &str, to: &str) -> Received {
    let script = format!("export FROM={from} WHO={who} TO={to}; {script}");
    let output =
        feed(sandbox.command("alice", "timeout").args(["60", "sh", "-c", &script]), &message(from));
    assert!(output.status.success(), "{script}: {output:?}");
    sandbox.received(to)
}

#[test]
#[ignore = "needs root"]
fn mail_of_every_client_is_signed_by_port_25_and_by_port_587_with_a_login() {
    let sandbox = sandbox();
    let from = format!("a@{DOMAIN}");
    for (name, plain, login) in CLIENTS {
        for (script, to) in [
            (plain, sandbox.recipient()),
            (plain, sandbox.recipient_7bit()),
            (login, sandbox.recipient()),
            (login, sandbox.recipient_7bit()),
        ] {
            let arrived = sent(&sandbox, script, &from, "alice", &to);
            assert_eq!(signing_domains(&arrived), [DOMAIN], "{name}: {script}");
            sandbox.assert_signed(&arrived, DOMAIN, "s1");
        }
        // The domain that is alice's alone.
        let from = format!("a@{ALICES}");
        for (script, who, signed) in
            [(login, "alice", true), (login, "bob", false), (plain, "alice", false)]
        {
            let mark = sandbox.mark();
            let arrived = sent(&sandbox, script, &from, who, &sandbox.recipient());
            assert_eq!(
                signing_domains(&arrived).len(),
                usize::from(signed),
                "{name}: {who}: {script}"
            );
            let line = sandbox.logged(mark, &format!("author=<{from}>"));
            assert_eq!(line.contains(&format!(" login=<{who}>")), script == login, "{line}");
            assert!(signed || line.contains("the SMTP client may not sign"), "{line}");
        }
    }
}
