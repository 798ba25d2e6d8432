//! What a pod will be charged for, as it is written on the pod before it runs.

use crate::{
    pod_size::PodSize,
    shape::{Shape, shape},
};
use serde_json::Value;

/// Annotation: the size that is charged, for people: `1 OCPU, 3 GB (Pod.Standard.E4.Flex)`.
pub const BILLED_SIZE: &str = "hako.dev/billed-size";
/// Annotation: whole OCPUs that are charged.
pub const BILLED_OCPUS: &str = "hako.dev/billed-ocpus";
/// Annotation: whole GB (GiB) of memory that are charged.
pub const BILLED_MEMORY_GB: &str = "hako.dev/billed-memory-gb";
/// Annotation: the size before it is rounded up: `0.5 OCPU, 2.25 GB`.
pub const EXACT_SIZE: &str = "hako.dev/exact-size";
/// Reason of the event that tells it.
pub const BILLED_SIZE_EVENT: &str = "BilledSize";
/// Label of a Node: the shape of its pods.
pub const SHAPE_LABEL: &str = "node.kubernetes.io/instance-type";

/// A pod's size on a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bill {
    /// The shape.
    pub shape: &'static Shape,
    /// The size before it is rounded up.
    pub size: PodSize,
}

impl Bill {
    /// The bill of a pod on a Node whose label [`SHAPE_LABEL`] has this value; `None` if that is no shape of ours: then
    /// the node is no virtual node.
    #[must_use]
    pub fn of(pod: &Value, shape_name: &str) -> Option<Self> {
        let shape = shape(shape_name)?;
        Some(Self { shape, size: PodSize::of(pod, shape.cpus_per_ocpu()) })
    }

    /// Annotations to write on the pod.
    #[must_use]
    pub fn annotations(&self) -> [(&'static str, String); 4] {
        let billed = self.size.billed();
        [
            (BILLED_SIZE, format!("{billed} ({})", self.shape.pod_name)),
            (BILLED_OCPUS, billed.ocpus.to_string()),
            (BILLED_MEMORY_GB, billed.memory_gb.to_string()),
            (EXACT_SIZE, self.size.to_string()),
        ]
    }

    /// Whether the pod says so already.
    #[must_use]
    pub fn is_on(&self, pod: &Value) -> bool {
        let annotations = &pod["metadata"]["annotations"];
        self.annotations().iter().all(|(name, value)| annotations[name] == **value)
    }

    /// Text of the event.
    #[must_use]
    pub fn message(&self) -> String {
        let (billed, name) = (self.size.billed(), self.shape.pod_name);
        format!("Billed as {billed} of {name}: {} rounded up; per second, one minute at least", self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bill_is_said_once_and_by_the_shapes_ocpu() {
        let mut pod = json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "2500m", "memory": "3Gi"}}}]}});
        let bill = |pod: &Value, shape: &str| Bill::of(pod, shape);
        assert_eq!(bill(&pod, "m5.large"), None);
        let arm = bill(&pod, "Pod.Standard.A1.Flex").unwrap();
        assert_eq!(arm.annotations()[0].1, "3 OCPU, 4 GB (Pod.Standard.A1.Flex)");
        let x86 = bill(&pod, "Pod.Standard.E4.Flex").unwrap();
        assert!(!x86.is_on(&pod));
        for (name, value) in x86.annotations() {
            pod["metadata"]["annotations"][name] = json!(value);
        }
        assert!(x86.is_on(&pod) && !arm.is_on(&pod));
        let says = "Billed as 2 OCPU, 4 GB of Pod.Standard.E4.Flex: 1.25 OCPU, 3.25 GB rounded up; per second, one minute at least";
        assert_eq!(x86.message(), says);
    }
}
