//! One control in small: everything but the listeners and the controllers.

use axum::{Router, body::Body};
use cloud::{Cloud, Directory, Hosts, Supply};
use domain::{ClusterId, PRINCIPAL_HEADER, Principal, SystemClock, TenantId, UserId};
use fleet::{ClusterNetwork, Fleet, FleetConfig, NetworkDirectory};
use futures::future::BoxFuture;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use kube_store::{Limits, StoreConfig, Stores};
use runtime::{CancellationToken, Peer};
use sealing::Sealer;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::ServiceExt;

/// A key that `openssl genpkey -algorithm ed25519` could have made.
pub const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

struct Networks(Arc<Directory>);

impl NetworkDirectory for Networks {
    fn network(&self, cluster: ClusterId) -> BoxFuture<'_, Option<ClusterNetwork>> {
        Box::pin(async move {
            let network = self.0.network(&cluster).await.ok()??;
            Some(ClusterNetwork {
                tenant_id: network.tenant_id,
                compartment_id: network.compartment_id,
                network_id: network.network_id,
                pod_cidr: network.pods_cidr,
                service_cidr: network.services_cidr,
            })
        })
    }
}

/// Everything a test touches.
pub struct World {
    pub db: sqlx::PgPool,
    pub stores: Arc<Stores>,
    pub router: Router,
    /// What hosts offer: there are none here. All shapes, and nobody waits.
    pub supply: Arc<Mutex<Supply>>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// `status code`, as in `404 NotAuthorizedOrNotFound`.
    pub fn code(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.body["code"].as_str().unwrap_or("-"))
    }
}

impl World {
    pub async fn start(name: &str) -> Self {
        let url = testkit::Postgres::start().await.database(name).await;
        let db = postgres::connect_control(&url, 10).await.unwrap();
        postgres::migrate_control(&db).await.unwrap();
        let stop = CancellationToken::new();
        let sealer = Arc::new(Sealer::new(&[7; 32]).unwrap());
        let seal = Arc::clone(&sealer);
        let store = StoreConfig {
            replica: "test".into(),
            idle_after: Duration::from_secs(60),
            limits: Limits::default(),
            sealer: Arc::clone(&sealer),
            sealed: |resource| resource == "secrets",
            extract: kube_kinds::selectable_fields,
        };
        let stores = Stores::start(db.clone(), store).await.unwrap();
        let directory = Directory::new(db.clone());
        let fleet = FleetConfig {
            silent_after: Duration::from_secs(10),
            lost_after: Duration::from_secs(40),
            api_backend: "127.0.0.1:443".into(),
            sealer: Arc::clone(&sealer),
            closures: None,
        };
        let networks = Arc::new(Networks(Arc::clone(&directory)));
        let fleet = Fleet::start(db.clone(), fleet, networks, stop.clone()).await.unwrap();
        let config = cloud::Config {
            gateway_url: "https://gw:8443".into(),
            gateway_ca_pem: "CA".into(),
            host_names: Some(cloud::HostNames { domain: "clusters.example".into(), sealer: Arc::clone(&seal) }),
            ..cloud::Config::default()
        };
        let shapes = ["Standard.E4", "Standard.E3", "Standard3", "Standard.A1"];
        let shapes = shapes.into_iter().map(|name| format!("Pod.{name}.Flex")).collect();
        let supply = Arc::new(Mutex::new(Supply { shapes, waiting: BTreeMap::new() }));
        let hosts = Hosts::new(fleet, sealer).with_supply(Arc::clone(&supply));
        let clock = Arc::new(SystemClock);
        let cloud = Cloud::new(db.clone(), Arc::clone(&stores), directory, hosts, clock, config);
        let router = cloud::router(Arc::clone(&cloud));
        tokio::spawn(cloud.run(stop.clone()));
        Self { db, stores, router, supply, stop }
    }

    /// A tenant of its own, with a user.
    pub async fn tenant(&self, name: &str) -> Tenant<'_> {
        let tenant = TenantId::generate();
        sqlx::query("insert into tenancies (id, name, created_ms) values ($1, $2, 0)")
            .bind(tenant.as_str())
            .bind(name)
            .execute(&self.db)
            .await
            .unwrap();
        sqlx::query(
            "insert into policies (id, tenancy_id, compartment_id, name, description, statements, created_ms)
             values ('ocid1.policy.hako.local-1.' || md5($1), $1, $1, 'Tenant Admin Policy', '', array[$2], 0)",
        )
        .bind(tenant.as_str())
        .bind("Allow group Administrators to manage all-resources in tenancy")
        .execute(&self.db)
        .await
        .unwrap();
        let principal = Principal {
            tenant_id: tenant.clone(),
            user_id: UserId::generate(),
            user_name: "admin".into(),
            groups: vec!["Administrators".into()],
            cluster_id: None,
        };
        Tenant { world: self, id: tenant, principal }
    }

    /// Sends a request as if it had come over a connection of the peer with this common name.
    pub async fn send(&self, peer: &str, mut request: Request<Body>) -> Answer {
        let address = "127.0.0.1:1".parse().unwrap();
        request.extensions_mut().insert(Peer { common_name: Some(peer.to_owned()), address });
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body, text }
    }
}

/// A tenant's user.
pub struct Tenant<'a> {
    pub world: &'a World,
    pub id: TenantId,
    pub principal: Principal,
}

impl Tenant<'_> {
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.with(method, &format!("/20180222{path}"), headers, body).await
    }

    /// The same, below any version.
    pub async fn at(&self, method: &str, path: &str, body: &str) -> Answer {
        self.with(method, path, &[], body).await
    }

    /// The same, with headers.
    pub async fn with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(PRINCIPAL_HEADER, self.principal.to_header());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.world.send("api-gateway", request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[], &body.to_string()).await
    }

    /// Waits until a list has something in it; gives the first.
    pub async fn some(&self, path: &str) -> Value {
        for _ in 0..400 {
            let list = self.get(path).await.body;
            if let Some(first) = list.as_array().and_then(|items| items.first()) {
                return first.clone();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{path} stays empty");
    }

    /// Waits until a work request has ended; gives it.
    pub async fn ended(&self, id: &str) -> Value {
        for _ in 0..400 {
            let work = self.get(&format!("/workRequests/{id}")).await.body;
            if work.get("timeFinished").is_some() {
                return work;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("work request {id} did not end");
    }

    /// Makes a cluster; gives its id.
    pub async fn cluster(&self, name: &str, kind: &str) -> String {
        let body = serde_json::json!({"name": name, "compartmentId": self.id, "type": kind});
        let made = self.post("/clusters", &body).await;
        assert_eq!(made.status, 202, "{}", made.text);
        let work = self.ended(&made.header("opc-work-request-id")).await;
        assert_eq!(work["status"], "SUCCEEDED", "{work}");
        work["resources"][0]["identifier"].as_str().unwrap().to_owned()
    }
}
