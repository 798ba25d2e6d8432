//! Work requests: what the cloud API's asynchronous operations do, step by step, for their caller to follow.

pub(crate) mod api;
pub(crate) mod instances;
pub(crate) mod store;

use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    caller::{Caller, Owned},
    words::words,
};
use domain::{ClusterId, CompartmentId, TenantId, WorkRequestId};
use problem::oci;

words! {
    /// What is done. Source: `WorkRequestOperationType`.
    Operation {
        /// A cluster is made.
        ClusterCreate = "CLUSTER_CREATE",
        /// A cluster is changed.
        ClusterUpdate = "CLUSTER_UPDATE",
        /// A cluster is deleted.
        ClusterDelete = "CLUSTER_DELETE",
        /// A pool of virtual nodes is made.
        PoolCreate = "VIRTUALNODEPOOL_CREATE",
        /// A pool of virtual nodes is changed.
        PoolUpdate = "VIRTUALNODEPOOL_UPDATE",
        /// A pool of virtual nodes is deleted.
        PoolDelete = "VIRTUALNODEPOOL_DELETE",
        /// The nodes of a pool are replaced, a few at a time.
        PoolCycling = "VIRTUALNODEPOOL_CYCLING",
        /// One virtual node is deleted.
        NodeDelete = "VIRTUALNODE_DELETE",
        /// A container instance is made. Source of these: `OperationType` of Container Instances.
        InstanceCreate = "CREATE_CONTAINER_INSTANCE",
        /// A container instance is changed.
        InstanceUpdate = "UPDATE_CONTAINER_INSTANCE",
        /// A container instance is deleted.
        InstanceDelete = "DELETE_CONTAINER_INSTANCE",
        /// A container instance is moved to another compartment.
        InstanceMove = "MOVE_CONTAINER_INSTANCE",
        /// A container instance is started.
        InstanceStart = "START_CONTAINER_INSTANCE",
        /// A container instance is stopped.
        InstanceStop = "STOP_CONTAINER_INSTANCE",
        /// A container instance is stopped and started.
        InstanceRestart = "RESTART_CONTAINER_INSTANCE",
        /// A container is changed.
        ContainerUpdate = "UPDATE_CONTAINER",
    }

    /// How far it is. Source: `WorkRequestStatus`.
    Status {
        /// Nothing was done yet.
        Accepted = "ACCEPTED",
        /// Going on.
        InProgress = "IN_PROGRESS",
        /// Ended without success; its errors say why.
        Failed = "FAILED",
        /// Ended well.
        Succeeded = "SUCCEEDED",
        /// Being given up.
        Canceling = "CANCELING",
        /// Given up: another operation came in between.
        Canceled = "CANCELED",
    }
}

/// The APIs that have work requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// Container Engine.
    Engine,
    /// Container Instances.
    Instances,
}

impl Api {
    /// Words of the operations of this API.
    fn operations(self) -> Vec<String> {
        let all = Operation::WORDS.iter().filter_map(|word| word.parse::<Operation>().ok());
        all.filter(|operation| operation.api() == self).map(|operation| operation.as_str().to_owned()).collect()
    }
}

/// One work request.
#[derive(Debug, Clone)]
pub(crate) struct WorkRequest {
    pub(crate) id: WorkRequestId,
    pub(crate) tenancy_id: TenantId,
    pub(crate) compartment_id: CompartmentId,
    pub(crate) cluster_id: Option<ClusterId>,
    pub(crate) operation: Operation,
    pub(crate) status: Status,
    pub(crate) percent_complete: f32,
    pub(crate) resource_id: String,
    pub(crate) entity_type: String,
    pub(crate) action_type: String,
    pub(crate) accepted_ms: i64,
    pub(crate) started_ms: Option<i64>,
    pub(crate) finished_ms: Option<i64>,
}

impl Owned for WorkRequest {
    const RESOURCE: Resource = Resource::ClusterWorkRequests;
    const NOUN: &'static str = "work request";

    fn compartment(&self) -> &CompartmentId {
        &self.compartment_id
    }

    fn name(&self) -> &str {
        self.operation.as_str()
    }
}

impl Operation {
    /// The API in which its work requests are found.
    pub(crate) fn api(self) -> Api {
        match self {
            Self::ClusterCreate
            | Self::ClusterUpdate
            | Self::ClusterDelete
            | Self::PoolCreate
            | Self::PoolUpdate
            | Self::PoolDelete
            | Self::PoolCycling
            | Self::NodeDelete => Api::Engine,
            Self::InstanceCreate
            | Self::InstanceUpdate
            | Self::InstanceDelete
            | Self::InstanceMove
            | Self::InstanceStart
            | Self::InstanceStop
            | Self::InstanceRestart
            | Self::ContainerUpdate => Api::Instances,
        }
    }

    /// `entityType` of its resource, and the path below which the resource is found.
    pub(crate) fn entity(self) -> (&'static str, &'static str) {
        match self {
            Self::ClusterCreate | Self::ClusterUpdate | Self::ClusterDelete => ("cluster", "/clusters/"),
            Self::PoolCreate | Self::PoolUpdate | Self::PoolDelete | Self::PoolCycling => {
                ("virtualnodepool", "/virtualNodePools/")
            }
            Self::NodeDelete => ("virtualnode", "/virtualNodes/"),
            Self::ContainerUpdate => ("container", "/containers/"),
            _ => ("containerInstance", "/containerInstances/"),
        }
    }

    /// `actionType` of its resource once it has ended in `status`.
    pub(crate) fn action(self, status: Status) -> &'static str {
        match (status, self) {
            (Status::Accepted | Status::InProgress | Status::Canceling, _) => "IN_PROGRESS",
            (Status::Failed, _) => "FAILED",
            // Source: `ActionType` of Container Instances knows no cancelled work.
            (Status::Canceled, operation) if operation.api() == Api::Instances => "FAILED",
            (Status::Succeeded, Self::ClusterCreate | Self::PoolCreate | Self::InstanceCreate) => "CREATED",
            (Status::Succeeded, Self::ClusterDelete | Self::PoolDelete | Self::NodeDelete | Self::InstanceDelete) => {
                "DELETED"
            }
            (Status::Succeeded, _) => "UPDATED",
            (Status::Canceled, Self::ClusterCreate | Self::PoolCreate) => "CANCELED_CREATE",
            (Status::Canceled, Self::ClusterDelete | Self::PoolDelete | Self::NodeDelete) => "CANCELED_DELETE",
            (Status::Canceled, _) => "CANCELED_UPDATE",
        }
    }
}

/// Gives up a work request that has not begun.
async fn cancel(cloud: &Cloud, caller: &Caller, id: &str) -> Result<(), Error> {
    let found = store::get(&cloud.db, &caller.principal.tenant_id, id).await?;
    let work: WorkRequest = caller.admit(Verb::Manage, found, id)?;
    if store::cancel(&cloud.db, &work.id, cloud.now_ms()).await? {
        return Ok(());
    }
    let message =
        format!("the work request is {}; only what is ACCEPTED and has not begun can be cancelled", work.status);
    Err(oci::Error::incorrect_state(message).into())
}

impl WorkRequest {
    /// A new one that is going on.
    pub(crate) fn begin(
        operation: Operation,
        owner: (&TenantId, &CompartmentId),
        cluster: Option<&ClusterId>,
        resource: &str,
        now_ms: i64,
    ) -> Self {
        Self {
            id: WorkRequestId::generate(),
            tenancy_id: owner.0.clone(),
            compartment_id: owner.1.clone(),
            cluster_id: cluster.cloned(),
            operation,
            status: Status::InProgress,
            percent_complete: 0.0,
            resource_id: resource.to_owned(),
            entity_type: operation.entity().0.to_owned(),
            action_type: operation.action(Status::InProgress).to_owned(),
            accepted_ms: now_ms,
            started_ms: Some(now_ms),
            finished_ms: None,
        }
    }
}
