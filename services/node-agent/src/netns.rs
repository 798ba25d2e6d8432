//! Connections from inside a pod's network namespace: pods of tenants are not reachable from the host's own.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpStream;

/// Opens a TCP connection as if from inside the namespace at `netns`.
///
/// A namespace belongs to a thread: a fresh one enters it, connects and ends, so that no other task ever runs there.
///
/// # Errors
/// If the namespace is gone, nobody listens, or `timeout` passes.
pub async fn connect(netns: PathBuf, address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let (answer, result) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("netns".to_owned()).stack_size(64 * 1024);
    thread.spawn(move || {
        let connected = enter(&netns).and_then(|()| std::net::TcpStream::connect_timeout(&address, timeout));
        // Nobody waits any more: the connection closes.
        let _ = answer.send(connected);
    })?;
    let stream = result.await.map_err(|_| io::Error::other("the connecting thread died"))??;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

fn enter(netns: &std::path::Path) -> io::Result<()> {
    let file = std::fs::File::open(netns)?;
    nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}
