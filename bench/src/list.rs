//! LIST of 5,000 pods, about 15.7 MB.

use crate::{
    client::Connection,
    load,
    report::{Figure, Report, Target},
    rig::Rig,
    stats::Samples,
    token::Bearer,
};
use anyhow::ensure;
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use std::time::Instant;

/// Pods in the list.
const PODS: usize = 5000;
/// Lists that are timed.
const LISTS: usize = 30;
/// Connections that make the pods.
const CONNECTIONS: usize = 32;

/// Runs the benchmark.
pub(crate) async fn run(rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let cluster = rig.create_cluster(&mut rig.cloud_api().await?, "list").await?;
    let bearer = rig.bearer(Some(&cluster));
    let path = pods(&cluster);
    let target = path.clone();
    let count = rig.count(PODS);
    load::fill(rig, &bearer, CONNECTIONS, count, move |number| (target.clone(), pod(&format!("pod-{number}")))).await?;
    let (samples, bytes, cpu_ms) = lists(rig, &bearer, &path).await?;
    report.say(format!("{count} pods, {:.1} MB: {}", bytes as f64 / 1e6, samples.summary()));
    let figure = |what, value, reference| {
        Figure::beside_apiserver(what, value, "ms", reference, Target::AtMost(reference / 8.0))
    };
    report.compare(&figure("LIST 5,000 pods, p50", samples.percentile_ms(50.0), 230.0));
    report.compare(&figure("LIST 5,000 pods, CPU each", cpu_ms, 330.0));
    rig.delete_clusters(&[cluster]).await
}

/// Times lists; gives also the bytes of one and the servers' CPU time for one.
async fn lists(rig: &Rig, bearer: &Bearer, path: &str) -> anyhow::Result<(Samples, usize, f64)> {
    let mut kube = rig.gateway.connect(bearer).await?;
    let bytes = read(&mut kube, path).await?;
    let (mut samples, before, count) = (Samples::default(), rig.cpu()?, rig.count(LISTS));
    for _ in 0..count {
        let start = Instant::now();
        ensure!(read(&mut kube, path).await? == bytes, "two lists of the same pods differ");
        samples.add(start.elapsed());
    }
    Ok((samples, bytes, (rig.cpu()? - before).each_ms(count)))
}

/// Reads a list to its end, keeps nothing, and gives its bytes.
async fn read(kube: &mut Connection, path: &str) -> anyhow::Result<usize> {
    let response = kube.send(Method::GET, path, "application/json", Bytes::new()).await?;
    ensure!(response.status().is_success(), "a list is answered with {}", response.status());
    let (mut body, mut bytes) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(bytes)
}

/// Path of the pods of a cluster's default namespace.
pub(crate) fn pods(cluster: &str) -> String {
    format!("/clusters/{cluster}/api/v1/namespaces/default/pods")
}

/// A pod that nobody schedules, of about 3.1 kB as it is stored: the reference's size.
pub(crate) fn pod(name: &str) -> Bytes {
    let env: Vec<String> = (0..12)
        .map(|number| format!(r#"{{"name":"SETTING_{number}","value":"a value of middling length, number {number}"}}"#))
        .collect();
    let env = env.join(",");
    let text = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","labels":{{"app":"web","tier":"front","pod-template-hash":"5d9c7b6f8"}},
        "annotations":{{"example.com/owner":"team-web","example.com/config-hash":"0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9"}}}},
        "spec":{{"schedulerName":"nobody","containers":[{{"name":"web","image":"registry.example.com/team/web:1.2.3","env":[{env}],
        "ports":[{{"containerPort":8080,"name":"http"}}],
        "resources":{{"requests":{{"cpu":"100m","memory":"128Mi"}},"limits":{{"cpu":"500m","memory":"256Mi"}}}},
        "readinessProbe":{{"httpGet":{{"path":"/ready","port":8080}}}},"livenessProbe":{{"httpGet":{{"path":"/live","port":8080}}}},
        "volumeMounts":[{{"name":"config","mountPath":"/etc/web"}},{{"name":"scratch","mountPath":"/tmp"}}]}}],
        "volumes":[{{"name":"config","configMap":{{"name":"kube-root-ca.crt"}}}},{{"name":"scratch","emptyDir":{{}}}}]}}}}"#
    );
    text.into()
}
