//! Service limits of tenancies and quotas of compartments: how much may be made, decided in the transaction that makes it.
//! Source of the model: Oracle Cloud's documentation, "Service Limits" and "Compartment Quotas".

pub(crate) mod api;
pub(crate) mod limit_api;
pub(crate) mod statement;
mod store;

use crate::{Error, caller::Caller, words::words};
use domain::{CompartmentId, TenantId};
use problem::oci;
use sqlx::PgConnection;

pub(crate) use store::lock_tenancy;
pub use store::{LimitError, set_limit};

words! {
    /// What is counted.
    Limit {
        /// Clusters that are not deleted.
        Clusters = "cluster-count",
        /// Virtual nodes that pools ask for.
        VirtualNodes = "virtual-node-count",
        /// Container instances that are not deleted.
        Instances = "container-instance-count",
        /// OCPUs of container instances, stopped ones too: they can be started.
        InstanceOcpus = "container-instance-ocpu-count",
        /// Memory of container instances in GB, stopped ones too.
        InstanceMemory = "container-instance-memory-gb",
        /// Networks.
        Vcns = "vcn-count",
    }
}

impl Limit {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Clusters, Self::VirtualNodes, Self::Instances, Self::InstanceOcpus, Self::InstanceMemory, Self::Vcns];

    /// The service that it belongs to, in OCI's words.
    pub(crate) const fn service(self) -> &'static str {
        match self {
            Self::Clusters | Self::VirtualNodes => "container-engine",
            Self::Instances | Self::InstanceOcpus | Self::InstanceMemory => "container-instances",
            Self::Vcns => "vcn",
        }
    }

    /// What people call it.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::Clusters => "Clusters",
            Self::VirtualNodes => "Virtual nodes of all clusters",
            Self::Instances => "Container instances",
            Self::InstanceOcpus => "OCPUs of container instances",
            Self::InstanceMemory => "Memory of container instances in GB",
            Self::Vcns => "Virtual cloud networks",
        }
    }

    /// What a tenancy may have unless its operator says otherwise: enough for what one installation was measured with.
    pub(crate) const fn default_value(self) -> i64 {
        match self {
            Self::Clusters => 20_000,
            Self::VirtualNodes => 50_000,
            Self::Instances | Self::InstanceOcpus => 20_000,
            Self::InstanceMemory => 200_000,
            Self::Vcns => 1_000,
        }
    }
}

/// Takes the tenancy's lock until the transaction ends, and refuses if the compartment was deleted meanwhile.
pub(crate) async fn lock_compartment(
    db: &mut PgConnection,
    tenant: &TenantId,
    compartment: &CompartmentId,
) -> Result<(), Error> {
    lock_tenancy(db, tenant).await?;
    if *compartment == CompartmentId::root(tenant) || store::is_active(db, compartment).await? {
        return Ok(());
    }
    Err(oci::Error::incorrect_state("the compartment is deleted; nothing can be made in it").into())
}

/// Refuses what would pass a limit of the tenancy or a quota of a compartment. To be called in the transaction that makes
/// it, before: from here on the tenancy's other makers wait until it ends, so that two of them never pass a limit that
/// has room for one.
pub(crate) async fn claim(
    db: &mut PgConnection,
    caller: &Caller,
    compartment: &CompartmentId,
    wants: &[(Limit, i64)],
) -> Result<(), Error> {
    let tenant = &caller.principal.tenant_id;
    lock_compartment(db, tenant, compartment).await?;
    for (limit, wanted) in wants.iter().filter(|(_, wanted)| *wanted > 0) {
        for room in room(db, caller, compartment, *limit).await? {
            check(*limit, &room, *wanted)?;
        }
    }
    Ok(())
}

/// One bound of what may be made in a compartment, and how much of it is in use.
#[derive(Debug)]
struct Room {
    /// What bounds it, for people.
    what: String,
    /// True for a quota, false for the tenancy's service limit.
    quota: bool,
    value: i64,
    used: i64,
}

/// All bounds of what may be made in a compartment: the tenancy's limit, and the quotas of it and all above.
async fn room(
    db: &mut PgConnection,
    caller: &Caller,
    compartment: &CompartmentId,
    limit: Limit,
) -> Result<Vec<Room>, Error> {
    let tenant = &caller.principal.tenant_id;
    let mut rooms = vec![Room {
        what: "the tenancy's service limit".into(),
        quota: false,
        value: store::limit(db, tenant, limit).await?.unwrap_or(limit.default_value()),
        used: store::used(db, tenant, limit, None).await?,
    }];
    for rule in store::quotas_of(db, tenant).await?.into_iter().filter(|rule| rule.limit == limit) {
        if caller.grants.is_within(compartment, &rule.compartment) {
            let inside = caller.grants.subtree(&rule.compartment);
            let used = store::used(db, tenant, limit, Some(&inside)).await?;
            rooms.push(Room { what: format!("quota {:?}", rule.name), quota: true, value: rule.value, used });
        }
    }
    Ok(rooms)
}

/// One rule of a quota, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Name of the quota that it is in.
    pub(crate) name: String,
    pub(crate) limit: Limit,
    pub(crate) value: i64,
    pub(crate) compartment: CompartmentId,
}

fn check(limit: Limit, room: &Room, wanted: i64) -> Result<(), Error> {
    let Room { what, value, used, .. } = room;
    if used.checked_add(wanted).is_some_and(|sum| sum <= *value) {
        return Ok(());
    }
    let message = format!(
        "{what} of {} {value} would be passed: {used} in use, {wanted} more asked for; delete something, or ask for more",
        limit.as_str()
    );
    Err(oci::Error::limit_exceeded(message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(value: i64, used: i64, wanted: i64) -> Result<(), Error> {
        check(Limit::Clusters, &Room { what: "limit".into(), quota: false, value, used }, wanted)
    }

    #[test]
    fn a_limit_is_reached_but_not_passed() {
        assert!(checked(10, 9, 1).is_ok());
        let refused = checked(10, 10, 1).unwrap_err().for_caller();
        assert_eq!((refused.code, refused.status.as_u16()), ("LimitExceeded", 400));
        assert!(checked(10, 8, 3).is_err());
        assert!(checked(i64::MAX, i64::MAX, 1).is_err());
    }
}
