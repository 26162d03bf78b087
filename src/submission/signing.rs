//! Signs a message whose header is complete.

use std::io;

use memchr::memchr_iter;

use super::error::NotSigned;
use super::intake::{Intake, IntakeError, Source};
use super::spool::{Sealed, Spool};
use crate::dkim::{Algorithm, BodyHash, BodyHasher, Canon, Domain, Draft, HashInput, Header};
use crate::dkim::{Recipe, Selector, Timestamp};
use crate::message::complete;
use crate::message::seven_bit::{Changes, Rewrite, Risk, Survey};
use crate::policy::{Plan, Policy};

/// Signs with keys, in this process or in the one that can open them.
pub(crate) trait Keys {
    /// Signs a message of an author domain with the key of a selector. Returns the algorithm of the key and the signature. The
    /// error is a reason for the log.
    fn sign(
        &mut self,
        author: &Domain,
        place: Place<'_>,
        selector: &Selector,
        input: &HashInput,
    ) -> Result<(Algorithm, Vec<u8>), String>;
}

/// Where the keys of a domain are: the folder below `keys/`, and the smallest number of bits of an RSA key. The process that
/// signs reads both by itself.
pub(crate) type Place<'a> = (&'a str, u32);

/// A domain of `also_sign_as` and the policy of its own file, or why the file cannot be used.
#[derive(Debug)]
pub(super) struct Also {
    pub(super) domain: Domain,
    pub(super) policy: Result<Policy, String>,
}

/// The signatures of a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    /// s= of the signatures by the author domain.
    pub(crate) selectors: Vec<Selector>,
    /// d= and s= of the other signatures.
    pub(crate) also: Vec<(Domain, Selector)>,
    /// Why signatures are missing.
    pub(crate) failed: Vec<String>,
}

/// A message to be signed.
pub(super) struct Job<'a> {
    /// The completed header.
    pub(super) header: Header,
    pub(super) author: &'a Domain,
    pub(super) plan: &'a Plan,
    pub(super) also: &'a [Also],
    pub(super) now: Timestamp,
}

/// A signed message.
pub(crate) struct Signed {
    /// Everything before the body: signatures, header and the empty line.
    head: Vec<u8>,
    /// The body, if it is not the one that was submitted.
    body: Option<Spool>,
    /// The length of head and body, as Postfix counts it.
    length: u64,
    pub(crate) made: Made,
    risk: Risk,
}

impl Job<'_> {
    /// Reads the body, encodes it if a hop would change it, and signs.
    pub(super) fn sign(
        mut self,
        intake: &mut Intake<impl Source>,
        keys: &mut impl Keys,
    ) -> Result<Signed, NotSigned> {
        let canon = self.plan.recipe.canonicalization().body;
        let mut measure = Some(Measure::new(canon));
        let mut ahead = None;
        let mut survey = Survey::new(&self.header.bytes(), !self.plan.seven_bit);
        intake.read_body(|text| {
            survey.feed(text);
            // A body that will be encoded is hashed after encoding.
            if let Some(measure) = measure.take_if(|_| survey.expects_change()) {
                // It is encoded while it is read, if the first bytes show how.
                let encoder = survey.ahead().filter(|_| measure.length == 0);
                ahead = encoder.map(|encoder| (encoder, Encoded::new(canon)));
            }
            if let Some(measure) = &mut measure {
                measure.add(text);
            }
            if let Some((encoder, encoded)) = &mut ahead
                && encoded.add(|out| encoder.feed(text, out)).is_err()
            {
                // The body is read and encoded again later, which returns the error if there still is no room.
                ahead = None;
            }
        })?;
        let changes = survey.finish();
        if let Some((encoding, charset)) = changes.of_header() {
            complete::label(&mut self.header, encoding, charset);
        }
        let ahead = ahead.filter(|(encoder, _)| changes.keep_ahead(encoder));
        let (measure, body) = match (measure, ahead) {
            (Some(measure), _) if changes.keep_body() => Ok((measure, None)),
            (_, Some((mut encoder, encoded))) => encoded.end(|out| encoder.finish(out)),
            _ => reread(intake, &changes, canon),
        }
        .map_err(IntakeError::Keep)?;
        let (made, head) = self.head(&measure.hasher.finish(), keys)?;
        let length = measure.length.saturating_add(length_in_queue(&head));
        // With the setting off, the administrator has accepted the risk.
        let risk = if self.plan.seven_bit { changes.risk } else { Risk::None };
        Ok(Signed { head, body, length, made, risk })
    }

    /// The signatures, the header and the empty line. If one key fails, the others still sign. But a domain of `also_sign_as`
    /// never signs alone.
    fn head(&self, hash: &BodyHash, keys: &mut impl Keys) -> Result<(Made, Vec<u8>), NotSigned> {
        let plan = self.plan;
        let (mut made, mut head) = (Made::default(), Vec::new());
        let own = (plan.folder.as_str(), plan.minimum_key_bits);
        let by = Parameters { recipe: &plan.recipe, place: own, selectors: &plan.selectors };
        made.selectors = self.signatures(hash, &by, keys, &mut made.failed, &mut head)?;
        if made.selectors.is_empty() {
            return Err(NotSigned::Failed(made.failed.join("; ")));
        }
        for Also { domain, policy } in self.also {
            let policy = match policy {
                Ok(policy) => policy,
                Err(why) => {
                    note(&mut made.failed, format!("also_sign_as {domain}: {why}"));
                    continue;
                }
            };
            // The same fields as in the signatures by the author domain.
            let recipe = plan.recipe.of_domain(domain.clone());
            let place = (policy.folder(), policy.file.signing.minimum_key_bits);
            let by = Parameters { recipe: &recipe, place, selectors: &policy.file.selectors };
            let selectors = self.signatures(hash, &by, keys, &mut made.failed, &mut head)?;
            made.also.extend(selectors.into_iter().map(|selector| (domain.clone(), selector)));
        }
        if plan.strict_selectors && !made.failed.is_empty() {
            return Err(NotSigned::Failed(made.failed.join("; ")));
        }
        self.header.write_to(&mut head);
        head.push(b'\n');
        Ok((made, head))
    }

    /// Appends the signatures of one domain to `head`, and a reason to `failed` for each key that cannot sign. Returns the
    /// selectors that signed.
    fn signatures(
        &self,
        hash: &BodyHash,
        by: &Parameters<'_>,
        keys: &mut impl Keys,
        failed: &mut Vec<String>,
        head: &mut Vec<u8>,
    ) -> Result<Vec<Selector>, NotSigned> {
        let mut signed = Vec::new();
        for selector in by.selectors {
            let draft = Draft::new(&self.header, hash, by.recipe, selector, self.now)
                .map_err(NotSigned::because)?;
            match keys.sign(self.author, by.place, selector, draft.input()) {
                Ok((algorithm, signature)) => {
                    head.extend_from_slice(draft.finish(algorithm, &signature).as_bytes());
                    signed.push(selector.clone());
                }
                Err(why) => note(failed, why),
            }
        }
        Ok(signed)
    }
}

/// What the signatures of one domain need.
struct Parameters<'a> {
    recipe: &'a Recipe,
    place: Place<'a>,
    selectors: &'a [Selector],
}

/// Adds a reason unless it is there: the process that signs may fail in the same way for all keys.
fn note(failed: &mut Vec<String>, why: String) {
    if !failed.contains(&why) {
        failed.push(why);
    }
}

/// Reads the body again and encodes it.
fn reread(
    intake: &mut Intake<impl Source>,
    changes: &Changes,
    canon: Canon,
) -> io::Result<(Measure, Option<Spool>)> {
    if changes.keep_body() {
        let mut measure = Measure::new(canon);
        intake.reread_body(|_, text| {
            measure.add(text);
            Ok(())
        })?;
        return Ok((measure, None));
    }
    let mut rewrite = Rewrite::new(changes);
    let mut encoded = Encoded::new(canon);
    intake.reread_body(|_, bytes| encoded.add(|out| rewrite.feed(bytes, out)))?;
    encoded.end(|out| rewrite.finish(out))
}

/// A body that is encoded piece by piece. The same bytes are hashed and stored.
struct Encoded {
    measure: Measure,
    body: Spool,
    text: Vec<u8>,
}

impl Encoded {
    fn new(canon: Canon) -> Self {
        Self { measure: Measure::new(canon), body: Spool::new(), text: Vec::new() }
    }

    /// Adds what `write` appends.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        write(&mut self.text);
        self.measure.add(&self.text);
        self.body.append(&self.text)?;
        self.text.clear();
        Ok(())
    }

    fn end(mut self, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<(Measure, Option<Spool>)> {
        self.add(write)?;
        Ok((self.measure, Some(self.body)))
    }
}

/// The hash of a body, and its length as Postfix counts it.
struct Measure {
    hasher: BodyHasher,
    length: u64,
}

impl Measure {
    fn new(canon: Canon) -> Self {
        Self { hasher: BodyHasher::new(canon), length: 0 }
    }

    fn add(&mut self, text: &[u8]) {
        self.hasher.update(text);
        self.length = self.length.saturating_add(length_in_queue(text));
    }
}

/// The length of a text as Postfix counts it: each line has up to two more bytes in the queue file (measured with Postfix 3.7).
fn length_in_queue(text: &[u8]) -> u64 {
    let lines = memchr_iter(b'\n', text).count() as u64;
    (text.len() as u64).saturating_add(lines.saturating_mul(2))
}

/// Room for the envelope and for the Received field that the real sendmail adds, in bytes.
const ENVELOPE: u64 = 2048;

impl Signed {
    /// Whether signing makes the message larger than `limit`.
    pub(super) fn exceeds(&self, limit: u64, intake: &Intake<impl Source>) -> bool {
        intake.kept() <= limit && self.length.saturating_add(ENVELOPE) > limit
    }

    /// A remark for the log about keys that could not sign, and about a signature that may break.
    pub(crate) fn remark(&self) -> Option<String> {
        let risk = match self.risk {
            Risk::None => None,
            Risk::May => Some("a signed or encrypted part may be altered in transit"),
            Risk::Will => Some(
                "a line of more than 998 bytes will be broken in transit, and the signature with it",
            ),
        };
        let remarks: Vec<&str> = self.made.failed.iter().map(String::as_str).chain(risk).collect();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }

    /// The message for the real sendmail.
    pub(crate) fn seal(self, intake: &mut Intake<impl Source>) -> Result<Sealed, IntakeError> {
        let Some(mut body) = self.body else { return intake.seal_signed(&self.head) };
        let sealed = body.len().and_then(|length| body.seal_with(&self.head, 0, length));
        sealed.map_err(IntakeError::Keep)
    }

    /// Passes the message to `put`, in lines that end in LF.
    pub(crate) fn write<S: Source>(
        &self,
        intake: &mut Intake<S>,
        mut put: impl FnMut(&mut S, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        put(intake.source(), &self.head)?;
        match &self.body {
            Some(body) => body.read(|text| put(intake.source(), text)),
            None => intake.reread_body(put),
        }
    }
}
