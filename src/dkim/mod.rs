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
