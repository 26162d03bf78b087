//! Text for people: safe for a terminal, and in color where a terminal shows it.

/// How good or bad the news is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Caution,
    Bad,
}

/// Pieces of text, some of which have a tone. Characters that could control a terminal are escaped; the tones become colors only
/// when the text is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text(Vec<(Option<Tone>, String)>);

impl Text {
    /// A text with a tone.
    pub(crate) fn toned(tone: impl Into<Option<Tone>>, text: &str) -> Self {
        Self(vec![(tone.into(), printable(text))])
    }

    pub(crate) fn push(&mut self, text: impl Into<Self>) {
        self.0.extend(text.into().0);
    }

    /// Each piece, in the color of its tone (ECMA-48, SGR) or as it is.
    pub(crate) fn shown(&self, is_colored: bool) -> String {
        let piece = |(tone, text): &(Option<Tone>, String)| match tone.filter(|_| is_colored) {
            None => text.clone(),
            Some(Tone::Good) => format!("\u{1b}[32m{text}\u{1b}[0m"),
            Some(Tone::Caution) => format!("\u{1b}[33m{text}\u{1b}[0m"),
            Some(Tone::Bad) => format!("\u{1b}[31m{text}\u{1b}[0m"),
        };
        self.0.iter().map(piece).collect()
    }

    fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }
}

impl<T: AsRef<str>> From<T> for Text {
    fn from(text: T) -> Self {
        Self::toned(None, text.as_ref())
    }
}

/// Formats rows in columns: aligned for people, else separated by tabs for other programs. Nothing follows the last cell that is
/// not empty.
pub(super) fn columns(rows: &[Vec<Text>], is_aligned: bool) -> Text {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column| rows.iter().filter_map(|row| row.get(column)).map(Text::width).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = Text::default();
    for row in rows {
        let last = row.iter().rposition(|cell| cell.width() > 0);
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            text.push(cell.clone());
            match last {
                Some(last) if at < last && is_aligned => {
                    let missing = width.saturating_sub(cell.width()).saturating_add(2);
                    text.push(" ".repeat(missing));
                }
                Some(last) if at < last => text.push("\t"),
                _ => {}
            }
        }
        text.push("\n");
    }
    text
}

/// Makes text safe for a terminal: line ends, tabs and visible characters stay; control characters, characters that change the
/// direction of text, and characters without width are escaped as in Rust. So a message, a record or a file name cannot control
/// the terminal.
pub(super) fn printable(text: &str) -> String {
    let is_kept = |char| matches!(char, '\n' | '\t' | '"' | '\'' | '\\' | IDEOGRAPHIC_SPACE);
    let mut shown = String::with_capacity(text.len());
    for run in text.split_inclusive(is_kept) {
        let kept = run.chars().next_back().filter(|char| is_kept(*char));
        let run = kept.and_then(|char| run.strip_suffix(char)).unwrap_or(run);
        shown.extend(run.escape_debug());
        shown.extend(kept);
    }
    shown
}

/// The same for JSON, whose strings already escape characters below U+0020. The escapes make no difference to a script.
pub(crate) fn printable_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if printable(char.encode_utf8(&mut [0; 4])).starts_with(char) {
            shown.push(char);
        } else {
            let units = &mut [0; 2];
            for unit in char.encode_utf16(units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    shown
}

/// The space of Japanese text.
const IDEOGRAPHIC_SPACE: char = '\u{3000}';

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [Vec<Text>; 2] {
        let bad = Text::toned(Tone::Bad, "bb");
        [vec!["a".into(), bad, "x".into()], vec!["ccc".into(), "d".into(), "".into()]]
    }

    #[test]
    fn columns_are_aligned_for_people_and_separated_for_programs() {
        assert_eq!(columns(&rows(), true).shown(false), "a    bb  x\nccc  d\n");
        assert_eq!(columns(&rows(), false).shown(false), "a\tbb\tx\nccc\td\n");
    }

    #[test]
    fn colors_take_no_column() {
        let shown = columns(&rows(), true).shown(true);
        assert_eq!(shown, "a    \u{1b}[31mbb\u{1b}[0m  x\nccc  d\n");
    }

    #[test]
    fn an_escaped_character_takes_the_columns_of_its_escape() {
        let rows = [["\u{1b}", "x"], ["a", "y"]].map(|row| row.map(Text::from).to_vec());
        assert_eq!(columns(&rows, true).shown(false), "\\u{1b}  x\na       y\n");
    }

    #[test]
    fn text_of_others_has_no_color() {
        let text = Text::toned(Tone::Good, "\u{1b}[31mred");
        assert_eq!(text.shown(true), "\u{1b}[32m\\u{1b}[31mred\u{1b}[0m");
    }

    #[test]
    fn what_can_be_seen_is_shown_as_it_is() {
        for text in [
            "a \"b\" 'c' \\ ~\n\tgr\u{fc}n \u{65e5}\u{672c}\u{8a9e}\u{3000}\u{ff3b}x\u{ff3d}\n",
            // Combining marks, and an emoji.
            "e\u{301} \u{1f600}",
        ] {
            assert_eq!(printable(text), text);
            assert_eq!(serde_json::from_str::<String>(&json(text)).unwrap(), text);
        }
    }

    #[test]
    fn no_order_to_a_terminal_passes() {
        for (text, shown) in [
            ("\u{1b}[31mred\u{7}\u{8}\u{0}\r\n", "\\u{1b}[31mred\\u{7}\\u{8}\\0\\r\n"),
            ("\u{7f}\u{9b}1A\u{85}\u{b}", "\\u{7f}\\u{9b}1A\\u{85}\\u{b}"),
            // Bidirectional overrides and isolates, characters without width, tags, line separators.
            ("a\u{202e}b\u{2066}c\u{200b}\u{feff}", "a\\u{202e}b\\u{2066}c\\u{200b}\\u{feff}"),
            ("\u{61c}\u{2028}\u{e0041}", "\\u{61c}\\u{2028}\\u{e0041}"),
        ] {
            assert_eq!(printable(text), shown);
            let json = json(text);
            assert!(json.chars().all(|char| matches!(char, ' '..='~')), "{json}");
            // For a script the value is unchanged.
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    fn json(text: &str) -> String {
        printable_json(&serde_json::to_string(text).unwrap())
    }
}
