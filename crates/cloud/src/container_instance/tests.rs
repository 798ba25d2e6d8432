//! The rules of creation and update.

use super::*;
use serde_json::{Value, json};

/// An instance from the parts of a body that matter to a test.
pub(crate) fn planned(parts: Value) -> Result<(Instance, Vec<Container>), String> {
    let tenant = TenantId::generate();
    let mut body = json!({
        "compartmentId": tenant, "availabilityDomain": "local-1-AD-1", "shape": "CI.Standard.E4.Flex",
        "shapeConfig": {"ocpus": 2, "memoryInGBs": 4},
        "containers": [{"imageUrl": "docker.io/library/busybox:1"}],
        "vnics": [{"subnetId": "ocid1.subnet.hako.local-1.abc"}],
    });
    body.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
    let details = rest::body(body.to_string().as_bytes()).map_err(|error| error.for_caller().message)?;
    let root = CompartmentId::root(&tenant);
    let subnet =
        Subnet { id: "ocid1.subnet.hako.local-1.abc".into(), network_id: "vcn".into(), range: "10.0.0.0/24".into() };
    plan(details, (&tenant, root), subnet, &Config::default(), 1000).map_err(|error| error.for_caller().message)
}

#[track_caller]
fn refused(parts: Value, expect: &str) {
    let message = planned(parts).err().expect("it should have been refused");
    assert!(message.contains(expect), "{message}");
}

#[track_caller]
fn container_refused(more: Value, expect: &str) {
    let mut container = json!({"imageUrl": "a:1"});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let volumes = json!([{"name": "v", "volumeType": "EMPTYDIR"}]);
    refused(json!({"containers": [container], "volumes": volumes}), expect);
}

#[test]
fn names_are_made_up_where_none_are_given() {
    let (instance, containers) = planned(json!({})).unwrap();
    assert!(instance.display_name.starts_with("containerinstance-"));
    assert!(containers[0].display_name.starts_with("container-"));
    assert_eq!((instance.state, instance.wish), (InstanceState::Creating, Wish::Run));
}

#[test]
fn bad_instances_are_named() {
    refused(json!({"containers": []}), "containers must have 1 to 60 items");
    refused(json!({"containers": vec![json!({"imageUrl": "a"}); 61]}), "not 61");
    refused(json!({"vnics": []}), "vnics must have exactly one");
    refused(json!({"vnics": [{"subnetId": "x"}]}), "subnetId must be an OCID");
    let vnic = |more: Value| {
        let mut vnic = json!({"subnetId": "ocid1.subnet.hako.local-1.abc"});
        vnic.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"vnics": [vnic]})
    };
    refused(vnic(json!({"privateIp": "10.0.0"})), "privateIp");
    refused(vnic(json!({"isPublicIpAssigned": true})), "isPublicIpAssigned");
    refused(vnic(json!({"hostnameLabel": "a_b"})), "hostnameLabel");
    refused(json!({"availabilityDomain": "mars"}), "availabilityDomain \"mars\"");
    refused(json!({"faultDomain": "FAULT-DOMAIN-9"}), "faultDomain");
    refused(json!({"shape": "VM.Standard"}), "CI.Standard.E4.Flex");
    refused(json!({"gracefulShutdownTimeoutInSeconds": 301}), "from 0 to 300");
    refused(json!({"containerRestartPolicy": "SOMETIMES"}), "SOMETIMES");
    refused(json!({"dnsConfig": {"nameservers": ["one"]}}), "nameservers");
    refused(json!({"dnsConfig": {"searches": ["a b"]}}), "resolv.conf");
    refused(json!({"colour": 1}), "unknown field `colour`");
}

#[test]
fn bad_containers_are_named() {
    container_refused(json!({"imageUrl": ""}), "containers[0].imageUrl");
    container_refused(json!({"arguments": ["x".repeat(65_000), "y".repeat(600)]}), "arguments has 65600 bytes");
    container_refused(json!({"command": ["x".repeat(65_537)]}), "command has 65537 bytes");
    container_refused(
        json!({"environmentVariables": {"A": "x".repeat(65_536)}}),
        "environmentVariables has 65537 bytes",
    );
    container_refused(json!({"environmentVariables": {"A=B": "c"}}), "no variable's name");
    container_refused(json!({"workingDirectory": "srv"}), "absolute path");
    container_refused(json!({"volumeMounts": [{"volumeName": "w", "mountPath": "/w"}]}), "no volume \"w\"");
    container_refused(json!({"volumeMounts": [{"volumeName": "v", "mountPath": "/a/../b"}]}), "mountPath");
    container_refused(json!({"volumeMounts": [{"volumeName": "v", "mountPath": "/a", "subPath": "../b"}]}), "subPath");
    container_refused(json!({"volumeMounts": [{"volumeName": "v", "mountPath": "/a", "partition": 1}]}), "partition");
    container_refused(json!({"resourceConfig": {"vcpusLimit": 4.5}}), "0.01 to 4");
    container_refused(json!({"resourceConfig": {"memoryLimitInGBs": 5}}), "memoryLimitInGBs");
    let check = |more: Value| {
        let mut check = json!({"healthCheckType": "HTTP", "port": 80, "path": "/"});
        check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"healthChecks": [check]})
    };
    container_refused(check(json!({"path": "x"})), "healthChecks[0].path");
    container_refused(check(json!({"healthCheckType": "TCP"})), "a TCP check has no path");
    container_refused(check(json!({"intervalInSeconds": 0})), "intervalInSeconds");
    container_refused(check(json!({"port": 0})), "port");
    container_refused(check(json!({"headers": [{"name": "a b", "value": ""}]})), "no header's name");
    let context = |more: Value| {
        let mut context = json!({"securityContextType": "LINUX"});
        context.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"securityContext": context})
    };
    container_refused(context(json!({"runAsGroup": 5})), "runAsUser must be given");
    container_refused(context(json!({"runAsUser": 0, "isNonRootUserCheckEnabled": true})), "root");
    container_refused(context(json!({"capabilities": {"addCapabilities": ["CAP_SYS_ADMIN"]}})), "CAP_SYS_ADMIN");
}

#[test]
fn bad_volumes_and_secrets_are_named_without_what_is_in_them() {
    let volume = |more: Value| {
        let mut volume = json!({"name": "v", "volumeType": "CONFIGFILE"});
        volume.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"volumes": [volume]})
    };
    refused(volume(json!({"name": "../x"})), "name \"../x\"");
    refused(volume(json!({"backingStore": "MEMORY"})), "no backingStore");
    refused(volume(json!({"volumeType": "EMPTYDIR", "configs": []})), "no configs");
    refused(volume(json!({"configs": [{"fileName": "a/b", "data": ""}]})), "no file's name");
    refused(volume(json!({"configs": [{"fileName": "a", "data": "", "path": "../x"}]})), "relative path");
    refused(volume(json!({"configs": [{"fileName": "a", "data": "?"}]})), "must be base64");
    let file = json!({"fileName": "a", "data": "", "path": "./"});
    refused(volume(json!({"configs": [file, {"fileName": "a", "data": ""}]})), "is there twice");
    let secret = |username: &str, password: &str| {
        let (kind, registry) = ("BASIC", "r.io");
        json!({"imagePullSecrets": [{"secretType": kind, "registryEndpoint": registry, "username": username, "password": password}]})
    };
    let message = planned(secret("dQ==", "pass word!")).err().unwrap();
    assert!(message.contains("imagePullSecrets[0].password") && !message.contains("pass word"), "{message}");
    refused(
        json!({"imagePullSecrets": [{"secretType": "VAULT", "registryEndpoint": "r.io", "secretId": "x"}]}),
        "no vault",
    );
}

#[test]
fn an_update_changes_what_needs_no_restart_and_tells_hosts_only_of_that() {
    let files =
        |data: &str| json!([{"name": "c", "volumeType": "CONFIGFILE", "configs": [{"fileName": "a", "data": data}]}]);
    let (instance, _) = planned(json!({"volumes": files("YQ==")})).unwrap();
    let update = |body: Value| {
        let details = rest::body(body.to_string().as_bytes()).unwrap();
        apply(instance.clone(), details, 5000).map_err(|error| error.for_caller().message)
    };
    let named = update(json!({"displayName": "b"})).ok().unwrap();
    assert_eq!((named.display_name.as_str(), named.generation), ("b", 1000));
    assert_eq!(update(json!({"volumes": files("YQ==")})).ok().unwrap().generation, 1000);
    assert_eq!(update(json!({"volumes": files("Yg==")})).ok().unwrap().generation, 5000);
    assert_eq!(update(json!({"containerRestartPolicy": "NEVER"})).ok().unwrap().generation, 5000);
    let unknown = json!([{"name": "d", "volumeType": "CONFIGFILE"}]);
    assert!(update(json!({"volumes": unknown})).err().unwrap().contains("no CONFIGFILE volume \"d\""));
    assert!(update(json!({"volumes": [{"name": "c", "volumeType": "EMPTYDIR"}]})).is_err());
}
