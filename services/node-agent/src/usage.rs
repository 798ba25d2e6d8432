//! The usage journal: intervals of billed time, on disk before they are sent to billing.
//!
//! Each running pod's time is cut into intervals every few seconds. A cut is synced to the journal first, then sent, at
//! least once; billing knows an interval by pod, host and sequence number. After a crash a pod that runs still goes on
//! where its last interval ended, one that is found dead is closed at its real end.

mod record;
mod segment;
mod ship;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use record::Interval;
use segment::Store;
use ship::Shipper;

/// Intervals that may wait before running pods are cut no more: their next intervals get longer instead, so that a
/// billing that is down for days costs neither disk nor a second of usage.
const WAITING_LIMIT: usize = 20_000;
/// Time that the last intervals get to reach billing when the agent ends; they are sent after the next start otherwise.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the journal needs; made by the agent from its own config.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of the journal; made if missing.
    pub dir: PathBuf,
    /// Source of every interval.
    pub host_id: String,
    /// Billing's gRPC endpoint (`https://...`).
    pub endpoint: String,
    /// This host's certificate.
    pub identity: runtime::tls::Identity,
}

/// How often and how much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Length of a running pod's intervals: usage is visible after that time.
    pub cut_every: Duration,
    /// Size in bytes at which a new segment file is begun.
    pub segment_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cut_every: Duration::from_secs(10), segment_bytes: 1 << 20 }
    }
}

/// Who pays for a pod, and for how much.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementInfo {
    /// The tenancy that pays.
    pub tenant_id: String,
    /// The compartment it is accounted to.
    pub compartment_id: String,
    /// The pod's cluster.
    pub cluster_id: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// Pod shape by which it is billed.
    pub shape: String,
    /// Size in thousandths of an OCPU, before rounding up.
    pub ocpu_milli: u64,
    /// Size in bytes of memory, before rounding up.
    pub memory_bytes: u64,
}

/// The journal; clones share it.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    store: Mutex<Store>,
    clock: SteadyClock,
    /// Something waits to be sent.
    news: Notify,
    refused: PathBuf,
}

impl Journal {
    /// Opens the journal and starts shipping in the background until `stop`.
    ///
    /// # Errors
    /// If the directory can't be used or the endpoint is no URL.
    pub async fn open(options: Options, stop: CancellationToken) -> anyhow::Result<Self> {
        Self::open_with(options, Limits::default(), stop).await
    }

    /// As [`Self::open`], with other limits.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(options: Options, limits: Limits, stop: CancellationToken) -> anyhow::Result<Self> {
        let dir = options.dir.clone();
        let shipper = Shipper::new(&options)?;
        let opened = tokio::task::spawn_blocking(move || Store::open(&dir, limits.segment_bytes));
        let store = opened.await.context("the usage journal's opening ended early")??;
        let inner = Inner {
            store: Mutex::new(store),
            clock: SteadyClock::new(),
            news: Notify::new(),
            refused: options.dir.join("refused.jsonl"),
        };
        let journal = Self { inner: Arc::new(inner) };
        let last_cut = CancellationToken::new();
        tokio::spawn(journal.clone().cut_until(limits.cut_every, stop, last_cut.clone()));
        tokio::spawn(journal.clone().ship_until(shipper, last_cut));
        Ok(journal)
    }

    /// Billing of the pod begins at `at_ms` (Unix milliseconds), or goes on without gap if it is running already.
    /// Synced to disk when it returns. After a restart nothing is billed of a pod until this is called for it.
    ///
    /// # Errors
    /// If the disk does not take it: then it did not happen.
    pub async fn start(&self, pod_uid: &str, info: PlacementInfo, at_ms: i64) -> anyhow::Result<()> {
        let uid = pod_uid.to_owned();
        self.change(move |store| store.start(&uid, info, at_ms)).await
    }

    /// Billing of the pod ends at `at_ms`; unknown pods are ignored; safe to repeat. An end before what was already
    /// recorded ends it there.
    ///
    /// # Errors
    /// If the disk does not take it: then it did not happen.
    pub async fn stop(&self, pod_uid: &str, at_ms: i64) -> anyhow::Result<()> {
        let uid = pod_uid.to_owned();
        self.change(move |store| store.stop(&uid, at_ms)).await
    }

    /// The pod is gone for good: its uid won't start again. Call [`Self::stop`] first. Safe to repeat.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub async fn forget(&self, pod_uid: &str) -> anyhow::Result<()> {
        let uid = pod_uid.to_owned();
        self.change(move |store| store.forget(&uid)).await
    }

    /// Uids of the pods that are billed: after a restart, those that must be found running or be stopped.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        self.inner.store.lock().running()
    }

    /// How many intervals billing has not acknowledged yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inner.store.lock().waiting()
    }

    fn pending(&self, limit: usize) -> Vec<Interval> {
        self.inner.store.lock().pending(limit)
    }

    async fn acknowledge(&self, count: usize) -> anyhow::Result<()> {
        self.blocking(move |store| store.acknowledge(count)).await
    }

    /// Keeps an interval that billing refuses where a person can find it.
    async fn set_aside(&self, interval: &Interval) {
        let (path, text) = (self.inner.refused.clone(), format!("{interval:?}\n"));
        let written = tokio::task::spawn_blocking(move || {
            use std::io::Write;
            std::fs::OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
        });
        if let Ok(Err(error)) = written.await {
            tracing::error!("could not keep a refused interval: {error}");
        }
    }

    async fn change(&self, work: impl FnOnce(&mut Store) -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
        let done = self.blocking(work).await;
        self.inner.news.notify_one();
        done
    }

    /// Syncing a disk blocks: not on the runtime's threads.
    async fn blocking(
        &self,
        work: impl FnOnce(&mut Store) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || work(&mut inner.store.lock()));
        done.await.context("work on the usage journal ended early")?
    }

    async fn cut(&self) {
        if self.waiting() >= WAITING_LIMIT {
            return;
        }
        let now = self.inner.clock.now_ms();
        if let Err(error) = self.blocking(move |store| store.cut(now)).await {
            tracing::error!("could not record usage; it is recorded with the next interval: {error:#}");
        }
    }

    /// Cuts until `stop`, and a last time then. Apart from sending: a billing that hangs must not stretch intervals.
    async fn cut_until(self, cut_every: Duration, stop: CancellationToken, cut: CancellationToken) {
        let mut ticks = tokio::time::interval(cut_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.cut().await,
            }
            self.inner.news.notify_one();
        }
        self.cut().await;
        cut.cancel();
    }

    /// Sends what waits until the last cut was made, and that too if billing takes it at once.
    async fn ship_until(self, mut shipper: Shipper, cut: CancellationToken) {
        loop {
            let sent = tokio::select! {
                () = cut.cancelled() => break,
                sent = shipper.ship(&self) => sent,
            };
            // After a failure the pause holds whatever the news.
            tokio::select! {
                () = cut.cancelled() => break,
                () = async { match sent {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => self.inner.news.notified().await,
                } } => {}
            }
        }
        // Not sent in time: the next agent does it.
        let _ = tokio::time::timeout(FAREWELL, shipper.ship(&self)).await;
    }
}

/// Wall-clock time that no step of the wall clock moves while the agent lives: read once, counted on from there.
#[derive(Debug)]
struct SteadyClock {
    wall_ms: i64,
    since: Instant,
}

impl SteadyClock {
    fn new() -> Self {
        Self { wall_ms: domain::unix_ms(), since: Instant::now() }
    }

    fn now_ms(&self) -> i64 {
        let passed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.wall_ms.saturating_add(passed)
    }
}
