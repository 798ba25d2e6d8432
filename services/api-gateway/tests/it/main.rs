//! The gateway with real TLS on both sides. What is behind it is a test's own server, which says what it saw.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod certificate;
mod host;
mod oidc;
mod provider;
mod signed;
mod world;

use http::header;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::{Key, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_gets_through_and_is_replaced_by_the_principal() {
    let world = World::start().await;
    let key = Key::generate();
    world.register(&key);
    let token = key.token(json!({}));
    let answer =
        world.get("/20180222/clusters?limit=1", &token).header("x-hako-principal", "forged").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("opc-request-id"));
    let seen: Value = answer.json().await.unwrap();
    assert_eq!((&seen["path"], &seen["peer"]), (&json!("/20180222/clusters?limit=1"), &json!("api-gateway")));
    assert_eq!(seen["principal"]["userName"], "admin");
    assert_eq!(seen["headers"]["authorization"], Value::Null);
    let mine = world.get("/20180222/clusters", &token).header("opc-request-id", "mine-1").send().await.unwrap();
    assert_eq!(mine.headers()["opc-request-id"], "mine-1");
    assert_eq!(mine.json::<Value>().await.unwrap()["headers"]["opc-request-id"], "mine-1");
    let usage: Value = world.get("/usage/v1/pods", &token).send().await.unwrap().json().await.unwrap();
    assert_eq!(usage["service"], "billing");
    assert_eq!(world.get("/internal/v1/keys/x", &token).send().await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_refused_in_the_form_of_the_path() {
    let world = World::start().await;
    let (key, stranger) = (Key::generate(), Key::generate());
    world.register(&key);
    let (cluster, other) = (domain::ClusterId::generate(), domain::ClusterId::generate());
    let kube = format!("/clusters/{cluster}/api/v1/pods");
    let now = jiff::Timestamp::now().as_second();
    for (token, path) in [
        (String::new(), kube.as_str()),
        ("abc".into(), &kube),
        (stranger.token(json!({})), &kube),
        (stranger.token_as(&key, json!({})), &kube),
        (key.token(json!({"iat": now - 600, "exp": now - 300})), &kube),
        (key.token(json!({"exp": now + 7200})), &kube),
        (key.token(json!({"sub": "ocid1.user.hako.local-1.zzz"})), &kube),
        (key.token(json!({"aud": other})), &kube),
        (key.token(json!({"aud": cluster})), "/20180222/clusters"),
        (key.token(json!({})), "/api/v1/pods"),
    ] {
        let answer = world.get(path, &token).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path} {token}");
        let body: Value = answer.json().await.unwrap();
        if path.starts_with("/2018") {
            assert_eq!(body["code"], "NotAuthenticated");
        } else {
            assert_eq!((&body["kind"], &body["reason"]), (&json!("Status"), &json!("Unauthorized")));
        }
    }
    let good = world.get(&kube, &key.token(json!({"aud": cluster}))).send().await.unwrap();
    let seen: Value = good.json().await.unwrap();
    assert_eq!((&seen["path"], &seen["principal"]["clusterId"]), (&json!(kube), &json!(cluster)));
    let wildcard = world.get("/clusters/*/api/v1/pods", &key.token(json!({}))).send().await.unwrap();
    assert_eq!(wildcard.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_token_names_its_cluster() {
    let world = World::start().await;
    let cluster = domain::ClusterId::generate();
    let token = world::service_account_token(&cluster);
    let seen: Value = world.get("/api/v1/pods?watch=1", &token).send().await.unwrap().json().await.unwrap();
    assert_eq!(seen["path"], format!("/clusters/{cluster}/api/v1/pods?watch=1"));
    assert_eq!(
        (&seen["headers"]["authorization"], &seen["principal"]),
        (&json!(format!("Bearer {token}")), &Value::Null)
    );
    let other = format!("/clusters/{}/api/v1/pods", domain::ClusterId::generate());
    assert_eq!(world.get(&other, &token).send().await.unwrap().status(), 401);
    assert_eq!(world.get("/20180222/clusters", &token).send().await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_stream_and_upgrades_become_tunnels() {
    let world = World::start().await;
    let key = Key::generate();
    world.register(&key);
    let cluster = domain::ClusterId::generate();
    let token = key.token(json!({"aud": cluster}));
    let mut watch = world.get(&format!("/clusters/{cluster}/stream"), &token).send().await.unwrap();
    // The server sends its second piece only after the first was read here: nothing may be held back.
    assert_eq!(watch.chunk().await.unwrap().unwrap(), "one\n");
    world.go_on();
    assert_eq!(watch.chunk().await.unwrap().unwrap(), "two\n");

    for protocol in ["SPDY/3.1", "websocket"] {
        let mut stream = world.raw().await;
        let head = format!(
            "POST /clusters/{cluster}/echo HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\
             Connection: Upgrade\r\nUpgrade: {protocol}\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\
             Content-Length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        assert!(head.contains(&format!("upgrade: {}", protocol.to_lowercase())), "{head}");
        assert!(head.contains("x-stream-protocol-version: v4.channel.k8s.io"), "{head}");
        stream.write_all(b"hello").await.unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"hello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_a_dead_backend_is_said_to_be_dead() {
    let world = World::start_with("requests_per_second = 1\nburst = 3\nbody_bytes = 1000").await;
    let (key, other) = (Key::generate(), Key::generate());
    world.register(&key);
    world.register(&other);
    let cluster = domain::ClusterId::generate();
    let path = format!("/clusters/{cluster}/api");
    let large = world.post(&path, &other.token(json!({}))).body("x".repeat(1001)).send().await.unwrap();
    assert_eq!(large.status(), 413);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let answer = world.get(&path, &key.token(json!({}))).send().await.unwrap();
        statuses.push(answer.status().as_u16());
        if answer.status() == 429 {
            assert!(answer.headers().contains_key(header::RETRY_AFTER));
            assert_eq!(answer.json::<Value>().await.unwrap()["reason"], "TooManyRequests");
        }
    }
    assert_eq!(statuses[..4], [200, 200, 200, 429]);
    let answer = world.get("/usage/v1/pods", &other.token(json!({}))).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    world.stop_backends().await;
    let answer =
        world.get("/usage/v1/pods", &other.token(json!({}))).timeout(Duration::from_secs(20)).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["code"].clone()),
        (503, json!("ServiceUnavailable"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_answered_even_to_who_sends_all_of_it_first() {
    let world = World::start().await;
    let key = Key::generate();
    world.register(&key);
    let mut stream = world.raw().await;
    let (token, length) = (key.token(json!({})), 5 << 20);
    let head = format!(
        "POST /20180222/clusters HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; length]).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_ready_while_control_is_there_and_counts_what_it_refuses() {
    let world = World::start().await;
    assert_eq!(world.ready(true).await, "ok\n");
    assert_eq!(world.get("/20180222/clusters", "abc").send().await.unwrap().status(), 401);
    let (status, text) = world.operations("/metrics").await;
    assert_eq!(status, 200);
    for line in ["gateway_refusals_total{reason=\"no valid credential\"}", "gateway_requests_total{api=\"cloud\""] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains("gateway_control_connections 1"), "{text}");
    world.stop_backends().await;
    assert_eq!(world.ready(false).await, "not ready: control\n");
    assert_eq!(world.operations("/livez").await.0, 200);
}
