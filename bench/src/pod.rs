//! Pod create to Ready, with the image on the hosts already, as a watch sees it.

use crate::{
    client::{Connection, Lines},
    list,
    report::{Figure, Report, Target},
    rig::Rig,
    stats::Samples,
};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

/// Pods that are timed, one after the other.
const PODS: usize = 50;
/// Pods made beforehand at once: enough that every host pulls the image.
const WARM: usize = 8;
/// Virtual nodes.
const NODES: u32 = 3;
/// Longest wait for a pod.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the benchmark.
pub(crate) async fn run(rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let mut api = rig.cloud_api().await?;
    let cluster = rig.create_cluster(&mut api, "pod").await?;
    rig.create_pool(&mut api, &cluster, NODES).await.context("the virtual nodes do not come")?;
    let bearer = rig.bearer(Some(&cluster));
    let (mut kube, mut watcher) = (rig.gateway.connect(&bearer).await?, rig.gateway.connect(&bearer).await?);
    let pods = list::pods(&cluster);
    let lines = watcher.watch(&format!("{pods}?watch=true&resourceVersion=0")).await?;
    let mut seen = Seen { lines, ready: HashSet::new(), bound: HashMap::new(), last: Value::Null };
    let image = format!("{}/demo/web:1", rig.registry);
    for number in 0..WARM {
        create(&mut kube, &pods, &format!("warm-{number}"), &image).await?;
    }
    for number in 0..WARM {
        seen.until_ready(&format!("warm-{number}")).await?;
    }
    let (mut samples, mut bound) = (Samples::default(), Samples::default());
    for number in 0..rig.count(PODS) {
        let name = format!("pod-{number}");
        let start = Instant::now();
        create(&mut kube, &pods, &name, &image).await?;
        seen.until_ready(&name).await?;
        samples.add(start.elapsed());
        bound.add(seen.bound.get(&name).context("a pod is Ready without a node")?.duration_since(start));
        kube.delete(&format!("{pods}/{name}?gracePeriodSeconds=0")).await?;
    }
    report.say(format!("create to bound to a node: {}", bound.summary()));
    report.say(format!("create to Ready: {}", samples.summary()));
    let slo = Some((5000.0, "SIG scalability SLO, p99"));
    let figure = |what, percent, reference, target| Figure {
        what,
        value: samples.percentile_ms(percent),
        unit: "ms",
        reference,
        target: Target::AtMost(target),
    };
    report.compare(&figure("pod create to Ready, image present, p50", 50.0, None, 500.0));
    report.compare(&figure("pod create to Ready, image present, p99", 99.0, slo, 1000.0));
    rig.delete_clusters(&[cluster]).await
}

async fn create(kube: &mut Connection, pods: &str, name: &str, image: &str) -> anyhow::Result<()> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
            "name": "web", "image": image,
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}},
        }]},
    });
    kube.post(pods, pod.to_string()).await.map(drop)
}

/// What a watch of the pods has shown so far.
struct Seen {
    lines: Lines,
    ready: HashSet<String>,
    /// When each pod was first seen with a node.
    bound: HashMap<String, Instant>,
    last: Value,
}

impl Seen {
    /// Waits until the watch has shown that the pod is Ready.
    async fn until_ready(&mut self, name: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        while !self.ready.contains(name) {
            let left = LIMIT.saturating_sub(start.elapsed());
            let next = tokio::time::timeout(left, self.lines.next()).await;
            let events = next.with_context(|| format!("pod {name} is not Ready; last seen: {}", self.last))??;
            for event in events {
                self.see(serde_json::from_slice(&event)?)?;
            }
        }
        Ok(())
    }

    fn see(&mut self, mut event: Value) -> anyhow::Result<()> {
        let object = event["object"].take();
        ensure!(event["type"] != "ERROR", "the watch failed: {object}");
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if object["spec"]["nodeName"].is_string() {
            self.bound.entry(name.clone()).or_insert_with(Instant::now);
        }
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        if conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True") {
            self.ready.insert(name);
        }
        self.last = object;
        Ok(())
    }
}
