use base64::prelude::*;

use super::*;
use crate::admin::published::mistake::Typo;
use crate::dkim::SigningKey;

const RSA: &str = include_str!("../../../../tests/vectors/rfc6376-c.private");
const ED25519: &str = include_str!("../../../../tests/vectors/rfc8463-a-brisbane.private");

fn key(pem: &str) -> PublicKey {
    SigningKey::from_pem(pem, 1024).unwrap().public()
}

fn p() -> String {
    key(RSA).to_base64().unwrap()
}

/// What is said of records, in which `KEY` stands for the text of p=; the size of the key is not counted.
fn said(records: &[&str]) -> Vec<Mistake> {
    let others = [("old".to_owned(), key(ED25519))];
    let expected =
        Expected { key: &key(RSA), others: &others, identity_below: true, subdomains: true };
    let records: Vec<_> =
        records.iter().map(|record| record.replace("KEY", &p()).into_bytes()).collect();
    let mut found = examine(&records, &expected);
    found.retain(|mistake| *mistake != Mistake::Weak(1024));
    found
}

#[test]
fn nothing_is_said_of_a_right_record() {
    for record in [
        "v=DKIM1; k=rsa; p=KEY",
        "p=KEY",
        "v=DKIM1; h=sha256; s=email; n=\"x\"; p=KEY;",
        "v=DKIM1; h=sha1 : sha256; s=tlsrpt:email; t=x; p=KEY",
        "v=DKIM1; s=*; p=KEY",
    ] {
        assert_eq!(said(&[record]), [], "{record}");
    }
    // t=s does no harm if neither i= nor From is of a subdomain.
    let expected =
        Expected { key: &key(RSA), others: &[], identity_below: false, subdomains: false };
    let found = examine(&[format!("t=s; p={}", p()).into_bytes()], &expected);
    assert_eq!(found, [Mistake::Weak(1024)]);
}

#[test]
fn rfc6376_3_6_1_the_key_may_be_a_bare_rsa_public_key() {
    let whole = base64(&p()).unwrap();
    // Without the algorithm and the BIT STRING around it.
    let (_, bare) = whole.split_at(22);
    let record = format!("v=DKIM1; k=rsa; p={}", BASE64_STANDARD.encode(bare));
    assert_eq!(said(&[&record]), []);
}

#[test]
fn a_small_key_is_named_by_its_bits() {
    let expected =
        Expected { key: &key(RSA), others: &[], identity_below: false, subdomains: false };
    let found = examine(&[format!("p={}", p()).into_bytes()], &expected);
    assert_eq!(found, [Mistake::Weak(1024)]);
    let key = &SigningKey::generate(2048, &mut getrandom::SysRng).unwrap().public();
    let record = Record::new(key.clone()).text().unwrap();
    assert_eq!(examine(&[record.into_bytes()], &Expected { key, ..expected }), []);
}

#[test]
fn each_mistake_of_the_text_is_named_and_seen_through() {
    let lost = Typo::LostName { value: "rsa".to_owned(), name: Some("k") };
    for (record, mistake) in [
        ("\"v=DKIM1; k=rsa; \" \"p=KEY\"", Typo::Quotes),
        ("v=DKIM1\\; k=rsa\\; p=KEY", Typo::Backslash("\\;")),
        ("v=DKIM1;=rsa; p=KEY", lost),
        ("v=DKIM1 k=rsa; p=KEY", Typo::NoSeparator { before: "k" }),
        ("v=DKIM1; k=rsa p=KEY", Typo::NoSeparator { before: "p" }),
        ("v=DKIM1;\u{a0}p=KEY", Typo::Character('\u{a0}')),
        ("KEY", Typo::BareKey),
        ("v=DKIM1; k=rsa; KEY", Typo::BareKey),
        ("\"KEY\"", Typo::Quotes),
        ("v=DKIM1; K=rsa; p=KEY", Typo::Letters { typed: "K=rsa".into(), right: "k=rsa".into() }),
        ("v=dkim1; p=KEY", Typo::Letters { typed: "v=dkim1".into(), right: "v=DKIM1".into() }),
        ("v=DKIM1; P=KEY", Typo::Letters { typed: "P=".into(), right: "p=".into() }),
    ] {
        let mut wanted = vec![Mistake::Typo(mistake)];
        if record == "\"KEY\"" {
            wanted.push(Mistake::Typo(Typo::BareKey));
        }
        assert_eq!(said(&[record]), wanted, "{record}");
    }
    let armor = format!("v=DKIM1; p=-----BEGIN PUBLIC KEY-----{}-----END PUBLIC KEY-----", p());
    let mine = key(RSA);
    let expected = Expected { key: &mine, others: &[], identity_below: false, subdomains: false };
    let found = examine(&[armor.into_bytes()], &expected);
    assert_eq!(found, [Mistake::Typo(Typo::Armor), Mistake::Weak(1024)]);
    // A mistake does not hide another error.
    let found = said(&["\"v=DKIM1; n=\u{e4}; p=KEY\""]);
    assert_eq!(found, [Mistake::Typo(Typo::Quotes), Mistake::Unusable(RecordError::Note)]);
    // What is left may be no list of tags because of the mistake.
    assert_eq!(said(&["\"v=DKIM1; rsa; p=KEY\""]), [Mistake::Typo(Typo::Quotes)]);
    // The mistakes after it are also found.
    let found = said(&["\"v=DKIM1\\; k=rsa\\; p=\""]);
    assert_eq!(
        found,
        [Mistake::Typo(Typo::Backslash("\\;")), Mistake::Typo(Typo::Quotes), Mistake::Revoked]
    );
}

#[test]
fn a_pem_file_of_a_private_key_is_recognized_without_any_tag() {
    let expected =
        Expected { key: &key(RSA), others: &[], identity_below: false, subdomains: false };
    let found = examine(&[RSA.as_bytes().to_vec()], &expected);
    assert!(found.contains(&Mistake::Typo(Typo::PrivateKey)), "{found:?}");
}

#[test]
fn each_restriction_that_forbids_the_use_is_named() {
    for (record, mistake) in [
        ("v=DKIM1; h=sha1; p=KEY", Mistake::Hash("sha1".to_owned())),
        ("v=DKIM1; s=tlsrpt; p=KEY", Mistake::Service("tlsrpt".to_owned())),
        ("v=DKIM1; t=y; p=KEY", Mistake::Testing),
        ("v=DKIM1; t=s; p=KEY", Mistake::Strict),
        ("k=rsa; v=DKIM1; p=KEY", Mistake::Unusable(RecordError::Version)),
        ("v=DKIM1; k=rsa", Mistake::Unusable(RecordError::NoKey)),
        ("k=rsa", Mistake::Unusable(RecordError::NoKey)),
        ("v=DKIM1; k=rsa; p=", Mistake::Revoked),
        ("n=\u{e4}; p=KEY", Mistake::Unusable(RecordError::Note)),
        ("v=DKIM1; k=ed25519; p=KEY", Mistake::KeyType { says: "ed25519".to_owned(), is: "rsa" }),
    ] {
        assert_eq!(said(&[record]), [mistake], "{record}");
    }
}

#[test]
fn rfc6376_3_6_1_t_s_is_about_i_and_not_about_from() {
    let record = format!("v=DKIM1; t=s; p={}", p()).into_bytes();
    let expected =
        Expected { key: &key(RSA), others: &[], identity_below: false, subdomains: true };
    let found = examine(&[record], &expected);
    assert_eq!(found, [Mistake::StrictAndSubdomains, Mistake::Weak(1024)]);
}

#[test]
fn a_truncated_key_is_distinguished_from_another_and_a_damaged_key() {
    let p = p();
    let (first, rest) = p.split_at(100);
    let cut = format!("v=DKIM1; k=rsa; p={first}");
    assert_eq!(said(&[&cut]), [Mistake::Cut { there: 100, of: p.len() }]);
    let (_, rest_of_rest) = rest.split_at(20);
    let damaged = format!("v=DKIM1; k=rsa; p={first}{rest_of_rest}");
    assert_eq!(said(&[&damaged]), [Mistake::Damaged]);
    assert_eq!(said(&["p=AAAA"]), [Mistake::Unusable(RecordError::Key)]);
    assert_eq!(said(&["p=AAA?"]), [Mistake::Unusable(RecordError::Base64)]);
    let spaced = format!("p={first} {rest}");
    assert_eq!(said(&[&spaced]), [Mistake::BlankInKey]);
}

#[test]
fn another_key_is_named_by_its_selector() {
    let others = [("other".to_owned(), key(RSA))];
    let mine = SigningKey::generate(1024, &mut getrandom::SysRng).unwrap().public();
    let mut expected =
        Expected { key: &mine, others: &others, identity_below: false, subdomains: false };
    let record = [Record::new(key(RSA)).text().unwrap().into_bytes()];
    let selector = Some("other".to_owned());
    assert_eq!(examine(&record, &expected), [Mistake::OtherKey(selector), Mistake::Weak(1024)]);
    expected.others = &[];
    assert_eq!(examine(&record, &expected), [Mistake::OtherKey(None), Mistake::Weak(1024)]);
}

#[test]
fn an_ed25519_key_is_compared_too() {
    let mine = key(ED25519);
    let expected = Expected { key: &mine, others: &[], identity_below: false, subdomains: false };
    let right = Record::new(mine.clone());
    assert_eq!(examine(&[right.text().unwrap().into_bytes()], &expected), []);
    let without_type = format!("p={}", mine.to_base64().unwrap()).into_bytes();
    let wrong = Mistake::KeyType { says: "rsa".to_owned(), is: "ed25519" };
    assert_eq!(examine(&[without_type], &expected), [wrong]);
}

#[test]
fn rfc6376_3_6_2_2_several_records_are_a_mistake_even_if_one_is_right() {
    let found = said(&["v=DKIM1; p=KEY", "v=spf1 -all"]);
    assert_eq!(found, [Mistake::SeveralRecords { count: 2, keys: 1 }]);
    let found = said(&["v=DKIM1; p=", "v=DKIM1; p=KEY"]);
    assert_eq!(found, [Mistake::SeveralRecords { count: 2, keys: 2 }]);
    let p = p();
    let (first, second) = p.split_at(120);
    let pieces = [second, &format!("v=DKIM1; p={first}")];
    assert_eq!(said(&pieces), [Mistake::Pieces(2)]);
    let (second, third) = second.split_at(40);
    let [first, second, third] = [&format!("v=DKIM1; p={first}"), second, third];
    assert_eq!(said(&[first, second, third]), [Mistake::Pieces(3)]);
    assert_eq!(said(&[third, second, first]), [Mistake::Pieces(3)]);
}

#[test]
fn a_record_that_is_not_a_key_record_is_shown() {
    assert_eq!(said(&["MS=ms123"]), [Mistake::NotAKey("MS=ms123".to_owned())]);
    for (record, what, place) in [
        ("v=spf1 -all", "an SPF record", "the domain itself"),
        ("v=DMARC1; p=none", "a DMARC record", "_dmarc below the domain"),
        (
            "\"V=dmarc1; p=reject; rua=mailto:a@x.test\"",
            "a DMARC record",
            "_dmarc below the domain",
        ),
        ("v=TLSRPTv1; rua=mailto:a@x.test", "a TLS report record", "_smtp._tls below the domain"),
        ("v=STSv1; id=1", "an MTA-STS record", "_mta-sts below the domain"),
        ("v=BIMI1; l=", "a BIMI record", "default._bimi below the domain"),
        ("google-site-verification=x", "a Google verification record", "the domain itself"),
    ] {
        assert_eq!(said(&[record]), [Mistake::Misplaced { what, place }]);
    }
    for record in [
        "s1.dkim.provider.test.",
        "CNAME s1.dkim.provider.test.",
        "\"s1._domainkey.x.provider.test\"",
    ] {
        let found = said(&[record]);
        assert!(
            matches!(found.as_slice(), [Mistake::Target(name)] if name.contains("provider.test")),
            "{found:?}"
        );
    }
    let der: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(said(&[&format!("v=DKIM1; p={der}")]), [Mistake::PrivateKey]);
    let error = RecordError::Syntax(crate::dkim::tag::TagError::NoValue);
    assert_eq!(said(&["v=DKIM1; rsa; p=KEY"]), [Mistake::Unusable(error)]);
}
