use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Sandbox, Stage, dkimctl, feed, project, reported, result, stdout};

/// The set-up that tutorials of 2012 end with; keys of 1024 bits in PKCS#1, as OpenSSL 1.0
/// wrote them.
const TUTORIAL: &str = r#"
for domain in sample.com hogehoge.jp; do
    folder=/etc/opendkim/keys/$domain
    mkdir -p $folder
    opendkim-genkey -b 1024 -D $folder -d $domain -s dkimselector
    openssl rsa -traditional -in $folder/dkimselector.private -out $folder/pkcs1 2>/dev/null
    mv $folder/pkcs1 $folder/dkimselector.private
    /opt/sandbox/publish.py $domain $folder/dkimselector.txt
    name=dkimselector._domainkey.$domain
    echo "$name $domain:dkimselector:$folder/dkimselector.private" >>/etc/opendkim/KeyTable
    echo "*@$domain $name" >>/etc/opendkim/SigningTable
done
printf '127.0.0.1\n' >/etc/opendkim/TrustedHosts
chown -R opendkim:opendkim /etc/opendkim
chmod 600 /etc/opendkim/keys/*/*.private
cat >/etc/opendkim.conf <<CONF
PidFile /var/run/opendkim/opendkim.pid
Mode    sv
Syslog  yes
SyslogSuccess   yes
LogWhy  yes
UserID  opendkim:opendkim
Socket  inet:8891@localhost
Umask   002
Canonicalization        relaxed/relaxed
Domain  sample.com, hogehoge.jp
MinimumKeyBits 1024
KeyTable        /etc/opendkim/KeyTable
SigningTable    refile:/etc/opendkim/SigningTable
ExternalIgnoreList      refile:/etc/opendkim/TrustedHosts
InternalHosts   refile:/etc/opendkim/TrustedHosts
CONF
"#;

#[test]
#[ignore = "needs root"]
fn a_tutorials_set_up_is_imported_by_one_command_and_signs() {
    let sandbox = Sandbox::own("import");
    sandbox.root(TUTORIAL);
    let said = sandbox.root("head -n 1 /etc/opendkim/keys/sample.com/dkimselector.private");
    assert_eq!(said, "-----BEGIN RSA PRIVATE KEY-----\n");
    let said = sandbox.root("dkimctl import");
    assert!(!said.contains("Not supported"), "{said}");
    assert!(
        said.contains("All mail that OpenDKIM signs is signed here.") && farewell(&said),
        "{said}"
    );
    assert!(said.contains("the key has 1024 bits"), "{said}");
    let rights = sandbox.root("stat -c '%a %U:%G' /etc/sendmail-dkim/keys/sample.com/*.private");
    assert_eq!(rights, "640 root:sendmail-dkim\n");
    for domain in ["sample.com", "hogehoge.jp"] {
        let recipient = sandbox.recipient();
        let mail =
            format!("echo 'Test Mail.' | mail -s 'test mail' -r webmaster@{domain} {recipient}");
        stdout(&sandbox.sh("alice", &mail, b""));
        sandbox.assert_signed(&sandbox.received(&recipient), domain, "dkimselector");
    }
    // Again: nothing to do, and nothing overwritten.
    let said = sandbox.root("dkimctl import");
    assert!(said.contains("sample.com.toml (existed already)"), "{said}");
}

/// `KeyTable`, `SigningTable`, further lines of opendkim.conf.
struct SetUp(&'static str, &'static str, &'static str);

/// In both tables `KEYS` stands for the folder of the keys.
const KEY_TABLE: &str = "one sample.com:s1:KEYS/one\ntwo sample.com:s2:KEYS/two\n\
    below news.sample.com:s3:KEYS/one\njp hogehoge.jp:s4:KEYS/two\nall %:s5:KEYS/one\n\
    own %:s6:KEYS/%/key\nhogehoge.jp hogehoge.jp:s7:KEYS/one\n";

const SENDERS: [&str; 14] = [
    "a@sample.com",
    "News@Sample.com",
    "b-news@sample.com",
    "news-b@sample.com",
    "news-b-news@sample.com",
    "\"a b\"@sample.com",
    "a@xsample.com",
    "a@news.sample.com",
    "a@x.news.sample.com",
    "a@own.test",
    "a@hogehoge.jp",
    "news@hogehoge.jp",
    "a@www.hogehoge.jp",
    "a@unknown-domain.test",
];

/// Senders of SENDERS that the two set-ups treat otherwise, and what import reports as not supported. What it reports of h= is
/// compared with what both put there.
fn disagreement(sandbox: &Sandbox, number: usize, set_up: &SetUp) -> (Vec<String>, Vec<String>) {
    let SetUp(keys, signing, more) = set_up;
    let folder = format!("/var/lib/import.{number}");
    sandbox.root(&format!(
        "mkdir -p {folder}/keys/own.test && cd {folder} && mkdir etc &&
        openssl genrsa -traditional -out keys/one 1024 2>/dev/null &&
        openssl genrsa -out keys/two 2048 2>/dev/null && cp keys/two keys/own.test/key &&
        chmod 600 keys/one keys/two keys/own.test/key"
    ));
    let path = |text: &str| text.replace("KEYS", &format!("{folder}/keys"));
    sandbox.write(&format!("{folder}/KeyTable"), &path(keys));
    sandbox.write(&format!("{folder}/SigningTable"), &path(signing));
    let tables = format!("Mode s\nKeyTable {folder}/KeyTable\n");
    let tables = if keys.is_empty() { "Mode s\n" } else { &tables };
    let more = path(more).replace("TABLE", &format!("{folder}/SigningTable"));
    sandbox.write(&format!("{folder}/conf"), &format!("{tables}{more}"));
    let output =
        sandbox.sh("root", &format!("dkimctl --etc {folder}/etc import --json {folder}/conf"), b"");
    let (report, findings) = reported(&output.stdout);
    assert_eq!(report["written"], true, "{report}");
    let lost = findings.iter().filter(|one| one["code"] == "not-supported");
    let lost: Vec<String> = lost.map(|one| one["evidence"].as_str().unwrap().to_owned()).collect();
    // In another folder than the wrapper's nothing is signed.
    let code = if lost.is_empty() { 78 } else { 65 };
    assert_eq!(output.status.code(), Some(code), "{report}");
    let senders: Vec<String> = SENDERS.iter().map(|sender| format!("'{sender}'")).collect();
    let senders = senders.join(" ");
    let lines =
        sandbox.root(&format!("/opt/sandbox/both-sign.py {folder}/conf {folder}/etc {senders}"));
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), SENDERS.len());
    let signed = lines.iter().filter(|line| line["opendkim"] != Value::Array(Vec::new()));
    assert!(signed.count() > 0, "{lines:?}");
    let fields: BTreeSet<&str> = lines
        .iter()
        .flat_map(|line| line["lost"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    let (of_fields, lost): (Vec<String>, Vec<String>) =
        lost.into_iter().partition(|text| text.starts_with("in mail with"));
    for name in &fields {
        let is_named = |text: &String| text.to_lowercase().contains(&format!(" {name} field"));
        assert!(of_fields.iter().any(is_named), "{name}: {of_fields:?} {report}");
    }
    assert!(of_fields.is_empty() || !fields.is_empty(), "{of_fields:?} {lines:#?}");
    let differ = lines.iter().filter(|line| line["opendkim"] != line["wrapper"]);
    (differ.map(ToString::to_string).collect(), lost)
}

#[test]
#[ignore = "needs root"]
fn what_is_imported_signs_the_mail_that_opendkim_signed() {
    let sandbox = Sandbox::for_test("import");
    let refile = "SigningTable refile:TABLE\n";
    let file = "SigningTable file:TABLE\n";
    let set_ups = [
        SetUp(KEY_TABLE, "*@sample.com one\n*@hogehoge.jp jp\n", refile),
        SetUp(KEY_TABLE, "news@sample.com two\n*@sample.com one\n", refile),
        SetUp(KEY_TABLE, "*@sample.com one\nnews@sample.com two\n", refile),
        SetUp(KEY_TABLE, "news@sample.com two\nnews@hogehoge.jp jp\n", refile),
        SetUp(KEY_TABLE, "*@sample.com one\n*@*.sample.com one\n", refile),
        SetUp(KEY_TABLE, "*@news.sample.com below\n*@sample.com one:@%\n", refile),
        SetUp(KEY_TABLE, "*@news.sample.com one:@%\n*@sample.com one\n", refile),
        SetUp(KEY_TABLE, "*@sample.com one\n* all\n", refile),
        SetUp(KEY_TABLE, "* one\n", refile),
        SetUp(KEY_TABLE, "*@own.test own\n*@sample.com two\n", refile),
        SetUp(KEY_TABLE, "*@hogehoge.jp %\n", refile),
        SetUp(KEY_TABLE, "sample.com one\n*@hogehoge.jp jp\n", refile),
        SetUp(KEY_TABLE, "sample.com one\n*@hogehoge.jp jp\n", file),
        SetUp(KEY_TABLE, "news@sample.com two\nsample.com one\n.sample.com one\n* all\n", file),
        SetUp(KEY_TABLE, "", "SigningTable csl:sample.com=one,hogehoge.jp=jp\n"),
        SetUp(
            KEY_TABLE,
            "*@sample.com one\n*@sample.com two\nnews@sample.com two\n*@hogehoge.jp jp\n",
            "SigningTable refile:TABLE\nMultipleSignatures yes\n",
        ),
        SetUp(
            KEY_TABLE,
            "news@sample.com two:news@sample.com\na@sample.com one:@news.sample.com\n*@sample.com one:@%\n",
            refile,
        ),
        SetUp(
            KEY_TABLE,
            "*@sample.com one\n",
            "BaseDirectory KEYS/..\nSigningTable refile:SigningTable\n",
        ),
        SetUp("", "", "Domain sample.com\nKeyFile one\nSelector s\nBaseDirectory KEYS\n"),
        SetUp("", "", "Domain sample.com, hogehoge.jp\nKeyFile KEYS/one\nSelector s\n"),
        SetUp("", "", "Domain sample.com\nKeyFile KEYS/one\nSelector s\nSubDomains yes\n"),
        SetUp("", "", "Domain sample.com\nKeyFile KEYS/one\nSelector s\nOversignHeaders From\n"),
        SetUp(
            "",
            "",
            "Domain sample.com\nKeyFile KEYS/one\nSelector s\nOversignHeaders From,Cc,X-A\n",
        ),
        SetUp(
            "",
            "",
            "Domain sample.com\nKeyFile KEYS/one\nSelector s\nSignHeaders From,Subject,X-A\n",
        ),
        SetUp("", "", "Domain sample.com\nKeyFile KEYS/one\nSelector s\nOmitHeaders Date,To\n"),
        SetUp("", "", "Domain *\nKeyFile KEYS/one\nSelector s\n"),
    ];
    assert_same(sandbox, 0, &set_ups);
}

/// Asserts that both sign the same mail.
fn assert_same(sandbox: &Sandbox, first: usize, set_ups: &[SetUp]) {
    for (number, set_up) in set_ups.iter().enumerate() {
        let (differ, lost) = disagreement(sandbox, first + number, set_up);
        let SetUp(_, signing, more) = set_up;
        assert!(differ.is_empty() && lost.is_empty(), "{signing}{more}: {differ:#?} {lost:#?}");
    }
}

#[test]
#[ignore = "needs root"]
fn patterns_of_addresses_and_domains_sign_the_same_mail() {
    let sandbox = Sandbox::for_test("import");
    let refile = "SigningTable refile:TABLE\n";
    let file = "SigningTable file:TABLE\n";
    let set_ups = [
        SetUp(KEY_TABLE, "*@*.sample.com one\n", refile),
        SetUp(KEY_TABLE, "*@news.sample.com below\n*@*.sample.com one\n", refile),
        SetUp(KEY_TABLE, ".sample.com one\nhogehoge.jp jp\n", file),
        SetUp(KEY_TABLE, "*-news@sample.com two\n*@sample.com one\n", refile),
        SetUp(KEY_TABLE, "news*@sample.com two\n", refile),
        SetUp(
            KEY_TABLE,
            "news-b-*@sample.com one\n*-News@sample.com two\nnews*@sample.com one\n*@sample.com two\n",
            refile,
        ),
        SetUp(
            KEY_TABLE,
            "news*@sample.com two\n*@sample.com one\n",
            "SigningTable refile:TABLE\nMultipleSignatures yes\n",
        ),
    ];
    assert_same(sandbox, 200, &set_ups);
}

#[test]
#[ignore = "needs root"]
fn what_no_domain_file_can_say_is_said_to_be_lost() {
    let sandbox = Sandbox::for_test("import");
    let refile = "SigningTable refile:TABLE\n";
    // What the message names, and how many of the senders it is about.
    for (number, (signing, named, count)) in [
        ("*@sample.com one\n*@*.sample.com two\n", "domains below sample.com", 2),
        ("*@*.sample.com all\n", "domains below sample.com", 2),
        ("news@*.sample.com one\n*@sample.com one\n", "news@*.sample.com", 0),
        ("*sample.com one\n", "*sample.com", 1),
        ("news@sample.com jp\n*@sample.com one\n", "news@sample.com", 1),
    ]
    .into_iter()
    .enumerate()
    {
        let set_up = SetUp(KEY_TABLE, signing, refile);
        let (differ, lost) = disagreement(sandbox, 100 + number, &set_up);
        assert!(lost.iter().any(|text| text.contains(named)), "{signing}: {lost:#?}");
        assert_eq!(differ.len(), count, "{signing}: {differ:#?} {lost:#?}");
    }
}

/// Whether the output tells the administrator to switch OpenDKIM off.
fn farewell(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["take opendkim out", "non_smtpd_milters", "signed twice", "from now on"]
        .iter()
        .any(|words| said.contains(words))
}

/// Set-ups of which something that OpenDKIM signs, or was meant to, is not signed here, by their tables and what comes
/// before the import; and what is said to be missing.
const NOT_ALL: [(&str, &str, &str, &str); 12] = [
    ("k x.test:s:KEY", "*@x.test k", "file", "no key was imported"),
    ("k %:s:KEY", "*@*.x.test k", "refile", "1 above not supported"),
    ("k x.test:s:KEY", "*@x.test other", "refile", "no key was imported"),
    ("k x.test:s:KEY", "*@x.test k\n*@y.test other", "refile", "1 above not supported"),
    ("k x.test:s:/nowhere", "*@x.test k", "refile", "no key was imported"),
    (
        "k x.test:s:KEY\nl y.test:s:/nowhere",
        "*@x.test k\n*@y.test l",
        "refile",
        "2 above not supported",
    ),
    (
        "k x.test:s:KEY\nl x.test:t:/nowhere",
        "*@x.test k\n*@x.test l\n# MultipleSignatures",
        "refile",
        "2 above not supported",
    ),
    ("k x.test:s:KEY", "*-news@*.x.test k", "refile", "no key was imported"),
    ("k x.test:s:KEY", "*@(x|y).test k", "refile", "no key was imported"),
    (
        "k x.test:s:KEY\nl y.test:s:KEY",
        "*@x.test k\n*@x.test l\n# MultipleSignatures",
        "refile",
        "1 above not supported",
    ),
    // A file that was there before is for mail From y.test, and allows no user to sign.
    (
        "k %:s:KEY",
        "* k\n# echo 'selector = \"s\"' >$etc/domains/y.test.toml; echo 'users = []' >>$etc/domains/y.test.toml",
        "refile",
        "1 above not supported",
    ),
    (
        "k x.test:s:KEY",
        "*@x.test k\n# echo 'minimum_key_bits = 2048' >>$etc/config.toml",
        "refile",
        "x.test/s.private",
    ),
];

/// An OpenDKIM with these tables, and the configuration in /tmp/etc.
fn set_up(sandbox: &Sandbox, keys: &str, signing: &str) {
    sandbox.root("rm -rf /etc/sendmail-dkim; cp -a /tmp/etc /etc/sendmail-dkim");
    sandbox.write("/tmp/KeyTable", keys);
    sandbox.write("/tmp/SigningTable", signing);
    sandbox.write("/tmp/conf", "KeyTable /tmp/KeyTable\nSigningTable refile:/tmp/SigningTable\n");
}

fn records_of_all_domains_cannot_be_listed(sandbox: &Sandbox) {
    set_up(sandbox, "k %:s:/tmp/KEY\n", "* k\n");
    let output = sandbox.sh("root", "dkimctl import /tmp/conf", b"");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("check the record of each domain that default.toml signs"), "{said}");
}

#[test]
#[ignore = "needs root"]
fn opendkim_is_to_go_only_where_all_that_it_signs_is_signed_here() {
    let sandbox = Sandbox::own("import");
    let etc = "/etc/sendmail-dkim";
    sandbox.root(&format!("cp -a {etc} /tmp/etc; openssl genrsa -out /tmp/KEY 1024 2>/dev/null"));
    for (keys, signing, kind, missing) in NOT_ALL {
        let (rows, before) = signing.split_once("\n# ").unwrap_or((signing, ""));
        let multiple = before == "MultipleSignatures";
        let before = if multiple { "" } else { before };
        sandbox.root(&format!("rm -rf {etc}; cp -a /tmp/etc {etc}; etc={etc}; {before}"));
        sandbox.write("/tmp/KeyTable", &format!("{}\n", keys.replace("KEY", "/tmp/KEY")));
        sandbox.write("/tmp/SigningTable", &format!("{rows}\n"));
        let conf =
            format!("Mode s\nKeyTable /tmp/KeyTable\nSigningTable {kind}:/tmp/SigningTable\n");
        let more = if multiple { "MultipleSignatures yes\n" } else { "" };
        sandbox.write("/tmp/conf", &format!("{conf}{more}"));
        for args in ["--dry-run", ""] {
            let output = sandbox.sh("root", &format!("dkimctl import {args} /tmp/conf"), b"");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!farewell(&said), "{keys} {rows}: {said}");
            // Some show once the files are there.
            if args.is_empty() || !missing.contains(".private") {
                let code = if missing == "x.test/s.private" { 78 } else { 65 };
                assert_eq!(output.status.code(), Some(code), "{keys} {rows}: {said}");
                assert!(said.contains("Not all mail that OpenDKIM signs is signed here"), "{said}");
                assert!(said.contains("\n  1. ") && said.contains(missing), "{rows}: {said}");
            }
        }
    }
    records_of_all_domains_cannot_be_listed(&sandbox);
    // All was imported, and the wrapper does not sign: as long as something is missing, and no longer.
    set_up(&sandbox, "k x.test:s:/tmp/KEY\n", "*@x.test k\n");
    sandbox.root("ln -sf /usr/sbin/sendmail.postfix /etc/alternatives/mta");
    let output = sandbox.sh("root", "dkimctl import /tmp/conf", b"");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("\n  1. dkimctl enable") && !farewell(&said), "{said}");
    sandbox.root("ln -sf /usr/sbin/sendmail.dkim /etc/alternatives/mta");
    // The record is missing, wrong, and there; or the DNS does not answer.
    let step = "correct the record (dkimctl record x.test), then check it: dkimctl testkey x.test";
    sandbox.write("/tmp/wrong", "s._domainkey TXT \"v=DKIM1; p=\"\n");
    sandbox.write("/tmp/none", "");
    for (record, found, code) in [
        ("/tmp/none", "there is no record", 69),
        ("/tmp/wrong", "the key is revoked", 69),
        ("/etc/sendmail-dkim/keys/x.test/s.txt", "", 0),
    ] {
        sandbox.publish("x.test", record);
        let output = sandbox.sh("root", "dkimctl import /tmp/conf", b"");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{record}: {said}");
        assert!(said.contains(step) == (code != 0) && said.contains(found), "{record}: {said}");
        assert_eq!(farewell(&said), code == 0, "{record}: {said}");
    }
    let output = sandbox.sh("root", "dkimctl import --server 127.0.0.1:9 /tmp/conf", b"");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains(step) && !farewell(&said), "{said}");
    let (_, findings) = reported(sandbox.root("dkimctl import --json /tmp/conf"));
    assert!(
        findings.iter().all(|one| one["severity"] == "info" || one["code"] == "to-check"),
        "{findings:?}"
    );
}

fn import(stage: &Stage, args: &[&str]) -> Output {
    import_of(stage, args, "conf")
}

fn import_of(stage: &Stage, args: &[&str], name: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    command.arg("--etc").arg(stage.path("new")).arg("import").args(args).arg(stage.path(name));
    command.env_remove("SENDMAIL_DKIM_ETC").output().unwrap()
}

/// A set-up with one domain; `new` has a `config.toml` already.
fn stage(more: &str) -> Stage {
    let stage = Stage::new();
    let key = stage.path("old.private");
    fs::copy(project("tests/vectors/rfc6376-c.private"), &key).unwrap();
    let conf = format!("Domain sample.com\nSelector s1\nKeyFile {}\n{more}", key.display());
    stage.write("conf", &conf);
    fs::create_dir_all(stage.path("new")).unwrap();
    stage.write("new/config.toml", "sendmail = \"/usr/sbin/sendmail.postfix\"\n");
    stage
}

#[test]
fn import_copies_the_key_for_the_wrapper_alone() {
    let stage = stage("Canonicalization simple\n");
    let said = import(&stage, &[]);
    assert_eq!(said.status.code(), Some(78), "{said:?}");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("move the files to /etc/sendmail-dkim") && !farewell(&said), "{said}");
    let key = stage.path("new/keys/sample.com/s1.private");
    let old = fs::read(project("tests/vectors/rfc6376-c.private")).unwrap();
    assert_eq!(fs::read(&key).unwrap(), old);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o137, 0);
    let file = fs::read_to_string(stage.path("new/domains/sample.com.toml")).unwrap();
    let wanted = "selectors = [\"s1\"]\ncanonicalization = \"simple/simple\"\n";
    assert_eq!(file, format!("# Written by dkimctl import.\n{wanted}"));
    let record = fs::read_to_string(stage.path("new/keys/sample.com/s1.txt")).unwrap();
    assert!(record.starts_with("s1._domainkey.sample.com.\tIN\tTXT\t( "), "{record}");
    let mode = |name: &str| fs::metadata(stage.path(name)).unwrap().permissions().mode() & 0o7777;
    // The process that reads a message reads domain files, and no key.
    assert_eq!([mode("new/keys"), mode("new/keys/sample.com")].map(|mode| mode & 0o027), [0; 2]);
    assert_eq!(mode("new/domains") & 0o555, 0o555);
    assert_eq!(mode("new/domains/sample.com.toml") & 0o444, 0o444);
}

#[test]
fn import_prints_what_to_add_to_the_existing_config_toml() {
    for (line, code) in [("SyslogSuccess no\n", 65), ("SyslogSuccess yes\n", 78)] {
        let stage = stage(line);
        let before = fs::read_to_string(stage.path("new/config.toml")).unwrap();
        let output = import(&stage, &[]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let path = stage.path("new/config.toml");
        let step = format!("log_success = false: {} exists already", path.display());
        assert_eq!(said.contains(&step), code == 65, "{said}");
        assert_eq!(fs::read_to_string(path).unwrap(), before);
    }
}

#[test]
fn import_writes_the_tables_of_hosts_that_submit_by_smtp() {
    let stage = stage("InternalHosts 127.0.0.1, 192.0.2.0/24, mail.example.net\n");
    let output = import(&stage, &[]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let step = "dkimctl setup --smtp, if the milter that signs is in smtpd_milters";
    assert!(said.contains(step), "{said}");
    let table = |name: &str| fs::read_to_string(stage.path(name)).unwrap();
    assert!(
        table("new/clients.cidr")
            .ends_with("\n127.0.0.1 FILTER dkim:dummy\n192.0.2.0/24 FILTER dkim:dummy\n")
    );
    assert!(table("new/clients.regexp").ends_with("/^mail\\.example\\.net$/ FILTER dkim:dummy\n"));
    // The filter is there already.
    stage.write(
        "new/config.toml",
        "sendmail = \"/usr/sbin/sendmail.postfix\"\nfilter_user = \"mail\"\n",
    );
    let said = String::from_utf8_lossy(&import(&stage, &[]).stdout).into_owned();
    assert!(!said.contains(step), "{said}");
}

#[test]
fn exported_tables_are_refused_where_they_would_not_be_read() {
    let stage = stage("");
    stage.write("table", "x.test k\n");
    let table = stage.path("table").display().to_string();
    for (args, said) in [
        (&["--table", &table][..], "no setting in"),
        (&["--rspamd", "--table", &table], "exclude each other"),
    ] {
        let output = import(&stage, args);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{output:?}");
    }
    assert!(!stage.path("new/keys").exists());
}

#[test]
fn phoenixdkim_is_recognized_by_the_name_of_its_file() {
    let stage = stage("");
    fs::rename(stage.path("conf"), stage.path("phoenixdkim.conf")).unwrap();
    let said = import_of(&stage, &[], "phoenixdkim.conf").stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("Not all mail that PhoenixDKIM signs is signed here"), "{said}");
}

#[test]
fn import_reads_files_with_a_byte_order_mark_and_keys_by_their_der() {
    let stage = Stage::new();
    let key = fs::read_to_string(project("tests/vectors/rfc6376-c.private")).unwrap();
    let bom = |name: &str, text: &str| stage.write(name, &format!("\u{feff}{text}"));
    bom("k1", &key.replace("RSA ", ""));
    let path = |name: &str| stage.path(name).display().to_string();
    bom("KeyTable", &format!("one x.test:s1:{}\ntwo x.test:s2:{}\n", path("k1"), path("k2")));
    bom("SigningTable", "*@x.test one\n*@x.test two\n");
    let folder = path("").trim_end_matches('/').to_owned();
    bom(
        "conf",
        &format!(
            "BaseDirectory {folder}\nKeyTable file:KeyTable\nSigningTable refile:SigningTable\n\
             MultipleSignatures yes\n"
        ),
    );
    fs::create_dir_all(stage.path("new")).unwrap();
    stage.write("new/config.toml", "sendmail = \"/usr/sbin/sendmail.postfix\"\n");
    // The second key is missing: the first one alone signs.
    let output = import(&stage, &[]);
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("d=x.test s=s2: key ") && !farewell(&said), "{said}");
    let file = fs::read_to_string(stage.path("new/domains/x.test.toml")).unwrap();
    assert_eq!(file, "# Written by dkimctl import.\nselectors = [\"s1\"]\n");
    assert!(stage.path("new/keys/x.test/s1.private").exists());
    assert!(!stage.path("new/keys/x.test/s2.private").exists());
}

#[test]
fn exported_tables_take_the_place_of_databases() {
    let stage = Stage::new();
    let pem = fs::read_to_string(project("tests/vectors/rfc6376-c.private")).unwrap();
    fs::create_dir_all(stage.path("new")).unwrap();
    stage.write("new/config.toml", "sendmail = \"/usr/sbin/sendmail.postfix\"\n");
    stage.write(
        "phoenixdkim.conf",
        "MetricsFile /m\nKeyTable redis://me:s3cret@db/k\nSigningTable dsn:mysql://x/y\n",
    );
    fs::rename(stage.path("phoenixdkim.conf"), stage.path("conf")).unwrap();
    let wanted = "# Written by dkimctl import.\nselectors = [\"s\"]\n";
    let lines = pem.trim_end().replace('\n', "\\n");
    for table in [
        format!("id,domain,selector,private_key\nk,x.test,s,\"{pem}\"\nx.test,k\n"),
        format!("id\tdomain\tselector\tprivate_key\nk\tx.test\ts\t{lines}\nx.test\tk\n"),
        format!(
            "HEADER=END\n k\n x.test:s:{}\n x.test\n k\nDATA=END\n",
            lines.replace("\\n", "\\0a")
        ),
    ] {
        stage.write("table", &table);
        drop(fs::remove_dir_all(stage.path("new/keys")));
        drop(fs::remove_dir_all(stage.path("new/domains")));
        let file = stage.path("table").display().to_string();
        let output = import(&stage, &["--table", &file]);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
        assert_eq!(fs::read_to_string(stage.path("new/domains/x.test.toml")).unwrap(), wanted);
        let key = fs::read(stage.path("new/keys/x.test/s.private")).unwrap();
        assert!(key == pem.as_bytes() || key == pem.trim_end().as_bytes(), "{table}");
    }
    let output = import(&stage, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(said.contains("import it with --table") && !said.contains("s3cret"), "{said}");
}

#[test]
fn the_keys_of_rspamd_are_imported() {
    let stage = Stage::new();
    let pem = project("tests/vectors/rfc6376-c.private");
    fs::create_dir_all(stage.path("new")).unwrap();
    stage.write("new/config.toml", "sendmail = \"/usr/sbin/sendmail.postfix\"\n");
    for name in ["x.test.dkim.key", "y.test.dkim.key"] {
        fs::copy(&pem, stage.path(name)).unwrap();
    }
    let folder = stage.path("x.test.dkim.key").parent().unwrap().display().to_string();
    stage.write("map", "y.test dkim\n");
    let domain = format!(
        "\"z.test\": {{\"selectors\": [{{\"selector\": \"s\", \"path\": \"{folder}/x.test.dkim.key\"}}]}}"
    );
    stage.write(
        "conf",
        &format!(
            "{{\"path\": \"{folder}/$domain.$selector.key\", \"selector_map\": \"{folder}/map\", \
             \"use_esld\": true, \"domain\": {{{domain}}}, \"symbol\": \"DKIM_SIGNED\"}}\n"
        ),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    let command = command.args(["import", "--rspamd", "--etc"]).arg(stage.path("new"));
    let output = feed(command, &fs::read(stage.path("conf")).unwrap());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("Not all mail that rspamd signs is signed here") && !farewell(&said),
        "{said}"
    );
    for (domain, selector) in [("x.test", "dkim"), ("y.test", "dkim"), ("z.test", "s")] {
        let file = fs::read_to_string(stage.path(&format!("new/domains/{domain}.toml"))).unwrap();
        let wanted = format!("selectors = [\"{selector}\"]\nsubdomains = true\n");
        assert!(file.contains(&wanted), "{file}");
        assert!(stage.path(&format!("new/keys/{domain}/{selector}.private")).exists());
    }
    // The same from a file: nothing is new.
    let output = import(&stage, &["--rspamd"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.matches("(existed already)").count() == 9, "{said}");
}

#[test]
fn a_new_key_cannot_have_the_name_of_a_record_as_selector() {
    let stage = Stage::new();
    for name in ["s1._domainkey", "s1._domainkey.x.test"] {
        let output = dkimctl(&stage, &["genkey", "-d", "x.test", "-s", name]);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("the selector is \"s1\""), "{said}");
    }
}

#[test]
fn import_shows_no_password_and_no_key() {
    let stage = Stage::new();
    let key = fs::read_to_string(project("tests/vectors/rfc6376-c.private")).unwrap();
    let key: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    fs::create_dir_all(stage.path("new")).unwrap();
    stage.write("new/config.toml", "sendmail = \"/usr/sbin/sendmail.postfix\"\n");
    for (tables, code) in [
        ("KeyTable dsn:mysql://me:s3cr/et@db/dkim\nSigningTable dsn:pgsql://me:s3cr/et@db/x\n", 65),
        ("KeyTable csl:k=x.test:s:KEY,l=x.test:s:/k\nSigningTable csl:x.test=k,y.test=l\n", 65),
        ("KeyTable csl:k=x.test:s:KEY\nSigningTable csl:x.test=k\nLDAPBindPassword s3cr/et\n", 65),
    ] {
        stage.write("conf", &tables.replace("KEY", &key));
        for args in [&["--dry-run"][..], &["--dry-run", "--json"]] {
            let output = import(&stage, args);
            let said = format!("{output:?}");
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(!said.contains("s3cr") && !said.contains(key.get(400..460).unwrap()), "{said}");
        }
    }
}

#[test]
fn no_key_in_a_row_that_is_reported_is_shown() {
    let stage = Stage::new();
    fs::create_dir_all(stage.path("new")).unwrap();
    stage.write("new/config.toml", "sendmail = \"/usr/sbin/sendmail.postfix\"\n");
    let vector = |name: &str| fs::read_to_string(project("tests/vectors").join(name)).unwrap();
    let (pem, other) = (vector("rfc8463-a-brisbane.private"), vector("rfc6376-c.private"));
    let key = pem.lines().nth(1).unwrap();
    let databases = "KeyTable dsn:mysql://x/y\nSigningTable dsn:mysql://x/y\n";
    for (conf, table) in [
        // The name of a record, and a row without a selector.
        (
            format!("KeyTable csl:k=x.test:s._domainkey.x.test:{key}\nSigningTable csl:x.test=k\n"),
            None,
        ),
        (format!("KeyTable csl:k=x.test:{key}\nSigningTable csl:x.test=k\n"), None),
        // Two keys of one name, and columns in another order.
        (
            databases.to_owned(),
            Some(format!("k,x.test,s,\"{pem}\"\nl,x.test,s,\"{other}\"\nx.test,k\ny.test,l\n")),
        ),
        (databases.to_owned(), Some(format!("x.test,s,\"{pem}\",k\nx.test,x.test\n"))),
    ] {
        stage.write("conf", &conf);
        stage.write("table", table.as_deref().unwrap_or_default());
        let file = stage.path("table").display().to_string();
        let table: &[&str] = if table.is_some() { &["--table", &file] } else { &[] };
        for more in [&["--dry-run"][..], &["--dry-run", "--json"]] {
            let output = import(&stage, &[table, more].concat());
            assert_eq!(output.status.code(), Some(65), "{output:?}");
            let said = format!("{output:?}").to_lowercase();
            for line in pem.lines().chain(other.lines()).filter(|line| !line.starts_with('-')) {
                assert!(!said.contains(&line.to_lowercase()), "{line}: {said}");
            }
        }
    }
}

#[test]
fn a_relative_key_file_is_a_path() {
    let stage = stage("");
    let folder = stage.path("").display().to_string();
    stage.write(
        "conf",
        &format!("Domain x.test\nSelector s\nKeyFile old.private\nBaseDirectory {folder}\n"),
    );
    let output = import(&stage, &[]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(stage.path("new/keys/x.test/s.private").exists());
}

#[test]
fn import_shows_and_does_not_write_in_a_dry_run() {
    let stage = stage("");
    let shown = stdout(&import(&stage, &["--dry-run"]));
    assert!(shown.contains("+selectors = [\"s1\"]\n"), "{shown}");
    assert!(shown.contains("rsa key of 1024 bits from "), "{shown}");
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    assert!(!stage.path("new/domains").exists() && !stage.path("new/keys").exists());
    let shown = stdout(&import(&stage, &["--dry-run", "--json"]));
    let report = result(&shown);
    assert_eq!(report["written"], false);
    assert_eq!(report["files"].as_array().unwrap().len(), 3, "{report}");
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}

#[test]
fn import_overwrites_nothing_and_then_writes_nothing() {
    let stage = stage("");
    fs::create_dir_all(stage.path("new/domains")).unwrap();
    stage.write("new/domains/sample.com.toml", "selectors = [\"mine\"]\n");
    let output = import(&stage, &[]);
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("domains/sample.com.toml"));
    let file = fs::read_to_string(stage.path("new/domains/sample.com.toml")).unwrap();
    assert_eq!(file, "selectors = [\"mine\"]\n");
    assert!(!stage.path("new/keys").exists());
}

#[test]
fn a_folder_in_the_way_of_a_file_is_a_conflict() {
    let stage = stage("");
    fs::create_dir_all(stage.path("new/domains/sample.com.toml")).unwrap();
    let output = import(&stage, &[]);
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was written"), "{output:?}");
    assert!(!stage.path("new/keys").exists());
}

#[test]
fn the_domain_files_of_others_are_no_step_and_config_toml_is_inherited() {
    let stage = stage("Canonicalization simple\n");
    fs::create_dir_all(stage.path("new/domains")).unwrap();
    stage.write("new/domains/other.test.toml", "selectors = 1\n");
    stage.write("new/config.toml", "sendmail = \"/x\"\ncanonicalization = \"simple/simple\"\n");
    let output = import(&stage, &[]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("other.test"), "{said}");
    let file = fs::read_to_string(stage.path("new/domains/sample.com.toml")).unwrap();
    assert_eq!(file, "# Written by dkimctl import.\nselectors = [\"s1\"]\n");
}

#[test]
fn only_a_key_below_2048_bits_is_to_be_replaced() {
    let stage = stage("");
    let new = stage.path("").display().to_string();
    for (bits, is_small) in [("1024", true), ("2048", false)] {
        fs::remove_file(stage.path("old.private")).unwrap();
        stdout(&dkimctl(&stage, &["genkey", "-D", &new, "-b", bits, "x.test", "old"]));
        fs::remove_file(stage.path("old.txt")).unwrap();
        let said = stdout(&import(&stage, &["--dry-run"]));
        assert_eq!(said.contains("receivers expect 2048"), is_small, "{said}");
    }
}

#[test]
fn the_key_table_of_rspamd_may_have_a_key_file_for_each_domain() {
    let stage = stage("");
    fs::rename(stage.path("old.private"), stage.path("own.test.key")).unwrap();
    let folder = stage.path("own.test.key").parent().unwrap().display().to_string();
    let tables =
        format!("{{\"signing_table\": [\"* k\"], \"key_table\": [\"k %:s:{folder}/%.key\"]}}\n");
    stage.write("conf", &tables);
    import(&stage, &["--rspamd"]);
    let file = fs::read_to_string(stage.path("new/domains/own.test.toml")).unwrap();
    assert!(file.contains("selectors = [\"s\"]\n"), "{file}");
    assert!(stage.path("new/keys/own.test/s.private").exists());
}

#[test]
fn import_exits_with_65_where_something_is_lost() {
    let output = import(&stage("DontSignMailTo x@y.test\n"), &[]);
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("Not supported:\n") && shown.contains("DontSignMailTo"), "{shown}");
}

#[test]
fn no_domain_file_names_a_key_that_cannot_be_used() {
    let stage = stage("");
    stage.write("junk", "no key\n");
    let of = |name: &str| stage.path(name).display().to_string();
    let keys = format!(
        "one sample.com:s1:/missing\ntwo sample.com:s1:{}\nthree sample.com:s2:{}\n",
        of("junk"),
        of("old.private")
    );
    stage.write("keys", &keys);
    stage.write("signing", "news@sample.com one\nx@sample.com two\n*@sample.com three\n");
    stage.write(
        "conf",
        &format!("KeyTable {}\nSigningTable refile:{}\n", of("keys"), of("signing")),
    );
    let said = import(&stage, &[]);
    assert_eq!(said.status.code(), Some(65), "{said:?}");
    let shown = String::from_utf8_lossy(&said.stdout).into_owned();
    for key in ["\"/missing\":".to_owned(), format!("in {}:", of("junk"))] {
        assert!(shown.contains(&format!("d=sample.com s=s1: key {key}")), "{shown}");
    }
    let file = fs::read_to_string(stage.path("new/domains/sample.com.toml")).unwrap();
    assert_eq!(file, "# Written by dkimctl import.\nselectors = [\"s2\"]\n");
}

#[test]
fn import_says_what_it_can_not_read() {
    let stage = Stage::new();
    assert_eq!(import(&stage, &[]).status.code(), Some(66));
    stage.write("conf", "Mode v\n");
    assert_eq!(import(&stage, &[]).status.code(), Some(65));
    assert_eq!(import(&stage, &["--server", "localhost"]).status.code(), Some(64));
}
