//! Finds changes to a body: each known change of a hop is undone, and if the result has the hash of bh=, that change was made.
//! Pure.

use super::encoding::decoded;
use super::finding::Finding;
use crate::dkim::{Canon, Claims, Header};

/// The most lines after added ones: those that close a multipart.
const TAIL: usize = 8;
/// The most bytes of these lines together.
const LONGEST_TAIL: usize = 4 << 10;
/// In a longer body, only text that was added at the very end is found.
const LONGEST: usize = 4_000;
/// The most lines that may have been added before a body.
const LONGEST_BANNER: usize = 50;
/// The shortest line that a hop may break.
const SHORTEST_BREAK: usize = 500;

/// The most bytes that are hashed in the search for lost dots.
const MOST_HASHED: usize = 16 << 20;

/// The largest body in which two changes are tried together, in bytes.
const SMALL: usize = 1 << 20;
/// Two changes are tried only if there are no more candidates for the first one.
const FEW: usize = 40;

/// The change that was made, if it can be undone.
pub(super) fn find(claims: &Claims, header: &Header, body: &[u8]) -> Option<Finding> {
    let undoing = || Some(undone(header, body).find(|(_, before)| fits(claims, before))?.0);
    let two = || {
        let most = if body.len() > SMALL { 0 } else { FEW };
        let mut firsts = undone(header, body).take(most);
        firsts.find_map(|(first, before)| Some(first.and(&added(claims, &before)?)))
    };
    canonicalized(claims, body)
        .or_else(undoing)
        .or_else(|| added(claims, body))
        .or_else(|| dots_lost(claims, body))
        .or_else(two)
}

fn fits(claims: &Claims, body: &[u8]) -> bool {
    claims.hash_body(body).bytes().as_slice() == claims.body_hash
}

/// Whether the signer hashed the body with the canonicalization that c= does not name. This also matters for an empty body: it
/// becomes a line end in the simple form, but stays empty in the relaxed form (§3.4.3, §3.4.4).
fn canonicalized(claims: &Claims, body: &[u8]) -> Option<Finding> {
    let named = claims.canonicalization.body;
    let other = if named == Canon::Simple { Canon::Relaxed } else { Canon::Simple };
    let mut as_other = claims.clone();
    as_other.canonicalization.body = other;
    let what = if body.trim_ascii().is_empty() { "the empty body" } else { "the body" };
    let message = format!(
        "{what} was hashed with the canonicalization {other}, but c= names {named}: this is a fault of the signer"
    );
    fits(&as_other, body).then(|| Finding::proven("other-canonicalization", message))
}

/// Undoes the change of a hop that removes dot-stuffing (RFC 5321 §4.5.2) from a text without it, so that lines that began with a
/// dot have lost it. A dot is added to all lines that still begin with a dot, then to each line, then to each pair of lines.
fn dots_lost(claims: &Claims, body: &[u8]) -> Option<Finding> {
    let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
    let with_dots = |is_meant: &dyn Fn(usize, &[u8]) -> bool| {
        let mut before = Vec::with_capacity(body.len().saturating_add(lines.len()));
        for (index, line) in lines.iter().enumerate() {
            if is_meant(index, line) {
                before.push(b'.');
            }
            before.extend_from_slice(line);
        }
        fits(claims, &before)
    };
    let finding = |places: &[usize]| {
        let numbers: Vec<String> =
            places.iter().map(|at| at.saturating_add(1).to_string()).collect();
        let place = match numbers.as_slice() {
            [] => "lines".to_owned(),
            [one] => format!("line {one} of the body"),
            several => format!("lines {} of the body", several.join(" and ")),
        };
        let message = format!(
            "a dot at the beginning of {place} was lost (SMTP dot-stuffing without its counterpart)"
        );
        Finding::proven("dots-lost", message)
    };
    if with_dots(&|_, line| line.starts_with(b".")) {
        return Some(finding(&[]));
    }
    let trials = MOST_HASHED.checked_div(body.len().max(1)).unwrap_or_default();
    let count = lines.len();
    let singles = (0..count).map(|index| vec![index]);
    let pairs = (0..count)
        .flat_map(|first| (first.saturating_add(1)..count).map(move |second| vec![first, second]));
    let mut trials = singles.chain(pairs).take(trials);
    let found = trials.find(|places| with_dots(&|index, _| places.contains(&index)))?;
    Some(finding(&found))
}

/// The bodies that this one may have been changed from, each with the change.
fn undone<'a>(
    header: &Header,
    body: &'a [u8],
) -> impl Iterator<Item = (Finding, Vec<u8>)> + use<'a> {
    let all = line_by_line(body).chain(joined(body));
    all.chain(decoded(header, body)).filter(move |(_, before)| before != body)
}

/// A change that a hop makes to single lines: its name, its description, and how to undo it in a line.
type LineChange = (&'static str, &'static str, fn(&[u8]) -> Vec<u8>);

const LINE_CHANGES: [LineChange; 4] = [
    (
        "from-quoted",
        "lines that begin with \"From \" got a \">\" before it, as in mbox files",
        |line| without_first(line, b">From "),
    ),
    (
        "dots-doubled",
        "a dot at the beginning of a line was doubled (SMTP dot-stuffing) and not removed again",
        |line| without_first(line, b".."),
    ),
    ("cr-added", "CR was added where no line ends", |line| {
        let end: &[u8] = if line.ends_with(b"\r\n") { b"\r\n" } else { b"" };
        let text = line.strip_suffix(end).unwrap_or(line);
        text.iter().filter(|byte| **byte != b'\r').chain(end).copied().collect()
    }),
    ("blanks-lost", "spaces at the end of a line were dropped", |line| match line {
        b"--\r\n" => b"-- \r\n".to_vec(),
        b"--\n" => b"-- \n".to_vec(),
        line => line.to_vec(),
    }),
];

/// A line without its first byte, if it begins with `begin`.
fn without_first(line: &[u8], begin: &[u8]) -> Vec<u8> {
    line.get(usize::from(line.starts_with(begin))..).unwrap_or_default().to_vec()
}

/// The bodies with one kind of change undone in all lines.
fn line_by_line(body: &[u8]) -> impl Iterator<Item = (Finding, Vec<u8>)> {
    LINE_CHANGES.into_iter().map(|(what, message, undo)| {
        let lines = body.split_inclusive(|byte| *byte == b'\n');
        (Finding::proven(what, message), lines.flat_map(undo).collect())
    })
}

/// Joins long lines that a hop broke: lines as long as the longest one that are followed by a line that begins with a space
/// (`smtp_line_length_limit`), or by any line.
fn joined(body: &[u8]) -> Vec<(Finding, Vec<u8>)> {
    let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
    let longest = lines.iter().map(|line| text(line).len()).max().unwrap_or_default();
    if longest < SHORTEST_BREAK {
        return Vec::new();
    }
    let undo = |begin: &[u8]| {
        let mut before = Vec::with_capacity(body.len());
        let mut continues = false;
        for (index, line) in lines.iter().enumerate() {
            let skipped = if continues { begin.len() } else { 0 };
            let next = lines.get(index.saturating_add(1));
            continues =
                text(line).len() == longest && next.is_some_and(|next| next.starts_with(begin));
            let line = if continues { text(line) } else { line };
            before.extend_from_slice(line.get(skipped..).unwrap_or_default());
        }
        let message = format!("lines longer than {longest} bytes were broken");
        (Finding::proven("lines-broken", message), before)
    };
    vec![undo(b" "), undo(b"")]
}

/// A line without its line end.
fn text(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Lines that were added at the end, before the end of a multipart, or at the beginning.
fn added(claims: &Claims, body: &[u8]) -> Option<Finding> {
    let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
    let mut length = 0_usize;
    let short = lines.iter().rev().take_while(|line| {
        length = length.saturating_add(line.len());
        length <= LONGEST_TAIL
    });
    let tail = if lines.len() > LONGEST { 0 } else { short.take(TAIL).count() };
    let mut before = claims.body_hasher();
    for (first, line) in lines.iter().enumerate() {
        for kept in 0..=tail.min(lines.len().saturating_sub(first).saturating_sub(1)) {
            let end = lines.len().saturating_sub(kept);
            let mut hasher = before.clone();
            for line in lines.get(end..).unwrap_or_default() {
                hasher.update(line);
            }
            if hasher.finish().bytes().as_slice() == claims.body_hash {
                return Some(lines_added(&lines, first, end));
            }
        }
        before.update(line);
    }
    let banner = (1..=lines.len().min(LONGEST_BANNER)).find(|end| {
        let rest: Vec<u8> = lines.get(*end..).unwrap_or_default().concat();
        fits(claims, &rest)
    })?;
    Some(lines_added(&lines, 0, banner))
}

fn lines_added(lines: &[&[u8]], first: usize, end: usize) -> Finding {
    let added = lines.get(first..end).unwrap_or_default();
    let text = added.iter().map(|line| line.trim_ascii()).find(|line| !line.is_empty());
    let text: String = String::from_utf8_lossy(text.unwrap_or_default()).chars().take(60).collect();
    let number = first.saturating_add(1);
    let message = if added.len() == 1 {
        format!("line {number} of the body was added: {text:?}")
    } else {
        format!("lines {number} to {end} of the body were added: {text:?} ...")
    };
    Finding::proven(if first == 0 { "banner" } else { "footer" }, message)
}
