//! Write to delivery at 100 watchers, one connection each.

use crate::{
    client::Lines,
    report::{Figure, Report, Target},
    rig::Rig,
    stats::Samples,
};
use anyhow::Context;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Watchers, as the reference was measured with.
const WATCHERS: usize = 100;
/// Writes whose delivery is timed.
const WRITES: usize = 300;
/// Pause between two writes: one at a time is to be seen, not a queue.
const PAUSE: Duration = Duration::from_millis(30);
/// Longest wait for the last delivery.
const LIMIT: Duration = Duration::from_secs(60);
/// What stands before an object's number in its name.
const MARK: &[u8] = b"\"name\":\"seen-";

/// When each write was sent, in nanoseconds since the beginning.
struct Clock {
    begin: Instant,
    sent: Vec<AtomicU64>,
}

impl Clock {
    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Runs the benchmark.
pub(crate) async fn run(rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let cluster = rig.create_cluster(&mut rig.cloud_api().await?, "watch").await?;
    let bearer = rig.bearer(Some(&cluster));
    let path = format!("/clusters/{cluster}/api/v1/namespaces/default/configmaps");
    let count = rig.count(WRITES);
    let clock = Arc::new(Clock { begin: Instant::now(), sent: (0..count).map(|_| AtomicU64::new(0)).collect() });
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        let lines = rig.gateway.connect(&bearer).await?.watch(&format!("{path}?watch=true&resourceVersion=0")).await?;
        watchers.spawn(deliveries(lines, Arc::clone(&clock)));
    }
    let mut writer = rig.gateway.connect(&bearer).await?;
    let mut writes = Samples::default();
    for number in 0..count {
        tokio::time::sleep(PAUSE).await;
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"seen-{number}"}},"data":{{"value":"{}"}}}}"#,
            "x".repeat(1024)
        );
        let start = Instant::now();
        clock.sent[number].store(clock.now(), Ordering::Relaxed);
        writer.post(&path, body).await?;
        writes.add(start.elapsed());
    }
    let mut samples = Samples::default();
    let gather = async {
        while let Some(done) = watchers.join_next().await {
            samples.merge(done??);
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(LIMIT, gather).await.context("some writes were not delivered")??;
    report.say(format!("write to delivery at {WATCHERS} watchers: {}", samples.summary()));
    report.say(format!("write to its own answer: {}", writes.summary()));
    let figure = |what, percent, reference, target| {
        Figure::beside_apiserver(what, samples.percentile_ms(percent), "ms", reference, target)
    };
    report.compare(&figure("watch, 100 watchers, write to delivery, p50", 50.0, 7.7, Target::None));
    report.compare(&figure("watch, 100 watchers, write to delivery, p99", 99.0, 11.0, Target::AtMost(3.0)));
    rig.delete_clusters(&[cluster]).await
}

/// Times the delivery of every write to one watcher.
async fn deliveries(mut lines: Lines, clock: Arc<Clock>) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    while samples.len() < clock.sent.len() {
        let events = lines.next().await?;
        let now = clock.now();
        for number in events.iter().filter_map(|line| number(line)) {
            let sent = clock.sent.get(number).context("an object that nobody wrote")?.load(Ordering::Relaxed);
            samples.add(Duration::from_nanos(now.saturating_sub(sent)));
        }
    }
    Ok(samples)
}

/// The number in the name of the object that an event is about.
fn number(line: &[u8]) -> Option<usize> {
    let at = line.windows(MARK.len()).position(|word| word == MARK)? + MARK.len();
    let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit());
    std::str::from_utf8(&line[at..at + digits.count()]).ok()?.parse().ok()
}
