//! The table in `docs/callers.md`.

use super::run::{Call, Run};

const HEAD: &str = "# Who calls sendmail, and what becomes of it

`make callers` writes this page. It runs each program as the user it runs as in production and sends its mail through `sendmail.dkim`, a real
Postfix, and a server with and one without 8BITMIME. A test fails if this table differs from the result. Python's email package decoded what
arrived, and the content was as intended. OpenDKIM, dkimpy and Mail::DKIM verified signed mail with the key from DNS; unsigned mail arrived byte for
byte. `TO` is the recipient.

The call was recorded between the program and the wrapper; `stdin` is the type of standard input, and says if standard output and error were closed.

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
        || format!("not signed: {}", row.unsigned.as_deref().unwrap_or_default()),
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
