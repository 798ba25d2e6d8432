//! The garbage collector: dependents go with their owners, before, after or not at all.
//! Source of the rules: kubernetes/pkg/controller/garbagecollector.

pub(crate) mod drive;
#[cfg(test)]
mod tests;

use crate::action::{Action, Plan, Propagation, Target};
use serde_json::{Value, json};

/// Finalizer of an owner that waits for its dependents.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an owner whose dependents stay.
pub const ORPHAN: &str = "orphan";

/// What is known of one owner of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerState {
    /// It exists, and holds the object.
    Solid,
    /// It does not exist: nothing of this UID, name and reach.
    Missing,
    /// It is being deleted in the foreground, and waits for its dependents.
    Waiting,
}

/// One entry of `metadata.ownerReferences`, as JSON, and what became of the owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Owner {
    /// The entry as it is stored.
    pub entry: Value,
    /// The owner's state.
    pub state: OwnerState,
}

impl Owner {
    fn blocks(&self) -> bool {
        self.entry["blockOwnerDeletion"] == true
    }
}

/// One object that names this one as an owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependent {
    /// The object.
    pub target: Target,
    /// Its owner entries, as JSON.
    pub owners: Vec<Value>,
    /// Its deletion has begun.
    pub deleting: bool,
    /// It waits for dependents of its own.
    pub waiting: bool,
}

/// Everything that the collection of one object depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The object.
    pub target: Target,
    /// Its deletion has begun.
    pub deleting: bool,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// Its owners.
    pub owners: Vec<Owner>,
    /// What it owns.
    pub dependents: Vec<Dependent>,
}

impl Observed {
    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|other| other == finalizer)
    }
}

/// What becomes of the object, and of what it owns.
/// Invariant: no I/O and no clock; a settled object yields nothing.
#[must_use]
pub fn diff(observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    if observed.deleting {
        if observed.has(ORPHAN) {
            orphan(observed, &mut plan);
        } else if observed.has(FOREGROUND) {
            wait_for_dependents(observed, &mut plan);
        }
    } else {
        look_at_owners(observed, &mut plan);
    }
    plan
}

fn delete(target: &Target, propagation: Propagation) -> Action {
    Action::Delete { target: target.clone().at_any_revision(), grace: None, propagation, success: None }
}

fn without_finalizer(observed: &Observed, finalizer: &str) -> Action {
    let left: Vec<&String> = observed.finalizers.iter().filter(|other| *other != finalizer).collect();
    Action::Patch { target: observed.target.clone(), patch: json!({ "metadata": { "finalizers": left } }) }
}

/// Takes the reference out of all dependents, then lets the owner go.
fn orphan(observed: &Observed, plan: &mut Plan) {
    for dependent in &observed.dependents {
        let left: Vec<&Value> = dependent.owners.iter().filter(|owner| owner["uid"] != observed.target.uid).collect();
        let patch = json!({ "metadata": { "ownerReferences": left } });
        plan.actions.push(Action::Patch { target: dependent.target.clone(), patch });
    }
    plan.actions.push(without_finalizer(observed, ORPHAN));
}

/// Deletes the dependents; when none is left that blocks, lets the owner go.
fn wait_for_dependents(observed: &Observed, plan: &mut Plan) {
    let blocks = |dependent: &&Dependent| {
        let own = |owner: &&Value| owner["uid"] == observed.target.uid;
        dependent.owners.iter().find(own).is_some_and(|owner| owner["blockOwnerDeletion"] == true)
    };
    if !observed.dependents.iter().any(|dependent| blocks(&dependent)) {
        plan.actions.push(without_finalizer(observed, FOREGROUND));
    }
}

/// Deletes an object that has lost all its owners; forgets lost owners of one that still has another.
fn look_at_owners(observed: &Observed, plan: &mut Plan) {
    let gone = |owner: &&Owner| owner.state != OwnerState::Solid;
    if !observed.owners.iter().any(|owner| gone(&owner)) {
        return;
    }
    let solid: Vec<&Value> = observed.owners.iter().filter(|owner| !gone(owner)).map(|owner| &owner.entry).collect();
    if !solid.is_empty() {
        let patch = json!({ "metadata": { "ownerReferences": solid } });
        plan.actions.push(Action::Patch { target: observed.target.clone(), patch });
        return;
    }
    let awaited = observed.owners.iter().any(|owner| owner.state == OwnerState::Waiting);
    if !awaited || observed.dependents.is_empty() {
        let propagation = if observed.has(ORPHAN) {
            Propagation::Orphan
        } else if observed.has(FOREGROUND) {
            Propagation::Foreground
        } else {
            Propagation::Background
        };
        plan.actions.push(delete(&observed.target, propagation));
        return;
    }
    // An owner and its dependent that wait for each other would wait for ever: the one found here no longer blocks.
    if observed.dependents.iter().any(|dependent| dependent.waiting) && observed.owners.iter().any(Owner::blocks) {
        let unblocked: Vec<Value> = observed.owners.iter().map(|owner| unblock(&owner.entry)).collect();
        let patch = json!({ "metadata": { "ownerReferences": unblocked } });
        plan.actions.push(Action::Patch { target: observed.target.clone(), patch });
    }
    plan.actions.push(delete(&observed.target, Propagation::Foreground));
}

fn unblock(entry: &Value) -> Value {
    let mut entry = entry.clone();
    if entry["blockOwnerDeletion"] == true {
        entry["blockOwnerDeletion"] = json!(false);
    }
    entry
}
