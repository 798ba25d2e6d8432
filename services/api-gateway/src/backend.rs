//! Connections to the services behind the gateway: pooled HTTP/1.1 over mutual TLS, which also carries upgrades. One
//! connection per open request lets small requests run on all cores; HTTP/2 would put them all into one task.

use crate::{config::Config, route::Service};
use anyhow::Context;
use axum::body::Body;
use http::{Request, Response, Uri, uri::Authority};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls_pki_types::ServerName;
use std::time::Duration;

/// Time to connect to a service on the same network.
const CONNECT: Duration = Duration::from_secs(3);
/// Time until the head of an answer: longer than the slowest list or deletion.
const HEAD: Duration = Duration::from_secs(60);
/// Idle connections kept to one service.
const IDLE: usize = 256;

/// Why a service did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    #[error("{0} cannot be reached")]
    Away(&'static str, #[source] hyper_util::client::legacy::Error),
    #[error("{0} did not answer in time")]
    Slow(&'static str),
}

#[derive(Debug, Clone)]
struct Backend {
    name: &'static str,
    authority: Authority,
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

/// The services behind the gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Backends {
    control: Backend,
    billing: Backend,
}

impl Backends {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            control: Backend::new("control", &config.control, config)?,
            billing: Backend::new("billing", &config.billing, config)?,
        })
    }

    /// Sends a request, whose path is kept; gives the head of the answer.
    pub(crate) async fn send(
        &self,
        service: Service,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, BackendError> {
        let backend = match service {
            Service::Control => &self.control,
            Service::Billing => &self.billing,
        };
        backend.send(request).await
    }
}

impl Backend {
    fn new(name: &'static str, url: &str, config: &Config) -> anyhow::Result<Self> {
        let url: Uri = url.parse().with_context(|| format!("the URL of {name}, {url:?}, is malformed"))?;
        let authority = url.authority().with_context(|| format!("the URL of {name} has no host"))?.clone();
        let mut tls = (*config.identity.client()?).clone();
        tls.alpn_protocols.clear();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT));
        let resolver = FixedServerNameResolver::new(ServerName::try_from(name)?);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .with_server_name_resolver(resolver)
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE)
            .build(connector);
        Ok(Self { name, authority, client })
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, BackendError> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        *request.uri_mut() = Uri::from_parts(parts).expect("a scheme, an authority and a path make a URI");
        *request.version_mut() = http::Version::HTTP_11;
        match tokio::time::timeout(HEAD, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(BackendError::Away(self.name, error)),
            Err(_) => Err(BackendError::Slow(self.name)),
        }
    }
}
