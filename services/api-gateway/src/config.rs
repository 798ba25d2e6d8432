//! Every knob of the gateway.

use runtime::tls::Identity;
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf};

/// The gateway's configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the public connects: HTTPS, HTTP/2 and HTTP/1.1.
    pub listen: SocketAddr,
    /// Health and metrics; plain HTTP, keep it on loopback.
    pub ops_listen: SocketAddr,
    /// Certificate chain (PEM) shown to the public.
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// Who the gateway is inside the installation: common name `api-gateway`.
    pub identity: Identity,
    /// Where the Kubernetes API and the cloud API are: `https://host:port`; its certificate must name `control`.
    pub control: String,
    /// Where usage and bills are: `https://host:port`; its certificate must name `billing`.
    pub billing: String,
    /// Suffix of the clusters' own host names, `<unique part of the OCID>.<suffix>`; the certificate must be for
    /// `*.<suffix>`. Default: none, then clusters are found by their path alone.
    #[serde(default)]
    pub cluster_domain: Option<String>,
    /// What one caller may ask for.
    #[serde(default)]
    pub limits: Limits,
    /// Which requests are logged.
    #[serde(default)]
    pub access_log: AccessLog,
}

/// What one caller may ask for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests per second of one user. Default 20,000: many times what one machine serves; it stops runaway loops.
    pub requests_per_second: u32,
    /// Requests of one user that may come at once. Default 40,000.
    pub burst: u32,
    /// Largest request body. Default 3 MiB, kube-apiserver's own limit.
    pub body_bytes: u64,
    /// Seconds that a backend has to begin its answer. Default 60, kube-apiserver's request timeout.
    pub answer_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_second: 20_000, burst: 40_000, body_bytes: 3 << 20, answer_seconds: 60 }
    }
}

/// Which requests are logged, one line each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// Every request.
    All,
    /// Writes, failures, and what took longer than a second. The default: reads of busy controllers would drown the rest
    /// and cost a good part of a core.
    #[default]
    Changes,
    /// Server errors only.
    Errors,
}
