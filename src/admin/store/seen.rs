//! `keys/seen`: when DNS last had the record of each key, for commands that do not query DNS. If the file is lost, the next
//! `testkey` writes it again.

use std::collections::BTreeMap;
use std::path::Path;

use super::folder::Readers;
use super::time::UtcTime;
use super::write::Store;
use crate::admin::input;
use crate::admin::output::Failure;

/// The state of one name in DNS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// When DNS last had the record of the key.
    pub(crate) last: Option<UtcTime>,
    /// Whether DNS had the record at the last lookup.
    pub(crate) is_there: bool,
}

/// The states of all names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(BTreeMap<String, Sight>);

/// The file, in the configuration directory.
const FILE: &str = "keys/seen";

const HEAD: &str = "# When DNS last had the record of each key, and whether it had the record at the last lookup.\n";

impl Seen {
    /// Reads the file. Empty if it does not exist or cannot be read.
    pub(crate) fn read(etc: &Path) -> Self {
        Self::parse(&input::text(&etc.join(FILE), input::FOREIGN).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let sight = |line: &str| {
            let mut words = line.split('\t');
            let (name, last, is_there) = (words.next()?, words.next()?, words.next()?);
            let last = last.parse().ok().and_then(|date| UtcTime::parse(&date));
            Some((name.to_owned(), Sight { last, is_there: is_there == "there" }))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sight).collect())
    }

    fn text(&self) -> String {
        let line = |(name, sight): (&String, &Sight)| {
            let last = sight.last.map_or_else(|| "never".to_owned(), |last| last.to_string());
            format!("{name}\t{last}\t{}\n", if sight.is_there { "there" } else { "gone" })
        };
        format!("{HEAD}{}", self.0.iter().map(line).collect::<String>())
    }

    /// The state of a name.
    pub(crate) fn of(&self, name: &str) -> Sight {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Stores whether DNS has the record of the key now.
    pub(crate) fn note(&mut self, name: &str, is_there: bool, now: UtcTime) {
        let sight = self.0.entry(name.to_owned()).or_default();
        sight.is_there = is_there;
        if is_there {
            sight.last = Some(now);
        }
    }

    /// Writes the file. Names that another process has added in the meantime stay, unless they were looked up here, too.
    ///
    /// # Errors
    /// The caller has no permission to write to the tree.
    pub(crate) fn write(self, store: &Store, etc: &Path) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut all = Self::read(etc);
        for (name, sight) in self.0 {
            let known = all.0.entry(name).or_default();
            *known = Sight { last: sight.last.or(known.last), ..sight };
        }
        store.replace(&etc.join(FILE), &all.text(), Readers::Group)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt as _;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut seen = Seen::default();
        seen.note("s._domainkey.a.test", true, UtcTime(1_764_086_883));
        seen.note("s._domainkey.a.test", false, UtcTime(1_764_086_990));
        seen.note("s._domainkey.b.test", false, UtcTime(1_764_086_990));
        assert_eq!(Seen::parse(&seen.text()), seen);
        let sight = Sight { last: Some(UtcTime(1_764_086_883)), is_there: false };
        assert_eq!(seen.of("s._domainkey.a.test"), sight);
        assert_eq!(seen.of("s._domainkey.b.test"), Sight::default());
        assert_eq!(Seen::parse("x\n\ty\nx\ty\tz\n").of("x"), Sight::default());
    }

    #[test]
    fn when_a_record_was_last_there_stays_known_when_it_is_gone() {
        let etc = std::env::temp_dir().join(format!("seen-{}", std::process::id()));
        // Under any umask.
        let folder = etc.join("keys");
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).unwrap();
        let store = Store::open(&etc).unwrap();
        let write = |is_there, seconds| {
            let mut seen = Seen::default();
            seen.note("s._domainkey.a.test", is_there, UtcTime(seconds));
            seen.write(&store, &etc).unwrap();
        };
        write(true, 1_764_086_883);
        write(false, 1_764_086_990);
        let seen = Seen::read(&etc);
        std::fs::remove_dir_all(&etc).unwrap();
        let sight = Sight { last: Some(UtcTime(1_764_086_883)), is_there: false };
        assert_eq!(seen.of("s._domainkey.a.test"), sight);
    }
}
