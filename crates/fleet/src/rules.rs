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

/// Logical CPUs behind one OCPU.
/// Source: Oracle's shapes: an OCPU is a core, with two threads on x86 and one on Arm.
pub(crate) fn cpus_per_ocpu(architecture: &str) -> u64 {
    if architecture == "arm64" { 1 } else { 2 }
}

/// Why no host took a pod, in the words that a tenant reads: nothing of hosts.
pub(crate) fn why_not(hosts: usize, row: &Row) -> String {
    if hosts == 0 {
        return "no capacity: no host is connected".to_owned();
    }
    let (runtime, domain) = (&row.body.runtime, &row.fault_domain);
    let class = if runtime.is_empty() { String::new() } else { format!(" of isolation class {runtime}") };
    let place = if domain.is_empty() { String::new() } else { format!(" in {domain}") };
    format!("no capacity{class}{place}: waiting for room")
}

/// The architecture that a shape promises, if it can't be had otherwise. Source: Oracle's A1 shapes are Arm. The x86
/// shapes bind nothing: an installation of Arm machines alone serves them too.
fn architecture_of(shape: &str) -> Option<&'static str> {
    shape.contains(".A1.").then_some("arm64")
}

fn fits(host: &Host, used: Used, row: &Row) -> bool {
    let cpu = row.ocpu_milli.saturating_mul(cpus_per_ocpu(&host.architecture));
    let runtime = row.body.runtime.as_str();
    host.is_ready()
        && architecture_of(&row.body.shape).is_none_or(|architecture| architecture == host.architecture)
        && (row.fault_domain.is_empty() || row.fault_domain == host.fault_domain())
        && used.pods < host.pods
        && used.cpu_milli.saturating_add(cpu) <= host.cpu_milli
        && used.memory_bytes.saturating_add(row.memory_bytes) <= host.memory_bytes
        && (runtime.is_empty() || host.runtimes.iter().any(|known| known == runtime))
}

/// The best host for `row`: the one whose fault domain, then itself, runs the fewest pods of the same group; then the
/// fullest, so that whole hosts stay free; then by name.
pub(crate) fn choose<'a>(
    hosts: impl Iterator<Item = &'a Host>,
    used: &HashMap<String, Used>,
    peers: &HashMap<String, u32>,
    row: &Row,
) -> Option<&'a Host> {
    let used_of = |host: &Host| used.get(host.id.as_str()).copied().unwrap_or_default();
    let peers_of = |host: &Host| peers.get(host.id.as_str()).copied().unwrap_or(0);
    let candidates: Vec<&Host> = hosts.filter(|host| fits(host, used_of(host), row)).collect();
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
    use crate::core::tests::{host, row};

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
        assert_eq!(chosen("CI.Standard.E4.Flex", "2").as_deref(), Some("b"));
        assert_eq!(chosen("CI.Standard.A1.Flex", "1"), None);
    }

    #[test]
    fn a_full_host_gets_nothing() {
        check(&[("a", "1", 4)], &[("a", 1, 4)], &[], None);
        check(&[("a", "1", 9)], &[("a", 110, 0)], &[], None);
        check(&[], &[], &[], None);
    }
}
