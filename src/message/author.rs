//! Finds the author domain in the From field, or why there is none (RFC 5322 §3.6.2; groups: RFC 6854). If the authors are in
//! several domains, the domain of Sender is the author domain.

use std::fmt;

use super::address::{Unstable, addresses};
use super::words;
use crate::dkim::{Domain, Header};

/// The author that the From field names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The local parts of the addresses in the domain, as typed.
    locals: Vec<String>,
    domain: Domain,
    /// Whether there are authors in other domains.
    has_others: bool,
}

/// Why a message has no author domain. The author of the message causes all of these errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAuthor {
    /// There is no From field, and none could be added.
    NoFrom,
    /// There is more than one From field. Receivers differ on which one they show.
    SeveralFrom,
    /// The From field holds no address.
    NoAddress,
    /// The address has no domain, or no key can be published for its domain.
    NoDomain,
    /// The addresses are in different domains, and Sender is in none of them.
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
    /// The author of a message. The From field must be as it will be sent.
    ///
    /// # Errors
    /// Each [`NoAuthor`] is a property of the message.
    pub fn of(header: &Header) -> Result<Self, NoAuthor> {
        let mut fields = header.named("From");
        let field = fields.next().ok_or(NoAuthor::NoFrom)?;
        if fields.next().is_some() {
            return Err(NoAuthor::SeveralFrom);
        }
        // A display name may hold an address; such a name is not changed.
        words::repaired(field.name(), field.value(), true, None).map_err(NoAuthor::Unclear)?;
        let authors = mailboxes(field.value())?;
        let (_, first) = authors.first().ok_or(NoAuthor::NoAddress)?;
        let has_others = authors.iter().any(|(_, domain)| domain != first);
        let domain = if has_others {
            sender(header).ok_or(NoAuthor::SeveralDomains)?
        } else {
            first.clone()
        };
        let locals = authors.into_iter().filter(|(_, of)| *of == domain).map(|(local, _)| local);
        let locals: Vec<_> = locals.collect();
        if locals.is_empty() {
            return Err(NoAuthor::SeveralDomains);
        }
        Ok(Self { locals, domain, has_others })
    }

    /// The author domain, in A-labels.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The first address, for a log line. Its local part is as typed and may hold any bytes.
    #[must_use]
    pub fn address(&self) -> String {
        let local = self.locals.first().map_or("", String::as_str);
        format!("{local}@{}", self.domain.as_str())
    }

    /// Local part, as typed, and domain of the author, if there is only one.
    #[must_use]
    pub fn only(&self) -> Option<(&str, &Domain)> {
        let [only] = self.locals.as_slice() else { return None };
        (!self.has_others).then_some((only, &self.domain))
    }
}

/// The addresses of a field: local part and domain.
fn mailboxes(value: &[u8]) -> Result<Vec<(String, Domain)>, NoAuthor> {
    let mut found = Vec::new();
    for address in addresses(value).map_err(NoAuthor::Unclear)?.iter() {
        let (local, domain) = address.map_err(NoAuthor::Unclear)?.text(value);
        if local.is_empty() && domain.is_none() {
            continue;
        }
        let domain = domain
            .and_then(|domain| String::from_utf8(domain).ok())
            .and_then(|domain| Domain::parse(&domain).ok())
            .ok_or(NoAuthor::NoDomain)?;
        found.push((String::from_utf8_lossy(&local).into_owned(), domain));
    }
    Ok(found)
}

/// The domain of Sender, if there is one Sender field with one address.
fn sender(header: &Header) -> Option<Domain> {
    let mut fields = header.named("Sender");
    let field = fields.next().filter(|_| fields.next().is_none())?;
    let [(_, domain)] = <[_; 1]>::try_from(mailboxes(field.value()).ok()?).ok()?;
    Some(domain)
}

#[cfg(test)]
#[expect(clippy::unwrap_in_result, reason = "a test sets this up")]
mod tests {
    use super::*;

    fn domain(from: &str) -> Result<String, NoAuthor> {
        let header = Header::parse(format!("To: x@y.example\nFrom:{from}\n").as_bytes()).unwrap();
        Author::of(&header).map(|author| author.domain().as_str().to_owned())
    }

    #[test]
    fn the_domain_of_a_single_address_is_the_author_domain() {
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
    fn two_domains_or_two_fields_have_no_author_domain() {
        assert_eq!(domain(" a@sample.com, b@hogehoge.jp"), Err(NoAuthor::SeveralDomains));
        assert_eq!(domain(" a@sample.com\nFrom : b@sample.com"), Err(NoAuthor::SeveralFrom));
        assert_eq!(domain(" a@sample.com b@hogehoge.jp"), Err(NoAuthor::SeveralDomains));
    }

    #[test]
    fn rfc5322_3_6_2_with_several_authors_sender_decides() {
        let two = " a@sample.com, b@hogehoge.jp, c@sample.com";
        for (sender, wanted) in [
            (" a@sample.com", Ok("sample.com")),
            (" B <office@Hogehoge.JP>", Ok("hogehoge.jp")),
            (" x@other.example", Err(NoAuthor::SeveralDomains)),
            (" a@sample.com, b@hogehoge.jp", Err(NoAuthor::SeveralDomains)),
            (" a", Err(NoAuthor::SeveralDomains)),
            (" a@sample.com\nSender: b@hogehoge.jp", Err(NoAuthor::SeveralDomains)),
        ] {
            let from = format!("{two}\nSender:{sender}");
            assert_eq!(domain(&from).as_deref(), wanted.as_ref().copied(), "{sender}");
        }
        assert_eq!(domain(" a@sample.com\nSender: x@other.example").as_deref(), Ok("sample.com"));
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
        let in_name = domain(" =?utf-8?Q?A, x@b.example?= <a@sample.com>");
        assert_eq!(in_name, Err(NoAuthor::Unclear(Unstable::Name)));
        let without = Header::parse(b"To: x@y.example\n").unwrap();
        assert_eq!(Author::of(&without), Err(NoAuthor::NoFrom));
    }

    #[test]
    fn several_authors_are_no_only_one() {
        let author = |from: &[u8]| Author::of(&Header::parse(from).unwrap()).unwrap();
        let sample = Domain::parse("sample.com").unwrap();
        assert_eq!(author(b"From: News@sample.com\n").only(), Some(("News", &sample)));
        assert_eq!(author(b"From: news@sample.com, x@sample.com\n").only(), None);
        let two = b"From: x@hogehoge.jp, news@sample.com\nSender: news@sample.com\n";
        assert_eq!(author(two).only(), None);
        assert_eq!(author(two).address(), "news@sample.com");
        assert_eq!(author(b"From: N <News@sample.com>\n").address(), "News@sample.com");
    }
}
