//! `hako-s3`: a small S3-compatible server on a directory, for clouds on one machine.
//! A real installation uses an S3 service; nothing here knows more than that protocol.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family};
use runtime::CancellationToken;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

/// How often the directory is looked for.
const PROBE: std::time::Duration = std::time::Duration::from_secs(5);

/// Configuration file of `hako-s3`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Where S3 is served, plain HTTP.
    listen: SocketAddr,
    /// `/livez`, `/readyz` and `/metrics`.
    ops_listen: SocketAddr,
    /// Directory that holds one folder per bucket.
    directory: PathBuf,
    /// Buckets that are made at start.
    #[serde(default)]
    buckets: Vec<String>,
    /// The one user's access key.
    access_key: String,
    /// File with the one user's secret key.
    secret_key_file: PathBuf,
}

fn main() -> ExitCode {
    runtime::main("s3", run)
}

async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.directory)?;
    for bucket in &config.buckets {
        std::fs::create_dir_all(config.directory.join(bucket))?;
    }
    let secret = std::fs::read_to_string(&config.secret_key_file)
        .with_context(|| format!("can't read {}", config.secret_key_file.display()))?;
    let files = FileSystem::new(&config.directory)
        .map_err(|e| anyhow::anyhow!("can't serve {}: {e:?}", config.directory.display()))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(config.access_key, secret.trim()));
    let service = builder.build();

    let ops =
        TcpListener::bind(config.ops_listen).await.with_context(|| format!("can't listen on {}", config.ops_listen))?;
    let health = runtime::Health::new();
    tokio::spawn(stop.clone().run_until_cancelled_owned(probe(config.directory.clone(), health.clone())));
    let ops = tokio::spawn(runtime::ops::serve(ops, health, runtime::metrics::registry(), stop.clone()));
    let requests = requests();
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("can't listen on {}", config.listen))?;
    tracing::info!(address = %config.listen, "serving {} on {}", config.directory.display(), config.listen);
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted?,
        };
        let (service, requests) = (service.clone(), requests.clone());
        let counted = service_fn(move |request: Request<Incoming>| {
            let (method, answer) = (word(request.method()), Service::<Request<Incoming>>::call(&service, request));
            let requests = requests.clone();
            async move {
                let answer = answer.await;
                let code = answer.as_ref().map_or(500, |answer| answer.status().as_u16());
                requests.get_or_create(&Labels { method, code }).inc();
                answer
            }
        });
        let stop = stop.clone();
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection(TokioIo::new(stream), counted);
            tokio::pin!(connection);
            let result = tokio::select! {
                result = connection.as_mut() => result,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = result {
                tracing::debug!(%error, "connection with {peer} ended: {error}");
            }
        });
    }
    ops.await?
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    code: u16,
}

/// The counter of requests, in the process's registry.
fn requests() -> Family<Labels, Counter> {
    let requests = Family::default();
    runtime::metrics::registry().lock().register("s3_requests", "Requests answered", requests.clone());
    requests
}

fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Says whether the directory is there.
async fn probe(directory: PathBuf, health: runtime::Health) {
    loop {
        health.set_ready("directory", tokio::fs::read_dir(&directory).await.is_ok());
        tokio::time::sleep(PROBE).await;
    }
}
