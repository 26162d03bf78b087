//! No input costs more than so much for each byte of it. An input of the fuzzer is a form: what a text begins with, a unit
//! that is repeated, and what it ends with, with a byte 0xfe between them. Counted are the basic blocks that are
//! entered, of this program and all crates in it: the same each time, and about four instructions each.
#![no_main]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use generators::Kind;
use libfuzzer_sys::{Corpus, fuzz_target};

#[path = "../../cost/generators.rs"]
#[allow(dead_code)]
mod generators;
#[path = "../../cost/run.rs"]
mod run;

static BLOCKS: AtomicU64 = AtomicU64::new(0);

/// Called at each basic block (`-sanitizer-coverage-trace-pc`).
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_trace_pc() {
    // One thread: no need for one atomic operation instead of two.
    BLOCKS.store(BLOCKS.load(Relaxed).wrapping_add(1), Relaxed);
}

/// Bytes of the text. What costs the square of that costs as much for each byte.
const SIZE: usize = 16 << 10;

/// Blocks for each byte. The most that was seen is 680, for an input like seeds/cost/completed: a From field in which each word
/// becomes an address, at 2 KB as at 16. What costs the square enters thousands.
const MOST: u64 = 1_000;

/// Blocks for a text of no bytes: the key, and the signing with it.
const NONE: u64 = 2_000_000;

const KINDS: [Kind; 10] = [
    Kind::Message,
    Kind::Data,
    Kind::Client,
    Kind::Server,
    Kind::Host,
    Kind::Domain,
    Kind::Argv,
    Kind::Record,
    Kind::Signature,
    Kind::Log,
];

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((kind, form)) = input.split_first() else { return Corpus::Reject };
    let mut parts = form.splitn(3, |byte| *byte == 0xfe);
    let (Some(before), Some(unit)) = (parts.next(), parts.next()) else { return Corpus::Reject };
    if unit.is_empty() {
        return Corpus::Reject;
    }
    let kind = KINDS[usize::from(kind.wrapping_sub(b'A')) % KINDS.len()];
    let behind = parts.next().unwrap_or_default();
    let text = [before, &unit.repeat(SIZE / unit.len() + 1), behind].concat();
    let blocks = BLOCKS.load(Relaxed);
    run::run(kind, &text);
    let blocks = BLOCKS.load(Relaxed) - blocks;
    if std::env::var_os("COST").is_some() {
        eprintln!("{kind:?} {} a byte", blocks / text.len() as u64);
    }
    assert!(blocks <= NONE + MOST * text.len() as u64, "{kind:?}: {blocks} for {}", text.len());
    Corpus::Keep
});
