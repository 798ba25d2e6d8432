//! Real kubectl, oldest and newest that we serve.

use crate::world::World;
use std::time::Duration;

const VERSIONS: [&str; 2] = ["1.33", "1.37"];

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: 'web:1', ports: [{containerPort: 80}]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_does_its_daily_work() {
    for version in VERSIONS {
        let world = World::new("daily").await;
        let run = async |line: &str, input: &str| world.kubectl(version, line, input).await;
        assert!(run("version", "").await.contains("Server Version: v1.36.0+hako"));
        assert_eq!(run("apply -f -", WEB).await, "deployment.apps/web created\n");
        assert_eq!(run("apply -f -", WEB).await, "deployment.apps/web unchanged\n");
        let changed = WEB.replace("web:1", "web:2").replace("replicas: 2", "replicas: 3");
        let (same, diff, _) = world.try_kubectl(version, "diff -f -", &changed).await;
        assert!(!same && diff.contains("+      - image: web:2") && !diff.contains("resourceVersion: \"-"), "{diff}");
        assert_eq!(run("apply -f -", &changed).await, "deployment.apps/web configured\n");
        assert_eq!(run("scale deploy/web --replicas=5", "").await, "deployment.apps/web scaled\n");
        assert_eq!(run("label deploy/web tier=x", "").await, "deployment.apps/web labeled\n");
        assert_eq!(run("annotate deploy/web note=y", "").await, "deployment.apps/web annotated\n");
        assert_eq!(run("set image deploy/web web=web:3", "").await, "deployment.apps/web image updated\n");
        let patch =
            r#"patch deploy/web -p {"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s"}]}}}}"#;
        assert_eq!(run(patch, "").await, "deployment.apps/web patched\n");
        let images = "get deploy web -o jsonpath={.spec.template.spec.containers[*].image},{.spec.replicas}";
        let mut found: Vec<String> = run(images, "").await.split([' ', ',']).map(str::to_owned).collect();
        found.sort();
        assert_eq!(found, ["5", "s", "web:3"]);
        let table = run("get deploy web", "").await;
        assert!(table.starts_with("NAME") && table.contains("\nweb "), "{table}");
        assert!(run("get all -A -o wide", "").await.contains("service/kubernetes"));
        assert!(run("explain pod.spec.containers.image", "").await.contains("Container image name"));
        assert!(run("rollout history deploy/web", "").await.contains("deployment.apps/web"));
        assert!(run("describe deploy web", "").await.contains("web:3"));
        assert!(run("auth whoami", "").await.contains("hako.dev/user-name"));
        assert_eq!(run("auth can-i create pods", "").await, "yes\n");
        assert!(run("create token default", "").await.starts_with("ey"));
        assert!(run("delete deploy web", "").await.starts_with("deployment.apps \"web\" deleted"));
        assert_eq!(run("get deploy", "").await, "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_says_what_is_wrong() {
    let world = World::new("errors").await;
    for version in VERSIONS {
        let fail = async |line: &str, input: &str, expect: &str| {
            let (ok, out, err) = world.try_kubectl(version, line, input).await;
            assert!(!ok && err.contains(expect), "kubectl {line}\n{out}{err}\nexpected: {expect}");
        };
        fail("get pod nope", "", "Error from server (NotFound): pods \"nope\" not found").await;
        fail(
            "delete ns default",
            "",
            "(Forbidden): namespaces \"default\" is forbidden: this namespace may not be deleted",
        )
        .await;
        fail("create cm x -n nope", "", "namespaces \"nope\" not found").await;
        let unknown = "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, foo: 1}";
        fail("apply -f -", unknown, "unknown field \"foo\"").await;
        let kind = "{apiVersion: v1, kind: Nope, metadata: {name: x}}";
        fail("apply -f -", kind, "no matches for kind \"Nope\" in version \"v1\"").await;
        fail(
            "apply -f -",
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: Bad_Name}}",
            "is invalid: metadata.name",
        )
        .await;
        fail("get pods --field-selector a=b", "", "field label not supported: a").await;
        fail("apply --server-side -f -", WEB, "erver-side apply").await;
        fail("logs nope", "", "pods \"nope\" not found").await;
        fail("create token nope", "", "serviceaccounts \"nope\" not found").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_waits_and_watches() {
    for version in VERSIONS {
        let world = World::new("waits").await;
        world.kubectl(version, "create configmap a --from-literal=k=1", "").await;
        let wait = world.kubectl(version, "wait --for=jsonpath={.data.k}=2 cm/a --timeout=30s", "");
        let watch = world.try_kubectl(version, "get cm -w --request-timeout=4s", "");
        let change = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let merge = "application/merge-patch+json";
            let path = "/api/v1/namespaces/default/configmaps/a";
            world.patch(path, merge, &serde_json::json!({"data": {"k": "2"}})).await;
        };
        let (waited, (_, watched, _), ()) = tokio::join!(wait, watch, change);
        assert_eq!(waited, "configmap/a condition met\n");
        let lines = watched.lines().filter(|line| line.starts_with("a ")).count();
        assert!(lines >= 2, "{watched}");
        let gone = world.kubectl(version, "wait --for=delete cm/a --timeout=30s", "");
        let delete = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.delete("/api/v1/namespaces/default/configmaps/a").await;
        };
        assert!(tokio::join!(gone, delete).0.contains("condition met"));
    }
}
