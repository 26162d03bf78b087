//! The settings of Postfix, in general and for each of its services (postconf(1)).

use std::collections::BTreeMap;
use std::fmt::Display;

use super::input;
use super::program::output;

/// The settings of main.cf, and those that master.cf overrides for single services.
#[derive(Clone, Debug, Default)]
pub(super) struct Postfix {
    main: BTreeMap<String, String>,
    /// The lines of master.cf.
    pub(super) services: Vec<Service>,
}

/// A line of master.cf.
#[derive(Clone, Debug, Default)]
pub(super) struct Service {
    /// `smtp/unix`
    pub(super) name: String,
    /// The program: `smtp`, `cleanup`, ...
    pub(super) command: String,
    /// The whole line, with single spaces.
    line: String,
    settings: BTreeMap<String, String>,
}

/// The settings that apply to one service.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    postfix: &'a Postfix,
    service: Option<&'a Service>,
}

impl Postfix {
    /// Runs postconf(1).
    ///
    /// # Errors
    /// It cannot be run, or fails.
    pub(super) fn ask() -> Result<Self, String> {
        // -x expands the values. It does not exist before Postfix 2.10; -M and -P do not exist before 2.11.
        let postconf = |args: &[&str]| output("postconf", args);
        let main = postconf(&["-x"]).or_else(|_| postconf(&[]))?;
        let services = postconf(&["-M"]).unwrap_or_default();
        let settings = postconf(&["-Px"]).unwrap_or_default();
        let mut postfix = Self::of(&main, &services, &settings);
        postfix.read_origin();
        Ok(postfix)
    }

    pub(super) fn of(main: &str, services: &str, settings: &str) -> Self {
        let main = main.lines().filter_map(assignment);
        let main = main.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut services: Vec<Service> = services.lines().filter_map(Service::parse).collect();
        // smtp/unix/smtp_generic_maps = ...
        for (place, value) in settings.lines().filter_map(assignment) {
            let Some((service, name)) = place.rsplit_once('/') else { continue };
            if let Some(service) = services.iter_mut().find(|other| other.name == service) {
                service.settings.insert(name.to_owned(), value.to_owned());
            }
        }
        Self { main, services }
    }

    /// On Debian, a path in `myorigin` means the first line of this file.
    fn read_origin(&mut self) {
        if let Some(origin) = self.main.get_mut("myorigin")
            && origin.starts_with('/')
            && let Ok(text) = input::text(origin.as_ref(), input::FOREIGN)
        {
            text.lines().next().unwrap_or_default().trim().clone_into(origin);
        }
    }

    /// The settings that apply to a service.
    pub(super) fn of_service<'a>(&'a self, service: &'a Service) -> View<'a> {
        View { postfix: self, service: Some(service) }
    }

    /// The settings of main.cf.
    pub(super) fn view(&self) -> View<'_> {
        View { postfix: self, service: None }
    }

    /// The settings that apply to each service that runs one of these programs.
    pub(super) fn views<'a>(&'a self, commands: &'a [&str]) -> Vec<View<'a>> {
        let run = self.services.iter().filter(|service| commands.contains(&&*service.command));
        let views: Vec<View<'_>> = run.map(|service| self.of_service(service)).collect();
        // If master.cf is not available, use main.cf.
        if views.is_empty() { vec![self.view()] } else { views }
    }
}

impl<'a> View<'a> {
    /// The value of a setting. Empty if Postfix has no such setting.
    pub(super) fn value(&self, name: &str) -> &'a str {
        self.get(name).unwrap_or_default()
    }

    /// The value of a setting, or `None` if Postfix has no such setting.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let own = self.service.and_then(|service| service.settings.get(name));
        own.or_else(|| self.postfix.main.get(name)).map(String::as_str)
    }

    /// The place of a setting and its value.
    pub(super) fn evidence(&self, name: &str) -> String {
        let service = self.service.filter(|service| service.settings.contains_key(name));
        match service {
            Some(service) => {
                format!("master.cf: {}: -o {name}={}", service.name, self.value(name))
            }
            None => format!("main.cf: {name} = {}", self.value(name)),
        }
    }

    /// The place of a setting, its value, and what that means for mail.
    pub(super) fn meaning(&self, name: &str, meaning: impl Display) -> String {
        format!("{}: {meaning}", self.evidence(name))
    }
}

impl Service {
    /// Whether its line in master.cf is the same.
    pub(super) fn is_line(&self, line: &str) -> bool {
        self.line == spaced(line)
    }

    /// Its fields and arguments in master.cf.
    pub(super) fn words(&self) -> Vec<&str> {
        self.line.split(' ').collect()
    }

    /// Whether it overrides any setting.
    pub(super) fn has(&self, name: &str) -> bool {
        self.settings.contains_key(name)
    }

    /// `smtp unix - - n - - smtp -o name=value`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (name, kind) = (words.next()?, words.next()?);
        let command = words.nth(5)?.to_owned();
        let line = spaced(line);
        Some(Self { name: format!("{name}/{kind}"), command, line, ..Self::default() })
    }
}

fn spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(" =")?;
    Some((name.trim(), value.trim()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::admin::temporary::Temporary;

    pub(crate) fn postfix(main: &str, settings: &str) -> Postfix {
        let services = "smtp       unix  -  -  n  -  -  smtp\nrelay unix - - n - - smtp -o a=b\n\
            cleanup unix n - n - 0 cleanup\npickup unix n - n 60 1 pickup\nlmtp unix - - n - - lmtp\n";
        Postfix::of(main, services, settings)
    }

    #[test]
    fn a_program_that_no_service_runs_has_the_settings_of_main_cf() {
        let postfix = postfix("a = main\n", "relay/unix/a = relay\n");
        let values: Vec<_> = postfix.views(&["pipe"]).iter().map(|view| view.value("a")).collect();
        assert_eq!(values, ["main"]);
    }

    #[test]
    fn a_line_of_master_cf_is_compared_without_its_spaces() {
        let postfix = postfix("", "");
        let [smtp, ..] = &*postfix.services else { panic!("{postfix:?}") };
        assert!(smtp.is_line("smtp  unix - - n - -  smtp") && smtp.name == "smtp/unix");
        assert!(!smtp.is_line("smtp unix - - y - - smtp"));
        assert_eq!(smtp.words()[4], "n");
    }

    #[test]
    fn the_origin_may_be_in_a_file() {
        let folder = Temporary::new("postconf").unwrap();
        let path = folder.path.join("mailname");
        std::fs::write(&path, " host.example \nother.example\n").unwrap();
        for (value, expected) in [
            (path.display().to_string(), "host.example"),
            ("/nowhere".to_owned(), "/nowhere"),
            ("sample.com".to_owned(), "sample.com"),
        ] {
            let mut postfix = Postfix::of(&format!("myorigin = {value}\n"), "", "");
            postfix.read_origin();
            assert_eq!(postfix.view().value("myorigin"), expected);
        }
    }

    #[test]
    fn a_service_sees_its_own_setting_before_that_of_all() {
        let postfix = postfix("a = main\nempty =\n", "relay/unix/a = relay\n");
        let values: Vec<_> = postfix.views(&["smtp"]).iter().map(|view| view.value("a")).collect();
        assert_eq!(values, ["main", "relay"]);
        assert_eq!(postfix.views(&["smtp"])[1].evidence("a"), "master.cf: relay/unix: -o a=relay");
        assert_eq!(postfix.view().evidence("a"), "main.cf: a = main");
        assert_eq!((postfix.view().get("empty"), postfix.view().get("b")), (Some(""), None));
    }
}
