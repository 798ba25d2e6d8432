use super::*;
use serde_json::{Value, json};

fn enhanced() -> cluster::Cluster {
    let tenant = TenantId::generate();
    let root = CompartmentId::root(&tenant);
    let body = json!({
        "name": "demo", "compartmentId": "x", "type": "ENHANCED_CLUSTER", "vcnId": "ocid1.vcn.hako.local-1.abc",
    });
    let details = serde_json::from_value(body).unwrap();
    let mut cluster = cluster::plan(details, &tenant, &domain::UserId::generate(), root, 0).unwrap();
    cluster.state = cluster::ClusterState::Active;
    cluster
}

fn planned(cluster: &cluster::Cluster, more: Value) -> Result<Pool, String> {
    let mut body = json!({"compartmentId": "x", "clusterId": "y", "displayName": "pool", "size": 3});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let details = serde_json::from_value(body).map_err(|error| error.to_string())?;
    let root = cluster.compartment_id.clone();
    plan(details, cluster, (root, "ocid1.subnet.hako.local-1.abc"), &Config::default(), 0)
        .map_err(|error| error.for_caller().message)
}

#[test]
fn what_is_left_out_has_defaults() {
    let pool = planned(&enhanced(), json!({})).unwrap();
    let placement = &pool.spec.placement_configurations[0];
    assert_eq!(placement.availability_domain.as_deref(), Some("local-1-AD-1"));
    assert_eq!(placement.fault_domain.as_ref().unwrap().len(), 3);
    assert_eq!(pool.spec.pod_configuration.shape.as_deref(), Some("Pod.Standard.E4.Flex"));
    assert_eq!(placement.subnet_id.as_deref(), Some("ocid1.subnet.hako.local-1.abc"));
}

#[test]
fn bad_requests_are_named() {
    for (more, expect) in [
        (json!({"size": -1}), "size must be"),
        (json!({"size": 2001}), "size must be"),
        (json!({"displayName": ""}), "displayName"),
        (json!({"podConfiguration": {"shape": "Big"}}), "not offered"),
        (json!({"placementConfigurations": [{"availabilityDomain": "moon"}]}), "availabilityDomain"),
        (json!({"placementConfigurations": [{"faultDomain": ["F9"]}]}), "faultDomain"),
        (json!({"initialVirtualNodeLabels": [{"key": "a b", "value": ""}]}), "label key"),
        (json!({"initialVirtualNodeLabels": [{"key": "a", "value": "-"}]}), "label value"),
        (json!({"initialVirtualNodeLabels": [{"key": "type", "value": "x"}]}), "set by the service"),
        (json!({"taints": [{"key": "a", "effect": "Never"}]}), "effect"),
        (json!({"nsgIds": ["x"]}), "nsgIds"),
        (json!({"sise": 3}), "unknown field"),
    ] {
        let message = planned(&enhanced(), more.clone()).unwrap_err();
        assert!(message.contains(expect), "{more}: {message}");
    }
}

#[test]
fn a_basic_cluster_is_told_the_remedy() {
    let mut cluster = enhanced();
    cluster.kind = cluster::ClusterType::Basic;
    let message = planned(&cluster, json!({})).unwrap_err();
    assert!(message.contains("ENHANCED_CLUSTER") && message.contains("hako cluster update"), "{message}");
}

#[test]
fn an_update_changes_what_it_names_only() {
    let cluster = enhanced();
    let pool = planned(&cluster, json!({"taints": [{"key": "a", "effect": "NoSchedule"}]})).unwrap();
    let details = serde_json::from_value(json!({"size": 5})).unwrap();
    let pool = apply(pool, details, &cluster, &Config::default()).unwrap();
    assert_eq!((pool.size, pool.spec.taints.len(), pool.display_name.as_str()), (5, 1, "pool"));
}

#[test]
fn a_pool_keeps_its_version_until_it_is_upgraded() {
    let mut cluster = enhanced();
    cluster.kubernetes_version = "v1.35.0".into();
    let pool = planned(&cluster, json!({})).unwrap();
    assert_eq!(pool.kubernetes_version, "v1.35.0");
    let to = |version: &str| serde_json::from_value(json!({"kubernetesVersion": version})).unwrap();
    let refused = apply(pool.clone(), to("v1.36.0"), &cluster, &Config::default()).unwrap_err();
    assert!(refused.to_string().contains("upgrade the cluster first"), "{refused}");
    cluster.kubernetes_version = "v1.36.0".into();
    assert_eq!(apply(pool, to("v1.36.0"), &cluster, &Config::default()).unwrap().kubernetes_version, "v1.36.0");
}
