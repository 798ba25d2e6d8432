//! One SPDY connection: a task that reads frames, a task that writes them, and the streams between.

pub(super) mod stream;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::flow::Flow;
use super::frame::{Frame, FrameReader, Reset};
use super::header::{Headers, Packer};
use stream::{Stream, StreamReader, StreamWriter};

/// Streams that a peer may have open at once: port-forwards of one client.
const MAX_STREAMS: usize = 1000;
/// Pieces (of at most 64 KiB) that wait to be read from one stream; then the connection is not read on.
const PIECES: usize = 32;
/// Frames that wait to be written; then senders wait.
const FRAMES: usize = 16;
/// Control frames that wait to be written; a peer that makes us owe it more does not read, and is cut off.
const CONTROL_FRAMES: usize = 4096;
/// What a stream takes before it is consumed, as told to peers that keep windows.
const WINDOW: u32 = 256 * 1024;
/// What the session takes beyond the 64 KiB that it has at the start; renewed on receipt.
const SESSION_WINDOW: u32 = 16 << 20;
/// Time that a peer gets to take the last bytes after a close.
const LINGER: Duration = Duration::from_secs(5);

/// Which end of the connection this is: clients open odd streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end that connected.
    Client,
    /// The end that accepted.
    Server,
}

/// Streams that the peer opens, already accepted.
pub type Incoming = mpsc::Receiver<Stream>;

enum Out {
    Frame(Frame),
    Close,
}

#[derive(Debug)]
struct Entry {
    data: Option<mpsc::Sender<Bytes>>,
    replied: Option<oneshot::Sender<()>>,
    sent_all: bool,
}

pub(super) struct Shared {
    streams: Mutex<HashMap<u32, Entry>>,
    flow: Flow,
    control: mpsc::Sender<Frame>,
    data: mpsc::Sender<Out>,
    next_id: tokio::sync::Mutex<u32>,
    closed: CancellationToken,
    /// The peer heeds windows, and so must be granted more of them.
    windows: AtomicBool,
}

/// A handle to one connection. Cheap to clone; the connection ends by [`Self::close`], by the peer, or when all
/// handles and streams are dropped.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("streams", &self.shared.streams.lock().len()).finish_non_exhaustive()
    }
}

impl Connection {
    /// Speaks SPDY over `io`. Streams that the peer opens come out of the receiver.
    pub fn start<T>(io: T, role: Role) -> (Self, Incoming)
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(io);
        let (control, control_frames) = mpsc::channel(CONTROL_FRAMES);
        let (data, frames) = mpsc::channel(FRAMES);
        let (opened, incoming) = mpsc::channel(16);
        let first = if role == Role::Client { 1 } else { 2 };
        let shared = Arc::new(Shared {
            streams: Mutex::default(),
            flow: Flow::default(),
            control,
            data,
            next_id: tokio::sync::Mutex::new(first),
            closed: CancellationToken::new(),
            windows: AtomicBool::new(role == Role::Server),
        });
        shared.owe(Frame::initial_window(WINDOW));
        shared.owe(Frame::WindowUpdate { id: 0, delta: SESSION_WINDOW });
        tokio::spawn(read(reader, Arc::downgrade(&shared), shared.closed.clone(), opened, role));
        tokio::spawn(write(writer, control_frames, frames, shared.closed.clone()));
        (Self { shared }, incoming)
    }

    /// Opens a stream and waits until the peer has accepted it.
    ///
    /// # Errors
    /// If the connection ends first or the peer refuses the stream.
    pub async fn open(&self, headers: Headers) -> io::Result<Stream> {
        let (replied, reply) = oneshot::channel();
        let stream = {
            let mut next = self.shared.next_id.lock().await;
            let id = *next;
            *next += 2;
            let stream = self.shared.make(id, headers.clone(), Some(replied));
            self.shared.send(Frame::SynStream { id, fin: false, headers }).await?;
            stream
        };
        tokio::select! {
            reply = reply => reply.map_err(|_| io::Error::other("the peer refused the stream"))?,
            () = self.shared.closed.cancelled() => return Err(io::ErrorKind::ConnectionReset.into()),
        }
        Ok(stream)
    }

    /// Sends a ping; an answer keeps proxies in between awake.
    pub fn ping(&self, id: u32) {
        self.shared.owe(Frame::Ping(id));
    }

    /// Says goodbye after everything that was sent so far, and waits until the peer has closed too (5 s at most).
    pub async fn close(&self) {
        let last = self.shared.streams.lock().keys().copied().max().unwrap_or(0);
        let _ = self.shared.send(Frame::GoAway { last, status: 0 }).await;
        let _ = self.shared.data.send(Out::Close).await;
        if tokio::time::timeout(LINGER, self.shared.closed.cancelled()).await.is_err() {
            self.shared.closed.cancel();
        }
    }

    /// Ends when the connection has ended.
    pub fn closed(&self) -> CancellationToken {
        self.shared.closed.clone()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl Shared {
    /// Queues a control frame; a peer that we owe too much is cut off.
    fn owe(&self, frame: Frame) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.control.try_send(frame) {
            self.closed.cancel();
        }
    }

    /// Lets the peer send `delta` bytes more, on a stream or (0) on all together.
    ///
    /// A server that never speaks of windows (moby/spdystream, and so every container runtime) knows none: it is told
    /// nothing. It hangs up as soon as it has said everything, and what still arrives then makes its kernel reset the
    /// connection, by which ours throws away what we have not read yet: the end of the output and the exit code.
    fn grant(&self, id: u32, delta: u32) {
        if self.windows.load(Ordering::Relaxed) {
            self.owe(Frame::WindowUpdate { id, delta });
        }
    }

    async fn send(&self, frame: Frame) -> io::Result<()> {
        self.data.send(Out::Frame(frame)).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn make(self: &Arc<Self>, id: u32, headers: Headers, replied: Option<oneshot::Sender<()>>) -> Stream {
        let (data, pieces) = mpsc::channel(PIECES);
        self.flow.open(id);
        self.streams.lock().insert(id, Entry { data: Some(data), replied, sent_all: false });
        Stream {
            id,
            headers,
            reader: StreamReader::new(id, pieces, Arc::clone(self)),
            writer: StreamWriter::new(id, Arc::clone(self)),
        }
    }

    /// Forgets a stream that is over in both directions.
    fn tidy(&self, id: u32) {
        let mut streams = self.streams.lock();
        if streams.get(&id).is_some_and(|entry| entry.sent_all && entry.data.is_none()) {
            streams.remove(&id);
            drop(streams);
            self.flow.forget(id);
        }
    }

    fn forget(&self, id: u32) {
        self.streams.lock().remove(&id);
        self.flow.forget(id);
    }
}

async fn read<R: AsyncRead>(
    io: ReadHalf<R>,
    shared: std::sync::Weak<Shared>,
    closed: CancellationToken,
    opened: mpsc::Sender<Stream>,
    role: Role,
) {
    let mut frames = FrameReader::new(io);
    let mut unacknowledged = 0u32;
    loop {
        let frame = tokio::select! {
            () = closed.cancelled() => break,
            frame = frames.next() => frame,
        };
        // Nobody holds the connection or a stream of it any more.
        let Some(shared) = shared.upgrade() else { break };
        match frame {
            // A peer says goodbye when it is done with all streams, and only hangs up once we do: inside a WebSocket
            // neither end can close just its own half. Source: `Serve` in moby/spdystream, which reads no further either.
            Ok(Some(Frame::GoAway { .. })) => break,
            Ok(Some(frame)) => {
                if let Frame::Data { data, .. } = &frame {
                    unacknowledged += data.len() as u32;
                    if unacknowledged >= SESSION_WINDOW / 4 {
                        shared.grant(0, std::mem::take(&mut unacknowledged));
                    }
                }
                tokio::select! {
                    () = closed.cancelled() => break,
                    () = shared.handle(frame, &opened, role) => {}
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "a SPDY connection broke: {error}");
                break;
            }
        }
    }
    if let Some(shared) = shared.upgrade() {
        shared.streams.lock().clear();
    }
    closed.cancel();
}

impl Shared {
    async fn handle(self: &Arc<Self>, frame: Frame, opened: &mpsc::Sender<Stream>, role: Role) {
        match frame {
            Frame::Data { id, fin, data } => self.deliver(id, fin, data).await,
            Frame::SynStream { id, fin, headers } => self.accept(id, fin, headers, opened, role).await,
            Frame::SynReply { id, fin, .. } => {
                let replied = self.streams.lock().get_mut(&id).and_then(|entry| entry.replied.take());
                if let Some(replied) = replied {
                    let _ = replied.send(());
                }
                self.ended(id, fin);
            }
            Frame::Headers { id, fin, .. } => self.ended(id, fin),
            Frame::RstStream { id, .. } => self.forget(id),
            // Pings that this end began have its own parity: their answers need no answer.
            Frame::Ping(id) if (id % 2 == 1) == (role == Role::Server) => self.owe(Frame::Ping(id)),
            Frame::Settings(settings) => {
                self.windows.store(true, Ordering::Relaxed);
                if let Some(window) = Frame::asked_window(&settings) {
                    self.flow.settle(window);
                }
            }
            Frame::WindowUpdate { id, delta } => {
                self.windows.store(true, Ordering::Relaxed);
                self.flow.grow(id, delta);
            }
            Frame::Ping(_) | Frame::GoAway { .. } | Frame::Unknown(_) => {}
        }
    }

    async fn accept(self: &Arc<Self>, id: u32, fin: bool, headers: Headers, opened: &mpsc::Sender<Stream>, role: Role) {
        let expected = (id % 2 == 1) == (role == Role::Server) && id != 0;
        let (full, known) = {
            let streams = self.streams.lock();
            (streams.len() >= MAX_STREAMS, streams.contains_key(&id))
        };
        if !expected || known || full {
            let status = if full { Reset::Refused } else { Reset::ProtocolError };
            return self.owe(Frame::RstStream { id, status: status as u32 });
        }
        let stream = self.make(id, headers, None);
        self.owe(Frame::SynReply { id, fin: false, headers: Headers::new() });
        self.ended(id, fin);
        // Dropped if nobody listens: that resets it.
        let _ = opened.send(stream).await;
    }

    async fn deliver(&self, id: u32, fin: bool, data: Bytes) {
        let to = match self.streams.lock().get(&id) {
            Some(entry) => entry.data.clone(),
            None => None,
        };
        if !data.is_empty() {
            let length = data.len() as u32;
            let taken = match to {
                Some(to) => to.send(data).await.is_ok(),
                None => false,
            };
            if !taken {
                self.grant(id, length);
            }
        }
        self.ended(id, fin);
    }

    fn ended(&self, id: u32, fin: bool) {
        if fin {
            if let Some(entry) = self.streams.lock().get_mut(&id) {
                entry.data = None;
            }
            self.tidy(id);
        }
    }
}

async fn write<W: AsyncWrite>(
    mut io: WriteHalf<W>,
    mut control: mpsc::Receiver<Frame>,
    mut data: mpsc::Receiver<Out>,
    closed: CancellationToken,
) {
    let (mut packer, mut buffer) = (Packer::default(), BytesMut::new());
    let mut closing = false;
    while !closing {
        // Invariant: control frames go first; a stream's SYN_REPLY is queued before anybody can send data on it.
        let frame = tokio::select! {
            biased;
            Some(frame) = control.recv() => frame,
            out = data.recv() => match out {
                Some(Out::Frame(frame)) => frame,
                Some(Out::Close) | None => break,
            },
            () = closed.cancelled() => break,
        };
        frame.encode(&mut packer, &mut buffer);
        while buffer.len() < 64 * 1024 {
            if let Ok(frame) = control.try_recv() {
                frame.encode(&mut packer, &mut buffer);
                continue;
            }
            match data.try_recv() {
                Ok(Out::Frame(frame)) => frame.encode(&mut packer, &mut buffer),
                Ok(Out::Close) => {
                    closing = true;
                    break;
                }
                Err(_) => break,
            }
        }
        let written = tokio::select! {
            written = async { io.write_all_buf(&mut buffer).await?; io.flush().await } => written,
            () = closed.cancelled() => break,
        };
        if written.is_err() {
            closed.cancel();
        }
    }
    data.close();
    let _ = tokio::time::timeout(LINGER, io.shutdown()).await;
}

#[cfg(test)]
mod tests;
