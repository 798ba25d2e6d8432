//! What a pod asks for and what a node has.

use crate::view::is_sidecar;
use domain::Quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource;
use std::collections::BTreeMap;

/// Amounts by resource name, in thousandths for `cpu` and in units for all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources(pub BTreeMap<String, u64>);

impl Resources {
    /// Reads a resource list; what is no quantity counts as nothing (the API refuses it anyway).
    #[must_use]
    pub fn read(list: &BTreeMap<String, resource::Quantity>) -> Self {
        let amount = |(name, quantity): (&String, &resource::Quantity)| {
            let parsed = Quantity::parse(&quantity.0).unwrap_or_default();
            (name.clone(), if name == "cpu" { parsed.milli() } else { parsed.units() })
        };
        Self(list.iter().map(amount).collect())
    }

    /// The amount of one resource.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Adds other amounts to these.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    fn raise_to(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let most = self.0.entry(name.clone()).or_default();
            *most = (*most).max(*amount);
        }
    }
}

/// What a pod asks for: the sum of its containers and sidecars, or more if an init container needs more; the overhead
/// on top; `resources` of the whole pod where given.
/// Source: `PodRequests` in k8s.io/component-helpers/resource.
#[must_use]
pub fn pod_requests(spec: &PodSpec) -> Resources {
    let mut sum = Resources::default();
    for container in &spec.containers {
        sum.add(&container_requests(container));
    }
    let mut sidecars = Resources::default();
    let mut init = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let requests = container_requests(container);
        if is_sidecar(container) {
            sidecars.add(&requests);
            init.raise_to(&sidecars);
        } else {
            let mut together = requests;
            together.add(&sidecars);
            init.raise_to(&together);
        }
    }
    sum.add(&sidecars);
    sum.raise_to(&init);
    if let Some(whole) = &spec.resources {
        sum.0.extend(requests(whole).0);
    }
    if let Some(overhead) = &spec.overhead {
        sum.add(&Resources::read(overhead));
    }
    sum
}

fn container_requests(container: &Container) -> Resources {
    container.resources.as_ref().map(requests).unwrap_or_default()
}

/// Requests; where there is none, the limit stands for it.
fn requests(resources: &ResourceRequirements) -> Resources {
    let mut amounts = Resources::read(resources.limits.as_ref().unwrap_or(&BTreeMap::new()));
    amounts.0.extend(Resources::read(resources.requests.as_ref().unwrap_or(&BTreeMap::new())).0);
    amounts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(spec: Value, cpu: u64, memory: u64) {
        let requests = pod_requests(&serde_json::from_value(spec).unwrap());
        assert_eq!((requests.get("cpu"), requests.get("memory")), (cpu, memory));
    }

    fn container(cpu: &str, memory: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn a_pod_asks_for_the_sum_or_for_its_largest_init_container() {
        check(json!({"containers": [container("500m", "1Gi"), container("1", "1Ki")]}), 1500, (1 << 30) + 1024);
        check(json!({"containers": [container("500m", "1")], "initContainers": [container("2", "0")]}), 2000, 1);
        check(
            json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "3"}}}], "overhead": {"cpu": "1"}}),
            4000,
            0,
        );
        check(json!({"containers": [{"name": "c"}]}), 0, 0);
    }

    #[test]
    fn sidecars_count_beside_the_containers_and_beside_later_init_containers() {
        let mut sidecar = container("1", "10");
        sidecar["restartPolicy"] = json!("Always");
        check(json!({"containers": [container("1", "1")], "initContainers": [sidecar, container("3", "1")]}), 4000, 11);
    }
}
