//! Puts the parts together: store, directory, fleet, Kubernetes API, controllers, cloud API.

use crate::Config;
use anyhow::Context;
use cloud::{Cloud, Directory, HostNames, Hosts};
use domain::{ClusterId, SystemClock};
use fleet::{ClosureSink, ClusterNetwork, Fleet, FleetConfig, NetworkDirectory};
use futures::future::BoxFuture;
use kube_api::{ApiConfig, ApiState, SigningKeys};
use kube_store::{Limits, StoreConfig, Stores, metrics::Load};
use postgres::PgPool;
use runtime::CancellationToken;
use sealing::Sealer;
use std::{net::IpAddr, sync::Arc, time::Duration};

/// All parts, running or ready to run.
pub(crate) struct Parts {
    pub(crate) db: PgPool,
    pub(crate) api: Arc<ApiState>,
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) fleet: Arc<Fleet>,
}

/// Starts what starts by itself, and puts together the rest.
pub(crate) async fn compose(config: &Config, stop: CancellationToken) -> anyhow::Result<Parts> {
    let db = postgres::connect_control(&config.database_url, config.database_connections)
        .await
        .context("can't reach the database")?;
    postgres::migrate_control(&db).await.context("can't migrate the database")?;
    let sealer = Arc::new(Sealer::from_file(&config.secret_file)?);
    let public_ca_pem = std::fs::read_to_string(&config.public_ca)
        .with_context(|| format!("can't read {}", config.public_ca.display()))?;
    let stores = Stores::start(db.clone(), store_config(config, &sealer)).await?;
    register_gauges(&db, &stores);
    let directory = Directory::new(db.clone());
    let fleet_config = fleet_config(config, &sealer)?;
    let networks = Arc::new(Networks(Arc::clone(&directory)));
    let fleet = Fleet::start(db.clone(), fleet_config, networks, stop.clone()).await?;
    let api = ApiState::new(
        Arc::clone(&stores),
        Arc::clone(&directory) as _,
        SigningKeys::from_file(&config.secret_file)?,
        ApiConfig {
            public_url: config.public_url.trim_end_matches('/').to_owned(),
            public_ca_pem: public_ca_pem.clone(),
            kubelet_tls: Some(config.identity.client()?),
            ..ApiConfig::default()
        },
        Arc::new(SystemClock),
    );
    let cloud_config = cloud::Config {
        gateway_url: config.public_url.trim_end_matches('/').to_owned(),
        gateway_ca_pem: public_ca_pem,
        api_endpoint: match config.api_backend.ip() {
            IpAddr::V4(address) => Some((address, config.api_backend.port())),
            IpAddr::V6(_) => None,
        },
        host_names: config.cluster_domain.as_ref().map(|domain| HostNames {
            domain: domain.trim_matches('.').to_ascii_lowercase(),
            sealer: Arc::clone(&sealer),
        }),
        availability_domains: config.availability_domains.clone(),
        ..cloud::Config::default()
    };
    let hosts = Hosts::new(Arc::clone(&fleet), sealer);
    let cloud = Cloud::new(db.clone(), stores, directory, hosts, Arc::new(SystemClock), cloud_config);
    Ok(Parts { db, api, cloud, fleet })
}

/// What is in memory and in use at the time of a scrape.
fn register_gauges(db: &PgPool, stores: &Arc<Stores>) {
    let registry = runtime::metrics::registry();
    kube_store::metrics::register(&mut registry.lock());
    let read = |value: fn(Load) -> usize| {
        let stores = Arc::downgrade(stores);
        move || stores.upgrade().map(|stores| value(stores.load_of_memory()) as f64)
    };
    registry.gauge("kube_store_clusters", "Clusters in memory", read(|load| load.clusters));
    registry.gauge("kube_store_objects", "Objects in memory", read(|load| load.objects));
    registry.gauge("kube_store_object_bytes", "Bytes of the objects in memory", read(|load| load.bytes));
    registry.gauge("kube_store_writes_waiting", "Writes that wait for a commit", read(|load| load.waiting));
    let pool = db.clone();
    registry.gauge("database_connections", "Open database connections", move || Some(f64::from(pool.size())));
    let pool = db.clone();
    let idle = move || Some(pool.num_idle() as f64);
    registry.gauge("database_connections_idle", "Database connections that nobody uses", idle);
}

fn store_config(config: &Config, sealer: &Arc<Sealer>) -> StoreConfig {
    StoreConfig {
        replica: config.replica.clone(),
        idle_after: Duration::from_secs(config.idle_seconds),
        limits: Limits::default(),
        sealer: Arc::clone(sealer),
        sealed: |resource| resource == "secrets",
        extract: kube_kinds::selectable_fields,
    }
}

fn fleet_config(config: &Config, sealer: &Arc<Sealer>) -> anyhow::Result<FleetConfig> {
    let closures = match &config.billing_endpoint {
        None => None,
        Some(endpoint) => {
            let channel = tonic::transport::Endpoint::from_shared(endpoint.clone())?
                .tls_config(config.identity.tonic_client("billing")?)?
                .timeout(Duration::from_secs(10))
                .connect_timeout(Duration::from_secs(5))
                .connect_lazy();
            Some(ClosureSink(channel))
        }
    };
    Ok(FleetConfig {
        silent_after: config.hosts.silent_after(),
        lost_after: config.hosts.lost_after(),
        api_backend: config.api_backend.to_string(),
        sealer: Arc::clone(sealer),
        closures,
    })
}

/// Tells the fleet about clusters.
struct Networks(Arc<Directory>);

impl NetworkDirectory for Networks {
    fn network(&self, cluster: ClusterId) -> BoxFuture<'_, Option<ClusterNetwork>> {
        Box::pin(async move {
            match self.0.network(&cluster).await {
                Ok(found) => found.map(|network| ClusterNetwork {
                    tenant_id: network.tenant_id,
                    compartment_id: network.compartment_id,
                    network_id: network.network_id,
                    pod_cidr: network.pods_cidr,
                    service_cidr: network.services_cidr,
                }),
                Err(error) => {
                    tracing::warn!(%cluster, %error, "could not look up the network of cluster {cluster}: {error}");
                    None
                }
            }
        })
    }
}
