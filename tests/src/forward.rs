//! `kubectl port-forward` as a test uses it, and the little HTTP that goes through it.

use crate::shell::Running;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A port-forward that runs; ends when dropped.
#[derive(Debug)]
pub struct Forward {
    _running: Running,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Forward {
    pub(crate) fn new(running: Running) -> Self {
        let port = running.line(|line| {
            let rest = line.strip_prefix("Forwarding from 127.0.0.1:")?;
            rest.split_whitespace().next()?.parse::<u16>().ok()
        });
        Self { _running: running, address: (Ipv4Addr::LOCALHOST, port).into() }
    }
}

/// The body of an answer to a plain HTTP `GET`.
///
/// # Errors
/// If the connection can't be made or breaks.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.trim_end().to_owned());
    body.ok_or_else(|| std::io::Error::other(format!("no HTTP answer: {text:?}")))
}
