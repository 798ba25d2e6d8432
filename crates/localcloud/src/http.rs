//! Plain HTTP/1.1 requests to our own parts on this machine: readiness, and pushing images.
//! A few lines on sockets, so that xtask builds without an HTTP stack.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header's value; `name` in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request and reads the whole answer. The connection is closed after it.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    head += &format!("content-length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    read(BufReader::new(stream), method == "HEAD")
}

fn read(mut reader: impl BufRead, head_only: bool) -> anyhow::Result<Answer> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split_whitespace().nth(1).and_then(|s| s.parse().ok()).context("no HTTP answer")?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if head_only {
        return Ok(answer);
    }
    match answer.header("content-length").and_then(|l| l.parse::<u64>().ok()) {
        Some(length) => drop(reader.take(length).read_to_end(&mut answer.body)?),
        // Chunked framing stays in the body: nobody here reads such an answer but to show it.
        None => drop(reader.read_to_end(&mut answer.body)?),
    }
    Ok(answer)
}

/// Whether `GET /readyz` answers 200, and what it says otherwise.
pub(crate) fn ready(address: SocketAddr) -> Result<(), String> {
    match request(address, "GET", "/readyz", &[], &[]) {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!("{address} answers {}: {}", answer.status, answer.text().trim())),
        Err(error) => Err(format!("{address} does not answer: {error:#}")),
    }
}

/// As [`ready`], from within a network namespace.
pub(crate) fn ready_in(namespace: &str, address: SocketAddr) -> Result<(), String> {
    let path = format!("/run/netns/{namespace}");
    // Namespaces are a thread's: this one is entered by a thread that ends with the question.
    let ask = std::thread::spawn(move || {
        let file = std::fs::File::open(&path).map_err(|e| format!("{path}: {e}"))?;
        nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).map_err(|e| format!("{path}: {e}"))?;
        ready(address)
    });
    ask.join().unwrap_or_else(|_| Err("the thread that asked failed".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_read_to_its_length() {
        let raw = b"HTTP/1.1 202 Accepted\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nokrest";
        let answer = read(&raw[..], false).unwrap();
        assert_eq!((answer.status, answer.header("location"), answer.text().as_str()), (202, Some("/x"), "ok"));
    }

    #[test]
    fn no_answer_is_an_error() {
        assert!(read(&b""[..], false).is_err());
    }
}
