//! Messages as programs submit them.

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Lines of ASCII text; from 100 kB on mostly an attachment in base64.
    Ascii,
    /// Text in UTF-8, labelled 8bit: it is made 7-bit before it is signed.
    EightBit,
}

/// Of about `size` bytes, From a domain.
pub(crate) fn message(domain: &str, size: usize, kind: Kind) -> Vec<u8> {
    let mut text = format!(
        "From: Web Shop <shop@{domain}>\nTo: Customer <to@sink.test>\n\
         Subject: Your order 4711 has been received\nX-Mailer: PHP/8.2\nMIME-Version: 1.0\n"
    );
    match kind {
        Kind::Ascii if size >= 100_000 => attachment(&mut text, size),
        Kind::Ascii => {
            text += "Content-Type: text/plain; charset=us-ascii\n\n";
            fill(&mut text, size, "Thank you for your order. We send it as soon as it is paid.\n");
        }
        Kind::EightBit => {
            text += "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n";
            fill(
                &mut text,
                size,
                "Größe 42, Farbe weiß: der Schuh für den Übergang. Vielen Dank!\n",
            );
        }
    }
    text.into_bytes()
}

fn attachment(text: &mut String, size: usize) {
    text.push_str(
        "Content-Type: multipart/mixed; boundary=\"=_b4711\"\n\n--=_b4711\n\
         Content-Type: text/plain; charset=us-ascii\n\nYour invoice is attached.\n\n--=_b4711\n\
         Content-Type: application/pdf; name=\"invoice.pdf\"\nContent-Transfer-Encoding: base64\n\
         Content-Disposition: attachment; filename=\"invoice.pdf\"\n\n",
    );
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Bytes that look like those of a file; a generator of one line is chance enough.
    let mut state = 1_u32;
    while text.len() < size {
        for _ in 0..76 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.push(char::from(DIGITS[usize::try_from(state >> 26).unwrap()]));
        }
        text.push('\n');
    }
    text.push_str("--=_b4711--\n");
}

fn fill(text: &mut String, size: usize, line: &str) {
    while text.len() + line.len() <= size {
        text.push_str(line);
    }
}
