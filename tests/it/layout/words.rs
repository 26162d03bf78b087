//! Words and phrases that are not used in this project, because a reader has to guess their meaning or because the RFCs have
//! another word. The rule covers all texts: documents, manual pages, help, messages, comments and names of tests.

use super::*;

/// What must not be written, and what to write instead. Alternatives are separated by `|`. A name such as `the_octets` counts as
/// its words.
const WORDS: &[(&str, &str)] = &[
    ("octet|octets", "byte"),
    ("blank|blanks", "space, whitespace, WSP"),
    ("line of one dot|line of a single dot", "a line containing a single dot"),
    ("dialogue|dialogues|converse", "SMTP session"),
    ("stuffing|unstuffing|stuffed|unstuffed", "dot-stuffing (RFC 5321 §4.5.2)"),
    ("mbox line|mbox lines", "mbox `From ` line"),
    ("mend|mends|mended|mending", "fix, correct, repair"),
    ("wants|is wanted|are wanted|was wanted", "expects, requires"),
    ("is told|are told|was told|be told", "is reported, prints; has to know"),
    ("told from|told apart|tell apart|tells apart", "distinguished"),
    ("behind us|in front of|beside", "before, after, next to, in addition to"),
    ("partner|partners", "unmatched quote, unbalanced bracket"),
    ("trouble", "error, failure"),
    ("kin", "and similar"),
    ("whatever", "any, regardless of"),
    ("whoever|whomever", "any user, a program that"),
    ("the real one|a real one", "the real sendmail"),
    ("nobody|somebody|anybody", "no user, another user, any user"),
    ("once more|anew", "again"),
    ("lies below|lie below|lies in|lies there", "exists, is stored"),
    ("let go|lets go", "dropped, ignored"),
    ("can't be had|cannot be had|not to be had", "not supported"),
    ("for want of", "because … is missing"),
    ("stands in|stands before|stands behind|stands beside", "is in, precedes, follows"),
    ("becomes the real|goes past", "execs the real sendmail; bypasses"),
    ("without us|called us|as in life", "without the wrapper"),
    ("os error", "the text of the error without its number"),
    ("throw-away", "temporary"),
    ("amiss", "wrong"),
];

/// Files and folders that are not searched, and why.
const NOT_SEARCHED: &[(&str, &str)] = &[
    ("tests/it/layout/words.rs", "the list itself"),
    ("tests/data/keys/", "keys"),
    ("tests/vectors/", "messages, keys and records of others"),
    ("tests/fuzz/corpus/", "inputs"),
    ("tests/fuzz/seeds/", "inputs"),
    ("tests/fuzz/target/", "built"),
    ("docs/man/", "made from the manual pages"),
    ("/input", "a submitted message"),
    ("/expected", "a message as it is sent"),
    (".eml", "a message"),
    (".lock", "names of crates"),
    (".svg", "a plot"),
    ("/base.sh", "it builds root file systems, which are built again after any change"),
    ("/root.sh", "the same"),
    ("/layer.sh", "the same"),
];

/// Where a word is right: the beginning of the path, what the line has, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("", "OCTET STRING", "a type of ASN.1"),
    ("", "raw_os_error", "a function of the standard library"),
    ("", "Wants=", "a setting of systemd"),
    ("", ".wants/", "a folder of systemd"),
    ("", "nobody@", "the address of no mailbox"),
    ("", "\"nobody\"", "the name of a user"),
    ("", "nogroup", "nobody is the name of that group on Enterprise Linux"),
    ("tests/it/", "user=nobody", "the name of a user"),
    ("tests/it/", "-u nobody", "the name of a user"),
    ("docs/callers.md", "| nobody |", "the name of a user"),
    ("packaging/sysusers/", "-:nobody", "the name of a group"),
    ("tests/it/bad_input.rs", "\"os error\"", "a text that no message may have"),
    ("tests/it/testkey.rs", "blank-in-key", "a stable name in JSON"),
    ("tests/packaging/units", "$wanted", "a variable"),
];

/// The words of a text in lower case, each with the number of its line.
fn words(text: &str) -> Vec<(String, usize)> {
    let is_part = |char: char| char.is_alphanumeric() || char == '\'' || char == '-';
    let lines = text.lines().enumerate();
    let words = lines.flat_map(|(number, line)| {
        let words = line.split(move |char| !is_part(char)).filter(|word| !word.is_empty());
        words.map(move |word| (word.trim_matches(['\'', '-']).to_lowercase(), number + 1))
    });
    words.collect()
}

/// The places of words that must not be written: line, word, what to write.
fn found(text: &str) -> Vec<(usize, String, &'static str)> {
    let text = text.replace("dot_stuff", "dot-stuff");
    let words = words(&text);
    let mut found = Vec::new();
    for (phrases, instead) in WORDS {
        for phrase in phrases.split('|') {
            let phrase = phrase.to_lowercase();
            let phrase: Vec<&str> = phrase.split(' ').collect();
            let places = words.windows(phrase.len()).filter(|window| {
                window.iter().zip(&phrase).all(|((word, _), wanted)| word == wanted)
            });
            found.extend(places.map(|place| (place[0].1, phrase.join(" "), *instead)));
        }
    }
    found
}

/// All text files of the project, by their paths.
fn texts() -> Vec<(String, String)> {
    fn walk(path: &Path, files: &mut Vec<PathBuf>) {
        let name = path.file_name().unwrap().to_string_lossy();
        if ["target", "node_modules", "__pycache__"].contains(&&*name) {
            return;
        }
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                walk(&entry.unwrap().path(), files);
            }
        } else {
            files.push(path.to_owned());
        }
    }
    let mut files = Vec::new();
    for folder in ["src", "tests", "docs", "packaging", "alternatives", ".ci", ".cargo", ".github"]
    {
        walk(&project(folder), &mut files);
    }
    for entry in fs::read_dir(project("")).unwrap() {
        let path = entry.unwrap().path();
        let is_text = path
            .extension()
            .is_some_and(|extension| ["md", "toml"].iter().any(|one| extension == *one));
        if path.is_file() && (is_text || path.ends_with("Makefile")) {
            files.push(path);
        }
    }
    let texts = files.into_iter().filter_map(|path| {
        let place = path.strip_prefix(project("")).unwrap().display().to_string();
        let is_searched = !NOT_SEARCHED.iter().any(|(part, _)| place.contains(part));
        is_searched.then(|| Some((place, fs::read_to_string(path).ok()?))).flatten()
    });
    texts.collect()
}

#[test]
fn no_text_uses_a_word_that_a_reader_has_to_guess() {
    let (mut wrong, mut unused) = (Vec::new(), EXCEPTIONS.to_vec());
    let texts = texts();
    assert!(texts.len() > 300, "{}", texts.len());
    for (place, text) in &texts {
        let lines: Vec<&str> = text.lines().collect();
        for (number, word, instead) in found(text) {
            let line = lines[number - 1];
            let is_exception = |(path, part, _): &&(&str, &str, &str)| {
                place.starts_with(path) && line.contains(part)
            };
            match EXCEPTIONS.iter().find(is_exception) {
                Some(exception) => unused.retain(|other| other != exception),
                None => wrong.push(format!("{place}:{number}: {word:?}; write {instead}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(unused.is_empty(), "these exceptions are not needed: {unused:#?}");
}

#[test]
fn each_word_is_found_where_it_is_planted() {
    for (phrases, _) in WORDS {
        for phrase in phrases.split('|') {
            let capital = phrase.to_uppercase();
            for text in [
                format!("/// A comment: {phrase}.\n"),
                format!("    fn a_name_{}_of_a_test() {{\n", phrase.replace([' ', '-'], "_")),
                format!("    \"a message: {capital}\\n\"\n"),
                format!(".Sy {}\nand more\n", phrase.replace(' ', "\n")),
            ] {
                let is_name = text.contains("fn ");
                let is_split = is_name && phrase.contains(['-', '\'']);
                assert!(is_split || !found(&text).is_empty(), "{text}");
            }
        }
    }
    for text in ["dot-stuffing", "fn dot_stuffing()", "OctetString", "a byte", "bytes", "unbending"]
    {
        assert_eq!(found(text), [], "{text}");
    }
}

/// Names of errors in C, and words by which the program speaks of itself.
const NOT_IN_MESSAGES: [&str; 18] = [
    "EACCES",
    "EAGAIN",
    "EEXIST",
    "EINVAL",
    "EIO",
    "EISDIR",
    "ELOOP",
    "EMFILE",
    "ENOENT",
    "ENOSPC",
    "ENOTDIR",
    "EPERM",
    "EPIPE",
    "us",
    "we",
    "our",
    "ours",
    "ourselves",
];

#[test]
fn no_message_has_the_name_of_an_errno_or_speaks_of_us() {
    let mut wrong = Vec::new();
    for path in sources(&project("src")).iter().filter(|path| !path.ends_with("tests.rs")) {
        for text in crate::reasons::texts::texts(&code(path)) {
            let mut words = text.split(|char: char| !char.is_alphanumeric());
            if text.contains(' ') && words.any(|word| NOT_IN_MESSAGES.contains(&word)) {
                wrong.push(format!("{path:?}: {text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
