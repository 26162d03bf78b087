//! Edits that undo the changes of hops to a header. Pure.

use std::collections::BTreeSet;

use super::finding::Finding;
use crate::dkim::{Field, FieldName, Header};

/// One field as it may have been when it was signed.
pub(super) struct Edit {
    /// The index of the field. For a missing field, the number of fields.
    pub(super) index: usize,
    /// The earlier field. `None` if there was none.
    pub(super) field: Option<Field>,
    pub(super) finding: Finding,
}

/// Fields that hold addresses.
const ADDRESSES: [&str; 9] = [
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Sender",
    "Resent-From",
    "Resent-To",
    "Resent-Cc",
    "Resent-Sender",
];

/// Fields in which a list or a gateway keeps the author that it replaced in From.
const FORMER: [&str; 4] = ["X-Original-From", "Original-From", "Reply-To", "Sender"];

/// Values of Content-Transfer-Encoding that a hop may have replaced.
const ENCODINGS: [&str; 5] = ["8bit", "7bit", "8BIT", "binary", "quoted-printable"];

/// The shortest line that a hop may break, in bytes.
const SHORTEST_BREAK: usize = 500;

/// The most edits that are tried.
const MOST: usize = 2_000;
const MOST_BYTES: usize = 16 << 20;

/// The most domains of one field that are tried as completions of its addresses.
const MOST_DOMAINS: usize = 20;

/// All edits to try.
pub(super) fn edits(header: &Header, signed: &[FieldName]) -> Vec<Edit> {
    let mut all = Vec::new();
    let mut room = MOST_BYTES;
    let signed_names: BTreeSet<&FieldName> = signed.iter().collect();
    for (index, field) in header.fields().iter().enumerate() {
        let name = String::from_utf8_lossy(field.name()).into_owned();
        let is_signed = FieldName::parse(&name).is_ok_and(|name| signed_names.contains(&name));
        if !is_signed || all.len() >= MOST {
            continue;
        }
        let finding = Finding::proven("field-added", format!("this {name} field was added"));
        all.push(Edit { index, field: None, finding });
        let text = String::from_utf8_lossy(field.value()).into_owned();
        let mut edits =
            FieldEdits { index, name: &name, field, text: &text, all: &mut all, room: &mut room };
        edits.line_breaks();
        if field.is("Subject") {
            edits.subject();
        }
        if ADDRESSES.iter().any(|address| field.is(address)) {
            edits.addresses();
        }
        if field.is("From") {
            edits.former(header);
        }
        if field.is("Content-Transfer-Encoding") {
            edits.encodings();
        }
        edits.white_space();
    }
    all.extend(absent(header, signed));
    all
}

/// Fields with few possible values that a hop may have dropped.
fn absent(header: &Header, signed: &[FieldName]) -> Vec<Edit> {
    let encodings = ENCODINGS.map(|encoding| ("Content-Transfer-Encoding", encoding));
    let known = [("MIME-Version", "1.0")].into_iter().chain(encodings);
    let lost = known
        .filter(|(name, _)| header.count(name) == 0 && signed.iter().any(|signed| signed.is(name)));
    lost.filter_map(|(name, value)| {
        Some(Edit {
            index: header.fields().len(),
            field: Some(Field::parse(format!("{name}: {value}\r\n").as_bytes()).ok()?),
            finding: Finding::proven("field-dropped", format!("{name}: {value} was dropped")),
        })
    })
    .collect()
}

/// The edits of one field.
struct FieldEdits<'a> {
    index: usize,
    name: &'a str,
    field: &'a Field,
    /// The value of the field.
    text: &'a str,
    all: &'a mut Vec<Edit>,
    /// Bytes that may still be tried.
    room: &'a mut usize,
}

impl FieldEdits<'_> {
    /// Whether another edit may be tried.
    fn has_room(&self) -> bool {
        self.all.len() < MOST && *self.room >= self.field.bytes().len()
    }

    /// Adds an edit: the field with this value after its colon.
    fn with(&mut self, value: impl AsRef<[u8]>, what: &'static str, message: impl Into<String>) {
        let value = value.as_ref();
        if !self.has_room() {
            return;
        }
        *self.room = self.room.saturating_sub(value.len());
        if value == self.field.value() {
            return;
        }
        let bytes = self.field.bytes();
        let begin = bytes.len().saturating_sub(self.field.value().len());
        let text = [bytes.get(..begin).unwrap_or_default(), value].concat();
        if let Ok(field) = Field::parse(&text) {
            let finding = Finding::proven(what, message);
            self.all.push(Edit { index: self.index, field: Some(field), finding });
        }
    }

    /// A line that was broken after 998 bytes.
    fn line_breaks(&mut self) {
        let is_long = |line: &[u8]| line.len() >= SHORTEST_BREAK;
        if !self.field.bytes().split_inclusive(|byte| *byte == b'\n').any(is_long) {
            return;
        }
        for kept in ["", " "] {
            let mut before: Vec<u8> = Vec::new();
            let mut follows_long = false;
            for mut line in self.field.value().split_inclusive(|byte| *byte == b'\n') {
                if follows_long {
                    line = line.get(1..).unwrap_or_default();
                    before.truncate(before.trim_ascii_end().len());
                    before.extend_from_slice(kept.as_bytes());
                }
                follows_long = is_long(line);
                before.extend_from_slice(line);
            }
            self.with(before, "lines-broken", format!("a long line of {} was broken", self.name));
        }
    }

    /// Words that were added before or after the subject.
    fn subject(&mut self) {
        let text = self.text;
        for (place, _) in text.match_indices(' ').filter(|(place, _)| *place > 0) {
            if !self.has_room() {
                return;
            }
            let Some((before, after)) = text.split_at_checked(place) else { continue };
            let (head, tail) = (before.trim(), after.trim());
            if !head.is_empty() && !tail.is_empty() {
                self.with(after, "subject-tag", format!("{head:?} was added before the subject"));
                let message = format!("{tail:?} was added after the subject");
                self.with(format!("{before}\r\n"), "subject-tag", message);
            }
        }
    }

    /// Addresses that were completed or quoted.
    fn addresses(&mut self) {
        let (text, name) = (self.text, self.name);
        let message = format!("quotes were added to {name}");
        self.with(text.replace('"', ""), "quotes-added", message);
        for domain in domains(text) {
            let message = format!("addresses in {name} were completed with @{domain}");
            let bare = text.replace(&format!("@{domain}"), "");
            self.with(&bare, "domain-added", &message);
            self.with(bare.replace('"', ""), "domain-added", &message);
            // `root` became `<root@domain>`.
            self.with(bare.replace(['<', '>'], ""), "domain-added", &message);
            for (place, _) in domain.match_indices('.') {
                let Some((host, parent)) = domain.split_at_checked(place) else { continue };
                let message = format!("domains in {name} were completed with {parent}");
                self.with(text.replace(domain, host), "domain-added", message);
            }
        }
    }

    /// A From field that a list or a gateway replaced and kept in another field.
    fn former(&mut self, header: &Header) {
        for name in FORMER {
            for field in header.named(name) {
                let message = format!("From was rewritten; the signed From is now in {name}");
                self.with(field.value(), "from-rewritten", message);
            }
        }
    }

    fn encodings(&mut self) {
        let now = self.text.trim();
        for encoding in ENCODINGS.iter().filter(|encoding| **encoding != now) {
            let message = format!("Content-Transfer-Encoding was changed from {encoding} to {now}");
            self.with(format!(" {encoding}\r\n"), "encoding-changed", message);
        }
    }

    /// Changes of folding and whitespace, which c=simple does not allow.
    fn white_space(&mut self) {
        let text = self.text;
        let message = format!("the folding or whitespace of {} was changed", self.name);
        let lines: Vec<&str> = text.trim_end().split('\n').map(str::trim_end).collect();
        let (first, rest) = lines.split_first().unwrap_or((&"", &[]));
        for with in [" ", "\t", "\r\n\t", "\r\n ", "\r\n  "] {
            let rest: String =
                rest.iter().map(|line| format!("{with}{}", line.trim_start())).collect();
            self.with(format!("{first}{rest}\r\n"), "folding", &message);
        }
        let stripped = text.trim_start_matches([' ', '\t']);
        for value in [&format!("{}\r\n", lines.concat()), stripped, &format!(" {stripped}")] {
            self.with(value, "folding", &message);
        }
    }
}

/// The domains after @ in a text, each once.
fn domains(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |char: char| !(char.is_alphanumeric() || matches!(char, '.' | '-' | '_'));
    let all = text.split('@').skip(1).filter_map(move |rest| rest.split(is_end).next());
    let mut known = BTreeSet::new();
    all.filter(move |domain| !domain.is_empty() && known.insert(*domain)).take(MOST_DOMAINS)
}
