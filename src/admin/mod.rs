//! `dkimctl`, the administrator's command: a table of subcommands, and what they share. Runs with the
//! rights of whoever calls it.

#![forbid(unsafe_code)]

mod checks;
mod dns;
mod doctor;
mod dry_run;
mod explain;
mod genkey;
pub mod import;
mod input;
mod output;
mod postconf;
mod published;
mod record;
mod rotate;
mod setup;
mod signatures;
mod status;
mod store;
mod testkey;
mod trial;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg, Parser};

use output::{Failure, say};

/// One subcommand.
struct Subcommand {
    name: &'static str,
    /// Its `--help`, the line on its use first.
    help: &'static str,
    run: fn(Args) -> Result<ExitCode, Failure>,
}

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand { name: "doctor", help: doctor::HELP, run: doctor::run },
    Subcommand { name: "explain", help: explain::HELP, run: explain::run },
    Subcommand { name: "genkey", help: genkey::HELP, run: genkey::run },
    Subcommand { name: "import", help: import::HELP, run: import::run },
    Subcommand { name: "record", help: record::HELP, run: record::run },
    Subcommand { name: "rotate", help: rotate::HELP, run: rotate::run },
    Subcommand { name: "setup", help: setup::HELP, run: setup::run },
    Subcommand { name: "status", help: status::HELP, run: status::run },
    Subcommand { name: "testkey", help: testkey::HELP, run: testkey::run },
    Subcommand { name: "try", help: trial::HELP, run: trial::run },
    Subcommand { name: "verify", help: verify::HELP, run: verify::run },
];

/// What stands before the subcommand, and the arguments behind it.
struct Args {
    etc: PathBuf,
    parser: Parser,
}

const HELP: &str = "\
usage: dkimctl [--etc DIR] SUBCOMMAND [ARGUMENT...]

Keys, records and checks for sendmail.dkim(8).

  doctor  find what would break signatures or lose mail on this host
  explain say what the wrapper would do with a message, and why
  genkey  make a key for a domain, and show the DNS record to publish
  import  make domain files and keys of an OpenDKIM set-up
  record  show the DNS records to publish, in the form that a service wants
  rotate  replace keys, one stage after the other, as fast as the DNS lets it
  setup   fill config.toml from the host
  status  show the keys, and how far their rotation is
  testkey compare the published records with the keys
  try     sign a message with a throw-away key, and show what comes out
  verify  verify the signatures of a message

  --etc DIR  the configuration folder (default: /etc/sendmail-dkim, or what
             SENDMAIL_DKIM_ETC says)
  --help     this text; after a subcommand, that of the subcommand
  --version  the version

Exit codes are those of sysexits.h.
";

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).collect()) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(args: Vec<OsString>) -> Result<ExitCode, Failure> {
    let mut parser = Parser::from_args(args);
    let mut etc = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("etc") => etc = Some(PathBuf::from(parser.value()?)),
            Arg::Long("help") | Arg::Short('h') => return say(HELP),
            Arg::Long("version") | Arg::Short('V') => {
                return say(concat!("dkimctl ", env!("CARGO_PKG_VERSION"), "\n"));
            }
            Arg::Value(name) => return subcommand(&name, etc, parser),
            Arg::Long(_) | Arg::Short(_) => return Err(arg.unexpected().into()),
        }
    }
    Err(Failure::usage("no subcommand; see dkimctl --help"))
}

fn subcommand(name: &OsString, etc: Option<PathBuf>, parser: Parser) -> Result<ExitCode, Failure> {
    let found = SUBCOMMANDS.iter().find(|subcommand| name == subcommand.name);
    let Some(found) = found else {
        return Err(Failure::usage(format!("no subcommand {name:?}; see dkimctl --help")));
    };
    let mut ahead = parser.clone();
    if let Ok(rest) = ahead.raw_args()
        && rest.as_slice().iter().any(|arg| arg == "--help")
    {
        return say(found.help);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "no set-gid program; the administrator's own choice"
    )]
    let named = || std::env::var_os(crate::submission::configuration::VARIABLE).map(PathBuf::from);
    let etc = etc
        .or_else(named)
        .unwrap_or_else(|| PathBuf::from(crate::submission::configuration::FOLDER));
    (found.run)(Args { etc, parser })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_subcommand() {
        for subcommand in SUBCOMMANDS {
            assert!(HELP.contains(&format!("\n  {}", subcommand.name)), "{}", subcommand.name);
            let usage = format!("usage: dkimctl {}", subcommand.name);
            assert!(subcommand.help.starts_with(&usage), "{}", subcommand.name);
        }
    }
}
