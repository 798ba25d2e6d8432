//! IPv4 ranges.

use std::{fmt, net::Ipv4Addr, str::FromStr};

/// An IPv4 range. Invariant: bits behind the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    address: u32,
    prefix: u8,
}

impl Cidr {
    /// A range known to be one. `octets` must have no bits behind the prefix.
    pub(crate) const fn known(octets: [u8; 4], prefix: u8) -> Self {
        Self { address: u32::from_be_bytes(octets), prefix }
    }

    fn mask(prefix: u8) -> u32 {
        if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) }
    }

    /// Length of the prefix, 0 to 32.
    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    /// True if they share an address.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let mask = Self::mask(self.prefix.min(other.prefix));
        self.address & mask == other.address & mask
    }

    /// True if all of `inner` is in it.
    pub(crate) fn contains(self, inner: Self) -> bool {
        self.prefix <= inner.prefix && self.overlaps(inner)
    }

    /// True if its first address has a meaning of its own: "this network", loopback, link-local, multicast and above.
    pub(crate) fn is_special(self) -> bool {
        let first = Ipv4Addr::from(self.address);
        first.octets()[0] == 0 || first.is_loopback() || first.is_link_local() || first.octets()[0] >= 224
    }

    /// The address behind the first one: a subnet's router.
    pub(crate) fn router(self) -> Ipv4Addr {
        Ipv4Addr::from(self.address | 1)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.address), self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not an IPv4 range like 10.244.0.0/16");
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32).ok_or_else(bad)?;
        let address = u32::from(address);
        if address & !Self::mask(prefix) != 0 {
            let first = Self { address: address & Self::mask(prefix), prefix };
            return Err(format!("{text:?} has bits set behind its prefix; write {first}"));
        }
        Ok(Self { address, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_know_what_is_in_them() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        assert!(cidr("10.240.0.0/12").contains(cidr("10.244.0.0/16")));
        assert!(!cidr("10.244.0.0/16").contains(cidr("10.240.0.0/12")));
        assert!(cidr("10.244.0.0/16").overlaps(cidr("10.240.0.0/12")));
        assert!(!cidr("10.0.0.0/16").overlaps(cidr("10.1.0.0/16")));
        assert!(cidr("0.0.0.0/0").contains(cidr("255.255.255.255/32")));
        assert_eq!(cidr("10.0.1.0/24").router(), Ipv4Addr::new(10, 0, 1, 1));
        assert!(cidr("127.0.0.0/8").is_special() && !cidr("10.0.0.0/8").is_special());
    }
}
