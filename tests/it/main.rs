//! The promises of the program, one module for each. Those that need a real Postfix, real users and a real set-gid bit run in the
//! sandbox, as root; the others as any user.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on has failed"
)]

mod support;

/// In the sandbox: every command line does the same as without the wrapper.
mod argv_table;
/// In the sandbox: other mail systems than Postfix take what we hand over.
mod backends;
mod bad_input;
/// The arithmetic of `make bench`.
mod bench;
/// In the sandbox: a matrix of real programs that send mail.
mod callers;
/// In the sandbox: no system call is made without a reason.
mod calls;
/// In the sandbox: what dkimctl prints on a terminal.
mod color;
/// No input costs more time than its size accounts for, or more memory than any other.
mod cost;
/// In the sandbox: what a real Postfix did to a signed message is found out.
mod diagnosis;
/// What the administrator's command promises.
mod dkimctl;
/// In the sandbox: what is wrong with a host is found, and nothing else.
mod doctor;
/// In the sandbox: the examples of the manual pages run, and shells complete what they show.
mod examples;
/// What is said of a message is what the wrapper does with it.
mod explain;
/// What is said when something is wrong, and where the mail goes.
mod failure;
/// In the sandbox: every system call fails, and no mail is lost, doubled or damaged.
mod faults;
/// In the sandbox: mail that clients submit by SMTP, and the wrapper as Postfix's content filter.
mod filter;
/// In the sandbox: three hosts and a DNS server, each in namespaces of its own.
mod fleet;
/// Keys are made as opendkim-genkey makes them, as a whole or not at all.
mod genkey;
/// Messages in, messages out: a folder for each case.
mod golden;
/// What the real sendmail gets from the wrapper besides the message.
mod handover;
/// What was OpenDKIM's is signed as before.
mod import;
mod judges;
/// In the sandbox: a key in any form is read, or named with the command that converts it.
mod key_forms;
/// The texts say what the code does, and the modules keep their places.
mod layout;
mod life;
/// In the sandbox: no problem of the log keeps mail from being sent.
mod log;
/// In the sandbox: real programs send, a real Postfix delivers, three verifiers agree.
mod main_job;
/// On fresh hosts: packages come, are chosen, and go without a trace.
mod packaging;
/// In the sandbox: modes that read no message.
mod pass_through;
/// In the sandbox: programs that hand on the mail of others.
mod passing;
/// In the sandbox: our keys, records, messages and verdicts are those of OpenDKIM, dkimpy and `Mail::DKIM`.
mod peers;
/// The wrapper itself is wrong, and no mail is lost.
mod planted;
/// In the sandbox: a caller can use a key and never get it.
mod privilege;
/// In the sandbox: a processor that lacks what the faster crate needs signs by the other one.
mod processor;
/// Every promise of a document has a test that shows it.
mod promises;
/// In the sandbox: the programs of docs/hooks, with stand-ins of the services.
mod publish;
/// In the sandbox: each reason that the log may give, and `on_error` with each.
mod reasons;
/// Records in every form are what servers, tools and services take.
mod record;
/// What the real sendmail finds when it is our child in an SMTP session, and what becomes of us.
mod relay;
/// What a release says of itself holds.
mod release;
/// In the sandbox: who replays a signed message adds no field that a reader acts on.
mod replay;
/// In the sandbox: a key takes the place of another while mail flows, as fast as the DNS lets it.
mod rotate;
/// In the sandbox: the sandbox can tell a bad signature from a good one.
mod sandbox_itself;
/// All that `dkimctl --json` prints is as docs/dkimctl.schema.json describes it, by a validator of its own.
mod schema;
/// In random SMTP sessions, each side sees what it would see without the wrapper.
mod session;
/// Chance makes messages, and a model of Postfix finds nothing to change in what becomes of them.
mod settled;
/// In the sandbox: config.toml is filled from the host, and what is there stays.
mod setup;
/// Several keys and several domains sign one message.
mod several;
/// In the sandbox: SMTP on standard input is the same as without the wrapper, and its messages are signed.
mod smtp;
/// What one page says of the whole host, and what its exit code says.
mod status;
/// In the sandbox: no setting of Postfix and no hop breaks a signature.
mod survive;
/// In the sandbox: what is published is compared with the keys, and mistakes are named.
mod testkey;
/// In the sandbox: what is not signed is not touched.
mod unsigned;
mod updates;
/// In the sandbox: records that go away are reported once.
mod watch;
