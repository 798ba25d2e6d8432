use super::*;

fn pair() -> (Connection, Connection, Incoming) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (client, _) = Connection::start(near, Role::Client);
    let (server, incoming) = Connection::start(far, Role::Server);
    (client, server, incoming)
}

#[tokio::test]
async fn large_transfers_pass_the_windows_in_both_directions() {
    let (client, _server, mut incoming) = pair();
    let echo = tokio::spawn(async move {
        let mut stream = incoming.recv().await.unwrap();
        assert_eq!(stream.headers.get("streamType"), Some("data"));
        while let Some(piece) = stream.reader.read().await {
            stream.writer.write(piece).await.unwrap();
        }
        stream.writer.finish().await;
    });
    let stream = client.open(Headers::new().with("streamType", "data")).await.unwrap();
    let payload: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    let (mut reader, writer, sent) = (stream.reader, stream.writer, Bytes::from(payload.clone()));
    tokio::spawn(async move {
        writer.write(sent).await.unwrap();
        writer.finish().await;
    });
    assert!(reader.read_to_end(usize::MAX).await == payload, "what came back differs");
    echo.await.unwrap();
}

#[tokio::test]
async fn dropping_a_writer_resets_the_stream() {
    let (client, _server, mut incoming) = pair();
    let stream = client.open(Headers::new()).await.unwrap();
    let mut other = incoming.recv().await.unwrap();
    drop(stream.writer);
    assert_eq!(other.reader.read().await, None);
    assert!(client.shared.streams.lock().is_empty());
}

#[tokio::test]
async fn finished_streams_are_forgotten() {
    let (client, server, mut incoming) = pair();
    for _ in 0..3 {
        let mut stream = client.open(Headers::new()).await.unwrap();
        let other = incoming.recv().await.unwrap();
        stream.writer.finish().await;
        other.writer.finish().await;
        assert_eq!(stream.reader.read().await, None);
    }
    assert!(client.shared.streams.lock().is_empty());
    assert!(server.shared.streams.lock().len() <= 1);
}

#[tokio::test]
async fn close_delivers_what_was_sent_before() {
    let (client, server, mut incoming) = pair();
    let mut stream = client.open(Headers::new()).await.unwrap();
    let other = incoming.recv().await.unwrap();
    other.writer.write(Bytes::from_static(b"last words")).await.unwrap();
    other.writer.finish().await;
    let (_, all) = tokio::join!(server.close(), async {
        let all = stream.reader.read_to_end(100).await;
        client.close().await;
        all
    });
    assert_eq!(all, b"last words");
    assert!(client.open(Headers::new()).await.is_err());
}

#[tokio::test]
async fn peers_without_windows_are_not_waited_for() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (client, _) = Connection::start(near, Role::Client);
    let opening = tokio::spawn(async move { client.open(Headers::new()).await.map(|stream| (client, stream)) });
    let (reader, mut writer) = tokio::io::split(far);
    let mut frames = FrameReader::new(reader);
    let mut received = 0;
    while let Some(frame) = frames.next().await.unwrap() {
        match frame {
            Frame::SynStream { id, .. } => {
                let mut out = BytesMut::new();
                Frame::SynReply { id, fin: false, headers: Headers::new() }.encode(&mut Packer::default(), &mut out);
                writer.write_all(&out).await.unwrap();
                break;
            }
            _ => continue,
        }
    }
    let (_client, stream) = opening.await.unwrap().unwrap();
    tokio::spawn(async move {
        stream.writer.write(vec![7; 300_000].into()).await.unwrap();
        stream.writer.finish().await;
    });
    while let Some(Frame::Data { data, fin, .. }) = frames.next().await.unwrap() {
        received += data.len();
        if fin {
            break;
        }
    }
    assert_eq!(received, 300_000);
}

#[tokio::test]
async fn pings_are_answered() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (_server, _incoming) = Connection::start(near, Role::Server);
    let (reader, mut writer) = tokio::io::split(far);
    let mut out = BytesMut::new();
    Frame::Ping(41).encode(&mut Packer::default(), &mut out);
    writer.write_all(&out).await.unwrap();
    let mut frames = FrameReader::new(reader);
    while let Some(frame) = frames.next().await.unwrap() {
        if frame == Frame::Ping(41) {
            return;
        }
    }
    panic!("no answer");
}

/// A container runtime hangs up as soon as it has said everything. What it gets after that resets the TCP connection.
#[tokio::test]
async fn nothing_is_lost_when_the_server_hangs_up_at_once() {
    const LENGTH: usize = 3_000_000;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (reader, mut writer) = listener.accept().await.unwrap().0.into_split();
        let mut frames = FrameReader::new(reader);
        let id = loop {
            if let Frame::SynStream { id, .. } = frames.next().await.unwrap().unwrap() {
                break id;
            }
        };
        let (mut packer, mut out) = (Packer::default(), BytesMut::new());
        Frame::SynReply { id, fin: false, headers: Headers::new() }.encode(&mut packer, &mut out);
        for _ in 0..LENGTH / 10_000 {
            Frame::Data { id, fin: false, data: vec![1; 10_000].into() }.encode(&mut packer, &mut out);
        }
        Frame::RstStream { id, status: Reset::Cancel as u32 }.encode(&mut packer, &mut out);
        Frame::GoAway { last: id, status: 0 }.encode(&mut packer, &mut out);
        writer.write_all(&out).await.unwrap();
    });
    let (client, _) = Connection::start(tokio::net::TcpStream::connect(address).await.unwrap(), Role::Client);
    let mut stream = client.open(Headers::new()).await.unwrap();
    let mut length = 0;
    while let Some(piece) = stream.reader.read().await {
        length += piece.len();
        // Behind the server, which is gone long before everything is read.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(length, LENGTH);
    server.await.unwrap();
}

/// Inside a WebSocket no end can close only its half: without this both would wait for the other.
#[tokio::test]
async fn a_goodbye_ends_the_connection() {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (server, _incoming) = Connection::start(near, Role::Server);
    let mut out = BytesMut::new();
    Frame::GoAway { last: 0, status: 0 }.encode(&mut Packer::default(), &mut out);
    let (_reader, mut writer) = tokio::io::split(far);
    writer.write_all(&out).await.unwrap();
    tokio::time::timeout(LINGER / 2, server.closed().cancelled()).await.expect("it does not wait for the other end");
}
