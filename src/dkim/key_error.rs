//! Why a text cannot be used as a private key.

use std::{error, fmt};

/// Why a text cannot be used as a private key. Reveals nothing about the key except its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The text has no PEM block.
    NotPem,
    /// It is something else, or in another format. The text says which, and how to convert it.
    Unusable(&'static str),
    /// The content between the BEGIN and END lines is broken.
    Malformed,
    /// The public exponent of an RSA key is longer than verifiers accept.
    Exponent,
    /// The key has fewer bits than required.
    TooSmall {
        /// Bits of the key.
        bits: u32,
        /// The smallest number of bits that is accepted.
        minimum: u32,
    },
    /// The key has more bits than verifiers must support (§3.3.3, RFC 8301 §3.2).
    TooLarge {
        /// Bits of the key.
        bits: u32,
    },
    /// The system did not supply random bytes.
    NotGenerated,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => write!(f, "no private key in PEM format"),
            Self::Unusable(what) => f.write_str(what),
            Self::Malformed => write!(f, "the key is damaged"),
            Self::Exponent => {
                write!(f, "the public exponent of the key has more than {LONGEST_EXPONENT} bits")
            }
            Self::TooSmall { bits, minimum } => {
                write!(f, "the key has {bits} bits, fewer than {minimum}")
            }
            Self::TooLarge { bits } => write!(f, "the key has {bits} bits, more than {LARGEST}"),
            Self::NotGenerated => write!(f, "the system supplied no random bytes for a key"),
        }
    }
}

impl error::Error for KeyError {}

/// Bits of the longest public exponent that the `rsa` crate supports.
pub(super) const LONGEST_EXPONENT: u32 = 33;
/// Bits of the smallest RSA key that may sign (RFC 8301 §3.2).
pub const SMALLEST: u32 = 1024;
/// Bits of the largest RSA key that every verifier accepts (RFC 8301 §3.2).
pub const LARGEST: u32 = 4096;
