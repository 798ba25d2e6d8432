//! `hako-s3`: a small S3-compatible server on a directory, for clouds on one machine.
//! A real installation uses an S3 service; nothing here knows more than that protocol.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use runtime::CancellationToken;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

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

    let ops = TcpListener::bind(config.ops_listen).await?;
    let ops =
        tokio::spawn(runtime::ops::serve(ops, runtime::Health::new(), runtime::metrics::registry(), stop.clone()));
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("can't listen on {}", config.listen))?;
    tracing::info!(address = %config.listen, "serving {} on {}", config.directory.display(), config.listen);
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted?,
        };
        let service = service.clone();
        let stop = stop.clone();
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection(TokioIo::new(stream), service);
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
