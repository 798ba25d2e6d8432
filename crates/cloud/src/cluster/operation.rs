//! What callers do with clusters: each is one transaction; what takes longer is left to the reconciler.

use super::{
    Cluster, ClusterState, Mark, apply, plan, store,
    wire::{CreateClusterDetails, UpdateClusterDetails},
};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    error::invalid,
    network,
    quota::{self, Limit},
    rest::{self, Caller},
    retry, virtual_node_pool,
    work_request::{self, Operation, Status, WorkRequest},
    worker::Key,
};
use domain::WorkRequestId;
use problem::oci;

/// Makes a cluster. It is ACTIVE when this returns, or the reconciler goes on making it.
pub(super) async fn create(cloud: &Cloud, caller: &Caller, body: &[u8]) -> Result<WorkRequestId, Error> {
    let details: CreateClusterDetails = rest::body(body)?;
    let principal = &caller.principal;
    let compartment = caller.compartment_for_new(&details.compartment_id, Resource::Clusters)?;
    let now = cloud.now_ms();
    let mut cluster = plan(details, &principal.tenant_id, &principal.user_id, compartment, now)?;
    let owner = (&cluster.tenancy_id, &cluster.compartment_id);
    let work = WorkRequest::begin(Operation::ClusterCreate, owner, Some(&cluster.id), cluster.id.as_str(), now);
    let token = caller.retry_token.as_deref();
    let attempt = retry::Attempt { tenant: &principal.tenant_id, operation: "CreateCluster", token, body };

    let mut txn = cloud.db.begin().await?;
    if let Some(first) = retry::claim(&mut txn, &attempt, work.id.as_str(), now).await? {
        return first.parse().map_err(|error: domain::IdError| Error::Outside(error.to_string()));
    }
    quota::claim(&mut txn, caller, &cluster.compartment_id, &[(Limit::Clusters, 1)]).await?;
    place(&mut txn, caller, &mut cluster, now).await?;
    caller.about(&cluster.compartment_id, cluster.id.as_str(), &cluster.name);
    cluster.work_request_id = Some(work.id.as_str().to_owned());
    work_request::store::insert(&mut txn, &work, &format!("creating cluster {:?}", cluster.name)).await?;
    store::insert(&mut txn, &cluster).await?;
    txn.commit().await?;

    // Making it takes milliseconds, so the caller waits; if it fails or the caller leaves, the reconciler takes over.
    cloud.directory.learn(&cluster);
    let key = Key::Cluster(cluster.id.clone());
    if let Err(error) = super::reconcile::make(cloud, &cluster).await {
        tracing::warn!(cluster = %cluster.id, %error, "could not make cluster {} at once: {error}", cluster.id);
        cloud.wake(key);
    }
    Ok(work.id)
}

/// Puts a new cluster into its network, and refuses subnets and security groups that are not of that.
async fn place(txn: &mut sqlx::PgConnection, caller: &Caller, cluster: &mut Cluster, now_ms: i64) -> Result<(), Error> {
    let config = cluster.spec.options.kubernetes_network_config.as_ref();
    let pods = config.and_then(|config| config.pods_cidr.as_deref()).filter(|text| !text.is_empty());
    let ranges = (pods.map(|_| cluster.pods_cidr), cluster.services_cidr);
    let vcn = Some(cluster.vcn_id.clone()).filter(|id| !id.is_empty());
    let network = network::for_cluster(txn, caller, &cluster.compartment_id, vcn.as_deref(), ranges, now_ms).await?;
    cluster.vcn_id = network.vcn_id;
    cluster.pods_cidr = network.pods;
    let endpoint = cluster.spec.endpoint_config.clone().unwrap_or_default();
    let balancers = cluster.spec.options.service_lb_subnet_ids.iter().flatten();
    for id in endpoint.subnet_id.iter().chain(balancers) {
        if network::usable_subnet(txn, caller, id).await?.vcn_id != cluster.vcn_id {
            return Err(invalid(format!("subnet {id} is of another VCN; use subnets of {}", cluster.vcn_id)));
        }
    }
    network::check_groups(txn, caller, &cluster.vcn_id, endpoint.nsg_ids.as_deref().unwrap_or_default()).await
}

/// Changes a cluster. Done when this returns, but for another version, which takes the reconciler.
pub(super) async fn update(cloud: &Cloud, caller: &Caller, id: &str, body: &[u8]) -> Result<WorkRequestId, Error> {
    let details: UpdateClusterDetails = rest::body(body)?;
    let now = cloud.now_ms();
    let mut txn = cloud.db.begin().await?;
    let cluster = lock(&mut txn, caller, id, Verb::Manage).await?;
    caller.check_etag(&cluster.etag())?;
    cluster.require_active()?;
    let before = cluster.kubernetes_version.clone();
    let pools = virtual_node_pool::store::versions(&mut txn, &cluster.id).await?;
    let mut changed = apply(cluster, details, &pools)?;
    if changed.kubernetes_version != before {
        let message = format!("upgrading cluster {:?} from {before} to {}", changed.name, changed.kubernetes_version);
        return begin(cloud, caller.principal.user_id.as_str(), txn, changed, &message).await;
    }
    let owner = (&changed.tenancy_id, &changed.compartment_id);
    let work = WorkRequest::begin(Operation::ClusterUpdate, owner, Some(&changed.id), id, now);
    changed.updated = Some(mark(caller.principal.user_id.as_str(), &work.id, now));
    store::update(&mut txn, &changed).await?;
    work_request::store::insert(&mut txn, &work, &format!("updating cluster {:?}", changed.name)).await?;
    work_request::store::finish(&mut txn, work.id.as_str(), Status::Succeeded, "cluster updated", now).await?;
    txn.commit().await?;
    Ok(work.id)
}

/// Begins to stop all that a cluster runs, or to run it again.
pub(super) async fn pause(cloud: &Cloud, caller: &Caller, id: &str, paused: bool) -> Result<WorkRequestId, Error> {
    let mut txn = cloud.db.begin().await?;
    let mut cluster = lock(&mut txn, caller, id, Verb::Manage).await?;
    caller.check_etag(&cluster.etag())?;
    cluster.require_active()?;
    if cluster.is_paused == paused {
        let state = if paused { "paused already" } else { "not paused" };
        return Err(oci::Error::incorrect_state(format!("the cluster is {state}")).into());
    }
    cluster.is_paused = paused;
    let pools = virtual_node_pool::store::follow_cluster(&mut txn, &cluster.id, cloud.now_ms()).await?;
    let verb = if paused { "pausing" } else { "resuming" };
    let message = format!("{verb} cluster {:?}", cluster.name);
    let key = cluster.id.clone();
    let work = begin(cloud, caller.principal.user_id.as_str(), txn, cluster, &message).await?;
    pools.into_iter().for_each(|pool| cloud.wake(Key::Pool(key.clone(), pool)));
    Ok(work)
}

/// Stores a change that the reconciler has to carry out: the cluster is UPDATING until then.
pub(super) async fn begin(
    cloud: &Cloud,
    by: &str,
    mut txn: sqlx::Transaction<'_, sqlx::Postgres>,
    mut cluster: Cluster,
    message: &str,
) -> Result<WorkRequestId, Error> {
    let now = cloud.now_ms();
    let owner = (&cluster.tenancy_id, &cluster.compartment_id);
    let work = WorkRequest::begin(Operation::ClusterUpdate, owner, Some(&cluster.id), cluster.id.as_str(), now);
    cluster.state = ClusterState::Updating;
    cluster.details = Some(message.to_owned());
    cluster.work_request_id = Some(work.id.as_str().to_owned());
    cluster.updated = Some(mark(by, &work.id, now));
    store::update(&mut txn, &cluster).await?;
    work_request::store::insert(&mut txn, &work, message).await?;
    txn.commit().await?;
    cloud.directory.learn(&cluster);
    cloud.wake(Key::Cluster(cluster.id));
    Ok(work.id)
}

/// Begins to delete a cluster.
pub(super) async fn delete(cloud: &Cloud, caller: &Caller, id: &str) -> Result<WorkRequestId, Error> {
    let now = cloud.now_ms();
    let mut txn = cloud.db.begin().await?;
    let cluster = lock(&mut txn, caller, id, Verb::Manage).await?;
    caller.check_etag(&cluster.etag())?;
    if matches!(cluster.state, ClusterState::Deleting | ClusterState::Deleted) {
        let message = format!("the cluster is {} already", cluster.state);
        return Err(oci::Error::incorrect_state(message).into());
    }
    if let Some(open) = &cluster.work_request_id {
        work_request::store::finish(&mut txn, open, Status::Canceled, "the cluster is being deleted", now).await?;
    }
    let owner = (&cluster.tenancy_id, &cluster.compartment_id);
    let work = WorkRequest::begin(Operation::ClusterDelete, owner, Some(&cluster.id), id, now);
    work_request::store::insert(&mut txn, &work, &format!("deleting cluster {:?}", cluster.name)).await?;
    store::begin_delete(&mut txn, &cluster.id, &mark(caller.principal.user_id.as_str(), &work.id, now)).await?;
    virtual_node_pool::store::delete_with_cluster(&mut txn, &cluster.id, now).await?;
    txn.commit().await?;
    cloud.wake(Key::Cluster(cluster.id));
    Ok(work.id)
}

/// The caller's cluster.
pub(crate) async fn find(cloud: &Cloud, caller: &Caller, id: &str, verb: Verb) -> Result<Cluster, Error> {
    caller.admit(verb, store::get(&cloud.db, &caller.principal.tenant_id, id).await?, id)
}

/// The same, locked until the transaction ends.
pub(crate) async fn lock(
    txn: &mut sqlx::PgConnection,
    caller: &Caller,
    id: &str,
    verb: Verb,
) -> Result<Cluster, Error> {
    caller.admit(verb, store::lock(txn, &caller.principal.tenant_id, id).await?, id)
}

fn mark(by: &str, work: &WorkRequestId, now_ms: i64) -> Mark {
    Mark { at_ms: now_ms, by: by.to_owned(), work_request: work.as_str().to_owned() }
}
