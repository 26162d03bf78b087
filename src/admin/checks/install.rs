//! Checks that the wrapper is the active sendmail and has the permissions that it needs.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Group;

use super::finding::{Finding, Fix, Severity};
use crate::admin::input;
use crate::admin::postconf::Postfix;
use crate::admin::program::output;
use crate::admin::store::rights::GROUP;
use crate::config::Host;
use crate::report::plain;
use crate::submission::configuration::FOLDER;
use crate::wrapper::handoff::USUAL;

/// Where packages and `make install` put the wrapper.
pub(super) const WRAPPERS: [&str; 2] = ["/usr/sbin/sendmail.dkim", "/usr/bin/sendmail.dkim"];

/// The paths that programs call as sendmail.
pub(super) const SENDMAIL: [&str; 3] =
    ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/sendmail"];

/// Where units, and the links of enabled units, are.
const UNITS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// Checks the wrapper, and what the host and Postfix do to it.
pub(crate) fn findings(host: Option<&Host>, postfix: Option<&Postfix>) -> Vec<Finding> {
    let mut findings = obstacles(host);
    if let Some((path, wrapper)) = installed() {
        findings.extend(postfix.and_then(|postfix| sendmail_path(postfix, host, path, &wrapper)));
        findings.extend(enabled(host));
        findings.extend(key_labels());
        findings.extend(host.zip(state()).into_iter().flat_map(|(host, state)| {
            let entries = entries(&state);
            agents(&entries, &host.sendmail, path)
        }));
    }
    findings
}

/// Reports what keeps all mail of the host from being signed.
pub(crate) fn obstacles(host: Option<&Host>) -> Vec<Finding> {
    let choice = installed().and_then(|(_, wrapper)| is_sendmail(&wrapper));
    before_choice(host).into_iter().chain(choice).collect()
}

/// Whether programs that send mail call the wrapper.
pub(crate) fn is_active() -> bool {
    installed().is_some_and(|(_, wrapper)| is_sendmail(&wrapper).is_none())
}

/// Reports what would keep all mail from being signed if sendmail.dkim were the active sendmail.
pub(crate) fn before_choice(host: Option<&Host>) -> Vec<Finding> {
    let Some((path, wrapper)) = installed() else {
        let evidence = format!("none of {} exists", WRAPPERS.join(", "));
        return vec![Finding::error("wrapper", evidence, "make install, or install the package")];
    };
    let mut findings = rights(path, &wrapper);
    findings.extend(mount(path));
    findings.extend(label(path));
    findings.extend(host.and_then(|host| real(&host.sendmail, &wrapper)));
    findings
}

fn installed() -> Option<(&'static str, Metadata)> {
    WRAPPERS.iter().find_map(|path| Some((*path, fs::metadata(path).ok()?)))
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The target of the links that programs call as sendmail. `Err`: why nothing can be called.
pub(crate) fn active() -> Result<PathBuf, String> {
    let [path, ..] = SENDMAIL;
    fs::canonicalize(path).map_err(|error| format!("{path}: {}", plain(&error)))
}

/// Checks that all paths that programs call lead to the wrapper.
fn is_sendmail(wrapper: &Metadata) -> Option<Finding> {
    let mut others = Vec::new();
    for path in SENDMAIL {
        match fs::metadata(path) {
            Ok(found) if is_same(&found, wrapper) => {}
            Ok(_) => {
                let target = fs::canonicalize(path).unwrap_or_else(|_| path.into());
                others.push(format!("{path} is {}", target.display()));
            }
            // The other two do not exist on all systems.
            Err(error) if path == "/usr/sbin/sendmail" => {
                others.push(format!("{path}: {}", plain(&error)));
            }
            Err(_) => {}
        }
    }
    if others.is_empty() {
        return None;
    }
    let remedy = "dkimctl enable (or alternatives --config mta)";
    let evidence = format!("{}: sendmail.dkim is not the active sendmail", others.join("; "));
    Some(Finding::error("mta", evidence, remedy).fixed_by(Some(Fix::Enable)))
}

fn rights(path: &str, wrapper: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mode = wrapper.mode() & 0o7777;
    let group = Group::from_name(GROUP).ok().flatten();
    if wrapper.uid() != 0 || mode & 0o022 != 0 {
        findings.push(Finding::error(
            "wrapper_owner",
            format!(
                "{path} is owned by uid {} with mode {mode:04o}: users other than root may change it",
                wrapper.uid()
            ),
            format!("chown root {path}; chmod 2755 {path}"),
        ));
    }
    let Some(group) = group else {
        let remedy = format!("groupadd --system {GROUP}, then install again");
        findings.push(Finding::error("wrapper_group", format!("no group {GROUP}"), remedy));
        return findings;
    };
    let (code, evidence) = if wrapper.gid() != group.gid.as_raw() {
        let name = Group::from_gid(wrapper.gid().into()).ok().flatten();
        let name = name.map_or_else(|| wrapper.gid().to_string(), |group| group.name);
        ("wrapper_group", format!("{path} has the group {name}, which cannot read the keys"))
    } else if mode & 0o2000 == 0 {
        let evidence =
            format!("{path} has mode {mode:04o} without the set-gid bit: it cannot read the keys");
        ("set_gid", evidence)
    } else {
        return findings;
    };
    // chgrp clears the set-gid bit, so it must come first.
    let remedy = format!("chgrp {GROUP} {path} && chmod 2755 {path}");
    findings.push(Finding::error(code, evidence, remedy).fixed_by(Some(Fix::Command)));
    findings
}

/// Checks the mount: on a file system that is mounted nosuid, the set-gid bit has no effect.
fn mount(path: &str) -> Option<Finding> {
    let path = fs::canonicalize(path).ok()?;
    let text = input::text(Path::new("/proc/self/mountinfo"), input::FOREIGN).ok()?;
    let point = nosuid(&text, &path)?;
    let evidence = format!("{point} is mounted nosuid: {} cannot read the keys", path.display());
    let remedy = format!("mount -o remount,suid {point}, and in fstab");
    Some(Finding::error("nosuid", evidence, remedy))
}

/// The mount point of a file, if it is mounted nosuid. `mounts` is the text of mountinfo, proc(5).
fn nosuid<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(4);
        Some((words.next()?, words.next()?))
    });
    // The longest mount point contains the file; of two with the same name, the later one.
    let (point, options) =
        mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.len())?;
    options.split(',').any(|option| option == "nosuid").then_some(point)
}

fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// Checks the SELinux label: without the label of sendmail, confined callers stay in their own domain.
fn label(path: &str) -> Option<Finding> {
    if !has_selinux() {
        return None;
    }
    confined(path, output("stat", &["-L", "-c", "%C", path]).ok()?.trim())
}

/// Checks the label of the wrapper.
fn confined(path: &str, label: &str) -> Option<Finding> {
    (!label.contains(":sendmail_exec_t")).then(|| {
        Finding::warning(
            "selinux",
            format!("{path} has the label {label}: confined callers cannot send mail with it"),
            format!("semanage fcontext -a -t sendmail_exec_t {path}; restorecon {path}"),
        )
    })
}

/// Keys whose labels are not those of the SELinux policy, as after a copy from another directory: confined programs cannot read
/// them.
fn key_labels() -> Option<Finding> {
    if !has_selinux() {
        return None;
    }
    let keys = format!("{FOLDER}/keys");
    // What it says counts even if it fails for one of the files.
    let output = Command::new("restorecon").args(["-nRv", &keys]).output().ok()?;
    mislabeled(&keys, &String::from_utf8_lossy(&output.stdout))
}

/// What restorecon(8) would change.
fn mislabeled(keys: &str, said: &str) -> Option<Finding> {
    let wrong: Vec<&str> = said.lines().filter(|line| line.contains("elabel")).collect();
    let evidence = format!(
        "{}; {} labels in all: programs that SELinux confines cannot read these keys, and their mail is not signed",
        wrong.first()?,
        wrong.len()
    );
    let finding = Finding::warning("selinux_keys", evidence, format!("restorecon -R {keys}"));
    Some(finding.about(keys).fixed_by(Some(Fix::Command)))
}

fn real(path: &Path, wrapper: &Metadata) -> Option<Finding> {
    let shown = path.display();
    let wrong = match fs::metadata(path) {
        Err(error) => format!("{shown}: {}: no mail is accepted", plain(&error)),
        Ok(found) if is_same(&found, wrapper) => format!("{shown} is the wrapper itself"),
        Ok(found) if !found.is_file() || found.mode() & 0o111 == 0 => {
            format!("{shown} is not an executable file: no mail is accepted")
        }
        Ok(_) => return None,
    };
    let remedy =
        "set sendmail in config.toml to the real sendmail, such as /usr/sbin/sendmail.postfix";
    Some(Finding::error("real_sendmail", wrong, remedy))
}

/// Checks `sendmail_path`: `postfix set-permissions` sets mode 755 on this file. If a package restores the bit afterwards,
/// `set_gid` reports it until then.
fn sendmail_path(
    postfix: &Postfix,
    host: Option<&Host>,
    path: &str,
    wrapper: &Metadata,
) -> Option<Finding> {
    let view = postfix.view();
    let found = fs::metadata(view.value("sendmail_path")).ok()?;
    let real = host.map_or(Path::new(USUAL[0]), |host| &host.sendmail);
    (is_same(&found, wrapper) && !has_override(path)).then(|| {
        let evidence = format!(
            "{} is {path}: postfix set-permissions, which updates run, clears its set-gid bit",
            view.evidence("sendmail_path")
        );
        let command = format!("postconf -e sendmail_path={}", real.display());
        let remedy = format!("{command} (the real sendmail)");
        let finding = Finding::warning("sendmail_path", evidence, remedy);
        finding.fixed_by(Some(Fix::Postfix(command)))
    })
}

/// Whether dpkg has an override for the file. If so, a trigger of the Debian package restores the set-gid bit after each change
/// of Postfix.
fn has_override(path: &str) -> bool {
    output("dpkg-statoverride", &["--list", path]).is_ok()
}

/// Checks the units: alternatives(8) disables the service of each entry that is not chosen. As in `alternatives/status`, the unit
/// of the wrapper or of the real sendmail has to be enabled, if either exists.
fn enabled(host: Option<&Host>) -> Option<Finding> {
    let agent = host.zip(state()).and_then(|(host, state)| service(&state, &host.sendmail));
    let agent = format!("{}.service", agent.as_deref().unwrap_or("postfix"));
    let ours = "sendmail.dkim.service";
    if !exists(&agent) || [ours, &agent].into_iter().any(is_enabled) {
        return None;
    }
    let wanted = if exists(ours) { ours } else { &agent };
    Some(Finding::error(
        "postfix_enabled",
        format!(
            "{agent} is not enabled, and no other unit starts it: after the next boot, mail stays in the \
             queue (alternatives disables it when another entry is chosen, and on updates)"
        ),
        format!("systemctl enable {wanted}"),
    ))
}

/// The state file of the group in alternatives(8).
fn state() -> Option<String> {
    let places = ["/var/lib/alternatives/mta", "/etc/alternatives-admindir/mta"];
    places.iter().find_map(|path| input::text(Path::new(path), input::FOREIGN).ok())
}

/// The entries of a state file: the path of each, and the targets of its followers by their links.
fn entries(state: &str) -> Vec<(&str, BTreeMap<&str, &str>)> {
    let (head, body) = state.split_once("\n\n").unwrap_or((state, ""));
    let links: Vec<&str> = head.lines().skip(3).step_by(2).collect();
    let mut lines = body.lines();
    let mut entries = Vec::new();
    while let Some(path) = lines.next().filter(|path| path.starts_with('/')) {
        // Skip the priority.
        lines.next();
        let targets = links.iter().map(|link| (*link, lines.next().unwrap_or_default()));
        entries.push((path, targets.collect()));
    }
    entries
}

/// Reports several installed mail agents, and followers of the wrapper's entry that do not belong to the real sendmail.
fn agents(entries: &[(&str, BTreeMap<&str, &str>)], real: &Path, wrapper: &str) -> Vec<Finding> {
    let is_ours = |path: &str| Path::new(path).file_name() == Path::new(wrapper).file_name();
    let others: Vec<&str> =
        entries.iter().map(|(path, _)| *path).filter(|path| !is_ours(path)).collect();
    let mut findings = Vec::new();
    if others.len() > 1 {
        findings.push(Finding::new(
            Severity::Info,
            "mail_agents",
            format!(
                "several mail agents are installed: {}; mail goes to {}",
                others.join(", "),
                real.display()
            ),
            "if this is the wrong one, set `sendmail` in config.toml, then run register",
        ));
    }
    let ours = entries.iter().find(|(path, _)| is_ours(path));
    let theirs = entries.iter().find(|(path, _)| Path::new(path) == real);
    let (Some((_, ours)), Some((_, theirs))) = (ours, theirs) else { return findings };
    let wrong = ours.iter().filter(|(link, target)| {
        !is_ours(target) && !target.contains("sendmail.dkim") && theirs.get(*link) != Some(target)
    });
    let wrong: Vec<&str> = wrong.map(|(link, _)| *link).collect();
    if !wrong.is_empty() {
        let evidence = format!("{} do not belong to {}", wrong.join(", "), real.display());
        findings.push(
            Finding::warning("followers", evidence, "/usr/libexec/sendmail-dkim/register")
                .fixed_by(Some(Fix::Command)),
        );
    }
    findings
}

/// The service of an entry, in the state file of RHEL's alternatives(8): the line after its path is `@family@priority service`.
fn service(state: &str, path: &Path) -> Option<String> {
    let mut lines = state.lines().skip_while(|line| Path::new(line) != path).skip(1);
    let line = lines.next()?;
    let line =
        line.strip_prefix('@').and_then(|line| line.split_once('@')).map_or(line, |(_, line)| line);
    line.split_whitespace().nth(1).map(str::to_owned)
}

/// Whether there is a unit or a link of this name.
fn exists(unit: &str) -> bool {
    UNITS.iter().any(|folder| Path::new(folder).join(unit).symlink_metadata().is_ok())
}

/// Asks systemctl(1), which reads the files if systemd does not run; without systemctl, checks the links that it makes.
fn is_enabled(unit: &str) -> bool {
    let link = format!("multi-user.target.wants/{unit}");
    let asked = Command::new("systemctl").args(["--quiet", "is-enabled", unit]).output();
    asked.map_or_else(|_| exists(&link), |output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_agents_and_followers_of_another_one_are_found() {
        let state = "auto\n/usr/sbin/sendmail\nmta-mailq\n/usr/bin/mailq\nmta-sendmail\n/usr/lib/sendmail\n\n\
            /usr/sbin/sendmail.postfix\n90\n/m.postfix\n/l.postfix\n/usr/sbin/sendmail.exim\n30\n/m.exim\n/l.exim\n\
            /usr/sbin/sendmail.dkim\n5\n/m.postfix\n/usr/sbin/sendmail.dkim\n\n";
        let entries = entries(state);
        assert_eq!(entries.len(), 3, "{entries:?}");
        let found = |real: &str| -> Vec<&str> {
            let found = agents(&entries, Path::new(real), "/usr/sbin/sendmail.dkim");
            found.iter().map(|finding| finding.code).collect()
        };
        assert_eq!(found("/usr/sbin/sendmail.postfix"), ["mail_agents"]);
        assert_eq!(found("/usr/sbin/sendmail.exim"), ["mail_agents", "followers"]);
        assert!(agents(&entries[..1], Path::new("/x"), "/usr/sbin/sendmail.dkim").is_empty());
    }

    #[test]
    fn the_mount_point_of_a_file_is_the_longest_and_the_latest() {
        let mounts = |lines: &[(&str, &str)]| -> String {
            let line = |(point, options): &(&str, &str)| {
                format!("22 1 8:1 / {point} {options} shared:1 - ext4 /dev/x rw,nosuid\n")
            };
            lines.iter().map(line).collect()
        };
        for (lines, expected) in [
            (&[("/", "rw,nosuid"), ("/usr", "rw,relatime")][..], None),
            (&[("/usr", "rw,nosuid,nodev"), ("/", "rw")], Some("/usr")),
            (&[("/", "rw"), ("/usr/sb", "rw,nosuid"), ("/home", "nosuid")], None),
            (&[("/usr", "rw,nodev,noexec")], None),
            (&[("/usr", "rw"), ("/usr", "rw,nosuid")], Some("/usr")),
            (&[("/usr", "rw,nosuid"), ("/usr", "rw")], None),
        ] {
            let found =
                nosuid(&mounts(lines), Path::new("/usr/sbin/sendmail.dkim")).map(str::to_owned);
            assert_eq!(found.as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_real_sendmail_is_an_executable_file_other_than_the_wrapper() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = crate::admin::temporary::Temporary::new("checks-real").unwrap();
        for (name, mode) in [("wrapper", 0o755), ("real", 0o755), ("text", 0o644)] {
            let path = folder.path.join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("wrapper", folder.path.join("link")).unwrap();
        let wrapper = fs::metadata(folder.path.join("wrapper")).unwrap();
        for (name, says) in [
            ("real", ""),
            ("wrapper", "is the wrapper itself"),
            ("link", "is the wrapper itself"),
            ("text", "is not an executable file"),
            (".", "is not an executable file"),
            ("none", "no such file or directory: no mail is accepted"),
        ] {
            let found = real(&folder.path.join(name), &wrapper);
            assert_eq!(found.is_none(), says.is_empty(), "{name}");
            assert!(
                found.is_none_or(|one| one.is_error() && one.evidence.contains(says)),
                "{name}"
            );
        }
    }

    #[test]
    fn the_wrapper_has_the_label_of_sendmail() {
        let found = |label: &str| confined("/x", &format!("system_u:object_r:{label}:s0"));
        assert_eq!(found("sendmail_exec_t"), None);
        assert!(found("bin_t").unwrap().remedy.contains("-t sendmail_exec_t /x"));
    }

    #[test]
    fn labels_that_restorecon_would_change_are_found() {
        let keys = "/etc/sendmail-dkim/keys";
        let line = |name: &str| {
            format!(
                "Would relabel {keys}/{name} from unconfined_u:object_r:admin_home_t:s0 to \
                 unconfined_u:object_r:sendmail_dkim_key_t:s0\n"
            )
        };
        let found = mislabeled(keys, &(line("a.test") + &line("a.test/s.private"))).unwrap();
        assert!(found.evidence.contains("a.test from") && found.evidence.contains("; 2 labels"));
        assert_eq!(found.remedy, "restorecon -R /etc/sendmail-dkim/keys");
        assert_eq!(mislabeled(keys, ""), None);
    }

    #[test]
    fn the_service_of_an_entry_is_behind_its_priority() {
        let state = "auto\n/usr/sbin/sendmail\nmta-mailq\n/usr/bin/mailq\n\n/usr/sbin/sendmail.postfix\n\
            @x@60 postfix\n/usr/bin/mailq.postfix\n/usr/sbin/sendmail.exim\n30\n/usr/bin/mailq.exim\n\
            /usr/sbin/sendmail.sendmail\n90 sendmail\n\n";
        for (path, service_of) in [
            ("/usr/sbin/sendmail.postfix", Some("postfix")),
            ("/usr/sbin/sendmail.exim", None),
            ("/usr/sbin/sendmail.sendmail", Some("sendmail")),
            ("/usr/sbin/sendmail.opensmtpd", None),
        ] {
            assert_eq!(service(state, Path::new(path)).as_deref(), service_of, "{path}");
        }
    }
}
