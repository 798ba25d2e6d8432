//! `kubectl port-forward`: bytes to and from a port inside the pod.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use proto::fleet::PortForward;
use proto::fleet::stream_frame::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{StreamError, Wire};
use crate::agent::Handle;
use crate::netns;

const DIAL: Duration = Duration::from_secs(10);
const PIECE: usize = 32 * 1024;

/// Joins the stream and the port until the pod's side ends.
pub(super) async fn serve(pod: &Handle, request: &PortForward, wire: &mut Wire) -> Result<i32, StreamError> {
    let place = pod.live.place.lock().clone();
    let place = place.ok_or_else(|| StreamError::bad_request("unable to forward port because pod is not running"))?;
    let port = u16::try_from(request.port).map_err(|_| StreamError::bad_request("no such port"))?;
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let dialled = match netns::connect(place.netns.clone(), v4, DIAL).await {
        Ok(stream) => Ok(stream),
        Err(error) => netns::connect(place.netns, v6, DIAL).await.map_err(|_| error),
    };
    let socket = dialled.map_err(|error| {
        StreamError::internal(format!("failed to connect to localhost:{port} inside the pod: {error}"))
    })?;
    let (mut from_pod, mut to_pod) = socket.into_split();
    let Wire { out, input } = wire;
    let down = async {
        loop {
            let mut piece = BytesMut::with_capacity(PIECE);
            match from_pod.read_buf(&mut piece).await {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    let frame = proto::fleet::StreamFrame { frame: Some(Frame::Stdout(piece.freeze())) };
                    if out.send(frame).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(StreamError::internal(format!("the pod's connection broke: {error}"))),
            }
        }
    };
    let up = async {
        loop {
            match input.message().await.ok().flatten().and_then(|f| f.frame) {
                Some(Frame::Stdin(piece)) => {
                    if to_pod.write_all(&piece).await.is_err() {
                        break;
                    }
                }
                Some(Frame::StdinClosed(_)) => _ = to_pod.shutdown().await,
                Some(_) => {}
                // Control has gone: so has whoever forwarded.
                None => break,
            }
        }
    };
    tokio::pin!(down);
    tokio::select! {
        result = &mut down => result.map(|()| 0),
        () = up => {
            // What the pod still sends after its input ended is waited for as long as it keeps the connection.
            let _ = to_pod.shutdown().await;
            tokio::time::timeout(DIAL, down).await.unwrap_or(Ok(())).map(|()| 0)
        }
    }
}
