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
        host.limits(settings);
        host
    }

    /// The size limit, and the field of mail without To and Cc.
    fn limits(&mut self, settings: View<'_>) {
        if let Ok(limit @ 0..) = settings.value("message_size_limit").parse::<i64>() {
            self.postfix.insert("message_size_limit", limit.into());
        }
        let field = settings.get("undisclosed_recipients_header");
        if let Some(field) = field.filter(|field| field.is_empty() || is_recipient_field(field)) {
            self.postfix.insert("undisclosed_recipients_header", field.into());
        }
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
        let diverted = line("dpkg-divert", &["--truename", PLACES[0]]);
        let mut candidates = candidates(said, diverted.as_deref());
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

/// Where the real sendmail may be, the most likely place first.
fn candidates<'a>(
    said: Option<&'a str>,
    diverted: Option<&'a str>,
) -> impl Iterator<Item = PathBuf> + 'a {
    let said = said.filter(|path| !PLACES.contains(path));
    USUAL.into_iter().chain(said).chain(diverted).chain(PLACES).map(PathBuf::from)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::temporary::Temporary;

    fn host(setting: &str) -> Host {
        let postfix = Postfix::of(&format!("{setting}\n"), "", "");
        let mut host = Host::default();
        host.domain("origin", "myorigin", postfix.view());
        host.limits(postfix.view());
        host
    }

    #[test]
    fn an_origin_is_a_domain_and_one_without_a_key_is_reported() {
        for (value, origin, notes) in [
            ("Sample.COM", Some("sample.com"), 0),
            ("localhost", Some("localhost"), 1),
            ("web1", Some("web1"), 1),
            ("a b", None, 1),
            ("/etc/nowhere", None, 1),
        ] {
            let host = host(&format!("myorigin = {value}"));
            assert_eq!(host.postfix.get("origin").and_then(Value::as_str), origin, "{value}");
            assert_eq!(host.notes.len(), notes, "{value}: {:?}", host.notes);
        }
    }

    #[test]
    fn only_what_config_toml_can_have_is_imported() {
        for (setting, expected) in [
            ("message_size_limit = 0", "message_size_limit=0"),
            ("message_size_limit = -1", ""),
            ("undisclosed_recipients_header =", "undisclosed_recipients_header=\"\""),
            (
                "undisclosed_recipients_header = Cc: x:;",
                "undisclosed_recipients_header=\"Cc: x:;\"",
            ),
            ("undisclosed_recipients_header = X-To: x:;", ""),
        ] {
            let found: Vec<_> =
                host(setting).postfix.iter().map(|(key, value)| format!("{key}={value}")).collect();
            assert_eq!(found.concat(), expected, "{setting}");
        }
    }

    #[test]
    fn the_real_sendmail_is_where_the_wrapper_will_not_be() {
        let places = |said, diverted| -> Vec<String> {
            candidates(said, diverted).map(|path| path.display().to_string()).collect()
        };
        let own = "/opt/postfix/sendmail";
        let [first, second] = PLACES;
        let aside = "/usr/sbin/sendmail.aside";
        let expected = [&USUAL[..], &[own, aside, first, second]].concat();
        assert_eq!(places(Some(own), Some(aside)), expected);
        // This is the wrapper, or will be: it is the last to be asked.
        assert_eq!(places(Some(second), None), [&USUAL[..], &PLACES[..]].concat());
    }

    #[test]
    fn a_copy_of_the_wrapper_is_not_the_real_sendmail() {
        let folder = Temporary::new("setup-host").unwrap();
        let wrapper = format!("\x7fELF {FOLDER} ");
        for (name, text, mode, expected) in [
            ("sendmail", "\x7fELF", 0o755, true),
            ("text", "\x7fELF", 0o644, false),
            ("copy", &*wrapper, 0o2755, false),
        ] {
            let path = folder.path.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_real(&path), expected, "{name}");
        }
        assert!(!is_real(&folder.path) && !is_real(&folder.path.join("none")));
    }
}
