//! Done again, it changes nothing.
#![no_main]

#[expect(dead_code, reason = "the other target uses the rest")]
#[path = "../../it/settled/model.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((header, body, _)) = model::sent(input) else { return };
    let again = [header.octets().as_slice(), b"\n", &body].concat();
    if let Some((header_again, body_again, _)) = model::sent(&again) {
        assert!(header_again.octets() == header.octets() && body_again == body);
    }
});
