//! Ways back from a header to the one that may have been signed. Pure.

use std::collections::BTreeSet;

use super::finding::Finding;
use crate::dkim::{Field, FieldName, Header};

/// One field as it may have been.
pub(super) struct Edit {
    /// Which; the number of fields for one that is not there.
    pub(super) index: usize,
    /// `None`: it was not there.
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

/// Where a list or a gateway puts the author that it took out of From.
const FORMER: [&str; 4] = ["X-Original-From", "Original-From", "Reply-To", "Sender"];

/// Values of Content-Transfer-Encoding that a hop may have taken the place of.
const ENCODINGS: [&str; 5] = ["8bit", "7bit", "8BIT", "binary", "quoted-printable"];

/// No hop breaks lines shorter than this.
const SHORTEST_BREAK: usize = 500;

/// No more edits are tried, nor in more bytes.
const MOST: usize = 2_000;
const MOST_BYTES: usize = 16 << 20;

/// Domains of one field that may have completed its addresses.
const MOST_DOMAINS: usize = 20;

/// All edits that are worth a trial.
pub(super) fn edits(header: &Header, signed: &[FieldName]) -> Vec<Edit> {
    let mut all = Vec::new();
    let mut room = MOST_BYTES;
    let signed_names: BTreeSet<_> =
        signed.iter().map(|name| name.as_str().to_ascii_lowercase().into_bytes()).collect();
    let is_signed = |name: &[u8]| signed_names.contains(&name.to_ascii_lowercase());
    for (index, field) in header.fields().iter().enumerate() {
        if !is_signed(field.name()) || all.len() >= MOST {
            continue;
        }
        let name = String::from_utf8_lossy(field.name()).into_owned();
        all.push(Edit {
            index,
            field: None,
            finding: Finding::proven("field-added", &format!("this {name} field was added")),
        });
        let mut way = Way { index, name: &name, field, all: &mut all, room: &mut room };
        way.line_breaks();
        if field.is("Subject") {
            way.subject();
        }
        if ADDRESSES.iter().any(|address| field.is(address)) {
            way.addresses();
        }
        if field.is("From") {
            way.former(header);
        }
        if field.is("Content-Transfer-Encoding") {
            way.encodings();
        }
        way.blanks();
    }
    all.extend(absent(header, signed));
    all
}

/// Fields of one known value that a hop may have dropped.
fn absent(header: &Header, signed: &[FieldName]) -> Vec<Edit> {
    let known = [("MIME-Version", "1.0")];
    let encodings = ENCODINGS.map(|encoding| ("Content-Transfer-Encoding", encoding));
    let lost = known
        .into_iter()
        .chain(encodings)
        .filter(|(name, _)| header.count(name) == 0 && signed.iter().any(|signed| signed.is(name)));
    lost.filter_map(|(name, value)| {
        Some(Edit {
            index: header.fields().len(),
            field: Some(Field::parse(format!("{name}: {value}\r\n").as_bytes()).ok()?),
            finding: Finding::proven("field-dropped", &format!("{name}: {value} was dropped")),
        })
    })
    .collect()
}

/// The ways back of one field.
struct Way<'a> {
    index: usize,
    name: &'a str,
    field: &'a Field,
    all: &'a mut Vec<Edit>,
    /// Bytes that may still be tried.
    room: &'a mut usize,
}

impl Way<'_> {
    /// Whether there is room for one more.
    fn has_room(&self) -> bool {
        self.all.len() < MOST && *self.room >= self.field.octets().len()
    }

    /// Adds one with this text behind the colon.
    fn with(&mut self, value: &[u8], finding: Finding) {
        if !self.has_room() {
            return;
        }
        *self.room = self.room.saturating_sub(value.len());
        if value == self.field.value() {
            return;
        }
        let octets = self.field.octets();
        let begin = octets.len().saturating_sub(self.field.value().len());
        let text = [octets.get(..begin).unwrap_or_default(), value].concat();
        if let Ok(field) = Field::parse(&text) {
            self.all.push(Edit { index: self.index, field: Some(field), finding });
        }
    }

    /// A line of 998 octets that goes on in the next one.
    fn line_breaks(&mut self) {
        let value = self.field.value();
        let is_long = |line: &[u8]| line.len() >= SHORTEST_BREAK;
        if !self.field.octets().split_inclusive(|octet| *octet == b'\n').any(is_long) {
            return;
        }
        for kept in ["", " "] {
            let text = value.split_inclusive(|octet| *octet == b'\n');
            let mut before: Vec<u8> = Vec::new();
            let mut follows_long = false;
            for line in text {
                let line = if follows_long { line.get(1..).unwrap_or_default() } else { line };
                if follows_long {
                    let end = before.trim_ascii_end().len();
                    before.truncate(end);
                    before.extend_from_slice(kept.as_bytes());
                }
                follows_long = is_long(line);
                before.extend_from_slice(line);
            }
            let what = format!("a long line of {} was broken", self.name);
            self.with(&before, Finding::proven("lines-broken", &what));
        }
    }

    /// Words put before or behind.
    fn subject(&mut self) {
        let value = self.field.value().to_vec();
        let text = String::from_utf8_lossy(&value).into_owned();
        let places: Vec<usize> = text.match_indices(' ').map(|(place, _)| place).collect();
        for place in places.into_iter().filter(|place| *place > 0) {
            if !self.has_room() {
                return;
            }
            let Some((before, after)) = text.split_at_checked(place) else { continue };
            if before.trim().is_empty() || after.trim().is_empty() {
                continue;
            }
            let tag = format!("{:?} was put before the subject", before.trim());
            self.with(after.as_bytes(), Finding::proven("subject-tag", &tag));
            let tail = format!("{:?} was put behind the subject", after.trim());
            self.with(format!("{before}\r\n").as_bytes(), Finding::proven("subject-tag", &tail));
        }
    }

    /// What completes and quotes addresses.
    fn addresses(&mut self) {
        let text = String::from_utf8_lossy(self.field.value()).into_owned();
        let name = self.name;
        let unquoted = text.replace('"', "");
        let quotes = format!("quotes were put into {name}");
        self.with(unquoted.as_bytes(), Finding::proven("quotes-added", &quotes));
        for domain in domains(&text) {
            let what = format!("addresses in {name} were completed with @{domain}");
            let finding = Finding::proven("domain-added", &what);
            let bare = text.replace(&format!("@{domain}"), "");
            self.with(bare.as_bytes(), finding.clone());
            self.with(bare.replace('"', "").as_bytes(), finding.clone());
            // `<root>` became `root@domain`, and the other way round.
            self.with(bare.replace(['<', '>'], "").as_bytes(), finding);
            for (place, _) in domain.match_indices('.') {
                let Some((host, parent)) = domain.split_at_checked(place) else { continue };
                let what = format!("domains in {name} were completed with {parent}");
                let short = text.replace(&domain, host);
                self.with(short.as_bytes(), Finding::proven("domain-added", &what));
            }
        }
    }

    /// From taken out by a list or a gateway, and kept in another field.
    fn former(&mut self, header: &Header) {
        for name in FORMER {
            for field in header.named(name) {
                let what = format!("From was rewritten; the one that was signed is now in {name}");
                self.with(field.value(), Finding::proven("from-rewritten", &what));
            }
        }
    }

    fn encodings(&mut self) {
        let now = String::from_utf8_lossy(self.field.value()).trim().to_owned();
        for encoding in ENCODINGS.iter().filter(|encoding| **encoding != now) {
            let what = format!("Content-Transfer-Encoding was {encoding}, and is {now} now");
            let value = format!(" {encoding}\r\n");
            self.with(value.as_bytes(), Finding::proven("encoding-changed", &what));
        }
    }

    /// Folding and blanks, which c=simple wants as they were.
    fn blanks(&mut self) {
        let text = String::from_utf8_lossy(self.field.value()).into_owned();
        let lines: Vec<&str> = text.trim_end().split('\n').map(str::trim_end).collect();
        let name = self.name;
        let finding =
            Finding::proven("folding", &format!("the folding or blanks of {name} were changed"));
        let unfolded = |with: &str| {
            let rest = lines.iter().skip(1).map(|line| format!("{with}{}", line.trim_start()));
            let first = lines.first().copied().unwrap_or_default();
            format!("{first}{}\r\n", rest.collect::<String>())
        };
        for with in [" ", "\t", "\r\n\t", "\r\n ", "\r\n  "] {
            self.with(unfolded(with).as_bytes(), finding.clone());
        }
        let joined = format!("{}\r\n", lines.concat());
        self.with(joined.as_bytes(), finding.clone());
        let stripped = text.trim_start_matches([' ', '\t']);
        self.with(stripped.as_bytes(), finding.clone());
        self.with(format!(" {stripped}").as_bytes(), finding);
    }
}

/// What stands behind @ in a text, each once.
fn domains(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, rest) in text.match_indices('@').filter_map(|(place, _)| text.split_at_checked(place)) {
        let is_end = |char: char| !(char.is_alphanumeric() || matches!(char, '.' | '-' | '_'));
        let rest = rest.strip_prefix('@').unwrap_or(rest);
        let domain = rest.split(is_end).next().unwrap_or_default();
        if found.len() >= MOST_DOMAINS {
            break;
        }
        if !domain.is_empty() && !found.iter().any(|known| known == domain) {
            found.push(domain.to_owned());
        }
    }
    found
}
