//! The wrapper itself is wrong: a panic is planted in a copy of its source, in each stage of the pure part.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::{Plant, Sandbox, Stage, copy_program, feed, panicking, stderr};

/// Each stage that a message goes through, in their order.
const STAGES: [Plant; 13] = [
    Plant { name: "reader", file: "message/reader.rs", function: &["pub fn feed("] },
    Plant { name: "fields", file: "message/complete.rs", function: &["pub fn fields("] },
    Plant { name: "author", file: "message/author.rs", function: &["pub fn of("] },
    Plant {
        name: "domain file",
        file: "config.rs",
        function: &["impl DomainFile {", "pub fn parse("],
    },
    Plant { name: "decide", file: "policy.rs", function: &["pub fn decide("] },
    Plant { name: "complete", file: "message/complete.rs", function: &["pub fn complete("] },
    Plant { name: "survey", file: "message/seven_bit.rs", function: &["pub fn expects_change("] },
    Plant {
        name: "rewrite",
        file: "message/seven_bit.rs",
        function: &["impl<'a> Rewrite<'a> {", "pub fn feed("],
    },
    Plant { name: "hash", file: "dkim/hash.rs", function: &["pub fn update("] },
    Plant { name: "draft", file: "dkim/sign.rs", function: &["impl Draft {", "pub fn new("] },
    Plant { name: "request", file: "wrapper/protocol.rs", function: &["pub fn to_bytes("] },
    Plant { name: "sign", file: "dkim/sign.rs", function: &["impl HashInput {", "pub fn sign("] },
    Plant { name: "finish", file: "dkim/sign.rs", function: &["impl Draft {", "pub fn finish("] },
];

/// What is outside of it: nothing has been read yet.
const BEFORE: [Plant; 2] = [
    Plant { name: "argv", file: "argv.rs", function: &["impl Mode {", "pub fn parse("] },
    Plant { name: "config.toml", file: "config.rs", function: &["impl Host {", "pub fn parse("] },
];

fn reason(plant: &Plant) -> String {
    format!("internal error at src/{}:", plant.file)
}

/// From this stage on the domain file is known.
const FIRST_WITH_PLAN: &str = "survey";

fn program() -> PathBuf {
    panicking(&[STAGES.as_slice(), BEFORE.as_slice()].concat())
}

fn submit(stage: &Stage, program: &PathBuf, plant: &str, message: &[u8]) -> Output {
    let mut command = Command::new(program);
    command.arg0("sendmail").args(["-i", "b@y.test"]);
    feed(command.env("SENDMAIL_DKIM_ETC", stage.path("etc")).env("PLANT", plant), message)
}

/// A small message, and one that is kept in a file; both are to be encoded.
fn messages() -> [Vec<u8>; 2] {
    [1, 200_000].map(|lines| {
        let body = "gr\u{fc}n\r\n".repeat(lines);
        format!("From: a@sample.com\r\nSubject: x\r\n\r\n{body}").into_bytes()
    })
}

#[test]
fn a_panic_at_any_stage_sends_the_message_as_submitted() {
    let (stage, program) = (Stage::new(), program());
    for message in messages() {
        // The plants are what makes the difference.
        let output = submit(&stage, &program, "none", &message);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(stage.take_captured().unwrap().text().starts_with("DKIM-Signature:"));
        for Plant { name, .. } in STAGES {
            let output = submit(&stage, &program, name, &message);
            assert!(output.status.success(), "{name}: {output:?}");
            assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{name}: {output:?}");
            let captured = stage.take_captured().unwrap_or_else(|| panic!("{name}: mail is lost"));
            assert_eq!(captured.argv, ["sendmail", "-i", "b@y.test"], "{name}");
            assert!(captured.stdin == message, "{name}: {}", captured.stdin.len());
        }
    }
}

#[test]
fn a_panic_at_any_stage_rejects_the_message_if_on_error_is_refuse() {
    let (stage, program) = (Stage::new(), program());
    for in_domain_file in [false, true] {
        let refuse = "on_error = \"refuse\"\n";
        stage.config(if in_domain_file { "" } else { refuse });
        let more = if in_domain_file { refuse } else { "" };
        stage.write("etc/domains/sample.com.toml", &format!("selectors = [\"s1\"]\n{more}"));
        let knows = STAGES.iter().position(|one| one.name == FIRST_WITH_PLAN).unwrap();
        for plant in &STAGES[if in_domain_file { knows } else { 0 }..] {
            let name = plant.name;
            for message in messages() {
                let output = submit(&stage, &program, name, &message);
                assert_eq!(output.status.code(), Some(75), "{name}: {output:?}");
                let said = stderr(&output);
                let wanted =
                    format!("sendmail.dkim: fatal: not signed, so not accepted: {}", reason(plant));
                assert!(said.starts_with(&wanted) && said.lines().count() == 1, "{name}: {said}");
                assert!(stage.take_captured().is_none(), "{name}: it was sent");
            }
        }
    }
}

#[test]
fn a_panic_before_the_message_is_read_is_not_taken_for_success() {
    let (stage, program) = (Stage::new(), program());
    for Plant { name, .. } in BEFORE {
        let output = submit(&stage, &program, name, &messages()[0]);
        assert_eq!(output.status.code(), Some(75), "{name}: {output:?}");
        assert!(stage.take_captured().is_none(), "{name}: it was sent");
    }
}

#[test]
#[ignore = "needs root"]
fn a_panic_is_one_line_in_the_log_also_in_an_smtp_session() {
    let sandbox = Sandbox::own("planted");
    copy_program(program(), sandbox.path("/usr/sbin/sendmail.planted"));
    sandbox.key("planted.test", "s1");
    let text = "From: a@planted.test\r\n\r\ngr\u{fc}n\r\n";
    for (refuse, result) in [(false, "unsigned"), (true, "refused")] {
        if refuse {
            sandbox.root("echo 'on_error = \"refuse\"' >>/etc/sendmail-dkim/config.toml");
        }
        for plant in STAGES {
            for is_session in [false, true] {
                let what = format!("{}, refuse: {refuse}, -bs: {is_session}", plant.name);
                let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
                let planted = format!("PLANT='{}' exec /usr/sbin/sendmail.planted", plant.name);
                let (script, input) = if is_session {
                    let envelope = format!("MAIL FROM:<a@b.test>\r\nRCPT TO:<{recipient}>\r\n");
                    let input = format!("EHLO x\r\n{envelope}DATA\r\n{text}.\r\nQUIT\r\n");
                    (format!("{planted} -bs"), input)
                } else {
                    (format!("{planted} -i {recipient}"), text.to_owned())
                };
                let output = sandbox.sh("root", &script, input.as_bytes());
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let is_reported =
                    if is_session { said.contains("\n451 ") } else { !output.status.success() };
                assert_eq!(is_reported, refuse, "{what}: {output:?}");
                let line = sandbox.logged(mark, &format!("reason=\"{}", reason(&plant)));
                assert!(line.contains(&format!(" result={result} ")), "{what}: {line}");
                let asks = line.contains(", please report it");
                assert!(asks, "{what}: {line}");
                if refuse {
                    assert_eq!(sandbox.count(&recipient), 0, "{what}");
                } else {
                    let received = sandbox.received(&recipient);
                    assert!(sandbox.verify(&received).all("none"), "{what}");
                    assert_eq!(received.split().1.as_bytes(), "gr\u{fc}n\r\n".as_bytes(), "{what}");
                }
            }
        }
    }
}
