//! The wrapper as Postfix's content filter: which services pass mail to it, and for which clients. See docs/smtp.md.

use super::postconf::{Postfix, Service, View};
use crate::network::Network;

/// The user that the filter runs as, unless config.toml names another one.
pub(super) const USER: &str = "sendmail-dkim";

/// The transport in master.cf, and the value of `content_filter` and FILTER. A next hop keeps all recipients in one message;
/// otherwise Postfix would split them by domain.
pub(super) const TRANSPORT: &str = "dkim";
pub(super) const NEXT: &str = "dkim:dummy";

/// How many recipients Postfix passes to the filter at once; smtpd(8) accepts no more (`smtpd_recipient_limit`).
pub(super) const RECIPIENTS: [&str; 2] = ["dkim_destination_recipient_limit", "1000"];

/// Tables in the configuration directory: addresses of clients, and names of clients.
pub(super) const ADDRESSES: &str = "clients.cidr";
pub(super) const NAMES: &str = "clients.regexp";
/// Every client that authenticated.
pub(super) const LOGINS: &str = "logins.regexp";

/// The setting with which a service passes on the mail of some clients. Other software rarely uses it, and Postfix evaluates it
/// last, so no other FILTER action overrides it.
pub(super) const SOME: &str = "smtpd_end_of_data_restrictions";

/// The line of master.cf.
pub(super) fn line(user: &str) -> String {
    format!(
        "{TRANSPORT} unix - n n - 10 pipe flags=Rq user={user} null_sender= argv=/usr/sbin/sendmail.dkim -G -i \
         -O DkimLogin=${{sasl_username}} -O DkimClient=${{client_address}} -f ${{sender}} -- ${{recipient}}"
    )
}

/// Whether a service of smtpd(8) has a port on which programs and people submit mail: 25, 587 or 465.
pub(super) fn is_submission(service: &Service) -> bool {
    const PORTS: [&str; 7] = ["smtp", "25", "submission", "587", "submissions", "smtps", "465"];
    let (name, kind) = service.name.rsplit_once('/').unwrap_or((&service.name, ""));
    let port = name.rsplit(':').next().unwrap_or(name);
    // The service after postscreen(8).
    service.command == "smtpd"
        && (kind == "inet" && PORTS.contains(&port) || kind == "pass" && name == "smtpd")
}

/// Whether a service accepts mail of clients that are in none of the trusted networks and did not authenticate.
pub(super) fn accepts_strangers(view: &View<'_>) -> bool {
    let networks = Clients::of(words(view.value("mynetworks")));
    let knows_all = networks.left_out.iter().any(|entry| entry.contains(WIDE));
    !LISTS.iter().any(|list| {
        let list = view.value(list);
        refuses_strangers(list) && !(knows_all && permits_networks(list))
    })
}

/// Whether all mail that a service accepts is of clients that proved who they are. Where an address is enough, the table of clients
/// decides, as it may leave some out.
pub(super) fn asks_for_proof(view: &View<'_>) -> bool {
    let mut lists = LISTS.into_iter().map(|list| view.value(list));
    lists.any(|list| refuses_strangers(list) && !permits_networks(list))
}

/// Where smtpd(8) can refuse a client.
const LISTS: [&str; 6] = [
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
];

fn permits_networks(list: &str) -> bool {
    words(list).any(|word| word == "permit_mynetworks")
}

/// What unsigned mail may need once it has passed the filter.
pub(super) const RAW_HEADERS: &str = "an unsigned message with raw 8-bit text in its header requires SMTPUTF8 of the next hop once it has passed the \
    filter. If no program of this host passes non-ASCII addresses to sendmail(1), avoid that: \
    postconf -P pickup/unix/smtputf8_autodetect_classes=verify";

/// Whether Postfix looks for itself whether mail from sendmail(1) requires SMTPUTF8, as mail from the filter comes that way.
pub(super) fn asks_for_smtputf8(postfix: &Postfix) -> bool {
    postfix.views(&["pickup"]).iter().any(|view| {
        let mut classes = words(view.value("smtputf8_autodetect_classes"));
        view.value("smtputf8_enable") == "yes"
            && classes.any(|class| ["sendmail", "all"].contains(&class))
    })
}

/// Why a network is not accepted as a client.
const WIDE: &str = "too many addresses to be clients of this host";

/// Whether a list of restrictions only permits trusted clients and then rejects all others.
fn refuses_strangers(list: &str) -> bool {
    const TRUSTED: [&str; 4] = [
        "permit_sasl_authenticated",
        "permit_mynetworks",
        "permit_inet_interfaces",
        "permit_tls_clientcerts",
    ];
    for word in words(list) {
        if ["reject", "defer"].contains(&word) {
            return true;
        }
        if !TRUSTED.contains(&word) && !word.starts_with("reject_") {
            return false;
        }
    }
    false
}

/// The words of a list of Postfix.
pub(super) fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t', '\n', '\r']).filter(|word| !word.is_empty())
}

/// The clients whose mail goes to the filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clients {
    /// The first network with the client decides. `false` means that its mail does not go to the filter.
    pub(super) networks: Vec<(Network, bool)>,
    /// The same for host names. A leading dot means all hosts below a domain.
    pub(super) names: Vec<(String, bool)>,
    /// Other entries and networks that are too large, with the reason.
    pub(super) left_out: Vec<String>,
}

impl Clients {
    /// Reads entries such as `192.0.2.0/24`, `!192.0.2.7`, `[::1]/128` and `host.example.com`.
    pub(super) fn of<'a, E: IntoIterator<Item = &'a str>>(entries: E) -> Self {
        let mut clients = Self::default();
        for entry in entries {
            let (text, is_in) = entry.strip_prefix('!').map_or((entry, true), |text| (text, false));
            match Network::parse(text) {
                Ok(network) if is_in && network.is_wide() => {
                    clients.left_out.push(format!("{entry}: {WIDE}"));
                }
                Ok(network) => clients.networks.push((network, is_in)),
                Err(_) if is_name(text) => clients.names.push((text.to_ascii_lowercase(), is_in)),
                Err(why) => clients.left_out.push(format!("{entry}: {why}")),
            }
        }
        clients
    }

    /// Sorts smaller networks first, and for equal networks the excluded one first, as OpenDKIM decides.
    pub(super) fn by_size(mut self) -> Self {
        self.networks.sort_by_key(|(network, is_in)| (std::cmp::Reverse(network.prefix()), *is_in));
        self.names.sort_by_key(|(name, is_in)| {
            (name.starts_with('.'), std::cmp::Reverse(name.len()), *is_in)
        });
        self
    }

    /// The table of addresses, `cidr_table(5)`.
    pub(super) fn addresses(&self) -> String {
        let rows = self.networks.iter().map(|(network, is_in)| (network.to_string(), *is_in));
        table("cidr_table(5): the first row that matches the client's address applies.", rows)
    }

    /// The table of names, `regexp_table(5)`. Postfix has verified the name: it resolves to the address.
    pub(super) fn name_table(&self) -> String {
        let rows = self.names.iter().map(|(name, is_in)| {
            let anchor = if name.starts_with('.') { "" } else { "^" };
            (format!("/{anchor}{}$/", name.replace('.', "\\.")), *is_in)
        });
        table("regexp_table(5): the first row that matches the client's name applies.", rows)
    }
}

/// The table of clients that authenticated.
pub(super) fn logins() -> String {
    table("regexp_table(5): every client that authenticated.", [("/./".to_owned(), true)])
}

fn table(what: &str, rows: impl IntoIterator<Item = (String, bool)>) -> String {
    let mut text = format!(
        "# Clients whose mail by SMTP goes to sendmail.dkim, see docs/smtp.md. {what}\n\
         # Written by dkimctl if there is no such file; add hosts that submit their own mail, not hosts that forward mail.\n"
    );
    for (key, is_in) in rows {
        let action = if is_in { format!("FILTER {NEXT}") } else { "DUNNO".to_owned() };
        text.push_str(&format!("{key} {action}\n"));
    }
    text
}

fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    text.bytes().all(is_plain) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_rejects_all_but_trusted_clients_keeps_strangers_out() {
        for list in [
            "permit_sasl_authenticated,reject",
            "permit_mynetworks, permit_sasl_authenticated, reject",
            "reject_unknown_sender_domain permit_sasl_authenticated defer",
            "permit_inet_interfaces, permit_tls_clientcerts, reject",
            "reject",
        ] {
            assert!(refuses_strangers(list), "{list}");
        }
        for list in [
            "",
            "permit_mynetworks, reject_unauth_destination",
            "check_client_access hash:/x, reject",
            "permit_sasl_authenticated, permit, reject",
            "permit_sasl_authenticated, warn_if_reject reject",
            "permit_auth_destination, reject",
        ] {
            assert!(!refuses_strangers(list), "{list}");
        }
    }

    #[test]
    fn mail_is_submitted_at_ports_25_587_and_465() {
        let is_meant = |line: &str| is_submission(&Postfix::of("", line, "").services[0]);
        for name in ["smtp", "25", "submission", "587", "submissions", "smtps", "465", "[::1]:587"]
        {
            assert!(is_meant(&format!("{name} inet n - n - - smtpd")), "{name}");
        }
        assert!(is_meant("smtpd pass - - n - - smtpd"));
        for line in [
            // The port at which another filter hands mail back.
            "127.0.0.1:10025 inet n - n - - smtpd",
            "smtp inet n - n - 1 postscreen",
            "smtp unix - - n - - smtp",
            "other pass - - n - - smtpd",
        ] {
            assert!(!is_meant(line), "{line}");
        }
    }

    #[test]
    fn any_list_of_smtpd_can_ask_for_proof() {
        for stage in ["client", "helo", "sender", "relay", "recipient", "data"] {
            let list = format!("smtpd_{stage}_restrictions");
            for (value, has_proof, is_public) in [
                ("permit_sasl_authenticated, reject", true, false),
                ("permit_mynetworks, permit_sasl_authenticated, reject", false, false),
                ("permit_mynetworks, reject_unauth_destination", false, true),
            ] {
                let main = format!("mynetworks = 127.0.0.0/8\n{list} = {value}\n");
                let postfix = Postfix::of(&main, "", "");
                let found = (asks_for_proof(&postfix.view()), accepts_strangers(&postfix.view()));
                assert_eq!(found, (has_proof, is_public), "{main}");
            }
        }
    }

    #[test]
    fn raw_text_in_a_header_requires_smtputf8_where_mail_of_sendmail_is_checked() {
        for (enable, classes, of_pickup, expected) in [
            ("yes", "sendmail, verify", "", true),
            ("yes", "all", "", true),
            ("no", "all", "", false),
            ("yes", "verify", "", false),
            ("yes", "all", "pickup/unix/smtputf8_autodetect_classes = verify\n", false),
        ] {
            let main =
                format!("smtputf8_enable = {enable}\nsmtputf8_autodetect_classes = {classes}\n");
            let postfix = Postfix::of(&main, "pickup unix n - n 60 1 pickup\n", of_pickup);
            assert_eq!(asks_for_smtputf8(&postfix), expected, "{main}{of_pickup}");
        }
    }

    #[test]
    fn strangers_are_in_a_network_that_is_too_wide() {
        for (networks, permitted, accepts) in [
            ("127.0.0.0/8", "permit_mynetworks", false),
            ("127.0.0.0/8 0.0.0.0/0", "permit_mynetworks", true),
            ("127.0.0.0/8 0.0.0.0/0", "permit_sasl_authenticated", false),
        ] {
            let main = format!(
                "mynetworks = {networks}\nsmtpd_relay_restrictions = {permitted}, reject\n"
            );
            let postfix = Postfix::of(&main, "", "");
            assert_eq!(accepts_strangers(&postfix.view()), accepts, "{main}");
        }
    }

    #[test]
    fn clients_become_rows_of_tables() {
        let clients = Clients::of([
            "127.0.0.0/8",
            "[::1]/128",
            "!192.0.2.7",
            "192.0.2.0/24",
            "0.0.0.0/0",
            "::/0",
            "0.0.0.0/1",
            "!0.0.0.0/1",
            "hash:/x",
            "host.example.com",
            "!.bad.example",
            "192.0.2.1/24",
        ]);
        let addresses = clients.addresses();
        let rows = clients_rows(&addresses);
        assert_eq!(
            rows,
            [
                "127.0.0.0/8 FILTER dkim:dummy",
                "::1 FILTER dkim:dummy",
                "192.0.2.7 DUNNO",
                "192.0.2.0/24 FILTER dkim:dummy",
                "0.0.0.0/1 DUNNO",
            ]
        );
        let names = clients.name_table();
        assert_eq!(
            clients_rows(&names),
            ["/^host\\.example\\.com$/ FILTER dkim:dummy", "/\\.bad\\.example$/ DUNNO",]
        );
        assert_eq!(clients.left_out.len(), 5, "{:?}", clients.left_out);
    }

    fn clients_rows(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.starts_with('#')).collect()
    }

    #[test]
    fn of_two_networks_the_smaller_one_decides_where_that_is_asked_for() {
        let clients =
            Clients::of(["10.0.0.0/8", "!10.1.0.0/16", "10.1.2.3", "!10.1.2.3", "::1"]).by_size();
        let networks = clients.networks.iter().map(|(network, is_in)| format!("{network} {is_in}"));
        let expected =
            ["::1 true", "10.1.2.3 false", "10.1.2.3 true", "10.1.0.0/16 false", "10.0.0.0/8 true"];
        assert_eq!(networks.collect::<Vec<_>>(), expected);
    }
}
