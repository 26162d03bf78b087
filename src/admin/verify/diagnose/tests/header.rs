//! Changes to the header.

use super::*;

#[test]
fn a_field_that_was_never_there_is_no_hint() {
    let texts = |message: &str| said(message).1.into_iter().map(|one| one.text).collect::<Vec<_>>();
    let changed = signed(MESSAGE, "relaxed/relaxed").replace("Hello, you", "Bye");
    let fields = "From, To, Subject, MIME-Version, Content-Transfer-Encoding";
    let one_of = "no known kind of change was found; one of these fields was changed: ";
    assert_eq!(texts(&changed), [format!("{one_of}{fields}")]);
    // h= names Reply-To twice, so there was one.
    let message = signed(&format!("Reply-To: a@x.test\r\n{MESSAGE}"), "relaxed/relaxed");
    let removed = message.replace("Reply-To: a@x.test\r\n", "");
    let missing = "h= names fields that are missing: Reply-To".to_owned();
    assert_eq!(texts(&removed), [missing, format!("{one_of}{fields}, Reply-To")]);
}

#[test]
fn a_tag_in_the_subject_is_named() {
    for subject in ["Subject: [list] Hello", "Subject: ***SPAM*** [x] Hello"] {
        let found = after(MESSAGE, "relaxed/relaxed", &[("Subject: Hello", subject)]);
        assert_eq!(found, ["subject-tag"]);
    }
    for (subject, text) in [
        ("[list] Hello, you", "\"[list]\" was added before the subject"),
        ("Hello, you (list)", "\"(list)\" was added after the subject"),
    ] {
        let (_, said) = said(&signed(MESSAGE, "simple/simple").replace("Hello, you", subject));
        assert_eq!(said[0].text, text);
    }
}

#[test]
fn a_rewritten_address_is_named() {
    for (from, to, what) in [
        ("To: root", "To: root@host.y.test", "domain-added"),
        ("jane@x.test", "jane@x.test.y.test", "domain-added"),
        (
            "From: \"Doe, Jane\" <jane@x.test>\r\n",
            "From: Jane via List <list@y.test>\r\nX-Original-From: \"Doe, Jane\" <jane@x.test>\r\n",
            "from-rewritten",
        ),
    ] {
        assert_eq!(after(MESSAGE, "relaxed/relaxed", &[(from, to)]), [what], "{to}");
    }
    let message = MESSAGE.replace("\"Doe, Jane\"", "Doe, Jane");
    let quoted = [("Doe, Jane", "\"Doe, Jane\"")];
    assert_eq!(after(&message, "relaxed/relaxed", &quoted), ["quotes-added"]);
}

#[test]
fn addresses_of_each_field_may_have_been_completed() {
    for name in ["From", "To", "Cc", "Reply-To", "Sender"] {
        let from = if name == "From" { "" } else { "From: a@x.test\r\n" };
        let message = format!("{from}{name}: root\r\n\r\nx\r\n");
        for to in [": root@host.y.test", ": <root@host.y.test>"] {
            let found = after(&message, "relaxed/relaxed", &[(": root", to)]);
            assert_eq!(found, ["domain-added"], "{name}{to}");
        }
    }
}

#[test]
fn the_signed_from_is_found_in_each_field_that_keeps_it() {
    for name in ["X-Original-From", "Original-From", "Reply-To", "Sender"] {
        let kept = format!("From: list@y.test\r\n{name}: \"Doe, Jane\" <jane@x.test>\r\n");
        let changes = [("From: \"Doe, Jane\" <jane@x.test>\r\n", kept.as_str())];
        let found = after(MESSAGE, "relaxed/relaxed", &changes);
        assert!(found.contains(&"from-rewritten"), "{name}: {found:?}");
    }
}

#[test]
fn each_way_to_fold_is_tried() {
    let ways = [" ", "\t", "\r\n\t", "\r\n ", "\r\n  "];
    for before in ways {
        let message = MESSAGE.replace("Hello, you", &format!("Hello,{before}you"));
        for now in ways.iter().filter(|now| **now != before) {
            // A space within the line is not known to have been a fold.
            let changes = [(&*format!("Hello,{before}you"), &*format!("Hello,{now}you"))];
            let found = after(&message, "simple/simple", &changes);
            let is_found = now.starts_with('\r');
            assert_eq!(found.contains(&"folding"), is_found, "{before:?} {now:?}");
        }
    }
    for value in [":Hello", ":  Hello", ":\tHello"] {
        let found =
            after(MESSAGE, "simple/simple", &[("Subject: Hello", &format!("Subject{value}"))]);
        assert_eq!(found, ["folding"], "{value:?}");
    }
}

#[test]
fn an_added_a_dropped_and_a_refolded_field_are_named() {
    let added = [("\r\nTo: root", "\r\nFrom: list@y.test\r\nTo: root")];
    assert_eq!(after(MESSAGE, "relaxed/relaxed", &added), ["field-added"]);
    let dropped = [("MIME-Version: 1.0\r\n", "")];
    assert_eq!(after(MESSAGE, "relaxed/relaxed", &dropped), ["field-dropped"]);
    let folded = [("Subject: Hello, you", "Subject: Hello,\r\n\tyou")];
    assert_eq!(after(MESSAGE, "simple/simple", &folded), ["folding"]);
}

#[test]
fn two_changes_to_the_header_are_named_both() {
    let changes = [("To: root", "To: root@y.test"), ("Subject: Hello", "Subject: [x] Hello")];
    assert_eq!(after(MESSAGE, "relaxed/relaxed", &changes), ["domain-added", "subject-tag"]);
}

#[test]
fn a_signature_of_another_key_is_distinguished_from_a_changed_header() {
    let message = signed(MESSAGE, "relaxed/relaxed").replacen("b=", "b=AAAA", 2);
    let message = message.replacen("bh=AAAA", "bh=", 1);
    let (result, found) = said(&message);
    assert_eq!(result, Err(Fault::Header));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].proven), ("other-key", true));
}

#[test]
fn of_an_ed25519_key_it_is_not_known_whether_it_made_the_signature() {
    let key = include_str!("../../../../../tests/vectors/rfc8463-a-brisbane.private");
    let message = signed_by(key, MESSAGE, "relaxed/relaxed");
    let (result, said) = said_with(&message.replace("Hello", "Bye"), &record_of(key));
    assert_eq!(result, Err(Fault::Header));
    let text = &said[0].text;
    assert!(text.contains("was changed, or another key made the signature: From"), "{text}");
}

#[test]
fn rfc6376_3_5_z_shows_the_original_field() {
    let message = signed(MESSAGE, "relaxed/relaxed").replacen(
        "v=1;",
        "v=1; z=Subject:Hello,=20you|To:=20root;",
        1,
    );
    let (result, said) = said(&message.replace("Subject: Hello", "Subject: Bye"));
    assert_eq!(result, Err(Fault::Header));
    assert_eq!(said[0].text, "according to the copy in z=, Subject was \"Hello, you\"");
    assert_eq!(said.len(), 2);
}
