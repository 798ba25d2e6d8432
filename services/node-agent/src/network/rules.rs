//! nftables rules of a router and of its host: the text is pure, and replaces a whole table at once.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Command, Stdio};

use ipnet::Ipv4Net;

use super::link::Mac;
use super::namespace::Namespace;
use super::plan::host_mac;
use super::spec::TenantNetwork;

/// VXLAN device inside a router.
pub(crate) const OVERLAY: &str = "overlay";
/// Router's end of the way out.
pub(crate) const UPLINK: &str = "uplink";
/// Start of the names of the host's ends of uplinks.
pub(crate) const HOST_UPLINK_PREFIX: &str = "hku";
/// Address of the gateway that every pod sees.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Name of the router's end of a pod's veth.
pub(crate) fn pod_link(address: Ipv4Addr) -> String {
    format!("p{:08x}", u32::from(address))
}

/// What the rules of a router are made from.
#[derive(Debug)]
pub(crate) struct RouterRules<'a> {
    pub(crate) network: &'a TenantNetwork,
    /// Addresses of the pods on this host.
    pub(crate) local: &'a [Ipv4Addr],
    /// The router's own address on its uplink.
    pub(crate) uplink: Ipv4Addr,
    /// Ranges that belong to the platform: no pod may go there.
    pub(crate) platform: &'a [Ipv4Net],
    /// Name servers that pods may ask although they are the platform's.
    pub(crate) resolvers: &'a [Ipv4Addr],
}

impl RouterRules<'_> {
    /// The router's table, as one transaction for `nft -f`.
    pub(crate) fn text(&self) -> String {
        let local = elements(self.local.iter().map(|pod| local_element(*pod)));
        let remote =
            elements(self.network.remote.iter().map(|(pod, host)| format!("{} . {pod}", mac(host_mac(*host)))));
        let platform = elements(self.platform.iter().map(ToString::to_string));
        let resolvers = elements(self.resolvers.iter().map(ToString::to_string));
        let (mut translate, mut allow) = (String::new(), String::new());
        if let Some((backend, services)) = self.network.apis() {
            for service in services {
                let (address, port) = (service.ip(), service.port());
                let _ = writeln!(translate, "    iifname \"p*\" ip daddr {address} tcp dport {port} dnat to {backend}");
            }
            // Only what was sent to the service address: the backend itself is the platform's.
            let _ = write!(allow, "ct status dnat ip daddr {} tcp dport {} accept", backend.ip(), backend.port());
        }
        let uplink = self.uplink;
        format!(
            r#"add table ip hako
delete table ip hako
table ip hako {{
  set pods {{ type ifname . ipv4_addr; {local} }}
  set remote {{ type ether_addr . ipv4_addr; {remote} }}
  set platform {{ type ipv4_addr; flags interval; auto-merge; {platform} }}
  set resolvers {{ type ipv4_addr; {resolvers} }}
  chain sources {{
    type filter hook prerouting priority raw; policy accept;
    iifname "p*" iifname . ip saddr @pods accept
    iifname "p*" drop
    iifname "{OVERLAY}" ether saddr . ip saddr @remote accept
    iifname "{OVERLAY}" drop
  }}
  chain translate {{
    type nat hook prerouting priority dstnat; policy accept;
{translate}
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state invalid drop
    ct state established,related accept
    iifname {{ "p*", "{OVERLAY}" }} oifname {{ "p*", "{OVERLAY}" }} accept
    iifname "p*" oifname "{UPLINK}" jump egress
  }}
  chain egress {{
    {allow}
    ip daddr @resolvers meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr @platform reject with icmp type admin-prohibited
    accept
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname "lo" accept
    iifname "p*" icmp type echo-request accept
  }}
  chain leave {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{UPLINK}" snat to {uplink}
  }}
}}
"#
        )
    }
}

/// What the rules of the host are made from.
#[derive(Debug)]
pub(crate) struct HostRules<'a> {
    /// Range of all uplinks.
    pub(crate) uplinks: Ipv4Net,
    /// UDP port of the overlay.
    pub(crate) vxlan_port: u16,
    /// Hosts that may send overlay packets.
    pub(crate) peers: &'a [Ipv4Addr],
    /// What is behind the `kubernetes` Services, should it be on this very host.
    pub(crate) backends: &'a [SocketAddrV4],
    /// Name servers that pods may ask, should they be on this very host.
    pub(crate) resolvers: &'a [Ipv4Addr],
}

impl HostRules<'_> {
    /// The host's table, as one transaction for `nft -f`.
    pub(crate) fn text(&self) -> String {
        let peers = elements(self.peers.iter().map(ToString::to_string));
        let backends = elements(self.backends.iter().map(|b| format!("{} . {}", b.ip(), b.port())));
        let resolvers = elements(self.resolvers.iter().map(ToString::to_string));
        let (uplinks, port, prefix) = (self.uplinks, self.vxlan_port, HOST_UPLINK_PREFIX);
        format!(
            r#"add table ip hako-host
delete table ip hako-host
table ip hako-host {{
  set peers {{ type ipv4_addr; {peers} }}
  set backends {{ type ipv4_addr . inet_service; {backends} }}
  set resolvers {{ type ipv4_addr; {resolvers} }}
  chain input {{
    type filter hook input priority filter; policy accept;
    udp dport {port} ip saddr != @peers drop
    iifname != "{prefix}*" accept
    ct state established,related accept
    ip daddr . tcp dport @backends accept
    ip daddr @resolvers meta l4proto {{ tcp, udp }} th dport 53 accept
    drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{prefix}*" oifname "{prefix}*" drop
    oifname "{prefix}*" ct state established,related accept
    oifname "{prefix}*" drop
  }}
  chain leave {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {uplinks} oifname != "{prefix}*" masquerade
  }}
}}
"#
        )
    }
}

/// A transaction that adds one local pod to a router's table.
pub(crate) fn add_pod(address: Ipv4Addr) -> String {
    format!("add element ip hako pods {{ {} }}\n", local_element(address))
}

/// A transaction that takes one local pod out of a router's table, whether or not it is in.
pub(crate) fn remove_pod(address: Ipv4Addr) -> String {
    let element = local_element(address);
    format!("add element ip hako pods {{ {element} }}\ndelete element ip hako pods {{ {element} }}\n")
}

/// Gives `text` to `nft` inside a namespace: all of it takes effect at once, or nothing.
///
/// # Errors
/// With nft's own words, if it refuses or is not installed.
pub(crate) async fn load(namespace: &Namespace, text: String) -> io::Result<()> {
    namespace.run(move || run_nft(&text)).await
}

fn run_nft(text: &str) -> io::Result<()> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("can't start nft (package nftables): {error}")))?;
    // Dropped at once, so that nft sees the end of its input.
    let mut input = nft.stdin.take().expect("stdin is piped");
    input.write_all(text.as_bytes())?;
    drop(input);
    let output = nft.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("nft refused the rules: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn local_element(address: Ipv4Addr) -> String {
    format!("\"{}\" . {address}", pod_link(address))
}

fn mac(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn elements(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { String::new() } else { format!("elements = {{ {} }}", items.join(", ")) }
}
