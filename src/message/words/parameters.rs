//! Parameters that are not ASCII (RFC 2231).

use super::Text;
use crate::message::syntax::{quoted, split_at_semicolons, value, without_comments};

impl Text<'_> {
    /// Converts each parameter that is not ASCII from `name="value"` to `name*=charset''value` (RFC 2231 §4). Text around the
    /// value is dropped.
    pub(super) fn parameters(&mut self, body: &[u8]) -> Option<()> {
        for (index, segment) in split_at_semicolons(body).enumerate() {
            if index > 0 {
                self.writer.text(b";");
                self.writer.next_item();
            }
            if segment.is_ascii() {
                self.writer.text(segment);
                continue;
            }
            let equals = segment.iter().position(|byte| *byte == b'=')?;
            let (name, rest) = segment.split_at(equals);
            // The type itself, or a parameter that is already extended.
            if index == 0 || name.contains(&b'*') || !name.is_ascii() {
                return None;
            }
            let (text, _) = value(without_comments(rest.get(1..)?).trim_ascii_start());
            let name = name.trim_ascii_end();
            self.writer.text(name.get(..name.len().saturating_sub(name.trim_ascii().len()))?);
            let name = name.trim_ascii();
            if text.is_ascii() {
                self.writer.text(&[name, b"=", &quoted(text)].concat());
            } else if name.eq_ignore_ascii_case(b"boundary") {
                // Postfix and most mail readers find the parts by a plain boundary only.
                return None;
            } else {
                self.extended(name, &text);
            }
            if segment.ends_with(b"\n") {
                self.writer.text(b"\n");
            }
        }
        Some(())
    }

    /// Writes one parameter, in pieces if it is long (RFC 2231 §3, §4.1).
    fn extended(&mut self, name: &[u8], text: &[u8]) {
        let mut pieces = vec![format!("{}''", self.charset)];
        for byte in text {
            let encoded = if byte.is_ascii_alphanumeric() || b".-_".contains(byte) {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02X}")
            };
            match pieces.last_mut() {
                Some(piece) if piece.len() < PIECE => piece.push_str(&encoded),
                _ => pieces.push(encoded),
            }
        }
        let is_one = pieces.len() == 1;
        for (number, piece) in pieces.iter().enumerate() {
            let number = if is_one { String::new() } else { format!("*{number}") };
            self.writer.text(if number.is_empty() || number == "*0" { b"" } else { b";\n " });
            self.writer.text(&[name, number.as_bytes(), b"*=", piece.as_bytes()].concat());
        }
    }
}

/// The approximate size of a piece of an extended parameter, in bytes.
const PIECE: usize = 55;
