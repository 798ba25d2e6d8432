//! From a container instance to what its host runs: a Kubernetes pod, and what that pod reads. Pure.
//!
//! Invariant: environments, config files and passwords are inputs of secret kinds: a host keeps those in memory only.

use super::{
    Container, Instance,
    check::{file_path, plain},
    wire::*,
    words::*,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use proto::fleet::{Input, Placement, PodSize, PutRequest, input::Kind};
use serde_json::{Map, Value, json};

/// Namespace of all such pods: they are of no cluster.
const NAMESPACE: &str = "container-instances";
/// Annotation of the agent's that holds health checks.
const CHECKS: &str = "hako.dev/health-checks";
/// Start of the names of inputs with environments.
const ENVIRONMENT: &str = "env-";
/// Name of the input with the registries' passwords.
const PULL_SECRET: &str = "registries";
/// Everything that a container may be given. Source: `ContainerCapabilityType` without `ALL`.
const ALL_CAPABILITIES: usize = 14;

/// The wish that an instance's pod run as `uid`.
pub(super) fn request(instance: &Instance, containers: &[Container], uid: &str) -> PutRequest {
    // By its first name: hosts keep files under it, whatever it is called later.
    let name = name(instance.spec.display_name.as_deref().unwrap_or_default());
    let ocpu_milli = instance.size.ocpus * 1000;
    let placement = Placement {
        uid: uid.to_owned(),
        generation: u64::try_from(instance.generation).unwrap_or(0),
        tenant_id: instance.tenancy_id.to_string(),
        compartment_id: instance.compartment_id.to_string(),
        cluster_id: instance.id.to_string(),
        namespace: NAMESPACE.into(),
        pod: pod(instance, containers, uid, &name).to_string().into_bytes().into(),
        name,
        inputs: inputs(&instance.spec, containers),
        size: Some(PodSize { ocpu_milli, memory_bytes: instance.size.memory_gb * super::shape::GB }),
        shape: instance.spec.shape.clone(),
        ..Placement::default()
    };
    PutRequest {
        placement: Some(placement),
        availability_domain: instance.spec.availability_domain.clone(),
        fault_domain: instance.spec.fault_domain.clone().unwrap_or_default(),
        replaceable: true,
        spread_group: String::new(),
    }
}

/// A name that hosts can use for files and as a host name.
fn name(display_name: &str) -> String {
    let plain = display_name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let cut: String = plain.trim_matches('-').chars().take(63).collect();
    let cut = cut.trim_end_matches('-');
    if cut.is_empty() { "container-instance".to_owned() } else { cut.to_owned() }
}

/// A container's name in its pod.
pub(super) fn container_name(container: &Container) -> &str {
    container.id.unique()
}

fn pod(instance: &Instance, containers: &[Container], uid: &str, name: &str) -> Value {
    let spec = &instance.spec;
    let each = || containers.iter().filter_map(|row| Some((row, spec.containers.get(row.number)?)));
    let checks: Vec<Value> = each().flat_map(|(row, container)| checks(container_name(row), container)).collect();
    let mut pod_spec = json!({
        "containers": each().map(|(row, container)| self::container(row, container)).collect::<Vec<_>>(),
        "volumes": spec.volumes().iter().map(volume).collect::<Vec<_>>(),
        "restartPolicy": match spec.restart_policy() {
            RestartPolicy::Always => "Always",
            RestartPolicy::Never => "Never",
            RestartPolicy::OnFailure => "OnFailure",
        },
        "terminationGracePeriodSeconds": spec.grace_seconds(),
        "hostname": spec.vnics.first().and_then(|vnic| vnic.hostname_label.clone()).unwrap_or_else(|| name.to_owned()),
        "dnsPolicy": "Default",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
    });
    if let Some(config) = &spec.dns_config {
        // Without servers of its own it asks the host's, with its own searches and options.
        let own = config.nameservers.as_ref().is_some_and(|servers| !servers.is_empty());
        pod_spec["dnsPolicy"] = if own { "None" } else { "Default" }.into();
        pod_spec["dnsConfig"] = dns(config);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "uid": uid,
            "annotations": {CHECKS: Value::from(checks).to_string()},
        },
        "spec": pod_spec,
    })
}

fn dns(config: &DnsConfig) -> Value {
    let option = |text: &String| match text.split_once(':') {
        Some((name, value)) => json!({"name": name, "value": value}),
        None => json!({"name": text}),
    };
    json!({
        "nameservers": config.nameservers.clone().unwrap_or_default(),
        "searches": config.searches.clone().unwrap_or_default(),
        "options": config.options.iter().flatten().map(option).collect::<Vec<_>>(),
    })
}

fn container(row: &Container, container: &CreateContainerDetails) -> Value {
    let name = container_name(row);
    let texts = |texts: &Option<Vec<String>>| texts.iter().flatten().map(|text| literal(text)).collect::<Vec<_>>();
    let mut value = json!({
        "name": name,
        "image": container.image_url,
        "command": texts(&container.command),
        "args": texts(&container.arguments),
        "envFrom": [{"secretRef": {"name": format!("{ENVIRONMENT}{name}")}}],
        "volumeMounts": container.volume_mounts.iter().flatten().map(mount).collect::<Vec<_>>(),
        "resources": {"limits": container.resource_config.as_ref().map(limits).unwrap_or_default()},
    });
    if let Some(directory) = &container.working_directory {
        value["workingDir"] = json!(directory);
    }
    if let Some(context) = &container.security_context {
        value["securityContext"] = security(context);
    }
    value
}

/// A text as it is: nothing in it is a reference to a variable.
/// Source: Kubernetes' expansion of `command` and `args`, in which `$$` is a dollar sign.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn mount(mount: &VolumeMount) -> Value {
    json!({
        "name": mount.volume_name,
        "mountPath": mount.mount_path,
        "subPath": mount.sub_path.clone().unwrap_or_default(),
        "readOnly": mount.is_read_only.unwrap_or(false),
    })
}

fn limits(limits: &ResourceConfig) -> Map<String, Value> {
    let mut all = Map::new();
    if let Some(cpus) = limits.vcpus_limit {
        all.insert("cpu".into(), json!(format!("{}m", (cpus * 1000.0).round() as u64)));
    }
    if let Some(memory) = limits.memory_limit_in_gbs {
        all.insert("memory".into(), json!(((memory * super::shape::GB as f64).round() as u64).to_string()));
    }
    all
}

fn security(context: &SecurityContext) -> Value {
    let bare = |all: &Option<Vec<Capability>>| -> Vec<&str> {
        let words = all.iter().flatten().map(|capability| capability.as_str());
        words.map(|word| word.trim_start_matches("CAP_")).collect()
    };
    let mut value = json!({
        "runAsNonRoot": context.is_non_root_user_check_enabled.unwrap_or(false),
        "readOnlyRootFilesystem": context.is_root_file_system_readonly.unwrap_or(false),
    });
    for (field, id) in [("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group)] {
        if let Some(id) = id {
            value[field] = json!(id);
        }
    }
    if let Some(capabilities) = &context.capabilities {
        let mut add = bare(&capabilities.add_capabilities);
        if add.contains(&"ALL") {
            // All that OCI lists, not all that the kernel has.
            add = Capability::WORDS[..ALL_CAPABILITIES].iter().map(|word| word.trim_start_matches("CAP_")).collect();
        }
        value["capabilities"] = json!({"add": add, "drop": bare(&capabilities.drop_capabilities)});
    }
    value
}

fn volume(volume: &Volume) -> Value {
    match volume.volume_type {
        VolumeType::EmptyDir => {
            let memory = volume.backing_store == Some(BackingStore::Memory);
            json!({"name": volume.name, "emptyDir": {"medium": if memory { "Memory" } else { "" }}})
        }
        VolumeType::ConfigFile => {
            let files = volume.configs.iter().flatten().enumerate();
            let items: Vec<Value> =
                files.map(|(number, file)| json!({"key": key(number), "path": file_path(file)})).collect();
            json!({"name": volume.name, "secret": {"secretName": volume.name, "items": items}})
        }
    }
}

/// Key of a volume's file in its input: names of files need not be keys.
fn key(number: usize) -> String {
    format!("file-{number}")
}

fn checks(name: &str, container: &CreateContainerDetails) -> Vec<Value> {
    let check = |(number, check): (usize, &HealthCheck)| {
        let mut probe = json!({
            "initialDelaySeconds": check.initial_delay_in_seconds.unwrap_or(0),
            // Sources: defaults of Kubernetes' probes.
            "periodSeconds": check.interval_in_seconds.unwrap_or(10),
            "timeoutSeconds": check.timeout_in_seconds.unwrap_or(1),
            "failureThreshold": check.failure_threshold.unwrap_or(3),
            "successThreshold": check.success_threshold.unwrap_or(1),
        });
        match check.health_check_type {
            HealthCheckType::Tcp => probe["tcpSocket"] = json!({"port": check.port}),
            HealthCheckType::Http => {
                let headers = check.headers.iter().flatten();
                let headers: Vec<Value> = headers.map(|h| json!({"name": h.name, "value": h.value})).collect();
                probe["httpGet"] = json!({"path": check.path, "port": check.port, "httpHeaders": headers});
            }
        }
        let kill = check.failure_action.unwrap_or(FailureAction::Kill) == FailureAction::Kill;
        json!({"container": name, "number": number, "kill": kill, "probe": probe})
    };
    container.health_checks.iter().flatten().enumerate().map(check).collect()
}

fn inputs(spec: &CreateInstanceDetails, containers: &[Container]) -> Vec<Input> {
    let environments = containers.iter().filter_map(|row| {
        let variables = spec.containers.get(row.number)?.environment_variables.iter().flatten();
        let data = variables.map(|(name, value)| (name.clone(), value.clone().into_bytes().into())).collect();
        let name = format!("{ENVIRONMENT}{}", container_name(row));
        Some(Input { kind: Kind::Secret.into(), name, data, ..Input::default() })
    });
    let configs = spec.volumes().iter().filter(|volume| volume.volume_type == VolumeType::ConfigFile).map(|volume| {
        let files = volume.configs.iter().flatten().enumerate();
        let data =
            files.map(|(number, file)| (key(number), STANDARD.decode(&file.data).unwrap_or_default().into())).collect();
        Input { kind: Kind::Secret.into(), name: volume.name.clone(), data, ..Input::default() }
    });
    environments.chain(configs).chain(pull_secret(spec.image_pull_secrets.as_deref().unwrap_or_default())).collect()
}

fn pull_secret(secrets: &[ImagePullSecret]) -> Option<Input> {
    let registries = secrets.iter().filter_map(|secret| {
        let (username, password) = (plain(secret.username.as_deref()?)?, plain(secret.password.as_deref()?)?);
        Some((secret.registry_endpoint.clone(), json!({"username": username, "password": password})))
    });
    let auths: Map<String, Value> = registries.collect();
    let config = json!({"auths": auths}).to_string().into_bytes();
    let data = [(".dockerconfigjson".to_owned(), config.into())].into();
    let input = Input { kind: Kind::PullSecret.into(), name: PULL_SECRET.into(), data, ..Input::default() };
    (!secrets.is_empty()).then_some(input)
}

#[cfg(test)]
mod tests {
    use super::super::tests::planned;
    use super::*;

    fn made(body: Value) -> (Value, Placement) {
        let (instance, containers) = planned(body).unwrap();
        let placement = request(&instance, &containers, "u-1").placement.unwrap();
        (serde_json::from_slice(&placement.pod).unwrap(), placement)
    }

    #[test]
    fn an_instance_becomes_a_pod_of_its_size() {
        let (pod, placement) = made(json!({"displayName": "My Web!", "containerRestartPolicy": "ON_FAILURE"}));
        assert_eq!(placement.name, "my-web");
        assert_eq!(placement.size.unwrap(), PodSize { ocpu_milli: 2000, memory_bytes: 4 << 30 });
        assert_eq!((&pod["spec"]["restartPolicy"], &pod["spec"]["hostname"]), (&json!("OnFailure"), &json!("my-web")));
        assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 30);
    }

    #[test]
    fn a_new_display_name_changes_nothing_for_the_host() {
        let (mut instance, containers) = planned(json!({"displayName": "first"})).unwrap();
        instance.display_name = "second".into();
        assert_eq!(request(&instance, &containers, "u-1").placement.unwrap().name, "first");
    }

    #[test]
    fn texts_reach_the_container_as_they_are_and_secrets_only_as_secret_inputs() {
        let (pod, placement) = made(json!({
            "containers": [{
                "imageUrl": "a:1", "command": ["sh"], "arguments": ["-c", "echo $(HOME) $$"],
                "environmentVariables": {"TOKEN": "hush $(A)"}, "workingDirectory": "/srv",
            }],
            "imagePullSecrets": [
                {"secretType": "BASIC", "registryEndpoint": "r.io", "username": "dQ==", "password": "cHc="}],
        }));
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["args"], json!(["-c", "echo $$(HOME) $$$$"]));
        assert_eq!(container["workingDir"], "/srv");
        assert!(!pod.to_string().contains("hush"));
        assert!(placement.inputs.iter().all(|input| input.kind() != Kind::ConfigMap));
        let environment = &placement.inputs[0];
        assert_eq!(container["envFrom"][0]["secretRef"]["name"], json!(environment.name));
        assert_eq!(environment.data["TOKEN"], "hush $(A)".as_bytes());
        let registries = &placement.inputs[1].data[".dockerconfigjson"];
        let registries: Value = serde_json::from_slice(registries).unwrap();
        assert_eq!(registries, json!({"auths": {"r.io": {"username": "u", "password": "pw"}}}));
    }

    #[test]
    fn volumes_are_shared_and_files_lie_where_they_should() {
        let (pod, placement) = made(json!({
            "volumes": [
                {"name": "work", "volumeType": "EMPTYDIR"},
                {"name": "fast", "volumeType": "EMPTYDIR", "backingStore": "MEMORY"},
                {"name": "conf", "volumeType": "CONFIGFILE",
                 "configs": [{"fileName": "a b.txt", "data": "aGk=", "path": "x/"}]},
            ],
            "containers": [{"imageUrl": "a:1", "volumeMounts": [{"volumeName": "conf", "mountPath": "/etc/app"}]}],
        }));
        let volumes = &pod["spec"]["volumes"];
        assert_eq!(volumes[0]["emptyDir"]["medium"], "");
        assert_eq!(volumes[1]["emptyDir"]["medium"], "Memory");
        assert_eq!(volumes[2]["secret"]["items"], json!([{"key": "file-0", "path": "x/a b.txt"}]));
        let files = placement.inputs.iter().find(|input| input.name == "conf").unwrap();
        assert_eq!(files.data["file-0"], "hi".as_bytes());
        assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], "/etc/app");
    }

    #[test]
    fn limits_checks_and_capabilities_are_said_in_kubernetes_words() {
        let (pod, _) = made(json!({"containers": [{
            "imageUrl": "a:1",
            "resourceConfig": {"vcpusLimit": 1.5, "memoryLimitInGBs": 0.5},
            "healthChecks": [
                {"healthCheckType": "HTTP", "path": "/h", "port": 80, "intervalInSeconds": 2},
                {"healthCheckType": "TCP", "port": 81, "failureAction": "NONE"}],
            "securityContext": {"securityContextType": "LINUX", "runAsUser": 7,
                "capabilities": {"addCapabilities": ["ALL"], "dropCapabilities": ["CAP_NET_RAW"]}},
        }]}));
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["resources"]["limits"], json!({"cpu": "1500m", "memory": "536870912"}));
        let context = &container["securityContext"];
        assert_eq!((&context["runAsUser"], &context["capabilities"]["drop"]), (&json!(7), &json!(["NET_RAW"])));
        let added = context["capabilities"]["add"].as_array().unwrap();
        assert!(added.len() == 14 && added.contains(&json!("AUDIT_WRITE")) && !added.contains(&json!("ALL")));
        let checks: Value = serde_json::from_str(pod["metadata"]["annotations"][CHECKS].as_str().unwrap()).unwrap();
        assert_eq!((&checks[0]["kill"], &checks[1]["kill"]), (&json!(true), &json!(false)));
        assert_eq!(checks[0]["probe"]["httpGet"], json!({"path": "/h", "port": 80, "httpHeaders": []}));
        assert_eq!((&checks[0]["probe"]["periodSeconds"], &checks[1]["number"]), (&json!(2), &json!(1)));
    }

    #[test]
    fn own_name_servers_replace_the_hosts() {
        let (pod, _) = made(json!({"dnsConfig": {"nameservers": ["9.9.9.9"], "options": ["ndots:2", "edns0"]}}));
        assert_eq!(pod["spec"]["dnsPolicy"], "None");
        assert_eq!(pod["spec"]["dnsConfig"]["options"], json!([{"name": "ndots", "value": "2"}, {"name": "edns0"}]));
        let (pod, _) = made(json!({"dnsConfig": {"searches": ["corp"]}}));
        assert_eq!(pod["spec"]["dnsPolicy"], "Default");
    }
}
