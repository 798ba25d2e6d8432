//! Pods: service account, priority, default tolerations.
//! Source: upstream's admission plugins ServiceAccount, Priority and DefaultTolerationSeconds.

use crate::meta;
use kube_store::{Key, Object, Txn};
use problem::kube::Status;
use serde_json::{Map, Value, json};

/// Where the credentials are mounted.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Prefix of the volume's name.
const TOKEN_VOLUME: &str = "kube-api-access-";
/// Lifetime of mounted tokens: an hour and a bit, so that they can be told from others.
const TOKEN_SECONDS: u32 = 3607;
/// How long a pod stays on a node that is gone.
const TOLERATION_SECONDS: u32 = 300;
/// Annotation by which the kubelet says that it runs the pod from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Completes a new pod.
///
/// # Errors
/// 403 if its service account or priority class does not exist.
pub(crate) fn admit(txn: &Txn<'_>, pod: &mut Value) -> Result<(), Status> {
    if !pod["spec"].is_object() {
        return Ok(());
    }
    service_account(txn, pod)?;
    priority(txn, pod)?;
    tolerations(pod);
    Ok(())
}

fn refuse(pod: &Value, why: &str) -> Status {
    Status::forbidden("pods", meta::given_name(pod), why)
}

fn service_account(txn: &Txn<'_>, pod: &mut Value) -> Result<(), Status> {
    if pod["metadata"]["annotations"].get(MIRROR).is_some() {
        return Ok(());
    }
    let namespace = meta::text(pod, "namespace").to_owned();
    let named = [&pod["spec"]["serviceAccountName"], &pod["spec"]["serviceAccount"]];
    let name = named.iter().find_map(|v| v.as_str().filter(|n| !n.is_empty())).unwrap_or("default").to_owned();
    let Some(account) = txn.get(&Key::new("serviceaccounts", &*namespace, &*name)) else {
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return Err(refuse(pod, &why));
    };
    let account = account.value();
    let automount = pod["spec"]["automountServiceAccountToken"]
        .as_bool()
        .or_else(|| account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    let spec = pod["spec"].as_object_mut().expect("checked before");
    spec.insert("serviceAccountName".into(), json!(name));
    spec.insert("serviceAccount".into(), json!(name));
    if spec.get("imagePullSecrets").and_then(Value::as_array).is_none_or(Vec::is_empty)
        && let Some(secrets) = account["imagePullSecrets"].as_array().filter(|list| !list.is_empty())
    {
        spec.insert("imagePullSecrets".into(), json!(secrets));
    }
    if automount {
        mount_token(spec);
    }
    Ok(())
}

fn mount_token(spec: &mut Map<String, Value>) {
    let volumes = spec.get("volumes").and_then(Value::as_array);
    let existing = volumes.into_iter().flatten().find_map(|volume| {
        let name = volume["name"].as_str()?;
        (name.starts_with(TOKEN_VOLUME) && volume["projected"].is_object()).then(|| name.to_owned())
    });
    let name = existing.clone().unwrap_or_else(|| format!("{TOKEN_VOLUME}{}", meta::suffix()));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            let Some(mounts) = mounts.as_array_mut() else { continue };
            if mounts.iter().all(|mount| mount["mountPath"] != TOKEN_PATH) {
                mounts.push(json!({"name": name, "readOnly": true, "mountPath": TOKEN_PATH}));
                mounted = true;
            }
        }
    }
    if mounted && existing.is_none() {
        let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
        if let Some(volumes) = volumes.as_array_mut() {
            volumes.push(token_volume(&name));
        }
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

fn priority(txn: &Txn<'_>, pod: &mut Value) -> Result<(), Status> {
    const CLASSES: &str = "priorityclasses.scheduling.k8s.io";
    let named = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let class = if named.is_empty() {
        let classes = txn.list(CLASSES, None);
        let classes = classes.iter().map(|class: &std::sync::Arc<Object>| class.value());
        classes.filter(|class| class["globalDefault"] == true).max_by_key(|class| class["value"].as_i64())
    } else {
        let Some(class) = txn.get(&Key::new(CLASSES, "", &*named)) else {
            return Err(refuse(pod, &format!("no PriorityClass with name {named} was found")));
        };
        Some(class.value())
    };
    let value = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or(0);
    if let Some(given) = pod["spec"]["priority"].as_i64().filter(|given| *given != value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(refuse(pod, &why));
    }
    let policy = class.as_ref().and_then(|class| class["preemptionPolicy"].as_str()).unwrap_or("PreemptLowerPriority");
    if let (Some(class), true) = (&class, named.is_empty()) {
        pod["spec"]["priorityClassName"] = class["metadata"]["name"].clone();
    }
    pod["spec"]["priority"] = json!(value);
    pod["spec"]["preemptionPolicy"] = json!(policy);
    Ok(())
}

fn tolerations(pod: &mut Value) {
    let spec = pod["spec"].as_object_mut().expect("checked before");
    let list = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covered = list.iter().any(|t| {
            let for_key = t["key"] == key || t["key"].as_str().is_none_or(str::is_empty);
            for_key && (t["effect"] == "NoExecute" || t["effect"].as_str().is_none_or(str::is_empty))
        });
        if !covered {
            list.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_mounted_once_in_every_container() {
        let mut pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [
            {"name": "own", "mountPath": TOKEN_PATH},
        ]}], "initContainers": [{"name": "i"}]}});
        let spec = pod["spec"].as_object_mut().unwrap();
        mount_token(spec);
        mount_token(spec);
        assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 1);
        let name = pod["spec"]["volumes"][0]["name"].clone();
        assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["name"], name);
        assert_eq!(pod["spec"]["initContainers"][0]["volumeMounts"].as_array().unwrap().len(), 1);
        assert_eq!(pod["spec"]["containers"][1]["volumeMounts"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn own_tolerations_are_kept() {
        let mut pod = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
        tolerations(&mut pod);
        assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 1);
        let mut pod = json!({"spec": {}});
        tolerations(&mut pod);
        assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 2);
    }
}
