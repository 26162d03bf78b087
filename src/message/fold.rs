//! The writer of header text. It tracks the column. No line with an encoded-word is longer than 76 characters (RFC 2047 §2).
//! Other lines are folded (RFC 5322 §2.2.3) only if a hop would break them.
//!
//! A line is folded before existing whitespace, which does not matter to relaxed canonicalization. Whitespace is added only
//! around an encoded-word that touches other tokens. The cost is linear: each byte is examined once.

use std::collections::VecDeque;

use super::limits::{ENCODED_LINE, LONGEST_LINE};
use super::syntax::is_wsp;

/// The field with its long lines folded where possible.
#[must_use]
pub fn folded(field: &[u8]) -> Vec<u8> {
    let colon = field.iter().position(|byte| *byte == b':').unwrap_or_default();
    let (name, body) = field.split_at(colon.saturating_add(1).min(field.len()));
    let mut writer = Writer::keeping(name);
    writer.text(body);
    writer.finish()
}

/// Writes one field.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: Vec<u8>,
    /// Where the current line begins in `out`.
    line: usize,
    /// Where the field name ends. A line that has only the name is not folded: some verifiers fail if only a space follows the
    /// colon.
    name: usize,
    /// Whether the line has text, and so may be folded.
    has_text: bool,
    /// The most bytes that the line may have.
    limit: usize,
    /// Where the line can be folded, from left to right.
    places: VecDeque<Place>,
    /// Whitespace inside text that should stay whole. The line is folded there only if a hop would otherwise break it.
    inside: VecDeque<usize>,
    /// Whether the field is rewritten. Then the limit for lines with encoded-words also applies to encoded-words that the caller
    /// wrote.
    is_new: bool,
}

/// Where a line can be folded: before any byte of a run of whitespace, or at a place without whitespace.
#[derive(Clone, Copy, Debug)]
struct Place {
    first: usize,
    last: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    /// At whitespace after a comma.
    Comma,
    /// Between two items of a list, with or without whitespace.
    Gap,
}

impl Writer {
    /// A writer of a new field. `name` includes the colon.
    pub(super) fn new(name: &[u8]) -> Self {
        Self { is_new: true, ..Self::keeping(name) }
    }

    /// A writer that only changes lines that a hop would break.
    pub(super) fn keeping(name: &[u8]) -> Self {
        Self {
            out: name.to_vec(),
            name: name.len().saturating_add(1),
            limit: LONGEST_LINE,
            ..Self::default()
        }
    }

    /// The whole field.
    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Writes text that may be folded at its whitespace.
    pub(super) fn text(&mut self, text: &[u8]) {
        self.write(text, false);
    }

    /// Writes text that should stay whole. It is folded inside only if a hop would otherwise break the line.
    pub(super) fn whole(&mut self, text: &[u8]) {
        self.write(text, true);
    }

    fn write(&mut self, text: &[u8], is_whole: bool) {
        for run in text.split_inclusive(|byte| is_wsp(*byte) || *byte == b'\n') {
            let (word, wsp) = match run.split_last() {
                Some((b' ' | b'\t', word)) => run.split_at(word.len()),
                _ => (run.strip_suffix(b"\n").unwrap_or(run), &[][..]),
            };
            self.out.extend_from_slice(word);
            self.has_text |= has_text(word) && self.out.len() > self.name;
            if self.is_new && !is_whole && word.windows(2).any(|pair| pair == b"=?") {
                self.limit = ENCODED_LINE;
            }
            if has_text(word) {
                self.shorten();
            }
            if !wsp.is_empty() {
                if is_whole {
                    self.inside.extend(self.has_text.then_some(self.out.len()));
                } else {
                    let is_after_comma = self.out.last() == Some(&b',');
                    self.may_fold(if is_after_comma { Kind::Comma } else { Kind::Plain });
                }
                self.out.extend_from_slice(wsp);
            }
            if run.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// Writes an encoded-word and the text that touches it, on the next line if there is no room on this one.
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
        self.may_fold(Kind::Plain);
    }

    /// How many bytes the next encoded-word may have, including the text that touches it.
    pub(super) fn room(&self) -> usize {
        let room = ENCODED_LINE.saturating_sub(self.column());
        // The word will begin a line.
        let whole = ENCODED_LINE.saturating_sub(1);
        // A space may follow.
        if self.has_text || room < SHORTEST { whole } else { room }.saturating_sub(1)
    }

    /// The next text is another item of a list; a space may be added before it.
    pub(super) fn next_item(&mut self) {
        self.may_fold(Kind::Gap);
    }

    fn column(&self) -> usize {
        self.out.len().saturating_sub(self.line)
    }

    /// The line may be folded before the next text.
    fn may_fold(&mut self, kind: Kind) {
        let at = self.out.len();
        let is_in_run = kind == Kind::Plain && self.out.last().is_some_and(|last| is_wsp(*last));
        match self.places.back_mut() {
            _ if !self.has_text => {}
            Some(place) if is_in_run => place.last = at,
            _ => self.places.push_back(Place { first: at, last: at, kind }),
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

    /// Chooses where to fold: after a comma that is not too far to the left, else between items, else as late as possible. If no
    /// place makes the line short enough, the first place is used. If there is none, text that should stay whole is folded.
    fn place(&self) -> Option<usize> {
        let far = self.line.saturating_add(ENCODED_LINE / 3);
        let end = self.line.saturating_add(self.limit);
        let [mut comma, mut last, mut gap] = [None; 3];
        for place in self.places.iter().take_while(|place| place.first < end) {
            let at = Some(place.last.min(end.saturating_sub(1)));
            match place.kind {
                Kind::Gap => gap = at,
                Kind::Comma if self.limit == ENCODED_LINE && place.first >= far => {
                    (comma, last) = (Some(place.first), at);
                }
                Kind::Plain | Kind::Comma => last = at,
            }
        }
        let first = || self.places.front().map(|place| place.first);
        comma.or(gap).or(last).or_else(first).or_else(|| self.place_inside())
    }

    /// Where to fold text that should stay whole: at its last whitespace that makes the line short enough for all hops, else at the
    /// first. `None` if the line is short enough.
    fn place_inside(&self) -> Option<usize> {
        let end = self.line.saturating_add(LONGEST_LINE);
        let before = self.inside.partition_point(|at| *at < end);
        let at = self.inside.get(before.saturating_sub(1)).copied();
        at.filter(|_| self.column() > LONGEST_LINE)
    }

    fn fold(&mut self, at: usize) {
        let is_wsp = self.out.get(at).is_some_and(|byte| is_wsp(*byte));
        let end: &[u8] = if is_wsp { b"\n" } else { b"\n " };
        self.out.splice(at..at, end.iter().copied());
        (self.line, self.name) = (at.saturating_add(1), 0);
        let rest = self.out.get(self.line..).unwrap_or_default();
        self.has_text = has_text(rest);
        // Postfix drops a line of whitespace only.
        let wsp = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let text = self.line.saturating_add(wsp);
        for place in &mut self.places {
            place.first = place.first.saturating_add(end.len());
            place.last = place.last.saturating_add(end.len());
        }
        while self.places.front().is_some_and(|place| place.first <= text) {
            self.places.pop_front();
        }
        self.inside.iter_mut().for_each(|at| *at = at.saturating_add(end.len()));
        while self.inside.front().is_some_and(|at| *at <= text) {
            self.inside.pop_front();
        }
    }

    fn end_line(&mut self) {
        if self.limit == ENCODED_LINE {
            // Whitespace at the end also counts, but must not get a line of its own.
            let has_text = |place: &Place| self.out.get(place.first..).is_some_and(has_text);
            while self.places.back().is_some_and(|place| !has_text(place)) {
                self.places.pop_back();
            }
            self.shorten();
        }
        self.out.push(b'\n');
        (self.line, self.name) = (self.out.len(), 0);
        (self.has_text, self.limit) = (false, LONGEST_LINE);
        self.places.clear();
        self.inside.clear();
    }
}

fn has_text(text: &[u8]) -> bool {
    !text.trim_ascii().is_empty()
}

/// Room for an encoded-word of one character in any charset with a short name. With less room, the word begins a new line.
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
    fn long_lines_are_folded_at_spaces_and_nothing_is_lost() {
        let field = format!("References: {}\n", vec!["<0123456789@example.com>"; 500].join(" "));
        let text = String::from_utf8(folded(field.as_bytes())).unwrap();
        assert!(text.lines().all(|line| line.len() <= LONGEST_LINE));
        assert_eq!(text.replace("\n ", " "), field);
        assert!(text.starts_with("References: <"));
    }

    #[test]
    fn no_line_of_whitespace_is_made() {
        let field = format!("X: a{}b c\n", " ".repeat(3_000));
        let text = String::from_utf8(folded(field.as_bytes())).unwrap();
        assert!(text.lines().all(|line| !line.trim().is_empty()), "{text}");
        assert_eq!(text.replace('\n', ""), field.replace('\n', ""));
    }

    /// The rule, implemented literally: for each space it examines the whole rest.
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

    /// A field with text, and an encoded-word after it.
    fn with_word(name: &str, text: &str, word: &str) -> String {
        let mut writer = Writer::new(name.as_bytes());
        writer.text(text.as_bytes());
        writer.encoded_word(word.as_bytes());
        String::from_utf8(writer.finish()).unwrap()
    }

    #[test]
    fn an_encoded_word_without_room_begins_a_line() {
        for (before, end) in [(52, ""), (53, "\n "), (70, "\n ")] {
            let (text, word) = ("x".repeat(before), "=?utf-8?q?abc?=");
            let mut writer = Writer::new(b"Subject: ");
            writer.whole(text.as_bytes());
            writer.encoded_word(word.as_bytes());
            let expected = format!("Subject: {text}{end}{word}");
            assert_eq!(String::from_utf8(writer.finish()).unwrap(), expected);
        }
        // After a long name, and on a line that continues the field.
        let (long, word) = ("x".repeat(70), "=?utf-8?q?abc?=");
        for (name, before) in
            [(format!("{long}:"), String::new()), ("X:".to_owned(), format!(" a\n {long}"))]
        {
            assert_eq!(with_word(&name, &before, word), format!("{name}{before}\n {word}"));
        }
    }

    #[test]
    fn where_an_encoded_word_has_no_room_the_line_is_folded_at_a_comma() {
        for length in [9, 10, 30] {
            let (name, after, word) = ("x".repeat(40), "y".repeat(20), "z".repeat(length));
            let end = if length > 9 { "\n" } else { "" };
            assert_eq!(
                with_word("To:", &format!(" {name}, {after} "), &word),
                format!("To: {name},{end} {after} {word}")
            );
        }
    }

    #[test]
    fn a_comma_in_the_first_third_of_the_line_is_too_far_to_the_left() {
        for (length, after_comma, before_word) in [(19, "", "\n"), (20, "\n", "")] {
            let (name, after, word) = ("x".repeat(length), "y".repeat(20), "z".repeat(40));
            assert_eq!(
                with_word("To:", &format!(" {name}, {after} "), &word),
                format!("To: {name},{after_comma} {after}{before_word} {word}")
            );
        }
    }

    #[test]
    fn after_a_long_name_an_encoded_word_has_the_room_of_the_next_line() {
        // A space may follow the word.
        for (name, room) in [(46, 29), (47, 74), (76, 74)] {
            let name = format!("{}:", "x".repeat(name - 1));
            assert_eq!(Writer::new(name.as_bytes()).room(), room, "{name}");
        }
    }

    /// A new field with text, and then with text that stays whole.
    fn with_whole(text: &str, whole: &str) -> String {
        let mut writer = Writer::new(b"To:");
        writer.text(text.as_bytes());
        writer.whole(whole.as_bytes());
        String::from_utf8(writer.finish()).unwrap()
    }

    #[test]
    fn text_that_stays_whole_is_folded_inside_if_no_other_place_helps() {
        for (length, expected) in [
            (LONGEST_LINE - 8, format!("To: \"x {}\n z\"", "y".repeat(LONGEST_LINE - 8))),
            (LONGEST_LINE - 7, format!("To: \"x\n {} z\"", "y".repeat(LONGEST_LINE - 7))),
        ] {
            let whole = format!("\"x {} z\"", "y".repeat(length));
            assert_eq!(with_whole(" ", &whole), expected);
        }
        // After a fold at another place, too.
        let (first, second) = ("x ".repeat(200), "y".repeat(700));
        let folded = format!("To: a\n \"{}\n {second}\"", first.trim_end());
        assert_eq!(with_whole(" a ", &format!("\"{first}{second}\"")), folded);
    }

    #[test]
    fn an_encoded_word_limits_the_line_unless_it_is_in_text_that_stays_whole() {
        let (word, name) = ("=?utf-8?Q?a?=", "x".repeat(60));
        assert_eq!(with_whole(&format!(" {word} {name}"), ""), format!("To: {word}\n {name}"));
        let whole = format!("\"{word} {name}\"");
        assert_eq!(with_whole(" a ", &whole), format!("To: a {whole}"));
        // Such text may be longer, up to what a hop would break.
        for (length, is_folded) in [(LONGEST_LINE, false), (LONGEST_LINE + 1, true)] {
            let whole = format!("\"x {}\"", "y".repeat(length - 5));
            let written = with_whole(&format!(" {word} "), &whole);
            assert_eq!(written.contains("x\n y"), is_folded, "{written}");
        }
    }

    #[test]
    fn a_long_word_gets_a_line_and_the_rest_is_folded() {
        let word = "x".repeat(2_000);
        let field = format!("X: a {word} {}\n", "b ".repeat(600));
        let text = String::from_utf8(folded(field.as_bytes())).unwrap();
        assert_eq!(text.lines().filter(|line| line.len() > LONGEST_LINE).count(), 1);
        assert_eq!(text.replace('\n', ""), field.replace('\n', ""));
        let only = format!("X: {word}\n");
        assert_eq!(folded(only.as_bytes()), only.as_bytes());
    }
}
