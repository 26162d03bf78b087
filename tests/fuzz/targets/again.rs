//! Done again, it changes nothing.
#![no_main]

#[allow(dead_code)] // the tests use more of it
#[path = "../../it/settled/model.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some(once) = model::sent(input) else { return };
    if let Some(again) = once.again() {
        assert!(again.text() == once.text());
    }
});
