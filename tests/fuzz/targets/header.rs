//! A header is the sum of its fields, wherever it is cut between two of them, and repeated fields are picked from the
//! bottom.
#![no_main]

use sendmail_dkim::dkim::header::Picker;
use sendmail_dkim::dkim::{Field, FieldName, Header};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let header = match Header::parse(input) {
        Ok(header) => header,
        Err(error) => {
            // All before the line that is none can be read, and with it nothing.
            let lines: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
            let (before, behind) = lines.split_at(error.line - 1);
            assert!(Header::parse(&before.concat()).is_ok());
            assert!(Header::parse(behind[0]).is_err() || behind[0].starts_with(b" "));
            return;
        }
    };
    let end: &[u8] = if input.is_empty() || input.ends_with(b"\n") { b"" } else { b"\n" };
    assert_eq!(header.bytes(), [input, end].concat());
    let fields = header.fields();
    for (at, field) in fields.iter().enumerate() {
        assert_eq!(Field::parse(field.bytes()).as_ref(), Ok(field));
        assert!(field.bytes().starts_with(field.name()) && field.bytes().ends_with(field.value()));
        let bytes = |fields: &[Field]| Header::new(fields.to_vec()).bytes();
        let (above, below) = (bytes(&fields[..at]), bytes(&fields[at..]));
        // The cost of this grows with the square of the number of fields.
        if fields.len() < 20 {
            assert_eq!(Header::parse(&above).expect("a header").fields(), &fields[..at]);
            assert_eq!(Header::parse(&below).expect("a header").fields(), &fields[at..]);
        }
        let name = std::str::from_utf8(field.name()).expect("ASCII");
        let name = FieldName::parse(name).expect("a name");
        let mut picker = Picker::new(&header);
        let mut below: Vec<&Field> =
            fields.iter().filter(|other| other.name().eq_ignore_ascii_case(field.name())).collect();
        assert_eq!(picker.left(&name), header.count(name.as_str()));
        while let Some(last) = below.pop() {
            assert!(picker.pick(&name).is_some_and(|picked| std::ptr::eq(picked, last)));
        }
        assert_eq!(picker.pick(&name), None);
        if at > 20 {
            break;
        }
    }
});
