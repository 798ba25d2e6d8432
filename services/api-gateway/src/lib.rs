//! The public face: ends TLS, finds out who calls, limits how often, and passes requests on to control and billing. Owns
//! no state; what a cluster or a bill is, only the services behind it know.

pub mod config;

mod auth;
mod backend;
mod handler;
mod limit;
mod metrics;
mod reply;
mod route;

use crate::{auth::Authenticator, backend::Backends, config::Config, handler::Gateway, limit::Limiter};
use anyhow::Context;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves until `stop`, then drains open requests.
///
/// # Errors
/// If a certificate cannot be read or an address cannot be bound; backends that are away answer 503 and heal.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let tls = runtime::tls::public_server(&config.certificate, &config.key)?;
    let backends = Backends::new(&config)?;
    let gateway = Arc::new(Gateway {
        auth: Authenticator::new(backends.clone()),
        backends,
        limiter: Limiter::new(config.requests_per_second, config.request_burst),
        metrics: metrics::Metrics::register(),
        body_bytes: config.body_bytes,
    });
    let health = runtime::ops::Health::new();
    health.set_ready("listener", false);
    let ops = TcpListener::bind(config.ops_listen).await.with_context(|| format!("cannot bind {}", config.ops_listen))?;
    let public = TcpListener::bind(config.listen).await.with_context(|| format!("cannot bind {}", config.listen))?;
    health.set_ready("listener", true);
    let ops = runtime::ops::serve(ops, health, runtime::metrics::registry(), stop.clone());
    let public = runtime::serve::serve(public, Some(tls), handler::router(gateway), stop);
    tokio::try_join!(ops, public).map(|_| ())
}
