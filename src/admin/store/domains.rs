//! `config.toml` and the domain files, read as the wrapper reads them.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use super::error::FileError;
use crate::admin::input;
use crate::admin::output::{Failure, Progress};
use crate::admin::parallel;
use crate::config::{ConfigError, DEFAULT, DomainFile, Host, Signing};
use crate::dkim::{Domain, Selector};

/// A domain file.
#[derive(Debug)]
pub(crate) struct DomainConfig {
    pub(crate) path: PathBuf,
    /// The domain that it is named after. `None` for `default.toml`.
    pub(crate) name: Option<Domain>,
    pub(crate) text: String,
    pub(crate) file: DomainFile,
}

/// A domain file, or why it cannot be used.
pub(crate) type Read = Result<DomainConfig, FileError<ConfigError>>;

impl DomainConfig {
    /// Reads the domain file at `path`, which inherits from `host`.
    pub(crate) fn read(path: &Path, host: &Signing) -> Read {
        let text = input::text(path, input::CONFIGURATION).map_err(FileError::Unreadable)?;
        Self::parse(path, text, host).map_err(FileError::Invalid)
    }

    /// Parses the text of the domain file at `path`, as the wrapper does. `dkimctl` parses domain files only here, because
    /// whether one is valid depends on `config.toml`.
    pub(crate) fn parse(path: &Path, text: String, host: &Signing) -> Result<Self, ConfigError> {
        let name = named_after(path);
        let file = DomainFile::parse(&text, name.as_ref(), host)?;
        Ok(Self { path: path.to_owned(), name, text, file })
    }

    /// d=. `None` means the domain of each author.
    pub(crate) fn domain(&self) -> Option<&Domain> {
        self.file.domain.as_ref().or(self.name.as_ref())
    }

    /// The name of the directory of its keys.
    pub(crate) fn folder(&self) -> &str {
        self.file.folder(self.name.as_ref())
    }

    /// The selectors that sign, including those of rules.
    pub(crate) fn selectors(&self) -> BTreeSet<&Selector> {
        self.file.all_selectors().collect()
    }
}

/// The path of the domain file of this name, which is a domain or `default`.
pub(crate) fn file(etc: &Path, name: impl Display) -> PathBuf {
    etc.join("domains").join(format!("{name}.toml"))
}

/// The text of a new domain file. `keys`: the name of the directory of keys that domains share.
pub(crate) fn new_text(selectors: &[Selector], keys: Option<&str>) -> String {
    let names: Vec<&str> = selectors.iter().map(Selector::as_str).collect();
    let keys = keys.map(|name| format!("keys = {name:?}\n")).unwrap_or_default();
    format!("selectors = {names:?}\n{keys}")
}

/// The paths of all domain files of a tree, in the order of their names. A tree without their directory has none.
///
/// # Errors
/// The directory cannot be read, or there is no tree.
pub(crate) fn paths(etc: &Path) -> Result<Vec<PathBuf>, Failure> {
    let folder = etc.join("domains");
    let names = match input::names(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && etc.exists() => Vec::new(),
        names => names.map_err(|error| Failure::reading(&folder, &error))?,
    };
    let paths = names.into_iter().map(|name| folder.join(name));
    Ok(paths.filter(|path| path.extension().is_some_and(|kind| kind == "toml")).collect())
}

/// All domain files of a tree, in the order of their names.
///
/// # Errors
/// The directory or `config.toml` cannot be read.
pub(crate) fn all(etc: &Path) -> Result<impl Iterator<Item = (PathBuf, Read)>, Failure> {
    let host = inherited(etc)?;
    let paths = paths(etc)?;
    let read = |path: &PathBuf| DomainConfig::read(path, &host);
    let read = parallel::all(&paths, parallel::cores(), Progress::none(), read);
    Ok(paths.into_iter().zip(read))
}

/// All domain files of a tree, by the domain that each signs for.
#[derive(Debug)]
pub(crate) struct Index {
    host: Signing,
    files: HashMap<Domain, Vec<DomainConfig>>,
    broken: Vec<(PathBuf, FileError<ConfigError>)>,
}

impl Index {
    /// Reads them.
    ///
    /// # Errors
    /// The directory or `config.toml` cannot be read.
    pub(crate) fn read(etc: &Path) -> Result<Self, Failure> {
        let mut index = Self { host: inherited(etc)?, files: HashMap::new(), broken: Vec::new() };
        for (path, read) in all(etc)? {
            match read {
                Ok(config) => {
                    if let Some(domain) = config.domain().cloned() {
                        index.files.entry(domain).or_default().push(config);
                    }
                }
                Err(error) => index.broken.push((path, error)),
            }
        }
        Ok(index)
    }

    /// The domain files that sign for a domain.
    ///
    /// # Errors
    /// A file cannot be read, or the file with the name of the domain has an error. It is not known which domain another file
    /// with an error is for; testkey and doctor report it.
    pub(crate) fn of(&self, domain: &Domain) -> Result<&[DomainConfig], Failure> {
        let is_own = |path: &Path| named_after(path).as_ref() == Some(domain);
        for (path, error) in &self.broken {
            if matches!(error, FileError::Unreadable(_)) || is_own(path) {
                return Err(error.at(path));
            }
        }
        Ok(self.files.get(domain).map_or(&[], Vec::as_slice))
    }

    /// Reads the same files again.
    ///
    /// # Errors
    /// The same as for [`Self::of`].
    pub(crate) fn again(&self, domain: &Domain) -> Result<Vec<DomainConfig>, Failure> {
        let read = |config: &DomainConfig| {
            let path = &config.path;
            DomainConfig::read(path, &self.host).map_err(|error| error.at(path))
        };
        self.of(domain)?.iter().map(read).collect()
    }
}

/// The domain file with the name of the domain, if there is one. Other files may also sign for the domain; only [`Index`] finds
/// them.
///
/// # Errors
/// It or `config.toml` cannot be read.
pub(crate) fn own(etc: &Path, domain: &Domain) -> Result<Option<DomainConfig>, Failure> {
    let path = file(etc, domain);
    match DomainConfig::read(&path, &inherited(etc)?) {
        Err(error) if error.is_missing() => Ok(None),
        read => read.map(Some).map_err(|error| error.at(&path)),
    }
}

/// The domain that a file is named after. `None` for `default.toml` and for names that are not a domain.
pub(crate) fn named_after(path: &Path) -> Option<Domain> {
    let name = path.file_stem().and_then(|name| name.to_str())?;
    Domain::parse(name).ok().filter(|_| name != DEFAULT)
}

/// Reads `config.toml`.
pub(crate) fn read_host(path: &Path) -> Result<Host, FileError<ConfigError>> {
    let text = input::text(path, input::CONFIGURATION).map_err(FileError::Unreadable)?;
    Host::parse(&text).map_err(FileError::Invalid)
}

/// The content of `config.toml`. `None` if there is no such file yet.
///
/// # Errors
/// It cannot be read or used. Then the wrapper signs nothing, and no domain file takes effect.
pub(crate) fn host(etc: &Path) -> Result<Option<Host>, Failure> {
    let path = etc.join("config.toml");
    match read_host(&path) {
        Err(error) if error.is_missing() => Ok(None),
        read => read.map(Some).map_err(|error| error.at(&path)),
    }
}

/// What domain files inherit from `config.toml`, or from the built-in defaults if there is no such file yet.
///
/// # Errors
/// The same as for [`host`].
pub(crate) fn inherited(etc: &Path) -> Result<Signing, Failure> {
    Ok(host(etc)?.map(|host| host.signing).unwrap_or_default())
}
