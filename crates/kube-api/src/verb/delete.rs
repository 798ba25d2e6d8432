//! Deleting objects.

use crate::{
    actor::Actor,
    admission, meta,
    verb::{commit, put_status, undo_version},
};
use jiff::{SignedDuration, Timestamp};
use kube_schema::Kind;
use kube_store::{Cluster, Key, Object, Txn};
use problem::kube::Status;
use serde_json::{Value, json};
use std::sync::Arc;

/// Finalizer that lets the garbage collector detach dependents first.
const ORPHAN: &str = "orphan";
/// Finalizer that lets the garbage collector delete dependents first.
const FOREGROUND: &str = "foregroundDeletion";

/// What happens to what an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Deleted afterwards.
    Background,
    /// Deleted before.
    Foreground,
    /// Kept, without owner.
    Orphan,
}

/// How to delete.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Seconds a pod gets to end; its own setting if not given.
    pub grace_period_seconds: Option<i64>,
    /// What happens to dependents; the kind's default if not given.
    pub propagation: Option<Propagation>,
    /// Only if the object has this UID.
    pub uid: Option<String>,
    /// Only if the object is at this version.
    pub resource_version: Option<String>,
    /// Check, but do nothing.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Delete without grace.
    #[must_use]
    pub fn now() -> Self {
        Self { grace_period_seconds: Some(0), ..Self::default() }
    }

    /// Reads `DeleteOptions` as clients send them.
    ///
    /// # Errors
    /// 400 or 422 if they contradict themselves.
    pub fn from_value(value: &Value) -> Result<Self, Status> {
        let bad = |field: &str| Status::bad_request(format!("invalid DeleteOptions: {field}"));
        let propagation = match (value["propagationPolicy"].as_str(), value["orphanDependents"].as_bool()) {
            (Some(_), Some(_)) => {
                return Err(bad("orphanDependents and deletionPropagation cannot be both set"));
            }
            (Some(name), None) => Some(Propagation::parse(name)?),
            (None, Some(true)) => Some(Propagation::Orphan),
            (None, Some(false)) => Some(Propagation::Background),
            (None, None) => None,
        };
        let text = |at: &Value| at.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let grace = &value["gracePeriodSeconds"];
        if !grace.is_null() && grace.as_i64().is_none() {
            return Err(bad("gracePeriodSeconds must be an integer"));
        }
        Ok(Self {
            grace_period_seconds: grace.as_i64(),
            propagation,
            uid: text(&value["preconditions"]["uid"]),
            resource_version: text(&value["preconditions"]["resourceVersion"]),
            dry_run: value["dryRun"].as_array().is_some_and(|list| list.iter().any(|v| v == "All")),
        })
    }
}

impl Propagation {
    /// Reads `Background`, `Foreground` or `Orphan`.
    ///
    /// # Errors
    /// 422 for anything else.
    pub(crate) fn parse(name: &str) -> Result<Self, Status> {
        match name {
            "Background" => Ok(Self::Background),
            "Foreground" => Ok(Self::Foreground),
            "Orphan" => Ok(Self::Orphan),
            _ => {
                let cause = problem::kube::Cause::not_supported(
                    "propagationPolicy",
                    &json!(name),
                    &["Foreground", "Background", "Orphan", "nil"],
                );
                Err(Status::invalid("DeleteOptions.meta.k8s.io", "", &[cause]))
            }
        }
    }

    fn default_of(kind: &Kind) -> Option<Self> {
        // Source: batch/v1 Job's DefaultGarbageCollectionPolicy.
        (kind.group == "batch" && kind.plural == "jobs").then_some(Self::Orphan)
    }
}

/// What became of an object.
#[derive(Debug, Clone)]
pub enum Deleted {
    /// It is gone; its last state.
    Gone(Arc<Object>),
    /// It stays until its finalizers or its grace period are done.
    Pending(Arc<Object>),
}

impl Deleted {
    /// The object in its last or present state.
    #[must_use]
    pub fn object(&self) -> &Arc<Object> {
        match self {
            Self::Gone(object) | Self::Pending(object) => object,
        }
    }
}

/// Deletes an object, or begins to.
///
/// # Errors
/// 404, 409 for a failed precondition, 403 for what must stay, 503.
pub(crate) async fn delete(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
    _actor: &Actor,
) -> Result<Deleted, Status> {
    let key = meta::key(kind, namespace, name);
    let wanted = options.clone();
    let done = commit(cluster, options.dry_run, move |txn| remove(txn, kind, &key, &wanted, Timestamp::now())).await?;
    Ok(match done {
        done if !options.dry_run => done,
        Deleted::Gone(object) => Deleted::Gone(undo_version(cluster, &object)),
        Deleted::Pending(object) => Deleted::Pending(undo_version(cluster, &object)),
    })
}

/// Deletes an object, or begins to, in a transaction.
///
/// # Errors
/// 404, 409 for a failed precondition, 403 for what must stay.
pub(crate) fn remove(
    txn: &mut Txn<'_>,
    kind: &'static Kind,
    key: &Key,
    options: &DeleteOptions,
    now: Timestamp,
) -> Result<Deleted, Status> {
    let missing = || Status::not_found(&kind.qualified_plural(), &key.name);
    let stored = txn.get(key).ok_or_else(missing)?;
    preconditions(kind, &stored, options)?;
    let old = stored.value();
    let mut new = old.clone();
    propagate(kind, &mut new, options)?;
    if kind.resource() == "namespaces" {
        admission::namespace::terminate(&mut new, now)?;
    }
    let grace = if kind.resource() == "pods" { pod_grace(&old, options) } else { 0 };
    let already = old["metadata"].get("deletionGracePeriodSeconds").and_then(Value::as_i64);
    if grace > 0 {
        let keeps = already.is_some_and(|left| left <= grace);
        if !keeps {
            mark(&mut new, now, grace, already)?;
        }
        return pend(txn, kind, key, new);
    }
    let waits = !meta::finalizers(&new).is_empty()
        || (kind.resource() == "namespaces" && new["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty()));
    if waits {
        // A namespace has no grace period; its admission marks it.
        if already != Some(0) && kind.resource() != "namespaces" {
            mark(&mut new, now, 0, already)?;
        }
        return pend(txn, kind, key, new);
    }
    txn.delete(key).map(Deleted::Gone).ok_or_else(missing)
}

fn pend(txn: &mut Txn<'_>, kind: &Kind, key: &Key, new: Value) -> Result<Deleted, Status> {
    txn.put(key.clone(), new).map(Deleted::Pending).map_err(|error| put_status(kind, &key.name, &error))
}

fn preconditions(kind: &Kind, stored: &Object, options: &DeleteOptions) -> Result<(), Status> {
    let fail = |what: &str, wanted: &str, found: &str| {
        let why = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}");
        Status::conflict(&kind.qualified_plural(), &stored.key.name, &why)
    };
    if let Some(uid) = options.uid.as_deref().filter(|uid| **uid != *stored.meta.uid) {
        return Err(fail("UID", uid, &stored.meta.uid));
    }
    let found = stored.revision.to_string();
    match options.resource_version.as_deref() {
        Some(wanted) if wanted != found => Err(fail("ResourceVersion", wanted, &found)),
        _ => Ok(()),
    }
}

/// Sets the finalizers by which the garbage collector learns what to do with dependents.
fn propagate(kind: &Kind, object: &mut Value, options: &DeleteOptions) -> Result<(), Status> {
    let Some(policy) = options.propagation.or_else(|| Propagation::default_of(kind)) else { return Ok(()) };
    let mut finalizers: Vec<String> = meta::finalizers(object).into_iter().map(str::to_owned).collect();
    let before = finalizers.len();
    finalizers.retain(|f| f != ORPHAN && f != FOREGROUND);
    match policy {
        Propagation::Background if finalizers.len() == before => return Ok(()),
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(FOREGROUND.into()),
        Propagation::Orphan => finalizers.push(ORPHAN.into()),
    }
    let meta = meta::map(object)?;
    if finalizers.is_empty() {
        meta.remove("finalizers");
    } else {
        meta.insert("finalizers".into(), json!(finalizers));
    }
    Ok(())
}

/// Seconds that a pod gets: none if no node runs it or it has ended.
fn pod_grace(pod: &Value, options: &DeleteOptions) -> i64 {
    let unscheduled = pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if unscheduled || ended {
        return 0;
    }
    let own = || pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    let grace = match (options.grace_period_seconds, pod["metadata"]["deletionGracePeriodSeconds"].as_i64()) {
        (Some(asked), _) => asked,
        (None, Some(left)) => left,
        (None, None) => own(),
    };
    // Source: a negative grace period counts as one second.
    if grace < 0 { 1 } else { grace }
}

fn mark(object: &mut Value, now: Timestamp, grace: i64, already: Option<i64>) -> Result<(), Status> {
    let begun = meta::text(object, "deletionTimestamp").parse::<Timestamp>().ok();
    let begun = begun.map_or(now, |at| at - SignedDuration::from_secs(already.unwrap_or(0)));
    let ends = if begun > now { now } else { begun } + SignedDuration::from_secs(grace.clamp(0, 1 << 32));
    let meta = meta::map(object)?;
    meta.insert("deletionTimestamp".into(), meta::rfc3339(ends).into());
    meta.insert("deletionGracePeriodSeconds".into(), grace.into());
    if let Some(generation) = meta.get("generation").and_then(Value::as_i64).filter(|g| *g > 0) {
        meta.insert("generation".into(), (generation + 1).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_get_their_grace_only_where_something_runs() {
        let options = DeleteOptions::default();
        assert_eq!(pod_grace(&json!({"spec": {}}), &options), 0);
        let running =
            json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 7}, "status": {"phase": "Running"}});
        assert_eq!(pod_grace(&running, &options), 7);
        assert_eq!(pod_grace(&running, &DeleteOptions::now()), 0);
        let ended = json!({"spec": {"nodeName": "n"}, "status": {"phase": "Failed"}});
        assert_eq!(pod_grace(&ended, &options), 0);
    }

    #[test]
    fn a_second_mark_counts_from_the_first() {
        let now: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        let mut pod =
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}});
        mark(&mut pod, now, 5, Some(30)).unwrap();
        assert_eq!(pod["metadata"]["deletionTimestamp"], "2026-01-01T00:00:05Z");
    }

    #[test]
    fn options_may_not_contradict() {
        assert!(DeleteOptions::from_value(&json!({"propagationPolicy": "Orphan", "orphanDependents": true})).is_err());
        assert!(DeleteOptions::from_value(&json!({"propagationPolicy": "Nope"})).is_err());
        let options =
            DeleteOptions::from_value(&json!({"gracePeriodSeconds": 3, "preconditions": {"uid": "a"}})).unwrap();
        assert_eq!((options.grace_period_seconds, options.uid.as_deref()), (Some(3), Some("a")));
    }
}
