//! Reads OpenDKIM's data sets (opendkim(8)): the rows of a file, a refile or a list, and which of them match a text.

use std::collections::HashMap;

pub(super) use super::export::Row;
use super::export::columns;
use super::opendkim_conf::{Files, Settings, without_secrets};
pub(super) use crate::config::fits;

/// How the first column of a table is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `file:`, `csl:`: byte by byte, `*` included.
    Exact,
    /// `refile:`: `*` stands for anything.
    Pattern,
}

/// A data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) kind: Kind,
    pub(super) rows: Vec<Row>,
    /// Indexes of the rows, by the end of the texts that a row can match: a table may have rows for thousands of domains. Rows
    /// without such an end are under `None`.
    by_end: HashMap<Option<String>, Vec<usize>>,
}

/// What a value names: the path of a file, and how its rows are compared, or a list. The error is the type of any other data set.
fn file_or_list(value: &str) -> Result<(Option<Kind>, &str), &str> {
    let comma = value.find(',').unwrap_or(usize::MAX);
    // A colon after the first comma is part of a list.
    let Some((kind, rest)) = value.split_once(':').filter(|(kind, _)| kind.len() < comma) else {
        let kind = value.starts_with('/').then_some(Kind::Exact);
        return if value.ends_with(".db") { Err("db") } else { Ok((kind, value)) };
    };
    match kind.to_ascii_lowercase().as_str() {
        "file" => Ok((Some(Kind::Exact), rest)),
        "refile" => Ok((Some(Kind::Pattern), rest)),
        "csl" => Ok((None, rest)),
        _ => Err(kind),
    }
}

/// The type of the data set that a value names, if it is neither a file nor a list.
pub(super) fn database(value: &str) -> Option<&str> {
    file_or_list(value).err()
}

/// OpenDKIM reads lines in pieces of this many bytes.
const LONGEST: usize = 1023;

impl Table {
    pub(super) fn new(kind: Kind, rows: Vec<Row>) -> Self {
        let mut by_end: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, row) in rows.iter().enumerate() {
            by_end.entry(end(kind, &row.key)).or_default().push(index);
        }
        Self { kind, rows, by_end }
    }

    /// Reads the data set of a setting, if there is one of that name.
    ///
    /// # Errors
    /// The same as for [`Self::read`], with the name of the setting.
    pub(super) fn of(
        settings: &Settings,
        name: &str,
        files: &dyn Files,
    ) -> Result<Option<Self>, String> {
        let Some(value) = settings.value(name) else { return Ok(None) };
        let exported = settings.export.rows(name);
        if database(value).is_some() && !exported.is_empty() {
            return Ok(Some(Self::exported(exported.to_vec())));
        }
        let failed = |why| format!("{name} {}: {why}", without_secrets(value));
        Self::read(value, settings, files).map(Some).map_err(failed)
    }

    /// Reads the data set that the value of a setting names.
    ///
    /// # Errors
    /// It is a database, or a file that cannot be read.
    pub(super) fn read(
        value: &str,
        settings: &Settings,
        files: &dyn Files,
    ) -> Result<Self, String> {
        match file_or_list(value) {
            Ok((Some(kind), path)) => Self::of_file(kind, &settings.path(path), files),
            Ok((None, list)) => Ok(Self::of_list(list)),
            Err(kind) => Err(format!(
                "cannot read a data set of type {kind:?}; export it (see dkimctl(8)), then import it with --table"
            )),
        }
    }

    fn of_file(kind: Kind, path: &str, files: &dyn Files) -> Result<Self, String> {
        let text = files.read(path)?;
        let mut rows = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", index.saturating_add(1));
            if line.len() > LONGEST {
                return Err(format!("{place}: longer than {LONGEST} bytes, which OpenDKIM splits"));
            }
            let Some((key, value)) = columns(line) else { continue };
            rows.push(Row { key: key.to_owned(), value: value.to_owned(), place });
        }
        Ok(Self::new(kind, rows))
    }

    /// A table from a database. In a database a star is an ordinary character, unless it is the whole name. Other stars mean that
    /// the table was a refile.
    fn exported(rows: Vec<Row>) -> Self {
        let is_pattern =
            |row: &Row| row.key.contains('*') && row.key != "*" && !row.key.ends_with("@*");
        let kind = if rows.iter().any(is_pattern) { Kind::Pattern } else { Kind::Exact };
        Self::new(kind, rows)
    }

    fn of_list(text: &str) -> Self {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let rows = items.map(|item| {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            Row { key, value, place: format!("{item:?}") }
        });
        Self::new(Kind::Exact, rows.collect())
    }

    /// The first row that matches `text`, ignoring case.
    pub(super) fn first(&self, text: &str) -> Option<&Row> {
        self.all(text).into_iter().next()
    }

    /// All rows that match `text`, ignoring case, in their order.
    pub(super) fn all(&self, text: &str) -> Vec<&Row> {
        let text = text.to_ascii_lowercase();
        let mut rows = self.candidates(&text);
        rows.retain(|row| match self.kind {
            Kind::Exact => row.key.eq_ignore_ascii_case(&text),
            Kind::Pattern => fits(&row.key.to_ascii_lowercase(), &text),
        });
        rows
    }

    /// The first row whose key is exactly `text`, as in a `KeyTable`.
    pub(super) fn named(&self, text: &str) -> Option<&Row> {
        let rows = self.candidates(&text.to_ascii_lowercase());
        rows.into_iter().find(|row| match self.kind {
            Kind::Exact => row.key == text,
            Kind::Pattern => fits(&row.key, text),
        })
    }

    /// The rows that may match a text in lower case, in their order.
    fn candidates(&self, text: &str) -> Vec<&Row> {
        let domain = after_last(text, '@');
        let ends = domain.match_indices('.').filter_map(|(dot, _)| domain.get(dot..));
        let ends = ends.chain([domain, text]).map(|end| Some(end.to_owned()));
        let mut indexes: Vec<usize> =
            ends.chain([None]).filter_map(|end| self.by_end.get(&end)).flatten().copied().collect();
        indexes.sort_unstable();
        indexes.dedup();
        indexes.into_iter().filter_map(|index| self.rows.get(index)).collect()
    }
}

/// The end, in lower case, of all texts that a key matches: the whole text, its domain, or the end of its domain from a dot on.
/// `None` if that is not known.
fn end(kind: Kind, key: &str) -> Option<String> {
    let key = key.to_ascii_lowercase();
    if kind == Kind::Exact || !key.contains('*') {
        return Some(key);
    }
    let domain = after_last(&key, '@');
    let end = after_last(domain, '*');
    (end.len() == domain.len() || end.starts_with('.')).then(|| end.to_owned())
}

fn after_last(text: &str, separator: char) -> &str {
    text.rsplit_once(separator).map_or(text, |(_, after)| after)
}

/// Characters in a refile row that OpenDKIM passes on to the regular expression.
pub(super) const LIVE: [char; 10] = ['[', ']', '(', ')', '|', '?', '^', '$', '\\', '{'];

#[cfg(test)]
mod tests {
    use super::super::export::Export;
    use super::super::opendkim_conf::tests::paper;
    use super::*;

    fn read(value: &str, files: &dyn Files) -> Result<Table, String> {
        Table::read(value, &Settings::default(), files)
    }

    fn keys(value: &str) -> Vec<String> {
        let files = paper(&[("/t", "# all\n a  b # c\n\n*@x.test\tk:i\n"), ("/r", "*@x k\n")]);
        let table = read(value, &files).unwrap();
        table.rows.iter().map(|row| format!("{}={}", row.key, row.value)).collect()
    }

    #[test]
    fn the_prefix_says_what_a_data_set_is() {
        assert_eq!(keys("/t"), ["a=b", "*@x.test=k:i"]);
        assert_eq!(keys("file:/t"), keys("/t"));
        assert_eq!(keys("refile:/r"), ["*@x=k"]);
        assert_eq!(keys("sample.com, hogehoge.jp"), ["sample.com=", "hogehoge.jp="]);
        assert_eq!(keys("csl:a=b:c:/d,e=f:g:/h"), ["a=b:c:/d", "e=f:g:/h"]);
        assert_eq!(keys("a.test,b=c:d:/e"), ["a.test=", "b=c:d:/e"]);
        assert_eq!(keys("a.test,, b.test,"), ["a.test=", "b.test="]);
        assert_eq!(keys("REFILE:/r"), keys("refile:/r"));
        assert!(read("dsn:mysql://x", &paper(&[])).unwrap_err().contains("\"dsn\""));
        // A file of Berkeley DB has no lines.
        for value in ["/t.db", "db:/t", "bdb:/t"] {
            assert!(read(value, &paper(&[("/t.db", "a b\n")])).unwrap_err().contains("--table"));
        }
    }

    #[test]
    fn the_name_of_a_key_has_upper_and_lower_case() {
        let files = paper(&[("/k", "Key a\nkey b\n")]);
        for value in ["file:/k", "refile:/k"] {
            let table = read(value, &files).unwrap();
            assert_eq!(table.named("key").map(|row| row.value.as_str()), Some("b"), "{value}");
            assert!(table.named("KEY").is_none());
            assert_eq!(table.first("KEY").map(|row| row.value.as_str()), Some("a"), "{value}");
        }
        let table = read("refile:/k", &paper(&[("/k", "*.test k\n")])).unwrap();
        assert!(table.named("x.test").is_some() && table.named("X.TEST").is_none());
    }

    #[test]
    fn a_star_is_a_wildcard_in_patterns_only() {
        for (pattern, text, is_fit) in [
            ("*@sample.com", "a@sample.com", true),
            ("*@sample.com", "a@b.sample.com", false),
            ("*@*.sample.com", "a@b.sample.com", true),
            ("*@*.sample.com", "a@sample.com", false),
            ("*sample.com", "a@xsample.com", true),
            ("*", "a@b", true),
            ("a*b*c", "abbc", true),
            ("a*bc*c", "abc", false),
            ("sample.com", "a@sample.com", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(fits(pattern, text), is_fit, "{pattern} {text}");
        }
        // A table finds the rows that match when each is tried.
        let patterns = [
            "a@b.test",
            "*@b.test",
            "*@*.b.test",
            "*.b.test",
            "*b.test",
            "b.test",
            ".b.test",
            "a*",
            "*",
            "a@*",
            "*@b*.test",
        ];
        let texts = [
            "a@b.test",
            "A@B.test",
            "a@c.b.test",
            "a@.b.test",
            "c.b.test",
            "b.test",
            ".b.test",
            "a@xb.test",
            "a",
            "",
            "a@b@b.test",
        ];
        let row =
            |key: &&str| Row { key: (*key).to_owned(), value: String::new(), place: String::new() };
        let table = Table::new(Kind::Pattern, patterns.iter().map(row).collect());
        for text in texts {
            let wanted: Vec<&str> =
                patterns.into_iter().filter(|one| fits(one, &text.to_ascii_lowercase())).collect();
            let found: Vec<&str> = table.all(text).iter().map(|row| row.key.as_str()).collect();
            assert_eq!(found, wanted, "{text}");
        }
        let exact = read("*@sample.com=k", &paper(&[])).unwrap();
        assert!(exact.first("a@sample.com").is_none());
        assert!(exact.first("*@SAMPLE.com").is_some());
    }

    #[test]
    fn relative_paths_begin_at_the_base_directory() {
        let conf =
            "BaseDirectory /etc/d\nKeyTable refile:tables/k\nSigningTable file:/s\nDomain t\n";
        let files = paper(&[("/c", conf), ("/etc/d/tables/k", "a b\n"), ("/s", "c d\n")]);
        let settings = Settings::read("/c", &files).unwrap();
        for (name, key) in [("KeyTable", "a"), ("SigningTable", "c"), ("Domain", "t")] {
            let table = Table::of(&settings, name, &files).unwrap().unwrap();
            assert_eq!(table.rows[0].key, key);
        }
    }

    #[test]
    fn an_exported_table_replaces_a_database_only() {
        let conf = "KeyTable dsn:mysql://x/y\nSigningTable ldap://x/y\nExemptDomains csl:a.test\n";
        let files = paper(&[("/c", conf)]);
        let mut settings = Settings::read("/c", &files).unwrap();
        let table = |settings: &Settings, name| Table::of(settings, name, &files);
        assert!(table(&settings, "KeyTable").unwrap_err().contains("--table"));
        for (rows, kind) in
            [("*@x.test k\n", Kind::Pattern), ("* k\nx.test k\na@* k\n", Kind::Exact)]
        {
            settings.export = Export::parse(&format!("k x.test:s:/k\n{rows}"), "/x").unwrap();
            let signing = table(&settings, "SigningTable").unwrap().unwrap();
            assert_eq!((signing.kind, signing.rows[0].value.as_str()), (kind, "k"));
            assert_eq!(table(&settings, "KeyTable").unwrap().unwrap().rows[0].place, "/x:1");
            assert_eq!(table(&settings, "ExemptDomains").unwrap().unwrap().rows[0].key, "a.test");
        }
        settings.export = Export::parse("exported.test\n", "/x").unwrap();
        assert_eq!(table(&settings, "ExemptDomains").unwrap().unwrap().rows[0].key, "a.test");
    }

    #[test]
    fn a_line_that_opendkim_splits_is_refused() {
        let of = |length: usize| {
            let line = format!("{} k\n", "x".repeat(length - 2));
            read("/t", &paper(&[("/t", &line)]))
        };
        assert_eq!(of(1023).unwrap().rows.len(), 1);
        let error = of(1024).unwrap_err();
        assert!(error.starts_with("/t:1: longer than"), "{error}");
    }
}
