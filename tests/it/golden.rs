//! `tests/data/mail/NNN-name/`, a case for each thing that Postfix does to a message: `input` is submitted
//! with the words of `argv`, and `expected` is what the real sendmail gets, what is new each time taken
//! out. `why.txt` says what the case is for; `config` and `domain`, where they are, are lines for
//! config.toml and the file of sample.com.
//!
//! `UPDATE_EXPECT=1 cargo test --test it golden` writes `expected` again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Stage, feed, project};

#[test]
fn every_case_gives_what_is_expected() {
    let mut failed = Vec::new();
    let folders = cases();
    assert!(folders.len() >= 120, "{}", folders.len());
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        assert!(fs::read_to_string(folder.join("why.txt")).unwrap().len() > 20, "{name}: why.txt");
        let got = run(&folder);
        let expected = folder.join("expected");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expected, &got).unwrap();
        }
        let wanted = fs::read(&expected).unwrap_or_default();
        if got != wanted {
            let (got, wanted) = (String::from_utf8_lossy(&got), String::from_utf8_lossy(&wanted));
            failed.push(format!("{name}: got\n{got}\nwanted\n{wanted}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(project("tests/data/mail")).unwrap();
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.join("input").exists());
    folders.sort();
    folders
}

fn run(folder: &Path) -> Vec<u8> {
    let stage = Stage::new();
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    stage.config(&text("config"));
    stage
        .write("etc/domains/sample.com.toml", &format!("selectors = [\"s1\"]\n{}", text("domain")));
    let input = fs::read(folder.join("input")).unwrap();
    let argv = text("argv");
    let args: Vec<&str> = argv.split_whitespace().collect();
    let captured = stage.delivered(&args, &input);
    let mut got = format!("{}\n\n", captured.argv.join(" ")).into_bytes();
    if captured.stdin.starts_with(b"DKIM-Signature:") {
        got.extend(verified(&captured.stdin, &input));
    } else {
        assert_eq!(captured.stdin, input, "neither signed nor as submitted");
        got.extend_from_slice(b"(as submitted)\n");
    }
    got
}

/// Whether a message has a field of that name in the form in which it was submitted.
fn has_field(input: &[u8], name: &str) -> bool {
    let mut lines = String::from_utf8_lossy(input).replace('\r', "").to_ascii_lowercase();
    lines.truncate(lines.find("\n\n").unwrap_or(lines.len()));
    lines.lines().any(|line| line.split(':').next().unwrap().trim_end() == name)
}

/// The message with its own signature told in one line, once it has been verified, and what the wrapper has
/// added by the clock taken out.
fn verified(message: &[u8], input: &[u8]) -> Vec<u8> {
    let record = project("tests/vectors/rfc6376-a2.txt");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    let output = feed(command.args(["verify", "--record"]).arg(record), message);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.lines().next().is_some_and(|line| line.ends_with(" pass")), "{said}");
    let begin =
        message.windows(2).position(|pair| pair[0] == b'\n' && pair[1] != b'\t').unwrap() + 1;
    let signature = String::from_utf8_lossy(&message[..begin]).replace("\n\t", " ");
    let tag = |name: &str| {
        let value = signature.split(&format!(" {name}=")).nth(1).unwrap_or_default();
        value.split(';').next().unwrap_or_default().replace(' ', "")
    };
    let number = |name: &str| tag(name).parse::<u64>().ok();
    let mut told = format!("(signed: c={} d={}", tag("c"), tag("d"));
    if !tag("i").is_empty() {
        told.push_str(&format!(" i={}", tag("i")));
    }
    if let (Some(timestamp), Some(expiration)) = (number("t"), number("x")) {
        told.push_str(&format!(" x=t+{}", expiration - timestamp));
    }
    let mut text = format!("{told} h={})\n", tag("h")).into_bytes();
    let mut in_header = true;
    for line in message[begin..].split_inclusive(|byte| *byte == b'\n') {
        in_header &= line != b"\n";
        let is_added = |name: &str, begin: &[u8], end: &[u8]| {
            in_header && line.starts_with(begin) && line.ends_with(end) && !has_field(input, name)
        };
        if is_added("message-id", b"Message-ID: <20", b"@sample.com>\n") {
            text.extend_from_slice(b"Message-ID: (added)\n");
        } else if is_added("date", b"Date: ", b" +0000\n") {
            text.extend_from_slice(b"Date: (added)\n");
        } else {
            text.extend_from_slice(line);
        }
    }
    text
}
