//! GET of one pod over 64 connections.

use crate::{
    list,
    load::{self, Shape},
    report::{Figure, Report, Target},
    rig::Rig,
};
use bytes::Bytes;
use http::Method;

/// Connections that read.
const CONNECTIONS: usize = 64;
/// How long is measured.
const SECONDS: u64 = 10;

/// Runs the benchmark.
pub(crate) async fn run(rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let cluster = rig.create_cluster(&mut rig.cloud_api().await?, "get").await?;
    let bearer = rig.bearer(Some(&cluster));
    let pods = list::pods(&cluster);
    rig.gateway.connect(&bearer).await?.post(&pods, list::pod("web")).await?;
    let path = format!("{pods}/web");
    let shape = Shape { method: Method::GET, make: Box::new(move |_, _| (path.clone(), Bytes::new())) };
    let outcome = load::run(rig, &bearer, CONNECTIONS, rig.seconds(SECONDS), shape).await?;
    report.say(format!("{CONNECTIONS} connections: {}", outcome.summary()));
    let figure = Figure::beside_apiserver;
    let p99 = outcome.samples.percentile_ms(99.0);
    report.compare(&figure("GET a pod, 64 connections", outcome.rate(), "/s", 2000.0, Target::AtLeast(8000.0)));
    report.compare(&figure("GET a pod, p99", p99, "ms", 94.0, Target::None));
    report.compare(&figure("GET a pod, CPU each", outcome.cpu_ms(), "ms", 0.77, Target::AtMost(0.77 / 8.0)));
    rig.delete_clusters(&[cluster]).await
}
