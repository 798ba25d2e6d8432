//! The journal against a billing that refuses, loses answers and goes away: a stand-in on real gRPC with mutual TLS.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] functions too")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use node_agent::usage::{Journal, Limits, Options, PlacementInfo};
use proto::billing::ledger_server::{Ledger, LedgerServer};
use proto::billing::{CloseRequest, CloseResponse, RecordRequest, RecordResponse};
use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use runtime::CancellationToken;
use tonic::{Request, Response, Status};

/// (uid, sequence) → (from, to).
type Recorded = Arc<Mutex<BTreeMap<(String, u64), (i64, i64)>>>;

struct FlakyBilling {
    recorded: Recorded,
    calls: AtomicU32,
}

#[tonic::async_trait]
impl Ledger for FlakyBilling {
    async fn record(&self, request: Request<RecordRequest>) -> Result<Response<RecordResponse>, Status> {
        let intervals = request.into_inner().intervals;
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if call % 4 == 1 {
            return Err(Status::unavailable("not now"));
        }
        if intervals.iter().any(|interval| interval.resource_uid == "poison") {
            return Err(Status::invalid_argument("no such thing"));
        }
        for interval in intervals {
            let times = (interval.from_ms, interval.to_ms);
            let key = (interval.resource_uid, interval.sequence);
            let before = self.recorded.lock().unwrap().insert(key.clone(), times);
            assert!(before.is_none_or(|before| before == times), "{key:?} changed from {before:?} to {times:?}");
        }
        if call % 4 == 2 {
            return Err(Status::deadline_exceeded("the answer is lost"));
        }
        Ok(Response::new(RecordResponse { recorded: 0 }))
    }

    async fn close(&self, _: Request<CloseRequest>) -> Result<Response<CloseResponse>, Status> {
        Err(Status::permission_denied("hosts do not close"))
    }
}

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_second_arrives_whatever_billing_does() {
    let dir = Dir(std::env::temp_dir().join(format!("network-usage-{}", std::process::id())));
    std::fs::create_dir_all(&dir.0).unwrap();
    let identity = identity(&dir.0);
    let recorded = Recorded::default();
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let options =
        Options { dir: dir.0.join("journal"), host_id: "host-1".into(), endpoint, identity: identity.clone() };
    let limits = Limits { cut_every: Duration::from_millis(20), segment_bytes: 1000 };
    let info = PlacementInfo { tenant_id: "t".into(), cluster_id: "c".into(), ..PlacementInfo::default() };

    // Nobody serves yet: usage waits on disk, over a restart of the agent.
    let stop = CancellationToken::new();
    let journal = Journal::open_with(options.clone(), limits, stop.clone()).await.unwrap();
    let begin = domain::unix_ms();
    journal.start("a", info.clone(), begin).await.unwrap();
    journal.start("poison", info.clone(), begin).await.unwrap();
    until("usage waits", || journal.waiting() > 10).await;
    journal.stop("poison", begin + 1).await.unwrap();
    stop.cancel();
    drop(journal);

    let server = tonic::transport::Server::builder()
        .tls_config(identity.tonic_server().unwrap())
        .unwrap()
        .add_service(LedgerServer::new(FlakyBilling { recorded: recorded.clone(), calls: AtomicU32::new(0) }))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    let server = tokio::spawn(server);
    let stop = CancellationToken::new();
    // The old one's last words and the new one's first must not mix; a real agent's predecessor is dead.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let journal = Journal::open_with(options, limits, stop.clone()).await.unwrap();
    assert_eq!(journal.running(), ["a"]);
    journal.start("a", info, domain::unix_ms()).await.unwrap();
    until("usage arrives", || recorded.lock().unwrap().len() > 30).await;
    let end = domain::unix_ms() + 1000;
    journal.stop("a", end).await.unwrap();
    until("all usage has arrived", || journal.waiting() == 0).await;

    let (mut sequence, mut at) = (0, begin);
    for ((uid, number), (from, to)) in recorded.lock().unwrap().iter() {
        assert_eq!((uid.as_str(), *number, *from), ("a", sequence + 1, at));
        (sequence, at) = (*number, *to);
    }
    assert_eq!(at, end);
    assert!(dir.0.join("journal/refused.jsonl").exists(), "what billing refuses is kept");
    let segments = std::fs::read_dir(dir.0.join("journal")).unwrap().count();
    assert!(segments <= 3, "acknowledged segments go: {segments}");
    stop.cancel();
    server.abort();
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: not within 30 s");
}

/// One certificate that is both host's and billing's, signed by a CA of its own.
fn identity(dir: &std::path::Path) -> runtime::tls::Identity {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    std::fs::write(dir.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "host:host-1");
    params.subject_alt_names.push(SanType::DnsName("billing".try_into().unwrap()));
    std::fs::write(dir.join("own.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    std::fs::write(dir.join("own.key"), key.serialize_pem()).unwrap();
    runtime::tls::Identity { ca: dir.join("ca.pem"), certificate: dir.join("own.pem"), key: dir.join("own.key") }
}
