//! Bad input and strangers: the error a user of Kubernetes or OCI expects, and no effect.

use e2e::{Answer, Api, World};
use serde_json::{Value, json};
use std::fmt::Write as _;

#[test]
fn bad_input_and_strangers_are_refused_without_effect() {
    let mut world = World::up("input");
    let id = world.cluster("demo", 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(kubernetes(&world, &id));
    kubectl(&world);
    runtime.block_on(cloud(&world));
    commands(&world);
    let token = Api::cluster(&world, &id).token().to_owned();
    world.cloud.bootstrap_tenant("stranger").unwrap();
    world.set("HAKO_PROFILE", "stranger");
    strangers(&world, &id);
    runtime.block_on(tokens(&world, &id, &token));
}

#[track_caller]
fn is_status(answer: &Answer, code: u16, reason: &str, words: &str) {
    let body = &answer.body;
    assert_eq!(
        (answer.status, body["kind"].as_str(), body["reason"].as_str()),
        (code, Some("Status"), Some(reason)),
        "{body}"
    );
    assert!(body["message"].as_str().unwrap().contains(words), "{body}");
}

async fn kubernetes(world: &World, id: &str) {
    let api = Api::cluster(world, id);
    let maps = "/api/v1/namespaces/default/configmaps";
    let before = api.get(maps).await.unwrap().body["items"].as_array().unwrap().len();
    let post = async |media: &str, body: &str| api.send("POST", maps, media, body.into()).await.unwrap();
    is_status(&post("application/json", "{\"kind\":").await, 400, "BadRequest", "json");
    is_status(&post("application/yaml", "a: [").await, 400, "BadRequest", "yaml");
    is_status(&post("text/csv", "a,b").await, 415, "UnsupportedMediaType", "media types");
    is_status(
        &post("application/json", "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}").await,
        400,
        "BadRequest",
        "ConfigMap",
    );
    let named = |name: &str, data: &str| json!({"metadata": {"name": name}, "data": {"a": data}});
    is_status(&api.post(maps, &named("Not_A_Name", "")).await.unwrap(), 422, "Invalid", "RFC 1123");
    is_status(
        &api.post(maps, &named("large", &"x".repeat(1_700_000))).await.unwrap(),
        413,
        "RequestEntityTooLarge",
        "",
    );
    is_status(
        &api.post(&format!("{maps}?fieldValidation=Strict"), &json!({"metadata": {"name": "a"}, "dta": {}}))
            .await
            .unwrap(),
        400,
        "BadRequest",
        "unknown field \"dta\"",
    );
    is_status(&api.post("/apis/nobody.io/v1/things", &json!({})).await.unwrap(), 404, "NotFound", "");
    is_status(&api.get(&format!("{maps}/missing")).await.unwrap(), 404, "NotFound", "configmaps \"missing\" not found");
    is_status(&api.send("PUT", maps, "application/json", b"{}".to_vec()).await.unwrap(), 405, "MethodNotAllowed", "");
    is_status(&api.get("/api/v1/namespaces/default/pods?labelSelector=a==b==c").await.unwrap(), 400, "BadRequest", "");
    is_status(&api.get(&format!("{maps}?watch=1&resourceVersion=abc")).await.unwrap(), 422, "Invalid", "");
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": []}});
    is_status(
        &api.post("/api/v1/namespaces/default/pods", &pod).await.unwrap(),
        422,
        "Invalid",
        "spec.containers: Required value",
    );
    is_status(
        &api.post("/api/v1/namespaces/missing/configmaps", &named("a", "")).await.unwrap(),
        404,
        "NotFound",
        "namespaces \"missing\" not found",
    );
    // A write against an old version.
    api.post(maps, &named("contested", "1")).await.unwrap();
    let old = api.get(&format!("{maps}/contested")).await.unwrap().body;
    let put = async |body: &Value| {
        api.send("PUT", &format!("{maps}/contested"), "application/json", body.to_string().into()).await.unwrap()
    };
    let mut new = old.clone();
    new["data"]["a"] = json!("2");
    assert_eq!(put(&new).await.status, 200);
    is_status(&put(&old).await, 409, "Conflict", "the object has been modified");
    let after = api.get(maps).await.unwrap().body["items"].as_array().unwrap().len();
    assert_eq!(after, before + 1, "only what was acknowledged is there");
}

fn kubectl(world: &World) {
    let wrong = world.fails("printf 'kind: Pod\\n  a: b' | kubectl apply -f -");
    assert!(wrong.contains("error parsing") || wrong.contains("error converting YAML"), "{wrong}");
    let wrong = world.fails("kubectl get things");
    assert!(wrong.contains("the server doesn't have a resource type \"things\""), "{wrong}");
    let wrong = world.fails("kubectl create deployment 'Bad Name' --image=a:1");
    assert!(wrong.contains("Invalid value: \"Bad Name\""), "{wrong}");
    let wrong = world.fails(
        "kubectl get pods --token=wrong --kubeconfig=<(kubectl config view --raw --minify | sed '/^users:/,$d')",
    );
    assert!(wrong.contains("Unauthorized") || wrong.contains("must be logged in"), "{wrong}");
    let mut many =
        String::from("apiVersion: v1\nkind: Pod\nmetadata: {name: strict}\nspec: {containers: [{name: a, image: b}], ");
    write!(many, "nodeselector: {{a: b}}}}").unwrap();
    let wrong = world.fails(&format!("kubectl apply -f - <<'END'\n{many}\nEND"));
    assert!(wrong.contains("unknown field \"spec.nodeselector\""), "{wrong}");
}

#[track_caller]
fn is_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{answer:?}");
    assert!(
        answer.request_id.is_some() && answer.body["message"].as_str().is_some_and(|m| !m.is_empty()),
        "{answer:?}"
    );
}

async fn cloud(world: &World) {
    let profile = std::fs::read_to_string(world.variable("HAKO_CONFIG")).unwrap();
    let profile: toml::Table = toml::from_str(&profile).unwrap();
    let compartment = profile["DEFAULT"]["compartment"].as_str().unwrap().to_owned();
    let nobody = Api::with_token(world, "/20180222", "");
    is_error(&nobody.get(&format!("/clusters?compartmentId={compartment}")).await.unwrap(), 401, "NotAuthenticated");
    let forged = Api::with_token(world, "/20180222", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.");
    is_error(&forged.get(&format!("/clusters?compartmentId={compartment}")).await.unwrap(), 401, "NotAuthenticated");
}

/// `hako` says what is wrong and what to do, and ends with 1, or 64 if it was misused.
fn commands(world: &World) {
    let check = |command: &str, code: i32, words: &str| {
        let done = world.sh(command);
        assert_eq!((done.code, done.out.as_str()), (code, ""), "{command}: {}", done.err);
        assert!(done.err.to_lowercase().contains(&words.to_lowercase()), "{command}: {}", done.err);
    };
    check("hako cluster get nowhere", 1, "nowhere");
    check("hako cluster create bad --type HUGE_CLUSTER", 1, "ENHANCED_CLUSTER");
    check("hako cluster create bad --pods-cidr 10.0.0.0/99", 1, "cidr");
    check("hako cluster create bad --kubernetes-version v1.2.3", 1, "version");
    check("hako cluster create", 64, "usage");
    check("hako cluster generate-token --cluster-id nonsense", 64, "ocid");
    check("hako virtual-node-pool create --cluster demo --name huge --size 100000", 1, "size");
    check("HAKO_PROFILE=nobody hako cluster list", 64, "nobody");
    check("HAKO_ENDPOINT=https://127.0.0.1:1 hako cluster list", 1, "127.0.0.1:1");
    world.ok("hako cluster create plain --wait");
    check("hako virtual-node-pool create --cluster plain --name p --size 1", 1, "ENHANCED_CLUSTER");
    world.ok("hako cluster update plain --type ENHANCED_CLUSTER --wait");
    world.ok("hako virtual-node-pool create --cluster plain --name p --size 1 --wait");
    world.ok("hako cluster delete plain --wait");
    let list = world.ok("hako cluster list --lifecycle-state ACTIVE");
    assert!(!list.contains("plain") && !list.contains("bad"), "{list}");
}

/// Another tenancy's administrator finds nothing of the first, by any name or OCID.
fn strangers(world: &World, id: &str) {
    let list = world.sh("hako cluster list");
    assert!(list.code == 0 && !list.out.contains("demo"), "{list:?}");
    let real = world.fails(&format!("hako cluster get {id}"));
    let fake = id.replace(&id[id.len() - 8..], "aaaaaaaa");
    let unreal = world.fails(&format!("hako cluster get {fake}"));
    let same =
        |text: &str| text.replace(id, "X").replace(&fake, "X").split(", request").next().unwrap_or_default().to_owned();
    assert_eq!(same(&real), same(&unreal), "a stranger can't tell what exists");
    for command in ["delete", "create-kubeconfig --file /dev/null", "update --name taken"] {
        world.fails(&format!(
            "hako cluster {} {id} {}",
            command.split(' ').next().unwrap(),
            command.split_once(' ').map_or("", |c| c.1)
        ));
    }
    world.fails(&format!("hako virtual-node-pool create --cluster {id} --name p --size 1"));
    assert_eq!(world.json(&format!("hako usage list --cluster {id} --output json || echo []")), json!([]));
}

/// Tokens open what they are for, and nothing else.
async fn tokens(world: &World, id: &str, good: &str) {
    let path = "/api/v1/namespaces";
    let ask = async |cluster: &str, token: &str| {
        Api::with_token(world, &format!("/clusters/{cluster}"), token).get(path).await.unwrap()
    };
    assert_eq!(ask(id, good).await.status, 200);
    is_status(&ask(id, "").await, 401, "Unauthorized", "");
    is_status(&ask(id, "nonsense").await, 401, "Unauthorized", "");
    let mut bent = good.to_owned();
    bent.replace_range(good.len() - 4.., if good.ends_with("AAAA") { "BBBB" } else { "AAAA" });
    is_status(&ask(id, &bent).await, 401, "Unauthorized", "");
    // The stranger's own token, well signed, for a cluster that is not its own: as if that did not exist.
    let theirs = Api::cluster(world, id);
    let answer = ask(id, theirs.token()).await;
    assert!(matches!(answer.status, 401 | 404), "{answer:?}");
    // A token for one cluster opens no other, nor the cloud API.
    let made = world.json("hako cluster create theirs --type ENHANCED_CLUSTER --wait --output json");
    let own = made["id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&own, Api::cluster(world, &own).token()).await.status, 200);
    assert!(matches!(ask(&own, good).await.status, 401 | 404));
    assert!(matches!(ask(&own, theirs.token()).await.status, 401 | 403));
}
