//! The size rule of pods on virtual nodes: what a pod is given, and what it is charged for.
//! Source: Oracle's documents on virtual nodes, summarised in the project's facts of the model service: per container
//! the limit, else the request, else 0.125 OCPU and 0.5 GB; summed; plus 0.25 GB for proxy and runtime; at least
//! 0.125 OCPU and 0.5 GB; billed as whole OCPUs and whole GB (taken as GiB).

use crate::Quantity;
use serde_json::Value;
use std::fmt;

/// One GiB in bytes; the model service's "GB".
pub(crate) const GIB: u64 = 1 << 30;
/// What a container without requests and limits gets.
const DEFAULT_OCPU_MILLI: u64 = 125;
const DEFAULT_MEMORY_BYTES: u64 = GIB / 2;
/// What proxy and runtime take, per pod.
const OVERHEAD_MEMORY_BYTES: u64 = GIB / 4;

/// CPU and memory of one container, as its spec says.
#[derive(Debug, Clone, Default)]
pub struct ContainerSize {
    /// Limit, else request, of `cpu`.
    pub cpu: Option<Quantity>,
    /// Limit, else request, of `memory`, in bytes.
    pub memory: Option<Quantity>,
    /// An init container that runs before the others (false) or beside them (true: `restartPolicy: Always`).
    pub sidecar: bool,
}

/// What a pod asks for, before any rounding up. As text: `0.5 OCPU, 2.25 GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodSize {
    /// Thousandths of an OCPU.
    pub ocpu_milli: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// What a pod is charged for. As text: `1 OCPU, 3 GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BilledSize {
    /// Whole OCPUs.
    pub ocpus: u64,
    /// Whole GB (GiB).
    pub memory_gb: u64,
}

impl PodSize {
    /// The size of a pod, by its spec, where `cpus_per_ocpu` logical CPUs are one OCPU.
    #[must_use]
    pub fn of(pod: &Value, cpus_per_ocpu: u64) -> Self {
        pod_size(&containers(pod, "containers"), &containers(pod, "initContainers"), cpus_per_ocpu)
    }

    /// Rounds up to whole OCPUs and whole GB.
    #[must_use]
    pub fn billed(self) -> BilledSize {
        BilledSize { ocpus: self.ocpu_milli.div_ceil(1000), memory_gb: self.memory_bytes.div_ceil(GIB) }
    }
}

impl fmt::Display for PodSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thousandths = |value: u64| {
            let text = format!("{}.{:03}", value / 1000, value % 1000);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        // Rounded up: no size looks smaller than it is.
        let gb_milli = (u128::from(self.memory_bytes) * 1000).div_ceil(u128::from(GIB));
        let gb_milli = u64::try_from(gb_milli).unwrap_or(u64::MAX);
        write!(f, "{} OCPU, {} GB", thousandths(self.ocpu_milli), thousandths(gb_milli))
    }
}

impl fmt::Display for BilledSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} OCPU, {} GB", self.ocpus, self.memory_gb)
    }
}

fn containers(pod: &Value, list: &str) -> Vec<ContainerSize> {
    let all = pod["spec"][list].as_array().into_iter().flatten();
    all.map(|container| ContainerSize {
        cpu: quantity(container, "cpu"),
        memory: quantity(container, "memory"),
        sidecar: container["restartPolicy"] == "Always",
    })
    .collect()
}

fn quantity(container: &Value, resource: &str) -> Option<Quantity> {
    let of = |kind: &str| {
        let text = match &container["resources"][kind][resource] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Quantity::parse(&text).ok()
    };
    of("limits").or_else(|| of("requests"))
}

/// The size of a pod on a shape with `cpus_per_ocpu` logical CPUs in one OCPU (2 on x86, 1 on Arm).
/// Init containers follow Kubernetes' rule: the larger of the largest init container and the sum, sidecars added to both.
#[must_use]
pub fn pod_size(containers: &[ContainerSize], init: &[ContainerSize], cpus_per_ocpu: u64) -> PodSize {
    let size = |c: &ContainerSize| {
        let ocpu = c.cpu.map_or(DEFAULT_OCPU_MILLI, |cpu| cpu.milli().div_ceil(cpus_per_ocpu.max(1)));
        (ocpu, c.memory.map_or(DEFAULT_MEMORY_BYTES, Quantity::units))
    };
    let add = |a: (u64, u64), b: (u64, u64)| (a.0.saturating_add(b.0), a.1.saturating_add(b.1));
    let mut sidecars = (0, 0);
    let mut largest_init = (0, 0);
    for container in init {
        let own = size(container);
        if container.sidecar {
            sidecars = add(sidecars, own);
        }
        let now = if container.sidecar { sidecars } else { add(sidecars, own) };
        largest_init = (largest_init.0.max(now.0), largest_init.1.max(now.1));
    }
    let running = containers.iter().map(size).fold(sidecars, add);
    PodSize {
        ocpu_milli: running.0.max(largest_init.0).max(DEFAULT_OCPU_MILLI),
        memory_bytes: running.1.max(largest_init.1).saturating_add(OVERHEAD_MEMORY_BYTES).max(DEFAULT_MEMORY_BYTES),
    }
}

#[cfg(test)]
mod tests;
