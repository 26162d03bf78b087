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
