//! Start of control to serving: killed, started, until it says that it is ready and a list is answered.

use crate::{
    report::{APISERVER, Figure, Report, Target},
    rig::{Rig, blocking},
    stats::Samples,
};
use anyhow::{Context, ensure};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

/// Starts that are timed.
const STARTS: usize = 10;
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(1);
/// Longest wait.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the benchmark.
pub(crate) async fn run(rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let cluster = rig.create_cluster(&mut rig.cloud_api().await?, "start").await?;
    let (mut ready, mut serving) = (Samples::default(), Samples::default());
    for _ in 0..rig.count(STARTS) {
        let (cloud, address) = (Arc::clone(&rig.cloud), rig.cloud.ops_address("control")?);
        let start = blocking(move || {
            cloud.kill9("control")?;
            let start = Instant::now();
            cloud.start("control")?;
            wait_ready(address)?;
            Ok(start)
        })
        .await?;
        ready.add(start.elapsed());
        first_answer(rig, &cluster, start).await?;
        serving.add(start.elapsed());
    }
    report.say(format!("start to /readyz: {}", ready.summary()));
    report.say(format!("start to a list of namespaces through the gateway: {}", serving.summary()));
    report.compare(&Figure {
        what: "start of control to serving, p50",
        value: ready.percentile_ms(50.0) / 1000.0,
        unit: "s",
        reference: Some((2.4, APISERVER)),
        target: Target::AtMost(0.5),
    });
    rig.delete_clusters(&[cluster]).await
}

/// Asks until the answer is 200.
fn wait_ready(address: SocketAddr) -> anyhow::Result<()> {
    let start = Instant::now();
    while !ask(address).unwrap_or(false) {
        ensure!(start.elapsed() < LIMIT, "control is not ready");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn ask(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(head.ends_with(b" 200"))
}

/// Asks the gateway until the cluster answers.
async fn first_answer(rig: &Rig, cluster: &str, start: Instant) -> anyhow::Result<()> {
    let mut kube = rig.gateway.connect(&rig.bearer(Some(cluster))).await.context("the gateway does not answer")?;
    while !kube.get(&format!("/clusters/{cluster}/api/v1/namespaces")).await?.status.is_success() {
        ensure!(start.elapsed() < LIMIT, "the cluster does not answer");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
