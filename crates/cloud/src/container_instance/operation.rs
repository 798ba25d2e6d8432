//! What callers do with container instances: each is one transaction; the reconciler does the rest.

use super::{
    Container, Instance, InstanceState, Subnet, Tags, Wish, apply, plan, store,
    wire::{ChangeCompartmentDetails, CreateInstanceDetails, UpdateContainerDetails, UpdateInstanceDetails},
};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    cluster::check_name,
    error::not_found,
    network,
    quota::{self, Limit},
    rest::{self, Caller},
    retry,
    work_request::{self, Operation, Status, WorkRequest},
    worker::Key,
};
use domain::{CompartmentId, WorkRequestId};
use problem::oci;
use sqlx::PgConnection;

/// Makes an instance; its containers follow. Gives it and its work request.
pub(super) async fn create(
    cloud: &Cloud,
    caller: &Caller,
    body: &[u8],
) -> Result<(Instance, Vec<Container>, WorkRequestId), Error> {
    let details: CreateInstanceDetails = rest::body(body)?;
    let compartment = caller.compartment_for_new(&details.compartment_id, Resource::ContainerInstances)?;
    let now = cloud.now_ms();
    let tenant = &caller.principal.tenant_id;
    let token = caller.retry_token.as_deref();
    let attempt = retry::Attempt { tenant, operation: "CreateContainerInstance", token, body };
    let mut txn = cloud.db.begin().await?;
    let id = WorkRequestId::generate();
    if let Some(first) = retry::claim(&mut txn, &attempt, id.as_str(), now).await? {
        return first_answer(cloud, caller, &first).await;
    }
    quota::lock_tenancy(&mut txn, tenant).await?;
    let subnet = subnet(&mut txn, caller, &compartment, &details, now).await?;
    let (mut instance, containers) = plan(details, (tenant, compartment), subnet, &cloud.config, now)?;
    let amount = |value| i64::try_from(value).unwrap_or(i64::MAX);
    let wants = [
        (Limit::Instances, 1),
        (Limit::InstanceOcpus, amount(instance.size.ocpus)),
        (Limit::InstanceMemory, amount(instance.size.memory_gb)),
    ];
    quota::claim(&mut txn, caller, &instance.compartment_id, &wants).await?;
    caller.about(&instance.compartment_id, instance.id.as_str(), &instance.display_name);
    let work = WorkRequest { id, ..begin(Operation::InstanceCreate, &instance, now) };
    instance.work_request_id = Some(work.id.as_str().to_owned());
    let message = format!("creating container instance {:?}", instance.display_name);
    work_request::store::insert(&mut txn, &work, &message).await?;
    store::insert(&mut txn, &cloud.hosts.sealer, &instance, &containers).await?;
    txn.commit().await?;
    cloud.wake(Key::Instance(instance.id.clone()));
    Ok((instance, containers, work.id))
}

/// What the same request was answered with when it came first, as it is now.
async fn first_answer(
    cloud: &Cloud,
    caller: &Caller,
    first: &str,
) -> Result<(Instance, Vec<Container>, WorkRequestId), Error> {
    let work = work_request::store::get(&cloud.db, &caller.principal.tenant_id, first).await?;
    let work = work.ok_or_else(|| not_found("work request", first))?;
    let instance = find(cloud, caller, &work.resource_id, Verb::Manage).await?;
    let containers = store::containers(&cloud.db, &instance.id).await?;
    Ok((instance, containers, work.id))
}

/// Where a new instance is attached: the subnet that it names, or the compartment's default network.
async fn subnet(
    txn: &mut PgConnection,
    caller: &Caller,
    compartment: &CompartmentId,
    details: &CreateInstanceDetails,
    now_ms: i64,
) -> Result<Subnet, Error> {
    let vnic = details.vnics.first();
    let found = match vnic.and_then(|vnic| vnic.subnet_id.as_ref()) {
        Some(id) => network::usable_subnet(txn, caller, id).await?,
        None => network::default_subnet(txn, caller, compartment, now_ms).await?,
    };
    let groups = vnic.and_then(|vnic| vnic.nsg_ids.clone()).unwrap_or_default();
    network::check_groups(txn, caller, &found.vcn_id, &groups).await?;
    Ok(Subnet { id: found.id, network_id: found.vcn_id, range: found.range.to_string() })
}

/// What an operation changes, in which states, and how it is called.
struct Change {
    operation: Operation,
    verb: Verb,
    states: &'static [InstanceState],
    becomes: InstanceState,
    message: &'static str,
}

/// Starts a stopped instance.
pub(super) async fn start(cloud: &Cloud, caller: &Caller, id: &str) -> Result<WorkRequestId, Error> {
    let change = Change {
        operation: Operation::InstanceStart,
        verb: Verb::Use,
        states: &[InstanceState::Inactive],
        becomes: InstanceState::Updating,
        message: "starting container instance",
    };
    alter(cloud, caller, id, change, |mut instance, _| {
        (instance.wish, instance.run) = (Wish::Run, instance.run + 1);
        Ok(instance)
    })
    .await
}

/// Stops an instance: it costs nothing, and keeps its ids.
pub(super) async fn stop(cloud: &Cloud, caller: &Caller, id: &str) -> Result<WorkRequestId, Error> {
    let change = Change {
        operation: Operation::InstanceStop,
        verb: Verb::Use,
        states: &[InstanceState::Active],
        becomes: InstanceState::Updating,
        message: "stopping container instance",
    };
    alter(cloud, caller, id, change, |mut instance, _| {
        instance.wish = Wish::Stop;
        Ok(instance)
    })
    .await
}

/// Stops an instance and starts it again.
pub(super) async fn restart(cloud: &Cloud, caller: &Caller, id: &str) -> Result<WorkRequestId, Error> {
    let change = Change {
        operation: Operation::InstanceRestart,
        verb: Verb::Use,
        states: &[InstanceState::Active],
        becomes: InstanceState::Updating,
        message: "restarting container instance",
    };
    alter(cloud, caller, id, change, |mut instance, _| {
        (instance.wish, instance.run) = (Wish::Run, instance.run + 1);
        Ok(instance)
    })
    .await
}

/// Changes an instance; nothing of it restarts.
pub(super) async fn update(cloud: &Cloud, caller: &Caller, id: &str, body: &[u8]) -> Result<WorkRequestId, Error> {
    let details: UpdateInstanceDetails = rest::body(body)?;
    let change = Change {
        operation: Operation::InstanceUpdate,
        verb: Verb::Use,
        states: &[InstanceState::Active, InstanceState::Inactive],
        becomes: InstanceState::Updating,
        message: "updating container instance",
    };
    alter(cloud, caller, id, change, |instance, now| apply(instance, details, now)).await
}

/// Moves an instance to another compartment, to which it is charged from then on.
pub(super) async fn change_compartment(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    body: &[u8],
) -> Result<WorkRequestId, Error> {
    let details: ChangeCompartmentDetails = rest::body(body)?;
    let to = caller.compartment_for_new(&details.compartment_id, Resource::ContainerInstances)?;
    let change = Change {
        operation: Operation::InstanceMove,
        verb: Verb::Manage,
        states: &[InstanceState::Active, InstanceState::Inactive],
        becomes: InstanceState::Updating,
        message: "moving container instance",
    };
    alter(cloud, caller, id, change, |mut instance, now| {
        instance.compartment_id = to;
        instance.generation = now.max(instance.generation + 1);
        Ok(instance)
    })
    .await
}

/// Begins to delete an instance.
pub(super) async fn delete(cloud: &Cloud, caller: &Caller, id: &str) -> Result<WorkRequestId, Error> {
    use InstanceState::{Active, Creating, Failed, Inactive, Updating};
    let change = Change {
        operation: Operation::InstanceDelete,
        verb: Verb::Manage,
        states: &[Creating, Updating, Active, Inactive, Failed],
        becomes: InstanceState::Deleting,
        message: "deleting container instance",
    };
    alter(cloud, caller, id, change, |mut instance, _| {
        instance.wish = Wish::Delete;
        Ok(instance)
    })
    .await
}

async fn alter(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    change: Change,
    apply: impl FnOnce(Instance, i64) -> Result<Instance, Error> + Send,
) -> Result<WorkRequestId, Error> {
    let now = cloud.now_ms();
    let mut txn = cloud.db.begin().await?;
    let found = store::lock(&mut txn, &cloud.hosts.sealer, &caller.principal.tenant_id, id).await?;
    let instance = caller.admit(change.verb, found, id)?;
    caller.check_etag(&instance.etag())?;
    instance.require(change.states)?;
    let mut instance = apply(instance, now)?;
    if let Some(open) = &instance.work_request_id {
        let why = format!("another operation began: {}", change.message);
        work_request::store::finish(&mut txn, open, Status::Canceled, &why, now).await?;
    }
    let work = begin(change.operation, &instance, now);
    instance.work_request_id = Some(work.id.as_str().to_owned());
    (instance.state, instance.state_ms, instance.updated_ms) = (change.becomes, now, Some(now));
    let message = format!("{} {:?}", change.message, instance.display_name);
    work_request::store::insert(&mut txn, &work, &message).await?;
    store::update(&mut txn, &cloud.hosts.sealer, &instance).await?;
    txn.commit().await?;
    cloud.wake(Key::Instance(instance.id));
    Ok(work.id)
}

fn begin(operation: Operation, instance: &Instance, now_ms: i64) -> WorkRequest {
    let owner = (&instance.tenancy_id, &instance.compartment_id);
    WorkRequest::begin(operation, owner, None, instance.id.as_str(), now_ms)
}

/// Changes a container's name and tags; done when this returns.
pub(super) async fn update_container(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    body: &[u8],
) -> Result<WorkRequestId, Error> {
    let details: UpdateContainerDetails = rest::body(body)?;
    let now = cloud.now_ms();
    let mut txn = cloud.db.begin().await?;
    let found = store::container(&mut *txn, &caller.principal.tenant_id, id).await?;
    let mut container = caller.admit(Verb::Use, found, id)?;
    caller.check_etag(&container.etag())?;
    if matches!(container.seen.state, InstanceState::Deleting | InstanceState::Deleted) {
        return Err(oci::Error::incorrect_state(format!("the container is {}", container.seen.state)).into());
    }
    if let Some(name) = details.display_name {
        container.display_name = check_name("displayName", name)?;
    }
    container.tags = Tags::or(details.freeform_tags, details.defined_tags, container.tags)?;
    container.updated_ms = Some(now);
    let owner = (&caller.principal.tenant_id, &container.compartment_id);
    let work = WorkRequest::begin(Operation::ContainerUpdate, owner, None, id, now);
    work_request::store::insert(&mut txn, &work, &format!("updating container {:?}", container.display_name)).await?;
    work_request::store::finish(&mut txn, work.id.as_str(), Status::Succeeded, "container updated", now).await?;
    store::update_container(&mut txn, &container).await?;
    txn.commit().await?;
    Ok(work.id)
}

/// The caller's instance.
pub(super) async fn find(cloud: &Cloud, caller: &Caller, id: &str, verb: Verb) -> Result<Instance, Error> {
    caller.admit(verb, store::get(&cloud.db, &cloud.hosts.sealer, &caller.principal.tenant_id, id).await?, id)
}

/// The caller's container and the instance that it is of.
pub(super) async fn find_container(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    verb: Verb,
) -> Result<(Instance, Container), Error> {
    let tenant = &caller.principal.tenant_id;
    let container = caller.admit(verb, store::container(&cloud.db, tenant, id).await?, id)?;
    let instance = store::get(&cloud.db, &cloud.hosts.sealer, tenant, container.instance_id.as_str()).await?;
    Ok((instance.ok_or_else(|| not_found("container", id))?, container))
}
