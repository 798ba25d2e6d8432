use super::*;

pub(crate) fn host(id: &str, fault_domain: &str, gib: u64) -> Host {
    Host {
        id: HostId(id.into()),
        underlay_address: format!("192.0.2.{}", id.len()),
        cpu_milli: 64_000,
        memory_bytes: gib << 30,
        pods: 110,
        architecture: "amd64".into(),
        runtimes: vec!["runc".into()],
        labels: [("hako.dev/fault-domain".to_owned(), fault_domain.to_owned())].into(),
        agent_version: String::new(),
        seen: Instant::now(),
        link: Link::Ready(1),
    }
}

pub(crate) fn row(uid: &str) -> Row {
    Row {
        body: Placement { uid: uid.into(), generation: 1, cluster_id: "c".into(), ..Placement::default() },
        phase: Phase::Waiting,
        host: None,
        address: None,
        network: "c".into(),
        availability_domain: String::new(),
        range: "10.244.0.0/16".into(),
        fault_domain: String::new(),
        ocpu_milli: 125,
        memory_bytes: 1 << 29,
        replaceable: true,
        spread_group: String::new(),
        grace_seconds: 0,
        pod_status: Bytes::new(),
        status_generation: 0,
        reason: String::new(),
    }
}

const PATIENCE: Patience = Patience { silent_after: Duration::from_secs(5), lost_after: Duration::from_secs(20) };

fn core() -> Core {
    let net = Net { vni: 4096, ..Net::default() };
    let members = [("c".to_owned(), member("10.244.0.0/16", "10.96.0.0/16"))].into();
    let nets = [("c".to_owned(), net)].into();
    Core::new(nets, members, HashMap::new(), HashMap::new(), "192.0.2.1:6443".into())
}

/// A cluster in network `c`.
fn member(pods: &str, services: &str) -> Member {
    Member {
        network: "c".into(),
        tenant_id: "t".into(),
        compartment_id: "t".into(),
        pod_cidr: pods.into(),
        service_cidr: services.into(),
    }
}

fn status(uid: &str, removed: bool) -> PlacementStatus {
    PlacementStatus { uid: uid.into(), generation: 1, removed, ..PlacementStatus::default() }
}

/// Runs one move and tells, in short, what came of it.
#[track_caller]
fn check(core: &mut Core, step: impl FnOnce(&mut Core, &mut Effects), expect: &[&str]) {
    let mut effects = Effects::default();
    step(core, &mut effects);
    core.send_networks(0, &mut effects);
    let hosts = effects.to_hosts.iter().map(|(host, message)| match message {
        Message::Sync(sync) => {
            let run: BTreeSet<&str> = sync.placements.iter().map(|p| p.uid.as_str()).collect();
            let stop: BTreeSet<String> = sync.removals.iter().map(|r| format!("{}:{}", r.uid, r.moved)).collect();
            format!("{host}<sync run {run:?} stop {stop:?}")
        }
        Message::Placement(placement) => format!("{host}<run {}", placement.uid),
        Message::Remove(remove) => format!("{host}<stop {} moved {}", remove.uid, remove.moved),
        Message::Network(network) => format!("{host}<net {}", network.remote_pods.len()),
        Message::Forget(uid) => format!("{host}<forget {uid}"),
        other => format!("{host}<{other:?}"),
    });
    let events = effects.events.iter().map(|s| format!("{} {}", s.uid, s.phase().as_str_name()));
    let closures = effects.closures.iter().map(|c| format!("close {} on {}", c.uid, c.host));
    let told: Vec<String> = hosts.chain(events).chain(closures).collect();
    assert_eq!(told, expect);
}

#[test]
fn a_pod_waits_for_a_host_and_runs_when_one_comes() {
    let mut core = core();
    check(&mut core, |c, e| drop(c.put(row("p"), e).cloned()), &["p WAITING"]);
    assert_eq!(core.rows["p"].reason, "no capacity: no host is connected");
    check(
        &mut core,
        |c, e| c.connect(host("h", "1", 8), vec![], e),
        &["h<net 0", "h<sync run {\"p\"} stop {}", "p PLACED", "p PLACED"],
    );
    assert_eq!(core.rows["p"].address.as_deref(), Some("10.244.0.2"));
    check(&mut core, |c, e| c.remove("p", 30, e), &["h<stop p moved false", "p REMOVING"]);
    check(&mut core, |c, e| c.remove("p", 30, e), &[]);
    check(&mut core, |c, e| c.status(&HostId("h".into()), status("p", true), e), &["h<forget p", "p REMOVED"]);
    assert!(core.rows.is_empty());
}

#[test]
fn a_lost_hosts_pods_are_replaced_and_stopped_on_its_return() {
    let mut core = core();
    let h = HostId("h".into());
    let mut effects = Effects::default();
    core.connect(host("h", "1", 8), vec![], &mut effects);
    core.put(row("p"), &mut effects);
    core.put(Row { replaceable: false, ..row("s") }, &mut effects);
    let start = core.hosts[&h].seen;
    let at = |seconds| start + Duration::from_secs(seconds);
    check(&mut core, |c, e| c.disconnect(&h, 1, e), &[]);
    check(&mut core, |c, e| c.judge(at(10), 0, PATIENCE, e), &["p UNKNOWN", "s UNKNOWN"]);
    check(&mut core, |c, e| c.judge(at(21), 7, PATIENCE, e), &["h<net 0", "p LOST", "close p on h"]);
    check(&mut core, |c, e| c.remove("p", 0, e), &["h<net 0", "p REMOVED"]);
    let address = core.rows["p"].address.clone().unwrap();
    let range = Range::parse("10.244.0.0/16").unwrap();
    assert!(core.nets["c"].pool.clone().lease(range).unwrap() > address, "its address is not given out yet");
    check(
        &mut core,
        |c, e| c.connect(Host { seen: at(60), ..host("h", "1", 8) }, vec![status("p", false), status("s", false)], e),
        &["h<net 0", "h<sync run {\"s\"} stop {\"p:true\"}", "s PLACED", "s PLACED"],
    );
    check(&mut core, |c, e| c.status(&h, status("p", true), e), &["h<net 0", "h<forget p", "p REMOVED"]);
}

#[test]
fn control_being_away_loses_nobody() {
    let mut core = core();
    let mut effects = Effects::default();
    core.connect(host("h", "1", 8), vec![], &mut effects);
    core.put(row("p"), &mut effects);
    // For a restarted control a host's silence begins with its own start.
    let now = Instant::now();
    let away = Host { link: Link::Away, seen: now, ..host("h", "1", 8) };
    let hosts = [(HostId("h".into()), away)].into();
    let (nets, members) = (core.nets.clone(), core.members.clone());
    let mut again = super::Core::new(nets, members, core.rows.clone(), hosts, String::new());
    check(&mut again, |c, e| c.judge(now + Duration::from_secs(4), 0, PATIENCE, e), &[]);
    assert_eq!(again.snapshot()[0].phase(), WirePhase::Placed);
    check(&mut again, |c, e| c.judge(now + Duration::from_secs(6), 0, PATIENCE, e), &["p UNKNOWN"]);
}

#[test]
fn what_control_does_not_know_is_stopped() {
    let mut core = core();
    check(&mut core, |c, e| c.connect(host("h", "1", 8), vec![status("x", false)], e), &["h<sync run {} stop {}"]);
    let h = HostId("h".into());
    check(&mut core, |c, e| c.status(&h, status("x", false), e), &["h<stop x moved true"]);
    check(&mut core, |c, e| c.status(&h, status("x", true), e), &["h<forget x"]);
}

#[test]
fn an_older_generation_changes_nothing() {
    let mut core = core();
    let mut effects = Effects::default();
    core.connect(host("h", "1", 8), vec![], &mut effects);
    let newer = |generation| {
        let mut row = row("p");
        row.body.generation = generation;
        row
    };
    check(&mut core, |c, e| drop(c.put(newer(2), e).cloned()), &["h<net 0", "h<run p", "p PLACED"]);
    check(&mut core, |c, e| drop(c.put(newer(1), e).cloned()), &[]);
    check(&mut core, |c, e| drop(c.put(newer(3), e).cloned()), &["h<run p"]);
    assert_eq!(core.rows["p"].body.attachment.as_ref().unwrap().address, "10.244.0.2");
}

#[test]
fn an_agent_that_restarts_during_a_removal_keeps_the_address_leased() {
    let mut core = core();
    let h = HostId("h".into());
    let mut effects = Effects::default();
    core.connect(host("h", "1", 8), vec![], &mut effects);
    core.put(row("p"), &mut effects);
    let told = PlacementStatus { pod_status: "{}".into(), ..status("p", false) };
    core.status(&h, told, &mut effects);
    core.remove("p", 30, &mut effects);
    // It names the pod, of which it has no status yet.
    check(
        &mut core,
        |c, e| c.connect(host("h", "1", 8), vec![status("p", false)], e),
        &["h<sync run {} stop {\"p:false\"}", "p REMOVING", "p REMOVING"],
    );
    assert_eq!(core.rows["p"].pod_status, "{}", "no status is no news");
}

#[test]
fn who_waits_is_told_why_and_counted_until_there_is_room() {
    let mut core = core();
    let placed = |uid: &str, gib: u64| {
        let mut row = row(uid);
        (row.body.node_name, row.body.shape) = ("n".into(), "Pod.Standard3.Flex".into());
        (row.fault_domain, row.memory_bytes) = ("1".into(), gib << 30);
        row
    };
    let mut intel = host("h", "1", 8);
    check(&mut core, |c, e| _ = c.put(placed("p", 6), e), &["p WAITING"]);
    assert_eq!(core.supply().shapes, BTreeSet::new());
    let waiting = core.supply().waiting[&("c".to_owned(), "n".to_owned())].clone();
    assert_eq!(waiting, Waiting { pods: 1, reason: "no capacity: no host is connected".into() });
    // Of another shape only: the reason is another one, and told.
    intel.labels.insert(domain::SHAPES_LABEL.into(), "Standard.E4.Flex".into());
    check(&mut core, |c, e| c.connect(intel.clone(), vec![], e), &["h<sync run {} stop {}", "p WAITING"]);
    assert_eq!(core.rows["p"].reason, "no capacity: no host offers Pod.Standard3.Flex");
    assert_eq!(core.supply().shapes, BTreeSet::from(["Pod.Standard.E4.Flex"]));
    intel.labels.insert(domain::SHAPES_LABEL.into(), "Standard3.Flex".into());
    let mut effects = Effects::default();
    core.connect(intel, vec![], &mut effects);
    core.put(placed("q", 6), &mut effects);
    let waiting = core.supply().waiting[&("c".to_owned(), "n".to_owned())].clone();
    assert_eq!(waiting, Waiting { pods: 1, reason: "no capacity in 1: waiting for room".into() });
    core.remove("p", 0, &mut effects);
    core.status(&HostId("h".into()), status("p", true), &mut effects);
    core.place_waiting(&mut effects);
    assert_eq!(core.supply(), Supply { shapes: BTreeSet::from(["Pod.Standard3.Flex"]), waiting: BTreeMap::new() });
}

#[test]
fn a_fault_domain_that_fell_silent_makes_nobody_wait() {
    let mut core = core();
    let mut effects = Effects::default();
    core.connect(host("full", "1", 1), vec![], &mut effects);
    core.connect(Host { seen: Instant::now() + Duration::from_secs(60), ..host("free", "2", 8) }, vec![], &mut effects);
    let mut wish = Row { memory_bytes: 4 << 30, fault_domain: "1".into(), ..row("p") };
    wish.body.node_name = "n".into();
    core.put(wish, &mut effects);
    assert_eq!(core.rows["p"].phase, Phase::Waiting);
    let later = core.hosts[&HostId("full".into())].seen + Duration::from_secs(10);
    core.judge(later, 0, PATIENCE, &mut effects);
    assert_eq!(core.rows["p"].host, Some(HostId("free".into())));
}

#[test]
fn a_resized_pod_takes_what_it_asks_for_now() {
    let mut core = core();
    let mut effects = Effects::default();
    core.connect(host("h", "1", 8), vec![], &mut effects);
    let sized = |uid: &str, generation: u64, gib: u64| {
        let mut row = row(uid);
        (row.body.generation, row.memory_bytes) = (generation, gib << 30);
        row
    };
    core.put(sized("p", 1, 6), &mut effects);
    core.put(sized("q", 1, 4), &mut effects);
    assert_eq!(core.rows["q"].phase, Phase::Waiting);
    core.put(sized("p", 2, 3), &mut effects);
    core.place_waiting(&mut effects);
    assert_eq!((core.rows["q"].phase, core.rows["p"].memory_bytes), (Phase::Placed, 3 << 30));
}

#[test]
fn clusters_and_instances_of_one_network_share_its_addresses_and_all_its_api_addresses() {
    let mut core = core();
    let mut effects = Effects::default();
    core.connect(host("h", "1", 8), vec![], &mut effects);
    core.put(row("p"), &mut effects);
    // Another cluster of the VCN comes: the host that has pods of the network is told.
    let join = |c: &mut Core, e: &mut Effects| c.join("d", member("10.244.0.0/16", "10.97.0.0/16"), e);
    check(&mut core, join, &["h<net 0"]);
    check(&mut core, join, &[]);
    core.put(row("q"), &mut effects);
    let instance = |uid, address: &str| Row { address: Some(address.into()), range: "10.0.1.0/24".into(), ..row(uid) };
    assert!(core.put(instance("i", "10.0.2.9"), &mut effects).is_none(), "not of its subnet");
    assert_eq!(core.put(instance("i", "10.0.1.9"), &mut effects).unwrap().phase, Phase::Placed);
    assert!(core.put(instance("j", "10.0.1.9"), &mut effects).is_none(), "leased");
    assert_eq!(core.rows["q"].address.as_deref(), Some("10.244.0.3"), "no address twice");
    let network = core.network("c", &HostId("h".into())).unwrap();
    assert_eq!((network.pod_cidr.as_str(), network.service_cidr.as_str()), ("10.0.1.0/24", "10.96.0.0/16"));
    assert_eq!(network.more_cidrs, ["10.244.0.0/16", "10.97.0.0/16"]);
    assert_eq!(
        (network.api_service_address.as_str(), network.more_api_service_addresses),
        ("10.96.0.1:443", vec!["10.97.0.1:443".to_owned()])
    );
}
