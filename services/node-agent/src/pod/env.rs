//! A container's environment, command and arguments, as the kubelet would make them. Pure.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use k8s_openapi::api::core::v1::{Container, EnvVarSource};

use crate::placement::{Desired, Inputs};
use crate::pod::downward::{self, Facts};

/// Why a container cannot be configured; the message of `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// What a container is started with.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Environment, in order.
    pub env: Vec<(String, String)>,
    /// Replaces the image's entry point unless empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments unless empty.
    pub args: Vec<String>,
}

/// Works out the environment, command and arguments of `container`.
///
/// # Errors
/// If an object or key it needs does not exist.
pub fn process(desired: &Desired, container: &Container, facts: &Facts) -> Result<Process, ConfigError> {
    let env = environment(desired, container, facts)?;
    let values: HashMap<&str, &str> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expand_all = |texts: &Option<Vec<String>>| {
        let texts = texts.iter().flatten();
        texts.map(|t| expand(t, |name| values.get(name).map(|v| (*v).to_owned()))).collect()
    };
    let (command, args) = (expand_all(&container.command), expand_all(&container.args));
    Ok(Process { env, command, args })
}

fn environment(desired: &Desired, container: &Container, facts: &Facts) -> Result<Vec<(String, String)>, ConfigError> {
    let service = &desired.placement.service_env;
    let mut set: BTreeMap<String, String> = env_from(desired, container)?;
    let mut known: HashMap<String, String> = set.clone().into_iter().collect();
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(text), _) if !text.is_empty() => {
                Some(expand(text, |name| known.get(name).or_else(|| service.get(name)).cloned()))
            }
            (_, Some(source)) => from_source(desired, container, source, facts)?,
            _ => Some(String::new()),
        };
        if let Some(value) = value {
            known.insert(variable.name.clone(), value.clone());
            set.insert(variable.name.clone(), value);
        }
    }
    for (name, value) in service {
        set.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(set.into_iter().collect())
}

fn env_from(desired: &Desired, container: &Container) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut set = BTreeMap::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or("");
        let (kind, objects, name, optional) = if let Some(r) = &source.config_map_ref {
            ("configmap", &desired.inputs.config_texts, &r.name, r.optional)
        } else if let Some(r) = &source.secret_ref {
            ("secret", &desired.inputs.secrets, &r.name, r.optional)
        } else {
            continue;
        };
        match objects.get(name) {
            Some(data) => {
                let named = data.iter().filter(|(key, _)| !key.is_empty() && !key.contains('='));
                set.extend(named.map(|(key, value)| (format!("{prefix}{key}"), text(value))));
            }
            None if optional == Some(true) => {}
            None => return Err(ConfigError(format!("{kind} {name:?} not found"))),
        }
    }
    Ok(set)
}

fn from_source(
    desired: &Desired,
    container: &Container,
    source: &EnvVarSource,
    facts: &Facts,
) -> Result<Option<String>, ConfigError> {
    if let Some(field) = &source.field_ref {
        return downward::field(desired, &field.field_path, facts).map(Some).map_err(ConfigError);
    }
    if let Some(resource) = &source.resource_field_ref {
        return downward::resource(desired, Some(container), resource).map(Some).map_err(ConfigError);
    }
    let Inputs { config_texts, secrets, .. } = &desired.inputs;
    let (kind, objects, name, key, optional) = if let Some(r) = &source.config_map_key_ref {
        ("ConfigMap", config_texts, &r.name, &r.key, r.optional)
    } else if let Some(r) = &source.secret_key_ref {
        ("Secret", secrets, &r.name, &r.key, r.optional)
    } else {
        return Ok(Some(String::new()));
    };
    match objects.get(name).map(|data| data.get(key)) {
        Some(Some(value)) => Ok(Some(text(value))),
        _ if optional == Some(true) => Ok(None),
        Some(None) => {
            let namespace = &desired.placement.namespace;
            Err(ConfigError(format!("couldn't find key {key} in {kind} {namespace}/{name}")))
        }
        None => Err(ConfigError(format!("{} {name:?} not found", kind.to_lowercase()))),
    }
}

fn text(value: &Bytes) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Replaces `$(NAME)` by its value; unknown names stay as written, `$$` is a dollar.
/// Source: Kubernetes' `third_party/forked/golang/expansion`.
pub fn expand(input: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            match value(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::fixture::{desired, facts};
    use serde_json::json;

    #[track_caller]
    fn check_expand(input: &str, expected: &str) {
        assert_eq!(expand(input, |n| (n == "A").then(|| "1".to_owned())), expected);
    }

    #[test]
    fn references_expand_as_upstream() {
        check_expand("x$(A)y", "x1y");
        check_expand("$$(A)", "$(A)");
        check_expand("$(B)", "$(B)");
        check_expand("$(A", "$(A");
        check_expand("$A $", "$A $");
        check_expand("$$$(A)", "$1");
    }

    #[track_caller]
    fn check(container: serde_json::Value, expected: Result<&[(&str, &str)], &str>) {
        let desired = desired(json!({"containers": [container]}));
        let got = process(&desired, &desired.spec().containers[0], &facts());
        let got = got.map(|p| p.env).map_err(|e| e.0);
        let expected = expected
            .map(|all| all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
            .map_err(str::to_owned);
        assert_eq!(got, expected);
    }

    #[test]
    fn environment_is_made_from_all_sources() {
        check(
            json!({"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(SVC)-$(NO)"}]}),
            Ok(&[("A", "1"), ("B", "1-svc-$(NO)"), ("SVC", "svc")]),
        );
        check(
            json!({"name": "c", "envFrom": [{"prefix": "P_", "configMapRef": {"name": "conf"}}]}),
            Ok(&[("P_key", "value"), ("SVC", "svc")]),
        );
        check(
            json!({"name": "c", "env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "cred", "key": "pw"}}}]}),
            Ok(&[("S", "hush"), ("SVC", "svc")]),
        );
        check(
            json!({"name": "c", "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}),
            Ok(&[("IP", "10.244.0.9"), ("SVC", "svc")]),
        );
    }

    #[test]
    fn missing_objects_and_keys_are_config_errors_unless_optional() {
        check(
            json!({"name": "c", "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "no"}}}]}),
            Err("couldn't find key no in ConfigMap default/conf"),
        );
        check(
            json!({"name": "c", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "no", "key": "no"}}}]}),
            Err("secret \"no\" not found"),
        );
        check(json!({"name": "c", "envFrom": [{"configMapRef": {"name": "no"}}]}), Err("configmap \"no\" not found"));
        check(
            json!({"name": "c", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "no", "key": "no", "optional": true}}}]}),
            Ok(&[("SVC", "svc")]),
        );
    }

    #[test]
    fn binary_data_is_for_files_only() {
        let input = proto::fleet::Input {
            kind: proto::fleet::input::Kind::ConfigMap as i32,
            name: "mixed".into(),
            data: BTreeMap::from([
                ("b".to_owned(), Bytes::from_static(b"\0")),
                ("t".to_owned(), Bytes::from_static(b"x")),
            ]),
            binary_keys: vec!["b".into()],
            ..Default::default()
        };
        let mut desired =
            desired(json!({"containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "mixed"}}]}]}));
        desired.inputs = Inputs::new(&[input]);
        assert_eq!(desired.inputs.config_maps["mixed"].len(), 2);
        let env = process(&desired, &desired.spec().containers[0], &facts()).unwrap().env;
        assert_eq!(env, [("SVC".to_owned(), "svc".to_owned()), ("t".to_owned(), "x".to_owned())]);
    }

    #[test]
    fn arguments_see_the_whole_environment() {
        let desired = desired(json!({"containers": [{"name": "c", "command": ["sh", "$(A)"], "args": ["$(SVC)"],
            "env": [{"name": "A", "value": "1"}]}]}));
        let process = process(&desired, &desired.spec().containers[0], &facts()).unwrap();
        assert_eq!((process.command, process.args), (vec!["sh".into(), "1".into()], vec!["svc".into()]));
    }
}
