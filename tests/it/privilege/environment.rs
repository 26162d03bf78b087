//! What a caller can pass besides the message: environment, argv[0], argv.

use super::{DOMAIN, EVIL, message, sandbox, user};
use crate::support::{Attacks, Observed, signing_domains, stderr, stdout};

/// One variable, or a few that belong together, each with what its owner would gain by it.
const VARIABLES: [&str; 58] = [
    "LD_PRELOAD=/tmp/evil/steal.so",
    "LD_PRELOAD=steal.so LD_LIBRARY_PATH=/tmp/evil",
    "LD_LIBRARY_PATH=/tmp/evil/lib",
    "LD_AUDIT=/tmp/evil/steal.so",
    "LD_DEBUG=all LD_DEBUG_OUTPUT=/tmp/evil/out/debug",
    "LD_PROFILE=libc.so.6 LD_PROFILE_OUTPUT=/tmp/evil/out",
    "LD_BIND_NOW=1",
    "LD_BIND_NOT=1",
    "LD_DYNAMIC_WEAK=1",
    "LD_HWCAP_MASK=0",
    "LD_ORIGIN_PATH=/tmp/evil",
    "LD_POINTER_GUARD=0",
    "LD_PREFER_MAP_32BIT_EXEC=1",
    "LD_SHOW_AUXV=1",
    "LD_USE_LOAD_BIAS=1",
    "LD_VERBOSE=1 LD_WARN=1",
    "MALLOC_TRACE=/tmp/evil/out/malloc",
    "MALLOC_CHECK_=3",
    "MALLOC_PERTURB_=170",
    "MALLOC_ARENA_MAX=1 MALLOC_ARENA_TEST=1",
    "MALLOC_MMAP_THRESHOLD_=1 MALLOC_MMAP_MAX_=65536",
    "MALLOC_TOP_PAD_=1000000000",
    "MALLOC_TRIM_THRESHOLD_=0",
    "GLIBC_TUNABLES=glibc.malloc.check=3:glibc.malloc.perturb=255",
    "GLIBC_TUNABLES=glibc.malloc.mxfast=glibc.malloc.mxfast=A",
    "RUST_BACKTRACE=full RUST_LIB_BACKTRACE=1",
    "RUST_LOG=trace",
    "RUST_MIN_STACK=18446744073709551615",
    "GCONV_PATH=/tmp/evil LC_ALL=de_DE.EVIL CHARSET=EVIL",
    "GETCONF_DIR=/tmp/evil",
    "LOCPATH=/tmp/evil LC_ALL=evil",
    "NLSPATH=/tmp/evil/%N LANGUAGE=evil",
    "LANG=../../../tmp/evil",
    "LC_ALL=ja_JP.SJIS",
    "LANG=%s%n%x",
    "TZ=:/tmp/evil/fifo",
    "TZ=../../../tmp/evil/fifo TZDIR=/tmp/evil",
    "TZ=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "PATH=/tmp/evil",
    "PATH=",
    "HOME=/tmp/evil",
    "HOME=/etc/sendmail-dkim/keys",
    "IFS=/ ENV=/tmp/evil/x BASH_ENV=/tmp/evil/x",
    "TMPDIR=/tmp/evil TMP=/tmp/evil TEMP=/tmp/evil",
    "SENDMAIL_DKIM_ETC=/tmp/evil",
    "SENDMAIL_DKIM_ETC=/etc/sendmail-dkim/../../tmp/evil",
    "SENDMAIL_DKIM_ETC=evil",
    "sendmail_dkim_etc=/tmp/evil XDG_CONFIG_HOME=/tmp/evil",
    "NAME=x\\\"\\<root@other.test\\>",
    "USER=root LOGNAME=root UID=0",
    "HOSTALIASES=/tmp/evil/x RES_OPTIONS=debug LOCALDOMAIN=evil RESOLV_HOST_CONF=/etc/shadow",
    "NIS_PATH=/tmp/evil NSS_WRAPPER_PASSWD=/tmp/evil/x",
    "OPENSSL_CONF=/tmp/evil/x SSLKEYLOGFILE=/tmp/evil/out/tls",
    "POSIXLY_CORRECT=1",
    "MAIL_DEBUG=1 MAIL_VERBOSE=1",
    "SSL_CERT_FILE=/tmp/evil/x",
    "PERL5LIB=/tmp/evil PERL5OPT=-Mx PYTHONPATH=/tmp/evil PYTHONSTARTUP=/tmp/evil/x",
    "LISTEN_FDS=5 NOTIFY_SOCKET=/tmp/evil/x MEMORY_PRESSURE_WATCH=/tmp/evil/fifo",
];

/// A configuration that would hand the message, and more, to a program of the attacker's; a FIFO that blocks every program that
/// opens it.
fn set_the_traps(sandbox: &crate::support::Sandbox) {
    use std::sync::Once;
    static SET: Once = Once::new();
    SET.call_once(|| {
        let user = user();
        stdout(&sandbox.sh(
            &user.name,
            &format!(
                "cd {EVIL}; mkdir domains; mkfifo fifo; echo 'sendmail = \"{EVIL}/grab\"' >config.toml
                printf '#!/bin/sh\\ntouch {EVIL}/out/stolen; cat\\n' >grab; chmod 755 grab
                printf 'module EVIL// INTERNAL steal 1\\n' >gconv-modules; cp grab sendmail.postfix"
            ),
            b"",
        ));
    });
}

/// What the attacker's traps caught inside the wrapper.
fn caught(sandbox: &crate::support::Sandbox) -> String {
    let found = sandbox.root(&format!("ls {EVIL}/out"));
    let is_ours = |name: &&str| name.contains("stolen") || name.contains("sendmail.dkim");
    found.lines().filter(is_ours).collect()
}

#[test]
#[ignore = "needs root"]
fn no_variable_reaches_a_key() {
    let sandbox = sandbox();
    let attacks = Attacks::of(no_variable_reaches_a_key);
    set_the_traps(sandbox);
    let user = user();
    // Where there is no bit, they are sprung: it is not that they don't work.
    for variable in ["LD_PRELOAD", "LD_AUDIT"] {
        stdout(&sandbox.sh(&user.name, &format!("{variable}={EVIL}/steal.so cat </dev/null"), b""));
        let found = sandbox.root(&format!("ls {EVIL}/out; rm {EVIL}/out/ran.cat"));
        assert!(found.contains("ran.cat"), "{variable}: {found}");
    }
    let mut signed = Vec::new();
    for variables in VARIABLES {
        // Postfix waits for ever at the FIFO.
        let patience =
            if variables.contains("fifo") && variables.starts_with("TZ") { 5 } else { 60 };
        let alone = |program: &str| {
            format!("exec timeout {patience} env {variables} /usr/sbin/{program} RCPT")
        };
        let message = message(&format!("a@{DOMAIN}"));
        let observed = Observed::of(sandbox, &user, &alone("sendmail"), &message);
        let mut outcome = observed.outcome();
        if observed.arrived.is_none() {
            // What the real sendmail does not bear is no matter of ours. The key was used all the same.
            let script = alone("sendmail.postfix").replace("RCPT", "x@sink.test");
            let theirs = sandbox.sh(&user.name, &script, &message);
            assert_eq!(
                observed.output.status, theirs.status,
                "{variables}: {observed:?} {theirs:?}"
            );
            assert!(observed.logged.concat().ends_with("result=signed"), "{observed:?}");
            outcome = format!("signed; then {}, as Postfix alone", theirs.status);
        } else {
            assert_eq!(observed.signed_by().as_deref(), Some(DOMAIN), "{variables}: {observed:?}");
        }
        attacks.row(variables, &outcome);
        signed.extend(observed.arrived);
    }
    assert_eq!(caught(sandbox), "");
    assert_eq!(sandbox.failures(&signed), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn an_odd_environment_does_no_harm() {
    let sandbox = sandbox();
    let attacks = Attacks::of(an_odd_environment_does_no_harm);
    set_the_traps(sandbox);
    let user = user();
    let python = |environment: &str| {
        // execve(2) itself: a list as no shell would make it.
        format!(
            "exec python3 -c 'import ctypes
argv = [b\"sendmail\", b\"-i\", b\"RCPT\"]
env = {environment}
array = lambda list: (ctypes.c_char_p * (len(list) + 1))(*list, None)
ctypes.CDLL(None).execve(b\"/usr/sbin/sendmail\", array(argv), array(env))'"
        )
    };
    for (what, environment) in [
        ("an empty environment", "[]"),
        ("entries without =", "[b\"x\", b\"\", b\"=\", b\"=x\", b\"LD_PRELOAD\"]"),
        ("a variable twice", "[b\"SENDMAIL_DKIM_ETC=/x\", b\"SENDMAIL_DKIM_ETC=/tmp/evil\"]"),
        ("bytes that are no UTF-8", "[b\"NAME=\\xff\\xfe\", b\"\\xff=\\x01\"]"),
        ("20,000 variables", "[b\"V%d=x\" % n for n in range(20000)]"),
        ("one of 120,000 bytes", "[b\"LD_PRELOAD=\" + b\"/tmp/evil/steal.so:\" * 6000]"),
    ] {
        let from = format!("a@{DOMAIN}");
        let observed = Observed::of(sandbox, &user, &python(environment), &message(&from));
        assert_eq!(observed.signed_by().as_deref(), Some(DOMAIN), "{what}: {observed:?}");
        attacks.row(what, &observed.outcome());
    }
    assert_eq!(caught(sandbox), "");
}

#[test]
#[ignore = "needs root"]
fn the_wrapper_opens_nothing_that_a_caller_names() {
    let sandbox = sandbox();
    let attacks = Attacks::of(the_wrapper_opens_nothing_that_a_caller_names);
    set_the_traps(sandbox);
    let user = user();
    // All of them at once. Root may trace and the bit holds; LD_* is for the wrapper alone.
    let variables: Vec<String> =
        VARIABLES.iter().map(|variable| variable.replace("LC_ALL", "-- LC_ALL")).collect();
    let variables: Vec<&str> = variables
        .iter()
        .flat_map(|variables| variables.split(' '))
        .filter(|word| word.contains('=') && !word.contains('\\') && !word.starts_with("MAIL_"))
        .collect();
    let set: String = variables.iter().map(|variable| format!("-E '{variable}' ")).collect();
    let recipient = sandbox.recipient();
    let name = &user.name;
    let script = format!(
        "timeout 60 strace -u {name} -f -e trace=open,openat,openat2,execve,access,stat,statx,readlink \
         -o {EVIL}/trace {set} /usr/sbin/sendmail.dkim -i {recipient}; cat {EVIL}/trace"
    );
    let output = sandbox.sh("root", &script, &message(&format!("a@{DOMAIN}")));
    let trace = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = trace.lines().skip(1).take_while(|line| !line.contains("execve("));
    let lines: Vec<&str> = lines.collect();
    assert!(lines.iter().any(|line| line.contains("s1.private")), "{trace}");
    for line in &lines {
        assert!(!line.contains("evil"), "{line}");
    }
    sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
    let words = format!("{} calls that name a file, none of them in {EVIL}", lines.len());
    attacks.row("all of these variables at once, traced by root", &words);
}

#[test]
#[ignore = "needs root"]
fn no_name_of_the_program_changes_what_it_does() {
    let sandbox = sandbox();
    let attacks = Attacks::of(no_name_of_the_program_changes_what_it_does);
    let user = user();
    let long = "x".repeat(100_000);
    for name in [
        "",
        "-",
        "--",
        "-bs",
        "../../../etc/passwd",
        "/etc/sendmail-dkim/keys/privilege.test/s1.private",
        "sendmail.dkim",
        "dkimctl",
        "postdrop",
        "%s%n%x",
        "\\n\\033[2J\\nsendmail-dkim[1]: uid=0",
        "\\xff\\xfe",
        &long,
    ] {
        let script = format!("exec -a \"$(printf '{name}' | sed 's/^$//')\" sendmail -i RCPT");
        let script = script.replace('\'', "'\\''");
        let observed = Observed::of(
            sandbox,
            &user,
            &format!("exec bash -c '{script}'"),
            &message(&format!("a@{DOMAIN}")),
        );
        assert_eq!(observed.signed_by().as_deref(), Some(DOMAIN), "{name}: {observed:?}");
        let shown: String = name.chars().take(50).collect();
        attacks.row(&format!("argv[0] = \"{shown}\""), &observed.outcome());
    }
}

#[test]
#[ignore = "needs root"]
fn an_empty_argv_is_a_message_without_recipients() {
    let sandbox = sandbox();
    let attacks = Attacks::of(an_empty_argv_is_a_message_without_recipients);
    let user = user();
    let run = |program: &str| {
        let script = format!(
            "exec python3 -c 'import ctypes
array = (ctypes.c_char_p * 1)(None)
ctypes.CDLL(None).execve(b\"/usr/sbin/{program}\", array, array)'"
        );
        sandbox.sh(&user.name, &script, &message(&format!("a@{DOMAIN}")))
    };
    let (ours, theirs) = (run("sendmail.dkim"), run("sendmail.postfix"));
    assert_eq!(ours.status, theirs.status, "{ours:?} {theirs:?}");
    let outcome = format!("{}, as Postfix alone: {}", ours.status, stderr(&ours));
    attacks.row("execve(2) with no argv at all", &outcome);
}

#[test]
#[ignore = "needs root"]
fn mail_config_and_dash_c_are_postfix_matters() {
    let sandbox = sandbox();
    let attacks = Attacks::of(mail_config_and_dash_c_are_postfix_matters);
    let user = user();
    for script in [
        "MAIL_CONFIG=/nowhere PROGRAM",
        "MAIL_CONFIG=/tmp/evil PROGRAM",
        "PROGRAM -C /nowhere",
        "PROGRAM -C /etc/sendmail-dkim/keys/privilege.test/s1.private",
        "PROGRAM -oQ/tmp/evil -D/tmp/evil/x -X/tmp/evil/log -d99 -bt",
    ] {
        let run = |program: &str| {
            let script = format!("{} x@sink.test", script.replace("PROGRAM", program));
            sandbox.sh(&user.name, &script, &message(&format!("a@{DOMAIN}")))
        };
        let (ours, theirs) = (run("sendmail"), run("sendmail.postfix"));
        assert_eq!(ours.status, theirs.status, "{ours:?} {theirs:?}");
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("sendmail.postfix", "sendmail");
        assert_eq!(text(&ours.stderr), text(&theirs.stderr));
        attacks.row(
            &script.replace("PROGRAM", "sendmail"),
            &format!("{}, as Postfix alone", ours.status),
        );
    }
}

#[test]
#[ignore = "needs root"]
fn megabytes_of_arguments_are_handed_on_or_refused() {
    let sandbox = sandbox();
    let attacks = Attacks::of(megabytes_of_arguments_are_handed_on_or_refused);
    let user = user();
    let submit = |limit: &str, count: u32, recipient: &str| {
        let script = format!(
            "ulimit -s {limit}; long=$(head -c 120000 /dev/zero | tr '\\0' x); set --; \
             for number in $(seq {count}); do set -- \"$@\" \"-OA=$long\"; done; \
             exec sendmail \"$@\" -i {recipient}"
        );
        sandbox.sh(&user.name, &script, &message(&format!("a@{DOMAIN}")))
    };
    // Linux lets argv and environment have a quarter of the stack, and one argument 128 KiB.
    let recipient = sandbox.recipient();
    let output = submit("8192", 15, &recipient);
    assert!(output.status.success(), "{:?}", output.status);
    let received = sandbox.received(&recipient);
    sandbox.assert_signed(&received, DOMAIN, "s1");
    let outcome = format!("arrived signed, d={}", signing_domains(&received).join(","));
    attacks.row("1.8 MB of argv", &outcome);
    // And 6 MiB at most; but a set-gid program finds its stack cut to 8 MiB, so that it cannot hand on as much.
    let recipient = sandbox.recipient();
    let output = submit("unlimited", 45, &recipient);
    let said = stderr(&output);
    assert!(output.status.code() == Some(75) && said.contains("argument list too long"), "{said}");
    assert!(sandbox.arrived(&recipient).is_empty());
    attacks.row("5.4 MB of argv, with an unlimited stack", &format!("not sent, exit 75: {said}"));
    let output = submit("unlimited", 84, &recipient);
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains("Argument list too long"), "{said}");
    attacks.row("10 MB of argv", &format!("Linux does not start the program: {said}"));
}
