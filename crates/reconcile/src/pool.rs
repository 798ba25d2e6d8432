//! The workers: take a key, reconcile it under a time limit, say how it went.

#[cfg(test)]
mod tests;

use crate::{Key, Next, Queue};
use futures::FutureExt;
use std::{fmt::Display, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Brings one thing from its observed towards its desired state.
pub trait Reconcile<K: Key>: Send + Sync + 'static {
    /// Why a run failed; the key backs off and is tried again.
    type Error: Display + Send;

    /// One run: observe, diff, act. Safe to repeat and to cut off at any await.
    fn reconcile(&self, key: &K) -> impl Future<Output = Result<Next, Self::Error>> + Send;

    /// Everything there is to look at once a period, in case a notice was lost. Empty: nothing to resync.
    fn all(&self) -> Vec<K> {
        Vec::new()
    }
}

/// How one run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did its work.
    Done,
    /// It gave an error.
    Failed,
    /// It panicked: a bug, treated as an error.
    Panicked,
    /// It took longer than `Config::timeout` and was cut off.
    TimedOut,
}

/// Where measurements of runs go.
pub trait Observer<K>: Send + Sync + 'static {
    /// A run of `key` ended; it had waited for a worker for `waited` and took `took`.
    fn ran(&self, key: &K, waited: Duration, took: Duration, outcome: Outcome);
}

/// Measures nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl<K> Observer<K> for Quiet {
    fn ran(&self, _: &K, _: Duration, _: Duration, _: Outcome) {}
}

/// The knobs of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Runs at the same time, over all lanes. Default 16: runs mostly wait for commits.
    pub workers: usize,
    /// Time after which a run is cut off and counted as failed. Default 60 s.
    pub timeout: Duration,
    /// Time between two full resyncs; `None` for never. Default 10 minutes.
    pub resync: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self { workers: 16, timeout: Duration::from_secs(60), resync: Some(Duration::from_secs(600)) }
    }
}

/// Works off `queue` until `stop`; then lets the current runs end, and returns when all have.
pub async fn run<K: Key, R: Reconcile<K>>(
    queue: Queue<K>,
    config: Config,
    reconciler: Arc<R>,
    observer: Arc<dyn Observer<K>>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    for _ in 0..config.workers.max(1) {
        let (queue, reconciler, observer, stop) = (queue.clone(), reconciler.clone(), observer.clone(), stop.clone());
        tasks.spawn(async move {
            // A failed job is given back before the token is looked at, so no key is lost half-way.
            while let Some(job) = stop.run_until_cancelled(queue.next()).await {
                let started = Instant::now();
                let attempt = AssertUnwindSafe(reconciler.reconcile(&job.key)).catch_unwind();
                let ended = tokio::time::timeout(config.timeout, attempt).await;
                let (next, outcome) = judge(&job.key, job.failures, ended);
                observer.ran(&job.key, job.waited, started.elapsed(), outcome);
                queue.finish(&job.key, next);
            }
        });
    }
    tasks.close();
    tokio::select! {
        () = stop.cancelled() => {}
        () = queue.keep_time() => {}
        () = resync(&queue, &*reconciler, config.resync) => {}
    }
    tasks.wait().await;
}

type Ended<E> = Result<std::thread::Result<Result<Next, E>>, tokio::time::error::Elapsed>;

fn judge<K: Key, E: Display>(key: &K, failures: u32, ended: Ended<E>) -> (Option<Next>, Outcome) {
    match ended {
        Ok(Ok(Ok(next))) => (Some(next), Outcome::Done),
        Ok(Ok(Err(error))) => {
            // The first few are ordinary: two writers met and one of them must look again.
            if failures < 3 {
                tracing::debug!(?key, failures, "could not reconcile {key:?}: {error}");
            } else {
                tracing::warn!(?key, failures, "could not reconcile {key:?}, {failures} failures before: {error}");
            }
            (None, Outcome::Failed)
        }
        Ok(Err(_)) => {
            tracing::error!(?key, "the reconciler panicked on {key:?}");
            (None, Outcome::Panicked)
        }
        Err(_) => {
            tracing::warn!(?key, "reconciling {key:?} took too long and was cut off");
            (None, Outcome::TimedOut)
        }
    }
}

async fn resync<K: Key, R: Reconcile<K>>(queue: &Queue<K>, reconciler: &R, period: Option<Duration>) {
    let Some(period) = period else { return std::future::pending().await };
    loop {
        tokio::time::sleep(period).await;
        queue.add_all(reconciler.all());
    }
}
