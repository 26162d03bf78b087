//! Decoders for the encodings that hops apply to 8-bit text (RFC 2045 §6). Pure.

use base64::prelude::*;

/// The text that was encoded as quoted-printable.
pub(super) fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'=' {
            decoded.push(*first);
            continue;
        }
        // A soft line break, with or without whitespace after the equals sign.
        let line = after.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
        if let Some(end) = line.filter(|at| after.get(*at) == Some(&b'\n')) {
            rest = after.get(end.saturating_add(1)..).unwrap_or_default();
            continue;
        }
        match after.split_at_checked(2).and_then(|(hex, after)| Some((byte(hex)?, after))) {
            Some((byte, after)) => {
                decoded.push(byte);
                rest = after;
            }
            None => decoded.push(b'='),
        }
    }
    decoded
}

fn byte(hex: &[u8]) -> Option<u8> {
    // The parser takes a sign, too.
    let hex = Some(hex).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

/// The text that was encoded as base64. `None` if it was not.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(text).ok()
}

/// The text of a field value that has encoded-words (RFC 2047). `None` if it has none.
pub(super) fn encoded_words(value: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    let (mut decoded, mut rest, mut is_after_word) = (Vec::new(), text, false);
    while let Some((before, after)) = rest.split_once("=?") {
        // Whitespace between two encoded-words is dropped (§6.2).
        if !is_after_word || !before.trim().is_empty() {
            decoded.extend_from_slice(before.as_bytes());
        }
        let (_, after) = after.split_once('?')?;
        let (encoding, after) = after.split_once('?')?;
        let (word, after) = after.split_once("?=")?;
        decoded.extend(match encoding {
            "q" | "Q" => quoted_printable(word.replace('_', " ").as_bytes()),
            _ => base64(word.as_bytes())?,
        });
        (rest, is_after_word) = (after, true);
    }
    decoded.extend_from_slice(rest.as_bytes());
    is_after_word.then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words_are_undone() {
        let text = b" =?us-ascii?Q?v=3D1;_a=3Drsa?=\r\n =?utf-8?b?OyBkPXg=?= end\r\n";
        assert_eq!(encoded_words(text).unwrap(), b" v=1; a=rsa; d=x end\r\n");
        assert_eq!(encoded_words(b"v=1; b=ab=?"), None);
        assert_eq!(encoded_words(b"v=1"), None);
    }

    #[test]
    fn quoted_printable_is_undone() {
        let text = b"gr=C3=BCn =3D soft=\r\n break= \t\n\r\n=zz=+3 =";
        assert_eq!(quoted_printable(text), b"gr\xc3\xbcn = soft break\r\n=zz=+3 =");
    }

    #[test]
    fn base64_is_undone() {
        assert_eq!(base64(b"Z3LD\r\nvG4=\r\n"), Some(b"gr\xc3\xbcn".to_vec()));
        assert_eq!(base64(b"no!"), None);
    }
}
