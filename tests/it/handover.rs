use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::{Sandbox, Stage, copy_program, feed, stdout};

const MESSAGE: &[u8] = b"From: a@sample.com\nTo: b@y.test\n\nHi\n";
const OTHER: &[u8] = b"From: a@other.test\nTo: b@y.test\n\nHi\n";

#[test]
fn argv_is_unchanged_but_for_dash_i_where_the_message_was_rebuilt() {
    let stage = Stage::new();
    for (args, wanted) in [
        (&["-t"][..], &["sendmail", "-i", "-t"][..]),
        (&["-t", "-i"], &["sendmail", "-t", "-i"]),
        (
            &["-oi", "-f", "a b", "--", "x", "-y"],
            // Not every sendmail takes -oi for -i.
            &["sendmail", "-i", "-oi", "-f", "a b", "--", "x", "-y"],
        ),
        (&["x@y"], &["sendmail", "-i", "x@y"]),
        // Only those of the content filter are for the wrapper.
        (
            &["-G", "-i", "-O", "DkimLogin=x", "y"],
            &["sendmail", "-G", "-i", "-O", "DkimLogin=x", "y"],
        ),
    ] {
        assert_eq!(stage.delivered(args, MESSAGE).argv, wanted);
        let wanted = [&["sendmail"], args].concat();
        assert_eq!(stage.delivered(args, OTHER).argv, wanted);
    }
}

#[test]
fn the_program_name_is_passed_on() {
    let stage = Stage::new();
    for name in ["sendmail", "/usr/lib/sendmail", "send-mail", "mailq", "", "-"] {
        let output = feed(&mut stage.command(name, &["-t"]), MESSAGE);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(stage.captured().unwrap().argv[0], name);
    }
}

#[test]
fn environment_umask_folder_and_signal_mask_are_passed_on() {
    let stage = Stage::new();
    let script = "umask 137; cd /usr/share; exec env -i A=b SENDMAIL_DKIM_ETC=\"$SENDMAIL_DKIM_ETC\" \
        'odd name=x' \"$0\" -t";
    for message in [MESSAGE, OTHER] {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_sendmail-dkim")]);
        command.env("SENDMAIL_DKIM_ETC", stage.path("etc"));
        let output = feed(&mut command, message);
        assert!(output.status.success(), "{output:?}");
        let captured = stage.captured().unwrap();
        let etc = format!("SENDMAIL_DKIM_ETC={}", stage.path("etc").display());
        let mut environment = captured.environment.clone();
        environment.sort();
        assert_eq!(environment, ["A=b".to_owned(), etc, "odd name=x".to_owned()]);
        assert_eq!(captured.status("Mask"), "137");
        assert_eq!(captured.status("Cwd"), "/usr/share");
        assert_eq!(captured.status("SigBlk"), "0000000000000000");
    }
}

#[test]
fn signal_dispositions_are_passed_on() {
    let stage = Stage::new();
    for trap in ["", "trap '' PIPE", "trap '' HUP INT QUIT PIPE XFSZ", "trap '' CHLD TSTP"] {
        let ignored = |program: &std::path::Path, message: &[u8]| {
            let script = format!("{trap}\nexec \"$0\" -t");
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &script]).arg(program);
            command.env("SENDMAIL_DKIM_ETC", stage.path("etc"));
            // std resets SIGPIPE in its children, so that "ignored" is the shell's doing.
            let output = feed(&mut command, message);
            assert!(output.status.success(), "{output:?}");
            stage.captured().unwrap().status("SigIgn").to_owned()
        };
        // The process that runs the tests may ignore some, too.
        let wanted = ignored(&stage.path("sendmail"), MESSAGE);
        for message in [MESSAGE, OTHER] {
            let wrapper = std::path::Path::new(env!("CARGO_BIN_EXE_sendmail-dkim"));
            assert_eq!(ignored(wrapper, message), wanted, "{trap}");
        }
    }
}

#[test]
fn no_descriptor_of_the_wrapper_stays_open() {
    let stage = Stage::new();
    let large = [MESSAGE, &b"0123456789\n".repeat(200_000)].concat();
    for message in [MESSAGE, OTHER, &large] {
        // The process that runs the tests may have left other descriptors open than 0 to 2.
        let direct = feed(&mut Command::new(stage.path("sendmail")), message);
        assert!(direct.status.success(), "{direct:?}");
        let wanted = stage.captured().unwrap().status("Fds").to_owned();
        assert_eq!(stage.delivered(&["-i", "x"], message).status("Fds"), wanted);
    }
}

#[test]
fn exit_code_and_output_are_those_of_the_real_sendmail() {
    let stage = Stage::new();
    stage.write("exit", "67");
    stage.write("stderr", "sendmail: fatal: of the real sendmail\n");
    for message in [MESSAGE, OTHER] {
        let output = stage.submit(&["-t"], message);
        assert_eq!(output.status.code(), Some(67));
        assert_eq!(output.stderr, b"sendmail: fatal: of the real sendmail\n");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_real_sendmail_has_no_child_that_it_did_not_start() {
    let stage = Stage::new();
    let large = [MESSAGE, &b"0123456789\n".repeat(200_000)].concat();
    for message in [MESSAGE, OTHER, &large] {
        assert_eq!(stage.delivered(&["-i", "x"], message).status("Children"), "");
    }
    std::fs::remove_dir_all(stage.path("etc/keys")).unwrap();
    assert_eq!(stage.delivered(&["-i", "x"], MESSAGE).status("Children"), "");
}

#[test]
fn a_set_uid_bit_has_no_effect() {
    let stage = Stage::new();
    let wrapper = stage.path("set-uid");
    copy_program(env!("CARGO_BIN_EXE_sendmail-dkim"), &wrapper);
    // Only root may give it to another user; with one's own user, the bit has no effect anyway.
    drop(std::os::unix::fs::chown(&wrapper, Some(1), None));
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o4755)).unwrap();
    for (program, args) in [("set-uid", &["-t"][..]), ("set-uid", &["-bp"]), ("sendmail", &["-t"])]
    {
        let mut command = Command::new(stage.path(program));
        command.args(args).env("SENDMAIL_DKIM_ETC", stage.path("etc"));
        let output = feed(&mut command, MESSAGE);
        assert!(output.status.success(), "{output:?}");
        let captured = stage.take_captured().unwrap();
        let user = nix::unistd::getuid();
        let expected = [user; 4].map(|user| user.to_string()).join("\t");
        assert_eq!(captured.status("Uid"), expected, "{program} {args:?}");
    }
}

#[test]
fn no_parent_is_left_behind() {
    let stage = Stage::new();
    let mut command = stage.command("sendmail", &["-t"]);
    command.stdin(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = child.id().to_string();
    child.stdin.take().unwrap().write_all(MESSAGE).unwrap();
    child.wait().unwrap();
    assert_eq!(stage.captured().unwrap().status("Pid"), pid);
}

#[test]
fn what_is_not_read_stays_where_it_is() {
    let stage = Stage::new();
    let path = stage.path("file");
    std::fs::write(&path, [b"skipped\n", OTHER].concat()).unwrap();
    // From its current offset, and never rewound to the start.
    for (name, args) in [("sendmail", &["-t"][..]), ("mailq", &[]), ("sendmail", &["-bp"])] {
        let mut file = File::open(&path).unwrap();
        file.seek(SeekFrom::Start(8)).unwrap();
        let output = stage.command(name, args).stdin(file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let captured = stage.captured().unwrap();
        assert_eq!(captured.status("Offset"), "8", "{name} {args:?}");
        assert_eq!(captured.stdin, OTHER);
    }
}

#[test]
fn large_messages_go_through_a_file_without_a_name() {
    let stage = Stage::new();
    let body = b"0123456789012345678901234567890123456789\n".repeat(100_000);
    for (from, is_signed) in [("a@sample.com", true), ("a@other.test", false)] {
        let message = [format!("From: {from}\n\n").as_bytes(), &body].concat();
        let captured = stage.delivered(&["-i", "x"], &message);
        assert!(captured.stdin.ends_with(&message[message.len() - body.len()..]));
        assert_eq!(captured.stdin.starts_with(b"DKIM-Signature:"), is_signed);
        assert_eq!(captured.stdin == message, !is_signed);
    }
}

#[test]
fn a_large_message_with_crlf_is_rebuilt_whole() {
    let stage = Stage::new();
    let body = b"0123456789012345678901234567890123456789\r\n".repeat(100_000);
    let message = [b"From: a@sample.com\r\n\r\n", body.as_slice()].concat();
    let captured = stage.delivered(&["-i", "x"], &message);
    assert!(!captured.stdin.contains(&b'\r'));
    let wanted = b"0123456789012345678901234567890123456789\n".repeat(100_000);
    assert!(captured.stdin.ends_with(&wanted));
    let output = feed(
        Command::new(env!("CARGO_BIN_EXE_dkimctl"))
            .args(["verify", "--record"])
            .arg(crate::support::project("tests/vectors/rfc6376-a2.txt")),
        &captured.stdin,
    );
    assert_eq!(output.stdout, b"d=sample.com s=s1 pass\n");
}

#[test]
fn a_socket_and_a_file_work_like_a_pipe() {
    let stage = Stage::new();
    let path = stage.path("file");
    std::fs::write(&path, MESSAGE).unwrap();
    let output =
        stage.command("sendmail", &["-t"]).stdin(File::open(&path).unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stage.captured().unwrap().stdin.starts_with(b"DKIM-Signature:"));
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    // As Node has it: a socket, and one that does not block.
    theirs.set_nonblocking(true).unwrap();
    let mut command = stage.command("sendmail", &["-t"]);
    command.stdin(std::os::fd::OwnedFd::from(theirs));
    let mut child = command.spawn().unwrap();
    drop(command);
    std::thread::sleep(std::time::Duration::from_millis(100));
    for byte in MESSAGE.chunks(1) {
        (&ours).write_all(byte).unwrap();
    }
    drop(ours);
    assert!(child.wait().unwrap().success());
    assert!(stage.captured().unwrap().text().ends_with("\n\nHi\n"));
}

#[test]
fn a_lone_dot_is_text_where_the_host_says_so() {
    let stage = Stage::new();
    stage.config("lone_dot = \"text\"");
    for (message, is_signed) in [(MESSAGE, true), (OTHER, false)] {
        // More than one piece: some process must read the text after the dot.
        let message = [message, b".\n", &b"after the dot\n".repeat(20_000)].concat();
        let captured = stage.delivered(&["b@y.test"], &message);
        assert!(captured.stdin.ends_with(&message[message.len() - 280_000..]));
        assert_eq!(captured.stdin.starts_with(b"DKIM-Signature:"), is_signed);
    }
}

#[test]
fn without_dash_i_a_lone_dot_ends_the_reading() {
    let stage = Stage::new();
    for (message, is_signed) in [(MESSAGE, true), (OTHER, false)] {
        let mut command = stage.command("sendmail", &["-t"]);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        // The pipe stays open, as a terminal does.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&[message, b".\n"].concat()).unwrap();
        assert!(child.wait().unwrap().success());
        let captured = stage.captured().unwrap();
        assert_eq!(captured.stdin.starts_with(b"DKIM-Signature:"), is_signed);
        assert!(captured.text().ends_with(if is_signed { "\nHi\n" } else { "\nHi\n.\n" }));
        drop(stdin);
    }
}

#[test]
fn what_is_added_and_signed_is_dated_now() {
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (stage, before) = (Stage::new(), now());
    let text = stage.delivered(&["-i", "x"], b"From: a@sample.com\n\nx\n").text();
    let after = now();
    let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let seconds = |date: &str, zone: &str| -> u64 {
        let output =
            Command::new("date").env("TZ", zone).args(["-d", date, "+%s"]).output().unwrap();
        stdout(&output).trim().parse().unwrap()
    };
    let id = of("Message-ID: <");
    let (day, time) = (id.get(..8).unwrap(), id.get(8..14).unwrap());
    let time = [0, 2, 4].map(|at| time.get(at..at + 2).unwrap()).join(":");
    for seconds in [
        seconds(&of("Date: "), "Asia/Tokyo"),
        seconds(&format!("{day} {time}"), "UTC"),
        of("\tt=").split(';').next().unwrap().parse().unwrap(),
    ] {
        assert!((before..=after).contains(&seconds), "{before} {seconds} {after}: {text}");
    }
}

#[test]
fn an_environment_of_any_form_is_passed_on_by_exec_and_to_a_child() {
    let stage = Stage::new();
    let etc = format!("SENDMAIL_DKIM_ETC={}", stage.path("etc").display());
    let entries = ["A=b", "no equals sign", "=x", "A=c", &etc];
    // execve(2) itself: neither a shell nor std passes on all of these.
    let python = "import ctypes, sys
array = lambda list: (ctypes.c_char_p * (len(list) + 1))(*(text.encode() for text in list), None)
program, option, *environment = sys.argv[1:]
ctypes.CDLL(None).execve(program.encode(), array([\"sendmail\", option]), array(environment))";
    for (option, input) in [("-i", "From: a@sample.com\n\nx\n"), ("-bs", "QUIT\r\n")] {
        let mut command = Command::new("python3");
        let program = env!("CARGO_BIN_EXE_sendmail-dkim");
        command.args(["-c", python, program, option]).args(entries);
        let output = feed(&mut command, input.as_bytes());
        assert!(output.status.success(), "{option}: {output:?}");
        assert_eq!(stage.captured().unwrap().environment, entries, "{option}");
    }
}

#[test]
fn a_field_that_is_too_long_or_comes_after_too_much_text_stays_and_is_not_signed() {
    let stage = Stage::new();
    let text = "\u{fc}\u{fc}\u{fc} ".repeat(3_000);
    let subject = format!("Subject: {text}\n");
    let long = format!("Subject: {text}{text}{text}\n");
    let much: String = (0..20).map(|number| format!("X-{number}: {text}\n")).collect();
    for (fields, is_signed, kept) in [
        (subject.clone(), true, &subject),
        (long.clone(), false, &long),
        (format!("{subject}{much}"), true, &subject),
        (format!("{much}{subject}"), false, &subject),
    ] {
        let message = format!("From: a@sample.com\n{fields}\nx\n");
        let text = stage.delivered(&["-i", "x"], message.as_bytes()).text();
        let (signature, rest) = text.split_once("\nFrom: ").unwrap();
        let shown = format!("{signature} {}", fields.chars().take(40).collect::<String>());
        assert!(
            signature.contains("DKIM-Signature: ") && signature.contains("h=From:From"),
            "{shown}"
        );
        assert_eq!(signature.contains(":Subject"), is_signed, "{shown}");
        assert_eq!(rest.contains(&format!("\n{kept}")), !is_signed, "{shown}");
    }
}

/// Takes as many large pipes as a user may have (pipe-user-pages-soft), after which a new one has two pages, and becomes sendmail.
const WITH_FULL_PIPES: &str = r"
import fcntl, os, sys
F_SETPIPE_SZ = 1031
pipes = []
try:
    while len(pipes) < 200:
        pipes.append(os.pipe())
        fcntl.fcntl(pipes[-1][1], F_SETPIPE_SZ, 1 << 20)
except PermissionError:
    pass
for ends in pipes:
    for end in ends:
        os.set_inheritable(end, True)
os.execvp('sendmail', ['sendmail', '-i', sys.argv[1]])
";

#[test]
#[ignore = "needs root"]
fn a_user_whose_pipes_may_not_grow_any_more_loses_no_mail() {
    let sandbox = Sandbox::with_key("handover", "pipes.test", "s1");
    sandbox.write("/tmp/pipes.py", WITH_FULL_PIPES);
    for lines in [1, 1_000, 20_000] {
        let recipient = sandbox.recipient();
        let body = "0123456789\r\n".repeat(lines);
        let message = format!("From: a@pipes.test\r\n\r\n{body}");
        let command = format!("exec python3 /tmp/pipes.py {recipient}");
        // A user of no other test: the limit holds for all processes of a user.
        stdout(&sandbox.sh("games", &command, message.as_bytes()));
        let received = sandbox.received(&recipient);
        sandbox.assert_signed(&received, "pipes.test", "s1");
        assert_eq!(received.split().1, body);
    }
}

#[test]
#[ignore = "needs root"]
fn a_file_system_without_unnamed_files_is_enough() {
    let sandbox = Sandbox::with_key("handover", "named.test", "s1");
    let recipient = sandbox.recipient();
    let body = "0123456789\r\n".repeat(200_000);
    let message = format!("From: a@named.test\r\n\r\n{body}");
    // Only an unnamed file is opened by the path of its directory.
    let script = format!(
        "exec strace -f -o /dev/null -u www-data -P /var/tmp -P /tmp -e inject=openat:error=EOPNOTSUPP sendmail -i {recipient}"
    );
    stdout(&sandbox.sh("root", &script, message.as_bytes()));
    let received = sandbox.received(&recipient);
    sandbox.assert_signed(&received, "named.test", "s1");
    assert_eq!(received.split().1, body);
    assert_eq!(sandbox.root("ls -A /var/tmp"), "");
}
