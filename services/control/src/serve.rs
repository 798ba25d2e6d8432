//! The listeners: HTTPS, gRPC, operations; and the controllers, which serve nobody but run as long.

use crate::{Config, Listeners, compose::Parts};
use anyhow::Context;
use axum::Router;
use postgres::PgPool;
use runtime::{CancellationToken, Health};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

/// How often the database is asked whether it answers.
const PROBE: Duration = Duration::from_secs(5);

/// Runs everything until `stop`.
pub(crate) async fn serve(
    config: &Config,
    parts: Parts,
    listeners: Listeners,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Parts { db, api, cloud, fleet } = parts;
    let health = Health::new();
    health.set_ready("database", false);
    // Whoever is neither cloud API nor identity is the Kubernetes API, which answers unknown paths in its own form.
    let app: Router = cloud::router(Arc::clone(&cloud))
        .merge(kube_api::router(Arc::clone(&api)))
        .layer(axum::middleware::from_fn(runtime::request::identify));
    let https = runtime::serve::serve(listeners.api, Some(config.identity.server()?), app, stop.clone());
    let grpc = grpc(config, &fleet, listeners.grpc, stop.clone())?;
    let ops = runtime::ops::serve(listeners.ops, health.clone(), runtime::metrics::registry(), stop.clone());
    let background = async {
        tokio::join!(
            cloud.run(stop.clone()),
            kube_controllers::run(api, stop.clone()),
            stop.run_until_cancelled(probe(&db, &health)),
        );
    };
    let (https, grpc, ops, ()) = tokio::join!(https, grpc, ops, background);
    db.close().await;
    https.and(grpc).and(ops)
}

fn grpc(
    config: &Config,
    fleet: &Arc<fleet::Fleet>,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
    tracing::info!(address = %listener.local_addr()?, "fleet listens on {}", listener.local_addr()?);
    let server = tonic::transport::Server::builder()
        .tls_config(config.identity.tonic_server()?)?
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .tcp_nodelay(true)
        .add_service(fleet.agents_service())
        .add_service(fleet.placements_service());
    Ok(async move {
        let incoming = TcpListenerStream::new(listener);
        // Agents keep their streams open for ever: they are told to go, and cut when they do not.
        let served = server.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        let cut = async {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        tokio::select! {
            served = served => served.context("the gRPC listener failed"),
            () = cut => Ok(()),
        }
    })
}

/// Says whether the database answers.
async fn probe(db: &PgPool, health: &Health) {
    loop {
        let answer = tokio::time::timeout(PROBE, db.acquire()).await;
        health.set_ready("database", matches!(answer, Ok(Ok(_))));
        drop(answer);
        tokio::time::sleep(PROBE).await;
    }
}
