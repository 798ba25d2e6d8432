//! What the cloud API is told about its installation.

use domain::ClusterId;
use sealing::Sealer;
use std::{sync::Arc, time::Duration};

/// Knobs of the cloud API.
#[derive(Debug, Clone)]
pub struct Config {
    /// The gateway's public URL without a slash at its end: what kubeconfigs and endpoints name.
    pub gateway_url: String,
    /// PEM of the CA that signed the gateway's certificate.
    pub gateway_ca_pem: String,
    /// Host names of clusters' own at the gateway; none: clusters are found by their path alone.
    pub host_names: Option<HostNames>,
    /// The gateway as hosts reach it: where the Service `kubernetes` leads inside of clusters.
    pub api_endpoint: Option<(std::net::Ipv4Addr, u16)>,
    /// The region's name; label `topology.kubernetes.io/region`.
    pub region: String,
    /// Availability domains of the region; the first is the default of pools.
    pub availability_domains: Vec<String>,
    /// Fault domains of each availability domain, over which a pool's nodes are spread.
    pub fault_domains: Vec<String>,
    /// How long the pods of a virtual node that goes get to leave it, as disruption budgets let them, before it goes with
    /// those that are left.
    pub drain_within: Duration,
}

/// How clusters get host names of their own, `<unique part of the OCID>.<domain>`.
#[derive(Debug, Clone)]
pub struct HostNames {
    /// Suffix of the names.
    pub domain: String,
    /// Seals the private keys of the authorities that sign for them.
    pub sealer: Arc<Sealer>,
}

impl HostNames {
    /// A cluster's host name.
    #[must_use]
    pub fn host(&self, cluster: &ClusterId) -> String {
        format!("{}.{}", cluster.unique(), self.domain)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gateway_url: "https://127.0.0.1".into(),
            gateway_ca_pem: String::new(),
            host_names: None,
            api_endpoint: None,
            region: "local-1".into(),
            availability_domains: vec!["local-1-AD-1".into()],
            // Source of the names: OCI's fault domains, three per availability domain.
            // Source: OKE's default eviction grace.
            drain_within: Duration::from_secs(3600),
            fault_domains: (1..=3).map(|number| format!("FAULT-DOMAIN-{number}")).collect(),
        }
    }
}
