//! What the API server is built from.

use crate::{metrics::Metrics, token::SigningKeys};
use domain::{Clock, ClusterId, TenantId};
use kube_store::Stores;
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

/// Which tenant a cluster belongs to; answered by the cloud API, which owns clusters.
pub trait ClusterDirectory: Send + Sync + 'static {
    /// The owner; `None` if there is no such cluster (any more).
    fn tenant_of<'a>(
        &'a self,
        cluster: &'a ClusterId,
    ) -> Pin<Box<dyn Future<Output = Result<Option<TenantId>, String>> + Send + 'a>>;
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
    /// Who owns them.
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
