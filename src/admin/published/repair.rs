//! Finds mistakes in the text of a record by correcting them. Pure.

use super::mistake::Typo;
use crate::dkim::tag::{is_fws, trim};

/// Tags of a record that people get wrong (§3.6.1, and g= of RFC 4871).
const TAGS: [&str; 8] = ["v", "k", "h", "n", "p", "s", "t", "g"];

/// The corrected text, and the mistakes.
pub(crate) fn repair(text: &str) -> (String, Vec<Typo>) {
    let mut found = Vec::new();
    let mut text = text.to_owned();
    for step in [characters, escapes, quotes, armor, letters, bare_key, lost_names, separators] {
        text = step(&text, &mut found);
    }
    (text, found)
}

/// Invisible characters from text that was copied from a web page or a mail.
fn characters(text: &str, found: &mut Vec<Typo>) -> String {
    let odd = |char: char| !char.is_ascii() || (char.is_ascii_control() && !is_fws(char));
    let is_quote = |char: char| matches!(char, '\u{201c}'..='\u{201f}');
    let is_wsp = |char: char| char.is_whitespace();
    let first = without_notes(text).chars().find(|char| odd(*char));
    let Some(first) = first else { return text.to_owned() };
    found.push(Typo::Character(first));
    let repaired = text.chars().filter_map(|char| match char {
        char if is_quote(char) => Some('"'),
        char if odd(char) && is_wsp(char) => Some(' '),
        char => Some(char).filter(|char| !odd(*char)),
    });
    repaired.collect()
}

/// `\;` and `\"`, which belong in a zone file or a shell and not in a web form.
fn escapes(text: &str, found: &mut Vec<Typo>) -> String {
    if text.contains("\\;") {
        found.push(Typo::Backslash("\\;"));
    } else if without_notes(text).contains("\\\"") {
        found.push(Typo::Backslash("\\\""));
    } else {
        return text.to_owned();
    }
    text.replace("\\;", ";").replace("\\\"", "\"")
}

/// Quotes that a zone file has around a string, pasted into a form that adds its own.
fn quotes(text: &str, found: &mut Vec<Typo>) -> String {
    if !without_notes(text).contains('"') {
        return text.to_owned();
    }
    found.push(Typo::Quotes);
    // The strings of a zone file are joined without separators.
    let pieces = text.split('"').enumerate();
    let is_between = |index: usize, piece: &str| index.is_multiple_of(2) && trim(piece).is_empty();
    pieces.filter(|(index, piece)| !is_between(*index, piece)).map(|(_, piece)| piece).collect()
}

/// The BEGIN and END lines of a PEM file.
fn armor(text: &str, found: &mut Vec<Typo>) -> String {
    let is_line = |piece: &&str| {
        let is_one = ["BEGIN ", "END "].iter().any(|begin| piece.starts_with(begin));
        is_one && piece.ends_with("KEY")
    };
    let pieces: Vec<&str> = text.split("-----").collect();
    let lines: Vec<&str> = pieces.iter().copied().filter(|piece| is_line(piece)).collect();
    if lines.is_empty() {
        return text.to_owned();
    }
    let is_private = lines.iter().any(|line| line.contains("PRIVATE"));
    found.push(if is_private { Typo::PrivateKey } else { Typo::Armor });
    pieces.into_iter().filter(|piece| !is_line(piece)).collect()
}

/// Names of tags, and the values of v= and k=, in the wrong case.
fn letters(text: &str, found: &mut Vec<Typo>) -> String {
    let repaired = text.split(';').map(|spec| {
        let Some((name, value)) = spec.split_once('=') else { return spec.to_owned() };
        let (typed, known) = (trim(name), trim(value));
        let Some(tag) = TAGS.into_iter().find(|tag| tag.eq_ignore_ascii_case(typed)) else {
            return spec.to_owned();
        };
        let values = ["DKIM1", "rsa", "ed25519"];
        let right = values.into_iter().find(|right| right.eq_ignore_ascii_case(known));
        let right = right.filter(|_| matches!(tag, "v" | "k")).unwrap_or(known);
        if (tag, right) == (typed, known) {
            return spec.to_owned();
        }
        let short = |name: &str, value: &str| match tag {
            "v" | "k" => format!("{name}={value}"),
            _ => format!("{name}="),
        };
        found.push(Typo::Letters { typed: short(typed, known), right: short(tag, right) });
        format!("{}={}", name.replace(typed, tag), value.replace(known, right))
    });
    repaired.collect::<Vec<_>>().join(";")
}

/// A key without `p=` before it.
fn bare_key(text: &str, found: &mut Vec<Typo>) -> String {
    let has_key = text.split(';').any(|spec| name(spec) == "p");
    let Some(bare) = text.split(';').find(|spec| !has_key && is_base64(spec)) else {
        return text.to_owned();
    };
    found.push(Typo::BareKey);
    text.replacen(bare, &format!(" p={}", trim(bare)), 1)
}

/// Whether a text is the base64 of a key, ignoring spaces.
pub(super) fn is_base64(text: &str) -> bool {
    let text: String = text.chars().filter(|char| !is_fws(*char)).collect();
    let digits = text.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    digits.len() > 40 && text.len().saturating_sub(digits.len()) < 3 && digits.bytes().all(is_digit)
}

/// `;=rsa`: a name that a template or a shell has replaced by nothing.
fn lost_names(text: &str, found: &mut Vec<Typo>) -> String {
    let repaired = text.split(';').map(|spec| {
        let Some(value) = trim(spec).strip_prefix('=') else {
            return spec.to_owned();
        };
        let value = trim(value);
        let name = guess(value);
        found.push(Typo::LostName { value: value.to_owned(), name });
        name.map_or_else(String::new, |name| format!(" {name}={value}"))
    });
    repaired.collect::<Vec<_>>().join(";")
}

/// The tag that a value belongs to.
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

/// A missing `;` between two tags: `v=DKIM1 k=rsa`.
fn separators(text: &str, found: &mut Vec<Typo>) -> String {
    let mut repaired = Vec::new();
    for spec in text.split(';') {
        let mut rest = spec;
        while let Some((head, name, tail)) = swallowed(rest) {
            found.push(Typo::NoSeparator { before: name });
            repaired.push(head);
            rest = tail;
        }
        repaired.push(rest);
    }
    repaired.join(";")
}

/// Finds a tag inside the value of another tag: the text before it, its name, and the text from its name on.
fn swallowed(spec: &str) -> Option<(&str, &'static str, &str)> {
    let (_, value) = spec.split_once('=').filter(|_| name(spec) != "n")?;
    let begin = spec.len().saturating_sub(value.len());
    value.char_indices().skip(1).find_map(|(place, _)| {
        let (head, tail) = spec.split_at_checked(begin.saturating_add(place))?;
        let (name, after) = tail.split_once('=')?;
        let name = TAGS.into_iter().find(|tag| *tag == trim(name))?;
        // The = at the end of base64 is not a tag.
        let has_value = !after.trim_matches(|char| is_fws(char) || char == '=').is_empty();
        let value = trim(head.get(begin..)?);
        let apart = head.ends_with(is_fws);
        let known = guess(value).is_some_and(|tag| tag != "p");
        let starts = tail.starts_with(|char: char| !is_fws(char));
        (has_value && starts && !value.is_empty() && (apart || known)).then_some((head, name, tail))
    })
}

/// The text without its notes (n=), which may contain anything.
fn without_notes(text: &str) -> String {
    text.split(';').filter(|spec| name(spec) != "n").collect::<Vec<_>>().join(";")
}

/// The name of a tag. Empty if there is none.
fn name(spec: &str) -> &str {
    trim(spec.split_once('=').map_or("", |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: &str = "p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/";

    fn repaired(text: &str) -> (String, Vec<Typo>) {
        repair(&text.replace("KEY", P))
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
            assert_eq!(repaired(text), (right(text), vec![]), "{text}");
        }
    }

    #[test]
    fn pasted_quotes_are_taken_off() {
        let wanted = (right("v=DKIM1; k=rsa; KEYAB"), vec![Typo::Quotes]);
        assert_eq!(repaired("\"v=DKIM1; k=rsa; KEYAB\""), wanted);
        assert_eq!(repaired("\"v=DKIM1; k=rsa; \" \"KEY\"\"AB\""), wanted);
        assert_eq!(repaired("v=DKIM1; k=rsa; \"KEYAB\""), wanted);
        let (text, found) = repaired("\u{201c}v=DKIM1; k=rsa; KEYAB\u{201d}");
        assert_eq!((text, found.len()), (wanted.0, 2));
    }

    #[test]
    fn escaped_semicolons_are_semicolons() {
        let wanted = (right("v=DKIM1; k=rsa; KEY"), vec![Typo::Backslash("\\;")]);
        assert_eq!(repaired("v=DKIM1\\; k=rsa\\; KEY"), wanted);
        let (text, found) = repaired("\\\"v=DKIM1; k=rsa; KEY\\\"");
        assert_eq!((text, found), (wanted.0, vec![Typo::Backslash("\\\""), Typo::Quotes]));
    }

    #[test]
    fn the_value_of_each_tag_is_known() {
        let (_, key) = P.split_once('=').unwrap();
        for (value, tag) in [
            ("DKIM1", Some("v")),
            ("rsa", Some("k")),
            ("ed25519", Some("k")),
            ("sha256", Some("h")),
            ("sha1:sha256", Some("h")),
            ("sha256:sha1", Some("h")),
            ("email", Some("s")),
            ("*", Some("s")),
            ("y", Some("t")),
            ("s", Some("t")),
            ("y:s", Some("t")),
            ("s:y", Some("t")),
            (key, Some("p")),
            ("MIGf", None),
        ] {
            assert_eq!(guess(value), tag, "{value}");
        }
    }

    #[test]
    fn a_lost_name_is_guessed_by_its_value() {
        let lost = |value: &str, name| Typo::LostName { value: value.to_owned(), name };
        let wanted = (right("v=DKIM1; k=rsa; KEY"), vec![lost("rsa", Some("k"))]);
        assert_eq!(repaired("v=DKIM1;=rsa; KEY"), wanted);
        let (text, found) = repaired("v=DKIM1; =what; KEY");
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
            assert_eq!(repaired(text), (right(wanted), found), "{text}");
        }
    }

    #[test]
    fn letters_of_the_wrong_case_are_corrected() {
        let (text, found) =
            repaired("V=dkim1; K=RSA; T=y; P=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/");
        assert_eq!(text, right("v=DKIM1; k=rsa; t=y; KEY"));
        let letters =
            |typed: &str, right: &str| Typo::Letters { typed: typed.into(), right: right.into() };
        let wanted = [("V=dkim1", "v=DKIM1"), ("K=RSA", "k=rsa"), ("T=", "t="), ("P=", "p=")];
        assert_eq!(found, wanted.map(|(typed, right)| letters(typed, right)));
    }

    #[test]
    fn a_key_without_its_name_gets_it() {
        let (_, key) = P.split_once('=').unwrap();
        for (text, wanted) in [
            (key.to_owned(), right(" KEY")),
            (format!("v=DKIM1; k=rsa; {key}=="), right("v=DKIM1; k=rsa; KEY==")),
            (format!("v=DKIM1; {key}; t=y"), right("v=DKIM1; KEY; t=y")),
        ] {
            assert_eq!(repair(&text), (wanted, vec![Typo::BareKey]), "{text}");
        }
    }

    #[test]
    fn the_lines_of_a_pem_file_are_taken_out() {
        let (_, key) = P.split_once('=').unwrap();
        let pem = |kind: &str| format!("-----BEGIN {kind} KEY-----{key}-----END {kind} KEY-----");
        let wanted = (right("v=DKIM1; KEY"), vec![Typo::Armor]);
        assert_eq!(repair(&format!("v=DKIM1; p={}", pem("PUBLIC"))), wanted);
        let (text, found) = repair(&pem("PUBLIC"));
        assert_eq!((text, found), (right(" KEY"), vec![Typo::Armor, Typo::BareKey]));
        assert_eq!(repair(&format!("p={}", pem("RSA PRIVATE"))).1, [Typo::PrivateKey]);
    }

    #[test]
    fn what_a_web_page_adds_is_taken_out() {
        let (text, found) = repaired("v=DKIM1;\u{a0}k=rsa; KEY\u{200b}AB");
        assert_eq!(
            (text, found),
            (right("v=DKIM1; k=rsa; KEYAB"), vec![Typo::Character('\u{a0}')])
        );
        // A terminal adds control characters.
        let (text, found) = repaired("v=DKIM1; k=rsa; KEY\u{1b}AB");
        assert_eq!(
            (text, found),
            (right("v=DKIM1; k=rsa; KEYAB"), vec![Typo::Character('\u{1b}')])
        );
    }
}
