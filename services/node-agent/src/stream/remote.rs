//! `kubectl exec` and `attach`, through containerd's streaming server.

use proto::fleet::stream_frame::Frame;
use proto::fleet::{Attach, Exec, StreamFrame};
use streaming::{Outcome, RemoteCommandOptions, Session, TerminalSize};
use tokio::sync::mpsc;
use tonic::Streaming;

use super::{StreamError, Wire, running};
use crate::agent::Handle;
use crate::context::Shared;
use crate::cri::v1;

/// Runs a command in a container; gives its exit code.
pub(super) async fn exec(context: &Shared, pod: &Handle, request: Exec, wire: &mut Wire) -> Result<i32, StreamError> {
    let container = running(pod, &request.container)?;
    if request.command.is_empty() {
        return Err(StreamError::bad_request("you must specify at least 1 command for the container"));
    }
    // A terminal has one output.
    let stderr = request.stderr && !request.tty;
    let options = RemoteCommandOptions { stdin: request.stdin, stdout: request.stdout, stderr, tty: request.tty };
    let url = context.cri.exec(v1::ExecRequest {
        container_id: container.id,
        cmd: request.command,
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr,
    });
    let url = url.await.map_err(|status| StreamError::internal(status.message()))?;
    join(&url, options, wire).await
}

/// Joins a container's own input and outputs.
pub(super) async fn attach(
    context: &Shared,
    pod: &Handle,
    request: Attach,
    wire: &mut Wire,
) -> Result<i32, StreamError> {
    let container = running(pod, &request.container)?;
    let stderr = request.stderr && !request.tty;
    let options = RemoteCommandOptions { stdin: request.stdin, stdout: request.stdout, stderr, tty: request.tty };
    let url = context.cri.attach(v1::AttachRequest {
        container_id: container.id,
        stdin: request.stdin,
        tty: request.tty,
        stdout: request.stdout,
        stderr,
    });
    let url = url.await.map_err(|status| StreamError::internal(status.message()))?;
    join(&url, options, wire).await
}

/// Passes frames both ways until the command ends or the caller hangs up.
async fn join(url: &str, options: RemoteCommandOptions, wire: &mut Wire) -> Result<i32, StreamError> {
    let session = streaming::client::remote_command(url, options).await;
    let mut session = session.map_err(|error| StreamError::internal(error.to_string()))?;
    let (stdin, resize) = (session.stdin.take(), session.resize.take());
    let closed = session.closed.clone();
    let Wire { out, input } = wire;
    let up = async {
        pass_input(input, stdin, resize).await;
        closed.cancel();
    };
    let down = pass_output(&mut session, out);
    tokio::pin!(down);
    let outcome = tokio::select! {
        outcome = &mut down => outcome,
        () = up => down.await,
    };
    match outcome {
        Outcome::Exited(code) => Ok(code),
        Outcome::Failed { message, .. } => Err(StreamError::internal(message)),
    }
}

/// Returns when control has gone.
async fn pass_input(
    input: &mut Streaming<StreamFrame>,
    mut stdin: Option<mpsc::Sender<bytes::Bytes>>,
    resize: Option<mpsc::Sender<TerminalSize>>,
) {
    while let Ok(Some(frame)) = input.message().await {
        match frame.frame {
            Some(Frame::Stdin(piece)) => {
                if let Some(sender) = &stdin
                    && sender.send(piece).await.is_err()
                {
                    // The command takes no more input; it may still write.
                    stdin = None;
                }
            }
            Some(Frame::StdinClosed(_)) => stdin = None,
            Some(Frame::Resize(size)) => {
                let side = |v: u32| u16::try_from(v).unwrap_or(u16::MAX);
                if let Some(sender) = &resize {
                    let _ = sender.send(TerminalSize { width: side(size.width), height: side(size.height) }).await;
                }
            }
            _ => {}
        }
    }
}

async fn pass_output(session: &mut Session, out: &mpsc::Sender<StreamFrame>) -> Outcome {
    let (mut more_out, mut more_err) = (true, true);
    while more_out || more_err {
        let frame = tokio::select! {
            piece = session.stdout.recv(), if more_out => piece.map(Frame::Stdout).or_else(|| { more_out = false; None }),
            piece = session.stderr.recv(), if more_err => piece.map(Frame::Stderr).or_else(|| { more_err = false; None }),
        };
        if let Some(frame) = frame
            && out.send(StreamFrame { frame: Some(frame) }).await.is_err()
        {
            session.closed.cancel();
        }
    }
    session.outcome().await
}
