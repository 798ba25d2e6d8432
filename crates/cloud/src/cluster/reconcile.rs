//! Brings clusters from CREATING and UPDATING to ACTIVE and from DELETING to DELETED: observe, diff, act.

use super::{Cluster, ClusterState, Rotation, authority, rotation, store};
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

/// What there is of a cluster that is being made, changed or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) state: ClusterState,
    pub(crate) paused: bool,
    pub(crate) rotation: Rotation,
    /// The time that was set for a waiting rotation has come.
    pub(crate) due: bool,
    /// Virtual nodes that are not DELETED.
    pub(crate) nodes: u64,
    /// Pools that are not DELETED.
    pub(crate) pools: u64,
    /// Pools that have yet to do what the cluster was told.
    pub(crate) following: u64,
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
    /// Look again when pools have gone on.
    Wait,
    /// Stop what still runs on hosts, and look again.
    ClearHosts,
    /// Let new credentials hold beside the old ones.
    Issue,
    /// Begin to end the old credentials, as their time has come.
    Expire,
    /// End the old credentials.
    Retire,
    /// Say that what was asked for is done.
    Settle,
    /// Delete all its objects.
    DropStore,
    /// Say that it is DELETED.
    Bury,
}

/// The steps to take now, in order. A cluster in a state of rest yields nothing.
pub(crate) fn diff(observed: Observed) -> Vec<Action> {
    match observed.state {
        ClusterState::Creating => vec![Action::Make],
        ClusterState::Active if observed.rotation == Rotation::Waiting && observed.due => vec![Action::Expire],
        ClusterState::Active | ClusterState::Failed | ClusterState::Deleted => vec![],
        ClusterState::Updating => match observed.rotation {
            Rotation::Issuing => vec![Action::Issue],
            Rotation::Retiring => vec![Action::Retire],
            Rotation::Completed | Rotation::Waiting if observed.following > 0 => vec![Action::Wait],
            Rotation::Completed | Rotation::Waiting if !observed.paused => vec![Action::Settle],
            Rotation::Completed | Rotation::Waiting if observed.nodes > 0 => vec![Action::Wait],
            Rotation::Completed | Rotation::Waiting if !observed.hosts_clear => vec![Action::ClearHosts],
            Rotation::Completed | Rotation::Waiting => vec![Action::Settle],
        },
        ClusterState::Deleting if observed.nodes + observed.pools > 0 => vec![Action::DropNodes],
        ClusterState::Deleting if !observed.hosts_clear => vec![Action::ClearHosts],
        ClusterState::Deleting if observed.stored => vec![Action::DropStore, Action::Bury],
        ClusterState::Deleting => vec![Action::Bury],
    }
}

/// One run for a cluster.
pub(crate) async fn run(cloud: &Cloud, id: &ClusterId) -> Result<Next, Error> {
    let Some(cluster) = store::get_all_tenants(&cloud.db, id).await? else { return Ok(Next::Settled) };
    let actions = diff(observe(cloud, &cluster).await?);
    for action in &actions {
        act(cloud, &cluster, *action).await?;
    }
    let last = |action: &Action| matches!(action, Action::Make | Action::DropStore | Action::Bury | Action::Settle);
    // A rotation that begins to wait may be due at once.
    let waits = cluster.rotation == Rotation::Waiting && actions.contains(&Action::Settle);
    Ok(if actions.iter().all(last) && !waits { Next::Settled } else { Next::After(LOOK_AGAIN) })
}

async fn observe(cloud: &Cloud, cluster: &Cluster) -> Result<Observed, Error> {
    let counts = virtual_node_pool::store::count(&cloud.db, &cluster.id).await?;
    let deleting = cluster.state == ClusterState::Deleting;
    let stopping = cluster.state == ClusterState::Updating && cluster.is_paused && counts.nodes == 0;
    Ok(Observed {
        state: cluster.state,
        paused: cluster.is_paused,
        rotation: cluster.rotation,
        due: cluster.rotation_due_ms.is_some_and(|due| due <= cloud.now_ms()),
        nodes: counts.nodes,
        pools: counts.pools,
        following: counts.following,
        stored: deleting && exists(cloud, &cluster.id).await?,
        hosts_clear: !(deleting || stopping) || cloud.hosts_clear(&cluster.id).await?,
    })
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
        Action::Wait | Action::ClearHosts => Ok(()),
        Action::Issue => rotation::issue(cloud, cluster).await,
        Action::Expire => rotation::expire(cloud, cluster).await,
        Action::Retire => rotation::retire(cloud, cluster).await,
        Action::Settle => settle(cloud, cluster).await,
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

/// Says that a change is done, if it is still the change that was read.
async fn settle(cloud: &Cloud, cluster: &Cluster) -> Result<(), Error> {
    let details = cluster.is_paused.then_some("the cluster is paused");
    let mut txn = cloud.db.begin().await?;
    let moved = store::settle(&mut txn, &cluster.id, ClusterState::Updating, ClusterState::Active, details).await?;
    if let Some(work) = cluster.work_request_id.as_deref().filter(|_| moved) {
        let now = cloud.now_ms();
        work_request::store::finish(&mut txn, work, Status::Succeeded, "cluster updated", now).await?;
    }
    txn.commit().await?;
    Ok(())
}

async fn bury(cloud: &Cloud, cluster: &Cluster) -> Result<(), Error> {
    let now = cloud.now_ms();
    let mut txn = cloud.db.begin().await?;
    let moved = store::settle(&mut txn, &cluster.id, ClusterState::Deleting, ClusterState::Deleted, None).await?;
    authority::retire(&mut txn, &cluster.id, u32::MAX).await?;
    if let Some(work) = cluster.work_request_id.as_deref().filter(|_| moved) {
        work_request::store::finish(&mut txn, work, Status::Succeeded, "cluster deleted", now).await?;
    }
    txn.commit().await?;
    cloud.directory.forget(&cluster.id);
    cloud.leaves.remove(&cluster.id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Observed = Observed {
        state: ClusterState::Active,
        paused: false,
        rotation: Rotation::Completed,
        due: false,
        nodes: 0,
        pools: 0,
        following: 0,
        stored: true,
        hosts_clear: true,
    };

    #[track_caller]
    fn check(observed: Observed, expect: &str) {
        assert_eq!(format!("{:?}", diff(observed)), expect);
    }

    #[test]
    fn a_cluster_at_rest_is_left_alone() {
        for state in [ClusterState::Active, ClusterState::Failed, ClusterState::Deleted] {
            check(Observed { state, nodes: 3, pools: 1, hosts_clear: false, ..REST }, "[]");
        }
        check(Observed { paused: true, ..REST }, "[]");
        check(Observed { rotation: Rotation::Waiting, ..REST }, "[]");
    }

    #[test]
    fn deletion_goes_from_nodes_over_hosts_to_the_store() {
        let deleting = Observed { state: ClusterState::Deleting, ..REST };
        check(Observed { state: ClusterState::Creating, stored: false, ..REST }, "[Make]");
        check(Observed { nodes: 2, pools: 1, hosts_clear: false, ..deleting }, "[DropNodes]");
        check(Observed { pools: 1, hosts_clear: false, ..deleting }, "[DropNodes]");
        check(Observed { hosts_clear: false, ..deleting }, "[ClearHosts]");
        check(deleting, "[DropStore, Bury]");
        check(Observed { stored: false, ..deleting }, "[Bury]");
    }

    #[test]
    fn a_paused_cluster_is_at_rest_when_nothing_runs_on_any_host() {
        let pausing = Observed { state: ClusterState::Updating, paused: true, pools: 1, ..REST };
        check(Observed { nodes: 2, following: 1, hosts_clear: false, ..pausing }, "[Wait]");
        check(Observed { nodes: 1, ..pausing }, "[Wait]");
        check(Observed { hosts_clear: false, ..pausing }, "[ClearHosts]");
        check(pausing, "[Settle]");
    }

    #[test]
    fn a_resumed_cluster_is_at_rest_when_its_pools_are() {
        let resuming = Observed { state: ClusterState::Updating, pools: 1, nodes: 2, hosts_clear: false, ..REST };
        check(Observed { following: 1, ..resuming }, "[Wait]");
        check(resuming, "[Settle]");
    }

    #[test]
    fn a_rotation_goes_on_when_it_is_told_to_or_its_time_has_come() {
        let updating = |rotation| Observed { state: ClusterState::Updating, rotation, ..REST };
        check(updating(Rotation::Issuing), "[Issue]");
        check(updating(Rotation::Retiring), "[Retire]");
        check(updating(Rotation::Waiting), "[Settle]");
        check(Observed { rotation: Rotation::Waiting, due: true, ..REST }, "[Expire]");
        check(Observed { due: true, ..REST }, "[]");
    }
}
