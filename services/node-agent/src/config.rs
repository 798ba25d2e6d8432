//! Every knob of the agent: meaning, unit, default, reason.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// Configuration file of `hako-node-agent`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The host's id; equals the certificate's common name `host:<id>`.
    pub host_id: String,
    /// Control's fleet gRPC endpoint, `https://address:port`.
    pub control_endpoint: String,
    /// Billing's ledger gRPC endpoint, `https://address:port`.
    pub billing_endpoint: String,
    /// This host's certificate, key and the internal CA.
    pub identity: runtime::tls::Identity,
    /// containerd's CRI socket.
    pub containerd_socket: PathBuf,
    /// Everything the agent keeps: placements, volumes, logs, the usage journal. Must be on a disk that survives reboots.
    pub state_dir: PathBuf,
    /// `/livez`, `/readyz` and `/metrics`, plain HTTP.
    pub ops_listen: SocketAddr,
    /// Tenant networks.
    pub network: crate::network::Config,
    /// Labels the host registers with: `hako.dev/availability-domain`, `hako.dev/fault-domain`, and `hako.dev/shapes`, the
    /// shapes that it offers, with commas (`Standard3.Flex,Standard.E4.Flex`); without that all of its architecture.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Replaces what the machine reports; for several hosts on one machine, and for reserving room.
    #[serde(default)]
    pub capacity: CapacityOverride,
    /// RuntimeClass handlers that containerd is configured for here.
    #[serde(default = "default_runtimes")]
    pub runtimes: Vec<String>,
    /// Parent of all pod cgroups, as an absolute cgroupfs path.
    #[serde(default = "default_cgroup_root")]
    pub cgroup_root: String,
    /// Container log limits.
    #[serde(default)]
    pub logs: LogLimits,
    /// Image garbage collection.
    #[serde(default)]
    pub images: ImageLimits,
}

/// Capacity that the host offers instead of the machine's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CapacityOverride {
    /// Logical CPUs, in thousandths.
    pub cpu_milli: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Pods.
    pub pods: Option<u32>,
}

/// When a container's log file is rotated. Defaults are the kubelet's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogLimits {
    /// Size in bytes at which a log file is rotated.
    pub max_bytes: u64,
    /// Files kept per container, the current one included.
    pub max_files: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { max_bytes: 10 << 20, max_files: 5 }
    }
}

/// When unused images are removed. Defaults are the kubelet's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageLimits {
    /// Use of the image disk, in percent, above which unused images go, oldest use first.
    pub high_percent: u64,
    /// Use of the image disk, in percent, down to which they go.
    pub low_percent: u64,
    /// Never removed (the sandbox image), by reference.
    pub keep: Vec<String>,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self { high_percent: 85, low_percent: 80, keep: Vec::new() }
    }
}

fn default_runtimes() -> Vec<String> {
    vec!["runc".to_owned()]
}

fn default_cgroup_root() -> String {
    "/hako".to_owned()
}
