//! Links, addresses, routes and neighbours of one network namespace, through rtnetlink.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use anyhow::Context;
use futures::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope, RouteType};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, LinkVxlan, RouteMessageBuilder};
use tokio_util::task::AbortOnDropHandle;

use super::namespace::Namespace;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// What is known of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mac: Vec<u8>,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    pub(crate) alias: String,
    /// VXLAN network identifier, for a VXLAN device.
    pub(crate) vni: Option<u32>,
    /// Local address of a VXLAN device.
    pub(crate) local: Option<Ipv4Addr>,
}

/// One end of a veth pair that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct End<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: Option<Mac>,
    /// Where it goes; none: the namespace of the connection.
    pub(crate) namespace: Option<&'a Namespace>,
}

/// A netlink connection into one namespace.
#[derive(Debug)]
pub(crate) struct Links {
    handle: Handle,
    _connection: AbortOnDropHandle<()>,
}

impl Links {
    /// Connects to the namespace's netlink; usable from anywhere afterwards.
    pub(crate) async fn open(namespace: &Namespace) -> anyhow::Result<Self> {
        let (handle, task) = namespace
            .run(|| {
                let (connection, handle, _) = rtnetlink::new_connection()?;
                Ok((handle, tokio::spawn(connection)))
            })
            .await
            .context("can't open netlink")?;
        Ok(Self { handle, _connection: AbortOnDropHandle::new(task) })
    }

    /// All links.
    pub(crate) async fn all(&self) -> anyhow::Result<Vec<Link>> {
        let messages: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.context("can't list links")?;
        Ok(messages.iter().map(parse_link).collect())
    }

    /// The link of that name, if there is one.
    pub(crate) async fn find(&self, name: &str) -> anyhow::Result<Option<Link>> {
        let mut found = std::pin::pin!(self.handle.link().get().match_name(name).execute());
        match found.try_next().await {
            Ok(message) => Ok(message.as_ref().map(parse_link)),
            Err(error) if errno(&error) == Some(nix::Error::ENODEV) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't look for link {name}")),
        }
    }

    /// The link of that name.
    pub(crate) async fn get(&self, name: &str) -> anyhow::Result<Link> {
        self.find(name).await?.with_context(|| format!("link {name} is missing"))
    }

    /// Makes a veth pair; both ends are down.
    pub(crate) async fn add_veth(&self, one: &End<'_>, other: &End<'_>, mtu: u32) -> anyhow::Result<()> {
        let end = |end: &End<'_>| {
            let mut attributes = vec![LinkAttribute::IfName(end.name.to_owned()), LinkAttribute::Mtu(mtu)];
            attributes.extend(end.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
            attributes.extend(end.namespace.map(|ns| LinkAttribute::NetNsFd(ns.file().as_raw_fd())));
            attributes
        };
        let mut peer = LinkMessage::default();
        peer.attributes = end(other);
        let mut message =
            LinkVeth::new(one.name, other.name).set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build();
        message.attributes.retain(|attribute| !matches!(attribute, LinkAttribute::IfName(_)));
        message.attributes.splice(0..0, end(one));
        let added = self.handle.link().add(message).execute().await;
        added.with_context(|| format!("can't make veth pair {} - {}", one.name, other.name))
    }

    /// Makes a VXLAN device in `target` whose tunnel socket stays in this connection's namespace.
    pub(crate) async fn add_vxlan(&self, device: &Vxlan<'_>, target: &Namespace) -> anyhow::Result<()> {
        let message = LinkVxlan::new(device.name, device.vni)
            .local(device.local)
            .port(device.port)
            .learning(false)
            .mtu(device.mtu)
            .address(device.mac.to_vec())
            .setns_by_fd(target.file().as_raw_fd())
            .build();
        let added = self.handle.link().add(message).execute().await;
        added.with_context(|| format!("can't make VXLAN device {} with VNI {}", device.name, device.vni))
    }

    /// Brings a link up and notes `alias` on it, if one is given.
    pub(crate) async fn up(&self, link: &Link, alias: Option<&str>) -> anyhow::Result<()> {
        let mut message = LinkUnspec::new_with_index(link.index).up();
        if let Some(alias) = alias {
            message = message.alias(alias);
        }
        let set = self.handle.link().set(message.build()).execute().await;
        set.with_context(|| format!("can't bring link {} up", link.name))
    }

    /// Sets a link's MTU.
    pub(crate) async fn set_mtu(&self, link: &Link, mtu: u32) -> anyhow::Result<()> {
        let message = LinkUnspec::new_with_index(link.index).mtu(mtu).build();
        let set = self.handle.link().set(message).execute().await;
        set.with_context(|| format!("can't set the MTU of link {} to {mtu}", link.name))
    }

    /// Deletes the link of that name; nothing happens if there is none.
    pub(crate) async fn delete(&self, name: &str) -> anyhow::Result<()> {
        let Some(link) = self.find(name).await? else { return Ok(()) };
        match self.handle.link().del(link.index).execute().await {
            Err(error) if errno(&error) != Some(nix::Error::ENODEV) => {
                Err(error).with_context(|| format!("can't delete link {name}"))
            }
            _ => Ok(()),
        }
    }

    /// Adds an address; nothing happens if it is there.
    pub(crate) async fn add_address(&self, link: &Link, address: Ipv4Addr, prefix: u8) -> anyhow::Result<()> {
        let request = self.handle.address().add(link.index, IpAddr::V4(address), prefix).replace();
        request.execute().await.with_context(|| format!("can't add address {address}/{prefix} to {}", link.name))
    }

    /// All IPv4 addresses with their prefix length and the index of their link.
    pub(crate) async fn addresses(&self) -> anyhow::Result<Vec<(Ipv4Addr, u8, u32)>> {
        let messages: Vec<_> =
            self.handle.address().get().execute().try_collect().await.context("can't list addresses")?;
        let local = |attributes: &[AddressAttribute]| {
            attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
                _ => None,
            })
        };
        let one = |m: &rtnetlink::packet_route::address::AddressMessage| {
            local(&m.attributes).map(|address| (address, m.header.prefix_len, m.header.index))
        };
        Ok(messages.iter().filter_map(one).collect())
    }

    /// Sets a route, in place of one to the same destination.
    pub(crate) async fn set_route(&self, route: Route) -> anyhow::Result<()> {
        let request = self.handle.route().add(route.message()).replace();
        request.execute().await.with_context(|| format!("can't set {route:?}"))
    }

    /// Deletes a route; nothing happens if it is gone.
    pub(crate) async fn delete_route(&self, route: Route) -> anyhow::Result<()> {
        match self.handle.route().del(route.message()).execute().await {
            Err(error) if errno(&error) != Some(nix::Error::ESRCH) => {
                Err(error).with_context(|| format!("can't delete {route:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Destination and gateway of all /32 routes through a link.
    pub(crate) async fn host_routes(&self, link: &Link) -> anyhow::Result<Vec<(Ipv4Addr, Option<Ipv4Addr>)>> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let messages: Vec<RouteMessage> =
            self.handle.route().get(all).execute().try_collect().await.context("can't list routes")?;
        let through = |m: &&RouteMessage| m.attributes.contains(&RouteAttribute::Oif(link.index));
        let ends = |m: &RouteMessage| {
            let find = |pick: fn(&RouteAttribute) -> Option<Ipv4Addr>| m.attributes.iter().find_map(pick);
            let destination = find(|a| match a {
                RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
                _ => None,
            })?;
            let gateway = find(|a| match a {
                RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(*address),
                _ => None,
            });
            (m.header.destination_prefix_length == 32 && m.header.kind == RouteType::Unicast)
                .then_some((destination, gateway))
        };
        Ok(messages.iter().filter(through).filter_map(ends).collect())
    }

    /// Sets a permanent neighbour entry.
    pub(crate) async fn set_neighbour(&self, link: &Link, address: Ipv4Addr, mac: Mac) -> anyhow::Result<()> {
        let request = self.handle.neighbours().add(link.index, IpAddr::V4(address)).link_layer_address(&mac).replace();
        request.execute().await.with_context(|| format!("can't set neighbour {address} of {}", link.name))
    }

    /// Deletes a neighbour entry; nothing happens if it is gone.
    pub(crate) async fn delete_neighbour(&self, link: &Link, address: Ipv4Addr) -> anyhow::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.ifindex = link.index;
        message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(address)));
        self.delete_entry(message).await.with_context(|| format!("can't delete neighbour {address} of {}", link.name))
    }

    /// Permanent IPv4 neighbours of a link.
    pub(crate) async fn neighbours(&self, link: &Link) -> anyhow::Result<Vec<(Ipv4Addr, Vec<u8>)>> {
        let entries = self.entries(link, AddressFamily::Inet).await?;
        Ok(entries.into_iter().filter_map(|(address, mac)| Some((address?, mac?))).collect())
    }

    /// Sets where a VXLAN device sends frames for `mac`.
    pub(crate) async fn set_forward(&self, link: &Link, mac: Mac, host: Ipv4Addr) -> anyhow::Result<()> {
        let request = self.handle.neighbours().add_bridge(link.index, &mac).destination(IpAddr::V4(host));
        let request = request.flags(NeighbourFlags::Own).state(NeighbourState::Permanent).replace();
        request.execute().await.with_context(|| format!("can't set the way to {host} of {}", link.name))
    }

    /// Deletes a forwarding entry of a VXLAN device; nothing happens if it is gone.
    pub(crate) async fn delete_forward(&self, link: &Link, mac: &[u8], host: Ipv4Addr) -> anyhow::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = link.index;
        message.header.flags = NeighbourFlags::Own;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(host)));
        self.delete_entry(message).await.with_context(|| format!("can't delete the way to {host} of {}", link.name))
    }

    /// Forwarding entries of a VXLAN device.
    pub(crate) async fn forwards(&self, link: &Link) -> anyhow::Result<Vec<(Vec<u8>, Ipv4Addr)>> {
        let entries = self.entries(link, AddressFamily::Bridge).await?;
        Ok(entries.into_iter().filter_map(|(host, mac)| Some((mac?, host?))).collect())
    }

    async fn entries(
        &self,
        link: &Link,
        family: AddressFamily,
    ) -> anyhow::Result<Vec<(Option<Ipv4Addr>, Option<Vec<u8>>)>> {
        let request = self.handle.neighbours().get().set_address_family(family);
        let messages: Vec<NeighbourMessage> = request.execute().try_collect().await.context("can't list neighbours")?;
        let fits = |m: &&NeighbourMessage| {
            m.header.ifindex == link.index && m.header.family == family && m.header.state == NeighbourState::Permanent
        };
        let entry = |m: &NeighbourMessage| {
            let address = m.attributes.iter().find_map(|a| match a {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(*address),
                // Of a bridge entry the destination's family is not known to the parser.
                NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => {
                    <[u8; 4]>::try_from(bytes.as_slice()).ok().map(Ipv4Addr::from)
                }
                _ => None,
            });
            let mac = m.attributes.iter().find_map(|a| match a {
                NeighbourAttribute::LinkLayerAddress(mac) => Some(mac.clone()),
                _ => None,
            });
            (address, mac)
        };
        Ok(messages.iter().filter(fits).map(entry).collect())
    }

    async fn delete_entry(&self, message: NeighbourMessage) -> Result<(), rtnetlink::Error> {
        match self.handle.neighbours().del(message).execute().await {
            Err(error) if errno(&error) != Some(nix::Error::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }
}

/// A VXLAN device that is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vxlan<'a> {
    pub(crate) name: &'a str,
    pub(crate) vni: u32,
    pub(crate) local: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) mtu: u32,
    pub(crate) mac: Mac,
}

/// The kinds of routes that are used here.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route {
    /// `address` is directly at the link; packets of our own to it come from `source`.
    Direct { address: Ipv4Addr, link: u32, source: Option<Ipv4Addr> },
    /// `address` is behind `gateway`, which is taken to be at the link.
    Behind { address: Ipv4Addr, gateway: Ipv4Addr, link: u32 },
    /// All else goes through `gateway`.
    Default { gateway: Ipv4Addr, link: u32 },
    /// Nothing in this range exists, unless a longer route says so.
    Nowhere { network: ipnet::Ipv4Net },
}

impl Route {
    fn message(self) -> RouteMessage {
        let builder = RouteMessageBuilder::<Ipv4Addr>::new();
        match self {
            Self::Direct { address, link, source } => {
                let route = builder.destination_prefix(address, 32).output_interface(link).scope(RouteScope::Link);
                source.map_or(route.clone(), |source| route.pref_source(source)).build()
            }
            Self::Behind { address, gateway, link } => {
                builder.destination_prefix(address, 32).gateway(gateway).output_interface(link).onlink().build()
            }
            Self::Default { gateway, link } => builder.gateway(gateway).output_interface(link).onlink().build(),
            Self::Nowhere { network } => {
                builder.destination_prefix(network.network(), network.prefix_len()).kind(RouteType::Unreachable).build()
            }
        }
    }
}

/// The system's error number in a netlink error.
fn errno(error: &rtnetlink::Error) -> Option<nix::Error> {
    match error {
        rtnetlink::Error::NetlinkError(message) => Some(nix::Error::from_raw(message.raw_code().abs())),
        _ => None,
    }
}

fn parse_link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: Vec::new(),
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        alias: String::new(),
        vni: None,
        local: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(mac) => link.mac.clone_from(mac),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::IfAlias(alias) => link.alias.clone_from(alias),
            LinkAttribute::LinkInfo(infos) => {
                let vxlan = infos.iter().find_map(|info| match info {
                    LinkInfo::Data(InfoData::Vxlan(data)) => Some(data),
                    _ => None,
                });
                for info in vxlan.into_iter().flatten() {
                    match info {
                        InfoVxlan::Id(vni) => link.vni = Some(*vni),
                        InfoVxlan::Local(address) => link.local = Some(*address),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    link
}

/// Reads a file under `/proc/sys/net` or writes one: of the namespace of the calling thread.
pub(crate) fn set_sysctl(key: &str, value: &str) -> io::Result<()> {
    let path = format!("/proc/sys/net/{key}");
    if std::fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    std::fs::write(&path, value).map_err(|error| io::Error::new(error.kind(), format!("can't write {path}: {error}")))
}
