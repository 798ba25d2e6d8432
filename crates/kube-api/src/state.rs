//! What the API server is built from.

use crate::{
    metrics::Metrics,
    rights::Rights,
    token::{KeyGenerations, SigningKeys},
};
use domain::{Clock, ClusterId, Principal, TenantId};
use kube_schema::Release;
use kube_store::Stores;
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

/// What must be known of a cluster to serve its API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The owner.
    pub tenant: TenantId,
    /// The release of Kubernetes that it speaks.
    pub release: &'static Release,
    /// Which keys of service-account tokens are good.
    pub keys: KeyGenerations,
}

/// Who a user of the cloud is in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// What it may do.
    pub rights: Rights,
    /// Its groups, as Kubernetes shall know them.
    pub groups: Vec<String>,
}

/// An answer that may take a look into the database.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Option<T>, String>> + Send + 'a>>;

/// What clusters are and who may use them; answered by the cloud API, which owns clusters and policies.
pub trait ClusterDirectory: Send + Sync + 'static {
    /// A cluster; `None` if there is no such cluster (any more).
    fn facts<'a>(&'a self, cluster: &'a ClusterId) -> Answer<'a, Arc<ClusterFacts>>;

    /// What a user may do in a cluster; `None` if it must not even know of it.
    fn access<'a>(&'a self, cluster: &'a ClusterId, principal: &'a Principal) -> Answer<'a, Arc<Access>>;
}

/// Knobs of the API server.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// The gateway's public URL, as `https://gw:8443`: issuer of service-account tokens.
    pub public_url: String,
    /// PEM of the CA that signed the gateway's certificate.
    pub public_ca_pem: String,
    /// TLS towards virtual-kubelets, with control's client certificate; without it, pods' logs and exec answer 503.
    pub kubelet_tls: Option<Arc<rustls::ClientConfig>>,
    /// Largest request body. Source: kube-apiserver takes 3 MiB of JSON, etcd 1.5 MiB; we refuse at once.
    pub max_body_bytes: usize,
    /// Pause between bookmarks of a watch. Source: kube-apiserver, about a minute.
    pub bookmark_every: Duration,
    /// The same for watches over all clusters: by it both ends see that the other still lives. Virtual-kubelets give a watch
    /// up after 75 seconds without a word.
    pub wildcard_bookmark_every: Duration,
    /// How long a watch lasts if the caller does not say; randomly up to twice that. Source: `--min-request-timeout`.
    pub watch_timeout: Duration,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            public_url: "https://127.0.0.1".into(),
            public_ca_pem: String::new(),
            kubelet_tls: None,
            max_body_bytes: 1536 * 1024,
            bookmark_every: Duration::from_secs(55),
            wildcard_bookmark_every: Duration::from_secs(30),
            watch_timeout: Duration::from_secs(1800),
        }
    }
}

/// Everything the router needs.
pub struct ApiState {
    /// The clusters.
    pub stores: Arc<Stores>,
    /// What they are.
    pub directory: Arc<dyn ClusterDirectory>,
    /// Keys of service-account tokens.
    pub keys: SigningKeys,
    /// Knobs.
    pub config: ApiConfig,
    /// The time.
    pub clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ApiState {
    /// Puts the parts together, and registers the metrics in the process's registry.
    #[must_use]
    pub fn new(
        stores: Arc<Stores>,
        directory: Arc<dyn ClusterDirectory>,
        keys: SigningKeys,
        config: ApiConfig,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self { stores, directory, keys, config, clock, metrics: Metrics::registered() })
    }
}
