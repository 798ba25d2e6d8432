//! A byte stream inside the binary messages of a WebSocket: how newer clients wrap SPDY.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Bytes between the WebSocket and the byte stream.
const BUFFER: usize = 64 * 1024;
/// Longest message that is taken; clients send pieces of 32 KiB.
const MAX_MESSAGE: usize = 4 << 20;

pub(crate) fn limits() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE))
}

/// Gives the bytes of `socket`'s messages as a stream; ends with either end.
pub(crate) fn untunnel<T>(socket: WebSocketStream<T>) -> DuplexStream
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (near, far) = tokio::io::duplex(BUFFER);
    let (mut sink, mut messages) = socket.split();
    let (mut from_near, mut to_near) = tokio::io::split(far);
    tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            let written = match message {
                Message::Binary(data) => to_near.write_all(&data).await,
                Message::Close(_) => break,
                _ => Ok(()),
            };
            if written.is_err() {
                break;
            }
        }
        let _ = to_near.shutdown().await;
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; BUFFER / 2];
        loop {
            match from_near.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(length) => {
                    let message = Message::Binary(Bytes::copy_from_slice(&buffer[..length]));
                    if sink.send(message).await.is_err() {
                        break;
                    }
                }
            }
        }
        let _ = sink.close().await;
    });
    near
}
