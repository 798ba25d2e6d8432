//! Brings clusters from CREATING to ACTIVE and from DELETING to DELETED: observe, diff, act.

use super::{Cluster, ClusterState, store};
use crate::{
    Cloud, Error, virtual_node_pool,
    work_request::{self, Status},
};
use domain::ClusterId;
use kube_store::StoreError;
use reconcile::Next;
use std::time::Duration;

/// How long between two looks at what has not ended yet: agents stop pods within a second or so.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// What there is of a cluster that is being made or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) state: ClusterState,
    /// Virtual nodes that are not DELETED.
    pub(crate) nodes: u64,
    /// Its objects exist in the store.
    pub(crate) stored: bool,
    /// Nothing of it runs on any host.
    pub(crate) hosts_clear: bool,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make its store and first objects, then say that it is ACTIVE.
    Make,
    /// Delete its pods and nodes, so that whoever runs them sees it.
    DropNodes,
    /// Stop what still runs on hosts, and look again.
    ClearHosts,
    /// Delete all its objects.
    DropStore,
    /// Say that it is DELETED.
    Bury,
}

/// The steps to take now, in order. A cluster in a state of rest yields nothing.
pub(crate) fn diff(observed: Observed) -> Vec<Action> {
    match observed.state {
        ClusterState::Creating => vec![Action::Make],
        ClusterState::Active | ClusterState::Updating | ClusterState::Failed | ClusterState::Deleted => vec![],
        ClusterState::Deleting if observed.nodes > 0 => vec![Action::DropNodes],
        ClusterState::Deleting if !observed.hosts_clear => vec![Action::ClearHosts],
        ClusterState::Deleting if observed.stored => vec![Action::DropStore, Action::Bury],
        ClusterState::Deleting => vec![Action::Bury],
    }
}

/// One run for a cluster.
pub(crate) async fn run(cloud: &Cloud, id: &ClusterId) -> Result<Next, Error> {
    let Some(cluster) = store::get_all_tenants(&cloud.db, id).await? else { return Ok(Next::Settled) };
    let deleting = cluster.state == ClusterState::Deleting;
    let observed = Observed {
        state: cluster.state,
        nodes: virtual_node_pool::store::count_nodes(&cloud.db, id).await?,
        stored: deleting && exists(cloud, id).await?,
        hosts_clear: !deleting || cloud.hosts_clear(id).await?,
    };
    let actions = diff(observed);
    for action in &actions {
        act(cloud, &cluster, *action).await?;
    }
    let unfinished = actions.iter().any(|action| matches!(action, Action::DropNodes | Action::ClearHosts));
    Ok(if unfinished { Next::After(LOOK_AGAIN) } else { Next::Settled })
}

async fn exists(cloud: &Cloud, id: &ClusterId) -> Result<bool, Error> {
    match cloud.stores.cluster(id).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn act(cloud: &Cloud, cluster: &Cluster, action: Action) -> Result<(), Error> {
    match action {
        Action::Make => make(cloud, cluster).await,
        Action::DropNodes => drop_nodes(cloud, cluster).await,
        // Looking at the hosts asks them to stop.
        Action::ClearHosts => Ok(()),
        Action::DropStore => cloud.stores.delete_cluster(&cluster.id).await.map(drop).map_err(Error::from),
        Action::Bury => bury(cloud, cluster).await,
    }
}

/// Makes a cluster's store and first objects, and says that it is ACTIVE. Safe to repeat.
pub(crate) async fn make(cloud: &Cloud, cluster: &Cluster) -> Result<(), Error> {
    let objects = cloud.stores.create_cluster(&cluster.id).await?;
    kube_api::bootstrap_cluster(&objects, &cloud.bootstrap(cluster)).await?;
    let now = cloud.now_ms();
    let mut txn = cloud.db.begin().await?;
    let moved = store::settle(&mut txn, &cluster.id, ClusterState::Creating, ClusterState::Active, None).await?;
    if let Some(work) = cluster.work_request_id.as_deref().filter(|_| moved) {
        work_request::store::finish(&mut txn, work, Status::Succeeded, "cluster is active", now).await?;
    }
    txn.commit().await?;
    Ok(())
}

/// Pods and nodes go first and as objects, so that virtual-kubelets see them go.
async fn drop_nodes(cloud: &Cloud, cluster: &Cluster) -> Result<(), Error> {
    match cloud.stores.cluster(&cluster.id).await {
        Ok(objects) => {
            let drop_all = |txn: &mut kube_store::Txn<'_>| -> Result<(), std::convert::Infallible> {
                for resource in ["pods", "nodes"] {
                    for object in txn.list(resource, None) {
                        txn.delete(&object.key);
                    }
                }
                Ok(())
            };
            objects.write(drop_all).await.map_err(|error| match error {
                kube_store::WriteError::Store(error) => Error::from(error),
                kube_store::WriteError::Rejected(never) => match never {},
            })?;
        }
        Err(StoreError::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    let now = cloud.now_ms();
    let mut txn = cloud.db.begin().await?;
    virtual_node_pool::store::bury_with_cluster(&mut txn, &cluster.id, now).await?;
    if let Some(work) = &cluster.work_request_id {
        work_request::store::log(&mut txn, work, "pods and nodes deleted", 50.0, now).await?;
    }
    txn.commit().await?;
    Ok(())
}

async fn bury(cloud: &Cloud, cluster: &Cluster) -> Result<(), Error> {
    let now = cloud.now_ms();
    let mut txn = cloud.db.begin().await?;
    let moved = store::settle(&mut txn, &cluster.id, ClusterState::Deleting, ClusterState::Deleted, None).await?;
    if let Some(work) = cluster.work_request_id.as_deref().filter(|_| moved) {
        work_request::store::finish(&mut txn, work, Status::Succeeded, "cluster deleted", now).await?;
    }
    txn.commit().await?;
    cloud.directory.forget(&cluster.id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(state: ClusterState, nodes: u64, stored: bool, hosts_clear: bool, expect: &str) {
        assert_eq!(format!("{:?}", diff(Observed { state, nodes, stored, hosts_clear })), expect);
    }

    #[test]
    fn a_cluster_at_rest_is_left_alone() {
        for state in [ClusterState::Active, ClusterState::Updating, ClusterState::Failed, ClusterState::Deleted] {
            check(state, 3, true, false, "[]");
        }
    }

    #[test]
    fn deletion_goes_from_nodes_over_hosts_to_the_store() {
        check(ClusterState::Creating, 0, false, true, "[Make]");
        check(ClusterState::Deleting, 2, true, false, "[DropNodes]");
        check(ClusterState::Deleting, 0, true, false, "[ClearHosts]");
        check(ClusterState::Deleting, 0, true, true, "[DropStore, Bury]");
        check(ClusterState::Deleting, 0, false, true, "[Bury]");
    }
}
