//! Every knob of billing: meaning, unit, default, reason.

use std::net::SocketAddr;

use serde::Deserialize;

/// Configuration file of `hako-billing`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// HTTPS for the gateway (mutual TLS): `/usage/v1/...`.
    pub listen: SocketAddr,
    /// gRPC for hosts and control (mutual TLS): the ledger.
    pub grpc_listen: SocketAddr,
    /// `/livez`, `/readyz` and `/metrics`, plain HTTP; meant for loopback.
    pub ops_listen: SocketAddr,
    /// Postgres, as `postgres://...`. Holds a password: never logged.
    pub database_url: String,
    /// Connections to Postgres at most. Default 8: ingest needs two or three, reports the rest.
    #[serde(default = "default_connections")]
    pub database_connections: u32,
    /// This service's certificate, key and the internal CA.
    pub identity: runtime::tls::Identity,
}

fn default_connections() -> u32 {
    8
}
