//! cost: takes each generated input through the code it is meant for, in three sizes: none, n and 4n. What that
//! costs is counted from outside, by `tests/cost/count`: a call of [`mark`] comes before and after each.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program of the tests"
)]

#[expect(dead_code, reason = "some of it is for the test alone")]
mod generators;
mod run;

use std::hint::black_box;

use generators::ALL;

/// Sizes in units of a generator's own.
const SIZES: [usize; 3] = [0, 1, 4];

/// Here the instructions since the last call are written down.
#[inline(never)]
fn mark() {
    black_box(());
}

fn main() {
    // One alone, by its name, to be looked at with a profiler.
    let only = std::env::args().nth(1);
    for generator in ALL.iter().filter(|one| only.as_deref().is_none_or(|only| one.name == only)) {
        println!("{}", generator.name);
        for size in SIZES {
            let input = generator.text(size * generator.size);
            mark();
            run::run(generator.kind, black_box(&input));
            mark();
        }
    }
}
