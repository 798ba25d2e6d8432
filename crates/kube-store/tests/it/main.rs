//! The actor against a real Postgres: durability, fencing, watches, eviction, encryption.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use domain::ClusterId;
use kube_store::{EventKind, Key, Limits, PutError, Signal, StoreConfig, StoreError, Stores, WriteError};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};

struct World {
    db: PgPool,
}

impl World {
    async fn new(name: &str) -> Self {
        let url = testkit::Postgres::start().await.database(name).await;
        let db = postgres::connect_control(&url, 8).await.unwrap();
        postgres::migrate_control(&db).await.unwrap();
        Self { db }
    }

    async fn replica(&self, name: &str, idle_after: Duration) -> Arc<Stores> {
        let config = StoreConfig {
            replica: name.into(),
            idle_after,
            limits: Limits::default(),
            sealer: Arc::new(sealing::Sealer::new(&[9; 32]).unwrap()),
            sealed: |resource| resource == "secrets",
            extract: |_, value| vec![("kind", value["kind"].as_str().unwrap_or("").to_owned())],
        };
        Stores::start(self.db.clone(), config).await.unwrap()
    }
}

const LONG: Duration = Duration::from_secs(600);

fn key(resource: &str, name: &str) -> Key {
    Key::new(resource, "ns", name)
}

fn object(name: &str, text: &str) -> Value {
    json!({"kind": "Thing", "metadata": {"name": name, "uid": format!("uid-{name}")}, "text": text})
}

async fn put(cluster: &kube_store::Cluster, key: Key, value: Value) -> Result<u64, WriteError<PutError>> {
    cluster.write(move |txn| txn.put(key, value).map(|object| object.revision)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_and_revisions_go_on() {
    let world = World::new("survive").await;
    let id = ClusterId::generate();
    {
        let stores = world.replica("a", LONG).await;
        let cluster = stores.create_cluster(&id).await.unwrap();
        let writes = (0..200).map(|n| put(&cluster, key("things", &format!("t{n}")), object(&format!("t{n}"), "x")));
        let mut revisions: Vec<u64> = futures::future::join_all(writes).await.into_iter().map(Result::unwrap).collect();
        revisions.sort_unstable();
        assert_eq!(revisions, (1..=200).collect::<Vec<u64>>());
    }
    let stores = world.replica("a", LONG).await;
    let cluster = stores.cluster(&id).await.unwrap();
    let (revision, objects) = cluster.list("things", Some("ns"));
    assert_eq!((revision, objects.len()), (200, 200));
    assert_eq!(objects[0].value()["metadata"]["resourceVersion"], objects[0].revision.to_string());
    assert_eq!(put(&cluster, key("things", "t0"), object("t0", "y")).await.unwrap(), 201);
    cluster.write::<_, PutError, _>(|txn| Ok(txn.delete(&key("things", "t1")).is_some())).await.unwrap();
    let again = world.replica("a", LONG).await.cluster(&id).await.unwrap();
    assert_eq!(again.list("things", None).1.len(), 199);
    assert_eq!(again.get(&key("things", "t0")).unwrap().meta.fields, [("kind", "Thing".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_writer_writes_nothing_more() {
    let world = World::new("fenced").await;
    let id = ClusterId::generate();
    let old = world.replica("a", LONG).await;
    let before = old.create_cluster(&id).await.unwrap();
    put(&before, key("things", "x"), object("x", "1")).await.unwrap();
    // The same replica, restarted, takes its clusters at once; another one has to wait for the lease.
    let stranger = world.replica("b", LONG).await;
    assert!(matches!(stranger.cluster(&id).await, Err(StoreError::Unavailable(_))));
    let new = world.replica("a", LONG).await;
    let after = new.cluster(&id).await.unwrap();
    let late = put(&before, key("things", "x"), object("x", "2")).await;
    assert!(matches!(late, Err(WriteError::Store(StoreError::Unavailable(_)))), "{late:?}");
    assert!(!before.is_open());
    assert_eq!(put(&after, key("things", "x"), object("x", "3")).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_sees_each_write_once_and_in_order() {
    let world = World::new("watch").await;
    let stores = world.replica("a", LONG).await;
    let cluster = stores.create_cluster(&ClusterId::generate()).await.unwrap();
    put(&cluster, key("things", "a"), object("a", "0")).await.unwrap();
    let mut watch = cluster.watch("things", 0).unwrap();
    for n in 1..=300 {
        put(&cluster, key(if n % 3 == 0 { "others" } else { "things" }, "a"), object("a", &n.to_string()))
            .await
            .unwrap();
    }
    cluster.write::<_, PutError, _>(|txn| Ok(txn.delete(&key("things", "a")))).await.unwrap();
    let mut last = 0;
    for n in 0..202 {
        let event = watch.next().await.unwrap();
        assert!(event.revision > last);
        last = event.revision;
        let expect = match n {
            0 => EventKind::Added,
            201 => EventKind::Deleted,
            _ => EventKind::Modified,
        };
        assert_eq!((event.kind, event.object.revision), (expect, event.revision));
    }
    assert_eq!(watch.progress(), Some(cluster.revision()));
    assert!(tokio::time::timeout(Duration::from_millis(20), watch.next()).await.is_err());
    stores.delete_cluster(cluster.id()).await.unwrap();
    assert!(watch.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_not_stored_in_the_clear() {
    let world = World::new("sealed").await;
    let id = ClusterId::generate();
    let stores = world.replica("a", LONG).await;
    let cluster = stores.create_cluster(&id).await.unwrap();
    put(&cluster, key("secrets", "s"), object("s", "hunter2")).await.unwrap();
    let bodies: Vec<Vec<u8>> = sqlx::query_scalar("select body from kube_objects").fetch_all(&world.db).await.unwrap();
    assert!(bodies.iter().all(|body| !body.windows(7).any(|w| w == b"hunter2")));
    let again = world.replica("a", LONG).await.cluster(&id).await.unwrap();
    assert_eq!(again.get(&key("secrets", "s")).unwrap().value()["text"], "hunter2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_cluster_leaves_memory_and_wakes() {
    let world = World::new("idle").await;
    let id = ClusterId::generate();
    let stores = world.replica("a", Duration::ZERO).await;
    let mut signals = stores.subscribe();
    let cluster = stores.create_cluster(&id).await.unwrap();
    put(&cluster, key("things", "a"), object("a", "")).await.unwrap();
    drop(cluster);
    loop {
        if let Signal::Unloaded(gone) = signals.recv().await.unwrap() {
            assert_eq!(gone, id);
            break;
        }
    }
    assert!(stores.loaded().is_empty());
    let all = stores.wildcard(&"things".into()).await.unwrap();
    assert_eq!(all.len(), 1, "a sleeping cluster's objects are seen by the wildcard");
    assert!(stores.loaded().is_empty(), "and it sleeps on");
    assert_eq!(stores.cluster(&id).await.unwrap().list("things", None).1.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_cluster_leaves_nothing() {
    let world = World::new("deleted").await;
    let id = ClusterId::generate();
    let stores = world.replica("a", LONG).await;
    let cluster = stores.create_cluster(&id).await.unwrap();
    put(&cluster, key("things", "a"), object("a", "")).await.unwrap();
    assert!(stores.delete_cluster(&id).await.unwrap());
    assert!(!stores.delete_cluster(&id).await.unwrap());
    assert!(matches!(stores.cluster(&id).await, Err(StoreError::NotFound)));
    assert!(put(&cluster, key("things", "b"), object("b", "")).await.is_err());
    let rows: i64 = sqlx::query_scalar("select count(*) from kube_objects").fetch_one(&world.db).await.unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_write_harms_nobody_else() {
    let world = World::new("panic").await;
    let stores = world.replica("a", LONG).await;
    let cluster = stores.create_cluster(&ClusterId::generate()).await.unwrap();
    let broken = cluster.write::<(), PutError, _>(|_| panic!("broken closure"));
    let (broken, fine) = tokio::join!(broken, put(&cluster, key("things", "a"), object("a", "")));
    assert!(broken.is_err());
    assert_eq!(fine.unwrap(), 1);
}
