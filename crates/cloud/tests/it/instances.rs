//! Container instances on a fleet without hosts: what the API takes, keeps, shows and refuses. How they run is shown end to
//! end, in `tests/it/instance.rs`.

use crate::world::{Answer, Tenant, World};
use serde_json::{Value, json};
use std::time::Duration;

const API: &str = "/20210415";

impl Tenant<'_> {
    async fn ci(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.at(method, &format!("{API}{path}"), &body).await
    }

    async fn ci_get(&self, path: &str) -> Value {
        let answer = self.ci("GET", path, &Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    }

    async fn ci_ended(&self, id: &str) -> Value {
        for _ in 0..400 {
            let work = self.ci_get(&format!("/workRequests/{id}")).await;
            if work.get("timeFinished").is_some() {
                return work;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("work request {id} did not end");
    }

    fn instance(&self, name: &str) -> Value {
        json!({
            "compartmentId": self.id, "displayName": name, "availabilityDomain": "local-1-AD-1",
            "shape": "CI.Standard.E4.Flex", "shapeConfig": {"ocpus": 1, "memoryInGBs": 2},
            "containers": [
                {"displayName": "web", "imageUrl": "r.io/web:1", "environmentVariables": {"TOKEN": "env-secret"},
                 "healthChecks": [{"healthCheckType": "TCP", "port": 80, "name": "up"}]},
                {"displayName": "side", "imageUrl": "r.io/side:1", "resourceConfig": {"vcpusLimit": 0.5}},
            ],
            "vnics": [{"privateIp": "10.244.7.7"}],
            "volumes": [{"name": "conf", "volumeType": "CONFIGFILE",
                "configs": [{"fileName": "a", "data": "ZmlsZS1zZWNyZXQ="}]}],
            "imagePullSecrets": [{"secretType": "BASIC", "registryEndpoint": "r.io", "username": "dXNlcg==",
                "password": "cHctc2VjcmV0"}],
            "containerRestartPolicy": "ON_FAILURE", "freeformTags": {"team": "a"},
        })
    }

    async fn make(&self, name: &str) -> (String, String) {
        let made = self.ci("POST", "/containerInstances", &self.instance(name)).await;
        assert_eq!(made.status, 200, "{}", made.text);
        (made.body["id"].as_str().unwrap().to_owned(), made.header("opc-work-request-id"))
    }
}

/// Waits until an instance says something.
async fn told(tenant: &Tenant<'_>, path: &str, what: &str) -> Value {
    for _ in 0..400 {
        let instance = tenant.ci_get(path).await;
        if instance["lifecycleDetails"].as_str().is_some_and(|details| details.contains(what)) {
            return instance;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{path} never said {what:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_waits_for_room_and_is_deleted() {
    let world = World::start("instances").await;
    let tenant = world.tenant("acme").await;
    let made = tenant.ci("POST", "/containerInstances", &tenant.instance("batch")).await;
    assert_eq!((made.status.as_u16(), &made.body["lifecycleState"]), (200, &json!("CREATING")), "{}", made.text);
    assert!(!made.header("etag").is_empty());
    let id = made.body["id"].as_str().unwrap().to_owned();
    let path = format!("/containerInstances/{id}");
    let instance = told(&tenant, &path, "no capacity").await;
    assert_eq!((&instance["containerCount"], &instance["volumeCount"]), (&json!(2), &json!(1)));
    assert_eq!(instance["shapeConfig"]["networkingBandwidthInGbps"], 1.0);
    assert_eq!(instance["imagePullSecrets"], json!([{"secretType": "BASIC", "registryEndpoint": "r.io"}]));
    assert_eq!(instance["containers"][0]["displayName"], "web");
    let work = made.header("opc-work-request-id");
    let request = tenant.ci_get(&format!("/workRequests/{work}")).await;
    assert_eq!(
        (&request["operationType"], &request["status"]),
        (&json!("CREATE_CONTAINER_INSTANCE"), &json!("IN_PROGRESS"))
    );
    assert_eq!(request["resources"][0]["identifier"], json!(id));

    let refused = tenant.ci("POST", &format!("{path}/actions/stop"), &Value::Null).await;
    assert_eq!(refused.code(), "409 IncorrectState", "{}", refused.text);
    let deleted = tenant.ci("DELETE", &path, &Value::Null).await;
    assert_eq!(deleted.status, 202, "{}", deleted.text);
    let ended = tenant.ci_ended(&deleted.header("opc-work-request-id")).await;
    assert_eq!((&ended["status"], &ended["percentComplete"]), (&json!("SUCCEEDED"), &json!(100.0)));
    assert_eq!(tenant.ci_ended(&work).await["status"], "CANCELED");
    assert_eq!(tenant.ci_get(&path).await["lifecycleState"], "DELETED");
    let containers = tenant.ci_get(&format!("/containers?compartmentId={}&containerInstanceId={id}", tenant.id)).await;
    assert_eq!(containers["items"][0]["lifecycleState"], "DELETED", "{containers}");
    let left: i64 = sqlx::query_scalar("select count(*) from placements").fetch_one(&world.db).await.unwrap();
    assert_eq!(left, 0);
    assert_eq!(tenant.ci("DELETE", &path, &Value::Null).await.code(), "409 IncorrectState");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_secret_is_sealed_at_rest_and_not_answered() {
    let world = World::start("instance_secrets").await;
    let tenant = world.tenant("acme").await;
    let (id, _) = tenant.make("secret").await;
    let path = format!("/containerInstances/{id}");
    told(&tenant, &path, "no capacity").await;
    let shown = tenant.ci("GET", &path, &Value::Null).await.text;
    assert!(!shown.contains("cHctc2VjcmV0") && !shown.contains("dXNlcg"), "{shown}");
    for table in
        ["container_instances", "containers", "placements", "work_requests", "work_request_logs", "audit_events"]
    {
        let statement = format!("select coalesce(string_agg(t::text, ' '), '') from {table} t");
        let all: String = sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(&world.db).await.unwrap();
        // A bytea is shown in hexadecimal.
        for secret in ["env-secret", "file-secret", "pw-secret", "cHctc2VjcmV0", "ZmlsZS1zZWNyZXQ"] {
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(!all.contains(secret) && !all.contains(&hex), "{table} has {secret} in the clear");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_objects_in_pages_and_tenants_see_their_own_only() {
    let world = World::start("instance_lists").await;
    let (tenant, other) = (world.tenant("acme").await, world.tenant("other").await);
    let mut body = tenant.instance("b");
    body["vnics"][0].as_object_mut().unwrap().remove("privateIp");
    for name in ["b", "a", "c"] {
        body["displayName"] = json!(name);
        assert_eq!(tenant.ci("POST", "/containerInstances", &body).await.status, 200);
    }
    let list = |more: &str| format!("/containerInstances?compartmentId={}{more}", tenant.id);
    let first = tenant.ci("GET", &list("&sortBy=displayName&limit=2"), &Value::Null).await;
    let names = |body: &Value| -> Vec<String> {
        let items = body["items"].as_array().unwrap().iter();
        items.map(|item| item["displayName"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&first.body), ["a", "b"]);
    let page = first.header("opc-next-page");
    let second = tenant.ci_get(&list(&format!("&sortBy=displayName&limit=2&page={page}"))).await;
    assert_eq!(names(&second), ["c"]);
    assert_eq!(names(&tenant.ci_get(&list("&displayName=b")).await), ["b"]);
    assert_eq!(names(&tenant.ci_get(&list("&lifecycleState=DELETED")).await), Vec::<String>::new());
    assert_eq!(names(&tenant.ci_get(&list("")).await)[0], "c", "newest first");
    let containers = format!("/containers?compartmentId={}&displayName=web", tenant.id);
    let containers = tenant.ci_get(&containers).await;
    assert_eq!(containers["items"].as_array().unwrap().len(), 3);
    let works = tenant.ci_get(&format!("/workRequests?compartmentId={}", tenant.id)).await;
    assert_eq!(works["items"].as_array().unwrap().len(), 3);
    assert_eq!(tenant.get(&format!("/workRequests?compartmentId={}", tenant.id)).await.body, json!([]));
    let shapes = tenant.ci_get(&format!("/containerInstanceShapes?compartmentId={}", tenant.id)).await;
    assert_eq!(shapes["items"][2]["name"], "CI.Standard.A1.Flex");

    let id = first.body["items"][0]["id"].as_str().unwrap();
    let container = containers["items"][0]["id"].as_str().unwrap();
    for path in [format!("/containerInstances/{id}"), format!("/containers/{container}"), list("")] {
        assert_eq!(other.ci("GET", &path, &Value::Null).await.code(), "404 NotAuthorizedOrNotFound", "{path}");
    }
    let logs = tenant.ci("POST", &format!("/containers/{container}/actions/retrieveLogs"), &Value::Null).await;
    assert_eq!(logs.code(), "409 IncorrectState", "{}", logs.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_is_sent_twice_happens_once() {
    let world = World::start("instance_retry").await;
    let tenant = world.tenant("acme").await;
    let (body, headers) = (tenant.instance("once").to_string(), [("opc-retry-token", "t-1")]);
    let path = format!("{API}/containerInstances");
    let first = tenant.with("POST", &path, &headers, &body).await;
    let second = tenant.with("POST", &path, &headers, &body).await;
    assert_eq!((first.status, second.status), (http::StatusCode::OK, http::StatusCode::OK), "{}", second.text);
    assert_eq!(first.body["id"], second.body["id"]);
    assert_eq!(first.header("opc-work-request-id"), second.header("opc-work-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_fails_the_instance_and_containers_are_renamed() {
    let world = World::start("instance_address").await;
    let tenant = world.tenant("acme").await;
    let (first, _) = tenant.make("first").await;
    told(&tenant, &format!("/containerInstances/{first}"), "no capacity").await;
    let (second, work) = tenant.make("second").await;
    let ended = tenant.ci_ended(&work).await;
    assert_eq!((&ended["status"], &ended["resources"][0]["actionType"]), (&json!("FAILED"), &json!("FAILED")));
    let errors = tenant.ci_get(&format!("/workRequests/{work}/errors")).await;
    assert!(errors["items"][0]["message"].as_str().unwrap().contains("10.244.7.7 is in use"), "{errors}");
    assert_eq!(tenant.ci_get(&format!("/containerInstances/{second}")).await["lifecycleState"], "FAILED");

    let instance = tenant.ci_get(&format!("/containerInstances/{first}")).await;
    let path = format!("/containers/{}", instance["containers"][1]["containerId"].as_str().unwrap());
    let changed = tenant.ci("PUT", &path, &json!({"displayName": "sidecar", "freeformTags": {"x": "y"}})).await;
    assert_eq!(changed.status, 202, "{}", changed.text);
    let done = tenant.ci_ended(&changed.header("opc-work-request-id")).await;
    assert_eq!((&done["operationType"], &done["status"]), (&json!("UPDATE_CONTAINER"), &json!("SUCCEEDED")));
    let container = tenant.ci_get(&path).await;
    assert_eq!((&container["displayName"], &container["freeformTags"]["x"]), (&json!("sidecar"), &json!("y")));
    assert_eq!(container["resourceConfig"]["vcpusLimit"], 0.5);
}
