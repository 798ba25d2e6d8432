//! What a router's overlay should hold, and the steps from what it holds to that. Pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::link::Mac;

/// Entries of a VXLAN device by which one host's router reaches the pods on others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Overlay {
    /// Hosts: underlay address → hardware address of its router on the overlay (neighbour entries).
    pub(crate) neighbours: BTreeMap<Ipv4Addr, Vec<u8>>,
    /// Hardware address → underlay address (forwarding entries).
    pub(crate) forwards: BTreeMap<Vec<u8>, Ipv4Addr>,
    /// Pods: address → underlay address of its host.
    pub(crate) routes: BTreeMap<Ipv4Addr, Ipv4Addr>,
}

/// One step; each is safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    DropRoute(Ipv4Addr, Ipv4Addr),
    DropNeighbour(Ipv4Addr),
    DropForward(Vec<u8>, Ipv4Addr),
    SetForward(Ipv4Addr),
    SetNeighbour(Ipv4Addr),
    SetRoute(Ipv4Addr, Ipv4Addr),
}

/// Hardware address of a host's routers on the overlay: locally administered, made from its underlay address.
pub(crate) fn host_mac(underlay: Ipv4Addr) -> Mac {
    let [a, b, c, d] = underlay.octets();
    [0x02, 0x68, a, b, c, d]
}

/// Hardware address of a pod, made from its address in its network.
pub(crate) fn pod_mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x70, a, b, c, d]
}

/// The overlay for these remote pods (address → host).
pub(crate) fn overlay(remote: &BTreeMap<Ipv4Addr, Ipv4Addr>) -> Overlay {
    let mut wanted = Overlay { routes: remote.clone(), ..Overlay::default() };
    for host in remote.values() {
        wanted.neighbours.insert(*host, host_mac(*host).to_vec());
        wanted.forwards.insert(host_mac(*host).to_vec(), *host);
    }
    wanted
}

/// The steps from `observed` to `wanted`: ways first, then what uses them; what is gone goes the other way round.
pub(crate) fn diff(wanted: &Overlay, observed: &Overlay) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let gone = observed.routes.iter().filter(|(pod, _)| !wanted.routes.contains_key(pod));
    steps.extend(gone.map(|(pod, host)| Step::DropRoute(*pod, *host)));
    let missing = wanted.forwards.iter().filter(|(mac, host)| observed.forwards.get(*mac) != Some(host));
    steps.extend(missing.map(|(_, host)| Step::SetForward(*host)));
    let missing = wanted.neighbours.iter().filter(|(host, mac)| observed.neighbours.get(host) != Some(mac));
    steps.extend(missing.map(|(host, _)| Step::SetNeighbour(*host)));
    let missing = wanted.routes.iter().filter(|(pod, host)| observed.routes.get(pod) != Some(host));
    steps.extend(missing.map(|(pod, host)| Step::SetRoute(*pod, *host)));
    let gone = observed.neighbours.keys().filter(|host| !wanted.neighbours.contains_key(host));
    steps.extend(gone.map(|host| Step::DropNeighbour(*host)));
    let gone = observed.forwards.iter().filter(|(mac, _)| !wanted.forwards.contains_key(*mac));
    steps.extend(gone.map(|(mac, host)| Step::DropForward(mac.clone(), *host)));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(pods: &[(u8, u8)]) -> Overlay {
        let pods = pods.iter().map(|(pod, host)| (Ipv4Addr::new(10, 0, 0, *pod), Ipv4Addr::new(172, 30, 0, *host)));
        overlay(&pods.collect())
    }

    #[track_caller]
    fn check(wanted: &[(u8, u8)], observed: &[(u8, u8)], expect: &[&str]) {
        let steps = diff(&remote(wanted), &remote(observed));
        let text: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
        assert_eq!(text, expect);
    }

    #[test]
    fn a_settled_overlay_needs_nothing() {
        check(&[(1, 1), (2, 2)], &[(1, 1), (2, 2)], &[]);
        check(&[], &[], &[]);
    }

    #[test]
    fn a_new_pod_on_a_known_host_is_one_route() {
        check(&[(1, 1), (2, 1)], &[(1, 1)], &["SetRoute(10.0.0.2, 172.30.0.1)"]);
    }

    #[test]
    fn the_way_to_a_host_comes_before_the_route() {
        check(
            &[(1, 1)],
            &[],
            &["SetForward(172.30.0.1)", "SetNeighbour(172.30.0.1)", "SetRoute(10.0.0.1, 172.30.0.1)"],
        );
    }

    #[test]
    fn a_moved_pod_leaves_its_old_host() {
        check(
            &[(1, 2)],
            &[(1, 1)],
            &[
                "SetForward(172.30.0.2)",
                "SetNeighbour(172.30.0.2)",
                "SetRoute(10.0.0.1, 172.30.0.2)",
                "DropNeighbour(172.30.0.1)",
                "DropForward([2, 104, 172, 30, 0, 1], 172.30.0.1)",
            ],
        );
    }

    #[test]
    fn the_last_pod_takes_its_host_along() {
        check(
            &[],
            &[(1, 1)],
            &[
                "DropRoute(10.0.0.1, 172.30.0.1)",
                "DropNeighbour(172.30.0.1)",
                "DropForward([2, 104, 172, 30, 0, 1], 172.30.0.1)",
            ],
        );
    }
}
