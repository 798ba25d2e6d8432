//! Clients against servers over in-memory connections: exec over SPDY and WebSocket, port-forward directly and tunnelled.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod forward;
mod remote;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Serves one connection with `handler` and gives the client's end of it.
fn serve<F>(handler: F) -> DuplexStream
where
    F: Fn(Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + Clone + 'static,
{
    let (near, far) = tokio::io::duplex(16 * 1024);
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let response = handler(request);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
        let _ = connection.with_upgrades().await;
    });
    near
}

/// Connects as a WebSocket client that offers `protocols`.
async fn websocket(io: DuplexStream, protocols: &str) -> Result<(WebSocketStream<DuplexStream>, String), String> {
    let mut request = "ws://kubelet/exec".into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let (socket, response) = tokio_tungstenite::client_async(request, io).await.map_err(|error| error.to_string())?;
    let chosen = response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap().to_owned());
    Ok((socket, chosen.unwrap_or_default()))
}
