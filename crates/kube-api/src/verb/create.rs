//! Creating objects.

use crate::{
    actor::Actor,
    admission, meta,
    verb::{commit, put_status, storage_kind, undo_version},
};
use jiff::Timestamp;
use kube_schema::Kind;
use kube_store::{Cluster, Object, Txn};
use problem::kube::{Cause, Status};
use serde_json::Value;
use std::sync::Arc;

/// Attempts at a free generated name. Source: kube-apiserver's `RetryGenerateName`.
const NAME_ATTEMPTS: usize = 8;

/// Creates an object.
///
/// # Errors
/// 409, 422, 404 or 403 because of the namespace, 503.
pub(crate) async fn create(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    object: Value,
    _actor: &Actor,
    dry_run: bool,
) -> Result<Arc<Object>, Status> {
    let ready = prepare(kind, namespace, object, Timestamp::now())?;
    let made = commit(cluster, dry_run, move |txn| insert(txn, kind, ready)).await?;
    Ok(if dry_run { undo_version(cluster, &made) } else { made })
}

/// Makes a client's object ready to be stored, as far as no other object matters: metadata, defaults, rules.
///
/// # Errors
/// 400 or 422.
pub(crate) fn prepare(
    kind: &'static Kind,
    namespace: &str,
    mut object: Value,
    now: Timestamp,
) -> Result<Value, Status> {
    let stored = storage_kind(kind);
    meta::set_type(kind, &mut object);
    meta::begin(kind, namespace, &mut object, now)?;
    kube_schema::prune(kind, &mut object);
    kube_schema::to_storage(kind, &mut object);
    meta::set_type(stored, &mut object);
    let name_causes = name(kind, &mut object)?;
    kube_kinds::set_defaults(stored, &mut object);
    kube_kinds::prepare_create(stored, &mut object);
    admission::namespace::begin(stored, &mut object);
    let mut causes = name_causes;
    causes.extend(kube_kinds::validate_create(stored, &object));
    if causes.is_empty() {
        return Ok(object);
    }
    Err(Status::invalid(&kind.qualified_kind(), meta::text(&object, "name"), &causes))
}

fn name(kind: &Kind, object: &mut Value) -> Result<Vec<Cause>, Status> {
    let given = meta::text(object, "name").to_owned();
    let prefix = meta::text(object, "generateName").to_owned();
    let problems = if !given.is_empty() {
        (("metadata.name", given.clone()), kube_kinds::validate_name(kind, &given, false))
    } else if !prefix.is_empty() {
        let name = meta::generated(&prefix);
        meta::map(object)?.insert("name".into(), name.into());
        (("metadata.generateName", prefix.clone()), kube_kinds::validate_name(kind, &prefix, true))
    } else {
        return Ok(vec![Cause::required("metadata.name", "name or generateName is required")]);
    };
    let ((field, value), texts) = problems;
    let value = Value::String(value);
    Ok(texts.iter().map(|text| Cause::invalid(field, &value, text)).collect())
}

/// Stores a prepared object: namespace, free name, admission.
///
/// # Errors
/// 404 or 403 because of the namespace, 409 if the name is taken, what admission says.
pub(crate) fn insert(txn: &mut Txn<'_>, kind: &'static Kind, mut object: Value) -> Result<Arc<Object>, Status> {
    let namespace = meta::text(&object, "namespace").to_owned();
    if kind.namespaced {
        admission::namespace::open(txn, kind, &namespace, meta::given_name(&object))?;
    }
    let prefix = meta::text(&object, "generateName").to_owned();
    let mut attempts = 1;
    loop {
        let name = meta::text(&object, "name").to_owned();
        let key = meta::key(kind, &namespace, &name);
        if txn.get(&key).is_none() {
            admission::on_create(txn, storage_kind(kind), &mut object)?;
            let given = meta::given_name(&object).to_owned();
            return txn.put(key, object).map_err(|error| put_status(kind, &given, &error));
        }
        if prefix.is_empty() || !name.starts_with(&prefix) || attempts == NAME_ATTEMPTS {
            return Err(Status::already_exists(&kind.qualified_plural(), &name));
        }
        attempts += 1;
        meta::map(&mut object)?.insert("name".into(), meta::generated(&prefix).into());
    }
}
