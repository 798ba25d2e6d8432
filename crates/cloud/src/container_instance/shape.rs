//! Shapes of container instances: which processors, and how much of what.

use super::wire::CreateShapeConfig;
use crate::{Error, error::invalid};
use serde::Serialize;
use serde_json::{Value, json};

/// Bytes of a GB, which is taken as GiB, as everywhere in billing.
pub(crate) const GB: u64 = 1 << 30;

/// One shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    processor: &'static str,
    max_ocpus: u64,
    max_memory_gb: u64,
    /// Memory of an instance that names none.
    default_gb_per_ocpu: u64,
    /// Logical CPUs of an OCPU. Source: an OCPU is a core, with two threads on x86 and one on Arm.
    pub(crate) cpus_per_ocpu: u64,
}

/// Source: OCI's documentation, "Container Instances Shapes": 1 to 64 OCPU and up to 1024 GB, on Arm 1 to 76 and 488 GB.
const SHAPES: &[Shape] = &[
    Shape {
        name: "CI.Standard.E4.Flex",
        processor: "2.55 GHz AMD EPYC 7J13 (Milan), or what the host has",
        max_ocpus: 64,
        max_memory_gb: 1024,
        default_gb_per_ocpu: 16,
        cpus_per_ocpu: 2,
    },
    Shape {
        name: "CI.Standard.E3.Flex",
        processor: "2.25 GHz AMD EPYC 7742 (Rome), or what the host has",
        max_ocpus: 64,
        max_memory_gb: 1024,
        default_gb_per_ocpu: 16,
        cpus_per_ocpu: 2,
    },
    Shape {
        name: "CI.Standard.A1.Flex",
        processor: "3.0 GHz Ampere Altra (Arm), or what the host has",
        max_ocpus: 76,
        max_memory_gb: 488,
        default_gb_per_ocpu: 6,
        cpus_per_ocpu: 1,
    },
];
/// Source: the same: up to 64 GB per OCPU, and at least 1 GB per OCPU.
const MAX_GB_PER_OCPU: u64 = 64;
/// Source: the same: 1 Gbps per OCPU, at most 40.
const MAX_GBPS: u64 = 40;

/// A shape that an instance was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) ocpus: u64,
    pub(crate) memory_gb: u64,
}

/// `ContainerInstanceShapeConfig`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ContainerInstanceShapeConfig)]
pub(crate) struct ShapeConfigResponse {
    ocpus: f64,
    #[serde(rename = "memoryInGBs")]
    memory_in_gbs: f64,
    processor_description: &'static str,
    networking_bandwidth_in_gbps: f64,
}

/// The shape of that name.
pub(crate) fn find(name: &str) -> Result<Shape, Error> {
    let found = SHAPES.iter().find(|shape| shape.name == name).copied();
    found.ok_or_else(|| {
        let names: Vec<_> = SHAPES.iter().map(|shape| shape.name).collect();
        invalid(format!("shape {name:?} is not offered; use one of {}", names.join(", ")))
    })
}

/// All shapes as `ContainerInstanceShapeSummary`.
pub(crate) fn all() -> Vec<Value> {
    SHAPES.iter().map(Shape::summary).collect()
}

impl Shape {
    /// The size that a request asks for.
    pub(crate) fn size(&self, config: &CreateShapeConfig) -> Result<Size, Error> {
        let ocpus = whole("shapeConfig.ocpus", config.ocpus, 1, self.max_ocpus)?;
        let most = self.max_memory_gb.min(ocpus * MAX_GB_PER_OCPU);
        let memory_gb = match config.memory_in_gbs {
            None => most.min(ocpus * self.default_gb_per_ocpu),
            Some(memory) => whole("shapeConfig.memoryInGBs", memory, ocpus, most)?,
        };
        Ok(Size { ocpus, memory_gb })
    }

    /// A size as it is answered.
    pub(crate) fn config(&self, size: Size) -> ShapeConfigResponse {
        ShapeConfigResponse {
            ocpus: size.ocpus as f64,
            memory_in_gbs: size.memory_gb as f64,
            processor_description: self.processor,
            networking_bandwidth_in_gbps: size.ocpus.min(MAX_GBPS) as f64,
        }
    }

    fn summary(&self) -> Value {
        json!({
            "name": self.name,
            "processorDescription": self.processor,
            "ocpuOptions": {"min": 1.0, "max": self.max_ocpus as f64},
            "memoryOptions": {
                "minInGBs": 1.0, "maxInGBs": self.max_memory_gb as f64,
                "defaultPerOcpuInGBs": self.default_gb_per_ocpu as f64,
                "minPerOcpuInGBs": 1.0, "maxPerOcpuInGBs": MAX_GB_PER_OCPU as f64,
            },
            "networkingBandwidthOptions": {
                "minInGbps": 1.0, "maxInGbps": MAX_GBPS as f64, "defaultPerOcpuInGbps": 1.0,
            },
        })
    }
}

/// Sizes are whole, so that what is charged is exactly what was asked for.
fn whole(field: &str, value: f64, least: u64, most: u64) -> Result<u64, Error> {
    let fits = value.fract() == 0.0 && value >= least as f64 && value <= most as f64;
    if fits { Ok(value as u64) } else { Err(invalid(format!("{field} must be a whole number from {least} to {most}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shape: &str, ocpus: f64, memory: Option<f64>, expect: Option<(u64, u64)>) {
        let size = find(shape).unwrap().size(&CreateShapeConfig { ocpus, memory_in_gbs: memory });
        assert_eq!(size.ok().map(|size| (size.ocpus, size.memory_gb)), expect);
    }

    #[test]
    fn sizes_are_whole_and_in_the_shapes_range() {
        check("CI.Standard.E4.Flex", 1.0, None, Some((1, 16)));
        check("CI.Standard.E4.Flex", 64.0, None, Some((64, 1024)));
        check("CI.Standard.E3.Flex", 2.0, Some(128.0), Some((2, 128)));
        check("CI.Standard.A1.Flex", 76.0, None, Some((76, 456)));
        for (ocpus, memory) in
            [(0.0, 1.0), (0.5, 1.0), (65.0, 65.0), (1.0, 0.5), (1.0, 65.0), (4.0, 3.0), (f64::NAN, 1.0)]
        {
            check("CI.Standard.E4.Flex", ocpus, Some(memory), None);
        }
        check("CI.Standard.A1.Flex", 76.0, Some(489.0), None);
        assert!(find("CI.Standard.X9.Flex").is_err());
    }
}
