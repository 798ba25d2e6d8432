//! Address ranges of clusters.

use super::wire::ClusterCreateOptions;
use crate::{Error, cidr::Cidr, error::invalid};

/// Default range of pods. Source: OKE's documentation.
pub(crate) const PODS: Cidr = Cidr::known([10, 244, 0, 0], 16);
/// Default range of Services. Source: OKE's documentation.
const SERVICES: Cidr = Cidr::known([10, 96, 0, 0], 16);

/// The ranges of pods (`None`: whatever the network has) and Services that a request asks for.
pub(crate) fn plan(options: Option<&ClusterCreateOptions>) -> Result<(Option<Cidr>, Cidr), Error> {
    let network = options.and_then(|options| options.kubernetes_network_config.as_ref());
    let pods = network.and_then(|network| network.pods_cidr.as_deref());
    let services = network.and_then(|network| network.services_cidr.as_deref());
    let pods = range("options.kubernetesNetworkConfig.podsCidr", pods, 8..=24)?;
    let services = range("options.kubernetesNetworkConfig.servicesCidr", services, 12..=24)?.unwrap_or(SERVICES);
    if let Some(pods) = pods.filter(|pods| pods.overlaps(services)) {
        return Err(invalid(format!("podsCidr {pods} and servicesCidr {services} overlap; choose other ranges")));
    }
    Ok((pods, services))
}

fn range(field: &str, text: Option<&str>, prefixes: std::ops::RangeInclusive<u8>) -> Result<Option<Cidr>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let cidr: Cidr = text.parse().map_err(|why| invalid(format!("{field}: {why}")))?;
    if !prefixes.contains(&cidr.prefix()) {
        let (from, to) = prefixes.into_inner();
        return Err(invalid(format!("{field}: the prefix must be from /{from} to /{to}")));
    }
    if cidr.is_special() {
        return Err(invalid(format!("{field}: {cidr} is not a range for private use")));
    }
    Ok(Some(cidr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::wire::KubernetesNetworkConfig;

    fn planned(pods: &str, services: &str) -> String {
        let network = KubernetesNetworkConfig { pods_cidr: Some(pods.into()), services_cidr: Some(services.into()) };
        let options = ClusterCreateOptions { kubernetes_network_config: Some(network), ..Default::default() };
        match plan(Some(&options)) {
            Ok((pods, services)) => format!("{} {services}", pods.unwrap_or(PODS)),
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
