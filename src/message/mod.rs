//! Turns a submitted text into a message that no hop will change. Pure: bytes in, values out.
//!
//! Everything that Postfix would add, rewrite or drop is done here first, so that the signature covers what will be sent.

#![forbid(unsafe_code)]

pub mod address;
pub mod author;
pub mod body;
pub mod complete;
pub mod date;
pub mod fold;
pub mod limits;
pub mod mime;
pub mod reader;
pub mod received;
pub mod session;
pub mod seven_bit;
pub(crate) mod syntax;
pub mod words;

pub use reader::Reader;
pub use session::Session;

#[cfg(test)]
mod tests {
    use super::address::Unstable;
    use super::author::NoAuthor;
    use super::session::NotFollowed;

    #[test]
    fn each_reason_not_to_sign_is_said() {
        assert_eq!(Unstable::TooMany.to_string(), "too many addresses");
        assert_eq!(NoAuthor::NoFrom.to_string(), "no From field");
        let unclear = NoAuthor::Unclear(Unstable::TooMany);
        assert_eq!(unclear.to_string(), "From: too many addresses");
        assert_eq!(NotFollowed::Bdat.to_string(), "sent with BDAT");
    }
}
