use std::fs;

use serde_json::{Value, json};

use crate::support::{Mail, Sandbox, project, stdout};

/// A domain with a key, and one without.
const DOMAINS: [(&str, char); 2] = [("keyed.test", 'k'), ("unkeyed.test", 'u')];

/// The wrapper and the real sendmail, called with the same argv.
const PROGRAMS: [(&str, char); 2] =
    [("/usr/sbin/sendmail.dkim", 'o'), ("/usr/sbin/sendmail.postfix", 't')];

/// A command line of one of the tables.
struct Row {
    user: String,
    input: String,
    is_signed: bool,
    state: Option<String>,
    line: String,
}

fn rows(table: &str) -> Vec<Row> {
    let text = fs::read_to_string(project(table)).unwrap();
    let mut rows = Vec::new();
    let mut with = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("@ ") {
            Some(words) => with = words.split(' ').map(str::to_owned).collect(),
            None => rows.push(Row {
                user: with[0].clone(),
                input: with[1].clone(),
                is_signed: with[2] == "signed",
                state: with.get(3).cloned(),
                line: line.to_owned(),
            }),
        }
    }
    rows
}

/// The message by its name in the table.
fn input(name: &str) -> String {
    let from = "From: Row <row@$D>\n";
    let rest = "Subject: $N\n\ntext\n.\nafter the dot\n..two dots\n";
    let to = format!("{from}To: $A\nCc: \"Copy\" <c.$A>\nBcc: b.$A\n{rest}");
    let received = "Received: from x by y; Tue, 14 Nov 2023 22:13:20 +0000\n";
    match name {
        "plain" => format!("{from}To: user@sink.test\n{rest}"),
        "to" => to,
        "crlf" => to.replace('\n', "\r\n"),
        "group" => format!("{from}To: team: $A, \"x y\" <x.$A>;\n{rest}"),
        "received" => format!("{received}{from}To: $A\n{rest}"),
        // As mutt bounces a message.
        "resent" => format!(
            "Resent-From: www-data\nResent-Date: Tue, 14 Nov 2023 22:13:20 +0000\n\
             Resent-Message-ID: <1@x>\nResent-To: $A\n{received}{from}To: root\n{rest}"
        ),
        // As mutt bounces an attached message.
        "bounced" => format!("Resent-From: www-data\nResent-To: $A\n{from}To: root\n{rest}"),
        "nofrom" => format!("To: user@sink.test\n{rest}"),
        "text" => "text without a header, $N\n.\nafter the dot\n".to_owned(),
        "eight" => format!(
            "{from}To: user@sink.test\nSubject: $N\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße\n"
        ),
        "utf8" => format!("{from}Subject: $N Grüße\n\nÜ\n"),
        // As formail gives it on: the line of the mbox, and no trace of the way.
        "mbox" => {
            format!("From x@y.test Tue Nov 14 22:13:20 2023\n{received}{from}To: root\n{rest}")
        }
        "mbox-own" => {
            format!("From x@y.test Tue Nov 14 22:13:20 2023\n>From x\n{from}To: root\n{rest}")
        }
        "large" => {
            format!("{from}To: user@sink.test\nSubject: $N\n\n{}", "0123456789\n".repeat(150_000))
        }
        "empty" => String::new(),
        "quiet" => "not to be read\n".to_owned(),
        other => panic!("no such input: {other}"),
    }
}

/// What the runner gets of a row.
fn call(row: &Row, number: usize, program: (&str, char), domain: (&str, char)) -> Value {
    let key = key(number, program.1, domain.1);
    let fill = |text: &str| {
        text.replace("$A", &format!("{key}a@sink.test"))
            .replace("$B", &format!("{key}b@sink.test"))
            .replace("$S", &format!("{key}s@{}", domain.0))
            .replace("$D", domain.0)
            .replace("$N", &key)
    };
    json!({
        "key": key, "user": row.user, "program": program.0, "line": fill(&row.line),
        "input": fill(&input(&row.input)), "alone": row.input == "quiet" || row.state.is_some(),
        "state": row.state,
    })
}

fn key(number: usize, program: char, domain: char) -> String {
    format!("r{number:03}{program}{domain}")
}

/// What a run left behind, with nothing in it that is another one each time.
#[derive(Debug, PartialEq)]
struct Seen {
    code: String,
    stdout: String,
    stderr: String,
    mails: Vec<[String; 2]>,
}

impl Seen {
    fn of(result: &Value, key: &str, mails: &[Mail], is_signed: impl Fn(&Mail) -> bool) -> Self {
        let plain = |text: &str| text.replace(key, "KEY");
        let said = |name: &str| plain(result[name].as_str().unwrap());
        let shown = |mail: &Mail| {
            if let Some(report) = mail.report() {
                [plain(mail.envelope()), plain(&report)]
            } else if is_signed(mail) && mail.is_eight_bit() {
                let words = mail.envelope().split_whitespace();
                let words: Vec<_> = words.filter(|word| !word.starts_with("BODY=")).collect();
                [plain(&words.join(" ")), plain(&mail.content())]
            } else if is_signed(mail) {
                [plain(mail.envelope()), plain(&mail.content())]
            } else {
                [plain(mail.envelope()), plain(&mail.untraced())]
            }
        };
        let mut mails: Vec<_> = mails.iter().map(shown).collect();
        mails.sort();
        Self {
            code: said("code"),
            stdout: said("stdout"),
            stderr: unnumbered(&said("stderr")),
            mails,
        }
    }
}

/// What postdrop says when it is verbose, without the name of the queue file.
fn unnumbered(said: &str) -> String {
    let mut lines: Vec<&str> = said.lines().collect();
    for at in 1..lines.len() {
        if lines[at - 1] == "sendmail: input attribute name: queue_id" {
            lines[at] = "…";
        }
    }
    lines.join("\n")
}

/// Compares the two runs of a row for one domain. Gives what the wrapper sent signed.
fn compare(
    row: &Row,
    number: usize,
    domain: (&str, char),
    results: &Value,
) -> Result<Vec<Mail>, String> {
    let keys = [key(number, 'o', domain.1), key(number, 't', domain.1)];
    let [ours, theirs] = [&results[&keys[0]], &results[&keys[1]]];
    let [mails, real] = [Mail::all(ours), Mail::all(theirs)];
    let has_key = row.is_signed && domain.0 == DOMAINS[0].0;
    let is_signed = |mail: &Mail| has_key && mail.is_from(&format!("@{}", DOMAINS[0].0));
    let seen = Seen::of(ours, &keys[0], &mails, is_signed);
    let wanted = Seen::of(theirs, &keys[1], &real, is_signed);
    let to_sign = real.iter().filter(|mail| is_signed(mail)).count();
    let signed: Vec<Mail> = mails.into_iter().filter(Mail::is_signed).collect();
    if seen != wanted || to_sign != signed.len() {
        let Row { user, input, line, state, .. } = row;
        let state = state.as_deref().unwrap_or("-");
        return Err(format!(
            "{line} ({user}, {input}, {state}, {}), {} of {to_sign} signed\nwith us {seen:#?}\nwithout {wanted:#?}",
            domain.0,
            signed.len(),
        ));
    }
    Ok(signed)
}

/// Runs a table, each row or only every `step`th, with the Postfix of a release of Debian. Gives the number of these rows and
/// that of the messages that were signed.
#[expect(clippy::print_stdout, reason = "the figures are what `make argv` shows")]
fn hold(table: &str, suite: &str, step: usize) -> (usize, usize) {
    let sandbox = Sandbox::of_suite("argv_table", suite);
    sandbox.key(DOMAINS[0].0, "s1");
    let rows: Vec<Row> = rows(table).into_iter().step_by(step).collect();
    let mut calls = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        for program in PROGRAMS {
            calls.extend(DOMAINS.map(|domain| call(row, number, program, domain)));
        }
    }
    let input = serde_json::to_vec(&calls).unwrap();
    let results = stdout(&sandbox.sh("root", "/opt/sandbox/rows.py", &input));
    let results: Value = serde_json::from_str(&results).unwrap();
    let (mut differences, mut signed) = (Vec::new(), Vec::new());
    for (number, row) in rows.iter().enumerate() {
        for domain in DOMAINS {
            match compare(row, number, domain, &results) {
                Ok(mails) => signed.extend(mails),
                Err(difference) => differences.push(difference),
            }
        }
    }
    let paths: Vec<&str> = signed.iter().map(Mail::path).collect();
    let failures = sandbox.failures_in(&paths);
    println!(
        "{table}, {suite}: {} rows, {} calls, {} differences; {} messages signed, {} not verified",
        rows.len(),
        calls.len(),
        differences.len(),
        signed.len(),
        failures.len()
    );
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    (rows.len(), signed.len())
}

#[test]
#[ignore = "needs root"]
fn every_command_line_does_the_same_as_without_the_wrapper() {
    let (rows, signed) = hold("tests/data/argv.txt", "bookworm", 1);
    assert!(rows > 600 && signed > 300, "{rows} {signed}");
}

#[test]
#[ignore = "needs root"]
fn in_any_process_state_the_result_is_the_same_as_without_the_wrapper() {
    let (rows, signed) = hold("tests/data/states.txt", "bookworm", 1);
    assert!(rows > 60 && signed > 40, "{rows} {signed}");
}

#[test]
#[ignore = "needs root"]
fn command_lines_do_the_same_as_without_the_wrapper_on_postfix_3_5() {
    let (rows, signed) = hold("tests/data/argv.txt", "bullseye", 5);
    assert!(rows > 120 && signed > 60, "{rows} {signed}");
}

#[test]
#[ignore = "needs root"]
fn command_lines_do_the_same_as_without_the_wrapper_on_postfix_3_10() {
    let (rows, signed) = hold("tests/data/argv.txt", "trixie", 5);
    assert!(rows > 120 && signed > 60, "{rows} {signed}");
}
