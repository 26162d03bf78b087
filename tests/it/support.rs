//! What the tests stand on: the sandbox with a real Postfix (root only), and a stage for tests that
//! need no more than the wrapper and a stand-in for the real sendmail.

mod attack;
mod mail;
mod planted;
mod sandbox;
mod stage;
mod verifier;

pub(crate) use attack::{
    Attacks, Observed, User, assert_no_secret, logged, secrets, signing_domains,
};
pub(crate) use mail::Mail;
pub(crate) use planted::{Plant, panicking};
pub(crate) use sandbox::{Received, Sandbox, assert_root, built};
pub(crate) use stage::Stage;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// Below the crate's folder.
pub(crate) fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The cargo that runs these tests, without `RUSTC_BOOTSTRAP`: `tests/runner` sets the variable for `TIMES=1`, and with it cargo
/// would build everything again.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.env_remove("RUSTC_BOOTSTRAP");
    cargo
}

/// `dkimctl` with the folder `new` of a stage for its configuration.
pub(crate) fn dkimctl(stage: &Stage, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    command.arg("--etc").arg(stage.path("new")).args(args);
    command.env_remove("SENDMAIL_DKIM_ETC").output().unwrap()
}

/// Runs a command to its end with `input` on its stdin.
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdin = child.stdin.take();
    std::thread::scope(|scope| {
        // In parallel with reading: an SMTP session answers before it is over. A program may end before it has read all.
        scope.spawn(|| drop(stdin.map(|mut stdin| stdin.write_all(input))));
        child.wait_with_output().expect("the output of a child")
    })
}

/// Copies a program that is executed next. Not by this process: a child that another thread starts meanwhile has the copy open for
/// writing until it executes its own program, and what is open for writing cannot be executed.
pub(crate) fn copy_program(from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) {
    stdout(&Command::new("cp").arg(from).arg(to).output().unwrap());
}

/// Stdout of a command that must succeed.
pub(crate) fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What `dkimctl --json` printed: `result` and `findings`.
pub(crate) fn reported(printed: impl AsRef<[u8]>) -> (Value, Vec<Value>) {
    let printed = printed.as_ref();
    let mut all: Value = serde_json::from_slice(printed)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(printed)));
    assert_eq!(all["version"], 1, "{all}");
    let findings = all["findings"].as_array().unwrap_or_else(|| panic!("{all}")).clone();
    (all["result"].take(), findings)
}

/// The `result` of what `dkimctl --json` printed.
pub(crate) fn result(printed: impl AsRef<[u8]>) -> Value {
    reported(printed).0
}

/// What a command said on stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where a sample of one in `stride` begins: another place for each commit, and the same each time for one.
pub(crate) fn sample(stride: usize) -> usize {
    let git = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(project("")).output();
    let commit = git.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let text = commit.unwrap_or_else(|| std::fs::read(project("Cargo.lock")).unwrap());
    let sum = text
        .iter()
        .fold(0_u64, |sum, byte| sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(*byte)));
    usize::try_from(sum % u64::try_from(stride).unwrap()).unwrap()
}

/// A child that dies with its owner.
#[derive(Debug)]
pub(crate) struct Tied(pub(crate) Child);

impl Drop for Tied {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
