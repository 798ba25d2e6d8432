use crate::world::{Tenant, World};
use domain::{Principal, UserId};
use serde_json::{Value, json};

impl Tenant<'_> {
    async fn core(&self, method: &str, path: &str, body: &Value) -> crate::world::Answer {
        self.at(method, &format!("/20160918{path}"), &body.to_string()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_opens_a_compartment_and_what_is_below_and_nothing_else() {
    let world = World::start("policies").await;
    let admin = world.tenant("acme").await;
    let root = admin.id.as_str();
    let compartment = async |parent: &str, name: &str| {
        let body = json!({"compartmentId": parent, "name": name, "description": "d"});
        admin.core("POST", "/compartments", &body).await.body["id"].as_str().unwrap().to_owned()
    };
    let dev = compartment(root, "dev").await;
    let team = compartment(&dev, "team").await;
    let prod = compartment(root, "prod").await;
    admin.core("POST", "/groups", &json!({"compartmentId": root, "name": "Devs", "description": "d"})).await;
    let statements = json!(["Allow group devs to manage clusters in compartment dev"]);
    let policy = json!({"compartmentId": root, "name": "p", "description": "d", "statements": statements});
    let policy = admin.core("POST", "/policies", &policy).await.body["id"].as_str().unwrap().to_owned();

    let principal = Principal { user_id: UserId::generate(), groups: vec!["Devs".into()], ..admin.principal.clone() };
    let user = Tenant { world: &world, id: admin.id.clone(), principal };
    let create = |place: String| {
        let user = &user;
        async move { user.post("/clusters", &json!({"name": "c", "compartmentId": place})).await }
    };
    for place in [&dev, &team] {
        assert_eq!(create(place.clone()).await.status, 202);
    }
    for place in [root, &prod] {
        assert_eq!(create(place.to_owned()).await.code(), "404 NotAuthorizedOrNotFound");
        let list = user.get(&format!("/clusters?compartmentId={place}")).await;
        assert_eq!(list.code(), "404 NotAuthorizedOrNotFound");
    }
    let listed = user.get(&format!("/clusters?compartmentId={team}")).await.body;
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(user.get(&format!("/clusters/{id}")).await.status, 200);
    // What was granted is gone with the policy, at once.
    assert_eq!(admin.core("DELETE", &format!("/policies/{policy}"), &json!({})).await.status, 204);
    assert_eq!(user.get(&format!("/clusters/{id}")).await.code(), "404 NotAuthorizedOrNotFound");
    // A compartment with something in it stays.
    let refused = admin.core("DELETE", &format!("/compartments/{dev}"), &json!({})).await;
    assert_eq!(refused.code(), "409 IncorrectState");
    assert!(refused.text.contains("1 compartments"), "{}", refused.text);
    assert_eq!(admin.core("DELETE", &format!("/compartments/{prod}"), &json!({})).await.status, 202);
    assert_eq!(admin.core("GET", &format!("/compartments/{prod}"), &json!({})).await.body["lifecycleState"], "DELETED");
    assert_eq!(
        admin.post("/clusters", &json!({"name": "c", "compartmentId": prod})).await.code(),
        "409 IncorrectState"
    );
    let all = format!("/compartments?compartmentId={root}&compartmentIdInSubtree=true&lifecycleState=ACTIVE");
    assert_eq!(admin.core("GET", &all, &json!({})).await.body.as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_have_keys_and_groups_and_the_last_administrator_stays() {
    let world = World::start("users").await;
    let made = cloud::identity::bootstrap(&world.db, "acme", "admin", &[crate::world::PUBLIC_KEY.to_owned()], 1)
        .await
        .unwrap();
    let principal = Principal {
        tenant_id: made.tenancy_id.clone(),
        user_id: made.user_id.clone(),
        user_name: "admin".into(),
        groups: vec!["Administrators".into()],
        cluster_id: None,
    };
    let admin = Tenant { world: &world, id: made.tenancy_id.clone(), principal };
    let root = admin.id.as_str();
    let body = json!({"compartmentId": root, "name": "ada", "description": "d", "email": "ada@example.org"});
    let user = admin.core("POST", "/users", &body).await;
    assert_eq!((user.status.as_u16(), &user.body["lifecycleState"]), (200, &json!("ACTIVE")), "{}", user.text);
    assert_eq!(admin.core("POST", "/users", &body).await.code(), "409 AlreadyExists");
    let id = user.body["id"].as_str().unwrap();
    let bad = admin.core("POST", &format!("/users/{id}/apiKeys"), &json!({"key": "x"})).await;
    assert_eq!(bad.code(), "400 InvalidParameter");
    let taken = admin.core("POST", &format!("/users/{id}/apiKeys"), &json!({"key": crate::world::PUBLIC_KEY})).await;
    assert_eq!(taken.code(), "409 IncorrectState");
    let own = admin.core("GET", &format!("/users/{}/apiKeys", made.user_id), &json!({})).await.body;
    assert_eq!(own[0]["keyId"], format!("{root}/{}/{}", made.user_id, made.keys[0].fingerprint));

    let groups = admin.core("GET", &format!("/groups?compartmentId={root}&name=Administrators"), &json!({})).await.body;
    let group = groups[0]["id"].as_str().unwrap();
    let members = format!("/userGroupMemberships?compartmentId={root}&groupId={group}");
    let first = admin.core("GET", &members, &json!({})).await.body[0]["id"].as_str().unwrap().to_owned();
    let refused = admin.core("DELETE", &format!("/userGroupMemberships/{first}"), &json!({})).await;
    assert_eq!(refused.code(), "409 IncorrectState");
    let added = admin.core("POST", "/userGroupMemberships", &json!({"userId": id, "groupId": group})).await;
    assert_eq!(added.status, 200, "{}", added.text);
    let again = admin.core("POST", "/userGroupMemberships", &json!({"userId": id, "groupId": group})).await;
    assert_eq!(again.code(), "409 AlreadyExists");
    assert_eq!(admin.core("DELETE", &format!("/userGroupMemberships/{first}"), &json!({})).await.status, 204);
    let policies = admin.core("GET", &format!("/policies?compartmentId={root}"), &json!({})).await.body;
    let policy = policies[0]["id"].as_str().unwrap();
    assert_eq!(admin.core("DELETE", &format!("/policies/{policy}"), &json!({})).await.code(), "400 InvalidParameter");
    let bad = json!({"compartmentId": root, "name": "x", "description": "d", "statements": ["Allow me"]});
    assert!(admin.core("POST", "/policies", &bad).await.text.contains("statements[0]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_creates_at_once_as_many_succeed_as_the_limit_allows() {
    let world = World::start("quota").await;
    let tenant = world.tenant("acme").await;
    cloud::set_limit(&world.db, "acme", "cluster-count", 10).await.unwrap();
    let body = json!({"name": "c", "compartmentId": tenant.id});
    let answers = futures::future::join_all((0..50).map(|_| tenant.post("/clusters", &body))).await;
    let made = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(made, 10);
    for refused in answers.iter().filter(|answer| answer.status != 202) {
        assert_eq!(refused.code(), "400 LimitExceeded", "{}", refused.text);
    }
    let left = "/20190729/services/container-engine/limits/cluster-count/resourceAvailability";
    let left = tenant.at("GET", &format!("{left}?compartmentId={}", tenant.id), "").await.body;
    assert_eq!((&left["used"], &left["available"]), (&json!(10), &json!(0)));

    // A quota bounds a compartment and what is below, whatever the tenancy may have.
    cloud::set_limit(&world.db, "acme", "cluster-count", 100).await.unwrap();
    let dev = json!({"compartmentId": tenant.id, "name": "dev", "description": "d"});
    let dev = tenant.core("POST", "/compartments", &dev).await.body["id"].as_str().unwrap().to_owned();
    let quota = json!({"compartmentId": tenant.id, "name": "q", "description": "d",
        "statements": ["set container-engine quota cluster-count to 2 in compartment dev"]});
    assert_eq!(tenant.at("POST", "/20181025/quotas", &quota.to_string()).await.status, 200);
    let body = json!({"name": "c", "compartmentId": dev});
    let answers = futures::future::join_all((0..8).map(|_| tenant.post("/clusters", &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_in_the_audit_log_with_their_outcome() {
    let world = World::start("audit").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("demo", "BASIC_CLUSTER").await;
    let path = format!("/clusters/{id}");
    tenant.call("PUT", &path, &[("if-match", "old"), ("user-agent", "me/1")], "{}").await;
    tenant.get(&path).await;
    let list = format!(
        "/20190901/auditEvents?compartmentId={}&startTime=2020-01-01T00:00:00Z&endTime=2100-01-01T00:00:00Z",
        tenant.id
    );
    let events = tenant.at("GET", &list, "").await.body;
    let events: Vec<_> = events.as_array().unwrap().iter().map(|event| &event["data"]).collect();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!((&events[0]["eventName"], &events[0]["response"]["status"]), (&json!("CreateCluster"), &json!("202")));
    assert_eq!((&events[0]["resourceName"], &events[0]["resourceId"]), (&json!("demo"), &json!(id)));
    assert_eq!(events[0]["identity"]["principalName"], "admin");
    assert_eq!((&events[1]["eventName"], &events[1]["response"]["status"]), (&json!("UpdateCluster"), &json!("412")));
    assert!(events[1]["response"]["message"].as_str().unwrap().starts_with("NoEtagMatch"));
    assert_eq!(events[1]["identity"]["userAgent"], "me/1");
    let change = sqlx::query("update audit_events set user_name = 'other'").execute(&world.db).await;
    assert!(change.unwrap_err().to_string().contains("append-only"));
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_are_real_and_stay_while_they_are_used() {
    let world = World::start("networks").await;
    let tenant = world.tenant("acme").await;
    let root = tenant.id.as_str();
    let vcn = tenant.core("POST", "/vcns", &json!({"compartmentId": root, "cidrBlocks": ["10.0.0.0/16"]})).await;
    assert_eq!((vcn.status.as_u16(), &vcn.body["lifecycleState"]), (200, &json!("AVAILABLE")), "{}", vcn.text);
    let vcn = vcn.body["id"].as_str().unwrap().to_owned();
    let cluster = json!({"name": "c", "compartmentId": root, "vcnId": vcn, "type": "ENHANCED_CLUSTER"});
    assert!(tenant.post("/clusters", &cluster).await.text.contains("no subnet"));
    let subnet = |range: &str| json!({"compartmentId": root, "vcnId": vcn, "cidrBlock": range});
    assert!(tenant.core("POST", "/subnets", &subnet("10.1.0.0/24")).await.text.contains("not in the VCN's ranges"));
    let made = tenant.core("POST", "/subnets", &subnet("10.0.1.0/24")).await.body;
    assert!(tenant.core("POST", "/subnets", &subnet("10.0.1.128/25")).await.text.contains("overlaps"));
    let made = made["id"].as_str().unwrap();
    assert_eq!(tenant.post("/clusters", &cluster).await.status, 202);
    let got = tenant.get(&format!("/clusters?compartmentId={root}")).await.body;
    assert_eq!(got[0]["options"]["kubernetesNetworkConfig"]["podsCidr"], "10.0.1.0/24");
    let refused = tenant.core("DELETE", &format!("/subnets/{made}"), &json!({})).await;
    assert_eq!(refused.code(), "409 Conflict", "{}", refused.text);
    let other = tenant.core("POST", "/vcns", &json!({"compartmentId": root, "cidrBlock": "10.9.0.0/16"})).await.body;
    let group = json!({"compartmentId": root, "vcnId": other["id"]});
    let group = tenant.core("POST", "/networkSecurityGroups", &group).await.body["id"].as_str().unwrap().to_owned();
    let pool =
        json!({"compartmentId": root, "clusterId": got[0]["id"], "displayName": "p", "size": 0, "nsgIds": [group]});
    assert!(tenant.post("/virtualNodePools", &pool).await.text.contains("of another VCN"));
    let rule = json!({"securityRules": [{"direction": "INGRESS", "protocol": "6", "source": "0.0.0.0/0"}]});
    let path = format!("/networkSecurityGroups/{group}");
    let added = tenant.core("POST", &format!("{path}/actions/addSecurityRules"), &rule).await.body;
    let id = added["securityRules"][0]["id"].clone();
    let rules = tenant.core("GET", &format!("{path}/securityRules"), &json!({})).await.body;
    assert_eq!((&rules[0]["id"], &rules[0]["isValid"]), (&id, &json!(true)));
    let remove = json!({"securityRuleIds": [id]});
    assert_eq!(tenant.core("POST", &format!("{path}/actions/removeSecurityRules"), &remove).await.status, 204);
    // Without a network the compartment's own is made, once.
    for name in ["a", "b"] {
        tenant.cluster(name, "BASIC_CLUSTER").await;
    }
    let all = tenant.core("GET", &format!("/vcns?compartmentId={root}&displayName=default"), &json!({})).await.body;
    assert_eq!(all.as_array().unwrap().len(), 1);
    // The same create twice, with one token, makes one network.
    let body = json!({"compartmentId": root, "cidrBlock": "10.7.0.0/16", "displayName": "once"}).to_string();
    let token = [("opc-retry-token", "t")];
    let first = tenant.with("POST", "/20160918/vcns", &token, &body).await.body["id"].clone();
    assert_eq!(tenant.with("POST", "/20160918/vcns", &token, &body).await.body["id"], first);
}
