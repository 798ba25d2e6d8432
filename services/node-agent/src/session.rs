//! The stream to control: everything that control says is obeyed in order, everything that pods say goes back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::unix_ms;
use proto::fleet::agents_client::AgentsClient;
use proto::fleet::{
    AgentMessage, Capacity, ControlMessage, Heartbeat, Hello, agent_message::Message as Say,
    control_message::Message as Heard,
};
use runtime::Health;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::agent::Agent;
use crate::config::Config;
use crate::context::Shared;
use crate::stream;

/// Control takes a host for lost after several of these.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Longest pause between attempts to reach control.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// A session that lived this long was a good one: the next attempt comes at once.
const GOOD: Duration = Duration::from_secs(30);
/// Messages heard and not obeyed yet. While it is full control waits; heartbeats and statuses go on.
const HEARD: usize = 1024;
/// A Sync of a full host: 500 pods with inputs of up to a megabyte each are not expected, tens of megabytes are.
const MAX_MESSAGE: usize = 256 << 20;

/// Keeps a session with control until the agent stops.
pub async fn run(context: Shared, agent: Arc<Agent>, health: Health) {
    let (orders, given) = mpsc::channel(HEARD);
    context.tasks.spawn(obey_all(context.clone(), agent.clone(), health.clone(), given));
    let mut pause = Duration::from_millis(100);
    while !context.stop.is_cancelled() {
        let begun = tokio::time::Instant::now();
        let ended = context.stop.run_until_cancelled(session(&context, &agent, &orders)).await;
        health.set_ready("control", false);
        let Some(result) = ended else { return };
        if begun.elapsed() > GOOD {
            pause = Duration::from_millis(100);
        }
        match result {
            Ok(()) => tracing::info!("control ended the session"),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "no session with control"),
        }
        let jitter = pause.mul_f64(rand_unit());
        context.stop.run_until_cancelled(tokio::time::sleep(pause / 2 + jitter)).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Between 0 and 1, so that the hosts of a control that returns do not come all at once.
fn rand_unit() -> f64 {
    let mut bytes = [0; 2];
    runtime::tls::fill_random(&mut bytes);
    f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX)
}

async fn connect(config: &Config) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(config.control_endpoint.clone())?
        .tls_config(config.identity.tonic_client("control")?)?
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .http2_adaptive_window(true);
    Ok(endpoint.connect().await?)
}

/// A message, and the connection it came on.
type Order = (ControlMessage, Channel);

/// Obeys in order, beside the session: slow orders (a sync of many networks) must not hold heartbeats up.
async fn obey_all(context: Shared, agent: Arc<Agent>, health: Health, mut given: mpsc::Receiver<Order>) {
    while let Some(Some((next, channel))) = context.stop.run_until_cancelled(given.recv()).await {
        obey(&context, &agent, &channel, &health, next).await;
    }
}

async fn session(context: &Shared, agent: &Arc<Agent>, orders: &mpsc::Sender<Order>) -> anyhow::Result<()> {
    let channel = connect(&context.config).await?;
    let mut client = AgentsClient::new(channel.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    // Small: what control can't take yet stays in the outbox, where a newer status replaces an older one.
    let (say, said) = mpsc::channel(8);
    say.send(message(Say::Hello(hello(context, agent)))).await?;
    let mut heard = client.session(ReceiverStream::new(said)).await?.into_inner();
    tracing::info!("session with control");
    let mut beat = tokio::time::interval(HEARTBEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            next = heard.message() => match next? {
                Some(next) => orders.send((next, channel.clone())).await?,
                None => return Ok(()),
            },
            () = context.outbox.news() => {
                for status in context.outbox.take() {
                    say.send(message(Say::Status(status))).await?;
                }
            }
            _ = beat.tick() => say.send(message(Say::Heartbeat(Heartbeat { sent_ms: unix_ms() }))).await?,
        }
    }
}

fn message(message: Say) -> AgentMessage {
    AgentMessage { message: Some(message) }
}

fn hello(context: &Shared, agent: &Agent) -> Hello {
    let config = &context.config;
    Hello {
        host_id: config.host_id.clone(),
        underlay_address: config.network.underlay_address.to_string(),
        capacity: Some(capacity(config)),
        labels: config.labels.clone(),
        placements: agent.statuses(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// What the host offers: the machine's, unless the configuration says otherwise.
pub fn capacity(config: &Config) -> Capacity {
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let memory = std::fs::read_to_string(Path::new("/proc/meminfo")).ok().and_then(|text| {
        let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Capacity {
        cpu_milli: config.capacity.cpu_milli.unwrap_or(cpus * 1000),
        memory_bytes: config.capacity.memory_bytes.or(memory).unwrap_or(0),
        pods: config.capacity.pods.unwrap_or(500),
        architecture: architecture.to_owned(),
        runtimes: config.runtimes.clone(),
    }
}

async fn obey(context: &Shared, agent: &Arc<Agent>, channel: &Channel, health: &Health, next: ControlMessage) {
    match next.message {
        Some(Heard::Sync(sync)) => {
            tracing::info!(placements = sync.placements.len(), networks = sync.networks.len(), "sync from control");
            agent.sync(sync).await;
            health.set_ready("control", true);
        }
        Some(Heard::Placement(placement)) => agent.place(placement).await,
        Some(Heard::Remove(removal)) => agent.remove(removal).await,
        Some(Heard::Network(network)) => {
            let id = network.id.clone();
            if let Err(error) = context.network.apply(network).await {
                tracing::error!(network.id = id, error = format!("{error:#}"), "network cannot be made");
            }
        }
        Some(Heard::RemoveNetwork(id)) => {
            if let Err(error) = context.network.remove(&id).await {
                tracing::error!(network.id = id, error = format!("{error:#}"), "network cannot be removed");
            }
        }
        Some(Heard::OpenStream(open)) => {
            let (context, agent, channel) = (context.clone(), agent.clone(), channel.clone());
            let tasks = context.tasks.clone();
            tasks.spawn(async move {
                let stop = context.stop.clone();
                stop.run_until_cancelled(stream::serve(context, agent, channel, open)).await;
            });
        }
        Some(Heard::Forget(uid)) => agent.forget(&uid).await,
        None => {}
    }
}
