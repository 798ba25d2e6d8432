//! Every knob of the gateway.

use domain::TenantId;
use runtime::tls::Identity;
use serde::Deserialize;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

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
    /// Identity providers outside whose tokens are taken. Default: none.
    #[serde(default)]
    pub oidc: Vec<Provider>,
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
    /// Requests per second of all users of one tenancy together. Default 60,000: three runaway users stop each other,
    /// and no other tenancy.
    pub tenant_requests_per_second: u32,
    /// Requests of one tenancy that may come at once. Default 120,000.
    pub tenant_burst: u32,
    /// Largest request body. Default 3 MiB, kube-apiserver's own limit.
    pub body_bytes: u64,
    /// Seconds that a backend has to begin its answer. Default 60, kube-apiserver's request timeout.
    pub answer_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 20_000,
            burst: 40_000,
            tenant_requests_per_second: 60_000,
            tenant_burst: 120_000,
            body_bytes: 3 << 20,
            answer_seconds: 60,
        }
    }
}

/// An identity provider outside, and the tenancy whose users its tokens name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// `iss` of its tokens: an `https://` URL, below which `/.well-known/openid-configuration` names its keys.
    pub issuer: String,
    /// `aud` of its tokens: the client id that it knows this installation by.
    pub audience: String,
    /// OCID of the tenancy. A token's user must be one of its users.
    pub tenancy: TenantId,
    /// The claim that is the user's name. Default `sub`; `email` counts only if the provider has checked it.
    #[serde(default = "username_claim")]
    pub username_claim: String,
    /// What is put before the claim to make the user's name. Default: nothing.
    #[serde(default)]
    pub username_prefix: String,
    /// The claim with the user's groups. Default: none, then the groups are those that the tenancy gives the user.
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// For which group of the tenancy each group of a token stands; those that are not named here stand for none. They
    /// come on top of those that the tenancy gives the user.
    #[serde(default)]
    pub groups: BTreeMap<String, String>,
    /// PEM file of those who may sign the provider's certificate. Default: the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

impl Provider {
    /// Refuses what could not work, or would not be safe.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Self { issuer, audience, groups_claim, groups, .. } = self;
        anyhow::ensure!(issuer.starts_with("https://"), "oidc: issuer must be https://..., not {issuer:?}");
        anyhow::ensure!(!audience.is_empty(), "oidc: the audience of {issuer} is empty");
        anyhow::ensure!(groups.is_empty() || groups_claim.is_some(), "oidc: groups of {issuer} need a groups_claim");
        Ok(())
    }
}

fn username_claim() -> String {
    "sub".into()
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
