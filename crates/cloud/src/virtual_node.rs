//! Virtual nodes: one Node object each, on which a pool's pods run.

pub(crate) mod api;
pub(crate) mod operation;

use crate::virtual_node_pool::LifecycleState;
use domain::{ClusterId, VirtualNodeId, VirtualNodePoolId};

/// One virtual node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VirtualNode {
    pub(crate) id: VirtualNodeId,
    pub(crate) pool_id: VirtualNodePoolId,
    pub(crate) cluster_id: ClusterId,
    /// Name of its Node.
    pub(crate) node_name: String,
    pub(crate) availability_domain: String,
    pub(crate) fault_domain: String,
    pub(crate) subnet_id: String,
    pub(crate) state: LifecycleState,
    pub(crate) details: Option<String>,
    pub(crate) private_ip: Option<String>,
    /// How long its pods get to leave it, if that was said.
    pub(crate) drain_ms: Option<i64>,
    /// It goes even if pods are left on it then.
    pub(crate) forced: bool,
    /// The pool was made smaller by it, and gets its size back if it stays.
    pub(crate) shrinks: bool,
    /// The work that deletes it alone.
    pub(crate) work_request_id: Option<String>,
    pub(crate) created_ms: i64,
    /// When it entered its state.
    pub(crate) state_ms: i64,
}
