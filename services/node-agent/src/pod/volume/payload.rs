//! The files of a configMap, secret, projected or downwardAPI volume. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Volume, VolumeProjection};

use crate::placement::Desired;
use crate::pod::downward::{self, Facts};

/// Source: default of `defaultMode`, Kubernetes Volume v1 reference.
const DEFAULT_MODE: i32 = 0o644;

/// One file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its content.
    pub data: Bytes,
    /// Its permission bits.
    pub mode: u32,
}

/// Files by their path below the volume's root.
pub(super) type Files = BTreeMap<String, File>;

/// What a volume holds.
///
/// # Errors
/// If an object or key it needs does not exist; the text is for the pod's owner.
pub fn payload(desired: &Desired, volume: &Volume, facts: &Facts) -> Result<Files, String> {
    let inputs = &desired.inputs;
    if let Some(source) = &volume.config_map {
        let wish = Wish { kind: "configmap", name: &source.name, optional: source.optional == Some(true) };
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        return wish.files(inputs.config_maps.get(&source.name), source.items.as_deref(), mode);
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let wish = Wish { kind: "secret", name, optional: source.optional == Some(true) };
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        return wish.files(inputs.secrets.get(name), source.items.as_deref(), mode);
    }
    if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        return downward_files(desired, source.items.as_deref().unwrap_or_default(), mode, facts);
    }
    let mut files = Files::new();
    if let Some(source) = &volume.projected {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        for projection in source.sources.iter().flatten() {
            files.extend(projected(desired, &volume.name, projection, mode, facts)?);
        }
    }
    Ok(files)
}

fn projected(
    desired: &Desired,
    volume: &str,
    projection: &VolumeProjection,
    mode: i32,
    facts: &Facts,
) -> Result<Files, String> {
    let inputs = &desired.inputs;
    if let Some(source) = &projection.config_map {
        let wish = Wish { kind: "configmap", name: &source.name, optional: source.optional == Some(true) };
        return wish.files(inputs.config_maps.get(&source.name), source.items.as_deref(), mode);
    }
    if let Some(source) = &projection.secret {
        let wish = Wish { kind: "secret", name: &source.name, optional: source.optional == Some(true) };
        return wish.files(inputs.secrets.get(&source.name), source.items.as_deref(), mode);
    }
    if let Some(source) = &projection.downward_api {
        return downward_files(desired, source.items.as_deref().unwrap_or_default(), mode, facts);
    }
    if let Some(source) = &projection.service_account_token {
        let key = format!("{volume}/{}", source.path);
        let token = inputs.tokens.get(&key).ok_or("failed to fetch token: not issued yet")?;
        let file = File { data: token.clone(), mode: bits(mode) };
        return Ok(Files::from([(checked(&source.path)?, file)]));
    }
    Err("only configMap, secret, downwardAPI and serviceAccountToken can be projected here".to_owned())
}

struct Wish<'a> {
    kind: &'a str,
    name: &'a str,
    optional: bool,
}

impl Wish<'_> {
    fn files(
        &self,
        data: Option<&BTreeMap<String, Bytes>>,
        items: Option<&[KeyToPath]>,
        mode: i32,
    ) -> Result<Files, String> {
        let Some(data) = data else {
            return if self.optional {
                Ok(Files::new())
            } else {
                Err(format!("{} {:?} not found", self.kind, self.name))
            };
        };
        let Some(items) = items.filter(|i| !i.is_empty()) else {
            let all = data.iter().map(|(key, value)| Ok((checked(key)?, file(value, mode))));
            return all.collect();
        };
        let mut files = Files::new();
        for item in items {
            match data.get(&item.key) {
                Some(value) => _ = files.insert(checked(&item.path)?, file(value, item.mode.unwrap_or(mode))),
                None if self.optional => {}
                None => {
                    let what = if self.kind == "secret" { "secret" } else { "config" };
                    return Err(format!("{} references non-existent {what} key: {}", self.kind, item.key));
                }
            }
        }
        Ok(files)
    }
}

fn downward_files(
    desired: &Desired,
    items: &[DownwardAPIVolumeFile],
    mode: i32,
    facts: &Facts,
) -> Result<Files, String> {
    let mut files = Files::new();
    for item in items {
        let value = if let Some(field) = &item.field_ref {
            downward::field(desired, &field.field_path, facts)?
        } else if let Some(resource) = &item.resource_field_ref {
            downward::resource(desired, None, resource)?
        } else {
            continue;
        };
        let file = File { data: value.into(), mode: bits(item.mode.unwrap_or(mode)) };
        files.insert(checked(&item.path)?, file);
    }
    Ok(files)
}

fn file(value: &Bytes, mode: i32) -> File {
    File { data: value.clone(), mode: bits(mode) }
}

fn bits(mode: i32) -> u32 {
    u32::try_from(mode).unwrap_or(0) & 0o777
}

/// A path that stays inside the volume. The API server checks the same; a host does not rely on it.
fn checked(path: &str) -> Result<String, String> {
    let parts = || path.split('/');
    let fine = !path.is_empty()
        && path.len() <= 4096
        && parts().all(|p| !p.is_empty() && p != "." && p != ".." && p.len() <= 255 && !p.contains('\0'))
        && !parts().next().is_some_and(|p| p.starts_with(".."));
    if fine { Ok(path.to_owned()) } else { Err(format!("invalid path {path:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::fixture::{desired, facts};
    use serde_json::{Value, json};

    #[track_caller]
    fn check(volume: Value, expected: Result<&[(&str, &str, u32)], &str>) {
        let desired = desired(json!({"containers": [], "volumes": [volume]}));
        let volume = &desired.spec().volumes.as_ref().unwrap()[0];
        let got = payload(&desired, volume, &facts()).map(|files| {
            let text = |f: &File| String::from_utf8(f.data.to_vec()).unwrap();
            files.iter().map(|(p, f)| (p.clone(), text(f), f.mode)).collect::<Vec<_>>()
        });
        let expected = expected
            .map(|all| all.iter().map(|(p, t, m)| ((*p).to_owned(), (*t).to_owned(), *m)).collect())
            .map_err(str::to_owned);
        assert_eq!(got, expected);
    }

    #[test]
    fn files_come_from_the_named_objects() {
        check(json!({"name": "v", "configMap": {"name": "conf"}}), Ok(&[("key", "value", 0o644)]));
        check(
            json!({"name": "v", "configMap": {"name": "conf", "defaultMode": 256, "items": [{"key": "key", "path": "a/b"}]}}),
            Ok(&[("a/b", "value", 0o400)]),
        );
        check(
            json!({"name": "v", "secret": {"secretName": "cred", "items": [{"key": "pw", "path": "p", "mode": 288}]}}),
            Ok(&[("p", "hush", 0o440)]),
        );
        check(
            json!({"name": "v", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
            Ok(&[("l", "app=\"web\"", 0o644)]),
        );
        check(
            json!({"name": "tok", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "conf"}},
                {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]}}),
            Ok(&[("key", "value", 0o644), ("ns", "default", 0o644), ("token", "jwt", 0o644)]),
        );
    }

    #[test]
    fn what_is_missing_is_said_unless_optional() {
        check(json!({"name": "v", "configMap": {"name": "no"}}), Err("configmap \"no\" not found"));
        check(json!({"name": "v", "configMap": {"name": "no", "optional": true}}), Ok(&[]));
        check(
            json!({"name": "v", "secret": {"secretName": "cred", "items": [{"key": "no", "path": "p"}]}}),
            Err("secret references non-existent secret key: no"),
        );
        check(
            json!({"name": "v", "configMap": {"name": "conf", "items": [{"key": "key", "path": "../x"}]}}),
            Err("invalid path \"../x\""),
        );
    }
}
