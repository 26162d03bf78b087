//! Messages at the limits of what Postfix accepts twice.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{DIRECT, DOMAIN, FILTERED, host, message, send, submit};
use crate::support::{Sandbox, signing_domains};

/// The status that Postfix logs of a recipient in the end.
fn status(sandbox: &Sandbox, recipient: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let log = fs::read(sandbox.path("/var/log/postfix.log")).unwrap();
        let log = String::from_utf8_lossy(&log).into_owned();
        let mut lines = log.lines().filter(|line| {
            line.contains(&format!("to=<{recipient}>")) && !line.contains("relay=dkim, ")
                || line.contains("status=deferred")
        });
        let found = lines.find_map(|line| line.split_once("status="));
        if let Some((_, status)) = found {
            return status.split(' ').next().unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "{recipient}: {log}");
        sleep(Duration::from_millis(50));
    }
}

/// A message of about that size, in lines of 72 bytes.
fn of_size(from: &str, size: usize) -> Vec<u8> {
    let mut text = message(from);
    let line = [vec![b'x'; 70], b"\r\n".to_vec()].concat();
    while text.len() < size {
        text.extend_from_slice(&line[72_usize.saturating_sub(size - text.len())..]);
    }
    text
}

/// Postfix counts the records of its queue file, so no size is known to fit before it is tried.
#[test]
#[ignore = "needs root"]
fn a_message_that_fits_unsigned_and_not_signed_is_delivered_unsigned() {
    let sandbox = host("bookworm");
    sandbox.root("postconf -e message_size_limit=100000; dkimctl setup --smtp --yes >/dev/null; postfix reload 2>&1; sleep 1");
    let (mut signed, mut unsigned, mut refused) = (0, 0, 0);
    for size in (94_000..100_500).step_by(250) {
        for from in [format!("size@{DOMAIN}"), "size@other.test".to_owned()] {
            let to = sandbox.recipient();
            let text = of_size(&from, size);
            if !submit(&sandbox, FILTERED, &from, "", &[&to], &text).status.success() {
                // It is Postfix that refuses it, and it refuses the same where there is no filter.
                assert!(!submit(&sandbox, DIRECT, &from, "", &[&to], &text).status.success());
                refused += 1;
                continue;
            }
            assert_eq!(status(&sandbox, &to), "sent", "{size} {from}");
            let arrived = sandbox.received(&to);
            if signing_domains(&arrived).is_empty() {
                unsigned += usize::from(from.contains(DOMAIN));
            } else {
                sandbox.assert_signed(&arrived, DOMAIN, "s1");
                signed += 1;
            }
        }
    }
    assert!(signed > 3 && unsigned > 3 && refused > 3, "{signed} {unsigned} {refused}");
    let log = fs::read_to_string(sandbox.path("/out/syslog")).unwrap();
    assert!(log.contains("signed, it would be larger than message_size_limit"), "{log}");
}

/// A client that writes its header itself, without SMTPUTF8, to a next hop that lacks it.
#[test]
#[ignore = "needs root"]
fn an_unsigned_raw_header_needs_smtputf8_after_the_filter_unless_pickup_does_not_check() {
    for suite in ["bookworm", "trixie"] {
        let sandbox = host(suite);
        let outcome = |port: u16, domain: &str| {
            let to = sandbox.recipient_7bit();
            send(&sandbox, port, &format!("a@{domain}"), &[&to], &message(&format!("a@{domain}")));
            status(&sandbox, &to)
        };
        assert_eq!(outcome(DIRECT, "other.test"), "sent");
        assert_eq!(outcome(FILTERED, "other.test"), "bounced");
        // Signed mail has no raw text in its header.
        assert_eq!(outcome(FILTERED, DOMAIN), "sent");
        for (setting, undo) in [
            ("postconf -e smtputf8_enable=no", "postconf -e smtputf8_enable=yes"),
            (
                "postconf -P pickup/unix/smtputf8_autodetect_classes=verify",
                "postconf -PX pickup/unix/smtputf8_autodetect_classes",
            ),
        ] {
            sandbox.root(&format!("{setting}; postfix reload 2>&1; sleep 1"));
            for domain in ["other.test", DOMAIN] {
                assert_eq!(outcome(FILTERED, domain), "sent", "{setting}");
            }
            sandbox.root(undo);
        }
    }
}
