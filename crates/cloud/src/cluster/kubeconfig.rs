//! The kubeconfig that a cluster's users merge into theirs.

use super::Cluster;
use crate::{Config, words::words};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

words! {
    /// The command that a kubeconfig's user gets tokens from.
    TokenCommand {
        /// `oci ce cluster generate-token`: a signed request.
        Oci = "oci",
        /// `hako cluster generate-token`: a JWT.
        Hako = "hako",
    }
}

/// A kubeconfig as YAML, whose user gets tokens from `command`.
pub(crate) fn content(cluster: &Cluster, config: &Config, command: TokenCommand) -> String {
    // Names tell clusters apart that have the same name; the context has the cluster's own.
    let short = cluster.id.unique().get(..11).unwrap_or_default();
    let (cluster_name, user_name) = (format!("cluster-{short}"), format!("user-{short}"));
    // JSON strings are YAML strings: no name can break out of its place.
    let text = |value: &str| json!(value).to_string();
    // The version is that of the credential which the command prints.
    let (version, mut arguments) = match command {
        TokenCommand::Oci => ("v1beta1", vec!["ce", "cluster", "generate-token", "--cluster-id", cluster.id.as_str()]),
        TokenCommand::Hako => ("v1", vec!["cluster", "generate-token", "--cluster-id", cluster.id.as_str()]),
    };
    if command == TokenCommand::Oci {
        arguments.extend(["--region", &config.region]);
    }
    let arguments: Vec<String> = arguments.iter().map(|word| format!("      - {word}")).collect();
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
      apiVersion: client.authentication.k8s.io/{version}
      command: {command}
      args:
{arguments}
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
        server = text(&format!("{}/clusters/{}", config.gateway_url, cluster.id)),
        ca = STANDARD.encode(&config.gateway_ca_pem),
        arguments = arguments.join("\n"),
        hint = text(&format!("Install the {command} command and put it into your PATH.")),
        context = text(&cluster.name),
    )
}
