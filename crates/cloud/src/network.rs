//! Networks: VCNs, subnets and network security groups. Each VCN is one isolated network of the data plane; subnets are
//! the ranges from which pods and container instances get their addresses.

mod security_group;
mod security_rule;
mod store;
mod subnet;
mod vcn;

use store::Owner;
pub(crate) use store::SubnetRange;

use crate::{Cloud, Error, caller::Caller, cidr::Cidr, cluster, error::invalid, quota};
use domain::{CompartmentId, VcnId};
use sqlx::PgConnection;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// Range of a compartment's default network: holds the default range of pods, and room for other subnets.
const DEFAULT_BLOCK: Cidr = Cidr::known([10, 240, 0, 0], 12);

/// All routes of networks.
pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().merge(vcn::routes()).merge(subnet::routes()).merge(security_group::routes())
}

/// The network in which a cluster's pods are.
#[derive(Debug, Clone)]
pub(crate) struct ClusterNetwork {
    pub(crate) vcn_id: String,
    /// Range of the subnet from which pods get their addresses.
    pub(crate) pods: Cidr,
}

/// Finds or makes the network of a new cluster. `vcn`: the one that is asked for, or none: then the compartment's default
/// network, which is made at first use. `pods`: the range that is asked for.
pub(crate) async fn for_cluster(
    db: &mut PgConnection,
    caller: &Caller,
    compartment: &CompartmentId,
    vcn: Option<&str>,
    (pods, services): (Option<Cidr>, Cidr),
    now_ms: i64,
) -> Result<ClusterNetwork, Error> {
    let vcn_id = match vcn {
        Some(id) => vcn::usable(db, caller, id).await?,
        None => default_vcn(db, caller, compartment, now_ms).await?,
    };
    let blocks = store::blocks(db, &vcn_id).await?;
    if let Some(block) = blocks.iter().find(|block| block.overlaps(services)) {
        return Err(invalid(format!("servicesCidr {services} overlaps the network's range {block}; choose another")));
    }
    let subnets = store::ranges(db, &vcn_id).await?;
    let wanted = pods.or(vcn.is_none().then_some(cluster::network::PODS));
    let found = match wanted {
        None => subnets.first(),
        Some(pods) => subnets.iter().find(|subnet| subnet.range == pods),
    };
    let pods = match (found, wanted) {
        (Some(subnet), _) => subnet.range,
        (None, Some(pods)) if vcn.is_none() => {
            let owner = Owner { tenant: &caller.principal.tenant_id, compartment, now_ms };
            add_subnet(db, owner, (&vcn_id, &blocks), &subnets, pods).await?
        }
        (None, Some(pods)) => {
            return Err(invalid(format!(
                "podsCidr: the VCN has no subnet with the range {pods}; make one, or leave podsCidr out"
            )));
        }
        (None, None) => return Err(invalid("vcnId: the VCN has no subnet for pods; make one first")),
    };
    Ok(ClusterNetwork { vcn_id, pods })
}

/// Adds a subnet for pods to a default network, and its range to the network's if it is outside.
async fn add_subnet(
    db: &mut PgConnection,
    owner: Owner<'_>,
    (vcn_id, blocks): (&str, &[Cidr]),
    subnets: &[SubnetRange],
    pods: Cidr,
) -> Result<Cidr, Error> {
    if let Some(other) = subnets.iter().find(|subnet| subnet.range.overlaps(pods)) {
        return Err(invalid(format!(
            "podsCidr {pods} overlaps the subnet {} of the compartment's default network; take that range, another one, \
             or a VCN of your own",
            other.range
        )));
    }
    if !blocks.iter().any(|block| block.contains(pods)) {
        if blocks.iter().any(|block| block.overlaps(pods)) {
            return Err(invalid(format!("podsCidr {pods} lies partly in the default network's range; choose another")));
        }
        store::add_block(db, vcn_id, pods).await?;
    }
    store::insert_pod_subnet(db, owner, vcn_id, pods).await?;
    Ok(pods)
}

/// The compartment's default network, made with a subnet at first use.
pub(crate) async fn default_vcn(
    db: &mut PgConnection,
    caller: &Caller,
    compartment: &CompartmentId,
    now_ms: i64,
) -> Result<String, Error> {
    if let Some(found) = store::default_vcn(db, compartment).await? {
        return Ok(found);
    }
    quota::claim(db, caller, compartment, &[(quota::Limit::Vcns, 1)]).await?;
    if let Some(found) = store::default_vcn(db, compartment).await? {
        return Ok(found);
    }
    let (id, owner) = (VcnId::generate(), Owner { tenant: &caller.principal.tenant_id, compartment, now_ms });
    store::insert_default_vcn(db, owner, &id, DEFAULT_BLOCK).await?;
    store::insert_pod_subnet(db, owner, id.as_str(), cluster::network::PODS).await?;
    Ok(id.as_str().to_owned())
}

/// The oldest subnet of the compartment's default network, which is made at first use.
pub(crate) async fn default_subnet(
    db: &mut PgConnection,
    caller: &Caller,
    compartment: &CompartmentId,
    now_ms: i64,
) -> Result<SubnetRange, Error> {
    let vcn = default_vcn(db, caller, compartment, now_ms).await?;
    let first = store::ranges(db, &vcn).await?.into_iter().next();
    first.ok_or_else(|| invalid("the compartment's default network has no subnet any more; name one, or make one"))
}

/// The subnet from which a cluster's pods get their addresses.
pub(crate) async fn subnet_of_pods(db: &mut PgConnection, cluster: &cluster::Cluster) -> Result<SubnetRange, Error> {
    let subnets = store::ranges(db, &cluster.vcn_id).await?;
    let found = subnets.into_iter().find(|subnet| subnet.range == cluster.pods_cidr);
    found.ok_or_else(|| invalid("the cluster's VCN has no subnet for pods any more; make one with the range podsCidr"))
}

/// A subnet that the caller may use, by id.
pub(crate) async fn usable_subnet(db: &mut PgConnection, caller: &Caller, id: &str) -> Result<SubnetRange, Error> {
    subnet::usable(db, caller, id).await
}

/// Refuses security groups that don't exist, or are not of this VCN.
pub(crate) async fn check_groups(
    db: &mut PgConnection,
    caller: &Caller,
    vcn_id: &str,
    ids: &[String],
) -> Result<(), Error> {
    security_group::check(db, caller, vcn_id, ids).await
}
