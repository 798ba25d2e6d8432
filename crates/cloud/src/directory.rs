//! Tells the Kubernetes API and the fleet what they must know of a cluster: whose it is, and its address ranges.

use crate::cluster::{ClusterState, store};
use dashmap::DashMap;
use domain::{ClusterId, TenantId};
use kube_api::ClusterDirectory;
use sqlx::PgPool;
use std::{pin::Pin, sync::Arc};

/// A cluster's place in the world, for the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The tenancy that pays.
    pub tenant_id: String,
    /// The compartment it is charged to.
    pub compartment_id: String,
    /// The network that it is in: its VCN's id.
    pub network_id: String,
    /// Range of pod addresses.
    pub pods_cidr: String,
    /// Range of Service addresses.
    pub services_cidr: String,
}

/// Answers from memory where it can: an owner never changes, and a cluster that is gone is refused by its store too.
#[derive(Debug)]
pub struct Directory {
    db: PgPool,
    owners: DashMap<ClusterId, TenantId>,
}

impl Directory {
    /// A directory over control's schema.
    #[must_use]
    pub fn new(db: PgPool) -> Arc<Self> {
        Arc::new(Self { db, owners: DashMap::new() })
    }

    pub(crate) fn learn(&self, cluster: &ClusterId, tenant: &TenantId) {
        self.owners.insert(cluster.clone(), tenant.clone());
    }

    pub(crate) fn forget(&self, cluster: &ClusterId) {
        self.owners.remove(cluster);
    }

    async fn owner(&self, cluster: &ClusterId) -> Result<Option<TenantId>, String> {
        if let Some(tenant) = self.owners.get(cluster) {
            return Ok(Some(tenant.clone()));
        }
        let found = store::tenant_all_tenants(&self.db, cluster).await.map_err(|error| error.to_string())?;
        if let Some(tenant) = &found {
            self.learn(cluster, tenant);
        }
        Ok(found)
    }

    /// Owner and address ranges of a cluster that is not deleted.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn network(&self, cluster: &ClusterId) -> Result<Option<Network>, sqlx::Error> {
        let found = store::get_all_tenants(&self.db, cluster).await?;
        Ok(found.filter(|cluster| cluster.state != ClusterState::Deleted).map(|cluster| Network {
            tenant_id: cluster.tenancy_id.as_str().to_owned(),
            compartment_id: cluster.compartment_id.as_str().to_owned(),
            // A cluster of before has no VCN: its network is its own.
            network_id: if cluster.vcn_id.is_empty() { cluster.id.to_string() } else { cluster.vcn_id },
            pods_cidr: cluster.pods_cidr.to_string(),
            services_cidr: cluster.services_cidr.to_string(),
        }))
    }
}

impl ClusterDirectory for Directory {
    fn tenant_of<'a>(
        &'a self,
        cluster: &'a ClusterId,
    ) -> Pin<Box<dyn Future<Output = Result<Option<TenantId>, String>> + Send + 'a>> {
        Box::pin(self.owner(cluster))
    }
}
