//! The reasons in the log, by kind, and what to do about each. sendmail.dkim(8) has the same list; a test compares them.

/// A kind of reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Its name for scripts.
    pub(crate) code: &'static str,
    /// How its texts begin; after `…`, what they hold. The first kind that has one matches.
    pub(crate) texts: &'static [&'static str],
    /// What to do.
    pub(crate) remedy: &'static str,
}

/// A reason of another version.
pub(crate) const OTHER: Kind = Kind { code: "other", texts: &[], remedy: "see sendmail.dkim(8)" };

/// The kind of a reason, which is escaped as in the log.
pub(crate) fn kind_of(reason: &str) -> &'static Kind {
    let is_meant = |text: &&str| match text.strip_prefix('…') {
        Some(text) => reason.contains(text),
        None => reason.starts_with(*text),
    };
    KINDS.iter().find(|kind| kind.texts.iter().any(is_meant)).unwrap_or(&OTHER)
}

macro_rules! kinds {
    ($($code:literal: $($text:literal),+ => $remedy:literal;)+) => {
        pub(crate) const KINDS: &[Kind] = &[
            $(Kind { code: $code, texts: &[$($text),+], remedy: $remedy },)+
        ];
    };
}

kinds! {
    "no-domain-file": "no domain file" =>
        "If the domain is yours, make a key for it: dkimctl add DOMAIN.";
    "local-name": "From is at localhost or a bare host name" =>
        "Set origin in config.toml, and myorigin in Postfix, to a domain that is signed; or have the program write a From, or call sendmail with -f.";
    "no-domain": "no domain in From that could have a key", "From: an address without a domain" =>
        "Set origin in config.toml; dkimctl setup does.";
    "unclear-from": "From: " =>
        "Use a plain name and address in From: what Postfix, or a reader, makes of this one is not certain.";
    "several-authors": "more than one domain in From" =>
        "Name the author who answers in a Sender field: its domain signs.";
    "bad-from": "no From field", "more than one From field", "no address in From",
        "there is no From field" =>
        "Fix the program that writes the message.";
    "bad-header": "the header has a line that is no field", "the header is too large" =>
        "Fix the program that writes the message.";
    "forwarded": "has a Received field", "has a Resent field", "given with -G" =>
        "No action: mail of another system passes through. To sign it, set sign_forwarded. A Received field that webmail writes (with HTTP) does not matter.";
    "smtp-off": "submitted by SMTP, and smtp = true is not set" =>
        "To sign mail that arrives by SMTP, set smtp = true in the domain file; see docs/smtp.md.";
    "smtp-client": "the SMTP client may not sign for the domain" =>
        "If the client may sign, name its login in logins or its address in clients in the domain file.";
    "filter-loop": "the message came back to the content filter" =>
        "Unset content_filter where the reason says, then run: postsuper -r ALL. The message waits in the queue.";
    "already-signed": "already signed for the domain" =>
        "No action: another program has signed it.";
    "record-gone": "the record of the key is gone from DNS" =>
        "Publish the record again: dkimctl record DOMAIN prints it. Then run dkimctl watch, or wait for its timer.";
    "no-selector": "no selector for the address in the domain file" =>
        "If the address is to be signed, name a key in selectors in the domain file.";
    "user": "the user may not sign for the domain" =>
        "If the user may sign, name the user in users or groups in the domain file.";
    "no-privilege": "…the set-gid bit was ignored or is not there" =>
        "Set mode 2755 on the wrapper; look for NoNewPrivileges in the unit, and for a nosuid mount. dkimctl doctor tells.";
    "key": "cannot open key", "key " =>
        "Fix the key file or its permissions; dkimctl doctor prints the commands.";
    "smtp-session": "sent with BDAT", "sent after STARTTLS", "sent after an unknown command",
        "DATA was not answered", "a line containing a single dot that not every server" =>
        "The rest of an SMTP session on standard input was passed on unsigned. Submit each message by itself.";
    "hand-over": "the real sendmail ended inside the message", "cannot hand it over" =>
        "The message was not sent, and the client knows. See the log of the mail system.";
    "too-large": "the message is larger than message_size_limit" =>
        "No action if Postfix rejects it, too. If Postfix accepts larger mail, set the same message_size_limit in config.toml.";
    "too-large-signed": "signed, it would be larger than message_size_limit" =>
        "To sign such mail, raise message_size_limit in Postfix and in config.toml.";
    "configuration": "….toml", "…also_sign_as" =>
        "Fix the line or the permissions; until then mail is sent unsigned.";
    "fields": "From must be signed", "…is listed twice", "…does not survive delivery", "…but not listed in headers",
        "…is not within the signing domain" =>
        "Fix headers, oversign or identity in config.toml or the domain file.";
    "not-read": "cannot read the message from standard input" =>
        "The message was not complete and was not sent. Find out why the program that wrote it ended.";
    "no-room": "no room for the message", "cannot start the process that signs", "the process that signs has ended",
        "cannot ask the process that signs", "cannot relay the SMTP session" =>
        "Look at memory and disk space, and at the limits of the caller for processes and file sizes.";
    "no-sendmail": "no real sendmail at", "the real sendmail", "cannot run" =>
        "Set sendmail in config.toml to the real sendmail.";
    "privilege": "cannot change the group id", "the privileged group id is still there", "cannot make the process undumpable" =>
        "Report it: the kernel did not drop the privilege.";
    "bug": "internal error at" =>
        "Report it.";
    "will-break": "a line of more than 998 bytes" =>
        "The message was signed, but SMTP breaks the line, and the signature with it; the line is in a place that cannot be encoded. Have the program write shorter lines.";
    "may-break": "a signed or encrypted part" =>
        "The message was signed. A hop may have to change a part that another program has signed or encrypted, which breaks both signatures.";
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "packaging/man/sendmail.dkim.8";
    const BEGIN: &str = ".\\\" The table of src/admin/remedies.rs: UPDATE_EXPECT=1 cargo test --lib admin::remedies writes it.\n";
    const END: &str = ".\\\" The end of that table.\n";

    #[expect(clippy::disallowed_methods, reason = "a test")]
    #[test]
    fn the_manual_page_has_each_reason_and_its_remedy() {
        let mut list = BEGIN.to_owned();
        list.push_str(".Bl -tag -width Ds\n");
        for kind in KINDS {
            let texts = kind.texts.iter().map(|text| {
                let (before, text) =
                    text.strip_prefix('…').map_or(("", *text), |text| ("... ", text));
                // A word that mdoc(7) would take for a macro or a number.
                format!(".It Li \"{before}{}\"\n", text.trim_end())
            });
            list.extend(texts);
            list.push_str(&format!("{}\n", kind.remedy.replace(". ", ".\n").replace("; ", ";\n")));
        }
        list.push_str(".El\n");
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        let page = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let expected = [before, &list, END, after].concat();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        assert!(page == expected, "{PAGE} differs from the table: UPDATE_EXPECT=1 writes it");
    }

    #[test]
    fn a_reason_has_the_first_kind_that_its_text_fits() {
        for (reason, code) in [
            ("no domain file", "no-domain-file"),
            ("From: an address without a domain, and no origin in config.toml", "no-domain"),
            ("From: an unmatched quote", "unclear-from"),
            ("cannot open key /k, the set-gid bit was ignored or is not there", "no-privilege"),
            ("cannot open key /k: No such file or directory", "key"),
            ("key /etc/sendmail-dkim/keys/x/s.private: the key is damaged", "key"),
            ("the real sendmail ended inside the message", "hand-over"),
            ("the real sendmail \\\"/x\\\" is not an executable file", "no-sendmail"),
            ("/etc/sendmail-dkim/config.toml: line 2: unknown key", "configuration"),
            ("signed, it would be larger than message_size_limit", "too-large-signed"),
            ("something of the next version", "other"),
        ] {
            assert_eq!(kind_of(reason).code, code, "{reason}");
        }
        for kind in KINDS {
            for text in kind.texts {
                assert_eq!(kind_of(text.trim_start_matches('…')), kind, "{text}");
            }
        }
        let mut codes: Vec<_> = KINDS.iter().map(|kind| kind.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), KINDS.len());
    }
}
