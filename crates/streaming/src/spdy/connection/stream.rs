//! One stream of a connection and its two halves.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Shared, WINDOW};
use crate::spdy::frame::{Frame, Reset};
use crate::spdy::header::Headers;

/// Longest data frame that is sent.
const MAX_FRAME: usize = 32 * 1024;

/// One stream: headers, and bytes in both directions. Ends in a direction by FIN, in both by reset.
#[derive(Debug)]
pub struct Stream {
    /// Number on its connection.
    pub id: u32,
    /// What its opener said about it.
    pub headers: Headers,
    /// What the peer sends.
    pub reader: StreamReader,
    /// What goes to the peer.
    pub writer: StreamWriter,
}

/// The receiving half of a stream. Dropping it discards what still comes.
pub struct StreamReader {
    id: u32,
    pieces: mpsc::Receiver<Bytes>,
    unacknowledged: u32,
    shared: Arc<Shared>,
}

/// The sending half of a stream. Dropping it before [`Self::finish`] resets the stream.
pub struct StreamWriter {
    id: u32,
    finished: bool,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamReader({})", self.id)
    }
}

impl std::fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamWriter({})", self.id)
    }
}

impl StreamReader {
    pub(super) fn new(id: u32, pieces: mpsc::Receiver<Bytes>, shared: Arc<Shared>) -> Self {
        Self { id, pieces, unacknowledged: 0, shared }
    }

    /// The next bytes; `None` at the end, also when the stream was reset or the connection broke.
    pub async fn read(&mut self) -> Option<Bytes> {
        let piece = self.pieces.recv().await?;
        self.unacknowledged += piece.len() as u32;
        if self.unacknowledged >= WINDOW / 2 {
            let delta = std::mem::take(&mut self.unacknowledged);
            self.shared.grant(self.id, delta);
        }
        Some(piece)
    }

    /// Everything until the end, but no more than `limit` bytes.
    pub async fn read_to_end(&mut self, limit: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = self.read().await {
            let room = limit.saturating_sub(all.len());
            all.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        all
    }
}

impl StreamWriter {
    pub(super) fn new(id: u32, shared: Arc<Shared>) -> Self {
        Self { id, finished: false, shared }
    }

    /// Sends `data`, waiting for the peer's window and for the wire.
    ///
    /// # Errors
    /// If the stream was reset or the connection has ended.
    pub async fn write(&self, mut data: Bytes) -> io::Result<()> {
        while !data.is_empty() {
            let taken = tokio::select! {
                taken = self.shared.flow.take(self.id, data.len().min(MAX_FRAME)) => taken,
                () = self.shared.closed.cancelled() => None,
            };
            let taken = taken.ok_or(io::ErrorKind::BrokenPipe)?;
            let piece = data.split_to(taken);
            self.shared.send(Frame::Data { id: self.id, fin: false, data: piece }).await?;
        }
        Ok(())
    }

    /// Says that nothing more comes on this half.
    pub async fn finish(mut self) {
        self.finished = true;
        let _ = self.shared.send(Frame::Data { id: self.id, fin: true, data: Bytes::new() }).await;
        if let Some(entry) = self.shared.streams.lock().get_mut(&self.id) {
            entry.sent_all = true;
        }
        self.shared.tidy(self.id);
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if !self.finished && self.shared.streams.lock().contains_key(&self.id) {
            self.shared.owe(Frame::RstStream { id: self.id, status: Reset::Cancel as u32 });
            self.shared.forget(self.id);
        }
    }
}
