//! Runs the script that registers sendmail.dkim with alternatives(8).

use std::path::PathBuf;
use std::process::Command;

use nix::unistd::geteuid;

use super::output::Failure;
use crate::report::plain;

/// Where the script is: in the same installation as this program, else in the usual places.
const PLACES: [&str; 2] =
    ["/usr/libexec/sendmail-dkim/register", "/usr/local/libexec/sendmail-dkim/register"];

/// Runs it with these arguments, and returns its output.
///
/// # Errors
/// The caller is not root, the script does not exist, or it fails.
pub(super) fn register(args: &[&str]) -> Result<String, Failure> {
    if !geteuid().is_root() {
        return Err(Failure::permission("only root can change the active sendmail"));
    }
    let own = std::env::current_exe().ok();
    let own =
        own.and_then(|own| Some(own.parent()?.parent()?.join("libexec/sendmail-dkim/register")));
    let mut places = own.into_iter().chain(PLACES.map(PathBuf::from));
    let script = places.find(|path| path.is_file()).ok_or_else(|| {
        let [usual, _] = PLACES;
        Failure::system(format_args!(
            "{usual} does not exist; install the package, or run make install"
        ))
    })?;
    let failed = |why: &str| Failure::system(format_args!("{} failed: {why}", script.display()));
    let output = Command::new(&script).args(args).output();
    let output = output.map_err(|error| failed(&plain(&error)))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(said) } else { Err(failed(said.trim())) }
}
