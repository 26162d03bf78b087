//! The wrapper, installed as `/usr/sbin/sendmail.dkim`.
//!
//! The C library calls this `main` like the `main` of a C program. Rust's own start-up code does not run: it would ignore
//! SIGPIPE, also for the real sendmail, and search `/proc/self/maps` for the end of the stack, which is a tenth of the cost of a
//! small message.
#![no_main]

use std::ffi::{CStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStringExt as _;

use sendmail_dkim::wrapper::{self, Call};

/// Called by the C library with the arguments and the environment of execve(2).
#[expect(unsafe_code, reason = "the C library looks for this name and passes pointers")]
#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) -> c_int {
    let argc = usize::try_from(argc).unwrap_or_default();
    let text = |list: *const *const c_char, index: usize| {
        // SAFETY: the C library passes two arrays of pointers, each ended by a null pointer, to texts that end in a NUL
        // byte; all of them live as long as the process. No index is read after that of the null pointer, and of `argv` none
        // from `argc` on. Nothing has changed the environment yet, and there is one thread.
        unsafe {
            let text = *list.add(index);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_owned())
        }
    };
    let argv = (0..argc).map_while(|index| text(argv, index));
    let argv = argv.map(|text| OsString::from_vec(text.into_bytes())).collect();
    let environment = (0..).map_while(|index| text(envp, index)).collect();
    c_int::from(wrapper::main(&Call { argv, environment }).0)
}
