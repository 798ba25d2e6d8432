//! What callers do with pools: each is one transaction; the reconciler does the rest.

use super::{
    LifecycleState, Pool, apply, cycling, plan, store,
    wire::{CreatePoolDetails, Spec, UpdatePoolDetails},
};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    cluster,
    error::{invalid, not_found},
    network,
    quota::{self, Limit},
    rest::{self, Caller, Params},
    retry,
    work_request::{self, Operation, Status, WorkRequest},
    worker::Key,
};
use domain::WorkRequestId;
use problem::oci;
use sqlx::PgConnection;
use std::collections::BTreeSet;

/// Makes a pool; its nodes follow.
pub(super) async fn create(cloud: &Cloud, caller: &Caller, body: &[u8]) -> Result<WorkRequestId, Error> {
    let details: CreatePoolDetails = rest::body(body)?;
    let compartment = caller.compartment_for_new(&details.compartment_id, Resource::VirtualNodePools)?;
    let now = cloud.now_ms();
    let tenant = &caller.principal.tenant_id;
    let token = caller.retry_token.as_deref();
    let attempt = retry::Attempt { tenant, operation: "CreateVirtualNodePool", token, body };
    let mut txn = cloud.db.begin().await?;
    let id = WorkRequestId::generate();
    if let Some(first) = retry::claim(&mut txn, &attempt, id.as_str(), now).await? {
        return first.parse().map_err(|error: domain::IdError| Error::Outside(error.to_string()));
    }
    // Before any row, as everywhere: whoever holds rows and waits for it could wait for ever.
    quota::lock_tenancy(&mut txn, tenant).await?;
    // The lock keeps the cluster from being deleted meanwhile, and the count of its nodes exact.
    let cluster = cluster::operation::lock(&mut txn, caller, &details.cluster_id, Verb::Use).await?;
    let subnet = network::subnet_of_pods(&mut txn, &cluster).await?;
    let mut pool = plan(details, &cluster, (compartment, &subnet.id), &cloud.config, now)?;
    check_network(&mut txn, caller, &cluster.vcn_id, &pool.spec).await?;
    quota::claim(&mut txn, caller, &pool.compartment_id, &[(Limit::VirtualNodes, i64::from(pool.size))]).await?;
    check_room(&mut txn, &pool, &cluster).await?;
    caller.about(&pool.compartment_id, pool.id.as_str(), &pool.display_name);
    let work = WorkRequest { id, ..begin(Operation::PoolCreate, &pool, now) };
    pool.work_request_id = Some(work.id.as_str().to_owned());
    let message = format!("creating virtual node pool {:?} with {} nodes", pool.display_name, pool.size);
    work_request::store::insert(&mut txn, &work, &message).await?;
    store::insert(&mut txn, &pool).await?;
    txn.commit().await?;
    cloud.wake(Key::Pool(pool.cluster_id, pool.id));
    Ok(work.id)
}

/// Changes a pool; its nodes follow.
pub(super) async fn update(cloud: &Cloud, caller: &Caller, id: &str, body: &[u8]) -> Result<WorkRequestId, Error> {
    let details: UpdatePoolDetails = rest::body(body)?;
    let now = cloud.now_ms();
    let cluster_id = find(cloud, caller, id, Verb::Use).await?.cluster_id;
    let mut txn = cloud.db.begin().await?;
    quota::lock_tenancy(&mut txn, &caller.principal.tenant_id).await?;
    // The cluster first, as in `create`: its lock keeps the count of its nodes exact, and its version as it is.
    let cluster = cluster::store::lock(&mut txn, &caller.principal.tenant_id, cluster_id.as_str()).await?;
    let cluster = cluster.ok_or_else(|| not_found("virtual node pool", id))?;
    let pool = lock(&mut txn, caller, id, Verb::Use).await?;
    caller.check_etag(&pool.etag())?;
    pool.require_settled()?;
    let (size, spec, version) = (pool.size, pool.spec.clone(), pool.kubernetes_version.clone());
    let mut pool = apply(pool, details, &cluster, &cloud.config)?;
    let upgraded = pool.kubernetes_version != version;
    if pool.spec != spec {
        check_network(&mut txn, caller, &cluster.vcn_id, &pool.spec).await?;
    }
    let more = i64::from(pool.size) - i64::from(size);
    quota::claim(&mut txn, caller, &pool.compartment_id, &[(Limit::VirtualNodes, more)]).await?;
    check_room(&mut txn, &pool, &cluster).await?;
    supersede(&mut txn, &pool, "the virtual node pool is being updated anew", now).await?;
    let cycles = cycling::steps(pool.spec.virtual_node_pool_cycling_details.as_ref(), pool.size).is_some();
    let operation =
        if cycles && (pool.spec != spec || upgraded) { Operation::PoolCycling } else { Operation::PoolUpdate };
    let work = begin(operation, &pool, now);
    pool.work_request_id = Some(work.id.as_str().to_owned());
    pool.state = LifecycleState::Updating;
    pool.updated_ms = Some(now);
    pool.state_ms = now;
    let (name, size, version) = (&pool.display_name, pool.size, &pool.kubernetes_version);
    let message = format!("updating virtual node pool {name:?} to {size} nodes of {version}");
    work_request::store::insert(&mut txn, &work, &message).await?;
    store::update(&mut txn, &pool).await?;
    txn.commit().await?;
    cloud.wake(Key::Pool(pool.cluster_id, pool.id));
    Ok(work.id)
}

/// Begins to delete a pool.
/// `drain_ms`: how long pods get to leave its nodes, if that is said.
pub(super) async fn delete(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    drain_ms: Option<i64>,
) -> Result<WorkRequestId, Error> {
    let now = cloud.now_ms();
    let mut txn = cloud.db.begin().await?;
    let mut pool = lock(&mut txn, caller, id, Verb::Manage).await?;
    caller.check_etag(&pool.etag())?;
    if matches!(pool.state, LifecycleState::Deleting | LifecycleState::Deleted) {
        let message = format!("the virtual node pool is {} already", pool.state);
        return Err(oci::Error::incorrect_state(message).into());
    }
    supersede(&mut txn, &pool, "the virtual node pool is being deleted", now).await?;
    let work = begin(Operation::PoolDelete, &pool, now);
    pool.work_request_id = Some(work.id.as_str().to_owned());
    pool.state = LifecycleState::Deleting;
    pool.state_ms = now;
    let message = format!("deleting virtual node pool {:?}", pool.display_name);
    work_request::store::insert(&mut txn, &work, &message).await?;
    store::update(&mut txn, &pool).await?;
    if let Some(drain_ms) = drain_ms {
        store::drain_all(&mut txn, &pool.id, drain_ms).await?;
    }
    txn.commit().await?;
    cloud.wake(Key::Pool(pool.cluster_id, pool.id));
    Ok(work.id)
}

/// A query parameter that says how long pods get to leave: an ISO 8601 duration. In milliseconds.
/// Source: OKE's `overrideEvictionGraceDuration`, PT0M to PT60M.
pub(crate) fn eviction_grace(params: &Params, name: &str) -> Result<Option<i64>, Error> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let iso = text.starts_with('P').then(|| text.parse::<jiff::SignedDuration>().ok()).flatten();
    let fits = iso.map(|grace| grace.as_millis()).filter(|grace| (0..=3_600_000).contains(grace));
    let grace = fits.and_then(|grace| i64::try_from(grace).ok());
    grace.map(Some).ok_or_else(|| invalid(format!("{name} must be a duration from PT0M to PT60M, not {text:?}")))
}

/// A pool's nodes go with it: it cannot be deleted only if all its pods can leave.
pub(super) fn require_force(params: &Params) -> Result<(), Error> {
    let name = "isForceDeletionAfterOverrideGraceDurationVnp";
    match params.one_of(name, &[("true", true), ("false", false)])? {
        Some(false) => Err(invalid(format!(
            "{name}: a pool's nodes go with the pods that are left when the grace ends; leave it out, or say true"
        ))),
        Some(true) | None => Ok(()),
    }
}

/// The caller's pool.
pub(crate) async fn find(cloud: &Cloud, caller: &Caller, id: &str, verb: Verb) -> Result<Pool, Error> {
    caller.admit(verb, store::get(&cloud.db, &caller.principal.tenant_id, id).await?, id)
}

fn begin(operation: Operation, pool: &Pool, now_ms: i64) -> WorkRequest {
    let owner = (&pool.tenancy_id, &pool.compartment_id);
    WorkRequest::begin(operation, owner, Some(&pool.cluster_id), pool.id.as_str(), now_ms)
}

async fn supersede(txn: &mut PgConnection, pool: &Pool, why: &str, now_ms: i64) -> Result<(), Error> {
    if let Some(open) = &pool.work_request_id {
        work_request::store::finish(txn, open, Status::Canceled, why, now_ms).await?;
    }
    Ok(())
}

/// Refuses subnets and security groups that don't exist, or are not of the cluster's network.
async fn check_network(txn: &mut PgConnection, caller: &Caller, vcn_id: &str, spec: &Spec) -> Result<(), Error> {
    let pods = &spec.pod_configuration;
    let nodes = spec.placement_configurations.iter().filter_map(|placement| placement.subnet_id.as_ref());
    let ids: BTreeSet<&String> = nodes.chain(pods.subnet_id.as_ref()).collect();
    for id in ids {
        if network::usable_subnet(txn, caller, id).await?.vcn_id != vcn_id {
            return Err(invalid(format!("subnet {id} is of another VCN than the cluster; use subnets of {vcn_id}")));
        }
    }
    network::check_groups(txn, caller, vcn_id, &spec.nsg_ids).await?;
    network::check_groups(txn, caller, vcn_id, pods.nsg_ids.as_deref().unwrap_or_default()).await
}

/// Refuses sizes with which the cluster would have too many nodes.
async fn check_room(txn: &mut PgConnection, pool: &Pool, cluster: &cluster::Cluster) -> Result<(), Error> {
    let (others, most) = (store::size_of_others(txn, &pool.cluster_id, &pool.id).await?, cluster.kind.max_nodes());
    if others + i64::from(pool.size) <= i64::from(most) {
        return Ok(());
    }
    let kind = cluster.kind;
    let message = format!("a {kind} may have {most} nodes; this one's other pools have {others} already");
    Err(oci::Error::limit_exceeded(message).into())
}

/// The caller's pool, locked until the transaction ends.
pub(crate) async fn lock(txn: &mut PgConnection, caller: &Caller, id: &str, verb: Verb) -> Result<Pool, Error> {
    caller.admit(verb, store::lock(txn, &caller.principal.tenant_id, id).await?, id)
}
