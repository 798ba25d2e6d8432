//! What a person does first, word for word, with the oldest and the newest kubectl.

use e2e::{World, eventually, get};
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn from_nothing_to_a_pod_that_runs_heals_scales_and_is_metered() {
    let world = World::up("journey");
    for minor in [33, 37] {
        use_a_cluster(&world, &format!("demo{minor}"), &format!("kubectl-1.{minor}"));
    }
    comes_back_as_it_was(&world, "demo37", "kubectl-1.37");
}

fn use_a_cluster(world: &World, name: &str, kubectl: &str) {
    world.ok(&format!("hako cluster create {name} --type ENHANCED_CLUSTER --wait"));
    world.ok(&format!("hako virtual-node-pool create --cluster {name} --name pool --size 3 --wait"));
    world.ok(&format!("hako cluster create-kubeconfig {name}"));
    let elsewhere = world.ok(&format!("hako cluster create-kubeconfig {name} --file $HOME/other && cat $HOME/other"));
    assert!(elsewhere.contains("generate-token"), "{elsewhere}");

    let nodes = world.ok(&format!("{kubectl} get nodes"));
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ")).count(), 3, "{nodes}");
    world.ok(&format!("{kubectl} create deployment web --image=$HAKO_REGISTRY/demo/web:1 --replicas=3"));
    world.ok(&format!("{kubectl} rollout status deployment/web --timeout=60s"));
    let pods = world.ok(&format!("{kubectl} get pods"));
    assert!(pods.starts_with("NAME ") && pods.matches("1/1     Running").count() == 3, "{pods}");

    logs(world, kubectl);
    exec(world, kubectl);
    attach(world, kubectl);
    forward(world, kubectl);
    copy(world, kubectl);
    heal(world, kubectl);
    scale(world, kubectl);
    usage(world, name);
}

fn logs(world: &World, kubectl: &str) {
    assert!(world.ok(&format!("{kubectl} logs deploy/web")).contains("listens on port 80"));
    let pod = world.ok(&format!("{kubectl} get pods -l app=web -o name | sed -n 1p"));
    let followed = world.start(&[kubectl, "logs", &pod, "-f", "--tail=1"]);
    followed.line(|line| line.contains("listens on port").then_some(()));
    world.ok(&format!("{kubectl} exec {pod} -- wget -qO- http://127.0.0.1/followed"));
    followed.line(|line| line.contains("GET /followed").then_some(()));
}

fn exec(world: &World, kubectl: &str) {
    let name = world.ok(&format!("{kubectl} get pods -l app=web -o jsonpath='{{.items[0].metadata.name}}'"));
    // 1.33 and 1.37 prefer WebSocket; the variable makes them speak SPDY.
    for wire in ["true", "false"] {
        let exec = format!("KUBECTL_REMOTE_COMMAND_WEBSOCKETS={wire} {kubectl} exec");
        assert_eq!(world.ok(&format!("{exec} {name} -- hostname")), name);
        let code = world.sh(&format!("{exec} {name} -- sh -c 'echo out; echo err >&2; exit 7'"));
        assert_eq!((code.code, code.out.as_str()), (7, "out"));
        assert!(code.err.contains("err") && code.err.contains("exit code 7"), "{}", code.err);
        assert_eq!(world.ok(&format!("echo hello | {exec} -i {name} -- sh -c 'cat; echo end'")), "hello\nend");
        let sum = world.ok(&format!("head -c 3000000 /dev/zero | {exec} -i {name} -- sh -c 'wc -c; cat /dev/null'"));
        assert_eq!(sum, "3000000");
        let terminal = world.ok(&format!(
            "script -qec \"stty rows 41 cols 97; {exec} -it {name} -- sh -c 'sleep 1; stty size; exit'\" /dev/null"
        ));
        assert!(terminal.contains("41 97"), "{terminal:?}");
        let missing = world.fails(&format!("{exec} {name} -- no-such-program"));
        assert!(missing.contains("no-such-program"), "{missing}");
    }
    let wrong = world.fails(&format!("{kubectl} exec {name} -c other -- true"));
    assert!(wrong.contains("container other is not valid for pod") || wrong.contains("container not found"), "{wrong}");
}

fn attach(world: &World, kubectl: &str) {
    for wire in ["true", "false"] {
        let run = format!(
            "KUBECTL_REMOTE_COMMAND_WEBSOCKETS={wire} {kubectl} run cat --image=$HAKO_REGISTRY/demo/busybox:1 \
             --restart=Never --rm -i --quiet --command -- sh -c 'read line; echo got $line'"
        );
        assert_eq!(world.ok(&format!("echo hello | {run}")), "got hello");
    }
}

fn forward(world: &World, kubectl: &str) {
    for wire in ["true", "false"] {
        let variable = format!("KUBECTL_PORT_FORWARD_WEBSOCKETS={wire}");
        let running = world.forward_with(&["env", &variable, kubectl], "deploy/web", 80);
        for path in ["/a", "/b", "/c"] {
            let answer = get(running.address, path).unwrap();
            assert!(answer.starts_with("web-") && answer.ends_with(path), "{answer}");
        }
    }
}

fn copy(world: &World, kubectl: &str) {
    let name = world.ok(&format!("{kubectl} get pods -l app=web -o jsonpath='{{.items[0].metadata.name}}'"));
    world.ok(&format!(
        "seq 1 200000 > $HOME/numbers
         {kubectl} cp $HOME/numbers {name}:/tmp/numbers
         {kubectl} cp {name}:/tmp/numbers $HOME/numbers.back
         cmp $HOME/numbers $HOME/numbers.back"
    ));
}

fn names(world: &World, kubectl: &str) -> BTreeSet<String> {
    let list = world.json(&format!("{kubectl} get pods -l app=web -o json"));
    let pods = list["items"].as_array().unwrap().iter();
    let live = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    live.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn heal(world: &World, kubectl: &str) {
    let before = names(world, kubectl);
    world.ok(&format!("{kubectl} delete pod -l app=web --wait=false"));
    eventually(60, "three other pods take over", || {
        let after = names(world, kubectl);
        (after.len() == 3 && after.is_disjoint(&before)).then_some(())
    });
    world.ok(&format!("{kubectl} rollout status deployment/web --timeout=60s"));
}

fn scale(world: &World, kubectl: &str) {
    world.ok(&format!("{kubectl} scale deployment/web --replicas=10"));
    world.ok(&format!("{kubectl} rollout status deployment/web --timeout=60s"));
    assert_eq!(names(world, kubectl).len(), 10);
    world.ok(&format!("{kubectl} scale deployment/web --replicas=1"));
    eventually(60, "one pod is left", || {
        let list = world.json(&format!("{kubectl} get pods -l app=web -o json"));
        (list["items"].as_array().unwrap().len() == 1).then_some(())
    });
}

fn usage(world: &World, name: &str) {
    // 3 at first, 2 attached to, 3 healed, 7 more.
    let pods = eventually(30, "every pod that ran is metered", || {
        let pods = world.usage(name);
        (pods.len() == 15).then_some(pods)
    });
    for pod in &pods {
        assert_eq!((pod["ocpus"].as_str(), pod["memoryInGBs"].as_str()), (Some("0.125"), Some("0.75")), "{pod}");
        assert_eq!((pod["billedOcpus"].as_u64(), pod["billedMemoryInGBs"].as_u64()), (Some(1), Some(1)), "{pod}");
        assert!(pod["seconds"].as_u64() >= Some(60) && pod["currency"] == "JPY", "{pod}");
        check_price(pod);
    }
    let table = world.ok(&format!("hako usage list --cluster {name}"));
    assert!(table.starts_with("NAMESPACE") && table.contains("JPY"), "{table}");
}

/// One OCPU at ¥3.5 and one GB at ¥0.21 an hour, per second: in millionths of a yen, without floats.
fn check_price(pod: &Value) {
    let seconds = pod["seconds"].as_u64().unwrap();
    let cost = pod["cost"].as_str().unwrap();
    let (whole, part) = cost.split_once('.').unwrap_or((cost, ""));
    let digits: u64 = format!("{whole}{part:0<6}").parse().unwrap();
    let exact = seconds * 3_710_000;
    assert!((digits * 3600).abs_diff(exact) <= 3600, "{cost} for {seconds} s");
}

fn comes_back_as_it_was(world: &World, name: &str, kubectl: &str) {
    world.ok(&format!("{kubectl} create configmap kept --from-literal=a=b"));
    let before = names(world, kubectl);
    let usage = world.usage(name).len();
    world.cloud.down().unwrap();
    assert!(world.cloud.pid("control").is_none());
    world.restart();
    assert_eq!(world.ok(&format!("{kubectl} get configmap kept -o jsonpath='{{.data.a}}'")), "b");
    let list = world.ok("hako cluster list");
    assert!(list.contains("demo33") && list.contains("demo37"), "{list}");
    assert!(world.usage(name).len() >= usage);
    eventually(60, "the pod runs again", || {
        let ready = world.ok(&format!("{kubectl} get deployment web -o jsonpath='{{.status.readyReplicas}}'"));
        (ready == "1" && names(world, kubectl) == before).then_some(())
    });
    assert_eq!(world.ok(&format!("{kubectl} exec deploy/web -- hostname")), before.first().unwrap().as_str());
}
