//! Leases of pod addresses.

use std::{collections::HashSet, net::Ipv4Addr};

/// Addresses of one network, by their number inside the range.
#[derive(Debug, Clone)]
pub(crate) struct AddressPool {
    first: u32,
    count: u32,
    next: u32,
    used: HashSet<u32>,
}

/// Why a range can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an IPv4 range like 10.244.0.0/16 with room for pods")]
pub(crate) struct RangeError(String);

impl AddressPool {
    /// All of a range but its first two addresses (network, router) and its last (broadcast).
    pub(crate) fn new(cidr: &str) -> Result<Self, RangeError> {
        let bad = || RangeError(cidr.to_owned());
        let (base, bits) = cidr.split_once('/').ok_or_else(bad)?;
        let base: Ipv4Addr = base.parse().map_err(|_| bad())?;
        let bits: u32 = bits.parse().ok().filter(|bits| (8..=29).contains(bits)).ok_or_else(bad)?;
        let size = 1u32 << (32 - bits);
        let first = (u32::from(base) & !(size - 1)) + 2;
        Ok(Self { first, count: size - 3, next: 0, used: HashSet::new() })
    }

    /// Marks an address as leased; false if it is not of this range or leased already.
    pub(crate) fn claim(&mut self, address: &str) -> bool {
        self.index(address).is_some_and(|index| self.used.insert(index))
    }

    /// Leases an address; the longest unused ones come first, so that an address is not soon used again.
    pub(crate) fn lease(&mut self) -> Option<String> {
        if self.used.len() >= self.count as usize {
            return None;
        }
        loop {
            let index = self.next;
            self.next = (self.next + 1) % self.count;
            if self.used.insert(index) {
                return Some(Ipv4Addr::from(self.first + index).to_string());
            }
        }
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: &str) {
        if let Some(index) = self.index(address) {
            self.used.remove(&index);
        }
    }

    /// Starts leasing behind the given address: after a restart, recently used ones are not given out first.
    pub(crate) fn continue_after_highest(&mut self) {
        self.next = self.used.iter().max().map_or(0, |highest| (highest + 1) % self.count);
    }

    fn index(&self, address: &str) -> Option<u32> {
        let address: Ipv4Addr = address.parse().ok()?;
        u32::from(address).checked_sub(self.first).filter(|index| *index < self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_leased_once_and_again_only_when_given_back() {
        let mut pool = AddressPool::new("10.1.0.0/29").unwrap();
        assert!(pool.claim("10.1.0.3"));
        let leased: Vec<_> = std::iter::from_fn(|| pool.lease()).collect();
        assert_eq!(leased, ["10.1.0.2", "10.1.0.4", "10.1.0.5", "10.1.0.6"]);
        pool.release("10.1.0.4");
        pool.release("10.9.9.9");
        assert_eq!(pool.lease().as_deref(), Some("10.1.0.4"));
        assert_eq!(pool.lease(), None);
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/30", "fd00::/64", "x/24"] {
            assert!(AddressPool::new(bad).is_err(), "{bad}");
        }
    }
}
