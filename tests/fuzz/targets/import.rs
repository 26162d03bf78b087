//! For any OpenDKIM configuration: each domain file that is made of it can be read, and the set-up is read the same with other
//! line ends.
#![no_main]

use std::collections::BTreeMap;

use sendmail_dkim::admin::import::{Files, domain_files};
use sendmail_dkim::config::{DomainFile, Signing};
use sendmail_dkim::dkim::Domain;

/// The files of a set-up in one text, a line `@ PATH` before each.
struct Paper(BTreeMap<String, String>);

impl Paper {
    fn new(text: &str) -> Self {
        let mut files = BTreeMap::new();
        let mut path = "/etc/opendkim.conf";
        for line in text.split_inclusive('\n') {
            match line.strip_prefix("@ /") {
                Some(_) => path = line["@ ".len()..].trim_end(),
                None => files.entry(path.to_owned()).or_insert_with(String::new).push_str(line),
            }
        }
        Self(files)
    }
}

impl Files for Paper {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let below = self.0.keys().filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
        below.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect()
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let host = Signing::default();
    let files = domain_files("/etc/opendkim.conf", &host, &Paper::new(&text));
    let crlf = text.replace("\r\n", "\n").replace('\n', "\r\n");
    if !text.contains('\r') {
        assert_eq!(files, domain_files("/etc/opendkim.conf", &host, &Paper::new(&crlf)));
    }
    for (name, file) in files.unwrap_or_default() {
        let domain = Domain::parse(&name).expect("the name of a domain");
        let domain = (name != "default").then_some(domain);
        if let Err(error) = DomainFile::parse(&file, domain.as_ref(), &host) {
            panic!("{name}.toml: {error}\n{file}");
        }
    }
});
