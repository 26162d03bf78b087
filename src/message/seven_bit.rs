//! Makes a body that no hop needs to change: 7-bit, with short lines (RFC 6376 §5.3). A first walk examines every part; a second
//! one encodes the parts that need it. A body without parts is usually encoded during the first walk. Parts that another program
//! has signed or encrypted are not changed.

mod encode;
mod header;
mod part;

use std::mem;

use memchr::memchr;

use super::limits::{LONGEST_FIELD, LONGEST_LINE, LONGEST_SENT};
use super::mime::{Info, Visit, Walk};
use super::syntax::{has_line_beyond, split_fields};
use super::words;
use encode::Encoder;
use header::{fixed_header, write_header};
pub use part::Risk;
use part::{Fix, Hold, Part};

/// A message with more parts is not changed. This limits the memory that the parts take.
const MOST_PARTS: usize = 5_000;

/// The changes that the second walk makes. Most messages need none.
#[derive(Clone, Debug)]
pub struct Changes {
    parts: Vec<Part>,
    /// What a hop may do to a part that is not changed here.
    pub risk: Risk,
    changes_body: bool,
}

/// The first walk, which examines every part.
#[derive(Clone, Debug)]
pub struct Survey {
    walk: Walk,
    seen: Seen,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    /// The parts. The message itself is the first one.
    parts: Vec<Part>,
    /// The risk of a preamble, an epilogue or a boundary, which cannot be encoded.
    outside: Risk,
    /// Whether there are more than [`MOST_PARTS`], or a part header is too large.
    has_too_many: bool,
    /// Whether there was text that must be encoded and may be.
    expects_change: bool,
}

impl Survey {
    /// A survey of a message with this header section. With `off`, nothing will be changed.
    #[must_use]
    pub fn new(section: &[u8], off: bool) -> Self {
        let info = Info::of(section, "text/plain");
        let walk = Walk::new(&info);
        let outside = if info.is_torn { Risk::May } else { Risk::None };
        let mut top = Part::within(None, 0, info);
        if off {
            top.hold = Hold::Always;
        }
        top.set_hint(words::named_charset(section));
        Self { walk, seen: Seen { parts: vec![top], outside, ..Seen::default() } }
    }

    /// Reads bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.walk.feed(bytes, &mut self.seen);
    }

    /// Whether the body will change, as far as is known now.
    #[must_use]
    pub fn expects_change(&self) -> bool {
        self.seen.expects_change
    }

    /// An encoder for the whole body that is right if the rest of the body resembles the bytes so far. `None` if the body will not
    /// change, as far as is known now, or may have parts.
    #[must_use]
    pub fn ahead(&self) -> Option<Ahead> {
        let [part] = self.seen.parts.as_slice() else { return None };
        let has_boundary = !part.info.boundaries.is_empty();
        let fix = part.leaf_fix().filter(|_| self.seen.expects_change && !has_boundary)?;
        Some(Ahead(fix.encoder))
    }

    /// Decides what to do with each part.
    #[must_use]
    pub fn finish(mut self) -> Changes {
        self.walk.finish(&mut self.seen);
        let Seen { mut parts, mut outside, has_too_many, .. } = self.seen;
        if has_too_many {
            outside = outside.max(Risk::May);
            parts.iter_mut().for_each(|part| part.hold = Hold::Always);
        }
        break_seals(&mut parts);
        let mut risk = settle(&mut parts, outside, true);
        if risk == Risk::Will {
            // Our signature will break in any case, so the parts of others are not changed for it.
            risk = settle(&mut parts, outside, false);
        }
        // The header of the message is not part of the body.
        let changes_body = parts.iter().enumerate().any(|(number, part)| {
            (part.header_differs && !part.is_sealed)
                || part
                    .fix
                    .as_ref()
                    .is_some_and(|fix| number > 0 || !matches!(fix.encoder, Encoder::Identity))
        });
        Changes { parts, risk, changes_body }
    }
}

/// Marks the seals that a hop will break, and the seals that enclose them.
fn break_seals(parts: &mut [Part]) {
    // From the last part to the first, so that inner parts come before outer ones.
    for number in (0..parts.len()).rev() {
        let Some(part) = parts.get(number) else { continue };
        let text = part.root.filter(|_| part.breaks);
        let header = part.header_root.filter(|_| part.header_risk == Risk::Will);
        let own = text == Some(number) || part.is_broken;
        let around = part.header_root.filter(|_| own);
        for root in [text, header, around].into_iter().flatten() {
            if let Some(root) = parts.get_mut(root) {
                root.is_broken = true;
            }
        }
    }
}

/// Decides which parts stay as they are, and how the others are changed. Returns what a hop may do to the message.
fn settle(parts: &mut [Part], outside: Risk, opens_seals: bool) -> Risk {
    let broken: Vec<bool> = parts.iter().map(|part| part.is_broken).collect();
    let is_broken = |root: usize| broken.get(root) == Some(&true);
    for part in &mut *parts {
        let is_open = opens_seals
            && match part.hold {
                Hold::Free | Hold::Always => false,
                Hold::Alone => part.info.is_leaf() && part.breaks || is_broken(part.parent),
                Hold::Together => part.root.is_some_and(is_broken),
            };
        part.is_sealed = part.hold != Hold::Free && !is_open;
        part.fix = part.leaf_fix();
    }
    label(parts);
    parts.iter().map(Part::risk).max().unwrap_or_default().max(outside)
}

/// Labels as 7bit each part that holds other parts and says 8bit, unless a part in it stays 8-bit.
fn label(parts: &mut [Part]) {
    // From the last part to the first, so that inner parts come before outer ones.
    for number in (0..parts.len()).rev() {
        let Some(part) = parts.get_mut(number) else { continue };
        let stays = part.is_eight_bit && part.fix.is_none();
        let says = part.info.says_eight_bit;
        if says && !stays && !part.is_sealed && !part.info.is_leaf() {
            part.fix = Some(Fix::LABEL);
        }
        let parent = part.parent;
        if (stays || (part.is_sealed && says))
            && let Some(parent) = parts.get_mut(parent)
        {
            parent.is_eight_bit = true;
        }
    }
}

/// Whether the bytes are not 7bit data (RFC 2045 §2.7), which excludes NUL and bytes above 127.
fn is_eight_bit(bytes: &[u8]) -> bool {
    !bytes.is_ascii() || memchr(0, bytes).is_some()
}

/// How many bytes quoted-printable writes as three. DEL is only counted if the line has other such bytes.
fn special(lines: &[u8]) -> u64 {
    let is_special = |byte: &u8| *byte >= DEL || *byte == 0;
    // Chunks of 255 bytes, so that the count fits in a byte: then the compiler counts many bytes at a time.
    let count = |bytes: &[u8]| {
        u64::from(bytes.iter().map(|byte| u8::from(is_special(byte))).fold(0, u8::wrapping_add))
    };
    let count = |bytes: &[u8]| bytes.chunks(255).map(count).sum::<u64>();
    if memchr(DEL, lines).is_none() {
        return count(lines);
    }
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| is_eight_bit(line)).map(count).sum()
}

const DEL: u8 = 0x7f;

/// What a hop may do to text that is sent unchanged.
fn risk_of(text: &[u8]) -> Risk {
    if !has_line_beyond(LONGEST_LINE, text) {
        return if is_eight_bit(text) { Risk::May } else { Risk::None };
    }
    if has_line_beyond(LONGEST_SENT, text) { Risk::Will } else { Risk::May }
}

/// The same for the header of a part.
fn risk_of_header(section: &[u8]) -> Risk {
    let is_large = split_fields(section).any(|field| field.len() > LONGEST_FIELD);
    risk_of(section).max(if is_large { Risk::May } else { Risk::None })
}

impl Visit for Seen {
    fn header(&mut self, number: usize, parent: usize, mut info: Info, section: &[u8]) {
        if number > MOST_PARTS {
            self.has_too_many = true;
            return;
        }
        debug_assert_eq!(number, self.parts.len());
        let at_least = if info.is_torn { Risk::May } else { Risk::None };
        // Only the walk needs them.
        info.boundaries = Vec::new();
        let outer = self.parts.get_mut(parent).map(|outer| (parent, outer));
        let mut part = Part::within(outer, number, info);
        part.parent = parent;
        let fixed = fixed_header(section).filter(|fixed| fixed != section);
        part.header_differs = fixed.is_some();
        part.header_risk = at_least.max(risk_of_header(section));
        part.fixed_risk = part.header_risk;
        if let Some(fixed) = fixed {
            part.header_risk = part.header_risk.max(Risk::May);
            part.fixed_risk = at_least.max(risk_of_header(&fixed));
        }
        // Another program wrote an enclosed message.
        let outer = self.parts.get(parent).filter(|outer| !outer.info.is_message());
        part.set_hint(words::named_charset(section).or_else(|| outer?.hint.clone()));
        self.parts.push(part);
    }

    fn text(&mut self, part: Option<usize>, piece: &[u8]) {
        let Some(part) = part.and_then(|part| self.parts.get_mut(part)) else {
            self.outside = self.outside.max(risk_of(piece));
            return;
        };
        let is_eight_bit = is_eight_bit(piece);
        let is_long = has_line_beyond(LONGEST_LINE, piece);
        self.expects_change |=
            (is_eight_bit || is_long) && part.hold == Hold::Free && part.info.is_leaf();
        part.is_eight_bit |= is_eight_bit;
        part.has_long_line |= is_long;
        part.breaks |= is_long && has_line_beyond(LONGEST_SENT, piece);
        part.bytes = part.bytes.saturating_add(piece.len() as u64);
        if is_eight_bit {
            part.special = part.special.saturating_add(special(piece));
        }
        if part.needs_charset() {
            part.charset.feed(piece);
        }
        // Inline PGP: the lines themselves were signed.
        part.is_pgp |= piece.starts_with(b"-----BEGIN PGP ");
    }

    fn boundary(&mut self, piece: &[u8]) {
        self.outside = self.outside.max(risk_of(piece));
    }

    fn misread(&mut self, part: Option<usize>) {
        match part.and_then(|part| self.parts.get_mut(part)) {
            Some(part) => part.is_misread = true,
            None => self.outside = self.outside.max(Risk::May),
        }
    }

    fn too_large(&mut self) {
        self.has_too_many = true;
    }
}

impl Changes {
    /// Whether the body stays as it is.
    #[must_use]
    pub fn keep_body(&self) -> bool {
        !self.changes_body
    }

    /// Whether the encoder was the right one.
    #[must_use]
    pub fn keep_ahead(&self, ahead: &Ahead) -> bool {
        let [Part { fix: Some(fix), .. }] = self.parts.as_slice() else { return false };
        mem::discriminant(&fix.encoder) == mem::discriminant(&ahead.0)
    }

    /// What the header of the message must name: Content-Transfer-Encoding, and the charset of a text/plain that names none.
    #[must_use]
    pub fn of_header(&self) -> Option<(&'static str, Option<&str>)> {
        let fix = self.parts.first()?.fix.as_ref()?;
        Some((fix.encoding, fix.charset.as_deref()))
    }
}

/// Encodes a body while it is surveyed. [`Changes::keep_ahead`] shows whether the result can be used.
#[derive(Clone, Debug)]
pub struct Ahead(Encoder);

impl Ahead {
    /// Reads bytes of the body and appends the bytes to send to `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.0.feed(bytes, out);
    }

    /// Ends the body.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.0.finish(false, out);
    }
}

/// The second walk, which makes the changes.
#[derive(Clone, Debug)]
pub struct Rewrite<'a> {
    walk: Walk,
    writer: Writer<'a>,
}

#[derive(Clone, Debug)]
struct Writer<'a> {
    parts: &'a [Part],
    /// The part whose text the encoder writes.
    part: usize,
    encoder: Encoder,
}

impl<'a> Rewrite<'a> {
    /// Starts at the first byte of the body that was surveyed.
    #[must_use]
    pub fn new(changes: &'a Changes) -> Self {
        let parts = &changes.parts;
        let top = parts.first().cloned().unwrap_or_default();
        let writer = Writer { parts, part: 0, encoder: top.encoder() };
        Self { walk: Walk::new(&top.info), writer }
    }

    /// Reads bytes of the body and appends the bytes to send to `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.walk.feed(bytes, &mut (&mut self.writer, out));
    }

    /// Ends the body.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.walk.finish(&mut (&mut self.writer, &mut *out));
        self.writer.encoder.finish(false, out);
    }
}

impl Visit for (&mut Writer<'_>, &mut Vec<u8>) {
    fn header(&mut self, number: usize, _: usize, _: Info, section: &[u8]) {
        let (writer, out) = self;
        writer.encoder.finish(true, out);
        // A part that the survey did not keep stays as it is.
        let part = writer.parts.get(number);
        let fixed = part.filter(|part| !part.is_sealed).and_then(|_| fixed_header(section));
        let section = fixed.as_deref().unwrap_or(section);
        match part.and_then(|part| part.fix.as_ref()) {
            Some(fix) => write_header(section, fix, out),
            None => out.extend_from_slice(section),
        }
        writer.part = number;
        writer.encoder = part.map_or(Encoder::Identity, Part::encoder);
    }

    fn text(&mut self, part: Option<usize>, piece: &[u8]) {
        let (writer, out) = self;
        if part == Some(writer.part) {
            writer.encoder.feed(piece, out);
        } else {
            out.extend_from_slice(piece);
        }
    }

    fn boundary(&mut self, piece: &[u8]) {
        let (writer, out) = self;
        writer.encoder.finish(true, out);
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Label = Option<(&'static str, Option<String>)>;

    /// The label for the header of a message, and its new body. Checks that the size of the pieces does not matter, and that a
    /// second run changes nothing.
    fn settled(header: &str, body: &[u8]) -> (Label, String) {
        let whole = in_pieces(header, body, body.len().max(1));
        for size in (1..body.len()).take(200) {
            assert_eq!(in_pieces(header, body, size), whole, "pieces of {size}");
        }
        let (label, text) = &whole;
        let header = match label {
            Some((encoding, _)) => {
                let rest: String = header
                    .split_inclusive('\n')
                    .filter(|line| !line.starts_with("Content-Transfer-Encoding"))
                    .collect();
                format!("{rest}Content-Transfer-Encoding: {encoding}\n")
            }
            None => header.to_owned(),
        };
        let again = in_pieces(&header, text.as_bytes(), text.len().max(1));
        assert_eq!(again, (None, text.clone()), "not idempotent");
        whole
    }

    fn in_pieces(header: &str, body: &[u8], size: usize) -> (Label, String) {
        let mut survey = Survey::new(header.as_bytes(), false);
        let (mut ahead, mut encoded) = (None, Vec::new());
        for (number, piece) in body.chunks(size).enumerate() {
            survey.feed(piece);
            if number == 0 {
                ahead = survey.ahead();
            }
            if let Some(ahead) = &mut ahead {
                ahead.feed(piece, &mut encoded);
            }
        }
        let changes = survey.finish();
        let mut out = Vec::new();
        if changes.keep_body() {
            out.extend_from_slice(body);
        } else {
            let mut rewrite = Rewrite::new(&changes);
            body.chunks(size).for_each(|piece| rewrite.feed(piece, &mut out));
            rewrite.finish(&mut out);
        }
        if let Some(mut ahead) = ahead.filter(|ahead| changes.keep_ahead(ahead)) {
            ahead.finish(&mut encoded);
            assert_eq!(encoded, out, "encoded ahead");
        }
        let label = changes.of_header();
        let label = label.map(|(encoding, charset)| (encoding, charset.map(str::to_owned)));
        (label, String::from_utf8_lossy(&out).into_owned())
    }

    const TEXT: &str = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n";
    const MIXED: &str = "Content-Type: multipart/mixed; boundary=b\n";

    #[test]
    fn seven_bit_text_of_short_lines_is_left_alone() {
        for header in ["", "Subject: x\n", "Content-Transfer-Encoding: 7bit\n", MIXED] {
            let text = "From x\n.\n--b\n\nx\n--b--\n";
            assert_eq!(settled(header, text.as_bytes()), (None, text.into()));
        }
    }

    #[test]
    fn what_was_encoded_ahead_is_used_only_if_the_whole_body_is_encoded_so() {
        let (foreign, plain) = ("\u{fc}".repeat(30) + "\n", "plain text\n".repeat(30));
        for (begin, end, expected) in
            [(&foreign, &plain, "quoted-printable"), (&plain, &foreign.repeat(30), "base64")]
        {
            let begin = format!("\u{fc}\n{begin}");
            let body = format!("{begin}{end}");
            // This checks what was encoded ahead.
            let (label, _) = in_pieces(TEXT, body.as_bytes(), begin.len());
            assert_eq!(label.unwrap().0, expected);
        }
    }

    #[test]
    fn only_a_body_that_needs_it_and_has_no_parts_is_encoded_ahead() {
        let (eight, long) = ("gr\u{fc}n und blau\n", "x".repeat(991) + "\n");
        let part = format!("--b\n\n{eight}");
        let two_types = format!("{MIXED}Content-Type: text/plain\n");
        for (header, body, expects_change, is_ahead) in [
            (TEXT, eight, true, true),
            (TEXT, &long, true, true),
            // Only the label changes.
            (TEXT, "Hi\n", false, false),
            ("Content-Type: application/pkcs7-mime\n", eight, false, false),
            ("Content-Type: message/external-body\n", eight, false, false),
            (MIXED, &part, true, false),
            // Postfix uses the boundary even if another type follows, so the body may have parts.
            (&two_types, eight, true, false),
        ] {
            let mut survey = Survey::new(header.as_bytes(), false);
            survey.feed(body.as_bytes());
            assert_eq!(survey.expects_change(), expects_change, "{header}{body}");
            let ahead = survey.ahead();
            assert_eq!(ahead.is_some(), is_ahead, "{header}{body}");
            let changes = survey.finish();
            assert!(ahead.is_none_or(|ahead| changes.keep_ahead(&ahead)), "{header}{body}");
        }
    }

    #[test]
    fn lines_of_any_length_are_the_same_whole_and_in_pieces() {
        let lines = [0, 990, 991, 2047, 2048, 5000].map(|length| {
            let text = "word ".repeat(1_000);
            [&text.as_bytes()[..length], b"\n"].concat()
        });
        for end in ["", "\u{fc}\n", "-- \n", "--b\n\n", "-----BEGIN PGP MESSAGE-----\n"] {
            for one in &lines {
                for other in &lines {
                    let body =
                        [b"--b\n\n", &**one, other, end.as_bytes(), one, b"--b--\n"].concat();
                    let whole = in_pieces(MIXED, &body, body.len());
                    for size in [1, 1_000, 2_047, 2_048] {
                        assert!(in_pieces(MIXED, &body, size) == whole, "pieces of {size}");
                    }
                    let is_long = [one, other].iter().any(|line| line.len() > 991);
                    // Lines that SMTP breaks are encoded, even in signed parts.
                    let breaks = [one, other].iter().any(|line| line.len() > 999);
                    let is_kept = if end.contains("PGP") {
                        !breaks
                    } else {
                        !(is_long || end.contains('\u{fc}'))
                    };
                    assert_eq!(
                        whole.1.as_bytes() == body,
                        is_kept,
                        "{} {}",
                        one.len(),
                        other.len()
                    );
                }
            }
        }
    }

    #[test]
    fn del_counts_only_where_a_line_is_8bit() {
        let encoding = |body: &str| settled("Subject: x\n", body.as_bytes()).0.unwrap().0;
        assert_eq!(encoding("\u{7f}\u{7f}\u{7f}\u{7f}\ntext \u{fc} and\n"), "quoted-printable");
        assert_eq!(encoding("text \u{fc} and\u{7f}\u{7f}\u{7f}\u{7f}\n\n"), "base64");
    }

    #[test]
    fn text_that_is_mostly_ascii_stays_readable() {
        let encoding = |body: &str| settled("Subject: x\n", body.as_bytes()).0.unwrap().0;
        for body in [
            "h\u{e9}llo\n",
            "Gr\u{fc}\u{df}e aus K\u{f6}ln\n",
            "na\u{ef}ve caf\u{e9}\n",
            "\u{e9} is one\n",
        ] {
            assert_eq!(encoding(body), "quoted-printable", "{body}");
        }
        let japanese = "\u{65e5}\u{672c}\u{8a9e}\u{306e}\u{6587} and some English\n";
        let cyrillic = "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}, \u{43c}\u{438}\u{440}\n";
        for body in [japanese, cyrillic, "\u{4f60}\u{597d}\n", "\u{e9}\u{e9}\u{e9}a\n"] {
            assert_eq!(encoding(body), "base64", "{body}");
        }
    }

    #[test]
    fn ascii_that_is_labelled_8bit_is_relabelled() {
        assert_eq!(settled(TEXT, b"Hi\n"), (Some(("7bit", None)), "Hi\n".into()));
        let part = "--b\nContent-Transfer-Encoding: binary\nX: y\n\nHi\n--b--\n";
        let expected = part.replace("binary", "7bit");
        assert_eq!(settled(MIXED, part.as_bytes()), (None, expected));
    }

    #[test]
    fn a_multipart_keeps_its_label_8bit_while_a_part_stays_or_says_8bit() {
        let header = format!("{MIXED}Content-Transfer-Encoding: 8bit\n");
        for part in [
            "\n-----BEGIN PGP SIGNED MESSAGE-----\n\ngr\u{fc}n",
            "Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: 8bit\n\nascii",
        ] {
            let body = format!("--b\n{part}\n--b--\n");
            assert_eq!(settled(&header, body.as_bytes()), (None, body));
        }
    }

    #[test]
    fn a_label_8bit_before_another_one_goes() {
        for (last, text, expected) in [
            ("7bit", "Hi\n", "7bit"),
            ("quoted-printable", "a=3Db\n", "quoted-printable"),
            ("base64", "QUJD\n", "base64"),
        ] {
            let header = format!(
                "Content-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\
                 Content-Transfer-Encoding: {last}\n"
            );
            assert_eq!(settled(&header, text.as_bytes()), (Some((expected, None)), text.into()));
            let body = format!("--b\n{header}\n{text}--b--\n");
            let one = header.replacen("Content-Transfer-Encoding: 8bit\n", "", 1);
            assert_eq!(settled(MIXED, body.as_bytes()), (None, body.replace(&header, &one)));
        }
    }

    #[test]
    fn a_message_of_countless_parts_is_left_as_it_is() {
        let part = "--b\nContent-Transfer-Encoding: 8bit\n\n\u{fc}\n";
        let changes = |count: usize| {
            let mut survey = Survey::new(MIXED.as_bytes(), false);
            survey.feed(part.repeat(count).as_bytes());
            survey.finish()
        };
        let most = changes(MOST_PARTS);
        assert!(!most.keep_body() && most.risk == Risk::None);
        let more = changes(MOST_PARTS + 1);
        assert!(more.keep_body() && more.of_header().is_none() && more.risk == Risk::May);
        let limit = format!("More than {MOST_PARTS} parts");
        crate::assert_documented("packaging/man/sendmail.dkim.8", &limit);
    }

    #[test]
    fn a_part_header_that_postfix_would_cut_is_a_risk() {
        let risk = |words: usize| {
            let body = format!("--b\nX: {}\n\nx\n--b--\n", "word\n ".repeat(words));
            let mut survey = Survey::new(MIXED.as_bytes(), false);
            survey.feed(body.as_bytes());
            survey.finish().risk
        };
        assert_eq!(risk(9_000), Risk::None);
        assert_eq!(risk(11_000), Risk::May);
    }

    #[test]
    fn eight_bit_text_becomes_quoted_printable() {
        let (label, body) =
            settled(TEXT, "Gr\u{fc}\u{df}e aus M\u{fc}nchen an alle, die es lesen\n".as_bytes());
        assert_eq!(label, Some(("quoted-printable", None)));
        assert_eq!(body, "Gr=C3=BC=C3=9Fe aus M=C3=BCnchen an alle, die es lesen\n");
    }

    #[test]
    fn text_of_other_letters_becomes_base64() {
        let (label, body) = settled(TEXT, "\u{4e9c}\u{4e9c}\n".as_bytes());
        assert_eq!(label, Some(("base64", None)));
        assert_eq!(body, "5Lqc5LqcDQo=\n");
    }

    #[test]
    fn a_text_that_names_no_type_gets_one() {
        let label = |body: &[u8]| settled("Subject: x\n", body).0.unwrap();
        let of = |encoding, charset: &str| (encoding, Some(charset.to_owned()));
        assert_eq!(label("gr\u{fc}n und blau\n".as_bytes()), of("quoted-printable", "utf-8"));
        assert_eq!(label(b"gr\xfcn und blau\n"), of("quoted-printable", "windows-1252"));
        assert_eq!(label(b"x \xf0\xd2\xc9\xd7\xc5\xd4\n"), of("base64", "unknown-8bit"));
        let long = [b"x".repeat(991).as_slice(), b"\n"].concat();
        assert_eq!(label(&long), of("quoted-printable", "us-ascii"));
    }

    #[test]
    fn a_type_without_a_charset_gets_one_where_the_text_is_encoded() {
        let plain = "Content-Type: text/plain";
        for (fields, body, charset) in [
            (format!("{plain}\n"), "gr\u{fc}n\n".as_bytes(), Some("utf-8")),
            (format!("{plain}; format=flowed;\n"), b"gr\xfcn\n", Some("windows-1252")),
            (format!("{plain}\n"), b"--b\n \0\n", Some("us-ascii")),
            // Not where that is not certain, is said, or can't be written.
            (format!("{plain}\n"), b"x \xf0\xd2\xc9\xd7\xc5\xd4\n", None),
            (format!("{plain}; charset=x\n"), b"gr\xfcn\n", None),
            (format!("{plain} (x)\n"), b"gr\xfcn\n", None),
            (format!("{plain}\n{plain}\n"), b"gr\xfcn\n", None),
            ("Content-Type: text/html\n".to_owned(), b"gr\xfcn\n", None),
            // What is encoded says more than is seen of it.
            (
                format!("{plain}\nContent-Transfer-Encoding: quoted-printable\n"),
                b"=FC \xfc\n",
                None,
            ),
            ("Content-Transfer-Encoding: quoted-printable\n".to_owned(), b"=FC \xfc\n", None),
        ] {
            let (label, _) = settled(&fields, body);
            assert_eq!(label.unwrap().1.as_deref(), charset, "{fields}");
            let body = [format!("--c\n{fields}\n").as_bytes(), body, b"--c--\n"].concat();
            let (_, got) = settled(&MIXED.replace("=b", "=c"), &body);
            let parameter = charset.map(|charset| format!("; charset={charset}\n"));
            assert_eq!(
                got.matches("charset=").count(),
                usize::from(fields.contains("charset") || charset.is_some()),
                "{got}"
            );
            assert!(got.contains(parameter.as_deref().unwrap_or("")), "{got}");
        }
    }

    #[test]
    fn a_line_of_990_bytes_is_short() {
        let text = [b"x".repeat(990).as_slice(), b"\n"].concat();
        assert_eq!(settled("", &text).0, None);
    }

    #[test]
    fn parts_are_encoded_each_for_itself() {
        let body = "pre\n--b\n\nascii\n--b\nContent-Type: text/html; charset=utf-8\n\
            Content-Transfer-Encoding: 8bit\n\n<p>gr\u{fc}n und blau</p>\n--b--\npost\n";
        let header = format!("{MIXED}Content-Transfer-Encoding: 8bit\n");
        let (label, got) = settled(&header, body.as_bytes());
        assert_eq!(label, Some(("7bit", None)));
        assert_eq!(got, body.replace("8bit", "quoted-printable").replace('\u{fc}', "=C3=BC"));
    }

    #[test]
    fn a_part_without_a_header_gets_one() {
        let (_, got) = settled(MIXED, "--b\n\ngr\u{fc}n und blau\n--b--\n".as_bytes());
        assert_eq!(
            got,
            "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: \
             quoted-printable\n\ngr=C3=BCn und blau\n--b--\n"
        );
    }

    #[test]
    fn base64_of_long_lines_is_wrapped() {
        let header = "Content-Type: image/png\nContent-Transfer-Encoding: base64\n";
        let body = [b"QUJD".repeat(300).as_slice(), b"\n"].concat();
        let (label, got) = settled(header, &body);
        assert_eq!(label, Some(("base64", None)));
        assert!(got.lines().all(|line| line.len() <= 76));
        assert_eq!(got.replace('\n', "").as_bytes(), b"QUJD".repeat(300));
    }

    #[test]
    fn quoted_printable_with_raw_bytes_is_fixed() {
        let header = "Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain\n";
        let (_, got) = settled(header, "a=3Db gr\u{fc}n =\nx\n".as_bytes());
        assert_eq!(got, "a=3Db gr=C3=BCn =\nx\n");
    }

    #[test]
    fn spaces_before_the_colon_of_a_part_header_go() {
        let body = "--b\nContent-Type : text/plain\nX\t: a\0b\n\nHi\n--b--\n";
        let (_, got) = settled(MIXED, body.as_bytes());
        assert_eq!(got, "--b\nContent-Type: text/plain\nX: ab\n\nHi\n--b--\n");
    }

    #[test]
    fn file_names_of_other_letters_are_extended() {
        let body =
            "--b\nContent-Disposition: attachment; filename=\"gr\u{fc}n.txt\"\n\nHi\n--b--\n";
        let (_, got) = settled(MIXED, body.as_bytes());
        assert!(got.contains("filename*=utf-8''gr%C3%BCn.txt\n"), "{got}");
    }

    #[test]
    fn parts_that_another_program_signed_or_encrypted_are_not_changed() {
        let eight = "gr\u{fc}n : \0\n";
        for header in [
            "Content-Type: multipart/signed; boundary=b\n",
            "Content-Type: multipart/encrypted; boundary=b\n",
            "Content-Type: application/pkcs7-mime\n",
            "DKIM-Signature: x\nContent-Type: text/plain\n",
            "ARC-Seal: x\n",
        ] {
            let body = format!("--b\nX : y\n\n{eight}\n--b--\n");
            let mut survey = Survey::new(header.as_bytes(), false);
            survey.feed(body.as_bytes());
            let changes = survey.finish();
            assert!(changes.keep_body() && changes.of_header().is_none(), "{header}");
            assert_eq!(changes.risk, Risk::May, "{header}");
        }
        for part in [
            "Content-Type: message/rfc822\n\nDKIM-Signature: x\n",
            "\n-----BEGIN PGP SIGNED MESSAGE-----",
        ] {
            let body = format!("--b\n{part}\n{eight}\n--b--\n");
            let mut survey = Survey::new(MIXED.as_bytes(), false);
            survey.feed(body.as_bytes());
            assert!(survey.finish().keep_body(), "{part}");
        }
    }

    #[test]
    fn a_protected_part_that_a_hop_would_change_is_a_risk() {
        let risk = |field: &str| {
            let body = format!("--b\n{field}\n\nx\n--b--\n");
            let header = "Content-Type: multipart/signed; boundary=b\n";
            let mut survey = Survey::new(header.as_bytes(), false);
            survey.feed(body.as_bytes());
            survey.finish().risk
        };
        let (long, longer) = (format!("X:{:988}", 0), format!("X:{:996}", 0));
        for field in ["X: a\0b", "X : ab", "X: gr\u{fc}n", "\0", &format!("{long}0"), &longer] {
            assert_eq!(risk(field), Risk::May, "{field:?}");
        }
        assert_eq!(risk("X: ab"), Risk::None);
        assert_eq!(risk(&long), Risk::None);
        let mut survey = Survey::new(MIXED.as_bytes(), false);
        survey.feed(b"--b \0\n\nx\n--b--\n");
        assert_eq!(survey.finish().risk, Risk::May, "a boundary");
    }

    /// Of a message: what a hop may do to what is sent, and the body that is sent.
    fn sent(header: &str, body: &str) -> (Risk, String) {
        let mut survey = Survey::new(header.as_bytes(), false);
        survey.feed(body.as_bytes());
        let changes = survey.finish();
        (changes.risk, in_pieces(header, body.as_bytes(), body.len()).1)
    }

    #[test]
    fn what_a_hop_breaks_in_any_case_is_encoded() {
        let long = "x".repeat(999);
        let pgp = |signed: &str, signature: &str| {
            format!(
                "--b\n\n{signed}\n--b\nContent-Type: application/pgp-signature\n\n{signature}\n--b--\n"
            )
        };
        let signed = "Content-Type: multipart/signed; boundary=b\n";
        let foreign = "DKIM-Signature: d=x.test; bh=x\nContent-Type: multipart/mixed; boundary=b\n";
        for (header, body) in [
            (signed, pgp(&format!("gr\u{fc}n\n{long}"), "gr\u{fc}n")),
            (
                signed,
                pgp(&format!("X: {}\n\ngr\u{fc}n", "word ".repeat(250)), "x")
                    .replace("--b\n\nX", "--b\nX"),
            ),
            // The signature part itself is not signed.
            (signed, pgp("x", &long)),
            (foreign, format!("--b\n\n{long}\n--b\n\ngr\u{fc}n\n--b--\n")),
            ("ARC-Seal: x\n", format!("gr\u{fc}n\n{long}\n")),
            (
                "Content-Type: multipart/encrypted; boundary=b\n",
                format!(
                    "--b\n\nVersion: 1\n--b\nContent-Type: application/octet-stream\n\n{long}\n--b--\n"
                ),
            ),
            (
                "Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n",
                format!("{}\n", "QUJD".repeat(300)),
            ),
            (
                "Content-Type: text/plain\n",
                format!("-----BEGIN PGP SIGNED MESSAGE-----\n\ngr\u{fc}n\n{long}\n"),
            ),
            (
                MIXED,
                format!(
                    "--b\nContent-Type: message/rfc822\n\nDKIM-Signature: x\n\n{long}\n--b--\n"
                ),
            ),
            // All that are around it break, too.
            (
                signed,
                pgp(&format!("Content-Type: message/rfc822\n\nARC-Seal: x\n\n{long}"), "x")
                    .replace("--b\n\nC", "--b\nC"),
            ),
        ] {
            let (risk, body_sent) = sent(header, &body);
            assert_eq!(risk, Risk::None, "{header}{body}");
            assert!(
                body_sent.is_ascii() && body_sent.lines().all(|line| line.len() <= LONGEST_LINE),
                "{header}{body_sent}"
            );
            // What is a little shorter some hops leave alone.
            let shorter = body
                .replace(&long, &long.replacen('x', "", 1))
                .replace(&"QUJD".repeat(300), &"QUJD".repeat(249));
            if !body.contains("X: ") {
                assert_eq!(sent(header, &shorter), (Risk::May, shorter), "{header}");
            }
        }
    }

    #[test]
    fn if_a_hop_breaks_an_inner_signature_all_text_under_the_outer_one_is_encoded() {
        let message =
            format!("Content-Type: message/rfc822\n\nARC-Seal: x\n\n{}\n", "x".repeat(999));
        let body = format!(
            "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ngr\u{fc}n und blau\n--c\n\
             {message}--c--\n--b\n\nx\n--b--\n"
        );
        let (risk, got) = sent("Content-Type: multipart/signed; boundary=b\n", &body);
        assert_eq!(risk, Risk::None);
        assert!(got.contains("gr=C3=BCn und blau\n"), "{got}");
    }

    #[test]
    fn protected_parts_are_only_changed_where_that_saves_the_signature() {
        let long = "x".repeat(999);
        let eight = "gr\u{fc}n";
        for (header, body, risk) in [
            // Where the boundary, or text outside of the parts, breaks as well.
            ("Content-Type: multipart/signed; boundary=b\n", format!("{long}\n--b\n\n{long}\n--b--\n"), Risk::Will),
            (MIXED, format!("--b{}\n\n{eight}\n--b\nContent-Type: multipart/signed; boundary=c\n\n--c\n\n{long}\n--c--\n--b--\n", " ".repeat(5_000)).replace(eight, "x"), Risk::Will),
            // Where a signature is over a part of it, or the parts are not known.
            ("DKIM-Signature: d=x.test; l=5\n", format!("{long}\n"), Risk::Will),
            ("Content-Type: multipart/signed\n", format!("{long}\n"), Risk::Will),
            ("Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n", format!("{long}\n"), Risk::Will),
            // Only its label may change.
            ("Content-Type: message/external-body\nContent-Transfer-Encoding: 8bit\n", format!("\n{long}\n"), Risk::Will),
            // A signature that holds, in one that does not.
            ("Content-Type: multipart/signed; boundary=b\n", format!("--b\n\n{eight}\n--b\n\n{}\n--b--\n", "x".repeat(995)), Risk::May),
        ] {
            assert_eq!(sent(header, &body), (risk, body), "{header}");
        }
        let inner = format!("Content-Type: message/rfc822\n\nDKIM-Signature: x\n\n{eight}\n");
        let body = format!(
            "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n{long}\n--c\n{inner}--c--\n--b\n\nx\n--b--\n"
        );
        let (risk, got) = sent("Content-Type: multipart/signed; boundary=b\n", &body);
        assert_eq!(risk, Risk::May);
        assert!(got.contains(&inner) && !got.contains(&long), "{got}");
        // Encoding the part that contains the signature does not break the signature.
        let signature = format!("--b\n\n{eight}\n--b\n\n{long}\n--b--\n");
        let (risk, got) = sent("Content-Type: multipart/signed; boundary=b\n", &signature);
        assert_eq!(risk, Risk::May);
        assert!(got.contains(eight) && !got.contains(&long), "{got}");
    }

    #[test]
    fn the_header_says_what_text_without_a_label_is_in() {
        let label = |header: &str, body: &[u8]| {
            in_pieces(header, body, body.len()).0.and_then(|(_, charset)| charset)
        };
        let russian = b"\xf0\xd2\xc9\xd7\xc5\xd4, \xcd\xc9\xd2\n";
        let koi8 = "Subject: =?koi8-r?B?8NLJ18XU?=\n";
        assert_eq!(label(koi8, russian).as_deref(), Some("koi8-r"));
        assert_eq!(label("", russian).as_deref(), Some("unknown-8bit"));
        // Not where the text can't be in it.
        assert_eq!(label(koi8, b"gr\xfcn und blau\n").as_deref(), Some("windows-1252"));
        let latin = "Subject: =?iso-8859-1?Q?gr=FCn?=\n";
        assert_eq!(label(latin, russian).as_deref(), Some("unknown-8bit"));
        assert_eq!(label(latin, b"gr\xfcn\n").as_deref(), Some("iso-8859-1"));
        // In a part, too, and not in a message of another author.
        let body = [
            b"--b\n\n",
            russian.as_slice(),
            b"--b\nContent-Type: message/rfc822\n\n\n",
            russian,
            b"--b--\n",
        ]
        .concat();
        let (_, got) = in_pieces(&format!("{koi8}{MIXED}"), &body, body.len());
        assert_eq!(got.matches("charset=koi8-r\n").count(), 1, "{got}");
        assert_eq!(got.matches("charset=unknown-8bit\n").count(), 1, "{got}");
    }

    #[test]
    fn an_enclosed_message_is_encoded_inside() {
        let body = "--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n\
            Subject: x\n\ngr\u{fc}n und blau\n--b--\n";
        let (_, got) = settled(MIXED, body.as_bytes());
        assert_eq!(
            got,
            "--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n\
             Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: \
             quoted-printable\n\ngr=C3=BCn und blau\n--b--\n"
        );
    }

    #[test]
    fn with_the_setting_off_everything_is_left_alone() {
        let long = "x".repeat(999);
        for (header, body) in [
            (TEXT, "gr\u{fc}n\n".to_owned()),
            ("Content-Type: multipart/signed; boundary=b\n", format!("--b\n\n{long}\n--b--\n")),
            (MIXED, format!("--b\nContent-Type: application/pkcs7-mime\n\n{long}\n--b--\n")),
        ] {
            let mut survey = Survey::new(header.as_bytes(), true);
            survey.feed(body.as_bytes());
            let changes = survey.finish();
            assert!(changes.keep_body() && changes.of_header().is_none(), "{header}");
        }
    }

    #[test]
    fn a_message_with_a_part_header_that_is_too_large_is_left_as_it_is() {
        let body = |field: &str| format!("--b\n{field}\n\ngr\u{fc}n\n--b\n\ngr\u{fc}n\n--b--\n");
        let long = body(&format!("A: b\n{}C: d", "X: yyyyyyyyyyyyyyyyyyyy\n".repeat(6_000)));
        let mut survey = Survey::new(MIXED.as_bytes(), false);
        survey.feed(long.as_bytes());
        let changes = survey.finish();
        assert!(changes.keep_body() && changes.risk == Risk::May);
        assert_eq!(changes.of_header(), None);
        let mut survey = Survey::new(MIXED.as_bytes(), false);
        survey.feed(body("A: b").as_bytes());
        assert!(!survey.finish().keep_body());
    }

    #[test]
    fn the_body_stays_where_only_the_header_of_the_message_gets_a_label() {
        let header =
            b"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n";
        let mut survey = Survey::new(header, false);
        survey.feed(b"--b\n\nx\n--b--\n");
        let changes = survey.finish();
        assert_eq!(changes.of_header(), Some(("7bit", None)));
        assert!(changes.keep_body());
    }

    #[test]
    fn a_part_header_is_at_risk_where_postfix_would_cut_a_field() {
        for (longer, risk) in [(0, Risk::None), (1, Risk::May)] {
            let lines = format!(" {}\n", "x".repeat(98)).repeat(LONGEST_FIELD / 100 - 1);
            let field = format!("X:\n{lines} {}\n", "x".repeat(95 + longer));
            assert_eq!(field.len(), LONGEST_FIELD + longer);
            assert_eq!(risk_of_header(field.as_bytes()), risk);
        }
    }
}
