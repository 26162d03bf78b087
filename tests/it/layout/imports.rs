//! Which file of `src` imports which other one.
//!
//! What counts as an import: a path in a `use`, or in the code itself, that begins with `crate::`, `super::`, `self::` or the name
//! of a module that the file declares. It is an import of the file that defines the name: a `pub use` is followed, and is itself
//! no import, so that a `mod.rs` may list what its modules offer. To declare a module is no import of it; tests do not count.
//! A module that imports from its parent, of which the parent imports something, too, makes a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::{code, sources};
use crate::support::project;

/// The segments of a path.
type Path = Vec<String>;

#[derive(Default)]
struct Module {
    file: String,
    /// The names of the modules that it declares.
    children: BTreeSet<String>,
    imports: Vec<Path>,
    /// `pub use`: from the name to its path.
    exports: BTreeMap<String, Path>,
}

/// The files, and what they import.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// All modules by their path in the crate.
type Modules = BTreeMap<Path, Module>;

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

fn segments(path: &str) -> Path {
    path.split("::").map(|segment| segment.trim().to_owned()).collect()
}

/// The paths of a `use`, without its braces.
fn flattened(tree: &str) -> Vec<Path> {
    let tree = tree.trim();
    let Some((prefix, group)) = tree.split_once('{') else {
        let (path, _) = tree.split_once(" as ").unwrap_or((tree, ""));
        return if path.is_empty() { Vec::new() } else { vec![segments(path)] };
    };
    let group = group.strip_suffix('}').unwrap();
    let (mut depth, mut items) = (0, vec![String::new()]);
    for char in group.chars() {
        match char {
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        items.last_mut().unwrap().push(char);
    }
    let prefix = prefix.trim().trim_end_matches("::");
    let prefix = if prefix.is_empty() { Vec::new() } else { segments(prefix) };
    let inner = items.iter().flat_map(|item| flattened(item));
    inner.map(|path| [prefix.clone(), path].concat()).collect()
}

/// Takes the `use` declarations out of a text: whether each is public, and its tree.
fn uses(text: &mut String) -> Vec<(bool, String)> {
    let (mut rest, mut found) = (String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let begin = line.trim_start();
        let is_public = begin.starts_with("pub");
        let Some((before, tree)) = begin.split_once("use ") else {
            rest.push_str(&format!("{line}\n"));
            continue;
        };
        if !before.is_empty() && !is_public {
            rest.push_str(&format!("{line}\n"));
            continue;
        }
        let mut tree = tree.to_owned();
        while !tree.ends_with(';') {
            tree.push_str(lines.next().unwrap().trim());
        }
        found.push((is_public, tree.trim_end_matches(';').to_owned()));
    }
    *text = rest;
    found
}

/// The paths in code that begin with one of these words.
#[expect(clippy::string_slice, reason = "the places are those of ASCII characters")]
fn paths(text: &str, starts: &BTreeSet<String>) -> Vec<Path> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("::") {
        let before = text[..at].trim_end_matches(is_word);
        let start = &text[before.len()..at];
        if starts.contains(start) && !before.ends_with("::") && !before.ends_with("(in ") {
            let rest = &text[before.len()..];
            let end = rest.find(|char| !is_word(char) && char != ':').unwrap_or(rest.len());
            found.push(segments(rest[..end].trim_end_matches(':')));
        }
    }
    found
}

fn modules() -> Modules {
    let src = project("src");
    let mut modules = Modules::new();
    for path in sources(&src) {
        let file = path.strip_prefix(&src).unwrap().display().to_string();
        if file.starts_with("bin/") || file.contains("tests") {
            continue;
        }
        let lines = code(&path);
        let lines = lines.lines().map(|line| line.split("//").next().unwrap());
        let mut text: String = lines.map(|line| format!("{line}\n")).collect();
        let mut module = Module::default();
        for line in text.lines() {
            let name = line.trim().strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
            module.children.extend(name.map(|(_, name)| name.to_owned()));
        }
        for (is_public, tree) in uses(&mut text) {
            for path in flattened(&tree) {
                if is_public {
                    module.exports.insert(path.last().unwrap().clone(), path);
                } else {
                    module.imports.push(path);
                }
            }
        }
        let mut starts = module.children.clone();
        starts.extend(["crate", "super", "self"].map(str::to_owned));
        module.imports.extend(paths(&text, &starts));
        let name = file.trim_end_matches(".rs").trim_end_matches("mod").trim_end_matches('/');
        let name = if name == "lib" { Vec::new() } else { segments(&name.replace('/', "::")) };
        module.file = file;
        modules.insert(name, module);
    }
    modules
}

/// The file that defines what a path in a module names. `None`: it is of another crate.
fn file_of(modules: &Modules, from: &Path, path: &Path) -> Option<String> {
    let (mut at, mut rest) = (from.clone(), path.as_slice());
    match rest.first()?.as_str() {
        "crate" => at.clear(),
        "self" => {}
        "super" => drop(at.pop()),
        child if modules[from].children.contains(child) => at.push(child.to_owned()),
        _ => return None,
    }
    rest = &rest[1..];
    while let [first, after @ ..] = rest {
        let child = [at.clone(), vec![first.clone()]].concat();
        if first == "super" {
            at.pop();
        } else if modules.contains_key(&child) {
            at = child;
        } else {
            let exported =
                modules[&at].exports.get(first).filter(|path| path.last() == Some(first));
            let other = exported.and_then(|path| file_of(modules, &at, path));
            return Some(other.unwrap_or_else(|| modules[&at].file.clone()));
        }
        rest = after;
    }
    Some(modules[&at].file.clone())
}

/// The files that a file imports, and those that these import.
fn reached<'a>(imports: &'a Imports, file: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![file];
    while let Some(file) = next.pop() {
        next.extend(
            imports[file].iter().map(String::as_str).filter(|other| reached.insert(*other)),
        );
    }
    reached
}

/// The imports that are part of a circle.
fn circles(imports: &Imports) -> Vec<(&str, &str)> {
    let pairs =
        imports.iter().flat_map(|(file, others)| others.iter().map(move |other| (file, other)));
    let back = pairs.filter(|(file, other)| reached(imports, other).contains(file.as_str()));
    back.map(|(file, other)| (file.as_str(), other.as_str())).collect()
}

fn imports() -> Imports {
    let modules = modules();
    let of = |(name, module): (&Path, &Module)| {
        let others = module.imports.iter().filter_map(|path| file_of(&modules, name, path));
        (module.file.clone(), others.filter(|other| *other != module.file).collect())
    };
    modules.iter().map(of).collect()
}

#[test]
fn files_do_not_import_each_other_in_a_circle() {
    let imports = imports();
    // They are found at all.
    assert!(imports["wrapper/smtp/relay.rs"].contains("wrapper/child.rs"), "{imports:?}");
    assert!(imports["submission/mod.rs"].contains("submission/signing.rs"), "{imports:?}");
    // By a `pub use`, from a path in the code, and from a group.
    assert!(imports["submission/mod.rs"].contains("dkim/header.rs"), "{imports:?}");
    assert!(imports["wrapper/mod.rs"].contains("wrapper/child.rs"), "{imports:?}");
    assert!(imports["wrapper/mod.rs"].contains("submission/error.rs"), "{imports:?}");
    assert_eq!(circles(&imports), []);
}

#[test]
fn a_circle_is_found() {
    let graph = |pairs: &[(&str, &str)]| {
        let mut graph = Imports::new();
        for (from, to) in pairs {
            graph.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            graph.entry((*to).to_owned()).or_default();
        }
        graph
    };
    assert!(circles(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    let found = graph(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("d", "e")]);
    assert_eq!(circles(&found), [("b", "c"), ("c", "d"), ("d", "b")]);
}

#[test]
fn what_signs_a_message_has_no_privilege_and_starts_no_process() {
    let src = project("src");
    for path in sources(&src.join("submission")) {
        let text = code(&path);
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for word in ["wrapper", "admin", "process::Command", "exec", "fork", "spawn", "unistd::set"]
        {
            let named: Vec<_> = lines.iter().filter(|line| line.contains(word)).collect();
            assert!(named.is_empty(), "{} names {word}: {named:?}", path.display());
        }
    }
}

#[test]
fn nothing_below_dkimctl_depends_on_a_feature() {
    let src = project("src");
    for path in sources(&src) {
        let place = path.strip_prefix(&src).unwrap().display().to_string();
        let is_above = place.starts_with("admin/") || place == "lib.rs";
        assert!(is_above || !code(&path).contains("cfg(feature"), "{place}");
    }
}
