//! Work requests: what the cloud API's asynchronous operations do, step by step, for their caller to follow.

pub(crate) mod api;
pub(crate) mod store;

use crate::{access::Resource, caller::Owned, words::words};
use domain::{ClusterId, CompartmentId, TenantId, WorkRequestId};

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
    /// `entityType` of its resource, and the path below which the resource is found.
    pub(crate) fn entity(self) -> (&'static str, &'static str) {
        match self {
            Self::ClusterCreate | Self::ClusterUpdate | Self::ClusterDelete => ("cluster", "/clusters/"),
            Self::PoolCreate | Self::PoolUpdate | Self::PoolDelete | Self::PoolCycling => {
                ("virtualnodepool", "/virtualNodePools/")
            }
            Self::NodeDelete => ("virtualnode", "/virtualNodes/"),
        }
    }

    /// `actionType` of its resource once it has ended in `status`.
    pub(crate) fn action(self, status: Status) -> &'static str {
        match (status, self) {
            (Status::Accepted | Status::InProgress | Status::Canceling, _) => "IN_PROGRESS",
            (Status::Failed, _) => "FAILED",
            (Status::Succeeded, Self::ClusterCreate | Self::PoolCreate) => "CREATED",
            (Status::Succeeded, Self::ClusterUpdate | Self::PoolUpdate | Self::PoolCycling) => "UPDATED",
            (Status::Succeeded, Self::ClusterDelete | Self::PoolDelete | Self::NodeDelete) => "DELETED",
            (Status::Canceled, Self::ClusterCreate | Self::PoolCreate) => "CANCELED_CREATE",
            (Status::Canceled, Self::ClusterUpdate | Self::PoolUpdate | Self::PoolCycling) => "CANCELED_UPDATE",
            (Status::Canceled, Self::ClusterDelete | Self::PoolDelete | Self::NodeDelete) => "CANCELED_DELETE",
        }
    }
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
