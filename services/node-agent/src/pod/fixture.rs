//! A pod for the tables of tests.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::fleet::input::Kind;
use proto::fleet::{Input, Placement, PodSize};
use serde_json::{Value, json};

use crate::placement::Desired;
use crate::pod::downward::Facts;

/// A pod `default/web-1` with this spec, one ConfigMap `conf` {key: value} and one Secret `cred` {pw: hush}.
pub(crate) fn desired(spec: Value) -> Desired {
    let pod = json!({"metadata": {"name": "web-1", "namespace": "default", "uid": "u-1", "labels": {"app": "web"}}, "spec": spec});
    let input = |kind: Kind, name: &str, key: &str, value: &'static str| Input {
        kind: kind as i32,
        name: name.to_owned(),
        data: BTreeMap::from([(key.to_owned(), Bytes::from_static(value.as_bytes()))]),
        ..Default::default()
    };
    let placement = Placement {
        uid: "u-1".into(),
        generation: 1,
        namespace: "default".into(),
        name: "web-1".into(),
        pod: serde_json::to_vec(&pod).unwrap().into(),
        inputs: vec![
            input(Kind::ConfigMap, "conf", "key", "value"),
            input(Kind::Secret, "cred", "pw", "hush"),
            input(Kind::Token, "tok/token", "token", "jwt"),
        ],
        size: Some(PodSize { ocpu_milli: 125, memory_bytes: 1 << 29 }),
        service_env: BTreeMap::from([("SVC".to_owned(), "svc".to_owned())]),
        node_name: "node-1".into(),
        node_address: "10.0.0.1".into(),
        ..Default::default()
    };
    Desired::parse(placement, 1_000).unwrap()
}

/// The pod's address.
pub(crate) fn facts() -> Facts {
    Facts { pod_ip: "10.244.0.9".into() }
}
