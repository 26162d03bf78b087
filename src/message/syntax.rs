//! The scanners for header text: fields (RFC 5322 §2.2), quoted strings, comments, domain literals and quoted pairs (RFC 5322
//! §3.2), parameters (RFC 2045 §5.1). All are linear in the length of the text.
//!
//! Rules that only Postfix follows are named as such.

use memchr::memrchr;

use super::limits::{ENCODED_LINE, LINE_PIECE, LONGEST_LINE};
pub(crate) use crate::dkim::header::split_fields;

/// WSP (RFC 5234 §B.1): whitespace that begins a folded line, and may precede the colon.
pub(crate) fn is_wsp(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// FWS (RFC 5322 §3.2.2), or a bare CR, which Postfix treats as a space.
pub(crate) fn is_fws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether the text has a vertical tab or a form feed. These are whitespace to some verifiers and text to others (§3.4.2 names
/// neither).
pub(crate) fn has_odd_whitespace(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, 0x0b | 0x0c))
}

/// Whether one of the lines is longer than a limit. A piece of a line is longer only if the line is.
pub(crate) fn has_line_beyond(limit: usize, lines: &[u8]) -> bool {
    let mut rest = lines;
    while let Some(room) = rest.get(..=limit) {
        // Lines that end within the limit of one line are short, no matter how many they are.
        let Some(end) = memrchr(b'\n', room) else { return true };
        rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
    }
    false
}

/// The length of the field name at the beginning of a line, by Postfix's rule (`is_header`): printable ASCII, optional WSP and a
/// colon, all in the first piece of the line. A bare CR counts as WSP.
pub(crate) fn field_name(line: &[u8]) -> Option<usize> {
    let piece = line.get(..LINE_PIECE).unwrap_or(line);
    let name = piece.iter().take_while(|byte| byte.is_ascii_graphic() && **byte != b':').count();
    let after = piece.get(name..)?;
    let spaces = after.iter().take_while(|byte| is_wsp(**byte) || **byte == b'\r').count();
    (name > 0 && after.get(spaces) == Some(&b':')).then_some(name)
}

/// The name of a field, without the WSP before the colon, and its body, which is everything after the colon. Both are empty if
/// there is no name.
pub(crate) fn split_field(field: &[u8]) -> (&[u8], &[u8]) {
    let (name, rest) = field.split_at(field_name(field).unwrap_or_default());
    let colon = rest.iter().position(|byte| *byte == b':').map_or(0, |at| at.saturating_add(1));
    (name, rest.get(colon..).unwrap_or_default())
}

/// A field body as Postfix sends it: without NUL bytes, and with a space instead of each bare CR (`cleanup_replace_stray_cr_lf`).
pub(crate) fn cleaned(body: &[u8]) -> Vec<u8> {
    let kept = body.iter().filter(|byte| **byte != 0);
    kept.map(|byte| if *byte == b'\r' { b' ' } else { *byte }).collect()
}

/// A Content-Type field with a charset as its last parameter.
pub(crate) fn with_charset(field: &[u8], charset: &str) -> Vec<u8> {
    let text = field.trim_ascii_end();
    let text = text.strip_suffix(b";").unwrap_or(text);
    let last = text.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
    let room = ENCODED_LINE.saturating_sub(last);
    let separator = match charset.len().saturating_add("; charset=".len()) {
        length if length <= room => "; ",
        // There is no room for the semicolon either.
        _ if last == LONGEST_LINE => "\n ; ",
        _ => ";\n ",
    };
    [text, separator.as_bytes(), b"charset=", charset.as_bytes(), b"\n"].concat()
}

/// The length of the quoted-string (RFC 5322 §3.2.4) at the beginning of `text`, including the quotes. `None` if the closing
/// quote is missing.
pub(crate) fn quoted_string(text: &[u8]) -> Option<usize> {
    enclosed(text, None, b'"')
}

/// The length of the comment (RFC 5322 §3.2.2) at the beginning of `text`. Comments may be nested.
pub(crate) fn comment(text: &[u8]) -> Option<usize> {
    enclosed(text, Some(b'('), b')')
}

/// Where the parentheses are that begin no comment, because the closing one is missing. In ascending order.
pub(crate) fn unclosed(text: &[u8]) -> Vec<usize> {
    let (mut open, mut escaped) = (Vec::new(), false);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => open.push(index),
            b')' => drop(open.pop()),
            _ => {}
        }
    }
    open
}

/// The length of the domain-literal (RFC 5322 §3.4.1) at the beginning of `text`.
pub(crate) fn domain_literal(text: &[u8]) -> Option<usize> {
    enclosed(text, None, b']')
}

fn enclosed(text: &[u8], open: Option<u8>, close: u8) -> Option<usize> {
    let (mut depth, mut escaped) = (1_usize, false);
    for (index, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if *byte == close => depth = depth.saturating_sub(1),
            byte if Some(*byte) == open => depth = depth.saturating_add(1),
            _ => {}
        }
        if depth == 0 {
            return Some(index.saturating_add(1));
        }
    }
    None
}

/// The meaning of text with quoted-pairs (RFC 5322 §3.2.1): each pair becomes its character. Other bytes in `left_out` are
/// dropped, such as the line ends of folding and quotes.
pub(crate) fn unescaped(text: &[u8], left_out: &[u8]) -> Vec<u8> {
    let mut seen = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => seen.extend(bytes.next()),
            byte if left_out.contains(byte) => {}
            byte => seen.push(*byte),
        }
    }
    seen
}

/// Writes a text as a quoted-string (RFC 5322 §3.2.4).
pub(crate) fn quoted(text: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}

/// Splits a body at the semicolons outside quoted strings. A quoted string without a closing quote extends to the end.
pub(crate) fn split_at_semicolons(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    body.split(move |byte| {
        let escapes = is_quoted && !is_escaped && *byte == b'\\';
        is_quoted ^= *byte == b'"' && !is_escaped;
        is_escaped = escapes;
        *byte == b';' && !is_quoted
    })
}

/// Whether a field name is one of `names`, in any case.
pub(crate) fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

/// The value of a parameter (RFC 2045 §5.1), without its quotes. Comments are ignored.
pub(crate) fn parameter(body: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    let body = without_comments(body);
    let mut rest = body.as_slice();
    loop {
        let semicolon = rest.iter().position(|byte| *byte == b';')?;
        rest = rest.get(semicolon.saturating_add(1)..)?.trim_ascii_start();
        let equals = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let name = rest.get(..equals)?.trim_ascii();
        if rest.get(equals) != Some(&b'=') {
            continue;
        }
        let (value, after) = value(rest.get(equals.saturating_add(1)..)?.trim_ascii_start());
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

/// The value (RFC 2045 §5.1) at the beginning of `text`, and the rest. A quoted-string without a closing quote extends to the end
/// of the text. A token ends at whitespace or a semicolon, as in mail readers.
pub(crate) fn value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    if !text.starts_with(b"\"") {
        let end = text.iter().position(|byte| *byte == b';' || byte.is_ascii_whitespace());
        let (token, rest) = text.split_at(end.unwrap_or(text.len()));
        return (token.to_vec(), rest);
    }
    let length = quoted_string(text);
    let content = text.get(1..length.map_or(text.len(), |length| length.saturating_sub(1)));
    let rest = length.and_then(|length| text.get(length..));
    (unescaped(content.unwrap_or_default(), b"\r\n"), rest.unwrap_or_default())
}

/// A field body without the comments outside its quoted strings.
pub(crate) fn without_comments(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(first) = rest.first() {
        let (length, is_kept) = match first {
            b'"' => (quoted_string(rest).unwrap_or(rest.len()), true),
            b'(' => (comment(rest).unwrap_or(rest.len()), false),
            _ => (1, true),
        };
        let (piece, after) = rest.split_at(length);
        if is_kept {
            text.extend_from_slice(piece);
        }
        rest = after;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charset_makes_no_line_too_long() {
        let with_utf_8 = |length: usize| {
            let field = format!("{:x<length$}", "Content-Type: text/plain; x=");
            let labelled = String::from_utf8(with_charset(field.as_bytes(), "utf-8")).unwrap();
            labelled.strip_prefix(&field).unwrap().to_owned()
        };
        assert_eq!(with_utf_8(ENCODED_LINE - 15), "; charset=utf-8\n");
        assert_eq!(with_utf_8(ENCODED_LINE - 14), ";\n charset=utf-8\n");
        assert_eq!(with_utf_8(LONGEST_LINE - 1), ";\n charset=utf-8\n");
        assert_eq!(with_utf_8(LONGEST_LINE), "\n ; charset=utf-8\n");
    }

    #[test]
    fn semicolons_in_quoted_strings_do_not_split() {
        for (body, expected) in [
            (&br"a; b=c;d"[..], &[&br"a"[..], br" b=c", br"d"][..]),
            (br#"a; b="c;\";d"; e"#, &[br"a", br#" b="c;\";d""#, br" e"]),
            (br#"a="c\\"; b"#, &[br#"a="c\\""#, br" b"]),
            (br#"a\"; b"; c"#, &[br#"a\"; b""#, br" c"]),
            (br#"a="b; c"#, &[br#"a="b; c"#]),
        ] {
            assert_eq!(split_at_semicolons(body).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn what_is_enclosed_ends_at_its_own_end() {
        assert_eq!(quoted_string(br#""a\"b(" c"#), Some(7));
        assert_eq!(comment(br"(a (b\)) ) c"), Some(10));
        assert_eq!(domain_literal(b"[a\"b] c"), Some(5));
        assert_eq!((quoted_string(br#""a\""#), comment(b"(()")), (None, None));
        let text = br"((a) \( (b\) (c) ) (d";
        let closed = |place: &usize| comment(&text[*place..]).is_some();
        assert_eq!(unclosed(text), [0, 19]);
        assert!([1, 8, 13].iter().all(closed) && ![0, 19].iter().any(closed));
        assert_eq!(unclosed(br"\( (a\) \\(b"), [3, 10]);
    }

    #[test]
    fn a_quoted_pair_is_its_character() {
        assert_eq!(unescaped(b"a\\\\b\\)\\\"\n c\\", b"\n"), b"a\\b)\" c");
    }

    #[test]
    fn a_field_name_ends_at_the_colon_in_the_first_piece_of_the_line() {
        assert_eq!(split_field(b"Subject \t: a\n b\n"), (&b"Subject"[..], &b" a\n b\n"[..]));
        for line in ["", ":", " a: b", "a b: c", "\u{e4}: b", &format!("{}:", "x".repeat(2048))] {
            assert_eq!(field_name(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn parameters_may_be_quoted_and_commented() {
        for (body, wanted) in [
            ("multipart/x; boundary=a", "a"),
            ("multipart/x (;boundary=c); Boundary = \"a b\\\"c\" ; x=y", "a b\"c"),
            ("multipart/x;\n\tfoo; x=\"boundary=b\"; boundary=a", "a"),
            ("multipart/x; x=\"(\"; boundary=a(b)", "a"),
            ("multipart/x; boundary=\"a\n b", "a b"),
        ] {
            let boundary = parameter(body.as_bytes(), b"boundary").unwrap();
            assert_eq!(String::from_utf8(boundary).unwrap(), wanted);
        }
        for body in ["multipart/x; a=b", "multipart/x (; boundary=a"] {
            assert_eq!(parameter(body.as_bytes(), b"boundary"), None);
        }
    }
}
