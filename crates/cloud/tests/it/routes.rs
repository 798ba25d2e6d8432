//! Walks every route of the API's own document: as nobody, as another tenant, and with each verb of policies. New routes
//! join by themselves: each says in `x-hako-access` what it needs.

use crate::world::{Answer, Tenant, World};
use axum::body::Body;
use domain::{PRINCIPAL_HEADER, Principal, UserId};
use http::Request;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const VERBS: [&str; 4] = ["inspect", "read", "use", "manage"];

/// One operation of the document.
struct Operation {
    id: String,
    method: String,
    path: String,
    /// Verb and resource; `None`: everybody in the tenancy.
    access: Option<(usize, String)>,
    query: Vec<String>,
    /// Not offered at all.
    is_refused: bool,
}

fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&cloud::openapi_json()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            let access = operation["x-hako-access"].as_str().unwrap_or_else(|| panic!("{id} says no access"));
            let access = match access.split_once(' ') {
                None if access == "any" => None,
                None => panic!("{id}: {access:?} is no access"),
                Some((verb, resource)) => {
                    Some((VERBS.iter().position(|known| *known == verb).unwrap(), resource.to_owned()))
                }
            };
            let parameters = operation["parameters"].as_array().unwrap().iter();
            let query = parameters.filter(|p| p["in"] == "query" && p["required"] == true);
            let query = query.map(|p| p["name"].as_str().unwrap().to_owned()).collect();
            let is_refused = operation["responses"]["501"].is_object();
            all.push(Operation { id, method: method.to_uppercase(), path: path.clone(), access, query, is_refused });
        }
    }
    assert!(all.len() > 40, "{}", all.len());
    all
}

/// Ids of what exists, by the name of the path parameter.
struct Known {
    ids: BTreeMap<&'static str, String>,
    root: String,
}

impl Known {
    async fn make(tenant: &Tenant<'_>) -> Self {
        let root = tenant.id.as_str().to_owned();
        let id = |answer: Answer| {
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.body["id"].as_str().unwrap().to_owned()
        };
        let named = |name: &str| json!({"name": name, "description": name, "compartmentId": root});
        let core = |path: &'static str, body: Value| async move {
            id(tenant.at("POST", &format!("/20160918{path}"), &body.to_string()).await)
        };
        let mut ids = BTreeMap::new();
        ids.insert("compartmentId", core("/compartments", named("dev")).await);
        ids.insert("userId", core("/users", named("walker")).await);
        ids.insert("groupId", core("/groups", named("walkers")).await);
        let member = json!({"userId": ids["userId"], "groupId": ids["groupId"]});
        ids.insert("userGroupMembershipId", core("/userGroupMemberships", member).await);
        let mut policy = named("p");
        policy["statements"] = json!(["Allow group walkers to inspect users in tenancy"]);
        ids.insert("policyId", core("/policies", policy).await);
        let mut quota = named("q");
        quota["statements"] = json!(["set vcn quota vcn-count to 100 in tenancy"]);
        ids.insert("quotaId", id(tenant.at("POST", "/20181025/quotas", &quota.to_string()).await));
        let vcn = core("/vcns", json!({"compartmentId": root, "cidrBlock": "10.0.0.0/16"})).await;
        let subnet = json!({"compartmentId": root, "vcnId": vcn, "cidrBlock": "10.0.1.0/24"});
        ids.insert("subnetId", core("/subnets", subnet).await);
        let group = json!({"compartmentId": root, "vcnId": vcn});
        ids.insert("networkSecurityGroupId", core("/networkSecurityGroups", group).await);
        ids.insert("vcnId", vcn);
        let cluster = tenant.cluster("walked", "ENHANCED_CLUSTER").await;
        let pool = json!({"compartmentId": root, "clusterId": cluster, "displayName": "pool", "size": 1});
        let made = tenant.post("/virtualNodePools", &pool).await;
        assert_eq!(made.status, 202, "{}", made.text);
        let work = made.header("opc-work-request-id");
        let pool = tenant.get(&format!("/workRequests/{work}")).await.body["resources"][0]["identifier"].clone();
        let pool = pool.as_str().unwrap().to_owned();
        let node = tenant.some(&format!("/virtualNodePools/{pool}/virtualNodes")).await;
        ids.insert("virtualNodeId", node["id"].as_str().unwrap().to_owned());
        ids.insert("virtualNodePoolId", pool);
        ids.insert("clusterOptionId", cluster.clone());
        ids.insert("nodePoolOptionId", cluster.clone());
        for name in ["nodePoolId", "nodeId", "addonName", "workloadMappingId"] {
            ids.insert(name, "none".into());
        }
        ids.insert("clusterId", cluster);
        ids.insert("workRequestId", work);
        let instance = json!({"compartmentId": root, "availabilityDomain": "local-1-AD-1", "shape": "CI.Standard.E4.Flex",
            "shapeConfig": {"ocpus": 1}, "vnics": [{"subnetId": ids["subnetId"]}],
            "containers": [{"imageUrl": "registry.example/a:1"}]});
        let made = tenant.at("POST", "/20210415/containerInstances", &instance.to_string()).await;
        assert_eq!(made.status, 200, "{}", made.text);
        ids.insert("containerInstanceId", made.body["id"].as_str().unwrap().to_owned());
        ids.insert("containerId", made.body["containers"][0]["containerId"].as_str().unwrap().to_owned());
        ids.insert("instanceWorkRequestId", made.header("opc-work-request-id"));
        ids.insert("tenancyId", root.clone());
        ids.insert("serviceName", "vcn".into());
        ids.insert("limitName", "vcn-count".into());
        // None of that fingerprint: what is shown is whether the caller gets so far as to hear it.
        ids.insert("fingerprint", "aa:bb".into());
        Self { ids, root }
    }

    /// The operation's path with ids of what exists, and its required parameters.
    fn path(&self, operation: &Operation) -> String {
        // Each service has work requests of its own.
        let mut path = operation.path.replace("/20210415/workRequests/{workR", "/20210415/workRequests/{instanceWorkR");
        for (name, id) in &self.ids {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        assert!(!path.contains('{'), "{}: this test knows no id for {path}", operation.id);
        let value = |name: &String| match name.as_str() {
            "compartmentId" => self.root.clone(),
            "availabilityDomain" => "local-1-AD-1".into(),
            "startTime" => "2020-01-01T00:00:00Z".into(),
            "endTime" => "2020-01-02T00:00:00Z".into(),
            other => other.to_owned(),
        };
        let query: Vec<String> = operation.query.iter().map(|name| format!("{name}={}", value(name))).collect();
        format!("{path}?{}", query.join("&"))
    }

    /// A body that names the compartment, and nothing that could come into being.
    fn body(&self, operation: &Operation) -> String {
        if operation.method == "GET" || operation.method == "DELETE" {
            return String::new();
        }
        let names = json!({"compartmentId": self.root, "name": "", "description": "d", "displayName": "", "size": 0,
            "clusterId": self.ids["clusterId"], "vcnId": self.ids["vcnId"], "statements": [], "key": "",
            "userId": self.ids["userId"], "groupId": self.ids["groupId"], "cidrBlock": "",
            "targetCompartmentId": self.root, "shape": "none", "shapeConfig": {"ocpus": 1}, "containers": [],
            "vnics": [], "availabilityDomain": "none", "autoCompletionDelayDuration": ""});
        let names = names.as_object().unwrap();
        let document: Value = serde_json::from_str(&cloud::openapi_json()).unwrap();
        let item = &document["paths"][&operation.path][operation.method.to_lowercase()];
        let schema = &item["requestBody"]["content"]["application/json"]["schema"];
        let name = schema["$ref"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
        let schema = &document["components"]["schemas"][&name];
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let given = properties.keys().filter(|name| required.contains(&json!(name)));
        let given = given.filter_map(|name| Some((name.clone(), names.get(name)?.clone())));
        Value::Object(given.collect()).to_string()
    }
}

/// A user in one group that one policy is about.
fn member(tenant: &Tenant<'_>) -> Principal {
    let groups = vec!["walkers".to_owned()];
    Principal { user_id: UserId::generate(), user_name: "walker".into(), groups, ..tenant.principal.clone() }
}

async fn send(world: &World, principal: Option<&Principal>, operation: &Operation, known: &Known) -> Answer {
    let mut request = Request::builder().method(operation.method.as_str()).uri(known.path(operation));
    if let Some(principal) = principal {
        request = request.header(PRINCIPAL_HEADER, principal.to_header());
    }
    world.send("api-gateway", request.body(Body::from(known.body(operation))).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_and_strangers_get_nothing() {
    let world = World::start("strangers").await;
    let tenant = world.tenant("acme").await;
    let known = Known::make(&tenant).await;
    let stranger = world.tenant("other").await;
    for operation in operations() {
        let answer = send(&world, None, &operation, &known).await;
        assert_eq!(answer.code(), "401 NotAuthenticated", "{}: {}", operation.id, answer.text);
        let answer = send(&world, Some(&stranger.principal), &operation, &known).await;
        // What is the same for everybody names no tenant's object, or looks at none: what is refused is so for all.
        if operation.is_refused {
            assert_eq!(answer.code(), "501 MethodNotImplemented", "{}: {}", operation.id, answer.text);
        } else if operation.access.is_some() || operation.path.contains('{') {
            assert_eq!(answer.code(), "404 NotAuthorizedOrNotFound", "{}: {}", operation.id, answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_needs_the_verb_that_it_says() {
    let world = World::start("verbs").await;
    let tenant = world.tenant("acme").await;
    let known = Known::make(&tenant).await;
    let principal = member(&tenant);
    let policy = format!("/20160918/policies/{}", known.ids["policyId"]);
    for resource in resources() {
        for (rank, verb) in VERBS.iter().enumerate() {
            // What else an operation asks for on its way is granted all along.
            let statements = json!({"statements": [
                format!("Allow group walkers to {verb} {resource} in tenancy"),
                format!("Allow group walkers to {} in tenancy", besides(&resource)),
            ]});
            let set = tenant.at("PUT", &policy, &statements.to_string()).await;
            assert_eq!(set.status, 200, "{}", set.text);
            for operation in operations().iter().filter(|o| o.access.as_ref().is_some_and(|(_, r)| *r == resource)) {
                let (needed, _) = operation.access.clone().unwrap();
                // What may be done is done last, and not to what others still need.
                if rank >= needed && operation.method == "DELETE" {
                    continue;
                }
                let answer = send(&world, Some(&principal), operation, &known).await;
                let denied = answer.code() == "404 NotAuthorizedOrNotFound";
                let text = &answer.text;
                assert_eq!(denied, rank < needed, "{} with {verb} {resource}: {} {text}", operation.id, answer.code());
                assert!(answer.status.as_u16() < 500, "{}: {text}", operation.id);
            }
        }
    }
}

fn resources() -> Vec<String> {
    let mut resources: Vec<String> = operations().into_iter().filter_map(|o| Some(o.access?.1)).collect();
    resources.sort();
    resources.dedup();
    resources
}

/// What operations on a resource ask for besides it.
fn besides(resource: &str) -> &'static str {
    match resource {
        "cluster-virtualnode-pools" => "use clusters",
        "subnets" | "network-security-groups" => "use vcns",
        "groups" => "use users",
        "credentials" => "inspect users",
        _ => "inspect usage-report",
    }
}
