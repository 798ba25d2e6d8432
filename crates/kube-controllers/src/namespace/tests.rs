use super::*;
use crate::action::merge;
use proptest::prelude::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

#[derive(Clone)]
struct World {
    namespace: Value,
    account: bool,
    root_ca: Option<Value>,
    contents: Vec<Content>,
}

impl World {
    fn new() -> Self {
        let namespace = json!({
            "metadata": {"name": "a", "uid": "a", "resourceVersion": "1"},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        });
        Self { namespace, account: false, root_ca: None, contents: Vec::new() }
    }

    fn ending(contents: &[(&str, &str, &[&str])]) -> Self {
        let mut world = Self::new();
        world.namespace["metadata"]["deletionTimestamp"] = json!("2023-11-14T22:13:20Z");
        world.contents = contents
            .iter()
            .map(|(resource, name, finalizers)| Content {
                target: target(resource, name),
                deleting: false,
                finalizers: finalizers.iter().map(|f| (*f).to_owned()).collect(),
            })
            .collect();
        world
    }

    fn plan(&self) -> Plan {
        let observed = Observed {
            namespace: serde_json::from_value(self.namespace.clone()).unwrap(),
            has_account: self.account,
            root_ca: self.root_ca.clone().map(|data| (target(CONFIG_MAPS, ROOT_CA), data)),
            ca_pem: "PEM".into(),
            contents: self.contents.clone(),
        };
        diff(&observed, now())
    }

    fn act(&mut self) -> Vec<String> {
        let plan = self.plan();
        let mut said = Vec::new();
        for action in plan.actions {
            match action {
                Action::Create { resource, object, .. } => {
                    said.push(format!("create {resource}"));
                    if resource == CONFIG_MAPS {
                        self.root_ca = Some(object["data"].clone())
                    } else {
                        self.account = true
                    }
                }
                Action::Patch { target, patch } if target.resource == RESOURCE => {
                    said.push(format!("patch {}", patch.as_object().unwrap().keys().next().unwrap()));
                    merge(&mut self.namespace, &patch);
                }
                Action::Patch { patch, .. } => {
                    said.push("patch ca".into());
                    merge(self.root_ca.as_mut().unwrap(), &patch["data"]);
                }
                Action::Delete { target, .. } => {
                    said.push(format!("delete {} {}", target.resource, target.name));
                    self.contents.retain(|content| content.target != target || !content.finalizers.is_empty());
                    for content in self.contents.iter_mut().filter(|content| content.target == target) {
                        content.deleting = true;
                    }
                }
                Action::Record(_) => {}
            }
        }
        said
    }
}

fn target(resource: &str, name: &str) -> Target {
    Target { resource: resource.into(), namespace: "a".into(), name: name.into(), uid: name.into(), revision: None }
}

#[test]
fn a_new_namespace_gets_its_account_and_its_ca() {
    let mut world = World::new();
    assert_eq!(world.act(), ["create serviceaccounts", "create configmaps"]);
    assert_eq!(world.act(), Vec::<String>::new());
    world.root_ca = Some(json!({"ca.crt": "OLD", "x": "y"}));
    assert_eq!(world.act(), ["patch ca"]);
    assert_eq!(world.root_ca, Some(json!({"ca.crt": "PEM"})));
}

#[test]
fn an_ending_namespace_is_emptied_and_then_released() {
    let mut world = World::ending(&[("pods", "p", &[]), ("deployments.apps", "d", &[])]);
    assert_eq!(world.act(), ["patch status", "delete deployments.apps d", "delete pods p"]);
    assert_eq!(world.act(), ["patch spec"]);
    assert_eq!(world.act(), ["delete namespaces a"]);
}

#[test]
fn what_an_ending_namespace_waits_for_is_told() {
    let mut world = World::ending(&[("pods", "p", &["a/b"])]);
    world.act();
    assert_eq!(world.act(), Vec::<String>::new());
    let conditions = world.namespace["status"]["conditions"].as_array().unwrap();
    let message = |kind: &str| conditions.iter().find(|c| c["type"] == kind).unwrap()["message"].clone();
    assert_eq!(message("NamespaceContentRemaining"), "Some resources are remaining: pods. has 1 resource instances");
    let finalizers = "Some content in the namespace has finalizers remaining: a/b in 1 resource instances";
    assert_eq!(message("NamespaceFinalizersRemaining"), finalizers);
}

#[test]
fn an_empty_namespace_that_others_hold_says_so() {
    let mut world = World::ending(&[("pods", "p", &[])]);
    world.namespace["spec"]["finalizers"] = json!(["kubernetes", "a/b"]);
    world.namespace["metadata"]["finalizers"] = json!(["c/d"]);
    world.act();
    assert_eq!(world.act(), ["patch spec"]);
    assert_eq!(world.namespace["spec"]["finalizers"], json!(["a/b"]), "only our own finalizer is ours to remove");
    let conditions = world.namespace["status"]["conditions"].as_array().unwrap();
    let remaining = conditions.iter().find(|c| c["type"] == "NamespaceContentRemaining").unwrap();
    assert_eq!((&remaining["status"], &remaining["reason"]), (&json!("False"), &json!("ContentRemoved")));
    assert_eq!(world.act(), Vec::<String>::new());
}

proptest! {
    #[test]
    fn acting_then_diffing_yields_nothing(contents in prop::collection::vec((0..3usize, 0..9u8, any::<bool>()), 0..9)) {
        let resources = ["pods", "secrets", "deployments.apps"];
        let mut world = World::ending(&[]);
        world.contents = contents.iter().map(|(resource, name, held)| Content {
            target: target(resources[*resource], &name.to_string()),
            deleting: false,
            finalizers: if *held { vec!["x/y".into()] } else { Vec::new() },
        }).collect();
        let mut other = world.clone();
        other.contents.reverse();
        prop_assert_eq!(world.plan(), other.plan());
        world.act();
        if !world.contents.is_empty() {
            world.act();
            prop_assert_eq!(world.act(), Vec::<String>::new());
        }
    }
}
