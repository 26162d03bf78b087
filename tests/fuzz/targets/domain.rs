//! A name that was taken is taken again as it is, is safe as the name of a file, and has an order with those above it.
#![no_main]

use sendmail_dkim::dkim::{Domain, Identity, Selector};

fn check(name: &str) {
    assert!(name.len() <= 253 && !name.is_empty());
    for label in name.split('.') {
        assert!(!label.is_empty() && label.len() <= 63);
        assert!(label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')));
        assert!(!label.starts_with('-') && !label.ends_with('-'));
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(domain) = Domain::parse(text) else {
        assert!(Selector::parse(text).is_err());
        assert!(Identity::parse(&format!("x@{text}")).is_err() || text.contains('@'));
        return;
    };
    check(domain.as_str());
    assert_eq!(Domain::parse(domain.as_str()).as_ref(), Ok(&domain));
    assert_eq!(Domain::parse(&domain.as_str().to_uppercase()).as_ref(), Ok(&domain));
    assert_eq!(Selector::parse(text).expect("a selector, too").as_str(), domain.as_str());
    assert_eq!(Identity::parse(&format!("a@b@{text}")).expect("an identity").domain(), &domain);
    if text.is_ascii() {
        assert_eq!(domain.as_str(), text.to_ascii_lowercase());
    }
    assert!(domain.is_within(&domain));
    let mut below = domain.clone();
    while let Some(parent) = below.parent() {
        assert!(domain.is_within(&parent) && !parent.is_within(&domain));
        assert!(parent.as_str().contains('.') && below.as_str().ends_with(parent.as_str()));
        below = parent;
    }
    if let Ok(other) = Domain::parse(&format!("x{domain}")) {
        assert!(!other.is_within(&domain));
    }
});
