//! A whole OpenDKIM configuration on disk, with any files, is imported as `dkimctl import` does it: nothing but the new tree
//! changes, all that is written can be read by the wrapper, and a second import finds nothing to do.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use sendmail_dkim::admin::fuzzing::dkimctl;
use sendmail_dkim::config::{DomainFile, Signing};
use sendmail_dkim::dkim::{Domain, Record, SigningKey};

unsafe extern "C" {
    fn dup2(from: i32, to: i32) -> i32;
}

/// A folder of this run, below which `old` and `etc` are four folders deep.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    // What is imported is printed each time.
    let null = fs::File::options().write(true).open("/dev/null").expect("/dev/null");
    // SAFETY: both are open.
    unsafe { dup2(std::os::fd::AsRawFd::as_raw_fd(&null), 1) };
    let root = std::env::temp_dir().join(format!("sendmail-dkim-fuzz.{}", std::process::id()));
    drop(fs::remove_dir_all(&root));
    root
});

const PEM: &str = include_str!("../../vectors/rfc8463-a-brisbane.private");

/// The files below a folder with what they hold. Nothing of the name `new` is looked into.
fn files(folder: &Path, new: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path == new {
            continue;
        }
        if path.is_dir() {
            all.extend(files(&path, new));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap_or_default());
        }
    }
    all
}

/// Writes the files that follow a line `@ /PATH` each. `/etc` is the old tree, a line `PEM` a key.
fn write(text: &str, old: &Path) {
    let mut path = old.join("opendkim.conf");
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    for line in text.split_inclusive('\n') {
        if let Some(name) = line.strip_prefix("@ /etc/") {
            let parts = name.trim_end().split('/');
            path = parts
                .filter(|part| !matches!(*part, "" | "." | ".."))
                .fold(old.to_owned(), |path, part| path.join(part));
            continue;
        }
        let line = line.replace("/etc/", &format!("{}/", old.display()));
        let file = files.entry(path.clone()).or_default();
        file.push_str(if line.trim_end() == "PEM" { PEM } else { &line });
    }
    for (path, text) in files {
        // A file in the place of a folder, or a name that can be none.
        if path.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok()) {
            drop(fs::write(path, text));
        }
    }
}

/// All that is in the new tree is what the wrapper reads.
fn check(etc: &Path) {
    for (path, text) in files(etc, Path::new("")) {
        let below = path.strip_prefix(etc).expect("within");
        let parts: Vec<&str> = below.iter().map(|part| part.to_str().expect("UTF-8")).collect();
        match parts.as_slice() {
            ["config.toml" | "clients.cidr" | "clients.regexp"] => {}
            ["domains", name] => {
                let name = name.strip_suffix(".toml").expect("a domain file");
                let domain = (name != "default").then(|| Domain::parse(name).expect("a domain"));
                let text = std::str::from_utf8(&text).expect("UTF-8");
                DomainFile::parse(text, domain.as_ref(), &Signing::default()).expect(text);
            }
            ["keys", folder, name] => {
                assert!(*folder == "default" || Domain::parse(folder).is_ok(), "{folder}");
                if name.ends_with(".private") {
                    SigningKey::from_pem(&text, 1024).expect("a key");
                } else {
                    assert!(name.ends_with(".txt"), "{name}");
                    Record::parse(&Record::text_in(&text)).expect("a record");
                }
            }
            [name] if name.starts_with('.') => {}
            _ => panic!("{}", path.display()),
        }
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let within = ROOT.join("a/b/c");
    let (old, etc) = (within.join("old"), within.join("etc"));
    for folder in [&old, &etc] {
        drop(fs::remove_dir_all(folder));
        fs::create_dir_all(folder).expect("a folder");
    }
    write(&text, &old);
    fs::write(etc.join("config.toml"), "sendmail = \"/bin/true\"\n").expect("a file");
    let before = files(&ROOT, &etc);
    let import = || {
        let conf = old.join("opendkim.conf");
        let args = ["--etc".into(), etc.clone().into(), "import".into(), conf.into()];
        format!("{:?}", dkimctl(args.to_vec()))
    };
    let first = import();
    assert_eq!(files(&ROOT, &etc), before);
    check(&etc);
    let written = files(&etc, Path::new(""));
    assert_eq!(import(), first);
    assert_eq!(files(&etc, Path::new("")), written);
});
