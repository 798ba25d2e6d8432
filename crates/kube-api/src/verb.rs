//! What can be done to objects. Each verb has its rules as functions on a transaction, so that HTTP and in-process
//! callers share them.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;
pub(crate) mod watch;
pub(crate) mod wildcard;

use crate::meta;
use kube_schema::Kind;
use kube_store::{Cluster, Object, PutError, StoreError, Txn, WriteError};
use problem::kube::Status;
use std::sync::Arc;

/// Which part of an object an update touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the status.
    Whole,
    /// The status.
    Status,
    /// `spec.finalizers` of a namespace.
    Finalize,
    /// What the subresource of this name stands for: `approval`, `ephemeralcontainers`, `resize`.
    Own(&'static str),
}

enum Reject<R> {
    Status(Box<Status>),
    Dry(R),
}

/// Runs `f` on the cluster's writer. With `dry_run` it runs, and nothing of it happens.
///
/// # Errors
/// Those of `f`; 503 if the store is down.
pub(crate) async fn commit<R, F>(cluster: &Cluster, dry_run: bool, f: F) -> Result<R, Status>
where
    R: Send + 'static,
    F: FnOnce(&mut Txn<'_>) -> Result<R, Status> + Send + 'static,
{
    let outcome = cluster.write(move |txn| match f(txn) {
        Err(status) => Err(Reject::Status(Box::new(status))),
        Ok(result) if dry_run => Err(Reject::Dry(result)),
        Ok(result) => Ok(result),
    });
    match outcome.await {
        Ok(result) | Err(WriteError::Rejected(Reject::Dry(result))) => Ok(result),
        Err(WriteError::Rejected(Reject::Status(status))) => Err(*status),
        Err(WriteError::Store(error)) => Err(store_status(&error)),
    }
}

/// A store's failure as a status.
pub(crate) fn store_status(error: &StoreError) -> Status {
    match error {
        StoreError::NotFound => Status::no_such_path(),
        StoreError::Unavailable(why) => Status::unavailable(why.clone()),
    }
}

/// A refusal to store as a status.
pub(crate) fn put_status(kind: &Kind, name: &str, error: &PutError) -> Status {
    match error {
        PutError::TooLarge { limit, .. } => Status::too_large(format!("Request entity too large: limit is {limit}")),
        PutError::Quota(what) => {
            let why = format!("exceeded quota: the cluster's limit of {what} is reached; delete what is not needed");
            Status::forbidden(&kind.qualified_plural(), name, &why)
        }
    }
}

/// What a dry run shows: the object with the version it really has.
pub(crate) fn undo_version(cluster: &Cluster, object: &Arc<Object>) -> Arc<Object> {
    let mut value = object.value();
    let stored = cluster.get(&object.key);
    if let Ok(meta) = meta::map(&mut value) {
        match &stored {
            Some(stored) => meta.insert("resourceVersion".into(), stored.revision.to_string().into()),
            None => meta.remove("resourceVersion"),
        };
    }
    let revision = stored.map_or(0, |stored| stored.revision);
    Arc::new(Object {
        key: object.key.clone(),
        revision,
        bytes: value.to_string().into_bytes().into(),
        meta: object.meta.clone(),
    })
}

/// The kind of the version in which objects of `kind` are stored.
pub(crate) fn storage_kind(kind: &'static Kind) -> &'static Kind {
    kube_schema::by_resource(kind.resource()).unwrap_or(kind)
}
