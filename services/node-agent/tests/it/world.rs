//! A host with the real agent on a real containerd, and the test's control.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use proto::fleet::control_message::Message as Say;
use proto::fleet::input::Kind;
use proto::fleet::stream_open::Kind as Open;
use proto::fleet::{Attachment, Exec, Input, Logs, Network, Placement, PodSize, RemovePlacement, Sync};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::containerd::{Containerd, IMAGE};
use crate::control::{Control, identities};

pub(crate) struct World {
    pub(crate) control: Control,
    config: String,
    agent: Option<(JoinHandle<anyhow::Result<()>>, CancellationToken)>,
    process: Option<std::process::Child>,
    placements: HashMap<String, Placement>,
    next_address: AtomicU32,
    // Last: it goes when the agent has.
    pub(crate) containerd: Containerd,
}

impl World {
    pub(crate) async fn new() -> Self {
        let containerd = Containerd::start();
        let dir = containerd.dir.clone();
        let ids = identities(&dir, &["control", "host:h1"]);
        let control = Control::default();
        let port = control.serve(&ids[0]).await;
        let path = |name: &str| format!("{:?}", dir.join(name));
        let config = format!(
            "host_id = \"h1\"\ncontrol_endpoint = \"https://127.0.0.1:{port}\"\nbilling_endpoint = \"https://127.0.0.1:9\"\n\
             containerd_socket = {}\nstate_dir = {}\nops_listen = \"127.0.0.1:0\"\ncgroup_root = \"/hako-{}\"\n\
             [logs]\nmax_bytes = 65536\nmax_files = 3\n\
             [identity]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n\
             [network]\ncni_socket = {}\nunderlay_address = \"172.30.0.11\"\nnamespace = \"/run/netns/{}\"\n",
            path("containerd.sock"),
            path("agent"),
            containerd.netns,
            ids[1].ca,
            ids[1].certificate,
            ids[1].key,
            path("cni.sock"),
            containerd.netns,
        );
        let next_address = AtomicU32::new(10);
        let mut world =
            Self { control, config, agent: None, process: None, placements: HashMap::new(), next_address, containerd };
        world.update_sync();
        world.start_agent();
        world
    }

    pub(crate) fn start_agent(&mut self) {
        let config: node_agent::Config = toml::from_str(&self.config).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(node_agent::run(config, stop.clone()));
        self.agent = Some((task, stop));
    }

    /// Starts the agent's own binary, to be killed.
    pub(crate) fn start_process(&mut self) {
        let file = self.containerd.dir.join("agent.toml");
        std::fs::write(&file, &self.config).unwrap();
        let log = std::fs::File::create(self.containerd.dir.join("agent.log")).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hako-node-agent"));
        command.arg("--config").arg(file).stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap());
    }

    /// SIGKILL.
    pub(crate) fn kill_process(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Resident memory of the agent's process, in KiB.
    pub(crate) fn process_memory_kib(&self) -> u64 {
        let id = self.process.as_ref().unwrap().id();
        let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(crate) async fn stop_agent(&mut self) {
        if let Some((task, stop)) = self.agent.take() {
            stop.cancel();
            task.await.unwrap().unwrap();
        }
    }

    fn update_sync(&self) {
        let network = Network {
            id: "net-1".into(),
            generation: 1,
            vni: 77,
            pod_cidr: "10.244.0.0/16".into(),
            service_cidr: "10.96.0.0/16".into(),
            ..Default::default()
        };
        let placements = self.placements.values().cloned().collect();
        self.control.set_sync(Sync { placements, networks: vec![network], removals: Vec::new() });
    }

    /// Takes a pod out of what control wants, without telling.
    pub(crate) fn lose(&mut self, uid: &str) {
        self.placements.remove(uid);
        self.update_sync();
    }

    /// Places a pod with this spec (containers without image get the test's); gives its uid.
    pub(crate) async fn place(&mut self, name: &str, spec: Value) -> String {
        self.place_with(name, spec, |_| {}).await
    }

    pub(crate) async fn place_with(
        &mut self,
        name: &str,
        mut spec: Value,
        change: impl FnOnce(&mut Placement),
    ) -> String {
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                if container["image"].is_null() {
                    container["image"] = IMAGE.into();
                }
            }
        }
        let uid = uuid::Uuid::new_v4().to_string();
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": {"name": name, "namespace": "default", "uid": uid, "labels": {"app": name}}});
        let address = format!("10.244.0.{}", self.next_address.fetch_add(1, Ordering::Relaxed));
        let mut placement = Placement {
            uid: uid.clone(),
            generation: 1,
            cluster_id: "c1".into(),
            namespace: "default".into(),
            name: name.to_owned(),
            pod: pod.to_string().into(),
            inputs: vec![
                input(Kind::ConfigMap, "conf", &[("key", "value"), ("other", "text")]),
                input(Kind::Secret, "cred", &[("pw", "hush-hush")]),
                input(Kind::Token, "token/token", &[("token", "jwt")]),
            ],
            size: Some(PodSize { ocpu_milli: 125, memory_bytes: 1 << 29 }),
            attachment: Some(Attachment { network_id: "net-1".into(), address }),
            shape: "Pod.Standard.E4.Flex".into(),
            node_name: "node-1".into(),
            node_address: "10.0.0.1".into(),
            ..Default::default()
        };
        change(&mut placement);
        self.update(placement).await;
        uid
    }

    /// Sends a placement, new or changed.
    pub(crate) async fn update(&mut self, placement: Placement) {
        self.placements.insert(placement.uid.clone(), placement.clone());
        self.update_sync();
        self.control.say(Say::Placement(placement)).await;
    }

    pub(crate) fn placement(&self, uid: &str) -> Placement {
        self.placements[uid].clone()
    }

    pub(crate) async fn ready(&self, uid: &str) -> Value {
        self.control.until(uid, "ready", |status, _| condition(status, "Ready") == "True").await
    }

    pub(crate) async fn phase(&self, uid: &str, phase: &str) -> Value {
        self.control.until(uid, phase, |status, _| status["phase"] == phase).await
    }

    /// Takes a pod away and waits until nothing of it is left.
    pub(crate) async fn remove(&mut self, uid: &str, grace_seconds: u32) -> Value {
        let wish = RemovePlacement { uid: uid.to_owned(), grace_seconds, moved: false };
        self.control.say(Say::Remove(wish)).await;
        let last = self.control.until(uid, "removed", |_, status| status.removed).await;
        self.lose(uid);
        self.control.say(Say::Forget(uid.to_owned())).await;
        last
    }

    pub(crate) async fn logs(&self, uid: &str, request: Logs) -> String {
        let (out, _, end) = self.control.open(uid, Open::Logs(request)).await.finish().await;
        assert_eq!(end.error, "");
        out
    }

    pub(crate) async fn exec(&self, uid: &str, command: &str) -> (String, String, i32) {
        let request = Exec {
            command: ["sh", "-c", command].map(str::to_owned).to_vec(),
            stdout: true,
            stderr: true,
            ..Default::default()
        };
        let (out, err, end) = self.control.open(uid, Open::Exec(request)).await.finish().await;
        assert_eq!(end.error, "");
        (out, err, end.exit_code)
    }

    /// Ends the agent; the rest goes by itself.
    pub(crate) async fn end(mut self) {
        self.stop_agent().await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_process();
    }
}

pub(crate) fn all_logs() -> Logs {
    Logs { tail_lines: -1, ..Default::default() }
}

pub(crate) fn condition<'a>(status: &'a Value, kind: &str) -> &'a str {
    let all = status["conditions"].as_array();
    let one = all.into_iter().flatten().find(|c| c["type"] == kind);
    one.and_then(|c| c["status"].as_str()).unwrap_or("")
}

pub(crate) fn input(kind: Kind, name: &str, data: &[(&str, &str)]) -> Input {
    let data = data.iter().map(|(k, v)| ((*k).to_owned(), Bytes::from((*v).to_owned())));
    Input { kind: kind as i32, name: name.to_owned(), data: data.collect(), ..Default::default() }
}
