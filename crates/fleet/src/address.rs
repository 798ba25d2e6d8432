//! Leases of pod addresses.

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
};

/// A range of addresses from which pods get theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Range {
    first: u32,
    count: u32,
}

/// Why a range can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an IPv4 range like 10.244.0.0/16 with room for pods")]
pub(crate) struct RangeError(String);

impl Range {
    /// All of a range but its first two addresses (network, router) and its last (broadcast).
    pub(crate) fn parse(cidr: &str) -> Result<Self, RangeError> {
        let bad = || RangeError(cidr.to_owned());
        let (base, bits) = cidr.split_once('/').ok_or_else(bad)?;
        let base: Ipv4Addr = base.parse().map_err(|_| bad())?;
        let bits: u32 = bits.parse().ok().filter(|bits| (8..=29).contains(bits)).ok_or_else(bad)?;
        let size = 1u32 << (32 - bits);
        Ok(Self { first: (u32::from(base) & !(size - 1)) + 2, count: size - 3 })
    }

    fn has(self, address: u32) -> bool {
        address.checked_sub(self.first).is_some_and(|index| index < self.count)
    }
}

/// Leased addresses of one network, whichever of its ranges they are from. Invariant: none is leased twice, however the
/// ranges overlap.
#[derive(Debug, Clone, Default)]
pub(crate) struct AddressPool {
    used: BTreeSet<u32>,
    /// By range: behind the address that was leased last.
    next: HashMap<Range, u32>,
}

impl AddressPool {
    /// Marks an address as leased; false if it is leased already, or is none.
    pub(crate) fn claim(&mut self, address: &str) -> bool {
        number(address).is_some_and(|address| self.used.insert(address))
    }

    /// Marks an address of a range as leased; false if it is not of this range or leased already.
    pub(crate) fn claim_in(&mut self, range: Range, address: &str) -> bool {
        number(address).is_some_and(|address| range.has(address) && self.used.insert(address))
    }

    /// Leases an address of a range; the longest unused ones come first, so that an address is not soon used again.
    /// A range that was not leased from since this process started goes on behind its highest address in use.
    pub(crate) fn lease(&mut self, range: Range) -> Option<String> {
        let within = range.first..range.first + range.count;
        if self.used.range(within.clone()).count() >= range.count as usize {
            return None;
        }
        let behind_highest = || self.used.range(within).next_back().map_or(0, |a| a - range.first + 1);
        let mut index = self.next.get(&range).copied().unwrap_or_else(behind_highest) % range.count;
        while !self.used.insert(range.first + index) {
            index = (index + 1) % range.count;
        }
        self.next.insert(range, index + 1);
        Some(Ipv4Addr::from(range.first + index).to_string())
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: &str) {
        if let Some(address) = number(address) {
            self.used.remove(&address);
        }
    }
}

fn number(address: &str) -> Option<u32> {
    address.parse::<Ipv4Addr>().ok().map(u32::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_leased_once_and_again_only_when_given_back() {
        let (mut pool, range) = (AddressPool::default(), Range::parse("10.1.0.0/29").unwrap());
        assert!(pool.claim("10.1.0.3") && !pool.claim("10.1.0.3"));
        let leased: Vec<_> = std::iter::from_fn(|| pool.lease(range)).collect();
        assert_eq!(leased, ["10.1.0.4", "10.1.0.5", "10.1.0.6", "10.1.0.2"]);
        pool.release("10.1.0.4");
        pool.release("10.9.9.9");
        assert_eq!(pool.lease(range).as_deref(), Some("10.1.0.4"));
        assert_eq!(pool.lease(range), None);
    }

    #[test]
    fn ranges_that_overlap_share_their_addresses() {
        let (wide, narrow) = (Range::parse("10.1.0.0/28").unwrap(), Range::parse("10.1.0.0/29").unwrap());
        let mut pool = AddressPool::default();
        assert_eq!(pool.lease(wide).as_deref(), Some("10.1.0.2"));
        assert_eq!(pool.lease(narrow).as_deref(), Some("10.1.0.3"));
        assert_eq!(pool.lease(wide).as_deref(), Some("10.1.0.4"), "the other range's lease is skipped");
        assert!(!pool.claim_in(narrow, "10.1.0.9") && !pool.claim_in(narrow, "10.1.0.4"));
        assert!(pool.claim_in(wide, "10.1.0.9"));
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/30", "fd00::/64", "x/24"] {
            assert!(Range::parse(bad).is_err(), "{bad}");
        }
    }
}
