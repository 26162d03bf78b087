//! A tag list that is written again from what was read of it is read as the same, with or without white space around
//! names and values; and base64 is read as what it was made of.
#![no_main]

use base64::prelude::*;
use sendmail_dkim::dkim::tag::{TagError, TagList, base64, words};

fn read(text: &str) -> Vec<(String, String)> {
    let list = TagList::parse(text.as_bytes()).expect("a list");
    list.tags().iter().map(|tag| (tag.name.to_owned(), tag.value.to_owned())).collect()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let encoded = BASE64_STANDARD.encode(input);
    let folded = encoded.as_bytes().chunks(9).map(String::from_utf8_lossy).collect::<Vec<_>>();
    assert_eq!(base64(&folded.join("\r\n\t ")).as_deref(), Some(input));
    let list = match TagList::parse(input) {
        Ok(list) => list,
        Err(TagError::Character) => {
            let odd = |char: char| char.is_control() && !" \t\r\n".contains(char);
            assert!(std::str::from_utf8(input).map_or(true, |text| text.contains(odd)));
            return;
        }
        Err(_) => return,
    };
    let text = std::str::from_utf8(input).expect("UTF-8, or it would be no list");
    let wanted: Vec<_> =
        list.tags().iter().map(|tag| (tag.name.to_owned(), tag.value.to_owned())).collect();
    for (begin, around, end) in
        [("", "", ""), ("", "", ";"), ("\r\n ", " \t", " \n"), (" ", "\n", "; ")]
    {
        let tags =
            wanted.iter().map(|(name, value)| format!("{begin}{name}{around}={around}{value}"));
        assert_eq!(read(&(tags.collect::<Vec<_>>().join(";") + end)), wanted);
    }
    for tag in list.tags() {
        let place = &text[tag.place.clone()];
        assert_eq!(place.trim_matches([' ', '\t', '\r', '\n']), tag.value);
        assert!(text[..tag.place.start].ends_with('='));
        assert!(matches!(text[tag.place.end..].bytes().next(), None | Some(b';')));
        assert_eq!(list.get(tag.name), Some(tag.value));
        assert_eq!(words(tag.value).count(), tag.value.matches(':').count() + 1);
        // A second one of the name makes the list invalid.
        let twice = format!(
            "{}{}{}=x",
            text,
            if text.trim_end().ends_with(';') { "" } else { ";" },
            tag.name
        );
        assert_eq!(TagList::parse(twice.as_bytes()).unwrap_err(), TagError::Twice);
    }
});
