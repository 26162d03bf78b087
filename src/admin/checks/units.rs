//! Checks the units of services that send mail for settings that disable set-gid programs or make the mail queue read-only. The
//! unit files are read directly, because systemd may not be running.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::finding::Finding;
use crate::admin::input;

/// Where units are, in order of increasing precedence.
const FOLDERS: [&str; 5] = [
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/usr/local/lib/systemd/system",
    "/run/systemd/system",
    "/etc/systemd/system",
];

/// Whether programs send mail from this service.
fn sends_mail(unit: &str) -> bool {
    const NAMES: &str =
        "apache2 atd cron crond cronie fcron gitea httpd lighttpd uwsgi zabbix-server";
    let Some(name) = unit.strip_suffix(".service") else { return false };
    let base = name.split('@').next().unwrap_or(name);
    NAMES.split(' ').any(|name| name == base) || (base.starts_with("php") && base.ends_with("fpm"))
}

pub(crate) fn findings() -> Vec<Finding> {
    let names =
        FOLDERS.iter().flat_map(|folder| input::names(Path::new(folder)).unwrap_or_default());
    let units = names.map(|name| name.strip_suffix(".d").unwrap_or(&name).to_owned());
    let units: BTreeSet<String> = units.filter(|unit| sends_mail(unit)).collect();
    units.iter().flat_map(|unit| judge(unit, &settings(&files_of(unit)))).collect()
}

/// Checks the service of Postfix and its instances.
pub(crate) fn of_postfix() -> Vec<Finding> {
    let units = ["postfix.service", "postfix@.service", "postfix@-.service"];
    units.iter().filter_map(|unit| judge(unit, &settings(&files_of(unit)))).collect()
}

/// The unit file with the highest precedence, then all drop-ins in the order of their names.
fn files_of(unit: &str) -> Vec<PathBuf> {
    let main = FOLDERS.iter().rev().map(|folder| Path::new(folder).join(unit));
    let mut files: Vec<PathBuf> = main.filter(|path| path.exists()).take(1).collect();
    let mut drop_ins = BTreeMap::new();
    for folder in FOLDERS {
        let folder = Path::new(folder).join(format!("{unit}.d"));
        let names = input::names(&folder).unwrap_or_default().into_iter();
        let names = names.filter(|name| name.ends_with(".conf"));
        drop_ins.extend(names.map(|name| (name.clone(), folder.join(name))));
    }
    files.extend(drop_ins.into_values());
    files
}

/// Settings by name: the value, and the file it is in.
type Settings = BTreeMap<String, (String, String)>;

/// The settings of `[Service]`. The last one of each name applies; lists are joined.
fn settings(files: &[PathBuf]) -> Settings {
    let mut settings = Settings::new();
    for path in files {
        let text = input::text(path, input::FOREIGN).unwrap_or_default();
        read(&text, &path.display().to_string(), &mut settings);
    }
    settings
}

fn read(text: &str, place: &str, settings: &mut Settings) {
    let mut is_service = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_service = line == "[Service]";
        }
        let Some((name, value)) = line.split_once('=').filter(|_| is_service) else { continue };
        let (name, value) = (name.trim(), value.trim());
        if line.starts_with(['#', ';']) {
            continue;
        }
        let before = settings.get(name).filter(|_| name == "ReadWritePaths" && !value.is_empty());
        let before = before.map(|(before, _)| format!("{before} ")).unwrap_or_default();
        settings.insert(name.to_owned(), (format!("{before}{value}"), place.to_owned()));
    }
}

fn judge(unit: &str, settings: &Settings) -> Option<Finding> {
    let value = |name: &str| settings.get(name).map_or("", |(value, _)| value);
    let fault = |name: &str, meaning: &str, line: &str| {
        let (value, place) = settings.get(name)?;
        Some(Finding::error(
            "unit",
            format!("{place}: {name}={value}: {meaning}"),
            format!("systemctl edit {unit}: {line} in [Service]; then restart it"),
        ))
    };
    let is_on = |name: &&str| {
        ["yes", "y", "true", "t", "on", "1"].contains(&&*value(name).to_ascii_lowercase())
    };
    let without_rights = ["NoNewPrivileges", "DynamicUser", "PrivateUsers"].into_iter().find(is_on);
    if let Some(name) = without_rights {
        let meaning = "set-gid programs are disabled in this unit, including sendmail.dkim and Postfix's postdrop; \
                       its mail is neither signed nor accepted";
        return fault(name, meaning, &format!("{name}=no"));
    }
    let has_queue = value("ReadWritePaths").split_whitespace().any(|path| {
        let path = path.trim_start_matches(['-', '+']).trim_end_matches('/');
        ["/var", "/var/spool", "/var/spool/postfix", "/var/spool/postfix/maildrop"].contains(&path)
    });
    implied(unit, settings).or_else(|| {
        let is_closed = value("ProtectSystem") == "strict" && !has_queue;
        let meaning = "the queue of Postfix is read-only in this unit";
        fault("ProtectSystem", meaning, "ReadWritePaths=/var/spool/postfix").filter(|_| is_closed)
    })
}

/// If `User=` is not root, settings that use seccomp filters imply `NoNewPrivileges=` (systemd.exec(5); tested with systemd 252).
/// This does not apply to a unit that runs as root and whose programs change their user themselves.
fn implied(unit: &str, settings: &Settings) -> Option<Finding> {
    const IMPLYING: &str = "LockPersonality MemoryDenyWriteExecute PrivateDevices ProtectClock ProtectHostname \
        ProtectKernelLogs ProtectKernelModules ProtectKernelTunables RestrictAddressFamilies RestrictNamespaces \
        RestrictRealtime RestrictSUIDSGID SystemCallArchitectures SystemCallFilter SystemCallLog";
    let value = |name: &str| settings.get(name).map_or("", |(value, _)| value);
    if ["", "root", "0"].contains(&value("User")) {
        return None;
    }
    let is_off = |name: &str| {
        ["", "no", "n", "false", "f", "off", "0"].contains(&&*value(name).to_ascii_lowercase())
    };
    let found: Vec<&str> = IMPLYING.split(' ').filter(|name| !is_off(name)).collect();
    let (_, place) = settings.get(*found.first()?)?;
    Some(Finding::warning(
        "unit",
        format!(
            "{place}: with User={}, {} may imply NoNewPrivileges; then mail is neither signed nor \
             accepted",
            value("User"),
            found.join(", ")
        ),
        format!(
            "send a test mail from {unit}; if it does not arrive, remove these settings or submit by SMTP"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(texts: &[&str]) -> Vec<String> {
        let mut settings = Settings::new();
        for (number, text) in texts.iter().enumerate() {
            read(text, &format!("/{number}"), &mut settings);
        }
        judge("x.service", &settings).into_iter().map(|finding| finding.evidence).collect()
    }

    #[test]
    fn a_set_gid_program_needs_new_privileges() {
        for name in ["NoNewPrivileges", "DynamicUser", "PrivateUsers"] {
            let found = evidence(&[&format!("[Unit]\n[Service]\n{name} = true\n")]);
            assert!(found[0].starts_with(&format!("/0: {name}=true: ")), "{found:?}");
        }
        for (value, is_on) in
            [("yes", true), ("Y", true), ("t", true), ("ON", true), ("1", true), ("n", false)]
        {
            let found = evidence(&[&format!("[Service]\nNoNewPrivileges={value}\n")]);
            assert_eq!(!found.is_empty(), is_on, "{value}");
        }
        assert!(evidence(&["[Unit]\nNoNewPrivileges=yes\n"]).is_empty());
        assert!(evidence(&["[Service]\n#NoNewPrivileges=yes\n"]).is_empty());
    }

    #[test]
    fn a_filter_implies_it_for_a_user() {
        let filter = "[Service]\nRestrictSUIDSGID=yes\nSystemCallFilter=@system-service\n";
        let found = evidence(&[&format!("{filter}User=www-data\n")]);
        let named = "with User=www-data, RestrictSUIDSGID, SystemCallFilter may imply";
        assert!(found[0].contains(named), "{found:?}");
        assert!(evidence(&[filter]).is_empty());
        assert!(evidence(&[&format!("{filter}User=root\n")]).is_empty());
        let off = "[Service]\nUser=a\nProtectClock=no\nSystemCallFilter=\nPrivateDevices=f\n";
        assert!(evidence(&[off]).is_empty());
    }

    #[test]
    fn a_drop_in_overrides_the_unit() {
        assert!(
            evidence(&["[Service]\nNoNewPrivileges=yes", "[Service]\nNoNewPrivileges=no"])
                .is_empty()
        );
        let found = evidence(&["[Service]\nNoNewPrivileges=no", "[Service]\nNoNewPrivileges=yes"]);
        assert!(found[0].starts_with("/1: "), "{found:?}");
    }

    #[test]
    fn the_queue_must_be_writable() {
        let strict = "[Service]\nProtectSystem=strict\n";
        assert_eq!(evidence(&[strict]).len(), 1);
        let paths = "[Service]\nReadWritePaths=/var/spool/postfix\nReadWritePaths=/srv\n";
        assert!(evidence(&[strict, paths]).is_empty());
        // An empty list takes out the paths before it.
        assert_eq!(evidence(&[strict, paths, "[Service]\nReadWritePaths=\n"]).len(), 1);
        for (path, is_closed) in
            [("-/var/spool/", false), ("+/var", false), ("/var/spool/cron", true)]
        {
            let found = evidence(&[strict, &format!("[Service]\nReadWritePaths={path}\n")]);
            assert_eq!(!found.is_empty(), is_closed, "{path}");
        }
        assert!(evidence(&["[Service]\nProtectSystem=full\n"]).is_empty());
    }

    #[test]
    fn services_of_php_apache_and_cron_send_mail() {
        for unit in
            ["php-fpm.service", "php8.2-fpm.service", "php@7.4-fpm.service", "apache2@a.service"]
        {
            assert_eq!(sends_mail(unit), unit != "php@7.4-fpm.service", "{unit}");
        }
        for name in ["apache2", "atd", "cron", "crond", "cronie", "fcron", "gitea", "httpd"] {
            assert!(sends_mail(&format!("{name}.service")), "{name}");
        }
        for name in ["lighttpd", "uwsgi", "zabbix-server"] {
            assert!(sends_mail(&format!("{name}.service")), "{name}");
        }
        assert!(!sends_mail("postfix.service") && !sends_mail("cron"));
    }
}
