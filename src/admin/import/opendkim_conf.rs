//! Reads the settings of opendkim.conf(5), each with its place. Pure; the caller reads the files of `Include`.

use std::fmt;
use std::path::Path;

use super::export::Export;

/// The files of OpenDKIM, read by the caller.
pub trait Files {
    /// The content of a file, without a byte order mark.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, path: &str) -> Result<String, String>;
    /// The names in a folder. Empty if it cannot be read.
    fn names(&self, folder: &str) -> Vec<String>;
}

/// One line of opendkim.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The name as typed; case is ignored.
    pub(super) name: String,
    pub(super) value: String,
    pub(super) file: String,
    pub(super) line: usize,
}

impl Setting {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The first letter decides, as in OpenDKIM. `None` for a value that OpenDKIM rejects.
    pub(super) fn truth(&self) -> Option<bool> {
        match self.value.bytes().next()?.to_ascii_lowercase() {
            b't' | b'y' | b'1' => Some(true),
            b'f' | b'n' | b'0' => Some(false),
            _ => None,
        }
    }

    /// strtol(3) with base 0.
    pub(super) fn number(&self) -> Option<u64> {
        let text = self.value.trim();
        let lower = text.to_ascii_lowercase();
        if let Some(digits) = lower.strip_prefix("0x") {
            return u64::from_str_radix(digits, 16).ok();
        }
        match lower.strip_prefix('0') {
            Some(digits) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok(),
            _ => lower.parse().ok(),
        }
    }

    /// The name and value, without passwords and keys.
    pub(super) fn shown(&self) -> String {
        let value = match is_secret(&self.name) {
            true => HIDDEN.to_owned(),
            false => without_secrets(&self.value),
        };
        format!("{} {value}", self.name)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.shown())
    }
}

/// The text that is printed instead of a password or key.
pub(super) const HIDDEN: &str = "...";

/// Longer words are taken for keys, in characters. Names and paths in settings are shorter.
const LONGEST: usize = 100;

/// Longer words in base64 are taken for keys: that of an Ed25519 key has 64 characters.
const LONGEST_IN_BASE64: usize = 40;

/// Whether the value of a setting is a password.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "token", "authheader"].iter().any(|end| name.ends_with(end))
}

/// A text that may be printed: without the part of a URL before the host, and without keys.
pub(super) fn without_secrets(value: &str) -> String {
    let url = value.split_once("://").and_then(|(scheme, rest)| {
        let (_, host) = rest.rsplit_once('@')?;
        Some(format!("{scheme}://{HIDDEN}@{host}"))
    });
    let text = without_pem(url.as_deref().unwrap_or(value));
    let is_end = |char: char| matches!(char, ':' | ',' | '=' | '"') || char.is_whitespace();
    let words = text
        .split_inclusive(is_end)
        .map(|word| if is_key(word.trim_end_matches(is_end)) { HIDDEN } else { word });
    words.collect()
}

fn is_key(word: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let is_base64 = !word.starts_with('/') && word.bytes().all(is_digit);
    word.chars().count() > LONGEST || (is_base64 && word.len() > LONGEST_IN_BASE64)
}

fn without_pem(text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((before, key)) = rest.split_once("-----BEGIN ") {
        shown.push_str(before);
        shown.push_str(HIDDEN);
        let end = key.split_once("-----END ").and_then(|(_, end)| end.split_once("-----"));
        rest = end.map_or("", |(_, after)| after);
    }
    shown + rest
}

/// The settings that apply: the last one of each name.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) all: Vec<Setting>,
    /// Errors with which OpenDKIM itself would not start.
    pub(super) faults: Vec<String>,
    /// Exported tables that replace those in databases.
    pub(super) export: Export,
}

/// How deep OpenDKIM follows `Include`.
const DEEPEST: usize = 5;

impl Settings {
    /// Reads a file and all included files.
    ///
    /// # Errors
    /// The file itself cannot be read.
    pub(super) fn read(path: &str, files: &dyn Files) -> Result<Self, String> {
        let mut settings = Self::default();
        settings.parse(path, &files.read(path)?, files, 0);
        Ok(settings)
    }

    fn parse(&mut self, file: &str, text: &str, files: &dyn Files, depth: usize) {
        for (index, line) in text.lines().enumerate() {
            let line_number = index.saturating_add(1);
            let line = line.split(['#', '\r']).next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (name, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            let value = value.trim();
            let place = format!("{file}:{line_number}: {name}");
            if value.is_empty() {
                self.faults.push(format!("{place} has no value"));
            } else if name.eq_ignore_ascii_case("Include") {
                self.include(value, &place, files, depth);
            } else {
                self.all.retain(|other| !other.is(name));
                self.all.push(Setting {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    file: file.to_owned(),
                    line: line_number,
                });
            }
        }
    }

    fn include(&mut self, path: &str, place: &str, files: &dyn Files, depth: usize) {
        if depth >= DEEPEST {
            self.faults.push(format!("{place} {path}: more than {DEEPEST} files deep"));
            return;
        }
        match files.read(path) {
            Ok(text) => self.parse(path, &text, files, depth.saturating_add(1)),
            Err(why) => self.faults.push(format!("{place} {path}: {why}")),
        }
    }

    /// One setting, by its name.
    pub(super) fn find(&self, name: &str) -> Option<&Setting> {
        self.all.iter().find(|setting| setting.is(name))
    }

    /// Its value.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.find(name).map(|setting| setting.value.as_str())
    }

    /// A path as OpenDKIM opens it: relative paths begin at `BaseDirectory`.
    pub(super) fn path(&self, path: &str) -> String {
        let base = self.value("BaseDirectory").unwrap_or_default();
        Path::new(base).join(path).display().to_string()
    }

    /// Whether a boolean setting is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.find(name).and_then(Setting::truth).unwrap_or(false)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Files in memory.
    #[derive(Default)]
    pub(crate) struct Paper(pub(crate) BTreeMap<&'static str, String>);

    impl Files for Paper {
        fn read(&self, path: &str) -> Result<String, String> {
            self.0.get(path).cloned().ok_or_else(|| "no such file".to_owned())
        }

        fn names(&self, folder: &str) -> Vec<String> {
            let below = self.0.keys().filter_map(|path| path.strip_prefix(folder));
            let names = below.filter_map(|rest| rest.trim_start_matches('/').split('/').next());
            names.map(str::to_owned).collect()
        }
    }

    pub(crate) fn paper(files: &[(&'static str, &str)]) -> Paper {
        Paper(files.iter().map(|(path, text)| (*path, (*text).to_owned())).collect())
    }

    fn read(text: &str) -> Settings {
        Settings::read("/c", &paper(&[("/c", text), ("/more", "LogWhy yes\nUMask 002")])).unwrap()
    }

    #[test]
    fn names_have_no_case_and_a_hash_cuts_the_line_anywhere() {
        let settings = read("# all\nCANONICALIZATION\trelaxed/relaxed # both\r\n\nUserID a:b\n");
        assert_eq!(settings.value("Canonicalization"), Some("relaxed/relaxed"));
        assert_eq!(settings.find("userid").unwrap().line, 4);
        assert!(settings.faults.is_empty());
    }

    #[test]
    fn of_two_settings_of_a_name_the_later_counts() {
        let settings = read("Mode v\nmode sv\n");
        assert_eq!(settings.all.len(), 1);
        assert_eq!(settings.value("Mode"), Some("sv"));
    }

    #[test]
    fn included_files_count_where_they_are_named() {
        let settings = read("LogWhy no\nInclude /more\nInclude /nowhere\n");
        assert!(settings.is_on("LogWhy"));
        assert_eq!(settings.faults, ["/c:3: Include /nowhere: no such file"]);
        let endless = read("Include /c\n");
        assert_eq!(endless.faults.len(), 1, "{:?}", endless.faults);
    }

    #[test]
    fn booleans_are_their_first_letter_and_numbers_have_a_base() {
        let settings = read("A Yes\nB nope\nC maybe\nD 0x10\nE 010\nF 300\n");
        let truth = |name| settings.find(name).unwrap().truth();
        assert_eq!((truth("A"), truth("B"), truth("C")), (Some(true), Some(false), None));
        assert!(settings.is_on("A") && !settings.is_on("B") && !settings.is_on("C"));
        for (value, wanted) in [("true", true), ("1", true), ("False", false), ("0", false)] {
            assert_eq!(read(&format!("A {value}\n")).all[0].truth(), Some(wanted), "{value}");
        }
        let number = |name| settings.find(name).unwrap().number();
        assert_eq!((number("D"), number("E"), number("F")), (Some(16), Some(8), Some(300)));
    }

    #[test]
    fn no_password_and_no_key_is_shown() {
        let key = "MIIC".repeat(100);
        let text = format!(
            "KeyTable dsn:mysql://dkim:s3:cr/et@db.x.test/dkim/table=keys?keycol=id\n\
             SigningTable csl:a@x.test=k:{key}, b@x.test=l\nLDAPBindPassword s3cret\n\
             LDAPBindUser cn=dkim\nVaultToken s3cret\nSocket inet:8891@localhost\n\
             HttpAuthHeader Basic s3cret\nHTTPAUTHTOKEN s3cret\n"
        );
        let shown: Vec<String> = read(&text).all.iter().map(ToString::to_string).collect();
        let wanted = [
            "/c:1: KeyTable dsn:mysql://...@db.x.test/dkim/table=keys?keycol=id",
            "/c:2: SigningTable csl:a@x.test=k:... b@x.test=l",
            "/c:3: LDAPBindPassword ...",
            "/c:4: LDAPBindUser cn=dkim",
            "/c:5: VaultToken ...",
            "/c:6: Socket inet:8891@localhost",
            "/c:7: HttpAuthHeader ...",
            "/c:8: HTTPAUTHTOKEN ...",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_key_is_recognized_by_its_letters_and_by_its_pem_lines() {
        let small = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{small}\n-----END PRIVATE KEY-----");
        for (text, shown) in [
            (format!("csl:k=x.test:s:{small}"), "csl:k=x.test:s:..."),
            (format!("[\"k x.test:s:{small}\"]"), "[\"k x.test:s:...]"),
            (format!("{pem} and {pem}, too"), "... and ..., too"),
            (format!("{pem:?}"), "\"...\""),
            ("cut -----BEGIN PRIVATE KEY-----\nMC4C".to_owned(), "cut ..."),
        ] {
            assert_eq!(without_secrets(&text), shown, "{text}");
        }
        let path = "/usr/local/etc/mail/opendkim/tables/SigningTable";
        for text in [path, "/k/x.test/MC4CAQAwBQYDK2VwBCIEIJ1hsZ3vVpguoRK9.private"] {
            assert_eq!(without_secrets(text), text);
        }
    }

    #[test]
    fn a_name_without_value_is_a_fault() {
        assert_eq!(read("Selector\n").faults, ["/c:1: Selector has no value"]);
    }
}
