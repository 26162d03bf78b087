//! Signatures as viadkim makes and verifies them. It shares no code with this project.

use std::future::{Ready, ready};
use std::io;
use std::sync::{Arc, LazyLock};

use sendmail_dkim::dkim::Header;
use sendmail_dkim_fuzz::crlf;
use tokio::runtime::{Builder, Runtime};
use viadkim::header::{FieldBody, FieldName, HeaderFields};
use viadkim::verifier::{Config, LookupTxt};
use viadkim::{VerificationStatus, Verifier};

/// It looks up several records at once, which takes a runtime.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// The record of each selector.
type Records = dyn Fn(&str) -> Vec<u8> + Send + Sync;

#[derive(Clone)]
struct Zone(Arc<Records>);

impl LookupTxt for Zone {
    type Answer = [io::Result<Vec<u8>>; 1];
    type Query<'a> = Ready<io::Result<Self::Answer>>;

    fn lookup_txt(&self, name: &str) -> Self::Query<'_> {
        let selector = name.split_once("._domainkey.").map_or("", |(selector, _)| selector);
        ready(Ok([Ok((self.0)(selector))]))
    }
}

/// The fields of a header. None: it has a form that the peer does not take, such as a space before a colon.
pub(crate) fn fields(header: &Header) -> Option<HeaderFields> {
    let fields = header.fields().iter().map(|field| {
        let name = FieldName::new(std::str::from_utf8(field.name()).ok()?).ok()?;
        let bytes = crlf(field.bytes());
        let bytes = bytes.strip_suffix(b"\r\n").unwrap_or(&bytes);
        let colon = bytes.iter().position(|byte| *byte == b':')?;
        // A space before the colon is part of neither, and the simple form of a header has it.
        (colon == field.name().len()).then_some(())?;
        Some((name, FieldBody::new(&bytes[colon + 1..]).ok()?))
    });
    HeaderFields::new(fields.collect::<Option<Vec<_>>>()?).ok()
}

/// What became of each signature, from the top downwards.
pub(crate) fn verify(
    fields: &HeaderFields,
    body: &[u8],
    records: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> Vec<VerificationStatus> {
    let config = Config {
        max_signatures: usize::MAX,
        headers_forbidden_to_be_unsigned: Vec::new(),
        // Whether a signature has expired is a question of the clock alone.
        allow_expired: true,
        allow_timestamp_in_future: true,
        ..Config::default()
    };
    let zone = Zone(Arc::new(records));
    let verifier = RUNTIME.block_on(Verifier::verify_header(&zone, fields, &config));
    let Some(mut verifier) = verifier else { return Vec::new() };
    let _ = verifier.process_body_chunk(&crlf(body));
    verifier.finish().into_iter().map(|result| result.status).collect()
}
