//! Wakes workers when something of their pod changes in containerd: at once by its events, at the latest by a look at
//! everything each second.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use runtime::Health;
use tokio::sync::Notify;

use crate::agent::Agent;
use crate::context::Shared;
use crate::cri::POD_UID_LABEL;

/// Source: the kubelet's PLEG period.
const PERIOD: Duration = Duration::from_secs(1);

/// Watches until the agent stops.
pub(crate) async fn run(context: Shared, agent: Arc<Agent>, health: Health) {
    let news = Arc::new(Notify::new());
    let listener = listen(context.clone(), news.clone());
    let relist = async {
        let mut known: HashMap<String, u64> = HashMap::new();
        loop {
            match context.cri.list().await {
                Ok((sandboxes, containers)) => {
                    health.set_ready("containerd", true);
                    let mut seen: HashMap<String, DefaultHasher> = HashMap::new();
                    for sandbox in &sandboxes {
                        let uid = sandbox.labels.get(POD_UID_LABEL).cloned().unwrap_or_default();
                        (&sandbox.id, sandbox.state).hash(seen.entry(uid).or_default());
                    }
                    for container in &containers {
                        let uid = container.labels.get(POD_UID_LABEL).cloned().unwrap_or_default();
                        (&container.id, container.state).hash(seen.entry(uid).or_default());
                    }
                    let seen: HashMap<String, u64> = seen.into_iter().map(|(uid, h)| (uid, h.finish())).collect();
                    let changed = seen.iter().filter(|(uid, hash)| known.get(*uid) != Some(hash));
                    changed.for_each(|(uid, _)| agent.wake(uid));
                    known.keys().filter(|uid| !seen.contains_key(*uid)).for_each(|uid| agent.wake(uid));
                    known = seen;
                }
                Err(error) => {
                    health.set_ready("containerd", false);
                    tracing::warn!(error = error.message(), "containerd does not answer");
                }
            }
            let _ = tokio::time::timeout(PERIOD, news.notified()).await;
        }
    };
    tokio::select! {
        () = context.stop.cancelled() => {}
        () = listener => {}
        () = relist => {}
    }
}

/// Turns containerd's events into looks; without events the looks come each second.
async fn listen(context: Shared, news: Arc<Notify>) {
    loop {
        if let Err(error) = context.cri.watch_tasks(|| news.notify_one()).await {
            tracing::debug!(error = error.message(), "containerd's events are silent");
        }
        tokio::time::sleep(PERIOD).await;
    }
}
