//! A property of the pure part, on messages made from the cases of `tests/data/mail` by chance: what comes
//! out has nothing left for Postfix or a hop to change. A model by lines, which shares no code with what it
//! judges, looks at all of them, and a real Postfix at some: what it delivers must be what it was given, and say what it delivers
//! of the message as it was submitted.

mod model;

use std::collections::BTreeSet;
use std::fs;

use model::{Sent, changed_on_the_way, sent};
use serde_json::Value;

use crate::support::{Received, Sandbox, project, sample};

/// A generator of numbers that gives the same each time (Marsaglia's xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }

    fn change(&mut self, message: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(message.len() + 1);
        match self.below(6) {
            0 => {
                const ODD: &[u8] = b"\r\n\0 \t:;<>\"()@,.=-\\%![]\xc3\xbc\xff";
                let byte = ODD[self.below(ODD.len())];
                message.insert(at, byte);
            }
            1 => {
                let to = (at + self.below(30)).min(message.len());
                message.drain(at..to);
            }
            2 => {
                let length = [1, 990, 991, 2048, 2049][self.below(5)];
                let letter = [b'x', b' ', 0xe9][self.below(3)];
                message.splice(at..at, vec![letter; length]);
            }
            3 => {
                const TEXTS: [&[u8]; 11] = [
                    b"\n\n",
                    b"\nFrom x\n",
                    b"\n.\n",
                    b"\n--b\n",
                    b"\nContent-Type: multipart/mixed; boundary=b\n",
                    b"\nContent-Type: message/rfc822\n",
                    b"\nContent-Type: multipart/mixed; boundary=----=_b\n",
                    b"\n------=_b\n",
                    b"\n------ x\nA : b\n",
                    b"\nTo: a, \"b\"@c., <@d:e@f>\n",
                    b"\nSubject: \xc3\xbc\xc3\xbc =?utf-8?Q?x?=\n",
                ];
                let text = TEXTS[self.below(TEXTS.len())];
                message.splice(at..at, text.iter().copied());
            }
            4 => {
                let from = self.below(other.len());
                let to = (from + self.below(200)).min(other.len());
                message.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                if let Some(byte) = message.get_mut(at) {
                    *byte = u8::try_from(self.below(256)).unwrap();
                }
            }
        }
    }
}

/// The message of each round, so many of them.
fn inputs(rounds: usize) -> impl Iterator<Item = Vec<u8>> {
    let entries = fs::read_dir(project("tests/data/mail")).unwrap();
    let mut inputs: Vec<_> =
        entries.filter_map(|entry| fs::read(entry.unwrap().path().join("input")).ok()).collect();
    inputs.sort();
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    (0..rounds).map(move |_| {
        let mut input = inputs[chance.below(inputs.len())].clone();
        for _ in 0..chance.below(8) {
            let other = inputs[chance.below(inputs.len())].clone();
            chance.change(&mut input, &other);
        }
        input
    })
}

#[test]
fn nothing_is_left_to_change_on_the_way() {
    let mut judged = 0;
    for (round, input) in inputs(6_000).enumerate() {
        let Some(one) = sent(&input) else { continue };
        judged += 1;
        let shown = || {
            let [input, text] = [&input, &one.text()].map(|text| text.escape_ascii().to_string());
            format!("{input}\n-> {text}")
        };
        let change = changed_on_the_way(&one);
        assert_eq!(change, None, "round {round}: {}", shown());
        // Done again, it changes nothing.
        if let Some(again) = one.again() {
            assert!(again.text() == one.text(), "round {round}: {}", shown());
        }
    }
    assert!(judged > 2_500, "{judged}");
}

/// How many rounds a real Postfix looks at: others for each commit. SETTLED in the environment says how many.
const SOME: usize = 150;

/// Of how many rounds these are taken.
const ALL: usize = 3_000;

/// The two peers: with 8BITMIME and SMTPUTF8, and without.
const PEERS: [&str; 2] = ["sink.test", "7bit.test"];

/// Where the messages are, in the sandbox.
const FOLDER: &str = "/tmp/settled";

/// The message of a round, as it was submitted.
fn submitted(round: usize) -> String {
    format!("{FOLDER}/{round}.plain")
}

/// What a real Postfix made of one message, for one peer.
struct Delivered {
    round: usize,
    sent: Sent,
    /// Whether Python and Postfix see the same in it: not where a header inside is broken, a name is broken in two, text
    /// follows a boundary, or quoted-printable text is not quoted-printable.
    is_plain: bool,
    /// Of the message as it was submitted.
    plain: Received,
    /// Of what the wrapper would send.
    ours: Received,
}

/// Submits all, and gives those that Postfix takes without the wrapper.
fn deliver(sandbox: &Sandbox, rounds: &[(usize, Vec<u8>)]) -> Vec<Delivered> {
    // A connection that is kept open is not asked whether it has SMTPUTF8.
    sandbox.root(&format!("mkdir {FOLDER}; postconf -e smtp_connection_cache_on_demand=no"));
    let submit = r#"sendmail.postfix -i -f x@y.test "$2" <"$1" 2>/dev/null || true"#;
    let script = format!("xargs -P 4 -n 2 sh -c '{submit}' x");
    // What is compared with is not broken into lines.
    for (name, setting) in
        [("plain", "-e smtp_line_length_limit=0"), ("ours", "-X smtp_line_length_limit")]
    {
        sandbox.root(&format!("postconf {setting}; postfix reload 2>/dev/null"));
        let mut list = String::new();
        for (round, input) in rounds {
            let Some(one) = sent(input) else { continue };
            let (file, text) = match name {
                "plain" => (submitted(*round), input.clone()),
                _ => (format!("{FOLDER}/{round}"), one.text()),
            };
            fs::write(sandbox.path(&file), text).unwrap();
            for peer in PEERS {
                list.push_str(&format!("{file} r{round}.{name}@{peer}\n"));
            }
        }
        assert!(sandbox.sh("www-data", &script, list.as_bytes()).status.success());
        wait_for_the_queue(sandbox);
    }
    let mut delivered = Vec::new();
    for (round, input) in rounds {
        for peer in PEERS {
            let arrived = |name: &str| {
                let mut arrived = sandbox.arrived(&format!("r{round}.{name}@{peer}"));
                assert!(arrived.len() < 2, "{round}");
                arrived.pop()
            };
            // Postfix bounces what needs SMTPUTF8 where the peer has it not.
            let (Some(sent), Some(plain)) = (sent(input), arrived("plain")) else { continue };
            let ours = arrived("ours").unwrap_or_else(|| {
                let text = sent.text().escape_ascii().to_string();
                panic!("round {round}: {peer} gets it without the wrapper alone: {text}")
            });
            let text = String::from_utf8_lossy(input).to_lowercase();
            let header = text.split("\n\n").next().unwrap();
            let is_plain = header.is_ascii()
                && header.matches("content-type").count() < 2
                && ["message/", "base64", "\n\n "].iter().all(|odd| !text.contains(odd))
                && text.lines().all(|line| line.len() < 900 || !line.contains(':'))
                && text.lines().all(|line| !line.starts_with("--") || !line.contains(' '))
                && !input.windows(2).any(|pair| pair[0] == b'=' && !pair[1].is_ascii())
                && header.lines().all(|line| line.len() < 900);
            delivered.push(Delivered { round: *round, sent, is_plain, plain, ours });
        }
    }
    delivered
}

/// Until nothing was in the queue for several looks: between two folders a message is in neither.
fn wait_for_the_queue(sandbox: &Sandbox) {
    let output = sandbox.root(
        "cd /var/spool/postfix; quiet=0
         for try in $(seq 600); do
             if find maildrop incoming active -type f 2>/dev/null | grep -q .; then quiet=0
             else quiet=$((quiet + 1)); fi
             [ $quiet -lt 5 ] || { echo empty; break; }
             sleep 0.1
         done",
    );
    assert_eq!(output, "empty\n", "the queue does not empty");
}

/// The fields without Received, and the body; of the fields, those of the names given are left out.
fn parts(bytes: &[u8], without: &BTreeSet<String>) -> (Vec<String>, Vec<u8>) {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let (header, body) = text.split_once("\r\n\r\n").unwrap_or((text.trim_end(), ""));
    let mut fields: Vec<String> = Vec::new();
    for line in header.split("\r\n") {
        match fields.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => *field += &format!("\r\n{line}"),
            _ => fields.push(line.to_owned()),
        }
    }
    fields.retain(|field| {
        // A name may be so long that it is broken.
        let name = field.split(':').next().unwrap_or_default().replace("\r\n ", "").to_lowercase();
        // What Postfix adds, and what it drops; none of it is ever signed.
        let hops = ["received", "bcc", "content-length", "return-path"];
        !hops.contains(&name.as_str()) && !without.contains(&name)
    });
    let body = body.chars().filter_map(|char| u8::try_from(char).ok()).collect();
    (fields, body)
}

#[test]
#[ignore = "needs root"]
fn a_real_postfix_changes_nothing_in_what_is_sent() {
    let sandbox = Sandbox::own("settled");
    let some = std::env::var("SETTLED").map_or(SOME, |some| some.parse().unwrap());
    let stride = ALL / some;
    let rounds = inputs(ALL).enumerate().skip(sample(stride)).step_by(stride);
    // Mail that is sent again is not signed unless that is asked for; Postfix adds who sends it and when.
    let is_resent =
        |input: &[u8]| String::from_utf8_lossy(input).to_lowercase().contains("resent-");
    let rounds = rounds.filter(|(_, input)| !is_resent(input));
    let delivered = deliver(&sandbox, &rounds.collect::<Vec<_>>());
    assert!(delivered.len() * 3 > some, "of {some} Postfix takes {} / 2", delivered.len());
    let says = |messages: Vec<&Received>| -> Vec<Value> {
        sandbox.lines_about("/opt/sandbox/content.py", &messages)
    };
    let plain = says(delivered.iter().map(|one| &one.plain).collect());
    let ours = says(delivered.iter().map(|one| &one.ours).collect());
    let files: Vec<_> = delivered.iter().map(|one| submitted(one.round)).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let as_submitted = sandbox.lines_about_files("/opt/sandbox/content.py", &files);
    let mut changed = Vec::new();
    let both = plain.into_iter().zip(as_submitted);
    for ((one, ours), (plain, as_submitted)) in delivered.iter().zip(ours).zip(both) {
        let sent = one.sent.text();
        let lines = sent.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(b"\r\n".as_slice());
        let [given, got] = [&lines, &one.ours.bytes].map(|bytes| parts(bytes, &one.sent.unstable));
        if given != got {
            changed.push(format!("round {}: {given:?}\narrived as {got:?}", one.round));
        }
        // Postfix alone may damage a part: it encodes 8-bit text whose label is broken, and no reader decodes that.
        let is_whole = [&plain["parts"], &as_submitted["parts"]].contains(&&ours["parts"]);
        if one.is_plain && !is_whole {
            let (ours, plain) = (&ours["parts"], &plain["parts"]);
            let texts = [&one.ours, &one.plain].map(|one| one.bytes.escape_ascii().to_string());
            changed.push(texts.join("\n"));
            changed.push(format!("round {}: {ours}\nwithout the wrapper: {plain}", one.round));
        }
    }
    assert!(changed.is_empty(), "{} {}", changed.len(), changed.join("\n"));
}
