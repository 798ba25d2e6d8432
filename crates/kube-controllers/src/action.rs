//! What a `diff` can ask for. Every action is safe to repeat: it names the object by UID and revision, and one that was
//! overtaken is refused and decided anew.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// One existing object, as it was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Plural name and group: `replicasets.apps`.
    pub resource: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: another object of the same name is left alone.
    pub uid: String,
    /// The revision that the decision was made on; `None` if the decision holds for any.
    pub revision: Option<u64>,
}

impl Target {
    /// The object with this metadata, at the revision it was seen at.
    #[must_use]
    pub fn of(resource: &str, meta: &ObjectMeta) -> Self {
        Self {
            resource: resource.to_owned(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            revision: meta.resource_version.as_deref().and_then(|text| text.parse().ok()),
        }
    }

    /// The same object at whatever revision it has by then.
    #[must_use]
    pub fn at_any_revision(self) -> Self {
        Self { revision: None, ..self }
    }
}

/// An Event to record about an object. `{name}` in the message stands for the name of what was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The object it is about, as an `ObjectReference`.
    pub about: Value,
    /// `Normal` or `Warning`.
    pub kind: &'static str,
    /// CamelCase, for machines.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The component that says so.
    pub source: &'static str,
}

/// How dependents are treated when their owner is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Afterwards, by the garbage collector.
    Background,
    /// First; the owner waits for them.
    Foreground,
    /// Not at all: they lose the reference.
    Orphan,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Changes an object by a JSON merge patch; also its status.
    Patch {
        /// What to change.
        target: Target,
        /// RFC 7386; lists are replaced as a whole.
        patch: Value,
    },
    /// Creates an object through the API, with all its defaults and checks.
    Create {
        /// Plural name and group.
        resource: &'static str,
        /// Where; empty for cluster-scoped kinds.
        namespace: String,
        /// The object; `generateName` is resolved by the API.
        object: Value,
        /// Recorded if it was created.
        success: Option<Note>,
        /// Recorded if it was refused; the reason is appended to its message.
        failure: Option<Note>,
    },
    /// Deletes an object through the API.
    Delete {
        /// What to delete.
        target: Target,
        /// Seconds of grace; `None` for the object's own.
        grace: Option<i64>,
        /// What becomes of its dependents.
        propagation: Propagation,
        /// Recorded if it was deleted.
        success: Option<Note>,
    },
    /// Only records an Event.
    Record(Note),
}

/// What a `diff` gives: the actions in order, and when to look again though nothing happened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// To do, in this order.
    pub actions: Vec<Action>,
    /// Time from now after which time alone changes the answer.
    pub wake: Option<Duration>,
}

impl Plan {
    /// Wakes at the earlier of what was asked and this.
    pub fn wake_in(&mut self, after: Duration) {
        self.wake = Some(self.wake.map_or(after, |before| before.min(after)));
    }

    /// Adds a merge patch, unless it would change nothing.
    pub fn patch(&mut self, target: &Target, patch: Option<Value>) {
        if let Some(patch) = patch {
            self.actions.push(Action::Patch { target: target.clone(), patch });
        }
    }
}

/// The merge patch that turns `old` into `new`; `None` if they say the same.
#[must_use]
pub fn merge_diff(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch = Map::new();
    for key in before.keys().filter(|key| after.get(*key).is_none_or(Value::is_null)) {
        if !before[key].is_null() {
            patch.insert(key.clone(), Value::Null);
        }
    }
    for (key, value) in after.iter().filter(|(_, value)| !value.is_null()) {
        let change = match before.get(key) {
            Some(old) => merge_diff(old, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Applies a JSON merge patch (RFC 7386).
pub fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Value::Object(fields) = value else { return };
    for (key, change) in patch {
        if change.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// An owner reference that makes `owner` the controller.
#[must_use]
pub fn controller_of(api_version: &str, kind: &str, owner: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: owner.name.clone().unwrap_or_default(),
        uid: owner.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The `ObjectReference` of an object, for Events and `targetRef`.
#[must_use]
pub fn reference(api_version: &str, kind: &str, meta: &ObjectMeta) -> Value {
    let mut reference = json!({ "kind": kind, "apiVersion": api_version });
    let parts = [
        ("name", &meta.name),
        ("namespace", &meta.namespace),
        ("uid", &meta.uid),
        ("resourceVersion", &meta.resource_version),
    ];
    for (key, value) in parts {
        if let Some(value) = value {
            reference[key] = json!(value);
        }
    }
    reference
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json_values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i8>().prop_map(Value::from),
            "[a-c]".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_merge_diff_leads_from_old_to_new(old in json_values(), new in json_values()) {
            let mut value = old.clone();
            match merge_diff(&old, &new) {
                Some(patch) => merge(&mut value, &patch),
                None => prop_assert_eq!(&old, &new),
            }
            prop_assert_eq!(value, new);
        }
    }
}
