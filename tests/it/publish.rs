use serde_json::{Value, json};

use crate::support::{Sandbox, project};

const NAME: &str = "s2._domainkey.mail.sample.com";

/// A value of two strings: RSA of 2048 bits.
fn value() -> String {
    format!("v=DKIM1; k=rsa; p={}", "A".repeat(392))
}

/// A sandbox with the programs of docs/hooks, and the stand-ins of the services.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::own("publish");
    for (from, to, mode) in [
        ("docs/hooks/cloudflare", "/opt/cloudflare", "755"),
        ("docs/hooks/route53", "/opt/route53", "755"),
        ("docs/hooks/octodns", "/opt/octodns", "755"),
        ("tests/it/sandbox/cloudflare.py", "/opt/cloudflare.py", "755"),
        ("tests/it/sandbox/aws.py", "/usr/bin/aws", "755"),
    ] {
        sandbox.write(to, &std::fs::read_to_string(project(from)).unwrap());
        sandbox.root(&format!("chmod {mode} {to}"));
    }
    sandbox
}

/// Calls a program as `rotate` does: what it wrote to standard error, and its exit code.
fn change(sandbox: &Sandbox, command: &str, action: &str, value: &str) -> String {
    let change = json!({ "version": 1, "action": action, "domain": "mail.sample.com", "selector": "s2",
        "name": NAME, "type": "TXT", "value": value });
    sandbox.write("/tmp/change", &change.to_string());
    sandbox.root(&format!("{command} </tmp/change 2>&1; echo $?"))
}

/// Set, set to another value, twice; removed, twice. `content` is what the service has for the name.
fn whole_life(sandbox: &Sandbox, command: &str, content: impl Fn() -> Vec<String>) {
    let value = value();
    let quoted = |value: &str| {
        let strings: Vec<String> = value
            .as_bytes()
            .chunks(255)
            .map(|part| format!("\"{}\"", String::from_utf8_lossy(part)))
            .collect();
        vec![strings.join(" ")]
    };
    for (action, value, expected) in [
        ("set", value.as_str(), quoted(&value)),
        ("set", "v=DKIM1; n=\"x\\; p=", vec!["\"v=DKIM1; n=\\\"x\\\\; p=\"".to_owned()]),
        ("set", "v=DKIM1; p=", quoted("v=DKIM1; p=")),
        ("set", "v=DKIM1; p=", quoted("v=DKIM1; p=")),
        ("remove", "v=DKIM1; p=", Vec::new()),
        ("remove", "v=DKIM1; p=", Vec::new()),
    ] {
        assert_eq!(change(sandbox, command, action, value), "0\n", "{command} {action} {value}");
        assert_eq!(content(), expected, "{command} {action} {value}");
    }
}

#[test]
#[ignore = "needs root"]
fn the_program_for_cloudflare_sets_and_removes_records() {
    let sandbox = sandbox();
    sandbox.root(
        "echo secret >/tmp/token; /opt/cloudflare.py 8053 /tmp/cloudflare.json >/dev/null 2>&1 &
         connect='import socket; socket.create_connection((\"127.0.0.1\", 8053))'
         while ! python3 -c \"$connect\" 2>/dev/null; do sleep 0.1; done",
    );
    let command = "CLOUDFLARE_API=http://127.0.0.1:8053 /opt/cloudflare /tmp/token";
    let records = || -> Vec<Value> {
        serde_json::from_str(&sandbox.root("cat /tmp/cloudflare.json")).unwrap()
    };
    whole_life(&sandbox, command, || {
        let named = records().into_iter().filter(|one| one["name"] == NAME);
        named.map(|one| one["content"].as_str().unwrap().to_owned()).collect()
    });
    // The other record of the zone is still there.
    assert_eq!(records().len(), 1);
    // Three records of the name become one; that of another type of use stays.
    sandbox.root("cat >/tmp/more.py <<'PY'
import json, urllib.request
for content in ('\"a\"', '\"b\"', '\"c\"'):
    body = json.dumps({'type': 'TXT', 'name': 's2._domainkey.mail.sample.com', 'content': content, 'ttl': 1}).encode()
    url = 'http://127.0.0.1:8053/zones/z1/dns_records'
    urllib.request.urlopen(urllib.request.Request(url, body, {'Authorization': 'Bearer secret'}, method='POST'))
PY
python3 /tmp/more.py");
    assert_eq!(
        (records().len(), change(&sandbox, command, "set", "v=DKIM1; p=").as_str()),
        (4, "0\n")
    );
    assert_eq!(records().len(), 2);
    // Temporary failures are retried; others are reported in one line, with any answer of the service.
    let with = |codes: &str| {
        sandbox.root(&format!("echo '{codes}' >/tmp/cloudflare.wanted"));
        let said = change(&sandbox, command, "remove", "v=DKIM1; p=");
        sandbox.root("rm -f /tmp/cloudflare.wanted");
        said
    };
    assert_eq!(with("429 503 200"), "0\n");
    for (codes, expected) in
        [("500 500 500", "500 {\"success\": false"), ("200 200 403", "403 {"), ("0", "timed out")]
    {
        let said = with(codes);
        assert!(
            said.contains(expected) && said.ends_with("\n1\n") && said.lines().count() == 2,
            "{codes}: {said}"
        );
    }
    let said = change(
        &sandbox,
        "CLOUDFLARE_API=http://127.0.0.1:1 /opt/cloudflare /tmp/token",
        "set",
        "x",
    );
    assert!(said.contains("refused") && said.ends_with("\n1\n"), "{said}");
    sandbox.root("echo wrong >/tmp/token");
    let refused = change(&sandbox, command, "set", &value());
    assert!(refused.contains("403") && refused.ends_with("\n1\n"), "{refused}");
    let missing = change(&sandbox, "/opt/cloudflare /none", "set", "x");
    assert!(
        missing.contains("the file of the API token") && missing.ends_with("\n1\n"),
        "{missing}"
    );
}

#[test]
#[ignore = "needs root"]
fn the_program_for_route_53_sets_and_removes_records() {
    let sandbox = sandbox();
    sandbox.write(
        "/tmp/aws.json",
        r#"[{"Name": "z.sample.com.", "Type": "TXT", "TTL": 1, "ResourceRecords": []}]"#,
    );
    let records =
        || -> Vec<Value> { serde_json::from_str(&sandbox.root("cat /tmp/aws.json")).unwrap() };
    whole_life(&sandbox, "/opt/route53", || {
        let named = records().into_iter().filter(|one| one["Name"] == format!("{NAME}."));
        named.map(|one| one["ResourceRecords"][0]["Value"].as_str().unwrap().to_owned()).collect()
    });
    assert_eq!(records().len(), 1);
    for (done, expected) in [
        ("echo 'AccessDenied: no' >/tmp/aws.fails", "AccessDenied: no"),
        (
            "rm /tmp/aws.fails; sed -i 's/\"sample.com/\"other.com/' /usr/bin/aws",
            "no hosted zone is for s2._domainkey.mail.sample.com",
        ),
        ("rm /usr/bin/aws", "aws list-hosted-zones-by-name: "),
    ] {
        sandbox.root(done);
        let said = change(&sandbox, "/opt/route53", "set", "x");
        assert!(said.contains(expected) && said.ends_with("\n1\n"), "{done}: {said}");
    }
}

#[test]
#[ignore = "needs root"]
fn the_program_for_octodns_sets_and_removes_records() {
    let sandbox = sandbox();
    sandbox.root(
        "mkdir /tmp/zones; echo 'www: {type: A, value: 192.0.2.1}' >/tmp/zones/sample.com.yaml
         printf '#!/bin/sh\\necho \"$*\" >/tmp/synced\\n' >/usr/bin/octodns-sync; chmod 755 /usr/bin/octodns-sync",
    );
    let command = "/opt/octodns /etc/octodns.yaml /tmp/zones";
    let read = "python3 -c 'import json, yaml; print(json.dumps(yaml.safe_load(open(\"/tmp/zones/sample.com.yaml\"))))'";
    let records = || -> Value { serde_json::from_str(&sandbox.root(read)).unwrap() };
    let name = "s2._domainkey.mail";
    for (action, expected) in [
        ("set", Some(value().replace(';', "\\;"))),
        ("set", Some(value().replace(';', "\\;"))),
        ("remove", None),
        ("remove", None),
    ] {
        assert_eq!(change(&sandbox, command, action, &value()), "0\n");
        assert_eq!(records()[name]["value"].as_str().map(str::to_owned), expected, "{action}");
        assert_eq!(
            sandbox.root("cat /tmp/synced"),
            "--config-file=/etc/octodns.yaml --doit sample.com.\n"
        );
    }
    // What is no TXT record stays.
    sandbox
        .root(&format!("echo '{name}: {{type: CNAME, value: x.}}' >>/tmp/zones/sample.com.yaml"));
    change(&sandbox, command, "set", &value());
    assert_eq!(records()[name].as_array().unwrap().len(), 2);
    assert_eq!(records()["www"]["value"], "192.0.2.1");
    // Several at once, as dkimctl calls it: no change is lost.
    sandbox.root("sed -i 's/^/sleep 0.1; /' /usr/bin/octodns-sync; sed -i '1s/.*/#!\\/bin\\/sh/' /usr/bin/octodns-sync
         for one in 1 2 3 4 5 6; do
             sed \"s/s2\\./k$one./g\" /tmp/change | /opt/octodns /etc/octodns.yaml /tmp/zones &
         done; wait");
    let names = records().as_object().unwrap().keys().filter(|name| name.starts_with('k')).count();
    assert_eq!(names, 6);
    // A failure of octoDNS is one of ours, and a zone without a file is named.
    sandbox.root("printf '#!/bin/sh\\necho broken >&2; exit 7\\n' >/usr/bin/octodns-sync");
    assert_eq!(change(&sandbox, command, "set", "x"), "broken\n7\n");
    sandbox.root("rm /tmp/zones/sample.com.yaml");
    let said = change(&sandbox, command, "set", "x");
    assert!(said.contains("no zone file for") && said.ends_with("\n1\n"), "{said}");
}
