//! The submitter: the real user of the process, regardless of arguments and environment. Names are looked up only when needed.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;

use nix::unistd::{Gid, Group, Uid, getgid, getgrouplist, getgroups, getuid};

use crate::argv::Submission;
use crate::config::{DomainFile, Host};
use crate::message::complete::{Submitter, full_name};
use crate::policy::{Caller, Client};

/// A user who submits mail.
#[derive(Debug)]
pub(crate) struct User {
    uid: Uid,
    /// The passwd entry, if this is not the real user of the process.
    named: Option<nix::unistd::User>,
}

/// Another user, so that `dkimctl` can show what would happen to mail of that user.
impl From<nix::unistd::User> for User {
    fn from(named: nix::unistd::User) -> Self {
        Self { uid: named.uid, named: Some(named) }
    }
}

impl User {
    /// The real user of this process.
    pub(crate) fn real() -> Self {
        Self { uid: getuid(), named: None }
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    fn passwd(&self) -> Option<nix::unistd::User> {
        nix::unistd::User::from_uid(self.uid).ok().flatten()
    }

    /// What a missing From field is made from.
    pub(crate) fn submitter(&self, submission: &Submission) -> Submitter {
        let passwd = self.passwd();
        // The real sendmail uses it, too, and has only the permissions of this user.
        #[expect(clippy::disallowed_methods, reason = "a display name; it reaches no key")]
        let named = || std::env::var_os("NAME").map(OsStringExt::into_vec);
        let by_passwd = || passwd.as_ref().map(|user| full_name(user.gecos.as_bytes(), &user.name));
        Submitter {
            envelope_sender: submission.envelope_sender.clone(),
            full_name: submission.full_name.clone().or_else(named).or_else(by_passwd),
            login: passwd.as_ref().map(|user| user.name.clone()),
        }
    }

    /// The SMTP client that sent the message, if this user is the one that Postfix runs its content filter as. The real uid
    /// decides, because any user can pass these arguments.
    pub(crate) fn client(&self, host: &Host, submission: &Submission) -> Option<Client> {
        let name = host.filter_user.as_ref().filter(|_| submission.gateway)?;
        let filter = nix::unistd::User::from_name(name).ok().flatten()?;
        let is_filter = filter.uid == self.uid && !filter.uid.is_root();
        is_filter.then(|| Client::from(&submission.client))
    }

    /// The caller that `users` and `groups`, or `logins` and `clients`, of a domain file are compared with.
    pub(crate) fn caller(&self, file: &DomainFile, client: Option<Client>) -> Caller {
        let login = file.users.as_ref().and_then(|_| self.passwd()).map(|user| user.name);
        let groups = if file.groups.is_some() { self.group_names() } else { Vec::new() };
        Caller { uid: self.uid(), login, groups, client }
    }

    fn group_names(&self) -> Vec<String> {
        let ids: Vec<Gid> = match &self.named {
            None => getgroups().unwrap_or_default().into_iter().chain([getgid()]).collect(),
            Some(user) => CString::new(user.name.as_str())
                .ok()
                .and_then(|name| getgrouplist(&name, user.gid).ok())
                .unwrap_or_default(),
        };
        ids.into_iter()
            .filter_map(|id| Group::from_gid(id).ok().flatten())
            .map(|group| group.name)
            .collect()
    }
}
