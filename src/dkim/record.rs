//! The key record (§3.6.1): the TXT record at `selector._domainkey.domain`.

use std::{error, fmt};

use crate::dkim::domain::{Domain, Selector};
use crate::dkim::key::{Algorithm, KeyError, PublicKey};
use crate::dkim::tag::{self, TagError, TagList};

/// A usable key, and the restrictions that its domain sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    key: PublicKey,
    terms: Terms,
}

/// The tags of a record other than its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// n=, for people to read.
    note: Option<String>,
    /// h=, as `sha256` or `sha1:sha256`.
    hashes: Option<String>,
    /// t=y: the domain is only testing DKIM.
    pub testing: bool,
    /// t=s: the domain of i= must be d= itself.
    pub strict: bool,
    /// s=email: the key is for e-mail only.
    pub email: bool,
}

impl Terms {
    /// These terms with n=.
    ///
    /// # Errors
    ///
    /// The note has a character that ends a tag (`;`) or has a meaning in a zone file.
    pub fn with_note(self, note: &str) -> Result<Self, RecordError> {
        let fits = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b';' | b'"' | b'\\');
        if !note.bytes().all(fits) {
            return Err(RecordError::Note);
        }
        Ok(Self { note: Some(note.to_owned()), ..self })
    }

    /// These terms with h=, a colon-separated list.
    ///
    /// # Errors
    ///
    /// The list lacks SHA-256, so no signature would verify; or it has a malformed name.
    pub fn with_hashes(self, hashes: &str) -> Result<Self, RecordError> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let names = || hashes.split(':');
        if !names().all(is_name) || !names().any(|name| name == "sha256") {
            return Err(RecordError::Hash);
        }
        Ok(Self { hashes: Some(hashes.to_owned()), ..self })
    }

    /// The tags before p=, in the order of opendkim-genkey.
    fn before_key(&self, algorithm: Algorithm) -> String {
        let mut tags = "v=DKIM1; ".to_owned();
        if let Some(note) = &self.note {
            tags.push_str(&format!("n=\"{note}\"; "));
        }
        if let Some(hashes) = &self.hashes {
            tags.push_str(&format!("h={hashes}; "));
        }
        tags.push_str(&format!("k={}; ", algorithm.key_type()));
        tags.push_str(match (self.testing, self.strict) {
            (false, false) => "",
            (true, false) => "t=y; ",
            (false, true) => "t=s; ",
            (true, true) => "t=y:s; ",
        });
        if self.email {
            tags.push_str("s=email; ");
        }
        tags
    }
}

impl Record {
    /// A record of this key, without restrictions.
    pub fn new(key: PublicKey) -> Self {
        Self { key, terms: Terms::default() }
    }

    /// The record with other terms.
    #[must_use]
    pub fn with_terms(self, terms: Terms) -> Self {
        Self { terms, ..self }
    }

    /// Parses the text of a TXT record, whose strings are joined without separators.
    ///
    /// # Errors
    ///
    /// The first tag that makes the record unusable. The DNS operator of the domain causes all of these errors.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let tags = TagList::parse(bytes).map_err(RecordError::Syntax)?;
        // v= is optional, but must be first and have this value (§3.6.1 v=).
        let first = tags.tags().first().map(|tag| tag.name);
        if tags.get("v").is_some_and(|version| version != "DKIM1" || first != Some("v")) {
            return Err(RecordError::Version);
        }
        let lists = |name, word| {
            tags.get(name).map(|value| tag::words(value).any(|listed: &str| listed == word))
        };
        if lists("h", "sha256") == Some(false) {
            return Err(RecordError::Hash);
        }
        let key_type = tags.get("k").unwrap_or("rsa");
        let algorithm = Algorithm::of_key_type(key_type).ok_or(RecordError::KeyType)?;
        if tags.get("n").is_some_and(|note| !note.is_ascii()) {
            return Err(RecordError::Note);
        }
        let is_for_email = lists("s", "email") == Some(true);
        if lists("s", "*") == Some(false) && !is_for_email {
            return Err(RecordError::Service);
        }
        let key = match tags.get("p") {
            None => return Err(RecordError::NoKey),
            Some("") => return Err(RecordError::Revoked),
            Some(value) => tag::base64(value).ok_or(RecordError::Base64)?,
        };
        let key = PublicKey::from_bytes(algorithm, &key).ok_or(match algorithm {
            Algorithm::RsaSha256 => RecordError::Key,
            Algorithm::Ed25519Sha256 => RecordError::Ed25519Key,
        })?;
        let hashes = tags.get("h").map(|value| tag::words(value).collect::<Vec<_>>().join(":"));
        let terms = Terms {
            note: tags.get("n").map(|note| note.trim_matches('"').to_owned()),
            hashes,
            testing: lists("t", "y") == Some(true),
            strict: lists("t", "s") == Some(true),
            email: is_for_email && lists("s", "*") == Some(false),
        };
        Ok(Self { key, terms })
    }

    /// The public key (p=).
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The tags other than the key.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The text to publish.
    ///
    /// # Errors
    ///
    /// None for a key of a supported size.
    pub fn text(&self) -> Result<String, KeyError> {
        Ok(format!("{}p={}", self.tags_before_key(), self.key.to_base64()?))
    }

    /// The record as an entry of a zone file, byte for byte as opendkim-genkey writes it.
    ///
    /// # Errors
    ///
    /// None for a key of a supported size.
    pub fn zone_entry(
        &self,
        selector: &Selector,
        domain: &Domain,
        owner: Owner,
    ) -> Result<String, KeyError> {
        let owner = match owner {
            Owner::Relative => String::new(),
            Owner::Absolute => format!(".{domain}."),
        };
        // Only the note has quotes.
        let tags = self.tags_before_key().replace('"', "\\\"");
        let key = self.key.to_base64()?;
        // A DNS string has at most 255 bytes (RFC 1035 §3.3.14). opendkim-genkey uses 250, and writes an empty string after a
        // last one of 250.
        let mut rest = key.as_str();
        let mut strings = String::new();
        while let Some((string, after)) = rest.split_at_checked(250) {
            strings.push_str(&format!("{string}\"\n\t  \""));
            rest = after;
        }
        Ok(format!(
            "{selector}._domainkey{owner}\tIN\tTXT\t( \"{tags}\"\n\t  \"p={strings}{rest}\" )  ; \
             ----- DKIM key {selector} for {domain}\n"
        ))
    }

    /// The text of the record in a file: the joined strings of a zone entry (RFC 1035 §5.1), or the whole file if it is not one.
    pub fn text_in(file: &[u8]) -> Vec<u8> {
        let file = file.trim_ascii();
        // A bare record. Its quotes, as in n="...", are part of it.
        if file.starts_with(b"v=") {
            return file.to_vec();
        }
        let mut record = Vec::new();
        let (mut inside, mut escaped, mut comment) = (false, false, false);
        for byte in file {
            match byte {
                _ if comment => comment = *byte != b'\n',
                _ if escaped => {
                    escaped = false;
                    record.push(*byte);
                }
                b'\\' if inside => escaped = true,
                b'"' => inside = !inside,
                b';' if !inside && !record.is_empty() => break,
                // Quotes in a comment are ignored.
                b';' if !inside => comment = true,
                byte if inside => record.push(*byte),
                _ => {}
            }
        }
        if record.is_empty() { file.to_vec() } else { record }
    }

    fn tags_before_key(&self) -> String {
        self.terms.before_key(self.key.algorithm())
    }
}

/// How the name of a record is written in a zone file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Without the domain: for the zone file of the domain itself.
    Relative,
    /// In full (opendkim-genkey -a).
    Absolute,
}

/// Why a key record cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The text is not a tag list.
    Syntax(TagError),
    /// v= is not DKIM1, or not the first tag.
    Version,
    /// h= does not allow SHA-256.
    Hash,
    /// k= is an unknown type.
    KeyType,
    /// n= is not printable text.
    Note,
    /// p= is missing.
    NoKey,
    /// p= is empty: the key was revoked.
    Revoked,
    /// p= is not base64.
    Base64,
    /// p= is not an RSA key of 1024 bits or more.
    Key,
    /// p= is not the 32 bytes of an Ed25519 key (RFC 8463 §4.2).
    Ed25519Key,
    /// s= does not allow e-mail.
    Service,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax(_) => "not a tag list",
            Self::Version => "v= is not DKIM1, or not the first tag",
            Self::Hash => "h= does not allow sha256",
            Self::KeyType => "k= is neither rsa nor ed25519",
            Self::Note => "n= is not printable text",
            Self::NoKey => "p= is missing",
            Self::Revoked => "p= is empty: the key was revoked",
            Self::Base64 => "p= is not base64",
            Self::Key => "p= is not an RSA key of at least 1024 bits",
            Self::Ed25519Key => "p= is not the 32 bytes of an Ed25519 key",
            Self::Service => "s= does not allow e-mail",
        })
    }
}

impl error::Error for RecordError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        if let Self::Syntax(cause) = self { Some(cause) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::key::SigningKey;

    const P: &str = include_str!("../../tests/vectors/rfc6376-a2.txt");

    fn key() -> PublicKey {
        let pem = include_str!("../../tests/vectors/rfc6376-c.private");
        SigningKey::from_pem(pem, 1024).unwrap().public()
    }

    fn parse(tags: &str) -> Result<Record, RecordError> {
        let p = P.trim_end().strip_prefix("v=DKIM1; ").unwrap();
        Record::parse(tags.replace("KEY", p).as_bytes())
    }

    #[test]
    fn rfc6376_a2_the_record_holds_the_key_of_appendix_c() {
        assert_eq!(Record::parse(P.as_bytes()).unwrap(), Record::new(key()));
    }

    #[test]
    fn the_text_written_is_the_text_read() {
        let terms = Terms { testing: true, strict: true, email: true, ..Terms::default() };
        let terms = terms.with_note("a note").unwrap().with_hashes("sha1:sha256").unwrap();
        let record = Record::new(key()).with_terms(terms);
        let text = record.text().unwrap();
        assert_eq!(Record::parse(text.as_bytes()), Ok(record));
        let start = "v=DKIM1; n=\"a note\"; h=sha1:sha256; k=rsa; t=y:s; s=email; p=MIGf";
        assert!(text.starts_with(start), "{text}");
        assert!(Record::new(key()).text().unwrap().starts_with("v=DKIM1; k=rsa; p=MIGf"));
    }

    #[test]
    fn rfc8463_a2_the_record_holds_the_key_of_appendix_a1() {
        let pem = include_str!("../../tests/vectors/rfc8463-a-brisbane.private");
        let record = Record::new(SigningKey::from_pem(pem, 1024).unwrap().public());
        let text = include_str!("../../tests/vectors/rfc8463-a-brisbane.txt").trim_end();
        assert_eq!(Record::parse(text.as_bytes()).as_ref(), Ok(&record));
        assert_eq!(record.text().unwrap(), text);
    }

    #[test]
    fn malformed_terms_are_rejected() {
        for note in ["a; b", "a \"note\"", "back\\slash", "new\nline", "\u{e4}"] {
            assert_eq!(Terms::default().with_note(note), Err(RecordError::Note), "{note:?}");
        }
        for hashes in ["sha1", "", "sha256:", "sha256; t=y", "sha256 sha1", "sha1; t=y:sha256"] {
            assert_eq!(Terms::default().with_hashes(hashes), Err(RecordError::Hash), "{hashes:?}");
        }
        assert!(Terms::default().with_hashes("x-sha3:sha256").is_ok());
    }

    #[test]
    fn rfc6376_3_6_1_a_key_is_for_email_only_if_s_does_not_list_all_services() {
        for (tags, email) in [
            ("KEY", false),
            ("s=email; KEY", true),
            ("s=x : email; KEY", true),
            ("s=*; KEY", false),
            ("s=email:*; KEY", false),
        ] {
            assert_eq!(parse(tags).unwrap().terms().email, email, "{tags}");
        }
    }

    #[test]
    fn tags_that_allow_this_use_do_no_harm() {
        for tags in [
            "KEY",
            "v=DKIM1;KEY;",
            " v = DKIM1 ; h = sha1 : sha256 ; k=rsa; n=a note; s=x:email; t=y:x; KEY; other=1",
            "s=*; KEY",
        ] {
            assert!(parse(tags).is_ok(), "{tags}");
        }
    }

    #[test]
    fn each_tag_has_its_own_error() {
        for (tags, error) in [
            ("v=DKIM2; KEY", RecordError::Version),
            ("KEY; v=DKIM1", RecordError::Version),
            ("v=dkim1; KEY", RecordError::Version),
            ("h=sha1; KEY", RecordError::Hash),
            ("h=; KEY", RecordError::Hash),
            ("k=dsa; KEY", RecordError::KeyType),
            ("k=ed25519; KEY", RecordError::Ed25519Key),
            ("n=\u{e4}; KEY", RecordError::Note),
            ("s=tlsrpt; KEY", RecordError::Service),
            ("v=DKIM1; k=rsa", RecordError::NoKey),
            ("v=DKIM1; p=", RecordError::Revoked),
            ("v=DKIM1; p=AAA*", RecordError::Base64),
            ("v=DKIM1; p=AAAA", RecordError::Key),
            ("v=DKIM1; p", RecordError::Syntax(TagError::NoValue)),
            ("KEY; k=rsa; k=rsa", RecordError::Syntax(TagError::Twice)),
        ] {
            assert_eq!(parse(tags), Err(error), "{tags}");
        }
    }

    #[test]
    fn a_zone_entry_is_that_of_opendkim_genkey() {
        let p = key().to_base64().unwrap();
        let selector = Selector::parse("sel1").unwrap();
        let domain = Domain::parse("example.com").unwrap();
        let entry = Record::new(key()).zone_entry(&selector, &domain, Owner::Absolute).unwrap();
        let expected = format!(
            "sel1._domainkey.example.com.\tIN\tTXT\t( \"v=DKIM1; k=rsa; \"\n\
             \t  \"p={p}\" )  ; ----- DKIM key sel1 for example.com\n"
        );
        assert_eq!(entry, expected);
        let entry = Record::new(key()).zone_entry(&selector, &domain, Owner::Relative).unwrap();
        assert!(entry.starts_with("sel1._domainkey\tIN\tTXT\t( \"v=DKIM1; k=rsa; \"\n"));
    }

    fn entry(modulus: usize) -> (String, String) {
        let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
        let number = [&[0][..], &vec![0xff; modulus]].concat();
        let number = [&[2, 0x82][..], &length(number.len()), &number, &[2, 3, 1, 0, 1]].concat();
        let der = [&[0x30, 0x82][..], &length(number.len()), &number].concat();
        let key = PublicKey::from_bytes(Algorithm::RsaSha256, &der).unwrap();
        let selector = Selector::parse("s").unwrap();
        let domain = Domain::parse("example.com").unwrap();
        let p = key.to_base64().unwrap();
        (Record::new(key).zone_entry(&selector, &domain, Owner::Absolute).unwrap(), p)
    }

    #[test]
    fn a_long_key_is_cut_into_strings_of_250() {
        let (entry, p) = entry(256);
        let (first, second) = p.split_at(250);
        assert!(entry.contains(&format!("\n\t  \"p={first}\"\n\t  \"{second}\" )  ; -")));
    }

    #[test]
    fn a_key_of_just_two_strings_gets_an_empty_third() {
        let (entry, p) = entry(337);
        let (first, second) = p.split_at(250);
        assert_eq!(second.len(), 250);
        assert!(entry.contains(&format!("\n\t  \"p={first}\"\n\t  \"{second}\"\n\t  \"\" )  ; -")));
    }

    #[test]
    fn quotes_of_a_note_are_escaped_in_a_zone_entry() {
        let terms = Terms::default().with_note("a note").unwrap();
        let selector = Selector::parse("s").unwrap();
        let domain = Domain::parse("example.com").unwrap();
        let record = Record::new(key()).with_terms(terms);
        let entry = record.zone_entry(&selector, &domain, Owner::Absolute).unwrap();
        assert!(entry.contains("( \"v=DKIM1; n=\\\"a note\\\"; k=rsa; \"\n"), "{entry}");
    }

    #[test]
    fn the_strings_of_a_zone_entry_are_joined() {
        let entry = b"s._domainkey.x.\tIN\tTXT\t( \"v=DKIM1; n=\\\"a; b\\\"; \"\n\t  \"p=AB\"\n\t  \"CD\" )  ; \"c\"\n";
        assert_eq!(Record::text_in(entry), b"v=DKIM1; n=\"a; b\"; p=ABCD");
    }

    #[test]
    fn a_backslash_in_the_name_of_a_zone_entry_is_not_part_of_the_record() {
        let entry = b"s._domainkey.a\\.b.example. IN TXT \"v=DKIM1; p=AB\"\n";
        assert_eq!(Record::text_in(entry), b"v=DKIM1; p=AB");
    }

    #[test]
    fn of_several_zone_entries_the_first_is_the_record() {
        let entries = b"s TXT ( \"v=DKIM1; p=AB\" ) ; of s\nt TXT ( \"v=DKIM1; p=CD\" ) ; of t\n";
        assert_eq!(Record::text_in(entries), b"v=DKIM1; p=AB");
    }

    #[test]
    fn a_bare_record_is_taken_as_it_is() {
        assert_eq!(Record::text_in(b" v=DKIM1; p=AB\n"), b"v=DKIM1; p=AB");
        assert_eq!(Record::text_in(b"k=rsa; p=AB\n"), b"k=rsa; p=AB");
        let note = b"v=DKIM1; n=\"a note\"; p=AB";
        assert_eq!(Record::text_in(note), note);
    }

    #[test]
    fn quotes_in_a_comment_are_ignored() {
        let entry = b"; the \"first\"\n;\ns._domainkey IN TXT \"v=DKIM1; \" \"p=AB\" ; \"last\"\n";
        assert_eq!(Record::text_in(entry), b"v=DKIM1; p=AB");
    }
}
