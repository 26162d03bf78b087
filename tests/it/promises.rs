//! Every promise that a document makes has a test that shows it: `tests/promises.md` has them in a table, and each attack in
//! the threat model names its tests itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sendmail_dkim::config::{DomainFile, Host, Signing};
use sendmail_dkim::dkim::SigningKey;

use crate::support::{Stage, dkimctl, project, stdout};

/// A sentence with one of these promises something.
const WORDS: [&str; 15] = [
    "never",
    "nothing",
    "exits with",
    "exit code",
    "byte for byte",
    "byte for byte",
    "not signed",
    "left alone",
    "is an error",
    "refused",
    "only root",
    "no mail",
    "default is",
    "wipes",
    "keeps",
];

/// Where sentences are looked at; of the threat model, all rows of attacks.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "docs/operations.md",
    "docs/migration.md",
    "docs/smtp.md",
    "packaging/man/sendmail.dkim.8",
    "packaging/man/dkimctl.8",
    "packaging/man/sendmail-dkim.toml.5",
];
const THREATS: &str = "docs/threat-model.md";

fn read(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap()
}

fn is_promise(sentence: &str) -> bool {
    let lower = format!(" {} ", sentence.to_lowercase().replace(['.', ',', ':', ';', '('], " "));
    WORDS.iter().any(|word| lower.contains(&format!(" {word} ")))
}

/// The promises of a page in Markdown: the points of its first list, and the sentences of its prose that promise something.
fn of_markdown(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for paragraph in text.split("\n\n") {
        let is_prose = !paragraph.starts_with([' ', '#', '|', '-', '[']);
        for point in paragraph.split("\n* ").filter(|_| is_prose) {
            let point_of_list =
                point.strip_prefix("* ").or(paragraph.starts_with("* ").then_some(point));
            let words =
                point_of_list.unwrap_or(point).split_whitespace().collect::<Vec<_>>().join(" ");
            if point_of_list.is_some_and(|point| point.starts_with("**")) {
                found.push(words);
                continue;
            }
            let sentences = words.split_inclusive(". ").map(str::trim);
            found.extend(sentences.filter(|one| is_promise(one)).map(str::to_owned));
        }
    }
    found
}

/// The promises of a page in mdoc(7): there a sentence ends with its line.
fn of_manual(text: &str) -> Vec<String> {
    let (mut found, mut sentence, mut item) = (Vec::new(), String::new(), String::new());
    for line in text.lines() {
        let mut words = line.split(' ');
        let first = words.next().unwrap_or_default();
        if let Some(name) = line.strip_prefix(".It ") {
            item = name.split(' ').find(|word| word.len() > 2).unwrap_or(name).to_owned();
        }
        if [".It", ".Pp", ".Ss", ".Sh", ".Bl", ".El", ".Bd", ".Ed", ".Op", ".Dd", ".Dt"]
            .contains(&first)
        {
            sentence.clear();
            continue;
        }
        let is_macro = |word: &str| {
            word.len() == 2
                && word.starts_with(char::is_uppercase)
                && word.ends_with(char::is_lowercase)
        };
        let text = line.strip_prefix('.').map_or_else(
            || line.to_owned(),
            |rest| rest.split(' ').filter(|word| !is_macro(word)).collect::<Vec<_>>().join(" "),
        );
        sentence.push_str(&format!(" {text}"));
        if text.trim_end().ends_with('.') {
            let words =
                sentence.split_whitespace().collect::<Vec<_>>().join(" ").replace(" .", ".");
            // A default is that of the item above.
            let words =
                if words.starts_with("The default") { format!("{item}: {words}") } else { words };
            found.extend(is_promise(&words).then_some(words));
            sentence.clear();
        }
    }
    found
}

fn promises(document: &str) -> Vec<String> {
    let text = read(document);
    let found = if document.ends_with(".md") { of_markdown(&text) } else { of_manual(&text) };
    found.into_iter().map(|promise| promise.replace('|', "/")).collect()
}

/// The rows of a table in Markdown whose last column is `shown by`: the others, and the names of tests.
fn rows(text: &str) -> Vec<(String, Vec<String>)> {
    let mut rows = Vec::new();
    let mut is_of_tests = false;
    for line in text.lines() {
        let Some(row) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) else {
            is_of_tests &= line.starts_with("|--");
            continue;
        };
        let (before, last) = row.rsplit_once(" | ").unwrap();
        if last == "shown by" {
            is_of_tests = true;
        } else if is_of_tests {
            let names = last.split('`').skip(1).step_by(2).filter(|name| name.contains("::"));
            let tests = names.map(str::to_owned).collect();
            rows.push((before.to_owned(), tests));
        }
    }
    rows
}

/// Whether there is a test of that name: `module::test` below `tests/it`, or `src/path.rs::test`.
fn is_test(name: &str) -> bool {
    let Some((module, test)) = name.rsplit_once("::") else { return false };
    let places = if module.contains('/') {
        vec![module.to_owned()]
    } else {
        let module = module.replace("::", "/");
        ["", "faults/"].map(|folder| format!("tests/it/{folder}{module}.rs")).to_vec()
    };
    places.iter().filter_map(|place| fs::read_to_string(project(place)).ok()).any(|text| {
        // With or without a reason why it is not run each time.
        text.contains("#[test]") && text.contains(&format!("\nfn {test}()"))
            || text.contains(&format!("#[test]\n    fn {test}()"))
    })
}

#[test]
fn every_promise_of_a_document_has_a_test() {
    let table = read("tests/promises.md");
    let sections: BTreeMap<&str, &str> =
        table.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let rows = rows(sections.get(document).copied().unwrap_or_default());
        let named: BTreeSet<&str> = rows.iter().map(|(promise, _)| promise.as_str()).collect();
        let promises = promises(document);
        assert!(promises.len() > 2, "{document}: {promises:?}");
        for promise in &promises {
            if !named.contains(promise.as_str()) {
                wrong.push(format!("{document}: no test shows: {promise}"));
            }
        }
        for (promise, tests) in &rows {
            if !promises.contains(promise) {
                wrong.push(format!("{document}: no longer says: {promise}"));
            }
            if tests.is_empty() {
                wrong.push(format!("{document}: no test is named for: {promise}"));
            }
            wrong.extend(
                tests.iter().filter(|test| !is_test(test)).map(|test| format!("no test {test}")),
            );
        }
    }
    assert!(wrong.is_empty(), "tests/promises.md:\n{}", wrong.join("\n"));
}

#[test]
fn every_attack_of_the_threat_model_has_a_test() {
    let rows = rows(&read(THREATS));
    assert!(rows.len() > 30, "{}", rows.len());
    for (attack, tests) in &rows {
        assert!(!tests.is_empty(), "no test shows: {attack}");
        for test in tests {
            assert!(is_test(test), "{attack}: no test {test}");
        }
    }
    // What is named elsewhere in it is there, too.
    for name in read(THREATS).split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
        assert!(is_test(name), "no test {name}");
    }
}

#[test]
fn every_situation_that_people_report_has_a_test() {
    let rows = rows(&read("tests/situations.md"));
    assert!(rows.len() >= 65, "{}", rows.len());
    for (situation, tests) in &rows {
        assert!(!tests.is_empty(), "no test shows: {situation}");
        for test in tests {
            assert!(is_test(test), "{situation}: no test {test}");
        }
    }
}

#[test]
fn the_defaults_are_those_of_the_manual_pages() {
    let manual = promises("packaging/man/sendmail-dkim.toml.5");
    let defaults = manual.iter().filter_map(|promise| promise.split_once(": The default is "));
    let mut count = 0;
    let host = "sendmail = \"/x\"\n";
    let file = |line: &str| {
        DomainFile::parse(&format!("selector = \"s\"\n{line}"), None, &Signing::default()).unwrap()
    };
    for (key, default) in defaults {
        let default = default.trim_end_matches('.');
        // A value that is another one, and the default itself.
        let (other, same) = match key {
            "expire" => ("expire = \"14d\"", String::new()),
            "domain" => ("domain = \"x.test\"", String::new()),
            "on_error" => ("on_error = \"refuse\"", format!("on_error = {default:?}")),
            "on_missing_record" => ("on_missing_record = \"skip\"", format!("{key} = {default:?}")),
            "missing_record_after" => {
                ("missing_record_after = \"3d\"", format!("{key} = {default:?}"))
            }
            "canonicalization" => {
                ("canonicalization = \"simple/simple\"", format!("{key} = {default:?}"))
            }
            "minimum_key_bits" => ("minimum_key_bits = 2048", format!("{key} = {default}")),
            "log_success" => ("log_success = false", format!("{key} = {default}")),
            "log_destination" => ("log_destination = \"none\"", format!("{key} = {default:?}")),
            "lone_dot" => ("lone_dot = \"text\"", format!("{key} = {default:?}")),
            "seven_bit" => ("seven_bit = false", format!("{key} = {default}")),
            "subdomains" => ("subdomains = true", format!("{key} = {default}")),
            "smtp" => ("smtp = true", format!("{key} = {default}")),
            "strict_selectors" => ("strict_selectors = true", format!("{key} = {default}")),
            "sign_forwarded" => ("sign_forwarded = true", format!("{key} = {default}")),
            "oversign" => {
                let names: Vec<_> =
                    default.split([' ', ',']).filter(|name| !name.is_empty()).collect();
                let names: Vec<_> = names.into_iter().filter(|name| *name != "and").collect();
                ("oversign = [\"-Subject\"]", format!("{key} = {names:?}"))
            }
            _ => panic!("the default of {key} is not looked at"),
        };
        if key.starts_with("log_") || key == "lone_dot" {
            let parse = |line: &str| Host::parse(&format!("{host}{line}")).unwrap();
            assert!(parse(&same) == parse("") && parse(other) != parse(""), "{key}");
        } else {
            assert!(file(&same) == file("") && file(other) != file(""), "{key}");
        }
        count += 1;
    }
    assert!(count >= 8, "{count}");
    assert_eq!(file("").signing.expire, None);
    // Of genkey.
    let stage = Stage::new();
    let output = dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "a"]);
    assert!(stdout(&output).contains("k=rsa;"), "{output:?}");
    let pem = fs::read(stage.path("new/keys/x.test/a.private")).unwrap();
    assert!(SigningKey::from_pem(&pem, 2048).is_ok() && SigningKey::from_pem(&pem, 2049).is_err());
}

#[test]
fn each_key_is_in_the_section_of_its_file() {
    let manual = read("packaging/man/sendmail-dkim.toml.5");
    let mut count = 0;
    for section in manual.split("\n.Ss ").skip(1) {
        let (file, keys) = section.split_once('\n').unwrap();
        let keys =
            keys.lines().filter_map(|line| line.strip_prefix(".It Cm ")?.split_once(" No = "));
        // `from` is one of a table.
        for (key, _) in keys.filter(|(key, _)| *key != "from") {
            // Whether the other kind of file takes it, by a value of its type.
            let said = |parse: &dyn Fn(&str) -> Option<String>| {
                let values = ["\"x\"", "true", "2048", "[\"x\"]"];
                let errors = values.map(|value| parse(&format!("{key} = {value}\n")));
                errors.into_iter().flatten().collect::<Vec<_>>().join("\n")
            };
            let host = said(&|text| Host::parse(text).err().map(|error| error.to_string()));
            let domain = said(&|text| {
                let file = DomainFile::parse(text, None, &Signing::default());
                file.err().map(|error| error.to_string())
            });
            let is_host = domain.contains("belongs in config.toml");
            let is_domain = host.contains("belongs in a file of domains/");
            let wanted = (file.starts_with("config.toml"), file.starts_with("domains/"));
            assert_eq!((is_host, is_domain), wanted, "{key} in {file:?}");
            count += 1;
        }
    }
    assert!(count > 18, "{count}");
}

/// For those who look at sentences and rows.
#[test]
fn a_promise_is_distinguished_from_other_sentences() {
    let readme = "# x\n\n* **No mail is lost.** Else\n  not.\n* **More** of it.\n\nIt never fails. It may rain.\n\n    never\n";
    assert_eq!(
        of_markdown(readme),
        ["**No mail is lost.** Else not.", "**More** of it.", "It never fails."]
    );
    let manual = ".Sh X\nWrites\n.Pa file ,\nand never\n.Fl a .\nMore.\n.It Cm never\nx.\n";
    assert_eq!(of_manual(manual), ["Writes file , and never a."]);
    assert!(
        !is_test("promises::no_such_test")
            && is_test("promises::a_promise_is_distinguished_from_other_sentences")
    );
    assert_eq!(rows("| a | shown by |\n|---|---|\n| b | `c::d` |\n\n| e | f |\n").len(), 1);
}
