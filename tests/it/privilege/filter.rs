//! The right of the content filter: no other user has it, and the filter itself signs for no client that has no right.

use std::sync::{Mutex, PoisonError};

use super::signer::Hostile;
use super::{DOMAIN, FORBIDDEN, message, observed_apart, sandbox, user};
use crate::support::{Attacks, Sandbox, User, logged};

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
fn who_takes_the_place_of_the_filter_gets_the_signatures_of_its_client() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let sandbox = sandbox();
    let attacks = Attacks::of(who_takes_the_place_of_the_filter_gets_the_signatures_of_its_client);
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
