//! One message that the sink got on account of a call, and what two of them are compared by.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A message as `rows.py` tells of it.
#[derive(Debug)]
pub(crate) struct Mail {
    path: String,
    envelope: String,
    is_to_null_sender: bool,
    fields: Vec<String>,
    body: String,
}

impl Mail {
    /// Those of one call.
    pub(crate) fn all(result: &Value) -> Vec<Self> {
        result["mails"].as_array().unwrap().iter().map(Self::read).collect()
    }

    fn read(mail: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let words = |value: &Value| {
            let words = value.as_array().unwrap().iter().map(text);
            // The size is that of the message, ids and signature included.
            words.filter(|word| !word.starts_with("SIZE=")).collect::<Vec<_>>().join(" ")
        };
        let recipients = mail["rcpt_to"].as_array().unwrap().iter();
        let mut recipients: Vec<_> = recipients
            .map(|one| format!("<{}> {}", text(&one["address"]), words(&one["parameters"])))
            .collect();
        recipients.sort();
        let from = text(&mail["mail_from"]);
        let parameters = words(&mail["mail_parameters"]);
        let bytes = STANDARD.decode(text(&mail["bytes"])).unwrap();
        let bytes = String::from_utf8_lossy(&bytes).into_owned();
        let (header, body) = bytes.split_once("\r\n\r\n").unwrap_or_else(|| {
            // Nothing but fields, and no line after them.
            (bytes.strip_suffix("\r\n").unwrap_or(&bytes), "")
        });
        Self {
            path: text(&mail["file"]),
            envelope: format!("<{from}> {parameters}\n{}", recipients.join("\n")),
            is_to_null_sender: from.is_empty(),
            fields: fields(header),
            body: body.to_owned(),
        }
    }

    /// In the sandbox.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// MAIL FROM and all RCPT TO, with their parameters, but for the size.
    pub(crate) fn envelope(&self) -> &str {
        &self.envelope
    }

    pub(crate) fn is_signed(&self) -> bool {
        !self.named("dkim-signature").is_empty()
    }

    /// Whether the one From field holds these words.
    pub(crate) fn is_from(&self, words: &str) -> bool {
        matches!(self.named("from")[..], [from] if from.contains(words))
    }

    fn named(&self, name: &str) -> Vec<&str> {
        self.fields.iter().map(String::as_str).filter(|field| field_name(field) == name).collect()
    }

    /// Byte for byte, except for what Postfix creates for each message.
    pub(crate) fn untraced(&self) -> String {
        let kept = self.fields.iter().filter(|field| !is_trace(field)).map(|field| masked(field));
        format!("{}\n\n{}", kept.collect::<Vec<_>>().join("\n"), self.body)
    }

    /// The same for a message to be signed: the signature and the added fields wherever they stand, and the decoded text.
    pub(crate) fn content(&self) -> String {
        const APART: [&str; 5] =
            ["from", "date", "message-id", "dkim-signature", "content-transfer-encoding"];
        let is_kept =
            |field: &&String| !is_trace(field) && !APART.contains(&field_name(field).as_str());
        let kept: Vec<&str> = self.fields.iter().filter(is_kept).map(String::as_str).collect();
        let dates = self.named("date").len();
        let ids = self.named("message-id").len();
        let from = self.named("from").join("\n");
        format!("{dates} {ids}\n{from}\n{}\n\n{}", kept.join("\n"), self.text())
    }

    fn text(&self) -> String {
        let encoding = self.named("content-transfer-encoding").concat();
        if encoding.ends_with("base64") {
            let bytes = STANDARD.decode(self.body.replace("\r\n", "")).unwrap();
            return String::from_utf8(bytes).unwrap();
        }
        self.body.clone()
    }

    /// Whether its text is 8-bit: signed, it would be 7-bit, and so would be what MAIL FROM says of it.
    pub(crate) fn is_eight_bit(&self) -> bool {
        !self.text().is_ascii()
    }

    /// What Postfix itself tells of a message: whom, of whom, and how it went.
    pub(crate) fn report(&self) -> Option<String> {
        let kind = self.named("content-type").concat();
        if !self.is_to_null_sender || !kind.contains("multipart/report") {
            return None;
        }
        const TOLD: [&str; 6] = [
            "Final-Recipient:",
            "Original-Recipient:",
            "Action:",
            "Status:",
            "Diagnostic-Code:",
            "Original-Envelope-Id:",
        ];
        let told = self.body.lines().filter(|line| TOLD.iter().any(|name| line.starts_with(name)));
        // Two recipients may be done in either order.
        let mut told: Vec<&str> = told.filter(|line| !line.contains("kept as")).collect();
        told.sort_unstable();
        let about = ["from", "to", "subject"].map(|name| self.named(name).concat());
        Some(format!("{}\n{}", about.join("\n"), told.join("\n")))
    }
}

/// The fields of a header section, each with its folds.
fn fields(header: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in header.split("\r\n") {
        match fields.last_mut().filter(|_| line.starts_with([' ', '\t'])) {
            Some(field) => *field = format!("{field}\r\n{line}"),
            None => fields.push(line.to_owned()),
        }
    }
    fields
}

fn field_name(field: &str) -> String {
    field.split(':').next().unwrap_or_default().to_ascii_lowercase()
}

/// Postfix's own Received; others stay.
fn is_trace(field: &str) -> bool {
    field_name(field) == "received" && field.contains("by host.example.test (Postfix")
}

/// Ids and dates that Postfix adds.
fn masked(field: &str) -> String {
    match field_name(field).as_str() {
        "date" => "Date: …".to_owned(),
        "resent-date" => "Resent-Date: …".to_owned(),
        "message-id" if field.contains("@host.example.test>") => "Message-Id: …".to_owned(),
        "resent-message-id" if field.contains("@host.example.test>") => {
            "Resent-Message-Id: …".to_owned()
        }
        _ => field.to_owned(),
    }
}
