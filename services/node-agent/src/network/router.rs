//! One tenant network's router on this host: made, repaired, programmed; pods hung on it and taken off.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::Context;
use ipnet::Ipv4Net;

use super::link::{End, Link, Links, Mac, Route, Vxlan, set_sysctl};
use super::namespace::{self, Namespace};
use super::plan::{self, Overlay, Step, host_mac, pod_mac};
use super::rules::{self, GATEWAY, HOST_UPLINK_PREFIX, OVERLAY, RouterRules, UPLINK, pod_link};
use super::spec::{Attached, TenantNetwork};

/// Bytes that VXLAN over IPv4 adds to a packet (outer Ethernet, IP, UDP and VXLAN headers).
const VXLAN_OVERHEAD: u32 = 50;
/// Hardware address of the router's end of every pod's veth.
const ROUTER_MAC: Mac = [0x02, 0x68, 0x6b, 0, 0, 1];

/// The host, as its routers see it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) namespace: Namespace,
    pub(crate) links: Links,
    pub(crate) underlay: Ipv4Addr,
    pub(crate) underlay_mtu: u32,
    pub(crate) vxlan_port: u16,
    /// Range that the uplinks' pairs of addresses are taken from.
    pub(crate) uplinks: Ipv4Net,
    /// Ranges that no pod may reach.
    pub(crate) platform: Vec<Ipv4Net>,
    /// Name servers that pods may ask.
    pub(crate) resolvers: Vec<Ipv4Addr>,
    /// Where the routers' namespaces are kept.
    pub(crate) routers: PathBuf,
}

/// The router of one network.
#[derive(Debug)]
pub(crate) struct Router {
    namespace: Namespace,
    links: Links,
    uplink: Ipv4Addr,
}

impl Host {
    /// Host's and router's address of an uplink: a pair of neighbours in the uplinks' range.
    fn uplink_addresses(&self, slot: u16) -> (Ipv4Addr, Ipv4Addr) {
        let first = u32::from(self.uplinks.network()) + 2 * u32::from(slot);
        (Ipv4Addr::from(first), Ipv4Addr::from(first + 1))
    }

    /// How many networks fit on this host.
    pub(crate) fn slots(&self) -> u16 {
        u16::try_from(1u32 << (31 - self.uplinks.prefix_len()).min(15)).unwrap_or(u16::MAX)
    }

    /// MTU inside the tenant networks.
    pub(crate) fn pod_mtu(&self) -> u32 {
        self.underlay_mtu.saturating_sub(VXLAN_OVERHEAD)
    }

    fn router_path(&self, vni: u32) -> PathBuf {
        self.routers.join(format!("{vni}"))
    }
}

/// Name of the host's end of a network's uplink.
pub(crate) fn host_uplink(vni: u32) -> String {
    format!("{HOST_UPLINK_PREFIX}{vni}")
}

impl Router {
    /// Takes up the network's router if it is there and makes what is missing or wrong of it. Pods stay connected.
    pub(crate) async fn ensure(host: &Host, network: &TenantNetwork) -> anyhow::Result<Self> {
        let path = host.router_path(network.vni);
        let namespace = match Namespace::open(&path) {
            Ok(namespace) => namespace,
            Err(_) => {
                namespace::remove(&path).with_context(|| format!("can't clear {}", path.display()))?;
                Namespace::create(&path).await?
            }
        };
        namespace.run(set_router_sysctls).await.context("can't configure the router")?;
        let links = Links::open(&namespace).await?;
        let (_, uplink) = host.uplink_addresses(network.slot);
        let router = Self { namespace, links, uplink };
        let lo = router.links.get("lo").await?;
        router.links.up(&lo, None).await?;
        router.links.add_address(&lo, GATEWAY, 32).await?;
        router.ensure_overlay(host, network.vni).await?;
        router.ensure_uplink(host, network).await?;
        for range in network.ranges() {
            router.links.set_route(Route::Nowhere { network: range }).await?;
        }
        Ok(router)
    }

    async fn ensure_overlay(&self, host: &Host, vni: u32) -> anyhow::Result<()> {
        let mac = host_mac(host.underlay);
        if let Some(link) = self.links.find(OVERLAY).await? {
            if link.vni == Some(vni) && link.local == Some(host.underlay) && link.mac == mac {
                return self.ready(&link, host.pod_mtu()).await;
            }
            tracing::warn!("the overlay of network {vni} is wrong and is made again");
            self.links.delete(OVERLAY).await?;
        }
        let device =
            Vxlan { name: OVERLAY, vni, local: host.underlay, port: host.vxlan_port, mtu: host.pod_mtu(), mac };
        host.links.add_vxlan(&device, &self.namespace).await?;
        let link = self.links.get(OVERLAY).await?;
        self.links.up(&link, None).await
    }

    async fn ensure_uplink(&self, host: &Host, network: &TenantNetwork) -> anyhow::Result<()> {
        let name = host_uplink(network.vni);
        let (outer, inner) = host.uplink_addresses(network.slot);
        let there = (host.links.find(&name).await?, self.links.find(UPLINK).await?);
        if !matches!(there, (Some(_), Some(_))) {
            host.links.delete(&name).await?;
            self.links.delete(UPLINK).await?;
            let ends = (
                End { name: &name, mac: None, namespace: None },
                End { name: UPLINK, mac: None, namespace: Some(&self.namespace) },
            );
            host.links.add_veth(&ends.0, &ends.1, host.underlay_mtu).await?;
        }
        let (outside, inside) = (host.links.get(&name).await?, self.links.get(UPLINK).await?);
        host.links.add_address(&outside, outer, 31).await?;
        host.links.up(&outside, None).await?;
        self.links.add_address(&inside, inner, 31).await?;
        self.links.up(&inside, None).await?;
        self.links.set_route(Route::Default { gateway: outer, link: inside.index }).await
    }

    async fn ready(&self, link: &Link, mtu: u32) -> anyhow::Result<()> {
        if link.mtu != mtu {
            self.links.set_mtu(link, mtu).await?;
        }
        if link.up { Ok(()) } else { self.links.up(link, None).await }
    }

    /// Makes overlay and rules fit the network and the pods that are here.
    pub(crate) async fn program(&self, host: &Host, network: &TenantNetwork, local: &[Ipv4Addr]) -> anyhow::Result<()> {
        // A pod that is here is not elsewhere, whatever the directory says still.
        let mut remote = network.remote.clone();
        remote.retain(|pod, host_address| !local.contains(pod) && *host_address != host.underlay);
        let network = TenantNetwork { remote, ..network.clone() };
        self.load_rules(host, &network, local).await?;
        let link = self.links.get(OVERLAY).await?;
        let observed = self.observe(&link).await?;
        for step in plan::diff(&plan::overlay(&network.remote), &observed) {
            self.act(&link, step).await?;
        }
        Ok(())
    }

    async fn load_rules(&self, host: &Host, network: &TenantNetwork, local: &[Ipv4Addr]) -> anyhow::Result<()> {
        let rules =
            RouterRules { network, local, uplink: self.uplink, platform: &host.platform, resolvers: &host.resolvers };
        rules::load(&self.namespace, rules.text()).await.with_context(|| format!("rules of network {}", network.id))
    }

    async fn observe(&self, link: &Link) -> anyhow::Result<Overlay> {
        let routes = self.links.host_routes(link).await?;
        let unset = Ipv4Addr::UNSPECIFIED;
        Ok(Overlay {
            neighbours: self.links.neighbours(link).await?.into_iter().collect(),
            forwards: self.links.forwards(link).await?.into_iter().collect(),
            routes: routes.into_iter().map(|(pod, host)| (pod, host.unwrap_or(unset))).collect::<BTreeMap<_, _>>(),
        })
    }

    async fn act(&self, overlay: &Link, step: Step) -> anyhow::Result<()> {
        let link = overlay.index;
        match step {
            Step::DropRoute(pod, host) => {
                self.links.delete_route(Route::Behind { address: pod, gateway: host, link }).await
            }
            Step::DropNeighbour(host) => self.links.delete_neighbour(overlay, host).await,
            Step::DropForward(mac, host) => self.links.delete_forward(overlay, &mac, host).await,
            Step::SetForward(host) => self.links.set_forward(overlay, host_mac(host), host).await,
            Step::SetNeighbour(host) => self.links.set_neighbour(overlay, host, host_mac(host)).await,
            Step::SetRoute(pod, host) => {
                self.links.set_route(Route::Behind { address: pod, gateway: host, link }).await
            }
        }
    }

    /// Connects a sandbox: a veth pair between it and the router, its address, and the way out of it.
    /// What an earlier sandbox of the same address left is replaced.
    pub(crate) async fn attach(&self, host: &Host, pod: &Attached, sandbox: &Namespace) -> anyhow::Result<()> {
        let name = pod_link(pod.address);
        self.links.delete(&name).await?;
        rules::load(&self.namespace, rules::add_pod(pod.address)).await?;
        let ends = (
            End { name: &name, mac: Some(ROUTER_MAC), namespace: None },
            End { name: &pod.interface, mac: Some(pod_mac(pod.address)), namespace: Some(sandbox) },
        );
        self.links.add_veth(&ends.0, &ends.1, host.pod_mtu()).await?;
        let connected = self.configure(pod, &name, sandbox).await;
        if connected.is_err() {
            // A half-made connection must not look like a good one to the next agent.
            self.links.delete(&name).await.ok();
        }
        connected
    }

    async fn configure(&self, pod: &Attached, name: &str, sandbox: &Namespace) -> anyhow::Result<()> {
        let inside = Links::open(sandbox).await?;
        let lo = inside.get("lo").await?;
        inside.up(&lo, None).await?;
        let link = inside.get(&pod.interface).await?;
        inside.add_address(&link, pod.address, 32).await?;
        inside.up(&link, None).await?;
        inside.set_neighbour(&link, GATEWAY, ROUTER_MAC).await?;
        inside.set_route(Route::Direct { address: GATEWAY, link: link.index, source: None }).await?;
        inside.set_route(Route::Default { gateway: GATEWAY, link: link.index }).await?;
        let outside = self.links.get(name).await?;
        self.links.up(&outside, Some(&pod.container_id)).await?;
        self.links.set_neighbour(&outside, pod.address, pod_mac(pod.address)).await?;
        let route = Route::Direct { address: pod.address, link: outside.index, source: Some(GATEWAY) };
        self.links.set_route(route).await
    }

    /// True if that sandbox, and not another of the same address, is connected.
    pub(crate) async fn has(&self, pod: &Attached) -> anyhow::Result<bool> {
        let link = self.links.find(&pod_link(pod.address)).await?;
        Ok(link.is_some_and(|link| link.up && link.alias == pod.container_id))
    }

    /// Disconnects a sandbox, unless another one has taken its address already.
    pub(crate) async fn detach(&self, pod: &Attached) -> anyhow::Result<()> {
        let name = pod_link(pod.address);
        match self.links.find(&name).await? {
            Some(link) if link.alias != pod.container_id => return Ok(()),
            Some(_) => self.links.delete(&name).await?,
            None => {}
        }
        Ok(rules::load(&self.namespace, rules::remove_pod(pod.address)).await?)
    }

    /// Disconnects every pod that is not in `keep`; gives how many there were.
    pub(crate) async fn drop_strangers(&self, keep: &[Ipv4Addr]) -> anyhow::Result<usize> {
        let known: Vec<String> = keep.iter().map(|address| pod_link(*address)).collect();
        let mut dropped = 0;
        for link in self.links.all().await? {
            if link.name.starts_with('p') && !known.contains(&link.name) {
                self.links.delete(&link.name).await?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    /// The namespace, for connections into the network.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// Takes a router away with all that hangs on it; safe to repeat.
pub(crate) async fn remove(host: &Host, vni: u32) -> anyhow::Result<()> {
    let path = host.router_path(vni);
    host.links.delete(&host_uplink(vni)).await?;
    if let Ok(namespace) = Namespace::open(&path) {
        // Other mount namespaces may hold the router's; its tunnel must not live on there.
        let links = Links::open(&namespace).await?;
        for link in links.all().await?.into_iter().filter(|link| link.name != "lo") {
            links.delete(&link.name).await?;
        }
    }
    namespace::remove(&path).with_context(|| format!("can't remove {}", path.display()))
}

fn set_router_sysctls() -> std::io::Result<()> {
    set_sysctl("ipv4/ip_forward", "1")?;
    set_sysctl("ipv4/conf/all/rp_filter", "1")?;
    set_sysctl("ipv4/conf/all/accept_redirects", "0")?;
    set_sysctl("ipv4/conf/all/send_redirects", "0")?;
    set_sysctl("ipv4/conf/default/send_redirects", "0")?;
    // Pods are IPv4 only so far: nothing may get past the rules by IPv6.
    match set_sysctl("ipv6/conf/all/disable_ipv6", "1") {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match set_sysctl("ipv6/conf/default/disable_ipv6", "1") {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
