use std::fs;

use serde_json::Value;

use crate::support::{Sandbox, Stage, dkimctl, project, reported, result, stderr, stdout};

/// Keys of two domains: one in both types, one of RFC 6376, appendix C, without its record.
fn stage() -> Stage {
    let stage = Stage::new();
    for args in
        [&["-d", "b.test", "-s", "r"][..], &["-d", "b.test", "-s", "e", "--type", "ed25519"]]
    {
        stdout(&dkimctl(&stage, &[&["genkey"], args].concat()));
    }
    fs::create_dir(stage.path("new/keys/a.test")).unwrap();
    let old = project("tests/vectors/rfc6376-c.private");
    fs::copy(old, stage.path("new/keys/a.test/old.private")).unwrap();
    stage
}

fn record(stage: &Stage, args: &[&str]) -> String {
    stdout(&dkimctl(stage, &[&["record"], args].concat()))
}

fn json(stage: &Stage, args: &[&str]) -> Value {
    result(record(stage, args))
}

#[test]
fn plain_is_a_line_for_each_key() {
    let stage = stage();
    let text = record(&stage, &["--all", "--format", "plain"]);
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["old._domainkey.a.test", "e._domainkey.b.test", "r._domainkey.b.test"]);
    // Of a key without its record, the key speaks.
    let known = fs::read_to_string(project("tests/vectors/rfc6376-a2.txt")).unwrap();
    assert_eq!(lines[0].1.replace("k=rsa; ", ""), known.trim_end());
    assert!(lines[1].1.starts_with("v=DKIM1; k=ed25519; p="), "{text}");
    let one = record(&stage, &["b.test", "--selector", "e", "--format", "plain"]);
    assert_eq!(one, format!("{}\t{}\n", lines[1].0, lines[1].1));
}

#[test]
fn a_domain_whose_file_would_have_too_long_a_name_has_none() {
    let stage = stage();
    // 253 and 251 bytes: with `.toml`, more than the 255 of a file name.
    let domain = format!("{}.{}", ["x".repeat(63).as_str(); 3].join("."), "y".repeat(61));
    for domain in [domain.as_str(), domain.get(2..).unwrap()] {
        fs::rename(stage.path("new/keys/a.test"), stage.path("new/keys").join(domain)).unwrap();
        let text = record(&stage, &[domain, "--format", "plain"]);
        assert!(text.starts_with(&format!("old._domainkey.{domain}\t")), "{text}");
        fs::rename(stage.path("new/keys").join(domain), stage.path("new/keys/a.test")).unwrap();
    }
}

#[test]
fn a_key_of_1024_bits_is_used_and_warned_of() {
    let stage = stage();
    let output = dkimctl(&stage, &["record", "a.test", "--format", "plain"]);
    assert!(stdout(&output).contains("p=MIGf"), "{output:?}");
    let said = stderr(&output);
    assert!(said.contains("old.private has 1024 bits, which is weak"), "{said}");
}

#[test]
fn the_output_for_people_has_dmarc_and_mentions_adsp() {
    let stage = stage();
    let text = record(&stage, &["b.test"]);
    assert!(text.contains("\n_dmarc.b.test.\tIN\tTXT\t( \"v=DMARC1; p=none\" )\n"), "{text}");
    assert!(text.contains("RFC 5617"), "{text}");
    assert!(text.contains("\n  name   r._domainkey.b.test\n  value  v=DKIM1; k=rsa; p="), "{text}");
    // A script gets what it asks for.
    assert!(!record(&stage, &["b.test", "--format", "zone"]).contains("_dmarc"));
    let with = record(&stage, &["b.test", "--format", "plain", "--dmarc"]);
    assert!(with.ends_with("\n_dmarc.b.test\tv=DMARC1; p=none\n"), "{with}");
    // A zone has its records together.
    let all = record(&stage, &["--all", "--format", "plain", "--dmarc"]);
    let names: Vec<&str> = all.lines().filter_map(|line| line.split('.').next()).collect();
    assert_eq!(names, ["old", "_dmarc", "e", "r", "_dmarc"], "{all}");
}

#[test]
fn the_other_tags_of_a_record_are_kept() {
    let stage = Stage::new();
    let args = ["genkey", "-d", "x.test", "-s", "a", "-t", "-n", "a note", "-h", "sha256"];
    stdout(&dkimctl(&stage, &args));
    let text = record(&stage, &["x.test", "--format", "zone"]);
    let start = "a._domainkey.x.test.\tIN\tTXT\t( \
        \"v=DKIM1; n=\\\"a note\\\"; h=sha256; k=rsa; t=y; \"\n\t  \"p=";
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn a_record_that_is_not_that_of_the_key_is_refused_and_the_others_shown() {
    let stage = stage();
    fs::copy(stage.path("new/keys/b.test/r.txt"), stage.path("new/keys/a.test/old.txt")).unwrap();
    stage.write("new/keys/b.test/broken.txt", "v=DKIM1; k=rsa");
    let output = dkimctl(&stage, &["record", "--all", "--format", "plain"]);
    assert_eq!(output.status.code(), Some(65));
    let said = stderr(&output);
    assert!(said.contains("a.test/old.txt is not the record of its key"), "{said}");
    assert!(said.contains("b.test/broken.txt: p= is missing"), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
    let output = dkimctl(&stage, &["record", "a.test", "--format", "plain"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(65), 0), "{output:?}");
    let output = dkimctl(&stage, &["record", "--all", "--json"]);
    assert_eq!(output.status.code(), Some(65));
    let (records, findings) = reported(&output.stdout);
    assert_eq!((records["records"].as_array().unwrap().len(), findings.len()), (2, 2), "{records}");
}

#[test]
fn all_domains_include_those_that_share_keys() {
    let stage = stage();
    fs::rename(stage.path("new/keys/b.test"), stage.path("new/keys/pool")).unwrap();
    let file = "selectors = [\"r\"]\nkeys = \"pool\"\n";
    for domain in ["0.test", "x.test"] {
        stage.write(&format!("new/domains/{domain}.toml"), file);
    }
    let text = record(&stage, &["--all", "--format", "plain"]);
    let names: Vec<&str> = text.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, ["r._domainkey.0.test", "old._domainkey.a.test", "r._domainkey.x.test"]);
}

#[test]
fn only_the_directory_of_a_domain_has_records_of_its_own() {
    let stage = stage();
    let copy = |name: &str| {
        fs::create_dir(stage.path(&format!("new/keys/{name}"))).unwrap();
        let key = stage.path(&format!("new/keys/{name}/old.private"));
        fs::copy(stage.path("new/keys/a.test/old.private"), key).unwrap();
    };
    for name in ["default", "intranet", "pool", "B.test"] {
        copy(name);
    }
    for name in ["default", "intranet"] {
        stage.write(&format!("new/domains/{name}.toml"), "selectors = [\"old\"]\n");
    }
    let text = record(&stage, &["--all", "--format", "plain"]);
    let names: Vec<&str> = text.lines().filter_map(|line| line.split('\t').next()).collect();
    let domains = names.iter().filter_map(|name| name.split("._domainkey.").nth(1));
    assert_eq!(domains.collect::<Vec<_>>(), ["a.test", "b.test", "b.test", "intranet"], "{text}");
    // default.toml is for domains without a file of their own.
    let code = |domain: &str| dkimctl(&stage, &["record", domain]).status.code();
    stage.write("new/domains/own.test.toml", "selectors = [\"old\"]\n");
    assert_eq!([code("any.test"), code("own.test")], [Some(0), Some(66)]);
    fs::remove_file(stage.path("new/domains/default.toml")).unwrap();
    assert_eq!(code("any.test"), Some(66));
}

#[test]
fn a_domain_file_says_whose_keys_sign() {
    let stage = stage();
    stage.write("new/domains/sub.b.test.toml", "domain = \"b.test\"\nselectors = [\"r\"]\n");
    let own = record(&stage, &["b.test", "--format", "plain"]);
    assert_eq!(record(&stage, &["sub.b.test", "--format", "plain"]), own);
    // default.toml signs by the domain in From, with the keys in its folder.
    fs::rename(stage.path("new/keys/a.test"), stage.path("new/keys/default")).unwrap();
    stage.write("new/domains/default.toml", "selectors = [\"old\"]\n");
    let text = record(&stage, &["any.test", "--format", "plain"]);
    assert!(text.starts_with("old._domainkey.any.test\tv=DKIM1; "), "{text}");
}

#[test]
fn what_is_not_there_or_not_said_has_its_exit_code() {
    let stage = stage();
    for (args, code) in [
        (&["nowhere.test"][..], 66),
        (&["b.test", "--selector", "none"], 66),
        (&[], 64),
        (&["--all", "b.test"], 64),
        (&["--merge"], 64),
        (&["b.test", "--format", "tinydns"], 64),
        (&["../b.test"], 64),
        (&["b.test", "--json", "--ttl", "60"], 64),
        (&["b.test", "--json", "--format", "zone"], 64),
        (&["--merge", "/nowhere"], 66),
        (&["--merge", "/dev/null"], 66),
    ] {
        let output = dkimctl(&stage, &[&["record"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    }
}

#[test]
fn hosts_with_a_selector_each_merge_into_one_change() {
    let (one, other) = (stage(), Stage::new());
    stdout(&dkimctl(&other, &["genkey", "-d", "b.test", "-s", "s", "-b", "1024"]));
    one.write("one.json", &record(&one, &["--all", "--json"]));
    one.write("other.json", &record(&other, &["--all", "--json"]));
    let files = ["one.json", "other.json"].map(|name| one.path(name).display().to_string());
    let merge = ["--merge", &files[0], &files[1], &files[0], "--format", "plain"];
    let text = record(&one, &merge);
    let names: Vec<&str> = text.lines().filter_map(|line| line.split('.').next()).collect();
    assert_eq!(names, ["old", "e", "r", "s"]);
    let own = record(&one, &["--all", "--format", "plain"]);
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("s.")).collect();
    assert_eq!(kept, own.lines().collect::<Vec<_>>());
    let own = record(&one, &["--merge", &files[1], "--selector", "s", "--format", "plain"]);
    assert!(own.starts_with("s._domainkey.b.test\t") && own.lines().count() == 1, "{own}");
    // The same from stdin, as JSON again.
    let merged = json(&one, &["--merge", &files[0], &files[1], "--json"]);
    assert_eq!(merged["records"].as_array().unwrap().len(), 4);
    assert_eq!(merged["dmarc"].as_array().unwrap().len(), 2);
}

#[test]
fn one_selector_with_two_keys_does_not_merge() {
    let (one, other) = (Stage::new(), Stage::new());
    for stage in [&one, &other] {
        stdout(&dkimctl(stage, &["genkey", "-d", "x.test", "-s", "same", "-b", "1024"]));
        stage.write("all.json", &record(stage, &["--all", "--json"]));
    }
    let files = [&one, &other].map(|stage| stage.path("all.json").display().to_string());
    let output = dkimctl(&one, &["record", "--merge", &files[0], &files[1]]);
    assert_eq!(output.status.code(), Some(65));
    let said = stderr(&output);
    assert!(said.contains("each host needs a selector of its own"), "{said}");
}

#[test]
fn a_file_to_merge_adds_nothing_but_key_records() {
    let stage = stage();
    let all = record(&stage, &["b.test", "--json"]);
    for (from, to) in [
        ("r._domainkey.b.test", "www.b.test"),
        ("\"selector\": \"r\"", "\"selector\": \"x\""),
        ("\"domain\": \"b.test\"", "\"domain\": \"B.test\""),
        ("k=rsa; p=", "k=rsa\\n; p="),
        ("v=DKIM1; k=rsa; p=", "v=spf1 p="),
    ] {
        assert!(all.contains(from), "{from}: {all}");
        stage.write("all.json", &all.replace(from, to));
        let file = stage.path("all.json").display().to_string();
        let output = dkimctl(&stage, &["record", "--merge", &file]);
        assert_eq!(output.status.code(), Some(65), "{to}: {output:?}");
    }
}

/// A sandbox with keys of two domains, one of them revoked, in a folder of its own.
fn sandbox_with(test: &str, folder: &str) -> &'static Sandbox {
    let sandbox = Sandbox::for_test(test);
    sandbox.root(&format!(
        "export SENDMAIL_DKIM_ETC=/tmp/{folder}; cd /tmp
         for selector in s1 s2; do dkimctl genkey -d one.example -s $selector; done
         dkimctl genkey -d one.example -s ed --type ed25519 -n 'a note'
         dkimctl genkey -d two.example -s s1 -b 4096
         cd {folder}/keys/two.example && echo 'v=DKIM1; p=' >gone.txt"
    ));
    sandbox
}

#[test]
#[ignore = "needs root"]
fn two_servers_accept_the_zone() {
    let sandbox = sandbox_with("record", "zones");
    let script = "cd /tmp; export SENDMAIL_DKIM_ETC=/tmp/zones
for domain in one.example two.example; do
    for ttl in '' '--ttl 60'; do
        printf '$ORIGIN %s.\\n$TTL 1\\n@ IN SOA ns root 1 1 1 1 1\\n@ IN NS ns.invalid.\\n' $domain >zone
        dkimctl record $domain --format zone --dmarc $ttl >>zone
        named-checkzone $domain zone; nsd-checkzone $domain zone; named-compilezone -q -o out $domain zone
        grep -c TXT out
    done
done";
    let shown = sandbox.root(script);
    assert_eq!(shown.matches("OK\n").count(), 4, "{shown}");
    assert_eq!(shown.matches(" is ok\n").count(), 4, "{shown}");
    let counts: Vec<&str> = shown.lines().filter(|line| line.len() == 1).collect();
    assert_eq!(counts, ["4", "4", "3", "3"]);
}

#[test]
#[ignore = "needs root"]
fn a_whole_zone_file_has_what_opendkim_genzone_writes() {
    let sandbox = sandbox_with("record", "genzone");
    // Both through the same reader of zone files: names, and tags without the spaces between them.
    let script = "cd /tmp; export SENDMAIL_DKIM_ETC=/tmp/genzone
rm genzone/keys/two.example/gone.txt genzone/keys/one.example/ed.*
for key in one.example/s1 one.example/s2 two.example/s1; do
    echo \"${key#*/}._domainkey.${key%/*} ${key%/*}:${key#*/}:/tmp/genzone/keys/$key.private\"
done >KeyTable
for domain in one.example two.example; do
    opendkim-genzone -D -F -d $domain file:/tmp/KeyTable 2>/dev/null
done >theirs
dkimctl record --all --format zone >ours
python3 - ours theirs <<'PY'
import sys, dns.zone
head = '$ORIGIN example.\\n$TTL 1\\n@ SOA . . 1 1 1 1 1\\n@ NS .\\n'
for name in sys.argv[1:]:
    zone = dns.zone.from_text(head + open(name).read(), 'example.', relativize=False)
    for owner, rdata in sorted((str(o), r) for o, _, r in zone.iterate_rdatas('TXT')):
        print(name, owner, b''.join(rdata.strings).replace(b' ', b'').decode())
PY";
    let shown = sandbox.root(script);
    let of = |whose: &str| -> Vec<String> {
        shown.lines().filter_map(|line| Some(line.strip_prefix(whose)?.to_owned())).collect()
    };
    assert_eq!(of("ours ").len(), 3, "{shown}");
    assert_eq!(of("ours "), of("theirs "));
}

#[test]
#[ignore = "needs root"]
fn a_dns_server_accepts_the_updates_repeatedly() {
    let sandbox = sandbox_with("record", "updates");
    let script = "mkdir -p /tmp/knot/run && cd /tmp/knot; export SENDMAIL_DKIM_ETC=/tmp/updates
for domain in one two; do
    printf '$ORIGIN %s.example.\\n$TTL 1\\n@ SOA ns root 1 1 1 1 1\\n@ NS ns\\nns A 127.0.0.1\\n' $domain >$domain.example.zone
done
cat >knot.conf <<'CONF'
server:
    rundir: /tmp/knot/run
    listen: 127.0.0.1@5353
    user: root
database:
    storage: /tmp/knot/run
acl:
  - id: local
    address: 127.0.0.1
    action: update
template:
  - id: default
    storage: /tmp/knot
    acl: local
zone:
  - domain: one.example
  - domain: two.example
CONF
knotd -c knot.conf -d >/dev/null
for once in 1 2; do
    { echo server 127.0.0.1 5353; dkimctl record --all --format nsupdate; } | nsupdate
done
dkimctl record --all --format plain | while IFS='\t' read -r name value; do
    found=$(dig +short +tcp @127.0.0.1 -p 5353 TXT $name | sed 's/\" \"//g; s/^\"//; s/\"$//; s/\\\\//g')
    [ \"$found\" = \"$value\" ] && echo same || printf '%s\\n' \"$name\" \"$value\" \"$found\"
done
knotc -c knot.conf stop >/dev/null";
    let shown = sandbox.root(&script.replace("IFS='\\t'", "IFS=\"$(printf '\\t')\""));
    assert_eq!(shown, "same\n".repeat(5));
}

#[test]
#[ignore = "needs root"]
fn json_and_yaml_hold_the_values_as_the_services_read_them() {
    let sandbox = sandbox_with("record", "services");
    let script = "export SENDMAIL_DKIM_ETC=/tmp/services; cd /tmp
for format in plain route53 cloudflare octodns; do dkimctl record --all --format $format >$format; done
python3 - <<'PY'
import json, re, yaml, dns.rdata
def strings(text):
    found = dns.rdata.from_text('IN', 'TXT', text).strings
    assert max(map(len, found)) <= 255
    return b''.join(found).decode()
plain = dict(line.rstrip('\\n').split('\\t') for line in open('plain'))
assert len(plain) == 5
changes = json.load(open('route53'))['Changes']
sets = [change['ResourceRecordSet'] for change in changes]
assert {change['Action'] for change in changes} == {'UPSERT'}
assert {one['Type'] for one in sets} == {'TXT'} and {one['TTL'] for one in sets} == {3600}
assert all(len(one['ResourceRecords'][0]['Value']) <= 4000 for one in sets)
assert {one['Name'].rstrip('.'): strings(one['ResourceRecords'][0]['Value']) for one in sets} == plain
posts = json.load(open('cloudflare'))['posts']
assert {post['type'] for post in posts} == {'TXT'} and {post['ttl'] for post in posts} == {1}
assert {post['name']: strings(post['content']) for post in posts} == plain
zones = open('octodns').read()
names = re.findall(r'^# (.*)\\.yaml$', zones, re.M)
found = {}
for name, zone in zip(names, yaml.safe_load_all(zones)):
    assert list(zone) == sorted(zone)
    for owner, record in zone.items():
        assert record['type'] == 'TXT' and not re.search(r'(?<!\\\\);', record['value'])
        found[f'{owner}.{name}'] = record['value'].replace('\\\\;', ';')
assert found == plain, found
print('all the same')
PY";
    assert_eq!(sandbox.root(script), "all the same\n");
}

#[test]
#[ignore = "needs root"]
fn a_user_who_may_not_read_a_key_gets_its_record() {
    let sandbox = Sandbox::own("record");
    sandbox.key("open.test", "s1");
    let shown = sandbox.root("dkimctl record open.test --format plain");
    let keys = "/etc/sendmail-dkim/keys";
    sandbox.root(&format!("chmod 755 {keys} {keys}/open.test"));
    let command = "dkimctl record open.test --format plain";
    assert_eq!(stdout(&sandbox.sh("alice", command, b"")), shown);
    // Without a record, only the key could tell.
    sandbox.root(&format!("rm {keys}/open.test/s1.txt"));
    let output = sandbox.sh("alice", command, b"");
    assert!(stderr(&output).contains("s1.private"), "{output:?}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(77), 0), "{output:?}");
}
