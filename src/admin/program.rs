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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_an_error_with_what_it_said() {
        let sh = |script: &str| output("/bin/sh", &["-c", script]);
        assert_eq!(sh("echo a; echo b >&2"), Ok("a\n".to_owned()));
        assert_eq!(
            sh("echo a; echo b >&2; exit 3").unwrap_err(),
            "/bin/sh -c echo a; echo b >&2; exit 3 failed: b"
        );
        assert!(sh("kill -9 $$").is_err());
        let missing = output("/nowhere", &["x"]).unwrap_err();
        assert_eq!(missing, "cannot run /nowhere x: no such file or directory");
    }
}
