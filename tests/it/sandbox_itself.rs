use crate::support::{Received, Sandbox, stdout};

/// A sandbox with a key that no program of ours had a hand in, its record published.
fn sandbox_with(test: &str, domain: &str) -> &'static Sandbox {
    let sandbox = Sandbox::for_test(test);
    let keys = format!("/tmp/{domain}");
    sandbox.root(&format!(
        "mkdir {keys} && opendkim-genkey -D {keys} -d {domain} -s plain -b 2048 &&
        /opt/sandbox/publish.py {domain} {keys}/plain.txt"
    ));
    sandbox
}

/// The message with a signature of dkimpy's, which changes nothing else in it.
fn signed(sandbox: &Sandbox, domain: &str, message: &str) -> String {
    let script = format!(
        "python3 -c \"import sys, dkim
text = sys.stdin.buffer.read()
key = open('/tmp/{domain}/plain.private', 'rb').read()
sys.stdout.buffer.write(dkim.sign(text, b'plain', b'{domain}', key).replace(b'\\r\\n', b'\\n') + text)\""
    );
    stdout(&sandbox.sh("root", &script, message.as_bytes()))
}

/// Submits past the wrapper.
fn submitted(sandbox: &Sandbox, recipient: &str, message: &str) -> Received {
    let script = format!("sendmail.postfix -i {recipient}");
    stdout(&sandbox.sh("root", &script, message.as_bytes()));
    sandbox.received(recipient)
}

fn message(domain: &str, subject: &str, body: &str) -> String {
    format!(
        "From: a@{domain}\nTo: b@sink.test\nSubject: {subject}\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n\
         Message-ID: <1@{domain}>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\n{body}\n"
    )
}

#[test]
#[ignore = "needs root"]
fn a_plain_signature_survives_and_all_three_verifiers_say_so() {
    let domain = "plain-good.test";
    let sandbox = sandbox_with("sandbox_itself", domain);
    let text = signed(sandbox, domain, &message(domain, "good", "green"));
    let received = submitted(sandbox, &sandbox.recipient(), &text);
    sandbox.assert_signed(&received, domain, "plain");
}

#[test]
#[ignore = "needs root"]
fn plain_presigning_breaks_without_8bitmime_and_all_three_verifiers_say_so() {
    let domain = "plain-bad.test";
    let sandbox = sandbox_with("sandbox_itself", domain);
    let text = signed(sandbox, domain, &message(domain, "bad", "gr\u{fc}n"));
    // It is the hop alone that breaks it.
    let received = submitted(sandbox, &sandbox.recipient(), &text);
    sandbox.assert_signed(&received, domain, "plain");
    let received = submitted(sandbox, &sandbox.recipient_7bit(), &text);
    let verdicts = sandbox.verify(&received);
    assert!(verdicts.all("fail"), "{verdicts}");
    let (header, body) = received.split();
    assert!(header.contains("\r\nContent-Transfer-Encoding: quoted-printable"), "{header}");
    assert_eq!(body, "gr=C3=BCn\r\n");
}

#[test]
#[ignore = "needs root"]
fn an_altered_message_fails_with_all_three_verifiers() {
    let domain = "plain-altered.test";
    let sandbox = sandbox_with("sandbox_itself", domain);
    let text = signed(sandbox, domain, &message(domain, "as signed", "as signed"));
    // It is the change alone that breaks it.
    sandbox.assert_signed(&submitted(sandbox, &sandbox.recipient(), &text), domain, "plain");
    for (from, to) in [("Subject: as", "Subject: not as"), ("\n\nas", "\n\nnot as")] {
        let altered = text.replacen(from, to, 1);
        assert_ne!(altered, text, "{from:?} is not in {text}");
        let received = submitted(sandbox, &sandbox.recipient(), &altered);
        let verdicts = sandbox.verify(&received);
        assert!(verdicts.all("fail"), "{from:?}: {verdicts}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_message_without_signature_is_reported_as_none() {
    let sandbox = Sandbox::for_test("sandbox_itself");
    let text = message("unsigned.test", "none", "x");
    let received = submitted(sandbox, &sandbox.recipient(), &text);
    let verdicts = sandbox.verify(&received);
    assert!(verdicts.all("none"), "{verdicts}");
}
