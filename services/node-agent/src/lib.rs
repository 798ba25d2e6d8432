//! node-agent owns the containers of one host: it keeps the pods that control placed here running through containerd,
//! and tells control how they are. It never decides where a pod runs, and never waits for control to keep a pod alive.
//!
//! In reading order: `session` hears control, `agent` keeps what was asked (`store`, `placement`), `pod` makes it so,
//! `cri` is containerd, `outbox` is what control has to hear, `stream` and `logs` reach into pods, `watch` wakes
//! workers, `network` and `usage` are the two neighbours.

pub mod agent;
pub mod cgroup;
pub mod config;
pub mod context;
pub mod cri;
pub mod images;
pub mod logs;
mod metrics;
pub mod netns;
pub mod network;
pub mod outbox;
pub mod paths;
pub mod placement;
pub mod pod;
pub mod session;
pub mod store;
pub mod stream;
pub mod usage;
mod watch;

use std::sync::Arc;

use anyhow::Context as _;
use runtime::Health;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::Config;

/// Runs the agent of one host until `stop`; its pods go on running afterwards.
///
/// # Errors
/// Only if the state directory, the network part or the ops listener cannot be used at start; later outages heal.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.ops_listen).await.context("the ops listener cannot be opened")?;
    let paths = paths::Paths::new(&config.state_dir);
    prepare(&paths).context("the state directory cannot be prepared")?;
    let cri = cri::Cri::new(&config.containerd_socket);
    let options = usage::Options {
        dir: paths.usage(),
        host_id: config.host_id.clone(),
        endpoint: config.billing_endpoint.clone(),
        identity: config.identity.clone(),
    };
    let journal = usage::Journal::open(options, stop.clone()).await.context("the usage journal cannot be opened")?;
    let network = network::Network::new(config.network.clone()).await.context("the network part cannot start")?;
    let resolv_conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let tasks = TaskTracker::new();
    let context = Arc::new(context::Context {
        cri,
        paths,
        network,
        journal,
        outbox: outbox::Outbox::default(),
        host_dns: pod::sandbox::parse_resolv_conf(&resolv_conf),
        pulls: pod::pulls::Pulls::default(),
        tasks: tasks.clone(),
        stop: stop.clone(),
        config,
    });
    let health = Health::new();
    health.set_ready("control", false);
    health.set_ready("containerd", false);
    let agent = agent::Agent::open(context.clone()).await.context("the placements cannot be read")?;
    metrics::register_gauges(&context, &agent);
    tasks.spawn(watch::run(context.clone(), agent.clone(), health.clone()));
    tasks.spawn(logs::rotate::run(context.clone()));
    tasks.spawn(images::run(context.clone()));
    tasks.spawn(pod::storage::run(context.clone(), agent.clone()));
    tasks.spawn(session::run(context.clone(), agent, health.clone()));
    let served = runtime::ops::serve(listener, health, runtime::metrics::registry(), stop.clone()).await;
    stop.cancelled().await;
    tasks.close();
    tasks.wait().await;
    served
}

/// Makes the directories; mounts the tmpfs for secrets unless an earlier agent did.
fn prepare(paths: &paths::Paths) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let volatile = paths.volatile();
    for dir in [&volatile, &paths.all_logs(), &paths.usage()] {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let volatile = volatile.canonicalize()?;
    if !pod::volume::is_mount_point(&volatile)? {
        pod::volume::mount_tmpfs(&volatile, None, 0o700)?;
    }
    Ok(())
}
