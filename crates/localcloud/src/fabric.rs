//! The network between the hosts: a bridge in the root namespace, a namespace with a cable to it per host.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::command::{feed, line, succeeds};
use crate::layout::Layout;

/// First two octets of all clouds' subnets; the third is the cloud's number, the last the host's.
const NETWORK: (u8, u8) = (10, 213);
/// Host numbers become addresses from here on; below are the bridge and room for services.
const FIRST_HOST: u8 = 10;
/// Most hosts that one cloud may have.
pub(crate) const MAX_HOSTS: u8 = 200;

/// The cloud's addresses, chosen once and kept in the state directory.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Fabric {
    /// Third octet of the subnet.
    number: u8,
}

impl Fabric {
    /// The addresses chosen earlier, or a free subnet: the first try follows from the state directory's path.
    pub(crate) fn choose(layout: &Layout) -> anyhow::Result<Self> {
        let file = layout.state.join("fabric.json");
        if let Ok(text) = std::fs::read_to_string(&file) {
            let fabric: Self = serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))?;
            return Ok(fabric);
        }
        let first = u8::from_str_radix(&layout.id[..2], 16)?;
        let routes = line("ip -4 -o route show table all")?;
        let number = (0..=250u8).map(|i| first.wrapping_add(i)).find(|n| (1..=250).contains(n) && is_free(&routes, *n));
        let Some(number) = number else { bail!("no free subnet in {}.{}.0.0/16", NETWORK.0, NETWORK.1) };
        let fabric = Self { number };
        std::fs::write(&file, serde_json::to_string(&fabric)?)?;
        Ok(fabric)
    }

    /// The bridge's address: where hosts and pods find the cloud's services.
    pub(crate) fn bridge_address(self) -> Ipv4Addr {
        Ipv4Addr::new(NETWORK.0, NETWORK.1, self.number, 1)
    }

    /// Host `number`'s address.
    pub(crate) fn host_address(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(NETWORK.0, NETWORK.1, self.number, FIRST_HOST + number)
    }

    /// The cloud's own loopback address, for what only this machine may reach.
    pub(crate) fn loopback(self) -> Ipv4Addr {
        Ipv4Addr::new(127, NETWORK.1, self.number, 1)
    }

    fn subnet(self) -> String {
        format!("{}.{}.{}.0/24", NETWORK.0, NETWORK.1, self.number)
    }

    /// Makes bridge, hosts' namespaces, cables and address translation; what is there is left alone.
    pub(crate) fn up(self, layout: &Layout, hosts: u8) -> anyhow::Result<()> {
        let bridge = layout.bridge();
        if !exists(&bridge) {
            line(&format!("ip link add {bridge} type bridge"))?;
        }
        line(&format!("ip addr replace {}/24 dev {bridge}", self.bridge_address()))?;
        line(&format!("ip link set {bridge} up"))?;
        for number in 1..=hosts {
            self.host_up(layout, number).with_context(|| format!("can't connect host {number}"))?;
        }
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("can't turn on IPv4 forwarding")?;
        self.translate(layout)
    }

    fn host_up(self, layout: &Layout, number: u8) -> anyhow::Result<()> {
        let (namespace, cable, bridge) = (layout.namespace(number), layout.cable(number), layout.bridge());
        if !std::path::Path::new("/run/netns").join(&namespace).exists() {
            line(&format!("ip netns add {namespace}"))?;
        }
        line(&format!("ip -n {namespace} link set lo up"))?;
        if !exists(&cable) {
            line(&format!("ip link add {cable} type veth peer name eth0 netns {namespace}"))?;
            line(&format!("ip -n {namespace} addr replace {}/24 dev eth0", self.host_address(number)))?;
            line(&format!("ip -n {namespace} link set eth0 up"))?;
            line(&format!("ip link set {cable} master {bridge} up"))?;
            line(&format!("ip -n {namespace} route replace default via {}", self.bridge_address()))?;
        }
        // A cut-off host is reconnected by `up`.
        line(&format!("ip link set {cable} up"))?;
        Ok(())
    }

    /// Hosts reach the outside under this machine's address, and the machine's other rules don't stop them.
    fn translate(self, layout: &Layout) -> anyhow::Result<()> {
        let (table, subnet) = (layout.table(), self.subnet());
        let rules = format!(
            "table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n\
             chain postrouting {{ type nat hook postrouting priority srcnat; \
             ip saddr {subnet} ip daddr != {subnet} oifname != \"lo\" masquerade; }}\n}}\n"
        );
        let mut command = Command::new("nft");
        command.args(["-f", "-"]);
        feed(command, rules.as_bytes()).context("can't set up address translation")?;
        Ok(())
    }

    /// Takes all of it away again.
    pub(crate) fn down(layout: &Layout) {
        let table = layout.table();
        succeeds(&format!("nft delete table inet {table}"));
        // The last octet is the only limit on how many hosts there may have been.
        for number in 1..=MAX_HOSTS {
            let namespace = layout.namespace(number);
            if !std::path::Path::new("/run/netns").join(&namespace).exists() {
                continue;
            }
            succeeds(&format!("ip link delete {}", layout.cable(number)));
            succeeds(&format!("ip netns delete {namespace}"));
        }
        succeeds(&format!("ip link delete {}", layout.bridge()));
    }
}

fn exists(interface: &str) -> bool {
    std::path::Path::new("/sys/class/net").join(interface).exists()
}

fn is_free(routes: &str, number: u8) -> bool {
    let prefix = format!("{}.{}.{number}.", NETWORK.0, NETWORK.1);
    !routes.split_whitespace().any(|word| word.starts_with(&prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_subnet_is_not_free() {
        let routes = "default via 192.0.2.1 dev eth0\n10.213.7.0/24 dev hk0 proto kernel scope link src 10.213.7.1\n";
        assert!(!is_free(routes, 7));
        assert!(is_free(routes, 70));
    }
}
