//! The agent as control sees it: the real library on a real containerd. Needs root.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, end a test by panicking")]

mod containerd;
mod control;
mod world;

use std::time::{Duration, Instant};

use proto::fleet::control_message::Message as Say;
use proto::fleet::stream_frame::Frame;
use proto::fleet::stream_open::Kind as Open;
use proto::fleet::{Attach, Exec, Logs, RemovePlacement, Resize, Stats};
use serde_json::json;
use world::{World, all_logs, condition};

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_is_read_survives_the_agent_and_goes() {
    let mut world = World::new().await;
    let begun = Instant::now();
    let script =
        "echo started; echo key=$KEY pw=$PW ip=$IP; trap 'echo bye; exit 0' TERM; while true; do sleep 0.1; done";
    let uid = world
        .place(
            "web",
            json!({"containers": [{"name": "web", "command": ["sh", "-c", script], "env": [
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "key"}}},
            {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "cred", "key": "pw"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}]}),
        )
        .await;
    let status = world.ready(&uid).await;
    eprintln!("create to ready: {:?}", begun.elapsed());
    assert_eq!(status["podIP"], "10.244.0.10");
    assert_eq!(status["qosClass"], "BestEffort");
    let id = status["containerStatuses"][0]["containerID"].clone();

    let text = world.logs(&uid, all_logs()).await;
    assert_eq!(text, "started\nkey=value pw=hush-hush ip=10.244.0.10\n");
    assert_eq!(world.logs(&uid, Logs { tail_lines: 1, ..all_logs() }).await, "key=value pw=hush-hush ip=10.244.0.10\n");

    assert_eq!(world.exec(&uid, "echo out; echo err >&2; exit 3").await, ("out\n".into(), "err\n".into(), 3));

    world.stop_agent().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.start_agent();
    let adopted = world.ready(&uid).await;
    assert_eq!(adopted["containerStatuses"][0]["containerID"], id, "a running container is adopted");
    assert_eq!(adopted["containerStatuses"][0]["restartCount"], 0);

    let last = world.remove(&uid, 10).await;
    assert_eq!(last["phase"], "Succeeded");
    let dir = world.containerd.dir.join("agent");
    for left in [dir.join("pods").join(&uid), dir.join("volatile/pods").join(&uid)] {
        assert!(!left.exists(), "{} is left", left.display());
    }
    assert_eq!(std::fs::read_dir(dir.join("logs")).unwrap().count(), 0);
    assert_eq!(condition(&last, "Ready"), "False");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_hold_what_was_asked_and_follow_updates() {
    let mut world = World::new().await;
    let uid = world
        .place("vol", json!({"restartPolicy": "Never", "securityContext": {"fsGroup": 2000},
            "containers": [{"name": "c", "command": ["sh", "-c", "sleep 1000"], "volumeMounts": [
                {"name": "conf", "mountPath": "/conf"}, {"name": "cred", "mountPath": "/cred"},
                {"name": "token", "mountPath": "/token"}, {"name": "data", "mountPath": "/data", "subPath": "a/b"},
                {"name": "mem", "mountPath": "/mem"}]}],
            "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["alias"]}],
            "volumes": [
                {"name": "conf", "configMap": {"name": "conf", "items": [{"key": "key", "path": "dir/file"}]}},
                {"name": "cred", "secret": {"secretName": "cred", "defaultMode": 256}},
                {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}},
                    {"downwardAPI": {"items": [{"path": "ip", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
                {"name": "data", "emptyDir": {}}, {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]}))
        .await;
    world.ready(&uid).await;
    let read = "cat /conf/dir/file /cred/pw /token/token /token/ip; grep -c alias /etc/hosts; ls -l /cred/..data/pw | cut -c1-10; id -G; touch /data/x && echo w; touch /conf/x || echo ro; df -k /mem | tail -1 | awk '{print $2}'";
    let (out, err, code) = world.exec(&uid, read).await;
    assert_eq!((out.as_str(), code), ("valuehush-hushjwtvol1\n-r--r-----\n0 2000\nw\nro\n1024\n", 0), "{err}");
    let disk = world.containerd.dir.join("agent");
    let found = containerd::run(&format!("grep -rl hush-hush --exclude-dir=volatile {} || true", disk.display()));
    assert_eq!(found, "", "secrets lie on the tmpfs only");

    let mut changed = world.placement(&uid);
    changed.generation = 2;
    changed.inputs[0] = world::input(proto::fleet::input::Kind::ConfigMap, "conf", &[("key", "newer")]);
    world.update(changed).await;
    let begun = Instant::now();
    while world.exec(&uid, "cat /conf/dir/file").await.0 != "newer" {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    world.remove(&uid, 0).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_said_and_tried_again() {
    let mut world = World::new().await;
    let crash = world.place("crash", json!({"containers": [{"name": "c", "command": ["sh", "-c", "echo last words > /dev/termination-log; exit 7"]}]})).await;
    let no_image = world.place("noimage", json!({"containers": [{"name": "c", "image": "127.0.0.1:9/none:1"}]})).await;
    let bad_name = world.place("badname", json!({"containers": [{"name": "c", "image": "Bad Name"}]})).await;
    let no_key = world.place("nokey", json!({"containers": [{"name": "c", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k"}}}]}]})).await;
    let bad_command = world
        .place("badcommand", json!({"restartPolicy": "Never", "containers": [{"name": "c", "command": ["/nothing"]}]}))
        .await;
    let host_path = world
        .place(
            "hostpath",
            json!({"containers": [{"name": "c"}], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
        )
        .await;
    let reason = |s: &serde_json::Value| {
        s["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().unwrap_or("").to_owned()
    };

    let status = world.control.until(&crash, "in back-off", |s, _| reason(s) == "CrashLoopBackOff").await;
    let last = &status["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(
        (&last["exitCode"], &last["reason"], &last["message"]),
        (&json!(7), &json!("Error"), &json!("last words\n"))
    );
    assert_eq!(status["phase"], "Running");
    let status = world
        .control
        .until(&crash, "restarted", |s, _| s["containerStatuses"][0]["restartCount"].as_i64() >= Some(1))
        .await;
    assert_eq!(status["containerStatuses"][0]["name"], "c");
    world.control.until(&no_image, "ErrImagePull", |s, _| reason(s) == "ErrImagePull").await;
    world.control.until(&no_image, "ImagePullBackOff", |s, _| reason(s) == "ImagePullBackOff").await;
    world.control.until(&bad_name, "InvalidImageName", |s, _| reason(s) == "InvalidImageName").await;
    let status = world.control.until(&no_key, "unconfigured", |s, _| reason(s) == "CreateContainerConfigError").await;
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["message"], "secret \"none\" not found");
    let status = world.phase(&bad_command, "Failed").await;
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 128);
    let status = world.phase(&host_path, "Failed").await;
    assert_eq!(status["message"], "volume \"v\": hostPath volumes are not available on virtual nodes");
    assert!(
        world
            .control
            .events(&crash)
            .iter()
            .any(|e| e.starts_with("BackOff: Back-off restarting failed container c in pod crash_default"))
    );
    for uid in [crash, no_image, bad_name, no_key, bad_command, host_path] {
        world.remove(&uid, 0).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_decide_on_readiness_and_restarts() {
    let mut world = World::new().await;
    let serve = "mkdir /www; echo hi > /www/index.html; sleep 0.3; exec httpd -f -p 8080 -h /www";
    let web = world
        .place("web", json!({"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "command": ["sh", "-c", serve],
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/index.html", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1},
            "livenessProbe": {"exec": {"command": ["test", "!", "-e", "/sick"]}, "periodSeconds": 1, "failureThreshold": 1},
            "startupProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 10}}]}))
        .await;
    world.ready(&web).await;
    let forward = proto::fleet::stream_open::Kind::PortForward(proto::fleet::PortForward { port: 8080 });
    let stream = world.control.open(&web, forward).await;
    stream.send(proto::fleet::stream_frame::Frame::Stdin("GET /index.html HTTP/1.0\r\n\r\n".into())).await;
    let (answer, _, end) = stream.finish().await;
    assert!(answer.ends_with("hi\n") && end.error.is_empty(), "{answer} {end:?}");

    world.exec(&web, "rm /www/index.html").await;
    world.control.until(&web, "unready", |s, _| condition(s, "Ready") == "False").await;
    world.exec(&web, "echo hi > /www/index.html").await;
    world.ready(&web).await;
    world.exec(&web, "touch /sick").await;
    let status = world.control.until(&web, "restarted", |s, _| s["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(status["phase"], "Running");
    assert!(
        world.control.events(&web).iter().any(|e| e == "Killing: Container c failed liveness probe, will be restarted")
    );
    world.remove(&web, 1).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_run_in_order_and_jobs_end() {
    let mut world = World::new().await;
    let uid = world
        .place("job", json!({"restartPolicy": "Never", "volumes": [{"name": "v", "emptyDir": {}}],
            "initContainers": [
                {"name": "one", "command": ["sh", "-c", "echo one >> /v/log"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
                {"name": "side", "restartPolicy": "Always", "command": ["sh", "-c", "echo side >> /v/log; trap 'exit 0' TERM; while true; do sleep 0.1; done"],
                 "volumeMounts": [{"name": "v", "mountPath": "/v"}], "startupProbe": {"exec": {"command": ["test", "-e", "/v/log"]}}},
                {"name": "two", "command": ["sh", "-c", "echo two >> /v/log"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            "containers": [{"name": "c", "command": ["sh", "-c", "cat /v/log; exit 0"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}))
        .await;
    let status = world.phase(&uid, "Succeeded").await;
    assert_eq!(world.logs(&uid, all_logs()).await, "one\nside\ntwo\n");
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(condition(&status, "Initialized"), "True");
    assert!(status["initContainerStatuses"][1]["state"]["terminated"].is_object(), "the sidecar has ended: {status}");

    let deadline = world.place("late", json!({"restartPolicy": "Never", "activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "command": ["sleep", "1000"]}]})).await;
    let status = world.phase(&deadline, "Failed").await;
    assert_eq!(status["reason"], "DeadlineExceeded");

    // What a sync does not name is stopped.
    let stray = world.place("stray", json!({"terminationGracePeriodSeconds": 0, "containers": [{"name": "c"}]})).await;
    world.ready(&stray).await;
    world.stop_agent().await;
    world.lose(&stray);
    world.start_agent();
    world.control.until(&stray, "removed", |_, status| status.removed).await;
    world.remove(&uid, 0).await;
    world.remove(&deadline, 0).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_takes_its_pods_up_again() {
    let mut world = World::new().await;
    world.stop_agent().await;
    world.start_process();
    let script = "n=0; while true; do n=$((n+1)); echo $n; sleep 0.1; done";
    let uid = world
        .place(
            "steady",
            json!({"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "command": ["sh", "-c", script],
        "readinessProbe": {"exec": {"command": ["true"]}}}]}),
        )
        .await;
    let id = world.ready(&uid).await["containerStatuses"][0]["containerID"].clone();
    let mut others = Vec::new();
    for n in 0..3 {
        world.kill_process();
        // Placed while nobody listens: it comes with the next sync.
        world.start_process();
        let name = format!("other-{n}");
        others
            .push(world.place(&name, json!({"terminationGracePeriodSeconds": 0, "containers": [{"name": "c"}]})).await);
        world.kill_process();
        world.start_process();
        let status = world.ready(&others[n]).await;
        assert_eq!(status["containerStatuses"][0]["restartCount"], 0);
    }
    let status = world.ready(&uid).await;
    assert_eq!(
        (&status["containerStatuses"][0]["containerID"], &status["containerStatuses"][0]["restartCount"]),
        (&id, &json!(0))
    );
    let numbers: Vec<u32> = world.logs(&uid, all_logs()).await.lines().map(|l| l.parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "the container never stopped: {numbers:?}");
    eprintln!("agent's memory with {} pods: {} KiB", others.len() + 1, world.process_memory_kib());

    // Killed in the middle of a removal, it finishes it.
    let wish = RemovePlacement { uid: uid.clone(), grace_seconds: 3, moved: false };
    world.control.say(Say::Remove(wish)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.kill_process();
    world.start_process();
    world.control.until(&uid, "removed", |_, status| status.removed).await;
    for other in others {
        world.remove(&other, 0).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminals_attach_follow_and_stats_reach_into_pods() {
    let mut world = World::new().await;
    let uid = world.place("shell", json!({"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "stdin": true,
        "command": ["sh", "-c", "while read line; do echo got $line; [ $line = end ] && exit 0; done"]}], "restartPolicy": "Never"})).await;
    world.ready(&uid).await;

    let command = ["sh", "-c", "read x; stty size; echo x=$x; exit 4"].map(str::to_owned).to_vec();
    let exec = Exec { command, stdin: true, stdout: true, tty: true, ..Default::default() };
    let stream = world.control.open(&uid, Open::Exec(exec)).await;
    stream.send(Frame::Resize(Resize { width: 91, height: 33 })).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stream.send(Frame::Stdin("typed\n".into())).await;
    let (out, _, end) = stream.finish().await;
    assert!(out.contains("33 91") && out.contains("x=typed"), "{out}");
    assert_eq!(end.exit_code, 4);

    let cat = Exec { command: vec!["wc".into(), "-c".into()], stdin: true, stdout: true, ..Default::default() };
    let stream = world.control.open(&uid, Open::Exec(cat)).await;
    for _ in 0..64 {
        stream.send(Frame::Stdin(vec![b'x'; 16 * 1024].into())).await;
    }
    stream.send(Frame::StdinClosed(true)).await;
    assert_eq!(stream.finish().await.0.trim(), (64 * 16 * 1024).to_string(), "a closed input ends the command");

    let (document, _, _) = world.control.open(&uid, Open::Stats(Stats {})).await.finish().await;
    let stats: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(stats["containers"][0]["name"], "c");

    let follow = world.control.open(&uid, Open::Logs(Logs { follow: true, ..all_logs() })).await;
    let attach = Attach { stdin: true, stdout: true, ..Default::default() };
    let attached = world.control.open(&uid, Open::Attach(attach)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    attached.send(Frame::Stdin("one\nend\n".into())).await;
    assert_eq!(attached.finish().await.0, "got one\ngot end\n");
    assert_eq!(follow.finish().await.0, "got one\ngot end\n", "a follower sees all and ends with the container");
    world.phase(&uid, "Succeeded").await;

    let missing = Exec { command: vec!["true".into()], stdout: true, ..Default::default() };
    let (_, _, end) = world.control.open(&uid, Open::Exec(missing)).await.finish().await;
    assert_eq!(end.reason, "NotFound");
    world.remove(&uid, 0).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_bite_and_what_must_go_goes_at_once() {
    let mut world = World::new().await;
    let hungry = world
        .place(
            "hungry",
            json!({"restartPolicy": "Never", "containers": [{"name": "c", "resources": {"limits": {"memory": "16Mi"}},
        "command": ["sh", "-c", "tail /dev/zero"]}]}),
        )
        .await;
    let stubborn =
        json!({"containers": [{"name": "c", "command": ["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"]}]});
    let forced = world.place("forced", stubborn.clone()).await;
    let moved = world.place("moved", stubborn).await;
    let waiting =
        world.place("waiting", json!({"containers": [{"name": "c", "image": "10.255.255.1:5000/slow:1"}]})).await;

    let status = world.phase(&hungry, "Failed").await;
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["reason"], "OOMKilled");
    world.ready(&forced).await;
    world.ready(&moved).await;

    let begun = Instant::now();
    let wish =
        |uid: &str, grace_seconds, moved| Say::Remove(RemovePlacement { uid: uid.to_owned(), grace_seconds, moved });
    world.control.say(wish(&forced, 60, false)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.control.say(wish(&forced, 0, false)).await;
    world.control.say(wish(&moved, 60, true)).await;
    world.control.say(wish(&waiting, 30, false)).await;
    for uid in [&forced, &moved, &waiting] {
        world.control.until(uid, "removed", |_, status| status.removed).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    world.remove(&hungry, 0).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fills_the_disk_is_evicted() {
    let mut world = World::new().await;
    let fill = "dd if=/dev/zero of=/e/x bs=1M count=3; trap '' TERM; while true; do sleep 0.1; done";
    let uid = world
        .place(
            "greedy",
            json!({"volumes": [{"name": "e", "emptyDir": {"sizeLimit": "1Mi"}}], "containers": [{"name": "c",
                "command": ["sh", "-c", fill], "volumeMounts": [{"name": "e", "mountPath": "/e"}]}]}),
        )
        .await;
    let status = world.phase(&uid, "Failed").await;
    assert_eq!(status["reason"], "Evicted");
    assert_eq!(status["message"], "Usage of EmptyDir volume \"e\" exceeds the limit \"1Mi\". ");
    let volume = world.containerd.dir.join(format!("agent/pods/{uid}/empty/e"));
    let begun = Instant::now();
    while volume.exists() {
        assert!(begun.elapsed() < Duration::from_secs(10), "what it filled is given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(world.logs(&uid, all_logs()).await.contains("records out"), "its logs stay");
    world.remove(&uid, 0).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_rotate_and_followers_miss_nothing() {
    let mut world = World::new().await;
    let line = "0123456789".repeat(20);
    let script = format!(
        "n=0; while [ $n -lt 1500 ]; do n=$((n+1)); echo $n {line}; [ $((n % 10)) = 0 ] && sleep 0.1; done; sleep 1000"
    );
    let uid = world.place("chatty", json!({"containers": [{"name": "c", "command": ["sh", "-c", script]}]})).await;
    world.ready(&uid).await;
    let follow = world.control.open(&uid, Open::Logs(Logs { follow: true, ..all_logs() })).await;
    let dir = world.containerd.dir.join(format!("agent/logs/default_chatty_{uid}/c"));
    let begun = Instant::now();
    while std::fs::read_dir(&dir).unwrap().count() < 2 || !world.logs(&uid, all_logs()).await.contains("\n1500 ") {
        assert!(begun.elapsed() < Duration::from_secs(40), "no rotation");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(std::fs::read_dir(&dir).unwrap().count() <= 3);
    world.control.say(Say::Remove(RemovePlacement { uid: uid.clone(), grace_seconds: 0, moved: false })).await;
    let (text, _, _) = follow.finish().await;
    let numbers: Vec<u32> = text.lines().filter_map(|l| l.split(' ').next()?.parse().ok()).collect();
    assert_eq!(numbers, (1..=1500).collect::<Vec<_>>());
    world.end().await;
}
