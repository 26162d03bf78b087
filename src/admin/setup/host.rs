//! What the host says: Postfix by postconf(1), and where the real sendmail is.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::dkim::Domain;
use crate::wrapper::{FOLDER, USUAL};

/// What `config.toml` can know of the host.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// The real sendmail, if there is one.
    pub(super) sendmail: Option<PathBuf>,
    /// What Postfix puts behind a bare address, unless it leaves it bare.
    pub(super) origin: Option<Domain>,
    /// What Postfix puts behind a domain without a dot, where it does.
    pub(super) append_dot_domain: Option<Domain>,
    /// What Postfix takes at most, in octets.
    pub(super) message_size_limit: Option<String>,
    /// What an administrator should know, and what to do about it.
    pub(super) notes: Vec<String>,
}

impl Host {
    pub(super) fn ask() -> Self {
        let mut host = Self::default();
        host.find_sendmail();
        if postconf("mail_version").is_none() {
            host.note(
                "postconf(1) can't be run; set `origin` to what Postfix puts behind a bare address",
            );
            return host;
        }
        if is_on("append_at_myorigin") {
            host.origin = host.domain("myorigin");
        } else {
            host.note("Postfix leaves bare addresses as they are (append_at_myorigin = no)");
        }
        if is_on("append_dot_mydomain") {
            host.append_dot_domain = host.domain("mydomain");
        }
        host.message_size_limit =
            postconf("message_size_limit").filter(|limit| limit.parse::<u32>().is_ok());
        host
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// A setting that is a domain or, on Debian, the file with the domain in its first line.
    fn domain(&mut self, name: &str) -> Option<Domain> {
        let mut value = postconf(name)?;
        if value.starts_with('/') {
            let Ok(text) = fs::read_to_string(&value) else {
                self.note(format!("{name} of Postfix is in {value}, which can't be read"));
                return None;
            };
            text.lines().next().unwrap_or_default().trim().clone_into(&mut value);
        }
        let domain = Domain::parse(&value);
        if domain.is_err() {
            self.note(format!("{name} of Postfix is {value:?}, which is no domain"));
        }
        let domain = domain.ok()?;
        if !domain.as_str().contains('.') {
            self.note(format!(
                "{name} of Postfix is {value:?}, a domain without a dot: no key fits it"
            ));
        }
        Some(domain)
    }

    fn find_sendmail(&mut self) {
        let candidates = [
            postconf("sendmail_path").filter(|path| !PLACES.contains(&path.as_str())),
            output("dpkg-divert", &["--truename", PLACES[0]]),
        ];
        let candidates = candidates.into_iter().flatten().map(PathBuf::from);
        let mut candidates = USUAL
            .map(PathBuf::from)
            .into_iter()
            .chain(candidates)
            .chain(PLACES.map(PathBuf::from))
            .filter(|path| is_real(path));
        let Some(found) = candidates.next() else { return };
        // A link may lead to the wrapper tomorrow: that is what alternatives(8) are for.
        let found = found.canonicalize().unwrap_or(found);
        if PLACES.iter().any(|place| found == Path::new(place)) {
            self.note(format!(
                "the real sendmail is still {} itself: before the wrapper takes its place, let it step \
                 aside: dpkg-divert --local --rename --divert {ASIDE} --add {}",
                found.display(),
                found.display()
            ));
            self.sendmail = Some(PathBuf::from(ASIDE));
        } else {
            self.sendmail = Some(found);
        }
    }
}

/// Where Debian's is put aside.
const ASIDE: &str = USUAL[0];
/// The places that the wrapper is going to take.
const PLACES: [&str; 2] = ["/usr/sbin/sendmail", "/usr/lib/sendmail"];

/// Whether that is a sendmail, and not the wrapper under whatever name.
pub(super) fn is_real(path: &Path) -> bool {
    let Ok(found) = fs::metadata(path) else { return false };
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return false;
    }
    let mut octets = Vec::new();
    // It is a few hundred kB; what can't be read (mode 711) is not the wrapper as it is installed.
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut octets));
    read.is_err() || !octets.windows(FOLDER.len()).any(|part| part == FOLDER.as_bytes())
}

/// The value of a setting with what it refers to put in. `None`: there is no Postfix, or no such setting.
fn postconf(name: &str) -> Option<String> {
    // Before 2.10 there is no -x.
    output("postconf", &["-xh", name]).or_else(|| output("postconf", &["-h", name]))
}

fn is_on(name: &str) -> bool {
    postconf(name).as_deref() == Some("yes")
}

/// The first line of what a program says; `None` if it says nothing or fails.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next().unwrap_or_default().trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
