//! `dkimctl setup --publish`: how records get into DNS.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use toml_edit::{Array, Value};

use super::editing::Editing;
use super::host::Host;
use super::written::finish;
use crate::admin::cli::Args;
use crate::admin::input;
use crate::admin::output::Failure;
use crate::admin::store::Store;

pub(super) fn run(args: &Args, way: &str) -> Result<ExitCode, Failure> {
    let (key, server) = (args.path("--tsig-key"), args.text("--server")?);
    let is_update = way == "nsupdate";
    if !is_update && (key.is_some() || server.is_some()) {
        return Err(Failure::usage("--tsig-key and --server are for --publish nsupdate"));
    }
    let words: Vec<&str> = way.split_whitespace().collect();
    let publish = match words.as_slice() {
        ["off"] => None,
        ["nsupdate"] => Some(Value::from("nsupdate")),
        [program, ..] if program.starts_with('/') => {
            runnable(Path::new(program))?;
            Some(Value::Array(words.iter().copied().collect::<Array>()))
        }
        _ => {
            return Err(Failure::usage(format_args!(
                "--publish {way:?}: expected nsupdate, off, or the absolute path of a program and its arguments"
            )));
        }
    };
    if is_update && !in_path("nsupdate") {
        return Err(Failure::missing(
            "there is no nsupdate: install bind9-dnsutils (Debian) or bind-utils (Enterprise Linux)",
        ));
    }
    let mut notes = Vec::new();
    let key = key.map(|key| usable_key(key, &mut notes)).transpose()?;
    if !args.has("--dry-run") {
        Store::refuse_others(&args.etc)?;
    }
    let mut file = Editing::open(&args.etc)?;
    if file.before.is_none() {
        file.settle_sendmail(&Host::ask());
    }
    file.settle_one("publish", publish, true);
    file.settle_one("nsupdate_key", key.map(Value::from), true);
    file.settle_one("nsupdate_server", server.map(Value::from), true);
    file.notes.append(&mut notes);
    finish(args, &file)
}

/// The absolute path of a key for nsupdate, which only root should read.
fn usable_key(path: &Path, notes: &mut Vec<String>) -> Result<String, Failure> {
    let failed = |error| Failure::reading(path, &error);
    let path = fs::canonicalize(path).map_err(failed)?;
    let failed = |error| Failure::reading(&path, &error);
    drop(input::read(&path, input::CONFIGURATION).map_err(failed)?);
    let mode = fs::metadata(&path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        notes.push(format!(
            "other users may read the key, and so change the zone: chmod 600 {}",
            path.display()
        ));
    }
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::usage(format_args!("--tsig-key {path:?}: not UTF-8 text")))
}

fn runnable(path: &Path) -> Result<(), Failure> {
    let found = fs::metadata(path).map_err(|error| Failure::reading(path, &error))?;
    let is_program = found.is_file() && found.permissions().mode() & 0o111 != 0;
    let not = || Failure::data(format_args!("{path:?} is not an executable file"));
    if is_program { Ok(()) } else { Err(not()) }
}

/// Whether a program is in a directory where root and the timer find it.
fn in_path(name: &str) -> bool {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().any(|folder| runnable(&Path::new(folder).join(name)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::temporary::Temporary;

    #[test]
    fn a_key_that_others_may_read_is_reported() {
        let folder = Temporary::new("setup-publish").unwrap();
        let path = folder.path.join("key");
        fs::write(&path, "").unwrap();
        for (mode, expected) in [(0o600, 0), (0o640, 1), (0o604, 1)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let mut notes = Vec::new();
            let found = usable_key(&path, &mut notes).unwrap();
            assert_eq!(notes.len(), expected, "{mode:o}: {notes:?}");
            // Also if it was named by a link, or from the directory of the caller.
            assert_eq!(Path::new(&found), path.canonicalize().unwrap());
        }
        let missing = usable_key(&folder.path.join("none"), &mut Vec::new());
        assert_eq!(missing.map_err(|failure| failure.code), Err(66));
    }
}
