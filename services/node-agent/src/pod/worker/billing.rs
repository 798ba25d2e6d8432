//! The worker's part about usage: from when to when the pod is billed.

use super::{Billing, Worker};
use crate::cri::view::PodView;
use crate::placement::Desired;
use crate::pod::memory::Target;
use crate::usage::PlacementInfo;

impl Worker {
    /// Billed from the first container's making to the last one's end. The journal makes repeats harmless.
    pub(super) async fn bill(&mut self, desired: &Desired, view: &PodView, now_ms: i64) {
        let result = self.try_bill(desired, view, now_ms).await;
        if let Err(error) = result {
            tracing::error!(pod.uid = desired.uid(), error = format!("{error:#}"), "usage could not be journalled");
        }
    }

    async fn try_bill(&mut self, desired: &Desired, view: &PodView, now_ms: i64) -> anyhow::Result<()> {
        let (journal, uid) = (&self.context.journal, desired.uid());
        let working = self.memory.busy.iter().any(|t| matches!(t, Target::Container(_)));
        let running = view.running().next().is_some() || working;
        let over = !running && (self.memory.ended.is_some() || desired.removal.is_some());
        let end_ms = view.last_finished().map_or(now_ms, |ns| ns / 1_000_000).min(now_ms);
        match self.billing {
            Billing::Before if over => {
                self.billing = Billing::Over;
                let open = journal.running().iter().any(|u| u == uid);
                if let Some(first) = view.first_created().filter(|_| !open) {
                    // The agent before this one died before it could write down that the pod ran.
                    journal.start(uid, placement_info(desired), first / 1_000_000).await?;
                }
                journal.stop(uid, end_ms).await
            }
            Billing::Before => match view.first_created_here() {
                Some(first) => {
                    self.billing = Billing::Running;
                    journal.start(uid, placement_info(desired), first / 1_000_000).await
                }
                // What ran ended with its sandbox, perhaps long ago (a reboot): the time between is not billed.
                None if view.last_finished().is_some() && view.ready_sandbox().is_none() => {
                    journal.stop(uid, end_ms).await
                }
                None => Ok(()),
            },
            Billing::Running if over => {
                self.billing = Billing::Over;
                journal.stop(uid, end_ms).await
            }
            // Nothing happens unless what it is billed by has changed, as with another compartment.
            Billing::Running if self.billed.as_ref() != Some(&placement_info(desired)) => {
                journal.start(uid, placement_info(desired), now_ms).await?;
                self.billed = Some(placement_info(desired));
                Ok(())
            }
            Billing::Running | Billing::Over => Ok(()),
        }
    }
}

fn placement_info(desired: &Desired) -> PlacementInfo {
    let placement = &desired.placement;
    let size = placement.size.unwrap_or_default();
    PlacementInfo {
        tenant_id: placement.tenant_id.clone(),
        compartment_id: placement.compartment_id.clone(),
        cluster_id: placement.cluster_id.clone(),
        namespace: placement.namespace.clone(),
        name: placement.name.clone(),
        shape: placement.shape.clone(),
        ocpu_milli: size.ocpu_milli,
        memory_bytes: size.memory_bytes,
    }
}
