//! `kubectl exec` and `attach`, through containerd's streaming server.

use proto::fleet::{Attach, Exec};

use super::{StreamError, Wire, running};
use crate::agent::Handle;
use crate::context::Shared;
use crate::cri::v1;

/// Runs a command in a container; gives its exit code.
pub(super) async fn exec(context: &Shared, pod: &Handle, request: Exec, wire: &mut Wire) -> Result<i32, StreamError> {
    let container = running(pod, &request.container)?;
    let url = context.cri.exec(v1::ExecRequest {
        container_id: container.id,
        cmd: request.command,
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        // A terminal has one output.
        stderr: request.stderr && !request.tty,
    });
    let url = url.await.map_err(|status| StreamError::internal(status.message()))?;
    let _ = (url, wire);
    Err(StreamError::internal("exec is not there yet"))
}

/// Joins a container's own input and outputs.
pub(super) async fn attach(
    context: &Shared,
    pod: &Handle,
    request: Attach,
    wire: &mut Wire,
) -> Result<i32, StreamError> {
    let container = running(pod, &request.container)?;
    let tty = request.tty;
    let url = context.cri.attach(v1::AttachRequest {
        container_id: container.id,
        stdin: request.stdin,
        tty,
        stdout: request.stdout,
        stderr: request.stderr && !tty,
    });
    let url = url.await.map_err(|status| StreamError::internal(status.message()))?;
    let _ = (url, wire);
    Err(StreamError::internal("attach is not there yet"))
}
