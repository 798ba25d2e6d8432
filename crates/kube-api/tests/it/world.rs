//! A real store on a private Postgres, the router on a loopback port, and kubectl.

use domain::{ClusterId, Principal, SystemClock, TenantId, UserId};
use kube_api::{
    Access, Answer, ApiConfig, ApiState, ClusterBootstrap, ClusterDirectory, ClusterFacts, KeyGenerations, Rights,
    SigningKeys,
};
use kube_store::{Cluster, Limits, StoreConfig, Stores};
use serde_json::Value;
use std::{
    collections::HashMap,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// What clusters are and who may use them, for tests.
#[derive(Default)]
pub(crate) struct Directory {
    clusters: Mutex<HashMap<ClusterId, ClusterFacts>>,
    /// Of users of whom nothing is said: everything.
    rights: Mutex<HashMap<UserId, Option<Rights>>>,
}

impl Directory {
    fn add(&self, cluster: &ClusterId, tenant: TenantId) {
        let facts = ClusterFacts { tenant, release: kube_schema::newest(), keys: KeyGenerations::default() };
        self.clusters.lock().unwrap().insert(cluster.clone(), facts);
    }
}

impl ClusterDirectory for Directory {
    fn facts<'a>(&'a self, cluster: &'a ClusterId) -> Answer<'a, Arc<ClusterFacts>> {
        let found = self.clusters.lock().unwrap().get(cluster).cloned();
        Box::pin(async move { Ok(found.map(Arc::new)) })
    }

    fn access<'a>(&'a self, _: &'a ClusterId, principal: &'a Principal) -> Answer<'a, Arc<Access>> {
        let rights = self.rights.lock().unwrap().get(&principal.user_id).copied().unwrap_or(Some(Rights::Admin));
        let groups = principal.groups.clone();
        Box::pin(async move { Ok(rights.map(|rights| Arc::new(Access { rights, groups }))) })
    }
}

/// Everything that a test needs.
pub(crate) struct World {
    pub(crate) state: Arc<ApiState>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) principal: Principal,
    pub(crate) base: String,
    directory: Arc<Directory>,
    db: sqlx::PgPool,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Header by which a test says which peer it is.
pub(crate) const PEER: &str = "x-test-peer";

impl World {
    /// Starts with one bootstrapped cluster. Requests without further headers come from the owner through the gateway.
    pub(crate) async fn new(name: &str) -> Self {
        Self::with(name, ApiConfig::default()).await
    }

    pub(crate) async fn with(name: &str, config: ApiConfig) -> Self {
        let url = testkit::Postgres::start().await.database(name).await;
        let db = postgres::connect_control(&url, 4).await.unwrap();
        postgres::migrate_control(&db).await.unwrap();
        let tenant = TenantId::generate();
        let principal = Principal {
            tenant_id: tenant.clone(),
            user_id: UserId::generate(),
            user_name: "ada".into(),
            groups: vec!["Administrators".into()],
            cluster_id: None,
        };
        let id = ClusterId::generate();
        let directory = Arc::new(Directory::default());
        directory.add(&id, tenant.clone());
        let world = Self::start(db, id, directory, principal, config).await;
        let bootstrap =
            ClusterBootstrap { tenant, endpoint: Some(([10, 0, 0, 1].into(), 6443)), ..ClusterBootstrap::default() };
        kube_api::bootstrap_cluster(&world.cluster, &bootstrap).await.unwrap();
        world
    }

    async fn start(
        db: sqlx::PgPool,
        id: ClusterId,
        directory: Arc<Directory>,
        principal: Principal,
        config: ApiConfig,
    ) -> Self {
        let store = StoreConfig {
            replica: "a".into(),
            idle_after: Duration::from_secs(600),
            limits: Limits::default(),
            sealer: Arc::new(sealing::Sealer::new(&[9; 32]).unwrap()),
            sealed: |resource| resource == "secrets",
            extract: kube_kinds::selectable_fields,
        };
        let stores = Stores::start(db.clone(), store).await.unwrap();
        let cluster = stores.create_cluster(&id).await.unwrap();
        let keys = SigningKeys::from_secret(&[3; 32]).unwrap();
        let state = ApiState::new(stores, Arc::clone(&directory) as Arc<_>, keys, config, Arc::new(SystemClock));
        let stop = CancellationToken::new();
        let base = serve(kube_api::router(Arc::clone(&state)), &principal, &stop).await;
        Self { state, cluster, principal, base, directory, db, stop }
    }

    /// The same after a restart of the process.
    pub(crate) async fn restarted(&self) -> Self {
        let (id, directory) = (self.cluster.id().clone(), Arc::clone(&self.directory));
        Self::start(self.db.clone(), id, directory, self.principal.clone(), ApiConfig::default()).await
    }

    /// A second cluster, of another tenant.
    pub(crate) async fn stranger(&self) -> Arc<Cluster> {
        let id = ClusterId::generate();
        self.directory.add(&id, TenantId::generate());
        let cluster = self.state.stores.create_cluster(&id).await.unwrap();
        kube_api::bootstrap_cluster(&cluster, &ClusterBootstrap::default()).await.unwrap();
        cluster
    }

    /// Changes what is known of the cluster.
    pub(crate) fn change(&self, change: impl FnOnce(&mut ClusterFacts)) {
        change(self.directory.clusters.lock().unwrap().get_mut(self.cluster.id()).unwrap());
    }

    /// A user of the owner with these rights.
    pub(crate) fn user(&self, rights: Option<Rights>) -> Principal {
        let user = Principal { user_id: UserId::generate(), user_name: "bob".into(), ..self.principal.clone() };
        self.directory.rights.lock().unwrap().insert(user.user_id.clone(), rights);
        user
    }

    /// URL of a path in the cluster.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/clusters/{}{path}", self.base, self.cluster.id())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(reqwest::Client::new().get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(reqwest::Client::new().post(self.url(path)).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(reqwest::Client::new().put(self.url(path)).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        answer(reqwest::Client::new().delete(self.url(path))).await
    }

    pub(crate) async fn patch(&self, path: &str, kind: &str, body: &Value) -> (u16, Value) {
        let request = reqwest::Client::new().patch(self.url(path));
        answer(request.header("content-type", kind).body(body.to_string())).await
    }

    /// Runs kubectl of a version; panics if it fails.
    pub(crate) async fn kubectl(&self, version: &str, line: &str, input: &str) -> String {
        let (ok, out, err) = self.try_kubectl(version, line, input).await;
        assert!(ok, "kubectl {line}\n{out}{err}");
        out
    }

    /// Runs kubectl of a version; gives success, stdout, stderr.
    pub(crate) async fn try_kubectl(&self, version: &str, line: &str, input: &str) -> (bool, String, String) {
        use tokio::io::AsyncWriteExt;
        let home = format!("/tmp/api-kubectl-{}-{version}", std::process::id());
        let mut child = tokio::process::Command::new(kubectl(version))
            .arg(format!("--server={}", self.url("")))
            .args(["--kubeconfig=/dev/null", &format!("--cache-dir={home}")])
            .args(line.split_whitespace())
            .env("HOME", &home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let out = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.success(), text(&out.stdout), text(&out.stderr))
    }
}

/// The binary of a version: from the cache that `cargo xtask up` and `cargo xtask test` fill.
fn kubectl(version: &str) -> std::path::PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.hako/cache");
    let places = [format!("{root}/kubectl-{version}/kubectl"), format!("/work/kubectl-cache/{version}/kubectl")];
    let found = places.iter().map(std::path::PathBuf::from).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("kubectl {version} is in none of {places:?}; `cargo xtask test` fetches it"))
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into()))
}

async fn serve(app: axum::Router, principal: &Principal, stop: &CancellationToken) -> String {
    let header = principal.to_header();
    let app = app.layer(axum::middleware::from_fn(
        move |mut request: axum::extract::Request, next: axum::middleware::Next| {
            let header = header.clone();
            async move {
                let named = request.headers().get(PEER).and_then(|v| v.to_str().ok()).map(str::to_owned);
                let bearer = request.headers().contains_key("authorization");
                if named.is_none() && !bearer && !request.headers().contains_key("x-hako-principal") {
                    request.headers_mut().insert("x-hako-principal", header.parse().unwrap());
                }
                let common_name = Some(named.unwrap_or_else(|| "api-gateway".into())).filter(|name| !name.is_empty());
                request.extensions_mut().insert(runtime::Peer { common_name, address: ([127, 0, 0, 1], 1).into() });
                next.run(request).await
            }
        },
    ));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(runtime::serve::serve(listener, None, app, stop.clone()));
    base
}
