//! Which host a pod gets: filter, then score. Pure.

use crate::core::{Host, Row};
use std::{cmp::Reverse, collections::HashMap};

/// What a host has left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) cpu_milli: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) pods: u32,
}

/// Why no host took a pod, in the words that a tenant reads: nothing of hosts.
pub(crate) fn why_not(hosts: &[&Host], row: &Row) -> String {
    if !hosts.iter().any(|host| host.is_ready()) {
        return "no capacity: no host is connected".to_owned();
    }
    let shape = row.body.shape.as_str();
    let offering: Vec<&&Host> = hosts.iter().filter(|host| host.is_present() && host.offers(shape)).collect();
    if offering.is_empty() {
        return format!("no capacity: no host offers {shape}");
    }
    let (availability, fault) = (row.availability_domain.as_str(), row.fault_domain.as_str());
    if !offering.iter().any(|host| is_in(host.availability_domain(), availability)) {
        return format!("no capacity: no host of {availability} offers {shape}");
    }
    let there = |host: &&&Host| is_in(host.availability_domain(), availability) && is_in(host.fault_domain(), fault);
    if !offering.iter().any(there) && demands_fault_domain(row) {
        return format!("no capacity: no host of {fault} offers {shape}");
    }
    let class = match row.body.runtime.as_str() {
        "" => String::new(),
        runtime => format!(" of isolation class {runtime}"),
    };
    let place = if fault.is_empty() { String::new() } else { format!(" in {fault}") };
    format!("no capacity{class}{place}: waiting for room")
}

/// What a pod takes of a host's logical CPUs: its shape says how many an OCPU is, else the host's architecture.
pub(crate) fn cpu_milli(host: &Host, row: &Row) -> u64 {
    let of_host = || domain::cpus_per_ocpu(&host.architecture);
    let each = domain::shape(&row.body.shape).map_or_else(of_host, domain::Shape::cpus_per_ocpu);
    row.ocpu_milli.saturating_mul(each)
}

/// Whether a host whose label says `has` is where a pod wants to be; a host that says nothing is anywhere.
fn is_in(has: &str, wanted: &str) -> bool {
    wanted.is_empty() || has.is_empty() || has == wanted
}

/// Whether the pod runs nowhere rather than in another fault domain. A virtual node's fault domain is where its pods run
/// as long as a host of it is there, full or not; one without hosts must not take the node's pods down with it.
fn demands_fault_domain(row: &Row) -> bool {
    row.body.node_name.is_empty()
}

/// Whether a host is of the kind, and in the place, that a pod asks for; `bound`: to its fault domain too.
fn suits(host: &Host, row: &Row, bound: bool) -> bool {
    let runtime = row.body.runtime.as_str();
    host.offers(&row.body.shape)
        && is_in(host.availability_domain(), &row.availability_domain)
        && (!bound || is_in(host.fault_domain(), &row.fault_domain))
        && (runtime.is_empty() || host.runtimes.iter().any(|known| known == runtime))
}

fn has_room(host: &Host, used: Used, row: &Row) -> bool {
    let cpu = cpu_milli(host, row);
    host.is_ready()
        && used.pods < host.pods
        && used.cpu_milli.saturating_add(cpu) <= host.cpu_milli
        && used.memory_bytes.saturating_add(row.memory_bytes) <= host.memory_bytes
}

/// The best host for `row`: the one whose fault domain, then itself, runs the fewest pods of the same group; then the
/// fullest, so that whole hosts stay free; then by name.
pub(crate) fn choose<'a>(
    hosts: impl Iterator<Item = &'a Host> + Clone,
    used: &HashMap<String, Used>,
    peers: &HashMap<String, u32>,
    row: &Row,
) -> Option<&'a Host> {
    let used_of = |host: &Host| used.get(host.id.as_str()).copied().unwrap_or_default();
    let peers_of = |host: &Host| peers.get(host.id.as_str()).copied().unwrap_or(0);
    let bound = demands_fault_domain(row) || hosts.clone().any(|host| host.is_present() && suits(host, row, true));
    let candidates: Vec<&Host> =
        hosts.filter(|host| suits(host, row, bound) && has_room(host, used_of(host), row)).collect();
    let mut domains: HashMap<&str, u32> = HashMap::new();
    for host in &candidates {
        *domains.entry(host.fault_domain()).or_default() += peers_of(host);
    }
    candidates.into_iter().min_by_key(|host| {
        let fullness = used_of(host).memory_bytes.saturating_mul(1000) / host.memory_bytes.max(1);
        (domains.get(host.fault_domain()).copied(), peers_of(host), Reverse(fullness), host.id.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        Link,
        tests::{host, row},
    };

    #[track_caller]
    fn check(hosts: &[(&str, &str, u64)], used: &[(&str, u32, u64)], peers: &[(&str, u32)], expect: Option<&str>) {
        let hosts: Vec<Host> = hosts.iter().map(|(id, domain, gib)| host(id, domain, *gib)).collect();
        let used = used
            .iter()
            .map(|(id, pods, gib)| (id.to_string(), Used { pods: *pods, memory_bytes: gib << 30, cpu_milli: 0 }))
            .collect();
        let peers = peers.iter().map(|(id, count)| (id.to_string(), *count)).collect();
        let chosen = choose(hosts.iter(), &used, &peers, &row("p"));
        assert_eq!(chosen.map(|host| host.id.as_str()), expect);
    }

    #[test]
    fn replicas_spread_over_fault_domains_then_hosts() {
        let hosts = [("a", "1", 9), ("b", "1", 9), ("c", "2", 9)];
        check(&hosts, &[], &[("a", 1)], Some("c"));
        check(&hosts, &[], &[("a", 1), ("c", 1)], Some("b"));
    }

    #[test]
    fn without_peers_the_fullest_host_is_filled_first() {
        check(&[("a", "1", 9), ("b", "1", 9)], &[("b", 1, 4)], &[], Some("b"));
    }

    /// Hosts: name, availability domain, fault domain, shapes that it offers, link (`r`eady, `a`way, `s`ilent).
    #[track_caller]
    fn check_place(hosts: &[&str], wanted: &str, expect: &str) {
        let hosts: Vec<Host> = hosts
            .iter()
            .map(|words| {
                let words: Vec<&str> = words.split(' ').collect();
                let mut host = host(words[0], words[2], 9);
                host.labels.insert("hako.dev/availability-domain".into(), words[1].into());
                host.labels.insert("hako.dev/shapes".into(), words[3].into());
                host.link = match words[4] {
                    "r" => Link::Ready(1),
                    "a" => Link::Away,
                    _ => Link::Silent,
                };
                host
            })
            .collect();
        let words: Vec<&str> = wanted.split(' ').collect();
        let mut row = row("p");
        row.availability_domain = words[0].into();
        row.fault_domain = words[1].into();
        row.body.shape = words[2].into();
        row.body.node_name = words.get(3).map(|name| (*name).to_owned()).unwrap_or_default();
        let chosen = choose(hosts.iter(), &HashMap::new(), &HashMap::new(), &row);
        let said = chosen.map_or_else(|| why_not(&hosts.iter().collect::<Vec<_>>(), &row), |host| host.id.to_string());
        assert_eq!(said, expect);
    }

    #[test]
    fn a_shape_and_a_place_are_kept() {
        let two = ["a AD-1 F1 Standard.E4.Flex r", "b AD-1 F2 Standard.E4.Flex,Standard3.Flex r"];
        check_place(&two, "AD-1 F2 Pod.Standard.E4.Flex node", "b");
        check_place(&two, "AD-1 F1 Pod.Standard.E4.Flex node", "a");
        check_place(&two, "AD-1 F1 CI.Standard.E4.Flex", "a");
        check_place(&two, "AD-1 F2 Pod.Standard3.Flex node", "b");
        let none = "no capacity: no host offers Pod.Standard.A1.Flex";
        check_place(&two, "AD-1 F1 Pod.Standard.A1.Flex node", none);
        check_place(
            &two,
            "AD-2 F1 Pod.Standard.E4.Flex node",
            "no capacity: no host of AD-2 offers Pod.Standard.E4.Flex",
        );
    }

    #[test]
    fn a_fault_domain_without_hosts_gives_a_nodes_pods_to_others() {
        let two = ["a AD-1 F1 Standard.E4.Flex r", "b AD-1 F2 Standard3.Flex r"];
        check_place(&two, "AD-1 F3 Pod.Standard.E4.Flex node", "a");
        check_place(&two, "AD-1 F2 Pod.Standard.E4.Flex node", "a");
        check_place(&two, "AD-1 F2 CI.Standard.E4.Flex", "no capacity: no host of F2 offers CI.Standard.E4.Flex");
        let wait = "no capacity in F1: waiting for room";
        check_place(&["a AD-1 F1 Standard.E4.Flex a", two[1]], "AD-1 F1 Pod.Standard.E4.Flex node", wait);
        let silent = ["a AD-1 F1 Standard.E4.Flex s", "b AD-1 F2 Standard.E4.Flex r"];
        check_place(&silent, "AD-1 F1 Pod.Standard.E4.Flex node", "b");
    }

    #[test]
    fn a_full_fault_domain_is_waited_for() {
        let hosts = [host("a", "1", 4), host("b", "2", 4)];
        let mut row = row("p");
        (row.fault_domain, row.body.node_name) = ("1".into(), "node".into());
        let full = Used { pods: 1, memory_bytes: 4 << 30, cpu_milli: 0 };
        let used = HashMap::from([("a".to_owned(), full)]);
        assert!(choose(hosts.iter(), &used, &HashMap::new(), &row).is_none());
        assert_eq!(why_not(&hosts.iter().collect::<Vec<_>>(), &row), "no capacity in 1: waiting for room");
    }

    #[test]
    fn a_shape_and_a_fault_domain_are_kept() {
        let hosts = [host("a", "1", 9), Host { architecture: "arm64".into(), ..host("b", "2", 9) }];
        let chosen = |shape: &str, domain: &str| {
            let mut row = row("p");
            row.body.shape = shape.into();
            row.fault_domain = domain.into();
            choose(hosts.iter(), &HashMap::new(), &HashMap::new(), &row).map(|host| host.id.to_string())
        };
        assert_eq!(chosen("CI.Standard.A1.Flex", "").as_deref(), Some("b"));
        assert_eq!(chosen("CI.Standard.E4.Flex", "1").as_deref(), Some("a"));
        assert_eq!(chosen("CI.Standard.E4.Flex", "2"), None);
        assert_eq!(chosen("CI.Standard.A1.Flex", "1"), None);
    }

    #[test]
    fn a_full_host_gets_nothing() {
        check(&[("a", "1", 4)], &[("a", 1, 4)], &[], None);
        check(&[("a", "1", 9)], &[("a", 110, 0)], &[], None);
        check(&[], &[], &[], None);
    }
}
