//! The Node object of a virtual node: what the service puts into it, and what it reads from it. Pure.

use super::{Pool, wire::Taint};
use crate::{catalog, virtual_node::VirtualNode};
use domain::{SHAPE_LABEL, VirtualNodeId, VirtualNodePoolId};
use kube_store::Meta;
use serde_json::{Map, Value, json};

/// Label: last part of the virtual node's OCID.
const NODE_LABEL: &str = "hako.dev/virtual-node";
/// Label: last part of the pool's OCID.
const POOL_LABEL: &str = "hako.dev/virtual-node-pool";
/// Annotation: the virtual node's whole OCID.
const NODE_ANNOTATION: &str = "hako.dev/virtual-node-id";
/// Annotation: the pool's whole OCID.
const POOL_ANNOTATION: &str = "hako.dev/virtual-node-pool-id";
/// Annotation: labels and taints as the pool gave them last, so that a change takes back what it no longer names.
const TEMPLATE_ANNOTATION: &str = "hako.dev/virtual-node-template";

/// Annotation: the version that its virtual-kubelet shall say.
const VERSION_ANNOTATION: &str = "hako.dev/kubernetes-version";

/// Annotation: generation of the cluster's credentials, so that the virtual-kubelet gets its pods tokens of it.
const KEY_ANNOTATION: &str = "hako.dev/key-generation";

/// Labels that the service sets itself.
const RESERVED: &[&str] = &["type", "kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch"];
/// Domains of labels that the service sets itself.
const RESERVED_DOMAINS: &[&str] =
    &["hako.dev", "topology.kubernetes.io", "node-role.kubernetes.io", "oci.oraclecloud.com"];

/// True for label keys that a pool may not set.
pub(crate) fn is_reserved(key: &str) -> bool {
    let domain = key.split_once('/').map(|(domain, _)| domain);
    RESERVED.contains(&key) || key == SHAPE_LABEL || domain.is_some_and(|domain| RESERVED_DOMAINS.contains(&domain))
}

/// The pool that a Node belongs to.
pub(crate) fn pool_of(meta: &Meta) -> Option<VirtualNodePoolId> {
    let unique = meta.labels.get(POOL_LABEL)?;
    // The label has the last part only, as labels are short; ids made here differ in nothing else.
    format!("ocid1.virtualnodepool.hako.local-1.{unique}").parse().ok()
}

/// Name of a new virtual node's Node: the pool's name, made fit, and part of the node's id.
pub(crate) fn name(pool: &str, id: &VirtualNodeId) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let pool: String = pool.chars().map(fit).take(40).collect();
    let pool = pool.trim_matches('-');
    let pool = if pool.is_empty() { "node" } else { pool };
    format!("{pool}-{}", id.unique().get(..8).unwrap_or_default())
}

/// A new Node of a pool, whose cluster's key has that generation.
pub(crate) fn object((pool, key): (&Pool, u32), node: &VirtualNode, region: &str) -> Value {
    let shape = shape(pool);
    let architecture = catalog::shape(shape).map_or("amd64", |shape| shape.architecture);
    let mut labels = json!({
        "type": "virtual-kubelet",
        "kubernetes.io/hostname": node.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "node-role.kubernetes.io/virtual-node": "",
        SHAPE_LABEL: shape,
        "topology.kubernetes.io/region": region,
        "topology.kubernetes.io/zone": node.availability_domain,
        "oci.oraclecloud.com/fault-domain": node.fault_domain,
        "hako.dev/fault-domain": node.fault_domain,
        NODE_LABEL: node.id.unique(),
        POOL_LABEL: pool.id.unique(),
    });
    let all = labels.as_object_mut().expect("made as an object above");
    all.extend(pool_labels(pool));
    json!({
        "metadata": {
            "name": node.node_name,
            "labels": labels,
            "annotations": {
                NODE_ANNOTATION: node.id.as_str(),
                POOL_ANNOTATION: pool.id.as_str(),
                TEMPLATE_ANNOTATION: template(pool),
                VERSION_ANNOTATION: pool.kubernetes_version,
                KEY_ANNOTATION: key.to_string(),
            },
        },
        "spec": {
            "providerID": provider_id(node),
            "taints": pool.spec.taints.iter().map(taint).collect::<Vec<_>>(),
        },
    })
}

/// What `spec.providerID` of a node's Node is.
pub(crate) fn provider_id(node: &VirtualNode) -> String {
    format!("hako://{}", node.id)
}

/// Whether a Node reports another version than its pool's.
pub(crate) fn behind(pool: &Pool, node: &Value) -> bool {
    let reported = node.pointer("/status/nodeInfo/kubeletVersion").and_then(Value::as_str);
    reported.is_some_and(|version| version != pool.kubernetes_version)
}

/// The merge patch that gives an existing Node the pool's labels, taints and version and the key's generation, and
/// takes back labels and taints it gave before; `None` if it has them. Others' labels and taints stay.
pub(crate) fn retemplate(pool: &Pool, key: u32, current: &Value) -> Option<Value> {
    let wanted = template(pool);
    let annotation =
        |name: &str| current.pointer("/metadata/annotations").and_then(|all| all.get(name)).and_then(Value::as_str);
    let before = annotation(TEMPLATE_ANNOTATION).unwrap_or("{}");
    let key = key.to_string();
    let told = (annotation(VERSION_ANNOTATION), annotation(KEY_ANNOTATION));
    if before == wanted && told == (Some(&pool.kubernetes_version), Some(&key)) {
        return None;
    }
    let before: Value = serde_json::from_str(before).unwrap_or_default();
    let gone = before["labels"].as_object().cloned().unwrap_or_default();
    let mut labels: Map<String, Value> = gone.into_iter().map(|(key, _)| (key, Value::Null)).collect();
    labels.extend(pool_labels(pool));
    let old: Vec<&Value> = before["taints"].as_array().into_iter().flatten().collect();
    let new: Vec<Value> = pool.spec.taints.iter().map(taint).collect();
    let same = |a: &Value, b: &Value| a["key"] == b["key"] && a["effect"] == b["effect"];
    let present = current.pointer("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut taints: Vec<Value> = present
        .into_iter()
        .filter(|taint| !old.iter().any(|other| same(other, taint)) && !new.iter().any(|other| same(other, taint)))
        .collect();
    taints.extend(new);
    Some(json!({
        "metadata": {
            "resourceVersion": current["metadata"]["resourceVersion"],
            "labels": labels,
            "annotations": {
                TEMPLATE_ANNOTATION: wanted, VERSION_ANNOTATION: pool.kubernetes_version, KEY_ANNOTATION: key,
            },
        },
        "spec": {"taints": taints},
    }))
}

fn pool_labels(pool: &Pool) -> Map<String, Value> {
    let labels = &pool.spec.initial_virtual_node_labels;
    labels.iter().map(|label| (label.key.clone(), Value::from(label.value.clone()))).collect()
}

fn template(pool: &Pool) -> String {
    let taints: Vec<Value> = pool.spec.taints.iter().map(taint).collect();
    json!({"labels": pool_labels(pool), "taints": taints}).to_string()
}

fn taint(taint: &Taint) -> Value {
    match taint.value.as_deref().unwrap_or_default() {
        "" => json!({"key": taint.key, "effect": taint.effect}),
        value => json!({"key": taint.key, "value": value, "effect": taint.effect}),
    }
}

/// Whether a Node was made for a pool of other labels, taints, shape or version: what cycling replaces.
pub(crate) fn is_outdated(pool: &Pool, current: &Value) -> bool {
    let template_of = current.pointer("/metadata/annotations").and_then(|all| all[TEMPLATE_ANNOTATION].as_str());
    let shape_of = current.pointer("/metadata/labels").and_then(|all| all[SHAPE_LABEL].as_str());
    let version_of = current.pointer("/metadata/annotations").and_then(|all| all[VERSION_ANNOTATION].as_str());
    template_of != Some(&template(pool))
        || shape_of != Some(shape(pool))
        || version_of.is_some_and(|version| version != pool.kubernetes_version)
}

/// Name of the shape of a pool's pods.
pub(crate) fn shape(pool: &Pool) -> &str {
    pool.spec.pod_configuration.shape.as_deref().unwrap_or(catalog::DEFAULT_SHAPE)
}

/// Whether a Node is Ready, and if not, why.
pub(crate) fn readiness(node: &Value) -> Result<(), String> {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let Some(ready) = conditions.into_iter().find(|condition| condition["type"] == "Ready") else {
        return Err("its virtual-kubelet has not reported yet".into());
    };
    if ready["status"] == "True" {
        return Ok(());
    }
    let text = |name: &str| ready[name].as_str().unwrap_or_default();
    Err(format!("it is not ready: {} {}", text("reason"), text("message")).trim_end().to_owned())
}

/// The address that a Node reports.
pub(crate) fn internal_ip(node: &Value) -> Option<String> {
    let addresses = node.pointer("/status/addresses")?.as_array()?;
    let internal = addresses.iter().find(|address| address["type"] == "InternalIP")?;
    internal["address"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_node_pool::{LifecycleState, wire::Label, wire::Spec};

    fn pool(labels: &[(&str, &str)], taints: &[(&str, &str)]) -> Pool {
        let label = |(key, value): &(&str, &str)| Label { key: (*key).into(), value: (*value).into() };
        let taint = |(key, effect): &(&str, &str)| Taint { key: (*key).into(), value: None, effect: (*effect).into() };
        let tenant = domain::TenantId::generate();
        Pool {
            id: "ocid1.virtualnodepool.hako.local-1.poola".parse().unwrap(),
            compartment_id: domain::CompartmentId::root(&tenant),
            tenancy_id: tenant,
            cluster_id: domain::ClusterId::generate(),
            display_name: "My Pool!".into(),
            kubernetes_version: "v1.36.0".into(),
            size: 1,
            state: LifecycleState::Creating,
            details: None,
            spec: Spec {
                initial_virtual_node_labels: labels.iter().map(label).collect(),
                taints: taints.iter().map(taint).collect(),
                ..Spec::default()
            },
            version: 1,
            work_request_id: None,
            created_ms: 0,
            updated_ms: None,
            state_ms: 0,
        }
    }

    fn node(pool: &Pool) -> VirtualNode {
        let id: VirtualNodeId = "ocid1.virtualnode.hako.local-1.abcdefghij".parse().unwrap();
        VirtualNode {
            node_name: name(&pool.display_name, &id),
            id,
            pool_id: pool.id.clone(),
            cluster_id: pool.cluster_id.clone(),
            availability_domain: "AD-1".into(),
            fault_domain: "FAULT-DOMAIN-1".into(),
            subnet_id: "s".into(),
            state: LifecycleState::Creating,
            details: None,
            private_ip: None,
            drain_ms: None,
            forced: true,
            shrinks: false,
            work_request_id: None,
            created_ms: 0,
            state_ms: 0,
        }
    }

    #[test]
    fn what_cycling_replaces_is_another_template_or_shape() {
        let before = pool(&[("a", "1")], &[]);
        let mut current = object((&before, 1), &node(&before), "local-1");
        assert!(!is_outdated(&before, &current));
        assert!(is_outdated(&pool(&[("a", "2")], &[]), &current));
        assert!(is_outdated(&pool(&[("a", "1")], &[("t", "NoSchedule")]), &current));
        let mut other = before.clone();
        other.spec.pod_configuration.shape = Some("Pod.Standard3.Flex".into());
        assert!(is_outdated(&other, &current));
        let newer = Pool { kubernetes_version: "v1.99.0".into(), ..before.clone() };
        assert!(is_outdated(&newer, &current));
        // What users put on it is theirs.
        current["metadata"]["labels"]["mine"] = json!("x");
        assert!(!is_outdated(&before, &current));
    }

    #[test]
    fn a_node_has_what_schedulers_and_people_look_for() {
        let pool = pool(&[("team", "a")], &[]);
        let object = object((&pool, 1), &node(&pool), "local-1");
        assert_eq!(object["metadata"]["name"], "my-pool-abcdefgh");
        assert_eq!(object["metadata"]["labels"]["team"], "a");
        assert_eq!(object["metadata"]["labels"]["hako.dev/virtual-node"], "abcdefghij");
        assert_eq!(object["spec"]["providerID"], "hako://ocid1.virtualnode.hako.local-1.abcdefghij");
        let labels = json!({POOL_LABEL: pool.id.unique()});
        let meta = Meta { labels: serde_json::from_value(labels).unwrap(), ..Meta::default() };
        assert_eq!(pool_of(&meta), Some(pool.id));
    }

    #[test]
    fn a_change_takes_back_what_the_pool_gave_and_nothing_else() {
        let before = pool(&[("a", "1"), ("b", "1")], &[("t", "NoSchedule")]);
        let mut current = object((&before, 1), &node(&before), "local-1");
        assert_eq!(retemplate(&before, 1, &current), None);
        current["spec"]["taints"].as_array_mut().unwrap().push(json!({"key": "users", "effect": "NoExecute"}));
        let after = pool(&[("b", "2")], &[("u", "NoSchedule")]);
        let patch = retemplate(&after, 1, &current).unwrap();
        assert_eq!(patch["metadata"]["labels"], json!({"a": null, "b": "2"}));
        let keys: Vec<_> = patch["spec"]["taints"].as_array().unwrap().iter().map(|t| t["key"].clone()).collect();
        assert_eq!(keys, ["users", "u"]);
    }

    #[test]
    fn an_upgrade_reaches_the_node_and_is_done_when_its_kubelet_says_so() {
        let mut pool = pool(&[("a", "1")], &[]);
        let mut current = object((&pool, 1), &node(&pool), "local-1");
        pool.kubernetes_version = "v1.37.0".into();
        let patch = retemplate(&pool, 2, &current).unwrap();
        assert_eq!(patch["metadata"]["annotations"][VERSION_ANNOTATION], "v1.37.0");
        assert_eq!(patch["metadata"]["annotations"][KEY_ANNOTATION], "2");
        assert!(!behind(&pool, &current), "nothing is reported yet");
        current["status"] = json!({"nodeInfo": {"kubeletVersion": "v1.36.0"}});
        assert!(behind(&pool, &current));
        current["status"] = json!({"nodeInfo": {"kubeletVersion": "v1.37.0"}});
        assert!(!behind(&pool, &current));
    }

    #[test]
    fn readiness_says_why_not() {
        assert!(readiness(&json!({})).unwrap_err().contains("not reported"));
        let status = |s: &str| json!({"status": {"conditions": [{"type": "Ready", "status": s, "reason": "R", "message": "m"}]}});
        assert_eq!(readiness(&status("True")), Ok(()));
        assert_eq!(readiness(&status("Unknown")), Err("it is not ready: R m".into()));
    }
}
