use k8s_pb::{
    api::{apps::v1 as apps, authentication::v1 as authentication, core::v1 as core, policy::v1 as policy},
    apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions,
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1 as meta,
        runtime::{RawExtension, TypeMeta, Unknown},
        util::intstr::IntOrString,
    },
};
use prost::Message as _;
use serde_json::json;

use super::*;

fn wrap(api_version: &str, kind: &str, message: &impl prost::Message) -> Vec<u8> {
    let unknown = Unknown {
        type_meta: Some(TypeMeta { api_version: Some(api_version.to_owned()), kind: Some(kind.to_owned()) }),
        raw: Some(message.encode_to_vec()),
        content_encoding: Some(String::new()),
        content_type: Some(String::new()),
    };
    [PROTOBUF_MAGIC, &unknown.encode_to_vec()].concat()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn named(name: &str) -> Option<meta::ObjectMeta> {
    Some(meta::ObjectMeta { name: some(name), namespace: some(""), generation: Some(0), ..Default::default() })
}

#[track_caller]
fn check(api_version: &str, kind: &str, message: &impl prost::Message, mut expect: Value) {
    expect["apiVersion"] = json!(api_version);
    expect["kind"] = json!(kind);
    assert_eq!(from_protobuf(None, &wrap(api_version, kind, message)), Ok(expect));
}

fn port(kind: i64, number: i32, text: &str) -> Option<IntOrString> {
    Some(IntOrString { r#type: Some(kind), int_val: Some(number), str_val: some(text) })
}

fn container() -> core::Container {
    core::Container {
        name: some("c"),
        image: some("i"),
        working_dir: some(""),
        stdin: Some(false),
        tty: Some(true),
        command: vec!["sh".to_owned()],
        resources: Some(core::ResourceRequirements {
            limits: [("cpu".to_owned(), Quantity { string: some("0.5") })].into(),
            ..Default::default()
        }),
        liveness_probe: Some(core::Probe {
            handler: Some(core::ProbeHandler {
                http_get: Some(core::HttpGetAction { path: some("/"), port: port(0, 80, ""), ..Default::default() }),
                ..Default::default()
            }),
            timeout_seconds: Some(0),
            period_seconds: Some(7),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn a_pod_keeps_what_counts_and_leaves_out_what_go_does() {
    let mut metadata = named("p").unwrap();
    metadata.labels = [("a".to_owned(), String::new())].into();
    metadata.creation_timestamp = Some(meta::Time::default());
    metadata.deletion_timestamp = Some(meta::Time { seconds: Some(1), nanos: Some(0) });
    let pod = core::Pod {
        metadata: Some(metadata),
        spec: Some(core::PodSpec {
            containers: vec![container()],
            restart_policy: some(""),
            termination_grace_period_seconds: Some(0),
            host_network: Some(false),
            volumes: vec![core::Volume {
                name: some("v"),
                volume_source: Some(core::VolumeSource { empty_dir: Some(Default::default()), ..Default::default() }),
            }],
            ..Default::default()
        }),
        status: Some(core::PodStatus { pod_ip: some("10.0.0.1"), ..Default::default() }),
    };
    check(
        "v1",
        "Pod",
        &pod,
        json!({
        "metadata": {"name": "p", "labels": {"a": ""}, "deletionTimestamp": "1970-01-01T00:00:01Z"},
        "spec": {"containers": [{"name": "c", "image": "i", "tty": true, "command": ["sh"],
                "resources": {"limits": {"cpu": "500m"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 7}}],
            "terminationGracePeriodSeconds": 0, "volumes": [{"name": "v", "emptyDir": {}}]},
        "status": {"podIP": "10.0.0.1"}}),
    );
}

#[test]
fn pointers_to_zero_stay() {
    let deployment = apps::Deployment {
        metadata: named("d"),
        spec: Some(apps::DeploymentSpec {
            replicas: Some(0),
            strategy: Some(apps::DeploymentStrategy {
                r#type: some("RollingUpdate"),
                rolling_update: Some(apps::RollingUpdateDeployment {
                    max_unavailable: port(1, 0, "25%"),
                    max_surge: port(0, -1, ""),
                }),
            }),
            paused: Some(false),
            ..Default::default()
        }),
        status: None,
    };
    check(
        "apps/v1",
        "Deployment",
        &deployment,
        json!({"metadata": {"name": "d"}, "spec": {"replicas": 0,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": -1}}}}),
    );
}

#[test]
fn bytes_raw_json_and_wrapped_lists_are_read() {
    let secret = core::Secret {
        metadata: named("s"),
        data: [("k".to_owned(), b"hello".to_vec())].into(),
        r#type: some("Opaque"),
        ..Default::default()
    };
    check("v1", "Secret", &secret, json!({"metadata": {"name": "s"}, "data": {"k": "aGVsbG8="}, "type": "Opaque"}));
    let revision = apps::ControllerRevision {
        metadata: named("r"),
        data: Some(RawExtension { raw: Some(br#"{"a":[1]}"#.to_vec()) }),
        revision: Some(3),
    };
    check(
        "apps/v1",
        "ControllerRevision",
        &revision,
        json!({"metadata": {"name": "r"}, "data": {"a": [1]}, "revision": 3}),
    );
    let review = authentication::TokenReview {
        metadata: named(""),
        spec: Some(authentication::TokenReviewSpec { token: some("t"), audiences: vec![] }),
        status: Some(authentication::TokenReviewStatus {
            authenticated: Some(true),
            user: Some(authentication::UserInfo {
                username: some("u"),
                extra: [("x".to_owned(), authentication::ExtraValue { items: vec!["1".to_owned()] })].into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
    };
    check(
        "authentication.k8s.io/v1",
        "TokenReview",
        &review,
        json!({"metadata": {}, "spec": {"token": "t"},
        "status": {"authenticated": true, "user": {"username": "u", "extra": {"x": ["1"]}}}}),
    );
}

#[test]
fn schemas_of_custom_resources_are_read() {
    let schema = apiextensions::JsonSchemaProps {
        r#type: some("array"),
        items: Some(Box::new(apiextensions::JsonSchemaPropsOrArray {
            schema: Some(Box::new(apiextensions::JsonSchemaProps { r#type: some("string"), ..Default::default() })),
            j_son_schemas: vec![],
        })),
        additional_properties: Some(Box::new(apiextensions::JsonSchemaPropsOrBool {
            allows: Some(true),
            schema: None,
        })),
        default: Some(apiextensions::Json { raw: Some(b"[1]".to_vec()) }),
        x_kubernetes_preserve_unknown_fields: Some(true),
        ..Default::default()
    };
    let crd = apiextensions::CustomResourceDefinition {
        metadata: named("x"),
        spec: Some(apiextensions::CustomResourceDefinitionSpec {
            group: some("g"),
            versions: vec![apiextensions::CustomResourceDefinitionVersion {
                name: some("v1"),
                served: Some(true),
                storage: Some(false),
                schema: Some(apiextensions::CustomResourceValidation { open_apiv3_schema: Some(schema) }),
                ..Default::default()
            }],
            ..Default::default()
        }),
        status: None,
    };
    check(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        &crd,
        json!({"metadata": {"name": "x"},
        "spec": {"group": "g", "versions": [{"name": "v1", "served": true, "storage": false, "schema": {"openAPIV3Schema":
            {"type": "array", "items": {"type": "string"}, "additionalProperties": true, "default": [1],
             "x-kubernetes-preserve-unknown-fields": true}}}]}}),
    );
}

#[test]
fn options_and_subresources_are_read() {
    let options = meta::DeleteOptions {
        grace_period_seconds: Some(0),
        propagation_policy: some("Background"),
        preconditions: Some(meta::Preconditions { uid: some("u"), resource_version: None }),
        ..Default::default()
    };
    check(
        "apps/v1",
        "DeleteOptions",
        &options,
        json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background", "preconditions": {"uid": "u"}}),
    );
    check(
        "policy/v1",
        "Eviction",
        &policy::Eviction { metadata: named("p"), delete_options: Some(Default::default()) },
        json!({"metadata": {"name": "p"}, "deleteOptions": {}}),
    );
    let binding = core::Binding {
        metadata: named("p"),
        target: Some(core::ObjectReference { kind: some("Node"), name: some("n"), ..Default::default() }),
    };
    check("v1", "Binding", &binding, json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}));
}

#[test]
fn broken_bodies_are_refused() {
    let body = wrap("v1", "Pod", &core::Pod { metadata: named("p"), ..Default::default() });
    for end in 0..body.len() {
        let _no_panic = from_protobuf(None, &body[..end]);
    }
    assert_eq!(from_protobuf(None, b"{}"), Err(DecodeError::Magic));
    assert!(matches!(
        from_protobuf(None, &wrap("v9", "Pod", &core::Pod::default())),
        Err(DecodeError::UnknownKind { .. })
    ));
    let number = Unknown { raw: Some(vec![0x08, 0x01]), ..Default::default() };
    let body = [PROTOBUF_MAGIC, &number.encode_to_vec()].concat();
    assert_eq!(
        from_protobuf(crate::by_kind("", "v1", "Pod"), &body),
        Err(DecodeError::WireType("metadata".to_owned()))
    );
}

#[test]
fn the_hint_serves_where_the_envelope_is_silent() {
    let pod = core::Pod { metadata: named("p"), ..Default::default() };
    let value = from_protobuf(crate::by_kind("", "v1", "Pod"), &wrap("", "", &pod)).unwrap();
    assert_eq!(value, json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}));
}
