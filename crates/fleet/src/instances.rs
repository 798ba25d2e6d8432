//! Container instances' placements, for control in process: the same hosts, agents and rules as for pods of clusters.

use crate::{
    actor::{ClusterNetwork, Fleet, FleetError, Move, Of},
    placements,
};
use proto::fleet::{PlacementEvent, PutRequest, PutResponse};
use tokio::sync::mpsc;

/// How the id begins by which a container instance's placements name their owner.
const INSTANCE: &str = "ocid1.computecontainerinstance.";

/// True for the id of a container instance, false for a cluster's.
pub(crate) fn is_instance(owner: &str) -> bool {
    owner.starts_with(INSTANCE)
}

/// Where a placement without a cluster is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceNetwork {
    /// The VCN's id.
    pub network_id: String,
    /// Range of its subnet.
    pub range: String,
    /// The address that it asks for; none: any that is free.
    pub address: Option<String>,
}

impl Fleet {
    /// Makes or updates an instance's placement, idempotent by its uid; a lower generation than stored is ignored.
    /// Tenant and compartment are the placement's own; `fault_domain` is kept to.
    ///
    /// # Errors
    /// [`FleetError::Invalid`] if the address is leased to another or not in the range, or the placement makes no sense.
    pub async fn put_instance(&self, network: InstanceNetwork, request: PutRequest) -> Result<PutResponse, FleetError> {
        let fault_domain = request.fault_domain.clone();
        let mut row = placements::row(request).map_err(|status| FleetError::Invalid(status.message().to_owned()))?;
        if !is_instance(&row.body.cluster_id) {
            return Err(FleetError::Invalid("placement.cluster_id is no container instance's id".into()));
        }
        let wanted = ClusterNetwork {
            tenant_id: row.body.tenant_id.clone(),
            compartment_id: row.body.compartment_id.clone(),
            network_id: network.network_id.clone(),
            pod_cidr: network.range.clone(),
            service_cidr: String::new(),
        };
        self.ensure_network(&wanted).await?;
        row.body.attachment = None;
        row.address.clone_from(&network.address);
        (row.network, row.range, row.fault_domain) = (network.network_id, network.range, fault_domain);
        let taken = || {
            let address = network.address.unwrap_or_default();
            FleetError::Invalid(format!("address {address} is in use, or not in the subnet's range"))
        };
        let row = self.ask(|reply| Move::Put { row: Box::new(row), reply }).await?.ok_or_else(taken)?;
        Ok(PutResponse {
            host_id: row.host.map(|host| host.to_string()).unwrap_or_default(),
            address: row.address.unwrap_or_default(),
            reason: row.reason,
        })
    }

    /// Asks for a placement to be stopped and forgotten; safe to repeat.
    ///
    /// # Errors
    /// If the fleet is stopping.
    pub async fn remove_instance(&self, uid: &str, grace_seconds: u32) -> Result<(), FleetError> {
        self.ask(|reply| Move::Remove { uid: uid.to_owned(), grace_seconds, reply }).await
    }

    /// Every placement of an instance there is, then `synced`, then changes. Ends if the fleet had to start over: watch
    /// again.
    ///
    /// # Errors
    /// If the fleet is stopping.
    pub async fn watch_instances(&self) -> Result<mpsc::UnboundedReceiver<PlacementEvent>, FleetError> {
        let (to, events) = mpsc::unbounded_channel();
        self.tell(Move::Watch { of: Of::Instances, to }).await?;
        Ok(events)
    }
}
