use super::*;

/// One byte sequence of either side.
enum Said<'a> {
    Client(&'a str),
    Server(&'a str),
}
use Said::{Client, Server};

/// What each side received, the messages, and the final state.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    server: String,
    client: String,
    messages: Vec<String>,
    not_followed: Option<NotFollowed>,
}

fn hear_in_pieces(said: &[Said<'_>], size: usize) -> (Heard, Session) {
    let mut session = Session::default();
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut messages = Vec::new();
    let mut message = Vec::new();
    // Bytes of the client that the session did not read yet.
    let mut waiting = Vec::new();
    for one in said {
        let (bytes, is_client) = match one {
            Client(text) => (text, true),
            Server(text) => (text, false),
        };
        for piece in bytes.as_bytes().chunks(size) {
            if is_client {
                waiting.extend_from_slice(piece);
            } else {
                session.server(piece, &mut to_client);
            }
            loop {
                let taken = if session.is_in_data() {
                    let (taken, end) = session.data(&waiting, &mut message);
                    if end != DataEnd::NotYet {
                        messages.push(String::from_utf8(std::mem::take(&mut message)).unwrap());
                        to_server.extend_from_slice(b"<message>");
                        to_server.extend_from_slice(session.data_end());
                        session.end_data(end);
                    }
                    taken
                } else {
                    session.client(&waiting, &mut to_server)
                };
                waiting.drain(..taken);
                if taken == 0 {
                    break;
                }
            }
        }
    }
    session.server_ended(&mut to_client);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let heard = Heard {
        server: text(to_server),
        client: text(to_client),
        messages,
        not_followed: session.not_followed(),
    };
    (heard, session)
}

fn hear(said: &[Said<'_>]) -> (Heard, Session) {
    let whole = hear_in_pieces(said, usize::MAX);
    for size in 1..60 {
        assert_eq!(hear_in_pieces(said, size).0, whole.0, "pieces of {size}");
    }
    whole
}

const GREETING: Said<'_> = Server("220 host ESMTP\r\n");

#[test]
fn a_message_is_what_follows_an_answer_of_354() {
    let (heard, session) = hear(&[
        GREETING,
        Client("HELO x\r\n"),
        Server("250 host\r\n"),
        Client("MAIL FROM:<a@b.test> BODY=8BITMIME\r\n"),
        Server("250 ok\r\n"),
        Client("RCPT TO:<c@d.test>\r\n"),
        Server("250 ok\r\n"),
        Client("DATA\r\n"),
        Server("354 go\r\n"),
        Client("Subject: x\r\n\r\n..x\r\nDATA\r\n.\r\nQUIT\r\n"),
        Server("250 queued\r\n221 bye\r\n"),
    ]);
    assert_eq!(heard.messages, ["Subject: x\r\n\r\n..x\r\nDATA\r\n"]);
    assert!(heard.server.ends_with("DATA\r\n<message>.\r\nQUIT\r\n"), "{}", heard.server);
    assert!(heard.client.ends_with("354 go\r\n250 queued\r\n221 bye\r\n"));
    assert_eq!(session.envelope_sender(), Some(&b"a@b.test"[..]));
    assert_eq!(heard.not_followed, None);
}

#[test]
fn what_is_pipelined_waits_for_the_answer_to_data() {
    let commands = "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nDATA\r\nA: b\r\n\r\n.\r\nRSET\r\n";
    let (heard, _) = hear(&[Client(commands)]);
    assert!(heard.server.ends_with("DATA\r\n") && heard.messages.is_empty());
    let (heard, session) =
        hear(&[Client(commands), GREETING, Server("250 h\r\n250 o\r\n250 o\r\n354 go\r\n")]);
    assert!(heard.server.ends_with("DATA\r\n<message>.\r\nRSET\r\n"));
    assert_eq!(heard.messages, ["A: b\r\n\r\n"]);
    assert_eq!(session.envelope_sender(), Some(&b""[..]));
    // DATA is refused, so the following lines are commands, also for the server.
    let (heard, _) =
        hear(&[Client(commands), GREETING, Server("250 h\r\n250 o\r\n554 no\r\n503 no\r\n")]);
    assert_eq!(heard.server, commands);
    assert!(heard.messages.is_empty());
}

#[test]
fn replies_of_many_lines_count_once() {
    let (heard, _) = hear(&[
        Client("HELP\r\nNOOP\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"),
        Server("220-a\r\n220 b\r\n214-a\r\n214-354 c\r\n214 d\r\n250 ok\r\n"),
    ]);
    assert!(heard.server.ends_with("DATA\r\n"));
    let (heard, _) = hear(&[
        Client("HELP\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"),
        Server("220-a\r\n220 b\r\n214-a\r\n214 d\r\n354-go\r\n354 on\r\n"),
    ]);
    assert_eq!(heard.messages, ["x\r\n"]);
}

#[test]
fn an_informational_reply_answers_no_command() {
    let (heard, _) = hear(&[
        GREETING,
        Client("VERB\r\nDATA\r\nx\r\n.\r\n"),
        Server("250 ok\r\n050 news\r\n050 more\r\n354 go\r\n"),
    ]);
    assert_eq!(heard.messages, ["x\r\n"]);
}

#[test]
fn without_an_answer_to_data_all_is_passed_on() {
    let (mut session, mut to_server) = (Session::default(), Vec::new());
    assert_eq!(session.client(b"DATA\r\nx\r\n", &mut to_server), 6);
    assert!(session.is_waiting());
    session.give_up();
    assert_eq!(session.client(b"x\r\n", &mut to_server), 3);
    assert_eq!((session.not_followed(), session.is_waiting()), (Some(NotFollowed::NoReply), false));
}

#[test]
fn chunking_is_taken_out_of_the_reply_to_ehlo() {
    for (reply, wanted) in [
        ("250-h\r\n250-SIZE 100\r\n250 CHUNKING\r\n", "250-h\r\n250 SIZE 100\r\n"),
        ("250-h\r\n250-CHUNKING\r\n250 SIZE 100\r\n", "250-h\r\n250 SIZE 100\r\n"),
        ("250-h\r\n250 chunking\r\n", "250 h\r\n"),
        ("250-h\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250 X\n", "250-h\r\n250 X\n"),
        ("250 h\r\n", "250 h\r\n"),
        ("250-chunking\r\n250 DSN\r\n", "250-chunking\r\n250 DSN\r\n"),
        ("502-CHUNKING\r\n502 CHUNKING\r\n", "502-CHUNKING\r\n502 CHUNKING\r\n"),
    ] {
        let (heard, _) = hear(&[GREETING, Client("ehlo x\r\n"), Server(reply)]);
        assert_eq!(heard.client, format!("220 host ESMTP\r\n{wanted}"));
    }
    let (heard, session) =
        hear(&[GREETING, Client("NOOP\r\nEHLO x\r\n"), Server("250-x\r\n250 CHUNKING\r\n")]);
    assert!(heard.client.ends_with("250-x\r\n250 CHUNKING\r\n"));
    assert_eq!(session.size_limit(), None);
}

#[test]
fn the_size_limit_is_that_of_the_last_ehlo() {
    for (line, wanted) in
        [("SIZE 10240000", Some(10_240_000)), ("SIZE", None), ("SIZE 0", None), ("size 5", Some(5))]
    {
        let reply = format!("250-h\r\n250-{line}\r\n250 DSN\r\n");
        let (_, session) = hear(&[GREETING, Client("EHLO x\r\n"), Server(&reply)]);
        assert_eq!(session.size_limit(), wanted, "{line}");
    }
}

#[test]
fn the_envelope_sender_is_that_of_the_mail_that_was_accepted() {
    for (command, wanted) in [
        ("MAIL FROM:<a@b>", &b"a@b"[..]),
        ("mail from: <a@b> SIZE=3", b"a@b"),
        ("MAIL FROM:a@b SIZE=3", b"a@b"),
        ("MAIL FROM:<\"x> y\"@b> RET=HDRS", b"\"x> y\"@b"),
        ("MAIL FROM:<a\\\"b@c> SIZE=3", b"a\\\"b@c"),
        ("MAIL FROM:<>", b""),
    ] {
        let client = format!("{command}\r\nMAIL FROM:<second@b>\r\n");
        let (_, session) = hear(&[GREETING, Client(&client), Server("250 ok\r\n503 nested\r\n")]);
        assert_eq!(session.envelope_sender(), Some(wanted), "{command}");
    }
}

#[test]
fn after_bdat_starttls_or_354_for_other_commands_the_session_is_not_followed() {
    let (heard, _) = hear(&[
        GREETING,
        Client("BDAT 6 LAST\r\nDATA\r\nDATA\r\nx\r\n.\r\n"),
        Server("354 no\r\n"),
    ]);
    assert_eq!(heard.not_followed, Some(NotFollowed::Bdat));
    assert_eq!(heard.server, "BDAT 6 LAST\r\nDATA\r\nDATA\r\nx\r\n.\r\n");
    let (heard, _) = hear(&[GREETING, Client("STARTTLS\r\n"), Server("220 go\r\n\x16\x03")]);
    assert_eq!(heard.not_followed, Some(NotFollowed::StartTls));
    assert!(heard.client.ends_with("220 go\r\n\x16\x03"));
    // For Postfix a CR, VT or FF also ends a word.
    for command in ["STARTTLS\rx\r\n", "starttls\u{b}\r\n", "STARTTLS\u{c}x\n"] {
        let (heard, _) = hear(&[GREETING, Client(command), Server("220 go\r\n\u{16}\u{3}")]);
        assert_eq!(heard.not_followed, Some(NotFollowed::StartTls), "{command:?}");
    }
    let (heard, _) = hear(&[GREETING, Client("STARTTLS\r\nNOOP\r\n"), Server("454 no\r\n")]);
    assert_eq!(heard.not_followed, None);
    let (heard, _) =
        hear(&[GREETING, Client("DATE\r\n"), Server("354 go\r\n"), Client("DATA\r\n.")]);
    assert_eq!(heard.not_followed, Some(NotFollowed::UnexpectedText));
    assert_eq!(heard.server, "DATE\r\nDATA\r\n.");
}

#[test]
fn after_an_ambiguous_end_of_data_the_session_is_not_followed() {
    let text = "x\n.\nMAIL FROM:<evil@x>\r\nDATA\r\nx\r\n.\r\n";
    let (heard, _) = hear(&[GREETING, Client("DATA\r\n"), Server("354 go\r\n"), Client(text)]);
    assert_eq!(heard.not_followed, Some(NotFollowed::AmbiguousEnd));
    assert_eq!(heard.messages, ["x\n"]);
    assert_eq!(heard.server, text.replacen("x\n", "DATA\r\n<message>", 1));
}

#[test]
fn a_client_of_bare_lfs_is_followed() {
    let (heard, _) = hear(&[
        GREETING,
        Client("HELO x\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\nA: b\n\nx\n.\nQUIT\n"),
        Server("250 h\n250 o\n250 o\n354 go\n250 ok\n221 bye\n"),
    ]);
    assert_eq!((heard.not_followed, heard.messages), (None, vec!["A: b\n\nx\n".to_owned()]));
    assert!(heard.server.ends_with("DATA\n<message>.\nQUIT\n"));
}

#[test]
fn odd_lines_are_passed_on() {
    let long = "X".repeat(5_000);
    let said = format!("\r\n  data \r\n{long}\r\n\0\r\nVRFY a\r\nno end");
    let (heard, _) = hear(&[Client(&said), GREETING, Server("500 a\r\nodd\r\n503 b\r\n25")]);
    assert_eq!(heard.server, said);
    assert_eq!(heard.client, "220 host ESMTP\r\n500 a\r\nodd\r\n503 b\r\n25");
}

#[test]
fn a_reply_line_of_more_than_64_kib_is_passed_on_before_its_end() {
    let (mut session, mut to_client) = (Session::default(), Vec::new());
    session.server(&[b'x'; LONGEST_REPLY], &mut to_client);
    assert_eq!(to_client.len(), 0);
    session.server(b"x", &mut to_client);
    assert_eq!(to_client.len(), LONGEST_REPLY + 1);
    // A single read may also be longer.
    session.server(&[b'x'; LONGEST_REPLY + 2], &mut to_client);
    assert_eq!(to_client.len(), 2 * LONGEST_REPLY + 3);
}

#[test]
fn after_a_reply_too_few_text_is_passed_on() {
    let text = "x\r\n.\r\nQUIT\r\n";
    let (heard, _) = hear(&[GREETING, Client("\r\nDATA\r\n"), Server("354 go\r\n"), Client(text)]);
    assert_eq!(heard.not_followed, Some(NotFollowed::UnexpectedText));
    assert_eq!(heard.server, format!("\r\nDATA\r\n{text}"));
}

#[test]
fn a_new_server_gets_the_ehlo_name_and_its_replies_are_hidden() {
    let (_, mut session) = hear(&[
        GREETING,
        Client("EHLO me\r\n"),
        Server("250-h\r\n250 DSN\r\n"),
        Client("EHLO refused\r\n"),
        Server("501 no\r\n"),
        Client("DATA\r\n"),
        Server("354 go\r\n"),
    ]);
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    session.begin_again(&mut to_server);
    assert_eq!(to_server, b"EHLO me\r\n");
    session.server(b"220 other\r\n250-h\r\n250 CHUNKING\r\n", &mut to_client);
    assert_eq!(to_client, b"");
    session.client(b"RSET\r\n", &mut to_server);
    session.server(b"250 ok\r\n", &mut to_client);
    assert_eq!(to_client, b"250 ok\r\n");
}

#[test]
fn the_code_of_a_reply_is_three_digits() {
    for (line, expected) in [
        ("354 go on\r\n", Some((354, true))),
        ("250-SIZE\r\n", Some((250, false))),
        ("250\r\n", Some((250, true))),
        ("+54 go on\r\n", None),
        ("35", None),
        ("", None),
    ] {
        assert_eq!(code(line.as_bytes()), expected, "{line}");
    }
}
