//! A remote command as its two ends see it, whatever the wire.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::Outcome;

/// Pieces under way in each direction: enough to keep the wire busy, few enough that a slow reader slows the writer.
pub(crate) const PIECES: usize = 16;
/// Longest text of one terminal size; what is longer is none.
const MAX_SIZE_TEXT: usize = 4096;

/// Which streams a remote command has. With `tty`, stderr comes on stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoteCommandOptions {
    /// The caller sends input.
    pub stdin: bool,
    /// The caller wants output.
    pub stdout: bool,
    /// The caller wants the error output apart.
    pub stderr: bool,
    /// The command has a terminal; its size may be sent.
    pub tty: bool,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Columns.
    #[serde(rename = "Width")]
    pub width: u16,
    /// Rows.
    #[serde(rename = "Height")]
    pub height: u16,
}

/// The caller's end of a remote command.
#[derive(Debug)]
pub struct Session {
    /// Input; drop it to end the input. None if it was not asked for.
    pub stdin: Option<mpsc::Sender<Bytes>>,
    /// Terminal sizes; none without a terminal.
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// Output; ends with `None`. Ends at once if it was not asked for.
    pub stdout: mpsc::Receiver<Bytes>,
    /// Error output; the same.
    pub stderr: mpsc::Receiver<Bytes>,
    pub(crate) outcome: oneshot::Receiver<Outcome>,
    /// Cancelled when the connection has ended; cancel it to hang up.
    pub closed: CancellationToken,
}

impl Session {
    /// How it ended. Read `stdout` and `stderr` meanwhile, or the command stands still when their buffers are full.
    pub async fn outcome(&mut self) -> Outcome {
        match (&mut self.outcome).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::internal("the connection broke before the command ended"),
        }
    }
}

/// The serving end of a remote command.
#[derive(Debug)]
pub struct ServerSession {
    /// Input; `None` says that the caller's input has ended (or that it has hung up, see `closed`).
    pub stdin: mpsc::Receiver<Bytes>,
    /// Terminal sizes.
    pub resize: mpsc::Receiver<TerminalSize>,
    /// Takes output; discards it if it was not asked for.
    pub stdout: mpsc::Sender<Bytes>,
    /// Takes error output; the same.
    pub stderr: mpsc::Sender<Bytes>,
    /// Cancelled when the caller has hung up or the session is over.
    pub closed: CancellationToken,
    pub(crate) outcome: oneshot::Sender<Outcome>,
    pub(crate) done: oneshot::Receiver<()>,
}

impl ServerSession {
    /// Tells the caller how it ended, after all output so far, and waits until that is on its way and the connection
    /// is closed. Clones of `stdout` and `stderr` must have been dropped.
    pub async fn finish(self, outcome: Outcome) {
        drop((self.stdout, self.stderr, self.stdin, self.resize));
        let _ = self.outcome.send(outcome);
        let _ = self.done.await;
    }
}

/// The far ends of a [`ServerSession`]'s channels, for the wire.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) stdin: mpsc::Sender<Bytes>,
    pub(crate) resize: mpsc::Sender<TerminalSize>,
    pub(crate) stdout: mpsc::Receiver<Bytes>,
    pub(crate) stderr: mpsc::Receiver<Bytes>,
    pub(crate) outcome: oneshot::Receiver<Outcome>,
    pub(crate) done: oneshot::Sender<()>,
    pub(crate) closed: CancellationToken,
}

pub(crate) fn server_session(closed: CancellationToken) -> (ServerSession, Ends) {
    let (stdin_tx, stdin) = mpsc::channel(PIECES);
    let (resize_tx, resize) = mpsc::channel(PIECES);
    let (stdout, stdout_rx) = mpsc::channel(PIECES);
    let (stderr, stderr_rx) = mpsc::channel(PIECES);
    let (outcome, outcome_rx) = oneshot::channel();
    let (done_tx, done) = oneshot::channel();
    let session = ServerSession { stdin, resize, stdout, stderr, closed: closed.clone(), outcome, done };
    let ends = Ends {
        stdin: stdin_tx,
        resize: resize_tx,
        stdout: stdout_rx,
        stderr: stderr_rx,
        outcome: outcome_rx,
        done: done_tx,
        closed,
    };
    (session, ends)
}

/// Reads terminal sizes from a byte stream of JSON objects.
#[derive(Debug, Default)]
pub(crate) struct SizeReader(BytesMut);

impl SizeReader {
    /// Takes more bytes; gives the sizes that are complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<TerminalSize> {
        self.0.extend_from_slice(bytes);
        let mut stream = serde_json::Deserializer::from_slice(&self.0).into_iter::<TerminalSize>();
        let sizes: Vec<_> = stream.by_ref().map_while(Result::ok).collect();
        let used = stream.byte_offset();
        let _ = self.0.split_to(used.min(self.0.len()));
        if self.0.len() > MAX_SIZE_TEXT {
            self.0.clear();
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_over_piece_borders() {
        let mut reader = SizeReader::default();
        assert_eq!(reader.push(b"{\"Width\":80,\"Hei"), []);
        let size = |width, height| TerminalSize { width, height };
        assert_eq!(reader.push(b"ght\":24}\n{\"Width\":1,\"Height\":2}\n"), [size(80, 24), size(1, 2)]);
        assert_eq!(reader.push(b"{\"Width\":3,\"Height\":4}"), [size(3, 4)]);
    }
}
