//! Requests with OCI's signatures, and the tokens that `oci` makes of them.

use crate::world::World;
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use domain::{ClusterId, TenantId, UserId};
use http::Method;
use serde_json::{Value, json};

const FINGERPRINT: &str = "20:3b:97:13:55:1c:5b:0d:e3:37:d8:50:04:c5:3a:be";
const OF_BODY: &str = " content-length content-type x-content-sha256";

struct Signer {
    tenant: TenantId,
    user: UserId,
    pair: KeyPair,
}

impl Signer {
    fn registered(world: &World) -> Self {
        let signer = Self {
            tenant: TenantId::generate(),
            user: UserId::generate(),
            pair: KeyPair::generate(KeySize::Rsa2048).unwrap(),
        };
        let der: PublicKeyX509Der<'_> = signer.pair.public_key().as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
        world.register_as(&signer.tenant, &signer.user, FINGERPRINT, &pem);
        signer
    }

    fn authorization(&self, names: &str, message: &str) -> String {
        let mut bytes = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut bytes).unwrap();
        format!(
            "Signature algorithm=\"rsa-sha256\",headers=\"{names}\",keyId=\"{}/{}/{FINGERPRINT}\",\
             signature=\"{}\",version=\"1\"",
            self.tenant,
            self.user,
            STANDARD.encode(bytes)
        )
    }
}

fn date(shift: i64) -> String {
    let at = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + shift).unwrap();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Signs a request as the SDKs do; `sent` is the body that goes with it.
fn signed(
    world: &World,
    signer: &Signer,
    (method, path): (Method, &str),
    date: &str,
    (body, sent): (&str, &str),
) -> reqwest::RequestBuilder {
    let host = format!("localhost:{}", world.address().port());
    let (mut names, verb) = ("date (request-target) host".to_owned(), method.as_str().to_lowercase());
    let mut message = format!("date: {date}\n(request-target): {verb} {path}\nhost: {host}");
    let mut request = world.request(method.clone(), path).header("date", date);
    if method != Method::GET && method != Method::DELETE {
        let digest = STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes()));
        names += OF_BODY;
        message +=
            &format!("\ncontent-length: {}\ncontent-type: application/json\nx-content-sha256: {digest}", body.len());
        request = request.header("content-type", "application/json").header("x-content-sha256", digest);
    }
    if !sent.is_empty() {
        request = request.body(sent.to_owned());
    }
    request.header("authorization", signer.authorization(&names, &message))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_gets_through_with_the_body_that_was_signed() {
    let world = World::start().await;
    let signer = Signer::registered(&world);
    let now = date(0);
    let path = "/20180222/clusters?compartmentId=a&name=b%20c";
    let answer = signed(&world, &signer, (Method::GET, path), &now, ("", "")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let seen: Value = answer.json().await.unwrap();
    assert_eq!((&seen["path"], &seen["principal"]["tenantId"]), (&json!(path), &json!(signer.tenant)));
    assert_eq!(seen["headers"]["authorization"], Value::Null);
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let body = r#"{"name": "demo"}"#;
        let answer = signed(&world, &signer, (method, "/20180222/clusters"), &now, (body, body)).send().await.unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap()["body"], body);
    }
    let answer =
        signed(&world, &signer, (Method::DELETE, "/20180222/clusters/x"), &now, ("", "")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_signed_so_is_refused() {
    let world = World::start().await;
    let signer = Signer::registered(&world);
    let path = "/20180222/clusters";
    let refused = async |request: reqwest::RequestBuilder, words: &str| {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 401, "{words}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["code"], "NotAuthenticated");
        assert!(body["message"].as_str().unwrap().contains(words), "{body}");
    };
    let now = date(0);
    let post = |sent| signed(&world, &signer, (Method::POST, path), &now, ("{\"a\":1}", sent));
    refused(post("{\"a\":2}"), "the body is not the one that was signed").await;
    refused(signed(&world, &signer, (Method::DELETE, path), &now, ("", "{}")), "the body is not the one").await;
    for shift in [-310, 310] {
        let words = "not within allowed clock skew";
        refused(signed(&world, &signer, (Method::GET, path), &date(shift), ("", "")), words).await;
    }
    let inside = signed(&world, &signer, (Method::GET, path), &date(-280), ("", "")).send().await.unwrap();
    assert_eq!(inside.status(), 200);
    refused(world.request(Method::GET, path).header("authorization", "Signature x"), "not a signature").await;

    let wrong = "no key of that user verifies the signature";
    let key = |signer: Signer| Signer { pair: KeyPair::generate(KeySize::Rsa2048).unwrap(), ..signer };
    let same = || Signer {
        tenant: signer.tenant.clone(),
        user: signer.user.clone(),
        pair: KeyPair::generate(KeySize::Rsa2048).unwrap(),
    };
    refused(signed(&world, &key(same()), (Method::GET, path), &now, ("", "")), wrong).await;
    for (tenant, user) in [(TenantId::generate(), signer.user.clone()), (signer.tenant.clone(), UserId::generate())] {
        // The right key in the name of somebody else.
        let names = "date (request-target) host";
        let host = format!("localhost:{}", world.address().port());
        let message = format!("date: {now}\n(request-target): get {path}\nhost: {host}");
        let text = signer.authorization(names, &message);
        let text = text.replace(signer.tenant.as_str(), tenant.as_str()).replace(signer.user.as_str(), user.as_str());
        refused(world.request(Method::GET, path).header("date", &now).header("authorization", text), wrong).await;
    }
    let kube = format!("/clusters/{}/api", ClusterId::generate());
    let answer = world.request(Method::GET, &kube).header("authorization", "Signature x").send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["reason"], "Unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_body_that_is_too_large_is_refused_and_none_is_kept_for_later() {
    let world = World::start_with("body_bytes = 1000").await;
    let signer = Signer::registered(&world);
    let (path, body, now) = ("/20180222/clusters", "x".repeat(1001), date(0));
    let answer = signed(&world, &signer, (Method::POST, path), &now, (&body, &body)).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    // The same signature again is as good as before, for the same request only: it is no token.
    let request = signed(&world, &signer, (Method::GET, path), &now, ("", "")).build().unwrap();
    let text = request.headers()["authorization"].to_str().unwrap().to_owned();
    for (path, status) in [(path, 200), (path, 200), ("/20180222/virtualNodePools", 401)] {
        let request = world.request(Method::GET, path).header("date", &now).header("authorization", &text);
        assert_eq!(request.send().await.unwrap().status(), status, "{path}");
    }
    assert_eq!(world.get(path, text.trim_start_matches("Signature ")).send().await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_oci_is_good_for_its_cluster_alone() {
    let world = World::start().await;
    let signer = Signer::registered(&world);
    let (cluster, other) = (ClusterId::generate(), ClusterId::generate());
    let token = |shift: i64| {
        let (now, host) = (date(shift), "containerengine.local-1.oraclecloud.com");
        let message = format!("date: {now}\n(request-target): get /cluster_request/{cluster}\nhost: {host}");
        let authorization = signer.authorization("date (request-target) host", &message);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("authorization", &authorization)
            .append_pair("date", &now)
            .finish();
        URL_SAFE.encode(format!("https://{host}/cluster_request/{cluster}?{query}"))
    };
    let kube = format!("/clusters/{cluster}/api/v1/pods");
    let seen: Value = world.get(&kube, &token(0)).send().await.unwrap().json().await.unwrap();
    assert_eq!(seen["principal"]["clusterId"], json!(cluster));
    assert_eq!(seen["principal"]["userId"], json!(signer.user));
    assert_eq!(world.get(&kube, &token(-240)).send().await.unwrap().status(), 200);
    for (path, token) in [
        (format!("/clusters/{other}/api/v1/pods"), token(0)),
        ("/20180222/clusters".into(), token(0)),
        ("/api/v1/pods".into(), token(0)),
        (kube.clone(), token(-310)),
        (kube, token(0).replacen("aHR0cHM6Ly9j", "aHR0cHM6Ly9k", 1)),
    ] {
        assert_eq!(world.get(&path, &token).send().await.unwrap().status(), 401, "{path}");
    }
}
