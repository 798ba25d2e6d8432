//! Watches, of one cluster and of all.

use crate::world::{PEER, World};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Config,
    runtime::{WatchStreamExt, watcher},
};
use kube_api::ApiConfig;
use serde_json::{Value, json};
use std::time::Duration;

const CM: &str = "/api/v1/namespaces/default/configmaps";

/// Lines of a streamed answer.
struct Lines {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

impl Lines {
    async fn open(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, buffer: Vec::new() }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(at) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await.unwrap().unwrap()?;
            self.buffer.extend_from_slice(&chunk);
        }
    }

    async fn short(&mut self) -> String {
        let Some(event) = self.next().await else { return "end".into() };
        let what = event["type"].as_str().unwrap();
        match event["object"]["metadata"]["name"].as_str() {
            Some(name) => format!("{what} {name}"),
            None if what == "ERROR" => format!("ERROR {}", event["object"]["code"]),
            None if event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true" => {
                "INITIAL-END".into()
            }
            None => what.into(),
        }
    }
}

fn config_map(name: &str, label: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"l": label}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_in_order_and_by_selector() {
    let world = World::new("watch").await;
    let start = world.cluster.revision();
    let client = reqwest::Client::new();
    let watch = format!(
        "{CM}?watch=true&resourceVersion={start}&labelSelector=l%3Dx&timeoutSeconds=2&allowWatchBookmarks=true"
    );
    let mut lines = Lines::open(client.get(world.url(&watch))).await;
    world.post(CM, &config_map("a", "x")).await;
    world.post(CM, &config_map("b", "y")).await;
    let label = |l: &str| json!({"metadata": {"labels": {"l": l}}});
    let merge = "application/merge-patch+json";
    world.patch(&format!("{CM}/b"), merge, &label("x")).await;
    world.patch(&format!("{CM}/a"), merge, &json!({"data": {"k": "v"}})).await;
    world.patch(&format!("{CM}/a"), merge, &label("z")).await;
    world.delete(&format!("{CM}/b")).await;
    for expect in ["ADDED a", "ADDED b", "MODIFIED a", "DELETED a", "DELETED b", "BOOKMARK", "end"] {
        assert_eq!(lines.short().await, expect);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_starts_where_it_is_told() {
    let world = World::new("watch_start").await;
    world.post(CM, &config_map("a", "x")).await;
    let client = reqwest::Client::new();
    let open = |query: &str| {
        Lines::open(client.get(world.url(&format!("{CM}?watch=true&labelSelector=l&timeoutSeconds=1{query}"))))
    };
    for query in ["", "&resourceVersion=0"] {
        let mut lines = open(query).await;
        assert_eq!((lines.short().await, lines.short().await), ("ADDED a".into(), "end".into()));
    }
    let initial = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut lines = open(initial).await;
    for expect in ["ADDED a", "INITIAL-END", "BOOKMARK", "end"] {
        assert_eq!(lines.short().await, expect);
    }
    assert_eq!(world.get(&format!("{CM}?watch=true&sendInitialEvents=true")).await.0, 422);
    assert_eq!(world.get(&format!("{CM}?watch=true&resourceVersion=x")).await.0, 422);
    let table = client
        .get(world.url(&format!("{CM}?watch=true&labelSelector=l&timeoutSeconds=1")))
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let event = Lines::open(table).await.next().await.unwrap();
    assert_eq!((&event["object"]["kind"], &event["object"]["rows"][0]["cells"][0]), (&json!("Table"), &json!("a")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_gone_is_an_error_event() {
    let world = World::new("watch_gone").await;
    world.post(CM, &config_map("a", "x")).await;
    let (_, page) = world.get(&format!("{CM}?limit=1")).await;
    world.post(CM, &config_map("later", "x")).await;
    // Loaded anew, a cluster knows no old events.
    let world = world.restarted().await;
    let request = reqwest::Client::new().get(world.url(&format!("{CM}?watch=true&resourceVersion=3")));
    let mut lines = Lines::open(request).await;
    assert_eq!((lines.short().await, lines.short().await), ("ERROR 410".into(), "end".into()));
    let token = page["metadata"]["continue"].as_str().unwrap();
    world.post(CM, &config_map("b", "x")).await;
    let (code, gone) = world.get(&format!("{CM}?limit=1&continue={token}")).await;
    assert_eq!((code, gone["reason"].as_str()), (410, Some("Expired")));
    let token = gone["metadata"]["continue"].as_str().unwrap();
    let (code, rest) = world.get(&format!("{CM}?continue={token}")).await;
    assert_eq!((code, rest["items"].as_array().unwrap().len()), (200, 3), "one may go on, if not consistently");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_clusters_are_watched_at_once() {
    let world = World::new("wildcard").await;
    let other = world.stranger().await;
    let url = format!("{}/clusters/*/api/v1/configmaps?watch=1&labelSelector=l", world.base);
    world.post(CM, &config_map("a", "x")).await;
    let mut lines = Lines::open(reqwest::Client::new().get(url).header(PEER, "virtual-kubelet")).await;
    let first = lines.next().await.unwrap();
    assert_eq!((&first["type"], &first["cluster"]), (&json!("ADDED"), &json!(world.cluster.id().as_str())));
    assert_eq!(lines.short().await, "INITIAL-END");
    let in_other = format!("{}/clusters/{}{CM}", world.base, other.id());
    let as_control = |request: reqwest::RequestBuilder| request.header(PEER, "control");
    let made = as_control(reqwest::Client::new().post(in_other)).json(&config_map("b", "x")).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let second = lines.next().await.unwrap();
    assert_eq!((&second["cluster"], &second["object"]["metadata"]["name"]), (&json!(other.id().as_str()), &json!("b")));
    world.delete(&format!("{CM}/a")).await;
    assert_eq!(lines.short().await, "DELETED a");
    world.state.stores.delete_cluster(other.id()).await.unwrap();
    assert_eq!(lines.short().await, "DELETED b", "what was in a deleted cluster is deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_watch_of_all_clusters_gets_bookmarks_though_others_are_busy() {
    let every = Duration::from_millis(300);
    let world =
        World::with("wildcard_quiet", ApiConfig { wildcard_bookmark_every: every, ..ApiConfig::default() }).await;
    let url = format!("{}/clusters/*/api/v1/nodes?watch=1", world.base);
    let mut lines = Lines::open(reqwest::Client::new().get(url).header(PEER, "virtual-kubelet")).await;
    assert_eq!(lines.short().await, "INITIAL-END");
    let busy = async {
        for number in 0.. {
            world.post(CM, &config_map(&format!("busy-{number}"), "x")).await;
        }
    };
    tokio::select! {
        () = busy => {}
        line = lines.next() => assert_eq!(line.unwrap()["type"], "BOOKMARK"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kube_rs_follows_along() {
    let world = World::new("kube_rs").await;
    let config = Config::new(world.url("").parse().unwrap());
    let client = Client::try_from(config).unwrap();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    for strategy in [watcher::Config::default().labels("l"), watcher::Config::default().labels("l").streaming_lists()] {
        world.delete(&format!("{CM}?labelSelector=l")).await;
        world.post(CM, &config_map("one", "x")).await;
        let mut seen = Box::pin(watcher(api.clone(), strategy).default_backoff().applied_objects());
        let next = seen.next().await.unwrap().unwrap();
        assert_eq!(next.metadata.name.as_deref(), Some("one"));
        let made: ConfigMap = serde_json::from_value(config_map("two", "x")).unwrap();
        api.create(&kube::api::PostParams::default(), &made).await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(10), seen.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(next.metadata.name.as_deref(), Some("two"));
    }
}
