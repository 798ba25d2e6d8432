//! Tenant networks of this host: one router namespace per network, the pods' addresses, and the CNI plugin's other end.
//!
//! A router is a network namespace of its own. Pods hang on it by routed veths (/32, gateway 169.254.1.1), a VXLAN device
//! joins it with the network's routers on other hosts, an uplink veth leads out through the host; every packet passes
//! its nftables. So tenants may use the same ranges and still can't reach each other.
//!
//! Invariant: nothing here depends on the agent's memory. Routers and connected pods live on when the agent ends; the
//! next agent takes them up, repairs what is wrong and removes what nobody owns.
//! The mount namespace that the agent runs in must outlive it (no `unshare -m`, no `ip netns exec`): the routers'
//! names are mounts below the state directory.

pub mod cni;
pub mod namespace;

mod link;
mod plan;
mod router;
mod rules;
mod server;
mod spec;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ipnet::Ipv4Net;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Notify};
use tokio_util::task::AbortOnDropHandle;

use link::Links;
use namespace::Namespace;
use router::{Host, Router, host_uplink};
use rules::{HOST_UPLINK_PREFIX, HostRules};
use spec::{Attached, Expectation, Files, TenantNetwork};

pub use cni::conflist;

/// Time that a sandbox's ADD waits for control's word on the pod's address and network.
const WAIT_FOR_NETWORK: Duration = Duration::from_secs(15);

/// What the network part needs to know of the host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Unix socket on which `hako-cni` asks for a sandbox's address.
    pub cni_socket: PathBuf,
    /// Address by which other hosts reach this one (VXLAN underlay), IPv4.
    pub underlay_address: Ipv4Addr,
    /// Where routers and records are kept; default: `network` beside the CNI socket.
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
    /// UDP port of the overlay. Default 4789 (RFC 7348).
    #[serde(default = "default_vxlan_port")]
    pub vxlan_port: u16,
    /// Range for the addresses between host and routers; never seen outside the host, so all hosts may use the same.
    /// Default: a part of the link-local range without the metadata address that clouds use.
    #[serde(default = "default_uplinks")]
    pub uplinks: Ipv4Net,
    /// Ranges that pods must not reach, beside the host's own networks and link-local ones.
    #[serde(default)]
    pub platform: Vec<Ipv4Net>,
    /// Name servers that pods may ask on port 53 even if they are in such a range.
    #[serde(default)]
    pub resolvers: Vec<Ipv4Addr>,
    /// The network namespace that is "the host". Default: the agent's own.
    #[serde(default = "default_namespace")]
    pub namespace: PathBuf,
}

/// All tenant networks on this host; clones share them.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
    _server: Arc<AbortOnDropHandle<()>>,
}

/// The pod's address or network is not known yet: containerd should try again.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not known on this host yet")]
pub(crate) struct NotYet {
    what: String,
}

pub(crate) struct Inner {
    host: Host,
    tenants: Mutex<BTreeMap<String, Arc<Mutex<Tenant>>>>,
    /// Held while the host's rules are made from all networks.
    host_rules: Mutex<()>,
    networks: Files,
    expectations: Files,
    attached: Files,
    /// Something that an ADD may wait for has come.
    news: Notify,
}

struct Tenant {
    network: TenantNetwork,
    router: Option<Router>,
    pods: BTreeMap<String, Attached>,
    /// Control has taken the network away; it goes with its last pod.
    doomed: bool,
}

impl Network {
    /// Opens the CNI socket and adopts the networks that an earlier agent left.
    ///
    /// # Errors
    /// If the host lacks what is needed (underlay address, capabilities, nftables) or the state can't be read. A single
    /// network that can't be restored is only logged; it is tried again when control sends it.
    pub async fn new(config: Config) -> anyhow::Result<Self> {
        let state_dir = config.state_dir.clone().unwrap_or_else(|| config.cni_socket.with_file_name("network"));
        let inner = Arc::new(Inner {
            host: open_host(&config, state_dir.join("routers")).await?,
            tenants: Mutex::default(),
            host_rules: Mutex::default(),
            networks: Files::open(state_dir.join("networks"))?,
            expectations: Files::open(state_dir.join("pods"))?,
            attached: Files::open(state_dir.join("sandboxes"))?,
            news: Notify::new(),
        });
        inner.load_host_rules().await?;
        inner.restore().await?;
        let listener = server::listen(&config.cni_socket)?;
        let server = tokio::spawn(server::serve(listener, Arc::downgrade(&inner)));
        Ok(Self { inner, _server: Arc::new(AbortOnDropHandle::new(server)) })
    }

    /// Makes the host's side of `network` as described; older generations are ignored.
    ///
    /// # Errors
    /// If the description makes no sense or the kernel refuses; then it may be half done: apply it again.
    pub async fn apply(&self, network: proto::fleet::Network) -> anyhow::Result<()> {
        self.inner.apply(TenantNetwork::parse(&network)?, false).await
    }

    /// Makes exactly these networks, whatever generations were seen before: what control sends when it (re)connects.
    /// Others go, each as soon as no pod is connected to it.
    ///
    /// # Errors
    /// The first one; the others are tried nevertheless.
    pub async fn sync(&self, networks: &[proto::fleet::Network]) -> anyhow::Result<()> {
        let mut result = Ok(());
        for network in networks {
            let applied = match TenantNetwork::parse(network) {
                Ok(network) => self.inner.apply(network, true).await,
                Err(error) => Err(error),
            };
            result = result.and(applied);
        }
        for id in self.inner.ids().await {
            if !networks.iter().any(|network| network.id == id) {
                result = result.and(self.inner.remove(&id).await);
            }
        }
        result
    }

    /// Takes the network away; while pods are connected to it, with the last of them. Safe to repeat.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn remove(&self, id: &str) -> anyhow::Result<()> {
        self.inner.remove(id).await
    }

    /// Notes the address a pod's sandbox will ask for through CNI. Called before RunPodSandbox; safe to repeat.
    ///
    /// # Errors
    /// If the attachment makes no sense or can't be written down.
    pub async fn expect(&self, pod_uid: &str, attachment: proto::fleet::Attachment) -> anyhow::Result<()> {
        let expectation = Expectation::parse(pod_uid, &attachment)?;
        self.inner.expectations.put(pod_uid, &expectation)?;
        self.inner.news.notify_waiters();
        Ok(())
    }

    /// The pod is gone from this host; safe to repeat.
    pub async fn forget(&self, pod_uid: &str) {
        self.inner.forget(pod_uid).await;
    }

    /// Connects to a TCP port of a pod of this host, from its network's gateway: for probes.
    ///
    /// # Errors
    /// As `connect(2)`; `NotFound` if the pod or its network is not known here.
    pub async fn dial(&self, pod_uid: &str, port: u16, timeout: Duration) -> std::io::Result<TcpStream> {
        let unknown = || std::io::Error::new(std::io::ErrorKind::NotFound, "the pod has no network on this host");
        let pod: Expectation =
            spec::is_safe(pod_uid).then(|| self.inner.expectations.get(pod_uid)).flatten().ok_or_else(unknown)?;
        let tenant = self.inner.tenant(&pod.network_id).await.ok_or_else(unknown)?;
        let namespace = tenant.lock().await.router.as_ref().map(|router| router.namespace().clone());
        let address = SocketAddr::from((pod.address, port));
        let stream =
            namespace.ok_or_else(unknown)?.run(move || std::net::TcpStream::connect_timeout(&address, timeout)).await?;
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    }
}

impl Inner {
    async fn ids(&self) -> Vec<String> {
        self.tenants.lock().await.keys().cloned().collect()
    }

    async fn tenant(&self, id: &str) -> Option<Arc<Mutex<Tenant>>> {
        self.tenants.lock().await.get(id).cloned()
    }

    async fn apply(&self, mut network: TenantNetwork, force: bool) -> anyhow::Result<()> {
        let tenant = self.admit(&mut network).await?;
        let mut tenant = tenant.lock().await;
        if network.generation < tenant.network.generation && !force {
            return Ok(());
        }
        if network.vni != tenant.network.vni && tenant.router.take().is_some() {
            router::remove(&self.host, tenant.network.vni).await?;
        }
        network.slot = tenant.network.slot;
        self.networks.put(&network.id, &network)?;
        tenant.network = network;
        tenant.doomed = false;
        tenant.settle(&self.host).await?;
        drop(tenant);
        self.load_host_rules().await?;
        self.news.notify_waiters();
        Ok(())
    }

    /// The network's entry, made with a free slot if it is new.
    async fn admit(&self, network: &mut TenantNetwork) -> anyhow::Result<Arc<Mutex<Tenant>>> {
        let mut tenants = self.tenants.lock().await;
        if let Some(tenant) = tenants.get(&network.id) {
            return Ok(tenant.clone());
        }
        let mut taken = Vec::new();
        for tenant in tenants.values() {
            taken.push(tenant.lock().await.network.slot);
        }
        let free = (0..self.host.slots()).find(|slot| !taken.contains(slot));
        network.slot = free.context("this host has no room for another network")?;
        let tenant = Arc::new(Mutex::new(Tenant::new(network.clone())));
        tenants.insert(network.id.clone(), tenant.clone());
        Ok(tenant)
    }

    async fn remove(&self, id: &str) -> anyhow::Result<()> {
        let mut tenants = self.tenants.lock().await;
        let Some(entry) = tenants.get(id).cloned() else { return Ok(()) };
        let mut tenant = entry.lock().await;
        tenant.doomed = true;
        if !tenant.pods.is_empty() {
            tracing::info!(network.id = %id, "network {id} goes with the last of its {} pods", tenant.pods.len());
            return Ok(());
        }
        router::remove(&self.host, tenant.network.vni).await?;
        self.networks.delete(id)?;
        tenants.remove(id);
        drop((tenant, tenants));
        self.load_host_rules().await
    }

    /// ADD: connects the sandbox to the router of its pod's network.
    pub(crate) async fn attach(&self, request: &cni::Request) -> anyhow::Result<Ipv4Addr> {
        anyhow::ensure!(spec::is_safe(&request.container_id), "malformed container id {:?}", request.container_id);
        anyhow::ensure!(spec::is_safe(&request.pod_uid), "CNI_ARGS has no K8S_POD_UID");
        let sandbox = Namespace::open(&request.open)
            .or_else(|_| Namespace::open(&request.netns))
            .with_context(|| format!("can't open network namespace {}", request.netns.display()))?;
        let (expectation, tenant) = self.wait_for(&request.pod_uid).await?;
        let mut tenant = tenant.lock().await;
        let pod = Attached {
            container_id: request.container_id.clone(),
            pod_uid: request.pod_uid.clone(),
            network_id: expectation.network_id,
            address: expectation.address,
            netns: request.netns.clone(),
            interface: request.interface.clone(),
        };
        self.attached.put(&pod.container_id, &pod)?;
        let router = tenant.router.as_ref().context("the network's router could not be made")?;
        router.attach(&self.host, &pod, &sandbox).await?;
        let address = pod.address;
        // An earlier sandbox of the address is disconnected by now.
        let earlier: Vec<String> =
            tenant.pods.values().filter(|p| p.address == address).map(|p| p.container_id.clone()).collect();
        for container_id in earlier.iter().filter(|id| **id != pod.container_id) {
            tenant.pods.remove(container_id);
            self.attached.delete(container_id)?;
        }
        tenant.pods.insert(pod.container_id.clone(), pod);
        if tenant.network.remote.contains_key(&address) {
            tenant.settle(&self.host).await?;
        }
        Ok(address)
    }

    /// Waits until control has said where the pod belongs.
    async fn wait_for(&self, pod_uid: &str) -> anyhow::Result<(Expectation, Arc<Mutex<Tenant>>)> {
        let deadline = tokio::time::Instant::now() + WAIT_FOR_NETWORK;
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            let missing = match self.expectations.get::<Expectation>(pod_uid) {
                Some(expectation) => match self.tenant(&expectation.network_id).await {
                    Some(tenant) if tenant.lock().await.router.is_some() => return Ok((expectation, tenant)),
                    _ => format!("network {}", expectation.network_id),
                },
                None => format!("pod {pod_uid}"),
            };
            if tokio::time::timeout_at(deadline, news).await.is_err() {
                return Err(NotYet { what: missing }.into());
            }
        }
    }

    /// DEL: disconnects the sandbox; safe to repeat.
    pub(crate) async fn detach(&self, container_id: &str) -> anyhow::Result<()> {
        if !spec::is_safe(container_id) {
            return Ok(());
        }
        let Some(pod) = self.attached.get::<Attached>(container_id) else { return Ok(()) };
        let mut last = false;
        if let Some(tenant) = self.tenant(&pod.network_id).await {
            let mut tenant = tenant.lock().await;
            if let Some(router) = &tenant.router {
                router.detach(&pod).await?;
            }
            tenant.pods.remove(container_id);
            last = tenant.doomed && tenant.pods.is_empty();
        }
        self.attached.delete(container_id)?;
        if last { self.remove(&pod.network_id).await } else { Ok(()) }
    }

    /// CHECK: the sandbox is connected.
    pub(crate) async fn check(&self, container_id: &str) -> anyhow::Result<()> {
        anyhow::ensure!(spec::is_safe(container_id), "malformed container id {container_id:?}");
        let pod: Attached = self.attached.get(container_id).context("the sandbox is not connected")?;
        let tenant = self.tenant(&pod.network_id).await.context("the sandbox's network is gone")?;
        let tenant = tenant.lock().await;
        let router = tenant.router.as_ref().context("the sandbox's network has no router")?;
        anyhow::ensure!(router.has(&pod).await?, "the sandbox's link is missing");
        Ok(())
    }

    async fn forget(&self, pod_uid: &str) {
        if !spec::is_safe(pod_uid) {
            return;
        }
        let sandboxes = self.attached.all::<Attached>().unwrap_or_default();
        for pod in sandboxes.into_iter().filter(|pod| pod.pod_uid == pod_uid) {
            if let Err(error) = self.detach(&pod.container_id).await {
                tracing::warn!(pod.uid = %pod_uid, "could not disconnect pod {pod_uid}: {error:#}");
            }
        }
        if let Err(error) = self.expectations.delete(pod_uid) {
            tracing::warn!(pod.uid = %pod_uid, "could not forget pod {pod_uid}: {error:#}");
        }
    }

    /// Takes up what an earlier agent left; what nobody owns goes.
    async fn restore(&self) -> anyhow::Result<()> {
        let sandboxes = self.attached.all::<Attached>()?;
        let mut tenants = BTreeMap::new();
        for network in self.networks.all::<TenantNetwork>()? {
            let mut tenant = Tenant::new(network);
            let own = sandboxes.iter().filter(|pod| pod.network_id == tenant.network.id);
            tenant.pods = own.map(|pod| (pod.container_id.clone(), pod.clone())).collect();
            let id = tenant.network.id.clone();
            if let Err(error) = self.restore_tenant(&mut tenant).await {
                tracing::error!(network.id = %id, "could not restore network {id}: {error:#}");
            }
            tenants.insert(id, Arc::new(Mutex::new(tenant)));
        }
        for pod in sandboxes.iter().filter(|pod| !tenants.contains_key(&pod.network_id)) {
            self.attached.delete(&pod.container_id)?;
        }
        *self.tenants.lock().await = tenants;
        self.remove_orphans().await?;
        self.load_host_rules().await
    }

    async fn restore_tenant(&self, tenant: &mut Tenant) -> anyhow::Result<()> {
        tenant.settle(&self.host).await?;
        let Some(router) = &tenant.router else { return Ok(()) };
        let mut gone = Vec::new();
        for pod in tenant.pods.values() {
            if router.has(pod).await? {
                continue;
            }
            let again = match Namespace::open(&pod.netns) {
                Ok(sandbox) => router.attach(&self.host, pod, &sandbox).await,
                Err(error) => Err(error.into()),
            };
            match again {
                Ok(()) => tracing::warn!(pod.uid = %pod.pod_uid, "connected pod {} again", pod.pod_uid),
                Err(_) => gone.push(pod.container_id.clone()),
            }
        }
        for container_id in gone {
            tenant.pods.remove(&container_id);
            self.attached.delete(&container_id)?;
        }
        let dropped = router.drop_strangers(&tenant.addresses()).await?;
        if dropped > 0 {
            tracing::warn!("removed {dropped} links without a sandbox from network {}", tenant.network.id);
        }
        tenant.settle(&self.host).await
    }

    async fn remove_orphans(&self) -> anyhow::Result<()> {
        let mut known = Vec::new();
        for tenant in self.tenants.lock().await.values() {
            known.push(tenant.lock().await.network.vni);
        }
        let named = std::fs::read_dir(&self.host.routers).context("can't list routers")?;
        let named = named.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let links = self.host.links.all().await?;
        let linked = links.iter().filter_map(|link| link.name.strip_prefix(HOST_UPLINK_PREFIX)?.parse::<u32>().ok());
        for vni in named.chain(linked).filter(|vni| !known.contains(vni)) {
            tracing::warn!("removing {}, the router of a network that is not here", host_uplink(vni));
            router::remove(&self.host, vni).await?;
        }
        Ok(())
    }

    async fn load_host_rules(&self) -> anyhow::Result<()> {
        let _turn = self.host_rules.lock().await;
        let (mut peers, mut backends) = (Vec::new(), Vec::new());
        let tenants: Vec<_> = self.tenants.lock().await.values().cloned().collect();
        for tenant in tenants {
            let tenant = tenant.lock().await;
            peers.extend(tenant.network.remote.values().copied());
            backends.extend(tenant.network.api.map(|(_, backend)| backend));
        }
        peers.sort_unstable();
        peers.dedup();
        backends.sort_unstable();
        backends.dedup();
        let rules = HostRules {
            uplinks: self.host.uplinks,
            vxlan_port: self.host.vxlan_port,
            peers: &peers,
            backends: &backends,
            resolvers: &self.host.resolvers,
        };
        rules::load(&self.host.namespace, rules.text()).await.context("rules of the host")
    }
}

impl Tenant {
    fn new(network: TenantNetwork) -> Self {
        Self { network, router: None, pods: BTreeMap::new(), doomed: false }
    }

    fn addresses(&self) -> Vec<Ipv4Addr> {
        let mut addresses: Vec<_> = self.pods.values().map(|pod| pod.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Makes the router what the network says.
    async fn settle(&mut self, host: &Host) -> anyhow::Result<()> {
        let router = match self.router.take() {
            Some(router) => router,
            None => Router::ensure(host, &self.network).await?,
        };
        let addresses = self.addresses();
        router.program(host, &self.network, &addresses).await?;
        self.router = Some(router);
        Ok(())
    }
}

async fn open_host(config: &Config, routers: PathBuf) -> anyhow::Result<Host> {
    anyhow::ensure!(config.uplinks.prefix_len() <= 30, "uplinks: {} has no room for two networks", config.uplinks);
    std::fs::create_dir_all(&routers).with_context(|| format!("can't create {}", routers.display()))?;
    let namespace = Namespace::open(&config.namespace)
        .with_context(|| format!("{} is no network namespace", config.namespace.display()))?;
    namespace.run(|| link::set_sysctl("ipv4/ip_forward", "1")).await.context("can't make the host forward")?;
    let links = Links::open(&namespace).await?;
    let addresses = links.addresses().await?;
    let own = addresses.iter().find(|(address, _, _)| *address == config.underlay_address);
    let (_, _, index) =
        own.with_context(|| format!("underlay_address {} is not an address of this host", config.underlay_address))?;
    let device = links.all().await?.into_iter().find(|link| link.index == *index).context("underlay link is gone")?;
    let mut platform = config.platform.clone();
    let local = |text: &str| text.parse::<Ipv4Net>().expect("a range written here is well-formed");
    // This network, loopback, link-local, multicast, reserved and broadcast: nothing there is for pods.
    platform.extend(["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"].map(local));
    platform.push(config.uplinks);
    let networks = addresses.iter().filter_map(|(address, prefix, _)| Ipv4Net::new(*address, *prefix).ok());
    platform.extend(networks.map(|net| net.trunc()));
    Ok(Host {
        namespace,
        links,
        underlay: config.underlay_address,
        underlay_mtu: device.mtu,
        vxlan_port: config.vxlan_port,
        uplinks: config.uplinks,
        platform,
        resolvers: config.resolvers.clone(),
        routers,
    })
}

fn default_vxlan_port() -> u16 {
    4789
}

fn default_uplinks() -> Ipv4Net {
    Ipv4Net::new(Ipv4Addr::new(169, 254, 64, 0), 18).expect("18 is a prefix length")
}

fn default_namespace() -> PathBuf {
    "/proc/self/ns/net".into()
}
