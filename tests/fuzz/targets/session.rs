//! For any client, any pieces and any replies of a server: each side sees what it would see without the wrapper, except for the
//! messages that are replaced.
#![no_main]

#[path = "../../it/session/model.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let (chance, script) = input.split_at(input.len().min(16));
    if let Err(why) = model::judge(chance, script) {
        panic!("{why}");
    }
});
