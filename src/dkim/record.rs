//! The key record (§3.6.1): the TXT record at `selector._domainkey.domain`.

use std::fmt::Write as _;
use std::{error, fmt};

use crate::dkim::domain::{Domain, Selector};
use crate::dkim::key::{KeyError, PublicKey};
use crate::dkim::tag::{self, TagError, TagList};

/// A key that can be used, and what its domain says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    key: PublicKey,
    testing: bool,
    strict: bool,
}

impl Record {
    /// A record of that key, without restrictions.
    pub fn new(key: PublicKey) -> Self {
        Self { key, testing: false, strict: false }
    }

    /// Takes the text of a TXT record, its strings joined without anything between them.
    ///
    /// # Errors
    ///
    /// The first tag that makes the record unusable. The domain's DNS operator can cause all of
    /// them.
    pub fn parse(octets: &[u8]) -> Result<Self, RecordError> {
        let tags = TagList::parse(octets).map_err(RecordError::Syntax)?;
        // v= stands first if it is there at all, and with this value (§3.6.1 v=).
        let first = tags.tags().first().map(|tag| tag.name);
        if tags.get("v").is_some_and(|version| version != "DKIM1" || first != Some("v")) {
            return Err(RecordError::Version);
        }
        let lists = |name, wanted: &[&str]| {
            tags.get(name).is_none_or(|value| tag::words(value).any(|word| wanted.contains(&word)))
        };
        if !lists("h", &["sha256"]) {
            return Err(RecordError::Hash);
        }
        if tags.get("k").is_some_and(|key_type| key_type != "rsa") {
            return Err(RecordError::KeyType);
        }
        if tags.get("n").is_some_and(|note| !note.is_ascii()) {
            return Err(RecordError::Note);
        }
        if !lists("s", &["*", "email"]) {
            return Err(RecordError::Service);
        }
        let key = match tags.get("p") {
            None => return Err(RecordError::NoKey),
            Some("") => return Err(RecordError::Revoked),
            Some(value) => tag::base64(value).ok_or(RecordError::Base64)?,
        };
        let flag = |flag| tags.get("t").is_some_and(|t| tag::words(t).any(|word| word == flag));
        Ok(Self {
            key: PublicKey::from_der(&key).ok_or(RecordError::Key)?,
            testing: flag("y"),
            strict: flag("s"),
        })
    }

    /// The public key (p=).
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether the domain is only testing DKIM (t=y).
    pub fn testing(&self) -> bool {
        self.testing
    }

    /// Whether the domain of i= has to be d= itself (t=s).
    pub fn strict(&self) -> bool {
        self.strict
    }

    /// The text to publish.
    ///
    /// # Errors
    ///
    /// Never for a key of a size that can be had here.
    pub fn text(&self) -> Result<String, KeyError> {
        Ok(format!("{}p={}", self.tags_before_key(), self.key.to_spki_base64()?))
    }

    /// The record as an entry of a zone file, octet for octet as opendkim-genkey writes it.
    ///
    /// # Errors
    ///
    /// Never for a key of a size that can be had here.
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
        let tags = self.tags_before_key();
        let mut entry = format!("{selector}._domainkey{owner}\tIN\tTXT\t( \"{tags}\"\n\t  \"p=");
        // A string of the DNS has at most 255 octets (RFC 1035 §3.3.14).
        let mut room = 250_usize;
        for char in self.key.to_spki_base64()?.chars() {
            if room == 0 {
                entry.push_str("\"\n\t  \"");
                room = 250;
            }
            entry.push(char);
            room = room.saturating_sub(1);
        }
        // Writing to a String does not fail.
        let _ = writeln!(entry, "\" )  ; ----- DKIM key {selector} for {domain}");
        Ok(entry)
    }

    fn tags_before_key(&self) -> String {
        let flags = match (self.testing, self.strict) {
            (false, false) => "",
            (true, false) => "t=y; ",
            (false, true) => "t=s; ",
            (true, true) => "t=y:s; ",
        };
        format!("v=DKIM1; k={}; {flags}", self.key.algorithm().key_type())
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
    /// It is no tag list.
    Syntax(TagError),
    /// v= is not DKIM1, or does not stand first.
    Version,
    /// h= does not allow SHA-256.
    Hash,
    /// k= is a type that is not known here.
    KeyType,
    /// n= is not printable text.
    Note,
    /// p= is missing.
    NoKey,
    /// p= is empty: the key was withdrawn.
    Revoked,
    /// p= is not base64.
    Base64,
    /// p= is not an RSA key of 1024 bits or more.
    Key,
    /// s= does not allow e-mail.
    Service,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax(_) => "not a list of tags",
            Self::Version => "v= is not DKIM1 or not first",
            Self::Hash => "h= does not allow sha256",
            Self::KeyType => "k= is not rsa",
            Self::Note => "n= is not printable text",
            Self::NoKey => "p= is missing",
            Self::Revoked => "p= is empty: the key was revoked",
            Self::Base64 => "p= is not base64",
            Self::Key => "p= is not an RSA key of at least 1024 bits",
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
        let record = Record { key: key(), testing: true, strict: true };
        assert_eq!(Record::parse(record.text().unwrap().as_bytes()), Ok(record.clone()));
        assert!(record.text().unwrap().starts_with("v=DKIM1; k=rsa; t=y:s; p=MIGf"));
        assert!(Record::new(key()).text().unwrap().starts_with("v=DKIM1; k=rsa; p=MIGf"));
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
            ("k=ed25519; KEY", RecordError::KeyType),
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
        let p = key().to_spki_base64().unwrap();
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

    #[test]
    fn a_long_key_is_cut_into_strings_of_250() {
        // A modulus of 2048 bits.
        let mut der = vec![0x30, 0x82, 1, 0x0a, 2, 0x82, 1, 1, 0];
        der.extend([0xff; 256]);
        der.extend([2, 3, 1, 0, 1]);
        let key = PublicKey::from_der(&der).unwrap();
        let p = key.to_spki_base64().unwrap();
        let (first, second) = p.split_at(250);
        let selector = Selector::parse("s").unwrap();
        let domain = Domain::parse("example.com").unwrap();
        let entry = Record::new(key).zone_entry(&selector, &domain, Owner::Absolute).unwrap();
        assert!(entry.contains(&format!("\n\t  \"p={first}\"\n\t  \"{second}\" )  ; -")));
    }
}
