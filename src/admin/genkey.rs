//! `dkimctl genkey`: a key, the record to publish and the domain file. Overwrites nothing.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;
use std::process::ExitCode;

use getrandom::SysRng;
use lexopt::Arg;
use lexopt::ValueExt as _;
use nix::unistd::{Gid, Group, geteuid};

use super::Args;
use super::output::{Failure, say, warn};
use crate::dkim::record::Owner;
use crate::dkim::{Domain, Record, Selector, SigningKey};

pub(super) const HELP: &str = "\
usage: dkimctl genkey -d DOMAIN -s SELECTOR [-b BITS]

Makes a key for a domain, shows the DNS record to publish, and lets the host
sign mail From that domain with it. Nothing is ever overwritten.

  -d, --domain DOMAIN      the signing domain (d=)
  -s, --selector SELECTOR  the name of the key (s=)
  -b, --bits BITS          size of the RSA key, 1024 to 4096 (default: 2048)

Files, below the configuration folder:
  keys/DOMAIN/SELECTOR.private  the key, for root and group sendmail-dkim
  keys/DOMAIN/SELECTOR.txt      the record, in the form of a zone file
  domains/DOMAIN.toml           the domain file, where there is none yet
";

/// The group that the set-gid wrapper runs as.
const GROUP: &str = "sendmail-dkim";

struct Request {
    domain: Domain,
    selector: Selector,
    bits: u32,
}

pub(super) fn run(mut args: Args) -> Result<ExitCode, Failure> {
    let request = Request::parse(&mut args)?;
    if request.bits < 2048 {
        let bits = request.bits;
        warn(format_args!("a key of {bits} bits is weak; 2048 is what receivers ask for"));
    }
    let tree = Tree::new();
    let (domain, selector) = (&request.domain, &request.selector);
    let folder = args.etc.join("keys").join(domain.as_str());
    let private = folder.join(format!("{selector}.private"));
    let public = folder.join(format!("{selector}.txt"));
    // Before the work; the files are made in a way that can't overwrite anyhow.
    for path in [&private, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::exists(format_args!(
                "{path:?} is there already; choose another selector, or remove it yourself"
            )));
        }
    }
    let key = SigningKey::generate(request.bits, &mut SysRng).map_err(Failure::software)?;
    let record = Record::new(key.public());
    let entry = record.zone_entry(selector, domain, Owner::Absolute).map_err(Failure::software)?;
    let pem = key.to_pkcs8_pem().map_err(Failure::software)?;

    tree.folder(&args.etc, 0o755, None)?;
    tree.folder(&args.etc.join("keys"), 0o750, tree.group)?;
    tree.folder(&folder, 0o750, tree.group)?;
    tree.file(&private, pem.as_bytes(), 0o640, tree.group)?;
    tree.file(&public, entry.as_bytes(), 0o644, None)?;
    let domains = args.etc.join("domains");
    tree.folder(&domains, 0o755, None)?;
    let file = domains.join(format!("{domain}.toml"));
    let next = if file.symlink_metadata().is_ok() {
        format!(
            "{} is there already: to use the key, add {:?} to `selectors` in it.",
            file.display(),
            selector.as_str()
        )
    } else {
        tree.file(&file, format!("selectors = [\"{selector}\"]\n").as_bytes(), 0o644, None)?;
        format!("Mail From {domain} is signed from now on.")
    };
    say(&format!(
        "Publish this record in the zone of {domain}:\n\n{entry}\n\
         or, where a form asks for it, as type TXT with\n\n  name   {selector}._domainkey.{domain}\n  \
         value  {}\n\n{next}\n",
        record.text().map_err(Failure::software)?
    ))
}

impl Request {
    fn parse(args: &mut Args) -> Result<Self, Failure> {
        let (mut domain, mut selector, mut bits) = (None, None, 2048);
        while let Some(arg) = args.parser.next()? {
            match arg {
                Arg::Short('d') | Arg::Long("domain") => {
                    domain = Some(args.parser.value()?.string()?);
                }
                Arg::Short('s') | Arg::Long("selector") => {
                    selector = Some(args.parser.value()?.string()?);
                }
                Arg::Short('b') | Arg::Long("bits") => bits = args.parser.value()?.parse()?,
                Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => {
                    return Err(arg.unexpected().into());
                }
            }
        }
        let domain = domain.ok_or_else(|| Failure::usage("no domain; say -d DOMAIN"))?;
        let selector = selector.ok_or_else(|| Failure::usage("no selector; say -s SELECTOR"))?;
        if !(1024..=4096).contains(&bits) {
            return Err(Failure::usage(format_args!("{bits} bits: a key has 1024 to 4096")));
        }
        Ok(Self {
            domain: Domain::parse(&domain)
                .map_err(|error| Failure::usage(format_args!("domain {domain:?}: {error}")))?,
            selector: Selector::parse(&selector)
                .map_err(|error| Failure::usage(format_args!("selector {selector:?}: {error}")))?,
            bits,
        })
    }
}

/// Makes the files of the configuration tree, each with the rights it needs whatever the umask.
struct Tree {
    /// The group that reads keys; `None` for a tree of an ordinary user's own.
    group: Option<Gid>,
}

impl Tree {
    fn new() -> Self {
        let group = Group::from_name(GROUP).ok().flatten().map(|group| group.gid);
        if geteuid().is_root() && group.is_none() {
            warn(format_args!(
                "there is no group {GROUP}; the wrapper will not be able to read the key"
            ));
        }
        Self { group: group.filter(|_| geteuid().is_root()) }
    }

    /// Makes a folder where there is none; one that is there keeps its rights.
    fn folder(&self, path: &Path, mode: u32, group: Option<Gid>) -> Result<(), Failure> {
        let failed = |error| Failure::creating(path, &error);
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                return Ok(());
            }
            made => made.map_err(failed)?,
        }
        let mode = self.mode(mode, group);
        give(&File::open(path).map_err(failed)?, mode, group).map_err(failed)
    }

    /// Makes a file that is there as a whole or not at all, and never takes the place of another.
    fn file(&self, path: &Path, text: &[u8], mode: u32, group: Option<Gid>) -> Result<(), Failure> {
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let mode = self.mode(mode, group);
        let make = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            give(&file, mode, group)?;
            file.write_all(text)?;
            file.sync_all()?;
            fs::hard_link(&new, path)
        };
        let made = make();
        drop(fs::remove_file(&new));
        made.map_err(|error| Failure::creating(path, &error))
    }

    /// Without the group that reads keys, the owner alone does.
    fn mode(&self, mode: u32, group: Option<Gid>) -> u32 {
        if mode & 0o007 == 0 && group.is_none() { mode & 0o700 } else { mode }
    }
}

/// Owner's group and mode, in the order in which nobody sees more than in the end.
fn give(file: &File, mode: u32, group: Option<Gid>) -> io::Result<()> {
    if let Some(group) = group {
        fchown(file, None, Some(group.as_raw()))?;
    }
    file.set_permissions(Permissions::from_mode(mode))
}
