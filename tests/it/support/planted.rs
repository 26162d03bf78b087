//! The wrapper built from a copy of the source with faults planted in it, for tests of what happens when the program itself is
//! wrong. The shipped program has no hook for that.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{cargo, project, stdout};

/// A function in whose first line a fault is planted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plant {
    /// The name by which the environment variable `PLANT` switches the fault on.
    pub(crate) name: &'static str,
    /// Below `src`.
    pub(crate) file: &'static str,
    /// How the function begins, behind what it is found.
    pub(crate) function: &'static [&'static str],
}

/// One build at a time: they share the folder of the dependencies.
static BUILD: Mutex<()> = Mutex::new(());

/// Builds the wrapper so that with `PLANT=NAME` in its environment the function of that plant panics.
pub(crate) fn panicking(plants: &[Plant]) -> PathBuf {
    let lock = BUILD.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    let source = folder.join("source");
    copy(&project("src"), &source.join("src"), &|path, text| {
        plants.iter().filter(|plant| path.ends_with(plant.file)).fold(text, |text, plant| {
            let at = plant.function.iter().chain(&["{\n"]).fold(0, |at, words| {
                let found = text.split_at(at).1.find(words).unwrap_or_else(|| panic!("{plant:?}"));
                at + found + words.len()
            });
            let (before, after) = text.split_at(at);
            let hook = format!(
                "#[allow(clippy::all)]\nif std::env::var_os(\"PLANT\").is_some_and(|name| name == {:?}) \
                 {{ panic!(\"planted\") }}\n",
                plant.name
            );
            format!("{before}{hook}{after}")
        })
    });
    for name in ["Cargo.toml", "Cargo.lock", "packaging/build.rs"] {
        copy(&project(name), &source.join(name), &|_, text| text);
    }
    let built = cargo()
        .args(["build", "--quiet", "--locked", "--offline", "--no-default-features"])
        .args(["--bin", "sendmail-dkim", "--target-dir"])
        .arg(folder.join("target"))
        .current_dir(&source)
        .output();
    stdout(&built.unwrap());
    drop(lock);
    folder.join("target/debug/sendmail-dkim")
}

/// Copies a file, or a folder with all that is in it. What is the same is not written again, so that it is not built again.
fn copy(from: &Path, to: &Path, change: &dyn Fn(&Path, String) -> String) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name), change);
        }
        return;
    }
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let text = change(from, fs::read_to_string(from).unwrap());
    if fs::read_to_string(to).is_ok_and(|is| is == text) {
        return;
    }
    fs::write(to, text).unwrap();
}
