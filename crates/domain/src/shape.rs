//! Shapes: kinds of processor that pods and container instances run on, and how much of one each may have. The one table
//! for the size rule, the catalogue, the fleet's choice of hosts and the names on bills.

use crate::pod_size::{GIB, PodSize};

/// Prefix of a shape's name when pods of virtual nodes run on it.
const PODS: &str = "Pod.";
/// Prefix of a shape's name when container instances run on it.
const INSTANCES: &str = "CI.";
/// Bandwidth of an OCPU, and of the largest pod. Source: OCI, "Network 1 Gbps per OCPU (1 to 40)".
pub const MAX_GBPS: u64 = 40;

/// A kind of processor, and what of it there is at most for one pod or container instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Name without prefix, as in the label [`SHAPES_LABEL`].
    pub series: &'static str,
    /// Name when pods of virtual nodes run on it.
    pub pod_name: &'static str,
    /// What it is, for people.
    pub processor: &'static str,
    /// Value of the label `kubernetes.io/arch`.
    pub architecture: &'static str,
    /// Most whole OCPUs.
    pub max_ocpus: u64,
    /// Most whole GB (GiB) of memory.
    pub max_memory_gb: u64,
    /// GB of memory that come with an OCPU if none are named: for container instances.
    pub default_gb_per_ocpu: u64,
}

/// All shapes; the first is the default.
/// Source: OCI's documentation, "Container Instances Shapes" and "Compute Shapes": 1 to 64 OCPU and up to 1024 GB on AMD,
/// 32 and 512 on Intel, 76 and 488 on Arm.
pub const SHAPES: &[Shape] = &[
    Shape {
        series: "Standard.E4.Flex",
        pod_name: "Pod.Standard.E4.Flex",
        processor: "2.55 GHz AMD EPYC 7J13 (Milan), or what the host has",
        architecture: "amd64",
        max_ocpus: 64,
        max_memory_gb: 1024,
        default_gb_per_ocpu: 16,
    },
    Shape {
        series: "Standard.E3.Flex",
        pod_name: "Pod.Standard.E3.Flex",
        processor: "2.25 GHz AMD EPYC 7742 (Rome), or what the host has",
        architecture: "amd64",
        max_ocpus: 64,
        max_memory_gb: 1024,
        default_gb_per_ocpu: 16,
    },
    Shape {
        series: "Standard3.Flex",
        pod_name: "Pod.Standard3.Flex",
        processor: "2.6 GHz Intel Xeon Platinum 8358 (Ice Lake), or what the host has",
        architecture: "amd64",
        max_ocpus: 32,
        max_memory_gb: 512,
        default_gb_per_ocpu: 16,
    },
    Shape {
        series: "Standard.A1.Flex",
        pod_name: "Pod.Standard.A1.Flex",
        processor: "3.0 GHz Ampere Altra (Arm), or what the host has",
        architecture: "arm64",
        max_ocpus: 76,
        max_memory_gb: 488,
        default_gb_per_ocpu: 6,
    },
];

/// Label of a host: names of the shapes that it offers, with commas; without it a host offers all of its architecture.
/// It counts even against the architecture: what a shape promises is its operator's word.
pub const SHAPES_LABEL: &str = "hako.dev/shapes";

/// Logical CPUs in one OCPU. Source: an OCPU is a core, with two threads on x86 and one on Arm.
#[must_use]
pub fn cpus_per_ocpu(architecture: &str) -> u64 {
    if architecture == "arm64" { 1 } else { 2 }
}

/// The shape of a name, with or without a prefix.
#[must_use]
pub fn shape(name: &str) -> Option<&'static Shape> {
    let series = name.strip_prefix(PODS).or_else(|| name.strip_prefix(INSTANCES)).unwrap_or(name);
    SHAPES.iter().find(|shape| shape.series == series)
}

/// Whether a host offers a shape. A shape that nobody knows, or none, is offered by all.
#[must_use]
pub fn offers(architecture: &str, label: Option<&str>, wanted: &str) -> bool {
    let Some(wanted) = shape(wanted) else { return true };
    match label {
        Some(list) => list.split(',').filter_map(|name| shape(name.trim())).any(|offered| offered == wanted),
        None => wanted.architecture == architecture,
    }
}

impl Shape {
    /// Logical CPUs in one OCPU.
    #[must_use]
    pub fn cpus_per_ocpu(&self) -> u64 {
        cpus_per_ocpu(self.architecture)
    }

    /// Why a pod of this size can't run on the shape; `None` if it can.
    #[must_use]
    pub fn refusal(&self, size: PodSize) -> Option<String> {
        let fits = size.ocpu_milli <= self.max_ocpus * 1000 && size.memory_bytes <= self.max_memory_gb * GIB;
        (!fits).then(|| {
            format!(
                "the pod asks for {size}; {} has {} OCPU and {} GB at most",
                self.pod_name, self.max_ocpus, self.max_memory_gb
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_found_by_all_its_names() {
        for entry in SHAPES {
            assert_eq!(entry.pod_name, format!("{PODS}{}", entry.series));
            for name in [entry.series.to_owned(), entry.pod_name.to_owned(), format!("{INSTANCES}{}", entry.series)] {
                assert_eq!(shape(&name), Some(entry));
            }
        }
        assert_eq!(shape("Pod.Standard.X9.Flex"), None);
    }

    #[test]
    fn a_host_offers_what_its_label_says_or_all_of_its_architecture() {
        for (architecture, label, wanted, expect) in [
            ("amd64", None, "Pod.Standard.E4.Flex", true),
            ("amd64", None, "CI.Standard3.Flex", true),
            ("amd64", None, "Pod.Standard.A1.Flex", false),
            ("arm64", None, "Pod.Standard.A1.Flex", true),
            ("arm64", None, "Pod.Standard.E3.Flex", false),
            ("amd64", Some("Standard3.Flex"), "Pod.Standard.E4.Flex", false),
            ("amd64", Some("Pod.Standard3.Flex, Standard.E3.Flex"), "Pod.Standard.E3.Flex", true),
            ("arm64", Some("Standard.E4.Flex"), "Pod.Standard.E4.Flex", true),
            ("amd64", Some(""), "Pod.Standard.E4.Flex", false),
            ("amd64", Some("Standard3.Flex"), "", true),
        ] {
            assert_eq!(offers(architecture, label, wanted), expect, "{architecture} {label:?} {wanted}");
        }
    }

    #[test]
    fn what_is_larger_than_the_shape_is_refused() {
        let refusal = |name: &str, ocpu_milli: u64, gb: u64| {
            shape(name).and_then(|shape| shape.refusal(PodSize { ocpu_milli, memory_bytes: gb * GIB }))
        };
        assert_eq!(refusal("Pod.Standard.E4.Flex", 64_000, 1024), None);
        let why = "the pod asks for 64.5 OCPU, 1 GB; Pod.Standard.E4.Flex has 64 OCPU and 1024 GB at most";
        assert_eq!(refusal("Pod.Standard.E4.Flex", 64_500, 1).as_deref(), Some(why));
        assert!(refusal("Pod.Standard3.Flex", 33_000, 1).is_some());
        assert!(refusal("Pod.Standard.A1.Flex", 76_000, 489).is_some());
        assert_eq!(refusal("Pod.Standard.A1.Flex", 76_000, 488), None);
    }
}
