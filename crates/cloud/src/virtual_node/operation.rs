//! What callers do with single nodes.

use crate::{
    Cloud, Error,
    access::Verb,
    error::not_found,
    rest::{Caller, Params},
    virtual_node_pool::{
        LifecycleState, operation,
        store::{self, Leave},
    },
    work_request::{self, Operation, WorkRequest},
    worker::Key,
};
use domain::WorkRequestId;
use problem::oci;

/// Reads how a node is to go. Source of names and defaults: `DeleteNode` of OKE's managed nodes.
pub(super) fn leave(params: &Params) -> Result<Leave, Error> {
    Ok(Leave {
        drain_ms: operation::eviction_grace(params, "overrideEvictionGraceDuration")?,
        forced: params.flag("isForceDeletionAfterOverrideGraceDuration")?,
        shrinks: params.flag("isDecrementSize")?,
    })
}

/// Begins to delete one node: its pods leave it first. The pool makes another, unless it gets smaller by it.
pub(super) async fn delete(
    cloud: &Cloud,
    caller: &Caller,
    (pool, node): (&str, &str),
    leave: Leave,
) -> Result<WorkRequestId, Error> {
    let now = cloud.now_ms();
    let mut txn = cloud.db.begin().await?;
    let mut pool = operation::lock(&mut txn, caller, pool, Verb::Manage).await?;
    caller.check_etag(&pool.etag())?;
    if matches!(pool.state, LifecycleState::Deleting | LifecycleState::Deleted) {
        return Err(oci::Error::incorrect_state(format!("the virtual node pool is {}", pool.state)).into());
    }
    let found = store::lock_node(&mut txn, &pool.id, node).await?;
    let node = found.ok_or_else(|| not_found("virtual node", node))?;
    if matches!(node.state, LifecycleState::Deleting | LifecycleState::Deleted) {
        return Err(oci::Error::incorrect_state(format!("the virtual node is {} already", node.state)).into());
    }
    let owner = (&pool.tenancy_id, &pool.compartment_id);
    let work = WorkRequest::begin(Operation::NodeDelete, owner, Some(&pool.cluster_id), node.id.as_str(), now);
    let instead = if leave.shrinks { "the pool gets smaller by it" } else { "another one takes its place" };
    let message = format!("deleting virtual node {}: {instead}", node.node_name);
    work_request::store::insert(&mut txn, &work, &message).await?;
    store::retire_node(&mut txn, &node.id, &leave, work.id.as_str(), now).await?;
    if leave.shrinks {
        pool.size = pool.size.saturating_sub(1);
    }
    if pool.state != LifecycleState::Creating {
        (pool.state, pool.state_ms) = (LifecycleState::Updating, now);
    }
    pool.updated_ms = Some(now);
    store::update(&mut txn, &pool).await?;
    txn.commit().await?;
    cloud.wake(Key::Pool(pool.cluster_id, pool.id));
    Ok(work.id)
}
