//! Address ranges of clusters.

use super::wire::ClusterCreateOptions;
use crate::{Error, error::invalid};
use std::{fmt, net::Ipv4Addr, str::FromStr};

/// Default range of pods. Source: OKE's documentation.
const PODS: Cidr = Cidr { address: u32::from_be_bytes([10, 244, 0, 0]), prefix: 16 };
/// Default range of Services. Source: OKE's documentation.
const SERVICES: Cidr = Cidr { address: u32::from_be_bytes([10, 96, 0, 0]), prefix: 16 };

/// An IPv4 range. Invariant: bits behind the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    address: u32,
    prefix: u8,
}

impl Cidr {
    fn mask(prefix: u8) -> u32 {
        if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) }
    }

    fn overlaps(self, other: Self) -> bool {
        let mask = Self::mask(self.prefix.min(other.prefix));
        self.address & mask == other.address & mask
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

/// The ranges of pods and Services that a request asks for, or the default ones.
pub(crate) fn plan(options: Option<&ClusterCreateOptions>) -> Result<(Cidr, Cidr), Error> {
    let network = options.and_then(|options| options.kubernetes_network_config.as_ref());
    let pods = network.and_then(|network| network.pods_cidr.as_deref());
    let services = network.and_then(|network| network.services_cidr.as_deref());
    let pods = range("options.kubernetesNetworkConfig.podsCidr", pods, PODS, 8..=24)?;
    let services = range("options.kubernetesNetworkConfig.servicesCidr", services, SERVICES, 12..=24)?;
    if pods.overlaps(services) {
        return Err(invalid(format!("podsCidr {pods} and servicesCidr {services} overlap; choose other ranges")));
    }
    Ok((pods, services))
}

fn range(
    field: &str,
    text: Option<&str>,
    default: Cidr,
    prefixes: std::ops::RangeInclusive<u8>,
) -> Result<Cidr, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(default) };
    let cidr: Cidr = text.parse().map_err(|why| invalid(format!("{field}: {why}")))?;
    if !prefixes.contains(&cidr.prefix) {
        let (from, to) = prefixes.into_inner();
        return Err(invalid(format!("{field}: the prefix must be from /{from} to /{to}")));
    }
    // Addresses with a meaning of their own can't be pods: "this network", loopback, link-local, multicast and above.
    let first = Ipv4Addr::from(cidr.address);
    if first.octets()[0] == 0 || first.is_loopback() || first.is_link_local() || first.octets()[0] >= 224 {
        return Err(invalid(format!("{field}: {cidr} is not a range for private use")));
    }
    Ok(cidr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::wire::KubernetesNetworkConfig;

    fn planned(pods: &str, services: &str) -> String {
        let network = KubernetesNetworkConfig { pods_cidr: Some(pods.into()), services_cidr: Some(services.into()) };
        let options = ClusterCreateOptions { kubernetes_network_config: Some(network), ..Default::default() };
        match plan(Some(&options)) {
            Ok((pods, services)) => format!("{pods} {services}"),
            Err(error) => error.for_caller().message,
        }
    }

    #[test]
    fn ranges_are_checked() {
        assert_eq!(planned("10.1.0.0/16", "10.2.0.0/20"), "10.1.0.0/16 10.2.0.0/20");
        assert_eq!(planned("", ""), "10.244.0.0/16 10.96.0.0/16");
        for (pods, services, expect) in [
            ("10.1.0.0/16", "10.1.4.0/24", "overlap"),
            ("10.1.0.1/16", "", "write 10.1.0.0/16"),
            ("10.1.0.0/30", "", "prefix"),
            ("127.0.0.0/16", "", "private"),
            ("fd00::/64", "", "not an IPv4 range"),
            ("10.1.0.0", "", "not an IPv4 range"),
        ] {
            let message = planned(pods, services);
            assert!(message.contains(expect), "{pods} {services}: {message}");
        }
    }
}
