//! For any bytes, the message that is sent has nothing left to change in transit.
#![no_main]

#[allow(dead_code)] // the tests use more of it
#[path = "../../it/settled/model.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some(sent) = model::sent(input) {
        assert_eq!(model::changed_on_the_way(&sent), None);
    }
});
