//! `kubectl logs`.

use bytes::Bytes;
use proto::fleet::Logs;
use proto::fleet::stream_frame::Frame;
use tokio::sync::mpsc;

use super::{StreamError, Wire, container_name};
use crate::agent::Handle;
use crate::context::Shared;
use crate::cri::view::{ContainerView, State};
use crate::logs::read::{self, Sink};
use crate::paths::log_name;

struct Frames<'a>(&'a mpsc::Sender<proto::fleet::StreamFrame>);

impl Sink for Frames<'_> {
    async fn send(&mut self, piece: Bytes) -> bool {
        if piece.is_empty() {
            return !self.0.is_closed();
        }
        self.0.send(proto::fleet::StreamFrame { frame: Some(Frame::Stdout(piece)) }).await.is_ok()
    }
}

/// Sends the log; both of the container's outputs, in their order.
pub(super) async fn serve(context: &Shared, pod: &Handle, request: &Logs, wire: &mut Wire) -> Result<i32, StreamError> {
    let name = container_name(pod, &request.container)?;
    let desired = pod.desired();
    let placement = &desired.placement;
    let chosen = {
        let view = pod.live.view.lock();
        let all = view.containers.get(&name).map_or(&[][..], Vec::as_slice);
        choose(all, request.previous).cloned()
    };
    let chosen = chosen.ok_or_else(|| {
        StreamError::bad_request(if request.previous {
            format!("previous terminated container {name:?} in pod {:?} not found", placement.name)
        } else {
            format!("container {name:?} in pod {:?} is waiting to start: ContainerCreating", placement.name)
        })
    })?;
    let path = context.paths.logs(&placement.namespace, &placement.name, &placement.uid);
    let path = path.join(log_name(&name, chosen.attempt));
    let alive = || {
        let view = pod.live.view.lock();
        view.current(&name).is_some_and(|c| c.id == chosen.id && c.state == State::Running)
    };
    let mut sink = Frames(&wire.out);
    let result = read::stream(&path, request, alive, &mut sink).await;
    result.map(|()| 0).map_err(|error| StreamError::internal(format!("log cannot be read: {error}")))
}

fn choose(all: &[ContainerView], previous: bool) -> Option<&ContainerView> {
    let begun = |c: &&ContainerView| c.state != State::Created;
    let newest = all.iter().find(begun)?;
    if !previous {
        return Some(newest);
    }
    let ended = |c: &&ContainerView| c.state == State::Exited;
    // While a container waits for its restart, its last run is the previous one.
    if newest.state == State::Exited && newest.attempt > 0 {
        return Some(newest);
    }
    all.iter().skip_while(|c| c.id != newest.id).skip(1).find(ended)
}
