//! Pods that a virtual node refuses, as a kubelet refuses what its node can't do: they would reach the host, or need what is
//! not there.

use serde_json::Value;

/// Kinds of volume that are served.
const VOLUMES: &[&str] = &["emptyDir", "configMap", "secret", "projected", "downwardAPI"];

/// All containers of a pod, init and ephemeral ones included.
pub(crate) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().filter_map(|list| pod["spec"][list].as_array()).flatten()
}

/// Why a pod can't run on a virtual node; `None` if it can.
pub(crate) fn refusal(pod: &Value) -> Option<String> {
    let spec = &pod["spec"];
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[field] == true {
            return Some(format!("spec.{field} is not possible on virtual nodes: there is no host to share"));
        }
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let name = volume["name"].as_str().unwrap_or_default();
        let kind = volume.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).find(|key| *key != "name");
        if let Some(kind) = kind.filter(|kind| !VOLUMES.contains(kind)) {
            return Some(format!(
                "volume {name:?}: {kind} is not possible on virtual nodes; use one of {}",
                VOLUMES.join(", ")
            ));
        }
    }
    containers(pod).find_map(container_refusal)
}

fn container_refusal(container: &Value) -> Option<String> {
    let name = container["name"].as_str().unwrap_or_default();
    if container.pointer("/securityContext/privileged") == Some(&Value::Bool(true)) {
        return Some(format!("container {name:?}: privileged is not possible on virtual nodes"));
    }
    let ports = container["ports"].as_array().into_iter().flatten();
    let host_port = ports.filter_map(|port| port["hostPort"].as_u64()).find(|port| *port != 0);
    if let Some(port) = host_port {
        return Some(format!("container {name:?}: hostPort {port} is not possible on virtual nodes; use a Service"));
    }
    let devices = container["volumeDevices"].as_array().is_some_and(|devices| !devices.is_empty());
    devices.then(|| format!("container {name:?}: volumeDevices are not possible on virtual nodes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_reaches_the_host_is_refused() {
        let refused = |spec: Value| refusal(&json!({"spec": spec})).is_some();
        assert!(refused(json!({"hostNetwork": true})));
        assert!(refused(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]})));
        assert!(refused(json!({"containers": [{"name": "c", "securityContext": {"privileged": true}}]})));
        assert!(refused(json!({"containers": [{"name": "c", "ports": [{"hostPort": 80}]}]})));
        assert!(!refused(json!({
            "hostNetwork": false,
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [{"name": "c", "ports": [{"containerPort": 80}]}],
        })));
    }
}
