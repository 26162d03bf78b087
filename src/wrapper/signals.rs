//! The signals as the caller left them. The real sendmail gets them unchanged. Only a process that writes to the pipe of another
//! process blocks SIGPIPE.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// Whether this program, and not its caller, has blocked SIGPIPE.
static HELD: AtomicBool = AtomicBool::new(false);

/// Blocks SIGPIPE, so that a write to a pipe without a reader fails with an error. Do not call this if the process may still exec
/// the real sendmail.
pub(crate) fn hold_pipe() {
    let before = SigSet::from(Signal::SIGPIPE).thread_swap_mask(SigmaskHow::SIG_BLOCK);
    if before.is_ok_and(|before| !before.contains(Signal::SIGPIPE)) {
        HELD.store(true, Ordering::Relaxed);
    }
}

/// The signal mask of the caller, for a child.
pub(crate) fn callers_mask() -> SigSet {
    let mut mask = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
    if HELD.load(Ordering::Relaxed) {
        mask.remove(Signal::SIGPIPE);
    }
    mask
}

/// Unblocks a signal, so that it ends this program as it would end the real sendmail.
pub(crate) fn unblock(signal: Signal) {
    if signal == Signal::SIGPIPE && HELD.load(Ordering::Relaxed) {
        // If this fails, the exit code still reports the signal.
        let _: Result<(), Errno> = SigSet::from(signal).thread_unblock();
    }
}
