//! The worker's part about telling: statuses, and the events that come with them.

use std::io::Write;

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};

use super::Worker;
use crate::cri::view::PodView;
use crate::placement::Desired;
use crate::pod::status;

impl Worker {
    /// Publishes the status if it changed.
    pub(super) fn tell(&mut self, desired: &Desired, view: &PodView, now_ms: i64) {
        let (memory, previous) = (&self.memory, &self.status);
        let status = status::pod_status(&status::Sources { desired, view, memory, previous, now_ms });
        let generation = desired.placement.generation;
        if status == self.status && self.said_generation == Some(generation) {
            return;
        }
        self.tell_backoffs(desired, &status);
        self.live.status.lock().clone_from(&status);
        self.status = status;
        self.said_generation = Some(generation);
        match serde_json::to_vec(&self.status) {
            Ok(bytes) => {
                self.keep(desired, &bytes);
                self.context.outbox.status(desired.uid(), generation, bytes.into(), false);
            }
            Err(error) => tracing::error!(pod.uid = desired.uid(), %error, "status cannot be written as JSON"),
        }
    }

    fn tell_backoffs(&self, desired: &Desired, status: &PodStatus) {
        let entries = |s: &PodStatus| -> Vec<ContainerStatus> {
            s.init_container_statuses.iter().flatten().chain(s.container_statuses.iter().flatten()).cloned().collect()
        };
        let before = entries(&self.status);
        for entry in entries(status) {
            let Some(reason) = waiting(&entry) else { continue };
            if before.iter().any(|b| b.name == entry.name && waiting(b) == Some(reason)) {
                continue;
            }
            let (uid, placement) = (desired.uid(), &desired.placement);
            match reason {
                "CrashLoopBackOff" => {
                    let message = format!(
                        "Back-off restarting failed container {} in pod {}_{}({uid})",
                        entry.name, placement.name, placement.namespace
                    );
                    self.context.event(uid, "Warning", "BackOff", message, &entry.name);
                }
                "ImagePullBackOff" => {
                    let message = entry.state.and_then(|s| s.waiting).and_then(|w| w.message).unwrap_or_default();
                    self.context.event(uid, "Normal", "BackOff", message, &entry.name);
                    self.context.event(uid, "Warning", "Failed", "Error: ImagePullBackOff", &entry.name);
                }
                _ => {}
            }
        }
    }

    /// Keeps the status for the next agent. Losing it loses times of transitions, so it is not synced.
    fn keep(&self, desired: &Desired, bytes: &[u8]) {
        let path = self.context.paths.status_file(desired.uid());
        let temporary = path.with_extension("tmp");
        let write = || {
            std::fs::create_dir_all(self.context.paths.pod(desired.uid()))?;
            std::fs::File::create(&temporary)?.write_all(bytes)?;
            std::fs::rename(&temporary, &path)
        };
        if let Err(error) = write() {
            tracing::warn!(pod.uid = desired.uid(), %error, "status cannot be kept");
        }
    }
}

fn waiting(status: &ContainerStatus) -> Option<&str> {
    status.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}
