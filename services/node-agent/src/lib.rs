//! node-agent owns the containers of one host: it keeps the pods that control placed here running through containerd,
//! and tells control how they are. It never decides where a pod runs.

pub mod config;
pub mod network;
pub mod usage;

use tokio_util::sync::CancellationToken;

pub use config::Config;

/// Runs the agent of one host until `stop`; pods go on running afterwards.
///
/// # Errors
/// Only if the state directory, containerd or the network part cannot be used at start; later outages heal.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let _ = (config, stop);
    Ok(())
}
