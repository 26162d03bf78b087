//! The process that signs, and what takes the place of the process that reads messages: it gets signatures that its user may
//! have, and nothing else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sha2::{Digest as _, Sha256};

use sendmail_dkim::dkim::{Algorithm, HashInput, SigningKey};
use sendmail_dkim::wrapper::protocol::{HEAD, MOST, Request, read_reply};

use super::{DOMAIN, FORBIDDEN, KEY, OWN, message, sandbox, user};
use crate::support::{Attacks, Sandbox, User, assert_no_secret, project, stdout};

/// The text of a signature that names a domain and a selector.
fn text(domain: &str, selector: &str) -> HashInput {
    let field = format!("dkim-signature:v=1; d={domain}; s={selector}; h=from; b=").into_bytes();
    HashInput { fields: b"from:a\r\n".to_vec(), signatures: [field.clone(), field] }
}

fn request(author: &str, selector: &str, input: &HashInput) -> Vec<u8> {
    Request { author, selector, input }.to_bytes().unwrap()
}

/// An attacker who has taken the pipes of a `-bs` session.
pub(super) struct Hostile {
    session: Child,
    asking: Child,
    ask: Option<ChildStdin>,
    told: BufReader<ChildStdout>,
}

impl Hostile {
    fn new(sandbox: &Sandbox, user: &User) -> Self {
        Self::of_script(sandbox, &user.name, "echo $$; exec sendmail -bs", true)
    }

    /// An attacker who has taken the pipes of the wrapper that a script becomes, after the script has written its process id.
    pub(super) fn of_script(sandbox: &Sandbox, user: &str, script: &str, greets: bool) -> Self {
        let mut session = spawn(sandbox.command(user, "/bin/sh").args(["-c", script]));
        let mut pid = String::new();
        let mut said = BufReader::new(session.stdout.take().unwrap());
        said.read_line(&mut pid).unwrap();
        if greets {
            // Both children are there.
            said.read_line(&mut String::new()).unwrap();
        } else {
            let ready =
                format!("until [ -n \"$(pgrep -P {0})\" ]; do sleep 0.05; done", pid.trim());
            sandbox.root(&ready);
        }
        let python = std::fs::read_to_string(project("tests/it/privilege/ask.py")).unwrap();
        let mut asking =
            spawn(sandbox.command("root", "python3").args(["-c", &python, pid.trim()]));
        let (ask, told) = (asking.stdin.take(), asking.stdout.take().unwrap());
        Self { session, asking, ask, told: BufReader::new(told) }
    }

    /// Asks with bytes that need be no request; the reply, if there is one.
    fn ask(&mut self, how: &str, request: &[u8]) -> Option<Vec<u8>> {
        writeln!(self.ask.as_mut().unwrap(), "{how}{}", hex(request)).unwrap();
        let mut reply = String::new();
        self.told.read_line(&mut reply).unwrap();
        let bytes = |hex: &str| {
            let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            hex.as_bytes().chunks(2).map(byte).collect()
        };
        Some(reply.trim()).filter(|reply| *reply != "none").map(bytes)
    }

    /// What is said of a request.
    pub(super) fn said(&mut self, author: &str, selector: &str) -> Result<Vec<u8>, String> {
        self.said_of(author, selector, &text(author, selector))
    }

    /// What is said of a request with any text.
    fn said_of(
        &mut self,
        author: &str,
        selector: &str,
        input: &HashInput,
    ) -> Result<Vec<u8>, String> {
        let reply = self.ask("", &request(author, selector, input));
        let reply = reply.expect("each request has a reply");
        let reply = reply.as_slice().try_into().expect("all replies have one length");
        read_reply(reply).map(|(_, signature)| signature)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.ask = None;
        drop(self.session.kill());
        for child in [&mut self.session, &mut self.asking] {
            drop(child.wait());
        }
    }
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the reply is the signature that was asked for.
fn is_signed(sandbox: &Sandbox, said: &Result<Vec<u8>, String>) -> bool {
    let key = stdout(&sandbox.sh("root", &format!("cat {KEY}"), b""));
    let public = SigningKey::from_pem(&key, 1024).unwrap().public();
    let hash = Sha256::digest(text(DOMAIN, "s1").text(Algorithm::RsaSha256)).into();
    said.as_ref().is_ok_and(|signature| public.verifies(&hash, signature))
}

/// `dkimctl rotate` may have written another domain file since the message was read.
#[test]
#[ignore = "needs root"]
fn a_key_of_the_domain_signs_though_its_file_names_it_no_more() {
    let sandbox = sandbox();
    let later = KEY.replace("s1.", "later.");
    stdout(&sandbox.sh("root", &format!("cp -p {KEY} {later}"), b""));
    let mut hostile = Hostile::new(sandbox, &user());
    let said = hostile.said(DOMAIN, "later");
    stdout(&sandbox.sh("root", &format!("rm {later}"), b""));
    assert!(said.is_ok(), "{said:?}");
}

#[test]
#[ignore = "needs root"]
fn an_attacker_in_the_reader_gets_only_signatures_that_its_user_may_have() {
    let sandbox = sandbox();
    let attacks =
        Attacks::of(an_attacker_in_the_reader_gets_only_signatures_that_its_user_may_have);
    let user = user();
    let mut hostile = Hostile::new(sandbox, &user);
    assert!(is_signed(sandbox, &hostile.said(DOMAIN, "s1")), "a right that the user has");
    attacks.row("ask for a signature that the user may have", "a signature");
    for (what, author, selector, wanted) in [
        ("for a domain of another user", FORBIDDEN, "s1", "the user may not sign for the domain"),
        ("for a domain of a third user", OWN, "s1", "the user may not sign for the domain"),
        ("for no domain of this host", "unknown.test", "s1", "no domain file"),
        ("with a selector that has no key", DOMAIN, "s2", "cannot open key"),
        ("for a path", "../../etc", "s1", "not a request"),
        ("for an absolute path", "/etc/sendmail-dkim/keys/forbidden.test", "s1", "not a request"),
        ("with a selector that walks", DOMAIN, "../forbidden.test/s1", "not a request"),
        ("for upper case", "PRIVILEGE.TEST", "s1", "not a request"),
        ("for the name of a file", "forbidden.test.toml", "s1", "no domain file"),
        ("for nothing", "", "", "not a request"),
    ] {
        let said = hostile.said(author, selector).unwrap_err();
        assert!(said.contains(wanted), "{what}: {said}");
        assert_no_secret(sandbox, said.as_bytes());
        attacks.row(&format!("ask {what}"), &said);
    }
}

/// A key may be in the folders of several domains: it signs for the one that the user may sign for.
#[test]
#[ignore = "needs root"]
fn what_is_signed_names_the_domain_and_the_selector_that_it_is_asked_for() {
    let sandbox = sandbox();
    let attacks =
        Attacks::of(what_is_signed_names_the_domain_and_the_selector_that_it_is_asked_for);
    let mut hostile = Hostile::new(sandbox, &user());
    let of = |fields: &[u8], end: &[u8]| HashInput {
        fields: fields.to_vec(),
        signatures: [text(DOMAIN, "s1").signatures[0].clone(), end.to_vec()],
    };
    let [right, other] = [text(DOMAIN, "s1"), text(FORBIDDEN, "s1")].map(|it| it.signatures);
    for (what, input) in [
        ("for a signature of another domain", text(FORBIDDEN, "s1")),
        ("for one of another selector", text(DOMAIN, "s2")),
        ("for one of another domain by the other algorithm", of(b"", &other[0])),
        ("for one below another", of(b"", &[right[0].as_slice(), b"\r\n", &other[0]].concat())),
        ("for one in the middle of a line", of(b"from:a", &right[0])),
        ("for a text of one's own", of(b"", b"I owe you 100\r\n")),
        ("for nothing at all", of(b"", b"")),
    ] {
        let said = hostile.said_of(DOMAIN, "s1", &input).unwrap_err();
        assert_eq!(said, "the text to sign is not of the domain and the selector", "{what}");
        attacks.row(&format!("ask {what}"), &said);
    }
    assert!(is_signed(sandbox, &hostile.said(DOMAIN, "s1")), "a right that the user has");
}

/// `also_sign_as` gives signatures of another domain to the users of one domain, and to no other user.
#[test]
#[ignore = "needs root"]
fn a_domain_that_signs_too_does_so_for_the_domains_that_name_it() {
    // One of its own, as the domain files are changed.
    let sandbox = Sandbox::own("signer");
    let sandbox = &sandbox;
    for domain in [DOMAIN, FORBIDDEN, OWN] {
        sandbox.key(domain, "s1");
    }
    let file = |domain: &str| format!("/etc/sendmail-dkim/domains/{domain}.toml");
    sandbox.root(&format!("echo 'also_sign_as = [\"{FORBIDDEN}\"]' >>{}", file(DOMAIN)));
    sandbox.root(&format!(
        "echo 'users = [\"root\"]' | tee -a {} >>{}",
        file(FORBIDDEN),
        file(OWN)
    ));
    sandbox.root(&format!("echo 'also_sign_as = [\"{DOMAIN}\"]' >>{}", file(OWN)));
    let attacks = Attacks::of(a_domain_that_signs_too_does_so_for_the_domains_that_name_it);
    let user = User { name: "www-data".to_owned(), uid: 33 };
    let mut hostile = Hostile::new(sandbox, &user);
    let said = hostile.said_of(DOMAIN, "s1", &text(FORBIDDEN, "s1"));
    assert!(said.is_ok(), "{said:?}");
    attacks.row("ask for the second signature of a domain that has two", "a signature");
    let not_of = "the text to sign is not of the domain and the selector";
    for (what, author, input, wanted) in [
        ("for mail of that domain", FORBIDDEN, text(FORBIDDEN, "s1"), "the user may not sign"),
        ("by a domain that is not named", DOMAIN, text(OWN, "s1"), not_of),
        ("by a selector that is not of the text", DOMAIN, text(FORBIDDEN, "s2"), not_of),
        (
            "for a domain of others that names one's own",
            OWN,
            text(DOMAIN, "s1"),
            "the user may not",
        ),
    ] {
        let said = hostile.said_of(author, "s1", &input).unwrap_err();
        assert!(said.contains(wanted), "{what}: {said}");
        attacks.row(&format!("ask for the second signature {what}"), &said);
    }
}

#[test]
#[ignore = "needs root"]
fn malformed_requests_are_not_signed_and_do_not_desynchronize() {
    let sandbox = sandbox();
    let attacks = Attacks::of(malformed_requests_are_not_signed_and_do_not_desynchronize);
    let mut hostile = Hostile::new(sandbox, &user());
    // Bytes of which none is a name; all values of each byte of a request that is right.
    let right = request(DOMAIN, "s1", &text(DOMAIN, "s1"));
    let (mut signed, mut refused) = (0, 0);
    for (place, value) in
        (0..512).step_by(7).flat_map(|place| [(place, 0), (place, b'/'), (place, 0xff)])
    {
        let mut wrong = right.clone();
        wrong[place] = value;
        let reply = hostile.ask("", &wrong).expect("each request has a reply");
        assert_no_secret(sandbox, &reply);
        match read_reply(reply.as_slice().try_into().unwrap()) {
            Ok(_) => signed += 1,
            Err(_) => refused += 1,
        }
        assert_eq!(wrong == right, reply[0] == b'r', "byte {place} is {value}");
    }
    attacks
        .row("change a byte of a request", &format!("{refused} refused, {signed} were the same"));
    // In pieces, and many at once: no reply is of another length, or of another request.
    let reply = hostile.ask("partial ", &right).unwrap();
    assert!(is_signed(
        sandbox,
        &read_reply(reply.as_slice().try_into().unwrap()).map(|(_, it)| it)
    ));
    assert_eq!(hostile.ask("", &right[..100]), None, "less than a request is waited for");
    let reply = hostile.ask("", &right[100..]).unwrap();
    assert!(is_signed(
        sandbox,
        &read_reply(reply.as_slice().try_into().unwrap()).map(|(_, it)| it)
    ));
    attacks.row("write a request in pieces", "signed once it is whole");
    assert!(is_signed(sandbox, &hostile.said(DOMAIN, "s1")), "it is in step");
    // More than any header has: where the next request would begin is not known any more.
    let mut long = right.clone();
    long[512..516].copy_from_slice(&u32::try_from(MOST).unwrap().to_le_bytes());
    assert_eq!(hostile.ask("", &long[..HEAD]), None);
    assert_eq!(hostile.ask("", &right), None);
    attacks.row("announce a longer text than any header has", "the process that signs ends");
}

#[test]
#[ignore = "needs root"]
fn a_bad_key_file_affects_only_messages_that_need_it() {
    // One of its own: others look for the keys of theirs in all that they see.
    let sandbox = Sandbox::own("signer");
    let sandbox = &sandbox;
    sandbox.key(DOMAIN, "s1");
    let attacks = Attacks::of(a_bad_key_file_affects_only_messages_that_need_it);
    let user = User { name: "www-data".to_owned(), uid: 33 };
    for (what, spoil, wanted) in [
        (
            "larger than any key",
            "head -c 20000 /dev/urandom | base64 >KEY",
            "is larger than 16384 bytes",
        ),
        ("empty", ": >KEY", "the file is empty"),
        (
            "of the length of a reply",
            "head -c 770 /dev/urandom | base64 >KEY",
            "no private key in PEM format",
        ),
    ] {
        let number = sandbox.recipient().split('@').next().unwrap().to_owned();
        let domain = format!("{number}.spoiled.test");
        sandbox.key(&domain, "s1");
        let key = format!("/etc/sendmail-dkim/keys/{domain}/s1.private");
        sandbox.root(&spoil.replace("KEY", &key));
        let mut hostile = Hostile::new(sandbox, &user);
        for _ in 0..2 {
            let said = hostile.said(&domain, "s1").unwrap_err();
            assert!(said.contains(wanted), "{what}: {said}");
            assert!(hostile.said(DOMAIN, "s1").is_ok(), "{what}: the next one is signed");
        }
        attacks.row(
            &format!("a key file {what}, in a session"),
            &format!("{wanted}; the next message is signed"),
        );
        // Through the program, too.
        let [first, second] = [sandbox.recipient(), sandbox.recipient()];
        let mail = |domain: &str, recipient: &str| {
            let text = String::from_utf8(message(&format!("a@{domain}"))).unwrap();
            let text = text.replace('\n', "\r\n");
            format!("MAIL FROM:<a@{domain}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n{text}.\r\n")
        };
        let session =
            format!("EHLO x\r\n{}{}QUIT\r\n", mail(&domain, &first), mail(DOMAIN, &second));
        let output = sandbox.sh(&user.name, "timeout 60 sendmail -bs", session.as_bytes());
        assert!(output.status.success(), "{output:?}");
        assert!(!sandbox.received(&first).split().0.contains("DKIM-Signature"), "{what}");
        sandbox.assert_signed(&sandbox.received(&second), DOMAIN, "s1");
    }
}

#[test]
#[ignore = "needs root"]
fn no_byte_of_a_key_is_in_a_call_of_the_reader() {
    let sandbox = sandbox();
    let attacks = Attacks::of(no_byte_of_a_key_is_in_a_call_of_the_reader);
    let user = user();
    let session = format!(
        "EHLO x\r\nMAIL FROM:<a@{DOMAIN}>\r\nRCPT TO:<x@sink.test>\r\nDATA\r\nFrom: a@{DOMAIN}\r\n\r\nx\r\n.\r\nQUIT\r\n"
    );
    for (program, input) in [
        ("sendmail -bs", session.as_str()),
        ("sendmail -i x@sink.test", "From: a@privilege.test\n\nx\n"),
    ] {
        sandbox.root("rm -rf /opt/traced; mkdir /opt/traced");
        let script =
            format!("strace -ff -s 100000 -xx -o /opt/traced/of -u {} {program}", user.name);
        let output = sandbox.sh("root", &script, input.as_bytes());
        assert!(output.status.success(), "{output:?}");
        let key = stdout(&sandbox.sh("root", &format!("cat {KEY}"), b""));
        let lines = key.lines().filter(|line| line.len() == 64);
        let secrets: Vec<String> = lines
            .map(|line| {
                line.bytes().skip(8).take(24).map(|byte| format!("\\x{byte:02x}")).collect()
            })
            .collect();
        assert!(secrets.len() > 20);
        let names = stdout(&sandbox.sh("root", "ls -v /opt/traced", b""));
        let traces: Vec<String> = names
            .lines()
            .map(|name| {
                std::fs::read_to_string(sandbox.path(&format!("/opt/traced/{name}"))).unwrap()
            })
            .collect();
        let has =
            |text: &str| secrets.iter().filter(|secret| text.contains(secret.as_str())).count();
        let with: Vec<usize> = (0..traces.len()).filter(|place| has(&traces[*place]) > 0).collect();
        // The first process reads the message; the second signs, and reads the key once.
        assert_eq!(with, [1], "{program}");
        let calls = traces[1].lines().filter(|line| has(line) > 0);
        let calls: Vec<&str> = calls.map(|line| line.split('(').next().unwrap()).collect();
        assert_eq!(calls, ["read"], "{program}");
        let writes = |text: &str| text.lines().filter(|line| line.starts_with("write(")).count();
        attacks.row(
            &format!("{program}, traced: the bytes of the key in all calls"),
            &format!(
                "in 1 read of the process that signs; in none of its {} writes, and in none of the {} calls of {} other processes",
                writes(&traces[1]),
                traces.iter().map(|text| text.lines().count()).sum::<usize>() - traces[1].lines().count(),
                traces.len() - 1
            ),
        );
    }
}
