//! The writer of header text. It knows the column it is at: no line with an encoded-word is longer than 76
//! characters (RFC 2047 §2), and other lines are folded (RFC 5322 §2.2.3) only where a hop would break them.
//!
//! A line is folded before whitespace that is there, which the relaxed canonicalization does not see. Whitespace
//! is added only around an encoded-word that touches other tokens. Each byte is looked at once.

use super::limits::{ENCODED_LINE, LONGEST_LINE};
use super::syntax::is_wsp;

/// The field with its long lines folded where that can be done.
#[must_use]
pub fn folded(field: &[u8]) -> Vec<u8> {
    let colon = field.iter().position(|byte| *byte == b':').unwrap_or_default();
    let (name, body) = field.split_at(colon.saturating_add(1).min(field.len()));
    let mut writer = Writer { is_new: false, ..Writer::new(name) };
    writer.text(body);
    writer.finish()
}

/// Writes one field.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: Vec<u8>,
    /// Where the line begins in `out`.
    line: usize,
    /// Text before this place is no reason to fold: some verifiers fail if nothing but a space follows the colon.
    name: usize,
    /// The line has text, so that it may be folded.
    has_text: bool,
    /// The longest that the line may be.
    limit: usize,
    /// The last place where the line can be folded, and the last one after a comma.
    last: Option<usize>,
    comma: Option<usize>,
    /// The field is rewritten: the limit for lines with encoded-words also applies to the encoded-words that the caller wrote.
    is_new: bool,
}

impl Writer {
    /// A writer of the body of a field. `name` has its colon.
    pub(super) fn new(name: &[u8]) -> Self {
        Self {
            out: name.to_vec(),
            name: name.len().saturating_add(1),
            limit: LONGEST_LINE,
            is_new: true,
            ..Self::default()
        }
    }

    /// The whole field.
    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Writes text as it is; it may be folded at its whitespace.
    pub(super) fn text(&mut self, text: &[u8]) {
        for run in text.split_inclusive(|byte| is_wsp(*byte) || *byte == b'\n') {
            let (word, wsp) = match run.split_last() {
                Some((b' ' | b'\t', word)) => run.split_at(word.len()),
                _ => (run.strip_suffix(b"\n").unwrap_or(run), &[][..]),
            };
            let is_text = !word.trim_ascii().is_empty();
            self.out.extend_from_slice(word);
            self.has_text |= is_text && self.out.len() > self.name;
            if self.is_new && word.windows(2).any(|pair| pair == b"=?") {
                self.limit = ENCODED_LINE;
            }
            self.out.extend_from_slice(wsp);
            if is_text {
                self.shorten();
            }
            if run.ends_with(b"\n") {
                self.end_line();
            } else if !wsp.is_empty() && self.has_text {
                self.may_fold();
            }
        }
    }

    /// Writes text that must not be folded inside.
    pub(super) fn whole(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
        self.has_text = true;
        self.shorten();
    }

    /// Writes an encoded-word and what touches it: on the next line if there is no room for it on this one.
    pub(super) fn encoded_word(&mut self, word: &[u8]) {
        self.limit = ENCODED_LINE;
        let length = word.len();
        while self.column().saturating_add(length) > ENCODED_LINE
            && let Some(at) = self.place()
        {
            self.fold(at);
        }
        if self.column().saturating_add(length) > ENCODED_LINE && (self.has_text || self.name > 0) {
            let is_after_wsp = self.out.last().is_some_and(|last| is_wsp(*last));
            self.fold(self.out.len().saturating_sub(usize::from(is_after_wsp)));
        }
        self.out.extend_from_slice(word);
        self.has_text = true;
        self.last = Some(self.out.len());
    }

    /// Bytes that an encoded-word may have which is written next, and what touches it.
    pub(super) fn room(&self) -> usize {
        let room = ENCODED_LINE.saturating_sub(self.column());
        // It will begin a line.
        if self.has_text || room < SHORTEST { ENCODED_LINE.saturating_sub(1) } else { room }
    }

    fn column(&self) -> usize {
        self.out.len().saturating_sub(self.line)
    }

    /// Whitespace was written: the line may be folded before it.
    fn may_fold(&mut self) {
        let at = self.out.len().saturating_sub(1);
        // The last one that makes a short line; where there is none, the next one.
        if self.last.is_none() || at.saturating_sub(self.line) < self.limit {
            self.last = Some(at);
            if at.checked_sub(1).is_some_and(|before| self.out.get(before) == Some(&b',')) {
                self.comma = Some(at);
            }
        }
    }

    /// Folds a line that has become too long.
    fn shorten(&mut self) {
        while self.column() > self.limit
            && let Some(at) = self.place()
        {
            self.fold(at);
        }
    }

    /// Where to fold: after a comma that is not too far to the left, else as late as can be.
    fn place(&self) -> Option<usize> {
        let far = self.line.saturating_add(ENCODED_LINE / 3);
        let is_encoded = self.limit == ENCODED_LINE;
        self.comma.filter(|comma| is_encoded && *comma >= far).or(self.last)
    }

    fn fold(&mut self, at: usize) {
        let is_wsp = self.out.get(at).is_some_and(|byte| is_wsp(*byte));
        let end: &[u8] = if is_wsp { b"\n" } else { b"\n " };
        self.has_text = self.out.get(at..).is_some_and(|tail| !tail.trim_ascii().is_empty());
        self.out.splice(at..at, end.iter().copied());
        (self.line, self.name) = (at.saturating_add(1), 0);
        self.last = self.last.filter(|last| *last > at).map(|last| last.saturating_add(end.len()));
        self.comma = None;
    }

    fn end_line(&mut self) {
        self.out.push(b'\n');
        (self.line, self.name) = (self.out.len(), 0);
        (self.has_text, self.limit) = (false, LONGEST_LINE);
        (self.last, self.comma) = (None, None);
    }
}

/// Room for an encoded-word of one character in any charset with a short name; with less, it begins a line.
const SHORTEST: usize = 30;

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
