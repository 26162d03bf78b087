//! A command line means what getopt(3) and Postfix's sendmail.c make of it; an option and its value are the same in one
//! word and in two; and a `-i` put in front, as is done with a message that was rebuilt, changes nothing else.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use sendmail_dkim::argv::{LoneDot, Mode, Submission};

/// The options that Postfix passes to getopt, without the `+`.
const OPTIONS: &[u8] = b"A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx";

type Given = (u8, Option<Vec<u8>>);

/// The options, those that Postfix takes before getopt among them as `(0, …)`, and the other arguments. `None`: an option
/// that there is not, or one without its value.
fn getopt(args: &[OsString]) -> Option<(Vec<Given>, Vec<Vec<u8>>)> {
    let mut given = Vec::new();
    let mut rest: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    while let Some(arg) = rest.first().cloned() {
        let is_verp = arg == b"-XV"
            || (arg == b"-V" && rest.get(1).is_some_and(|next| next.len() == 2))
            || (arg.starts_with(b"-V") && arg.len() == 4);
        if arg == b"-q" || is_verp {
            given.push((0, Some(rest.remove(0))));
            continue;
        }
        if arg == b"--" {
            rest.remove(0);
            break;
        }
        let Some(cluster) = arg.strip_prefix(b"-").filter(|cluster| !cluster.is_empty()) else {
            break;
        };
        rest.remove(0);
        for (at, letter) in cluster.iter().enumerate() {
            let place = OPTIONS.iter().position(|known| known == letter && *letter != b':')?;
            if OPTIONS.get(place + 1) != Some(&b':') {
                given.push((*letter, None));
                continue;
            }
            let value = match &cluster[at + 1..] {
                b"" if rest.is_empty() => return None,
                b"" => rest.remove(0),
                joined => joined.to_vec(),
            };
            given.push((*letter, Some(value)));
            break;
        }
    }
    Some((given, rest))
}

/// What sendmail.c does with the options. `None`: it refuses them.
fn expected(given: &[Given], has_rest: bool) -> Option<Mode> {
    let mut mode = b'm';
    let mut has_recipients = has_rest;
    let mut is_other = false;
    let mut submission = Submission::default();
    for (letter, value) in given {
        let value = value.clone().unwrap_or_default();
        match (letter, value.first()) {
            (0, _) if value == b"-q" => mode = b'q',
            (b'n', _) => return None,
            (b'G', _) => submission.gateway = true,
            (b'I', _) => mode = b'i',
            (b'i', _) => submission.dash_i = true,
            (b't', _) => has_recipients = true,
            (b'F', _) => submission.full_name = Some(value),
            (b'f' | b'r', _) => submission.envelope_sender = Some(value),
            (b'B', _) if value != b"8BITMIME" && value != b"7BIT" => return None,
            (b'X', first) if first != Some(&b'V') => return None,
            (b'b', Some(b'v')) => is_other = true,
            (b'b', Some(first)) if b"mdlhHips".contains(first) => mode = *first,
            (b'b', _) => return None,
            (b'o', Some(b'i')) => submission.lone_dot = LoneDot::IsText,
            (b'q', Some(b'R' | b'I')) => is_other = true,
            (b'q', _) => return None,
            _ => {}
        }
    }
    if submission.dash_i {
        submission.lone_dot = LoneDot::IsText;
    }
    Some(match mode {
        b'm' if has_recipients && !is_other => Mode::Submit(submission),
        b's' if !has_recipients && !is_other => Mode::Smtp,
        _ => Mode::PassThrough,
    })
}

/// The same options, each in one word where `joined`, else in two.
fn again(given: &[Given], rest: &[Vec<u8>], joined: bool) -> Vec<OsString> {
    let mut words = vec![b"sendmail".to_vec()];
    for (letter, value) in given {
        let option = vec![b'-', *letter];
        match value {
            // Before another word `-V` would be another option; it says nothing.
            Some(word) if *letter == 0 => words.extend((word == b"-q").then(|| word.clone())),
            // In two words these are something else.
            Some(value) if (joined || b"Vq".contains(letter)) && !value.is_empty() => {
                words.push([option.as_slice(), value].concat());
            }
            Some(value) => words.extend([option, value.clone()]),
            None => words.push(option),
        }
    }
    words.push(b"--".to_vec());
    words.extend_from_slice(rest);
    words.into_iter().map(OsString::from_vec).collect()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // A word a line.
    let words = input.split(|byte| *byte == b'\n').map(|word| OsString::from_vec(word.to_vec()));
    let mut argv: Vec<OsString> = words.collect();
    argv.insert(0, "/usr/sbin/sendmail".into());
    let mode = Mode::parse(&argv);
    let Some((given, rest)) = getopt(&argv[1..]) else {
        assert_eq!(mode, Mode::PassThrough);
        return;
    };
    assert_eq!(mode, expected(&given, !rest.is_empty()).unwrap_or(Mode::PassThrough), "{argv:?}");
    // An empty value of these has no form but the one it came in.
    if !given.iter().any(|(letter, value)| b"Vq".contains(letter) && value.as_deref() == Some(b""))
    {
        assert_eq!(mode, Mode::parse(&again(&given, &rest, true)), "{argv:?}");
        assert_eq!(mode, Mode::parse(&again(&given, &rest, false)), "{argv:?}");
    }
    if let Mode::Submit(mut submission) = mode {
        argv.insert(1, "-i".into());
        submission.dash_i = true;
        submission.lone_dot = LoneDot::IsText;
        assert_eq!(Mode::parse(&argv), Mode::Submit(submission));
    }
});
