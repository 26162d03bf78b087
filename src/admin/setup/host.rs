//! What the host says: Postfix, and where the real sendmail is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use memchr::memmem;
use toml_edit::Value;

use crate::admin::input;
use crate::admin::postconf::{Postfix, View};
use crate::admin::program::output;
use crate::config::is_recipient_field;
use crate::dkim::Domain;
use crate::submission::configuration::FOLDER;
use crate::wrapper::handoff::USUAL;

/// What `config.toml` can know of the host.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// The real sendmail, if there is one.
    pub(super) sendmail: Option<PathBuf>,
    /// What Postfix does to mail, by the keys of `config.toml`: what it puts behind a bare address and behind a domain without
    /// a dot, if it does; its size limit, where 0 is none; the field that it adds to mail without To and Cc, empty for none.
    pub(super) postfix: BTreeMap<&'static str, Value>,
    /// What an administrator should know, and what to do about it.
    pub(super) notes: Vec<String>,
}

impl Host {
    pub(super) fn ask() -> Self {
        let mut host = Self::default();
        let postfix = Postfix::ask().ok();
        let settings = postfix.as_ref().map(Postfix::view);
        host.find_sendmail(settings.and_then(|settings| settings.get("sendmail_path")));
        let Some(settings) = settings else {
            host.note(
                "postconf(1) can't be run; set `origin` to what Postfix puts behind a bare address",
            );
            return host;
        };
        if settings.value("append_at_myorigin") == "yes" {
            host.domain("origin", "myorigin", settings);
        } else {
            host.note("Postfix leaves bare addresses as they are (append_at_myorigin = no)");
        }
        if settings.value("append_dot_mydomain") == "yes" {
            host.domain("append_dot_domain", "mydomain", settings);
        }
        if let Ok(limit @ 0..) = settings.value("message_size_limit").parse::<i64>() {
            host.postfix.insert("message_size_limit", limit.into());
        }
        let field = settings.get("undisclosed_recipients_header");
        if let Some(field) = field.filter(|field| field.is_empty() || is_recipient_field(field)) {
            host.postfix.insert("undisclosed_recipients_header", field.into());
        }
        host
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Takes a setting that is a domain for a key of `config.toml`.
    fn domain(&mut self, key: &'static str, name: &str, settings: View<'_>) {
        let Some(value) = settings.get(name) else { return };
        // What is in a file is in its place already.
        if value.starts_with('/') {
            return self.note(format!("{name} of Postfix is in {value}, which can't be read"));
        }
        let Ok(domain) = Domain::parse(value) else {
            return self.note(format!("{name} of Postfix is {value:?}, which is no domain"));
        };
        if domain.is_local() {
            self.note(format!(
                "{name} of Postfix is {value:?}, a name that only this host knows: no key fits it"
            ));
        }
        self.postfix.insert(key, domain.as_str().into());
    }

    /// `said`: what Postfix takes for it.
    fn find_sendmail(&mut self, said: Option<&str>) {
        let said = said.filter(|path| !PLACES.contains(path)).map(PathBuf::from);
        let diverted = line("dpkg-divert", &["--truename", PLACES[0]]).map(PathBuf::from);
        let candidates = USUAL.map(PathBuf::from).into_iter().chain(said).chain(diverted);
        let mut candidates = candidates.chain(PLACES.map(PathBuf::from));
        let Some(found) = candidates.find(|path| is_real(path)) else { return };
        // A link may lead to the wrapper tomorrow: that is what alternatives(8) are for.
        let found = found.canonicalize().unwrap_or(found);
        if PLACES.iter().any(|place| found == Path::new(place)) {
            self.note(format!(
                "the real sendmail is still {}; `dkimctl enable` moves it to {ASIDE} before the wrapper \
                 takes its place",
                found.display()
            ));
            self.sendmail = Some(PathBuf::from(ASIDE));
        } else {
            self.sendmail = Some(found);
        }
    }
}

/// Where `register` puts the one of Debian.
const ASIDE: &str = USUAL[2];
/// The places that the wrapper is going to take.
const PLACES: [&str; 2] = ["/usr/sbin/sendmail", "/usr/lib/sendmail"];

/// Whether this is a sendmail program, and not the wrapper under any name.
pub(super) fn is_real(path: &Path) -> bool {
    let Ok(found) = fs::metadata(path) else { return false };
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return false;
    }
    // It is a few hundred kB; what can't be read (mode 711) is not the wrapper as it is installed.
    let read = input::read(path, input::PROGRAM);
    read.map_or(true, |program| memmem::find(&program, FOLDER.as_bytes()).is_none())
}

/// The first line of what a program says; `None` if it says nothing or fails.
fn line(program: &str, args: &[&str]) -> Option<String> {
    let text = output(program, args).ok()?;
    let line = text.lines().next().unwrap_or_default().trim();
    (!line.is_empty()).then(|| line.to_owned())
}
