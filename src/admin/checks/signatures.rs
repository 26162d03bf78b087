//! Compares each key with its published record, and signs a trial message for each domain with the wrapper's code.

use std::ffi::OsString;
use std::path::Path;

use super::configuration::Configuration;
use super::finding::Finding;
use crate::admin::dns::Dns;
use crate::admin::dry_run::{End, Key, explain, sample, user_named};
use crate::admin::output::Progress;
use crate::admin::parallel;
use crate::admin::published::{Outcome, tested};
use crate::admin::signatures::{Verified, line, of_key};
use crate::admin::store::domains::DomainConfig;
use crate::admin::store::keys::KeyFiles;
use crate::config::Subdomains;
use crate::dkim::{Domain, Lookup, Selector};
use crate::submission::submitter::User;

/// Compares the published records with the keys.
pub(crate) fn published(etc: &Path) -> Vec<Finding> {
    let tested = match Dns::asked_for(None).and_then(|dns| tested(etc, &dns)) {
        Ok(tested) => tested,
        Err(failure) => {
            let remedy = "dkimctl testkey --server ADDR, or doctor --offline";
            return vec![Finding::warning("testkey", failure.to_string(), remedy)];
        }
    };
    let wrong = tested.iter().filter(|tested| {
        // Another check reports a key that cannot be read.
        [Outcome::Wrong, Outcome::Unavailable].contains(&tested.outcome)
    });
    let found = wrong.map(|tested| {
        Finding::error(
            "testkey",
            format!("{}: {}", tested.name, tested.why()),
            "dkimctl record shows what to publish, dkimctl testkey shows all errors",
        )
    });
    found.collect()
}

/// Signs trial messages for all domain files.
pub(crate) fn findings(etc: &Path, configuration: &Configuration) -> Vec<Finding> {
    let trial = |config: &DomainConfig| trial(etc, config);
    let progress = Progress::of("trial messages signed");
    parallel::all(&configuration.files, parallel::cores(), progress, trial)
        .into_iter()
        .flatten()
        .collect()
}

fn trial(etc: &Path, config: &DomainConfig) -> Option<Finding> {
    let from = author(config)?;
    let user = submitter(config)?;
    let argv: Vec<OsString> = ["sendmail", "-t", "-i"].map(OsString::from).to_vec();
    let explained = explain(etc, &argv, user, &sample(&from));
    let why = match explained.end {
        End::Signed { message, made, .. } => {
            let faults = faults(etc, &explained.keys, &message);
            made.failed.into_iter().chain(faults).collect::<Vec<_>>().join("; ")
        }
        End::Unsigned(why) | End::Failed(why, _) => why,
        End::NotRead(why) => why.to_owned(),
    };
    (!why.is_empty()).then(|| {
        let evidence = format!("mail From {from} is not signed: {why}");
        Finding::error("trial", evidence, format!("dkimctl explain --from {from}"))
    })
}

/// An author address to which the file applies.
fn author(config: &DomainConfig) -> Option<String> {
    let file = &config.file;
    if file.selectors.is_empty() {
        return file.rules.first().map(|rule| rule.from.example());
    }
    let domain = config.name.as_ref().map_or("dkimctl.invalid", |name| name.as_str());
    let below = if file.subdomains == Subdomains::Only { "dkimctl." } else { "" };
    Some(format!("dkimctl-doctor@{below}{domain}"))
}

/// A user who may sign. `None` if no user may, or only groups.
fn submitter(config: &DomainConfig) -> Option<User> {
    match (&config.file.users, &config.file.groups) {
        (None, None) => Some(User::real()),
        (Some(users), _) => users.iter().find_map(|name| user_named(name)),
        (None, Some(_)) => None,
    }
}

/// Errors of signatures that do not verify with the public half of their keys.
fn faults(etc: &Path, keys: &[Key], message: &[u8]) -> Vec<String> {
    let find = |(domain, selector): &(Domain, Selector)| {
        let key = keys.iter().find(|key| key.domain == *domain && key.selector == *selector);
        let folder = key.map(|key| etc.join("keys").join(&key.folder));
        folder.map_or(Lookup::NotFound, |folder| of_key(&KeyFiles::within(&folder, selector)))
    };
    let Ok(verified) = Verified::new(message, |signers| signers.iter().map(find).collect()) else {
        return vec!["the signed message cannot be read".to_owned()];
    };
    let verdicts = verified.verdicts;
    verdicts.iter().filter(|verdict| verdict.result.is_err()).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::temporary::Temporary;
    use crate::config::Signing;

    fn config(name: &str, text: &str) -> DomainConfig {
        let path = Path::new("/domains").join(name);
        DomainConfig::parse(&path, text.to_owned(), &Signing::default()).unwrap()
    }

    #[test]
    fn the_trial_message_is_from_an_address_that_the_file_is_for() {
        let rules = "[[sign]]\nfrom = \"news*@x.test\"\nselectors = [\"s\"]\n";
        for (name, text, expected) in [
            ("x.test.toml", "selectors = [\"s\"]", "dkimctl-doctor@x.test"),
            (
                "x.test.toml",
                "selectors = [\"s\"]\nsubdomains = \"only\"",
                "dkimctl-doctor@dkimctl.x.test",
            ),
            ("x.test.toml", rules, "newsx@x.test"),
            ("default.toml", "selectors = [\"s\"]", "dkimctl-doctor@dkimctl.invalid"),
        ] {
            assert_eq!(author(&config(name, text)).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_trial_message_whose_signature_does_not_verify_is_a_fault() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let etc = Temporary::new("checks-signatures").unwrap();
        let message = std::fs::read(project.join("tests/vectors/rfc6376-a2.eml")).unwrap();
        let vector = project.join("tests/vectors/rfc6376-c.private");
        let found = |message: &[u8], folder: &str| {
            let domain = Domain::parse("example.com").unwrap();
            let (folder, selector) = (folder.to_owned(), Selector::parse("brisbane").unwrap());
            faults(&etc.path, &[Key { domain, folder, selector }], message)
        };
        let folder = etc.path.join("keys/shared");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(vector, folder.join("brisbane.private")).unwrap();
        assert_eq!(found(&message, "shared"), [""; 0]);
        assert_eq!(found(&message, "none").len(), 1);
        assert_eq!(found(&[&*message, b"more\n"].concat(), "shared").len(), 1);
        assert_eq!(faults(&etc.path, &[], &message).len(), 1);
    }

    #[test]
    fn the_trial_message_is_of_a_user_who_may_sign() {
        let uid = |more: &str| {
            let text = format!("selectors = [\"s\"]\n{more}");
            submitter(&config("x.test.toml", &text)).map(|user| user.uid())
        };
        assert_eq!(uid(""), Some(User::real().uid()));
        assert_eq!(uid("users = [\"no-such-user\", \"root\"]"), Some(0));
        assert_eq!(uid("users = [\"root\"]\ngroups = [\"mail\"]"), Some(0));
        assert_eq!((uid("users = []"), uid("groups = [\"mail\"]")), (None, None));
    }
}
