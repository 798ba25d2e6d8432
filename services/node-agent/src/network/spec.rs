//! A tenant network as this host knows it, checked, and the files in which the agent remembers what it was told.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use anyhow::Context;
use ipnet::Ipv4Net;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One tenant network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TenantNetwork {
    pub(crate) id: String,
    pub(crate) generation: u64,
    /// VXLAN network identifier; unique among all tenants.
    pub(crate) vni: u32,
    pub(crate) pod_cidr: Ipv4Net,
    pub(crate) service_cidr: Option<Ipv4Net>,
    /// Pods on other hosts: address → underlay address of the host.
    pub(crate) remote: BTreeMap<Ipv4Addr, Ipv4Addr>,
    /// The address of the `kubernetes` Service, and what is behind it.
    pub(crate) api: Option<(SocketAddrV4, SocketAddrV4)>,
    /// Further ranges of pods and Services: several clusters and subnets may share the network.
    #[serde(default)]
    pub(crate) more_ranges: Vec<Ipv4Net>,
    /// Further addresses of `kubernetes` Services, with the same behind them.
    #[serde(default)]
    pub(crate) more_apis: Vec<SocketAddrV4>,
    /// Number of the network on this host, from which its uplink's addresses are made.
    #[serde(default)]
    pub(crate) slot: u16,
}

/// The address that a pod was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expectation {
    pub(crate) pod_uid: String,
    pub(crate) network_id: String,
    pub(crate) address: Ipv4Addr,
}

/// A sandbox that is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attached {
    pub(crate) container_id: String,
    pub(crate) pod_uid: String,
    pub(crate) network_id: String,
    pub(crate) address: Ipv4Addr,
    /// Path of the sandbox's network namespace.
    pub(crate) netns: PathBuf,
    /// Name of the interface inside.
    pub(crate) interface: String,
}

impl TenantNetwork {
    /// Checks what control sent. Remote pods that make no sense are an error too: a router never guesses.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub(crate) fn parse(message: &proto::fleet::Network) -> anyhow::Result<Self> {
        anyhow::ensure!(is_safe(&message.id), "network id {:?} is empty or not plain", message.id);
        anyhow::ensure!((1..1 << 24).contains(&message.vni), "VNI {} is not in 1..16777216", message.vni);
        let net = |name: &str, text: &str| {
            text.parse::<Ipv4Net>().map(|net| net.trunc()).with_context(|| format!("{name} {text:?} is no IPv4 range"))
        };
        let ip = |text: &str| text.parse::<Ipv4Addr>().with_context(|| format!("{text:?} is no IPv4 address"));
        let mut remote = BTreeMap::new();
        for pod in &message.remote_pods {
            remote.insert(ip(&pod.address)?, ip(&pod.host_address)?);
        }
        let endpoint =
            |text: &str| text.parse::<SocketAddrV4>().with_context(|| format!("{text:?} is no IPv4 address and port"));
        let api = match (message.api_service_address.as_str(), message.api_backend_address.as_str()) {
            ("", _) | (_, "") => None,
            (service, backend) => Some((endpoint(service)?, endpoint(backend)?)),
        };
        let service = Some(message.service_cidr.as_str()).filter(|text| !text.is_empty());
        Ok(Self {
            id: message.id.clone(),
            generation: message.generation,
            vni: message.vni,
            pod_cidr: net("pod_cidr", &message.pod_cidr)?,
            service_cidr: service.map(|text| net("service_cidr", text)).transpose()?,
            remote,
            api,
            more_ranges: message.more_cidrs.iter().map(|text| net("more_cidrs", text)).collect::<Result<_, _>>()?,
            more_apis: message
                .more_api_service_addresses
                .iter()
                .map(|text| endpoint(text))
                .collect::<Result<_, _>>()?,
            slot: 0,
        })
    }

    /// All ranges of pods and Services: nothing that is sent there leaves the network.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Ipv4Net> {
        [Some(self.pod_cidr), self.service_cidr].into_iter().flatten().chain(self.more_ranges.iter().copied())
    }

    /// What is behind the `kubernetes` Services, and all their addresses.
    pub(crate) fn apis(&self) -> Option<(SocketAddrV4, impl Iterator<Item = SocketAddrV4>)> {
        let (first, backend) = self.api?;
        Some((backend, [first].into_iter().chain(self.more_apis.iter().copied())))
    }
}

impl Expectation {
    /// Checks what control leased.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub(crate) fn parse(pod_uid: &str, attachment: &proto::fleet::Attachment) -> anyhow::Result<Self> {
        anyhow::ensure!(is_safe(pod_uid), "pod uid {pod_uid:?} is empty or not plain");
        let address = &attachment.address;
        Ok(Self {
            pod_uid: pod_uid.to_owned(),
            network_id: attachment.network_id.clone(),
            address: address.parse().with_context(|| format!("pod address {address:?} is no IPv4 address"))?,
        })
    }
}

/// True for a text that can be a file's name: ids of pods, containers and networks are.
pub(crate) fn is_safe(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && text.len() <= 200 && !text.starts_with('.') && text.chars().all(plain)
}

/// A directory of JSON files, one per key, each written whole or not at all.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
}

impl Files {
    /// Opens the directory, making it if it is missing.
    pub(crate) fn open(dir: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&dir).with_context(|| format!("can't create {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// Writes one. Not fsynced: after a crash of the machine the namespaces are gone too, and control sends all again.
    pub(crate) fn put<T: Serialize>(&self, key: &str, value: &T) -> anyhow::Result<()> {
        let (path, draft) = (self.path(key), self.dir.join(format!(".{key}")));
        let text = serde_json::to_vec(value).context("can't write a record as JSON")?;
        let written = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &path));
        written.with_context(|| format!("can't write {}", path.display()))
    }

    /// Reads one.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        read(&self.path(key))
    }

    /// Deletes one; nothing happens if there is none.
    pub(crate) fn delete(&self, key: &str) -> anyhow::Result<()> {
        match std::fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("can't delete {}", self.path(key).display()))
            }
            _ => Ok(()),
        }
    }

    /// Reads all that can be read; a torn file is as good as none.
    pub(crate) fn all<T: DeserializeOwned>(&self) -> anyhow::Result<Vec<T>> {
        let entries = std::fs::read_dir(&self.dir).with_context(|| format!("can't read {}", self.dir.display()))?;
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        Ok(paths.filter(|path| path.extension().is_some_and(|e| e == "json")).filter_map(|path| read(&path)).collect())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.join(format!("{key}.json"))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> proto::fleet::Network {
        proto::fleet::Network {
            id: "ocid1.cluster.hako.local-1.abc".into(),
            generation: 3,
            vni: 7,
            pod_cidr: "10.244.1.0/16".into(),
            service_cidr: "10.96.0.0/16".into(),
            remote_pods: vec![proto::fleet::RemotePod {
                address: "10.244.0.9".into(),
                host_address: "172.30.0.3".into(),
            }],
            api_service_address: "10.96.0.1:443".into(),
            api_backend_address: "172.30.0.1:6443".into(),
            more_cidrs: vec!["10.0.1.0/24".into()],
            more_api_service_addresses: vec!["10.97.0.1:443".into()],
        }
    }

    #[test]
    fn what_control_sends_is_read() {
        let network = TenantNetwork::parse(&message()).unwrap();
        assert_eq!(network.pod_cidr.to_string(), "10.244.0.0/16");
        assert_eq!(network.api.unwrap().1.to_string(), "172.30.0.1:6443");
        assert_eq!(network.remote.len(), 1);
        assert_eq!(network.ranges().count(), 3);
        let (backend, addresses) = network.apis().unwrap();
        assert_eq!((backend.to_string(), addresses.count()), ("172.30.0.1:6443".into(), 2));
    }

    #[test]
    fn a_record_of_before_is_read() {
        let mut record = serde_json::to_value(TenantNetwork::parse(&message()).unwrap()).unwrap();
        for new in ["more_ranges", "more_apis"] {
            record.as_object_mut().unwrap().remove(new);
        }
        let network: TenantNetwork = serde_json::from_value(record).unwrap();
        assert_eq!((network.ranges().count(), network.apis().unwrap().1.count()), (2, 1));
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |change: fn(&mut proto::fleet::Network)| {
            let mut message = message();
            change(&mut message);
            TenantNetwork::parse(&message).unwrap_err().to_string()
        };
        assert!(refused(|m| m.vni = 0).contains("VNI 0"));
        assert!(refused(|m| m.id = "../x".into()).contains("network id"));
        assert!(refused(|m| m.pod_cidr = "10.0.0.0/33".into()).contains("pod_cidr"));
        assert!(refused(|m| m.remote_pods[0].address = "fe80::1".into()).contains("fe80::1"));
        assert!(refused(|m| m.api_backend_address = "control:1".into()).contains("control:1"));
        assert!(refused(|m| m.more_cidrs[0] = "x".into()).contains("more_cidrs"));
    }
}
