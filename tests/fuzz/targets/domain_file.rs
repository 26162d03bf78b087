//! An error of a domain file names a line that there is, and the right one; and by a file that can be read every message
//! From its domain is signed, or there is a reason not to.
#![no_main]

#[path = "../place.rs"]
mod place;

use sendmail_dkim::config::{DomainFile, Signing};
use sendmail_dkim::dkim::{Domain, Header};
use sendmail_dkim::message::author::Author;
use sendmail_dkim::policy::{Caller, Candidate, Decision, Policy, Reason};

fn decide(file: &DomainFile, name: Option<&Domain>, from: &str, caller: &Caller) -> Decision {
    let header = Header::parse(format!("From: {from}\n").as_bytes()).expect("a header");
    let author = Author::of(&header).expect("an author");
    let candidate = Candidate { domain: name.cloned(), is_parent: false };
    let policy = Policy { candidate, file: file.clone(), gone: Vec::new() };
    policy.decide(&author, &header, false, caller).expect("a recipe")
}

fn check(file: &DomainFile, name: Option<&Domain>) {
    assert!(file.all_selectors().next().is_some() || file.rules.is_empty());
    let caller =
        Caller { uid: 1, login: Some("nobody-at-all".into()), groups: Vec::new(), client: None };
    let may_sign = file.users.is_none() && file.groups.is_none();
    match decide(file, name, "dkim-fuzz@sample.com", &caller) {
        Decision::Sign(plan) => {
            assert!(!plan.selectors.is_empty());
            let own = file.domain.as_ref().or(name).map_or("sample.com", Domain::as_str);
            assert_eq!(plan.recipe.domain().as_str(), own);
        }
        Decision::Skip(Reason::NotAllowed) => assert!(!may_sign),
        Decision::Skip(reason) => assert!(reason == Reason::NoRule && file.selectors.is_empty()),
    }
    let Some(rule) = file.rules.first() else { return };
    let from = rule.from.example();
    let is_plain =
        |(local, _): (&str, &str)| local.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_plain = from.rsplit_once('@').is_some_and(is_plain);
    if is_plain
        && may_sign
        && let Decision::Sign(plan) = decide(file, name, &from, &caller)
    {
        assert_eq!(plan.selectors, rule.selectors);
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let host = Signing::default();
    let sample = Domain::parse("sample.com").ok();
    for name in [None, sample.as_ref()] {
        let parsed = DomainFile::parse(text, name, &host);
        let below = DomainFile::parse(&format!("# more\n\n{text}"), name, &host);
        match &parsed {
            Err(error) => {
                place::is_right(text, error, &below.expect_err("no better below a comment"));
            }
            Ok(file) => {
                assert_eq!(below.as_ref(), Ok(file));
                check(file, name);
            }
        }
    }
});
