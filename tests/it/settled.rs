//! A property of the pure part, on messages made from the cases of `tests/data/mail` by chance: what comes
//! out has nothing left for Postfix or a hop to change. The model is written for itself: it goes
//! by lines and shares no code with what it judges, the look at addresses aside.

mod model;

use model::{changed_on_the_way, sent};

use crate::support::project;

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
