//! Doing what the rules say about one container instance.

use super::{
    Container, Instance, InstanceState, PlacedRow, Wish, pod,
    reconcile::{Action, At, Observed, Placed, diff},
    store,
    view::{self, Seen},
};
use crate::{
    Cloud, Error,
    work_request::{self, Status},
    worker::Key,
};
use domain::ContainerInstanceId;
use fleet::{FleetError, InstanceNetwork};
use proto::fleet::{PlacementState, placement_state::Phase};
use reconcile::Next;
use serde_json::Value;
use std::{collections::HashMap, time::Duration};

/// How soon an instance that is on its way is looked at again, whatever the fleet says.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How soon, after what a run decided on turned out to be outdated.
const AT_ONCE: Duration = Duration::from_millis(20);

/// One run for an instance.
pub(crate) async fn run(cloud: &Cloud, id: &ContainerInstanceId) -> Result<Next, Error> {
    let Some(mut placements) = cloud.hosts.placements(id) else { return Ok(Next::Settled) };
    let Some(instance) = store::get_all_tenants(&cloud.db, &cloud.hosts.sealer, id).await? else {
        remove_strays(cloud, placements).await?;
        return Ok(Next::Settled);
    };
    let mine = instance.placed.as_ref().and_then(|placed| placements.remove(&placed.uid));
    remove_strays(cloud, placements).await?;
    let containers = store::containers(&cloud.db, id).await?;
    let status = mine.as_ref().filter(|mine| !mine.pod_status.is_empty());
    let status: Option<Value> = status.and_then(|mine| serde_json::from_slice(&mine.pod_status).ok());
    let now = cloud.now_ms();
    let actions = diff(&observe(&instance, &containers, mine.as_ref(), status.as_ref(), now));
    let mut run = Run { cloud, now, before: instance.clone(), instance, finish: None, assigned: false };
    run.look(mine.as_ref());
    for action in &actions {
        run.act(action, &containers).await?;
    }
    let settled = run.conclude(&containers, status.as_ref()).await?;
    if !settled {
        return Ok(Next::After(AT_ONCE));
    }
    let moves = actions.iter().any(|action| matches!(action, Action::Forget | Action::GiveUp(_)));
    if moves {
        cloud.wake(Key::Instance(id.clone()));
    }
    let rests =
        matches!(run.instance.state, InstanceState::Creating | InstanceState::Updating | InstanceState::Deleting);
    Ok(if rests { Next::After(LOOK_AGAIN) } else { Next::Settled })
}

/// Placements that no instance knows of (any more).
async fn remove_strays(cloud: &Cloud, placements: HashMap<String, PlacementState>) -> Result<(), Error> {
    for (uid, state) in placements {
        if state.phase() != Phase::Removing {
            cloud.hosts.fleet.remove_instance(&uid, 0).await.map_err(outside)?;
        }
    }
    Ok(())
}

fn outside(error: FleetError) -> Error {
    Error::Outside(error.to_string())
}

fn observe(
    instance: &Instance,
    containers: &[Container],
    mine: Option<&PlacementState>,
    status: Option<&Value>,
    now_ms: i64,
) -> Observed {
    let at = |mine: &PlacementState| match mine.phase() {
        Phase::Removed | Phase::Unspecified => At::Gone,
        Phase::Waiting => At::Waiting(mine.reason.clone()),
        Phase::Placed => At::Host(view::pod(status.unwrap_or(&Value::Null), containers)),
        Phase::Removing => At::Leaving,
        Phase::Lost => At::Lost,
        Phase::Unknown => At::Silent,
    };
    let placed = instance.placed.as_ref().map(|placed| Placed {
        current: placed.run == instance.run,
        told: placed.generation >= instance.generation,
        seen: placed.seen,
        at: mine.map_or(At::Gone, at),
    });
    Observed {
        wish: instance.wish,
        state: instance.state,
        age_ms: now_ms - instance.state_ms,
        works: instance.work_request_id.is_some(),
        placed,
    }
}

/// One run's surroundings: the instance as it was read, and as it shall be stored.
struct Run<'a> {
    cloud: &'a Cloud,
    now: i64,
    before: Instance,
    instance: Instance,
    /// How the work request ends, if it does.
    finish: Option<Result<(), String>>,
    /// Its placement was made in this run.
    assigned: bool,
}

impl Run<'_> {
    /// Takes over what the fleet says of the placement.
    fn look(&mut self, mine: Option<&PlacementState>) {
        let Some(mine) = mine else { return };
        if let Some(placed) = &mut self.instance.placed {
            placed.seen |= mine.phase() != Phase::Waiting;
        }
        if !mine.address.is_empty() {
            self.instance.private_ip = Some(mine.address.clone());
        }
        if mine.phase() == Phase::Placed && self.instance.state == InstanceState::Active {
            self.instance.details = None;
        }
    }

    async fn act(&mut self, action: &Action, containers: &[Container]) -> Result<(), Error> {
        match action {
            Action::Assign => self.assign().await?,
            Action::Put => self.put(containers).await?,
            Action::Remove { at_once } => {
                let grace = if *at_once { 0 } else { self.instance.spec.grace_seconds() };
                let uid = self.instance.placed.as_ref().map(|placed| placed.uid.clone());
                self.cloud.hosts.fleet.remove_instance(&uid.unwrap_or_default(), grace).await.map_err(outside)?;
            }
            Action::Forget => {
                self.instance.placed = None;
                // Its containers have ended: without what is left of them, nothing is wanted any more.
                if self.instance.state == InstanceState::Inactive {
                    self.instance.wish = Wish::Stop;
                }
            }
            Action::Enter(state, details) => {
                (self.instance.state, self.instance.state_ms) = (*state, self.now);
                self.instance.details.clone_from(details);
            }
            Action::Tell(details) => self.instance.details = Some(details.clone()),
            Action::Finish => self.finish = Some(Ok(())),
            Action::GiveUp(why) => self.give_up(why),
        }
        Ok(())
    }

    /// Chooses the next placement's name and stores it first: what may run is known.
    async fn assign(&mut self) -> Result<(), Error> {
        let uid = uuid::Uuid::now_v7().to_string();
        self.instance.placed = Some(PlacedRow { uid, run: self.instance.run, generation: 0, seen: false });
        let mut connection = self.cloud.db.acquire().await?;
        if !store::settle(&mut connection, &self.instance).await? {
            // A caller was faster; the run that its operation has waked decides anew.
            self.instance.placed = None;
        }
        self.assigned = true;
        self.before = self.instance.clone();
        Ok(())
    }

    async fn put(&mut self, containers: &[Container]) -> Result<(), Error> {
        let Some(placed) = self.instance.placed.clone() else { return Ok(()) };
        let own = self.instance.spec.vnics.first().and_then(|vnic| vnic.private_ip.clone());
        let wishes = match own {
            Some(address) => vec![Some(address)],
            // The address of the run before, if nobody else has it now.
            None => [self.instance.private_ip.clone().map(Some), Some(None)].into_iter().flatten().collect(),
        };
        let mut refusal = String::new();
        for address in wishes {
            let network = InstanceNetwork {
                network_id: self.instance.network_id.clone(),
                range: self.instance.address_range.clone(),
                address,
            };
            let request = pod::request(&self.instance, containers, &placed.uid);
            match self.cloud.hosts.fleet.put_instance(network, request).await {
                Ok(answer) => {
                    self.cloud.hosts.note(&self.instance.id, &placed.uid, &answer.reason);
                    if !placed.seen {
                        self.log("the instance has its place and its address", 40.0).await?;
                    }
                    self.instance.placed = Some(PlacedRow { generation: self.instance.generation, ..placed });
                    return Ok(());
                }
                Err(FleetError::Invalid(why)) => refusal = why,
                Err(error) => return Err(outside(error)),
            }
        }
        self.give_up(&refusal);
        Ok(())
    }

    async fn log(&self, message: &str, percent: f32) -> Result<(), Error> {
        let Some(work) = &self.instance.work_request_id else { return Ok(()) };
        let mut connection = self.cloud.db.acquire().await?;
        Ok(work_request::store::log(&mut connection, work, message, percent, self.now).await?)
    }

    fn give_up(&mut self, why: &str) {
        let instance = &mut self.instance;
        // One that ran before can be started again; a new one can only be deleted.
        let creating = instance.state == InstanceState::Creating;
        instance.state = if creating { InstanceState::Failed } else { InstanceState::Inactive };
        (instance.state_ms, instance.wish) = (self.now, Wish::Stop);
        instance.details = Some(why.to_owned());
        self.finish = Some(Err(why.to_owned()));
    }

    /// Stores how the instance and its containers are, and ends the work, in one transaction: who waited for the end sees
    /// the state that it led to. False if a caller was faster; then nothing is stored.
    async fn conclude(&mut self, containers: &[Container], status: Option<&Value>) -> Result<bool, Error> {
        let mut txn = self.cloud.db.begin().await?;
        let work = self.instance.work_request_id.clone();
        if self.finish.is_some() {
            self.instance.work_request_id = None;
        }
        if self.changed() && !store::settle(&mut txn, &self.instance).await? {
            return Ok(false);
        }
        let mut active = 0;
        for container in containers {
            let seen = self.seen(container, status);
            active += u16::from(seen.state == InstanceState::Active);
            if seen != container.seen {
                store::see(&mut txn, container, &seen).await?;
            }
        }
        if let (Some(work), Some(outcome)) = (work, &self.finish) {
            let (status, message) = match outcome {
                Ok(()) => (Status::Succeeded, format!("the container instance is {}", self.instance.state)),
                Err(why) => (Status::Failed, why.clone()),
            };
            work_request::store::finish(&mut txn, &work, status, &message, self.now).await?;
        } else if let (Some(work), true) = (&self.instance.work_request_id, active > 0) {
            let share = f32::from(active) / containers.len() as f32;
            work_request::store::progress(&mut txn, work, 40.0 + 50.0 * share).await?;
        }
        txn.commit().await?;
        Ok(true)
    }

    fn changed(&self) -> bool {
        let key = |instance: &Instance| {
            (
                (instance.state, instance.details.clone(), instance.wish, instance.placed.clone()),
                (instance.private_ip.clone(), instance.work_request_id.clone()),
            )
        };
        key(&self.before) != key(&self.instance)
    }

    /// How a container is: as its host says while there is a placement, at rest otherwise.
    fn seen(&self, container: &Container, status: Option<&Value>) -> Seen {
        let spec = self.instance.spec.containers.get(container.number);
        let checks = spec.and_then(|spec| spec.health_checks.as_ref()).map_or(0, Vec::len);
        let seen = match (&self.instance.placed, status) {
            (Some(_), Some(status)) => view::container(status, container, checks),
            // Placed anew, and nothing is heard yet.
            _ if self.assigned && container.seen.state == InstanceState::Active => {
                container.seen.at_rest(InstanceState::Inactive)
            }
            _ => container.seen.clone(),
        };
        match self.instance.state {
            InstanceState::Deleted => seen.at_rest(InstanceState::Deleted),
            InstanceState::Failed if self.instance.placed.is_none() => seen.at_rest(InstanceState::Failed),
            InstanceState::Inactive if self.instance.placed.is_none() => seen.at_rest(InstanceState::Inactive),
            _ => seen,
        }
    }
}
