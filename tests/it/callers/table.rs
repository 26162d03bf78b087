//! The table in `docs/callers.md`.

use super::run::{Call, Run};

const HEAD: &str = "# Who calls sendmail, and what becomes of it

Made by `make callers`, which runs each of these programs as the user it runs as in life, with what it sends through
`sendmail.dkim`, a real Postfix, and a hop with and one without 8BITMIME. A test fails where this table differs from what
came of that. What arrived was decoded by Python's email package and said what was meant; what is signed was verified by
OpenDKIM, dkimpy and Mail::DKIM with the key from DNS; what is not is there byte for byte. `TO` is the recipient.

How it was called is taken down between the program and the wrapper; `stdin` is what standard input was, and standard
output and error where they were closed.

";

/// The whole text.
pub(crate) fn text(runs: &[Run]) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("| Caller | Package | User | Calls | stdin | From, as delivered | Envelope sender | Signed by |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    let mut lines: Vec<(String, String)> = runs
        .iter()
        .filter(|run| run.hop == "sink")
        .map(|run| (run.row.caller.clone(), line(run)))
        .collect();
    lines.sort();
    text.extend(lines.into_iter().map(|(_, line)| line));
    text
}

/// What both hops must agree about.
pub(crate) fn line(run: &Run) -> String {
    let row = &run.row;
    let calls = calls(&run.calls);
    let hide = |text: &str| {
        let text = text.replace(&row.to, "TO");
        text.replace(&format!("-{}", run.hop), "").replace('|', "\\|")
    };
    let from = row.from.as_deref().unwrap_or("as it was");
    let signed = row.signed.as_ref().map_or_else(
        || format!("nobody: {}", row.unsigned.as_deref().unwrap_or_default()),
        Clone::clone,
    );
    let note = if row.note.is_empty() { String::new() } else { format!("; {}", row.note) };
    let stdin = run.calls.first().map(|call| stdin(&call.descriptors)).unwrap_or_default();
    format!(
        "| {} | {} | {} | {} | {stdin} | {} | {} | {signed}{note} |\n",
        hide(&row.caller),
        row.package,
        hide(&row.user),
        hide(&calls),
        hide(from),
        hide(&format!("<{}>", row.envelope)),
    )
}

fn stdin(descriptors: &str) -> String {
    let mut parts = descriptors.split(", ");
    let stdin = parts.next().unwrap_or_default();
    match (parts.next(), parts.next()) {
        (Some("closed"), Some("closed")) => format!("{stdin}; the others closed"),
        _ => stdin.to_owned(),
    }
}

/// The different calls, with how often each was made.
fn calls(calls: &[Call]) -> String {
    let mut counted: Vec<(String, usize)> = Vec::new();
    for call in calls {
        let words: Vec<String> = call.argv.iter().map(|word| quoted(word)).collect();
        let words = words.join(" ");
        match counted.iter_mut().find(|(known, _)| *known == words) {
            Some((_, count)) => *count += 1,
            None => counted.push((words, 1)),
        }
    }
    let texts = counted.into_iter().map(|(words, count)| match count {
        1 => format!("`{words}`"),
        _ => format!("`{words}`, {count} times"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// As a shell would want it.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./@=+:,".contains(char);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}
