use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{Sandbox, Stage, copy_program, feed};

/// A stand-in for a real sendmail that speaks SMTP: keeps what it reads in its own folder, and does what the commands of its own
/// say.
const SERVER: &str = r#"#!/bin/sh
printf '220 stand-in\r\n'
while IFS= read -r line; do
    printf '%s\n' "$line" >>"$0.heard"
    case $line in
    EHLO*) printf '250-stand-in\r\n250-SIZE 3000\r\n250 CHUNKING\r\n' ;;
    DATA*)
        printf '354 go\r\n'
        sed -u "/^\.$(printf '\r')\$/Q" >>"$0.message"
        printf '250 queued\r\n' ;;
    CHILDREN*)
        set -- $(cat /proc/$PPID/task/$PPID/children)
        printf '250 %s processes, %s\r\n' $# "$(grep SigBlk: /proc/$$/status)" ;;
    EXIT*) exit 67 ;;
    KILL*) kill -s "$(cat "$0.signal")" $$ ;;
    FLOOD*) yes 250-flood | head -n 100000; printf '250 flooded\r\n' ;;
    QUIT*) printf '221 bye\r\n'; exit 0 ;;
    *) printf '250 ok\r\n' ;;
    esac
done
echo left >>"$0.heard"
"#;

fn stage() -> Stage {
    let stage = Stage::new();
    fs::remove_file(stage.path("sendmail")).unwrap();
    stage.write("sendmail", SERVER);
    fs::set_permissions(stage.path("sendmail"), fs::Permissions::from_mode(0o755)).unwrap();
    stage
}

fn message(from: &str) -> String {
    format!("MAIL FROM:<{from}>\r\nRCPT TO:<x@y.test>\r\nDATA\r\nFrom: {from}\r\n\r\n..x\r\n.\r\n")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_real_sendmail_finds_the_same_process_state_as_by_itself() {
    let stage = Stage::new();
    let script =
        "umask 137; cd /usr/share; trap '' HUP TERM; exec env A=b 'odd name=x' PROGRAM -bs -odb";
    let found = |program: &Path| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script.replace("PROGRAM", program.to_str().unwrap())]);
        command.env("SENDMAIL_DKIM_ETC", stage.path("etc"));
        let output = feed(&mut command, b"QUIT\r\n");
        assert!(output.status.success(), "{output:?}");
        let captured = stage.captured().unwrap();
        let mut environment = captured.environment.clone();
        environment.sort();
        assert_eq!(captured.stdin, b"QUIT\r\n");
        let status = ["Mask", "Cwd", "SigIgn", "SigBlk", "Fds", "Uid", "Gid", "Groups"]
            .map(|name| captured.status(name).to_owned());
        (captured.argv[1..].to_vec(), environment, status)
    };
    let theirs = found(&stage.path("sendmail"));
    assert_eq!(found(Path::new(env!("CARGO_BIN_EXE_sendmail-dkim"))), theirs);
    let output = feed(&mut stage.command("/usr/lib/sendmail", &["-bs"]), b"");
    assert!(output.status.success());
    assert_eq!(stage.captured().unwrap().argv, ["/usr/lib/sendmail", "-bs"]);
}

#[test]
fn exit_code_and_output_are_those_of_the_real_sendmail() {
    let stage = Stage::new();
    stage.write("exit", "67");
    stage.write("stderr", "sendmail: fatal: of the real sendmail\n");
    let output = stage.submit(&["-bs"], b"");
    assert_eq!(output.status.code(), Some(67));
    assert_eq!(output.stderr, b"sendmail: fatal: of the real sendmail\n");
    let stage = self::stage();
    // It ends while the client could go on.
    let output = stage.submit(&["-bs"], b"EXIT\r\nNOOP\r\n");
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(67), "220 stand-in\r\n"));
}

#[test]
fn a_real_sendmail_that_ends_inside_a_message_ends_the_session() {
    let stage = stage();
    stage.write(
        "sendmail",
        &SERVER.replace("printf '354 go\\r\\n'\n", "printf '354 go\\r\\n421 gone\\r\\n'; exit 3\n"),
    );
    for from in ["a@sample.com", "a@other.test"] {
        let session = message(from) + "QUIT\r\n";
        let output = stage.submit(&["-bs"], session.as_bytes());
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(said(&output).ends_with("354 go\r\n421 gone\r\n"), "{output:?}");
        // A large one, of which the child never reads the rest.
        let large = message(from).replace("..x", &"0123456789\r\n".repeat(200_000));
        let output = stage.submit(&["-bs"], large.as_bytes());
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        // One that never comes to an end.
        let mut command = stage.command("sendmail", &["-bs"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(message(from).strip_suffix(".\r\n").unwrap().as_bytes()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3));
    }
}

#[test]
fn a_real_sendmail_that_ends_before_the_last_line_has_not_accepted_the_message() {
    let stage = stage();
    stage.config("log_destination = \"stderr\"");
    let ends = "printf '354 go\\r\\n'; sleep 1; exit 3\n";
    stage.write("sendmail", &SERVER.replace("printf '354 go\\r\\n'\n", ends));
    // The text fills the pipe, so that the line with the dot waits until the server ends.
    let text = "0123456789abcd\r\n".repeat(4_000);
    for from in ["a@sample.com", "a@other.test"] {
        let output = stage.submit(&["-bs"], message(from).replace("..x\r\n", &text).as_bytes());
        let logged = String::from_utf8_lossy(&output.stderr);
        let end = "result=refused reason=\"the real sendmail ended inside the message\"\n";
        assert!(logged.ends_with(end), "{logged}");
    }
}

#[test]
fn the_signal_that_ends_the_real_sendmail_ends_the_wrapper() {
    let stage = stage();
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("PIPE", 13)] {
        stage.write("sendmail.signal", name);
        let output = stage.submit(&["-bs"], b"KILL\r\n");
        assert_eq!(output.status.signal(), Some(number), "{output:?}");
    }
}

#[test]
fn a_side_that_does_not_read_blocks_no_process_forever() {
    let stage = stage();
    // Ten megabytes of answers, of which the client reads none before it has said all.
    let session =
        format!("FLOOD\r\n{}{}QUIT\r\n", "FLOOD\r\n".repeat(9), "NOOP\r\n".repeat(100_000));
    let mut command = stage.command("sendmail", &["-bs"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut heard = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| stdin.write_all(session.as_bytes()));
        stdout.read_to_end(&mut heard).unwrap();
    });
    drop(stdin);
    assert!(child.wait().unwrap().success());
    let heard = String::from_utf8(heard).unwrap();
    assert_eq!(heard.matches("250 flooded").count(), 10);
    assert_eq!(heard.matches("250 ok").count(), 100_000);
    assert!(heard.ends_with("221 bye\r\n"));
}

#[test]
fn a_client_that_closes_its_input_sees_the_same_as_without_the_wrapper() {
    let stage = stage();
    for program in [Path::new(env!("CARGO_BIN_EXE_sendmail-dkim")), &stage.path("sendmail")] {
        let mut command = Command::new(program);
        command.arg("-bs").env("SENDMAIL_DKIM_ETC", stage.path("etc"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        // It hears of it when it says something.
        let mut refused = false;
        for _ in 0..1_000 {
            refused = refused || stdin.write_all(b"NOOP\r\n").is_err();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        drop(stdin);
        let status = child.wait().unwrap();
        assert!(refused, "{program:?}: {status}");
    }
}

#[test]
fn a_signed_message_is_dot_stuffed_and_the_rest_of_the_session_is_unchanged() {
    let stage = stage();
    let session =
        format!("EHLO x\r\n{}{}QUIT\r\n", message("a@sample.com"), message("a@other.test"));
    let output = stage.submit(&["-bs"], session.as_bytes());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(
        said(&output).starts_with("220 stand-in\r\n250-stand-in\r\n250 SIZE 3000\r\n250 ok\r\n")
    );
    let text = fs::read_to_string(stage.path("sendmail.message")).unwrap();
    let (signed, other) = text.split_once("\r\n\r\n..x\r\n").unwrap();
    assert!(signed.starts_with("DKIM-Signature: "), "{text}");
    assert_eq!(other, "From: a@other.test\r\n\r\n..x\r\n");
    let heard = fs::read_to_string(stage.path("sendmail.heard")).unwrap();
    let commands = |from| format!("MAIL FROM:<{from}>\r\nRCPT TO:<x@y.test>\r\nDATA\r\n");
    let wanted = ["EHLO x\r\n", &commands("a@sample.com"), &commands("a@other.test"), "QUIT\r\n"];
    assert_eq!(heard, wanted.concat());
}

#[test]
fn each_message_of_a_session_gets_a_message_id_of_its_own() {
    let stage = stage();
    let session = format!("EHLO x\r\n{}QUIT\r\n", message("a@sample.com").repeat(20));
    assert!(stage.submit(&["-bs"], session.as_bytes()).status.success());
    let text = fs::read_to_string(stage.path("sendmail.message")).unwrap();
    let ids: BTreeSet<&str> = text.lines().filter(|line| line.starts_with("Message-ID:")).collect();
    assert_eq!(ids.len(), 20, "{ids:?}");
}

#[test]
fn the_smaller_of_two_size_limits_applies() {
    let stage = stage();
    // What config.toml says, what the real sendmail says, and whether a message that the signature would make larger is signed.
    for (host, server, is_signed) in [
        (0, 3_000, true),
        (100_000, 3_000, true),
        (1_000, 3_000, false),
        (100_000, 1_000, false),
        (0, 1_000, false),
    ] {
        stage.config(&format!("message_size_limit = {host}"));
        let text = SERVER.replace("250-SIZE 3000", &format!("250-SIZE {server}"));
        stage.write("server", &text);
        copy_program(stage.path("server"), stage.path("sendmail"));
        drop(fs::remove_file(stage.path("sendmail.message")));
        let session = format!("EHLO x\r\n{}QUIT\r\n", message("a@sample.com"));
        let output = stage.submit(&["-bs"], session.as_bytes());
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let text = fs::read_to_string(stage.path("sendmail.message")).unwrap();
        assert_eq!(text.starts_with("DKIM-Signature: "), is_signed, "{host} {server}: {text}");
    }
}

#[test]
fn a_rejected_message_ends_one_child_and_the_session_continues_with_another() {
    let stage = stage();
    stage.config("on_error = \"refuse\"");
    fs::write(stage.path("etc/keys/sample.com/s1.private"), "no key").unwrap();
    let session =
        format!("EHLO x\r\n{}{}QUIT\r\n", message("a@sample.com"), message("a@other.test"));
    let output = stage.submit(&["-bs"], session.as_bytes());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let answers: Vec<_> = said(&output)
        .lines()
        .map(|line| line.split(['-', ' ']).next().unwrap().to_owned())
        .collect();
    let wanted = "220 250 250 250 250 354 451 250 250 354 250 221";
    assert_eq!(answers.join(" "), wanted);
    let text = fs::read_to_string(stage.path("sendmail.message")).unwrap();
    assert_eq!(text, "From: a@other.test\r\n\r\n..x\r\n");
    let heard = fs::read_to_string(stage.path("sendmail.heard")).unwrap();
    assert_eq!(heard.matches("EHLO x\r\n").count(), 2, "{heard}");

    // The one that signs and the real sendmail: no process is left of those that were replaced.
    for rejected in [0, 5] {
        let session = format!("{}CHILDREN\r\nQUIT\r\n", message("a@sample.com").repeat(rejected));
        let heard = said(&stage.submit(&["-bs"], session.as_bytes()));
        assert!(heard.contains("250 2 processes, SigBlk:\t0000000000000000\r\n"), "{heard}");
    }

    // Without a clear end nothing says what the next bytes are.
    let unclear = message("a@sample.com").replace("..x\r\n.\r\n", "x\n.\nNOOP\r\n.\r\nQUIT\r\n");
    let output = stage.submit(&["-bs"], unclear.as_bytes());
    let said = said(&output);
    assert!(said.contains("354 go\r\n421 4.7.0 ") && !said.contains("221 bye"), "{said}");
}

#[test]
fn with_a_broken_configuration_the_session_passes_through_or_is_rejected() {
    let stage = stage();
    stage.config("unknown = 1");
    let output = stage.submit(&["-bs"], b"EHLO x\r\nQUIT\r\n");
    assert!(output.status.success() && said(&output).contains("250 CHUNKING"), "{output:?}");
    stage.config("unknown = 1\non_error = \"refuse\"");
    let output = stage.submit(&["-bs"], b"EHLO x\r\nQUIT\r\n");
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(75), ""));
}

#[test]
fn a_message_that_cannot_be_stored_is_passed_on_unchanged() {
    let stage = stage();
    let large = "0123456789\r\n".repeat(200_000);
    let session = message("a@sample.com").replace("..x\r\n", &large) + "QUIT\r\n";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -f 1000; exec \"$0\" -bs", env!("CARGO_BIN_EXE_sendmail-dkim")]);
    command.env("SENDMAIL_DKIM_ETC", stage.path("etc"));
    // Blocks of 512 bytes: too little for us, and the real sendmail has the limit, too.
    stage.write("sendmail", &SERVER.replace(">>\"$0.message\"", "| cksum >\"$0.message\""));
    let output = feed(&mut command, session.as_bytes());
    assert!(output.status.success() && said(&output).ends_with("250 queued\r\n221 bye\r\n"));
    let sum = fs::read(stage.path("sendmail.message")).unwrap();
    let text = format!("From: a@sample.com\r\n\r\n{large}");
    assert_eq!(sum, feed(&mut Command::new("cksum"), text.as_bytes()).stdout);
}

#[test]
#[ignore = "needs root"]
fn without_new_privileges_the_message_goes_in_unsigned() {
    let sandbox = Sandbox::for_test("relay");
    sandbox.key("relay.test", "s1");
    sandbox.root("mkdir -p /opt/relay; install -d -o www-data /tmp/relay; \
        printf 'sendmail = \"/tmp/relay/server\"\\n' >/opt/relay/config.toml; \
        printf '#!/bin/sh\\nexec unshare -m sh -c \"mount --bind /opt/relay/config.toml \
        /etc/sendmail-dkim/config.toml; exec setpriv --reuid=www-data --regid=www-data --clear-groups \
        $* /usr/sbin/sendmail -bs\"\\n' >/opt/relay/run; chmod 755 /opt/relay/run");
    sandbox.write("/tmp/relay/server", SERVER);
    sandbox.root("chmod 755 /tmp/relay/server");
    let session = message("a@relay.test") + "QUIT\r\n";
    for (how, signed) in [("", true), ("--no-new-privs", false)] {
        let mark = sandbox.mark();
        let script = format!("rm -f /tmp/relay/server.*; exec /opt/relay/run {how}");
        let output = sandbox.sh("root", &script, session.as_bytes());
        assert!(output.status.success(), "{output:?}");
        let text = fs::read_to_string(sandbox.path("/tmp/relay/server.message")).unwrap();
        assert_eq!(text.starts_with("DKIM-Signature: "), signed, "{text}");
        if !signed {
            assert_eq!(text, "From: a@relay.test\r\n\r\n..x\r\n");
            let line = sandbox.logged(mark, "author=<a@relay.test>");
            let reason = "the set-gid bit was ignored";
            assert!(line.contains("result=unsigned") && line.contains(reason), "{line}");
        }
    }
}

#[test]
fn without_pipes_the_real_sendmail_runs_the_session_itself() {
    let stage = Stage::new();
    let session = format!("EHLO me\r\n{}QUIT\r\n", message("a@sample.com"));
    let run_session = |limit: u32| {
        let script = format!("ulimit -n {limit}; exec \"$0\" -bs");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_sendmail-dkim")]);
        command.env("SENDMAIL_DKIM_ETC", stage.path("etc"));
        feed(&mut command, session.as_bytes())
    };
    // One descriptor too few for the first pipe, for the second, and none for its other end.
    for limit in [5, 6, 7] {
        let output = run_session(limit);
        assert!(output.status.success(), "{limit}: {output:?}");
        assert_eq!(stage.captured().unwrap().text(), session, "{limit}");
        fs::remove_file(stage.path("stdin")).unwrap();
    }
    stage.config("on_error = \"refuse\"");
    for limit in [5, 6, 7] {
        let output = run_session(limit);
        assert_eq!(output.status.code(), Some(75), "{limit}: {output:?}");
        assert!(!stage.path("stdin").exists(), "{limit}");
    }
}
