//! A service's life from arguments to exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

use crate::CancellationToken;
use crate::config::{self, Telemetry};
use crate::telemetry;

/// Exit code for a misused command line or a bad configuration.
/// Source: `EX_USAGE` of sysexits(3).
const MISUSED: u8 = 64;

/// Runs a service: reads `--config FILE`, starts telemetry, calls `run` and cancels its token on
/// SIGTERM or SIGINT. Exits 0 after a clean end, 1 if `run` failed, 64 if the configuration is bad.
pub fn main<T, F>(service: &'static str, run: F) -> ExitCode
where
    T: DeserializeOwned,
    F: AsyncFnOnce(T, CancellationToken) -> anyhow::Result<()>,
{
    crate::tls::install_provider();
    let config: T = match arguments(service).and_then(|path| Ok(config::load(&path)?)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("hako-{service}: {error}");
            return ExitCode::from(MISUSED);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("hako-{service}: can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(supervise(service, config, run));
    // Blocking work that is still going on must not hold up the end of the process.
    runtime.shutdown_background();
    code
}

async fn supervise<T, F>(service: &'static str, config: T, run: F) -> ExitCode
where
    F: AsyncFnOnce(T, CancellationToken) -> anyhow::Result<()>,
{
    let _guard = match telemetry::start(service, &Telemetry::from_env()) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("hako-{service}: {error}");
            return ExitCode::from(MISUSED);
        }
    };
    let stop = CancellationToken::new();
    let watcher = tokio::spawn(cancel_on_signal(service, stop.clone()));
    let result = run(config, stop).await;
    watcher.abort();
    match result {
        Ok(()) => {
            tracing::info!("{service} ended");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "{service} failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn cancel_on_signal(service: &'static str, stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("{service} can't listen for signals");
        return;
    };
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "{service} stops on {name}");
    stop.cancel();
}

fn arguments(service: &str) -> anyhow::Result<PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(flag), Some(path), None) if flag == "--config" => Ok(path.into()),
        _ => anyhow::bail!("usage: hako-{service} --config FILE"),
    }
}
