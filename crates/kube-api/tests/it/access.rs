//! Who gets in, and who may do what.

use crate::world::{PEER, World, answer};
use domain::{Principal, TenantId};
use kube_api::{KeyGenerations, Rights};
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_see_no_cluster() {
    let world = World::new("strangers").await;
    let client = reqwest::Client::new();
    let nobody = answer(client.get(world.url(PODS)).header(PEER, "")).await;
    assert_eq!((nobody.0, nobody.1["reason"].as_str()), (401, Some("Unauthorized")));
    assert_eq!(answer(client.get(world.url(PODS)).header(PEER, "host:a")).await.0, 401);
    let mut other = world.principal.clone();
    other.tenant_id = TenantId::generate();
    let as_user = |who: &Principal, url: String| client.get(url).header("x-hako-principal", who.to_header());
    let foreign = answer(as_user(&other, world.url(PODS))).await;
    let missing = format!("{}/clusters/{}{PODS}", world.base, domain::ClusterId::generate());
    let missing = answer(as_user(&world.principal, missing)).await;
    assert_eq!(foreign.0, 404);
    assert_eq!(foreign, missing, "another tenant's cluster looks like none");
    let forged =
        client.get(world.url(PODS)).header(PEER, "billing").header("x-hako-principal", world.principal.to_header());
    assert_eq!(answer(forged).await.0, 401, "only the gateway speaks for users");
    let mut limited = world.principal.clone();
    limited.cluster_id = Some(domain::ClusterId::generate());
    assert_eq!(answer(as_user(&limited, world.url(PODS))).await.0, 404);
    let stranger = world.stranger().await;
    let url = format!("{}/clusters/{}{PODS}", world.base, stranger.id());
    assert_eq!(answer(as_user(&world.principal, url)).await.0, 404);
    assert_eq!(answer(client.get(format!("{}/clusters/*/api/v1/pods", world.base))).await.0, 404);
    assert_eq!(answer(client.get(format!("{}/clusters/nonsense/api/v1/pods", world.base))).await.0, 404);
    assert_eq!(answer(client.get(format!("{}/other", world.base))).await.0, 404);
}

async fn token(world: &World, spec: Value) -> (u16, Value) {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    world.post("/api/v1/namespaces/default/serviceaccounts/default/token", &request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_account_tokens_work_until_what_they_name_is_gone() {
    let world = World::new("tokens").await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a", "image": "i"}]}});
    world.post(PODS, &pod).await;
    let (code, issued) =
        token(&world, json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}})).await;
    assert_eq!(code, 201, "{issued}");
    let jwt = issued["status"]["token"].as_str().unwrap().to_owned();
    let with = |path: &str| reqwest::Client::new().get(world.url(path)).header(PEER, "api-gateway").bearer_auth(&jwt);
    assert_eq!(answer(with("/version")).await.0, 200);
    assert_eq!(answer(with("/apis")).await.0, 200);
    let (code, refused) = answer(with(PODS)).await;
    assert_eq!(code, 403);
    assert_eq!(
        refused["message"],
        "pods is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    );
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let who = reqwest::Client::new()
        .post(world.url("/apis/authentication.k8s.io/v1/selfsubjectreviews"))
        .header(PEER, "")
        .bearer_auth(&jwt)
        .json(&review);
    let (code, who) = answer(who).await;
    assert_eq!((code, &who["status"]["userInfo"]["username"]), (201, &json!("system:serviceaccount:default:default")));
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": jwt}});
    let (_, reviewed) = world.post("/apis/authentication.k8s.io/v1/tokenreviews", &review).await;
    assert_eq!(reviewed["status"]["authenticated"], true);
    let stranger = world.stranger().await;
    let elsewhere = format!("{}/clusters/{}/version", world.base, stranger.id());
    assert_eq!(answer(reqwest::Client::new().get(elsewhere).bearer_auth(&jwt)).await.0, 401);
    world.delete(&format!("{PODS}/p")).await;
    assert_eq!(answer(with("/version")).await.0, 401, "the pod is gone, so is its token");
    assert_eq!(answer(reqwest::Client::new().get(world.url("/version")).bearer_auth("nonsense")).await.0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_token_requests_are_refused() {
    let world = World::new("token_requests").await;
    let (code, short) = token(&world, json!({"expirationSeconds": 60})).await;
    assert_eq!(code, 422);
    assert!(short["message"].as_str().unwrap().contains("may not specify a duration less than 10 minutes"), "{short}");
    assert_eq!(token(&world, json!({"boundObjectRef": {"kind": "Pod", "name": "nope"}})).await.0, 404);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    assert_eq!(world.post("/api/v1/namespaces/default/serviceaccounts/nope/token", &request).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_may_do_what_policies_say() {
    let world = World::new("rights").await;
    let client = reqwest::Client::new();
    let [nobody, reader, editor] = [None, Some(Rights::View), Some(Rights::Edit)].map(|rights| world.user(rights));
    let get =
        |who: &Principal, path: &str| answer(client.get(world.url(path)).header("x-hako-principal", who.to_header()));
    let secrets = "/api/v1/namespaces/default/secrets";
    assert_eq!(get(&nobody, "/version").await.0, 404);
    assert_eq!([get(&reader, PODS).await.0, get(&reader, "/version").await.0], [200, 200]);
    let (code, refused) = get(&reader, secrets).await;
    let expect = format!(
        "secrets is forbidden: User {:?} cannot list resource \"secrets\" in API group \"\" in the namespace \"default\"",
        reader.user_id.as_str()
    );
    assert_eq!(
        (code, refused["message"].as_str(), refused["reason"].as_str()),
        (403, Some(&*expect), Some("Forbidden"))
    );
    assert_eq!([get(&editor, secrets).await.0, get(&editor, "/api/v1/nodes").await.0], [200, 403]);
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let url = world.url("/apis/authentication.k8s.io/v1/selfsubjectreviews");
    let who = answer(client.post(url).header("x-hako-principal", editor.to_header()).json(&review)).await.1;
    let info = &who["status"]["userInfo"];
    assert_eq!(info["username"], editor.user_id.as_str());
    assert_eq!(info["groups"], json!(["Administrators", "system:authenticated"]));
    assert_eq!(info["extra"], json!({"hako.dev/user-name": ["bob"]}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_outlive_a_new_key_but_not_the_end_of_theirs() {
    let world = World::new("generations").await;
    let with = |jwt: &str| {
        let request = reqwest::Client::new().get(world.url("/version")).header(PEER, "").bearer_auth(jwt);
        async move { answer(request).await.0 }
    };
    let issue = async || token(&world, json!({})).await.1["status"]["token"].as_str().unwrap().to_owned();
    let old = issue().await;
    world.change(|facts| facts.keys = KeyGenerations { current: 2, oldest: 1 });
    let new = issue().await;
    assert_eq!([with(&old).await, with(&new).await], [200, 200]);
    assert_eq!(world.get("/openid/v1/jwks").await.1["keys"].as_array().unwrap().len(), 2);
    world.change(|facts| facts.keys = KeyGenerations { current: 2, oldest: 2 });
    assert_eq!([with(&old).await, with(&new).await], [401, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_release_serves_what_it_had() {
    let world = World::new("releases").await;
    let new = "/apis/scheduling.k8s.io/v1alpha2/workloads";
    assert_eq!(world.get(new).await.0, 200);
    world.change(|facts| facts.release = kube_schema::release("v1.35.0").unwrap());
    let version = world.get("/version").await.1;
    assert_eq!((&version["minor"], &version["gitVersion"]), (&json!("35"), &json!("v1.35.0+hako")));
    assert_eq!([world.get(new).await.0, world.get("/apis/scheduling.k8s.io/v1").await.0], [404, 200]);
    assert_eq!(world.get("/apis/scheduling.k8s.io/v1alpha2").await.0, 404);
    assert_eq!(world.get("/openapi/v3/api/v1").await.1["info"]["version"], "v1.35.0");
}
