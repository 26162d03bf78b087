//! The messages, one for each way that a message may take through the wrapper.

/// A message and how it is submitted.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Else through a pipe.
    pub(super) from_a_file: bool,
    pub(super) is_session: bool,
    /// After the end of the header, lines ending as all lines of the message do.
    body: String,
    /// More fields of the header.
    fields: &'static str,
    line_end: &'static str,
    /// Where only these calls are made to fail: the others are those of another kind.
    pub(super) calls: Option<&'static [&'static str]>,
}

pub(super) fn kinds() -> Vec<Kind> {
    let small = || Kind {
        name: "small",
        from_a_file: false,
        is_session: false,
        body: "first line\nlast line\n".to_owned(),
        fields: "",
        line_end: "\n",
        calls: None,
    };
    // Beyond what is kept in memory.
    let large = || Kind {
        name: "large",
        body: "0123456789 abcdefghi\n".repeat(52_000) + "end\n",
        ..small()
    };
    let eight_bit = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n";
    vec![
        small(),
        Kind { name: "file", from_a_file: true, ..small() },
        Kind { name: "crlf", line_end: "\r\n", ..small() },
        Kind {
            name: "8bit",
            body: "gr\u{fc}n\nlast line\n".to_owned(),
            fields: eight_bit,
            ..small()
        },
        Kind { name: "session", is_session: true, line_end: "\r\n", ..small() },
        large(),
        // These are written again from what was kept: it is read again.
        Kind { name: "large-crlf", line_end: "\r\n", ..large() },
        Kind {
            name: "large-8bit",
            body: "0123456789 abcde gr\u{fc}n\n".repeat(50_000) + "end\n",
            fields: eight_bit,
            ..small()
        },
        Kind {
            name: "large-session",
            is_session: true,
            line_end: "\r\n",
            calls: Some(&["read", "pread64", "write", "openat", "lseek", "ftruncate", "poll"]),
            ..large()
        },
    ]
}

impl Kind {
    /// What strace needs to see all processes of ours, and none of the real sendmail's, which have a count of
    /// calls of their own: Postfix's postdrop does not write again after EAGAIN.
    pub(super) fn follow(&self) -> &'static [&'static str] {
        if self.is_session { &["-f", "-b", "execve"] } else { &[] }
    }

    pub(super) fn arguments(&self, recipient: &str) -> Vec<String> {
        let words = if self.is_session { vec!["-bs"] } else { vec![recipient] };
        words.into_iter().map(str::to_owned).collect()
    }

    /// The recipients of a run: an SMTP session has two messages.
    pub(super) fn recipients(&self, recipient: &str) -> Vec<String> {
        let first = recipient.to_owned();
        if self.is_session { vec![first, format!("2{recipient}")] } else { vec![first] }
    }

    /// The message for a recipient, as it is submitted.
    pub(super) fn message(&self, recipient: &str) -> Vec<u8> {
        let text = format!(
            "From: a@sample.com\nTo: {recipient}\nSubject: x\nDate: Mon, 2 Nov 2026 10:00:00 +0000\n\
             Message-ID: <{recipient}>\n{}\n{}",
            self.fields, self.body
        );
        text.replace('\n', self.line_end).into_bytes()
    }

    /// What comes on standard input.
    pub(super) fn input(&self, recipient: &str) -> Vec<u8> {
        if !self.is_session {
            return self.message(recipient);
        }
        let mut input = b"EHLO client\r\n".to_vec();
        for one in self.recipients(recipient) {
            let envelope = format!("MAIL FROM:<a@sample.com>\r\nRCPT TO:<{one}>\r\nDATA\r\n");
            input.extend_from_slice(envelope.as_bytes());
            input.extend_from_slice(&self.message(&one));
            input.extend_from_slice(b".\r\n");
        }
        input.extend_from_slice(b"QUIT\r\n");
        input
    }
}
