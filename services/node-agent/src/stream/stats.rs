//! What a pod uses now, in the shape of the kubelet's `PodStats`.

use serde_json::{Value, json};

use super::StreamError;
use crate::agent::Handle;
use crate::context::Shared;
use crate::cri::{CONTAINER_NAME_LABEL, v1};

/// The pod's statistics as one JSON document.
pub(super) async fn pod_stats(context: &Shared, pod: &Handle) -> Result<String, StreamError> {
    let desired = pod.desired();
    let placement = &desired.placement;
    let all = context.cri.container_stats(&placement.uid).await;
    let all = all.map_err(|status| StreamError::internal(status.message()))?;
    let containers: Vec<Value> = all.iter().map(container).collect();
    let sum = |pointer: &str| containers.iter().filter_map(|c| c.pointer(pointer)?.as_u64()).sum::<u64>();
    let now = jiff::Timestamp::now().to_string();
    let document = json!({
        "podRef": {"name": placement.name, "namespace": placement.namespace, "uid": placement.uid},
        "startTime": time(desired.accepted_ms.saturating_mul(1_000_000)),
        "cpu": {"time": now, "usageNanoCores": sum("/cpu/usageNanoCores"), "usageCoreNanoSeconds": sum("/cpu/usageCoreNanoSeconds")},
        "memory": {"time": now, "usageBytes": sum("/memory/usageBytes"), "workingSetBytes": sum("/memory/workingSetBytes"),
            "rssBytes": sum("/memory/rssBytes")},
        "containers": containers,
    });
    Ok(document.to_string())
}

fn container(stats: &v1::ContainerStats) -> Value {
    let name = stats.attributes.as_ref().and_then(|a| a.labels.get(CONTAINER_NAME_LABEL));
    let value = |v: &Option<v1::UInt64Value>| v.as_ref().map_or(0, |v| v.value);
    let mut document = json!({"name": name});
    if let Some(cpu) = &stats.cpu {
        document["cpu"] = json!({"time": time(cpu.timestamp), "usageNanoCores": value(&cpu.usage_nano_cores),
            "usageCoreNanoSeconds": value(&cpu.usage_core_nano_seconds)});
    }
    if let Some(memory) = &stats.memory {
        let usage = value(&memory.usage_bytes).max(value(&memory.working_set_bytes));
        document["memory"] = json!({"time": time(memory.timestamp), "usageBytes": usage,
            "workingSetBytes": value(&memory.working_set_bytes), "rssBytes": value(&memory.rss_bytes)});
    }
    if let Some(disk) = &stats.writable_layer {
        document["rootfs"] = json!({"time": time(disk.timestamp), "usedBytes": value(&disk.used_bytes),
            "inodesUsed": value(&disk.inodes_used)});
    }
    document
}

fn time(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
