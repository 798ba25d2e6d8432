//! Control: the Kubernetes API of all clusters, their controllers, the cloud API and the fleet, composed into one
//! process. Owns the listeners and nothing else: every rule is in a crate.

pub mod bootstrap;
mod compose;
mod config;
pub mod limit;
mod serve;
mod subcommand;

pub use config::{Config, Hosts};

use anyhow::Context;
use runtime::CancellationToken;
use tokio::net::TcpListener;

/// Serves until `stop`, then drains.
///
/// # Errors
/// If a file cannot be read, a port cannot be bound, or PostgreSQL cannot be reached at start.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let bind = async |address| TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"));
    let listeners = Listeners {
        api: bind(config.listen).await?,
        grpc: bind(config.grpc_listen).await?,
        ops: bind(config.ops_listen).await?,
    };
    run_on(config, listeners, stop).await
}

/// The ports of control, bound.
#[derive(Debug)]
pub struct Listeners {
    /// HTTPS.
    pub api: TcpListener,
    /// gRPC.
    pub grpc: TcpListener,
    /// Plain HTTP for operations.
    pub ops: TcpListener,
}

/// The same on ports that are bound already.
///
/// # Errors
/// If a file cannot be read, or PostgreSQL cannot be reached at start.
pub async fn run_on(config: Config, listeners: Listeners, stop: CancellationToken) -> anyhow::Result<()> {
    let parts = compose::compose(&config, stop.clone()).await?;
    serve::serve(&config, parts, listeners, stop).await
}
