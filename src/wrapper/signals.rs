//! The signals as the caller left them. Nothing is changed on the way to the real sendmail; only who has to write to
//! pipes of others holds SIGPIPE back.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Held back by us, not by the caller.
static HELD: AtomicBool = AtomicBool::new(false);

/// From here on a write to a pipe that nobody reads fails, and ends nobody. Not to be called where the real sendmail
/// may still be what this process becomes.
pub(crate) fn hold_pipe() {
    let before = pipe().thread_swap_mask(SigmaskHow::SIG_BLOCK);
    if before.is_ok_and(|before| !before.contains(Signal::SIGPIPE)) {
        HELD.store(true, Ordering::Relaxed);
    }
}

/// Does something that may raise a signal as well as return an error. The signal is blocked, and removed if it was raised.
pub(crate) fn without<T>(signal: Signal, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut set = SigSet::empty();
    set.add(signal);
    let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let result = act();
    if result.is_err() {
        // The signal waits; it must not be there when it is unblocked, here or after exec.
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let _: Result<_, Errno> = signals.read_signal();
    }
    before.thread_set_mask()?;
    result
}

/// The mask that the caller left, for a child.
pub(crate) fn callers_mask() -> SigSet {
    let mut mask = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
    if HELD.load(Ordering::Relaxed) {
        mask.remove(Signal::SIGPIPE);
    }
    mask
}

/// So that a signal that is raised ends us as it would end the real sendmail.
pub(crate) fn let_go(signal: Signal) {
    if signal == Signal::SIGPIPE && HELD.load(Ordering::Relaxed) {
        // Where that does not work the exit code says it.
        let _: Result<(), Errno> = pipe().thread_unblock();
    }
}

fn pipe() -> SigSet {
    let mut pipe = SigSet::empty();
    pipe.add(Signal::SIGPIPE);
    pipe
}
