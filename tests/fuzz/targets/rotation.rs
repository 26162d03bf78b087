//! For any `rotation.toml`: an error names an existing line, the right one; and what is written for the rotations in it is what
//! another reading of the file gives, and what reads the same again.
#![no_main]

#[path = "../place.rs"]
mod place;

use sendmail_dkim::admin::fuzzing::rotations;
use toml::{Table, Value};

/// The tables as the parser of TOML gives them.
fn tables(text: &str) -> Vec<Table> {
    let table: Table = text.parse().expect("TOML");
    let all = table.get("rotation").and_then(Value::as_array).cloned().unwrap_or_default();
    all.iter().map(|value| value.as_table().expect("a table").clone()).collect()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let below = rotations(&format!("# more\n\n{text}"));
    match rotations(text) {
        Err(error) => {
            assert!(error.line.is_some(), "{error}");
            place::is_right(text, &error, &below.expect_err("no better below a comment"));
        }
        Ok((all, written)) => {
            assert_eq!(rotations(&written).as_ref(), Ok(&(all.clone(), written.clone())));
            let (read, written) = (tables(text), tables(&written));
            assert_eq!((read.len(), written.len()), (all.len(), all.len()));
            for ((read, written), one) in read.iter().zip(&written).zip(&all) {
                for (key, value) in [("old", &one.0), ("new", &one.1)] {
                    let before = read[key].as_str().expect("a text");
                    assert_eq!(before.to_ascii_lowercase(), value.to_ascii_lowercase());
                    assert_eq!(written[key].as_str(), Some(value.as_str()));
                }
                assert_eq!(read["stage"], written["stage"]);
                assert_eq!(written["stage"].as_str(), Some(one.2));
                // A date that is written as it stands there stays as it is.
                for key in ["since", "until"] {
                    let Some(date) = written.get(key) else { continue };
                    let before = read[key].as_datetime().expect("a date").to_string();
                    if before.len() == 20 && before.ends_with('Z') && !before.contains(":60Z") {
                        assert_eq!(before, date.as_datetime().expect("a date").to_string());
                    }
                }
            }
        }
    }
});
