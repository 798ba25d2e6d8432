//! What a write means for or needs of other objects of the cluster: runs inside the write's transaction.

pub(crate) mod namespace;
pub(crate) mod pod;
pub(crate) mod service;

use kube_schema::Kind;
use kube_store::Txn;
use problem::kube::Status;
use serde_json::Value;

/// Completes a new object, or refuses it.
///
/// # Errors
/// What the kind's admission says.
pub(crate) fn on_create(txn: &mut Txn<'_>, kind: &Kind, object: &mut Value) -> Result<(), Status> {
    match kind.resource() {
        "pods" => pod::admit(txn, object),
        "services" => service::allocate(txn, object, None),
        _ => Ok(()),
    }
}

/// Completes a changed object, or refuses the change.
///
/// # Errors
/// What the kind's admission says.
pub(crate) fn on_update(txn: &mut Txn<'_>, kind: &Kind, object: &mut Value, old: &Value) -> Result<(), Status> {
    match kind.resource() {
        "services" => service::allocate(txn, object, Some(old)),
        "namespaces" => {
            namespace::keep_finalizers(object, old);
            Ok(())
        }
        _ => Ok(()),
    }
}
