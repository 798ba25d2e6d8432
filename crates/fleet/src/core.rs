//! The fleet's state and its moves, without I/O: each move changes the state and says what must be stored and sent.

use crate::{
    address::{AddressPool, Range},
    rules::{self, Used},
};
use bytes::Bytes;
use domain::HostId;
use proto::fleet::{
    self, ControlMessage, Network, Placement, PlacementEvent, PlacementState, PlacementStatus, PodEvent, RemotePod,
    RemovePlacement, Sync, control_message::Message, placement_event::Event, placement_state::Phase as WirePhase,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

/// Label by which agents say in which fault domain their host is.
const FAULT_DOMAIN: &str = "hako.dev/fault-domain";
/// Label by which agents say in which availability domain their host is.
const AVAILABILITY_DOMAIN: &str = "hako.dev/availability-domain";

/// Where a placement stands. Legal moves: waiting → placed → removing → gone; placed → lost → fenced → gone;
/// removing → fenced → gone; waiting → gone; lost → gone once the host has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No host has room.
    Waiting,
    /// On a host.
    Placed,
    /// Asked to stop.
    Removing,
    /// Its host was silent for too long; its owner must replace it.
    Lost,
    /// Its owner has let go of it; only its lost host has not confirmed yet that nothing of it is left.
    Fenced,
}

impl Phase {
    /// The word in the database.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Placed => "placed",
            Self::Removing => "removing",
            Self::Lost => "lost",
            Self::Fenced => "fenced",
        }
    }

    /// The phase of a word in the database.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Waiting, Self::Placed, Self::Removing, Self::Lost, Self::Fenced].into_iter().find(|p| p.word() == word)
    }
}

/// One placement.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) body: Placement,
    pub(crate) phase: Phase,
    pub(crate) host: Option<HostId>,
    pub(crate) address: Option<String>,
    pub(crate) network: String,
    /// Availability domain that it asks for; empty: any.
    pub(crate) availability_domain: String,
    /// From which of the network's ranges its address is.
    pub(crate) range: String,
    /// Fault domain that it asks for; empty: any.
    pub(crate) fault_domain: String,
    pub(crate) ocpu_milli: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) replaceable: bool,
    pub(crate) spread_group: String,
    pub(crate) grace_seconds: u32,
    /// Last status that the agent gave, and the generation it was about.
    pub(crate) pod_status: Bytes,
    pub(crate) status_generation: u64,
    pub(crate) reason: String,
}

/// One host, as long as this process runs.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) underlay_address: String,
    pub(crate) cpu_milli: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) pods: u32,
    pub(crate) architecture: String,
    pub(crate) runtimes: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) agent_version: String,
    pub(crate) seen: Instant,
    pub(crate) link: Link,
}

/// How a host is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Its agent talks to us, on the stream of this number.
    Ready(u64),
    /// It has no stream since a moment ago, or since this process started.
    Away,
    /// Nothing heard for a while.
    Silent,
    /// Nothing heard past the grace; what may run twice was given up.
    Lost,
}

impl Host {
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.link, Link::Ready(_))
    }

    /// Talks to us, or did a moment ago: it is not given up.
    pub(crate) fn is_present(&self) -> bool {
        matches!(self.link, Link::Ready(_) | Link::Away)
    }

    pub(crate) fn fault_domain(&self) -> &str {
        self.labels.get(FAULT_DOMAIN).map_or("", String::as_str)
    }

    pub(crate) fn availability_domain(&self) -> &str {
        self.labels.get(AVAILABILITY_DOMAIN).map_or("", String::as_str)
    }

    pub(crate) fn offers(&self, shape: &str) -> bool {
        domain::offers(&self.architecture, self.labels.get(domain::SHAPES_LABEL).map(String::as_str), shape)
    }
}

/// One tenant network: of a VCN, with all clusters and container instances in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Net {
    pub(crate) vni: u32,
    pub(crate) pool: AddressPool,
    pub(crate) generation: u64,
}

/// What hosts can do for those who want pods run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    /// Names of the pod shapes that a host offers which is there.
    pub shapes: BTreeSet<&'static str>,
    /// Pods that no host has room for, by cluster and node.
    pub waiting: BTreeMap<(String, String), Waiting>,
}

/// Pods of a node that no host has room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub pods: usize,
    /// Why: one of their reasons.
    pub reason: String,
}

/// A cluster's place in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) network: String,
    pub(crate) tenant_id: String,
    pub(crate) compartment_id: String,
    pub(crate) pod_cidr: String,
    pub(crate) service_cidr: String,
}

/// The end of billing of one copy of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closure {
    pub(crate) uid: String,
    pub(crate) host: String,
    pub(crate) at_ms: i64,
    pub(crate) reason: &'static str,
}

/// What a batch of moves asks for: stored first, then sent.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Rows to store, or to delete if they are gone from the state.
    pub(crate) dirty: BTreeSet<String>,
    pub(crate) hosts_dirty: BTreeSet<HostId>,
    pub(crate) closures: Vec<Closure>,
    pub(crate) to_hosts: Vec<(HostId, Message)>,
    pub(crate) events: Vec<PlacementState>,
    networks: BTreeSet<String>,
}

/// Times by which silence is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) silent_after: Duration,
    pub(crate) lost_after: Duration,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) rows: HashMap<String, Row>,
    pub(crate) hosts: HashMap<HostId, Host>,
    pub(crate) nets: HashMap<String, Net>,
    /// Clusters by id.
    pub(crate) members: BTreeMap<String, Member>,
    used: HashMap<String, Used>,
    api_backend: String,
}

impl Core {
    /// The state as stored. Hosts are `Away`: their silence counts from now on, because control was away, not they.
    pub(crate) fn new(
        nets: HashMap<String, Net>,
        members: BTreeMap<String, Member>,
        rows: HashMap<String, Row>,
        hosts: HashMap<HostId, Host>,
        api_backend: String,
    ) -> Self {
        let mut core = Self { rows, nets, members, hosts, api_backend, used: HashMap::new() };
        for row in core.rows.values() {
            if let (Some(address), Some(net)) = (&row.address, core.nets.get_mut(&row.network)) {
                net.pool.claim(address);
            }
        }
        for host in core.hosts.keys().cloned().collect::<Vec<_>>() {
            core.recount(&host);
        }
        core
    }

    /// What each placement is now, for a new watcher.
    pub(crate) fn snapshot(&self) -> Vec<PlacementState> {
        self.rows.values().filter(|row| row.phase != Phase::Fenced).map(|row| self.state(row, Vec::new())).collect()
    }

    /// What hosts offer, and which nodes' pods wait for room.
    pub(crate) fn supply(&self) -> Supply {
        let present: Vec<&Host> = self.hosts.values().filter(|host| host.is_present()).collect();
        let offered = |shape: &&domain::Shape| present.iter().any(|host| host.offers(shape.series));
        let mut supply = Supply {
            shapes: domain::SHAPES.iter().filter(offered).map(|shape| shape.pod_name).collect(),
            waiting: BTreeMap::new(),
        };
        for row in self.rows.values().filter(|row| row.phase == Phase::Waiting) {
            let node = (row.body.cluster_id.clone(), row.body.node_name.clone());
            let waiting = supply.waiting.entry(node).or_insert_with(|| Waiting { pods: 0, reason: String::new() });
            waiting.pods += 1;
            // One of several reasons, the same at each look.
            if waiting.reason < row.reason {
                waiting.reason.clone_from(&row.reason);
            }
        }
        supply
    }

    fn state(&self, row: &Row, events: Vec<PodEvent>) -> PlacementState {
        let host = row.host.as_ref().and_then(|id| self.hosts.get(id));
        let silent = host.is_some_and(|host| matches!(host.link, Link::Silent | Link::Lost));
        let phase = match row.phase {
            Phase::Waiting => WirePhase::Waiting,
            Phase::Placed if silent => WirePhase::Unknown,
            Phase::Placed => WirePhase::Placed,
            Phase::Removing => WirePhase::Removing,
            Phase::Lost => WirePhase::Lost,
            Phase::Fenced => WirePhase::Removed,
        };
        PlacementState {
            uid: row.body.uid.clone(),
            cluster_id: row.body.cluster_id.clone(),
            namespace: row.body.namespace.clone(),
            name: row.body.name.clone(),
            generation: row.status_generation,
            phase: phase.into(),
            host_id: row.host.as_ref().map(ToString::to_string).unwrap_or_default(),
            host_address: host.map(|h| h.underlay_address.clone()).unwrap_or_default(),
            address: row.address.clone().unwrap_or_default(),
            reason: row.reason.clone(),
            pod_status: row.pod_status.clone(),
            events,
        }
    }

    fn changed(&self, uid: &str, effects: &mut Effects) {
        effects.dirty.insert(uid.to_owned());
        if let Some(row) = self.rows.get(uid) {
            effects.events.push(self.state(row, Vec::new()));
            effects.networks.insert(row.network.clone());
        }
    }

    /// Takes a wish for a pod: new, or changed. Returns its row as it is then; `None` if it is new and the address that
    /// it asks for (`row.address`) can't be leased to it.
    pub(crate) fn put(&mut self, row: Row, effects: &mut Effects) -> Option<&Row> {
        let uid = row.body.uid.clone();
        match self.rows.get_mut(&uid) {
            Some(known) if known.body.generation >= row.body.generation || known.phase != Phase::Placed => {
                if known.phase == Phase::Waiting && known.body.generation < row.body.generation {
                    (known.ocpu_milli, known.memory_bytes) = (row.ocpu_milli, row.memory_bytes);
                    known.body = row.body;
                    effects.dirty.insert(uid.clone());
                }
            }
            Some(known) => {
                let attachment = known.body.attachment.take();
                // A pod that was resized takes what it asks for now.
                (known.ocpu_milli, known.memory_bytes) = (row.ocpu_milli, row.memory_bytes);
                known.body = Placement { attachment, ..row.body };
                effects.dirty.insert(uid.clone());
                let host = known.host.clone().expect("a placed row has a host");
                effects.to_hosts.push((host.clone(), Message::Placement(known.body.clone())));
                self.recount(&host);
            }
            None => {
                if let Some(wanted) = &row.address {
                    let range = Range::parse(&row.range).ok()?;
                    self.nets.get_mut(&row.network)?.pool.claim_in(range, wanted).then_some(())?;
                }
                self.rows.insert(uid.clone(), row);
                self.place(&uid, effects);
                self.changed(&uid, effects);
            }
        }
        self.rows.get(&uid)
    }

    /// Tries to give a waiting placement a host and an address.
    fn place(&mut self, uid: &str, effects: &mut Effects) -> bool {
        let Some(row) = self.rows.get(uid).filter(|row| row.phase == Phase::Waiting) else { return false };
        let mut peers: HashMap<String, u32> = HashMap::new();
        if !row.spread_group.is_empty() {
            for host in
                self.rows.values().filter(|r| r.spread_group == row.spread_group).filter_map(|r| r.host.as_ref())
            {
                *peers.entry(host.to_string()).or_default() += 1;
            }
        }
        let chosen = rules::choose(self.hosts.values(), &self.used, &peers, row).map(|host| host.id.clone());
        let why = match &chosen {
            None => rules::why_not(&self.hosts.values().collect::<Vec<_>>(), row),
            Some(_) => "no capacity: the network's pod addresses are used up".to_owned(),
        };
        let address = match (&chosen, self.nets.get_mut(&row.network)) {
            (Some(_), Some(net)) => {
                row.address.clone().or_else(|| Range::parse(&row.range).ok().and_then(|range| net.pool.lease(range)))
            }
            _ => None,
        };
        let row = self.rows.get_mut(uid).expect("looked up above");
        let (Some(host), Some(address)) = (chosen, address) else {
            let news = !row.reason.is_empty() && row.reason != why;
            row.reason = why;
            if news {
                effects.events.push(self.state(&self.rows[uid], Vec::new()));
            }
            return false;
        };
        row.body.attachment = Some(fleet::Attachment { network_id: row.network.clone(), address: address.clone() });
        row.phase = Phase::Placed;
        row.host = Some(host.clone());
        row.address = Some(address);
        row.reason.clear();
        let message = Message::Placement(row.body.clone());
        self.occupy(uid);
        effects.to_hosts.push((host, message));
        true
    }

    fn occupy(&mut self, uid: &str) {
        let row = &self.rows[uid];
        let Some(host) = row.host.as_ref().and_then(|id| self.hosts.get(id)) else { return };
        let used = self.used.entry(host.id.to_string()).or_default();
        used.cpu_milli += rules::cpu_milli(host, row);
        used.memory_bytes += row.memory_bytes;
        used.pods += 1;
    }

    fn recount(&mut self, host: &HostId) {
        self.used.remove(host.as_str());
        let uids: Vec<String> =
            self.rows.values().filter(|row| row.host.as_ref() == Some(host)).map(|row| row.body.uid.clone()).collect();
        for uid in uids {
            self.occupy(&uid);
        }
    }

    /// Gives waiting placements another try, oldest first as far as we know.
    pub(crate) fn place_waiting(&mut self, effects: &mut Effects) {
        let waiting: Vec<String> =
            self.rows.values().filter(|row| row.phase == Phase::Waiting).map(|row| row.body.uid.clone()).collect();
        for uid in waiting {
            if self.place(&uid, effects) {
                self.changed(&uid, effects);
            }
        }
    }

    /// Takes the wish that a pod be gone.
    pub(crate) fn remove(&mut self, uid: &str, grace_seconds: u32, effects: &mut Effects) {
        let Some(row) = self.rows.get_mut(uid) else { return };
        match (row.phase, row.host.clone()) {
            (Phase::Waiting, _) | (Phase::Lost, None) => self.forget(uid, effects),
            (Phase::Placed | Phase::Removing, Some(host)) => {
                if row.phase == Phase::Removing && row.grace_seconds <= grace_seconds {
                    return;
                }
                row.phase = Phase::Removing;
                row.grace_seconds = grace_seconds;
                let message = RemovePlacement { uid: uid.to_owned(), grace_seconds, moved: false };
                effects.to_hosts.push((host.clone(), Message::Remove(message)));
                let lost = self.hosts.get(&host).is_some_and(|host| host.link == Link::Lost);
                if lost && self.rows[uid].replaceable {
                    self.rows.get_mut(uid).expect("looked up above").phase = Phase::Fenced;
                }
                self.changed(uid, effects);
            }
            (Phase::Lost, Some(_)) => {
                row.phase = Phase::Fenced;
                self.changed(uid, effects);
            }
            (Phase::Fenced, _) | (_, None) => {}
        }
    }

    /// Nothing of the placement is left anywhere: gives its address back and tells that it is removed.
    fn forget(&mut self, uid: &str, effects: &mut Effects) {
        let Some(mut row) = self.rows.remove(uid) else { return };
        if let (Some(address), Some(net)) = (&row.address, self.nets.get_mut(&row.network)) {
            net.pool.release(address);
        }
        let host = row.host.clone();
        row.phase = Phase::Fenced;
        effects.events.push(self.state(&row, Vec::new()));
        effects.dirty.insert(uid.to_owned());
        effects.networks.insert(row.network.clone());
        if let Some(host) = host {
            effects.to_hosts.push((host.clone(), Message::Forget(uid.to_owned())));
            self.recount(&host);
        }
    }

    /// An agent came (back): learns its host, takes its statuses, answers with all that it should run.
    pub(crate) fn connect(&mut self, host: Host, statuses: Vec<PlacementStatus>, effects: &mut Effects) {
        let id = host.id.clone();
        effects.hosts_dirty.insert(id.clone());
        self.hosts.insert(id.clone(), host);
        self.recount(&id);
        let mut known: BTreeSet<String> = BTreeSet::new();
        for status in statuses {
            known.insert(status.uid.clone());
            self.status(&id, status, effects);
        }
        // What a returning host was told to end and no longer knows is gone.
        let ended: Vec<String> = self
            .rows
            .values()
            .filter(|row| row.host.as_ref() == Some(&id) && !known.contains(&row.body.uid))
            .filter(|row| matches!(row.phase, Phase::Removing | Phase::Lost | Phase::Fenced))
            .map(|row| row.body.uid.clone())
            .collect();
        for uid in ended {
            self.gone(&id, &uid, effects);
        }
        self.place_waiting(effects);
        // The sync below holds all that was said to this host so far.
        effects.to_hosts.retain(|(to, message)| *to != id || matches!(message, Message::Forget(_)));
        effects.to_hosts.push((id.clone(), Message::Sync(self.sync(&id))));
        for row in self.rows.values().filter(|row| row.host.as_ref() == Some(&id) && row.phase != Phase::Fenced) {
            effects.events.push(self.state(row, Vec::new()));
            effects.networks.insert(row.network.clone());
        }
    }

    fn sync(&self, host: &HostId) -> Sync {
        let mut sync = Sync::default();
        for row in self.rows.values().filter(|row| row.host.as_ref() == Some(host)) {
            let uid = row.body.uid.clone();
            let removal = |moved| RemovePlacement { uid: uid.clone(), grace_seconds: row.grace_seconds, moved };
            match row.phase {
                Phase::Placed => sync.placements.push(row.body.clone()),
                Phase::Removing => sync.removals.push(removal(false)),
                Phase::Lost | Phase::Fenced => sync.removals.push(removal(true)),
                Phase::Waiting => {}
            }
        }
        let networks: BTreeSet<&str> = sync.placements.iter().map(network_of).collect();
        sync.networks = networks.into_iter().filter_map(|id| self.network(id, host)).collect();
        sync
    }

    fn network(&self, id: &str, host: &HostId) -> Option<Network> {
        let net = self.nets.get(id)?;
        let (ranges, services) = self.ranges(id);
        let remote =
            self.rows.values().filter(|row| row.network == id && row.phase == Phase::Placed).filter_map(|row| {
                let other = row.host.as_ref().filter(|other| *other != host)?;
                let host_address = self.hosts.get(other)?.underlay_address.clone();
                Some(RemotePod { address: row.address.clone()?, host_address })
            });
        Some(Network {
            id: id.to_owned(),
            generation: net.generation,
            vni: net.vni,
            pod_cidr: ranges.first().cloned().unwrap_or_default(),
            service_cidr: services.first().map(|(range, _)| range.clone()).unwrap_or_default(),
            remote_pods: remote.collect(),
            api_service_address: services.first().map(|(_, address)| address.clone()).unwrap_or_default(),
            api_backend_address: self.api_backend.clone(),
            more_cidrs: ranges.iter().skip(1).chain(services.iter().skip(1).map(|(range, _)| range)).cloned().collect(),
            more_api_service_addresses: services.iter().skip(1).map(|(_, address)| address.clone()).collect(),
        })
    }

    /// The ranges of a network's pods, and those of its clusters' Services, each with the address of `kubernetes`.
    fn ranges(&self, id: &str) -> (Vec<String>, Vec<(String, String)>) {
        let members = self.members.values().filter(|member| member.network == id);
        let (mut pods, mut services) = (BTreeSet::new(), BTreeMap::new());
        for member in members {
            pods.insert(member.pod_cidr.clone());
            let address = first_service_address(&member.service_cidr).map(|a| format!("{a}:443"));
            services.insert(member.service_cidr.clone(), address.unwrap_or_default());
        }
        let placed = self.rows.values().filter(|row| row.network == id);
        pods.extend(placed.map(|row| row.range.clone()));
        (pods.into_iter().collect(), services.into_iter().collect())
    }

    /// Takes a cluster into its network. Hosts that have pods of the network are told.
    pub(crate) fn join(&mut self, cluster: &str, member: Member, effects: &mut Effects) {
        if self.members.get(cluster) != Some(&member) {
            effects.networks.insert(member.network.clone());
            self.members.insert(cluster.to_owned(), member);
        }
    }

    /// Takes a cluster without pods out of its network, which goes with its last cluster and pod.
    pub(crate) fn leave(&mut self, cluster: &str) {
        let Some(member) = self.members.remove(cluster) else { return };
        let others = self.members.values().any(|other| other.network == member.network);
        if !others && !self.rows.values().any(|row| row.network == member.network) {
            self.nets.remove(&member.network);
        }
    }

    /// Sends each host the networks that changed in this batch. Called once at its end.
    pub(crate) fn send_networks(&mut self, now_ms: i64, effects: &mut Effects) {
        for id in std::mem::take(&mut effects.networks) {
            let Some(net) = self.nets.get_mut(&id) else { continue };
            net.generation = (net.generation + 1).max(u64::try_from(now_ms).unwrap_or(0));
            let hosts: BTreeSet<HostId> = self
                .rows
                .values()
                .filter(|row| row.network == id && row.phase == Phase::Placed)
                .filter_map(|row| row.host.clone())
                .collect();
            let mut messages: Vec<_> = hosts
                .iter()
                .filter_map(|host| Some((host.clone(), Message::Network(self.network(&id, host)?))))
                .collect();
            // A network comes before the pods that need it.
            messages.append(&mut effects.to_hosts);
            effects.to_hosts = messages;
        }
    }

    /// Takes what an agent says of one placement.
    pub(crate) fn status(&mut self, host: &HostId, status: PlacementStatus, effects: &mut Effects) {
        let mine = self.rows.get(&status.uid).is_some_and(|row| row.host.as_ref() == Some(host));
        if status.removed {
            if mine {
                self.gone(host, &status.uid, effects);
            } else {
                effects.to_hosts.push((host.clone(), Message::Forget(status.uid)));
            }
            return;
        }
        if !mine {
            // Not in the sync either: the agent stops it.
            let stop = RemovePlacement { uid: status.uid, grace_seconds: 0, moved: true };
            effects.to_hosts.push((host.clone(), Message::Remove(stop)));
            return;
        }
        let row = self.rows.get_mut(&status.uid).expect("checked above");
        if matches!(row.phase, Phase::Lost | Phase::Fenced) {
            return;
        }
        // An agent that has just restarted names its pods before it has looked at them.
        if !status.pod_status.is_empty() {
            row.status_generation = status.generation;
            row.pod_status = status.pod_status;
        }
        let row = &self.rows[&status.uid];
        effects.events.push(self.state(row, status.events));
    }

    /// A host confirmed that nothing of the placement is left on it.
    fn gone(&mut self, host: &HostId, uid: &str, effects: &mut Effects) {
        let Some(row) = self.rows.get_mut(uid) else { return };
        if row.phase != Phase::Lost {
            self.forget(uid, effects);
            return;
        }
        // Its owner has not let go yet; it will find nothing to wait for.
        row.host = None;
        if let (Some(address), Some(net)) = (row.address.take(), self.nets.get_mut(&row.network)) {
            net.pool.release(&address);
        }
        effects.dirty.insert(uid.to_owned());
        effects.to_hosts.push((host.clone(), Message::Forget(uid.to_owned())));
        self.recount(host);
    }

    /// An agent gave a sign of life.
    pub(crate) fn alive(&mut self, host: &HostId, now: Instant) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.seen = now;
        }
    }

    /// Judges silence: past `silent_after` a host's pods are unknown; past `lost_after` those that may run twice are
    /// lost, and not billed from now on.
    pub(crate) fn judge(&mut self, now: Instant, now_ms: i64, patience: Patience, effects: &mut Effects) {
        let silent: Vec<(HostId, Link)> = self
            .hosts
            .values()
            .filter_map(|host| {
                let quiet = now.saturating_duration_since(host.seen);
                match host.link {
                    Link::Ready(_) | Link::Away if quiet > patience.silent_after => {
                        Some((host.id.clone(), Link::Silent))
                    }
                    Link::Silent if quiet > patience.lost_after => Some((host.id.clone(), Link::Lost)),
                    _ => None,
                }
            })
            .collect();
        let changed = !silent.is_empty();
        for (id, link) in silent {
            tracing::warn!(host = %id, ?link, "a host is silent");
            self.hosts.get_mut(&id).expect("listed above").link = link;
            let on_it = self.rows.values().filter(|row| row.host.as_ref() == Some(&id));
            let uids: BTreeSet<String> = on_it.map(|row| row.body.uid.clone()).collect();
            for uid in uids {
                if link == Link::Lost {
                    self.lose(&uid, now_ms, effects);
                } else if let Some(row) = self.rows.get(&uid).filter(|row| row.phase == Phase::Placed) {
                    effects.events.push(self.state(row, Vec::new()));
                }
            }
        }
        if changed {
            // Whoever waited for room in a fault domain that has just lost its last host waits no longer.
            self.place_waiting(effects);
        }
    }

    fn lose(&mut self, uid: &str, now_ms: i64, effects: &mut Effects) {
        let row = self.rows.get_mut(uid).expect("listed by the caller");
        if !row.replaceable {
            return;
        }
        row.phase = match row.phase {
            Phase::Placed => Phase::Lost,
            Phase::Removing => Phase::Fenced,
            _ => return,
        };
        row.reason = "the host has been silent past its grace".to_owned();
        let host = row.host.as_ref().map(ToString::to_string).unwrap_or_default();
        let reason = "its host was silent past the grace; the pod may run elsewhere from then on";
        effects.closures.push(Closure { uid: uid.to_owned(), host, at_ms: now_ms, reason });
        self.changed(uid, effects);
    }

    /// An agent's stream ended; its host is judged by its silence.
    pub(crate) fn disconnect(&mut self, host: &HostId, session: u64, effects: &mut Effects) {
        let Some(host) = self.hosts.get_mut(host).filter(|host| host.link == Link::Ready(session)) else { return };
        host.link = Link::Away;
        effects.hosts_dirty.insert(host.id.clone());
    }
}

fn network_of(placement: &Placement) -> &str {
    placement.attachment.as_ref().map_or("", |attachment| attachment.network_id.as_str())
}

/// The first address of a service range: the `kubernetes` Service's.
fn first_service_address(cidr: &str) -> Option<std::net::Ipv4Addr> {
    let base: std::net::Ipv4Addr = cidr.split_once('/')?.0.parse().ok()?;
    Some(std::net::Ipv4Addr::from(u32::from(base) + 1))
}

/// A message of control's half of the stream.
pub(crate) fn control_message(message: Message) -> ControlMessage {
    ControlMessage { message: Some(message) }
}

/// An event of a watch.
pub(crate) fn placement_event(state: PlacementState) -> PlacementEvent {
    PlacementEvent { event: Some(Event::State(state)) }
}

#[cfg(test)]
pub(crate) mod tests;
