//! IP addresses and networks in `clients` of a domain file, and the address of an SMTP client. Pure.

#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An address and the length of its prefix: `192.0.2.0/24`, `2001:db8::/32`, `192.0.2.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Parses an address, or an address and a prefix length. IPv6 may also be in brackets, as Postfix writes it:
    /// `[2001:db8::]/32`.
    ///
    /// # Errors
    /// What is wrong with the text.
    ///
    /// ```
    /// use sendmail_dkim::network::Network;
    /// let network = Network::parse("192.0.2.0/24").unwrap();
    /// assert!(network.contains("192.0.2.7".parse().unwrap()));
    /// assert!(Network::parse("192.0.2.7/24").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let (typed, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let bare = typed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(typed);
        let wrong = || format!("{text:?} is not an IP address or a network such as 192.0.2.0/24");
        let address: IpAddr = bare.parse().map_err(|_| wrong())?;
        let most = width(address);
        let prefix = match prefix {
            None => most,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        let network = Self { address, prefix };
        let first = network.first();
        if first != network {
            return Err(format!("{text:?} has bits after its prefix; write {first}"));
        }
        Ok(network)
    }

    /// Whether an address is in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address)
            && Self { address, prefix: self.prefix }.first().address == self.address
    }

    /// The length of the prefix in bits.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is larger than any network with a single owner. The largest private ones are `10.0.0.0/8` and `fc00::/7`.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.prefix < if self.address.is_ipv4() { 8 } else { 7 }
    }

    /// The network with no bits set after the prefix.
    fn first(self) -> Self {
        let dropped = u32::from(width(self.address).saturating_sub(self.prefix));
        let address = match self.address {
            IpAddr::V4(address) => {
                let kept = u32::MAX.checked_shl(dropped).unwrap_or_default();
                IpAddr::V4((address.to_bits() & kept).into())
            }
            IpAddr::V6(address) => {
                let kept = u128::MAX.checked_shl(dropped).unwrap_or_default();
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & kept))
            }
        };
        Self { address, ..self }
    }
}

/// How many bits an address has.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == width(self.address) {
            return self.address.fmt(f);
        }
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Parses the address of an SMTP client from Postfix. The zone is dropped, and IPv4-mapped IPv6 becomes IPv4. `None` if it is not
/// known.
#[must_use]
pub fn client_address(text: &str) -> Option<IpAddr> {
    let (address, _) = text.split_once('%').unwrap_or((text, ""));
    Some(address.parse::<IpAddr>().ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap()
    }

    fn has(text: &str, address: &str) -> bool {
        network(text).contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_the_addresses_of_its_prefix() {
        for (text, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("[2001:db8::]/127", "2001:db8::1", "2001:db8::2"),
            ("[::1]", "::1", "::2"),
        ] {
            assert!(has(text, inside) && !has(text, outside), "{text}");
        }
        assert!(has("0.0.0.0/0", "255.255.255.255") && has("::/0", "ffff::"));
    }

    #[test]
    fn the_kinds_of_addresses_are_apart_except_ipv4_in_ipv6() {
        assert!(!has("0.0.0.0/0", "::1") && !has("::/0", "192.0.2.1"));
        assert!(has("192.0.2.0/24", "::ffff:192.0.2.1") && !has("::/0", "::ffff:192.0.2.1"));
    }

    #[test]
    fn a_malformed_network_is_an_error_with_the_reason() {
        for text in [
            "",
            "/",
            "/8",
            "192.0.2.0/",
            "192.0.2.0/33",
            "192.0.2.0/+8",
            "192.0.2/24",
            "::/129",
            "host.example",
            "192.0.2.0/255.255.255.0",
            "[192.0.2.0/24]",
            "[::1",
            " 192.0.2.1",
            "10.0.0.0/8/8",
            "fe80::1%eth0",
            "010.0.0.1",
        ] {
            assert!(Network::parse(text).unwrap_err().contains("is not an IP address"), "{text:?}");
        }
        let error = Network::parse("192.0.2.7/24").unwrap_err();
        assert_eq!(error, "\"192.0.2.7/24\" has bits after its prefix; write 192.0.2.0/24");
        assert!(Network::parse("2001:db8::1/64").unwrap_err().ends_with("write 2001:db8::/64"));
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["192.0.2.0/24", "192.0.2.7", "2001:db8::/32", "::1", "0.0.0.0/0"] {
            assert_eq!(network(text).to_string(), text);
        }
        for (text, is_wide) in [
            ("::/0", true),
            ("0.0.0.0/1", true),
            ("10.0.0.0/8", false),
            ("fc00::/7", false),
            ("::1", false),
        ] {
            assert_eq!(network(text).is_wide(), is_wide, "{text}");
        }
    }

    #[test]
    fn the_address_of_a_client_is_read_as_postfix_writes_it() {
        let read = |text| client_address(text).map(|address| address.to_string());
        assert_eq!(read("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(read("::ffff:192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(read("fe80::1%eth0").as_deref(), Some("fe80::1"));
        for text in ["", "unknown", "192.0.2.1 ", "192.0.2.0/24"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
