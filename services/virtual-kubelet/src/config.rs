//! Every knob of the virtual-kubelet.

use runtime::tls::Identity;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// The virtual-kubelet's configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the kubelet API, mutual TLS; only control calls it.
    pub listen: SocketAddr,
    /// Address that the nodes say the kubelet API has; default: that of `listen`.
    pub advertised_address: Option<IpAddr>,
    /// Address of health and metrics, plain HTTP.
    pub ops_listen: SocketAddr,
    /// `https://host:port` of control's Kubernetes API.
    pub control_endpoint: String,
    /// `https://host:port` of control's gRPC.
    pub fleet_endpoint: String,
    /// Certificate by which control knows us.
    pub identity: Identity,
    /// Seconds between two heartbeats of a node. Source: the kubelet renews its lease every 10 s of 40.
    #[serde(default = "heartbeat_seconds")]
    pub heartbeat_seconds: u64,
    /// Seconds between two looks at the ConfigMaps, Secrets and tokens of a pod. Source: the kubelet's sync period of
    /// one minute.
    #[serde(default = "refresh_seconds")]
    pub refresh_seconds: u64,
}

fn heartbeat_seconds() -> u64 {
    10
}

fn refresh_seconds() -> u64 {
    60
}
