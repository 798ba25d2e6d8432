//! The words every service shares: ids, quantities, the size rule of a pod, the caller, the clock. No I/O.

mod clock;
mod ids;
mod pod_size;
mod principal;
mod quantity;

pub use clock::{Clock, SystemClock, unix_ms};
pub use ids::{
    ApiKeyId, ClusterId, CompartmentId, ContainerId, ContainerInstanceId, GroupId, HostId, IdError, MembershipId,
    PolicyId, QuotaId, SecurityGroupId, SubnetId, TenantId, UserId, VcnId, VirtualNodeId, VirtualNodePoolId, VnicId,
    WorkRequestId,
};
pub use pod_size::{BilledSize, ContainerSize, PodSize, pod_size};
pub use principal::{PRINCIPAL_HEADER, Principal, PrincipalError};
pub use quantity::{Quantity, QuantityError};
