//! `dkimctl`, the administrator's command.
fn main() -> std::process::ExitCode {
    sendmail_dkim::admin::main()
}
