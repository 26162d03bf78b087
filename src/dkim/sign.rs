//! Signing (§5): makes a DKIM-Signature field from a header, a body hash, a recipe and a key.

use std::error;
use std::fmt;

use crate::dkim::canon::{Canon, Canonicalization};
use crate::dkim::domain::{Domain, Identity, Selector};
use crate::dkim::hash::{BodyHash, HashInput, SignedFields};
use crate::dkim::header::{Field, FieldName, Header, Picker};
use crate::dkim::key::{Algorithm, SigningKey};
use crate::dkim::signature::{Folded, NAME, Signature, Unsigned, signer};

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

/// What to sign, and for which domain. From is always signed. Fields that mail systems drop or add on the way are never signed.
/// The oversigned names are a subset of the signed names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    domain: Domain,
    identity: Option<Identity>,
    canonicalization: Canonicalization,
    lifetime: Option<u64>,
    signed: Vec<FieldName>,
    oversigned: Vec<FieldName>,
}

/// Why a recipe is invalid; the author of the configuration causes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipeError {
    /// From is not among the signed names (§5.4).
    NoFrom,
    /// The field is dropped, rewritten or added by mail systems on the way.
    Unfit(FieldName),
    /// The name is to be oversigned, but is not among the signed names.
    NotSigned(FieldName),
    /// The name is listed twice.
    Twice(FieldName),
    /// The domain of i= is not within that of d= (§3.5 i=).
    Identity(Identity),
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFrom => write!(f, "From must be signed"),
            Self::Unfit(name) => {
                write!(f, "{} does not survive delivery, so it cannot be signed", name.as_str())
            }
            Self::NotSigned(name) => {
                write!(f, "{} is oversigned, but not listed in headers", name.as_str())
            }
            Self::Twice(name) => write!(f, "{} is listed twice", name.as_str()),
            Self::Identity(identity) => write!(f, "{identity} is not within the signing domain"),
        }
    }
}

impl error::Error for RecipeError {}

/// Fields that Postfix drops (`message_drop_headers`), that mail systems add or change on the way, or that concern one hop only.
const UNFIT: [&str; 9] = [
    "Apparently-To",
    "Authentication-Results",
    "Bcc",
    "Content-Length",
    "Delivered-To",
    "DKIM-Signature",
    "Received",
    "Return-Path",
    "X-Original-To",
];

/// The same kind of fields, by the beginnings of their names.
const UNFIT_BEGINNINGS: [&str; 2] = ["Resent-", "ARC-"];

/// Whether a field does not survive delivery, so that it cannot be signed.
pub(crate) fn is_unfit(name: &FieldName) -> bool {
    let begins = |beginning: &&str| {
        let text = name.as_str().as_bytes().get(..beginning.len());
        text.is_some_and(|text| text.eq_ignore_ascii_case(beginning.as_bytes()))
    };
    UNFIT.iter().any(|unfit| name.is(unfit)) || UNFIT_BEGINNINGS.iter().any(begins)
}

impl Recipe {
    /// A recipe with relaxed canonicalization of header and body, without i= and x=.
    ///
    /// ```
    /// use sendmail_dkim::dkim::{Domain, FieldName, Recipe};
    /// let domain = Domain::parse("sample.com")?;
    /// let names = |names: &[&str]| names.iter().flat_map(|name| FieldName::parse(name)).collect();
    /// assert!(Recipe::new(domain.clone(), names(&["From", "Subject"]), names(&["From"])).is_ok());
    /// assert!(Recipe::new(domain, names(&["From", "Bcc"]), names(&[])).is_err());
    /// # Ok::<(), sendmail_dkim::dkim::DomainError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`RecipeError`].
    pub fn new(
        domain: Domain,
        signed: Vec<FieldName>,
        oversigned: Vec<FieldName>,
    ) -> Result<Self, RecipeError> {
        if !signed.iter().any(|name| name.is("From")) {
            return Err(RecipeError::NoFrom);
        }
        if let Some(name) = signed.iter().find(|name| is_unfit(name)) {
            return Err(RecipeError::Unfit(name.clone()));
        }
        if let Some(name) = oversigned.iter().find(|name| !signed.contains(name)) {
            return Err(RecipeError::NotSigned(name.clone()));
        }
        for list in [&signed, &oversigned] {
            let mut seen = std::collections::BTreeSet::new();
            if let Some(name) = list.iter().find(|name| !seen.insert(*name)) {
                return Err(RecipeError::Twice(name.clone()));
            }
        }
        let canonicalization = Canonicalization { header: Canon::Relaxed, body: Canon::Relaxed };
        Ok(Self { domain, identity: None, canonicalization, lifetime: None, signed, oversigned })
    }

    /// The recipe with c=.
    #[must_use]
    pub fn with_canonicalization(self, canonicalization: Canonicalization) -> Self {
        Self { canonicalization, ..self }
    }

    /// The recipe with x=, this many seconds after t=.
    #[must_use]
    pub fn with_lifetime(self, lifetime: Option<u64>) -> Self {
        Self { lifetime, ..self }
    }

    /// The recipe with i=.
    ///
    /// # Errors
    ///
    /// The domain of the identity is not within that of the signature.
    pub fn with_identity(self, identity: Identity) -> Result<Self, RecipeError> {
        if !identity.domain().is_within(&self.domain) {
            return Err(RecipeError::Identity(identity));
        }
        Ok(Self { identity: Some(identity), ..self })
    }

    /// The recipe without these names. From stays.
    #[must_use]
    pub fn without(&self, names: &[FieldName]) -> Self {
        let keep = |list: &[FieldName]| {
            let kept = list.iter().filter(|name| name.is("From") || !names.contains(name));
            kept.cloned().collect()
        };
        Self { signed: keep(&self.signed), oversigned: keep(&self.oversigned), ..self.clone() }
    }

    /// The recipe with another d= and without i=.
    #[must_use]
    pub fn of_domain(&self, domain: Domain) -> Self {
        Self { domain, identity: None, ..self.clone() }
    }

    /// d=
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// i=
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// c=
    #[must_use]
    pub fn canonicalization(&self) -> Canonicalization {
        self.canonicalization
    }

    /// h= for a header: each name as often as the field occurs, and each oversigned name one more time, even if the field does
    /// not occur. Then adding such a field breaks the signature (§5.4.2).
    pub fn names<'a>(&'a self, header: &Header) -> Vec<&'a FieldName> {
        let picker = Picker::new(header);
        let mut names = Vec::new();
        for name in &self.signed {
            let count = picker.left(name);
            let more = usize::from(self.oversigned.contains(name));
            names.extend(std::iter::repeat_n(name, count.saturating_add(more)));
        }
        names
    }
}

/// Why a message cannot be signed.
#[derive(Debug)]
pub enum SignError {
    /// The header has no From field. The author of the message causes this error.
    NoFrom,
    /// The body was hashed with another canonicalization than c= names. This is a bug.
    OtherCanonicalization,
    /// The key cannot be used, the system supplied no random bytes, or the signature is wrong. The system causes this error.
    Key(rsa::Error),
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoFrom => "there is no From field to sign",
            Self::OtherCanonicalization => "the body was hashed with another canonicalization",
            Self::Key(_) => "the private-key operation failed",
        })
    }
}

impl error::Error for SignError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        if let Self::Key(error) = self { Some(error) } else { None }
    }
}

impl HashInput {
    /// Signs the text of the algorithm of the key.
    ///
    /// # Errors
    ///
    /// The private-key operation failed.
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, SignError> {
        key.sign(&self.text(key.algorithm())).map_err(SignError::Key)
    }

    /// Whether every verifier takes the text for a signature with this d= and s=. It must end in a single DKIM-Signature field
    /// that names both.
    #[must_use]
    pub fn is_of(&self, domain: &Domain, selector: &Selector) -> bool {
        let names_both = |text: &Vec<u8>| {
            let field = Field::parse(text).ok().filter(|field| field.is(NAME));
            let (d, s) = field.as_ref().map_or((None, None), signer);
            d.as_ref() == Some(domain) && s.as_ref() == Some(selector)
        };
        let is_whole = self.fields.is_empty() || self.fields.ends_with(b"\r\n");
        is_whole && self.signatures.iter().all(names_both)
    }
}

/// Signatures that are complete except for b=.
#[derive(Clone, Debug)]
pub struct Draft {
    texts: [Folded; Algorithm::ALL.len()],
    input: HashInput,
}

impl Draft {
    /// Prepares a signature with the key of a selector, for each algorithm that the key may have.
    ///
    /// # Errors
    ///
    /// The message has no From, or its body was hashed with another canonicalization.
    pub fn new(
        header: &Header,
        body: &BodyHash,
        recipe: &Recipe,
        selector: &Selector,
        now: Timestamp,
    ) -> Result<Self, SignError> {
        if header.count("From") == 0 {
            return Err(SignError::NoFrom);
        }
        if body.canon() != recipe.canonicalization.body {
            return Err(SignError::OtherCanonicalization);
        }
        let names = recipe.names(header);
        let canon = recipe.canonicalization.header;
        let fields = SignedFields::new(canon, header, names.iter().copied());
        let texts = Algorithm::ALL.map(|algorithm| {
            let unsigned = Unsigned {
                algorithm,
                canonicalization: recipe.canonicalization,
                domain: &recipe.domain,
                selector,
                timestamp: now.0,
                expiration: recipe.lifetime.map(|lifetime| now.0.saturating_add(lifetime)),
                identity: recipe.identity.as_ref(),
                signed: &names,
                body_hash: body.bytes(),
            };
            unsigned.write()
        });
        let input = fields.and_each(texts.each_ref().map(Folded::as_bytes));
        Ok(Self { texts, input })
    }

    /// The texts of which the private key signs one.
    #[must_use]
    pub fn input(&self) -> &HashInput {
        &self.input
    }

    /// The field with the signature of this algorithm.
    #[must_use]
    pub fn finish(self, algorithm: Algorithm, signature: &[u8]) -> Signature {
        algorithm.of(self.texts).sign(signature)
    }
}

/// Signs a message.
///
/// # Errors
///
/// See [`SignError`].
pub fn sign(
    header: &Header,
    body: &BodyHash,
    recipe: &Recipe,
    selector: &Selector,
    key: &SigningKey,
    now: Timestamp,
) -> Result<Signature, SignError> {
    let draft = Draft::new(header, body, recipe, selector, now)?;
    let signature = draft.input().sign(key)?;
    Ok(draft.finish(key.algorithm(), &signature))
}

#[cfg(test)]
#[expect(clippy::unwrap_in_result, reason = "a test sets this up")]
mod tests {
    use super::*;
    use crate::dkim::hash::BodyHasher;

    fn names(names: &[&str]) -> Vec<FieldName> {
        names.iter().map(|name| FieldName::parse(name).unwrap()).collect()
    }

    fn recipe(signed: &[&str], oversigned: &[&str]) -> Result<Recipe, RecipeError> {
        Recipe::new(Domain::parse("sample.com").unwrap(), names(signed), names(oversigned))
    }

    #[test]
    fn from_must_be_signed() {
        assert_eq!(recipe(&["Subject"], &[]), Err(RecipeError::NoFrom));
    }

    #[test]
    fn what_does_not_survive_delivery_must_not() {
        for name in ["Bcc", "resent-to", "RETURN-PATH", "Received", "ARC-Seal", "Content-Length"] {
            let unfit = RecipeError::Unfit(FieldName::parse(name).unwrap());
            assert_eq!(recipe(&["From", name], &[]), Err(unfit));
        }
    }

    #[test]
    fn what_is_oversigned_is_signed() {
        let subject = FieldName::parse("Subject").unwrap();
        assert_eq!(recipe(&["From"], &["Subject"]), Err(RecipeError::NotSigned(subject)));
    }

    #[test]
    fn a_name_may_occur_once_in_a_list() {
        let from = FieldName::parse("from").unwrap();
        assert_eq!(recipe(&["From", "from"], &[]), Err(RecipeError::Twice(from)));
    }

    #[test]
    fn the_identity_is_within_the_domain() {
        let recipe = recipe(&["From"], &[]).unwrap();
        let identity = |text| Identity::parse(text).unwrap();
        assert_eq!(recipe.identity(), None);
        let within = recipe.clone().with_identity(identity("@news.sample.com")).unwrap();
        assert_eq!(within.identity(), Some(&identity("@news.sample.com")));
        let other = within.of_domain(Domain::parse("sample.org").unwrap());
        assert_eq!((other.domain().as_str(), other.identity()), ("sample.org", None));
        assert!(recipe.with_identity(identity("@sample.org")).is_err());
    }

    #[test]
    fn each_instance_is_named_and_oversigned_names_one_more_time() {
        let recipe = recipe(&["From", "To", "Cc", "Subject"], &["From", "Cc", "Subject"]).unwrap();
        let header = Header::parse(b"Subject: x\nTo: a\nTo: b\nFrom: c\nSubject: y\n").unwrap();
        let named: Vec<&str> = recipe.names(&header).iter().map(|name| name.as_str()).collect();
        assert_eq!(named, ["From", "From", "To", "To", "Cc", "Subject", "Subject", "Subject"]);
    }

    #[test]
    fn a_text_is_of_the_domain_and_the_selector_that_its_last_field_names() {
        let recipe = recipe(&["From"], &[]).unwrap();
        let selector = Selector::parse("s1").unwrap();
        let header = Header::parse(b"From: a\n").unwrap();
        for header_canon in [Canon::Simple, Canon::Relaxed] {
            let canonicalization = Canonicalization { header: header_canon, body: Canon::Relaxed };
            let recipe = recipe.clone().with_canonicalization(canonicalization);
            let body = BodyHasher::new(Canon::Relaxed).finish();
            let draft = Draft::new(&header, &body, &recipe, &selector, Timestamp(1)).unwrap();
            assert!(draft.input().is_of(recipe.domain(), &selector), "{header_canon:?}");
            let (other, later) = (Domain::parse("other.com"), Selector::parse("s2"));
            assert!(!draft.input().is_of(&other.unwrap(), &selector));
            assert!(!draft.input().is_of(recipe.domain(), &later.unwrap()));
        }
        let is_of = |fields: &[u8], ends: [&str; 2]| {
            let signatures = ends.map(|end| format!("dkim-signature:{end}").into_bytes());
            let input = HashInput { fields: fields.to_vec(), signatures };
            input.is_of(recipe.domain(), &selector)
        };
        let right = "d=sample.com; s=s1; b=";
        assert!(is_of(b"from:a\r\n", [right; 2]) && is_of(b"", [right; 2]));
        assert!(!is_of(b"from:a", [right; 2]), "in the middle of a line");
        for wrong in [
            "d=other.com; s=s1; b=",
            "d=sample.com; d=other.com; s=s1; b=",
            "d=sample.com; s=s1; b=\r\ndkim-signature:d=other.com; s=s1; b=",
            "d=sample.com; s=s1; b=\ndkim-signature:d=other.com; s=s1; b=",
            "s=s1; b=",
            "",
        ] {
            assert!(!is_of(b"", [right, wrong]) && !is_of(b"", [wrong, right]), "{wrong:?}");
        }
    }

    #[test]
    fn names_can_be_left_out_but_from_stays() {
        let both = recipe(&["From", "To"], &["From", "To"]).unwrap();
        let from = recipe(&["From"], &["From"]).unwrap();
        assert_eq!(both.without(&names(&["from", "TO"])), from);
    }
}
