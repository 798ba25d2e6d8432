//! `demo/web`: an HTTP server for demonstrations and tests, built by `rustc` alone, without crates.
//! `GET /` answers the pod's name and the path. What else it can do is in `answer`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

static HEALTHY: AtomicBool = AtomicBool::new(true);
static READY: AtomicBool = AtomicBool::new(true);
static REQUESTS: AtomicU64 = AtomicU64::new(0);

const SIGTERM: i32 = 15;
const SIGINT: i32 = 2;

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn _exit(code: i32) -> !;
}

/// As process 1 of its container it would ignore SIGTERM without a handler.
extern "C" fn on_signal(_: i32) {
    // SAFETY: `_exit` is async-signal-safe and never returns.
    unsafe { _exit(0) }
}

fn main() {
    // SAFETY: the handler only calls `_exit`.
    unsafe {
        signal(SIGTERM, on_signal);
        signal(SIGINT, on_signal);
    }
    let start = Instant::now();
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    // START_DELAY seconds before it listens, for startup and readiness probes.
    std::thread::sleep(Duration::from_secs(number("START_DELAY").unwrap_or(0)));
    let port = number("PORT").unwrap_or(80);
    let listener = match TcpListener::bind(format!("0.0.0.0:{port}")) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("can't listen on port {port}: {error}");
            std::process::exit(1);
        }
    };
    println!("{} listens on port {port}", name());
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || serve(stream, start));
    }
}

fn name() -> String {
    std::env::var("HOSTNAME").ok().filter(|n| !n.is_empty()).unwrap_or_else(|| {
        std::fs::read_to_string("/etc/hostname").map(|n| n.trim().to_owned()).unwrap_or_default()
    })
}

fn serve(stream: TcpStream, start: Instant) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let Ok(mut writer) = stream.try_clone() else { return };
    let peer = stream.peer_addr().map(|a| a.to_string()).unwrap_or_default();
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace();
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
        let (mut length, mut close) = (0usize, false);
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 {
                return;
            }
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            close |= header == "connection: close";
        }
        let mut body = vec![0; length.min(1 << 20)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        println!("{peer} {method} {path}");
        let (status, text) = answer(path, &peer, &body, start);
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: {}\r\n\r\n",
            text.len(),
            if close { "close" } else { "keep-alive" }
        );
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(text.as_bytes())).is_err() || close {
            return;
        }
    }
}

/// The routes: `/healthz` and `/readyz` (switched by `/unhealthy`, `/healthy`, `/unready`, `/ready`), `/env`, `/echo`,
/// `/client` (the caller's address), `/file/PATH`, `/uptime`, `/requests`, `/exit/CODE`, `/slow/SECONDS`,
/// `/allocate/MEBIBYTES` (kept, to run into a limit), `/get/HOST:PORT/PATH` (fetched by plain HTTP); else the pod's name.
fn answer(path: &str, peer: &str, body: &[u8], start: Instant) -> (&'static str, String) {
    const OK: &str = "200 OK";
    const UNAVAILABLE: &str = "503 Service Unavailable";
    let (path, _query) = path.split_once('?').unwrap_or((path, ""));
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (first, rest) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let state = |good: bool| if good { (OK, "ok\n".to_owned()) } else { (UNAVAILABLE, "not ok\n".to_owned()) };
    let set = |flag: &AtomicBool, value: bool| {
        flag.store(value, Ordering::Relaxed);
        (OK, "done\n".to_owned())
    };
    match first {
        "healthz" => state(HEALTHY.load(Ordering::Relaxed)),
        "readyz" => state(READY.load(Ordering::Relaxed)),
        "healthy" => set(&HEALTHY, true),
        "unhealthy" => set(&HEALTHY, false),
        "ready" => set(&READY, true),
        "unready" => set(&READY, false),
        "env" => {
            let mut all: Vec<String> = std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect();
            all.sort();
            (OK, all.concat())
        }
        "echo" => (OK, String::from_utf8_lossy(body).into_owned()),
        "client" => (OK, format!("{peer}\n")),
        "file" => match std::fs::read_to_string(format!("/{rest}")) {
            Ok(text) => (OK, text),
            Err(error) => ("404 Not Found", format!("/{rest}: {error}\n")),
        },
        "uptime" => (OK, format!("{}\n", start.elapsed().as_secs())),
        "requests" => (OK, format!("{}\n", REQUESTS.load(Ordering::Relaxed))),
        "exit" => std::process::exit(rest.parse().unwrap_or(0)),
        "slow" => {
            std::thread::sleep(Duration::from_secs(rest.parse().unwrap_or(1)));
            (OK, "done\n".to_owned())
        }
        "allocate" => {
            let bytes = rest.parse::<usize>().unwrap_or(0) << 20;
            std::mem::forget(vec![1u8; bytes]);
            (OK, "done\n".to_owned())
        }
        "get" => fetch(rest),
        _ => (OK, format!("{} {path}\n", name())),
    }
}

fn fetch(target: &str) -> (&'static str, String) {
    let (host, path) = target.split_once('/').unwrap_or((target, ""));
    let get = || -> std::io::Result<String> {
        let address = std::net::ToSocketAddrs::to_socket_addrs(host)?
            .next()
            .ok_or_else(|| std::io::Error::other("no such host"))?;
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    };
    match get() {
        Ok(text) => ("200 OK", text),
        Err(error) => ("502 Bad Gateway", format!("{host}: {error}\n")),
    }
}
