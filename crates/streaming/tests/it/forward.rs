use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use streaming::server::{Forward, port_forward};
use streaming::spdy::{Connection, Headers, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::{serve, websocket};

/// Port 7 echoes; any other can't be reached.
async fn forward(mut forward: Forward) {
    if forward.port != 7 {
        return forward.fail("connection refused");
    }
    while let Some(piece) = forward.from_client.recv().await {
        forward.to_client.send(piece).await.unwrap();
    }
}

fn handler(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (response, pending) = port_forward(&mut request).unwrap();
    tokio::spawn(async move {
        let mut forwards = pending.accept().await.unwrap();
        while let Some(one) = forwards.next().await {
            tokio::spawn(forward(one));
        }
    });
    response.map(|()| Full::default())
}

/// Forwards twice to the echo port and once to a closed one over `connection`.
async fn exercise(connection: Connection) {
    for request in ["0", "1"] {
        let headers = |kind: &str| Headers::new().with("streamType", kind).with("port", "7").with("requestID", request);
        let mut error = connection.open(headers("error")).await.unwrap();
        error.writer.finish().await;
        let mut data = connection.open(headers("data")).await.unwrap();
        data.writer.write(vec![1; 200_000].into()).await.unwrap();
        data.writer.finish().await;
        assert_eq!(data.reader.read_to_end(usize::MAX).await.len(), 200_000);
        assert!(error.reader.read_to_end(100).await.is_empty());
    }
    let headers = |kind: &str| Headers::new().with("streamType", kind).with("port", "8").with("requestID", "2");
    let mut error = connection.open(headers("error")).await.unwrap();
    let _data = connection.open(headers("data")).await.unwrap();
    assert_eq!(error.reader.read_to_end(100).await, b"connection refused");
    connection.close().await;
}

#[tokio::test]
async fn spdy_forwards() {
    let io = serve(handler);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = Request::post("/portForward")
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1")
        .header("x-stream-protocol-version", "portforward.k8s.io")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let mut response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 101);
    let io = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    exercise(Connection::start(io, Role::Client).0).await;
}

#[tokio::test]
async fn spdy_inside_websocket_forwards() {
    let (socket, chosen) = websocket(serve(handler), "SPDY/3.1+portforward.k8s.io").await.unwrap();
    assert_eq!(chosen, "SPDY/3.1+portforward.k8s.io");
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut sink, mut messages) = socket.split();
    let (mut reader, mut writer) = tokio::io::split(far);
    tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if let Message::Binary(data) = message {
                writer.write_all(&data).await.unwrap();
            }
        }
        writer.shutdown().await.unwrap();
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 5000];
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            if sink.send(Message::Binary(Bytes::copy_from_slice(&buffer[..length]))).await.is_err() {
                break;
            }
        }
    });
    exercise(Connection::start(near, Role::Client).0).await;
}
