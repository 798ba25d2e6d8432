//! The pod scheduler of a cluster: a node for each pending pod, by Kubernetes' rules.
//! Source of the rules and texts: kubernetes/pkg/scheduler/framework/plugins.

mod affinity;
pub(crate) mod drive;
mod filter;
mod resources;
mod score;
mod snapshot;
#[cfg(test)]
mod tests;

pub use resources::{Resources, pod_requests};
pub use snapshot::{NodeInfo, PodInfo, Snapshot};

use crate::action::Target;
use crate::view;
use std::{collections::BTreeMap, sync::Arc};

/// Name by which pods ask for this scheduler.
pub const NAME: &str = "default-scheduler";

/// What was decided for one pending pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The pod.
    pub pod: Target,
    /// Its node, or why there is none.
    pub node: Result<String, String>,
}

/// Decides for all pending pods, the most important and oldest first; each sees those placed before it.
/// Invariant: no I/O and no clock; pods and nodes may come in any order.
#[must_use]
pub fn schedule(mut snapshot: Snapshot) -> Vec<Decision> {
    let mut pending = std::mem::take(&mut snapshot.pending);
    pending.sort_by_cached_key(|pod| {
        let meta = &pod.pod.metadata;
        let priority = pod.pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0);
        (std::cmp::Reverse(priority), view::created(meta), meta.namespace.clone(), meta.name.clone())
    });
    pending.iter().map(|pod| decide(&mut snapshot, pod)).collect()
}

fn decide(snapshot: &mut Snapshot, pod: &Arc<PodInfo>) -> Decision {
    let target = Target::of("pods", &pod.pod.metadata);
    if snapshot.nodes.is_empty() {
        return Decision { pod: target, node: Err("no nodes available to schedule pods".into()) };
    }
    let terms = affinity::Terms::new(snapshot, pod);
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    let (mut fitting, mut finally) = (Vec::new(), 0);
    for (index, node) in snapshot.nodes.iter().enumerate() {
        let reasons = filter::reasons(pod, node, &terms);
        if reasons.is_empty() {
            fitting.push(index);
        }
        finally += usize::from(reasons.iter().any(filter::Reason::is_final));
        for reason in reasons {
            *refusals.entry(reason.to_string()).or_default() += 1;
        }
    }
    let best = score::best(snapshot, pod, &fitting, &terms);
    let node = match best {
        Some(index) => {
            snapshot.place(pod, index);
            Ok(snapshot.nodes[index].name.clone())
        }
        None => Err(explain(snapshot.nodes.len(), &refusals, finally)),
    };
    Decision { pod: target, node }
}

/// The text of a FailedScheduling event, as users know it; `finally` nodes refuse the pod even when empty.
fn explain(nodes: usize, refusals: &BTreeMap<String, usize>, finally: usize) -> String {
    let mut parts: Vec<String> = refusals.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    let mut hints = Vec::new();
    if finally > 0 {
        hints.push(format!("{finally} Preemption is not helpful for scheduling"));
    }
    if nodes > finally {
        hints.push(format!("{} No preemption victims found for incoming pod", nodes - finally));
    }
    // Upstream sorts the texts, numbers included.
    hints.sort();
    format!(
        "0/{nodes} nodes are available: {}. preemption: 0/{nodes} nodes are available: {}.",
        parts.join(", "),
        hints.join(", ")
    )
}
