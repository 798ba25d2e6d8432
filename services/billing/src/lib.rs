//! billing owns the ledger of usage and what it costs: hosts write intervals, control closes, the gateway reads.
//! It never asks anybody else: what a pod was, its intervals say.

pub mod config;
pub mod ledger;
mod metrics;
pub mod rates;
pub mod rating;
pub mod usage;

use anyhow::Context;
use proto::billing::ledger_server::LedgerServer;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::Config;
use ledger::Ledger;
use runtime::Health;

/// Largest request that a host may send: some 40,000 intervals.
const MESSAGE_LIMIT: usize = 16 << 20;

/// How often Postgres is asked whether it answers, and how long it may take.
const PROBE: std::time::Duration = std::time::Duration::from_secs(5);

/// The sockets of the service, bound.
#[derive(Debug)]
pub struct Listeners {
    /// HTTPS for the gateway.
    pub http: TcpListener,
    /// gRPC for hosts and control.
    pub grpc: TcpListener,
    /// Health and metrics.
    pub ops: TcpListener,
}

impl Listeners {
    /// Binds what the configuration says.
    ///
    /// # Errors
    /// If an address is taken.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let bind =
            async |address| TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"));
        Ok(Self {
            http: bind(config.listen).await?,
            grpc: bind(config.grpc_listen).await?,
            ops: bind(config.ops_listen).await?,
        })
    }
}

/// Serves the ledger and its reports until `stop`, then lets open requests end.
///
/// # Errors
/// Only if an address is taken, a certificate can't be read or Postgres can't be reached at start; later outages
/// answer "unavailable" and heal.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let listeners = Listeners::bind(&config).await?;
    serve(config, listeners, stop).await
}

/// As [`run`], on sockets that are bound already.
///
/// # Errors
/// As [`run`].
pub async fn serve(config: Config, listeners: Listeners, stop: CancellationToken) -> anyhow::Result<()> {
    let pool = postgres::connect_billing(&config.database_url, config.database_connections)
        .await
        .context("can't reach Postgres")?;
    postgres::migrate_billing(&pool).await.context("can't bring billing's schema up to date")?;
    let ledger = Ledger::new(pool.clone());
    let tasks = TaskTracker::new();
    let health = Health::new();
    health.set_ready("database", false);
    metrics::watch_pool(&pool);
    tasks.spawn(watch_database(pool.clone(), health.clone(), stop.clone()));
    let ops = runtime::ops::serve(listeners.ops, health, runtime::metrics::registry(), stop.clone());
    let app = usage::api::router(pool).layer(axum::middleware::from_fn(runtime::request::identify));
    let http = runtime::serve::serve(listeners.http, Some(config.identity.server()?), app, stop.clone());
    let service = LedgerServer::new(ledger).max_decoding_message_size(MESSAGE_LIMIT);
    let grpc = tonic::transport::Server::builder()
        .tls_config(config.identity.tonic_server()?)
        .context("can't set up TLS")?
        .add_service(service)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listeners.grpc), stop.clone().cancelled_owned());
    let grpc = async { grpc.await.context("the gRPC listener failed") };
    let ended = tokio::try_join!(http, grpc, ops);
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    ended.map(|_| ())
}

/// Ready while Postgres answers.
async fn watch_database(pool: postgres::PgPool, health: Health, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PROBE);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {
                let answer = tokio::time::timeout(PROBE, usage::store::ping(&pool)).await;
                health.set_ready("database", answer.unwrap_or(false));
            }
        }
    }
}
