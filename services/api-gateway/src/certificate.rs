//! What is shown at clusters' host names: certificates of their own authorities, asked from control and believed for
//! seconds. At every other name it is the installation's.

use crate::{host, memory::shrink, upstream::Upstream};
use axum::body::Body;
use dashmap::DashMap;
use domain::ClusterId;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use runtime::serve::ChooseTls;
use rustls::ServerConfig;
use serde::Deserialize;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long what control said is believed: so long an authority that was replaced is still shown.
const BELIEVE: Duration = Duration::from_secs(5);
/// How long control may take to answer: a part of the time of a handshake.
const ASK: Duration = Duration::from_secs(5);
/// Largest answer: a certificate and a key.
const ANSWER_BYTES: usize = 64 * 1024;

/// Control could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unknown(String);

fn unknown(error: impl std::fmt::Display) -> Unknown {
    Unknown(error.to_string())
}

/// What control answers. The key is secret.
#[derive(Clone, PartialEq, Eq, Deserialize)]
struct Answer {
    certificate: String,
    key: String,
}

/// What is shown for a cluster; nothing of its own if there is no such cluster.
struct Known {
    shown: Option<(Answer, Arc<ServerConfig>)>,
    at: Instant,
}

/// Chooses what is shown by the host name that a client asks for.
pub(crate) struct Certificates {
    shared: Arc<ServerConfig>,
    /// Suffix of the clusters' host names, if they have some.
    domain: Option<String>,
    control: Arc<Upstream>,
    known: DashMap<ClusterId, Known>,
}

impl Certificates {
    /// `shared`: shown at every name that is not a cluster's.
    pub(crate) fn new(shared: Arc<ServerConfig>, domain: Option<String>, control: Arc<Upstream>) -> Self {
        Self { shared, domain, control, known: DashMap::new() }
    }

    async fn find(&self, name: Option<&str>) -> Arc<ServerConfig> {
        let Some(id) = name.and_then(|name| host::cluster(name, self.domain.as_deref()?)) else {
            return Arc::clone(&self.shared);
        };
        let now = Instant::now();
        if let Some(known) = self.known.get(&id).filter(|known| known.at + BELIEVE > now) {
            return known.shown.as_ref().map_or_else(|| Arc::clone(&self.shared), |(_, config)| Arc::clone(config));
        }
        match tokio::time::timeout(ASK, self.ask(&id)).await.unwrap_or_else(|_| Err(unknown("no answer in time"))) {
            Ok(answer) => self.learn(&id, answer, now),
            Err(error) => {
                tracing::warn!(cluster = %id, %error, "could not ask for a cluster's certificate: {error}");
                let before = self.known.get(&id).and_then(|known| Some(Arc::clone(&known.shown.as_ref()?.1)));
                before.unwrap_or_else(|| Arc::clone(&self.shared))
            }
        }
    }

    fn learn(&self, id: &ClusterId, answer: Option<Answer>, now: Instant) -> Arc<ServerConfig> {
        // The same configuration goes on: it knows its sessions.
        let before = self.known.get(id).and_then(|known| known.shown.clone());
        let shown = answer.and_then(|answer| match before {
            Some(before) if before.0 == answer => Some(before),
            _ => configure(id, answer),
        });
        let config = shown.as_ref().map_or_else(|| Arc::clone(&self.shared), |(_, config)| Arc::clone(config));
        shrink(&self.known, |known| known.at + BELIEVE > now);
        self.known.insert(id.clone(), Known { shown, at: now });
        config
    }

    async fn ask(&self, id: &ClusterId) -> Result<Option<Answer>, Unknown> {
        let request = Request::get(format!("/internal/v1/clusters/{id}/certificate")).body(Body::empty());
        let answer = self.control.send(request.map_err(unknown)?).await.map_err(unknown)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(unknown(format!("control answered {status}"))),
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(unknown)?.to_bytes();
        serde_json::from_slice(&body).map(Some).map_err(unknown)
    }
}

impl ChooseTls for Certificates {
    fn choose<'a>(&'a self, name: Option<&'a str>) -> Pin<Box<dyn Future<Output = Arc<ServerConfig>> + Send + 'a>> {
        Box::pin(self.find(name))
    }
}

fn configure(id: &ClusterId, answer: Answer) -> Option<(Answer, Arc<ServerConfig>)> {
    match runtime::tls::public_server_from_pem(answer.certificate.as_bytes(), answer.key.as_bytes()) {
        Ok(config) => Some((answer, config)),
        Err(error) => {
            tracing::warn!(cluster = %id, %error, "control gave a certificate that can't be used: {error}");
            None
        }
    }
}
