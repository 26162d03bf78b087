//! The values of MIME fields (RFC 2045 §5.1): a type or an encoding, and parameters behind it.

/// A value as it will be sent: no NUL, a space for each bare CR.
pub(in crate::message) fn cleaned(value: &[u8]) -> Vec<u8> {
    let kept = value.iter().filter(|octet| **octet != 0);
    kept.map(|octet| if *octet == b'\r' { b' ' } else { *octet }).collect()
}

/// What Postfix's parser makes of a value (`header_token`): comments and blanks are nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Token(Vec<u8>),
    Quoted(Vec<u8>),
    /// A special or a control character.
    Other(u8),
}

/// Specials of RFC 822, which Postfix goes by in Content-Transfer-Encoding, and those of RFC 2045.
const SPECIALS: &[u8] = b"()<>@,;:\\\".[]";
const TSPECIALS: &[u8] = b"()<>@,;:\\\"/[]?=";

impl Piece {
    /// The first piece and what stands behind it.
    fn first<'a>(value: &'a [u8], specials: &[u8]) -> Option<(Self, &'a [u8])> {
        let mut rest = value;
        loop {
            let (first, after) = rest.split_first()?;
            match first {
                b' ' | b'\t' | b'\n' | b'\r' => rest = after,
                b'(' => rest = behind_comment(after),
                b'"' => {
                    let (content, after) = word(rest);
                    return Some((Self::Quoted(content), after));
                }
                other if other.is_ascii_control() || specials.contains(other) => {
                    return Some((Self::Other(*other), after));
                }
                _ => {
                    let ends = |octet: &u8| {
                        *octet == b' ' || octet.is_ascii_control() || specials.contains(octet)
                    };
                    let end = rest.iter().position(ends).unwrap_or(rest.len());
                    let (token, after) = rest.split_at_checked(end)?;
                    return Some((Self::Token(token.to_vec()), after));
                }
            }
        }
    }

    /// The text, whatever it is; Postfix asks for no more of a boundary.
    pub(super) fn text(self) -> Vec<u8> {
        match self {
            Self::Token(text) | Self::Quoted(text) => text,
            Self::Other(octet) => vec![octet],
        }
    }

    pub(super) fn is_token(&self, wanted: &str) -> bool {
        matches!(self, Self::Token(text) if text.eq_ignore_ascii_case(wanted.as_bytes()))
    }
}

/// Behind the parenthesis that ends a comment; comments may nest.
fn behind_comment(inside: &[u8]) -> &[u8] {
    let (mut depth, mut escaped) = (1_usize, false);
    for (index, octet) in inside.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return inside.get(index.saturating_add(1)..).unwrap_or_default();
        }
    }
    &[]
}

/// An encoding as Postfix reads it: the first piece.
pub(super) fn encoding(value: &[u8]) -> Option<Piece> {
    Some(Piece::first(value, SPECIALS)?.0)
}

/// A Content-Type as Postfix reads it: of all that stands between semicolons, the first three pieces.
pub(super) fn stretches(value: &[u8]) -> impl Iterator<Item = Vec<Piece>> {
    let mut left = Some(value);
    std::iter::from_fn(move || {
        let mut rest = left.take()?;
        let mut stretch = Vec::new();
        while let Some((piece, after)) = Piece::first(rest, TSPECIALS) {
            rest = after;
            if piece == Piece::Other(b';') {
                left = Some(rest);
                break;
            }
            if stretch.len() < 3 {
                stretch.push(piece);
            }
        }
        Some(stretch)
    })
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
