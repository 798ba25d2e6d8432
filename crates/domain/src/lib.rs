//! The words every service shares: ids, quantities, the size rule of a pod, the caller, the clock. No I/O.

mod bill;
mod clock;
mod ids;
mod pod_size;
mod principal;
mod quantity;
mod shape;

pub use bill::{BILLED_MEMORY_GB, BILLED_OCPUS, BILLED_SIZE, BILLED_SIZE_EVENT, Bill, EXACT_SIZE, SHAPE_LABEL};
pub use clock::{Clock, SystemClock, unix_ms};
pub use ids::{
    ApiKeyId, ClusterId, CompartmentId, ContainerId, ContainerInstanceId, GroupId, HostId, IdError, MembershipId,
    PolicyId, QuotaId, SecurityGroupId, SubnetId, TenantId, UserId, VcnId, VirtualNodeId, VirtualNodePoolId, VnicId,
    WorkRequestId,
};
pub use pod_size::{BilledSize, ContainerSize, PodSize, pod_size};
pub use principal::{PRINCIPAL_HEADER, Principal, PrincipalError};
pub use quantity::{Quantity, QuantityError};
pub use shape::{MAX_GBPS, SHAPES, SHAPES_LABEL, Shape, cpus_per_ocpu, offers, shape};
