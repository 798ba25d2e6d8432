//! Clusters at host names of their own, and the limits that users of one tenancy share.

use crate::world::{Key, World};
use domain::{ClusterId, TenantId};
use http::header;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_served_at_its_own_host_name_without_a_prefix() {
    let world = World::start().await;
    let key = Key::generate();
    world.register(&key);
    let (cluster, other) = (ClusterId::generate(), ClusterId::generate());
    let host = format!("{}.clusters.example", cluster.unique());
    let client = world.client_at(&host);
    let get = async |path: &str, token: String| {
        let url = format!("https://{host}:{}{path}", world.address().port());
        client.get(url).bearer_auth(token).send().await.unwrap()
    };
    let seen: Value = get("/api/v1/pods?limit=1", key.token(json!({"aud": cluster}))).await.json().await.unwrap();
    assert_eq!(seen["path"], format!("/clusters/{cluster}/api/v1/pods?limit=1"));
    assert_eq!(seen["principal"]["clusterId"], json!(cluster));
    assert_eq!(get("/api/v1/pods", key.token(json!({"aud": other}))).await.status(), 401);
    // Nothing else is there, not even another cluster by its path.
    for path in ["/20180222/clusters".to_owned(), format!("/clusters/{other}/api")] {
        let seen: Value = get(&path, key.token(json!({}))).await.json().await.unwrap();
        assert_eq!(seen["path"], format!("/clusters/{cluster}{path}"));
    }
    let refused = get("/api", "x".into()).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.unwrap()["kind"], "Status");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_only_the_address_names_its_cluster_in_the_handshake() {
    let world = World::start().await;
    let key = Key::generate();
    world.register(&key);
    let cluster = ClusterId::generate();
    let get = async |path: &str, token: String| {
        let mut stream = world.raw_as(&format!("{}.clusters.example", cluster.unique())).await;
        let head = format!("GET {path} HTTP/1.1\r\nHost: 10.0.0.1:6443\r\nAuthorization: Bearer {token}\r\n");
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        // The gateway ends the connection as HTTP says, without TLS's own goodbye.
        let _ = stream.read_to_string(&mut text).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        text
    };
    let text = get("/api", key.token(json!({"aud": cluster}))).await;
    assert!(text.contains(&format!("\"path\":\"/clusters/{cluster}/api\"")), "{text}");
    // The gateway's own paths stay its own.
    let text = get("/20180222/clusters", key.token(json!({}))).await;
    assert!(text.contains("\"path\":\"/20180222/clusters\""), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_one_tenancy_share_a_limit_and_others_have_their_own() {
    let world = World::start_with("tenant_requests_per_second = 0\ntenant_burst = 4").await;
    let (acme, keys) = (TenantId::generate(), [Key::generate(), Key::generate(), Key::generate()]);
    world.register_in(&acme, &keys[0]);
    world.register_in(&acme, &keys[1]);
    world.register(&keys[2]);
    let cluster = ClusterId::generate();
    let kube = format!("/clusters/{cluster}/api");
    for key in [&keys[0], &keys[1], &keys[0], &keys[1]] {
        assert_eq!(world.get(&kube, &key.token(json!({}))).send().await.unwrap().status(), 200);
    }
    for key in &keys[..2] {
        let answer = world.get(&kube, &key.token(json!({}))).send().await.unwrap();
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "60");
        let body: Value = answer.json().await.unwrap();
        assert_eq!((&body["kind"], &body["details"]["retryAfterSeconds"]), (&json!("Status"), &json!(60)));
        let answer = world.get("/20180222/clusters", &key.token(json!({}))).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["code"], "TooManyRequests");
        assert!(body["message"].as_str().unwrap().contains("tenancy"), "{body}");
    }
    assert_eq!(world.get(&kube, &keys[2].token(json!({}))).send().await.unwrap().status(), 200);
}
