//! Every signed message verifies, and fails if any signed byte is changed.
#![no_main]

use std::sync::LazyLock;

use sendmail_dkim::config::Signing;
use sendmail_dkim::dkim::{
    BodyHasher, Canon, Canonicalization, Domain, Fault, Header, Identity, Lookup, Recipe, Record,
    Selector, SigningKey, Timestamp, sign, verify,
};
use sendmail_dkim_fuzz::{crlf, message, pieces};

struct Key {
    private: SigningKey,
    record: Vec<u8>,
}

/// The keys of RFC 8463, appendix A, and RFC 6376, appendix C.
static KEYS: LazyLock<[Key; 2]> = LazyLock::new(|| {
    let pems = [
        include_str!("../../vectors/rfc8463-a-brisbane.private"),
        include_str!("../../vectors/rfc6376-c.private"),
    ];
    pems.map(|pem| {
        let private = SigningKey::from_pem(pem, 1024).expect("a key");
        let record = Record::new(private.public()).text().expect("a record");
        Key { private, record: record.into_bytes() }
    })
});

const NOW: Timestamp = Timestamp(1_700_000_000);

fn verdict(header: &[u8], body: &[u8], record: &[u8]) -> Result<(), Fault> {
    let header = Header::parse(header).expect("a header");
    let mut lookup = |_: &Domain, selector: &Selector| match selector.as_str() {
        "sel" => Lookup::Found(record.to_vec()),
        _ => Lookup::NotFound,
    };
    verify(&header, body, NOW, &mut lookup).remove(0).result
}

/// Another byte in the place of the last one before `at`, back to `from`, that every canonical form keeps.
fn changed(bytes: &[u8], from: usize, at: usize) -> Option<Vec<u8>> {
    let place = bytes.get(from..at)?.iter().rposition(|byte| *byte > b' ' && *byte != b':')?;
    let mut bytes = bytes.to_vec();
    let byte = bytes.get_mut(from + place)?;
    *byte = if *byte == b'x' { b'y' } else { b'x' };
    Some(bytes)
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((header, body)) = message(input) else { return };
    // What chance decides is in the last byte of the message, as good as any.
    let chance = input.iter().fold(0_usize, |sum, byte| sum * 7 % 9973 + usize::from(*byte));
    let canons = [Canon::Simple, Canon::Relaxed];
    let canonicalization =
        Canonicalization { header: canons[chance & 1], body: canons[chance >> 1 & 1] };
    // RSA takes far longer.
    let key = &KEYS[usize::from(chance % 32 == 5)];
    let signing = Signing::default();
    let domain = Domain::parse("sample.com").expect("a domain");
    let local = String::from_utf8_lossy(&body[..body.len().min(chance % 100)]).into_owned();
    let mut recipe = Recipe::new(domain, signing.headers, signing.oversign)
        .expect("a recipe")
        .with_canonicalization(canonicalization)
        .with_lifetime((chance & 64 > 0).then_some(60));
    if let Ok(identity) = Identity::parse(&format!("{local}@news.sample.com")) {
        recipe = recipe.with_identity(identity).expect("within the domain");
    }
    let mut hasher = BodyHasher::new(canonicalization.body);
    pieces(body).iter().for_each(|piece| hasher.update(piece));
    let selector = Selector::parse("sel").expect("a selector");
    let Ok(signature) = sign(&header, &hasher.finish(), &recipe, &selector, &key.private, NOW)
    else {
        assert_eq!(header.count("From"), 0);
        return;
    };
    let below = header.bytes();
    let sent = [signature.as_bytes(), &below].concat();
    let verdict = |header: &[u8], body: &[u8]| verdict(header, body, &key.record);
    assert_eq!(verdict(&sent, body), Ok(()), "{}", String::from_utf8_lossy(&sent));
    assert_eq!(verdict(&crlf(&sent), &crlf(body)), Ok(()));
    // The body.
    if let Some(other) = changed(body, 0, chance % (body.len() + 1)) {
        assert_eq!(verdict(&sent, &other), Err(Fault::Body));
    }
    // A field that is signed, and another one of an oversigned name.
    let from = header.named("From").last().expect("a From");
    let place = sent.len() - below.len()
        + header
            .fields()
            .iter()
            .take_while(|field| !std::ptr::eq(*field, from))
            .map(|field| field.bytes().len())
            .sum::<usize>();
    let end = place + from.bytes().len();
    if let Some(other) = changed(&sent, end - from.value().len(), end) {
        assert_eq!(verdict(&other, body), Err(Fault::Header));
    }
    assert_eq!(
        verdict(&[&sent, b"From: x@y.example\n".as_slice()].concat(), body),
        Err(Fault::Header)
    );
    // The signature itself.
    if let Some(other) = changed(signature.as_bytes(), 0, signature.as_bytes().len() - 8) {
        let other = [other.as_slice(), &below].concat();
        assert!(verdict(&other, body).is_err());
    }
});
