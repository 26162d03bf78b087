//! Why a text is no usable private key.

use std::{error, fmt};

/// Why a text is no usable private key. Reveals nothing of the key but its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// There is no PEM block in it.
    NotPem,
    /// It is something else, or in another form: what, and how to convert it.
    Unusable(&'static str),
    /// What is between the BEGIN and END lines is broken.
    Malformed,
    /// The public exponent of an RSA key is longer than verifiers accept.
    Exponent,
    /// Fewer bits than required.
    TooSmall {
        /// Bits of the key.
        bits: u32,
        /// The fewest that are accepted.
        minimum: u32,
    },
    /// More bits than verifiers have to accept (§3.3.3, RFC 8301 §3.2).
    TooLarge {
        /// Bits of the key.
        bits: u32,
    },
    /// The system has no randomness.
    NotGenerated,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => write!(f, "no private key in PEM form"),
            Self::Unusable(what) => f.write_str(what),
            Self::Malformed => write!(f, "the key is damaged"),
            Self::Exponent => {
                write!(f, "the public exponent of the key has more than {LONGEST_EXPONENT} bits")
            }
            Self::TooSmall { bits, minimum } => {
                write!(f, "the key has {bits} bits, fewer than {minimum}")
            }
            Self::TooLarge { bits } => write!(f, "the key has {bits} bits, more than {LARGEST}"),
            Self::NotGenerated => write!(f, "the system has no randomness for a key"),
        }
    }
}

impl error::Error for KeyError {}

/// Bits of the longest public exponent that the `rsa` crate signs and verifies with.
pub(super) const LONGEST_EXPONENT: u32 = 33;
/// Bits of the smallest RSA key that may sign (RFC 8301 §3.2).
pub const SMALLEST: u32 = 1024;
/// Bits of the largest RSA key that every verifier accepts (RFC 8301 §3.2).
pub const LARGEST: u32 = 4096;
