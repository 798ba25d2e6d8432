use crate::world::{PUBLIC_KEY, World};
use axum::body::Body;
use cloud::identity::{BootstrapError, bootstrap};
use http::Request;

#[tokio::test(flavor = "multi_thread")]
async fn bootstrap_is_idempotent_and_its_key_is_found_by_the_gateway_only() {
    let world = World::start("identity").await;
    let first = bootstrap(&world.db, "acme", "admin", PUBLIC_KEY, 1).await.unwrap();
    let again = bootstrap(&world.db, "acme", "admin", PUBLIC_KEY, 2).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(first.compartment_id.as_str(), first.tenancy_id.as_str());
    let other = bootstrap(&world.db, "other", "admin", PUBLIC_KEY, 3).await;
    assert!(matches!(other, Err(BootstrapError::KeyTaken(_))), "{other:?}");
    let bad = bootstrap(&world.db, "a b", "admin", PUBLIC_KEY, 3).await;
    assert!(matches!(bad, Err(BootstrapError::Name { .. })), "{bad:?}");

    let path = format!("/internal/v1/keys/{}", first.fingerprint);
    let ask = |peer: &'static str, path: String| world.send(peer, Request::get(path).body(Body::empty()).unwrap());
    let found = ask("api-gateway", path.clone()).await;
    assert_eq!(found.body["userId"], first.user_id.as_str());
    assert_eq!(found.body["tenantId"], first.tenancy_id.as_str());
    assert_eq!(found.body["groups"][0], "Administrators");
    assert_eq!(found.body["publicKey"], PUBLIC_KEY);
    assert_eq!(ask("virtual-kubelet", path).await.status, 404);
    assert_eq!(ask("api-gateway", "/internal/v1/keys/aa:bb".into()).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_gateway_says_who_calls() {
    let world = World::start("peers").await;
    let tenant = world.tenant("acme").await;
    let request = || {
        let path = format!("/20180222/clusters?compartmentId={}", tenant.id);
        Request::get(path).header("x-hako-principal", tenant.principal.to_header()).body(Body::empty()).unwrap()
    };
    assert_eq!(world.send("api-gateway", request()).await.status, 200);
    for peer in ["virtual-kubelet", "control", "host:h1", ""] {
        assert_eq!(world.send(peer, request()).await.code(), "401 NotAuthenticated", "{peer}");
    }
    let nameless = Request::get("/20180222/clusters").body(Body::empty()).unwrap();
    assert_eq!(world.send("api-gateway", nameless).await.code(), "401 NotAuthenticated");
    let mut narrow = tenant.principal.clone();
    narrow.cluster_id = Some(domain::ClusterId::generate());
    let request =
        Request::get("/20180222/clusters").header("x-hako-principal", narrow.to_header()).body(Body::empty()).unwrap();
    assert_eq!(world.send("api-gateway", request).await.code(), "401 NotAuthenticated");
}
