//! Observes a pool and does what the diff says. Every step is safe to repeat.

use super::{
    LifecycleState, Pool, cycling, node,
    reconcile::{Action, NodeView, ObjectView, Observed, Shortage, diff},
    store,
};
use crate::{
    Cloud, Error,
    cluster::store::{Terms, terms_all_tenants},
    supply,
    virtual_node::VirtualNode,
    work_request::{self, Status},
};
use domain::{VirtualNodeId, VirtualNodePoolId};
use futures::{StreamExt, TryStreamExt, stream};
use kube_api::{
    Actor,
    ops::{self, DeleteOptions, Patch},
};
use kube_schema::Kind;
use kube_store::{Cluster, Key, Object, StoreError};
use problem::kube::Status as Refusal;
use reconcile::Next;
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::{sync::Arc, time::Duration};

/// Pause after a run that did something: the next one sees what came of it.
const AGAIN: Duration = Duration::from_millis(20);
/// Pause while pods leave; Node events come by themselves.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Pause while nothing can be done but to see whether hosts or nodes are well again.
const LOOK_SELDOM: Duration = Duration::from_secs(5);
/// Nodes added in one run: the others follow in the next ones, and a caller's change is seen in between.
const ADDITIONS: usize = 200;
/// Nodes worked on at a time; each may need a database connection.
const TOGETHER: usize = 8;
/// Evictions begun in one run: a full node's pods do not all stop in the same moment.
const EVICTIONS: usize = 100;

/// How far a node's deletion is said to be while it is drained, in per cent.
const HALF: f32 = 50.0;

/// One run for a pool.
pub(crate) async fn run(cloud: &Cloud, id: &VirtualNodePoolId) -> Result<Next, Error> {
    let Some(pool) = store::get_all_tenants(&cloud.db, id).await? else { return Ok(Next::Settled) };
    if pool.state == LifecycleState::Deleted {
        return Ok(Next::Settled);
    }
    let cluster = match cloud.stores.cluster(&pool.cluster_id).await {
        Ok(cluster) => Some(cluster),
        Err(StoreError::NotFound) => None,
        Err(error) => return Err(error.into()),
    };
    let rows = store::nodes(&cloud.db, id).await?;
    // After the pool: who changes this gives the pools another version, so nothing is concluded from an old answer.
    let terms = terms_all_tenants(&cloud.db, &pool.cluster_id).await?;
    let observed = observe((cloud, terms), &pool, &rows, cluster.as_deref());
    let now = cloud.now_ms();
    let actions = diff(&observed, now);
    let actor = Actor::system("system:cloud-controller-manager");
    let run = Run { cloud, pool: &pool, rows: &rows, cluster, terms, actor, now };
    let (last, first): (Vec<&Action>, Vec<&Action>) = actions.iter().partition(|action| action.is_about_the_pool());
    run.act_on_nodes(first).await?;
    if !run.conclude(&last).await? {
        // A caller changed the pool meanwhile: look at it anew.
        return Ok(Next::After(AGAIN));
    }
    let moved = actions.iter().any(|action| !matches!(action, Action::Evict(_) | Action::Mark(..)));
    let rests = pool.work_request_id.is_none() && rows.iter().all(|row| row.state != LifecycleState::Deleting);
    Ok(match pool.state {
        _ if moved => Next::After(AGAIN),
        LifecycleState::Active => Next::Settled,
        LifecycleState::NeedsAttention if rests => Next::After(LOOK_SELDOM),
        _ => Next::After(LOOK_AGAIN),
    })
}

fn node_key(name: &str) -> Key {
    Key::new("nodes", "", name)
}

fn kind(group: &str, version: &str, plural: &str) -> &'static Kind {
    kube_schema::by_plural(group, version, plural).expect("nodes and pods are built in")
}

fn observe((cloud, terms): (&Cloud, Terms), pool: &Pool, rows: &[VirtualNode], cluster: Option<&Cluster>) -> Observed {
    let view = |row: &VirtualNode| {
        let object = cluster.and_then(|cluster| cluster.get(&node_key(&row.node_name)));
        NodeView {
            id: row.id.clone(),
            name: row.node_name.clone(),
            state: row.state,
            details: row.details.clone(),
            state_ms: row.state_ms,
            place: (row.availability_domain.clone(), row.fault_domain.clone()),
            drain_ms: row.drain_ms,
            forced: row.forced,
            object: cluster.zip(object).map(|(cluster, object)| look_at((pool, terms), row, cluster, &object)),
        }
    };
    let faults = |placement: &super::PlacementConfiguration| {
        let domain = placement.availability_domain.clone().unwrap_or_default();
        let faults = placement.fault_domain.clone().unwrap_or_default();
        faults.into_iter().map(move |fault| (domain.clone(), fault)).collect::<Vec<_>>()
    };
    Observed {
        state: pool.state,
        details: pool.details.clone(),
        size: if terms.paused { 0 } else { pool.size },
        state_ms: pool.state_ms,
        works: pool.work_request_id.is_some(),
        nodes: rows.iter().map(view).collect(),
        places: pool.spec.placement_configurations.iter().flat_map(faults).collect(),
        drain_ms: i64::try_from(cloud.config.drain_within.as_millis()).unwrap_or(i64::MAX),
        cycling: cycling::steps(pool.spec.virtual_node_pool_cycling_details.as_ref(), pool.size),
        short: short(&cloud.supply.shortage(), pool, rows),
    }
}

/// Of what hosts are short for a pool.
fn short(shortage: &supply::Shortage, pool: &Pool, rows: &[VirtualNode]) -> Option<Shortage> {
    let shape = node::shape(pool);
    if shortage.shapes.contains(shape) && pool.size > 0 {
        return Some(Shortage::Shape(format!("hosts are short: no host offers {shape}")));
    }
    let of = |row: &VirtualNode| shortage.waiting.get(&(pool.cluster_id.as_str().to_owned(), row.node_name.clone()));
    let waiting: Vec<_> = if shortage.waiting.is_empty() { vec![] } else { rows.iter().filter_map(of).collect() };
    let reason = waiting.iter().map(|(_, reason)| reason).max()?;
    let pods: usize = waiting.iter().map(|(pods, _)| pods).sum();
    let (pods, nodes) = (count(pods, "pod waits", "pods wait"), count(waiting.len(), "virtual node", "virtual nodes"));
    Some(Shortage::Room(format!("hosts are short: {pods} for room on {nodes} ({reason})")))
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn look_at((pool, terms): (&Pool, Terms), row: &VirtualNode, cluster: &Cluster, object: &Object) -> ObjectView {
    let value = object.value();
    // Counting pods costs a pass over all of them: only who must wait for them, or choose, does it.
    let leaves = matches!(row.state, LifecycleState::Deleting);
    let chooses = matches!(pool.state, LifecycleState::Updating | LifecycleState::Deleting)
        || (pool.state == LifecycleState::NeedsAttention && pool.work_request_id.is_some());
    ObjectView {
        ready: node::readiness(&value),
        cordoned: value.pointer("/spec/unschedulable") == Some(&Value::Bool(true)),
        pods: if leaves || chooses { pods_to_move(cluster, &row.node_name).len() } else { 0 },
        stale: node::retemplate(pool, terms.key_generation, &value).is_some(),
        outdated: node::is_outdated(pool, &value),
        behind: node::behind(pool, &value),
        address: node::internal_ip(&value),
    }
}

/// Pods that a drain moves: those of DaemonSets are made for their node, and would only be made anew.
fn pods_to_move(cluster: &Cluster, node: &str) -> Vec<Arc<Object>> {
    let mut pods = pods_on(cluster, node);
    pods.retain(|pod| !pod.meta.owners.iter().any(|owner| owner.kind == "DaemonSet"));
    pods
}

/// Pods on a node that have not ended.
fn pods_on(cluster: &Cluster, node: &str) -> Vec<Arc<Object>> {
    let field = |object: &Object, name: &str, value: &dyn Fn(&str) -> bool| {
        object.meta.fields.iter().any(|(field, found)| *field == name && value(found))
    };
    let mut pods = cluster.list("pods", None).1;
    pods.retain(|pod| {
        field(pod, "spec.nodeName", &|found| found == node)
            && !field(pod, "status.phase", &|phase| phase == "Succeeded" || phase == "Failed")
    });
    pods
}

/// One run's surroundings.
struct Run<'a> {
    cloud: &'a Cloud,
    pool: &'a Pool,
    rows: &'a [VirtualNode],
    cluster: Option<Arc<Cluster>>,
    terms: Terms,
    actor: Actor,
    now: i64,
}

impl Run<'_> {
    /// Does the steps of all nodes: several nodes at a time, each one's steps in order.
    async fn act_on_nodes(&self, actions: Vec<&Action>) -> Result<(), Error> {
        let (adds, others): (Vec<&Action>, Vec<&Action>) =
            actions.into_iter().partition(|action| matches!(action, Action::Add(..)));
        let places = adds.into_iter().filter_map(|action| match action {
            Action::Add(availability, fault) => Some((availability.as_str(), fault.as_str())),
            _ => None,
        });
        self.add(places.take(ADDITIONS).collect()).await?;
        let of_one_node = others.chunk_by(|one, other| one.node() == other.node());
        let work: Vec<_> = of_one_node.map(|steps| self.act_in_order(steps)).collect();
        stream::iter(work).buffer_unordered(TOGETHER).try_collect::<()>().await?;
        let becomes_active = |action: &&Action| matches!(action, Action::Mark(_, LifecycleState::Active, ..));
        match others.iter().filter(|action| becomes_active(action)).count() {
            0 => Ok(()),
            more => self.progress(more).await,
        }
    }

    async fn act_in_order(&self, steps: &[&Action]) -> Result<(), Error> {
        for step in steps {
            self.act(step).await?;
        }
        Ok(())
    }

    /// Says how the pool is and ends its work, in one transaction: who waited for the end sees the state that it led to.
    /// False if the pool is not what it was when it was read; then nothing is said.
    async fn conclude(&self, actions: &[&Action]) -> Result<bool, Error> {
        if actions.is_empty() {
            return Ok(true);
        }
        let mut txn = self.cloud.db.begin().await?;
        let mut same = true;
        for action in actions {
            match action {
                Action::MarkPool(state, details) => {
                    same &= store::settle(&mut txn, self.pool, *state, details.as_deref(), self.now).await?;
                }
                Action::Finish(outcome) => self.finish(&mut txn, outcome).await?,
                _ => {}
            }
        }
        if same {
            txn.commit().await?;
        }
        Ok(same)
    }

    /// Does one step of one node.
    async fn act(&self, action: &Action) -> Result<(), Error> {
        match action {
            Action::Add(availability, fault) => self.add(vec![(availability.as_str(), fault.as_str())]).await?,
            Action::Register(id) => self.register(id).await?,
            Action::Retemplate(id) => {
                self.patch_node(id, |current| node::retemplate(self.pool, self.terms.key_generation, current)).await?
            }
            Action::Retire(id) => self.mark(id, LifecycleState::Deleting, None, None).await?,
            Action::Cordon(id) => self.cordon(id).await?,
            Action::Restore(id) => self.restore(id).await?,
            Action::Evict(id) => self.evict(id).await?,
            Action::Remove(id) => self.remove(id).await?,
            Action::Mark(id, state, details, address) => {
                self.mark(id, *state, details.as_deref(), address.as_deref()).await?;
            }
            Action::MarkPool(..) | Action::Finish(_) => unreachable!("the pool's own steps are not among its nodes'"),
        }
        Ok(())
    }

    fn row(&self, id: &VirtualNodeId) -> Option<(&VirtualNode, &Cluster)> {
        Some((self.rows.iter().find(|row| row.id == *id)?, self.cluster.as_deref()?))
    }

    /// Makes nodes in these availability and fault domains: their rows in one transaction, their Nodes in as few as the
    /// cluster's writer can.
    async fn add(&self, places: Vec<(&str, &str)>) -> Result<(), Error> {
        if places.is_empty() {
            return Ok(());
        }
        let rows: Vec<VirtualNode> =
            places.into_iter().map(|(availability, fault)| self.new_row(availability, fault)).collect();
        store::insert_nodes(&mut *self.cloud.db.acquire().await?, &rows).await?;
        let work: Vec<_> = rows.iter().map(|row| self.register_row(row)).collect();
        stream::iter(work).buffer_unordered(ADDITIONS).try_collect::<()>().await?;
        let names: Vec<&str> = rows.iter().map(|row| row.node_name.as_str()).collect();
        self.log(&match names.as_slice() {
            [one] => format!("registered virtual node {one}"),
            few if few.len() <= 10 => format!("registered virtual nodes {}", few.join(", ")),
            many => format!("registered {} virtual nodes", many.len()),
        })
        .await
    }

    fn new_row(&self, availability: &str, fault: &str) -> VirtualNode {
        let placements = &self.pool.spec.placement_configurations;
        let placement = placements.iter().find(|p| p.availability_domain.as_deref() == Some(availability));
        let id = VirtualNodeId::generate();
        VirtualNode {
            node_name: node::name(&self.pool.display_name, &id),
            id,
            pool_id: self.pool.id.clone(),
            cluster_id: self.pool.cluster_id.clone(),
            availability_domain: availability.to_owned(),
            fault_domain: fault.to_owned(),
            subnet_id: placement.and_then(|placement| placement.subnet_id.clone()).unwrap_or_default(),
            state: LifecycleState::Creating,
            details: None,
            private_ip: None,
            drain_ms: None,
            forced: true,
            shrinks: false,
            work_request_id: None,
            created_ms: self.now,
            state_ms: self.now,
        }
    }

    async fn register(&self, id: &VirtualNodeId) -> Result<(), Error> {
        let Some((row, _)) = self.row(id) else { return Ok(()) };
        self.register_row(row).await?;
        self.log(&format!("registered virtual node {}", row.node_name)).await
    }

    async fn register_row(&self, row: &VirtualNode) -> Result<(), Error> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let object = node::object((self.pool, self.terms.key_generation), row, &self.cloud.config.region);
        match ops::create(cluster, kind("", "v1", "nodes"), "", object, &self.actor).await {
            Err(refusal) if refusal.reason() != "AlreadyExists" => Err(refusal.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn patch_node(&self, id: &VirtualNodeId, patch: impl Fn(&Value) -> Option<Value>) -> Result<(), Error> {
        let Some((row, cluster)) = self.row(id) else { return Ok(()) };
        let Some(current) = cluster.get(&node_key(&row.node_name)) else { return Ok(()) };
        let Some(patch) = patch(&current.value()) else { return Ok(()) };
        let nodes = kind("", "v1", "nodes");
        let done = ops::patch(cluster, nodes, "", &row.node_name, Patch::Merge(patch), &self.actor).await;
        done.map(drop).map_err(Error::from)
    }

    async fn cordon(&self, id: &VirtualNodeId) -> Result<(), Error> {
        self.patch_node(id, |_| Some(json!({"spec": {"unschedulable": true}}))).await?;
        let Some((row, cluster)) = self.row(id) else { return Ok(()) };
        let pods = count(pods_to_move(cluster, &row.node_name).len(), "pod", "pods");
        self.log_of(row, &format!("draining virtual node {}: {pods} to move", row.node_name)).await
    }

    async fn evict(&self, id: &VirtualNodeId) -> Result<(), Error> {
        let Some((row, cluster)) = self.row(id) else { return Ok(()) };
        let leaving = pods_to_move(cluster, &row.node_name);
        let mut held = 0;
        for pod in leaving.iter().filter(|pod| pod.meta.deletion.is_none()).take(EVICTIONS) {
            let (namespace, name) = (&*pod.key.namespace, &*pod.key.name);
            if self.terms.paused {
                // There is no other node to move to: disruption budgets would only keep pods running.
                let (pods, options) = (kind("", "v1", "pods"), DeleteOptions::default());
                gone(ops::delete(cluster, pods, namespace, name, &options, &self.actor).await)?;
                continue;
            }
            match ops::evict(cluster, namespace, name, &DeleteOptions::default(), &self.actor).await {
                Ok(()) => {}
                // A disruption budget says "not now": the next look tells.
                Err(refusal) if refusal.reason() == "TooManyRequests" => held += 1,
                Err(refusal) if refusal.reason() == "NotFound" => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        let pods = count(leaving.len(), "pod is left", "pods are left");
        let details = match held {
            0 => format!("draining: {pods}"),
            held => format!("draining: {pods}, {held} of them held by disruption budgets"),
        };
        if row.details.as_ref() == Some(&details) {
            return Ok(());
        }
        self.mark(id, LifecycleState::Deleting, Some(&details), None).await
    }

    async fn remove(&self, id: &VirtualNodeId) -> Result<(), Error> {
        let Some(row) = self.rows.iter().find(|row| row.id == *id) else { return Ok(()) };
        if let Some(cluster) = &self.cluster {
            let left = pods_on(cluster, &row.node_name);
            for pod in &left {
                let (namespace, name) = (&*pod.key.namespace, &*pod.key.name);
                let pods = kind("", "v1", "pods");
                gone(ops::delete(cluster, pods, namespace, name, &DeleteOptions::now(), &self.actor).await)?;
            }
            let nodes = kind("", "v1", "nodes");
            gone(ops::delete(cluster, nodes, "", &row.node_name, &DeleteOptions::now(), &self.actor).await)?;
            let with = match left.len() {
                0 => String::new(),
                left => format!(" with {} that had not left in time", count(left, "pod", "pods")),
            };
            self.log_of(row, &format!("removed virtual node {}{with}", row.node_name)).await?;
        }
        let mut txn = self.cloud.db.begin().await?;
        store::settle_node(&mut txn, id, LifecycleState::Deleted, None, None, self.now).await?;
        if let Some(work) = &row.work_request_id {
            work_request::store::finish(&mut txn, work, Status::Succeeded, "virtual node deleted", self.now).await?;
        }
        Ok(txn.commit().await?)
    }

    /// A node whose pods did not leave in time, and that must not go with them, is what it was before.
    async fn restore(&self, id: &VirtualNodeId) -> Result<(), Error> {
        let Some((row, cluster)) = self.row(id) else { return Ok(()) };
        let left = count(pods_to_move(cluster, &row.node_name).len(), "pod", "pods");
        let why = format!("virtual node {} stays: {left} did not leave it in time", row.node_name);
        self.patch_node(id, |_| Some(json!({"spec": {"unschedulable": null}}))).await?;
        let mut txn = self.cloud.db.begin().await?;
        if store::restore_node(&mut txn, id, &why, self.now).await?
            && let Some(work) = &row.work_request_id
        {
            work_request::store::finish(&mut txn, work, Status::Failed, &why, self.now).await?;
        }
        Ok(txn.commit().await?)
    }

    async fn mark(
        &self,
        id: &VirtualNodeId,
        state: LifecycleState,
        details: Option<&str>,
        address: Option<&str>,
    ) -> Result<(), Error> {
        let mut connection = self.cloud.db.acquire().await?;
        Ok(store::settle_node(&mut connection, id, state, details, address, self.now).await?)
    }

    async fn finish(&self, txn: &mut PgConnection, outcome: &Result<(), String>) -> Result<(), Error> {
        let Some(work) = &self.pool.work_request_id else { return Ok(()) };
        let (status, message) = match outcome {
            Ok(()) if self.pool.state == LifecycleState::Deleting => (Status::Succeeded, "virtual node pool deleted"),
            Ok(()) if self.terms.paused => {
                (Status::Succeeded, "the cluster is paused: virtual nodes come when it is resumed")
            }
            Ok(()) => (Status::Succeeded, "all virtual nodes are ready"),
            Err(why) => (Status::Failed, why.as_str()),
        };
        store::close_work(&mut *txn, self.pool, work).await?;
        Ok(work_request::store::finish(txn, work, status, message, self.now).await?)
    }

    /// Notes how far the work is, now that `more` nodes are ready.
    async fn progress(&self, more: usize) -> Result<(), Error> {
        let Some(work) = &self.pool.work_request_id else { return Ok(()) };
        let mut connection = self.cloud.db.acquire().await?;
        Ok(work_request::store::progress(&mut connection, work, self.percent(more)).await?)
    }

    /// Notes a step of a node in the work that it belongs to: its own, else the pool's.
    async fn log_of(&self, row: &VirtualNode, message: &str) -> Result<(), Error> {
        let Some(work) = &row.work_request_id else { return self.log(message).await };
        let mut connection = self.cloud.db.acquire().await?;
        Ok(work_request::store::log(&mut connection, work, message, HALF, self.now).await?)
    }

    async fn log(&self, message: &str) -> Result<(), Error> {
        let Some(work) = &self.pool.work_request_id else { return Ok(()) };
        let mut connection = self.cloud.db.acquire().await?;
        Ok(work_request::store::log(&mut connection, work, message, self.percent(0), self.now).await?)
    }

    fn percent(&self, more: usize) -> f32 {
        let ready = more + self.rows.iter().filter(|row| row.state == LifecycleState::Active).count();
        (ready as f32 / self.pool.size.max(1) as f32 * 100.0).clamp(5.0, 95.0)
    }
}

/// What is gone already is as good as deleted.
fn gone<T>(outcome: Result<T, Refusal>) -> Result<(), Error> {
    match outcome {
        Err(refusal) if refusal.reason() != "NotFound" => Err(refusal.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}
