//! The table of attacks: which test tried what, and what was seen to come of it. `make test` and `make attacks` print it.

use std::any::type_name;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Received, Sandbox, project};

/// The rows of one test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attacks(&'static str);

impl Attacks {
    /// Those of the test function given.
    pub(crate) fn of<T>(_: T) -> Self {
        Self(type_name::<T>().trim_start_matches("it::"))
    }

    /// One row. In one write, so that tests at the same time do not mix theirs.
    pub(crate) fn row(self, attack: &str, outcome: &str) {
        let plain = |text: &str| {
            text.trim().replace("/etc/sendmail-dkim/", "").replace(char::is_control, " ")
        };
        let line = format!("{}\t{}\t{}\n", self.0, plain(attack), plain(outcome));
        let table = Path::new(env!("CARGO_TARGET_TMPDIR")).join("attacks.tsv");
        let mut table = fs::OpenOptions::new().append(true).create(true).open(table).unwrap();
        table.write_all(line.as_bytes()).unwrap();
    }
}

/// What one submission came to.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) output: Output,
    /// What came to the peer.
    pub(crate) arrived: Option<Received>,
    /// What the wrapper logged of it.
    pub(crate) logged: Vec<String>,
}

impl Observed {
    /// Submits by a script as a user and looks at all that comes of it. In the script stands RCPT for the recipient.
    pub(crate) fn of(sandbox: &Sandbox, user: &User, script: &str, message: &[u8]) -> Self {
        let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
        let output = sandbox.sh(&user.name, &script.replace("RCPT", &recipient), message);
        Self::after(sandbox, &format!("uid={} ", user.uid), mark, &recipient, output)
    }

    /// The same, after a submission; `needle` is what tells its line of the log from others.
    pub(crate) fn after(
        sandbox: &Sandbox,
        needle: &str,
        mark: usize,
        recipient: &str,
        output: Output,
    ) -> Self {
        let is_accepted = output.status.success();
        let arrived = if is_accepted {
            Some(sandbox.received(recipient))
        } else {
            sandbox.arrived(recipient).into_iter().next()
        };
        let logged = logged(sandbox, mark, needle, usize::from(is_accepted));
        let observed = Self { output, arrived, logged };
        observed.assert_no_secret(sandbox);
        let lines = observed.logged.len();
        assert!(lines == 1 || lines == 0 && !is_accepted, "{observed:?}");
        observed
    }

    /// No key is in what was said, logged or sent.
    pub(crate) fn assert_no_secret(&self, sandbox: &Sandbox) {
        let arrived = self.arrived.as_ref().map(|arrived| arrived.bytes.as_slice());
        let log = self.logged.join("\n");
        for text in [Some(&*self.output.stdout), Some(&*self.output.stderr), arrived] {
            assert_no_secret(sandbox, text.unwrap_or_default());
        }
        assert_no_secret(sandbox, log.as_bytes());
    }

    /// The domain of the one signature.
    pub(crate) fn signed_by(&self) -> Option<String> {
        let signatures = signing_domains(self.arrived.as_ref()?);
        assert!(signatures.len() < 2, "{signatures:?}");
        signatures.into_iter().next()
    }

    /// The text for the table.
    pub(crate) fn outcome(&self) -> String {
        if self.arrived.is_some() {
            return match self.signed_by() {
                Some(domain) => format!("arrived signed, d={domain}"),
                None => format!("arrived unsigned: {}", self.reason()),
            };
        }
        let said = String::from_utf8_lossy(&self.output.stderr);
        let said: String = said.lines().last().unwrap_or_default().chars().take(120).collect();
        let status = self.output.status;
        let end = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("ended by signal {}", signal.unwrap_or_default()),
        };
        let reason = if self.logged.is_empty() { String::new() } else { self.reason() };
        format!("not sent, {end}: {}", if reason.is_empty() { said } else { reason })
    }

    /// Why it is not signed, by the log.
    pub(crate) fn reason(&self) -> String {
        let line = self.logged.first().map_or("", String::as_str);
        let reason = line.split_once("reason=\"").map_or("", |(_, reason)| reason);
        reason.trim_end_matches('"').to_owned()
    }
}

/// The lines of the wrapper in the log after `mark` that hold `needle`; waits for so many, with 0 for all that was logged.
pub(crate) fn logged(sandbox: &Sandbox, mark: usize, needle: &str, least: usize) -> Vec<String> {
    if least == 0 {
        sandbox.wait_for_log();
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let log = fs::read(sandbox.path("/out/syslog")).unwrap_or_default();
        let log = String::from_utf8_lossy(log.get(mark..).unwrap_or_default()).into_owned();
        let lines = log.lines().filter(|line| line.contains("sendmail-dkim["));
        let lines: Vec<_> = lines.filter(|line| line.contains(needle)).map(str::to_owned).collect();
        if lines.len() >= least {
            return lines;
        }
        assert!(Instant::now() < deadline, "not logged: {needle}\n{log}");
        sleep(Duration::from_millis(20));
    }
}

/// d= of each DKIM-Signature.
pub(crate) fn signing_domains(message: &Received) -> Vec<String> {
    let (header, _) = message.split();
    let unfolded = header.replace("\r\n\t", " ").replace("\r\n ", " ");
    let fields = unfolded.split("\r\n").filter_map(|line| line.split_once(':'));
    let signatures = fields.filter(|(name, _)| name.trim().eq_ignore_ascii_case("dkim-signature"));
    let domains = signatures.map(|(_, value)| {
        let tags = value.split(';').filter_map(|tag| tag.trim().strip_prefix("d="));
        tags.map(|domain| domain.trim().to_owned()).next().unwrap_or_default()
    });
    domains.collect()
}

/// No key of the sandbox is in a text, in any form of [`forms`].
pub(crate) fn assert_no_secret(sandbox: &Sandbox, text: &[u8]) {
    // To make the pieces takes longer than to look for them.
    static MADE: Mutex<BTreeMap<Vec<String>, Arc<Pieces>>> = Mutex::new(BTreeMap::new());
    let shown = || String::from_utf8_lossy(text).into_owned();
    assert!(!shown().contains("PRIVATE KEY"), "{}", shown());
    let keys = keys(sandbox);
    let of_keys = || Arc::new(Pieces::new(keys.iter().flat_map(|pem| forms(pem))));
    let pieces = MADE.lock().unwrap().entry(keys.clone()).or_insert_with(of_keys).clone();
    assert!(!pieces.are_in(text), "{}", shown());
}

/// So many bytes are in no other text.
const PIECE: usize = 16;
type Piece = [u8; PIECE];

/// What is looked for.
struct Pieces {
    all: HashSet<Piece>,
    /// Of each pair of bytes, whether a piece begins with it.
    begins: Vec<bool>,
}

impl Pieces {
    fn new(all: impl Iterator<Item = Piece>) -> Self {
        let all: HashSet<Piece> = all.collect();
        let mut begins = vec![false; 1 << 16];
        all.iter().for_each(|piece| begins[Self::pair(piece)] = true);
        Self { all, begins }
    }

    fn pair(bytes: &[u8]) -> usize {
        usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn are_in(&self, text: &[u8]) -> bool {
        text.windows(PIECE)
            .any(|window| self.begins[Self::pair(window)] && self.all.contains(window))
    }
}

/// The files of all keys.
fn keys(sandbox: &Sandbox) -> Vec<String> {
    let folders = fs::read_dir(sandbox.path("/etc/sendmail-dkim/keys")).into_iter().flatten();
    let files = folders.flatten().flat_map(|folder| fs::read_dir(folder.path()).into_iter());
    let files = files.flatten().flatten().map(|file| file.path());
    let keys = files.filter(|path| {
        let kind = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
        kind && path.extension().is_some_and(|extension| extension == "private")
    });
    keys.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// Pieces of all keys in each form that they may be shown in.
pub(crate) fn secrets(sandbox: &Sandbox) -> Vec<Piece> {
    keys(sandbox).iter().flat_map(|pem| forms(pem)).collect()
}

/// Pieces of a key: its file as it is, and the numbers that are its own as bytes in either order, in hexadecimal, in decimal
/// and in base64 of any alignment.
pub(crate) fn forms(pem: &str) -> Vec<Piece> {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(text.trim()).ok().filter(|der| der.len() > PIECE);
    // What was put in the place of a key is no secret.
    let Some(der) = der else { return Vec::new() };
    // What is before may be of the public key.
    let own = &der[der.len() / 2..];
    let mut whole: Vec<Vec<u8>> = vec![own.to_vec(), own.iter().rev().copied().collect()];
    let bytes = || own.iter().map(|byte| format!("{byte:02x}"));
    for between in ["", ":", " ", ", ", "\\x", ", 0x"] {
        let hexadecimal = bytes().collect::<Vec<_>>().join(between);
        whole.push(hexadecimal.to_ascii_uppercase().into_bytes());
        whole.push(hexadecimal.into_bytes());
    }
    for between in [", ", ",", " "] {
        let decimal = own.iter().map(u8::to_string).collect::<Vec<_>>().join(between);
        whole.push(decimal.into_bytes());
    }
    for bytes in [own, &pem.as_bytes()[pem.len() / 2..]] {
        whole.extend((0..3).map(|skipped| STANDARD.encode(&bytes[skipped..]).into_bytes()));
    }
    let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let own_lines = lines[lines.len() / 2..].iter();
    whole.extend(own_lines.map(|line| line.as_bytes().get(8..).unwrap_or_default().to_vec()));
    // Any eighty bytes in a row contain a piece.
    let pieces = whole.iter().flat_map(|form| form.as_chunks::<PIECE>().0.iter().step_by(4));
    pieces.copied().collect()
}

#[test]
fn a_key_is_found_in_any_form() {
    let pem = fs::read_to_string(project("tests/vectors/rfc6376-c.private")).unwrap();
    let pieces = Pieces::new(forms(&pem).into_iter());
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(text).unwrap();
    let private = &der[der.len() - 150..];
    for form in [
        private.to_vec(),
        private.iter().rev().copied().collect(),
        format!("{private:?}").into_bytes(),
        format!("{private:02x?}").into_bytes(),
        format!("{private:02X?}").into_bytes(),
        STANDARD.encode(private).into_bytes(),
        STANDARD.encode(&private[1..]).into_bytes(),
        STANDARD.encode(&private[2..]).into_bytes(),
        STANDARD.encode(&pem).into_bytes(),
        pem.clone().into_bytes(),
        pem.lines().nth(7).unwrap().as_bytes().to_vec(),
    ] {
        let shown = String::from_utf8_lossy(&form).into_owned();
        assert!(pieces.are_in(&[b"x=", form.as_slice(), b"!"].concat()), "{shown}");
    }
    // The public key is no secret.
    let record = fs::read(project("tests/vectors/rfc6376-a2.txt")).unwrap();
    assert!(!pieces.are_in(&record));
    assert!(!pieces.are_in(&der[..160]));
}

/// A user of the sandbox.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
}
