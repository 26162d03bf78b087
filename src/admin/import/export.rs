//! Reads exported tables of databases: CSV, columns with tabs (mysql -B, psql), `db_dump` and `mdb_dump`, and the format of
//! OpenDKIM's own files. Pure.

/// One row of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) value: String,
    /// The place of the row, for messages.
    pub(super) place: String,
}

/// The tables in an export. The columns of a row show which table it belongs to.
#[derive(Clone, Debug, Default)]
pub(super) struct Export {
    keys: Vec<Row>,
    signing: Vec<Row>,
    lists: Vec<Row>,
}

impl Export {
    /// Reads a text; `path` is its name in messages.
    ///
    /// # Errors
    /// The place of a row that does not belong to a table.
    pub(super) fn parse(text: &str, path: &str) -> Result<Self, String> {
        let mut export = Self::default();
        for (line, fields) in rows(text).map_err(|why| format!("{path}: {why}"))? {
            let mut fields = fields.into_iter().map(|field| field.trim().to_owned());
            let key = fields.next().unwrap_or_default();
            let columns: Vec<String> = fields.collect();
            let (list, value) = match columns.as_slice() {
                [] => (&mut export.lists, String::new()),
                // domain:selector:key
                [value] if value.matches(':').count() > 1 => (&mut export.keys, value.clone()),
                [value] => (&mut export.signing, value.clone()),
                [domain, selector, private_key, ..] => {
                    (&mut export.keys, format!("{domain}:{selector}:{private_key}"))
                }
                [..] => {
                    return Err(format!(
                        "{path}:{line}: expected two columns, or four (name, domain, selector, key)"
                    ));
                }
            };
            list.push(Row { key, value, place: format!("{path}:{line}") });
        }
        Ok(export)
    }

    /// The rows for a setting.
    pub(super) fn rows(&self, name: &str) -> &[Row] {
        match name {
            "KeyTable" => &self.keys,
            "SigningTable" => &self.signing,
            _ => &self.lists,
        }
    }
}

/// The fields of each row, with the number of its line.
fn rows(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    if text.lines().any(|line| line == "HEADER=END") {
        return dump(text);
    }
    let lines = || text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let first = lines().map(|(line, _)| line).find(|line| !line.starts_with('#'));
    let first = first.unwrap_or_default();
    let word = first.split(char::is_whitespace).next().unwrap_or_default();
    let mut rows: Vec<(usize, Vec<String>)> = if first.contains('\t') {
        let lines = lines().filter(|(line, _)| !line.starts_with('#'));
        lines.map(|(line, number)| (number, tabs(line))).collect()
    } else if word.contains(',') || word.starts_with('"') {
        csv(text)?
    } else {
        let filled = |text: &&str| !text.is_empty();
        let row = |(line, number)| {
            let (key, value) = columns(line)?;
            Some((number, [key, value].into_iter().filter(filled).map(str::to_owned).collect()))
        };
        return Ok(lines().filter_map(row).collect());
    };
    // A row without an address, domain or path has the names of the columns.
    let is_name = |field: &String| !field.contains(['.', '@', '*', '%', '/', ':']);
    if rows.first().is_some_and(|(_, fields)| fields.iter().all(is_name)) {
        rows.remove(0);
    }
    Ok(rows)
}

/// The name and the value in a line of a table, without its comment. `None` if it has neither.
pub(super) fn columns(line: &str) -> Option<(&str, &str)> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (!key.is_empty()).then(|| (key, value.trim_start()))
}

/// Columns with tabs between them. A line end in one is written as `\n`.
fn tabs(line: &str) -> Vec<String> {
    let field = |field: &str| {
        let mut text = String::with_capacity(field.len());
        let mut chars = field.chars();
        while let Some(char) = chars.next() {
            text.push(match char {
                '\\' => match chars.next() {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    other => other.unwrap_or('\\'),
                },
                char => char,
            });
        }
        text
    };
    let line = line.split_once(" #").map_or(line, |(line, _)| line).trim_end();
    line.split('\t').filter(|text| !text.is_empty()).map(field).collect()
}

/// Columns with commas between them. One in quotes may have any bytes (RFC 4180).
fn csv(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let mut rows = Vec::new();
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let (mut line, mut begin) = (1_usize, 1);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        line = line.saturating_add(usize::from(char == '\n'));
        match char {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            '\n' if !is_quoted => {
                fields.push(std::mem::take(&mut field));
                rows.push((begin, std::mem::take(&mut fields)));
                begin = line;
            }
            char => field.push(char),
        }
    }
    if is_quoted {
        return Err(format!("line {begin}: an unmatched quote"));
    }
    fields.push(field);
    rows.push((begin, fields));
    let is_empty = |fields: &[String]| fields.iter().all(|field| field.trim().is_empty());
    rows.retain(|(_, fields)| !is_empty(fields));
    Ok(rows)
}

/// The output of `db_dump`, `db_dump -p`, `mdb_dump` and `mdb_dump -p`: a line for each name, followed by a line for its value.
fn dump(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let (mut is_data, mut is_hex) = (false, false);
    let (mut rows, mut name) = (Vec::new(), None);
    for (line, number) in text.lines().zip(1..) {
        match line {
            "format=bytevalue" => is_hex = true,
            "format=print" => is_hex = false,
            "HEADER=END" => is_data = true,
            "DATA=END" => is_data = false,
            line if is_data => {
                let line = line.trim_start();
                let bytes = if is_hex { of_hex(line) } else { of_print(line) };
                let bytes = bytes
                    .ok_or_else(|| format!("line {number}: expected the output of db_dump"))?;
                let text = String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned();
                match name.take() {
                    None => name = Some(text),
                    Some(name) => rows.push((number, vec![name, text])),
                }
            }
            _ => {}
        }
    }
    Ok(rows)
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

/// `\\` is a backslash, `\0a` a byte.
fn of_print(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
        } else if let Some(after) = rest.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = after;
        } else {
            let (hex, after) = rest.split_at_checked(2)?;
            bytes.extend(of_hex(std::str::from_utf8(hex).ok()?)?);
            rest = after;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of both tables, one per line.
    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let export = Export::parse(text, "/x").unwrap();
        let lines = |name| {
            let rows = export.rows(name).iter();
            rows.map(|row| format!("{} {}", row.key, row.value)).collect()
        };
        (lines("KeyTable"), lines("SigningTable"))
    }

    #[test]
    fn every_form_of_an_export_gives_the_same_rows() {
        let (keys, signing) = (["k x.test:s:/k", "2 y.test:t:/l"], ["*@x.test k", "y.test 2"]);
        for text in [
            "# all\nk x.test:s:/k\n2\ty.test:t:/l # two\n",
            "k,x.test,s,/k\n2,y.test,t,/l\n",
            "\"id\",\"domain\",\"selector\",\"private_key\"\r\n\"k\",\"x.test\",\"s\",\"/k\"\r\n2,y.test,t,/l\r\n",
            "# all\nk\t\tx.test:s:/k\n2\ty.test:t:/l # two\n",
            "id\tdomain\tselector\tkey\nk\tx.test\ts\t/k\n2\ty.test\tt\t/l\n",
            "k\tx.test:s:/k\n2\ty.test:t:/l\n",
            "VERSION=3\nformat=print\ntype=hash\nHEADER=END\n k\n x.test:s:/k\n 2\n y.test\\3at:/l\\00\nDATA=END\n",
            "VERSION=3\nformat=bytevalue\ntype=hash\nHEADER=END\n 6b\n 782e746573743a733a2f6b\n 32\n 792e746573743a743a2f6c\nDATA=END\n",
        ] {
            assert_eq!(read(text).0, keys, "{text}");
        }
        for text in [
            "*@x.test k\ny.test 2\n",
            "*@x.test,k\ny.test,2\n",
            "author,dkim_id\n*@x.test,k\ny.test,2\n",
            "author\tid\n*@x.test\tk\ny.test\t2\n",
            "HEADER=END\n *@x.test\n k\n y.test\n 2\nDATA=END\n",
        ] {
            assert_eq!(read(text), (Vec::new(), signing.map(str::to_owned).to_vec()), "{text}");
        }
        // Both tables in one file.
        let both = read("k x.test:s:/k\n2 y.test:t:/l\n*@x.test k\ny.test 2\n");
        assert_eq!(both, (keys.map(str::to_owned).to_vec(), signing.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_key_of_several_lines_is_one_field() {
        let pem = "-----BEGIN X-----\nab\n-----END X-----";
        let wanted = [format!("k x.test:s:{pem}")];
        assert_eq!(read(&format!("k,x.test,s,\"{pem}\n\"\n")).0, wanted);
        assert_eq!(read(&format!("k\tx.test\ts\t{}\\n\n", pem.replace('\n', "\\n"))).0, wanted);
        let printed = pem.replace('\n', "\\0a");
        assert_eq!(read(&format!("HEADER=END\n k\n x.test:s:{printed}\nDATA=END\n")).0, wanted);
    }

    #[test]
    fn further_columns_and_a_second_dump_are_read() {
        let (keys, signing) = (vec!["k x.test:s:/k".to_owned()], vec!["*@x.test k".to_owned()]);
        assert_eq!(read("k,x.test,s,/k,2024-01-01\n").0, keys);
        let dump = |rows: &str| format!("VERSION=3\nformat=print\nHEADER=END\n{rows}DATA=END\n");
        let both = dump(" k\n x.test:s:/k\n") + &dump(" *@x.test\n k\n");
        assert_eq!(read(&both), (keys, signing));
    }

    #[test]
    fn rows_of_one_column_are_a_list() {
        for text in ["a.test\nb.test\n", "# all\na.test # one\n\nb.test\n"] {
            let export = Export::parse(text, "/x").unwrap();
            let rows = export.rows("ExemptDomains").iter();
            assert_eq!(rows.map(|row| row.key.as_str()).collect::<Vec<_>>(), ["a.test", "b.test"]);
            assert!(export.rows("KeyTable").is_empty() && export.rows("SigningTable").is_empty());
        }
    }

    #[test]
    fn rfc4180_a_quote_within_quotes_is_written_twice() {
        let text = "\"\"\"a, b\"\"@x.test\",k\n";
        assert_eq!(read(text).1, ["\"a, b\"@x.test k"]);
        // Programs that write tabs escape these.
        assert_eq!(read("a\\\\b@x.test\tk\n").1, ["a\\b@x.test k"]);
        assert_eq!(read("a\\tb@x.test\tk\n").1, ["a\tb@x.test k"]);
        assert_eq!(read("k\tx.test\ts\ta\\r\\nb\n").0, ["k x.test:s:a\r\nb"]);
    }

    #[test]
    fn a_value_that_is_not_a_table_is_reported_with_its_place() {
        let error = |text| Export::parse(text, "/x").unwrap_err();
        assert!(error("k,x.test,s\n").starts_with("/x:1: expected two columns"));
        assert_eq!(error("a,b.c\n\"k,x\n"), "/x: line 2: an unmatched quote");
        assert!(error("HEADER=END\n a\\zz\n").contains("line 2"));
    }
}
