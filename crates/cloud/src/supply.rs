//! What hosts can do for pools: looked at every few seconds, and believed when two looks in a row say the same, so that a
//! pod that waits for a moment, or a host that reconnects, alarms nobody.

use crate::{Cloud, virtual_node_pool, worker::Key};
use parking_lot::Mutex;
use reconcile::Queue;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// What hosts offer, and whose pods wait for room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    /// Names of the pod shapes that some host offers.
    pub shapes: BTreeSet<String>,
    /// Pods that no host has room for, and one reason, by cluster and node.
    pub waiting: BTreeMap<(String, String), (usize, String)>,
}

/// Of what hosts are short, by two looks in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// Names of the pod shapes that no host offers.
    pub(crate) shapes: BTreeSet<String>,
    /// Pods that no host has room for, and one reason, by cluster and node.
    pub(crate) waiting: BTreeMap<(String, String), (usize, String)>,
}

/// What two looks in a row say.
fn shortage(before: &Supply, now: &Supply) -> Shortage {
    let missing = |name: &&str| !before.shapes.contains(*name) && !now.shapes.contains(*name);
    let still = |(node, _): &(&(String, String), &(usize, String))| before.waiting.contains_key(*node);
    let waiting = now.waiting.iter().filter(still);
    Shortage {
        shapes: domain::SHAPES.iter().map(|shape| shape.pod_name).filter(missing).map(str::to_owned).collect(),
        waiting: waiting.map(|(node, waiting)| (node.clone(), waiting.clone())).collect(),
    }
}

/// What is known of the hosts.
#[derive(Debug, Default)]
pub(crate) struct Watched(Mutex<(Option<Supply>, Arc<Shortage>)>);

impl Watched {
    /// Of what hosts are short now. Nothing, before the second look.
    pub(crate) fn shortage(&self) -> Arc<Shortage> {
        Arc::clone(&self.0.lock().1)
    }

    /// Takes what a look saw; gives the clusters and the shapes for which something changed.
    fn take(&self, now: Supply) -> (BTreeSet<String>, BTreeSet<String>) {
        let mut known = self.0.lock();
        let next = known.0.as_ref().map(|before| shortage(before, &now)).unwrap_or_default();
        let last = Arc::clone(&known.1);
        let of = |all: &Shortage, other: &Shortage| {
            let differs =
                |(node, waiting): &(&(String, String), &(usize, String))| other.waiting.get(*node) != Some(waiting);
            all.waiting.iter().filter(differs).map(|((cluster, _), _)| cluster.clone()).collect::<Vec<_>>()
        };
        let clusters = of(&next, &last).into_iter().chain(of(&last, &next)).collect();
        let shapes = next.shapes.symmetric_difference(&last.shapes).cloned().collect();
        *known = (Some(now), Arc::new(next));
        (clusters, shapes)
    }
}

/// Looks at the hosts again and again, and wakes the pools for which something changed.
pub(crate) async fn watch(cloud: &Cloud, queue: &Queue<Key>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let now = match cloud.hosts.supply().await {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(error, "could not look at what hosts offer: {error}");
                continue;
            }
        };
        let (clusters, shapes) = cloud.supply.take(now);
        if clusters.is_empty() && shapes.is_empty() {
            continue;
        }
        let (clusters, shapes): (Vec<String>, Vec<String>) =
            (clusters.into_iter().collect(), shapes.into_iter().collect());
        // Pools that need attention look by themselves; one that was missed here is seen when its nodes change.
        match virtual_node_pool::store::of_all_tenants(&cloud.db, &clusters, &shapes).await {
            Ok(pools) => queue.add_all(pools.into_iter().map(|(cluster, pool)| Key::Pool(cluster, pool))),
            Err(error) => tracing::warn!(%error, "could not find the pools that hosts are short for: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply(shapes: &[&str], waiting: &[(&str, &str, usize)]) -> Supply {
        let waiting = waiting.iter().map(|(cluster, node, pods)| {
            (((*cluster).to_owned(), (*node).to_owned()), (*pods, "no capacity".to_owned()))
        });
        Supply { shapes: shapes.iter().map(|shape| (*shape).to_owned()).collect(), waiting: waiting.collect() }
    }

    const ALL: &[&str] =
        &["Pod.Standard.E4.Flex", "Pod.Standard.E3.Flex", "Pod.Standard3.Flex", "Pod.Standard.A1.Flex"];

    #[test]
    fn one_look_is_not_believed_and_two_are() {
        let watched = Watched::default();
        let names = |told: (BTreeSet<String>, BTreeSet<String>)| format!("{:?} {:?}", told.0, told.1);
        assert_eq!(names(watched.take(supply(&ALL[1..], &[("c", "n", 2)]))), "{} {}");
        assert_eq!(*watched.shortage(), Shortage::default());
        let told = watched.take(supply(&ALL[1..], &[("c", "n", 3), ("d", "m", 1)]));
        assert_eq!(names(told), "{\"c\"} {\"Pod.Standard.E4.Flex\"}");
        let short = watched.shortage();
        assert_eq!(short.waiting.values().map(|(pods, _)| *pods).collect::<Vec<_>>(), [3]);
        // The same again is no news; what ends is.
        assert_eq!(names(watched.take(supply(&ALL[1..], &[("c", "n", 3)]))), "{} {}");
        assert_eq!(names(watched.take(supply(ALL, &[]))), "{\"c\"} {\"Pod.Standard.E4.Flex\"}");
        assert_eq!(*watched.shortage(), Shortage::default());
    }
}
