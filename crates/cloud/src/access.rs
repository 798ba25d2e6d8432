//! Who may do what: verbs, resource types, and the statements of policies that join them with groups and compartments.
//! Pure. Source of the model: Oracle Cloud's documentation, "How Policies Work" and "Policy Syntax".

mod grants;
pub(crate) mod statement;

pub(crate) use grants::{CompartmentNode, GrantSource, Grants};

use crate::words::words;

words! {
    /// How much may be done. Each verb includes the ones before it.
    Verb {
        /// List, without what a user could have written into it.
        Inspect = "inspect",
        /// Get, and read all of it.
        Read = "read",
        /// Work with what exists, change it.
        Use = "use",
        /// Everything, making and deleting among it.
        Manage = "manage",
    }

    /// What something is done to. The words are OCI's individual resource types.
    Resource {
        /// Clusters, and the Kubernetes API inside of them.
        Clusters = "clusters",
        /// Pools of virtual nodes, and their nodes.
        VirtualNodePools = "cluster-virtualnode-pools",
        /// Pools of managed nodes.
        NodePools = "cluster-node-pools",
        /// Work requests of clusters and pools.
        ClusterWorkRequests = "cluster-work-requests",
        /// Container instances.
        ContainerInstances = "compute-container-instances",
        /// Containers of container instances, and their logs.
        Containers = "compute-containers",
        /// Networks.
        Vcns = "vcns",
        /// Subnets.
        Subnets = "subnets",
        /// Network security groups and their rules.
        NetworkSecurityGroups = "network-security-groups",
        /// Compartments.
        Compartments = "compartments",
        /// The tenancy itself.
        Tenancies = "tenancies",
        /// Users and their memberships.
        Users = "users",
        /// API keys of users other than the caller.
        ApiKeys = "credentials",
        /// Groups.
        Groups = "groups",
        /// Policies.
        Policies = "policies",
        /// The audit log.
        AuditEvents = "audit-events",
        /// Service limits and how much of them is used.
        Limits = "limits",
        /// Quotas of compartments.
        Quotas = "quotas",
        /// Usage and cost.
        Usage = "usage-report",
    }
}

impl Verb {
    fn rank(self) -> u8 {
        match self {
            Self::Inspect => 0,
            Self::Read => 1,
            Self::Use => 2,
            Self::Manage => 3,
        }
    }

    /// True if who may do `self` may also do `other`.
    pub(crate) fn includes(self, other: Self) -> bool {
        self.rank() >= other.rank()
    }
}

impl Resource {
    /// The family that stands for this and its like in statements; identity's types have none.
    /// Source: OCI's policy reference; `cluster-family`, `compute-container-family`, `virtual-network-family`.
    pub(crate) fn family(self) -> Option<&'static str> {
        match self {
            Self::Clusters | Self::VirtualNodePools | Self::NodePools | Self::ClusterWorkRequests => {
                Some("cluster-family")
            }
            Self::ContainerInstances | Self::Containers => Some("compute-container-family"),
            Self::Vcns | Self::Subnets | Self::NetworkSecurityGroups => Some("virtual-network-family"),
            Self::Compartments
            | Self::Tenancies
            | Self::Users
            | Self::ApiKeys
            | Self::Groups
            | Self::Policies
            | Self::AuditEvents
            | Self::Limits
            | Self::Quotas
            | Self::Usage => None,
        }
    }
}
