//! A key that can be read is the same key when it is written and read again, in any PEM frame; its public half too; and the two
//! belong together.
#![no_main]

use base64::prelude::*;
use sendmail_dkim::dkim::key::{LARGEST, SMALLEST};
use sendmail_dkim::dkim::{
    Algorithm, BodyHash, BodyHasher, Canon, Domain, FieldName, Header, KeyError, Lookup, PublicKey,
    Recipe, Record, Selector, SigningKey, Timestamp, sign, verify,
};
use sendmail_dkim_fuzz::crlf;

/// Whether a signature of the one verifies with the other.
fn belong_together(key: &SigningKey, public: PublicKey) {
    let header = Header::parse(b"From: a@sample.com\n").expect("a header");
    let from = FieldName::parse("From").expect("a name");
    let domain = Domain::parse("sample.com").expect("a domain");
    let recipe = Recipe::new(domain, vec![from], Vec::new()).expect("a recipe");
    let selector = Selector::parse("s").expect("a selector");
    let body: BodyHash = BodyHasher::new(Canon::Relaxed).finish();
    let Ok(signature) = sign(&header, &body, &recipe, &selector, key, Timestamp(1)) else { return };
    let message = [signature.as_bytes(), &header.bytes()].concat();
    let header = Header::parse(&message).expect("a header with its signature");
    let record = Record::new(public).text().expect("a record");
    let verdicts =
        verify(&header, b"", Timestamp(2), &mut |_, _| Lookup::Found(record.clone().into_bytes()));
    assert_eq!(verdicts[0].result, Ok(()));
}

fn check(pem: &[u8]) -> Result<(), KeyError> {
    let key = SigningKey::from_pem(pem, SMALLEST)?;
    let written = key.to_pkcs8_pem()?;
    let again = SigningKey::from_pem(written.as_bytes(), SMALLEST).expect("what was written");
    assert_eq!((again.algorithm(), again.bits()), (key.algorithm(), key.bits()));
    assert!(again.public() == key.public() && *again.to_pkcs8_pem()? == *written);
    if key.algorithm() == Algorithm::RsaSha256 {
        assert!((SMALLEST..=LARGEST).contains(&key.bits()));
        let larger = SigningKey::from_pem(pem, key.bits() + 1);
        assert!(matches!(larger, Err(KeyError::TooSmall { .. })));
    }
    let framed = [b"a comment\n\n", crlf(pem).as_slice(), b"\n"].concat();
    assert!(SigningKey::from_pem(framed, SMALLEST).is_ok());
    belong_together(&key, key.public());
    Ok(())
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = check(input);
    // The bytes of a key, which chance finds more in than in their base64.
    let der = BASE64_STANDARD.encode(input);
    for label in ["RSA PRIVATE KEY", "PRIVATE KEY"] {
        let _ =
            check(format!("-----BEGIN {label}-----\n{der}\n-----END {label}-----\n").as_bytes());
    }
    for algorithm in Algorithm::ALL {
        if let Some(key) = PublicKey::from_bytes(algorithm, input) {
            let bytes = BASE64_STANDARD.decode(key.to_base64().expect("base64")).expect("base64");
            assert_eq!(PublicKey::from_bytes(algorithm, &bytes).as_ref(), Some(&key));
            assert_eq!(key.algorithm(), algorithm);
        }
    }
});
