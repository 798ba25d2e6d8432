//! The actor of one cluster: reads from memory, one writer task that commits in groups, watches.

use crate::{
    metrics::metrics,
    object::{Event, EventKind, Key, Object, Resource},
    state::State,
    store::{self, Batch, Taken},
    stores::{Limits, Signal, StoreError},
    txn::{Changes, Extract, Txn},
};
use domain::ClusterId;
use parking_lot::RwLock;
use sealing::Sealer;
use sqlx::PgPool;
use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Writes that go into one transaction at most: past this a batch takes longer without a higher rate (measured in
/// the control-plane facts: 50 per transaction reach nearly the rate of 200).
const BATCH: usize = 128;
/// Writes that may wait: enough for every connection of a busy cluster, few enough to bound memory.
const QUEUE: usize = 1024;
/// How long a commit may take before the cluster is given up and loaded again.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(20);
/// Events handed to a watch at once.
const WATCH_CHUNK: usize = 256;

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The closure refused.
    #[error("rejected")]
    Rejected(E),
    /// The store failed; after [`StoreError::Unavailable`] the write may or may not have happened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The version to resume from is older than what is kept.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Expired {
    /// The version asked for.
    pub asked: u64,
    /// The oldest that would do.
    pub oldest: u64,
}

/// What a writer needs of its surroundings.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) db: PgPool,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) sealed: fn(&str) -> bool,
    pub(crate) limits: Limits,
    pub(crate) extract: Extract,
    pub(crate) signals: broadcast::Sender<Signal>,
}

impl Context {
    fn place(id: &ClusterId, key: &Key) -> String {
        format!("{id}/{}/{}/{}", key.resource, key.namespace, key.name)
    }

    pub(crate) fn seal(&self, id: &ClusterId, key: &Key, plain: &[u8]) -> Vec<u8> {
        if (self.sealed)(&key.resource) { self.sealer.seal(&Self::place(id, key), plain) } else { plain.to_vec() }
    }

    pub(crate) fn open(&self, id: &ClusterId, key: &Key, body: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        if !(self.sealed)(&key.resource) {
            return Ok(body);
        }
        self.sealer
            .open(&Self::place(id, key), &body)
            .map_err(|error| StoreError::Unavailable(format!("a stored Secret of {id} cannot be read: {error}")))
    }
}

/// A write waiting for its turn; erases the closure's types.
trait Job: Send {
    /// Runs the closure; true if its changes are to be kept.
    fn run(&mut self, txn: &mut Txn<'_>) -> bool;
    /// Tells the waiter, once the batch is committed or has failed.
    fn finish(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Write<F, R, E> {
    closure: Option<F>,
    result: Option<Result<R, E>>,
    reply: oneshot::Sender<Result<R, WriteError<E>>>,
}

impl<F, R, E> Job for Write<F, R, E>
where
    F: FnOnce(&mut Txn<'_>) -> Result<R, E> + Send,
    R: Send,
    E: Send,
{
    fn run(&mut self, txn: &mut Txn<'_>) -> bool {
        self.result = self.closure.take().map(|closure| closure(txn));
        matches!(self.result, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        let answer = match (self.result, outcome) {
            (Some(Err(error)), _) => Err(WriteError::Rejected(error)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(error)) => Err(WriteError::Store(error)),
            (None, Ok(())) => Err(WriteError::Store(StoreError::Unavailable("the write panicked".into()))),
        };
        let _ = self.reply.send(answer);
    }
}

/// One cluster in memory. Cheap to share; dropped when nobody uses it any more.
pub struct Cluster {
    id: ClusterId,
    state: Arc<RwLock<State>>,
    jobs: mpsc::Sender<Box<dyn Job>>,
    revisions: watch::Receiver<u64>,
    /// Milliseconds since `born` at which somebody last asked for this cluster.
    used_ms: AtomicU64,
    born: Instant,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.id)
    }
}

impl Cluster {
    pub(crate) fn start(id: ClusterId, context: Context, taken: Taken, objects: Vec<Arc<Object>>) -> Arc<Self> {
        let revision = u64::try_from(taken.revision).unwrap_or(0);
        let state = Arc::new(RwLock::new(State::new(revision, objects)));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (committed, revisions) = watch::channel(revision);
        let writer = Writer { id: id.clone(), context, taken, state: Arc::clone(&state), queue, committed };
        tokio::spawn(writer.run());
        Arc::new(Self { id, state, jobs, revisions, used_ms: AtomicU64::new(0), born: Instant::now() })
    }

    /// The cluster's id.
    #[must_use]
    pub fn id(&self) -> &ClusterId {
        &self.id
    }

    /// The revision of the last committed write.
    #[must_use]
    pub fn revision(&self) -> u64 {
        *self.revisions.borrow()
    }

    /// False once this memory was given up; ask the [`crate::Stores`] again.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.state.read().closed
    }

    /// The object at a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.state.read().get(key).cloned()
    }

    /// Objects of a resource in order of namespace and name, and the revision at which this was so.
    #[must_use]
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> (u64, Vec<Arc<Object>>) {
        let state = self.state.read();
        (state.revision, state.list(resource, namespace).cloned().collect())
    }

    /// Resources of which there is at least one object.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        self.state.read().resources()
    }

    /// Objects with an owner reference to this UID.
    #[must_use]
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<Object>> {
        self.state.read().owned_by(uid)
    }

    /// The object with this UID.
    #[must_use]
    pub fn by_uid(&self, uid: &str) -> Option<Arc<Object>> {
        self.state.read().by_uid(uid).cloned()
    }

    /// The oldest revision that a watch of any resource can resume from.
    #[must_use]
    pub fn oldest_revision(&self) -> u64 {
        self.state.read().oldest()
    }

    /// Number and bytes of the objects.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let state = self.state.read();
        (state.count, state.bytes)
    }

    /// Writes that wait for the writer.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Runs `f` on the cluster's writer, alone, and answers once its changes are on disk. `f` may run on state that is
    /// not committed yet; if that commit fails, so does this one. It does no I/O and is quick: all writes wait for it.
    ///
    /// # Errors
    /// What `f` refuses with; or that the store is unavailable, and then the write may or may not have happened.
    pub async fn write<R, E, F>(&self, f: F) -> Result<R, WriteError<E>>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<R, E> + Send + 'static,
        R: Send + 'static,
        E: Send + 'static,
    {
        let gone = || StoreError::Unavailable("the cluster has moved or is being reloaded; retry".into());
        let (reply, answer) = oneshot::channel();
        let job = Write { closure: Some(f), result: None, reply };
        self.jobs.send(Box::new(job)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Events of a resource after a revision.
    ///
    /// # Errors
    /// If some of them are no longer kept.
    pub fn watch(self: &Arc<Self>, resource: impl Into<Resource>, after: u64) -> Result<Watch, Expired> {
        let resource = resource.into();
        let mut state = self.state.write();
        let oldest = state.oldest();
        let ring = state.ring(&resource);
        if ring.after(after, 0).is_none() {
            return Err(Expired { asked: after, oldest });
        }
        let changed = ring.changed.subscribe();
        let cluster = Arc::clone(self);
        Ok(Watch { cluster, resource, cursor: after, changed, ready: VecDeque::new() })
    }

    pub(crate) fn touch(&self) {
        let ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used_ms.store(ms, Ordering::Relaxed);
    }

    pub(crate) fn idle(&self) -> Duration {
        self.born.elapsed().saturating_sub(Duration::from_millis(self.used_ms.load(Ordering::Relaxed)))
    }

    pub(crate) fn trim(&self) {
        self.state.write().trim(Instant::now());
    }

    pub(crate) fn close(&self) {
        self.state.write().close();
    }
}

/// A cursor over one resource's events. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    cluster: Arc<Cluster>,
    resource: Resource,
    cursor: u64,
    changed: watch::Receiver<u64>,
    ready: VecDeque<Arc<Event>>,
}

impl Watch {
    /// The next event; `None` when the cluster was given up or the reader fell too far behind: list again.
    /// Safe to cancel.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            self.changed.borrow_and_update();
            if !self.fill() {
                return None;
            }
            if self.ready.is_empty() {
                self.changed.changed().await.ok()?;
            }
        }
    }

    fn fill(&mut self) -> bool {
        let state = self.cluster.state.read();
        let events = state.existing_ring(&self.resource).and_then(|ring| ring.after(self.cursor, WATCH_CHUNK));
        let Some(events) = events else { return false };
        if let Some(last) = events.last() {
            self.cursor = last.revision;
        }
        self.ready.extend(events);
        true
    }

    /// The cluster's revision if every event up to it was handed out: what a bookmark may say.
    #[must_use]
    pub fn progress(&mut self) -> Option<u64> {
        if !self.ready.is_empty() {
            return None;
        }
        let state = self.cluster.state.read();
        let pending = state.existing_ring(&self.resource)?.after(self.cursor, 1)?;
        pending.is_empty().then(|| {
            self.cursor = state.revision;
            state.revision
        })
    }
}

/// The one task that writes.
struct Writer {
    id: ClusterId,
    context: Context,
    taken: Taken,
    state: Arc<RwLock<State>>,
    queue: mpsc::Receiver<Box<dyn Job>>,
    committed: watch::Sender<u64>,
}

impl Writer {
    /// Ends when the cluster is dropped, closed, or a commit failed.
    async fn run(mut self) {
        let mut jobs = Vec::with_capacity(BATCH);
        while self.queue.recv_many(&mut jobs, BATCH).await > 0 {
            let changes = self.make(&mut jobs);
            let outcome = match changes {
                Err(error) => Err(error),
                Ok(changes) if changes.events.is_empty() => Ok(()),
                Ok(changes) => self.commit(changes).await,
            };
            if let Err(error) = &outcome {
                metrics().failed();
                tracing::warn!(cluster = %self.id, %error, "gave up the cluster: its next request loads it again");
                // Before anybody is told: who then tries again must not meet this memory.
                self.state.write().close();
            }
            for job in jobs.drain(..) {
                job.finish(outcome.clone());
            }
            if outcome.is_err() {
                self.context.send(Signal::Unloaded(self.id.clone()));
                return;
            }
        }
    }

    fn make(&self, jobs: &mut [Box<dyn Job>]) -> Result<Changes, StoreError> {
        let state = self.state.read();
        if state.closed {
            return Err(StoreError::Unavailable("the cluster has moved or is being reloaded; retry".into()));
        }
        let mut changes = Changes::default();
        for job in jobs {
            let mut txn = Txn::new(&state, &mut changes, self.context.limits, self.context.extract);
            let keep = catch_unwind(AssertUnwindSafe(|| job.run(&mut txn)));
            match keep {
                Ok(true) => txn.keep(),
                Ok(false) => {}
                Err(panic) => tracing::error!(cluster = %self.id, panic = panic_text(&*panic), "a write panicked"),
            }
        }
        Ok(changes)
    }

    async fn commit(&mut self, changes: Changes) -> Result<(), StoreError> {
        let from = self.state.read().revision;
        let to = from + changes.events.len() as u64;
        let batch = self.batch(changes.latest);
        let started = Instant::now();
        let commit = store::commit(&self.context.db, self.taken, from, to, &batch);
        match tokio::time::timeout(COMMIT_TIMEOUT, commit).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                return Err(StoreError::Unavailable("another replica has taken the cluster; retry".into()));
            }
            Ok(Err(error)) => return Err(StoreError::from(error)),
            Err(_) => return Err(StoreError::Unavailable("the database did not answer in time; retry".into())),
        }
        metrics().committed(changes.events.len(), started.elapsed());
        self.state.write().apply(Instant::now(), &changes.events);
        self.committed.send_replace(to);
        self.context.send(Signal::Committed(self.id.clone(), changes.events.into()));
        Ok(())
    }

    fn batch(&self, latest: std::collections::HashMap<Key, Option<Arc<Object>>>) -> Batch {
        let mut batch = Batch::default();
        for (key, object) in latest {
            match object {
                None => batch.deleted.push(key),
                Some(object) => {
                    batch.put_bodies.push(self.context.seal(&self.id, &key, &object.bytes));
                    batch.put_revisions.push(i64::try_from(object.revision).unwrap_or(i64::MAX));
                    batch.put_keys.push(key);
                }
            }
        }
        batch
    }
}

impl Context {
    pub(crate) fn send(&self, signal: Signal) {
        // Nobody listening is fine: signals are hints, state is in memory.
        let _ = self.signals.send(signal);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("?")
}

impl Event {
    /// True if this is the object's end.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        self.kind == EventKind::Deleted
    }
}
