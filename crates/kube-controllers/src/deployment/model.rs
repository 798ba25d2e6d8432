//! The Deployment and its sets as the step works on them: the observed values beside the wanted ones.

use super::{DESIRED_REPLICAS, HASH_LABEL, MAX_REPLICAS, REPLICA_SETS, RESOURCE, REVISION, template};
use crate::action::{Action, Plan, Target, controller_of};
use crate::{selector, view};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicaSetCondition};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::{sync::Arc, time::Duration};

/// Everything a Deployment's step depends on.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The Deployment.
    pub deployment: Deployment,
    /// Its `spec.template` as stored, so that copying it loses nothing.
    pub template: Value,
    /// All ReplicaSets of its namespace that it owns, or that have no controller.
    pub sets: Vec<ReplicaSet>,
    /// Names of all ReplicaSets in its namespace.
    pub taken: Vec<String>,
    /// Pods of its ReplicaSets. Only looked at for the strategy `Recreate`.
    pub pods: Vec<Arc<Pod>>,
}

/// One ReplicaSet: as it is, and as it shall be.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) created: Timestamp,
    pub(super) target: Target,
    pub(super) replicas: i32,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) min_ready: i32,
    pub(super) status_replicas: i32,
    pub(super) ready: i32,
    pub(super) available: i32,
    /// The ReplicaSet controller has seen the latest spec.
    pub(super) observed: bool,
    pub(super) deleting: bool,
    pub(super) same_template: bool,
    pub(super) failure: Option<ReplicaSetCondition>,
    pub(super) create: Option<Value>,
    pub(super) delete: bool,
    was: (i32, BTreeMap<String, String>, i32),
}

impl Set {
    fn new(set: &ReplicaSet, wanted: &DeploymentSpec) -> Self {
        let spec = set.spec.clone().unwrap_or_default();
        let status = set.status.clone().unwrap_or_default();
        let replicas = spec.replicas.unwrap_or(1);
        let annotations = set.metadata.annotations.clone().unwrap_or_default();
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let failures = status.conditions.iter().flatten();
        Self {
            name: view::name(&set.metadata).to_owned(),
            uid: view::uid(&set.metadata).to_owned(),
            created: view::created(&set.metadata),
            target: Target::of(REPLICA_SETS, &set.metadata),
            replicas,
            annotations: annotations.clone(),
            min_ready,
            status_replicas: status.replicas,
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            observed: set.metadata.generation.unwrap_or(0) <= status.observed_generation.unwrap_or(0),
            deleting: set.metadata.deletion_timestamp.is_some(),
            same_template: spec.template.is_some_and(|template| template::equal(&template, &wanted.template)),
            failure: failures.clone().find(|c| c.type_ == "ReplicaFailure" && c.status == "True").cloned(),
            create: None,
            delete: false,
            was: (replicas, annotations, min_ready),
        }
    }

    /// The merge patch from what it is to what it shall be.
    pub(super) fn patch(&self) -> Option<Value> {
        let (replicas, annotations, min_ready) = &self.was;
        let mut patch = json!({});
        if *replicas != self.replicas {
            patch["spec"]["replicas"] = json!(self.replicas);
        }
        if *min_ready != self.min_ready {
            patch["spec"]["minReadySeconds"] = json!(self.min_ready);
        }
        if let Some(change) = crate::action::merge_diff(&json!(annotations), &json!(self.annotations)) {
            patch["metadata"]["annotations"] = change;
        }
        patch.as_object().is_some_and(|fields| !fields.is_empty()).then_some(patch)
    }

    /// Number of its revision; 0 if it has none.
    pub(super) fn revision(&self) -> i64 {
        self.annotations.get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub(super) fn annotated(&self, key: &str) -> Option<i32> {
        self.annotations.get(key)?.parse().ok()
    }
}

/// The state of one step.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) meta: &'a ObjectMeta,
    pub(super) spec: DeploymentSpec,
    pub(super) target: Target,
    pub(super) namespace: String,
    pub(super) replicas: i32,
    pub(super) deleting: bool,
    pub(super) now: Timestamp,
    /// All sets it owns, oldest first.
    pub(super) sets: Vec<Set>,
    /// Index of the set with the current template.
    pub(super) new: Option<usize>,
    pub(super) old_status: DeploymentStatus,
    pub(super) status: DeploymentStatus,
    pub(super) revision: Option<String>,
    pub(super) scaled: Vec<String>,
    pub(super) wake: Option<Duration>,
    observed: &'a Observed,
}

impl<'a> Model<'a> {
    pub(super) fn new(observed: &'a Observed, plan: &mut Plan, now: Timestamp) -> Self {
        let deployment = &observed.deployment;
        let spec = deployment.spec.clone().unwrap_or_default();
        let deleting = deployment.metadata.deletion_timestamp.is_some();
        let owned = claim(deployment, &spec, &observed.sets, plan);
        let mut sets: Vec<Set> = owned.into_iter().map(|set| Set::new(set, &spec)).collect();
        sets.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        let status = deployment.status.clone().unwrap_or_default();
        Self {
            meta: &deployment.metadata,
            target: Target::of(RESOURCE, &deployment.metadata),
            namespace: view::namespace(&deployment.metadata).to_owned(),
            replicas: spec.replicas.unwrap_or(1),
            spec,
            deleting,
            now,
            sets,
            new: None,
            old_status: status.clone(),
            status,
            revision: None,
            scaled: Vec::new(),
            wake: None,
            observed,
        }
    }

    pub(super) fn find_new_set(&mut self) {
        // Oldest first: if two sets have the same template (it happens by hand only), the older one wins, always.
        self.new = self.sets.iter().position(|set| set.same_template);
    }

    pub(super) fn new_set(&self) -> Option<&Set> {
        self.new.map(|index| &self.sets[index])
    }

    /// Indices of the sets with other templates, oldest first.
    pub(super) fn old_sets(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|index| Some(*index) != self.new).collect()
    }

    pub(super) fn total(&self) -> i32 {
        self.sets.iter().map(|set| set.replicas).sum()
    }

    pub(super) fn total_available(&self) -> i32 {
        self.sets.iter().map(|set| set.available).sum()
    }

    pub(super) fn is_rolling(&self) -> bool {
        self.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) != Some("Recreate")
    }

    /// Surge and unavailable pods as numbers; never both 0, or nothing could ever move.
    fn fence_posts(&self) -> (i32, i32) {
        let quarter = || IntOrString::String("25%".into());
        let rolling =
            self.spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.clone()).unwrap_or_default();
        let surge = view::share(&rolling.max_surge.unwrap_or_else(quarter), self.replicas, true).max(0);
        let down = view::share(&rolling.max_unavailable.unwrap_or_else(quarter), self.replicas, false).max(0);
        if surge == 0 && down == 0 { (0, 1) } else { (surge, down) }
    }

    pub(super) fn max_surge(&self) -> i32 {
        if self.is_rolling() { self.fence_posts().0 } else { 0 }
    }

    pub(super) fn max_unavailable(&self) -> i32 {
        if self.is_rolling() && self.replicas > 0 { self.fence_posts().1.min(self.replicas) } else { 0 }
    }

    /// Wants this size for a set, and notes the change.
    pub(super) fn scale(&mut self, index: usize, replicas: i32) -> bool {
        let (desired, most) = (self.replicas, self.replicas + self.max_surge());
        let set = &mut self.sets[index];
        set.annotations.insert(DESIRED_REPLICAS.into(), desired.to_string());
        set.annotations.insert(MAX_REPLICAS.into(), most.to_string());
        if set.replicas == replicas {
            return false;
        }
        let direction = if replicas > set.replicas { "up" } else { "down" };
        self.scaled.push(format!("Scaled {direction} replica set {} from {} to {replicas}", set.name, set.replicas));
        set.replicas = replicas;
        true
    }

    /// Adds the set for the current template, at size 0, and returns its index.
    pub(super) fn create_new_set(&mut self) -> usize {
        let deployment_name = view::name(self.meta);
        let mut hash = template::hash(&self.observed.template, self.status.collision_count.unwrap_or(0));
        while self.observed.taken.contains(&format!("{deployment_name}-{hash}")) {
            let collisions = self.status.collision_count.unwrap_or(0) + 1;
            self.status.collision_count = Some(collisions);
            hash = template::hash(&self.observed.template, collisions);
        }
        let name = format!("{deployment_name}-{hash}");
        let mut template = self.observed.template.clone();
        template["metadata"]["labels"][HASH_LABEL] = json!(hash);
        let mut selector = json!(self.spec.selector);
        selector["matchLabels"][HASH_LABEL] = json!(hash);
        let mut object = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": template["metadata"]["labels"],
                "ownerReferences": [controller_of("apps/v1", "Deployment", self.meta)],
            },
            "spec": { "replicas": 0, "selector": selector, "template": template },
        });
        let min_ready = self.spec.min_ready_seconds.unwrap_or(0);
        if min_ready != 0 {
            object["spec"]["minReadySeconds"] = json!(min_ready);
        }
        let mut set = Set::new(&ReplicaSet::default(), &self.spec);
        (set.name, set.replicas, set.min_ready, set.created) = (name, 0, min_ready, self.now);
        set.same_template = true;
        set.create = Some(object);
        self.sets.push(set);
        self.new = Some(self.sets.len() - 1);
        self.sets.len() - 1
    }

    /// Whether pods of sets other than the new one may still run.
    pub(super) fn old_pods_run(&self) -> bool {
        if self.old_sets().into_iter().any(|index| self.sets[index].status_replicas > 0) {
            return true;
        }
        let new = self.new_set().map(|set| set.uid.clone());
        let mut alive = self.observed.pods.iter().filter(|pod| !view::is_terminal(pod));
        alive.any(|pod| view::controller_uid(&pod.metadata) != new.as_deref())
    }
}

/// The sets that belong to the Deployment: its own that fit the selector, and fitting ones without a controller, which
/// it adopts. Its own that no longer fit are released.
fn claim<'a>(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    sets: &'a [ReplicaSet],
    plan: &mut Plan,
) -> Vec<&'a ReplicaSet> {
    let uid = view::uid(&deployment.metadata);
    let deleting = deployment.metadata.deletion_timestamp.is_some();
    let empty = BTreeMap::new();
    let mut claimed = Vec::new();
    for set in sets {
        let fits = selector::fits(&spec.selector, set.metadata.labels.as_ref().unwrap_or(&empty));
        let mut owners = set.metadata.owner_references.clone().unwrap_or_default();
        match view::controller_uid(&set.metadata) {
            Some(owner) if owner == uid && fits => claimed.push(set),
            Some(owner) if owner == uid && !deleting => {
                owners.retain(|owner| owner.uid != uid);
                adopt(plan, set, &owners);
            }
            None if fits && !deleting && set.metadata.deletion_timestamp.is_none() => {
                owners.push(controller_of("apps/v1", "Deployment", &deployment.metadata));
                adopt(plan, set, &owners);
            }
            _ => {}
        }
    }
    claimed
}

/// Rewrites the owners of a set. Its commit wakes the Deployment again, which then counts the set in.
fn adopt(plan: &mut Plan, set: &ReplicaSet, owners: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference]) {
    let patch = json!({ "metadata": { "ownerReferences": owners } });
    plan.actions.push(Action::Patch { target: Target::of(REPLICA_SETS, &set.metadata), patch });
}
