//! `dkimctl verify`: all signatures of a message, against records from files.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use lexopt::Arg;

use super::Args;
use super::output::{Failure, say};
use crate::argv::LoneDot;
use crate::dkim::{
    Domain, Header, Lookup, Record, Selector, SigningKey, Timestamp, Verdict, verify,
};
use crate::message::Reader;
use crate::message::reader::Step;
use crate::report;

pub(super) const HELP: &str = "\
usage: dkimctl verify (--keys DIR | --record FILE) [MESSAGE]

Verifies all signatures of a message, which comes from a file or stdin, its
lines ending in LF or CRLF. One line for each; a failure says at which step.

  --keys DIR     records from DIR/DOMAIN/SELECTOR.txt, or else the public half
                 of SELECTOR.private
  --record FILE  one record for all: as genkey writes it, or bare (v=DKIM1; ...)

Exits with 0 if there is a signature and all verify, with 1 if not.
";

/// Where key records come from.
pub(super) enum Source {
    Keys(PathBuf),
    Record(Vec<u8>),
}

pub(super) fn run(mut args: Args) -> Result<ExitCode, Failure> {
    let (mut source, mut path) = (None, None);
    while let Some(arg) = args.parser.next()? {
        match arg {
            Arg::Long("keys") => source = Some(Source::Keys(args.parser.value()?.into())),
            Arg::Long("record") => {
                let file = PathBuf::from(args.parser.value()?);
                let text = fs::read(&file).map_err(|error| Failure::reading(&file, &error))?;
                source = Some(Source::Record(record_text(&text)));
            }
            Arg::Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
            Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => return Err(arg.unexpected().into()),
        }
    }
    let source =
        source.ok_or_else(|| Failure::usage("no records; say --keys DIR or --record FILE"))?;
    let verdicts = source.verify(&read_message(path.as_deref())?)?;
    let mut text = String::new();
    for verdict in &verdicts {
        text.push_str(&line(verdict));
        text.push('\n');
    }
    if verdicts.is_empty() {
        text.push_str("no signature\n");
    }
    say(&text)?;
    let all = !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.result.is_ok());
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A message from a file or, without one, from stdin.
pub(super) fn read_message(path: Option<&Path>) -> Result<Vec<u8>, Failure> {
    match path {
        Some(path) => fs::read(path).map_err(|error| Failure::reading(path, &error)),
        None => {
            let mut message = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut message);
            read.map_err(|error| Failure::reading(Path::new("/dev/stdin"), &error))?;
            Ok(message)
        }
    }
}

/// `d=sample.com s=s1 pass`, or why not.
pub(super) fn line(verdict: &Verdict) -> String {
    let mut line = String::new();
    if let (Some(domain), Some(selector)) = (&verdict.domain, &verdict.selector) {
        line = format!("d={domain} s={selector} ");
    }
    match &verdict.result {
        Ok(()) => line.push_str("pass"),
        Err(fault) => line.push_str(&format!("fail: {}", report::chain(fault))),
    }
    line
}

/// A message → its header and body with lines that end in LF.
pub(super) fn split(message: &[u8]) -> Result<(Header, Vec<u8>), Failure> {
    let mut reader = Reader::new(LoneDot::IsText);
    let mut body = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let (taken, step) = reader.feed(rest, &mut body);
        if step == Step::HeaderTooLarge {
            return Err(Failure::data("the header of the message is too large"));
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    reader.finish(&mut body);
    Ok((Header::parse(reader.header()).map_err(Failure::data)?, body))
}

impl Source {
    pub(super) fn verify(&self, message: &[u8]) -> Result<Vec<Verdict>, Failure> {
        let (header, body) = split(message)?;
        #[expect(clippy::disallowed_methods, reason = "the one look at the clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(verify(&header, &body, Timestamp(now), &mut |domain, selector| {
            self.find(domain, selector)
        }))
    }

    fn find(&self, domain: &Domain, selector: &Selector) -> Lookup {
        let folder = match self {
            Self::Record(text) => return Lookup::Found(text.clone()),
            Self::Keys(folder) => folder.join(domain.as_str()),
        };
        let failed = |path: &Path, error: &dyn std::fmt::Display| {
            Lookup::Failed(format!("{}: {error}", path.display()))
        };
        let public = folder.join(format!("{selector}.txt"));
        match fs::read(&public) {
            Ok(text) => return Lookup::Found(record_text(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return failed(&public, &error),
        }
        let private = folder.join(format!("{selector}.private"));
        let pem = match fs::read(&private) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Lookup::NotFound,
            Err(error) => return failed(&private, &error),
        };
        let text = SigningKey::from_pem(pem, 1024).and_then(|key| Record::new(key.public()).text());
        text.map_or_else(|error| failed(&private, &error), |text| Lookup::Found(text.into_bytes()))
    }
}

/// The record in a file: the strings of a zone entry joined (RFC 1035 §5.1), or all of the text.
pub(super) fn record_text(text: &[u8]) -> Vec<u8> {
    let text = text.trim_ascii();
    // Quotes in it, as those of n="...", are its own.
    if text.starts_with(b"v=") {
        return text.to_vec();
    }
    let mut record = Vec::new();
    let (mut inside, mut escaped, mut comment) = (false, false, false);
    for octet in text {
        match octet {
            _ if comment => comment = *octet != b'\n',
            _ if escaped => {
                escaped = false;
                record.push(*octet);
            }
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b';' if !inside && !record.is_empty() => break,
            // It may hold quotes of its own.
            b';' if !inside => comment = true,
            octet if inside => record.push(*octet),
            _ => {}
        }
    }
    if record.is_empty() { text.to_vec() } else { record }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strings_of_a_zone_entry_are_joined() {
        let entry = b"s._domainkey.x.\tIN\tTXT\t( \"v=DKIM1; n=\\\"a; b\\\"; \"\n\t  \"p=AB\"\n\t  \"CD\" )  ; \"c\"\n";
        assert_eq!(record_text(entry), b"v=DKIM1; n=\"a; b\"; p=ABCD");
    }

    #[test]
    fn a_bare_record_is_taken_as_it_is() {
        assert_eq!(record_text(b" v=DKIM1; p=AB\n"), b"v=DKIM1; p=AB");
        assert_eq!(record_text(b"k=rsa; p=AB\n"), b"k=rsa; p=AB");
        let note = b"v=DKIM1; n=\"a note\"; p=AB";
        assert_eq!(record_text(note), note);
    }

    #[test]
    fn quotes_in_a_comment_are_no_strings() {
        let entry = b"; the \"first\"\n;\ns._domainkey IN TXT \"v=DKIM1; \" \"p=AB\" ; \"last\"\n";
        assert_eq!(record_text(entry), b"v=DKIM1; p=AB");
    }
}
