use super::*;
use crate::Backoff;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

type Script = Box<dyn Fn(usize) -> Result<Next, String> + Send + Sync>;

struct Scripted {
    script: Script,
    runs: AtomicUsize,
    together: AtomicUsize,
    most_together: AtomicUsize,
    times: Mutex<Vec<u128>>,
    begun: Instant,
    work: Duration,
}

impl Scripted {
    fn new(work: Duration, script: impl Fn(usize) -> Result<Next, String> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            runs: AtomicUsize::new(0),
            together: AtomicUsize::new(0),
            most_together: AtomicUsize::new(0),
            times: Mutex::new(Vec::new()),
            begun: Instant::now(),
            work,
        })
    }
}

impl Reconcile<String> for Scripted {
    type Error = String;

    async fn reconcile(&self, _: &String) -> Result<Next, String> {
        let together = self.together.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_together.fetch_max(together, Ordering::SeqCst);
        self.times.lock().push(self.begun.elapsed().as_millis());
        tokio::time::sleep(self.work).await;
        self.together.fetch_sub(1, Ordering::SeqCst);
        (self.script)(self.runs.fetch_add(1, Ordering::SeqCst))
    }

    fn all(&self) -> Vec<String> {
        vec!["all".into()]
    }
}

fn start(
    reconciler: &Arc<Scripted>,
    config: Config,
) -> (Queue<String>, CancellationToken, tokio::task::JoinHandle<()>) {
    let queue = Queue::new(Backoff { base: Duration::from_millis(10), limit: Duration::from_millis(40), jitter: 0.0 });
    let stop = CancellationToken::new();
    let pool = run(queue.clone(), config, reconciler.clone(), Arc::new(Quiet), stop.clone());
    (queue, stop, tokio::spawn(pool))
}

const PLAIN: Config = Config { workers: 4, timeout: Duration::from_secs(60), resync: None };

#[tokio::test(start_paused = true)]
async fn failures_and_panics_are_tried_again_until_they_succeed() {
    let reconciler = Scripted::new(Duration::ZERO, |run| match run {
        0 => Err("no".into()),
        1 => panic!("a bug"),
        _ => Ok(Next::Settled),
    });
    let (queue, stop, pool) = start(&reconciler, PLAIN);
    queue.add("x".into());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(*reconciler.times.lock(), [0, 10, 30]);
    assert_eq!(queue.known(), 0);
    stop.cancel();
    pool.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wakes_come_when_asked_for() {
    let reconciler = Scripted::new(Duration::ZERO, |run| {
        Ok(if run < 2 { Next::After(Duration::from_secs(7)) } else { Next::Settled })
    });
    let (queue, stop, pool) = start(&reconciler, PLAIN);
    queue.add("x".into());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(*reconciler.times.lock(), [0, 7000, 14000]);
    stop.cancel();
    pool.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_key_never_runs_twice_at_once_but_many_keys_do() {
    let reconciler = Scripted::new(Duration::from_millis(5), |_| Ok(Next::Settled));
    let (queue, stop, pool) = start(&reconciler, PLAIN);
    for _ in 0..20 {
        queue.add("x".into());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(reconciler.most_together.load(Ordering::SeqCst), 1);
    queue.add_all((0..8).map(|n| n.to_string()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(reconciler.most_together.load(Ordering::SeqCst), 4);
    stop.cancel();
    pool.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_hangs_is_cut_off_and_tried_again() {
    let reconciler = Scripted::new(Duration::from_secs(3600), |_| Ok(Next::Settled));
    let config = Config { timeout: Duration::from_secs(1), ..PLAIN };
    let (queue, stop, pool) = start(&reconciler, config);
    queue.add("x".into());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(*reconciler.times.lock(), [0, 1010]);
    stop.cancel();
    pool.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn everything_is_looked_at_once_a_period() {
    let reconciler = Scripted::new(Duration::ZERO, |_| Ok(Next::Settled));
    let config = Config { resync: Some(Duration::from_secs(10)), ..PLAIN };
    let (_queue, stop, pool) = start(&reconciler, config);
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(*reconciler.times.lock(), [10_000, 20_000, 30_000]);
    stop.cancel();
    pool.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stopping_lets_the_current_run_end() {
    let reconciler = Scripted::new(Duration::from_secs(2), |_| Ok(Next::Settled));
    let (queue, stop, pool) = start(&reconciler, PLAIN);
    queue.add("x".into());
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.cancel();
    pool.await.unwrap();
    assert_eq!(reconciler.runs.load(Ordering::SeqCst), 1);
    assert_eq!(reconciler.begun.elapsed().as_secs(), 2);
}
