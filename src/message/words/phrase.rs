//! Decodes display names and group names (RFC 5322 §3.2.5, RFC 2047 §5), and finds the names that Postfix would take for several
//! addresses: those with raw specials in an encoded-word, or with a comma next to one.

use std::collections::HashSet;

use super::charset::can_be_cut;
use super::word::{EncodedWord, encoded_words};
use crate::message::address::{Kind, Token, Unstable, addresses, tokens};
use crate::message::syntax::{comment, is_fws, is_wsp, quoted_string, unclosed, unescaped};

/// A decoded phrase: pieces of text, each in a charset.
#[derive(Debug, Default)]
pub(super) struct Phrase {
    pub(super) pieces: Vec<(String, Vec<u8>)>,
}

impl Phrase {
    /// Decodes a phrase whose raw bytes are in `charset`. `None` if an encoded-word cannot be decoded.
    pub(super) fn of(phrase: &[u8], charset: &str) -> Option<Self> {
        let mut said = Self::default();
        let (mut rest, mut wsp) = (phrase, Vec::new());
        let mut is_after_word = false;
        while let Some((first, after)) = rest.split_first() {
            if is_fws(*first) {
                wsp.extend(Some(*first).filter(|byte| is_wsp(*byte)));
                rest = after;
                continue;
            }
            let word = EncodedWord::at_start(rest);
            if let Some(word) = word {
                // Whitespace between two encoded-words is dropped (RFC 2047 §6.2).
                if !is_after_word {
                    said.push(charset, &wsp);
                }
                said.push_word(word)?;
            } else {
                said.push(charset, &wsp);
            }
            wsp.clear();
            is_after_word = word.is_some();
            let quoted = Some(rest).filter(|_| *first == b'"').and_then(quoted_string);
            let length = match (word, quoted, first) {
                (Some(word), ..) => word.length,
                (None, Some(length), _) => {
                    let inner = rest.get(1..length.saturating_sub(1)).unwrap_or_default();
                    said.push_text(&unescaped(inner, b"\r\n"), charset)?;
                    length
                }
                // Outside quotes only these are escaped; any other backslash is text.
                (None, None, b'\\') if matches!(after.first(), Some(b'"' | b'\\')) => {
                    said.push(charset, after.get(..1)?);
                    2
                }
                _ => {
                    said.push(charset, &[*first]);
                    1
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        Some(said)
    }

    /// Adds the content of a quoted-string. Most mail readers decode encoded-words in it.
    fn push_text(&mut self, text: &[u8], charset: &str) -> Option<()> {
        let mut rest = text;
        while !rest.is_empty() {
            let word = EncodedWord::at_start(rest);
            let length = word.map_or(1, |word| word.length);
            match word {
                Some(word) => self.push_word(word)?,
                None => self.push(charset, rest.get(..1)?),
            }
            rest = rest.get(length..)?;
        }
        Some(())
    }

    /// Adds the text of an encoded-word. `None` if it cannot be written again in its charset.
    fn push_word(&mut self, word: EncodedWord<'_>) -> Option<()> {
        let bytes = word.decoded()?;
        let is_ascii = bytes.is_ascii() && !is_shifted(&bytes);
        (is_ascii || can_be_cut(&bytes, word.charset)).then(|| self.push(word.charset, &bytes))
    }

    /// Adds text. ASCII is added to the previous piece, because it is the same in all charsets that can be split.
    fn push(&mut self, charset: &str, text: &[u8]) {
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some((_, piece)) if text.is_ascii() && !is_shifted(text) => piece.extend(text),
            Some((last, piece)) if last.eq_ignore_ascii_case(charset) => piece.extend(text),
            Some((last, piece)) if piece.is_ascii() && !is_shifted(piece) => {
                charset.clone_into(last);
                piece.extend(text);
            }
            _ => self.pieces.push((charset.to_owned(), text.to_vec())),
        }
    }

    /// The whole text, if it is printable ASCII.
    pub(super) fn ascii(&self) -> Option<&[u8]> {
        let [(_, text)] = self.pieces.as_slice() else { return None };
        let is_plain = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        text.iter().all(is_plain).then(|| text.trim_ascii())
    }
}

/// Whether it has escape sequences, as text of ISO-2022-JP.
fn is_shifted(text: &[u8]) -> bool {
    text.contains(&0x1b)
}

/// The field body with each encoded-word, and each backslash with the character it escapes, replaced by a word of the same length
/// that Postfix takes for an atom. So is an unbalanced quote or bracket in the name of a single mailbox. `None` if there is nothing
/// to replace, or another quote or bracket is unbalanced.
fn masked(body: &[u8], is_single: bool) -> Option<Vec<u8>> {
    let mut mask = Vec::with_capacity(body.len());
    let mut is_address = false;
    let is_certain = is_single_mailbox(body, is_single);
    // Found in one pass: to look for the end of each would take a time that grows with the square of their number.
    let unclosed = if is_certain { unclosed(body) } else { Vec::new() };
    while let Some(rest) = body.get(mask.len()..).filter(|rest| !rest.is_empty()) {
        let first = rest.first().copied().unwrap_or_default();
        let word = Some(rest).filter(|_| !is_address).and_then(EncodedWord::at_start);
        let (length, is_masked) = match (word, first, rest.get(1)) {
            (Some(word), ..) => (word.length, true),
            (None, b'"', _) if is_certain => {
                quoted_string(rest).map_or((1, true), |length| (length, false))
            }
            (None, b'"', _) => (quoted_string(rest)?, false),
            (None, b'(', _) if unclosed.binary_search(&mask.len()).is_ok() => (1, true),
            (None, b'(', _) => (comment(rest)?, false),
            (None, b')' | b'[' | b']', _) if is_certain => (1, true),
            // A character that may begin or end an address stays.
            (None, b'\\', Some(b'<' | b'>' | b'@')) => (1, false),
            (None, b'\\', Some(next)) if !is_address => (if is_fws(*next) { 1 } else { 2 }, true),
            _ => (1, false),
        };
        if matches!(first, b'<' | b'>') {
            is_address = first == b'<';
        }
        let text = rest.get(..length).unwrap_or(rest);
        if is_masked {
            mask.extend(text.iter().map(|_| MASK));
        } else {
            mask.extend_from_slice(text);
        }
    }
    (mask != body).then_some(mask)
}

/// Whether a body is clearly one mailbox, with any text as its name: it ends with the only `<address>`, and the only `@` is there.
/// Unless `is_single`, there must be no separator before it either. The address has no quotes and no brackets.
fn is_single_mailbox(body: &[u8], is_single: bool) -> bool {
    let mut parts = body.trim_ascii_end().split(|byte| *byte == b'<');
    let (Some(name), Some(address), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let Some(address) = address.strip_suffix(b">") else { return false };
    let separators: &[u8] = if is_single { b"@>" } else { b"@>,;:" };
    address.iter().filter(|byte| **byte == b'@').count() == 1
        && !address.iter().any(|byte| b"<>()[]\",;:\\".contains(byte))
        && !name.iter().any(|byte| separators.contains(byte))
}

/// The byte that replaces others: it is allowed in an atom.
const MASK: u8 = b'?';

/// The tokens of an address field as its author meant it, and the phrases that have to be rewritten: where each begins and ends.
/// `None` if Postfix reads the field as it was meant. `is_single`: the field often holds a single mailbox with a comma in its
/// name.
///
/// # Errors
/// It is not certain what is an address in it.
pub(super) fn misread(body: &[u8], is_single: bool) -> Result<Option<Misread>, Unstable> {
    let Some(mask) = masked(body, is_single) else { return Ok(None) };
    let Ok(tokens) = tokens(&mask) else { return Ok(None) };
    let is_masked = |token: &Token| token.text(&mask) != token.text(body);
    let is_encoded =
        |token: &Token| is_masked(token) && encoded_words(token.text(body)).next().is_some();
    let names = names(&tokens, is_encoded, is_single)?;
    // The addresses and their places.
    let seen = |text: &[u8]| -> Option<Vec<_>> {
        let list = addresses(text).ok()?;
        list.iter().map(|address| Some(address.ok()?.text(body))).collect()
    };
    let (meant, found) = (seen(&mask), seen(body));
    // To Postfix, a quote in one name and a quote in another one are the ends of a quoted-string, with all addresses between them.
    if let (Some(found), Some(meant)) = (&found, &meant) {
        let found: HashSet<_> = found.iter().collect();
        if meant.iter().any(|one| one.1.is_some() && !found.contains(one)) {
            return Err(Unstable::Name);
        }
    }
    let is_same = found.is_some() && found == meant && !names.iter().any(|name| name.is_joined);
    let mut phrases = Vec::new();
    for name in names {
        let words = tokens.get(name.from..name.to).unwrap_or_default();
        let (Some(first), Some(last)) = (words.first(), words.last()) else { continue };
        let odd = words.iter().filter(|token| is_masked(token)).map(|token| token.text(body));
        // Even if Postfix reads the field as it was meant, other programs may not.
        let specials: &[u8] = if is_same { b"<>\"" } else { b" \t\n()<>@,;:\\\".[]|%!" };
        let mut odd = odd.filter(|text| text.iter().any(|byte| specials.contains(byte))).peekable();
        if odd.peek().is_none() && !name.is_joined {
            continue;
        }
        if !odd.any(has_address) && !words.iter().any(|token| token.is(b"@")) {
            phrases.push((first.from, last.to));
        } else if !is_same {
            return Err(Unstable::Name);
        }
    }
    match phrases.as_slice() {
        [] if !is_same && found.is_some() => Err(Unstable::Name),
        [] => Ok(None),
        _ => Ok(Some((tokens, phrases))),
    }
}

/// The tokens, and the phrases to rewrite.
pub(super) type Misread = (Vec<Token>, Vec<(usize, usize)>);

/// Whether an encoded-word could hold an address: an `@` inside a word or after `<`.
fn has_address(text: &[u8]) -> bool {
    let mut bracketed = text.iter().skip_while(|byte| **byte != b'<');
    let is_inside = |around: &[u8]| matches!(around, [a, b'@', b] if !is_fws(*a) && !is_fws(*b));
    bracketed.any(|byte| *byte == b'@') || text.windows(3).any(is_inside)
}

/// The place of a name in the tokens.
struct Name {
    from: usize,
    to: usize,
    /// Whether the name has a comma, a semicolon or a colon.
    is_joined: bool,
}

/// Finds the display names and group names. An encoded-word alone is not an address, so a comma, a semicolon or a colon after it
/// belongs to the name of the next mailbox.
fn names(
    tokens: &[Token],
    is_encoded: impl Fn(&Token) -> bool,
    is_single: bool,
) -> Result<Vec<Name>, Unstable> {
    let has_group = tokens.iter().skip_while(|token| !token.is(b":")).any(|token| token.is(b";"));
    if let Some(open) = tokens.iter().position(|token| token.is(b"<")).filter(|_| is_single) {
        let (name, rest) = tokens.split_at(open);
        let last = rest.iter().rfind(|token| token.kind != Kind::Comment);
        let is_one = rest.iter().filter(|token| token.is(b"<>")).count() == 2
            && last.is_some_and(|last| last.is(b">"));
        if is_one && !name.iter().any(|token| token.is(b"@>")) {
            let is_joined =
                name.iter().any(|token| token.is(b",;:")) && name.iter().any(is_encoded);
            return Ok(vec![Name { from: 0, to: open, is_joined }]);
        }
    }
    let mut found = Vec::new();
    // Where the current name begins, and the number of words after the last separator.
    let (mut from, mut segment) = (0, 0);
    let mut at = 0_usize;
    while let Some(token) = tokens.get(at) {
        let words = tokens.get(segment..at).unwrap_or_default();
        let is_begun = from < segment;
        at = at.saturating_add(1);
        if token.is(b"<") {
            found.push(Name { from, to: at.saturating_sub(1), is_joined: is_begun });
            let rest = tokens.get(at..).unwrap_or_default();
            let close = rest.iter().position(|token| token.is(b">")).unwrap_or(rest.len());
            at = at.saturating_add(close).saturating_add(1);
            (from, segment) = (at, at);
        } else if token.is(b",;:") {
            let is_group = has_group && !token.is(b",");
            let has_at = words.iter().any(|word| word.is(b"@"));
            let plain = words.iter().filter(|word| word.kind != Kind::Comment).count();
            if is_group && token.is(b":") {
                found.push(Name { from: segment, to: at.saturating_sub(1), is_joined: false });
            }
            if is_begun && !is_group && plain == 1 && !words.iter().any(&is_encoded) {
                // A single word may be part of the name, or an address without a domain.
                return Err(Unstable::Name);
            }
            let is_name = words.iter().any(&is_encoded) || is_begun;
            segment = at;
            if is_group || has_at || !is_name {
                from = at;
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::words::repaired;

    /// The repaired body of a field, which is unchanged if there is nothing to repair.
    fn repair(body: &str, is_single: bool) -> Result<String, Unstable> {
        let field = repaired(b"X", body.as_bytes(), is_single, None)?;
        let field = field.map(|field| String::from_utf8(field).unwrap());
        let field = field.unwrap_or_else(|| format!("X:{body}"));
        let body = field.strip_prefix("X:").unwrap().to_owned();
        // A second run changes nothing.
        assert_eq!(repaired(b"X", body.as_bytes(), is_single, None), Ok(None), "{body}");
        Ok(body)
    }

    #[test]
    fn a_raw_special_in_or_next_to_an_encoded_word_is_part_of_the_name() {
        for (body, wanted) in [
            (
                "A =?utf-8?q?v=C3=A9ry?= long name and, comma <a@x.test>",
                "=?utf-8?Q?A_v=C3=A9ry_long_name_and=2C_comma?= <a@x.test>",
            ),
            (
                "=?UTF-8?Q?Caf=C3=A9, Inc.?= <a@x.test>",
                "=?UTF-8?Q?Caf=C3=A9=2C_Inc=2E?= <a@x.test>",
            ),
            (
                "=?UTF-8?Q?Caf=C3=A9; Inc.?= <a@x.test>",
                "=?UTF-8?Q?Caf=C3=A9=3B_Inc=2E?= <a@x.test>",
            ),
            ("=?UTF-8?Q?Caf=C3=A9: Bar?= <a@x.test>", "=?UTF-8?Q?Caf=C3=A9=3A_Bar?= <a@x.test>"),
            ("=?UTF-8?Q?Caf=C3=A9 (Bar?= <a@x.test>", "=?UTF-8?Q?Caf=C3=A9_=28Bar?= <a@x.test>"),
            ("=?UTF-8?Q?Caf=C3=A9 \"Bar?= <a@x.test>", "=?UTF-8?Q?Caf=C3=A9_=22Bar?= <a@x.test>"),
            ("=?UTF-8?Q?I_<3_Caf=C3=A9?= <a@x.test>", "=?UTF-8?Q?I_=3C3_Caf=C3=A9?= <a@x.test>"),
            (
                "=?UTF-8?Q?Caf=C3=A9 @ home, x?= <a@x.test>",
                "=?UTF-8?Q?Caf=C3=A9_=40_home=2C_x?= <a@x.test>",
            ),
            (
                "=?utf-8?Q?=C3=9C?=, =?utf-8?Q?=C3=9C?= <a@x.test>",
                "=?utf-8?B?w5wsIMOc?= <a@x.test>",
            ),
            (
                "=?utf-8?Q?=C3=9C?=: \"Bar, Inc.\" <a@x.test> (x)",
                "=?utf-8?Q?=C3=9C=3A_Bar=2C_Inc=2E?= <a@x.test> (x)",
            ),
            // Without a group, a semicolon is part of the name.
            (
                "=?utf-8?Q?Caf=C3=A9?=; Paris Inc <a@x.test>",
                "=?utf-8?Q?Caf=C3=A9=3B_Paris_Inc?= <a@x.test>",
            ),
            // The charset stays; two charsets make two encoded-words.
            (
                "=?iso-8859-1?Q?M=FCller, H?= <a@x.test>",
                "=?iso-8859-1?Q?M=FCller=2C_H?= <a@x.test>",
            ),
            (
                "=?iso-8859-1?Q?M=FCller?=, =?utf-8?Q?B=C3=BCro?= <a@x.test>",
                "=?iso-8859-1?Q?M=FCller=2C_?= =?utf-8?Q?B=C3=BCro?= <a@x.test>",
            ),
            (
                "=?iso-2022-jp?B?GyRCO1ZFRBsoQg==?=, Taro <a@x.test>",
                "=?iso-2022-jp?B?GyRCO1ZFRBsoQiwgVGFybw==?= <a@x.test>",
            ),
            // Text that is ASCII after decoding is quoted.
            ("=?utf-8?Q?Smith?=, J. <a@x.test>", "\"Smith, J.\" <a@x.test>"),
            // Raw text next to encoded-words.
            (
                "M\u{fc}ller =?utf-8?Q?B=C3=BCro?=, x <a@x.test>",
                "=?utf-8?Q?M=C3=BCller_B=C3=BCro=2C_x?= <a@x.test>",
            ),
        ] {
            for is_single in [true, false] {
                assert_eq!(repair(body, is_single).as_deref(), Ok(wanted), "{body}");
            }
        }
    }

    #[test]
    fn each_mailbox_of_a_list_keeps_its_address() {
        for (body, wanted) in [
            (
                "root, =?utf-8?Q?Caf=C3=A9, Inc?= <a@x.test>, b@x.test, C <c@x.test>",
                "root, =?utf-8?Q?Caf=C3=A9=2C_Inc?= <a@x.test>, b@x.test, C <c@x.test>",
            ),
            (
                "=?utf-8?Q?Caf=C3=A9?=, Inc of Paris, France <a@x.test>; =?utf-8?Q?=C3=9C?=, x <b@x.test>",
                "=?utf-8?Q?Caf=C3=A9=2C_Inc_of_Paris=2C_France?= <a@x.test>;\n =?utf-8?B?w5wsIHg=?= <b@x.test>",
            ),
            (
                "=?utf-8?Q?Freunde, =C3=9C?=: a@x.test, =?utf-8?Q?=C3=9C, b?= <b@x.test>;",
                "=?utf-8?Q?Freunde=2C_=C3=9C?=: a@x.test, =?utf-8?B?w5wsIGI=?= <b@x.test>;",
            ),
        ] {
            for is_single in [true, false] {
                assert_eq!(repair(body, is_single).as_deref(), Ok(wanted), "{body}");
            }
        }
        // A word with a backslash may be a recipient, unlike an encoded-word.
        let body = "CORP\\jdoe, Bob <b@x.test>";
        assert_eq!(repair(body, false).as_deref(), Ok(body));
    }

    #[test]
    fn a_backslash_in_a_name_is_one() {
        for (body, wanted) in [
            ("CORP\\jdoe <a@x.test>", "\"CORP\\\\jdoe\" <a@x.test>"),
            ("a@x.test, CORP\\x y <b@x.test>", "a@x.test, \"CORP\\\\x y\" <b@x.test>"),
            ("x\\ <a@x.test>", "\"x\\\\\" <a@x.test>"),
            ("Company\\, Inc. <a@x.test>", "\"Company\\\\, Inc.\" <a@x.test>"),
            ("\\\"Joe\\\" Doe <a@x.test>", "\"\\\"Joe\\\" Doe\" <a@x.test>"),
            ("M\u{fc}ller\\B\u{fc}ro <a@x.test>", "=?utf-8?Q?M=C3=BCller=5CB=C3=BCro?= <a@x.test>"),
            ("=?utf-8?Q?M=C3=BCller?=\\x <a@x.test>", "=?utf-8?Q?M=C3=BCller=5Cx?= <a@x.test>"),
        ] {
            for is_single in [true, false] {
                assert_eq!(repair(body, is_single).as_deref(), Ok(wanted), "{body}");
            }
        }
    }

    #[test]
    fn an_unbalanced_quote_or_bracket_in_the_name_of_one_mailbox_is_text() {
        for (body, wanted) in [
            (
                "=?utf-8?Q?Caf=C3=A9?= (Bar =?utf-8?Q?=C3=9C?= <a@x.test>",
                "=?utf-8?Q?Caf=C3=A9_=28Bar_=C3=9C?= <a@x.test>",
            ),
            (
                "=?utf-8?Q?Caf=C3=A9?= \"Bar =?utf-8?Q?=C3=9C?= <a@x.test>",
                "=?utf-8?Q?Caf=C3=A9_=22Bar_=C3=9C?= <a@x.test>",
            ),
            ("\"open =?utf-8?Q?Caf=C3=A9?= <a@x.test>", "=?utf-8?Q?=22open_Caf=C3=A9?= <a@x.test>"),
            ("Screen 17\" <a@x.test>\n", "\"Screen 17\\\"\" <a@x.test>\n"),
            ("\"Al\" Bar\" <a@x.test>", "\"Al Bar\\\"\" <a@x.test>"),
            ("Smile :) <a@x.test>", "\"Smile :)\" <a@x.test>"),
            ("[x Bar (c) <a@x.test>", "\"[x Bar (c)\" <a@x.test>"),
        ] {
            assert_eq!(repair(body, true).as_deref(), Ok(wanted), "{body}");
            if !body.contains(':') {
                assert_eq!(repair(body, false).as_deref(), Ok(wanted), "{body}");
            }
        }
    }

    #[test]
    fn what_postfix_reads_as_a_person_does_stays() {
        for body in [
            "=?utf-8?Q?Caf=C3=A9 (Bar)?= <a@x.test>",
            "=?utf-8?Q?Caf=C3=A9 at home?= <a@x.test>",
            "=?utf-8?Q?Caf=C3=A9@home?= <a@x.test>",
            "=?utf-8?Q?Caf=C3=A9 <b@y.test?= <a@x.test>",
            "\"=?utf-8?Q?Caf=C3=A9, Inc?=\" <a@x.test>",
            "a@x.test (=?utf-8?Q?Caf=C3=A9, Inc?=)",
            "a@x.test (CORP\\jdoe)",
            "\"CORP\\jdoe\" <a@x.test>",
            "=?utf-8?Q?Caf=C3=A9?=, b@x.test, C <c@x.test>",
            "=?utf-8?Q?Freunde=C3=9C?=: a@x.test, b@x.test;",
            "=?utf-8?Q?Caf=C3=A9?=",
            "Company, Inc. <a@x.test>",
            "\"open =?utf-8?Q?Caf=C3=A9, Inc?= <a@x.test>, b@x.test",
            "Bar\" <a@x.test>, \"C, d\" <b@x.test>",
            "Bar (open <a@x.test>, C (x) <b@x.test>",
            "a@x.test (open",
            "A <a\\ b@x.test>",
            "A <a\\,b@x.test>, B <b@x.test>",
            "CORP\\x <a\\b@x.test>",
            "Bob \\<b\\> <a@x.test>",
            "Friends: CORP\\jdoe;",
            ":) <a@x.test>, B <b@x.test>",
        ] {
            for is_single in [true, false] {
                assert_eq!(repair(body, is_single).as_deref(), Ok(body), "{body}");
            }
        }
    }

    #[test]
    fn what_may_be_an_address_is_left_and_not_signed() {
        for body in [
            "=?utf-8?Q?Caf=C3=A9, b@y.test?= <a@x.test>",
            "=?utf-8?Q?Caf=C3=A9 <b@y.test>?= <a@x.test>",
            "=?utf-8?Q?Caf=C3=A9 <b: @y.test>?= <a@x.test>",
            "=?utf-8?Q?Caf=C3=A9, Inc?=",
            "b@y.test =?utf-8?Q?Caf=C3=A9, Inc?= <a@x.test>",
            "b@y.test CORP\\jdoe <a@x.test>",
            // The encoded-word cannot be decoded.
            "=?utf-8?B?Caf, !?= <a@x.test>",
            "=?x-what?Q?Caf=C3=A9, x?= <a@x.test>",
        ] {
            for is_single in [true, false] {
                let got = repaired(b"X", body.as_bytes(), is_single, None);
                assert_eq!(got, Err(Unstable::Name), "{body}");
            }
        }
        // To Postfix, what is between the two quotes is one quoted-string.
        let body = "=?utf-8?Q?Caf=C3=A9 \"x?= <a@x.test>, =?utf-8?Q?=C3=9C \"y?= <b@x.test>";
        assert_eq!(repair(body, false), Err(Unstable::Name));
        // One name can be written again, but an encoded-word that is torn apart remains.
        let body = "CORP\\bob <bob@y.test>, x=?utf-8?Q?Caf=C3=A9, Inc.?=";
        assert_eq!(repair(body, false), Err(Unstable::Name));
        // A word between commas is a recipient or part of a name; only in From, Sender and Reply-To it is certain.
        let body = "=?utf-8?Q?Ren=C3=A9?=, root, Bob <b@x.test>";
        assert_eq!(repair(body, false), Err(Unstable::Name));
        assert_eq!(repair(body, true).unwrap(), "=?utf-8?Q?Ren=C3=A9=2C_root=2C_Bob?= <b@x.test>");
    }
}
