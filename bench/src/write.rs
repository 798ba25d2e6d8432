//! ConfigMap creates: 1 KiB each, TLS, through the gateway, on disk before the answer; and what PostgreSQL alone does.

use crate::{
    load::{self, Outcome, Shape},
    process::Cpu,
    report::{Figure, Report, Target},
    rig::{Rig, blocking},
};
use anyhow::Context;
use bytes::Bytes;
use http::Method;
use std::{path::PathBuf, process::Command, time::Duration};

/// Bytes of each ConfigMap's value.
const VALUE: usize = 1024;
/// Connections, in the order in which they are tried.
const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// How long each is measured.
const SECONDS: u64 = 10;
/// Least time for PostgreSQL alone: pgbench's 64 connections take over a second to open, which counts.
const RAW_LEAST: Duration = Duration::from_secs(5);

/// Runs the benchmark.
pub(crate) async fn run(rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let cluster = rig.create_cluster(&mut rig.cloud_api().await?, "write").await?;
    let bearer = rig.bearer(Some(&cluster));
    let mut most = None;
    for connections in CONNECTIONS {
        let shape = shape(&cluster, connections);
        let outcome = load::run(rig, &bearer, connections, rig.seconds(SECONDS), shape).await?;
        report.say(format!("{connections} connections: {}", outcome.summary()));
        most = Some(outcome);
    }
    let most = most.context("there are numbers of connections to try")?;
    compare(report, &most);
    match raw(rig).await {
        Ok(raw) => report.say(format!(
            "PostgreSQL alone, one such row per transaction, 64 clients: {:.0}/s, {:.3} ms of CPU each; ratio {:.2}x \
             the rate, {:.2}x the CPU",
            raw.rate,
            raw.cpu_ms,
            most.rate() / raw.rate,
            most.cpu_ms() / raw.cpu_ms
        )),
        Err(error) => report.say(format!("PostgreSQL alone was not measured: {error:#}")),
    }
    rig.delete_clusters(&[cluster]).await
}

fn compare(report: &mut Report, most: &Outcome) {
    let figure = Figure::beside_apiserver;
    let p99 = most.samples.percentile_ms(99.0);
    report.compare(&figure(
        "ConfigMap creates, 64 connections",
        most.rate(),
        "/s",
        1180.0,
        Target::AtLeast(3.0 * 1180.0),
    ));
    report.compare(&figure("ConfigMap creates, p99", p99, "ms", 114.0, Target::AtMost(114.0 / 4.0)));
    report.compare(&figure("ConfigMap creates, CPU each", most.cpu_ms(), "ms", 1.3, Target::AtMost(1.3 / 5.0)));
}

fn shape(cluster: &str, connections: usize) -> Shape {
    let path = format!("/clusters/{cluster}/api/v1/namespaces/default/configmaps");
    let value = "x".repeat(VALUE);
    let make = move |connection: usize, number: usize| {
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"w{connections}-{connection}-{number}"}},"data":{{"value":"{value}"}}}}"#
        );
        (path.clone(), Bytes::from(body))
    };
    Shape { method: Method::POST, make: Box::new(make) }
}

/// What PostgreSQL reaches.
struct Raw {
    rate: f64,
    cpu_ms: f64,
}

/// A row like an object's, written in a transaction of its own: what a store without group commit could reach at most.
async fn raw(rig: &Rig) -> anyhow::Result<Raw> {
    let url = rig.cloud.database_url("control")?;
    let script = rig.state().join("bench.sql");
    let body = "x".repeat(VALUE + 300);
    let key = "(extract(epoch from clock_timestamp()) * 1000000)::text || random()::text";
    std::fs::write(
        &script,
        format!("insert into bench_raw values (1, 'configmaps', 'default', {key}, 1, '{body}');\n"),
    )?;
    let sql = "create table if not exists bench_raw (cluster_no bigint, resource text, namespace text, name text, \
               revision bigint, body bytea, primary key (cluster_no, resource, namespace, name))";
    psql(&url, sql).await?;
    let seconds = rig.seconds(SECONDS).max(RAW_LEAST).as_secs();
    let before = rig.cpu()?;
    let mut command = Command::new(program("pgbench")?);
    command.args(["--no-vacuum", "--protocol=prepared", "-c", "64", "-j", "1", "-T", &seconds.to_string(), "-f"]);
    command.arg(&script).arg(&url);
    let printed = run_command(command).await;
    let cpu: Cpu = rig.cpu()? - before;
    psql(&url, "drop table bench_raw").await?;
    let printed = printed?;
    let rate = number(&printed, "tps = ").context("pgbench printed no rate")?;
    let count = number(&printed, "actually processed: ").context("pgbench printed no count")?;
    Ok(Raw { rate, cpu_ms: cpu.each_ms(count as usize) })
}

async fn psql(url: &str, sql: &str) -> anyhow::Result<()> {
    let mut command = Command::new(program("psql")?);
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(url);
    run_command(command).await.map(drop)
}

/// A program of the newest PostgreSQL in Debian's layout.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
    let found = versions.flatten().map(|entry| entry.path().join("bin").join(name)).filter(|path| path.exists()).max();
    found.with_context(|| format!("{name} is not installed"))
}

async fn run_command(mut command: Command) -> anyhow::Result<String> {
    let output = blocking(move || Ok(command.output()?)).await?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The number behind a word in what a program printed.
fn number(text: &str, word: &str) -> Option<f64> {
    let rest = &text[text.find(word)? + word.len()..];
    rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgbench_is_understood() {
        let text = "number of transactions actually processed: 1234\ntps = 567.8 (without initial connection time)\n";
        assert_eq!((number(text, "actually processed: "), number(text, "tps = ")), (Some(1234.0), Some(567.8)));
        assert_eq!(number(text, "latency"), None);
    }
}
