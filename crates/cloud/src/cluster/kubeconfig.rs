//! The kubeconfig that a cluster's users merge into theirs.

use super::Cluster;
use crate::{Config, Error, error::invalid, words::words};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::USER_AGENT};
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
}

/// Which command gets tokens for the kubeconfig's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `hako cluster generate-token`.
    Hako,
    /// `oci ce cluster generate-token`, as OKE writes it.
    Oci,
}

impl Tool {
    /// The command that the caller has: who calls with OCI's SDKs or command has theirs.
    /// Source: their User-Agent, `Oracle-PythonSDK/2.1 (...)`, `Oracle-GoSDK/...`; the command adds `Oracle-PythonCLI/...`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        if agent.contains("Oracle-") || agent.contains("OracleCLI") { Self::Oci } else { Self::Hako }
    }

    fn words<'a>(self, id: &'a str, region: &'a str) -> (&'static str, Vec<&'a str>, &'static str) {
        let generate = ["cluster", "generate-token", "--cluster-id", id];
        match self {
            Self::Hako => ("hako", generate.to_vec(), "Install the hako command and put it into your PATH."),
            Self::Oci => {
                let words = [&["ce"][..], &generate, &["--region", region]].concat();
                ("oci", words, "Install the oci command (pip install oci-cli) and put it into your PATH.")
            }
        }
    }
}

/// The server that a kubeconfig names.
pub(crate) fn server(cluster: &Cluster, endpoint: Endpoint, config: &Config) -> Result<String, Error> {
    let gateway = &config.gateway_url;
    match (endpoint, &config.cluster_domain) {
        (Endpoint::Legacy | Endpoint::Public | Endpoint::Private, _) => {
            Ok(format!("{gateway}/clusters/{}", cluster.id))
        }
        (Endpoint::Hostname, Some(domain)) => {
            // The port is the gateway's; a host of an URL has at most one colon behind its brackets.
            let host = gateway.trim_start_matches("https://");
            let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            Ok(format!("https://{}.{domain}{port}", cluster.id.unique()))
        }
        (Endpoint::Hostname, None) => {
            Err(invalid("endpoint: this installation gives clusters no host names; use PUBLIC_ENDPOINT"))
        }
    }
}

/// A kubeconfig as YAML. `ca_pem`: the CA that signed the server's certificate.
pub(crate) fn content(cluster: &Cluster, server: &str, ca_pem: &str, tool: Tool, region: &str) -> String {
    // Names tell clusters apart that have the same name; the context has the cluster's own.
    let short = cluster.id.unique().get(..11).unwrap_or_default();
    let (cluster_name, user_name) = (format!("cluster-{short}"), format!("user-{short}"));
    // JSON strings are YAML strings: no name can break out of its place.
    let text = |value: &str| json!(value).to_string();
    let (command, words, hint) = tool.words(cluster.id.as_str(), region);
    let words: String = words.iter().map(|word| format!("      - {}\n", text(word))).collect();
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
      apiVersion: {version}
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
        // Source: what the command prints.
        version = match tool {
            Tool::Hako => "client.authentication.k8s.io/v1",
            Tool::Oci => "client.authentication.k8s.io/v1beta1",
        },
        hint = text(hint),
        context = text(&cluster.name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_calls_with_ocis_clients_gets_their_command() {
        let tool = |agent: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, agent.parse().unwrap());
            Tool::of(&headers)
        };
        assert_eq!(tool("Oracle-PythonSDK/2.189.0 (python 3.12.3; x86_64-Linux) Oracle-PythonCLI/3.95.1"), Tool::Oci);
        assert_eq!(tool("Oracle-GoSDK/65.1 (linux/amd64; go/go1.22)"), Tool::Oci);
        assert_eq!(tool("hako/0.0.0"), Tool::Hako);
        assert_eq!(Tool::of(&HeaderMap::new()), Tool::Hako);
        let (command, words, _) = Tool::Oci.words("ID", "local-1");
        assert_eq!(
            format!("{command} {}", words.join(" ")),
            "oci ce cluster generate-token --cluster-id ID --region local-1"
        );
    }
}
