//! Mistakes in the text of a record: found by mending them. Pure.

use super::typo::Typo;

/// Tags of a record that people get wrong (§3.6.1, and g= of RFC 4871).
const TAGS: [&str; 8] = ["v", "k", "h", "n", "p", "s", "t", "g"];

/// What the text was meant to be, and what is wrong with it.
pub(in crate::admin) fn mend(text: &str) -> (String, Vec<Typo>) {
    let mut found = Vec::new();
    let mut text = text.to_owned();
    for step in [characters, escapes, quotes, lost_names, separators] {
        if let Some(mended) = step(&text, &mut found) {
            text = mended;
        }
    }
    (text, found)
}

/// What comes along when text is copied from a web page or a letter.
fn characters(text: &str, found: &mut Vec<Typo>) -> Option<String> {
    let odd = |char: char| !char.is_ascii() || (char.is_ascii_control() && !is_blank(char));
    let is_quote = |char: char| matches!(char, '\u{201c}'..='\u{201f}');
    let is_blank = |char: char| char.is_whitespace();
    let notes = notes(text);
    let first = text.char_indices().find(|(place, char)| odd(*char) && !within(&notes, *place))?.1;
    found.push(Typo::Character(first));
    let mended = text.chars().filter_map(|char| match char {
        char if is_quote(char) => Some('"'),
        char if odd(char) && is_blank(char) => Some(' '),
        char => Some(char).filter(|char| !odd(*char)),
    });
    Some(mended.collect())
}

/// `\;` and `\"`, as a zone file or a shell wants them and a web form does not.
fn escapes(text: &str, found: &mut Vec<Typo>) -> Option<String> {
    let notes = notes(text);
    let is_there = |escaped: &&str| {
        let mut places = text.match_indices(*escaped);
        places.any(|(place, _)| *escaped == "\\;" || !within(&notes, place))
    };
    let escaped = ["\\;", "\\\""].into_iter().find(is_there)?;
    found.push(Typo::Backslash(escaped));
    Some(text.replace("\\;", ";").replace("\\\"", "\""))
}

/// Quotes that a zone file has around a string, pasted into a form that adds its own.
fn quotes(text: &str, found: &mut Vec<Typo>) -> Option<String> {
    let notes = notes(text);
    text.char_indices().find(|(place, char)| *char == '"' && !within(&notes, *place))?;
    found.push(Typo::Quotes);
    // Between two strings of a zone file there is nothing.
    let mut mended = String::new();
    for (index, piece) in text.split('"').enumerate() {
        let between = index % 2 == 0 && piece.trim_matches(is_blank).is_empty();
        if !between {
            mended.push_str(piece);
        }
    }
    Some(mended)
}

/// `;=rsa`: a name that a template or a shell has put nothing for.
fn lost_names(text: &str, found: &mut Vec<Typo>) -> Option<String> {
    let before = found.len();
    let mended = text.split(';').map(|spec| {
        let Some(value) = spec.trim_matches(is_blank).strip_prefix('=') else {
            return spec.to_owned();
        };
        let value = value.trim_matches(is_blank);
        let name = guess(value);
        found.push(Typo::LostName { value: value.to_owned(), name });
        name.map_or_else(String::new, |name| format!(" {name}={value}"))
    });
    let mended: Vec<_> = mended.collect();
    (found.len() > before).then(|| mended.join(";"))
}

/// The tag that a value is one of.
fn guess(value: &str) -> Option<&'static str> {
    match value {
        "DKIM1" => Some("v"),
        "rsa" | "ed25519" => Some("k"),
        "sha256" | "sha1:sha256" | "sha256:sha1" => Some("h"),
        "email" | "*" => Some("s"),
        "y" | "s" | "y:s" | "s:y" => Some("t"),
        _ if value.len() > 40 => Some("p"),
        _ => None,
    }
}

/// A tag that begins where another has not ended: `v=DKIM1 k=rsa`.
fn separators(text: &str, found: &mut Vec<Typo>) -> Option<String> {
    let before = found.len();
    let mut mended = Vec::new();
    for spec in text.split(';') {
        let mut rest = spec;
        while let Some((head, name, tail)) = swallowed(rest) {
            found.push(Typo::NoSeparator { before: name });
            mended.push(head.to_owned());
            rest = tail;
        }
        mended.push(rest.to_owned());
    }
    (found.len() > before).then(|| mended.join(";"))
}

/// Where the value of a tag holds another tag: what is before it, its name, and all from its name on.
fn swallowed(spec: &str) -> Option<(&str, &'static str, &str)> {
    let (own, value) = spec.split_once('=')?;
    if own.trim_matches(is_blank) == "n" {
        return None;
    }
    let begin = spec.len().saturating_sub(value.len());
    value.char_indices().skip(1).find_map(|(place, _)| {
        let (head, tail) = spec.split_at_checked(begin.saturating_add(place))?;
        let (name, after) = tail.split_once('=')?;
        let name = TAGS.into_iter().find(|tag| *tag == name.trim_matches(is_blank))?;
        // The = at the end of base64 is no tag.
        let has_value = !after.trim_matches(|char| is_blank(char) || char == '=').is_empty();
        let value = head.get(begin..)?.trim_matches(is_blank);
        let apart = head.ends_with(is_blank);
        let known = guess(value).is_some_and(|tag| tag != "p");
        let starts = tail.starts_with(|char: char| !is_blank(char));
        (has_value && starts && !value.is_empty() && (apart || known)).then_some((head, name, tail))
    })
}

/// Where in the text notes (n=) are: they may hold anything.
fn notes(text: &str) -> Vec<(usize, usize)> {
    let mut start = 0_usize;
    let mut notes = Vec::new();
    for spec in text.split(';') {
        let end = start.saturating_add(spec.len());
        if spec.split_once('=').is_some_and(|(name, _)| name.trim_matches(is_blank) == "n") {
            notes.push((start, end));
        }
        start = end.saturating_add(1);
    }
    notes
}

fn within(places: &[(usize, usize)], place: usize) -> bool {
    places.iter().any(|(start, end)| (*start..*end).contains(&place))
}

pub(super) fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: &str = "p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/";

    fn mended(text: &str) -> (String, Vec<Typo>) {
        mend(&text.replace("KEY", P))
    }

    fn right(text: &str) -> String {
        text.replace("KEY", P)
    }

    #[test]
    fn a_right_record_is_left_alone() {
        for text in [
            "v=DKIM1; k=rsa; KEY",
            "KEY",
            "v=DKIM1; n=\"a \\\"note\\\" k=rsa, \u{e4}\"; KEY==",
            "v = DKIM1 ; h=sha1 : sha256; t=y:s; s=*; KEY AB CD t=;",
            "",
        ] {
            assert_eq!(mended(text), (right(text), vec![]), "{text}");
        }
    }

    #[test]
    fn pasted_quotes_are_taken_off() {
        let wanted = (right("v=DKIM1; k=rsa; KEYAB"), vec![Typo::Quotes]);
        assert_eq!(mended("\"v=DKIM1; k=rsa; KEYAB\""), wanted);
        assert_eq!(mended("\"v=DKIM1; k=rsa; \" \"KEY\"\"AB\""), wanted);
        assert_eq!(mended("v=DKIM1; k=rsa; \"KEYAB\""), wanted);
        let (text, found) = mended("\u{201c}v=DKIM1; k=rsa; KEYAB\u{201d}");
        assert_eq!((text, found.len()), (wanted.0, 2));
    }

    #[test]
    fn escaped_semicolons_are_semicolons() {
        let wanted = (right("v=DKIM1; k=rsa; KEY"), vec![Typo::Backslash("\\;")]);
        assert_eq!(mended("v=DKIM1\\; k=rsa\\; KEY"), wanted);
    }

    #[test]
    fn a_lost_name_is_guessed_by_its_value() {
        let lost = |value: &str, name| Typo::LostName { value: value.to_owned(), name };
        let wanted = (right("v=DKIM1; k=rsa; KEY"), vec![lost("rsa", Some("k"))]);
        assert_eq!(mended("v=DKIM1;=rsa; KEY"), wanted);
        let (text, found) = mended("v=DKIM1; =what; KEY");
        assert_eq!((text, found), (right("v=DKIM1;; KEY"), vec![lost("what", None)]));
    }

    #[test]
    fn a_missing_separator_is_put_in() {
        for (text, wanted, tags) in [
            ("v=DKIM1 k=rsa; KEY", "v=DKIM1 ;k=rsa; KEY", &["k"][..]),
            ("v=DKIM1k=rsa; KEY", "v=DKIM1;k=rsa; KEY", &["k"]),
            ("v=DKIM1; k=rsa KEY", "v=DKIM1; k=rsa ;KEY", &["p"]),
            ("v=DKIM1 k=rsa KEY", "v=DKIM1 ;k=rsa ;KEY", &["k", "p"]),
            ("v=DKIM1; KEY k=rsa", "v=DKIM1; KEY ;k=rsa", &["k"]),
        ] {
            let found = tags.iter().map(|tag| Typo::NoSeparator { before: tag }).collect();
            assert_eq!(mended(text), (right(wanted), found), "{text}");
        }
    }

    #[test]
    fn what_a_web_page_adds_is_taken_out() {
        let (text, found) = mended("v=DKIM1;\u{a0}k=rsa; KEY\u{200b}AB");
        assert_eq!(
            (text, found),
            (right("v=DKIM1; k=rsa; KEYAB"), vec![Typo::Character('\u{a0}')])
        );
    }
}
