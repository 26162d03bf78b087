use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::process::Command;

use crate::support::{Stage, project, stdout};

fn text(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The value of a key of the first table of Cargo.toml.
fn manifest(key: &str) -> String {
    let text = text("Cargo.toml");
    let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

/// The number after the 1 of a version of Rust; `1` and nothing mean any.
fn minor(version: &str) -> u32 {
    version.split('.').nth(1).map_or(0, |minor| minor.parse().unwrap())
}

/// The newest feature of the language that the project's own code uses: let chains, of Rust 1.88. What it uses of the
/// standard library, clippy compares with `rust-version`.
const OWN: u32 = 88;

#[test]
fn rust_version_is_what_the_neediest_crate_and_the_code_itself_need() {
    let args =
        "metadata --locked --offline --format-version 1 --filter-platform x86_64-unknown-linux-gnu";
    let args: Vec<&str> = args.split(' ').collect();
    let metadata: serde_json::Value = serde_json::from_str(&printed(env!("CARGO"), &args)).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let floors: HashMap<&str, &str> = packages
        .map(|one| (one["id"].as_str().unwrap(), one["rust_version"].as_str().unwrap_or("1")))
        .collect();
    let root = metadata["resolve"]["root"].as_str().unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap().iter();
    // Those of the tests, too: a distribution runs them where it builds.
    let needed = nodes.map(|node| node["id"].as_str().unwrap()).filter(|id| *id != root);
    let needed: Vec<(u32, &str)> = needed.map(|id| (minor(floors[id]), id)).collect();
    assert!(needed.len() > 50, "{needed:?}");
    let (floor, neediest) = needed.into_iter().max().unwrap();
    assert_eq!(
        minor(&manifest("rust-version")),
        floor.max(OWN),
        "rust-version of Cargo.toml; the crate that needs the newest is {neediest}"
    );
}

#[test]
fn every_mention_of_a_rust_version_matches_cargo_toml() {
    let version = manifest("rust-version");
    for (path, form) in [
        ("README.md", "A Rust toolchain (@ or later)"),
        ("docs/platforms.md", "The source needs Rust @."),
    ] {
        let wanted = form.replace('@', &version);
        assert!(text(path).contains(&wanted), "{path} does not say {wanted:?}");
    }
}

fn contact(argument: &str, contact: &str) -> (bool, String) {
    let mut command = Command::new(project("packaging/contact"));
    let output = command.arg(argument).env("CONTACT", contact).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_release_names_a_maintainer_and_a_tracker_that_can_be_reached() {
    for refused in [
        "",
        "Jane Doe <jane@debian.org>",
        "https://salsa.debian.org/jane/project",
        "Jane Doe https://salsa.debian.org/jane/project",
        "Jane Doe <jane@debian> https://salsa.debian.org/jane/project",
        "Jane Doe <jane@packages.invalid> https://salsa.debian.org/jane/project",
        "Jane Doe <jane@debian.org> https://tracker.example.com/issues",
        "Jane Doe <jane@debian.org> https://localhost:8080/issues",
        "Jane Doe <jane@debian.org> ftp://salsa.debian.org/jane",
    ] {
        assert!(!contact("check", refused).0, "accepted: {refused}");
    }
    let accepted = "Jane Doe <jane@debian.org> https://salsa.debian.org/jane/project";
    assert!(contact("check", accepted).0);
    assert_eq!(contact("name", accepted).1, "Jane Doe <jane@debian.org>\n");
    assert_eq!(contact("url", accepted).1, "https://salsa.debian.org/jane/project\n");
    let mut dist = Command::new(project("packaging/dist"));
    let folder = std::env::temp_dir().join("sendmail-dkim-no-release");
    let output = dist.arg("0.0.0").arg(&folder).env_remove("CONTACT").output().unwrap();
    assert!(!output.status.success() && !folder.exists());
    assert!(String::from_utf8_lossy(&output.stderr).contains("CONTACT='Name"), "{output:?}");
}

#[test]
fn a_release_has_its_tracker_where_the_source_has_none() {
    let folder = std::env::temp_dir().join(format!("sendmail-dkim-source-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let read = |contact: &str| {
        let mut source = Command::new(project("packaging/source"));
        assert!(source.arg("1").arg(&folder).env("CONTACT", contact).status().unwrap().success());
        let mut tar = Command::new("tar");
        tar.arg("-xzOf")
            .arg(folder.join("sendmail-dkim-1.tar.gz"))
            .arg("sendmail-dkim-1/SECURITY.md");
        String::from_utf8(tar.output().unwrap().stdout).unwrap()
    };
    let without = read("");
    assert_eq!(without, text("SECURITY.md"));
    let tracker = "https://salsa.debian.org/jane/project";
    let with = read(&format!("Jane Doe <jane@debian.org> {tracker}"));
    fs::remove_dir_all(&folder).unwrap();
    assert!(!without.contains("https://") && with.contains(tracker), "{with}");
}

#[test]
fn presets_only_enable_services_of_this_project() {
    let preset = text("packaging/systemd/80-sendmail-dkim.preset");
    let enabled: Vec<&str> =
        preset.lines().filter_map(|line| line.strip_prefix("enable ")).collect();
    assert_eq!(enabled, ["sendmail.dkim.service"]);
}

/// What a command prints.
fn printed(program: &str, args: &[&str]) -> String {
    stdout(&Command::new(program).args(args).current_dir(project("")).output().unwrap())
}

#[test]
fn the_spec_names_each_crate_that_is_linked_in_and_its_license() {
    let stage = Stage::new();
    stage.write("bill", &printed("packaging/sbom.py", &[]));
    let bill = stage.path("bill").display().to_string();
    let spec = printed("packaging/rpm/crates.py", &[&bill, "packaging/rpm/sendmail-dkim.spec.in"]);
    let license = spec.lines().find_map(|line| line.strip_prefix("License:")).unwrap();
    let args =
        "tree --locked --offline --edges normal,no-proc-macro --prefix none --no-dedupe --format";
    let args: Vec<&str> = args.split(' ').chain(["{p}|{l}"]).collect();
    let tree = printed(env!("CARGO"), &args);
    // The first line is this package.
    let crates: BTreeSet<&str> = tree.lines().skip(1).collect();
    assert!(crates.len() > 50, "{crates:?}");
    for one in crates {
        let (package, terms) = one.split_once('|').unwrap();
        let (name, version) = package.split_once(" v").unwrap();
        let version = version.replace(['+', '-'], "~");
        let line = format!("Provides:       bundled(crate({name})) = {version}\n");
        assert!(spec.contains(&line), "{one}");
        let names = |text: &str| -> Vec<String> {
            let words = text.split([' ', '/', '(', ')']);
            words
                .filter(|word| !["", "OR", "AND", "WITH"].contains(word))
                .map(str::to_owned)
                .collect()
        };
        let known = names(license);
        assert!(names(terms).iter().all(|term| known.contains(term)), "{one}: {license}");
    }
}
