//! Runs another program to its end.

use std::process::{Command, Stdio};

use crate::report::plain;

/// The standard output of a program. An error has the program, its arguments and the reason, or what it wrote to standard error.
pub(super) fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let called = [&[program], args].concat().join(" ");
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run {called}: {}", plain(&error)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{called} failed: {}", said.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
