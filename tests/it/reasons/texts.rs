//! Every text that may be a reason in the log is one that a test makes come about.

use super::*;

/// The files with the texts.
const PLACES: [&str; 14] = [
    "src/rights.rs",
    "src/submission",
    "src/wrapper",
    "src/policy.rs",
    "src/network.rs",
    "src/message/author.rs",
    "src/message/session.rs",
    "src/message/address/token.rs",
    "src/config",
    "src/dkim/key.rs",
    "src/dkim/key_error.rs",
    "src/dkim/pem.rs",
    "src/dkim/sign.rs",
    "src/dkim/domain.rs",
];

/// Those that no test can make come about by the wrapper, and why.
const NEVER: &[(&str, &str)] = &[
    ("unknown field", "what serde says, and no person reads; also the next five"),
    ("missing field", "see above"),
    ("invalid type:", "see above"),
    ("invalid value:", "see above"),
    ("a sequence", "see above"),
    ("a map", "see above"),
    ("there is no From field to sign", "a message without From is not signed: `no From field`"),
    ("the body was hashed with another canonicalization", "both are of one recipe"),
    ("the private-key operation failed", "a key whose numbers do not fit together is no key"),
    ("is listed twice", "of fields: a name that is there is replaced; of selectors: see LINES"),
    ("is not within the signing domain", "the domain file says it first: `is not within`"),
    ("the system supplied no random bytes for a key", "of dkimctl, which creates keys"),
    ("421 4.7.0 Error: not signed", "see smtp::, where the end of a message is not clear"),
    ("is too large to be signed", "no header that is read is as large as MOST of the protocol"),
    ("cannot run", "the kernel runs no program that is there and executable: see faults::"),
    (
        "an address without a domain, and no origin",
        "of From: `no domain in From`; no other is shown",
    ),
    (
        "set `sendmail` in config.toml",
        "see failure::the_wrapper_as_its_own_real_sendmail_does_not_loop",
    ),
    ("default.toml is named after no domain", "of default.toml alone: see src/config.rs"),
    ("PRIVATE KEY", "of the form of a key"),
    ("CERTIFICATE REQUEST", "of the label of a PEM block"),
];

/// The texts of a source file that are of more than one word, tests and comments aside.
pub(crate) fn texts(code: &str) -> BTreeSet<String> {
    let code = code.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().filter(|line| {
        let line = line.trim_start();
        !line.starts_with("//") && !line.contains("reason = \"")
    });
    let mut found = BTreeSet::new();
    let code = lines.collect::<Vec<_>>().join("\n");
    let code = code.replace("b'\"'", "").replace("'\"'", "");
    let mut rest = code.as_str();
    while let Some((_, after)) = rest.split_once('"') {
        let is_quote = |at: &usize| !after.split_at(*at).0.ends_with('\\');
        let Some(end) = after.match_indices('"').map(|(at, _)| at).find(is_quote) else { break };
        let (text, behind) = after.split_at(end);
        found.insert(text.to_owned());
        rest = behind.strip_prefix('"').unwrap();
    }
    found
}

/// The longest part of a text between its holes, on one line as it is shown.
fn fragment(text: &str) -> String {
    let mut joined = String::new();
    for (number, line) in text.split("\\\n").enumerate() {
        joined.push_str(if number == 0 { line } else { line.trim_start() });
    }
    let parts = joined.split('{').enumerate().map(|(number, part)| {
        if number == 0 { part } else { part.split_once('}').map_or("", |(_, part)| part) }
    });
    parts
        .max_by_key(|part| part.len())
        .unwrap_or_default()
        .trim()
        .trim_end_matches("\\r\\n")
        .to_owned()
}

fn read(path: &std::path::Path, each: &mut dyn FnMut(&str, &str)) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            read(&entry.unwrap().path(), each);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        each(&path.display().to_string(), &fs::read_to_string(path).unwrap());
    }
}

#[test]
fn every_reason_of_the_source_is_made_to_come_about_by_a_test() {
    let mut tests = String::new();
    read(&project("tests/it"), &mut |path, text| {
        if !path.ends_with("texts.rs") && !path.ends_with("layout.rs") {
            tests.push_str(&text.replace("\\\\\\\"", "\\\""));
        }
    });
    let (mut count, mut untested, mut unused) = (0, Vec::new(), NEVER.to_vec());
    for place in PLACES {
        read(&project(place), &mut |path, code| {
            for text in texts(code) {
                let fragment = fragment(&text);
                // A word alone is a key, a name or a path; what has lines is code between bytes.
                if !fragment.contains(' ') || fragment.contains('\n') {
                    continue;
                }
                count += 1;
                unused.retain(|(never, _)| !fragment.contains(never));
                let is_never = NEVER.iter().any(|(never, _)| fragment.contains(never));
                if !is_never && !tests.contains(&fragment) {
                    untested.push(format!("{path}: {fragment}"));
                }
            }
        });
    }
    assert!(count > 60, "{count}");
    assert!(untested.is_empty(), "no test makes these come about: {untested:#?}");
    assert!(unused.is_empty(), "these are gone: {unused:#?}");
}
