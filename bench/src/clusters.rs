//! The cloud API itself: a cluster from POST to ACTIVE, and `GET /clusters` over 64 connections.

use crate::{
    create,
    load::{self, Shape},
    report::{Figure, Report, Target},
    rig::Rig,
    stats::Samples,
};
use bytes::Bytes;
use http::Method;
use std::time::Instant;

/// Clusters whose creation is timed.
const CLUSTERS: usize = 100;
/// Clusters that a list shows: a tenant's, not an installation's.
const LISTED: usize = 20;
/// Connections that list.
const CONNECTIONS: usize = 64;
/// How long is measured.
const SECONDS: u64 = 10;

/// Runs the benchmark.
pub(crate) async fn run(rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let mut api = rig.cloud_api().await?;
    let (mut clusters, mut samples) = (Vec::new(), Samples::default());
    for number in 0..rig.count(CLUSTERS) + 1 {
        let start = Instant::now();
        let work = rig.begin_cluster(&mut api, &format!("active-{number}")).await?;
        let work = rig.finish(&mut api, &work).await?;
        // The first one warms up.
        if number > 0 {
            samples.add(start.elapsed());
        }
        clusters.push(work["resources"][0]["identifier"].as_str().unwrap_or_default().to_owned());
    }
    report.say(format!("POST to ACTIVE: {}", samples.summary()));
    let figure = |what, value, unit, target| Figure { what, value, unit, reference: None, target };
    let p50 = samples.percentile_ms(50.0);
    report.compare(&figure("POST cluster to ACTIVE, p50", p50, "ms", Target::AtMost(100.0)));
    rig.delete_clusters(&clusters).await?;

    let (listed, _) = create::make(rig, rig.count(LISTED), "listed").await?;
    let path = format!("/20180222/clusters?compartmentId={}&lifecycleState=ACTIVE", rig.tenant());
    let shape = Shape { method: Method::GET, make: Box::new(move |_, _| (path.clone(), Bytes::new())) };
    let outcome = load::run(rig, &rig.bearer(None), CONNECTIONS, rig.seconds(SECONDS), shape).await?;
    report.say(format!("GET /clusters, {CONNECTIONS} connections: {}", outcome.summary()));
    report.compare(&figure("GET /clusters, 64 connections", outcome.rate(), "/s", Target::None));
    report.compare(&figure("GET /clusters, p99", outcome.samples.percentile_ms(99.0), "ms", Target::None));
    rig.delete_clusters(&listed).await
}
