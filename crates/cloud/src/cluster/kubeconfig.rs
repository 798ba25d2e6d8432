//! The kubeconfig that a cluster's users merge into theirs.

use super::Cluster;
use crate::{Config, Error, error::invalid, words::words};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

words! {
    /// Which of a cluster's endpoints a kubeconfig names. Source: `CreateClusterKubeconfigContentDetails.endpoint`.
    /// All but the last are the same place here: the gateway, with the cluster in the path.
    Endpoint {
        /// The default.
        Legacy = "LEGACY_KUBERNETES",
        /// The gateway, with the cluster in the path.
        Public = "PUBLIC_ENDPOINT",
        /// The gateway, with the cluster in the path.
        Private = "PRIVATE_ENDPOINT",
        /// The cluster's own host name.
        Hostname = "VCN_HOSTNAME",
    }

    /// The command that a kubeconfig's user gets tokens from.
    TokenCommand {
        /// `oci ce cluster generate-token`: a signed request.
        Oci = "oci",
        /// `hako cluster generate-token`: a JWT.
        Hako = "hako",
    }
}

impl TokenCommand {
    /// The version of the credential that the command prints, and the command's arguments.
    fn words<'a>(self, id: &'a str, region: &'a str) -> (&'static str, Vec<&'a str>) {
        let generate = ["cluster", "generate-token", "--cluster-id", id];
        match self {
            Self::Hako => ("v1", generate.to_vec()),
            Self::Oci => ("v1beta1", [&["ce"][..], &generate, &["--region", region]].concat()),
        }
    }
}

/// The server that a kubeconfig names.
pub(crate) fn server(cluster: &Cluster, endpoint: Endpoint, config: &Config) -> Result<String, Error> {
    let gateway = &config.gateway_url;
    match (endpoint, &config.host_names) {
        (Endpoint::Legacy | Endpoint::Public | Endpoint::Private, _) => {
            Ok(format!("{gateway}/clusters/{}", cluster.id))
        }
        (Endpoint::Hostname, Some(names)) => {
            // The port is the gateway's; a host of an URL has at most one colon behind its brackets.
            let host = gateway.trim_start_matches("https://");
            let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            Ok(format!("https://{}{port}", names.host(&cluster.id)))
        }
        (Endpoint::Hostname, None) => {
            Err(invalid("endpoint: this installation gives clusters no host names; use PUBLIC_ENDPOINT"))
        }
    }
}

/// A kubeconfig as YAML, whose user gets tokens from `command`. `ca_pem`: the CA that signed the server's certificate.
pub(crate) fn content(cluster: &Cluster, server: &str, ca_pem: &str, command: TokenCommand, region: &str) -> String {
    // Names tell clusters apart that have the same name; the context has the cluster's own.
    let short = cluster.id.unique().get(..11).unwrap_or_default();
    let (cluster_name, user_name) = (format!("cluster-{short}"), format!("user-{short}"));
    // JSON strings are YAML strings: no name can break out of its place.
    let text = |value: &str| json!(value).to_string();
    let (version, words) = command.words(cluster.id.as_str(), region);
    let words: String = words.iter().map(|word| format!("      - {word}\n")).collect();
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
{words}      env: []
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
        server = text(server),
        ca = STANDARD.encode(ca_pem),
        hint = text(&format!("Install the {command} command and put it into your PATH.")),
        context = text(&cluster.name),
    )
}
