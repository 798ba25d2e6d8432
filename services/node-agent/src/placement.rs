//! What control asked for: one pod, with everything its environment and volumes read.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use prost::Message;
use proto::fleet::input::Kind;
use proto::fleet::{Input, Placement};

use crate::pod::check::{self, Check};

/// A placement, parsed.
#[derive(Debug, Clone)]
pub struct Desired {
    /// As received, without `inputs` and `pod`.
    pub placement: Placement,
    /// The pod.
    pub pod: Pod,
    /// What the pod reads.
    pub inputs: Inputs,
    /// Its health checks beside its probes.
    pub checks: Vec<Check>,
    /// When this host first heard of it, Unix milliseconds: the pod's `startTime`.
    pub accepted_ms: i64,
    /// Set once it must go.
    pub removal: Option<Removal>,
    /// False while secret inputs are missing after a reboot: nothing new may start until control sends them again.
    pub complete: bool,
}

/// How a pod must go.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Removal {
    /// Seconds between SIGTERM and SIGKILL.
    #[prost(uint32, tag = "1")]
    pub grace_seconds: u32,
    /// It runs elsewhere already: stop at once.
    #[prost(bool, tag = "2")]
    pub moved: bool,
    /// When this was heard, Unix milliseconds.
    #[prost(int64, tag = "3")]
    pub since_ms: i64,
}

/// Objects a pod reads. A missing entry and an `absent` input are the same: the object does not exist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inputs {
    /// ConfigMaps by name, for volumes.
    pub config_maps: HashMap<String, BTreeMap<String, Bytes>>,
    /// The same without their `binaryData`, which the kubelet keeps out of environments.
    pub config_texts: HashMap<String, BTreeMap<String, Bytes>>,
    /// Secrets by name.
    pub secrets: HashMap<String, BTreeMap<String, Bytes>>,
    /// Service-account tokens by "volume/path".
    pub tokens: HashMap<String, Bytes>,
    /// Pull secrets by name: the docker config, and whether it is of the older form (`.dockercfg`).
    pub pull_secrets: Vec<(Bytes, bool)>,
}

impl Inputs {
    /// Sorts what control sent by kind.
    pub fn new(inputs: &[Input]) -> Self {
        let mut all = Self::default();
        for input in inputs.iter().filter(|i| !i.absent) {
            let data = || input.data.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            match input.kind() {
                Kind::ConfigMap => {
                    let mut texts: BTreeMap<String, Bytes> = data();
                    texts.retain(|key, _| !input.binary_keys.contains(key));
                    all.config_texts.insert(input.name.clone(), texts);
                    all.config_maps.insert(input.name.clone(), data());
                }
                Kind::Secret => _ = all.secrets.insert(input.name.clone(), data()),
                Kind::Token => {
                    let token = input.data.get("token").cloned().unwrap_or_default();
                    all.tokens.insert(input.name.clone(), token);
                }
                Kind::PullSecret => {
                    for (key, old) in [(".dockerconfigjson", false), (".dockercfg", true)] {
                        all.pull_secrets.extend(input.data.get(key).map(|config| (config.clone(), old)));
                    }
                }
                Kind::Unspecified => {}
            }
        }
        all
    }
}

/// Whether an input may only lie on a tmpfs.
pub fn is_secret(input: &Input) -> bool {
    !matches!(input.kind(), Kind::ConfigMap | Kind::Unspecified)
}

impl Desired {
    /// Parses a placement.
    ///
    /// # Errors
    /// If the pod is not a pod.
    pub fn parse(mut placement: Placement, accepted_ms: i64) -> Result<Self, serde_json::Error> {
        let pod: Pod = serde_json::from_slice(&placement.pod)?;
        let inputs = Inputs::new(&placement.inputs);
        let checks = check::read(&pod)?;
        placement.pod = Bytes::new();
        placement.inputs = Vec::new();
        Ok(Self { placement, pod, inputs, checks, accepted_ms, removal: None, complete: true })
    }

    /// The pod's uid.
    pub fn uid(&self) -> &str {
        &self.placement.uid
    }

    /// The pod's spec; empty if it has none.
    pub fn spec(&self) -> &PodSpec {
        static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.pod.spec.as_ref().unwrap_or(&EMPTY)
    }

    /// The container or init container named `name`.
    pub fn container(&self, name: &str) -> Option<&Container> {
        all_containers(self.spec()).find(|c| c.name == name)
    }

    /// Seconds between SIGTERM and SIGKILL when nobody says otherwise.
    pub fn grace_seconds(&self) -> u32 {
        self.spec().termination_grace_period_seconds.map_or(30, |s| u32::try_from(s.max(0)).unwrap_or(u32::MAX))
    }
}

/// Init containers, then containers.
pub fn all_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

/// Whether an init container is a sidecar: it runs beside the containers and restarts by itself.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}
