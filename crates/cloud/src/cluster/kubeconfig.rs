//! The kubeconfig that a cluster's users merge into theirs.

use super::Cluster;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

/// A kubeconfig as YAML, whose user gets tokens from `hako cluster generate-token`.
///
/// `gateway`: the public URL without a slash at its end; `ca_pem`: the CA that signed its certificate.
pub(crate) fn content(cluster: &Cluster, gateway: &str, ca_pem: &str) -> String {
    // Names tell clusters apart that have the same name; the context has the cluster's own.
    let short = cluster.id.unique().get(..11).unwrap_or_default();
    let (cluster_name, user_name) = (format!("cluster-{short}"), format!("user-{short}"));
    // JSON strings are YAML strings: no name can break out of its place.
    let text = |value: &str| json!(value).to_string();
    format!(
        r#"---
apiVersion: v1
kind: Config
clusters:
- name: {cluster_name}
  cluster:
    server: {server}
    certificate-authority-data: {ca}
users:
- name: {user_name}
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: hako
      args:
      - cluster
      - generate-token
      - --cluster-id
      - {id}
      env: []
      interactiveMode: Never
      provideClusterInfo: false
      installHint: {hint}
contexts:
- name: {context}
  context:
    cluster: {cluster_name}
    user: {user_name}
current-context: {context}
"#,
        server = text(&format!("{gateway}/clusters/{}", cluster.id)),
        ca = STANDARD.encode(ca_pem),
        id = cluster.id,
        hint = text("Install the hako command and put it into your PATH."),
        context = text(&cluster.name),
    )
}
