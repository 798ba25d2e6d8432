//! Carrying out plans. Patches go into the cluster's writer directly, many in one commit; what needs the API's rules
//! (creating, deleting) goes through the API's in-process operations.

use crate::action::{Action, Note, Plan, Propagation, Target, merge};
use crate::world::World;
use futures::future::join_all;
use kube_api::ops;
use kube_store::{Cluster, Key, PutError, StoreError, Txn, WriteError};
use problem::kube::Status;
use serde_json::{Value, json};
use std::sync::Arc;

/// Deletions at the same time: enough to fill a group commit.
const TOGETHER: usize = 64;

/// Why a plan was not carried out in full; it is made anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("an object changed in the meantime")]
    Overtaken,
    #[error("could not store")]
    Put(#[from] PutError),
    #[error("could not store: {0}")]
    Store(#[from] StoreError),
    #[error("the API refused: {0}")]
    Refused(String),
}

impl From<WriteError<PutError>> for Fault {
    fn from(error: WriteError<PutError>) -> Self {
        match error {
            WriteError::Rejected(error) => Self::Put(error),
            WriteError::Store(error) => Self::Store(error),
        }
    }
}

/// How a plan went.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Why an object could not be created.
    pub(crate) refused: Option<String>,
    /// Something was done.
    pub(crate) any: bool,
}

/// Actions of one sort in a row, which are carried out together.
enum Step {
    Patches(Vec<(Target, Value)>),
    Creations(Vec<Creation>),
    Deletions(Vec<Deletion>),
    Record(Note),
}

/// Groups actions without changing their order.
fn steps(actions: Vec<Action>) -> Vec<Step> {
    let mut steps = Vec::new();
    for action in actions {
        match (action, steps.last_mut()) {
            (Action::Patch { target, patch }, Some(Step::Patches(patches))) => patches.push((target, patch)),
            (Action::Patch { target, patch }, _) => steps.push(Step::Patches(vec![(target, patch)])),
            (Action::Create { resource, namespace, object, success, failure }, last) => {
                let creation = Creation { resource, namespace, object, success, failure };
                match last {
                    Some(Step::Creations(creations)) => creations.push(creation),
                    _ => steps.push(Step::Creations(vec![creation])),
                }
            }
            (Action::Delete { target, grace, propagation, success }, last) => {
                let deletion = (target, grace, propagation, success);
                match last {
                    Some(Step::Deletions(deletions)) => deletions.push(deletion),
                    _ => steps.push(Step::Deletions(vec![deletion])),
                }
            }
            (Action::Record(note), _) => steps.push(Step::Record(note)),
        }
    }
    steps
}

/// Carries out a plan, in order. Stops at the first refusal to create: those after it would be refused as well.
pub(crate) async fn act(world: &World, cluster: &Arc<Cluster>, plan: Plan) -> Result<Done, Fault> {
    let mut done = Done { any: !plan.actions.is_empty(), refused: None };
    for step in steps(plan.actions) {
        match step {
            Step::Patches(patches) => patch(cluster, patches).await?,
            Step::Deletions(deletions) => delete(world, cluster, deletions).await?,
            Step::Record(note) => world.recorder.record(cluster.id(), note),
            Step::Creations(creations) => {
                if let Err(refused) = create(world, cluster, creations).await? {
                    done.refused = Some(refused);
                    return Ok(done);
                }
            }
        }
    }
    Ok(done)
}

/// The key under which a target is stored.
pub(crate) fn key(target: &Target) -> Key {
    Key::new(target.resource.as_str(), target.namespace.as_str(), target.name.as_str())
}

/// Applies patches in one commit. Those that still hold are kept even if another was overtaken.
async fn patch(cluster: &Cluster, patches: Vec<(Target, Value)>) -> Result<(), Fault> {
    let overtaken = cluster
        .write(move |txn| {
            let mut overtaken = false;
            for (target, patch) in &patches {
                overtaken |= !patch_one(txn, target, patch)?;
            }
            Ok::<_, PutError>(overtaken)
        })
        .await?;
    if overtaken { Err(Fault::Overtaken) } else { Ok(()) }
}

/// False if the object changed since it was observed. One that is gone needs no change.
fn patch_one(txn: &mut Txn<'_>, target: &Target, patch: &Value) -> Result<bool, PutError> {
    let key = key(target);
    let Some(object) = txn.get(&key).filter(|object| *object.meta.uid == *target.uid) else { return Ok(true) };
    if target.revision.is_some_and(|revision| revision != object.revision) {
        return Ok(false);
    }
    let mut value = object.value();
    let spec = value["spec"].clone();
    merge(&mut value, patch);
    if object.meta.generation > 0 && value["spec"] != spec {
        value["metadata"]["generation"] = json!(object.meta.generation + 1);
    }
    if has_ended(&key, &value) {
        txn.delete(&key);
    } else {
        txn.put(key, value)?;
    }
    Ok(true)
}

/// Whether nothing holds back an object whose deletion has begun.
fn has_ended(key: &Key, value: &Value) -> bool {
    let meta = &value["metadata"];
    let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    let in_grace = meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
    let held = &*key.resource == "namespaces" && !none(&value["spec"]["finalizers"]);
    !meta["deletionTimestamp"].is_null() && none(&meta["finalizers"]) && !in_grace && !held
}

struct Creation {
    resource: &'static str,
    namespace: String,
    object: Value,
    success: Option<Note>,
    failure: Option<Note>,
}

/// Creates objects in batches of 1, 2, 4 …: if the first is refused, the others need not be tried.
async fn create(world: &World, cluster: &Cluster, creations: Vec<Creation>) -> Result<Result<(), String>, Fault> {
    let mut rest = creations.into_iter();
    let mut batch = 1;
    while rest.len() > 0 {
        let results = join_all(rest.by_ref().take(batch).map(|creation| create_one(world, cluster, creation))).await;
        batch *= 2;
        for result in results {
            if let Err(refused) = result? {
                return Ok(Err(refused));
            }
        }
    }
    Ok(Ok(()))
}

async fn create_one(world: &World, cluster: &Cluster, creation: Creation) -> Result<Result<(), String>, Fault> {
    let Creation { resource, namespace, object, success, failure } = creation;
    let Some(kind) = kube_schema::by_resource(resource) else {
        return Err(Fault::Refused(format!("{resource} is not a kind")));
    };
    match ops::create(cluster, kind, &namespace, object, &world.actor).await {
        Ok(made) => {
            if let Some(mut note) = success {
                note.message = note.message.replace("{name}", &made.key.name);
                world.recorder.record(cluster.id(), note);
            }
            Ok(Ok(()))
        }
        // Somebody was first; or the namespace ends, and its controller with it.
        Err(status) if status.code() == 409 || is_ending(cluster, &namespace) => {
            if is_ending(cluster, &namespace) {
                Ok(Ok(()))
            } else {
                Err(Fault::Overtaken)
            }
        }
        Err(status) if status.code() >= 500 => Err(Fault::Refused(status.message().to_owned())),
        Err(status) => {
            if let Some(mut note) = failure {
                note.message = format!("{}: {}", note.message, status.message());
                world.recorder.record(cluster.id(), note);
            }
            Ok(Err(status.message().to_owned()))
        }
    }
}

/// Whether a namespace is missing or being deleted.
pub(crate) fn is_ending(cluster: &Cluster, namespace: &str) -> bool {
    !namespace.is_empty()
        && cluster.get(&Key::new("namespaces", "", namespace)).is_none_or(|object| object.meta.deletion.is_some())
}

type Deletion = (Target, Option<i64>, Propagation, Option<Note>);

async fn delete(world: &World, cluster: &Cluster, mut deletions: Vec<Deletion>) -> Result<(), Fault> {
    while !deletions.is_empty() {
        let later = deletions.split_off(deletions.len().min(TOGETHER));
        let results = join_all(deletions.into_iter().map(|deletion| delete_one(world, cluster, deletion))).await;
        results.into_iter().collect::<Result<(), Fault>>()?;
        deletions = later;
    }
    Ok(())
}

async fn delete_one(world: &World, cluster: &Cluster, deletion: Deletion) -> Result<(), Fault> {
    let (target, grace, propagation, success) = deletion;
    let Some(kind) = kube_schema::by_resource(&target.resource) else {
        return Err(Fault::Refused(format!("{} is not a kind", target.resource)));
    };
    let options = ops::DeleteOptions {
        grace_period_seconds: grace,
        propagation: Some(match propagation {
            Propagation::Background => ops::Propagation::Background,
            Propagation::Foreground => ops::Propagation::Foreground,
            Propagation::Orphan => ops::Propagation::Orphan,
        }),
        uid: Some(target.uid),
        resource_version: target.revision.map(|revision| revision.to_string()),
        dry_run: false,
    };
    match ops::delete(cluster, kind, &target.namespace, &target.name, &options, &world.actor).await {
        Ok(_) => {
            if let Some(note) = success {
                world.recorder.record(cluster.id(), note);
            }
            Ok(())
        }
        Err(status) => judge_deletion(&status),
    }
}

/// Gone, or another object of that name: nothing is left to do.
fn judge_deletion(status: &Status) -> Result<(), Fault> {
    match status.code() {
        404 => Ok(()),
        409 => Err(Fault::Overtaken),
        _ => Err(Fault::Refused(status.message().to_owned())),
    }
}
