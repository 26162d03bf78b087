//! How much processor time a host of the benchmark has used, all its short-lived processes included: by a control group for
//! each part of it, else by what /proc knows of its processes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::thread::sleep;
use std::time::Duration;

/// Processes that are counted together.
#[derive(Debug)]
pub(crate) struct Group(Option<Place>);

/// A group that we made.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    /// Where we were before.
    home: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// With its controller cpuacct.
    One,
    Two,
}

impl Group {
    /// A new one, if this host lets us make it; else none, and everything is done without.
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("sendmail-dkim-bench.{}.{name}", process::id());
        Self(hierarchies().into_iter().find_map(|(home, mount, version)| {
            let folder = mount.join(&name);
            fs::create_dir(&folder).ok()?;
            let place = Place { folder, home, version };
            // There may be groups, and none that we may use.
            let is_ours = place.enter().is_ok() && place.leave().is_ok();
            is_ours.then_some(place).filter(|place| place.counted().is_some())
        }))
    }

    pub(crate) fn is_real(&self) -> bool {
        self.0.is_some()
    }

    /// What starts something is in the group for the time: so are all its children.
    pub(crate) fn within<T>(&self, start: impl FnOnce() -> T) -> T {
        let Some(place) = &self.0 else { return start() };
        place.enter().unwrap();
        let started = start();
        place.leave().unwrap();
        started
    }

    /// Takes a process over, if it is still there; what it has used so far stays where it was.
    pub(crate) fn adopt(&self, pid: u32) {
        if let Some(place) = &self.0 {
            drop(move_to(&place.folder, pid));
        }
    }

    /// Nanoseconds so far.
    pub(crate) fn counted(&self) -> Option<u64> {
        self.0.as_ref()?.counted()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes were just killed, and give their memory back first.
        for _ in 0..500 {
            match self.0.as_ref().map(|place| fs::remove_dir(&place.folder)) {
                Some(Err(_)) => sleep(Duration::from_millis(20)),
                _ => return,
            }
        }
    }
}

impl Place {
    fn enter(&self) -> io::Result<()> {
        move_to(&self.folder, process::id())
    }

    fn leave(&self) -> io::Result<()> {
        move_to(&self.home, process::id())
    }

    fn counted(&self) -> Option<u64> {
        let read = |name| fs::read_to_string(self.folder.join(name)).ok();
        if self.version == Version::One {
            return read("cpuacct.usage")?.trim().parse().ok();
        }
        let text = read("cpu.stat")?;
        let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        Some(usage.parse::<u64>().ok()? * 1_000)
    }
}

fn move_to(folder: &Path, pid: u32) -> io::Result<()> {
    fs::write(folder.join("cgroup.procs"), pid.to_string())
}

/// Where groups that count may be made: our own group, and the mount.
fn hierarchies() -> Vec<(PathBuf, PathBuf, Version)> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (mounts, groups) = (read("/proc/mounts"), read("/proc/self/cgroup"));
    let has = |list: &str| list.split(',').any(|word| word == "cpuacct");
    let found = mounts.lines().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, mount, kind, options, ..] = words[..] else { return None };
        let version = match kind {
            "cgroup" if has(options) => Version::One,
            "cgroup2" => Version::Two,
            _ => return None,
        };
        let mount = PathBuf::from(mount);
        let home = groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let is_it =
                if version == Version::One { has(controllers) } else { controllers.is_empty() };
            is_it.then(|| mount.join(path.trim_start_matches('/')))
        })?;
        Some((home, mount, version))
    });
    found.collect()
}

/// The same without groups: what the processes of a pid namespace and their children that have ended have used, of those
/// that `is_counted` says by their name. In nanoseconds, and no finer than the kernel's tick.
pub(crate) fn of_namespace(pid: u32, is_counted: impl Fn(&str) -> bool) -> u64 {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(&pid.to_string());
    let mut ticks = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) || namespace(&name) != wanted {
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
