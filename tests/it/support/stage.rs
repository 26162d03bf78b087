//! A configuration folder of a test's own, and a stand-in for the real sendmail that keeps all it sees.
//! Needs no root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{feed, project, stdout};

/// A folder that is removed in the end.
#[derive(Debug)]
pub(crate) struct Stage(PathBuf);

/// What the stand-in saw.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) argv: Vec<String>,
    pub(crate) stdin: Vec<u8>,
    pub(crate) environment: Vec<String>,
    /// Lines `Name:\tvalue` of proc(5), the umask, the working directory and the open descriptors.
    status: String,
}

static STAGES: AtomicU32 = AtomicU32::new(0);
static STAND_IN: OnceLock<PathBuf> = OnceLock::new();

/// The compiled stand-in: a script could not see its argv[0], nor a closed stdin.
fn stand_in() -> &'static Path {
    STAND_IN.get_or_init(|| {
        let program =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stand-in.{}", std::process::id()));
        let source = project("tests/it/stand_in.c");
        stdout(
            &Command::new("cc").arg("-O1").arg("-o").arg(&program).arg(source).output().unwrap(),
        );
        program
    })
}

impl Stage {
    /// With the domain sample.com, selector s1.
    pub(crate) fn new() -> Self {
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("stage.{}.{number}", std::process::id()));
        fs::create_dir_all(folder.join("etc/domains")).unwrap();
        let stage = Self(folder);
        // A link: a copy of ours might still be open for writing in a child of another test.
        fs::hard_link(stand_in(), stage.path("sendmail")).unwrap();
        stage.config("");
        stage.key("sample.com", "s1");
        stage.write("etc/domains/sample.com.toml", "selectors = [\"s1\"]\n");
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// `config.toml` with `more` lines.
    pub(crate) fn config(&self, more: &str) {
        let sendmail = self.path("sendmail");
        let text = format!("sendmail = {sendmail:?}\norigin = \"web.example\"\n{more}\n");
        self.write("etc/config.toml", &text);
    }

    /// The key of RFC 6376, appendix C, as that of a domain.
    pub(crate) fn key(&self, domain: &str, selector: &str) {
        let folder = self.path("etc/keys").join(domain);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{selector}.private"));
        fs::copy(project("tests/vectors/rfc6376-c.private"), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The wrapper, called by a name.
    pub(crate) fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sendmail-dkim"));
        command.arg0(name).args(args).env("SENDMAIL_DKIM_ETC", self.path("etc"));
        command
    }

    /// Submits a message by these arguments.
    pub(crate) fn submit(&self, args: &[&str], message: &[u8]) -> Output {
        feed(&mut self.command("sendmail", args), message)
    }

    /// Submits, expects no word on stdout or stderr, and gives what the real sendmail would have got.
    pub(crate) fn delivered(&self, args: &[&str], message: &[u8]) -> Captured {
        let output = self.submit(args, message);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
        self.captured().expect("the stand-in was called")
    }

    /// What the real sendmail would have got, regardless of what is logged on stderr.
    pub(crate) fn delivered_quietly(&self, message: &[u8]) -> Vec<u8> {
        let output = self.submit(&["-i", "b@y.test"], message);
        assert!(output.status.success(), "{output:?}");
        self.take_captured().expect("the stand-in was called").stdin
    }

    /// What the stand-in saw since the last look, if it was called.
    pub(crate) fn take_captured(&self) -> Option<Captured> {
        let captured = self.captured();
        drop(fs::remove_file(self.path("argv")));
        captured
    }

    /// What the stand-in saw, if it was called.
    pub(crate) fn captured(&self) -> Option<Captured> {
        let text = |name: &str| fs::read(self.path(name)).ok();
        let list = |bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.split_terminator('\0').map(str::to_owned).collect::<Vec<_>>()
        };
        Some(Captured {
            argv: list(text("argv")?),
            stdin: text("stdin")?,
            environment: list(text("environ")?),
            status: String::from_utf8_lossy(&text("status")?).into_owned(),
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Captured {
    /// One line of the status, by its name.
    pub(crate) fn status(&self, name: &str) -> &str {
        let found = self.status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.status)).trim()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdin).into_owned()
    }
}
