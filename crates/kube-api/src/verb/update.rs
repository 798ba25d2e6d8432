//! Replacing and patching objects.

use crate::{
    actor::Actor,
    admission, meta,
    verb::{Part, commit, create, put_status, storage_kind, undo_version},
};
use jiff::Timestamp;
use kube_schema::Kind;
use kube_store::{Cluster, Key, Object, Txn};
use problem::kube::Status;
use serde_json::Value;
use std::sync::Arc;

/// Replaces an object or its status.
///
/// # Errors
/// 404, 409, 422, 503.
pub(crate) async fn replace(
    cluster: &Cluster,
    kind: &'static Kind,
    part: Part,
    object: Value,
    _actor: &Actor,
    dry_run: bool,
) -> Result<Arc<Object>, Status> {
    let key = meta::key(kind, meta::text(&object, "namespace"), meta::text(&object, "name"));
    let done = commit(cluster, dry_run, move |txn| {
        if part == Part::Whole && creates_on_update(kind) && txn.get(&key).is_none() {
            let mut object = object;
            meta::map(&mut object)?.remove("resourceVersion");
            let namespace = key.namespace.to_string();
            return create::insert(txn, kind, create::prepare(kind, &namespace, object, Timestamp::now())?);
        }
        change(txn, kind, part, &key, move |_| Ok(object))
    })
    .await?;
    Ok(if dry_run { undo_version(cluster, &done) } else { done })
}

/// Whether PUT of a missing object creates it. Source: `AllowCreateOnUpdate` of upstream's strategies.
fn creates_on_update(kind: &Kind) -> bool {
    matches!(
        kind.resource(),
        "endpoints"
            | "events"
            | "leases.coordination.k8s.io"
            | "limitranges"
            | "roles.rbac.authorization.k8s.io"
            | "rolebindings.rbac.authorization.k8s.io"
            | "clusterroles.rbac.authorization.k8s.io"
            | "clusterrolebindings.rbac.authorization.k8s.io"
    )
}

/// Changes an object: `make` turns its current state, in `kind`'s version, into the wanted one.
///
/// # Errors
/// 404, 409, 422, 503, what `make` says.
pub(crate) async fn on_current(
    cluster: &Cluster,
    kind: &'static Kind,
    part: Part,
    key: Key,
    dry_run: bool,
    make: impl FnOnce(&Value) -> Result<Value, Status> + Send + 'static,
) -> Result<Arc<Object>, Status> {
    let done = commit(cluster, dry_run, move |txn| change(txn, kind, part, &key, make)).await?;
    Ok(if dry_run { undo_version(cluster, &done) } else { done })
}

/// Changes a stored object: `make` turns its current state, in `kind`'s version, into the wanted one.
///
/// # Errors
/// 404, 409 if `make`'s result names another version or UID, 422 if it breaks rules.
pub(crate) fn change(
    txn: &mut Txn<'_>,
    kind: &'static Kind,
    part: Part,
    key: &Key,
    make: impl FnOnce(&Value) -> Result<Value, Status>,
) -> Result<Arc<Object>, Status> {
    let plural = kind.qualified_plural();
    let stored = txn.get(key).ok_or_else(|| Status::not_found(&plural, &key.name))?;
    let old = stored.value();
    let storage = storage_kind(kind);
    let mut new = if std::ptr::eq(storage, kind) {
        make(&old)?
    } else {
        let mut shown = old.clone();
        kube_schema::from_storage(kind, &mut shown);
        meta::set_type(kind, &mut shown);
        make(&shown)?
    };
    identity(kind, key, &stored, &mut new)?;
    meta::set_type(kind, &mut new);
    kube_schema::prune(kind, &mut new);
    kube_schema::to_storage(kind, &mut new);
    meta::set_type(storage, &mut new);
    meta::carry_over(&mut new, &old)?;
    let mut causes = Vec::from_iter(meta::new_finalizers(&new, &old));
    match part {
        Part::Whole => {
            kube_kinds::set_defaults(storage, &mut new);
            admission::on_update(txn, storage, &mut new, &old)?;
            kube_kinds::prepare_update(storage, &mut new, &old);
            causes.extend(kube_kinds::validate_update(storage, &new, &old));
        }
        Part::Status => {
            kube_kinds::prepare_status(storage, &mut new, &old);
            causes.extend(kube_kinds::validate_status(storage, &new, &old));
        }
        Part::Finalize => new = admission::namespace::finalized(new, &old),
        Part::Own(subresource) => {
            kube_kinds::set_defaults(storage, &mut new);
            kube_kinds::prepare_subresource(storage, subresource, &mut new, &old);
            causes.extend(kube_kinds::validate_subresource(storage, subresource, &new, &old));
        }
    }
    if !causes.is_empty() {
        return Err(Status::invalid(&kind.qualified_kind(), &key.name, &causes));
    }
    if is_over(&new, &old) {
        return txn.delete(key).ok_or_else(|| Status::not_found(&plural, &key.name));
    }
    txn.put(key.clone(), new).map_err(|error| put_status(kind, &key.name, &error))
}

fn identity(kind: &Kind, key: &Key, stored: &Object, new: &mut Value) -> Result<(), Status> {
    let plural = kind.qualified_plural();
    let name = meta::text(new, "name");
    if name.is_empty() {
        meta::map(new)?.insert("name".into(), key.name.to_string().into());
    } else if name != &*key.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        )));
    }
    meta::place(kind, &key.namespace, new)?;
    let version = meta::text(new, "resourceVersion");
    if !version.is_empty() && version != "0" && version != stored.revision.to_string() {
        if version.parse::<u64>().is_err() {
            let why = format!("Invalid value: {version:?}: must be specified for an update");
            let cause = problem::kube::Cause {
                reason: "FieldValueInvalid".into(),
                message: why,
                field: "metadata.resourceVersion".into(),
            };
            return Err(Status::invalid(&kind.qualified_kind(), &key.name, &[cause]));
        }
        return Err(Status::stale(&plural, &key.name));
    }
    let uid = meta::text(new, "uid");
    if !uid.is_empty() && *uid != *stored.meta.uid {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", stored.meta.uid);
        return Err(Status::conflict(&plural, &key.name, &why));
    }
    Ok(())
}

/// Whether an update took away the last thing that a deletion waited for.
fn is_over(new: &Value, old: &Value) -> bool {
    let dying = !meta::text(new, "deletionTimestamp").is_empty()
        && new["metadata"].get("deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0) == 0;
    if !dying || !meta::finalizers(new).is_empty() {
        return false;
    }
    let is_namespace = new["kind"] == "Namespace" && new["apiVersion"] == "v1";
    if is_namespace {
        return new["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty);
    }
    !meta::finalizers(old).is_empty()
}
