//! The wrapper, installed as `/usr/sbin/sendmail.dkim`.
fn main() {}
