//! What becomes of the parameters of RFC 3461 (delivery status notifications), with the filter and without it.

use std::fmt::Write as _;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{DIRECT, DOMAIN, FILTERED, host, message, submit};
use crate::support::{Received, Sandbox, stderr};

/// What the next hop was asked for: parameters of MAIL and RCPT.
fn asked(sandbox: &Sandbox, message: &Received) -> Vec<String> {
    let envelope = fs::read(sandbox.path(&message.path().replace(".eml", ".json"))).unwrap();
    let envelope: Value = serde_json::from_slice(&envelope).unwrap();
    let words = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    [words(&envelope["mail_parameters"]), words(&envelope["rcpt_to"][0]["parameters"])].concat()
}

/// Notifications for the sender; waits for one, or long enough for none.
fn notifications(sandbox: &Sandbox, sender: &str, is_expected: bool) -> Vec<Received> {
    let deadline = Instant::now() + Duration::from_secs(if is_expected { 30 } else { 3 });
    while sandbox.arrived(sender).is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(100));
    }
    sandbox.arrived(sender)
}

/// What a notification says, in a few words.
fn said(notifications: &[Received]) -> String {
    let [one] = notifications else {
        assert!(notifications.is_empty(), "{notifications:?}");
        return "none".to_owned();
    };
    let text = String::from_utf8_lossy(&one.bytes).to_lowercase();
    let action = text.split("\r\naction: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let part =
        if text.contains("content-type: text/rfc822-headers") { "its header" } else { "all of it" };
    format!("{action}, with {part}")
}

#[test]
#[ignore = "needs root"]
fn what_the_filter_loses_of_delivery_status_notifications_is_what_the_documentation_says() {
    let mut tables = Vec::new();
    for suite in ["bookworm", "trixie"] {
        let sandbox = host(suite);
        let from = format!("a@{DOMAIN}");
        let [direct, filtered] = [DIRECT, FILTERED].map(|port| {
            // What the next hop is asked for.
            let (sender, to) = (sandbox.recipient(), sandbox.recipient());
            let options = "RET=HDRS ENVID=e-1";
            let recipient = format!("{to}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o@y.test");
            let output = submit(&sandbox, port, &sender, options, &[&recipient], &message(&from));
            assert!(output.status.success(), "{}", stderr(&output));
            let asked = asked(&sandbox, &sandbox.received(&to));
            let has = |word: &str| asked.iter().any(|other| other == word);
            let mut seen: Vec<String> =
                ["RET=HDRS", "ENVID=e-1", "NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;o@y.test"]
                    .map(|word| if has(word) { "passed on" } else { "lost" }.to_owned())
                    .into();
            seen.push(said(&notifications(&sandbox, &sender, port == FILTERED)));
            // A recipient that bounces: the next hop lacks SMTPUTF8.
            for parameters in ["NOTIFY=NEVER", "NOTIFY=FAILURE", ""] {
                let sender = sandbox.recipient();
                let to = format!("gr\u{fc}n@7bit.test> {parameters}");
                let output =
                    submit(&sandbox, port, &sender, "SMTPUTF8 RET=HDRS", &[&to], &message(&from));
                assert!(output.status.success(), "{}", stderr(&output));
                let is_expected = port == FILTERED || parameters != "NOTIFY=NEVER";
                seen.push(said(&notifications(&sandbox, &sender, is_expected)));
            }
            seen
        });
        let what = [
            "`RET=HDRS`",
            "`ENVID=`",
            "`NOTIFY=SUCCESS,FAILURE`",
            "`ORCPT=`",
            "notification for `NOTIFY=SUCCESS` by this host, where the next hop has DSN",
            "notification of a bounce, `RET=HDRS NOTIFY=NEVER`",
            "notification of a bounce, `RET=HDRS NOTIFY=FAILURE`",
            "notification of a bounce, `RET=HDRS`",
        ];
        let mut table = "| | without the filter | through the filter |\n|---|---|---|\n".to_owned();
        for ((what, direct), filtered) in what.into_iter().zip(direct).zip(filtered) {
            writeln!(table, "| {what} | {direct} | {filtered} |").unwrap();
        }
        tables.push(table);
    }
    assert_eq!(tables[0], tables[1], "Postfix 3.7 and 3.10");
    super::in_docs("dsn", &tables[0]);
}
