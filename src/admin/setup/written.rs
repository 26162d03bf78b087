//! config.toml as `setup` leaves it.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::editing::{Editing, Outcome};
use crate::admin::checks::finding::remarks;
use crate::admin::cli::Args;
use crate::admin::output::{Failure, diff};
use crate::admin::store::{Readers, Store};

/// Writes the file and prints the result.
pub(super) fn finish(args: &Args, file: &Editing) -> Result<ExitCode, Failure> {
    if file.get("sendmail").is_none() {
        return Err(Failure::missing("there is no sendmail but the wrapper; install Postfix"));
    }
    file.check()?;
    let (path, before) = (&file.path, file.before.as_deref().unwrap_or_default());
    let (is_dry, notes) = (args.has("--dry-run"), &file.notes);
    if !is_dry && file.text != before {
        Store::create(&args.etc)?.replace(path, &file.text, Readers::All)?;
    }
    let mut text = if is_dry {
        let name = path.display().to_string();
        diff((&name, before), (&name, &file.text))
    } else {
        let set = file.outcomes.iter().filter(|outcome| outcome.set);
        let lines: String = set.map(Outcome::toml).collect();
        let done = if lines.is_empty() { " nothing to change" } else { "" };
        // Scripts request one part at each run, and usually there is nothing to change.
        if lines.is_empty() && args.has("--sendmail") {
            String::new()
        } else {
            format!("# {}:{done}\n{lines}", path.display())
        }
    };
    for note in notes {
        text.push_str(&format!("note: {note}\n"));
    }
    let shown = Shown { file: path, dry_run: is_dry, keys: &file.outcomes };
    args.report(&shown, &remarks("note", notes), text)
}

#[derive(Serialize)]
struct Shown<'a> {
    file: &'a Path,
    dry_run: bool,
    keys: &'a [Outcome],
}
