//! Checks `sendmail_path` of PHP: whether `mail()` calls the wrapper, and passes `-i` so that a single dot does not end the
//! message.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::finding::{Finding, Severity};
use super::install::{SENDMAIL, WRAPPERS};
use crate::admin::input;

/// Where distributions keep php.ini and the pools of php-fpm.
const PLACES: [&str; 4] = ["/etc/php.ini", "/etc/php.d", "/etc/php", "/etc/php-fpm.d"];

/// The deepest folder that is searched.
const DEEPEST: usize = 5;

pub(crate) fn findings() -> Vec<Finding> {
    let mut files = Vec::new();
    for place in PLACES {
        collect(Path::new(place), 0, &mut files);
    }
    files.sort();
    // An enabled file is often a link to an available one.
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for path in files {
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if !seen.insert(real) {
            continue;
        }
        let bytes = input::read(&path, input::FOREIGN).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        findings.extend(text.lines().filter_map(setting).filter_map(|value| judge(&path, value)));
    }
    findings
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    if path.is_dir() && depth < DEEPEST {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            collect(&entry.path(), depth.saturating_add(1), files);
        }
    } else if path.extension().is_some_and(|kind| kind == "ini" || kind == "conf") {
        files.push(path.to_owned());
    }
}

/// `sendmail_path = ...` of php.ini, `php_admin_value[sendmail_path] = ...` of a pool.
fn setting(line: &str) -> Option<&str> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_it = name == "sendmail_path"
        || ["php_admin_value[sendmail_path]", "php_value[sendmail_path]"].contains(&name);
    let value = value.trim();
    let quoted = |quote| Some(value.strip_prefix(quote)?.split_once(quote)?.0);
    // A semicolon begins a comment.
    let bare = value.split_once(';').map_or(value, |(value, _)| value);
    let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(bare).trim();
    (is_it && !value.is_empty()).then_some(value)
}

fn judge(path: &Path, value: &str) -> Option<Finding> {
    let mut words = value.split_whitespace();
    let program = words.next()?;
    let shown = path.display();
    let is_ours =
        program == "sendmail" || SENDMAIL.contains(&program) || WRAPPERS.contains(&program);
    let keeps_dots =
        words.any(|word| word.starts_with("-oi") || (is_flags(word) && word.contains('i')));
    let (severity, meaning) = if !is_ours {
        (Severity::Warning, "mail() bypasses the wrapper")
    } else if !keeps_dots {
        (Severity::Info, "without -i a line containing a single dot ends the message")
    } else {
        return None;
    };
    Some(Finding::new(
        severity,
        "php_sendmail_path",
        format!("{shown}: sendmail_path = {value}: {meaning}"),
        "sendmail_path = \"/usr/sbin/sendmail -t -i\"",
    ))
}

/// Whether the word has only options without values.
fn is_flags(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|letters| {
        !letters.is_empty() && letters.chars().all(|letter| "timnvG".contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<Severity> {
        judge(Path::new("/php.ini"), setting(line)?).map(|finding| finding.severity)
    }

    #[test]
    fn php_calls_the_wrapper_and_lets_dots_be_text() {
        for (line, wanted) in [
            (";sendmail_path =", None),
            ("sendmail_path =", None),
            ("sendmail_path = \"/usr/sbin/sendmail -t -i\"", None),
            ("sendmail_path = /usr/sbin/sendmail -ti -f a@b.test", None),
            ("sendmail_path = /usr/sbin/sendmail -t -oi", None),
            ("sendmail_path = /usr/sbin/sendmail -t -fi@b.test", Some(Severity::Info)),
            ("php_admin_value[sendmail_path] = /usr/sbin/sendmail -t", Some(Severity::Info)),
            ("sendmail_path = /usr/bin/msmtp -t -i", Some(Severity::Warning)),
            ("php_value[sendmail_path] = /usr/bin/msmtp -t -i", Some(Severity::Warning)),
            ("sendmail_path = \"/usr/sbin/sendmail -t -i\" ; as Debian has it", None),
            ("sendmail_path = '/usr/sbin/sendmail -t' ; -i", Some(Severity::Info)),
            ("sendmail_path = /usr/sbin/sendmail -t ; -i", Some(Severity::Info)),
            ("sendmail_path = ; nothing", None),
            // The paths that lead to the wrapper.
            ("php_value[sendmail_path] = /usr/bin/sendmail -t -i", None),
            ("sendmail_path = /usr/lib/sendmail -t -i", None),
            ("sendmail_path = /usr/sbin/sendmail.dkim -t -i", None),
            ("sendmail_path = sendmail -t -i", None),
            ("sendmail_path = /usr/sbin/sendmail.postfix -t -i", Some(Severity::Warning)),
        ] {
            assert_eq!(found(line), wanted, "{line}");
        }
    }

    #[test]
    fn the_pool_of_a_version_is_read_and_no_backup() {
        let folder = crate::admin::temporary::Temporary::new("checks-php").unwrap();
        let names = ["8.2/fpm/pool.d/www.conf", "8.2/cli/php.ini", "8.2/cli/php.ini.bak"];
        for path in names.map(|name| folder.path.join(name)) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut files = Vec::new();
        collect(&folder.path, 0, &mut files);
        files.sort();
        assert_eq!(files, [names[1], names[0]].map(|name| folder.path.join(name)));
    }
}
