//! The calls of a run, and how each may fail.

use std::collections::BTreeMap;

/// The n-th call of that name in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) call: String,
    pub(super) nth: usize,
}

/// What is done at a call, in strace's words. Every call that can be interrupted is, and a full disk is met wherever something is
/// made.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn faults_of(call: &str) -> Vec<&'static str> {
    let errors: &[&str] = match call {
        "open" | "openat" => &[
            "error=EACCES",
            "error=EMFILE",
            "error=ENFILE",
            "error=ENOENT",
            "error=ENOMEM",
            "error=EIO",
            "error=EINTR",
            "error=ENOSPC",
            "error=ELOOP",
            "error=EOPNOTSUPP",
            "error=ETXTBSY",
        ],
        "execve" => &[
            "error=EACCES",
            "error=ENOENT",
            "error=ENOMEM",
            "error=ETXTBSY",
            "error=E2BIG",
            "error=EMFILE",
            "error=ENFILE",
            "error=EIO",
            "error=EAGAIN",
            "error=EPERM",
            "error=ENOEXEC",
        ],
        "read" | "pread64" | "recvfrom" => {
            &["error=EIO", "error=EINTR", "error=EAGAIN", "error=EISDIR", "error=ENOMEM"]
        }
        "write" | "pwrite64" | "writev" | "sendto" => &[
            "error=ENOSPC",
            "error=EIO",
            "error=EINTR",
            "error=EDQUOT",
            "error=EFBIG",
            "error=EAGAIN",
            "error=EPIPE",
            "error=ENOBUFS",
        ],
        "mmap" | "brk" | "munmap" | "mprotect" | "mremap" | "madvise" => {
            &["error=ENOMEM", "error=EAGAIN"]
        }
        "stat" | "statx" | "fstat" | "newfstatat" | "access" | "readlink" => {
            &["error=EACCES", "error=EIO", "error=ENOENT", "error=ENOMEM", "error=ENOSYS"]
        }
        "pipe2" | "socket" | "socketpair" | "signalfd4" | "dup" => {
            &["error=EMFILE", "error=ENFILE", "error=ENOMEM", "error=EACCES"]
        }
        "connect" => {
            &["error=ECONNREFUSED", "error=ENOENT", "error=EACCES", "error=EAGAIN", "error=EINTR"]
        }
        "fcntl" => &["error=EPERM", "error=EBUSY", "error=EMFILE", "error=EINVAL", "error=EINTR"],
        "dup2" | "dup3" => &["error=EBUSY", "error=EINTR", "error=EMFILE", "error=EBADF"],
        // Linux closes it even if close(2) fails, which strace would not do.
        "close" => &[],
        "lseek" => &["error=EINVAL", "error=ESPIPE", "error=EOVERFLOW"],
        "ftruncate" => &["error=EIO", "error=EINTR", "error=EFBIG"],
        "poll" | "ppoll" => &["error=EINTR", "error=ENOMEM", "error=EAGAIN"],
        "fork" | "vfork" | "clone" | "clone3" => &["error=EAGAIN", "error=ENOMEM", "error=ENOSYS"],
        "wait4" | "waitid" => &["error=EINTR", "error=ECHILD"],
        "getrandom" => &["error=EINTR", "error=EAGAIN", "error=ENOSYS"],
        // These don't return.
        "exit" | "exit_group" | "rt_sigreturn" => return Vec::new(),
        _ => &["error=EPERM", "error=EINVAL", "error=ENOMEM", "error=EINTR", "error=ENOSYS"],
    };
    [errors, &["signal=KILL"]].concat()
}

/// The calls in a log of strace: up to the last exec(2) that succeeds, as what comes then is not ours, or all.
/// Where it followed processes, each line begins with a number.
pub(super) fn sites(log: &str, to_the_exec: bool) -> Vec<Site> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut found = Vec::new();
    let mut end = 0;
    for line in log.lines() {
        let (process, rest) = line
            .split_once(' ')
            .filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()))
            .unwrap_or(("", line));
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let nth = counts.entry((process, call)).or_default();
        *nth += 1;
        let site = Site { call: call.to_owned(), nth: *nth };
        // Injected into each process at its own count.
        if !found.contains(&site) {
            found.push(site);
        }
        if call == "execve" && rest.ends_with("= 0") {
            end = found.len();
        }
    }
    if to_the_exec {
        found.truncate(end);
    }
    // The first is strace's own.
    found.retain(|site| site.call != "execve" || site.nth > 1);
    found
}
