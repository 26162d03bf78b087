//! The From field → the one domain that answers for the message, or why there is none
//! (RFC 5322 §3.6.2; groups: RFC 6854).

use std::fmt;

use super::address::{Unstable, addresses};
use crate::dkim::{Domain, Header};

/// Who the message says it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The addresses of the From field, all of one domain; as typed, the domain aside.
    locals: Vec<String>,
    domain: Domain,
}

/// Why a message has no author domain. The writer of the message causes each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAuthor {
    /// There is no From field, and none could be made.
    NoFrom,
    /// There is more than one From field: receivers differ on which they show.
    SeveralFrom,
    /// The From field holds no address.
    NoAddress,
    /// The address has no domain, or one that no key can be published for.
    NoDomain,
    /// The addresses are of different domains.
    SeveralDomains,
    /// It is not certain which addresses Postfix will see.
    Unclear(Unstable),
}

impl fmt::Display for NoAuthor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFrom => f.write_str("no From field"),
            Self::SeveralFrom => f.write_str("more than one From field"),
            Self::NoAddress => f.write_str("no address in From"),
            Self::NoDomain => f.write_str("no domain in From that could have a key"),
            Self::SeveralDomains => f.write_str("more than one domain in From"),
            Self::Unclear(why) => write!(f, "From: {why}"),
        }
    }
}

impl Author {
    /// The author of a message whose From field is as it will be sent.
    ///
    /// # Errors
    /// Each [`NoAuthor`] is a property of the message.
    pub fn of(header: &Header) -> Result<Self, NoAuthor> {
        let mut fields = header.named("From");
        let field = fields.next().ok_or(NoAuthor::NoFrom)?;
        if fields.next().is_some() {
            return Err(NoAuthor::SeveralFrom);
        }
        let mut author: Option<Self> = None;
        let value = field.value();
        for address in addresses(value).map_err(NoAuthor::Unclear)?.iter() {
            let (local, domain) = address.map_err(NoAuthor::Unclear)?.text(value);
            if local.is_empty() && domain.is_none() {
                continue;
            }
            let domain = domain
                .and_then(|domain| String::from_utf8(domain).ok())
                .and_then(|domain| Domain::parse(&domain).ok())
                .ok_or(NoAuthor::NoDomain)?;
            let local = String::from_utf8_lossy(&local).into_owned();
            match &mut author {
                None => author = Some(Self { locals: vec![local], domain }),
                Some(author) if author.domain == domain => author.locals.push(local),
                Some(_) => return Err(NoAuthor::SeveralDomains),
            }
        }
        author.ok_or(NoAuthor::NoAddress)
    }

    /// The author domain, in A-labels.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The first address, for a log line: its local part as typed, which may hold anything.
    #[must_use]
    pub fn address(&self) -> String {
        let local = self.locals.first().map_or("", String::as_str);
        format!("{local}@{}", self.domain.as_str())
    }

    /// Whether `local`@`domain` is the only author. Case does not count, in the local part either:
    /// who may write `News@` may write `news@`.
    #[must_use]
    pub fn is(&self, local: &str, domain: &Domain) -> bool {
        let [only] = self.locals.as_slice() else { return false };
        only.eq_ignore_ascii_case(local) && self.domain == *domain
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_in_result, reason = "what is set up in a test is there")]
mod tests {
    use super::*;

    fn domain(from: &str) -> Result<String, NoAuthor> {
        let header = Header::parse(format!("To: x@y.example\nFrom:{from}\n").as_bytes()).unwrap();
        Author::of(&header).map(|author| author.domain().as_str().to_owned())
    }

    #[test]
    fn the_domain_of_the_one_address_answers() {
        for from in [
            "webmaster@sample.com",
            " Webmaster <webmaster@Sample.COM>",
            " \"x@evil.example\" <webmaster@sample.com>",
            " x@evil.example <webmaster@sample.com>",
            " webmaster@sample.com (x@evil.example)",
            " \"a@evil.example\"@sample.com",
            " (\n ) <@evil.example:a@sample.com>",
            " a @ sample.com",
            " Group: a@sample.com, b@sample.com;",
            " a@sample.com, B <b@sample.com>",
        ] {
            assert_eq!(domain(from).as_deref(), Ok("sample.com"), "{from}");
        }
    }

    #[test]
    fn an_internationalised_domain_is_its_a_label() {
        assert_eq!(domain(" x@B\u{fc}cher.example").as_deref(), Ok("xn--bcher-kva.example"));
    }

    #[test]
    fn two_domains_or_two_fields_answer_for_nothing() {
        assert_eq!(domain(" a@sample.com, b@hogehoge.jp"), Err(NoAuthor::SeveralDomains));
        assert_eq!(domain(" a@sample.com\nFrom : b@sample.com"), Err(NoAuthor::SeveralFrom));
        assert_eq!(domain(" a@sample.com b@hogehoge.jp"), Err(NoAuthor::SeveralDomains));
    }

    #[test]
    fn a_from_without_a_usable_domain_has_no_author() {
        assert_eq!(domain(""), Err(NoAuthor::NoAddress));
        assert_eq!(domain(" undisclosed:;"), Err(NoAuthor::NoAddress));
        assert_eq!(domain(" <>"), Err(NoAuthor::NoAddress));
        assert_eq!(domain(" root"), Err(NoAuthor::NoDomain));
        assert_eq!(domain(" x@[192.0.2.1]"), Err(NoAuthor::NoDomain));
        assert_eq!(domain(" x@../../etc"), Err(NoAuthor::NoDomain));
        assert_eq!(domain(" \"x"), Err(NoAuthor::Unclear(Unstable::Unbalanced)));
        let without = Header::parse(b"To: x@y.example\n").unwrap();
        assert_eq!(Author::of(&without), Err(NoAuthor::NoFrom));
    }

    #[test]
    fn a_rule_for_an_address_wants_it_to_be_the_only_one() {
        let author = |from: &[u8]| Author::of(&Header::parse(from).unwrap()).unwrap();
        let sample = Domain::parse("sample.com").unwrap();
        assert!(author(b"From: News@sample.com\n").is("news", &sample));
        assert!(!author(b"From: news@sample.com, x@sample.com\n").is("news", &sample));
        assert_eq!(author(b"From: N <News@sample.com>\n").address(), "News@sample.com");
    }
}
