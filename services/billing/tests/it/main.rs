//! The service in this process, on a real Postgres, behind mutual TLS.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] functions too")]

mod service;

use std::time::{Duration, Instant};

use domain::TenantId;
use proto::billing::{Closure, Interval};
use serde_json::Value;
use service::Service;
use tonic::Code;

const GIB: u64 = 1 << 30;
/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

fn interval(tenant: &TenantId, source: &str, uid: &str, sequence: u64, (from_s, to_s): (i64, i64)) -> Interval {
    Interval {
        source: source.into(),
        resource_uid: uid.into(),
        sequence,
        tenant_id: tenant.to_string(),
        compartment_id: tenant.to_string(),
        cluster_id: "cluster-1".into(),
        namespace: "default".into(),
        name: format!("pod-{uid}"),
        shape: "Pod.Standard.E4.Flex".into(),
        ocpu_milli: 125,
        memory_bytes: 3 * GIB / 4,
        from_ms: START_MS + from_s * 1000,
        to_ms: START_MS + to_s * 1000,
    }
}

fn closure(uid: &str, source: &str, at_s: i64) -> Closure {
    Closure {
        resource_uid: uid.into(),
        source: source.into(),
        at_ms: START_MS + at_s * 1000,
        reason: "moved to another host after silence".into(),
    }
}

#[track_caller]
fn seconds(items: &[Value], uid: &str) -> u64 {
    let item = items.iter().find(|item| item["podUid"] == uid).unwrap_or_else(|| panic!("{uid} in {items:?}"));
    item["seconds"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_recorded_once_and_survives_a_restart() {
    let tenant = TenantId::generate();
    let service = Service::start().await;
    let batch: Vec<_> =
        (0..6).map(|i| interval(&tenant, "host-1", "a", i + 1, (10 * i as i64, 10 * i as i64 + 10))).collect();
    let mut host = service.ledger("host:host-1").await;
    assert_eq!(host.record(batch.clone()).await, Ok(6));
    assert_eq!(host.record(batch.clone()).await, Ok(0), "again");
    let service = service.restart().await;
    let mut host = service.ledger("host:host-1").await;
    assert_eq!(host.record(batch[..3].to_vec()).await, Ok(0), "again, after a restart");
    // Twice in one request, and another end of the same interval: the first word counts.
    let seventh = interval(&tenant, "host-1", "a", 7, (60, 3600));
    assert_eq!(host.record(vec![seventh.clone(), seventh.clone()]).await, Ok(1));
    assert_eq!(host.record(vec![Interval { to_ms: seventh.to_ms + 5000, ..seventh }]).await, Ok(0));
    let (status, items) = service.pods(&tenant, "clusterId=cluster-1").await;
    assert_eq!(status, 200);
    let pod = &items[0];
    assert_eq!((items.len(), seconds(&items, "a")), (1, 3600));
    assert_eq!((&pod["ocpus"], &pod["memoryInGBs"], &pod["billedOcpus"]), (&"0.125".into(), &"0.75".into(), &1.into()));
    assert_eq!((&pod["billedMemoryInGBs"], &pod["lines"][0]["memoryInGBs"]), (&1.into(), &"0.75".into()));
    assert_eq!((&pod["cost"], &pod["currency"]), (&"3.71".into(), &"JPY".into()));
    assert_eq!(pod["lines"][0]["rateCard"], "default-jpy");
    assert_eq!(pod["firstSeen"], "2026-01-01T00:00:00Z");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closure_ends_billing_and_overlap_is_billed_once() {
    let tenant = TenantId::generate();
    let service = Service::start().await;
    let mut one = service.ledger("host:host-1").await;
    let mut two = service.ledger("host:host-2").await;
    let mut control = service.ledger("control").await;
    one.record(vec![interval(&tenant, "host-1", "a", 1, (0, 1000))]).await.unwrap();
    two.record(vec![interval(&tenant, "host-2", "a", 1, (500, 1500))]).await.unwrap();
    assert_eq!(seconds(&service.pods(&tenant, "").await.1, "a"), 1500);
    // Closed before its intervals come, and twice: the earliest counts.
    control.close(vec![closure("b", "host-1", 300)]).await.unwrap();
    control.close(vec![closure("b", "host-1", 200), closure("b", "host-1", 900)]).await.unwrap();
    control.close(vec![closure("b", "host-1", 200)]).await.unwrap();
    one.record(vec![interval(&tenant, "host-1", "b", 1, (0, 1000))]).await.unwrap();
    assert_eq!(seconds(&service.pods(&tenant, "").await.1, "b"), 200);
    control.close(vec![closure("a", "host-1", 100)]).await.unwrap();
    assert_eq!(seconds(&service.pods(&tenant, "").await.1, "a"), 1100);
    control.close(vec![closure("a", "", 600)]).await.unwrap();
    let (_, items) = service.pods(&tenant, "").await;
    assert_eq!(seconds(&items, "a"), 200);
    let pod = items.iter().find(|item| item["podUid"] == "a").unwrap();
    assert_eq!(pod["hosts"], serde_json::json!(["host-1", "host-2"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_write_only_what_is_theirs() {
    let tenant = TenantId::generate();
    let service = Service::start().await;
    let mut host = service.ledger("host:host-1").await;
    let foreign = interval(&tenant, "host-2", "a", 1, (0, 10));
    assert_eq!(host.record(vec![foreign.clone()]).await, Err(Code::PermissionDenied));
    assert_eq!(host.close(vec![closure("a", "", 1)]).await, Err(Code::PermissionDenied));
    let mut gateway = service.ledger("api-gateway").await;
    assert_eq!(gateway.record(vec![foreign.clone()]).await, Err(Code::PermissionDenied));
    let mut two = service.ledger("host:host-2").await;
    let broken = Interval { to_ms: 0, ..foreign.clone() };
    assert_eq!(two.record(vec![foreign, broken]).await, Err(Code::InvalidArgument));
    assert_eq!(service.pods(&tenant, "").await.1.len(), 0, "all or none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_see_their_own_usage_only() {
    let (tenant, stranger) = (TenantId::generate(), TenantId::generate());
    let service = Service::start().await;
    let mut host = service.ledger("host:host-1").await;
    let names = ["a", "b", "c", "d", "e"];
    let intervals = names.iter().map(|uid| interval(&tenant, "host-1", uid, 1, (0, 100))).collect();
    host.record(intervals).await.unwrap();
    assert_eq!(service.pods(&stranger, "clusterId=cluster-1").await.1.len(), 0);
    assert_eq!(service.pods(&tenant, "clusterId=cluster-2").await.1.len(), 0);
    assert_eq!(service.pods(&tenant, "namespace=default").await.1.len(), 5);
    assert_eq!(service.pods(&tenant, "namespace=other").await.1.len(), 0);
    // A window: half of it, and outside of it.
    let window = "from=2026-01-01T00:00:20Z&to=2026-01-01T00:01:00Z";
    assert_eq!(seconds(&service.pods(&tenant, window).await.1, "a"), 40);
    assert_eq!(service.pods(&tenant, "from=2026-01-02T00:00:00Z").await.1.len(), 0);
    // Pages meet every pod once.
    let mut found = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let (items, next) = service.page(&tenant, &query).await;
        found.extend(items.iter().map(|item| item["podUid"].as_str().unwrap().to_owned()));
        let Some(next) = next else { break };
        query = format!("limit=2&page={next}");
    }
    assert_eq!(found, names);
    // Bad input and unknown callers.
    let (status, body) = service.get("api-gateway", Some(&tenant), "/usage/v1/pods?limit=none").await;
    assert_eq!((status, body["code"].as_str()), (400, Some("InvalidParameter")));
    for (peer, principal) in [("control", Some(&tenant)), ("api-gateway", None), ("host:host-1", Some(&tenant))] {
        let (status, body) = service.get(peer, principal, "/usage/v1/pods").await;
        assert_eq!((status, body["code"].as_str()), (401, Some("NotAuthenticated")), "{peer}");
    }
    assert_eq!(service.get("api-gateway", Some(&tenant), "/usage/v1/nothing").await.0, 404);
}

/// Prints the rate (`--nocapture`); asserts only that all is there. The figures of the design are taken from `bench/`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_intervals_are_taken_in() {
    let tenant = TenantId::generate();
    let service = Service::start().await;
    let mut host = service.ledger("host:host-1").await;
    let batches: Vec<Vec<Interval>> = (0..20)
        .map(|batch| {
            let one = |pod: u64| {
                interval(&tenant, "host-1", &format!("p{pod}"), batch + 1, (10 * batch as i64, 10 * batch as i64 + 10))
            };
            (0..5000).map(one).collect()
        })
        .collect();
    let begin = Instant::now();
    for batch in batches {
        assert_eq!(host.record(batch).await, Ok(5000));
    }
    let took = begin.elapsed().max(Duration::from_millis(1));
    println!("100,000 intervals in {took:?}: {:.0}/s", 100_000.0 / took.as_secs_f64());
    let (items, next) = service.page(&tenant, "limit=1000").await;
    assert!(items.iter().all(|item| item["seconds"] == 200) && items.len() == 1000 && next.is_some());
}

/// Lets nobody into a service's database any more, or lets them in again.
async fn lock_out(url: &str, out: bool) {
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let name = options.get_database().unwrap().to_owned();
    let pool = sqlx::PgPool::connect_with(options.database("postgres")).await.unwrap();
    let allow = format!("alter database \"{name}\" with allow_connections {}", !out);
    sqlx::query(sqlx::AssertSqlSafe(allow)).execute(&pool).await.unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    sqlx::query(end).bind(name).execute(&pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn billing_is_ready_while_its_database_is_there_and_counts_calls() {
    let tenant = TenantId::generate();
    let service = Service::start().await;
    service.ready(true).await;
    let mut host = service.ledger("host:host-1").await;
    let first = interval(&tenant, "host-1", "m", 1, (0, 10));
    assert_eq!(host.record(vec![first.clone()]).await, Ok(1));
    assert_eq!(host.record(vec![first.clone()]).await, Ok(0));
    assert_eq!(
        host.record(vec![Interval { source: "host-2".into(), ..first.clone() }]).await,
        Err(Code::PermissionDenied)
    );
    let (_, text) = service.operations("/metrics").await;
    for line in [
        "billing_calls_total{call=\"record\",outcome=\"done\"}",
        "billing_calls_total{call=\"record\",outcome=\"refused\"}",
        "billing_intervals_total{kind=\"new\"}",
        "billing_intervals_total{kind=\"repeated\"}",
        "billing_newest_interval_seconds 17672256",
        "database_connections ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    lock_out(service.database(), true).await;
    assert_eq!(service.ready(false).await, "not ready: database\n");
    assert_eq!(service.operations("/livez").await.0, 200);
    assert_eq!(host.record(vec![first]).await, Err(Code::Unavailable));
    lock_out(service.database(), false).await;
    service.ready(true).await;
    let again = interval(&tenant, "host-1", "m", 2, (10, 20));
    assert_eq!(host.record(vec![again]).await, Ok(1), "the outage heals");
}
