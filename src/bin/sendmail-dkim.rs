//! The wrapper, installed as `/usr/sbin/sendmail.dkim`.
//!
//! It runs before Rust's own start-up, which would ignore SIGPIPE on behalf of the real sendmail, too, and look
//! through `/proc/self/maps` for the end of the stack: a tenth of what a small message costs. Whatever is used here
//! works there: the C library is set up, and it gives argv to what runs before main.

use std::process::ExitCode;
use std::sync::OnceLock;

use sendmail_dkim::wrapper;

static CODE: OnceLock<ExitCode> = OnceLock::new();

#[cfg(target_env = "gnu")]
ctor_lite::ctor! {
    unsafe fn run() {
        CODE.get_or_init(wrapper::main);
    }
}

/// Where all went well the process is the real sendmail by now. Other C libraries give nobody argv before main.
fn main() -> ExitCode {
    *CODE.get_or_init(wrapper::main)
}
