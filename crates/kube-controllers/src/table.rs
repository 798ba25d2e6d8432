//! The one table of controllers: what each watches, which keys an event means, and what is looked at from the start.

use crate::act::Fault;
use crate::key::{Controller, Key, Keys};
use crate::world::{Memory, World};
use crate::{deployment, disruption, endpoint, events, garbage, namespace, node, pod_gc, replica_set, scheduler};
use jiff::Timestamp;
use kube_store::{Cluster, Event};
use reconcile::Next;

/// One controller.
pub(crate) struct Row {
    pub(crate) controller: Controller,
    /// Resources whose events it wants; empty for all.
    watches: &'static [&'static str],
    start: Start,
}

/// What a controller looks at when a cluster comes into memory.
enum Start {
    /// Each object of a resource.
    Each(&'static str),
    /// The cluster as a whole.
    Whole,
    /// Whatever its rules find among all objects.
    All,
}

/// All controllers.
pub(crate) const TABLE: [Row; 10] = [
    row(Controller::Namespace, &[], Start::Each(namespace::RESOURCE)),
    row(
        Controller::Deployment,
        &[deployment::RESOURCE, deployment::REPLICA_SETS, "pods"],
        Start::Each(deployment::RESOURCE),
    ),
    row(Controller::ReplicaSet, &[replica_set::RESOURCE, replica_set::PODS], Start::Each(replica_set::RESOURCE)),
    row(
        Controller::Endpoint,
        &[endpoint::SERVICES, endpoint::SLICES, endpoint::ENDPOINTS, "pods"],
        Start::Each(endpoint::SERVICES),
    ),
    row(
        Controller::Disruption,
        &[
            disruption::RESOURCE,
            "pods",
            "deployments.apps",
            "replicasets.apps",
            "statefulsets.apps",
            "replicationcontrollers",
        ],
        Start::Each(disruption::RESOURCE),
    ),
    row(Controller::Garbage, &[], Start::All),
    row(Controller::PodGc, &["pods", "nodes"], Start::Whole),
    row(Controller::Node, &[node::RESOURCE, node::LEASES, "pods"], Start::Whole),
    row(Controller::Scheduler, &["pods", "nodes"], Start::Whole),
    row(Controller::Event, &[events::RESOURCE], Start::Whole),
];

const fn row(controller: Controller, watches: &'static [&'static str], start: Start) -> Row {
    Row { controller, watches, start }
}

/// The keys that an event means. Also notes what is only remembered, as signs of life of nodes.
pub(crate) fn keys(cluster: &Cluster, memory: &Memory, event: &Event, now: Timestamp) -> Vec<Key> {
    let resource = &*event.object.key.resource;
    let mut all = Vec::new();
    for row in TABLE.iter().filter(|row| row.watches.is_empty() || row.watches.contains(&resource)) {
        let mut out = Keys { cluster: cluster.id(), controller: row.controller, found: Vec::new() };
        match row.controller {
            Controller::Namespace => namespace::drive::keys(cluster, event, &mut out),
            Controller::Deployment => deployment::drive::keys(cluster, event, &mut out),
            Controller::ReplicaSet => replica_set::drive::keys(cluster, event, &mut out),
            Controller::Endpoint => endpoint::drive::keys(cluster, memory, event, &mut out),
            Controller::Disruption => disruption::drive::keys(cluster, event, &mut out),
            Controller::Garbage => garbage::drive::keys(cluster, event, &mut out),
            Controller::PodGc => pod_gc::drive::keys(memory, event, &mut out),
            Controller::Node => node::drive::keys(cluster, memory, event, now, &mut out),
            Controller::Scheduler => scheduler::drive::keys(memory, event, &mut out),
            Controller::Event => events::drive::keys(cluster, event, &mut out),
        }
        all.append(&mut out.found);
    }
    all
}

/// Everything that all controllers look at in a cluster.
pub(crate) fn all_keys(cluster: &Cluster) -> Vec<Key> {
    let mut all = Vec::new();
    for row in &TABLE {
        let mut out = Keys { cluster: cluster.id(), controller: row.controller, found: Vec::new() };
        match row.start {
            Start::Each(resource) => cluster.list(resource, None).1.iter().for_each(|object| out.object(object)),
            Start::Whole => out.whole(),
            Start::All => {
                for resource in cluster.resources() {
                    let objects = cluster.list(&resource, None).1;
                    objects.iter().for_each(|object| garbage::drive::look_at(cluster, object, &mut out));
                }
            }
        }
        all.append(&mut out.found);
    }
    all
}

/// One run of one controller.
pub(crate) async fn reconcile(world: &World, key: &Key) -> Result<Next, Fault> {
    match key.controller {
        Controller::Namespace => namespace::drive::reconcile(world, key).await,
        Controller::Deployment => deployment::drive::reconcile(world, key).await,
        Controller::ReplicaSet => replica_set::drive::reconcile(world, key).await,
        Controller::Endpoint => endpoint::drive::reconcile(world, key).await,
        Controller::Disruption => disruption::drive::reconcile(world, key).await,
        Controller::Garbage => garbage::drive::reconcile(world, key).await,
        Controller::PodGc => pod_gc::drive::reconcile(world, key).await,
        Controller::Node => node::drive::reconcile(world, key).await,
        Controller::Scheduler => scheduler::drive::reconcile(world, key).await,
        Controller::Event => events::drive::reconcile(world, key).await,
    }
}
