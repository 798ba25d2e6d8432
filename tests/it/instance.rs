//! Container instances through their whole life, on real containerd: what they are given, their health, logs, stops and starts,
//! the network that they share with clusters, and what is charged.

use e2e::{World, eventually};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The cloud API, as its administrator.
struct Api<'a> {
    world: &'a World,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    compartment: String,
}

impl<'a> Api<'a> {
    fn new(world: &'a World) -> Self {
        let ca = std::fs::read(world.variable("HAKO_CA")).unwrap();
        let ca = reqwest::Certificate::from_pem(&ca).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([ca]).http1_only().build().unwrap();
        let compartment = world.cloud.default_tenant().unwrap().tenancy_id;
        Self { world, runtime: tokio::runtime::Runtime::new().unwrap(), http, compartment }
    }

    /// A token for the whole cloud, signed with the administrator's key.
    fn token(&self) -> String {
        let tenant = self.world.cloud.default_tenant().unwrap();
        let key = EncodingKey::from_ec_pem(&std::fs::read(tenant.key_file).unwrap()).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({"iss": "hako", "sub": tenant.user_id, "aud": "hako", "iat": now, "exp": now + 300});
        let header = Header { kid: Some(tenant.fingerprint), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let url = format!("{}/20210415{path}", self.world.variable("HAKO_ENDPOINT"));
        let request = self.http.request(method.parse().unwrap(), url).bearer_auth(self.token());
        if body.is_null() { request } else { request.json(body) }
    }

    /// Status, work request and body of an answer.
    #[track_caller]
    fn send(&self, method: &str, path: &str, body: &Value) -> (u16, String, String) {
        self.runtime.block_on(async {
            let answer = self.request(method, path, body).send().await.unwrap();
            let work = answer.headers().get("opc-work-request-id").map(|id| id.to_str().unwrap().to_owned());
            (answer.status().as_u16(), work.unwrap_or_default(), answer.text().await.unwrap())
        })
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let (status, _, text) = self.send("GET", path, &Value::Null);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    #[track_caller]
    fn ended(&self, work: &str) -> Value {
        eventually(90, &format!("work request {work} has ended"), || {
            let work = self.get(&format!("/workRequests/{work}"));
            work["timeFinished"].is_string().then_some(work)
        })
    }

    /// Does something and waits until it has succeeded.
    #[track_caller]
    fn done(&self, method: &str, path: &str, body: &Value) {
        let (status, work, text) = self.send(method, path, body);
        assert_eq!(status, 202, "{path}: {text}");
        let ended = self.ended(&work);
        assert_eq!(ended["status"], "SUCCEEDED", "{ended} {}", self.get(&format!("/workRequests/{work}/errors")));
    }

    /// Begins to make an instance; gives its id and its work request.
    #[track_caller]
    fn begin(&self, name: &str, parts: Value) -> (String, String) {
        let mut body = json!({
            "compartmentId": self.compartment, "displayName": name, "availabilityDomain": "local-1-AD-1",
            "shape": "CI.Standard.E4.Flex", "shapeConfig": {"ocpus": 1, "memoryInGBs": 2},
            "vnics": [{}],
        });
        body.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        let (status, work, text) = self.send("POST", "/containerInstances", &body);
        assert_eq!(status, 200, "{text}");
        let made: Value = serde_json::from_str(&text).unwrap();
        (made["id"].as_str().unwrap().to_owned(), work)
    }

    /// Containers of an instance, in order.
    fn containers(&self, id: &str) -> Vec<Value> {
        let instance = self.get(&format!("/containerInstances/{id}"));
        let ids = instance["containers"].as_array().unwrap().iter();
        ids.map(|one| self.get(&format!("/containers/{}", one["containerId"].as_str().unwrap()))).collect()
    }

    fn logs(&self, container: &Value, previous: bool) -> String {
        let id = container["id"].as_str().unwrap();
        let path = format!("/containers/{id}/actions/retrieveLogs?isPrevious={previous}");
        let (status, _, text) = self.send("POST", &path, &Value::Null);
        assert_eq!(status, 200, "{text}");
        text
    }

    /// Runs a command in a container over a WebSocket; gives its output and its Status.
    fn exec(&self, container: &Value, command: &[&str]) -> (String, Value) {
        let words: String = command.iter().map(|word| format!("&command={}", encoded(word))).collect();
        let id = container["id"].as_str().unwrap();
        let path = format!("/containers/{id}/actions/exec?stdout=true&stderr=true{words}");
        let request = self
            .request("GET", &path, &Value::Null)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", "v5.channel.k8s.io");
        let talk = async {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 101, "{:?}", answer.text().await);
            assert_eq!(answer.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
            let mut socket = answer.upgrade().await.unwrap();
            let (mut output, mut status) = (Vec::new(), Value::Null);
            // Frames of a server: opcode, length, payload without a mask; each payload begins with its channel.
            loop {
                let mut head = [0u8; 2];
                if socket.read_exact(&mut head).await.is_err() {
                    break;
                }
                let length = match head[1] {
                    126 => usize::from(socket.read_u16().await.unwrap()),
                    127 => usize::try_from(socket.read_u64().await.unwrap()).unwrap(),
                    length => usize::from(length),
                };
                let mut payload = vec![0; length];
                socket.read_exact(&mut payload).await.unwrap();
                match (head[0] & 15, payload.first()) {
                    (2, Some(1 | 2)) => output.extend_from_slice(&payload[1..]),
                    (2, Some(3)) => status = serde_json::from_slice(&payload[1..]).unwrap(),
                    (8, _) => break,
                    _ => {}
                }
            }
            let _ = socket.shutdown().await;
            (String::from_utf8(output).unwrap(), status)
        };
        self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), talk).await.unwrap() })
    }

    /// A shell's command in a container, which must succeed.
    #[track_caller]
    fn sh(&self, container: &Value, script: &str) -> String {
        let (output, status) = self.exec(container, &["sh", "-c", script]);
        assert_eq!(status["status"], "Success", "{script}: {status} {output}");
        output.trim_end().to_owned()
    }
}

fn encoded(word: &str) -> String {
    word.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn an_instance_lives_from_create_to_delete() {
    let world = World::up("instance");
    let api = Api::new(&world);
    let registry = world.variable("HAKO_REGISTRY").to_owned();
    let id = life(&api, &registry);
    network(&api, &registry, &id);
    stop_and_start(&api, &id);
    jobs(&api, &registry);
    let path = format!("/containerInstances/{id}");
    api.done("DELETE", &path, &Value::Null);
    assert_eq!(api.get(&path)["lifecycleState"], "DELETED");
    assert_eq!(world.sql("control", "select count(*) from placements where cluster_id like '%instance%'")[0][0], "1");
}

/// Two containers share their network and a volume; one has a check that kills it, the other one that only tells.
fn life(api: &Api<'_>, registry: &str) -> String {
    let (id, work) = api.begin(
        "shop",
        json!({
            "containers": [
                {
                    "displayName": "web", "imageUrl": format!("{registry}/demo/web:1"),
                    "environmentVariables": {"GREETING": "a $(HOME) $$ b"},
                    "volumeMounts": [{"volumeName": "conf", "mountPath": "/etc/app"}, {"volumeName": "work", "mountPath": "/work"}],
                    "healthChecks": [{"healthCheckType": "HTTP", "path": "/healthz", "port": 80, "intervalInSeconds": 1, "failureThreshold": 2}],
                },
                {
                    "displayName": "side", "imageUrl": format!("{registry}/demo/busybox:1"), "workingDirectory": "/tmp",
                    "command": ["sh", "-c"], "arguments": ["echo hello $0 > /work/note; pwd; exec sleep 3600", "$(X)"],
                    "volumeMounts": [{"volumeName": "work", "mountPath": "/work"}],
                    "healthChecks": [{"healthCheckType": "TCP", "port": 81, "intervalInSeconds": 1, "failureThreshold": 1, "failureAction": "NONE"}],
                    "resourceConfig": {"vcpusLimit": 0.5, "memoryLimitInGBs": 0.25},
                    "securityContext": {"securityContextType": "LINUX", "runAsUser": 1000},
                },
            ],
            "volumes": [
                {"name": "conf", "volumeType": "CONFIGFILE", "configs": [{"fileName": "a.txt", "data": "Zmlyc3Q=", "path": "sub"}]},
                {"name": "work", "volumeType": "EMPTYDIR", "backingStore": "MEMORY"},
            ],
            "gracefulShutdownTimeoutInSeconds": 1,
        }),
    );
    let ended = api.ended(&work);
    assert_eq!((&ended["status"], &ended["percentComplete"]), (&json!("SUCCEEDED"), &json!(100.0)), "{ended}");
    let instance = api.get(&format!("/containerInstances/{id}"));
    assert_eq!(instance["lifecycleState"], "ACTIVE");
    assert!(instance["vnics"][0]["privateIp"].as_str().unwrap().starts_with("10.244."), "{instance}");
    let containers = api.containers(&id);
    let (web, side) = (&containers[0], &containers[1]);
    assert_eq!((&web["lifecycleState"], &side["lifecycleState"]), (&json!("ACTIVE"), &json!("ACTIVE")));

    let ask = |path: &str| api.sh(side, &format!("wget -qO- http://127.0.0.1{path}"));
    assert_eq!(ask("/file/etc/app/sub/a.txt"), "first");
    assert_eq!(ask("/file/work/note"), "hello $(X)", "texts reach a container as they are");
    assert!(ask("/env").contains("GREETING=a $(HOME) $$ b"));
    assert_eq!(api.sh(side, "id -u; df /work | tail -1 | cut -d' ' -f1"), "1000\ntmpfs");
    assert_eq!(api.exec(side, &["false"]).1["details"]["causes"][0]["message"], "1");
    assert!(api.logs(side, false).contains("/tmp"));

    // The one check tells, the other one kills.
    let state = |number: usize| {
        let container = api.containers(&id).remove(number);
        (container["healthChecks"][0]["status"].clone(), container["containerRestartAttemptCount"].clone())
    };
    eventually(30, "web is healthy", || (state(0) == (json!("HEALTHY"), json!(0))).then_some(()));
    eventually(30, "side is not", || (state(1) == (json!("UNHEALTHY"), json!(0))).then_some(()));
    ask("/unhealthy");
    let killed = eventually(60, "web is started again", || {
        let web = api.containers(&id).remove(0);
        (web["containerRestartAttemptCount"] == 1 && web["healthChecks"][0]["status"] == "HEALTHY").then_some(web)
    });
    assert!(killed["timeTerminated"].is_string() && killed["exitCode"].is_i64(), "{killed}");
    assert!(api.logs(web, true).contains("/unhealthy"), "the log of the run before");
    assert!(!api.logs(web, false).contains("/unhealthy"));
    assert_eq!(state(1).1, json!(0), "the other one goes on");

    // What needs no restart is changed in place.
    let files = json!([{"name": "conf", "volumeType": "CONFIGFILE", "configs": [{"fileName": "a.txt", "data": "c2Vjb25k", "path": "sub"}]}]);
    api.done("PUT", &format!("/containerInstances/{id}"), &json!({"volumes": files, "displayName": "store"}));
    eventually(60, "the file has changed", || (ask("/file/etc/app/sub/a.txt") == "second").then_some(()));
    assert_eq!(state(0).1, json!(1));
    follow(api, web, &ask);
    id
}

/// A log that is followed shows what is written later.
fn follow(api: &Api<'_>, web: &Value, ask: &dyn Fn(&str) -> String) {
    let path = format!("/containers/{}/logs?follow=true&tail=0", web["id"].as_str().unwrap());
    let mut answer = api.runtime.block_on(api.request("GET", &path, &Value::Null).send()).unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    ask("/later");
    let found = api.runtime.block_on(async {
        let mut text = String::new();
        while !text.contains("/later") {
            let piece = tokio::time::timeout(Duration::from_secs(20), answer.chunk()).await;
            let piece = piece.expect("a line within 20 s").expect("the stream goes on").expect("it has not ended");
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        text
    });
    assert!(found.contains("/later"), "{found}");
}

/// Pods of two clusters and the instance are in one VCN: each reaches the others, and each cluster's pods their own API.
fn network(api: &Api<'_>, registry: &str, id: &str) {
    let world = api.world;
    let address = api.get(&format!("/containerInstances/{id}"))["vnics"][0]["privateIp"].as_str().unwrap().to_owned();
    let mut addresses = vec![address];
    for cluster in ["one", "two"] {
        world.cluster(cluster, 1);
        world.ok(&format!("kubectl run web --image={registry}/demo/web:1"));
        world.ok("kubectl wait --for=condition=Ready pod/web --timeout=60s");
        let ask = |url: &str| world.ok(&format!("kubectl exec web -- wget -qO- http://127.0.0.1/get/{url}"));
        for address in &addresses {
            assert!(ask(&format!("{address}:80/ping")).ends_with(" /ping"), "{cluster} reaches {address}");
        }
        addresses.push(world.ok("kubectl get pod web -o jsonpath='{.status.podIP}'"));
        // It is the gateway that answers, which takes no plain HTTP.
        world.ok("kubectl exec web -- sh -c 'nc -w 3 $KUBERNETES_SERVICE_HOST 443 < /dev/null'");
    }
    let distinct: std::collections::BTreeSet<&String> = addresses.iter().collect();
    assert_eq!(distinct.len(), 3, "no address is leased twice: {addresses:?}");
    let side = api.containers(id).remove(1);
    for address in &addresses[1..] {
        assert_eq!(api.sh(&side, &format!("wget -qO- http://127.0.0.1/get/{address}:80/ping")), "web /ping");
    }
}

fn stop_and_start(api: &Api<'_>, id: &str) {
    let path = format!("/containerInstances/{id}");
    let before = api.containers(id);
    // By the uid of each run: until when it was seen.
    let usage = |count: usize| {
        eventually(60, &format!("{count} runs are charged"), || {
            let runs = api.world.usage(id);
            (runs.len() == count).then_some(runs)
        })
    };
    let end_of = |runs: &[Value], uid: &Value| {
        runs.iter().find(|run| run["podUid"] == *uid).map(|run| run["lastSeen"].clone()).unwrap()
    };
    let first = usage(1).remove(0);
    assert_eq!((first["ocpus"].as_str(), first["memoryInGBs"].as_str()), (Some("1"), Some("2")), "{first}");
    assert_eq!((&first["billedOcpus"], &first["billedMemoryInGBs"]), (&json!(1), &json!(2)), "exactly its size");
    api.done("POST", &format!("{path}/actions/stop"), &Value::Null);
    assert_eq!(api.get(&path)["lifecycleState"], "INACTIVE");
    assert_eq!(api.containers(id)[0]["lifecycleState"], "INACTIVE");
    let address = api.get(&path)["vnics"][0]["privateIp"].clone();
    let (status, _, text) = api.send("POST", &format!("{path}/actions/stop"), &Value::Null);
    assert_eq!(status, 409, "{text}");
    api.done("POST", &format!("{path}/actions/start"), &Value::Null);
    assert_eq!(api.get(&path)["lifecycleState"], "ACTIVE");
    let after = api.containers(id);
    assert_eq!((&before[0]["id"], &after[0]["containerRestartAttemptCount"]), (&after[0]["id"], &json!(0)));
    assert_eq!(api.sh(&after[1], "cat /work/note"), "hello $(X)");
    assert_eq!(api.get(&path)["vnics"][0]["privateIp"], address, "nobody else has asked for it");
    let ended = end_of(&usage(2), &first["podUid"]);
    api.done("POST", &format!("{path}/actions/restart"), &Value::Null);
    assert_eq!(end_of(&usage(3), &first["podUid"]), ended, "a run that is over is charged no more");
}

/// Instances that end by themselves, and one that can't begin.
fn jobs(api: &Api<'_>, registry: &str) {
    let job = |code: u32| {
        json!({"containerRestartPolicy": "NEVER", "containers": [{
            "imageUrl": format!("{registry}/demo/busybox:1"), "command": ["sh", "-c", format!("echo done; exit {code}")]}]})
    };
    let (id, work) = api.begin("job", job(3));
    assert_eq!(api.ended(&work)["status"], "SUCCEEDED");
    let path = format!("/containerInstances/{id}");
    eventually(60, "the job is over", || (api.get(&path)["lifecycleState"] == "INACTIVE").then_some(()));
    let container = api.containers(&id).remove(0);
    assert_eq!((&container["exitCode"], &container["lifecycleState"]), (&json!(3), &json!("INACTIVE")), "{container}");
    assert_eq!(api.logs(&container, false), "done\n");

    let (id, work) =
        api.begin("bad", json!({"containers": [{"imageUrl": format!("{registry}/demo/no-such-image:1")}]}));
    assert_eq!(api.ended(&work)["status"], "FAILED");
    let instance = api.get(&format!("/containerInstances/{id}"));
    assert_eq!(instance["lifecycleState"], "FAILED");
    assert!(instance["lifecycleDetails"].as_str().unwrap().contains("no-such-image"), "{instance}");
    api.done("DELETE", &format!("/containerInstances/{id}"), &Value::Null);
}
