//! A property of the pure part, on messages made from the cases of `tests/data` by chance: what comes
//! out has nothing left for Postfix or a hop to change. The model below is written for itself: it goes
//! by lines and shares no code with what it judges, the look at addresses aside.

use sendmail_dkim::argv::LoneDot;
use sendmail_dkim::dkim::{Domain, Header};
use sendmail_dkim::message::address::{Completion, Phrases, Settled, settle};
use sendmail_dkim::message::date::DateTime;
use sendmail_dkim::message::reader::{Reader, Step};
use sendmail_dkim::message::seven_bit::{Rewrite, Survey};
use sendmail_dkim::message::{body, complete};

use crate::support::project;

/// What is sent of a message, and the names that are not signed; `None` where the wrapper would send it
/// as submitted, or has left a part alone.
fn sent(input: &[u8]) -> Option<(Header, Vec<u8>, Vec<String>)> {
    let completion = Completion { origin: Domain::parse("origin.example").ok(), dot_domain: None };
    let mut reader = Reader::new(LoneDot::IsText);
    let mut text = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let (taken, step) = reader.feed(rest, &mut text);
        if step == Step::HeaderTooLarge {
            return None;
        }
        rest = &rest[taken..];
    }
    reader.finish(&mut text);
    body::settle(&mut text);
    let mut header = complete::fields(reader.header())?;
    complete::complete_from(&mut header, &complete::Submitter::default(), &completion);
    let domain = Domain::parse("sample.com").unwrap();
    let now = DateTime { seconds: 1_700_000_000, offset: 0 };
    let unstable = complete::complete(&mut header, &completion, now, "1", &domain);
    let mut survey = Survey::new(&header.octets(), false);
    survey.feed(&text);
    let changes = survey.finish();
    if changes.leaves_risk || header.count("DKIM-Signature") + header.count("ARC-Seal") > 0 {
        return None;
    }
    if let Some((encoding, charset)) = changes.of_header() {
        complete::label(&mut header, encoding, charset);
    }
    if !changes.keep_body() {
        let mut rewrite = Rewrite::new(&changes);
        let mut out = Vec::new();
        rewrite.feed(&text, &mut out);
        rewrite.finish(&mut out);
        text = out;
    }
    Some((header, text, unstable.iter().map(|name| name.as_str().to_lowercase()).collect()))
}

/// What Postfix, or a hop without 8BITMIME, would change in what was sent.
fn changed_on_the_way(header: &Header, body: &[u8], unstable: &[String]) -> Option<String> {
    for field in header.fields() {
        let name = String::from_utf8_lossy(field.name()).to_lowercase();
        if unstable.contains(&name) {
            continue;
        }
        let octets = field.octets();
        if octets.contains(&0) || octets.contains(&b'\r') {
            return Some(format!("NUL or CR in {name}"));
        }
        if octets.split(|octet| *octet == b'\n').any(|line| line.len() > 990) {
            return Some(format!("long line in {name}"));
        }
        if octets.get(field.name().len()) != Some(&b':') {
            return Some(format!("blank before the colon of {name}"));
        }
        let address = ["from", "to", "cc", "reply-to", "sender"].contains(&name.as_str());
        let completion =
            Completion { origin: Domain::parse("origin.example").ok(), dot_domain: None };
        if address && settle(field.value(), &completion, Phrases::Keep) != Settled::AsIs {
            return Some(format!("address in {name}"));
        }
        if name == "content-transfer-encoding" {
            let value = String::from_utf8_lossy(field.value()).to_lowercase();
            if ["8bit", "binary"].contains(&value.trim()) {
                return Some("label of the message".into());
            }
        }
    }
    for name in ["From", "Date", "Message-ID"] {
        let resent = header
            .fields()
            .iter()
            .any(|field| field.name().to_ascii_lowercase().starts_with(b"resent-"));
        if header.count(name) == 0 && !resent && name != "From" {
            return Some(format!("no {name}"));
        }
    }
    changed_in_body(header, body)
}

/// The same for the body.
fn changed_in_body(header: &Header, body: &[u8]) -> Option<String> {
    // In the header of a part: behind a boundary (all cases have the same), before an empty line.
    let is_multipart = header
        .named("Content-Type")
        .any(|field| field.value().trim_ascii().to_ascii_lowercase().starts_with(b"multipart/"));
    let mut in_header = false;
    for line in body.split(|octet| *octet == b'\n') {
        let name = line.split(|octet| *octet == b':').next().unwrap_or_default();
        let is_field = name.len() < line.len() && !name.trim_ascii_end().contains(&b' ');
        let continues = line.starts_with(b" ") || line.starts_with(b"\t");
        let stays = in_header && (is_field || continues);
        in_header = is_multipart && (line.starts_with(b"--b") || stays);
        let lower = line.to_ascii_lowercase();
        if line.len() > 990 {
            return Some("long line".into());
        }
        if line.contains(&b'\r') {
            return Some("CR".into());
        }
        if line.iter().any(|octet| *octet >= 0x80 || *octet == 0) {
            return Some("8-bit octet".into());
        }
        let is_label = in_header && lower.starts_with(b"content-transfer-encoding");
        if is_label && (lower.ends_with(b"8bit") || lower.ends_with(b"binary")) {
            return Some(format!("label of a part: {}", String::from_utf8_lossy(line)));
        }
    }
    (!body.is_empty() && !body.ends_with(b"\n")).then(|| "no last line end".into())
}

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
                let octet = ODD[self.below(ODD.len())];
                message.insert(at, octet);
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
                const TEXTS: [&[u8]; 8] = [
                    b"\n\n",
                    b"\nFrom x\n",
                    b"\n.\n",
                    b"\n--b\n",
                    b"\nContent-Type: multipart/mixed; boundary=b\n",
                    b"\nContent-Type: message/rfc822\n",
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
                if let Some(octet) = message.get_mut(at) {
                    *octet = u8::try_from(self.below(256)).unwrap();
                }
            }
        }
    }
}

#[test]
fn nothing_is_left_to_change_on_the_way() {
    let entries = std::fs::read_dir(project("tests/data/mail")).unwrap();
    let mut inputs: Vec<_> = entries
        .filter_map(|entry| std::fs::read(entry.unwrap().path().join("input")).ok())
        .collect();
    inputs.sort();
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let mut judged = 0;
    for round in 0..6_000 {
        let mut input = inputs[chance.below(inputs.len())].clone();
        for _ in 0..chance.below(8) {
            let other = inputs[chance.below(inputs.len())].clone();
            chance.change(&mut input, &other);
        }
        let Some((header, body, unstable)) = sent(&input) else { continue };
        judged += 1;
        let shown = || {
            let head = String::from_utf8_lossy(&header.octets()).into_owned();
            format!(
                "{:?}\n-> {head:?}\n{:?}",
                String::from_utf8_lossy(&input),
                String::from_utf8_lossy(&body)
            )
        };
        let change = changed_on_the_way(&header, &body, &unstable);
        assert_eq!(change, None, "round {round}: {}", shown());
        // Done again, it changes nothing.
        let again = [header.octets().as_slice(), b"\n", &body].concat();
        if let Some((header_again, body_again, _)) = sent(&again) {
            let same = header_again.octets() == header.octets() && body_again == body;
            assert!(same, "round {round}: {}", shown());
        }
    }
    assert!(judged > 3_000, "{judged}");
}
