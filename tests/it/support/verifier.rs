//! The three verifiers inside a sandbox. Each is started once and then asked about one file after another, since an interpreter
//! takes longer to start than to verify a message.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Stdio};

use serde_json::Value;

use super::{Sandbox, Tied};

/// A running script of `tests/it/sandbox`: it reads paths, and prints a line of JSON for each.
#[derive(Debug)]
pub(crate) struct Verifier {
    name: &'static str,
    paths: ChildStdin,
    verdicts: BufReader<ChildStdout>,
    _process: Tied,
}

impl Verifier {
    pub(crate) fn all(sandbox: &Sandbox) -> Vec<Self> {
        let start = |name| {
            let mut command = sandbox.command("root", &format!("/opt/sandbox/verify-{name}"));
            let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let paths = process.stdin.take().unwrap();
            let verdicts = BufReader::new(process.stdout.take().unwrap());
            Self { name, paths, verdicts, _process: Tied(process) }
        };
        ["dkimpy.py", "maildkim.pl", "opendkim.py"].map(start).into()
    }
}

/// What each says of each file, by verifier.
pub(crate) fn ask(verifiers: &mut [Verifier], paths: &[&str]) -> Vec<Value> {
    let mut verdicts = vec![Vec::new(); verifiers.len()];
    // So few fit into a pipe: each verifier gets its paths while others have yet to be read.
    for some in paths.chunks(100) {
        for verifier in &mut *verifiers {
            verifier.paths.write_all((some.join("\n") + "\n").as_bytes()).unwrap();
        }
        for (verifier, verdicts) in verifiers.iter_mut().zip(&mut verdicts) {
            for path in some {
                let mut line = String::new();
                verifier.verdicts.read_line(&mut line).unwrap();
                let verdict: Value = serde_json::from_str(&line)
                    .unwrap_or_else(|error| panic!("{} {path}: {error}: {line}", verifier.name));
                assert_eq!(verdict["file"], **path, "{}", verifier.name);
                verdicts.push(verdict);
            }
        }
    }
    verdicts.concat()
}
