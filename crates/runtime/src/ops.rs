//! The operations listener: `/livez`, `/readyz` and `/metrics`, plain HTTP, meant for loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::CancellationToken;
use crate::metrics::Registry;

/// What the process says about its readiness. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, bool>>>);

impl Health {
    /// A process with no parts named yet: it is ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// States that the part `name` can serve (or can't); the process is ready when all its parts are.
    pub fn set_ready(&self, name: &str, ready: bool) {
        let mut parts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match parts.get_mut(name) {
            Some(state) => *state = ready,
            None => drop(parts.insert(name.to_owned(), ready)),
        }
    }

    /// The parts that are not ready, by name.
    pub fn waiting_for(&self) -> Vec<String> {
        let parts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        parts.iter().filter(|(_, ready)| !**ready).map(|(name, _)| name.clone()).collect()
    }
}

/// The routes of the operations listener.
pub fn router(health: Health, registry: &'static Registry) -> axum::Router {
    axum::Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(health))
        .route("/metrics", get(move || metrics(registry)))
}

/// Serves the operations routes until `stop`.
///
/// # Errors
/// Only if the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    registry: &'static Registry,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    crate::serve::serve(listener, None, router(health, registry), stop).await
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let waiting = health.waiting_for();
    if waiting.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", waiting.join(", ")))
    }
}

async fn metrics(registry: &'static Registry) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, OPEN_METRICS)], registry.encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_when_all_parts_are() {
        let health = Health::new();
        assert!(health.waiting_for().is_empty());
        health.set_ready("database", false);
        health.set_ready("listener", true);
        assert_eq!(health.waiting_for(), ["database"]);
        health.set_ready("database", true);
        assert!(health.waiting_for().is_empty());
    }
}
