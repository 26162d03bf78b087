use sendmail_dkim::config::Signing;

use crate::support::{Received, Sandbox, stdout};

/// A message with each field of the list, and one with From alone; Date and Message-ID are completed in both.
const FULL: &str = "From: a@replay.test\nTo: b@sink.test\nCc: c@sink.test\nReply-To: d@sink.test\nSubject: s\n\
    Date: Sun, 29 Nov 2026 10:00:00 +0000\nMessage-ID: <1@replay.test>\nIn-Reply-To: <0@replay.test>\n\
    References: <0@replay.test>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\
    Content-Transfer-Encoding: 7bit\nContent-Disposition: inline\nContent-Base: http://a.test/\n\
    Content-Location: http://a.test/x\nAutocrypt: addr=a@replay.test; keydata=AAAA\n\nHello\n";
const SHORT: &str = "From: a@replay.test\n\nHello\n";

/// What a replayer may want to add: a field of that name that says something else.
fn added(name: &str) -> String {
    let value = match name.to_ascii_lowercase().as_str() {
        "content-type" => "text/html",
        "content-transfer-encoding" => "base64",
        "content-disposition" => "attachment; filename=a.html",
        "mime-version" => "1.0",
        "date" => "Mon, 30 Nov 2026 10:00:00 +0000",
        "subject" => "pay at once",
        "message-id" | "in-reply-to" | "references" => "<evil@evil.test>",
        name if name.starts_with("content-") => "http://evil.test/",
        _ => "evil@evil.test",
    };
    format!("{name}: {value}\r\n")
}

/// The message with a field above its signature, and with it as the last of its header.
fn replayed(message: &Received, field: &str) -> [Vec<u8>; 2] {
    let text = String::from_utf8(message.bytes.clone()).unwrap();
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    [format!("{field}{text}"), format!("{header}\r\n{field}\r\n{body}")].map(String::into_bytes)
}

/// Sends a message, adds the fields to it in both places, and returns which of those still pass one of the verifiers.
fn still_passing(sandbox: &Sandbox, message: &str, names: &[String]) -> Vec<String> {
    let recipient = sandbox.recipient();
    stdout(&sandbox.sh("alice", &format!("sendmail -i {recipient}"), message.as_bytes()));
    let received = sandbox.received(&recipient);
    sandbox.assert_signed(&received, "replay.test", "s1");
    sandbox.root("rm -rf /tmp/replay; mkdir /tmp/replay");
    let mut paths = Vec::new();
    for name in names {
        for (place, bytes) in ["above", "below"].iter().zip(replayed(&received, &added(name))) {
            let path = format!("/tmp/replay/{name}.{place}");
            std::fs::write(sandbox.path(&path), bytes).unwrap();
            paths.push(path);
        }
    }
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    sandbox.passing_in(&paths)
}

/// The oversigned fields, as they are usually written and in capitals.
fn oversigned() -> Vec<String> {
    let names = Signing::default().oversign;
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let capitals = names.iter().map(|name| name.to_ascii_uppercase());
    names.iter().cloned().chain(capitals).collect()
}

#[test]
#[ignore = "needs root"]
fn no_field_that_counts_can_be_added_to_a_signed_message() {
    let sandbox = Sandbox::own("replay");
    sandbox.key("replay.test", "s1");
    sandbox.root("echo 'undisclosed_recipients_header = \"\"' >>/etc/sendmail-dkim/config.toml");
    let names = oversigned();
    assert!(names.len() > 20, "{names:?}");
    for message in [FULL, SHORT] {
        assert_eq!(still_passing(&sandbox, message, &names), [""; 0]);
    }
    // What a mailing list adds may be added: the verifiers can pass what is changed.
    let list = ["List-Id", "Sender", "X-Loop", "Precedence"].map(str::to_owned);
    let passing = still_passing(&sandbox, SHORT, &list);
    assert_eq!(passing.len(), 3 * 2 * list.len(), "{passing:?}");
}

#[test]
#[ignore = "needs root"]
fn what_postfix_adds_to_mail_without_recipients_is_added_before() {
    let sandbox = Sandbox::own("replay");
    sandbox.key("replay.test", "s1");
    let setting = "undisclosed_recipients_header = To: undisclosed-recipients:;";
    sandbox.root(&format!("postconf -e '{setting}' && postfix reload 2>/dev/null"));
    sandbox.root("rm /etc/sendmail-dkim/config.toml; dkimctl setup");
    let to = ["To".to_owned(), "Cc".to_owned()];
    assert_eq!(still_passing(&sandbox, SHORT, &to), [""; 0]);
    // Told otherwise, the signature would break: the test can fail.
    sandbox.root("sed -i 's/^undisclosed.*/undisclosed_recipients_header = \"\"/' /etc/sendmail-dkim/config.toml");
    let recipient = sandbox.recipient();
    stdout(&sandbox.sh("alice", &format!("sendmail -i {recipient}"), SHORT.as_bytes()));
    assert!(sandbox.verify(&sandbox.received(&recipient)).all("fail"));
}
