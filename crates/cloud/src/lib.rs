//! The cloud API: OCI-shaped REST for clusters, pools of virtual nodes, container instances and work requests, and the
//! reconcilers that make them so. Owns identity (tenancies, users, API keys) and the tables of `*_create_cloud.sql`.
//! Touches hosts only by the fleet's placements, and never Kubernetes objects other than Nodes and what bootstrap makes.

mod access;
mod audit;
mod caller;
mod catalog;
mod cidr;
mod cluster;
mod config;
mod container_instance;
mod directory;
mod entity;
mod error;
mod form;
pub mod identity;
mod metrics;
mod network;
mod offered;
mod openapi;
mod policy;
mod quota;
mod rest;
mod retry;
mod sql;
mod supply;
mod tag;
mod virtual_node;
mod virtual_node_pool;
mod words;
mod work_request;
mod worker;

pub use config::{Config, HostNames};
pub use container_instance::hosts::Hosts;
pub use directory::{Directory, Network};
pub use error::Error;
pub use quota::{LimitError, set_limit};
pub use supply::Supply;

use axum::{
    Router,
    response::Response,
    routing::{any, get},
};
use dashmap::DashMap;
use domain::{Clock, ClusterId};
use kube_store::Stores;
use problem::oci;
use reconcile::{Backoff, Queue};
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use worker::Key;

/// Path below which the Container Engine API lies.
pub const PREFIX: &str = "/20180222";
/// Path below which Container Instances' API lies.
pub const INSTANCES_PREFIX: &str = "/20210415";
/// Path below which identity and networks lie.
pub const CORE_PREFIX: &str = "/20160918";
/// Path below which service limits lie.
pub const LIMITS_PREFIX: &str = "/20190729";
/// Path below which quotas lie.
pub const QUOTAS_PREFIX: &str = "/20181025";
/// Path below which the audit log lies.
pub const AUDIT_PREFIX: &str = "/20190901";
/// Largest body. Source: no request of the API comes near it.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The cloud API's state. Cheap to share.
pub struct Cloud {
    pub(crate) db: PgPool,
    pub(crate) stores: Arc<Stores>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) config: Config,
    pub(crate) policies: Arc<policy::Policies>,
    /// Of what hosts are short.
    pub(crate) supply: supply::Watched,
    /// Certificates for clusters' host names.
    pub(crate) leaves: DashMap<ClusterId, Arc<cluster::authority::Leaf>>,
    pub(crate) hosts: Hosts,
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
        hosts: Hosts,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Arc<Self> {
        let backoff = Backoff { base: Duration::from_millis(100), limit: Duration::from_secs(30), jitter: 0.2 };
        let policies = Arc::clone(&directory.policies);
        Arc::new(Self {
            db,
            stores,
            directory,
            config,
            policies,
            supply: supply::Watched::default(),
            leaves: DashMap::new(),
            hosts,
            clock,
            queue: Queue::new(backoff),
        })
    }

    /// Reconciles clusters, pools and container instances until `stop`.
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
        self.hosts.fleet.remove_cluster(cluster).await.map_err(|error| Error::Outside(error.to_string()))
    }
}

/// The public routes, each documented where it is handled.
fn public() -> OpenApiRouter<Arc<Cloud>> {
    let engine = OpenApiRouter::new()
        .merge(cluster::api::routes())
        .merge(virtual_node_pool::api::routes())
        .merge(virtual_node::api::routes())
        .merge(work_request::api::routes())
        .merge(catalog::routes())
        .merge(offered::routes(PREFIX));
    let instances =
        OpenApiRouter::new().merge(container_instance::api::routes()).merge(work_request::instances::routes());
    let core = OpenApiRouter::new().merge(identity::routes()).merge(network::routes());
    OpenApiRouter::with_openapi(openapi::head())
        .nest(PREFIX, shut(engine))
        .nest(INSTANCES_PREFIX, shut(instances))
        .nest(CORE_PREFIX, shut(core))
        .nest(LIMITS_PREFIX, shut(quota::limit_api::routes()))
        .nest(QUOTAS_PREFIX, shut(quota::api::routes()))
        .nest(AUDIT_PREFIX, shut(audit::api::routes()))
}

/// Answers whatever has no route in OCI's form.
fn shut(routes: OpenApiRouter<Arc<Cloud>>) -> OpenApiRouter<Arc<Cloud>> {
    routes.fallback(no_such_path)
}

/// All routes: the public ones with their OpenAPI document, and those of `/internal/v1` for the gateway.
pub fn router(cloud: Arc<Cloud>) -> Router {
    let (routes, document) = openapi::split(public());
    // The root of a nested router is not within its fallback.
    let roots = [PREFIX, INSTANCES_PREFIX, CORE_PREFIX, LIMITS_PREFIX, QUOTAS_PREFIX, AUDIT_PREFIX]
        .map(|prefix| format!("{prefix}/"));
    let routes = roots.iter().fold(routes, |routes, root| routes.route(root, any(no_such_path)));
    let operations = audit::Operations::of(&document);
    let keep = axum::middleware::from_fn_with_state((Arc::clone(&cloud), Arc::new(operations)), form::keep);
    Router::new()
        .merge(routes.method_not_allowed_fallback(no_such_method).layer(keep))
        .merge(openapi::serve(&document))
        .route("/internal/v1/keys/{kid}", get(identity::api::get_key))
        .route("/internal/v1/tenancies/{tenancy}/user", get(identity::api::get_user))
        .route("/internal/v1/clusters/{id}/certificate", get(cluster::authority::api::get_certificate))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(cloud)
}

/// The OpenAPI document of all public routes, as JSON.
#[must_use]
pub fn openapi_json() -> String {
    let (_, document) = openapi::split(public());
    document.to_pretty_json().expect("a document of texts and numbers serialises")
}

async fn no_such_path() -> Response {
    error::respond(&oci::Error::no_such_route("there is no such path in this API"))
}

async fn no_such_method() -> Response {
    error::respond(&oci::Error::method_not_allowed("the path does not allow this method"))
}
