//! Every knob of control.

use runtime::tls::Identity;
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Control's configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Kubernetes API and cloud API: HTTPS with client certificates.
    pub listen: SocketAddr,
    /// `fleet.v1` for agents and virtual-kubelets: gRPC with client certificates.
    pub grpc_listen: SocketAddr,
    /// Health and metrics; plain HTTP, keep it on loopback.
    pub ops_listen: SocketAddr,
    /// PostgreSQL, as `postgres://user:password@host:port/database`.
    pub database_url: String,
    /// Connections to PostgreSQL. Default 24: commits of as many clusters at once.
    #[serde(default = "database_connections")]
    pub database_connections: u32,
    /// Who control is inside the installation: common name `control`.
    pub identity: Identity,
    /// File of exactly 32 random bytes: seals Secrets at rest, and service-account keys are derived from it. Losing it
    /// loses all Secrets.
    pub secret_file: PathBuf,
    /// The gateway's public URL, as `https://host:port`: in kubeconfigs and as issuer of service-account tokens.
    pub public_url: String,
    /// PEM of the CA that signed the gateway's public certificate.
    pub public_ca: PathBuf,
    /// `ip:port` of the gateway as hosts reach it: what `kubernetes.default` leads to inside of clusters.
    pub api_backend: SocketAddr,
    /// Suffix of the clusters' own host names, `<unique part of the OCID>.<suffix>`, the same as the gateway's. Default: none,
    /// then clusters are found by their path alone.
    #[serde(default)]
    pub cluster_domain: Option<String>,
    /// Billing's gRPC endpoint, as `https://host:port`; none: ends of billing wait in the database.
    #[serde(default)]
    pub billing_endpoint: Option<String>,
    /// This replica's name: stays the same over restarts, differs between replicas.
    #[serde(default = "replica")]
    pub replica: String,
    /// Seconds after which a cluster that nobody asks for leaves memory. Default 600.
    #[serde(default = "idle_seconds")]
    pub idle_seconds: u64,
    /// When hosts count as silent and as lost.
    #[serde(default)]
    pub hosts: Hosts,
    /// Availability domains offered; the first is the default. Default: one.
    #[serde(default = "availability_domains")]
    pub availability_domains: Vec<String>,
}

/// When hosts count as silent and as lost.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hosts {
    /// Seconds without a sign of life after which the state of a host's pods is unknown. Default 10.
    pub silent_seconds: u64,
    /// Seconds without a sign of life after which what may run twice is replaced elsewhere. Default 40, as kube's node
    /// monitor grace period was for years.
    pub lost_seconds: u64,
}

impl Default for Hosts {
    fn default() -> Self {
        Self { silent_seconds: 10, lost_seconds: 40 }
    }
}

impl Hosts {
    pub(crate) fn silent_after(self) -> Duration {
        Duration::from_secs(self.silent_seconds)
    }

    pub(crate) fn lost_after(self) -> Duration {
        Duration::from_secs(self.lost_seconds)
    }
}

fn database_connections() -> u32 {
    24
}

fn replica() -> String {
    "control-0".into()
}

fn idle_seconds() -> u64 {
    600
}

fn availability_domains() -> Vec<String> {
    vec!["local-1-AD-1".into()]
}
