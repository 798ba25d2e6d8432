//! Lists, paging, selectors, forms of answers, documents.

use crate::world::{World, answer};
use serde_json::{Value, json};

const CM: &str = "/api/v1/namespaces/default/configmaps";

async fn fill(world: &World, count: usize) {
    for n in 0..count {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": format!("c{n:03}"), "labels": {"n": n.to_string(), "tier": if n < 2 { "low" } else { "high" }},
        }});
        assert_eq!(world.post(CM, &object).await.0, 201);
    }
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap_or_else(|| panic!("{list}"));
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_show_one_moment() {
    let world = World::new("pages").await;
    fill(&world, 10).await;
    let (code, first) = world.get(&format!("{CM}?limit=4&labelSelector=tier")).await;
    assert_eq!((code, names(&first).len()), (200, 4));
    assert!(first["metadata"].get("remainingItemCount").is_none(), "not known with a selector");
    let (_, all) = world.get(&format!("{CM}?limit=4")).await;
    assert_eq!(all["metadata"]["remainingItemCount"], 7);
    world.delete(&format!("{CM}/c005")).await;
    let late = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c0045", "labels": {"tier": "x"}}});
    world.post(CM, &late).await;
    let mut found = names(&first);
    let mut page = first.clone();
    while let Some(token) = page["metadata"]["continue"].as_str() {
        let (code, next) = world.get(&format!("{CM}?limit=4&labelSelector=tier&continue={token}")).await;
        assert_eq!(code, 200, "{next}");
        assert_eq!(next["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
        found.extend(names(&next));
        page = next;
    }
    assert_eq!(found, (0..10).map(|n| format!("c{n:03}")).collect::<Vec<_>>());
    let then = first["metadata"]["resourceVersion"].as_str().unwrap();
    let (_, exact) =
        world.get(&format!("{CM}?resourceVersion={then}&resourceVersionMatch=Exact&labelSelector=tier")).await;
    assert_eq!(names(&exact), found);
    assert_eq!(world.get(&format!("{CM}?continue=nonsense")).await.0, 400);
    let (code, early) = world.get(&format!("{CM}?resourceVersion=99999&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!((code, &early["details"]["causes"][0]["reason"]), (504, &"ResourceVersionTooLarge".into()));
    assert_eq!(world.get(&format!("{CM}?resourceVersionMatch=Exact")).await.0, 422);
    assert_eq!(world.get(&format!("{CM}?resourceVersion=x")).await.0, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_select() {
    let world = World::new("selectors").await;
    fill(&world, 4).await;
    let count = async |query: &str| {
        let (code, list) = world.get(&format!("{CM}?{query}")).await;
        if code == 200 { Ok(names(&list).len()) } else { Err((code, list["message"].to_string())) }
    };
    assert_eq!(count("labelSelector=tier%3Dlow").await, Ok(2));
    assert_eq!(count("labelSelector=n+in+(1,2),tier!%3Dlow").await, Ok(1));
    assert_eq!(count("labelSelector=!tier").await, Ok(1));
    assert_eq!(count("fieldSelector=metadata.name%3Dc001").await, Ok(1));
    assert_eq!(count("labelSelector=a+b").await.unwrap_err().0, 400);
    let (code, why) = count("fieldSelector=spec.x%3Dy").await.unwrap_err();
    assert_eq!(code, 400);
    assert!(why.contains("is not a known field selector"), "{why}");
    let (code, why) = world.get("/api/v1/pods?fieldSelector=spec.x%3Dy").await;
    assert_eq!((code, why["message"].as_str()), (400, Some("field label not supported: spec.x")));
    assert_eq!(world.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dx,status.phase!%3DFailed").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_in_the_form_asked_for() {
    let world = World::new("forms").await;
    let accept =
        |path: &str, accept: &str| answer(reqwest::Client::new().get(world.url(path)).header("accept", accept));
    let (_, table) =
        accept("/api/v1/namespaces", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").await;
    assert_eq!((&table["kind"], table["rows"].as_array().unwrap().len()), (&json!("Table"), 4));
    assert_eq!(table["rows"][0]["cells"][0], "default");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let (_, table) =
        accept("/api/v1/namespaces?includeObject=None", "application/json;as=Table;v=v1;g=meta.k8s.io").await;
    assert!(table["rows"][0]["object"].is_null());
    let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let (_, list) = accept("/api/v1/namespaces", partial).await;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0].get("spec").is_none());
    let (_, yaml) = accept("/api/v1/namespaces/default", "application/yaml").await;
    assert!(yaml.as_str().unwrap().contains("kind: Namespace"));
    assert_eq!(accept("/api/v1/namespaces/default", "text/csv").await.0, 406);
    assert_eq!(
        accept("/api/v1/namespaces/default", "application/vnd.kubernetes.protobuf").await.1["kind"],
        "Namespace"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_served() {
    let world = World::new("documents").await;
    for path in [
        "/",
        "/version",
        "/healthz",
        "/livez",
        "/readyz",
        "/api",
        "/apis",
        "/api/v1",
        "/apis/apps",
        "/apis/apps/v1",
        "/openapi/v3",
        "/openapi/v3/apis/apps/v1",
        "/openapi/v2",
        "/openid/v1/jwks",
        "/.well-known/openid-configuration",
    ] {
        assert_eq!(world.get(path).await.0, 200, "{path}");
    }
    for path in ["/nope", "/apis/nope", "/apis/apps/v9", "/api/v1/nopes", "/openapi/v3/nope"] {
        assert_eq!(world.get(path).await.0, 404, "{path}");
    }
    let asked = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                 application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    let response = reqwest::Client::new().get(world.url("/apis")).header("accept", asked).send().await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    assert_eq!(world.get("/apis").await.1["kind"], "APIGroupList");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootstrap_happens_once() {
    let world = World::new("bootstrap").await;
    let before = world.cluster.revision();
    let again = kube_api::ClusterBootstrap { endpoint: Some(([10, 0, 0, 1].into(), 6443)), ..Default::default() };
    kube_api::bootstrap_cluster(&world.cluster, &again).await.unwrap();
    assert_eq!(world.cluster.revision(), before);
    let (_, slice) = world.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").await;
    assert_eq!(slice["endpoints"][0]["addresses"][0], "10.0.0.1");
    let (objects, bytes) = world.cluster.size();
    assert!(bytes < 40_000, "a new cluster has {objects} objects of {bytes} bytes");
}
