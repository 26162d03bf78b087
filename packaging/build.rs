//! How the wrapper is linked. It runs once for each message, so the cost of the dynamic loader matters.

#![expect(clippy::disallowed_methods, reason = "cargo speaks by the environment")]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=packaging/build.rs");
    let is = |variable: &str, value| env::var(variable).is_ok_and(|found| found == value);
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && !is_static {
        // Link GCC's unwinder statically: one shared library fewer to load.
        // Since GCC 14 the unwinder needs `__tls_get_addr` of the dynamic loader, which `-lc` adds.
        for argument in ["-Wl,--whole-archive", "-lgcc_eh", "-Wl,--no-whole-archive", "-lc"] {
            println!("cargo::rustc-link-arg-bin=sendmail-dkim={argument}");
        }
    }
}
