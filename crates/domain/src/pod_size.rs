//! The size rule of pods on virtual nodes: what a pod is given, and what it is charged for.
//! Source: Oracle's documents on virtual nodes, summarised in the project's facts of the model service: per container
//! the limit, else the request, else 0.125 OCPU and 0.5 GB; summed; plus 0.25 GB for proxy and runtime; at least
//! 0.125 OCPU and 0.5 GB; billed as whole OCPUs and whole GB (taken as GiB).

use crate::Quantity;

/// One GiB in bytes; the model service's "GB".
const GIB: u64 = 1 << 30;
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

/// What a pod asks for, before any rounding up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodSize {
    /// Thousandths of an OCPU.
    pub ocpu_milli: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// What a pod is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BilledSize {
    /// Whole OCPUs.
    pub ocpus: u64,
    /// Whole GB (GiB).
    pub memory_gb: u64,
}

impl PodSize {
    /// Rounds up to whole OCPUs and whole GB.
    #[must_use]
    pub fn billed(self) -> BilledSize {
        BilledSize { ocpus: self.ocpu_milli.div_ceil(1000), memory_gb: self.memory_bytes.div_ceil(GIB) }
    }
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
mod tests {
    use super::*;

    fn container(cpu: &str, memory: &str) -> ContainerSize {
        let quantity = |text: &str| (!text.is_empty()).then(|| Quantity::parse(text).unwrap());
        ContainerSize { cpu: quantity(cpu), memory: quantity(memory), sidecar: false }
    }

    /// Sizes as `ocpu milli / memory MiB → billed OCPU, billed GB`.
    #[track_caller]
    fn check(containers: &[(&str, &str)], init: &[(&str, &str, bool)], expect: &str) {
        let containers: Vec<_> = containers.iter().map(|(c, m)| container(c, m)).collect();
        let init: Vec<_> = init.iter().map(|(c, m, s)| ContainerSize { sidecar: *s, ..container(c, m) }).collect();
        let size = pod_size(&containers, &init, 2);
        let billed = size.billed();
        let mib = size.memory_bytes >> 20;
        assert_eq!(format!("{}/{mib} -> {},{}", size.ocpu_milli, billed.ocpus, billed.memory_gb), expect);
    }

    #[test]
    fn published_vectors() {
        check(&[("", "")], &[], "125/768 -> 1,1");
        check(&[("500m", "1Gi"), ("500m", "1Gi")], &[], "500/2304 -> 1,3");
        check(&[("2500m", "3Gi")], &[], "1250/3328 -> 2,4");
    }

    #[test]
    fn the_minimum_holds() {
        check(&[("10m", "1Mi")], &[], "125/512 -> 1,1");
    }

    #[test]
    fn init_containers_count_when_larger() {
        check(&[("1", "1Gi")], &[("4", "512Mi", false)], "2000/1280 -> 2,2");
        check(&[("1", "1Gi")], &[("1", "1Gi", true)], "1000/2304 -> 1,3");
        check(&[("1", "1Gi")], &[("1", "1Gi", true), ("4", "4Gi", false)], "2500/5376 -> 3,6");
    }
}
