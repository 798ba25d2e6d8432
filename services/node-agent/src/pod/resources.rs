//! CPU and memory limits: what the pod asks for, as the kernel wants it. Pure.

use std::collections::BTreeMap;

use domain::Quantity;
use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::api::resource;

use crate::cri::v1::LinuxContainerResources;
use crate::placement::Desired;

/// Source: the kubelet's `QuotaPeriod`, microseconds.
const PERIOD: i64 = 100_000;
/// Logical CPUs of an OCPU. Source: Oracle's shapes: an OCPU is a core, with two threads on x86 and one on Arm.
const CPUS_PER_OCPU: u64 = if cfg!(target_arch = "aarch64") { 1 } else { 2 };

/// Limits of one container.
pub fn container(desired: &Desired, container: &Container) -> LinuxContainerResources {
    let resources = container.resources.as_ref();
    let get = |list: Option<&BTreeMap<String, resource::Quantity>>, name: &str| {
        Quantity::parse(&list?.get(name)?.0).ok().filter(|q| q.milli() > 0)
    };
    let limits = resources.and_then(|r| r.limits.as_ref());
    let requests = resources.and_then(|r| r.requests.as_ref());
    let cpu_limit = get(limits, "cpu").map(Quantity::milli);
    let cpu_request = get(requests, "cpu").map(Quantity::milli).or(cpu_limit).unwrap_or(0);
    let memory = get(limits, "memory").map_or(0, Quantity::units);
    let mut result = cpu(cpu_limit, cpu_request);
    result.memory_limit_in_bytes = i64::try_from(memory).unwrap_or(i64::MAX);
    result.memory_swap_limit_in_bytes = result.memory_limit_in_bytes;
    result.oom_score_adj = oom_score(desired);
    result
}

/// Limits of the pod as a whole: what it is billed for, so that a burst inside the paid size is possible and none beyond.
pub fn pod(desired: &Desired) -> LinuxContainerResources {
    let Some(size) = desired.placement.size.filter(|s| s.memory_bytes > 0) else {
        return LinuxContainerResources::default();
    };
    // Billed sizes are whole OCPU and whole GB.
    let cpu_milli = size.ocpu_milli.max(1).div_ceil(1000) * 1000 * CPUS_PER_OCPU;
    let memory = size.memory_bytes.div_ceil(1 << 30) << 30;
    let mut result = cpu(Some(cpu_milli), size.ocpu_milli * CPUS_PER_OCPU);
    result.memory_limit_in_bytes = i64::try_from(memory).unwrap_or(i64::MAX);
    result
}

fn cpu(limit_milli: Option<u64>, request_milli: u64) -> LinuxContainerResources {
    let signed = |v: u64| i64::try_from(v).unwrap_or(i64::MAX / PERIOD);
    LinuxContainerResources {
        cpu_period: PERIOD,
        // Source: the kubelet's MilliCPUToQuota and MilliCPUToShares; the kernel takes no quota below 1 ms.
        cpu_quota: limit_milli.map_or(0, |m| (signed(m) * PERIOD / 1000).max(1000)),
        cpu_shares: (signed(request_milli) * 1024 / 1000).clamp(2, 262_144),
        ..Default::default()
    }
}

/// Guaranteed pods die last. Source: the kubelet's `policy.go`.
fn oom_score(desired: &Desired) -> i64 {
    match super::status::qos_class(desired) {
        "Guaranteed" => -997,
        "BestEffort" => 1000,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::fixture::desired;
    use serde_json::json;

    #[test]
    fn limits_become_quota_shares_and_bytes() {
        let pod = desired(
            json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}}}]}),
        );
        let got = container(&pod, &pod.spec().containers[0]);
        assert_eq!((got.cpu_quota, got.cpu_shares, got.memory_limit_in_bytes), (50_000, 256, 64 << 20));
        let none = desired(json!({"containers": [{"name": "c"}]}));
        let got = container(&none, &none.spec().containers[0]);
        assert_eq!((got.cpu_quota, got.cpu_shares, got.memory_limit_in_bytes), (0, 2, 0));
    }

    #[test]
    fn a_pod_may_use_what_it_is_billed_for() {
        let got = super::pod(&desired(json!({"containers": []})));
        let quota = if cfg!(target_arch = "aarch64") { 100_000 } else { 200_000 };
        assert_eq!((got.cpu_quota, got.memory_limit_in_bytes), (quota, 1 << 30));
    }
}
