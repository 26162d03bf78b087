//! The process that keeps the group for as long as a dialogue lasts, so that the one that reads the
//! dialogue need not.
//!
//! The messages of a dialogue come one by one, and each may be of another domain, so that the keys can't be
//! opened before the first octet is read. To open all there are would cost a call for each domain of the
//! host; a descriptor of their folder is of no use without the group, as the rights of a file are asked for
//! when it is opened. A process that is forked off before anything is read, and that never sees an
//! octet of the dialogue, has neither fault. Being forked, it has not to be told from somebody who would
//! like to be it: nobody else has the other end of its socket, and neither process can be traced by its own
//! user. It answers one question, "the key of this domain and this selector", and looks at the file
//! itself before it gives it away. It goes when the other end of the socket does.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use fork::{Fork, fork};
use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout};
use zeroize::Zeroizing;

use crate::dkim::{Domain, Selector};
use crate::policy::Plan;
use crate::report;
use crate::wrapper::keyring::{Key, KeyringError, Keys, LARGEST, Tree};
use crate::wrapper::privilege::{Dropped, Held, PrivilegeError};
use crate::wrapper::trouble::Trouble;

/// The socket to the process that keeps the group.
#[derive(Debug)]
pub(super) struct Keeper {
    socket: UnixStream,
    pid: Pid,
    keys: PathBuf,
}

/// Before the answer stands what it is.
const KEY: u8 = b'k';
const ERROR: u8 = b'e';

/// No question is longer: a domain, a blank, a selector and an LF. Octets.
const LONGEST: u64 = 600;

impl Keeper {
    /// Forks, and gives up the group on this side. To be called while there is one thread.
    pub(super) fn start(
        held: Held,
        keys: PathBuf,
    ) -> Result<(io::Result<Self>, Dropped), PrivilegeError> {
        let forked = UnixStream::pair().and_then(|pair| Ok((fork()?, pair)));
        let (pid, ours) = match forked {
            Ok((Fork::Parent(pid), (ours, _))) => (pid, ours),
            Ok((Fork::Child, (ours, theirs))) => {
                drop(ours);
                serve(&Tree { keys, held: &held }, &theirs);
                // This process has nothing of its parent's to do.
                std::process::exit(0)
            }
            Err(error) => return Ok((Err(error), held.give_up()?)),
        };
        let keeper = Self { socket: ours, pid: Pid::from_raw(pid), keys };
        Ok((Ok(keeper), held.give_up()?))
    }

    /// Lets the other process go, and waits for that.
    pub(super) fn stop(self) {
        let Self { socket, pid, .. } = self;
        drop(socket);
        while waitpid(pid, None) == Err(Errno::EINTR) {}
    }

    fn ask(&mut self, folder: &str, selector: &Selector) -> io::Result<(u8, Zeroizing<Vec<u8>>)> {
        let question = format!("{folder} {}\n", selector.as_str());
        self.socket.write_all(question.as_bytes())?;
        let mut head = [0; 5];
        self.socket.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        let mut answer = Zeroizing::new(vec![0; length.min(LARGEST)]);
        self.socket.read_exact(&mut answer)?;
        Ok((kind, answer))
    }
}

impl Keys for Keeper {
    fn open(&mut self, plan: &Plan) -> Result<Vec<Key>, Trouble> {
        let mut keys = Vec::new();
        for selector in &plan.selectors {
            let said = match self.ask(&plan.folder, selector) {
                Ok((KEY, pem)) => {
                    let path = self.keys.join(&plan.folder);
                    let path = path.join(format!("{}.private", selector.as_str()));
                    keys.push(Key::Octets { pem, path });
                    continue;
                }
                Ok((_, said)) => String::from_utf8_lossy(&said).into_owned(),
                Err(error) => format!("the process that opens the keys is gone: {error}"),
            };
            return Err(KeyringError::Keeper { said }.into());
        }
        Ok(keys)
    }
}

/// Answers questions until nobody can ask any more.
fn serve(tree: &Tree<'_>, socket: &UnixStream) {
    // Whoever waits for the end of these must not wait for us.
    if let Ok(null) = std::fs::File::options().read(true).write(true).open(Path::new("/dev/null")) {
        let _: [Result<_, Errno>; 3] = [dup2_stdin(&null), dup2_stdout(&null), dup2_stderr(&null)];
    }
    let mut questions = BufReader::new(socket);
    loop {
        let mut question = String::new();
        match questions.by_ref().take(LONGEST).read_line(&mut question) {
            Ok(length) if length > 0 => {}
            _ => return,
        }
        let answer = answer(tree, question.trim_end());
        let (kind, octets) = match &answer {
            Ok(pem) => (KEY, pem.as_slice()),
            Err(said) => (ERROR, said.as_bytes().get(..LARGEST).unwrap_or(said.as_bytes())),
        };
        let length = u32::try_from(octets.len()).unwrap_or_default().to_le_bytes();
        let head = [[kind].as_slice(), &length].concat();
        let mut socket = socket;
        if socket.write_all(&head).and_then(|()| socket.write_all(octets)).is_err() {
            return;
        }
    }
}

fn answer(tree: &Tree<'_>, question: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let asked = question.split_once(' ').and_then(|(folder, selector)| {
        let is_name = folder == "default" || Domain::parse(folder).is_ok();
        Some((folder, Selector::parse(selector).ok()?)).filter(|_| is_name)
    });
    let Some((folder, selector)) = asked else { return Err("no such key".to_owned()) };
    let files = tree.files(folder, &[selector]).map_err(|trouble| report::chain(&trouble))?;
    let [file] = files.as_slice() else { return Err("no such key".to_owned()) };
    file.octets().map_err(|error| report::chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_key_of_the_tree_is_opened() {
        let held = Held::take().unwrap();
        let tree = Tree { keys: PathBuf::from("/nowhere/keys"), held: &held };
        for question in
            ["", "sample.com", "../etc s1", "/etc s1", "a/b s1", ". s1", "sample.com ../s1", "a  b"]
        {
            assert_eq!(answer(&tree, question).unwrap_err(), "no such key", "{question:?}");
        }
        for question in ["sample.com s1", "default s1.x"] {
            let said = answer(&tree, question).unwrap_err();
            assert!(said.starts_with("cannot open key /nowhere/keys/"), "{said}");
        }
    }
}
