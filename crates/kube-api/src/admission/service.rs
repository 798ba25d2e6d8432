//! Services: unique cluster addresses and node ports, given inside the write's transaction and so never twice.

use crate::meta;
use kube_store::{Key, Txn};
use problem::kube::{Cause, Status};
use rand::Rng;
use serde_json::{Value, json};
use std::{collections::HashSet, net::Ipv4Addr, ops::RangeInclusive};

/// Range used if the cluster has no ServiceCIDR.
pub(crate) const DEFAULT_CIDR: &str = "10.96.0.0/16";
/// Node ports. Source: kube-apiserver's `--service-node-port-range`.
const NODE_PORTS: RangeInclusive<u16> = 30000..=32767;
/// Object that says the range, as upstream makes it.
const CIDR_OBJECT: (&str, &str) = ("servicecidrs.networking.k8s.io", "kubernetes");

/// An IPv4 range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    first: u32,
    size: u32,
}

impl Range {
    /// Reads `10.96.0.0/16`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits): (Ipv4Addr, u32) = (address.parse().ok()?, bits.parse().ok()?);
        if !(8..=30).contains(&bits) {
            return None;
        }
        let size = 1u32 << (32 - bits);
        Some(Self { first: u32::from(address) & !(size - 1), size })
    }

    /// The n-th address.
    pub(crate) fn nth(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.first + n)
    }

    fn usable(self, address: Ipv4Addr) -> bool {
        let at = u32::from(address).wrapping_sub(self.first);
        at > 0 && at < self.size - 1
    }

    /// A free address: a random one above the part kept for addresses that users choose, else the first free one.
    /// Source of the split: KEP-3070, `min(max(16, size/16), 256)`.
    fn free(self, taken: &HashSet<String>) -> Option<Ipv4Addr> {
        let low = (self.size / 16).clamp(16, 256).min(self.size - 2);
        let mut random = rand::rng();
        for _ in 0..32 {
            let address = self.nth(random.random_range(low..self.size - 1));
            if !taken.contains(&address.to_string()) {
                return Some(address);
            }
        }
        (low..self.size - 1).chain(1..low).map(|n| self.nth(n)).find(|a| !taken.contains(&a.to_string()))
    }
}

struct Taken {
    addresses: HashSet<String>,
    ports: HashSet<(String, u64)>,
}

/// Gives a service its addresses and node ports, or checks those it asks for; an update keeps what it had.
///
/// # Errors
/// 422 if what it asks for is taken or out of range, 500 if nothing is free.
pub(crate) fn allocate(txn: &Txn<'_>, service: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    if !service["spec"].is_object() {
        return Ok(());
    }
    if let Some(old) = old {
        keep(service, old);
    }
    let kind = service["spec"]["type"].as_str().unwrap_or("ClusterIP").to_owned();
    if kind == "ExternalName" {
        return Ok(());
    }
    let unchanged = old.is_some_and(|old| {
        ["clusterIP", "clusterIPs", "ports", "type"].iter().all(|field| old["spec"][field] == service["spec"][field])
    });
    if unchanged {
        return Ok(());
    }
    let taken = taken(txn, service);
    address(txn, service, &taken)?;
    if kind == "NodePort" || (kind == "LoadBalancer" && service["spec"]["allocateLoadBalancerNodePorts"] != false) {
        ports(service, taken)?;
    }
    Ok(())
}

/// Takes over what was allocated before and is not mentioned now.
fn keep(service: &mut Value, old: &Value) {
    let to_external = service["spec"]["type"] == "ExternalName";
    let from_external = old["spec"]["type"] == "ExternalName";
    if to_external || from_external {
        return;
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let absent = matches!(&service["spec"][field], Value::Null) || service["spec"][field] == "";
        if absent && let Some(value) = old["spec"].get(field) {
            service["spec"][field] = value.clone();
        }
    }
    let ported = |v: &Value| matches!(v["spec"]["type"].as_str(), Some("NodePort" | "LoadBalancer"));
    if !(ported(service) && ported(old)) {
        if !ported(service) {
            for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
                port.as_object_mut().map(|port| port.remove("nodePort"));
            }
        }
        return;
    }
    let before = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
    for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
        if port["nodePort"].as_u64().unwrap_or(0) == 0 {
            let same = before.iter().find(|p| p["port"] == port["port"] && p["protocol"] == port["protocol"]);
            if let Some(number) = same.and_then(|p| p.get("nodePort")) {
                port["nodePort"] = number.clone();
            }
        }
    }
}

fn taken(txn: &Txn<'_>, except: &Value) -> Taken {
    let mut taken = Taken { addresses: HashSet::new(), ports: HashSet::new() };
    let me = (meta::text(except, "namespace"), meta::text(except, "name"));
    for other in txn.list("services", None) {
        if (&*other.key.namespace, &*other.key.name) == me {
            continue;
        }
        let other = other.value();
        let list = other["spec"]["clusterIPs"].as_array();
        taken.addresses.extend(list.into_iter().flatten().filter_map(|ip| ip.as_str().map(str::to_owned)));
        for port in other["spec"]["ports"].as_array().into_iter().flatten() {
            if let Some(number) = port["nodePort"].as_u64() {
                taken.ports.insert((protocol(port), number));
            }
        }
    }
    taken
}

fn protocol(port: &Value) -> String {
    port["protocol"].as_str().unwrap_or("TCP").to_owned()
}

fn invalid(service: &Value, field: &str, value: &Value, why: &str) -> Status {
    Status::invalid("Service", meta::text(service, "name"), &[Cause::invalid(field, value, why)])
}

fn address(txn: &Txn<'_>, service: &mut Value, taken: &Taken) -> Result<(), Status> {
    let spec = &service["spec"];
    let asked = spec["clusterIP"].as_str().filter(|ip| !ip.is_empty()).or_else(|| spec["clusterIPs"][0].as_str());
    let asked = asked.unwrap_or_default().to_owned();
    let chosen = if asked == "None" {
        asked
    } else if asked.is_empty() {
        let range = range(txn);
        let full = || Status::internal("failed to allocate a serviceIP: range is full");
        range.free(&taken.addresses).ok_or_else(full)?.to_string()
    } else {
        let list = json!([asked]);
        let range = range(txn);
        let inside = asked.parse::<Ipv4Addr>().is_ok_and(|ip| range.usable(ip));
        if !inside {
            let why = format!(
                "failed to allocate IP {asked}: the provided IP ({asked}) is not in the valid range. The range of \
                 valid IPs is {}",
                cidr(txn)
            );
            return Err(invalid(service, "spec.clusterIPs", &list, &why));
        }
        if taken.addresses.contains(&asked) {
            let why = format!("failed to allocate IP {asked}: provided IP is already allocated");
            return Err(invalid(service, "spec.clusterIPs", &list, &why));
        }
        asked
    };
    let spec = service["spec"].as_object_mut().expect("checked before");
    spec.insert("clusterIP".into(), json!(chosen));
    spec.insert("clusterIPs".into(), json!([chosen]));
    spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
    spec.entry("ipFamilyPolicy").or_insert_with(|| json!("SingleStack"));
    Ok(())
}

fn cidr(txn: &Txn<'_>) -> String {
    let object = txn.get(&Key::new(CIDR_OBJECT.0, "", CIDR_OBJECT.1)).map(|object| object.value());
    let text = object.as_ref().and_then(|object| object["spec"]["cidrs"][0].as_str());
    text.unwrap_or(DEFAULT_CIDR).to_owned()
}

fn range(txn: &Txn<'_>) -> Range {
    let default = || Range::parse(DEFAULT_CIDR).expect("the constant is a range");
    Range::parse(&cidr(txn)).unwrap_or_else(default)
}

fn ports(service: &mut Value, taken: Taken) -> Result<(), Status> {
    let mut used = taken.ports;
    let count = service["spec"]["ports"].as_array().map_or(0, Vec::len);
    for at in 0..count {
        let port = &service["spec"]["ports"][at];
        let (protocol, asked) = (protocol(port), port["nodePort"].as_u64().unwrap_or(0));
        let number = if asked == 0 {
            let free = |n: &u64| !used.contains(&(protocol.clone(), *n));
            let start = rand::rng().random_range(NODE_PORTS);
            let order = (start..=*NODE_PORTS.end()).chain(*NODE_PORTS.start()..start).map(u64::from);
            order
                .into_iter()
                .find(free)
                .ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))?
        } else {
            let field = format!("spec.ports[{at}].nodePort");
            if !u16::try_from(asked).is_ok_and(|n| NODE_PORTS.contains(&n)) {
                let why = "provided port is not in the valid range. The range of valid ports is 30000-32767";
                return Err(invalid(service, &field, &json!(asked), why));
            }
            if used.contains(&(protocol.clone(), asked)) {
                return Err(invalid(service, &field, &json!(asked), "provided port is already allocated"));
            }
            asked
        };
        used.insert((protocol, number));
        service["spec"]["ports"][at]["nodePort"] = json!(number);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_give_each_address_once() {
        let range = Range::parse("10.0.0.0/28").unwrap();
        let mut taken = HashSet::new();
        while let Some(address) = range.free(&taken) {
            assert!(range.usable(address) && taken.insert(address.to_string()));
        }
        assert_eq!(taken.len(), 14);
        assert!(Range::parse("10.0.0.0/31").is_none() && Range::parse("x").is_none());
    }

    #[test]
    fn an_update_keeps_what_was_given() {
        let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.5", "clusterIPs": ["10.0.0.5"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}});
        let mut new = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}});
        keep(&mut new, &old);
        assert_eq!(new["spec"]["clusterIP"], "10.0.0.5");
        assert_eq!(new["spec"]["ports"][0]["nodePort"], 30001);
    }
}
