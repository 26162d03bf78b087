//! Converts `InternalHosts` of OpenDKIM and `sign_networks` of rspamd to the clients whose mail by SMTP Postfix passes to the
//! wrapper.

use super::data_set::Table;
use crate::admin::filter::Clients;

/// The addresses of this host itself.
const LOCAL: [&str; 4] = ["::1", "::1/128", "localhost", "[::1]"];

/// The clients in a table. `None` if it only names this host. If two rows match, OpenDKIM uses the narrower one
/// (`dkimf_checkip`), and a row with `!` before one without.
pub(super) fn clients(table: &Table) -> Option<Clients> {
    let hosts = || table.rows.iter().map(|row| row.key.as_str());
    if hosts().all(|host| LOCAL.contains(&host) || host.starts_with("127.")) {
        return None;
    }
    let entries: Vec<String> = hosts().map(entry).collect();
    Some(Clients::of(entries.iter().map(String::as_str)).by_size())
}

/// `*.example.com` in a refile means `.example.com`.
fn entry(host: &str) -> String {
    let (not, host) = host.strip_prefix('!').map_or(("", host), |host| ("!", host));
    format!("{not}{}", host.strip_prefix('*').filter(|host| host.starts_with('.')).unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::super::data_set::{Kind, Row};
    use super::*;

    fn of(hosts: &[&str]) -> Option<Clients> {
        let row = |host: &&str| Row {
            key: (*host).to_owned(),
            value: String::new(),
            place: String::new(),
        };
        clients(&Table::new(Kind::Pattern, hosts.iter().map(row).collect()))
    }

    #[test]
    fn this_host_alone_has_no_table() {
        assert_eq!(of(&["127.0.0.1", "::1", "localhost"]), None);
        for host in ["127.0.0.0/8", "::1/128", "[::1]"] {
            assert_eq!(of(&[host]), None, "{host}");
        }
    }

    #[test]
    fn a_star_before_a_dot_is_dropped_and_any_other_star_is_left_out() {
        let found = of(&["*.example.com", "!*.bad.example.com", "*example.net"]).unwrap();
        let names = [(".bad.example.com".to_owned(), false), (".example.com".to_owned(), true)];
        assert_eq!((found.names, found.left_out.len()), (names.to_vec(), 1));
    }

    #[test]
    fn hosts_networks_exceptions_and_names_become_rows() {
        let found = of(&[
            "127.0.0.1",
            "192.0.2.0/24",
            "!192.0.2.7",
            "*.example.com",
            "!bad.example.com",
            "mail.example.net",
            "db:x",
        ])
        .unwrap();
        let rows = |text: &str| {
            let rows = text.lines().filter(|line| !line.starts_with('#'));
            rows.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            rows(&found.addresses()),
            ["192.0.2.7 DUNNO", "127.0.0.1 FILTER dkim:dummy", "192.0.2.0/24 FILTER dkim:dummy",]
        );
        assert_eq!(
            rows(&found.name_table()),
            [
                "/^mail\\.example\\.net$/ FILTER dkim:dummy",
                "/^bad\\.example\\.com$/ DUNNO",
                "/\\.example\\.com$/ FILTER dkim:dummy",
            ]
        );
        assert_eq!(found.left_out.len(), 1, "{:?}", found.left_out);
    }
}
