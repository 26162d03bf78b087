//! The tag-list of §3.2: the syntax of both the DKIM-Signature field and the key record.

use std::collections::BTreeSet;
use std::ops::Range;
use std::{error, fmt, str};

/// The tags of one list in their order. Each name occurs once.
#[derive(Clone, Debug)]
pub struct TagList<'a>(Vec<Tag<'a>>);

/// The most tags in a list. The RFCs define about twenty.
const MOST: usize = 1_000;

/// One `name=value`.
#[derive(Clone, Debug)]
pub struct Tag<'a> {
    /// The name; its case matters.
    pub name: &'a str,
    /// The value without whitespace around it. It may be folded.
    pub value: &'a str,
    /// Where in the list the text between `=` and `;` is, including whitespace.
    pub place: Range<usize>,
}

impl<'a> TagList<'a> {
    /// Parses a list, with or without a `;` at its end.
    ///
    /// Text in UTF-8 is accepted too (RFC 8616).
    ///
    /// # Errors
    ///
    /// The rule of §3.2 that is broken. The author of the message or the record causes all of these errors.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TagError> {
        let text = str::from_utf8(bytes).map_err(|_| TagError::Character)?;
        let is_foreign = |char: char| char.is_control() && !is_fws(char);
        if text.contains(is_foreign) {
            return Err(TagError::Character);
        }
        let mut tags = Vec::new();
        let mut names = BTreeSet::new();
        let mut start = 0_usize;
        let mut specs = text.split(';').peekable();
        while let Some(spec) = specs.next() {
            // The last `;` is optional.
            if specs.peek().is_none() && trim(spec).is_empty() && !tags.is_empty() {
                break;
            }
            let (name, value) = spec.split_once('=').ok_or(TagError::NoValue)?;
            let end = start.saturating_add(spec.len());
            let place = end.saturating_sub(value.len())..end;
            let tag = Tag { name: trim(name), value: trim(value), place };
            if !is_name(tag.name) {
                return Err(TagError::Name);
            }
            if !names.insert(tag.name) {
                return Err(TagError::Twice);
            }
            if tags.len() >= MOST {
                return Err(TagError::TooMany);
            }
            tags.push(tag);
            start = end.saturating_add(1);
        }
        Ok(Self(tags))
    }

    /// The value of the tag of that name.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.tag(name).map(|tag| tag.value)
    }

    /// The tag of that name.
    pub fn tag(&self, name: &str) -> Option<&Tag<'a>> {
        self.0.iter().find(|tag| tag.name == name)
    }

    /// All tags in their order.
    pub fn tags(&self) -> &[Tag<'a>] {
        &self.0
    }
}

/// Why a text is not a tag-list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagError {
    /// A control character, or text that is not UTF-8.
    Character,
    /// A tag without `=`, or nothing between two `;`.
    NoValue,
    /// A name that is not a letter followed by letters, digits and `_`.
    Name,
    /// A name that occurs twice.
    Twice,
    /// More tags than supported.
    TooMany,
}

impl fmt::Display for TagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Character => "a character that is not allowed in a tag list",
            Self::NoValue => "a tag without =",
            Self::Name => "a malformed tag name",
            Self::Twice => "a tag that occurs twice",
            Self::TooMany => "more than 1000 tags",
        })
    }
}

impl error::Error for TagError {}

/// The words between colons, without the whitespace around them (§3.5 h=, §3.6.1 h=, s=, t=).
pub fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(':').map(trim)
}

/// Decodes base64 with whitespace anywhere in it (§3.5 b=). `None` if it is malformed.
pub fn base64(value: &str) -> Option<Vec<u8>> {
    use base64::prelude::*;

    let text: String = value.chars().filter(|&char| !is_fws(char)).collect();
    BASE64_STANDARD.decode(text).ok()
}

/// Removes whitespace at both ends (FWS, §2.8), with any line ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(is_fws)
}

/// Whether it is whitespace or part of a line end.
pub(crate) fn is_fws(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

fn is_name(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_their_order_and_lose_the_white_space_around_them() {
        let bytes = b" v =\r\n\t1 ; bb = x = y\n ;b=\tq r\r\n";
        let list = TagList::parse(bytes).unwrap();
        let tags: Vec<_> = list.tags().iter().map(|tag| (tag.name, tag.value)).collect();
        assert_eq!(tags, [("v", "1"), ("bb", "x = y"), ("b", "q r")]);
        assert_eq!(&bytes[list.tag("b").unwrap().place.clone()], b"\tq r\r\n");
        assert_eq!(&bytes[list.tag("v").unwrap().place.clone()], b"\r\n\t1 ");
    }

    #[test]
    fn the_last_semicolon_is_optional() {
        assert_eq!(TagList::parse(b"a=1; b=2;").unwrap().tags().len(), 2);
        assert_eq!(TagList::parse(b"a=1; b=2").unwrap().tags().len(), 2);
        assert_eq!(TagList::parse(b"a=;\r\n ").unwrap().get("a"), Some(""));
    }

    #[test]
    fn rfc6376_3_2_a_tag_that_is_there_twice_makes_the_list_invalid() {
        assert_eq!(TagList::parse(b"a=1; a=1").unwrap_err(), TagError::Twice);
        assert!(TagList::parse(b"a=1; A=1").is_ok());
    }

    #[test]
    fn a_malformed_tag_list_is_rejected() {
        assert_eq!(TagList::parse(b"").unwrap_err(), TagError::NoValue);
        assert_eq!(TagList::parse(b"a=1;;b=2").unwrap_err(), TagError::NoValue);
        assert_eq!(TagList::parse(b"a").unwrap_err(), TagError::NoValue);
        assert_eq!(TagList::parse(b"1a=2").unwrap_err(), TagError::Name);
        assert_eq!(TagList::parse(b"a b=2").unwrap_err(), TagError::Name);
        assert_eq!(TagList::parse(b"=2").unwrap_err(), TagError::Name);
        assert_eq!(TagList::parse(b"a=\0").unwrap_err(), TagError::Character);
        assert_eq!(TagList::parse(b"a=\xff").unwrap_err(), TagError::Character);
    }
}
