use crate::support::{Received, Sandbox};

/// Signs with dkimpy, which changes nothing in the message, and submits past the wrapper.
fn presigned(sandbox: &Sandbox, domain: &str, recipient: &str, message: &str) -> Received {
    let script = format!(
        "python3 -c \"import sys, dkim
text = sys.stdin.buffer.read()
key = open('/etc/sendmail-dkim/keys/{domain}/plain.private', 'rb').read()
sys.stdout.buffer.write(dkim.sign(text, b'plain', b'{domain}', key).replace(b'\\r\\n', b'\\n') + text)\" |
        sendmail.postfix -i {recipient}"
    );
    let output = sandbox.sh("root", &script, message.as_bytes());
    assert!(output.status.success(), "{output:?}");
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
fn a_plain_signature_survives_and_all_three_verifiers_say_so() {
    let Some(sandbox) = Sandbox::for_test("sandbox_itself") else { return };
    sandbox.key("plain-good.test", "plain");
    let text = message("plain-good.test", "good", "gr\u{fc}n");
    let received = presigned(sandbox, "plain-good.test", &sandbox.recipient(), &text);
    sandbox.assert_signed(&received, "plain-good.test", "plain");
}

#[test]
fn plain_presigning_breaks_without_8bitmime_and_all_three_verifiers_say_so() {
    let Some(sandbox) = Sandbox::for_test("sandbox_itself") else { return };
    sandbox.key("plain-bad.test", "plain");
    let text = message("plain-bad.test", "bad", "gr\u{fc}n");
    let received = presigned(sandbox, "plain-bad.test", &sandbox.recipient_7bit(), &text);
    let verdicts = sandbox.verify(&received);
    assert!(verdicts.all("fail"), "{verdicts}");
}

#[test]
fn a_message_without_signature_is_none() {
    let Some(sandbox) = Sandbox::for_test("sandbox_itself") else { return };
    let recipient = sandbox.recipient();
    let text = message("nobody.test", "none", "x");
    let output = sandbox.sh("root", &format!("sendmail.postfix -i {recipient}"), text.as_bytes());
    assert!(output.status.success(), "{output:?}");
    let verdicts = sandbox.verify(&sandbox.received(&recipient));
    assert!(verdicts.all("none"), "{verdicts}");
}
