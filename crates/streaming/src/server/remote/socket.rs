//! The WebSocket form: binary messages whose first byte names the channel.

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use crate::session::{Ends, SizeReader, server_session};
use crate::{Outcome, RemoteCommandOptions, ServerSession, TerminalSize};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// v5: the next byte names a channel whose sender has ended.
const CLOSE: u8 = 255;
/// Time that a client gets to answer our close.
const LINGER: std::time::Duration = std::time::Duration::from_secs(5);
/// Pause between pings, by which proxies in between see that both ends live.
const PING: std::time::Duration = std::time::Duration::from_secs(20);

pub(super) fn serve<T>(socket: WebSocketStream<T>, version: u8, options: RemoteCommandOptions) -> ServerSession
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, messages) = socket.split();
    let (session, ends) = server_session(CancellationToken::new());
    let Ends { stdin, resize, stdout, stderr, outcome, done, closed } = ends;
    let stdin = options.stdin.then_some(stdin);
    let over = CancellationToken::new();
    tokio::spawn(read(messages, stdin, resize, closed.clone(), over.clone()));
    tokio::spawn(async move {
        let mut writer = Writer { sink, options };
        let written = tokio::select! {
            written = writer.run(stdout, stderr, outcome, version) => written,
            () = closed.cancelled() => return,
        };
        if written.is_ok() {
            // The reader sees the client's close.
            let _ = tokio::time::timeout(LINGER, over.cancelled()).await;
        }
        closed.cancel();
        let _ = done.send(());
    });
    session
}

async fn read<T>(
    mut messages: SplitStream<WebSocketStream<T>>,
    mut stdin: Option<mpsc::Sender<Bytes>>,
    resize: mpsc::Sender<TerminalSize>,
    closed: CancellationToken,
    over: CancellationToken,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut sizes = SizeReader::default();
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            () = closed.cancelled() => break,
        };
        let data = match message {
            Some(Ok(Message::Binary(data))) => data,
            Some(Ok(Message::Text(text))) => text.into(),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Close(_)) | Err(_)) | None => break,
        };
        match data.first() {
            Some(&STDIN) if data.len() > 1 => {
                let sent = async {
                    match &stdin {
                        Some(to) => to.send(data.slice(1..)).await.is_ok(),
                        None => true,
                    }
                };
                let taken = tokio::select! { taken = sent => taken, () = closed.cancelled() => break };
                if !taken {
                    stdin = None;
                }
            }
            Some(&RESIZE) => {
                for size in sizes.push(&data[1..]) {
                    let _ = resize.try_send(size);
                }
            }
            Some(&CLOSE) if data.get(1) == Some(&STDIN) => stdin = None,
            _ => {}
        }
    }
    over.cancel();
    closed.cancel();
}

struct Writer<T> {
    sink: SplitSink<WebSocketStream<T>, Message>,
    options: RemoteCommandOptions,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Writer<T> {
    async fn run(
        &mut self,
        mut stdout: mpsc::Receiver<Bytes>,
        mut stderr: mpsc::Receiver<Bytes>,
        outcome: tokio::sync::oneshot::Receiver<Outcome>,
        version: u8,
    ) -> Result<(), Error> {
        // An empty message tells the client that the connection stands, as a kubelet does it.
        let first = if self.options.stdout {
            STDOUT
        } else if self.options.stderr {
            STDERR
        } else {
            ERROR
        };
        self.send(first, &[]).await?;
        let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
        let (mut out, mut err) = (true, true);
        while out || err {
            tokio::select! {
                piece = stdout.recv(), if out => match piece {
                    Some(piece) if self.options.stdout => self.send(STDOUT, &piece).await?,
                    Some(_) => {}
                    None => out = false,
                },
                piece = stderr.recv(), if err => match piece {
                    Some(piece) if self.options.stderr => self.send(STDERR, &piece).await?,
                    Some(_) => {}
                    None => err = false,
                },
                _ = ping.tick() => self.sink.send(Message::Ping(Bytes::new())).await?,
            }
        }
        let outcome = outcome.await.unwrap_or_else(|_| Outcome::internal("the server gave the session up"));
        let status = outcome.encode(version);
        if !status.is_empty() {
            self.send(ERROR, &status).await?;
        }
        self.sink.send(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))).await
    }

    async fn send(&mut self, channel: u8, data: &[u8]) -> Result<(), Error> {
        let mut message = BytesMut::with_capacity(data.len() + 1);
        message.put_u8(channel);
        message.put_slice(data);
        self.sink.send(Message::Binary(message.freeze())).await
    }
}
