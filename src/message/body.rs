//! Does what Postfix would do to a body: each CR that does not end a line becomes a space (`cleanup_replace_stray_cr_lf`). The
//! reader has already removed those that do.

use memchr::memchr;

/// Replaces stray CRs in place. Returns whether there were any.
pub fn replace_stray_crs(text: &mut [u8]) -> bool {
    let Some(first) = memchr(b'\r', text) else { return false };
    let rest = text.get_mut(first..).unwrap_or_default();
    rest.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b' ');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_cr_becomes_a_space() {
        let mut text = *b"a\rb\r\rc\n";
        assert!(replace_stray_crs(&mut text));
        assert_eq!(&text, b"a b  c\n");
        assert!(!replace_stray_crs(&mut text));
    }
}
