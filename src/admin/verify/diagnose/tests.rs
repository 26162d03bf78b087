use super::*;
use crate::admin::signatures::split;
use crate::dkim::{
    Canonicalization, Domain, FieldName, Lookup, Recipe, Selector, SigningKey, sign, signature,
    verify,
};

mod header;

const KEY: &str = include_str!("../../../../tests/vectors/rfc6376-c.private");
const NOW: Timestamp = Timestamp(1_700_000_000);
const SIGNED: [&str; 10] = [
    "From",
    "To",
    "Subject",
    "Date",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Reply-To",
    "Cc",
    "Sender",
];
const MESSAGE: &str = "From: \"Doe, Jane\" <jane@x.test>\r\nTo: root\r\nSubject: Hello, you\r\n\
    MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\nFrom here on:\r\ngrün  \r\n.\r\n";

fn record() -> Vec<u8> {
    record_of(KEY)
}

fn record_of(key: &str) -> Vec<u8> {
    let key = SigningKey::from_pem(key, 1024).unwrap().public();
    Record::new(key).text().unwrap().into_bytes()
}

/// The message with a signature in some canonicalization.
fn signed(message: &str, canonicalization: &str) -> String {
    signed_by(KEY, message, canonicalization)
}

fn signed_by(key: &str, message: &str, canonicalization: &str) -> String {
    let (header, body) = split(message.as_bytes()).unwrap();
    let canonicalization: Canonicalization = canonicalization.parse().unwrap();
    let names: Vec<_> = SIGNED.iter().map(|name| FieldName::parse(name).unwrap()).collect();
    let oversigned = vec![FieldName::parse("From").unwrap(), FieldName::parse("Reply-To").unwrap()];
    let recipe = Recipe::new(Domain::parse("x.test").unwrap(), names, oversigned)
        .unwrap()
        .with_canonicalization(canonicalization);
    let mut hasher = crate::dkim::BodyHasher::new(canonicalization.body);
    hasher.update(body);
    let key = SigningKey::from_pem(key, 1024).unwrap();
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
fn lines_are_found_before_a_body_up_to_a_limit() {
    // A short body is found as the end of the one that came, no matter what is before it.
    let message = format!("From: a@x.test\r\n\r\nfirst\r\n{}", "line\r\n".repeat(20));
    for (lines, found) in [(50, &["banner", "header-intact"][..]), (51, &["header-intact"])] {
        let banner = format!("{}first", "be careful\r\n".repeat(lines));
        assert_eq!(after(&message, "relaxed/relaxed", &[("first", &banner)]), found, "{lines}");
    }
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
fn a_downgrade_to_base64_is_named() {
    let changes = [("Encoding: 8bit", "Encoding: base64"), ("grün\r\n", "Z3LDvG4NCg==\r\n")];
    let message = MESSAGE.replace("From here on:\r\ngrün  \r\n.\r\n", "grün\r\n");
    assert_eq!(after(&message, "relaxed/relaxed", &changes), ["encoded", "encoding-changed"]);
}

#[test]
fn each_encoding_that_a_hop_may_have_replaced_is_tried() {
    for before in ["8bit", "7bit", "8BIT", "binary", "quoted-printable"] {
        let message = MESSAGE.replace("8bit", before);
        let (from, to) = (format!("Encoding: {before}"), "Encoding: base64");
        assert_eq!(after(&message, "relaxed/relaxed", &[(&from, to)]), ["encoding-changed"]);
        let dropped = [(format!("Content-Transfer-Encoding: {before}\r\n"), "")];
        let dropped = dropped.each_ref().map(|(from, to)| (from.as_str(), *to));
        assert_eq!(after(&message, "relaxed/relaxed", &dropped), ["field-dropped"], "{before}");
        // In a part, at each place, and without the field.
        for place in ["{}X: 1\r\nY: 2\r\n", "X: 1\r\n{}Y: 2\r\n", "X: 1\r\nY: 2\r\n"] {
            let part = |encoding: &str| {
                place.replace("{}", &format!("Content-Transfer-Encoding: {encoding}\r\n"))
            };
            let message = format!(
                "From: a@x.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
                 --b\r\n{}\r\na=b\r\n--b--\r\n",
                part(before)
            );
            let now = "X: 1\r\nY: 2\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db";
            let changes = [(format!("{}\r\na=b", part(before)), now)];
            let changes = changes.each_ref().map(|(from, to)| (from.as_str(), *to));
            let found = after(&message, "relaxed/relaxed", &changes);
            let is_tried = ["8bit", "7bit", "8BIT"].contains(&before) || !place.contains("{}");
            assert_eq!(found.contains(&"encoded"), is_tried, "{before} {place:?}");
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
    let without_space = [(long.as_str(), &*format!("{first}\r\n{rest}"))];
    for canonicalization in ["simple/simple", "relaxed/relaxed"] {
        for broken in [broken, without_space] {
            let found = after(&message, canonicalization, &broken);
            assert_eq!(found, ["lines-broken", "header-intact"]);
        }
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
    // Without the mistake, the record is still none.
    let (_, said) = said_with(&message, b"\"v=DKIM1; p=AAAA\"");
    assert_eq!((said[0].code, said[0].proven), ("quotes", false), "{said:?}");
}

#[test]
fn a_domain_that_only_tests_dkim_is_named() {
    let record = [record(), b"; t=y".to_vec()].concat();
    let (result, said) = said_with(&signed(MESSAGE, "relaxed/relaxed"), &record);
    assert_eq!(result, Ok(()));
    assert_eq!((said.len(), said[0].code, said[0].proven), (1, "testing", true));
}

#[test]
fn an_algorithm_that_is_not_supported_is_named() {
    let message = signed(MESSAGE, "relaxed/relaxed").replace("rsa-sha256", "rsa-sha1");
    let (_, said) = said(&message);
    assert_eq!(said[0].text, "a=rsa-sha1, which RFC 8301 does not allow");
}

#[test]
fn an_expired_signature_says_since_when() {
    for (end, ago) in [("1699740000", "3 days"), ("1699913601", "86399 seconds")] {
        let times = format!("t=1; x={end};");
        let message = signed(MESSAGE, "relaxed/relaxed").replacen("t=1700000000;", &times, 1);
        let (result, said) = said(&message);
        assert_eq!(result, Err(Fault::Expired));
        assert_eq!(said[0].text, format!("the signature expired {ago} ago (x=)"));
    }
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
