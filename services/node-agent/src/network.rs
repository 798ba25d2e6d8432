//! Tenant networks of this host: one router namespace per network, the pods' addresses, and the CNI plugin's other end.

use std::path::PathBuf;

use serde::Deserialize;

/// What the network part needs to know of the host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Unix socket on which `hako-cni` asks for a sandbox's address.
    pub cni_socket: PathBuf,
    /// Address by which other hosts reach this one (VXLAN underlay), IPv4.
    pub underlay_address: std::net::Ipv4Addr,
}

/// All tenant networks on this host.
pub struct Network {}

impl Network {
    /// Opens the CNI socket and adopts the networks that an earlier agent left.
    pub async fn new(config: Config) -> anyhow::Result<Self> {
        let _ = config;
        Ok(Self {})
    }

    /// Makes the host's side of `network` as described; older generations are ignored.
    pub async fn apply(&self, network: proto::fleet::Network) -> anyhow::Result<()> {
        let _ = network;
        Ok(())
    }

    /// Takes the network away; no pod of it is left here.
    pub async fn remove(&self, id: &str) -> anyhow::Result<()> {
        let _ = id;
        Ok(())
    }

    /// Notes the address a pod's sandbox will ask for through CNI. Called before RunPodSandbox; safe to repeat.
    pub async fn expect(&self, pod_uid: &str, attachment: proto::fleet::Attachment) -> anyhow::Result<()> {
        let _ = (pod_uid, attachment);
        Ok(())
    }

    /// The pod is gone from this host; safe to repeat.
    pub async fn forget(&self, pod_uid: &str) {
        let _ = pod_uid;
    }
}
