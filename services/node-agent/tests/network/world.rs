//! Two hosts on a bridge, an outside, and pods: all real network namespaces, gone when the test is.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use node_agent::network::namespace::Namespace;
use node_agent::network::{Config, Network};

/// Long enough for a real answer on a busy machine, short enough for the many that must not come.
const PATIENCE: Duration = Duration::from_millis(1500);
static WORLDS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct World {
    prefix: String,
    pub(crate) dir: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
        let prefix = format!("hkt{}x{}", std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed));
        let world = Self { dir: PathBuf::from(format!("/tmp/network-{prefix}")), prefix };
        std::fs::create_dir_all(&world.dir).unwrap();
        for name in ["fab", "out", "h1", "h2"] {
            world.add_namespace(name);
        }
        world.ip("-n {fab} link add br0 type bridge");
        world.ip("-n {fab} addr add 172.30.0.1/24 dev br0");
        world.ip("-n {fab} link set br0 up");
        world.sysctl("fab", "net.ipv4.ip_forward", "1");
        for (host, address) in [("h1", "172.30.0.11"), ("h2", "172.30.0.12")] {
            world.ip(&format!("-n {{fab}} link add to{host} type veth peer name eth0 netns {{{host}}}"));
            world.ip(&format!("-n {{fab}} link set to{host} master br0 up"));
            world.ip(&format!("-n {{{host}}} addr add {address}/24 dev eth0"));
            world.ip(&format!("-n {{{host}}} link set eth0 up"));
            world.ip(&format!("-n {{{host}}} link set lo up"));
            world.ip(&format!("-n {{{host}}} route add default via 172.30.0.1"));
        }
        world.ip("-n {fab} link add toout type veth peer name eth0 netns {out}");
        world.ip("-n {fab} addr add 203.0.113.1/24 dev toout");
        world.ip("-n {fab} link set toout up");
        world.ip("-n {out} addr add 203.0.113.2/24 dev eth0");
        world.ip("-n {out} link set eth0 up");
        world.ip("-n {out} route add default via 203.0.113.1");
        world
    }

    /// The agent's network part of a host ("h1", "h2").
    pub(crate) async fn agent(&self, host: &str) -> Network {
        Network::new(self.config(host)).await.unwrap()
    }

    fn config(&self, host: &str) -> Config {
        let text = format!(
            "cni_socket = {:?}\nunderlay_address = \"172.30.0.1{}\"\nnamespace = {:?}\n",
            self.dir.join(host).join("cni.sock"),
            host.trim_start_matches('h'),
            self.path(host),
        );
        toml::from_str(&text).unwrap()
    }

    /// Makes a pod's namespace and connects it through the real plugin.
    pub(crate) async fn pod(&self, agent: &Network, host: &str, pod: &str, network: &str, address: &str) {
        self.add_namespace(pod);
        let attachment = proto::fleet::Attachment { network_id: network.into(), address: address.into() };
        agent.expect(pod, attachment).await.unwrap();
        let (ok, answer) = self.cni(host, "ADD", pod).await;
        assert!(ok, "{answer}");
        assert!(answer.contains(&format!("{address}/32")), "{answer}");
    }

    /// Runs `hako-cni` as containerd would; sandbox, pod uid and namespace have the same name.
    pub(crate) async fn cni(&self, host: &str, command: &str, pod: &str) -> (bool, String) {
        let socket = self.dir.join(host).join("cni.sock");
        let config = format!(r#"{{"cniVersion":"1.0.0","name":"hako","type":"hako-cni","socket":{socket:?}}}"#);
        let mut plugin = Command::new(env!("CARGO_BIN_EXE_hako-cni"));
        plugin.env_clear().env("CNI_COMMAND", command).env("CNI_CONTAINERID", format!("sandbox-{pod}"));
        plugin.env("CNI_NETNS", self.path(pod)).env("CNI_IFNAME", "eth0");
        plugin.env("CNI_ARGS", format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=c:default;K8S_POD_UID={pod}"));
        plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        tokio::task::spawn_blocking(move || {
            let mut child = plugin.spawn().unwrap();
            child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            (output.status.success(), String::from_utf8(output.stdout).unwrap())
        })
        .await
        .unwrap()
    }

    /// A TCP server in a namespace that answers `name` and the address it sees, for as long as the test process lives.
    pub(crate) async fn serve(&self, namespace: &str, address: &str, name: &'static str) {
        let address = address.to_owned();
        let listener = self.open(namespace).run(move || TcpListener::bind(address)).await.unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                std::thread::spawn(move || {
                    let peer = stream.peer_addr().unwrap().ip();
                    let _ = stream.write_all(format!("{name} sees {peer}\n").as_bytes());
                    let mut buffer = [0; 4096];
                    // Echoes what follows, so that a connection can be used for longer.
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        if stream.write_all(&buffer[..count]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }

    /// What the server at `address` says to somebody in `namespace`; none if it can't be reached.
    pub(crate) async fn ask(&self, namespace: &str, address: &str) -> Option<String> {
        let mut connection = self.connect(namespace, address).await?;
        tokio::task::spawn_blocking(move || {
            let mut buffer = [0; 256];
            let count = connection.read(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..count]).trim().to_owned())
        })
        .await
        .unwrap()
    }

    pub(crate) async fn connect(&self, namespace: &str, address: &str) -> Option<TcpStream> {
        let address: SocketAddrV4 = address.parse().unwrap();
        let connect = move || {
            let stream = TcpStream::connect_timeout(&address.into(), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        self.open(namespace).run(connect).await.ok()
    }

    /// True if a datagram from `source` in `from` arrives at `target` in `to`.
    pub(crate) async fn datagram(&self, (from, source): (&str, &str), (to, target): (&str, &str)) -> bool {
        // A port of its own: a child process that another test forks may hold an earlier socket for a moment.
        let port = 5000 + WORLDS.fetch_add(1, Ordering::Relaxed);
        let (source, target) = (format!("{source}:0"), format!("{target}:{port}"));
        let bind = move |address: String| move || std::net::UdpSocket::bind(address);
        let receiver = self.open(to).run(bind(target.clone())).await.unwrap();
        let sender = self.open(from).run(bind(source)).await.unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        for _ in 0..3 {
            // An error says that the router refused it: as good as lost.
            let _ = sender.send_to(b"hello", &target);
        }
        tokio::task::spawn_blocking(move || receiver.recv(&mut [0; 16]).is_ok()).await.unwrap()
    }

    pub(crate) fn open(&self, namespace: &str) -> Namespace {
        Namespace::open(&self.path(namespace)).unwrap()
    }

    pub(crate) fn router(&self, host: &str, vni: u32) -> PathBuf {
        self.dir.join(host).join("network/routers").join(vni.to_string())
    }

    pub(crate) fn path(&self, namespace: &str) -> PathBuf {
        Path::new("/run/netns").join(format!("{}-{namespace}", self.prefix))
    }

    /// Runs `ip`; `{name}` stands for a namespace's real name.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let arguments = arguments.replace('{', &format!("{}-", self.prefix)).replace('}', "");
        run("ip", &arguments.split(' ').collect::<Vec<_>>())
    }

    pub(crate) fn ip_in(&self, namespace: &Path, arguments: &str) -> String {
        let net = format!("--net={}", namespace.display());
        let mut all = vec![net.as_str(), "ip"];
        all.extend(arguments.split(' '));
        run("nsenter", &all)
    }

    pub(crate) fn remove_namespace(&self, name: &str) {
        run("ip", &["netns", "del", &format!("{}-{name}", self.prefix)]);
    }

    fn add_namespace(&self, name: &str) {
        run("ip", &["netns", "add", &format!("{}-{name}", self.prefix)]);
    }

    fn sysctl(&self, namespace: &str, key: &str, value: &str) {
        let net = format!("--net={}", self.path(namespace).display());
        run("nsenter", &[&net, "sysctl", "-q", "-w", &format!("{key}={value}")]);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let names = Command::new("ip").args(["netns", "list"]).output().map(|o| o.stdout).unwrap_or_default();
        for line in String::from_utf8_lossy(&names).lines() {
            let name = line.split(' ').next().unwrap_or_default();
            if name.starts_with(&format!("{}-", self.prefix)) {
                let _ = Command::new("ip").args(["netns", "del", name]).status();
            }
        }
        for host in ["h1", "h2"] {
            let routers = std::fs::read_dir(self.dir.join(host).join("network/routers"));
            for router in routers.into_iter().flatten().flatten() {
                let _ = Command::new("umount").arg("-l").arg(router.path()).stderr(Stdio::null()).status();
            }
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A network of control's, with the path to its API.
pub(crate) fn network(id: &str, vni: u32, generation: u64, remote: &[(&str, &str)]) -> proto::fleet::Network {
    let remote = remote.iter().map(|(address, host)| proto::fleet::RemotePod {
        address: address.parse::<Ipv4Addr>().unwrap().to_string(),
        host_address: (*host).to_owned(),
    });
    proto::fleet::Network {
        id: id.into(),
        generation,
        vni,
        pod_cidr: "10.244.0.0/16".into(),
        service_cidr: "10.96.0.0/16".into(),
        remote_pods: remote.collect(),
        api_service_address: "10.96.0.1:443".into(),
        api_backend_address: "172.30.0.1:6443".into(),
        ..Default::default()
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
