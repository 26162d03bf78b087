//! Mail that clients submit by SMTP: the wrapper as Postfix's content filter next to OpenDKIM as `smtpd_milters`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::figures::Extent;
use crate::host::Host;
use crate::measure::{Arm, Plan, Series, compare};
use crate::messages::{Kind, message};
use crate::report;
use crate::signers::RSA;
use crate::statistics::{Spread, added, longer};

/// Messages of one size by so many clients at once: Postfix alone, both milters, wrapper.
#[derive(Debug)]
pub(crate) struct BySmtp {
    bytes: usize,
    clients: usize,
    series: Vec<Series>,
}

/// A port without content filter, with the milter where the host has one, and one with the wrapper as its filter.
const DIRECT: &str = "smtp:10026";
const FILTERED: &str = "smtp:10025";

const SIZES: [usize; 2] = [1_000, 10_000_000];
const CLIENTS: [usize; 2] = [1, 8];

/// What docs/smtp.md has.
const LINE: &str = "dkim/unix=dkim unix - n n - 10 pipe flags=Rq user=sendmail-dkim null_sender= \
    argv=/usr/sbin/sendmail.dkim -G -i -O DkimLogin=${sasl_username} -O DkimClient=${client_address} \
    -f ${sender} -- ${recipient}";

/// The first host is that of the wrapper, the next two have a milter.
pub(crate) fn measure(hosts: &mut [Host], extent: Extent) -> Vec<BySmtp> {
    for host in &hosts[..3] {
        host.sandbox.root(
            "postconf -M '10026/inet=10026 inet n - n - - smtpd'
            postconf -e smtpd_milters=$(postconf -hx non_smtpd_milters); postfix reload",
        );
    }
    hosts[0].sandbox.root(&format!(
        "useradd --system --no-create-home --gid nogroup --shell /usr/sbin/nologin sendmail-dkim
        printf 'filter_user = \"sendmail-dkim\"\\nsmtp = true\\n' >>/etc/sendmail-dkim/config.toml
        postconf -M '{LINE}' '10025/inet=10025 inet n - n - - smtpd -o content_filter=dkim:dummy'; postfix reload"
    ));
    let is_quick = extent == Extent::Quick;
    let mut all = Vec::new();
    for bytes in SIZES {
        let text = message(RSA, bytes, Kind::Ascii);
        let arm = |name, host: usize, program, is_signed| {
            let file = hosts[host].keep(&format!("smtp.{bytes}"), &text);
            Arm { name, host, program, files: vec![file], is_signed }
        };
        let arms = [
            arm("Postfix alone", 0, DIRECT, false),
            arm("OpenDKIM, TCP socket", 1, DIRECT, true),
            arm("OpenDKIM, Unix socket", 2, DIRECT, true),
            arm("sendmail.dkim", 0, FILTERED, true),
        ];
        for clients in CLIENTS {
            let (count, rounds): (usize, usize) = match (bytes > 1_000_000, clients) {
                (false, 1) => (20, 12),
                (false, _) => (150, 5),
                (true, 1) => (2, 9),
                (true, _) => (16, 4),
            };
            let (count, rounds) = if is_quick { (count.div_ceil(2), 2) } else { (count, rounds) };
            let plan = match clients {
                1 => Plan::one_by_one(count, rounds),
                _ => Plan::crowd(clients, count, rounds),
            };
            let series = compare(hosts, &arms, plan, |_, _| {});
            all.push(BySmtp { bytes, clients, series });
        }
    }
    all
}

/// As Markdown.
pub(crate) fn table(all: &[BySmtp], place: &str) -> String {
    let mut text = "| message, clients | | Postfix alone | OpenDKIM adds, TCP socket | OpenDKIM adds, Unix socket | sendmail.dkim adds |\n|---|---|---|---|---|---|\n".to_owned();
    for one in all {
        let series = &one.series;
        let what = format!("{} bytes, {}", report::thousands(one.bytes), one.clients);
        let cells = |first: Spread, rest: &dyn Fn(usize) -> Spread| {
            let all = [first, rest(1), rest(2), rest(3)];
            all.map(report::milliseconds).join(" | ")
        };
        let cost = |at: usize| added(&series[at].total, &series[0].total);
        let row = cells(Spread::of(&series[0].total), &cost);
        writeln!(text, "| {what} | CPU | {row} |").unwrap();
        let wait = |at: usize| longer(series[at].wait(), series[0].wait());
        let row = cells(series[0].wait(), &wait);
        writeln!(text, "| | until the peer has it | {row} |").unwrap();
        let call = |at: usize| longer(series[at].call(), series[0].call());
        let row = cells(series[0].call(), &call);
        writeln!(text, "| | until the client is answered | {row} |").unwrap();
        let rates = series.iter().map(|series| format!("{:.1}", Spread::of(&series.rates).median));
        let row = rates.collect::<Vec<_>>().join(" | ");
        writeln!(text, "| | messages a second, not what is added | {row} |").unwrap();
    }
    writeln!(
        text,
        "\nMedians, and the quartiles in parentheses; a session for each message. {place}."
    )
    .unwrap();
    text
}

pub(crate) fn json(all: &[BySmtp]) -> Value {
    let one = |one: &BySmtp| {
        let series: Vec<Value> = one.series.iter().map(report::raw).collect();
        json!({ "bytes": one.bytes, "clients": one.clients, "series": series })
    };
    all.iter().map(one).collect()
}

/// Puts the table between the marks of the document.
pub(crate) fn write_into(path: &Path, table: &str) {
    const BEGIN: &str = "<!-- figures by SMTP: written by make bench -->\n\n";
    report::write_between(path, [BEGIN, "<!-- end of the figures -->\n"], &format!("{table}\n"));
}
