//! A cluster on a private Postgres with its controllers, and a kubelet that runs nothing but says it does.

use domain::{ClusterId, SystemClock};
use kube_api::{Actor, ClusterBootstrap, ops};
use kube_controllers::Config;
use kube_store::{Cluster, Key, Limits, Object, PutError, StoreConfig, Stores, Watch};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a condition may take, on a machine that also compiles.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) stores: Arc<Stores>,
    pub(crate) cluster: Arc<Cluster>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl World {
    pub(crate) async fn new(name: &str) -> Self {
        Self::with(name, Config::default()).await
    }

    pub(crate) async fn with(name: &str, config: Config) -> Self {
        let url = testkit::Postgres::start().await.database(name).await;
        let db = postgres::connect_control(&url, 4).await.unwrap();
        postgres::migrate_control(&db).await.unwrap();
        let store = StoreConfig {
            replica: "a".into(),
            idle_after: Duration::from_secs(600),
            limits: Limits::default(),
            sealer: Arc::new(sealing::Sealer::new(&[9; 32]).unwrap()),
            sealed: |resource| resource == "secrets",
            extract: kube_kinds::selectable_fields,
        };
        let stores = Stores::start(db, store).await.unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let config = Config { ca_pem: "PEM".into(), ..config };
        tasks.spawn(kube_controllers::run_with(Arc::clone(&stores), config, Arc::new(SystemClock), stop.clone()));
        let cluster = stores.create_cluster(&ClusterId::generate()).await.unwrap();
        kube_api::bootstrap_cluster(&cluster, &ClusterBootstrap::default()).await.unwrap();
        let world = Self { stores, cluster, stop, tasks };
        let pods = world.cluster.watch("pods", 0).unwrap();
        world.tasks.spawn(kubelet(Arc::clone(&world.cluster), pods, world.stop.clone()));
        world
    }

    /// Stops the controllers; fails if they do not end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(Duration::from_secs(10), self.tasks.wait()).await.expect("the controllers stop");
    }

    pub(crate) async fn create(&self, resource: &str, namespace: &str, object: Value) -> Arc<Object> {
        let kind = kube_schema::by_resource(resource).unwrap();
        ops::create(&self.cluster, kind, namespace, object, &actor()).await.unwrap()
    }

    pub(crate) async fn patch(&self, resource: &str, namespace: &str, name: &str, patch: Value) {
        let kind = kube_schema::by_resource(resource).unwrap();
        let patch = ops::Patch::Merge(patch);
        ops::patch(&self.cluster, kind, namespace, name, patch, &actor()).await.unwrap();
    }

    pub(crate) async fn delete(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        propagation: Option<ops::Propagation>,
    ) {
        let kind = kube_schema::by_resource(resource).unwrap();
        let options = ops::DeleteOptions { propagation, ..ops::DeleteOptions::default() };
        ops::delete(&self.cluster, kind, namespace, name, &options, &actor()).await.unwrap();
    }

    pub(crate) async fn node(&self, name: &str) {
        let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": "z"});
        let node = json!({"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {
            "allocatable": {"cpu": "100", "memory": "1000Gi", "pods": "500"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                "lastHeartbeatTime": "2024-01-01T00:00:00Z", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
        let made = self.create("nodes", "", node.clone()).await;
        // A create drops the status.
        let key = made.key.clone();
        let write = self.cluster.write(move |txn| {
            let mut value = txn.get(&key).unwrap().value();
            value["status"] = node["status"].clone();
            txn.put(key, value)
        });
        write.await.unwrap();
        self.heartbeat(name).await;
    }

    /// Renews a node's lease.
    pub(crate) async fn heartbeat(&self, name: &str) {
        let key = Key::new("leases.coordination.k8s.io", "kube-node-lease", name);
        let now = jiff::Timestamp::now().to_string();
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease", "uid": format!("lease-{name}")},
            "spec": {"holderIdentity": name, "renewTime": now}});
        self.cluster.write(move |txn| txn.put(key, lease)).await.unwrap();
    }

    pub(crate) async fn deployment(&self, namespace: &str, name: &str, replicas: i32) {
        let object = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "c", "image": "demo/web:1", "ports": [{"name": "http", "containerPort": 8080}]}]}}}});
        self.create("deployments.apps", namespace, object).await;
    }

    pub(crate) fn value(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        Some(self.cluster.get(&Key::new(resource, namespace, name))?.value())
    }

    pub(crate) fn all(&self, resource: &str, namespace: &str) -> Vec<Value> {
        self.cluster.list(resource, Some(namespace)).1.iter().map(|object| object.value()).collect()
    }

    /// Number at a pointer of an object; 0 if there is none.
    pub(crate) fn number(&self, resource: &str, namespace: &str, name: &str, pointer: &str) -> i64 {
        let value = self.value(resource, namespace, name).unwrap_or_default();
        value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
    }

    /// Waits until the condition holds, looking after each commit.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) -> impl Future<Output = ()> {
        let mut signals = self.stores.subscribe();
        let place = std::panic::Location::caller();
        async move {
            let waiting = async {
                while !condition(self) {
                    let _ = tokio::time::timeout(Duration::from_secs(1), signals.recv()).await;
                }
            };
            if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
                for resource in ["deployments.apps", "replicasets.apps", "pods", "events"] {
                    for object in self.cluster.list(resource, None).1 {
                        eprintln!("{}", object.value());
                    }
                }
                panic!("never came true at {place}: {what}");
            }
        }
    }

    /// Waits until a Deployment is complete with so many pods, all of them alive.
    #[track_caller]
    pub(crate) fn complete(&self, namespace: &str, name: &str, replicas: i64) -> impl Future<Output = ()> {
        self.until("the rollout is complete", move |world| {
            let number = |pointer: &str| world.number("deployments.apps", namespace, name, pointer);
            let selected = |pod: &Value| pod["metadata"]["labels"]["app"] == name;
            number("/status/observedGeneration") == number("/metadata/generation")
                && ["replicas", "updatedReplicas", "availableReplicas", "readyReplicas"]
                    .iter()
                    .all(|count| number(&format!("/status/{count}")) == replicas)
                && i64::try_from(world.all("pods", namespace).iter().filter(|pod| selected(pod)).count())
                    == Ok(replicas)
        })
    }

    pub(crate) fn reasons(&self, namespace: &str) -> Vec<String> {
        let mut reasons: Vec<_> =
            self.all("events", namespace).iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect();
        reasons.sort();
        reasons.dedup();
        reasons
    }
}

pub(crate) fn actor() -> Actor {
    Actor::system("test")
}

/// Says that bound pods run and are ready, and lets deleted ones go. Pods labelled `broken` never become ready.
async fn kubelet(cluster: Arc<Cluster>, mut pods: Watch, stop: CancellationToken) {
    let mut address = 0u32;
    while let Some(Some(event)) = stop.run_until_cancelled(pods.next()).await {
        let pod = event.object.value();
        if event.is_deletion() || pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
            continue;
        }
        let kind = kube_schema::by_resource("pods").unwrap();
        let (namespace, name) = (event.object.key.namespace.clone(), event.object.key.name.clone());
        if event.object.meta.deletion.is_some() {
            let options =
                ops::DeleteOptions { uid: Some(event.object.meta.uid.to_string()), ..ops::DeleteOptions::now() };
            let _ = ops::delete(&cluster, kind, &namespace, &name, &options, &actor()).await;
        } else if pod["status"]["podIP"].is_null() && !event.object.meta.labels.contains_key("broken") {
            address += 1;
            let ip = format!("10.244.{}.{}", address / 250, address % 250 + 1);
            let key = event.object.key.clone();
            let write = cluster.write(move |txn| {
                let Some(object) = txn.get(&key) else { return Ok(()) };
                let mut value = object.value();
                let now = jiff::Timestamp::now().to_string();
                value["status"]["phase"] = json!("Running");
                value["status"]["podIP"] = json!(ip);
                value["status"]["podIPs"] = json!([{"ip": ip}]);
                let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": now});
                match value["status"]["conditions"].as_array_mut() {
                    Some(conditions) => conditions.push(ready),
                    None => value["status"]["conditions"] = json!([ready]),
                }
                txn.put(key, value).map(|_| ())
            });
            let _: Result<(), kube_store::WriteError<PutError>> = write.await;
        }
    }
}
