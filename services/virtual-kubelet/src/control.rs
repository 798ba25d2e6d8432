//! The Kubernetes API of our clusters, as an ordinary client uses it, plus the watch over all clusters at once.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::{Certificate, Client, Method, Response, StatusCode};
use runtime::tls::Identity;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Longest time for one request; watches have none.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A watch on which nothing comes this long is dead: the server sends bookmarks twice as often.
const QUIET: Duration = Duration::from_secs(75);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("control cannot be reached")]
    Away(#[from] reqwest::Error),
    #[error("{method} {path}: {status} {message}")]
    Refused { method: Method, path: String, status: StatusCode, message: String },
    #[error("control sent something that is no answer")]
    Garbled(#[from] serde_json::Error),
    #[error("the watch went quiet")]
    Quiet,
}

impl ApiError {
    /// True if there is no such object.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, .. })
    }

    /// True if somebody else changed the object in between, or it is another object by now.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::CONFLICT, .. })
    }
}

/// One line of the watch over all clusters.
#[derive(Debug, Deserialize)]
pub(crate) struct WatchLine {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) cluster: String,
    pub(crate) object: Value,
}

/// A client of all clusters.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    http: Client,
    base: String,
}

impl Control {
    pub(crate) fn new(base: &str, identity: &Identity) -> anyhow::Result<Self> {
        let ca = Certificate::from_pem_bundle(&std::fs::read(&identity.ca)?)?;
        let mut pem = std::fs::read(&identity.certificate)?;
        pem.extend(std::fs::read(&identity.key)?);
        let http = Client::builder()
            .tls_certs_only(ca)
            .identity(reqwest::Identity::from_pem(&pem)?)
            .connect_timeout(Duration::from_secs(3))
            .pool_max_idle_per_host(64)
            .build()?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned() })
    }

    fn url(&self, cluster: &str, path: &str) -> String {
        format!("{}/clusters/{cluster}{path}", self.base)
    }

    async fn send(
        &self,
        method: Method,
        cluster: &str,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Value, ApiError> {
        let mut request = self.http.request(method.clone(), self.url(cluster, path)).timeout(TIMEOUT);
        if let Some((media, body)) = body {
            request = request.header("content-type", media).body(serde_json::to_vec(body)?);
        }
        let response = checked(request.send().await?, method, path).await?;
        Ok(serde_json::from_slice(&response.bytes().await?)?)
    }

    /// One object, or a list.
    pub(crate) async fn get(&self, cluster: &str, path: &str) -> Result<Value, ApiError> {
        self.send(Method::GET, cluster, path, None).await
    }

    /// One object, or `None` if there is none.
    pub(crate) async fn find(&self, cluster: &str, path: &str) -> Result<Option<Value>, ApiError> {
        match self.get(cluster, path).await {
            Err(error) if error.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }

    /// Creates an object.
    pub(crate) async fn create(&self, cluster: &str, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.send(Method::POST, cluster, path, Some(("application/json", object))).await
    }

    /// Merges a patch (RFC 7386) into an object.
    pub(crate) async fn merge(&self, cluster: &str, path: &str, patch: &Value) -> Result<Value, ApiError> {
        self.send(Method::PATCH, cluster, path, Some(("application/merge-patch+json", patch))).await
    }

    /// Deletes an object, with DeleteOptions.
    pub(crate) async fn delete(&self, cluster: &str, path: &str, options: &Value) -> Result<Value, ApiError> {
        self.send(Method::DELETE, cluster, path, Some(("application/json", options))).await
    }

    /// Everything of a resource in all clusters, then all changes. Ends when cut off: start over.
    pub(crate) async fn watch_all(
        &self,
        resource: &str,
    ) -> Result<impl Stream<Item = Result<WatchLine, ApiError>> + use<>, ApiError> {
        let path = format!("/api/v1/{resource}?watch=1");
        let response = self.http.get(self.url("*", &path)).send().await?;
        let response = checked(response, Method::GET, &path).await?;
        Ok(lines(response))
    }
}

async fn checked(response: Response, method: Method, path: &str) -> Result<Response, ApiError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body: Value = response.json().await.unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default().to_owned();
    Err(ApiError::Refused { method, path: path.to_owned(), status, message })
}

fn lines(response: Response) -> impl Stream<Item = Result<WatchLine, ApiError>> {
    struct Reader<S> {
        bytes: S,
        buffer: Vec<u8>,
        /// Bytes of the buffer in which no line's end was found.
        searched: usize,
    }
    let reader = Reader { bytes: Box::pin(response.bytes_stream()), buffer: Vec::new(), searched: 0 };
    futures::stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        loop {
            if let Some(end) = reader.buffer[reader.searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = reader.buffer.drain(..=reader.searched + end).collect();
                reader.searched = 0;
                return Some((serde_json::from_slice(&line).map_err(ApiError::from), Some(reader)));
            }
            reader.searched = reader.buffer.len();
            let piece: Option<Result<Bytes, _>> = match tokio::time::timeout(QUIET, reader.bytes.next()).await {
                Ok(piece) => piece,
                Err(_) => return Some((Err(ApiError::Quiet), None)),
            };
            match piece? {
                Ok(piece) => reader.buffer.extend_from_slice(&piece),
                Err(error) => return Some((Err(error.into()), None)),
            }
        }
    })
}
