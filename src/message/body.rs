//! What Postfix would change in a body: each CR that ends no line becomes a space
//! (`cleanup_replace_stray_cr_lf`). The reader has taken those that end one.

/// Does it, in place. True if something was changed.
pub fn settle(text: &mut [u8]) -> bool {
    let mut changed = false;
    for octet in text.iter_mut().filter(|octet| **octet == b'\r') {
        *octet = b' ';
        changed = true;
    }
    changed
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
