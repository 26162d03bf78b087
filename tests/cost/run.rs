//! What is done with an input, by the same pure code as in the wrapper.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use sendmail_dkim::argv::{LoneDot, Mode};
use sendmail_dkim::config::{DomainFile, Host, Signing};
use sendmail_dkim::dkim::tag::TagList;
use sendmail_dkim::dkim::{
    self, BodyHasher, Canon, Claims, Domain, Field, Record, Selector, SigningKey, Timestamp,
};
use sendmail_dkim::message::address::Completion;
use sendmail_dkim::message::author::Author;
use sendmail_dkim::message::date::DateTime;
use sendmail_dkim::message::reader::{Reader, Step};
use sendmail_dkim::message::session::{DataEnd, DotStuffing, Session};
use sendmail_dkim::message::seven_bit::{Rewrite, Survey};
use sendmail_dkim::message::{body, complete};
use sendmail_dkim::policy::{Caller, Candidate, Decision, Policy};
use sendmail_dkim::report::Entry;

use super::generators::Kind;

/// Bytes that are read at a time, as in the wrapper.
const PIECE: usize = 64 << 10;

/// Takes an input through the code it is meant for.
pub(crate) fn run(kind: Kind, input: &[u8]) {
    match kind {
        Kind::Message => message(Reader::new(LoneDot::Ends), input),
        Kind::Data => message(Reader::of_data(), input),
        Kind::Client => client(input),
        Kind::Server => server(input),
        Kind::Host => {
            let text = String::from_utf8_lossy(input);
            drop(Host::parse(&text));
            drop(Host::salvage(&text));
        }
        Kind::Domain => {
            let text = String::from_utf8_lossy(input);
            drop(DomainFile::parse(
                &text,
                Domain::parse("sample.com").ok().as_ref(),
                &Signing::default(),
            ));
        }
        Kind::Argv => {
            let words = input.split(|byte| *byte == b'\n');
            let argv: Vec<OsString> =
                words.map(|word| std::ffi::OsStr::from_bytes(word).to_owned()).collect();
            drop(Mode::parse(&argv));
        }
        Kind::Record => {
            drop(TagList::parse(input));
            drop(Record::parse(input));
        }
        Kind::Signature => signature(input),
        Kind::Log => {
            let text = String::from_utf8_lossy(input);
            let entry = Entry {
                envelope: Some(input),
                message_id: Some(&text),
                author: Some(&text),
                reason: Some(&text),
                ..Entry::default()
            };
            drop(entry.to_string());
        }
    }
}

/// A message that is signed with the key of its author domain.
fn message(mut reader: Reader, input: &[u8]) {
    let mut text = Vec::new();
    let mut pieces = Vec::new();
    for mut rest in input.chunks(PIECE) {
        while !rest.is_empty() {
            let (taken, step) = reader.feed(rest, &mut text);
            rest = rest.get(taken..).unwrap_or_default();
            match step {
                Step::HeaderTooLarge | Step::MessageEnds => break,
                Step::More | Step::HeaderEnds => {}
            }
        }
        pieces.push(std::mem::take(&mut text));
    }
    reader.finish(&mut text);
    pieces.push(text);
    for piece in &mut pieces {
        body::replace_stray_crs(piece);
    }
    sign(&reader, &pieces);
}

fn sign(reader: &Reader, pieces: &[Vec<u8>]) -> Option<()> {
    let completion = Completion {
        origin: Domain::parse("origin.example").ok(),
        dot_domain: Domain::parse("dot.example").ok(),
    };
    let mut header = complete::fields(reader.header())?;
    complete::complete_from(&mut header, &complete::Submitter::default(), &completion);
    let author = Author::of(&header).ok()?;
    let domain = author.domain().clone();
    let candidate = Candidate { domain: Some(domain.clone()), is_parent: false };
    let file = DomainFile::parse("selector = \"s\"", Some(&domain), &Signing::default()).ok()?;
    let policy = Policy { candidate, file, gone: Vec::new() };
    let decision = policy.decide(&author, &header, false, &Caller::default());
    let Ok(Decision::Sign(plan)) = decision else { return None };
    let now = DateTime { seconds: 1_700_000_000, offset: 0 };
    let unstable = complete::complete(&mut header, &completion, now, "1", &domain);
    let mut survey = Survey::new(&header.bytes(), false);
    pieces.iter().for_each(|piece| survey.feed(piece));
    let changes = survey.finish();
    if let Some((encoding, charset)) = changes.of_header() {
        complete::label(&mut header, encoding, charset);
    }
    let mut hasher = BodyHasher::new(Canon::Relaxed);
    let mut simple = BodyHasher::new(Canon::Simple);
    let mut hash = |piece: &[u8]| {
        hasher.update(piece);
        simple.update(piece);
    };
    if changes.keep_body() {
        pieces.iter().for_each(|piece| hash(piece));
    } else {
        let mut rewrite = Rewrite::new(&changes);
        let mut out = Vec::new();
        for piece in pieces {
            rewrite.feed(piece, &mut out);
            hash(&out);
            out.clear();
        }
        rewrite.finish(&mut out);
        hash(&out);
    }
    let unstable: Vec<_> = unstable.into_iter().map(|(name, _)| name).collect();
    let recipe = plan.recipe.without(&unstable);
    let selector = Selector::parse("s").ok()?;
    drop(dkim::sign(&header, &hasher.finish(), &recipe, &selector, &key()?, Timestamp(1)));
    let _hash = simple.finish();
    Some(())
}

fn key() -> Option<SigningKey> {
    SigningKey::from_pem(include_bytes!("../vectors/rfc8463-a-brisbane.private"), 1024).ok()
}

/// A client whose every line is answered at once.
fn client(input: &[u8]) {
    let mut session = Session::default();
    let (mut out, mut text) = (Vec::new(), Vec::new());
    session.server(b"220 x\r\n", &mut out);
    for mut rest in input.chunks(PIECE) {
        while !rest.is_empty() {
            let taken = if session.is_in_data() {
                let (taken, end) = session.data(rest, &mut text);
                if end != DataEnd::NotYet {
                    DotStuffing::default().feed(&text, &mut out);
                    text.clear();
                    session.end_data(end);
                    session.server(b"250 ok\r\n", &mut out);
                }
                taken
            } else if session.is_waiting() {
                session.server(b"354 go on\r\n", &mut out);
                0
            } else {
                // Up to the end of the line, as it is answered before the next one is said.
                let line = rest.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
                let taken = session.client(line, &mut out);
                if line.ends_with(b"\n") && !session.is_waiting() {
                    session.server(b"250 ok\r\n", &mut out);
                }
                taken
            };
            rest = rest.get(taken..).unwrap_or_default();
            out.clear();
        }
    }
}

/// A server that answers EHLO.
fn server(input: &[u8]) {
    let mut session = Session::default();
    let mut out = Vec::new();
    session.client(b"EHLO x\r\n", &mut out);
    for piece in input.chunks(PIECE) {
        out.clear();
        session.server(piece, &mut out);
    }
}

fn signature(value: &[u8]) {
    let text = [b"DKIM-Signature: ".as_slice(), value, b"\n"].concat();
    let Ok(field) = Field::parse(&text) else { return };
    let Ok(claims) = Claims::parse(&field) else { return };
    let Some(key) = key() else { return };
    let header = dkim::Header::parse(b"From: a@x.example\nTo: b@c.example\n").unwrap_or_default();
    let _fits = claims.fits_header(&header, &field, &key.public());
}
