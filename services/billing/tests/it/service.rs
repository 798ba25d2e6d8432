//! Starts the service for a test: certificates, database, listeners, and clients of all kinds.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use billing::{Config, Listeners};
use domain::{PRINCIPAL_HEADER, Principal, TenantId, UserId};
use proto::billing::ledger_client::LedgerClient;
use proto::billing::{CloseRequest, Closure, Interval, RecordRequest};
use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use runtime::CancellationToken;
use serde_json::Value;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

pub(crate) struct Service {
    database: String,
    pki: Pki,
    http: SocketAddr,
    grpc: SocketAddr,
    ops: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

pub(crate) struct Client(LedgerClient<Channel>);

/// An internal CA in a directory that goes with the test.
struct Pki {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let database = testkit::Postgres::start().await.database("billing").await;
        Self::on(database, Pki::new()).await
    }

    async fn on(database: String, pki: Pki) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config {
            listen: any,
            grpc_listen: any,
            ops_listen: any,
            database_url: database.clone(),
            database_connections: 4,
            identity: pki.identity("billing"),
        };
        let listeners = Listeners::bind(&config).await.unwrap();
        let (http, grpc) = (listeners.http.local_addr().unwrap(), listeners.grpc.local_addr().unwrap());
        let ops = listeners.ops.local_addr().unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(billing::serve(config, listeners, stop.clone()));
        Self { database, pki, http, grpc, ops, stop, running }
    }

    pub(crate) async fn restart(self) -> Self {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        Self::on(self.database, self.pki).await
    }

    /// URL of its database.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Status and text of a path of the operations listener.
    pub(crate) async fn operations(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.ops)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Waits until it is ready, or is not.
    pub(crate) async fn ready(&self, ready: bool) -> String {
        for _ in 0..1000 {
            let (status, text) = self.operations("/readyz").await;
            if (status == 200) == ready {
                return text;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("billing does not become ready={ready}");
    }

    pub(crate) async fn ledger(&self, name: &str) -> Client {
        let endpoint = Endpoint::from_shared(format!("https://{}", self.grpc)).unwrap();
        let tls = self.pki.identity(name).tonic_client("billing").unwrap();
        Client(LedgerClient::new(endpoint.tls_config(tls).unwrap().connect().await.unwrap()))
    }

    pub(crate) async fn pods(&self, tenant: &TenantId, query: &str) -> (u16, Vec<Value>) {
        let (status, body) = self.get("api-gateway", Some(tenant), &format!("/usage/v1/pods?{query}")).await;
        (status, body["items"].as_array().cloned().unwrap_or_default())
    }

    pub(crate) async fn page(&self, tenant: &TenantId, query: &str) -> (Vec<Value>, Option<String>) {
        let response = self.send("api-gateway", Some(tenant), &format!("/usage/v1/pods?{query}")).await;
        let next = response.headers().get("opc-next-page").map(|value| value.to_str().unwrap().to_owned());
        let body: Value = response.json().await.unwrap();
        (body["items"].as_array().unwrap().clone(), next)
    }

    pub(crate) async fn get(&self, peer: &str, tenant: Option<&TenantId>, path: &str) -> (u16, Value) {
        let response = self.send(peer, tenant, path).await;
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn send(&self, peer: &str, tenant: Option<&TenantId>, path: &str) -> reqwest::Response {
        let identity = self.pki.identity(peer);
        let mut pem = std::fs::read(&identity.certificate).unwrap();
        pem.extend(std::fs::read(&identity.key).unwrap());
        let ca = reqwest::Certificate::from_pem(&std::fs::read(&identity.ca).unwrap()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([ca])
            .identity(reqwest::Identity::from_pem(&pem).unwrap())
            .resolve("billing", self.http)
            .build()
            .unwrap();
        let mut request = client.get(format!("https://billing:{}{path}", self.http.port()));
        if let Some(tenant) = tenant {
            let principal = Principal {
                tenant_id: tenant.clone(),
                user_id: UserId::generate(),
                user_name: "admin".into(),
                groups: Vec::new(),
                cluster_id: None,
            };
            request = request.header(PRINCIPAL_HEADER, principal.to_header());
        }
        request.send().await.unwrap()
    }
}

impl Client {
    pub(crate) async fn record(&mut self, intervals: Vec<Interval>) -> Result<u32, Code> {
        let answer = self.0.record(RecordRequest { intervals }).await;
        answer.map(|answer| answer.into_inner().recorded).map_err(|status| status.code())
    }

    pub(crate) async fn close(&mut self, closures: Vec<Closure>) -> Result<(), Code> {
        self.0.close(CloseRequest { closures }).await.map(|_| ()).map_err(|status| status.code())
    }
}

impl Pki {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("network-pki-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        std::fs::write(dir.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    fn identity(&self, name: &str) -> runtime::tls::Identity {
        let path = |kind: &str| -> PathBuf { self.dir.join(format!("{}.{kind}", name.replace(':', "-"))) };
        let identity =
            runtime::tls::Identity { ca: self.dir.join("ca.pem"), certificate: path("crt"), key: path("key") };
        if !Path::new(&identity.key).exists() {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.subject_alt_names.push(SanType::DnsName("billing".try_into().unwrap()));
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            std::fs::write(&identity.certificate, certificate.pem()).unwrap();
            std::fs::write(&identity.key, key.serialize_pem()).unwrap();
        }
        identity
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
