//! The signal dispositions that the caller left us: Rust's start-up ignores SIGPIPE, and the real
//! sendmail must find it as it was.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

static PIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// Bit of SIGPIPE (13) in the masks of proc(5).
const SIGPIPE: u64 = 1 << 12;

// Before main, and before Rust's own start-up: afterwards nobody knows any more.
ctor_lite::ctor! {
    unsafe fn note() {
        PIPE_WAS_IGNORED.store(pipe_is_ignored(), Ordering::Relaxed);
    }
}

/// Without proc(5), as in some chroots, the ordinary case is taken.
fn pipe_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim_ascii(), 16).ok())
        .is_some_and(|mask| mask & SIGPIPE != 0)
}

/// Puts SIGPIPE back; to be called just before exec.
pub(crate) fn restore() {
    if !PIPE_WAS_IGNORED.load(Ordering::Relaxed) {
        sigpipe::reset();
    }
}

/// What a child needs to have put back.
pub(crate) fn to_restore() -> SigSet {
    let mut signals = SigSet::empty();
    if !PIPE_WAS_IGNORED.load(Ordering::Relaxed) {
        signals.add(Signal::SIGPIPE);
    }
    signals
}
