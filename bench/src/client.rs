//! One HTTP/1.1 connection over TLS to the gateway: as little of a client as possible, because it shares the cores
//! with what is measured.

use crate::token::Bearer;
use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use std::{net::SocketAddr, path::Path, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Answer form that kubectl asks for when it prints a table.
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// Form of discovery that kubectl asks for.
pub(crate) const DISCOVERY: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
const JSON: &str = "application/json";

/// Where the gateway is, and how it is trusted.
#[derive(Clone)]
pub(crate) struct Gateway {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Gateway {
    /// The gateway at `https://ip:port`, with the CA of a PEM file.
    pub(crate) fn new(endpoint: &str, ca: &Path) -> anyhow::Result<Self> {
        let address: SocketAddr = endpoint.strip_prefix("https://").context("the endpoint is no https URL")?.parse()?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca)? {
            roots.add(certificate?)?;
        }
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A new kubectl has no session to resume.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            address,
            name: ServerName::IpAddress(address.ip().into()),
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// A new connection.
    pub(crate) async fn connect(&self, bearer: &Bearer) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(self.name.clone(), stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the sender.
        tokio::spawn(connection);
        Ok(Connection { sender, bearer: bearer.clone(), host: self.address.to_string() })
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON, if the answer is a success.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        self.expect_success()?;
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// Fails with the answer's text unless it is a success.
    pub(crate) fn expect_success(&self) -> anyhow::Result<()> {
        if self.status.is_success() {
            return Ok(());
        }
        bail!("the answer is {}: {}", self.status, String::from_utf8_lossy(&self.body));
    }
}

/// One open connection; one request at a time.
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    bearer: Bearer,
    host: String,
}

impl Connection {
    /// Sends a request and gives the answer with its body unread.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        accept: &'static str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, self.bearer.header()?)
            .header(header::ACCEPT, accept);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, JSON);
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request.body(Full::new(body))?).await?)
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        accept: &'static str,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let (parts, body) = self.send(method, path, accept, body).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// GET, whole.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, JSON, Bytes::new()).await
    }

    /// POST of JSON, whole; fails unless it succeeds.
    pub(crate) async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> anyhow::Result<Answer> {
        let answer = self.call(Method::POST, path, JSON, body.into()).await?;
        answer.expect_success().with_context(|| format!("POST {path}"))?;
        Ok(answer)
    }

    /// DELETE, whole; fails unless it succeeds.
    pub(crate) async fn delete(&mut self, path: &str) -> anyhow::Result<Answer> {
        let answer = self.call(Method::DELETE, path, JSON, Bytes::new()).await?;
        answer.expect_success().with_context(|| format!("DELETE {path}"))?;
        Ok(answer)
    }

    /// Opens a watch; its events are lines.
    pub(crate) async fn watch(&mut self, path: &str) -> anyhow::Result<Lines> {
        let response = self.send(Method::GET, path, JSON, Bytes::new()).await?;
        if response.status().is_success() {
            return Ok(Lines { body: response.into_body(), rest: Vec::new() });
        }
        bail!("a watch is answered with {}", response.status());
    }
}

/// The lines of a body that does not end.
pub(crate) struct Lines {
    body: Incoming,
    rest: Vec<u8>,
}

impl Lines {
    /// Waits for more of the body and gives the lines that are whole by then.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Vec<Vec<u8>>> {
        loop {
            let frame = self.body.frame().await.context("the watch has ended")??;
            let Some(data) = frame.data_ref() else { continue };
            self.rest.extend_from_slice(data);
            let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let whole: Vec<u8> = self.rest.drain(..=end).collect();
            return Ok(whole.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect());
        }
    }
}
