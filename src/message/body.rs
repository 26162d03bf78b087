//! What Postfix would change in a body: each CR that ends no line becomes a space
//! (`cleanup_replace_stray_cr_lf`). The reader has taken those that end one.

use memchr::memchr;

/// Does it, in place. True if something was changed.
pub fn settle(text: &mut [u8]) -> bool {
    let Some(first) = memchr(b'\r', text) else { return false };
    let rest = text.get_mut(first..).unwrap_or_default();
    rest.iter_mut().filter(|octet| **octet == b'\r').for_each(|octet| *octet = b' ');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_cr_becomes_a_space() {
        let mut text = *b"a\rb\r\rc\n";
        assert!(settle(&mut text));
        assert_eq!(&text, b"a b  c\n");
        assert!(!settle(&mut text));
    }
}
