//! What the queue holds: one controller's look at one object, or at one whole cluster.

use domain::ClusterId;
use kube_store::Object;
use std::sync::Arc;

/// The controllers. Their order is that of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Controller {
    Namespace,
    Deployment,
    ReplicaSet,
    Endpoint,
    Disruption,
    Garbage,
    PodGc,
    Node,
    Scheduler,
    Event,
}

/// One thing to reconcile.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub(crate) cluster: ClusterId,
    pub(crate) controller: Controller,
    pub(crate) object: kube_store::Key,
}

impl Key {
    /// Which controller it is for.
    #[must_use]
    pub fn controller_name(&self) -> &'static str {
        match self.controller {
            Controller::Namespace => "namespace",
            Controller::Deployment => "deployment",
            Controller::ReplicaSet => "replica_set",
            Controller::Endpoint => "endpoint",
            Controller::Disruption => "disruption",
            Controller::Garbage => "garbage",
            Controller::PodGc => "pod_gc",
            Controller::Node => "node",
            Controller::Scheduler => "scheduler",
            Controller::Event => "event",
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kube_store::Key { resource, namespace, name } = &self.object;
        write!(f, "{:?} {}/{resource}/{namespace}/{name}", self.controller, self.cluster)
    }
}

impl reconcile::Key for Key {
    type Lane = ClusterId;

    fn lane(&self) -> ClusterId {
        self.cluster.clone()
    }
}

/// Collects the keys of one controller in one cluster.
pub(crate) struct Keys<'a> {
    pub(crate) cluster: &'a ClusterId,
    pub(crate) controller: Controller,
    pub(crate) found: Vec<Key>,
}

impl Keys<'_> {
    /// The object at this key.
    pub(crate) fn push(&mut self, object: kube_store::Key) {
        self.found.push(Key { cluster: self.cluster.clone(), controller: self.controller, object });
    }

    /// The object itself.
    pub(crate) fn object(&mut self, object: &Object) {
        self.push(object.key.clone());
    }

    /// An object by its parts.
    pub(crate) fn named(&mut self, resource: &'static str, namespace: &Arc<str>, name: &str) {
        self.push(kube_store::Key::new(resource, Arc::clone(namespace), name));
    }

    /// The whole cluster.
    pub(crate) fn whole(&mut self) {
        self.push(kube_store::Key::new("", "", ""));
    }
}
