//! `kubectl logs`.

use bytes::Bytes;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};
use proto::fleet::Logs;
use proto::fleet::stream_frame::Frame;
use tokio::sync::mpsc;

use super::{StreamError, Wire, container_name};
use crate::agent::Handle;
use crate::context::Shared;
use crate::cri::view::State;
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
    let wanted = {
        let status = pod.live.status.lock();
        let all = || status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        let mine = all().find(|c| c.name == name);
        choose(mine, &name, &placement.name, request.previous).map_err(StreamError::bad_request)?
    };
    let chosen = {
        let view = pod.live.view.lock();
        let all = view.containers.get(&name).map_or(&[][..], Vec::as_slice);
        all.iter().find(|c| wanted.strip_prefix("containerd://") == Some(c.id.as_str())).cloned()
    };
    let gone = || StreamError::not_found(format!("the log of container {name:?} is not kept any more"));
    let chosen = chosen.ok_or_else(gone)?;
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

/// Id of the container whose log is meant, or why there is none, in the kubelet's words.
/// Source: `validateContainerLogStatus` in the kubelet's `kubelet_pods.go`.
fn choose(status: Option<&ContainerStatus>, name: &str, pod: &str, previous: bool) -> Result<String, String> {
    let id =
        |state: Option<&ContainerState>| state?.terminated.as_ref()?.container_id.clone().filter(|id| !id.is_empty());
    let state = status.and_then(|s| s.state.as_ref());
    let last = id(status.and_then(|s| s.last_state.as_ref()));
    if previous {
        return last.ok_or_else(|| format!("previous terminated container {name:?} in pod {pod:?} not found"));
    }
    if state.is_some_and(|s| s.running.is_some()) {
        return status.and_then(|s| s.container_id.clone()).ok_or_else(|| format!("container {name:?} has no id yet"));
    }
    if let Some(id) = id(state).or(last) {
        return Ok(id);
    }
    let reason = state.and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.as_deref());
    let why = match reason {
        Some("ErrImagePull") => "image can't be pulled",
        Some("ImagePullBackOff") => "trying and failing to pull image",
        other => other.unwrap_or("ContainerCreating"),
    };
    Err(format!("container {name:?} in pod {pod:?} is waiting to start: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(status: Value, previous: bool, expected: Result<&str, &str>) {
        let mut status = status;
        (status["name"], status["image"], status["imageID"]) = ("c".into(), "".into(), "".into());
        (status["ready"], status["restartCount"]) = (false.into(), 0.into());
        let status: ContainerStatus = serde_json::from_value(status).unwrap();
        let got = choose(Some(&status), "c", "p", previous);
        assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn the_log_is_that_of_the_run_that_is_meant() {
        let ended = |id: &str| json!({"terminated": {"exitCode": 1, "containerID": id}});
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        let running = json!({"running": {}});
        check(json!({"state": running, "containerID": "b", "lastState": ended("a")}), false, Ok("b"));
        check(json!({"state": running, "containerID": "b", "lastState": ended("a")}), true, Ok("a"));
        // In back-off after its first crash, that run is both the last and the previous one.
        let crashed = json!({"state": waiting("CrashLoopBackOff"), "lastState": ended("a")});
        check(crashed.clone(), false, Ok("a"));
        check(crashed, true, Ok("a"));
        check(json!({"state": ended("a")}), true, Err("previous terminated container \"c\" in pod \"p\" not found"));
        check(
            json!({"state": waiting("ImagePullBackOff")}),
            false,
            Err("container \"c\" in pod \"p\" is waiting to start: trying and failing to pull image"),
        );
        check(
            json!({"state": waiting("CreateContainerConfigError")}),
            false,
            Err("container \"c\" in pod \"p\" is waiting to start: CreateContainerConfigError"),
        );
    }
}
