//! `dkimctl record`: prints the records to publish, in the format of a DNS service.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::checks::finding::Finding;
use super::cli::{Args, DOMAIN, Opt, SELECTOR_ONLY, number};
use super::format::{Format, TxtRecord};
use super::output::{Failure, Progress, say};
use super::store::keys::KeyFolder;
use super::store::waiting;
use super::{input, parallel, store};
use crate::dkim::{Domain, Selector};

pub(super) const OPTIONS: &[Opt] = &[
    DOMAIN,
    Opt("--all", "use every domain that has keys on this host"),
    Opt("--merge", "read records that --json printed on other hosts"),
    SELECTOR_ONLY,
    Opt("--format zone|plain|route53|cloudflare|nsupdate|octodns", "print only records"),
    Opt("--dmarc", "add the DMARC record, which replaces a published one"),
    Opt("--ttl SECONDS", "time to live (default: that of the zone, or 3600)"),
];

pub(super) const HELP: &str = "\
usage: dkimctl record [OPTION...] DOMAIN... | --all | --merge FILE...

Print the DNS records to publish, in the format of a DNS service.

Prints the records of keys that sign, of keys that wait for their record, and of
revoked keys. Without --format, prints them for people to read, together with
the DMARC record. The formats are:
  zone        zone file
  plain       one line for each record: name, tab, value
  route53     change batch for the AWS command line
  cloudflare  body of a request to dns_records/batch
  nsupdate    input of nsupdate(1)
  octodns     YAML of octoDNS, one document for each domain

With --merge, `-` is stdin. If two hosts have different keys of the same name,
nothing is printed.

Exits with 65 if a record or a key is unusable; the others are printed.
";

/// The output of `--json`, which `--merge` reads.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Records {
    records: Vec<TxtRecord>,
    /// The DMARC records to publish with them, if a domain has none yet.
    #[serde(default)]
    dmarc: Vec<TxtRecord>,
}

/// The envelope that `--json` prints, as far as `--merge` reads it.
#[derive(Deserialize, Serialize)]
struct Printed {
    result: Records,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let selector = args.value("--selector", store::keys::selector)?;
    let format = args.text("--format")?.and_then(Format::parse);
    let ttl = args.value("--ttl", number)?;
    if args.is_json() && (format.is_some() || ttl.is_some()) {
        return Err(Failure::usage("--json excludes --format and --ttl"));
    }
    let (all, merge, has_operands) =
        (args.has("--all"), args.has("--merge"), !args.operands.is_empty());
    let mut failures = Vec::new();
    let mut records = match (all, merge, has_operands) {
        (false, true, true) => merged(&args.operands)?,
        (true, false, false) | (false, false, true) => {
            let mut folders = KeyFolder::chosen(&args.etc, &args.domains()?)?;
            if all {
                folders.extend(KeyFolder::shared(&args.etc)?);
                folders.sort_by(|one, other| one.domain.cmp(&other.domain));
            }
            of_folders(&folders, &mut failures)?
        }
        _ => return Err(Failure::usage("expected one of DOMAIN..., --all, --merge FILE...")),
    };
    if let Some(selector) = &selector {
        records.retain(|record| record.selector.as_deref() == Some(selector.as_str()));
    }
    if records.is_empty() && failures.is_empty() {
        let selector = selector.map_or_else(String::new, |one| format!(" named {one}"));
        return Err(match selector.is_empty() && !has_operands {
            true => waiting::no_domains(&args.etc),
            false => Failure::missing(format_args!("there are no keys{selector}")),
        });
    }
    show(args, format, ttl, records, &failures)?;
    Ok(failures.iter().fold(ExitCode::SUCCESS, |_, failure| failure.report()))
}

/// The records of all keys in the folders. Unusable ones are added to `failures`.
fn of_folders(
    folders: &[KeyFolder],
    failures: &mut Vec<Failure>,
) -> Result<Vec<TxtRecord>, Failure> {
    let of_folder = |folder: &KeyFolder| {
        let of_key = |selector: Selector| {
            let value = folder.key(&selector).to_publish()?;
            Ok(TxtRecord::of_key(&folder.domain, &selector, value))
        };
        let selectors = folder.selectors()?.into_iter();
        Ok::<_, Failure>(selectors.map(of_key).collect::<Vec<Result<_, Failure>>>())
    };
    let read = parallel::all(folders, parallel::cores(), Progress::of("domains read"), of_folder);
    let mut records = Vec::new();
    for record in read.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        match record {
            Ok(record) => records.push(record),
            Err(failure) => failures.push(failure),
        }
    }
    Ok(records)
}

/// The records in files, each the output of `--json` on one host.
fn merged(files: &[OsString]) -> Result<Vec<TxtRecord>, Failure> {
    let read = |file| {
        let path = Path::new(file);
        let text = input::argument(path, input::FOREIGN);
        Ok((path.as_os_str(), text.map_err(|error| Failure::reading(path, &error))?))
    };
    merge(&files.iter().map(read).collect::<Result<Vec<_>, Failure>>()?)
}

/// Merges the records of all hosts, each name once. Each text comes with the name of its file.
fn merge(texts: &[(&OsStr, Vec<u8>)]) -> Result<Vec<TxtRecord>, Failure> {
    let mut by_name: BTreeMap<(String, String), (TxtRecord, &OsStr)> = BTreeMap::new();
    for (file, text) in texts {
        let Printed { result } = serde_json::from_slice(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Failure::data(format_args!(
                "{file:?}: line {line}, column {column}: not what `dkimctl record --json` prints"
            ))
        })?;
        for record in result.records {
            usable(&record).map_err(|what| Failure::data(format_args!("{file:?}: {what}")))?;
            let key = (record.domain.clone(), record.name.clone());
            if let Some((known, other)) = by_name.get(&key) {
                if known.value != record.value {
                    return Err(Failure::data(format_args!(
                        "{} has one key in {other:?} and another in {file:?}; each host needs a \
                         selector of its own",
                        record.name
                    )));
                }
                continue;
            }
            by_name.insert(key, (record, file));
        }
    }
    Ok(by_name.into_values().map(|(record, _)| record).collect())
}

/// What is written of the records in texts, in a format, or as JSON where that is `None`; for the fuzz targets.
pub(super) fn rewritten(
    texts: &[(&OsStr, Vec<u8>)],
    format: Option<&str>,
) -> Result<String, Failure> {
    let records = merge(texts)?;
    Ok(match format.and_then(Format::parse) {
        Some(format) => format.write(&records, None),
        None => serde_json::json!(Printed { result: Records { records, dmarc: Vec::new() } })
            .to_string(),
    })
}

/// Checks a record of another host: it must be a key record, and its name must match.
fn usable(record: &TxtRecord) -> Result<(), String> {
    let domain = Domain::parse(&record.domain).map_err(|error| error.to_string())?;
    let selector = record.selector.as_deref().ok_or("a record without a selector")?;
    let selector = Selector::parse(selector).map_err(|error| error.to_string())?;
    // Records of one name are recognized by the text of their domain.
    if record.name != selector.record_name(&domain) || record.domain != domain.as_str() {
        return Err(format!("{:?} is not the name of that key", record.name));
    }
    let value = store::keys::printable(record.value.clone().into_bytes());
    value.map(drop).map_err(|error| format!("{}: {error}", record.name))
}

/// The DMARC record with which receivers check signatures, but take no action yet.
fn dmarc(domain: &str) -> TxtRecord {
    TxtRecord {
        domain: domain.to_owned(),
        selector: None,
        name: format!("_dmarc.{domain}"),
        value: "v=DMARC1; p=none".to_owned(),
    }
}

fn show(
    args: &Args,
    format: Option<Format>,
    ttl: Option<u32>,
    mut records: Vec<TxtRecord>,
    failures: &[Failure],
) -> Result<ExitCode, Failure> {
    let mut domains: Vec<&str> = records.iter().map(|one| one.domain.as_str()).collect();
    domains.dedup();
    let dmarc: Vec<TxtRecord> = domains.into_iter().map(dmarc).collect();
    if args.is_json() {
        let findings: Vec<Finding> = failures.iter().map(Finding::from).collect();
        return args.report(&Records { records, dmarc }, &findings, "");
    }
    let Some(format) = format else {
        return say(for_people(&records, &dmarc, ttl));
    };
    if args.has("--dmarc") {
        records.extend(dmarc);
        records.sort_by(|one, other| one.domain.cmp(&other.domain));
    }
    say(format.write(&records, ttl))
}

fn for_people(records: &[TxtRecord], dmarc: &[TxtRecord], ttl: Option<u32>) -> String {
    let mut text = String::new();
    for records in records.chunk_by(|one, other| one.domain == other.domain) {
        let Some(domain) = records.first().map(|first| &first.domain) else { continue };
        text.push_str(&format!(
            "Publish in the zone of {domain}:\n\n{}\nor, in a web form, as type TXT:\n\n",
            Format::Zone.write(records, ttl)
        ));
        for TxtRecord { name, value, .. } in records {
            text.push_str(&format!("  name   {name}\n  value  {value}\n\n"));
        }
    }
    text.push_str(
        "If neither the domain nor a parent domain has a DMARC record, also publish:\n\n",
    );
    text.push_str(&Format::Zone.write(dmarc, ttl));
    text.push_str(
        "\np=none requests no action from receivers; add rua=mailto:ADDRESS to get their reports.\n\
         A record _adsp._domainkey (ADSP, RFC 5617) has been obsolete since 2013: delete it.\n",
    );
    text
}
