//! Parses the command line of `sendmail`. It only classifies: the arguments are passed on unchanged, and the real sendmail
//! reports errors in them.
//!
//! The rules are those of Postfix's sendmail(1), which calls getopt with `+`: options end at the first argument that is not one.
//! Postfix handles bare `-q` and the old forms of `-V` before getopt.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use lexopt::{Arg, Parser};

/// How a line containing a single dot is treated (`-i`, `-oi`; Postfix's `SM_FLAG_AEOF`). If two settings apply, the greater one
/// wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoneDot {
    /// It ends the message; the rest of the input is not read.
    #[default]
    Ends,
    /// It is a line of text (`-i`).
    IsText,
}

/// A message on standard input, and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submission {
    /// Whether a line containing a single dot ends the message.
    pub lone_dot: LoneDot,
    /// Whether `-i` itself is there, alone or in a cluster. dma ignores `-oi`, which otherwise means the same.
    pub dash_i: bool,
    /// `-G`: the mail of another user is relayed.
    pub gateway: bool,
    /// The last `-f` or `-r`, as typed. Empty or `<>` is the null sender.
    pub envelope_sender: Option<Vec<u8>>,
    /// `-F`, as typed.
    pub full_name: Option<Vec<u8>>,
    /// The arguments from Postfix's pipe(8). Any caller can pass them, so they are only used for the user of the content filter.
    pub client: ClientArguments,
}

/// Two arguments of the content filter's command line in master.cf: `-O DkimLogin=${sasl_username}` and
/// `-O DkimClient=${client_address}`. sendmail(1) has ignored unknown `-O` options since long before Postfix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientArguments {
    /// The login name of an SMTP client; empty if it did not authenticate.
    pub login: Option<OsString>,
    /// The IP address of the SMTP client; empty if the message did not arrive by SMTP.
    pub address: Option<OsString>,
    /// The index of each `-O`; its value is the next argument.
    places: Vec<usize>,
}

impl ClientArguments {
    const LOGIN: &str = "DkimLogin=";
    const ADDRESS: &str = "DkimClient=";

    /// Stores a value of `-O` if it is one of the two.
    fn store(&mut self, value: &OsStr, place: usize) -> bool {
        let bytes = value.as_bytes();
        let (into, value) = if let Some(value) = bytes.strip_prefix(Self::LOGIN.as_bytes()) {
            (&mut self.login, value)
        } else if let Some(value) = bytes.strip_prefix(Self::ADDRESS.as_bytes()) {
            (&mut self.address, value)
        } else {
            return false;
        };
        *into = Some(OsString::from_vec(value.to_vec()));
        self.places.push(place);
        true
    }

    /// `argv` without these arguments.
    #[must_use]
    pub fn removed_from(&self, argv: &[OsString]) -> Vec<OsString> {
        let is_kept = |at: usize| {
            !self.places.iter().any(|place| at == *place || Some(at) == place.checked_add(1))
        };
        let kept = argv.iter().enumerate().filter(|(at, _)| is_kept(*at));
        kept.map(|(_, argument)| argument.clone()).collect()
    }
}

/// What the real sendmail will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reads one message from standard input and queues it.
    Submit(Submission),
    /// Speaks SMTP on standard input (`-bs`); the session may have messages.
    Smtp,
    /// Reads no message, or rejects the arguments. Standard input is not touched.
    PassThrough,
}

impl Mode {
    /// Classifies `argv`, which includes the program name. Arguments that Postfix rejects are [`Mode::PassThrough`], so that
    /// Postfix reports the error immediately.
    ///
    /// ```
    /// use sendmail_dkim::argv::Mode;
    /// let mode = |argv: &[&str]| Mode::parse(&argv.iter().map(Into::into).collect::<Vec<_>>());
    /// assert!(matches!(mode(&["sendmail", "-t", "-i"]), Mode::Submit(_)));
    /// assert_eq!(mode(&["mailq"]), Mode::PassThrough);
    /// ```
    #[must_use]
    pub fn parse(argv: &[OsString]) -> Self {
        let name = argv.first().map_or(OsStr::new("sendmail"), OsString::as_os_str);
        if !is_submitter(name) {
            return Self::PassThrough;
        }
        let mut options = Options::default();
        // The real sendmail reports usage errors.
        if options.read(argv.get(1..).unwrap_or_default()).is_none() {
            return Self::PassThrough;
        }
        options.into_mode()
    }
}

/// Whether the program is called by a name under which it reads a message of its caller. It does not as newaliases and similar,
/// and rmail reads mail of other users (UUCP).
fn is_submitter(argv0: &OsStr) -> bool {
    let bytes = argv0.as_bytes();
    let base = bytes.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    const OTHERS: [&[u8]; 8] =
        [b"mailq", b"newaliases", b"smtpd", b"rmail", b"hoststat", b"purgestat", b"runq", b"rsmtp"];
    !OTHERS.contains(&base)
}

/// The last of `-b`, `-I`, `-q` wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    Enqueue,
    Smtp,
    Other,
}

#[derive(Debug, Default)]
struct Options {
    asked: Asked,
    /// On the command line, or in the header with `-t`.
    has_recipients: bool,
    submission: Submission,
}

impl Options {
    /// Reads the options up to the first recipient. `None` if no message is read in any case.
    fn read(&mut self, args: &[OsString]) -> Option<()> {
        let mut parser = Parser::from_args(args);
        // In getopt, the value of `-f=x` is `=x`.
        parser.set_short_equals(false);
        loop {
            if self.read_special(&mut parser, args.len()) {
                continue;
            }
            match parser.next().ok()? {
                Some(Arg::Short(letter)) => self.option(letter, &mut parser)?,
                Some(Arg::Value(_)) => {
                    self.has_recipients = true;
                    return Some(());
                }
                Some(Arg::Long(_)) => return None,
                None => return Some(()),
            }
        }
    }

    /// Reads the arguments that Postfix handles before getopt (`-q`, and the old `-V`, now `-XV`), and those for the wrapper.
    /// `count` is the number of all arguments.
    fn read_special(&mut self, parser: &mut Parser, count: usize) -> bool {
        let Some(mut raw) = parser.try_raw_args() else { return false };
        let [first, rest @ ..] = raw.as_slice() else { return false };
        let first = first.as_bytes();
        let is_flush = first == b"-q";
        // getopt already reads `-V+=` and `-XV` as Postfix means them.
        let is_verp = first == b"-V" && rest.first().is_some_and(|next| next.len() == 2);
        if is_flush {
            self.asked = Asked::Other;
        }
        // Add one, because the program name precedes the arguments.
        let place = count.saturating_sub(raw.as_slice().len()).saturating_add(1);
        let is_ours = first == b"-O"
            && rest.first().is_some_and(|value| self.submission.client.store(value, place));
        let read = if is_ours { 2 } else { usize::from(is_flush || is_verp) };
        raw.by_ref().take(read).for_each(drop);
        read > 0
    }

    fn option(&mut self, letter: char, parser: &mut Parser) -> Option<()> {
        match letter {
            'c' | 'm' | 'U' | 'v' | 'x' => {}
            'G' => self.submission.gateway = true,
            'I' => self.asked = Asked::Other,
            'i' => {
                self.submission.dash_i = true;
                self.submission.lone_dot = LoneDot::IsText;
            }
            't' => self.has_recipients = true,
            'A' | 'C' | 'L' | 'N' | 'O' | 'R' | 'V' | 'e' | 'h' | 'p' => {
                parser.value().ok()?;
            }
            'F' => self.submission.full_name = Some(parser.value().ok()?.into_vec()),
            'f' | 'r' => {
                self.submission.envelope_sender = Some(parser.value().ok()?.into_vec());
            }
            'B' => {
                let body = parser.value().ok()?;
                return (body == "8BITMIME" || body == "7BIT").then_some(());
            }
            'X' => return parser.value().ok()?.as_bytes().starts_with(b"V").then_some(()),
            'b' => self.mode(parser.value().ok()?.as_bytes())?,
            'o' => {
                if parser.value().ok()?.as_bytes().starts_with(b"i") {
                    self.submission.lone_dot = LoneDot::IsText;
                }
            }
            // `-qRsite` and `-qIid` are for the queue, and a time is for the daemon. Postfix rejects unknown letters, and also
            // -n, which it documents as ignored.
            _ => return None,
        }
        Some(())
    }

    /// `-bX`: only the first byte matters.
    fn mode(&mut self, value: &[u8]) -> Option<()> {
        match value.first()? {
            b'm' => self.asked = Asked::Enqueue,
            b's' => self.asked = Asked::Smtp,
            b'd' | b'l' | b'h' | b'H' | b'i' | b'p' => self.asked = Asked::Other,
            // `-bv` requests a report.
            _ => return None,
        }
        Some(())
    }

    fn into_mode(self) -> Mode {
        match self.asked {
            Asked::Enqueue if self.has_recipients => Mode::Submit(self.submission),
            Asked::Smtp if !self.has_recipients => Mode::Smtp,
            Asked::Enqueue | Asked::Smtp | Asked::Other => Mode::PassThrough,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(line: &str) -> Mode {
        Mode::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    fn submission(line: &str) -> Submission {
        match mode(line) {
            Mode::Submit(submission) => submission,
            other @ (Mode::Smtp | Mode::PassThrough) => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_recipient_or_dash_t_makes_a_submission() {
        for line in
            ["sendmail a@b", "sendmail -t", "sendmail -bm -t", "x -ti", "/usr/lib/sendmail a"]
        {
            submission(line);
        }
    }

    #[test]
    fn without_recipients_postfix_refuses_before_it_reads() {
        assert_eq!(mode("sendmail"), Mode::PassThrough);
        assert_eq!(mode("sendmail -i -f a@b"), Mode::PassThrough);
        assert_eq!(mode("sendmail --"), Mode::PassThrough);
    }

    #[test]
    fn modes_that_read_no_message_pass_through() {
        for line in [
            "mailq",
            "/usr/bin/newaliases",
            "smtpd",
            "rmail a",
            "sendmail -bp",
            "sendmail -bv a@b",
            "sendmail -bd",
            "sendmail -bl",
            "sendmail -bi",
            "sendmail -bh",
            "sendmail -I",
            "sendmail -q",
            "sendmail -q30m",
            "sendmail -qRsite",
            "sendmail -qIid",
            "sendmail -bp -t",
        ] {
            assert_eq!(mode(line), Mode::PassThrough, "{line}");
        }
    }

    #[test]
    fn options_without_effect_here_are_not_usage_errors() {
        for line in [
            "s -v a",
            "s -m a",
            "s -x a",
            "s -c a",
            "s -U a",
            "s -B8BITMIME a",
            "s -B 7BIT a",
            "s -O a=b c",
            "s -N never a",
        ] {
            assert_eq!(submission(line), Submission::default(), "{line}");
        }
    }

    #[test]
    fn dash_g_marks_mail_of_another_user() {
        assert!(submission("s -G a").gateway && submission("s -iG a").gateway);
        assert!(!submission("s -F -G a").gateway);
    }

    #[test]
    fn the_last_full_name_counts() {
        assert_eq!(submission("s -F x -Fy a").full_name.unwrap(), b"y");
    }

    #[test]
    fn usage_errors_pass_through() {
        for line in [
            "sendmail -n a@b",
            "sendmail -d a@b",
            "sendmail -bt",
            "sendmail -B9BIT a@b",
            "sendmail -X log a@b",
            "sendmail --version",
            "sendmail -qf",
            "sendmail -t -f",
        ] {
            assert_eq!(mode(line), Mode::PassThrough, "{line}");
        }
    }

    #[test]
    fn smtp_on_standard_input_accepts_no_recipients() {
        assert_eq!(mode("sendmail -bs"), Mode::Smtp);
        assert_eq!(mode("sendmail -b s -i"), Mode::Smtp);
        assert_eq!(mode("sendmail -bsfoo"), Mode::Smtp);
        assert_eq!(mode("sendmail -bs a@b"), Mode::PassThrough);
    }

    #[test]
    fn the_last_mode_wins() {
        submission("sendmail -bp -bm a@b");
        assert_eq!(mode("sendmail -bm -bs"), Mode::Smtp);
        submission("sendmail -I -bm a@b");
        submission("sendmail -q -bm a@b");
        submission("sendmail -q -q -bm a@b");
        assert_eq!(mode("sendmail -q a@b"), Mode::PassThrough);
        // A later option does not make it read a message.
        for line in ["sendmail -bv -bm a@b", "sendmail -qRsite -bm a@b", "sendmail -qIid -bm a"] {
            assert_eq!(mode(line), Mode::PassThrough, "{line}");
        }
    }

    #[test]
    fn options_end_at_the_first_recipient() {
        assert_eq!(submission("sendmail a@b -i").lone_dot, LoneDot::Ends);
        assert_eq!(mode("sendmail - -t -n"), mode("sendmail a@b"));
        assert_eq!(submission("sendmail -- -t").lone_dot, LoneDot::Ends);
    }

    #[test]
    fn a_lone_dot_is_text_with_dash_i_alone_clustered_or_as_dash_o() {
        for line in [
            "s -i a",
            "s -ti",
            "s -it",
            "s -oi a",
            "s -o i a",
            "s -oit a",
            "s -itfs@x",
            "s -itf s@x",
        ] {
            assert_eq!(submission(line).lone_dot, LoneDot::IsText, "{line}");
        }
        for line in ["s -O i a", "s -oem a", "s -t", "s -F i a"] {
            assert_eq!(submission(line).lone_dot, LoneDot::Ends, "{line}");
        }
    }

    #[test]
    fn dash_o_i_is_not_dash_i() {
        for line in ["s -i a", "s -ti", "s -it", "s -oi -i a", "s -itf s@x"] {
            assert!(submission(line).dash_i, "{line}");
        }
        for line in ["s -oi a", "s -o i a", "s -t", "s -F -i a"] {
            assert!(!submission(line).dash_i, "{line}");
        }
    }

    #[test]
    fn the_last_envelope_sender_counts() {
        assert_eq!(submission("s -f a@b -t").envelope_sender.unwrap(), b"a@b");
        assert_eq!(submission("s -fa@b -rc@d -t").envelope_sender.unwrap(), b"c@d");
        assert_eq!(submission("s -f=x -t").envelope_sender.unwrap(), b"=x");
        assert_eq!(submission("s -f -t -t").envelope_sender.unwrap(), b"-t");
        assert_eq!(submission("s -f -- -t").envelope_sender.unwrap(), b"--");
        assert_eq!(submission("s -f  -t").envelope_sender.unwrap(), b"");
    }

    #[test]
    fn an_old_dash_v_with_two_letters_is_verp_and_the_letters_a_recipient() {
        assert_eq!(submission("s -V +=  -i").lone_dot, LoneDot::Ends);
        assert_eq!(submission("s -V+= -i a").lone_dot, LoneDot::IsText);
        assert_eq!(submission("s -V id1 -i a").lone_dot, LoneDot::IsText);
        assert_eq!(submission("s -XV -i a").lone_dot, LoneDot::IsText);
        assert_eq!(submission("s -XV+= -i a").lone_dot, LoneDot::IsText);
    }

    #[test]
    fn arguments_for_the_content_filter_are_read_and_can_be_removed() {
        let line = "s -G -O DkimLogin=alice -i -O DkimClient=::1 -O a=b -f -O -- -O DkimLogin=x";
        let found = submission(line);
        assert_eq!(found.client.login.as_deref(), Some(OsStr::new("alice")));
        assert_eq!(found.client.address.as_deref(), Some(OsStr::new("::1")));
        assert_eq!(found.envelope_sender.as_deref(), Some(b"-O".as_slice()));
        assert!(found.gateway && found.dash_i);
        let argv: Vec<_> = line.split(' ').map(OsString::from).collect();
        let kept = found.client.removed_from(&argv).join(OsStr::new(" "));
        assert_eq!(kept, "s -G -i -O a=b -f -O -- -O DkimLogin=x");
        // Values of other options, and arguments after the first recipient, do not count.
        for line in [
            "s -G -f -O DkimLogin=x",
            "s -G -O x -- DkimLogin=x",
            "s -G a@b -O DkimLogin=x",
            "s -GO DkimLogin=x a",
            "s -ODkimLogin=x a",
            "s -G -- -O DkimLogin=x",
            "s -O dkimlogin=x a",
        ] {
            assert_eq!(submission(line).client, ClientArguments::default(), "{line}");
        }
        // An empty value, and a value that is given twice.
        let found = submission("s -O DkimLogin= -O DkimClient=1 -O DkimClient= a");
        assert_eq!(found.client.login.as_deref(), Some(OsStr::new("")));
        assert_eq!(found.client.address.as_deref(), Some(OsStr::new("")));
    }

    #[test]
    fn any_bytes_have_a_mode() {
        let argv = [b"s".to_vec(), vec![b'-', 0xff], vec![0xfe]].map(OsString::from_vec);
        assert_eq!(Mode::parse(&argv), Mode::PassThrough);
        assert_eq!(Mode::parse(&[]), Mode::PassThrough);
    }
}
