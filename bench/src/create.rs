//! Cluster create to the first list of namespaces, as a person with `hako` and kubectl does it; clusters per second.

use crate::{
    client::{Connection, DISCOVERY, TABLE},
    report::{Figure, Report, Target},
    rig::Rig,
    stats::Samples,
};
use anyhow::ensure;
use bytes::Bytes;
use http::{Method, StatusCode};
use std::time::{Duration, Instant};

/// Clusters whose first list is timed.
const CLUSTERS: usize = 100;
/// Clusters made to find the rate, and over how many connections.
const MANY: usize = 400;
/// Connections that make clusters at once.
pub(crate) const CONNECTIONS: usize = 8;
/// Pause before kubectl is tried again.
const AGAIN: Duration = Duration::from_millis(2);
/// Longest wait for a cluster.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs the benchmark.
pub(crate) async fn run(rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let mut api = rig.cloud_api().await?;
    let (mut clusters, mut samples) = (Vec::new(), Samples::default());
    for number in 0..rig.count(CLUSTERS) + 1 {
        let start = Instant::now();
        let cluster = rig.create_cluster(&mut api, &format!("create-{number}")).await?;
        first_list(rig, &cluster).await?;
        // The first one warms up.
        if number > 0 {
            samples.add(start.elapsed());
        }
        clusters.push(cluster);
    }
    report.say(format!("create to first list of namespaces: {}", samples.summary()));
    let figure = |what, percent, target| Figure {
        what,
        value: samples.percentile_ms(percent),
        unit: "ms",
        reference: None,
        target,
    };
    report.compare(&figure("POST cluster to first `kubectl get ns`, p50", 50.0, Target::AtMost(100.0)));
    report.compare(&figure("POST cluster to first `kubectl get ns`, p99", 99.0, Target::None));

    let (made, took) = make(rig, rig.count(MANY), "rate").await?;
    let rate = made.len() as f64 / took.as_secs_f64();
    report.say(format!("{} clusters over {CONNECTIONS} connections in {:.2} s", made.len(), took.as_secs_f64()));
    report.compare(&Figure {
        what: "clusters created per second",
        value: rate,
        unit: "/s",
        reference: Some((8.0, "kcp")),
        target: Target::AtLeast(100.0),
    });
    clusters.extend(made);
    rig.delete_clusters(&clusters).await
}

/// Makes many clusters at once, and says how long their creation took, until each was ACTIVE.
pub(crate) async fn make(rig: &Rig, count: usize, prefix: &str) -> anyhow::Result<(Vec<String>, Duration)> {
    let mut connections: Vec<Connection> = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(rig.cloud_api().await?);
    }
    let start = Instant::now();
    let works = connections.iter_mut().enumerate().map(|(first, api)| async move {
        let mut works = Vec::new();
        for number in (first..count).step_by(CONNECTIONS) {
            works.push(rig.begin_cluster(api, &format!("{prefix}-{number}")).await?);
        }
        anyhow::Ok(works)
    });
    let works: Vec<String> = all(works).await?.into_iter().flatten().collect();
    // They are ACTIVE when the answer comes; the last ones prove it, within the time.
    let mut clusters = Vec::new();
    let mut took = None;
    for work in works.iter().rev() {
        let work = rig.finish(&mut connections[0], work).await?;
        took.get_or_insert_with(|| start.elapsed());
        clusters.push(work["resources"][0]["identifier"].as_str().unwrap_or_default().to_owned());
    }
    Ok((clusters, took.unwrap_or_default()))
}

/// Runs futures at once and gives their results, or the first failure.
async fn all<T>(work: impl Iterator<Item = impl Future<Output = anyhow::Result<T>>>) -> anyhow::Result<Vec<T>> {
    let mut pending: Vec<_> = work.map(Box::pin).map(Some).collect();
    let mut done: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        use std::task::Poll;
        for (slot, result) in pending.iter_mut().zip(&mut done) {
            let Some(future) = slot else { continue };
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *slot = None;
                match value {
                    Ok(value) => *result = Some(value),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }
        if pending.iter().all(Option::is_none) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await?;
    Ok(done.into_iter().flatten().collect())
}

/// What a kubectl without a cache does: connects, discovers, lists. Tries again until it succeeds.
async fn first_list(rig: &Rig, cluster: &str) -> anyhow::Result<()> {
    let (bearer, start) = (rig.bearer(Some(cluster)), Instant::now());
    loop {
        let mut kube = rig.gateway.connect(&bearer).await?;
        let mut answer = None;
        for (path, accept) in [("api", DISCOVERY), ("apis", DISCOVERY), ("api/v1/namespaces?limit=500", TABLE)] {
            let path = format!("/clusters/{cluster}/{path}");
            answer = Some(kube.call(Method::GET, &path, accept, Bytes::new()).await?);
        }
        let good = answer.filter(|answer| answer.status == StatusCode::OK);
        if good.is_some_and(|answer| answer.body.windows(9).any(|word| word == b"\"default\"")) {
            return Ok(());
        }
        ensure!(start.elapsed() < LIMIT, "{cluster} has no namespaces");
        tokio::time::sleep(AGAIN).await;
    }
}
