//! Tells who wrote a Received field (RFC 5321 §4.4): a web program that submits a message of its user, or a mail system on the
//! way.

use super::syntax::{comment, is_fws, quoted_string};

/// Whether a web program wrote the field. Horde always adds a field like this one before it calls sendmail(1); Roundcube and
/// other webmail programs do if configured to:
///
/// ```text
/// Received: from 192.0.2.7 ([192.0.2.7]) by www.example.com (Horde Framework) with HTTPS; Sun, 29 Nov 2026 10:00:00 +0000
/// ```
///
/// Comments and quoted strings are ignored, because a client may choose their text. A field of any other form counts as written
/// by a mail system.
#[must_use]
pub fn is_of_web_program(body: &[u8]) -> bool {
    let Some(words) = words(body) else { return false };
    let mut parts = words.split(|word| *word == b";");
    let clauses = parts.next().unwrap_or_default();
    let date = parts.next().unwrap_or_default();
    parts.next().is_none() && is_by_web(clauses) && !date.iter().any(|word| is_clause(word))
}

/// The words outside comments. Each semicolon is a word. `None` if there is an unmatched quote or an unbalanced bracket.
fn words(body: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut words, mut rest) = (Vec::new(), body);
    while let Some(first) = rest.first() {
        let length = match first {
            b'(' => comment(rest)?,
            b'"' => quoted_string(rest)?,
            b';' => 1,
            byte if is_fws(*byte) => 1,
            _ => rest.iter().take_while(|byte| is_of_word(**byte)).count(),
        };
        // A byte that is not allowed here.
        let (word, after) = rest.split_at_checked(length).filter(|_| length > 0)?;
        if *first != b'(' && !is_fws(*first) {
            words.push(word);
        }
        rest = after;
    }
    Some(words)
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'"' | b';' | b'\\')
}

/// Whether the words are `from ... by HOST with HTTP`, with an optional id and recipient.
fn is_by_web(words: &[&[u8]]) -> bool {
    let place = |clause: &str| words.iter().position(|word| is(word, clause));
    let count = |clause: &str| words.iter().filter(|word| is(word, clause)).count();
    let (Some(by), Some(with)) = (place("by"), place("with")) else { return false };
    let Some([protocol, more @ ..]) = words.get(with.saturating_add(1)..) else { return false };
    let begins = by == 0 || place("from") == Some(0);
    let is_one_of_each = count("by") == 1 && count("with") == 1 && count("from") <= 1;
    let ends =
        more.chunks(2).all(|pair| matches!(pair, [name, _] if is(name, "id") || is(name, "for")));
    begins && is_one_of_each && with == by.saturating_add(2) && is_web_protocol(protocol) && ends
}

fn is(word: &[u8], clause: &str) -> bool {
    word.eq_ignore_ascii_case(clause.as_bytes())
}

fn is_clause(word: &[u8]) -> bool {
    ["from", "via", "by", "with", "id", "for"].iter().any(|clause| is(word, clause))
}

/// Whether the word is HTTP or HTTPS, with or without a version.
fn is_web_protocol(word: &[u8]) -> bool {
    let mut parts = word.splitn(2, |byte| *byte == b'/');
    let is_web = parts.next().is_some_and(|name| is(name, "HTTP") || is(name, "HTTPS"));
    let is_version =
        |version: &[u8]| version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    is_web && parts.next().is_none_or(is_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webmail_programs_say_with_http() {
        for body in [
            // Horde, and IMP before it.
            " from 192.0.2.7 ([192.0.2.7]) by www.x.example (Horde Framework) with HTTPS; Sun, 29\n Nov 2026 10:00:00 +0000\n",
            " from h.x.example (h.x.example [192.0.2.7]) by\n www.x.example (Horde Framework) with HTTP; Sun, 29 Nov 2026 10:00:00\n +0000\n",
            " from 192.0.2.7 ( [192.0.2.7]) as user joe@imap.x.example by www.x.example with HTTP; Sun, 29 Nov 2026 10:00:00 +0000\n",
            " from 192.0.2.7 ([192.0.2.7]) by imp.x.example (IMP) with HTTP for <joe@x.example>; Sun, 29 Nov 2026 10:00:00 +0100\n",
            // Roundcube, also behind a proxy.
            " from [192.0.2.7] ([192.0.2.7])\r\n\tby www.x.example\r\n\twith HTTP (HTTP/1.1 POST); Sun, 29 Nov 2026 10:00:00 +0000\r\n",
            " from h.x.example ([192.0.2.7])\n\tvia proxy.x.example ([192.0.2.8])\n\tby www.x.example\n\twith HTTP (HTTP/2.0 POST); Sun, 29 Nov 2026\n 10:00:00 +0000\n",
            // SquirrelMail.
            " from 192.0.2.7 (proxying for 192.0.2.8)\n        (SquirrelMail authenticated user joe)\n        by www.x.example with HTTP;\n        Sun, 29 Nov 2026 10:00:00 -0000 (UTC)\n",
            // Others.
            " by 192.0.2.7 with HTTP; Sun, 29 Nov 2026 10:00:00 +0000\n",
            " BY www.x.example WITH https/1.1 ID 7 (x)\n",
            " from \"x ; by y (\" by www.x.example with HTTP; Sun, 29 Nov 2026 10:00:00 +0000\n",
        ] {
            assert!(is_of_web_program(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn a_field_that_a_mail_system_may_have_written_does_not_count() {
        for body in [
            "",
            "\n",
            " with HTTP",
            " by x with",
            " from x by y with ESMTP id 1; date",
            " from x by y with SMTP (with HTTP); date",
            " from x by y (Postfix) with ESMTPSA id 1 for <a@b.example>; date",
            " by y (Postfix, from userid 33) id 1; date",
            " (qmail 1 invoked by uid 33); date",
            " from x (x [192.0.2.1]) by y with LMTP; date",
            " from x by y with HTTPREST; date",
            " from x by y with HTTPX/1; date",
            " from x by y with mapi id 15; date",
            // A client chooses its name in HELO, and further words if the mail system does not check the name.
            " from with HTTP by y with ESMTP id 1; date",
            " from x with HTTP by y with ESMTP; date",
            " from x by y with HTTP; z by mx with ESMTP id 1; date",
            " from x by y with HTTP; z) by mx with ESMTP id 1; date",
            " from x by y with HTTP; (by mx with ESMTP id 1; date",
            " from x by y with HTTP; \"by mx with ESMTP id 1; date",
            " from \"x by y with HTTP; (z\" by mx with ESMTP id 1; date",
            " from x by y with HTTP (z) by mx id 1; date",
            " from x by y with HTTP via mx; date",
            " from x by y with HTTP id; date",
            " from x by y with HTTP id by; date",
            " from x by y with HTTP id with; date",
            " from x by y with HTTP id 1 ESMTP; date",
            " from \"x\" by y id with HTTP; date",
            " from x by y id 1 with HTTP; date",
            " from x by \"y\" \"with\" HTTP; date",
            " from x by y \"with HTTP\"; date",
            " from x from z by y with HTTP; date",
            " x by y with HTTP; date",
            " from x by y wi\\th HTTP; date",
            " from x by y with HTTP; by z",
            " from x\u{a0}y by y with HTTP; date",
        ] {
            assert!(!is_of_web_program(body.as_bytes()), "{body}");
        }
    }
}
