//! The downward API: a pod's own fields and sizes, as text. Pure.

use std::collections::BTreeMap;

use domain::Quantity;
use k8s_openapi::api::core::v1::{Container, ResourceFieldSelector};

use crate::placement::Desired;

/// What the host knows about a pod beyond its spec.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The pod's address; empty before it has one.
    pub pod_ip: String,
}

/// The value of `fieldRef.fieldPath`.
///
/// # Errors
/// If there is no such field; the text is for the pod's owner.
pub fn field(desired: &Desired, path: &str, facts: &Facts) -> Result<String, String> {
    let placement = &desired.placement;
    let meta = &desired.pod.metadata;
    let value = match path {
        "metadata.name" => placement.name.clone(),
        "metadata.namespace" => placement.namespace.clone(),
        "metadata.uid" => placement.uid.clone(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => placement.node_name.clone(),
        "spec.serviceAccountName" => {
            desired.spec().service_account_name.clone().unwrap_or_else(|| "default".to_owned())
        }
        "status.podIP" | "status.podIPs" => facts.pod_ip.clone(),
        "status.hostIP" | "status.hostIPs" => placement.node_address.clone(),
        _ => return subscript(desired, path),
    };
    Ok(value)
}

fn subscript(desired: &Desired, path: &str) -> Result<String, String> {
    let meta = &desired.pod.metadata;
    let (map, key) = if let Some(key) = path.strip_prefix("metadata.labels['") {
        (&meta.labels, key)
    } else if let Some(key) = path.strip_prefix("metadata.annotations['") {
        (&meta.annotations, key)
    } else {
        return Err(format!("unsupported fieldPath: {path}"));
    };
    let key = key.strip_suffix("']").ok_or_else(|| format!("unsupported fieldPath: {path}"))?;
    Ok(map.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default())
}

/// `key="value"` per line, as the kubelet's FormatMap.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(k, v)| format!("{k}={v:?}")).collect();
    lines.join("\n")
}

/// The value of `resourceFieldRef`, for `own` or for the container that it names.
///
/// # Errors
/// If the container or resource does not exist; the text is for the pod's owner.
pub fn resource(
    desired: &Desired,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|n| !n.is_empty());
    let container = match named {
        Some(name) => desired.container(name).ok_or_else(|| format!("container {name} not found"))?,
        None => own.ok_or("resourceFieldRef without containerName")?,
    };
    let (list, resource) = selector
        .resource
        .split_once('.')
        .ok_or_else(|| format!("unsupported container resource : {}", selector.resource))?;
    let amount = container_amount(desired, container, list, resource)
        .ok_or_else(|| format!("unsupported container resource : {}", selector.resource))?;
    let divisor = selector.divisor.as_ref().map(|q| q.0.as_str()).filter(|q| !q.is_empty() && *q != "0");
    let divisor = Quantity::parse(divisor.unwrap_or("1")).map_err(|e| e.to_string())?.milli().max(1);
    Ok(amount.div_ceil(u128::from(divisor)).to_string())
}

/// Thousandths of what the container asks for; without a limit, what its pod is sized for.
fn container_amount(desired: &Desired, container: &Container, list: &str, resource: &str) -> Option<u128> {
    if !matches!(resource, "cpu" | "memory" | "ephemeral-storage") || !matches!(list, "limits" | "requests") {
        return None;
    }
    let resources = container.resources.as_ref();
    let limit = resources.and_then(|r| r.limits.as_ref()).and_then(|l| l.get(resource));
    let request = resources.and_then(|r| r.requests.as_ref()).and_then(|l| l.get(resource));
    let set = if list == "limits" { limit } else { request.or(limit) };
    if let Some(quantity) = set {
        return Quantity::parse(&quantity.0).ok().map(|q| u128::from(q.milli()));
    }
    if list == "requests" {
        return Some(0);
    }
    let size = desired.placement.size.unwrap_or_default();
    Some(match resource {
        "cpu" => u128::from(size.ocpu_milli) * 2,
        "memory" => u128::from(size.memory_bytes) * 1000,
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::fixture::{desired, facts};
    use serde_json::json;

    #[track_caller]
    fn check(path: &str, expected: Result<&str, &str>) {
        let desired = desired(json!({"containers": []}));
        assert_eq!(field(&desired, path, &facts()), expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn fields_are_those_of_the_pod() {
        check("metadata.name", Ok("web-1"));
        check("metadata.labels", Ok("app=\"web\""));
        check("metadata.labels['app']", Ok("web"));
        check("metadata.labels['no']", Ok(""));
        check("spec.nodeName", Ok("node-1"));
        check("status.hostIP", Ok("10.0.0.1"));
        check("spec.containers", Err("unsupported fieldPath: spec.containers"));
    }

    #[test]
    fn sizes_are_divided_and_rounded_up() {
        let desired =
            desired(json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}}}]}));
        let ask = |resource: &str, divisor: Option<&str>| {
            let selector = ResourceFieldSelector {
                container_name: Some("c".into()),
                resource: resource.into(),
                divisor: divisor.map(|d| k8s_openapi::apimachinery::pkg::api::resource::Quantity(d.into())),
            };
            resource_of(&desired, &selector)
        };
        assert_eq!(ask("limits.cpu", None).as_deref(), Ok("2"));
        assert_eq!(ask("limits.cpu", Some("1m")).as_deref(), Ok("1500"));
        assert_eq!(ask("limits.memory", Some("1Mi")).as_deref(), Ok("1024"));
        assert_eq!(ask("requests.memory", None).as_deref(), Ok("1073741824"));
        assert!(ask("limits.gpu", None).is_err());
    }

    fn resource_of(desired: &Desired, selector: &ResourceFieldSelector) -> Result<String, String> {
        resource(desired, None, selector)
    }
}
