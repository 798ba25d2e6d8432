use crate::world::World;
use domain::ClusterId;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_lives_from_create_to_deleted() {
    let world = World::start("lifecycle").await;
    let tenant = world.tenant("acme").await;
    let body = json!({"name": "demo", "compartmentId": tenant.id});
    let made = tenant.post("/clusters", &body).await;
    assert_eq!((made.status.as_u16(), made.text.as_str()), (202, ""));
    // It is ACTIVE at once: no waiting between the answer and the first request.
    let work = tenant.get(&format!("/workRequests/{}", made.header("opc-work-request-id"))).await.body;
    assert_eq!((&work["status"], &work["operationType"]), (&json!("SUCCEEDED"), &json!("CLUSTER_CREATE")));
    assert_eq!(work["resources"][0]["actionType"], "CREATED");
    let id = work["resources"][0]["identifier"].as_str().unwrap();
    let path = format!("/clusters/{id}");
    let got = tenant.get(&path).await;
    assert_eq!((&got.body["lifecycleState"], &got.body["type"]), (&json!("ACTIVE"), &json!("BASIC_CLUSTER")));
    assert_eq!(got.body["options"]["kubernetesNetworkConfig"]["podsCidr"], "10.244.0.0/16");
    assert_eq!(got.body["endpoints"]["kubernetes"], format!("https://gw:8443/clusters/{id}"));
    assert!(got.body["vcnId"].as_str().unwrap().starts_with("ocid1.vcn."));
    let cluster = world.stores.cluster(&id.parse::<ClusterId>().unwrap()).await.unwrap();
    assert!(cluster.list("namespaces", None).1.iter().any(|n| &*n.key.name == "default"));

    let update = json!({"name": "renamed", "type": "ENHANCED_CLUSTER", "freeformTags": {"a": "b"}}).to_string();
    let refused = tenant.call("PUT", &path, &[("if-match", "other")], &update).await;
    assert_eq!(refused.code(), "412 NoEtagMatch");
    let updated = tenant.call("PUT", &path, &[("if-match", &got.header("etag"))], &update).await;
    assert_eq!(updated.status, 202, "{}", updated.text);
    let got = tenant.get(&path).await.body;
    assert_eq!((&got["name"], &got["type"]), (&json!("renamed"), &json!("ENHANCED_CLUSTER")));
    assert_eq!(got["freeformTags"], json!({"a": "b"}));

    let deleted = tenant.call("DELETE", &path, &[], "").await;
    let work = tenant.ended(&deleted.header("opc-work-request-id")).await;
    assert_eq!(work["status"], "SUCCEEDED");
    assert_eq!(tenant.get(&path).await.body["lifecycleState"], "DELETED");
    assert!(world.stores.cluster(&id.parse::<ClusterId>().unwrap()).await.is_err());
    assert_eq!(tenant.call("DELETE", &path, &[], "").await.code(), "409 IncorrectState");
    assert_eq!(tenant.post(&format!("{path}/kubeconfig/content"), &json!({})).await.code(), "409 IncorrectState");
    let logs = tenant.get(&format!("/workRequests/{}/logs", work["id"].as_str().unwrap())).await.body;
    assert!(logs.as_array().unwrap().len() >= 2, "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_token_makes_a_create_happen_once() {
    let world = World::start("retry").await;
    let tenant = world.tenant("acme").await;
    let body = json!({"name": "demo", "compartmentId": tenant.id}).to_string();
    let headers = [("opc-retry-token", "t1")];
    let send = || tenant.call("POST", "/clusters", &headers, &body);
    let (first, second) = tokio::join!(send(), send());
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (202, 202));
    assert_eq!(first.header("opc-work-request-id"), second.header("opc-work-request-id"));
    let other = json!({"name": "other", "compartmentId": tenant.id}).to_string();
    assert_eq!(tenant.call("POST", "/clusters", &headers, &other).await.code(), "409 InvalidatedRetryToken");
    let all = tenant.get(&format!("/clusters?compartmentId={}", tenant.id)).await.body;
    assert_eq!(all.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_sorted_and_paged() {
    let world = World::start("lists").await;
    let tenant = world.tenant("acme").await;
    for name in ["c", "a", "b"] {
        tenant.cluster(name, "BASIC_CLUSTER").await;
    }
    let base = format!("/clusters?compartmentId={}", tenant.id);
    let names = |body: &Value| -> Vec<String> {
        body.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut page = String::new();
    for _ in 0..3 {
        let answer = tenant.get(&format!("{base}&sortBy=NAME&sortOrder=DESC&limit=1{page}")).await;
        seen.extend(names(&answer.body));
        page = format!("&page={}", answer.header("opc-next-page"));
    }
    assert_eq!((seen, page.as_str()), (vec!["c".to_owned(), "b".into(), "a".into()], "&page="));
    assert_eq!(names(&tenant.get(&format!("{base}&name=a")).await.body), ["a"]);
    assert_eq!(names(&tenant.get(&base).await.body), ["c", "a", "b"]);
    let none = tenant.get(&format!("{base}&lifecycleState=DELETED&lifecycleState=FAILED")).await;
    assert_eq!(none.body, json!([]));
    for bad in ["&limit=0", "&sortBy=SIZE", "&lifecycleState=WARM", "&page=x", "&sortOrder=UP"] {
        assert_eq!(tenant.get(&format!("{base}{bad}")).await.code(), "400 InvalidParameter", "{bad}");
    }
    assert_eq!(tenant.get("/clusters").await.code(), "400 MissingParameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_and_has_no_effect() {
    let world = World::start("badinput").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.id.as_str();
    for (body, code) in [
        ("{".to_owned(), "400 CannotParseRequest"),
        (String::new(), "400 CannotParseRequest"),
        ("[]".to_owned(), "400 InvalidParameter"),
        (json!({"compartmentId": id}).to_string(), "400 InvalidParameter"),
        (json!({"name": "x"}).to_string(), "400 InvalidParameter"),
        (json!({"name": 5, "compartmentId": id}).to_string(), "400 InvalidParameter"),
        (json!({"name": "x", "compartmentId": "me"}).to_string(), "400 InvalidParameter"),
        (json!({"name": "x", "compartmentId": id, "kubernetesVersion": "v9"}).to_string(), "400 InvalidParameter"),
    ] {
        assert_eq!(tenant.call("POST", "/clusters", &[], &body).await.code(), code, "{body}");
    }
    assert_eq!(tenant.get(&format!("/clusters?compartmentId={id}")).await.body, json!([]));
    for (path, code) in [
        ("/clusters/%00".to_owned(), "400 InvalidParameter"),
        (format!("/clusters?compartmentId={id}&name=%00"), "400 InvalidParameter"),
        (format!("/workRequests?compartmentId={id}&resourceId=a%00"), "400 InvalidParameter"),
        ("/clusters/%ff".to_owned(), "400 CannotParseRequest"),
        ("/clusters/%2500".to_owned(), "404 NotAuthorizedOrNotFound"),
        ("".to_owned(), "404 NotFound"),
        ("/".to_owned(), "404 NotFound"),
    ] {
        assert_eq!(tenant.get(&path).await.code(), code, "{path}");
    }
    for tags in ["{\"a\": \"\\u0000\"}", "{\"\\u0000\": \"a\"}"] {
        let body = format!("{{\"name\": \"x\", \"compartmentId\": \"{id}\", \"freeformTags\": {tags}}}");
        assert_eq!(tenant.call("POST", "/clusters", &[], &body).await.code(), "400 InvalidParameter", "{tags}");
    }
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(tenant.call("POST", "/clusters", &[], &large).await.code(), "413 PayloadTooLarge");
    let plain = json!({"name": "x", "compartmentId": id}).to_string();
    for headers in [("opc-retry-token", "x".repeat(256)), ("if-match", "x".repeat(256))] {
        let answer = tenant.call("POST", "/clusters", &[(headers.0, &headers.1)], &plain).await;
        assert_eq!(answer.code(), "400 InvalidParameter", "{}", headers.0);
    }
    assert_eq!(tenant.get(&format!("/clusters?compartmentId={id}")).await.body, json!([]));
    assert_eq!(tenant.get("/nothing").await.code(), "404 NotFound");
    assert_eq!(tenant.call("PATCH", "/clusters", &[], "").await.code(), "405 MethodNotAllowed");
    assert_eq!(tenant.get("/clusters/x").await.code(), "404 NotAuthorizedOrNotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tenants_see_nothing() {
    let world = World::start("strangers").await;
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("evil").await);
    let id = owner.cluster("demo", "ENHANCED_CLUSTER").await;
    let pool = json!({"compartmentId": owner.id, "clusterId": id, "displayName": "p", "size": 1});
    assert_eq!(owner.post("/virtualNodePools", &pool).await.status, 202);
    let pools = owner.get(&format!("/virtualNodePools?compartmentId={}", owner.id)).await.body;
    let pool = pools[0]["id"].as_str().unwrap().to_owned();
    let works = owner.get(&format!("/workRequests?compartmentId={}", owner.id)).await.body;
    let work = works[0]["id"].as_str().unwrap().to_owned();
    let foreign = json!({"compartmentId": stranger.id, "clusterId": id, "displayName": "p", "size": 1}).to_string();
    let body = json!({"name": "mine"}).to_string();
    let root = &owner.id;
    for (method, path, body) in [
        ("GET", format!("/clusters/{id}"), ""),
        ("PUT", format!("/clusters/{id}"), body.as_str()),
        ("DELETE", format!("/clusters/{id}"), ""),
        ("POST", format!("/clusters/{id}/kubeconfig/content"), "{}"),
        ("GET", format!("/clusterOptions/{id}"), ""),
        ("POST", "/virtualNodePools".to_owned(), foreign.as_str()),
        ("GET", format!("/virtualNodePools/{pool}"), ""),
        ("PUT", format!("/virtualNodePools/{pool}"), "{}"),
        ("DELETE", format!("/virtualNodePools/{pool}"), ""),
        ("GET", format!("/virtualNodePools/{pool}/virtualNodes"), ""),
        ("GET", format!("/workRequests/{work}"), ""),
        ("GET", format!("/workRequests/{work}/logs"), ""),
        ("GET", format!("/workRequests/{work}/errors"), ""),
        ("GET", format!("/clusters?compartmentId={root}"), ""),
        ("GET", format!("/virtualNodePools?compartmentId={root}"), ""),
        ("GET", format!("/workRequests?compartmentId={root}"), ""),
        ("GET", format!("/podShapes?compartmentId={root}"), ""),
    ] {
        let answer = stranger.call(method, &path, &[], body).await;
        assert_eq!(answer.code(), "404 NotAuthorizedOrNotFound", "{method} {path}");
    }
    assert_eq!(owner.get(&format!("/clusters/{id}")).await.body["name"], "demo");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_leads_to_the_gateway() {
    let world = World::start("kubeconfig").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("de: mo", "BASIC_CLUSTER").await;
    let answer = tenant.call("POST", &format!("/clusters/{id}/kubeconfig/content"), &[], "").await;
    assert_eq!(answer.header("content-type"), "application/x-yaml");
    assert!(answer.text.contains(&format!("server: \"https://gw:8443/clusters/{id}\"")), "{}", answer.text);
    assert!(
        answer.text.contains("certificate-authority-data: Q0E=") && answer.text.contains("current-context: \"de: mo\"")
    );
    // As OCI's own, unless our command asks for it.
    assert!(answer.text.contains("command: oci") && answer.text.contains("      - --region\n      - local-1\n"));
    assert!(answer.text.contains("apiVersion: client.authentication.k8s.io/v1beta1"), "{}", answer.text);
    let path = format!("/clusters/{id}/kubeconfig/content");
    let ours =
        json!({"tokenVersion": "2.0.0", "expiration": 2592000, "endpoint": "PUBLIC_ENDPOINT", "tokenCommand": "hako"});
    let answer = tenant.post(&path, &ours).await;
    assert!(answer.text.contains("command: hako") && !answer.text.contains("--region"), "{}", answer.text);
    let host = id.rsplit('.').next().unwrap();
    let named = tenant.post(&path, &json!({"endpoint": "VCN_HOSTNAME"})).await.text;
    assert!(named.contains(&format!("server: \"https://{host}.clusters.example:8443\"")), "{named}");
    assert_eq!(tenant.post(&path, &json!({"endpoint": "MOON"})).await.code(), "400 InvalidParameter");
    assert_eq!(tenant.post(&path, &json!({"tokenVersion": "1.0.0"})).await.code(), "400 InvalidParameter");
    let options = tenant.get("/clusterOptions/all").await.body;
    assert_eq!(options["kubernetesVersions"], json!(["v1.34.2", "v1.35.0", "v1.36.0"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn apis_that_are_not_there_say_so_in_the_clouds_form() {
    let world = World::start("otherapis").await;
    let tenant = world.tenant("acme").await;
    for path in ["/20210415", "/20210415/", "/20210415/nothing", "/20160918/instances"] {
        let request = axum::http::Request::get(path).header("x-hako-principal", tenant.principal.to_header());
        let answer = world.send("api-gateway", request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(answer.code(), "404 NotFound", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_reconciliations_are_counted_without_names() {
    let world = World::start("counted").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("demo", "BASIC_CLUSTER").await;
    tenant.get(&format!("/clusters/{id}")).await;
    let deleted = tenant.call("DELETE", &format!("/clusters/{id}"), &[], "").await;
    tenant.ended(&deleted.header("opc-work-request-id")).await;
    let text = runtime::metrics::registry().encode();
    let line = "cloud_api_requests_total{route=\"/20180222/clusters/{clusterId}\",method=\"GET\",code=\"200\"}";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("cloud_reconcile_runs_total{kind=\"cluster\",outcome=\"done\"}"), "{text}");
    assert!(!text.contains("ocid1."), "{text}");
}
