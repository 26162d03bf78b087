//! Writes records in the formats of DNS services.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::dkim::{Domain, Selector};

/// A record of type TXT.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct TxtRecord {
    pub(super) domain: String,
    /// `None` for a record that is not a key record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) selector: Option<String>,
    /// The full name, without a trailing dot.
    pub(super) name: String,
    pub(super) value: String,
}

impl TxtRecord {
    /// That of a key.
    pub(super) fn of_key(domain: &Domain, selector: &Selector, value: String) -> Self {
        Self {
            domain: domain.to_string(),
            selector: Some(selector.to_string()),
            name: selector.record_name(domain),
            value,
        }
    }
}

/// A format of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A zone file (RFC 1035 §5).
    Zone,
    /// One line for each record: the name, a tab, the value without quotes.
    Plain,
    /// The input of `aws route53 change-resource-record-sets --change-batch`.
    Route53,
    /// The body of a request to Cloudflare's `dns_records/batch`.
    Cloudflare,
    /// Input of nsupdate(1).
    Nsupdate,
    /// A zone in YAML for octoDNS's `YamlProvider`; a document for each.
    Octodns,
}

impl Format {
    const ALL: [(&str, Self); 6] = [
        ("zone", Self::Zone),
        ("plain", Self::Plain),
        ("route53", Self::Route53),
        ("cloudflare", Self::Cloudflare),
        ("nsupdate", Self::Nsupdate),
        ("octodns", Self::Octodns),
    ];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// The records, sorted by domain; `ttl` in seconds.
    pub(super) fn write(self, records: &[TxtRecord], ttl: Option<u32>) -> String {
        let set = ttl.unwrap_or(TTL);
        match self {
            Self::Zone => records.iter().map(|record| zone(record, ttl)).collect(),
            Self::Plain => records
                .iter()
                .map(|record| format!("{}\t{}\n", record.name, record.value))
                .collect(),
            Self::Route53 => pretty(&json!({
                "Comment": "DKIM keys",
                "Changes": records.iter().map(|record| route53(record, set)).collect::<Vec<_>>(),
            })),
            // 1 is "automatic".
            Self::Cloudflare => pretty(&json!({
                "posts": records
                    .iter()
                    .map(|record| cloudflare(record, ttl.unwrap_or(1)))
                    .collect::<Vec<_>>(),
            })),
            Self::Nsupdate => by_domain(records)
                .map(|records| {
                    let lines: String = records.iter().map(|one| nsupdate(one, set)).collect();
                    format!("{lines}send\n")
                })
                .collect(),
            Self::Octodns => by_domain(records).map(|records| octodns(records, set)).collect(),
        }
    }
}

/// The time to live in seconds, if a service requires one.
const TTL: u32 = 3600;

/// Groups adjacent records of the same domain.
fn by_domain(records: &[TxtRecord]) -> impl Iterator<Item = &[TxtRecord]> {
    records.chunk_by(|one, other| one.domain == other.domain)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Splits a value into strings of at most 255 bytes (RFC 1035 §3.3.14). If there are several, p= begins one, so that people find
/// it.
fn strings(value: &str) -> Vec<&str> {
    if value.len() <= 255 {
        return vec![value];
    }
    let start = value.find("; p=").map_or(0, |at| at.saturating_add(2));
    let (tags, key) = value.split_at_checked(start).unwrap_or(("", value));
    // The text is ASCII, so it can be split anywhere.
    let strings = [tags, key].into_iter().flat_map(|text| text.as_bytes().chunks(255));
    strings.map(|string| str::from_utf8(string).unwrap_or_default()).collect()
}

/// Quoted strings as in zone files (RFC 1035 §5.1), with a separator.
fn quoted(value: &str, between: &str) -> String {
    let quote = |string: &str| format!("\"{}\"", string.replace('\\', "\\\\").replace('"', "\\\""));
    strings(value).into_iter().map(quote).collect::<Vec<_>>().join(between)
}

fn zone(record: &TxtRecord, ttl: Option<u32>) -> String {
    let ttl = ttl.map(|ttl| format!("{ttl}\t")).unwrap_or_default();
    let strings = quoted(&record.value, "\n\t  ");
    format!("{}.\t{ttl}IN\tTXT\t( {strings} )\n", record.name)
}

fn route53(record: &TxtRecord, ttl: u32) -> Value {
    json!({
        "Action": "UPSERT",
        "ResourceRecordSet": {
            "Name": format!("{}.", record.name),
            "Type": "TXT",
            "TTL": ttl,
            "ResourceRecords": [{ "Value": quoted(&record.value, " ") }],
        },
    })
}

fn cloudflare(record: &TxtRecord, ttl: u32) -> Value {
    json!({
        "type": "TXT",
        "name": record.name,
        "content": quoted(&record.value, " "),
        "ttl": ttl,
    })
}

/// An update that can be repeated, because it first deletes the existing record.
fn nsupdate(record: &TxtRecord, ttl: u32) -> String {
    let (name, strings) = (&record.name, quoted(&record.value, " "));
    format!("update delete {name}. TXT\nupdate add {name}. {ttl} TXT {strings}\n")
}

fn octodns(records: &[TxtRecord], ttl: u32) -> String {
    let Some(first) = records.first() else { return String::new() };
    let mut text = format!("---\n# {}.yaml\n", first.domain);
    for record in records {
        let name = record.name.strip_suffix(&format!(".{}", record.domain));
        // octoDNS splits long values itself, and requires escaped semicolons.
        let value = record.value.replace('\\', "\\\\").replace(';', "\\;").replace('\'', "''");
        text.push_str(&format!(
            "'{}':\n  ttl: {ttl}\n  type: TXT\n  value: '{value}'\n",
            name.unwrap_or(&record.name)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &str) -> TxtRecord {
        TxtRecord {
            domain: "x.test".to_owned(),
            selector: Some("s".to_owned()),
            name: "s._domainkey.x.test".to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn no_string_is_longer_than_255_bytes() {
        let value = format!("v=DKIM1; k=rsa; p={}", "A".repeat(700));
        let strings = strings(&value);
        assert_eq!(strings.concat(), value);
        assert_eq!(strings.iter().map(|one| one.len()).collect::<Vec<_>>(), [16, 255, 255, 192]);
        assert!(strings[1].starts_with("p=A"));
        for (length, count) in [(255, 1), (256, 2)] {
            let value = format!("v=DKIM1; p={}", "A".repeat(length - 11));
            let strings = super::strings(&value);
            assert_eq!(
                (value.len(), strings.concat() == value, strings.len()),
                (length, true, count)
            );
        }
        // Without the usual space, too.
        let value = format!("p={}", "A".repeat(300));
        assert_eq!(
            super::strings(&value).iter().map(|one| one.len()).collect::<Vec<_>>(),
            [255, 47]
        );
    }

    #[test]
    fn each_format_has_the_ttl_that_was_asked_for_or_its_own() {
        let records = [record("v=DKIM1; p=A")];
        let name = "s._domainkey.x.test";
        for (format, ttl, wanted) in [
            (Format::Zone, None, format!("{name}.\tIN\tTXT\t( \"v=DKIM1; p=A\" )\n")),
            (Format::Zone, Some(60), format!("{name}.\t60\tIN\tTXT\t( \"v=DKIM1; p=A\" )\n")),
            (Format::Plain, Some(60), format!("{name}\tv=DKIM1; p=A\n")),
            (Format::Route53, None, "\"TTL\": 3600,".to_owned()),
            (Format::Route53, Some(60), "\"TTL\": 60,".to_owned()),
            (Format::Cloudflare, None, "\"ttl\": 1,".to_owned()),
            (Format::Cloudflare, Some(60), "\"ttl\": 60,".to_owned()),
            (Format::Nsupdate, None, format!("update add {name}. 3600 TXT \"v=DKIM1; p=A\"\n")),
            (Format::Nsupdate, Some(60), format!("update add {name}. 60 TXT \"v=DKIM1; p=A\"\n")),
            (Format::Octodns, None, "\n  ttl: 3600\n".to_owned()),
            (Format::Octodns, Some(60), "\n  ttl: 60\n".to_owned()),
        ] {
            let text = format.write(&records, ttl);
            assert!(text.contains(&wanted), "{format:?} {ttl:?}: {text}");
        }
    }

    #[test]
    fn an_update_deletes_no_record_but_the_one_that_it_replaces() {
        let text = Format::Nsupdate.write(&[record("v=DKIM1; p=A")], None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "update delete s._domainkey.x.test. TXT");
        assert!(lines[1].starts_with("update add s._domainkey.x.test. "), "{text}");
        assert_eq!(lines[2..], ["send"]);
    }

    #[test]
    fn quotes_and_backslashes_are_escaped_where_strings_are_quoted() {
        let record = record(&format!("v=DKIM1; n=\"a\\b\"; p={}", "A".repeat(240)));
        let quoted = "\"v=DKIM1; n=\\\"a\\\\b\\\"; \"";
        assert!(zone(&record, None).contains(&format!("TXT\t( {quoted}\n\t  \"p=AA")));
        let content = cloudflare(&record, 1)["content"].to_string();
        assert!(content.contains("\\\"; \\\" \\\"p=AA"), "{content}");
    }

    #[test]
    fn octodns_gets_semicolons_escaped_and_names_within_the_zone() {
        let text = octodns(&[record("v=DKIM1; p=")], 60);
        assert!(text.contains("\n's._domainkey':\n  ttl: 60\n"), "{text}");
        assert!(text.contains("\n  value: 'v=DKIM1\\; p='\n"), "{text}");
        // In YAML, a quote in quotes is written twice.
        let text = octodns(&[record("v=DKIM1; n=it's; p=")], 60);
        assert!(text.contains("\n  value: 'v=DKIM1\\; n=it''s\\; p='\n"), "{text}");
    }

    #[test]
    fn names_are_absolute_where_a_service_could_add_the_zone() {
        let name = "s._domainkey.x.test";
        let record = record("v=DKIM1; p=");
        assert_eq!(route53(&record, 1)["ResourceRecordSet"]["Name"], format!("{name}."));
        assert!(zone(&record, None).starts_with(&format!("{name}.\t")));
        assert!(nsupdate(&record, 1).contains(&format!("update add {name}. ")));
        assert_eq!(cloudflare(&record, 1)["name"], name);
    }

    #[test]
    fn an_update_is_sent_for_each_domain() {
        let other = TxtRecord { domain: "y.test".to_owned(), ..record("v=DKIM1; p=A") };
        let records = [record("v=DKIM1; p=A"), record("v=DKIM1; p=B"), other];
        let text = Format::Nsupdate.write(&records, None);
        assert_eq!(text.matches("send\n").count(), 2);
        assert_eq!(text.matches("update add ").count(), 3);
    }
}
