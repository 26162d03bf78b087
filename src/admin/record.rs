//! `dkimctl record`: what to publish, in the form that the DNS service wants.

mod format;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::Arg;
use lexopt::ValueExt as _;
use serde::{Deserialize, Serialize};

use super::Args;
use super::input;
use super::output::{Failure, say, say_json};
use super::store::keys;
use crate::dkim::{Domain, Selector};
use format::Format;

pub(super) const HELP: &str = "\
usage: dkimctl record DOMAIN... | --all | --merge FILE... [OPTION...]

Shows the records to publish for the keys of domains: of those that sign, of
those that wait for their record, and of those that were revoked. Without
--format, shows them for people to read, with the DMARC record to go with them.

  --all                for every domain that has keys on this host
  --merge FILE...      the records in these files, each the output of --json on
                       one host of a fleet (`-` is stdin); an error where two
                       hosts have different keys of the same name
  --selector SELECTOR  this one alone
  --format FORMAT      nothing but records, as
                         zone        a zone file
                         plain       a line each: name, tabulator, value
                         route53     change batch for the AWS command line
                         cloudflare  body of a request to dns_records/batch
                         nsupdate    input of nsupdate(1)
                         octodns     YAML of octoDNS, a document for each domain
  --dmarc              the DMARC record too; it replaces one that is there
  --ttl SECONDS        time to live, where not that of the zone (or 3600)
  --json               records and names as JSON, for --merge or a script

Exits with 65 if a record or a key can't be used; the others are shown.
";

/// A record of type TXT.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct TxtRecord {
    domain: String,
    /// `None` for a record that is not a key's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    selector: Option<String>,
    /// In full, without a dot at its end.
    name: String,
    value: String,
}

/// What `--json` shows and `--merge` reads.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Records {
    records: Vec<TxtRecord>,
    /// To go with them, where a domain has none yet.
    #[serde(default)]
    dmarc: Vec<TxtRecord>,
}

/// Where the records come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Source {
    /// The keys of the domains that are named.
    #[default]
    Named,
    /// Those of all domains.
    All,
    /// Files.
    Merge,
}

#[derive(Default)]
struct Options {
    source: Source,
    /// Domains, or files.
    names: Vec<String>,
    selector: Option<Selector>,
    format: Option<Format>,
    dmarc: bool,
    ttl: Option<u32>,
    json: bool,
}

pub(super) fn run(mut args: Args) -> Result<ExitCode, Failure> {
    let options = Options::take(&mut args)?;
    let mut failures = Vec::new();
    let mut records = match options.source {
        Source::Merge => merged(&options.names)?,
        Source::All => of_folders(&keys::folders(&args.etc)?, &mut failures)?,
        Source::Named => {
            let folders = options.names.iter().map(|name| folder(&args.etc, name));
            of_folders(&folders.collect::<Result<Vec<_>, _>>()?, &mut failures)?
        }
    };
    if let Some(selector) = &options.selector {
        records.retain(|record| record.selector.as_deref() == Some(selector.as_str()));
    }
    if records.is_empty() && failures.is_empty() {
        let selector = options.selector.map_or_else(String::new, |one| format!(" named {one}"));
        return Err(Failure::missing(format_args!(
            "there are no keys{selector}; dkimctl genkey makes one"
        )));
    }
    options.show(records)?;
    Ok(failures.iter().fold(ExitCode::SUCCESS, |_, failure| failure.report()))
}

fn folder(etc: &Path, name: &str) -> Result<(Domain, PathBuf), Failure> {
    let domain = Domain::parse(name)
        .map_err(|error| Failure::usage(format_args!("domain {name:?}: {error}")))?;
    keys::folder(etc, &domain)
}

/// The records of all keys in the folders; what can't be used goes to `failures`.
fn of_folders(
    folders: &[(Domain, PathBuf)],
    failures: &mut Vec<Failure>,
) -> Result<Vec<TxtRecord>, Failure> {
    let mut records = Vec::new();
    for (domain, folder) in folders {
        for selector in keys::selectors(folder)? {
            match keys::record_value(folder, &selector) {
                Ok(value) => records.push(TxtRecord {
                    domain: domain.to_string(),
                    selector: Some(selector.to_string()),
                    name: format!("{selector}._domainkey.{domain}"),
                    value,
                }),
                Err(failure) => failures.push(failure),
            }
        }
    }
    Ok(records)
}

/// The records of all hosts, each name once.
fn merged(files: &[String]) -> Result<Vec<TxtRecord>, Failure> {
    let mut by_name: BTreeMap<(String, String), (TxtRecord, &str)> = BTreeMap::new();
    for file in files {
        let text = read(Path::new(file))?;
        let found: Records = serde_json::from_slice(&text)
            .map_err(|error| Failure::data(format_args!("{file:?}, from --json? {error}")))?;
        for record in found.records {
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

/// The names and the text come from elsewhere: nothing but a key record of that name may pass.
fn usable(record: &TxtRecord) -> Result<(), String> {
    let domain = Domain::parse(&record.domain).map_err(|error| error.to_string())?;
    let selector = record.selector.as_deref().ok_or("a record without a selector")?;
    let selector = Selector::parse(selector).map_err(|error| error.to_string())?;
    if record.name != format!("{selector}._domainkey.{domain}") {
        return Err(format!("{:?} is not the name of that key", record.name));
    }
    keys::usable_value(&record.value).map_err(|error| format!("{}: {error}", record.name))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path == Path::new("-") {
        input::stdin(input::FOREIGN)
    } else {
        input::argument(path, input::FOREIGN)
    };
    read.map_err(|error| Failure::reading(path, &error))
}

/// The record that tells receivers to look at the signatures; asks them for nothing yet.
fn dmarc(domain: &str) -> TxtRecord {
    TxtRecord {
        domain: domain.to_owned(),
        selector: None,
        name: format!("_dmarc.{domain}"),
        value: "v=DMARC1; p=none".to_owned(),
    }
}

impl Options {
    fn take(args: &mut Args) -> Result<Self, Failure> {
        let mut options = Self::default();
        let parser = &mut args.parser;
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("all") => options.source = Source::All,
                Arg::Long("merge") => options.source = Source::Merge,
                Arg::Long("dmarc") => options.dmarc = true,
                Arg::Long("json") => options.json = true,
                Arg::Long("ttl") => options.ttl = Some(parser.value()?.parse()?),
                Arg::Short('s') | Arg::Long("selector") => {
                    let text = parser.value()?.string()?;
                    let selector = Selector::parse(&text);
                    options.selector = Some(selector.map_err(|error| {
                        Failure::usage(format_args!("selector {text:?}: {error}"))
                    })?);
                }
                Arg::Long("format") => {
                    let name = parser.value()?.string()?;
                    let format = Format::parse(&name).ok_or_else(|| {
                        Failure::usage(format_args!("no format {name:?}; see record --help"))
                    });
                    options.format = Some(format?);
                }
                Arg::Value(value) => options.names.push(value.string()?),
                Arg::Short(_) | Arg::Long(_) => return Err(arg.unexpected().into()),
            }
        }
        if options.names.is_empty() == (options.source == Source::All) {
            return Ok(options);
        }
        Err(Failure::usage("say one of: DOMAIN..., --all, --merge FILE..."))
    }

    fn show(&self, mut records: Vec<TxtRecord>) -> Result<ExitCode, Failure> {
        let mut domains: Vec<&str> = records.iter().map(|one| one.domain.as_str()).collect();
        domains.dedup();
        let dmarc: Vec<TxtRecord> = domains.into_iter().map(dmarc).collect();
        if self.json {
            return say_json(&Records { records, dmarc });
        }
        let Some(format) = self.format else {
            return say(&self.for_people(&records, &dmarc));
        };
        if self.dmarc {
            records.extend(dmarc);
            records.sort_by(|one, other| one.domain.cmp(&other.domain));
        }
        say(&format.write(&records, self.ttl))
    }

    fn for_people(&self, records: &[TxtRecord], dmarc: &[TxtRecord]) -> String {
        let mut text = String::new();
        for records in records.chunk_by(|one, other| one.domain == other.domain) {
            let Some(domain) = records.first().map(|first| &first.domain) else { continue };
            text.push_str(&format!(
                "Publish in the zone of {domain}:\n\n{}\nor, where a form asks for it, as type TXT:\n\n",
                Format::Zone.write(records, self.ttl)
            ));
            for TxtRecord { name, value, .. } in records {
                text.push_str(&format!("  name   {name}\n  value  {value}\n\n"));
            }
        }
        text.push_str("With it, where neither the domain nor one above it has a DMARC record:\n\n");
        text.push_str(&Format::Zone.write(dmarc, self.ttl));
        text.push_str(
            "\np=none asks receivers to look and do nothing; rua=mailto:ADDRESS gets their reports.\n\
             A record _adsp._domainkey (ADSP, RFC 5617) is historic since 2013: delete it.\n",
        );
        text
    }
}
