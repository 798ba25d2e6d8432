//! What a pod's environment and volumes read: which ConfigMaps, Secrets and tokens. Pure; fetching is elsewhere.

use super::admit::containers;
use serde_json::Value;
use std::collections::BTreeSet;

/// One object that a pod reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    ConfigMap(String),
    Secret(String),
    PullSecret(String),
    /// A service-account token for a projected volume: `<volume>/<path>`, audience, seconds.
    Token {
        name: String,
        audience: String,
        seconds: u64,
    },
}

fn name_of(source: &Value, field: &str) -> Option<String> {
    source[field].as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Everything that a pod reads.
pub(crate) fn wanted(pod: &Value) -> BTreeSet<Wanted> {
    let spec = &pod["spec"];
    let mut all = BTreeSet::new();
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        all.extend(name_of(&volume["configMap"], "name").map(Wanted::ConfigMap));
        all.extend(name_of(&volume["secret"], "secretName").map(Wanted::Secret));
        for source in volume["projected"]["sources"].as_array().into_iter().flatten() {
            all.extend(name_of(&source["configMap"], "name").map(Wanted::ConfigMap));
            all.extend(name_of(&source["secret"], "name").map(Wanted::Secret));
            all.extend(token(volume, &source["serviceAccountToken"]));
        }
    }
    for container in containers(pod) {
        for source in container["envFrom"].as_array().into_iter().flatten() {
            all.extend(name_of(&source["configMapRef"], "name").map(Wanted::ConfigMap));
            all.extend(name_of(&source["secretRef"], "name").map(Wanted::Secret));
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let from = &variable["valueFrom"];
            all.extend(name_of(&from["configMapKeyRef"], "name").map(Wanted::ConfigMap));
            all.extend(name_of(&from["secretKeyRef"], "name").map(Wanted::Secret));
        }
    }
    let pulls = spec["imagePullSecrets"].as_array().into_iter().flatten();
    all.extend(pulls.filter_map(|secret| name_of(secret, "name")).map(Wanted::PullSecret));
    all
}

fn token(volume: &Value, source: &Value) -> Option<Wanted> {
    let path = source["path"].as_str()?;
    let volume = volume["name"].as_str()?;
    // Source: default of `expirationSeconds`, Kubernetes ServiceAccountTokenProjection v1.
    let seconds = source["expirationSeconds"].as_u64().unwrap_or(3600);
    let audience = source["audience"].as_str().unwrap_or_default().to_owned();
    Some(Wanted::Token { name: format!("{volume}/{path}"), audience, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_that_is_read_is_found_once() {
        let pod = json!({"spec": {
            "volumes": [
                {"name": "c", "configMap": {"name": "cm"}},
                {"name": "s", "secret": {"secretName": "se"}},
                {"name": "p", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                    {"configMap": {"name": "kube-root-ca.crt"}},
                ]}},
            ],
            "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "se"}}]}],
            "containers": [{"name": "c", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}]}],
        }});
        let token = Wanted::Token { name: "p/token".into(), audience: String::new(), seconds: 3607 };
        let expect = BTreeSet::from([
            Wanted::ConfigMap("cm".into()),
            Wanted::ConfigMap("kube-root-ca.crt".into()),
            Wanted::Secret("se".into()),
            Wanted::PullSecret("pull".into()),
            token,
        ]);
        assert_eq!(wanted(&pod), expect);
    }
}
