//! The wrapper, installed as `/usr/sbin/sendmail.dkim`.
fn main() -> std::process::ExitCode {
    sendmail_dkim::wrapper::main()
}
