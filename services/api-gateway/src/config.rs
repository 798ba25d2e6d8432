//! Every knob of the gateway.

use runtime::tls::Identity;
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf};

/// The gateway's configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Public address, TLS.
    pub listen: SocketAddr,
    /// Address of health and metrics, plain HTTP.
    pub ops_listen: SocketAddr,
    /// Public certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Certificate by which control and billing know the gateway.
    pub identity: Identity,
    /// `https://host:port` of control.
    pub control: String,
    /// `https://host:port` of billing.
    pub billing: String,
    /// Requests of one user per second, in the long run. The default leaves room for a busy controller; it is there to stop
    /// loops gone wild.
    #[serde(default = "requests_per_second")]
    pub requests_per_second: u32,
    /// Requests of one user at once.
    #[serde(default = "request_burst")]
    pub request_burst: u32,
    /// Bytes of a request's body at most: twice what a Kubernetes object may have, and the backends say exactly why.
    #[serde(default = "body_bytes")]
    pub body_bytes: u64,
}

fn requests_per_second() -> u32 {
    5_000
}

fn request_burst() -> u32 {
    10_000
}

fn body_bytes() -> u64 {
    3 << 20
}
