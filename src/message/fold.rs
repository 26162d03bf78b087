//! Long lines of a header field, folded at blanks that are there (RFC 5322 §2.2.3): the relaxed
//! canonicalization does not see it, and no hop has to cut the line itself.

use super::complete::LONGEST_LINE;

/// The field with its long lines folded where that can be done.
#[must_use]
pub fn folded(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    for (index, line) in field.split_inclusive(|octet| *octet == b'\n').enumerate() {
        // Nothing but a blank behind the colon is more than some verifiers take.
        let colon = line.iter().position(|octet| *octet == b':').filter(|_| index == 0);
        fold_line(line, colon.map_or(0, |colon| colon.saturating_add(2)), &mut text);
    }
    text
}

fn fold_line(line: &[u8], begin: usize, text: &mut Vec<u8>) {
    let mut rest = line;
    let mut first = begin;
    while rest.len() > LONGEST_LINE.saturating_add(1) {
        let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t');
        // The last blank that keeps the line short, and has text before it and behind it.
        let cut = rest.get(..LONGEST_LINE).and_then(|part| part.iter().rposition(is_blank));
        let has_text = |from: usize, to: usize| {
            rest.get(from..to).is_some_and(|part| !part.trim_ascii().is_empty())
        };
        let cut = cut.filter(|cut| has_text(first, *cut) && has_text(*cut, rest.len()));
        // A word, or a run of blanks, that is longer than a line stands with what is beside it.
        let next = || {
            let blanks =
                rest.iter().enumerate().skip(LONGEST_LINE).filter(|(_, octet)| is_blank(octet));
            let mut places = blanks.map(|(at, _)| at);
            places.find(|at| has_text(first, *at) && has_text(*at, rest.len()))
        };
        let Some(cut) = cut.or_else(next) else { break };
        let (before, behind) = rest.split_at_checked(cut).unwrap_or_default();
        text.extend_from_slice(before);
        text.push(b'\n');
        rest = behind;
        first = 1;
    }
    text.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_stay() {
        for field in ["Subject: x\n", "Subject:\n x\n", "X:\n"] {
            assert_eq!(folded(field.as_bytes()), field.as_bytes());
        }
        let full = format!("X: {} y\n", "x".repeat(LONGEST_LINE - 5));
        assert_eq!(folded(full.as_bytes()), full.as_bytes());
    }

    #[test]
    fn long_lines_are_folded_at_blanks_and_nothing_is_lost() {
        let field = format!("References: {}\n", vec!["<0123456789@example.com>"; 500].join(" "));
        let text = String::from_utf8(folded(field.as_bytes())).unwrap();
        assert!(text.lines().all(|line| line.len() <= LONGEST_LINE));
        assert_eq!(text.replace("\n ", " "), field);
        assert!(text.starts_with("References: <"));
    }

    #[test]
    fn no_line_of_blanks_is_made() {
        let field = format!("X: a{}b c\n", " ".repeat(3_000));
        let text = String::from_utf8(folded(field.as_bytes())).unwrap();
        assert!(text.lines().all(|line| !line.trim().is_empty()), "{text}");
        assert_eq!(text.replace('\n', ""), field.replace('\n', ""));
    }

    #[test]
    fn a_long_word_stands_alone_and_the_rest_is_folded_all_the_same() {
        let word = "x".repeat(2_000);
        let field = format!("X: a {word} {}\n", "b ".repeat(600));
        let text = String::from_utf8(folded(field.as_bytes())).unwrap();
        assert_eq!(text.lines().filter(|line| line.len() > LONGEST_LINE).count(), 1);
        assert_eq!(text.replace('\n', ""), field.replace('\n', ""));
        let only = format!("X: {word}\n");
        assert_eq!(folded(only.as_bytes()), only.as_bytes());
    }
}
