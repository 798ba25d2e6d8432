//! Memory of control per cluster: loaded, evicted, deleted.

use crate::{
    create,
    process::resident_bytes,
    report::{Figure, Report, Target},
    rig::{IDLE_SECONDS, Rig},
};
use anyhow::Context;
use std::time::{Duration, Instant};

/// Clusters in memory at once.
const CLUSTERS: usize = 1000;
/// Clusters made and deleted beforehand, so that code and pools are in memory already.
const WARM: usize = 20;
/// How long memory gets to settle.
const SETTLE: Duration = Duration::from_secs(3);
/// How long after the time of eviction memory is looked at: clusters are looked for each 4 s, and the allocator gives
/// back what has been free for 10 s.
const RETURN: Duration = Duration::from_secs(25);

/// Runs the benchmark.
pub(crate) async fn run(rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    rig.restart_control().await?;
    stir(rig).await?;
    let count = rig.count(CLUSTERS);
    let before = resident(rig)?;
    let (clusters, took) = create::make(rig, count, "memory").await?;
    touch(rig, &clusters).await?;
    tokio::time::sleep(SETTLE).await;
    touch(rig, &clusters).await?;
    let loaded = resident(rig)?;
    report.say(format!("{count} clusters made in {:.1} s", took.as_secs_f64()));
    report.say(format!("resident: {:.1} MB before, {:.1} MB with all of them loaded", mega(before), mega(loaded)));
    tokio::time::sleep(Duration::from_secs(IDLE_SECONDS.unsigned_abs()) + RETURN).await;
    let quiet = resident(rig)?;
    // An allocator's threads take back what others have freed when they next allocate.
    stir(rig).await?;
    let evicted = resident(rig)?;
    let start = Instant::now();
    touch(rig, &clusters[..1]).await?;
    let woken = start.elapsed().as_secs_f64() * 1000.0;
    report.say(format!("resident: {:.1} MB with all evicted, {:.1} MB after others came", mega(quiet), mega(evicted)));
    report.say(format!("one woke in {woken:.1} ms"));
    rig.delete_clusters(&clusters).await?;
    tokio::time::sleep(SETTLE).await;
    let deleted = resident(rig)?;
    report.say(format!("resident: {:.1} MB with all deleted", mega(deleted)));
    let each = |bytes: u64| bytes.saturating_sub(before) as f64 / count as f64 / 1000.0;
    let mut compare = |what, bytes, reference, target| {
        report.compare(&Figure { what, value: each(bytes), unit: "kB", reference, target: Target::AtMost(target) });
    };
    compare("control's memory per loaded cluster", loaded, Some((800.0, "kplane")), 100.0);
    // Nothing is kept of an evicted cluster; what the allocator keeps for the next ones is allowed to be a little.
    compare("control's memory per evicted cluster", evicted, None, 5.0);
    compare("control's memory per deleted cluster", deleted, None, 5.0);
    Ok(())
}

/// Makes a few clusters, uses and deletes them.
async fn stir(rig: &Rig) -> anyhow::Result<()> {
    let (clusters, _) = create::make(rig, WARM, "warm").await?;
    touch(rig, &clusters).await?;
    rig.delete_clusters(&clusters).await?;
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

/// Asks each cluster for its namespaces once, with the tenant's token for all of them.
async fn touch(rig: &Rig, clusters: &[String]) -> anyhow::Result<()> {
    let mut kube = rig.cloud_api().await?;
    for cluster in clusters {
        kube.get(&format!("/clusters/{cluster}/api/v1/namespaces")).await?.expect_success()?;
    }
    Ok(())
}

fn resident(rig: &Rig) -> anyhow::Result<u64> {
    resident_bytes(rig.cloud.pid("control").context("control does not run")?)
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
