//! The right of the content filter: no other user has it, and the filter itself signs for no client that has no right.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::right::FORMS;
use super::signer::Hostile;
use super::{DOMAIN, FORBIDDEN, OWN, message, observed_apart, sandbox, user};
use crate::filter;
use crate::support::{Attacks, Received, Sandbox, User, feed, logged, signing_domains};

/// Tests with the filter's user: a line of the log is known by its uid.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The user that config.toml names, in `set_up`.
const FILTER: &str = "sendmail-dkim";

/// The filter's user, whose group is not that of the keys.
fn filter(sandbox: &Sandbox) -> User {
    let uid = sandbox.root(&format!("id -u {FILTER}"));
    // `apart` becomes it in the script.
    User { name: "root".to_owned(), uid: uid.trim().parse().unwrap() }
}

const BECOME: &str = "exec setpriv --reuid=sendmail-dkim --regid=nogroup --clear-groups";

/// The command line of master.cf, as pipe(8) fills it in.
fn line(login: &str, address: &str, sender: &str) -> String {
    format!("sendmail -G -i -O 'DkimLogin={login}' -O 'DkimClient={address}' -f '{sender}' -- RCPT")
}

/// Alice may sign by SMTP, from one network.
const FILE: &str = "printf 'selectors = [\"s1\"]\\nusers = [\"alice\"]\\nsmtp = true\\nlogins = [\"alice\"]\\nclients = [\"192.0.2.0/24\"]\\n' \
     >domains/forbidden.test.toml";

const GATEWAY: &str = "given with -G";
const NOT_A_USER: &str = "the user may not sign for the domain";
const NOT_A_CLIENT: &str = "the SMTP client may not sign for the domain";

#[test]
#[ignore = "needs root"]
fn no_other_user_has_the_right_of_the_filter() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let sandbox = sandbox();
    let attacks = Attacks::of(no_other_user_has_the_right_of_the_filter);
    let mallory = user();
    let from = format!("alice@{FORBIDDEN}");
    let full = line("alice", "192.0.2.1", &from);
    let with_received = [b"Received: from x by y; today\n".as_slice(), &message(&from)].concat();
    let plain = message(&from);
    let names = "USER=sendmail-dkim LOGNAME=sendmail-dkim USERNAME=sendmail-dkim NAME=sendmail-dkim SASL_USERNAME=alice CLIENT_ADDRESS=192.0.2.1";
    for (what, script, input, wanted) in [
        ("the filter's own command line", format!("exec {full}"), &plain, GATEWAY),
        ("the same with a Received field", format!("exec {full}"), &with_received, GATEWAY),
        ("the filter's name in the environment", format!("{names} exec {full}"), &plain, GATEWAY),
        (
            "the filter's name as that of the program",
            format!("exec bash -c 'exec -a sendmail-dkim {}'", full.replace('\'', "")),
            &plain,
            GATEWAY,
        ),
        (
            "the group of the filter's user",
            format!("exec setpriv --regid=$(id -g) --keep-groups {full}"),
            &plain,
            GATEWAY,
        ),
        ("without -G", format!("exec {}", full.replace("-G ", "")), &plain, NOT_A_USER),
        (
            "the arguments in one word each",
            format!("exec sendmail -G -ODkimLogin=alice -ODkimClient=192.0.2.1 -i -f {from} RCPT"),
            &plain,
            GATEWAY,
        ),
    ] {
        let observed = observed_apart(sandbox, &mallory, FILE, &script, input);
        assert_eq!(observed.signed_by(), None, "{what}: {observed:?}");
        assert_eq!(observed.reason(), wanted, "{what}");
        attacks.row(what, &observed.outcome());
    }
    // In a user namespace anyone has any uid, and no group that counts outside.
    let filter = filter(sandbox);
    let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
    let script = format!(
        "unshare -U --map-user={} {}",
        filter.uid,
        full.replace("sendmail ", "/usr/sbin/sendmail.dkim ").replace("RCPT", &recipient)
    );
    let from = format!("u{}@{FORBIDDEN}", mallory.uid);
    // Its postdrop would wait for a group for ever.
    let changes =
        format!("{FILE}; sed -i 's|^sendmail = .*|sendmail = \"/bin/true\"|' config.toml");
    super::apart(sandbox, &mallory, &changes, &script, &message(&from));
    let lines = logged(sandbox, mark, &format!("author=<{from}>"), 1);
    assert!(lines.len() == 1 && lines[0].contains("result=unsigned"), "{lines:?}");
    let (_, line) = lines[0].split_once("]: ").unwrap();
    attacks.row("a user namespace in which he has the filter's uid", line);
}

#[test]
#[ignore = "needs root"]
fn the_filter_signs_for_no_client_without_a_right() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let sandbox = sandbox();
    let attacks = Attacks::of(the_filter_signs_for_no_client_without_a_right);
    let filter = filter(sandbox);
    let from = format!("alice@{FORBIDDEN}");
    let observe = |line: &str, from: &str, header: &str| {
        let received = "Received: from x (x [192.0.2.1])\n\tby host (Postfix) with ESMTPSA id 1\n";
        let text = [received.as_bytes(), header.as_bytes(), &message(from)].concat();
        observed_apart(sandbox, &filter, FILE, &format!("{BECOME} {line}"), &text)
    };
    let observed = observe(&line("alice", "192.0.2.1", &from), &from, "");
    assert_eq!(observed.signed_by().as_deref(), Some(FORBIDDEN), "{observed:?}");
    assert!(
        observed.logged[0].contains(" client=192.0.2.1 login=<alice> envelope="),
        "{observed:?}"
    );
    attacks.row("alice from her network, which is her right", &observed.outcome());
    let forged = "Received: from x (x [192.0.2.1])\n\t(Authenticated sender: alice)\n\tby host; today\nX-SASL-Username: alice\n";
    for (what, line, header) in [
        ("another login", line("bob", "192.0.2.1", &from), ""),
        ("no login", line("", "192.0.2.1", &from), ""),
        ("another network", line("alice", "203.0.113.1", &from), ""),
        ("an address that Postfix does not know", line("alice", "unknown", &from), ""),
        ("alice as the envelope sender", line("", "192.0.2.1", "DkimLogin=alice"), ""),
        (
            "options of the filter as the envelope sender",
            line("", "192.0.2.1", "-ODkimLogin=alice"),
            "",
        ),
        ("-O as the envelope sender", line("", "192.0.2.1", "-O"), ""),
        ("a login of several words", line("bob -O DkimLogin=alice", "192.0.2.1", &from), ""),
        ("a login of several lines", line("alice\nbob", "192.0.2.1", &from), ""),
        ("alice in upper case", line("ALICE", "192.0.2.1", &from), ""),
        ("forged fields that name alice", line("", "192.0.2.1", &from), forged),
        ("a command line that reports no client", format!("sendmail -G -i -f {from} -- RCPT"), ""),
    ] {
        let observed = observe(&line, &from, header);
        assert_eq!(observed.signed_by(), None, "{what}: {observed:?}");
        assert_eq!(observed.reason(), NOT_A_CLIENT, "{what}");
        attacks.row(what, &observed.outcome());
    }
    // Without From, the sender is no author: nothing says that it is one.
    let text = "Received: from x by host (Postfix) with ESMTPSA id 1\nSubject: x\n\nx\n";
    let script = format!("{BECOME} {}", line("alice", "192.0.2.1", &from));
    let unnamed = observed_apart(sandbox, &filter, FILE, &script, text.as_bytes());
    assert_eq!(unnamed.signed_by(), None, "{unnamed:?}");
    attacks.row("her envelope sender, and no From", &unnamed.outcome());
    // Alice's right is of one domain, and of mail by SMTP.
    let elsewhere = observe(&line("alice", "192.0.2.1", "a@x.test"), &format!("a@{DOMAIN}"), "");
    assert_eq!(elsewhere.signed_by(), None, "{elsewhere:?}");
    assert_eq!(elsewhere.reason(), "submitted by SMTP, and smtp = true is not set");
    attacks.row("a domain that has no smtp = true", &elsewhere.outcome());
    let local = observe(&format!("sendmail -i -f {from} -- RCPT"), &from, "");
    assert_eq!(local.signed_by(), None, "{local:?}");
    attacks.row("without -G it is a user like any other", &local.outcome());
}

#[test]
#[ignore = "needs root"]
fn an_attacker_in_the_filter_gets_only_the_signatures_of_its_client() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let sandbox = sandbox();
    let attacks = Attacks::of(an_attacker_in_the_filter_gets_only_the_signatures_of_its_client);
    let file = |name: &str, text: &str| {
        let text = format!("selectors = [\"s1\"]\nsmtp = true\n{text}\n");
        sandbox.write(&format!("/etc/sendmail-dkim/domains/{name}.toml"), &text);
    };
    for domain in ["smtp-alice.test", "smtp-any.test"] {
        sandbox.key(domain, "s1");
    }
    file("smtp-alice.test", "logins = [\"alice\"]");
    file("smtp-any.test", "");
    let script = format!("echo $$; {BECOME} {}", line("bob", "192.0.2.1", "x@y.test"));
    let mut hostile =
        Hostile::of_script(sandbox, "root", &script.replace("RCPT", "x@sink.test"), false);
    let mut said = |domain: &str| hostile.said(domain, "s1").map(|_| "a signature".to_owned());
    assert_eq!(said("smtp-any.test"), Ok("a signature".to_owned()));
    for (what, domain, wanted) in [
        ("of a domain that another login may sign for", "smtp-alice.test", NOT_A_USER),
        ("of a domain that has no smtp = true", DOMAIN, NOT_A_USER),
    ] {
        let refused = said(domain).unwrap_err();
        assert_eq!(refused, wanted, "{what}");
        attacks.row(&format!("ask for a signature {what}"), &refused);
    }
}

/// A host whose port 25 hands the mail of this host to the filter, and whose port 587 that of clients that authenticate.
/// `forbidden.test` is for the login alice, `own.test` for every client in the table.
fn with_ports() -> &'static Sandbox {
    static HOST: OnceLock<Sandbox> = OnceLock::new();
    HOST.get_or_init(|| {
        let sandbox = filter::host_on("tests/it/sandbox/layer.sh smtp");
        for (domain, line) in [(FORBIDDEN, "logins = [\"alice\"]"), (OWN, "clients = [\"127.0.0.1\"]")] {
            sandbox.key(domain, "s1");
            sandbox.root(&format!("echo '{line}' >>/etc/sendmail-dkim/domains/{domain}.toml"));
        }
        sandbox.root(
            "dovecot >/dev/null 2>&1 </dev/null
            postconf -e smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth smtpd_tls_cert_file=/etc/postfix/tls.crt \
                smtpd_tls_key_file=/etc/postfix/tls.key
            postconf -M 'submission/inet=submission inet n - n - - smtpd -o smtpd_tls_security_level=encrypt \
                -o smtpd_sasl_auth_enable=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject'
            dkimctl setup --smtp --yes; sleep 1",
        );
        sandbox
    })
}

/// Submits by SMTP as a login, or without one: what arrives, or nothing if it is refused.
fn by_smtp(
    sandbox: &Sandbox,
    login: &str,
    variables: &[(&str, &str)],
    sender: &str,
    recipient: &str,
    text: &[u8],
) -> Option<Received> {
    let port = if login.is_empty() { "25" } else { "587" };
    let login = (!login.is_empty()).then(|| format!("LOGIN={login}:secret"));
    let variables = variables.iter().map(|(name, value)| format!("{name}={value}"));
    let mut command = filter::client(sandbox, login.into_iter().chain(variables));
    let output = feed(command.args([port, sender, "", recipient]), text);
    output
        .status
        .success()
        .then(|| sandbox.received(&recipient.split('>').next().unwrap().to_lowercase()))
}

fn outcome(arrived: Option<&Received>) -> String {
    let Some(arrived) = arrived else { return "refused".to_owned() };
    let domains = signing_domains(arrived);
    if domains.is_empty() { "unsigned".to_owned() } else { format!("d={}", domains.join(",")) }
}

#[test]
#[ignore = "needs root"]
fn no_form_of_from_gets_a_signature_by_smtp_that_the_client_has_no_right_to() {
    let sandbox = with_ports();
    let attacks =
        Attacks::of(no_form_of_from_gets_a_signature_by_smtp_that_the_client_has_no_right_to);
    let logins = ["", "bob", "alice"];
    let shots: Vec<(usize, &str)> =
        (0..FORMS.len()).flat_map(|form| logins.map(|login| (form, login))).collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(&(form, login)) = shots.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (to, text) = (sandbox.recipient(), FORMS[form]);
                    let is_first = text.starts_with("From ") || text.starts_with(' ');
                    let parts =
                        if is_first { [text, "To: x@y.test"] } else { ["To: x@y.test", text] };
                    let text = format!("{}\n{}\nSubject: x\n\nx\n", parts[0], parts[1]);
                    let sender = format!("alice@{FORBIDDEN}");
                    let arrived = by_smtp(sandbox, login, &[], &sender, &to, text.as_bytes());
                    results.lock().unwrap().push((form, login, arrived));
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let of = |form: usize, login: &str| {
        let found = results.iter().find(|(f, l, _)| (*f, *l) == (form, login)).unwrap();
        outcome(found.2.as_ref())
    };
    let mut alices = 0;
    for (form, text) in FORMS.iter().enumerate() {
        let [none, bob, alice] = logins.map(|login| of(form, login));
        for outcome in [&none, &bob] {
            assert!(!outcome.contains(FORBIDDEN), "{text:?}: {outcome}");
        }
        alices += usize::from(alice == format!("d={FORBIDDEN}"));
        let shown: String = text.escape_debug().take(110).collect();
        attacks.row(&shown, &format!("no login: {none}; bob: {bob}; alice: {alice}"));
    }
    assert!(alices > 20, "these forms are about nothing: {alices}");
    let arrived = results.iter().filter_map(|(_, _, arrived)| arrived.as_ref());
    let signed = arrived.filter(|mail| !signing_domains(mail).is_empty());
    let paths: Vec<&str> = signed.map(Received::path).collect();
    assert_eq!(sandbox.failures_in(&paths), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn no_client_forges_the_login_of_another_by_smtp() {
    let sandbox = with_ports();
    let attacks = Attacks::of(no_client_forges_the_login_of_another_by_smtp);
    let from = format!("alice@{FORBIDDEN}");
    let received = "Received: from x (x [127.0.0.1])\n\t(Authenticated sender: alice)\n\tby host.example.test (Postfix) with ESMTPSA id 1\n\tfor <x@y>; Sun, 29 Nov 2026 12:00:00 +0000 (UTC)\n";
    let by_web = "Received: from x ([127.0.0.1])\n\tby host.example.test with HTTP; Sun, 29 Nov 2026 12:00:00 +0000\n";
    let login = "X-SASL-Username: alice\nX-Authenticated-User: alice\nAuthentication-Results: host.example.test; auth=pass smtp.auth=alice\n";
    let mut count = 0;
    for who in ["", "bob"] {
        for (what, header, variables, sender, to) in [
            ("a forged Received field with the login", received, None, from.as_str(), ""),
            ("a forged Received field of a web program", by_web, None, &from, ""),
            ("forged fields with the login", login, None, &from, ""),
            ("AUTH=alice of MAIL FROM", "", None, &format!("{from}> AUTH=<alice"), ""),
            ("options of the filter as sender", "", None, "-ODkimLogin=alice", ""),
            ("the same, quoted", "", None, "\"-O DkimLogin=alice\"@y.test", ""),
            ("the same as recipient", "", None, &from, "-ODkimLogin=alice."),
            (
                "ORCPT with options of the filter",
                "",
                None,
                &from,
                "> ORCPT=rfc822;-ODkimLogin=alice",
            ),
            ("XCLIENT", "", Some("XCLIENT LOGIN=alice ADDR=127.0.0.1"), &from, ""),
            ("XFORWARD", "", Some("XFORWARD ADDR=127.0.0.1 SOURCE=LOCAL"), &from, ""),
            ("the login as the name of the client", "", Some("EHLO alice"), &from, ""),
        ] {
            let plain = sandbox.recipient();
            let to =
                if to.starts_with('>') { format!("{plain}{to}") } else { format!("{to}{plain}") };
            let text = [header.as_bytes(), &message(&from)].concat();
            let variables: Vec<(&str, &str)> =
                variables.into_iter().map(|command| ("COMMAND", command)).collect();
            let arrived = by_smtp(sandbox, who, &variables, sender, &to, &text);
            let outcome = outcome(arrived.as_ref());
            assert!(!outcome.contains("d="), "{what}: {outcome}");
            count += usize::from(outcome == "unsigned");
            let name = if who.is_empty() { "no login" } else { who };
            attacks.row(&format!("{what}, {name}"), &outcome);
        }
        // Alice herself, with a forged field that names another one.
        let header = received.replace("alice", "bob");
        let text = [header.as_bytes(), &message(&from)].concat();
        let arrived = by_smtp(sandbox, "alice", &[], &from, &sandbox.recipient(), &text);
        assert_eq!(outcome(arrived.as_ref()), format!("d={FORBIDDEN}"));
    }
    assert!(count > 12, "all but {count} are refused");
}
