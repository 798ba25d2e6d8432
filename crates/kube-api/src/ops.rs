//! What controllers, the scheduler and the cloud API do to a cluster's objects, in the process: the same code path as
//! HTTP, without HTTP. Objects may leave out `apiVersion` and `kind`: they are the kind's.

use crate::{
    actor::Actor,
    meta,
    subresource::{binding, eviction},
    verb::{Part, create as creating, delete as deleting, update as updating},
};
pub use crate::{
    patch::Patch,
    verb::delete::{DeleteOptions, Deleted, Propagation},
};
use kube_schema::Kind;
use kube_store::{Cluster, Key, Object};
use problem::kube::Status;
use serde_json::Value;
use std::sync::Arc;

/// Reads one object. `namespace` is ignored for cluster-scoped kinds.
///
/// # Errors
/// 404.
pub fn get(cluster: &Cluster, kind: &'static Kind, namespace: &str, name: &str) -> Result<Arc<Object>, Status> {
    let missing = || Status::not_found(&kind.qualified_plural(), name);
    cluster.get(&meta::key(kind, namespace, name)).ok_or_else(missing)
}

/// Creates an object; `metadata.generateName` works.
///
/// # Errors
/// 409 if it exists, 422 if it breaks rules, 404 or 403 if its namespace is missing or ending, 503 if the store is down.
pub async fn create(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    object: Value,
    actor: &Actor,
) -> Result<Arc<Object>, Status> {
    creating::create(cluster, kind, namespace, object, actor, false).await
}

/// Replaces an object; with a `metadata.resourceVersion` only if it is still that version.
///
/// # Errors
/// 404, 409 if it has changed, 422.
pub async fn update(
    cluster: &Cluster,
    kind: &'static Kind,
    object: Value,
    actor: &Actor,
) -> Result<Arc<Object>, Status> {
    updating::replace(cluster, kind, Part::Whole, object, actor, false).await
}

/// Replaces an object's status; with a `metadata.resourceVersion` only if it is still that version.
///
/// # Errors
/// 404, 409 if it has changed, 422.
pub async fn update_status(
    cluster: &Cluster,
    kind: &'static Kind,
    object: Value,
    actor: &Actor,
) -> Result<Arc<Object>, Status> {
    updating::replace(cluster, kind, Part::Status, object, actor, false).await
}

/// Patches an object on its current state.
///
/// # Errors
/// 404, 409 if the patch names another resourceVersion, 422.
pub async fn patch(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    patch: Patch,
    actor: &Actor,
) -> Result<Arc<Object>, Status> {
    patch_part(cluster, kind, Part::Whole, meta::key(kind, namespace, name), patch, actor).await
}

/// Patches an object's status on its current state.
///
/// # Errors
/// 404, 409 if the patch names another resourceVersion, 422.
pub async fn patch_status(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    patch: Patch,
    actor: &Actor,
) -> Result<Arc<Object>, Status> {
    patch_part(cluster, kind, Part::Status, meta::key(kind, namespace, name), patch, actor).await
}

async fn patch_part(
    cluster: &Cluster,
    kind: &'static Kind,
    part: Part,
    key: Key,
    patch: Patch,
    _actor: &Actor,
) -> Result<Arc<Object>, Status> {
    updating::on_current(cluster, kind, part, key, false, move |old| patch.apply(kind, old)).await
}

/// Deletes an object, or marks it for deletion if it has finalizers or a grace period.
///
/// # Errors
/// 404, 409 if a precondition fails, 403 for what must stay.
pub async fn delete(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
    actor: &Actor,
) -> Result<Deleted, Status> {
    deleting::delete(cluster, kind, namespace, name, options, actor).await
}

/// Evicts a pod, if its disruption budgets allow.
///
/// # Errors
/// 429 if a budget does not allow it now, 404.
pub async fn evict(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    options: &DeleteOptions,
    actor: &Actor,
) -> Result<(), Status> {
    eviction::evict(cluster, namespace, pod, options, actor).await
}

/// Binds a pod to a node.
///
/// # Errors
/// 404, 409 if it has a node already or is being deleted.
pub async fn bind(cluster: &Cluster, namespace: &str, pod: &str, node: &str, actor: &Actor) -> Result<(), Status> {
    binding::bind(cluster, namespace, pod, binding::Target::node(node), actor, false).await
}
