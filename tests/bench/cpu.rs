//! How much processor time a host of the benchmark has used, all its short-lived processes included: by a control group for
//! each part of it, else by what /proc knows of its processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

/// Processes that are counted together.
#[derive(Debug)]
pub(crate) struct Group {
    folder: Option<PathBuf>,
    /// Of version 1, with its controller cpuacct; else of version 2.
    is_v1: bool,
}

impl Group {
    /// A new one, if this host lets us make it.
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("sendmail-dkim-bench.{}.{name}", process::id());
        let found = mounts().find_map(|(mount, is_v1)| {
            let folder = mount.join(&name);
            fs::create_dir(&folder).ok()?;
            let group = Self { folder: Some(folder), is_v1 };
            // There may be groups, and none of our making that counts.
            group.counted().map(|_| group)
        });
        found.unwrap_or(Self { folder: None, is_v1: false })
    }

    pub(crate) fn is_real(&self) -> bool {
        self.folder.is_some()
    }

    /// What starts something is in the group for the time: so are all its children.
    pub(crate) fn within<T>(&self, start: impl FnOnce() -> T) -> T {
        let Some(folder) = &self.folder else { return start() };
        let here = process::id().to_string();
        let home = home(folder);
        fs::write(folder.join("cgroup.procs"), &here).unwrap();
        let started = start();
        fs::write(home.join("cgroup.procs"), &here).unwrap();
        started
    }

    /// Takes a process over; what it has used so far stays where it was.
    pub(crate) fn adopt(&self, pid: u32) {
        if let Some(folder) = &self.folder {
            fs::write(folder.join("cgroup.procs"), pid.to_string()).unwrap();
        }
    }

    /// Nanoseconds so far.
    pub(crate) fn counted(&self) -> Option<u64> {
        let folder = self.folder.as_ref()?;
        if self.is_v1 {
            return fs::read_to_string(folder.join("cpuacct.usage")).ok()?.trim().parse().ok();
        }
        let text = fs::read_to_string(folder.join("cpu.stat")).ok()?;
        let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        Some(usage.parse::<u64>().ok()? * 1_000)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes were just killed, and may be there for a moment.
        for _ in 0..50 {
            match self.folder.as_ref().map(fs::remove_dir) {
                Some(Err(_)) => std::thread::sleep(std::time::Duration::from_millis(20)),
                _ => return,
            }
        }
    }
}

/// The mounts where groups that count may be made.
fn mounts() -> impl Iterator<Item = (PathBuf, bool)> {
    let text = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let found: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, mount, kind, options, ..] = words[..] else { return None };
            let is_v1 = kind == "cgroup" && options.split(',').any(|option| option == "cpuacct");
            (is_v1 || kind == "cgroup2").then(|| (PathBuf::from(mount), is_v1))
        })
        .collect();
    found.into_iter()
}

/// The folder of the group that we were in at first, in the hierarchy of one of ours.
fn home(folder: &Path) -> PathBuf {
    folder.parent().unwrap().to_owned()
}

/// The same without groups: what the processes of a pid namespace and their children that have ended have used, of those
/// that `is_counted` says by their name. In nanoseconds, and no finer than the kernel's tick.
pub(crate) fn of_namespace(pid: u32, is_counted: impl Fn(&str) -> bool) -> u64 {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(&pid.to_string());
    let mut ticks = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        if !name.bytes().all(|octet| octet.is_ascii_digit()) || namespace(&name) != wanted {
            continue;
        }
        let Ok(stat) = fs::read_to_string(format!("/proc/{name}/stat")) else { continue };
        let (before, after) = stat.rsplit_once(") ").unwrap();
        if is_counted(before.split_once('(').unwrap().1) {
            let fields = after.split(' ').skip(11).take(4);
            ticks += fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        }
    }
    // USER_HZ, which is 100 on every Linux.
    ticks * 10_000_000
}
