//! The cloud API: OCI-shaped REST for clusters, pools of virtual nodes and work requests, and the reconcilers that make
//! them so. Owns identity (tenancies, users, API keys) and the tables of `*_create_cloud.sql`. Never touches hosts
//! (the fleet's) or Kubernetes objects other than Nodes and what bootstrap makes.

mod catalog;
mod cluster;
mod config;
mod directory;
mod error;
mod form;
pub mod identity;
mod metrics;
mod rest;
mod retry;
mod sql;
mod virtual_node;
mod virtual_node_pool;
mod words;
mod work_request;
mod worker;

pub use config::Config;
pub use directory::{Directory, Network};
pub use error::Error;

use axum::{
    Router,
    routing::{any, get},
};
use domain::{Clock, ClusterId};
use futures::future::BoxFuture;
use kube_store::Stores;
use problem::oci;
use reconcile::{Backoff, Queue};
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use worker::Key;

/// Path below which the Container Engine API lies.
pub const PREFIX: &str = "/20180222";
/// Versions of other APIs of the cloud that the gateway passes here; none of them has a path yet.
const OTHER_APIS: [&str; 2] = ["/20210415", "/20160918"];
/// Largest body. Source: no request of the API comes near it.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Ends what runs outside of a cluster's store when the cluster is deleted.
pub trait ClusterHosts: Send + Sync + 'static {
    /// Stops all pods of a cluster; true once nothing of it is left on any host. Safe to repeat.
    fn remove_cluster(&self, cluster: ClusterId) -> BoxFuture<'_, Result<bool, String>>;
}

/// The cloud API's state. Cheap to share.
pub struct Cloud {
    pub(crate) db: PgPool,
    pub(crate) stores: Arc<Stores>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) config: Config,
    hosts: Arc<dyn ClusterHosts>,
    clock: Arc<dyn Clock>,
    queue: Queue<Key>,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Cloud {
    /// Puts the parts together. `db` has control's schema as search path.
    #[must_use]
    pub fn new(
        db: PgPool,
        stores: Arc<Stores>,
        directory: Arc<Directory>,
        hosts: Arc<dyn ClusterHosts>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Arc<Self> {
        let backoff = Backoff { base: Duration::from_millis(100), limit: Duration::from_secs(30), jitter: 0.2 };
        Arc::new(Self { db, stores, directory, config, hosts, clock, queue: Queue::new(backoff) })
    }

    /// Reconciles clusters and pools until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let queue = self.queue.clone();
        worker::run(self, queue, stop).await;
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    pub(crate) fn wake(&self, key: Key) {
        self.queue.add(key);
    }

    /// What the Kubernetes API must know of a cluster to make its first objects.
    pub(crate) fn bootstrap(&self, cluster: &cluster::Cluster) -> kube_api::ClusterBootstrap {
        kube_api::ClusterBootstrap {
            tenant: cluster.tenancy_id.clone(),
            name: cluster.name.clone(),
            service_cidr: cluster.services_cidr.to_string(),
            pod_cidr: cluster.pods_cidr.to_string(),
            ca_pem: self.config.gateway_ca_pem.clone(),
            endpoint: self.config.api_endpoint,
        }
    }

    pub(crate) async fn hosts_clear(&self, cluster: &ClusterId) -> Result<bool, Error> {
        self.hosts.remove_cluster(cluster.clone()).await.map_err(Error::Outside)
    }
}

/// All routes: the public ones below [`PREFIX`], and those of `/internal/v1` for the gateway.
pub fn router(cloud: Arc<Cloud>) -> Router {
    let public = Router::new()
        .merge(cluster::api::routes())
        .merge(virtual_node_pool::api::routes())
        .merge(virtual_node::api::routes())
        .merge(work_request::api::routes())
        .merge(catalog::routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method);
    let empty = || Router::new().route("/", any(no_such_path)).fallback(no_such_path);
    let apis = OTHER_APIS.iter().fold(Router::new().nest(PREFIX, public), |all, prefix| all.nest(prefix, empty()));
    Router::new()
        .merge(apis.layer(axum::middleware::from_fn(form::keep)))
        .route("/internal/v1/keys/{kid}", get(identity::api::get_key))
        .route("/internal/v1/tenancies/{tenancy}/user", get(identity::api::get_user))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(cloud)
}

async fn no_such_path() -> axum::response::Response {
    error::respond(&oci::Error::no_such_route("there is no such path in this API"))
}

async fn no_such_method() -> axum::response::Response {
    error::respond(&oci::Error::method_not_allowed("the path does not allow this method"))
}
