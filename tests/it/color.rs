//! What a terminal shows. `script` of util-linux makes one.

use crate::support::{Sandbox, stdout};

const RED: &str = "\u{1b}[31m";
const YELLOW: &str = "\u{1b}[33m";
const GREEN: &str = "\u{1b}[32m";
const END: &str = "\u{1b}[0m";

/// Runs it on a terminal. Returns what the terminal got from stdout and stderr.
fn on_terminal(sandbox: &Sandbox, environment: &str, command: &str) -> String {
    let script = format!(
        "rm -rf /tmp/colors/*/x.test*; env {environment} script -qec '{command}' /dev/null </dev/null || true"
    );
    sandbox.root(&script).replace("\r\n", "\n")
}

/// A tree with a key that signs, one that is lost, and a domain with a long name.
fn tree(sandbox: &Sandbox) -> String {
    let etc = "/tmp/colors";
    let long = format!("{}.{}.test", "a".repeat(60), "b".repeat(60));
    sandbox.root(&format!(
        "mkdir {etc}; echo 'sendmail = \"/usr/sbin/sendmail.postfix\"' >{etc}/config.toml
         for domain in ok.test lost.test {long}; do
             dkimctl --etc {etc} add $domain -s s1 --type ed25519 >/dev/null
         done
         echo 'users = [\"\u{65e5}\u{672c}\"]' >>{etc}/domains/ok.test.toml; rm {etc}/keys/lost.test/s1.private
         printf 'From: a@x.test\\nDKIM-Signature: v=1\\n\\nx\\n' >/tmp/colors.eml"
    ));
    etc.to_owned()
}

fn plain(text: &str) -> String {
    [RED, YELLOW, GREEN, END].iter().fold(text.to_owned(), |text, code| text.replace(code, ""))
}

#[test]
#[ignore = "needs root"]
fn a_terminal_shows_colors_and_nothing_else_does() {
    let sandbox = Sandbox::for_test("color");
    let etc = tree(sandbox);
    let server = "--server 127.0.0.1:9";
    for (command, color, word) in [
        (format!("dkimctl --etc {etc} status"), RED, "broken"),
        (format!("dkimctl --etc {etc} status"), YELLOW, "signs"),
        (
            format!("dkimctl --etc {etc} check ok.test"),
            GREEN,
            "1 domain file with its keys and all permissions: in order",
        ),
        (format!("dkimctl --etc {etc} doctor --offline"), RED, "ERROR"),
        (format!("dkimctl --etc {etc} doctor --offline"), YELLOW, "warning"),
        (format!("dkimctl --etc {etc} testkey ok.test {server}"), RED, "unavailable"),
        (format!("dkimctl --etc {etc} explain --from a@ok.test"), YELLOW, "decision:  "),
        ("dkimctl verify /tmp/colors.eml".to_owned(), RED, "fail"),
        ("dkimctl try".to_owned(), GREEN, "verified"),
        (format!("dkimctl --etc {etc} genkey x.test s -b 1024"), YELLOW, "dkimctl:"),
        ("dkimctl nothing".to_owned(), RED, "dkimctl:"),
    ] {
        let colored = on_terminal(sandbox, "TERM=xterm NO_COLOR=", &command);
        assert!(colored.contains(&format!("{color}{word}{END}")), "{command}: {colored}");
        for environment in ["TERM=xterm NO_COLOR=1", "TERM=dumb", "-u TERM"] {
            let shown = on_terminal(sandbox, environment, &command);
            assert!(!shown.contains('\u{1b}'), "{environment} {command}: {shown}");
        }
        // Neither JSON nor a pipe has any, even if the other stream is a terminal.
        let json = on_terminal(sandbox, "TERM=xterm", &format!("{command} --json 2>/dev/null"));
        assert!(!json.contains('\u{1b}'), "{command}: {json}");
        let piped = on_terminal(sandbox, "TERM=xterm", &format!("{command} 2>&1 | cat"));
        assert!(!piped.contains('\u{1b}'), "{command}: {piped}");
    }
}

#[test]
#[ignore = "needs root"]
fn columns_are_aligned_on_a_terminal_and_separated_by_tabs_in_a_pipe() {
    let sandbox = Sandbox::own("color");
    let etc = tree(&sandbox);
    for (command, other) in [("status", "  not seen in DNS"), ("list", "  s1  ")] {
        let command = format!("dkimctl --etc {etc} {command}");
        let colored = on_terminal(&sandbox, "TERM=xterm", &command);
        let shown = on_terminal(&sandbox, "TERM=xterm NO_COLOR=1", &command);
        assert_eq!(plain(&colored), shown);
        let rows: Vec<&str> = shown.lines().filter(|line| line.contains(" s1 ")).collect();
        assert_eq!(rows.len(), 3, "{shown}");
        for cell in ["  s1  ", other] {
            let starts: Vec<_> = rows.iter().map(|row| row.find(cell).unwrap()).collect();
            assert!(starts.iter().all(|start| *start == starts[0]), "{cell}: {shown}");
        }
        let piped = sandbox.root(&format!("{command} || true"));
        let separated = piped.lines().filter(|line| line.contains("\ts1\t"));
        assert_eq!(separated.count(), 3, "{piped}");
    }
    assert!(
        stdout(&sandbox.sh("root", &format!("dkimctl --etc {etc} list"), b""))
            .contains("\u{65e5}\u{672c}")
    );
}
