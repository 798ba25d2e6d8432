//! Lifecycle hooks: what runs after a container's start and before its end.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use crate::cri::Cri;
use crate::pod::http::{self, Place};

/// Runs a hook for at most `limit`.
///
/// # Errors
/// If it fails; the text is for the pod's owner.
pub async fn run(
    cri: &Cri,
    id: &str,
    container: &Container,
    place: Option<&Place>,
    hook: &LifecycleHandler,
    limit: Duration,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let out = cri.exec_sync(id, command.clone(), limit).await;
        let out = out.map_err(|s| format!("Exec lifecycle hook ({command:?}) failed: {}", s.message()))?;
        if out.exit_code != 0 {
            let text = String::from_utf8_lossy(&out.stderr);
            return Err(format!("command '{}' exited with {}: {text}", command.join(" "), out.exit_code));
        }
    } else if let Some(action) = &hook.http_get {
        let place = place.ok_or("the pod has no network")?;
        let (status, _) = http::get(place, container, action, limit).await?;
        if !(200..400).contains(&status) {
            return Err(format!("Http lifecycle hook failed with statuscode: {status}"));
        }
    } else if let Some(sleep) = &hook.sleep {
        let wanted = Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0));
        tokio::time::sleep(wanted.min(limit)).await;
    }
    Ok(())
}
