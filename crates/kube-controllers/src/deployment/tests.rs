use super::*;
use crate::action::merge;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use proptest::prelude::*;
use serde_json::Value;

/// A Deployment and its ReplicaSets, with the ReplicaSet controller and the nodes played by `settle_pods`.
#[derive(Clone)]
struct World {
    deployment: Value,
    sets: Vec<Value>,
    revision: u64,
    now: i64,
    said: Vec<String>,
}

impl World {
    fn new(replicas: i32, strategy: Value) -> Self {
        let deployment = json!({
            "metadata": {"name": "web", "namespace": "ns", "uid": "d", "resourceVersion": "1", "generation": 1},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "web"}},
                "strategy": strategy,
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
            },
        });
        Self { deployment, sets: Vec::new(), revision: 1, now: 1_700_000_000, said: Vec::new() }
    }

    fn rolling(replicas: i32, surge: Value, unavailable: Value) -> Self {
        let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        Self::new(replicas, json!({"type": "RollingUpdate", "rollingUpdate": rolling}))
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_second(self.now).unwrap()
    }

    fn plan(&self) -> Plan {
        let observed = Observed {
            deployment: serde_json::from_value::<Deployment>(self.deployment.clone()).unwrap(),
            template: self.deployment["spec"]["template"].clone(),
            sets: self.sets.iter().map(|set| serde_json::from_value::<ReplicaSet>(set.clone()).unwrap()).collect(),
            taken: self.sets.iter().map(|set| set["metadata"]["name"].as_str().unwrap().to_owned()).collect(),
            pods: Vec::new(),
        };
        diff(&observed, self.time())
    }

    fn edit(&mut self, patch: &Value) {
        change(&mut self.deployment, patch, &mut self.revision);
    }

    fn image(&mut self, image: &str) {
        self.edit(&json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}));
    }

    /// Does one step; false if there was nothing to do.
    fn step(&mut self) -> bool {
        let plan = self.plan();
        for action in &plan.actions {
            match action {
                Action::Create { object, .. } => {
                    let mut object = object.clone();
                    self.revision += 1;
                    object["metadata"]["uid"] = object["metadata"]["name"].clone();
                    object["metadata"]["generation"] = json!(1);
                    object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
                    object["metadata"]["creationTimestamp"] = json!(self.time().to_string());
                    self.sets.push(object);
                    self.now += 1;
                }
                Action::Patch { target, patch } if target.resource == RESOURCE => {
                    change(&mut self.deployment, patch, &mut self.revision);
                }
                Action::Patch { target, patch } => {
                    let set = self.sets.iter_mut().find(|set| set["metadata"]["name"] == target.name).unwrap();
                    change(set, patch, &mut self.revision);
                }
                Action::Delete { target, .. } => self.sets.retain(|set| set["metadata"]["name"] != target.name),
                Action::Record(note) => self.said.push(note.message.clone()),
            }
        }
        !plan.actions.is_empty()
    }

    /// All pods that shall exist do, and are available, except those of `broken` images.
    fn settle_pods(&mut self, broken: &str) {
        for set in &mut self.sets {
            let replicas = set["spec"]["replicas"].as_i64().unwrap();
            let works = set["spec"]["template"]["spec"]["containers"][0]["image"] != broken;
            let available = if works { replicas } else { 0 };
            set["status"] = json!({"replicas": replicas, "readyReplicas": available, "availableReplicas": available,
                "observedGeneration": set["metadata"]["generation"]});
        }
    }

    /// Steps until nothing is left to do, checking the bounds of the rollout all the way.
    #[track_caller]
    fn settle(&mut self, bounds: Option<(i64, i64)>) {
        for _ in 0..200 {
            let stepped = self.step();
            if let Some((least, most)) = bounds {
                let sum =
                    |pointer: &str| self.sets.iter().filter_map(|set| set.pointer(pointer)?.as_i64()).sum::<i64>();
                let alive: i64 = self
                    .sets
                    .iter()
                    .map(|set| {
                        let number = |pointer: &str| set.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
                        number("/status/availableReplicas").min(number("/spec/replicas"))
                    })
                    .sum();
                assert!(sum("/spec/replicas") <= most && alive >= least, "{alive} alive: {:#?}", self.sizes());
            }
            if !stepped && self.sets.iter().all(|set| set["status"]["replicas"] == set["spec"]["replicas"]) {
                return;
            }
            self.settle_pods("");
        }
        panic!("never settles: {:#?}", self.plan());
    }

    /// Image and size of each set that is not empty, by image.
    fn sizes(&self) -> Vec<(String, i64)> {
        let mut sizes: Vec<_> = self
            .sets
            .iter()
            .map(|set| {
                let image = set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
                (image, set["spec"]["replicas"].as_i64().unwrap())
            })
            .filter(|(_, size)| *size > 0)
            .collect();
        sizes.sort();
        sizes
    }

    fn condition(&self, kind: &str) -> String {
        let all = self.deployment["status"]["conditions"].as_array().unwrap();
        let found = all.iter().find(|condition| condition["type"] == kind).unwrap();
        format!("{} {}", found["status"].as_str().unwrap(), found["reason"].as_str().unwrap())
    }

    fn revision_of(&self, image: &str) -> String {
        let set = self.sets.iter().find(|set| set["spec"]["template"]["spec"]["containers"][0]["image"] == image);
        set.unwrap()["metadata"]["annotations"][REVISION].as_str().unwrap().to_owned()
    }
}

fn change(object: &mut Value, patch: &Value, revision: &mut u64) {
    *revision += 1;
    let before = object["spec"].clone();
    merge(object, patch);
    object["metadata"]["resourceVersion"] = json!(revision.to_string());
    if object["spec"] != before {
        object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    }
}

fn sizes(of: &[(&str, i64)]) -> Vec<(String, i64)> {
    of.iter().map(|(image, size)| ((*image).to_owned(), *size)).collect()
}

#[test]
fn a_new_deployment_becomes_complete() {
    let mut world = World::rolling(3, json!("25%"), json!("25%"));
    world.step();
    assert_eq!(world.sizes(), sizes(&[("i:1", 3)]));
    assert_eq!(world.condition("Progressing"), "True NewReplicaSetCreated");
    assert_eq!(world.condition("Available"), "False MinimumReplicasUnavailable");
    world.settle(None);
    assert_eq!(world.condition("Progressing"), "True NewReplicaSetAvailable");
    assert_eq!(world.condition("Available"), "True MinimumReplicasAvailable");
    let status = &world.deployment["status"];
    assert_eq!((&status["updatedReplicas"], &status["availableReplicas"]), (&json!(3), &json!(3)));
    assert_eq!(status["observedGeneration"], world.deployment["metadata"]["generation"]);
    assert_eq!(world.deployment["metadata"]["annotations"][REVISION], "1");
    let set = &world.sets[0];
    let hash = set["metadata"]["labels"][HASH_LABEL].as_str().unwrap();
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"][HASH_LABEL], hash);
    assert_eq!(set["spec"]["template"]["metadata"]["labels"][HASH_LABEL], hash);
    assert_eq!(world.said, [format!("Scaled up replica set web-{hash} from 0 to 3")]);
}

#[test]
fn rolling_keeps_within_surge_and_unavailable() {
    let cases = [
        (3, json!("25%"), json!("25%"), 3, 4),
        (10, json!(3), json!(2), 8, 13),
        (4, json!(0), json!(1), 3, 4),
        (2, json!(0), json!(0), 1, 2),
    ];
    for (replicas, surge, unavailable, least, most) in cases {
        let mut world = World::rolling(replicas, surge, unavailable);
        world.settle(None);
        world.image("i:2");
        world.settle(Some((least, most)));
        assert_eq!(world.sizes(), sizes(&[("i:2", i64::from(replicas))]));
        assert_eq!(world.deployment["metadata"]["annotations"][REVISION], "2");
    }
}

#[test]
fn a_broken_template_leaves_the_old_pods_and_times_out() {
    let mut world = World::rolling(4, json!(1), json!(0));
    world.settle(None);
    world.image("broken");
    for _ in 0..10 {
        world.step();
        world.settle_pods("broken");
    }
    assert_eq!(world.sizes(), sizes(&[("broken", 1), ("i:1", 4)]));
    let wake = world.plan().wake.unwrap();
    world.now += i64::try_from(wake.as_secs()).unwrap() + 1;
    world.step();
    assert_eq!(world.condition("Progressing"), "False ProgressDeadlineExceeded");
    assert!(!world.step() && world.plan().wake.is_none());
    world.image("i:1");
    world.settle(None);
    assert_eq!(world.sizes(), sizes(&[("i:1", 4)]));
}

#[test]
fn rolling_back_reuses_the_old_set_under_a_new_revision() {
    let mut world = World::rolling(2, json!(1), json!(0));
    world.settle(None);
    world.image("i:2");
    world.settle(None);
    world.image("i:1");
    world.settle(None);
    assert_eq!(world.sizes(), sizes(&[("i:1", 2)]));
    assert_eq!(world.sets.len(), 2);
    assert_eq!((world.revision_of("i:1"), world.revision_of("i:2")), ("3".into(), "2".into()));
    let set = world.sets.iter().find(|set| set["metadata"]["annotations"][REVISION] == "3").unwrap();
    assert_eq!(set["metadata"]["annotations"][REVISION_HISTORY], "1");
}

#[test]
fn recreate_waits_for_the_old_pods_to_go() {
    let mut world = World::new(3, json!({"type": "Recreate"}));
    world.settle(None);
    world.image("i:2");
    world.step();
    assert_eq!(world.sizes(), sizes(&[]));
    assert!(!world.step() && world.sets.len() == 1, "pods of the old set still run");
    world.settle_pods("");
    world.step();
    assert_eq!(world.sizes(), sizes(&[("i:2", 3)]));
    world.settle(None);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut world = World::rolling(2, json!(1), json!(0));
    world.settle(None);
    world.edit(&json!({"spec": {"paused": true}}));
    world.image("i:2");
    world.edit(&json!({"spec": {"replicas": 5}}));
    world.settle(None);
    assert_eq!(world.sizes(), sizes(&[("i:1", 5)]));
    assert_eq!(world.condition("Progressing"), "Unknown DeploymentPaused");
    world.edit(&json!({"spec": {"paused": null}}));
    world.settle(Some((5, 6)));
    assert_eq!(world.sizes(), sizes(&[("i:2", 5)]));
    assert_eq!(world.condition("Progressing"), "True NewReplicaSetAvailable");
}

#[test]
fn scaling_in_the_middle_of_a_rollout_is_proportional() {
    let mut world = World::rolling(10, json!(3), json!(2));
    world.settle(None);
    world.image("broken");
    for _ in 0..5 {
        world.step();
        world.settle_pods("broken");
    }
    assert_eq!(world.sizes(), sizes(&[("broken", 5), ("i:1", 8)]));
    world.edit(&json!({"spec": {"replicas": 15}}));
    world.step();
    // The example of the Kubernetes documentation, "Proportional scaling".
    assert_eq!(world.sizes(), sizes(&[("broken", 7), ("i:1", 11)]));
}

#[test]
fn old_sets_beyond_the_history_limit_are_deleted() {
    let mut world = World::rolling(1, json!(1), json!(0));
    world.edit(&json!({"spec": {"revisionHistoryLimit": 2}}));
    for n in 1..=6 {
        world.image(&format!("i:{n}"));
        world.settle(None);
    }
    assert_eq!(world.sets.len(), 3);
    assert_eq!(world.revision_of("i:4"), "4");
}

#[test]
fn a_name_that_is_taken_is_a_collision() {
    let mut world = World::rolling(1, json!(1), json!(0));
    let mut probe = world.clone();
    probe.step();
    let name = probe.sets[0]["metadata"]["name"].clone();
    world.sets.push(json!({"metadata": {"name": name, "namespace": "ns", "uid": "x", "resourceVersion": "1",
        "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "x", "controller": true}]},
        "spec": {"replicas": 0, "selector": {}}, "status": {"replicas": 0}}));
    world.step();
    assert_eq!(world.deployment["status"]["collisionCount"], 1);
    assert_ne!(world.sets[1]["metadata"]["name"], name);
}

#[test]
fn orphans_are_adopted_and_strangers_released_first() {
    let mut world = World::rolling(1, json!(1), json!(0));
    world.settle(None);
    world.sets[0]["metadata"]["ownerReferences"] = json!([]);
    assert!(world.step());
    assert_eq!(world.sets[0]["metadata"]["ownerReferences"][0]["uid"], "d");
    assert!(!world.step() && world.sets.len() == 1);
    world.sets[0]["metadata"]["labels"] = json!({"app": "mine"});
    world.step();
    assert_eq!(world.sets[0]["metadata"]["ownerReferences"], json!([]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_edits_settle_into_the_last_template(
        replicas in 0..7i32, surge in 0..4i32, unavailable in 0..4i32,
        edits in prop::collection::vec((0..3u8, 0..7i32, 0..4u8), 0..6),
    ) {
        let mut world = World::rolling(replicas, json!(surge), json!(unavailable));
        for (image, replicas, steps) in edits {
            world.image(&format!("i:{image}"));
            world.edit(&json!({"spec": {"replicas": replicas}}));
            for _ in 0..steps {
                world.step();
                world.settle_pods("");
            }
        }
        world.settle(None);
        let wanted = world.deployment["spec"]["replicas"].as_i64().unwrap();
        let image = world.deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
        let expect = if wanted == 0 { Vec::new() } else { vec![(image, wanted)] };
        prop_assert_eq!(world.sizes(), expect);
        prop_assert!(world.plan().actions.is_empty());
        world.sets.reverse();
        prop_assert!(world.plan().actions.is_empty(), "the order of sets does not matter");
    }
}
