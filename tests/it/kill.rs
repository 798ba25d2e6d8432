//! `kill -9` of each part at a bad moment: nothing acknowledged is lost, pods live on, no second is billed twice or missed.

use e2e::{Api, World, eventually};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const WEB: &str = "kubectl create deployment web --image=$HAKO_REGISTRY/demo/web:1 --replicas";

/// Container ids and restarts of the pods of `app=web`, by pod name.
fn containers(world: &World) -> BTreeMap<String, (String, u64)> {
    let list = world.json("kubectl get pods -l app=web -o json");
    let pods = list["items"].as_array().unwrap().iter();
    pods.map(|pod| {
        let status = &pod["status"]["containerStatuses"][0];
        let id = status["containerID"].as_str().unwrap_or_default().to_owned();
        (pod["metadata"]["name"].as_str().unwrap().to_owned(), (id, status["restartCount"].as_u64().unwrap_or(0)))
    })
    .collect()
}

fn web(world: &World, replicas: u32) {
    world.ok(&format!("{WEB}={replicas}"));
    world.ok("kubectl rollout status deployment/web --timeout=90s");
}

fn ready(world: &World, replicas: u32) {
    eventually(90, "all pods are ready", || {
        let ready = world.sh("kubectl get deployment web -o jsonpath='{.status.readyReplicas}/{.status.replicas}'");
        (ready.out == format!("{replicas}/{replicas}")).then_some(())
    });
}

#[test]
fn control_dies_during_writes_and_forgets_none_that_it_acknowledged() {
    let world = World::up("kill-control");
    let id = world.cluster("demo", 1);
    web(&world, 2);
    let before = containers(&world);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let acknowledged: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
    let (started, api) = (Arc::new(AtomicUsize::new(0)), Api::cluster(&world, &id));
    let writers: Vec<_> = (0..200)
        .map(|writer| {
            let (api, acknowledged, started) = (api.clone(), Arc::clone(&acknowledged), Arc::clone(&started));
            runtime.spawn(async move {
                // Until the first that fails: control is dead by then.
                for number in 0..1000 {
                    let name = format!("write-{writer}-{number}");
                    let object = json!({"metadata": {"name": name}, "data": {"writer": writer.to_string()}});
                    started.fetch_add(1, Ordering::Relaxed);
                    match api.post("/api/v1/namespaces/default/configmaps", &object).await {
                        Ok(answer) if answer.status == 201 => {
                            let version = answer.body["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
                            acknowledged.lock().unwrap().insert(name, version);
                        }
                        other => return eprintln!("a write was not acknowledged: {other:?}"),
                    }
                }
            })
        })
        .collect();
    eventually(60, "writes are under way", || (acknowledged.lock().unwrap().len() > 400).then_some(()));
    world.cloud.kill9("control").unwrap();
    runtime.block_on(async {
        for writer in writers {
            writer.await.unwrap()
        }
    });
    world.cloud.start("control").unwrap();
    world.cloud.wait_ready("control").unwrap();

    let acknowledged = acknowledged.lock().unwrap();
    assert!(started.load(Ordering::Relaxed) > acknowledged.len(), "control was killed while writes were under way");
    let list = eventually(30, "control serves again", || {
        let answer = runtime.block_on(api.get("/api/v1/namespaces/default/configmaps")).ok()?;
        (answer.status == 200).then_some(answer.body)
    });
    let versions = |list: &Value| -> BTreeMap<String, u64> {
        let items = list["items"].as_array().unwrap().iter().map(|item| &item["metadata"]);
        items.map(|meta| (text(meta, "name"), text(meta, "resourceVersion").parse().unwrap())).collect()
    };
    let stored = versions(&list);
    for (name, version) in acknowledged.iter() {
        assert_eq!(stored.get(name), Some(version), "{name} was acknowledged");
    }
    // Each revision was given to one write; those after the restart go on from the last.
    assert_eq!(stored.values().collect::<BTreeSet<_>>().len(), stored.len());
    let last: u64 = text(&list["metadata"], "resourceVersion").parse().unwrap();
    assert!(last >= *stored.values().max().unwrap());
    let object = json!({"metadata": {"name": "after"}});
    let after = runtime.block_on(api.post("/api/v1/namespaces/default/configmaps", &object)).unwrap();
    assert!(text(&after.body["metadata"], "resourceVersion").parse::<u64>().unwrap() > last, "{after:?}");
    ready(&world, 2);
    assert_eq!(containers(&world), before, "pods ran on");
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// From and to, in milliseconds, of what a host wrote of each pod, in its order.
fn intervals(world: &World) -> BTreeMap<String, Vec<(i64, i64)>> {
    let rows = world.sql(
        "billing",
        "select name || ' ' || source, from_ms, to_ms from resources join intervals using (resource_id) \
         order by resource_id, sequence",
    );
    let mut all: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    for row in rows {
        all.entry(row[0].clone()).or_default().push((row[1].parse().unwrap(), row[2].parse().unwrap()));
    }
    all
}

/// Every pod's time is one piece, whatever was killed meanwhile.
#[track_caller]
fn check_no_gap_and_no_overlap(intervals: &BTreeMap<String, Vec<(i64, i64)>>) {
    for (pod, pieces) in intervals {
        for pair in pieces.windows(2) {
            assert_eq!(pair[0].1, pair[1].0, "{pod} is metered without gap and overlap: {pieces:?}");
        }
    }
}

/// Waits until each of `pods` pods has been metered past `now` of the ledger.
fn metered_on(world: &World, pods: usize) -> BTreeMap<String, Vec<(i64, i64)>> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    eventually(90, "usage goes on", || {
        let all = intervals(world);
        let done = all.len() == pods && all.values().all(|pieces| pieces.last().is_some_and(|last| last.1 > now));
        done.then_some(all)
    })
}

#[test]
fn agents_and_billing_die_and_pods_live_on_metered_to_the_second() {
    let world = World::up("kill-agent");
    world.cluster("demo", 2);
    web(&world, 4);
    let before = containers(&world);
    metered_on(&world, 4);
    for agent in ["node-agent-1", "node-agent-2"] {
        world.cloud.kill9(agent).unwrap();
    }
    std::thread::sleep(Duration::from_secs(3));
    // The containers run without their agents.
    let tasks: usize = (1..=2).map(|host| running(&world, host).len()).sum();
    assert_eq!(tasks, 8, "four containers and their sandboxes");
    for agent in ["node-agent-1", "node-agent-2"] {
        world.cloud.start(agent).unwrap();
        world.cloud.wait_ready(agent).unwrap();
    }
    metered_on(&world, 4);
    ready(&world, 4);
    assert_eq!(containers(&world), before, "pods were adopted, not restarted");

    world.cloud.kill9("billing").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    world.cloud.kill9("node-agent-1").unwrap();
    world.cloud.start("billing").unwrap();
    world.cloud.start("node-agent-1").unwrap();
    world.cloud.wait_ready("billing").unwrap();
    world.cloud.wait_ready("node-agent-1").unwrap();
    check_no_gap_and_no_overlap(&metered_on(&world, 4));
    assert_eq!(containers(&world), before);
    let pod = before.keys().next().unwrap();
    assert_eq!(world.ok(&format!("kubectl exec {pod} -- hostname")), *pod);
    // It ends where the containers end.
    world.ok("kubectl delete deployment web && kubectl wait --for=delete pod -l app=web --timeout=60s");
    let end = eventually(60, "usage ends", || {
        let (one, two) = (intervals(&world), {
            std::thread::sleep(Duration::from_secs(6));
            intervals(&world)
        });
        (one == two).then_some(two)
    });
    check_no_gap_and_no_overlap(&end);
}

/// Containers and sandboxes that run on a host, as its containerd says.
fn running(world: &World, host: u8) -> BTreeSet<String> {
    let socket = world.cloud.containerd_socket(host);
    let tasks = world.ok(&format!("ctr -a {} -n k8s.io tasks ls", socket.display()));
    tasks.lines().filter(|line| line.contains("RUNNING")).map(|l| l.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn virtual_kubelet_dies_and_what_happened_meanwhile_is_told_afterwards() {
    let world = World::up("kill-kubelet");
    world.cluster("demo", 2);
    web(&world, 3);
    let before = containers(&world);
    world.cloud.kill9("virtual-kubelet").unwrap();
    // Changes on both sides that it can't see: a wish, and a container that ends.
    world.ok("kubectl scale deployment/web --replicas=5");
    let (pod, (container, _)) = before.first_key_value().unwrap();
    let id = container.trim_start_matches("containerd://");
    let socket =
        (1..=2).find(|host| running(&world, *host).contains(id)).map(|host| world.cloud.containerd_socket(host));
    world.ok(&format!("ctr -a {} -n k8s.io tasks kill -s SIGKILL {id}", socket.unwrap().display()));
    let late = world.fails("timeout 20 kubectl logs deploy/web");
    assert!(!late.is_empty());
    world.cloud.start("virtual-kubelet").unwrap();
    world.cloud.wait_ready("virtual-kubelet").unwrap();
    ready(&world, 5);
    let after = containers(&world);
    for (name, (id, restarts)) in &before {
        let now = &after[name];
        if name == pod {
            assert!(now.0 != *id && now.1 == restarts + 1, "{name} was restarted once: {now:?}");
        } else {
            assert_eq!(now, &(id.clone(), *restarts), "{name} ran on");
        }
    }
    world.ok("kubectl logs deploy/web && kubectl exec deploy/web -- true");
}

#[test]
fn postgres_gateway_and_containerd_die_and_come_back() {
    let world = World::up("kill-engines");
    world.cluster("demo", 2);
    web(&world, 2);
    let before = containers(&world);
    for part in ["postgres", "api-gateway", "containerd-1", "containerd-2"] {
        world.cloud.kill9(part).unwrap();
        if part == "postgres" {
            // Without its database control takes no writes, and says so.
            let refused = world.fails("timeout 60 kubectl create configmap lost --from-literal=a=b");
            assert!(!refused.is_empty());
        }
        world.cloud.start(part).unwrap();
    }
    eventually(60, "writes work again", || {
        (world.sh("kubectl create configmap kept --from-literal=a=b").code == 0).then_some(())
    });
    world.ok("kubectl scale deployment/web --replicas=4");
    ready(&world, 4);
    let after = containers(&world);
    assert!(before.iter().all(|(name, container)| after.get(name) == Some(container)), "{before:?} {after:?}");
    eventually(30, "all parts are well", || world.cloud.unhealthy().is_empty().then_some(()));
}

#[test]
fn host_cut_off_is_replaced_goes_on_and_is_stopped_unpaid_at_its_return() {
    let hosts: toml::Table = toml::toml! {
        [hosts]
        silent_seconds = 3
        lost_seconds = 8
    };
    let world = World::up_with("cut-off", |options| options.with("control", hosts));
    world.cluster("demo", 2);
    web(&world, 4);
    let mut names: Vec<String> = Vec::new();
    let cut = eventually(30, "pods of both hosts are metered", || {
        let all = intervals(&world);
        names = all.keys().filter_map(|key| key.strip_suffix(" host-1")).map(str::to_owned).collect();
        (all.len() == 4 && names.len() == 2).then(|| running(&world, 1))
    });
    let begin = std::time::Instant::now();
    world.cloud.partition_host(1).unwrap();
    eventually(60, "its pods are replaced", || {
        let live = containers(&world);
        let moved = names.iter().all(|name| !live.contains_key(name));
        (moved && running(&world, 2).len() == 8).then_some(())
    });
    ready(&world, 4);
    assert_eq!(running(&world, 1), cut, "the cut-off pods go on");
    // Longer than the minute that is charged at least, so that unpaid time would show.
    std::thread::sleep(Duration::from_secs(75).saturating_sub(begin.elapsed()));
    world.cloud.heal_host(1).unwrap();
    eventually(60, "the moved pods are stopped", || running(&world, 1).is_empty().then_some(()));
    let pods = eventually(60, "usage of the cut-off time is delivered", || {
        let pods = world.usage("demo");
        let moved: Vec<Value> = pods.into_iter().filter(|pod| names.iter().any(|name| pod["name"] == **name)).collect();
        let all = intervals(&world);
        let told = names.iter().all(|name| {
            let pieces = &all[&format!("{name} host-1")];
            pieces.last().unwrap().1 - pieces[0].0 > 75_000
        });
        (told && moved.len() == 2).then_some(moved)
    });
    for pod in pods {
        assert_eq!(pod["seconds"].as_u64(), Some(60), "only the minimum is charged: {pod}");
    }
    check_no_gap_and_no_overlap(&intervals(&world));
    ready(&world, 4);
}
