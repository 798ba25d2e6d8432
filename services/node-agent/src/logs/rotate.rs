//! Log rotation: a file that has grown too large is put aside, and containerd opens a new one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::context::Shared;
use crate::cri::CONTAINER_NAME_LABEL;
use crate::cri::v1::{Container, ContainerState};
use crate::logs::files;

/// Source: the kubelet's `logMonitorPeriod`.
const PERIOD: Duration = Duration::from_secs(10);

/// Rotates until the agent stops.
pub async fn run(context: Shared) {
    while context.stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        let Ok((_, containers)) = context.cri.list().await else { continue };
        for container in containers.iter().filter(|c| c.state() == ContainerState::ContainerRunning) {
            if let Some(path) = log_path(&context, container)
                && std::fs::metadata(&path).is_ok_and(|m| m.len() > context.config.logs.max_bytes)
                && let Err(error) = rotate(&context, &container.id, &path).await
            {
                tracing::warn!(container.id = container.id, error = format!("{error:#}"), "log cannot be rotated");
            }
        }
    }
}

fn log_path(context: &Shared, container: &Container) -> Option<PathBuf> {
    let label = |name: &str| container.labels.get(name);
    let (namespace, pod) = (label("io.kubernetes.pod.namespace")?, label("io.kubernetes.pod.name")?);
    let (uid, name) = (label("io.kubernetes.pod.uid")?, label(CONTAINER_NAME_LABEL)?);
    let attempt = container.metadata.as_ref()?.attempt;
    Some(context.paths.logs(namespace, pod, uid).join(crate::paths::log_name(name, attempt)))
}

async fn rotate(context: &Shared, id: &str, path: &Path) -> anyhow::Result<()> {
    let aside = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let rotated = PathBuf::from(format!("{}.{aside}", path.display()));
    std::fs::rename(path, &rotated)?;
    if let Err(status) = context.cri.reopen_log(id).await {
        // containerd goes on writing into the old file: it must keep its name.
        std::fs::rename(&rotated, path)?;
        anyhow::bail!("containerd did not reopen the log: {}", status.message());
    }
    drop_oldest(path, context.config.logs.max_files);
    Ok(())
}

fn drop_oldest(path: &Path, keep: usize) {
    let all = files(path);
    for old in &all[..all.len().saturating_sub(keep.max(1))] {
        let _ = std::fs::remove_file(old);
    }
}
