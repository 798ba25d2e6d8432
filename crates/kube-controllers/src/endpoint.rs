//! EndpointSlices and Endpoints: the addresses behind a Service's selector.
//! Source of the rules: kubernetes/pkg/controller/{endpoint,endpointslice}, k8s.io/endpointslice.

mod address;
pub(crate) mod drive;
mod legacy;
mod slice;
#[cfg(test)]
mod tests;

use crate::action::{Action, Plan, Propagation, Target};
use crate::view;
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::{collections::BTreeMap, sync::Arc};

/// Resource name of Services.
pub const SERVICES: &str = "services";
/// Resource name of EndpointSlices.
pub const SLICES: &str = "endpointslices.discovery.k8s.io";
/// Resource name of Endpoints.
pub const ENDPOINTS: &str = "endpoints";
/// Label of a slice that names its Service.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Label of a slice that names who keeps it.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`] for our slices.
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Label of Endpoints that names who keeps it.
pub const LEGACY_MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// Value of [`LEGACY_MANAGED_BY`] for our Endpoints.
pub const LEGACY_MANAGER: &str = "endpoint-controller";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// Everything that a Service's endpoints depend on.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The Service; `None` if it is gone.
    pub service: Option<Service>,
    /// Pods of its namespace that fit its selector.
    pub pods: Vec<Arc<Pod>>,
    /// Slices of the Service that we keep.
    pub slices: Vec<EndpointSlice>,
    /// The Endpoints object of the Service's name.
    pub endpoints: Option<Endpoints>,
    /// Zone of each node that has one.
    pub zones: BTreeMap<String, String>,
}

/// Which slices, and which Endpoints object, to create, change and delete.
/// Invariant: no I/O and no clock; the pods may come in any order; a settled Service yields nothing.
#[must_use]
pub fn diff(observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let Some(service) = &observed.service else {
        forget(observed, &mut plan);
        return plan;
    };
    let spec = service.spec.clone().unwrap_or_default();
    let selects = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
    // Without a selector the endpoints are the user's own.
    if service.metadata.deletion_timestamp.is_some() || !selects || spec.type_.as_deref() == Some("ExternalName") {
        return plan;
    }
    let mut pods: Vec<&Arc<Pod>> = observed.pods.iter().collect();
    pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let groups = address::groups(service, &pods, &observed.zones);
    slice::diff(service, &observed.slices, &groups, &mut plan);
    legacy::diff(service, observed.endpoints.as_ref(), &groups, &mut plan);
    plan
}

/// Slices have the Service as their owner and go with it; the Endpoints object is ours to delete.
fn forget(observed: &Observed, plan: &mut Plan) {
    let ours = |endpoints: &&Endpoints| {
        endpoints.metadata.labels.as_ref().and_then(|labels| labels.get(LEGACY_MANAGED_BY)).map(String::as_str)
            == Some(LEGACY_MANAGER)
    };
    let endpoints = observed.endpoints.as_ref().filter(ours).map(|object| (ENDPOINTS, &object.metadata));
    let slices = observed.slices.iter().map(|slice| (SLICES, &slice.metadata));
    for (resource, meta) in endpoints.into_iter().chain(slices) {
        plan.actions.push(delete(Target::of(resource, meta)));
    }
}

fn delete(target: Target) -> Action {
    Action::Delete { target, grace: None, propagation: Propagation::Background, success: None }
}

/// Labels of the Service that its endpoints inherit, and those that we add.
fn labels(service: &Service, own: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    for key in [SERVICE_LABEL, MANAGED_BY, LEGACY_MANAGED_BY, HEADLESS] {
        labels.remove(key);
    }
    labels.extend(own.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

fn service_name(service: &Service) -> &str {
    view::name(&service.metadata)
}
