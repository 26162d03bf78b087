//! Records that are collected from hosts (`dkimctl record --merge`): what is written of them, in any format, reads back as
//! the same names and values; and the record in a file of any content is found without a panic.
#![no_main]

use std::ffi::OsStr;

use sendmail_dkim::admin::fuzzing::merged;
use sendmail_dkim::dkim::Record;
use serde_json::Value;

/// The entries of a zone file of TXT records: names and values (RFC 1035 §5.1).
fn entries(zone: &str) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut rest = zone;
    while let Some((name, after)) = rest.split_once(".\tIN\tTXT\t(") {
        let mut value = String::new();
        let mut chars = after.char_indices();
        let (mut string, mut end) = (None::<String>, after.len());
        while let Some((at, char)) = chars.next() {
            match (&mut string, char) {
                (None, '"') => string = Some(String::new()),
                (None, ')') => {
                    end = at + 1;
                    break;
                }
                (None, char) => assert!(char.is_ascii_whitespace(), "{zone}"),
                (Some(text), '"') => {
                    assert!(text.len() <= 255, "{zone}");
                    value.push_str(text);
                    string = None;
                }
                (Some(text), '\\') => text.push(chars.next().expect("a character").1),
                (Some(text), char) => text.push(char),
            }
        }
        entries.push((name.to_owned(), value));
        rest = after[end..].strip_prefix('\n').expect("the end of a line");
    }
    assert_eq!(rest, "");
    entries
}

/// The records of a JSON text of `record --json`.
fn records(json: &str) -> Vec<(String, String)> {
    let json: Value = serde_json::from_str(json).expect("JSON");
    let all = json["result"]["records"].as_array().expect("records");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    all.iter().map(|record| (text(&record["name"]), text(&record["value"]))).collect()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let text = Record::text_in(input);
    assert!(text.len() <= input.len());
    // Texts of several hosts, with an empty line between them.
    let text = String::from_utf8_lossy(input);
    let hosts: Vec<(&OsStr, Vec<u8>)> =
        text.split("\n\n").map(|text| (OsStr::new("host"), text.as_bytes().to_vec())).collect();
    let json = match merged(&hosts, None) {
        Ok(json) => json,
        Err(what) => return assert!(!what.is_empty()),
    };
    let all = records(&json);
    assert_eq!(
        merged(&[(OsStr::new("again"), json.clone().into_bytes())], None).as_ref(),
        Ok(&json)
    );
    for (name, value) in &all {
        // Nothing but a name and printable text comes into a zone or a script.
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)));
        assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    }
    let written = |format: &str| merged(&hosts, Some(format)).expect("what was written as JSON");
    let zone = written("zone");
    assert_eq!(entries(&zone), all, "{zone}");
    if let [(_, value)] = all.as_slice() {
        assert_eq!(Record::text_in(zone.as_bytes()), value.as_bytes(), "{zone}");
    }
    let plain: String = all.iter().map(|(name, value)| format!("{name}\t{value}\n")).collect();
    assert_eq!(written("plain"), plain);
    for format in ["route53", "cloudflare"] {
        let json: Value = serde_json::from_str(&written(format)).expect("JSON");
        assert!(json.is_object());
    }
    let update = written("nsupdate");
    let lines = update.lines().filter(|line| line.starts_with("update add "));
    let added =
        lines.map(|line| line.split_once(" TXT ").expect("a record")).map(|(name, text)| {
            let name = name["update add ".len()..].split(". ").next().expect("a name");
            entries(&format!("{name}.\tIN\tTXT\t({text})\n")).remove(0)
        });
    assert_eq!(added.collect::<Vec<_>>(), all, "{update}");
});
