//! Header and body in both canonical forms are those of another implementation.
#![no_main]

use sendmail_dkim::dkim::Canon;
use sendmail_dkim::dkim::canon::Body;
use sendmail_dkim_fuzz::{crlf, message, pieces};
use viadkim::canonicalize::{BodyCanonicalizer, canonicalize_header};
use viadkim::header::FieldBody;
use viadkim::signature::CanonicalizationAlgorithm as Peer;

fn peers_body(peer: Peer, pieces: &[&[u8]]) -> Vec<u8> {
    let mut body = BodyCanonicalizer::new(peer);
    let mut bytes = Vec::new();
    pieces.iter().for_each(|piece| bytes.extend_from_slice(&body.canonicalize_chunk(piece)));
    bytes.extend_from_slice(&body.finish());
    bytes
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((header, body)) = message(input) else { return };
    for (canon, peer) in [(Canon::Simple, Peer::Simple), (Canon::Relaxed, Peer::Relaxed)] {
        let mut ours = Vec::new();
        let mut hashed = Body::new(canon);
        let mut sink = |piece: &[u8]| ours.extend_from_slice(piece);
        pieces(body).iter().for_each(|piece| hashed.update(piece, &mut sink));
        hashed.finish(&mut sink);
        assert_eq!(ours, peers_body(peer, &pieces(&crlf(body))), "{canon} body");
        for field in header.fields() {
            let bytes = crlf(field.bytes());
            let bytes = bytes.strip_suffix(b"\r\n").expect("a field ends a line");
            let (name, value) =
                bytes.split_at(bytes.iter().position(|byte| *byte == b':').expect("a colon"));
            // The peer accepts no space before the colon, and no empty line in a field.
            if name != field.name() || FieldBody::new(&value[1..]).is_err() {
                continue;
            }
            let mut theirs = Vec::new();
            let name = std::str::from_utf8(name).expect("ASCII");
            canonicalize_header(&mut theirs, peer, name, &value[1..]);
            let mut ours = Vec::new();
            canon.field(field.bytes(), |piece| ours.extend_from_slice(piece));
            assert_eq!(ours, theirs, "{canon} {name}");
        }
    }
});
