//! What happens to clusters between their creation and their end.

use crate::{
    pools::{make, nodes, report, store},
    world::{Tenant, World},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject};
use serde_json::{Value, json};
use std::time::Duration;

async fn put(tenant: &Tenant<'_>, path: &str, body: Value) -> crate::world::Answer {
    tenant.call("PUT", path, &[], &body.to_string()).await
}

async fn done(tenant: &Tenant<'_>, answer: crate::world::Answer) {
    assert_eq!(answer.status, 202, "{}", answer.text);
    let work = tenant.ended(&answer.header("opc-work-request-id")).await;
    assert_eq!(work["status"], "SUCCEEDED", "{work}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_upgraded_by_one_minor_and_its_pools_after_it() {
    let world = World::start("upgrade").await;
    let tenant = world.tenant("acme").await;
    let body =
        json!({"name": "a", "compartmentId": tenant.id, "type": "ENHANCED_CLUSTER", "kubernetesVersion": "v1.34.2"});
    let made = tenant.post("/clusters", &body).await;
    let work = tenant.ended(&made.header("opc-work-request-id")).await;
    let id = work["resources"][0]["identifier"].as_str().unwrap();
    let path = format!("/clusters/{id}");
    let cluster = store(&world, id).await;
    let (pool, work) = make(&tenant, id, json!({"size": 1})).await;
    let name = nodes(&cluster, 1).await.remove(0);
    report(&cluster, &name, "v1.34.2").await;
    tenant.ended(&work).await;

    let got = tenant.get(&path).await.body;
    assert_eq!(got["availableKubernetesUpgrades"], json!(["v1.35.0"]));
    assert_eq!(tenant.get(&format!("/clusterOptions/{id}")).await.body["kubernetesVersions"], json!(["v1.35.0"]));
    for (version, expect) in [("v1.36.0", "upgrades from it: v1.35.0"), ("v1.33.9", "cannot become")] {
        let refused = put(&tenant, &path, json!({"kubernetesVersion": version})).await;
        assert_eq!(refused.code(), "400 InvalidParameter");
        assert!(refused.text.contains(expect), "{}", refused.text);
    }
    let upgraded = put(&tenant, &path, json!({"kubernetesVersion": "v1.35.0"})).await;
    done(&tenant, upgraded).await;
    let got = tenant.get(&path).await.body;
    assert_eq!((&got["kubernetesVersion"], &got["lifecycleState"]), (&json!("v1.35.0"), &json!("ACTIVE")));

    let pool = format!("/virtualNodePools/{pool}");
    assert_eq!(tenant.get(&pool).await.body["kubernetesVersion"], "v1.34.2");
    let refused = put(&tenant, &pool, json!({"kubernetesVersion": "v1.36.0"})).await;
    assert!(refused.text.contains("upgrade the cluster first"), "{}", refused.text);
    let upgraded = put(&tenant, &pool, json!({"kubernetesVersion": "v1.35.0"})).await;
    assert_eq!(upgraded.status, 202, "{}", upgraded.text);
    let told = "/metadata/annotations/hako.dev~1kubernetes-version";
    for _ in 0..400 {
        if cluster.list("nodes", None).1[0].value().pointer(told) == Some(&json!("v1.35.0")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(tenant.get(&pool).await.body["lifecycleState"], "UPDATING", "the node still says v1.34.2");
    report(&cluster, &name, "v1.35.0").await;
    done(&tenant, upgraded).await;
    let node = &tenant.get(&format!("{pool}/virtualNodes")).await.body[0];
    assert_eq!((&node["displayName"], &node["kubernetesVersion"]), (&json!(name), &json!("v1.35.0")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_cluster_has_no_nodes_and_gets_them_back() {
    let world = World::start("pause").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("demo", "ENHANCED_CLUSTER").await;
    let cluster = store(&world, &id).await;
    let (pool, work) = make(&tenant, &id, json!({"size": 1})).await;
    let name = nodes(&cluster, 1).await.remove(0);
    report(&cluster, &name, "v1.36.0").await;
    tenant.ended(&work).await;
    let path = format!("/clusters/{id}");
    let act = async |action: &str| tenant.call("POST", &format!("{path}/actions/{action}"), &[], "").await;
    assert_eq!(act("resume").await.code(), "409 IncorrectState");
    let paused = act("pause").await;
    done(&tenant, paused).await;
    nodes(&cluster, 0).await;
    let got = tenant.get(&path).await.body;
    assert_eq!((&got["lifecycleState"], &got["isPaused"]), (&json!("ACTIVE"), &json!(true)));
    assert_eq!(got["lifecycleDetails"], "the cluster is paused");
    assert_eq!(act("pause").await.code(), "409 IncorrectState");
    assert!(!cluster.list("namespaces", None).1.is_empty());

    // What is changed meanwhile counts when the cluster goes on.
    let pool = format!("/virtualNodePools/{pool}");
    let resized = put(&tenant, &pool, json!({"size": 2})).await;
    done(&tenant, resized).await;
    nodes(&cluster, 0).await;
    let resumed = act("resume").await;
    for name in nodes(&cluster, 2).await {
        assert_eq!(tenant.get(&path).await.body["lifecycleState"], "UPDATING");
        report(&cluster, &name, "v1.36.0").await;
    }
    done(&tenant, resumed).await;
    let got = tenant.get(&path).await.body;
    assert_eq!((&got["isPaused"], &got["lifecycleDetails"]), (&json!(false), &Value::Null));
    assert_eq!(tenant.get(&pool).await.body["lifecycleState"], "ACTIVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_rotated_in_two_steps() {
    let world = World::start("rotate").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("demo", "BASIC_CLUSTER").await;
    let path = format!("/clusters/{id}");
    let status = async || {
        let status = tenant.get(&format!("{path}/credentialRotationStatus")).await.body;
        (status["status"].clone(), status["statusDetails"].clone(), status["timeAutoCompletionScheduled"].is_string())
    };
    let start = async |delay: &str| {
        let body = json!({"autoCompletionDelayDuration": delay});
        tenant.post(&format!("{path}/actions/startCredentialRotation"), &body).await
    };
    let complete = async || tenant.call("POST", &format!("{path}/actions/completeCredentialRotation"), &[], "").await;
    let rest = (json!("COMPLETED"), json!("COMPLETED"), false);
    assert_eq!(status().await, rest);
    assert_eq!(complete().await.code(), "409 IncorrectState");
    assert_eq!(start("5 days").await.code(), "400 InvalidParameter");
    done(&tenant, start("P5D").await).await;
    assert_eq!(status().await, (json!("WAITING"), json!("NEW_CREDENTIALS_ISSUED"), true));
    assert_eq!(start("P5D").await.code(), "409 IncorrectState");
    assert_eq!(generations(&world, &id).await, (2, 1));
    done(&tenant, complete().await).await;
    assert_eq!(status().await, rest);
    assert_eq!(generations(&world, &id).await, (2, 2));
    // One whose time has come goes on by itself.
    done(&tenant, start("PT0S").await).await;
    for _ in 0..400 {
        if status().await == rest {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(generations(&world, &id).await, (3, 3));
}

/// Authorities in a kubeconfig for the cluster's host name.
async fn authorities(tenant: &Tenant<'_>, id: &str) -> Vec<CertificateDer<'static>> {
    let body = json!({"endpoint": "VCN_HOSTNAME"});
    let yaml = tenant.post(&format!("/clusters/{id}/kubeconfig/content"), &body).await.text;
    let (_, rest) = yaml.split_once("certificate-authority-data: ").unwrap();
    let pem = STANDARD.decode(rest.lines().next().unwrap()).unwrap();
    CertificateDer::pem_slice_iter(&pem).map(Result::unwrap).collect()
}

/// Whether a client that believes these authorities believes what the gateway shows at the cluster's host name.
async fn is_believed(world: &World, id: &str, authorities: &[CertificateDer<'static>]) -> bool {
    runtime::tls::install_provider();
    let request = http::Request::get(format!("/internal/v1/clusters/{id}/certificate"));
    let shown = world.send("api-gateway", request.body(axum::body::Body::empty()).unwrap()).await;
    let leaf = CertificateDer::from_pem_slice(shown.body["certificate"].as_str().unwrap().as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    authorities.iter().for_each(|authority| roots.add(authority.clone()).unwrap());
    let verifier = rustls::client::WebPkiServerVerifier::builder(roots.into()).build().unwrap();
    let host = format!("{}.clusters.example", id.rsplit('.').next().unwrap());
    verifier.verify_server_cert(&leaf, &[], &host.try_into().unwrap(), &[], UnixTime::now()).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_names_authority_changes_with_the_credentials_and_breaks_nobody_in_between() {
    let world = World::start("authority").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("demo", "BASIC_CLUSTER").await;
    let path = format!("/clusters/{id}/actions");
    let before = authorities(&tenant, &id).await;
    assert!(before.len() == 1 && is_believed(&world, &id, &before).await);
    let body = json!({"autoCompletionDelayDuration": "P1D"});
    done(&tenant, tenant.post(&format!("{path}/startCredentialRotation"), &body).await).await;
    let between = authorities(&tenant, &id).await;
    assert_eq!((between.len(), &between[0]), (2, &before[0]));
    assert!(is_believed(&world, &id, &before).await && is_believed(&world, &id, &between).await);
    done(&tenant, tenant.call("POST", &format!("{path}/completeCredentialRotation"), &[], "").await).await;
    assert_eq!(authorities(&tenant, &id).await, between[1..]);
    assert!(!is_believed(&world, &id, &before).await && is_believed(&world, &id, &between).await);
    // Keys are for the gateway alone, and lie sealed.
    let request = http::Request::get(format!("/internal/v1/clusters/{id}/certificate"));
    let asked = world.send("billing", request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(asked.status, 404);
    let sealed: Vec<Vec<u8>> =
        sqlx::query_scalar("select sealed_key from cluster_authorities").fetch_all(&world.db).await.unwrap();
    assert_eq!(sealed.len(), 1);
    assert!(!String::from_utf8_lossy(&sealed[0]).contains("PRIVATE KEY"));
}

async fn generations(world: &World, id: &str) -> (i32, i32) {
    let query = sqlx::query_as("select key_generation, oldest_key_generation from clusters where id = $1");
    query.bind(id).fetch_one(&world.db).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_resizes_never_pass_the_limit_together() {
    let world = World::start("room").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("demo", "ENHANCED_CLUSTER").await;
    let (a, _) = make(&tenant, &id, json!({"size": 0})).await;
    let (b, _) = make(&tenant, &id, json!({"size": 0})).await;
    let [a, b] = [a, b].map(|pool| format!("/virtualNodePools/{pool}"));
    for pool in [&a, &b] {
        while tenant.get(pool).await.body["lifecycleState"] != "ACTIVE" {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    let (one, two) = tokio::join!(put(&tenant, &a, json!({"size": 1500})), put(&tenant, &b, json!({"size": 1500})));
    let mut codes = [one.code(), two.code()];
    codes.sort();
    assert_eq!(codes, ["202 -", "400 LimitExceeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_offered_is_refused_in_the_clouds_form() {
    let world = World::start("unoffered").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("demo", "ENHANCED_CLUSTER").await;
    let root = tenant.id.as_str();
    let refused = "501 MethodNotImplemented";
    for (method, path, code) in [
        ("POST", "/nodePools".to_owned(), refused),
        ("GET", format!("/nodePools?compartmentId={root}"), "200 -"),
        ("GET", "/nodePools".into(), "400 MissingParameter"),
        ("PATCH", "/nodePools".into(), "405 MethodNotAllowed"),
        ("GET", "/nodePools/x".into(), refused),
        ("PUT", "/nodePools/x".into(), refused),
        ("DELETE", "/nodePools/x".into(), refused),
        ("DELETE", "/nodePools/x/node/y".into(), refused),
        ("GET", "/nodePools/x/y".into(), "404 NotFound"),
        ("GET", "/nodePoolOptions/all".into(), "200 -"),
        ("GET", "/addonOptions?kubernetesVersion=v1.36.0".into(), "200 -"),
        ("GET", "/addonOptions".into(), "400 MissingParameter"),
        ("GET", format!("/clusters/{id}/addons"), "200 -"),
        ("GET", "/clusters/x/addons".into(), "404 NotAuthorizedOrNotFound"),
        ("POST", format!("/clusters/{id}/addons"), refused),
        ("GET", format!("/clusters/{id}/addons/x"), refused),
        ("GET", format!("/clusters/{id}/workloadMappings"), "200 -"),
        ("POST", format!("/clusters/{id}/workloadMappings"), refused),
        ("POST", "/clusters/x/actions/migrateToNativeVcn".into(), refused),
        ("GET", format!("/clusters/{id}/migrateToNativeVcnStatus"), refused),
        ("POST", format!("/clusters/{id}/actions/updateEndpointConfig"), refused),
        ("POST", format!("/clusters/{id}/nodes/x/actions/reboot?a=b"), refused),
    ] {
        let body = if method == "POST" { json!({"compartmentId": root}).to_string() } else { String::new() };
        let answer = tenant.call(method, &path, &[], &body).await;
        assert_eq!(answer.code(), code, "{method} {path}: {}", answer.text);
        assert!(answer.status != 200 || path.contains("Options") || answer.text == "[]", "{path}: {}", answer.text);
    }
    let refused = tenant.post("/nodePools", &json!({"compartmentId": root})).await;
    let text = &refused.text;
    assert!(text.contains("create_node_pool is not offered: ") && text.contains("use virtual node pools"), "{text}");
    let stranger = world.tenant("other").await;
    assert_eq!(stranger.get(&format!("/clusters/{id}/addons")).await.code(), "404 NotAuthorizedOrNotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_work_that_has_not_begun_is_cancelled() {
    let world = World::start("cancel").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("demo", "ENHANCED_CLUSTER").await;
    let (_, work) = make(&tenant, &id, json!({"size": 1})).await;
    let path = format!("/workRequests/{work}");
    let refused = tenant.call("DELETE", &path, &[], "").await;
    assert_eq!(refused.code(), "409 IncorrectState");
    assert!(refused.text.contains("IN_PROGRESS"), "{}", refused.text);
    sqlx::query("update work_requests set status = 'ACCEPTED' where id = $1")
        .bind(&work)
        .execute(&world.db)
        .await
        .unwrap();
    assert_eq!(tenant.call("DELETE", &path, &[], "").await.status, 204);
    assert_eq!(tenant.get(&path).await.body["status"], "CANCELED");
    assert_eq!(tenant.call("DELETE", "/workRequests/x", &[], "").await.code(), "404 NotAuthorizedOrNotFound");
}
