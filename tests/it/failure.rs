use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::support::{Stage, feed, stderr};

const MESSAGE: &[u8] = b"From: a@sample.com\r\nTo: b\r\n\r\nHi\r\n.\r\nrest";

/// Exit code 75, one line on stderr that holds `words`, nothing on stdout, and nothing sent.
fn assert_refused(stage: &Stage, args: &[&str], words: &str) {
    drop(fs::remove_file(stage.path("argv")));
    let output = stage.submit(args, MESSAGE);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("sendmail.dkim: fatal: ") && said.contains(words), "{said}");
    assert!(output.stdout.is_empty());
    assert!(stage.captured().is_none());
}

/// The original bytes and the original argv.
fn assert_sent_as_submitted(stage: &Stage) {
    let captured = stage.delivered(&["-t"], MESSAGE);
    assert_eq!(captured.argv, ["sendmail", "-t"]);
    assert_eq!(captured.stdin, MESSAGE);
}

#[test]
fn a_broken_configuration_sends_or_refuses_as_it_says() {
    let stage = Stage::new();
    let broken = stage.path("etc/config.toml").display().to_string();
    for line in ["foo = 1", "origin = 1", "origin = \"a b\"", "origin = ["] {
        stage.config(line);
        assert_sent_as_submitted(&stage);
        stage.config(&format!("on_error = \"refuse\"\n{line}"));
        assert_refused(&stage, &["-t"], &format!("not signed, so not accepted: {broken}: line "));
    }
}

#[test]
fn a_broken_configuration_does_not_hold_up_mailq() {
    let stage = Stage::new();
    stage.config("on_error = \"refuse\"\nfoo = 1");
    let output = feed(&mut stage.command("mailq", &[]), b"");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stage.captured().unwrap().argv, ["mailq"]);
}

#[test]
fn a_broken_domain_file_sends_or_refuses_as_the_host_says() {
    let stage = Stage::new();
    stage.write("etc/domains/sample.com.toml", "selectors = [\"s1\"]\nfoo = 1\n");
    assert_sent_as_submitted(&stage);
    stage.config("on_error = \"refuse\"");
    assert_refused(&stage, &["-t"], "domains/sample.com.toml: line 2: unknown key `foo`");
}

#[test]
fn a_bad_key_sends_or_refuses_as_the_domain_says() {
    let stage = Stage::new();
    let key = stage.path("etc/keys/sample.com/s1.private");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
    assert_sent_as_submitted(&stage);
    stage.write("etc/domains/sample.com.toml", "selector = \"s1\"\non_error = \"refuse\"\n");
    let words = format!("{} must not be readable by every user (found mode 0604", key.display());
    assert_refused(&stage, &["-t"], &words);
    stage.write("etc/domains/sample.com.toml", "selector = \"s1\"\nminimum_key_bits = 2048\n");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_sent_as_submitted(&stage);
}

#[test]
fn one_bad_key_of_two_is_a_failure_where_all_must_sign() {
    let stage = Stage::new();
    let file = "selectors = [\"s1\", \"s2\"]\nstrict_selectors = true\n";
    stage.write("etc/domains/sample.com.toml", file);
    assert_sent_as_submitted(&stage);
}

#[test]
fn the_wrapper_as_its_own_real_sendmail_does_not_loop() {
    let stage = Stage::new();
    let ours = env!("CARGO_BIN_EXE_sendmail-dkim");
    symlink(ours, stage.path("link")).unwrap();
    symlink(stage.path("link"), stage.path("chain")).unwrap();
    fs::hard_link(ours, stage.path("hard")).unwrap();
    for path in [
        ours.to_owned(),
        stage.path("chain").display().to_string(),
        stage.path("hard").display().to_string(),
    ] {
        stage.write("etc/config.toml", &format!("sendmail = {path:?}\n"));
        for args in [&["-t"][..], &["-bp"], &["-bs"]] {
            assert_refused(
                &stage,
                args,
                &format!("the real sendmail {path:?} is this program itself"),
            );
        }
    }
}

#[test]
fn a_missing_real_sendmail_is_named() {
    let stage = Stage::new();
    fs::create_dir(stage.path("folder")).unwrap();
    stage.write("text", "");
    for (name, words) in [
        ("nowhere", "no real sendmail at"),
        ("folder", "is not an executable file"),
        ("text", "is not an executable file"),
    ] {
        let path = stage.path(name);
        stage.write("etc/config.toml", &format!("sendmail = {path:?}\n"));
        for args in [&["-t"][..], &["-bp"]] {
            assert_refused(&stage, args, words);
            assert_refused(&stage, args, &format!("{path:?}"));
        }
    }
}

#[test]
fn a_real_sendmail_that_the_kernel_cannot_run_is_named() {
    let stage = Stage::new();
    script(&stage, "#!/nowhere/sh\n");
    for more in ["", "message_size_limit = 10"] {
        config_of_script(&stage, more);
        for args in [&["-t"][..], &["-bp"], &["-bs"]] {
            let words = format!("cannot run {:?}: no such file or directory", stage.path("script"));
            assert_refused(&stage, args, &words);
        }
    }
}

#[test]
fn a_refusal_has_its_exit_code_if_no_process_reads_standard_error() {
    let stage = Stage::new();
    stage.write("etc/domains/sample.com.toml", "selector = \"none\"\non_error = \"refuse\"\n");
    for sendmail in [stage.path("sendmail"), stage.path("nowhere")] {
        stage.write("etc/config.toml", &format!("sendmail = {sendmail:?}\n"));
        stage.write("message", &String::from_utf8_lossy(MESSAGE));
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        let mut command = stage.command("sendmail", &["-t"]);
        command.stdin(fs::File::open(stage.path("message")).unwrap());
        let status = command.stderr(OwnedFd::from(theirs)).status().unwrap();
        assert_eq!(status.code(), Some(75), "{status}");
        assert!(stage.captured().is_none());
    }
}

#[test]
fn standard_input_that_cannot_be_read_is_left_to_the_real_sendmail() {
    let stage = Stage::new();
    let folder = fs::File::open(stage.path("etc")).unwrap();
    let output = stage.command("sendmail", &["-t"]).stdin(folder).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let captured = stage.captured().unwrap();
    assert_eq!(
        (captured.argv, captured.stdin.as_slice()),
        (vec!["sendmail".into(), "-t".into()], &b""[..])
    );
}

#[test]
fn a_message_that_cannot_be_read_to_its_end_is_not_sent() {
    let stage = Stage::new();
    for on_error in ["send", "refuse"] {
        stage.config(&format!("on_error = {on_error:?}"));
        for length in [10, 25, MESSAGE.len(), 100_000] {
            let message = [MESSAGE, &b"x\r\n".repeat(40_000)].concat();
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            let mut command = stage.command("sendmail", &["-i", "b"]);
            let stdin = theirs.try_clone().unwrap();
            let mut child =
                command.stdin(OwnedFd::from(stdin)).stderr(Stdio::piped()).spawn().unwrap();
            ours.write_all(&message[..length]).unwrap();
            // Who closes it with something unread makes it fail for the other side, once the rest is read.
            theirs.write_all(b"unread").unwrap();
            drop((ours, theirs));
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(75), "{length}: {said}");
            let words = "cannot read the message from standard input";
            assert!(said.contains(words) && said.lines().count() == 1, "{length}: {said}");
            assert!(stage.captured().is_none(), "{length}: it was sent");
        }
    }
}

#[test]
fn a_message_that_cannot_be_stored_and_not_be_read_to_its_end_is_not_sent() {
    let stage = Stage::new();
    script(&stage, "#!/bin/sh\ncat >/dev/null\necho sent\n");
    config_of_script(&stage, "message_size_limit = 1000");
    let message = [MESSAGE, &b"x\r\n".repeat(1_000_000)].concat();
    let submitted = |is_whole: bool| {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let mut command = stage.command("sendmail", &["-i", "b"]);
        let stdin = OwnedFd::from(theirs.try_clone().unwrap());
        let child = command.stdin(stdin).stdout(Stdio::piped()).spawn().unwrap();
        drop(command);
        ours.write_all(&message).unwrap();
        if !is_whole {
            theirs.write_all(b"unread").unwrap();
        }
        drop((ours, theirs));
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(submitted(true), (Some(0), "sent\n".to_owned()));
    assert_eq!(submitted(false), (Some(75), String::new()));
}

#[test]
fn a_message_that_cannot_be_stored_in_a_file_is_sent_as_submitted() {
    let stage = Stage::new();
    let large = [b"From: a@sample.com\n\n", b"0123456789\n".repeat(200_000).as_slice()].concat();
    // The stand-in cannot write either under that limit: one that counts instead. Made by a child, so that
    // no other child of ours has it open for writing.
    let make = format!("printf '#!/bin/sh\nwc -c\n' >{0:?}; chmod 755 {0:?}", stage.path("count"));
    assert!(std::process::Command::new("/bin/sh").args(["-c", &make]).status().unwrap().success());
    stage.write("etc/config.toml", &format!("sendmail = {:?}\n", stage.path("count")));
    // In blocks of 512 bytes: no file at all, or room for a part of what is read at a time.
    for blocks in [0, 3_001] {
        let script = format!("ulimit -f {blocks}; exec \"$0\" -i x");
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_sendmail-dkim")]);
        command.env("SENDMAIL_DKIM_ETC", stage.path("etc"));
        let output = feed(&mut command, &large);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), large.len().to_string());
    }
}

#[test]
fn a_header_without_end_is_sent_as_submitted() {
    let stage = Stage::new();
    let message =
        [b"From: a@sample.com\nX: ", b"x".repeat(2_000_000).as_slice(), b"\n\nHi\n"].concat();
    let captured = stage.delivered(&["-i", "x"], &message);
    assert_eq!(captured.stdin.len(), message.len());
    assert!(captured.stdin == message);
}

#[test]
fn what_only_its_signature_would_make_too_large_is_sent_without_or_refused() {
    let stage = Stage::new();
    stage.key("sample.com", "s1");
    // 40,000 bytes of other letters become 54,000 of base64.
    let message = format!("From: a@sample.com\n\n{}", "\u{fc}\u{fc}\u{fc}\u{fc}\n".repeat(4_500));
    let is_signed = |limit: u32, message: &str| {
        stage.config(&format!("message_size_limit = {limit}"));
        let captured = stage.delivered(&["-i", "b@y.test"], message.as_bytes());
        assert!(
            captured.text().starts_with("DKIM-Signature:") || captured.stdin == message.as_bytes()
        );
        captured.text().starts_with("DKIM-Signature:")
    };
    assert!(is_signed(0, &message) && is_signed(70_000, &message));
    assert!(!is_signed(50_000, &message));
    // The real sendmail refuses it anyhow, and says so.
    assert!(is_signed(30_000, &message));
    // It is not the letters alone.
    let ascii = message.replace('\u{fc}', "xy");
    assert!(is_signed(60_000, &ascii) && !is_signed(ascii.len().try_into().unwrap(), &ascii));
    stage.config("message_size_limit = 50000\non_error = \"refuse\"");
    let output = stage.submit(&["-i", "b@y.test"], message.as_bytes());
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let said = stderr(&output);
    assert!(said.contains("larger than message_size_limit"), "{said}");
}

/// A stand-in that is a script: made by a child, so that no other child of ours has it open for writing.
fn script(stage: &Stage, text: &str) {
    let path = stage.path("script");
    let make = format!("cat >{path:?}; chmod 755 {path:?}");
    let made = feed(std::process::Command::new("/bin/sh").args(["-c", &make]), text.as_bytes());
    assert!(made.status.success(), "{made:?}");
}

fn config_of_script(stage: &Stage, more: &str) {
    let config = format!("sendmail = {:?}\n{more}\n", stage.path("script"));
    stage.write("etc/config.toml", &config);
}

#[test]
fn a_message_above_the_size_limit_is_passed_on_without_storing_it() {
    let stage = Stage::new();
    script(&stage, "#!/bin/sh\nsha256sum\nexit 69\n");
    let message =
        [b"From: a@sample.com\n\n", b"0123456789\n".repeat(1_000_000).as_slice()].concat();
    let sum = feed(&mut std::process::Command::new("sha256sum"), &message).stdout;
    for more in ["message_size_limit = 100000", "message_size_limit = 3000000"] {
        config_of_script(&stage, more);
        let output = stage.submit(&["-i", "x"], &message);
        assert_eq!(output.status.code(), Some(69), "{output:?}");
        assert_eq!(output.stdout, sum);
        // It is not that there was no room for it, nor that it was read to its end first.
        config_of_script(&stage, &format!("{more}\non_error = \"refuse\""));
        let output = stage.submit(&["-i", "x"], &message);
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        let said = stderr(&output);
        assert!(said.ends_with("the message is larger than message_size_limit\n"), "{said}");
    }
    // The real sendmail gets the signal mask of the caller.
    stage.config("message_size_limit = 100000");
    assert_eq!(stage.delivered(&["-i", "x"], &message).status("SigBlk"), "0000000000000000");
    // Of a file not even that much is given on: the real sendmail reads it itself.
    config_of_script(&stage, "message_size_limit = 100000");
    stage.write("message", &String::from_utf8(message).unwrap());
    let file = fs::File::open(stage.path("message")).unwrap();
    let output = stage.command("sendmail", &["-i", "x"]).stdin(file).output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(69), sum));
}

#[test]
fn the_real_sendmail_may_refuse_before_the_caller_has_said_all() {
    let stage = Stage::new();
    config_of_script(&stage, "message_size_limit = 100000");
    for from in ["a@sample.com", "a@unknown.example"] {
        let message = format!("From: {from}\n\n{}", "0123456789\n".repeat(300_000));
        script(&stage, &format!("#!/bin/sh\nhead -c {} >/dev/null\nexit 69\n", message.len()));
        let mut command = stage.command("sendmail", &["-i", "x"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(message.as_bytes()).unwrap();
        // The caller keeps its end open, and says nothing more.
        assert_eq!(child.wait().unwrap().code(), Some(69), "{from}");
        drop(stdin);
    }
}

#[test]
fn crs_count_the_same_as_without_the_wrapper() {
    let stage = Stage::new();
    let message = [b"From: a@sample.com\n\n".as_slice(), &[b'\r'; 5_000_000], b"x\n"].concat();
    stage.config("message_size_limit = 1000000");
    // The real sendmail has to refuse it: it gets all there is.
    assert!(stage.delivered(&["-i", "x"], &message).stdin == message);
    stage.config("message_size_limit = 0");
    let captured = stage.delivered(&["-i", "x"], &message);
    assert!(captured.text().starts_with("DKIM-Signature:"));
    let body = captured.text().split_once("\n\n").unwrap().1.len();
    assert!(body >= 5_000_000, "{body}");
}
