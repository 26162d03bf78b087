//! Long lines of a header field, folded at blanks that are there (RFC 5322 §2.2.3): the relaxed
//! canonicalization does not see it, and no hop has to cut the line itself.

use super::limits::LONGEST_LINE;

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
    let is_space = |octet: &u8| matches!(octet, b' ' | b'\t');
    // Behind this there is nothing but whitespace.
    let end = line.trim_ascii_end().len();
    let (mut from, mut begin) = (0_usize, begin);
    while line.len().saturating_sub(from) > LONGEST_LINE.saturating_add(1) {
        let spaces = line.get(begin..end).unwrap_or_default().iter();
        let spaces = spaces.take_while(|octet| octet.is_ascii_whitespace()).count();
        let first = begin.saturating_add(spaces);
        let limit = from.saturating_add(LONGEST_LINE);
        // The last space that keeps the line short, and has text before it and behind it.
        let cut = line.get(from..limit).and_then(|part| part.iter().rposition(is_space));
        let cut = cut.map(|at| from.saturating_add(at)).filter(|cut| first < *cut && *cut < end);
        // A word, or a run of spaces, that is longer than a line stands with what is beside it.
        let next = || {
            let beyond = limit.max(first.saturating_add(1));
            let at = line.get(beyond..end)?.iter().position(is_space)?;
            Some(beyond.saturating_add(at))
        };
        let Some(cut) = cut.or_else(next) else { break };
        text.extend_from_slice(line.get(from..cut).unwrap_or_default());
        text.push(b'\n');
        from = cut;
        begin = cut.saturating_add(1);
    }
    text.extend_from_slice(line.get(from..).unwrap_or_default());
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

    /// The rule, word for word: it looks at all of the rest for each space.
    fn cut_of(rest: &[u8], first: usize) -> Option<usize> {
        let is_space = |at: &usize| matches!(rest[*at], b' ' | b'\t');
        let has_text = |part: &[u8]| !part.trim_ascii().is_empty();
        let divides = |at: &usize| {
            has_text(rest.get(first..*at).unwrap_or_default()) && has_text(&rest[*at..])
        };
        let last = (0..LONGEST_LINE).rev().find(is_space);
        last.filter(divides).or_else(|| (LONGEST_LINE..rest.len()).filter(is_space).find(divides))
    }

    #[test]
    fn spaces_in_any_number_are_folded_by_the_same_rule() {
        let lengths = [0, 1, 2, 500, 988, 989, 990, 991, 992, 2_000];
        for (before, run, behind) in lengths.into_iter().flat_map(|before| {
            lengths.into_iter().flat_map(move |run| lengths.map(|behind| (before, run, behind)))
        }) {
            for (word, more) in [("x", ""), ("x ", "\t y"), ("x", " y  ")] {
                let line = format!(
                    "X:{}{}{}{more}\n",
                    word.repeat(before),
                    " ".repeat(run),
                    word.repeat(behind)
                );
                let (mut wanted, mut rest, mut first) = (Vec::new(), line.as_bytes(), 3);
                while rest.len() > LONGEST_LINE + 1
                    && let Some(cut) = cut_of(rest, first)
                {
                    wanted.extend([&rest[..cut], b"\n"].concat());
                    (rest, first) = (&rest[cut..], 1);
                }
                wanted.extend(rest);
                assert!(
                    folded(line.as_bytes()) == wanted,
                    "{before} {run} {behind} {word:?} {more:?}"
                );
            }
        }
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
