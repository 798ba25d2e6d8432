//! Local storage of pods: who uses more than it may goes, so that no tenant fills the host's disk for the others.
//! Source: the kubelet's `localStorageEviction` (`pkg/kubelet/eviction/eviction_manager.go`).

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::Quantity;
use k8s_openapi::api::core::v1::Container;

use crate::agent::Agent;
use crate::context::Shared;
use crate::cri::{CONTAINER_NAME_LABEL, POD_UID_LABEL};
use crate::paths::Paths;
use crate::placement::{Desired, all_containers};

/// Source: the kubelet's `evictionMonitoringPeriod`.
const PERIOD: Duration = Duration::from_secs(10);
/// Pods that set no limits are measured in every so many rounds only.
const SELDOM: u64 = 6;
/// What a pod may use whatever it says. Source: OKE gives 15 GB of storage to a pod on a virtual node.
const CEILING: u64 = 15 << 30;
/// Reason of pods that had to go.
pub const EVICTED: &str = "Evicted";

/// Bytes in use by one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// emptyDirs on disk, by volume.
    pub volumes: HashMap<String, u64>,
    /// Writable layers and logs, by container.
    pub containers: HashMap<String, u64>,
    /// The few files that the host keeps for the pod and containers may write: hosts, termination messages.
    pub other: u64,
}

/// Looks until the agent stops.
pub async fn run(context: Shared, agent: Arc<Agent>) {
    let mut round: u64 = 0;
    while context.stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        round = round.wrapping_add(1);
        let layers = match context.cri.all_container_stats().await {
            Ok(stats) => layers(&stats),
            Err(error) => {
                tracing::debug!(error = error.message(), "containerd does not say what layers take");
                HashMap::new()
            }
        };
        for pod in agent.handles() {
            let desired = pod.desired();
            if !has_limits(&desired) && !round.is_multiple_of(SELDOM) {
                continue;
            }
            let (paths, wish) = (context.paths.clone(), desired.clone());
            let own = layers.get(desired.uid()).cloned().unwrap_or_default();
            // One pod after the other: measuring must not crowd out the pods' own use of the disk.
            let Ok(usage) = tokio::task::spawn_blocking(move || measure(&paths, &wish, own)).await else { continue };
            if let Some(message) = exceeded(&desired, &usage) {
                *pod.live.evicted.lock() = Some(message);
                agent.wake(desired.uid());
            }
        }
    }
}

/// Bytes of writable layers, by pod and container.
fn layers(stats: &[crate::cri::v1::ContainerStats]) -> HashMap<String, HashMap<String, u64>> {
    let mut all: HashMap<String, HashMap<String, u64>> = HashMap::new();
    for stats in stats {
        let labels = stats.attributes.as_ref().map(|a| &a.labels);
        let label = |name: &str| labels.and_then(|l| l.get(name)).cloned();
        let (Some(uid), Some(name)) = (label(POD_UID_LABEL), label(CONTAINER_NAME_LABEL)) else { continue };
        let used = stats.writable_layer.as_ref().and_then(|l| l.used_bytes.as_ref()).map_or(0, |v| v.value);
        *all.entry(uid).or_default().entry(name).or_default() += used;
    }
    all
}

fn measure(paths: &Paths, desired: &Desired, layers: HashMap<String, u64>) -> Usage {
    let mut usage = Usage { containers: layers, ..Usage::default() };
    for volume in desired.spec().volumes.iter().flatten() {
        // One in memory is bounded by its own tmpfs.
        if volume.empty_dir.as_ref().is_some_and(|e| e.medium.as_deref().unwrap_or_default().is_empty()) {
            let bytes = disk_usage(&paths.empty_dir(desired.uid(), &volume.name));
            usage.volumes.insert(volume.name.clone(), bytes);
        }
    }
    let volumes: u64 = usage.volumes.values().sum();
    usage.other = disk_usage(&paths.pod(desired.uid())).saturating_sub(volumes);
    let placement = &desired.placement;
    let logs = paths.logs(&placement.namespace, &placement.name, &placement.uid);
    for container in all_containers(desired.spec()) {
        *usage.containers.entry(container.name.clone()).or_default() += disk_usage(&logs.join(&container.name));
    }
    usage
}

/// Bytes that a directory takes on its own file system; what cannot be read counts nothing.
fn disk_usage(root: &Path) -> u64 {
    let Ok(top) = fs::symlink_metadata(root) else { return 0 };
    let (mut bytes, mut left) = (top.blocks() * 512, vec![root.to_owned()]);
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            // Of the entry itself: links are not followed.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.dev() != top.dev() {
                continue;
            }
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                left.push(entry.path());
            }
        }
    }
    bytes
}

fn has_limits(desired: &Desired) -> bool {
    let sized = |v: &k8s_openapi::api::core::v1::Volume| v.empty_dir.as_ref().is_some_and(|e| e.size_limit.is_some());
    desired.spec().volumes.iter().flatten().any(sized) || all_containers(desired.spec()).any(|c| limit(c).is_some())
}

/// The container's limit: bytes, and as written.
fn limit(container: &Container) -> Option<(u64, &str)> {
    let text = container.resources.as_ref()?.limits.as_ref()?.get("ephemeral-storage")?;
    Quantity::parse(&text.0).ok().map(|q| (q.units(), text.0.as_str()))
}

/// Why the pod must go, in the kubelet's words; `None` if it keeps to its limits.
pub fn exceeded(desired: &Desired, usage: &Usage) -> Option<String> {
    for volume in desired.spec().volumes.iter().flatten() {
        let wish = volume.empty_dir.as_ref().and_then(|e| e.size_limit.as_ref());
        let Some((limit, text)) = wish.and_then(|q| Some((Quantity::parse(&q.0).ok()?.units(), &q.0))) else {
            continue;
        };
        if limit > 0 && usage.volumes.get(&volume.name).is_some_and(|used| *used > limit) {
            return Some(format!("Usage of EmptyDir volume {:?} exceeds the limit {text:?}. ", volume.name));
        }
    }
    let total = usage.volumes.values().chain(usage.containers.values()).sum::<u64>() + usage.other;
    let limits: Option<u64> = desired.spec().containers.iter().map(|c| limit(c).map(|(bytes, _)| bytes)).sum();
    let allowed = limits.filter(|bytes| *bytes > 0).unwrap_or(CEILING).min(CEILING);
    if total > allowed {
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {}Mi. ",
            allowed.div_ceil(1 << 20)
        ));
    }
    let over = |c: &&Container| {
        let used = usage.containers.get(&c.name).copied().unwrap_or(0);
        limit(c).is_some_and(|(bytes, _)| bytes > 0 && used > bytes)
    };
    let container = all_containers(desired.spec()).find(over)?;
    let (_, text) = limit(container)?;
    Some(format!("Container {} exceeded its local ephemeral storage limit {text:?}. ", container.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::fixture::desired;
    use serde_json::{Value, json};

    const MIB: u64 = 1 << 20;

    #[track_caller]
    fn check(spec: Value, volumes: &[(&str, u64)], containers: &[(&str, u64)], expected: Option<&str>) {
        let map = |all: &[(&str, u64)]| all.iter().map(|(n, b)| ((*n).to_owned(), *b)).collect();
        let usage = Usage { volumes: map(volumes), containers: map(containers), other: 0 };
        assert_eq!(exceeded(&desired(spec), &usage).as_deref(), expected);
    }

    #[test]
    fn limits_hold_for_volumes_containers_and_the_whole() {
        let volume =
            json!({"containers": [{"name": "c"}], "volumes": [{"name": "e", "emptyDir": {"sizeLimit": "1Mi"}}]});
        check(volume.clone(), &[("e", MIB)], &[], None);
        check(volume, &[("e", MIB + 1)], &[], Some("Usage of EmptyDir volume \"e\" exceeds the limit \"1Mi\". "));
        let one = |name: &str| json!({"name": name, "resources": {"limits": {"ephemeral-storage": "2Mi"}}});
        let two = json!({"containers": [one("a"), one("b")]});
        check(two.clone(), &[], &[("a", 2 * MIB), ("b", 2 * MIB)], None);
        check(
            two.clone(),
            &[("e", MIB)],
            &[("a", 2 * MIB), ("b", 2 * MIB)],
            Some("Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. "),
        );
        check(two, &[], &[("a", 3 * MIB)], Some("Container a exceeded its local ephemeral storage limit \"2Mi\". "));
        // Without limits there is still the ceiling of every pod.
        let none = json!({"containers": [{"name": "c"}]});
        check(none.clone(), &[("e", CEILING)], &[], None);
        check(
            none,
            &[("e", CEILING)],
            &[("c", 1)],
            Some("Pod ephemeral local storage usage exceeds the total limit of containers 15360Mi. "),
        );
    }

    #[test]
    fn usage_is_what_lies_in_the_directory_itself() {
        let dir = std::env::temp_dir().join(format!("agent-storage-{}", std::process::id()));
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(dir.join("a/b/file"), vec![1; 1 << 20]).unwrap();
        std::os::unix::fs::symlink("/usr", dir.join("out")).unwrap();
        let used = disk_usage(&dir);
        assert!((MIB..MIB + 100_000).contains(&used), "{used}");
        fs::remove_dir_all(dir).unwrap();
    }
}
