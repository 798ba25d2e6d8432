//! What drives the reconcilers: a queue of clusters, pools and container instances, woken by requests, by events of Nodes and
//! placements, and by a period.

use crate::{
    Cloud, Error, audit, cluster, container_instance,
    metrics::{Metrics, Runs},
    retry, supply, virtual_node_pool, work_request,
};
use domain::{ClusterId, ContainerInstanceId, VirtualNodePoolId};
use kube_store::Signal;
use reconcile::{Next, Queue, Reconcile};
use std::{sync::Arc, time::Duration};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// How often all that is unsettled is looked at, in case a notice was lost or another replica left it.
const RESYNC: Duration = Duration::from_secs(30);
/// How often old rows are forgotten.
const PURGE: Duration = Duration::from_secs(3600);
/// How long deleted clusters and ended work requests stay readable. Source: OCI keeps them for about 30 days.
const KEEP_MS: i64 = 30 * 24 * 3600 * 1000;

/// One thing to reconcile. The lane is the cluster, or the instance: a busy one does not delay others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Cluster(ClusterId),
    Pool(ClusterId, VirtualNodePoolId),
    Instance(ContainerInstanceId),
}

impl reconcile::Key for Key {
    type Lane = String;

    fn lane(&self) -> String {
        match self {
            Self::Cluster(id) | Self::Pool(id, _) => id.to_string(),
            Self::Instance(id) => id.to_string(),
        }
    }
}

struct Work(Arc<Cloud>);

impl Reconcile<Key> for Work {
    type Error = Error;

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        match key {
            Key::Cluster(id) => cluster::reconcile::run(&self.0, id).await,
            Key::Pool(_, id) => virtual_node_pool::act::run(&self.0, id).await,
            Key::Instance(id) => container_instance::act::run(&self.0, id).await,
        }
    }
}

/// Reconciles until `stop`.
pub(crate) async fn run(cloud: Arc<Cloud>, queue: Queue<Key>, stop: CancellationToken) {
    let config = reconcile::Config { workers: 8, resync: None, ..reconcile::Config::default() };
    let pool = reconcile::run(queue.clone(), config, Arc::new(Work(cloud.clone())), Arc::new(Runs), stop.clone());
    let rest = async {
        let instances = container_instance::hosts::listen(&cloud, &queue);
        let supply = supply::watch(&cloud, &queue);
        tokio::join!(listen(&cloud, &queue), instances, supply, resync(&cloud, &queue), purge(&cloud));
    };
    tokio::join!(pool, stop.run_until_cancelled(rest));
}

async fn resync(cloud: &Cloud, queue: &Queue<Key>) {
    loop {
        let found = async {
            let clusters = cluster::store::unsettled_all_tenants(&cloud.db, cloud.now_ms()).await?;
            let pools = virtual_node_pool::store::unsettled_all_tenants(&cloud.db).await?;
            let instances = container_instance::store::unsettled_all_tenants(&cloud.db).await?;
            Ok::<_, sqlx::Error>((clusters, pools, instances))
        };
        match found.await {
            Ok((clusters, pools, instances)) => {
                Metrics::registered().unsettled(clusters.len() + pools.len());
                queue.add_all(clusters.into_iter().map(Key::Cluster));
                queue.add_all(pools.into_iter().map(|(cluster, pool)| Key::Pool(cluster, pool)));
                queue.add_all(instances.into_iter().map(Key::Instance));
            }
            Err(error) => tracing::warn!(%error, "could not look for unsettled clusters and pools: {error}"),
        }
        tokio::time::sleep(RESYNC).await;
    }
}

/// Wakes a pool when one of its Nodes changes.
async fn listen(cloud: &Cloud, queue: &Queue<Key>) {
    let mut signals = cloud.stores.subscribe();
    loop {
        match signals.recv().await {
            Ok(Signal::Committed(cluster, events)) => {
                let nodes = events.iter().filter(|event| &*event.object.key.resource == "nodes");
                let pools = nodes.filter_map(|event| virtual_node_pool::node::pool_of(&event.object.meta));
                queue.add_all(pools.map(|pool| Key::Pool(cluster.clone(), pool)));
            }
            Ok(_) => {}
            // What was missed is found by the next resync, or when its Node changes again.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn purge(cloud: &Cloud) {
    loop {
        let now = cloud.now_ms();
        let purged = async {
            retry::purge_all_tenants(&cloud.db, now).await?;
            audit::purge_all_tenants(&cloud.db, now - audit::KEEP_MS).await?;
            cluster::store::purge_all_tenants(&cloud.db, now - KEEP_MS).await?;
            container_instance::store::purge_all_tenants(&cloud.db, now - KEEP_MS).await?;
            work_request::store::purge_all_tenants(&cloud.db, now - KEEP_MS).await
        };
        if let Err(error) = purged.await {
            tracing::warn!(%error, "could not forget old rows: {error}");
        }
        tokio::time::sleep(PURGE).await;
    }
}
