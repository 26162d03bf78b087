//! The pure part of the wrapper as one function, and a model of what Postfix and a hop without 8BITMIME
//! would change in what comes out of it. Used by the tests and by the fuzz targets.

use sendmail_dkim::argv::LoneDot;
use std::collections::BTreeSet;

use sendmail_dkim::dkim::{Domain, Header};
use sendmail_dkim::message::address::Completion;
use sendmail_dkim::message::author::Author;
use sendmail_dkim::message::date::DateTime;
use sendmail_dkim::message::reader::{Reader, Step};
use sendmail_dkim::message::seven_bit::{Rewrite, Risk, Survey};
use sendmail_dkim::message::{body, complete};

/// What is sent of a message.
pub(crate) struct Sent {
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
    /// The names that are not signed, in lower case.
    pub(crate) unstable: BTreeSet<String>,
    /// Whether a charset was declared for the body.
    is_declared: bool,
}

impl Sent {
    pub(crate) fn text(&self) -> Vec<u8> {
        [self.header.bytes().as_slice(), b"\n", &self.body].concat()
    }

    /// What is sent of it if it is submitted again. `None`: that may differ, because raw text that had to stay in the header may
    /// be in the charset that was declared since then.
    pub(crate) fn again(&self) -> Option<Self> {
        let is_known_now = self.is_declared && !self.header.bytes().is_ascii();
        sent(&self.text()).filter(|_| !is_known_now)
    }
}

/// `None` where the wrapper would send it as submitted, or has left a part alone.
pub(crate) fn sent(input: &[u8]) -> Option<Sent> {
    let completion = Completion { origin: Domain::parse("origin.example").ok(), dot_domain: None };
    let mut reader = Reader::new(LoneDot::IsText);
    let mut text = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let (taken, step) = reader.feed(rest, &mut text);
        if step == Step::HeaderTooLarge {
            return None;
        }
        rest = &rest[taken..];
    }
    reader.finish(&mut text);
    body::replace_stray_crs(&mut text);
    let mut header = complete::fields(reader.header())?;
    complete::complete_from(&mut header, &complete::Submitter::default(), &completion);
    Author::of(&header).ok()?;
    let domain = Domain::parse("sample.com").unwrap();
    let now = DateTime { seconds: 1_700_000_000, offset: 0 };
    let unstable = complete::complete(&mut header, &completion, now, "1", &domain);
    let mut survey = Survey::new(&header.bytes(), false);
    survey.feed(&text);
    let changes = survey.finish();
    if changes.risk != Risk::None || header.count("DKIM-Signature") + header.count("ARC-Seal") > 0 {
        return None;
    }
    let mut is_declared = false;
    if let Some((encoding, charset)) = changes.of_header() {
        is_declared = charset.is_some();
        complete::label(&mut header, encoding, charset);
    }
    if !changes.keep_body() {
        let mut rewrite = Rewrite::new(&changes);
        let mut out = Vec::new();
        rewrite.feed(&text, &mut out);
        rewrite.finish(&mut out);
        text = out;
    }
    let unstable: BTreeSet<_> =
        unstable.iter().map(|(name, _)| name.as_str().to_lowercase()).collect();
    (!unstable.contains("from")).then_some(Sent { header, body: text, unstable, is_declared })
}

/// What Postfix, or a hop without 8BITMIME, would change in what was sent.
///
/// Addresses are left to a real Postfix.
pub(crate) fn changed_on_the_way(sent: &Sent) -> Option<String> {
    let Sent { header, body, unstable, .. } = sent;
    for field in header.fields() {
        let name = String::from_utf8_lossy(field.name()).to_lowercase();
        if unstable.contains(&name) {
            continue;
        }
        let bytes = field.bytes();
        if bytes.contains(&0) || bytes.contains(&b'\r') {
            return Some(format!("NUL or CR in {name}"));
        }
        if bytes.contains(&0x0b) || bytes.contains(&0x0c) {
            return Some(format!("whitespace for some verifiers in {name}"));
        }
        if bytes.split(|byte| *byte == b'\n').any(|line| line.len() > 990) {
            return Some(format!("long line in {name}"));
        }
        if bytes.get(field.name().len()) != Some(&b':') {
            return Some(format!("space before the colon of {name}"));
        }
        if name == "content-transfer-encoding" {
            let value = String::from_utf8_lossy(field.value()).to_lowercase();
            if ["8bit", "binary"].contains(&value.trim()) {
                return Some("label of the message".into());
            }
        }
    }
    let resent = header
        .fields()
        .iter()
        .any(|field| field.name().to_ascii_lowercase().starts_with(b"resent-"));
    for name in ["From", "Date", "Message-ID"] {
        if header.count(name) == 0 && (!resent || name == "From") {
            return Some(format!("no {name}"));
        }
    }
    changed_in_body(header, body)
}

/// The same for the body.
fn changed_in_body(header: &Header, body: &[u8]) -> Option<String> {
    // In the header of a part: behind a boundary of the message, before an empty line.
    let mut boundaries = boundaries(header);
    let mut in_header = false;
    let mut is_first = false;
    for line in body.split(|byte| *byte == b'\n') {
        let until_colon = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let spaces = until_colon.iter().rev().take_while(|byte| SPACES.contains(byte)).count();
        let name = until_colon.get(..until_colon.len() - spaces).unwrap_or_default();
        let is_like_field = until_colon.len() < line.len()
            && !name.is_empty()
            && name.iter().all(|byte| (33..=126).contains(byte));
        // What follows a boundary does not matter to Postfix, but for the `--` of the last one; in a part header a
        // field is a field first.
        let begins_with = |boundary: &Vec<u8>| line.starts_with(boundary);
        let innermost =
            boundaries.iter().rposition(begins_with).filter(|_| !(in_header && is_like_field));
        let is_field = innermost.is_none() && is_like_field;
        let continues = line.starts_with(b" ") || line.starts_with(b"\t");
        let stays = in_header && (is_field || (continues && !is_first));
        let mut begins = false;
        if let Some(innermost) = innermost {
            boundaries.truncate(innermost.saturating_add(1));
            let boundary = boundaries.last().map_or(0, Vec::len);
            begins = !line.get(boundary..).is_some_and(|rest| rest.starts_with(b"--"));
            if !begins {
                boundaries.pop();
            }
        }
        in_header = begins || (innermost.is_none() && stays);
        is_first = begins;
        if in_header && is_field && name.len() < until_colon.len() {
            return Some(format!("space before a colon: {}", String::from_utf8_lossy(line)));
        }
        let lower = line.to_ascii_lowercase();
        if line.len() > 990 {
            return Some("long line".into());
        }
        if line.contains(&b'\r') {
            return Some("CR".into());
        }
        if line.iter().any(|byte| *byte >= 0x80 || *byte == 0) {
            return Some("8-bit byte".into());
        }
        let is_label = in_header && name.eq_ignore_ascii_case(b"Content-Transfer-Encoding");
        let said = first_token(&lower);
        if is_label && (said == Some(b"8bit".as_slice()) || said == Some(b"binary".as_slice())) {
            return Some(format!("label of a part: {}", String::from_utf8_lossy(line)));
        }
    }
    (!body.is_empty() && !body.ends_with(b"\n")).then(|| "no last line end".into())
}

/// What is nothing between two words to Postfix; a vertical tab or a form feed is a word.
const SPACES: &[u8] = b" \t\r\n";

fn behind_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|byte| SPACES.contains(byte)).count();
    text.get(spaces..).unwrap_or_default()
}

/// What counts of a label: the first thing in it that is no comment, if that is a word.
fn first_token(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let mut rest = behind_spaces(line.get(colon.saturating_add(1)..)?);
    while rest.starts_with(b"(") {
        let end = rest.iter().position(|byte| *byte == b')')?;
        rest = behind_spaces(rest.get(end.saturating_add(1)..)?);
    }
    let ends = |byte: &u8| b" ()<>@,;:\\\".[]".contains(byte) || byte.is_ascii_control();
    let end = rest.iter().position(ends).unwrap_or(rest.len());
    rest.get(..end)
}

/// A backslash escapes in a quoted-string only.
fn ends_inside_quotes(text: &str) -> bool {
    let mut is_inside = false;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => is_inside = !is_inside,
            '\\' if is_inside => drop(chars.next()),
            _ => {}
        }
    }
    is_inside
}

/// `--` and the boundary of a multipart message, for each of its Content-Type fields.
fn boundaries(header: &Header) -> Vec<Vec<u8>> {
    header.named("Content-Type").filter_map(|field| boundary(field.value())).collect()
}

fn boundary(value: &[u8]) -> Option<Vec<u8>> {
    let value = String::from_utf8_lossy(value);
    let value = value.replace('\n', "");
    let is_space = |char: char| u8::try_from(char).is_ok_and(|byte| SPACES.contains(&byte));
    if !value.trim_start_matches(is_space).to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let start = value.to_ascii_lowercase().find("boundary=")?.saturating_add("boundary=".len());
    let name = value.get(..start)?.trim_end_matches(|char: char| char != ';');
    // Text before the name makes another name of it.
    let before = value.get(name.len()..start)?;
    if !before.trim_start_matches(is_space).eq_ignore_ascii_case("boundary=") {
        return None;
    }
    // Nor is one inside of quotes, or of a comment without an end.
    if ends_inside_quotes(name) || name.contains('(') {
        return None;
    }
    let rest = value.get(start..)?.trim_start_matches(is_space);
    let text = match rest.strip_prefix('"') {
        Some(quoted) => unquoted(quoted),
        // A special ends what Postfix sees of it.
        None => rest
            .split(|char: char| " ()<>@,;:\\\"/[]?=".contains(char) || char.is_control())
            .next()?
            .to_owned(),
    };
    (!text.is_empty()).then(|| format!("--{text}").into_bytes())
}

/// The content of a quoted-string; `quoted` begins after its first quote.
fn unquoted(quoted: &str) -> String {
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(char) = chars.next().filter(|char| *char != '"') {
        text.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    text
}
