//! What is reported of one rotation.

use serde::Serialize;

use crate::admin::checks::finding::{Finding, Severity};
use crate::admin::format::TxtRecord;
use crate::admin::look::{Has, Sight};
use crate::admin::output::Note;
use crate::admin::store::rotation::Rotation;

/// The code of the note that a record could not be changed.
pub(super) const NOT_CHANGED: &str = "not-changed";

/// The report on one rotation.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) domain: String,
    #[serde(flatten)]
    pub(super) rotation: Rotation,
    /// The steps that were done, or would be.
    pub(super) done: Vec<Note>,
    /// The answer of each server of the zone for the name that the next step depends on.
    pub(super) servers: Vec<Sight>,
    /// The record to publish.
    pub(super) publish: Option<TxtRecord>,
    /// The next step.
    pub(super) next: Note,
    /// Whether a server did not answer.
    #[serde(rename = "unavailable")]
    pub(super) unanswered: bool,
}

impl Report {
    /// What the administrator must do, or why the exit code is 69.
    pub(super) fn finding(&self) -> Option<Finding> {
        let about = match &self.publish {
            Some(record) => &record.name,
            None if self.unanswered => &self.domain,
            None => return None,
        };
        let silent = self.servers.iter().find(|sight| matches!(sight.has, Has::Unknown(_)));
        let silent = silent.map(|sight| format!("{} {}", sight.server, sight.has.text()));
        let failed = || self.done.iter().find(|note| note.code == NOT_CHANGED);
        let (severity, lacks) = match self.unanswered {
            true => (Severity::Error, "the DNS does not have the record of a key that signs"),
            false => (Severity::Warning, "the DNS does not have this record yet"),
        };
        let evidence = silent.or_else(|| Some(failed()?.text.clone()));
        let evidence = evidence.unwrap_or_else(|| lacks.to_owned());
        let finding = Finding::new(severity, "record", evidence, self.next.text.as_str());
        Some(finding.about(about))
    }

    /// Identifies the news in a report. It changes when there is something new to mail.
    pub(super) fn mark(&self) -> String {
        let Rotation { old, new, stage, .. } = &self.rotation;
        format!("{old} {new} {}\n", stage.name())
    }

    /// For people. `is_dry`: nothing was done.
    pub(super) fn text(&self, is_dry: bool) -> String {
        let Rotation { old, new, stage, since } = &self.rotation;
        let (domain, stage) = (&self.domain, stage.name());
        let mut text = format!("{domain}: {old} -> {new}: {stage} since {since}\n");
        let would = if is_dry { "would have " } else { "" };
        for done in &self.done {
            text.push_str(&format!("  {would}{done}\n"));
        }
        for sight in &self.servers {
            text.push_str(&format!("  {} {}\n", sight.server, sight.has.text()));
        }
        text.push_str(&format!("  next: {}\n", self.next));
        if let Some(publish) = &self.publish {
            text.push_str(&format!(
                "\n    name   {}\n    type   TXT\n    value  {}\n\n",
                publish.name, publish.value
            ));
        }
        text
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::admin::store::rotation::Stage;
    use crate::admin::store::time::UtcTime;
    use crate::dkim::{Domain, Selector};

    /// A report on a rotation at its first stage.
    pub(in super::super) fn report(is_published: bool, unanswered: bool) -> Report {
        let selector = |text| Selector::parse(text).unwrap();
        let (domain, new) = (Domain::parse("x.test").unwrap(), selector("new"));
        let record = TxtRecord::of_key(&domain, &new, "v=DKIM1; p=".to_owned());
        Report {
            domain: domain.to_string(),
            rotation: Rotation {
                old: selector("old"),
                new,
                stage: Stage::Pending,
                since: UtcTime(1_764_086_883),
            },
            done: Vec::new(),
            servers: Vec::new(),
            publish: (!is_published).then_some(record),
            next: Note::new("publish", "publish this record"),
            unanswered,
        }
    }

    #[test]
    fn a_record_to_publish_is_a_warning_and_a_server_without_answer_an_error() {
        let name = "new._domainkey.x.test";
        for (is_published, unanswered, expected) in [
            (true, false, None),
            (false, false, Some((Severity::Warning, name))),
            (false, true, Some((Severity::Error, name))),
            (true, true, Some((Severity::Error, "x.test"))),
        ] {
            let found = report(is_published, unanswered).finding();
            let found = found.as_ref().map(|one| (one.severity, one.subject.as_deref().unwrap()));
            assert_eq!(found, expected, "{is_published} {unanswered}");
        }
        let mut report = report(false, true);
        report.done.push(Note::new("made", "created the key"));
        report.done.push(Note::new(NOT_CHANGED, "the zone is locked"));
        assert_eq!(report.finding().unwrap().evidence, "the zone is locked");
        let has = Has::Unknown("timeout".to_owned());
        report.servers.push(Sight { server: "ns.x.test".to_owned(), has });
        assert_eq!(report.finding().unwrap().evidence, "ns.x.test does not answer: timeout");
        assert_eq!(report.finding().unwrap().remedy, "publish this record");
    }
}
