use crate::support::{Sandbox, stdout};

const DOMAIN: &str = "privilege.test";
const KEY: &str = "/etc/sendmail-dkim/keys/privilege.test/s1.private";

fn sandbox() -> Option<&'static Sandbox> {
    use std::sync::Once;
    static KEY_MADE: Once = Once::new();
    let sandbox = Sandbox::for_test("privilege")?;
    KEY_MADE.call_once(|| sandbox.key(DOMAIN, "s1"));
    Some(sandbox)
}

#[test]
fn the_caller_can_use_the_key_and_not_read_it() {
    let Some(sandbox) = sandbox() else { return };
    let output = sandbox.sh("www-data", &format!("cat {KEY}"), b"");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let recipient = sandbox.recipient();
    let message = format!("From: a@{DOMAIN}\n\nx\n");
    stdout(&sandbox.sh("www-data", &format!("sendmail {recipient}"), message.as_bytes()));
    sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
}

/// A stand-in for the real sendmail that shows the process it is: its ids and open files.
const SHOW: &str =
    "#!/bin/sh\ngrep -E '^(Uid|Gid|Groups|Sig...):' /proc/self/status\nls -l /proc/$$/fd\n";

#[test]
fn nothing_of_the_privilege_is_left_to_the_real_sendmail() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.write("/usr/local/bin/show", SHOW);
    sandbox.root("chmod 755 /usr/local/bin/show; mkdir -p /opt/show; \
        printf '#!/bin/sh\\nexec unshare -m sh -c \"mount --bind /opt/show/config.toml \
        /etc/sendmail-dkim/config.toml; exec setpriv --reuid=www-data --regid=www-data --clear-groups \
        /usr/sbin/sendmail -i x@sink.test\"\\n' >/opt/show/run; chmod 755 /opt/show/run");
    sandbox.write("/opt/show/config.toml", "sendmail = \"/usr/local/bin/show\"\n");
    let output = sandbox.sh("root", "/opt/show/run", format!("From: a@{DOMAIN}\n\nx\n").as_bytes());
    let shown = stdout(&output);
    assert!(shown.contains("Gid:\t33\t33\t33\t33\n"), "{shown}");
    assert!(shown.contains("Uid:\t33\t33\t33\t33\n"), "{shown}");
    assert!(!shown.contains("private") && !shown.contains("/etc/sendmail-dkim"), "{shown}");
}

#[test]
fn environment_argv_and_another_configuration_reach_no_key() {
    let Some(sandbox) = sandbox() else { return };
    // A configuration of the caller's own, which would hand the message, and more, to a program of his.
    sandbox.root("rm -rf /tmp/evil; setpriv --reuid=www-data --regid=www-data --clear-groups sh -c '
        mkdir -p /tmp/evil/domains; echo \"sendmail = \\\"/tmp/evil/steal\\\"\" >/tmp/evil/config.toml
        printf \"#!/bin/sh\\ntouch /tmp/evil/stolen; cat\\n\" >/tmp/evil/steal; chmod 755 /tmp/evil/steal
        cp /etc/postfix/main.cf /etc/postfix/master.cf /tmp/evil'");
    let message = format!("From: a@{DOMAIN}\n\nx\n");
    for prefix in [
        "SENDMAIL_DKIM_ETC=/tmp/evil",
        "LD_PRELOAD=/tmp/evil/x.so LD_LIBRARY_PATH=/tmp/evil LD_AUDIT=/tmp/evil/x.so GCONV_PATH=/tmp/evil",
        "HOME=/tmp/evil PATH=/tmp/evil TMPDIR=/tmp/evil RUST_BACKTRACE=full RUST_LOG=trace TZ=/tmp/evil/x",
        "MALLOC_TRACE=/tmp/evil/trace GLIBC_TUNABLES=glibc.malloc.check=3",
    ] {
        let recipient = sandbox.recipient();
        let script = format!("env {prefix} /usr/sbin/sendmail {recipient}");
        let output = sandbox.sh("www-data", &script, message.as_bytes());
        assert!(output.status.success(), "{prefix}: {output:?}");
        sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
    }
    assert_eq!(sandbox.root("ls /tmp/evil | grep -cE 'stolen|trace' || true").trim(), "0");
}

#[test]
fn mail_config_and_dash_c_are_postfix_matters() {
    let Some(sandbox) = sandbox() else { return };
    let message = format!("From: a@{DOMAIN}\n\nx\n");
    for script in ["MAIL_CONFIG=/nowhere sendmail", "sendmail -C /nowhere"] {
        let ours = sandbox.sh("www-data", &format!("{script} x@sink.test"), message.as_bytes());
        let script = script.replace("sendmail", "sendmail.postfix");
        let theirs = sandbox.sh("www-data", &format!("{script} x@sink.test"), message.as_bytes());
        assert_eq!(ours.status, theirs.status, "{ours:?}");
        let text =
            |octets: &[u8]| String::from_utf8_lossy(octets).replace("sendmail.postfix", "sendmail");
        assert_eq!(text(&ours.stderr), text(&theirs.stderr));
    }
}

/// Runs the wrapper with a pipe held open as its stdin, so that it waits with the key in memory, and
/// lets www-data look at it.
fn while_it_waits(sandbox: &Sandbox, look: &str) -> String {
    let script = format!(
        "mkfifo /tmp/wait.$$; sendmail -i x@unknown.test </tmp/wait.$$ & \
         exec 9>/tmp/wait.$$; printf 'From: a@{DOMAIN}\\n\\nfirst line\\n' >&9; sleep 0.5; PID=$!; \
         {look}; kill $PID; rm /tmp/wait.$$"
    );
    String::from_utf8_lossy(&sandbox.sh("www-data", &script, b"").stdout).into_owned()
}

#[test]
fn a_waiting_wrapper_shows_nothing_to_its_own_user() {
    let Some(sandbox) = sandbox() else { return };
    // It has opened the key by now: root sees that the ids are the user's alone.
    let ids = while_it_waits(sandbox, "grep -E '^(Gid|Uid):' /proc/$PID/status");
    assert_eq!(ids, "Uid:\t33\t33\t33\t33\nGid:\t33\t33\t33\t33\n");
    for look in [
        "cat /proc/$PID/mem 2>/dev/null; cat /proc/$PID/environ 2>/dev/null; cat /proc/$PID/maps 2>/dev/null",
        "ls /proc/$PID/fd 2>/dev/null; cat /proc/$PID/fd/* 2>/dev/null",
        "timeout 5 gdb -p $PID -batch -ex 'info registers' 2>/dev/null | grep -A3 '^rax'",
        "timeout 2 strace -p $PID 2>&1 | grep read",
        "ulimit -c unlimited; kill -QUIT $PID; sleep 0.3; ls /tmp | grep core",
    ] {
        assert_eq!(while_it_waits(sandbox, look), "", "{look}");
    }
}

#[test]
fn under_a_debugger_the_bit_is_ignored_and_mail_goes_out_unsigned() {
    let Some(sandbox) = sandbox() else { return };
    let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
    // postdrop's own bit is ignored too, so nothing is delivered: it would wait for ever.
    let script = format!(
        "timeout 2 strace -f -o /dev/null -e trace=none sendmail.dkim {recipient} >/dev/null 2>&1"
    );
    sandbox.sh("www-data", &script, format!("From: a@{DOMAIN}\n\nx\n").as_bytes());
    let line = sandbox.logged(mark, "cannot open key");
    assert!(line.contains("result=unsigned") && line.contains("EACCES"), "{line}");
}

#[test]
fn without_new_privileges_mail_goes_out_unsigned_and_the_log_says_why() {
    let Some(sandbox) = sandbox() else { return };
    let mark = sandbox.mark();
    let script = "timeout 2 setpriv --no-new-privs sendmail x@sink.test >/dev/null 2>&1";
    sandbox.sh("www-data", script, format!("From: a@{DOMAIN}\n\nx\n").as_bytes());
    sandbox.logged(mark, "the set-gid bit was ignored");
}

#[test]
fn closed_descriptors_limits_and_a_vanished_folder_do_not_matter() {
    let Some(sandbox) = sandbox() else { return };
    let message = format!("From: a@{DOMAIN}\nSubject: x\n\nx\n");
    for how in [
        "sendmail -i RCPT >&- 2>&-",
        "ulimit -n 16; sendmail -i RCPT",
        "ulimit -c unlimited; sendmail -i RCPT",
        "mkdir /tmp/gone.$$; cd /tmp/gone.$$; rmdir /tmp/gone.$$; sendmail -i RCPT",
        "umask 777; sendmail -i RCPT",
        "umask 000; sendmail -i RCPT",
        "exec 3</etc/passwd 7</etc/passwd; sendmail -i RCPT",
    ] {
        let recipient = sandbox.recipient();
        let output = sandbox.sh("www-data", &how.replace("RCPT", &recipient), message.as_bytes());
        assert!(output.status.success(), "{how}: {output:?}");
        sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
    }
}

#[test]
fn a_closed_stdin_is_an_empty_message() {
    let Some(sandbox) = sandbox() else { return };
    let recipient = sandbox.recipient();
    let output = sandbox.sh("www-data", &format!("sendmail -f a@{DOMAIN} {recipient} <&-"), b"");
    assert!(output.status.success(), "{output:?}");
    sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
}

#[test]
fn on_closed_outputs_the_real_one_can_write() {
    let Some(sandbox) = sandbox() else { return };
    // glibc opens them for reading in a set-gid program, so that postqueue would fail.
    for script in ["sendmail -bp >&- 2>&-", "sendmail -bp >&-", "sendmail -bp 2>&-"] {
        let output = sandbox.sh("www-data", script, b"");
        assert!(output.status.success(), "{script}: {output:?}");
    }
}

#[test]
fn a_domain_in_from_walks_no_paths() {
    let Some(sandbox) = sandbox() else { return };
    let long = format!("{}.test", "a.".repeat(150));
    for domain in
        ["../../../etc/passwd", "..", "/etc", "x/../privilege.test", "default", ".", &long]
    {
        let recipient = sandbox.recipient();
        let message = format!("From: <a@{domain}>\n\nx\n");
        let output = sandbox.sh("www-data", &format!("sendmail {recipient}"), message.as_bytes());
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(sandbox.verify(&sandbox.received(&recipient)).all("none"), "{domain}");
    }
}

#[test]
fn under_any_limit_mail_arrives_or_is_not_accepted() {
    let Some(sandbox) = sandbox() else { return };
    let message = format!("From: a@{DOMAIN}\n\n{}", "0123456789\n".repeat(120_000));
    let mut refused = Vec::new();
    for limit in [
        "-v 2000", "-v 4000", "-v 6000", "-v 9000", "-v 30000", "-n 3", "-n 4", "-n 5", "-n 7",
        "-f 0", "-f 1", "-f 500", "-d 100", "-s 16", "-t 1", "-c 0", "-u 1", "-l 0",
    ] {
        let recipient = sandbox.recipient();
        // Without room for its queue file, Postfix tries again and again.
        let script = format!("ulimit {limit} && exec timeout 5 sendmail -i {recipient}");
        let output = sandbox.sh("www-data", &script, message.as_bytes());
        if output.status.success() {
            let received = sandbox.received(&recipient);
            assert!(received.octets.ends_with(b"\r\n0123456789\r\n"), "{limit}");
            assert!(received.octets.len() > message.len(), "{limit}");
        } else {
            refused.push((limit, recipient));
        }
    }
    for (limit, recipient) in refused {
        assert!(sandbox.arrived(&recipient).is_empty(), "{limit}");
    }
}

#[test]
fn megabytes_of_arguments_are_handed_on_or_refused() {
    let Some(sandbox) = sandbox() else { return };
    let submit = |limit: &str, count: u32, recipient: &str| {
        let script = format!(
            "ulimit -s {limit}; long=$(head -c 120000 /dev/zero | tr '\\0' x); set --; \
             for number in $(seq {count}); do set -- \"$@\" \"-OA=$long\"; done; \
             exec sendmail \"$@\" -i {recipient}"
        );
        sandbox.sh("www-data", &script, format!("From: a@{DOMAIN}\n\nx\n").as_bytes())
    };
    // Linux lets argv and environment have a quarter of the stack, and one argument 128 KiB.
    let recipient = sandbox.recipient();
    let output = submit("8192", 15, &recipient);
    assert!(output.status.success(), "{:?}", output.status);
    sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
    // And 6 MiB at most; but a set-gid program finds its stack cut to 8 MiB, so that it can't hand on as much.
    let recipient = sandbox.recipient();
    let output = submit("unlimited", 45, &recipient);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(75) && said.contains("E2BIG"), "{said}");
    assert!(sandbox.arrived(&recipient).is_empty());
}

#[test]
fn one_that_is_stopped_at_any_stage_goes_on() {
    let Some(sandbox) = sandbox() else { return };
    for delay in ["0", "0.002", "0.004", "0.008", "0.012", "0.016", "0.024", "0.032"] {
        let recipient = sandbox.recipient();
        let script = format!(
            "cat >/tmp/stopped.$$; sendmail -i {recipient} </tmp/stopped.$$ & \
             sleep {delay}; kill -STOP $! && sleep 0.05 && kill -CONT $!; wait $!; \
             code=$?; rm /tmp/stopped.$$; exit $code"
        );
        let message = format!("From: a@{DOMAIN}\n\nx\n");
        let output = sandbox.sh("www-data", &script, message.as_bytes());
        assert!(output.status.success(), "{delay}: {output:?}");
        sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
    }
}
