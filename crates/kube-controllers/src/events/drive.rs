//! Old Events go.

use super::{RESOURCE, expired};
use crate::act::Fault;
use crate::key::{Key, Keys};
use crate::world::World;
use jiff::Timestamp;
use kube_store::{Cluster, Event, EventKind, PutError};
use reconcile::Next;

/// The first Event of a cluster starts the clock; from then on each look says when the next is due.
pub(crate) fn keys(cluster: &Cluster, event: &Event, out: &mut Keys<'_>) {
    if event.kind == EventKind::Added && cluster.list(RESOURCE, None).1.len() == 1 {
        out.whole();
    }
}

pub(crate) async fn reconcile(world: &World, key: &Key) -> Result<Next, Fault> {
    let Some((cluster, _)) = world.cluster(&key.cluster) else { return Ok(Next::Settled) };
    let created = |object: &std::sync::Arc<kube_store::Object>| {
        Some((object.key.clone(), object.meta.created.parse::<Timestamp>().ok()?))
    };
    let all: Vec<_> = cluster.list(RESOURCE, None).1.iter().filter_map(created).collect();
    let (old, next) = expired(&all, world.config.event_ttl, world.now());
    if !old.is_empty() {
        cluster
            .write(move |txn| {
                for key in &old {
                    txn.delete(key);
                }
                Ok::<_, PutError>(())
            })
            .await?;
    }
    Ok(Next::from(next))
}
