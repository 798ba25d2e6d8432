//! What pods may ask of a node: configuration, volumes, probes, restarts, limits, and the way to their own API.

use e2e::{World, eventually};
use serde_json::Value;

fn apply(world: &World, yaml: &str) {
    let yaml = yaml.replace("$HAKO_REGISTRY", world.variable("HAKO_REGISTRY"));
    world.ok(&format!("kubectl apply -f - <<'END'\n{yaml}\nEND"));
}

fn phase(world: &World, pod: &str, wanted: &str) -> Value {
    eventually(60, &format!("{pod} is {wanted}"), || {
        let object = world.json(&format!("kubectl get pod {pod} -o json"));
        (object["status"]["phase"] == wanted).then_some(object)
    })
}

/// Reason why the first container of a pod waits.
fn waits(world: &World, pod: &str, reason: &str) {
    eventually(60, &format!("{pod} waits for {reason}"), || {
        let path = "{.status.containerStatuses[0].state.waiting.reason}";
        (world.ok(&format!("kubectl get pod {pod} -o jsonpath='{path}'")) == reason).then_some(())
    });
}

#[test]
fn pods_get_what_their_specs_say() {
    let mut world = World::up("workload");
    world.cluster("demo", 2);
    configuration(&world);
    own_api(&world);
    probes(&world);
    restarts(&world);
    failures(&world);
    limits(&world);
    network(&mut world);
}

const CONFIGURED: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue, file.txt: "first\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {password: s3cret}
---
apiVersion: v1
kind: Pod
metadata: {name: configured, labels: {app: configured}, annotations: {note: hello}}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: prepare
    image: $HAKO_REGISTRY/demo/busybox:1
    command: [sh, -c, "echo prepared > /work/init"]
    volumeMounts: [{name: work, mountPath: /work}]
  containers:
  - name: main
    image: $HAKO_REGISTRY/demo/busybox:1
    command: [sh, -c, "exec sleep 3600"]
    env:
    - {name: LITERAL, value: "a $(COLOR) b"}
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: EXPANDED, value: "is $(COLOR)"}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: password}}}
    - {name: OPTIONAL, valueFrom: {secretKeyRef: {name: none, key: none, optional: true}}}
    - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    envFrom: [{prefix: ALL_, configMapRef: {name: settings}}]
    resources: {limits: {cpu: 500m, memory: 64Mi}}
    volumeMounts:
    - {name: work, mountPath: /work}
    - {name: settings, mountPath: /settings}
    - {name: keys, mountPath: /keys, readOnly: true}
    - {name: mixed, mountPath: /mixed}
    - {name: memory, mountPath: /memory}
  volumes:
  - {name: work, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: settings, configMap: {name: settings}}
  - {name: keys, secret: {secretName: keys, defaultMode: 0400}}
  - name: mixed
    projected:
      sources:
      - configMap: {name: settings, items: [{key: color, path: a/color}]}
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, {path: note, fieldRef: {fieldPath: "metadata.annotations['note']"}}]}
"#;

fn configuration(world: &World) {
    apply(world, CONFIGURED);
    world.ok("kubectl wait --for=condition=Ready pod/configured --timeout=60s");
    let sh = |script: &str| world.ok(&format!("kubectl exec configured -- sh -c \"{script}\""));
    let variable = |name: &str| world.ok(&format!("kubectl exec configured -- sh -c 'echo \"${name}\"'"));
    assert_eq!(variable("LITERAL"), "a $(COLOR) b", "what is defined later is not expanded");
    assert_eq!(variable("EXPANDED"), "is blue");
    assert_eq!(variable("PASSWORD"), "s3cret");
    assert_eq!(variable("POD_NAME"), "configured");
    assert_eq!(variable("MEMORY"), "64");
    assert_eq!(variable("ALL_color"), "blue");
    assert_eq!(variable("POD_IP"), world.ok("kubectl get pod configured -o jsonpath='{.status.podIP}'"));
    assert_eq!(sh("cat /work/init /settings/file.txt /mixed/a/color /mixed/note"), "prepared\nfirst\nbluehello");
    assert_eq!(sh("cat /mixed/labels"), "app=\"configured\"");
    assert_eq!(sh("cat /keys/password; stat -L -c %a /keys/password; stat -f -c %T /keys"), "s3cret400\ntmpfs");
    assert_eq!(sh("stat -f -c %T /memory"), "tmpfs");
    // A change of the ConfigMap reaches the running pod.
    world.ok("kubectl patch configmap settings -p '{\"data\":{\"file.txt\":\"second\"}}'");
    eventually(120, "the file follows the ConfigMap", || (sh("cat /settings/file.txt") == "second").then_some(()));
    world.ok("kubectl delete pod configured --timeout=30s");
}

/// The pod's own token opens the pod's own API, under the name and with the CA that every pod has.
fn own_api(world: &World) {
    world.ok("kubectl run client --image=$HAKO_REGISTRY/demo/busybox:1 --command -- sleep 3600
         kubectl wait --for=condition=Ready pod/client --timeout=60s
         kubectl exec client -- ls /var/run/secrets/kubernetes.io/serviceaccount > $HOME/mounted");
    assert_eq!(world.ok("cat $HOME/mounted"), "ca.crt\nnamespace\ntoken");
    assert_eq!(
        world.ok("kubectl exec client -- sh -c 'echo $KUBERNETES_SERVICE_HOST; echo $KUBERNETES_SERVICE_PORT'"),
        "10.96.0.1\n443"
    );
    // Real kubectl in the pod finds its API, believes its CA and is who the pod's token says.
    world.ok("kubectl cp $(readlink -f $(command -v kubectl)) client:/bin/kubectl && kubectl exec client -- chmod +x /bin/kubectl");
    let who = world.ok("kubectl exec client -- kubectl auth whoami -o jsonpath='{.status.userInfo.username}'");
    assert_eq!(who, "system:serviceaccount:default:default");
    let refused = world.fails("kubectl exec client -- kubectl get secrets");
    assert!(refused.contains("cannot list resource \"secrets\""), "{refused}");
    world.ok("kubectl delete pod client --grace-period=1");
}

const PROBED: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: probed}
spec: {selector: {app: probed}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: probed, labels: {app: probed}}
spec:
  containers:
  - name: web
    image: $HAKO_REGISTRY/demo/web:1
    env: [{name: START_DELAY, value: "2"}]
    ports: [{containerPort: 80, name: http}]
    startupProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1, failureThreshold: 30}
    readinessProbe: {httpGet: {path: /readyz, port: 80}, periodSeconds: 1, failureThreshold: 1}
    livenessProbe: {httpGet: {path: /healthz, port: 80}, periodSeconds: 1, failureThreshold: 2}
"#;

fn probes(world: &World) {
    apply(world, PROBED);
    world.ok("kubectl wait --for=condition=Ready pod/probed --timeout=60s");
    let endpoints = |wanted: bool| {
        eventually(30, &format!("the endpoint is ready: {wanted}"), || {
            let path = "{.items[*].endpoints[*].conditions.ready}";
            let ready = world
                .ok(&format!("kubectl get endpointslices -l kubernetes.io/service-name=probed -o jsonpath='{path}'"));
            (ready == wanted.to_string()).then_some(())
        });
    };
    let ask = |path: &str| world.ok(&format!("kubectl exec probed -- wget -qO- http://127.0.0.1{path}"));
    endpoints(true);
    ask("/unready");
    endpoints(false);
    ask("/ready");
    endpoints(true);
    ask("/unhealthy");
    eventually(60, "the container is restarted", || {
        let count = world.ok("kubectl get pod probed -o jsonpath='{.status.containerStatuses[0].restartCount}'");
        (count == "1").then_some(())
    });
    world.ok("kubectl wait --for=condition=Ready pod/probed --timeout=60s");
    let events = world.ok("kubectl get events --field-selector involvedObject.name=probed");
    assert!(events.contains("Liveness probe failed: HTTP probe failed with statuscode: 503"), "{events}");
    world.ok("kubectl delete pod,service probed --grace-period=1");
}

fn restarts(world: &World) {
    let run = "kubectl run --image=$HAKO_REGISTRY/demo/busybox:1";
    world.ok(&format!("{run} done --restart=Never --command -- sh -c 'echo bye; exit 0'"));
    world.ok(&format!("{run} failed --restart=Never --command -- sh -c 'echo oops > /dev/termination-log; exit 3'"));
    world.ok(&format!("{run} crashing --command -- sh -c 'echo once; exit 4'"));
    assert_eq!(
        phase(world, "done", "Succeeded")["status"]["containerStatuses"][0]["state"]["terminated"]["reason"],
        "Completed"
    );
    assert_eq!(world.ok("kubectl logs done"), "bye");
    let failed = phase(world, "failed", "Failed");
    let ended = &failed["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"], &ended["message"]),
        (&3.into(), &"Error".into(), &"oops\n".into())
    );
    waits(world, "crashing", "CrashLoopBackOff");
    let crashing = world.json("kubectl get pod crashing -o json");
    let status = &crashing["status"]["containerStatuses"][0];
    assert!(status["restartCount"].as_u64() >= Some(1), "{status}");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 4);
    assert_eq!(world.ok("kubectl logs crashing --previous"), "once");
    world.ok("kubectl delete pod done failed crashing --grace-period=1");
}

fn failures(world: &World) {
    world.ok("kubectl run unknown --image=$HAKO_REGISTRY/demo/no-such-image:1");
    world.ok("kubectl run unreachable --image=127.0.0.1:9/a/b:1");
    world.ok("kubectl run never --image=$HAKO_REGISTRY/demo/never-pulled:1 --image-pull-policy=Never");
    world.ok("kubectl run malformed --image=UPPER/case:1");
    waits(world, "unknown", "ImagePullBackOff");
    waits(world, "unreachable", "ImagePullBackOff");
    waits(world, "never", "ErrImageNeverPull");
    waits(world, "malformed", "InvalidImageName");
    let events = world.ok("kubectl get events --field-selector involvedObject.name=unknown");
    assert!(events.contains("Failed to pull image") && events.contains("ErrImagePull"), "{events}");
    apply(
        world,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: waiting}\nspec:\n  containers:\n  - name: a\n    image: $HAKO_REGISTRY/demo/busybox:1\n    command: [sleep, '100']\n    envFrom: [{configMapRef: {name: later}}]",
    );
    waits(world, "waiting", "CreateContainerConfigError");
    world.ok("kubectl create configmap later --from-literal=a=b");
    world.ok("kubectl wait --for=condition=Ready pod/waiting --timeout=90s");
    // No image was ever there: nothing ran, nothing is charged.
    let charged = world.usage("demo").into_iter().filter(|pod| pod["name"] == "unknown" && pod["cost"] != "0");
    assert_eq!(charged.count(), 0);
    world.ok("kubectl delete pod unknown unreachable never malformed waiting --grace-period=1");
    let refused = world.fails("kubectl run escape --image=a:1 --overrides='{\"spec\":{\"hostNetwork\":true}}' && kubectl wait --for=condition=Ready pod/escape --timeout=5s");
    assert!(!refused.is_empty());
    let why = world.ok("kubectl get pod escape -o jsonpath='{.status.reason}{.status.message}'");
    assert!(why.contains("host"), "{why}");
}

fn limits(world: &World) {
    apply(
        world,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: greedy}\nspec:\n  containers:\n  - name: web\n    image: $HAKO_REGISTRY/demo/web:1\n    resources: {limits: {memory: 32Mi, cpu: 250m}}",
    );
    world.ok("kubectl wait --for=condition=Ready pod/greedy --timeout=60s");
    world.sh("kubectl exec greedy -- wget -qO- http://127.0.0.1/allocate/200");
    eventually(60, "the container ran out of memory", || {
        let path = "{.status.containerStatuses[0].lastState.terminated.reason}";
        (world.ok(&format!("kubectl get pod greedy -o jsonpath='{path}'")) == "OOMKilled").then_some(())
    });
    let usage = eventually(60, "it is metered by its limits", || {
        world.usage("demo").into_iter().find(|pod| pod["name"] == "greedy")
    });
    // 0.25 CPU is 0.125 OCPU; 32 MiB + 0.25 GB is below the least of 0.5 GB.
    assert_eq!((usage["ocpus"].as_str(), usage["memoryInGBs"].as_str()), (Some("0.125"), Some("0.5")), "{usage}");
    world.ok("kubectl delete pod greedy --grace-period=1");
}

/// Pods of one cluster meet on one host and across hosts; those of another tenant are out of reach, though they have
/// the same range, and so is the platform. (Clusters of one tenant may share a network: `instance.rs`.)
fn network(world: &mut World) {
    let make = |world: &World, replicas: u32| {
        world.ok(&format!("kubectl create deployment net --image=$HAKO_REGISTRY/demo/web:1 --replicas={replicas}"));
        world.ok("kubectl rollout status deployment/net --timeout=60s");
        let pods = world.json("kubectl get pods -l app=net -o json");
        let pods = pods["items"].as_array().unwrap().iter();
        pods.map(|pod| {
            let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
            (text("/metadata/name"), text("/status/podIP"))
        })
        .collect::<Vec<_>>()
    };
    let pods = make(world, 6);
    // Not busybox's wget with a time limit: Debian's crashes.
    let ask = |world: &World, from: &str, address: &str| {
        world.sh(&format!("kubectl exec {from} -- wget -qO- http://127.0.0.1/get/{address}:80/ping"))
    };
    for (name, address) in &pods {
        let answer = ask(world, &pods[0].0, address);
        assert_eq!(answer.out, format!("{name} /ping"), "{} asks {address}: {answer:?} {pods:?}", pods[0].0);
    }
    // Nothing of the platform is reachable, though the hosts pull from it.
    let registry = world.variable("HAKO_REGISTRY").to_owned();
    let refused =
        world.ok(&format!("kubectl exec {} -- wget -qO- http://127.0.0.1/get/{registry}/v2/ || true", pods[0].0));
    assert_eq!(refused, "");
    let hosts = eventually(30, "pods are on both hosts", || {
        let pods = world.usage("demo").into_iter().filter(|pod| pod["name"].as_str().unwrap().starts_with("net-"));
        let hosts: std::collections::BTreeSet<String> = pods.map(|pod| pod["hosts"][0].to_string()).collect();
        (hosts.len() == 2).then_some(hosts)
    });
    assert_eq!(hosts.len(), 2);

    world.cloud.bootstrap_tenant("other").unwrap();
    world.set("HAKO_PROFILE", "other");
    world.cluster("other", 1);
    let others = make(world, 2);
    for (name, address) in &others {
        // The address is one of the first cluster's too, or nobody's there: never the other tenant's pod.
        let answer =
            world.ok("kubectl config use-context demo >/dev/null; true") + &ask(world, &pods[0].0, address).out;
        assert!(!answer.contains(name), "{name} is out of reach: {answer}");
        world.ok("kubectl config use-context other");
        assert_eq!(ask(world, &others[0].0, address).out, format!("{name} /ping"));
    }
}
