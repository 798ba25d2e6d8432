//! The cloud API's side of the fleet: what it has of container instances, kept up to date.

use crate::{Cloud, Supply, worker::Key};
use domain::ContainerInstanceId;
use fleet::Fleet;
use parking_lot::Mutex;
use proto::fleet::{PlacementState, placement_event::Event, placement_state::Phase};
use reconcile::Queue;
use sealing::Sealer;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How soon a watch that ended is begun again.
const AGAIN: Duration = Duration::from_millis(500);

/// Hosts, by the fleet, and what seals at rest what they are told.
#[derive(Debug)]
pub struct Hosts {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) sealer: Arc<Sealer>,
    placements: Mutex<Placements>,
    /// Says what hosts offer, in place of the fleet.
    told: Option<Arc<std::sync::Mutex<Supply>>>,
}

#[derive(Debug, Default)]
struct Placements {
    /// All there is has been told.
    complete: bool,
    by_instance: HashMap<String, HashMap<String, PlacementState>>,
}

impl Hosts {
    /// Hosts of a fleet. Specs of container instances are sealed with `sealer`.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>, sealer: Arc<Sealer>) -> Self {
        Self { fleet, sealer, placements: Mutex::default(), told: None }
    }

    /// The same hosts, of which `told` says what they offer: where the fleet is one without hosts.
    #[must_use]
    pub fn with_supply(self, told: Arc<std::sync::Mutex<Supply>>) -> Self {
        Self { told: Some(told), ..self }
    }

    /// What hosts offer now, and whose pods wait for room.
    pub(crate) async fn supply(&self) -> Result<Supply, String> {
        if let Some(told) = &self.told {
            return told.lock().map(|told| told.clone()).map_err(|error| error.to_string());
        }
        let supply = self.fleet.supply().await.map_err(|error| error.to_string())?;
        let waiting = supply.waiting.into_iter().map(|(node, waiting)| (node, (waiting.pods, waiting.reason)));
        let shapes = supply.shapes.into_iter().map(str::to_owned).collect();
        Ok(Supply { shapes, waiting: waiting.collect() })
    }

    /// What the fleet has of an instance, by uid; `None` as long as that is not known.
    pub(super) fn placements(&self, instance: &ContainerInstanceId) -> Option<HashMap<String, PlacementState>> {
        let all = self.placements.lock();
        all.complete.then(|| all.by_instance.get(instance.as_str()).cloned().unwrap_or_default())
    }

    /// Notes a placement that was put: it may run, whether or not the watch has said so yet.
    pub(super) fn note(&self, instance: &ContainerInstanceId, uid: &str, reason: &str) {
        let state = PlacementState {
            uid: uid.to_owned(),
            cluster_id: instance.to_string(),
            phase: Phase::Waiting.into(),
            reason: reason.to_owned(),
            ..PlacementState::default()
        };
        let mut all = self.placements.lock();
        all.by_instance.entry(instance.to_string()).or_default().entry(uid.to_owned()).or_insert(state);
    }

    fn take(&self, state: PlacementState) {
        let mut all = self.placements.lock();
        let (instance, uid) = (state.cluster_id.clone(), state.uid.clone());
        if state.phase() != Phase::Removed {
            all.by_instance.entry(instance).or_default().insert(uid, state);
        } else if let Some(mine) = all.by_instance.get_mut(&instance) {
            mine.remove(&uid);
            if mine.is_empty() {
                all.by_instance.remove(&instance);
            }
        }
    }
}

/// Follows the fleet, and wakes instances whose placements change.
pub(crate) async fn listen(cloud: &Cloud, queue: &Queue<Key>) {
    loop {
        match cloud.hosts.fleet.watch_instances().await {
            Ok(mut events) => {
                *cloud.hosts.placements.lock() = Placements::default();
                while let Some(event) = events.recv().await {
                    match event.event {
                        Some(Event::State(state)) => {
                            let id = state.cluster_id.parse::<ContainerInstanceId>();
                            cloud.hosts.take(state);
                            queue.add_all(id.ok().map(Key::Instance));
                        }
                        Some(Event::Synced(_)) => {
                            cloud.hosts.placements.lock().complete = true;
                            wake_all(cloud, queue).await;
                        }
                        None => {}
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "could not follow the placements of container instances: {error}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Wakes all that the fleet has, or should have.
async fn wake_all(cloud: &Cloud, queue: &Queue<Key>) {
    let known: Vec<String> = cloud.hosts.placements.lock().by_instance.keys().cloned().collect();
    queue.add_all(known.iter().filter_map(|id| id.parse().ok()).map(Key::Instance));
    match super::store::unsettled_all_tenants(&cloud.db).await {
        Ok(ids) => queue.add_all(ids.into_iter().map(Key::Instance)),
        Err(error) => tracing::warn!(%error, "could not look for container instances; the next look at all finds them"),
    }
}
