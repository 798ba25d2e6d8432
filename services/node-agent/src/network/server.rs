//! The agent's end of the CNI socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Weak};

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::Inner;
use super::cni::{self, Request, Response};

/// Longest request that is read; a real one has a few hundred bytes.
const REQUEST_LIMIT: u64 = 64 << 10;

/// Opens the socket, for root only; one that a dead agent left is replaced.
pub(crate) fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("can't create {}", parent.display()))?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("can't replace {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("can't listen on {}", path.display()))?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).with_context(|| format!("can't protect {}", path.display()))?;
    Ok(listener)
}

/// Answers requests until the agent's network part is dropped.
pub(crate) async fn serve(listener: UnixListener, inner: Weak<Inner>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some(inner) = inner.upgrade() else { return };
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, &inner).await {
                        tracing::debug!(%error, "a CNI request was not answered: {error}");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept on the CNI socket: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, inner: &Arc<Inner>) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut limited = BufReader::new(tokio::io::AsyncReadExt::take(reader, REQUEST_LIMIT));
    limited.read_line(&mut line).await?;
    let response = match serde_json::from_str::<Request>(&line) {
        Ok(request) => handle(inner, &request).await,
        Err(error) => Response::Failed { code: cni::DECODING_FAILURE, message: format!("malformed request: {error}") },
    };
    let mut text = serde_json::to_vec(&response)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    Ok(())
}

async fn handle(inner: &Arc<Inner>, request: &Request) -> Response {
    let done = match request.command.as_str() {
        "ADD" => inner.attach(request).await.map(Some),
        "DEL" => inner.detach(&request.container_id).await.map(|()| None),
        "CHECK" => inner.check(&request.container_id).await.map(|()| None),
        other => Err(anyhow::anyhow!("unknown command {other:?}")),
    };
    let (pod, sandbox) = (&request.pod_uid, &request.container_id);
    match done {
        Ok(address) => {
            tracing::debug!(pod.uid = %pod, sandbox = %sandbox, "CNI {} of pod {pod} done", request.command);
            Response::Done { address }
        }
        Err(error) => {
            tracing::warn!(pod.uid = %pod, sandbox = %sandbox, "CNI {} of pod {pod} failed: {error:#}", request.command);
            let code = if error.is::<super::NotYet>() { cni::TRY_AGAIN } else { cni::FAILED };
            Response::Failed { code, message: format!("{error:#}") }
        }
    }
}
