//! `dkimctl`, the administrator's command: a table of subcommands, and what they share. It has only the permissions of its
//! caller.

#![forbid(unsafe_code)]

mod add;
mod check;
mod checks;
mod cli;
mod disable;
mod dns;
mod doctor;
mod dry_run;
mod enable;
mod explain;
mod filter;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod genkey;
pub mod import;
mod input;
mod keygen;
mod list;
mod log;
mod log_line;
mod look;
mod notify;
mod output;
mod parallel;
mod postconf;
mod program;
mod published;
mod publisher;
mod publishing;
mod record;
mod register;
mod remedies;
mod remove;
mod rotate;
mod setup;
mod signatures;
mod status;
mod store;
mod template;
mod temporary;
mod testkey;
mod trial;
mod use_keys;
mod verify;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use cli::{Args, COMMON, Subcommand};
use output::{Failure, remark, say};

use crate::submission::configuration::{FOLDER, VARIABLE};

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand { options: add::OPTIONS, help: add::HELP, run: add::run },
    Subcommand { options: check::OPTIONS, help: check::HELP, run: check::run },
    Subcommand { options: disable::OPTIONS, help: disable::HELP, run: disable::run },
    Subcommand { options: doctor::OPTIONS, help: doctor::HELP, run: doctor::run },
    Subcommand { options: enable::OPTIONS, help: enable::HELP, run: enable::run },
    Subcommand { options: explain::OPTIONS, help: explain::HELP, run: explain::run },
    Subcommand { options: genkey::OPTIONS, help: genkey::HELP, run: genkey::run },
    Subcommand { options: import::OPTIONS, help: import::HELP, run: import::run },
    Subcommand { options: list::OPTIONS, help: list::HELP, run: list::run },
    Subcommand { options: log::OPTIONS, help: log::HELP, run: log::run },
    Subcommand { options: record::OPTIONS, help: record::HELP, run: record::run },
    Subcommand { options: remove::OPTIONS, help: remove::HELP, run: remove::run },
    Subcommand { options: rotate::OPTIONS, help: rotate::HELP, run: rotate::run },
    Subcommand { options: setup::OPTIONS, help: setup::HELP, run: setup::run },
    Subcommand { options: status::OPTIONS, help: status::HELP, run: status::run },
    Subcommand { options: testkey::OPTIONS, help: testkey::HELP, run: testkey::run },
    Subcommand { options: trial::OPTIONS, help: trial::HELP, run: trial::run },
    Subcommand { options: use_keys::OPTIONS, help: use_keys::HELP, run: use_keys::run },
    Subcommand { options: verify::OPTIONS, help: verify::HELP, run: verify::run },
    Subcommand { options: watch::OPTIONS, help: watch::HELP, run: watch::run },
];

/// `dkimctl` without a subcommand.
const DKIMCTL: &Subcommand = &Subcommand {
    options: COMMON,
    help: "\
usage: dkimctl [OPTION...] SUBCOMMAND [ARGUMENT...]

Manage keys, DNS records and configuration of sendmail.dkim(8).

`dkimctl help SUBCOMMAND` and `dkimctl SUBCOMMAND --help` print the same help.
On a new host: `dkimctl setup`, `dkimctl add DOMAIN`, then `dkimctl enable`.
`dkimctl status` shows what is missing before mail is signed.

The configuration directory is /etc/sendmail-dkim, unless the environment
variable SENDMAIL_DKIM_ETC or --etc names another one.

Exit codes are those of sysexits.h.
",
    run: |_| Err(Failure::usage("no subcommand; see dkimctl --help")),
};

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    #[expect(
        clippy::disallowed_methods,
        reason = "no set-gid program; the administrator's own choice"
    )]
    let etc = std::env::var_os(VARIABLE);
    called(etc.unwrap_or_else(|| FOLDER.into()), std::env::args_os().skip(1).collect())
}

fn called(etc: OsString, words: Vec<OsString>) -> ExitCode {
    let mut args = Args::new(DKIMCTL, etc.into());
    // A line that is wrong before it is the line of a script, too.
    let is_json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let parsed = args.parse(words, SUBCOMMANDS);
    parsed.and_then(|()| run(&args)).unwrap_or_else(|failure| {
        let code = failure.report();
        if failure.is_usage() {
            remark(args.command.synopsis());
        }
        if is_json && let Err(failure) = args.fail(&failure) {
            failure.report();
        }
        code
    })
}

fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.has("--version") {
        return say(concat!("dkimctl ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    if args.has("--help") {
        let is_top = args.command.name().is_empty();
        return say(args.command.help(if is_top { SUBCOMMANDS } else { &[] }));
    }
    (args.command.run)(args)
}
