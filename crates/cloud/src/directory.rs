//! Tells the Kubernetes API and the fleet what they must know of a cluster: whose it is, what it speaks, who may use it,
//! and its address ranges.

use crate::{
    access::{Resource, Verb},
    cluster::{Cluster, ClusterState, store},
    policy::Policies,
};
use dashmap::DashMap;
use domain::{ClusterId, CompartmentId, Principal};
use kube_api::{Access, Answer, ClusterDirectory, ClusterFacts, Rights};
use sqlx::PgPool;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an answer is given from memory. This process's own changes are known at once, other replicas' after that.
const FRESH: Duration = Duration::from_secs(3);

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

/// Answers from memory where it can: every request to a cluster asks.
#[derive(Debug)]
pub struct Directory {
    db: PgPool,
    pub(crate) policies: Arc<Policies>,
    clusters: DashMap<ClusterId, Known>,
}

#[derive(Debug)]
struct Known {
    facts: Arc<ClusterFacts>,
    compartment: CompartmentId,
    at: Instant,
}

impl Directory {
    /// A directory over control's schema.
    #[must_use]
    pub fn new(db: PgPool) -> Arc<Self> {
        let policies = Arc::new(Policies::new(db.clone()));
        Arc::new(Self { db, policies, clusters: DashMap::new() })
    }

    /// Takes over what was just stored of a cluster.
    pub(crate) fn learn(&self, cluster: &Cluster) -> Arc<ClusterFacts> {
        let facts = Arc::new(cluster.facts());
        let compartment = cluster.compartment_id.clone();
        let known = Known { facts: Arc::clone(&facts), compartment, at: Instant::now() };
        self.clusters.insert(cluster.id.clone(), known);
        facts
    }

    pub(crate) fn forget(&self, cluster: &ClusterId) {
        self.clusters.remove(cluster);
    }

    async fn look_up(&self, id: &ClusterId) -> Result<Option<Arc<ClusterFacts>>, String> {
        if let Some(known) = self.clusters.get(id).filter(|known| known.at.elapsed() < FRESH) {
            return Ok(Some(Arc::clone(&known.facts)));
        }
        // One asks the database; whoever comes meanwhile goes on with what was true a moment ago.
        let before = self.clusters.get_mut(id).map(|mut known| {
            known.at = Instant::now();
            Arc::clone(&known.facts)
        });
        match (store::get_all_tenants(&self.db, id).await, before) {
            (Ok(Some(cluster)), _) if cluster.state != ClusterState::Deleted => Ok(Some(self.learn(&cluster))),
            (Ok(_), _) => {
                self.forget(id);
                Ok(None)
            }
            (Err(error), Some(before)) => {
                tracing::warn!(cluster = %id, %error, "could not look up cluster {id}, going on as before: {error}");
                Ok(Some(before))
            }
            (Err(error), None) => Err(error.to_string()),
        }
    }

    /// What policies give a user in a cluster, whose facts were asked for before.
    async fn rights(&self, id: &ClusterId, principal: &Principal) -> Result<Option<Arc<Access>>, String> {
        let Some(compartment) = self.clusters.get(id).map(|known| known.compartment.clone()) else { return Ok(None) };
        let grants = self.policies.grants(&principal.tenant_id).await.map_err(|error| error.to_string())?;
        let may = |verb| grants.allow(&principal.groups, verb, Resource::Clusters, &compartment);
        let rights = [(Verb::Manage, Rights::Admin), (Verb::Use, Rights::Edit), (Verb::Read, Rights::View)];
        let most = rights.into_iter().find(|(verb, _)| may(*verb));
        Ok(most.map(|(_, rights)| Arc::new(Access { rights, groups: grants.group_ids(&principal.groups) })))
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
    fn facts<'a>(&'a self, cluster: &'a ClusterId) -> Answer<'a, Arc<ClusterFacts>> {
        Box::pin(self.look_up(cluster))
    }

    fn access<'a>(&'a self, cluster: &'a ClusterId, principal: &'a Principal) -> Answer<'a, Arc<Access>> {
        Box::pin(self.rights(cluster, principal))
    }
}
