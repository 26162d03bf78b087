use super::*;
use crate::admin::signatures::split;
use crate::dkim::{
    Canonicalization, Domain, FieldName, Lookup, Recipe, Selector, SigningKey, sign, signature,
    verify,
};

const KEY: &str = include_str!("../../../../tests/vectors/rfc6376-c.private");
const NOW: Timestamp = Timestamp(1_700_000_000);
const SIGNED: [&str; 8] = [
    "From",
    "To",
    "Subject",
    "Date",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Reply-To",
];
const MESSAGE: &str = "From: \"Doe, Jane\" <jane@x.test>\r\nTo: root\r\nSubject: Hello, you\r\n\
    MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\nFrom here on:\r\ngrün  \r\n.\r\n";

fn record() -> Vec<u8> {
    let key = SigningKey::from_pem(KEY, 1024).unwrap().public();
    Record::new(key).text().unwrap().into_bytes()
}

/// The message with a signature in some canonicalization.
fn signed(message: &str, canonicalization: &str) -> String {
    let (header, body) = split(message.as_bytes()).unwrap();
    let canonicalization: Canonicalization = canonicalization.parse().unwrap();
    let names: Vec<_> = SIGNED.iter().map(|name| FieldName::parse(name).unwrap()).collect();
    let oversigned = vec![FieldName::parse("From").unwrap(), FieldName::parse("Reply-To").unwrap()];
    let recipe = Recipe::new(Domain::parse("x.test").unwrap(), names, oversigned)
        .unwrap()
        .with_canonicalization(canonicalization);
    let mut hasher = crate::dkim::BodyHasher::new(canonicalization.body);
    hasher.update(body);
    let key = SigningKey::from_pem(KEY, 1024).unwrap();
    let selector = Selector::parse("s").unwrap();
    let signature = sign(&header, &hasher.finish(), &recipe, &selector, &key, NOW).unwrap();
    let signature = std::str::from_utf8(signature.as_bytes()).unwrap().replace('\n', "\r\n");
    format!("{signature}{message}")
}

/// The verdict on the signature of a message, and what is said of it.
fn said(message: &str) -> (Result<(), Fault>, Vec<Finding>) {
    said_with(message, &record())
}

fn said_with(message: &str, record: &[u8]) -> (Result<(), Fault>, Vec<Finding>) {
    let (header, body) = split(message.as_bytes()).unwrap();
    let found = &mut |_: &Domain, _: &Selector| Lookup::Found(record.to_vec());
    let verdict = verify(&header, body, NOW, found).remove(0);
    let field = header.named(signature::NAME).next().unwrap();
    let case = Case { header: &header, body, field, record: Some(record), now: NOW };
    let said = diagnose(&case, &verdict.result);
    (verdict.result, said)
}

/// What is proven of a message in which something was replaced on the way.
fn after(message: &str, canonicalization: &str, changes: &[(&str, &str)]) -> Vec<&'static str> {
    let mut message = signed(message, canonicalization);
    assert_eq!(said(&message), (Ok(()), vec![]));
    for (from, to) in changes {
        assert!(message.contains(from), "{from}");
        message = message.replace(from, to);
    }
    let (result, said) = said(&message);
    assert!(result.is_err(), "{message}");
    let names = |one: &Finding| if one.proven { one.code } else { "" };
    said.iter().map(names).filter(|what| !what.is_empty()).collect()
}

#[test]
fn what_was_added_to_the_body_is_named() {
    let footer = (".\r\n", ".\r\n\r\n-- \r\nlist mailing list\r\nlist@y.test\r\n");
    for canonicalization in ["simple/simple", "relaxed/relaxed"] {
        let found = after(MESSAGE, canonicalization, &[footer]);
        assert_eq!(found, ["footer", "header-intact"]);
        let found =
            after(MESSAGE, canonicalization, &[("From here", "[EXTERNAL]\r\n\r\nFrom here")]);
        assert_eq!(found, ["banner", "header-intact"]);
    }
    let (_, said) = said(&signed(MESSAGE, "relaxed/relaxed").replace(footer.0, footer.1));
    assert_eq!(said[0].text, "lines 4 to 7 of the body were added: \"--\" ...");
}

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
fn a_footer_within_a_multipart_is_named() {
    let message = "From: a@x.test\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n\r\n--b--\r\n";
    let footer = ("text\r\n\r\n--b--", "text\r\n\r\n--b\r\n\r\nfooter\r\n\r\n--b--");
    assert_eq!(after(message, "relaxed/relaxed", &[footer]), ["footer", "header-intact"]);
}

#[test]
fn a_downgrade_to_seven_bits_is_named_in_body_and_header() {
    for encoded in [("grün  ", "gr=C3=BCn =20"), ("grün  \r\n", "gr=C3=BC=\r\nn =20\r\n")] {
        let field = ("Encoding: 8bit", "Encoding: quoted-printable");
        for canonicalization in ["simple/simple", "relaxed/relaxed"] {
            let found = after(MESSAGE, canonicalization, &[encoded, field]);
            assert_eq!(found, ["encoded", "encoding-changed"]);
        }
    }
}

#[test]
fn a_downgrade_of_one_part_is_named_with_its_number() {
    let message = "From: a@x.test\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\na=3Db\r\n\
        --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\
        X-Part: 2\r\n\r\ngrün\r\n--b--\r\n";
    let downgraded = [
        (
            "Content-Transfer-Encoding: 8bit\r\nX-Part: 2",
            "X-Part: 2\r\nContent-Transfer-Encoding: quoted-printable",
        ),
        ("grün", "gr=C3=BCn"),
    ];
    assert_eq!(after(message, "relaxed/relaxed", &downgraded), ["encoded", "header-intact"]);
}

#[test]
fn broken_lines_are_named_with_their_length() {
    let long = "word ".repeat(300);
    let message = format!("From: a@x.test\r\n\r\n{long}end\r\nnext\r\n");
    let (first, rest) = long.split_at(998);
    let broken = [(long.as_str(), &*format!("{first}\r\n {rest}"))];
    for canonicalization in ["simple/simple", "relaxed/relaxed"] {
        assert_eq!(after(&message, canonicalization, &broken), ["lines-broken", "header-intact"]);
    }
    let mut message = signed(&message, "relaxed/relaxed");
    message = message.replace(broken[0].0, broken[0].1);
    assert_eq!(said(&message).1[0].text, "lines longer than 998 bytes were broken");
    let header = format!("From: a@x.test\r\nSubject: {long}end\r\n\r\nx\r\n");
    let broken =
        [(long.as_str(), &*format!("{}\r\n {}", long.split_at(700).0, long.split_at(700).1))];
    assert_eq!(after(&header, "simple/simple", &broken), ["lines-broken"]);
    let inside = [("rd word end", "rd wo\r\n rd end")];
    assert_eq!(after(&header, "relaxed/relaxed", &inside), ["lines-broken"]);
}

#[test]
fn small_changes_to_lines_are_named() {
    let from = [("\r\nFrom here", "\r\n>From here")];
    assert_eq!(after(MESSAGE, "relaxed/relaxed", &from), ["from-quoted", "header-intact"]);
    let message = "From: a@x.test\r\n\r\n.dot\r\n-- \r\nme\r\n";
    let dot = [(".dot", "..dot")];
    assert_eq!(after(message, "simple/simple", &dot), ["dots-doubled", "header-intact"]);
    let lost = [("-- \r\n", "--\r\n")];
    assert_eq!(after(message, "simple/simple", &lost), ["blanks-lost", "header-intact"]);
    let cr = [("me\r\n", "me\r\r\n")];
    assert_eq!(after(message, "relaxed/relaxed", &cr), ["cr-added", "header-intact"]);
}

#[test]
fn lost_dots_are_named_with_their_lines() {
    let message = "From: a@x.test\r\n\r\ntext\r\n.dot\r\n..\r\nend\r\n.css { }\r\n";
    for canonicalization in ["simple/simple", "relaxed/relaxed"] {
        for changes in [
            &[("\r\n.dot", "\r\ndot")][..],
            &[("\r\n.dot", "\r\ndot"), (".css", "css")],
            &[("\r\n..\r\n", "\r\n.\r\n")],
        ] {
            assert_eq!(after(message, canonicalization, changes), ["dots-lost", "header-intact"]);
        }
    }
    let (_, said) = said(&signed(message, "simple/simple").replace("\r\n.dot", "\r\ndot"));
    assert!(said[0].text.starts_with("a dot at the beginning of line 2 of the body was lost"));
}

#[test]
fn a_body_that_was_hashed_by_the_other_canonicalization_is_named() {
    let empty = "From: a@x.test\r\n\r\n";
    for (message, what) in [(MESSAGE, "the body"), (empty, "the empty body")] {
        for (made, says) in
            [("relaxed/simple", "c=relaxed/relaxed"), ("relaxed/relaxed", "c=relaxed/simple")]
        {
            let message = signed(message, made).replacen(&format!("c={made}"), says, 1);
            let (result, said) = said(&message);
            assert_eq!(result, Err(Fault::Body));
            assert_eq!(
                (said[0].code, said[0].proven),
                ("other-canonicalization", true),
                "{said:?}"
            );
            assert!(said[0].text.starts_with(what), "{said:?}");
        }
    }
}

#[test]
fn a_signature_that_became_encoded_words_is_named() {
    let message = signed(MESSAGE, "relaxed/relaxed");
    let (_, after) = message.split_once("DKIM-Signature:").unwrap();
    let end = after.find("\r\nFrom:").unwrap();
    let (value, rest) = after.split_at(end);
    let words = value.split("\r\n").map(|line| {
        let text = line.trim().replace('=', "=3D").replace(' ', "_");
        format!(" =?us-ascii?Q?{text}?=")
    });
    let words: Vec<String> = words.collect();
    let message = format!("DKIM-Signature:{}{rest}", words.join("\r\n"));
    let (result, said) = said(&message);
    assert!(matches!(result, Err(Fault::Signature(_))), "{result:?}");
    assert_eq!((said.len(), said[0].code, said[0].proven), (1, "encoded-words", true));
}

#[test]
fn a_body_that_is_shorter_than_l_is_named() {
    let message = signed(MESSAGE, "simple/simple");
    let (header, _) = split(message.as_bytes()).unwrap();
    let field = header.named(signature::NAME).next().unwrap();
    let claims = Claims { length: Some(30), ..Claims::parse(field).unwrap() };
    let case = Case { header: &header, body: b"abc\r\n", field, record: None, now: NOW };
    let said = cut(&case, &claims);
    let wanted =
        "30 bytes of the body are signed (l=30), but it has only 5: at least 25 were removed";
    assert_eq!(said[0].text, wanted);
}

#[test]
fn two_changes_to_one_body_are_named_both() {
    let changes = [("\r\nFrom here", "\r\n>From here"), (".\r\n", ".\r\nfooter\r\n")];
    let mut message = signed(MESSAGE, "relaxed/relaxed");
    for (from, to) in changes {
        message = message.replace(from, to);
    }
    let (_, said) = said(&message);
    assert!(
        said[0].proven && said[0].text.contains("; and line 4 of the body was added: \"footer\"")
    );
}

#[test]
fn a_tag_in_the_subject_is_named() {
    for subject in ["Subject: [list] Hello", "Subject: ***SPAM*** [x] Hello"] {
        let found = after(MESSAGE, "relaxed/relaxed", &[("Subject: Hello", subject)]);
        assert_eq!(found, ["subject-tag"]);
    }
    let (_, said) =
        said(&signed(MESSAGE, "simple/simple").replace("Subject: Hello", "Subject: [list] Hello"));
    assert_eq!(said[0].text, "\"[list]\" was added before the subject");
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
fn a_change_that_cannot_be_undone_is_not_guessed() {
    let message = signed(MESSAGE, "relaxed/relaxed");
    let (_, found) = said(&message.replace("here", "there"));
    let what: Vec<_> = found.iter().map(|one| (one.code, one.proven)).collect();
    assert_eq!(what, [("unknown", false), ("header-intact", true)]);
    let (_, found) = said(&message.replace("Hello", "Bye"));
    assert!(found.iter().all(|one| !one.proven), "{found:?}");
    assert!(found.last().unwrap().text.contains("Subject"), "{found:?}");
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

#[test]
fn a_mistake_in_the_record_is_named() {
    let message = signed(MESSAGE, "relaxed/relaxed");
    let record = String::from_utf8(record()).unwrap();
    let (result, said) = said_with(&message, format!("\"{record}\"").as_bytes());
    assert!(matches!(result, Err(Fault::Record(_))));
    assert_eq!((said.len(), said[0].code, said[0].proven), (1, "quotes", true));
    let (_, said) = said_with(&message, record.replace("; k=", ";=").as_bytes());
    assert_eq!((said.len(), said[0].code, said[0].proven), (1, "lost-name", true));
    let (_, said) = said_with(&message, b"v=DKIM1; p=");
    assert_eq!(said, []);
}

#[test]
fn an_algorithm_that_is_not_supported_is_named() {
    let message = signed(MESSAGE, "relaxed/relaxed").replace("rsa-sha256", "rsa-sha1");
    let (_, said) = said(&message);
    assert_eq!(said[0].text, "a=rsa-sha1, which RFC 8301 does not allow");
}

#[test]
fn an_expired_signature_says_since_when() {
    let message =
        signed(MESSAGE, "relaxed/relaxed").replacen("t=1700000000;", "t=1; x=1699740000;", 1);
    let (result, said) = said(&message);
    assert_eq!(result, Err(Fault::Expired));
    assert_eq!(said[0].text, "the signature expired 3 days ago (x=)");
}

#[test]
fn an_l_tag_that_leaves_bytes_unsigned_is_reported() {
    let message = signed(MESSAGE, "simple/simple");
    let (header, _) = split(message.as_bytes()).unwrap();
    let field = header.named(signature::NAME).next().unwrap();
    let claims = Claims { length: Some(3), ..Claims::parse(field).unwrap() };
    let body = b"abc\r\ndef\r\n";
    let case = Case { header: &header, body, field, record: None, now: NOW };
    let record = Record::parse(&record()).unwrap();
    let said = reservations(&case, &claims, &record);
    assert_eq!(said[0].text, "the last 7 bytes of the body are not signed (l=3)");
    let claims = Claims { length: Some(10), ..claims };
    let said = reservations(&case, &claims, &record);
    assert_eq!(
        said[0].text,
        "anyone may append to the body: only 10 bytes of it are signed (l=10)"
    );
}
