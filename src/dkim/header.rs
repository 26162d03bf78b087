//! The header of a message: its fields as the bytes that are sent, and how they are picked.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::{error, fmt};

/// The name of a field (RFC 5322 §2.2): printable ASCII without the colon.
///
/// Names are compared without regard to case, and written as typed.
#[derive(Clone, Debug)]
pub struct FieldName(Box<str>);

impl FieldName {
    /// Parses a name, without the colon.
    ///
    /// # Errors
    ///
    /// The text is empty or has a byte that is not allowed in a field name.
    pub fn parse(text: &str) -> Result<Self, NotAFieldName> {
        if !is_name(text.as_bytes()) {
            return Err(NotAFieldName);
        }
        Ok(Self(text.into()))
    }

    /// The name as it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the name `other`, in any case.
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl PartialEq for FieldName {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for FieldName {}

impl PartialOrd for FieldName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FieldName {
    fn cmp(&self, other: &Self) -> Ordering {
        let lower = |byte: u8| byte.to_ascii_lowercase();
        self.0.bytes().map(lower).cmp(other.0.bytes().map(lower))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One field: the bytes of its name, colon, folded value and final line end, as they are sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    bytes: Box<[u8]>,
    /// Bytes before the colon.
    colon: usize,
}

impl Field {
    /// Parses one field. A missing final line end is added as LF; nothing else is changed.
    ///
    /// # Errors
    ///
    /// There is no name and colon, or a line after the first does not begin with WSP.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAField> {
        let colon = bytes.iter().position(|&byte| byte == b':').ok_or(NotAField)?;
        if !bytes.get(..colon).map(trim_end).is_some_and(is_name) {
            return Err(NotAField);
        }
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let folded = |line: &[u8]| matches!(line.first(), Some(b' ' | b'\t'));
        if !text.split(|&byte| byte == b'\n').skip(1).all(folded) {
            return Err(NotAField);
        }
        let mut bytes = bytes.to_vec();
        if !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        Ok(Self { bytes: bytes.into(), colon })
    }

    /// The whole field with its final line end.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name, without WSP before the colon.
    pub fn name(&self) -> &[u8] {
        self.bytes.get(..self.colon).map_or(&[], trim_end)
    }

    /// Whether the field has the name `name`, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// Everything after the colon, including WSP, folding and the final line end.
    pub fn value(&self) -> &[u8] {
        self.bytes.get(self.colon..).and_then(|rest| rest.strip_prefix(b":")).unwrap_or_default()
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({:?})", String::from_utf8_lossy(&self.bytes))
    }
}

/// The header section, without the empty line that ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header(Vec<Field>);

impl Header {
    /// A header of these fields, in this order.
    pub fn new(fields: Vec<Field>) -> Self {
        Self(fields)
    }

    /// Parses the bytes of a header section, which may be empty.
    ///
    /// # Errors
    ///
    /// The number of the first line that is not part of a field.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAHeader> {
        let mut fields = Vec::new();
        let mut line = 1_usize;
        for field in split_fields(bytes) {
            fields.push(Field::parse(field).map_err(|NotAField| NotAHeader { line })?);
            line = line.saturating_add(field.iter().filter(|&&byte| byte == b'\n').count());
        }
        Ok(Self(fields))
    }

    /// The fields, top-down.
    pub fn fields(&self) -> &[Field] {
        &self.0
    }

    /// The fields, mutable.
    pub fn fields_mut(&mut self) -> &mut Vec<Field> {
        &mut self.0
    }

    /// How many fields have the name `name`.
    pub fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    /// The fields of the name `name`, top-down.
    pub fn named<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a Field> {
        self.0.iter().filter(move |field| field.is(name))
    }

    /// The whole section.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes);
        bytes
    }

    /// Appends the whole section.
    pub fn write_to(&self, sink: &mut Vec<u8>) {
        for field in &self.0 {
            sink.extend_from_slice(&field.bytes);
        }
    }
}

/// Picks the instances of repeated fields from the bottom to the top (§5.4.2).
///
/// There is no instance for a name that is picked more often than the field occurs. Signing this absence prevents that a field is
/// added (oversigning).
#[derive(Debug)]
pub struct Picker<'a>(BTreeMap<Vec<u8>, Vec<&'a Field>>);

impl<'a> Picker<'a> {
    /// Starts below the last field.
    pub fn new(header: &'a Header) -> Self {
        let mut fields = BTreeMap::<_, Vec<_>>::new();
        for field in header.fields() {
            fields.entry(field.name().to_ascii_lowercase()).or_default().push(field);
        }
        Self(fields)
    }

    /// How many instances of the field are left.
    pub fn left(&self, name: &FieldName) -> usize {
        self.0.get(name.as_str().to_ascii_lowercase().as_bytes()).map_or(0, Vec::len)
    }

    /// The next instance upwards.
    pub fn pick(&mut self, name: &FieldName) -> Option<&'a Field> {
        self.0.get_mut(name.as_str().to_ascii_lowercase().as_bytes())?.pop()
    }
}

/// The text is not a field name. The person who typed it causes this error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAFieldName;

impl fmt::Display for NotAFieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a field name is printable ASCII without spaces and colons")
    }
}

impl error::Error for NotAFieldName {}

/// The bytes are not one field. The author of the message causes this error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAField;

impl fmt::Display for NotAField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a header field")
    }
}

impl error::Error for NotAField {}

/// The bytes are not a header section. The author of the message causes this error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAHeader {
    /// The first line that is not part of a field, counted from 1.
    pub line: usize,
}

impl fmt::Display for NotAHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the header is not a header field", self.line)
    }
}

impl error::Error for NotAHeader {}

/// The fields of a header section, each with its continuation lines and line ends (RFC 5322 §2.2.3).
pub fn split_fields(section: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = section;
    std::iter::from_fn(move || {
        let lines = rest.split_inclusive(|&byte| byte == b'\n');
        let continues = |line: &&[u8]| matches!(line.first(), Some(b' ' | b'\t'));
        let more = lines.clone().skip(1).take_while(continues);
        let length = lines.take(1).chain(more).map(<[u8]>::len).sum();
        let (field, after) = rest.split_at(length);
        rest = after;
        (!field.is_empty()).then_some(field)
    })
}

fn is_name(bytes: &[u8]) -> bool {
    let printable = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
    !bytes.is_empty() && bytes.iter().all(printable)
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
    end.and_then(|last| bytes.get(..=last)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FieldName {
        FieldName::parse(text).unwrap()
    }

    #[test]
    fn field_names_are_compared_without_case_and_kept_as_typed() {
        assert_eq!(name("Message-ID"), name("message-id"));
        assert_eq!(name("Message-ID").cmp(&name("message-id")), Ordering::Equal);
        assert!(name("date") < name("From") && name("Date") < name("from"));
        assert_eq!(name("Message-ID").as_str(), "Message-ID");
        assert_eq!(name("Message-ID").to_string(), "Message-ID");
    }

    #[test]
    fn a_field_name_has_no_space_colon_control_character_or_non_ascii_byte() {
        for text in ["", "a b", "a:", "a\t", "ä", "a\n"] {
            assert_eq!(FieldName::parse(text), Err(NotAFieldName), "{text:?}");
        }
    }

    #[test]
    fn a_field_keeps_its_bytes_and_knows_its_parts() {
        let field = Field::parse(b"Subject \t: a\r\n\tb: c\r\n").unwrap();
        assert_eq!(field.bytes(), b"Subject \t: a\r\n\tb: c\r\n");
        assert_eq!(field.name(), b"Subject");
        assert!(field.is("SUBJECT"));
        assert_eq!(field.value(), b" a\r\n\tb: c\r\n");
    }

    #[test]
    fn a_field_gets_its_missing_line_end() {
        assert_eq!(Field::parse(b"a: b").unwrap().bytes(), b"a: b\n");
        assert_eq!(Field::parse(b"a:").unwrap().value(), b"\n");
    }

    #[test]
    fn text_that_is_not_exactly_one_field_is_rejected() {
        let texts: [&[u8]; 8] =
            [b"", b"\n", b": a\n", b"a\n", b"a b: c\n", b"a: b\nc: d\n", b"a: b\n\n", b" a: b\n"];
        for text in texts {
            assert_eq!(Field::parse(text), Err(NotAField), "{text:?}");
        }
    }

    #[test]
    fn a_header_is_the_sum_of_its_fields() {
        let bytes = b"a: 1\nb: 2\n 3\n\t4\r\na: 5\n";
        let header = Header::parse(bytes).unwrap();
        assert_eq!(header.fields().len(), 3);
        assert_eq!(header.count("A"), 2);
        assert_eq!(header.bytes(), bytes);
        assert_eq!(header.named("a").next_back().unwrap().value(), b" 5\n");
        assert_eq!(Header::parse(b"").unwrap(), Header::default());
    }

    #[test]
    fn a_line_that_is_not_a_field_is_reported_with_its_number() {
        assert_eq!(Header::parse(b"a: 1\n 2\nb\n").unwrap_err(), NotAHeader { line: 3 });
        assert_eq!(Header::parse(b" a: 1\n").unwrap_err(), NotAHeader { line: 1 });
        assert_eq!(Header::parse(b"a: 1\n\nb: 1\n").unwrap_err(), NotAHeader { line: 2 });
    }

    #[test]
    fn rfc6376_5_4_2_repeated_fields_are_picked_from_the_bottom() {
        let header = Header::parse(b"a: 1\nb: 2\nA: 3\n").unwrap();
        let mut picker = Picker::new(&header);
        assert_eq!(picker.left(&name("a")), 2);
        assert_eq!(picker.pick(&name("a")).unwrap().value(), b" 3\n");
        assert_eq!(picker.pick(&name("a")).unwrap().value(), b" 1\n");
        assert_eq!(picker.pick(&name("a")), None);
        assert_eq!(picker.pick(&name("c")), None);
    }
}
