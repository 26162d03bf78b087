//! Adds the fields that Postfix would add (cleanup(8)), and changes what Postfix would rewrite, so that the header is sent as it
//! was signed. Fields that are not proved to be stable are returned; they must be left out of h=.

use super::address::{ADDRESS_FIELDS, Completion, Phrases, Unstable, addresses, fixed, is_resent};
use super::date::DateTime;
use super::fold::Writer;
use super::limits::{LONGEST_FIELD, LONGEST_LINE, MOST_ADDED};
use super::syntax::{
    cleaned, field_name, has_line_beyond, has_odd_whitespace, is_one_of, quoted, split_fields,
    with_charset,
};
use super::words::{self, Text};
use crate::dkim::{Domain, Field, FieldName, Header};

/// What is known about a submission besides its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submitter {
    /// `-f`, as typed. Empty or `<>` is the null sender.
    pub envelope_sender: Option<Vec<u8>>,
    /// The login name of the real user.
    pub login: Option<String>,
    /// The full name by Postfix's rule: from `-F`, else from `NAME`, else from the passwd entry.
    pub full_name: Option<Vec<u8>>,
}

/// Fields that often have a single mailbox with an unquoted comma in its display name.
const ORIGINATOR_FIELDS: [&str; 3] = ["From", "Sender", "Reply-To"];

/// The fields of a submitted header section as Postfix reads them: without WSP before the colon, NUL bytes and lines of WSP only,
/// and with a space instead of each bare CR.
///
/// `None` if a line is not part of a field. The reader does not return such a header.
#[must_use]
pub fn fields(section: &[u8]) -> Option<Header> {
    let says_nothing = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let field = |text: &[u8]| {
        let name = text.get(..field_name(text)?)?;
        let body = text.get(name.len()..)?.trim_ascii_start();
        let mut lines = body.split_inclusive(|byte| *byte == b'\n');
        let mut field = [name, &cleaned(lines.next()?)].concat();
        for line in lines.filter(|line| !line.iter().all(says_nothing)) {
            field.extend(cleaned(line));
        }
        Field::parse(&field).ok()
    };
    split_fields(section).map(field).collect::<Option<_>>().map(Header::new)
}

/// Adds From if it is missing, and fixes its addresses. Call this before determining the author.
pub fn complete_from(header: &mut Header, submitter: &Submitter, completion: &Completion) {
    let mut room = MOST_ADDED;
    let hint = hint(header);
    // If there is any Resent-* field, Postfix adds Resent-From instead.
    if header.count("From") == 0
        && !has_resent(header)
        && let Some(mut field) = from_field(submitter)
        && fix_addresses(&mut field, completion, None, &mut room).is_ok()
    {
        header.fields_mut().push(field);
    }
    let is_originator = |field: &&mut Field| field.is("From") || field.is("Sender");
    for field in header.fields_mut().iter_mut().filter(is_originator) {
        // `Author::of` reports an unstable From.
        let _ = fix_addresses(field, completion, hint.as_deref(), &mut room);
    }
}

/// Adds a missing Message-ID or Date at the end, as Postfix does, and fixes the addresses and the text of all fields. `unique` is
/// the part of a Message-ID before the `@`. Returns the names that must not be signed, each with the reason.
pub fn complete(
    header: &mut Header,
    completion: &Completion,
    now: DateTime,
    unique: &str,
    domain: &Domain,
) -> Vec<(FieldName, Unstable)> {
    let mut unstable = Vec::new();
    let hint = hint(header);
    let hint = hint.as_deref();
    // Text that another program has signed must not change.
    let is_signed = has_any(header, &["DKIM-Signature", "ARC-Seal"]);
    let mut room = MOST_ADDED;
    for field in header.fields_mut() {
        let mut result = fix_addresses(field, completion, hint, &mut room);
        // Each step may need the other: folding can split an address, and completing an address can make its line too long.
        for _ in 0..MOST_PASSES {
            // Nothing is changed if it is not certain what is an address.
            if is_signed || result == Err(Unstable::Name) {
                break;
            }
            match fix_text(field, hint, &mut room) {
                Ok(true) => result = fix_addresses(field, completion, hint, &mut room),
                fixed => {
                    result = result.and(fixed.map(drop));
                    break;
                }
            }
        }
        if let Err(why) = result.and_then(|()| is_sent_as_it_is(field))
            && let Ok(name) = FieldName::parse(&String::from_utf8_lossy(field.name()))
        {
            unstable.push((name, why));
        }
    }
    if !has_resent(header) {
        if header.count("Message-ID") == 0 {
            // Spam filters distrust a host name without a dot. In that case Postfix adds its own Message-ID.
            let hosts = [Some(domain), completion.origin.as_ref(), completion.dot_domain.as_ref()];
            let host = hosts.into_iter().flatten().find(|host| host.as_str().contains('.'));
            if let Some(host) = host {
                add(header, &format!("Message-ID: <{unique}@{}>\n", host.as_str()));
            } else if let Ok(name) = FieldName::parse("Message-ID") {
                unstable.push((name, Unstable::NoOrigin));
            }
        }
        if header.count("Date") == 0 {
            add(header, &format!("Date: {now}\n"));
        }
    }
    unstable
}

/// The charset to assume for text that is not UTF-8.
fn hint(header: &Header) -> Option<String> {
    let is_ascii = header.fields().iter().all(|field| field.bytes().is_ascii());
    if is_ascii { None } else { words::hint(&header.bytes()) }
}

/// The last pass only checks. A field whose text or addresses would still change in it is not signed.
const MOST_PASSES: usize = 3;
/// The fields that show recipients. Postfix adds a field to a message that has neither these nor their Resent forms.
const RECIPIENT_FIELDS: [&str; 2] = ["To", "Cc"];

/// Adds `field`, which Postfix adds to a message that shows no recipient; it may be empty. If that field is not known, returns
/// the names that must not be oversigned. Call this before completing the header.
pub fn complete_recipients(header: &mut Header, field: Option<&str>) -> Vec<FieldName> {
    if has_any(header, &RECIPIENT_FIELDS) {
        return Vec::new();
    }
    match field {
        Some("") => {}
        Some(_) if has_any(header, &["Resent-To", "Resent-Cc"]) => {}
        Some(field) => add(header, &format!("{field}\n")),
        None => return RECIPIENT_FIELDS.iter().flat_map(|name| FieldName::parse(name)).collect(),
    }
    Vec::new()
}

fn has_any(header: &Header, names: &[&str]) -> bool {
    names.iter().any(|name| header.count(name) > 0)
}

/// Converts a field to ASCII and shortens its lines where possible. Returns whether it changed.
fn fix_text(field: &mut Field, hint: Option<&str>, room: &mut usize) -> Result<bool, Unstable> {
    // A field of this length is not signed in any case.
    if field.bytes().len() > LONGEST_FIELD {
        return Ok(false);
    }
    let bytes = words::field(field.name(), field.value(), hint);
    if bytes == field.bytes() {
        return Ok(false);
    }
    replace(field, &bytes, room).map(|()| true)
}

/// Replaces the text of a field. An error if there is no `room` for the additional bytes.
fn replace(field: &mut Field, bytes: &[u8], room: &mut usize) -> Result<(), Unstable> {
    // A dot that was removed may have been alone on its line.
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.iter().all(u8::is_ascii_whitespace));
    let bytes: Vec<u8> = lines.flatten().copied().collect();
    let more = bytes.len().saturating_sub(field.bytes().len());
    let left = room.checked_sub(more).ok_or(Unstable::Long)?;
    *field = Field::parse(&bytes).map_err(|_| Unstable::Long)?;
    *room = left;
    Ok(())
}

/// Sets Content-Transfer-Encoding, and the charset of a text/plain that named none.
pub fn label(header: &mut Header, encoding: &str, charset: Option<&str>) {
    if encoding != "7bit" && header.count("MIME-Version") == 0 {
        add(header, "MIME-Version: 1.0\n");
    }
    if let Some(charset) = charset {
        match header.fields_mut().iter_mut().find(|field| field.is("Content-Type")) {
            Some(field) => {
                let labelled = Field::parse(&with_charset(field.bytes(), charset));
                *field = labelled.unwrap_or_else(|_| field.clone());
            }
            None => add(header, &format!("Content-Type: text/plain; charset={charset}\n")),
        }
    }
    let text = format!("Content-Transfer-Encoding: {encoding}\n");
    let is_encoding = |field: &Field| field.is("Content-Transfer-Encoding");
    let place = header.fields().iter().position(is_encoding);
    header.fields_mut().retain(|field| !is_encoding(field));
    let place = place.unwrap_or(header.fields().len());
    if let Ok(field) = Field::parse(text.as_bytes()) {
        header.fields_mut().insert(place, field);
    }
}

fn add(header: &mut Header, field: &str) {
    header.fields_mut().extend(Field::parse(field.as_bytes()));
}

/// Whether another user has resent the message (RFC 5322 §3.6.6).
pub(crate) fn has_resent(header: &Header) -> bool {
    header.fields().iter().any(|field| is_resent(field.name()))
}

/// Whether Postfix and the hops after it leave a field unchanged, except perhaps for its addresses.
fn is_sent_as_it_is(field: &Field) -> Result<(), Unstable> {
    let bytes = field.bytes();
    if has_odd_whitespace(bytes) {
        return Err(Unstable::OddBlank);
    }
    if bytes.len() > LONGEST_FIELD || has_line_beyond(LONGEST_LINE, bytes) {
        return Err(Unstable::Long);
    }
    Ok(())
}

/// Changes an address field so that Postfix has nothing to rewrite.
fn fix_addresses(
    field: &mut Field,
    completion: &Completion,
    hint: Option<&str>,
    room: &mut usize,
) -> Result<(), Unstable> {
    if !is_one_of(field.name(), &ADDRESS_FIELDS) {
        return Ok(());
    }
    let is_originator = is_one_of(field.name(), &ORIGINATOR_FIELDS);
    let phrases = if is_originator { Phrases::Quote } else { Phrases::Keep };
    // Again after a change: a name may be judged differently when the address after it has a domain.
    for _ in 0..2 {
        if let Some(bytes) = words::repaired(field.name(), field.value(), is_originator, hint)? {
            replace(field, &bytes, room)?;
        }
        let Some(value) = fixed(field.value(), completion, phrases)? else { return Ok(()) };
        let bytes = [field.name(), b":", &value].concat();
        replace(field, &bytes, room)?;
    }
    Ok(())
}

/// The From field that Postfix would add: the envelope sender, else the login name, with the full name.
fn from_field(submitter: &Submitter) -> Option<Field> {
    let address = match &submitter.envelope_sender {
        Some(typed) => bare_address(typed)?,
        None => submitter.login.clone()?.into_bytes(),
    };
    let name = submitter.full_name.as_deref().unwrap_or_default().trim_ascii();
    let mut text = Text::new(Writer::new(b"From:"), name, None);
    text.writer.text(b" ");
    if address.is_empty() {
        // Postfix adds no full name to MAILER-DAEMON.
        text.writer.text(b"MAILER-DAEMON");
    } else if name.is_empty() {
        text.writer.text(&address);
    } else {
        if name.is_ascii() {
            text.writer.text(&phrase(name));
            text.writer.text(b" ");
        } else {
            text.name(name);
            // After encoded-words the address goes on a line of its own.
            text.writer.text(b"\n ");
        }
        text.writer.text(&[b"<", address.as_slice(), b">"].concat());
    }
    Field::parse(&text.writer.finish()).ok()
}

/// `Name <a@b>` or `a@b` → `a@b`; empty for the null sender.
fn bare_address(typed: &[u8]) -> Option<Vec<u8>> {
    let list = addresses(typed).ok()?;
    let Some(first) = list.iter().next() else { return Some(Vec::new()) };
    let (local, domain) = first.ok()?.text(typed);
    Some(match domain {
        Some(domain) => [local.as_slice(), b"@", &domain].concat(),
        None => local,
    })
}

/// A display name: unchanged if it consists of atoms (RFC 5322 §3.2.3), else quoted.
fn phrase(name: &[u8]) -> Vec<u8> {
    let is_atom =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~ ".contains(byte);
    if name.iter().all(is_atom) {
        return name.to_vec();
    }
    quoted(name.iter().copied().filter(|byte| !byte.is_ascii_control()))
}

/// The full name in a passwd entry (GECOS): the text before the first of `,;%`. Each `&` becomes the capitalized login name.
#[must_use]
pub fn full_name(gecos: &[u8], login: &str) -> Vec<u8> {
    let mut capital = login.as_bytes().to_vec();
    if let Some(first) = capital.first_mut() {
        first.make_ascii_uppercase();
    }
    let name = gecos.split(|byte| b",;%".contains(byte)).next().unwrap_or_default();
    name.split(|byte| *byte == b'&').collect::<Vec<_>>().join(capital.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DateTime = DateTime { seconds: 1_700_000_000, offset: 0 };

    fn host() -> Completion {
        Completion { origin: Some(Domain::parse("web.example").unwrap()), dot_domain: None }
    }

    fn www_data() -> Submitter {
        Submitter { login: Some("www-data".into()), ..Submitter::default() }
    }

    /// The completed header and the names that must not be signed.
    fn completed(section: &str, submitter: &Submitter) -> (String, Vec<String>) {
        let mut header = fields(section.as_bytes()).unwrap();
        complete_from(&mut header, submitter, &host());
        let domain = Domain::parse("sample.com").unwrap();
        let left_out = complete(&mut header, &host(), NOW, "20231114.1", &domain);
        let names = left_out.iter().map(|(name, _)| name.as_str().to_owned()).collect();
        (String::from_utf8_lossy(&header.bytes()).into_owned(), names)
    }

    /// The header after `complete_recipients`, and the names that must not be oversigned.
    fn with_recipients(section: &str, field: Option<&str>) -> (String, Vec<String>) {
        let mut header = fields(section.as_bytes()).unwrap();
        let names = complete_recipients(&mut header, field);
        let names = names.iter().map(|name| name.as_str().to_owned()).collect();
        (String::from_utf8_lossy(&header.bytes()).into_owned(), names)
    }

    #[test]
    fn mail_that_names_no_recipient_gets_what_postfix_adds() {
        let to = Some("To: undisclosed-recipients:;");
        let added = "Bcc: a@b.example\nTo: undisclosed-recipients:;\n".to_owned();
        assert_eq!(with_recipients("Bcc: a@b.example\n", to), (added, vec![]));
        for header in
            ["TO: a@b.example\n", "cc: a@b.example\n", "To:\n", "Resent-Cc: a@b.example\n"]
        {
            assert_eq!(with_recipients(header, to), (header.to_owned(), vec![]));
        }
    }

    #[test]
    fn only_where_nothing_is_known_the_absence_of_recipients_is_not_signed() {
        let both = vec!["To".to_owned(), "Cc".to_owned()];
        assert_eq!(with_recipients("X: y\n", None), ("X: y\n".to_owned(), both));
        assert_eq!(with_recipients("X: y\n", Some("")), ("X: y\n".to_owned(), vec![]));
        assert_eq!(with_recipients("Cc: y\n", None), ("Cc: y\n".to_owned(), vec![]));
    }

    const COMPLETE: &str = "From: a@sample.com\nMessage-Id: <1@x>\nDate: x\n";

    #[test]
    fn a_content_type_gets_a_charset_as_its_last_parameter() {
        for (field, wanted) in [
            ("Content-Type: text/plain\n", "Content-Type: text/plain; charset=utf-8\n"),
            (
                "Content-Type: text/plain; format=flowed ;\n",
                "Content-Type: text/plain; format=flowed ; charset=utf-8\n",
            ),
            (
                "Content-Type: text/plain; name=\"a file with a name that is rather long.txt\"\n",
                "Content-Type: text/plain; name=\"a file with a name that is rather long.txt\";\n charset=utf-8\n",
            ),
            ("Subject: x\n", "Subject: x\nContent-Type: text/plain; charset=utf-8\n"),
        ] {
            let mut header = fields(format!("MIME-Version: 1.0\n{field}").as_bytes()).unwrap();
            label(&mut header, "quoted-printable", Some("utf-8"));
            let got = String::from_utf8(header.bytes()).unwrap();
            let end = "Content-Transfer-Encoding: quoted-printable\n";
            assert_eq!(got, format!("MIME-Version: 1.0\n{wanted}{end}"));
        }
    }

    #[test]
    fn a_field_that_postfix_may_cut_is_neither_changed_nor_signed() {
        for line in [" \u{fc}xxxxxx\n", " xxxxxxxx\n"] {
            let field = |length: usize| {
                let (lines, rest) = ((length - 20) / line.len(), (length - 20) % line.len());
                format!("Subject: {}\n{} xxxxxxxx\n", "x".repeat(rest), line.repeat(lines))
            };
            let longer = format!("{COMPLETE}{}", field(LONGEST_FIELD + 1));
            assert_eq!(longer.len(), COMPLETE.len() + LONGEST_FIELD + 1);
            assert_eq!(completed(&longer, &www_data()), (longer, vec!["Subject".to_owned()]));
            let longest = completed(&format!("{COMPLETE}{}", field(LONGEST_FIELD)), &www_data());
            assert!(longest.0.is_ascii());
            // When it is encoded, it becomes longer.
            assert_eq!(longest.1.is_empty(), line.is_ascii());
        }
    }

    #[test]
    fn all_fields_together_grow_to_a_limit_only() {
        let field = |number: usize| format!("X-{number}:{}", " \u{fc}xxx\n".repeat(3_000));
        let section: String = (0..20).map(field).collect();
        let subject = field(20).replace("X-20", "Subject");
        let text = format!("{COMPLETE}{section}{subject}");
        let (header, left_out) = completed(&text, &www_data());
        assert!(header.len() > text.len() && header.len() <= text.len() + MOST_ADDED);
        assert!(header.ends_with(&subject));
        assert_eq!(left_out.last().map(String::as_str), Some("Subject"));
    }

    #[test]
    fn a_complete_header_stays_as_it_is() {
        let odd = format!("{COMPLETE}Subject:  odd\t \n\tfold \nX:\ty\n");
        assert_eq!(completed(&odd, &www_data()), (odd, vec![]));
    }

    #[test]
    fn text_that_another_program_has_signed_is_not_encoded() {
        for (field, is_signed) in [("DKIM-Signature", true), ("ARC-Seal", true), ("X-Seal", false)]
        {
            let header = format!("{COMPLETE}{field}: x\nSubject: gr\u{fc}n\n");
            assert_eq!(completed(&header, &www_data()).0 == header, is_signed, "{field}");
        }
    }

    #[test]
    fn from_date_and_message_id_are_added_when_missing() {
        let (header, _) = completed("To: x@y.example\n", &www_data());
        assert_eq!(
            header,
            "To: x@y.example\nFrom: www-data@web.example\nMessage-ID: <20231114.1@sample.com>\n\
             Date: Tue, 14 Nov 2023 22:13:20 +0000\n"
        );
    }

    #[test]
    fn a_field_with_a_vertical_tab_or_a_form_feed_is_not_signed() {
        let header = format!("{COMPLETE}Subject: a\x0bb\nTo: a@b.example (\x0c)\n");
        let (same, left_out) = completed(&header, &www_data());
        assert_eq!((same, left_out), (header, vec!["Subject".to_owned(), "To".to_owned()]));
    }

    #[test]
    fn an_empty_field_counts_as_there() {
        let header = "From: a@sample.com\nMessage-Id:\nDate:\n";
        assert_eq!(completed(header, &www_data()).0, header);
    }

    #[test]
    fn the_envelope_sender_becomes_the_from() {
        for (typed, wanted) in [
            ("a@sample.com", "From: a@sample.com\n"),
            ("Name <a@sample.com>", "From: a@sample.com\n"),
            ("root", "From: root@web.example\n"),
            ("", "From: MAILER-DAEMON@web.example\n"),
            ("<>", "From: MAILER-DAEMON@web.example\n"),
        ] {
            let submitter =
                Submitter { envelope_sender: Some(typed.as_bytes().to_vec()), ..www_data() };
            assert!(completed("", &submitter).0.starts_with(wanted), "{typed}");
        }
    }

    #[test]
    fn the_full_name_precedes_the_address() {
        for (name, wanted) in [
            ("Cron Daemon", "From: Cron Daemon <www-data@web.example>\n"),
            ("Company, \"Inc.\"", "From: \"Company, \\\"Inc.\\\"\" <www-data@web.example>\n"),
            ("M\u{fc}ller", "From: =?utf-8?Q?M=C3=BCller?=\n <www-data@web.example>\n"),
            (" ", "From: www-data@web.example\n"),
        ] {
            let submitter = Submitter { full_name: Some(name.as_bytes().to_vec()), ..www_data() };
            assert!(completed("", &submitter).0.starts_with(wanted), "{name}");
        }
    }

    #[test]
    fn a_long_full_name_is_cut_between_characters() {
        let name = "\u{4e9c}".repeat(30);
        let submitter = Submitter { full_name: Some(name.into_bytes()), ..www_data() };
        let (header, _) = completed("", &submitter);
        let from = header.split("\nMessage-ID").next().unwrap();
        assert!(from.lines().all(|line| line.len() <= 80), "{from}");
        assert_eq!(from.matches("=?utf-8?B?").count(), 3);
        assert!(!from.contains("77+9"), "a character was cut: {from}");
    }

    #[test]
    fn resent_mail_gets_nothing_added() {
        let header = "Resent-To: x@y.example\nSubject: x\n";
        assert_eq!(completed(header, &www_data()).0, header);
    }

    #[test]
    fn bare_addresses_get_the_origin_in_address_fields_only() {
        let (header, left_out) = completed(
            "From: root (Cron)\nTo: a, b@e.com\nReply-To: noreply\nX-To: a\nMessage-Id: <1@x>\nDate: x\n",
            &www_data(),
        );
        assert_eq!(
            header,
            "From: root@web.example (Cron)\nTo: a@web.example, b@e.com\nReply-To: noreply@web.example\n\
             X-To: a\nMessage-Id: <1@x>\nDate: x\n"
        );
        assert!(left_out.is_empty());
    }

    #[test]
    fn an_unquoted_comma_in_a_display_name_is_quoted() {
        let (header, _) = completed(
            &COMPLETE.replace("a@sample.com", "Company, Inc. <a@sample.com>"),
            &www_data(),
        );
        assert!(header.starts_with("From: \"Company, Inc.\" <a@sample.com>\n"));
    }

    #[test]
    fn what_postfix_may_rewrite_is_not_to_be_signed() {
        let to = format!("{COMPLETE}To: a@b@c\nCc: x@y.example\nSubject: {}\n", "x".repeat(991));
        assert_eq!(completed(&to, &www_data()), (to, vec!["To".into(), "Subject".into()]));
    }

    #[test]
    fn a_field_with_an_uncertain_name_stays_as_it_is() {
        let to = "To: \u{fc}, =?x-what?Q?M=C3=BCller, Hans?= <b@e.com>, \u{fc} <a@e.com>\n";
        let header = format!("{COMPLETE}{to}");
        assert_eq!(completed(&header, &www_data()), (header, vec!["To".into()]));
        // Whether it is certain depends on the domain that the address gets.
        for (name, unstable) in [("Ren=C\"3=A9", vec!["To".to_owned()]), ("Rene \"3", vec![])] {
            let to = format!("To: =?UTF-9?Q?{name}?= \"home =?UT=?utf-8?Q?F-8?Q?x?= <bob>\n");
            let (once, names) = completed(&format!("{COMPLETE}{to}"), &www_data());
            assert!(once.contains("<bob@web.example>"), "{once}");
            assert_eq!(names, unstable, "{once}");
            assert_eq!(completed(&once, &www_data()), (once, names));
        }
    }

    #[test]
    fn spaces_before_the_colon_nuls_and_crs_are_removed() {
        let (header, _) = completed(&format!("{COMPLETE}Subject \t: a\0b\rc\n d\0\n"), &www_data());
        assert!(header.ends_with("Subject: ab c\n d\n"), "{header:?}");
    }

    #[test]
    fn a_dot_that_was_alone_on_its_line_leaves_no_line_of_whitespace() {
        for (to, sent) in [
            (" b@x.example\n .\n", " b@x.example\n"),
            (" b@x.example\n .\n , c\n", " b@x.example\n , c@web.example\n"),
            (" <\n b@x.example\n .\n >\n", " <\n b@x.example\n >\n"),
        ] {
            let expected = format!("{COMPLETE}To:{sent}");
            assert_eq!(completed(&format!("{COMPLETE}To:{to}"), &www_data()), (expected, vec![]));
        }
    }

    #[test]
    fn a_line_of_whitespace_is_removed() {
        let (header, _) = completed(&format!("{COMPLETE}Subject: a\n \t\n b\n"), &www_data());
        assert!(header.ends_with("Subject: a\n b\n"), "{header:?}");
    }

    #[test]
    fn the_full_name_of_a_passwd_entry_ends_at_a_comma() {
        assert_eq!(full_name(b"Web & Mail,room 1", "data"), b"Web Data Mail");
        assert_eq!(full_name(b"A%b", "x"), b"A");
        assert_eq!(full_name(b"", "x"), b"");
    }
}
