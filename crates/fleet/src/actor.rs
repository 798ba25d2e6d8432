//! The one task that changes the fleet: takes waiting moves as a batch, stores what they changed, then sends what they say.

use crate::{
    agents::AgentsApi,
    closures::{self, ClosureSink},
    core::{self, Core, Effects, Host, Member, Patience, Row},
    instances,
    metrics::Metrics,
    placements::PlacementsApi,
    store,
    streams::Streams,
};
use domain::{ClusterId, HostId, unix_ms};
use futures::future::BoxFuture;
use proto::fleet::{
    ControlMessage, PlacementEvent, PlacementStatus, agents_server::AgentsServer, placement_event::Event,
    placements_server::PlacementsServer,
};
use sealing::Sealer;
use sqlx::PgPool;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Moves stored together at most.
const BATCH: usize = 256;
/// Moves that may wait; senders wait behind it.
const QUEUE: usize = 4096;
/// How often silence is judged.
const JUDGE: Duration = Duration::from_millis(500);
/// How often hosts and placements are counted for the metrics.
const COUNT: Duration = Duration::from_secs(2);
/// Placements of one gRPC message: pods with all their ConfigMaps and Secrets, a whole host's on reconnect.
const MESSAGE_BYTES: usize = 256 << 20;

/// How the fleet judges and what it tells hosts.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// A host from which nothing is heard this long: its pods' state is unknown.
    pub silent_after: Duration,
    /// A host from which nothing is heard this long is lost: what may run twice is replaced elsewhere.
    pub lost_after: Duration,
    /// `host:port` of the gateway as hosts reach it: what `kubernetes.default` leads to.
    pub api_backend: String,
    /// Seals placements at rest.
    pub sealer: Arc<Sealer>,
    /// Where the ends of billing are reported.
    pub closures: Option<ClosureSink>,
}

/// What the fleet must know of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNetwork {
    /// The tenancy that pays.
    pub tenant_id: String,
    /// The compartment it is charged to.
    pub compartment_id: String,
    /// The network that it is in, with others: its VCN's id.
    pub network_id: String,
    /// Range of that network from which its pods' addresses are.
    pub pod_cidr: String,
    /// Range of Service addresses.
    pub service_cidr: String,
}

/// Whose placements a watcher is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Clusters,
    Instances,
}

impl Of {
    fn covers(self, event: &PlacementEvent) -> bool {
        match &event.event {
            Some(Event::State(state)) => (self == Self::Instances) == instances::is_instance(&state.cluster_id),
            Some(Event::Synced(_)) | None => true,
        }
    }
}

/// Tells the fleet about clusters.
pub trait NetworkDirectory: Send + Sync + 'static {
    /// The cluster's network; `None` if there is no such cluster.
    fn network(&self, cluster: ClusterId) -> BoxFuture<'_, Option<ClusterNetwork>>;
}

/// Why a wish was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The wish makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing.
    #[error("{0} not found")]
    NotFound(String),
    /// It cannot be done now; retry.
    #[error("{0}")]
    Unavailable(String),
}

impl From<sqlx::Error> for FleetError {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the database failed");
        Self::Unavailable("the database is not available; retry".into())
    }
}

/// A host as operators see it.
#[derive(Debug, Clone)]
pub struct HostView {
    /// Its id.
    pub id: HostId,
    /// Its agent talks to us.
    pub ready: bool,
    /// Placements on it.
    pub placements: usize,
}

/// A queue to a host's agent.
type ToAgent = mpsc::UnboundedSender<ControlMessage>;
/// A queue to a watcher.
pub(crate) type ToWatcher = mpsc::UnboundedSender<PlacementEvent>;

pub(crate) enum Move {
    Put { row: Box<Row>, reply: oneshot::Sender<Option<Row>> },
    Remove { uid: String, grace_seconds: u32, reply: oneshot::Sender<()> },
    Watch { of: Of, to: ToWatcher },
    Connect { host: Box<Host>, statuses: Vec<PlacementStatus>, to: ToAgent, session: u64 },
    Disconnect { host: HostId, session: u64 },
    Status { host: HostId, status: Box<PlacementStatus> },
    Alive { host: HostId },
    ToHost { host: HostId, message: Box<proto::fleet::control_message::Message> },
    Where { uid: String, reply: oneshot::Sender<Option<HostId>> },
    Network { id: String, net: Box<core::Net>, reply: oneshot::Sender<()> },
    HasNetwork { id: String, reply: oneshot::Sender<bool> },
    Join { cluster: ClusterId, member: Box<Member>, reply: oneshot::Sender<()> },
    Member { cluster: ClusterId, reply: oneshot::Sender<Option<Member>> },
    Leave { cluster: ClusterId, reply: oneshot::Sender<Vec<String>> },
    Hosts { reply: oneshot::Sender<Vec<HostView>> },
    Supply { reply: oneshot::Sender<core::Supply> },
}

/// The fleet of this installation.
pub struct Fleet {
    moves: mpsc::Sender<Move>,
    db: PgPool,
    directory: Arc<dyn NetworkDirectory>,
    pub(crate) streams: Streams,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fleet")
    }
}

impl Fleet {
    /// Loads the fleet from Postgres and starts to judge it, until `stop`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn start(
        db: PgPool,
        config: FleetConfig,
        directory: Arc<dyn NetworkDirectory>,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, FleetError> {
        let core = store::load(&db, &config.sealer, &config.api_backend).await?;
        let (moves, queue) = mpsc::channel(QUEUE);
        let fleet = Arc::new(Self { moves, db: db.clone(), directory, streams: Streams::default() });
        if let Some(sink) = config.closures.clone() {
            tokio::spawn(closures::run(Arc::clone(&fleet), sink, stop.clone()));
        }
        let actor = Actor { db, config, core, queue, agents: HashMap::new(), watchers: Vec::new() };
        tokio::spawn(async move { stop.run_until_cancelled_owned(actor.run()).await });
        Ok(fleet)
    }

    /// The gRPC service that agents call.
    #[must_use]
    pub fn agents_service(self: &Arc<Self>) -> AgentsServer<AgentsApi> {
        AgentsServer::new(AgentsApi::new(Arc::clone(self)))
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }

    /// The gRPC service that virtual-kubelets call.
    #[must_use]
    pub fn placements_service(self: &Arc<Self>) -> PlacementsServer<PlacementsApi> {
        PlacementsServer::new(PlacementsApi::new(Arc::clone(self)))
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }

    pub(crate) fn db(&self) -> &PgPool {
        &self.db
    }

    pub(crate) async fn tell(&self, message: Move) -> Result<(), FleetError> {
        self.moves.send(message).await.map_err(|_| FleetError::Unavailable("the fleet is stopping; retry".into()))
    }

    pub(crate) async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Move) -> Result<T, FleetError> {
        let (reply, answer) = oneshot::channel();
        self.tell(make(reply)).await?;
        answer.await.map_err(|_| FleetError::Unavailable("the change could not be stored; retry".into()))
    }

    /// A cluster's place in its network; both are made if they are not there yet.
    pub(crate) async fn ensure_member(&self, id: &ClusterId) -> Result<Member, FleetError> {
        if let Some(known) = self.ask(|reply| Move::Member { cluster: id.clone(), reply }).await? {
            return Ok(known);
        }
        let wanted = self.directory.network(id.clone()).await;
        let wanted = wanted.ok_or_else(|| FleetError::NotFound(format!("cluster {id}")))?;
        self.ensure_network(&wanted).await?;
        let member = store::ensure_member(&self.db, id, &wanted).await?;
        self.ask(|reply| Move::Join { cluster: id.clone(), member: Box::new(member.clone()), reply }).await?;
        Ok(member)
    }

    /// Makes the network that is wanted if it is not there yet.
    pub(crate) async fn ensure_network(&self, wanted: &ClusterNetwork) -> Result<(), FleetError> {
        let id = &wanted.network_id;
        if self.ask(|reply| Move::HasNetwork { id: id.clone(), reply }).await? {
            return Ok(());
        }
        let net = store::ensure_network(&self.db, id, wanted).await?;
        self.ask(|reply| Move::Network { id: id.clone(), net: Box::new(net), reply }).await
    }

    /// Stops all pods of a cluster that is being deleted; true once nothing of it is left on any host and it is out of its
    /// network. Safe to repeat until it is.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn remove_cluster(&self, id: &ClusterId) -> Result<bool, FleetError> {
        let left = self.ask(|reply| Move::Leave { cluster: id.clone(), reply }).await?;
        for uid in &left {
            self.ask(|reply| Move::Remove { uid: uid.clone(), grace_seconds: 0, reply }).await?;
        }
        if left.is_empty() {
            store::delete_member(&self.db, id).await?;
        }
        Ok(left.is_empty())
    }

    /// All hosts that ever connected.
    ///
    /// # Errors
    /// If the fleet is stopping.
    pub async fn hosts(&self) -> Result<Vec<HostView>, FleetError> {
        self.ask(|reply| Move::Hosts { reply }).await
    }

    /// What hosts offer now, and whose pods wait for room.
    ///
    /// # Errors
    /// If the fleet is stopping.
    pub async fn supply(&self) -> Result<core::Supply, FleetError> {
        self.ask(|reply| Move::Supply { reply }).await
    }
}

/// Owner of the state.
struct Actor {
    db: PgPool,
    config: FleetConfig,
    core: Core,
    queue: mpsc::Receiver<Move>,
    agents: HashMap<HostId, (u64, ToAgent)>,
    watchers: Vec<(Of, ToWatcher)>,
}

/// Answers that are given once the batch is stored.
type Reply = Box<dyn FnOnce() + Send>;

impl Actor {
    async fn run(mut self) {
        let mut judge = tokio::time::interval(JUDGE);
        let (metrics, mut counted) = (Metrics::registered(), None::<Instant>);
        let mut moves = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                count = self.queue.recv_many(&mut moves, BATCH) => if count == 0 { return },
                _ = judge.tick() => {}
            }
            let mut effects = Effects::default();
            let mut replies = Vec::new();
            for message in moves.drain(..) {
                self.apply(message, &mut effects, &mut replies);
            }
            let patience = Patience { silent_after: self.config.silent_after, lost_after: self.config.lost_after };
            self.core.judge(Instant::now(), unix_ms(), patience, &mut effects);
            self.core.send_networks(unix_ms(), &mut effects);
            let started = Instant::now();
            match store::save(&self.db, &self.config.sealer, &self.core, &effects).await {
                Ok(()) => {
                    metrics.stored(&effects, started.elapsed());
                    self.send(effects, replies);
                }
                Err(error) => {
                    metrics.failed();
                    drop(replies);
                    self.start_over(&error).await;
                }
            }
            if counted.is_none_or(|at| at.elapsed() > COUNT) {
                metrics.look_at(&self.core, self.queue.len());
                counted = Some(Instant::now());
            }
        }
    }

    fn apply(&mut self, message: Move, effects: &mut Effects, replies: &mut Vec<Reply>) {
        match message {
            Move::Put { row, reply } => {
                let row = self.core.put(*row, effects).cloned();
                replies.push(Box::new(move || _ = reply.send(row)));
            }
            Move::Remove { uid, grace_seconds, reply } => {
                self.core.remove(&uid, grace_seconds, effects);
                self.core.place_waiting(effects);
                replies.push(Box::new(move || _ = reply.send(())));
            }
            Move::Watch { of, to } => self.watch(of, to),
            Move::Connect { host, statuses, to, session } => {
                self.agents.insert(host.id.clone(), (session, to));
                self.core.connect(*host, statuses, effects);
            }
            Move::Disconnect { host, session } => {
                if self.agents.get(&host).is_some_and(|(current, _)| *current == session) {
                    self.agents.remove(&host);
                }
                self.core.disconnect(&host, session, effects);
            }
            Move::Status { host, status } => {
                self.core.alive(&host, Instant::now());
                let freed = status.removed;
                self.core.status(&host, *status, effects);
                if freed {
                    self.core.place_waiting(effects);
                }
            }
            Move::Alive { host } => self.core.alive(&host, Instant::now()),
            Move::ToHost { host, message } => effects.to_hosts.push((host, *message)),
            Move::Join { cluster, member, reply } => {
                self.core.join(cluster.as_str(), *member, effects);
                replies.push(Box::new(move || _ = reply.send(())));
            }
            other => self.look_up(other, replies),
        }
    }

    fn look_up(&mut self, message: Move, replies: &mut Vec<Reply>) {
        match message {
            Move::Where { uid, reply } => {
                let host = self.core.rows.get(&uid).and_then(|row| row.host.clone());
                drop(reply.send(host));
            }
            Move::HasNetwork { id, reply } => {
                let _ = reply.send(self.core.nets.contains_key(&id));
            }
            Move::Member { cluster, reply } => drop(reply.send(self.core.members.get(cluster.as_str()).cloned())),
            Move::Network { id, net, reply } => {
                self.core.nets.entry(id).or_insert(*net);
                replies.push(Box::new(move || _ = reply.send(())));
            }
            Move::Leave { cluster, reply } => {
                let rows = self.core.rows.values().filter(|row| row.body.cluster_id == cluster.as_str());
                let left: Vec<String> = rows.map(|row| row.body.uid.clone()).collect();
                if left.is_empty() {
                    self.core.leave(cluster.as_str());
                }
                // Nothing is left once that is stored: the caller then removes what the rows depend on.
                replies.push(Box::new(move || drop(reply.send(left))));
            }
            Move::Hosts { reply } => drop(reply.send(self.hosts())),
            Move::Supply { reply } => drop(reply.send(self.core.supply())),
            _ => unreachable!("apply handles the moves that change placements"),
        }
    }

    fn hosts(&self) -> Vec<HostView> {
        let on = |id: &HostId| self.core.rows.values().filter(|row| row.host.as_ref() == Some(id)).count();
        let view = |host: &Host| HostView { id: host.id.clone(), ready: host.is_ready(), placements: on(&host.id) };
        self.core.hosts.values().map(view).collect()
    }

    fn watch(&mut self, of: Of, to: ToWatcher) {
        let synced = PlacementEvent { event: Some(Event::Synced(true)) };
        let all = self.core.snapshot().into_iter().map(core::placement_event).chain([synced]);
        if all.into_iter().filter(|event| of.covers(event)).all(|event| to.send(event).is_ok()) {
            self.watchers.push((of, to));
        }
    }

    fn send(&mut self, effects: Effects, replies: Vec<Reply>) {
        for (host, message) in effects.to_hosts {
            if let Some((_, to)) = self.agents.get(&host) {
                // A closed stream is noticed by its session; the agent gets everything on its return.
                let _ = to.send(core::control_message(message));
            }
        }
        for state in effects.events {
            let event = core::placement_event(state);
            self.watchers.retain(|(of, to)| !of.covers(&event) || to.send(event.clone()).is_ok());
        }
        for reply in replies {
            reply();
        }
    }

    /// After a failed store memory may differ from the database: forgets it, drops all streams so that both sides tell
    /// everything again, and loads until that works.
    async fn start_over(&mut self, error: &sqlx::Error) {
        tracing::error!(error = error as &dyn std::error::Error, "could not store the fleet; loading it again");
        self.agents.clear();
        self.watchers.clear();
        loop {
            match store::load(&self.db, &self.config.sealer, &self.config.api_backend).await {
                Ok(core) => {
                    self.core = core;
                    return;
                }
                Err(error) => tracing::error!(%error, "could not load the fleet; will retry"),
            }
            tokio::time::sleep(JUDGE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::{host, row};

    struct Directory;

    impl NetworkDirectory for Directory {
        fn network(&self, _: ClusterId) -> BoxFuture<'_, Option<ClusterNetwork>> {
            let network = ClusterNetwork {
                tenant_id: "t".into(),
                compartment_id: "t".into(),
                network_id: "vcn".into(),
                pod_cidr: "10.244.0.0/16".into(),
                service_cidr: "10.96.0.0/16".into(),
            };
            Box::pin(async { Some(network) })
        }
    }

    async fn fleet(db: &PgPool, stop: &CancellationToken) -> Arc<Fleet> {
        let config = FleetConfig {
            silent_after: Duration::from_millis(200),
            lost_after: Duration::from_millis(600),
            api_backend: "192.0.2.1:6443".into(),
            sealer: Arc::new(Sealer::new(&[1; 32]).unwrap()),
            closures: None,
        };
        Fleet::start(db.clone(), config, Arc::new(Directory), stop.clone()).await.unwrap()
    }

    async fn put(fleet: &Fleet, cluster: &ClusterId, uid: &str) -> Row {
        let mut row = row(uid);
        row.network = fleet.ensure_member(cluster).await.unwrap().network;
        row.body.cluster_id = cluster.as_str().to_owned();
        row.body.pod = "secret".into();
        fleet.ask(|reply| Move::Put { row: Box::new(row), reply }).await.unwrap().unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn placements_outlive_the_process_and_a_lost_host_is_told_on_its_return() {
        let url = testkit::Postgres::start().await.database("fleet").await;
        let db = postgres::connect_control(&url, 4).await.unwrap();
        postgres::migrate_control(&db).await.unwrap();
        let (stop, cluster) = (CancellationToken::new(), ClusterId::generate());
        let first = fleet(&db, &stop).await;
        let (to, _messages) = mpsc::unbounded_channel();
        let connect = Move::Connect { host: Box::new(host("h", "", 8)), statuses: vec![], to, session: 1 };
        first.tell(connect).await.unwrap();
        let placed = put(&first, &cluster, "p").await;
        assert_eq!((placed.host.unwrap().as_str(), placed.address.as_deref()), ("h", Some("10.244.0.2")));
        stop.cancel();

        // A new process knows the pod; the host stays away until it is lost; the pod's billing ends then.
        let second = fleet(&db, &CancellationToken::new()).await;
        let (to, mut events) = mpsc::unbounded_channel();
        second.tell(Move::Watch { of: Of::Clusters, to }).await.unwrap();
        let mut phases = Vec::new();
        while phases.last() != Some(&"LOST") {
            if let Some(Event::State(state)) = events.recv().await.unwrap().event {
                phases.push(state.phase().as_str_name());
            }
        }
        assert_eq!(phases, ["PLACED", "UNKNOWN", "LOST"]);
        assert_eq!(store::open_closures(&db).await.unwrap().len(), 1);
        second.ask(|reply| Move::Remove { uid: "p".into(), grace_seconds: 0, reply }).await.unwrap();
        assert!(!second.remove_cluster(&cluster).await.unwrap(), "the lost host may still run it");

        let (to, mut messages) = mpsc::unbounded_channel();
        let status = PlacementStatus { uid: "p".into(), ..PlacementStatus::default() };
        let connect = Move::Connect { host: Box::new(host("h", "", 8)), statuses: vec![status], to, session: 2 };
        second.tell(connect).await.unwrap();
        let sync = loop {
            if let Some(proto::fleet::control_message::Message::Sync(sync)) = messages.recv().await.unwrap().message {
                break sync;
            }
        };
        assert!(sync.placements.is_empty() && sync.removals[0].moved);
        let removed = PlacementStatus { uid: "p".into(), removed: true, ..PlacementStatus::default() };
        second.tell(Move::Status { host: HostId("h".into()), status: Box::new(removed) }).await.unwrap();
        assert!(second.remove_cluster(&cluster).await.unwrap());
        let bodies: i64 = sqlx::query_scalar("select count(*) from placements").fetch_one(&db).await.unwrap();
        assert_eq!(bodies, 0);
    }

    /// What the schema and its rows were before networks were shared.
    const BEFORE: &str = include_str!("../../../migrations/control/1795480100_create_fleet.sql");
    const SHARE: &str = include_str!("../../../migrations/control/1795856000_share_networks.sql");
    const PLACE: &str = include_str!("../../../migrations/control/1795857000_place_pods_by_domain.sql");

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn networks_of_before_go_on_with_their_pods_and_addresses() {
        let url = testkit::Postgres::start().await.database("upgrade").await;
        let db = postgres::connect_control(&url, 4).await.unwrap();
        sqlx::raw_sql("create schema if not exists control").execute(&db).await.unwrap();
        sqlx::raw_sql(BEFORE).execute(&db).await.unwrap();
        let (old, sealer) = (ClusterId::generate(), Sealer::new(&[1; 32]).unwrap());
        sqlx::query("insert into networks (id, tenant_id, compartment_id, pod_cidr, service_cidr) values ($1, 't', 't', '10.1.0.0/24', '10.2.0.0/24')")
            .bind(old.as_str()).execute(&db).await.unwrap();
        let mut body = row("old").body;
        body.cluster_id = old.as_str().to_owned();
        let sealed = sealer.seal("placement/old", &prost::Message::encode_to_vec(&body));
        sqlx::query(
            "insert into placements (uid, cluster_id, namespace, name, generation, phase, network_id, address, ocpu_milli,
                                     memory_bytes, replaceable, spread_group, body)
             values ('old', $1, 'n', 'n', 1, 'waiting', $1, '10.1.0.9', 1, 1, true, '', $2)",
        )
        .bind(old.as_str()).bind(sealed).execute(&db).await.unwrap();
        sqlx::raw_sql(SHARE).execute(&db).await.unwrap();
        sqlx::raw_sql(PLACE).execute(&db).await.unwrap();

        let core = store::load(&db, &sealer, "192.0.2.1:6443").await.unwrap();
        assert_eq!((core.rows["old"].network.as_str(), core.rows["old"].range.as_str()), (old.as_str(), "10.1.0.0/24"));
        let fleet = fleet(&db, &CancellationToken::new()).await;
        assert_eq!(fleet.ensure_member(&old).await.unwrap().network, old.as_str(), "it keeps its own");
        let new = ClusterId::generate();
        assert_eq!(fleet.ensure_member(&new).await.unwrap().network, "vcn");
        // Its network goes with it; the shared one stays for others.
        fleet.ask(|reply| Move::Remove { uid: "old".into(), grace_seconds: 0, reply }).await.unwrap();
        assert!(fleet.remove_cluster(&old).await.unwrap());
        let left: Vec<String> = sqlx::query_scalar("select id from networks").fetch_all(&db).await.unwrap();
        assert_eq!(left, ["vcn"]);
    }
}
