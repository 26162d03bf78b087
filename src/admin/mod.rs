//! `dkimctl`, the administrator's command: a table of subcommands, and what they share. Runs with the
//! rights of whoever calls it.

#![forbid(unsafe_code)]

mod checks;
mod cli;
mod dns;
mod doctor;
mod dry_run;
mod explain;
#[doc(hidden)]
pub mod fuzzing;
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

use std::process::ExitCode;

use cli::{Args, COMMON, Subcommand, rows};
use output::{Failure, say, warn};

use crate::submission::configuration::{FOLDER, VARIABLE};

const COMMANDS: &[&Subcommand] = &[
    &doctor::COMMAND,
    &explain::COMMAND,
    &genkey::COMMAND,
    &import::COMMAND,
    &record::COMMAND,
    &rotate::COMMAND,
    &setup::COMMAND,
    &status::COMMAND,
    &testkey::COMMAND,
    &trial::COMMAND,
    &verify::COMMAND,
];

/// `dkimctl` without a subcommand.
const DKIMCTL: Subcommand = Subcommand {
    name: "",
    usage: "SUBCOMMAND [ARGUMENT...]",
    options: COMMON,
    about: "\
Manage keys, DNS records and configuration of sendmail.dkim(8).

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
    let etc = etc.unwrap_or_else(|| FOLDER.into());
    let mut args = Args::new(&DKIMCTL, etc.into());
    let parsed = args.parse(std::env::args_os().skip(1).collect(), COMMANDS);
    parsed.and_then(|()| run(&args)).unwrap_or_else(|failure| {
        let code = failure.report();
        if failure.is_usage() {
            warn(args.command.synopsis());
        }
        code
    })
}

fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.has("--version") {
        return say(concat!("dkimctl ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    if args.has("--help") {
        let subcommands = COMMANDS.iter().map(|command| (command.name, command.summary()));
        let is_top = args.command.name.is_empty();
        let above = if is_top { format!("{}\n", rows(subcommands)) } else { String::new() };
        return say(&args.command.help(&above));
    }
    (args.command.run)(args)
}
