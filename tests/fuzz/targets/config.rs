//! An error of config.toml names a line that there is, and the right one; a text that can be read says to `salvage` what it says
//! to the parser; and all fields that it names can be signed.
#![no_main]

#[path = "../place.rs"]
mod place;

use sendmail_dkim::config::Host;
use sendmail_dkim::dkim::{Domain, Recipe};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let parsed = Host::parse(text);
    let below = Host::parse(&format!("# more\n\n{text}"));
    let salvaged = Host::salvage(text);
    match &parsed {
        Err(error) => {
            place::is_right(text, error, &below.expect_err("no better below a comment"));
        }
        Ok(host) => {
            assert_eq!(below.as_ref(), Ok(host));
            assert_eq!(salvaged, (Some(host.sendmail.clone()), host.signing.on_error));
            assert!(host.sendmail.is_absolute());
            let signing = &host.signing;
            let domain = Domain::parse("sample.com").expect("a domain");
            assert!(Recipe::new(domain, signing.headers.clone(), signing.oversign.clone()).is_ok());
            assert!((1024..=4096).contains(&signing.minimum_key_bits) && signing.expire != Some(0));
            let unknown =
                Host::parse(&format!("no_such_key = 1\n{text}")).expect_err("an unknown key");
            assert_eq!(unknown.line, Some(1));
        }
    }
});
