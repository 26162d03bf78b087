//! `dkimctl list`: lists the domains, their selectors and who may sign for them.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde::Serialize;

use super::checks::finding::Finding;
use super::cli::{Args, DOMAIN, Opt};
use super::output::{Failure, Text, table};
use super::store::domains::{self, DomainConfig};
use super::store::waiting;
use crate::dkim::{Domain, Selector};

pub(super) const OPTIONS: &[Opt] = &[DOMAIN];

pub(super) const HELP: &str = "\
usage: dkimctl list [OPTION...] [DOMAIN...]

List the domains, their selectors and who may sign for them.

Reads the domain files of all domains, or of DOMAIN..., and nothing else: not
the keys, not DNS. `dkimctl status` shows whether mail is signed. `default` is
default.toml, which is for domains without a file of their own.

Exits with 65 if a domain file cannot be used, and lists the others; with 66 if
there are no domains.
";

#[derive(Debug, Serialize)]
struct Row {
    domain: String,
    selectors: Vec<String>,
    users: Option<Vec<String>>,
    groups: Option<Vec<String>>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let only: BTreeSet<Domain> = args.domains()?.into_iter().collect();
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    let mut found = BTreeSet::new();
    for (path, read) in domains::all(&args.etc)? {
        let name = domains::named_after(&path);
        if !only.is_empty() && !name.as_ref().is_some_and(|name| only.contains(name)) {
            continue;
        }
        found.extend(name);
        match read {
            Ok(config) => rows.push(Row::of(&config)),
            Err(error) => {
                let failure = error.at(&path);
                failure.report();
                broken.push(Finding::from(&failure));
            }
        }
    }
    if let Some(unknown) = only.iter().find(|domain| !found.contains(domain)) {
        return Err(Failure::no_domain_file(unknown));
    }
    if rows.is_empty() && broken.is_empty() {
        return Err(waiting::no_domains(&args.etc));
    }
    args.report(&rows, &broken, table(&rows.iter().map(Row::columns).collect::<Vec<_>>()))?;
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Failure::DATA) })
}

impl Row {
    fn of(config: &DomainConfig) -> Self {
        let selectors = config.file.all_selectors().map(Selector::to_string);
        Self {
            domain: config.name.as_ref().map_or("default", |name| name.as_str()).to_owned(),
            selectors: selectors.collect(),
            users: config.file.users.clone(),
            groups: config.file.groups.clone(),
        }
    }

    fn columns(&self) -> Vec<Text> {
        let who = |kind: &str, names: &Option<Vec<String>>| match names.as_deref() {
            None => String::new(),
            Some([]) => format!("no {kind}"),
            Some(names) => format!("{kind} {}", names.join(",")),
        };
        let who: Vec<String> = [who("users", &self.users), who("groups", &self.groups)]
            .into_iter()
            .filter(|who| !who.is_empty())
            .collect();
        let who = if who.is_empty() { "every user".to_owned() } else { who.join(" or ") };
        vec![self.domain.as_str().into(), self.selectors.join(",").into(), who.into()]
    }
}
