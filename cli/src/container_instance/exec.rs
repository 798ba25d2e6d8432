//! Commands in running containers, over a WebSocket.
//! Source of the wire: Kubernetes' remote commands, subprotocol `v5.channel.k8s.io`: each message begins with its channel.

use crate::{
    client::{self, Client},
    error::Error,
    output,
};
use clap::Args as Group;
use crossterm::terminal;
use futures::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::{Value, json};
use std::io::{IsTerminal, Read, Write};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

const PROTOCOL: &str = "v5.channel.k8s.io";
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;
/// Bytes of input in one message.
const PIECE: usize = 16 * 1024;
/// Pieces of input under way; more wait for the network.
const PIECES: usize = 8;

type Socket = WebSocketStream<reqwest::Upgraded>;

/// What to run where.
#[derive(Debug, Group)]
pub(crate) struct Exec {
    /// Name or OCID of the instance
    #[arg(value_name = "NAME|OCID")]
    instance: String,
    /// The container, if the instance has several
    #[arg(long, short)]
    container: Option<String>,
    /// Pass standard input on
    #[arg(long, short = 'i')]
    stdin: bool,
    /// Give it a terminal
    #[arg(long, short = 't')]
    tty: bool,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Runs a command; fails with its exit code.
pub(super) async fn run(client: &Client, what: Exec) -> Result<(), Error> {
    let id = super::container(client, &what.instance, what.container.as_deref()).await?;
    let path = format!("/20210415/containers/{}/actions/exec", client::segment("container", &id)?);
    let flag = |on: bool| if on { "true" } else { "false" };
    let mut query: Vec<(&str, &str)> = what.command.iter().map(|word| ("command", word.as_str())).collect();
    query.extend([
        ("stdin", flag(what.stdin)),
        ("stdout", "true"),
        ("stderr", flag(!what.tty)),
        ("tty", flag(what.tty)),
    ]);
    let upgraded = client.upgrade(&path, &query, PROTOCOL).await?;
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    let raw = Raw::enter(what.tty && what.stdin)?;
    let status = talk(socket, what.stdin, what.tty).await;
    drop(raw);
    outcome(&status?)
}

/// Passes everything both ways until the command has ended; gives its Status.
async fn talk(socket: Socket, stdin: bool, tty: bool) -> Result<Value, Error> {
    let (mut to, mut from) = socket.split();
    let mut input = if stdin { read_input() } else { mpsc::channel(1).1 };
    let mut resized = signal(SignalKind::window_change()).map_err(Error::io("watch the terminal"))?;
    let (mut is_open, mut status) = (stdin, None);
    if tty {
        send_size(&mut to).await;
    }
    loop {
        tokio::select! {
            message = from.next() => match message {
                Some(Ok(Message::Binary(bytes))) => take(&bytes, &mut status)?,
                Some(Ok(Message::Close(_))) | None => break,
                Some(Ok(_)) => {}
                // Having said how it ended, the other side may hang up without more ado.
                Some(Err(_)) if status.is_some() => break,
                Some(Err(error)) => return Err(Error::io("read what the command says")(error)),
            },
            piece = input.recv(), if is_open => {
                is_open = piece.is_some();
                let message = match piece {
                    Some(piece) => [&[STDIN][..], &piece].concat(),
                    None => vec![CLOSE, STDIN],
                };
                // If it is over, `from` says so.
                let _ = to.send(Message::binary(message)).await;
            }
            _ = resized.recv(), if tty => send_size(&mut to).await,
        }
    }
    status.ok_or_else(|| Error::Failed("the connection broke before the command ended".into()))
}

fn take(message: &[u8], status: &mut Option<Value>) -> Result<(), Error> {
    match message.split_first() {
        Some((&STDOUT, bytes)) => {
            output::write_bytes(bytes)?;
            let _ = std::io::stdout().flush();
        }
        Some((&STDERR, bytes)) => _ = std::io::stderr().write_all(bytes),
        Some((&STATUS, bytes)) => *status = serde_json::from_slice(bytes).ok(),
        _ => {}
    }
    Ok(())
}

async fn send_size(to: &mut SplitSink<Socket, Message>) {
    let Ok((width, height)) = terminal::size() else { return };
    let text = json!({"Width": width, "Height": height}).to_string();
    let _ = to.send(Message::binary([&[RESIZE][..], text.as_bytes()].concat())).await;
}

/// Standard input, piece by piece. A thread reads it, for a read that waits for a person can't be called off.
fn read_input() -> mpsc::Receiver<Vec<u8>> {
    let (to, pieces) = mpsc::channel(PIECES);
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = std::io::stdin().read(&mut piece) {
            if to.blocking_send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    pieces
}

/// The terminal while each key goes to the command as it is; dropped, it is as before.
struct Raw(bool);

impl Raw {
    fn enter(wanted: bool) -> Result<Self, Error> {
        let on = wanted && std::io::stdin().is_terminal();
        if on {
            terminal::enable_raw_mode().map_err(Error::io("prepare the terminal"))?;
        }
        Ok(Self(on))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if self.0 {
            let _ = terminal::disable_raw_mode();
        }
    }
}

/// What a Status says of how the command ended. Source: Kubernetes' `metav1.Status`, reason NonZeroExitCode.
fn outcome(status: &Value) -> Result<(), Error> {
    if status["status"] == "Success" {
        return Ok(());
    }
    let causes = status["details"]["causes"].as_array().into_iter().flatten();
    let code = causes.filter(|cause| cause["reason"] == "ExitCode").find_map(|cause| cause["message"].as_str());
    match code.and_then(|code| code.parse::<i64>().ok()) {
        Some(code) => Err(Error::Exit(u8::try_from(code).unwrap_or(u8::MAX))),
        None => Err(Error::Failed(status["message"].as_str().unwrap_or("the command did not run").to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_exit_code_is_ours() {
        assert!(outcome(&json!({"status": "Success"})).is_ok());
        let failed = json!({"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}});
        assert_eq!(outcome(&failed).unwrap_err().exit_code(), 7);
        let error = outcome(&json!({"status": "Failure", "message": "no such program"})).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit_code()), ("no such program", 1));
    }
}
