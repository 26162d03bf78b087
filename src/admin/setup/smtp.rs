//! `dkimctl setup --smtp`: the settings of Postfix by which it hands mail submitted by SMTP to the wrapper.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::unistd::{User, geteuid};
use serde_json::json;
use toml_edit::Value;

use super::editing::Editing;
use crate::admin::checks::finding::remarks;
use crate::admin::cli::Args;
use crate::admin::filter::{
    self, ADDRESSES, Clients, LOGINS, NAMES, NEXT, RECIPIENTS, SOME, TRANSPORT, USER,
};
use crate::admin::input;
use crate::admin::output::{Failure, diff};
use crate::admin::postconf::{Postfix, Service};
use crate::admin::program::output;
use crate::admin::store::{Readers, Store};
use crate::admin::temporary::Temporary;

/// What restricts a service to the clients in the tables.
struct Tables {
    clients: String,
    /// Those that authenticated.
    logins: String,
    /// Where the tables are.
    folder: String,
}

/// A file before and after.
struct File {
    path: PathBuf,
    /// `None` if there is no such file yet.
    before: Option<String>,
    after: String,
}

impl File {
    fn is_changed(&self) -> bool {
        self.before.as_ref() != Some(&self.after)
    }

    fn undo(&self, store: &Store) -> Result<(), Failure> {
        match &self.before {
            Some(text) => store.replace(&self.path, text, Readers::All),
            None => store.remove(&self.path),
        }
    }
}

/// All that is to be changed.
#[derive(Default)]
struct Plan {
    /// Calls of postconf(1), each with its arguments.
    calls: Vec<Vec<String>>,
    /// Files of the configuration directory.
    files: Vec<File>,
    notes: Vec<String>,
}

pub(super) fn run(args: &Args, is_on: bool) -> Result<ExitCode, Failure> {
    let is_applied = args.has("--yes") && !args.has("--dry-run");
    if is_applied && !geteuid().is_root() {
        return Err(Failure::permission("only root can change the settings of Postfix"));
    }
    let postfix = Postfix::ask().map_err(Failure::missing)?;
    let mut plan = Plan::default();
    if is_on {
        plan.on(args, &postfix)?;
    } else {
        plan.off(args, &postfix)?;
    }
    let folder = PathBuf::from(postfix.view().value("config_directory"));
    let mut changes = preview(&folder, &plan.calls)?;
    for file in plan.files.iter().filter(|file| file.is_changed()) {
        let (name, before) = (file.path.display().to_string(), file.before.as_deref());
        changes.push_str(&diff((&name, before.unwrap_or_default()), (&name, &file.after)));
    }
    let is_changed = !changes.is_empty();
    if is_applied && is_changed {
        plan.apply(args, &folder)?;
    }
    let mut text = changes.clone();
    if !is_changed {
        text.push_str("nothing to change\n");
    }
    for note in &plan.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    if is_changed && !is_applied {
        let option = if is_on { "--smtp" } else { "--smtp=off" };
        text.push_str(&format!("next: dkimctl setup {option} --yes applies this\n"));
    }
    let shown = json!({"applied": is_applied, "changes": changes});
    args.report(&shown, &remarks("note", &plan.notes), text)
}

impl Plan {
    fn call<const N: usize>(&mut self, words: [&str; N]) {
        self.calls.push(words.map(str::to_owned).to_vec());
    }

    fn on(&mut self, args: &Args, postfix: &Postfix) -> Result<(), Failure> {
        let user = self.configure(args, postfix)?;
        if User::from_name(&user).ok().flatten().is_none() {
            return Err(Failure::no_user(format_args!(
                "there is no user {user:?}: useradd --system --no-create-home --gid nogroup --shell /usr/sbin/nologin {user}"
            )));
        }
        let services: Vec<&Service> =
            postfix.services.iter().filter(|it| filter::is_submission(it)).collect();
        if services.is_empty() {
            return Err(Failure::missing("no smtpd for port 25, 587 or 465 is in master.cf"));
        }
        let tables = self.tables(args, postfix)?;
        let line = filter::line(&user);
        let known = postfix.services.iter().find(|service| service.name == "dkim/unix");
        let is_known = known.is_some();
        if known.is_none_or(|service| !service.is_line(&line)) {
            self.call(["-M", &format!("dkim/unix={line}")]);
        }
        let [name, value] = RECIPIENTS;
        let limit = postfix.view().value(name).parse::<u32>();
        let most = value.parse::<u32>().unwrap_or_default();
        if !is_known || limit.is_ok_and(|limit| limit > 0 && limit < most) {
            self.call(["-e", &format!("{name}={value}")]);
        }
        if !is_known && filter::asks_for_smtputf8(postfix) {
            self.notes.push(filter::RAW_HEADERS.to_owned());
        }
        for service in services {
            self.hand_over(postfix, service, &tables);
        }
        Ok(())
    }

    /// Lets a service hand over its mail: all of it, where every client has to authenticate, or that of the clients in the tables.
    fn hand_over(&mut self, postfix: &Postfix, service: &Service, tables: &Tables) {
        let view = postfix.of_service(service);
        let name = &service.name;
        let (filter, some) = (view.value("content_filter"), view.value(SOME));
        if !view.value("smtpd_proxy_filter").is_empty() {
            self.notes.push(format!("{name} is left as it is: it has a smtpd_proxy_filter, which FILTER does not work with"));
        } else if !filter.is_empty() && !filter.starts_with("dkim:") {
            self.notes
                .push(format!("{name} is left as it is: it hands its mail to {filter} already"));
        } else if filter::asks_for_proof(&view) {
            if filter != NEXT {
                self.call(["-P", &format!("{name}/content_filter={NEXT}")]);
            }
        } else {
            if service.has("content_filter") && !filter.is_empty() {
                self.call(["-PX", &format!("{name}/content_filter")]);
            }
            let mut value = tables.clients.clone();
            if view.value("smtpd_sasl_auth_enable") == "yes" {
                value.push_str(&format!(",{}", tables.logins));
            }
            let others = without(some, &tables.folder);
            let value = [&[value.as_str()], others.as_slice()].concat().join(",");
            if !filter::words(some).eq(filter::words(&value)) {
                self.call(["-P", &format!("{name}/{SOME}={value}")]);
            }
        }
        let milters = view.value("smtpd_milters");
        if !milters.is_empty() {
            self.notes.push(format!(
                "{name} asks the milters {milters}: if one of them signs, take it out, or set its mode to verify only"
            ));
        }
    }

    /// config.toml, and the name of the user in it.
    fn configure(&mut self, args: &Args, postfix: &Postfix) -> Result<String, Failure> {
        let mut file = Editing::open(&args.etc)?;
        let mut values = vec![("filter_user", Value::from(USER)), ("smtp", Value::from(true))];
        // A message that only its signature makes too large would bounce.
        let limit = postfix.view().value("message_size_limit").parse::<i64>();
        values.extend(
            limit.ok().filter(|limit| *limit > 0).map(|limit| ("message_size_limit", limit.into())),
        );
        for (key, value) in values {
            if file.get(key).is_none() {
                file.set(key, Some(value));
            }
        }
        let user = file.get("filter_user").and_then(|user| user.as_str().map(str::to_owned));
        self.config(file)?;
        Ok(user.unwrap_or_else(|| USER.to_owned()))
    }

    fn config(&mut self, file: Editing) -> Result<(), Failure> {
        file.check()?;
        self.file(file.path, file.before, file.text);
        Ok(())
    }

    fn file(&mut self, path: PathBuf, before: Option<String>, after: String) {
        self.files.push(File { path, before, after });
    }

    /// The tables of clients, made where they are missing; what restricts a service to them, and to logins after a semicolon.
    fn tables(&mut self, args: &Args, postfix: &Postfix) -> Result<Tables, Failure> {
        let path = args.etc.join(ADDRESSES);
        let before = input::optional(&path, input::FOREIGN)?;
        let clients = Clients::of(filter::words(postfix.view().value("mynetworks")));
        if before.is_none() {
            self.notes
                .extend(clients.left_out.iter().map(|why| format!("mynetworks: not used: {why}")));
        }
        let after = before.clone().unwrap_or_else(|| clients.addresses());
        let mut tables = format!("check_client_access,cidr:{}", path.display());
        self.file(path, before, after);
        let names = args.etc.join(NAMES);
        if names.exists() {
            tables.push_str(&format!(",check_client_access,regexp:{}", names.display()));
        }
        let path = args.etc.join(LOGINS);
        let before = input::optional(&path, input::FOREIGN)?;
        let after = before.clone().unwrap_or_else(filter::logins);
        let logins = format!("check_sasl_access,regexp:{}", path.display());
        self.file(path, before, after);
        Ok(Tables { clients: tables, logins, folder: args.etc.display().to_string() })
    }

    fn off(&mut self, args: &Args, postfix: &Postfix) -> Result<(), Failure> {
        let ours = args.etc.display().to_string();
        for service in &postfix.services {
            let view = postfix.of_service(service);
            let name = &service.name;
            if service.has("content_filter") && view.value("content_filter").starts_with("dkim:") {
                self.call(["-PX", &format!("{name}/content_filter")]);
            }
            let some = view.value(SOME);
            let kept = without(some, &ours);
            if service.has(SOME) && kept.len() != filter::words(some).count() {
                let of_all: Vec<&str> = filter::words(postfix.view().value(SOME)).collect();
                match kept == of_all {
                    true => self.call(["-PX", &format!("{name}/{SOME}")]),
                    false => self.call(["-P", &format!("{name}/{SOME}={}", kept.join(","))]),
                }
            }
        }
        if postfix.services.iter().any(|service| service.name == "dkim/unix") {
            self.call(["-MX", "dkim/unix"]);
            self.call(["-X", RECIPIENTS[0]]);
            self.notes.push(format!(
                "mail that waits for the filter {TRANSPORT} goes on unsigned after: postsuper -r ALL"
            ));
        }
        let mut file = Editing::open(&args.etc)?;
        if file.before.is_some() {
            for key in ["filter_user", "smtp"] {
                if file.get(key).is_some() {
                    file.set(key, None);
                }
            }
            self.config(file)?;
        }
        Ok(())
    }

    /// Writes the files and calls postconf(1); undoes that if `postfix check` finds a mistake.
    fn apply(&mut self, args: &Args, folder: &Path) -> Result<(), Failure> {
        self.change(&args.etc, folder, || {
            self.calls.iter().try_for_each(|call| postconf(None, call))?;
            run_program("postfix", &["check"])
        })?;
        if run_program("postfix", &["status"]).is_ok() {
            run_program("postfix", &["reload"])?;
            self.notes.push("Postfix has reloaded its settings".to_owned());
        }
        Ok(())
    }

    /// Writes the files, and lets `call` change those of Postfix; undoes both if `call` fails.
    fn change(
        &self,
        etc: &Path,
        folder: &Path,
        call: impl Fn() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let store = Store::create(etc)?;
        let changed = || self.files.iter().filter(|file| file.is_changed());
        changed().try_for_each(|file| store.replace(&file.path, &file.after, Readers::All))?;
        let before = texts(folder)?;
        let Err(failure) = call() else { return Ok(()) };
        write(folder, &before)?;
        changed().try_for_each(|file| file.undo(&store))?;
        Err(failure)
    }
}

/// A list of restrictions without those whose table is in a folder.
fn without<'a>(list: &'a str, folder: &str) -> Vec<&'a str> {
    let words: Vec<&str> = filter::words(list).collect();
    let (mut kept, mut rest) = (Vec::new(), words.as_slice());
    while let [word, others @ ..] = rest {
        rest = match others {
            [table, others @ ..] if word.starts_with("check_") && table.contains(folder) => others,
            _ => {
                kept.push(*word);
                others
            }
        };
    }
    kept
}

/// The two files that postconf(1) changes.
const FILES: [&str; 2] = ["main.cf", "master.cf"];

/// Their texts; comments may be in any charset.
fn texts(folder: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let text = |name: &&str| {
        let path = folder.join(name);
        input::read(&path, input::FOREIGN).map_err(|error| Failure::reading(&path, &error))
    };
    FILES.iter().map(text).collect()
}

fn write(folder: &Path, texts: &[Vec<u8>]) -> Result<(), Failure> {
    FILES.iter().zip(texts).try_for_each(|(name, text)| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| Failure::changing(&path, &error))
    })
}

/// What the calls change, tried on a copy.
fn preview(folder: &Path, calls: &[Vec<String>]) -> Result<String, Failure> {
    if calls.is_empty() {
        return Ok(String::new());
    }
    let (copy, before) = (Temporary::new("dkimctl-setup")?, texts(folder)?);
    write(&copy.path, &before)?;
    calls.iter().try_for_each(|call| postconf(Some(&copy.path), call))?;
    let after = texts(&copy.path)?;
    let changed = FILES.iter().zip(before.iter().zip(&after)).map(|(name, (before, after))| {
        let shown = folder.join(name).display().to_string();
        let [before, after] = [before, after].map(|text| String::from_utf8_lossy(text));
        diff((&shown, &before), (&shown, &after))
    });
    Ok(changed.collect())
}

fn postconf(folder: Option<&Path>, call: &[String]) -> Result<(), Failure> {
    let folder = folder.map(|folder| folder.display().to_string());
    let option = folder.iter().flat_map(|folder| ["-c", folder]);
    let words: Vec<&str> = option.chain(call.iter().map(String::as_str)).collect();
    run_program("postconf", &words)
}

fn run_program(program: &str, words: &[&str]) -> Result<(), Failure> {
    output(program, words).map(drop).map_err(Failure::data)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::admin::DKIMCTL;

    const SMTPD: &str = "smtp inet n - n - - smtpd\n";
    const CLIENTS: &str = "check_client_access,cidr:ETC/clients.cidr";
    const OTHER: &str = "check_policy_service,inet:127.0.0.1:9";

    /// The calls of postconf(1), with ETC for the directory.
    fn calls(plan: &Plan, etc: &str) -> Vec<String> {
        plan.calls.iter().map(|words| words.join(" ").replace(etc, "ETC")).collect()
    }

    /// What is called for a service with this setting, and how many notes there are.
    fn handed_over(setting: &str) -> (Vec<String>, usize) {
        let settings =
            if setting.is_empty() { String::new() } else { format!("smtp/inet/{setting}\n") };
        let postfix = Postfix::of("mynetworks = 127.0.0.0/8\n", SMTPD, &settings);
        let logins = "check_sasl_access,regexp:ETC/logins.regexp".to_owned();
        let tables = Tables { clients: CLIENTS.to_owned(), logins, folder: "ETC".to_owned() };
        let mut plan = Plan::default();
        plan.hand_over(&postfix, &postfix.services[0], &tables);
        (calls(&plan, "ETC"), plan.notes.len())
    }

    #[test]
    fn who_may_use_a_service_decides_how_it_hands_mail_over() {
        let some = |value: &str| format!("-P smtp/inet/{SOME}={value}");
        let set = |value: &str| format!("{SOME} = {value}");
        for (setting, expected, notes) in [
            ("", vec![some(CLIENTS)], 0),
            (
                "smtpd_sasl_auth_enable = yes",
                vec![some(&format!("{CLIENTS},check_sasl_access,regexp:ETC/logins.regexp"))],
                0,
            ),
            (
                "smtpd_relay_restrictions = permit_sasl_authenticated, reject",
                vec!["-P smtp/inet/content_filter=dkim:dummy".to_owned()],
                0,
            ),
            // All mail went to the filter, and now any client may use the port.
            (
                "content_filter = dkim:dummy",
                vec!["-PX smtp/inet/content_filter".to_owned(), some(CLIENTS)],
                0,
            ),
            ("content_filter = scan:x", vec![], 1),
            // This service is an exception to that of main.cf.
            ("content_filter =", vec![some(CLIENTS)], 0),
            ("smtpd_proxy_filter = 127.0.0.1:10025", vec![], 1),
            ("smtpd_milters = inet:localhost:8891", vec![some(CLIENTS)], 1),
            (&set(CLIENTS), vec![], 0),
            (&set(&format!("{CLIENTS} {OTHER}").replace(',', " ")), vec![], 0),
            (&set(OTHER), vec![some(&format!("{CLIENTS},{OTHER}"))], 0),
            // A table that no longer exists would reject all mail.
            (
                &set(&format!("{CLIENTS},check_client_access,regexp:ETC/clients.regexp,{OTHER}")),
                vec![some(&format!("{CLIENTS},{OTHER}"))],
                0,
            ),
        ] {
            assert_eq!(handed_over(setting), (expected, notes), "{setting}");
        }
    }

    #[test]
    fn off_takes_out_what_setup_put_in_and_nothing_else() {
        let etc = Temporary::new("setup-smtp-off").unwrap();
        let shown = etc.path.display().to_string();
        let config =
            "sendmail = \"/x\"\nfilter_user = \"root\"\nmessage_size_limit = 9\nsmtp = true\n";
        fs::write(etc.path.join("config.toml"), config).unwrap();
        let args = Args::new(DKIMCTL, etc.path.clone());
        let line = format!("{SMTPD}{}\n", filter::line("root"));
        for (main, services, setting, expected) in [
            ("", SMTPD, "content_filter = dkim:dummy".to_owned(), "-PX smtp/inet/content_filter"),
            ("", SMTPD, "content_filter = scan:x".to_owned(), ""),
            ("", SMTPD, format!("{SOME} = {OTHER}"), ""),
            (
                "",
                SMTPD,
                format!("{SOME} = {CLIENTS},{OTHER}"),
                "-P smtp/inet/smtpd_end_of_data_restrictions=check_policy_service,inet:127.0.0.1:9",
            ),
            // The same as that of all services.
            (
                OTHER,
                SMTPD,
                format!("{SOME} = {CLIENTS},{OTHER}"),
                "-PX smtp/inet/smtpd_end_of_data_restrictions",
            ),
            // What main.cf says of all services is not taken out of one of them.
            (CLIENTS, SMTPD, "a = b".to_owned(), ""),
            ("\ncontent_filter = dkim:dummy", SMTPD, "a = b".to_owned(), ""),
            ("", &line, "a = b".to_owned(), "-MX dkim/unix -X dkim_destination_recipient_limit"),
        ] {
            let settings = format!("smtp/inet/{setting}\n").replace("ETC", &shown);
            let main = format!("{SOME} = {main}\n").replace("ETC", &shown);
            let postfix = Postfix::of(&main, services, &settings);
            let mut plan = Plan::default();
            plan.off(&args, &postfix).unwrap();
            assert_eq!(calls(&plan, &shown).join(" "), expected, "{setting}");
            let [file] = &*plan.files else { panic!("{expected}") };
            assert_eq!(file.after, "sendmail = \"/x\"\nmessage_size_limit = 9\n");
        }
    }

    #[test]
    fn off_makes_no_config_toml() {
        let etc = Temporary::new("setup-smtp-none").unwrap();
        let mut plan = Plan::default();
        plan.off(&Args::new(DKIMCTL, etc.path.clone()), &Postfix::of("", SMTPD, "")).unwrap();
        assert!(plan.files.is_empty());
    }

    #[test]
    fn files_of_the_administrator_stay() {
        let etc = Temporary::new("setup-smtp-kept").unwrap();
        let config = "sendmail = \"/x\"\nfilter_user = \"daemon\"\nsmtp = false\n";
        for (name, text) in
            [("config.toml", config), (ADDRESSES, "# mine\n"), (LOGINS, "# mine\n"), (NAMES, "")]
        {
            fs::write(etc.path.join(name), text).unwrap();
        }
        // Postfix has no limit, so config.toml needs none.
        let main = "mynetworks = 127.0.0.0/8\nmessage_size_limit = 0\n";
        let mut plan = Plan::default();
        let args = Args::new(DKIMCTL, etc.path.clone());
        plan.on(&args, &Postfix::of(main, SMTPD, "")).unwrap();
        let changed: Vec<_> = plan.files.iter().filter(|file| file.is_changed()).collect();
        assert_eq!((plan.files.len(), changed.len()), (3, 0));
        let calls = calls(&plan, &etc.path.display().to_string());
        let tables = format!("{SOME}={CLIENTS},check_client_access,regexp:ETC/{NAMES}");
        assert!(calls.last().unwrap().ends_with(&tables), "{calls:?}");
    }

    #[test]
    fn the_limit_of_recipients_is_raised_and_never_lowered() {
        let etc = Temporary::new("setup-smtp-on").unwrap();
        fs::write(etc.path.join("config.toml"), "sendmail = \"/x\"\nfilter_user = \"daemon\"\n")
            .unwrap();
        let args = Args::new(DKIMCTL, etc.path.clone());
        let own = filter::line("daemon");
        let raise = "-e dkim_destination_recipient_limit=1000";
        for (line, limit, expected) in [
            (own.clone(), "50", vec![raise.to_owned()]),
            (own.clone(), "2000", vec![]),
            (own.clone(), "0", vec![]),
            (own.replace(" -i ", " "), "2000", vec![format!("-M dkim/unix={own}")]),
            (String::new(), "2000", vec![format!("-M dkim/unix={own}"), raise.to_owned()]),
        ] {
            let main =
                format!("message_size_limit = 7\ndkim_destination_recipient_limit = {limit}\n");
            let postfix = Postfix::of(&main, &format!("{SMTPD}{line}\n"), "");
            let mut plan = Plan::default();
            plan.on(&args, &postfix).unwrap();
            let mut calls = calls(&plan, "ETC");
            // The last one is that of the service.
            calls.pop();
            assert_eq!(calls, expected, "{limit} {line}");
            assert!(plan.files[0].after.ends_with("\nsmtp = true\nmessage_size_limit = 7\n"));
        }
        let without = Plan::default().on(&args, &Postfix::of("", "", "")).unwrap_err();
        assert_eq!(without.name(), "no-input");
    }

    #[test]
    fn what_postfix_rejects_is_undone_in_all_files() {
        let folder = Temporary::new("setup-smtp-undo").unwrap();
        let path = |name: &str| folder.path.join(name);
        for name in ["main.cf", "master.cf", "config.toml"] {
            fs::write(path(name), "old").unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        let mut plan = Plan::default();
        plan.file(path("config.toml"), Some("old".to_owned()), "new".to_owned());
        plan.file(path("clients.cidr"), None, "new".to_owned());
        let found = || {
            ["main.cf", "master.cf", "config.toml", "clients.cidr"]
                .map(|name| fs::read_to_string(path(name)).unwrap_or_default())
        };
        let change = |result: fn() -> Result<(), Failure>| {
            plan.change(&folder.path, &folder.path, || {
                // The files are there when Postfix is asked.
                assert_eq!(found(), ["old", "old", "new", "new"]);
                fs::write(path("main.cf"), "new").unwrap();
                result()
            })
        };
        assert!(change(|| Err(Failure::data("postfix check"))).is_err());
        assert_eq!(found(), ["old", "old", "old", ""]);
        change(|| Ok(())).unwrap();
        assert_eq!(found(), ["new", "old", "new", "new"]);
    }
}
