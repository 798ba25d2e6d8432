use crate::world::{PUBLIC_KEY, World};
use axum::body::Body;
use cloud::identity::{BootstrapError, bootstrap};
use http::Request;

const RSA_KEY: &str = include_str!("rsa.pub");
const RSA_FINGERPRINT: &str = "4f:06:3f:71:d2:6e:39:16:66:6d:4b:ea:1c:2a:3c:b9";

#[tokio::test(flavor = "multi_thread")]
async fn bootstrap_is_idempotent_and_its_key_is_found_by_the_gateway_only() {
    let world = World::start("identity").await;
    let keys = [PUBLIC_KEY.to_owned(), RSA_KEY.to_owned()];
    let first = bootstrap(&world.db, "acme", "admin", &keys, 1).await.unwrap();
    let again = bootstrap(&world.db, "acme", "admin", &keys, 2).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(first.compartment_id.as_str(), first.tenancy_id.as_str());
    let other = bootstrap(&world.db, "other", "admin", &keys, 3).await;
    assert!(matches!(other, Err(BootstrapError::KeyTaken(_))), "{other:?}");
    let bad = bootstrap(&world.db, "a b", "admin", &keys, 3).await;
    assert!(matches!(bad, Err(BootstrapError::Name { .. })), "{bad:?}");

    let path = format!("/internal/v1/keys/{}", first.fingerprint);
    let ask = |peer: &'static str, path: String| world.send(peer, Request::get(path).body(Body::empty()).unwrap());
    let found = ask("api-gateway", path.clone()).await;
    assert_eq!(found.body["userId"], first.user_id.as_str());
    assert_eq!(found.body["tenantId"], first.tenancy_id.as_str());
    assert_eq!(found.body["groups"][0], "Administrators");
    assert_eq!(found.body["publicKey"], PUBLIC_KEY);
    assert_eq!(ask("virtual-kubelet", path).await.status, 404);
    // `openssl rsa -pubin -outform DER | openssl md5 -c`, which is how OCI's users learn it.
    assert_eq!((first.keys.len(), first.keys[1].fingerprint.as_str()), (2, RSA_FINGERPRINT));
    let found = ask("api-gateway", format!("/internal/v1/keys/{RSA_FINGERPRINT}")).await;
    assert_eq!((&found.body["kid"], &found.body["publicKey"]), (&first.keys[1].kid.as_str().into(), &RSA_KEY.into()));
    assert_eq!(ask("api-gateway", "/internal/v1/keys/aa:bb".into()).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_found_by_name_in_its_own_tenancy_and_by_the_gateway_only() {
    let world = World::start("names").await;
    let acme = bootstrap(&world.db, "acme", "ann@b.example", &[PUBLIC_KEY.to_owned()], 1).await.unwrap();
    let other = bootstrap(&world.db, "other", "admin", &[RSA_KEY.to_owned()], 1).await.unwrap();
    let ask = async |peer: &'static str, tenancy: &str, query: &str| {
        let path = format!("/internal/v1/tenancies/{tenancy}/user{query}");
        world.send(peer, Request::get(path).body(Body::empty()).unwrap()).await
    };
    let found = ask("api-gateway", acme.tenancy_id.as_str(), "?name=ann%40b.example").await;
    assert_eq!(found.body["userId"], acme.user_id.as_str());
    assert_eq!(found.body["groups"][0], "Administrators");
    for (peer, tenancy, query, status) in [
        ("api-gateway", other.tenancy_id.as_str(), "?name=ann%40b.example", 404),
        ("api-gateway", acme.tenancy_id.as_str(), "?name=Ann%40b.example", 404),
        ("api-gateway", acme.tenancy_id.as_str(), "", 400),
        ("api-gateway", "x", "?name=admin", 400),
        ("virtual-kubelet", acme.tenancy_id.as_str(), "?name=ann%40b.example", 404),
    ] {
        assert_eq!(ask(peer, tenancy, query).await.status, status, "{peer} {tenancy} {query}");
    }
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
