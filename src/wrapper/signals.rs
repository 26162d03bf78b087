//! The signals as the caller left them. Nothing is changed on the way to the real sendmail, but a process that writes to the
//! pipe of another one blocks SIGPIPE.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// SIGPIPE is blocked by this program, not by its caller.
static HELD: AtomicBool = AtomicBool::new(false);

/// Blocks SIGPIPE: from here on a write to a pipe without a reader fails. Not to be called where this process may still become
/// the real sendmail.
pub(crate) fn hold_pipe() {
    let before = SigSet::from(Signal::SIGPIPE).thread_swap_mask(SigmaskHow::SIG_BLOCK);
    if before.is_ok_and(|before| !before.contains(Signal::SIGPIPE)) {
        HELD.store(true, Ordering::Relaxed);
    }
}

/// The mask that the caller left, for a child.
pub(crate) fn callers_mask() -> SigSet {
    let mut mask = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
    if HELD.load(Ordering::Relaxed) {
        mask.remove(Signal::SIGPIPE);
    }
    mask
}

/// Unblocks a signal, so that raising it ends this program as it would end the real sendmail.
pub(crate) fn let_go(signal: Signal) {
    if signal == Signal::SIGPIPE && HELD.load(Ordering::Relaxed) {
        // The exit code reports the signal, too.
        let _: Result<(), Errno> = SigSet::from(signal).thread_unblock();
    }
}
