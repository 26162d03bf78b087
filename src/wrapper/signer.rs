//! The process that signs. It is forked before any byte of a message is read. Then the process that reads the message drops the
//! group for good. So no process has both a message and a key, or the permission to open one.
//!
//! * It holds no key while it waits. For each request it opens a key, signs and wipes the key.
//! * The size of a request is limited, and each part is checked: see [`super::protocol`]. Of the text to sign, the process
//!   parses only the DKIM-Signature field: its domain and selector must be those of the request. Otherwise a key that several
//!   domains share could sign for a domain that the user may not sign for.
//! * It does not trust a request. It reads the domain file itself, and compares `users` and `groups` with its own real user,
//!   as the kernel reports it. For the user of the content filter it compares `logins` and `clients` with the arguments, which
//!   were read before the message. An attacker who takes over the other process gets the signatures that this user can get by
//!   submitting mail, and nothing else: no reply contains a key.
//! * It ends when the other process closes its pipe or ends.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2};

use super::child::wait;
use super::keyring::Keyring;
use super::privilege::{Dropped, Held, PrivilegeError};
use super::protocol::{
    HEAD, REPLY, Request, length_of_rest, read_reply, read_request, write_reply,
};
use crate::argv::Submission;
use crate::config::Host;
use crate::dkim::{Algorithm, Domain, HashInput, Selector};
use crate::report;
use crate::submission::configuration::Etc;
use crate::submission::error::panicked;
use crate::submission::signing::{Keys, Place};
use crate::submission::spool::write_all;
use crate::submission::submitter::User;

/// The other end of the pipes, which requests signatures.
#[derive(Debug)]
pub(crate) struct Signer {
    /// `None` after the process was stopped or failed to answer.
    requests: Option<File>,
    replies: File,
    pid: Pid,
}

impl Signer {
    /// Forks the process, and drops the group in this one. Call this while there is only one thread.
    pub(crate) fn start(
        held: Held,
        etc: &Etc,
        host: &Host,
        submission: &Submission,
    ) -> Result<(io::Result<Self>, Dropped), PrivilegeError> {
        let started = Self::fork(&held, etc, host, submission);
        Ok((started.map_err(io::Error::from), held.give_up()?))
    }

    fn fork(held: &Held, etc: &Etc, host: &Host, submission: &Submission) -> Result<Self, Errno> {
        let (requests_out, requests_in) = pipe2(OFlag::O_CLOEXEC)?;
        let (replies_out, replies_in) = pipe2(OFlag::O_CLOEXEC)?;
        let mut ends = Some((File::from(requests_in), File::from(replies_out)));
        let ends_in_child = &mut ends;
        let service = Service { keyring: Keyring { etc, held }, host, submission };
        let pid = start_process(move || {
            // While the child has these open, it does not notice the end of its parent.
            *ends_in_child = None;
            service.serve(File::from(requests_out), File::from(replies_in));
        })?;
        let (requests, replies) = ends.ok_or(Errno::EBADF)?;
        Ok(Self { requests: Some(requests), replies, pid })
    }

    fn ask(&mut self, request: &[u8]) -> io::Result<[u8; REPLY]> {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        // Put back only after the whole reply was read: after an error, the next reply could belong to this request.
        let mut requests = self.requests.take().ok_or_else(closed)?;
        // If the other process was killed, this one must continue.
        write_all(&mut requests, request, Signal::SIGPIPE)?;
        let mut reply = [0; REPLY];
        self.replies.read_exact(&mut reply)?;
        self.requests = Some(requests);
        Ok(reply)
    }
}

impl Drop for Signer {
    /// Ends the other process and waits for it: the real sendmail must not have a child that it did not start.
    fn drop(&mut self) {
        self.requests = None;
        let _: Option<_> = wait(self.pid);
    }
}

impl Keys for Signer {
    fn sign(
        &mut self,
        author: &Domain,
        _: Place<'_>,
        selector: &Selector,
        input: &HashInput,
    ) -> Result<(Algorithm, Vec<u8>), String> {
        let request = Request { author: author.as_str(), selector: selector.as_str(), input };
        let request = request.to_bytes().ok_or("the header is too large to be signed")?;
        match self.ask(&request) {
            Ok(reply) => read_reply(&reply),
            Err(error) if ENDED.contains(&error.kind()) => {
                Err("the process that signs has ended".to_owned())
            }
            Err(error) => {
                Err(format!("cannot ask the process that signs: {}", report::plain(&error)))
            }
        }
    }
}

/// The errors of a pipe whose other end is closed.
const ENDED: [io::ErrorKind; 2] = [io::ErrorKind::UnexpectedEof, io::ErrorKind::BrokenPipe];

/// The work of the process that signs.
struct Service<'a> {
    keyring: Keyring<'a>,
    host: &'a Host,
    /// The parsed arguments; the message cannot change them.
    submission: &'a Submission,
}

impl Service<'_> {
    /// Answers requests until the pipe is closed.
    #[inline(never)] // a stack frame of its own, so that profiles show its cost separately
    fn serve(&self, mut requests: File, mut replies: File) {
        // A program that waits until these three are closed must not wait for this process.
        if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
            let _: [Result<_, Errno>; 3] =
                [dup2_stdin(&null), dup2_stdout(&null), dup2_stderr(&null)];
        }
        let mut head = [0; HEAD];
        while requests.read_exact(&mut head).is_ok() {
            // After a request that is too long, it is not known where the next one begins.
            let Some(length) = length_of_rest(&head) else { return };
            let mut rest = vec![0; length];
            if requests.read_exact(&mut rest).is_err() {
                return;
            }
            let answer = catch_unwind(AssertUnwindSafe(|| self.answer(&head, rest)));
            let answer = answer.unwrap_or_else(|_| Err(panicked().to_string()));
            if replies.write_all(&write_reply(&answer)).is_err() {
                return;
            }
        }
    }

    fn answer(&self, head: &[u8; HEAD], rest: Vec<u8>) -> Result<(Algorithm, Vec<u8>), String> {
        let (author, selector, input) = read_request(head, rest).ok_or("not a request")?;
        let etc = self.keyring.etc;
        let policy = etc.policy(&author, self.host);
        let policy = policy.map_err(|error| report::chain(&error))?.ok_or("no domain file")?;
        let user = User::real();
        let client = user.client(self.host, self.submission);
        if !policy.allows(&user.caller(&policy.file, client)) {
            return Err("the user may not sign for the domain".to_owned());
        }
        let policy = if input.is_of(&policy.signing_domain(&author), &selector) {
            policy
        } else {
            // The administrator decided that this domain also signs mail of the author domain, so its own `users` do not matter.
            let mut also = policy.file.signing.also_sign_as.iter();
            let also = also.find(|also| input.is_of(also, &selector));
            let also = also.ok_or("the text to sign is not of the domain and the selector")?;
            etc.also(also, self.host).map_err(|error| report::chain(&error))?
        };
        // The selector does not have to be in the domain file, because `dkimctl rotate` may have replaced the file since the
        // other process read it. A user who may sign for the domain may use any of its keys.
        let minimum_bits = policy.file.signing.minimum_key_bits;
        self.keyring.sign_with(policy.folder(), &selector, minimum_bits, &input)
    }
}

/// Forks a process that calls `act` and ends.
#[expect(unsafe_code, reason = "fork(2), and _exit(2) in the child")]
fn start_process(act: impl FnOnce()) -> Result<Pid, Errno> {
    // SAFETY: fork(2) is sound in a process with a single thread, as this one is: no lock can be held by a thread that does
    // not exist in the child. _exit(2) has no precondition; it runs no destructor and flushes nothing.
    unsafe {
        match fork()? {
            ForkResult::Parent { child } => Ok(child),
            ForkResult::Child => {
                let ended = catch_unwind(AssertUnwindSafe(act));
                nix::libc::_exit(i32::from(ended.is_err()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head and the rest of a request whose text is for another domain.
    fn request() -> Vec<u8> {
        let signature = b"dkim-signature:v=1; d=other.com; s=s1; b=".to_vec();
        let input = HashInput { fields: Vec::new(), signatures: [signature.clone(), signature] };
        Request { author: "sample.com", selector: "s1", input: &input }.to_bytes().unwrap()
    }

    #[test]
    fn nothing_but_a_configured_key_is_opened() {
        let held = Held::acquire().unwrap();
        let etc = Etc::at("/nowhere".into());
        let host = Host::parse("sendmail = \"/x\"").unwrap();
        let keyring = Keyring { etc: &etc, held: &held };
        let service = Service { keyring, host: &host, submission: &Submission::default() };
        let request = request();
        let (head, rest) = request.split_first_chunk().unwrap();
        assert_eq!(service.answer(head, rest.to_vec()), Err("no domain file".to_owned()));
        assert_eq!(service.answer(&[0; HEAD], Vec::new()), Err("not a request".to_owned()));
    }

    #[test]
    fn the_process_ends_with_its_pipe() {
        let held = Held::acquire().unwrap();
        let etc = Etc::at("/nowhere".into());
        let host = Host::parse("sendmail = \"/x\"").unwrap();
        let (signer, _) = Signer::start(held, &etc, &host, &Submission::default()).unwrap();
        let mut signer = signer.unwrap();
        let pid = signer.pid;
        for _ in 0..2 {
            let reply = signer.ask(&request()).unwrap();
            assert_eq!(read_reply(&reply), Err("no domain file".to_owned()));
        }
        // The signer stops, because it is not known where the next request begins.
        assert!(signer.ask(&[0xff; HEAD]).is_err());
        drop(signer);
        assert_eq!(nix::sys::wait::waitpid(pid, None), Err(Errno::ECHILD));
    }
}
