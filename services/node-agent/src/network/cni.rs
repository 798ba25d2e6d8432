//! The two ends of the CNI hook: `hako-cni`, which containerd starts for each sandbox, and the agent's socket that it
//! asks. One JSON line each way.
//! Source: CNI specification 1.0.0 (results, error codes, environment).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::plan::pod_mac;
use super::rules::GATEWAY;

/// CNI versions that the plugin speaks.
pub const VERSIONS: [&str; 3] = ["0.3.1", "0.4.0", "1.0.0"];
/// Name of the plugin's binary in containerd's CNI binary directory.
pub const PLUGIN: &str = "hako-cni";
/// Time that the plugin waits for the agent; longer than the agent waits for control to tell of the pod.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// CNI error: a required environment variable is missing or wrong.
pub const INVALID_ENVIRONMENT: u32 = 4;
/// CNI error: the plugin can't read its input.
pub const IO_FAILURE: u32 = 5;
/// CNI error: the configuration is malformed.
pub const DECODING_FAILURE: u32 = 6;
/// CNI error: the configuration is wrong.
pub const INVALID_CONFIG: u32 = 7;
/// CNI error: try again later.
pub const TRY_AGAIN: u32 = 11;
/// Our own error: the agent could not do it.
pub const FAILED: u32 = 100;

/// The network configuration list for containerd's `conf_dir`, naming the agent's socket.
#[must_use]
pub fn conflist(socket: &Path) -> String {
    let list = json!({
        "cniVersion": "1.0.0",
        "name": "hako",
        "plugins": [{"type": PLUGIN, "socket": socket}],
    });
    serde_json::to_string_pretty(&list).expect("a JSON value serialises")
}

/// What `hako-cni` asks of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// `ADD`, `DEL` or `CHECK`.
    pub command: String,
    /// The sandbox.
    pub container_id: String,
    /// Uid of its pod; empty if containerd did not say.
    pub pod_uid: String,
    /// Path of the sandbox's network namespace, by which it is known.
    pub netns: PathBuf,
    /// Path by which the agent can open it, also from another mount namespace.
    pub open: PathBuf,
    /// Name of the interface to make inside.
    pub interface: String,
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Response {
    /// Done; for ADD with the pod's address.
    Done {
        /// The pod's address.
        address: Option<Ipv4Addr>,
    },
    /// Not done.
    Failed {
        /// CNI error code.
        code: u32,
        /// What went wrong, for the operator.
        message: String,
    },
}

/// The CNI result of an ADD in the form of `version`.
#[must_use]
pub fn result(version: &str, request: &Request, address: Ipv4Addr) -> Value {
    let mac = pod_mac(address).map(|byte| format!("{byte:02x}")).join(":");
    let mut ip = json!({"interface": 0, "address": format!("{address}/32"), "gateway": GATEWAY});
    if version != "1.0.0" {
        ip["version"] = json!("4");
    }
    json!({
        "cniVersion": version,
        "interfaces": [{"name": request.interface, "mac": mac, "sandbox": request.netns}],
        "ips": [ip],
        "routes": [{"dst": "0.0.0.0/0", "gw": GATEWAY}],
        "dns": {},
    })
}

/// A CNI error as a plugin prints it.
#[must_use]
pub fn error(version: &str, code: u32, message: &str) -> Value {
    json!({"cniVersion": version, "code": code, "msg": message})
}

/// The pairs in `CNI_ARGS` (`K=V;K=V`).
#[must_use]
pub fn arguments(text: &str) -> BTreeMap<&str, &str> {
    text.split(';').filter_map(|pair| pair.split_once('=')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            command: "ADD".into(),
            container_id: "c1".into(),
            pod_uid: "u1".into(),
            netns: "/run/netns/x".into(),
            open: "/proc/1/fd/3".into(),
            interface: "eth0".into(),
        }
    }

    #[test]
    fn a_result_has_the_form_of_its_version() {
        let address = Ipv4Addr::new(10, 244, 0, 5);
        let new = result("1.0.0", &request(), address);
        assert_eq!(new["ips"][0]["address"], "10.244.0.5/32");
        assert_eq!(new["interfaces"][0]["mac"], "02:70:0a:f4:00:05");
        assert_eq!(new["ips"][0].get("version"), None);
        assert_eq!(result("0.4.0", &request(), address)["ips"][0]["version"], "4");
    }

    #[test]
    fn arguments_are_pairs() {
        let found = arguments("IgnoreUnknown=1;K8S_POD_NAMESPACE=a:b;K8S_POD_UID=u-1");
        assert_eq!(found.get("K8S_POD_UID"), Some(&"u-1"));
        assert_eq!(arguments("").len(), 0);
    }

    #[test]
    fn the_list_names_plugin_and_socket() {
        let list: Value = serde_json::from_str(&conflist(Path::new("/run/a.sock"))).unwrap();
        assert_eq!(list["plugins"][0]["type"], "hako-cni");
        assert_eq!(list["plugins"][0]["socket"], "/run/a.sock");
    }
}
