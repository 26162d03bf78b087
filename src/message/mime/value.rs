//! The values of MIME fields (RFC 2045 §5.1): a type or an encoding, and parameters behind it.

/// A value as it will be sent: no NUL, a space for each bare CR.
pub(in crate::message) fn cleaned(value: &[u8]) -> Vec<u8> {
    let kept = value.iter().filter(|octet| **octet != 0);
    kept.map(|octet| if *octet == b'\r' { b' ' } else { *octet }).collect()
}

/// The value up to the first parameter, without blanks and comments.
pub(super) fn token(value: &[u8]) -> String {
    let text = without_comments(value);
    let text = text.split(|octet| *octet == b';').next().unwrap_or_default();
    let kept = text.iter().filter(|octet| !octet.is_ascii_whitespace());
    kept.map(|octet| char::from(*octet)).collect()
}

/// The value of a parameter (RFC 2045 §5.1), without its quotes.
pub(in crate::message) fn parameter(value: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    let value = without_comments(value);
    let mut rest = value.as_slice();
    loop {
        let semicolon = rest.iter().position(|octet| *octet == b';')?;
        rest = rest.get(semicolon.saturating_add(1)..)?.trim_ascii_start();
        let equals = rest.iter().position(|octet| matches!(octet, b'=' | b';'))?;
        let name = rest.get(..equals)?.trim_ascii();
        if rest.get(equals) != Some(&b'=') {
            continue;
        }
        let after = rest.get(equals.saturating_add(1)..)?.trim_ascii_start();
        let (text, behind) = word(after);
        if name.eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = behind;
    }
}

/// A token or a quoted string, and what stands behind it.
fn word(text: &[u8]) -> (Vec<u8>, &[u8]) {
    if text.first() != Some(&b'"') {
        let end = text.iter().position(|octet| *octet == b';' || octet.is_ascii_whitespace());
        let (token, rest) = text.split_at_checked(end.unwrap_or(text.len())).unwrap_or_default();
        return (token.to_vec(), rest);
    }
    let mut content = Vec::new();
    let mut escaped = false;
    for (index, octet) in text.iter().enumerate().skip(1) {
        match octet {
            _ if escaped => {
                escaped = false;
                content.push(*octet);
            }
            b'\\' => escaped = true,
            b'"' => return (content, text.get(index.saturating_add(1)..).unwrap_or_default()),
            // Folding inside a quoted string is none of its content.
            b'\r' | b'\n' => {}
            octet => content.push(*octet),
        }
    }
    (content, &[])
}

/// Comments outside of quoted strings taken out.
fn without_comments(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len());
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for octet in value {
        let is_text = depth == 0;
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted || depth > 0 => escaped = true,
            b'"' if depth == 0 => quoted = !quoted,
            b'(' if !quoted => depth = depth.saturating_add(1),
            b')' if depth > 0 => {
                depth = depth.saturating_sub(1);
                continue;
            }
            _ => {}
        }
        if is_text && depth == 0 {
            text.push(*octet);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_may_be_quoted_and_commented() {
        for (value, wanted) in [
            ("multipart/x; boundary=a", "a"),
            ("multipart/x (;boundary=c); Boundary = \"a b\\\"c\" ; x=y", "a b\"c"),
            ("multipart/x;\n\tfoo; x=\"boundary=b\"; boundary=a", "a"),
        ] {
            let boundary = parameter(value.as_bytes(), b"boundary").unwrap();
            assert_eq!(String::from_utf8(boundary).unwrap(), wanted);
        }
        assert_eq!(parameter(b"multipart/x; a=b", b"boundary"), None);
    }
}
