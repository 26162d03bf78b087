//! Mail of two domains has no author domain, however they are written; and the author domain does not change when a field is
//! unfolded, or has an address in quotes or a comment.
#![no_main]

use sendmail_dkim::dkim::{Domain, Field, Header};
use sendmail_dkim::message::author::{Author, NoAuthor};

fn author(value: &[u8]) -> Option<Result<Author, NoAuthor>> {
    let field = [b"From:", value, b"\n"].concat();
    Some(Author::of(&Header::new(vec![Field::parse(&field).ok()?])))
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // A whole header, as it is.
    if let Ok(header) = Header::parse(input)
        && let Ok(author) = Author::of(&header)
    {
        assert_eq!(header.count("From"), 1);
        assert!(author.address().ends_with(&format!("@{}", author.domain())));
        let twice =
            [input, if input.ends_with(b"\n") { b"" } else { b"\n" }, b"from: a@b.example\n"];
        let twice = Header::parse(&twice.concat()).expect("one field more");
        assert_eq!(Author::of(&twice), Err(NoAuthor::SeveralFrom));
    }
    // The value of one field.
    let Some(Ok(one)) = author(input) else { return };
    assert!(input.contains(&b'@'));
    assert_eq!(Domain::parse(one.domain().as_str()).as_ref(), Ok(one.domain()));
    let unfolded: Vec<u8> = input.iter().filter(|byte| **byte != b'\n').copied().collect();
    // A quoted string may be folded inside.
    let domain =
        |author: Option<Result<Author, NoAuthor>>| author?.ok().map(|one| one.domain().clone());
    assert_eq!(domain(author(&unfolded)).as_ref(), Some(one.domain()));
    let other = b"x@other-domain.invalid";
    for together in [[other.as_slice(), b", ", input], [input, b", ", other]] {
        if let Some(Ok(both)) = author(&together.concat()) {
            assert_eq!(both.domain().as_str(), "other-domain.invalid");
            assert_eq!(one.domain(), both.domain());
        }
    }
    // An address inside quotes or a comment is not an author.
    for before in [b"\"a@evil.example\" <".as_slice(), b"(a@evil.example) <"] {
        if let Some(Ok(quoted)) = author(&[before, input, b">"].concat()) {
            assert_eq!(quoted.domain(), one.domain());
        }
    }
});
