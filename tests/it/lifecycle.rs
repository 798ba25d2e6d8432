//! A cluster from an old version to a new one, with new credentials, paused and back, while its pod is in use.

use e2e::{World, eventually};
use serde_json::Value;

#[test]
fn cluster_life() {
    let world = World::up("life");
    world.ok("hako cluster create demo --type ENHANCED_CLUSTER --kubernetes-version v1.35.0 --wait
         hako virtual-node-pool create --cluster demo --name pool --size 1 --wait
         hako cluster create-kubeconfig demo
         kubectl create deployment client --image=$HAKO_REGISTRY/demo/busybox:1 -- sleep 36000
         kubectl rollout status deployment/client --timeout=60s");
    let pod = ready_pod(&world, "");
    upgrade(&world, &pod);
    rotate(&world, &pod);
    pause(&world, &pod);
}

/// Name of the one pod that is ready and is not `other`.
fn ready_pod(world: &World, other: &str) -> String {
    eventually(60, "a pod is ready", || {
        let pods = world.json("kubectl get pods -l app=client -o json");
        let ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            let ready = conditions.filter(|c| c["type"] == "Ready" && c["status"] == "True").count() == 1;
            ready && pod["metadata"]["deletionTimestamp"].is_null() && pod["metadata"]["name"] != other
        };
        let found = pods["items"].as_array().unwrap().iter().find(ready)?;
        Some(found["metadata"]["name"].as_str().unwrap().to_owned())
    })
}

fn upgrade(world: &World, pod: &str) {
    let server = || world.json("kubectl version -o json")["serverVersion"]["gitVersion"].clone();
    let kubelet = || world.ok("kubectl get nodes -o jsonpath='{.items[0].status.nodeInfo.kubeletVersion}'");
    assert_eq!((server(), kubelet()), ("v1.35.0+hako".into(), "v1.35.0".to_owned()));
    let newer = "kubectl get --raw /apis/scheduling.k8s.io/v1alpha2";
    world.fails(newer);
    let refused = world.fails("hako virtual-node-pool update pool --cluster demo --kubernetes-version v1.36.0");
    assert!(refused.contains("upgrade the cluster first"), "{refused}");
    world.ok("hako cluster update demo --kubernetes-version v1.36.0 --wait");
    assert_eq!((server(), kubelet()), ("v1.36.0+hako".into(), "v1.35.0".to_owned()));
    world.ok(newer);
    world.ok("hako virtual-node-pool update pool --cluster demo --kubernetes-version v1.36.0 --wait");
    assert_eq!(kubelet(), "v1.36.0");
    // The pod has seen nothing of all that.
    let status = world.json(&format!("kubectl get pod {pod} -o json"))["status"].clone();
    assert_eq!((&status["phase"], &status["containerStatuses"][0]["restartCount"]), (&"Running".into(), &0.into()));
}

fn rotate(world: &World, pod: &str) {
    world.ok(&format!(
        "kubectl cp $(readlink -f $(command -v kubectl)) {pod}:/bin/kubectl
         kubectl exec {pod} -- chmod +x /bin/kubectl"
    ));
    let in_pod = |words: &str| world.sh(&format!("kubectl exec {pod} -- kubectl {words}"));
    let token = || world.ok(&format!("kubectl exec {pod} -- cat /var/run/secrets/kubernetes.io/serviceaccount/token"));
    let old = token();
    assert_eq!(in_pod("auth whoami").code, 0);
    let kubeconfig = |file: &str| {
        world.ok(&format!("hako cluster create-kubeconfig demo --kube-endpoint VCN_HOSTNAME --file $HOME/{file}"));
    };
    kubeconfig("before");
    assert!(shows_what_it_believes(world, "before"));
    world.ok("hako cluster start-credential-rotation demo --wait");
    kubeconfig("between");
    assert!(shows_what_it_believes(world, "before") && shows_what_it_believes(world, "between"));
    // The old token holds, and is replaced in the running pod.
    assert_eq!(in_pod("auth whoami").code, 0);
    assert_eq!(in_pod(&format!("auth whoami --token={old}")).code, 0);
    let new = eventually(150, "the pod has a token of the new key", || Some(token()).filter(|new| *new != old));
    world.ok("hako cluster complete-credential-rotation demo --wait");
    assert_eq!(in_pod("auth whoami").code, 0, "the client goes on");
    eventually(30, "the old authority is not shown any more", || {
        (!shows_what_it_believes(world, "before")).then_some(())
    });
    assert!(shows_what_it_believes(world, "between"));
    assert_eq!(in_pod(&format!("auth whoami --token={new}")).code, 0);
    let refused = in_pod(&format!("auth whoami --token={old}"));
    assert!(refused.code != 0 && refused.err.contains("Unauthorized"), "{} {}", refused.out, refused.err);
}

/// Whether the gateway shows a certificate at the cluster's host name that this kubeconfig's authorities signed.
fn shows_what_it_believes(world: &World, file: &str) -> bool {
    let script = format!(
        r#"set -e
        view() {{ kubectl config view --raw --kubeconfig $HOME/{file} -o jsonpath="{{.clusters[0].cluster.$1}}"; }}
        view certificate-authority-data | base64 -d > $HOME/{file}.pem
        server=$(view server)
        gateway=${{HAKO_ENDPOINT#https://}}
        curl -sS -o /dev/null --cacert $HOME/{file}.pem --connect-to ::$gateway $server/version"#
    );
    let done = world.sh(&script);
    // Source: curl(1), exit code 60: the peer's certificate is not believed.
    assert!(done.code == 0 || done.code == 60, "{} {}", done.out, done.err);
    done.code == 0
}

fn pause(world: &World, pod: &str) {
    world.ok("hako cluster pause demo --wait");
    let cluster = world.json("hako cluster get demo --output json");
    assert_eq!((&cluster["lifecycleState"], &cluster["isPaused"]), (&"ACTIVE".into(), &true.into()));
    assert_eq!(world.json("kubectl get nodes -o json")["items"], serde_json::json!([]));
    let placements = world.sql("control", "select count(*) from placements");
    assert_eq!(placements, [["0"]], "nothing of it is on any host");
    // Its objects are there and can be changed; the controller's pod waits.
    world.ok("kubectl create configmap made-while-paused --from-literal=a=b && kubectl get deployment client");
    let waiting = eventually(30, "another pod waits", || {
        let pods = world.json("kubectl get pods -l app=client -o json");
        let pod = pods["items"].as_array().unwrap().iter().find(|other| other["metadata"]["name"] != *pod)?;
        Some(pod["status"]["phase"].clone())
    });
    assert_eq!(waiting, "Pending");
    world.ok("hako cluster resume demo --wait");
    ready_pod(world, pod);
    assert_eq!(world.json("hako cluster get demo --output json")["isPaused"], false);
    world.ok("kubectl get configmap made-while-paused && kubectl rollout status deployment/client --timeout=60s");
}
