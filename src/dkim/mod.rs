//! DKIM (RFC 6376): bytes in, values out; one file per term of the RFC.
//!
//! Nothing here opens a file, reads the clock or the environment, logs, or starts a process. Lines may end in LF or CRLF; all are
//! hashed with CRLF. A CR anywhere else is an ordinary byte.

#![forbid(unsafe_code)]

pub mod canon;
pub mod domain;
pub mod hash;
pub mod header;
pub mod key;
mod key_error;
mod pem;
pub mod record;
pub mod sign;
pub mod signature;
pub mod tag;
pub mod verify;

pub use canon::{Canon, Canonicalization};
pub use domain::{Domain, DomainError, Identity, Selector};
pub use hash::{BodyHash, BodyHasher, HashInput};
pub use header::{Field, FieldName, Header, NotAField, NotAFieldName, NotAHeader};
pub use key::{Algorithm, KeyError, PublicKey, SigningKey};
pub use record::{Record, RecordError, Terms};
pub use sign::{Draft, Recipe, RecipeError, SignError, Timestamp, sign};
pub use signature::{Claims, Signature, SignatureError};
pub use verify::{Fault, Lookup, Verdict, verify};

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn each_error_says_what_is_wrong() {
        let errors: [(&dyn Error, &str); 11] = [
            (
                &canon::NotACanonicalization,
                "expected simple or relaxed, or two of these separated by a slash",
            ),
            (&DomainError::EmptyLabel, "it has an empty label (one dot too many)"),
            (&NotAField, "not a header field"),
            (&NotAFieldName, "a field name is printable ASCII without spaces and colons"),
            (&NotAHeader { line: 3 }, "line 3 of the header is not a header field"),
            (
                &KeyError::TooSmall { bits: 768, minimum: 1024 },
                "the key has 768 bits, fewer than 1024",
            ),
            (&RecordError::Revoked, "p= is empty: the key was revoked"),
            (&RecipeError::NoFrom, "From must be signed"),
            (&SignError::NoFrom, "there is no From field to sign"),
            (&SignatureError::Missing("bh"), "tag bh= is missing"),
            (&tag::TagError::Twice, "a tag that occurs twice"),
        ];
        for (error, text) in errors {
            assert_eq!(error.to_string(), text);
        }
        assert_eq!(Fault::Expired.to_string(), "the signature has expired");
        assert_eq!(Algorithm::RsaSha256.to_string(), "rsa-sha256");
    }
}
