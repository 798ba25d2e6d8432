//! Streams into pods: pairs the virtual-kubelet's call with the call by which the agent answers, and copies frames.

use crate::actor::{Fleet, Move};
use domain::HostId;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use proto::fleet::{OpenStream, StreamEnd, StreamFrame, StreamOpen, control_message::Message, stream_frame::Frame};
use std::{collections::HashMap, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Frames under way in one direction: enough to keep the wire busy, few enough that a slow reader slows the writer.
const FRAMES: usize = 16;
/// How long an agent may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

struct Waiting {
    host: HostId,
    to_agent: mpsc::Receiver<StreamFrame>,
    from_agent: mpsc::Sender<StreamFrame>,
    answered: oneshot::Sender<()>,
}

/// Streams that wait for their agent.
#[derive(Default)]
pub(crate) struct Streams {
    waiting: Mutex<HashMap<String, Waiting>>,
}

impl Streams {
    /// An agent's answer: what it is to receive, while what it sends is copied in the background.
    pub(crate) async fn answer(
        &self,
        host: &HostId,
        mut inbound: Streaming<StreamFrame>,
    ) -> Result<impl Stream<Item = StreamFrame> + Send + use<>, Status> {
        let first = inbound.message().await?.and_then(|frame| frame.frame);
        let Some(Frame::Open(open)) = first else {
            return Err(Status::invalid_argument("the first frame must be open"));
        };
        let found = {
            let mut waiting = self.waiting.lock();
            let mine = waiting.get(&open.stream_id).is_some_and(|stream| stream.host == *host);
            if mine { waiting.remove(&open.stream_id) } else { None }
        };
        let stream = found.ok_or_else(|| Status::not_found("nobody waits for this stream any more"))?;
        let _ = stream.answered.send(());
        let from_agent = stream.from_agent;
        tokio::spawn(async move {
            copy(inbound, &from_agent).await;
        });
        Ok(ReceiverStream::new(stream.to_agent))
    }
}

async fn copy(mut inbound: Streaming<StreamFrame>, to: &mpsc::Sender<StreamFrame>) {
    loop {
        match inbound.message().await {
            Ok(Some(frame)) => {
                if to.send(frame).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(status) => {
                tracing::debug!(%status, "a stream into a pod broke");
                return;
            }
        }
    }
}

fn ended(reason: &str, error: &str) -> StreamFrame {
    StreamFrame {
        frame: Some(Frame::End(StreamEnd { exit_code: 0, error: error.to_owned(), reason: reason.to_owned() })),
    }
}

impl Fleet {
    /// Asks a pod's host to answer, passes `inbound` on to it, and gives what it sends. The host is told when the answer is
    /// dropped.
    ///
    /// # Errors
    /// If the pod is not on any host, or the fleet is stopping.
    pub async fn open_stream(
        &self,
        mut open: StreamOpen,
        inbound: impl Stream<Item = StreamFrame> + Send + 'static,
    ) -> Result<ReceiverStream<StreamFrame>, Status> {
        let host = self.ask(|reply| Move::Where { uid: open.uid.clone(), reply }).await?;
        let host = host.ok_or_else(|| Status::not_found("the pod is not on any host"))?;
        let stream_id = uuid::Uuid::now_v7().to_string();
        open.stream_id.clone_from(&stream_id);
        let (to_agent_tx, to_agent) = mpsc::channel(FRAMES);
        let (from_agent, answer) = mpsc::channel(FRAMES);
        let (answered, agent_came) = oneshot::channel();
        let late = from_agent.clone();
        let waiting = Waiting { host: host.clone(), to_agent, from_agent, answered };
        self.streams.waiting.lock().insert(stream_id.clone(), waiting);
        let request = Message::OpenStream(OpenStream { stream_id: stream_id.clone(), request: Some(open) });
        self.tell(Move::ToHost { host, message: Box::new(request) }).await?;
        let came = tokio::time::timeout(ANSWER, agent_came).await;
        self.streams.waiting.lock().remove(&stream_id);
        if !matches!(came, Ok(Ok(()))) {
            let _ = late.send(ended("ServiceUnavailable", "the pod's host does not answer")).await;
        }
        tokio::spawn(async move {
            let mut inbound = std::pin::pin!(inbound);
            while let Some(frame) = inbound.next().await {
                if to_agent_tx.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Ok(ReceiverStream::new(answer))
    }
}
