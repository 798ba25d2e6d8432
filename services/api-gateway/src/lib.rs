//! The public door: TLS, authentication by bearer tokens and request signatures, rate limits, request ids, and streaming
//! proxying to control and billing. Owns no data: keys and users are asked from control and believed for seconds. Knows
//! paths, never bodies, but for the digest of those that are signed.

mod authenticate;
mod caller;
mod certificate;
mod config;
mod host;
mod key;
mod limit;
mod memory;
mod metrics;
mod oidc;
mod presigned;
mod proxy;
mod refusal;
mod route;
mod signature;
mod token;
mod tunnel;
mod upstream;
mod verifier;

pub use config::{AccessLog, Config, Limits, Provider};

use anyhow::Context;
use runtime::{CancellationToken, Health};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use upstream::Upstream;

/// Time that tunnels get to end after `stop`.
const DRAIN: Duration = Duration::from_secs(2);

/// How often control is looked for.
const PROBE: Duration = Duration::from_secs(2);

/// What every request needs.
#[derive(Debug)]
pub(crate) struct Gateway {
    control: Arc<Upstream>,
    billing: Arc<Upstream>,
    directory: key::Directory,
    callers: caller::Callers,
    oidc: oidc::Oidc,
    /// Suffix of the clusters' host names.
    cluster_domain: Option<String>,
    limits: Limits,
    access_log: AccessLog,
    metrics: metrics::Metrics,
    tunnels: TaskTracker,
    stop: CancellationToken,
}

/// Serves until `stop`, then drains.
///
/// # Errors
/// If a certificate cannot be read or a port cannot be bound; services behind that are down answer 503 and heal.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let bind = async |address| TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"));
    let (public, ops) = (bind(config.listen).await?, bind(config.ops_listen).await?);
    serve(config, public, ops, stop).await
}

/// The same on listeners that are bound already.
///
/// # Errors
/// If a certificate cannot be read, or an identity provider is described wrongly.
pub async fn serve(
    config: Config,
    public: TcpListener,
    ops: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let tls = runtime::tls::public_server(&config.certificate, &config.key)?;
    let control = Upstream::new("control", &config.control, &config.identity)?;
    let cluster_domain = config.cluster_domain.map(|domain| domain.trim_matches('.').to_ascii_lowercase());
    let certificates = certificate::Certificates::new(tls, cluster_domain.clone(), Arc::clone(&control));
    let billing = Upstream::new("billing", &config.billing, &config.identity)?;
    let gateway = Arc::new(Gateway {
        directory: key::Directory::new(Arc::clone(&control)),
        callers: caller::Callers::new(config.limits),
        oidc: oidc::Oidc::new(&config.oidc)?,
        cluster_domain,
        control,
        billing,
        limits: config.limits,
        access_log: config.access_log,
        metrics: metrics::Metrics::registered(),
        tunnels: TaskTracker::new(),
        stop: stop.clone(),
    });
    let app = axum::Router::new()
        .fallback(proxy::serve)
        .layer(axum::middleware::from_fn(runtime::request::identify))
        .with_state(Arc::clone(&gateway));
    let health = Health::new();
    health.set_ready("control", false);
    register_gauges(&gateway);
    let operations = runtime::ops::serve(ops, health.clone(), runtime::metrics::registry(), stop.clone());
    let probe = stop.clone().run_until_cancelled_owned(probe(Arc::clone(&gateway.control), health));
    let served = runtime::serve::serve_chosen(public, Arc::new(certificates), app, stop);
    let (served, watched, _) = tokio::join!(served, operations, probe);
    gateway.tunnels.close();
    let _ = tokio::time::timeout(DRAIN, gateway.tunnels.wait()).await;
    served.and(watched)
}

/// Says whether control can be reached: without it nobody can be authenticated. Billing being away costs one report, so
/// it does not make the gateway unready.
async fn probe(control: Arc<Upstream>, health: Health) {
    loop {
        health.set_ready("control", control.is_reachable().await);
        tokio::time::sleep(PROBE).await;
    }
}

/// What is open at the time of a scrape.
fn register_gauges(gateway: &Arc<Gateway>) {
    let registry = runtime::metrics::registry();
    let read = |value: fn(&Gateway) -> usize| {
        let gateway = Arc::downgrade(gateway);
        move || gateway.upgrade().map(|gateway| value(&gateway) as f64)
    };
    let help = "Upgraded connections that are open";
    registry.gauge("gateway_tunnels", help, read(|gateway| gateway.tunnels.len()));
    let help = "Connections to control that are open";
    registry.gauge("gateway_control_connections", help, read(|gateway| gateway.control.load().0));
    let help = "Requests to control that are not answered to their end, watches among them";
    registry.gauge("gateway_control_requests_open", help, read(|gateway| gateway.control.load().1));
    let help = "Connections to billing that are open";
    registry.gauge("gateway_billing_connections", help, read(|gateway| gateway.billing.load().0));
}
